//! Who is served next when there is more to do than threads: decisions only.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::ops::Bound;

/// Jobs that wait, by the address they came from. Addresses are served in turn, whatever the number of jobs or connections
/// of each; the jobs of one address in the order in which they came. Never longer than its bounds.
#[derive(Debug)]
pub(crate) struct FairQueue<J> {
    jobs_max: usize,
    jobs_per_address_max: usize,
    jobs: BTreeMap<IpAddr, VecDeque<J>>,
    len: usize,
    /// Who was served last.
    served: Option<IpAddr>,
}

impl<J> FairQueue<J> {
    pub(crate) fn new(jobs_max: usize, jobs_per_address_max: usize) -> Self {
        FairQueue { jobs_max, jobs_per_address_max, jobs: BTreeMap::new(), len: 0, served: None }
    }

    /// Adds a job. Gives back the job that there is no room for: this one when its address has enough waiting; when there
    /// are too many altogether, the latest of the address that has most.
    pub(crate) fn push(&mut self, address: IpAddr, job: J) -> Option<J> {
        let of_address = self.jobs.get(&address).map_or(0, VecDeque::len);
        if of_address >= self.jobs_per_address_max {
            return Some(job);
        }
        let mut displaced = None;
        if self.len >= self.jobs_max {
            let longest = self.jobs.iter().max_by_key(|(_, jobs)| jobs.len()).map(|(longest, _)| *longest);
            match longest.and_then(|longest| self.jobs.get_mut(&longest)).filter(|jobs| jobs.len() > of_address + 1) {
                Some(jobs) => displaced = jobs.pop_back(),
                None => return Some(job),
            }
            self.len -= 1;
        }
        self.jobs.entry(address).or_default().push_back(job);
        self.len += 1;
        displaced
    }

    /// The next job and its address: of those addresses that may be served, the first one that comes after the one served
    /// last.
    pub(crate) fn pop(&mut self, may_be_served: impl Fn(&IpAddr) -> bool) -> Option<(IpAddr, J)> {
        let behind = self.served.map_or(Bound::Unbounded, Bound::Excluded);
        let mut in_turn = self.jobs.range((behind, Bound::Unbounded)).chain(&self.jobs);
        let address = in_turn.find(|(address, _)| may_be_served(address)).map(|(address, _)| *address)?;
        let jobs = self.jobs.get_mut(&address)?;
        let job = jobs.pop_front()?;
        if jobs.is_empty() {
            self.jobs.remove(&address);
        }
        self.served = Some(address);
        self.len -= 1;
        Some((address, job))
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn next<J>(queue: &mut FairQueue<J>) -> Option<J> {
        queue.pop(|_| true).map(|(_, job)| job)
    }

    #[test]
    fn one_that_asks_much_delays_the_others_by_one_job_each() {
        let mut queue = FairQueue::new(1000, 100);
        for number in 0..100 {
            assert_eq!(queue.push(address(7), (7, number)), None);
        }
        // Its first one is being served when the others come; wherever they stand in the order, each is served within
        // one turn of all addresses.
        assert_eq!(next(&mut queue), Some((7, 0)));
        queue.push(address(1), (1, 0));
        queue.push(address(9), (9, 0));
        queue.push(address(1), (1, 1));
        let served: Vec<_> = std::iter::from_fn(|| next(&mut queue)).take(6).collect();
        assert_eq!(served, [(9, 0), (1, 0), (7, 1), (1, 1), (7, 2), (7, 3)]);
    }

    #[test]
    fn an_honest_query_waits_for_one_hostile_query_of_each_address() {
        for hostile in 1..20u8 {
            let mut queue = FairQueue::new(1024, 64);
            let mut honest_waited = Vec::new();
            let mut waiting = None;
            for round in 0..500u32 {
                for attacker in 0..hostile {
                    // Twice as many as can be served.
                    queue.push(address(100 + attacker), false);
                    queue.push(address(100 + attacker), false);
                }
                if waiting.is_none() && round % 3 == 0 {
                    assert!(!queue.push(address(200 - hostile), true).is_some_and(|job| job));
                    waiting = Some(0);
                }
                for _ in 0..hostile {
                    match next(&mut queue) {
                        Some(true) => honest_waited.extend(waiting.take()),
                        _ => waiting = waiting.map(|waited| waited + 1),
                    }
                }
                assert!(queue.len() <= 1024);
            }
            assert!(honest_waited.len() > 100);
            assert!(honest_waited.iter().all(|waited| *waited <= hostile), "{hostile}: {honest_waited:?}");
        }
    }

    #[test]
    fn who_may_not_be_served_is_passed_over() {
        let mut queue = FairQueue::new(10, 10);
        for last in [1, 2, 1, 3] {
            queue.push(address(last), last);
        }
        assert_eq!(queue.pop(|other| *other != address(1)), Some((address(2), 2)));
        assert_eq!(queue.pop(|other| *other == address(1)), Some((address(1), 1)));
        assert_eq!(queue.pop(|other| *other == address(2)), None);
        assert_eq!((next(&mut queue), next(&mut queue), next(&mut queue)), (Some(3), Some(1), None));
    }

    #[test]
    fn a_full_queue_has_room_for_whoever_has_least() {
        let mut queue = FairQueue::new(4, 3);
        for number in 0..3 {
            assert_eq!(queue.push(address(1), (1, number)), None);
        }
        assert_eq!(queue.push(address(1), (1, 3)), Some((1, 3)), "enough of one address");
        assert_eq!(queue.push(address(2), (2, 0)), None);
        assert_eq!(queue.push(address(3), (3, 0)), Some((1, 2)));
        assert_eq!(queue.push(address(4), (4, 0)), Some((1, 1)));
        assert_eq!(queue.push(address(5), (5, 0)), Some((5, 0)), "everybody has one");
        assert_eq!(queue.len(), 4);
        assert_eq!(std::iter::from_fn(|| next(&mut queue)).count(), 4);
        assert_eq!((queue.len(), queue.jobs.len()), (0, 0));
    }
}
