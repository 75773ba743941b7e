//! Reads tables from one end to the other: each row is compared with its checksum, and each kind with what the database says of it.

use crate::checksum::StoredRow;
use crate::error::StoreError;
use crate::kinds::{Kinds, Totals};
use crate::tables;
use offst_rows::Keeping;
use rusqlite::types::FromSqlError;
use rusqlite::{Connection, Row};
use std::collections::BTreeMap;

/// What was found of one kind.
#[derive(Debug, Clone, Copy, Default)]
struct Found {
    /// Rows that are what was written.
    whole: Totals,
    /// Rows that are not.
    damaged: i64,
}

/// What was found of each kind in each table. A number that no kind can have is the key of rows that are not what was written.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    found: BTreeMap<(Keeping, i64), Found>,
}

/// The columns that every reader of rows asks for first, in this order.
pub(crate) fn columns(keeping: Keeping) -> &'static str {
    match keeping {
        Keeping::State | Keeping::Log | Keeping::Shelf => "kind, key, value, checksum, 0, 0",
        Keeping::Journal => "kind, key, value, checksum, number, 0",
        Keeping::Listed => "kind, key, value, checksum, number, has_ended",
    }
}

/// Reads [`columns`]. None: the row is not what was written.
pub(crate) fn stored<'a>(keeping: Keeping, row: &'a Row<'_>) -> Option<(StoredRow<'a>, i64)> {
    let blob = |column| row.get_ref(column).map_err(|_| FromSqlError::InvalidType)?.as_blob();
    let (key, value) = (blob(1).ok()?, blob(2).ok()?);
    let (kind, checksum) = (row.get(0).ok()?, row.get(3).ok()?);
    let stored = StoredRow { keeping, kind, number: row.get(4).ok()?, has_ended: row.get(5).ok()?, key, value };
    (stored.checksum() == checksum).then_some((stored, checksum))
}

impl Scan {
    /// Reads a table, or of those with rows that end only the others. `each` is given every row that is what was written.
    pub(crate) fn read(
        &mut self,
        connection: &Connection,
        keeping: Keeping,
        only_open: bool,
        mut each: impl FnMut(StoredRow<'_>),
    ) -> Result<(), StoreError> {
        let filter = if only_open { "WHERE has_ended = 0" } else { "" };
        let sql = format!("SELECT {} FROM {} {filter}", columns(keeping), tables::name(keeping));
        let mut statement = connection.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let stored = stored(keeping, row);
            let number = stored.map_or_else(|| row.get(0).unwrap_or(-1), |(row, _)| row.kind.into());
            let found = self.found.entry((keeping, number)).or_default();
            match stored {
                Some((row, checksum)) => {
                    found.whole.add(checksum);
                    each(row);
                }
                None => found.damaged += 1,
            }
        }
        Ok(())
    }

    /// How many rows were read.
    pub(crate) fn rows(&self) -> u64 {
        self.found.values().map(|found| (found.whole.rows + found.damaged).unsigned_abs()).sum()
    }

    /// What is wrong with the rows, a sentence for each kind. `read_whole`: the tables of which every row was read.
    pub(crate) fn faults(&self, kinds: &Kinds, read_whole: &[Keeping]) -> Vec<String> {
        let mut faults = Vec::new();
        if kinds.damaged > 0 {
            faults.push(format!("rows that count the others are not what was written ({})", kinds.damaged));
        }
        for ((keeping, number), Found { whole, damaged }) in &self.found {
            let kind = u16::try_from(*number).ok().and_then(|number| kinds.rows.get(&number));
            match kind.filter(|kind| kind.keeping == *keeping) {
                Some(kind) if *damaged > 0 => {
                    faults.push(format!("rows of {} are not what was written ({damaged})", kind.name));
                }
                Some(_) => {}
                None => {
                    let (rows, table) = (whole.rows + damaged, tables::name(*keeping));
                    faults.push(format!("rows of a kind that was never written are in the table {table} ({rows})"));
                }
            }
        }
        for (number, kind) in kinds.rows.iter().filter(|(_, kind)| read_whole.contains(&kind.keeping)) {
            let found = self.found.get(&(kind.keeping, i64::from(*number))).copied().unwrap_or_default();
            if found.damaged == 0 {
                faults.extend(difference(&kind.name, kind.totals, found.whole));
            }
        }
        faults
    }
}

fn difference(name: &str, written: Totals, found: Totals) -> Option<String> {
    let (should, are) = (written.rows, found.rows);
    match are.cmp(&should) {
        std::cmp::Ordering::Less => Some(format!("rows of {name} are missing ({} of {should})", should - are)),
        std::cmp::Ordering::Greater => {
            Some(format!("there are more rows of {name} than were written ({are} instead of {should})"))
        }
        std::cmp::Ordering::Equal => {
            (written != found).then(|| format!("rows of {name} are older than the rest, or others than were written"))
        }
    }
}
