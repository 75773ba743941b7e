//! `stindex`: an index server, which finds routes for payments through the network of friends.
//!
//! Servers that trust each other are linked, and know what nodes publish at any of them.

mod trusted;

use self::trusted::TrustedServer;
use crate::files::Readers;
use crate::folder::Folder;
use crate::leftovers;
use crate::manual::Manual;
use crate::open_files;
use crate::outcome::{self, Explain, Failure, Outcome};
use crate::passphrase::PassphraseFlag;
use crate::serving::{self, Places};
use crate::settings::{self, Settings, check_keepalive};
use crate::trusted::{Reading, TrustedFolder};
use clap::{Parser, Subcommand};
use offst_crypto::{Identity, SystemRandom};
use offst_index_server::{Counters, Federation, IndexServer, Limits};
use offst_proto::ticket::{Address, ServerTicket, Ticket};
use offst_secure_channel::{HandshakeLimits, KeepaliveConfig};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::sync::watch;

/// An index server of Offst: finds routes for payments through the network of friends
#[derive(Debug, Parser)]
#[command(name = "stindex", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the folder of a new index server
    Init(Init),
    /// Run the index server until it gets SIGTERM or SIGINT
    Run(Run),
    #[command(flatten)]
    Manual(Manual),
}

#[derive(Debug, clap::Args)]
struct Init {
    /// The index server's folder. Its files get the folder's name [default: index in $OFFST_HOME or ~/.offst]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Where nodes reach the index server
    #[arg(long, value_name = "HOST:PORT")]
    address: Address,
    /// Where other index servers reach it
    #[arg(long, value_name = "HOST:PORT")]
    federation_address: Address,
    /// Overwrite the files of an existing index server, with its identity
    #[arg(long)]
    force: bool,
}

#[derive(Debug, clap::Args)]
struct Run {
    /// The index server's folder [default: index in $OFFST_HOME or ~/.offst]
    #[arg(long)]
    dir: Option<PathBuf>,
    #[command(flatten)]
    places: Places,
    #[command(flatten)]
    passphrase: PassphraseFlag,
    /// Where other index servers connect [default: the port of the federation address, on all interfaces]
    #[arg(long, value_name = "ADDR:PORT")]
    listen_federation: Option<SocketAddr>,
}

/// The program.
pub fn main() -> ExitCode {
    outcome::run(|arguments: Arguments| match arguments.command {
        Command::Init(arguments) => init(arguments),
        Command::Run(arguments) => run(arguments),
        Command::Manual(manual) => manual.print::<Arguments>(),
    })
}

fn init(Init { dir, address, federation_address, force }: Init) -> Outcome {
    if address == federation_address {
        return Err(Failure::input(format!(
            "nodes and other index servers need an address each, and {address} was given for both: choose another port"
        )));
    }
    let folder = Folder::new(dir, "index")?;
    let identity = Identity::generate(&mut SystemRandom::new());
    let server = |address| ServerTicket { public_key: identity.public_key(), address };
    folder.initialise(
        &[
            ("ident", &identity.to_pem(), Readers::Owner),
            ("client.ticket", &Ticket::IndexClient(server(address)).to_toml(), Readers::Anyone),
            ("server.ticket", &Ticket::IndexServer(server(federation_address)).to_toml(), Readers::Anyone),
            ("toml", &IndexSettings::commented_defaults(), Readers::Anyone),
        ],
        force,
    )?;
    folder.create_inner("trusted")?;
    Ok(())
}

