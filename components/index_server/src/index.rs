//! What nodes have published and the graphs made of it, in one object and without neighbours: for simulations without
//! sockets and threads. The server keeps the two apart, because searches read the graphs while updates are decided.

use crate::edge_store::EdgeStore;
use crate::limits::Limits;
use crate::query_graphs::QueryGraphs;
use crate::search::Scratch;
use offst_proto::Verified;
use offst_proto::index::{Answer, BUCKETS, Query, Update, UpdateOutcome};

/// The edges of all nodes and the graphs made of them. Time is an argument: unix ms.
#[derive(Debug)]
pub struct Index {
    search_work: usize,
    store: EdgeStore,
    graphs: QueryGraphs,
}

impl Index {
    /// An empty index. In a simulation nobody chooses keys to slow it down, so its graphs need no secret seed.
    pub fn new(limits: Limits) -> Self {
        Index { search_work: limits.search_work_max, store: EdgeStore::new(limits), graphs: QueryGraphs::new(0) }
    }

    /// Takes an update of the node itself that [`admit`](crate::admit) let through. All of its edges are taken, or
    /// none.
    pub fn apply(&mut self, update: &Verified<Update>, now_ms: u64) -> UpdateOutcome {
        let outcome = self.store.publish(update, None, now_ms);
        self.apply_changes();
        outcome
    }

    /// Answers a query.
    pub fn answer(&self, query: &Query, now_ms: u64) -> Answer {
        self.answer_with(query, now_ms, &mut Scratch::default())
    }

    /// Answers a query with memory that is used again.
    pub fn answer_with(&self, query: &Query, now_ms: u64, scratch: &mut Scratch) -> Answer {
        self.graphs.answer(query, now_ms, self.search_work, scratch).0
    }

    /// Frees the memory of everything that has expired. Searches never use an expired edge, swept or not.
    pub fn sweep(&mut self, now_ms: u64) {
        self.store.sweep(now_ms, BUCKETS);
        self.apply_changes();
    }

    /// What was published.
    pub fn store(&self) -> &EdgeStore {
        &self.store
    }

    fn apply_changes(&mut self) {
        self.graphs.apply(&self.store.take_changes());
        self.store.take_dropped();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_servers::{edge, key, signed};
    use offst_proto::Amount;
    use offst_proto::Currency;

    const NOW: u64 = 1_700_000_000_000;

    fn fees(index: &Index, amount: u128, source: u8, destination: u8, now_ms: u64) -> Option<u128> {
        let query =
            Query { id: 7, ..Query::new(Currency::default(), Amount::capped(amount), key(source), key(destination)) };
        let answer = index.answer(&query, now_ms);
        assert_eq!((answer.id, answer.cut), (7, false));
        answer.routes.first().map(|route| route.fees())
    }

    fn chain() -> Index {
        let mut index = Index::new(Limits::default());
        index.apply(&signed(1, 5, NOW + 1000, vec![edge(2, 100)]), NOW);
        index.apply(&signed(2, 5, NOW + 500, vec![edge(1, 100), edge(3, 100)]), NOW);
        index.apply(&signed(3, 5, NOW + 1000, vec![edge(2, 100)]), NOW);
        index
    }

    // R5.1.
    #[test]
    fn the_latest_announcement_counts_and_an_edge_without_capacity_is_gone() {
        let mut index = chain();
        assert_eq!(fees(&index, 99, 1, 3, NOW), Some(1));
        assert_eq!(fees(&index, 100, 1, 3, NOW), None, "the first hop has to hold the fee too");
        let smaller = signed(3, 6, NOW + 900, vec![edge(2, 9)]);
        assert_eq!(index.apply(&smaller, NOW), UpdateOutcome::Accepted { newest: 6 });
        assert_eq!((fees(&index, 99, 1, 3, NOW), fees(&index, 9, 1, 3, NOW)), (None, Some(1)));
        let old = signed(3, 5, NOW + 900, vec![edge(2, 100)]);
        assert_eq!(index.apply(&old, NOW), UpdateOutcome::Stale { newest: 6 });
        assert_eq!(fees(&index, 99, 1, 3, NOW), None);
        index.apply(&signed(2, 6, NOW + 900, vec![edge(4, 5)]), NOW);
        assert_eq!(fees(&index, 9, 1, 3, NOW), Some(1), "an edge that is not named stays");
        index.apply(&signed(2, 7, NOW + 900, vec![edge(3, 0)]), NOW);
        assert_eq!(fees(&index, 9, 1, 3, NOW), None);
    }

    // R5.8.
    #[test]
    fn expired_edges_are_not_used_swept_or_not() {
        let mut index = chain();
        assert_eq!((fees(&index, 9, 1, 3, NOW + 499), fees(&index, 9, 1, 3, NOW + 500)), (Some(1), None));
        index.sweep(NOW + 500);
        assert_eq!((index.store().node_count(), index.store().edge_count()), (2, 2));
        index.apply(&signed(2, 6, NOW + 800, vec![edge(1, 100), edge(3, 100)]), NOW + 500);
        assert_eq!(fees(&index, 9, 1, 3, NOW + 799), Some(1));
        index.sweep(NOW + 1000);
        assert_eq!((index.store().node_count(), index.store().edge_count()), (0, 0));
    }
}
