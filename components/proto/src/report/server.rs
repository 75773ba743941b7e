//! Relays and index servers, and how the node itself is reached.

use crate::app::codec::codec;
use crate::app::field::Field;
use crate::app::message::{Message, MessageError};
use crate::limits::RELAYS_MAX;
use crate::ticket::{Address, ServerTicket};
use crate::wire::app_capnp as wire;
use offst_crypto::PublicKey;
use serde::Serialize;

/// A relay or an index server that the owner has configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerReport {
    /// The owner's name for it.
    pub name: String,
    /// Its key and address.
    #[serde(flatten)]
    pub ticket: ServerTicket,
    /// How the connection stands.
    #[serde(flatten)]
    pub state: ServerState,
}

codec! {
    ServerReport as server {
        fields {
            name: get_name, set_name;
        }
        groups { state: get_state, init_state; }
        structs { ticket: get_ticket, init_ticket; }
    }
}

/// How a connection to a relay or an index server stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "StateDocument")]
pub enum ServerState {
    /// It is up.
    Connected,
    /// It is not up; why, as far as known.
    Disconnected {
        /// In words for people.
        reason: String,
    },
    /// Another node with our key has taken our place at this relay; we do not go there again.
    Displaced,
}

/// The JSON of a [`ServerState`].
#[derive(Serialize)]
struct StateDocument {
    state: &'static str,
    reason: String,
}

impl From<ServerState> for StateDocument {
    fn from(state: ServerState) -> Self {
        match state {
            ServerState::Connected => StateDocument { state: "connected", reason: String::new() },
            ServerState::Disconnected { reason } => StateDocument { state: "disconnected", reason },
            ServerState::Displaced => {
                StateDocument { state: "displaced", reason: "another node with our key has taken our place".into() }
            }
        }
    }
}

impl Message for ServerState {
    type Wire = wire::server::state::Owned;

    fn write(&self, mut builder: wire::server::state::Builder<'_>) {
        match self {
            ServerState::Connected => builder.set_connected(()),
            ServerState::Disconnected { reason } => builder.set_disconnected(reason.to_wire()),
            ServerState::Displaced => builder.set_displaced(()),
        }
    }

    fn read(reader: wire::server::state::Reader<'_>) -> Result<Self, MessageError> {
        Ok(match reader.which()? {
            wire::server::state::Connected(()) => ServerState::Connected,
            wire::server::state::Disconnected(reason) => {
                ServerState::Disconnected { reason: Field::from_wire(reason)? }
            }
            wire::server::state::Displaced(()) => ServerState::Displaced,
        })
    }
}

/// How friends reach this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ContactReport {
    /// The node's key.
    #[serde(serialize_with = "crate::json::text")]
    pub public_key: PublicKey,
    /// Its relays.
    pub relays: Vec<ServerTicket>,
    /// Where it is dialled without a relay.
    pub address: Option<Address>,
}

codec! {
    ContactReport as friend_ticket {
        fields {
            public_key: get_public_key, set_public_key;
            address: get_address, set_address;
        }
        lists { relays: get_relays, init_relays, RELAYS_MAX, "the number of relays"; }
    }
}
