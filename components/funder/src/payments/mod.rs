//! Payments of our own.
//!
//! | file | what it holds |
//! |---|---|
//! | `search` | paying until the commit |
//! | `settle` | from the commit to the end |
//! | `budget` | what an application may still spend |
//! | `quote` | what paying would cost |
//! | `clearing` | debt cycles |
//! | `refusals`, `silences`, `reasons` | what did not work lately, who said nothing, and why in words |

pub(crate) mod budget;
pub(crate) mod clearing;
pub(crate) mod quote;
pub(crate) mod reasons;
pub(crate) mod record;
pub(crate) mod refusals;
pub(crate) mod search;
mod settle;
pub(crate) mod silences;

use crate::payments::record::Payment;
use budget::Spendings;
use offst_crypto::PublicKey;
use offst_ledger::{AccountId, RequestRef};
use offst_proto::budget::Budgets;
use offst_proto::{InvoiceId, PaymentId};
use offst_rows::{Row, RowChange, RowError, Rows, Table};
use quote::Question;
use refusals::Refusals;
use search::Search;
use silences::Silences;
use std::collections::BTreeMap;

/// Payments of our own, and what was learned by them.
#[derive(Debug)]
pub(crate) struct Payments {
    /// Those that have not ended, and those that ended in this batch.
    pub(crate) payments: Table<Payment>,
    /// What the applications may spend. Not stored: the owner's files say it.
    pub(crate) budgets: BTreeMap<PublicKey, Budgets>,
    /// What they have spent of it.
    pub(crate) spendings: Spendings,
    /// Which of them our outgoing requests are parts of.
    outgoing: BTreeMap<RequestRef, PaymentId>,
    /// Which of them pays an invoice.
    pub(crate) paying: BTreeMap<InvoiceId, PaymentId>,
    /// What is known of a payment only while this process runs.
    pub(crate) searches: BTreeMap<PaymentId, Search>,
    /// Questions of the owner's and of our own that the index servers have not answered.
    pub(crate) questions: BTreeMap<PaymentId, Question>,
    /// What others have refused to carry for our payments lately.
    pub(crate) refusals: Refusals,
    /// The same for debt cycles, where more is a reason to refuse.
    pub(crate) clearing_refusals: Refusals,
    /// Where our payments got no answer.
    pub(crate) silences: Silences,
}

impl Payments {
    pub(crate) fn restore(rows: &mut Rows) -> Result<Self, RowError> {
        Ok(Payments {
            payments: rows.take()?,
            budgets: BTreeMap::new(),
            spendings: rows.take()?,
            outgoing: BTreeMap::new(),
            paying: BTreeMap::new(),
            searches: BTreeMap::new(),
            questions: BTreeMap::new(),
            refusals: Refusals::default(),
            clearing_refusals: Refusals::default(),
            silences: Silences::default(),
        })
    }

    /// The payment that one of our outgoing requests is a part of.
    pub(crate) fn payment_of(&self, outgoing: &RequestRef) -> Option<PaymentId> {
        self.outgoing.get(outgoing).copied()
    }

    /// An outgoing request is a part of this payment.
    pub(crate) fn pay_by(&mut self, outgoing: RequestRef, payment: PaymentId) {
        self.outgoing.insert(outgoing, payment);
    }

    /// The part is over, or goes on over another account.
    pub(crate) fn release_payment_of(&mut self, outgoing: &RequestRef) -> Option<PaymentId> {
        self.outgoing.remove(outgoing)
    }

    /// Parts that were sent over an account.
    pub(crate) fn outgoing_on(&self, account: &AccountId) -> impl Iterator<Item = &RequestRef> {
        self.outgoing.range(account.requests()).map(|(outgoing, _)| outgoing)
    }

    /// What the next transaction has to write. Payments that have ended leave memory.
    pub(crate) fn take_changes(&mut self, changes: &mut Vec<RowChange>) {
        let has_ended = |id: &&PaymentId| self.payments.get(*id).is_some_and(Row::has_ended);
        let ended: Vec<_> = self.payments.changed().filter(has_ended).copied().collect();
        self.payments.take_changes(changes);
        for id in ended {
            self.payments.forget(&id);
            self.searches.remove(&id);
        }
        self.spendings.take_changes(changes);
    }
}
