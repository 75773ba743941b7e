//! The graph of capacities of all currencies: which hops both ends publish, what they hold and what they cost.
//!
//! The interface is small on purpose: [`CapacityGraph::set`], [`CapacityGraph::remove`], both for many changes at a time as
//! [`CapacityGraph::apply`], and [`CapacityGraph::search`].

use crate::edge_store::GraphChange;
use crate::graph::{CurrencyGraph, prefetch};
use crate::search::{Found, Scratch, SearchBounds, search};
use offst_crypto::PublicKey;
use offst_proto::Currency;
use offst_proto::index::{Edge, Query};
use std::collections::BTreeMap;

/// Changes for which memory is prefetched together. What they read, some kilobytes each, has to fit into a core's cache.
const PREFETCHED_CHANGES: usize = 64;

/// The edges that nodes have announced, by currency.
#[derive(Debug, Default)]
pub struct CapacityGraph {
    currencies: BTreeMap<Currency, CurrencyGraph>,
    seed: u64,
}

/// The memory of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// Bytes of the arrays that a search reads.
    pub search_bytes: usize,
    /// Bytes of the rest: keys, and what each end announces on its own.
    pub other_bytes: usize,
}

impl CapacityGraph {
    /// An empty graph where nobody chooses keys. A server uses [`CapacityGraph::seeded`].
    pub fn new() -> Self {
        CapacityGraph::default()
    }

    /// An empty graph. With a random seed nobody can choose keys that slow it down; no answer depends on the seed.
    pub fn seeded(seed: u64) -> Self {
        CapacityGraph { seed, ..CapacityGraph::default() }
    }

    /// Takes `node`'s announcement of `edge`, which replaces an earlier one.
    pub fn set(&mut self, node: PublicKey, edge: &Edge, expires_ms: u64) {
        if edge.friend == node {
            return;
        }
        match self.currencies.get_mut(&edge.currency) {
            Some(graph) => graph.set(node, edge, expires_ms),
            None => {
                let mut graph = CurrencyGraph::new(self.seed);
                graph.set(node, edge, expires_ms);
                self.currencies.insert(edge.currency.clone(), graph);
            }
        }
    }

    /// Forgets `node`'s announcement of an edge.
    pub fn remove(&mut self, node: PublicKey, friend: PublicKey, currency: &Currency) {
        let Some(graph) = self.currencies.get_mut(currency) else { return };
        graph.remove(&node, &friend);
        if graph.is_empty() {
            self.currencies.remove(currency);
        }
    }

    /// Makes changes in order: as [`CapacityGraph::set`] and [`CapacityGraph::remove`], but faster in a large graph.
    pub fn apply(&mut self, changes: &[GraphChange]) {
        for chunk in changes.chunks(PREFETCHED_CHANGES) {
            self.prefetch(chunk);
            for change in chunk {
                match change {
                    GraphChange::Set { node, edge, expires_ms } => self.set(*node, edge, *expires_ms),
                    GraphChange::Remove { node, friend, currency } => self.remove(*node, *friend, currency),
                }
            }
        }
    }

    /// Reads the memory that these changes will need.
    fn prefetch(&self, changes: &[GraphChange]) {
        let ends = changes.iter().filter_map(|change| {
            let (node, friend, currency) = change.edge_name();
            let graph = self.currencies.get(currency)?;
            Some([(graph, node), (graph, friend)])
        });
        prefetch(&ends.flatten().collect::<Vec<_>>());
    }

    /// Routes for `query` over edges that have not expired at `now_ms`, cheapest first. `scratch` is memory that is used
    /// again; its content makes no difference.
    pub fn search(&self, query: &Query, now_ms: u64, bounds: SearchBounds, scratch: &mut Scratch) -> Found {
        match self.currencies.get(&query.currency) {
            Some(graph) => search(graph, query, now_ms, bounds, scratch),
            None => Found::default(),
        }
    }

    /// The memory of the graph.
    pub fn memory(&self) -> Memory {
        self.currencies.values().fold(Memory::default(), |sum, graph| Memory {
            search_bytes: sum.search_bytes + graph.search_bytes(),
            other_bytes: sum.other_bytes + graph.other_bytes(),
        })
    }
}

#[cfg(test)]
mod tests;
