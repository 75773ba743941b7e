//! The folder `trusted`: the server tickets of the other index servers that this one is linked with.

use crate::files;
use crate::folder::Folder;
use crate::outcome::Failure;
use offst_crypto::PublicKey;
use offst_proto::ticket::{ServerTicket, Ticket};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// Most other index servers of one.
const SERVERS_MAX: usize = 64;
/// How often a running server looks at the folder.
const WATCH_PERIOD: Duration = Duration::from_millis(500);

/// What the folder holds, by the names of its files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reading {
    servers: BTreeMap<String, ServerTicket>,
    /// The files that cannot be used, each with a sentence.
    faults: BTreeMap<String, String>,
}

impl Reading {
    /// The tickets by the servers' keys.
    pub(super) fn tickets(&self) -> BTreeMap<PublicKey, ServerTicket> {
        self.servers.values().map(|ticket| (ticket.public_key, ticket.clone())).collect()
    }
}

/// The folder `trusted` of an index server.
#[derive(Debug, Clone)]
pub(super) struct TrustedFolder {
    path: PathBuf,
}

impl TrustedFolder {
    /// That of the server in `folder`. It need not exist: then nobody is trusted.
    pub(super) fn of(folder: &Folder) -> Self {
        TrustedFolder { path: folder.path().join("trusted") }
    }

    /// Reads every file. What cannot be read trusts nobody.
    pub(super) fn read(&self) -> Reading {
        let mut reading = Reading::default();
        let names = match self.names() {
            Ok(names) => names,
            Err(sentence) => {
                reading.faults.insert("trusted".into(), sentence);
                return reading;
            }
        };
        for name in names {
            match self.read_one(&name, &reading) {
                Ok(ticket) => drop(reading.servers.insert(name, ticket)),
                Err(sentence) => drop(reading.faults.insert(name, sentence)),
            }
        }
        reading
    }

    /// Names of the files, in order. Hidden files and those that do not end in `.ticket` are an editor's, or being
    /// written.
    fn names(&self) -> Result<BTreeSet<String>, String> {
        let shown = self.path.display();
        let wrong = |error: std::io::Error| format!("the folder {shown} cannot be read: {error}");
        let entries = match std::fs::read_dir(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            entries => entries.map_err(wrong)?,
        };
        let mut names = BTreeSet::new();
        for entry in entries {
            let name = entry.map_err(wrong)?.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') || !name.ends_with(".ticket") {
                continue;
            }
            if names.len() == SERVERS_MAX {
                return Err(format!("the folder {shown} holds more than {SERVERS_MAX} tickets, which are too many"));
            }
            names.insert(name);
        }
        Ok(names)
    }

    fn read_one(&self, name: &str, before: &Reading) -> Result<ServerTicket, String> {
        let path = self.path.join(name);
        let wrong = |reason: &str| format!("{}: {reason}", path.display());
        // Opening a pipe would wait for its writer.
        if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            return Err(wrong("this is not a file"));
        }
        let ticket =
            files::load_ticket(&path, Ticket::into_index_server).map_err(|failure| failure.sentence().to_owned())?;
        match before.servers.iter().find(|(_, known)| known.public_key == ticket.public_key) {
            Some((other, _)) => Err(wrong(&format!("this is the same server as {other}, which counts: remove one"))),
            None => Ok(ticket),
        }
    }

    /// Keeps `published` in step with the folder until `stop`.
    pub(super) async fn watch(
        self,
        published: watch::Sender<BTreeMap<PublicKey, ServerTicket>>,
        stop: CancellationToken,
    ) {
        let mut known = Reading::default();
        let mut period = tokio::time::interval(WATCH_PERIOD);
        period.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = period.tick() => {}
            }
            let folder = self.clone();
            let Ok(now) = tokio::task::spawn_blocking(move || folder.read()).await else { continue };
            if now != known {
                log_changes(&known, &now);
                published.send_replace(now.tickets());
                known = now;
            }
        }
    }
}

fn log_changes(before: &Reading, now: &Reading) {
    for (name, sentence) in &now.faults {
        if before.faults.get(name) != Some(sentence) {
            log::error!("{}; until it is repaired its server is not trusted", Failure::input(sentence).sentence());
        }
    }
    for (name, ticket) in &now.servers {
        if before.servers.get(name) != Some(ticket) {
            log::info!("the index server {} at {} is trusted by {name}", ticket.public_key, ticket.address);
        }
    }
    for (name, ticket) in &before.servers {
        if !now.servers.contains_key(name) {
            log::info!("the index server {} is no longer trusted: {name} is gone", ticket.public_key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offst_crypto::Identity;

    #[test]
    fn tickets_count_and_everything_else_is_named() {
        let outer = tempfile::tempdir().unwrap();
        let folder = Folder::new(Some(outer.path().to_owned()), "index").unwrap();
        let trusted = TrustedFolder::of(&folder);
        assert_eq!(trusted.read(), Reading::default());
        let inner = folder.create_inner("trusted").unwrap();
        let server = |seed: u8| ServerTicket {
            public_key: Identity::from_seed([seed; 32]).public_key(),
            address: format!("127.0.0.1:{seed}").parse().unwrap(),
        };
        let put = |name: &str, text: &str| std::fs::write(inner.join(name), text).unwrap();
        put("one.server.ticket", &Ticket::IndexServer(server(1)).to_toml());
        put("two.ticket", &Ticket::IndexServer(server(2)).to_toml());
        put("again.ticket", &Ticket::IndexServer(server(2)).to_toml());
        put("node.ticket", &Ticket::IndexClient(server(3)).to_toml());
        put("empty.ticket", "");
        put(".hidden.ticket", "");
        put("notes.txt", "");
        std::fs::create_dir(inner.join("folder.ticket")).unwrap();
        let reading = trusted.read();
        assert_eq!(reading.tickets(), [1, 2].map(|seed| (server(seed).public_key, server(seed))).into());
        let faults: Vec<_> = reading.faults.keys().map(String::as_str).collect();
        assert_eq!(faults, ["empty.ticket", "folder.ticket", "node.ticket", "two.ticket"]);
        assert!(reading.faults["two.ticket"].contains("the same server as again.ticket"));
        assert!(reading.faults["node.ticket"].contains("not of an index server for other index servers"));
    }
}
