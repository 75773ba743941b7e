//! The account as it lies in a database: what has changed since the last transaction, and how an account is built again.

use crate::account::{Account, StopReason};
use crate::epoch::{Epoch, Log, Queued, Sent};
use crate::key::AccountKey;
use crate::negotiation::Negotiation;
use crate::pending::{Direction, Pending};
use crate::receive::{Event, Fault};
use offst_crypto::Hash;
use offst_proto::encoding::{Canonical, DecodeError, Decoder, Encoder};
use offst_proto::limits::{CHECKPOINT_EVERY, UNACKNOWLEDGED_MAX};
use offst_proto::opening::Opening;
use offst_proto::statement::{Operation, Statement, Totals};
use offst_proto::{RequestId, Unverified, Verified};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Most statements of the friend's that are kept. An honest one sends checkpoints far more often.
const FRIEND_STATEMENTS_MAX: u64 = 16 * CHECKPOINT_EVERY;

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
    /// A pending request; none: it ended.
    Pending(Direction, RequestId, Option<Pending>),
    /// An operation that waits to be signed, by its counter; none: it was signed or taken back.
    Queued(u64, Option<QueuedOperation>),
    /// A statement: ours (`true`) or the friend's, by its seq.
    Statement(bool, u64, Arc<[u8]>),
    /// Statements below this seq are not needed any more.
    DropStatements(bool, u64),
    /// A new epoch: all pending requests, queued operations and statements of the old one go before the other changes.
    Clear,
}

/// All rows of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountImage {
    /// See [`AccountChange::Head`].
    pub head: Vec<u8>,
    /// See [`AccountChange::Negotiation`].
    pub negotiation: Vec<u8>,
    /// See [`AccountChange::Pending`].
    pub pendings: Vec<(Direction, RequestId, Pending)>,
    /// See [`AccountChange::Queued`].
    pub queue: Vec<(u64, QueuedOperation)>,
    /// Our own statements, in the order of their seq.
    pub statements: Vec<Arc<[u8]>>,
}

/// What has changed since the last transaction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Marks {
    pub(crate) head: bool,
    pub(crate) negotiation: bool,
    pub(crate) pendings: BTreeSet<(Direction, RequestId)>,
    /// Everything is new: rows of an older epoch go first.
    clear: bool,
    /// Counters of the queued operations that earlier transactions have written.
    queue_stored: BTreeSet<u64>,
    statements: Vec<(bool, u64, Arc<[u8]>)>,
    /// Statements below these were dropped: ours, the friend's.
    dropped_below: [u64; 2],
}

impl Marks {
    pub(crate) fn everything() -> Self {
        Marks { head: true, negotiation: true, clear: true, ..Marks::default() }
    }

    pub(crate) fn received(&mut self, statement: &Verified<Statement>, events: &[Event]) {
        self.head = true;
        self.statements.push((false, statement.seq, statement.wire().clone()));
        for event in events {
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
                Event::LineChanged | Event::EpochBegan { .. } => {}
            }
        }
    }

    pub(crate) fn signed(&mut self, seq: u64, wire: Arc<[u8]>) {
        self.head = true;
        self.statements.push((true, seq, wire));
    }

    fn is_empty(&self) -> bool {
        !self.head && !self.negotiation && self.pendings.is_empty() && !self.clear
    }
}

impl Account {
    /// What the next transaction has to write for this account, and nothing twice.
    ///
    /// # Panics
    /// When totals and pending requests differ: such a state must not become durable.
    pub fn take_changes(&mut self) -> Vec<AccountChange> {
        if self.marks.is_empty() {
            return Vec::new();
        }
        let marks = std::mem::take(&mut self.marks);
        let mut changes = Vec::new();
        if marks.clear {
            changes.push(AccountChange::Clear);
        }
        if marks.negotiation {
            changes.push(AccountChange::Negotiation(encode_negotiation(&self.negotiation)));
        }
        changes.push(AccountChange::Head(self.encode_head()));
        let mut next = Marks { dropped_below: marks.dropped_below, ..Marks::default() };
        if let Some(epoch) = &self.epoch {
            epoch.assert_sound();
            let touched: Vec<_> = if marks.clear {
                epoch.pendings.keys().copied().collect()
            } else {
                marks.pendings.iter().copied().collect()
            };
            for (direction, id) in touched {
                changes.push(AccountChange::Pending(direction, id, epoch.pending(direction, id).copied()));
            }
            for (counter, queued) in &epoch.queue {
                next.queue_stored.insert(*counter);
                if marks.clear || !marks.queue_stored.contains(counter) {
                    let Queued { operation, amount } = queued.clone();
                    changes.push(AccountChange::Queued(*counter, Some(QueuedOperation { operation, amount })));
                }
            }
            for counter in marks.queue_stored.iter().filter(|counter| !epoch.queue.contains_key(counter)) {
                changes.push(AccountChange::Queued(*counter, None));
            }
            let needed_from = [
                epoch.acknowledged.0.min(epoch.mine.checkpoint),
                // A friend that never sends a checkpoint does not fill our disk: what is lost is its own evidence.
                epoch
                    .acknowledging
                    .min(epoch.theirs.checkpoint)
                    .max(epoch.theirs.seq.saturating_sub(FRIEND_STATEMENTS_MAX)),
            ];
            for (mine, seq, wire) in marks.statements {
                if seq >= needed_from[usize::from(!mine)] {
                    changes.push(AccountChange::Statement(mine, seq, wire));
                }
            }
            for (mine, side) in [(true, 0), (false, 1)] {
                if needed_from[side] > marks.dropped_below[side] {
                    changes.push(AccountChange::DropStatements(mine, needed_from[side]));
                    next.dropped_below[side] = needed_from[side];
                }
            }
        }
        self.marks = next;
        changes
    }

