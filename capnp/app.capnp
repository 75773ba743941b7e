@0xd9d0f6c2a4f0e5a4;
# The conversation of a application and a node (protocol section 6).

struct AppPlaceholder {
  unused @0 :Void;
}
