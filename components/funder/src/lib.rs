//! A whole node without IO: friends, invoices, payments and forwarding as inputs and effects (protocol section 2).
//!
//! ```text
//! Input -> Batch::handle (any number) -> Batch::finish -> Effects -> Effects::commit -> (Funder, Vec<Output>)
//! ```
//!
//! | file | what it holds |
//! |---|---|
//! | `io` | inputs, outputs, durations |
//! | `command` | what applications ask for |
//! | `machine` | batches, effects, the rows to write |
//! | `friends` | connections, and what the accounts report |
//! | `evidence` | what friends show each other when one has lost its state |
//! | `mediator` | carrying requests on |
//! | `guard` | how much one friend may freeze |
//! | `seller` | being paid |
//! | `buyer`, `settlement` | paying until the commit, and from there |
//! | `budget` | what an application may still spend |
//! | `quote` | what paying would cost |
//! | `clearing` | rings of debts |
//! | `refusals`, `silences`, `reasons` | what did not work lately, who said nothing, and why in words |
//! | `config`, `reports` | the owner's commands and what he is told |
//! | `peer_backup` | what friends keep for each other |
//! | `resolve` | telling a friend how its requests ended |
//! | `recovery` | after this node has lost a part of its state |
//! | `relink` | its requests find each other again |
//! | `journal` | what is only ever added |
//! | `archive` | what is looked up in the database beside everything else |
//! | `reset` | accepting a friend's terms |
//! | `write_off` | releasing what a friend holds for too long, at the owner's risk |
//! | `proofs` | what a friend has collected on an account that stopped |
//! | `succession` | a friend that has lost its key goes on under another one |
//! | `start` | taking up what the last run left |
//! | `records`, `timers` | what is kept |
//! | `rows` | what is kept, for checks from outside |

mod archive;
mod budget;
mod buyer;
mod clearing;
mod command;
mod config;
mod evidence;
mod friends;
mod guard;
mod io;
mod journal;
mod machine;
mod mediator;
mod obligations;
mod peer_backup;
mod proofs;
mod quote;
mod reasons;
mod records;
mod recovery;
mod refusals;
mod relink;
mod reports;
mod reset;
mod resolve;
mod rows;
mod seller;
mod settlement;
mod silences;
mod start;
mod succession;
mod timers;
mod write_off;

pub use archive::{Archive, Found, Inquiry};
pub use budget::{Spending, Spendings, budget_reports};
pub use command::{Command, CommandId, Reply};
pub use io::{ConnectionId, Contact, Environment, Input, Moment, Output, Timing};
pub use journal::{ForwardedPayment, JournalKey, PEER_BACKUPS, ReceivedPayment};
pub use machine::{Batch, Effects, Funder};
pub use offst_ledger::{AccountId, RequestRef};
pub use records::{
    Arrival, Circle, Forward, FriendRecord, IndexServer, InvoiceRecord, Part, Payment, Progress, Promise, Relay,
    Replacement, Settings, Standing, Tombstone,
};
pub use recovery::{RecoveryRecord, lost_friend};
pub use write_off::WriteOff;
