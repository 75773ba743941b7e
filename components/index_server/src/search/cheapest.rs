//! The cheapest route for an amount, with exact fees (protocol section 2).
//!
//! The amount frozen on a hop holds the fees of all mediators behind it. So exact costs are known only from the
//! destination backwards: a label says what it costs to get from a node to the destination. Fees never shrink when the
//! amount grows, so the least label is final (Dijkstra).
//!
//! From the source forwards a second search runs with the fees that the bare amount would cost: no route costs less.
//! 1. Both grow, the smaller one first, until no node outside of them can be on a cheaper route than the cheapest that
//!    they seem to form together. A route through a node that both know is reckoned exactly; when it costs no more than
//!    what seems possible, it is the cheapest.
//! 2. Otherwise the backward search goes on alone. What the forward search knows tells it the least that is missing
//!    (A*), and the best exact route what need not be looked at, until that route is the cheapest for certain.
//!
//! The bound on hops is not looked at; [`super::bounded_hops`] does when it matters. It may have a price set
//! on each hop; then all fees are those of the bare amount, and no route with fees and hops together is less.

use super::cost::Cost;
use super::marks::{Marks, NOBODY, Queue};
use super::task::{Budget, Route, Task};
use crate::graph::{pack_up, unpack};
use offst_proto::limits::AMOUNT_MAX;

/// Memory of a search, used again by the next.
#[derive(Debug)]
pub(crate) struct Memory<K> {
    marks: Marks<K>,
    back: Queue<K>,
    fore: Queue<K>,
}

impl<K: Cost> Default for Memory<K> {
    fn default() -> Self {
        Memory { marks: Marks::default(), back: Queue::default(), fore: Queue::default() }
    }
}

/// What came of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The cheapest route. When the budget is cut, the best that was seen. With a price on hops the fees are the whole
    /// that was made least, in the unit of that price.
    pub(crate) route: Option<Route>,
    /// Routes were left out because their fees are too large for the width of the costs.
    pub(crate) is_too_narrow: bool,
}

struct Search<'a, K> {
    task: &'a Task<'a>,
    budget: &'a mut Budget,
    marks: &'a mut Marks<K>,
    back: &'a mut Queue<K>,
    fore: &'a mut Queue<K>,
    /// The least that a route through a node known to both sides could cost.
    seeming: K,
    /// The exact cost of the best route known.
    best: K,
    best_nodes: Vec<u32>,
    /// Least cost of what waits on each side. A forward label at or above `fore_reach` says no more than that.
    back_reach: K,
    fore_reach: K,
    is_too_narrow: bool,
}

/// The cheapest route of `task`, however many hops it has.
pub(crate) fn cheapest<K: Cost>(task: &Task<'_>, budget: &mut Budget, memory: &mut Memory<K>) -> Outcome {
    let Memory { marks, back, fore } = memory;
    marks.clear();
    back.clear();
    fore.clear();
    for node in task.excluded {
        // Costs nothing and leads nowhere: no label is ever less.
        let mark = marks.mark(*node);
        (mark.back, mark.fore) = (K::default(), K::default());
    }
    let mut search = Search {
        task,
        budget,
        marks,
        back,
        fore,
        seeming: K::UNKNOWN,
        best: task.below.and_then(|(fees, hops)| K::new(fees, hops as u32)).unwrap_or(K::UNKNOWN),
        best_nodes: vec![],
        back_reach: K::default(),
        fore_reach: K::default(),
        is_too_narrow: false,
    };
    search.run();
    let Search { best, best_nodes, is_too_narrow, .. } = search;
    let route = (!best_nodes.is_empty()).then(|| Route { fees: best.fees(), nodes: best_nodes });
    Outcome { route, is_too_narrow }
}

