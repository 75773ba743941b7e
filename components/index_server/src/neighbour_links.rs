//! The connections with neighbours, at most one with each: decisions only.

use offst_crypto::PublicKey;
use std::collections::BTreeMap;

/// Connections that both servers dial within this time have crossed. Later, a new one means that the other side has lost the
/// old one.
const CROSSING_MS: u64 = 5000;

/// The connections with neighbours, at most one with each.
#[derive(Debug)]
pub(crate) struct NeighbourLinks<H> {
    own: PublicKey,
    next_number: u64,
    open: BTreeMap<PublicKey, Open<H>>,
}

#[derive(Debug)]
struct Open<H> {
    number: u64,
    is_dialled: bool,
    since_ms: u64,
    handle: H,
}

impl<H> NeighbourLinks<H> {
    pub(crate) fn new(own: PublicKey) -> Self {
        NeighbourLinks { own, next_number: 0, open: BTreeMap::new() }
    }

    /// A connection with a neighbour is up, which this server has dialled, or the neighbour. Gives its number and the
    /// handle of the one it displaces; none when the other one stays.
    pub(crate) fn open(
        &mut self,
        neighbour: PublicKey,
        is_dialled: bool,
        handle: H,
        now_ms: u64,
    ) -> Option<(u64, Option<H>)> {
        if let Some(other) = self.open.get(&neighbour) {
            let is_crossing = other.is_dialled != is_dialled && now_ms.saturating_sub(other.since_ms) < CROSSING_MS;
            // Of two that crossed the one stays that the smaller key has dialled: both sides see it alike.
            let is_of_smaller = is_dialled == (self.own < neighbour);
            if is_crossing && !is_of_smaller {
                return None;
            }
        }
        let number = self.next_number;
        self.next_number += 1;
        let displaced = self.open.insert(neighbour, Open { number, is_dialled, since_ms: now_ms, handle });
        Some((number, displaced.map(|open| open.handle)))
    }

    /// The connection `number` has ended. False when it was displaced before.
    pub(crate) fn close(&mut self, neighbour: &PublicKey, number: u64) -> bool {
        let is_open = self.open.get(neighbour).is_some_and(|open| open.number == number);
        if is_open {
            self.open.remove(neighbour);
        }
        is_open
    }

    /// The handle of the connection with a neighbour.
    pub(crate) fn handle(&self, neighbour: &PublicKey) -> Option<&H> {
        self.open.get(neighbour).map(|open| &open.handle)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offst_crypto::Identity;

    fn keys() -> (PublicKey, PublicKey) {
        let [one, other] = [1, 2].map(|seed| Identity::from_seed([seed; 32]).public_key());
        if one < other { (one, other) } else { (other, one) }
    }

    /// Both servers have accepted the other's dial when they learn that their own was accepted.
    #[test]
    fn of_two_crossed_dials_both_keep_the_same() {
        let (smaller, larger) = keys();
        let (mut at_smaller, mut at_larger) = (NeighbourLinks::new(smaller), NeighbourLinks::new(larger));
        assert_eq!(at_smaller.open(larger, false, "larger's dial", 0), Some((0, None)));
        assert_eq!(at_larger.open(smaller, false, "smaller's dial", 0), Some((0, None)));
        assert_eq!(at_smaller.open(larger, true, "smaller's dial", 10), Some((1, Some("larger's dial"))));
        assert_eq!(at_larger.open(smaller, true, "larger's dial", 10), None);
        assert_eq!(at_smaller.handle(&larger), at_larger.handle(&smaller));
        assert!(!at_smaller.close(&larger, 0), "the displaced one's end does not end the new one");
        assert_eq!(at_smaller.len(), 1);
        assert!(at_smaller.close(&larger, 1) && at_smaller.handle(&larger).is_none());
    }

    #[test]
    fn a_neighbour_that_has_lost_its_connection_gets_a_new_one() {
        let (smaller, larger) = keys();
        let mut links = NeighbourLinks::new(smaller);
        links.open(larger, true, 1, 0);
        assert_eq!(links.open(larger, false, 2, CROSSING_MS - 1), None);
        assert_eq!(links.open(larger, false, 2, CROSSING_MS), Some((1, Some(1))));
        assert_eq!(links.open(larger, false, 3, CROSSING_MS + 1), Some((2, Some(2))), "the same side again");
    }
}
