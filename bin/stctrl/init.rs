//! The command `init`: the folder of a new application. The node's owner trusts it with `stnode trust`.

use super::output::{OutputFormat, PublicKeyDocument};
use crate::folder::Folder;
use crate::outcome::Outcome;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct Init {
    /// The application's folder. Its files get the folder's name [default: app in $OFFST_HOME or ~/.offst]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Overwrite the files of an existing application, with its identity
    #[arg(long)]
    force: bool,
}

pub(super) fn init(Init { dir, force }: Init, format: OutputFormat) -> Outcome {
    let folder = Folder::new(dir, "app")?;
    folder.create()?;
    let public_key = folder.write_new_app(force)?;
    format.print(&PublicKeyDocument { public_key }, String::new)
}
