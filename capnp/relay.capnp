@0xb7d0f6c2a4f0e5a2;
# The conversation of a node and a relay (protocol section 4).

struct Placeholder {
  unused @0 :Void;
}
