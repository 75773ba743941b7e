//! The command `init`: a new identity, its ticket, an empty database, and, where it is wanted, an application that may do
//! everything.

use super::settings::NodeFile;
use super::trusted::{TrustedApp, TrustedApps, name_from};
use crate::files::{self, Readers};
use crate::folder::Folder;
use crate::outcome::{Explain, Failure, Outcome};
use crate::settings::Settings;
use offst_crypto::{Identity, PublicKey, SystemRandom};
use offst_funder::{IndexServer, Relay};
use offst_node::Permissions;
use offst_proto::budget::Budgets;
use offst_proto::limits::NAME_BYTES_MAX;
use offst_proto::ticket::{Address, ServerTicket, Ticket, TicketError};
use offst_rows::{Commit, RowChange};
use offst_store::Store;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What lies beside a database: what SQLite keeps there while it is open, and its seal. They would spoil a new one.
const DATABASE_COMPANIONS: [&str; 3] = ["db-wal", "db-shm", "db.seal"];

#[derive(Debug, clap::Args)]
pub(super) struct Init {
    /// The node's folder. Its files get the folder's name [default: node in $OFFST_HOME or ~/.offst, with an application in the
    /// folder app beside it]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Where applications reach the node
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9500")]
    address: Address,
    /// The ticket of a relay over which friends reach the node; may be given several times
    #[arg(long, value_name = "FILE")]
    relay: Vec<PathBuf>,
    /// The ticket of an index server that finds routes for the node; may be given several times
    #[arg(long, value_name = "FILE")]
    index: Vec<PathBuf>,
    /// Also make the folder of an application with all permissions
    #[arg(long, value_name = "DIR")]
    app: Option<PathBuf>,
    /// Overwrite the files of an existing node. Its identity and its accounts with friends are lost
    #[arg(long)]
    force: bool,
}

/// Checks everything, then makes the files.
pub(super) fn init(Init { dir, address, relay, index, app, force }: Init) -> Outcome {
    let wants_app = dir.is_none() || app.is_some();
    let folder = Folder::new(dir, "node")?;
    let app = if wants_app { Some(Folder::new(app, "app")?) } else { None };
    let mut changes = Vec::new();
    for (name, ticket) in servers(&relay, Ticket::into_relay)? {
        changes.push(RowChange::put(&name, &Relay(ticket)));
    }
    for (name, ticket) in servers(&index, Ticket::into_index_client)? {
        changes.push(RowChange::put(&name, &IndexServer(ticket)));
    }
    let app_name = app.as_ref().map(|app| name_from(&app.file("ticket"))).transpose()?;
    let trusted = TrustedApps::of(&folder);
    for ending in ["ident", "ticket", "db", "toml"] {
        files::check_absent(&folder.file(ending), force)?;
    }
    if let (Some(app), Some(name)) = (&app, &app_name) {
        for path in [app.file("ident"), app.file("ticket"), trusted.file(name)] {
            files::check_absent(&path, force)?;
        }
    }

    folder.create()?;
    let _lock = folder.lock()?;
    if let Some(app) = &app {
        app.create()?;
        if app.path().canonicalize()? == folder.path().canonicalize()? {
            return Err(Failure::input("the node and the app need a folder each: give --app another one"));
        }
    }
    folder.create_inner("trusted")?;

    let identity = Identity::generate(&mut SystemRandom::new());
    let public_key = identity.public_key();
    make_database(&folder, public_key, &changes)?;
    let ticket = Ticket::Node(ServerTicket { public_key, address });
    folder.write_new(
        &[
            ("ident", &identity.to_pem(), Readers::Owner),
            ("ticket", &ticket.to_toml(), Readers::Anyone),
            ("toml", &NodeFile::commented_defaults(), Readers::Anyone),
        ],
        force,
    )?;
    if let (Some(app), Some(name)) = (&app, &app_name) {
        let public_key = app.write_new_app(force)?;
        let app = TrustedApp { public_key, permissions: Permissions::ALL, budgets: Budgets::default() };
        trusted.put(name, &app)?;
    }
    Ok(())
}

/// The servers of the tickets, by the names that the owner will see: those of the files, up to their first dot.
pub(super) fn servers(
    paths: &[PathBuf],
    kind: fn(Ticket) -> Result<ServerTicket, TicketError>,
) -> Outcome<BTreeMap<String, ServerTicket>> {
    let mut servers = BTreeMap::new();
    for path in paths {
        let ticket = files::load_ticket(path, kind)?;
        if servers.values().any(|known: &ServerTicket| known.public_key == ticket.public_key) {
            return Err(Failure::input(format!("the server of {} was given twice: name it once", path.display())));
        }
        let name = stem(path, "server");
        let names = std::iter::once(name.clone()).chain((2_usize..).map(|number| format!("{name}-{number}")));
        let free = names.into_iter().find(|name| !servers.contains_key(name)).unwrap_or(name);
        servers.insert(free, ticket);
    }
    Ok(servers)
}

/// The name of a file up to its first dot; `otherwise` when that is no name.
pub(super) fn stem(path: &Path, otherwise: &str) -> String {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let name = file.split('.').next().unwrap_or_default().trim();
    let is_wrong = |c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER;
    // Room for "-2".
    if name.is_empty() || name.len() > NAME_BYTES_MAX - 8 || name.chars().any(is_wrong) {
        return otherwise.into();
    }
    name.into()
}

/// Makes the database in a folder of its own, then moves it to its place: half a database never has its name.
fn make_database(folder: &Folder, node: PublicKey, changes: &[RowChange]) -> Outcome {
    let place = folder.file("db");
    let what = format!("the database {} cannot be made", place.display());
    let workshop = files::workshop(folder.path(), &what)?;
    let made = workshop.path().join("new.db");
    Store::create(&made, node).or_failed(&what)?;
    let mut store = Store::open(&made, node).or_failed(&what)?;
    store.commit(changes).or_failed(&what)?;
    // What a full disk keeps out of the file must not be left behind with the workshop.
    store.close().or_failed(&what)?;
    for ending in DATABASE_COMPANIONS {
        match std::fs::remove_file(folder.file(ending)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).or_failed(&what),
            _ => {}
        }
    }
    std::fs::rename(&made, &place).or_failed(&what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_called_like_their_tickets() {
        let outer = tempfile::tempdir().unwrap();
        let put = |place: &str, seed: u8| {
            let path = outer.path().join(place);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let public_key = Identity::from_seed([seed; 32]).public_key();
            let ticket = ServerTicket { public_key, address: "relay.example.org:8000".parse().unwrap() };
            std::fs::write(&path, Ticket::Relay(ticket).to_toml()).unwrap();
            path
        };
        let long = format!("{}.ticket", "x".repeat(100));
        let mut paths = vec![
            put("a/relay.ticket", 1),
            put("b/relay.ticket", 2),
            put("c/relay.client.ticket", 3),
            put(".ticket", 4),
            put(&long, 5),
        ];
        let servers_found = servers(&paths, Ticket::into_relay).unwrap();
        let names: Vec<_> = servers_found.keys().map(String::as_str).collect();
        assert_eq!(names, ["relay", "relay-2", "relay-3", "server", "server-2"]);
        paths.push(put("d/other.ticket", 2));
        let failure = servers(&paths, Ticket::into_relay).unwrap_err();
        assert!(failure.message().contains("was given twice"), "{}", failure.message());
    }
}
