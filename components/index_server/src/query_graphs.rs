//! The graphs from which queries are answered.

use crate::capacity_graph::CapacityGraph;
use crate::clearing_graph::ClearingGraph;
use crate::edge_store::GraphChange;
use crate::search::{Found, Scratch, SearchBounds};
use offst_proto::index::{Answer, Query};

/// What can be sent, and which debts can be cleared, made of the changes of an [`EdgeStore`](crate::EdgeStore).
#[derive(Debug)]
pub(crate) struct QueryGraphs {
    capacities: CapacityGraph,
    clearing: ClearingGraph,
}

impl QueryGraphs {
    /// Empty graphs. For `seed` see [`CapacityGraph::seeded`].
    pub(crate) fn new(seed: u64) -> Self {
        QueryGraphs { capacities: CapacityGraph::seeded(seed), clearing: ClearingGraph::default() }
    }

    /// Makes changes, in order.
    pub(crate) fn apply(&mut self, changes: &[GraphChange]) {
        self.capacities.apply(changes);
        for change in changes {
            match change {
                GraphChange::Set { node, edge, expires_ms } => self.clearing.set(*node, edge, *expires_ms),
                GraphChange::Remove { node, friend, currency } => self.clearing.remove(*node, *friend, currency),
            }
        }
    }

    /// Answers a query, looking at `work_max` hops at most. Gives also at how many it looked.
    pub(crate) fn answer(&self, query: &Query, now_ms: u64, work_max: usize, scratch: &mut Scratch) -> (Answer, usize) {
        let Found { routes, cut, work } = if query.clearing {
            self.clearing.search(query, now_ms, work_max)
        } else {
            self.capacities.search(query, now_ms, SearchBounds::new(work_max), scratch)
        };
        (Answer { id: query.id, routes, cut }, work)
    }
}
