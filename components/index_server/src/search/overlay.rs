//! What one search must leave alone: directions of friendships that are excluded, or full with other parts of the same way.

use std::collections::BTreeMap;

/// Words of bits by which most nodes are known to have nothing to do with it.
const FILTER_WORDS: usize = 64;
/// Taken from a direction that must not be used: far more than every capacity.
const EXCLUDED: i128 = i128::MAX / 2;

/// Credits that are taken from directions, by sender and receiver.
#[derive(Debug, Clone)]
pub(crate) struct Overlay {
    taken: BTreeMap<(u32, u32), i128>,
    filter: [u64; FILTER_WORDS],
}

impl Default for Overlay {
    fn default() -> Self {
        Overlay { taken: BTreeMap::new(), filter: [0; FILTER_WORDS] }
    }
}

impl Overlay {
    /// The direction cannot be used at all.
    pub(crate) fn exclude(&mut self, from: u32, to: u32) {
        *self.entry(from, to) = EXCLUDED;
    }

    /// `amount` more of the direction is used; less, when it is negative.
    pub(crate) fn take(&mut self, from: u32, to: u32, amount: i128) {
        let taken = self.entry(from, to);
        *taken = taken.saturating_add(amount);
    }

    fn entry(&mut self, from: u32, to: u32) -> &mut i128 {
        for node in [from, to] {
            let (word, bit) = filter_bit(node);
            self.filter[word] |= bit;
        }
        self.taken.entry((from, to)).or_default()
    }

    /// Whether something from or to the node may be taken.
    #[inline]
    pub(crate) fn touches(&self, node: u32) -> bool {
        let (word, bit) = filter_bit(node);
        self.filter[word] & bit != 0
    }

    /// What is left of a capacity.
    pub(crate) fn left(&self, from: u32, to: u32, capacity: u128) -> u128 {
        let taken = self.taken.get(&(from, to)).copied().unwrap_or_default();
        u128::try_from((capacity as i128).saturating_sub(taken)).unwrap_or_default()
    }
}

#[inline]
fn filter_bit(node: u32) -> (usize, u64) {
    ((node >> 6) as usize % FILTER_WORDS, 1 << (node % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left() {
        let mut overlay = Overlay::default();
        assert_eq!((overlay.touches(1), overlay.left(1, 2, 10)), (false, 10));
        overlay.take(1, 2, 4);
        overlay.take(2, 1, -4);
        assert_eq!((overlay.left(1, 2, 10), overlay.left(2, 1, 0), overlay.left(1, 2, 3)), (6, 4, 0));
        overlay.exclude(1, 2);
        overlay.take(1, 2, -(1 << 97));
        assert_eq!((overlay.touches(1), overlay.touches(2), overlay.left(1, 2, 1 << 96)), (true, true, 0));
    }
}
