//! What waits for the core: a lane for each party, and the parties take turns. So a friend or an application that brings more
//! than its share waits itself, and nobody else does: the thread takes one job of each before a second one of anybody. All that
//! waits is taken together all the same, because what becomes durable together costs one write.

use crate::core::Job;
use offst_crypto::PublicKey;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Places of one party. Whoever brings more waits.
const PLACES: u32 = 256;
/// A job takes one place more for so many bytes: what waits of one party is bounded in bytes, too.
const PLACE_BYTES: usize = 8 * 1024;

/// Who brings a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Party {
    /// The node itself: what the index servers answer.
    Node,
    /// A friend, over whatever connections, and what is found for it.
    Friend(PublicKey),
    /// An application of the owner.
    App(PublicKey),
}

/// The core has ended: nobody takes jobs any more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closed;

struct Lane {
    jobs: VecDeque<(Job, Option<OwnedSemaphorePermit>)>,
    places: Arc<Semaphore>,
}

impl Default for Lane {
    fn default() -> Self {
        Lane { jobs: VecDeque::new(), places: Arc::new(Semaphore::new(PLACES as usize)) }
    }
}

#[derive(Default)]
struct Lanes {
    lanes: BTreeMap<Party, Lane>,
    /// The parties that have jobs waiting, each once: the first is the next.
    turns: VecDeque<Party>,
    is_closed: bool,
}

impl Lanes {
    fn push(&mut self, party: Party, job: Job, permit: Option<OwnedSemaphorePermit>) -> Result<(), Closed> {
        if self.is_closed {
            return Err(Closed);
        }
        let lane = self.lanes.entry(party).or_default();
        if lane.jobs.is_empty() {
            self.turns.push_back(party);
        }
        lane.jobs.push_back((job, permit));
        Ok(())
    }

    fn pop(&mut self) -> Option<Job> {
        let party = self.turns.pop_front()?;
        let lane = self.lanes.get_mut(&party).expect("whose turn it is has a lane");
        let (job, permit) = lane.jobs.pop_front().expect("whose turn it is has a job");
        drop(permit);
        if !lane.jobs.is_empty() {
            self.turns.push_back(party);
        } else if Arc::strong_count(&lane.places) == 1 {
            // Nobody waits for a place: those who do hold the lane's places, too.
            self.lanes.remove(&party);
        }
        Some(job)
    }
}

