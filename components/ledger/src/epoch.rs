//! An epoch: the state of an account between two Openings.
//!
//! Balance and frozen amounts are *derived* from the running totals of both logs, never kept beside them:
//!
//! ```text
//! balance        = opening + collected(mine) - collected(theirs)
//! local_pending  = requested(mine)   - collected(theirs) - cancelled(theirs)
//! remote_pending = requested(theirs) - collected(mine)   - cancelled(mine)
//! ```
//!
//! [`Epoch::assert_sound`] compares them with the pending requests one by one, in release builds too.

use crate::key::AccountKey;
use crate::pending::{Direction, Pending, Stage};
use offst_crypto::{Hash, sha256};
use offst_proto::encoding::Encoder;
use offst_proto::opening::Continuing;
use offst_proto::statement::{Operation, Statement, Totals};
use offst_proto::{RequestId, Unverified};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
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
    pub limit: u128,
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
            limit: 0,
            open: false,
            checkpoint: 0,
        }
    }
}

/// An operation of ours that is durable but not signed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Queued {
    pub(crate) operation: Operation,
    /// Credits that the operation moves between totals.
    pub(crate) amount: u128,
}

/// A statement of ours that the friend has not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) seq: u64,
    pub(crate) hash: Hash,
    pub(crate) wire: Arc<[u8]>,
    /// The newest statement of the friend's that it acknowledges.
    pub(crate) acknowledges: u64,
    pub(crate) has_operations: bool,
    /// Requests that this statement cancels. Until it is acknowledged, a `Commit` or `Abort` for them has crossed.
    pub(crate) cancels: Vec<RequestId>,
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
    /// The friend's statements with operations for which it has not shown that it saw our acknowledgement: its window, as it
    /// must see it.
    pub(crate) window_of_friend: VecDeque<u64>,
    pub(crate) pendings: Pendings,
    /// Operations of ours that are not signed yet, by a counter that only grows.
    pub(crate) queue: BTreeMap<u64, Queued>,
    pub(crate) queue_next: u64,
    pub(crate) unacknowledged: VecDeque<Sent>,
    /// Requests of the friend's that we cancelled and whose cancellation it has not acknowledged.
    pub(crate) cancelled_unacknowledged: BTreeSet<RequestId>,
}

/// The requests that are pending on an account.
pub(crate) type Pendings = BTreeMap<(Direction, RequestId), Pending>;

impl Epoch {
    /// The first moment of an epoch: nothing happened but the committed requests that continue.
    pub(crate) fn begin(number: u64, agreed: Hash, opening_balance: i128, continuing: &[Continuing]) -> Self {
        let mut pendings = BTreeMap::new();
        let mut requested = [0u128; 2];
        for request in continuing {
            let direction = if request.author_pays { Direction::Outgoing } else { Direction::Incoming };
            requested[direction as usize] += request.amount;
            let pending =
                Pending { amount: request.amount, terms: request.terms, stage: Stage::Committed(request.lock) };
            pendings.insert((direction, request.id), pending);
        }
        let mine = Log::new(agreed, requested[Direction::Outgoing as usize]);
        Epoch {
            number,
            agreed,
            opening_balance,
            mine,
            theirs: Log::new(agreed, requested[Direction::Incoming as usize]),
            signed_totals: mine.totals,
            acknowledged: (0, agreed),
            acknowledging: 0,
            owes_acknowledgement: false,
            window_of_friend: VecDeque::new(),
            pendings,
            queue: BTreeMap::new(),
            queue_next: 0,
            unacknowledged: VecDeque::new(),
            cancelled_unacknowledged: BTreeSet::new(),
        }
    }

    /// Whether no statement has been signed or taken in it: the friend may never have heard of it.
    pub(crate) fn is_untouched(&self) -> bool {
        self.mine.seq == 0 && self.theirs.seq == 0
    }

