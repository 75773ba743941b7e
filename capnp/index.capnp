@0xc9d0f6c2a4f0e5a3;
# The conversation of a node and an index server (protocol section 5).

struct IndexPlaceholder {
  unused @0 :Void;
}
