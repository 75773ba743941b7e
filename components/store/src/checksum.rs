//! The checksum at the end of every row.
//!
//! SQLite finds damage to the structure of its file, and signatures prove what stands on accounts. What a disk, a copy or a
//! hand changes in any other value is found by this: a CRC-32 over all of the row's other columns and its table. Any change of up
//! to 4 bytes in a row is found for certain, any other but for one in 2^32. The sum of a kind's checksums finds in the same way
//! that a row is gone, or is one that was there before (`kinds.rs`). It guards against accidents; an attacker can compute
//! both anew, and then has the signatures against them.

use offst_crypto::PublicKey;
use offst_rows::Keeping;

/// A row of any kind, as it lies in its table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoredRow<'a> {
    /// The table.
    pub(crate) keeping: Keeping,
    /// The number of the kind.
    pub(crate) kind: u16,
    /// Its place in the order of its kind; 0 in a table without such an order.
    pub(crate) number: i64,
    /// See [`offst_rows::RowChange::has_ended`]. False in all tables but one.
    pub(crate) has_ended: bool,
    /// See [`offst_rows::RowChange::key`].
    pub(crate) key: &'a [u8],
    /// See [`offst_rows::RowChange::value`].
    pub(crate) value: &'a [u8],
}

impl StoredRow<'_> {
    /// Its checksum: a number of 32 bits.
    pub(crate) fn checksum(&self) -> i64 {
        let table = match self.keeping {
            Keeping::State => 1,
            Keeping::Log => 2,
            Keeping::Listed => 3,
            Keeping::Journal => 4,
            Keeping::Shelf => 5,
        };
        // The key's length separates it from the value.
        let [a, b] = self.kind.to_be_bytes();
        let [c, d, e, f, g, h, i, j] = self.number.to_be_bytes();
        let [k, l, m, n] = u32::try_from(self.key.len()).unwrap_or(u32::MAX).to_be_bytes();
        let mut sum = crc32fast::Hasher::new();
        sum.update(&[table, a, b, c, d, e, f, g, h, i, j, u8::from(self.has_ended), k, l, m, n]);
        sum.update(self.key);
        sum.update(self.value);
        i64::from(sum.finalize())
    }
}

/// Of the row that names the node.
pub(crate) fn of_node(key: &PublicKey) -> i64 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&[0]);
    sum.update(key.as_bytes());
    i64::from(sum.finalize())
}

/// Of the row of a kind: its number, how many rows it has and the sum of their checksums, its name, and its table.
pub(crate) fn of_kind(numbers: [i64; 3], name: &str, kept_in: &str) -> i64 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&[6]);
    numbers.iter().for_each(|number| sum.update(&number.to_be_bytes()));
    sum.update(&(name.len() as u64).to_be_bytes());
    sum.update(name.as_bytes());
    sum.update(kept_in.as_bytes());
    i64::from(sum.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: StoredRow<'_> =
        StoredRow { keeping: Keeping::State, kind: 2, number: 0, has_ended: false, key: &[1, 2], value: &[3] };

    #[test]
    fn rows_that_look_alike_differ() {
        let sums = [
            ROW,
            StoredRow { keeping: Keeping::Log, ..ROW },
            StoredRow { kind: 0x200, ..ROW },
            StoredRow { number: 1, ..ROW },
            StoredRow { has_ended: true, ..ROW },
            StoredRow { key: &[1], value: &[2, 3], ..ROW },
            StoredRow { key: &[1, 2, 3], value: &[], ..ROW },
            StoredRow { value: &[3, 0], ..ROW },
        ]
        .map(|row| row.checksum());
        for (index, first) in sums.iter().enumerate() {
            assert!(sums[index + 1..].iter().all(|second| first != second), "{sums:?}");
        }
        let kinds = [of_kind([1, 2, 3], "ab", "c"), of_kind([1, 2, 3], "a", "bc"), of_kind([1, 3, 2], "ab", "c")];
        assert!(kinds[0] != kinds[1] && kinds[0] != kinds[2], "{kinds:?}");
    }

    /// What one version has written is checked by every later one.
    #[test]
    fn checksums_stay_what_they_are() {
        let node = of_node(&offst_crypto::Identity::from_seed([1; 32]).public_key());
        assert_eq!(
            [ROW.checksum(), of_kind([1, 2, 3], "ab", "c"), node],
            [3_642_902_644, 2_147_437_587, 2_187_339_984]
        );
    }
}
