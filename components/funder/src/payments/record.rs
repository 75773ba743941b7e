//! A payment of our own and its parts.
use offst_crypto::{HashLock, Nonce, Preimage, PublicKey, Secret, Signature};
use offst_proto::Amount;
use offst_proto::encoding::{Canonical, DecodeError, Decoder, Encoder};
use offst_proto::limits::{HOPS_MAX, PARTS_MAX};
use offst_proto::payment::PartTerms;
use offst_proto::receipt::{Receipt, ReceiptPart};
use offst_proto::report::{PaymentKind, PaymentStatus};
use offst_proto::{Currency, InvoiceId, PaymentId, RequestId};
use offst_rows::{FieldReader, FieldWriter, Kind, Row, RowError};
use std::collections::BTreeMap;

/// How far a payment of ours has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Looking for routes, waiting for responses. Nothing binds us.
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
pub enum Cycle {
    /// Credit moves around a cycle that begins with this friend.
    Rebalance(PublicKey),
    /// It goes around a debt cycle, whose debts become smaller.
    Clearing,
}

/// A payment of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// Its id.
    pub id: PaymentId,
    /// The application that has ordered it, whose budget it is paid from. None for those that the node has begun by
    /// itself.
    pub app: Option<PublicKey>,
    /// Who is paid.
    pub destination: PublicKey,
    /// For a payment to ourselves, what it is for.
    pub cycle: Option<Cycle>,
    /// The invoice and its secret; none for a spontaneous payment.
    pub invoice: Option<(InvoiceId, Secret)>,
    /// The currency.
    pub currency: Currency,
    /// What the destination gets, credits.
    pub total: Amount,
    /// The most that mediators may take, credits; none: what the node pays by default.
    pub max_fee: Option<Amount>,
    /// How long to look for a route, ms.
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
    pub path: Vec<PublicKey>,
    /// What the destination gets, credits.
    pub amount: Amount,
    /// What the mediators get, credits.
    pub fees: Amount,
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

impl Part {
    /// What leaves the buyer for it, credits: what the destination gets, and the fees.
    pub fn total(&self) -> u128 {
        self.amount.credits() + self.fees.credits()
    }
}

impl Payment {
    /// What it is for, for people.
    pub fn kind(&self) -> PaymentKind {
        match self.cycle {
            None => PaymentKind::Payment,
            Some(Cycle::Rebalance(_)) => PaymentKind::Rebalance,
            Some(Cycle::Clearing) => PaymentKind::Clearing,
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

    /// What no part carries yet, credits.
    pub(crate) fn missing(&self) -> Amount {
        let missing = self.total.credits().saturating_sub(self.underway());
        Amount::new(missing).expect("a part of an amount")
    }

    /// What all parts carry to the destination, credits.
    pub fn underway(&self) -> u128 {
        self.parts.values().map(|part| part.amount).sum()
    }

    /// What mediators get of all parts, credits.
    pub fn fees(&self) -> u128 {
        self.parts.values().map(|part| part.fees).sum()
    }

    /// What the destination signs of a part that brings it `amount` credits.
    pub(crate) fn part_terms(&self, request_id: RequestId, amount: Amount) -> PartTerms {
        PartTerms {
            request_id,
            payment_id: self.id,
            invoice_id: self.invoice.as_ref().map(|(id, _)| *id),
            destination: self.destination,
            currency: self.currency.clone(),
            amount,
            total: self.total,
        }
    }

    /// The receipt, once every part is collected.
    pub fn receipt(&self) -> Option<Receipt> {
        if self.progress != Progress::Paid || self.underway() != self.total.credits() {
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
        encoder.list(&self.path);
        encoder.value(&self.amount);
        encoder.value(&self.fees);
        encoder.option(&self.promise);
        encoder.option(&self.preimage);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let path = decoder.list(HOPS_MAX, "a path")?;
        if path.is_empty() {
            return Err(DecodeError::invalid("a path"));
        }
        Ok(Part {
            path,
            amount: decoder.value()?,
            fees: decoder.value()?,
            promise: decoder.option()?,
            preimage: decoder.option()?,
        })
    }
}

impl Canonical for Cycle {
    fn encode(&self, encoder: &mut Encoder) {
        match self {
            Cycle::Rebalance(friend) => {
                encoder.u8(0);
                encoder.value(friend);
            }
            Cycle::Clearing => encoder.u8(1),
        }
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(match decoder.u8()? {
            0 => Cycle::Rebalance(decoder.value()?),
            1 => Cycle::Clearing,
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
        fields.value(6, &self.total);
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
        fields.option_with(14, self.ended_ms, Encoder::u64);
        if let Some(max_fee) = self.max_fee {
            fields.value(16, &max_fee);
        }
        fields.option(18, self.app.as_ref());
        fields.option(20, self.cycle.as_ref());
        fields.option_with(22, self.invoice.as_ref(), |encoder, (id, secret)| {
            encoder.value(id);
            encoder.fixed(secret.as_bytes());
        });
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
            total: fields.value(6)?,
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
            max_fee: fields.option_with(16, Decoder::value)?,
            app: fields.option(18)?,
            cycle: fields.option(20)?,
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

    /// Attempts to clear a cycle are not in the database before they are committed.
    fn is_stored(&self) -> bool {
        self.cycle != Some(Cycle::Clearing) || self.progress != Progress::Searching
    }
}

/// Most bytes of a payment's reason.
pub(crate) const REASON_BYTES_MAX: usize = 1024;
