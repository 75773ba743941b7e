//! The graph of capacities: which hops both ends publish, what they hold and what they cost.
//!
//! The interface is small on purpose: [`CapacityGraph::set`], [`CapacityGraph::remove`], [`CapacityGraph::search`].
//! What lies behind it may become faster without anything else changing.

use crate::search::{Found, SearchBounds, cheapest};
use offst_crypto::PublicKey;
use offst_proto::index::{Edge, Query};
use offst_proto::{Currency, Rate};
use std::collections::BTreeMap;

/// What nodes published, by currency.
#[derive(Debug, Default)]
pub struct CapacityGraph {
    currencies: BTreeMap<Currency, Layer>,
}

/// One currency.
#[derive(Debug, Default)]
pub(crate) struct Layer {
    /// What each node says of each friend.
    published: BTreeMap<PublicKey, BTreeMap<PublicKey, Half>>,
    /// By the node that receives, then by the friend who sends to it: hops that both ends publish. Claims of strangers
    /// about a node never get here, so they cannot make a search through this node longer.
    hops: BTreeMap<PublicKey, BTreeMap<PublicKey, HopIn>>,
}

/// One end's word.
#[derive(Debug, Clone, Copy)]
struct Half {
    send_capacity: u128,
    receive_capacity: u128,
    rate: Rate,
    expires_ms: u64,
}

/// A hop into a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HopIn {
    /// The smaller of what both ends say, credits; never 0.
    pub(crate) capacity: u128,
    /// What the node that receives takes for forwarding requests that come by this hop.
    pub(crate) rate: Rate,
    /// The sooner of both ends, unix ms.
    pub(crate) expires_ms: u64,
}

impl CapacityGraph {
    /// An empty graph.
    pub fn new() -> Self {
        CapacityGraph::default()
    }

    /// Takes `node`'s word about `edge`, instead of an earlier one.
    pub fn set(&mut self, node: PublicKey, edge: &Edge, expires_ms: u64) {
        let layer = self.currencies.entry(edge.currency.clone()).or_default();
        let half = Half {
            send_capacity: edge.send_capacity,
            receive_capacity: edge.receive_capacity,
            rate: edge.rate,
            expires_ms,
        };
        layer.published.entry(node).or_default().insert(edge.friend, half);
        layer.connect(node, edge.friend);
    }

    /// Forgets `node`'s word about an edge.
    pub fn remove(&mut self, node: PublicKey, friend: PublicKey, currency: &Currency) {
        let Some(layer) = self.currencies.get_mut(currency) else { return };
        if let Some(halves) = layer.published.get_mut(&node) {
            halves.remove(&friend);
            if halves.is_empty() {
                layer.published.remove(&node);
            }
        }
        layer.connect(node, friend);
        if layer.published.is_empty() {
            self.currencies.remove(currency);
        }
    }

    /// The cheapest way for `query` over edges that have not expired at `now_ms`.
    pub fn search(&self, query: &Query, now_ms: u64, bounds: SearchBounds) -> Found {
        match self.currencies.get(&query.currency) {
            Some(layer) => cheapest(layer, query, now_ms, bounds),
            None => Found::default(),
        }
    }
}

impl Layer {
    /// The hops into `node` with who sends, in the order of keys.
    pub(crate) fn hops_into(&self, node: &PublicKey) -> impl Iterator<Item = (&PublicKey, &HopIn)> + use<'_> {
        self.hops.get(node).into_iter().flatten()
    }

    fn half(&self, node: &PublicKey, friend: &PublicKey) -> Option<&Half> {
        self.published.get(node)?.get(friend)
    }

    /// Makes the hops of both directions agree with what both ends publish now.
    fn connect(&mut self, one: PublicKey, other: PublicKey) {
        self.connect_into(one, other);
        self.connect_into(other, one);
    }

    fn connect_into(&mut self, node: PublicKey, sender: PublicKey) {
        let hop = self.half(&node, &sender).zip(self.half(&sender, &node)).map(|(own, others)| HopIn {
            capacity: own.receive_capacity.min(others.send_capacity),
            rate: own.rate,
            expires_ms: own.expires_ms.min(others.expires_ms),
        });
        match hop.filter(|hop| hop.capacity > 0) {
            Some(hop) => {
                self.hops.entry(node).or_default().insert(sender, hop);
            }
            None => {
                if let Some(hops) = self.hops.get_mut(&node) {
                    hops.remove(&sender);
                    if hops.is_empty() {
                        self.hops.remove(&node);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offst_crypto::Identity;

    fn key(seed: u8) -> PublicKey {
        Identity::from_seed([seed; 32]).public_key()
    }

    fn edge(friend: u8, send_capacity: u128, receive_capacity: u128) -> Edge {
        let rate = Rate { mul: 0, add: friend.into() };
        Edge {
            friend: key(friend),
            currency: Currency::default(),
            send_capacity,
            receive_capacity,
            rate,
            clearable: offst_proto::index::Clearable::None,
        }
    }

    fn hops(graph: &CapacityGraph, node: u8) -> Vec<HopIn> {
        let layer = graph.currencies.get(&Currency::default());
        layer.into_iter().flat_map(|layer| layer.hops_into(&key(node))).map(|(_, hop)| *hop).collect()
    }

    #[test]
    fn a_hop_needs_both_ends_and_has_the_smaller_capacity() {
        let mut graph = CapacityGraph::new();
        graph.set(key(1), &edge(2, 10, 20), 100);
        assert_eq!(hops(&graph, 2), []);
        graph.set(key(2), &edge(1, 15, 8), 90);
        assert_eq!(hops(&graph, 2), [HopIn { capacity: 8, rate: Rate { mul: 0, add: 1 }, expires_ms: 90 }]);
        assert_eq!(hops(&graph, 1), [HopIn { capacity: 15, rate: Rate { mul: 0, add: 2 }, expires_ms: 90 }]);
        graph.set(key(2), &edge(1, 15, 0), 90);
        assert_eq!(hops(&graph, 2), []);
        graph.remove(key(1), key(2), &Currency::default());
        assert_eq!(hops(&graph, 1), []);
        graph.remove(key(1), key(2), &Currency::default());
        graph.remove(key(2), key(1), &Currency::default());
        assert!(graph.currencies.is_empty(), "nothing stays behind");
    }
}
