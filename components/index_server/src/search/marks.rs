//! What a search remembers of the nodes it has seen: a table with open addresses, which grows with the search and not
//! with the graph. Numbers of nodes are given by the server, so nobody can choose them to collide.

use super::cost::Cost;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Bits of the size of a table when a search begins.
const FIRST_BITS: u32 = 11;

/// Stands for no node.
pub(crate) const NOBODY: u32 = u32::MAX;

/// What is known of one node.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mark<K> {
    /// From the node to the destination, exact.
    pub(crate) back: K,
    /// From the source to the node, at least.
    pub(crate) fore: K,
    node: u32,
    /// Of the search that wrote this place; older ones count as empty.
    epoch: u32,
    /// The next node on the way to the destination.
    pub(crate) next: u32,
    /// The node before on the way from the source.
    pub(crate) before: u32,
}

/// Marks by node.
#[derive(Debug)]
pub(crate) struct Marks<K> {
    places: Vec<Mark<K>>,
    /// The search uses the first 2^bits places.
    bits: u32,
    used: usize,
    epoch: u32,
    moving: Vec<Mark<K>>,
}

impl<K: Cost> Default for Marks<K> {
    fn default() -> Self {
        Marks { places: vec![], bits: FIRST_BITS, used: 0, epoch: 0, moving: vec![] }
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
            self.places.clear();
            self.epoch = 0;
        }
        self.epoch += 1;
        if self.places.len() < 1 << bits {
            self.places.resize(1 << bits, Mark::default());
        }
    }

    #[inline]
    fn place(&self, node: u32) -> usize {
        // Neighbouring numbers go to distant places.
        let mask = (1 << self.bits) - 1;
        let mut place = (node.wrapping_mul(0x9e37_79b9) >> (32 - self.bits)) as usize;
        loop {
            let mark = &self.places[place];
            if mark.epoch != self.epoch || mark.node == node {
                return place;
            }
            place = (place + 1) & mask;
        }
    }

    /// What is known of a node, if anything is.
    #[inline]
    pub(crate) fn find(&self, node: u32) -> Option<&Mark<K>> {
        let mark = &self.places[self.place(node)];
        (mark.epoch == self.epoch).then_some(mark)
    }

    /// What is known of a node; nothing at first.
    #[inline]
    pub(crate) fn mark(&mut self, node: u32) -> &mut Mark<K> {
        let mut place = self.place(node);
        if self.places[place].epoch != self.epoch {
            if self.used * 2 >= 1 << self.bits {
                self.enlarge();
                place = self.place(node);
            }
            self.used += 1;
            self.places[place] =
                Mark { back: K::UNKNOWN, fore: K::UNKNOWN, node, epoch: self.epoch, next: NOBODY, before: NOBODY };
        }
        &mut self.places[place]
    }

    #[cold]
    fn enlarge(&mut self) {
        let mut moving = std::mem::take(&mut self.moving);
        moving.extend(self.places[..1 << self.bits].iter().filter(|mark| mark.epoch == self.epoch));
        self.set_bits(self.bits + 2);
        self.used = moving.len();
        for mark in moving.drain(..) {
            let place = self.place(mark.node);
            self.places[place] = Mark { epoch: self.epoch, ..mark };
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

    /// Gives every entry another cost; those without one go.
    pub(crate) fn reckon_anew(&mut self, mut cost: impl FnMut(K, u32) -> Option<K>) {
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
        assert!(marks.find(7).is_none(), "epochs can begin anew");
    }
}
