//! The node's side of the application interface (protocol section 6): Cap'n Proto RPC over TLS, with a bound on everything
//! that an application can make the node hold.
//!
//! Below it is a [`Backend`], the node. What an application may do follows from its key and the owner's [`Permissions`]: a
//! capability that was not granted is not handed out, so it cannot be called.

mod backend;
mod limits;
mod load;
mod network;
mod permissions;
mod server;
mod session;

pub use backend::{Backend, BackendGone, HistoryKind, HistoryPage, HistoryQuery};
pub use limits::Limits;
pub use permissions::{Grant, Permissions, PermissionsError};
pub use server::serve;
