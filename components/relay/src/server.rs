//! A relay on a socket: accepts connections, and ends them when it is stopped.

use crate::connection;
use crate::counters::Counters;
use crate::limits::Limits;
use crate::state::Relay;
use offst_crypto::Identity;
use offst_secure_channel::{Acceptor, Authenticator};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long connections may take to end when the relay is stopped.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// Runs a relay until `shutdown` is cancelled. Nothing is stored: after a restart the nodes connect again.
///
/// # Errors
/// The socket has no address.
pub async fn serve(
    listener: TcpListener,
    identity: Arc<Identity>,
    limits: Limits,
    counters: Arc<Counters>,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let authenticator = Authenticator::new(&identity);
    let handshakes = counters.handshakes.clone();
    let mut acceptor = Acceptor::with_counters(listener, authenticator, limits.handshake, handshakes)?;
    log::info!("relay {} listens at {}", identity.public_key(), acceptor.local_address());
    let relay = Arc::new(Relay::new(limits, counters));
    let tasks = TaskTracker::new();
    let stop = shutdown.child_token();
    tasks.spawn({
        let (relay, stop) = (relay.clone(), stop.clone());
        async move { stop.run_until_cancelled(relay.enforce_in_flight_limits()).await }
    });
    while let Some(accepted) = shutdown.run_until_cancelled(acceptor.accept()).await {
        tasks.spawn(connection::run(relay.clone(), accepted, stop.clone()));
    }
    drop(acceptor);
    tasks.close();
    if tokio::time::timeout(STOP_TIMEOUT, tasks.wait()).await.is_err() {
        log::warn!("{} connections did not end in time", tasks.len());
    }
    Ok(())
}
