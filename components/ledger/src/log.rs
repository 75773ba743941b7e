//! One side's log: its running totals, and the check that a statement continues it.
//!
//! The check is the same for the friend that receives the statement, for a node that gets its own log back, and for an audit. It needs the author's view of the pending requests and the statements of the other side that the author had not
//! acknowledged before.

use crate::fault::Fault;
use crate::key::{AccountKey, Side};
use crate::view::{UndoRecord, View, ViewUpdate};
use offst_crypto::{Hash, sha256};
use offst_proto::Amount;
use offst_proto::Verified;
use offst_proto::limits::{CHECKPOINT_WITHIN, PENDING_MAX};
use offst_proto::statement::{Operation, Statement, Totals};
use std::collections::VecDeque;
use std::sync::Arc;

/// How far one side's log has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// The newest statement; 0 before the first.
    pub seq: u64,
    /// Its hash; that of the agreement before the first.
    pub hash: Hash,
    /// Running totals. In our own log: with the operations that wait to be signed.
    pub totals: Totals,
    /// What the log's owner lets the other side owe, credits.
    pub limit: Amount,
    /// Whether the log's owner takes requests.
    pub open: bool,
    /// The newest statement with a checkpoint; 0 for none.
    pub checkpoint: u64,
}

impl Log {
    pub(crate) fn new(agreed: Hash, requested: u128) -> Self {
        Log {
            seq: 0,
            hash: agreed,
            totals: Totals { requested, ..Totals::default() },
            limit: 0.into(),
            open: false,
            checkpoint: 0,
        }
    }
}

/// A signed statement that the other side has not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SentStatement {
    pub(crate) seq: u64,
    pub(crate) hash: Hash,
    pub(crate) wire: Arc<[u8]>,
    /// The newest statement of the other side that it acknowledges.
    pub(crate) acknowledges: u64,
    pub(crate) has_operations: bool,
    /// What the other side applies to its view when it acknowledges the statement.
    pub(crate) updates: Vec<ViewUpdate>,
}

impl SentStatement {
    pub(crate) fn new(statement: &Verified<Statement>, updates: Vec<ViewUpdate>) -> SentStatement {
        SentStatement {
            seq: statement.seq,
            hash: statement.hash(),
            wire: statement.wire().clone(),
            acknowledges: statement.ack_seq,
            has_operations: !statement.operations.is_empty(),
            updates,
        }
    }
}

/// The place in a log where the next statement is expected.
pub(crate) struct LogCursor<'a> {
    pub(crate) account: &'a AccountKey,
    /// Number and hash of the agreement.
    pub(crate) epoch: (u64, Hash),
    pub(crate) author: Side,
    pub(crate) log: Log,
    /// The newest statement of the other side that the author has acknowledged.
    pub(crate) acknowledged: (u64, Hash),
    /// Statements of the other side after that one.
    pub(crate) unacknowledged: &'a VecDeque<SentStatement>,
    /// The view holds what the other side signed up to here, though the author may acknowledge it only later: which operations of
    /// the author's have crossed is not known until then.
    pub(crate) view_is_ahead_to: u64,
}

/// What a statement that continues its log has brought about.
pub(crate) struct Followed {
    pub(crate) log: Log,
    /// The author's updates with the credits of their requests.
    pub(crate) updates: Vec<(ViewUpdate, Amount)>,
    /// How many of the other side's unacknowledged statements it acknowledges.
    pub(crate) newly_acknowledged: usize,
    /// The bytes whose hash its checkpoint is.
    pub(crate) checkpoint: Option<Vec<u8>>,
}

