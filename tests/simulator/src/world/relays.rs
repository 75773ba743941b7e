//! Relays, and what nodes have decided about them.

use crate::keys::public_key;
use offst_channeler::Channeler;
use offst_crypto::PublicKey;
use offst_proto::relay::RelayToNode;
use offst_proto::ticket::{Address, ServerTicket};
use offst_relay::Limits;
use offst_relay::registry::{Registry, RelayConnectionId, SubstreamId};
use std::collections::{BTreeMap, BTreeSet};

/// Something in flight to or from a relay. The last number is the run of the node's process that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RelayEvent {
    /// A node arrives at a relay.
    Register(usize, usize, u64),
    /// What a relay says arrives at a node.
    Tell(usize, usize, RelayToNode, u64),
    /// A node's call of another arrives at a relay.
    Call(usize, PublicKey, usize, u64),
    /// A node that a relay has connected to somebody else sees whose key that is.
    Recognize(MisroutedCall),
    /// A node's next decision is due.
    Tick(usize, u64),
    /// A relay is there again.
    Open(usize),
}

/// A call that a relay has brought to somebody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MisroutedCall {
    pub(super) caller: usize,
    /// Whom it called.
    pub(super) friend: PublicKey,
    /// Who was called instead.
    pub(super) stranger: usize,
    pub(super) relay: usize,
    pub(super) substream: SubstreamId,
    pub(super) connection: u64,
    /// The runs of both processes.
    pub(super) runs: [u64; 2],
}

/// A relay without its socket.
pub(super) struct Relay {
    pub(super) ticket: ServerTicket,
    pub(super) registry: Registry,
    pub(super) is_up: bool,
    pub(super) sessions: BTreeMap<usize, RelayConnectionId>,
}

/// All relays, and the decisions of all nodes about them.
#[derive(Default)]
pub(super) struct RelayNetwork {
    pub(super) relays: Vec<Relay>,
    pub(super) channelers: Vec<Option<Channeler>>,
    /// Which run of its process each node is in.
    pub(super) runs: Vec<u64>,
    /// Which relay carries a connection between two nodes.
    pub(super) carried: BTreeMap<u64, (usize, SubstreamId)>,
    /// Connections that a relay has made between a caller and somebody it has not called.
    pub(super) misrouted: BTreeSet<u64>,
    /// When each node's next decision is planned.
    pub(super) ticks: Vec<Option<u64>>,
    /// How many calls of a hundred go wrong.
    pub(super) trouble_percent: usize,
}

impl RelayNetwork {
    pub(super) fn new(relays: usize, nodes: usize, trouble_percent: usize) -> Self {
        let relay = |number: usize| {
            let address: Address = format!("relay{number}.example:1").parse().expect("an address");
            Relay {
                ticket: ServerTicket { public_key: public_key(200 + number as u8), address },
                registry: Registry::new(Limits::default()),
                is_up: true,
                sessions: BTreeMap::new(),
            }
        };
        RelayNetwork {
            relays: (0..relays).map(relay).collect(),
            channelers: (0..nodes).map(|_| None).collect(),
            runs: vec![0; nodes],
            carried: BTreeMap::new(),
            misrouted: BTreeSet::new(),
            ticks: vec![None; nodes],
            trouble_percent,
        }
    }

    /// Whether nodes meet at relays at all.
    pub(super) fn is_used(&self) -> bool {
        !self.relays.is_empty()
    }

    /// The relays that a node listens at: one or two of them.
    pub(super) fn tickets(&self, node: usize) -> Vec<ServerTicket> {
        let count = self.relays.len();
        let numbers = if node.is_multiple_of(3) { vec![node % count, (node + 1) % count] } else { vec![node % count] };
        let mut tickets: Vec<_> = numbers.into_iter().map(|number| self.relays[number].ticket.clone()).collect();
        tickets.dedup();
        tickets
    }

    /// Which relay has this key.
    pub(super) fn relay(&self, key: &PublicKey) -> usize {
        self.relays.iter().position(|relay| relay.ticket.public_key == *key).expect("a relay of this world")
    }
}
