//! Splits: several routes that carry the amount together.
//!
//! First by greed: the cheapest route that carries a fair share of what is left, filled up, then the next over what the
//! parts before leave. Few parts are tried before many. Where greed blocks itself, [`super::flow`] can take back.

use super::overlay::Overlay;
use super::task::Route;
use super::{Part, Search, fees, sort};

impl Search<'_> {
    /// Different splits, cheapest first.
    pub(super) fn different_splits(&mut self) -> Vec<Vec<Part>> {
        let exclusions = self.exclusions.clone();
        let Some(first) = self.split(&exclusions) else { return vec![] };
        let mut ways = vec![first];
        // Others do without the middle of one part of the first.
        let mut parts = ways[0].clone();
        parts.sort_by_key(|part| std::cmp::Reverse(part.amount));
        for part in parts {
            if ways.len() == self.bounds.ways || self.budget.is_used_up() {
                break;
            }
            let mut overlay = exclusions.clone();
            self.exclude_middle(&part.route.nodes, &mut overlay);
            if let Some(way) = self.greedy_split(&overlay)
                && !ways.contains(&way)
            {
                ways.push(way);
            }
        }
        sort(&mut ways);
        ways
    }

    /// A split that costs less than `single`, which carries the whole amount: over routes that hold only a part of it.
    pub(super) fn cheaper_split(&mut self, single: &Route) -> Option<Vec<Part>> {
        if self.bounds.parts < 2 || self.amount < 2 || single.fees == 0 {
            return None;
        }
        let exclusions = self.exclusions.clone();
        let half = self.route(self.amount.div_ceil(2), &exclusions)?;
        // Two such halves are hardly dearer than the cheapest split in two.
        if half.fees.saturating_mul(2) >= single.fees {
            return None;
        }
        self.greedy_split_of(2, &exclusions).filter(|parts| fees(parts) < single.fees)
    }

    /// A split over what `overlay` leaves.
    fn split(&mut self, overlay: &Overlay) -> Option<Vec<Part>> {
        if !self.ends_hold_amount() {
            return None;
        }
        self.greedy_split(overlay).or_else(|| self.flow_split(overlay))
    }

    fn greedy_split(&mut self, overlay: &Overlay) -> Option<Vec<Part>> {
        let parts_max = self.bounds.parts;
        let mut counts = vec![2, 4, 8, parts_max];
        counts.retain(|count| (2..=parts_max).contains(count));
        counts.dedup();
        counts.into_iter().find_map(|count| self.greedy_split_of(count, overlay))
    }

    /// A split of at most `count` parts.
    fn greedy_split_of(&mut self, count: usize, overlay: &Overlay) -> Option<Vec<Part>> {
        let mut filled = Filled { overlay: overlay.clone(), parts: vec![], left: self.amount };
        while filled.left > 0 && filled.parts.len() < count {
            let share = filled.left.div_ceil((count - filled.parts.len()) as u128);
            let route = self.route(share, &filled.overlay)?;
            self.fill(&mut filled, route.nodes, u128::MAX)?;
        }
        (filled.left == 0).then_some(filled.parts)
    }

    /// Adds a part over `nodes` that carries as much as possible of what is left, at most `most`. None when that is
    /// nothing.
    pub(super) fn fill(&self, filled: &mut Filled, nodes: Vec<u32>, most: u128) -> Option<()> {
        let amount = self.most(&nodes, filled.left.min(most), &filled.overlay)?;
        let total = self.total(&nodes, amount, &filled.overlay)?;
        self.take(&nodes, amount, &mut filled.overlay, 1);
        filled.left -= amount;
        filled.parts.push(Part { route: Route { nodes, fees: total - amount }, amount });
        Some(())
    }

    /// The largest amount up to `most` that a route carries over what `overlay` leaves. None when it carries nothing.
    pub(super) fn most(&self, nodes: &[u32], most: u128, overlay: &Overlay) -> Option<u128> {
        let carries = |amount| self.total(nodes, amount, overlay).is_some();
        if carries(most) {
            return (most > 0).then_some(most);
        }
        // Fees never shrink when the amount grows, so what is too much stays too much.
        let (mut good, mut bad) = (0, most);
        while bad - good > 1 {
            let middle = good + (bad - good) / 2;
            if carries(middle) {
                good = middle;
            } else {
                bad = middle;
            }
        }
        (good > 0).then_some(good)
    }

    /// Takes what `amount` along `nodes` freezes on each hop, `sign` times.
    pub(super) fn take(&self, nodes: &[u32], amount: u128, overlay: &mut Overlay, sign: i128) {
        let mut carried = amount;
        let hops = self.hops(nodes);
        for (position, (from, to)) in hops.into_iter().enumerate().rev() {
            if position + 1 < nodes.len()
                && let Some(arc) = self.layer.arc(to, from)
            {
                carried += self.layer.rates()[arc.inward().rate as usize].fee(carried);
            }
            overlay.take(from, to, sign * carried as i128);
        }
    }

    /// Whether as many friendships of source and destination as a way has parts hold the amount.
    fn ends_hold_amount(&self) -> bool {
        let holds = |mut capacities: Vec<u128>| {
            capacities.sort_unstable_by(|one, other| other.cmp(one));
            capacities.iter().take(self.bounds.parts).sum::<u128>() >= self.amount
        };
        let source = self.layer.arcs(self.source).iter();
        let destination = self.layer.arcs(self.destination).iter();
        holds(source.map(|arc| crate::graph::unpack(arc.outward().capacity)).collect())
            && holds(destination.map(|arc| crate::graph::unpack(arc.inward().capacity)).collect())
    }
}

/// A split under way.
#[derive(Debug, Clone)]
pub(super) struct Filled {
    /// With what the parts take.
    pub(super) overlay: Overlay,
    pub(super) parts: Vec<Part>,
    /// What no part carries yet, credits.
    pub(super) left: u128,
}
