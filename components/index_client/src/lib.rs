//! A node's side of the index: publishes its edges and asks for routes (protocol section 5).
//!
//! Decisions without IO: what to publish and when ([`Publisher`]), whom to ask, and what need not be asked ([`Routes`]).
//! [`IndexClient`] puts sockets around them.

mod client;
mod config;
mod error;
mod link;
mod moment;
mod publisher;
mod queries;
mod routes;

pub use client::{IndexClient, ServerStatus};
pub use config::Config;
pub use error::IndexError;
pub use moment::Moment;
pub use publisher::{Publication, Publisher, Verdict};
pub use routes::{Lookup, Question, Routes};