crate::settings! {
    /// The index server's file of settings.
    pub struct IndexSettings {
        /// Where to listen. By default: the port of the server's address on all interfaces; a loopback address as it is.
        listen: Option<SocketAddr> = None => "0.0.0.0:8100",
        /// Where other index servers connect. By default: the port of the federation address, in the same way.
        listen_federation: Option<SocketAddr> = None => "0.0.0.0:8200",
        /// Where to serve metrics over HTTP, in the format of Prometheus. By default they are not served.
        metrics: Option<SocketAddr> = None => "127.0.0.1:9101",
        /// Most friendships of one node; a withdrawn one counts for some more minutes.
        edges_per_node_max | "edges_per_node": usize = Limits::default().edges_per_node_max,
        /// Most bytes that are kept of what one node has signed.
        update_bytes_per_node_max | "update_bytes_per_node": usize = Limits::default().update_bytes_per_node_max,
        /// Most friendships of all nodes together.
        edges_max | "edges": usize = Limits::default().edges_max,
        /// Most nodes that are remembered.
        nodes_max | "nodes": usize = Limits::default().nodes_max,
        /// Most bytes that are kept of what all nodes have signed.
        update_bytes_max | "update_bytes": usize = Limits::default().update_bytes_max,
        /// Most nodes that have published from one address (IPv6: from one /64; twice as many from a /56, four times as many
        /// from a /48; so it is with all settings that end in per_address).
        nodes_per_address_max | "nodes_per_address": usize = Limits::default().nodes_per_address_max,
        /// Most friendships of all nodes that have published from one address.
        edges_per_address_max | "edges_per_address": usize = Limits::default().edges_per_address_max,
        /// Most bytes that are kept of what all nodes have signed that have published from one address.
        update_bytes_per_address_max | "update_bytes_per_address": usize = Limits::default().update_bytes_per_address_max,
        /// Most nodes that have not published here, and of which one linked index server has told first.
        nodes_per_neighbour_max | "nodes_per_neighbour": usize = Limits::default().nodes_per_neighbour_max,
        /// Most friendships of these nodes.
        edges_per_neighbour_max | "edges_per_neighbour": usize = Limits::default().edges_per_neighbour_max,
        /// Most bytes that are kept of what these nodes have signed.
        update_bytes_per_neighbour_max | "update_bytes_per_neighbour": usize = Limits::default().update_bytes_per_neighbour_max,
        /// Updates a second that one connection may publish; twice as many at once.
        updates_per_second: u32 = Limits::default().updates_per_second,
        /// Queries a second that one connection may ask; twice as many at once.
        queries_per_second: u32 = Limits::default().queries_per_second,
        /// Updates a second that all connections of one address may publish together; twice as many at once.
        updates_per_second_per_address: u32 = Limits::default().updates_per_second_per_address,
        /// Queries a second that all connections of one address may ask together; twice as many at once.
        queries_per_second_per_address: u32 = Limits::default().queries_per_second_per_address,
        /// Most friendships that one search looks at before it is cut off.
        search_work_max | "search_work": usize = Limits::default().search_work_max,
        /// Friendships a second that searches for one address may look at before those for others come first.
        search_work_per_second_per_address: u64 = Limits::default().search_work_per_second_per_address,
        /// Threads that search; with only one, a node that asks for much delays others. By default the number of this machine's
        /// cores, at least 2; at most 4096.
        searches: usize = Limits::default().searches,
        /// Queries that wait for a thread. One more takes the place of one of the address that has most.
        queries_waiting_max | "queries_waiting": usize = Limits::default().queries_waiting_max,
        /// Queries of one address that wait for a thread.
        queries_waiting_per_address_max | "queries_waiting_per_address": usize = Limits::default().queries_waiting_per_address_max,
        /// Most connections at the same time.
        connections_max | "connections": usize = Limits::default().connections_max,
        /// Most connections of one address at the same time.
        connections_per_address_max | "connections_per_address": usize = Limits::default().connections_per_address_max,
        /// Most connections at the same time that have not shown their key yet.
        handshakes_max: usize = HandshakeLimits::default().handshakes_max,
        /// Most of them from one address.
        handshakes_per_address_max: usize = HandshakeLimits::default().handshakes_per_address_max,
        /// A connection that takes longer to show its key is closed, milliseconds.
        handshake_timeout_ms: u64 = HandshakeLimits::default().handshake_timeout_ms,
        /// Something is sent on every connection at least this often, milliseconds.
        keepalive_ms: u64 = KeepaliveConfig::default().keepalive_ms,
        /// A connection on which nothing was received for this long is closed, milliseconds; at least twice keepalive_ms.
        idle_timeout_ms: u64 = KeepaliveConfig::default().idle_timeout_ms,
        /// How often expired friendships are removed from memory, milliseconds.
        sweep_ms: u64 = Limits::default().sweep_ms,
        /// How often linked index servers compare what they know, milliseconds, beside what they tell each other at once.
        compare_ms: u64 = Limits::default().compare_ms,
        /// How often what has changed is written to the file NAME.updates, milliseconds.
        save_ms: u64 = Limits::default().save_ms,
        /// Most bytes a second that are written to this file: after a large write the next one comes later.
        save_bytes_per_second: u64 = Limits::default().save_bytes_per_second,
    }
}

