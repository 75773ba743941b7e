//! The connections with other index servers: which are dialled, which are accepted, and one task for each link.

use crate::admission::admit_from_neighbour;
use crate::counters::Counters;
use crate::replica::{Notice, Received};
use crate::state::{LinkHandle, State, unix_ms};
use offst_crypto::{Ed25519Verifier, Identity, PublicKey, RandomExt, SystemRandom};
use offst_proto::encoding::DecodeError;
use offst_proto::index::{
    FEDERATION_FRAME_BYTES_MAX, FederationRefusal, ServerToServer, Update, UpdateName, UpdateRefusal,
};
use offst_proto::ticket::{Address, ServerTicket};
use offst_proto::{Unverified, Verified};
use offst_secure_channel::{
    Accepted, Acceptor, Authenticator, Backoff, ConnectError, FrameError, FrameReader, FrameWriter, SecureStream,
    address_group,
};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// Longest time for dialling, the handshake and the first message.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// First wait before a neighbour is dialled again; doubled after each failure.
const RECONNECT_MIN_MS: u64 = 200;
/// Longest wait before a neighbour is dialled again.
const RECONNECT_MAX_MS: u64 = 10_000;
/// The larger key waits before it dials, so that dials rarely cross.
const DIAL_DELAY: Duration = Duration::from_millis(500);
/// Most servers that are not trusted and remembered so that each is logged once.
const UNTRUSTED_MAX: usize = 100;
/// Clocks that differ by more are worth a warning, ms.
const CLOCK_DIFFERENCE_MS: u64 = 60_000;
/// A link reads no further while so many of its changes wait for the graph.
const CHANGES_WAITING: u64 = 20_000;
/// Fewer updates than this are verified by one thread.
const VERIFY_TOGETHER: usize = 32;

/// How an index server is linked with others.
#[derive(Debug)]
pub struct Federation {
    /// Where they connect.
    pub listener: TcpListener,
    /// Those that are trusted, now and whenever it changes. The link works when the other one trusts this server too.
    pub trusted: watch::Receiver<BTreeMap<PublicKey, ServerTicket>>,
}

/// The task that dials, and accepts connections.
pub(crate) struct Neighbours {
    own: PublicKey,
    state: Arc<State>,
    tasks: TaskTracker,
    authenticator: Authenticator,
    acceptor: Acceptor,
    trusted: watch::Receiver<BTreeMap<PublicKey, ServerTicket>>,
    dialled: BTreeMap<PublicKey, Dialled>,
    untrusted: BTreeSet<PublicKey>,
}

struct Dialled {
    ticket: ServerTicket,
    _stop: DropGuard,
}

/// Why a link ended, or did not begin.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("{0}")]
    Refused(FederationRefusal),
    #[error("the other server closed the connection")]
    Closed,
    #[error("another connection with it has replaced it, or it is not trusted any more, or this server stops")]
    Stopped,
    #[error("nothing came from it for too long")]
    Silent,
    #[error("it does not read what it is sent")]
    NotReading,
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("it sent something that is no message: {0}")]
    Malformed(#[from] DecodeError),
    #[error("this server failed at a message")]
    Failed,
}

type Reader = FrameReader<ReadHalf<SecureStream<TcpStream>>>;
type Writer = FrameWriter<WriteHalf<SecureStream<TcpStream>>>;

fn frames(stream: SecureStream<TcpStream>) -> (Reader, Writer) {
    let (reader, writer) = tokio::io::split(stream);
    (FrameReader::new(reader, FEDERATION_FRAME_BYTES_MAX), FrameWriter::new(writer, FEDERATION_FRAME_BYTES_MAX))
}

