use super::node_record::UPDATE_OVERHEAD_BYTES;
use super::*;
use crate::test_servers::edge;
use offst_crypto::Identity;
use offst_proto::index::NAMES_MAX;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::LazyLock;

mod attack;
mod republishing;

const NOW: u64 = 1_700_000_000_000;

/// Made once: this takes longer than everything else here.
static IDENTITIES: LazyLock<Vec<Identity>> =
    LazyLock::new(|| (0..16).map(|seed| Identity::from_seed([seed; 32])).collect());

fn identity(seed: u8) -> &'static Identity {
    &IDENTITIES[usize::from(seed)]
}

fn key(seed: u8) -> PublicKey {
    identity(seed).public_key()
}

/// The neighbour that has passed on updates from elsewhere.
fn neighbour() -> Origin {
    Origin::Neighbour(key(15))
}

fn here() -> IpAddr {
    "10.0.0.1".parse().unwrap()
}

fn update(node: u8, sequence: u64, time_to_live_ms: u64, mut edges: Vec<Edge>) -> Verified<Update> {
    edges.sort();
    Verified::sign(Update { node: key(node), sequence, expires_ms: NOW + time_to_live_ms, edges }, identity(node))
}

fn publish(store: &mut EdgeStore, node: u8, sequence: u64, time_to_live_ms: u64, edges: Vec<Edge>) -> UpdateOutcome {
    store.publish(&update(node, sequence, time_to_live_ms, edges), Some(here()), NOW)
}

fn accepted(newest: u64) -> UpdateOutcome {
    UpdateOutcome::Accepted { newest }
}

fn refused(reason: UpdateRefusal) -> UpdateOutcome {
    UpdateOutcome::Refused { reason, server_ms: NOW }
}

/// Open edges by node and friend with their capacity: the result of the changes of the graph.
fn graph(changes: Vec<GraphChange>) -> BTreeMap<(PublicKey, PublicKey), u128> {
    let mut graph = BTreeMap::new();
    for change in changes {
        match change {
            GraphChange::Set { node, edge, .. } => {
                graph.insert((node, edge.friend), edge.send_capacity.credits());
            }
            GraphChange::Remove { node, friend, .. } => {
                assert!(graph.remove(&(node, friend)).is_some(), "only what is there is removed");
            }
        }
    }
    graph
}

fn names(store: &EdgeStore) -> Vec<UpdateName> {
    let listings = (0..BUCKETS as u16).map(|bucket| store.listing(bucket, None, NOW));
    listings.flat_map(|listing| listing.names).collect()
}

#[test]
fn a_node_is_told_when_it_is_not_newer() {
    let mut store = EdgeStore::new(Limits::default());
    assert_eq!(publish(&mut store, 1, 5, 1000, vec![edge(2, 100)]), accepted(5));
    assert_eq!(publish(&mut store, 1, 5, 1000, vec![edge(2, 9)]), UpdateOutcome::Stale { newest: 5 });
    // Also when it names an edge that is new: its other announcements would be lost.
    assert_eq!(publish(&mut store, 1, 4, 1000, vec![edge(3, 9)]), UpdateOutcome::Stale { newest: 5 });
    assert_eq!(publish(&mut store, 1, 6, 1000, vec![edge(2, 0), edge(3, 7)]), accepted(6));
    assert_eq!(graph(store.take_changes()), BTreeMap::from([((key(1), key(3)), 7)]));
    assert_eq!(publish(&mut store, 1, 7, 1000, vec![]), accepted(7));
    assert_eq!((store.node_count(), store.edge_count(), names(&store).len()), (1, 2, 1));
}

