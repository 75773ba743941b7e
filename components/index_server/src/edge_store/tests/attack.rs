//! However an attacker fills a server, all other nodes get in and stay in.

use super::*;
use crate::edge_store::node_record::KeptUpdate;
use offst_secure_channel::{networks, widest_network};

/// Bounds that can be reached with a few hundred updates, in the proportions of the real ones.
fn small() -> Limits {
    Limits {
        edges_per_node_max: 64,
        update_bytes_per_node_max: 32 << 10,
        edges_max: 2_000,
        nodes_max: 400,
        update_bytes_max: 512 << 10,
        nodes_per_address_max: 20,
        edges_per_address_max: 400,
        update_bytes_per_address_max: 48 << 10,
        nodes_per_neighbour_max: 200,
        edges_per_neighbour_max: 1_000,
        update_bytes_per_neighbour_max: 256 << 10,
        ..Limits::default()
    }
}

fn node(number: u64) -> Identity {
    let mut seed = [9; 32];
    seed[..8].copy_from_slice(&number.to_be_bytes());
    Identity::from_seed(seed)
}

fn friend(number: u64) -> Edge {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    Edge { friend: PublicKey::from_bytes(bytes).unwrap(), ..edge(2, 1) }
}

fn sign(identity: &Identity, sequence: u64, edges: Vec<Edge>) -> Verified<Update> {
    let node = identity.public_key();
    Verified::sign(Update { node, sequence, expires_ms: NOW + 3_600_000, edges }, identity)
}

fn address(number: u32) -> IpAddr {
    IpAddr::from((10 << 24 | number).to_be_bytes())
}

/// Honest nodes, each with two friends and at an address of its own, that announce one of their edges again and again.
struct Honest {
    nodes: Vec<Identity>,
    sequence: u64,
}

impl Honest {
    fn new(store: &mut EdgeStore, from: u64, count: u64) -> Self {
        let nodes: Vec<_> = (from..from + count).map(node).collect();
        for (number, identity) in (from as u32..).zip(&nodes) {
            let update = sign(identity, 1, vec![friend(1), friend(2)]);
            assert_eq!(store.publish(&update, Some(address(number)), NOW), accepted(1));
        }
        Honest { nodes, sequence: 1 }
    }

    #[track_caller]
    fn renew(&mut self, store: &mut EdgeStore, from: u32) {
        self.sequence += 1;
        for (number, identity) in (from..).zip(&self.nodes) {
            let update = sign(identity, self.sequence, vec![friend(1 + self.sequence % 2)]);
            assert_eq!(store.publish(&update, Some(address(number)), NOW), accepted(self.sequence));
            assert_eq!(store.node(&identity.public_key()).unwrap().edges.len(), 2, "no edge is lost");
        }
    }
}

/// The counts are those of what is held, and none is above its bound.
#[track_caller]
fn check(store: &EdgeStore) {
    let mut sums: BTreeMap<QuotaGroup, Counts> = BTreeMap::new();
    for (key, node) in store.buckets.iter().flat_map(Bucket::nodes) {
        assert_eq!(node.update_bytes, node.updates.values().map(KeptUpdate::bytes).sum::<usize>(), "{key}");
        let mut groups = vec![QuotaGroup::All];
        match node.origin.unwrap() {
            Origin::Nowhere => {}
            Origin::Address(address) => {
                groups.push(QuotaGroup::Addresses);
                groups.extend(networks(address).rev().map(QuotaGroup::Network));
            }
            Origin::Neighbour(neighbour) => groups.push(QuotaGroup::Neighbour(neighbour)),
        }
        for group in groups {
            let sum = sums.entry(group).or_default();
            let held = node.counts();
            *sum = Counts { nodes: sum.nodes + 1, edges: sum.edges + held.edges, bytes: sum.bytes + held.bytes };
        }
    }
    assert_eq!(store.quota.len(), sums.len());
    let limits = store.limits;
    for (group, held) in &sums {
        let factor = if let QuotaGroup::Network(network) = group { network.shares() } else { 1 };
        let bound = match group {
            QuotaGroup::All | QuotaGroup::Addresses => {
                Counts { nodes: limits.nodes_max, edges: limits.edges_max, bytes: limits.update_bytes_max }
            }
            QuotaGroup::Network(_) => Counts {
                nodes: limits.nodes_per_address_max * factor,
                edges: limits.edges_per_address_max * factor,
                bytes: limits.update_bytes_per_address_max * factor,
            },
            QuotaGroup::Neighbour(_) => Counts {
                nodes: limits.nodes_per_neighbour_max,
                edges: limits.edges_per_neighbour_max,
                bytes: limits.update_bytes_per_neighbour_max,
            },
        };
        assert!(held.fits(bound), "{group:?}: {held:?}");
        assert_eq!(store.quota.held(group), *held, "{group:?}");
    }
    assert_eq!(store.quota.total(), sums.get(&QuotaGroup::All).copied().unwrap_or_default());
}

