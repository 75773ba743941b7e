//! What a funder keeps, and how it lies in a database.

use crate::archive::Allowance;
use offst_crypto::{HashLock, Nonce, Preimage, PublicKey, Secret, Signature};
use offst_ledger::Account;
use offst_proto::encoding::{Canonical, DecodeError, Decoder, Encoder};
use offst_proto::invoice::Invoice;
use offst_proto::limits::{HOPS_MAX, NAME_BYTES_MAX, PARTS_MAX, RELAYS_MAX};
use offst_proto::receipt::{Receipt, ReceiptPart};
use offst_proto::report::{InvoiceStatus, PaymentKind, PaymentStatus};
use offst_proto::ticket::{Address, ServerTicket, decode_optional_address, encode_optional_address};
use offst_proto::{Currency, InvoiceId, PaymentId, Rate, RequestId, Signable, Unverified, Verified};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// Names an account from our side.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LineKey {
    /// The friend.
    pub friend: PublicKey,
    /// The currency.
    pub currency: Currency,
}

/// Names a request on one account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HopKey {
    /// The account.
    pub line: LineKey,
    /// The request.
    pub id: RequestId,
}

impl LineKey {
    /// A request on this account.
    pub fn hop(&self, id: RequestId) -> HopKey {
        HopKey { line: self.clone(), id }
    }

    /// All requests on this account that a map may hold.
    pub(crate) fn hops(&self) -> RangeInclusive<HopKey> {
        self.hop(RequestId::from_bytes([0; 16]))..=self.hop(RequestId::from_bytes([0xff; 16]))
    }
}

impl HopKey {
    /// The same request on the account with another friend: on its way it keeps its id and its currency.
    pub fn at(&self, friend: PublicKey) -> HopKey {
        HopKey { line: LineKey { friend, currency: self.line.currency.clone() }, id: self.id }
    }
}

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

    /// Whether it is in the database: attempts to clear a ring are not before they are committed.
    pub(crate) fn is_stored(&self) -> bool {
        self.circle != Some(Circle::Clearing) || self.progress != Progress::Searching
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

impl Canonical for FriendRecord {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.text(&self.name);
        encoder.list(&self.relays);
        encode_optional_address(encoder, self.address.as_ref());
        encoder.u8(match self.standing {
            Standing::Enabled => 0,
            Standing::Disabling => 1,
            Standing::Removing { forgives: false } => 2,
            Standing::Disabled => 3,
            Standing::Removing { forgives: true } => 4,
        });
        encoder.count(self.rates.len());
        for (currency, rate) in &self.rates {
            encoder.value(currency);
            encoder.value(rate);
        }
        // Left out where there is none: as it was written by earlier versions.
        if !self.auto_write_offs.is_empty() {
            encoder.count(self.auto_write_offs.len());
            for (currency, up_to) in &self.auto_write_offs {
                encoder.value(currency);
                encoder.u128(*up_to);
            }
        }
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let name = decoder.text(NAME_BYTES_MAX, "a name")?;
        let relays = decoder.list(RELAYS_MAX, "a list of relays")?;
        let address = decode_optional_address(decoder)?;
        let standing = match decoder.u8()? {
            0 => Standing::Enabled,
            1 => Standing::Disabling,
            2 => Standing::Removing { forgives: false },
            3 => Standing::Disabled,
            4 => Standing::Removing { forgives: true },
            _ => return Err(DecodeError::invalid("a friend's standing")),
        };
        let count = decoder.count(offst_proto::limits::CURRENCIES_MAX, "rates")?;
        let rates = (0..count).map(|_| Ok((decoder.value()?, decoder.value()?))).collect::<Result<_, DecodeError>>()?;
        let mut auto_write_offs = BTreeMap::new();
        if !decoder.is_at_end() {
            for _ in 0..decoder.count(offst_proto::limits::CURRENCIES_MAX, "settings of an account")? {
                auto_write_offs.insert(decoder.value()?, decoder.amount()?);
            }
        }
        Ok(FriendRecord { name, relays, address, standing, rates, auto_write_offs })
    }
}

