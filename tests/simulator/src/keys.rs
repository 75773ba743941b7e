//! Keys that are quick: a signature is a MAC that everybody can check, and forge. Only for tests.

use offst_crypto::{Identity, PublicKey, Random, Secret, Signature, Signer, Verifier, mac};

/// What a node signs with.
pub struct FakeSigner {
    key: PublicKey,
    seed: Secret,
}

impl FakeSigner {
    /// The keys that grow from this seed.
    pub fn new(seed: u8) -> Self {
        Self::from_bytes([seed; 32])
    }

    /// The keys of one of many nodes.
    pub fn numbered(number: usize) -> Self {
        let mut bytes = [0xee; 32];
        bytes[..8].copy_from_slice(&(number as u64).to_le_bytes());
        Self::from_bytes(bytes)
    }

    fn from_bytes(bytes: [u8; 32]) -> Self {
        FakeSigner { key: Identity::from_seed(bytes).public_key(), seed: Secret::from_bytes(bytes) }
    }
}

/// The public key of a node.
pub fn public_key(seed: u8) -> PublicKey {
    Identity::from_seed([seed; 32]).public_key()
}

fn fake(key: &PublicKey, message: &[u8]) -> Signature {
    let half = mac(&Secret::from_bytes(*key.as_bytes()), message);
    Signature::from_slice(&[*half.as_bytes(), *half.as_bytes()].concat()).expect("64 bytes")
}

impl Signer for FakeSigner {
    fn public_key(&self) -> PublicKey {
        self.key
    }

    fn sign(&self, message: &[u8]) -> Signature {
        fake(&self.key, message)
    }

    fn derive(&self, label: &str, context: &[u8]) -> [u8; 32] {
        *mac(&self.seed, &[label.as_bytes(), context].concat()).as_bytes()
    }
}

/// Checks what a [`FakeSigner`] signed.
pub struct FakeVerifier;

impl Verifier for FakeVerifier {
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
        fake(key, message) == *signature
    }
}

/// A generator that can be run again from its seed (splitmix64).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The same throws for the same seed.
    pub fn new(seed: u64) -> Self {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// 64 random bits.
    pub fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to `bound` - 1.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.throw() % bound as u64) as usize
    }

    /// A number from 0 up to, not including, 1.
    pub fn fraction(&mut self) -> f64 {
        // As many bits as the number holds.
        (self.throw() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True in `percent` of a hundred throws.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// 0 to one of these bounds - 1.
    pub fn below_one_of<const N: usize>(&mut self, bounds: [usize; N]) -> usize {
        let bound = bounds[self.below(N)];
        self.below(bound)
    }

    /// One of these; none when there are none.
    pub fn pick<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        if of.is_empty() { None } else { Some(of[self.below(of.len())].clone()) }
    }
}

impl Random for Dice {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.throw().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}
