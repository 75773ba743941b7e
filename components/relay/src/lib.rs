//! The relay (protocol section 4): connects nodes that cannot be dialled directly, and cannot read what they say.
//!
//! - [`registry`] decides: which nodes are registered, watch each other and may open substreams, within which [`Limits`].
//! - [`serve`] is the relay on a socket; [`Counters`] tell what it does.
//! - [`RelayClient`] is a node's connection to a relay.
//! - [`Rate`] bounds bytes a second.
//!
//! A connection is TCP, TLS, then yamux. The first stream that the node opens is the control stream; every other stream,
//! on either side's initiative, is a substream between two nodes, which the relay copies; it is encrypted for the two. Between the
//! sockets and yamux sits a meter that counts what yamux holds, so that memory is bounded per substream, node and relay.

mod client;
mod connection;
mod connection_rate;
mod counters;
mod in_flight;
mod keep_alive;
mod limits;
mod meter;
mod metered;
mod mux;
mod opening;
mod peer;
mod pipe;
mod rate;
pub mod registry;
mod server;
mod state;
mod throttle;
mod yamux_frames;

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod test_relay;

pub use client::{ClientConfig, OpenError, RelayClient, RelayClosed, RelayEvent, RelayStream};
pub use counters::Counters;
pub use limits::Limits;
pub use rate::Rate;
pub use server::serve;