impl Neighbours {
    /// Listens. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// The listening socket has no address.
    pub(crate) fn start(
        federation: Federation,
        identity: &Identity,
        state: Arc<State>,
        tasks: TaskTracker,
    ) -> io::Result<Self> {
        let authenticator = Authenticator::new(identity);
        let (limits, handshakes) = (state.limits.handshakes, state.counters.handshakes.clone());
        let acceptor = Acceptor::with_counters(federation.listener, authenticator.clone(), limits, handshakes)?;
        Ok(Neighbours {
            own: identity.public_key(),
            state,
            tasks,
            authenticator,
            acceptor,
            trusted: federation.trusted,
            dialled: BTreeMap::new(),
            untrusted: BTreeSet::new(),
        })
    }

    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            self.update_trust(&stop);
            tokio::select! {
                () = stop.cancelled() => return,
                changed = self.trusted.changed() => {
                    if changed.is_err() {
                        // The set does not change any more.
                        stop.run_until_cancelled(self.accept_only(&stop)).await;
                        return;
                    }
                    self.untrusted.clear();
                }
                accepted = self.acceptor.accept() => self.accepted(accepted, &stop),
            }
        }
    }

    async fn accept_only(&mut self, stop: &CancellationToken) {
        loop {
            let accepted = self.acceptor.accept().await;
            self.accepted(accepted, stop);
        }
    }

    /// Dials the servers that are trusted now, and ends the links with those that are not any more.
    fn update_trust(&mut self, stop: &CancellationToken) {
        let mut trusted = self.trusted.borrow_and_update().clone();
        if trusted.remove(&self.own).is_some() {
            log::debug!("the server's own ticket is among the trusted ones, which means nothing");
        }
        let distrusted: Vec<_> = self
            .dialled
            .iter()
            .filter(|(key, dialled)| trusted.get(key) != Some(&dialled.ticket))
            .map(|(key, _)| *key)
            .collect();
        for key in distrusted {
            self.dialled.remove(&key);
            self.state.stop_link(&key);
        }
        for (key, ticket) in trusted {
            if self.dialled.contains_key(&key) {
                continue;
            }
            let stop = stop.child_token();
            let dialler = Dialler {
                own: self.own,
                state: self.state.clone(),
                authenticator: self.authenticator.clone(),
                ticket: ticket.clone(),
                tasks: self.tasks.clone(),
                stop: stop.clone(),
            };
            self.tasks.spawn(stop.clone().run_until_cancelled_owned(dialler.run()));
            self.dialled.insert(key, Dialled { ticket, _stop: stop.drop_guard() });
        }
    }

    // R5.11.
    fn accepted(&mut self, accepted: Accepted, stop: &CancellationToken) {
        let Accepted { public_key, address, stream } = accepted;
        let (reader, writer) = frames(stream);
        let opened = if !self.dialled.contains_key(&public_key) {
            Counters::add(&self.state.counters.federation_untrusted);
            if self.untrusted.len() < UNTRUSTED_MAX && self.untrusted.insert(public_key) {
                log::warn!(
                    peer:% = address_group(address.ip());
                    "the index server {public_key} connected from {address} and was rejected: it is not trusted here; \
                     to federate with it put its server ticket into the folder trusted"
                );
            }
            Err(FederationRefusal::NotTrusted)
        } else {
            self.state.open_link(public_key, false, stop).ok_or(FederationRefusal::Crossed)
        };
        match opened {
            Ok((number, handle)) => {
                log::info!(peer:% = public_key; "linked with the index server {public_key}, which dialled from {address}");
                let link = Link { state: self.state.clone(), neighbour: public_key, number, handle, reader, writer };
                self.tasks.spawn(link.run(None));
            }
            Err(reason) => {
                self.tasks.spawn(stop.clone().run_until_cancelled_owned(refuse(reason, reader, writer)));
            }
        }
    }
}

/// Sends the reason, and waits until the other side has read it.
async fn refuse(reason: FederationRefusal, mut reader: Reader, mut writer: Writer) {
    let sending = async {
        writer.send(&ServerToServer::Refused(reason).to_frame()).await?;
        writer.shutdown().await?;
        reader.next().await
    };
    // It does not matter whether the other side reads it.
    let _ = tokio::time::timeout(CONNECT_TIMEOUT, sending).await;
}

