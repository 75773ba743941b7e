//! The account as it lies in a database: the kinds of its rows, what the next transaction writes, and how an account is
//! built again.

use crate::account::Account;
use crate::changes::{Marks, Stored};
use crate::epoch::{Epoch, Kept, Queued};
use crate::fault::Fault;
use crate::key::{AccountId, AccountKey, RequestRef, Side};
use crate::log::Log;
use crate::negotiation::{Agreement, Floor, Negotiation};
use crate::pending::{Direction, Pending};
use crate::recovery::{AccountRecovery, Head, Link, StateTrust};
use crate::replay::{Checkpoint, Replay};
use crate::stop::StopReason;
use crate::view::View;
use offst_crypto::Hash;
use offst_proto::Amount;
use offst_proto::encoding::{DecodeError, Decoder, Encoder};
use offst_proto::limits::{PENDING_MAX, UNACKNOWLEDGED_MAX};
use offst_proto::opening::Opening;
use offst_proto::statement::{Operation, Statement, Totals};
use offst_proto::{RequestId, Signable, Unverified, Verified};
use offst_rows::{FieldReader, FieldWriter, Kind, RowChange, RowError, RowKey, Rows, UnknownFields};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// The fixed part of an account, written with every statement: logs, totals, limits.
pub const ACCOUNTS: Kind = Kind::state(2, "accounts");
/// The newest Openings, and which ones must not be signed again.
pub const NEGOTIATIONS: Kind = Kind::state(4, "negotiations");
/// Both Openings that the epoch rests on.
pub const OPENINGS: Kind = Kind::state(6, "openings");
/// The set of pending requests at the friend's newest checkpoint: the bytes whose hash it has signed.
pub const CHECKPOINTS: Kind = Kind::state(8, "checkpoints");
/// A request that has credits reserved or pending.
pub const PENDING_REQUESTS: Kind = Kind::state(10, "pending requests");
/// An operation that is durable but not signed.
pub const QUEUED_OPERATIONS: Kind = Kind::state(12, "queued operations");
/// What both sides have signed: the friend's statements from its newest checkpoint on, and ours from the one that it
/// acknowledges there. The bytes as they were signed.
pub const STATEMENTS: Kind = Kind::log(14, "statements");

/// All kinds of rows that an account has.
pub const ACCOUNT_KINDS: [Kind; 7] =
    [ACCOUNTS, NEGOTIATIONS, OPENINGS, CHECKPOINTS, PENDING_REQUESTS, QUEUED_OPERATIONS, STATEMENTS];

/// An operation that is durable but not signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedOperation {
    /// The operation.
    pub operation: Operation,
    /// Credits it moves between totals.
    pub moved: Amount,
}

impl QueuedOperation {
    /// The operation that waits in a row of [`QUEUED_OPERATIONS`].
    ///
    /// # Errors
    /// The row is damaged, or a newer version has written it.
    pub fn from_row(value: &[u8]) -> Result<Self, RowError> {
        let mut fields = FieldReader::new(QUEUED_OPERATIONS, value)?;
        let (moved, operation) = (fields.value(2)?, fields.value(4)?);
        // It is never written again, so what is unknown stays where it is.
        fields.finish()?;
        Ok(QueuedOperation { operation, moved })
    }
}

/// All rows of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountImage {
    /// See [`ACCOUNTS`].
    pub head: Vec<u8>,
    /// See [`NEGOTIATIONS`].
    pub negotiation: Vec<u8>,
    /// See [`PENDING_REQUESTS`].
    pub pendings: Vec<(Direction, RequestId, Pending)>,
    /// See [`QUEUED_OPERATIONS`].
    pub queue: Vec<(u64, QueuedOperation)>,
    /// See [`OPENINGS`].
    pub openings: Vec<u8>,
    /// See [`CHECKPOINTS`].
    pub checkpoint: Vec<u8>,
    /// The statements of both sides, each side's in the order of their seq; ours are marked.
    pub statements: Vec<(bool, u64, Arc<[u8]>)>,
    /// What a newer version has written into rows of requests.
    unknown: BTreeMap<(Kind, Vec<u8>), UnknownFields>,
}

