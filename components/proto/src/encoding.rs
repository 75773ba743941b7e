//! The canonical encoding of everything that is signed.
//!
//! Integers are big endian and of fixed size; byte strings and lists carry their length in 32 bits; an option is a byte
//! 0 or 1. Each value has exactly one encoding: [`Decoder`] refuses every other tag, and trailing bytes. So equal
//! hashes mean equal values.

use offst_crypto::{Hash, HashLock, Mac, Nonce, Preimage, PublicKey, Signature};

/// Why bytes are not a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end too early.
    #[error("the bytes end too early")]
    Truncated,
    /// Bytes are left over.
    #[error("{0} bytes are left over")]
    TrailingBytes(usize),
    /// A length, count or number is above its bound.
    #[error("{what} is above its bound")]
    TooLarge {
        /// What is too large.
        what: &'static str,
    },
    /// A tag, key or text that has no meaning.
    #[error("{what} is not valid")]
    Invalid {
        /// What is not valid.
        what: &'static str,
    },
    /// The bytes belong to another kind of value.
    #[error("these bytes are not a {expected}")]
    OtherKind {
        /// The kind that was asked for.
        expected: &'static str,
    },
}

impl DecodeError {
    /// [`DecodeError::Invalid`].
    pub const fn invalid(what: &'static str) -> Self {
        DecodeError::Invalid { what }
    }

    /// [`DecodeError::TooLarge`].
    pub const fn too_large(what: &'static str) -> Self {
        DecodeError::TooLarge { what }
    }
}

/// A value with a canonical encoding.
pub trait Canonical: Sized {
    /// Appends the value.
    fn encode(&self, encoder: &mut Encoder);

    /// Reads the value back.
    ///
    /// # Errors
    /// The bytes are not the encoding of any value.
    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError>;

    /// The encoding alone.
    fn to_canonical_bytes(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        self.encode(&mut encoder);
        encoder.finish()
    }

    /// Reads bytes that hold this value and nothing else.
    ///
    /// # Errors
    /// The bytes are not the encoding of any value.
    fn from_canonical_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(bytes);
        let value = Self::decode(&mut decoder)?;
        decoder.finish()?;
        Ok(value)
    }
}

/// Appends values to a byte string.
#[derive(Debug, Default)]
pub struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    /// An empty byte string.
    pub fn new() -> Self {
        Encoder::default()
    }

    /// Appends to these bytes.
    pub fn after(bytes: Vec<u8>) -> Self {
        Encoder { bytes }
    }

    /// The bytes so far.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// 4 bytes.
    pub fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// 8 bytes.
    pub fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// 16 bytes.
    pub fn u128(&mut self, value: u128) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// 16 bytes, two's complement.
    pub fn i128(&mut self, value: i128) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// 0 or 1.
    pub fn bool(&mut self, value: bool) {
        self.u8(value.into());
    }

    /// Bytes whose number both sides know.
    pub fn fixed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Bytes behind their length.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.fixed(bytes);
    }

    /// A text behind its length in bytes.
    pub fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// The number of elements that follow.
    pub fn count(&mut self, count: usize) {
        self.u32(u32::try_from(count).expect("every list is bounded far below 2^32"));
    }

    /// A value.
    pub fn value<T: Canonical>(&mut self, value: &T) {
        value.encode(self);
    }

    /// A value that may be missing.
    pub fn option<T: Canonical>(&mut self, value: &Option<T>) {
        self.bool(value.is_some());
        if let Some(value) = value {
            value.encode(self);
        }
    }

    /// Values behind their number.
    pub fn list<T: Canonical>(&mut self, values: &[T]) {
        self.count(values.len());
        for value in values {
            value.encode(self);
        }
    }
}

