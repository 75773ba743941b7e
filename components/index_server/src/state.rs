//! What all connections of a server share: the replica, the graphs with their threads, and the links to neighbours.

use crate::connections::Connections;
use crate::counters::Counters;
use crate::graph_writer::GraphWriter;
use crate::limits::Limits;
use crate::neighbour_links::NeighbourLinks;
use crate::query_graphs::QueryGraphs;
use crate::replica::Replica;
use crate::search_pool::SearchPool;
use crate::token_bucket::AddressBuckets;
use offst_crypto::{PublicKey, RandomExt, SystemRandom};
use offst_proto::index::BUCKETS;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// So many buckets are read under one lock.
const BUCKETS_AT_ONCE: usize = 64;

/// Shared by all tasks of a server. The locks are held for milliseconds at most. Where two are
/// held at the same time, the one of the links comes before the one of the replica.
pub(crate) struct State {
    pub(crate) limits: Limits,
    pub(crate) counters: Arc<Counters>,
    replica: Mutex<Replica>,
    graph_writer: GraphWriter,
    pub(crate) searches: SearchPool,
    /// The handle ends the connection's task.
    connections: Mutex<Connections<CancellationToken>>,
    update_rates: Mutex<AddressBuckets>,
    query_rates: Mutex<AddressBuckets>,
    links: Mutex<NeighbourLinks<LinkHandle>>,
    links_changed: watch::Sender<()>,
    started: Instant,
}

/// Controls the task of a link.
#[derive(Debug, Clone)]
pub(crate) struct LinkHandle {
    /// There is something to send.
    pub(crate) wake: Arc<Notify>,
    /// Ends it.
    pub(crate) stop: CancellationToken,
}

/// Graphs with a seed that nobody outside knows.
fn empty_graphs() -> QueryGraphs {
    QueryGraphs::new(u64::from_be_bytes(SystemRandom::new().array()))
}

impl State {
    /// With the threads of the server with the key `own`.
    ///
    /// # Errors
    /// The system has no threads left.
    pub(crate) fn start(own: PublicKey, limits: Limits, counters: Arc<Counters>) -> io::Result<Self> {
        let graph = Arc::new(RwLock::new(empty_graphs()));
        let searches = SearchPool::start(&limits, graph.clone(), counters.clone(), unix_ms)?;
        Ok(State {
            replica: Mutex::new(Replica::new(own, limits)),
            graph_writer: GraphWriter::start(graph, searches.gate())?,
            searches,
            connections: Mutex::new(Connections::new(limits.connections_max, limits.connections_per_address_max)),
            update_rates: Mutex::new(AddressBuckets::new(limits.updates_per_second_per_address)),
            query_rates: Mutex::new(AddressBuckets::new(limits.queries_per_second_per_address)),
            links: Mutex::new(NeighbourLinks::new(own)),
            links_changed: watch::Sender::new(()),
            started: Instant::now(),
            limits,
            counters,
        })
    }

    /// A monotonic clock, for waiting.
    pub(crate) fn steady_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Lets the replica decide, then passes on what follows to the graphs and the links. With the result comes the number to wait for until
    /// searches see it: [`State::visible`].
    pub(crate) fn decide<R>(&self, decide: impl FnOnce(&mut Replica) -> R) -> (R, u64) {
        let mut replica = lock(&self.replica);
        let result = decide(&mut replica);
        // Under the lock, so that changes come in the order in which they were decided.
        let number = self.graph_writer.push(replica.take_changes());
        let to_serve = replica.links_to_serve();
        let store = replica.store();
        self.counters.nodes.store(store.node_count() as u64, Ordering::Relaxed);
        self.counters.edges.store(store.edge_count() as u64, Ordering::Relaxed);
        self.counters.update_bytes.store(store.update_bytes() as u64, Ordering::Relaxed);
        self.counters.nodes_gave_way.store(store.evicted(), Ordering::Relaxed);
        drop(replica);
        if !to_serve.is_empty() {
            let links = lock(&self.links);
            let handles = to_serve.iter().filter_map(|neighbour| links.handle(neighbour));
            handles.for_each(|handle| handle.wake.notify_one());
        }
        (result, number)
    }

