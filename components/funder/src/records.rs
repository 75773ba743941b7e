//! What a funder keeps, and how it lies in a database.

use crate::archive::Allowance;
use offst_crypto::{HashLock, Nonce, Preimage, PublicKey, Secret, Signature};
use offst_ledger::{Account, AccountId, RequestRef};
use offst_proto::encoding::{Canonical, DecodeError, Decoder, Encoder};
use offst_proto::invoice::Invoice;
use offst_proto::key_replacement::KeyReplacement;
use offst_proto::limits::{CURRENCIES_MAX, HOPS_MAX, NAME_BYTES_MAX, PARTS_MAX, RELAYS_MAX};
use offst_proto::receipt::{Receipt, ReceiptPart};
use offst_proto::report::{InvoiceStatus, PaymentKind, PaymentStatus};
use offst_proto::ticket::{Address, ServerTicket, decode_optional_address, encode_optional_address};
use offst_proto::{Currency, InvoiceId, PaymentId, Rate, RequestId, Signable, Unverified, Verified};
use offst_rows::{FieldReader, FieldWriter, Kind, Row, RowError};
use std::collections::{BTreeMap, BTreeSet};

/// What the owner has told us of a friend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FriendRecord {
    /// The owner's name for the friend.
    pub name: String,
    /// Its relays.
    pub relays: Vec<ServerTicket>,
    /// Where it can be called without a relay.
    pub address: Option<Address>,
    /// Whether it is used.
    pub standing: Standing,
    /// What is taken for forwarding requests that come from it.
    pub rates: BTreeMap<Currency, Rate>,
    /// What it may still collect at most, credits, of all that is written off without asking the owner; none: nothing is.
    pub auto_write_offs: BTreeMap<Currency, u128>,
}

/// Whether a friend is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is.
    Enabled,
    /// No new requests; disabled when none is pending.
    Disabling,
    /// No new requests; removed when none is pending.
    Removing {
        /// Also with a balance other than 0. Otherwise it is only disabled then.
        forgives: bool,
    },
    /// It is not.
    Disabled,
}

/// A friend as the running machine sees it.
#[derive(Debug)]
pub(crate) struct Friend {
    pub(crate) record: FriendRecord,
    pub(crate) accounts: BTreeMap<Currency, Account>,
    /// The live connection.
    pub(crate) connection: Option<crate::io::ConnectionId>,
    /// Since when it is up, uptime ms.
    pub(crate) connected_ms: u64,
    /// Committed requests that it has held for too long.
    pub(crate) overdue: BTreeSet<(Currency, RequestId)>,
    /// How often it may still have the database read.
    pub(crate) allowance: Allowance,
    /// It was asked in this run for the backup that it keeps.
    pub(crate) was_recalled: bool,
    /// It was asked for it on this connection, and has not answered yet.
    pub(crate) owes_backup: bool,
}

/// A request that we carry on for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// The friend it went to.
    pub to: PublicKey,
    /// Credits it freezes on the way out.
    pub amount: u128,
    /// Credits we earn.
    pub fee: u128,
    /// How long we wait for the commit, ms.
    pub patience_ms: u64,
    /// When it came, and when the response came, uptime ms. Not stored.
    pub arrived_ms: u64,
    /// See `arrived_ms`.
    pub responded_ms: Option<u64>,
    /// Until when it was counted that it waits, uptime ms, and what that has weighed on its lane. Not stored.
    pub counted_ms: u64,
    /// See `counted_ms`.
    pub weight: u64,
}

/// A request that ends here: we are the destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// The payment it is a part of.
    pub payment_id: PaymentId,
    /// The invoice it pays.
    pub invoice_id: Option<InvoiceId>,
    /// Credits that we get by it.
    pub amount: u128,
    /// Credits that we get by all parts.
    pub total: u128,
    /// How long we wait for all parts to be committed, ms.
    pub patience_ms: u64,
}

/// The last epoch of an account that was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tombstone {
    /// Nothing is signed in this epoch or one before it again.
    pub epoch: u64,
}

/// What we have agreed to when a friend lost its key. The rows of its accounts with the lost key stay as evidence, where no
/// running node sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement(pub Verified<KeyReplacement>);

/// A relay of ours, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relay(pub ServerTicket);

/// An index server of ours, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexServer(pub ServerTicket);