fn damaged(kind: Kind) -> impl Fn(DecodeError) -> RowError {
    RowError::damaged(kind.name)
}

/// What stands in the key of a row behind the account.
fn read_suffix<'a, T>(
    kind: Kind,
    suffix: &'a [u8],
    read: impl FnOnce(&mut Decoder<'a>) -> Result<T, DecodeError>,
) -> Result<T, RowError> {
    let mut decoder = Decoder::new(suffix);
    let value = read(&mut decoder).map_err(damaged(kind))?;
    decoder.finish().map_err(damaged(kind))?;
    Ok(value)
}

fn pending_suffix((direction, id): (Direction, RequestId)) -> Vec<u8> {
    let mut encoder = Encoder::new();
    encoder.u8(match direction {
        Direction::Outgoing => 0,
        Direction::Incoming => 1,
    });
    encoder.value(&id);
    encoder.finish()
}

/// The key of the row of a request, in [`PENDING_REQUESTS`].
pub fn pending_key(direction: Direction, request: &RequestRef) -> Vec<u8> {
    let mut key = request.account.to_bytes();
    key.extend(pending_suffix((direction, request.id)));
    key
}

fn read_pending_suffix(decoder: &mut Decoder<'_>) -> Result<(Direction, RequestId), DecodeError> {
    let direction = if decoder.bool()? { Direction::Incoming } else { Direction::Outgoing };
    Ok((direction, decoder.value()?))
}

fn queue_suffix(counter: u64) -> Vec<u8> {
    counter.to_be_bytes().to_vec()
}

fn statement_suffix(mine: bool, seq: u64) -> Vec<u8> {
    let mut encoder = Encoder::new();
    encoder.bool(mine);
    encoder.u64(seq);
    encoder.finish()
}

impl AccountImage {
    /// The rows of `account` among those of a node; an account that does not exist has none.
    ///
    /// # Errors
    /// A key, or the row of a request, cannot be read.
    pub fn of(account: &AccountId, rows: &Rows) -> Result<Self, RowError> {
        let prefix = account.to_bytes();
        let of = |kind: Kind| {
            let length = prefix.len();
            rows.with_prefix(kind, &prefix).map(move |(key, value)| (&key[length..], value))
        };
        let one = |kind: Kind| rows.get(kind, &prefix).unwrap_or_default().to_vec();
        let mut image = AccountImage {
            head: one(ACCOUNTS),
            negotiation: one(NEGOTIATIONS),
            openings: one(OPENINGS),
            checkpoint: one(CHECKPOINTS),
            ..AccountImage::default()
        };
        for (suffix, value) in of(PENDING_REQUESTS) {
            let (direction, id) = read_suffix(PENDING_REQUESTS, suffix, read_pending_suffix)?;
            let mut fields = FieldReader::new(PENDING_REQUESTS, value)?;
            image.pendings.push((direction, id, fields.value(2)?));
            keep_unknown(&mut image.unknown, PENDING_REQUESTS, suffix, fields.finish()?);
        }
        for (suffix, value) in of(QUEUED_OPERATIONS) {
            let counter = read_suffix(QUEUED_OPERATIONS, suffix, Decoder::u64)?;
            image.queue.push((counter, QueuedOperation::from_row(value)?));
        }
        for (suffix, value) in of(STATEMENTS) {
            let (mine, seq) = read_suffix(STATEMENTS, suffix, |decoder| Ok((decoder.bool()?, decoder.u64()?)))?;
            image.statements.push((mine, seq, value.into()));
        }
        Ok(image)
    }

    /// The Openings on the table, and those that the epoch rests on, if one has begun.
    pub(crate) fn openings(&self) -> Result<(Negotiation, Option<Agreement>), RowError> {
        let (negotiation, _) = read_negotiation(&self.negotiation)?;
        let agreement = if self.openings.is_empty() { None } else { Some(read_openings(&self.openings)?) };
        Ok((negotiation, agreement))
    }
}

