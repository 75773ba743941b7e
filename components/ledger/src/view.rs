//! The requests that are pending on an account, as one of its two sides sees them, and what each operation does to
//! them.
//!
//! A side applies its own operations as *local* updates: what the request's stage does not allow is an invalid
//! transition. It applies those of the other side as *remote* updates: what is not possible any more has crossed with
//! an operation of its own and is left out, as the table of the protocol says. So the view after some statements of
//! each side does not depend on the order in which the two logs were read, as long as each statement comes after the
//! one that it acknowledges.

use crate::key::{AccountKey, Side};
use crate::pending::{Direction, InvalidTransition, Pending, Stage};
use offst_crypto::{Hash, HashLock, Preimage};
use offst_proto::Amount;
use offst_proto::RequestId;
use offst_proto::encoding::{DecodeError, Decoder, Encoder};
use offst_proto::limits::PENDING_MAX;
use offst_proto::opening::Continuing;
use offst_proto::statement::Operation;
use std::collections::BTreeMap;

impl Side {
    /// The direction of the requests for which this side pays.
    pub(crate) fn pays(self) -> Direction {
        match self {
            Side::Local => Direction::Outgoing,
            Side::Remote => Direction::Incoming,
        }
    }
}

pub(crate) type PendingKey = (Direction, RequestId);

/// What one operation does to a request in a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ViewUpdate {
    pub(crate) key: PendingKey,
    transition: Transition,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transition {
    Request { held: Amount, terms: Hash },
    Respond(HashLock),
    Commit,
    Abort,
    Collect(Preimage),
    Cancel,
}

impl ViewUpdate {
    /// What an operation of `author` does. None: it is not about a request.
    pub(crate) fn of(operation: &Operation, author: Side, account: &AccountKey) -> Option<ViewUpdate> {
        let (payer, transition) = match operation {
            Operation::Request(request) => {
                let terms = request.terms(account.of(author.other()), &account.currency).hash();
                (author, Transition::Request { held: request.held(), terms })
            }
            Operation::Response(answer) => (author.other(), Transition::Respond(answer.lock)),
            Operation::Commit { .. } => (author, Transition::Commit),
            Operation::Abort { .. } => (author, Transition::Abort),
            Operation::Collect { preimage, .. } => (author.other(), Transition::Collect(*preimage)),
            Operation::Cancel { .. } => (author.other(), Transition::Cancel),
            Operation::SetLimit(_) | Operation::SetOpen(_) => return None,
        };
        Some(ViewUpdate { key: (payer.pays(), operation.request_id()?), transition })
    }

    /// The updates of a list of operations.
    pub(crate) fn all(operations: &[Operation], author: Side, account: &AccountKey) -> Vec<ViewUpdate> {
        operations.iter().filter_map(|operation| ViewUpdate::of(operation, author, account)).collect()
    }

    /// Whether it may come too late without a fault: the other side has ended the request meanwhile.
    pub(crate) fn may_cross(&self) -> bool {
        matches!(self.transition, Transition::Commit | Transition::Abort)
    }
}

/// What an update has changed, so that it can be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UndoRecord {
    key: PendingKey,
    before: Option<Pending>,
    /// Credits that the request holds.
    pub(crate) held: Amount,
}

/// The requests that are pending as one side sees them. The directions are those of the account's owner.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct View {
    requests: BTreeMap<PendingKey, Pending>,
    counts: [usize; 2],
}

impl View {
    /// What an Opening of the owner's lets continue.
    pub(crate) fn of_opening(continuing: &[Continuing]) -> View {
        let mut view = View::default();
        for request in continuing {
            let direction = if request.author_pays { Direction::Outgoing } else { Direction::Incoming };
            let stage = Stage::Committed(request.lock);
            let pending = Pending { held: request.held, terms: request.terms, stage };
            view.set((direction, request.id), Some(pending));
        }
        view
    }

    pub(crate) fn get(&self, key: PendingKey) -> Option<&Pending> {
        self.requests.get(&key)
    }