/// What an attacker publishes from one of its addresses with its key of this number: all of its edges, then all but the
/// first, all but the first two ..., each of which stays the latest announcement of one edge; until one is refused.
fn fill(store: &mut EdgeStore, number: u64, from: IpAddr) {
    let identity = node(1_000_000 + number);
    for first in 0..4 {
        let update = sign(&identity, first + 1, (first..12).map(friend).collect());
        if !matches!(store.publish(&update, Some(from), NOW), UpdateOutcome::Accepted { .. }) {
            return;
        }
    }
}

#[test]
fn three_addresses_with_many_keys_hold_three_quotas() {
    let mut store = EdgeStore::new(small());
    let mut honest = Honest::new(&mut store, 0, 10);
    for number in 0..60 {
        fill(&mut store, number, address(1000 + number as u32 % 3));
        honest.renew(&mut store, 0);
        let newcomer = sign(&node(500 + number), 1, vec![friend(1)]);
        assert_eq!(store.publish(&newcomer, Some(address(500 + number as u32)), NOW), accepted(1));
    }
    check(&store);
    let held = |number| store.quota.held(&QuotaGroup::Network(widest_network(address(number)))).bytes;
    let attackers: usize = (1000..1003).map(held).sum();
    assert!(attackers > 2 * small().update_bytes_per_address_max, "the attack works: {attackers}");
    assert!(attackers <= 3 * small().update_bytes_per_address_max);
}

/// So many addresses that they fill the server: they are evicted for one another, and for all others.
#[test]
fn a_full_server_takes_newcomers_and_renewals() {
    let mut store = EdgeStore::new(small());
    let mut honest = Honest::new(&mut store, 0, 10);
    for number in 0..120 {
        fill(&mut store, number, address(1000 + number as u32 % 30));
        honest.renew(&mut store, 0);
        let newcomer = sign(&node(500 + number), 1, vec![friend(1)]);
        assert_eq!(store.publish(&newcomer, Some(address(500 + number as u32)), NOW), accepted(1));
    }
    check(&store);
    assert!(store.evicted() > 10, "it was full: {}", store.evicted());
    for number in 500..620 {
        assert!(store.node(&node(number).public_key()).is_some(), "nodes that hold little stay");
    }
}

/// Where all hold the same, the one that was silent for longest is evicted for one that comes from elsewhere.
#[test]
fn among_equals_the_one_that_was_silent_for_longest_is_evicted() {
    let mut store = EdgeStore::new(Limits { nodes_max: 10, ..small() });
    for number in 0..10 {
        let update = sign(&node(number), 1, vec![friend(1)]);
        assert_eq!(store.publish(&update, Some(address(number as u32)), NOW), accepted(1));
    }
    // The clock of this one is ahead, so that it expires last; that does not help it.
    let identity = node(3);
    let ahead =
        Update { node: identity.public_key(), sequence: 5, expires_ms: NOW + 9_000_000, edges: vec![friend(1)] };
    store.publish(&Verified::sign(ahead, &identity), Some(address(3)), NOW);
    for number in (0..10).filter(|number| *number != 3) {
        store.publish(&sign(&node(number), 2, vec![friend(1)]), Some(address(number as u32)), NOW);
    }
    assert_eq!(store.publish(&sign(&node(99), 1, vec![friend(1)]), Some(address(99)), NOW), accepted(1));
    assert_eq!(store.newest(&node(3).public_key()), None);
    assert_eq!(store.node_count(), 10);
}

