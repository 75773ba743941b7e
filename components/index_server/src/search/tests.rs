use super::*;
use crate::capacity_graph::CapacityGraph;
use offst_crypto::Identity;
use offst_crypto::PublicKey;
use offst_proto::Amount;
use offst_proto::index::{Edge, Exclusion, Hop};
use offst_proto::route::{PartPlan, Route};
use offst_proto::{Currency, Rate};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::LazyLock;

mod larger;
mod splits;

const NOW: u64 = 1000;
const BOUNDS: SearchBounds = SearchBounds { work: 1_000_000, hops: 32, routes: 1, parts: 1 };

fn key(seed: u8) -> PublicKey {
    static KEYS: LazyLock<Vec<PublicKey>> =
        LazyLock::new(|| (0..40).map(|seed| Identity::from_seed([seed; 32]).public_key()).collect());
    KEYS[usize::from(seed)]
}

/// A friendship: what each end publishes about the other.
#[derive(Debug, Clone)]
struct Friendship {
    ends: [u8; 2],
    /// Capacity in both directions as each end announces: from the first to the second, and back.
    capacities: [(u128, u128); 2],
    /// What each end takes for requests from the other.
    rates: [Rate; 2],
    /// Whether each end publishes it.
    published: [bool; 2],
}

impl Friendship {
    fn simple(one: u8, other: u8, capacity: u128, rates: [Rate; 2]) -> Self {
        Friendship { ends: [one, other], capacities: [(capacity, capacity); 2], rates, published: [true; 2] }
    }
}

fn graph(friendships: &[Friendship]) -> CapacityGraph {
    let mut graph = CapacityGraph::new();
    for friendship in friendships {
        for end in [0, 1] {
            let (there, back) = friendship.capacities[end];
            let (send_capacity, receive_capacity) = if end == 0 { (there, back) } else { (back, there) };
            let friend = key(friendship.ends[1 - end]);
            let rate = friendship.rates[end];
            let edge = Edge {
                friend,
                currency: Currency::default(),
                send_capacity: Amount::capped(send_capacity),
                receive_capacity: Amount::capped(receive_capacity),
                rate,
                clearable: offst_proto::index::Clearable::None,
            };
            if friendship.published[end] {
                graph.set(key(friendship.ends[end]), &edge, NOW + 1);
            }
        }
    }
    graph
}

/// What one hop costs and holds, straight from the friendships.
fn hop(friendships: &[Friendship], from: PublicKey, to: PublicKey) -> Option<(u128, Rate)> {
    friendships.iter().filter(|friendship| friendship.published == [true; 2]).find_map(|friendship| {
        let ends = friendship.ends.map(key);
        if ends == [from, to] {
            Some((friendship.capacities[0].0.min(friendship.capacities[1].0), friendship.rates[1]))
        } else if ends == [to, from] {
            Some((friendship.capacities[0].1.min(friendship.capacities[1].1), friendship.rates[0]))
        } else {
            None
        }
    })
}

/// The friendships as if those that the query excludes, or allows for no more than some amount, held no more.
fn with_exclusions(friendships: &[Friendship], query: &Query) -> Vec<Friendship> {
    let mut friendships = friendships.to_vec();
    for Exclusion { hop, left } in &query.excluded_edges {
        for friendship in &mut friendships {
            let ends = friendship.ends.map(key);
            let capacity = match (hop.from, hop.to) {
                (from, to) if ends == [from, to] => &mut friendship.capacities[0].0,
                (from, to) if ends == [to, from] => &mut friendship.capacities[0].1,
                _ => continue,
            };
            *capacity = (*left).min(Amount::capped(*capacity)).credits();
        }
    }
    friendships
}

/// Exclusions of edges between nodes with these numbers.
fn exclusions(edges: Vec<(u8, u8, u128)>) -> Vec<Exclusion> {
    let exclusion = |(from, to, left): (u8, u8, u128)| Exclusion {
        hop: Hop { from: key(from), to: key(to) },
        left: Amount::capped(left),
    };
    edges.into_iter().map(exclusion).collect()
}

