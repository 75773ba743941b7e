//! A relay on a socket.

use crate::allowance::Allowances;
use crate::budget::{Budget, InFlightLimits, offenders};
use crate::connection::{self, Control};
use crate::counters::Counters;
use crate::limits::Limits;
use crate::metered::Throttle;
use crate::mux::Mux;
use crate::mux::known_streams_max;
use crate::rate::Rate;
use crate::registry::{ConnectionId, Output, Registry, SubstreamId};
use offst_crypto::Identity;
use offst_proto::relay::Refusal;
use offst_secure_channel::{Acceptor, Authenticator};
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long connections may take to end when the relay is stopped.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// At least so long between two searches for the substreams that hold too much.
const CUT_INTERVAL: Duration = Duration::from_millis(5);

/// Runs a relay until `shutdown` is cancelled. Nothing is stored: after a restart the nodes connect again.
///
/// # Errors
/// The socket has no address.
pub async fn serve(
    listener: TcpListener,
    identity: Arc<Identity>,
    limits: Limits,
    counters: Arc<Counters>,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let authenticator = Authenticator::new(&identity);
    let handshakes = counters.handshakes.clone();
    let mut acceptor = Acceptor::with_counters(listener, authenticator, limits.handshake, handshakes)?;
    log::info!("relay {} listens at {}", identity.public_key(), acceptor.local_address());
    let relay = Arc::new(Relay::new(limits, counters));
    let tasks = TaskTracker::new();
    let stop = shutdown.child_token();
    tasks.spawn({
        let (relay, stop) = (relay.clone(), stop.clone());
        async move { stop.run_until_cancelled(relay.keep_within_budget()).await }
    });
    while let Some(accepted) = shutdown.run_until_cancelled(acceptor.accept()).await {
        tasks.spawn(connection::run(relay.clone(), accepted, stop.clone()));
    }
    drop(acceptor);
    tasks.close();
    if tokio::time::timeout(STOP_TIMEOUT, tasks.wait()).await.is_err() {
        log::warn!("{} connections did not end in time", tasks.len());
    }
    Ok(())
}

/// A registered connection, as other connections see it.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) control: mpsc::Sender<Control>,
    pub(crate) mux: Mux,
}

#[derive(Debug)]
struct State {
    registry: Registry,
    peers: BTreeMap<ConnectionId, Peer>,
    /// Cancelled when the connection has to make room for another.
    evictions: BTreeMap<ConnectionId, CancellationToken>,
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) limits: Limits,
    pub(crate) counters: Arc<Counters>,
    pub(crate) budget: Arc<Budget>,
    /// Connections that are being told why they are refused.
    pub(crate) refusing: AtomicUsize,
    allowances: Allowances,
    /// Where the milliseconds of all rates begin.
    clock: Instant,
    state: Mutex<State>,
}

