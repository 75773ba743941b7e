//! Graphs too large to look at every path, against Dijkstra's search as in a textbook.

use super::splits::Numbers;
use super::*;
use offst_proto::Amount;
use std::collections::{BTreeMap, BTreeSet};

/// A hop: capacity, rate of the receiver, whether it has expired.
type Hops = BTreeMap<u32, Vec<(u32, u128, Rate, bool)>>;

fn number_key(number: u32) -> PublicKey {
    let mut bytes = [7; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    PublicKey::from_bytes(bytes).unwrap()
}

/// By hops: the least that leaves the source so that the destination gets `amount`, over paths of at most so many.
fn textbook(hops_into: &Hops, query: &Query, source: u32, destination: u32, hops_max: usize) -> Option<(u128, usize)> {
    // (amount that leaves, hops) of every node, all that may matter for some number of hops.
    let mut final_labels: BTreeSet<(u32, usize)> = BTreeSet::new();
    let mut open = BTreeSet::from([(query.amount.credits(), 0, destination)]);
    while let Some((leaving, hops, node)) = open.pop_first() {
        if node == source && hops > 0 {
            return Some((leaving, hops));
        }
        if hops == hops_max || final_labels.range((node, 0)..=(node, hops)).next().is_some() {
            continue;
        }
        final_labels.insert((node, hops));
        for (sender, capacity, rate, is_expired) in hops_into.get(&node).into_iter().flatten() {
            let fee = if node == destination { 0 } else { rate.fee(Amount::new(leaving).unwrap()).unwrap().credits() };
            if !is_expired && *capacity >= leaving + fee && *sender != destination {
                open.insert((leaving + fee, hops + 1, *sender));
            }
        }
    }
    None
}

/// `spread` is how far apart in a circular order friends are: the smaller, the longer the paths.
fn draw(numbers: &mut Numbers, nodes: u32, spread: u64, steep: bool) -> (CapacityGraph, Hops) {
    let (mut graph, mut hops_into) = (CapacityGraph::new(), Hops::new());
    let mut pairs = BTreeSet::new();
    for node in 0..nodes {
        for _ in 0..3 {
            let friend = (node + 1 + numbers.below(spread) as u32) % nodes;
            pairs.insert((node.min(friend), node.max(friend)));
        }
    }
    for (one, other) in pairs {
        let mut rate = || Rate {
            mul: if steep { numbers.below(1 << 31) as u32 } else { numbers.below(1 << 26) as u32 },
            add: Amount::capped(u128::from(numbers.below(4) * numbers.below(30))),
        };
        let rates = [rate(), rate()];
        let capacities = [numbers.below(200_000), numbers.below(200_000)].map(u128::from);
        let is_expired = numbers.below(10) == 0;
        let ends = [one, other];
        for end in [0, 1] {
            let edge = Edge {
                friend: number_key(ends[1 - end]),
                currency: Currency::default(),
                send_capacity: Amount::capped(capacities[end]),
                receive_capacity: Amount::capped(capacities[1 - end]),
                rate: rates[end],
                clearable: offst_proto::index::Clearable::None,
            };
            graph.set(number_key(ends[end]), &edge, if is_expired && end == 0 { NOW } else { NOW + 1 });
            if capacities[1 - end] > 0 {
                let hop = (ends[1 - end], capacities[1 - end], rates[end], is_expired);
                hops_into.entry(ends[end]).or_default().push(hop);
            }
        }
    }
    (graph, hops_into)
}

fn compare(seed: u64, spread: u64, steep: bool, hops_max: usize) {
    let mut numbers = Numbers(seed);
    let mut scratch = Scratch::default();
    let mut found = 0;
    for _ in 0..8 {
        let nodes = 400;
        let (graph, hops_into) = draw(&mut numbers, nodes, spread, steep);
        for _ in 0..25 {
            let [source, destination] = [numbers.below(nodes.into()) as u32, numbers.below(nodes.into()) as u32];
            let largest = [100, 5_000, 100_000][numbers.below(3) as usize];
            let amount = 1 + u128::from(numbers.below(largest));
            if source == destination {
                continue;
            }
            let query =
                Query::new(Currency::default(), Amount::capped(amount), number_key(source), number_key(destination));
            let bounds = SearchBounds { hops: hops_max, ..BOUNDS };
            let answer = graph.search(&query, NOW, bounds, &mut scratch);
            assert!(!answer.cut);
            let expected = textbook(&hops_into, &query, source, destination, hops_max);
            let plan = plan(answer);
            found += usize::from(plan.is_some());
            let what = format!("{amount} from {source} to {destination}");
            assert_eq!(plan.as_ref().map(PartPlan::total), expected.map(|(total, _)| total), "{what}");
            if hops_max == 32 {
                assert_eq!(plan.map(|plan| plan.path.len()), expected.map(|(_, hops)| hops), "{what}");
            }
        }
    }
    assert!(found > 50, "{found}");
}

#[test]
fn as_a_textbook_finds_them() {
    compare(1, 399, false, 32);
    compare(2, 399, true, 32);
    compare(3, 40, false, 32);
    compare(4, 40, true, 32);
}

#[test]
fn long_routes_as_a_textbook_finds_them() {
    compare(5, 399, false, 4);
    compare(6, 60, false, 9);
    compare(7, 60, true, 9);
}
