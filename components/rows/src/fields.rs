//! Tagged values: each field of a stored value stands behind a tag of one byte and its length, in the order of the tags.
//!
//! A field is added by giving it a tag of its own: rows that were written before have none, and that is read as "not there". A
//! program that meets a tag that it does not know keeps the field and writes it back when the tag is odd; an even one means that
//! the rest must not be understood without it, and the database is refused. A tag is never used again for another field.

use crate::error::RowError;
use crate::kind::Kind;
use offst_proto::encoding::{Canonical, DecodeError, Decoder, Encoder};

/// Fields that this version does not know, as they were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnknownFields(Vec<(u8, Vec<u8>)>);

impl UnknownFields {
    /// No fields.
    pub const fn none() -> Self {
        UnknownFields(Vec::new())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Writes a tagged value. Tags must ascend.
#[derive(Debug, Default)]
pub struct FieldWriter {
    bytes: Vec<u8>,
    last: Option<u8>,
}

impl FieldWriter {
    /// A field that is written by hand. The other methods call it.
    ///
    /// # Panics
    /// When the tag is not above the one before: the order is part of the code, not of the data.
    pub fn with(&mut self, tag: u8, write: impl FnOnce(&mut Encoder)) {
        assert!(self.last.is_none_or(|last| last < tag), "tags ascend");
        self.last = Some(tag);
        self.bytes.push(tag);
        let start = self.bytes.len();
        // Nearly every field has less than 128 bytes, so its length takes one.
        self.bytes.push(0);
        let mut encoder = Encoder::after(std::mem::take(&mut self.bytes));
        write(&mut encoder);
        self.bytes = encoder.finish();
        let length = self.bytes.len() - start - 1;
        match u8::try_from(length) {
            Ok(short @ 0..0x80) => self.bytes[start] = short,
            _ => {
                let mut long = Vec::new();
                write_length(&mut long, length);
                self.bytes.splice(start..=start, long);
            }
        }
    }

    /// A value.
    pub fn value<T: Canonical>(&mut self, tag: u8, value: &T) {
        self.with(tag, |encoder| encoder.value(value));
    }

    /// A value that may be missing: then nothing is written.
    pub fn option<T: Canonical>(&mut self, tag: u8, value: Option<&T>) {
        if let Some(value) = value {
            self.value(tag, value);
        }
    }

    /// The same of a value that is written by hand.
    pub fn option_with<T>(&mut self, tag: u8, value: Option<T>, write: impl FnOnce(&mut Encoder, T)) {
        if let Some(value) = value {
            self.with(tag, |encoder| write(encoder, value));
        }
    }

    /// The bytes, with fields of the same value that this version does not know put where they belong.
    pub fn finish(self, unknown: &UnknownFields) -> Vec<u8> {
        if unknown.is_empty() {
            return self.bytes;
        }
        let mut fields = split(&self.bytes).expect("it was just written");
        fields.extend(unknown.0.iter().map(|(tag, bytes)| (*tag, &**bytes)));
        fields.sort_by_key(|(tag, _)| *tag);
        let mut merged = Vec::with_capacity(self.bytes.len() + 16);
        for (tag, bytes) in fields {
            merged.push(tag);
            write_length(&mut merged, bytes.len());
            merged.extend_from_slice(bytes);
        }
        merged
    }
}

/// Reads a tagged value, field by field.
#[derive(Debug)]
pub struct FieldReader<'a> {
    kind: Kind,
    fields: Vec<(u8, &'a [u8])>,
}

impl<'a> FieldReader<'a> {
    /// Of a row of this kind.
    ///
    /// # Errors
    /// The bytes are not fields in the order of their tags.
    pub fn new(kind: Kind, bytes: &'a [u8]) -> Result<Self, RowError> {
        Ok(FieldReader { kind, fields: split(bytes).map_err(RowError::damaged(kind.name))? })
    }

    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let index = self.fields.iter().position(|(found, _)| *found == tag)?;
        Some(self.fields.remove(index).1)
    }

    /// A field that may be missing, read by hand. The other methods call it.
    ///
    /// # Errors
    /// It is not what was written, as for all that follow.
    pub fn option_with<T>(
        &mut self,
        tag: u8,
        read: impl FnOnce(&mut Decoder<'a>) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, RowError> {
        let Some(bytes) = self.take(tag) else { return Ok(None) };
        let mut decoder = Decoder::new(bytes);
        let value = read(&mut decoder).and_then(|value| decoder.finish().map(|()| value));
        value.map(Some).map_err(RowError::damaged(self.kind.name))
    }

    /// A field that is always there, read by hand.
    ///
    /// # Errors
    /// It is missing, or not what was written.
    pub fn with<T>(
        &mut self,
        tag: u8,
        read: impl FnOnce(&mut Decoder<'a>) -> Result<T, DecodeError>,
    ) -> Result<T, RowError> {
        let missing = RowError::Damaged { kind: self.kind.name, error: DecodeError::Truncated };
        self.option_with(tag, read)?.ok_or(missing)
    }

    /// A value.
    ///
    /// # Errors
    /// See [`RowError`].
    pub fn value<T: Canonical>(&mut self, tag: u8) -> Result<T, RowError> {
        self.with(tag, Decoder::value)
    }

    /// A value that may be missing.
    ///
    /// # Errors
    /// See [`RowError`].
    pub fn option<T: Canonical>(&mut self, tag: u8) -> Result<Option<T>, RowError> {
        self.option_with(tag, Decoder::value)
    }

    /// What is left: fields that this version does not know.
    ///
    /// # Errors
    /// One of them has an even tag.
    pub fn finish(self) -> Result<UnknownFields, RowError> {
        if let Some((tag, _)) = self.fields.iter().find(|(tag, _)| tag % 2 == 0) {
            return Err(RowError::UnknownField { kind: self.kind.name, tag: *tag });
        }
        Ok(UnknownFields(self.fields.into_iter().map(|(tag, bytes)| (tag, bytes.to_vec())).collect()))
    }
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
fn write_length(bytes: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        bytes.push(0x80 | (length & 0x7f) as u8);
        length >>= 7;
    }
    bytes.push(length as u8);
}

/// Reads what [`write_length`] wrote, in the shortest form only, and what is left.
fn read_length(bytes: &[u8]) -> Result<(usize, &[u8]), DecodeError> {
    let mut length = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(5) {
        length |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            if index > 0 && *byte == 0 {
                return Err(DecodeError::invalid("a field's length"));
            }
            let rest = &bytes[index + 1..];
            return match usize::try_from(length) {
                Ok(length) if length <= rest.len() => Ok((length, rest)),
                _ => Err(DecodeError::Truncated),
            };
        }
    }
    Err(DecodeError::invalid("a field's length"))
}

fn split(mut bytes: &[u8]) -> Result<Vec<(u8, &[u8])>, DecodeError> {
    let mut fields: Vec<(u8, &[u8])> = Vec::new();
    while let Some((tag, rest)) = bytes.split_first() {
        if fields.last().is_some_and(|(last, _)| last >= tag) {
            return Err(DecodeError::invalid("the order of the fields"));
        }
        let (length, rest) = read_length(rest)?;
        let (field, rest) = rest.split_at(length);
        fields.push((*tag, field));
        bytes = rest;
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use offst_crypto::Hash;
    use proptest::prelude::*;

    const KIND: Kind = Kind::state(1, "things");

    fn thing(long: usize, unknown: &UnknownFields) -> Vec<u8> {
        let mut writer = FieldWriter::default();
        writer.with(2, |encoder| encoder.u64(7));
        writer.with(4, |encoder| encoder.fixed(&vec![9; long]));
        writer.finish(unknown)
    }

    #[test]
    fn what_is_unknown_and_odd_is_kept_and_what_is_even_is_refused() {
        for tag in [1, 3, 5] {
            let mut writer = FieldWriter::default();
            writer.value(tag, &Hash::from_bytes([5; 32]));
            let newer = FieldReader::new(KIND, &writer.finish(&UnknownFields::default())).unwrap().finish().unwrap();
            let bytes = thing(300, &newer);
            let mut reader = FieldReader::new(KIND, &bytes).unwrap();
            assert_eq!(reader.with(2, Decoder::u64), Ok(7));
            assert!(reader.with(4, |decoder| decoder.fixed::<300>().map(|_| ())).is_ok());
            let unknown = reader.finish().unwrap();
            assert_eq!(unknown, newer);
            assert_eq!(thing(300, &unknown), bytes);
        }
        let bytes = thing(1, &UnknownFields::default());
        let mut unread = FieldReader::new(KIND, &bytes).unwrap();
        assert_eq!(unread.option_with(4, Decoder::u8), Ok(Some(9)));
        assert_eq!(unread.option_with(4, Decoder::u8), Ok(None), "a field is read once");
        assert_eq!(unread.finish(), Err(RowError::UnknownField { kind: "things", tag: 2 }));
    }

    #[test]
    fn fields_have_one_encoding() {
        let is_taken = |bytes: &[u8]| FieldReader::new(KIND, bytes).is_ok();
        assert!(is_taken(&[1, 0, 3, 1, 9]));
        assert!(!is_taken(&[3, 0, 1, 0]), "tags ascend");
        assert!(!is_taken(&[1, 0, 1, 0]), "each stands once");
        assert!(!is_taken(&[1, 0x80, 0]), "a length is as short as it can be");
        assert!(!is_taken(&[1, 2, 9]), "a field ends before the value does");
        assert!(!is_taken(&[1]));
        assert!(!is_taken(&[1, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]));
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_again(bytes in proptest::collection::vec(any::<u8>(), 0..300), long in 0_usize..70_000) {
            if let Ok(fields) = FieldReader::new(KIND, &bytes)
                && let Ok(unknown) = fields.finish()
            {
                prop_assert_eq!(FieldWriter::default().finish(&unknown), bytes);
            }
            let bytes = thing(long, &UnknownFields::default());
            let mut reader = FieldReader::new(KIND, &bytes).unwrap();
            prop_assert_eq!(reader.take(4).map(<[u8]>::len), Some(long));
        }
    }
}
