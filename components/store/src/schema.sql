-- The database of one node. Values are the canonical encodings of the machine's own records (docs/protocol.md, section 1); what
-- people list or look up stands in columns of its own. Amounts are 16 bytes, big endian, so that they sort. Every row ends with a
-- checksum of itself (checksum.rs).

CREATE TABLE node (
    public_key BLOB PRIMARY KEY NOT NULL,
    checksum INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE friend (
    public_key BLOB PRIMARY KEY NOT NULL,
    record BLOB NOT NULL,
    checksum INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE account (
    id INTEGER PRIMARY KEY,
    friend BLOB NOT NULL,
    currency TEXT NOT NULL,
    negotiation BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    UNIQUE (friend, currency)
) STRICT;

-- The fixed part of an account, written with every statement.
CREATE TABLE head (
    account INTEGER PRIMARY KEY,
    value BLOB NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;

-- What proves, with the statements, where an account stands: both Openings that its epoch rests on, and the set of requests at the
-- friend's newest checkpoint.
CREATE TABLE openings (
    account INTEGER PRIMARY KEY,
    value BLOB NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;

CREATE TABLE checkpoint (
    account INTEGER PRIMARY KEY,
    value BLOB NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;

-- Requests that freeze credits. direction: 0 = ours, 1 = the friend's.
CREATE TABLE pending (
    account INTEGER NOT NULL,
    direction INTEGER NOT NULL,
    request BLOB NOT NULL,
    value BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (account, direction, request)
) STRICT, WITHOUT ROWID;

-- Operations that are durable but not signed.
CREATE TABLE queued (
    account INTEGER NOT NULL,
    counter INTEGER NOT NULL,
    value BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (account, counter)
) STRICT, WITHOUT ROWID;

-- The friend's statements from its newest checkpoint on, and ours from the one that it acknowledges there. mine: 1 = ours,
-- 0 = the friend's.
CREATE TABLE statement (
    account INTEGER NOT NULL,
    mine INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    wire BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (account, mine, seq)
) STRICT, WITHOUT ROWID;

-- The last epoch of accounts that were removed.
CREATE TABLE tombstone (
    friend BLOB NOT NULL,
    currency TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (friend, currency)
) STRICT, WITHOUT ROWID;

-- Friends who have lost their keys, and what the node has signed when their accounts went on with others. The accounts of a lost
-- key stay as evidence; no running node sees them.
CREATE TABLE key_replacement (
    lost BLOB PRIMARY KEY NOT NULL,
    wire BLOB NOT NULL,
    checksum INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE relay (
    name TEXT PRIMARY KEY NOT NULL,
    public_key BLOB NOT NULL,
    address TEXT NOT NULL,
    checksum INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE index_server (
    name TEXT PRIMARY KEY NOT NULL,
    public_key BLOB NOT NULL,
    address TEXT NOT NULL,
    checksum INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What the owner has set for the whole node.
CREATE TABLE setting (
    name TEXT PRIMARY KEY NOT NULL,
    value INTEGER NOT NULL,
    checksum INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Requests that we carry on, by the account they came over.
CREATE TABLE forward (
    account INTEGER NOT NULL,
    request BLOB NOT NULL,
    value BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (account, request)
) STRICT, WITHOUT ROWID;

-- Requests that end here, by the account they came over.
CREATE TABLE arrival (
    account INTEGER NOT NULL,
    request BLOB NOT NULL,
    value BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (account, request)
) STRICT, WITHOUT ROWID;

CREATE TABLE invoice (
    number INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    is_open INTEGER NOT NULL,
    value BLOB NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;
CREATE INDEX invoice_open ON invoice (number) WHERE is_open = 1;

CREATE TABLE payment (
    number INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    is_open INTEGER NOT NULL,
    value BLOB NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;
CREATE INDEX payment_open ON payment (number) WHERE is_open = 1;

-- Payments that were carried on for others and collected. The preimage is for friends who have forgotten how it ended.
CREATE TABLE forwarded (
    number INTEGER PRIMARY KEY,
    request BLOB NOT NULL,
    from_friend BLOB NOT NULL,
    to_friend BLOB NOT NULL,
    currency TEXT NOT NULL,
    amount BLOB NOT NULL,
    fee BLOB NOT NULL,
    time_ms INTEGER NOT NULL,
    preimage BLOB NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;

-- Parts of payments to us that were collected. payment, invoice: empty where there is none, or where it is not known.
CREATE TABLE received (
    number INTEGER PRIMARY KEY,
    request BLOB NOT NULL,
    from_friend BLOB NOT NULL,
    payment BLOB NOT NULL,
    invoice BLOB NOT NULL,
    currency TEXT NOT NULL,
    amount BLOB NOT NULL,
    time_ms INTEGER NOT NULL,
    preimage BLOB NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;

-- What friends have given us to keep, sealed.
CREATE TABLE peer_backup (
    friend BLOB PRIMARY KEY NOT NULL,
    sealed BLOB NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;

-- One row while the node recovers what it has lost.
CREATE TABLE recovery (
    id INTEGER PRIMARY KEY,
    value BLOB NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;
