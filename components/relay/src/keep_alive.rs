//! Keeps a yamux connection alive, on either side, and notices when the peer is gone.

use crate::mux::Mux;
use offst_secure_channel::{Keepalive, KeepaliveConfig, KeepaliveStep};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Sends keepalives with `send`, and ends when nothing came from the peer for too long. Any byte of the connection counts.
pub(crate) async fn keep_alive(config: KeepaliveConfig, mux: &Mux, send: impl Fn() -> bool) {
    let start = Instant::now();
    let now_ms = || u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    let mut keepalive = Keepalive::new(config, 0);
    let (mut received, mut sent) = (mux.meter().received(), mux.meter().sent());
    loop {
        let (received_now, sent_now) = (mux.meter().received(), mux.meter().sent());
        if received_now != received {
            received = received_now;
            keepalive.received(now_ms());
        }
        if sent_now != sent {
            sent = sent_now;
            keepalive.sent(now_ms());
        }
        match keepalive.step(now_ms()) {
            KeepaliveStep::Dead => return,
            // A queue that is full is sent anyway.
            KeepaliveStep::Send => _ = send(),
            KeepaliveStep::Wait(wait_ms) => sleep(Duration::from_millis(wait_ms)).await,
        }
    }
}
