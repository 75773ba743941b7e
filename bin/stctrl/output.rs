//! What a command prints: a text for people, or one JSON document for programs.

use crate::outcome::{Failure, Outcome, say, write_out};
use offst_crypto::PublicKey;
use serde::Serialize;

/// The form of what a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OutputFormat {
    /// For people.
    Text,
    /// For programs (docs/json.md).
    Json,
}

impl OutputFormat {
    /// Prints a document, or the text for people as it is.
    pub(super) fn print(self, document: &(impl Serialize + ?Sized), text: impl FnOnce() -> String) -> Outcome {
        match self {
            OutputFormat::Json => say(serde_json::to_value(document).map_err(Failure::failed)?),
            OutputFormat::Text => write_out(&text()),
        }
    }

    /// A command that has nothing to tell but that it was carried out.
    pub(super) fn done(self) -> Outcome {
        self.print(&Done::default(), String::new)
    }
}

/// It was carried out.
#[derive(Debug, Serialize)]
pub(super) struct Done {
    status: &'static str,
}

impl Default for Done {
    fn default() -> Self {
        Done { status: "done" }
    }
}

/// The key of a node or an application.
#[derive(Debug, Serialize)]
pub(super) struct PublicKeyDocument {
    #[serde(serialize_with = "offst_proto::json::text")]
    pub(super) public_key: PublicKey,
}
