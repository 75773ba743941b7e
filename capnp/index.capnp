@0xc9d0f6c2a4f0e5a3;
# The conversation of a node and an index server (protocol section 5). Amounts are 16 bytes, big endian; keys are 32
# bytes; times are milliseconds since 1970.

struct NodeToIndex {
  # What one frame from a node holds.
  union {
    update @0 :Data;
    # A signed update, canonical bytes and signature. Answered with an UpdateResult.
    query @1 :Query;
    # Answered with an Answer, or with `busy`.
    keepalive @2 :Void;
  }
}

struct IndexToNode {
  # What one frame from an index server holds.
  union {
    updateResult @0 :UpdateResult;
    answer @1 :Answer;
    busy @2 :UInt64;
    # The query of this id was not searched: this connection asks too often, or the server has too much to do.
    keepalive @3 :Void;
  }
}

struct UpdateResult {
  sequence @0 :UInt64;
  # Of the update that this answers.
  union {
    accepted @1 :UInt64;
    # The newest sequence number that the server knows of this node.
    stale @2 :UInt64;
    # The same; the update was not newer.
    refused @3 :Refusal;
  }
}

struct Refusal {
  reason @0 :Reason;
  serverMs @1 :UInt64;
  # The server's clock.

  enum Reason {
    signature @0;
    # The signature is not valid.
    otherNode @1;
    # The update is not by the node at the other end of this connection.
    expired @2;
    # It expires before now: the node's clock is behind, or the server's ahead.
    tooFarAhead @3;
    # It expires more than an hour from now: the node's clock is ahead, or the server's behind.
    quota @4;
    # The node publishes more edges than the server takes.
    full @5;
    # The server is full.
    tooOften @6;
    # The node publishes too often.
    addressQuota @7;
    # The nodes at one address publish more than the server takes from it.
    sayAll @8;
    # Less than a quarter of what the server keeps of the node still counts. Nothing is wrong: the node says all its edges
    # again at once, also those that it has taken back.
  }
}

struct Query {
  id @0 :UInt64;
  # Chosen by the node, repeated in the answer.
  currency @1 :Text;
  amount @2 :Data;
  # What the destination gets.
  source @3 :Data;
  destination @4 :Data;
  # The source itself: asks for cycles.
  via @5 :Data;
  # The first node after the source, or empty for any.
  excludedEdges @6 :List(Exclusion);
  excludedNodes @7 :List(Data);
  clearing @8 :Bool;
  # Asks for a debt cycle that can be cleared, of at most this amount; source and destination are one.
}

struct Exclusion {
  # One direction of a friendship that has refused more than this.
  from @0 :Data;
  to @1 :Data;
  left @2 :Data;
  # What it may still be used for, fees included; 0: it must not be used.
}

struct Answer {
  id @0 :UInt64;
  routes @1 :List(Route);
  # Different routes, cheapest first. None: no route was found.
  cut @2 :Bool;
  # The search ended at its bound; there may be more.
}

struct Route {
  # The amounts of the parts add up to what was asked for.
  parts @0 :List(Part);
}

struct Part {
  path @0 :List(Data);
  # The nodes after the source in order, the destination last.
  amount @1 :Data;
  # What the destination gets.
  fees @2 :Data;
  # What all mediators on the path take.
}
