//! The command `init`: the folder of a new application. The node's owner trusts it with `stnode trust`.

use super::Voice;
use crate::files::Readers;
use crate::folder::Folder;
use crate::outcome::Outcome;
use offst_crypto::{Identity, SystemRandom};
use offst_proto::ticket::Ticket;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct Init {
    /// The application's folder; its files are called like it [default: app in $OFFST_HOME or ~/.offst]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Overwrite the files of an application that is there, its identity too
    #[arg(long)]
    force: bool,
}

pub(super) fn init(Init { dir, force }: Init, voice: Voice) -> Outcome {
    let folder = Folder::new(dir, "app")?;
    folder.create()?;
    let identity = Identity::generate(&mut SystemRandom::new());
    let public_key = identity.public_key();
    folder.write_new(
        &[
            ("ident", &identity.to_pem(), Readers::Owner),
            ("ticket", &Ticket::App(public_key).to_toml(), Readers::Anyone),
        ],
        force,
    )?;
    voice.say(serde_json::json!({ "public_key": public_key.to_string() }), String::new)
}
