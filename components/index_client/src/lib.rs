//! A node's side of the index: publishes its edges and asks for routes (protocol section 5).
//!
//! Decisions without IO: what to publish and when ([`Publisher`]), which servers to ask (`queries`), and what need not be
//! asked again ([`RouteCache`]).
//! [`IndexClient`] puts sockets around them.

mod client;
mod config;
mod error;
mod link;
mod publisher;
mod queries;
mod route_cache;
mod timestamps;

pub use client::{IndexClient, ServerStatus};
pub use config::Config;
pub use error::IndexError;
pub use publisher::{Publication, Publisher, UpdateStatus};
pub use route_cache::{CachedRoutes, QueryKey, RouteCache};
pub use timestamps::Timestamps;
