//! The friend's log: what is believed, and what is a fault.
//!
//! A fault is only what breaks the account's own arithmetic or the stages of its requests. Whatever else is wrong with a request
//! is the funder's business and ends in a `Cancel`. A statement is applied to a draft first, so that one with a fault leaves
//! nothing behind.

use crate::epoch::{Epoch, Log, Pendings, advance, balance, frozen, pending_hash, room};
use crate::key::AccountKey;
use crate::pending::{Direction, Pending, Stage};
use offst_crypto::{Preimage, PublicKey};
use offst_proto::limits::{PENDING_MAX, UNACKNOWLEDGED_MAX};
use offst_proto::payment::CancelReason;
use offst_proto::statement::{Answer, Operation, Request, Statement};
use offst_proto::{RequestId, Verified};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What an accepted statement of the friend's means for the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The friend asks us to carry a request on, or to receive it. `refusal`: it must be cancelled for this reason.
    Requested {
        /// What is asked.
        request: Box<Request>,
        /// Why this account cannot take it.
        refusal: Option<CancelReason>,
    },
    /// The destination answered a request of ours.
    Responded(Answer),
    /// The friend promises to pay for a preimage.
    Committed(RequestId),
    /// The friend gave a request up; it has still to be cancelled.
    Aborted(RequestId),
    /// The friend took the frozen credits.
    Collected {
        /// The request.
        id: RequestId,
        /// What opened the lock.
        preimage: Preimage,
    },
    /// The friend released the frozen credits.
    Cancelled {
        /// The request.
        id: RequestId,
        /// Why.
        reason: CancelReason,
        /// Which node refused, as far as the friend says.
        hop: PublicKey,
    },
    /// The friend's limit for us or its openness changed.
    LineChanged,
    /// An epoch began.
    EpochBegan {
        /// Requests of ours that it left out: their credits are free again.
        released: Vec<RequestId>,
        /// Requests of the friend's that it left out: they will not be paid.
        dropped: Vec<RequestId>,
    },
}

/// What is wrong with a statement: the friend's node, or ours, is broken or lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Another statement stands at this place of the log.
    #[error("the friend signed two different statements for one place of its log")]
    Equivocation,
    /// The statement does not continue the log.
    #[error("the friend's statement does not continue its log")]
    NotContinuing,
    /// It acknowledges what we never signed, or less than before.
    #[error("the friend acknowledges a statement that we never signed")]
    WrongAcknowledgement,
    /// A step that the request's stage does not allow.
    #[error("the friend's statement takes a step that the request's stage does not allow")]
    WrongStage,
    /// The totals are not the sums of the operations.
    #[error("the totals in the friend's statement are not the sums of its operations")]
    WrongTotals,
    /// The checkpoint shows other pending requests than ours.
    #[error("the friend sees other pending requests than we do")]
    OtherPendings,
    /// A limit above 2^96 or totals near the end of their range.
    #[error("the friend's statement holds a number out of its range")]
    OutOfRange,
    /// More statements on the way than the window allows.
    #[error("the friend sends statements without waiting for acknowledgements")]
    WindowPassed,
    /// Two different Openings of one epoch.
    #[error("the friend signed two different openings for one epoch")]
    TwoOpenings,
}

/// The account as it would be after the statement.
struct Draft<'a> {
    base: &'a Epoch,
    theirs: Log,
    pendings: PendingChanges,
    incoming_count: usize,
    events: Vec<Event>,
}

