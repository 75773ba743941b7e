//! The connections to relays: at most one for each relay, and its state.

use crate::messages::{RelayConnection, RelayStates};
use offst_crypto::PublicKey;
use offst_proto::report::ServerState;
use offst_relay::RelayClient;
use std::collections::BTreeMap;
use std::sync::PoisonError;
use tokio_util::sync::CancellationToken;

/// The connections to relays.
pub(crate) struct Relays {
    connections: BTreeMap<PublicKey, Relay>,
    states: RelayStates,
    /// How many connections there have been.
    count: u64,
}

struct Relay {
    number: u64,
    close: CancellationToken,
    /// Once this node is registered.
    client: Option<RelayClient>,
}

impl Relays {
    pub(crate) fn new(states: RelayStates) -> Self {
        Relays { connections: BTreeMap::new(), states, count: 0 }
    }

    /// A connection to a relay begins, which ends when `close` is cancelled. One that is there is closed.
    pub(crate) fn begin(&mut self, relay: PublicKey, close: CancellationToken) -> RelayConnection {
        self.count += 1;
        let number = self.count;
        if let Some(old) = self.connections.insert(relay, Relay { number, close, client: None }) {
            old.close.cancel();
        }
        RelayConnection { relay, number }
    }

    /// Whether no later connection to the same relay has begun, and this one is wanted still.
    pub(crate) fn is_current(&self, connection: RelayConnection) -> bool {
        self.connections.get(&connection.relay).is_some_and(|known| known.number == connection.number)
    }

    /// This node is registered at the relay. False when the connection is not the current one.
    pub(crate) fn registered(&mut self, connection: RelayConnection, client: RelayClient) -> bool {
        if !self.is_current(connection) {
            return false;
        }
        if let Some(known) = self.connections.get_mut(&connection.relay) {
            known.client = Some(client);
        }
        self.set_state(connection.relay, ServerState::Connected);
        true
    }

    /// The client of a relay at which this node is registered.
    pub(crate) fn client(&self, relay: PublicKey) -> Option<RelayClient> {
        self.connections.get(&relay)?.client.clone()
    }

    /// The connection to a relay has ended; `state` says how.
    pub(crate) fn ended(&mut self, relay: PublicKey, state: ServerState) {
        self.connections.remove(&relay);
        self.set_state(relay, state);
    }

    /// The relay is not wanted any more.
    pub(crate) fn remove(&mut self, relay: PublicKey) {
        if let Some(known) = self.connections.remove(&relay) {
            known.close.cancel();
        }
        self.states.lock().unwrap_or_else(PoisonError::into_inner).remove(&relay);
    }

    pub(crate) fn close_all(&self) {
        self.connections.values().for_each(|relay| relay.close.cancel());
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    fn set_state(&self, relay: PublicKey, state: ServerState) {
        // A map of plain values is sound even if a thread panicked while it held the lock.
        self.states.lock().unwrap_or_else(PoisonError::into_inner).insert(relay, state);
    }
}
