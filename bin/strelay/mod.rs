//! `strelay`: a relay, which connects nodes that cannot reach each other directly.

use crate::files::Readers;
use crate::folder::Folder;
use crate::leftovers;
use crate::manual::Manual;
use crate::metrics::Samples;
use crate::open_files;
use crate::outcome::{self, Explain, Outcome};
use crate::passphrase::PassphraseFlag;
use crate::serving::{self, Places};
use crate::settings::{self, Settings, check_keepalive};
use clap::{Parser, Subcommand};
use offst_crypto::{Identity, SystemRandom};
use offst_proto::ticket::{Address, ServerTicket, Ticket};
use offst_relay::{Counters, Limits};
use offst_secure_channel::{HandshakeLimits, KeepaliveConfig};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A relay of Offst: connects nodes that cannot reach each other directly
#[derive(Debug, Parser)]
#[command(name = "strelay", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the folder of a new relay
    Init(Init),
    /// Run the relay until it gets SIGTERM or SIGINT
    Run(Run),
    #[command(flatten)]
    Manual(Manual),
}

#[derive(Debug, clap::Args)]
struct Init {
    /// The relay's folder. Its files get the folder's name [default: relay in $OFFST_HOME or ~/.offst]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Where nodes reach the relay
    #[arg(long, value_name = "HOST:PORT")]
    address: Address,
    /// Overwrite the files of an existing relay, with its identity
    #[arg(long)]
    force: bool,
}

#[derive(Debug, clap::Args)]
struct Run {
    /// The relay's folder [default: relay in $OFFST_HOME or ~/.offst]
    #[arg(long)]
    dir: Option<PathBuf>,
    #[command(flatten)]
    places: Places,
    #[command(flatten)]
    passphrase: PassphraseFlag,
}

/// The program.
pub fn main() -> ExitCode {
    outcome::run(|arguments: Arguments| match arguments.command {
        Command::Init(arguments) => init(arguments),
        Command::Run(arguments) => run(arguments),
        Command::Manual(manual) => manual.print::<Arguments>(),
    })
}

fn init(Init { dir, address, force }: Init) -> Outcome {
    let folder = Folder::new(dir, "relay")?;
    let identity = Identity::generate(&mut SystemRandom::new());
    let ticket = Ticket::Relay(ServerTicket { public_key: identity.public_key(), address });
    folder.initialise(
        &[
            ("ident", &identity.to_pem(), Readers::Owner),
            ("ticket", &ticket.to_toml(), Readers::Anyone),
            ("toml", &RelaySettings::commented_defaults(), Readers::Anyone),
        ],
        force,
    )
}

crate::settings! {
    /// The relay's file of settings.
    pub struct RelaySettings {
        /// Where to listen. By default: the port of the relay's address on all interfaces; a loopback address as it is.
        listen: Option<SocketAddr> = None => "0.0.0.0:8000",
        /// Where to serve metrics over HTTP, in the format of Prometheus. By default they are not served.
        metrics: Option<SocketAddr> = None => "127.0.0.1:9100",
        /// Most connections at the same time; an idle one holds some 20 kB. One more ends the newest of the busiest address, if
        /// its own is not as busy.
        connections_max: usize = Limits::default().connections_max,
        /// Most connections from one address (IPv6: from one /64; twice as many from one /56, four times from one /48).
        connections_per_address_max: usize = Limits::default().connections_per_address_max,
        /// Most substreams of one node, those it opened and those others opened to it.
        substreams_per_node_max: usize = Limits::default().substreams_per_node_max,
        /// Most substreams between the same two nodes.
        substreams_per_pair_max: usize = Limits::default().substreams_per_pair_max,
        /// Most nodes whose presence one node asks for.
        watched_per_node_max: usize = Limits::default().watched_per_node_max,
        /// Most bytes in flight in one direction of a substream.
        in_flight_per_substream_bytes_max: u64 = Limits::default().in_flight_per_substream_bytes_max,
        /// Most bytes in flight that came from one node.
        in_flight_per_node_bytes_max: u64 = Limits::default().in_flight_per_node_bytes_max,
        /// Most bytes in flight in the whole relay: the memory that traffic may take.
        in_flight_bytes_max: u64 = Limits::default().in_flight_bytes_max,
        /// Most bytes a second that are read from one node; one that sends faster is slowed down. Each frame counts 64 bytes
        /// more, a new substream and a rejected one 16384 each.
        bytes_per_second_per_node: u64 = Limits::default().bytes_per_second_per_node,
        /// The same for all nodes at one address together (IPv6: as for connections_per_address_max). Each has at least its
        /// even part of it.
        bytes_per_second_per_address: u64 = Limits::default().bytes_per_second_per_address,
        /// Substreams a second that one node may reset before it is disconnected; as many as it can have open, at once.
        resets_per_second_per_node: u64 = Limits::default().resets_per_second_per_node,
        /// Most new substreams a second from one node to another that watches it, as friends do.
        calls_per_second_per_pair: u64 = Limits::default().calls_per_second_per_pair,
        /// Most new substreams a second to one node from all nodes together that it does not watch.
        calls_per_second_from_strangers: u64 = Limits::default().calls_per_second_from_strangers,
        /// Most connections at the same time that have not shown their key yet.
        handshakes_max: usize = HandshakeLimits::default().handshakes_max,
        /// Most of them from one address.
        handshakes_per_address_max: usize = HandshakeLimits::default().handshakes_per_address_max,
        /// A connection that takes longer to show its key, or to say what a substream is for, is closed, milliseconds.
        handshake_timeout_ms: u64 = HandshakeLimits::default().handshake_timeout_ms,
        /// Something is sent on every connection at least this often, milliseconds.
        keepalive_ms: u64 = KeepaliveConfig::default().keepalive_ms,
        /// A connection on which nothing was received for this long is closed, milliseconds; at least twice keepalive_ms.
        idle_timeout_ms: u64 = KeepaliveConfig::default().idle_timeout_ms,
    }
}