/// The accounts whose rows are among those of a node.
///
/// # Errors
/// The key of a row is none.
pub fn stored_accounts(rows: &Rows) -> Result<Vec<AccountId>, RowError> {
    rows.of(ACCOUNTS).map(|(key, _)| AccountId::from_bytes(key).map_err(damaged(ACCOUNTS))).collect()
}

fn keep_unknown(
    unknown: &mut BTreeMap<(Kind, Vec<u8>), UnknownFields>,
    kind: Kind,
    suffix: &[u8],
    fields: UnknownFields,
) {
    if !fields.is_empty() {
        unknown.insert((kind, suffix.to_vec()), fields);
    }
}

/// The changes of one account's rows.
struct RowWriter {
    prefix: Vec<u8>,
    changes: Vec<RowChange>,
}

impl RowWriter {
    fn write(&mut self, kind: Kind, suffix: &[u8], value: Option<Vec<u8>>) {
        let mut key = Vec::with_capacity(self.prefix.len() + suffix.len());
        key.extend_from_slice(&self.prefix);
        key.extend_from_slice(suffix);
        self.changes.push(RowChange::bytes(kind, key, value));
    }
}

impl Account {
    /// What the next transaction has to write for this account, and nothing twice.
    ///
    /// # Panics
    /// When totals and pending requests differ: such a state must not become durable.
    pub fn take_changes(&mut self) -> Vec<RowChange> {
        if self.marks.is_empty() {
            return Vec::new();
        }
        let marks = std::mem::take(&mut self.marks);
        let mut stored = marks.stored;
        let mut writer = RowWriter { prefix: self.key.id().to_bytes(), changes: Vec::new() };
        if marks.is_new_epoch {
            remove_log(&mut writer, &mut stored);
            stored.unknown.retain(|(kind, _), _| matches!(*kind, ACCOUNTS | NEGOTIATIONS));
        }
        // Hardly any row has fields that are unknown, and then no key is made to look for them.
        let unknown = |kind: Kind, suffix: &[u8]| match stored.unknown.is_empty() {
            true => UnknownFields::none(),
            false => stored.unknown.get(&(kind, suffix.to_vec())).cloned().unwrap_or_default(),
        };
        if marks.negotiation {
            let row = write_negotiation(&self.negotiation, &unknown(NEGOTIATIONS, &[]));
            writer.write(NEGOTIATIONS, &[], Some(row));
        }
        writer.write(ACCOUNTS, &[], Some(self.write_head(&unknown(ACCOUNTS, &[]))));
        let mut pendings = marks.pendings;
        if let Some(epoch) = &self.epoch {
            epoch.assert_sound();
            if marks.is_new_epoch {
                pendings.extend(epoch.local_view.iter().map(|(key, _)| key));
                writer.write(OPENINGS, &[], Some(write_openings(&epoch.agreement, &unknown(OPENINGS, &[]))));
                stored.openings = true;
            }
            if let Some(set) = marks.checkpoint {
                writer.write(CHECKPOINTS, &[], Some(set));
                stored.checkpoint = true;
            }
        }
        for (direction, id) in pendings {
            let suffix = pending_suffix((direction, id));
            let pending = self.epoch.as_ref().and_then(|epoch| epoch.pending(direction, id));
            let row = pending.map(|pending| {
                let mut fields = FieldWriter::default();
                fields.value(2, pending);
                fields.finish(&unknown(PENDING_REQUESTS, &suffix))
            });
            writer.write(PENDING_REQUESTS, &suffix, row);
        }
        if let Some(epoch) = &self.epoch {
            write_queue(epoch, marks.is_new_epoch, &mut writer, &mut stored);
            let needed_from = epoch.kept.from;
            for (mine, seq, wire) in marks.statements {
                let side = usize::from(!mine);
                if seq < needed_from[side] {
                    continue;
                }
                writer.write(STATEMENTS, &statement_suffix(mine, seq), Some(wire.to_vec()));
                let range = &mut stored.statements[side];
                *range = if range.is_empty() { seq..seq + 1 } else { range.start..seq + 1 };
            }
            for (mine, side) in [(true, 0), (false, 1)] {
                let range = &mut stored.statements[side];
                let dropped = range.start..needed_from[side].clamp(range.start, range.end);
                range.start = dropped.end;
                dropped.for_each(|seq| writer.write(STATEMENTS, &statement_suffix(mine, seq), None));
            }
        }
        self.marks = Marks { stored, ..Marks::default() };
        writer.changes
    }

