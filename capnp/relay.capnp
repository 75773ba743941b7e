@0xb7d0f6c2a4f0e5a2;
# The conversation of a node and a relay (protocol section 4). One yamux connection carries it: the first stream that the
# node opens is the control stream, every further stream is a substream to a friend and starts with one SubstreamMessage.

struct NodeToRelay {
  # A frame of the control stream, from the node. The first one opens the stream and so registers the node.
  union {
    watch @0 :List(Data);
    # Public keys whose presence the node asks for. Each is answered with `present` or `absent`, now and at every change.
    unwatch @1 :List(Data);
    keepalive @2 :Void;
  }
}

struct RelayToNode {
  # A frame of the control stream, from the relay.
  union {
    registered @0 :Void;
    # The node can be dialled from now on.
    present @1 :Data;
    absent @2 :Data;
    displaced @3 :Void;
    # Another connection with the same key took over; this one is closed next.
    keepalive @4 :Void;
    refused @5 :Refusal;
    # The connection or the last request is above a limit.
  }
}

struct SubstreamMessage {
  # The frame or frames before the friends' own bytes.
  union {
    connect @0 :Data;
    # Node to relay: the key of the node to dial.
    incoming @1 :Data;
    # Relay to the node that is dialled: who dials.
    accepted @2 :Void;
    # Relay to the dialling node: the friends' own bytes follow.
    refused @3 :Refusal;
    # Relay to the dialling node: rejected, nothing follows.
  }
}

enum Refusal {
  absent @0;
  itself @1;
  substreams @2;
  pair @3;
  targetSubstreams @4;
  busy @5;
  connections @6;
  address @7;
  watched @8;
  malformed @9;
}