/// Reads values from a byte string.
#[derive(Debug)]
pub struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    /// At the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Decoder { rest: bytes }
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// [`DecodeError::TrailingBytes`].
    /// (R9.1.)
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.is_at_end() { Ok(()) } else { Err(DecodeError::TrailingBytes(self.rest.len())) }
    }

    /// Whether nothing is left.
    pub fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Bytes whose number both sides know.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], as for all readers here.
    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    /// One byte.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.fixed::<1>()?[0])
    }

    /// 4 bytes.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.fixed()?))
    }

    /// 8 bytes.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.fixed()?))
    }

    /// 16 bytes.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn u128(&mut self) -> Result<u128, DecodeError> {
        Ok(u128::from_be_bytes(self.fixed()?))
    }

    /// 16 bytes, two's complement.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn i128(&mut self) -> Result<i128, DecodeError> {
        Ok(i128::from_be_bytes(self.fixed()?))
    }

    /// 0 or 1 and nothing else.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::invalid("a flag")),
        }
    }

    /// Bytes behind their length, at most `max` of them.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn bytes(&mut self, max: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let count = self.count(max, what)?;
        self.take(count)
    }

    /// All bytes that are left, at most `max` of them.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn rest(&mut self, max: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        if self.rest.len() > max {
            return Err(DecodeError::TooLarge { what });
        }
        self.take(self.rest.len())
    }

    /// A text behind its length, at most `max` bytes of UTF-8.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn text(&mut self, max: usize, what: &'static str) -> Result<String, DecodeError> {
        let bytes = self.bytes(max, what)?;
        Ok(std::str::from_utf8(bytes).map_err(|_| DecodeError::Invalid { what })?.to_owned())
    }

    /// A number of elements, at most `max` and never more than bytes are left.
    ///
    /// # Errors
    /// See [`DecodeError`].
    /// (R9.2.)
    pub fn count(&mut self, max: usize, what: &'static str) -> Result<usize, DecodeError> {
        let count = self.u32()? as usize;
        if count > max {
            return Err(DecodeError::TooLarge { what });
        }
        if count > self.rest.len() {
            return Err(DecodeError::Truncated);
        }
        Ok(count)
    }

    /// A value.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn value<T: Canonical>(&mut self) -> Result<T, DecodeError> {
        T::decode(self)
    }

    /// A value that may be missing.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn option<T: Canonical>(&mut self) -> Result<Option<T>, DecodeError> {
        if self.bool()? { Ok(Some(T::decode(self)?)) } else { Ok(None) }
    }

    /// At most `max` values behind their number.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn list<T: Canonical>(&mut self, max: usize, what: &'static str) -> Result<Vec<T>, DecodeError> {
        let count = self.count(max, what)?;
        (0..count).map(|_| T::decode(self)).collect()
    }
}

macro_rules! canonical_bytes {
    ($($name:ty),*) => {$(
        impl Canonical for $name {
            fn encode(&self, encoder: &mut Encoder) {
                encoder.fixed(self.as_bytes());
            }

            fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
                Ok(<$name>::from_bytes(decoder.fixed()?))
            }
        }
    )*};
}
canonical_bytes!(Hash, HashLock, Mac, Nonce, Preimage, Signature);
canonical_bytes!(crate::RequestId, crate::PaymentId, crate::InvoiceId);

impl Canonical for PublicKey {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.fixed(self.as_bytes());
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        PublicKey::from_bytes(decoder.fixed()?).map_err(|_| DecodeError::invalid("a public key"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // R9.1.
    #[test]
    fn only_one_encoding_is_taken() {
        assert_eq!(Decoder::new(&[2]).bool(), Err(DecodeError::invalid("a flag")));
        assert_eq!(Hash::from_canonical_bytes(&[0; 33]), Err(DecodeError::TrailingBytes(1)));
        assert_eq!(Hash::from_canonical_bytes(&[0; 31]), Err(DecodeError::Truncated));
    }

    // R9.2.
    #[test]
    fn a_count_is_bounded_before_anything_is_allocated() {
        let mut encoder = Encoder::new();
        encoder.u32(u32::MAX);
        let bytes = encoder.finish();
        assert_eq!(Decoder::new(&bytes).list::<Hash>(10, "a list"), Err(DecodeError::too_large("a list")));
        assert_eq!(Decoder::new(&bytes).list::<Hash>(usize::MAX, "a list"), Err(DecodeError::Truncated));
    }

    #[test]
    fn small_order_keys_do_not_decode() {
        assert_eq!(PublicKey::from_canonical_bytes(&[0; 32]), Err(DecodeError::invalid("a public key")));
    }
}