impl Draft<'_> {
    fn pending(&self, direction: Direction, id: RequestId) -> Option<Pending> {
        match self.pendings.get(&(direction, id)) {
            Some(changed) => *changed,
            None => self.base.pending(direction, id).copied(),
        }
    }

    fn set(&mut self, direction: Direction, id: RequestId, pending: Option<Pending>) {
        self.pendings.insert((direction, id), pending);
    }

    fn apply(&mut self, key: &AccountKey, crossed: &BTreeSet<RequestId>, operation: &Operation) -> Result<(), Fault> {
        let mut amount = 0;
        match operation {
            Operation::Request(request) => {
                amount = request.frozen();
                self.request(key, request)?;
            }
            Operation::Response(answer) => {
                let pending = self.pending(Direction::Outgoing, answer.id).ok_or(Fault::WrongStage)?;
                if let Some(stage) = pending.stage.respond(answer.lock).map_err(|_| Fault::WrongStage)? {
                    self.set(Direction::Outgoing, answer.id, Some(Pending { stage, ..pending }));
                    self.events.push(Event::Responded(*answer));
                }
            }
            Operation::Commit { id } => self.upstream_step(*id, crossed, Stage::commit, Event::Committed(*id))?,
            Operation::Abort { id } => self.upstream_step(*id, crossed, Stage::abort, Event::Aborted(*id))?,
            Operation::Collect { id, preimage } => {
                let pending = self.pending(Direction::Outgoing, *id).ok_or(Fault::WrongStage)?;
                pending.stage.collect(preimage).map_err(|_| Fault::WrongStage)?;
                // A `Commit` that we have not signed yet gives the friend nothing to collect.
                if self.base.commit_is_unsigned(*id) {
                    return Err(Fault::WrongStage);
                }
                amount = pending.amount;
                self.set(Direction::Outgoing, *id, None);
                self.events.push(Event::Collected { id: *id, preimage: *preimage });
            }
            Operation::Cancel { id, reason, hop } => {
                let pending = self.pending(Direction::Outgoing, *id).ok_or(Fault::WrongStage)?;
                amount = pending.amount;
                self.set(Direction::Outgoing, *id, None);
                self.events.push(Event::Cancelled { id: *id, reason: *reason, hop: *hop });
            }
            Operation::SetLimit(limit) => {
                self.theirs.limit = *limit;
                self.events.push(Event::LineChanged);
            }
            Operation::SetOpen(open) => {
                self.theirs.open = *open;
                self.events.push(Event::LineChanged);
            }
        }
        self.theirs.totals = advance(&self.theirs.totals, operation, amount).ok_or(Fault::OutOfRange)?;
        Ok(())
    }

    fn request(&mut self, key: &AccountKey, request: &Request) -> Result<(), Fault> {
        if self.pending(Direction::Incoming, request.id).is_some() {
            return Err(Fault::WrongStage);
        }
        let amount = request.frozen();
        // Limit and openness may have changed while the request was on its way, so this is never a fault.
        let balance = balance(self.base.opening_balance, &self.base.mine.totals, &self.theirs.totals);
        let room = room(self.base.mine.limit, -balance, frozen(&self.theirs.totals, &self.base.mine.totals));
        let refusal = if !self.base.mine.open {
            Some(CancelReason::Closed)
        } else if self.incoming_count >= PENDING_MAX {
            Some(CancelReason::Busy)
        } else if amount > room && !crate::mutant!(SkipLimitCheck) {
            Some(CancelReason::NoCapacity)
        } else {
            None
        };
        self.incoming_count += 1;
        let terms = request.terms(key.local, &key.currency).hash();
        self.set(Direction::Incoming, request.id, Some(Pending { amount, terms, stage: Stage::Requested }));
        self.events.push(Event::Requested { request: Box::new(request.clone()), refusal });
        Ok(())
    }

    fn upstream_step(
        &mut self,
        id: RequestId,
        crossed: &BTreeSet<RequestId>,
        step: impl FnOnce(Stage) -> Result<Stage, crate::pending::Misstep>,
        event: Event,
    ) -> Result<(), Fault> {
        match self.pending(Direction::Incoming, id) {
            Some(pending) => {
                let stage = step(pending.stage).map_err(|_| Fault::WrongStage)?;
                self.set(Direction::Incoming, id, Some(Pending { stage, ..pending }));
                self.events.push(event);
                Ok(())
            }
            None if crossed.contains(&id) => Ok(()),
            None => Err(Fault::WrongStage),
        }
    }
}

impl Epoch {
    /// Whether a `Commit` of ours for this request waits to be signed.
    pub(crate) fn commit_is_unsigned(&self, id: RequestId) -> bool {
        self.queue.values().any(|queued| matches!(&queued.operation, Operation::Commit { id: commit } if *commit == id))
    }

