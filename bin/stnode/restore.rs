//! The commands `restore` and `recover`: a database that is older than what friends have seen, or a new one. Both only prepare
//! it; the next run catches up with the friends.

use super::clock::now_ms;
use super::init::{servers, stem};
use super::node_folder::{database_failure, existing, public_key};
use crate::files;
use crate::folder::Folder;
use crate::outcome::{Explain, Failure, Outcome, say};
use offst_crypto::PublicKey;
use offst_funder::{IndexServer, RecoveryRecord, Relay, lost_friend};
use offst_proto::Amount;
use offst_proto::ticket::Ticket;
use offst_rows::{Commit, RowChange};
use offst_store::{Store, StoreError};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(super) struct Restore {
    /// The node's folder [default: node in $OFFST_HOME or ~/.offst]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The backup, made by `stnode backup`
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Replace the existing database, which is kept under another name
    #[arg(long)]
    force: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Recover {
    /// The node's folder, with its identity [default: node in $OFFST_HOME or ~/.offst]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The ticket of a friend, made by `stctrl info export-ticket` at that friend. Give one for each friend. The friend gets
    /// the name of the file
    #[arg(long, value_name = "FILE", required = true)]
    friend: Vec<PathBuf>,
    /// The ticket of a relay; may be given several times
    #[arg(long, value_name = "FILE")]
    relay: Vec<PathBuf>,
    /// The ticket of an index server; may be given several times
    #[arg(long, value_name = "FILE")]
    index: Vec<PathBuf>,
    /// How much every friend may owe from now on: the limits were in the lost database
    #[arg(long, value_name = "N", default_value = "0")]
    max_debt: Amount,
    /// Replace the existing database, which is kept under another name
    #[arg(long)]
    force: bool,
}

/// Checks the copy, marks it, and puts it in its place.
pub(super) fn restore(Restore { dir, input, force }: Restore) -> Outcome {
    let folder = existing(dir)?;
    let node = public_key(&folder)?;
    check_place(&folder, force)?;
    let now_ms = now_ms()?;
    let _lock = folder.lock()?;
    let what = format!("{} was not put back", input.display());
    put_in_place(&folder, &what, |made| {
        Store::copy(&input, node, made).map_err(|error| database_failure(format!("{what}: {error}"), &error))?;
        mark(made, node, |own| RecoveryRecord::of_copy(own, now_ms), Vec::new()).or_failed(&what)
    })?;
    say("The copy is in place. When the node runs again, it catches up with each friend that is online.")
}

/// Makes a database in which nothing stands but who the friends are.
pub(super) fn recover(arguments: Recover) -> Outcome {
    let Recover { dir, friend, relay, index, max_debt, force } = arguments;
    let folder = existing(dir)?;
    let node = public_key(&folder)?;
    check_place(&folder, force)?;
    let now_ms = now_ms()?;
    let mut changes = Vec::new();
    for (name, ticket) in servers(&relay, Ticket::into_relay)? {
        changes.push(RowChange::put(&name, &Relay(ticket)));
    }
    for (name, ticket) in servers(&index, Ticket::into_index_client)? {
        changes.push(RowChange::put(&name, &IndexServer(ticket)));
    }
    let (mut names, mut keys) = (BTreeSet::new(), BTreeSet::new());
    for path in &friend {
        let ticket = files::load_ticket(path, Ticket::into_friend)?;
        if ticket.public_key == node {
            return Err(Failure::input(format!(
                "{} is the node's own ticket: a friend is somebody else",
                path.display()
            )));
        }
        if !keys.insert(ticket.public_key) {
            return Err(Failure::input(format!("the friend of {} was given twice: name it once", path.display())));
        }
        let name = stem(path, "friend");
        if !names.insert(name.clone()) {
            return Err(Failure::input(format!(
                "two friends would be called \"{name}\", like their files: rename {}",
                path.display()
            )));
        }
        changes.extend(lost_friend(node, name, ticket, max_debt, now_ms));
    }
    let _lock = folder.lock()?;
    let what = "the new database was not made";
    put_in_place(&folder, what, |made| {
        Store::create(made, node).or_failed(what)?;
        mark(made, node, |_| RecoveryRecord::new(now_ms, true), changes).or_failed(what)
    })?;
    say("The new database is in place. When the node runs, each friend that is online shows what both have signed.")
}

fn check_place(folder: &Folder, force: bool) -> Outcome {
    let place = folder.file("db");
    // A link to a disk that is not there now is a database, too.
    if force || place.symlink_metadata().is_err() {
        return Ok(());
    }
    Err(Failure::input(format!(
        "there is a database at {} already: stop the node, and give --force to put another in its place; it is kept under \
         another name",
        place.display()
    )))
}

/// Half a database never has the name.
fn put_in_place(folder: &Folder, what: &str, make: impl FnOnce(&Path) -> Outcome) -> Outcome {
    let workshop = files::workshop(folder.path(), what)?;
    let made = workshop.path().join("new.db");
    make(&made)?;
    let aside = Store::put_in_place(&made, &folder.file("db")).or_failed(what)?;
    match aside {
        Some(aside) if aside.exists() => {
            say(format_args!("The database that was there is kept as {}.", aside.display()))
        }
        // Somebody has taken the database away, and left its log.
        Some(aside) => say(format_args!("The log of a database that is gone is kept as {}-wal.", aside.display())),
        None => Ok(()),
    }
}

/// Tells the next run that friends may know more than this database. `record` is given the mark that stands in it.
fn mark(
    path: &Path,
    node: PublicKey,
    record: impl FnOnce(Option<&RecoveryRecord>) -> RecoveryRecord,
    mut changes: Vec<RowChange>,
) -> Result<(), StoreError> {
    let mut store = Store::open(path, node)?;
    let own = store.load()?.read()?.pop().map(|((), record): ((), RecoveryRecord)| record);
    changes.push(RowChange::put(&(), &record(own.as_ref())));
    store.commit(&changes)?;
    store.close()
}
