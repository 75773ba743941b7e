//! A mutex that is fair to parties instead of tasks: each party has one place in the queue, however many tasks of it wait. So
//! one that asks for many turns gets one between those of all others.

use offst_crypto::PublicKey;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OwnedMutexGuard;

/// A value that parties, named by their keys, use in turn.
#[derive(Debug)]
pub(crate) struct FairMutex<T> {
    shared: Arc<tokio::sync::Mutex<T>>,
    /// A queue for the tasks of each party.
    queues: Mutex<BTreeMap<PublicKey, Arc<tokio::sync::Mutex<()>>>>,
}

/// The right to use the value, until it is dropped.
#[derive(Debug)]
pub(crate) struct FairGuard<T> {
    // Dropped in this order, so that the next task of the same party comes after the parties that wait already.
    shared: OwnedMutexGuard<T>,
    _queue: OwnedMutexGuard<()>,
}

impl<T> std::ops::Deref for FairGuard<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.shared
    }
}

impl<T> FairMutex<T> {
    pub(crate) fn new(shared: T) -> Self {
        FairMutex { shared: Arc::new(tokio::sync::Mutex::new(shared)), queues: Mutex::default() }
    }

    /// Waits until it is the turn of `party`.
    pub(crate) async fn lock(&self, party: PublicKey) -> FairGuard<T> {
        let queue = {
            // A map is sound even if a thread panicked while it held the lock.
            let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
            // A task that waits or has its turn holds its queue, too.
            queues.retain(|_, queue| Arc::strong_count(queue) > 1);
            queues.entry(party).or_default().clone()
        };
        let queue = queue.lock_owned().await;
        FairGuard { shared: self.shared.clone().lock_owned().await, _queue: queue }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use offst_crypto::Identity;

    #[tokio::test]
    async fn a_party_with_many_tasks_gets_one_turn_between_those_of_others() {
        let [one, other] = [1, 2].map(|seed| Identity::from_seed([seed; 32]).public_key());
        let mutex = FairMutex::new(7);
        let first = mutex.lock(one).await;
        assert_eq!(*first, 7);
        let mut many: Vec<_> = (0..3).map(|_| Box::pin(mutex.lock(one))).collect();
        assert!(many.iter_mut().all(|turn| turn.as_mut().now_or_never().is_none()));
        let mut late = Box::pin(mutex.lock(other));
        assert!(late.as_mut().now_or_never().is_none());
        drop(first);
        // The next task of the same party was there long before, and does not come before the other party.
        assert!(many[0].as_mut().now_or_never().is_none());
        drop(late.await);
        for turn in many {
            drop(turn.await);
        }
        drop(mutex.lock(other).await);
        assert_eq!(mutex.queues.lock().unwrap().len(), 1);
    }
}
