//! Turns at something that only one can use at a time: a party has one place in the line, so that whoever asks for many turns
//! gets one between those of all others.

use offst_crypto::PublicKey;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OwnedMutexGuard;

/// Something that parties use in turn.
#[derive(Debug)]
pub(crate) struct Turns<T> {
    shared: Arc<tokio::sync::Mutex<T>>,
    /// Each party's own line.
    lines: Mutex<BTreeMap<PublicKey, Arc<tokio::sync::Mutex<()>>>>,
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn<T> {
    // Dropped in this order: the next of the same party comes behind those who wait already.
    shared: OwnedMutexGuard<T>,
    _line: OwnedMutexGuard<()>,
}

impl<T> std::ops::Deref for Turn<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.shared
    }
}

impl<T> Turns<T> {
    pub(crate) fn new(shared: T) -> Self {
        Turns { shared: Arc::new(tokio::sync::Mutex::new(shared)), lines: Mutex::default() }
    }

    /// Waits for a turn of `party`.
    pub(crate) async fn next(&self, party: PublicKey) -> Turn<T> {
        let line = {
            // A map of lines is sound even if a thread panicked while it held the lock.
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            // Who waits or has a turn holds the line, too.
            lines.retain(|_, line| Arc::strong_count(line) > 1);
            lines.entry(party).or_default().clone()
        };
        let line = line.lock_owned().await;
        Turn { shared: self.shared.clone().lock_owned().await, _line: line }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use offst_crypto::Identity;

    #[tokio::test]
    async fn many_turns_of_one_lie_between_those_of_others() {
        let [one, other] = [1, 2].map(|seed| Identity::from_seed([seed; 32]).public_key());
        let turns = Turns::new(7);
        let first = turns.next(one).await;
        assert_eq!(*first, 7);
        let mut many: Vec<_> = (0..3).map(|_| Box::pin(turns.next(one))).collect();
        assert!(many.iter_mut().all(|turn| turn.as_mut().now_or_never().is_none()));
        let mut late = Box::pin(turns.next(other));
        assert!(late.as_mut().now_or_never().is_none());
        drop(first);
        // The next of the same party has come long before and is not before the other.
        assert!(many[0].as_mut().now_or_never().is_none());
        drop(late.await);
        for turn in many {
            drop(turn.await);
        }
        drop(turns.next(other).await);
        assert_eq!(turns.lines.lock().unwrap().len(), 1);
    }
}
