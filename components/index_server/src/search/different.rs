//! Routes that differ from those found: the payer wants another when one fails, and does not know before which hop will.

use super::overlay::Overlay;
use super::{Part, Search};

/// How far a route differs from those before, from most to least.
const SHARED: [Shared; 4] = [
    Shared { first: false, last: false },
    Shared { first: true, last: false },
    Shared { first: false, last: true },
    Shared { first: true, last: true },
];

/// Which hops of an earlier route a later one may use again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shared {
    /// The source's own: it knows what they hold, and may have few.
    first: bool,
    /// Those into the destination, of which there may be few.
    last: bool,
}

impl Search<'_> {
    /// Adds single routes, each the cheapest that shares no hop with those before, or the first hop only, or the last
    /// only, or both, whatever is possible.
    pub(super) fn add_different_routes(&mut self, ways: &mut Vec<Vec<Part>>) {
        let amount = self.amount;
        for shared in SHARED {
            while ways.len() < self.bounds.ways {
                let mut overlay = self.exclusions.clone();
                for part in ways.iter().flatten() {
                    self.exclude(&part.route.nodes, shared, &mut overlay);
                }
                let Some(route) = self.route(amount, &overlay) else { break };
                ways.push(vec![Part { route, amount }]);
            }
        }
    }

    /// Excludes the hops of a route but those that may be shared. One hop at least, so that the route itself is gone.
    fn exclude(&self, nodes: &[u32], shared: Shared, overlay: &mut Overlay) {
        let hops = self.hops(nodes);
        let count = hops.len();
        for (position, (from, to)) in hops.into_iter().enumerate() {
            let is_shared_first = shared.first && position == 0 && count > 1;
            let is_shared_last = shared.last && position + 1 == count && count > if shared.first { 2 } else { 1 };
            if !is_shared_first && !is_shared_last {
                overlay.exclude(from, to);
            }
        }
    }

    /// Excludes the middle of a route.
    pub(super) fn exclude_middle(&self, nodes: &[u32], overlay: &mut Overlay) {
        self.exclude(nodes, Shared { first: true, last: true }, overlay);
    }
}
