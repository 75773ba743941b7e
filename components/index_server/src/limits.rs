//! The bounds of an index server.

use offst_secure_channel::{HandshakeLimits, KeepaliveConfig};

/// Bounds of an index server. Every one protects the server and the other nodes from one node. A bound per address
/// holds for an IPv4 address and for a /64 of IPv6; for a /56 twice and for a /48 four times as much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most edges of one node; one that was withdrawn counts until no older announcement of it can be replayed.
    pub edges_per_node_max: usize,
    /// Most bytes of one node's signed updates that are kept.
    pub update_bytes_per_node_max: usize,
    /// Most edges of all nodes together.
    pub edges_max: usize,
    /// Most nodes of which something is held.
    pub nodes_max: usize,
    /// Most bytes of signed updates that are kept.
    pub update_bytes_max: usize,
    /// Most nodes that have published from one address.
    pub nodes_per_address_max: usize,
    /// Most edges of all nodes that have published from one address.
    pub edges_per_address_max: usize,
    /// Most bytes of signed updates that are kept of all nodes that have published from one address.
    pub update_bytes_per_address_max: usize,
    /// Most nodes that only one neighbour has passed on.
    pub nodes_per_neighbour_max: usize,
    /// Most edges of these nodes.
    pub edges_per_neighbour_max: usize,
    /// Most bytes of signed updates that are kept of these nodes.
    pub update_bytes_per_neighbour_max: usize,
    /// Updates a second that one connection may publish; twice as many at once.
    pub updates_per_second: u32,
    /// Queries a second that one connection may ask; twice as many at once.
    pub queries_per_second: u32,
    /// Updates a second that all connections of one address may publish together; twice as many at once.
    pub updates_per_second_per_address: u32,
    /// Queries a second that all connections of one address may ask together; twice as many at once.
    pub queries_per_second_per_address: u32,
    /// Edges that one search looks at before it is cut.
    pub search_work_max: usize,
    /// Edges a second that searches for one address may look at before others come first; at once, as many as one search may.
    pub search_work_per_second_per_address: u64,
    /// Threads that search. With two or more, addresses that ask too much never get all of them.
    pub searches: usize,
    /// Queries that wait for a thread. One more displaces one of the address that has most.
    pub queries_waiting_max: usize,
    /// Queries of one address that wait for a thread.
    pub queries_waiting_per_address_max: usize,
    /// Connections at the same time.
    pub connections_max: usize,
    /// Connections of one address at the same time.
    pub connections_per_address_max: usize,
    /// Bounds on connections that nobody has authenticated yet.
    pub handshakes: HandshakeLimits,
    /// How long a connection may be silent.
    pub keepalive: KeepaliveConfig,
    /// How often the memory of expired edges is freed, ms. (Expired edges are never used, however long that takes.)
    pub sweep_ms: u64,
    /// How often neighbours compare what they hold, ms, also when they stay connected.
    pub compare_ms: u64,
    /// How often what has changed is written to the file, ms.
    pub save_ms: u64,
    /// Most bytes a second that are written to the file: after many the next ones wait for longer.
    pub save_bytes_per_second: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            edges_per_node_max: 4096,
            update_bytes_per_node_max: 2 << 20,
            edges_max: 2_000_000,
            nodes_max: 200_000,
            update_bytes_max: 512 << 20,
            nodes_per_address_max: 2_000,
            edges_per_address_max: 40_000,
            update_bytes_per_address_max: 16 << 20,
            nodes_per_neighbour_max: 100_000,
            edges_per_neighbour_max: 1_000_000,
            update_bytes_per_neighbour_max: 256 << 20,
            updates_per_second: 10,
            queries_per_second: 20,
            updates_per_second_per_address: 1_000,
            queries_per_second_per_address: 200,
            search_work_max: 500_000,
            search_work_per_second_per_address: 5_000_000,
            searches: std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2)),
            queries_waiting_max: 1024,
            queries_waiting_per_address_max: 64,
            connections_max: 10_000,
            connections_per_address_max: 256,
            handshakes: HandshakeLimits::default(),
            keepalive: KeepaliveConfig::default(),
            sweep_ms: 1000,
            compare_ms: 60_000,
            save_ms: 60_000,
            save_bytes_per_second: 1 << 20,
        }
    }
}
