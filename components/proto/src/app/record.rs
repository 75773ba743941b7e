//! Payments, invoices, forwards and events.

use super::{
    read_amount, read_currency, read_invoice_id, read_key, read_payment_id, read_request_id, read_text, read_total,
    wire,
};
use crate::encoding::DecodeError;
use crate::report::{
    Event, ForwardReport, InvoiceReport, InvoiceStatus, PaymentKind, PaymentReport, PaymentStatus, ReceivedReport,
};

fn payment_status_to_wire(status: PaymentStatus) -> wire::PaymentStatus {
    match status {
        PaymentStatus::Paid => wire::PaymentStatus::Paid,
        PaymentStatus::Failed => wire::PaymentStatus::Failed,
        PaymentStatus::Pending => wire::PaymentStatus::Pending,
    }
}

fn payment_status_from_wire(status: wire::PaymentStatus) -> PaymentStatus {
    match status {
        wire::PaymentStatus::Paid => PaymentStatus::Paid,
        wire::PaymentStatus::Failed => PaymentStatus::Failed,
        wire::PaymentStatus::Pending => PaymentStatus::Pending,
    }
}

fn payment_kind_to_wire(kind: PaymentKind) -> wire::PaymentKind {
    match kind {
        PaymentKind::Payment => wire::PaymentKind::Payment,
        PaymentKind::Rebalance => wire::PaymentKind::Rebalance,
        PaymentKind::Clearing => wire::PaymentKind::Clearing,
    }
}

fn payment_kind_from_wire(kind: wire::PaymentKind) -> PaymentKind {
    match kind {
        wire::PaymentKind::Payment => PaymentKind::Payment,
        wire::PaymentKind::Rebalance => PaymentKind::Rebalance,
        wire::PaymentKind::Clearing => PaymentKind::Clearing,
    }
}

/// How an invoice stands, on the wire.
pub fn invoice_status_to_wire(status: InvoiceStatus) -> wire::InvoiceStatus {
    match status {
        InvoiceStatus::Open => wire::InvoiceStatus::Open,
        InvoiceStatus::Paid => wire::InvoiceStatus::Paid,
        InvoiceStatus::Cancelled => wire::InvoiceStatus::Cancelled,
        InvoiceStatus::Expired => wire::InvoiceStatus::Expired,
    }
}

/// How an invoice stands.
pub fn invoice_status_from_wire(status: wire::InvoiceStatus) -> InvoiceStatus {
    match status {
        wire::InvoiceStatus::Open => InvoiceStatus::Open,
        wire::InvoiceStatus::Paid => InvoiceStatus::Paid,
        wire::InvoiceStatus::Cancelled => InvoiceStatus::Cancelled,
        wire::InvoiceStatus::Expired => InvoiceStatus::Expired,
    }
}

/// Fills in a payment.
pub fn write_payment(payment: &PaymentReport, mut builder: wire::payment::Builder<'_>) {
    builder.set_payment_id(payment.payment_id.as_bytes());
    builder.set_status(payment_status_to_wire(payment.status));
    builder.set_kind(payment_kind_to_wire(payment.kind));
    builder.set_destination(payment.destination.as_bytes());
    if let Some(invoice_id) = &payment.invoice_id {
        builder.set_invoice_id(invoice_id.as_bytes());
    }
    builder.set_currency(payment.currency.as_str());
    builder.set_amount(payment.amount.to_string());
    builder.set_fees(payment.fees.to_string());
    builder.set_parts(payment.parts);
    builder.set_reason(payment.reason.as_str());
    builder.set_created_ms(payment.created_ms);
    builder.set_duration_ms(payment.duration_ms);
    if let Some(app) = &payment.app {
        builder.set_app(app.as_bytes());
    }
    if let Some(receipt) = &payment.receipt {
        builder.set_receipt(receipt.as_str());
    }
}

/// Reads a payment.
///
/// # Errors
/// A field is not valid.
pub fn read_payment(reader: wire::payment::Reader<'_>) -> Result<PaymentReport, DecodeError> {
    let invoice_id = reader.get_invoice_id()?;
    let receipt = read_text(reader.get_receipt())?;
    let app = reader.get_app()?;
    Ok(PaymentReport {
        app: if app.is_empty() { None } else { Some(read_key(Ok(app))?) },
        payment_id: read_payment_id(reader.get_payment_id())?,
        status: payment_status_from_wire(reader.get_status()?),
        kind: payment_kind_from_wire(reader.get_kind()?),
        destination: read_key(reader.get_destination())?,
        invoice_id: if invoice_id.is_empty() { None } else { Some(read_invoice_id(Ok(invoice_id))?) },
        currency: read_currency(reader.get_currency())?,
        amount: read_amount(reader.get_amount())?,
        fees: read_total(reader.get_fees())?,
        parts: reader.get_parts(),
        reason: read_text(reader.get_reason())?,
        created_ms: reader.get_created_ms(),
        duration_ms: reader.get_duration_ms(),
        receipt: (!receipt.is_empty()).then_some(receipt),
    })
}

/// Fills in an invoice.
pub fn write_invoice(invoice: &InvoiceReport, mut builder: wire::invoice::Builder<'_>) {
    builder.set_invoice_id(invoice.invoice_id.as_bytes());
    builder.set_status(invoice_status_to_wire(invoice.status));
    builder.set_currency(invoice.currency.as_str());
    builder.set_amount(invoice.amount.to_string());
    builder.set_description(invoice.description.as_str());
    builder.set_created_ms(invoice.created_ms);
    builder.set_expires_ms(invoice.expires_ms.unwrap_or(0));
}

