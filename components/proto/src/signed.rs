//! Signed values: bytes from a stranger become [`Unverified`], and only a check of the signature makes them [`Verified`].

use crate::encoding::{Canonical, DecodeError, Decoder, Encoder};
use offst_crypto::{Hash, PublicKey, Signature, Signer, Verifier, sha256};
use std::sync::Arc;

/// A value that somebody signs. Its canonical bytes start with [`Signable::DOMAIN`], so that a signature for one kind
/// of value never fits another.
pub trait Signable: Canonical {
    /// Names the kind of value and the version of its encoding.
    const DOMAIN: &'static str;
    /// Most bytes with the signature.
    const BYTES_MAX: usize;

    /// The key that must have signed.
    fn author(&self) -> PublicKey;
}

/// The bytes that are signed.
/// (R9.3.)
fn signed_bytes<T: Signable>(value: &T) -> Vec<u8> {
    let mut encoder = Encoder::new();
    encoder.text(T::DOMAIN);
    value.encode(&mut encoder);
    encoder.finish()
}

/// A signed value whose signature nobody has checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unverified<T>(Verified<T>);

/// The signature does not belong to the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature is not valid")]
pub struct BadSignature;

impl<T: Signable> Unverified<T> {
    /// Takes the bytes apart: canonical bytes, then 64 bytes of signature.
    ///
    /// # Errors
    /// Too long, or not the canonical encoding of a value of this kind.
    pub fn from_wire(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > T::BYTES_MAX {
            return Err(DecodeError::TooLarge { what: T::DOMAIN });
        }
        let body_len = bytes.len().checked_sub(Signature::LEN).ok_or(DecodeError::Truncated)?;
        let mut decoder = Decoder::new(&bytes[..body_len]);
        if decoder.bytes(T::DOMAIN.len(), T::DOMAIN).ok() != Some(T::DOMAIN.as_bytes()) {
            return Err(DecodeError::OtherKind { expected: T::DOMAIN });
        }
        let value = T::decode(&mut decoder)?;
        decoder.finish()?;
        Ok(Unverified(Verified { value, wire: bytes.into() }))
    }

    /// The value, not to be believed.
    pub fn peek(&self) -> &T {
        &self.0.value
    }

    /// Canonical bytes, then the signature.
    pub fn wire(&self) -> &Arc<[u8]> {
        &self.0.wire
    }

    /// The hash of the bytes that are said to be signed, without the signature.
    pub fn hash(&self) -> Hash {
        self.0.hash()
    }

    /// Checks the signature of the author.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(self, verifier: &dyn Verifier) -> Result<Verified<T>, BadSignature> {
        let valid = verifier.verify(&self.0.value.author(), self.0.body(), &self.0.signature());
        if valid { Ok(self.0) } else { Err(BadSignature) }
    }

    /// Takes the value as verified because it comes from our own database, which holds only what was verified before.
    pub fn trust_own_database(self) -> Verified<T> {
        self.0
    }
}

/// A value with a signature that was checked or made here. Cheap to clone but for the value itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Verified<T> {
    value: T,
    wire: Arc<[u8]>,
}

impl<T: Signable> Verified<T> {
    /// Signs `value`.
    ///
    /// # Panics
    /// When the signer is not the author: a programming error.
    pub fn sign(value: T, signer: &dyn Signer) -> Self {
        assert_eq!(value.author(), signer.public_key(), "only the author signs");
        let mut wire = signed_bytes(&value);
        let signature = signer.sign(&wire);
        wire.extend_from_slice(signature.as_bytes());
        Verified { value, wire: wire.into() }
    }

    /// Puts a value together with a signature that travelled apart from it.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn assemble(value: T, signature: &Signature, verifier: &dyn Verifier) -> Result<Self, BadSignature> {
        let mut wire = signed_bytes(&value);
        if !verifier.verify(&value.author(), &wire, signature) {
            return Err(BadSignature);
        }
        wire.extend_from_slice(signature.as_bytes());
        Ok(Verified { value, wire: wire.into() })
    }
}

impl<T> Verified<T> {
    /// The value without its signature.
    pub fn into_value(self) -> T {
        self.value
    }

    /// Canonical bytes, then the signature: what is stored and sent.
    pub fn wire(&self) -> &Arc<[u8]> {
        &self.wire
    }

    /// The hash of the signed bytes, without the signature.
    pub fn hash(&self) -> Hash {
        sha256(self.body())
    }

    /// The signature.
    pub fn signature(&self) -> Signature {
        Signature::from_slice(&self.wire[self.wire.len() - Signature::LEN..]).expect("the last 64 bytes")
    }

    fn body(&self) -> &[u8] {
        &self.wire[..self.wire.len() - Signature::LEN]
    }
}

impl<T> std::ops::Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for Verified<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Verified").field(&self.value).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offst_crypto::{Ed25519Verifier, Identity};

    #[derive(Debug, Clone, PartialEq)]
    struct Note {
        author: PublicKey,
        number: u64,
    }

    impl Canonical for Note {
        fn encode(&self, encoder: &mut Encoder) {
            encoder.value(&self.author);
            encoder.u64(self.number);
        }

        fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
            Ok(Note { author: decoder.value()?, number: decoder.u64()? })
        }
    }

    impl Signable for Note {
        const DOMAIN: &'static str = "offst/note/1";
        const BYTES_MAX: usize = 200;

        fn author(&self) -> PublicKey {
            self.author
        }
    }

    // R9.3.
    #[test]
    fn every_flipped_bit_is_noticed() {
        let identity = Identity::from_seed([1; 32]);
        let note = Verified::sign(Note { author: identity.public_key(), number: 7 }, &identity);
        let read = Unverified::<Note>::from_wire(note.wire()).unwrap().verify(&Ed25519Verifier).unwrap();
        assert_eq!(read, note);
        for bit in 0..note.wire().len() * 8 {
            let mut bytes = note.wire().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let taken = Unverified::<Note>::from_wire(&bytes).ok().and_then(|n| n.verify(&Ed25519Verifier).ok());
            assert_eq!(taken, None, "bit {bit}");
        }
        for len in 0..note.wire().len() {
            assert!(Unverified::<Note>::from_wire(&note.wire()[..len]).is_err(), "{len} bytes");
        }
        assert!(Unverified::<Note>::from_wire(&[0; 201]).is_err());
    }
}
