//! Secure connections (protocol section 3): TLS with pinned keys over any byte stream, frames and keepalive.
//!
//! - [`Authenticator`]: who we are; makes a stream secure as either side, also inside a relay's substream.
//! - [`Acceptor`]: a listening socket with bounds on strangers.
//! - [`networks`], [`address_group`]: who shares a limit per address; [`Crowd`]: who has to go when there are too many.
//! - [`FrameReader`], [`FrameWriter`]: messages instead of bytes.
//! - [`Keepalive`]: when to speak and when to give a peer up.
//! - [`Backoff`]: when to call again.

mod backoff;
mod certificate;
mod connect;
mod crowd;
mod dial;
mod frame;
mod keepalive;
mod listen;
mod network;
mod tls;

pub use backoff::Backoff;
pub use certificate::CertificateError;
pub use connect::ConnectError;
pub use crowd::Crowd;
pub use dial::Attempt;
pub use frame::{FrameError, FrameReader, FrameWriter};
pub use keepalive::{Keepalive, KeepaliveConfig, KeepaliveStep};
pub use listen::{Accepted, Acceptor, HandshakeCounters, HandshakeLimits};
pub use network::{Network, address_group, networks};
pub use tls::{Authenticator, HandshakeError, SecureStream};
