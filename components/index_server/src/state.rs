//! What all connections of a server share: the core, the graph with its threads, and the links to neighbours.

use crate::connections::Connections;
use crate::graph_writer::GraphWriter;
use crate::graphs::Graphs;
use crate::links::Links;
use crate::quota::AddressBuckets;
use crate::searches::Searches;
use crate::{Core, Counters, Limits};
use offst_crypto::{PublicKey, RandomExt, SystemRandom};
use offst_proto::index::BUCKETS;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// So many buckets are looked at under one lock.
const BUCKETS_AT_ONCE: usize = 64;

/// Shared by all tasks of a server. The locks are held for milliseconds at most. Where two are
/// held at the same time, the one of the links comes before the one of the core.
pub(crate) struct State {
    pub(crate) limits: Limits,
    pub(crate) counters: Arc<Counters>,
    core: Mutex<Core>,
    graph_writer: GraphWriter,
    pub(crate) searches: Searches,
    /// The handle ends the connection's task.
    connections: Mutex<Connections<CancellationToken>>,
    updates_of_addresses: Mutex<AddressBuckets>,
    queries_of_addresses: Mutex<AddressBuckets>,
    links: Mutex<Links<LinkHandle>>,
    links_changed: watch::Sender<()>,
    started: Instant,
}

/// Reaches the task of a link.
#[derive(Debug, Clone)]
pub(crate) struct LinkHandle {
    /// There is something to send.
    pub(crate) news: Arc<Notify>,
    /// Ends it.
    pub(crate) stop: CancellationToken,
}

/// Graphs with a seed that nobody outside knows.
fn empty_graphs() -> Graphs {
    Graphs::new(u64::from_be_bytes(SystemRandom::new().array()))
}

impl State {
    /// With the threads of the server with the key `own`.
    ///
    /// # Errors
    /// The system has no threads left.
    pub(crate) fn start(own: PublicKey, limits: Limits, counters: Arc<Counters>) -> io::Result<Self> {
        let graph = Arc::new(RwLock::new(empty_graphs()));
        let searches = Searches::start(&limits, graph.clone(), counters.clone(), unix_ms)?;
        Ok(State {
            core: Mutex::new(Core::new(own, limits)),
            graph_writer: GraphWriter::start(graph, searches.courtesy())?,
            searches,
            connections: Mutex::new(Connections::new(limits.connections_max, limits.connections_per_address_max)),
            updates_of_addresses: Mutex::new(AddressBuckets::new(limits.updates_per_second_per_address)),
            queries_of_addresses: Mutex::new(AddressBuckets::new(limits.queries_per_second_per_address)),
            links: Mutex::new(Links::new(own)),
            links_changed: watch::Sender::new(()),
            started: Instant::now(),
            limits,
            counters,
        })
    }

    /// For waiting: never set back.
    pub(crate) fn steady_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Lets the core decide, then tells the graph and the links. With the result comes the number to wait for until
    /// searches see it: [`State::visible`].
    pub(crate) fn decide<R>(&self, decide: impl FnOnce(&mut Core) -> R) -> (R, u64) {
        let mut core = lock(&self.core);
        let result = decide(&mut core);
        // Under the lock, so that changes come in the order in which they were decided.
        let number = self.graph_writer.push(core.take_changes());
        let with_news = core.links_with_news();
        let book = core.book();
        self.counters.nodes.store(book.node_count() as u64, Ordering::Relaxed);
        self.counters.edges.store(book.edge_count() as u64, Ordering::Relaxed);
        self.counters.update_bytes.store(book.update_bytes() as u64, Ordering::Relaxed);
        self.counters.nodes_gave_way.store(book.gave_way(), Ordering::Relaxed);
        drop(core);
        if !with_news.is_empty() {
            let links = lock(&self.links);
            let handles = with_news.iter().filter_map(|neighbour| links.handle(neighbour));
            handles.for_each(|handle| handle.news.notify_one());
        }
        (result, number)
    }

    /// Waits until searches see the changes up to a number.
    pub(crate) async fn visible(&self, number: u64) {
        self.graph_writer.applied(number).await;
    }

    /// Looks at the core without changing anything that others wait for.
    pub(crate) fn with_core<R>(&self, look: impl FnOnce(&mut Core) -> R) -> R {
        look(&mut lock(&self.core))
    }

    /// Makes digests anew a few at a time, so that nobody waits for the lock while all are made.
    pub(crate) fn refresh_digests(&self) {
        for first in (0..BUCKETS).step_by(BUCKETS_AT_ONCE) {
            self.with_core(|core| core.refresh_digests(first..first + BUCKETS_AT_ONCE));
        }
    }

    pub(crate) fn connections(&self) -> MutexGuard<'_, Connections<CancellationToken>> {
        lock(&self.connections)
    }

    pub(crate) fn updates_of_addresses(&self) -> MutexGuard<'_, AddressBuckets> {
        lock(&self.updates_of_addresses)
    }

    pub(crate) fn queries_of_addresses(&self) -> MutexGuard<'_, AddressBuckets> {
        lock(&self.queries_of_addresses)
    }

    /// A connection with a neighbour is there. None when the one that crossed it stays.
    pub(crate) fn open_link(
        &self,
        neighbour: PublicKey,
        is_dialled: bool,
        stop: &CancellationToken,
    ) -> Option<(u64, LinkHandle)> {
        let handle = LinkHandle { news: Arc::default(), stop: stop.child_token() };
        let mut links = lock(&self.links);
        let (number, displaced) = links.open(neighbour, is_dialled, handle.clone(), self.steady_ms())?;
        // Whatever the displaced one was about to say is found again by comparing.
        if let Some(displaced) = displaced {
            displaced.stop.cancel();
        }
        lock(&self.core).link_up(neighbour, unix_ms());
        handle.news.notify_one();
        self.links_have_changed(&links);
        Some((number, handle))
    }

    /// A connection with a neighbour has ended.
    pub(crate) fn close_link(&self, neighbour: &PublicKey, number: u64) {
        let mut links = lock(&self.links);
        if links.close(neighbour, number) {
            lock(&self.core).link_down(neighbour);
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

    fn links_have_changed(&self, links: &Links<LinkHandle>) {
        self.counters.neighbours_connected.store(links.len() as u64, Ordering::Relaxed);
        self.links_changed.send_replace(());
    }

    /// Gives back memory, and has neighbours compare when it is time.
    pub(crate) fn sweep(&self) {
        self.decide(|core| core.tick(unix_ms()));
        let now_ms = self.steady_ms();
        self.updates_of_addresses().sweep(now_ms);
        self.queries_of_addresses().sweep(now_ms);
        self.searches.sweep();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The time of the world. Before 1970 counts as 1970: then every update is refused, and says why.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_keys_lie_is_another_secret_at_each_server() {
        let seed = |graphs: Graphs| format!("{graphs:?}");
        assert_ne!(seed(empty_graphs()), seed(empty_graphs()));
    }
}
