//! Which applications may use the node: the commands `trust`, `untrust` and `apps`.

use super::existing;
use super::trusted::{TrustedApp, TrustedApps, name_from};
use crate::files;
use crate::outcome::{Failure, Outcome, say};
use offst_node::Permissions;
use offst_proto::ticket::Ticket;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(super) struct Trust {
    /// The node's folder [default: node in $OFFST_HOME or ~/.offst]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The application's ticket; the application is called like this file
    #[arg(long, value_name = "FILE")]
    app: PathBuf,
    /// What it may do, with commas between: routes (ask what a payment would cost), buyer (pay), seller (make invoices), config
    /// (friends, relays, index servers); "" lets it only read
    #[arg(long)]
    permissions: Permissions,
    /// Overwrite the file of another application of the same name
    #[arg(long)]
    force: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Untrust {
    /// The node's folder [default: node in $OFFST_HOME or ~/.offst]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The application's ticket, or its name as "apps" shows it
    #[arg(long, value_name = "FILE|NAME")]
    app: String,
}

#[derive(Debug, clap::Args)]
pub(super) struct Apps {
    /// The node's folder [default: node in $OFFST_HOME or ~/.offst]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Writes what an application may do.
pub(super) fn trust(Trust { dir, app, permissions, force }: Trust) -> Outcome {
    let folder = existing(dir)?;
    let public_key = files::load_ticket(&app, Ticket::into_app)?;
    let name = name_from(&app)?;
    let trusted = TrustedApps::of(&folder);
    let reading = trusted.read();
    match reading.name_of(public_key) {
        Some(other) if other != name => {
            return Err(Failure::input(format!(
                "this app is trusted under the name \"{other}\" already: say \"stnode untrust --app {other}\" first"
            )));
        }
        // Its owner gives it other permissions.
        Some(_) => {}
        None => files::check_absent(&trusted.file(&name), force)?,
    }
    folder.create_inner("trusted")?;
    trusted.put(&name, TrustedApp { public_key, permissions })
}

/// Removes the file of an application.
pub(super) fn untrust(Untrust { dir, app }: &Untrust) -> Outcome {
    let trusted = TrustedApps::of(&existing(dir.clone())?);
    let path = Path::new(app);
    if path.is_file() {
        let public_key = files::load_ticket(path, Ticket::into_app)?;
        let reading = trusted.read();
        let name = reading
            .name_of(public_key)
            .ok_or_else(|| Failure::input(format!("the app of {app} is not trusted: there is nothing to do")))?;
        return trusted.remove(name);
    }
    // By its name a file can be removed that is damaged, too.
    let is_there = name_from(path).is_ok() && !app.contains('/') && trusted.file(app).symlink_metadata().is_ok();
    if !is_there {
        return Err(Failure::input(format!(
            "there is no ticket \"{app}\", and no trusted app of this name: \"stnode apps\" lists them"
        )));
    }
    trusted.remove(app)
}

/// Prints every file of the folder, those that cannot be used with the reason.
pub(super) fn list(Apps { dir, json }: Apps) -> Outcome {
    let reading = TrustedApps::of(&existing(dir)?).read();
    if json {
        let words = |permissions: Permissions| -> Vec<String> {
            permissions.to_string().split(',').filter(|word| !word.is_empty()).map(ToOwned::to_owned).collect()
        };
        let apps = reading.trusted.iter().map(|(name, app)| {
            serde_json::json!({
                "name": name,
                "public_key": app.public_key.to_string(),
                "permissions": words(app.permissions),
            })
        });
        let faults = reading
            .faults
            .iter()
            .map(|(name, sentence)| serde_json::json!({ "name": name, "error": Failure::input(sentence).sentence() }));
        return say(serde_json::Value::Array(apps.chain(faults).collect()));
    }
    let width = reading.trusted.keys().map(|name| name.chars().count()).max().unwrap_or(0);
    for (name, app) in &reading.trusted {
        let permissions = match app.permissions.to_string() {
            none if none.is_empty() => "reading only".to_owned(),
            some => some,
        };
        say(format_args!("{name:width$}  {}  {permissions}", app.public_key))?;
    }
    for sentence in reading.faults.values() {
        say(format_args!("not trusted: {}", Failure::input(sentence).sentence()))?;
    }
    Ok(())
}
