//! Which search runs next, and how many of each address run at a time: decisions only, the clock is an argument.
//!
//! A search that has begun is not interrupted. If every thread were busy with long searches for one address that asks for
//! many of them, all others would wait until one ends. So what searches cost is counted by address, and those addresses
//! that recently had much more searched than their share are *heavy*: all of them together never get the last thread. Nor
//! do their searches begin while a change of the graph waits, because all later searches would have to wait for it.

use crate::fair_queue::FairQueue;
use offst_secure_channel::{Network, networks};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What an address has had searched above its share is forgotten after so many seconds at the latest.
const EXCESS_SECONDS_MAX: u64 = 4;

/// A search that may begin.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Scheduled<Q> {
    pub(crate) query: Q,
    pub(crate) permit: Permit,
}

/// Has to be given back when the search has ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Permit {
    address: IpAddr,
    is_heavy: bool,
}

/// The searches that wait, and what was searched for each address.
#[derive(Debug)]
pub(crate) struct SearchScheduler<Q> {
    queue: FairQueue<Q>,
    excess: ExcessByNetwork,
    heavy_max: usize,
    heavy_running: usize,
    is_change_waiting: bool,
}

impl<Q> SearchScheduler<Q> {
    /// For so many threads. An address may have `work_per_second` arcs looked at, and `work_at_once` more.
    pub(crate) fn new(queue: FairQueue<Q>, threads: usize, work_per_second: u64, work_at_once: u64) -> Self {
        let excess =
            ExcessByNetwork { per_second: work_per_second, at_once: work_at_once, of_networks: BTreeMap::new() };
        // With one thread, none can be kept free.
        let heavy_max = threads.saturating_sub(1).max(1);
        SearchScheduler { queue, excess, heavy_max, heavy_running: 0, is_change_waiting: false }
    }

    /// As [`FairQueue::push`].
    pub(crate) fn push(&mut self, address: IpAddr, query: Q) -> Option<Q> {
        self.queue.push(address, query)
    }

    /// The next search that may begin now.
    pub(crate) fn next(&mut self, now_ms: u64) -> Option<Scheduled<Q>> {
        let SearchScheduler { queue, excess, heavy_max, heavy_running, is_change_waiting } = self;
        let may_heavy = !*is_change_waiting && *heavy_running < *heavy_max;
        let (address, query) = queue.pop(|address| may_heavy || !excess.is_heavy(address, now_ms))?;
        let is_heavy = excess.is_heavy(&address, now_ms);
        *heavy_running += usize::from(is_heavy);
        Some(Scheduled { query, permit: Permit { address, is_heavy } })
    }

    /// A search has ended, after it looked at so many arcs.
    pub(crate) fn finish(&mut self, permit: Permit, work: u64, now_ms: u64) {
        let Permit { address, is_heavy } = permit;
        self.heavy_running -= usize::from(is_heavy);
        self.excess.charge(address, work, now_ms);
    }

    /// A change of the graph waits for searches to end, or does not any more.
    pub(crate) fn set_change_waiting(&mut self, is_waiting: bool) {
        self.is_change_waiting = is_waiting;
    }

    /// Whether a search for a heavy address runs.
    pub(crate) fn is_heavy_running(&self) -> bool {
        self.heavy_running > 0
    }

    /// Forgets addresses that have had no more than their share.
    pub(crate) fn sweep(&mut self, now_ms: u64) {
        self.excess.sweep(now_ms);
    }

    /// How many searches wait.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.len()
    }
}

/// What was searched for each address, and for each wider network of it, above its share.
#[derive(Debug)]
struct ExcessByNetwork {
    per_second: u64,
    at_once: u64,
    of_networks: BTreeMap<Network, Excess>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Excess {
    /// Thousandths of an arc.
    work: u64,
    updated_ms: u64,
}

impl ExcessByNetwork {
    fn charge(&mut self, address: IpAddr, work: u64, now_ms: u64) {
        for network in networks(address) {
            let excess = self.excess(&network, now_ms).saturating_add(work.saturating_mul(1000));
            let bound = self.per_second(&network).saturating_mul(1000 * EXCESS_SECONDS_MAX);
            self.of_networks.insert(network, Excess { work: excess.min(bound), updated_ms: now_ms });
        }
    }

    fn is_heavy(&self, address: &IpAddr, now_ms: u64) -> bool {
        let at_once = |network: &Network| self.at_once.saturating_mul(1000 * network.shares() as u64);
        networks(*address).any(|network| self.excess(&network, now_ms) > at_once(&network))
    }

