//! Where the passphrase of an identity file comes from.
//!
//! The most explicit place wins: the file that a flag names, then what the service manager lends (systemd's `LoadCredential=`),
//! then the environment, then somebody at the terminal. Only the first of them is looked at, so a wrong passphrase is never
//! hidden by a right one elsewhere, and every failure says which place it was.

use crate::outcome::{Explain, Failure, Outcome, plain};
use std::ffi::OsString;
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Holds the passphrase of encrypted identity files where nobody can be asked.
pub const PASSPHRASE_VARIABLE: &str = "OFFST_PASSPHRASE";
/// Set by systemd: the folder of the credentials that it lends a service.
const CREDENTIALS_VARIABLE: &str = "CREDENTIALS_DIRECTORY";
/// The name of the credential that is the passphrase.
const CREDENTIAL: &str = "offst-passphrase";
/// Nobody's passphrase is longer; a larger file is another one.
const PASSPHRASE_BYTES_MAX: usize = 4096;

/// Where a command's help shows it.
const BEHIND_THE_OTHERS: usize = 900;

/// The flag by which a program is told where the passphrase is.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct PassphraseFlag {
    /// A file with the passphrase of the identity file; only its owner may have access. It is read only if the identity is
    /// encrypted [default: the systemd credential offst-passphrase, then OFFST_PASSPHRASE, then you are asked]
    #[arg(long, value_name = "FILE", global = true, display_order = BEHIND_THE_OTHERS)]
    pub passphrase_file: Option<PathBuf>,
}

/// A passphrase, and what it is called in the message that it is wrong.
#[derive(Debug)]
pub(crate) struct Passphrase {
    pub(crate) text: Zeroizing<String>,
    /// `the passphrase in FILE`, or `what was typed`.
    pub(crate) what: String,
}

impl PassphraseFlag {
    /// The passphrase of the identity file at `path`.
    ///
    /// # Errors
    /// It is nowhere, or cannot be read where it should be (exit code 2).
    pub(crate) fn find(&self, path: &Path) -> Outcome<Passphrase> {
        let lent = std::env::var_os(CREDENTIALS_VARIABLE).map(|folder| Path::new(&folder).join(CREDENTIAL));
        self.find_among(path, lent, std::env::var_os(PASSPHRASE_VARIABLE))
    }

    fn find_among(&self, path: &Path, lent: Option<PathBuf>, given: Option<OsString>) -> Outcome<Passphrase> {
        if let Some(file) = &self.passphrase_file {
            check_private(file)?;
            return read(file);
        }
        // A service that lends something else lends no passphrase. Who may read a credential is systemd's business.
        if let Some(lent) = lent.filter(|lent| lent.symlink_metadata().is_ok()) {
            return read(&lent);
        }
        if let Some(given) = given {
            let text = text_in(PASSPHRASE_VARIABLE, given)?;
            return Ok(Passphrase { text, what: format!("the passphrase in {PASSPHRASE_VARIABLE}") });
        }
        if !std::io::stdin().is_terminal() {
            return Err(Failure::input(format!(
                "{} is encrypted: put its passphrase into {PASSPHRASE_VARIABLE}, or name the file that holds it with --passphrase-file",
                path.display()
            )));
        }
        let typed = rpassword::prompt_password(format!("Passphrase of {}: ", path.display()));
        let text = Zeroizing::new(typed.or_input("the passphrase cannot be read")?);
        Ok(Passphrase { text, what: "what was typed".into() })
    }
}

/// The text of an environment variable.
///
/// # Errors
/// It is not a text (exit code 2).
pub(crate) fn text_in(variable: &str, given: OsString) -> Outcome<Zeroizing<String>> {
    match given.into_string() {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(_) => Err(Failure::input(format!("the passphrase in {variable} is not a text"))),
    }
}

/// The passphrase in a file that only its owner may read, without the line's end.
///
/// # Errors
/// The file is missing, open to others, empty, too large or not a text (exit code 2).
pub(crate) fn read_private(path: &Path) -> Outcome<Zeroizing<String>> {
    check_private(path)?;
    Ok(read(path)?.text)
}

/// Refuses a file that others may read or change, as ssh does with keys: the passphrase would protect nothing. The group may read
/// one of root's, which is how services are lent secrets. What is no file, such as a pipe, is its maker's business.
fn check_private(path: &Path) -> Outcome {
    let metadata = path.metadata().map_err(|error| unread(path, &error))?;
    let for_others = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    if metadata.is_file() && metadata.mode() & for_others != 0 {
        return Err(Failure::input(format!(
            "{} holds a passphrase and is open to others: take their permissions away (chmod 600)",
            path.display()
        )));
    }
    Ok(())
}