    /// Builds an account from its rows.
    ///
    /// # Errors
    /// The rows are not what [`Account::take_changes`] wrote.
    pub fn restore(key: AccountKey, image: AccountImage) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(&image.negotiation);
        let negotiation = decode_negotiation(&mut decoder)?;
        decoder.finish()?;
        let mut decoder = Decoder::new(&image.head);
        let wanted_limit = decoder.amount()?;
        let wanted_open = decoder.bool()?;
        let stopped = decode_stop_reason(&mut decoder)?;
        let mut epoch = if decoder.bool()? { Some(decode_epoch(&mut decoder)?) } else { None };
        decoder.finish()?;
        let mut marks = Marks::default();
        if let Some(epoch) = &mut epoch {
            for (direction, id, pending) in image.pendings {
                epoch.pendings.insert((direction, id), pending);
            }
            for (counter, QueuedOperation { operation, amount }) in image.queue {
                if let Operation::Cancel { id, .. } = &operation {
                    epoch.cancelled_unacknowledged.insert(*id);
                }
                epoch.queue_next = epoch.queue_next.max(counter + 1);
                epoch.queue.insert(counter, Queued { operation, amount });
                marks.queue_stored.insert(counter);
            }
            for wire in image.statements {
                let statement = Unverified::<Statement>::from_wire(&wire)?.trust_own_database();
                if statement.seq <= epoch.acknowledged.0 {
                    continue;
                }
                let cancels: Vec<_> = statement
                    .operations
                    .iter()
                    .filter_map(|operation| match operation {
                        Operation::Cancel { id, .. } => Some(*id),
                        _ => None,
                    })
                    .collect();
                epoch.cancelled_unacknowledged.extend(&cancels);
                epoch.unacknowledged.push_back(Sent {
                    seq: statement.seq,
                    hash: statement.hash(),
                    acknowledges: statement.ack_seq,
                    has_operations: !statement.operations.is_empty(),
                    cancels,
                    wire,
                });
            }
            let is_whole = epoch.mine.seq.checked_sub(epoch.acknowledged.0) == Some(epoch.unacknowledged.len() as u64)
                && epoch.unacknowledged.iter().zip(epoch.acknowledged.0 + 1..).all(|(sent, seq)| sent.seq == seq);
            if !is_whole {
                return Err(DecodeError::invalid("the number of stored statements"));
            }
            if !epoch.is_sound() {
                return Err(DecodeError::invalid("the sum of the stored requests"));
            }
        }
        Ok(Account { key, negotiation, epoch, stopped, wanted_limit, wanted_open, resumed: false, marks })
    }

    fn encode_head(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        encoder.u128(self.wanted_limit);
        encoder.bool(self.wanted_open);
        encode_stop_reason(&mut encoder, self.stopped);
        encoder.bool(self.epoch.is_some());
        if let Some(epoch) = &self.epoch {
            encoder.u64(epoch.number);
            encoder.value(&epoch.agreed);
            encoder.i128(epoch.opening_balance);
            encode_log(&mut encoder, &epoch.mine);
            encode_log(&mut encoder, &epoch.theirs);
            encoder.value(&epoch.signed_totals);
            encoder.u64(epoch.acknowledged.0);
            encoder.value(&epoch.acknowledged.1);
            encoder.u64(epoch.acknowledging);
            encoder.bool(epoch.owes_acknowledgement);
            encoder.count(epoch.window_of_friend.len());
            for seq in &epoch.window_of_friend {
                encoder.u64(*seq);
            }
        }
        encoder.finish()
    }
}

