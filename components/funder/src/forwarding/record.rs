//! What is stored of a request that we carry on for others, and of one that was written off.

use offst_crypto::{HashLock, PublicKey};
use offst_ledger::{Pending, RequestRef, Stage};
use offst_proto::Amount;
use offst_proto::encoding::Decoder;
use offst_rows::{FieldReader, FieldWriter, Kind, Row, RowError};

/// A request that we carry on for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// The friend it went to.
    pub to: PublicKey,
    /// Credits it holds on the way out.
    pub held: Amount,
    /// Credits we earn.
    pub fee: Amount,
    /// How long we wait for the commit, ms.
    pub patience_ms: u64,
    /// When it came, and when the response came, uptime ms. Not stored.
    pub arrived_ms: u64,
    /// See `arrived_ms`.
    pub responded_ms: Option<u64>,
    /// Until when it was counted that it waits, uptime ms, and what that has weighed on its pair. Not stored.
    pub counted_ms: u64,
    /// See `counted_ms`.
    pub weight: u64,
}

impl Forward {
    /// A request that has just come, or is found again: it went to `to`, has `held` credits held there, brings us
    /// `fee`, and waits for its commit for `patience_ms`. `arrived_ms`: uptime.
    pub fn new(to: PublicKey, held: Amount, fee: Amount, patience_ms: u64, arrived_ms: u64) -> Self {
        Forward { to, held, fee, patience_ms, arrived_ms, responded_ms: None, counted_ms: 0, weight: 0 }
    }
}

/// By its incoming side.
impl Row for Forward {
    const KIND: Kind = Kind::state(28, "forwards");
    type Key = RequestRef;

    fn write(&self, fields: &mut FieldWriter) {
        fields.value(2, &self.to);
        fields.value(4, &self.held);
        fields.value(6, &self.fee);
        fields.with(8, |encoder| encoder.u64(self.patience_ms));
    }

    fn read(_: &RequestRef, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        let (to, held) = (fields.value(2)?, fields.value(4)?);
        let (fee, patience_ms) = (fields.value(6)?, fields.with(8, Decoder::u64)?);
        Ok(Forward::new(to, held, fee, patience_ms, 0))
    }
}

/// A committed request of ours that a friend may still collect, and that nobody pays us for any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteOff {
    /// The friend that it came from, and that has its credits back.
    pub from: PublicKey,
    /// What the friend that it went to may still collect, credits.
    pub held: Amount,
    /// What opens it.
    pub lock: HashLock,
    /// The owner was not asked: it belongs to what the setting of the account allows.
    pub is_automatic: bool,
}

impl WriteOff {
    /// Whether it speaks of this request.
    pub(super) fn is_of(&self, pending: &Pending) -> bool {
        pending.held == self.held && pending.stage == Stage::Committed(self.lock)
    }
}

/// By its outgoing side.
impl Row for WriteOff {
    const KIND: Kind = Kind::state(30, "write-offs");
    type Key = RequestRef;

    fn write(&self, fields: &mut FieldWriter) {
        fields.value(2, &self.from);
        fields.value(4, &self.held);
        fields.value(6, &self.lock);
        fields.with(8, |encoder| encoder.bool(self.is_automatic));
    }

    fn read(_: &RequestRef, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        Ok(WriteOff {
            from: fields.value(2)?,
            held: fields.value(4)?,
            lock: fields.value(6)?,
            is_automatic: fields.with(8, Decoder::bool)?,
        })
    }
}
