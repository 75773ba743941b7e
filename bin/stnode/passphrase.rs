//! The passphrase of a node's identity file. Whoever holds an identity file without one is the node.

use super::existing;
use crate::files::{self, Readers};
use crate::outcome::{Explain, Failure, Outcome};
use offst_crypto::SystemRandom;
use std::io::IsTerminal;
use std::path::PathBuf;

/// Holds the new passphrase where nobody can be asked.
const NEW_PASSPHRASE_VARIABLE: &str = "OFFST_NEW_PASSPHRASE";

#[derive(Debug, clap::Args)]
pub(super) struct Passphrase {
    /// The node's folder [default: node in $OFFST_HOME or ~/.offst]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Remove the passphrase: whoever can read the file can then use the identity
    #[arg(long)]
    remove: bool,
}

/// Writes the identity file anew. A node that runs has read it already and goes on.
pub(super) fn passphrase(Passphrase { dir, remove }: Passphrase) -> Outcome {
    let path = existing(dir)?.file("ident");
    let identity = files::load_identity(&path)?;
    let pem = if remove {
        identity.to_pem()
    } else {
        identity.to_encrypted_pem(&new_passphrase()?, &mut SystemRandom::new())
    };
    files::write(&path, pem.as_bytes(), Readers::Owner, true)
}

fn new_passphrase() -> Outcome<String> {
    let new = match std::env::var_os(NEW_PASSPHRASE_VARIABLE) {
        Some(given) => given
            .into_string()
            .map_err(|_| Failure::input(format!("the passphrase in {NEW_PASSPHRASE_VARIABLE} is not a text")))?,
        None if std::io::stdin().is_terminal() => ask()?,
        None => {
            return Err(Failure::input(format!("put the new passphrase into {NEW_PASSPHRASE_VARIABLE}")));
        }
    };
    if new.is_empty() {
        return Err(Failure::input("an empty passphrase protects nothing: give one, or --remove"));
    }
    Ok(new)
}

fn ask() -> Outcome<String> {
    let prompt = |text| rpassword::prompt_password(text).or_input("the passphrase cannot be read");
    let new = prompt("New passphrase: ")?;
    if prompt("The same again: ")? != new {
        return Err(Failure::input("the two passphrases differ: nothing was changed"));
    }
    Ok(new)
}
