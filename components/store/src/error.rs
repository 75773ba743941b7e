//! What can go wrong with a database.

use offst_crypto::PublicKey;
use offst_proto::encoding::DecodeError;

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
    /// A later version of the program has made it, or changed it.
    #[error("the database {0} was written by a newer version of Offst: use that version, nothing is wrong with it")]
    Newer(String),
    /// The log beside the database is damaged in the middle. Whoever opened it would lose what was committed after that.
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
    /// A row does not hold what was written.
    #[error("the database is damaged: {what}: {error}")]
    Damaged {
        /// Which row.
        what: String,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// Rows that hold valid values, and not those that were written.
    #[error("the database is damaged: rows of the table {what} are not what was written ({count})")]
    DamagedRows {
        /// The rows' table.
        what: &'static str,
        /// How many.
        count: i64,
    },
    /// The file or its rows are not what was written.
    #[error("the database is damaged: {}", .0.join("; "))]
    Unsound(Vec<String>),
    /// A number does not fit the database. No honest peer brings this about.
    #[error("a number is too large for the database")]
    TooLarge,
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
    pub(crate) fn damaged(what: impl Into<String>) -> impl FnOnce(DecodeError) -> StoreError {
        let what = what.into();
        move |error| StoreError::Damaged { what, error }
    }
}