    fn per_second(&self, network: &Network) -> u64 {
        self.per_second.saturating_mul(network.shares() as u64)
    }

    /// What is left of the excess by now.
    fn excess(&self, network: &Network, now_ms: u64) -> u64 {
        let Excess { work, updated_ms } = self.of_networks.get(network).copied().unwrap_or_default();
        work.saturating_sub(now_ms.saturating_sub(updated_ms).saturating_mul(self.per_second(network)))
    }

    fn sweep(&mut self, now_ms: u64) {
        let unused: Vec<_> =
            self.of_networks.keys().filter(|network| self.excess(network, now_ms) == 0).copied().collect();
        for network in unused {
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
    fn scheduler() -> SearchScheduler<u8> {
        SearchScheduler::new(FairQueue::new(100, 50), 2, 1000, 100)
    }

    fn begin(scheduler: &mut SearchScheduler<u8>, now_ms: u64) -> Option<(u8, Permit)> {
        scheduler.next(now_ms).map(|Scheduled { query, permit }| (query, permit))
    }

    /// Address 1 has asked for so much that it is heavy for 400 ms.
    fn with_heavy() -> SearchScheduler<u8> {
        let mut scheduler = scheduler();
        for _ in 0..10 {
            scheduler.push(address(1), 1);
        }
        let (_, permit) = begin(&mut scheduler, 0).unwrap();
        scheduler.finish(permit, 500, 0);
        scheduler
    }

    #[test]
    fn the_heavy_never_get_the_last_thread() {
        let mut scheduler = with_heavy();
        let (_, first) = begin(&mut scheduler, 0).unwrap();
        assert_eq!(begin(&mut scheduler, 0), None, "the other thread is for others");
        scheduler.push(address(2), 2);
        let (query, other) = begin(&mut scheduler, 0).unwrap();
        assert_eq!(query, 2);
        scheduler.finish(other, 100, 0);
        scheduler.push(address(2), 2);
        assert!(begin(&mut scheduler, 0).is_some_and(|(query, _)| query == 2), "as much as is allowed is not heavy");
        scheduler.finish(first, 0, 0);
        assert!(begin(&mut scheduler, 0).is_some_and(|(query, _)| query == 1));
    }

    #[test]
    fn with_one_thread_the_heavy_are_served_too() {
        let mut scheduler = SearchScheduler::new(FairQueue::new(100, 50), 1, 1000, 100);
        for _ in 0..5 {
            scheduler.push(address(1), 1);
            let (_, permit) = begin(&mut scheduler, 0).unwrap();
            scheduler.finish(permit, 1_000_000, 0);
        }
    }

    #[test]
    fn while_a_change_waits_only_light_searches_begin() {
        let mut scheduler = with_heavy();
        scheduler.set_change_waiting(true);
        assert_eq!(begin(&mut scheduler, 0), None);
        scheduler.push(address(2), 2);
        assert!(begin(&mut scheduler, 0).is_some_and(|(query, _)| query == 2));
        assert!(!scheduler.is_heavy_running());
        scheduler.set_change_waiting(false);
        assert!(begin(&mut scheduler, 0).is_some_and(|(query, _)| query == 1));
        assert!(scheduler.is_heavy_running());
    }

    #[test]
    fn excess_ends_with_time_and_then_nothing_is_remembered() {
        let mut scheduler = with_heavy();
        let (_, first) = begin(&mut scheduler, 399).unwrap();
        assert_eq!(begin(&mut scheduler, 399), None);
        assert!(begin(&mut scheduler, 400).is_some(), "100 is no more than is allowed");
        scheduler.finish(first, u64::MAX, 400);
        scheduler.sweep(4_399);
        assert_eq!(scheduler.excess.of_networks.len(), 1);
        scheduler.sweep(4_400);
        assert!(scheduler.excess.of_networks.is_empty(), "however much it was");
        assert!(begin(&mut scheduler, 0).is_some(), "a clock that is set back does no harm");
    }

    #[test]
    fn many_networks_of_one_customer_are_heavy_together() {
        let at = |network: u16| IpAddr::V6([0x2001, 0xdb8, 1, network, 0, 0, 0, 1].into());
        let mut scheduler = scheduler();
        let mut light = 0;
        for number in 0..10 {
            scheduler.push(at(number << 8), 1);
            let Scheduled { permit, .. } = scheduler.next(0).unwrap();
            light += usize::from(!permit.is_heavy);
            scheduler.finish(permit, 90, 0);
        }
        // Each has less than may be searched at once; after five the /48 has had more than four times as much.
        assert_eq!(light, 5);
    }
}
