//! An epoch seen from one end: both logs, what is pending, what may be written, what is believed (protocol section 1).

use crate::log::{Agreed, Link, Operation, Statement, Totals};
use crate::request::{Direction, Id, InvalidTransition, Lock, Pending, PendingRequests, Side, Stage};
use crate::rules::Rules;
use std::sync::Arc;

/// How far one side's log has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Log {
    /// The newest statement.
    pub newest: Link,
    /// Its totals.
    pub totals: Totals,
    /// What the log's owner lets the other side owe. In our own log: as written.
    pub limit: u8,
    /// Whether the log's owner takes requests.
    pub open: bool,
}

/// The state between two Openings, as one end has it on its disk.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Epoch {
    /// What both logs grow from.
    pub agreed: Agreed,
    /// The balance that was agreed on, from this end.
    pub opening_balance: i8,
    /// This end's log.
    pub mine: Log,
    /// The friend's log.
    pub theirs: Log,
    /// The newest statement of ours that the friend has acknowledged.
    pub acknowledged: Link,
    /// The friend has sent operations that no statement of ours acknowledges.
    pub owes_acknowledgement: bool,
    /// The pending requests, as this end sees them.
    pub local_view: PendingRequests,
    /// The same as the friend sees them: its own log, and ours as far as it has acknowledged it.
    pub peer_view: PendingRequests,
    /// Operations that are durable and not signed, with the credits they move.
    pub queue: Vec<(Operation, u8)>,
    /// Statements of ours that the friend has not acknowledged.
    pub unacknowledged: Vec<Arc<Statement>>,
}

/// What an accepted statement or Opening means for the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The friend asks; `refused`: the limit leaves no room, so that it must be cancelled.
    Requested(Id, bool),
    /// A request of ours is answered.
    Responded(Id),
    /// The friend promises to pay.
    Committed(Id),
    /// The friend gave up.
    Aborted(Id),
    /// The friend took the credits.
    Collected(Id, Lock),
    /// The friend released the credits.
    Cancelled(Id),
    /// A new epoch began.
    Began,
    /// It left a request of ours out.
    Released(Id),
    /// It left a request of the friend's out.
    Dropped(Id),
}

/// What is wrong with a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Two statements of one number.
    Equivocation,
    /// It does not follow the newest one.
    NotContinuing,
    /// It acknowledges what was never signed, or less than before.
    WrongAcknowledgement,
    /// An operation that the stage forbids.
    WrongStage,
    /// The totals are not the sums.
    WrongTotals,
    /// The checkpoint differs.
    OtherPendings,
    /// Two Openings for one epoch.
    TwoOpenings,
}

impl From<InvalidTransition> for Fault {
    fn from(InvalidTransition: InvalidTransition) -> Self {
        Fault::WrongStage
    }
}

/// `limit + balance - pending`, or 0.
fn room(limit: u8, balance: i8, pending: u8) -> u8 {
    (i16::from(limit) + i16::from(balance) - i16::from(pending)).max(0).try_into().expect("small numbers")
}

fn credits(total: u8) -> i8 {
    total.try_into().expect("small numbers")
}

impl Epoch {
    /// Its first moment.
    pub fn begin(agreed: Agreed, opening_balance: i8, continuing: PendingRequests) -> Self {
        let log = |direction| Log {
            totals: Totals { requested: continuing.sum(direction), ..Totals::default() },
            ..Log::default()
        };
        Epoch {
            agreed,
            opening_balance,
            mine: log(Direction::Outgoing),
            theirs: log(Direction::Incoming),
            acknowledged: Link::default(),
            owes_acknowledgement: false,
            local_view: continuing,
            peer_view: continuing,
            queue: Vec::new(),
            unacknowledged: Vec::new(),
        }
    }

    /// Nothing was signed or taken in it.
    pub fn is_untouched(&self) -> bool {
        self.mine.newest.seq == 0 && self.theirs.newest.seq == 0
    }

    /// Totals of our log with what waits to be signed.
    pub fn written(&self) -> Totals {
        self.queue.iter().fold(self.mine.totals, |totals, (operation, amount)| totals.advanced(*operation, *amount))
    }

