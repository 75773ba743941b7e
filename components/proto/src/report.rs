//! What a node tells its owner: the answers of the application interface. Each report is defined once, with both codecs of the wire
//! beside it; its JSON is the derived one (docs/json.md shows all of it), which `stctrl --json` prints.
//!
//! ```
//! use offst_proto::report::{Event, PaymentStatus};
//! use offst_proto::PaymentId;
//!
//! let event = Event::PaymentChanged { payment_id: PaymentId::from_bytes([17; 16]), status: PaymentStatus::Paid };
//! let json = serde_json::to_string(&event)?;
//! assert_eq!(json, r#"{"event":"payment_changed","payment_id":"EREREREREREREREREREREQ","status":"paid"}"#);
//! # Ok::<(), serde_json::Error>(())
//! ```

mod answer;
mod clearing;
mod event;
mod friend;
mod friend_statement;
mod history;
mod key_replacement;
mod page;
mod payment;
mod quote;
mod server;
mod write_off;

pub use clearing::ClearingReport;
pub use event::Event;
pub use friend::{AccountReport, AccountStatus, Balance, FriendReport, OverdueReport};
pub use friend_statement::{FriendStatementQuery, FriendStatementReport};
pub use history::{ForwardReport, InvoiceReport, InvoiceStatus, ReceivedReport};
pub use key_replacement::{KeyReplacementReport, SignedReplacements};
pub use page::{Listed, PAGE_MAX, Page, PageQuery};
pub use payment::{PaymentKind, PaymentReport, PaymentStatus};
pub use quote::QuoteReport;
pub use server::{ContactReport, ServerReport, ServerState};
pub use write_off::{Held, WriteOffReport};

#[cfg(test)]
mod tests;
