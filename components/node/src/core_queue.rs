//! The queue of the core thread: a queue for each source of events, served in turn. So a friend or an application that
//! sends more than its share waits itself, and nobody else does: the thread takes one event of each source before it takes a
//! second one of any. All events that wait are handled in one batch nevertheless, because a batch costs one disk write.

use crate::messages::CoreEvent;
use offst_crypto::PublicKey;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Slots of one source. A source that has used them up waits.
const SLOTS: u32 = 256;
/// An event takes one more slot for so many bytes, so that what waits of one source is bounded in bytes, too.
const SLOT_BYTES: usize = 8 * 1024;

/// Where an event comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// The node itself: what the index servers answer.
    Node,
    /// A friend, over any of its connections, and what was found in the history for it.
    Friend(PublicKey),
    /// An application of the owner.
    App(PublicKey),
}

/// The core thread has ended: nobody takes events any more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closed;

/// The events of one source that wait.
struct SourceQueue {
    events: VecDeque<(CoreEvent, Option<OwnedSemaphorePermit>)>,
    slots: Arc<Semaphore>,
}

impl Default for SourceQueue {
    fn default() -> Self {
        SourceQueue { events: VecDeque::new(), slots: Arc::new(Semaphore::new(SLOTS as usize)) }
    }
}

#[derive(Default)]
struct Queues {
    by_source: BTreeMap<Source, SourceQueue>,
    /// The sources that have events waiting, each once: the first is the next.
    turns: VecDeque<Source>,
    is_closed: bool,
}

impl Queues {
    fn push(&mut self, source: Source, event: CoreEvent, permit: Option<OwnedSemaphorePermit>) -> Result<(), Closed> {
        if self.is_closed {
            return Err(Closed);
        }
        let queue = self.by_source.entry(source).or_default();
        if queue.events.is_empty() {
            self.turns.push_back(source);
        }
        queue.events.push_back((event, permit));
        Ok(())
    }

    fn pop(&mut self) -> Option<CoreEvent> {
        let source = self.turns.pop_front()?;
        let queue = self.by_source.get_mut(&source).expect("a source in `turns` has a queue");
        let (event, permit) = queue.events.pop_front().expect("a source in `turns` has an event");
        drop(permit);
        if !queue.events.is_empty() {
            self.turns.push_back(source);
        } else if Arc::strong_count(&queue.slots) == 1 {
            // Nobody waits for a slot: a sender that does holds the semaphore, too.
            self.by_source.remove(&source);
        }
        Some(event)
    }
}

