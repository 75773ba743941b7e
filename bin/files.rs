//! Files that people name on the command line: read with a bound, written whole or not at all, never overwritten unasked.

use crate::outcome::{Explain, Failure, Outcome, plain};
use crate::passphrase::PassphraseFlag;
use offst_crypto::{Identity, IdentityFileError};
use offst_proto::ticket::{TICKET_BYTES_MAX, Ticket, TicketError};
use std::fmt::Display;
use std::fs::{File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::TempDir;
use zeroize::Zeroizing;

/// An identity file has under 1 kB.
const IDENTITY_BYTES_MAX: usize = 8 * 1024;

/// How the names begin under which something is made, until it is whole and gets its own.
pub(crate) const TEMPORARY_PREFIX: &str = ".offst-";

/// Who may read a file that we write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// Its owner alone (0600).
    Owner,
    /// Those whom the user's umask lets.
    Anyone,
}

/// Refuses an output file that exists, before anything is done, unless `force`.
///
/// # Errors
/// The file exists (exit code 2).
pub fn check_absent(path: &Path, force: bool) -> Outcome {
    if !force && path.symlink_metadata().is_ok() {
        return Err(exists(path));
    }
    Ok(())
}

/// Refuses an output file that exists, unless `force`, or that cannot be made in its folder.
///
/// # Errors
/// Its name is that of a file or folder that is there, or its folder is missing or takes no file (exit code 2).
pub fn check_output(path: &Path, force: bool) -> Outcome {
    check_absent(path, force)?;
    let wrong = |why: String| Failure::input(format!("{} cannot be written: {why}", path.display()));
    if path.as_os_str().as_encoded_bytes().ends_with(b"/") || path.is_dir() {
        return Err(wrong("it names a folder, and a file is needed".into()));
    }
    let folder = folder_of(path);
    if !folder.is_dir() {
        return Err(wrong(format!("there is no folder {}", folder.display())));
    }
    // Whether a file can be made is known only when one was: it is gone again at once.
    tempfile::tempfile_in(folder).map(drop).map_err(|error| wrong(plain(&error)))
}

/// The folder that a file lies in, or would.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The failure of a command that would overwrite a file without being asked to.
pub(crate) fn exists(path: &Path) -> Failure {
    Failure::input(format!("{} exists already: give --force to overwrite it", path.display()))
}

/// Writes a file: first whole and synced under a temporary name beside it, then renamed. A file that is there is
/// overwritten only with `force`.
///
/// # Errors
/// The file exists (exit code 2), or the folder or disk does not take it (exit code 1).
pub fn write(path: &Path, content: &[u8], readers: Readers, force: bool) -> Outcome {
    let failure =
        |error: std::io::Error| Failure::failed(format!("{} could not be written: {}", path.display(), plain(&error)));
    let folder = folder_of(path);
    let mode = match readers {
        Readers::Owner => 0o600,
        Readers::Anyone => 0o666,
    };
    let mut temporary = tempfile::Builder::new()
        .prefix(TEMPORARY_PREFIX)
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(folder)
        .map_err(failure)?;
    temporary.write_all(content).and_then(|()| temporary.as_file().sync_all()).map_err(failure)?;
    if force {
        temporary.persist(path).map_err(|error| failure(error.error))?;
    } else {
        temporary.persist_noclobber(path).map_err(|error| match error.error.kind() {
            std::io::ErrorKind::AlreadyExists => exists(path),
            _ => failure(error.error),
        })?;
    }
    // The name itself is durable only once the folder is.
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failure)
}

/// A folder of a temporary name, in which something is made that then moves to its place beside it. `what` says what is not
/// done when there is none.
///
/// # Errors
/// The disk or the permissions do not allow it (exit code 1).
pub(crate) fn workshop(folder: &Path, what: impl Display) -> Outcome<TempDir> {
    let made = tempfile::Builder::new().prefix(TEMPORARY_PREFIX).tempdir_in(folder);
    made.map_err(|error| Failure::failed(format!("{what}: {}", plain(&error))))
}

/// The text of a file of at most `bytes_max` bytes.
///
/// # Errors
/// It is missing, too large, not a text, or cannot be read (exit code 2).
pub fn read_text(path: &Path, bytes_max: usize) -> Outcome<String> {
    if path.as_os_str().is_empty() {
        return Err(Failure::input("the name of a file is needed, and an empty one was given"));
    }
    let shown = path.display();
    let failure = |error: std::io::Error| Failure::input(format!("{shown} cannot be read: {}", plain(&error)));
    let file = File::open(path).map_err(failure)?;
    let mut bytes = Vec::new();
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(failure)?;
    if bytes.len() > bytes_max {
        return Err(Failure::input(format!("{shown} is too large to be what it should be (over {bytes_max} bytes)")));
    }
    String::from_utf8(bytes).map_err(|_| Failure::input(format!("{shown} is not a text file")))
}

/// Reads an identity file; the passphrase of an encrypted one is where `flag` says or, without it, where passphrases are.
///
/// # Errors
/// The file is missing or damaged, or the passphrase does not open it (exit code 2).
pub fn load_identity(path: &Path, flag: &PassphraseFlag) -> Outcome<Identity> {
    let text = Zeroizing::new(read_text(path, IDENTITY_BYTES_MAX)?);
    let found = if Identity::pem_is_encrypted(&text) { Some(flag.find(path)?) } else { None };
    let passphrase = found.as_ref().map(|found| found.text.as_str());
    Identity::from_pem(&text, passphrase).map_err(|error| match (&error, &found) {
        (IdentityFileError::Format, _) => Failure::input(format!("{}: {error}; it may be damaged", path.display())),
        (_, Some(found)) => Failure::input(format!("{}: {error}; it was {}", path.display(), found.what)),
        _ => Failure::input(format!("{}: {error}", path.display())),
    })
}