impl Relay {
    fn new(limits: Limits, counters: Arc<Counters>) -> Self {
        let in_flight = InFlightLimits {
            per_substream: limits.in_flight_per_substream_bytes_max,
            per_node: limits.in_flight_per_node_bytes_max,
            total: limits.in_flight_bytes_max,
        };
        Relay {
            limits,
            budget: Budget::new(in_flight, counters.in_flight_bytes.clone()),
            counters,
            refusing: AtomicUsize::new(0),
            allowances: Allowances::new(limits.bytes_per_second_per_node, limits.bytes_per_second_per_address),
            clock: Instant::now(),
            state: Mutex::new(State {
                registry: Registry::new(limits),
                peers: BTreeMap::new(),
                evictions: BTreeMap::new(),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds since the relay began.
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A new connection from `address`, and what is cancelled when it has to make room for another.
    pub(crate) fn connect(&self, address: IpAddr) -> Result<(ConnectionId, CancellationToken), Refusal> {
        let state = &mut *self.state();
        let (id, outputs) = state.registry.connect(address, self.now_ms())?;
        let evicted = CancellationToken::new();
        state.evictions.insert(id, evicted.clone());
        self.follow(state, outputs);
        Ok((id, evicted))
    }

    /// What a connection from `address`, with at most `streams_max` streams, may make the relay do.
    pub(crate) fn throttle(&self, address: IpAddr, streams_max: usize) -> Throttle {
        let now_ms = self.now_ms();
        let at_once = known_streams_max(streams_max) as u64;
        let resets = Rate::with_burst(self.limits.resets_per_second_per_node, at_once, now_ms);
        Throttle::new(self.allowances.of(address, now_ms), Some(resets), self.clock)
    }

    /// Takes a decision and does what follows from it, in one step: messages to one node keep the order of the decisions.
    pub(crate) fn decide<T>(&self, decision: impl FnOnce(&mut Registry) -> (T, Vec<Output>)) -> T {
        let state = &mut *self.state();
        let (value, outputs) = decision(&mut state.registry);
        self.follow(state, outputs);
        value
    }

    fn follow(&self, state: &State, outputs: Vec<Output>) {
        for output in outputs {
            self.carry_out(state, output);
        }
        self.counters.nodes.store(state.registry.nodes() as u64, Ordering::Relaxed);
        self.counters.substreams.store(state.registry.substreams() as u64, Ordering::Relaxed);
    }

    fn carry_out(&self, state: &State, output: Output) {
        let (id, control) = match output {
            Output::Send(id, message) => (id, Control::Send(message)),
            Output::Close(id) => {
                self.counters.displaced.fetch_add(1, Ordering::Relaxed);
                (id, Control::Close)
            }
            Output::Evict(id) => {
                self.counters.connections_evicted.fetch_add(1, Ordering::Relaxed);
                if let Some(evicted) = state.evictions.get(&id) {
                    evicted.cancel();
                }
                (id, Control::Close)
            }
        };
        let Some(peer) = state.peers.get(&id) else { return };
        if peer.control.try_send(control).is_err() {
            // Whoever does not read what it asked for is not waited for.
            self.counters.misbehaved.fetch_add(1, Ordering::Relaxed);
            peer.mux.close();
        }
    }

    /// Makes the connection known to the others.
    pub(crate) fn add_peer(&self, id: ConnectionId, peer: Peer) {
        self.state().peers.insert(id, peer);
    }

    pub(crate) fn peer(&self, id: ConnectionId) -> Option<Peer> {
        self.state().peers.get(&id).cloned()
    }

    /// The connection is gone.
    pub(crate) fn remove(&self, id: ConnectionId) {
        let state = &mut *self.state();
        state.peers.remove(&id);
        state.evictions.remove(&id);
        let outputs = state.registry.disconnect(id);
        self.follow(state, outputs);
    }

    /// The substream is gone.
    pub(crate) fn remove_substream(&self, id: SubstreamId) {
        self.decide(|registry| (registry.close_substream(id), vec![]));
    }

    /// Closes the substreams that hold most whenever too many bytes are on their way.
    async fn keep_within_budget(&self) {
        loop {
            self.budget.exceeded().await;
            let peers: Vec<(ConnectionId, Mux)> =
                self.state().peers.iter().map(|(id, peer)| (*id, peer.mux.clone())).collect();
            let usages = peers.iter().flat_map(|(id, mux)| mux.meter().usages(*id)).collect();
            for usage in offenders(self.budget.limits(), usages) {
                let Ok(index) = peers.binary_search_by_key(&usage.source, |(id, _)| *id) else { continue };
                self.counters.substreams_cut.fetch_add(1, Ordering::Relaxed);
                log::info!(peer:? = usage.source; "closed a substream that held {} bytes", usage.bytes);
                // A stream that nobody handles goes with its connection.
                if !peers[index].1.meter().cut(usage.stream) {
                    peers[index].1.close();
                }
            }
            tokio::time::sleep(CUT_INTERVAL).await;
        }
    }
}