fn decode_epoch(decoder: &mut Decoder<'_>) -> Result<Epoch, DecodeError> {
    Ok(Epoch {
        number: decoder.u64()?,
        agreed: decoder.value()?,
        opening_balance: decoder.i128()?,
        mine: decode_log(decoder)?,
        theirs: decode_log(decoder)?,
        signed_totals: decoder.value()?,
        acknowledged: (decoder.u64()?, decoder.value()?),
        acknowledging: decoder.u64()?,
        owes_acknowledgement: decoder.bool()?,
        window_of_friend: {
            let count = decoder.count(UNACKNOWLEDGED_MAX, "the friend's window")?;
            (0..count).map(|_| decoder.u64()).collect::<Result<_, _>>()?
        },
        pendings: BTreeMap::new(),
        queue: BTreeMap::new(),
        queue_next: 0,
        unacknowledged: VecDeque::new(),
        cancelled_unacknowledged: BTreeSet::new(),
    })
}

fn encode_log(encoder: &mut Encoder, log: &Log) {
    encoder.u64(log.seq);
    encoder.value(&log.hash);
    encoder.value(&log.totals);
    encoder.u128(log.limit);
    encoder.bool(log.open);
    encoder.u64(log.checkpoint);
}

fn decode_log(decoder: &mut Decoder<'_>) -> Result<Log, DecodeError> {
    Ok(Log {
        seq: decoder.u64()?,
        hash: decoder.value()?,
        totals: decoder.value::<Totals>()?,
        limit: decoder.amount()?,
        open: decoder.bool()?,
        checkpoint: decoder.u64()?,
    })
}

fn encode_negotiation(negotiation: &Negotiation) -> Vec<u8> {
    let mut encoder = Encoder::new();
    for opening in [&negotiation.mine, &negotiation.theirs] {
        encoder.bytes(opening.as_ref().map_or(&[], |opening| opening.wire()));
    }
    encoder.option(&negotiation.mine_previous);
    encoder.option(&negotiation.theirs_previous);
    encoder.bool(negotiation.epoch_floor.is_some());
    encoder.u64(negotiation.epoch_floor.unwrap_or(0));
    encoder.finish()
}

fn decode_negotiation(decoder: &mut Decoder<'_>) -> Result<Negotiation, DecodeError> {
    let mut opening = || -> Result<Option<Verified<Opening>>, DecodeError> {
        let wire = decoder.bytes(<Opening as offst_proto::Signable>::BYTES_MAX, "an opening")?;
        if wire.is_empty() {
            return Ok(None);
        }
        Ok(Some(Unverified::<Opening>::from_wire(wire)?.trust_own_database()))
    };
    let (mine, theirs) = (opening()?, opening()?);
    let (mine_previous, theirs_previous): (Option<Hash>, Option<Hash>) = (decoder.option()?, decoder.option()?);
    let has_floor = decoder.bool()?;
    let floor = decoder.u64()?;
    Ok(Negotiation { mine, theirs, mine_previous, theirs_previous, epoch_floor: has_floor.then_some(floor) })
}

const STOP_REASONS: [StopReason; 13] = [
    StopReason::FriendReopened,
    StopReason::OwnStateLost,
    StopReason::FriendStateLost,
    StopReason::Owner,
    StopReason::Fault(Fault::Equivocation),
    StopReason::Fault(Fault::NotContinuing),
    StopReason::Fault(Fault::WrongAcknowledgement),
    StopReason::Fault(Fault::WrongStage),
    StopReason::Fault(Fault::WrongTotals),
    StopReason::Fault(Fault::OtherPendings),
    StopReason::Fault(Fault::OutOfRange),
    StopReason::Fault(Fault::TwoOpenings),
    StopReason::Fault(Fault::WindowPassed),
];

/// 0 for none, else one more than the place in [`STOP_REASONS`], which only grows at its end.
fn encode_stop_reason(encoder: &mut Encoder, reason: Option<StopReason>) {
    let code = reason.map_or(0, |reason| {
        let index = STOP_REASONS.iter().position(|known| *known == reason).expect("every reason is listed");
        index + 1
    });
    encoder.u8(u8::try_from(code).expect("there are few reasons"));
}

fn decode_stop_reason(decoder: &mut Decoder<'_>) -> Result<Option<StopReason>, DecodeError> {
    let code = usize::from(decoder.u8()?);
    if code == 0 {
        return Ok(None);
    }
    STOP_REASONS.get(code - 1).copied().map(Some).ok_or(DecodeError::invalid("why an account stopped"))
}
