-- The database of one node: rows of numbered kinds (the crate offst-rows). What a kind is, which key its rows have and what their
-- values mean is no business of this file. Each way of keeping rows has a table. Every row ends with a checksum of itself
-- (checksum.rs).

CREATE TABLE node (
    public_key BLOB PRIMARY KEY NOT NULL,
    checksum INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One row for each kind that was ever written, kept in each transaction: the table that its rows are in, how many there are, and
-- the wrapping sum of their checksums. So a row that is gone, or is an earlier one, does not go unnoticed.
CREATE TABLE kind (
    number INTEGER PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    kept_in TEXT NOT NULL,
    rows INTEGER NOT NULL,
    sum INTEGER NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;

-- One row a key. A start reads all of them.
CREATE TABLE state (
    kind INTEGER NOT NULL,
    key BLOB NOT NULL,
    value BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;

-- The same, for the many that are written once and not changed until they are removed.
CREATE TABLE log (
    kind INTEGER NOT NULL,
    key BLOB NOT NULL,
    value BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;

-- One row a key, for ever, numbered in the order in which the keys first came. A start reads those that have not ended.
CREATE TABLE listed (
    kind INTEGER NOT NULL,
    number INTEGER NOT NULL,
    key BLOB NOT NULL,
    has_ended INTEGER NOT NULL,
    value BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (kind, number)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX listed_key ON listed (kind, key);
CREATE INDEX listed_open ON listed (kind, number) WHERE has_ended = 0;

-- Rows that are only ever added, numbered, also under a key that is there already. A start reads none.
CREATE TABLE journal (
    kind INTEGER NOT NULL,
    number INTEGER NOT NULL,
    key BLOB NOT NULL,
    value BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (kind, number)
) STRICT, WITHOUT ROWID;

-- One row a key, which is looked up when somebody asks. A start reads none.
CREATE TABLE shelf (
    kind INTEGER NOT NULL,
    key BLOB NOT NULL,
    value BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (kind, key)
) STRICT;
