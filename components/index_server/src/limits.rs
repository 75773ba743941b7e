//! What an index server's operator may bound.

use offst_secure_channel::{HandshakeLimits, KeepaliveConfig};

/// Bounds of an index server. Every one protects the server and the other nodes from one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most edges of one node.
    pub edges_per_node: usize,
    /// Most edges of all nodes together.
    pub edges: usize,
    /// Most nodes that are remembered.
    pub nodes: usize,
    /// Updates a second that one connection may publish; twice as many at once.
    pub updates_per_second: u32,
    /// Queries a second that one connection may ask; twice as many at once.
    pub queries_per_second: u32,
    /// Edges that one search looks at before it is cut.
    pub search_work: usize,
    /// Searches that run at the same time.
    pub searches: usize,
    /// Connections at the same time.
    pub connections: usize,
    /// Connections of one address at the same time.
    pub connections_per_address: usize,
    /// Bounds on connections that nobody has authenticated yet.
    pub handshakes: HandshakeLimits,
    /// How long a connection may be silent.
    pub keepalive: KeepaliveConfig,
    /// How often memory of expired edges is given back, ms. (Expired edges are never used, however long that takes.)
    pub sweep_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            edges_per_node: 4096,
            edges: 1_000_000,
            nodes: 200_000,
            updates_per_second: 10,
            queries_per_second: 20,
            search_work: 500_000,
            searches: 4,
            connections: 10_000,
            connections_per_address: 256,
            handshakes: HandshakeLimits::default(),
            keepalive: KeepaliveConfig::default(),
            sweep_ms: 1000,
        }
    }
}
