//! The account as it lies in a database: what has changed since the last transaction, and how an account is built again.

use crate::account::Account;
use crate::changes::{AccountChange, Marks, QueuedOperation};
use crate::epoch::{Epoch, Kept, Queued};
use crate::fault::Fault;
use crate::key::{AccountKey, Side};
use crate::log::Log;
use crate::negotiation::{Agreement, Floor, Negotiation};
use crate::pending::{Direction, Pending};
use crate::recovery::{Head, Link, Recovery, Trust};
use crate::replay::{Checkpoint, Replay};
use crate::stop::StopReason;
use crate::view::View;
use offst_proto::encoding::{DecodeError, Decoder, Encoder};
use offst_proto::limits::{PENDING_MAX, UNACKNOWLEDGED_MAX};
use offst_proto::opening::Opening;
use offst_proto::statement::{Operation, Statement, Totals};
use offst_proto::{RequestId, Signable, Unverified, Verified};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

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
    /// See [`AccountChange::Openings`].
    pub openings: Vec<u8>,
    /// See [`AccountChange::Checkpoint`].
    pub checkpoint: Vec<u8>,
    /// The statements of both sides, each side's in the order of their seq.
    pub statements: Vec<Arc<[u8]>>,
}

impl AccountImage {
    /// The Openings on the table, and those that the epoch rests on, if one has begun.
    pub(crate) fn openings(&self) -> Result<(Negotiation, Option<Agreement>), DecodeError> {
        let mut decoder = Decoder::new(&self.negotiation);
        let negotiation = decode_negotiation(&mut decoder)?;
        decoder.finish()?;
        let agreement = if self.openings.is_empty() { None } else { Some(decode_openings(&self.openings)?) };
        Ok((negotiation, agreement))
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
            if marks.clear {
                changes.push(AccountChange::Openings(encode_openings(&epoch.agreement)));
            }
            if let Some(set) = marks.checkpoint {
                changes.push(AccountChange::Checkpoint(set));
            }
            let touched: Vec<_> = if marks.clear {
                epoch.pendings.iter().map(|(key, _)| key).collect()
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
            let needed_from = epoch.kept.from;
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

    /// Whether a restart that gives `stored` goes on with this account: all but what belongs to the connection and to the next
    /// transaction is the same. For checks from outside.
    pub fn is_same_as(&self, stored: &Account) -> bool {
        let lasting = |account: &Account| {
            let mut account = account.clone();
            account.disconnected();
            account.marks = Marks::default();
            // Of our own statements that wait for an acknowledgement the first may be the checkpoint, whose moves nobody needs.
            let signed = account.epoch.as_mut().map(|epoch| {
                epoch.queue_next = 0;
                let view = epoch.signed_view();
                let said = std::mem::take(&mut epoch.unacknowledged).into_iter().map(|said| said.wire);
                (view, said.collect::<Vec<_>>())
            });
            (account, signed)
        };
        lasting(self) == lasting(stored)
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
        let recovery = decode_recovery(&mut decoder)?;
        let mut epoch =
            if decoder.bool()? { Some(decode_epoch(&mut decoder, decode_openings(&image.openings)?)?) } else { None };
        decoder.finish()?;
        let mut marks = Marks::default();
        if let Some(epoch) = &mut epoch {
            for (direction, id, pending) in image.pendings {
                epoch.pendings.set((direction, id), Some(pending));
            }
            for (counter, QueuedOperation { operation, amount }) in image.queue {
                epoch.queue_next = epoch.queue_next.max(counter + 1);
                epoch.queue.insert(counter, Queued { operation, amount });
                marks.queue_stored.insert(counter);
            }
            if !epoch.is_sound() {
                return Err(DecodeError::invalid("the sum of the stored requests"));
            }
            follow_again(epoch, &key, &image.checkpoint, image.statements)?;
        }
        Ok(Account { key, negotiation, epoch, stopped, wanted_limit, wanted_open, resumed: false, recovery, marks })
    }

    fn encode_head(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        encoder.u128(self.wanted_limit);
        encoder.bool(self.wanted_open);
        encode_stop_reason(&mut encoder, self.stopped);
        encode_recovery(&mut encoder, &self.recovery);
        encoder.bool(self.epoch.is_some());
        if let Some(epoch) = &self.epoch {
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
            encoder.u8(epoch.kept.checkpoint_of.map_or(0, |side| 1 + side as u8));
            encoder.u64(epoch.kept.from[0]);
            encoder.u64(epoch.kept.from[1]);
        }
        encoder.finish()
    }
}

/// Follows both logs from the newest checkpoint of the friend's: what it has seen, and what of ours it has not acknowledged.
fn follow_again(
    epoch: &mut Epoch,
    key: &AccountKey,
    set: &[u8],
    statements: Vec<Arc<[u8]>>,
) -> Result<(), DecodeError> {
    let statements = statements
        .into_iter()
        .map(|wire| Ok(Unverified::<Statement>::from_wire(&wire)?.trust_own_database()))
        .collect::<Result<Vec<_>, DecodeError>>()?;
    let checkpoint = epoch.kept.checkpoint_of.map(|side| Checkpoint { author: key.of(side), set });
    let mut replay = Replay::begin(key, (*epoch.agreement).clone(), checkpoint);
    let followed = replay.take_all(statements).and_then(|()| replay.finish());
    let followed = followed.map_err(|_| DecodeError::invalid("a stored statement"))?;
    let place = |log: &Log| (log.seq, log.hash);
    let is_whole = place(&followed.mine) == place(&epoch.mine)
        && place(&followed.theirs) == place(&epoch.theirs)
        && followed.acknowledged == epoch.acknowledged
        && followed.mine.totals == epoch.signed_totals
        && followed.theirs.totals == epoch.theirs.totals;
    if !is_whole {
        return Err(DecodeError::invalid("the number of stored statements"));
    }
    epoch.seen = followed.seen;
    epoch.unacknowledged = followed.unacknowledged;
    Ok(())
}

fn decode_epoch(decoder: &mut Decoder<'_>, agreement: Agreement) -> Result<Epoch, DecodeError> {
    Ok(Epoch {
        number: agreement.number,
        agreed: agreement.agreed,
        opening_balance: agreement.mine.balance,
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
        kept: Kept {
            checkpoint_of: match decoder.u8()? {
                0 => None,
                1 => Some(Side::Local),
                2 => Some(Side::Remote),
                _ => return Err(DecodeError::invalid("whose checkpoint it is")),
            },
            from: [decoder.u64()?, decoder.u64()?],
        },
        pendings: View::default(),
        seen: View::default(),
        queue: BTreeMap::new(),
        queue_next: 0,
        unacknowledged: VecDeque::new(),
        agreement: Box::new(agreement),
    })
}

const TRUST: [Trust; 4] = [Trust::Sound, Trust::Shown, Trust::Doubtful, Trust::Restored];

fn encode_recovery(encoder: &mut Encoder, recovery: &Recovery) {
    encoder.u8(recovery.trust as u8);
    let claims = recovery.claims.values();
    encoder.count(claims.clone().count());
    for claim in claims {
        encoder.value(claim);
    }
    encoder.bool(recovery.at_least.is_some());
    if let Some(Head { epoch, own, other }) = &recovery.at_least {
        encoder.u64(*epoch);
        for (seq, hash) in [own, other] {
            encoder.u64(*seq);
            encoder.value(hash);
        }
    }
}

fn decode_recovery(decoder: &mut Decoder<'_>) -> Result<Recovery, DecodeError> {
    let trust = *TRUST.get(usize::from(decoder.u8()?)).ok_or(DecodeError::invalid("how far an account is trusted"))?;
    let claims: Vec<Operation> = decoder.list(4 * PENDING_MAX, "the claims of an account")?;
    let claims = claims.into_iter().filter_map(|claim| Some((claim.request_id()?, claim))).collect();
    let at_least = if decoder.bool()? {
        let epoch = decoder.u64()?;
        let mut place = || Ok::<_, DecodeError>((decoder.u64()?, decoder.value()?));
        Some(Head { epoch, own: place()?, other: place()? })
    } else {
        None
    };
    Ok(Recovery { trust, claims, at_least, link: Link::default() })
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

fn encode_openings(agreement: &Agreement) -> Vec<u8> {
    let mut encoder = Encoder::new();
    encoder.bytes(agreement.mine.wire());
    encoder.bytes(agreement.theirs.wire());
    encoder.finish()
}

fn decode_openings(bytes: &[u8]) -> Result<Agreement, DecodeError> {
    let mut decoder = Decoder::new(bytes);
    let mut opening = || -> Result<Verified<Opening>, DecodeError> {
        let wire = decoder.bytes(Opening::BYTES_MAX, "an opening")?;
        Ok(Unverified::<Opening>::from_wire(wire)?.trust_own_database())
    };
    let (mine, theirs) = (opening()?, opening()?);
    decoder.finish()?;
    Agreement::of(mine, theirs).ok_or(DecodeError::invalid("the openings of an epoch"))
}

fn encode_negotiation(negotiation: &Negotiation) -> Vec<u8> {
    let mut encoder = Encoder::new();
    let Negotiation { mine, theirs, mine_previous, theirs_previous, floor } = negotiation;
    for opening in [mine, theirs, mine_previous, theirs_previous] {
        encoder.bytes(opening.as_ref().map_or(&[], |opening| opening.wire()));
    }
    for epoch in [floor.ended, floor.forgotten, floor.relied_on] {
        encoder.bool(epoch.is_some());
        encoder.u64(epoch.unwrap_or(0));
    }
    encoder.finish()
}

fn epoch_of(decoder: &mut Decoder<'_>) -> Result<Option<u64>, DecodeError> {
    let is_some = decoder.bool()?;
    let epoch = decoder.u64()?;
    Ok(is_some.then_some(epoch))
}

fn decode_negotiation(decoder: &mut Decoder<'_>) -> Result<Negotiation, DecodeError> {
    let mut opening = || -> Result<Option<Verified<Opening>>, DecodeError> {
        let wire = decoder.bytes(Opening::BYTES_MAX, "an opening")?;
        if wire.is_empty() {
            return Ok(None);
        }
        Ok(Some(Unverified::<Opening>::from_wire(wire)?.trust_own_database()))
    };
    let (mine, theirs, mine_previous, theirs_previous) = (opening()?, opening()?, opening()?, opening()?);
    let mut floor = Floor { ended: epoch_of(decoder)?, forgotten: epoch_of(decoder)?, relied_on: None };
    // Rows of older programs end here.
    if !decoder.is_at_end() {
        floor.relied_on = epoch_of(decoder)?;
    }
    Ok(Negotiation { mine, theirs, mine_previous, theirs_previous, floor })
}

const STOP_REASONS: [StopReason; 17] = [
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
    StopReason::Fault(Fault::NoCheckpoint),
    StopReason::Fault(Fault::TooManyRequests),
    StopReason::FriendWithholds,
    StopReason::BothStatesLost,
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
