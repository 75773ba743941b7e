//! One account between two friends in one currency: two signed logs (protocol section 1). The part with money in it.
//!
//! An [`Account`] is a value without IO: it is told what the friend sent and what the node wants, and it says what follows.
//! Time, randomness and signing are arguments.
//!
//! | file | what it holds |
//! |---|---|
//! | `key` | how an account is named |
//! | `pending` | a request's stages on one account, and every step between them |
//! | `epoch` | the state between two Openings: both logs, totals, limits, the invariants |
//! | `author` | our own log: what we may write, when we sign |
//! | `receive` | the friend's log: what we believe, what is a fault |
//! | `negotiation` | Openings: how an epoch starts, and starts again |
//! | `account` | an account as a whole, stopping |
//! | `resume` | reconnecting: going on, other terms, lost state |
//! | `image` | the account as it lies in a database |
//! | `mutant` | deliberate bugs that the simulator must catch; in no program |

mod account;
mod author;
mod epoch;
mod image;
mod key;
pub mod mutant;
mod negotiation;
mod pending;
mod receive;
mod resume;

pub use account::{Account, Status, StopReason};
pub use author::{AbortOutcome, NotAllowed, SignOutcome};
pub use epoch::{Epoch, Log};
pub use image::{AccountChange, AccountImage, QueuedOperation};
pub use key::AccountKey;
pub use negotiation::{Negotiation, Terms};
pub use pending::{Direction, Pending, Stage};
pub use receive::{Event, Fault};
pub use resume::ResumeOutcome;

#[cfg(test)]
mod tests;
