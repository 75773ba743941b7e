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
//! | `seller`, `buyer` | being paid, paying |
//! | `config`, `reports` | the owner's commands and what he is told |
//! | `reset` | accepting a friend's terms |
//! | `start` | taking up what the last run left |
//! | `records`, `timers` | what is kept |

mod buyer;
mod command;
mod config;
mod evidence;
mod friends;
mod guard;
mod io;
mod machine;
mod mediator;
mod records;
mod reports;
mod reset;
mod seller;
mod start;
mod timers;

pub use command::{Command, CommandId, Reply};
pub use io::{ConnectionId, Contact, Environment, Input, Moment, Output, Timing};
pub use machine::{Batch, Change, Commit, Effects, Funder, FunderImage};
pub use records::{
    Arrival, Forward, FriendRecord, HopKey, InvoiceRecord, LineKey, Part, Payment, Progress, Promise, Standing,
};
