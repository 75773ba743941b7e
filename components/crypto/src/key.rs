//! Ed25519 public keys and signatures.

use crate::base64_text::{ParseBytesError, base64_text, parse_base64_text};
use crate::byte_string;

byte_string!(
    /// An Ed25519 signature.
    Signature,
    64
);

/// An Ed25519 public key that is not of small order: a node, app, relay or index server is named by it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

/// Why 32 bytes or a text are not a public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyError {
    /// Not 32 bytes of URL-safe base64.
    #[error("this is not a public key: {0}")]
    Format(#[from] ParseBytesError),
    /// One of the 14 encodings for which anybody can make signatures that verify.
    #[error("this public key is of small order, so anybody could sign for it")]
    SmallOrder,
}

/// The y coordinates of the points of small order, little endian, with the sign bit cleared; the last two are the
/// encodings of 0 and 1 that are not reduced modulo p. With both signs these are the 14 encodings that `ring` would take.
const SMALL_ORDER_Y: [[u8; 32]; 7] = [
    [0; 32],
    little(1),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    near_p(0xec),
    near_p(0xed),
    near_p(0xee),
];

const fn little(value: u8) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[0] = value;
    bytes
}

/// 2^255 - 256 + `low`: p is 2^255 - 19, so 0xec is p - 1, 0xed is p and 0xee is p + 1.
const fn near_p(low: u8) -> [u8; 32] {
    let mut bytes = [0xff; 32];
    bytes[0] = low;
    bytes[31] = 0x7f;
    bytes
}

impl PublicKey {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// Parses 32 bytes.
    ///
    /// # Errors
    /// [`PublicKeyError::SmallOrder`] for the keys that anybody can sign for.
    /// (R3.3.)
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, PublicKeyError> {
        let mut y = bytes;
        y[31] &= 0x7f;
        if SMALL_ORDER_Y.contains(&y) {
            return Err(PublicKeyError::SmallOrder);
        }
        Ok(PublicKey(bytes))
    }

    /// Parses a slice.
    ///
    /// # Errors
    /// Another length, or a key of small order.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, PublicKeyError> {
        let bytes = bytes.try_into().map_err(|_| ParseBytesError::WrongLength { expected: 32, found: bytes.len() })?;
        PublicKey::from_bytes(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Display for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&base64_text(&self.0))
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublicKey({})", &base64_text(&self.0)[..8])
    }
}

impl std::str::FromStr for PublicKey {
    type Err = PublicKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        PublicKey::from_bytes(parse_base64_text(text)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ed25519Verifier, Verifier};

    /// With a small-order key the signature R = identity, S = 0 verifies for one message in eight or for all: `ring` takes it.
    /// (R3.3.)
    #[test]
    fn small_order_keys_are_refused() {
        for y in SMALL_ORDER_Y {
            for sign in [0, 0x80] {
                let mut bytes = y;
                bytes[31] |= sign;
                assert_eq!(PublicKey::from_bytes(bytes), Err(PublicKeyError::SmallOrder));
            }
        }
    }

    #[test]
    fn ring_takes_a_forgery_under_a_small_order_key() {
        let identity_point = little(1);
        let mut forged = [0; 64];
        forged[..32].copy_from_slice(&identity_point);
        let accepted = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, identity_point)
            .verify(b"any message", &forged)
            .is_ok();
        assert!(accepted, "ring refuses small-order keys now; this check can go");
    }

    #[test]
    fn text_round_trip_and_errors() {
        let identity = crate::Identity::from_seed([3; 32]);
        let key = identity.public_key();
        assert_eq!(key.to_string().parse(), Ok(key));
        assert!("".parse::<PublicKey>().is_err());
        assert!(format!("{key}A").parse::<PublicKey>().is_err());
        assert!(format!("{}+", &key.to_string()[1..]).parse::<PublicKey>().is_err());
        let signature = crate::Signer::sign(&identity, b"m");
        assert!(Ed25519Verifier.verify(&key, b"m", &signature));
        assert!(!Ed25519Verifier.verify(&key, b"n", &signature));
    }
}
