//! Secure connections (protocol section 3): TLS with pinned keys over any byte stream, frames and keepalive.
//!
//! - [`Authenticator`]: proves our key; makes a stream secure as either side, also inside a relay's substream.
//! - [`Acceptor`]: a listening socket that bounds handshakes.
//! - [`networks`], [`address_group`]: which addresses share a limit; [`Occupancy`]: which member has to leave when there are too many.
//! - [`FrameReader`], [`FrameWriter`]: messages instead of bytes.
//! - [`Keepalive`]: when to send something and when to give a peer up.
//! - [`Backoff`]: when to dial again.

mod backoff;
mod certificate;
mod connect;
mod dial;
mod frame;
mod keepalive;
mod listen;
mod network;
mod occupancy;
mod tls;

pub use backoff::Backoff;
pub use certificate::CertificateError;
pub use connect::ConnectError;
pub use dial::Attempt;
pub use frame::{FrameError, FrameReader, FrameWriter};
pub use keepalive::{Keepalive, KeepaliveConfig, KeepaliveStep};
pub use listen::{Accepted, Acceptor, HandshakeCounters, HandshakeLimits};
pub use network::{Network, address_group, networks, widest_network};
pub use occupancy::Occupancy;
pub use tls::{Authenticator, HandshakeError, SecureStream};
