//! One batch in one transaction.

use crate::checksum::StoredRow;
use crate::database::Store;
use crate::error::StoreError;
use crate::kinds::{self, Totals};
use offst_rows::{Commit, Keeping, Kind, RowChange};
use rusqlite::{Connection, OptionalExtension, params};

/// What is done with a row of a table that has one row a key.
struct Keyed {
    find: &'static str,
    insert: &'static str,
    update: &'static str,
    remove: &'static str,
}

macro_rules! keyed {
    ($table:literal) => {
        Keyed {
            find: concat!("SELECT checksum FROM ", $table, " WHERE kind = ?1 AND key = ?2"),
            insert: concat!(
                "INSERT INTO ",
                $table,
                " (kind, key, value, checksum) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING"
            ),
            update: concat!("UPDATE ", $table, " SET value = ?3, checksum = ?4 WHERE kind = ?1 AND key = ?2"),
            remove: concat!("DELETE FROM ", $table, " WHERE kind = ?1 AND key = ?2 RETURNING checksum"),
        }
    };
}

const STATE: Keyed = keyed!("state");
const LOG: Keyed = keyed!("log");
const SHELF: Keyed = keyed!("shelf");

impl Commit for Store {
    type Error = StoreError;

    fn commit(&mut self, changes: &[RowChange]) -> Result<(), StoreError> {
        let transaction = self.connection.transaction()?;
        let mut writer = Writer { connection: &transaction, touched: Vec::new() };
        for change in changes {
            writer.write(change)?;
        }
        let mut counted = Vec::with_capacity(writer.touched.len());
        for Touched { kind, totals, .. } in writer.touched {
            let before = match self.counted.get(&kind.number) {
                Some(before) => *before,
                None => kinds::written(&transaction, kind)?,
            };
            let totals = before.and(totals);
            kinds::write(&transaction, kind, totals)?;
            counted.push((kind.number, totals));
        }
        transaction.commit()?;
        self.counted.extend(counted);
        Ok(())
    }
}

/// A kind of which a transaction writes rows.
struct Touched {
    kind: Kind,
    /// How its rows have changed in this transaction.
    totals: Totals,
    /// The number of the newest row, where they are numbered and this transaction has added one.
    newest: Option<i64>,
}

struct Writer<'a> {
    connection: &'a Connection,
    /// Few, so that searching them is faster than any map.
    touched: Vec<Touched>,
}

impl Writer<'_> {
    fn write(&mut self, change: &RowChange) -> Result<(), StoreError> {
        let RowChange { kind, key, value, has_ended } = change;
        let index = self.touched.iter().position(|touched| touched.kind.number == kind.number).unwrap_or_else(|| {
            self.touched.push(Touched { kind: *kind, totals: Totals::default(), newest: None });
            self.touched.len() - 1
        });
        let touched = &mut self.touched[index];
        let bytes = value.as_deref();
        match kind.keeping {
            Keeping::State => write_keyed(self.connection, &STATE, touched, key, bytes),
            Keeping::Log => write_keyed(self.connection, &LOG, touched, key, bytes),
            Keeping::Shelf => write_keyed(self.connection, &SHELF, touched, key, bytes),
            Keeping::Listed => write_listed(self.connection, touched, key, bytes, *has_ended),
            // Nothing is ever taken out of a journal.
            Keeping::Journal => bytes.map_or(Ok(()), |bytes| add_to_journal(self.connection, touched, key, bytes)),
        }
    }
}

fn write_keyed(
    connection: &Connection,
    sql: &Keyed,
    touched: &mut Touched,
    key: &[u8],
    value: Option<&[u8]>,
) -> Result<(), StoreError> {
    let Kind { number: kind, keeping, .. } = touched.kind;
    let Some(value) = value else {
        let removed = connection.prepare_cached(sql.remove)?.query_row(params![kind, key], |row| row.get(0));
        if let Some(checksum) = removed.optional()? {
            touched.totals.remove(checksum);
        }
        return Ok(());
    };
    let checksum = StoredRow { keeping, kind, number: 0, has_ended: false, key, value }.checksum();
    // What is in a log is hardly ever there already.
    if keeping != Keeping::Log || !insert(connection, sql, (kind, key, value, checksum))? {
        let found = connection.prepare_cached(sql.find)?.query_row(params![kind, key], |row| row.get(0)).optional()?;
        match found {
            Some(replaced) => {
                connection.prepare_cached(sql.update)?.execute(params![kind, key, value, checksum])?;
                touched.totals.remove(replaced);
            }
            None => {
                insert(connection, sql, (kind, key, value, checksum))?;
            }
        }
    }
    touched.totals.add(checksum);
    Ok(())
}

/// False: there is such a row already.
fn insert(connection: &Connection, sql: &Keyed, row: (u16, &[u8], &[u8], i64)) -> Result<bool, StoreError> {
    Ok(connection.prepare_cached(sql.insert)?.execute(row)? > 0)
}

/// The number of the next row. `newest`: asks for that of the newest.
fn next_number(connection: &Connection, touched: &mut Touched, newest: &'static str) -> Result<i64, StoreError> {
    let newest = match touched.newest {
        Some(newest) => newest,
        None => connection.prepare_cached(newest)?.query_row([touched.kind.number], |row| row.get(0))?,
    };
    touched.newest = Some(newest + 1);
    Ok(newest + 1)
}

fn write_listed(
    connection: &Connection,
    touched: &mut Touched,
    key: &[u8],
    value: Option<&[u8]>,
    has_ended: bool,
) -> Result<(), StoreError> {
    let Kind { number: kind, keeping, .. } = touched.kind;
    let found: Option<(i64, i64)> = connection
        .prepare_cached("SELECT number, checksum FROM listed WHERE kind = ?1 AND key = ?2")?
        .query_row(params![kind, key], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((_, replaced)) = found {
        touched.totals.remove(replaced);
    }
    let Some(value) = value else {
        if let Some((number, _)) = found {
            let sql = "DELETE FROM listed WHERE kind = ?1 AND number = ?2";
            connection.prepare_cached(sql)?.execute(params![kind, number])?;
        }
        return Ok(());
    };
    let number = match found {
        Some((number, _)) => number,
        None => next_number(connection, touched, "SELECT coalesce(max(number), 0) FROM listed WHERE kind = ?1")?,
    };
    let checksum = StoredRow { keeping, kind, number, has_ended, key, value }.checksum();
    match found {
        Some(_) => connection
            .prepare_cached(
                "UPDATE listed SET has_ended = ?3, value = ?4, checksum = ?5 WHERE kind = ?1 AND number = ?2",
            )?
            .execute(params![kind, number, has_ended, value, checksum])?,
        None => connection
            .prepare_cached(
                "INSERT INTO listed (kind, number, key, has_ended, value, checksum) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![kind, number, key, has_ended, value, checksum])?,
    };
    touched.totals.add(checksum);
    Ok(())
}

fn add_to_journal(connection: &Connection, touched: &mut Touched, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
    let Kind { number: kind, keeping, .. } = touched.kind;
    let number = next_number(connection, touched, "SELECT coalesce(max(number), 0) FROM journal WHERE kind = ?1")?;
    let checksum = StoredRow { keeping, kind, number, has_ended: false, key, value }.checksum();
    let sql = "INSERT INTO journal (kind, number, key, value, checksum) VALUES (?1, ?2, ?3, ?4, ?5)";
    connection.prepare_cached(sql)?.execute(params![kind, number, key, value, checksum])?;
    touched.totals.add(checksum);
    Ok(())
}
