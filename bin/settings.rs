//! The settings file of a server: every limit and timer, written by `init` as commented defaults. Flags win over the file.

use crate::files::read_text;
use crate::outcome::{Failure, Outcome};
use offst_secure_channel::KeepaliveConfig;
use serde::de::DeserializeOwned;
use std::path::Path;

/// A settings file has a few kB.
const SETTINGS_BYTES_MAX: usize = 64 * 1024;
/// No limit or timer means anything at 0, and some would stop a server; far larger numbers would overflow its sums.
const NUMBER_MAX: i64 = 1 << 48;

/// Settings that can be read from a file, made by [`settings!`](crate::settings!).
pub trait Settings: DeserializeOwned + Default {
    /// The text of a file that changes nothing: every setting with its explanation and default, as comments.
    fn commented_defaults() -> String;

    /// Every setting's name and value; `None` where there is none.
    fn values(&self) -> Vec<(&'static str, Option<toml::Value>)>;
}

/// Reads the settings file; without one, everything has its default.
///
/// # Errors
/// The file cannot be read, has a key that does not exist, or a value that does not fit (exit code 2).
pub fn load<S: Settings>(path: &Path) -> Outcome<S> {
    if path.symlink_metadata().is_err() {
        return Ok(S::default());
    }
    let text = read_text(path, SETTINGS_BYTES_MAX)?;
    let settings: S = toml::from_str(&text).map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        // The names of all settings would bury the one that is wrong.
        let (what, hint) = match error.message().split_once(", expected one of ") {
            Some((what, _)) => (what, "; \"init\" writes a file that names all settings"),
            None => (error.message(), ""),
        };
        Failure::input(format!("{}, line {line}: {what}{hint}", path.display()))
    })?;
    let is_outside = |value: &toml::Value| value.as_integer().is_some_and(|number| !(1..=NUMBER_MAX).contains(&number));
    match settings.values().into_iter().find(|(_, value)| value.as_ref().is_some_and(is_outside)) {
        Some((name, _)) => {
            Err(Failure::input(format!("{}: {name} is a number from 1 to {NUMBER_MAX}", path.display())))
        }
        None => Ok(settings),
    }
}

/// Refuses a link that would be taken for dead between two signs of life. The names of its settings begin with `prefix`.
///
/// # Errors
/// A message that names the setting.
pub(crate) fn check_keepalive(prefix: &str, config: KeepaliveConfig) -> Result<(), String> {
    let KeepaliveConfig { keepalive_ms, idle_timeout_ms } = config;
    if idle_timeout_ms / 2 < keepalive_ms {
        return Err(format!("{prefix}idle_timeout_ms is at least twice {prefix}keepalive_ms ({keepalive_ms})"));
    }
    Ok(())
}

/// One setting in [`Settings::commented_defaults`].
#[doc(hidden)]
pub fn commented(
    explanation: &[&str],
    (name, value): &(&str, Option<toml::Value>),
    example: Option<toml::Value>,
) -> String {
    let explanation: String = explanation.iter().map(|line| format!("#{line}\n")).collect();
    match (value, example) {
        (Some(value), _) => format!("{explanation}#{name} = {value}\n"),
        (None, Some(example)) => format!("{explanation}#{name} = {example}\n"),
        (None, None) => explanation,
    }
}

/// Defines a struct of settings: each field with its explanation, type and default. A field of type `Option` has no
/// default but an example behind `=>`, that `init` writes in its place. A field may have an earlier name behind `|`,
/// which files may go on using.
///
/// ```
/// offst::settings! {
///     /// What a kettle can be told.
///     pub struct KettleSettings {
///         /// Boil at most this many times a day.
///         boils_max: u32 = 10,
///         /// Speak at this address.
///         listen: Option<std::net::SocketAddr> = None => "127.0.0.1:9000",
///     }
/// }
/// use offst::settings::Settings;
/// assert!(KettleSettings::commented_defaults().contains("# Boil at most this many times a day.\n#boils_max = 10\n"));
/// ```
#[macro_export]
macro_rules! settings {
    (
        $(#[$meta:meta])*
        $visible:vis struct $name:ident {
            $($(#[doc = $doc:literal])* $field:ident $(| $earlier:literal)?: $type:ty = $default:expr $(=> $example:literal)?,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, ::serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        $visible struct $name {
            $($(#[doc = $doc])* $(#[serde(alias = $earlier)])? $visible $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                $name { $($field: $default,)* }
            }
        }

        impl $crate::settings::Settings for $name {
            fn commented_defaults() -> String {
                let mut values = $name::default().values().into_iter();
                let settings = [$($crate::settings::commented(
                    &[$($doc),*],
                    &values.next().expect("a value for each field"),
                    None$(.or(Some(::toml::Value::from($example))))?,
                )),*];
                format!("# Take the \"#\" away and change the value; then start the server again.\n\n{}", settings.join("\n"))
            }

            fn values(&self) -> Vec<(&'static str, Option<::toml::Value>)> {
                vec![$((stringify!($field), ::toml::Value::try_from(&self.$field).ok())),*]
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::settings! {
        /// For these tests.
        struct TestSettings {
            /// Listen at this address
            /// and no other.
            listen: Option<std::net::SocketAddr> = None => "127.0.0.1:1",
            /// Most connections.
            connections_max | "connections": u32 = 7,
            /// Most bytes.
            bytes_max: usize = 9,
            /// What to say.
            greeting: String = "hello".into(),
        }
    }

    fn load_text(text: &str) -> Outcome<TestSettings> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.toml");
        std::fs::write(&path, text).unwrap();
        load(&path)
    }

    #[test]
    fn the_defaults_are_comments_and_valid_without_the_mark() {
        let text = TestSettings::commented_defaults();
        let expected = [
            "# Take the \"#\" away and change the value; then start the server again.",
            "",
            "# Listen at this address",
            "# and no other.",
            "#listen = \"127.0.0.1:1\"",
            "",
            "# Most connections.",
            "#connections_max = 7",
            "",
            "# Most bytes.",
            "#bytes_max = 9",
            "",
            "# What to say.",
            "#greeting = \"hello\"",
            "",
        ];
        assert_eq!(text, expected.join("\n"));
        assert_eq!(load_text(&text).unwrap(), TestSettings::default());
        let uncommented =
            text.replace("\n#l", "\nl").replace("\n#c", "\nc").replace("\n#g", "\ng").replace("\n#b", "\nb");
        let listen = Some("127.0.0.1:1".parse().unwrap());
        assert_eq!(load_text(&uncommented).unwrap(), TestSettings { listen, ..TestSettings::default() });
    }

    #[test]
    fn wrong_settings_are_named_with_their_line() {
        for (text, message) in [
            (
                "\nconnection_max = 1",
                "test.toml, line 2: unknown field `connection_max`; \"init\" writes a file that names",
            ),
            ("connections_max = -1", "line 1: invalid value: integer `-1`"),
            ("connections_max = ", "line 1: "),
            ("connections_max = 0", "test.toml: connections_max is a number from 1 to 281474976710656"),
            ("bytes_max = 9223372036854775807", "test.toml: bytes_max is a number from 1 to"),
            ("listen = \"here\"", "line 1: invalid socket address"),
        ] {
            let failure = load_text(text).unwrap_err();
            assert_eq!(failure.exit_code(), 2);
            assert!(failure.message().contains(message), "{}", failure.message());
        }
        assert_eq!(load::<TestSettings>(Path::new("/no/such/file")).unwrap(), TestSettings::default());
        assert_eq!(load_text("connections = 3").unwrap().connections_max, 3, "an earlier name counts");
    }
}
