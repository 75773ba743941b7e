//! What the node answers to a command: what came of it, or a refusal. Where a command names a payment or an invoice, the node may
//! not know it.

use super::field::Field;
use super::message::{Message, MessageError};
use crate::wire::app_capnp as wire;

/// The node did not carry out a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Says to people what happened and what to do.
    pub message: String,
}

impl<T: Into<String>> From<T> for Refusal {
    fn from(message: T) -> Self {
        Refusal { message: message.into() }
    }
}

/// The answer to a command that has nothing to tell but that it was carried out.
impl Message for Result<(), Refusal> {
    type Wire = wire::result::Owned;

    fn write(&self, mut builder: wire::result::Builder<'_>) {
        match self {
            Ok(()) => builder.set_done(()),
            Err(refusal) => builder.set_refused(refusal.message.as_str()),
        }
    }

    fn read(reader: wire::result::Reader<'_>) -> Result<Self, MessageError> {
        Ok(match reader.which()? {
            wire::result::Done(()) => Ok(()),
            wire::result::Refused(message) => Err(String::from_wire(message)?.into()),
        })
    }
}

/// Answers that hold a message.
macro_rules! answers {
    ($($type:ty as $wire:ident: $variant:ident, $init:ident;)*) => {$(
        impl $crate::app::message::Message for Result<$type, $crate::app::answer::Refusal> {
            type Wire = $crate::wire::app_capnp::$wire::Owned;

            fn write(&self, mut builder: $crate::wire::app_capnp::$wire::Builder<'_>) {
                match self {
                    Ok(value) => $crate::app::message::Message::write(value, builder.$init()),
                    Err(refusal) => builder.set_refused(refusal.message.as_str()),
                }
            }

            fn read(
                reader: $crate::wire::app_capnp::$wire::Reader<'_>,
            ) -> Result<Self, $crate::app::message::MessageError> {
                Ok(match reader.which()? {
                    $crate::wire::app_capnp::$wire::$variant(value) => Ok($crate::app::message::Message::read(value?)?),
                    $crate::wire::app_capnp::$wire::Refused(message) => {
                        Err(<String as $crate::app::field::Field>::from_wire(message)?.into())
                    }
                })
            }
        }
    )*};
}
pub(crate) use answers;
