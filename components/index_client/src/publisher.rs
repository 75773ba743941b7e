//! What to publish, where and when (protocol section 5). No IO: time and signing are arguments.

use crate::config::Config;
use crate::moment::Moment;
use offst_crypto::{PublicKey, Signer};
use offst_proto::index::{Clearable, EDGES_MAX, Edge, Update, UpdateOutcome, UpdateRefusal, UpdateResult};
use offst_proto::limits::AMOUNT_MAX;
use offst_proto::{Currency, Rate, Verified};
use std::collections::{BTreeMap, BTreeSet};

/// Names an edge of this node.
type Name = (PublicKey, Currency);

/// The node's edges, and what each connected server knows of them.
#[derive(Debug)]
pub struct Publisher {
    config: Config,
    node: PublicKey,
    last_sequence: u64,
    open: BTreeMap<Name, Edge>,
    /// Edges that were taken back, with the steady time from which no server holds them anyway.
    closed: BTreeMap<Name, u64>,
    servers: BTreeMap<PublicKey, Server>,
}

/// One connected server.
#[derive(Debug)]
struct Server {
    /// What it has not been told yet.
    changed: BTreeSet<Name>,
    /// The update it has not answered yet.
    in_flight: Option<InFlight>,
    /// No update before this steady time.
    not_before_ms: u64,
    /// Everything is said again at this steady time.
    republish_ms: u64,
    /// From this steady time on the server is obeyed at once when it wants all said again; a server that does nothing else
    /// is obeyed more slowly.
    say_all_again_ms: u64,
}

#[derive(Debug)]
struct InFlight {
    sequence: u64,
    edges: BTreeSet<Name>,
    /// Steady.
    sent_ms: u64,
}

/// What the publisher wants.
#[derive(Debug, PartialEq, Eq)]
pub enum Publication {
    /// Send this update to this server.
    Update(PublicKey, Verified<Update>),
    /// This server does not answer updates: disconnect.
    Silent(PublicKey),
}

/// What a server's result means beyond the publisher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is wrong.
    Fine,
    /// The update was not taken; it will be tried again.
    Refused(UpdateRefusal),
    /// The clocks differ so much that updates are refused.
    Clock {
        /// The server's clock, unix ms.
        server_ms: u64,
    },
    /// The result belongs to no update of ours.
    Unasked,
}

impl Publisher {
    /// Knows no edges and no servers.
    pub fn new(node: PublicKey, config: Config) -> Self {
        Publisher {
            config,
            node,
            last_sequence: 0,
            open: BTreeMap::new(),
            closed: BTreeMap::new(),
            servers: BTreeMap::new(),
        }
    }

    /// Takes the newest word about an edge. Capacities above the bound of the protocol are published as the bound.
    pub fn set_edge(&mut self, mut edge: Edge, now: Moment) {
        edge.send_capacity = edge.send_capacity.min(AMOUNT_MAX);
        edge.receive_capacity = edge.receive_capacity.min(AMOUNT_MAX);
        edge.clearable = match edge.clearable {
            Clearable::None => Clearable::None,
            Clearable::Send(amount) => Clearable::Send(amount.min(edge.send_capacity)),
            Clearable::Receive(amount) => Clearable::Receive(amount.min(edge.receive_capacity)),
        };
        let name = (edge.friend, edge.currency.clone());
        if edge.friend == self.node || self.open.get(&name) == Some(&edge) {
            return;
        }
        if edge.is_closed() {
            if self.open.remove(&name).is_none() {
                return;
            }
            self.closed.insert(name.clone(), now.steady_ms + self.config.time_to_live_ms());
        } else {
            self.closed.remove(&name);
            self.open.insert(name.clone(), edge);
        }
        for server in self.servers.values_mut() {
            server.changed.insert(name.clone());
        }
    }

    /// A server is connected: it is told everything, because it may be new, restarted or behind.
    pub fn connected(&mut self, server: PublicKey, now: Moment) {
        self.closed.retain(|_, forget_ms| *forget_ms > now.steady_ms);
        let changed = self.open.keys().chain(self.closed.keys()).cloned().collect();
        let republish_ms = now.steady_ms + self.config.time_to_live_ms() / 2;
        let server_state =
            Server { changed, in_flight: None, not_before_ms: 0, republish_ms, say_all_again_ms: now.steady_ms };
        self.servers.insert(server, server_state);
    }

    /// A server is gone.
    pub fn disconnected(&mut self, server: &PublicKey) {
        self.servers.remove(server);
    }

