//! Ways to pay: the cheapest route, others that differ from it, and splits over several routes where one does not hold
//! the amount.
//!
//! Every search is bounded by the same budget of work, counted in arcs that are looked at. What it has not found when
//! the budget ends is left out, and the answer says so.

mod bounded_hops;
mod cheapest;
mod cost;
mod different;
mod flow;
mod marks;
mod overlay;
mod short;
mod split;
mod task;

use crate::graph::Layer;
use offst_proto::index::{Exclusion, Query};
use offst_proto::limits::{HOPS_MAX, PARTS_MAX};
use offst_proto::route::{PartPlan, Way};
use overlay::Overlay;
use short::cheapest_short_enough;
use task::{Budget, Friends, Route, Task};

/// Where a search ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SearchBounds {
    /// Most arcs (directions of friendships) looked at.
    pub work: usize,
    /// Most hops of a route.
    pub hops: usize,
    /// Most ways.
    pub ways: usize,
    /// Most parts of a way.
    pub parts: usize,
}

impl SearchBounds {
    /// What an index server answers: up to 5 ways, each of as many parts as a payment may have.
    pub fn new(work: usize) -> Self {
        SearchBounds { work, hops: HOPS_MAX, ways: 5, parts: PARTS_MAX }
    }
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// Different ways, cheapest first; of equally cheap ones those with fewer parts and hops first. When the search was
    /// not cut, the cheapest single route is among them, if there is one.
    pub ways: Vec<Way>,
    /// The search ended at its bound of work: there may be more or cheaper ways.
    pub cut: bool,
    /// Arcs looked at.
    pub work: usize,
}

/// Memory of a search, used again by the next. It grows with the work of a search, not with the graph. Each thread that
/// searches has its own.
#[derive(Debug, Default)]
pub struct Scratch {
    narrow: cheapest::Memory<u64>,
    wide: cheapest::Memory<u128>,
    bounded: bounded_hops::Memory,
}

/// One query and what is left of its work.
struct Search<'a> {
    layer: &'a Layer,
    now_ms: u64,
    source: u32,
    destination: u32,
    amount: u128,
    via: Option<u32>,
    excluded: Vec<u32>,
    /// What the query excludes.
    exclusions: Overlay,
    bounds: SearchBounds,
    budget: Budget,
    scratch: &'a mut Scratch,
}

/// One route of a way and what it carries to the destination.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    route: Route,
    amount: u128,
}

/// Ways for `query` in `layer`.
pub(crate) fn search(layer: &Layer, query: &Query, now_ms: u64, bounds: SearchBounds, scratch: &mut Scratch) -> Found {
    let (Some(source), Some(destination)) = (layer.number(&query.source), layer.number(&query.destination)) else {
        return Found::default();
    };
    let via = query.via.map(|via| layer.number(&via));
    if via == Some(None) || bounds.ways == 0 || bounds.parts == 0 || bounds.hops == 0 || query.amount == 0 {
        return Found::default();
    }
    let is_between = |node: &u32| *node != source && *node != destination;
    let mut exclusions = Overlay::default();
    for Exclusion { hop, left } in &query.excluded_edges {
        if let (Some(from), Some(to)) = (layer.number(&hop.from), layer.number(&hop.to)) {
            exclusions.limit(from, to, *left);
        }
    }
    let mut search = Search {
        layer,
        now_ms,
        source,
        destination,
        amount: query.amount,
        via: via.flatten(),
        excluded: query.excluded_nodes.iter().filter_map(|key| layer.number(key)).filter(is_between).collect(),
        exclusions,
        bounds,
        budget: Budget::new(bounds.work),
        scratch,
    };
    let ways = search.ways();
    let Budget { left, cut } = search.budget;
    Found { ways: ways.iter().map(|parts| search.way(parts)).collect(), cut, work: bounds.work - left }
}

impl Search<'_> {
    /// Different ways, cheapest first.
    fn ways(&mut self) -> Vec<Vec<Part>> {
        let amount = self.amount;
        let Some(route) = self.route(amount, &self.exclusions.clone()) else {
            return if self.bounds.parts > 1 { self.different_splits() } else { vec![] };
        };
        let mut ways = vec![vec![Part { route, amount }]];
        if self.bounds.ways > 1 {
            ways.extend(self.cheaper_split(&ways[0][0].route.clone()));
            self.add_different_routes(&mut ways);
        }
        sort(&mut ways);
        ways
    }

    /// The cheapest route that carries `amount` over what `overlay` leaves. When the budget is cut, the best that was
    /// seen.
    fn route(&mut self, amount: u128, overlay: &Overlay) -> Option<Route> {
        let mut best: Option<Route> = None;
        for (first, last) in self.ends() {
            let task = Task {
                layer: self.layer,
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
            best = cheapest_short_enough(&task, &mut self.budget, self.scratch).or(best);
        }
        best
    }

    /// Which nodes may come first after the source and last before the destination. The cheapest of the routes for each
    /// of these is the cheapest of all.
    fn ends(&self) -> Vec<(Friends, Friends)> {
        let is_cycle = self.source == self.destination;
        match self.via {
            None if is_cycle => {
                // A cycle must not come back over the friend by whom it left. The places of two different friends in the
                // list of friends differ in some bit.
                let count = self.layer.arcs(self.source).len();
                let bits = usize::BITS - count.saturating_sub(1).leading_zeros();
                let halves = |bit, value| (Friends::Half { bit, value }, Friends::Half { bit, value: !value });
                (0..bits).flat_map(|bit| [halves(bit, false), halves(bit, true)]).collect()
            }
            None => vec![(Friends::All, Friends::All)],
            Some(via) if is_cycle => vec![(Friends::Only(via), Friends::AllBut(via))],
            Some(via) => vec![(Friends::Only(via), Friends::All)],
        }
    }

    /// What one route costs and holds is the same for all searches of a query.
    fn total(&self, nodes: &[u32], amount: u128, overlay: &Overlay) -> Option<u128> {
        let task = Task {
            layer: self.layer,
            now_ms: self.now_ms,
            amount,
            source: self.source,
            destination: self.destination,
            first: Friends::All,
            last: Friends::All,
            excluded: &[],
            overlay,
            hops: self.bounds.hops,
            below: None,
            hop_price: None,
        };
        task.total(nodes, amount)
    }

    /// The hops of a route: sender and receiver.
    fn hops(&self, nodes: &[u32]) -> Vec<(u32, u32)> {
        std::iter::once(self.source).chain(nodes.iter().copied()).zip(nodes.iter().copied()).collect()
    }

    fn way(&self, parts: &[Part]) -> Way {
        let plan = |part: &Part| PartPlan {
            route: part.route.nodes.iter().map(|node| self.layer.key(*node)).collect(),
            amount: part.amount,
            fees: part.route.fees,
        };
        Way { parts: parts.iter().map(plan).collect() }
    }
}

/// Cheapest first; then those with fewer parts and fewer hops.
fn sort(ways: &mut [Vec<Part>]) {
    ways.sort_by_key(|parts| {
        (fees(parts), parts.len(), parts.iter().map(|part| part.route.nodes.len()).sum::<usize>())
    });
}

fn fees(parts: &[Part]) -> u128 {
    parts.iter().map(|part| part.route.fees).sum()
}

#[cfg(test)]
mod tests;
