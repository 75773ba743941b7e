//! SHA-256, the hash locks made of it, and HMAC-SHA-256.

use crate::byte_string;
use ring::{digest, hmac};

byte_string!(
    /// A SHA-256 digest.
    Hash,
    32
);
byte_string!(
    /// The SHA-256 of a [`Preimage`]: the one who shows the preimage may collect (protocol section 2).
    HashLock,
    32
);
byte_string!(
    /// HMAC-SHA-256.
    Mac,
    32
);
byte_string!(
    /// Makes two signatures of one destination differ.
    Nonce,
    16
);

/// The value a seller keeps to itself until it collects.
///
/// ```
/// use offst_crypto::{HashLock, Preimage, sha256};
///
/// let preimage = Preimage::from_bytes([7; 32]);
/// assert_eq!(preimage.lock(), HashLock::from_bytes(*sha256(&[7; 32]).as_bytes()));
/// assert_ne!(Preimage::from_bytes([8; 32]).lock(), preimage.lock());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Preimage([u8; 32]);

impl Preimage {
    /// Takes the bytes as they are.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Preimage(bytes)
    }

    /// The bytes as they are.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The lock that this preimage opens.
    pub fn lock(&self) -> HashLock {
        HashLock::from_bytes(*sha256(&self.0).as_bytes())
    }
}

impl std::fmt::Debug for Preimage {
    /// Never shows the value: logs must not open locks.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Preimage(..)")
    }
}

/// A 32-byte secret, for example an invoice's. Compared through [`Mac`]s only, never shown.
#[derive(Clone, PartialEq, Eq, zeroize::ZeroizeOnDrop)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Takes the bytes as they are.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Secret(bytes)
    }

    /// The bytes as they are.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    /// Never shows the value.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> Hash {
    sha256_parts(&[bytes])
}

/// SHA-256 of the parts one after the other. The caller sees to it that the parts cannot be cut differently.
pub fn sha256_parts(parts: &[&[u8]]) -> Hash {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    Hash::from_bytes(bytes)
}

/// HMAC-SHA-256 of `message` under `secret`.
pub fn mac(secret: &Secret, message: &[u8]) -> Mac {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hmac::sign(&key, message).as_ref());
    Mac::from_bytes(bytes)
}

impl Mac {
    /// Compares in constant time: whether this is the MAC of `message` under `secret`.
    pub fn verify(&self, secret: &Secret, message: &[u8]) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        hmac::verify(&key, message, self.as_bytes()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The "abc" vector of FIPS 180-4.
    #[test]
    fn known_digests() {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        assert_eq!(hex(sha256(b"abc").as_bytes()), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(sha256_parts(&[b"a", b"bc"]), sha256(b"abc"));
    }

    #[test]
    fn a_mac_is_bound_to_secret_and_message() {
        let secret = Secret::from_bytes([7; 32]);
        let tag = mac(&secret, b"message");
        assert!(tag.verify(&secret, b"message"));
        assert!(!tag.verify(&secret, b"messagf"));
        assert!(!tag.verify(&Secret::from_bytes([8; 32]), b"message"));
    }

    #[test]
    fn secrets_are_not_shown() {
        assert_eq!(format!("{:?}", Preimage::from_bytes([1; 32])), "Preimage(..)");
        assert_eq!(format!("{:?}", Secret::from_bytes([1; 32])), "Secret(..)");
    }
}
