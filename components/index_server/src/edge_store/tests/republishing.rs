//! A node with few useful bytes has to announce all its edges again.

use super::*;
use offst_proto::index::EDGES_MAX;
use std::collections::BTreeSet;

const EDGES: u64 = 120;

fn friends(numbers: impl IntoIterator<Item = u64>) -> Vec<Edge> {
    let friend = |number: u64| {
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        Edge { friend: PublicKey::from_bytes(bytes).unwrap(), ..edge(2, 1) }
    };
    numbers.into_iter().map(friend).collect()
}

/// What all its edges cost in one update.
fn once() -> usize {
    update(1, 1, 1000, friends(0..EDGES)).wire().len() + UPDATE_OVERHEAD_BYTES
}

fn republish() -> UpdateOutcome {
    refused(UpdateRefusal::SayAll)
}

/// Edges that are open in the graph.
fn open(store: &mut EdgeStore) -> usize {
    graph(store.take_changes()).len()
}

/// All but the first, all but the first two ...: each stays the latest announcement of one edge.
/// (R5.4.)
#[test]
fn a_key_with_few_edges_cannot_hold_many_bytes() {
    let mut store = EdgeStore::new(Limits::default());
    let mut sequence = 0;
    let mut largest = 0;
    for first in (0..EDGES).cycle().take(400) {
        sequence += 1;
        publish(&mut store, 1, sequence, 1000, friends(first..EDGES));
        largest = largest.max(store.update_bytes());
    }
    // Without this rule it would be all that one node may hold.
    assert!(largest < 6 * once() && 6 * once() < Limits::default().update_bytes_per_node_max / 20, "{largest}");
}

#[test]
fn a_node_that_republishes_is_accepted_and_keeps_all_edges() {
    let mut store = EdgeStore::new(Limits::default());
    publish(&mut store, 1, 1, 1000, friends(0..EDGES));
    let mut sequence = 1;
    let refused_at = loop {
        sequence += 1;
        let outcome = publish(&mut store, 1, sequence, 1000, friends(sequence..EDGES));
        if outcome == republish() {
            break sequence;
        }
        assert_eq!(outcome, accepted(sequence));
        assert!(sequence < 10);
    };
    assert!(store.update_bytes() > 2 * once(), "it was worthwhile: {}", store.update_bytes());
    assert_eq!(publish(&mut store, 1, refused_at + 1, 1000, friends(0..EDGES)), accepted(refused_at + 1));
    assert_eq!(store.update_bytes(), once());
    assert_eq!(open(&mut store), EDGES as usize);
    assert_eq!(publish(&mut store, 1, refused_at + 2, 1000, friends(0..1)), accepted(refused_at + 2));
}

/// More edges than an update takes: no edge is lost meanwhile, and each part is taken while the old updates are still held.
#[test]
fn republishing_may_take_several_updates() {
    let all = 3 * EDGES_MAX as u64;
    let part = EDGES_MAX as u64;
    let mut store = EdgeStore::new(Limits::default());
    let mut sequence = 0;
    let mut announce = |store: &mut EdgeStore, edges| {
        sequence += 1;
        (publish(store, 1, sequence, 1000, friends(edges)) != republish()).then_some(sequence)
    };
    (0..3).for_each(|number| assert!(announce(&mut store, number * part..(number + 1) * part).is_some()));
    // After each of these, the one before it is the latest announcement of one edge only.
    let mut skipped = 0;
    while announce(&mut store, skipped % 3 * part + skipped / 3 + 1..(skipped % 3 + 1) * part).is_some() {
        skipped += 1;
        assert!(skipped < 20, "it is told to republish");
    }
    for number in 0..3 {
        assert!(announce(&mut store, number * part..(number + 1) * part).is_some(), "part {number}");
    }
    assert_eq!(
        store.update_bytes(),
        (0..3)
            .map(|number| {
                update(1, 1, 9, friends(number * part..(number + 1) * part)).wire().len() + UPDATE_OVERHEAD_BYTES
            })
            .sum::<usize>()
    );
    assert_eq!(open(&mut store), all as usize);
}

/// A node that has lost its state: there are edges here of which it knows nothing any more.
#[test]
fn what_a_node_does_not_repeat_is_withdrawn() {
    let mut store = EdgeStore::new(Limits::default());
    for first in 0..4 {
        assert_eq!(publish(&mut store, 1, first + 1, 1000, friends(first..EDGES)), accepted(first + 1));
    }
    // Only the later half is still known to it.
    let known = || friends(EDGES / 2..EDGES);
    let mut sequence = 10;
    let mut told = 0;
    for _ in 0..40 {
        sequence += 1;
        if publish(&mut store, 1, sequence, 1000, known()) == republish() {
            told += 1;
            sequence += 1;
            assert_eq!(publish(&mut store, 1, sequence, 1000, known()), accepted(sequence), "this is all there is");
        }
        sequence += 1;
        let outcome = publish(&mut store, 1, sequence, 1000, friends(EDGES - 1..EDGES));
        told += usize::from(outcome == republish());
    }
    assert!((1..=4).contains(&told), "it is not told again and again: {told}");
    assert!(store.update_bytes() <= 3 * once(), "{}", store.update_bytes());
}

/// What a payment changes is an edge or two. A node that announces them one by one is never told to republish.
#[test]
fn honest_changes_are_never_refused() {
    let mut store = EdgeStore::new(Limits::default());
    let mut sequence = 1;
    publish(&mut store, 1, sequence, 1000, friends(0..EDGES));
    let mut state = 7u64;
    for _ in 0..1000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (one, other) = ((state >> 33) % EDGES, (state >> 13) % EDGES);
        sequence += 1;
        let edges = friends(BTreeSet::from([one, other]));
        assert_eq!(publish(&mut store, 1, sequence, 1000, edges), accepted(sequence));
    }
    assert!(store.update_bytes() < 5 * once(), "{}", store.update_bytes());
}

/// Whatever a node changes, republishing costs less than half of what it has sent.
#[test]
fn republishing_costs_little() {
    for at_once in [1, 3, 10, 30, 119] {
        let mut store = EdgeStore::new(Limits::default());
        let (mut sequence, mut sent, mut again) = (1, 0, 0);
        publish(&mut store, 1, sequence, 1000, friends(0..EDGES));
        let mut state = 7u64;
        for _ in 0..250 {
            // Many that change always, and one that changes seldom.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let seldom = at_once + (state >> 33) % (EDGES - at_once);
            sequence += 1;
            let edges = friends((0..at_once - 1).chain([seldom]));
            let bytes = update(1, sequence, 1000, edges.clone()).wire().len();
            sent += bytes;
            if publish(&mut store, 1, sequence, 1000, edges) == republish() {
                sequence += 1;
                again += once();
                assert_eq!(publish(&mut store, 1, sequence, 1000, friends(0..EDGES)), accepted(sequence));
            }
        }
        assert!(again * 2 <= sent, "{at_once} at once: {again} bytes again, {sent} sent");
    }
}