    /// `opening + collected(mine) - collected(theirs)`.
    pub fn balance(&self) -> i8 {
        self.opening_balance + credits(self.written().collected) - credits(self.theirs.totals.collected)
    }

    /// `requested(mine) - collected(theirs) - cancelled(theirs)`, signed so that a broken rule shows.
    pub fn local_pending(&self) -> i8 {
        let theirs = self.theirs.totals;
        credits(self.written().requested) - credits(theirs.collected) - credits(theirs.cancelled)
    }

    /// `requested(theirs) - collected(mine) - cancelled(mine)`.
    pub fn remote_pending(&self) -> i8 {
        let mine = self.written();
        credits(self.theirs.totals.requested) - credits(mine.collected) - credits(mine.cancelled)
    }

    /// What could be requested now.
    pub fn send_room(&self) -> u8 {
        let pending = self.local_pending().max(0).unsigned_abs();
        if self.theirs.open { room(self.theirs.limit, self.balance(), pending) } else { 0 }
    }

    /// Whether a signed Commit of ours binds us.
    pub fn is_bound(&self, id: Id) -> bool {
        let pending = self.local_view.find(Direction::Outgoing, id);
        pending.is_some_and(|pending| pending.stage.is_committed()) && !self.queue.contains(&(Operation::Commit(id), 0))
    }

    fn write(&mut self, operation: Operation, amount: u8) {
        self.queue.push((operation, amount));
    }

    /// We ask.
    pub fn request(&mut self, id: Id, amount: u8) -> Result<(), InvalidTransition> {
        if self.local_view.find(Direction::Outgoing, id).is_some() || amount > self.send_room() {
            return Err(InvalidTransition);
        }
        self.local_view.place(Direction::Outgoing, id, Some(Pending { amount, stage: Stage::Requested }));
        self.write(Operation::Request(id, amount), amount);
        Ok(())
    }

    fn stage(
        &mut self,
        direction: Direction,
        id: Id,
        next: impl FnOnce(Stage) -> Option<Stage>,
    ) -> Result<(), InvalidTransition> {
        let pending = self.local_view.find(direction, id).ok_or(InvalidTransition)?;
        let stage = next(pending.stage).ok_or(InvalidTransition)?;
        self.local_view.place(direction, id, Some(Pending { stage, ..pending }));
        Ok(())
    }

    /// We are willing, or pass on that the destination is.
    pub fn respond(&mut self, id: Id, lock: Lock) -> Result<(), InvalidTransition> {
        self.stage(Direction::Incoming, id, |stage| stage.respond(lock).ok().flatten())?;
        self.write(Operation::Response(id, lock), 0);
        Ok(())
    }

    /// We promise to pay.
    pub fn commit(&mut self, id: Id) -> Result<(), InvalidTransition> {
        self.stage(Direction::Outgoing, id, |stage| stage.commit().ok())?;
        self.write(Operation::Commit(id), 0);
        Ok(())
    }

    /// We give up. What was never signed is gone as if it had never been written; a signed Commit stays.
    pub fn abort(&mut self, id: Id, rules: Rules) -> Result<(), InvalidTransition> {
        let pending = self.local_view.find(Direction::Outgoing, id).ok_or(InvalidTransition)?;
        if let Some(place) =
            self.queue.iter().position(|(operation, _)| *operation == Operation::Request(id, pending.amount))
        {
            self.queue.remove(place);
            self.local_view.place(Direction::Outgoing, id, None);
            return Ok(());
        }
        self.take_commit_back(id);
        self.stage(Direction::Outgoing, id, |stage| stage.abort().ok())?;
        self.write(Operation::Abort(id), 0);
        if rules == Rules::AbortReleases {
            self.local_view.place(Direction::Outgoing, id, None);
        }
        Ok(())
    }

    fn take_commit_back(&mut self, id: Id) {
        if let Some(place) = self.queue.iter().position(|(operation, _)| *operation == Operation::Commit(id)) {
            self.queue.remove(place);
            let _ = self.stage(Direction::Outgoing, id, |stage| match stage {
                Stage::Committed(lock) => Some(Stage::Responded(lock)),
                _ => None,
            });
        }
    }

