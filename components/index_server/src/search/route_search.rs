//! One query: what it asks for, what is left of its work, and the paths that it needs.

use super::overlay::Overlay;
use super::path_query::{EndNodes, Path, PathQuery};
use super::scratch::Scratch;
use super::short::cheapest_short_enough;
use super::work::SearchWork;
use crate::graph::CurrencyGraph;
use offst_proto::Amount;
use offst_proto::index::{Exclusion, Query};
use offst_proto::limits::{HOPS_MAX, PARTS_MAX};
use offst_proto::route::{PartPlan, Route};

/// Where a search ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SearchBounds {
    /// Most arcs (directions of friendships) looked at.
    pub work: usize,
    /// Most hops of a path.
    pub hops: usize,
    /// Most routes.
    pub routes: usize,
    /// Most parts of a route.
    pub parts: usize,
}

impl SearchBounds {
    /// What an index server answers: up to 5 routes, each of as many parts as a payment may have.
    /// (R5.10.)
    pub fn new(work: usize) -> Self {
        SearchBounds { work, hops: HOPS_MAX, routes: 5, parts: PARTS_MAX }
    }
}

/// One query and what is left of its work.
pub(super) struct RouteSearch<'a> {
    pub(super) graph: &'a CurrencyGraph,
    now_ms: u64,
    pub(super) source: u32,
    pub(super) destination: u32,
    pub(super) amount: u128,
    via: Option<u32>,
    excluded: Vec<u32>,
    /// The edges that the query excludes, as a whole or above an amount.
    pub(super) exclusions: Overlay,
    pub(super) bounds: SearchBounds,
    pub(super) work: SearchWork,
    scratch: &'a mut Scratch,
}

/// One path of a route and what it delivers to the destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) path: Path,
    pub(super) amount: u128,
}

impl<'a> RouteSearch<'a> {
    /// None when no search is needed to know that there is no route.
    pub(super) fn new(
        graph: &'a CurrencyGraph,
        query: &Query,
        now_ms: u64,
        bounds: SearchBounds,
        scratch: &'a mut Scratch,
    ) -> Option<Self> {
        let (source, destination) = (graph.number(&query.source)?, graph.number(&query.destination)?);
        let via = match query.via {
            Some(via) => Some(graph.number(&via)?),
            None => None,
        };
        if bounds.routes == 0 || bounds.parts == 0 || bounds.hops == 0 || query.amount == 0 {
            return None;
        }
        let is_between = |node: &u32| *node != source && *node != destination;
        let mut exclusions = Overlay::default();
        for Exclusion { hop, left } in &query.excluded_edges {
            if let (Some(from), Some(to)) = (graph.number(&hop.from), graph.number(&hop.to)) {
                exclusions.limit(from, to, left.credits());
            }
        }
        Some(RouteSearch {
            graph,
            now_ms,
            source,
            destination,
            amount: query.amount.credits(),
            via,
            excluded: query.excluded_nodes.iter().filter_map(|key| graph.number(key)).filter(is_between).collect(),
            exclusions,
            bounds,
            work: SearchWork::new(bounds.work),
            scratch,
        })
    }

    /// The cheapest path that delivers `amount` over what `overlay` leaves. When the work is cut, the best that was
    /// seen.
    pub(super) fn path(&mut self, amount: u128, overlay: &Overlay) -> Option<Path> {
        let mut best: Option<Path> = None;
        for (first, last) in self.ends() {
            let query = PathQuery {
                graph: self.graph,
                now_ms: self.now_ms,
                amount,
                source: self.source,
                destination: self.destination,
                first,
                last,
                excluded: &self.excluded,
                overlay,
                hops: self.bounds.hops,
                below: best.as_ref().map(|best| (best.fees, best.nodes.len())),
                hop_price: None,
            };
            best = cheapest_short_enough(&query, &mut self.work, self.scratch).or(best);
        }
        best
    }

    /// Which nodes may come first after the source and last before the destination. The cheapest of the paths for each
    /// of these is the cheapest of all.
    fn ends(&self) -> Vec<(EndNodes, EndNodes)> {
        let is_cycle = self.source == self.destination;
        match self.via {
            None if is_cycle => {
                // A cycle must not end with the friend with which it begins. The positions of two different friends in
                // the list of friends differ in some bit.
                let count = self.graph.arcs(self.source).len();
                let bits = usize::BITS - count.saturating_sub(1).leading_zeros();
                let halves = |bit, value| (EndNodes::Half { bit, value }, EndNodes::Half { bit, value: !value });
                (0..bits).flat_map(|bit| [halves(bit, false), halves(bit, true)]).collect()
            }
            None => vec![(EndNodes::All, EndNodes::All)],
            Some(via) if is_cycle => vec![(EndNodes::Only(via), EndNodes::AllBut(via))],
            Some(via) => vec![(EndNodes::Only(via), EndNodes::All)],
        }
    }

    /// What leaves the source for `amount` to arrive along `nodes`, and none when a hop does not hold its part. It is
    /// the same for all path searches of a query.
    pub(super) fn total(&self, nodes: &[u32], amount: u128, overlay: &Overlay) -> Option<u128> {
        let query = PathQuery {
            graph: self.graph,
            now_ms: self.now_ms,
            amount,
            source: self.source,
            destination: self.destination,
            first: EndNodes::All,
            last: EndNodes::All,
            excluded: &[],
            overlay,
            hops: self.bounds.hops,
            below: None,
            hop_price: None,
        };
        query.total(nodes, amount)
    }

    /// The hops of a path: sender and receiver.
    pub(super) fn hops(&self, nodes: &[u32]) -> Vec<(u32, u32)> {
        std::iter::once(self.source).chain(nodes.iter().copied()).zip(nodes.iter().copied()).collect()
    }

    /// The route of these parts, with the nodes' keys. None: a part, or its fees, would be more than an amount can be.
    pub(super) fn route(&self, parts: &[Part]) -> Option<Route> {
        let plan = |part: &Part| {
            Some(PartPlan {
                path: part.path.nodes.iter().map(|node| self.graph.key(*node)).collect(),
                amount: Amount::new(part.amount)?,
                fees: Amount::new(part.path.fees)?,
            })
        };
        Some(Route { parts: parts.iter().map(plan).collect::<Option<_>>()? })
    }
}

/// Cheapest first; then those with fewer parts and fewer hops.
pub(super) fn sort(routes: &mut [Vec<Part>]) {
    routes
        .sort_by_key(|parts| (fees(parts), parts.len(), parts.iter().map(|part| part.path.nodes.len()).sum::<usize>()));
}

pub(super) fn fees(parts: &[Part]) -> u128 {
    parts.iter().map(|part| part.path.fees).sum()
}
