//! Durations and bounds of a running node.

use offst_proto::fee_bound::FeeBounds;
use offst_relay::ClientConfig;
use offst_secure_channel::{HandshakeLimits, KeepaliveConfig};

/// All durations and bounds.
#[derive(Debug, Clone)]
pub struct NodeSettings {
    /// Payments and accounts.
    pub timing: offst_funder::Timing,
    /// The most that is paid to mediators when an order names no bound.
    pub fee_bounds: FeeBounds,
    /// How long a connection between friends over a relay may be silent.
    pub friend_keepalive: KeepaliveConfig,
    /// What each friend may send, over any connection.
    pub friend_limits: FriendLimits,
    /// Connections between friends without a relay.
    pub direct: DirectSettings,
    /// Connections to relays.
    pub relay: ClientConfig,
    /// Connections to index servers.
    pub index: offst_index_client::Config,
    /// Connections of applications.
    pub apps: offst_app_server::Limits,
    /// Most inputs that become durable in one transaction.
    pub batch_max: usize,
    /// How long an answer of the index servers is used again for the same question, ms.
    pub route_reuse_ms: u64,
    /// The longest pause before a relay or a friend is tried again, ms.
    pub reconnect_max_ms: u64,
}

/// Connections between friends without a relay.
#[derive(Debug, Clone)]
pub struct DirectSettings {
    /// Name lookup, TCP, TLS and hellos together, ms. After that the friend is dialled over a relay.
    pub connect_timeout_ms: u64,
    /// The longest pause before a friend that can be reached over a relay is dialled again at its own address, ms.
    pub retry_max_ms: u64,
    /// How long such a connection may be silent.
    pub keepalive: KeepaliveConfig,
    /// Connections of friends that have not proved their key yet.
    pub handshakes: HandshakeLimits,
    /// Whether friends are dialled at private and loopback addresses. None: only when `friend_address` is one or, if the node has
    /// none, when none of its relays has a public address.
    pub dial_private: Option<bool>,
}

/// What one friend may send. A friend that sends more is read more slowly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FriendLimits {
    /// Bytes a second, and as many at once. A frame counts as some bytes more than it has, a statement as some more again, because
    /// its signature is checked.
    pub bytes_per_second: u64,
    /// Requests a second, and as many at once: messages that cost more to answer than to send.
    pub questions_per_second: u64,
}

impl Default for FriendLimits {
    fn default() -> Self {
        FriendLimits { bytes_per_second: 16 << 20, questions_per_second: 64 }
    }
}

impl Default for DirectSettings {
    fn default() -> Self {
        DirectSettings {
            // Short, because a payment may be waiting for the relay behind it.
            connect_timeout_ms: 3_000,
            retry_max_ms: 600_000,
            // No relay notices here when a friend is gone, and NATs see this connection.
            keepalive: KeepaliveConfig::default(),
            handshakes: HandshakeLimits::default(),
            dial_private: None,
        }
    }
}

impl Default for NodeSettings {
    fn default() -> Self {
        NodeSettings {
            timing: offst_funder::Timing::default(),
            fee_bounds: FeeBounds::default(),
            // NATs see the connection to the relay only, and the relay notices first when a node is gone: between friends it is
            // enough to find out now and then that a friend is connected and does not answer.
            friend_keepalive: KeepaliveConfig { keepalive_ms: 60_000, idle_timeout_ms: 180_000 },
            friend_limits: FriendLimits::default(),
            direct: DirectSettings::default(),
            relay: ClientConfig::default(),
            index: offst_index_client::Config::default(),
            apps: offst_app_server::Limits::default(),
            batch_max: 512,
            route_reuse_ms: 1_000,
            reconnect_max_ms: 30_000,
        }
    }
}
