//! The graph of capacities: which hops both ends publish, what they hold and what they cost.
//!
//! The interface is small on purpose: [`CapacityGraph::set`], [`CapacityGraph::remove`], both for many changes
//! at a time as [`CapacityGraph::apply`], and [`CapacityGraph::search`]. A search reads flat arrays: nodes are numbers, a friendship is 16 bytes in the list of each end, a rate that many use is
//! held once. Capacities are rounded down to 18 significant bits.

mod ahead;
mod arc;
mod capacity;
mod layer;
mod lists;
mod numbers;
mod rates;

pub(crate) use arc::Direction;
pub(crate) use capacity::{pack_up, unpack};
pub(crate) use layer::Layer;
pub(crate) use rates::PackedRate;

use crate::book::GraphChange;
use crate::search::{Found, Scratch, SearchBounds, search};
use offst_crypto::PublicKey;
use offst_proto::Currency;
use offst_proto::index::{Edge, Query};
use std::collections::BTreeMap;

/// What nodes published, by currency.
#[derive(Debug, Default)]
pub struct CapacityGraph {
    currencies: BTreeMap<Currency, Layer>,
    seed: u64,
}

/// What a graph takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// Bytes of the arrays that a search reads.
    pub search_bytes: usize,
    /// Bytes of the rest: keys, and what each end said on its own.
    pub other_bytes: usize,
}

impl CapacityGraph {
    /// An empty graph where nobody chooses keys. A server takes [`CapacityGraph::seeded`].
    pub fn new() -> Self {
        CapacityGraph::default()
    }

    /// An empty graph. With a random seed nobody can choose keys that slow it down; no answer depends on the seed.
    pub fn seeded(seed: u64) -> Self {
        CapacityGraph { seed, ..CapacityGraph::default() }
    }

    /// Takes `node`'s word about `edge`, instead of an earlier one.
    pub fn set(&mut self, node: PublicKey, edge: &Edge, expires_ms: u64) {
        if edge.friend == node {
            return;
        }
        match self.currencies.get_mut(&edge.currency) {
            Some(layer) => layer.set(node, edge, expires_ms),
            None => {
                let mut layer = Layer::new(self.seed);
                layer.set(node, edge, expires_ms);
                self.currencies.insert(edge.currency.clone(), layer);
            }
        }
    }

    /// Forgets `node`'s word about an edge.
    pub fn remove(&mut self, node: PublicKey, friend: PublicKey, currency: &Currency) {
        let Some(layer) = self.currencies.get_mut(currency) else { return };
        layer.remove(&node, &friend);
        if layer.is_empty() {
            self.currencies.remove(currency);
        }
    }

    /// Makes changes in order: as [`CapacityGraph::set`] and [`CapacityGraph::remove`], but faster in a large graph.
    pub fn apply(&mut self, changes: &[GraphChange]) {
        for together in changes.chunks(ahead::TOGETHER) {
            self.read_ahead(together);
            for change in together {
                match change {
                    GraphChange::Set { node, edge, expires_ms } => self.set(*node, edge, *expires_ms),
                    GraphChange::Remove { node, friend, currency } => self.remove(*node, *friend, currency),
                }
            }
        }
    }

    /// Ways for `query` over edges that have not expired at `now_ms`, cheapest first. `scratch` is memory that is used
    /// again; what is in it makes no difference.
    pub fn search(&self, query: &Query, now_ms: u64, bounds: SearchBounds, scratch: &mut Scratch) -> Found {
        match self.currencies.get(&query.currency) {
            Some(layer) => search(layer, query, now_ms, bounds, scratch),
            None => Found::default(),
        }
    }

    /// What the graph takes.
    pub fn memory(&self) -> Memory {
        self.currencies.values().fold(Memory::default(), |sum, layer| Memory {
            search_bytes: sum.search_bytes + layer.search_bytes(),
            other_bytes: sum.other_bytes + layer.other_bytes(),
        })
    }
}

#[cfg(test)]
mod tests;
