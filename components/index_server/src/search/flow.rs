//! Splits where greedily chosen paths block each other: a flow that can undo what it has used of a hop (maximum flow by
//! successive cheapest paths), taken apart into few paths afterwards.
//!
//! While the flow grows, a hop against an existing flow has that much more capacity, at estimated fees. So the paths into
//! which the flow is taken apart are computed again, exactly, and what is missing then is filled up.

use super::overlay::Overlay;
use super::parts::{Parts, held_on_hops, largest_amount};
use super::route_search::{Part, RouteSearch};
use std::collections::BTreeMap;

/// The flow's steps are at least this share of the amount: less could not be one of few parts, or would take too long.
const STEPS: u128 = 256;

/// The first of them are such a share, so that a few wide paths are found before many narrow ones.
const FIRST_STEPS: usize = 8;

/// Credits that flow, by sender and receiver.
#[derive(Debug, Default)]
struct Flow {
    amounts: BTreeMap<(u32, u32), u128>,
}

/// A split of the whole amount over what `overlay` leaves.
pub(super) fn flow_split(search: &mut RouteSearch<'_>, overlay: &Overlay) -> Option<Vec<Part>> {
    let mut rest = grow(search, overlay)?;
    let mut parts = Parts::new(search.amount, overlay);
    while parts.parts.len() < search.bounds.parts && parts.left > 0 {
        let Some((nodes, width)) = rest.widest(search.source, search.destination, search.bounds.hops) else { break };
        rest.take(&search.hops(&nodes), width);
        // A cycle's flow can be taken apart into paths that end with the friend with which they begin.
        let is_allowed = search.source != search.destination || nodes.first() != nodes.iter().nth_back(1);
        if is_allowed {
            // The flow includes the fees; the last part takes what is left.
            parts.fill(search, nodes, width);
        }
    }
    parts.fill_up(search);
    parts.add(search, search.bounds.parts);
    parts.whole()
}

/// A flow of the amount from the source to the destination, with some more for fees upstream.
fn grow(search: &mut RouteSearch<'_>, overlay: &Overlay) -> Option<Flow> {
    let mut residual = overlay.clone();
    let mut flow = Flow::default();
    let mut left = search.amount;
    let mut step = search.amount.div_ceil(search.bounds.parts.min(FIRST_STEPS) as u128);
    let step_min = (search.amount / STEPS).max(1);
    while left > 0 {
        let amount = step.min(left);
        let Some(path) = search.path(amount, &residual) else {
            if step == step_min || search.work.is_used_up() {
                return None;
            }
            step = (step / 2).max(step_min);
            continue;
        };
        let amount = largest_amount(search, &path.nodes, left, &residual)?;
        for ((from, to), held) in held_on_hops(search, &path.nodes, amount) {
            residual.take(from, to, held as i128);
            residual.take(to, from, -(held as i128));
            flow.add(from, to, held);
        }
        left -= amount;
    }
    Some(flow)
}

impl Flow {
    /// Adds what flows from one node to another, or subtracts it from the opposite flow.
    fn add(&mut self, from: u32, to: u32, amount: u128) {
        let opposite = self.amounts.get(&(to, from)).copied().unwrap_or_default();
        let taken = opposite.min(amount);
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

    /// The path that carries most of the flow, and how much that is; of equal ones the shortest.
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
                    let is_return = *to == source && source != destination;
                    if !is_return && !is_wider_before && reached.get(to).is_none_or(|known| known.0 < width) {
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