/// Most threads that search.
const SEARCHES_MAX: usize = 4096;

impl IndexSettings {
    /// What the server is given.
    ///
    /// # Errors
    /// Two settings do not go together, or one asks for more than a machine has: a message that names it.
    fn limits(&self) -> Result<Limits, String> {
        let limits = Limits {
            edges_per_node_max: self.edges_per_node_max,
            update_bytes_per_node_max: self.update_bytes_per_node_max,
            edges_max: self.edges_max,
            nodes_max: self.nodes_max,
            update_bytes_max: self.update_bytes_max,
            nodes_per_address_max: self.nodes_per_address_max,
            edges_per_address_max: self.edges_per_address_max,
            update_bytes_per_address_max: self.update_bytes_per_address_max,
            nodes_per_neighbour_max: self.nodes_per_neighbour_max,
            edges_per_neighbour_max: self.edges_per_neighbour_max,
            update_bytes_per_neighbour_max: self.update_bytes_per_neighbour_max,
            updates_per_second: self.updates_per_second,
            queries_per_second: self.queries_per_second,
            updates_per_second_per_address: self.updates_per_second_per_address,
            queries_per_second_per_address: self.queries_per_second_per_address,
            search_work_max: self.search_work_max,
            search_work_per_second_per_address: self.search_work_per_second_per_address,
            searches: self.searches,
            queries_waiting_max: self.queries_waiting_max,
            queries_waiting_per_address_max: self.queries_waiting_per_address_max,
            connections_max: self.connections_max,
            connections_per_address_max: self.connections_per_address_max,
            handshakes: HandshakeLimits {
                handshakes_max: self.handshakes_max,
                handshakes_per_address_max: self.handshakes_per_address_max,
                handshake_timeout_ms: self.handshake_timeout_ms,
            },
            keepalive: KeepaliveConfig { keepalive_ms: self.keepalive_ms, idle_timeout_ms: self.idle_timeout_ms },
            sweep_ms: self.sweep_ms,
            compare_ms: self.compare_ms,
            save_ms: self.save_ms,
            save_bytes_per_second: self.save_bytes_per_second,
        };
        check_keepalive("", limits.keepalive)?;
        if limits.searches > SEARCHES_MAX {
            return Err(format!("searches is at most {SEARCHES_MAX}"));
        }
        Ok(limits)
    }
}

fn run(Run { dir, places, listen_federation, passphrase }: Run) -> Outcome {
    serving::start_logging();
    let folder = Folder::new(dir, "index")?;
    let _lock = folder.lock()?;
    leftovers::sweep(&folder);
    let path = folder.file("toml");
    let settings: IndexSettings = settings::load(&path)?;
    let limits = settings.limits().or_input(path.display())?;
    let (identity, ticket) = serving::load_server(&folder, &passphrase, "client.ticket", Ticket::into_index_client)?;
    let (_, federation_ticket) =
        serving::load_server(&folder, &passphrase, "server.ticket", Ticket::into_index_server)?;
    // Nodes and other index servers have a socket each on which strangers call.
    let handshakes = limits.handshakes.handshakes_max.saturating_mul(2);
    open_files::allow(limits.connections_max.saturating_add(handshakes));
    serving::run(async |stop| {
        let listener = serving::listen(places.listen.or(settings.listen), &ticket.address).await?;
        let federation_place = listen_federation.or(settings.listen_federation);
        let federation_listener =
            serving::listen_for("for other index servers ", federation_place, &federation_ticket.address).await?;
        let counters = Arc::new(Counters::default());
        let counted = counters.clone();
        let samples = move || counted.snapshot().entries();
        serving::publish_metrics(places.metrics.or(settings.metrics), "offst_index", samples, &stop).await?;
        let trusted_folder = TrustedFolder::<TrustedServer>::of(&folder);
        let (published, trusted) = watch::channel(trusted_folder.read().by_key());
        tokio::spawn(trusted_folder.watch(Reading::default(), published, stop.clone()));
        serving::announce_ready()?;
        let federation = Some(Federation { listener: federation_listener, trusted });
        let file = Some(folder.file("updates"));
        IndexServer { listener, identity, limits, counters, federation, file }.serve(stop).await?;
        Ok(())
    })
}
