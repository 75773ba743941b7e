//! Client library for applications that control an Offst node: read its reports, pay, make invoices, change its
//! configuration.
//!
//! An application has an identity of its own, which the node's owner trusts with some permissions
//! (`stnode trust --app app1.ticket --permissions buyer`), and the node's ticket, which says where the node is and which key
//! it has. [`connect`] makes the connection; everything else is a method of [`App`].
//!
//! The connection lives on one thread, so everything here runs inside a [`tokio::task::LocalSet`]. [`block_on`] is the
//! short way to have one:
//!
//! ```no_run
//! # fn run(ticket: offst_proto::ticket::ServerTicket, identity: offst_crypto::Identity) -> Result<(), Box<dyn std::error::Error>> {
//! offst_app::block_on(async {
//!     let app = offst_app::connect(&ticket, &identity).await?;
//!     for friend in app.friends().await? {
//!         println!("{} {}", friend.name, friend.online);
//!     }
//!     Ok::<_, offst_app::AppError>(())
//! })??;
//! # Ok(())
//! # }
//! ```

mod buyer;
mod config;
mod connect;
mod error;
mod reports;
mod seller;

pub use connect::{App, block_on, connect, connect_within};
pub use error::{AppError, Permission};
pub use offst_proto::order::{Destination, NewFriend, NewInvoice, Order, Purpose};
pub use reports::{News, Subscription};
