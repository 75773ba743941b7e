//! Secure connections (protocol section 3): TLS with pinned keys over any byte stream, frames and keepalive.
//!
//! - [`Authenticator`]: who we are; makes a stream secure as either side, also inside a relay's substream.
//! - [`Acceptor`]: a listening socket with bounds on strangers.
//! - [`FrameReader`], [`FrameWriter`]: messages instead of bytes.
//! - [`Keepalive`]: when to speak and when to give a peer up.
//! - [`Backoff`]: when to call again.

mod backoff;
mod certificate;
mod connect;
mod dial;
mod frame;
mod keepalive;
mod listen;
mod tls;

pub use backoff::Backoff;
pub use certificate::CertificateError;
pub use connect::ConnectError;
pub use dial::Attempt;
pub use frame::{FrameError, FrameReader, FrameWriter};
pub use keepalive::{Keepalive, KeepaliveConfig, KeepaliveStep};
pub use listen::{Accepted, Acceptor, HandshakeCounters, HandshakeLimits, address_group};
pub use tls::{Authenticator, HandshakeError, SecureStream};