#[derive(Default)]
struct Shared {
    queues: Mutex<Queues>,
    arrived: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queues> {
        // Nothing is left half done in here even if a thread panicked while it held the lock: the node ends then.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end where events are sent.
#[derive(Clone)]
pub(crate) struct CoreQueue(Arc<Shared>);

impl CoreQueue {
    /// Sends an event of so many bytes once its source has a slot for it. Events of one source are received in the order in
    /// which they were sent.
    pub(crate) async fn send(&self, source: Source, event: CoreEvent, bytes: usize) -> Result<(), Closed> {
        let slots = {
            let mut queues = self.0.lock();
            if queues.is_closed {
                return Err(Closed);
            }
            queues.by_source.entry(source).or_default().slots.clone()
        };
        let count = u32::try_from(1 + bytes / SLOT_BYTES).unwrap_or(SLOTS).min(SLOTS);
        let permit = slots.acquire_many_owned(count).await.map_err(|_| Closed)?;
        self.0.lock().push(source, event, Some(permit))?;
        self.0.arrived.notify_one();
        Ok(())
    }

    /// Sends an event without waiting for a slot. For what is bounded in number otherwise.
    pub(crate) fn send_now(&self, source: Source, event: CoreEvent) -> Result<(), Closed> {
        self.0.lock().push(source, event, None)?;
        self.0.arrived.notify_one();
        Ok(())
    }
}

/// The end where events are received. When it is dropped, all senders that wait fail.
pub(crate) struct CoreReceiver(Arc<Shared>);

impl CoreReceiver {
    /// The next event, if one waits.
    pub(crate) fn try_next(&mut self) -> Option<CoreEvent> {
        self.0.lock().pop()
    }

    /// Waits for the next event. Cancel safe.
    pub(crate) async fn next(&mut self) -> CoreEvent {
        loop {
            if let Some(event) = self.try_next() {
                return event;
            }
            self.0.arrived.notified().await;
        }
    }
}

impl Drop for CoreReceiver {
    fn drop(&mut self) {
        let left = {
            let mut queues = self.0.lock();
            queues.is_closed = true;
            queues.by_source.values().for_each(|queue| queue.slots.close());
            queues.turns.clear();
            std::mem::take(&mut queues.by_source)
        };
        // Outside the lock: callers that wait for a reply learn that there is none.
        drop(left);
    }
}

/// An empty queue.
pub(crate) fn core_queue() -> (CoreQueue, CoreReceiver) {
    let shared = Arc::new(Shared::default());
    (CoreQueue(shared.clone()), CoreReceiver(shared))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use offst_crypto::Identity;
    use offst_funder::Input;
    use std::collections::BTreeMap;
    use tokio::task::coop::unconstrained;

    fn friend(seed: u8) -> Source {
        Source::Friend(Identity::from_seed([seed; 32]).public_key())
    }

    /// An event that says whose it is.
    fn event(source: Source, number: u64) -> CoreEvent {
        let key = match source {
            Source::Node => return CoreEvent::Input(Input::Tick),
            Source::Friend(key) | Source::App(key) => key,
        };
        CoreEvent::Input(Input::Disconnected(key, number))
    }

    fn source_of(event: &CoreEvent) -> Option<(PublicKey, u64)> {
        match event {
            CoreEvent::Input(Input::Disconnected(key, number)) => Some((*key, *number)),
            _ => None,
        }
    }

    #[tokio::test]
    async fn one_event_of_each_before_a_second_one_of_any() {
        let (queue, mut receiver) = core_queue();
        let [one, other] = [friend(1), friend(2)];
        for number in 0..u64::from(SLOTS) {
            queue.send(one, event(one, number), 0).await.unwrap();
        }
        queue.send(other, event(other, 0), 0).await.unwrap();
        queue.send(other, event(other, 1), 0).await.unwrap();
        queue.send(Source::Node, event(Source::Node, 0), 0).await.unwrap();
        let taken: Vec<_> = (0..5).map(|_| source_of(&receiver.try_next().unwrap())).collect();
        let expected = [(one, 0), (other, 0)].map(|(source, number)| source_of(&event(source, number)));
        assert_eq!(taken[..2], expected);
        assert_eq!(taken[2], None, "the node's own");
        assert_eq!(taken[4], source_of(&event(other, 1)));
        // The rest comes in the order of each source.
        let rest: Vec<_> =
            std::iter::from_fn(|| receiver.try_next()).map(|event| source_of(&event).unwrap().1).collect();
        assert_eq!(rest, (2..u64::from(SLOTS)).collect::<Vec<_>>());
        assert!(receiver.0.lock().by_source.is_empty());
    }

    #[tokio::test]
    async fn a_source_that_sends_too_much_waits_and_no_other() {
        let (queue, mut receiver) = core_queue();
        let [one, other] = [friend(1), friend(2)];
        let mut sent: BTreeMap<Source, u64> = BTreeMap::new();
        for (source, bytes, count) in [(one, 0, SLOTS), (other, SLOT_BYTES, SLOTS / 2)] {
            while unconstrained(queue.send(source, event(source, 0), bytes)).now_or_never().is_some() {
                *sent.entry(source).or_default() += 1;
            }
            assert_eq!(sent[&source], u64::from(count));
        }
        unconstrained(queue.send(friend(3), event(friend(3), 0), usize::MAX)).now_or_never().unwrap().unwrap();
        // Senders that wait are served in the order in which they came.
        let (late, later) = (queue.send(one, event(one, 7), 0), queue.send(one, event(one, 8), 0));
        let (mut late, mut later) = (Box::pin(unconstrained(late)), Box::pin(unconstrained(later)));
        assert!(late.as_mut().now_or_never().is_none() && later.as_mut().now_or_never().is_none());
        queue.send_now(one, event(one, 6)).unwrap();
        assert_eq!(source_of(&receiver.try_next().unwrap()), source_of(&event(one, 0)));
        late.await.unwrap();
        assert!(later.as_mut().now_or_never().is_none());
        let all: Vec<_> = std::iter::from_fn(|| receiver.try_next()).filter_map(|event| source_of(&event)).collect();
        assert_eq!(all.iter().rev().map(|(_, number)| *number).take(2).collect::<Vec<_>>(), [7, 6]);
        later.await.unwrap();
        assert_eq!(source_of(&receiver.next().await), source_of(&event(one, 8)));
    }

    #[tokio::test]
    async fn all_senders_that_wait_learn_of_the_end() {
        let (queue, receiver) = core_queue();
        let one = friend(1);
        while unconstrained(queue.send(one, event(one, 0), 0)).now_or_never().is_some() {}
        let mut late = Box::pin(queue.send(one, event(one, 1), 0));
        assert!(late.as_mut().now_or_never().is_none());
        drop(receiver);
        assert_eq!(late.await, Err(Closed));
        assert_eq!(queue.send(one, event(one, 1), 0).await, Err(Closed));
        assert_eq!(queue.send_now(one, event(one, 1)), Err(Closed));
        assert!(queue.0.lock().by_source.is_empty());
    }
}
