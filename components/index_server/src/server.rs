//! Sockets around the index: one task a connection, searches on threads of their own.

use crate::connections::Connections;
use crate::{Counters, Index, Limits, TokenBucket, admit};
use offst_crypto::{Ed25519Verifier, Identity, PublicKey};
use offst_proto::Unverified;
use offst_proto::index::{
    Answer, INDEX_FRAME_BYTES_MAX, IndexToNode, NodeToIndex, Query, Update, UpdateOutcome, UpdateRefusal, UpdateResult,
};
use offst_secure_channel::{
    Accepted, Acceptor, Authenticator, FrameError, FrameReader, FrameWriter, Keepalive, KeepaliveStep, SecureStream,
};
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::io::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// One sweep looks at this share of all nodes.
const SWEEP_SHARE: usize = 60;
/// One sweep looks at no fewer nodes than this.
const SWEEP_NODES_MIN: usize = 100;

/// Serves nodes until `shutdown`. What was published is kept in memory only: after a restart nodes publish again.
///
/// # Errors
/// The listening socket has no address.
pub async fn serve(
    listener: TcpListener,
    identity: Arc<Identity>,
    limits: Limits,
    counters: Arc<Counters>,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let mut acceptor = Acceptor::new(listener, Authenticator::new(&identity), limits.handshakes)?;
    let server = Arc::new(Server {
        index: RwLock::new(Index::new(limits)),
        connections: Mutex::new(Connections::new(limits.connections, limits.connections_per_address)),
        searches: Arc::new(Semaphore::new(limits.searches.clamp(1, Semaphore::MAX_PERMITS))),
        limits,
        counters,
        started: Instant::now(),
    });
    let tasks = TaskTracker::new();
    let mut sweeps = tokio::time::interval(Duration::from_millis(limits.sweep_ms.max(1)));
    sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = acceptor.accept() => {
                tasks.spawn(server.clone().connection(accepted, shutdown.child_token()));
            }
            _ = sweeps.tick() => { tasks.spawn_blocking({ let server = server.clone(); move || server.sweep() }); }
        }
    }
    drop(acceptor);
    tasks.close();
    tasks.wait().await;
    Ok(())
}

/// What all connections share.
struct Server {
    index: RwLock<Index>,
    /// The handle ends the connection's task.
    connections: Mutex<Connections<CancellationToken>>,
    /// First come, first served, and each connection asks one thing at a time: nobody keeps the others waiting for
    /// long.
    searches: Arc<Semaphore>,
    limits: Limits,
    counters: Arc<Counters>,
    started: Instant,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the node closed the connection")]
    Closed,
    #[error("a newer connection of the node took its place, or the server stops")]
    Stopped,
    #[error("nothing came from the node for too long")]
    Silent,
    #[error("the node does not read its answers")]
    NotReading,
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("the node sent something that is no message: {0}")]
    Garbage(#[from] offst_proto::encoding::DecodeError),
    #[error("the server failed at an update or a search")]
    Failed,
}

impl Server {
    async fn connection(self: Arc<Self>, accepted: Accepted, stop: CancellationToken) {
        let Accepted { public_key, address, stream } = accepted;
        let opened = self.connections().open(public_key, address.ip(), stop.clone());
        let number = match opened {
            Ok((number, displaced)) => {
                if let Some(displaced) = displaced {
                    displaced.cancel();
                }
                number
            }
            Err(surplus) => {
                log::info!("closed the connection of {public_key} from {address}: {surplus}");
                return;
            }
        };
        Counters::add(&self.counters.connections);
        self.count_open();
        log::debug!("{public_key} connected from {address}");
        let ended = match stop.run_until_cancelled(Connection::new(self.clone(), public_key, stream).run()).await {
            Some(Err(ended)) => ended,
            Some(Ok(never)) => match never {},
            None => Ended::Stopped,
        };
        if matches!(ended, Ended::Garbage(_) | Ended::Frame(FrameError::TooLarge { .. })) {
            Counters::add(&self.counters.garbage);
            log::info!("closed the connection of {public_key} from {address}: {ended}");
        } else {
            log::debug!("the connection of {public_key} from {address} ended: {ended}");
        }
        self.connections().close(&public_key, number);
        self.count_open();
    }

    fn connections(&self) -> MutexGuard<'_, Connections<CancellationToken>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_open(&self) {
        self.counters.connections_open.store(self.connections().len() as u64, Ordering::Relaxed);
    }

    /// For waiting: never set back.
    fn steady_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn publish(&self, node: &PublicKey, update: Unverified<Update>) -> UpdateOutcome {
        let now_ms = unix_ms();
        let outcome = match admit(update, node, &Ed25519Verifier, now_ms) {
            Ok(update) => {
                let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
                let outcome = index.apply(&update, now_ms);
                self.count_index(&index);
                outcome
            }
            Err(reason) => UpdateOutcome::Refused { reason, server_ms: now_ms },
        };
        self.counters.count_update(&outcome);
        outcome
    }

    fn search(&self, query: &Query) -> Answer {
        let answer = self.index.read().unwrap_or_else(PoisonError::into_inner).answer(query, unix_ms());
        Counters::add(&self.counters.queries);
        if answer.ways.is_empty() {
            Counters::add(&self.counters.queries_without_way);
        }
        if answer.cut {
            Counters::add(&self.counters.queries_cut);
        }
        answer
    }

    fn sweep(&self) {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        let count = (index.node_count() / SWEEP_SHARE).max(SWEEP_NODES_MIN);
        index.sweep(unix_ms(), count);
        self.count_index(&index);
    }

    fn count_index(&self, index: &Index) {
        self.counters.nodes.store(index.node_count() as u64, Ordering::Relaxed);
        self.counters.edges.store(index.edge_count() as u64, Ordering::Relaxed);
    }
}

