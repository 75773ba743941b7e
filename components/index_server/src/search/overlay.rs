//! How the graph differs for one search: directions of friendships that are excluded as a whole or above an amount, or used by
//! other parts of the same route.

use std::collections::BTreeMap;

/// Words of a bit filter that most nodes do not pass.
const FILTER_WORDS: usize = 64;

/// The directions that differ, by sender and receiver.
#[derive(Debug, Clone)]
pub(crate) struct Overlay {
    directions: BTreeMap<(u32, u32), Direction>,
    filter: [u64; FILTER_WORDS],
}

#[derive(Debug, Clone, Copy)]
struct Direction {
    /// No more may be used, whatever its capacity is, credits.
    limit: u128,
    /// Used already, credits. Negative when the opposite direction is used.
    taken: i128,
}

impl Default for Overlay {
    fn default() -> Self {
        Overlay { directions: BTreeMap::new(), filter: [0; FILTER_WORDS] }
    }
}

impl Overlay {
    /// The direction cannot be used at all.
    pub(crate) fn exclude(&mut self, from: u32, to: u32) {
        self.limit(from, to, 0);
    }

    /// The direction cannot be used for more.
    pub(crate) fn limit(&mut self, from: u32, to: u32, limit: u128) {
        let direction = self.entry(from, to);
        direction.limit = direction.limit.min(limit);
    }

    /// `amount` more of the direction is used; less, when it is negative.
    pub(crate) fn take(&mut self, from: u32, to: u32, amount: i128) {
        let direction = self.entry(from, to);
        direction.taken = direction.taken.saturating_add(amount);
    }

    fn entry(&mut self, from: u32, to: u32) -> &mut Direction {
        for node in [from, to] {
            let (word, bit) = filter_bit(node);
            self.filter[word] |= bit;
        }
        self.directions.entry((from, to)).or_insert(Direction { limit: u128::MAX, taken: 0 })
    }

    /// Whether something from or to the node may be taken.
    #[inline]
    pub(crate) fn touches(&self, node: u32) -> bool {
        let (word, bit) = filter_bit(node);
        self.filter[word] & bit != 0
    }

    /// What is left of a capacity.
    pub(crate) fn left(&self, from: u32, to: u32, capacity: u128) -> u128 {
        match self.directions.get(&(from, to)) {
            None => capacity,
            Some(Direction { limit: 0, .. }) => 0,
            Some(Direction { limit, taken }) => {
                u128::try_from((capacity.min(*limit) as i128).saturating_sub(*taken)).unwrap_or_default()
            }
        }
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
        overlay.limit(1, 2, 7);
        overlay.limit(1, 2, 8);
        assert_eq!((overlay.left(1, 2, 6), overlay.left(1, 2, 10)), (2, 3));
        overlay.exclude(1, 2);
        overlay.take(1, 2, -(1 << 97));
        assert_eq!((overlay.touches(1), overlay.touches(2), overlay.left(1, 2, 1 << 96)), (true, true, 0));
    }
}