    /// A Commit that was never signed binds nobody: an account that stops takes it back.
    pub fn take_commits_back(&mut self) {
        for id in 0..crate::request::REQUESTS as Id {
            self.take_commit_back(id);
        }
    }

    /// We take the credits.
    pub fn collect(&mut self, id: Id, preimage: Lock) -> Result<(), InvalidTransition> {
        let pending = self.local_view.find(Direction::Incoming, id).ok_or(InvalidTransition)?;
        pending.stage.collect(preimage)?;
        self.local_view.place(Direction::Incoming, id, None);
        self.write(Operation::Collect(id, preimage), pending.amount);
        Ok(())
    }

    /// We release the credits.
    pub fn cancel(&mut self, id: Id) -> Result<(), InvalidTransition> {
        let pending = self.local_view.find(Direction::Incoming, id).ok_or(InvalidTransition)?;
        self.local_view.place(Direction::Incoming, id, None);
        self.write(Operation::Cancel(id), pending.amount);
        Ok(())
    }

    /// Only the last value counts, so that the queue does not grow while the friend is away.
    pub fn set_limit(&mut self, limit: u8) {
        if self.mine.limit != limit {
            self.mine.limit = limit;
            self.queue.retain(|(operation, _)| !matches!(operation, Operation::SetLimit(_)));
            self.write(Operation::SetLimit(limit), 0);
        }
    }

    /// Whether we take requests.
    pub fn set_open(&mut self, open: bool) {
        if self.mine.open != open {
            self.mine.open = open;
            self.queue.retain(|(operation, _)| !matches!(operation, Operation::SetOpen(_)));
            self.write(Operation::SetOpen(open), 0);
        }
    }

    /// Signs everything that waits in one statement, or an acknowledgement that is owed. Every statement of the model carries
    /// a checkpoint, as the last one before silence does.
    pub fn sign(&mut self) -> Option<Arc<Statement>> {
        if self.queue.is_empty() && !self.owes_acknowledgement {
            return None;
        }
        let totals = self.written();
        let operations = std::mem::take(&mut self.queue).into_iter().map(|(operation, _)| operation).collect();
        let statement = Arc::new(Statement {
            agreed: self.agreed,
            link: Link { seq: self.mine.newest.seq + 1, is_fork: false },
            previous: self.mine.newest,
            acknowledged: self.theirs.newest,
            operations,
            totals,
            checkpoint: Some(self.local_view),
        });
        self.mine.newest = statement.link;
        self.mine.totals = totals;
        self.owes_acknowledgement = false;
        self.unacknowledged.push(statement.clone());
        Some(statement)
    }

    /// Takes the next statement of the friend's log, or says what is wrong with it; then nothing has changed.
    ///
    /// What the friend may write is decided in its own view. What is not possible any more in ours has crossed with something
    /// that we wrote, and is ignored.
    pub fn receive(&self, statement: &Statement, rules: Rules) -> Result<(Epoch, Vec<Event>), Fault> {
        let newest = self.theirs.newest;
        if statement.agreed == self.agreed && statement.link.seq == newest.seq && statement.link != newest {
            return Err(Fault::Equivocation);
        }
        if statement.agreed != self.agreed || statement.link.seq != newest.seq + 1 || statement.previous != newest {
            return Err(Fault::NotContinuing);
        }
        let mut after = self.clone();
        after.acknowledge(statement.acknowledged)?;
        if rules == Rules::UnsignedCommitBinds {
            after.peer_view = self.local_view;
        }
        let mut moved = Vec::new();
        for operation in &statement.operations {
            let amount = after.peer_view.apply(*operation, Side::Friend, rules)?;
            after.theirs.totals = after.theirs.totals.advanced(*operation, amount);
            moved.push((*operation, amount));
        }
        if after.theirs.totals != statement.totals {
            return Err(Fault::WrongTotals);
        }
        if statement.checkpoint.is_some_and(|theirs| theirs.mirrored() != after.peer_view) {
            return Err(Fault::OtherPendings);
        }
        let mut events = Vec::new();
        let mut totals = self.theirs.totals;
        for (operation, amount) in moved {
            after.apply_remote(operation, totals, &mut events, rules)?;
            totals = totals.advanced(operation, amount);
        }
        after.theirs.newest = statement.link;
        after.owes_acknowledgement |= !statement.operations.is_empty();
        // What waits about a request that the friend has ended must not be signed any more.
        let still_pending = after.local_view;
        after.queue.retain(|(operation, _)| match operation {
            Operation::Commit(id) | Operation::Abort(id) => still_pending.find(Direction::Outgoing, *id).is_some(),
            _ => true,
        });
        Ok((after, events))
    }

