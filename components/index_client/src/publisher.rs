//! What to publish, where and when (protocol section 5). No IO: time and signing are arguments.

use crate::config::Config;
use crate::timestamps::Timestamps;
use offst_crypto::{PublicKey, Signer};
use offst_proto::index::{Clearable, EDGES_MAX, Edge, Update, UpdateOutcome, UpdateRefusal, UpdateResult};
use offst_proto::{Currency, Rate, Verified};
use std::collections::{BTreeMap, BTreeSet};

/// Names an edge of this node.
type EdgeName = (PublicKey, Currency);

/// The node's edges, and what each connected server knows of them.
#[derive(Debug)]
pub struct Publisher {
    config: Config,
    node: PublicKey,
    last_sequence: u64,
    open: BTreeMap<EdgeName, Edge>,
    /// Edges that were withdrawn, with the steady time from which no server holds them anyway.
    closed: BTreeMap<EdgeName, u64>,
    servers: BTreeMap<PublicKey, Server>,
}

/// One connected server.
#[derive(Debug)]
struct Server {
    /// Edges whose latest announcement it does not have yet.
    changed: BTreeSet<EdgeName>,
    /// The update it has not answered yet.
    in_flight: Option<InFlight>,
    /// No update before this steady time.
    not_before_ms: u64,
    /// Everything is announced again at this steady time.
    republish_ms: u64,
    /// From this steady time on everything is announced again at once when the server asks for it. A server that does nothing
    /// but ask waits longer.
    republish_at_once_ms: u64,
}

#[derive(Debug)]
struct InFlight {
    sequence: u64,
    edges: BTreeSet<EdgeName>,
    /// Steady.
    sent_ms: u64,
}

/// What has to be done for a server.
#[derive(Debug, PartialEq, Eq)]
pub enum Publication {
    /// Send this update to this server.
    Update(PublicKey, Verified<Update>),
    /// This server does not answer updates: disconnect.
    Silent(PublicKey),
}

