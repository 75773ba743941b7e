use super::*;
use offst_crypto::{Ed25519Verifier, Identity};
use offst_proto::Amount;
use offst_proto::index::{Clearable, Edge};
use offst_proto::{Currency, Rate, Unverified};
use std::collections::VecDeque;
use std::sync::LazyLock;

const NOW: u64 = 1_700_000_000_000;
const DAY_END: u64 = NOW + 3_000_000;

static FRIEND: LazyLock<Identity> = LazyLock::new(|| Identity::from_seed([8; 32]));

fn node(number: u64) -> Identity {
    let mut seed = [9; 32];
    seed[..8].copy_from_slice(&number.to_be_bytes());
    Identity::from_seed(seed)
}

fn update(number: u64, sequence: u64, capacity: u128) -> Verified<Update> {
    let identity = node(number);
    let edge = Edge {
        friend: FRIEND.public_key(),
        currency: Currency::default(),
        send_capacity: Amount::capped(capacity),
        receive_capacity: Amount::capped(capacity),
        rate: Rate::default(),
        clearable: Clearable::None,
    };
    let node = identity.public_key();
    Verified::sign(Update { node, sequence, expires_ms: DAY_END, edges: vec![edge] }, &identity)
}

/// Servers and the messages in flight between them.
struct Network {
    servers: BTreeMap<PublicKey, Replica>,
    wires: BTreeMap<(PublicKey, PublicKey), VecDeque<Vec<u8>>>,
    updates_sent: usize,
    bytes_sent: usize,
    now_ms: u64,
}

impl Network {
    /// Servers in the order of their keys.
    fn new(count: u8) -> (Self, Vec<PublicKey>) {
        Network::with_limits(count, Limits::default())
    }

    fn with_limits(count: u8, limits: Limits) -> (Self, Vec<PublicKey>) {
        let keys: BTreeSet<_> = (1..=count).map(|seed| Identity::from_seed([seed; 32]).public_key()).collect();
        let servers = keys.iter().map(|key| (*key, Replica::new(*key, limits))).collect();
        let network = Network { servers, wires: BTreeMap::new(), updates_sent: 0, bytes_sent: 0, now_ms: NOW };
        (network, keys.into_iter().collect())
    }

    fn connect(&mut self, one: PublicKey, other: PublicKey) {
        for (from, to) in [(one, other), (other, one)] {
            self.servers.get_mut(&from).unwrap().link_up(to, self.now_ms);
            self.wires.insert((from, to), VecDeque::new());
        }
    }

    /// Messages in flight are lost.
    fn disconnect(&mut self, one: PublicKey, other: PublicKey) {
        for (from, to) in [(one, other), (other, one)] {
            self.servers.get_mut(&from).unwrap().link_down(&to);
            self.wires.remove(&(from, to));
        }
    }

    fn publish(&mut self, server: PublicKey, number: u64, sequence: u64, capacity: u128) -> UpdateOutcome {
        let server = self.servers.get_mut(&server).unwrap();
        server.publish(&update(number, sequence, capacity), "10.0.0.1".parse().unwrap(), NOW)
    }

    /// One frame on every link.
    fn step(&mut self) -> bool {
        let mut is_active = false;
        for ((from, to), wire) in &mut self.wires {
            while let Some(message) = self.servers.get_mut(from).unwrap().next_message(to, self.now_ms) {
                if let ServerToServer::Updates(updates) = &message {
                    self.updates_sent += updates.len();
                }
                let frame = message.to_frame();
                self.bytes_sent += frame.len();
                wire.push_back(frame);
            }
            let Some(frame) = wire.pop_front() else { continue };
            is_active = true;
            let server = self.servers.get_mut(to).unwrap();
            match ServerToServer::from_frame(&frame).unwrap() {
                ServerToServer::Updates(updates) => {
                    let check = |wire: Vec<u8>| {
                        let update = Unverified::<Update>::from_wire(&wire).unwrap();
                        crate::admit_from_neighbour(update, &Ed25519Verifier, NOW).unwrap()
                    };
                    server.receive_updates(from, &updates.into_iter().map(check).collect::<Vec<_>>());
                }
                message => _ = server.receive(from, message, self.now_ms),
            }
        }
        is_active
    }

    /// Until there is nothing to send.
    fn settle(&mut self) {
        for _ in 0..100_000 {
            if !self.step() {
                return;
            }
        }
        panic!("the servers talk without end");
    }

    fn digests(&mut self) -> Vec<u64> {
        self.servers.values_mut().map(Replica::digest).collect()
    }

    #[track_caller]
    fn assert_equal(&mut self, nodes: usize) {
        let digests = self.digests();
        assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
        assert!(self.servers.values().all(|server| server.store().node_count() == nodes));
    }
}

