//! What is in flight between nodes.

use offst_funder::ConnectionId;
use std::collections::{BTreeSet, VecDeque};

/// Two nodes, the smaller number first.
pub(super) fn pair(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

/// What travels over a connection.
pub(super) enum Packet {
    Opened(ConnectionId),
    Closed(ConnectionId),
    Frame(ConnectionId, Vec<u8>),
}

/// What is under way, in order, for each direction between two nodes.
pub(super) struct Links {
    pub(super) count: usize,
    pub(super) queues: Vec<VecDeque<Packet>>,
    /// Those with something on them.
    pub(super) busy: BTreeSet<(usize, usize)>,
    /// What is on these waits.
    pub(super) held: BTreeSet<(usize, usize)>,
    /// What is sent here vanishes.
    pub(super) dead: BTreeSet<(usize, usize)>,
}

impl Links {
    pub(super) fn new(count: usize) -> Self {
        let queues = (0..count * count).map(|_| VecDeque::new()).collect();
        Links { count, queues, busy: BTreeSet::new(), held: BTreeSet::new(), dead: BTreeSet::new() }
    }

    pub(super) fn queue(&mut self, from: usize, to: usize) -> &mut VecDeque<Packet> {
        &mut self.queues[from * self.count + to]
    }

    pub(super) fn push(&mut self, from: usize, to: usize, packet: Packet) {
        self.queue(from, to).push_back(packet);
        self.busy.insert((from, to));
    }

    pub(super) fn pop(&mut self, from: usize, to: usize) -> Option<Packet> {
        let queue = self.queue(from, to);
        let packet = queue.pop_front();
        if queue.is_empty() {
            self.busy.remove(&(from, to));
        }
        packet
    }

    pub(super) fn clear(&mut self, from: usize, to: usize) {
        self.queue(from, to).clear();
        self.busy.remove(&(from, to));
    }

    pub(super) fn is_dead(&self, from: usize, to: usize) -> bool {
        self.dead.contains(&(from, to))
    }

    pub(super) fn release(&mut self, from: usize, to: usize) {
        self.held.remove(&(from, to));
    }
}
