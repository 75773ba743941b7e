//! The cheapest path among those that are short enough, for the rare case that the cheapest of all is too long.
//!
//! A dearer label with fewer hops is kept beside a cheaper one with more; otherwise the bound on hops would hide paths that
//! exist. Labels of one node become final in the order of their fees, so a new one matters when it has fewer hops than all
//! before it. As in [`super::cheapest`] a forward search comes first and gives a lower bound of what is missing.

use super::cost::Cost;
use super::marks::{Marks, NO_NODE, Queue};
use super::path_query::{Path, PathQuery};
use super::work::SearchWork;
use crate::graph::{pack_up, unpack};
use offst_proto::Amount;

/// Memory of a search, used again by the next.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// `backward` holds the fewest hops of a final label, `forward` a lower bound of the cost from the source.
    marks: Marks<u128>,
    forward: Queue<u128>,
    backward: Queue<u128>,
    labels: Vec<Label>,
}

/// The end of a path: from `node` to the destination.
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

/// The cheapest path of `query` with at most `query.hops` hops, if it costs less than `query.below`. No path has lower fees
/// than `least`.
pub(crate) fn cheapest_bounded(
    query: &PathQuery<'_>,
    least: u128,
    work: &mut SearchWork,
    memory: &mut Memory,
) -> Option<Path> {
    let Memory { marks, forward, backward, labels } = memory;
    marks.clear();
    forward.clear();
    backward.clear();
    labels.clear();
    for node in query.excluded {
        (marks.mark(*node).backward, marks.mark(*node).forward) = (0, 0);
    }
    let below = query.below.and_then(|(fees, hops)| u128::new(fees, hops as u32)).unwrap_or(u128::UNKNOWN);
    let reach = look_ahead(query, least, work, marks, forward)?;
    labels.push(Label { node: query.destination, hops: 0, cost: 0, next: NO_NODE });
    backward.push(0, 0);
    while let Some((_, position)) = backward.pop() {
        let label = labels[position as usize];
        let Label { node, hops, cost, .. } = label;
        let is_destination = hops == 0;
        if !is_destination {
            if node == query.source {
                return Some(path(labels, label));
            }
            let mark = marks.mark(node);
            if mark.backward <= hops.into() {
                continue;
            }
            mark.backward = hops.into();
        }
        if hops as usize >= query.hops {
            continue;
        }
        let leaving = query.amount + cost.fees();
        let arcs = query.graph.arcs(node);
        if !work.take(arcs.len()) {
            return None;
        }
        let needed = pack_up(leaving);
        for arc in arcs {
            let (inward, sender) = (arc.inward(), arc.friend());
            let is_passed = sender == query.destination && (is_destination || !query.is_cycle());
            let is_wrong_end =
                (is_destination && !query.may_be_last(sender)) || (sender == query.source && !query.may_be_first(node));
            if inward.capacity < needed || is_passed || is_wrong_end {
                continue;
            }
            let rate = query.graph.rates()[inward.rate as usize];
            let arriving = leaving + if is_destination { 0 } else { rate.fee(leaving) };
            let holds = arriving <= Amount::MAX.credits()
                && unpack(inward.capacity) >= arriving
                && query.hop(sender, node).is_some_and(|(capacity, _)| capacity >= arriving);
            if !holds {
                continue;
            }
            let Some(hop) = u128::new(arriving - leaving, 1) else { continue };
            let total = cost.plus(hop);
            let missing = if sender == query.source {
                0
            } else {
                let mark = marks.find(sender);
                if mark.is_some_and(|mark| mark.backward <= u128::from(hops + 1)) {
                    continue;
                }
                mark.map_or(reach, |mark| mark.forward.min(reach))
            };
            let whole = total.plus(missing);
            if whole < below {
                backward.push(whole, labels.len() as u32);
                labels.push(Label { node: sender, hops: hops + 1, cost: total, next: position });
            }
        }
    }
    None
}

/// Marks nodes with a lower bound of the cost from the source. What is not marked costs at least what is returned. None
/// when the work is cut.
fn look_ahead(
    query: &PathQuery<'_>,
    least: u128,
    work: &mut SearchWork,
    marks: &mut Marks<u128>,
    queue: &mut Queue<u128>,
) -> Option<u128> {
    let floor = work.left - work.left / FORWARD_SHARE;
    let needed = pack_up(query.amount);
    queue.push(0, query.source);
    while let Some((cost, node)) = queue.pop() {
        let is_source = cost == 0;
        if !is_source && marks.mark(node).forward != cost {
            continue;
        }
        if cost.fees() * 2 > least || work.left < floor {
            return Some(cost);
        }
        let arcs = query.graph.arcs(node);
        if !work.take(arcs.len()) {
            return None;
        }
        for arc in arcs {
            let (outward, receiver) = (arc.outward(), arc.friend());
            let is_end = receiver == query.source || receiver == query.destination;
            if is_end || outward.capacity < needed || (is_source && !query.may_be_first(receiver)) {
                continue;
            }
            let fee = query.graph.rates()[outward.rate as usize].fee(query.amount);
            let Some(hop) = u128::new(fee, 1) else { continue };
            let total = cost.plus(hop);
            let mark = marks.mark(receiver);
            if total < mark.forward {
                mark.forward = total;
                queue.push(total, receiver);
            }
        }
    }
    Some(u128::UNKNOWN)
}

fn path(labels: &[Label], arrived: Label) -> Path {
    let mut nodes = Vec::with_capacity(arrived.hops as usize);
    let mut next = arrived.next;
    while next != NO_NODE {
        nodes.push(labels[next as usize].node);
        next = labels[next as usize].next;
    }
    Path { nodes, fees: arrived.cost.fees() }
}