/// A server that the owner has named.
pub(crate) trait ServerRow {
    fn of(ticket: ServerTicket) -> Self;
    fn ticket(&self) -> &ServerTicket;
}

/// What the owner has set for the whole node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settings {
    /// Rings of debts are cleared without asking the owner.
    pub auto_clear: bool,
}

/// Whose request one of our outgoing requests is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It came from this friend.
    Forward(PublicKey),
    /// It is a part of a payment of ours.
    Payment(PaymentId),
}

/// An invoice of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvoiceRecord {
    /// The invoice itself.
    pub invoice: Verified<Invoice>,
    /// How it stands.
    pub status: InvoiceStatus,
    /// When it was made, unix ms.
    pub created_ms: u64,
}

/// How far a payment of ours has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Looking for ways, waiting for responses. Nothing binds us.
    Searching,
    /// All parts are committed: only the destination's collecting or cancelling ends it.
    Committed,
    /// The seller has collected.
    Paid,
    /// Nothing was moved.
    Failed,
}

/// A payment to ourselves: it passes us as buyer and as seller, never over one account in both roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Circle {
    /// Credit moves around a cycle that begins with this friend.
    Rebalance(PublicKey),
    /// It goes around a ring of debts, which become smaller.
    Clearing,
}

/// A payment of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// Its id.
    pub id: PaymentId,
    /// The application that has ordered it, whose budget it is paid from. None for those that the node has begun by itself.
    pub app: Option<PublicKey>,
    /// Who is paid.
    pub destination: PublicKey,
    /// For a payment to ourselves, what it is for.
    pub circle: Option<Circle>,
    /// The invoice and its secret; none for a spontaneous payment.
    pub invoice: Option<(InvoiceId, Secret)>,
    /// The currency.
    pub currency: Currency,
    /// What the destination gets, credits.
    pub total: u128,
    /// The most that mediators may take, credits; none: what the node pays by default.
    pub max_fee: Option<u128>,
    /// How long to look for a way, ms.
    pub timeout_ms: u64,
    /// When it was ordered, unix ms.
    pub created_ms: u64,
    /// When it ended, unix ms.
    pub ended_ms: Option<u64>,
    /// How far it has come.
    pub progress: Progress,
    /// Why the last attempt failed.
    pub reason: String,
    /// The parts under way or collected.
    pub parts: BTreeMap<RequestId, Part>,
}

/// A part of a payment of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The nodes after us; the first is the friend it goes to.
    pub route: Vec<PublicKey>,
    /// What the destination gets, credits.
    pub amount: u128,
    /// What the mediators get, credits.
    pub fees: u128,
    /// What the destination has signed.
    pub promise: Option<Promise>,
    /// What opened the lock.
    pub preimage: Option<Preimage>,
}

/// The destination's signed answer, as a receipt needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    /// What the preimage must hash to.
    pub lock: HashLock,
    /// Makes signatures differ.
    pub nonce: Nonce,
    /// Over [`offst_proto::payment::Response`].
    pub signature: Signature,
}

impl Payment {
    /// What it is for, for people.
    pub fn kind(&self) -> PaymentKind {
        match self.circle {
            None => PaymentKind::Payment,
            Some(Circle::Rebalance(_)) => PaymentKind::Rebalance,
            Some(Circle::Clearing) => PaymentKind::Clearing,
        }
    }

    /// How far it has come, for people.
    pub fn status(&self) -> PaymentStatus {
        match self.progress {
            Progress::Searching | Progress::Committed => PaymentStatus::Pending,
            Progress::Paid => PaymentStatus::Paid,
            Progress::Failed => PaymentStatus::Failed,
        }
    }

    /// What all parts carry to the destination, credits.
    pub fn underway(&self) -> u128 {
        self.parts.values().map(|part| part.amount).sum()
    }

    /// What mediators get of all parts, credits.
    pub fn fees(&self) -> u128 {
        self.parts.values().map(|part| part.fees).sum()
    }

    /// The receipt, once every part is collected.
    pub fn receipt(&self) -> Option<Receipt> {
        if self.progress != Progress::Paid || self.underway() != self.total {
            return None;
        }
        let parts = self.parts.iter().map(|(id, part)| {
            let promise = part.promise?;
            Some(ReceiptPart {
                request_id: *id,
                amount: part.amount,
                nonce: promise.nonce,
                lock: promise.lock,
                signature: promise.signature,
                preimage: part.preimage?,
            })
        });
        Some(Receipt {
            destination: self.destination,
            invoice_id: self.invoice.as_ref().map(|(id, _)| *id),
            payment_id: self.id,
            currency: self.currency.clone(),
            total: self.total,
            parts: parts.collect::<Option<_>>()?,
        })
    }
}

