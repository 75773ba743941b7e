//! Debt cycles: in each, every node owes the one before it, and all allow clearing (protocol section 5).
//!
//! The search goes forwards from the source, breadth first, so the first cycle it finds is a shortest one; among the
//! paths of one length to a node it keeps the one that carries most. No node can be on it twice: a shorter cycle would
//! leave out what is between. And no cycle has only two nodes, because a debt has one direction.

use crate::search::Found;
use offst_crypto::PublicKey;
use offst_proto::Amount;
use offst_proto::Currency;
use offst_proto::index::{Clearable, Edge, Hop, Query};
use offst_proto::limits::HOPS_MAX;
use offst_proto::route::{PartPlan, Route};
use std::collections::BTreeMap;

/// What nodes allow to clear, by currency, node and friend.
#[derive(Debug, Default)]
pub(crate) struct ClearingGraph {
    currencies: BTreeMap<Currency, Offers>,
}

type Offers = BTreeMap<PublicKey, BTreeMap<PublicKey, Offer>>;

#[derive(Debug, Clone, Copy)]
struct Offer {
    clearable: Clearable,
    /// Unix ms.
    expires_ms: u64,
}

/// How the search reached a node.
struct Step {
    from: PublicKey,
    /// What the whole path to this node carries, credits.
    carries: Amount,
}

impl ClearingGraph {
    /// Takes `node`'s announcement of `edge`, which replaces an earlier one.
    pub(crate) fn set(&mut self, node: PublicKey, edge: &Edge, expires_ms: u64) {
        if edge.clearable == Clearable::None {
            return self.remove(node, edge.friend, &edge.currency);
        }
        let offers = self.currencies.entry(edge.currency.clone()).or_default();
        let offer = Offer { clearable: edge.clearable, expires_ms };
        offers.entry(node).or_default().insert(edge.friend, offer);
    }

    /// Forgets `node`'s announcement of an edge.
    pub(crate) fn remove(&mut self, node: PublicKey, friend: PublicKey, currency: &Currency) {
        let Some(offers) = self.currencies.get_mut(currency) else { return };
        if let Some(of_node) = offers.get_mut(&node) {
            of_node.remove(&friend);
            if of_node.is_empty() {
                offers.remove(&node);
            }
        }
        if offers.is_empty() {
            self.currencies.remove(currency);
        }
    }

    /// The shortest debt cycle through the source of `query`, if there is one, looking at `work_max` hops at most.
    pub(crate) fn search(&self, query: &Query, now_ms: u64, work_max: usize) -> Found {
        let Some(offers) = self.currencies.get(&query.currency) else { return Found::default() };
        let excluded_edges: BTreeMap<Hop, Amount> =
            query.excluded_edges.iter().map(|exclusion| (exclusion.hop, exclusion.left)).collect();
        let source = query.source;
        let mut steps: BTreeMap<PublicKey, Step> = BTreeMap::new();
        let mut reached = vec![(source, query.amount)];
        let mut work = 0;
        for _ in 0..HOPS_MAX {
            let mut next: BTreeMap<PublicKey, Step> = BTreeMap::new();
            for (node, carries) in reached {
                for (friend, capacity) in debtors(offers, &node, query, now_ms) {
                    if work == work_max {
                        return Found { routes: vec![], cut: true, work };
                    }
                    work += 1;
                    let is_source = friend == source;
                    let is_allowed = is_source || !query.excluded_nodes.contains(&friend);
                    let limit = excluded_edges.get(&Hop { from: node, to: friend }).copied().unwrap_or(Amount::MAX);
                    let carries = carries.min(capacity).min(limit);
                    let is_better = next.get(&friend).is_none_or(|known| known.carries < carries);
                    if is_allowed && !carries.is_zero() && is_better && !steps.contains_key(&friend) {
                        next.insert(friend, Step { from: node, carries });
                    }
                }
            }
            if let Some(last) = next.get(&source) {
                return Found { routes: vec![cycle(&source, last, &steps)], cut: false, work };
            }
            if next.is_empty() {
                break;
            }
            reached = next.iter().map(|(node, step)| (*node, step.carries)).collect();
            steps.extend(next);
        }
        Found { routes: vec![], cut: false, work }
    }
}

/// The friends of `node` who owe it, and how much of it may be cleared: what both ends announce. For the source's own
/// accounts the friend's announcement is enough, so that a node that has announced nothing can ask for cycles through a
/// friend that it names.
fn debtors(offers: &Offers, node: &PublicKey, query: &Query, now_ms: u64) -> Vec<(PublicKey, Amount)> {
    let offer = |node: &PublicKey, friend: &PublicKey| {
        let offer = offers.get(node)?.get(friend)?;
        (offer.expires_ms > now_ms).then_some(offer.clearable)
    };
    if let Some(via) = query.via.filter(|_| *node == query.source) {
        let own = offer(node, &via).map_or(Amount::MAX, Clearable::send);
        return offer(&via, node).map(|theirs| (via, theirs.receive().min(own))).into_iter().collect();
    }
    let friends = offers.get(node).into_iter().flatten();
    let debtor = |friend: &PublicKey| {
        let theirs = if *friend == query.source {
            offer(friend, node).map_or(Amount::MAX, Clearable::receive)
        } else {
            offer(friend, node)?.receive()
        };
        Some((*friend, offer(node, friend)?.send().min(theirs)))
    };
    friends.filter_map(|(friend, _)| debtor(friend)).collect()
}