/// Dials one neighbour again and again while there is no connection with it.
struct Dialler {
    own: PublicKey,
    state: Arc<State>,
    authenticator: Authenticator,
    ticket: ServerTicket,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Dialler {
    async fn run(self) {
        let ServerTicket { public_key, address } = &self.ticket;
        let (mut backoff, mut random) = (Backoff::default(), SystemRandom::new());
        let mut logged = String::new();
        loop {
            self.state.unlinked(public_key).await;
            if self.own > *public_key {
                tokio::time::sleep(DIAL_DELAY).await;
                self.state.unlinked(public_key).await;
            }
            match self.dial().await {
                Ok((first, reader, writer)) => {
                    backoff.reset();
                    logged.clear();
                    let Some((number, handle)) = self.state.open_link(*public_key, true, &self.stop) else { continue };
                    log::info!(peer:% = public_key; "linked with the index server {public_key} at {address}");
                    let (state, neighbour) = (self.state.clone(), *public_key);
                    let link = Link { state, neighbour, number, handle, reader, writer };
                    // A task of its own: it cleans up also when this one is stopped.
                    self.tasks.spawn(link.run(Some(first)));
                    self.state.unlinked(public_key).await;
                }
                Err(Ended::Refused(FederationRefusal::Crossed)) => {}
                Err(ended) => {
                    let reason = ended.to_string();
                    if reason != logged {
                        log::warn!(peer:% = public_key; "no link with the index server {public_key} at {address}: {reason}");
                        logged = reason;
                    }
                }
            }
            let wait_ms = backoff.fail(RECONNECT_MIN_MS, RECONNECT_MAX_MS, u64::from_be_bytes(random.array()));
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        }
    }

    /// Nothing is sent before the other side has accepted the connection.
    async fn dial(&self) -> Result<(Vec<u8>, Reader, Writer), Ended> {
        let ServerTicket { public_key, address } = &self.ticket;
        let stream = self.authenticator.connect_tcp(address, *public_key, CONNECT_TIMEOUT).await?;
        let (mut reader, writer) = frames(stream);
        let first = tokio::time::timeout(CONNECT_TIMEOUT, reader.next()).await.map_err(|_| timeout(address))??;
        let first = first.ok_or(Ended::Closed)?;
        match ServerToServer::from_frame(&first)? {
            ServerToServer::Refused(reason) => Err(Ended::Refused(reason)),
            _ => Ok((first, reader, writer)),
        }
    }
}

fn timeout(address: &Address) -> Ended {
    Ended::Connect(ConnectError::Timeout { address: address.clone(), timeout: CONNECT_TIMEOUT })
}

/// One connection with a neighbour.
struct Link {
    state: Arc<State>,
    neighbour: PublicKey,
    number: u64,
    handle: LinkHandle,
    reader: Reader,
    writer: Writer,
}

impl Link {
    /// Until the connection ends. `first` is a frame that was read already.
    async fn run(self, first: Option<Vec<u8>>) {
        let Link { state, neighbour, number, handle, reader, writer } = self;
        let exchange = async {
            let ended = tokio::select! {
                ended = read(&state, neighbour, reader, first) => ended,
                ended = write(&state, neighbour, &handle, writer) => ended,
            };
            match ended {
                Ok(never) => match never {},
                Err(ended) => ended,
            }
        };
        let ended = handle.stop.run_until_cancelled(exchange).await.unwrap_or(Ended::Stopped);
        if matches!(ended, Ended::Malformed(_) | Ended::Frame(FrameError::TooLarge { .. })) {
            Counters::add(&state.counters.federation_garbage);
        }
        state.close_link(&neighbour, number);
        log::info!(peer:% = neighbour; "the link with the index server {neighbour} ended: {ended}");
    }
}

async fn write(
    state: &Arc<State>,
    neighbour: PublicKey,
    handle: &LinkHandle,
    mut writer: Writer,
) -> Result<Infallible, Ended> {
    let keepalive = state.limits.keepalive;
    let timeout = Duration::from_millis(keepalive.idle_timeout_ms);
    loop {
        let mut message = next_message(state, neighbour).await?;
        if message.is_none() {
            let pause = Duration::from_millis(keepalive.keepalive_ms);
            if tokio::time::timeout(pause, handle.wake.notified()).await.is_ok() {
                continue;
            }
            message = Some(ServerToServer::Keepalive);
        }
        let Some(message) = message else { continue };
        if let ServerToServer::Updates(updates) = &message {
            Counters::add_many(&state.counters.federation_sent, updates.len() as u64);
        }
        let frame = message.to_frame();
        Counters::add_many(&state.counters.federation_bytes_sent, frame.len() as u64);
        tokio::time::timeout(timeout, writer.send(&frame)).await.map_err(|_| Ended::NotReading)??;
    }
}

/// Digests of everything take milliseconds: not on a thread that others wait for.
async fn next_message(state: &Arc<State>, neighbour: PublicKey) -> Result<Option<ServerToServer>, Ended> {
    let state = state.clone();
    let next = move || {
        state.refresh_digests();
        state.with_replica(|replica| replica.next_message(&neighbour, unix_ms()))
    };
    tokio::task::spawn_blocking(next).await.map_err(|_| Ended::Failed)
}

async fn read(
    state: &Arc<State>,
    neighbour: PublicKey,
    mut reader: Reader,
    mut first: Option<Vec<u8>>,
) -> Result<Infallible, Ended> {
    let timeout = Duration::from_millis(state.limits.keepalive.idle_timeout_ms);
    let mut clock_was_reported = false;
    loop {
        let frame = match first.take() {
            Some(frame) => frame,
            None => {
                let frame = tokio::time::timeout(timeout, reader.next()).await.map_err(|_| Ended::Silent)??;
                frame.ok_or(Ended::Closed)?
            }
        };
        Counters::add_many(&state.counters.federation_bytes_received, frame.len() as u64);
        let taken = {
            let state = state.clone();
            tokio::task::spawn_blocking(move || handle_frame(&state, neighbour, &frame))
                .await
                .map_err(|_| Ended::Failed)?
        };
        let (notice, number) = taken?;
        state.visible(number.saturating_sub(CHANGES_WAITING)).await;
        match notice {
            Notice::Refused(reason) => return Err(Ended::Refused(reason)),
            Notice::Clock(clock_ms) if !clock_was_reported => {
                clock_was_reported = warn_about_clock(&neighbour, clock_ms, unix_ms());
            }
            Notice::Clock(_) | Notice::None => {}
        }
    }
}

fn warn_about_clock(neighbour: &PublicKey, clock_ms: u64, own_ms: u64) -> bool {
    let difference_ms = clock_ms.abs_diff(own_ms);
    if difference_ms <= CLOCK_DIFFERENCE_MS {
        return false;
    }
    let side = if clock_ms < own_ms { "behind" } else { "ahead of" };
    log::warn!(
        peer:% = neighbour;
        "the clock of the index server {neighbour} is {} s {side} this one's, so one of the two will refuse updates: \
         set the clock that is wrong",
        difference_ms / 1000
    );
    true
}

/// Handles a frame from a neighbour. Gives also the number of the last change that it made.
fn handle_frame(state: &State, neighbour: PublicKey, frame: &[u8]) -> Result<(Notice, u64), DecodeError> {
    match ServerToServer::from_frame(frame)? {
        ServerToServer::Updates(wires) => {
            let updates = admitted(state, &neighbour, &wires)?;
            let (received, number) = state.decide(|replica| replica.receive_updates(&neighbour, &updates));
            let Received { new, old, over_quota } = received;
            Counters::add_many(&state.counters.federation_news, new);
            Counters::add_many(&state.counters.federation_old, old);
            Counters::add_many(&state.counters.federation_over_quota, over_quota);
            Ok((Notice::None, number))
        }
        message => {
            if matches!(message, ServerToServer::Summary { .. } | ServerToServer::Buckets(_)) {
                state.refresh_digests();
            }
            Ok(state.decide(|replica| replica.receive(&neighbour, message, unix_ms())))
        }
    }
}

/// The updates that are new and properly signed. Updates come from several neighbours, and checking a signature costs most:
/// it is checked only when the update holds a later announcement.
fn admitted(state: &State, neighbour: &PublicKey, wires: &[Vec<u8>]) -> Result<Vec<Verified<Update>>, DecodeError> {
    let claimed = wires.iter().map(|wire| {
        let update = Unverified::<Update>::from_wire(wire)?;
        Ok((UpdateName::claimed_by(&update), update))
    });
    let mut claimed = claimed.collect::<Result<Vec<_>, DecodeError>>()?;
    let all = claimed.len();
    state.with_replica(|replica| claimed.retain(|(name, update)| replica.wants(neighbour, name, update.peek())));
    Counters::add_many(&state.counters.federation_old, (all - claimed.len()) as u64);
    let updates: Vec<_> = claimed.into_iter().map(|(_, update)| update).collect();
    let now_ms = unix_ms();
    let mut admitted = Vec::with_capacity(updates.len());
    for outcome in verify(updates, now_ms) {
        match outcome {
            Ok(update) => admitted.push(update),
            Err(UpdateRefusal::Expired | UpdateRefusal::TooFarAhead) => {
                Counters::add(&state.counters.federation_expired)
            }
            Err(_) => Counters::add(&state.counters.federation_forged),
        }
    }
    Ok(admitted)
}

/// Uses all processor cores when there are many.
fn verify(updates: Vec<Unverified<Update>>, now_ms: u64) -> Vec<Result<Verified<Update>, UpdateRefusal>> {
    let admit = |update| admit_from_neighbour(update, &Ed25519Verifier, now_ms);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let per_thread = updates.len().div_ceil(threads).max(VERIFY_TOGETHER);
    if updates.len() <= per_thread {
        return updates.into_iter().map(admit).collect();
    }
    std::thread::scope(|scope| {
        let mut rest = updates;
        let mut threads = Vec::new();
        while !rest.is_empty() {
            let later = rest.split_off(per_thread.min(rest.len()));
            let part = std::mem::replace(&mut rest, later);
            threads.push(scope.spawn(move || part.into_iter().map(admit).collect::<Vec<_>>()));
        }
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
    })
}

#[cfg(test)]
mod tests;
