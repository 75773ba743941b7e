//! The parts of a split while it is made: each path is filled with as much as it carries over what the others leave.

use super::overlay::Overlay;
use super::path_query::Path;
use super::route_search::{Part, RouteSearch};

/// The parts of a split so far.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    /// With what the parts use.
    pub(super) overlay: Overlay,
    pub(super) parts: Vec<Part>,
    /// What no part delivers yet, credits.
    pub(super) left: u128,
}

impl Parts {
    /// No parts for `amount` yet, over what `overlay` leaves.
    pub(super) fn new(amount: u128, overlay: &Overlay) -> Self {
        Parts { overlay: overlay.clone(), parts: vec![], left: amount }
    }

    /// Adds a part over `nodes` that delivers as much as possible of what is left, at most `most`. None when that is
    /// nothing.
    pub(super) fn fill(&mut self, search: &RouteSearch<'_>, nodes: Vec<u32>, most: u128) -> Option<()> {
        let amount = largest_amount(search, &nodes, self.left.min(most), &self.overlay)?;
        let total = search.total(&nodes, amount, &self.overlay)?;
        use_hops(search, &nodes, amount, &mut self.overlay, 1);
        self.left -= amount;
        self.parts.push(Part { path: Path { nodes, fees: total - amount }, amount });
        Some(())
    }

    /// Lets the parts deliver more, each as much as it can, over what the others leave.
    pub(super) fn fill_up(&mut self, search: &RouteSearch<'_>) {
        for position in 0..self.parts.len() {
            if self.left == 0 {
                return;
            }
            let part = self.parts.remove(position);
            use_hops(search, &part.path.nodes, part.amount, &mut self.overlay, -1);
            self.left += part.amount;
            // It has delivered its amount before, so it still does.
            self.fill(search, part.path.nodes, u128::MAX);
            if let Some(part) = self.parts.pop() {
                self.parts.insert(position, part);
            }
        }
    }

    /// Adds the cheapest paths for what is left until there are `count` parts. None when one is not found.
    pub(super) fn add(&mut self, search: &mut RouteSearch<'_>, count: usize) -> Option<()> {
        while self.left > 0 && self.parts.len() < count {
            let share = self.left.div_ceil((count - self.parts.len()) as u128);
            let path = search.path(share, &self.overlay)?;
            self.fill(search, path.nodes, u128::MAX)?;
        }
        Some(())
    }

    /// The parts, if they deliver the whole amount.
    pub(super) fn whole(self) -> Option<Vec<Part>> {
        (self.left == 0).then_some(self.parts)
    }
}

/// The largest amount up to `most` that a path delivers over what `overlay` leaves. None when it is nothing.
pub(super) fn largest_amount(search: &RouteSearch<'_>, nodes: &[u32], most: u128, overlay: &Overlay) -> Option<u128> {
    let is_possible = |amount| search.total(nodes, amount, overlay).is_some();
    if is_possible(most) {
        return (most > 0).then_some(most);
    }
    // Fees never shrink when the amount grows, so what is too much stays too much.
    let (mut good, mut bad) = (0, most);
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if is_possible(middle) {
            good = middle;
        } else {
            bad = middle;
        }
    }
    (good > 0).then_some(good)
}

/// What each hop of a path holds for `amount` to be delivered, from the last hop to the first.
pub(super) fn held_on_hops(search: &RouteSearch<'_>, nodes: &[u32], amount: u128) -> Vec<((u32, u32), u128)> {
    let mut held = amount;
    let mut hops = Vec::with_capacity(nodes.len());
    for (position, (from, to)) in search.hops(nodes).into_iter().enumerate().rev() {
        if position + 1 < nodes.len()
            && let Some(arc) = search.graph.arc(to, from)
        {
            held += search.graph.rates()[arc.inward().rate as usize].fee(held);
        }
        hops.push(((from, to), held));
    }
    hops
}

/// Uses what each hop of a path holds for `amount`, `sign` times.
fn use_hops(search: &RouteSearch<'_>, nodes: &[u32], amount: u128, overlay: &mut Overlay, sign: i128) {
    for ((from, to), held) in held_on_hops(search, nodes, amount) {
        overlay.take(from, to, sign * held as i128);
    }
}
