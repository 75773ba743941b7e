//! What happened in a world, as one hash.

use offst_crypto::{Hash, sha256, sha256_parts};
use std::fmt::{Debug, Write};

/// How much is gathered before it is hashed.
const GATHERED_BYTES: usize = 4096;

/// A chain of hashes over inputs, commits and outputs in the order in which they happened. Two runs with the same hash
/// are the same run.
#[derive(Debug, Clone)]
pub struct Trace {
    hash: Hash,
    gathered: String,
    bytes: Vec<u8>,
}

impl Default for Trace {
    fn default() -> Self {
        Trace { hash: sha256(b"offst/trace/2"), gathered: String::new(), bytes: Vec::new() }
    }
}

impl Trace {
    /// Takes in what happened.
    pub fn note(&mut self, what: &impl Debug) {
        self.gathered.clear();
        write!(self.gathered, "{what:?}").expect("a text can be written");
        let text = std::mem::take(&mut self.gathered);
        self.bytes("text", text.as_bytes());
        self.gathered = text;
    }

    /// Takes in bytes of some kind, which need no text.
    pub fn bytes(&mut self, kind: &str, bytes: &[u8]) {
        self.bytes.extend_from_slice(kind.as_bytes());
        self.bytes.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() >= GATHERED_BYTES {
            self.hash = sha256_parts(&[self.hash.as_bytes(), &self.bytes]);
            self.bytes.clear();
        }
    }

    /// Takes in a number.
    pub fn number(&mut self, number: u64) {
        self.bytes("number", &number.to_be_bytes());
    }

    /// The hash over everything so far.
    pub fn digest(&self) -> Hash {
        sha256_parts(&[self.hash.as_bytes(), &self.bytes])
    }
}
