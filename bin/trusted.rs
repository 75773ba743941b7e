//! The folder `trusted` of a server: a small file for each of those that it trusts, looked at again and again while the
//! server runs. What such a file says is the server's own ([`Trusted`]).

use crate::folder::Folder;
use crate::outcome::{Failure, plain};
use offst_crypto::PublicKey;
use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// How often a running server looks at the folder.
const WATCH_PERIOD: Duration = Duration::from_millis(500);

/// Somebody who is trusted, as one file says it.
pub(crate) trait Trusted: Clone + PartialEq + Send + Sync + 'static {
    /// What the server does with it.
    type Use: Clone + Send + Sync + 'static;
    /// How the files' names end, behind a dot. Others are left alone.
    const ENDING: &'static str;
    /// Most files.
    const FILES_MAX: usize;
    /// What such a one is called: "app".
    const KIND: &'static str;

    /// Reads the file, whose name without its ending is `name`.
    ///
    /// # Errors
    /// It does not say who is trusted: a message that names the file.
    fn read(path: &Path, name: &str) -> Result<Self, String>;

    /// Who it is.
    fn public_key(&self) -> PublicKey;

    /// What the server does with it.
    fn to_use(&self) -> Self::Use;

    /// For the log: who it is, ...
    fn who(&self, name: &str) -> String;

    /// ... and how it is trusted, behind the words "is trusted".
    fn how(&self) -> String;
}

/// What the folder holds, by the names of its files without their ending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reading<T> {
    /// Who is trusted.
    pub(crate) trusted: BTreeMap<String, T>,
    /// The files that cannot be used, each with a message. Those that they name are not trusted.
    pub(crate) faults: BTreeMap<String, String>,
}

impl<T> Default for Reading<T> {
    fn default() -> Self {
        Reading { trusted: BTreeMap::new(), faults: BTreeMap::new() }
    }
}

impl<T: Trusted> Reading<T> {
    /// What the server does with each, by their keys.
    pub(crate) fn by_key(&self) -> BTreeMap<PublicKey, T::Use> {
        self.trusted.values().map(|trusted| (trusted.public_key(), trusted.to_use())).collect()
    }

    /// The name of the one with this key.
    pub(crate) fn name_of(&self, key: PublicKey) -> Option<&str> {
        self.trusted.iter().find(|(_, trusted)| trusted.public_key() == key).map(|(name, _)| name.as_str())
    }
}

/// The folder `trusted` of a server.
#[derive(Debug, Clone)]
pub(crate) struct TrustedFolder<T> {
    path: PathBuf,
    holds: PhantomData<T>,
}

impl<T: Trusted> TrustedFolder<T> {
    /// That of the server in `folder`. It need not exist: then nobody is trusted.
    pub(crate) fn of(folder: &Folder) -> Self {
        TrustedFolder { path: folder.path().join("trusted"), holds: PhantomData }
    }

    /// The file of this name.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.{}", T::ENDING))
    }

    /// Reads every file. What cannot be read trusts nobody.
    pub(crate) fn read(&self) -> Reading<T> {
        let mut reading = Reading::default();
        let names = match self.names() {
            Ok(names) => names,
            Err(message) => {
                reading.faults.insert("trusted".into(), message);
                return reading;
            }
        };
        for name in names {
            match self.read_one(&name, &reading) {
                Ok(trusted) => drop(reading.trusted.insert(name, trusted)),
                Err(message) => drop(reading.faults.insert(name, message)),
            }
        }
        reading
    }

    /// Names of the files, in order. Hidden files and those with another ending are an editor's, or being written.
    fn names(&self) -> Result<BTreeSet<String>, String> {
        let shown = self.path.display();
        let wrong = |error: std::io::Error| format!("the folder {shown} cannot be read: {}", plain(&error));
        let entries = match std::fs::read_dir(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            entries => entries.map_err(wrong)?,
        };
        let mut names = BTreeSet::new();
        for entry in entries {
            let file = entry.map_err(wrong)?.file_name().to_string_lossy().into_owned();
            let stem = file.strip_suffix(T::ENDING).and_then(|stem| stem.strip_suffix('.'));
            let Some(name) = stem.filter(|name| !name.is_empty() && !name.starts_with('.')) else { continue };
            if names.len() == T::FILES_MAX {
                return Err(format!("the folder {shown} holds more than {} files, which are too many", T::FILES_MAX));
            }
            names.insert(name.to_owned());
        }
        Ok(names)
    }

    fn read_one(&self, name: &str, before: &Reading<T>) -> Result<T, String> {
        let path = self.file(name);
        // Opening a pipe would wait for its writer.
        if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            return Err(format!("{}: this is not a file", path.display()));
        }
        let trusted = T::read(&path, name)?;
        match before.name_of(trusted.public_key()) {
            Some(other) => Err(format!(
                "{}: this is the same {} as {other}.{}, which counts: remove one of the two",
                path.display(),
                T::KIND,
                T::ENDING
            )),
            None => Ok(trusted),
        }
    }

    /// Keeps `published` in step with the folder until `stop`. `known` is what was published, and logged.
    pub(crate) async fn watch(
        self,
        mut known: Reading<T>,
        published: watch::Sender<BTreeMap<PublicKey, T::Use>>,
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
                published.send_replace(now.by_key());
                known = now;
            }
        }
    }
}