#[test]
fn an_update_is_kept_as_long_as_it_is_the_latest_announcement_of_an_edge() {
    let mut store = EdgeStore::new(Limits::default());
    publish(&mut store, 1, 1, 1000, vec![edge(2, 1), edge(3, 1)]);
    publish(&mut store, 1, 2, 1000, vec![edge(2, 2)]);
    assert_eq!(names(&store).iter().map(|name| name.sequence).collect::<Vec<_>>(), [1, 2]);
    publish(&mut store, 1, 3, 1000, vec![edge(3, 0)]);
    assert_eq!(names(&store).iter().map(|name| name.sequence).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(store.take_dropped().iter().map(|name| name.sequence).collect::<Vec<_>>(), [1]);
    assert!(store.update_bytes() > 0);
    let name = names(&store)[0];
    assert_eq!(&**store.wire(&name, NOW).unwrap(), &**update(1, 2, 1000, vec![edge(2, 2)]).wire());
    assert_eq!(store.wire(&name, NOW + 1000), None, "nothing that has expired is passed on");
}

#[test]
fn what_has_expired_is_dropped_and_cannot_be_replayed_before() {
    let mut store = EdgeStore::new(Limits::default());
    let long = update(1, 1, 2000, vec![edge(2, 100)]);
    assert_eq!(store.merge(&long, neighbour()), Merged::New);
    assert_eq!(store.merge(&update(1, 2, 500, vec![edge(2, 0)]), neighbour()), Merged::New);
    store.sweep(NOW + 500, BUCKETS);
    assert_eq!(store.update_bytes(), 0);
    // The announcement that withdrew the edge has expired, the one that opened it has not: it does not count again.
    assert_eq!(store.merge(&long, neighbour()), Merged::Old);
    store.sweep(NOW + 1999, BUCKETS);
    assert_eq!((store.node_count(), store.edge_count()), (1, 1));
    store.sweep(NOW + 2000, BUCKETS);
    assert_eq!((store.node_count(), store.edge_count()), (0, 0));
    assert!(graph(store.take_changes()).is_empty());
    publish(&mut store, 3, 1, 1000, vec![edge(2, 5)]);
    publish(&mut store, 4, 1, 1000, vec![]);
    for _ in 0..BUCKETS {
        store.sweep(NOW + 1000, 1);
    }
    assert_eq!((store.node_count(), store.edge_count(), store.update_bytes(), store.quota.len()), (0, 0, 0, 0));
    assert!(graph(store.take_changes()).is_empty());
    assert_eq!(publish(&mut store, 3, 1, 1000, vec![]), accepted(1));
}

// R5.2.
#[test]
fn quotas() {
    let limits = Limits { edges_per_node_max: 2, edges_max: 3, nodes_max: 2, ..Limits::default() };
    let mut store = EdgeStore::new(limits);
    let three = || vec![edge(2, 1), edge(3, 1), edge(4, 1)];
    assert_eq!(publish(&mut store, 1, 1, 9, three()), refused(UpdateRefusal::Quota));
    assert_eq!(store.node_count(), 0, "nothing is remembered of a refused update");
    publish(&mut store, 1, 2, 9, vec![edge(2, 1), edge(3, 1)]);
    assert_eq!(publish(&mut store, 1, 3, 9, vec![edge(4, 1)]), refused(UpdateRefusal::Quota));
    assert_eq!(publish(&mut store, 1, 3, 9, vec![edge(3, 0)]), accepted(3), "what adds nothing is always taken");
    assert_eq!(publish(&mut store, 2, 1, 9, vec![edge(4, 1), edge(1, 1)]), refused(UpdateRefusal::Full));
    assert_eq!(publish(&mut store, 2, 1, 9, vec![edge(4, 1)]), accepted(1));
    assert_eq!(store.merge(&update(4, 1, 9, vec![edge(1, 1)]), neighbour()), Merged::New, "the largest is evicted");
    assert_eq!((store.node_count(), store.edge_count(), store.evicted()), (2, 2, 1));
    let elsewhere = Some("10.0.0.2".parse().unwrap());
    assert_eq!(store.publish(&update(5, 1, 9, vec![edge(1, 1)]), elsewhere, NOW), accepted(1));
    assert_eq!(store.merge(&update(6, 1, 9, vec![edge(1, 1)]), neighbour()), Merged::New, "addresses hold everything");
    assert_eq!(store.merge(&update(7, 1, 9, vec![edge(1, 1)]), neighbour()), Merged::Refused(UpdateRefusal::Full));
    assert_eq!((store.node_count(), store.evicted()), (2, 3));
}

#[test]
fn bytes_are_bounded_too() {
    let wire_len = update(1, 1, 9, vec![edge(2, 1)]).wire().len() + UPDATE_OVERHEAD_BYTES;
    let limits =
        Limits { update_bytes_per_node_max: 2 * wire_len, update_bytes_max: 3 * wire_len, ..Limits::default() };
    let mut store = EdgeStore::new(limits);
    publish(&mut store, 1, 1, 9, vec![edge(2, 1)]);
    assert_eq!(publish(&mut store, 1, 2, 9, vec![edge(3, 1)]), accepted(2));
    assert_eq!(publish(&mut store, 1, 3, 9, vec![edge(4, 1)]), refused(UpdateRefusal::Quota));
    assert_eq!(publish(&mut store, 2, 1, 9, vec![edge(3, 1)]), accepted(1));
    assert_eq!(publish(&mut store, 3, 1, 9, vec![edge(4, 1)]), accepted(1), "the one that has two is evicted");
    assert_eq!((store.update_bytes(), store.newest(&key(1))), (2 * wire_len, None));
}

#[test]
fn new_keys_share_the_quota_of_their_address() {
    let limits = Limits { nodes_per_address_max: 3, edges_per_address_max: 4, ..Limits::default() };
    let mut store = EdgeStore::new(limits);
    publish(&mut store, 1, 1, 9, vec![edge(2, 1)]);
    publish(&mut store, 2, 1, 9, vec![edge(1, 1), edge(3, 1)]);
    assert_eq!(publish(&mut store, 3, 1, 9, vec![edge(1, 1), edge(2, 1)]), refused(UpdateRefusal::AddressQuota));
    assert_eq!(publish(&mut store, 3, 1, 9, vec![edge(1, 1)]), accepted(1));
    assert_eq!(publish(&mut store, 3, 2, 9, vec![edge(2, 1)]), refused(UpdateRefusal::AddressQuota));
    let two = || vec![edge(1, 1), edge(3, 1)];
    assert_eq!(
        publish(&mut store, 4, 1, 9, two()),
        refused(UpdateRefusal::AddressQuota),
        "not for one that holds as much"
    );
    // Another address, and what neighbours pass on, is not affected; the edges of a node that moves move with it.
    let there = Some("10.0.0.2".parse().unwrap());
    assert_eq!(store.publish(&update(4, 1, 9, vec![edge(1, 1)]), there, NOW), accepted(1));
    assert_eq!(store.publish(&update(2, 2, 9, vec![edge(1, 2)]), there, NOW), accepted(2));
    assert_eq!(store.merge(&update(5, 1, 9, vec![edge(1, 1)]), neighbour()), Merged::New);
    assert_eq!(publish(&mut store, 3, 2, 9, vec![edge(2, 1)]), accepted(2));
    assert_eq!(publish(&mut store, 6, 1, 9, vec![edge(1, 1)]), accepted(1));
    assert_eq!(store.evicted(), 0);
    assert_eq!(publish(&mut store, 7, 1, 9, vec![edge(1, 1)]), accepted(1), "the largest is evicted for a smaller one");
    assert_eq!((store.newest(&key(3)), store.evicted()), (None, 1));
}

#[test]
fn long_listings_come_in_parts() {
    let mut store = EdgeStore::new(Limits { edges_per_node_max: 2 * NAMES_MAX, ..Limits::default() });
    let count = NAMES_MAX as u64 + 3;
    // Keys of friends need not belong to nodes.
    let friend = |number: u64| {
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        PublicKey::from_bytes(bytes).unwrap()
    };
    for number in 0..count {
        let edges = vec![Edge { friend: friend(number), ..edge(2, 1) }];
        store.merge(&update(1, number + 1, 9, edges), neighbour());
    }
    let bucket = bucket_of(&key(1));
    let first = store.listing(bucket, None, NOW);
    assert_eq!((first.names.len(), first.is_last), (NAMES_MAX, false));
    let rest = store.listing(bucket, first.names.last().copied(), NOW);
    assert_eq!((rest.names.len(), rest.is_last), (3, true));
    assert!(store.listing(bucket, rest.names.last().copied(), NOW).names.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// In any order and however often: servers that have seen the same updates hold the same.
    #[test]
    fn the_order_does_not_matter(
        announced in proptest::collection::vec((1..4u8, 1..6u64, proptest::collection::btree_map(10..14u8, 0..3u128, 1..4)), 1..12),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 0..30),
    ) {
        let updates: Vec<_> = announced
            .into_iter()
            .map(|(node, sequence, edges)| {
                let edges = edges.into_iter().map(|(friend, capacity)| edge(friend, capacity)).collect();
                update(node, sequence, 1000, edges)
            })
            .collect();
        let (mut one, mut other) = (EdgeStore::new(Limits::default()), EdgeStore::new(Limits::default()));
        for update in &updates {
            one.merge(update, neighbour());
        }
        for index in &order {
            other.merge(index.get(&updates), neighbour());
        }
        for update in updates.iter().rev() {
            prop_assert_eq!(other.is_new(&UpdateName::of(update), update), other.merge(update, neighbour()) == Merged::New);
        }
        prop_assert_eq!(names(&one), names(&other));
        prop_assert_eq!(one.digests(), other.digests());
        prop_assert_eq!(graph(one.take_changes()), graph(other.take_changes()));
        prop_assert_eq!(one.update_bytes(), other.update_bytes());
        one.sweep(NOW + 1000, BUCKETS);
        prop_assert_eq!((one.node_count(), one.edge_count(), one.update_bytes(), one.digest()), (0, 0, 0, EdgeStore::new(Limits::default()).digest()));
    }
}