impl Row for FriendRecord {
    const KIND: Kind = Kind::state(16, "friends");
    type Key = PublicKey;

    fn write(&self, fields: &mut FieldWriter) {
        fields.with(2, |encoder| encoder.text(&self.name));
        fields.with(4, |encoder| encoder.list(&self.relays));
        fields.with(6, |encoder| encode_optional_address(encoder, self.address.as_ref()));
        fields.with(8, |encoder| {
            encoder.u8(match self.standing {
                Standing::Enabled => 0,
                Standing::Disabling => 1,
                Standing::Removing { forgives: false } => 2,
                Standing::Disabled => 3,
                Standing::Removing { forgives: true } => 4,
            });
        });
        fields.with(10, |encoder| {
            encoder.count(self.rates.len());
            for (currency, rate) in &self.rates {
                encoder.value(currency);
                encoder.value(rate);
            }
        });
        fields.with(12, |encoder| {
            encoder.count(self.auto_write_offs.len());
            for (currency, up_to) in &self.auto_write_offs {
                encoder.value(currency);
                encoder.u128(*up_to);
            }
        });
    }

    fn read(_: &PublicKey, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        Ok(FriendRecord {
            name: fields.with(2, |decoder| decoder.text(NAME_BYTES_MAX, "a name"))?,
            relays: fields.with(4, |decoder| decoder.list(RELAYS_MAX, "a list of relays"))?,
            address: fields.with(6, decode_optional_address)?,
            standing: fields.with(8, |decoder| {
                Ok(match decoder.u8()? {
                    0 => Standing::Enabled,
                    1 => Standing::Disabling,
                    2 => Standing::Removing { forgives: false },
                    3 => Standing::Disabled,
                    4 => Standing::Removing { forgives: true },
                    _ => return Err(DecodeError::invalid("a friend's standing")),
                })
            })?,
            rates: fields.with(10, |decoder| {
                let count = decoder.count(CURRENCIES_MAX, "rates")?;
                (0..count).map(|_| Ok((decoder.value()?, decoder.value()?))).collect()
            })?,
            auto_write_offs: fields.with(12, |decoder| {
                let count = decoder.count(CURRENCIES_MAX, "settings of an account")?;
                (0..count).map(|_| Ok((decoder.value()?, decoder.amount()?))).collect()
            })?,
        })
    }
}

/// Only what the owner has told is stored.
impl Row for Friend {
    const KIND: Kind = FriendRecord::KIND;
    type Key = PublicKey;

    fn write(&self, fields: &mut FieldWriter) {
        self.record.write(fields);
    }

    fn read(key: &PublicKey, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        FriendRecord::read(key, fields).map(Friend::new)
    }
}

impl Row for Tombstone {
    const KIND: Kind = Kind::state(18, "removed accounts");
    type Key = AccountId;

    fn write(&self, fields: &mut FieldWriter) {
        fields.with(2, |encoder| encoder.u64(self.epoch));
    }

    fn read(_: &AccountId, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        Ok(Tombstone { epoch: fields.with(2, Decoder::u64)? })
    }
}

/// By the lost key.
impl Row for Replacement {
    const KIND: Kind = Kind::state(20, "key replacements");
    type Key = PublicKey;

    fn write(&self, fields: &mut FieldWriter) {
        fields.with(2, |encoder| encoder.fixed(self.0.wire()));
    }

    fn read(_: &PublicKey, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        fields.with(2, |decoder| {
            let wire = decoder.rest(KeyReplacement::BYTES_MAX, "a key replacement")?;
            Ok(Replacement(Unverified::<KeyReplacement>::from_wire(wire)?.trust_own_database()))
        })
    }
}

impl ServerRow for Relay {
    fn of(ticket: ServerTicket) -> Self {
        Relay(ticket)
    }

    fn ticket(&self) -> &ServerTicket {
        &self.0
    }
}

impl Row for Relay {
    const KIND: Kind = Kind::state(22, "relays");
    type Key = String;

    fn write(&self, fields: &mut FieldWriter) {
        fields.value(2, &self.0);
    }

