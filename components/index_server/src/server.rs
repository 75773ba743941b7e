//! The server: its listening sockets, and one task for the connection of each node.

use crate::admission::admit;
use crate::connections::Opened;
use crate::counters::Counters;
use crate::limits::Limits;
use crate::neighbours::{Federation, Neighbours};
use crate::persistence;
use crate::state::{State, unix_ms};
use crate::token_bucket::TokenBucket;
use offst_crypto::{Ed25519Verifier, Identity, PublicKey};
use offst_proto::Unverified;
use offst_proto::index::{
    INDEX_FRAME_BYTES_MAX, IndexToNode, NodeToIndex, Query, Update, UpdateOutcome, UpdateRefusal, UpdateResult,
};
use offst_secure_channel::{
    Accepted, Acceptor, Authenticator, FrameError, FrameReader, FrameWriter, Keepalive, KeepaliveStep, SecureStream,
    address_group,
};
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// An index server before it is started.
#[derive(Debug)]
pub struct IndexServer {
    /// Where nodes connect.
    pub listener: TcpListener,
    /// The server's key.
    pub identity: Arc<Identity>,
    /// Bounds on what one node may use.
    pub limits: Limits,
    /// What is counted for the operator.
    pub counters: Arc<Counters>,
    /// Where other index servers connect, and which; a server on its own has none.
    pub federation: Option<Federation>,
    /// The file that keeps what is held over a restart, if there is one.
    pub file: Option<PathBuf>,
}

/// Serves nodes until `shutdown`, alone, and forgets everything at the end.
///
/// # Errors
/// As for [`IndexServer::serve`].
pub async fn serve(
    listener: TcpListener,
    identity: Arc<Identity>,
    limits: Limits,
    counters: Arc<Counters>,
    shutdown: CancellationToken,
) -> io::Result<()> {
    IndexServer { listener, identity, limits, counters, federation: None, file: None }.serve(shutdown).await
}

impl IndexServer {
    /// Serves nodes, and other index servers, until `shutdown`.
    ///
    /// # Errors
    /// A listening socket has no address, or the system has no threads left.
    pub async fn serve(self, shutdown: CancellationToken) -> io::Result<()> {
        let IndexServer { listener, identity, limits, counters, federation, file } = self;
        let state = Arc::new(State::start(identity.public_key(), limits, counters)?);
        if let Some(file) = file.clone() {
            let state = state.clone();
            tokio::task::spawn_blocking(move || persistence::restore(&state, &file)).await.map_err(io::Error::other)?;
        }
        let authenticator = Authenticator::new(&identity);
        let handshakes = state.counters.handshakes.clone();
        let mut acceptor = Acceptor::with_counters(listener, authenticator, limits.handshakes, handshakes)?;
        let tasks = TaskTracker::new();
        if let Some(federation) = federation {
            let neighbours = Neighbours::start(federation, &identity, state.clone(), tasks.clone())?;
            tasks.spawn(neighbours.run(shutdown.child_token()));
        }
        let ended = CancellationToken::new();
        let saving =
            file.map(|file| tokio::spawn(persistence::run(state.clone(), file, shutdown.clone(), ended.clone())));
        let mut sweeps = timer(limits.sweep_ms);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = acceptor.accept() => {
                    tasks.spawn(connection(state.clone(), accepted, shutdown.child_token()));
                }
                _ = sweeps.tick() => {
                    tasks.spawn_blocking({ let state = state.clone(); move || state.sweep() });
                }
            }
        }
        drop(acceptor);
        tasks.close();
        tasks.wait().await;
        ended.cancel();
        if let Some(saving) = saving {
            saving.await.map_err(io::Error::other)?;
        }
        Ok(())
    }
}

fn timer(period_ms: u64) -> tokio::time::Interval {
    let mut timer = tokio::time::interval(Duration::from_millis(period_ms.max(1)));
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    timer
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the node closed the connection")]
    Closed,
    #[error("a newer connection of the node has replaced it, or the server stops")]
    Stopped,
    #[error("nothing came from the node for too long")]
    Silent,
    #[error("the node does not read its answers")]
    NotReading,
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("the node sent something that is no message: {0}")]
    Malformed(#[from] offst_proto::encoding::DecodeError),
    #[error("the server failed at an update or a search")]
    Failed,
}

async fn connection(state: Arc<State>, accepted: Accepted, stop: CancellationToken) {
    let Accepted { public_key, address, stream } = accepted;
    let opened = state.connections().open(public_key, address.ip(), stop.clone());
    let number = match opened {
        Ok(Opened { number, displaced, evicted }) => {
            if evicted.is_some() {
                Counters::add(&state.counters.connections_gave_way);
            }
            displaced.into_iter().chain(evicted).for_each(|handle| handle.cancel());
            number
        }
        Err(surplus) => {
            Counters::add(&state.counters.connections_refused);
            log::debug!("closed the connection of {public_key} from {address}: {surplus}");
            return;
        }
    };
    Counters::add(&state.counters.connections);
    count_open(&state);
    log::debug!("{public_key} connected from {address}");
    let connection = Connection::new(state.clone(), public_key, address_group(address.ip()), stream);
    let ended = match stop.run_until_cancelled(connection.run()).await {
        Some(Err(ended)) => ended,
        Some(Ok(never)) => match never {},
        None => Ended::Stopped,
    };
    if matches!(ended, Ended::Malformed(_) | Ended::Frame(FrameError::TooLarge { .. })) {
        Counters::add(&state.counters.garbage);
        log::info!(peer:% = address_group(address.ip()); "closed the connection of {public_key} from {address}: {ended}");
    } else {
        log::debug!("the connection of {public_key} from {address} ended: {ended}");
    }
    state.connections().close(&public_key, number);
    count_open(&state);
}

