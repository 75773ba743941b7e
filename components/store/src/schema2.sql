-- The second version.

-- What applications have spent of their budgets.
CREATE TABLE spending (
    app BLOB NOT NULL,
    currency TEXT NOT NULL,
    value BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (app, currency)
) STRICT, WITHOUT ROWID;

-- Requests that were written off, by the account they left by. In the table forwarded from_friend is empty from now on where it had
-- been written off, so that nobody has paid us and nobody is told that it was collected.
CREATE TABLE write_off (
    account INTEGER NOT NULL,
    request BLOB NOT NULL,
    value BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (account, request)
) STRICT, WITHOUT ROWID;