    /// Waits until searches see the changes up to a number.
    pub(crate) async fn visible(&self, number: u64) {
        self.graph_writer.applied(number).await;
    }

    /// Uses the replica without changing anything that others wait for.
    pub(crate) fn with_replica<R>(&self, look: impl FnOnce(&mut Replica) -> R) -> R {
        look(&mut lock(&self.replica))
    }

    /// Computes digests a few at a time, so that nobody waits for the lock while all are computed.
    pub(crate) fn refresh_digests(&self) {
        for first in (0..BUCKETS).step_by(BUCKETS_AT_ONCE) {
            self.with_replica(|replica| replica.refresh_digests(first..first + BUCKETS_AT_ONCE));
        }
    }

    pub(crate) fn connections(&self) -> MutexGuard<'_, Connections<CancellationToken>> {
        lock(&self.connections)
    }

    pub(crate) fn update_rates(&self) -> MutexGuard<'_, AddressBuckets> {
        lock(&self.update_rates)
    }

    pub(crate) fn query_rates(&self) -> MutexGuard<'_, AddressBuckets> {
        lock(&self.query_rates)
    }

    /// A connection with a neighbour is up. None when the one that crossed it stays.
    pub(crate) fn open_link(
        &self,
        neighbour: PublicKey,
        is_dialled: bool,
        stop: &CancellationToken,
    ) -> Option<(u64, LinkHandle)> {
        let handle = LinkHandle { wake: Arc::default(), stop: stop.child_token() };
        let mut links = lock(&self.links);
        let (number, displaced) = links.open(neighbour, is_dialled, handle.clone(), self.steady_ms())?;
        // What the displaced one was about to send is found again by comparing.
        if let Some(displaced) = displaced {
            displaced.stop.cancel();
        }
        lock(&self.replica).link_up(neighbour, unix_ms());
        handle.wake.notify_one();
        self.links_have_changed(&links);
        Some((number, handle))
    }

    /// A connection with a neighbour has ended.
    pub(crate) fn close_link(&self, neighbour: &PublicKey, number: u64) {
        let mut links = lock(&self.links);
        if links.close(neighbour, number) {
            lock(&self.replica).link_down(neighbour);
        }
        self.links_have_changed(&links);
    }

    /// Ends the connection with a neighbour, if there is one.
    pub(crate) fn stop_link(&self, neighbour: &PublicKey) {
        if let Some(handle) = lock(&self.links).handle(neighbour) {
            handle.stop.cancel();
        }
    }

    /// Waits until there is no connection with a neighbour.
    pub(crate) async fn unlinked(&self, neighbour: &PublicKey) {
        let mut changed = self.links_changed.subscribe();
        while lock(&self.links).handle(neighbour).is_some() && changed.changed().await.is_ok() {}
    }

    fn links_have_changed(&self, links: &NeighbourLinks<LinkHandle>) {
        self.counters.neighbours_connected.store(links.len() as u64, Ordering::Relaxed);
        self.links_changed.send_replace(());
    }

    /// Frees memory, and compares with neighbours when it is time.
    pub(crate) fn sweep(&self) {
        self.decide(|replica| replica.tick(unix_ms()));
        let now_ms = self.steady_ms();
        self.update_rates().sweep(now_ms);
        self.query_rates().sweep(now_ms);
        self.searches.sweep();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The time. Before 1970 counts as 1970: then every update is refused with the reason.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_has_another_secret_seed() {
        let seed = |graphs: QueryGraphs| format!("{graphs:?}");
        assert_ne!(seed(empty_graphs()), seed(empty_graphs()));
    }
}