// R5.12.
#[test]
fn an_update_reaches_all_and_does_not_circle() {
    let (mut network, keys) = Network::new(5);
    for (position, one) in keys.iter().enumerate() {
        for other in &keys[position + 1..] {
            network.connect(*one, *other);
        }
    }
    network.settle();
    network.publish(keys[0], 1, 1, 10);
    network.settle();
    network.assert_equal(1);
    // From the first to four; each of these to the three others before it has received it from them.
    assert!(network.updates_sent <= 4 + 4 * 3, "{}", network.updates_sent);
    let sent = network.updates_sent;
    assert_eq!(network.publish(keys[1], 1, 1, 10), UpdateOutcome::Stale { newest: 1 });
    let again = update(1, 1, 10);
    let received = network.servers.get_mut(&keys[2]).unwrap().receive_updates(&keys[0], &[again]);
    assert_eq!(received, Received { old: 1, ..Received::default() });
    network.settle();
    assert_eq!(network.updates_sent, sent, "what is not new goes nowhere");
}

#[test]
fn only_what_differs_is_exchanged() {
    let (mut network, keys) = Network::new(2);
    let (one, other) = (keys[0], keys[1]);
    for number in 0..100 {
        network.publish(one, number, 1, 5);
        network.publish(other, number, 1, 5);
    }
    network.connect(one, other);
    network.settle();
    assert_eq!(network.updates_sent, 0);
    assert!(network.bytes_sent < 200, "two summaries: {}", network.bytes_sent);
    network.disconnect(one, other);
    // Each sees another change, and one node is newer here and another one there.
    network.publish(one, 7, 2, 6);
    network.publish(other, 8, 2, 6);
    network.publish(one, 1000, 1, 6);
    network.publish(other, 1001, 1, 6);
    network.connect(one, other);
    network.settle();
    network.assert_equal(102);
    assert_eq!(network.updates_sent, 4, "no announcement that the other's newer one supersedes");
    assert!(network.bytes_sent < 40_000, "{}", network.bytes_sent);
}

#[test]
fn two_halves_of_a_network_become_equal() {
    let (mut network, keys) = Network::new(2);
    for number in 0..1000 {
        network.publish(keys[number as usize % 2], number, 1, 5);
    }
    network.connect(keys[0], keys[1]);
    network.settle();
    network.assert_equal(1000);
    assert_eq!(network.updates_sent, 1000);
}

#[test]
fn a_server_that_has_forgotten_everything_learns_it_again() {
    let (mut network, keys) = Network::new(3);
    network.connect(keys[0], keys[1]);
    network.connect(keys[1], keys[2]);
    for number in 0..200 {
        network.publish(keys[number as usize % 3], number, 1, 5);
    }
    network.settle();
    network.assert_equal(200);
    for forgetful in [keys[0], keys[1]] {
        let neighbours: Vec<_> = keys
            .iter()
            .filter(|key| **key != forgetful && network.wires.contains_key(&(forgetful, **key)))
            .copied()
            .collect();
        neighbours.iter().for_each(|key| network.disconnect(forgetful, *key));
        network.servers.insert(forgetful, Replica::new(forgetful, Limits::default()));
        neighbours.iter().for_each(|key| network.connect(forgetful, *key));
        network.settle();
        network.assert_equal(200);
    }
}

// R5.15.
#[test]
fn a_word_that_is_superseded_before_it_is_sent_is_never_sent() {
    let (mut network, keys) = Network::new(2);
    network.connect(keys[0], keys[1]);
    network.settle();
    for sequence in 1..=50 {
        network.publish(keys[0], 1, sequence, sequence.into());
    }
    network.settle();
    assert_eq!(network.updates_sent, 1);
    network.assert_equal(1);
}

#[test]
fn neighbours_that_stay_connected_compare_from_time_to_time() {
    let (mut network, keys) = Network::new(2);
    network.connect(keys[0], keys[1]);
    network.settle();
    // An update is lost by a fault that nobody has thought of.
    network.publish(keys[1], 1, 1, 5);
    network.servers.get_mut(&keys[1]).unwrap().links.get_mut(&keys[0]).unwrap().updates.clear();
    network.settle();
    assert_ne!(network.digests()[0], network.digests()[1]);
    network.now_ms += Limits::default().compare_ms;
    let now_ms = network.now_ms;
    network.servers.values_mut().for_each(|server| server.tick(now_ms));
    network.settle();
    network.assert_equal(1);
}

/// Links that come and go at any time; in the end all servers hold everything.
/// (R5.14.)
#[test]
fn random_partitions_heal() {
    for seed in 0..10u64 {
        let (mut network, keys) = Network::new(4);
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        let mut sequence = 1;
        for _ in 0..150 {
            let (one, other) = (keys[random(4)], keys[random(4)]);
            match random(4) {
                0 if one != other => network.connect(one, other),
                1 if one != other => network.disconnect(one, other),
                2 => _ = network.step(),
                _ => {
                    sequence += 1;
                    network.publish(one, random(12) as u64, sequence, random(3) as u128);
                }
            }
        }
        // A cycle.
        for position in 0..4 {
            network.connect(keys[position], keys[(position + 1) % 4]);
        }
        network.settle();
        let nodes = network.servers[&keys[0]].store().node_count();
        network.assert_equal(nodes);
    }
}