    /// Applies the next statement of the friend's log. On a fault nothing has changed.
    pub(crate) fn receive(&mut self, key: &AccountKey, statement: &Verified<Statement>) -> Result<Vec<Event>, Fault> {
        let is_ours =
            statement.author == key.remote && statement.other == key.local && statement.currency == key.currency;
        if !is_ours || statement.epoch != self.number {
            return Err(Fault::NotContinuing);
        }
        if statement.seq == self.theirs.seq && statement.hash() != self.theirs.hash {
            return Err(Fault::Equivocation);
        }
        if statement.seq != self.theirs.seq + 1 || statement.prev_hash != self.theirs.hash {
            return Err(Fault::NotContinuing);
        }
        let newly_acknowledged = self.acknowledged_by(statement)?;
        let window = self.window_after(statement, newly_acknowledged)?;
        let mut crossed = self.cancelled_unacknowledged.clone();
        for sent in self.unacknowledged.iter().take(newly_acknowledged) {
            for id in &sent.cancels {
                crossed.remove(id);
            }
        }
        let mut draft = Draft {
            theirs: self.theirs,
            incoming_count: self.pending_count(Direction::Incoming),
            pendings: BTreeMap::new(),
            events: Vec::new(),
            base: self,
        };
        for operation in &statement.operations {
            draft.apply(key, &crossed, operation)?;
        }
        if draft.theirs.totals != statement.totals {
            return Err(Fault::WrongTotals);
        }
        let Draft { mut theirs, pendings, events, .. } = draft;
        theirs.seq = statement.seq;
        theirs.hash = statement.hash();
        if statement.pending_hash.is_some() {
            theirs.checkpoint = statement.seq;
        }
        // Both have seen everything: the checkpoint must be ours too.
        if let Some(hash) = statement.pending_hash
            && statement.ack_seq == self.mine.seq
            && self.queue.is_empty()
        {
            let mut after = self.pendings.clone();
            merge(&mut after, &pendings);
            if pending_hash(&after, key) != hash {
                return Err(Fault::OtherPendings);
            }
        }
        self.window_of_friend = window;
        self.adopt(theirs, &pendings, crossed, newly_acknowledged, !statement.operations.is_empty());
        Ok(events)
    }

    /// The friend's window as it sees it: only an acknowledgement that it has seen, and so acknowledges itself, opens it.
    /// Without this bound a friend that never acknowledges could make us queue answers without end.
    fn window_after(&self, statement: &Statement, newly_acknowledged: usize) -> Result<VecDeque<u64>, Fault> {
        let mut window = self.window_of_friend.clone();
        if let Some(last) = newly_acknowledged.checked_sub(1) {
            let seen = self.unacknowledged[last].acknowledges;
            window.retain(|seq| *seq > seen);
        }
        if !statement.operations.is_empty() {
            window.push_back(statement.seq);
        }
        if window.len() > UNACKNOWLEDGED_MAX { Err(Fault::WindowPassed) } else { Ok(window) }
    }

    /// How many of our unacknowledged statements `statement` acknowledges.
    fn acknowledged_by(&self, statement: &Statement) -> Result<usize, Fault> {
        if (statement.ack_seq, statement.ack_hash) == self.acknowledged {
            return Ok(0);
        }
        self.unacknowledged
            .iter()
            .position(|sent| (sent.seq, sent.hash) == (statement.ack_seq, statement.ack_hash))
            .map(|index| index + 1)
            .ok_or(Fault::WrongAcknowledgement)
    }

    fn adopt(
        &mut self,
        theirs: Log,
        pendings: &PendingChanges,
        crossed: BTreeSet<RequestId>,
        newly_acknowledged: usize,
        has_operations: bool,
    ) {
        self.theirs = theirs;
        self.owes_acknowledgement |= has_operations;
        self.cancelled_unacknowledged = crossed;
        for sent in self.unacknowledged.drain(..newly_acknowledged) {
            self.acknowledged = (sent.seq, sent.hash);
        }
        merge(&mut self.pendings, pendings);
        // What we wrote about a request that the friend has ended must not be signed any more: it would speak of a request
        // whose end we acknowledge.
        if !self.queue.is_empty() {
            let still_pending = &self.pendings;
            self.queue.retain(|_, queued| match &queued.operation {
                Operation::Commit { id } | Operation::Abort { id } => {
                    still_pending.contains_key(&(Direction::Outgoing, *id))
                }
                _ => true,
            });
        }
    }
}

/// Requests whose stage changed, or that ended.
type PendingChanges = BTreeMap<(Direction, RequestId), Option<Pending>>;

fn merge(pendings: &mut Pendings, changes: &PendingChanges) {
    for (key, change) in changes {
        match change {
            Some(pending) => {
                pendings.insert(*key, *pending);
            }
            None => {
                pendings.remove(key);
            }
        }
    }
}
