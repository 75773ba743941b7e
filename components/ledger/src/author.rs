//! Our own log: what we may write into it, and when it is signed.
//!
//! An operation takes effect when it is written, is durable with the transaction that wrote it, and is signed only for
//! a live connection. Until then a `Request` can still be withdrawn and a `Commit` can still become an `Abort`.

use crate::epoch::{Epoch, Queued};
use crate::key::{AccountKey, Side};
use crate::log::{SentStatement, advance};
use crate::pending::{Direction, Pending, Stage};
use crate::view::ViewUpdate;
use offst_crypto::{Hash, Preimage, PublicKey, Signer, sha256};
use offst_proto::Amount;
use offst_proto::limits::{CHECKPOINT_EVERY, OPERATIONS_MAX, PENDING_MAX, STATEMENT_BYTES_MAX, UNACKNOWLEDGED_MAX};
use offst_proto::payment::CancelReason;
use offst_proto::statement::{Answer, Operation, Request, Statement, Totals};
use offst_proto::{RequestId, Verified};
use std::sync::Arc;

/// Why an operation cannot be written. Each is an answer to a caller, nobody's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAllowed {
    /// The account has no epoch, or it was stopped.
    #[error("the account is not active")]
    NotActive,
    /// The friend takes no requests.
    #[error("the friend takes no requests")]
    Closed,
    /// The friend's limit leaves too little room.
    #[error("only {room} can be sent to the friend now")]
    NoCapacity {
        /// Credits that could be sent.
        room: u128,
    },
    /// Too many requests are pending.
    #[error("too many requests are pending with this friend")]
    Busy,
    /// A request with this id is pending on this account already.
    #[error("a request with this id is pending already")]
    Duplicate,
    /// The request is not pending here, or has not come so far, or too far.
    #[error("the request is not at the stage that this operation needs")]
    WrongStage,
}

/// What became of a request that we gave up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AbortOutcome {
    /// It had never been signed: it is gone as if it had never been written.
    Withdrawn,
    /// The friend was told, and has still to cancel.
    Aborted,
}

/// What came of [`crate::Account::sign`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignOutcome {
    /// Nothing to say.
    Nothing,
    /// One statement; ask again.
    Signed(Arc<[u8]>),
    /// The friend has to acknowledge before more is signed.
    WindowFull,
}

/// What one statement may carry of requests and the like, without its fixed fields and a full window of cancels.
const OPERATION_BYTES_MAX: usize = STATEMENT_BYTES_MAX - 2048;

/// An upper bound for the encoded size of an operation.
fn bytes_max(operation: &Operation) -> usize {
    match operation {
        Operation::Request(request) => 256 + request.path.len() * PublicKey::LEN,
        _ => 160,
    }
}

impl Epoch {
    fn write(&mut self, operation: Operation, moved: Amount) {
        self.mine.totals =
            advance(&self.mine.totals, &operation, moved).expect("our own totals stay far below their bound");
        self.queue.insert(self.queue_next, Queued { operation, moved });
        self.queue_next += 1;
    }

    /// Reserves credits and asks the friend to forward them.
    pub(crate) fn request(&mut self, request: Request, terms: Hash) -> Result<(), NotAllowed> {
        let key = (Direction::Outgoing, request.id);
        if self.local_view.get(key).is_some() {
            return Err(NotAllowed::Duplicate);
        }
        if !self.theirs.open {
            return Err(NotAllowed::Closed);
        }
        if self.pending_count(Direction::Outgoing) >= PENDING_MAX {
            return Err(NotAllowed::Busy);
        }
        // R1.12.
        let room = self.send_capacity();
        let held = request.checked_held().filter(|held| held.credits() <= room);
        let held = held.ok_or(NotAllowed::NoCapacity { room })?;
        self.local_view.set(key, Some(Pending { held, terms, stage: Stage::Requested }));
        self.write(Operation::Request(Box::new(request)), held);
        Ok(())
    }

    /// Changes the stage of a request of `direction`.
    fn step(
        &mut self,
        direction: Direction,
        id: RequestId,
        next: impl FnOnce(Stage) -> Option<Stage>,
    ) -> Result<(), NotAllowed> {
        let pending = *self.local_view.get((direction, id)).ok_or(NotAllowed::WrongStage)?;
        let stage = next(pending.stage).ok_or(NotAllowed::WrongStage)?;
        self.local_view.set((direction, id), Some(Pending { stage, ..pending }));
        Ok(())
    }

    /// Passes the destination's answer on.
    pub(crate) fn respond(&mut self, answer: Answer) -> Result<(), NotAllowed> {
        self.step(Direction::Incoming, answer.id, |stage| stage.respond(answer.lock).ok().flatten())?;
        self.write(Operation::Response(answer), Amount::ZERO);
        Ok(())
    }

    /// Promises to pay for the preimage.
    pub(crate) fn commit(&mut self, id: RequestId) -> Result<(), NotAllowed> {
        self.step(Direction::Outgoing, id, |stage| stage.commit().ok())?;
        self.write(Operation::Commit { id }, Amount::ZERO);
        Ok(())
    }

