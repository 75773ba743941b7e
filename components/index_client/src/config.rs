//! Timers and bounds of a node's index client.

use offst_proto::index::TIME_TO_LIVE_MS_MAX;
use offst_secure_channel::KeepaliveConfig;

/// Timers in milliseconds, and bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// At most one update to each server in this time.
    pub publish_interval_ms: u64,
    /// How long an announcement is valid; everything is announced again after half of it. At most an hour.
    pub time_to_live_ms: u64,
    /// A server that does not answer an update for so long is disconnected.
    pub update_timeout_ms: u64,
    /// How long a refused update waits before it is tried again.
    pub refused_wait_ms: u64,
    /// How long a query may take.
    pub query_timeout_ms: u64,
    /// How long a query that has a route waits for the other server's answer.
    pub second_answer_ms: u64,
    /// Queries in progress at the same time.
    pub queries_max: usize,
    /// First wait before a server is dialled again, doubled after each failure; each wait is between half and all of it.
    pub reconnect_min_ms: u64,
    /// Longest wait before a server is dialled again.
    pub reconnect_max_ms: u64,
    /// Longest time for dialling and the handshake together.
    pub connect_timeout_ms: u64,
    /// How long a connection may be silent.
    pub keepalive: KeepaliveConfig,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            publish_interval_ms: 250,
            time_to_live_ms: 600_000,
            update_timeout_ms: 30_000,
            refused_wait_ms: 10_000,
            query_timeout_ms: 5_000,
            second_answer_ms: 300,
            queries_max: 256,
            reconnect_min_ms: 200,
            reconnect_max_ms: 30_000,
            connect_timeout_ms: 10_000,
            keepalive: KeepaliveConfig::default(),
        }
    }
}

impl Config {
    /// How long an update is valid. A minute below the bound is left for clocks that differ.
    pub(crate) fn time_to_live_ms(&self) -> u64 {
        self.time_to_live_ms.clamp(1, TIME_TO_LIVE_MS_MAX - 60_000)
    }
}
