//! An epoch: the state of an account between two Openings.
//!
//! Balance and pending amounts are *derived* from the running totals of both logs, never kept beside them:
//!
//! ```text
//! balance        = opening + collected(mine) - collected(theirs)
//! local_pending  = requested(mine)   - collected(theirs) - cancelled(theirs)
//! remote_pending = requested(theirs) - collected(mine)   - cancelled(mine)
//! ```
//!
//! [`Epoch::assert_sound`] compares them with the pending requests one by one, in release builds too.

use crate::key::Side;
use crate::log::{Log, SentStatement, balance, checked_pending, pending, room};
use crate::negotiation::Agreement;
use crate::pending::{Direction, Pending, Stage};
use crate::view::View;
use offst_crypto::Hash;
use offst_proto::Amount;
use offst_proto::opening::Continuing;
use offst_proto::statement::{Operation, Statement, Totals};
use offst_proto::{RequestId, Unverified};
use std::collections::{BTreeMap, VecDeque};

/// An operation of ours that is durable but not signed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Queued {
    pub(crate) operation: Operation,
    /// Credits that the operation moves between totals.
    pub(crate) moved: Amount,
}

/// The state of an account between two Openings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch {
    /// Its number: later epochs have larger ones.
    pub number: u64,
    /// The hash that both logs grow from.
    pub agreed: Hash,
    /// The balance that the Openings agreed on, credits, from our side.
    pub opening_balance: i128,
    /// Our log.
    pub mine: Log,
    /// The friend's log.
    pub theirs: Log,
    /// Totals of our log as far as it is signed.
    pub(crate) signed_totals: Totals,
    /// The newest statement of ours that the friend has acknowledged, and its hash.
    pub(crate) acknowledged: (u64, Hash),
    /// The newest statement of the friend's that a statement of ours acknowledges.
    pub(crate) acknowledging: u64,
    /// The friend has sent operations that no statement of ours acknowledges.
    pub(crate) owes_acknowledgement: bool,
    /// The friend's window: the seqs of its statements with operations for which it has not shown that it has our
    /// acknowledgement.
    pub(crate) peer_window: VecDeque<u64>,
    /// Our view of the pending requests, with the operations that wait to be signed.
    pub(crate) local_view: View,
    /// The friend's view of them after its newest statement. It knows nothing of ours behind the one that it acknowledges there.
    pub(crate) peer_view: View,
    /// Operations of ours that are not signed yet, by a counter that only grows.
    pub(crate) queue: BTreeMap<u64, Queued>,
    pub(crate) queue_next: u64,
    pub(crate) unacknowledged: VecDeque<SentStatement>,
    /// The Openings that it rests on.
    pub(crate) agreement: Box<Agreement>,
    /// What is kept of both logs.
    pub(crate) kept: Kept,
}

/// From where on both logs are kept, so that we can show the friend all that it has signed: from its newest checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Kept {
    /// Whose checkpoint it is; none: everything since the Openings is kept.
    pub(crate) checkpoint_of: Option<Side>,
    /// The first kept statement of ours and of the friend's: the checkpoint and what it acknowledges.
    pub(crate) from: [u64; 2],
}

impl Epoch {
    /// The first moment of an epoch: nothing happened but the committed requests that continue.
    pub(crate) fn begin(agreement: Agreement) -> Self {
        let local_view = View::of_opening(&agreement.mine.continuing);
        let agreed = agreement.agreed;
        let mine = Log::new(agreed, local_view.pending_credits(Direction::Outgoing));
        Epoch {
            number: agreement.number,
            agreed,
            opening_balance: agreement.mine.balance,
            mine,
            theirs: Log::new(agreed, local_view.pending_credits(Direction::Incoming)),
            signed_totals: mine.totals,
            acknowledged: (0, agreed),
            acknowledging: 0,
            owes_acknowledgement: false,
            peer_window: VecDeque::new(),
            peer_view: local_view.clone(),
            local_view,
            queue: BTreeMap::new(),
            queue_next: 0,
            unacknowledged: VecDeque::new(),
            agreement: Box::new(agreement),
            kept: Kept::default(),
        }
    }

    /// Whether a request was committed in an earlier epoch, and both Openings let it continue.
    pub fn continues(&self, id: RequestId) -> bool {
        self.agreement.mine.continuing.iter().any(|request| request.id == id)
    }

    /// Whether no statement has been signed or taken in it: the friend may never have heard of it.
    pub(crate) fn is_untouched(&self) -> bool {
        self.mine.seq == 0 && self.theirs.seq == 0
    }

    /// Whether terms bind us to a request that this epoch has left out. The friend that had asked us for it has been released since.
    pub(crate) fn has_released(&self, continuing: &[Continuing]) -> bool {
        let bound = continuing.iter().filter(|request| request.author_pays);
        bound.map(|request| (Direction::Outgoing, request.id)).any(|key| self.local_view.get(key).is_none())
    }

    /// Writes what we released in an `old` epoch once more, for requests that the new one lets continue all the same: the
    /// friend had not seen it when the terms were agreed. Nobody else remembers the preimage of a `Collect`.
    /// (R1.30.)
    pub(crate) fn release_again(&mut self, old: &Epoch) {
        for operation in old.unheard_releases() {
            self.release(operation);
        }
    }