    /// What takes all rows of this account out of the database.
    pub fn remove_rows(&mut self) -> Vec<RowChange> {
        let marks = std::mem::take(&mut self.marks);
        let mut stored = marks.stored;
        let mut writer = RowWriter { prefix: self.key.id().to_bytes(), changes: Vec::new() };
        remove_log(&mut writer, &mut stored);
        let pendings = self.epoch.iter().flat_map(|epoch| epoch.local_view.iter().map(|(key, _)| key));
        let pendings = marks.pendings.into_iter().chain(pendings).collect::<std::collections::BTreeSet<_>>();
        pendings.into_iter().for_each(|key| writer.write(PENDING_REQUESTS, &pending_suffix(key), None));
        for counter in stored.queue {
            writer.write(QUEUED_OPERATIONS, &queue_suffix(counter), None);
        }
        writer.write(NEGOTIATIONS, &[], None);
        writer.write(ACCOUNTS, &[], None);
        writer.changes
    }

    /// The kinds of those of its rows into which a newer version has written fields that this one does not know.
    pub fn newer_kinds(&self) -> impl Iterator<Item = Kind> {
        self.marks.stored.unknown.keys().map(|(kind, _)| *kind)
    }

    /// Whether a restart that gives `stored` goes on with this account: all but what belongs to the connection and to
    /// the next transaction is the same. For checks from outside.
    pub fn is_same_as(&self, stored: &Account) -> bool {
        let lasting = |account: &Account| {
            let mut account = account.clone();
            account.disconnected();
            account.marks = Marks::default();
            // Of our own statements that wait for an acknowledgement the first may be the checkpoint, whose moves
            // nobody needs.
            let signed = account.epoch.as_mut().map(|epoch| {
                epoch.queue_next = 0;
                let view = epoch.signed_view();
                let sent = std::mem::take(&mut epoch.unacknowledged).into_iter().map(|sent| sent.wire);
                (view, sent.collect::<Vec<_>>())
            });
            (account, signed)
        };
        lasting(self) == lasting(stored)
    }

