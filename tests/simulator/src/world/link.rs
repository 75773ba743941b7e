//! Connections that break, and the order in which things arrive.

use super::{Fault, Packet, World, pair};
use offst_funder::{Funder, Input};
use offst_proto::friend::FriendMessage;
use std::collections::VecDeque;

impl World {
    /// Connects two nodes that want it.
    pub fn connect(&mut self, a: usize, b: usize) {
        let want = |from: usize, to: usize| {
            let node = &self.nodes[from];
            node.is_puppet || (node.is_up() && node.contacts.contains(&self.nodes[to].key))
        };
        if self.connections.contains_key(&pair(a, b)) || !want(a, b) || !want(b, a) {
            return;
        }
        self.counter += 1;
        self.connections.insert(pair(a, b), self.counter);
        for (from, to) in [(a, b), (b, a)] {
            self.links.entry((from, to)).or_default().push_back(Packet::Opened(self.counter));
        }
    }

    /// Connects all that want it.
    pub fn connect_all(&mut self) {
        for a in 0..self.nodes.len() {
            for b in 0..a {
                self.connect(a, b);
            }
        }
    }

    /// Breaks a connection; some of what was under way still arrives.
    pub fn disconnect(&mut self, a: usize, b: usize) {
        let Some(connection) = self.connections.remove(&pair(a, b)) else { return };
        self.faults.add(Fault::BrokenConnection);
        for (from, to) in [(a, b), (b, a)] {
            let link = self.links.entry((from, to)).or_default();
            let kept = if self.is_wild { self.dice.below(link.len() + 1) } else { 0 };
            link.truncate(kept);
            link.push_back(Packet::Closed(connection));
        }
    }

    /// Whether two nodes are connected.
    pub fn is_connected(&self, a: usize, b: usize) -> bool {
        self.connections.contains_key(&pair(a, b))
    }

    fn input(&self, from: usize, packet: Packet) -> Input {
        let key = self.nodes[from].key;
        match packet {
            Packet::Opened(connection) => Input::Connected(key, connection),
            Packet::Closed(connection) => Input::Disconnected(key, connection),
            Packet::Frame(connection, frame) => match FriendMessage::from_frame(&frame).expect("a node's own frame") {
                FriendMessage::Resume(resume) => Input::Resume(key, connection, resume),
                FriendMessage::Statement(statement) => {
                    let statement = statement.verify(&*self.verifier).expect("a node's own signature");
                    Input::Statement(key, connection, Box::new(statement))
                }
                FriendMessage::Evidence(evidence) => Input::Evidence(key, connection, evidence),
                FriendMessage::EvidenceStatements(statements) => {
                    let verified = statements.into_iter().map(|statement| statement.verify(&*self.verifier));
                    let verified = verified.collect::<Result<_, _>>().expect("signatures that are on a node's disk");
                    Input::EvidenceStatements(key, connection, verified)
                }
                message => panic!("a funder does not send {message:?}"),
            },
        }
    }

    fn due(&self, index: usize) -> bool {
        let node = &self.nodes[index];
        !node.is_frozen
            && node
                .funder
                .as_ref()
                .and_then(Funder::next_deadline)
                .is_some_and(|deadline| deadline <= self.now(index).uptime_ms)
    }

    /// Hands one packet, answer or tick to some node. Says whether there was any.
    pub fn step(&mut self) -> bool {
        let mut ready: Vec<(usize, usize)> = self
            .links
            .iter()
            .filter(|((_, to), link)| !link.is_empty() && !self.nodes[*to].is_frozen)
            .map(|(ends, _)| *ends)
            .collect();
        let waiting = |index: &usize| {
            let node = &self.nodes[*index];
            !node.is_frozen && node.is_up() && (!node.inbox.is_empty() || self.due(*index))
        };
        ready.extend((0..self.nodes.len()).filter(waiting).map(|index| (index, index)));
        if ready.is_empty() {
            return false;
        }
        self.counter += 1;
        let chosen = if self.is_wild { self.dice.below(ready.len()) } else { self.counter as usize % ready.len() };
        let (from, to) = ready[chosen];
        if from == to {
            let mut inputs: Vec<Input> = self.nodes[to].inbox.pop_front().into_iter().collect();
            inputs.push(Input::Tick);
            self.batch(to, inputs);
            return true;
        }
        let size = if self.is_wild { 1 + self.dice.below(4) } else { 1 };
        let mut inputs = Vec::new();
        for _ in 0..size {
            let Some(packet) = self.links.get_mut(&(from, to)).and_then(VecDeque::pop_front) else { break };
            if self.nodes[to].is_puppet {
                continue;
            }
            inputs.push(self.input(from, packet));
        }
        self.batch(to, inputs);
        true
    }

    /// Until nothing is under way and no timer is due.
    pub fn settle(&mut self) {
        for _ in 0..200_000 {
            if !self.step() {
                return;
            }
        }
        panic!("the world does not come to rest");
    }

    /// Lets time pass; every timer runs at its time.
    pub fn advance(&mut self, ms: u64) {
        let end = self.time + ms;
        self.settle();
        loop {
            let next = (0..self.nodes.len())
                .filter(|index| !self.nodes[*index].is_frozen)
                .filter_map(|index| {
                    Some(self.nodes[index].funder.as_ref()?.next_deadline()? + self.nodes[index].booted)
                })
                .min();
            match next.filter(|next| *next <= end) {
                Some(next) => {
                    self.time = self.time.max(next);
                    self.settle();
                }
                None => break,
            }
        }
        self.time = end;
        self.settle();
    }

    /// Like [`World::settle`], but one node does nothing from now on.
    pub fn settle_but(&mut self, frozen: usize) {
        self.nodes[frozen].is_frozen = true;
        self.settle();
    }

    /// Takes out what is under way on a link.
    pub fn take_inputs(&mut self, from: usize, to: usize) -> Vec<Input> {
        let packets: Vec<_> = self.links.entry((from, to)).or_default().drain(..).collect();
        packets.into_iter().map(|packet| self.input(from, packet)).collect()
    }
}
