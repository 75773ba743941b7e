//! `stnode`: a node, which keeps the accounts with its friends, pays, is paid and carries payments on.
//!
//! | file | what it holds |
//! |---|---|
//! | `init` | makes the folder of a new node |
//! | `run` | runs it |
//! | `settings` | its file of settings |
//! | `trusted` | the folder of the applications that may use it, watched while it runs |
//! | `apps` | the commands that change that folder |
//! | `restore` | puts a copy back, or makes a new database for what friends remember |
//! | `backup` | copies its database while it runs |
//! | `check` | audits its database |
//! | `passphrase` | sets, changes and removes the passphrase of its identity file |
//! | `clock` | refuses to begin with a clock that was never set |

mod apps;
mod backup;
mod check;
mod clock;
mod init;
mod passphrase;
mod restore;
mod run;
mod settings;
mod trusted;

#[cfg(test)]
pub(crate) use {apps::example as apps_example, check::example as audit_example};

use crate::files;
use crate::folder::Folder;
use crate::manual::Manual;
use crate::outcome::{self, Failure, Outcome, plain};
use clap::{Parser, Subcommand};
use offst_crypto::PublicKey;
use offst_proto::ticket::Ticket;
use offst_store::StoreError;
use std::path::PathBuf;
use std::process::ExitCode;

/// A node of Offst: keeps the accounts with your friends, pays, is paid, and forwards payments of others
#[derive(Debug, Parser)]
#[command(name = "stnode", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the folder of a new node
    Init(init::Init),
    /// Let an application use the node, or change its permissions; works while the node runs
    Trust(apps::Trust),
    /// Stop trusting an application; works while the node runs
    Untrust(apps::Untrust),
    /// List the applications that may use the node
    Apps(apps::Apps),
    /// Run the node until it gets SIGTERM or SIGINT
    Run(run::Run),
    /// Copy the node's database into one file; works while the node runs
    Backup(backup::Backup),
    /// Replace the database by a backup; when the node runs again, it catches up with its friends
    Restore(restore::Restore),
    /// Make a new database after the old one was lost: the friends show what they know of the accounts
    Recover(restore::Recover),
    /// Check the node's database: every row, and every balance against the signatures. The node must not be running
    Check(check::Check),
    /// Set, change or remove the passphrase of the node's identity file
    Passphrase(passphrase::Passphrase),
    #[command(flatten)]
    Manual(Manual),
}

/// The program.
pub fn main() -> ExitCode {
    outcome::run(|arguments: Arguments| match arguments.command {
        Command::Init(arguments) => init::init(arguments),
        Command::Trust(arguments) => apps::trust(arguments),
        Command::Untrust(arguments) => apps::untrust(&arguments),
        Command::Apps(arguments) => apps::list(arguments),
        Command::Run(arguments) => run::run(arguments),
        Command::Backup(arguments) => backup::backup(arguments),
        Command::Restore(arguments) => restore::restore(arguments),
        Command::Recover(arguments) => restore::recover(arguments),
        Command::Check(arguments) => check::check(arguments),
        Command::Passphrase(arguments) => passphrase::passphrase(arguments),
        Command::Manual(manual) => manual.print::<Arguments>(),
    })
}

/// The folder of a node that `init` has made.
///
/// # Errors
/// There is none (exit code 2).
fn existing(dir: Option<PathBuf>) -> Outcome<Folder> {
    let folder = Folder::new(dir, "node")?;
    let missing = match folder.file("ident").metadata() {
        Ok(metadata) if metadata.is_file() => return Ok(folder),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            return Err(Failure::input(format!("{} cannot be read: {}", folder.path().display(), plain(&error))));
        }
        _ => folder.path().display(),
    };
    Err(Failure::input(format!(
        "there is no node in the folder {missing}: make one with the command \"init\", or name its folder with --dir"
    )))
}

/// The failure of a command that found no use for a database: the file is wrong (exit code 2), or the disk failed.
fn database_failure(message: String, error: &StoreError) -> Failure {
    match error {
        StoreError::Sqlite(_) | StoreError::Create { .. } | StoreError::Exists(_) | StoreError::Seal { .. } => {
            Failure::failed(message)
        }
        _ => Failure::input(message),
    }
}

/// Whose folder it is: from its ticket, which needs no passphrase.
///
/// # Errors
/// The ticket is missing or damaged (exit code 2).
fn public_key(folder: &Folder) -> Outcome<PublicKey> {
    Ok(files::load_ticket(&folder.file("ticket"), Ticket::into_node)?.public_key)
}
