//! The folder of a server or an app: where it is, which names its files have, and that one process at a time uses it.

use crate::files::{self, Readers};
use crate::outcome::{Failure, Outcome, plain};
use offst_crypto::{Identity, PublicKey, SystemRandom};
use offst_proto::ticket::Ticket;
use std::ffi::OsString;
use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Names the folder of all default folders.
pub const HOME_VARIABLE: &str = "OFFST_HOME";

/// A folder whose files have its name: `relay0/relay0.ident`.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
    name: OsString,
}

/// Nobody else uses the folder while this lives.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl Folder {
    /// The folder that `--dir` names, otherwise `default_name` in `$OFFST_HOME` or `~/.offst`. It need not exist yet.
    ///
    /// # Errors
    /// The path has no name of its own, or there is no home (exit code 2).
    pub fn new(given: Option<PathBuf>, default_name: &str) -> Outcome<Self> {
        match given {
            Some(path) => Folder::at(path),
            None => Folder::at(home()?.join(default_name)),
        }
    }

    fn at(path: PathBuf) -> Outcome<Self> {
        let name = match path.file_name() {
            Some(name) => Some(name.to_owned()),
            // "." and ".." have a name, too, once it is known where we are.
            None => path.canonicalize().ok().and_then(|path| path.file_name().map(ToOwned::to_owned)),
        };
        let name = name.ok_or_else(|| {
            Failure::input(format!("\"{}\" cannot be used: name a folder below it, for example node0", path.display()))
        })?;
        Ok(Folder { path, name })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file of the folder's name with this ending: `file("ident")` of `relay0` is `relay0/relay0.ident`.
    pub fn file(&self, ending: &str) -> PathBuf {
        let mut name = self.name.clone();
        name.push(".");
        name.push(ending);
        self.path.join(name)
    }

    /// Makes the folder and those above it, for its owner alone. One that is there stays as it is.
    ///
    /// # Errors
    /// There is a file in its place (exit code 2), or the disk or the permissions do not allow it (exit code 1).
    pub fn create(&self) -> Outcome {
        create_private(&self.path)
    }

    /// Makes a folder inside this one, for the owner alone, and gives its path.
    ///
    /// # Errors
    /// As for [`Folder::create`].
    pub fn create_inner(&self, name: &str) -> Outcome<PathBuf> {
        let path = self.path.join(name);
        create_private(&path)?;
        Ok(path)
    }

    /// Makes the folder of a new server with its files, while nobody else uses it.
    ///
    /// # Errors
    /// As for [`Folder::create`], [`Folder::lock`] and [`Folder::write_new`].
    pub fn initialise(&self, files: &[(&str, &str, Readers)], force: bool) -> Outcome {
        self.check_absent(files, force)?;
        self.create()?;
        let _lock = self.lock()?;
        self.write_new(files, force)
    }

    /// Writes the files of a new application, which it makes, and gives its key.
    ///
    /// # Errors
    /// As for [`Folder::write_new`].
    pub fn write_new_app(&self, force: bool) -> Outcome<PublicKey> {
        let identity = Identity::generate(&mut SystemRandom::new());
        let public_key = identity.public_key();
        let (pem, ticket) = (identity.to_pem(), Ticket::App(public_key).to_toml());
        self.write_new(&[("ident", &pem, Readers::Owner), ("ticket", &ticket, Readers::Anyone)], force)?;
        Ok(public_key)
    }

    fn check_absent(&self, files: &[(&str, &str, Readers)], force: bool) -> Outcome {
        files.iter().try_for_each(|(ending, _, _)| files::check_absent(&self.file(ending), force))
    }

    /// Writes the files that an `init` makes, named by their endings. All are checked before the first is written.
    ///
    /// # Errors
    /// One of them exists and `force` is not given (exit code 2), or the disk does not take them (exit code 1).
    pub fn write_new(&self, files: &[(&str, &str, Readers)], force: bool) -> Outcome {
        self.check_absent(files, force)?;
        for (ending, content, readers) in files {
            files::write(&self.file(ending), content.as_bytes(), *readers, force)?;
        }
        Ok(())
    }

    /// Makes sure that no other server uses this folder, until the lock is dropped or the process ends, however it ends.
    ///
    /// # Errors
    /// The folder does not exist (exit code 2), or another process holds the lock (exit code 1).
    pub fn lock(&self) -> Outcome<FolderLock> {
        if !self.path.is_dir() {
            return Err(Failure::input(format!(
                "there is no folder {}: make it with the command \"init\"",
                self.path.display()
            )));
        }
        let path = self.file("lock");
        let unlocked =
            |why: String| Failure::failed(format!("the folder {} cannot be locked: {why}", self.path.display()));
        let opened = File::options().create(true).truncate(false).write(true).open(&path);
        let file = opened.map_err(|error| unlocked(plain(&error)))?;
        match file.try_lock() {
            Ok(()) => Ok(FolderLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Failure::failed(format!(
                "another server is running on the folder {}: stop it first",
                self.path.display()
            ))),
            Err(TryLockError::Error(error)) => Err(unlocked(format!("{error}; use one on a local disk"))),
        }
    }
}

