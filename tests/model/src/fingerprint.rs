//! States by their fingerprints, so that memory is no bound.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};

/// A state's name.
pub type Fingerprint = u128;

/// Fingerprints are random already.
#[derive(Default)]
pub(crate) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0 << 8 | u64::from(*byte);
        }
    }

    fn write_u128(&mut self, fingerprint: u128) {
        self.0 = (fingerprint >> 64) as u64;
    }
}

/// Which states were visited.
pub(crate) type Visited = HashSet<Fingerprint, BuildHasherDefault<AsIs>>;

/// The fields of a state, one byte for a small one.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn add(&mut self, value: u64) {
        match u8::try_from(value) {
            Ok(byte) if byte < u8::MAX => self.0.push(byte),
            _ => {
                self.0.push(u8::MAX);
                self.0.extend(value.to_le_bytes());
            }
        }
    }
}

impl Hasher for Bytes {
    fn finish(&self) -> u64 {
        unreachable!("it only collects")
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn write_u8(&mut self, value: u8) {
        self.0.push(value);
    }

    fn write_u32(&mut self, value: u32) {
        self.add(value.into());
    }

    fn write_u64(&mut self, value: u64) {
        self.add(value);
    }

    fn write_usize(&mut self, value: usize) {
        self.add(value as u64);
    }

    fn write_isize(&mut self, value: isize) {
        self.add(value as u64);
    }
}

/// Names states.
#[derive(Default)]
pub struct Names(Bytes);

impl Names {
    /// The name of a state.
    pub fn name(&mut self, state: &impl Hash) -> Fingerprint {
        self.0.0.clear();
        state.hash(&mut self.0);
        let half = |salt: u8| {
            let mut hasher = DefaultHasher::new();
            hasher.write_u8(salt);
            hasher.write(&self.0.0);
            u128::from(hasher.finish())
        };
        half(0) << 64 | half(1)
    }
}
