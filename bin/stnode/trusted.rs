//! The folder `trusted`: one small file for each application that may use the node, with what it may do.

use crate::files::{self, Readers};
use crate::folder::Folder;
use crate::outcome::{Explain, Failure, Outcome};
use offst_crypto::PublicKey;
use offst_node::Permissions;
use offst_proto::limits::NAME_BYTES_MAX;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// Most applications of one node.
const APPS_MAX: usize = 1024;
/// A file has some 150 bytes.
const FILE_BYTES_MAX: usize = 4 * 1024;
/// How often a running node looks at the folder.
const WATCH_PERIOD: Duration = Duration::from_millis(500);

/// An application that may use the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TrustedApp {
    pub(super) public_key: PublicKey,
    pub(super) permissions: Permissions,
}

/// A file's form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    public_key: String,
    permissions: String,
}

/// What the folder holds, by the names of its files without their ending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// The applications.
    pub(super) apps: BTreeMap<String, TrustedApp>,
    /// The files that cannot be used, each with a sentence. Whoever they speak of is not trusted.
    pub(super) faults: BTreeMap<String, String>,
}

impl Reading {
    /// What each application may do.
    pub(super) fn permissions(&self) -> BTreeMap<PublicKey, Permissions> {
        self.apps.values().map(|app| (app.public_key, app.permissions)).collect()
    }

    /// The name of the application with this key.
    pub(super) fn name_of(&self, key: PublicKey) -> Option<&str> {
        self.apps.iter().find(|(_, app)| app.public_key == key).map(|(name, _)| name.as_str())
    }
}

/// The folder `trusted` of a node.
#[derive(Debug, Clone)]
pub(super) struct TrustedFolder {
    path: PathBuf,
}

impl TrustedFolder {
    /// That of the node in `folder`. It need not exist: then nobody is trusted.
    pub(super) fn of(folder: &Folder) -> Self {
        TrustedFolder { path: folder.path().join("trusted") }
    }

    /// The file of the application `name`.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.toml"))
    }

    /// Writes the file of an application, in place of the one that is there.
    ///
    /// # Errors
    /// The disk does not take it (exit code 1).
    pub(super) fn put(&self, name: &str, app: TrustedApp) -> Outcome {
        files::write(&self.file(name), text_of(app).as_bytes(), Readers::Anyone, true)
    }

    /// Removes the file of an application, whatever it holds.
    ///
    /// # Errors
    /// The disk does not allow it (exit code 1).
    pub(super) fn remove(&self, name: &str) -> Outcome {
        let path = self.file(name);
        std::fs::remove_file(&path).or_failed(format_args!("{} cannot be removed", path.display()))
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
                Ok(app) => {
                    reading.apps.insert(name, app);
                }
                Err(sentence) => {
                    reading.faults.insert(name, sentence);
                }
            }
        }
        reading
    }

    /// Names of the files, in order. Hidden files and those that do not end in `.toml` are an editor's, or being written.
    fn names(&self) -> Result<BTreeSet<String>, String> {
        let shown = self.path.display();
        let wrong = |error: std::io::Error| format!("the folder {shown} cannot be read: {error}");
        let entries = match std::fs::read_dir(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            entries => entries.map_err(wrong)?,
        };
        let mut names = BTreeSet::new();
        for entry in entries {
            let file = PathBuf::from(entry.map_err(wrong)?.file_name());
            let is_ours = file.extension().is_some_and(|ending| ending == "toml");
            let Some(stem) = file.file_stem().filter(|_| is_ours) else { continue };
            let name = stem.to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            if names.len() == APPS_MAX {
                return Err(format!("the folder {shown} holds more than {APPS_MAX} files: so many apps are too many"));
            }
            names.insert(name);
        }
        Ok(names)
    }

    fn read_one(&self, name: &str, before: &Reading) -> Result<TrustedApp, String> {
        let path = self.file(name);
        let wrong = |reason: &str| format!("{}: {reason}", path.display());
        check_name(name).map_err(|reason| wrong(&reason))?;
        // Opening a pipe would wait for its writer.
        if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            return Err(wrong("this is not a file"));
        }
        let text = files::read_text(&path, FILE_BYTES_MAX).map_err(|failure| failure.sentence().to_owned())?;
        let app = app_from(&text).map_err(|reason| wrong(&reason))?;
        match before.name_of(app.public_key) {
            Some(other) => {
                Err(wrong(&format!("this is the same app as {other}.toml, which counts: remove one of the two")))
            }
            None => Ok(app),
        }
    }

    /// Keeps `published` in step with the folder until `stop`. `known` is what was published.
    pub(super) async fn watch(
        self,
        mut known: Reading,
        published: watch::Sender<BTreeMap<PublicKey, Permissions>>,
        stop: CancellationToken,
    ) {
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
                published.send_replace(now.permissions());
                known = now;
            }
        }
    }
}