// R5.5.
#[test]
fn a_renewal_does_not_count_beside_what_it_replaces() {
    let bytes = sign(&node(1), 1, (0..10).map(friend).collect()).wire().len() + UPDATE_OVERHEAD_BYTES;
    for limits in [
        Limits { update_bytes_max: bytes, ..small() },
        Limits { update_bytes_per_address_max: bytes, ..small() },
        Limits { update_bytes_per_node_max: bytes, ..small() },
    ] {
        let mut store = EdgeStore::new(limits);
        for sequence in 1..5 {
            let update = sign(&node(1), sequence, (0..10).map(friend).collect());
            assert_eq!(store.publish(&update, Some(here()), NOW), accepted(sequence));
        }
        assert_eq!((store.update_bytes(), store.evicted()), (bytes, 0));
        let update = sign(&node(1), 9, (0..10).map(friend).collect());
        assert_eq!(store.merge(&update, neighbour()), Merged::New, "also when a neighbour passes it on");
    }
}

/// The largest of an address announces one edge of many again: there are more bytes than before, and smaller ones beside it.
#[test]
fn a_renewal_of_known_edges_never_lacks_room() {
    for is_from_node in [true, false] {
        let mut store =
            EdgeStore::new(Limits { update_bytes_per_address_max: 12 << 10, update_bytes_max: 13 << 10, ..small() });
        let publish_all = |store: &mut EdgeStore, number: u64, edges: u64| {
            let update = sign(&node(number), 1, (0..edges).map(friend).collect());
            assert_eq!(store.publish(&update, Some(here()), NOW), accepted(1));
        };
        publish_all(&mut store, 1, 60);
        publish_all(&mut store, 2, 20);
        while store.update_bytes() + 500 < 12 << 10 {
            let number = 10 + store.node_count() as u64;
            publish_all(&mut store, number, 1);
        }
        let update = sign(&node(1), 2, vec![friend(5)]);
        let update_too = sign(&node(1), 3, vec![friend(6)]);
        if is_from_node {
            assert_eq!(store.publish(&update, Some(here()), NOW), accepted(2));
            assert_eq!(store.publish(&update_too, Some(here()), NOW), accepted(3));
        } else {
            assert_eq!(store.merge(&update, neighbour()), Merged::New);
            assert_eq!(store.merge(&update_too, neighbour()), Merged::New);
        }
        assert_eq!(store.newest(&node(2).public_key()), None, "the next largest is evicted");
        assert_eq!(store.node(&node(1).public_key()).unwrap().edges.len(), 60);
        check(&store);
    }
}

#[test]
fn networks_of_ipv6_are_counted_at_48_56_and_64() {
    let share = small().update_bytes_per_address_max;
    let at = |network: u16| IpAddr::V6([0x2001, 0xdb8, 1, network, 0, 0, 0, 1].into());
    // By how much the network of the next key is further on.
    for (name, step, shares) in [("a /64", 0, 1), ("a /56", 1, 2), ("a /48", 256, 4)] {
        let mut store = EdgeStore::new(Limits { update_bytes_max: 100 * share, edges_max: 100_000, ..small() });
        let mut honest = Honest::new(&mut store, 0, 3);
        let before = store.update_bytes();
        for number in 0..200 {
            fill(&mut store, number, at(number as u16 * step));
        }
        let held = store.update_bytes() - before;
        assert!(held <= shares * share && held > shares * share * 3 / 4, "{name}: {held} of {}", shares * share);
        honest.renew(&mut store, 0);
        let newcomer = sign(&node(500), 1, vec![friend(1)]);
        let neighbouring = at(0xff77);
        assert_eq!(store.publish(&newcomer, Some(neighbouring), NOW), accepted(1), "also a newcomer beside {name}");
        check(&store);
    }
}