impl Canonical for Forward {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.value(&self.to);
        encoder.u128(self.amount);
        encoder.u128(self.fee);
        encoder.u64(self.patience_ms);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Forward {
            to: decoder.value()?,
            amount: decoder.amount()?,
            fee: decoder.amount()?,
            patience_ms: decoder.u64()?,
            arrived_ms: 0,
            responded_ms: None,
            counted_ms: 0,
            weight: 0,
        })
    }
}

impl Canonical for Arrival {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.value(&self.payment_id);
        encoder.option(&self.invoice_id);
        encoder.u128(self.amount);
        encoder.u128(self.total);
        encoder.u64(self.patience_ms);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Arrival {
            payment_id: decoder.value()?,
            invoice_id: decoder.option()?,
            amount: decoder.amount()?,
            total: decoder.amount()?,
            patience_ms: decoder.u64()?,
        })
    }
}

impl Canonical for InvoiceRecord {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.bytes(self.invoice.wire());
        encoder.u8(match self.status {
            InvoiceStatus::Open => 0,
            InvoiceStatus::Paid => 1,
            InvoiceStatus::Cancelled => 2,
            InvoiceStatus::Expired => 3,
        });
        encoder.u64(self.created_ms);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let wire = decoder.bytes(<Invoice as Signable>::BYTES_MAX, "an invoice")?;
        Ok(InvoiceRecord {
            invoice: Unverified::<Invoice>::from_wire(wire)?.trust_own_database(),
            status: match decoder.u8()? {
                0 => InvoiceStatus::Open,
                1 => InvoiceStatus::Paid,
                2 => InvoiceStatus::Cancelled,
                3 => InvoiceStatus::Expired,
                _ => return Err(DecodeError::invalid("an invoice's status")),
            },
            created_ms: decoder.u64()?,
        })
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

impl Canonical for Payment {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.value(&self.id);
        encoder.value(&self.destination);
        encoder.option(&self.circle);
        encoder.bool(self.invoice.is_some());
        if let Some((id, secret)) = &self.invoice {
            encoder.value(id);
            encoder.fixed(secret.as_bytes());
        }
        encoder.value(&self.currency);
        encoder.u128(self.total);
        encoder.u128(self.max_fee.unwrap_or(u128::MAX));
        encoder.u64(self.timeout_ms);
        encoder.u64(self.created_ms);
        encoder.u64(self.ended_ms.unwrap_or(0));
        encoder.u8(match self.progress {
            Progress::Searching => 0,
            Progress::Committed => 1,
            Progress::Paid => 2,
            Progress::Failed => 3,
        });
        encoder.text(&self.reason);
        encoder.count(self.parts.len());
        for (id, part) in &self.parts {
            encoder.value(id);
            encoder.value(part);
        }
        // Left out where there is none: as it was written before applications had budgets.
        if let Some(app) = &self.app {
            encoder.value(app);
        }
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let id = decoder.value()?;
        let destination = decoder.value()?;
        let circle = decoder.option()?;
        let invoice =
            if decoder.bool()? { Some((decoder.value()?, Secret::from_bytes(decoder.fixed()?))) } else { None };
        let payment = Payment {
            id,
            app: None,
            destination,
            circle,
            invoice,
            currency: decoder.value()?,
            total: decoder.amount()?,
            max_fee: Some(decoder.u128()?).filter(|max| *max != u128::MAX),
            timeout_ms: decoder.u64()?,
            created_ms: decoder.u64()?,
            ended_ms: Some(decoder.u64()?).filter(|ended| *ended != 0),
            progress: match decoder.u8()? {
                0 => Progress::Searching,
                1 => Progress::Committed,
                2 => Progress::Paid,
                3 => Progress::Failed,
                _ => return Err(DecodeError::invalid("a payment's progress")),
            },
            reason: decoder.text(REASON_BYTES_MAX, "a reason")?,
            parts: {
                let count = decoder.count(PARTS_MAX, "parts")?;
                (0..count).map(|_| Ok((decoder.value()?, decoder.value()?))).collect::<Result<_, DecodeError>>()?
            },
        };
        let app = if decoder.is_at_end() { None } else { Some(decoder.value()?) };
        Ok(Payment { app, ..payment })
    }
}

/// Most bytes of a payment's reason.
pub(crate) const REASON_BYTES_MAX: usize = 1024;
