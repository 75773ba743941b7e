//! How the values of the application interface (`capnp/app.capnp`) stand in its messages. A value has one Rust type, with both
//! codecs beside it: the client library and the node's server use the same. What an application orders is in [`crate::order`]
//! and [`config_call`], what it is told in [`crate::report`].
//!
//! ```
//! use offst_proto::app::Message;
//! use offst_proto::{Amount, Rate, wire::app_capnp as wire};
//!
//! let rate = Rate { mul: 42_949_673, add: Amount::from(1) };
//! let mut message = capnp::message::Builder::new_default();
//! rate.write(message.init_root::<wire::rate::Builder<'_>>());
//! let reader = message.get_root_as_reader::<wire::rate::Reader<'_>>()?;
//! assert_eq!(Rate::read(reader), Ok(rate));
//! # Ok::<(), capnp::Error>(())
//! ```

pub(crate) mod answer;
pub(crate) mod codec;
pub mod config_call;
pub(crate) mod field;
pub(crate) mod message;
mod ticket;

pub use answer::Refusal;
pub use field::Field;
pub use message::{Message, MessageError, length, read_list, write_list};

/// Most bytes of one message in either direction that is not a list of reports.
pub const APP_MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// How deep a message may nest.
pub const APP_NESTING_MAX: i32 = 16;