/// Reads an invoice.
///
/// # Errors
/// A field is not valid.
pub fn read_invoice(reader: wire::invoice::Reader<'_>) -> Result<InvoiceReport, DecodeError> {
    Ok(InvoiceReport {
        invoice_id: read_invoice_id(reader.get_invoice_id())?,
        status: invoice_status_from_wire(reader.get_status()?),
        currency: read_currency(reader.get_currency())?,
        amount: read_amount(reader.get_amount())?,
        description: read_text(reader.get_description())?,
        created_ms: reader.get_created_ms(),
        expires_ms: Some(reader.get_expires_ms()).filter(|expires_ms| *expires_ms != 0),
    })
}

/// Fills in a forward.
pub fn write_forward(forward: &ForwardReport, mut builder: wire::forward::Builder<'_>) {
    builder.set_request_id(forward.request_id.as_bytes());
    if let Some(from) = &forward.from {
        builder.set_from(from.as_bytes());
    }
    builder.set_to(forward.to.as_bytes());
    builder.set_currency(forward.currency.as_str());
    builder.set_amount(forward.amount.to_string());
    builder.set_fee(forward.fee.to_string());
    builder.set_time_ms(forward.time_ms);
}

/// Reads a forward.
///
/// # Errors
/// A field is not valid.
pub fn read_forward(reader: wire::forward::Reader<'_>) -> Result<ForwardReport, DecodeError> {
    let from = reader.get_from()?;
    Ok(ForwardReport {
        request_id: read_request_id(reader.get_request_id())?,
        from: if from.is_empty() { None } else { Some(read_key(Ok(from))?) },
        to: read_key(reader.get_to())?,
        currency: read_currency(reader.get_currency())?,
        amount: read_amount(reader.get_amount())?,
        fee: read_amount(reader.get_fee())?,
        time_ms: reader.get_time_ms(),
    })
}

/// Fills in a part that was received.
pub fn write_received(received: &ReceivedReport, mut builder: wire::received::Builder<'_>) {
    builder.set_request_id(received.request_id.as_bytes());
    builder.set_from(received.from.as_bytes());
    if let Some(payment_id) = &received.payment_id {
        builder.set_payment_id(payment_id.as_bytes());
    }
    if let Some(invoice_id) = &received.invoice_id {
        builder.set_invoice_id(invoice_id.as_bytes());
    }
    builder.set_currency(received.currency.as_str());
    builder.set_amount(received.amount.to_string());
    builder.set_time_ms(received.time_ms);
}

/// Reads a part that was received.
///
/// # Errors
/// A field is not valid.
pub fn read_received(reader: wire::received::Reader<'_>) -> Result<ReceivedReport, DecodeError> {
    let (payment, invoice) = (reader.get_payment_id()?, reader.get_invoice_id()?);
    Ok(ReceivedReport {
        request_id: read_request_id(reader.get_request_id())?,
        from: read_key(reader.get_from())?,
        payment_id: if payment.is_empty() { None } else { Some(read_payment_id(Ok(payment))?) },
        invoice_id: if invoice.is_empty() { None } else { Some(read_invoice_id(Ok(invoice))?) },
        currency: read_currency(reader.get_currency())?,
        amount: read_amount(reader.get_amount())?,
        time_ms: reader.get_time_ms(),
    })
}

/// Fills in an event.
pub fn write_event(event: &Event, mut builder: wire::event::Builder<'_>) {
    match event {
        Event::FriendChanged { name } => builder.set_friend_changed(name.as_str()),
        Event::PaymentChanged { payment_id, status } => {
            let mut change = builder.init_payment_changed();
            change.set_payment_id(payment_id.as_bytes());
            change.set_status(payment_status_to_wire(*status));
        }
        Event::InvoiceChanged { invoice_id, status } => {
            let mut change = builder.init_invoice_changed();
            change.set_invoice_id(invoice_id.as_bytes());
            change.set_status(invoice_status_to_wire(*status));
        }
        Event::Overdue { name, request_id, amount } => {
            let mut overdue = builder.init_overdue();
            overdue.set_name(name.as_str());
            overdue.set_request_id(request_id.as_bytes());
            overdue.set_amount(amount.to_string());
        }
        Event::AutoWriteOffEnded { name, currency, amount } => {
            let mut ended = builder.init_auto_write_off_ended();
            ended.set_name(name.as_str());
            ended.set_currency(currency.as_str());
            ended.set_amount(amount.to_string());
        }
    }
}

/// Reads an event; none when only newer versions know its kind.
///
/// # Errors
/// A field is not valid.
pub fn read_event(reader: wire::event::Reader<'_>) -> Result<Option<Event>, DecodeError> {
    let Ok(kind) = reader.which() else { return Ok(None) };
    Ok(Some(match kind {
        wire::event::FriendChanged(name) => Event::FriendChanged { name: read_text(name)? },
        wire::event::PaymentChanged(change) => {
            let change = change?;
            Event::PaymentChanged {
                payment_id: read_payment_id(change.get_payment_id())?,
                status: payment_status_from_wire(change.get_status()?),
            }
        }
        wire::event::InvoiceChanged(change) => {
            let change = change?;
            Event::InvoiceChanged {
                invoice_id: read_invoice_id(change.get_invoice_id())?,
                status: invoice_status_from_wire(change.get_status()?),
            }
        }
        wire::event::Overdue(overdue) => {
            let overdue = overdue?;
            Event::Overdue {
                name: read_text(overdue.get_name())?,
                request_id: read_request_id(overdue.get_request_id())?,
                amount: read_amount(overdue.get_amount())?,
            }
        }
        wire::event::AutoWriteOffEnded(ended) => {
            let ended = ended?;
            Event::AutoWriteOffEnded {
                name: read_text(ended.get_name())?,
                currency: read_currency(ended.get_currency())?,
                amount: read_amount(ended.get_amount())?,
            }
        }
    }))
}
