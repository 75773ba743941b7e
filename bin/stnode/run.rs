//! The command `run`.

use super::clock;
use super::node_folder::{database_failure, existing};
use super::settings::NodeFile;
use super::trusted::TrustedApps;
use crate::files::{self, Readers};
use crate::leftovers;
use crate::open_files;
use crate::outcome::{Explain, Failure, Outcome};
use crate::passphrase::PassphraseFlag;
use crate::serving::{self, Places};
use crate::settings;
use offst_crypto::PublicKey;
use offst_node::{Counters, Node};
use offst_proto::ticket::{Address, Ticket};
use offst_store::{Seal, Store, StoreError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Friends for whose direct connections there should be room, with the node's relays and index servers.
const DIRECT_FRIENDS: usize = 1024;

#[derive(Debug, clap::Args)]
pub(super) struct Run {
    /// The node's folder [default: node in $OFFST_HOME or ~/.offst]
    #[arg(long)]
    dir: Option<PathBuf>,
    #[command(flatten)]
    places: Places,
    #[command(flatten)]
    passphrase: PassphraseFlag,
    #[command(flatten)]
    friends: FriendPlaces,
}

/// Where friends connect without a relay.
#[derive(Debug, clap::Args)]
struct FriendPlaces {
    /// Listen for friends here, so that they connect without a relay [default: the port of --friend-address, on all
    /// interfaces]. Friends are told only --friend-address. Without it, write the address into the tickets that you give them
    #[arg(long, value_name = "ADDR:PORT")]
    listen_friends: Option<SocketAddr>,
    /// Where friends reach the node without a relay. It is written into exported tickets and invitations, and told to connected
    /// friends
    #[arg(long, value_name = "HOST:PORT")]
    friend_address: Option<Address>,
}

impl FriendPlaces {
    /// Flags win over the settings.
    fn or(self, file: &NodeFile) -> Self {
        FriendPlaces {
            listen_friends: self.listen_friends.or(file.listen_friends),
            friend_address: self.friend_address.or_else(|| file.friend_address.clone()),
        }
    }

    /// Refuses what must fail when `address` is that of applications.
    fn check(&self, address: &Address) -> Outcome {
        if self.listen_friends.is_none() && self.friend_address.as_ref() == Some(address) {
            return Err(Failure::input(format!(
                "friends and applications need an address each, and {address} is that of applications: choose another port for \
                 --friend-address"
            )));
        }
        Ok(())
    }

    /// Listens, if friends may connect. `address`: that of applications.
    async fn listen(&self, address: &Address) -> Outcome<Option<TcpListener>> {
        if self.listen_friends.is_none() && self.friend_address.is_none() {
            return Ok(None);
        }
        let address = self.friend_address.as_ref().unwrap_or(address);
        Ok(Some(serving::listen_for("for friends ", self.listen_friends, address).await?))
    }
}

/// Checks every file, then runs the node until a signal.
pub(super) fn run(Run { dir, places, friends, passphrase }: Run) -> Outcome {
    serving::start_logging();
    // Any run may find out that its database is old, and recover.
    clock::now_ms()?;
    let folder = existing(dir)?;
    let _lock = folder.lock()?;
    leftovers::sweep(&folder);
    let path = folder.file("toml");
    let file: NodeFile = settings::load(&path)?;
    let node_settings = file.node_settings().or_input(path.display())?;
    let (identity, ticket) = serving::load_server(&folder, &passphrase, "ticket", Ticket::into_node)?;
    let friends = friends.or(&file);
    friends.check(&ticket.address)?;
    let database = folder.file("db");
    check_database(&database, identity.public_key())?;
    let sealed = database.clone();
    let trusted = TrustedApps::of(&folder);
    let reading = trusted.read();
    if let Some(message) = reading.faults.values().next() {
        return Err(Failure::input(format!("{message}; repair the file, or remove it to trust its app no longer")));
    }
    open_files::allow(
        [
            node_settings.apps.connections_max,
            node_settings.apps.handshakes.handshakes_max,
            node_settings.direct.handshakes.handshakes_max,
            DIRECT_FRIENDS,
        ]
        .into_iter()
        .fold(0, usize::saturating_add),
    );
    serving::run(async |stop| {
        let apps = serving::listen(places.listen.or(file.listen), &ticket.address).await?;
        let (friends, friend_address) = (friends.listen(&ticket.address).await?, friends.friend_address);
        let counters = Arc::new(Counters::default());
        let counted = counters.clone();
        let samples = move || counted.entries();
        serving::publish_metrics(places.metrics.or(file.metrics), "offst_node", samples, &stop).await?;
        let (published, grants) = watch::channel(reading.by_key());
        tokio::spawn(trusted.watch(reading, published, stop.clone()));
        let node =
            Node { identity, database, apps, friends, friend_address, grants, settings: node_settings, counters };
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
        // Here, so that a second signal still ends it at once. Without a seal the stop is as clean.
        if let Err(failure) = leave_seal(&sealed) {
            log::warn!("no seal was left beside the database: {}", failure.message());
        }
        announced
    })
}

/// Writes down what the database is that everybody has closed, for the command `check`.
fn leave_seal(database: &Path) -> Outcome {
    match Seal::of(database).or_failed(database.display())? {
        Some(seal) => files::write(seal.path(), seal.text().as_bytes(), Readers::Owner, true),
        // The log beside it could not be emptied.
        None => Ok(()),
    }
}

/// Refuses a wrong database before anything listens. It is not written yet: a start that fails leaves it as it is.
fn check_database(path: &Path, node: PublicKey) -> Outcome {
    Store::probe(path, node).map_err(|error| match error {
        // These name the file themselves.
        StoreError::Missing(_)
        | StoreError::Foreign(_)
        | StoreError::Unreleased(_)
        | StoreError::Newer(_)
        | StoreError::Unopened(_) => Failure::input(error),
        _ => database_failure(format!("{}: {error}", path.display()), &error),
    })
}