fn count_open(state: &State) {
    state.counters.connections_open.store(state.connections().len() as u64, Ordering::Relaxed);
}

/// Gives the outcome, and the number of the change that searches have to see.
fn publish(state: &State, node: &PublicKey, address: IpAddr, update: Unverified<Update>) -> (UpdateOutcome, u64) {
    let now_ms = unix_ms();
    match admit(update, node, &Ed25519Verifier, now_ms) {
        Ok(update) => state.decide(|replica| replica.publish(&update, address, now_ms)),
        Err(reason) => (UpdateOutcome::Refused { reason, server_ms: now_ms }, 0),
    }
}

/// One node's connection. It is served one frame at a time: a node that asks faster than it is answered waits in its
/// own socket.
struct Connection {
    state: Arc<State>,
    node: PublicKey,
    /// The address group whose rates it shares.
    address: IpAddr,
    clock_was_reported: bool,
    reader: FrameReader<ReadHalf<SecureStream<TcpStream>>>,
    writer: FrameWriter<WriteHalf<SecureStream<TcpStream>>>,
    keepalive: Keepalive,
    updates: TokenBucket,
    queries: TokenBucket,
}

impl Connection {
    fn new(state: Arc<State>, node: PublicKey, address: IpAddr, stream: SecureStream<TcpStream>) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        let now_ms = state.steady_ms();
        let limits = state.limits;
        let bucket = |per_second: u32| TokenBucket::new(per_second, per_second.saturating_mul(2), now_ms);
        Connection {
            node,
            address,
            clock_was_reported: false,
            reader: FrameReader::new(reader, INDEX_FRAME_BYTES_MAX),
            writer: FrameWriter::new(writer, INDEX_FRAME_BYTES_MAX),
            keepalive: Keepalive::new(limits.keepalive, now_ms),
            updates: bucket(limits.updates_per_second),
            queries: bucket(limits.queries_per_second),
            state,
        }
    }

    /// Runs until the connection ends. Gives the reason.
    async fn run(mut self) -> Result<std::convert::Infallible, Ended> {
        loop {
            let wait_ms = match self.keepalive.step(self.state.steady_ms()) {
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
            let now_ms = self.state.steady_ms();
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
        let (sequence, expires_ms) = (update.peek().sequence, update.peek().expires_ms);
        let is_allowed = self.updates.take(now_ms) && self.state.update_rates().take(self.address, now_ms);
        let outcome = if is_allowed {
            let (state, node, address) = (self.state.clone(), self.node, self.address);
            let published = tokio::task::spawn_blocking(move || publish(&state, &node, address, update));
            let (outcome, number) = published.await.map_err(|_| Ended::Failed)?;
            self.state.visible(number).await;
            outcome
        } else {
            UpdateOutcome::Refused { reason: UpdateRefusal::TooOften, server_ms: unix_ms() }
        };
        self.state.counters.count_update(&outcome);
        self.report_clock(&outcome, expires_ms);
        Ok(UpdateResult { sequence, outcome })
    }

    /// The refusal tells the node itself; this tells the operator of the server.
    fn report_clock(&mut self, outcome: &UpdateOutcome, expires_ms: u64) {
        let UpdateOutcome::Refused { reason, server_ms } = outcome else { return };
        if reason.is_clock() && !self.clock_was_reported {
            self.clock_was_reported = true;
            let seconds = expires_ms.abs_diff(*server_ms) / 1000;
            let side = if expires_ms > *server_ms { "from now" } else { "ago" };
            log::info!(
                peer:% = self.address;
                "updates of the node {} are refused: they expire {seconds} s {side}, so its clock or this one is wrong",
                self.node
            );
        }
    }

    async fn search(&mut self, query: Query, now_ms: u64) -> Result<IndexToNode, Ended> {
        let id = query.id;
        if !self.queries.take(now_ms) || !self.state.query_rates().take(self.address, now_ms) {
            Counters::add(&self.state.counters.queries_busy);
            return Ok(IndexToNode::Busy(id));
        }
        match self.state.searches.ask(self.address, query).await {
            Ok(answer) => Ok(IndexToNode::Answer(answer)),
            Err(_) => {
                Counters::add(&self.state.counters.queries_overload);
                Ok(IndexToNode::Busy(id))
            }
        }
    }

    async fn send(&mut self, message: IndexToNode) -> Result<(), Ended> {
        let timeout = Duration::from_millis(self.state.limits.keepalive.idle_timeout_ms);
        let frame = message.to_frame();
        tokio::time::timeout(timeout, self.writer.send(&frame)).await.map_err(|_| Ended::NotReading)??;
        self.keepalive.sent(self.state.steady_ms());
        Ok(())
    }
}

#[cfg(test)]
mod tests;
