//! Payments that the node makes.

use crate::amount::Amount;
use crate::app::codec::codec;
use crate::app::field::enums;
use crate::{Currency, InvoiceId, PaymentId};
use offst_crypto::PublicKey;
use serde::Serialize;
use std::fmt;

/// A payment that this node makes or made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PaymentReport {
    /// The payment.
    pub payment_id: PaymentId,
    /// How far it has come.
    pub status: PaymentStatus,
    /// What it is for.
    pub kind: PaymentKind,
    /// Who is paid.
    #[serde(serialize_with = "crate::json::text")]
    pub destination: PublicKey,
    /// For which invoice.
    pub invoice_id: Option<InvoiceId>,
    /// The currency.
    pub currency: Currency,
    /// What the destination gets, credits.
    pub amount: Amount,
    /// What the mediators get, credits.
    #[serde(serialize_with = "crate::json::text")]
    pub fees: u128,
    /// How many parts carry it.
    pub parts: u32,
    /// Why it failed, or what it waits for; empty when it was paid.
    pub reason: String,
    /// When it was ordered, unix ms.
    pub created_ms: u64,
    /// How long it took, ms; for one that is pending: until now.
    pub duration_ms: u64,
    /// The receipt's file, for a payment that was paid. It is no part of the JSON: people keep it as a file.
    #[serde(skip)]
    pub receipt: Option<String>,
    /// The application that has ordered it; none: the node itself, or not known.
    #[serde(serialize_with = "crate::json::optional_text")]
    pub app: Option<PublicKey>,
}

codec! {
    PaymentReport as payment {
        fields {
            payment_id: get_payment_id, set_payment_id;
            status: get_status, set_status;
            kind: get_kind, set_kind;
            destination: get_destination, set_destination;
            invoice_id: get_invoice_id, set_invoice_id;
            currency: get_currency, set_currency;
            amount: get_amount, set_amount;
            fees: get_fees, set_fees;
            parts: get_parts, set_parts;
            reason: get_reason, set_reason;
            created_ms: get_created_ms, set_created_ms;
            duration_ms: get_duration_ms, set_duration_ms;
            receipt: get_receipt, set_receipt;
            app: get_app, set_app;
        }
    }
}

/// How far a payment has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// The seller was paid.
    Paid,
    /// Nothing was moved, and nothing will be.
    Failed,
    /// In flight. After the commit it can take long when a mediator is away, but nobody must pay again.
    Pending,
}

impl PaymentStatus {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            PaymentStatus::Paid => "paid",
            PaymentStatus::Failed => "failed",
            PaymentStatus::Pending => "pending",
        }
    }
}

impl fmt::Display for PaymentStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a payment is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentKind {
    /// Another node is paid.
    Payment,
    /// Credit moves around a cycle of friends, back to this node.
    Rebalance,
    /// The same around a debt cycle, in which each node owes the next: every debt becomes smaller.
    Clearing,
}

impl PaymentKind {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            PaymentKind::Payment => "payment",
            PaymentKind::Rebalance => "rebalance",
            PaymentKind::Clearing => "clearing",
        }
    }
}

impl fmt::Display for PaymentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

enums! {
    PaymentStatus { Paid, Failed, Pending }
    PaymentKind { Payment, Rebalance, Clearing }
}
