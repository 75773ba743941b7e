//! The threads that search. Their queue is bounded: a server that has too much to do refuses at once.

use crate::counters::Counters;
use crate::fair_queue::FairQueue;
use crate::limits::Limits;
use crate::query_graphs::QueryGraphs;
use crate::search::Scratch;
use crate::search_scheduler::{Scheduled, SearchScheduler};
use crate::work_queue::WorkQueue;
use offst_proto::index::{Answer, Query};
use std::io;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::oneshot;

/// The queries that wait, and the threads that answer them. Dropping it ends the threads.
pub(crate) struct SearchPool {
    shared: Arc<Shared>,
}

/// Lets the thread that changes the graphs hold back long searches.
pub(crate) struct SearchGate {
    shared: Arc<Shared>,
}

struct Shared {
    scheduler: WorkQueue<SearchScheduler<PendingQuery>>,
    graph: Arc<RwLock<QueryGraphs>>,
    counters: Arc<Counters>,
    work: usize,
    now_ms: fn() -> u64,
}

struct PendingQuery {
    query: Query,
    reply: oneshot::Sender<Answer>,
}

impl SearchPool {
    /// Starts the threads. They read the time, unix ms, from `now_ms`.
    ///
    /// # Errors
    /// The system has no threads left.
    pub(crate) fn start(
        limits: &Limits,
        graph: Arc<RwLock<QueryGraphs>>,
        counters: Arc<Counters>,
        now_ms: fn() -> u64,
    ) -> io::Result<Self> {
        let queue = FairQueue::new(limits.queries_waiting_max, limits.queries_waiting_per_address_max);
        let threads = limits.searches.max(1);
        let scheduler = SearchScheduler::new(
            queue,
            threads,
            limits.search_work_per_second_per_address,
            limits.search_work_max as u64,
        );
        let shared = Arc::new(Shared {
            scheduler: WorkQueue::new(scheduler),
            graph,
            counters,
            work: limits.search_work_max,
            now_ms,
        });
        let pool = SearchPool { shared };
        for number in 0..threads {
            let shared = pool.shared.clone();
            std::thread::Builder::new().name(format!("search {number}")).spawn(move || shared.run())?;
        }
        Ok(pool)
    }

    /// Answers a query from `address`. The receiver fails when the server has too much to do.
    pub(crate) fn ask(&self, address: IpAddr, query: Query) -> oneshot::Receiver<Answer> {
        let (reply, answer) = oneshot::channel();
        // A query that is displaced fails because its sender is dropped.
        drop(self.shared.scheduler.with(|scheduler| scheduler.push(address, PendingQuery { query, reply })));
        self.shared.scheduler.wake_one();
        answer
    }

    /// For the thread that changes the graphs.
    pub(crate) fn gate(&self) -> SearchGate {
        SearchGate { shared: self.shared.clone() }
    }

    /// Frees memory.
    pub(crate) fn sweep(&self) {
        let now_ms = (self.shared.now_ms)();
        self.shared.scheduler.with(|scheduler| scheduler.sweep(now_ms));
    }
}

impl SearchGate {
    /// A change of the graphs waits, or does not any more.
    pub(crate) fn set_change_waiting(&self, is_waiting: bool) {
        self.shared.scheduler.with(|scheduler| scheduler.set_change_waiting(is_waiting));
        if !is_waiting {
            self.shared.scheduler.wake_all();
        }
    }

    /// Whether a search for a heavy address runs, which may take long.
    pub(crate) fn is_heavy_running(&self) -> bool {
        self.shared.scheduler.with(|scheduler| scheduler.is_heavy_running())
    }
}

impl Drop for SearchPool {
    fn drop(&mut self) {
        self.shared.scheduler.stop();
    }
}

impl Shared {
    fn next(&self) -> Option<Scheduled<PendingQuery>> {
        self.scheduler.take(|scheduler| {
            let scheduled = scheduler.next((self.now_ms)())?;
            self.counters.queries_waiting.store(scheduler.waiting() as u64, Ordering::Relaxed);
            Some(scheduled)
        })
    }

    fn run(&self) {
        let mut scratch = Scratch::default();
        while let Some(Scheduled { query: PendingQuery { query, reply }, permit }) = self.next() {
            let mut work = 0;
            // When it is closed, nobody waits for the answer any more.
            if !reply.is_closed() {
                let answer;
                (answer, work) = self.search(&query, &mut scratch);
                let _ = reply.send(answer);
            }
            self.scheduler.with(|scheduler| scheduler.finish(permit, work as u64, (self.now_ms)()));
        }
    }

    /// The answer, and how many arcs were looked at.
    fn search(&self, query: &Query, scratch: &mut Scratch) -> (Answer, usize) {
        let graph = self.graph.read().unwrap_or_else(PoisonError::into_inner);
        let (answer, work) = graph.answer(query, (self.now_ms)(), self.work, scratch);
        drop(graph);
        Counters::add(&self.counters.queries);
        if answer.routes.is_empty() {
            Counters::add(&self.counters.queries_without_route);
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
    async fn an_address_that_asks_too_much_is_refused_and_others_are_answered() {
        let graph = Arc::new(RwLock::new(QueryGraphs::new(0)));
        let limits =
            Limits { searches: 1, queries_waiting_max: 12, queries_waiting_per_address_max: 6, ..Limits::default() };
        let counters = Arc::new(Counters::default());
        // No search runs until this is dropped.
        let standstill = graph.write().unwrap();
        let pool = SearchPool::start(&limits, graph.clone(), counters.clone(), || 0).unwrap();
        let ask = |address: u8, id: u64| {
            let query = Query { id, ..Query::new(Currency::default(), 1.into(), key(1), key(2)) };
            pool.ask(IpAddr::from([10, 0, 0, address]), query)
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
