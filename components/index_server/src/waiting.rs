//! What threads take their work from: a value behind a lock, and the news that it has changed or that the end has come.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A value that threads wait on.
pub(crate) struct Waiting<T> {
    state: Mutex<State<T>>,
    news: Condvar,
}

struct State<T> {
    value: T,
    is_stopped: bool,
}

impl<T> Waiting<T> {
    pub(crate) fn new(value: T) -> Self {
        Waiting { state: Mutex::new(State { value, is_stopped: false }), news: Condvar::new() }
    }

    /// No change is made by halves, so what a thread left that panicked is whole.
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the value, or changes it. Nobody hears of it.
    pub(crate) fn with<R>(&self, look: impl FnOnce(&mut T) -> R) -> R {
        look(&mut self.state().value)
    }

    /// One thread looks again.
    pub(crate) fn wake_one(&self) {
        self.news.notify_one();
    }

    /// All threads look again.
    pub(crate) fn wake_all(&self) {
        self.news.notify_all();
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
            state = self.news.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends the waiting, now and from now on.
    pub(crate) fn stop(&self) {
        self.state().is_stopped = true;
        self.news.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    #[test]
    fn everything_is_taken_once_and_the_end_comes_to_all() {
        let waiting = Waiting::new(VecDeque::new());
        let (sender, taken) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                let (waiting, sender) = (&waiting, sender.clone());
                scope.spawn(move || {
                    while let Some(number) = waiting.take(VecDeque::pop_front) {
                        sender.send(number).unwrap();
                    }
                });
            }
            for number in 0..100 {
                waiting.with(|numbers| numbers.push_back(number));
                waiting.wake_one();
            }
            let mut numbers: Vec<i32> = taken.iter().take(100).collect();
            numbers.sort_unstable();
            assert_eq!(numbers, (0..100).collect::<Vec<_>>());
            waiting.stop();
        });
        waiting.with(|numbers| numbers.push_back(1));
        assert_eq!(waiting.take(VecDeque::pop_front), None);
    }
}
