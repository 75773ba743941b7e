//! The index server: signed edges of the nodes, a graph of capacities, searches, and the server around them
//! (protocol section 5).
//!
//! Decisions without IO: [`admit`] checks an update, [`Index`] holds what nodes published and searches it. The socket
//! half is [`serve`].

mod admission;
mod connections;
mod counters;
mod graph;
mod index;
mod limits;
mod quota;
mod search;
mod server;

pub use admission::admit;
pub use counters::{Counters, Snapshot};
pub use graph::{CapacityGraph, Memory};
pub use index::Index;
pub use limits::Limits;
pub use quota::TokenBucket;
pub use search::{Found, Scratch, SearchBounds};
pub use server::serve;
