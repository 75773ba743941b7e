//! The cheapest route for an amount, with exact fees (protocol section 2).
//!
//! The amount frozen on a hop holds the fees of all mediators behind it, so the search runs backwards, from the
//! destination: a label says "`leaving` credits must leave this node". Fees never shrink when the amount grows, so the
//! label with the smallest amount is final (Dijkstra). Because of the bound on hops a dearer label with fewer hops is
//! kept beside a cheaper one with more; without that the bound would hide routes that exist.

use crate::graph::Layer;
use offst_crypto::PublicKey;
use offst_proto::index::{Hop, Query};
use offst_proto::limits::AMOUNT_MAX;
use offst_proto::route::{PartPlan, Way};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

/// Where a search ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SearchBounds {
    /// Most hops looked at.
    pub work: usize,
    /// Most hops of a route.
    pub hops: usize,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// The cheapest way (one route, carrying the whole amount); of equally cheap ones a shortest. When the search was
    /// cut, the best it had seen.
    pub way: Option<Way>,
    /// The search ended at its bound of work.
    pub cut: bool,
}

/// The end of a route: from `node` to the destination.
struct Label {
    node: PublicKey,
    /// What leaves `node`, credits.
    leaving: u128,
    hops: usize,
    /// The last node before the destination, where it matters; see [`Search::tells_last`].
    last: Option<PublicKey>,
    /// The label of the next node on the route; none at the destination.
    next: Option<usize>,
}

struct Search<'a> {
    query: &'a Query,
    excluded_edges: BTreeSet<Hop>,
    excluded_nodes: BTreeSet<PublicKey>,
    labels: Vec<Label>,
    /// Cheapest first, then fewest hops, then by key: the answer does not depend on the order in which edges came.
    open: BinaryHeap<Reverse<(u128, usize, PublicKey, usize)>>,
    /// Hops and last node of the final labels of each node. They became final in the order of their amounts.
    settled: BTreeMap<PublicKey, Vec<(usize, Option<PublicKey>)>>,
}

/// The cheapest route of `query` in `layer`.
pub(crate) fn cheapest(layer: &Layer, query: &Query, now_ms: u64, bounds: SearchBounds) -> Found {
    let mut search = Search {
        query,
        excluded_edges: query.excluded_edges.iter().copied().collect(),
        excluded_nodes: query.excluded_nodes.iter().copied().collect(),
        labels: vec![],
        open: BinaryHeap::new(),
        settled: BTreeMap::new(),
    };
    search.push(Label { node: query.destination, leaving: query.amount, hops: 0, last: None, next: None });
    let mut work = 0;
    while let Some(Reverse((.., position))) = search.open.pop() {
        let label = &search.labels[position];
        let (node, leaving, hops, last) = (label.node, label.leaving, label.hops, label.last);
        let at_destination = hops == 0;
        if node == query.source && !at_destination {
            return Found { way: Some(search.way(position)), cut: false };
        }
        if search.is_dominated(&node, hops, last) {
            continue;
        }
        search.settled.entry(node).or_default().push((hops, last));
        if hops == bounds.hops {
            continue;
        }
        for (sender, hop) in layer.hops_into(&node) {
            if work == bounds.work {
                return Found { way: search.best_open().map(|position| search.way(position)), cut: true };
            }
            work += 1;
            let fee = if at_destination { Some(0) } else { hop.rate.fee(leaving) };
            let Some(arriving) = fee.and_then(|fee| leaving.checked_add(fee)).filter(|sum| *sum <= AMOUNT_MAX) else {
                continue;
            };
            if hop.capacity < arriving || hop.expires_ms <= now_ms || !search.may_pass(sender, &node, last) {
                continue;
            }
            let last = match at_destination {
                true => search.tells_last().then_some(*sender),
                false => last,
            };
            search.push(Label { node: *sender, leaving: arriving, hops: hops + 1, last, next: Some(position) });
        }
    }
    Found::default()
}

impl Search<'_> {
    fn is_cycle(&self) -> bool {
        self.query.source == self.query.destination
    }

    /// Whether labels must remember the last node before the destination: a cycle must not come back over the friend by
    /// whom it left, and whom it leaves by is not known before the search arrives there.
    fn tells_last(&self) -> bool {
        self.is_cycle() && self.query.via.is_none()
    }

    /// Whether the route may lead from `sender` to `node`, where `last` is the label's at `node`.
    fn may_pass(&self, sender: &PublicKey, node: &PublicKey, last: Option<PublicKey>) -> bool {
        let query = self.query;
        let via_is_right = match query.via {
            // A cycle through `via` comes back over somebody else.
            Some(via) if self.is_cycle() && *node == query.destination => *sender != via,
            Some(via) if *sender == query.source => *node == via,
            _ => true,
        };
        let comes_back_elsewhere = !self.tells_last() || *sender != query.source || last != Some(*node);
        let is_end = *sender == query.source || *sender == query.destination;
        via_is_right
            && comes_back_elsewhere
            && (is_end || !self.excluded_nodes.contains(sender))
            && !self.excluded_edges.contains(&Hop { from: *sender, to: *node })
    }

    /// Whether final labels of `node`, none of them dearer, make one with these hops and this last node useless. Two
    /// different last nodes are as good as any: whichever friend a cycle leaves by, one of them differs.
    fn is_dominated(&self, node: &PublicKey, hops: usize, last: Option<PublicKey>) -> bool {
        let settled = self.settled.get(node).map_or(&[][..], Vec::as_slice);
        let mut lasts = settled.iter().filter(|(settled_hops, _)| *settled_hops <= hops).map(|(_, last)| last);
        let Some(first) = lasts.next() else { return false };
        *first == last || lasts.any(|other| *other == last || other != first)
    }

    fn push(&mut self, label: Label) {
        let is_arrived = label.hops > 0 && label.node == self.query.source;
        if is_arrived || !self.is_dominated(&label.node, label.hops, label.last) {
            self.open.push(Reverse((label.leaving, label.hops, label.node, self.labels.len())));
            self.labels.push(label);
        }
    }

    /// The cheapest label that has reached the source but is not final.
    fn best_open(&self) -> Option<usize> {
        let arrived = self
            .open
            .iter()
            .map(|Reverse(entry)| entry)
            .filter(|(_, hops, node, _)| *hops > 0 && *node == self.query.source);
        arrived.min().map(|(.., position)| *position)
    }

    /// The route of a label that has reached the source.
    fn way(&self, position: usize) -> Way {
        let arrived = &self.labels[position];
        let mut route = Vec::with_capacity(arrived.hops);
        let mut next = arrived.next;
        while let Some(position) = next {
            route.push(self.labels[position].node);
            next = self.labels[position].next;
        }
        let fees = arrived.leaving - self.query.amount;
        Way { parts: vec![PartPlan { route, amount: self.query.amount, fees }] }
    }
}

#[cfg(test)]
mod tests;
