//! Commands are answered by reports, or refused.

use super::clearing::ClearingReport;
use super::friend_statement::FriendStatementReport;
use super::history::InvoiceStatus;
use super::payment::PaymentReport;
use super::quote::QuoteReport;
use super::write_off::WriteOffReport;
use crate::Verified;
use crate::app::answer::{Refusal, answers};
use crate::app::field::Field;
use crate::app::message::{Message, MessageError};
use crate::encoding::DecodeError;
use crate::invoice::Invoice;
use crate::wire::app_capnp as wire;
use offst_crypto::Ed25519Verifier;

answers! {
    QuoteReport as quote_result: Quote, init_quote;
    ClearingReport as clearing_result: Clearing, init_clearing;
    WriteOffReport as write_off_result: Report, init_report;
    FriendStatementReport as friend_statement_result: Statement, init_statement;
    Verified<Invoice> as invoice_result: Invoice, init_invoice;
}

/// None: the node has no payment of this id.
impl Message for Result<Option<PaymentReport>, Refusal> {
    type Wire = wire::payment_result::Owned;

    fn write(&self, mut builder: wire::payment_result::Builder<'_>) {
        match self {
            Ok(Some(payment)) => payment.write(builder.init_payment()),
            Ok(None) => builder.set_unknown(()),
            Err(refusal) => builder.set_refused(refusal.message.as_str()),
        }
    }

    fn read(reader: wire::payment_result::Reader<'_>) -> Result<Self, MessageError> {
        Ok(match reader.which()? {
            wire::payment_result::Payment(payment) => Ok(Some(Message::read(payment?)?)),
            wire::payment_result::Unknown(()) => Ok(None),
            wire::payment_result::Refused(message) => Err(String::from_wire(message)?.into()),
        })
    }
}

/// None: the node has no invoice of this id.
impl Message for Result<Option<InvoiceStatus>, Refusal> {
    type Wire = wire::invoice_status_result::Owned;

    fn write(&self, mut builder: wire::invoice_status_result::Builder<'_>) {
        match self {
            Ok(Some(status)) => builder.set_status(status.to_wire()),
            Ok(None) => builder.set_unknown(()),
            Err(refusal) => builder.set_refused(refusal.message.as_str()),
        }
    }

    fn read(reader: wire::invoice_status_result::Reader<'_>) -> Result<Self, MessageError> {
        Ok(match reader.which()? {
            wire::invoice_status_result::Status(status) => Ok(Some(InvoiceStatus::from_wire(status)?)),
            wire::invoice_status_result::Unknown(()) => Ok(None),
            wire::invoice_status_result::Refused(message) => Err(String::from_wire(message)?.into()),
        })
    }
}

/// A new invoice: the line of text and the file that hold it.
impl Message for Verified<Invoice> {
    type Wire = wire::new_invoice::Owned;

    fn write(&self, mut builder: wire::new_invoice::Builder<'_>) {
        builder.set_invoice_id(self.id.to_wire());
        builder.set_text(self.to_text());
        builder.set_file(self.to_toml());
    }

    fn read(reader: wire::new_invoice::Reader<'_>) -> Result<Self, MessageError> {
        let text = String::from_wire(reader.get_text())?;
        Ok(Invoice::from_text(&text, &Ed25519Verifier).map_err(|_| DecodeError::invalid("the invoice"))?)
    }
}
