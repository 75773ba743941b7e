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

mod base64_text;
mod bytes;
mod hash;
mod identity;
mod identity_file;
mod key;
mod random;
mod sealed;

pub use base64_text::{ParseBytesError, base64_text, parse_base64_text, parse_bounded_base64_text};
pub use hash::{Hash, HashLock, Mac, Nonce, Preimage, Secret, mac, sha256, sha256_parts};
pub use identity::{Ed25519Verifier, Identity, IdentityError, Signer, Verifier};
pub use identity_file::IdentityFileError;
pub use key::{PublicKey, PublicKeyError, Signature};
pub use random::{Random, RandomExt, SystemRandom};
pub use sealed::{SEAL_BYTES, seal, unseal};