    /// A server answered an update.
    pub fn result(&mut self, key: &PublicKey, result: UpdateResult, now: Moment) -> Verdict {
        let Some(server) = self.servers.get_mut(key) else { return Verdict::Unasked };
        let Some(in_flight) = server.in_flight.take_if(|in_flight| in_flight.sequence == result.sequence) else {
            return Verdict::Unasked;
        };
        match result.outcome {
            UpdateOutcome::Accepted { newest } => {
                self.last_sequence = self.last_sequence.max(newest);
                Verdict::Fine
            }
            // Another clock than ours numbered our updates before: jump above it and say the same again.
            UpdateOutcome::Stale { newest } => {
                self.last_sequence = self.last_sequence.max(newest);
                server.changed.extend(in_flight.edges);
                Verdict::Fine
            }
            // The server keeps too much that does not count any more. Nothing is wrong.
            UpdateOutcome::Refused { reason: UpdateRefusal::SayAll, .. } => {
                self.closed.retain(|_, forget_ms| *forget_ms > now.steady_ms);
                server.changed.extend(in_flight.edges);
                server.changed.extend(self.open.keys().chain(self.closed.keys()).cloned());
                server.republish_ms = now.steady_ms + self.config.time_to_live_ms() / 2;
                server.not_before_ms = server.not_before_ms.max(server.say_all_again_ms);
                server.say_all_again_ms = now.steady_ms.saturating_add(self.config.refused_wait_ms);
                Verdict::Fine
            }
            UpdateOutcome::Refused { reason, server_ms } => {
                server.changed.extend(in_flight.edges);
                server.not_before_ms = now.steady_ms.saturating_add(self.config.refused_wait_ms);
                if reason.is_clock() { Verdict::Clock { server_ms } } else { Verdict::Refused(reason) }
            }
        }
    }

    /// What is to be done now.
    pub fn poll(&mut self, now: Moment, signer: &dyn Signer) -> Vec<Publication> {
        let mut publications = Vec::new();
        for (key, server) in &mut self.servers {
            if server.republish_ms <= now.steady_ms {
                server.changed.extend(self.open.keys().cloned());
                server.republish_ms = now.steady_ms + self.config.time_to_live_ms() / 2;
            }
            if let Some(in_flight) = &server.in_flight {
                if in_flight.sent_ms.saturating_add(self.config.update_timeout_ms) <= now.steady_ms {
                    publications.push(Publication::Silent(*key));
                }
                continue;
            }
            if server.changed.is_empty() || server.not_before_ms > now.steady_ms {
                continue;
            }
            let later = server.changed.iter().nth(EDGES_MAX).cloned();
            let rest = later.map(|name| server.changed.split_off(&name)).unwrap_or_default();
            let names = std::mem::replace(&mut server.changed, rest);
            let edges = names.iter().map(|name| self.open.get(name).cloned().unwrap_or_else(|| closed_edge(name)));
            self.last_sequence = self.last_sequence.saturating_add(1).max(now.unix_ms);
            let update = Update {
                node: self.node,
                sequence: self.last_sequence,
                expires_ms: now.unix_ms.saturating_add(self.config.time_to_live_ms()),
                edges: edges.collect(),
            };
            server.in_flight = Some(InFlight { sequence: update.sequence, edges: names, sent_ms: now.steady_ms });
            server.not_before_ms = now.steady_ms.saturating_add(self.config.publish_interval_ms);
            publications.push(Publication::Update(*key, Verified::sign(update, signer)));
        }
        publications
    }

    /// Whether a server has accepted everything there is to say.
    pub fn is_up_to_date(&self, server: &PublicKey) -> bool {
        self.servers.get(server).is_some_and(|server| server.changed.is_empty() && server.in_flight.is_none())
    }

    /// The steady time at which [`Publisher::poll`] has something to do even when nothing happens until then.
    pub fn next_wake_ms(&self) -> Option<u64> {
        let wakes = self.servers.values().map(|server| {
            let publish_ms = match &server.in_flight {
                Some(in_flight) => in_flight.sent_ms.saturating_add(self.config.update_timeout_ms),
                None if server.changed.is_empty() => server.republish_ms,
                None => server.not_before_ms,
            };
            publish_ms.min(server.republish_ms)
        });
        wakes.min()
    }
}

