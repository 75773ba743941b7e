//! What is known of all nodes: newest sequence numbers, edges with their expiry, quotas.

use crate::graph::CapacityGraph;
use crate::limits::Limits;
use crate::search::{Found, Scratch, SearchBounds};
use offst_crypto::PublicKey;
use offst_proto::index::{Answer, Query, Update, UpdateOutcome, UpdateRefusal};
use offst_proto::{Currency, Verified};
use std::collections::BTreeMap;
use std::ops::Bound;

/// Edges of all nodes and the graph made of them. Time is an argument: unix ms.
#[derive(Debug)]
pub struct Index {
    limits: Limits,
    nodes: BTreeMap<PublicKey, Published>,
    /// Sum over all nodes.
    edges: usize,
    graph: CapacityGraph,
    /// Where the next sweep goes on.
    swept: Option<PublicKey>,
}

/// What one node published.
#[derive(Debug, Default)]
struct Published {
    newest: u64,
    /// Nothing of this node that was signed so far can be replayed later than this: its expiry has passed then.
    kept_until_ms: u64,
    /// Expiry of each edge, unix ms.
    edges: BTreeMap<(PublicKey, Currency), u64>,
}

impl Index {
    /// Knows nothing.
    pub fn new(limits: Limits) -> Self {
        Index { limits, nodes: BTreeMap::new(), edges: 0, graph: CapacityGraph::new(), swept: None }
    }

    /// Takes an update that [`admit`](crate::admit) let through. All of its edges are taken, or none.
    ///
    /// A node is the only writer of its edges and its updates come in order, so one sequence number per node is enough
    /// for the last writer to win on each edge.
    pub fn apply(&mut self, update: &Verified<Update>, now_ms: u64) -> UpdateOutcome {
        let refused = |reason| UpdateOutcome::Refused { reason, server_ms: now_ms };
        let known = self.nodes.get(&update.node);
        if let Some(known) = known
            && update.sequence <= known.newest
        {
            return UpdateOutcome::Stale { newest: known.newest };
        }
        if known.is_none() && self.nodes.len() >= self.limits.nodes {
            return refused(UpdateRefusal::Full);
        }
        let (added, removed) = changes(known, update);
        let held = known.map_or(0, |known| known.edges.len());
        // An update that makes a node smaller is always taken: a node above a lowered quota can still close edges.
        if added > removed {
            let grown = added - removed;
            if held + grown > self.limits.edges_per_node {
                return refused(UpdateRefusal::Quota);
            }
            if self.edges + grown > self.limits.edges {
                return refused(UpdateRefusal::Full);
            }
        }
        let node = self.nodes.entry(update.node).or_default();
        node.newest = update.sequence;
        node.kept_until_ms = node.kept_until_ms.max(update.expires_ms);
        for edge in &update.edges {
            let name = (edge.friend, edge.currency.clone());
            if edge.is_closed() {
                node.edges.remove(&name);
                self.graph.remove(update.node, edge.friend, &edge.currency);
            } else {
                node.edges.insert(name, update.expires_ms);
                self.graph.set(update.node, edge, update.expires_ms);
            }
        }
        self.edges = self.edges - held + node.edges.len();
        UpdateOutcome::Accepted { newest: update.sequence }
    }

    /// Answers a query.
    pub fn answer(&self, query: &Query, now_ms: u64) -> Answer {
        self.answer_with(query, now_ms, &mut Scratch::default())
    }

    /// Answers a query with memory that is used again.
    pub fn answer_with(&self, query: &Query, now_ms: u64, scratch: &mut Scratch) -> Answer {
        let bounds = SearchBounds::new(self.limits.search_work);
        let Found { ways, cut, .. } = self.graph.search(query, now_ms, bounds, scratch);
        Answer { id: query.id, ways, cut }
    }

    /// Gives back the memory of what has expired, looking at `count` nodes; the next call goes on behind them. Searches
    /// never use an expired edge, swept or not.
    pub fn sweep(&mut self, now_ms: u64, count: usize) {
        let start = self.swept.map_or(Bound::Unbounded, Bound::Excluded);
        let mut forgotten = Vec::new();
        let mut seen = 0;
        self.swept = None;
        for (key, node) in self.nodes.range_mut((start, Bound::Unbounded)).take(count) {
            let expired: Vec<_> = node
                .edges
                .iter()
                .filter(|(_, expires_ms)| **expires_ms <= now_ms)
                .map(|(name, _)| name.clone())
                .collect();
            for name in expired {
                node.edges.remove(&name);
                self.graph.remove(*key, name.0, &name.1);
                self.edges -= 1;
            }
            if node.kept_until_ms <= now_ms {
                forgotten.push(*key);
            }
            seen += 1;
            self.swept = Some(*key);
        }
        if seen < count {
            self.swept = None;
        }
        for key in forgotten {
            self.nodes.remove(&key);
        }
    }

    /// Nodes remembered.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// Edges held.
    pub fn edge_count(&self) -> usize {
        self.edges
    }
}

