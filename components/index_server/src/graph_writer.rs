//! The thread that changes the graph. Searches read it at the same time, so it is locked seldom and for a short time: once
//! for all the changes that wait, not once for each update.

use crate::book::GraphChange;
use crate::graphs::Graphs;
use crate::searches::Courtesy;
use crate::waiting::Waiting;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard, TryLockError};
use std::time::Duration;
use tokio::sync::watch;

/// Most changes under one lock: about a millisecond.
const BATCH_MAX: usize = 1000;
/// The graph is locked no more often than this; what comes in between is changed together.
const PAUSE: Duration = Duration::from_millis(10);

/// So often, and with these pauses between, the writer tries to find the graph unused before it makes new searches wait.
const TRIES: usize = 250;
/// So often when it waits for the search of somebody who has much searched.
const TRIES_MAX: usize = 5_000;
const PAUSE_BETWEEN_TRIES: Duration = Duration::from_micros(200);

/// Takes changes in order and says when they count. Dropping it ends the thread.
///
/// What waits is bounded by whoever sends: each waits until its last changes count before it takes more from its socket.
pub(crate) struct GraphWriter {
    queue: Arc<Waiting<Queue>>,
    applied: watch::Receiver<u64>,
}

#[derive(Default)]
struct Queue {
    changes: VecDeque<GraphChange>,
    /// All that ever were taken.
    taken: u64,
}

impl GraphWriter {
    /// Starts the thread. It says with `courtesy` when it waits for the graph.
    ///
    /// # Errors
    /// The system has no threads left.
    pub(crate) fn start(graph: Arc<RwLock<Graphs>>, courtesy: Courtesy) -> io::Result<Self> {
        let queue = Arc::new(Waiting::new(Queue::default()));
        let (sender, applied) = watch::channel(0);
        let writer = GraphWriter { queue: queue.clone(), applied };
        std::thread::Builder::new().name("graph".into()).spawn(move || run(&queue, &graph, &courtesy, &sender))?;
        Ok(writer)
    }

    /// Takes changes; gives the number to [wait](GraphWriter::applied) for.
    pub(crate) fn push(&self, changes: Vec<GraphChange>) -> u64 {
        let number = self.queue.with(|queue| {
            queue.taken += changes.len() as u64;
            queue.changes.extend(changes);
            queue.taken
        });
        self.queue.wake_one();
        number
    }

    /// Waits until all changes up to this number count for searches.
    pub(crate) async fn applied(&self, number: u64) {
        // Fails only when the thread has ended, with the server.
        let _ = self.applied.clone().wait_for(|applied| *applied >= number).await;
    }
}

impl Drop for GraphWriter {
    fn drop(&mut self) {
        self.queue.stop();
    }
}

impl Queue {
    /// The next changes under one lock.
    fn batch(&mut self) -> Option<Vec<GraphChange>> {
        let count = self.changes.len().min(BATCH_MAX);
        (count > 0).then(|| self.changes.drain(..count).collect())
    }
}

fn run(queue: &Waiting<Queue>, graph: &RwLock<Graphs>, courtesy: &Courtesy, applied: &watch::Sender<u64>) {
    while let Some(changes) = queue.take(Queue::batch) {
        let count = changes.len();
        {
            let mut graph = try_write(graph).unwrap_or_else(|| write_politely(graph, courtesy));
            graph.apply(&changes);
        }
        applied.send_modify(|applied| *applied += count as u64);
        if count < BATCH_MAX {
            std::thread::sleep(PAUSE);
        }
    }
}

/// A lock that waits keeps new readers out. So for a while it is only tried: searches that are short run meanwhile, and
/// long ones end.
fn write_politely<'a>(graph: &'a RwLock<Graphs>, courtesy: &Courtesy) -> RwLockWriteGuard<'a, Graphs> {
    courtesy.set_change_waiting(true);
    let mut tries = 0;
    let locked = loop {
        std::thread::sleep(PAUSE_BETWEEN_TRIES);
        if let Some(locked) = try_write(graph) {
            break locked;
        }
        tries += 1;
        if tries >= TRIES && (tries >= TRIES_MAX || !courtesy.is_heavy_running()) {
            break graph.write().unwrap_or_else(PoisonError::into_inner);
        }
    };
    courtesy.set_change_waiting(false);
    locked
}

fn try_write(graph: &RwLock<Graphs>) -> Option<RwLockWriteGuard<'_, Graphs>> {
    match graph.try_write() {
        Ok(graph) => Some(graph),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
