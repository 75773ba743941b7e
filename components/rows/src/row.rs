//! What is stored, and by which key.

use crate::error::RowError;
use crate::fields::{FieldReader, FieldWriter, UnknownFields};
use crate::kind::Kind;
use offst_crypto::PublicKey;
use offst_proto::encoding::{Canonical, DecodeError, Decoder, Encoder};
use offst_proto::limits::NAME_BYTES_MAX;
use offst_proto::{Currency, InvoiceId, PaymentId, RequestId};

/// A value that is stored as a row.
pub trait Row: Sized {
    /// What it is. One line beside the type is all that a new kind of row needs.
    const KIND: Kind;
    /// What names it among the rows of its kind.
    type Key: RowKey;

    /// Writes its fields, in the order of their tags.
    fn write(&self, fields: &mut FieldWriter);

    /// Reads them.
    ///
    /// # Errors
    /// They are not what was written.
    fn read(key: &Self::Key, fields: &mut FieldReader<'_>) -> Result<Self, RowError>;

    /// Of a [listed](crate::Keeping::Listed) row: whether it is history, so that a start does not read it.
    fn has_ended(&self) -> bool {
        false
    }

    /// Whether it is to be in the database at all yet.
    fn is_stored(&self) -> bool {
        true
    }

    /// Its bytes, with the fields of the row that this version does not know.
    fn to_bytes(&self, unknown: &UnknownFields) -> Vec<u8> {
        let mut fields = FieldWriter::default();
        self.write(&mut fields);
        fields.finish(unknown)
    }

    /// The value of a row, and its fields that this version does not know.
    ///
    /// # Errors
    /// The bytes are not what was written, or a newer version has written them.
    fn from_bytes(key: &Self::Key, bytes: &[u8]) -> Result<(Self, UnknownFields), RowError> {
        let mut fields = FieldReader::new(Self::KIND, bytes)?;
        let value = Self::read(key, &mut fields)?;
        Ok((value, fields.finish()?))
    }
}

/// What names a row among those of its kind. Equal keys have equal bytes.
pub trait RowKey: Clone + Ord {
    /// Appends the key.
    fn write(&self, encoder: &mut Encoder);

    /// Reads it.
    ///
    /// # Errors
    /// The bytes are no key.
    fn read(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError>;

    /// Its bytes.
    fn to_bytes(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        self.write(&mut encoder);
        encoder.finish()
    }

    /// Reads bytes that are this key and nothing else.
    ///
    /// # Errors
    /// The bytes are no key.
    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(bytes);
        let key = Self::read(&mut decoder)?;
        decoder.finish()?;
        Ok(key)
    }
}

macro_rules! canonical_keys {
    ($($name:ty),*) => {$(
        impl RowKey for $name {
            fn write(&self, encoder: &mut Encoder) {
                Canonical::encode(self, encoder);
            }

            fn read(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
                Canonical::decode(decoder)
            }
        }
    )*};
}
canonical_keys!(PublicKey, Currency, InvoiceId, PaymentId, RequestId);

/// Of a kind with one row.
impl RowKey for () {
    fn write(&self, _: &mut Encoder) {}

    fn read(_: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(())
    }
}

/// A name that the owner has given.
impl RowKey for String {
    fn write(&self, encoder: &mut Encoder) {
        encoder.text(self);
    }

    fn read(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        decoder.text(NAME_BYTES_MAX, "a name")
    }
}

impl<A: RowKey, B: RowKey> RowKey for (A, B) {
    fn write(&self, encoder: &mut Encoder) {
        self.0.write(encoder);
        self.1.write(encoder);
    }

    fn read(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok((A::read(decoder)?, B::read(decoder)?))
    }
}