impl RelaySettings {
    /// What the relay is given.
    ///
    /// # Errors
    /// Two settings do not go together: a message that names them.
    fn limits(&self) -> Result<Limits, String> {
        let limits = Limits {
            handshake: HandshakeLimits {
                handshakes_max: self.handshakes_max,
                handshakes_per_address_max: self.handshakes_per_address_max,
                handshake_timeout_ms: self.handshake_timeout_ms,
            },
            keepalive: KeepaliveConfig { keepalive_ms: self.keepalive_ms, idle_timeout_ms: self.idle_timeout_ms },
            connections_max: self.connections_max,
            connections_per_address_max: self.connections_per_address_max,
            substreams_per_node_max: self.substreams_per_node_max,
            substreams_per_pair_max: self.substreams_per_pair_max,
            watched_per_node_max: self.watched_per_node_max,
            in_flight_per_substream_bytes_max: self.in_flight_per_substream_bytes_max,
            in_flight_per_node_bytes_max: self.in_flight_per_node_bytes_max,
            in_flight_bytes_max: self.in_flight_bytes_max,
            bytes_per_second_per_node: self.bytes_per_second_per_node,
            bytes_per_second_per_address: self.bytes_per_second_per_address,
            resets_per_second_per_node: self.resets_per_second_per_node,
            calls_per_second_per_pair: self.calls_per_second_per_pair,
            calls_per_second_from_strangers: self.calls_per_second_from_strangers,
        };
        check_keepalive("", limits.keepalive)?;
        Ok(limits)
    }
}

fn samples(counters: &Counters) -> Samples {
    [
        ("handshakes_accepted", &counters.handshakes.accepted),
        ("handshakes_failed", &counters.handshakes.failed),
        ("handshakes_surplus", &counters.handshakes.surplus),
        ("nodes", &counters.nodes),
        ("connections_refused", &counters.connections_refused),
        ("connections_evicted", &counters.connections_evicted),
        ("displaced", &counters.displaced),
        ("dead", &counters.dead),
        ("misbehaved", &counters.misbehaved),
        ("substreams", &counters.substreams),
        ("substreams_opened", &counters.substreams_opened),
        ("substreams_refused", &counters.substreams_refused),
        ("substreams_cut", &counters.substreams_cut),
        ("bytes_forwarded", &counters.bytes_forwarded),
        ("in_flight_bytes", &counters.in_flight_bytes),
    ]
    .into_iter()
    .map(|(name, counter): (_, &AtomicU64)| (name, counter.load(Ordering::Relaxed)))
    .collect()
}

fn run(Run { dir, places, passphrase }: Run) -> Outcome {
    serving::start_logging();
    let folder = Folder::new(dir, "relay")?;
    let _lock = folder.lock()?;
    leftovers::sweep(&folder);
    let path = folder.file("toml");
    let settings: RelaySettings = settings::load(&path)?;
    let limits = settings.limits().or_input(path.display())?;
    let (identity, ticket) = serving::load_server(&folder, &passphrase, "ticket", Ticket::into_relay)?;
    // A few more are told why they cannot stay.
    open_files::allow(limits.connections_max.saturating_add(limits.handshake.handshakes_max).saturating_add(128));
    serving::run(async |stop| {
        let listener = serving::listen(places.listen.or(settings.listen), &ticket.address).await?;
        let counters = Arc::new(Counters::default());
        let counted = counters.clone();
        let samples = move || samples(&counted);
        serving::publish_metrics(places.metrics.or(settings.metrics), "offst_relay", samples, &stop).await?;
        serving::announce_ready()?;
        offst_relay::serve(listener, identity, limits, counters, stop).await?;
        Ok(())
    })
}
