//! The index server: signed edges of the nodes, a graph of capacities, searches, and the server around them
//! (protocol section 5).
//!
//! Decisions without IO: [`admit`] checks an update, [`Core`] holds what nodes published and keeps neighbours equal,
//! [`CapacityGraph`] searches. The socket half is [`serve`].

mod admission;
mod book;
mod clearing;
mod connections;
mod core;
mod counters;
mod fair_queue;
mod graph;
mod graph_writer;
mod graphs;
mod index;
mod limits;
mod links;
mod neighbours;
mod networks;
mod quota;
mod saved;
mod saving;
mod search;
mod searches;
mod server;
mod shares;
mod state;
#[cfg(test)]
mod test_servers;
mod turns;
mod waiting;

pub use admission::{admit, admit_from_neighbour};
pub use book::{Book, GraphChange, Merged};
pub use core::{Core, Notice, Received};
pub use counters::{Counters, Snapshot};
pub use graph::{CapacityGraph, Memory};
pub use index::Index;
pub use limits::Limits;
pub use neighbours::Federation;
pub use quota::TokenBucket;
pub use search::{Found, Scratch, SearchBounds};
pub use server::{IndexServer, serve};
pub use shares::Origin;
