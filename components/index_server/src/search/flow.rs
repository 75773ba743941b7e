//! Splits where greed has blocked itself: a flow that can take back what it has put on a hop (maximum flow by successive
//! cheapest paths), taken apart into few routes afterwards.
//!
//! While the flow grows, a hop against which something flows has that much more room, at fees that are a guess. So the
//! routes into which the flow is taken apart are reckoned anew, exactly, and what is missing then is filled up.

use super::overlay::Overlay;
use super::split::Filled;
use super::{Part, Search};
use std::collections::BTreeMap;

/// The flow's steps are at least this share of the amount: less could not be one of few parts, or would take too long.
const STEPS: u128 = 256;

/// The first of them are such a share, so that a few wide routes are found before many narrow ones.
const FIRST_STEPS: usize = 8;

/// Credits that flow, by sender and receiver.
#[derive(Debug, Default)]
struct Flow {
    amounts: BTreeMap<(u32, u32), u128>,
}

impl Search<'_> {
    /// A split of the whole amount over what `overlay` leaves.
    pub(super) fn flow_split(&mut self, overlay: &Overlay) -> Option<Vec<Part>> {
        let flow = self.grow(overlay)?;
        let mut filled = Filled { overlay: overlay.clone(), parts: vec![], left: self.amount };
        let mut rest = flow;
        while filled.parts.len() < self.bounds.parts && filled.left > 0 {
            let Some((nodes, width)) = rest.widest(self.source, self.destination, self.bounds.hops) else { break };
            rest.take(&self.hops(&nodes), width);
            // A cycle's flow can be taken apart into routes that come back over the friend by whom they left.
            let is_allowed = self.source != self.destination || nodes.first() != nodes.iter().nth_back(1);
            if is_allowed {
                // What flows holds the fees; the last part takes what is left.
                self.fill(&mut filled, nodes, width);
            }
        }
        self.fill_up(&mut filled);
        self.add_parts(&mut filled);
        (filled.left == 0).then_some(filled.parts)
    }

    /// A flow of the amount from the source to the destination, with some more for fees upstream.
    fn grow(&mut self, overlay: &Overlay) -> Option<Flow> {
        let mut residual = overlay.clone();
        let mut flow = Flow::default();
        let mut left = self.amount;
        let mut step = self.amount.div_ceil(self.bounds.parts.min(FIRST_STEPS) as u128);
        let step_min = (self.amount / STEPS).max(1);
        while left > 0 {
            let amount = step.min(left);
            let Some(route) = self.route(amount, &residual) else {
                if step == step_min || self.budget.is_used_up() {
                    return None;
                }
                step = (step / 2).max(step_min);
                continue;
            };
            let amount = self.most(&route.nodes, left, &residual)?;
            let hops = self.hops(&route.nodes);
            let mut carried = amount;
            for (position, (from, to)) in hops.into_iter().enumerate().rev() {
                if position + 1 < route.nodes.len()
                    && let Some(arc) = self.layer.arc(to, from)
                {
                    carried += self.layer.rates()[arc.inward().rate as usize].fee(carried);
                }
                residual.take(from, to, carried as i128);
                residual.take(to, from, -(carried as i128));
                flow.add(from, to, carried);
            }
            left -= amount;
        }
        Some(flow)
    }

    /// Lets parts carry more, each as much as it can, over what the others leave.
    fn fill_up(&self, filled: &mut Filled) {
        for position in 0..filled.parts.len() {
            if filled.left == 0 {
                return;
            }
            let part = filled.parts.remove(position);
            self.take(&part.route.nodes, part.amount, &mut filled.overlay, -1);
            filled.left += part.amount;
            // It has carried its amount before, so it still does.
            self.fill(filled, part.route.nodes, u128::MAX);
            if let Some(part) = filled.parts.pop() {
                filled.parts.insert(position, part);
            }
        }
    }

    /// Adds the cheapest routes for what is missing still.
    fn add_parts(&mut self, filled: &mut Filled) {
        while filled.left > 0 && filled.parts.len() < self.bounds.parts {
            let share = filled.left.div_ceil((self.bounds.parts - filled.parts.len()) as u128);
            let Some(route) = self.route(share, &filled.overlay) else { return };
            if self.fill(filled, route.nodes, u128::MAX).is_none() {
                return;
            }
        }
    }
}

impl Flow {
    /// Adds what flows from one node to another, or takes it from what flows back.
    fn add(&mut self, from: u32, to: u32, amount: u128) {
        let back = self.amounts.get(&(to, from)).copied().unwrap_or_default();
        let taken = back.min(amount);
        if taken > 0 {
            self.take(&[(to, from)], taken);
        }
        if amount > taken {
            *self.amounts.entry((from, to)).or_default() += amount - taken;
        }
    }

    fn take(&mut self, hops: &[(u32, u32)], amount: u128) {
        for hop in hops {
            if let Some(known) = self.amounts.get_mut(hop) {
                *known = known.saturating_sub(amount);
                if *known == 0 {
                    self.amounts.remove(hop);
                }
            }
        }
    }

    /// The path on which most flows and how much that is; of equal ones the shortest.
    fn widest(&self, source: u32, destination: u32, hops_max: usize) -> Option<(Vec<u32>, u128)> {
        // By hops: the most that can flow to a node in exactly so many. Flows are small, so nothing clever is needed.
        let mut rounds: Vec<BTreeMap<u32, (u128, u32)>> = vec![BTreeMap::from([(source, (u128::MAX, source))])];
        let mut best: Option<(usize, u128)> = None;
        for round in 0..hops_max {
            let mut reached: BTreeMap<u32, (u128, u32)> = BTreeMap::new();
            for (node, (width, _)) in &rounds[round] {
                if round > 0 && *node == destination {
                    continue;
                }
                for ((_, to), amount) in self.amounts.range((*node, 0)..=(*node, u32::MAX)) {
                    let width = *width.min(amount);
                    let is_wider_before = rounds[1..].iter().any(|r| r.get(to).is_some_and(|known| known.0 >= width));
                    let is_back = *to == source && source != destination;
                    if !is_back && !is_wider_before && reached.get(to).is_none_or(|known| known.0 < width) {
                        reached.insert(*to, (width, *node));
                    }
                }
            }
            if let Some((width, _)) = reached.get(&destination)
                && best.is_none_or(|(_, known)| known < *width)
            {
                best = Some((round + 1, *width));
            }
            if reached.is_empty() {
                break;
            }
            rounds.push(reached);
        }
        let (length, width) = best?;
        let mut nodes = vec![destination];
        for round in (2..=length).rev() {
            let (_, before) = rounds[round].get(nodes.last()?)?;
            nodes.push(*before);
        }
        nodes.reverse();
        Some((nodes, width))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opposite_flows_cancel_and_the_widest_path_is_found() {
        let mut flow = Flow::default();
        for (from, to, amount) in [(0, 1, 5), (1, 2, 5), (0, 2, 3), (2, 3, 7), (2, 1, 2)] {
            flow.add(from, to, amount);
        }
        assert_eq!(flow.amounts[&(1, 2)], 3);
        assert_eq!(flow.widest(0, 3, 5), Some((vec![2, 3], 3)));
        flow.take(&[(0, 2), (2, 3)], 3);
        assert_eq!(flow.widest(0, 3, 5), Some((vec![1, 2, 3], 3)));
        assert_eq!(flow.widest(0, 3, 2), None);
    }
}
