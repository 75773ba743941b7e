//! Splits: several paths that deliver the amount together.
//!
//! First greedily: the cheapest path for an equal share of what is left, filled up, then the next one over what the
//! parts before leave. Few parts are tried before many. Where the parts block each other, [`super::flow`] can undo what
//! was used.

use super::different::exclude_middle;
use super::flow::flow_split;
use super::overlay::Overlay;
use super::parts::Parts;
use super::path_query::Path;
use super::route_search::{Part, RouteSearch, fees, sort};
use crate::graph::unpack;

/// Different splits, cheapest first.
pub(super) fn different_splits(search: &mut RouteSearch<'_>) -> Vec<Vec<Part>> {
    let exclusions = search.exclusions.clone();
    let Some(first) = split(search, &exclusions) else { return vec![] };
    let mut routes = vec![first];
    // Others do without the middle of one part of the first.
    let mut parts = routes[0].clone();
    parts.sort_by_key(|part| std::cmp::Reverse(part.amount));
    for part in parts {
        if routes.len() == search.bounds.routes || search.work.is_used_up() {
            break;
        }
        let mut overlay = exclusions.clone();
        exclude_middle(search, &part.path.nodes, &mut overlay);
        if let Some(route) = greedy_split(search, &overlay)
            && !routes.contains(&route)
        {
            routes.push(route);
        }
    }
    sort(&mut routes);
    routes
}

/// A split that costs less than `single`, which delivers the whole amount: over paths that hold only a part of it.
pub(super) fn cheaper_split(search: &mut RouteSearch<'_>, single: &Path) -> Option<Vec<Part>> {
    if search.bounds.parts < 2 || search.amount < 2 || single.fees == 0 {
        return None;
    }
    let exclusions = search.exclusions.clone();
    let half = search.path(search.amount.div_ceil(2), &exclusions)?;
    // Two such halves are hardly dearer than the cheapest split in two.
    if half.fees.saturating_mul(2) >= single.fees {
        return None;
    }
    greedy_split_of(search, 2, &exclusions).filter(|parts| fees(parts) < single.fees)
}

/// A split over what `overlay` leaves.
fn split(search: &mut RouteSearch<'_>, overlay: &Overlay) -> Option<Vec<Part>> {
    if !ends_hold_amount(search) {
        return None;
    }
    greedy_split(search, overlay).or_else(|| flow_split(search, overlay))
}

fn greedy_split(search: &mut RouteSearch<'_>, overlay: &Overlay) -> Option<Vec<Part>> {
    let parts_max = search.bounds.parts;
    let mut counts = vec![2, 4, 8, parts_max];
    counts.retain(|count| (2..=parts_max).contains(count));
    counts.dedup();
    counts.into_iter().find_map(|count| greedy_split_of(search, count, overlay))
}

/// A split of at most `count` parts.
fn greedy_split_of(search: &mut RouteSearch<'_>, count: usize, overlay: &Overlay) -> Option<Vec<Part>> {
    let mut parts = Parts::new(search.amount, overlay);
    parts.add(search, count)?;
    parts.whole()
}

/// Whether as many friendships of source and destination as a route has parts hold the amount.
fn ends_hold_amount(search: &RouteSearch<'_>) -> bool {
    let holds = |mut capacities: Vec<u128>| {
        capacities.sort_unstable_by(|one, other| other.cmp(one));
        capacities.iter().take(search.bounds.parts).sum::<u128>() >= search.amount
    };
    let source = search.graph.arcs(search.source).iter();
    let destination = search.graph.arcs(search.destination).iter();
    holds(source.map(|arc| unpack(arc.outward().capacity)).collect())
        && holds(destination.map(|arc| unpack(arc.inward().capacity)).collect())
}
