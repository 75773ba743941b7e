//! Payments of our own.
//!
//! | file | what it holds |
//! |---|---|
//! | `record` | what is stored of a payment |
//! | `spending` | what is stored of what an application has spent |
//! | `search_state` | what is known of searches and questions while the process runs |
//! | `refusals`, `silent_hops` | what did not work lately, and who said nothing |
//! | `search` | paying until the commit |
//! | `settle` | from the commit to the end |
//! | `budget` | what an application may still spend |
//! | `quote` | what paying would cost |
//! | `clearing` | debt cycles |
//! | `reasons` | why a payment did not go on, in words |

pub(crate) mod budget;
mod clearing;
mod quote;
mod reasons;
pub(crate) mod record;
mod refusals;
mod search;
mod search_state;
mod settle;
mod silent_hops;
pub(crate) mod spending;

use crate::context::Context;
use crate::payments::record::{Cycle, Payment, Progress};
use crate::timers::Timer;
use offst_crypto::PublicKey;
use offst_ledger::{AccountId, RequestRef};
use offst_proto::budget::Budgets;
use offst_proto::{InvoiceId, PaymentId};
use offst_rows::{Row, RowChange, RowError, Rows, Table};
use refusals::Refusals;
use search_state::{Question, Search};
use silent_hops::SilentHops;
use spending::Spendings;
use std::collections::BTreeMap;

/// Payments of our own, and what was learned by them.
#[derive(Debug)]
pub(crate) struct Payments {
    /// Those that have not ended, and those that ended in this batch.
    payments: Table<Payment>,
    /// What the applications may spend. Not stored: the owner's files say it.
    budgets: BTreeMap<PublicKey, Budgets>,
    /// What they have spent of it.
    spendings: Spendings,
    /// Which of them our outgoing requests are parts of.
    outgoing: BTreeMap<RequestRef, PaymentId>,
    /// Which of them pays an invoice.
    paying: BTreeMap<InvoiceId, PaymentId>,
    /// What is known of a payment only while this process runs.
    searches: BTreeMap<PaymentId, Search>,
    /// Questions of the owner's and of our own that the index servers have not answered.
    questions: BTreeMap<PaymentId, Question>,
    /// What others have refused to carry for our payments lately.
    refusals: Refusals,
    /// The same for debt cycles, where more is a reason to refuse.
    clearing_refusals: Refusals,
    /// Where our payments got no answer.
    silent_hops: SilentHops,
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
            silent_hops: SilentHops::default(),
        })
    }

    /// All of them, to look at.
    pub(crate) fn all(&self) -> &Table<Payment> {
        &self.payments
    }

    /// What applications have spent, to look at.
    pub(crate) fn spendings(&self) -> &Spendings {
        &self.spendings
    }

    /// What these applications may spend from now on.
    pub(crate) fn set_budgets(&mut self, budgets: BTreeMap<PublicKey, Budgets>) {
        self.budgets.extend(budgets);
    }

    /// A payment that the last run has committed goes on.
    pub(crate) fn resume(&mut self, payment: &Payment, context: &mut Context<'_>) {
        self.searches.insert(payment.id, Search::taken_up(payment));
        let deadline = context.now.uptime_ms.saturating_add(payment.timeout_ms);
        context.timers.set(Timer::Payment(payment.id), deadline);
        if let Some((invoice, _)) = &payment.invoice {
            self.paying.insert(*invoice, payment.id);
        }
    }

    /// A payment that the last run has not committed ends.
    pub(crate) fn fail_at_start(&mut self, id: PaymentId, reason: &str, context: &Context<'_>) {
        let payment = self.payments.get_mut(&id).expect("the caller has looked");
        payment.parts.clear();
        payment.reason = reason.to_owned();
        payment.progress = Progress::Failed;
        payment.ended_ms = Some(context.now.unix_ms);
    }

    /// Why a payment has ended, better than its last attempt knew.
    pub(crate) fn explain(&mut self, id: PaymentId, reason: &str) {
        if let Some(payment) = self.payments.draft(&id) {
            payment.reason = reason.to_owned();
        }
    }

    /// A part goes on over the account with a friend's new key.
    pub(crate) fn rekey(&mut self, payment: PaymentId, lost: PublicKey, outgoing: &RequestRef) {
        let friend = outgoing.account.friend;
        let record = self.payments.get_mut(&payment).expect("its origin names it");
        if let Some(first) = record.parts.get_mut(&outgoing.id).and_then(|part| part.path.first_mut()) {
            *first = friend;
        }
        if record.cycle == Some(Cycle::Rebalance(lost)) {
            record.cycle = Some(Cycle::Rebalance(friend));
        }
        self.pay_by(outgoing.clone(), payment);
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
