//! What happened in a world, as one number.

use offst_crypto::{Hash, sha256};
use std::fmt::{Debug, Write};

/// A chain over inputs, commits and outputs in the order in which they happened. Two runs with the same digest are the same
/// run: nobody wants to deceive here, so the chain is a quick one.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    lanes: [u64; 2],
    text: String,
}

impl Trace {
    /// Takes in what happened.
    pub fn note(&mut self, what: &impl Debug) {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        write!(text, "{what:?}").expect("a text can be written");
        self.bytes("text", text.as_bytes());
        self.text = text;
    }

    /// Takes in bytes of some kind, which need no text.
    pub fn bytes(&mut self, kind: &str, bytes: &[u8]) {
        self.number(kind.len() as u64 ^ u64::from(kind.as_bytes()[0]) << 8 ^ (bytes.len() as u64) << 16);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.number(u64::from_le_bytes(word));
        }
    }

    /// Takes in a number.
    pub fn number(&mut self, number: u64) {
        let [a, b] = &mut self.lanes;
        *a = (*a ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        *b = b.rotate_left(23).wrapping_add(number ^ *a).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    }

    /// The digest of everything so far.
    pub fn digest(&self) -> Hash {
        let [a, b] = self.lanes.map(u64::to_be_bytes);
        sha256(&[a, b].concat())
    }
}
