//! The command `backup`.

use super::node_folder::{database_failure, existing, public_key};
use crate::files;
use crate::outcome::{Explain, Failure, Outcome};
use offst_store::Store;
use std::fs::File;
use std::io::ErrorKind;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct Backup {
    /// The node's folder [default: node in $OFFST_HOME or ~/.offst]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Overwrite the file if it exists
    #[arg(long)]
    force: bool,
}

/// Copies the database, checks the copy, and gives it its name: half a backup never has it.
pub(super) fn backup(Backup { dir, output, force }: Backup) -> Outcome {
    let folder = existing(dir)?;
    let node = public_key(&folder)?;
    let database = folder.file("db");
    if let (Ok(there), Ok(ours)) = (output.canonicalize(), database.canonicalize())
        && there == ours
    {
        return Err(Failure::input(format!("{} is the node's own database: name another file", output.display())));
    }
    files::check_output(&output, force)?;
    let what = format!("the backup {} was not made", output.display());
    let beside = files::folder_of(&output);
    let workshop = files::workshop(beside, &what)?;
    let made = workshop.path().join("backup.db");
    Store::copy(&database, node, &made).map_err(|error| database_failure(format!("{what}: {error}"), &error))?;
    if force {
        std::fs::rename(&made, &output).or_failed(&what)?;
    } else {
        // Unlike a rename, a link takes the place of nothing.
        std::fs::hard_link(&made, &output).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => files::exists(&output),
            _ => Failure::failed(format_args!("{what}: {error}")),
        })?;
    }
    File::open(beside).and_then(|folder| folder.sync_all()).or_failed(&what)
}
