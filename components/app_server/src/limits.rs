//! Every bound of the server in one place.

use offst_proto::app::APP_MESSAGE_BYTES_MAX;
use offst_secure_channel::HandshakeLimits;

/// What applications, and strangers at the door, can make the node hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bounds on connections that have not shown a key yet.
    pub handshakes: HandshakeLimits,
    /// Most connections of all applications together; one more ends the oldest of the application that has most.
    pub connections_max: usize,
    /// Most connections of one application; one more closes its oldest.
    pub connections_per_app_max: usize,
    /// Most bytes of one message from an application; a larger one closes the connection.
    pub message_bytes_max: usize,
    /// Most unanswered calls of a connection; then no more of its messages are read.
    pub calls_max: usize,
    /// Most bytes of the unanswered calls of a connection; then no more of its messages are read.
    pub call_bytes_max: usize,
    /// Most bytes of answers that a connection has not taken; then no more of its messages are read.
    pub unsent_bytes_max: usize,
    /// Most answered calls that the application has not finished, as the RPC protocol asks of it; one more closes the
    /// connection.
    pub unfinished_calls_max: usize,
    /// Most calls of a connection that wait for something to happen (`pay`, `waitInvoice`, `next`); further ones are
    /// refused. Below `calls_max`, so that waiting calls never keep the others out.
    pub waits_max: usize,
    /// How long a call waits for something to happen before it is answered that nothing has, in milliseconds.
    pub wait_ms: u64,
    /// Most subscriptions of a connection.
    pub subscriptions_max: usize,
    /// A connection that takes nothing of what is written to it for so long is closed, in milliseconds.
    pub write_timeout_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            handshakes: HandshakeLimits::default(),
            connections_max: 256,
            connections_per_app_max: 16,
            message_bytes_max: APP_MESSAGE_BYTES_MAX,
            calls_max: 256,
            call_bytes_max: 1024 * 1024,
            unsent_bytes_max: 1024 * 1024,
            unfinished_calls_max: 1024,
            waits_max: 192,
            wait_ms: 20_000,
            subscriptions_max: 16,
            write_timeout_ms: 60_000,
        }
    }
}