    /// Our `Collect`s and `Cancel`s that the friend has not acknowledged, signed or not, in the order in which they were written.
    pub(crate) fn unheard_releases(&self) -> Vec<Operation> {
        let waiting = self.queue.values().map(|queued| &queued.operation).filter(|operation| operation.ends_request());
        self.unacknowledged_releases(0).into_iter().chain(waiting.cloned()).collect()
    }

    /// Our `Collect`s and `Cancel`s behind `seq` that the friend has not acknowledged.
    pub(crate) fn unacknowledged_releases(&self, seq: u64) -> Vec<Operation> {
        let behind = self.unacknowledged.iter().filter(|sent| sent.seq > seq);
        let operations = behind.flat_map(|sent| {
            let statement = Unverified::<Statement>::from_wire(&sent.wire).expect("we signed it");
            statement.trust_own_database().into_value().operations
        });
        operations.filter(Operation::ends_request).collect()
    }

    /// Writes a `Collect` or `Cancel`. What the epoch does not list any more needs no release.
    pub(crate) fn release(&mut self, operation: Operation) {
        let _ = match operation {
            Operation::Collect { id, preimage } => self.collect(id, preimage),
            Operation::Cancel { id, reason, hop } => self.cancel(id, reason, hop),
            _ => Ok(()),
        };
    }

    /// Takes back every `Commit` that is not signed. Says for which requests.
    pub(crate) fn take_back_commits(&mut self) -> Vec<RequestId> {
        let mut taken = Vec::new();
        self.queue.retain(|_, queued| match queued.operation {
            Operation::Commit { id } => {
                taken.push(id);
                false
            }
            _ => true,
        });
        for id in &taken {
            let key = (Direction::Outgoing, *id);
            let pending = *self.local_view.get(key).expect("a commit waits for a request");
            if let Stage::Committed(lock) = pending.stage {
                self.local_view.set(key, Some(Pending { stage: Stage::Responded(lock), ..pending }));
            }
        }
        taken
    }

    /// Whether a `Commit` of ours for this request waits to be signed.
    pub(crate) fn commit_is_unsigned(&self, id: RequestId) -> bool {
        self.queue.values().any(|queued| matches!(&queued.operation, Operation::Commit { id: commit } if *commit == id))
    }

    /// The committed requests, as an Opening of ours lists them.
    pub(crate) fn continuing(&self) -> Vec<Continuing> {
        let mut list: Vec<_> = self
            .local_view
            .iter()
            .filter_map(|((direction, id), pending)| match pending.stage {
                Stage::Committed(lock) => Some(Continuing {
                    author_pays: direction == Direction::Outgoing,
                    id,
                    held: pending.held,
                    lock,
                    terms: pending.terms,
                }),
                _ => None,
            })
            .collect();
        list.sort_unstable();
        list
    }

    /// Credits that the friend owes us; negative when we owe.
    pub fn balance(&self) -> i128 {
        balance(self.opening_balance, &self.mine.totals, &self.theirs.totals)
    }

    /// Credits of our pending requests.
    pub fn local_pending(&self) -> u128 {
        pending(&self.mine.totals, &self.theirs.totals)
    }

    /// Credits of the friend's pending requests.
    pub fn remote_pending(&self) -> u128 {
        pending(&self.theirs.totals, &self.mine.totals)
    }

    /// What we could send now, credits: the limit that the friend gives us, less what we owe and what is pending.
    pub fn send_capacity(&self) -> u128 {
        if !self.theirs.open {
            return 0;
        }
        room(self.theirs.limit, self.balance(), self.local_pending())
    }

    /// What the friend could send us now, credits.
    pub fn receive_capacity(&self) -> u128 {
        if !self.mine.open {
            return 0;
        }
        room(self.mine.limit, -self.balance(), self.remote_pending())
    }

    /// What we could send if nothing were pending, credits.
    pub fn total_send_capacity(&self) -> u128 {
        room(self.theirs.limit, self.balance(), 0)
    }

    /// The request's state on this account.
    pub fn pending(&self, direction: Direction, id: RequestId) -> Option<&Pending> {
        self.local_view.get((direction, id))
    }

    /// All pending requests, ours first, in the order of their ids.
    pub fn pendings(&self) -> impl Iterator<Item = (Direction, RequestId, &Pending)> {
        self.local_view.iter().map(|((direction, id), pending)| (direction, id, pending))
    }

    /// How many requests are pending in one direction.
    pub fn pending_count(&self, direction: Direction) -> usize {
        self.local_view.count(direction)
    }

    /// Compares the totals with the pending requests.
    ///
    /// # Panics
    /// When they differ: carrying on would lose somebody's money.
    /// (R1.5.)
    pub fn assert_sound(&self) {
        assert!(self.is_sound(), "the totals match the pending requests: {self:?}");
    }

    /// Whether the totals fit the pending requests.
    pub(crate) fn is_sound(&self) -> bool {
        let sum = |direction: Direction| Some(self.local_view.pending_credits(direction));
        checked_pending(&self.mine.totals, &self.theirs.totals) == sum(Direction::Outgoing)
            && checked_pending(&self.theirs.totals, &self.mine.totals) == sum(Direction::Incoming)
    }

    /// Our view as far as it is signed: what the friend knows, and what we have told it since. Nothing that waits in the queue
    /// is in it, so a checkpoint can be made whenever something is signed.
    pub(crate) fn signed_view(&self) -> View {
        let mut view = self.peer_view.clone();
        for update in self.unacknowledged.iter().flat_map(|sent| &sent.updates) {
            view.apply_remote(update);
        }
        view
    }
}
