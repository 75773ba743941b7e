//! Everything that queries are answered from.

use crate::book::GraphChange;
use crate::clearing::ClearingGraph;
use crate::graph::CapacityGraph;
use crate::search::{Found, Scratch, SearchBounds};
use offst_proto::index::{Answer, Query};

/// What can be sent, and which debts can be cleared, by the changes that a [`Book`](crate::Book) has decided.
#[derive(Debug)]
pub(crate) struct Graphs {
    capacities: CapacityGraph,
    clearing: ClearingGraph,
}

impl Graphs {
    /// Nobody has published anything. For `seed` see [`CapacityGraph::seeded`].
    pub(crate) fn new(seed: u64) -> Self {
        Graphs { capacities: CapacityGraph::seeded(seed), clearing: ClearingGraph::default() }
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

    /// Answers a query, looking at `work_max` hops at most; and says at how many it looked.
    pub(crate) fn answer(&self, query: &Query, now_ms: u64, work_max: usize, scratch: &mut Scratch) -> (Answer, usize) {
        let Found { ways, cut, work } = if query.clearing {
            self.clearing.search(query, now_ms, work_max)
        } else {
            self.capacities.search(query, now_ms, SearchBounds::new(work_max), scratch)
        };
        (Answer { id: query.id, ways, cut }, work)
    }
}
