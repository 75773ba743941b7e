//! Reads what many changes will need before the first of them is made.
//!
//! A change of a large graph waits for memory some twenty times: for the numbers of both nodes, for where their lists lie,
//! for the lists. One after the other that is most of its time. Here each of these reads is made for a batch of changes,
//! and none of a kind needs the result of another, so the processor waits for all of them at once. Nothing is
//! decided here: a change finds in its cache what it looks for, or it does not.

use super::CapacityGraph;
use crate::book::GraphChange;

/// Changes for which is read ahead. What they read, some kilobytes each, has to fit into a cache of the core.
pub(super) const TOGETHER: usize = 64;

impl CapacityGraph {
    pub(super) fn read_ahead(&self, changes: &[GraphChange]) {
        let ends = changes.iter().filter_map(|change| {
            let (node, friend, currency) = change.place();
            let layer = self.currencies.get(currency)?;
            Some([(layer, node), (layer, friend)])
        });
        let ends: Vec<_> = ends.flatten().collect();
        let slots: Vec<_> = ends.iter().map(|(layer, key)| layer.numbers().read_slot(key)).collect();
        ends.iter().zip(slots).for_each(|((layer, _), number)| layer.numbers().read_key(number));
        let numbers = ends.iter().filter_map(|(layer, key)| Some((layer, layer.number(key)?)));
        let numbers: Vec<_> = numbers.collect();
        numbers.iter().for_each(|(layer, number)| layer.read_places(*number));
        numbers.iter().for_each(|(layer, number)| layer.read_lists(*number));
    }
}
