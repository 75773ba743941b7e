//! A small index server: ways over the edges that nodes have published.

use offst_crypto::PublicKey;
use offst_proto::Currency;
use offst_proto::index::{Clearable, Edge, Query};
use offst_proto::route::{PartPlan, Way};
use std::collections::BTreeMap;

/// Edges by publisher, friend and currency.
pub type Edges = BTreeMap<(PublicKey, PublicKey, Currency), Edge>;

const HOPS: usize = 5;
const RING_HOPS: usize = 6;
const ROUTES: usize = 24;

/// Ways for a query, the shortest routes first: single routes, then splits over two and more.
pub fn search(edges: &Edges, query: &Query) -> Vec<Way> {
    if query.clearing {
        return rings(edges, query);
    }
    let mut routes = Vec::new();
    extend(edges, query, HOPS, &mut vec![], &mut routes);
    routes.sort_by_key(Vec::len);
    routes.truncate(ROUTES);
    let mut ways: Vec<Way> = routes
        .iter()
        .filter_map(|route| plan(edges, query, route, query.amount))
        .map(|part| Way { parts: vec![part] })
        .collect();
    ways.sort_by_key(Way::fees);
    ways.truncate(4);
    let mut left = query.amount;
    let mut parts = Vec::new();
    let mut used = edges.clone();
    for route in &routes {
        let Some(part) = largest(&used, query, route, left) else { continue };
        take(&mut used, query, &part);
        left -= part.amount;
        parts.push(part);
        if left == 0 {
            ways.push(Way { parts });
            break;
        }
    }
    ways
}

fn extend(edges: &Edges, query: &Query, hops: usize, route: &mut Vec<PublicKey>, found: &mut Vec<Vec<PublicKey>>) {
    let at = route.last().copied().unwrap_or(query.source);
    if at == query.destination && !route.is_empty() {
        // A cycle comes back over another friend than it left by.
        if query.source != query.destination || route.len() > 2 {
            found.push(route.clone());
        }
        return;
    }
    if route.len() == hops || found.len() >= 8 * ROUTES {
        return;
    }
    for ((node, friend, currency), edge) in edges {
        let is_excluded = query.excluded_edges.iter().any(|hop| hop.from == at && hop.to == *friend);
        let is_new = (*friend != query.source || *friend == query.destination) && !route.contains(friend);
        let is_via = !route.is_empty() || query.via.is_none_or(|via| via == *friend);
        if *node == at && *currency == query.currency && edge.send_capacity > 0 && is_new && is_via && !is_excluded {
            route.push(*friend);
            extend(edges, query, hops, route, found);
            route.pop();
        }
    }
}

/// Cycles in which each owes the node before it, the shortest first. On the source's own accounts the friend's word is enough.
fn rings(edges: &Edges, query: &Query) -> Vec<Way> {
    let mut routes = Vec::new();
    extend(edges, query, RING_HOPS, &mut vec![], &mut routes);
    routes.sort_by_key(Vec::len);
    let word =
        |from: PublicKey, to: PublicKey| edges.get(&(from, to, query.currency.clone())).map(|edge| edge.clearable);
    let clearable = |from: PublicKey, to: PublicKey| {
        let own = |word: Option<u128>, is_source: bool| word.or(is_source.then_some(u128::MAX)).unwrap_or(0);
        let sender = word(from, to).filter(|word| from != query.source || *word != Clearable::None);
        let receiver = word(to, from).filter(|word| to != query.source || *word != Clearable::None);
        let sent = own(sender.map(Clearable::send), from == query.source);
        sent.min(own(receiver.map(Clearable::receive), to == query.source))
    };
    let ring = |route: Vec<PublicKey>| {
        let nodes = std::iter::once(&query.source).chain(&route);
        let least = nodes.zip(&route).map(|(from, to)| clearable(*from, *to)).min()?;
        let amount = least.min(query.amount);
        (amount > 0).then_some(Way { parts: vec![PartPlan { route, amount, fees: 0 }] })
    };
    routes.into_iter().filter_map(ring).take(4).collect()
}

/// The part along `route` that brings `amount`, if all capacities allow it.
fn plan(edges: &Edges, query: &Query, route: &[PublicKey], amount: u128) -> Option<PartPlan> {
    let mut nodes = vec![query.source];
    nodes.extend(route);
    let mut carried = amount;
    for index in (1..nodes.len()).rev() {
        let (from, to) = (nodes[index - 1], nodes[index]);
        let there = edges.get(&(from, to, query.currency.clone()))?;
        let back = edges.get(&(to, from, query.currency.clone()))?;
        if there.send_capacity < carried || back.receive_capacity < carried {
            return None;
        }
        if index >= 2 {
            let mediator = edges.get(&(from, nodes[index - 2], query.currency.clone()))?;
            carried += mediator.rate.fee(carried)?;
        }
    }
    Some(PartPlan { route: route.to_vec(), amount, fees: carried - amount })
}

fn largest(edges: &Edges, query: &Query, route: &[PublicKey], left: u128) -> Option<PartPlan> {
    let mut amount = left;
    while amount > 0 {
        if let Some(part) = plan(edges, query, route, amount) {
            return Some(part);
        }
        amount = if amount < 64 { amount - 1 } else { amount * 7 / 8 };
    }
    None
}

fn take(edges: &mut Edges, query: &Query, part: &PartPlan) {
    let mut at = query.source;
    for next in &part.route {
        for (from, to) in [(at, *next), (*next, at)] {
            let edge = edges.get_mut(&(from, to, query.currency.clone())).expect("planned over it");
            edge.send_capacity = edge.send_capacity.saturating_sub(part.total());
            edge.receive_capacity = edge.receive_capacity.saturating_sub(part.total());
        }
        at = *next;
    }
}