impl<K: Cost> Search<'_, K> {
    fn run(&mut self) {
        if self.find_direct() || !self.expand_back(self.task.destination, K::default()) {
            return;
        }
        if !self.expand_fore(self.task.source, K::default()) {
            return;
        }
        if self.grow_both() && self.best > self.seeming.min(self.fore_reach.plus(self.back_reach)) {
            self.finish();
        }
    }

    /// One hop costs nothing, so nothing is cheaper.
    fn find_direct(&mut self) -> bool {
        let Task { source, destination, amount, .. } = *self.task;
        let is_allowed = !self.task.is_cycle() && self.task.may_be_first(destination) && self.task.may_be_last(source);
        let cost = self.task.hop_cost(0).unwrap_or_default();
        if !is_allowed
            || cost >= self.best
            || self.task.hop(source, destination).is_none_or(|(capacity, _)| capacity < amount)
        {
            return false;
        }
        (self.best, self.best_nodes) = (cost, vec![destination]);
        true
    }

    /// Grows both sides until the best that they seem to form cannot be beaten by what waits. False when the work is
    /// cut, or there is no route that they do not know.
    fn grow_both(&mut self) -> bool {
        loop {
            let Some(back) = self.first_back() else { return false };
            let fore = self.first_fore();
            self.back_reach = back.0;
            self.fore_reach = fore.map_or(K::UNKNOWN, |(cost, _)| cost);
            if self.fore_reach.plus(self.back_reach) >= self.seeming.min(self.best) {
                return true;
            }
            let is_going_on = match fore {
                Some((cost, node)) if self.fore.len() < self.back.len() => {
                    self.fore.pop();
                    self.expand_fore(node, cost)
                }
                _ => {
                    self.back.pop();
                    self.expand_back(back.1, back.0)
                }
            };
            if !is_going_on {
                return false;
            }
        }
    }

    /// The backward search alone, led by what the forward search knows.
    fn finish(&mut self) {
        let Search { marks, back, best, fore_reach, .. } = self;
        back.reckon_anew(|cost, node| {
            let mark = marks.find(node)?;
            let whole = cost.plus(mark.fore.min(*fore_reach));
            (mark.back == cost && whole < *best).then_some(whole)
        });
        while let Some((whole, node)) = self.back.pop() {
            if whole >= self.best {
                return;
            }
            let Some(mark) = self.marks.find(node) else { continue };
            let cost = mark.back;
            if cost.plus(mark.fore.min(self.fore_reach)) == whole && !self.expand_back_led(node, cost) {
                return;
            }
        }
    }

    fn first_back(&mut self) -> Option<(K, u32)> {
        while let Some((cost, node)) = self.back.peek() {
            if self.marks.find(node).is_some_and(|mark| mark.back == cost) {
                return Some((cost, node));
            }
            self.back.pop();
        }
        None
    }

    fn first_fore(&mut self) -> Option<(K, u32)> {
        while let Some((cost, node)) = self.fore.peek() {
            if self.marks.find(node).is_some_and(|mark| mark.fore == cost) {
                return Some((cost, node));
            }
            self.fore.pop();
        }
        None
    }

    fn expand_back(&mut self, node: u32, cost: K) -> bool {
        self.look_back(node, cost, false)
    }

    fn expand_back_led(&mut self, node: u32, cost: K) -> bool {
        self.look_back(node, cost, true)
    }

    /// Looks at everything that leads to `node`, which is `cost` away from the destination. False when the work is cut.
    fn look_back(&mut self, node: u32, cost: K, is_led: bool) -> bool {
        let task = self.task;
        let arcs = task.layer.arcs(node);
        if !self.budget.take(arcs.len()) {
            return false;
        }
        let leaving = task.leaving(cost);
        let is_destination = cost == K::default();
        let needed = pack_up(leaving);
        let look = Look::new(task, node);
        let rates = task.layer.rates();
        for arc in arcs {
            let (inward, sender) = (arc.inward(), arc.friend());
            // What is taken may be less than nothing: then only a look tells.
            let needs_look = look.is_needed(task, sender);
            if inward.capacity < needed && !needs_look {
                continue;
            }
            let fee = if is_destination { 0 } else { rates[inward.rate as usize].fee(leaving) };
            let arriving = leaving + fee;
            if (unpack(inward.capacity) < arriving && !needs_look) || arriving > AMOUNT_MAX {
                continue;
            }
            let Some(hop) = task.hop_cost(fee) else {
                self.is_too_narrow = true;
                continue;
            };
            let total = cost.plus(hop);
            if total >= self.best || (needs_look && !self.may_use(sender, node, arriving)) {
                continue;
            }
            if sender == task.source {
                if !is_destination && task.may_be_first(node) {
                    self.arrive(node, total);
                }
                continue;
            }
            if sender == task.destination || (is_destination && !task.may_be_last(sender)) {
                continue;
            }
            let mark = self.marks.mark(sender);
            if total >= mark.back {
                continue;
            }
            let whole = total.plus(mark.fore.min(self.fore_reach));
            if whole >= self.best {
                continue;
            }
            (mark.back, mark.next) = (total, node);
            let is_met = mark.fore < K::UNKNOWN;
            let meeting = total.plus(mark.fore);
            self.back.push(if is_led { whole } else { total }, sender);
            if is_met && !is_led {
                self.meet(sender, meeting);
            }
        }
        true
    }

    /// Looks at everything that `node` can send to, which is at least `cost` away from the source. False when the work
    /// is cut.
    fn expand_fore(&mut self, node: u32, cost: K) -> bool {
        let task = self.task;
        let arcs = task.layer.arcs(node);
        if !self.budget.take(arcs.len()) {
            return false;
        }
        let is_source = cost == K::default();
        let needed = pack_up(task.amount);
        let look = Look::new(task, node);
        let rates = task.layer.rates();
        for arc in arcs {
            let (outward, receiver) = (arc.outward(), arc.friend());
            let needs_look = look.is_needed(task, receiver);
            let is_too_small = outward.capacity < needed && !needs_look;
            if is_too_small || receiver == task.destination || receiver == task.source {
                continue;
            }
            let fee = rates[outward.rate as usize].fee(task.amount);
            let arriving = task.amount + fee;
            if unpack(outward.capacity) < arriving && !needs_look {
                continue;
            }
            // Too narrow: the backward search finds the same.
            let Some(hop) = task.hop_cost(fee) else {
                self.is_too_narrow = true;
                continue;
            };
            let total = cost.plus(hop);
            if total >= self.best
                || (needs_look && !self.may_use(node, receiver, arriving))
                || (is_source && !task.may_be_first(receiver))
            {
                continue;
            }
            let mark = self.marks.mark(receiver);
            if total >= mark.fore || total.plus(mark.back.min(self.back_reach)) >= self.best {
                continue;
            }
            (mark.fore, mark.before) = (total, node);
            let is_met = mark.back < K::UNKNOWN;
            let meeting = total.plus(mark.back);
            self.fore.push(total, receiver);
            if is_met {
                self.meet(receiver, meeting);
            }
        }
        true
    }

    fn may_use(&self, from: u32, to: u32, amount: u128) -> bool {
        self.task.hop(from, to).is_some_and(|(capacity, _)| capacity >= amount)
    }

    /// A node that both sides know. What it seems to cost is what the way there costs with the bare amount.
    fn meet(&mut self, node: u32, meeting: K) {
        self.seeming = self.seeming.min(meeting);
        if meeting >= self.best {
            return;
        }
        let mut before = vec![];
        let mut at = node;
        while at != self.task.source {
            before.push(at);
            at = self.marks.find(at).map_or(NOBODY, |mark| mark.before);
            if at == NOBODY {
                return;
            }
        }
        let Some(mark) = self.marks.find(node) else { return };
        let mut total = mark.back;
        for (position, to) in before.iter().enumerate() {
            let from = before.get(position + 1).copied().unwrap_or(self.task.source);
            let leaving = self.task.leaving(total);
            let Some((capacity, rate)) = self.task.hop(from, *to) else { return };
            let fee = rate.fee(leaving);
            if leaving + fee > capacity.min(AMOUNT_MAX) {
                return;
            }
            let Some(hop) = self.task.hop_cost(fee) else { return };
            total = total.plus(hop);
        }
        before.reverse();
        before.pop();
        self.keep(before, node, total);
    }

    /// The backward search has come to the source, by way of `first`.
    fn arrive(&mut self, first: u32, total: K) {
        self.keep(vec![], first, total);
    }

    /// A route: `start`, then `node` and what follows it to the destination.
    fn keep(&mut self, start: Vec<u32>, node: u32, total: K) {
        if total >= self.best {
            return;
        }
        let mut nodes = start;
        let mut at = node;
        while at != self.task.destination {
            nodes.push(at);
            at = self.marks.find(at).map_or(NOBODY, |mark| mark.next);
            if at == NOBODY {
                return;
            }
        }
        nodes.push(at);
        if nodes.len() <= self.task.hops && has_repetition(&nodes) {
            return;
        }
        (self.best, self.best_nodes) = (total, nodes);
    }
}

/// Which arcs of a node have to be looked at more closely than what is in them.
#[derive(Clone, Copy)]
struct Look {
    /// One may have expired.
    is_stale: bool,
    /// Of one, something may be taken.
    is_touched: bool,
}

impl Look {
    fn new(task: &Task<'_>, node: u32) -> Self {
        Look { is_stale: !task.layer.all_fresh(node, task.now_ms), is_touched: task.overlay.touches(node) }
    }

    #[inline]
    fn is_needed(self, task: &Task<'_>, friend: u32) -> bool {
        self.is_stale || (self.is_touched && task.overlay.touches(friend))
    }
}

fn has_repetition(nodes: &[u32]) -> bool {
    nodes.iter().enumerate().any(|(position, node)| nodes[position + 1..].contains(node))
}