/// The attacker is at another server: what that one passes on counts against its quota, and not against those of others.
#[test]
fn what_a_neighbour_passes_on_counts_against_its_quota() {
    let mut store = EdgeStore::new(small());
    let mut honest = Honest::new(&mut store, 0, 10);
    for number in 0..300 {
        let identity = node(1_000_000 + number);
        for sequence in 0..3 {
            store.merge(&sign(&identity, sequence + 1, (sequence..40).map(friend).collect()), neighbour());
        }
        honest.renew(&mut store, 0);
        // A node that publishes at that server and holds little is known here nevertheless.
        let small = sign(&node(500 + number), 1, vec![friend(1)]);
        if number < 100 {
            assert_eq!(store.merge(&small, neighbour()), Merged::New, "{number}");
        }
    }
    check(&store);
    let held = store.quota.held(&QuotaGroup::Neighbour(key(15)));
    assert!(held.bytes * 10 > small().update_bytes_per_neighbour_max * 9 || held.edges > 900, "{held:?}");
    for number in 500..600 {
        assert!(store.node(&node(number).public_key()).is_some(), "{number}");
    }
    // A node that comes here itself counts against its own address from then on.
    let moved = node(500);
    assert_eq!(store.publish(&sign(&moved, 2, vec![friend(1)]), Some(address(77)), NOW), accepted(2));
    assert_eq!(store.quota.held(&QuotaGroup::Neighbour(key(15))).nodes, held.nodes - 1);
    assert_eq!(store.merge(&sign(&moved, 3, vec![friend(1)]), neighbour()), Merged::New);
    assert_eq!(store.quota.held(&QuotaGroup::Neighbour(key(15))).nodes, held.nodes - 1);
    check(&store);
}

/// What a neighbour passes on evicts only what is larger: two servers that compare again and again do not exchange forever
/// what one of them has no room for.
#[test]
fn a_neighbour_that_sends_everything_again_changes_nothing() {
    let mut store = EdgeStore::new(Limits { nodes_per_neighbour_max: 20, ..small() });
    let updates: Vec<_> =
        (0..60).map(|number| sign(&node(number), 1, (0..1 + number % 3).map(friend).collect())).collect();
    updates.iter().for_each(|update| _ = store.merge(update, neighbour()));
    // The first twenty small ones of those that came have stayed.
    for _ in 0..2 {
        updates.iter().for_each(|update| _ = store.merge(update, neighbour()));
    }
    let (digest, evicted) = (store.digest(), store.evicted());
    updates.iter().for_each(|update| _ = store.merge(update, neighbour()));
    assert_eq!((store.digest(), store.evicted()), (digest, evicted));
    assert_eq!((store.node_count(), store.edge_count()), (20, 20));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    /// Whatever is published in whatever order: nothing is above its bound, the counts are right, and nodes that hold little at
    /// addresses of their own are never refused.
    #[test]
    fn nothing_is_above_its_bound(steps in proptest::collection::vec((0..6u8, 0..30u64, 0..8u32, 1..30u64, 0..40u64), 1..70)) {
        let mut store = EdgeStore::new(Limits {
            nodes_max: 40, edges_max: 200, update_bytes_max: 48 << 10,
            nodes_per_address_max: 6, edges_per_address_max: 50, update_bytes_per_address_max: 9 << 10,
            nodes_per_neighbour_max: 10, edges_per_neighbour_max: 90, update_bytes_per_neighbour_max: 20 << 10,
            ..small()
        });
        let mut honest = Honest::new(&mut store, 0, 4);
        let mut graph_changes = Vec::new();
        for (sequence, (kind, number, from, edges, first)) in (10..).zip(steps) {
            let update = sign(&node(1000 + number), sequence, (first..first + edges).map(friend).collect());
            match kind {
                0..=2 => _ = store.publish(&update, Some(address(100 + from)), NOW),
                3 => _ = store.publish(&update, Some(IpAddr::V6([0x2001, 0xdb8, 1, (from << 6) as u16, 0, 0, 0, 1].into())), NOW),
                4 => _ = store.merge(&update, Origin::Neighbour(key(from as u8 % 2))),
                _ => store.sweep(NOW + 1, BUCKETS),
            }
            honest.renew(&mut store, 0);
            check(&store);
            graph_changes.extend(store.take_changes());
        }
        let open = store.buckets.iter().flat_map(Bucket::nodes);
        let open = open.flat_map(|(_, node)| node.edges.values()).filter(|announcement| announcement.is_open).count();
        prop_assert_eq!(graph(graph_changes).len(), open, "what was evicted has left the graph");
        store.sweep(NOW + 3_600_000, BUCKETS);
        prop_assert_eq!((store.node_count(), store.edge_count(), store.update_bytes(), store.quota.len()), (0, 0, 0, 0));
    }
}
