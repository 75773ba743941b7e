//! Cap'n Proto messages as byte strings: what one frame of a link holds.

use crate::encoding::DecodeError;
use capnp::message::{Builder, HeapAllocator, ReaderOptions};
use capnp::serialize::{self, BufferSegments};

/// How deep a message may nest. No message of ours needs more than six levels.
const NESTING_MAX: i32 = 16;

/// The bytes of a message.
pub(crate) fn write(message: &Builder<HeapAllocator>) -> Vec<u8> {
    serialize::write_message_to_words(message)
}

/// Reads the message that `bytes` hold. The work of reading is bounded by the number of bytes: pointers that make one byte
/// be read many times are refused.
pub(crate) fn read(bytes: &[u8]) -> Result<capnp::message::Reader<BufferSegments<&[u8]>>, DecodeError> {
    let mut options = ReaderOptions::new();
    // R10.1.
    options.traversal_limit_in_words(Some(bytes.len() / 8 * 4 + 64));
    options.nesting_limit(NESTING_MAX);
    let segments = BufferSegments::new(bytes, options).map_err(DecodeError::from)?;
    Ok(capnp::message::Reader::new(segments, options))
}

impl From<capnp::Error> for DecodeError {
    fn from(_: capnp::Error) -> Self {
        DecodeError::invalid("the message")
    }
}

impl From<capnp::NotInSchema> for DecodeError {
    fn from(_: capnp::NotInSchema) -> Self {
        DecodeError::invalid("the kind of message")
    }
}

impl From<std::str::Utf8Error> for DecodeError {
    fn from(_: std::str::Utf8Error) -> Self {
        DecodeError::invalid("a text")
    }
}