/// `$OFFST_HOME`, otherwise `~/.offst`.
///
/// # Errors
/// Neither `OFFST_HOME` nor `HOME` is set (exit code 2).
pub fn home() -> Outcome<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable(HOME_VARIABLE)
        .or_else(|| variable("HOME").map(|home| home.join(".offst")))
        .ok_or_else(|| Failure::input(format!("there is no home folder: give --dir, or set {HOME_VARIABLE}")))
}

fn create_private(path: &Path) -> Outcome {
    if path.exists() && !path.is_dir() {
        return Err(Failure::input(format!("{} is a file, and a folder is needed: name another", path.display())));
    }
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| Failure::failed(format!("the folder {} cannot be made: {}", path.display(), plain(&error))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn files_are_called_like_their_folder() {
        let file = |path: &str| Folder::new(Some(path.into()), "relay").unwrap().file("ident");
        assert_eq!(file("relay0"), PathBuf::from("relay0/relay0.ident"));
        assert_eq!(file("a/b.c/"), PathBuf::from("a/b.c/b.c.ident"));
        let here = std::env::current_dir().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(file("."), PathBuf::from(format!("./{here}.ident")));
        assert_eq!(Folder::new(Some("/".into()), "relay").unwrap_err().exit_code(), 2);
        assert_eq!(Folder::new(Some("".into()), "relay").unwrap_err().exit_code(), 2);
    }

    #[test]
    fn nothing_is_written_when_one_file_exists() {
        let outer = tempfile::tempdir().unwrap();
        let folder = Folder::new(Some(outer.path().join("relay0")), "relay").unwrap();
        folder.create().unwrap();
        std::fs::write(folder.file("b"), "old").unwrap();
        let files = [("a", "new", Readers::Owner), ("b", "new", Readers::Anyone)];
        assert_eq!(folder.write_new(&files, false).unwrap_err().exit_code(), 2);
        assert!(!folder.file("a").exists());
        folder.write_new(&files, true).unwrap();
        assert_eq!(std::fs::read_to_string(folder.file("b")).unwrap(), "new");
        let file = Folder::new(Some(folder.file("b")), "relay").unwrap();
        let failure = file.create().unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        assert!(failure.message().ends_with("relay0.b is a file, and a folder is needed: name another"));
    }

    #[test]
    fn one_at_a_time() {
        let outer = tempfile::tempdir().unwrap();
        let folder = Folder::new(Some(outer.path().join("a/relay0")), "relay").unwrap();
        assert_eq!(folder.lock().unwrap_err().exit_code(), 2, "it does not exist");
        folder.create().unwrap();
        folder.create().unwrap();
        assert_eq!(folder.path().metadata().unwrap().permissions().mode() & 0o777, 0o700);
        let lock = folder.lock().unwrap();
        let failure = folder.lock().unwrap_err();
        assert_eq!(failure.exit_code(), 1);
        assert!(failure.message().starts_with("another server is running on the folder"));
        drop(lock);
        folder.lock().unwrap();
    }
}
