//! Every bound of a relay, in one place (protocol section 4).

use offst_secure_channel::{HandshakeLimits, KeepaliveConfig};

/// What a relay allows. The defaults suit a small server (2 cores, 2 GB) with some thousand nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bounds on connections before the key is known. Its `handshake_timeout_ms` also bounds the time to open the
    /// control stream, to name the target of a substream, and to accept a substream.
    pub handshake: HandshakeLimits,
    /// How long a node may be silent.
    pub keepalive: KeepaliveConfig,
    /// Most connections at a time. An idle one holds some 20 kB. One more closes the newest of the busiest address,
    /// unless its own address is as busy.
    pub connections_max: usize,
    /// Most connections at a time from one address (IPv6: from one /64; twice as many from one /56, four times from one
    /// /48). Many nodes may live behind one NAT.
    pub connections_per_address_max: usize,
    /// Most substreams of one node, those it opened and those others opened to it. Nodes that it does not watch can fill
    /// only half of them, so that unknown nodes cannot keep friends out.
    pub substreams_per_node_max: usize,
    /// Most substreams between the same two nodes. Friends need one, two for a short time after a reconnect.
    pub substreams_per_pair_max: usize,
    /// Most nodes whose presence one node asks for.
    pub watched_per_node_max: usize,
    /// Most bytes in flight in one direction of a substream. Flow control keeps honest nodes below 500 kB.
    pub in_flight_per_substream_bytes_max: u64,
    /// Most bytes in flight that came from one node.
    pub in_flight_per_node_bytes_max: u64,
    /// Most bytes in flight in the whole relay: the memory that traffic may take.
    pub in_flight_bytes_max: u64,
    /// Bytes a second that the relay reads from one node; a node that sends faster is slowed down. Below some 64 kB a node
    /// may be taken for dead while it is slowed down. Every frame counts for 64 bytes more, a new substream and a refused one
    /// for 16 KiB each, which is what they cost.
    pub bytes_per_second_per_node: u64,
    /// The same for all connections of one address together (IPv6: as for `connections_per_address_max`). Each of them has
    /// at least its equal share of it.
    pub bytes_per_second_per_address: u64,
    /// Substreams a second that a node may reset; one that goes on is disconnected. As many as can be open at a time may
    /// be reset at once.
    pub resets_per_second_per_node: u64,
    /// Substreams a second that a node may open to another one that watches it.
    pub calls_per_second_per_pair: u64,
    /// Substreams a second to a node from all nodes together that it does not watch. More are refused by the relay.
    pub calls_per_second_from_strangers: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            handshake: HandshakeLimits::default(),
            keepalive: KeepaliveConfig::default(),
            connections_max: 10_000,
            connections_per_address_max: 256,
            substreams_per_node_max: 512,
            substreams_per_pair_max: 4,
            watched_per_node_max: 1024,
            in_flight_per_substream_bytes_max: 1 << 20,
            in_flight_per_node_bytes_max: 16 << 20,
            in_flight_bytes_max: 512 << 20,
            bytes_per_second_per_node: 8 << 20,
            bytes_per_second_per_address: 32 << 20,
            resets_per_second_per_node: 16,
            calls_per_second_per_pair: 8,
            calls_per_second_from_strangers: 32,
        }
    }
}