/// One node's connection. It is served one frame at a time: a node that asks faster than it is answered waits in its
/// own socket.
struct Connection {
    server: Arc<Server>,
    node: PublicKey,
    reader: FrameReader<ReadHalf<SecureStream<TcpStream>>>,
    writer: FrameWriter<WriteHalf<SecureStream<TcpStream>>>,
    keepalive: Keepalive,
    updates: TokenBucket,
    queries: TokenBucket,
}

impl Connection {
    fn new(server: Arc<Server>, node: PublicKey, stream: SecureStream<TcpStream>) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        let now_ms = server.steady_ms();
        let limits = server.limits;
        let bucket = |per_second: u32| TokenBucket::new(per_second, per_second.saturating_mul(2), now_ms);
        Connection {
            node,
            reader: FrameReader::new(reader, INDEX_FRAME_BYTES_MAX),
            writer: FrameWriter::new(writer, INDEX_FRAME_BYTES_MAX),
            keepalive: Keepalive::new(limits.keepalive, now_ms),
            updates: bucket(limits.updates_per_second),
            queries: bucket(limits.queries_per_second),
            server,
        }
    }

    /// Ends with the reason only.
    async fn run(mut self) -> Result<std::convert::Infallible, Ended> {
        loop {
            let wait_ms = match self.keepalive.step(self.server.steady_ms()) {
                KeepaliveStep::Send => {
                    self.send(IndexToNode::Keepalive).await?;
                    continue;
                }
                KeepaliveStep::Dead => return Err(Ended::Silent),
                KeepaliveStep::Wait(wait_ms) => wait_ms,
            };
            let frame = match tokio::time::timeout(Duration::from_millis(wait_ms), self.reader.next()).await {
                Ok(frame) => frame?.ok_or(Ended::Closed)?,
                Err(_) => continue,
            };
            let now_ms = self.server.steady_ms();
            self.keepalive.received(now_ms);
            match NodeToIndex::from_frame(&frame)? {
                NodeToIndex::Update(wire) => {
                    let result = self.publish(&wire, now_ms).await?;
                    self.send(IndexToNode::UpdateResult(result)).await?;
                }
                NodeToIndex::Query(query) => {
                    let reply = self.search(query, now_ms).await?;
                    self.send(reply).await?;
                }
                NodeToIndex::Keepalive => {}
            }
        }
    }

    async fn publish(&mut self, wire: &[u8], now_ms: u64) -> Result<UpdateResult, Ended> {
        let update = Unverified::<Update>::from_wire(wire)?;
        let sequence = update.peek().sequence;
        let outcome = if self.updates.take(now_ms) {
            let (server, node) = (self.server.clone(), self.node);
            tokio::task::spawn_blocking(move || server.publish(&node, update)).await.map_err(|_| Ended::Failed)?
        } else {
            let outcome = UpdateOutcome::Refused { reason: UpdateRefusal::TooOften, server_ms: unix_ms() };
            self.server.counters.count_update(&outcome);
            outcome
        };
        Ok(UpdateResult { sequence, outcome })
    }

    async fn search(&mut self, query: Query, now_ms: u64) -> Result<IndexToNode, Ended> {
        if !self.queries.take(now_ms) {
            Counters::add(&self.server.counters.queries_busy);
            return Ok(IndexToNode::Busy(query.id));
        }
        let permit = self.server.searches.clone().acquire_owned().await.map_err(|_| Ended::Stopped)?;
        let server = self.server.clone();
        // The permit lasts as long as the search, also when the connection ends before.
        let search = move || {
            let _permit = permit;
            server.search(&query)
        };
        let answer = tokio::task::spawn_blocking(search).await.map_err(|_| Ended::Failed)?;
        Ok(IndexToNode::Answer(answer))
    }

    async fn send(&mut self, message: IndexToNode) -> Result<(), Ended> {
        let patience = Duration::from_millis(self.server.limits.keepalive.idle_timeout_ms);
        let frame = message.to_frame();
        tokio::time::timeout(patience, self.writer.send(&frame)).await.map_err(|_| Ended::NotReading)??;
        self.keepalive.sent(self.server.steady_ms());
        Ok(())
    }
}

/// The time of the world. Before 1970 counts as 1970: then every update is refused, and says why.
fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
