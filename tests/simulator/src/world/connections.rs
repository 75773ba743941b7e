//! Connections that break, and the order in which things arrive.

use super::links::{Packet, pair};
use super::scheduler::Plan;
use super::{InjectedFault, World};
use offst_funder::{ConnectionId, Funder, Input};
use offst_ledger::Account;
use offst_proto::friend::FriendMessage;
use std::collections::{BTreeSet, VecDeque};

/// How long nobody notices that a direction is dead, ms: the keepalive of a real connection.
const NOTICE_MS: u64 = 30_000;

impl World {
    /// Connects two nodes that want it.
    pub fn connect(&mut self, a: usize, b: usize) {
        let want = |from: usize, to: usize| {
            let node = &self.nodes[from];
            node.is_puppet || (node.is_up() && node.contacts.contains(&self.nodes[to].key))
        };
        let has = self.connections.contains_key(&pair(a, b)) || self.cut.contains(&pair(a, b));
        if has || self.relay_network.is_used() || !want(a, b) || !want(b, a) {
            return;
        }
        self.counter += 1;
        self.opened(a, b, self.counter);
    }

    /// A connection is up at both ends.
    pub(super) fn opened(&mut self, a: usize, b: usize, connection: u64) {
        self.connections.insert(pair(a, b), connection);
        for (from, to) in [(a, b), (b, a)] {
            self.links.push(from, to, Packet::Opened(connection));
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
        self.faults.add(InjectedFault::BrokenConnection);
        let mut lost = 0;
        for (from, to) in [(a, b), (b, a)] {
            self.links.dead.remove(&(from, to));
            let count = self.links.queue(from, to).len();
            let kept = if self.is_wild { self.dice.below(count + 1) } else { 0 };
            lost += count - kept;
            let rest = self.links.queue(from, to).split_off(kept);
            if self.reconnects && self.dice.chance(30) {
                self.arrive_late(from, to, rest);
            }
            self.links.push(from, to, Packet::Closed(connection));
        }
        if lost > 0 {
            self.faults.add(InjectedFault::LostSuffix);
        }
        if self.relay_network.is_used() {
            self.relays_closed(a, b, connection);
        } else if self.reconnects {
            let pause = 20 + self.dice.below(2_000) as u64;
            self.plan(pause, Plan::Connect(a, b));
        }
    }

    /// Some of what was on a broken connection arrives all the same, when there may be another connection already.
    fn arrive_late(&mut self, from: usize, to: usize, packets: VecDeque<Packet>) {
        for packet in packets {
            if let Packet::Frame(connection, frame) = packet {
                let pause = 100 + self.dice.below(4_000) as u64;
                self.plan(pause, Plan::Late(from, to, connection, frame));
            }
        }
    }

    /// Hands over a frame of a connection that is gone.
    ///
    /// # Panics
    /// When it changes an account: what is said on one connection means nothing on the next.
    pub(super) fn deliver_late(&mut self, from: usize, to: usize, connection: ConnectionId, frame: Vec<u8>) {
        let accounts = |world: &World| -> Option<Vec<Account>> {
            let funder = world.nodes[to].funder.as_ref().filter(|_| world.nodes[to].is_free())?;
            let with_sender = funder.accounts().filter(|(key, _)| *key == world.key(from));
            Some(with_sender.map(|(_, account)| account.clone()).collect())
        };
        // The receiver may not know yet that the connection is gone.
        if accounts(self).is_none() || self.nodes[to].connected_over.get(&self.key(from)) == Some(&connection) {
            return;
        }
        // What is due happens before.
        self.batch(to, vec![]);
        let Some(before) = accounts(self) else { return };
        self.faults.add(InjectedFault::Late);
        let input = self.input(from, Packet::Frame(connection, frame));
        self.batch(to, vec![input]);
        let after = accounts(self);
        assert!(
            after.is_none_or(|after| after == before),
            "a frame that node {from} has sent over a connection that is gone changes its account with node {to}"
        );
    }

    /// What is and will be on a link waits for so long.
    pub(crate) fn delay(&mut self, from: usize, to: usize, ms: u64) {
        if self.is_connected(from, to) && self.links.held.insert((from, to)) {
            self.faults.add(InjectedFault::Delayed);
            self.plan(ms, Plan::Release(from, to));
        }
    }

    /// What `from` sends to `to` vanishes from now on, until somebody notices.
    pub(crate) fn deafen(&mut self, from: usize, to: usize) {
        if let Some(connection) = self.connections.get(&pair(from, to)).copied()
            && self.links.dead.insert((from, to))
        {
            self.faults.add(InjectedFault::HalfOpen);
            let notice = NOTICE_MS / 2 + self.dice.below(NOTICE_MS as usize) as u64;
            self.plan(notice, Plan::Notice(from, to, connection));
        }
    }

    /// These nodes and the others do not reach each other for so long.
    pub(crate) fn part(&mut self, nodes: &BTreeSet<usize>, ms: u64, is_silent: bool) {
        self.faults.add(InjectedFault::Partition);
        for a in nodes.iter().copied() {
            for b in (0..self.nodes.len()).filter(|b| !nodes.contains(b)) {
                if !self.cut.insert(pair(a, b)) {
                    continue;
                }
                self.plan(ms, Plan::Rejoin(a, b));
                if is_silent {
                    self.deafen(a, b);
                    self.deafen(b, a);
                } else {
                    self.disconnect(a, b);
                }
            }
        }
    }

    /// Nobody is delayed, deaf or cut off any more.
    pub(super) fn clear_air(&mut self) {
        self.cut.clear();
        self.links.held.clear();
        for (from, to) in self.links.dead.clone() {
            self.disconnect(from, to);
        }
    }

    /// Whether two nodes are connected.
    pub fn is_connected(&self, a: usize, b: usize) -> bool {
        self.connections.contains_key(&pair(a, b))
    }

    /// What arrives when a packet does. Nothing, when a real node would close the connection over it.
    pub(super) fn input(&self, from: usize, packet: Packet) -> Input {
        let key = self.nodes[from].key;
        let (Packet::Opened(connection) | Packet::Closed(connection) | Packet::Frame(connection, _)) = &packet;
        self.check_not_misled(from, *connection);
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
                FriendMessage::Hello { .. } | FriendMessage::Keepalive => panic!("a funder does not send this"),
                message => Input::Message(key, connection, Box::new(message)),
            },
        }
    }

    fn due(&self, index: usize) -> bool {
        let node = &self.nodes[index];
        node.funder
            .as_ref()
            .and_then(Funder::next_deadline)
            .is_some_and(|deadline| deadline <= self.now(index).uptime_ms)
    }

    /// Hands one packet, answer or tick to some node. Says whether there was any.
    pub fn step(&mut self) -> bool {
        self.run_scheduled();
        let mut ready = std::mem::take(&mut self.ready);
        ready.clear();
        ready.extend(self.links.busy.iter().filter(|ends| {
            (self.links.held.is_empty() || !self.links.held.contains(ends)) && self.nodes[ends.1].is_free()
        }));
        for index in 0..self.nodes.len() {
            let node = &self.nodes[index];
            if node.is_free() && node.is_up() && (!node.inbox.is_empty() || self.due(index)) {
                ready.push((index, index));
            }
        }
        if ready.is_empty() {
            self.ready = ready;
            return false;
        }
        self.counter += 1;
        let chosen = if self.is_wild { self.dice.below(ready.len()) } else { self.counter as usize % ready.len() };
        let (from, to) = ready[chosen];
        self.ready = ready;
        if from == to {
            let mut inputs: Vec<Input> = self.nodes[to].inbox.pop_front().into_iter().collect();
            inputs.push(Input::Tick);
            self.batch(to, inputs);
            return true;
        }
        let size = if self.is_wild { 1 + self.dice.below(4) } else { 1 };
        let mut inputs = Vec::new();
        for _ in 0..size {
            let Some(packet) = self.links.pop(from, to) else { break };
            if self.nodes[to].is_puppet {
                continue;
            }
            inputs.push(self.input(from, packet));
        }
        let is_recalled = |input: &Input| matches!(input, Input::Message(_, _, message) if matches!(**message, FriendMessage::Recalled(_)));
        let gives_back = !self.withheld_states.is_empty() && inputs.iter().any(is_recalled);
        self.batch(to, inputs);
        if gives_back {
            self.record_recalled(to, from);
        }
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

    /// When something happens next by itself, ms since the world began.
    fn next_event(&self) -> Option<u64> {
        let timers = self.nodes.iter().filter(|node| node.is_free());
        let timers = timers.filter_map(|node| Some(node.funder.as_ref()?.next_deadline()? + node.booted));
        timers.chain(self.scheduler.next()).min()
    }

    /// Lets time pass; every timer runs at its time.
    pub fn advance(&mut self, ms: u64) {
        let end = self.time + ms;
        self.settle();
        while let Some(next) = self.next_event().filter(|next| *next <= end) {
            self.time = self.time.max(next);
            self.settle();
        }
        self.time = end;
        self.settle();
    }

    /// Like [`World::settle`], but one node does nothing from now on.
    pub fn settle_but(&mut self, held: usize) {
        self.nodes[held].is_stalled = true;
        self.settle();
    }

    /// Takes out what is under way on a link.
    pub fn take_inputs(&mut self, from: usize, to: usize) -> Vec<Input> {
        let mut inputs = Vec::new();
        while let Some(packet) = self.links.pop(from, to) {
            inputs.push(self.input(from, packet));
        }
        inputs
    }
}