    /// Writes what we released in an `old` epoch once more, for requests that the new one lets continue all the same: the
    /// friend had not seen it when the terms were agreed. Nobody else remembers the preimage of a `Collect`.
    pub(crate) fn release_again(&mut self, old: &Epoch) {
        let signed = old.unacknowledged.iter().flat_map(|sent| {
            let statement = Unverified::<Statement>::from_wire(&sent.wire).expect("we signed it");
            statement.trust_own_database().into_value().operations
        });
        let waiting = old.queue.values().map(|queued| queued.operation.clone());
        for operation in signed.chain(waiting) {
            // What the new epoch does not list any more needs no release.
            let _ = match operation {
                Operation::Collect { id, preimage } => self.collect(id, preimage),
                Operation::Cancel { id, reason, hop } => self.cancel(id, reason, hop),
                _ => Ok(()),
            };
        }
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
            let pending = self.pendings.get_mut(&(Direction::Outgoing, *id)).expect("a commit waits for a request");
            if let Stage::Committed(lock) = pending.stage {
                pending.stage = Stage::Responded(lock);
            }
        }
        taken
    }

    /// The committed requests, as an Opening of ours lists them.
    pub(crate) fn continuing(&self) -> Vec<Continuing> {
        let mut list: Vec<_> = self
            .pendings
            .iter()
            .filter_map(|((direction, id), pending)| match pending.stage {
                Stage::Committed(lock) => Some(Continuing {
                    author_pays: *direction == Direction::Outgoing,
                    id: *id,
                    amount: pending.amount,
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

    /// Credits frozen by our requests.
    pub fn local_pending(&self) -> u128 {
        frozen(&self.mine.totals, &self.theirs.totals)
    }

    /// Credits frozen by the friend's requests.
    pub fn remote_pending(&self) -> u128 {
        frozen(&self.theirs.totals, &self.mine.totals)
    }

    /// What we could send now, credits: the line that the friend gives us, less what we owe and what is frozen.
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

    /// The whole line we have towards the friend, frozen or not, credits.
    pub fn send_line(&self) -> u128 {
        room(self.theirs.limit, self.balance(), 0)
    }

    /// The request's state on this account.
    pub fn pending(&self, direction: Direction, id: RequestId) -> Option<&Pending> {
        self.pendings.get(&(direction, id))
    }

    /// All pending requests, ours first, in the order of their ids.
    pub fn pendings(&self) -> impl Iterator<Item = (Direction, RequestId, &Pending)> {
        self.pendings.iter().map(|((direction, id), pending)| (*direction, *id, pending))
    }

    /// How many requests are pending in one direction.
    pub fn pending_count(&self, direction: Direction) -> usize {
        let all = |id| (direction, id);
        self.pendings.range(all(RequestId::from_bytes([0; 16]))..=all(RequestId::from_bytes([0xff; 16]))).count()
    }

    /// Compares the totals with the pending requests.
    ///
    /// # Panics
    /// When they differ: carrying on would lose somebody's money.
    pub fn assert_sound(&self) {
        assert!(self.is_sound(), "the frozen credits match the pending requests: {self:?}");
    }

    /// Whether the totals fit the pending requests.
    pub(crate) fn is_sound(&self) -> bool {
        let sum = |wanted: Direction| -> u128 {
            self.pendings.iter().filter(|((d, _), _)| *d == wanted).map(|(_, p)| p.amount).sum()
        };
        checked_frozen(&self.mine.totals, &self.theirs.totals) == Some(sum(Direction::Outgoing))
            && checked_frozen(&self.theirs.totals, &self.mine.totals) == Some(sum(Direction::Incoming))
    }
}

/// The checkpoint hash of all pending requests. Both sides get the same when each has seen the other's whole log: the
/// requests of the smaller key come first.
pub(crate) fn pending_hash(pendings: &Pendings, key: &AccountKey) -> Hash {
    let payers = if key.local < key.remote {
        [Direction::Outgoing, Direction::Incoming]
    } else {
        [Direction::Incoming, Direction::Outgoing]
    };
    let mut encoder = Encoder::new();
    encoder.text("offst/pendings/1");
    for payer in payers {
        let of_payer = pendings.iter().filter(|((direction, _), _)| *direction == payer);
        encoder.count(of_payer.clone().count());
        for ((_, id), pending) in of_payer {
            encoder.value(id);
            encoder.value(pending);
        }
    }
    sha256(&encoder.finish())
}

/// `opening + collected(mine) - collected(theirs)`.
pub(crate) fn balance(opening: i128, mine: &Totals, theirs: &Totals) -> i128 {
    // Totals never pass 2^126 (see `advance`) and an opening balance never 2^96.
    let signed = |total: u128| i128::try_from(total).expect("totals are at most 2^126");
    opening + (signed(mine.collected) - signed(theirs.collected))
}

/// `requested` of the upstream's log less what the downstream's log has released.
pub(crate) fn frozen(upstream: &Totals, downstream: &Totals) -> u128 {
    checked_frozen(upstream, downstream).expect("no more is released than was requested")
}

fn checked_frozen(upstream: &Totals, downstream: &Totals) -> Option<u128> {
    upstream.requested.checked_sub(downstream.collected)?.checked_sub(downstream.cancelled)
}

/// `limit + balance - frozen`, or 0 when that is negative.
pub(crate) fn room(limit: u128, balance: i128, frozen: u128) -> u128 {
    let total =
        if balance >= 0 { limit + balance.unsigned_abs() } else { limit.saturating_sub(balance.unsigned_abs()) };
    total.saturating_sub(frozen)
}

/// Totals after `operation`, which moves `amount` credits. `None` on overflow.
pub(crate) fn advance(totals: &Totals, operation: &Operation, amount: u128) -> Option<Totals> {
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
    // Half of the range is left free, so that differences of totals always fit i128.
    *field = field.checked_add(amount).filter(|sum| *sum <= u128::MAX / 4)?;
    Some(totals)
}
