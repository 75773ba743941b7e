//! The relay (protocol section 4): a meeting point for nodes that cannot be called directly, blind to what they say.
//!
//! - [`registry`] decides: who is registered, who watches whom, who may talk to whom, within which [`Limits`].
//! - [`serve`] is the relay on a socket; [`Counters`] tell what it does.
//! - [`RelayClient`] is a node's connection to a relay.
//! - [`Rate`] bounds bytes a second.
//!
//! A connection is TCP, TLS, then yamux. The first stream that the node opens is the control stream; every other stream,
//! whoever opens it, is a substream between two nodes, which the relay copies without understanding it. Between the
//! sockets and yamux sits a meter that counts what yamux holds, so that memory is bounded per substream, node and relay.

mod allowance;
mod budget;
mod client;
mod connection;
mod counters;
mod limits;
mod metered;
mod mux;
mod opening;
mod pipe;
mod rate;
pub mod registry;
mod server;

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod test_relay;

pub use client::{ClientConfig, OpenError, RelayClient, RelayClosed, RelayEvent, RelayStream};
pub use counters::Counters;
pub use limits::Limits;
pub use rate::Rate;
pub use server::serve;
