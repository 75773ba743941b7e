//! The cheapest path for an amount, with exact fees (protocol section 2).
//!
//! What a hop holds includes the fees of all mediators after it. So exact costs are known only from the destination
//! backwards: a label says what it costs to get from a node to the destination. Fees never shrink when the amount grows, so
//! the least label is final (Dijkstra).
//!
//! From the source forwards a second search runs with the fees that the bare amount would cost: no path costs less.
//! 1. Both grow, the one with the shorter queue first, until no node outside of them can be on a cheaper path than the
//!    cheapest that they are estimated to form together. A path through a node that both know is computed exactly; when it
//!    costs no more than the estimate, it is the cheapest.
//! 2. Otherwise the backward search goes on alone. What the forward search knows gives it a lower bound of what is missing
//!    (A*), and the best exact path says what need not be looked at, until that path is certainly the cheapest.
//!
//! The bound on hops is not looked at; [`super::bounded_hops`] does when it matters. The query may have a price for each
//! hop; then all fees are those of the bare amount, and no path has a smaller sum of fees and prices.

use super::cost::Cost;
use super::marks::{Marks, NO_NODE, Queue};
use super::path_query::{Path, PathQuery};
use super::work::SearchWork;
use crate::graph::{pack_up, unpack};
use offst_proto::Amount;

/// Memory of a search, used again by the next.
#[derive(Debug)]
pub(crate) struct Memory<K> {
    marks: Marks<K>,
    backward: Queue<K>,
    forward: Queue<K>,
}

impl<K: Cost> Default for Memory<K> {
    fn default() -> Self {
        Memory { marks: Marks::default(), backward: Queue::default(), forward: Queue::default() }
    }
}

/// What came of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The cheapest path. When the work is cut, the best that was seen. With a price on hops the fees are the sum that was
    /// minimized, in the unit of that price.
    pub(crate) path: Option<Path>,
    /// Paths were left out because their fees are too large for the width of the costs.
    pub(crate) is_too_narrow: bool,
}

struct BidirectionalSearch<'a, K> {
    query: &'a PathQuery<'a>,
    work: &'a mut SearchWork,
    marks: &'a mut Marks<K>,
    backward: &'a mut Queue<K>,
    forward: &'a mut Queue<K>,
    /// The least that a path through a node known to both sides could cost.
    estimate: K,
    /// The exact cost of the best path known.
    best: K,
    best_nodes: Vec<u32>,
    /// The least cost in the queue of each side. A forward label at or above `forward_reach` says no more than that.
    backward_reach: K,
    forward_reach: K,
    is_too_narrow: bool,
}

/// The cheapest path of `query`, however many hops it has.
pub(crate) fn cheapest<K: Cost>(query: &PathQuery<'_>, work: &mut SearchWork, memory: &mut Memory<K>) -> Outcome {
    let Memory { marks, backward, forward } = memory;
    marks.clear();
    backward.clear();
    forward.clear();
    for node in query.excluded {
        // Costs nothing and is in no queue: no label is ever less.
        let mark = marks.mark(*node);
        (mark.backward, mark.forward) = (K::default(), K::default());
    }
    let mut search = BidirectionalSearch {
        query,
        work,
        marks,
        backward,
        forward,
        estimate: K::UNKNOWN,
        best: query.below.and_then(|(fees, hops)| K::new(fees, hops as u32)).unwrap_or(K::UNKNOWN),
        best_nodes: vec![],
        backward_reach: K::default(),
        forward_reach: K::default(),
        is_too_narrow: false,
    };
    search.run();
    let BidirectionalSearch { best, best_nodes, is_too_narrow, .. } = search;
    let path = (!best_nodes.is_empty()).then(|| Path { fees: best.fees(), nodes: best_nodes });
    Outcome { path, is_too_narrow }
}