fn log_changes<T: Trusted>(before: &Reading<T>, now: &Reading<T>) {
    for (name, message) in &now.faults {
        if before.faults.get(name) != Some(message) {
            log::error!("{}; until it is repaired it trusts nobody", Failure::input(message).message());
        }
    }
    for (name, trusted) in &now.trusted {
        if before.trusted.get(name) != Some(trusted) {
            log::info!("{} is trusted {}", trusted.who(name), trusted.how());
        }
    }
    for (name, trusted) in &before.trusted {
        if !now.trusted.contains_key(name) {
            log::info!("{} is no longer trusted: {name}.{} is gone", trusted.who(name), T::ENDING);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offst_crypto::Identity;

    /// A file of one byte: the seed of who is trusted.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    struct Seed(u8);

    impl Trusted for Seed {
        type Use = u8;
        const ENDING: &'static str = "seed";
        const FILES_MAX: usize = 4;
        const KIND: &'static str = "seed";

        fn read(path: &Path, name: &str) -> Result<Self, String> {
            match std::fs::read(path).map_err(|error| plain(&error))?[..] {
                [seed] => Ok(Seed(seed)),
                _ => Err(format!("{name} is wrong")),
            }
        }

        fn public_key(&self) -> PublicKey {
            Identity::from_seed([self.0; 32]).public_key()
        }

        fn to_use(&self) -> u8 {
            self.0
        }

        fn who(&self, name: &str) -> String {
            format!("the seed {name}")
        }

        fn how(&self) -> String {
            "blindly".into()
        }
    }

    fn folder() -> (tempfile::TempDir, TrustedFolder<Seed>) {
        let outer = tempfile::tempdir().unwrap();
        let trusted = TrustedFolder::of(&Folder::new(Some(outer.path().to_owned()), "node").unwrap());
        assert_eq!(trusted.read(), Reading::default(), "a folder that is not there trusts nobody");
        std::fs::create_dir(&trusted.path).unwrap();
        (outer, trusted)
    }

    #[test]
    fn some_are_trusted_and_everything_else_is_named() {
        let (_outer, trusted) = folder();
        let put = |file: &str, content: &[u8]| std::fs::write(trusted.path.join(file), content).unwrap();
        put("one.seed", &[1]);
        put("a.b.seed", &[2]);
        put("two.seed", &[2]);
        put("empty.seed", &[]);
        for ignored in [".hidden.seed", ".seed", "seed", "note.txt", "xseed"] {
            put(ignored, &[3]);
        }
        let reading = trusted.read();
        assert_eq!(reading.trusted, BTreeMap::from([("a.b".to_owned(), Seed(2)), ("one".to_owned(), Seed(1))]));
        assert_eq!(reading.by_key(), BTreeMap::from([1, 2].map(|seed| (Seed(seed).public_key(), seed))));
        let faults: Vec<_> = reading.faults.iter().map(|(name, message)| (name.as_str(), message.as_str())).collect();
        let twice = format!(
            "{}: this is the same seed as a.b.seed, which counts: remove one of the two",
            trusted.file("two").display()
        );
        assert_eq!(faults, [("empty", "empty is wrong"), ("two", twice.as_str())]);
        std::fs::create_dir(trusted.file("two-more")).unwrap();
        let faults = trusted.read().faults;
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults["trusted"].ends_with("holds more than 4 files, which are too many"), "{faults:?}");
        std::fs::remove_file(trusted.file("one")).unwrap();
        assert!(trusted.read().faults["two-more"].ends_with("this is not a file"));
    }

    #[tokio::test]
    async fn a_change_is_published() {
        let (_outer, trusted) = folder();
        let (sender, mut receiver) = watch::channel(BTreeMap::new());
        let stop = CancellationToken::new();
        let watching = tokio::spawn(trusted.clone().watch(Reading::default(), sender, stop.clone()));
        let put = |content: &[u8]| {
            let new = trusted.path.join("new");
            std::fs::write(&new, content).unwrap();
            std::fs::rename(new, trusted.file("one")).unwrap();
        };
        put(&[1]);
        receiver.wait_for(|map| map.get(&Seed(1).public_key()) == Some(&1)).await.unwrap();
        put(&[2]);
        receiver.wait_for(|map| map.len() == 1 && map.contains_key(&Seed(2).public_key())).await.unwrap();
        put(b"damaged");
        receiver.wait_for(BTreeMap::is_empty).await.unwrap();
        put(&[1]);
        receiver.wait_for(|map| map.len() == 1).await.unwrap();
        std::fs::remove_file(trusted.file("one")).unwrap();
        receiver.wait_for(BTreeMap::is_empty).await.unwrap();
        stop.cancel();
        watching.await.unwrap();
    }
}
