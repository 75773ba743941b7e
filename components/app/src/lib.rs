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
//!
//! Paying an invoice needs the permission `buyer`. The id makes it safe to order again when the connection was lost:
//!
//! ```no_run
//! use offst_app::{App, AppError, Order, Purpose};
//! use offst_crypto::{Ed25519Verifier, SystemRandom};
//! use offst_proto::PaymentId;
//! use offst_proto::invoice::Invoice;
//! use offst_proto::report::PaymentStatus;
//!
//! async fn pay(app: &App, line: &str) -> Result<bool, Box<dyn std::error::Error>> {
//!     let invoice = Invoice::from_text(line, &Ed25519Verifier)?;
//!     let order = Order {
//!         payment_id: PaymentId::random(&mut SystemRandom::new()),
//!         purpose: Purpose::Invoice(invoice),
//!         max_fee: Some(5.into()),
//!         timeout_ms: 60_000,
//!     };
//!     let payment = match app.pay(&order).await {
//!         // It may be paid all the same: connect again, and order it again under the same id.
//!         Err(AppError::Disconnected(_)) => return Ok(false),
//!         payment => payment?,
//!     };
//!     println!("{} credits and {} for the mediators", payment.amount, payment.fees);
//!     Ok(payment.status == PaymentStatus::Paid)
//! }
//! ```
//!
//! Selling needs the permission `seller`:
//!
//! ```no_run
//! use offst_app::{App, AppError, NewInvoice};
//! use offst_proto::Currency;
//! use offst_proto::report::InvoiceStatus;
//!
//! async fn sell(app: &App) -> Result<InvoiceStatus, AppError> {
//!     let invoice = NewInvoice {
//!         amount: 120.into(),
//!         currency: Currency::default(),
//!         description: "Two loaves of bread".into(),
//!         expiry_ms: Some(3_600_000),
//!     };
//!     let invoice = app.create_invoice(&invoice).await?;
//!     println!("{}", invoice.to_text());
//!     app.wait_invoice(invoice.id).await
//! }
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
