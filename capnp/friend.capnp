@0xd3a1c05ae0a1f3b1;
# The conversation of two friends, inside the end-to-end encrypted channel (protocol sections 1 and 3).

struct FriendMessage {
  # What one frame holds.
  union {
    hello @0 :Hello;
    # First frame of each side.
    resume @1 :Resume;
    # Where an account stands: sent for each account after the hellos, and again whenever an Opening was signed.
    statement @2 :Data;
    # A signed statement, canonical bytes and signature.
    keepalive @3 :Void;
    evidence @4 :Evidence;
    # What proves where an account stands, for a friend that has lost its own state.
    evidenceStatements @5 :List(Data);
    # The statements that belong to it, in an order in which each can be checked, in one frame or more.
    backup @6 :Data;
    # A sealed peer backup of the sender's, at most 64 KiB, to be kept in place of the one before.
    recall @7 :Void;
    # Asks for the peer backup that the receiver keeps for the sender.
    recalled @8 :Data;
    # The answer; empty when there is none.
    resolve @9 :List(Data);
    # Asks how requests of the sender's ended, by their ids, at most 128.
    resolved @10 :List(End);
    # The answer.
  }
}

struct Hello {
  incarnation @0 :UInt64;
  # Random for each run of the node: tells a restarted friend from a second connection of the same run.
  direct :union {
    # Where the sender is dialled without a relay.
    unsaid @1 :Void;
    # It does not say: what its ticket says stays.
    nowhere @2 :Void;
    # Nowhere: what the receiver knows of before is void.
    at @3 :Text;
    # HOST:PORT.
  }
}

struct Resume {
  currency @0 :Text;
  opening @1 :Data;
  # The sender's newest signed Opening, or empty.
  epoch @2 :Epoch;
  recovering @3 :Bool;
  # The sender does not trust its own state of this account: it asks for evidence, and signs nothing in its old epoch.
}

struct Epoch {
  # Where the sender stands in the epoch it has adopted; `agreed` is empty when it has adopted none.
  agreed @0 :Data;
  # Hash of the Opening or of both Openings that the epoch rests on.
  number @1 :UInt64;
  ownSeq @2 :UInt64;
  ownHash @3 :Data;
  otherSeq @4 :UInt64;
  otherHash @5 :Data;
}

struct Evidence {
  currency @0 :Text;
  opening @1 :Data;
  otherOpening @2 :Data;
  # The Openings that the epoch rests on, the sender's and the receiver's. Empty: there is nothing to show.
  checkpointBySender @3 :Bool;
  set @4 :Data;
  # What the checkpoint of the first statement commits to, and who signed it. Empty: the statements start with the epoch.
  statements @5 :UInt32;
  # How many follow.
  newestEpoch @6 :UInt64;
  # No Opening that the sender knows is for a later epoch.
  recovering @7 :Bool;
  # The sender does not trust its own state either.
}

struct End {
  # How a request ended between the two.
  requestId @0 :Data;
  union {
    collected @1 :Data;
    # The receiver has collected it from the sender of the question; the preimage.
    pending @2 :Void;
    # It has not ended, or the receiver cannot say yet.
    unknown @3 :Void;
    # It is not pending, and was not collected in the last 30 days.
  }
}
