//! Relays: nodes decide with a real [`Channeler`] where they listen and whom they dial, and relays decide with a real
//! [`Registry`] who is there and who may be called. Only the sockets are missing.

use super::links::pair;
use super::relays::{MisroutedCall, RelayEvent};
use super::scheduler::Plan;
use super::{InjectedFault, World};
use offst_channeler::{Action, Channeler, DialTiming, Endpoints, Link, LinkDecision};
use offst_crypto::PublicKey;
use offst_proto::relay::RelayToNode;
use offst_proto::ticket::ServerTicket;
use offst_relay::registry::{Output, SubstreamId};
use std::net::{IpAddr, Ipv4Addr};

impl World {
    /// What goes wrong at relays stops.
    pub(super) fn calm_relays(&mut self) {
        self.relay_network.trouble_percent = 0;
        for number in 0..self.relay_network.relays.len() {
            self.relay_network.relays[number].is_up = true;
        }
    }

    pub(super) fn relays_started(&mut self, index: usize) {
        if self.relay_network.is_used() {
            self.relay_network.runs[index] += 1;
            self.relay_network.ticks[index] = None;
            self.relay_network.channelers[index] = Some(Channeler::new(self.key(index), DialTiming::default()));
        }
    }

    pub(super) fn relays_ended(&mut self, index: usize) {
        if !self.relay_network.is_used() {
            return;
        }
        self.relay_network.channelers[index] = None;
        for number in 0..self.relay_network.relays.len() {
            self.leave_relay(index, number);
        }
    }

    /// Lets a node decide something, and does it.
    fn decide(&mut self, index: usize, decision: impl FnOnce(&mut Channeler, u64) -> Vec<Action>) {
        let Some(channeler) = &mut self.relay_network.channelers[index] else { return };
        let actions = decision(channeler, self.time);
        let run = self.relay_network.runs[index];
        if let Some(deadline) = channeler.next_deadline() {
            let deadline = deadline.max(self.time + 1);
            if self.relay_network.ticks[index].is_none_or(|planned| planned > deadline) {
                self.relay_network.ticks[index] = Some(deadline);
                self.scheduler.add(deadline, Plan::Meet(RelayEvent::Tick(index, run)));
            }
        }
        for action in actions {
            match action {
                Action::ConnectRelay(ticket) => {
                    let number = self.relay_network.relay(&ticket.public_key);
                    let delay = 5 + self.dice.below(100) as u64;
                    self.plan(delay, Plan::Meet(RelayEvent::Register(index, number, run)));
                }
                Action::DropRelay(key) => self.leave_relay(index, self.relay_network.relay(&key)),
                Action::Watch(key, friends) => {
                    let number = self.relay_network.relay(&key);
                    if let Some(session) = self.relay_network.relays[number].sessions.get(&index).copied() {
                        let outputs = self.relay_network.relays[number].registry.watch(session, &friends);
                        self.relay_outputs(number, outputs);
                    }
                }
                Action::Unwatch(key, friends) => {
                    let number = self.relay_network.relay(&key);
                    if let Some(session) = self.relay_network.relays[number].sessions.get(&index).copied() {
                        self.relay_network.relays[number].registry.unwatch(session, &friends);
                    }
                }
                Action::Dial(friend, relay) => {
                    let number = self.relay_network.relay(&relay);
                    let delay = 5 + self.dice.below(100) as u64;
                    self.plan(delay, Plan::Meet(RelayEvent::Call(index, friend, number, run)));
                }
                Action::DialDirect(..) => unreachable!("nodes of a world have no addresses"),
                Action::Close(connection) => {
                    let ends = self.connections.iter().find(|(_, id)| **id == connection).map(|(ends, _)| *ends);
                    if let Some((a, b)) = ends {
                        self.disconnect(a, b);
                    }
                }
            }
        }
    }

    pub(super) fn wants_relays(&mut self, index: usize, tickets: Vec<ServerTicket>) {
        if self.relay_network.is_used() {
            self.decide(index, |channeler, now| channeler.set_relays(tickets, now));
        }
    }

    pub(super) fn wants_friend(&mut self, index: usize, key: PublicKey, relays: Option<Vec<ServerTicket>>) {
        if self.relay_network.is_used() {
            let contact = relays.map(|relays| Endpoints { relays, address: None });
            self.decide(index, |channeler, now| channeler.set_endpoints(key, contact, now));
        }
    }

    fn relay_outputs(&mut self, number: usize, outputs: Vec<Output>) {
        for output in outputs {
            let Output::Send(session, message) = output else { continue };
            let sessions = &self.relay_network.relays[number].sessions;
            let Some(index) = sessions.iter().find(|(_, known)| **known == session).map(|(index, _)| *index) else {
                continue;
            };
            // The order in which a relay speaks to one node is kept: equal times run in the order of planning.
            self.plan(3, Plan::Meet(RelayEvent::Tell(index, number, message, self.relay_network.runs[index])));
        }
    }

