//! Where threads take their work from: a value behind a lock, and a way to wait until it has changed or the work ends.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A value from which threads take work, and wait for more.
pub(crate) struct WorkQueue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    value: T,
    is_stopped: bool,
}

impl<T> WorkQueue<T> {
    pub(crate) fn new(value: T) -> Self {
        WorkQueue { state: Mutex::new(State { value, is_stopped: false }), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        // Every change is complete, so the value is sound even if a thread panicked while it held the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads or changes the value, without waking a thread.
    pub(crate) fn with<R>(&self, look: impl FnOnce(&mut T) -> R) -> R {
        look(&mut self.state().value)
    }

    /// Wakes one thread that waits.
    pub(crate) fn wake_one(&self) {
        self.changed.notify_one();
    }

    /// Wakes all threads that wait.
    pub(crate) fn wake_all(&self) {
        self.changed.notify_all();
    }

    /// Waits until `take` finds something; `None` is the end.
    pub(crate) fn take<R>(&self, mut take: impl FnMut(&mut T) -> Option<R>) -> Option<R> {
        let mut state = self.state();
        loop {
            if state.is_stopped {
                return None;
            }
            if let Some(taken) = take(&mut state.value) {
                return Some(taken);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends all waiting, now and later.
    pub(crate) fn stop(&self) {
        self.state().is_stopped = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    #[test]
    fn everything_is_taken_once_and_all_threads_end() {
        let queue = WorkQueue::new(VecDeque::new());
        let (sender, taken) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                let (queue, sender) = (&queue, sender.clone());
                scope.spawn(move || {
                    while let Some(number) = queue.take(VecDeque::pop_front) {
                        sender.send(number).unwrap();
                    }
                });
            }
            for number in 0..100 {
                queue.with(|numbers| numbers.push_back(number));
                queue.wake_one();
            }
            let mut numbers: Vec<i32> = taken.iter().take(100).collect();
            numbers.sort_unstable();
            assert_eq!(numbers, (0..100).collect::<Vec<_>>());
            queue.stop();
        });
        queue.with(|numbers| numbers.push_back(1));
        assert_eq!(queue.take(VecDeque::pop_front), None);
    }
}
