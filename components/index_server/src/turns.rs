//! Whose search is next, and how many of whom run at a time: decisions only, the clock is an argument.
//!
//! A search that has begun is not interrupted. If every thread were busy with long searches for somebody who asks for many
//! of them, everybody else would wait until one ends. So what searches cost is counted by address, and those addresses
//! that lately had much more searched than their share are *heavy*: all of them together never get the last thread. Nor
//! do they begin while a change of the graph waits, which all searches that come after it would have to wait for.

use crate::fair_queue::FairQueue;
use crate::networks::{Network, networks};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What an address has had searched too much is forgotten after so many seconds at the latest.
const REMEMBERED_SECONDS: u64 = 4;

/// A search that may begin.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Turn<J> {
    pub(crate) job: J,
    pub(crate) ticket: Ticket,
}

/// Has to be given back when the search has ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    address: IpAddr,
    is_heavy: bool,
}

/// The searches that wait.
#[derive(Debug)]
pub(crate) struct Turns<J> {
    queue: FairQueue<J>,
    usage: Usage,
    heavy_max: usize,
    heavy_running: usize,
    is_change_waiting: bool,
}

impl<J> Turns<J> {
    /// For so many threads. An address may have `work_per_second` arcs looked at, and `work_at_once` more.
    pub(crate) fn new(queue: FairQueue<J>, threads: usize, work_per_second: u64, work_at_once: u64) -> Self {
        let usage = Usage { per_second: work_per_second, at_once: work_at_once, of_networks: BTreeMap::new() };
        // With one thread nobody can be spared.
        let heavy_max = threads.saturating_sub(1).max(1);
        Turns { queue, usage, heavy_max, heavy_running: 0, is_change_waiting: false }
    }

    /// As [`FairQueue::push`].
    pub(crate) fn push(&mut self, address: IpAddr, job: J) -> Option<J> {
        self.queue.push(address, job)
    }

    /// The next search that may begin now.
    pub(crate) fn next(&mut self, now_ms: u64) -> Option<Turn<J>> {
        let Turns { queue, usage, heavy_max, heavy_running, is_change_waiting } = self;
        let may_heavy = !*is_change_waiting && *heavy_running < *heavy_max;
        let (address, job) = queue.pop(|address| may_heavy || !usage.is_heavy(address, now_ms))?;
        let is_heavy = usage.is_heavy(&address, now_ms);
        *heavy_running += usize::from(is_heavy);
        Some(Turn { job, ticket: Ticket { address, is_heavy } })
    }

    /// A search has ended, after it looked at so many arcs.
    pub(crate) fn ended(&mut self, ticket: Ticket, work: u64, now_ms: u64) {
        let Ticket { address, is_heavy } = ticket;
        self.heavy_running -= usize::from(is_heavy);
        self.usage.charge(address, work, now_ms);
    }

    /// A change of the graph waits for searches to end, or does not any more.
    pub(crate) fn set_change_waiting(&mut self, is_waiting: bool) {
        self.is_change_waiting = is_waiting;
    }

    /// Whether a search for a heavy address runs.
    pub(crate) fn is_heavy_running(&self) -> bool {
        self.heavy_running > 0
    }

    /// Forgets those who have had no more than their share.
    pub(crate) fn sweep(&mut self, now_ms: u64) {
        self.usage.sweep(now_ms);
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.len()
    }
}

/// What was searched for each address, and for each wider network of it, beyond its share.
#[derive(Debug)]
struct Usage {
    per_second: u64,
    at_once: u64,
    of_networks: BTreeMap<Network, Excess>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Excess {
    /// Thousandths of an arc.
    work: u64,
    reckoned_ms: u64,
}

impl Usage {
    fn charge(&mut self, address: IpAddr, work: u64, now_ms: u64) {
        for network in networks(address) {
            let excess = self.excess(&network, now_ms).saturating_add(work.saturating_mul(1000));
            let bound = self.per_second(&network).saturating_mul(1000 * REMEMBERED_SECONDS);
            self.of_networks.insert(network, Excess { work: excess.min(bound), reckoned_ms: now_ms });
        }
    }

    fn is_heavy(&self, address: &IpAddr, now_ms: u64) -> bool {
        let at_once = |network: &Network| self.at_once.saturating_mul(1000 * network.factor() as u64);
        networks(*address).iter().any(|network| self.excess(network, now_ms) > at_once(network))
    }

