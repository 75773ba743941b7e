//! All rows of a node in memory, as a store keeps them: what a start is given, and the disk of tests.

use crate::change::RowChange;
use crate::error::RowError;
use crate::kind::{Keeping, Kind};
use crate::row::{Row, RowKey};
use crate::table::Table;
use std::collections::BTreeMap;

/// Rows by the numbers of their kinds and by their keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    kinds: BTreeMap<u16, BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl Rows {
    /// Puts a row as it lies in a database.
    pub fn insert(&mut self, kind: u16, key: Vec<u8>, value: Vec<u8>) {
        self.kinds.entry(kind).or_default().insert(key, value);
    }

    /// Does what a store does with a change, as far as a start sees it: a [journal](Keeping::Journal) and what lies on a
    /// [shelf](Keeping::Shelf) is not kept, and a listed row that has ended goes.
    pub fn apply(&mut self, change: &RowChange) {
        let is_read = match change.kind.keeping {
            Keeping::State | Keeping::Log => true,
            Keeping::Listed => !change.has_ended,
            Keeping::Journal | Keeping::Shelf => return,
        };
        match &change.value {
            Some(value) if is_read => self.insert(change.kind.number, change.key.clone(), value.clone()),
            _ => {
                if let Some(rows) = self.kinds.get_mut(&change.kind.number) {
                    rows.remove(&change.key);
                    if rows.is_empty() {
                        self.kinds.remove(&change.kind.number);
                    }
                }
            }
        }
    }

    /// One row.
    pub fn get(&self, kind: Kind, key: &[u8]) -> Option<&[u8]> {
        self.kinds.get(&kind.number)?.get(key).map(Vec::as_slice)
    }

    /// The rows of a kind, in the order of the bytes of their keys.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.with_prefix(kind, &[])
    }

    /// Those whose keys begin so.
    pub fn with_prefix<'a>(
        &'a self,
        kind: Kind,
        prefix: &[u8],
    ) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let prefix = prefix.to_vec();
        let rows = self.kinds.get(&kind.number).into_iter();
        let rows = rows.flat_map({
            let prefix = prefix.clone();
            move |rows| rows.range(prefix.clone()..)
        });
        rows.take_while(move |(key, _)| key.starts_with(&prefix)).map(|(key, value)| (&**key, &**value))
    }

    /// All rows: the number of the kind, the key, the value.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &[u8], &[u8])> {
        self.kinds.iter().flat_map(|(kind, rows)| rows.iter().map(|(key, value)| (*kind, &**key, &**value)))
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.kinds.values().map(BTreeMap::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// The rows of a kind, read.
    ///
    /// # Errors
    /// One of them is not what was written.
    pub fn read<T: Row>(&self) -> Result<Vec<(T::Key, T)>, RowError> {
        let rows = self.of(T::KIND).map(|(key, value)| {
            let key = T::Key::from_bytes(key).map_err(RowError::damaged(T::KIND.name))?;
            let (value, _) = T::from_bytes(&key, value)?;
            Ok((key, value))
        });
        rows.collect()
    }

    /// Takes out the rows of a kind, as bytes.
    pub fn take_bytes(&mut self, kind: Kind) -> BTreeMap<Vec<u8>, Vec<u8>> {
        self.kinds.remove(&kind.number).unwrap_or_default()
    }

    /// Takes out the rows of a kind.
    ///
    /// # Errors
    /// One of them is not what was written.
    pub fn take<T: Row>(&mut self) -> Result<Table<T>, RowError> {
        let mut table = Table::default();
        for (key, value) in self.take_bytes(T::KIND) {
            let key = T::Key::from_bytes(&key).map_err(RowError::damaged(T::KIND.name))?;
            let (value, unknown) = T::from_bytes(&key, &value)?;
            table.load(key, value, unknown);
        }
        Ok(table)
    }

    /// Says that everything that this version knows was taken out.
    ///
    /// # Errors
    /// Rows of an unknown kind are left that must not be ignored.
    pub fn finish(self) -> Result<(), RowError> {
        match self.kinds.keys().find(|number| *number % 2 == 0) {
            Some(number) => Err(RowError::UnknownKind(*number)),
            None => Ok(()),
        }
    }
}
