use super::*;
use crate::graph::unpack;
use offst_crypto::Identity;
use offst_proto::Amount;
use offst_proto::Rate;
use proptest::prelude::*;
use std::sync::LazyLock;

fn key(seed: u8) -> PublicKey {
    static KEYS: LazyLock<Vec<PublicKey>> =
        LazyLock::new(|| (0..8).map(|seed| Identity::from_seed([seed; 32]).public_key()).collect());
    KEYS[usize::from(seed)]
}

fn edge(friend: u8, send_capacity: u128, receive_capacity: u128) -> Edge {
    let rate = Rate { mul: 0, add: u32::from(friend).into() };
    let clearable = offst_proto::index::Clearable::None;
    Edge {
        friend: key(friend),
        currency: Currency::default(),
        send_capacity: Amount::capped(send_capacity),
        receive_capacity: Amount::capped(receive_capacity),
        rate,
        clearable,
    }
}

/// Friend, capacity from it, what the node takes for it, expiry.
type Hop = (PublicKey, u128, u128, u64);

/// The hops into a node.
fn hops(graph: &CapacityGraph, node: u8) -> Vec<Hop> {
    let Some(currency_graph) = graph.currencies.get(&Currency::default()) else { return vec![] };
    let Some(number) = currency_graph.number(&key(node)) else { return vec![] };
    let mut hops: Vec<_> = currency_graph
        .arcs(number)
        .iter()
        .map(|arc| {
            let (inward, friend) = (arc.inward(), arc.friend());
            let (back, outward) = (currency_graph.arc(friend, number).unwrap(), arc.outward());
            assert_eq!(
                (back.outward().capacity, back.outward().rate),
                (inward.capacity, inward.rate),
                "both lists agree"
            );
            assert_eq!((back.inward().capacity, back.inward().rate), (outward.capacity, outward.rate));
            let expires_ms = (0..40_000).find(|now_ms| !currency_graph.is_fresh(number, friend, *now_ms)).unwrap();
            assert!(!currency_graph.all_fresh(number, expires_ms), "what is fresh for certain has not expired");
            (
                currency_graph.key(friend),
                unpack(inward.capacity),
                currency_graph.rates()[inward.rate as usize].fee(0),
                expires_ms,
            )
        })
        .filter(|(_, capacity, ..)| *capacity > 0)
        .collect();
    hops.sort();
    hops
}

#[test]
fn a_hop_needs_both_ends_and_has_the_smaller_capacity() {
    let mut graph = CapacityGraph::new();
    graph.set(key(1), &edge(2, 10, 20), 100);
    assert_eq!(hops(&graph, 2), []);
    graph.set(key(2), &edge(1, 15, 8), 90);
    assert_eq!(hops(&graph, 2), [(key(1), 8, 1, 90)]);
    assert_eq!(hops(&graph, 1), [(key(2), 15, 2, 90)]);
    graph.set(key(2), &edge(1, 15, 0), 90);
    assert_eq!(hops(&graph, 2), []);
    graph.remove(key(1), key(2), &Currency::default());
    assert_eq!(hops(&graph, 1), []);
    graph.remove(key(1), key(2), &Currency::default());
    graph.remove(key(2), key(1), &Currency::default());
    assert!(graph.currencies.is_empty(), "nothing stays behind");
}

#[test]
fn a_node_is_no_friend_of_its_own() {
    let mut graph = CapacityGraph::new();
    graph.set(key(1), &edge(1, 10, 20), 100);
    assert!(graph.currencies.is_empty());
}

#[test]
fn nodes_that_say_their_edges_again_are_fresh_at_a_glance() {
    let mut graph = CapacityGraph::new();
    let say = |graph: &mut CapacityGraph, expires_ms| {
        for friend in 2..6 {
            graph.set(key(1), &edge(friend, 9, 9), expires_ms);
            graph.set(key(friend), &edge(1, 9, 9), expires_ms);
        }
    };
    say(&mut graph, 10_000);
    // Each edge at least once since the note was reckoned last.
    say(&mut graph, 20_000);
    say(&mut graph, 20_000);
    let currency_graph = &graph.currencies[&Currency::default()];
    let number = currency_graph.number(&key(1)).unwrap();
    assert!(currency_graph.all_fresh(number, 19_999) && !currency_graph.all_fresh(number, 20_000));
}

#[derive(Debug, Clone)]
enum Change {
    Set { node: u8, friend: u8, send: u128, receive: u128, expires_ms: u64 },
    Remove { node: u8, friend: u8 },
}

impl Change {
    fn of_graph(&self) -> GraphChange {
        match *self {
            Change::Set { node, friend, send, receive, expires_ms } => {
                GraphChange::Set { node: key(node), edge: edge(friend, send, receive), expires_ms }
            }
            Change::Remove { node, friend } => {
                GraphChange::Remove { node: key(node), friend: key(friend), currency: Currency::default() }
            }
        }
    }
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = (0..6u8, 0..6u8, 0..4u128, 0..4u128, 0..30_000u64, 0..4u8).prop_map(
        |(node, friend, send, receive, expires_ms, kind)| match kind {
            0 => Change::Remove { node, friend },
            _ => Change::Set { node, friend, send, receive, expires_ms },
        },
    );
    proptest::collection::vec(change, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn like_a_map_of_what_everybody_said_last(changes in changes()) {
        let mut graph = CapacityGraph::new();
        let mut said = BTreeMap::new();
        let all: Vec<_> = changes.iter().map(Change::of_graph).collect();
        for change in changes {
            match change {
                Change::Set { node, friend, send, receive, expires_ms } => {
                    graph.set(key(node), &edge(friend, send, receive), expires_ms);
                    if node != friend {
                        said.insert((node, friend), (send, receive, expires_ms));
                    }
                }
                Change::Remove { node, friend } => {
                    graph.remove(key(node), key(friend), &Currency::default());
                    said.remove(&(node, friend));
                }
            }
        }
        for node in 0..6 {
            let mut expected: Vec<Hop> = (0..6)
                .filter_map(|friend| {
                    let (own, others) = (said.get(&(node, friend))?, said.get(&(friend, node))?);
                    Some((key(friend), own.1.min(others.0), friend.into(), own.2.min(others.2)))
                })
                .filter(|(_, capacity, ..)| *capacity > 0)
                .collect();
            expected.sort();
            prop_assert_eq!(hops(&graph, node), expected);
        }
        let mut together = CapacityGraph::new();
        together.apply(&all);
        for node in 0..6 {
            prop_assert_eq!(hops(&together, node), hops(&graph, node), "together or one after the other");
        }
        for (node, friend) in said.into_keys() {
            graph.remove(key(node), key(friend), &Currency::default());
        }
        prop_assert!(graph.currencies.is_empty(), "nothing stays behind");
    }
}