/// How many edges an update adds and removes.
fn changes(known: Option<&Published>, update: &Update) -> (usize, usize) {
    let (mut added, mut removed) = (0, 0);
    for edge in &update.edges {
        let is_held = known.is_some_and(|known| known.edges.contains_key(&(edge.friend, edge.currency.clone())));
        added += usize::from(!is_held && !edge.is_closed());
        removed += usize::from(is_held && edge.is_closed());
    }
    (added, removed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admit;
    use offst_crypto::{Ed25519Verifier, Identity, PublicKey};
    use offst_proto::index::Edge;
    use offst_proto::{Rate, Unverified};

    const NOW: u64 = 1_700_000_000_000;

    fn identity(seed: u8) -> Identity {
        Identity::from_seed([seed; 32])
    }

    fn key(seed: u8) -> PublicKey {
        identity(seed).public_key()
    }

    fn edge(friend: u8, capacity: u128) -> Edge {
        Edge {
            friend: key(friend),
            currency: Currency::default(),
            send_capacity: capacity,
            receive_capacity: capacity,
            rate: Rate::default(),
        }
    }

    fn publish(
        index: &mut Index,
        node: u8,
        sequence: u64,
        time_to_live_ms: u64,
        mut edges: Vec<Edge>,
    ) -> UpdateOutcome {
        edges.sort();
        let update = Update { node: key(node), sequence, expires_ms: NOW + time_to_live_ms, edges };
        let wire = Unverified::from_wire(Verified::sign(update, &identity(node)).wire()).unwrap();
        index.apply(&admit(wire, &key(node), &Ed25519Verifier, NOW).unwrap(), NOW)
    }

    fn fees(index: &Index, amount: u128, source: u8, destination: u8, now_ms: u64) -> Option<u128> {
        let query = Query { id: 7, ..Query::new(Currency::default(), amount, key(source), key(destination)) };
        let answer = index.answer(&query, now_ms);
        assert_eq!((answer.id, answer.cut), (7, false));
        answer.ways.first().map(|way| way.fees())
    }

    fn refused(reason: UpdateRefusal) -> UpdateOutcome {
        UpdateOutcome::Refused { reason, server_ms: NOW }
    }

    fn line() -> Index {
        let mut index = Index::new(Limits::default());
        publish(&mut index, 1, 5, 1000, vec![edge(2, 100)]);
        publish(&mut index, 2, 5, 500, vec![edge(1, 100), edge(3, 100)]);
        publish(&mut index, 3, 5, 1000, vec![edge(2, 100)]);
        index
    }

    #[test]
    fn the_last_writer_wins_and_replays_do_not() {
        let mut index = line();
        assert_eq!(fees(&index, 99, 1, 3, NOW), Some(1));
        assert_eq!(fees(&index, 100, 1, 3, NOW), None, "the first hop has to hold the fee too");
        assert_eq!(publish(&mut index, 3, 5, 900, vec![edge(2, 9)]), UpdateOutcome::Stale { newest: 5 });
        assert_eq!(fees(&index, 99, 1, 3, NOW), Some(1));
        assert_eq!(publish(&mut index, 3, 6, 900, vec![edge(2, 9)]), UpdateOutcome::Accepted { newest: 6 });
        assert_eq!(fees(&index, 99, 1, 3, NOW), None);
        assert_eq!(fees(&index, 9, 1, 3, NOW), Some(1));
        assert_eq!(publish(&mut index, 3, 5, 900, vec![edge(2, 100)]), UpdateOutcome::Stale { newest: 6 });
    }

    #[test]
    fn an_update_without_an_edge_leaves_it_and_zero_closes_it() {
        let mut index = line();
        publish(&mut index, 2, 6, 900, vec![edge(4, 5)]);
        assert_eq!(fees(&index, 9, 1, 3, NOW), Some(1));
        assert_eq!(index.edge_count(), 5);
        publish(&mut index, 2, 7, 900, vec![edge(3, 0)]);
        assert_eq!(fees(&index, 9, 1, 3, NOW), None);
        assert_eq!(index.edge_count(), 4);
    }

    #[test]
    fn expired_edges_are_not_used_and_swept() {
        let mut index = line();
        assert_eq!(fees(&index, 9, 1, 3, NOW + 499), Some(1));
        assert_eq!(fees(&index, 9, 1, 3, NOW + 500), None, "not swept yet");
        publish(&mut index, 2, 6, 800, vec![edge(3, 100)]);
        // One node a call, so that no call takes long.
        for _ in 0..3 {
            index.sweep(NOW + 500, 1);
        }
        assert_eq!((index.node_count(), index.edge_count()), (3, 3));
        for _ in 0..4 {
            index.sweep(NOW + 800, 1);
        }
        assert_eq!((index.node_count(), index.edge_count()), (2, 2));
        // The first call ends behind the last node, the second starts anew.
        index.sweep(NOW + 1000, 100);
        index.sweep(NOW + 1000, 100);
        assert_eq!((index.node_count(), index.edge_count()), (0, 0));
        assert_eq!(publish(&mut index, 3, 1, 1000, vec![]), UpdateOutcome::Accepted { newest: 1 });
    }

    #[test]
    fn quotas() {
        let limits = Limits { edges_per_node: 2, edges: 3, nodes: 2, ..Limits::default() };
        let mut index = Index::new(limits);
        assert_eq!(
            publish(&mut index, 1, 1, 9, vec![edge(2, 1), edge(3, 1), edge(4, 1)]),
            refused(UpdateRefusal::Quota)
        );
        assert_eq!(index.node_count(), 0, "nothing is remembered of a refused update");
        publish(&mut index, 1, 2, 9, vec![edge(2, 1), edge(3, 1)]);
        assert_eq!(publish(&mut index, 1, 3, 9, vec![edge(4, 1)]), refused(UpdateRefusal::Quota));
        assert_eq!(publish(&mut index, 1, 3, 9, vec![edge(4, 1), edge(2, 0)]), UpdateOutcome::Accepted { newest: 3 });
        assert_eq!(publish(&mut index, 2, 1, 9, vec![edge(4, 1), edge(1, 1)]), refused(UpdateRefusal::Full));
        assert_eq!(publish(&mut index, 2, 1, 9, vec![edge(4, 1)]), UpdateOutcome::Accepted { newest: 1 });
        assert_eq!(publish(&mut index, 3, 1, 9, vec![]), refused(UpdateRefusal::Full));
        assert_eq!(index.edge_count(), 3);
    }
}
