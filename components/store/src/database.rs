//! Opening and creating the file.

use crate::checksum;
use crate::error::StoreError;
use crate::kinds::Totals;
use crate::log_file::{self, Condition};
use crate::seal;
use offst_crypto::PublicKey;
use rusqlite::{Connection, ErrorCode, OpenFlags, params};
use rusqlite_migration::{M, Migrations};
use std::collections::BTreeMap;
use std::path::Path;

/// "Ofst": tells our files from other SQLite files.
const APPLICATION_ID: i32 = 0x4f66_7374;
/// "OFST": that of the format before the first release.
const UNRELEASED_ID: i32 = 0x4f46_5354;

/// One for each version of the schema. What a version has written stays as it is; the next one adds to it. What only adds kinds of
/// rows, or fields to them, is no new version.
const STEPS: &[M<'static>] = &[M::up(include_str!("schema.sql"))];
pub(crate) const MIGRATIONS: Migrations<'static> = Migrations::from_slice(STEPS);

/// A node's database, open for the one thread that writes.
#[derive(Debug)]
pub struct Store {
    pub(crate) connection: Connection,
    /// What is written down of the kinds whose rows this process has changed. Nobody else writes while
    /// the database is open, so it is read once, and what is written is what this process has counted.
    pub(crate) counted: BTreeMap<u16, Totals>,
}

/// Sets what holds for every connection.
fn configure(connection: &Connection) -> Result<(), StoreError> {
    // FULL: a transaction is on the disk when `commit` returns. WAL: readers of the history do not stop the writer.
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

impl Store {
    /// Makes the database of a new node, readable by its owner alone.
    ///
    /// # Errors
    /// The file exists, or the disk failed.
    pub fn create(path: &Path, node: PublicKey) -> Result<(), StoreError> {
        create_file(path)?;
        let mut connection = Connection::open(path)?;
        configure(&connection)?;
        connection.pragma_update(None, "application_id", APPLICATION_ID)?;
        MIGRATIONS.to_latest(&mut connection)?;
        let sql = "INSERT INTO node (public_key, checksum) VALUES (?1, ?2)";
        connection.execute(sql, params![node.as_bytes(), checksum::of_node(&node)])?;
        connection.close().map_err(|(_, error)| error.into())
    }

    /// Whether the database is that of `node`, and one that can be opened. Nothing is written, and its seal stays.
    ///
    /// # Errors
    /// As for [`Store::open`], as far as can be told without writing.
    pub fn probe(path: &Path, node: PublicKey) -> Result<(), StoreError> {
        refuse_damaged_log(path)?;
        check_owner(&open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?, node)
    }

    /// Opens the database of `node`, bringing an older one to this version. Removes its seal first.
    ///
    /// # Errors
    /// It is missing, damaged, newer than this version, or another node's.
    pub fn open(path: &Path, node: PublicKey) -> Result<Self, StoreError> {
        Store::open_with(path, node, STEPS)
    }

    /// The same for a program whose schema has these versions.
    fn open_with(path: &Path, node: PublicKey, steps: &'static [M<'static>]) -> Result<Self, StoreError> {
        refuse_damaged_log(path)?;
        if let Ok(path) = path.canonicalize()
            && path.is_file()
        {
            // SQLite may write from here on.
            seal::remove(&path)?;
        }
        let mut connection = open_version(path, OpenFlags::SQLITE_OPEN_READ_WRITE, steps.len())?;
        configure(&connection)?;
        Migrations::from_slice(steps).to_latest(&mut connection)?;
        check_owner(&connection, node)?;
        Ok(Store { connection, counted: BTreeMap::new() })
    }
}

impl Store {
    /// Moves everything into the one file, so that a copy of it is whole, and closes it.
    ///
    /// # Errors
    /// The disk failed. Nothing is lost: the next start finds what is missing beside the file.
    pub fn close(self) -> Result<(), StoreError> {
        self.connection.pragma_update_and_check(None, "wal_checkpoint", "TRUNCATE", |_| Ok(()))?;
        self.connection.close().map_err(|(_, error)| error.into())
    }
}

/// SQLite would drop what it cannot read, and the node sign anew what it has signed.
fn refuse_damaged_log(path: &Path) -> Result<(), StoreError> {
    if log_file::condition(path).is_ok_and(|condition| condition == Condition::Damaged) {
        return Err(StoreError::DamagedLog);
    }
    Ok(())
}

/// Which version of the schema the database has; 0: none of ours. One that was not opened for writing may have an older one.
pub(crate) fn schema_version(connection: &Connection) -> Result<usize, rusqlite::Error> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(usize::try_from(version).unwrap_or(0))
}

