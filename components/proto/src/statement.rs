//! Statements: the signed batches of which each side's log of an account consists (protocol section 1).

use crate::encoding::{Canonical, DecodeError, Decoder, Encoder};
use crate::limits::{AMOUNT_MAX, HOPS_MAX, OPERATIONS_MAX, PATIENCE_MS_MAX, STATEMENT_BYTES_MAX};
use crate::payment::{CancelReason, PartTerms};
use crate::{Currency, InvoiceId, PaymentId, RequestId, Signable};
use offst_crypto::{Hash, HashLock, Mac, Nonce, Preimage, PublicKey, Signature};

/// One signed batch of one side's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Who signs: the owner of the log.
    pub author: PublicKey,
    /// The friend at the account's other end.
    pub other: PublicKey,
    /// The account's currency.
    pub currency: Currency,
    /// The epoch that the Openings began.
    pub epoch: u64,
    /// 1 for the first statement of the epoch, then one more each.
    pub seq: u64,
    /// Hash of the author's previous statement; of the agreement when `seq` is 1.
    pub prev_hash: Hash,
    /// The newest statement of the other side that the author has accepted; 0 for none.
    pub ack_seq: u64,
    /// Its hash; that of the agreement when `ack_seq` is 0.
    pub ack_hash: Hash,
    /// What the author does, in this order.
    pub operations: Vec<Operation>,
    /// Running totals of the author's log, after these operations.
    pub totals: Totals,
    /// A checkpoint: the hash of all pending requests as the author sees them at (`seq`, `ack_seq`).
    pub pending_hash: Option<Hash>,
}

/// Running totals of one log in credits. They only grow, so nothing depends on how two logs interleave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Sum of all `Request`s of the author, and of the requests that the Opening let continue.
    pub requested: u128,
    /// Sum of all `Collect`s of the author.
    pub collected: u128,
    /// Sum of all `Cancel`s of the author.
    pub cancelled: u128,
}

/// One step in a log. The upstream authors `Request`, `Commit` and `Abort`; the downstream `Response`, `Collect` and
/// `Cancel`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Freezes credits and asks the other side to carry them on.
    Request(Box<Request>),
    /// The destination is willing, and may collect under this lock.
    Response(Answer),
    /// The upstream will pay whoever shows the preimage; it cannot take this back.
    Commit {
        /// The request.
        id: RequestId,
    },
    /// The upstream gives up a request that it has not committed.
    Abort {
        /// The request.
        id: RequestId,
    },
    /// Takes the frozen credits for the preimage.
    Collect {
        /// The request.
        id: RequestId,
        /// What opens the lock.
        preimage: Preimage,
    },
    /// Releases the frozen credits.
    Cancel {
        /// The request.
        id: RequestId,
        /// Why.
        reason: CancelReason,
        /// Which node refused: a hint for the buyer's next route, signed by nobody but the friend who passed it on.
        hop: PublicKey,
    },
    /// What the author lets the other side owe, credits.
    SetLimit(u128),
    /// Whether the author takes requests.
    SetOpen(bool),
}

/// A part of a payment on its way along a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Fresh for every attempt.
    pub id: RequestId,
    /// The payment it is a part of.
    pub payment_id: PaymentId,
    /// The invoice that is paid; none for a spontaneous payment.
    pub invoice_id: Option<InvoiceId>,
    /// What the destination gets from this part, credits.
    pub amount: u128,
    /// What the destination gets from all parts, credits.
    pub total: u128,
    /// What the mediators still ahead take, credits.
    pub fees_left: u128,
    /// How long the author waits before it gives up, ms.
    pub patience_ms: u64,
    /// The nodes behind the friend that gets this request; empty at the destination.
    pub route: Vec<PublicKey>,
    /// Shows the seller that the buyer holds the invoice.
    pub proof: Mac,
}

/// A destination's answer to a request, without what the request already said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The request.
    pub id: RequestId,
    /// What the preimage must hash to.
    pub lock: HashLock,
    /// Makes signatures differ.
    pub nonce: Nonce,
    /// The destination's signature over [`crate::payment::Response`].
    pub signature: Signature,
}

impl Request {
    /// Credits that this request freezes on the account that carries it.
    pub fn frozen(&self) -> u128 {
        self.amount + self.fees_left
    }

    /// What the destination signs, for a request that `receiver` got.
    pub fn terms(&self, receiver: PublicKey, currency: &Currency) -> PartTerms {
        PartTerms {
            request_id: self.id,
            payment_id: self.payment_id,
            invoice_id: self.invoice_id,
            destination: self.route.last().copied().unwrap_or(receiver),
            currency: currency.clone(),
            amount: self.amount,
            total: self.total,
        }
    }
}

