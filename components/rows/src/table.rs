//! The rows of one kind in memory.

use crate::change::RowChange;
use crate::fields::UnknownFields;
use crate::row::Row;
use std::collections::BTreeSet;
use std::collections::btree_map::{self, BTreeMap};
use std::ops::RangeBounds;

/// The rows of one kind in memory. What changes is marked by the change itself, so that nobody can forget to write it.
#[derive(Debug, Clone)]
pub struct Table<T: Row> {
    rows: BTreeMap<T::Key, T>,
    changed: BTreeSet<T::Key>,
    /// What a newer version has written into rows. Nearly always empty.
    unknown: BTreeMap<T::Key, UnknownFields>,
}

impl<T: Row> Default for Table<T> {
    fn default() -> Self {
        Table { rows: BTreeMap::new(), changed: BTreeSet::new(), unknown: BTreeMap::new() }
    }
}

impl<T: Row> Table<T> {
    /// A row as the database holds it.
    pub(crate) fn load(&mut self, key: T::Key, value: T, unknown: UnknownFields) {
        if !unknown.is_empty() {
            self.unknown.insert(key.clone(), unknown);
        }
        self.rows.insert(key, value);
    }

    /// A row, to look at.
    pub fn get(&self, key: &T::Key) -> Option<&T> {
        self.rows.get(key)
    }

    /// Whether there is such a row.
    pub fn contains_key(&self, key: &T::Key) -> bool {
        self.rows.contains_key(key)
    }

    /// All rows, in the order of their keys.
    pub fn iter(&self) -> btree_map::Iter<'_, T::Key, T> {
        self.rows.iter()
    }

    /// Their keys.
    pub fn keys(&self) -> btree_map::Keys<'_, T::Key, T> {
        self.rows.keys()
    }

    /// Their values.
    pub fn values(&self) -> btree_map::Values<'_, T::Key, T> {
        self.rows.values()
    }

    /// Those with keys in a range.
    pub fn range(&self, range: impl RangeBounds<T::Key>) -> btree_map::Range<'_, T::Key, T> {
        self.rows.range(range)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Puts a row, also in the place of another.
    pub fn insert(&mut self, key: T::Key, value: T) -> Option<T> {
        self.changed.insert(key.clone());
        self.rows.insert(key, value)
    }

    /// Changes a row, or makes the first one.
    pub fn entry(&mut self, key: T::Key, make: impl FnOnce() -> T) -> &mut T {
        self.changed.insert(key.clone());
        self.rows.entry(key).or_insert_with(make)
    }

    /// Takes a row out.
    pub fn remove(&mut self, key: &T::Key) -> Option<T> {
        let value = self.rows.remove(key)?;
        self.changed.insert(key.clone());
        Some(value)
    }

    /// A row, to change.
    pub fn get_mut(&mut self, key: &T::Key) -> Option<&mut T> {
        let value = self.rows.get_mut(key)?;
        self.changed.insert(key.clone());
        Some(value)
    }

    /// A row, to change what binds nobody yet: it is written with the next change that does, and a restart may forget it.
    pub fn draft(&mut self, key: &T::Key) -> Option<&mut T> {
        self.rows.get_mut(key)
    }

    /// Puts a row that binds nobody yet; see [`Table::draft`].
    pub fn insert_draft(&mut self, key: T::Key, value: T) {
        self.rows.insert(key, value);
    }

    /// A row leaves memory as the database has it: it stays there, or was a draft and never came there.
    pub fn forget(&mut self, key: &T::Key) -> Option<T> {
        self.unknown.remove(key);
        self.changed.remove(key);
        self.rows.remove(key)
    }

    /// Whether a newer version has written fields into rows that this one does not know.
    pub fn has_unknown_fields(&self) -> bool {
        !self.unknown.is_empty()
    }

    /// Keys of the rows that have changed since [`Table::take_changes`].
    pub fn changed(&self) -> impl Iterator<Item = &T::Key> {
        self.changed.iter()
    }

    /// What the next transaction has to write, and nothing twice.
    pub fn take_changes(&mut self, changes: &mut Vec<RowChange>) {
        for key in std::mem::take(&mut self.changed) {
            match self.rows.get(&key) {
                Some(value) if !value.is_stored() => {}
                Some(value) => {
                    static NONE: UnknownFields = UnknownFields::none();
                    changes.push(RowChange::keep(&key, value, self.unknown.get(&key).unwrap_or(&NONE)));
                }
                None => {
                    self.unknown.remove(&key);
                    changes.push(RowChange::remove::<T>(&key));
                }
            }
        }
    }

    /// The rows as the database must hold them, for checks from outside.
    pub fn stored(&self) -> impl Iterator<Item = RowChange> {
        static NONE: UnknownFields = UnknownFields::none();
        let rows = self.rows.iter().filter(|(_, value)| value.is_stored());
        rows.map(|(key, value)| RowChange::keep(key, value, self.unknown.get(key).unwrap_or(&NONE)))
    }
}