    /// The node's connection to a relay is gone, and with it what went over it.
    fn leave_relay(&mut self, index: usize, number: usize) {
        let Some(session) = self.relay_network.relays[number].sessions.remove(&index) else { return };
        let outputs = self.relay_network.relays[number].registry.disconnect(session);
        self.relay_outputs(number, outputs);
        let over_it = |(ends, id): (&(usize, usize), &u64)| {
            let is_there = self.relay_network.carried.get(id).is_some_and(|(relay, _)| *relay == number);
            ((ends.0 == index || ends.1 == index) && is_there).then_some(*ends)
        };
        let broken: Vec<_> = self.connections.iter().filter_map(over_it).collect();
        for (a, b) in broken {
            self.disconnect(a, b);
        }
    }

    /// A relay loses a node, or goes away for a while.
    pub(crate) fn trouble_relay(&mut self, index: usize, number: usize, ms: Option<u64>) {
        let Some(count) = self.relay_network.relays.len().checked_sub(1) else { return };
        let number = number.min(count);
        self.faults.add(InjectedFault::RelayDropped);
        let leaving: Vec<usize> = match ms {
            None => vec![index],
            Some(ms) => {
                self.relay_network.relays[number].is_up = false;
                self.plan(ms, Plan::Meet(RelayEvent::Open(number)));
                self.relay_network.relays[number].sessions.keys().copied().collect()
            }
        };
        let key = self.relay_network.relays[number].ticket.public_key;
        for index in leaving {
            if self.relay_network.relays[number].sessions.contains_key(&index) {
                self.leave_relay(index, number);
                self.relay_lost(index, key);
            }
        }
    }

    fn relay_lost(&mut self, index: usize, key: PublicKey) {
        let random = self.dice.throw();
        self.decide(index, |channeler, now| {
            channeler.relay_closed(key, false, now, random);
            vec![]
        });
    }

    /// A connection between two nodes has ended.
    pub(super) fn relays_closed(&mut self, a: usize, b: usize, connection: u64) {
        if let Some((number, substream)) = self.relay_network.carried.remove(&connection) {
            self.relay_network.relays[number].registry.close_substream(substream);
        }
        for (index, other) in [(a, b), (b, a)] {
            let (key, random) = (self.key(other), self.dice.throw());
            self.decide(index, |channeler, now| {
                channeler.link_down(key, connection, now, random);
                vec![]
            });
        }
    }

    fn dial_failed(&mut self, index: usize, friend: PublicKey) {
        let random = self.dice.throw();
        self.decide(index, |channeler, now| channeler.dial_failed(friend, now, random));
    }

    pub(super) fn run_relay_event(&mut self, event: RelayEvent) {
        match event {
            RelayEvent::Register(index, number, run) if run == self.relay_network.runs[index] => {
                self.register(index, number)
            }
            RelayEvent::Tell(index, number, message, run) if run == self.relay_network.runs[index] => {
                let relay = self.relay_network.relays[number].ticket.public_key;
                if !self.relay_network.relays[number].sessions.contains_key(&index) {
                    return;
                }
                match message {
                    RelayToNode::Registered => self.decide(index, |channeler, _| channeler.relay_connected(relay)),
                    RelayToNode::Present(key) => {
                        self.decide(index, |channeler, now| channeler.presence(relay, key, true, now));
                    }
                    RelayToNode::Absent(key) => {
                        self.decide(index, |channeler, now| channeler.presence(relay, key, false, now));
                    }
                    other => panic!("relay {number} says {other:?} to node {index}"),
                }
            }
            RelayEvent::Call(index, friend, number, run) if run == self.relay_network.runs[index] => {
                self.call(index, friend, number);
            }
            RelayEvent::Tick(index, run) if run == self.relay_network.runs[index] => {
                self.relay_network.ticks[index] = None;
                self.decide(index, |channeler, now| channeler.tick(now));
            }
            RelayEvent::Recognize(misrouted) => self.recognize(&misrouted),
            RelayEvent::Open(number) => self.relay_network.relays[number].is_up = true,
            // The process that this belonged to has ended.
            RelayEvent::Register(..) | RelayEvent::Tell(..) | RelayEvent::Call(..) | RelayEvent::Tick(..) => {}
        }
    }

    fn register(&mut self, index: usize, number: usize) {
        let key = self.key(index);
        let relay = &mut self.relay_network.relays[number];
        if !relay.is_up || self.relay_network.channelers[index].is_none() {
            let relay = relay.ticket.public_key;
            return self.relay_lost(index, relay);
        }
        let address = IpAddr::V4(Ipv4Addr::new(10, 0, number as u8, index as u8));
        let (session, mut outputs) =
            relay.registry.connect(address, self.time).expect("a relay has room for a few nodes");
        relay.sessions.insert(index, session);
        outputs.extend(relay.registry.register(session, key));
        self.relay_outputs(number, outputs);
    }

