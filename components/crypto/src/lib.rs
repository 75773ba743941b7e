//! Keys, signatures, hash locks, MACs, randomness, sealed bytes and identity files.
//!
//! The only crate that sees `ring`. Everything above it speaks of [`PublicKey`], [`Signature`], [`struct@Hash`],
//! [`Preimage`] and of the three capabilities a deterministic core takes as arguments: [`Signer`],
//! [`Verifier`] and [`Random`].
//!
//! ```
//! use offst_crypto::{Ed25519Verifier, Identity, Signer, SystemRandom, Verifier};
//!
//! let identity = Identity::generate(&mut SystemRandom::new());
//! let signature = identity.sign(b"five credits");
//! assert!(Ed25519Verifier.verify(&identity.public_key(), b"five credits", &signature));
//! assert!(!Ed25519Verifier.verify(&identity.public_key(), b"six credits", &signature));
//!
//! // The file that holds it, and the text of its public key.
//! let read = Identity::from_pem(&identity.to_pem(), None)?;
//! assert_eq!(read.public_key().to_string().parse(), Ok(identity.public_key()));
//! # Ok::<(), offst_crypto::IdentityFileError>(())
//! ```

mod bytes;
mod hash;
mod identity;
mod identity_file;
mod key;
mod random;
mod sealed;

pub use bytes::ParseBytesError;
pub use hash::{Hash, HashLock, Mac, Nonce, Preimage, Secret, mac, sha256, sha256_parts};
pub use identity::{Ed25519Verifier, Identity, IdentityError, Signer, Verifier};
pub use identity_file::IdentityFileError;
pub use key::{PublicKey, PublicKeyError, Signature};
pub use random::{Random, RandomExt, SystemRandom};
pub use sealed::{SEAL_BYTES, seal, unseal};

/// URL-safe base64 without padding, as keys and ids are shown everywhere.
pub fn base64_text(bytes: &[u8]) -> String {
    bytes::to_base64(bytes)
}

/// Parses [`base64_text`] into exactly `N` bytes.
///
/// # Errors
/// The text has another length or is not URL-safe base64.
pub fn parse_base64_text<const N: usize>(text: &str) -> Result<[u8; N], ParseBytesError> {
    bytes::from_base64(text)
}

/// Parses [`base64_text`] into at most `most` bytes.
///
/// # Errors
/// The text is longer or is not URL-safe base64.
pub fn parse_bounded_base64_text(text: &str, most: usize) -> Result<Vec<u8>, ParseBytesError> {
    bytes::from_bounded_base64(text, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_any_length_have_one_spelling_and_a_bound() {
        for length in 0..20 {
            let bytes: Vec<u8> = (0..length).map(|byte| 255 - byte).collect();
            let text = base64_text(&bytes);
            assert_eq!(parse_bounded_base64_text(&text, bytes.len()), Ok(bytes.clone()));
            if length > 0 {
                let most = bytes.len() - 1;
                assert_eq!(parse_bounded_base64_text(&text, most), Err(ParseBytesError::TooLong { most }));
            }
        }
        for wrong in ["a", "a=", "a+==", "ab\n", "AB"] {
            assert_eq!(parse_bounded_base64_text(wrong, 9), Err(ParseBytesError::NotBase64), "{wrong}");
        }
    }
}
