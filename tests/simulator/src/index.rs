//! A small index server: routes over the edges that nodes have published.

use offst_crypto::PublicKey;
use offst_proto::Amount;
use offst_proto::Currency;
use offst_proto::index::{Clearable, Edge, Hop, Query};
use offst_proto::route::{PartPlan, Route};
use std::collections::BTreeMap;

/// Edges by publisher, friend and currency.
pub type Edges = BTreeMap<(PublicKey, PublicKey, Currency), Edge>;

const HOPS: usize = 5;
const CYCLE_HOPS: usize = 6;
const ROUTES: usize = 12;

/// The edges of one currency by their nodes, as long as both ends publish them.
type Network<'a> = BTreeMap<PublicKey, BTreeMap<PublicKey, &'a Edge>>;

fn network<'a>(edges: &'a Edges, currency: &Currency) -> Network<'a> {
    let mut network = Network::new();
    for ((node, friend, of), edge) in edges {
        if of == currency {
            network.entry(*node).or_default().insert(*friend, edge);
        }
    }
    network
}

/// What parts that are planned already have taken from the edges.
type Taken = BTreeMap<(PublicKey, PublicKey), u128>;

/// Routes for a query, the shortest paths first: single paths, then a split over two and more.
pub fn search(edges: &Edges, query: &Query) -> Vec<Route> {
    let network = network(edges, &query.currency);
    if query.clearing {
        return cycles(&network, query);
    }
    let paths = paths(&network, query);
    let mut routes: Vec<Route> = paths
        .iter()
        .filter_map(|path| plan(&network, &Taken::new(), query, path, query.amount.credits()))
        .map(|part| Route { parts: vec![part] })
        .collect();
    routes.sort_by_key(Route::fees);
    routes.truncate(4);
    if routes.is_empty() {
        routes.extend(divide(&network, query, &paths, query.amount.credits()));
    }
    routes
}

/// A route over several paths, although one may do: no part carries more than its share.
pub fn split(edges: &Edges, query: &Query, parts: usize) -> Option<Route> {
    let network = network(edges, &query.currency);
    let paths = paths(&network, query);
    let share = query.amount.credits().div_ceil(parts as u128);
    divide(&network, query, &paths, share).filter(|route| route.parts.len() > 1)
}

fn divide(network: &Network<'_>, query: &Query, paths: &[Vec<PublicKey>], share: u128) -> Option<Route> {
    let mut left = query.amount.credits();
    let mut parts = Vec::new();
    let mut taken = Taken::new();
    for path in paths {
        let Some(part) = largest(network, &taken, query, path, left.min(share)) else { continue };
        take(&mut taken, query, &part);
        left -= part.amount.credits();
        parts.push(part);
        if left == 0 {
            return Some(Route { parts });
        }
    }
    None
}

fn paths(network: &Network<'_>, query: &Query) -> Vec<Vec<PublicKey>> {
    let mut found = Vec::new();
    // The shortest first, and no more than are needed.
    for hops in 1..=HOPS {
        extend(network, query, hops, &mut vec![], &mut found);
        if found.len() >= ROUTES {
            break;
        }
    }
    found
}

/// What the query allows a direction to be used for.
fn left(query: &Query, from: PublicKey, to: PublicKey) -> Amount {
    let of = query.excluded_edges.iter().filter(|exclusion| exclusion.hop == Hop { from, to });
    of.map(|exclusion| exclusion.left).min().unwrap_or(Amount::MAX)
}

/// Paths of exactly so many hops.
fn extend(
    network: &Network<'_>,
    query: &Query,
    hops: usize,
    path: &mut Vec<PublicKey>,
    found: &mut Vec<Vec<PublicKey>>,
) {
    let at = path.last().copied().unwrap_or(query.source);
    for (friend, edge) in network.get(&at).into_iter().flatten() {
        let is_end = path.len() + 1 == hops;
        if found.len() >= 2 * ROUTES || edge.send_capacity == 0 || is_end != (*friend == query.destination) {
            continue;
        }
        let is_excluded = left(query, at, *friend) == 0;
        let goes_back = query.source == query.destination && is_end && path.first() == Some(&at) && hops == 2;
        let is_via = !path.is_empty() || query.via.is_none_or(|via| via == *friend);
        if !is_via || is_excluded || goes_back || path.contains(friend) || (*friend == query.source && !is_end) {
            continue;
        }
        path.push(*friend);
        if is_end {
            found.push(path.clone());
        } else {
            extend(network, query, hops, path, found);
        }
        path.pop();
    }
}

/// Cycles in which each owes the node before it, the shortest first. On the source's own accounts the friend's word is
/// enough.
fn cycles(network: &Network<'_>, query: &Query) -> Vec<Route> {
    let word = |from: PublicKey, to: PublicKey| network.get(&from)?.get(&to).map(|edge| edge.clearable);
    let clearable = |from: PublicKey, to: PublicKey| {
        let own = |word: Option<Amount>, is_source: bool| word.or(is_source.then_some(Amount::MAX)).unwrap_or_default();
        let sender = word(from, to).filter(|word| from != query.source || *word != Clearable::None);
        let receiver = word(to, from).filter(|word| to != query.source || *word != Clearable::None);
        let sent = own(sender.map(Clearable::send), from == query.source);
        sent.min(own(receiver.map(Clearable::receive), to == query.source))
    };
    let cycle = |path: Vec<PublicKey>| {
        let nodes = std::iter::once(&query.source).chain(&path);
        let least: Amount =
            nodes.zip(&path).map(|(from, to)| clearable(*from, *to).min(left(query, *from, *to))).min()?;
        let amount = least.min(query.amount);
        (!amount.is_zero()).then_some(Route { parts: vec![PartPlan { path, amount, fees: Amount::ZERO }] })
    };
    let mut paths = Vec::new();
    for hops in 3..=CYCLE_HOPS {
        extend(network, query, hops, &mut vec![], &mut paths);
    }
    paths.into_iter().filter_map(cycle).take(4).collect()
}

/// The part along `path` that brings `amount`, if all capacities allow it.
fn plan(network: &Network<'_>, taken: &Taken, query: &Query, path: &[PublicKey], amount: u128) -> Option<PartPlan> {
    let edge = |from: &PublicKey, to: &PublicKey| network.get(from)?.get(to).copied();
    let mut carried = amount;
    for index in (0..path.len()).rev() {
        let from = if index == 0 { &query.source } else { &path[index - 1] };
        let to = &path[index];
        let used = taken.get(&(*from, *to)).copied().unwrap_or(0);
        let capacity = edge(from, to)?.send_capacity.min(edge(to, from)?.receive_capacity);
        let capacity = capacity.min(left(query, *from, *to)).credits();
        if capacity < carried + used {
            return None;
        }
        if index >= 1 {
            let before = if index == 1 { &query.source } else { &path[index - 2] };
            carried += edge(from, before)?.rate.fee(Amount::new(carried)?)?.credits();
        }
    }
    Some(PartPlan { path: path.to_vec(), amount: Amount::new(amount)?, fees: Amount::new(carried - amount)? })
}

fn largest(network: &Network<'_>, taken: &Taken, query: &Query, path: &[PublicKey], most: u128) -> Option<PartPlan> {
    let mut amount = most;
    while amount > 0 {
        if let Some(part) = plan(network, taken, query, path, amount) {
            return Some(part);
        }
        amount = amount * 3 / 4;
    }
    None
}

fn take(taken: &mut Taken, query: &Query, part: &PartPlan) {
    let mut at = query.source;
    for next in &part.path {
        *taken.entry((at, *next)).or_default() += part.total();
        at = *next;
    }
}
