//! What is only ever added: payments that were carried on, and that were received. Their preimages are looked up for friends who have
//! forgotten how a request ended.

use crate::payments::record::Payment;
use crate::receiving::record::InvoiceRecord;
use offst_crypto::{Preimage, PublicKey};
use offst_proto::RequestId;
use offst_proto::encoding::{Canonical, DecodeError, Decoder, Encoder};
use offst_proto::report::{ForwardReport, ReceivedReport};
use offst_rows::{FieldReader, FieldWriter, Kind, Row, RowError, RowKey};

/// What can be looked for without reading the value: the request, and the friend that has paid.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct JournalKey {
    /// The request, on the account that it came over.
    pub id: RequestId,
    /// The friend it came from; none when nobody has paid us, because it had been written off.
    pub payer: Option<PublicKey>,
}

impl RowKey for JournalKey {
    fn write(&self, encoder: &mut Encoder) {
        encoder.value(&self.id);
        if let Some(payer) = &self.payer {
            encoder.value(payer);
        }
    }

    fn read(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let id = decoder.value()?;
        Ok(JournalKey { id, payer: if decoder.is_at_end() { None } else { Some(PublicKey::decode(decoder)?) } })
    }
}

/// A payment that was carried on for others, or written off, and collected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardedPayment {
    /// What the owner is told of it.
    pub report: ForwardReport,
    /// What opened its lock.
    pub preimage: Preimage,
}

/// A part of a payment to us that we collected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedPayment {
    /// What the owner is told of it.
    pub report: ReceivedReport,
    /// What opened its lock.
    pub preimage: Preimage,
}

impl Row for ForwardedPayment {
    const KIND: Kind = Kind::journal(42, "forwarded payments");
    type Key = JournalKey;

    fn write(&self, fields: &mut FieldWriter) {
        let ForwardReport { request_id: _, from: _, to, currency, amount, fee, time_ms } = &self.report;
        fields.value(2, to);
        fields.value(4, currency);
        fields.value(6, amount);
        fields.value(8, fee);
        fields.with(10, |encoder| encoder.u64(*time_ms));
        fields.value(12, &self.preimage);
    }

    fn read(key: &JournalKey, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        let report = ForwardReport {
            request_id: key.id,
            from: key.payer,
            to: fields.value(2)?,
            currency: fields.value(4)?,
            amount: fields.value(6)?,
            fee: fields.value(8)?,
            time_ms: fields.with(10, Decoder::u64)?,
        };
        Ok(ForwardedPayment { report, preimage: fields.value(12)? })
    }
}

impl Row for ReceivedPayment {
    const KIND: Kind = Kind::journal(44, "received payments");
    type Key = JournalKey;

    fn write(&self, fields: &mut FieldWriter) {
        let ReceivedReport { request_id: _, from: _, payment_id, invoice_id, currency, amount, time_ms } = &self.report;
        fields.option(2, payment_id.as_ref());
        fields.option(4, invoice_id.as_ref());
        fields.value(6, currency);
        fields.value(8, amount);
        fields.with(10, |encoder| encoder.u64(*time_ms));
        fields.value(12, &self.preimage);
    }

    fn read(key: &JournalKey, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        let missing = || RowError::Damaged { kind: Self::KIND.name, error: DecodeError::invalid("who has paid") };
        let report = ReceivedReport {
            request_id: key.id,
            from: key.payer.ok_or_else(missing)?,
            payment_id: fields.option(2)?,
            invoice_id: fields.option(4)?,
            currency: fields.value(6)?,
            amount: fields.value(8)?,
            time_ms: fields.with(10, Decoder::u64)?,
        };
        Ok(ReceivedPayment { report, preimage: fields.value(12)? })
    }
}

/// The kinds of which a start does not read every row. A store refuses others that are as even as these.
pub const ARCHIVED_KINDS: [Kind; 5] =
    [InvoiceRecord::KIND, Payment::KIND, ForwardedPayment::KIND, ReceivedPayment::KIND, PEER_BACKUPS];

/// The sealed backup that we keep for a friend, by the friend's key.
pub const PEER_BACKUPS: Kind = Kind::shelf(46, "peer backups");