/// What must leave the source for the destination to get `amount`, or none when a hop does not hold its part.
fn cost(friendships: &[Friendship], source: PublicKey, path: &[PublicKey], amount: u128) -> Option<u128> {
    let mut carried = amount;
    for position in (0..path.len()).rev() {
        let from = if position == 0 { source } else { path[position - 1] };
        let (capacity, _) = hop(friendships, from, path[position])?;
        if capacity < carried || capacity == 0 {
            return None;
        }
        if position > 0 {
            let before = if position == 1 { source } else { path[position - 2] };
            let (_, rate) = hop(friendships, before, from)?;
            carried += rate.fee(Amount::new(carried)?)?.credits();
        }
    }
    (carried <= Amount::MAX.credits()).then_some(carried)
}

/// Looks at every simple path: slow and obviously right. The smallest cost, then the fewest hops.
fn oracle(friendships: &[Friendship], nodes: u8, query: &Query, hops_max: usize) -> Option<(u128, usize)> {
    let paths = simple_paths(friendships, nodes, query, hops_max);
    let costs = paths
        .iter()
        .filter_map(|path| Some((cost(friendships, query.source, path, query.amount.credits())?, path.len())));
    costs.min()
}

/// All paths that the query allows, over hops that exist, whatever they hold.
fn simple_paths(friendships: &[Friendship], nodes: u8, query: &Query, hops_max: usize) -> Vec<Vec<PublicKey>> {
    fn walk(
        friendships: &[Friendship],
        nodes: u8,
        query: &Query,
        hops_max: usize,
        path: &mut Vec<PublicKey>,
        found: &mut Vec<Vec<PublicKey>>,
    ) {
        if path.last() == Some(&query.destination) {
            let length = path.len();
            let via_is_right = query.via.is_none_or(|via| path[0] == via);
            let same_account = query.source == query.destination && (length < 3 || path[0] == path[length - 2]);
            if via_is_right && !same_account {
                found.push(path.clone());
            }
            return;
        }
        if path.len() == hops_max {
            return;
        }
        for node in (0..nodes).map(key) {
            let is_end = node == query.destination;
            let is_passed = path.contains(&node) || (node == query.source && !is_end);
            let at = path.last().copied().unwrap_or(query.source);
            let holds = hop(friendships, at, node).is_some_and(|(capacity, _)| capacity > 0);
            if holds && !is_passed && (is_end || !query.excluded_nodes.contains(&node)) {
                path.push(node);
                walk(friendships, nodes, query, hops_max, path, found);
                path.pop();
            }
        }
    }
    let mut found = Vec::new();
    walk(friendships, nodes, query, hops_max, &mut Vec::new(), &mut found);
    found
}

fn query(amount: u128, source: u8, destination: u8) -> Query {
    Query::new(Currency::default(), Amount::capped(amount), key(source), key(destination))
}

fn plan(found: Found) -> Option<PartPlan> {
    assert!(found.routes.len() <= 1);
    found.routes.into_iter().next().map(|route| {
        assert_eq!(route.check(), Ok(()));
        assert_eq!(route.parts.len(), 1);
        route.parts[0].clone()
    })
}

fn ask(graph: &CapacityGraph, query: &Query, bounds: SearchBounds) -> Found {
    graph.search(query, NOW, bounds, &mut Scratch::default())
}

/// The worked example of three hops: 0 pays 3 through 1 and 2. Node 2 takes 5 + 1 % for requests from 1, node 1 takes
/// 25 % for requests from 0. So 1000 + 0 enter node 3, 1000 + 15 enter node 2, and 1015 + 253 enter node 1 (a quarter
/// of 1015 is 253.75; fees are rounded down).
#[test]
fn worked_example_of_fees_over_three_hops() {
    let none = Rate { mul: 0, add: 0.into() };
    let (quarter, one_percent) = (Rate { mul: 1 << 30, add: 0.into() }, Rate { mul: 42_949_673, add: 5.into() });
    let friendships = |first, second, third| {
        vec![
            Friendship::simple(0, 1, first, [none, quarter]),
            Friendship::simple(1, 2, second, [none, one_percent]),
            Friendship::simple(2, 3, third, [none, none]),
        ]
    };
    let found = ask(&graph(&friendships(1268, 1015, 1000)), &query(1000, 0, 3), BOUNDS);
    let path = vec![key(1), key(2), key(3)];
    assert_eq!(plan(found), Some(PartPlan { path, amount: 1000.into(), fees: 268.into() }));
    // One credit less on any hop, and the route does not carry its part.
    for (first, second, third) in [(1267, 1015, 1000), (1268, 1014, 1000), (1268, 1015, 999)] {
        let found = ask(&graph(&friendships(first, second, third)), &query(1000, 0, 3), BOUNDS);
        assert_eq!((found.routes, found.cut), (vec![], false));
    }
}

