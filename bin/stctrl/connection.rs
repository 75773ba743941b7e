//! Which node is controlled, and as which application.

use super::progress::with_progress;
use crate::files::{load_identity, load_ticket};
use crate::folder::Folder;
use crate::outcome::{Explain, Failure, Outcome};
use crate::passphrase::PassphraseFlag;
use offst_app::{App, AppError};
use offst_crypto::Identity;
use offst_proto::ticket::Ticket;
use offst_secure_channel::ConnectError;
use std::path::{Path, PathBuf};

/// Where a command's help shows what every command takes.
pub(super) const BEHIND_THE_OTHERS: usize = 900;

#[derive(Debug, clap::Args)]
pub(super) struct Connection {
    /// The identity file of this application [default: the one of the folder app in $OFFST_HOME or ~/.offst]
    #[arg(short = 'I', long, value_name = "FILE", env = "STCTRL_IDFILE", global = true, hide_env_values = true)]
    #[arg(display_order = BEHIND_THE_OTHERS)]
    idfile: Option<PathBuf>,
    /// The ticket of the node [default: the one of the folder node in $OFFST_HOME or ~/.offst]
    #[arg(short = 'T', long, value_name = "FILE", env = "STCTRL_TICKET", global = true, hide_env_values = true)]
    #[arg(display_order = BEHIND_THE_OTHERS)]
    ticket: Option<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseFlag,
}

impl Connection {
    /// Connects to the node and carries out a command.
    ///
    /// # Errors
    /// A file is wrong (exit code 2), the node cannot be reached or does not trust the application (exit code 1), or the
    /// command failed.
    pub(super) fn run(&self, command: impl AsyncFnOnce(App) -> Outcome) -> Outcome {
        self.run_as(async |app, _| command(app).await)
    }

    /// The same for a command that needs the application's identity.
    ///
    /// # Errors
    /// See [`Connection::run`].
    pub(super) fn run_as(&self, command: impl AsyncFnOnce(App, &Identity) -> Outcome) -> Outcome {
        let idfile = given_or_default(self.idfile.as_deref(), "app", "ident", "-I")?;
        let ticket = given_or_default(self.ticket.as_deref(), "node", "ticket", "-T")?;
        let identity = load_identity(&idfile, &self.passphrase)?;
        let ticket = load_ticket(&ticket, Ticket::into_node)?;
        offst_app::block_on(async {
            let app = with_progress("Connecting", offst_app::connect(&ticket, &identity)).await.map_err(explained)?;
            command(app, &identity).await
        })
        .or_failed("no connection can be made")?
    }
}

/// The file that was named, otherwise the one that `stnode init` makes where no folder is named.
///
/// # Errors
/// None was named, and there is no such file (exit code 2).
fn given_or_default(given: Option<&Path>, folder: &str, ending: &str, flag: &str) -> Outcome<PathBuf> {
    if let Some(path) = given {
        return Ok(path.to_owned());
    }
    let path = Folder::new(None, folder)?.file(ending);
    if path.symlink_metadata().is_err() {
        return Err(Failure::input(format!(
            "there is no file {}: name another with {flag}, or make a node of your own with `stnode init`",
            path.display()
        )));
    }
    Ok(path)
}

/// Why there is no connection, and what to look at where the error does not say it itself.
fn explained(error: AppError) -> Failure {
    match error {
        AppError::Connect(ConnectError::Unreachable { .. } | ConnectError::Timeout { .. }) | AppError::Timeout(_) => {
            Failure::failed(format!("{error}: does the node run (`stnode run`), and is its ticket the one of today?"))
        }
        error => error.into(),
    }
}