fn cycle(source: &PublicKey, last: &Step, steps: &BTreeMap<PublicKey, Step>) -> Route {
    let mut path = vec![*source];
    let mut at = last.from;
    while at != *source {
        path.push(at);
        at = steps[&at].from;
    }
    path.reverse();
    Route { parts: vec![PartPlan { path, amount: last.carries, fees: Amount::ZERO }] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offst_crypto::Identity;
    use offst_proto::Rate;
    use offst_proto::index::Exclusion;

    fn key(seed: u8) -> PublicKey {
        Identity::from_seed([seed; 32]).public_key()
    }

    /// `debtor` owes `creditor` so many credits, and both announce it.
    fn debt(graph: &mut ClearingGraph, debtor: u8, creditor: u8, amount: u128) {
        announce(graph, creditor, debtor, Clearable::Send(Amount::capped(amount)));
        announce(graph, debtor, creditor, Clearable::Receive(Amount::capped(amount)));
    }

    fn announce(graph: &mut ClearingGraph, node: u8, friend: u8, clearable: Clearable) {
        let edge = Edge {
            friend: key(friend),
            currency: Currency::default(),
            send_capacity: 1000.into(),
            receive_capacity: 1000.into(),
            rate: Rate { mul: 0, add: 5.into() },
            clearable,
        };
        graph.set(key(node), &edge, 100);
    }

    fn query(amount: u128) -> Query {
        Query { clearing: true, ..Query::new(Currency::default(), Amount::capped(amount), key(1), key(1)) }
    }

    fn found(graph: &ClearingGraph, query: &Query) -> Option<(Vec<PublicKey>, u128)> {
        let route = graph.search(query, 0, 1000).routes.pop()?;
        assert_eq!((route.check(), route.parts.len(), route.fees()), (Ok(()), 1, 0));
        Some((route.parts[0].path.clone(), route.amount()))
    }

    /// 1 owes 2, 2 owes 3, 3 owes 1: the payment goes in the other direction.
    fn three() -> ClearingGraph {
        let mut graph = ClearingGraph::default();
        debt(&mut graph, 1, 2, 50);
        debt(&mut graph, 2, 3, 40);
        debt(&mut graph, 3, 1, 60);
        graph
    }

    #[test]
    fn a_cycle_carries_its_smallest_debt() {
        let cycle = vec![key(3), key(2), key(1)];
        assert_eq!(found(&three(), &query(100)), Some((cycle.clone(), 40)));
        assert_eq!(found(&three(), &query(10)), Some((cycle, 10)));
        let elsewhere = Query { currency: "hours".parse().unwrap(), ..query(100) };
        assert_eq!(found(&three(), &elsewhere), None);
    }

    #[test]
    fn both_ends_must_allow_it_except_on_the_accounts_of_the_source() {
        let mut graph = three();
        announce(&mut graph, 1, 2, Clearable::None);
        announce(&mut graph, 1, 3, Clearable::None);
        assert_eq!(found(&graph, &query(100)), None, "nobody knows the friends of a node that announces nothing");
        let through = |friend| Query { via: Some(key(friend)), ..query(100) };
        assert_eq!(found(&graph, &through(3)), Some((vec![key(3), key(2), key(1)], 40)));
        assert_eq!(found(&graph, &through(2)), None, "this is whom it owes");
        for (node, friend) in [(2, 3), (3, 2), (3, 1), (2, 1)] {
            let mut silent = three();
            announce(&mut silent, node, friend, Clearable::None);
            assert_eq!(found(&silent, &query(100)), None, "{node} announces nothing about {friend}");
        }
    }

    #[test]
    fn the_shortest_and_then_the_widest_cycle_is_taken() {
        let mut graph = ClearingGraph::default();
        for (middle, amount) in [(4, 10), (5, 30), (6, 20)] {
            debt(&mut graph, middle, 3, amount);
            debt(&mut graph, 2, middle, 100);
        }
        debt(&mut graph, 3, 1, 90);
        debt(&mut graph, 1, 2, 90);
        assert_eq!(found(&graph, &query(100)), Some((vec![key(3), key(5), key(2), key(1)], 30)));
        let hop = Hop { from: key(3), to: key(5) };
        let excluding = Query { excluded_edges: vec![Exclusion::whole(hop)], ..query(100) };
        let excluding = Query { excluded_nodes: vec![key(6)], ..excluding };
        assert_eq!(found(&graph, &excluding), Some((vec![key(3), key(4), key(2), key(1)], 10)));
        let limiting = Query { excluded_edges: vec![Exclusion { hop, left: 21.into() }], ..query(100) };
        assert_eq!(found(&graph, &limiting), Some((vec![key(3), key(5), key(2), key(1)], 21)));
        debt(&mut graph, 1, 3, 5);
        assert_eq!(found(&graph, &query(100)), None, "3 announces now that it is owed something");
    }

    #[test]
    fn bounds_expiry_and_nothing_stays_behind() {
        let graph = three();
        assert_eq!(graph.search(&query(9), 100, 1000), Found::default(), "all has expired");
        assert_eq!(graph.search(&query(9), 0, 2), Found { routes: vec![], cut: true, work: 2 });
        let mut graph = graph;
        for (node, friend) in [(1, 2), (1, 3), (2, 3), (2, 1), (3, 1), (3, 2)] {
            graph.remove(key(node), key(friend), &Currency::default());
        }
        assert!(graph.currencies.is_empty());
    }
}
