//! Which parts belong together: those of one payment to us.

use crate::receiving::record::InboundPart;
use offst_crypto::PublicKey;
use offst_ledger::RequestRef;
use offst_proto::Amount;
use offst_proto::payment::PartTerms;
use offst_proto::{Currency, InvoiceId, PaymentId};
use std::collections::BTreeSet;

/// Parts with the same key may be collected together. Ids of payments are chosen by strangers, so everything that the
/// parts must have in common is in the key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PartSetKey {
    // The order of the fields makes the sets of one invoice neighbours.
    pub(crate) invoice_id: Option<InvoiceId>,
    pub(crate) total: Amount,
    pub(crate) payment_id: PaymentId,
    pub(crate) currency: Currency,
}

/// The parts of one payment to us.
#[derive(Debug, Default)]
pub(crate) struct PartSet {
    pub(super) parts: BTreeSet<RequestRef>,
}

impl InboundPart {
    pub(crate) fn part_set_key(&self, currency: &Currency) -> PartSetKey {
        PartSetKey {
            payment_id: self.payment_id,
            invoice_id: self.invoice_id,
            currency: currency.clone(),
            total: self.total,
        }
    }

    pub(super) fn terms(&self, incoming: &RequestRef, destination: PublicKey) -> PartTerms {
        PartTerms {
            request_id: incoming.id,
            payment_id: self.payment_id,
            invoice_id: self.invoice_id,
            destination,
            currency: incoming.account.currency.clone(),
            amount: self.amount,
            total: self.total,
        }
    }
}