    /// The friend has seen our log up to here: its view follows.
    pub(crate) fn acknowledge(&mut self, link: Link) -> Result<(), Fault> {
        if link == self.acknowledged {
            return Ok(());
        }
        let place = self.unacknowledged.iter().position(|sent| sent.link == link).ok_or(Fault::WrongAcknowledgement)?;
        for statement in self.unacknowledged.drain(..=place) {
            for operation in &statement.operations {
                let _ = self.peer_view.apply(*operation, Side::Us, Rules::Kept);
            }
        }
        self.acknowledged = link;
        Ok(())
    }

    /// An operation that the friend may write, in our view. `theirs`: its totals before.
    fn apply_remote(
        &mut self,
        operation: Operation,
        theirs: Totals,
        events: &mut Vec<Event>,
        rules: Rules,
    ) -> Result<(), Fault> {
        let refused = match operation {
            Operation::Request(_, amount) => {
                // A limit may have changed since the request was signed, so this is no fault.
                let mine = self.written();
                let pending = credits(theirs.requested) - credits(mine.collected) - credits(mine.cancelled);
                let balance = self.opening_balance + credits(mine.collected) - credits(theirs.collected);
                let room = room(self.mine.limit, -balance, pending.max(0).unsigned_abs());
                !self.mine.open || amount > room && rules != Rules::LimitIsNotCheckedOnReceipt
            }
            _ => false,
        };
        let is_aborted = |pendings: &PendingRequests, id| {
            pendings.find(Direction::Outgoing, id).is_some_and(|pending| pending.stage == Stage::Aborted)
        };
        let event = match operation {
            Operation::Request(id, _) => Event::Requested(id, refused),
            Operation::Response(id, _) if is_aborted(&self.local_view, id) => return Ok(()),
            Operation::Response(id, _) => Event::Responded(id),
            Operation::Commit(id) => Event::Committed(id),
            Operation::Abort(id) => Event::Aborted(id),
            Operation::Collect(id, preimage) => Event::Collected(id, preimage),
            Operation::Cancel(id) => Event::Cancelled(id),
            Operation::SetLimit(limit) => {
                self.theirs.limit = limit;
                return Ok(());
            }
            Operation::SetOpen(open) => {
                self.theirs.open = open;
                return Ok(());
            }
        };
        match self.local_view.apply(operation, Side::Friend, rules) {
            Ok(_) => events.push(event),
            Err(InvalidTransition) if rules == Rules::CrossedCommitIsAFault => return Err(Fault::WrongStage),
            Err(InvalidTransition) => {}
        }
        Ok(())
    }

    /// Takes every Collect and Cancel back that is not signed: the requests are pending again, as what is signed leaves them.
    pub fn take_releases_back(&mut self) -> Vec<Operation> {
        let mut signed = self.peer_view;
        for operation in self.unacknowledged.iter().flat_map(|statement| &statement.operations) {
            let _ = signed.apply(*operation, Side::Us, Rules::Kept);
        }
        let is_release = |operation: &Operation| matches!(operation, Operation::Collect(..) | Operation::Cancel(_));
        let (released, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.queue).into_iter().partition(|(operation, _)| is_release(operation));
        self.queue = left;
        for (operation, _) in &released {
            if let Operation::Collect(id, _) | Operation::Cancel(id) = operation {
                self.local_view.place(Direction::Incoming, *id, signed.find(Direction::Incoming, *id));
            }
        }
        released.into_iter().map(|(operation, _)| operation).collect()
    }
}