impl<K: Cost> BidirectionalSearch<'_, K> {
    fn run(&mut self) {
        if self.find_direct() || !self.expand_backward(self.query.destination, K::default()) {
            return;
        }
        if !self.expand_forward(self.query.source, K::default()) {
            return;
        }
        if self.grow_both() && self.best > self.estimate.min(self.forward_reach.plus(self.backward_reach)) {
            self.finish();
        }
    }

    /// One hop costs nothing, so nothing is cheaper.
    fn find_direct(&mut self) -> bool {
        let PathQuery { source, destination, amount, .. } = *self.query;
        let is_allowed =
            !self.query.is_cycle() && self.query.may_be_first(destination) && self.query.may_be_last(source);
        let cost = self.query.hop_cost(0).unwrap_or_default();
        if !is_allowed
            || cost >= self.best
            || self.query.hop(source, destination).is_none_or(|(capacity, _)| capacity < amount)
        {
            return false;
        }
        (self.best, self.best_nodes) = (cost, vec![destination]);
        true
    }

    /// Grows both sides until what waits cannot be better than the best that they are estimated to form. False when the
    /// work is cut, or there is no path that they do not know.
    fn grow_both(&mut self) -> bool {
        loop {
            let Some(backward) = self.first_backward() else { return false };
            let forward = self.first_forward();
            self.backward_reach = backward.0;
            self.forward_reach = forward.map_or(K::UNKNOWN, |(cost, _)| cost);
            if self.forward_reach.plus(self.backward_reach) >= self.estimate.min(self.best) {
                return true;
            }
            let is_going_on = match forward {
                Some((cost, node)) if self.forward.len() < self.backward.len() => {
                    self.forward.pop();
                    self.expand_forward(node, cost)
                }
                _ => {
                    self.backward.pop();
                    self.expand_backward(backward.1, backward.0)
                }
            };
            if !is_going_on {
                return false;
            }
        }
    }

    /// The backward search alone, guided by what the forward search knows.
    fn finish(&mut self) {
        let BidirectionalSearch { marks, backward, best, forward_reach, .. } = self;
        backward.reprice(|cost, node| {
            let mark = marks.find(node)?;
            let whole = cost.plus(mark.forward.min(*forward_reach));
            (mark.backward == cost && whole < *best).then_some(whole)
        });
        while let Some((whole, node)) = self.backward.pop() {
            if whole >= self.best {
                return;
            }
            let Some(mark) = self.marks.find(node) else { continue };
            let cost = mark.backward;
            if cost.plus(mark.forward.min(self.forward_reach)) == whole && !self.expand_backward_guided(node, cost) {
                return;
            }
        }
    }

    fn first_backward(&mut self) -> Option<(K, u32)> {
        while let Some((cost, node)) = self.backward.peek() {
            if self.marks.find(node).is_some_and(|mark| mark.backward == cost) {
                return Some((cost, node));
            }
            self.backward.pop();
        }
        None
    }

    fn first_forward(&mut self) -> Option<(K, u32)> {
        while let Some((cost, node)) = self.forward.peek() {
            if self.marks.find(node).is_some_and(|mark| mark.forward == cost) {
                return Some((cost, node));
            }
            self.forward.pop();
        }
        None
    }

    fn expand_backward(&mut self, node: u32, cost: K) -> bool {
        self.look_backward(node, cost, false)
    }

    fn expand_backward_guided(&mut self, node: u32, cost: K) -> bool {
        self.look_backward(node, cost, true)
    }

    /// Looks at everything that leads to `node`, which is `cost` away from the destination. False when the work is cut.
    fn look_backward(&mut self, node: u32, cost: K, is_guided: bool) -> bool {
        let query = self.query;
        let arcs = query.graph.arcs(node);
        if !self.work.take(arcs.len()) {
            return false;
        }
        let leaving = query.leaving(cost);
        let is_destination = cost == K::default();
        let needed = pack_up(leaving);
        let check = ArcCheck::new(query, node);
        let rates = query.graph.rates();
        for arc in arcs {
            let (inward, sender) = (arc.inward(), arc.friend());
            // The overlay can leave more than the capacity; then the arc has to be checked in any case.
            let needs_check = check.is_needed(query, sender);
            if inward.capacity < needed && !needs_check {
                continue;
            }
            let fee = if is_destination { 0 } else { rates[inward.rate as usize].fee(leaving) };
            let arriving = leaving + fee;
            if (unpack(inward.capacity) < arriving && !needs_check) || arriving > Amount::MAX.credits() {
                continue;
            }
            let Some(hop) = query.hop_cost(fee) else {
                self.is_too_narrow = true;
                continue;
            };
            let total = cost.plus(hop);
            if total >= self.best || (needs_check && !self.may_use(sender, node, arriving)) {
                continue;
            }
            if sender == query.source {
                if !is_destination && query.may_be_first(node) {
                    self.arrive(node, total);
                }
                continue;
            }
            if sender == query.destination || (is_destination && !query.may_be_last(sender)) {
                continue;
            }
            let mark = self.marks.mark(sender);
            if total >= mark.backward {
                continue;
            }
            let whole = total.plus(mark.forward.min(self.forward_reach));
            if whole >= self.best {
                continue;
            }
            (mark.backward, mark.next) = (total, node);
            let is_joined = mark.forward < K::UNKNOWN;
            let joined = total.plus(mark.forward);
            self.backward.push(if is_guided { whole } else { total }, sender);
            if is_joined && !is_guided {
                self.join_at(sender, joined);
            }
        }
        true
    }

    /// Looks at everything that `node` can send to, which is at least `cost` away from the source. False when the work
    /// is cut.
    fn expand_forward(&mut self, node: u32, cost: K) -> bool {
        let query = self.query;
        let arcs = query.graph.arcs(node);
        if !self.work.take(arcs.len()) {
            return false;
        }
        let is_source = cost == K::default();
        let needed = pack_up(query.amount);
        let check = ArcCheck::new(query, node);
        let rates = query.graph.rates();
        for arc in arcs {
            let (outward, receiver) = (arc.outward(), arc.friend());
            let needs_check = check.is_needed(query, receiver);
            let is_too_small = outward.capacity < needed && !needs_check;
            if is_too_small || receiver == query.destination || receiver == query.source {
                continue;
            }
            let fee = rates[outward.rate as usize].fee(query.amount);
            let arriving = query.amount + fee;
            if unpack(outward.capacity) < arriving && !needs_check {
                continue;
            }
            // Too narrow: the backward search finds the same.
            let Some(hop) = query.hop_cost(fee) else {
                self.is_too_narrow = true;
                continue;
            };
            let total = cost.plus(hop);
            if total >= self.best
                || (needs_check && !self.may_use(node, receiver, arriving))
                || (is_source && !query.may_be_first(receiver))
            {
                continue;
            }
            let mark = self.marks.mark(receiver);
            if total >= mark.forward || total.plus(mark.backward.min(self.backward_reach)) >= self.best {
                continue;
            }
            (mark.forward, mark.before) = (total, node);
            let is_joined = mark.backward < K::UNKNOWN;
            let joined = total.plus(mark.backward);
            self.forward.push(total, receiver);
            if is_joined {
                self.join_at(receiver, joined);
            }
        }
        true
    }

    fn may_use(&self, from: u32, to: u32, amount: u128) -> bool {
        self.query.hop(from, to).is_some_and(|(capacity, _)| capacity >= amount)
    }

    /// A node that both sides know. The estimate takes the cost from the source with the bare amount.
    fn join_at(&mut self, node: u32, joined: K) {
        self.estimate = self.estimate.min(joined);
        if joined >= self.best {
            return;
        }
        let mut before = vec![];
        let mut at = node;
        while at != self.query.source {
            before.push(at);
            at = self.marks.find(at).map_or(NO_NODE, |mark| mark.before);
            if at == NO_NODE {
                return;
            }
        }
        let Some(mark) = self.marks.find(node) else { return };
        let mut total = mark.backward;
        for (position, to) in before.iter().enumerate() {
            let from = before.get(position + 1).copied().unwrap_or(self.query.source);
            let leaving = self.query.leaving(total);
            let Some((capacity, rate)) = self.query.hop(from, *to) else { return };
            let fee = rate.fee(leaving);
            if leaving + fee > capacity.min(Amount::MAX.credits()) {
                return;
            }
            let Some(hop) = self.query.hop_cost(fee) else { return };
            total = total.plus(hop);
        }
        before.reverse();
        before.pop();
        self.keep(before, node, total);
    }

    /// The backward search has arrived at the source, through `first`.
    fn arrive(&mut self, first: u32, total: K) {
        self.keep(vec![], first, total);
    }

    /// A path: `start`, then `node` and what follows it to the destination.
    fn keep(&mut self, start: Vec<u32>, node: u32, total: K) {
        if total >= self.best {
            return;
        }
        let mut nodes = start;
        let mut at = node;
        while at != self.query.destination {
            nodes.push(at);
            at = self.marks.find(at).map_or(NO_NODE, |mark| mark.next);
            if at == NO_NODE {
                return;
            }
        }
        nodes.push(at);
        if nodes.len() <= self.query.hops && has_repetition(&nodes) {
            return;
        }
        (self.best, self.best_nodes) = (total, nodes);
    }
}

/// Whether the arcs of a node have to be checked beyond what they hold themselves.
#[derive(Clone, Copy)]
struct ArcCheck {
    /// Some may have expired.
    is_stale: bool,
    /// The overlay may contain some.
    is_touched: bool,
}

impl ArcCheck {
    fn new(query: &PathQuery<'_>, node: u32) -> Self {
        ArcCheck { is_stale: !query.graph.all_fresh(node, query.now_ms), is_touched: query.overlay.touches(node) }
    }

    #[inline]
    fn is_needed(self, query: &PathQuery<'_>, friend: u32) -> bool {
        self.is_stale || (self.is_touched && query.overlay.touches(friend))
    }
}

fn has_repetition(nodes: &[u32]) -> bool {
    nodes.iter().enumerate().any(|(position, node)| nodes[position + 1..].contains(node))
}
