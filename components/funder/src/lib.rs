//! A whole node without IO: friends, invoices, payments and forwarding as inputs and effects (protocol section 2).
//!
//! ```text
//! Input -> Batch::handle (any number) -> Batch::finish -> Effects -> Effects::commit -> (Funder, Vec<Output>)
//! ```
//!
//! | place | what it holds |
//! |---|---|
//! | `io`, `command` | inputs, outputs, durations; what applications ask for |
//! | `context` | what each part is lent for one batch |
//! | `funder` | batches and effects: where each input goes |
//! | `accounts` | friends and the accounts with them: the only part that signs |
//! | `payments` | payments of our own |
//! | `receiving` | being paid |
//! | `forwarding` | carrying requests on for others |
//! | `recovery` | after somebody has lost a part of its state |
//! | `owner` | what the owner sets, orders and is told |
//! | `origin` | whose request one of our outgoing requests is |
//! | `journal`, `timers` | what is only ever added, and what is due when |
//! | `archive` | what is looked up in the database beside everything else |
//! | `rows` | what is kept, for checks from outside |
//! | `ties` | whether each committed request belongs to something |
//! | `audit` | whether what the rows of a database say was signed, and belongs together |

mod accounts;
mod archive;
mod audit;
mod command;
mod context;
mod forwarding;
mod funder;
mod io;
mod journal;
mod origin;
mod owner;
mod payments;
mod receiving;
mod recovery;
mod rows;
mod ties;
mod timers;

pub use accounts::record::{FriendRecord, Replacement, Standing, Tombstone};
pub use archive::{Archive, Found, Inquiry};
pub use audit::{AuditedAccount, RowAudit, RowFindings};
pub use command::{Command, CommandId, Reply};
pub use forwarding::record::{Forward, WriteOff};
pub use funder::{Batch, Effects, Funder};
pub use io::{ConnectionId, Contact, Environment, Input, Moment, Output, Timing};
pub use journal::{ARCHIVED_KINDS, ForwardedPayment, JournalKey, PEER_BACKUPS, ReceivedPayment};
pub use offst_ledger::{AccountId, RequestRef};
pub use owner::record::{IndexServer, Relay, Settings};
pub use payments::budget::budget_reports;
pub use payments::record::{Cycle, Part, Payment, Progress, Promise};
pub use payments::spending::{Spending, Spendings};
pub use receiving::record::{InboundPart, InvoiceRecord};
pub use recovery::progress::RecoveryRecord;
pub use recovery::state_loss::lost_friend;
