//! The index server: signed edges of the nodes, graphs made of them, searches, and the server around them (protocol
//! section 5).
//!
//! Decisions without IO: [`admit`] checks an update, [`EdgeStore`] holds what nodes announced, [`Replica`] keeps neighbours
//! equal, [`CapacityGraph`] searches. The socket half is [`serve`].

mod address_quota;
mod admission;
mod capacity_graph;
mod clearing_graph;
mod connections;
mod counters;
mod edge_store;
mod fair_queue;
mod graph;
mod graph_writer;
mod index;
mod limits;
mod neighbour_links;
mod neighbours;
mod persistence;
mod query_graphs;
mod replica;
mod search;
mod search_pool;
mod search_scheduler;
mod server;
mod state;
#[cfg(test)]
mod test_servers;
mod token_bucket;
mod update_file;
mod work_queue;

pub use address_quota::Origin;
pub use admission::{admit, admit_from_neighbour};
pub use capacity_graph::{CapacityGraph, Memory};
pub use counters::{Counters, Snapshot};
pub use edge_store::{EdgeStore, GraphChange, Merged};
pub use index::Index;
pub use limits::Limits;
pub use neighbours::Federation;
pub use replica::{Notice, Received, Replica};
pub use search::{Found, Scratch, SearchBounds};
pub use server::{IndexServer, serve};
pub use token_bucket::TokenBucket;
