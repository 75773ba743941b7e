//! What we are paid by: invoices, and the requests that end here.
use offst_ledger::RequestRef;
use offst_proto::Amount;
use offst_proto::encoding::{DecodeError, Decoder};
use offst_proto::invoice::Invoice;
use offst_proto::report::InvoiceStatus;
use offst_proto::{InvoiceId, PaymentId, Signable, Unverified, Verified};
use offst_rows::{FieldReader, FieldWriter, Kind, Row, RowError};

/// A request that ends here: we are the destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundPart {
    /// The payment it is a part of.
    pub payment_id: PaymentId,
    /// The invoice it pays.
    pub invoice_id: Option<InvoiceId>,
    /// Credits that we get by it.
    pub amount: Amount,
    /// Credits that we get by all parts.
    pub total: Amount,
    /// How long we wait for all parts to be committed, ms.
    pub patience_ms: u64,
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

/// By its incoming side.
impl Row for InboundPart {
    const KIND: Kind = Kind::state(32, "inbound parts");
    type Key = RequestRef;

    fn write(&self, fields: &mut FieldWriter) {
        fields.value(2, &self.payment_id);
        fields.option(4, self.invoice_id.as_ref());
        fields.value(6, &self.amount);
        fields.value(8, &self.total);
        fields.with(10, |encoder| encoder.u64(self.patience_ms));
    }

    fn read(_: &RequestRef, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        Ok(InboundPart {
            payment_id: fields.value(2)?,
            invoice_id: fields.option(4)?,
            amount: fields.value(6)?,
            total: fields.value(8)?,
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
