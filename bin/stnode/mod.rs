//! `stnode`: a node, which keeps the accounts with its friends, pays, is paid and carries payments on.
//!
//! | file | what it holds |
//! |---|---|
//! | `init` | makes the folder of a new node |
//! | `run` | runs it |
//! | `node_folder` | what the commands that need a node find in its folder |
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
mod node_folder;
mod passphrase;
mod restore;
mod run;
mod settings;
mod trusted;

#[cfg(test)]
pub(crate) use {apps::example as apps_example, check::example as audit_example};

use crate::manual::Manual;
use crate::outcome;
use clap::{Parser, Subcommand};
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