fn log_changes(before: &Reading, now: &Reading) {
    for (name, sentence) in &now.faults {
        if before.faults.get(name) != Some(sentence) {
            log::error!("{}; until it is repaired its app is not trusted", Failure::input(sentence).sentence());
        }
    }
    for (name, app) in &now.apps {
        if before.apps.get(name) != Some(app) {
            log::info!("the app \"{name}\" is trusted with the permissions \"{}\"", app.permissions);
        }
    }
    for name in before.apps.keys().filter(|name| !now.apps.contains_key(*name)) {
        log::info!("the app \"{name}\" is no longer trusted");
    }
}

fn text_of(app: TrustedApp) -> String {
    let file = File { public_key: app.public_key.to_string(), permissions: app.permissions.to_string() };
    let text = toml::to_string(&file).expect("two texts are a table");
    format!("# An application that may use this node, and what it may do.\n{text}")
}

fn app_from(text: &str) -> Result<TrustedApp, String> {
    let file: File = toml::from_str(text).map_err(|error: toml::de::Error| error.message().to_owned())?;
    let public_key = file.public_key.parse().map_err(|error| format!("{error}"))?;
    let permissions = file.permissions.parse().map_err(|error| format!("{error}"))?;
    Ok(TrustedApp { public_key, permissions })
}

/// The name that an application gets from its ticket's file: `app1` from `app1/app1.ticket`.
///
/// # Errors
/// The file is called in a way that no name is (exit code 2).
pub(super) fn name_from(ticket: &Path) -> Outcome<String> {
    let stem = ticket.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    check_name(&stem).or_input(format_args!("{} must be called otherwise", ticket.display()))?;
    Ok(stem)
}

