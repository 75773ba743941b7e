//! The passphrase of a node's identity file. Who holds an identity file without one can act as the node.

use super::node_folder::existing;
use crate::files::{self, Readers};
use crate::outcome::{Explain, Failure, Outcome};
use crate::passphrase::{PassphraseFlag, read_private, text_in};
use offst_crypto::SystemRandom;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Holds the new passphrase where nobody can be asked.
const NEW_PASSPHRASE_VARIABLE: &str = "OFFST_NEW_PASSPHRASE";

#[derive(Debug, clap::Args)]
pub(super) struct Passphrase {
    /// The node's folder [default: node in $OFFST_HOME or ~/.offst]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Remove the passphrase. Then everyone who can read the file can use the identity
    #[arg(long)]
    remove: bool,
    /// The file that holds the new passphrase, for its owner alone [default: OFFST_NEW_PASSPHRASE, otherwise you are asked]
    #[arg(long, value_name = "FILE", conflicts_with = "remove")]
    new_passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    old: PassphraseFlag,
}

/// Writes the identity file again. A node that runs has read it already and goes on.
pub(super) fn passphrase(Passphrase { dir, remove, new_passphrase_file, old }: Passphrase) -> Outcome {
    let path = existing(dir)?.file("ident");
    let identity = files::load_identity(&path, &old)?;
    let pem = if remove {
        identity.to_pem()
    } else {
        identity.to_encrypted_pem(&new_passphrase(new_passphrase_file.as_deref())?, &mut SystemRandom::new())
    };
    files::write(&path, pem.as_bytes(), Readers::Owner, true)
}

fn new_passphrase(file: Option<&Path>) -> Outcome<Zeroizing<String>> {
    if let Some(file) = file {
        return read_private(file);
    }
    let new = match std::env::var_os(NEW_PASSPHRASE_VARIABLE) {
        Some(given) => text_in(NEW_PASSPHRASE_VARIABLE, given)?,
        None if std::io::stdin().is_terminal() => ask()?,
        None => {
            return Err(Failure::input(format!(
                "put the new passphrase into {NEW_PASSPHRASE_VARIABLE}, or name the file that holds it with --new-passphrase-file"
            )));
        }
    };
    if new.is_empty() {
        return Err(Failure::input("an empty passphrase protects nothing: give one, or --remove"));
    }
    Ok(new)
}

fn ask() -> Outcome<Zeroizing<String>> {
    let prompt = |text| rpassword::prompt_password(text).map(Zeroizing::new).or_input("the passphrase cannot be read");
    let new = prompt("New passphrase: ")?;
    if prompt("The same again: ")? != new {
        return Err(Failure::input("the two passphrases differ: nothing was changed"));
    }
    Ok(new)
}
