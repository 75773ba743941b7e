@0xe1b7a05c3d92f486;
# The conversation of two index servers that trust each other (protocol section 5). Either may send anything at any time,
# and nothing has to be answered. Keys are 32 bytes; times are milliseconds since 1970.

struct ServerToServer {
  # What one frame holds.
  union {
    refused @0 :Refusal;
    # The first and last frame from a server that does not take the connection.
    summary @1 :Summary;
    # The first frame from a server that takes it, and again from time to time.
    buckets @2 :List(UInt64);
    # The digests of all buckets of nodes, because a summary differed.
    list @3 :Listing;
    # What a bucket holds whose digests differ. The other sends what is missing here and asks for what is missing there.
    wants @4 :List(Name);
    # Asks for updates by their names.
    updates @5 :List(Data);
    # Signed updates, each canonical bytes and signature, as nodes made them.
    keepalive @6 :Void;
  }
}

enum Refusal {
  notTrusted @0;
  # The ticket of the dialling server is not among the trusted ones here.
  crossed @1;
  # Both servers have dialled each other, and the other connection stays.
}

struct Summary {
  digest @0 :UInt64;
  # Of everything the server knows.
  clockMs @1 :UInt64;
  # The server's clock.
}

struct Name {
  # Names one update.
  node @0 :Data;
  sequence @1 :UInt64;
  tag @2 :UInt64;
  # The first 8 bytes of the hash of what is signed: tells apart two updates with one sequence number.
}

struct Listing {
  # The updates of one bucket between two names, in ascending order: all behind `after`, up to the last one listed.
  bucket @0 :UInt16;
  after @1 :List(Name);
  # One name, or none at the start of the bucket.
  names @2 :List(Name);
  isLast @3 :Bool;
  # Nothing of the bucket follows, also behind the last name.
}