/// Names are names of files, and shown to people.
fn check_name(name: &str) -> Result<(), String> {
    let is_wrong = |c: char| c.is_control() || c == '/' || c == char::REPLACEMENT_CHARACTER;
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.starts_with('.') || name.chars().any(is_wrong) {
        return Err(format!(
            "an app's name has 1 to {NAME_BYTES_MAX} bytes without control characters and does not begin with a dot"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use offst_crypto::Identity;

    fn app(seed: u8, permissions: &str) -> TrustedApp {
        TrustedApp {
            public_key: Identity::from_seed([seed; 32]).public_key(),
            permissions: permissions.parse().unwrap(),
        }
    }

    fn folder() -> (tempfile::TempDir, TrustedFolder) {
        let outer = tempfile::tempdir().unwrap();
        let trusted = TrustedFolder::of(&Folder::new(Some(outer.path().to_owned()), "node").unwrap());
        (outer, trusted)
    }

    #[test]
    fn a_file_says_who_may_do_what() {
        let app = app(1, "buyer,seller");
        let text = text_of(app);
        assert_eq!(
            text,
            format!(
                "# An application that may use this node, and what it may do.\npublic_key = \"{}\"\npermissions = \"buyer,seller\"\n",
                app.public_key
            )
        );
        assert_eq!(app_from(&text), Ok(app));
    }

    #[test]
    fn reading_gives_every_app_and_every_fault() {
        let (_outer, trusted) = folder();
        assert_eq!(trusted.read(), Reading::default(), "a folder that is not there trusts nobody");
        std::fs::create_dir(&trusted.path).unwrap();
        trusted.put("good", app(1, "routes")).unwrap();
        trusted.put("good", app(1, "buyer")).unwrap();
        let put = |file: &str, content: &[u8]| std::fs::write(trusted.path.join(file), content).unwrap();
        put("again.toml", text_of(app(1, "config")).as_bytes());
        put(".hidden.toml", b"");
        put("note.txt", b"");
        put("binary.toml", &[0xff]);
        put("large.toml", &[b'#'; FILE_BYTES_MAX + 1]);
        put("empty.toml", b"");
        put("key.toml", b"public_key = \"x\"\npermissions = \"\"");
        put("root.toml", text_of(app(2, "")).replace("\"\"", "\"root\"").as_bytes());
        put("\u{1b}[31m.toml", text_of(app(3, "config")).as_bytes());
        std::fs::create_dir(trusted.path.join("inner.toml")).unwrap();
        std::os::unix::fs::symlink("nowhere", trusted.path.join("link.toml")).unwrap();
        let reading = trusted.read();
        assert_eq!(reading.apps, BTreeMap::from([("again".to_owned(), app(1, "config"))]));
        assert_eq!(reading.permissions(), BTreeMap::from([(app(1, "").public_key, "config".parse().unwrap())]));
        let faults = [
            ("\u{1b}[31m", "control characters"),
            ("binary", "not a text file"),
            ("empty", "missing field `public_key`"),
            ("good", "the same app as again.toml"),
            ("inner", "not a file"),
            ("key", "key.toml: "),
            ("large", "too large"),
            ("link", "there is no such file"),
            ("root", "\"root\" is not a permission"),
        ];
        assert_eq!(reading.faults.keys().collect::<Vec<_>>(), faults.map(|(name, _)| name));
        for (name, message) in faults {
            assert!(reading.faults[name].contains(message), "{}", reading.faults[name]);
        }
    }

    #[test]
    fn names() {
        assert_eq!(name_from(Path::new("a/app1.ticket")).unwrap(), "app1");
        assert_eq!(name_from(Path::new("app1")).unwrap(), "app1");
        for wrong in ["", "a/..", ".ticket", "a\nb.ticket", &format!("{}.ticket", "x".repeat(65))] {
            assert_eq!(name_from(Path::new(wrong)).unwrap_err().exit_code(), 2, "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_change_is_published() {
        let (_outer, trusted) = folder();
        std::fs::create_dir(&trusted.path).unwrap();
        let (sender, mut receiver) = watch::channel(BTreeMap::new());
        let stop = CancellationToken::new();
        let watching = tokio::spawn(trusted.clone().watch(Reading::default(), sender, stop.clone()));
        let key = app(1, "").public_key;
        trusted.put("app", app(1, "buyer")).unwrap();
        receiver.wait_for(|map| map.get(&key).is_some_and(|granted| granted.buyer)).await.unwrap();
        trusted.put("app", app(1, "config")).unwrap();
        receiver.wait_for(|map| map.get(&key).is_some_and(|granted| granted.config && !granted.buyer)).await.unwrap();
        std::fs::write(trusted.file("app"), "damaged").unwrap();
        receiver.wait_for(BTreeMap::is_empty).await.unwrap();
        trusted.put("app", app(1, "config")).unwrap();
        receiver.wait_for(|map| map.len() == 1).await.unwrap();
        trusted.remove("app").unwrap();
        receiver.wait_for(BTreeMap::is_empty).await.unwrap();
        stop.cancel();
        watching.await.unwrap();
    }
}
