//! What every value of the application interface can do: be written into a message, and be read from one.

use crate::encoding::DecodeError;
use capnp::struct_list;
use capnp::traits::OwnedStruct;

/// Why a message does not hold a value. Its text is for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The bytes have no meaning.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A field has a meaning that is not allowed, such as an invoice with a wrong signature.
    #[error("{0}")]
    Argument(String),
}

impl From<capnp::Error> for MessageError {
    fn from(error: capnp::Error) -> Self {
        MessageError::Decode(error.into())
    }
}

impl From<capnp::NotInSchema> for MessageError {
    fn from(error: capnp::NotInSchema) -> Self {
        MessageError::Decode(error.into())
    }
}

/// A value of the application interface: a struct of the schema, or a union of one.
pub trait Message: Sized {
    /// The struct of the schema.
    type Wire: OwnedStruct;

    /// Fills in an empty struct.
    fn write(&self, builder: <Self::Wire as OwnedStruct>::Builder<'_>);

    /// Reads a struct and checks every field. The length of each list is bounded before memory is taken for it.
    ///
    /// # Errors
    /// A field is not valid.
    fn read(reader: <Self::Wire as OwnedStruct>::Reader<'_>) -> Result<Self, MessageError>;
}

/// A list's length as the wire counts it.
///
/// # Panics
/// The list has 2^32 entries; a node's lists are far shorter.
pub fn length<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).expect("a node's lists are far below 2^32 entries")
}

/// Fills in a list of as many entries.
pub fn write_list<T: Message>(values: &[T], mut list: struct_list::Builder<'_, T::Wire>) {
    for (position, value) in (0..).zip(values) {
        value.write(list.reborrow().get(position));
    }
}

/// Reads a list that is as long as a message allows.
///
/// # Errors
/// An entry is not valid.
pub fn read_list<T: Message>(list: struct_list::Reader<'_, T::Wire>) -> Result<Vec<T>, MessageError> {
    list.iter().map(T::read).collect()
}

/// Reads a list of at most `max` entries.
pub(crate) fn read_bounded_list<T: Message>(
    list: struct_list::Reader<'_, T::Wire>,
    max: usize,
    what: &'static str,
) -> Result<Vec<T>, MessageError> {
    if list.len() as usize > max {
        return Err(DecodeError::too_large(what).into());
    }
    read_list(list)
}
