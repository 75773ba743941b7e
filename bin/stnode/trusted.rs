//! The files of the folder `trusted`: the applications that may use the node, with what each may do.

use crate::files::{self, Readers};
use crate::outcome::{Explain, Outcome};
use crate::trusted::{Trusted, TrustedFolder};
use offst_crypto::PublicKey;
use offst_node::{Grant, Permissions};
use offst_proto::budget::Budgets;
use offst_proto::limits::NAME_BYTES_MAX;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A file has some 150 bytes, and 30 more for each budget.
const FILE_BYTES_MAX: usize = 4 * 1024;

/// An application that may use the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TrustedApp {
    pub(super) public_key: PublicKey,
    pub(super) permissions: Permissions,
    pub(super) budgets: Budgets,
}

/// A file's form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    public_key: String,
    permissions: String,
    /// Left out: it spends without a limit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    budgets: Vec<String>,
    /// When it was bounded first, unix ms. What was spent under another number does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    budgets_since_ms: Option<u64>,
}

impl Trusted for TrustedApp {
    type Use = Grant;
    const ENDING: &'static str = "toml";
    const FILES_MAX: usize = 1024;
    const KIND: &'static str = "app";

    fn read(path: &Path, name: &str) -> Result<Self, String> {
        let wrong = |reason: String| format!("{}: {reason}", path.display());
        check_name(name).map_err(wrong)?;
        let text = files::read_text(path, FILE_BYTES_MAX).map_err(|failure| failure.message().to_owned())?;
        app_from(&text).map_err(wrong)
    }

    fn public_key(&self) -> PublicKey {
        self.public_key
    }

    fn to_use(&self) -> Grant {
        Grant { permissions: self.permissions, budgets: self.budgets.clone() }
    }

    fn who(&self, name: &str) -> String {
        format!("the app \"{name}\"")
    }

    fn how(&self) -> String {
        let permissions = format!("with the permissions \"{}\"", self.permissions);
        if self.budgets.are_unlimited() {
            return permissions;
        }
        format!("{permissions} and the budgets {}", texts(&self.budgets).join(", "))
    }
}

/// The applications of a node.
pub(super) type TrustedApps = TrustedFolder<TrustedApp>;

impl TrustedApps {
    /// Writes the file of an application, in place of the one that is there.
    ///
    /// # Errors
    /// The disk does not take it (exit code 1).
    pub(super) fn put(&self, name: &str, app: &TrustedApp) -> Outcome {
        files::write(&self.file(name), text_of(app).as_bytes(), Readers::Anyone, true)
    }

    /// Removes the file of an application, also one that is damaged.
    ///
    /// # Errors
    /// The disk does not allow it (exit code 1).
    pub(super) fn remove(&self, name: &str) -> Outcome {
        let path = self.file(name);
        std::fs::remove_file(&path).or_failed(format_args!("{} cannot be removed", path.display()))
    }
}

fn texts(budgets: &Budgets) -> Vec<String> {
    budgets.all().iter().map(ToString::to_string).collect()
}

fn text_of(app: &TrustedApp) -> String {
    let file = File {
        public_key: app.public_key.to_string(),
        permissions: app.permissions.to_string(),
        budgets: texts(&app.budgets),
        budgets_since_ms: Some(app.budgets.since_ms()).filter(|_| !app.budgets.are_unlimited()),
    };
    let text = toml::to_string(&file).expect("texts and a number are a table");
    format!("# An application that may use this node, and what it may do.\n{text}")
}

fn app_from(text: &str) -> Result<TrustedApp, String> {
    let file: File = toml::from_str(text).map_err(|error: toml::de::Error| error.message().to_owned())?;
    let public_key = file.public_key.parse().map_err(|error| format!("{error}"))?;
    let permissions = file.permissions.parse().map_err(|error| format!("{error}"))?;
    let budgets = file.budgets.iter().map(|text| text.parse().map_err(|error| format!("{error}")));
    let budgets = Budgets::new(file.budgets_since_ms.unwrap_or(0), budgets.collect::<Result<_, _>>()?);
    Ok(TrustedApp { public_key, permissions, budgets: budgets.map_err(|error| error.to_string())? })
}

/// The name that an application gets from its ticket's file: `app1` from `app1/app1.ticket`.
///
/// # Errors
/// The name of the file is no name for an application (exit code 2).
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
    use crate::folder::Folder;
    use offst_crypto::Identity;
    use std::collections::BTreeMap;

    fn app(seed: u8, permissions: &str) -> TrustedApp {
        TrustedApp {
            public_key: Identity::from_seed([seed; 32]).public_key(),
            permissions: permissions.parse().unwrap(),
            budgets: Budgets::default(),
        }
    }

    #[test]
    fn a_file_says_who_may_spend_how_much() {
        let budgets = ["500/day", "20:hours"].map(|text| text.parse().unwrap());
        let app = TrustedApp { budgets: Budgets::new(7, budgets.to_vec()).unwrap(), ..app(1, "buyer") };
        let text = text_of(&app);
        assert!(text.ends_with("budgets = [\"500/day\", \"20:hours\"]\nbudgets_since_ms = 7\n"), "{text}");
        assert_eq!(app_from(&text), Ok(app.clone()));
        assert_eq!(app.how(), "with the permissions \"buyer\" and the budgets 500/day, 20:hours");
        // An editor's file needs no number; a budget that cannot be read never means that there is none.
        let by_hand = text.replace("budgets_since_ms = 7", "");
        assert_eq!(app_from(&by_hand).unwrap().budgets.since_ms(), 0);
        for (wrong, message) in [("500/year", "a budget is"), ("20:hours/day\", \"20:hours", "two budgets in hours")] {
            let error = app_from(&text.replace("500/day", wrong)).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
        assert!(app_from(&text.replace("budgets =", "budget =")).is_err());
    }

    #[test]
    fn a_file_says_who_may_do_what() {
        let app = app(1, "buyer,seller");
        let text = text_of(&app);
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
        let outer = tempfile::tempdir().unwrap();
        let folder = Folder::new(Some(outer.path().to_owned()), "node").unwrap();
        let inner = folder.create_inner("trusted").unwrap();
        let trusted = TrustedApps::of(&folder);
        trusted.put("good", &app(1, "routes")).unwrap();
        trusted.put("good", &app(1, "buyer")).unwrap();
        let put = |file: &str, content: &[u8]| std::fs::write(inner.join(file), content).unwrap();
        put("again.toml", text_of(&app(1, "config")).as_bytes());
        put(".hidden.toml", b"");
        put("note.txt", b"");
        put("binary.toml", &[0xff]);
        put("large.toml", &[b'#'; FILE_BYTES_MAX + 1]);
        put("empty.toml", b"");
        put("key.toml", b"public_key = \"x\"\npermissions = \"\"");
        put("root.toml", text_of(&app(2, "")).replace("\"\"", "\"root\"").as_bytes());
        put("\u{1b}[31m.toml", text_of(&app(3, "config")).as_bytes());
        std::fs::create_dir(inner.join("inner.toml")).unwrap();
        std::os::unix::fs::symlink("nowhere", inner.join("link.toml")).unwrap();
        let reading = trusted.read();
        assert_eq!(reading.trusted, BTreeMap::from([("again".to_owned(), app(1, "config"))]));
        assert_eq!(reading.by_key(), BTreeMap::from([(app(1, "").public_key, app(1, "config").to_use())]));
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
}
