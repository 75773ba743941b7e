//! Threads that search. The queue before them is bounded: a server that has too much to do says so at once.

use crate::fair_queue::FairQueue;
use crate::graphs::Graphs;
use crate::search::Scratch;
use crate::turns::{Turn, Turns};
use crate::waiting::Waiting;
use crate::{Counters, Limits};
use offst_proto::index::{Answer, Query};
use std::io;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::oneshot;

/// Searches that wait, and the threads that take them. Dropping it ends the threads.
pub(crate) struct Searches {
    shared: Arc<Shared>,
}

/// Between the threads that search and the one that changes the graph.
pub(crate) struct Courtesy {
    shared: Arc<Shared>,
}

struct Shared {
    turns: Waiting<Turns<Job>>,
    graph: Arc<RwLock<Graphs>>,
    counters: Arc<Counters>,
    work: usize,
    now_ms: fn() -> u64,
}

struct Job {
    query: Query,
    reply: oneshot::Sender<Answer>,
}

impl Searches {
    /// Starts the threads. They read the world's time, unix ms, from `now_ms`.
    ///
    /// # Errors
    /// The system has no threads left.
    pub(crate) fn start(
        limits: &Limits,
        graph: Arc<RwLock<Graphs>>,
        counters: Arc<Counters>,
        now_ms: fn() -> u64,
    ) -> io::Result<Self> {
        let queue = FairQueue::new(limits.queries_waiting_max, limits.queries_waiting_per_address_max);
        let threads = limits.searches.max(1);
        let turns =
            Turns::new(queue, threads, limits.search_work_per_second_per_address, limits.search_work_max as u64);
        let shared =
            Arc::new(Shared { turns: Waiting::new(turns), graph, counters, work: limits.search_work_max, now_ms });
        let searches = Searches { shared };
        for number in 0..threads {
            let shared = searches.shared.clone();
            std::thread::Builder::new().name(format!("search {number}")).spawn(move || shared.run())?;
        }
        Ok(searches)
    }

    /// Searches for somebody at `address`. The receiver fails when the server has too much to do.
    pub(crate) fn ask(&self, address: IpAddr, query: Query) -> oneshot::Receiver<Answer> {
        let (reply, answer) = oneshot::channel();
        // Whoever is displaced hears of it because the sender goes.
        drop(self.shared.turns.with(|turns| turns.push(address, Job { query, reply })));
        self.shared.turns.wake_one();
        answer
    }

    /// For whoever changes the graph.
    pub(crate) fn courtesy(&self) -> Courtesy {
        Courtesy { shared: self.shared.clone() }
    }

    /// Gives back memory.
    pub(crate) fn sweep(&self) {
        let now_ms = (self.shared.now_ms)();
        self.shared.turns.with(|turns| turns.sweep(now_ms));
    }
}

impl Courtesy {
    /// A change of the graph waits, or does not any more.
    pub(crate) fn set_change_waiting(&self, is_waiting: bool) {
        self.shared.turns.with(|turns| turns.set_change_waiting(is_waiting));
        if !is_waiting {
            self.shared.turns.wake_all();
        }
    }

    /// Whether a search runs that may take long, while no other of its kind begins.
    pub(crate) fn is_heavy_running(&self) -> bool {
        self.shared.turns.with(|turns| turns.is_heavy_running())
    }
}

impl Drop for Searches {
    fn drop(&mut self) {
        self.shared.turns.stop();
    }
}

impl Shared {
    fn next(&self) -> Option<Turn<Job>> {
        self.turns.take(|turns| {
            let turn = turns.next((self.now_ms)())?;
            self.counters.queries_waiting.store(turns.waiting() as u64, Ordering::Relaxed);
            Some(turn)
        })
    }

    fn run(&self) {
        let mut scratch = Scratch::default();
        while let Some(Turn { job: Job { query, reply }, ticket }) = self.next() {
            let mut work = 0;
            // Otherwise nobody waits for the answer any more.
            if !reply.is_closed() {
                let answer;
                (answer, work) = self.search(&query, &mut scratch);
                let _ = reply.send(answer);
            }
            self.turns.with(|turns| turns.ended(ticket, work as u64, (self.now_ms)()));
        }
    }

    /// The answer, and how many arcs were looked at.
    fn search(&self, query: &Query, scratch: &mut Scratch) -> (Answer, usize) {
        let graph = self.graph.read().unwrap_or_else(PoisonError::into_inner);
        let (answer, work) = graph.answer(query, (self.now_ms)(), self.work, scratch);
        drop(graph);
        Counters::add(&self.counters.queries);
        if answer.ways.is_empty() {
            Counters::add(&self.counters.queries_without_way);
        }
        if answer.cut {
            Counters::add(&self.counters.queries_cut);
        }
        (answer, work)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_servers::key;
    use offst_proto::Currency;

    #[tokio::test]
    async fn whoever_asks_too_much_is_told_so_and_others_are_answered() {
        let graph = Arc::new(RwLock::new(Graphs::new(0)));
        let limits =
            Limits { searches: 1, queries_waiting_max: 12, queries_waiting_per_address_max: 6, ..Limits::default() };
        let counters = Arc::new(Counters::default());
        // Searches stand still until this is dropped.
        let standstill = graph.write().unwrap();
        let searches = Searches::start(&limits, graph.clone(), counters.clone(), || 0).unwrap();
        let ask = |address: u8, id: u64| {
            let query = Query { id, ..Query::new(Currency::default(), 1, key(1), key(2)) };
            searches.ask(IpAddr::from([10, 0, 0, address]), query)
        };
        let hostile: Vec<_> = (0..1000).map(|id| ask(1 + (id % 2) as u8, id)).collect();
        let honest: Vec<_> = (0..3).map(|id| ask(100, id)).collect();
        drop(standstill);
        for (id, answer) in (0..).zip(honest) {
            assert_eq!(answer.await.map(|answer| answer.id), Ok(id));
        }
        let mut answered = 0;
        for answer in hostile {
            answered += usize::from(answer.await.is_ok());
        }
        assert!(answered <= 1 + limits.queries_waiting_max, "{answered}");
    }
}