    fn per_second(&self, network: &Network) -> u64 {
        self.per_second.saturating_mul(network.factor() as u64)
    }

    /// What is left of it by now.
    fn excess(&self, network: &Network, now_ms: u64) -> u64 {
        let Excess { work, reckoned_ms } = self.of_networks.get(network).copied().unwrap_or_default();
        work.saturating_sub(now_ms.saturating_sub(reckoned_ms).saturating_mul(self.per_second(network)))
    }

    fn sweep(&mut self, now_ms: u64) {
        let rested: Vec<_> =
            self.of_networks.keys().filter(|network| self.excess(network, now_ms) == 0).copied().collect();
        for network in rested {
            self.of_networks.remove(&network);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    /// Two threads, 1000 arcs a second, 100 more at once.
    fn turns() -> Turns<u8> {
        Turns::new(FairQueue::new(100, 50), 2, 1000, 100)
    }

    fn begin(turns: &mut Turns<u8>, now_ms: u64) -> Option<(u8, Ticket)> {
        turns.next(now_ms).map(|Turn { job, ticket }| (job, ticket))
    }

    /// Address 1 has asked for so much that it is heavy for 400 ms.
    fn with_heavy() -> Turns<u8> {
        let mut turns = turns();
        for _ in 0..10 {
            turns.push(address(1), 1);
        }
        let (_, ticket) = begin(&mut turns, 0).unwrap();
        turns.ended(ticket, 500, 0);
        turns
    }

    #[test]
    fn the_heavy_never_get_the_last_thread() {
        let mut turns = with_heavy();
        let (_, first) = begin(&mut turns, 0).unwrap();
        assert_eq!(begin(&mut turns, 0), None, "the other thread is for others");
        turns.push(address(2), 2);
        let (job, other) = begin(&mut turns, 0).unwrap();
        assert_eq!(job, 2);
        turns.ended(other, 100, 0);
        turns.push(address(2), 2);
        assert!(begin(&mut turns, 0).is_some_and(|(job, _)| job == 2), "as much as is allowed is not heavy");
        turns.ended(first, 0, 0);
        assert!(begin(&mut turns, 0).is_some_and(|(job, _)| job == 1));
    }

    #[test]
    fn with_one_thread_the_heavy_are_served_too() {
        let mut turns = Turns::new(FairQueue::new(100, 50), 1, 1000, 100);
        for _ in 0..5 {
            turns.push(address(1), 1);
            let (_, ticket) = begin(&mut turns, 0).unwrap();
            turns.ended(ticket, 1_000_000, 0);
        }
    }

    #[test]
    fn while_a_change_waits_only_light_searches_begin() {
        let mut turns = with_heavy();
        turns.set_change_waiting(true);
        assert_eq!(begin(&mut turns, 0), None);
        turns.push(address(2), 2);
        assert!(begin(&mut turns, 0).is_some_and(|(job, _)| job == 2));
        assert!(!turns.is_heavy_running());
        turns.set_change_waiting(false);
        assert!(begin(&mut turns, 0).is_some_and(|(job, _)| job == 1));
        assert!(turns.is_heavy_running());
    }

    #[test]
    fn time_makes_up_for_it_and_then_nothing_is_remembered() {
        let mut turns = with_heavy();
        let (_, first) = begin(&mut turns, 399).unwrap();
        assert_eq!(begin(&mut turns, 399), None);
        assert!(begin(&mut turns, 400).is_some(), "100 is no more than is allowed");
        turns.ended(first, u64::MAX, 400);
        turns.sweep(4_399);
        assert_eq!(turns.usage.of_networks.len(), 1);
        turns.sweep(4_400);
        assert!(turns.usage.of_networks.is_empty(), "however much it was");
        assert!(begin(&mut turns, 0).is_some(), "a clock that is set back does no harm");
    }

    #[test]
    fn many_networks_of_one_customer_are_heavy_together() {
        let at = |network: u16| IpAddr::V6([0x2001, 0xdb8, 1, network, 0, 0, 0, 1].into());
        let mut turns = turns();
        let mut light = 0;
        for number in 0..10 {
            turns.push(at(number << 8), 1);
            let Turn { ticket, .. } = turns.next(0).unwrap();
            light += usize::from(!ticket.is_heavy);
            turns.ended(ticket, 90, 0);
        }
        // Each has less than may be searched at once; after five the /48 has had more than four times as much.
        assert_eq!(light, 5);
    }
}