impl LogCursor<'_> {
    /// How many of the other side's unacknowledged statements `statement` acknowledges.
    /// (R1.3.)
    pub(crate) fn newly_acknowledged(&self, statement: &Statement) -> Result<usize, Fault> {
        let shown = (statement.ack_seq, statement.ack_hash);
        if shown == self.acknowledged {
            return Ok(0);
        }
        if shown.0 > self.acknowledged.0 && shown.0 < self.view_is_ahead_to {
            return Ok(0);
        }
        self.unacknowledged
            .iter()
            .position(|sent| (sent.seq, sent.hash) == shown)
            .map(|index| index + 1)
            .ok_or(Fault::WrongAcknowledgement)
    }

    /// Whether `statement` is the next one of this log.
    pub(crate) fn expects(&self, statement: &Verified<Statement>) -> Result<(), Fault> {
        // R1.1.
        let is_here = statement.author == self.account.of(self.author)
            && statement.other == self.account.of(self.author.other())
            && statement.currency == self.account.currency
            && statement.epoch == self.epoch.0;
        if !is_here {
            return Err(Fault::NotContinuing);
        }
        // R1.7.
        if statement.seq == self.log.seq && statement.hash() != self.log.hash {
            return Err(Fault::Equivocation);
        }
        // R1.2.
        if self.log.seq.checked_add(1) != Some(statement.seq) || statement.prev_hash != self.log.hash {
            return Err(Fault::NotContinuing);
        }
        Ok(())
    }

    /// Checks the next statement and brings the author's view to it. On a fault the view is as it was.
    pub(crate) fn follow(&self, view: &mut View, statement: &Verified<Statement>) -> Result<Followed, Fault> {
        self.expects(statement)?;
        let newly_acknowledged = self.newly_acknowledged(statement)?;
        let heard = self.unacknowledged.iter().take(newly_acknowledged).flat_map(|sent| &sent.updates);
        let mut undo: Vec<_> = heard.filter_map(|update| view.apply_remote(update)).collect();
        let followed = self.apply(view, &mut undo, newly_acknowledged, statement);
        if followed.is_err() {
            undo.into_iter().rev().for_each(|record| view.undo(record));
        }
        followed
    }

    fn apply(
        &self,
        view: &mut View,
        undo: &mut Vec<UndoRecord>,
        newly_acknowledged: usize,
        statement: &Verified<Statement>,
    ) -> Result<Followed, Fault> {
        let mut log = self.log;
        let mut updates = Vec::with_capacity(statement.operations.len());
        let is_ahead = statement.ack_seq < self.view_is_ahead_to;
        for operation in &statement.operations {
            let mut held = Amount::ZERO;
            if let Some(update) = ViewUpdate::of(operation, self.author, self.account) {
                let pays = self.author.pays();
                // Above the bound requests are refused, which is no fault; a set without any bound could not be shown in a frame.
                // R1.11.
                if matches!(operation, Operation::Request(_)) && view.count(pays) >= 2 * PENDING_MAX && !is_ahead {
                    return Err(Fault::TooManyRequests);
                }
                // R1.8.
                match view.apply_local(&update) {
                    Ok(record) => {
                        held = record.held;
                        undo.push(record);
                    }
                    Err(_) if is_ahead && update.may_cross() => {}
                    Err(_) => return Err(Fault::WrongStage),
                }
                updates.push((update, held));
            }
            match operation {
                Operation::SetLimit(limit) => log.limit = *limit,
                Operation::SetOpen(open) => log.open = *open,
                _ => {}
            }
            log.totals = advance(&log.totals, operation, held).ok_or(Fault::OutOfRange)?;
        }
        // R1.4.
        if log.totals != statement.totals {
            return Err(Fault::WrongTotals);
        }
        log.seq = statement.seq;
        log.hash = statement.hash();
        let mut checkpoint = None;
        if let Some(hash) = statement.pending_hash {
            log.checkpoint = statement.seq;
            let bytes = view.checkpoint(self.account, &self.epoch.1);
            // R1.18.
            if !is_ahead && sha256(&bytes) != hash {
                return Err(Fault::OtherPendings);
            }
            checkpoint = Some(bytes);
        // R1.19.
        } else if log.seq - log.checkpoint >= CHECKPOINT_WITHIN {
            return Err(Fault::NoCheckpoint);
        }
        Ok(Followed { log, updates, newly_acknowledged, checkpoint })
    }
}

/// `opening + collected(mine) - collected(theirs)`.
pub(crate) fn balance(opening: i128, mine: &Totals, theirs: &Totals) -> i128 {
    // Totals never pass 2^126 (see `advance`) and an opening balance never 2^96.
    let signed = |total: u128| i128::try_from(total).expect("totals are at most 2^126");
    opening + (signed(mine.collected) - signed(theirs.collected))
}

/// `requested` of the upstream's log less what the downstream's log has released.
pub(crate) fn pending(upstream: &Totals, downstream: &Totals) -> u128 {
    checked_pending(upstream, downstream).expect("no more is released than was requested")
}

pub(crate) fn checked_pending(upstream: &Totals, downstream: &Totals) -> Option<u128> {
    upstream.requested.checked_sub(downstream.collected)?.checked_sub(downstream.cancelled)
}

/// `limit + balance - pending`, or 0 when that is negative.
pub(crate) fn room(limit: Amount, balance: i128, pending: u128) -> u128 {
    let total = if balance >= 0 {
        limit.credits() + balance.unsigned_abs()
    } else {
        limit.credits().saturating_sub(balance.unsigned_abs())
    };
    total.saturating_sub(pending)
}

/// Totals after `operation`, which moves so many credits. `None` on overflow.
pub(crate) fn advance(totals: &Totals, operation: &Operation, moved: Amount) -> Option<Totals> {
    let mut totals = *totals;
    let field = match operation {
        Operation::Request(_) => &mut totals.requested,
        Operation::Collect { .. } => &mut totals.collected,
        Operation::Cancel { .. } => &mut totals.cancelled,
        Operation::Response(_)
        | Operation::Commit { .. }
        | Operation::Abort { .. }
        | Operation::SetLimit(_)
        | Operation::SetOpen(_) => return Some(totals),
    };
    *field = field.checked_add(moved.credits())?;
    is_in_range(&totals).then_some(totals)
}

/// Whether differences of such totals always fit i128.
/// (R1.13.)
pub(crate) fn is_in_range(totals: &Totals) -> bool {
    [totals.requested, totals.collected, totals.cancelled].iter().all(|total| *total <= u128::MAX / 4)
}