    /// Builds an account from its rows.
    ///
    /// # Errors
    /// The rows are not what [`Account::take_changes`] wrote, or a newer version has written them.
    pub fn restore(key: AccountKey, image: AccountImage) -> Result<Self, RowError> {
        let mut stored = Stored {
            openings: !image.openings.is_empty(),
            checkpoint: !image.checkpoint.is_empty(),
            unknown: image.unknown,
            ..Stored::default()
        };
        let (negotiation, unknown) = read_negotiation(&image.negotiation)?;
        keep_unknown(&mut stored.unknown, NEGOTIATIONS, &[], unknown);
        let mut fields = FieldReader::new(ACCOUNTS, &image.head)?;
        let wanted_limit = fields.value(2)?;
        let wanted_open = fields.with(4, Decoder::bool)?;
        let stopped = fields.option_with(6, decode_stop_reason)?;
        let recovery = fields.option_with(8, decode_recovery)?.unwrap_or_default();
        let mut epoch = match read_epoch_fields(&mut fields)? {
            Some(epoch) => Some(epoch.restore(read_openings(&image.openings)?)),
            None if image.openings.is_empty() && image.pendings.is_empty() && image.statements.is_empty() => None,
            None => return Err(damaged(ACCOUNTS)(DecodeError::invalid("an account without its epoch"))),
        };
        keep_unknown(&mut stored.unknown, ACCOUNTS, &[], fields.finish()?);
        for (mine, seq, _) in &image.statements {
            let range = &mut stored.statements[usize::from(!mine)];
            *range = if range.is_empty() { *seq..seq + 1 } else { range.start..seq + 1 };
        }
        if let Some(epoch) = &mut epoch {
            for (direction, id, pending) in image.pendings {
                epoch.local_view.set((direction, id), Some(pending));
            }
            for (counter, QueuedOperation { operation, moved }) in image.queue {
                epoch.queue_next = epoch.queue_next.max(counter + 1);
                epoch.queue.insert(counter, Queued { operation, moved });
                stored.queue.insert(counter);
            }
            if !epoch.is_sound() {
                return Err(damaged(PENDING_REQUESTS)(DecodeError::invalid("the sum of the stored requests")));
            }
            let statements = image.statements.into_iter().map(|(_, _, wire)| wire).collect();
            follow_again(epoch, &key, &image.checkpoint, statements).map_err(damaged(STATEMENTS))?;
        }
        let marks = Marks { stored, ..Marks::default() };
        Ok(Account { key, negotiation, epoch, stopped, wanted_limit, wanted_open, resumed: false, recovery, marks })
    }

    fn write_head(&self, unknown: &UnknownFields) -> Vec<u8> {
        let mut fields = FieldWriter::default();
        fields.value(2, &self.wanted_limit);
        fields.with(4, |encoder| encoder.bool(self.wanted_open));
        fields.option_with(6, self.stopped, encode_stop_reason);
        if self.recovery.is_to_be_stored() {
            fields.with(8, |encoder| encode_recovery(encoder, &self.recovery));
        }
        if let Some(epoch) = &self.epoch {
            fields.with(10, |encoder| encode_log(encoder, &epoch.mine));
            fields.with(12, |encoder| encode_log(encoder, &epoch.theirs));
            fields.value(14, &epoch.signed_totals);
            fields.with(16, |encoder| {
                encoder.u64(epoch.acknowledged.0);
                encoder.value(&epoch.acknowledged.1);
            });
            fields.with(18, |encoder| {
                encoder.u64(epoch.acknowledging);
                encoder.bool(epoch.owes_acknowledgement);
            });
            fields.with(20, |encoder| {
                encoder.count(epoch.peer_window.len());
                for seq in &epoch.peer_window {
                    encoder.u64(*seq);
                }
            });
            fields.with(22, |encoder| {
                encoder.u8(epoch.kept.checkpoint_of.map_or(0, |side| 1 + side as u8));
                encoder.u64(epoch.kept.from[0]);
                encoder.u64(epoch.kept.from[1]);
            });
        }
        fields.finish(unknown)
    }
}

/// Takes out what an epoch leaves behind besides its requests.
fn remove_log(writer: &mut RowWriter, stored: &mut Stored) {
    for (mine, side) in [(true, 0), (false, 1)] {
        let range = std::mem::take(&mut stored.statements[side]);
        range.for_each(|seq| writer.write(STATEMENTS, &statement_suffix(mine, seq), None));
    }
    for (kind, is_stored) in [(OPENINGS, &mut stored.openings), (CHECKPOINTS, &mut stored.checkpoint)] {
        if std::mem::take(is_stored) {
            writer.write(kind, &[], None);
        }
    }
}

/// `is_new`: what is stored under the same counters belongs to another epoch.
fn write_queue(epoch: &Epoch, is_new: bool, writer: &mut RowWriter, stored: &mut Stored) {
    for counter in stored.queue.iter().filter(|counter| !epoch.queue.contains_key(counter)) {
        writer.write(QUEUED_OPERATIONS, &queue_suffix(*counter), None);
    }
    for (counter, Queued { operation, moved }) in &epoch.queue {
        if is_new || !stored.queue.contains(counter) {
            let mut fields = FieldWriter::default();
            fields.value(2, moved);
            fields.value(4, operation);
            let row = fields.finish(&UnknownFields::none());
            writer.write(QUEUED_OPERATIONS, &queue_suffix(*counter), Some(row));
        }
    }
    stored.queue = epoch.queue.keys().copied().collect();
}