#[derive(Default)]
struct Shared {
    lanes: Mutex<Lanes>,
    arrived: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Lanes> {
        // Nothing is left half done in here even if a thread panicked while it held the lock: the node ends then.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where jobs are brought.
#[derive(Clone)]
pub(crate) struct Jobs(Arc<Shared>);

impl Jobs {
    /// Brings a job of so many bytes once its party has a place for it. Those of one party are taken in the order in which they
    /// were brought.
    pub(crate) async fn bring(&self, party: Party, job: Job, bytes: usize) -> Result<(), Closed> {
        let places = {
            let mut lanes = self.0.lock();
            if lanes.is_closed {
                return Err(Closed);
            }
            lanes.lanes.entry(party).or_default().places.clone()
        };
        let count = u32::try_from(1 + bytes / PLACE_BYTES).unwrap_or(PLACES).min(PLACES);
        let permit = places.acquire_many_owned(count).await.map_err(|_| Closed)?;
        self.0.lock().push(party, job, Some(permit))?;
        self.0.arrived.notify_one();
        Ok(())
    }

    /// Brings a job without waiting for a place. For what is bounded in number otherwise.
    pub(crate) fn bring_now(&self, party: Party, job: Job) -> Result<(), Closed> {
        self.0.lock().push(party, job, None)?;
        self.0.arrived.notify_one();
        Ok(())
    }
}

/// Where jobs are taken. Dropping it ends everybody's waiting.
pub(crate) struct WaitingJobs(Arc<Shared>);

impl WaitingJobs {
    /// The next job, if one waits.
    pub(crate) fn take(&mut self) -> Option<Job> {
        self.0.lock().pop()
    }

    /// Waits for the next job. Cancel safe.
    pub(crate) async fn next(&mut self) -> Job {
        loop {
            if let Some(job) = self.take() {
                return job;
            }
            self.0.arrived.notified().await;
        }
    }
}

impl Drop for WaitingJobs {
    fn drop(&mut self) {
        let left = {
            let mut lanes = self.0.lock();
            lanes.is_closed = true;
            lanes.lanes.values().for_each(|lane| lane.places.close());
            lanes.turns.clear();
            std::mem::take(&mut lanes.lanes)
        };
        // Outside the lock: whoever waits for a reply hears that there is none.
        drop(left);
    }
}

/// A queue of jobs.
pub(crate) fn queue() -> (Jobs, WaitingJobs) {
    let shared = Arc::new(Shared::default());
    (Jobs(shared.clone()), WaitingJobs(shared))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use offst_crypto::Identity;
    use offst_funder::Input;
    use std::collections::BTreeMap;
    use tokio::task::coop::unconstrained;

    fn friend(seed: u8) -> Party {
        Party::Friend(Identity::from_seed([seed; 32]).public_key())
    }

    /// A job that says whose it is.
    fn job(party: Party, number: u64) -> Job {
        let key = match party {
            Party::Node => return Job::Input(Input::Tick),
            Party::Friend(key) | Party::App(key) => key,
        };
        Job::Input(Input::Disconnected(key, number))
    }

    fn whose(job: &Job) -> Option<(PublicKey, u64)> {
        match job {
            Job::Input(Input::Disconnected(key, number)) => Some((*key, *number)),
            _ => None,
        }
    }

    #[tokio::test]
    async fn one_job_of_each_before_a_second_one_of_anybody() {
        let (jobs, mut waiting) = queue();
        let [one, other] = [friend(1), friend(2)];
        for number in 0..u64::from(PLACES) {
            jobs.bring(one, job(one, number), 0).await.unwrap();
        }
        jobs.bring(other, job(other, 0), 0).await.unwrap();
        jobs.bring(other, job(other, 1), 0).await.unwrap();
        jobs.bring(Party::Node, job(Party::Node, 0), 0).await.unwrap();
        let taken: Vec<_> = (0..5).map(|_| whose(&waiting.take().unwrap())).collect();
        let expected = [(one, 0), (other, 0)].map(|(party, number)| whose(&job(party, number)));
        assert_eq!(taken[..2], expected);
        assert_eq!(taken[2], None, "the node's own");
        assert_eq!(taken[4], whose(&job(other, 1)));
        // All that waits is taken together, in the order of each.
        let rest: Vec<_> = std::iter::from_fn(|| waiting.take()).map(|job| whose(&job).unwrap().1).collect();
        assert_eq!(rest, (2..u64::from(PLACES)).collect::<Vec<_>>());
        assert!(waiting.0.lock().lanes.is_empty());
    }

    #[tokio::test]
    async fn whoever_brings_too_much_waits_and_nobody_else() {
        let (jobs, mut waiting) = queue();
        let [one, other] = [friend(1), friend(2)];
        let mut brought: BTreeMap<Party, u64> = BTreeMap::new();
        for (party, bytes, count) in [(one, 0, PLACES), (other, PLACE_BYTES, PLACES / 2)] {
            while unconstrained(jobs.bring(party, job(party, 0), bytes)).now_or_never().is_some() {
                *brought.entry(party).or_default() += 1;
            }
            assert_eq!(brought[&party], u64::from(count));
        }
        unconstrained(jobs.bring(friend(3), job(friend(3), 0), usize::MAX)).now_or_never().unwrap().unwrap();
        // Those who wait are served in the order in which they came.
        let (late, later) = (jobs.bring(one, job(one, 7), 0), jobs.bring(one, job(one, 8), 0));
        let (mut late, mut later) = (Box::pin(unconstrained(late)), Box::pin(unconstrained(later)));
        assert!(late.as_mut().now_or_never().is_none() && later.as_mut().now_or_never().is_none());
        jobs.bring_now(one, job(one, 6)).unwrap();
        assert_eq!(whose(&waiting.take().unwrap()), whose(&job(one, 0)));
        late.await.unwrap();
        assert!(later.as_mut().now_or_never().is_none());
        let all: Vec<_> = std::iter::from_fn(|| waiting.take()).filter_map(|job| whose(&job)).collect();
        assert_eq!(all.iter().rev().map(|(_, number)| *number).take(2).collect::<Vec<_>>(), [7, 6]);
        later.await.unwrap();
        assert_eq!(whose(&waiting.next().await), whose(&job(one, 8)));
    }

    #[tokio::test]
    async fn the_end_is_told_to_all_who_wait() {
        let (jobs, waiting) = queue();
        let one = friend(1);
        while unconstrained(jobs.bring(one, job(one, 0), 0)).now_or_never().is_some() {}
        let mut late = Box::pin(jobs.bring(one, job(one, 1), 0));
        assert!(late.as_mut().now_or_never().is_none());
        drop(waiting);
        assert_eq!(late.await, Err(Closed));
        assert_eq!(jobs.bring(one, job(one, 1), 0).await, Err(Closed));
        assert_eq!(jobs.bring_now(one, job(one, 1)), Err(Closed));
        assert!(jobs.0.lock().lanes.is_empty());
    }
}