    fn read(_: &String, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        fields.value(2).map(Relay)
    }
}

impl ServerRow for IndexServer {
    fn of(ticket: ServerTicket) -> Self {
        IndexServer(ticket)
    }

    fn ticket(&self) -> &ServerTicket {
        &self.0
    }
}

impl Row for IndexServer {
    const KIND: Kind = Kind::state(24, "index servers");
    type Key = String;

    fn write(&self, fields: &mut FieldWriter) {
        fields.value(2, &self.0);
    }

    fn read(_: &String, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        fields.value(2).map(IndexServer)
    }
}

impl Row for Settings {
    const KIND: Kind = Kind::state(26, "settings");
    type Key = ();

    fn write(&self, fields: &mut FieldWriter) {
        fields.with(2, |encoder| encoder.bool(self.auto_clear));
    }

    fn read((): &(), fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        Ok(Settings { auto_clear: fields.with(2, Decoder::bool)? })
    }
}

/// By its incoming side.
impl Row for Forward {
    const KIND: Kind = Kind::state(28, "forwards");
    type Key = RequestRef;

    fn write(&self, fields: &mut FieldWriter) {
        fields.value(2, &self.to);
        fields.with(4, |encoder| encoder.u128(self.amount));
        fields.with(6, |encoder| encoder.u128(self.fee));
        fields.with(8, |encoder| encoder.u64(self.patience_ms));
    }

    fn read(_: &RequestRef, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        Ok(Forward {
            to: fields.value(2)?,
            amount: fields.with(4, Decoder::amount)?,
            fee: fields.with(6, Decoder::amount)?,
            patience_ms: fields.with(8, Decoder::u64)?,
            arrived_ms: 0,
            responded_ms: None,
            counted_ms: 0,
            weight: 0,
        })
    }
}

/// By its incoming side.
impl Row for Arrival {
    const KIND: Kind = Kind::state(32, "inbound parts");
    type Key = RequestRef;

    fn write(&self, fields: &mut FieldWriter) {
        fields.value(2, &self.payment_id);
        fields.option(4, self.invoice_id.as_ref());
        fields.with(6, |encoder| encoder.u128(self.amount));
        fields.with(8, |encoder| encoder.u128(self.total));
        fields.with(10, |encoder| encoder.u64(self.patience_ms));
    }

    fn read(_: &RequestRef, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        Ok(Arrival {
            payment_id: fields.value(2)?,
            invoice_id: fields.option(4)?,
            amount: fields.with(6, Decoder::amount)?,
            total: fields.with(8, Decoder::amount)?,
            patience_ms: fields.with(10, Decoder::u64)?,
        })
    }
}

impl Row for InvoiceRecord {
    const KIND: Kind = Kind::listed(34, "invoices");
    type Key = InvoiceId;

    fn write(&self, fields: &mut FieldWriter) {
        fields.with(2, |encoder| encoder.fixed(self.invoice.wire()));
        fields.with(4, |encoder| {
            encoder.u8(match self.status {
                InvoiceStatus::Open => 0,
                InvoiceStatus::Paid => 1,
                InvoiceStatus::Cancelled => 2,
                InvoiceStatus::Expired => 3,
            });
        });
        fields.with(6, |encoder| encoder.u64(self.created_ms));
    }

    fn read(id: &InvoiceId, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        Ok(InvoiceRecord {
            invoice: fields.with(2, |decoder| {
                let wire = decoder.rest(<Invoice as Signable>::BYTES_MAX, "an invoice")?;
                let invoice = Unverified::<Invoice>::from_wire(wire)?.trust_own_database();
                if invoice.id == *id { Ok(invoice) } else { Err(DecodeError::invalid("an invoice's id")) }
            })?,
            status: fields.with(4, |decoder| {
                Ok(match decoder.u8()? {
                    0 => InvoiceStatus::Open,
                    1 => InvoiceStatus::Paid,
                    2 => InvoiceStatus::Cancelled,
                    3 => InvoiceStatus::Expired,
                    _ => return Err(DecodeError::invalid("an invoice's status")),
                })
            })?,
            created_ms: fields.with(6, Decoder::u64)?,
        })
    }

    fn has_ended(&self) -> bool {
        self.status != InvoiceStatus::Open
    }
}

