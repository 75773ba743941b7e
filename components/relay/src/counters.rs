//! What a relay counts for its operator.

use offst_secure_channel::HandshakeCounters;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// What happened so far, and how much there is now. Read at any time.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections before their key was known.
    pub handshakes: Arc<HandshakeCounters>,
    /// Nodes that are registered now.
    pub nodes: AtomicU64,
    /// Connections refused because of a limit.
    pub connections_refused: AtomicU64,
    /// Connections that were closed to make room for others.
    pub connections_evicted: AtomicU64,
    /// Connections that a later one with the same key replaced.
    pub displaced: AtomicU64,
    /// Connections closed because nothing came from the node for too long.
    pub dead: AtomicU64,
    /// Connections closed because the node did not read what the relay sends, or broke the protocol.
    pub misbehaved: AtomicU64,
    /// Substreams that are open now.
    pub substreams: AtomicU64,
    /// Substreams opened so far.
    pub substreams_opened: AtomicU64,
    /// Substreams refused so far.
    pub substreams_refused: AtomicU64,
    /// Substreams closed because too many bytes were in flight.
    pub substreams_cut: AtomicU64,
    /// Bytes copied from node to node so far.
    pub bytes_forwarded: AtomicU64,
    /// Bytes in flight now, with what it costs to hold them.
    pub in_flight_bytes: Arc<AtomicU64>,
}
