//! What the two ends of an account sign and send: statements, openings and resumes (protocol section 1).
//!
//! Hashes are names here: a [`Link`] stands for the hash of a statement, an [`OpeningName`] for that of an Opening. An honest
//! end never makes two values of one name, because it signs each number once; a liar marks its second value.

use crate::request::{Id, Lock, PendingRequests};

/// The two ends of an account.
pub type Side = u8;

/// Stands for the hash of a statement, or of the agreement before the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Link {
    /// The statement's number, 0 before the first.
    pub seq: u8,
    /// A liar's other statement of this number.
    pub is_fork: bool,
}

/// Running totals of one log. They only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Totals {
    /// Sum of the author's Requests, with those that continue from the epoch before.
    pub requested: u8,
    /// Sum of its Collects.
    pub collected: u8,
    /// Sum of its Cancels.
    pub cancelled: u8,
}

/// One step in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Upstream: reserves credits.
    Request(Id, u8),
    /// Downstream: the destination is willing.
    Response(Id, Lock),
    /// Upstream: will pay for the preimage.
    Commit(Id),
    /// Upstream: gives up what it has not committed.
    Abort(Id),
    /// Downstream: takes the credits for the preimage.
    Collect(Id, Lock),
    /// Downstream: releases the credits.
    Cancel(Id),
    /// What the author lets the other end owe.
    SetLimit(u8),
    /// Whether the author takes requests.
    SetOpen(bool),
}

impl Totals {
    /// After an operation that moves `amount`.
    pub fn advanced(mut self, operation: Operation, amount: u8) -> Self {
        match operation {
            Operation::Request(..) => self.requested += amount,
            Operation::Collect(..) => self.collected += amount,
            Operation::Cancel(_) => self.cancelled += amount,
            Operation::Response(..)
            | Operation::Commit(_)
            | Operation::Abort(_)
            | Operation::SetLimit(_)
            | Operation::SetOpen(_) => {}
        }
        self
    }

    /// Whether no total is below what it was.
    pub fn has_grown_from(self, before: Totals) -> bool {
        self.requested >= before.requested && self.collected >= before.collected && self.cancelled >= before.cancelled
    }
}

/// One signed batch of one side's log.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Statement {
    /// The agreement that the log grows from: the hash chain covers it.
    pub agreed: Agreed,
    /// Which statement this is.
    pub link: Link,
    /// The author's statement before.
    pub previous: Link,
    /// The newest statement of the other side that the author has accepted.
    pub acknowledged: Link,
    /// What the author does.
    pub operations: Vec<Operation>,
    /// Running totals after these operations.
    pub totals: Totals,
    /// A checkpoint: the pending requests as the author sees them.
    pub checkpoint: Option<PendingRequests>,
}

/// Stands for the hash of an Opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpeningName {
    /// Who signs it.
    pub author: Side,
    /// The epoch it is for.
    pub epoch: u8,
    /// A liar's other Openings for this epoch.
    pub variant: u8,
}

/// What one side would have the account start with, from its side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Terms {
    /// Credits that the other side owes.
    pub balance: i8,
    /// Committed requests that continue.
    pub continuing: PendingRequests,
}

impl Terms {
    /// Seen from the other end.
    pub fn mirrored(self) -> Self {
        Terms { balance: -self.balance, continuing: self.continuing.mirrored() }
    }
}

/// The signed terms of one side for one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Opening {
    /// Its hash; also names author and epoch.
    pub name: OpeningName,
    /// What it says, from its author's side.
    pub terms: Terms,
    /// The Opening of the other side that it accepts.
    pub accepts: Option<OpeningName>,
}

/// Stands for the hash that both logs of an epoch grow from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Agreed {
    /// Two Openings of one epoch mirror each other; that of end 0 first.
    Both(OpeningName, OpeningName),
    /// This Opening accepts the other side's.
    Accepted(OpeningName),
}

impl Agreed {
    /// The epoch's number.
    pub fn epoch(self) -> u8 {
        match self {
            Agreed::Both(opening, _) | Agreed::Accepted(opening) => opening.epoch,
        }
    }
}

/// Where a side stands in its epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    /// The epoch.
    pub agreed: Agreed,
    /// The sender's newest statement.
    pub own: Link,
    /// The receiver's newest statement as the sender knows it.
    pub other: Link,
}

/// Where a side stands: sent when two friends connect, and whenever an Opening was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Resume {
    /// The sender's newest Opening.
    pub opening: Opening,
    /// The epoch that it has adopted.
    pub position: Option<Position>,
    /// The sender does not trust its own state, and asks to be shown what both have signed.
    pub recovering: bool,
}