/// What a server's answer to an update says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateStatus {
    /// Accepted, or to be sent again for a reason that is no fault.
    Accepted,
    /// The update was refused; it will be sent again.
    Refused(UpdateRefusal),
    /// The clocks differ so much that updates are refused.
    ClockDiffers {
        /// The server's clock, unix ms.
        server_ms: u64,
    },
    /// The answer belongs to no update of ours.
    Unrelated,
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

    /// Takes the latest announcement of an edge.
    pub fn set_edge(&mut self, mut edge: Edge, now: Timestamps) {
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

    /// A server is connected: everything is announced to it, because it may be new, restarted or behind.
    pub fn connected(&mut self, server: PublicKey, now: Timestamps) {
        self.closed.retain(|_, forget_ms| *forget_ms > now.steady_ms);
        let changed = self.open.keys().chain(self.closed.keys()).cloned().collect();
        let republish_ms = now.steady_ms + self.config.time_to_live_ms() / 2;
        let server_state =
            Server { changed, in_flight: None, not_before_ms: 0, republish_ms, republish_at_once_ms: now.steady_ms };
        self.servers.insert(server, server_state);
    }

    /// A server is gone.
    pub fn disconnected(&mut self, server: &PublicKey) {
        self.servers.remove(server);
    }

    /// A server answered an update.
    pub fn result(&mut self, key: &PublicKey, result: UpdateResult, now: Timestamps) -> UpdateStatus {
        let Some(server) = self.servers.get_mut(key) else { return UpdateStatus::Unrelated };
        let Some(in_flight) = server.in_flight.take_if(|in_flight| in_flight.sequence == result.sequence) else {
            return UpdateStatus::Unrelated;
        };
        match result.outcome {
            UpdateOutcome::Accepted { newest } => {
                self.last_sequence = self.last_sequence.max(newest);
                UpdateStatus::Accepted
            }
            // Our updates were numbered by another clock before: go above its number and send the same again.
            UpdateOutcome::Stale { newest } => {
                self.last_sequence = self.last_sequence.max(newest);
                server.changed.extend(in_flight.edges);
                UpdateStatus::Accepted
            }
            // The server keeps too many updates that are mostly superseded. This is no fault.
            UpdateOutcome::Refused { reason: UpdateRefusal::SayAll, .. } => {
                self.closed.retain(|_, forget_ms| *forget_ms > now.steady_ms);
                server.changed.extend(in_flight.edges);
                server.changed.extend(self.open.keys().chain(self.closed.keys()).cloned());
                server.republish_ms = now.steady_ms + self.config.time_to_live_ms() / 2;
                server.not_before_ms = server.not_before_ms.max(server.republish_at_once_ms);
                server.republish_at_once_ms = now.steady_ms.saturating_add(self.config.refused_wait_ms);
                UpdateStatus::Accepted
            }
            UpdateOutcome::Refused { reason, server_ms } => {
                server.changed.extend(in_flight.edges);
                server.not_before_ms = now.steady_ms.saturating_add(self.config.refused_wait_ms);
                if reason.is_clock() { UpdateStatus::ClockDiffers { server_ms } } else { UpdateStatus::Refused(reason) }
            }
        }
    }

    /// What is to be done now.
    pub fn poll(&mut self, now: Timestamps, signer: &dyn Signer) -> Vec<Publication> {
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

    /// Whether a server has accepted the latest announcements of all edges.
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

fn closed_edge((friend, currency): &EdgeName) -> Edge {
    let (friend, currency) = (*friend, currency.clone());
    Edge {
        friend,
        currency,
        send_capacity: 0.into(),
        receive_capacity: 0.into(),
        rate: Rate::default(),
        clearable: Clearable::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offst_crypto::Identity;
    use offst_proto::Amount;

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
            send_capacity: Amount::capped(capacity),
            receive_capacity: Amount::capped(capacity),
            rate,
            clearable: Clearable::None,
        }
    }

    fn at(ms: u64) -> Timestamps {
        Timestamps { steady_ms: ms, unix_ms: START + ms }
    }

    /// A publisher with one server.
    struct Scene {
        publisher: Publisher,
    }

    impl Scene {
        fn new(capacities: &[(u8, u128)]) -> Self {
            let mut publisher = Publisher::new(identity().public_key(), Config::default());
            for (friend, capacity) in capacities {
                publisher.set_edge(edge(key(*friend), *capacity), at(0));
            }
            publisher.connected(key(9), at(0));
            Scene { publisher }
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
            let mut capacities: Vec<_> = update.edges.iter().map(|edge| edge.send_capacity.credits()).collect();
            capacities.sort();
            Some(capacities)
        }

        fn answer(&mut self, sequence: u64, outcome: UpdateOutcome, ms: u64) -> UpdateStatus {
            self.publisher.result(&key(9), UpdateResult { sequence, outcome }, at(ms))
        }
    }

    #[test]
    fn changes_only_in_batches_and_at_once_when_idle() {
        let mut scene = Scene::new(&[(2, 20), (3, 30)]);
        assert_eq!(scene.capacities(0), Some(vec![20, 30]));
        assert_eq!(scene.capacities(0), None);
        scene.set(2, 21, 10);
        scene.set(2, 22, 20);
        scene.set(3, 30, 20);
        assert_eq!(scene.capacities(249), None);
        assert_eq!(scene.publisher.next_wake_ms(), Some(250));
        assert_eq!(scene.capacities(250), Some(vec![22]));
        scene.set(3, 31, 5000);
        assert_eq!(scene.capacities(5000), Some(vec![31]), "idle: at once");
    }

    #[test]
    fn everything_is_announced_again_at_half_of_its_time() {
        let mut scene = Scene::new(&[(2, 20), (3, 30)]);
        let half = Config::default().time_to_live_ms / 2;
        let update = scene.update(0).unwrap();
        assert_eq!(update.expires_ms, START + 2 * half);
        scene.answer(update.sequence, UpdateOutcome::Accepted { newest: update.sequence }, 0);
        assert_eq!(scene.publisher.next_wake_ms(), Some(half));
        assert_eq!(scene.capacities(half - 1), None);
        assert_eq!(scene.capacities(half), Some(vec![20, 30]));
        assert_eq!(scene.publisher.next_wake_ms(), Some(2 * half));
    }

    #[test]
    fn closed_edges_are_withdrawn_also_after_a_reconnect() {
        let mut scene = Scene::new(&[(2, 20), (3, 30)]);
        scene.capacities(0);
        scene.publisher.disconnected(&key(9));
        scene.set(3, 0, 10);
        scene.set(4, 0, 10);
        assert_eq!(scene.publisher.next_wake_ms(), None);
        scene.publisher.connected(key(9), at(20));
        assert_eq!(scene.capacities(20), Some(vec![0, 20]), "an edge that never was open is not named");
        scene.publisher.connected(key(9), at(10 + Config::default().time_to_live_ms));
        assert_eq!(scene.capacities(1_000_000), Some(vec![20]), "expired everywhere");
    }

    #[test]
    fn sequences_grow_with_the_clock_and_above_what_a_server_knows() {
        let mut scene = Scene::new(&[(2, 20)]);
        let first = scene.update(7).unwrap();
        assert_eq!(first.sequence, START + 7);
        let newest = START + 1_000_000;
        assert_eq!(scene.answer(first.sequence, UpdateOutcome::Stale { newest }, 8), UpdateStatus::Accepted);
        let again = scene.update(300).unwrap();
        assert_eq!((again.sequence, &again.edges), (newest + 1, &first.edges));
        // A clock that was put back does not matter.
        scene.answer(again.sequence, UpdateOutcome::Accepted { newest: again.sequence }, 301);
        scene.set(2, 21, 302);
        let publications = scene.publisher.poll(Timestamps { steady_ms: 600, unix_ms: 5 }, &identity());
        let Some(Publication::Update(_, update)) = publications.first() else { panic!("an update is due") };
        assert_eq!(update.sequence, newest + 2);
    }

    #[test]
    fn refusals_wait_and_a_wrong_clock_is_reported() {
        let mut scene = Scene::new(&[(2, 20)]);
        let sequence = scene.update(0).unwrap().sequence;
        let refused = |reason| UpdateOutcome::Refused { reason, server_ms: 5 };
        let status = scene.answer(sequence, refused(UpdateRefusal::Expired), 0);
        assert_eq!(status, UpdateStatus::ClockDiffers { server_ms: 5 });
        assert_eq!(scene.update(9_999), None);
        let sequence = scene.update(10_000).unwrap().sequence;
        assert_eq!(scene.answer(sequence + 1, refused(UpdateRefusal::Full), 10_001), UpdateStatus::Unrelated);
        let status = scene.answer(sequence, refused(UpdateRefusal::Full), 10_001);
        assert_eq!(status, UpdateStatus::Refused(UpdateRefusal::Full));
        assert_eq!(scene.capacities(20_001), Some(vec![20]));
    }

    #[test]
    fn everything_is_announced_again_when_a_server_asks_but_not_in_a_tight_loop() {
        let mut scene = Scene::new(&[(2, 20), (3, 30), (4, 40)]);
        assert_eq!(scene.capacities(0), Some(vec![20, 30, 40]));
        scene.set(4, 0, 10);
        assert_eq!(scene.capacities(250), Some(vec![0]));
        scene.set(2, 21, 1000);
        let sequence = scene.update(1000).unwrap().sequence;
        let say_all = UpdateOutcome::Refused { reason: UpdateRefusal::SayAll, server_ms: START };
        assert_eq!(scene.answer(sequence, say_all, 1001), UpdateStatus::Accepted);
        assert!(!scene.publisher.is_up_to_date(&key(9)));
        assert_eq!(scene.publisher.next_wake_ms(), Some(1250));
        let update = scene.update(1250).unwrap();
        let capacities: BTreeSet<_> = update.edges.iter().map(|edge| edge.send_capacity).collect();
        assert_eq!(capacities, BTreeSet::from([0, 21, 30].map(Amount::from)), "also what was withdrawn");
        // A server that asks for nothing else.
        assert_eq!(scene.answer(update.sequence, say_all, 1251), UpdateStatus::Accepted);
        assert_eq!(scene.update(11_000), None);
        assert_eq!(scene.capacities(11_001), Some(vec![0, 21, 30]));
        assert_eq!(scene.publisher.next_wake_ms(), Some(1251 + Config::default().time_to_live_ms / 2));
    }

    #[test]
    fn a_server_that_does_not_answer_is_disconnected() {
        let mut scene = Scene::new(&[(2, 20)]);
        scene.update(0).unwrap();
        scene.set(2, 21, 1000);
        assert_eq!(scene.update(29_999), None, "one update at a time");
        assert_eq!(scene.publisher.next_wake_ms(), Some(30_000));
        assert_eq!(scene.publisher.poll(at(30_000), &identity()), [Publication::Silent(key(9))]);
    }

    #[test]
    fn many_edges_take_several_updates() {
        let mut scene = Scene::new(&[]);
        for number in 0..EDGES_MAX as u64 + 5 {
            let mut seed = [0; 32];
            seed[..8].copy_from_slice(&(number + 1).to_be_bytes());
            scene.publisher.set_edge(edge(Identity::from_seed(seed).public_key(), u128::from(u64::MAX)), at(0));
        }
        assert_eq!(scene.capacities(0).map(|edges| edges.len()), Some(EDGES_MAX));
        assert_eq!(scene.capacities(0), None);
        assert_eq!(scene.capacities(250), Some(vec![u64::MAX.into(); 5]));
    }
}
