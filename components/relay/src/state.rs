//! What all connections of a relay share: the registry, the connections that it speaks of, and the bounds.

use crate::connection_rate::AddressRates;
use crate::counters::Counters;
use crate::in_flight::{InFlight, InFlightLimits, substreams_to_close};
use crate::limits::Limits;
use crate::mux::{Mux, known_streams_max};
use crate::peer::{Control, Peer};
use crate::rate::Rate;
use crate::registry::{Output, Registry, RelayConnectionId, SubstreamId};
use crate::throttle::Throttle;
use offst_proto::relay::Refusal;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// At least so long between two searches for the substreams that hold too much.
const CUT_INTERVAL: Duration = Duration::from_millis(5);

/// What changes, under one lock.
#[derive(Debug)]
struct State {
    registry: Registry,
    peers: BTreeMap<RelayConnectionId, Peer>,
    /// Cancelled when the connection has to make room for another.
    evictions: BTreeMap<RelayConnectionId, CancellationToken>,
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) limits: Limits,
    pub(crate) counters: Arc<Counters>,
    pub(crate) in_flight: Arc<InFlight>,
    /// Connections that are being told why they are refused.
    pub(crate) refusing: AtomicUsize,
    rates: AddressRates,
    /// Where the milliseconds of all rates begin.
    clock: Instant,
    state: Mutex<State>,
}

impl Relay {
    pub(crate) fn new(limits: Limits, counters: Arc<Counters>) -> Self {
        let in_flight_limits = InFlightLimits {
            per_substream: limits.in_flight_per_substream_bytes_max,
            per_node: limits.in_flight_per_node_bytes_max,
            total: limits.in_flight_bytes_max,
        };
        Relay {
            limits,
            in_flight: InFlight::new(in_flight_limits, counters.in_flight_bytes.clone()),
            counters,
            refusing: AtomicUsize::new(0),
            rates: AddressRates::new(limits.bytes_per_second_per_node, limits.bytes_per_second_per_address),
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
    pub(crate) fn connect(&self, address: IpAddr) -> Result<(RelayConnectionId, CancellationToken), Refusal> {
        let state = &mut *self.state();
        let (id, outputs) = state.registry.connect(address, self.now_ms())?;
        let evicted = CancellationToken::new();
        state.evictions.insert(id, evicted.clone());
        self.apply_all(state, outputs);
        Ok((id, evicted))
    }

    /// How fast a connection from `address`, with at most `streams_max` streams, is read.
    pub(crate) fn throttle(&self, address: IpAddr, streams_max: usize) -> Throttle {
        let now_ms = self.now_ms();
        let at_once = known_streams_max(streams_max) as u64;
        let resets = Rate::with_burst(self.limits.resets_per_second_per_node, at_once, now_ms);
        Throttle::new(self.rates.connection(address, now_ms), Some(resets), self.clock)
    }

    /// Takes a decision and applies its outputs, in one step: messages to one node keep the order of the decisions.
    pub(crate) fn decide<T>(&self, decision: impl FnOnce(&mut Registry) -> (T, Vec<Output>)) -> T {
        let state = &mut *self.state();
        let (value, outputs) = decision(&mut state.registry);
        self.apply_all(state, outputs);
        value
    }

    fn apply_all(&self, state: &State, outputs: Vec<Output>) {
        for output in outputs {
            self.apply(state, output);
        }
        self.counters.nodes.store(state.registry.nodes() as u64, Ordering::Relaxed);
        self.counters.substreams.store(state.registry.substreams() as u64, Ordering::Relaxed);
    }

    fn apply(&self, state: &State, output: Output) {
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
            // A node that does not read what it asked for is not waited for.
            self.counters.misbehaved.fetch_add(1, Ordering::Relaxed);
            peer.mux.close();
        }
    }

    /// Makes the connection known to the others.
    pub(crate) fn add_peer(&self, id: RelayConnectionId, peer: Peer) {
        self.state().peers.insert(id, peer);
    }

    pub(crate) fn peer(&self, id: RelayConnectionId) -> Option<Peer> {
        self.state().peers.get(&id).cloned()
    }

    /// The connection is gone.
    pub(crate) fn remove(&self, id: RelayConnectionId) {
        let state = &mut *self.state();
        state.peers.remove(&id);
        state.evictions.remove(&id);
        let outputs = state.registry.disconnect(id);
        self.apply_all(state, outputs);
    }

    /// The substream is gone.
    pub(crate) fn remove_substream(&self, id: SubstreamId) {
        self.decide(|registry| (registry.close_substream(id), vec![]));
    }

    /// Closes the substreams that hold most whenever too many bytes are in flight.
    pub(crate) async fn enforce_in_flight_limits(&self) {
        loop {
            self.in_flight.exceeded().await;
            let peers: Vec<(RelayConnectionId, Mux)> =
                self.state().peers.iter().map(|(id, peer)| (*id, peer.mux.clone())).collect();
            let usages = peers.iter().flat_map(|(id, mux)| mux.meter().usages(*id)).collect();
            for usage in substreams_to_close(self.in_flight.limits(), usages) {
                let Ok(index) = peers.binary_search_by_key(&usage.source, |(id, _)| *id) else { continue };
                self.counters.substreams_cut.fetch_add(1, Ordering::Relaxed);
                log::info!(peer:? = usage.source; "closed a substream that held {} bytes", usage.bytes);
                // A stream that nobody handles ends with its connection.
                if !peers[index].1.meter().cut(usage.stream) {
                    peers[index].1.close();
                }
            }
            tokio::time::sleep(CUT_INTERVAL).await;
        }
    }
}