fn unread(path: &Path, error: &std::io::Error) -> Failure {
    Failure::input(format!("{} cannot be read: {}", path.display(), plain(error)))
}

fn read(path: &Path) -> Outcome<Passphrase> {
    let wrong = |why: &str| Failure::input(format!("{}: {why}", path.display()));
    // As large as it may become: growing it would leave copies behind.
    let mut bytes = Zeroizing::new(vec![0; PASSPHRASE_BYTES_MAX + 2]);
    let mut file = File::open(path).map_err(|error| unread(path, &error))?;
    let mut length = 0;
    loop {
        match file.read(&mut bytes[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unread(path, &error)),
        }
    }
    let text = std::str::from_utf8(&bytes[..length]).map_err(|_| wrong("the passphrase is not a text"))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    match text.len() {
        0 => Err(wrong("the passphrase is empty")),
        1..=PASSPHRASE_BYTES_MAX => {
            let what = format!("the passphrase in {}", path.display());
            Ok(Passphrase { text: Zeroizing::new(text.to_owned()), what })
        }
        _ => Err(wrong("this is too large for a passphrase (over 4096 bytes)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    fn write(path: &Path, content: &[u8], mode: u32) {
        std::fs::write(path, content).unwrap();
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn flag(file: &Path) -> PassphraseFlag {
        PassphraseFlag { passphrase_file: Some(file.to_owned()) }
    }

    #[test]
    fn the_most_explicit_place_wins() {
        let folder = tempfile::tempdir().unwrap();
        let [named, lent, missing] = ["named", "lent", "missing"].map(|name| folder.path().join(name));
        write(&named, b"one\n", 0o600);
        write(&lent, b"two\n", 0o440);
        let identity = Path::new("a.ident");
        let find = |flag: &PassphraseFlag, lent: &Path, given: Option<&str>| {
            let found = flag.find_among(identity, Some(lent.to_owned()), given.map(Into::into)).unwrap();
            (found.text.to_string(), found.what)
        };
        let none = PassphraseFlag::default();
        let from_named = ("one".to_owned(), format!("the passphrase in {}", named.display()));
        assert_eq!(find(&flag(&named), &lent, Some("three")), from_named);
        assert_eq!(find(&none, &lent, Some("three")).0, "two");
        let from_variable = ("three".to_owned(), "the passphrase in OFFST_PASSPHRASE".to_owned());
        assert_eq!(find(&none, &missing, Some("three")), from_variable);
        // A place that was named and has nothing is not passed over.
        let failure = flag(&missing).find_among(identity, Some(lent), Some("three".into())).unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        assert!(
            failure.message().ends_with("missing cannot be read: there is no such file or folder"),
            "{}",
            failure.message()
        );
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passphrase");
        let uid = folder.path().metadata().unwrap().uid();
        for (mode, is_taken) in [
            (0o600, true),
            (0o400, true),
            (0o640, uid == 0),
            (0o604, false),
            (0o620, false),
            (0o602, false),
            (0o644, false),
        ] {
            write(&path, b"horse", mode);
            match read_private(&path) {
                Ok(text) => assert!(is_taken && *text == "horse", "{mode:o}"),
                Err(failure) => {
                    assert!(!is_taken, "{mode:o}: {}", failure.message());
                    assert!(failure.message().ends_with("take their permissions away (chmod 600)"));
                }
            }
        }
    }

    #[test]
    fn one_line_of_bounded_length() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passphrase");
        let longest = "x".repeat(PASSPHRASE_BYTES_MAX);
        let (ended, over) = (format!("{longest}\r\n"), format!("{longest}y\r\n"));
        for (content, expected) in [
            ("horse", Ok("horse")),
            ("horse\n", Ok("horse")),
            ("horse\r\n", Ok("horse")),
            (" horse \n\n", Ok(" horse \n")),
            (&longest, Ok(&longest)),
            (&ended, Ok(&longest)),
            (&over, Err("too large for a passphrase (over 4096 bytes)")),
            ("\n", Err("the passphrase is empty")),
            ("", Err("the passphrase is empty")),
        ] {
            write(&path, content.as_bytes(), 0o600);
            match (read_private(&path), expected) {
                (Ok(text), Ok(expected)) => assert_eq!(*text, expected),
                (Err(failure), Err(expected)) => assert!(failure.message().ends_with(expected)),
                (other, _) => panic!("{:?} for {} bytes", other.is_ok(), content.len()),
            }
        }
        write(&path, &[0xff], 0o600);
        assert!(read_private(&path).is_err());
        assert!(read_private(folder.path()).unwrap_err().message().contains("it is a folder"));
    }
}