impl<T: Row> std::ops::Index<&T::Key> for Table<T> {
    type Output = T;

    fn index(&self, key: &T::Key) -> &T {
        &self.rows[key]
    }
}

impl<'a, T: Row> IntoIterator for &'a Table<T> {
    type Item = (&'a T::Key, &'a T);
    type IntoIter = btree_map::Iter<'a, T::Key, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.rows.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::RowError;
    use crate::fields::{FieldReader, FieldWriter};
    use crate::kind::Kind;
    use crate::memory::Rows;
    use crate::row::RowKey;
    use offst_proto::encoding::Decoder;

    /// 0 is a draft that is not to be in the database yet.
    #[derive(Debug, Clone, PartialEq, Eq)]
    struct Number(u64);

    impl Row for Number {
        const KIND: Kind = Kind::state(1, "numbers");
        type Key = String;

        fn write(&self, fields: &mut FieldWriter) {
            fields.with(2, |encoder| encoder.u64(self.0));
        }

        fn read(_: &String, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
            fields.with(2, Decoder::u64).map(Number)
        }

        fn is_stored(&self) -> bool {
            self.0 != 0
        }
    }

    /// What the table writes, one row after the other.
    fn written(table: &mut Table<Number>) -> Vec<(String, Option<u64>)> {
        let mut changes = Vec::new();
        table.take_changes(&mut changes);
        let read = |change: &RowChange| change.read::<Number>().unwrap().expect("there is one kind");
        changes.iter().map(read).map(|(key, value)| (key, value.map(|value| value.0))).collect()
    }

    #[test]
    fn what_changes_is_marked_and_written_once() {
        let mut table = Table::default();
        let name = |text: &str| text.to_owned();
        table.insert(name("a"), Number(1));
        table.insert(name("b"), Number(2));
        assert_eq!(written(&mut table), [(name("a"), Some(1)), (name("b"), Some(2))]);
        assert_eq!(written(&mut table), []);
        table.get_mut(&name("a")).unwrap().0 = 3;
        table.entry(name("c"), || Number(4)).0 = 5;
        assert_eq!(table.remove(&name("b")), Some(Number(2)));
        assert_eq!(table.remove(&name("b")), None);
        assert_eq!(written(&mut table), [(name("a"), Some(3)), (name("b"), None), (name("c"), Some(5))]);
    }

    #[test]
    fn a_draft_is_written_with_the_next_change_and_not_before() {
        let mut table = Table::default();
        let key = "a".to_owned();
        table.insert_draft(key.clone(), Number(0));
        table.get_mut(&key).unwrap();
        assert_eq!(written(&mut table), [], "it is not to be stored yet");
        table.draft(&key).unwrap().0 = 1;
        assert_eq!(written(&mut table), []);
        table.get_mut(&key).unwrap().0 += 1;
        assert_eq!(written(&mut table), [(key.clone(), Some(2))]);
        table.get_mut(&key).unwrap();
        assert_eq!(table.forget(&key), Some(Number(2)));
        assert_eq!(written(&mut table), [], "it stays in the database");
    }

    #[test]
    fn a_row_keeps_what_a_newer_version_has_written_into_it() {
        let key = "a".to_owned();
        let newer = [&*Number(7).to_bytes(&UnknownFields::none()), &[3, 1, 9]].concat();
        let mut rows = Rows::default();
        rows.insert(Number::KIND.number, key.to_bytes(), newer);
        let mut table: Table<Number> = rows.take().unwrap();
        table.get_mut(&key).unwrap().0 = 8;
        let mut changes = Vec::new();
        table.take_changes(&mut changes);
        assert!(changes[0].value.as_ref().unwrap().ends_with(&[3, 1, 9]));
        assert!(table.has_unknown_fields());
    }
}
