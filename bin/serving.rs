//! What every server does: log, listen, say `ready`, and stop in order when it is told to.

use crate::files::{load_identity, load_ticket};
use crate::folder::Folder;
use crate::metrics::{self, Samples};
use crate::outcome::{Explain, Failure, Outcome, say};
use crate::passphrase::PassphraseFlag;
use crate::quiet_log::{QuietLog, REPORT_TIME};
use offst_crypto::Identity;
use offst_proto::ticket::{Address, ServerTicket, Ticket, TicketError};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long tasks may take to end after the server itself has ended.
const SHUTDOWN_TIME: Duration = Duration::from_secs(2);

/// Where a server is reached, as its command line says it.
#[derive(Debug, clap::Args)]
pub struct Places {
    /// Where to listen [default: the port of its own address, on all interfaces; a loopback address as it is]
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// Serve metrics over HTTP here, in the format of Prometheus
    #[arg(long, value_name = "ADDR:PORT")]
    pub metrics: Option<SocketAddr>,
}

/// Logs to stderr: `info` and worse, of libraries of others `warn` and worse, or what `RUST_LOG` says.
pub fn start_logging() {
    QuietLog::start();
}

/// The identity of a server and the ticket in its folder, which must name that identity.
///
/// # Errors
/// One of them is missing or damaged, or they do not belong together (exit code 2).
pub fn load_server(
    folder: &Folder,
    passphrase: &PassphraseFlag,
    ticket_ending: &str,
    kind: fn(Ticket) -> Result<ServerTicket, TicketError>,
) -> Outcome<(Arc<Identity>, ServerTicket)> {
    let identity = load_identity(&folder.file("ident"), passphrase)?;
    let path = folder.file(ticket_ending);
    let ticket = load_ticket(&path, kind)?;
    if ticket.public_key != identity.public_key() {
        return Err(Failure::input(format!(
            "{} is not the ticket of {}: the two files belong to different identities",
            path.display(),
            folder.file("ident").display()
        )));
    }
    Ok((Arc::new(identity), ticket))
}

/// Runs a server on a runtime of its own. The token is cancelled on SIGTERM and SIGINT; a second signal ends the process
/// at once.
///
/// # Errors
/// What the server returned, or the system has no threads or signals left (exit code 1).
pub fn run(server: impl AsyncFnOnce(CancellationToken) -> Outcome) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().or_failed("no threads")?;
    let outcome = runtime.block_on(async {
        let stop = CancellationToken::new();
        let terminate = signal(SignalKind::terminate()).or_failed("no signals")?;
        let interrupt = signal(SignalKind::interrupt()).or_failed("no signals")?;
        tokio::spawn(stop_on_signals(terminate, interrupt, stop.clone()));
        tokio::spawn(report_left_out());
        server(stop).await
    });
    runtime.shutdown_timeout(SHUTDOWN_TIME);
    log::logger().flush();
    outcome
}

/// Says from time to time what is not in the log.
async fn report_left_out() {
    loop {
        tokio::time::sleep(REPORT_TIME).await;
        log::logger().flush();
    }
}

async fn stop_on_signals(mut terminate: Signal, mut interrupt: Signal, stop: CancellationToken) {
    for attempt in 0.. {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        if attempt > 0 {
            log::warn!("{name} again: ending at once");
            std::process::exit(1);
        }
        log::info!("{name}: stopping");
        stop.cancel();
    }
}

/// Prints the line that says: connections are accepted from now on.
///
/// # Errors
/// stdout cannot be written to.
pub fn announce_ready() -> Outcome {
    say("ready")
}

/// Listens for a server that others reach at `address`: where `--listen` or the settings say, otherwise at the port of
/// `address` on all interfaces, or at `address` itself when that is a loopback address.
///
/// # Errors
/// The address is taken or not ours (exit code 1).
pub async fn listen(wanted: Option<SocketAddr>, address: &Address) -> Outcome<TcpListener> {
    listen_for("", wanted, address).await
}

/// As [`listen`], for whom the log says: `for others `, with a space at the end.
///
/// # Errors
/// As for [`listen`].
pub async fn listen_for(whom: &str, wanted: Option<SocketAddr>, address: &Address) -> Outcome<TcpListener> {
    let (first, second) = places(wanted, address);
    let bound = match (TcpListener::bind(first).await, second) {
        // A system without IPv6 has no such address family.
        (Err(error), Some(second)) if error.kind() != std::io::ErrorKind::AddrInUse => TcpListener::bind(second).await,
        (bound, _) => bound,
    };
    let listener = bound.or_failed(format_args!("cannot listen at {first}"))?;
    log::info!("listening {whom}at {}", listener.local_addr()?);
    Ok(listener)
}

/// Where to listen, and where instead if there is no IPv6.
fn places(wanted: Option<SocketAddr>, address: &Address) -> (SocketAddr, Option<SocketAddr>) {
    let port = address.port();
    match (wanted, address.host().parse::<IpAddr>()) {
        (Some(wanted), _) => (wanted, None),
        (None, Ok(ip)) if ip.is_loopback() => ((ip, port).into(), None),
        (None, _) if address.is_loopback() => ((Ipv4Addr::LOCALHOST, port).into(), None),
        // One socket for IPv6 takes IPv4, too.
        (None, _) => ((Ipv6Addr::UNSPECIFIED, port).into(), Some((Ipv4Addr::UNSPECIFIED, port).into())),
    }
}

/// Publishes counters, their names behind `prefix`, at `place` if `--metrics` or the settings name one.
///
/// # Errors
/// The address is taken or not ours (exit code 1).
pub async fn publish_metrics(
    place: Option<SocketAddr>,
    prefix: &'static str,
    samples: impl Fn() -> Samples + Send + Sync + 'static,
    stop: &CancellationToken,
) -> Outcome {
    let Some(place) = place else { return Ok(()) };
    let listener = TcpListener::bind(place).await.or_failed(format_args!("cannot publish metrics at {place}"))?;
    log::info!("metrics at http://{}/metrics", listener.local_addr()?);
    tokio::spawn(metrics::serve(listener, prefix, samples, stop.clone()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_server_listens() {
        let place = |address: &str| places(None, &address.parse().unwrap()).0.to_string();
        assert_eq!(place("127.0.0.1:1"), "127.0.0.1:1");
        assert_eq!(place("127.0.0.2:1"), "127.0.0.2:1");
        assert_eq!(place("[::1]:1"), "[::1]:1");
        assert_eq!(place("localhost:1"), "127.0.0.1:1");
        assert_eq!(place("relay.example.org:8000"), "[::]:8000");
        assert_eq!(place("192.0.2.1:8000"), "[::]:8000");
        let wanted = "10.0.0.1:7".parse().unwrap();
        assert_eq!(places(Some(wanted), &"127.0.0.1:1".parse().unwrap()), (wanted, None));
    }

    #[tokio::test]
    async fn a_taken_address_is_named() {
        let taken = listen(Some("127.0.0.1:0".parse().unwrap()), &"127.0.0.1:1".parse().unwrap()).await.unwrap();
        let place = taken.local_addr().unwrap();
        let failure = listen(Some(place), &"127.0.0.1:1".parse().unwrap()).await.unwrap_err();
        assert_eq!(failure.exit_code(), 1);
        assert!(failure.message().starts_with(&format!("cannot listen at {place}: ")), "{}", failure.message());
    }
}