impl Operation {
    /// The request it speaks of.
    pub fn request_id(&self) -> Option<RequestId> {
        match self {
            Operation::Request(request) => Some(request.id),
            Operation::Response(answer) => Some(answer.id),
            Operation::Commit { id }
            | Operation::Abort { id }
            | Operation::Collect { id, .. }
            | Operation::Cancel { id, .. } => Some(*id),
            Operation::SetLimit(_) | Operation::SetOpen(_) => None,
        }
    }
}

impl Canonical for Totals {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.u128(self.requested);
        encoder.u128(self.collected);
        encoder.u128(self.cancelled);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Totals { requested: decoder.u128()?, collected: decoder.u128()?, cancelled: decoder.u128()? })
    }
}

impl Canonical for Request {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.value(&self.id);
        encoder.value(&self.payment_id);
        encoder.option(&self.invoice_id);
        encoder.u128(self.amount);
        encoder.u128(self.total);
        encoder.u128(self.fees_left);
        encoder.u64(self.patience_ms);
        encoder.list(&self.route);
        encoder.value(&self.proof);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let request = Request {
            id: decoder.value()?,
            payment_id: decoder.value()?,
            invoice_id: decoder.option()?,
            amount: decoder.amount()?,
            total: decoder.amount()?,
            fees_left: decoder.amount()?,
            patience_ms: decoder.u64()?,
            route: decoder.list(HOPS_MAX, "a route")?,
            proof: decoder.value()?,
        };
        if request.frozen() > AMOUNT_MAX {
            return Err(DecodeError::too_large("an amount with its fees"));
        }
        if request.patience_ms > PATIENCE_MS_MAX {
            return Err(DecodeError::too_large("a patience"));
        }
        Ok(request)
    }
}

impl Canonical for Answer {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.value(&self.id);
        encoder.value(&self.lock);
        encoder.value(&self.nonce);
        encoder.value(&self.signature);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Answer {
            id: decoder.value()?,
            lock: decoder.value()?,
            nonce: decoder.value()?,
            signature: decoder.value()?,
        })
    }
}

impl Canonical for Operation {
    fn encode(&self, encoder: &mut Encoder) {
        match self {
            Operation::Request(request) => {
                encoder.u8(0);
                encoder.value(&**request);
            }
            Operation::Response(answer) => {
                encoder.u8(1);
                encoder.value(answer);
            }
            Operation::Commit { id } => {
                encoder.u8(2);
                encoder.value(id);
            }
            Operation::Abort { id } => {
                encoder.u8(3);
                encoder.value(id);
            }
            Operation::Collect { id, preimage } => {
                encoder.u8(4);
                encoder.value(id);
                encoder.value(preimage);
            }
            Operation::Cancel { id, reason, hop } => {
                encoder.u8(5);
                encoder.value(id);
                encoder.value(reason);
                encoder.value(hop);
            }
            Operation::SetLimit(limit) => {
                encoder.u8(6);
                encoder.u128(*limit);
            }
            Operation::SetOpen(open) => {
                encoder.u8(7);
                encoder.bool(*open);
            }
        }
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(match decoder.u8()? {
            0 => Operation::Request(Box::new(decoder.value()?)),
            1 => Operation::Response(decoder.value()?),
            2 => Operation::Commit { id: decoder.value()? },
            3 => Operation::Abort { id: decoder.value()? },
            4 => Operation::Collect { id: decoder.value()?, preimage: decoder.value()? },
            5 => Operation::Cancel { id: decoder.value()?, reason: decoder.value()?, hop: decoder.value()? },
            6 => Operation::SetLimit(decoder.amount()?),
            7 => Operation::SetOpen(decoder.bool()?),
            _ => return Err(DecodeError::invalid("an operation")),
        })
    }
}

impl Canonical for Statement {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.value(&self.author);
        encoder.value(&self.other);
        encoder.value(&self.currency);
        encoder.u64(self.epoch);
        encoder.u64(self.seq);
        encoder.value(&self.prev_hash);
        encoder.u64(self.ack_seq);
        encoder.value(&self.ack_hash);
        encoder.list(&self.operations);
        encoder.value(&self.totals);
        encoder.option(&self.pending_hash);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Statement {
            author: decoder.value()?,
            other: decoder.value()?,
            currency: decoder.value()?,
            epoch: decoder.u64()?,
            seq: decoder.u64()?,
            prev_hash: decoder.value()?,
            ack_seq: decoder.u64()?,
            ack_hash: decoder.value()?,
            operations: decoder.list(OPERATIONS_MAX, "a list of operations")?,
            totals: decoder.value()?,
            pending_hash: decoder.option()?,
        })
    }
}

impl Signable for Statement {
    const DOMAIN: &'static str = "offst/statement/1";
    const BYTES_MAX: usize = STATEMENT_BYTES_MAX;

    fn author(&self) -> PublicKey {
        self.author
    }
}