/// Makes an empty file that its owner alone can read.
pub(crate) fn create_file(path: &Path) -> Result<(), StoreError> {
    let shown = path.display().to_string();
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => StoreError::Exists(shown),
        _ => StoreError::Create { path: shown, error },
    })
}

/// Refuses the database of another node.
pub(crate) fn check_owner(connection: &Connection, node: PublicKey) -> Result<(), StoreError> {
    let found: Vec<u8> = connection.query_row("SELECT public_key FROM node", [], |row| row.get(0))?;
    if found == node.as_bytes() {
        return Ok(());
    }
    Err(StoreError::OtherNode { expected: node, found: offst_crypto::base64_text(&found) })
}

/// Opens an existing file and checks that it is ours, and no newer than this program.
pub(crate) fn open(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    open_version(path, flags, STEPS.len())
}

fn open_version(path: &Path, flags: OpenFlags, version_max: usize) -> Result<Connection, StoreError> {
    let shown = path.display().to_string();
    if !path.exists() {
        return Err(StoreError::Missing(shown));
    }
    // SQLite opens a folder, and fails only when it reads; of a pipe it would wait for the writer.
    if !path.is_file() {
        return Err(StoreError::Foreign(shown));
    }
    let opened = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX);
    let connection = opened.map_err(|error| match error.sqlite_error_code() {
        Some(ErrorCode::CannotOpen) => StoreError::Unopened(shown.clone()),
        _ => error.into(),
    })?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    // The file may be anybody's.
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    let id = connection.pragma_query_value(None, "application_id", |row| row.get::<_, i32>(0));
    match id {
        Ok(APPLICATION_ID) => {}
        Ok(UNRELEASED_ID) => return Err(StoreError::Unreleased(shown)),
        Ok(_) => return Err(StoreError::Foreign(shown)),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
            return Err(StoreError::Foreign(shown));
        }
        Err(error) => return Err(error.into()),
    }
    if schema_version(&connection)? > version_max { Err(StoreError::Newer(shown)) } else { Ok(connection) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::History;
    use offst_rows::{Commit, Kind, RowChange};

    const NEXT: &[M<'static>] =
        &[M::up(include_str!("schema.sql")), M::up("CREATE TABLE made_up (number INTEGER PRIMARY KEY) STRICT")];
    const NOTES: Kind = Kind::state(2, "notes");

    /// What an earlier version has written goes on, and an earlier version leaves alone what it does not know.
    #[test]
    fn a_new_version_brings_the_file_of_an_earlier_one_forward() {
        let folder = tempfile::tempdir().unwrap();
        let (path, copy) = (folder.path().join("node.db"), folder.path().join("copy.db"));
        let key = offst_crypto::Identity::from_seed([1; 32]).public_key();
        Store::create(&path, key).unwrap();
        let mut store = Store::open(&path, key).unwrap();
        store.commit(&[RowChange::bytes(NOTES, vec![1], Some(vec![2]))]).unwrap();
        let before = store.load().unwrap();
        store.close().unwrap();
        let newer = Store::open_with(&path, key, NEXT).unwrap();
        assert_eq!(newer.load().unwrap(), before);
        newer.connection.execute("INSERT INTO made_up VALUES (7)", []).unwrap();
        newer.close().unwrap();
        let outcomes = [
            Store::probe(&path, key),
            Store::open(&path, key).map(drop),
            Store::audit(&path, key).map(drop),
            Store::copy(&path, key, &copy),
            History::open(&path).map(drop),
        ];
        for outcome in outcomes {
            // To call it damaged would make its owner put an old copy in its place.
            assert!(matches!(outcome, Err(StoreError::Newer(_))), "{outcome:?}");
        }
        assert_eq!(Store::open_with(&path, key, NEXT).unwrap().load().unwrap(), before);
    }
}