/// From node 1 on, 2 and 4 forward for nothing, 3 is one hop shorter and takes 9.
#[test]
fn the_bound_on_hops_does_not_hide_a_dearer_shorter_route() {
    let free = Rate { mul: 0, add: 0.into() };
    let friendships = vec![
        Friendship::simple(0, 1, 100, [free, free]),
        Friendship::simple(1, 2, 100, [free, free]),
        Friendship::simple(2, 4, 100, [free, free]),
        Friendship::simple(4, 5, 100, [free, free]),
        Friendship::simple(1, 3, 100, [free, Rate { mul: 0, add: 9.into() }]),
        Friendship::simple(3, 5, 100, [free, free]),
    ];
    let fees =
        |hops| plan(ask(&graph(&friendships), &query(10, 0, 5), SearchBounds { hops, ..BOUNDS })).map(|plan| plan.fees);
    assert_eq!((fees(4), fees(3), fees(2)), (Some(0.into()), Some(9.into()), None));
}

#[test]
fn routes_end_at_the_bound_of_hops() {
    let friendships: Vec<_> =
        (0..33).map(|node| Friendship::simple(node, node + 1, 1000, [Rate::default(); 2])).collect();
    let graph = graph(&friendships);
    let found = plan(ask(&graph, &query(10, 0, 32), BOUNDS)).unwrap();
    assert_eq!((found.path.len(), found.fees), (32, 31.into()));
    assert_eq!(ask(&graph, &query(10, 0, 33), BOUNDS).routes, []);
}

// R5.10.
#[test]
fn a_cut_search_says_so() {
    let friendships =
        vec![Friendship::simple(0, 1, 100, [Rate::default(); 2]), Friendship::simple(1, 2, 100, [Rate::default(); 2])];
    let search = |work| ask(&graph(&friendships), &query(10, 0, 2), SearchBounds { work, ..BOUNDS });
    assert_eq!((search(0).routes, search(0).cut), (vec![], true));
    assert_eq!((search(1).routes, search(1).cut), (vec![], true));
    assert!(!search(10).routes.is_empty() && !search(10).cut);
}

#[test]
fn the_largest_amounts_do_not_overflow() {
    let steep = Rate { mul: u32::MAX, add: Amount::MAX };
    let friendships = vec![
        Friendship::simple(0, 1, Amount::MAX.credits(), [steep; 2]),
        Friendship::simple(1, 2, Amount::MAX.credits(), [steep; 2]),
    ];
    let graph = graph(&friendships);
    assert_eq!(ask(&graph, &query(Amount::MAX.credits(), 0, 2), BOUNDS).routes, []);
    assert_eq!(
        plan(ask(&graph, &query(Amount::MAX.credits(), 0, 1), BOUNDS)).map(|plan| plan.fees),
        Some(Amount::ZERO)
    );
}

const NODES: u8 = 6;

fn rates() -> impl Strategy<Value = Rate> {
    let multipliers = prop_oneof![Just(0), Just(1 << 29), Just(u32::MAX)];
    (multipliers, 0u128..5).prop_map(|(mul, add)| Rate { mul, add: Amount::capped(add) })
}