/// Follows both logs from the newest checkpoint of the friend's: what it has seen, and what of ours it has not
/// acknowledged.
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
    epoch.peer_view = followed.peer_view;
    epoch.unacknowledged = followed.unacknowledged;
    Ok(())
}

/// What the row of an account says of its epoch; the Openings and the requests have rows of their own.
struct StoredEpoch {
    mine: Log,
    theirs: Log,
    signed_totals: Totals,
    acknowledged: (u64, Hash),
    acknowledging: (u64, bool),
    peer_window: VecDeque<u64>,
    kept: Kept,
}

/// None when no epoch has begun.
fn read_epoch_fields(fields: &mut FieldReader<'_>) -> Result<Option<StoredEpoch>, RowError> {
    let Some(mine) = fields.option_with(10, decode_log)? else { return Ok(None) };
    Ok(Some(StoredEpoch {
        mine,
        theirs: fields.with(12, decode_log)?,
        signed_totals: fields.value(14)?,
        acknowledged: fields.with(16, |decoder| Ok((decoder.u64()?, decoder.value()?)))?,
        acknowledging: fields.with(18, |decoder| Ok((decoder.u64()?, decoder.bool()?)))?,
        peer_window: fields.with(20, |decoder| {
            let count = decoder.count(UNACKNOWLEDGED_MAX, "the friend's window")?;
            (0..count).map(|_| decoder.u64()).collect()
        })?,
        kept: fields.with(22, |decoder| {
            let checkpoint_of = match decoder.u8()? {
                0 => None,
                1 => Some(Side::Local),
                2 => Some(Side::Remote),
                _ => return Err(DecodeError::invalid("whose checkpoint it is")),
            };
            Ok(Kept { checkpoint_of, from: [decoder.u64()?, decoder.u64()?] })
        })?,
    }))
}

impl StoredEpoch {
    fn restore(self, agreement: Agreement) -> Epoch {
        let (acknowledging, owes_acknowledgement) = self.acknowledging;
        Epoch {
            number: agreement.number,
            agreed: agreement.agreed,
            opening_balance: agreement.mine.balance,
            mine: self.mine,
            theirs: self.theirs,
            signed_totals: self.signed_totals,
            acknowledged: self.acknowledged,
            acknowledging,
            owes_acknowledgement,
            peer_window: self.peer_window,
            kept: self.kept,
            local_view: View::default(),
            peer_view: View::default(),
            queue: BTreeMap::new(),
            queue_next: 0,
            unacknowledged: VecDeque::new(),
            agreement: Box::new(agreement),
        }
    }
}

const STATE_TRUST: [StateTrust; 4] =
    [StateTrust::Current, StateTrust::PeerLostState, StateTrust::Suspect, StateTrust::Recovered];

