//! The cheapest route among those that are short enough, for the rare case that the cheapest of all is too long.
//!
//! A dearer label with fewer hops is kept beside a cheaper one with more: without that the bound on hops would hide
//! routes that exist. Labels become final in the order of their fees, so a new one matters when it has fewer hops than
//! all before it at the same node.

use super::marks::{Marks, NOBODY, Queue};
use super::task::{Budget, Route, Task};
use crate::graph::{pack_up, unpack};
use offst_proto::limits::AMOUNT_MAX;

/// Memory of a search, used again by the next.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// `back` holds the fewest hops of a final label.
    marks: Marks<u128>,
    queue: Queue<u128>,
    labels: Vec<Label>,
}

/// The end of a route: from `node` to the destination.
#[derive(Debug, Clone, Copy)]
struct Label {
    node: u32,
    hops: u32,
    /// What leaves the node, credits.
    leaving: u128,
    /// The label of the next node.
    next: u32,
}

/// Bits of the queue's costs in which the hops are.
const HOPS_BITS: u32 = 16;

/// The cheapest route of `task` with at most `task.hops` hops.
pub(crate) fn cheapest_bounded(task: &Task<'_>, budget: &mut Budget, memory: &mut Memory) -> Option<Route> {
    let Memory { marks, queue, labels } = memory;
    marks.clear();
    queue.clear();
    labels.clear();
    for node in task.excluded {
        marks.mark(*node).back = 0;
    }
    labels.push(Label { node: task.destination, hops: 0, leaving: task.amount, next: NOBODY });
    queue.push(0, 0);
    while let Some((_, position)) = queue.pop() {
        let label = labels[position as usize];
        let Label { node, hops, leaving, .. } = label;
        let is_destination = hops == 0;
        if !is_destination {
            if node == task.source {
                return Some(route(labels, label, task.amount));
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
        let arcs = task.layer.arcs(node);
        if !budget.take(arcs.len()) {
            return None;
        }
        let needed = pack_up(leaving);
        for arc in arcs {
            let (inward, sender) = (arc.inward(), arc.friend());
            let is_passed = sender == task.destination && !(task.is_cycle() && !is_destination);
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
            let known = if sender == task.source { None } else { marks.find(sender) };
            if !holds || known.is_some_and(|mark| mark.back <= u128::from(hops + 1)) {
                continue;
            }
            let cost = (arriving - task.amount) << HOPS_BITS | u128::from(hops + 1);
            queue.push(cost, labels.len() as u32);
            labels.push(Label { node: sender, hops: hops + 1, leaving: arriving, next: position });
        }
    }
    None
}

fn route(labels: &[Label], arrived: Label, amount: u128) -> Route {
    let mut nodes = Vec::with_capacity(arrived.hops as usize);
    let mut next = arrived.next;
    while next != NOBODY {
        nodes.push(labels[next as usize].node);
        next = labels[next as usize].next;
    }
    Route { nodes, fees: arrived.leaving - amount }
}
