//! What can go wrong with a database.

use offst_crypto::PublicKey;
use offst_rows::RowError;

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite or the disk failed.
    #[error("the database failed: {0}")]
    Sqlite(rusqlite::Error),
    /// A migration failed.
    #[error("the database could not be brought to this version: {0}")]
    Migration(#[from] rusqlite_migration::Error),
    /// The file does not exist.
    #[error(
        "there is no database at {0}: `stnode restore` puts a copy back, `stnode recover` asks the friends, `stnode init` makes a new node"
    )]
    Missing(String),
    /// The file is there, and the system does not let us open it.
    #[error("{0} cannot be opened: look at the permissions of the file and its folder")]
    Unopened(String),
    /// The file exists already.
    #[error("there is a database at {0} already")]
    Exists(String),
    /// The file could not be made.
    #[error("the database {path} cannot be made: {error}")]
    Create {
        /// The file.
        path: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// Not a database of ours.
    #[error("{0} is not the database of an Offst node")]
    Foreign(String),
    /// Of the format before the first one that was released.
    #[error(
        "the database {0} is in the format that Offst had before its first release, which this version does not read: go on with \
         the version that has written it, or run `stnode recover --force`, which makes a new one and asks the friends what they \
         know"
    )]
    Unreleased(String),
    /// A later version of the program has made it, or changed it.
    #[error("the database {0} was written by a newer version of Offst: use that version, nothing is wrong with it")]
    Newer(String),
    /// The log beside the database is damaged in the middle. Anybody who opened it would lose what was committed after
    /// that.
    #[error(
        "the log beside the database (its name ends in -wal) is damaged, and what was committed last cannot be read: \
         `stnode restore --force` with the database itself as its input goes on from the rest, and asks the friends"
    )]
    DamagedLog,
    /// What says that the database is as the last stop left it could not be removed before something is written.
    #[error(
        "the seal {path} cannot be removed, so nothing was written ({error}): look at the permissions of its folder"
    )]
    Seal {
        /// The seal.
        path: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// The database of another node.
    #[error(
        "the database belongs to the node {found}, but the identity is {expected}: the files of two nodes are mixed"
    )]
    OtherNode {
        /// The identity's key.
        expected: PublicKey,
        /// The database's key.
        found: String,
    },
    /// The file or its rows are not what was written.
    #[error(
        "the database is damaged: {}: `stnode restore` puts a copy back, `stnode recover` asks the friends",
        .0.join("; ")
    )]
    Unsound(Vec<String>),
    /// A row is what was written, and cannot be read.
    #[error("the database cannot be read: {0}")]
    Row(#[from] RowError),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            // SQLite itself has seen that a page is not what it wrote.
            Some(rusqlite::ErrorCode::DatabaseCorrupt) => StoreError::Unsound(vec![error.to_string()]),
            _ => StoreError::Sqlite(error),
        }
    }
}

impl StoreError {
    /// One row of the kind with this name is not what was written.
    pub(crate) fn damaged_row(kind: &str) -> StoreError {
        StoreError::Unsound(vec![format!("rows of {kind} are not what was written (1)")])
    }
}
