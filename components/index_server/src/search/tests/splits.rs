//! Splits against an oracle that tries every amount on every path.

use super::*;
use offst_proto::Amount;
use std::collections::BTreeMap;

/// What hops hold, by sender and receiver.
type HeldOnHops = BTreeMap<(PublicKey, PublicKey), u128>;

/// What `amount` along `path` holds on each hop, reckoned from the end.
fn held(friendships: &[Friendship], source: PublicKey, path: &[PublicKey], amount: u128) -> Option<HeldOnHops> {
    let mut held = HeldOnHops::new();
    let mut carried = amount;
    for position in (0..path.len()).rev() {
        let from = if position == 0 { source } else { path[position - 1] };
        if position + 1 < path.len() {
            let (_, rate) = hop(friendships, from, path[position])?;
            carried += rate.fee(Amount::new(carried)?)?.credits();
        }
        held.insert((from, path[position]), carried);
    }
    Some(held)
}

fn add(friendships: &[Friendship], sum: &HeldOnHops, part: &HeldOnHops) -> Option<HeldOnHops> {
    let mut sum = sum.clone();
    for ((from, to), amount) in part {
        let known = sum.entry((*from, *to)).or_default();
        *known += amount;
        if *known > hop(friendships, *from, *to)?.0 {
            return None;
        }
    }
    Some(sum)
}

/// Pays as nodes do: each mediator takes its fee from what arrives, and exactly the amount is left; no hop holds more
/// than it can, whichever parts cross it.
pub(super) fn expect_payable(friendships: &[Friendship], query: &Query, route: &Route, hops_max: usize) {
    assert_eq!(route.check(), Ok(()));
    assert!(route.parts.len() <= 8);
    assert_eq!(route.amount(), query.amount.credits());
    let mut sum = HeldOnHops::new();
    for part in &route.parts {
        let path = &part.path;
        assert!(part.amount > 0 && path.len() <= hops_max);
        assert_eq!(path.last(), Some(&query.destination));
        assert!(query.via.is_none_or(|via| path[0] == via));
        assert!(
            path[..path.len() - 1].iter().all(|node| !query.excluded_nodes.contains(node)
                || *node == query.source
                || *node == query.destination)
        );
        assert!(path[..path.len() - 1].iter().all(|node| *node != query.source && *node != query.destination));
        assert!(query.source != query.destination || (path.len() > 2 && path[0] != path[path.len() - 2]));
        let mut carried = part.total();
        let mut from = query.source;
        for (position, node) in path.iter().enumerate() {
            let (capacity, rate) = hop(friendships, from, *node).expect("both publish it");
            let held = sum.entry((from, *node)).or_default();
            *held += carried;
            assert!(*held <= capacity, "{held} over {capacity}");
            if position + 1 < path.len() {
                carried = rate
                    .forwarded(Amount::new(carried).expect("it fits"))
                    .expect("a mediator can forward it")
                    .credits();
            }
            from = *node;
        }
        assert_eq!(carried, part.amount.credits());
    }
}

/// Whether some amounts on at most 8 of the paths add up.
fn is_possible(friendships: &[Friendship], query: &Query, paths: &[Vec<PublicKey>]) -> bool {
    fn try_from(
        friendships: &[Friendship],
        query: &Query,
        paths: &[Vec<PublicKey>],
        left: u128,
        parts: usize,
        sum: &HeldOnHops,
    ) -> bool {
        if left == 0 {
            return true;
        }
        let Some((path, others)) = paths.split_first() else { return false };
        if try_from(friendships, query, others, left, parts, sum) {
            return true;
        }
        if parts == 0 {
            return false;
        }
        for amount in (1..=left).rev() {
            let part = held(friendships, query.source, path, amount);
            if let Some(sum) = part.and_then(|part| add(friendships, sum, &part))
                && try_from(friendships, query, others, left - amount, parts - 1, &sum)
            {
                return true;
            }
        }
        false
    }
    try_from(friendships, query, paths, query.amount.credits(), 8, &HeldOnHops::new())
}

/// The same numbers each time (splitmix64).
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    /// Below `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % bound
    }
}

/// Six people, eight or nine friendships, little room.
fn small_network(numbers: &mut Numbers, fees: bool) -> Vec<Friendship> {
    let mut pairs: Vec<[u8; 2]> = (0..6).flat_map(|one| (one + 1..6).map(move |other| [one, other])).collect();
    let count = 8 + numbers.below(2) as usize;
    while pairs.len() > count {
        pairs.swap_remove(numbers.below(pairs.len() as u64) as usize);
    }
    let rate = |numbers: &mut Numbers| match (fees, numbers.below(3)) {
        (false, _) | (_, 0) => Rate { mul: 0, add: 0.into() },
        (_, 1) => Rate { mul: 0, add: 1.into() },
        _ => Rate { mul: 1 << 29, add: 0.into() },
    };
    pairs
        .into_iter()
        .map(|ends| {
            let capacities =
                [numbers.below(7), numbers.below(7)].map(|capacity| (u128::from(capacity), u128::MAX >> 32));
            Friendship { ends, capacities, rates: [rate(numbers), rate(numbers)], published: [true; 2] }
        })
        .collect()
}

