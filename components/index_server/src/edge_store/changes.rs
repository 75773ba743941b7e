//! What follows from a change of the store: changes of the graph, and updates that are not held any more.

use offst_crypto::PublicKey;
use offst_proto::Currency;
use offst_proto::index::{Edge, UpdateName};

/// A change of the graph of capacities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GraphChange {
    /// A node's latest announcement of an edge.
    Set {
        /// The node that announces it.
        node: PublicKey,
        /// What it announces.
        edge: Edge,
        /// When the announcement expires, unix ms.
        expires_ms: u64,
    },
    /// A node does not announce this edge any more.
    Remove {
        /// The node that announced it.
        node: PublicKey,
        /// The edge's other end.
        friend: PublicKey,
        /// The edge's currency.
        currency: Currency,
    },
}

impl GraphChange {
    /// The edge, and which of its ends announces it: node, friend, currency.
    pub(crate) fn edge_name(&self) -> (&PublicKey, &PublicKey, &Currency) {
        match self {
            GraphChange::Set { node, edge, .. } => (node, &edge.friend, &edge.currency),
            GraphChange::Remove { node, friend, currency } => (node, friend, currency),
        }
    }
}

/// What nobody has taken yet of what follows from changes of the store, in order.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) graph: Vec<GraphChange>,
    /// Updates that are not held any more.
    pub(super) dropped: Vec<UpdateName>,
}
