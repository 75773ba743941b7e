//! Invoices, and what the node has forwarded and received.

use crate::amount::Amount;
use crate::app::codec::codec;
use crate::app::field::enums;
use crate::{Currency, InvoiceId, PaymentId, RequestId};
use offst_crypto::PublicKey;
use serde::Serialize;
use std::fmt;

/// An invoice of this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InvoiceReport {
    /// The invoice.
    pub invoice_id: InvoiceId,
    /// How it stands.
    pub status: InvoiceStatus,
    /// The currency.
    pub currency: Currency,
    /// What it asks for, credits.
    pub amount: Amount,
    /// What it is for.
    pub description: String,
    /// When it was made, unix ms.
    pub created_ms: u64,
    /// When it stops being payable, unix ms.
    pub expires_ms: Option<u64>,
}

codec! {
    InvoiceReport as invoice {
        fields {
            invoice_id: get_invoice_id, set_invoice_id;
            status: get_status, set_status;
            currency: get_currency, set_currency;
            amount: get_amount, set_amount;
            description: get_description, set_description;
            created_ms: get_created_ms, set_created_ms;
            expires_ms: get_expires_ms, set_expires_ms;
        }
    }
}

/// How an invoice stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InvoiceStatus {
    /// It can be paid.
    Open,
    /// It was paid.
    Paid,
    /// Its owner took it back.
    Cancelled,
    /// Its time is over.
    Expired,
}

impl InvoiceStatus {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            InvoiceStatus::Open => "open",
            InvoiceStatus::Paid => "paid",
            InvoiceStatus::Cancelled => "cancelled",
            InvoiceStatus::Expired => "expired",
        }
    }
}

impl fmt::Display for InvoiceStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A payment that this node forwarded for others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ForwardReport {
    /// The request.
    pub request_id: RequestId,
    /// The friend it came from, which has paid for it. None: it had been written off when it was collected, so nobody has paid, and
    /// the amount is lost.
    #[serde(serialize_with = "crate::json::optional_text")]
    pub from: Option<PublicKey>,
    /// The friend it went to.
    #[serde(serialize_with = "crate::json::text")]
    pub to: PublicKey,
    /// The currency.
    pub currency: Currency,
    /// What was sent on, credits.
    pub amount: Amount,
    /// What we earned, credits.
    pub fee: Amount,
    /// When it was collected, unix ms.
    pub time_ms: u64,
}

codec! {
    ForwardReport as forward {
        fields {
            request_id: get_request_id, set_request_id;
            from: get_from, set_from;
            to: get_to, set_to;
            currency: get_currency, set_currency;
            amount: get_amount, set_amount;
            fee: get_fee, set_fee;
            time_ms: get_time_ms, set_time_ms;
        }
    }
}

/// A part of a payment to this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReceivedReport {
    /// The request.
    pub request_id: RequestId,
    /// The friend it came from.
    #[serde(serialize_with = "crate::json::text")]
    pub from: PublicKey,
    /// The payment; not known when it was collected after the node had lost its database.
    pub payment_id: Option<PaymentId>,
    /// The invoice that it paid; none for a spontaneous payment.
    pub invoice_id: Option<InvoiceId>,
    /// The currency.
    pub currency: Currency,
    /// What we got, credits.
    pub amount: Amount,
    /// When it was collected, unix ms.
    pub time_ms: u64,
}

codec! {
    ReceivedReport as received {
        fields {
            request_id: get_request_id, set_request_id;
            from: get_from, set_from;
            payment_id: get_payment_id, set_payment_id;
            invoice_id: get_invoice_id, set_invoice_id;
            currency: get_currency, set_currency;
            amount: get_amount, set_amount;
            time_ms: get_time_ms, set_time_ms;
        }
    }
}

enums! {
    InvoiceStatus { Open, Paid, Cancelled, Expired }
}