    /// Gives a request up that no signed `Commit` binds.
    pub(crate) fn abort(&mut self, id: RequestId) -> Result<AbortOutcome, NotAllowed> {
        let key = (Direction::Outgoing, id);
        let pending = *self.local_view.get(key).ok_or(NotAllowed::WrongStage)?;
        let queued = |wanted: fn(&Operation) -> bool| {
            self.queue
                .iter()
                .find(|(_, queued)| queued.operation.request_id() == Some(id) && wanted(&queued.operation))
                .map(|(counter, _)| *counter)
        };
        match pending.stage {
            Stage::Requested => {
                if let Some(counter) = queued(|operation| matches!(operation, Operation::Request(_))) {
                    self.queue.remove(&counter);
                    self.local_view.set(key, None);
                    self.mine.totals.requested -= pending.held.credits();
                    return Ok(AbortOutcome::Withdrawn);
                }
            }
            Stage::Committed(lock) => {
                let counter = queued(|operation| matches!(operation, Operation::Commit { .. }));
                // R1.17.
                self.queue.remove(&counter.ok_or(NotAllowed::WrongStage)?);
                self.local_view.set(key, Some(Pending { stage: Stage::Responded(lock), ..pending }));
            }
            Stage::Responded(_) | Stage::Aborted => {}
        }
        self.step(Direction::Outgoing, id, |stage| stage.abort().ok())?;
        self.write(Operation::Abort { id }, Amount::ZERO);
        Ok(AbortOutcome::Aborted)
    }

    /// Takes the pending credits for the preimage.
    pub(crate) fn collect(&mut self, id: RequestId, preimage: Preimage) -> Result<(), NotAllowed> {
        let key = (Direction::Incoming, id);
        let pending = self.local_view.get(key).ok_or(NotAllowed::WrongStage)?;
        pending.stage.collect(&preimage).map_err(|_| NotAllowed::WrongStage)?;
        let amount = pending.held;
        self.local_view.set(key, None);
        self.write(Operation::Collect { id, preimage }, amount);
        Ok(())
    }

    /// Releases the pending credits.
    /// (R1.14.)
    pub(crate) fn cancel(&mut self, id: RequestId, reason: CancelReason, hop: PublicKey) -> Result<(), NotAllowed> {
        let pending = self.local_view.set((Direction::Incoming, id), None).ok_or(NotAllowed::WrongStage)?;
        self.write(Operation::Cancel { id, reason, hop }, pending.held);
        Ok(())
    }

    pub(crate) fn set_limit(&mut self, limit: Amount) {
        if self.mine.limit != limit {
            self.mine.limit = limit;
            // Only the last value counts, so the queue does not grow while the friend is away.
            self.queue.retain(|_, queued| !matches!(queued.operation, Operation::SetLimit(_)));
            self.write(Operation::SetLimit(limit), Amount::ZERO);
        }
    }

    pub(crate) fn set_open(&mut self, open: bool) {
        if self.mine.open != open {
            self.mine.open = open;
            self.queue.retain(|_, queued| !matches!(queued.operation, Operation::SetOpen(_)));
            self.write(Operation::SetOpen(open), Amount::ZERO);
        }
    }

    fn window_is_full(&self) -> bool {
        self.unacknowledged.iter().filter(|sent| sent.has_operations).count() >= UNACKNOWLEDGED_MAX
    }

    /// Whether a last statement would tell the friend something before this side falls idle: an acknowledgement, or a
    /// checkpoint behind operations that none covers.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.owes_acknowledgement || self.mine.checkpoint < self.mine.seq
    }

    /// Signs the next statement, if there is anything to say. `idle`: this is the last one for a while.
    pub(crate) fn sign(&mut self, key: &AccountKey, signer: &dyn Signer, idle: bool) -> SignOutcome {
        let full = self.window_is_full();
        let mut operations = Vec::new();
        let mut totals = self.signed_totals;
        if !full {
            let mut bytes = 0;
            while let Some(entry) = self.queue.first_entry() {
                bytes += bytes_max(&entry.get().operation);
                if operations.len() == OPERATIONS_MAX || bytes > OPERATION_BYTES_MAX {
                    break;
                }
                let queued = entry.remove();
                totals = advance(&totals, &queued.operation, queued.moved)
                    .expect("our own totals stay far below their bound");
                operations.push(queued.operation);
            }
        }
        if operations.is_empty() {
            let must_acknowledge = self.owes_acknowledgement && (idle || full);
            let must_settle = idle && !full && self.is_unsettled();
            if !must_acknowledge && !must_settle {
                return if self.queue.is_empty() { SignOutcome::Nothing } else { SignOutcome::WindowFull };
            }
        }
        SignOutcome::Signed(self.seal(operations, totals, key, signer, idle))
    }

    /// Signs the next statement of our log.
    fn seal(
        &mut self,
        operations: Vec<Operation>,
        totals: Totals,
        key: &AccountKey,
        signer: &dyn Signer,
        is_last: bool,
    ) -> Arc<[u8]> {
        let seq = self.mine.seq + 1;
        let updates = ViewUpdate::all(&operations, Side::Local, key);
        // R1.18.
        let is_checkpoint = is_last || seq - self.mine.checkpoint >= CHECKPOINT_EVERY;
        let pending_hash = is_checkpoint.then(|| {
            let mut view = self.signed_view();
            for update in &updates {
                view.apply_remote(update);
            }
            sha256(&view.checkpoint(key, &self.agreed))
        });
        let statement = Verified::sign(
            Statement {
                author: key.local,
                other: key.remote,
                currency: key.currency.clone(),
                epoch: self.number,
                seq,
                prev_hash: self.mine.hash,
                ack_seq: self.theirs.seq,
                ack_hash: self.theirs.hash,
                operations,
                totals,
                pending_hash,
            },
            signer,
        );
        let wire = statement.wire().clone();
        self.signed_totals = totals;
        self.mine.seq = seq;
        self.mine.hash = statement.hash();
        if is_checkpoint {
            self.mine.checkpoint = seq;
        }
        self.acknowledging = self.theirs.seq;
        self.owes_acknowledgement = false;
        self.unacknowledged.push_back(SentStatement::new(&statement, updates));
        wire
    }
}
