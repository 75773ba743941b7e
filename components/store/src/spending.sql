-- The second version: what applications have spent of their budgets.
CREATE TABLE spending (
    app BLOB NOT NULL,
    currency TEXT NOT NULL,
    value BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (app, currency)
) STRICT, WITHOUT ROWID;
