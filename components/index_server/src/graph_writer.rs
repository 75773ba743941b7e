//! The thread that changes the graph. Searches read it at the same time, so it is locked seldom and for a short time: once
//! for all the changes that wait, not once for each update.

use crate::book::GraphChange;
use crate::graphs::Graphs;
use crate::searches::Courtesy;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard, TryLockError};
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
    shared: Arc<Shared>,
    applied: watch::Receiver<u64>,
}

struct Shared {
    waiting: Mutex<Waiting>,
    news: Condvar,
}

#[derive(Default)]
struct Waiting {
    changes: VecDeque<GraphChange>,
    /// All that ever were taken.
    taken: u64,
    is_stopped: bool,
}

impl GraphWriter {
    /// Starts the thread. It says with `courtesy` when it waits for the graph.
    ///
    /// # Errors
    /// The system has no threads left.
    pub(crate) fn start(graph: Arc<RwLock<Graphs>>, courtesy: Courtesy) -> io::Result<Self> {
        let shared = Arc::new(Shared { waiting: Mutex::default(), news: Condvar::new() });
        let (sender, applied) = watch::channel(0);
        let writer = GraphWriter { shared: shared.clone(), applied };
        std::thread::Builder::new().name("graph".into()).spawn(move || shared.run(&graph, &courtesy, &sender))?;
        Ok(writer)
    }

    /// Takes changes; gives the number to [wait](GraphWriter::applied) for.
    pub(crate) fn push(&self, changes: Vec<GraphChange>) -> u64 {
        let mut waiting = self.shared.waiting();
        waiting.taken += changes.len() as u64;
        waiting.changes.extend(changes);
        self.shared.news.notify_one();
        waiting.taken
    }

    /// Waits until all changes up to this number count for searches.
    pub(crate) async fn applied(&self, number: u64) {
        // Fails only when the thread has ended, with the server.
        let _ = self.applied.clone().wait_for(|applied| *applied >= number).await;
    }
}

impl Drop for GraphWriter {
    fn drop(&mut self) {
        self.shared.waiting().is_stopped = true;
        self.shared.news.notify_all();
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<Vec<GraphChange>> {
        let mut waiting = self.waiting();
        while waiting.changes.is_empty() && !waiting.is_stopped {
            waiting = self.news.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        if waiting.is_stopped {
            return None;
        }
        let count = waiting.changes.len().min(BATCH_MAX);
        Some(waiting.changes.drain(..count).collect())
    }

    fn run(&self, graph: &RwLock<Graphs>, courtesy: &Courtesy, applied: &watch::Sender<u64>) {
        while let Some(changes) = self.next() {
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
