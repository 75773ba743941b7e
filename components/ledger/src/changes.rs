//! What a transaction has to write for an account.

use crate::event::Event;
use crate::pending::{Direction, Pending};
use crate::receive::Accepted;
use offst_proto::encoding::{Canonical, DecodeError, Decoder, Encoder};
use offst_proto::statement::{Operation, Statement};
use offst_proto::{RequestId, Verified};
use std::collections::BTreeSet;
use std::sync::Arc;

/// An operation that is durable but not signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedOperation {
    /// The operation.
    pub operation: Operation,
    /// Credits it moves between totals.
    pub amount: u128,
}

impl Canonical for QueuedOperation {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.u128(self.amount);
        encoder.value(&self.operation);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(QueuedOperation { amount: decoder.amount()?, operation: decoder.value()? })
    }
}

/// One row of an account that a transaction has to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountChange {
    /// The fixed part: logs, totals, limits.
    Head(Vec<u8>),
    /// The newest Openings.
    Negotiation(Vec<u8>),
    /// Both Openings that the epoch rests on.
    Openings(Vec<u8>),
    /// The set of pending requests at the friend's newest checkpoint: the bytes whose hash it has signed.
    Checkpoint(Vec<u8>),
    /// A pending request; none: it ended.
    Pending(Direction, RequestId, Option<Pending>),
    /// An operation that waits to be signed, by its counter; none: it was signed or taken back.
    Queued(u64, Option<QueuedOperation>),
    /// A statement: ours (`true`) or the friend's, by its seq.
    Statement(bool, u64, Arc<[u8]>),
    /// Statements below this seq are not needed any more.
    DropStatements(bool, u64),
    /// A new epoch: all rows of the old one but head and negotiation go before the other changes.
    Clear,
}

/// What has changed since the last transaction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Marks {
    pub(crate) head: bool,
    pub(crate) negotiation: bool,
    pub(crate) pendings: BTreeSet<(Direction, RequestId)>,
    /// Everything is new: rows of an older epoch go first.
    pub(crate) clear: bool,
    /// Counters of the queued operations that earlier transactions have written.
    pub(crate) queue_stored: BTreeSet<u64>,
    pub(crate) statements: Vec<(bool, u64, Arc<[u8]>)>,
    /// The set at a checkpoint of the friend's that arrived.
    pub(crate) checkpoint: Option<Vec<u8>>,
    /// Statements below these were dropped: ours, the friend's.
    pub(crate) dropped_below: [u64; 2],
}

impl Marks {
    pub(crate) fn everything() -> Self {
        Marks { head: true, negotiation: true, clear: true, ..Marks::default() }
    }

    pub(crate) fn received(&mut self, statement: &Verified<Statement>, accepted: &Accepted) {
        self.head = true;
        self.statements.push((false, statement.seq, statement.wire().clone()));
        if accepted.checkpoint.is_some() {
            self.checkpoint.clone_from(&accepted.checkpoint);
        }
        for event in &accepted.events {
            match event {
                Event::Requested { request, .. } => {
                    self.pendings.insert((Direction::Incoming, request.id));
                }
                Event::Committed(id) | Event::Aborted(id) => {
                    self.pendings.insert((Direction::Incoming, *id));
                }
                Event::Responded(answer) => {
                    self.pendings.insert((Direction::Outgoing, answer.id));
                }
                Event::Collected { id, .. } | Event::Cancelled { id, .. } => {
                    self.pendings.insert((Direction::Outgoing, *id));
                }
                Event::LimitChanged | Event::EpochBegan { .. } => {}
            }
        }
    }

    pub(crate) fn signed(&mut self, seq: u64, wire: Arc<[u8]>) {
        self.head = true;
        self.statements.push((true, seq, wire));
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.head && !self.negotiation && self.pendings.is_empty() && !self.clear
    }
}