fn found_of_possible(fees: bool) -> (u32, u32) {
    let mut numbers = Numbers(if fees { 1 } else { 2 });
    let (mut possible, mut found) = (0, 0);
    while possible < 400 {
        let friendships = small_network(&mut numbers, fees);
        let query = query(2 + u128::from(numbers.below(7)), 0, 5);
        let paths = simple_paths(&friendships, 6, &query, 32);
        let is_single = oracle(&friendships, 6, &query, 32).is_some();
        if is_single || !is_possible(&friendships, &query, &paths) {
            continue;
        }
        possible += 1;
        let routes = ask(&graph(&friendships), &query, SearchBounds::new(1_000_000)).routes;
        routes.iter().for_each(|route| expect_payable(&friendships, &query, route, 32));
        found += u32::from(!routes.is_empty());
    }
    (found, possible)
}

#[test]
fn where_no_route_suffices_a_split_is_found() {
    let (found, possible) = found_of_possible(false);
    assert!(found * 100 >= possible * 99, "{found} of {possible} without fees");
    let (found, possible) = found_of_possible(true);
    assert!(found * 100 >= possible * 95, "{found} of {possible} with fees");
}

/// Both routes hold 100; the cheapest route for half of 200 crosses from the one to the other and blocks both.
#[test]
fn what_greed_has_blocked_is_given_back() {
    let (free, dear) = (Rate { mul: 0, add: 0.into() }, Rate { mul: 0, add: 9.into() });
    let friendships = vec![
        Friendship::simple(0, 1, 100, [free; 2]),
        Friendship::simple(0, 2, 109, [free; 2]),
        Friendship::simple(1, 2, 100, [free; 2]),
        Friendship::simple(1, 3, 100, [free, free]),
        Friendship::simple(2, 4, 100, [free, free]),
        Friendship::simple(3, 5, 100, [free, dear]),
        Friendship::simple(4, 5, 100, [free, free]),
        Friendship::simple(2, 3, 1, [free; 2]),
    ];
    let query = query(200, 0, 5);
    let routes = ask(&graph(&friendships), &query, SearchBounds::new(1_000_000)).routes;
    expect_payable(&friendships, &query, &routes[0], 32);
    assert_eq!(routes[0].parts.len(), 2);
}

/// A route that holds half costs a credit, the one that holds all costs 50.
#[test]
fn a_split_that_is_cheaper_comes_first() {
    let add = |add| Rate { mul: 0, add };
    let friendships = vec![
        Friendship::simple(0, 1, 60, [add(0.into()), add(1.into())]),
        Friendship::simple(1, 4, 60, [add(0.into()); 2]),
        Friendship::simple(0, 2, 60, [add(0.into()), add(1.into())]),
        Friendship::simple(2, 4, 60, [add(0.into()); 2]),
        Friendship::simple(0, 3, 200, [add(0.into()), add(50.into())]),
        Friendship::simple(3, 4, 200, [add(0.into()); 2]),
    ];
    let query = query(100, 0, 4);
    let routes = ask(&graph(&friendships), &query, SearchBounds::new(1_000_000)).routes;
    routes.iter().for_each(|route| expect_payable(&friendships, &query, route, 32));
    assert_eq!(routes.iter().map(|route| (route.fees(), route.parts.len())).collect::<Vec<_>>(), [(2, 2), (50, 1)]);
}

#[test]
fn sixteen_parts_and_not_seventeen() {
    let free = Rate { mul: 0, add: 0.into() };
    let friendships = |count: u8| -> Vec<Friendship> {
        let middle = (1..=count)
            .flat_map(|node| [Friendship::simple(0, node, 10, [free; 2]), Friendship::simple(node, 39, 10, [free; 2])]);
        middle.collect()
    };
    let parts = |count: u8, amount| {
        let routes = ask(&graph(&friendships(count)), &query(amount, 0, 39), SearchBounds::new(1_000_000)).routes;
        routes.first().map(|route| route.parts.len())
    };
    assert_eq!((parts(9, 81), parts(8, 81), parts(9, 20)), (Some(9), None, Some(2)));
    assert_eq!((parts(16, 160), parts(17, 161)), (Some(16), None));
}
