//! Openings: the signed terms with which an account starts, and starts again after a disagreement (protocol section 1).

use crate::encoding::{Canonical, DecodeError, Decoder, Encoder};
use crate::limits::{AMOUNT_MAX, PENDING_MAX};
use crate::{Currency, RequestId, Signable};
use offst_crypto::{Hash, HashLock, PublicKey};

/// One side's terms for a new epoch. A side signs at most one for each epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// Who signs.
    pub author: PublicKey,
    /// The friend at the account's other end.
    pub other: PublicKey,
    /// The account's currency.
    pub currency: Currency,
    /// The epoch these terms are for.
    pub epoch: u64,
    /// The balance from the author's side, credits: positive = the other side owes the author.
    pub balance: i128,
    /// Committed requests that continue, in the order of (`author_pays`, id).
    pub continuing: Vec<Continuing>,
    /// When the author accepts the other side's terms: the hash of the Opening it accepts.
    pub accepts: Option<Hash>,
}

/// A committed request that an Opening carries over into the new epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Continuing {
    /// Whether the Opening's author is the upstream.
    pub author_pays: bool,
    /// The request.
    pub id: RequestId,
    /// Credits frozen.
    pub amount: u128,
    /// What the preimage must hash to.
    pub lock: HashLock,
    /// Hash of the terms that the destination signed; a seller without a disk derives its preimage from it.
    pub terms: Hash,
}

impl Opening {
    /// Whether the other side's terms say the same as these, seen from the other end.
    pub fn mirrors(&self, other: &Opening) -> bool {
        self.author == other.other
            && self.other == other.author
            && self.currency == other.currency
            && self.balance == -other.balance
            && self.continuing == other.mirrored_continuing()
    }

    /// The continuing requests as the other side would list them.
    pub fn mirrored_continuing(&self) -> Vec<Continuing> {
        let mut list: Vec<_> =
            self.continuing.iter().map(|c| Continuing { author_pays: !c.author_pays, ..*c }).collect();
        list.sort_unstable();
        list
    }
}

impl Canonical for Continuing {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.bool(self.author_pays);
        encoder.value(&self.id);
        encoder.u128(self.amount);
        encoder.value(&self.lock);
        encoder.value(&self.terms);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Continuing {
            author_pays: decoder.bool()?,
            id: decoder.value()?,
            amount: decoder.amount()?,
            lock: decoder.value()?,
            terms: decoder.value()?,
        })
    }
}

impl Canonical for Opening {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.value(&self.author);
        encoder.value(&self.other);
        encoder.value(&self.currency);
        encoder.u64(self.epoch);
        encoder.i128(self.balance);
        encoder.list(&self.continuing);
        encoder.option(&self.accepts);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let opening = Opening {
            author: decoder.value()?,
            other: decoder.value()?,
            currency: decoder.value()?,
            epoch: decoder.u64()?,
            balance: decoder.i128()?,
            continuing: decoder.list(2 * PENDING_MAX, "a list of continuing requests")?,
            accepts: decoder.option()?,
        };
        if opening.balance.unsigned_abs() > AMOUNT_MAX {
            return Err(DecodeError::too_large("an opening balance"));
        }
        let is_sorted = opening.continuing.windows(2).all(|w| (w[0].author_pays, w[0].id) < (w[1].author_pays, w[1].id));
        if !is_sorted {
            return Err(DecodeError::invalid("the order of continuing requests"));
        }
        Ok(opening)
    }
}

impl Signable for Opening {
    const DOMAIN: &'static str = "offst/opening/1";
    const BYTES_MAX: usize = 512 * 1024;

    fn author(&self) -> PublicKey {
        self.author
    }
}
