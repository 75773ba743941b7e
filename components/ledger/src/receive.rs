//! The friend's log: what is believed, and what is a fault.
//!
//! A fault is only what breaks the account's own arithmetic or the stages of its requests. Anything else that is wrong
//! with a request is checked by the funder and ends in a `Cancel`. A statement is applied to a draft first, so that one
//! with a fault leaves nothing behind.

use crate::epoch::{Epoch, Kept};
use crate::event::Event;
use crate::fault::Fault;
use crate::key::{AccountKey, Side};
use crate::log::{Followed, LogCursor, advance, balance, pending, room};
use crate::pending::{Direction, Pending, Stage};
use crate::view::ViewUpdate;
use offst_proto::Amount;
use offst_proto::Verified;
use offst_proto::limits::{PENDING_MAX, UNACKNOWLEDGED_MAX};
use offst_proto::payment::CancelReason;
use offst_proto::statement::{Operation, Request, Statement};

/// A statement of the friend's that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub(crate) events: Vec<Event>,
    /// The bytes of the friend's checkpoint, when it carries one.
    pub(crate) checkpoint: Option<Vec<u8>>,
}

impl Epoch {
    /// Applies the next statement of the friend's log. On a fault nothing has changed.
    ///
    /// What the friend may write is decided in its own view. What follows for ours is then only whether it has crossed
    /// with something that we wrote.
    /// (R1.6.)
    pub(crate) fn receive(&mut self, key: &AccountKey, statement: &Verified<Statement>) -> Result<Accepted, Fault> {
        let cursor = LogCursor {
            account: key,
            epoch: (self.number, self.agreed),
            author: Side::Remote,
            log: self.theirs,
            acknowledged: self.acknowledged,
            unacknowledged: &self.unacknowledged,
            view_is_ahead_to: 0,
        };
        cursor.expects(statement)?;
        let closes_to = cursor.newly_acknowledged(statement)?.checked_sub(1);
        let closes_to = closes_to.map_or(0, |last| self.unacknowledged[last].acknowledges);
        let has_operations = !statement.operations.is_empty();
        // The friend's window as it sees it: only an acknowledgement that it has seen, and so acknowledges itself,
        // opens it. Without this bound a friend that never acknowledges could make us queue answers without end.
        let under_way = self.peer_window.iter().filter(|seq| **seq > closes_to).count();
        // R1.10.
        if under_way + usize::from(has_operations) > UNACKNOWLEDGED_MAX {
            return Err(Fault::WindowPassed);
        }
        let Followed { log, updates, newly_acknowledged, checkpoint } =
            cursor.follow(&mut self.peer_view, statement)?;
        let events = self.apply_remote(statement, &updates);
        self.theirs = log;
        self.owes_acknowledgement |= has_operations;
        self.peer_window.retain(|seq| *seq > closes_to);
        if has_operations {
            self.peer_window.push_back(statement.seq);
        }
        for sent in self.unacknowledged.drain(..newly_acknowledged) {
            self.acknowledged = (sent.seq, sent.hash);
        }
        // R1.20.
        if checkpoint.is_some() {
            self.kept = Kept { checkpoint_of: Some(Side::Remote), from: [statement.ack_seq, statement.seq] };
        }
        let ends = |event: &Event| matches!(event, Event::Collected { .. } | Event::Cancelled { .. });
        if !self.queue.is_empty() && events.iter().any(ends) {
            self.drop_what_came_too_late();
        }
        Ok(Accepted { events, checkpoint })
    }

    /// Applies a statement that its author may write to our view, and says what it means.
    fn apply_remote(&mut self, statement: &Statement, updates: &[(ViewUpdate, Amount)]) -> Vec<Event> {
        let mut updates = updates.iter();
        let mut totals = self.theirs.totals;
        let mut events = Vec::with_capacity(statement.operations.len());
        for operation in &statement.operations {
            let mut moved = Amount::ZERO;
            if operation.request_id().is_some() {
                let (update, held) = updates.next().expect("each operation on a request is an update");
                moved = *held;
                let refusal = match operation {
                    Operation::Request(request) => self.refusal(request, &totals),
                    _ => None,
                };
                if self.local_view.apply_remote(update).is_some() {
                    let pending = self.local_view.get(update.key);
                    events.extend(event(operation, pending, refusal));
                }
            } else {
                events.push(Event::LimitChanged);
            }
            totals = advance(&totals, operation, moved).expect("checked before");
        }
        events
    }

    /// Why a request cannot be taken. Limit and openness may have changed since the friend signed it, so this is never
    /// a fault. `theirs`: the friend's totals before it.
    /// (R1.9.)
    fn refusal(&self, request: &Request, theirs: &offst_proto::statement::Totals) -> Option<CancelReason> {
        let balance = balance(self.opening_balance, &self.mine.totals, theirs);
        let room = room(self.mine.limit, -balance, pending(theirs, &self.mine.totals));
        if !self.mine.open {
            Some(CancelReason::Closed)
        } else if self.local_view.count(Direction::Incoming) >= PENDING_MAX {
            Some(CancelReason::Busy)
        } else if request.held().credits() > room {
            Some(CancelReason::no_capacity(room))
        } else {
            None
        }
    }

    /// What we wrote about a request that the friend has ended must not be signed any more: it would speak of a request
    /// whose end we acknowledge.
    fn drop_what_came_too_late(&mut self) {
        let still_pending = &self.local_view;
        self.queue.retain(|_, queued| match &queued.operation {
            Operation::Commit { id } | Operation::Abort { id } => {
                still_pending.get((Direction::Outgoing, *id)).is_some()
            }
            _ => true,
        });
    }
}

/// What an operation of the friend's that has taken effect means. `pending`: the request after it.
fn event(operation: &Operation, pending: Option<&Pending>, refusal: Option<CancelReason>) -> Option<Event> {
    Some(match operation {
        Operation::Request(request) => Event::Requested { request: request.clone(), refusal },
        // It has crossed with our `Abort`.
        Operation::Response(_) if pending.is_some_and(|pending| pending.stage == Stage::Aborted) => return None,
        Operation::Response(answer) => Event::Responded(*answer),
        Operation::Commit { id } => Event::Committed(*id),
        Operation::Abort { id } => Event::Aborted(*id),
        Operation::Collect { id, preimage } => Event::Collected { id: *id, preimage: *preimage },
        Operation::Cancel { id, reason, hop } => Event::Cancelled { id: *id, reason: *reason, hop: *hop },
        Operation::SetLimit(_) | Operation::SetOpen(_) => Event::LimitChanged,
    })
}