#[test]
fn a_hostile_neighbour_cannot_make_the_memory_grow() {
    let (mut network, keys) = Network::new(2);
    network.publish(keys[0], 1, 1, 5);
    network.connect(keys[0], keys[1]);
    let server = network.servers.get_mut(&keys[0]).unwrap();
    let peer = keys[1];
    for round in 0..40u64 {
        let node = node(1).public_key();
        let bucket = offst_proto::index::bucket_of(&node);
        let names =
            (0..NAMES_MAX as u64).map(|n| UpdateName { node, sequence: round * 10_000 + n + 2, tag: 0 }).collect();
        server.receive(&peer, ServerToServer::List(Listing { bucket, after: None, names, is_last: true }), NOW);
        let strange = UpdateName { node: peer, sequence: round, tag: 1 };
        server.receive(&peer, ServerToServer::Wants(vec![strange; NAMES_MAX]), NOW);
        server.receive(&peer, ServerToServer::Buckets(vec![round; BUCKETS]), NOW);
    }
    let link = &server.links[&peer];
    let held = link.updates.len() + link.held_back.len();
    assert_eq!((link.wants.len(), held, link.lists.len()), (WANTS_MAX, 1, BUCKETS));
}

/// An attacker with many addresses fills one server. The other one, which nobody touches, knows everybody who is honest,
/// wherever it publishes; and when the two compare again and again, the exchange ends.
#[test]
fn a_server_that_is_filled_does_not_fill_the_one_that_is_linked_with_it() {
    let limits = Limits {
        nodes_max: 60,
        nodes_per_address_max: 10,
        nodes_per_neighbour_max: 30,
        edges_max: 600,
        edges_per_address_max: 100,
        edges_per_neighbour_max: 300,
        ..Limits::default()
    };
    let (mut network, keys) = Network::with_limits(2, limits);
    let (one, other) = (keys[0], keys[1]);
    network.connect(one, other);
    let address = |number: u64| IpAddr::from([10, 0, (number >> 8) as u8, number as u8]);
    let publish = |network: &mut Network, server: &PublicKey, number: u64, sequence: u64, edges: u64, from: IpAddr| {
        let identity = node(number);
        let friend = |number: u64| {
            let mut bytes = [7; 32];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            Edge { friend: PublicKey::from_bytes(bytes).unwrap(), ..update(1, 1, 1).edges[0].clone() }
        };
        let (node, edges) = (identity.public_key(), (0..edges).map(friend).collect());
        let update = Verified::sign(Update { node, sequence, expires_ms: DAY_END, edges }, &identity);
        let server = network.servers.get_mut(server).unwrap();
        assert!(matches!(server.publish(&update, from, NOW), UpdateOutcome::Accepted { .. }), "{number} at {from}");
    };
    // Honest ones at both servers, each at an address of its own.
    for number in 0..6 {
        publish(&mut network, &keys[number as usize % 2], number, 1, 1, address(number));
    }
    for number in 0..80u64 {
        // Ten addresses; a node that is larger than those held is refused, so each is smaller than the one before.
        publish(&mut network, &one, 1000 + number, 1, 10 - number / 10, address(500 + number % 10));
        if number % 8 == 0 {
            network.settle();
            (0..6).for_each(|n| publish(&mut network, &keys[n as usize % 2], n, 2 + number, 1, address(n)));
            publish(&mut network, &one, 100 + number, 1, 1, address(100 + number));
            publish(&mut network, &other, 200 + number, 1, 1, address(200 + number));
        }
    }
    network.settle();
    for server in network.servers.values() {
        let knows = |number: u64| server.store().newest(&node(number).public_key()).is_some();
        assert!((0..6).all(knows) && (0..10).all(|n| knows(100 + 8 * n) && knows(200 + 8 * n)));
        assert!(server.store().node_count() <= limits.nodes_max && server.store().edge_count() <= limits.edges_max);
    }
    assert!(network.servers[&one].store().evicted() > 0, "it was full");
    assert!(network.servers[&other].store().node_count() <= 30 + 13, "a share of what is not its own");
    // Each minute they compare; what one has no room for is told again, and nothing comes of it.
    let mut digests = network.digests();
    for _ in 0..4 {
        network.now_ms += Limits::default().compare_ms;
        let now_ms = network.now_ms;
        network.servers.values_mut().for_each(|server| server.tick(now_ms));
        network.settle();
        digests = std::mem::replace(&mut digests, network.digests());
    }
    assert_eq!(digests, network.digests());
}
