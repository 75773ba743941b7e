//! The node that a command needs: its folder as `init` has made it, whose it is, and what is wrong with its database.

use crate::files;
use crate::folder::Folder;
use crate::outcome::{Failure, Outcome, plain};
use offst_crypto::PublicKey;
use offst_proto::ticket::Ticket;
use offst_store::StoreError;
use std::path::PathBuf;

/// The folder of a node that `init` has made.
///
/// # Errors
/// There is none (exit code 2).
pub(super) fn existing(dir: Option<PathBuf>) -> Outcome<Folder> {
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
pub(super) fn database_failure(message: String, error: &StoreError) -> Failure {
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
pub(super) fn public_key(folder: &Folder) -> Outcome<PublicKey> {
    Ok(files::load_ticket(&folder.file("ticket"), Ticket::into_node)?.public_key)
}
