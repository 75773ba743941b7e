//! The thread that changes the graphs. Searches read them at the same time, so they are locked rarely and for a short time:
//! once for all changes that wait, not once for each update.

use crate::edge_store::GraphChange;
use crate::query_graphs::QueryGraphs;
use crate::search_pool::SearchGate;
use crate::work_queue::WorkQueue;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard, TryLockError};
use std::time::Duration;
use tokio::sync::watch;

/// Most changes under one lock: about a millisecond.
const BATCH_MAX: usize = 1000;
/// The graphs are locked no more often than this; changes that come in between are made together.
const PAUSE: Duration = Duration::from_millis(10);

/// So many times, with pauses between, the writer tries to lock the graphs while no search runs, before it makes new searches
/// wait.
const TRIES: usize = 250;
/// So many times when a search for a heavy address runs.
const TRIES_MAX: usize = 5_000;
const PAUSE_BETWEEN_TRIES: Duration = Duration::from_micros(200);

/// Takes changes in order and reports when searches see them. Dropping it ends the thread.
///
/// What waits is bounded by the senders: each waits until searches see its last changes before it reads more from its socket.
pub(crate) struct GraphWriter {
    queue: Arc<WorkQueue<Queue>>,
    applied: watch::Receiver<u64>,
}

#[derive(Default)]
struct Queue {
    changes: VecDeque<GraphChange>,
    /// The number of all changes so far.
    taken: u64,
}

impl GraphWriter {
    /// Starts the thread. It says with `gate` when it waits for the graphs.
    ///
    /// # Errors
    /// The system has no threads left.
    pub(crate) fn start(graph: Arc<RwLock<QueryGraphs>>, gate: SearchGate) -> io::Result<Self> {
        let queue = Arc::new(WorkQueue::new(Queue::default()));
        let (sender, applied) = watch::channel(0);
        let writer = GraphWriter { queue: queue.clone(), applied };
        std::thread::Builder::new().name("graph".into()).spawn(move || run(&queue, &graph, &gate, &sender))?;
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

    /// Waits until searches see all changes up to this number.
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

fn run(queue: &WorkQueue<Queue>, graph: &RwLock<QueryGraphs>, gate: &SearchGate, applied: &watch::Sender<u64>) {
    while let Some(changes) = queue.take(Queue::batch) {
        let count = changes.len();
        {
            let mut graph = try_write(graph).unwrap_or_else(|| write_between_searches(graph, gate));
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
fn write_between_searches<'a>(graph: &'a RwLock<QueryGraphs>, gate: &SearchGate) -> RwLockWriteGuard<'a, QueryGraphs> {
    gate.set_change_waiting(true);
    let mut tries = 0;
    let locked = loop {
        std::thread::sleep(PAUSE_BETWEEN_TRIES);
        if let Some(locked) = try_write(graph) {
            break locked;
        }
        tries += 1;
        if tries >= TRIES && (tries >= TRIES_MAX || !gate.is_heavy_running()) {
            break graph.write().unwrap_or_else(PoisonError::into_inner);
        }
    };
    gate.set_change_waiting(false);
    locked
}

fn try_write(graph: &RwLock<QueryGraphs>) -> Option<RwLockWriteGuard<'_, QueryGraphs>> {
    match graph.try_write() {
        Ok(graph) => Some(graph),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
