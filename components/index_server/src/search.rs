//! Searches for routes: the cheapest path, other paths that differ from it, and splits over several paths where one
//! does not hold the amount. (A route is all parts of a payment, a path the hops of one part.)
//!
//! All searches of a query together may look at so many arcs. What they have not found until then is left out, and the
//! answer says so.
//!
//! From the ground up: `cost`, `marks`, `overlay` and `work` are what a search counts and remembers; `path_query` is
//! what one search for a path asks; `cheapest`, `bounded_hops` and `short` answer it; `route_search` holds a query;
//! `different`, `parts`, `flow` and `split` make routes of paths.

mod bounded_hops;
mod cheapest;
mod cost;
mod different;
mod flow;
mod marks;
mod overlay;
mod parts;
mod path_query;
mod route_search;
mod scratch;
mod short;
mod split;
mod work;

use crate::graph::CurrencyGraph;
use different::add_different_paths;
use offst_proto::index::Query;
use offst_proto::route::Route;
pub use route_search::SearchBounds;
use route_search::{Part, RouteSearch, sort};
pub use scratch::Scratch;
use split::{cheaper_split, different_splits};
use work::SearchWork;

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// Different routes, cheapest first; of equally cheap ones those with fewer parts and hops first. When the search
    /// was not cut, the cheapest route of one path is among them, if there is one.
    pub routes: Vec<Route>,
    /// The search ended at its bound of work: there may be more or cheaper routes.
    pub cut: bool,
    /// Arcs looked at.
    pub work: usize,
}

/// Routes for `query` in `graph`.
pub(crate) fn search(
    graph: &CurrencyGraph,
    query: &Query,
    now_ms: u64,
    bounds: SearchBounds,
    scratch: &mut Scratch,
) -> Found {
    let Some(mut search) = RouteSearch::new(graph, query, now_ms, bounds, scratch) else { return Found::default() };
    let routes = different_routes(&mut search);
    let SearchWork { left, cut } = search.work;
    Found { routes: routes.iter().filter_map(|parts| search.route(parts)).collect(), cut, work: bounds.work - left }
}

/// Different routes, cheapest first.
/// (R5.9.)
fn different_routes(search: &mut RouteSearch<'_>) -> Vec<Vec<Part>> {
    let amount = search.amount;
    let Some(path) = search.path(amount, &search.exclusions.clone()) else {
        return if search.bounds.parts > 1 { different_splits(search) } else { vec![] };
    };
    let mut routes = vec![vec![Part { path, amount }]];
    if search.bounds.routes > 1 {
        routes.extend(cheaper_split(search, &routes[0][0].path.clone()));
        add_different_paths(search, &mut routes);
    }
    sort(&mut routes);
    routes
}

#[cfg(test)]
mod tests;
