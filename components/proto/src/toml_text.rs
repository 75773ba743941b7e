//! TOML as our files use it: what is wrong with a file is told on one line.

use serde::de::DeserializeOwned;

/// Reads a TOML text whose length the caller has bounded; the error is one line.
pub(crate) fn from_toml<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    toml::from_str(text).map_err(|error| error.message().lines().collect::<Vec<_>>().join(" "))
}
