//! What a search remembers of the nodes it has seen: an open-addressing hash table, which grows with the search and not
//! with the graph. Numbers of nodes are given by the server, so nobody can choose them to collide.

use super::cost::Cost;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Bits of the size of a table when a search begins.
const FIRST_BITS: u32 = 11;

/// Stands for no node.
pub(crate) const NO_NODE: u32 = u32::MAX;

/// What is known of one node.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mark<K> {
    /// Cost from the node to the destination, exact.
    pub(crate) backward: K,
    /// A lower bound of the cost from the source to the node.
    pub(crate) forward: K,
    node: u32,
    /// Of the search that wrote this slot; older ones count as empty.
    epoch: u32,
    /// The next node towards the destination.
    pub(crate) next: u32,
    /// The node before, towards the source.
    pub(crate) before: u32,
}

/// Marks by node.
#[derive(Debug)]
pub(crate) struct Marks<K> {
    slots: Vec<Mark<K>>,
    /// The search uses the first 2^bits slots.
    bits: u32,
    used: usize,
    epoch: u32,
    moving: Vec<Mark<K>>,
}

impl<K: Cost> Default for Marks<K> {
    fn default() -> Self {
        Marks { slots: vec![], bits: FIRST_BITS, used: 0, epoch: 0, moving: vec![] }
    }
}

impl<K: Cost> Marks<K> {
    /// Forgets all nodes.
    pub(crate) fn clear(&mut self) {
        self.set_bits(FIRST_BITS);
    }

    fn set_bits(&mut self, bits: u32) {
        self.bits = bits;
        self.used = 0;
        if self.epoch == u32::MAX {
            self.slots.clear();
            self.epoch = 0;
        }
        self.epoch += 1;
        if self.slots.len() < 1 << bits {
            self.slots.resize(1 << bits, Mark::default());
        }
    }

    #[inline]
    fn slot(&self, node: u32) -> usize {
        // Neighbouring numbers go to distant slots.
        let mask = (1 << self.bits) - 1;
        let mut slot = (node.wrapping_mul(0x9e37_79b9) >> (32 - self.bits)) as usize;
        loop {
            let mark = &self.slots[slot];
            if mark.epoch != self.epoch || mark.node == node {
                return slot;
            }
            slot = (slot + 1) & mask;
        }
    }

    /// What is known of a node, if anything is.
    #[inline]
    pub(crate) fn find(&self, node: u32) -> Option<&Mark<K>> {
        let mark = &self.slots[self.slot(node)];
        (mark.epoch == self.epoch).then_some(mark)
    }

    /// What is known of a node; nothing at first.
    #[inline]
    pub(crate) fn mark(&mut self, node: u32) -> &mut Mark<K> {
        let mut slot = self.slot(node);
        if self.slots[slot].epoch != self.epoch {
            if self.used * 2 >= 1 << self.bits {
                self.enlarge();
                slot = self.slot(node);
            }
            self.used += 1;
            self.slots[slot] = Mark {
                backward: K::UNKNOWN,
                forward: K::UNKNOWN,
                node,
                epoch: self.epoch,
                next: NO_NODE,
                before: NO_NODE,
            };
        }
        &mut self.slots[slot]
    }

    #[cold]
    fn enlarge(&mut self) {
        let mut moving = std::mem::take(&mut self.moving);
        moving.extend(self.slots[..1 << self.bits].iter().filter(|mark| mark.epoch == self.epoch));
        self.set_bits(self.bits + 2);
        self.used = moving.len();
        for mark in moving.drain(..) {
            let slot = self.slot(mark.node);
            self.slots[slot] = Mark { epoch: self.epoch, ..mark };
        }
        self.moving = moving;
    }
}

/// Nodes waiting, the least cost first; then by number, so that a search runs the same each time.
#[derive(Debug)]
pub(crate) struct Queue<K> {
    heap: BinaryHeap<Reverse<(K, u32)>>,
}

impl<K: Cost> Default for Queue<K> {
    fn default() -> Self {
        Queue { heap: BinaryHeap::new() }
    }
}

impl<K: Cost> Queue<K> {
    pub(crate) fn clear(&mut self) {
        self.heap.clear();
    }

    pub(crate) fn push(&mut self, cost: K, item: u32) {
        self.heap.push(Reverse((cost, item)));
    }

    pub(crate) fn pop(&mut self) -> Option<(K, u32)> {
        self.heap.pop().map(|Reverse(entry)| entry)
    }

    pub(crate) fn peek(&self) -> Option<(K, u32)> {
        self.heap.peek().map(|Reverse(entry)| *entry)
    }

    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Gives every entry another cost; those without one are removed.
    pub(crate) fn reprice(&mut self, mut cost: impl FnMut(K, u32) -> Option<K>) {
        let mut entries = std::mem::take(&mut self.heap).into_vec();
        entries.retain_mut(|Reverse(entry)| match cost(entry.0, entry.1) {
            Some(cost) => {
                entry.0 = cost;
                true
            }
            None => false,
        });
        self.heap = entries.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_remembered_until_cleared() {
        let mut marks = Marks::<u64>::default();
        for round in 0..3u32 {
            marks.clear();
            assert!((0..5000).all(|node| marks.find(node * 7).is_none()));
            for node in 0..5000 {
                marks.mark(node * 7).next = node + round;
            }
            assert!((0..5000).all(|node| marks.find(node * 7).unwrap().next == node + round));
            assert!(marks.find(3).is_none());
        }
        marks.epoch = u32::MAX;
        marks.clear();
        assert!(marks.find(7).is_none(), "epochs can start again");
    }
}
