//! A copy of the workspace's sources, with changes.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A text that takes the place of another.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    /// The folder of a package, from the workspace's.
    #[serde(rename = "in")]
    package: PathBuf,
    find: String,
    replace: String,
}

impl Change {
    /// How code of the package calls the ledger.
    pub(crate) fn ledger(&self) -> &'static str {
        if self.package == Path::new("components/ledger") { "crate" } else { "offst_ledger" }
    }
}

/// Files by their paths from the workspace's folder.
#[derive(Clone)]
pub(crate) struct Source(BTreeMap<PathBuf, Vec<u8>>);

impl Source {
    /// All files of the workspace, but those that are hidden or built.
    pub(crate) fn read(workspace: &Path) -> Self {
        let files = files(workspace).into_iter().map(|file| {
            let bytes = std::fs::read(&file).expect("a source can be read");
            (file.strip_prefix(workspace).expect("it was found there").to_owned(), bytes)
        });
        Source(files.collect())
    }

    /// The texts of a folder's Rust files.
    pub(crate) fn texts(&self, folder: &Path) -> impl Iterator<Item = (&Path, &str)> {
        let rust =
            self.0.iter().filter(move |(path, _)| path.starts_with(folder) && path.extension() == Some("rs".as_ref()));
        rust.map(|(path, bytes)| (path.as_path(), std::str::from_utf8(bytes).expect("Rust is UTF-8")))
    }

    /// Makes a change. Its text must stand once in the package's sources, as they are and as other changes have left them.
    pub(crate) fn change(&mut self, original: &Source, change: &Change, switch: &str) -> Result<(), String> {
        let folder = change.package.join("src");
        original.only(&folder, &change.find)?;
        let (path, text) = self.only(&folder, &change.find).map_err(|why| format!("{why}, after other changes"))?;
        let (path, text) = (path.to_owned(), text.replacen(&change.find, &change.replace.replace("MUTANT", switch), 1));
        self.0.insert(path, text.into_bytes());
        Ok(())
    }

    /// The one file in which a text stands, and stands once.
    fn only(&self, folder: &Path, find: &str) -> Result<(&Path, &str), String> {
        let hits: Vec<_> = self.texts(folder).flat_map(|file| file.1.matches(find).map(move |_| file)).collect();
        match hits[..] {
            [file] => Ok(file),
            _ => Err(format!("{} times in {}: {find}", hits.len(), folder.display())),
        }
    }

    /// Adds a text to the end of a file, which is made where there is none.
    pub(crate) fn append(&mut self, path: &str, text: &str) {
        self.0.entry(path.into()).or_default().extend(text.as_bytes());
    }

    /// Makes a folder hold these files and nothing else. What is the same already stays, so that cargo builds only what differs.
    pub(crate) fn write(&self, folder: &Path) {
        let stale = files(folder).into_iter().filter(|file| {
            let path = file.strip_prefix(folder).expect("it was found there");
            !self.0.contains_key(path)
        });
        stale.for_each(|file| std::fs::remove_file(file).expect("the copy can be changed"));
        for (path, bytes) in &self.0 {
            let file = folder.join(path);
            if std::fs::read(&file).is_ok_and(|found| found == *bytes) {
                continue;
            }
            std::fs::create_dir_all(file.parent().expect("a file is in a folder")).expect("the copy can be changed");
            std::fs::write(file, bytes).expect("the copy can be changed");
        }
    }
}

/// All files below a folder, but those that are hidden or built.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let entry = entry.expect("a folder can be read");
            let name = entry.file_name();
            if name == "target" || name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            if entry.file_type().expect("an entry has a type").is_dir() {
                folders.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    found
}