fn encode_recovery(encoder: &mut Encoder, recovery: &AccountRecovery) {
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

fn decode_recovery(decoder: &mut Decoder<'_>) -> Result<AccountRecovery, DecodeError> {
    let trust =
        *STATE_TRUST.get(usize::from(decoder.u8()?)).ok_or(DecodeError::invalid("how far an account is trusted"))?;
    let claims: Vec<Operation> = decoder.list(4 * PENDING_MAX, "the claims of an account")?;
    let claims = claims.into_iter().filter_map(|claim| Some((claim.request_id()?, claim))).collect();
    let at_least = if decoder.bool()? {
        let epoch = decoder.u64()?;
        let mut place = || Ok::<_, DecodeError>((decoder.u64()?, decoder.value()?));
        Some(Head { epoch, own: place()?, other: place()? })
    } else {
        None
    };
    Ok(AccountRecovery { trust, claims, at_least, link: Link::default() })
}

fn encode_log(encoder: &mut Encoder, log: &Log) {
    encoder.u64(log.seq);
    encoder.value(&log.hash);
    encoder.value(&log.totals);
    encoder.value(&log.limit);
    encoder.bool(log.open);
    encoder.u64(log.checkpoint);
}

fn decode_log(decoder: &mut Decoder<'_>) -> Result<Log, DecodeError> {
    Ok(Log {
        seq: decoder.u64()?,
        hash: decoder.value()?,
        totals: decoder.value::<Totals>()?,
        limit: decoder.value()?,
        open: decoder.bool()?,
        checkpoint: decoder.u64()?,
    })
}

fn encode_opening(encoder: &mut Encoder, opening: &Verified<Opening>) {
    encoder.fixed(opening.wire());
}

/// A field that holds a signed Opening and nothing else.
fn read_opening(fields: &mut FieldReader<'_>, tag: u8) -> Result<Option<Verified<Opening>>, RowError> {
    fields.option_with(tag, |decoder| {
        let wire = decoder.rest(Opening::BYTES_MAX, "an opening")?;
        Ok(Unverified::<Opening>::from_wire(wire)?.trust_own_database())
    })
}

fn write_openings(agreement: &Agreement, unknown: &UnknownFields) -> Vec<u8> {
    let mut fields = FieldWriter::default();
    fields.with(2, |encoder| encode_opening(encoder, &agreement.mine));
    fields.with(4, |encoder| encode_opening(encoder, &agreement.theirs));
    fields.finish(unknown)
}

fn read_openings(bytes: &[u8]) -> Result<Agreement, RowError> {
    let mut fields = FieldReader::new(OPENINGS, bytes)?;
    let wrong = || damaged(OPENINGS)(DecodeError::invalid("the openings of an epoch"));
    let mut opening = |tag| read_opening(&mut fields, tag)?.ok_or_else(wrong);
    let (mine, theirs) = (opening(2)?, opening(4)?);
    fields.finish()?;
    Agreement::of(mine, theirs).ok_or_else(wrong)
}

fn write_negotiation(negotiation: &Negotiation, unknown: &UnknownFields) -> Vec<u8> {
    let mut fields = FieldWriter::default();
    let Negotiation { mine, theirs, mine_previous, theirs_previous, floor } = negotiation;
    for (tag, opening) in [(2, mine), (4, theirs), (6, mine_previous), (8, theirs_previous)] {
        fields.option_with(tag, opening.as_ref(), encode_opening);
    }
    for (tag, epoch) in [(10, floor.ended), (12, floor.lost_up_to), (14, floor.relied_on)] {
        fields.option_with(tag, epoch, Encoder::u64);
    }
    fields.finish(unknown)
}

fn read_negotiation(bytes: &[u8]) -> Result<(Negotiation, UnknownFields), RowError> {
    let mut fields = FieldReader::new(NEGOTIATIONS, bytes)?;
    let mut opening = |tag| read_opening(&mut fields, tag);
    let (mine, theirs, mine_previous, theirs_previous) = (opening(2)?, opening(4)?, opening(6)?, opening(8)?);
    let mut epoch = |tag| fields.option_with(tag, Decoder::u64);
    let floor = Floor { ended: epoch(10)?, lost_up_to: epoch(12)?, relied_on: epoch(14)? };
    Ok((Negotiation { mine, theirs, mine_previous, theirs_previous, floor }, fields.finish()?))
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

/// The place in [`STOP_REASONS`], which only grows at its end.
fn encode_stop_reason(encoder: &mut Encoder, reason: StopReason) {
    let index = STOP_REASONS.iter().position(|known| *known == reason).expect("every reason is listed");
    encoder.u8(u8::try_from(index).expect("there are few reasons"));
}

fn decode_stop_reason(decoder: &mut Decoder<'_>) -> Result<StopReason, DecodeError> {
    let index = usize::from(decoder.u8()?);
    STOP_REASONS.get(index).copied().ok_or(DecodeError::invalid("why an account stopped"))
}
