//! Paths that differ from those found: when one fails, the payer needs another, and cannot know before which hop will
//! fail.

use super::overlay::Overlay;
use super::route_search::{Part, RouteSearch};

/// How much a path differs from those before, from most to least.
const SHARED: [Shared; 4] = [
    Shared { first: false, last: false },
    Shared { first: true, last: false },
    Shared { first: false, last: true },
    Shared { first: true, last: true },
];

/// Which hops of an earlier path a later one may use again.
#[derive(Debug, Clone, Copy)]
struct Shared {
    /// The source's own: it knows what they hold, and may have few.
    first: bool,
    /// Those into the destination, of which there may be few.
    last: bool,
}

/// Adds routes of one path, each the cheapest that shares no hop with those before, or the first hop only, or the last
/// only, or both, in this order.
pub(super) fn add_different_paths(search: &mut RouteSearch<'_>, routes: &mut Vec<Vec<Part>>) {
    let amount = search.amount;
    for shared in SHARED {
        while routes.len() < search.bounds.routes {
            let mut overlay = search.exclusions.clone();
            for part in routes.iter().flatten() {
                exclude(search, &part.path.nodes, shared, &mut overlay);
            }
            let Some(path) = search.path(amount, &overlay) else { break };
            routes.push(vec![Part { path, amount }]);
        }
    }
}

/// Excludes the middle of a path.
pub(super) fn exclude_middle(search: &RouteSearch<'_>, nodes: &[u32], overlay: &mut Overlay) {
    exclude(search, nodes, Shared { first: true, last: true }, overlay);
}

/// Excludes the hops of a path except those that may be shared: at least one, so that the path itself is excluded.
fn exclude(search: &RouteSearch<'_>, nodes: &[u32], shared: Shared, overlay: &mut Overlay) {
    let hops = search.hops(nodes);
    let count = hops.len();
    for (position, (from, to)) in hops.into_iter().enumerate() {
        let is_shared_first = shared.first && position == 0 && count > 1;
        let is_shared_last = shared.last && position + 1 == count && count > if shared.first { 2 } else { 1 };
        if !is_shared_first && !is_shared_last {
            overlay.exclude(from, to);
        }
    }
}
