//! The cheapest route among those that are short enough, for the rare case that the cheapest of all is too long.
//!
//! A dearer label with fewer hops is kept beside a cheaper one with more: without that the bound on hops would hide
//! routes that exist. Labels of one node become final in the order of their fees, so a new one matters when it has fewer
//! hops than all before it. As in [`super::cheapest`] a forward search comes first and tells the least that is missing.

use super::cost::Cost;
use super::marks::{Marks, NOBODY, Queue};
use super::task::{Budget, Route, Task};
use crate::graph::{pack_up, unpack};
use offst_proto::limits::AMOUNT_MAX;

/// Memory of a search, used again by the next.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// `back` holds the fewest hops of a final label, `fore` the least that a way from the source costs.
    marks: Marks<u128>,
    fore: Queue<u128>,
    back: Queue<u128>,
    labels: Vec<Label>,
}

/// The end of a route: from `node` to the destination.
#[derive(Debug, Clone, Copy)]
struct Label {
    node: u32,
    hops: u32,
    cost: u128,
    /// The label of the next node.
    next: u32,
}

/// The forward search takes at most this share of the work.
const FORWARD_SHARE: usize = 3;

/// The cheapest route of `task` with at most `task.hops` hops, if it costs less than `task.below`. No route has lower fees
/// than `least`.
pub(crate) fn cheapest_bounded(
    task: &Task<'_>,
    least: u128,
    budget: &mut Budget,
    memory: &mut Memory,
) -> Option<Route> {
    let Memory { marks, fore, back, labels } = memory;
    marks.clear();
    fore.clear();
    back.clear();
    labels.clear();
    for node in task.excluded {
        (marks.mark(*node).back, marks.mark(*node).fore) = (0, 0);
    }
    let below = task.below.and_then(|(fees, hops)| u128::new(fees, hops as u32)).unwrap_or(u128::UNKNOWN);
    let reach = look_ahead(task, least, budget, marks, fore)?;
    labels.push(Label { node: task.destination, hops: 0, cost: 0, next: NOBODY });
    back.push(0, 0);
    while let Some((_, position)) = back.pop() {
        let label = labels[position as usize];
        let Label { node, hops, cost, .. } = label;
        let is_destination = hops == 0;
        if !is_destination {
            if node == task.source {
                return Some(route(labels, label));
            }
            let mark = marks.mark(node);
            if mark.back <= hops.into() {
                continue;
            }
            mark.back = hops.into();
        }
        if hops as usize >= task.hops {
            continue;
        }
        let leaving = task.amount + cost.fees();
        let arcs = task.layer.arcs(node);
        if !budget.take(arcs.len()) {
            return None;
        }
        let needed = pack_up(leaving);
        for arc in arcs {
            let (inward, sender) = (arc.inward(), arc.friend());
            let is_passed = sender == task.destination && (is_destination || !task.is_cycle());
            let is_wrong_end =
                (is_destination && !task.may_be_last(sender)) || (sender == task.source && !task.may_be_first(node));
            if inward.capacity < needed || is_passed || is_wrong_end {
                continue;
            }
            let rate = task.layer.rates()[inward.rate as usize];
            let arriving = leaving + if is_destination { 0 } else { rate.fee(leaving) };
            let holds = arriving <= AMOUNT_MAX
                && unpack(inward.capacity) >= arriving
                && task.hop(sender, node).is_some_and(|(capacity, _)| capacity >= arriving);
            if !holds {
                continue;
            }
            let Some(hop) = u128::new(arriving - leaving, 1) else { continue };
            let total = cost.plus(hop);
            let missing = if sender == task.source {
                0
            } else {
                let mark = marks.find(sender);
                if mark.is_some_and(|mark| mark.back <= u128::from(hops + 1)) {
                    continue;
                }
                mark.map_or(reach, |mark| mark.fore.min(reach))
            };
            let whole = total.plus(missing);
            if whole < below {
                back.push(whole, labels.len() as u32);
                labels.push(Label { node: sender, hops: hops + 1, cost: total, next: position });
            }
        }
    }
    None
}

/// Marks nodes with the least that a way from the source costs. What is not marked costs at least what is returned. None
/// when the work is cut.
fn look_ahead(
    task: &Task<'_>,
    least: u128,
    budget: &mut Budget,
    marks: &mut Marks<u128>,
    queue: &mut Queue<u128>,
) -> Option<u128> {
    let floor = budget.left - budget.left / FORWARD_SHARE;
    let needed = pack_up(task.amount);
    queue.push(0, task.source);
    while let Some((cost, node)) = queue.pop() {
        let is_source = cost == 0;
        if !is_source && marks.mark(node).fore != cost {
            continue;
        }
        if cost.fees() * 2 > least || budget.left < floor {
            return Some(cost);
        }
        let arcs = task.layer.arcs(node);
        if !budget.take(arcs.len()) {
            return None;
        }
        for arc in arcs {
            let (outward, receiver) = (arc.outward(), arc.friend());
            let is_end = receiver == task.source || receiver == task.destination;
            if is_end || outward.capacity < needed || (is_source && !task.may_be_first(receiver)) {
                continue;
            }
            let fee = task.layer.rates()[outward.rate as usize].fee(task.amount);
            let Some(hop) = u128::new(fee, 1) else { continue };
            let total = cost.plus(hop);
            let mark = marks.mark(receiver);
            if total < mark.fore {
                mark.fore = total;
                queue.push(total, receiver);
            }
        }
    }
    Some(u128::UNKNOWN)
}

fn route(labels: &[Label], arrived: Label) -> Route {
    let mut nodes = Vec::with_capacity(arrived.hops as usize);
    let mut next = arrived.next;
    while next != NOBODY {
        nodes.push(labels[next as usize].node);
        next = labels[next as usize].next;
    }
    Route { nodes, fees: arrived.cost.fees() }
}
