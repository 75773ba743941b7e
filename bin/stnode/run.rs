//! The command `run`.

use super::existing;
use super::settings::NodeFile;
use super::trusted::TrustedFolder;
use crate::outcome::{Explain, Failure, Outcome};
use crate::{serving, settings};
use offst_crypto::PublicKey;
use offst_node::{Counters, Node};
use offst_proto::ticket::Ticket;
use offst_store::{Store, StoreError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::watch;

#[derive(Debug, clap::Args)]
pub(super) struct Run {
    /// The node's folder [default: node in $OFFST_HOME or ~/.offst]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Where to listen for applications [default: the port of its address on all interfaces, or a loopback address itself]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Publish counters over HTTP, in Prometheus' format
    #[arg(long, value_name = "ADDR:PORT")]
    metrics: Option<SocketAddr>,
}

/// Checks every file, then runs the node until a signal.
pub(super) fn run(Run { dir, listen, metrics }: Run) -> Outcome {
    serving::start_logging();
    let folder = existing(dir)?;
    let _lock = folder.lock()?;
    let path = folder.file("toml");
    let file: NodeFile = settings::load(&path)?;
    let node_settings = file.node_settings().or_input(path.display())?;
    let (identity, ticket) = serving::load_server(&folder, "ticket", Ticket::into_node)?;
    let database = folder.file("db");
    check_database(&database, identity.public_key())?;
    let trusted = TrustedFolder::of(&folder);
    let reading = trusted.read();
    if let Some(sentence) = reading.faults.values().next() {
        return Err(Failure::input(format!("{sentence}; repair the file, or remove it to trust its app no longer")));
    }
    serving::run(async |stop| {
        let apps = serving::listen(listen.or(file.listen), &ticket.address).await?;
        let counters = Arc::new(Counters::default());
        let counted = counters.clone();
        let samples = move || counted.entries();
        serving::publish_metrics(metrics.or(file.metrics), "offst_node", samples, &stop).await?;
        let (published, permissions) = watch::channel(reading.permissions());
        tokio::spawn(trusted.watch(reading, published, stop.clone()));
        let node = Node { identity, database, apps, permissions, settings: node_settings, counters };
        let mut announced = Ok(());
        let ready = || {
            announced = serving::announce_ready();
            if announced.is_err() {
                stop.cancel();
            }
        };
        let ended = node.run(ready, stop.clone()).await;
        stop.cancel();
        ended?;
        announced
    })
}

/// Refuses a wrong database before anything listens.
fn check_database(path: &Path, node: PublicKey) -> Outcome {
    Store::open(path, node).map(drop).map_err(|error| match error {
        // These name the file themselves.
        StoreError::Missing(_) | StoreError::Foreign(_) => Failure::input(error),
        _ => Failure::input(format_args!("{}: {error}", path.display())),
    })
}
