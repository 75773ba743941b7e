//! What happened in a world, as one hash.

use offst_crypto::{Hash, sha256, sha256_parts};
use std::fmt::{Debug, Write};

/// A chain of hashes over inputs, commits and outputs in the order in which they happened. Two runs with the same hash
/// are the same run.
#[derive(Debug, Clone)]
pub struct Trace {
    hash: Hash,
    text: String,
}

impl Default for Trace {
    fn default() -> Self {
        Trace { hash: sha256(b"offst/trace/1"), text: String::new() }
    }
}

impl Trace {
    /// Takes in what happened.
    pub fn note(&mut self, what: &impl Debug) {
        self.text.clear();
        write!(self.text, "{what:?}").expect("a text can be written");
        self.hash = sha256_parts(&[self.hash.as_bytes(), self.text.as_bytes()]);
    }

    /// Takes in bytes of some kind, which need no text.
    pub fn bytes(&mut self, kind: &str, bytes: &[u8]) {
        self.hash = sha256_parts(&[self.hash.as_bytes(), kind.as_bytes(), &[0], bytes]);
    }

    /// The hash over everything so far.
    pub fn digest(&self) -> Hash {
        self.hash
    }
}
