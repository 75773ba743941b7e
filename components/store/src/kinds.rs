//! Which kinds of rows there are, how many of each, and the sum of their checksums: what the rows themselves must come to.

use crate::checksum;
use crate::error::StoreError;
use crate::tables;
use offst_rows::{Keeping, Kind};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::BTreeMap;

/// How many rows there are, and the wrapping sum of their checksums.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) rows: i64,
    sum: i64,
}

impl Totals {
    /// A row came.
    pub(crate) fn add(&mut self, checksum: i64) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(checksum);
    }

    /// A row has gone.
    pub(crate) fn remove(&mut self, checksum: i64) {
        self.rows -= 1;
        self.sum = self.sum.wrapping_sub(checksum);
    }

    /// Both together.
    pub(crate) fn and(self, other: Totals) -> Totals {
        Totals { rows: self.rows.wrapping_add(other.rows), sum: self.sum.wrapping_add(other.sum) }
    }
}

/// What the database says of a kind.
#[derive(Debug)]
pub(crate) struct StoredKind {
    /// Its name, of the version that wrote it last.
    pub(crate) name: String,
    pub(crate) keeping: Keeping,
    pub(crate) totals: Totals,
}

/// What the database says of all kinds, by their numbers.
#[derive(Debug, Default)]
pub(crate) struct Kinds {
    pub(crate) rows: BTreeMap<u16, StoredKind>,
    /// How many rows are not what was written.
    pub(crate) damaged: usize,
}

impl Kinds {
    /// Reads them.
    pub(crate) fn read(connection: &Connection) -> Result<Kinds, StoreError> {
        let mut statement = connection.prepare("SELECT number, name, kept_in, rows, sum, checksum FROM kind")?;
        let mut found = statement.query([])?;
        let mut kinds = Kinds::default();
        while let Some(row) = found.next()? {
            match read_kind(row) {
                Some((number, kind)) => drop(kinds.rows.insert(number, kind)),
                None => kinds.damaged += 1,
            }
        }
        Ok(kinds)
    }

    /// The name of a kind, for people.
    pub(crate) fn name(&self, number: u16) -> String {
        self.rows.get(&number).map_or_else(|| format!("the kind {number}"), |kind| kind.name.clone())
    }
}

/// None: the row is not what was written.
fn read_kind(row: &Row<'_>) -> Option<(u16, StoredKind)> {
    let (number, name, kept_in): (u16, String, String) = (row.get(0).ok()?, row.get(1).ok()?, row.get(2).ok()?);
    let (rows, sum): (i64, i64) = (row.get(3).ok()?, row.get(4).ok()?);
    let is_whole = row.get(5) == Ok(checksum::of_kind([number.into(), rows, sum], &name, &kept_in));
    let keeping = tables::by_name(&kept_in).filter(|_| is_whole)?;
    Some((number, StoredKind { name, keeping, totals: Totals { rows, sum } }))
}

/// What is written down of a kind.
pub(crate) fn written(connection: &Connection, kind: Kind) -> Result<Totals, StoreError> {
    let totals = connection
        .prepare_cached("SELECT rows, sum FROM kind WHERE number = ?1")?
        .query_row([kind.number], |row| Ok(Totals { rows: row.get(0)?, sum: row.get(1)? }))
        .optional()?;
    Ok(totals.unwrap_or_default())
}

/// Writes down what a kind comes to.
pub(crate) fn write(connection: &Connection, kind: Kind, totals: Totals) -> Result<(), StoreError> {
    let Totals { rows, sum } = totals;
    let kept_in = tables::name(kind.keeping);
    let checksum = checksum::of_kind([kind.number.into(), rows, sum], kind.name, kept_in);
    connection
        .prepare_cached(
            "INSERT INTO kind (number, name, kept_in, rows, sum, checksum) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO UPDATE SET name = ?2, kept_in = ?3, rows = ?4, sum = ?5, checksum = ?6",
        )?
        .execute(params![kind.number, kind.name, kept_in, rows, sum, checksum])?;
    Ok(())
}
