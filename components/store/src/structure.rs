//! Whether a database is what this program wrote, as far as its file and rows show: the header, the structure of the pages, the
//! schema, the checksum of every row. What the rows *say* is not judged here.

use crate::checksum::{self, TABLES};
use crate::database::{MIGRATIONS, schema_version};
use crate::error::StoreError;
use rusqlite::Connection;
use rusqlite::types::Value;
use std::io::Read;
use std::path::Path;

/// Most findings of SQLite that are told.
const FINDINGS_MAX: usize = 20;

/// What is wrong with the file and its rows, a sentence each; nothing when all is well.
pub(crate) fn faults(path: &Path, connection: &Connection) -> Vec<String> {
    let mut faults = Vec::new();
    header(path, &mut faults);
    // What is damaged may make any of these fail; that is a finding, not a failure.
    let mut note = |outcome: Result<Vec<String>, StoreError>| match outcome {
        Ok(found) => faults.extend(found),
        Err(error) => faults.push(format!("the file cannot be read: {error}")),
    };
    note(pages(connection));
    note(schema(connection));
    note(rows(connection));
    faults
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
    checksum::install(&fresh)?;
    // A copy that an earlier version has made is as sound as it was.
    MIGRATIONS.to_version(&mut fresh, schema_version(connection)?)?;
    let is_ours = shape(connection)? == shape(&fresh)?;
    Ok(if is_ours { vec![] } else { vec!["the tables are not those that this version makes".into()] })
}

fn rows(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let mut faults = Vec::new();
    let version = schema_version(connection)?;
    for table in TABLES.iter().filter(|table| table.since <= version) {
        match table.damaged_rows(connection, true) {
            Ok(0) => {}
            Ok(count) => faults.push(format!("rows of the table {} are not what was written ({count})", table.name)),
            Err(error) => faults.push(format!("the table {} cannot be read: {error}", table.name)),
        }
    }
    let nodes: i64 = connection.query_row("SELECT count(*) FROM node", [], |row| row.get(0))?;
    if nodes != 1 {
        faults.push("the database does not name one node as its owner".into());
    }
    Ok(faults)
}