impl Canonical for Promise {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.value(&self.lock);
        encoder.value(&self.nonce);
        encoder.value(&self.signature);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Promise { lock: decoder.value()?, nonce: decoder.value()?, signature: decoder.value()? })
    }
}

impl Canonical for Part {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.list(&self.route);
        encoder.u128(self.amount);
        encoder.u128(self.fees);
        encoder.option(&self.promise);
        encoder.option(&self.preimage);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let route = decoder.list(HOPS_MAX, "a route")?;
        if route.is_empty() {
            return Err(DecodeError::invalid("a route"));
        }
        Ok(Part {
            route,
            amount: decoder.amount()?,
            fees: decoder.amount()?,
            promise: decoder.option()?,
            preimage: decoder.option()?,
        })
    }
}

impl Canonical for Circle {
    fn encode(&self, encoder: &mut Encoder) {
        match self {
            Circle::Rebalance(friend) => {
                encoder.u8(0);
                encoder.value(friend);
            }
            Circle::Clearing => encoder.u8(1),
        }
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(match decoder.u8()? {
            0 => Circle::Rebalance(decoder.value()?),
            1 => Circle::Clearing,
            _ => return Err(DecodeError::invalid("a payment to ourselves")),
        })
    }
}

impl Row for Payment {
    const KIND: Kind = Kind::listed(36, "payments");
    type Key = PaymentId;

    fn write(&self, fields: &mut FieldWriter) {
        fields.value(2, &self.destination);
        fields.value(4, &self.currency);
        fields.with(6, |encoder| encoder.u128(self.total));
        fields.with(8, |encoder| {
            encoder.u8(match self.progress {
                Progress::Searching => 0,
                Progress::Committed => 1,
                Progress::Paid => 2,
                Progress::Failed => 3,
            });
        });
        fields.with(10, |encoder| encoder.u64(self.created_ms));
        fields.with(12, |encoder| encoder.u64(self.timeout_ms));
        if let Some(ended_ms) = self.ended_ms {
            fields.with(14, |encoder| encoder.u64(ended_ms));
        }
        if let Some(max_fee) = self.max_fee {
            fields.with(16, |encoder| encoder.u128(max_fee));
        }
        fields.option(18, self.app.as_ref());
        fields.option(20, self.circle.as_ref());
        if let Some((id, secret)) = &self.invoice {
            fields.with(22, |encoder| {
                encoder.value(id);
                encoder.fixed(secret.as_bytes());
            });
        }
        fields.with(24, |encoder| encoder.text(&self.reason));
        fields.with(26, |encoder| {
            encoder.count(self.parts.len());
            for (id, part) in &self.parts {
                encoder.value(id);
                encoder.value(part);
            }
        });
    }

    fn read(id: &PaymentId, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        Ok(Payment {
            id: *id,
            destination: fields.value(2)?,
            currency: fields.value(4)?,
            total: fields.with(6, Decoder::amount)?,
            progress: fields.with(8, |decoder| {
                Ok(match decoder.u8()? {
                    0 => Progress::Searching,
                    1 => Progress::Committed,
                    2 => Progress::Paid,
                    3 => Progress::Failed,
                    _ => return Err(DecodeError::invalid("a payment's progress")),
                })
            })?,
            created_ms: fields.with(10, Decoder::u64)?,
            timeout_ms: fields.with(12, Decoder::u64)?,
            ended_ms: fields.option_with(14, Decoder::u64)?,
            max_fee: fields.option_with(16, Decoder::u128)?,
            app: fields.option(18)?,
            circle: fields.option(20)?,
            invoice: fields.option_with(22, |decoder| Ok((decoder.value()?, Secret::from_bytes(decoder.fixed()?))))?,
            reason: fields.with(24, |decoder| decoder.text(REASON_BYTES_MAX, "a reason"))?,
            parts: fields.with(26, |decoder| {
                let count = decoder.count(PARTS_MAX, "parts")?;
                (0..count).map(|_| Ok((decoder.value()?, decoder.value()?))).collect()
            })?,
        })
    }

    fn has_ended(&self) -> bool {
        matches!(self.progress, Progress::Paid | Progress::Failed)
    }

    /// Attempts to clear a ring are not in the database before they are committed.
    fn is_stored(&self) -> bool {
        self.circle != Some(Circle::Clearing) || self.progress != Progress::Searching
    }
}

/// Most bytes of a payment's reason.
pub(crate) const REASON_BYTES_MAX: usize = 1024;
