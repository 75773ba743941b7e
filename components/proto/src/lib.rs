//! Message types, limits, signed bytes and codecs: everything that two parties must agree on.
//!
//! The only crate that sees the wire schemas. What is signed has a canonical encoding of its own
//! ([`encoding`]); the messages around it are Cap'n Proto, one union a link.
//!
//! ```
//! use offst_crypto::{Ed25519Verifier, Identity, Secret, SystemRandom};
//! use offst_proto::invoice::Invoice;
//! use offst_proto::{Amount, Currency, InvoiceId, Verified};
//!
//! let seller = Identity::generate(&mut SystemRandom::new());
//! let invoice = Invoice {
//!     id: InvoiceId::random(&mut SystemRandom::new()),
//!     destination: seller.public_key(),
//!     currency: Currency::default(),
//!     amount: Amount::from(120),
//!     description: "Two loaves of bread".into(),
//!     expires_ms: None,
//!     secret: Secret::from_bytes([7; 32]),
//! };
//! // Signed by the seller, as a line of text for the buyer, who checks the signature.
//! let line = Verified::sign(invoice, &seller).to_text();
//! let read = Invoice::from_text(&line, &Ed25519Verifier)?;
//! assert_eq!((read.amount, read.destination), (Amount::from(120), seller.public_key()));
//! # Ok::<(), offst_proto::invoice::InvoiceError>(())
//! ```

pub mod amount;
pub mod app;
pub mod budget;
pub mod calendar;
pub mod checked_text;
pub mod currency;
pub mod encoding;
pub mod fee_bound;
mod frame;
pub mod friend;
pub mod friend_statement;
pub mod id;
pub mod index;
pub mod invitation;
pub mod invoice;
pub mod json;
pub mod key_replacement;
pub mod limits;
pub mod name;
pub mod opening;
pub mod order;
pub mod payment;
pub mod peer_backup;
pub mod rate;
pub mod receipt;
pub mod relay;
pub mod report;
pub mod resolve;
pub mod route;
pub mod signed;
pub mod statement;
#[cfg(test)]
mod test_values;
pub mod ticket;
mod toml_text;
pub mod wire;

pub use amount::Amount;
pub use currency::Currency;
pub use id::{InvoiceId, PaymentId, RequestId};
pub use rate::Rate;
pub use signed::{Signable, Unverified, Verified};
