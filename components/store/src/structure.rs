//! Whether a database is what this program wrote, as far as its file and rows show: the header, the structure of the pages, the
//! schema, the checksum of every row, and the sum of those of each kind. What the rows *say* is not judged here.

use crate::checksum::{self, StoredRow};
use crate::database::{MIGRATIONS, schema_version};
use crate::error::StoreError;
use crate::kinds::Kinds;
use crate::scan::Scan;
use crate::tables::TABLES;
use offst_crypto::PublicKey;
use rusqlite::Connection;
use rusqlite::types::Value;
use std::io::Read;
use std::path::Path;

/// Most findings of SQLite that are told.
const FINDINGS_MAX: usize = 20;

/// What is wrong with the file and its rows, a sentence each; nothing when all is well. `each` is given every row that is what was
/// written, table by table. Also says how many rows there are.
pub(crate) fn faults(path: &Path, connection: &Connection, mut each: impl FnMut(StoredRow<'_>)) -> (Vec<String>, u64) {
    let mut faults = Vec::new();
    header(path, &mut faults);
    // What is damaged may make any of these fail; that is a finding, not a failure.
    let mut note = |outcome: Result<Vec<String>, StoreError>| match outcome {
        Ok(found) => faults.extend(found),
        Err(error) => faults.push(format!("the file cannot be read: {error}")),
    };
    note(pages(connection));
    note(schema(connection));
    note(node(connection));
    let mut scan = Scan::default();
    for table in TABLES {
        note(scan.read(connection, table, false, &mut each).map(|()| Vec::new()));
    }
    note(Kinds::read(connection).map(|kinds| scan.faults(&kinds, &TABLES)));
    (faults, scan.rows())
}

/// Fields of the file's first bytes that SQLite does not compare with anything: <https://www.sqlite.org/fileformat.html>.
fn header(path: &Path, faults: &mut Vec<String>) {
    let mut header = [0; 100];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut header));
    let versions_agree = header[18] == header[19] && matches!(header[18], 1 | 2);
    if read.is_err() || !versions_agree || header[72..92].iter().any(|byte| *byte != 0) {
        faults.push("the first bytes of the file are not those of a database".into());
    }
}

fn pages(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let sql = format!("PRAGMA integrity_check({FINDINGS_MAX})");
    let mut statement = connection.prepare(&sql)?;
    let found = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    Ok(found.into_iter().filter(|line| line != "ok").map(|line| format!("structure: {line}")).collect())
}

/// The tables and indexes as their creating statements tell, and the schema's number.
fn shape(connection: &Connection) -> Result<(i64, Vec<[Value; 4]>), StoreError> {
    let version = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let mut statement = connection.prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY rowid")?;
    // Values and not their texts: one flipped bit makes bytes of a text, which SQLite itself does not mind.
    let shape = statement.query_map([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]))?;
    let shape = shape.collect::<Result<_, _>>()?;
    Ok((version, shape))
}

fn schema(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let mut fresh = Connection::open_in_memory()?;
    // A copy that an earlier version has made is as sound as it was.
    MIGRATIONS.to_version(&mut fresh, schema_version(connection)?)?;
    let is_ours = shape(connection)? == shape(&fresh)?;
    Ok(if is_ours { vec![] } else { vec!["the tables are not those that this version makes".into()] })
}

fn node(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare("SELECT public_key, checksum FROM node")?;
    let rows = statement.query_map([], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, i64>(1)?)))?;
    let rows: Vec<(Vec<u8>, i64)> = rows.collect::<Result<_, _>>()?;
    let is_whole =
        |(key, sum): &(Vec<u8>, i64)| PublicKey::from_slice(key).is_ok_and(|key| checksum::of_node(&key) == *sum);
    let names_one = matches!(&rows[..], [row] if is_whole(row));
    Ok(if names_one { vec![] } else { vec!["the database does not name one node as its owner".into()] })
}