    /// How many requests are pending in one direction.
    pub(crate) fn count(&self, direction: Direction) -> usize {
        self.counts[direction as usize]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (PendingKey, &Pending)> {
        self.requests.iter().map(|(key, pending)| (*key, pending))
    }

    /// Credits of the requests that are pending in one direction.
    pub(crate) fn pending_credits(&self, wanted: Direction) -> u128 {
        self.iter().filter(|((direction, _), _)| *direction == wanted).map(|(_, pending)| pending.held).sum()
    }

    /// A request that is not the same in both views.
    pub(crate) fn difference(&self, other: &View) -> Option<PendingKey> {
        let of = |one: &View, other: &View| {
            one.requests.iter().find(|(key, pending)| other.requests.get(key) != Some(pending)).map(|(key, _)| *key)
        };
        of(self, other).or_else(|| of(other, self))
    }

    /// Puts a request in its place, or takes it away. Says what was there.
    pub(crate) fn set(&mut self, key: PendingKey, pending: Option<Pending>) -> Option<Pending> {
        let count = &mut self.counts[key.0 as usize];
        match pending {
            Some(pending) => {
                let before = self.requests.insert(key, pending);
                *count += usize::from(before.is_none());
                before
            }
            None => {
                let before = self.requests.remove(&key);
                *count -= usize::from(before.is_some());
                before
            }
        }
    }

    /// The request after an update; none: it has ended.
    /// (R1.14.)
    fn after(&self, update: &ViewUpdate) -> Result<Option<Pending>, InvalidTransition> {
        let pending = self.requests.get(&update.key);
        if let Transition::Request { held, terms } = update.transition {
            let is_new = pending.is_none();
            return if is_new {
                Ok(Some(Pending { held, terms, stage: Stage::Requested }))
            } else {
                Err(InvalidTransition)
            };
        }
        let pending = *pending.ok_or(InvalidTransition)?;
        let stage = match update.transition {
            Transition::Request { .. } => return Err(InvalidTransition),
            Transition::Respond(lock) => pending.stage.respond(lock)?.unwrap_or(pending.stage),
            Transition::Commit => pending.stage.commit()?,
            Transition::Abort => pending.stage.abort()?,
            Transition::Collect(preimage) => {
                pending.stage.collect(&preimage)?;
                return Ok(None);
            }
            Transition::Cancel => return Ok(None),
        };
        Ok(Some(Pending { stage, ..pending }))
    }

    /// An update by the side whose view this is.
    pub(crate) fn apply_local(&mut self, update: &ViewUpdate) -> Result<UndoRecord, InvalidTransition> {
        let after = self.after(update)?;
        let before = self.set(update.key, after);
        let held = before.or(after).map_or(Amount::ZERO, |pending| pending.held);
        Ok(UndoRecord { key: update.key, before, held })
    }

    /// An update by the other side. None: it has crossed with one of this side's, which counts.
    pub(crate) fn apply_remote(&mut self, update: &ViewUpdate) -> Option<UndoRecord> {
        self.apply_local(update).ok()
    }

    /// Undoes the newest update.
    pub(crate) fn undo(&mut self, record: UndoRecord) {
        self.set(record.key, record.before);
    }

    /// What a checkpoint's hash is made of: the epoch's agreement, then all requests, those of the smaller key first.
    /// So the bytes are the same at both ends, and a signed checkpoint binds the balance that the epoch began with.
    pub(crate) fn checkpoint(&self, key: &AccountKey, agreed: &Hash) -> Vec<u8> {
        let mut encoder = Encoder::new();
        encoder.text(CHECKPOINT_DOMAIN);
        encoder.value(agreed);
        for payer in payers(key) {
            encoder.count(self.count(payer));
            for ((_, id), pending) in self.iter().filter(|((direction, _), _)| *direction == payer) {
                encoder.value(&id);
                encoder.value(pending);
            }
        }
        encoder.finish()
    }

    /// Reads the bytes of a checkpoint of the epoch that rests on `agreed`.
    pub(crate) fn from_checkpoint(bytes: &[u8], key: &AccountKey, agreed: &Hash) -> Result<View, DecodeError> {
        let mut decoder = Decoder::new(bytes);
        if decoder.text(CHECKPOINT_DOMAIN.len(), "a checkpoint")? != CHECKPOINT_DOMAIN {
            return Err(DecodeError::OtherKind { expected: CHECKPOINT_DOMAIN });
        }
        if decoder.value::<Hash>()? != *agreed {
            return Err(DecodeError::invalid("the epoch of a checkpoint"));
        }
        let mut view = View::default();
        for payer in payers(key) {
            let mut last = None;
            for _ in 0..decoder.count(2 * PENDING_MAX, "a list of pending requests")? {
                let id: RequestId = decoder.value()?;
                if last >= Some(id) {
                    return Err(DecodeError::invalid("the order of pending requests"));
                }
                last = Some(id);
                view.set((payer, id), Some(decoder.value()?));
            }
        }
        decoder.finish()?;
        Ok(view)
    }
}

const CHECKPOINT_DOMAIN: &str = "offst/pendings/2";

fn payers(key: &AccountKey) -> [Direction; 2] {
    if key.local < key.remote {
        [Direction::Outgoing, Direction::Incoming]
    } else {
        [Direction::Incoming, Direction::Outgoing]
    }
}
