//! Private keys: signing, and secrets derived from them.

use crate::{PublicKey, Secret, Signature, mac, sha256_parts};
use ring::signature::{Ed25519KeyPair, KeyPair};
use zeroize::Zeroizing;

/// What a deterministic core needs of a private key.
pub trait Signer: Send {
    /// The key that verifies.
    fn public_key(&self) -> PublicKey;

    /// Signs `message`. Deterministic.
    fn sign(&self, message: &[u8]) -> Signature;

    /// A secret that only the holder of the private key can derive, different for every `label` and `context`. Preimages
    /// are derived, so that a seller who lost its disk can still collect (protocol section 1).
    fn derive(&self, label: &str, context: &[u8]) -> [u8; 32];
}

/// Checks what a [`Signer`] signed.
pub trait Verifier: Send {
    /// Whether `signature` over `message` was made by the holder of `key`.
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool;
}

/// The real thing. Never verifies in batches: batch and single verification disagree on some forged signatures.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ed25519Verifier;

impl Verifier for Ed25519Verifier {
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
        ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, key.as_bytes())
            .verify(message, signature.as_bytes())
            .is_ok()
    }
}

/// Why bytes are not a private key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is not an Ed25519 private key")]
pub struct IdentityError;

/// An Ed25519 private key. Cheap to clone is not wanted: share it behind an `Arc`.
pub struct Identity {
    seed: Zeroizing<[u8; 32]>,
    pair: Ed25519KeyPair,
    public_key: PublicKey,
    derivation: Secret,
}

impl Identity {
    /// The identity of a 32-byte seed, which is the private key of RFC 8032.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let seed = Zeroizing::new(seed);
        let pair = Ed25519KeyPair::from_seed_unchecked(&*seed).expect("any 32 bytes are an Ed25519 seed");
        let public_key = PublicKey::from_slice(pair.public_key().as_ref())
            .expect("an honest key pair has a public key of large order");
        let derivation = Secret::from_bytes(*sha256_parts(&[b"offst derivation v1", &*seed]).as_bytes());
        Identity { seed, pair, public_key, derivation }
    }

    /// A fresh identity.
    pub fn generate(random: &mut dyn crate::Random) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        random.fill(&mut *seed);
        Identity::from_seed(*seed)
    }

    /// The key that names this identity.
    pub fn public_key(&self) -> PublicKey {
        self.public_key
    }

    /// The private key itself, for files and for TLS.
    pub fn seed(&self) -> &[u8; 32] {
        &self.seed
    }
}

impl Signer for Identity {
    fn public_key(&self) -> PublicKey {
        self.public_key
    }

    fn sign(&self, message: &[u8]) -> Signature {
        Signature::from_slice(self.pair.sign(message).as_ref()).expect("an Ed25519 signature has 64 bytes")
    }

    fn derive(&self, label: &str, context: &[u8]) -> [u8; 32] {
        let mut message = Vec::with_capacity(4 + label.len() + context.len());
        message.extend_from_slice(&(label.len() as u32).to_be_bytes());
        message.extend_from_slice(label.as_bytes());
        message.extend_from_slice(context);
        *mac(&self.derivation, &message).as_bytes()
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({})", self.public_key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, section 7.1, test 1.
    #[test]
    fn rfc_8032_vector() {
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
        };
        let seed = hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let identity = Identity::from_seed(seed.try_into().unwrap());
        assert_eq!(
            identity.public_key().as_bytes().to_vec(),
            hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
        );
        assert_eq!(
            identity.sign(b"").as_bytes().to_vec(),
            hex(
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
            )
        );
    }

    #[test]
    fn derived_secrets_differ() {
        let one = Identity::from_seed([1; 32]);
        let two = Identity::from_seed([2; 32]);
        assert_eq!(one.derive("a", b"x"), one.derive("a", b"x"));
        assert_ne!(one.derive("a", b"x"), two.derive("a", b"x"));
        assert_ne!(one.derive("a", b"x"), one.derive("a", b"y"));
        assert_ne!(one.derive("ab", b"x"), one.derive("a", b"bx"));
    }
}