fn closed_edge((friend, currency): &Name) -> Edge {
    let (friend, currency) = (*friend, currency.clone());
    Edge { friend, currency, send_capacity: 0, receive_capacity: 0, rate: Rate::default(), clearable: Clearable::None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offst_crypto::Identity;

    const START: u64 = 1_700_000_000_000;

    fn identity() -> Identity {
        Identity::from_seed([1; 32])
    }

    fn key(seed: u8) -> PublicKey {
        Identity::from_seed([seed; 32]).public_key()
    }

    fn edge(friend: PublicKey, capacity: u128) -> Edge {
        let rate = Rate::default();
        Edge {
            friend,
            currency: Currency::default(),
            send_capacity: capacity,
            receive_capacity: capacity,
            rate,
            clearable: Clearable::None,
        }
    }

    fn at(ms: u64) -> Moment {
        Moment { steady_ms: ms, unix_ms: START + ms }
    }

    /// A publisher with one server.
    struct World {
        publisher: Publisher,
    }

    impl World {
        fn new(capacities: &[(u8, u128)]) -> Self {
            let mut publisher = Publisher::new(identity().public_key(), Config::default());
            for (friend, capacity) in capacities {
                publisher.set_edge(edge(key(*friend), *capacity), at(0));
            }
            publisher.connected(key(9), at(0));
            World { publisher }
        }

        fn set(&mut self, friend: u8, capacity: u128, ms: u64) {
            self.publisher.set_edge(edge(key(friend), capacity), at(ms));
        }

        fn update(&mut self, ms: u64) -> Option<Update> {
            let mut publications = self.publisher.poll(at(ms), &identity());
            assert!(publications.len() <= 1);
            match publications.pop() {
                Some(Publication::Update(server, update)) => {
                    assert_eq!(server, key(9));
                    Some(update.into_value())
                }
                Some(Publication::Silent(_)) => panic!("the server did answer"),
                None => None,
            }
        }

        fn capacities(&mut self, ms: u64) -> Option<Vec<u128>> {
            let update = self.update(ms)?;
            let newest = update.sequence;
            self.answer(newest, UpdateOutcome::Accepted { newest }, ms);
            let mut capacities: Vec<_> = update.edges.iter().map(|edge| edge.send_capacity).collect();
            capacities.sort();
            Some(capacities)
        }

        fn answer(&mut self, sequence: u64, outcome: UpdateOutcome, ms: u64) -> Verdict {
            self.publisher.result(&key(9), UpdateResult { sequence, outcome }, at(ms))
        }
    }

    #[test]
    fn changes_only_in_batches_and_at_once_when_idle() {
        let mut world = World::new(&[(2, 20), (3, 30)]);
        assert_eq!(world.capacities(0), Some(vec![20, 30]));
        assert_eq!(world.capacities(0), None);
        world.set(2, 21, 10);
        world.set(2, 22, 20);
        world.set(3, 30, 20);
        assert_eq!(world.capacities(249), None);
        assert_eq!(world.publisher.next_wake_ms(), Some(250));
        assert_eq!(world.capacities(250), Some(vec![22]));
        world.set(3, 31, 5000);
        assert_eq!(world.capacities(5000), Some(vec![31]), "idle: at once");
    }

    #[test]
    fn everything_is_said_again_at_half_of_its_time() {
        let mut world = World::new(&[(2, 20), (3, 30)]);
        let half = Config::default().time_to_live_ms / 2;
        let update = world.update(0).unwrap();
        assert_eq!(update.expires_ms, START + 2 * half);
        world.answer(update.sequence, UpdateOutcome::Accepted { newest: update.sequence }, 0);
        assert_eq!(world.publisher.next_wake_ms(), Some(half));
        assert_eq!(world.capacities(half - 1), None);
        assert_eq!(world.capacities(half), Some(vec![20, 30]));
        assert_eq!(world.publisher.next_wake_ms(), Some(2 * half));
    }

    #[test]
    fn closed_edges_are_taken_back_also_after_a_reconnect() {
        let mut world = World::new(&[(2, 20), (3, 30)]);
        world.capacities(0);
        world.publisher.disconnected(&key(9));
        world.set(3, 0, 10);
        world.set(4, 0, 10);
        assert_eq!(world.publisher.next_wake_ms(), None);
        world.publisher.connected(key(9), at(20));
        assert_eq!(world.capacities(20), Some(vec![0, 20]), "an edge that never was open is not named");
        world.publisher.connected(key(9), at(10 + Config::default().time_to_live_ms));
        assert_eq!(world.capacities(1_000_000), Some(vec![20]), "expired everywhere");
    }

    #[test]
    fn sequences_grow_with_the_clock_and_above_what_a_server_knows() {
        let mut world = World::new(&[(2, 20)]);
        let first = world.update(7).unwrap();
        assert_eq!(first.sequence, START + 7);
        let newest = START + 1_000_000;
        assert_eq!(world.answer(first.sequence, UpdateOutcome::Stale { newest }, 8), Verdict::Fine);
        let again = world.update(300).unwrap();
        assert_eq!((again.sequence, &again.edges), (newest + 1, &first.edges));
        // A clock that was put back does not matter.
        world.answer(again.sequence, UpdateOutcome::Accepted { newest: again.sequence }, 301);
        world.set(2, 21, 302);
        let publications = world.publisher.poll(Moment { steady_ms: 600, unix_ms: 5 }, &identity());
        let Some(Publication::Update(_, update)) = publications.first() else { panic!("an update is due") };
        assert_eq!(update.sequence, newest + 2);
    }

    #[test]
    fn refusals_wait_and_the_clock_is_named() {
        let mut world = World::new(&[(2, 20)]);
        let sequence = world.update(0).unwrap().sequence;
        let refused = |reason| UpdateOutcome::Refused { reason, server_ms: 5 };
        let verdict = world.answer(sequence, refused(UpdateRefusal::Expired), 0);
        assert_eq!(verdict, Verdict::Clock { server_ms: 5 });
        assert_eq!(world.update(9_999), None);
        let sequence = world.update(10_000).unwrap().sequence;
        assert_eq!(world.answer(sequence + 1, refused(UpdateRefusal::Full), 10_001), Verdict::Unasked);
        let verdict = world.answer(sequence, refused(UpdateRefusal::Full), 10_001);
        assert_eq!(verdict, Verdict::Refused(UpdateRefusal::Full));
        assert_eq!(world.capacities(20_001), Some(vec![20]));
    }

    #[test]
    fn a_server_that_wants_all_said_again_is_obeyed_at_once_but_not_in_a_tight_loop() {
        let mut world = World::new(&[(2, 20), (3, 30), (4, 40)]);
        assert_eq!(world.capacities(0), Some(vec![20, 30, 40]));
        world.set(4, 0, 10);
        assert_eq!(world.capacities(250), Some(vec![0]));
        world.set(2, 21, 1000);
        let sequence = world.update(1000).unwrap().sequence;
        let say_all = UpdateOutcome::Refused { reason: UpdateRefusal::SayAll, server_ms: START };
        assert_eq!(world.answer(sequence, say_all, 1001), Verdict::Fine);
        assert!(!world.publisher.is_up_to_date(&key(9)));
        assert_eq!(world.publisher.next_wake_ms(), Some(1250));
        let update = world.update(1250).unwrap();
        let capacities: BTreeSet<_> = update.edges.iter().map(|edge| edge.send_capacity).collect();
        assert_eq!(capacities, BTreeSet::from([0, 21, 30]), "also what was taken back");
        // A server that says nothing else.
        assert_eq!(world.answer(update.sequence, say_all, 1251), Verdict::Fine);
        assert_eq!(world.update(11_000), None);
        assert_eq!(world.capacities(11_001), Some(vec![0, 21, 30]));
        assert_eq!(world.publisher.next_wake_ms(), Some(1251 + Config::default().time_to_live_ms / 2));
    }

    #[test]
    fn a_server_that_does_not_answer_is_disconnected() {
        let mut world = World::new(&[(2, 20)]);
        world.update(0).unwrap();
        world.set(2, 21, 1000);
        assert_eq!(world.update(29_999), None, "one update at a time");
        assert_eq!(world.publisher.next_wake_ms(), Some(30_000));
        assert_eq!(world.publisher.poll(at(30_000), &identity()), [Publication::Silent(key(9))]);
    }

    #[test]
    fn many_edges_take_several_updates() {
        let mut world = World::new(&[]);
        for number in 0..EDGES_MAX as u64 + 5 {
            let mut seed = [0; 32];
            seed[..8].copy_from_slice(&(number + 1).to_be_bytes());
            world.publisher.set_edge(edge(Identity::from_seed(seed).public_key(), 2 * AMOUNT_MAX), at(0));
        }
        assert_eq!(world.capacities(0).map(|edges| edges.len()), Some(EDGES_MAX));
        assert_eq!(world.capacities(0), None);
        assert_eq!(world.capacities(250), Some(vec![AMOUNT_MAX; 5]));
    }
}
