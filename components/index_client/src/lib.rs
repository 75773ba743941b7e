//! A node's side of the index: publishes its edges and asks for routes (protocol section 5).
//!
//! Decisions without IO: what to publish and when, whom to ask. [`IndexClient`] puts sockets around them.

mod backoff;
mod client;
mod config;
mod error;
mod link;
mod moment;
mod publisher;
mod queries;

pub use client::{IndexClient, ServerStatus};
pub use config::Config;
pub use error::IndexError;