fn friendships() -> impl Strategy<Value = Vec<Friendship>> {
    let pairs: Vec<[u8; 2]> = (0..NODES).flat_map(|one| (one + 1..NODES).map(move |other| [one, other])).collect();
    let chosen = proptest::sample::subsequence(pairs, 4..=13);
    chosen.prop_flat_map(|pairs| {
        let strategies: Vec<_> =
            pairs
                .into_iter()
                .map(|ends| {
                    let capacity = || prop_oneof![1 => Just(0u128), 4 => 1..40u128, 3 => 40..200u128];
                    let capacities = [(capacity(), capacity()), (capacity(), capacity())];
                    let published =
                        prop_oneof![8 => Just([true, true]), 1 => Just([true, false]), 1 => Just([false, true])];
                    (capacities, [rates(), rates()], published).prop_map(move |(capacities, rates, published)| {
                        Friendship { ends, capacities, rates, published }
                    })
                })
                .collect();
        strategies
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn always_the_cheapest_route_and_never_one_that_does_not_carry(
        friendships in friendships(),
        amount in 1u128..60,
        ends in (0..NODES, 0..NODES),
        via in proptest::option::weighted(0.3, 0..NODES),
        excluded_edges in proptest::collection::vec((0..NODES, 0..NODES, prop_oneof![Just(0), 1u128..60]), 0..3),
        excluded_nodes in proptest::collection::vec(0..NODES, 0..2),
        hops in 2usize..=6,
    ) {
        let query = Query {
            via: via.map(key),
            excluded_edges: exclusions(excluded_edges),
            excluded_nodes: excluded_nodes.into_iter().map(key).collect(),
            ..query(amount, ends.0, ends.1)
        };
        let found = ask(&graph(&friendships), &query, SearchBounds { hops, ..BOUNDS });
        prop_assert!(!found.cut);
        let found = plan(found);
        let friendships = with_exclusions(&friendships, &query);
        let best = oracle(&friendships, NODES, &query, hops);
        prop_assert_eq!(found.as_ref().map(PartPlan::total), best.map(|(total, _)| total));
        // Of equally cheap routes a shortest, unless the bound on hops has cut off a cheaper one.
        let is_bounded = oracle(&friendships, NODES, &query, 32) != best;
        prop_assert!(is_bounded || found.as_ref().map(|plan| plan.path.len()) == best.map(|(_, hops)| hops));
        if let Some(plan) = found {
            prop_assert_eq!(plan.amount, amount);
            prop_assert_eq!(plan.path.last(), Some(&query.destination));
            prop_assert_eq!(cost(&friendships, query.source, &plan.path, amount), Some(plan.total()));
            // What mediators will do: each takes its fee from what arrives, and exactly the amount is left at the end.
            let mut carried = plan.total();
            let mut before = query.source;
            for pair in plan.path.windows(2) {
                let (_, rate) = hop(&friendships, before, pair[0]).unwrap();
                carried = rate.forwarded(Amount::new(carried).unwrap()).unwrap().credits();
                before = pair[0];
            }
            prop_assert_eq!(carried, amount);
        }
    }

    // R5.9.
    #[test]
    fn routes_are_different_and_sorted_and_hold_together(
        friendships in friendships(),
        amount in 1u128..100,
        ends in (0..NODES, 0..NODES),
        via in proptest::option::weighted(0.2, 0..NODES),
        excluded_edges in proptest::collection::vec((0..NODES, 0..NODES, prop_oneof![Just(0), 1u128..60]), 0..3),
        excluded_nodes in proptest::collection::vec(0..NODES, 0..2),
        hops in 2usize..=6,
    ) {
        let query = Query {
            via: via.map(key),
            excluded_edges: exclusions(excluded_edges),
            excluded_nodes: excluded_nodes.into_iter().map(key).collect(),
            ..query(amount, ends.0, ends.1)
        };
        let found = ask(&graph(&friendships), &query, SearchBounds { hops, ..SearchBounds::new(1_000_000) });
        prop_assert!(!found.cut);
        prop_assert!(found.routes.len() <= 5);
        let friendships = with_exclusions(&friendships, &query);
        for route in &found.routes {
            splits::expect_payable(&friendships, &query, route, hops);
        }
        prop_assert!(found.routes.is_sorted_by_key(Route::fees));
        let different: BTreeSet<_> =
            found.routes.iter().map(|route| route.parts.iter().map(|part| &part.path).collect::<BTreeSet<_>>()).collect();
        prop_assert_eq!(different.len(), found.routes.len());
        let single = found.routes.iter().filter(|route| route.parts.len() == 1);
        let single = single.map(|route| route.parts[0].total()).min();
        prop_assert_eq!(single, oracle(&friendships, NODES, &query, hops).map(|(total, _)| total));
    }

    #[test]
    fn what_the_answer_costs_does_not_depend_on_the_order_of_updates(
        friendships in friendships(),
        ends in (0..NODES, 0..NODES),
        amount in 1u128..60,
    ) {
        let mut reversed = friendships.clone();
        reversed.reverse();
        let query = query(amount, ends.0, ends.1);
        let fees = |friendships: &[Friendship]| {
            let found = ask(&graph(friendships), &query, BOUNDS);
            plan(found).map(|plan| (plan.fees, plan.path.len()))
        };
        prop_assert_eq!(fees(&friendships), fees(&reversed));
    }
}