/// Reads a ticket of the kind that `kind` takes, for example [`Ticket::into_relay`].
///
/// # Errors
/// The file is missing, damaged or a ticket of another kind (exit code 2).
pub fn load_ticket<T>(path: &Path, kind: fn(Ticket) -> Result<T, TicketError>) -> Outcome<T> {
    let text = read_text(path, TICKET_BYTES_MAX)?;
    Ticket::from_toml(&text).and_then(kind).or_input(path.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use offst_crypto::SystemRandom;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_file_is_overwritten_only_with_force_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        check_absent(&path, false).unwrap();
        write(&path, b"one", Readers::Owner, false).unwrap();
        assert_eq!(mode(&path), 0o600);
        for refused in [check_absent(&path, false), write(&path, b"two", Readers::Owner, false)] {
            let failure = refused.unwrap_err();
            assert_eq!(failure.exit_code(), 2);
            assert!(failure.message().ends_with("exists already: give --force to overwrite it"));
        }
        assert_eq!(read_text(&path, 3).unwrap(), "one");
        check_absent(&path, true).unwrap();
        write(&path, b"two", Readers::Owner, true).unwrap();
        assert_eq!(read_text(&path, 3).unwrap(), "two");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn a_link_that_leads_nowhere_counts_as_existing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("link");
        std::os::unix::fs::symlink("/nowhere/at/all", &path).unwrap();
        assert!(check_absent(&path, false).is_err());
        assert!(write(&path, b"x", Readers::Anyone, false).is_err());
    }

    #[test]
    fn files_that_cannot_be_read_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("large"), "12345").unwrap();
        std::fs::write(path("binary"), [0xff]).unwrap();
        for (name, message) in [
            ("missing", "cannot be read: there is no such file"),
            ("", "it is a folder"),
            ("large", "too large"),
            ("binary", "not a text file"),
        ] {
            let failure = read_text(&path(name), 4).unwrap_err();
            assert_eq!(failure.exit_code(), 2);
            assert!(failure.message().contains(message), "{}", failure.message());
            assert!(failure.message().contains(name), "{}", failure.message());
        }
        assert_eq!(read_text(Path::new(""), 4).unwrap_err().exit_code(), 2);
        let failure = write(&path("no/such/file"), b"", Readers::Anyone, false).unwrap_err();
        assert_eq!(failure.exit_code(), 1);
    }

    #[test]
    fn where_no_file_can_be_made_is_known_before_one_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("inner")).unwrap();
        std::fs::write(path("file"), "").unwrap();
        for (name, force, message) in [
            ("inner", false, "exists already"),
            ("inner", true, "it names a folder"),
            (".", true, "it names a folder"),
            ("new/", false, "it names a folder"),
            ("no/file", false, "there is no folder"),
            ("file/file", false, "there is no folder"),
            ("file", false, "exists already"),
        ] {
            let failure = check_output(&path(name), force).unwrap_err();
            assert_eq!(failure.exit_code(), 2);
            assert!(failure.message().contains(message), "{}", failure.message());
        }
        check_output(&path("file"), true).unwrap();
        check_output(&path("new"), false).unwrap();
        assert_eq!(folder.path().read_dir().unwrap().count(), 2);
    }

    #[test]
    fn an_encrypted_identity_opens_with_the_passphrase_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let (path, secret) = (folder.path().join("a.ident"), folder.path().join("a.passphrase"));
        let flag = PassphraseFlag { passphrase_file: Some(secret.clone()) };
        let identity = Identity::from_seed([1; 32]);
        std::fs::write(&path, identity.to_pem().as_bytes()).unwrap();
        assert_eq!(load_identity(&path, &flag).unwrap().public_key(), identity.public_key(), "none is needed");
        let pem = identity.to_encrypted_pem("horse", &mut SystemRandom::new());
        std::fs::write(&path, pem.as_bytes()).unwrap();
        write(&secret, b"horse\n", Readers::Owner, false).unwrap();
        assert_eq!(load_identity(&path, &flag).unwrap().public_key(), identity.public_key());
        write(&secret, b"cow", Readers::Owner, true).unwrap();
        let failure = load_identity(&path, &flag).unwrap_err();
        let wrong = "the passphrase is wrong, or the identity file is damaged; it was the passphrase in";
        assert!(failure.message().contains(wrong), "{}", failure.message());
        std::fs::write(&path, "-----BEGIN PRIVATE KEY-----\nx").unwrap();
        let failure = load_identity(&path, &flag).unwrap_err();
        assert!(failure.message().contains("it may be damaged"), "{}", failure.message());
    }

    #[test]
    fn a_ticket_of_another_kind_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app1.ticket");
        let key = Identity::from_seed([1; 32]).public_key();
        std::fs::write(&path, Ticket::App(key).to_toml()).unwrap();
        assert_eq!(load_ticket(&path, Ticket::into_app).unwrap(), key);
        let failure = load_ticket(&path, Ticket::into_relay).unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        assert!(failure.message().ends_with("this is the ticket of an application, not of a relay"));
    }
}