    /// A call arrives at a relay, which connects the two, or does not.
    fn call(&mut self, index: usize, friend: PublicKey, number: usize) {
        let (trouble, kind) = (self.dice.below(100) < self.relay_network.trouble_percent, self.dice.below(3));
        if trouble && kind == 0 {
            self.faults.add(InjectedFault::RelayDelayed);
            let delay = 200 + self.dice.below(8_000) as u64;
            let run = self.relay_network.runs[index];
            return self.plan(delay, Plan::Meet(RelayEvent::Call(index, friend, number, run)));
        }
        if trouble && kind == 1 {
            self.faults.add(InjectedFault::RelayDropped);
            return self.dial_failed(index, friend);
        }
        if trouble && self.mislead(index, friend, number) {
            return;
        }
        let to = self.index(friend);
        let relay = &mut self.relay_network.relays[number];
        let opened = match relay.sessions.get(&index).copied() {
            Some(session) if relay.is_up => relay.registry.open(session, friend, self.time).ok(),
            _ => None,
        };
        let Some((substream, _)) = opened else { return self.dial_failed(index, friend) };
        if self.cut.contains(&pair(index, to)) || !self.nodes[to].is_free() {
            self.relay_network.relays[number].registry.close_substream(substream);
            return self.dial_failed(index, friend);
        }
        self.counter += 1;
        self.greeted(index, to, number, substream, self.counter);
    }

    /// Caller and called have seen each other's keys: both decide whether they want the connection.
    fn greeted(&mut self, index: usize, to: usize, number: usize, substream: SubstreamId, id: u64) {
        let verdicts = [(index, to, true), (to, index, false)].map(|(node, other, dialled)| {
            let link = Link { id, dialled, direct: false, incarnation: self.relay_network.runs[other] };
            let key = self.key(other);
            self.relay_network.channelers[node]
                .as_mut()
                .map_or(LinkDecision::Reject, |c| c.link_up(key, link, self.time))
        });
        let replaced = verdicts.iter().any(|verdict| matches!(verdict, LinkDecision::Use { replaces: Some(_) }));
        if replaced {
            // Its ends know the new one already, so nothing is dialled for it.
            self.disconnect(index, to);
        }
        if verdicts.contains(&LinkDecision::Reject) {
            self.relay_network.relays[number].registry.close_substream(substream);
            self.relays_closed(index, to, id);
        } else {
            self.relay_network.carried.insert(id, (number, substream));
            self.opened(index, to, id);
        }
    }
    /// A relay connects a caller to somebody else who is there, as it would connect it to its friend. Says whether it did.
    fn mislead(&mut self, caller: usize, friend: PublicKey, number: usize) -> bool {
        let relay = &self.relay_network.relays[number];
        let Some(session) = relay.sessions.get(&caller).copied().filter(|_| relay.is_up) else { return false };
        let is_reached = |node: &usize| {
            *node != caller
                && self.key(*node) != friend
                && !self.cut.contains(&pair(caller, *node))
                && self.nodes[*node].is_free()
                && self.relay_network.channelers[*node].is_some()
        };
        let there: Vec<usize> = relay.sessions.keys().copied().filter(is_reached).collect();
        let Some(stranger) = self.dice.pick(&there) else { return false };
        let called = self.key(stranger);
        let opened = self.relay_network.relays[number].registry.open(session, called, self.time);
        let Ok((substream, to)) = opened else { return false };
        assert_eq!(
            self.relay_network.relays[number].sessions.get(&stranger),
            Some(&to),
            "the relay connects who is there"
        );
        self.faults.add(InjectedFault::WrongParty);
        self.counter += 1;
        let connection = self.counter;
        self.relay_network.misrouted.insert(connection);
        let runs = [caller, stranger].map(|node| self.relay_network.runs[node]);
        let misrouted = MisroutedCall { caller, friend, stranger, relay: number, substream, connection, runs };
        // Who is called answers friends only, and does not know that it was not meant; the caller waits for its key.
        let key = self.key(caller);
        let answers =
            self.relay_network.channelers[stranger].as_ref().is_some_and(|channeler| channeler.is_wanted(&key));
        let delay = if answers { 10 + self.dice.below(500) as u64 } else { 3 };
        self.plan(delay, Plan::Meet(RelayEvent::Recognize(misrouted)));
        true
    }

    /// A caller sees the key of the node that answers. It has pinned its friend's, and rejects any other; for the node that was
    /// called the handshake has failed, of which a node's decisions learn nothing.
    fn recognize(&mut self, misrouted: &MisroutedCall) {
        let MisroutedCall { caller, friend, stranger, relay, substream, connection, runs } = *misrouted;
        let is_there = [caller, stranger].map(|node| self.relay_network.runs[node]) == runs;
        let is_pinned = self.key(stranger) == friend;
        if is_there && is_pinned {
            return self.greeted(caller, self.index(friend), relay, substream, connection);
        }
        self.relay_network.relays[relay].registry.close_substream(substream);
        if self.relay_network.runs[caller] == runs[0] {
            self.dial_failed(caller, friend);
        }
    }

    /// What friends say to each other goes over no connection that a relay has made with somebody else.
    pub(super) fn check_not_misled(&self, from: usize, connection: u64) {
        let is_misled = self.relay_network.misrouted.contains(&connection);
        assert!(
            !is_misled,
            "what node {from} says to a friend goes over a connection that a relay has made with another"
        );
    }
}
