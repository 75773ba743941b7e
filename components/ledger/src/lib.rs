//! One account between two friends in one currency: two signed logs (protocol section 1). The part with money in it.
//!
//! An [`Account`] is a value without IO: it is told what the friend sent and what the node wants, and it says what follows.
//! Time, randomness and signing are arguments.
//!
//! | file | what it holds |
//! |---|---|
//! | `key` | how an account is named |
//! | `pending` | a request's stages on one account, and every transition between them |
//! | `view` | the pending requests as one side sees them, and what each operation does to them |
//! | `log` | one side's log, and the check that a statement continues it |
//! | `epoch` | the state between two Openings: both logs, totals, limits, the invariants |
//! | `author` | our own log: what we may write, when we sign |
//! | `receive` | the friend's log: what we believe, and what follows |
//! | `fault`, `event`, `stop` | what is wrong with a statement, what it means, why an account stops |
//! | `negotiation` | Openings: how an epoch starts, and starts again |
//! | `account` | an account as a whole, stopping |
//! | `resume` | reconnecting: going on, other terms, lost state |
//! | `replay` | an epoch again, from nothing but what both sides have signed |
//! | `recovery` | how far an account's own state can be relied on, and what recovering it has to remember |
//! | `suspect` | an account whose own state may be old: what is not signed any more, what waits for the next epoch |
//! | `evidence`, `transfer` | showing what both have signed, and taking what a friend shows |
//! | `friend_statement` | what evidence proves to a third person |
//! | `audit` | an account's rows against the signatures that are kept with them |
//! | `changes`, `image` | the account as it lies in a database |

mod account;
mod audit;
mod author;
mod changes;

mod epoch;
mod event;
mod evidence;
mod fault;
mod friend_statement;
mod image;
mod key;
mod log;
mod negotiation;
mod pending;
mod receive;
mod recovery;
mod replay;
mod resume;
mod stop;
mod suspect;
mod transfer;
mod view;

pub use account::Account;
pub use audit::{Proof, Proven, Unproven, audit};
pub use author::{AbortOutcome, NotAllowed, SignOutcome};
pub use epoch::Epoch;
pub use event::Event;
pub use evidence::{EvidenceOutcome, EvidenceRows};
pub use fault::Fault;
pub use friend_statement::{Acknowledged, MadeStatement, NoStatement, NothingProven, acknowledged, friend_statement};
pub use image::{
    ACCOUNT_KINDS, ACCOUNTS, AccountImage, CHECKPOINTS, NEGOTIATIONS, OPENINGS, PENDING_REQUESTS, QUEUED_OPERATIONS,
    QueuedOperation, STATEMENTS, pending_key, stored_accounts,
};
pub use key::{AccountId, AccountKey, RequestRef};
pub use log::Log;
pub use negotiation::{Agreement, Floor, Negotiation, Terms};
pub use pending::{Direction, Pending, Stage};
pub use recovery::Head;
pub use replay::{Checkpoint, Contradiction, Replay};
pub use resume::ResumeOutcome;
pub use stop::{Status, StopReason};
pub use transfer::EvidenceRefused;

#[cfg(test)]
mod tests;
