//! What an application may still spend (protocol section 6).
//!
//! ```text
//! spent (durable, by app and currency) + under way (of the payments that have not ended) + what is asked for <= budget
//! ```
//!
//! A payment is *under way* from its order, which is durable before anything is sent, until it has ended. Then it is spent, in the
//! transaction that writes its end, or, if it has failed, has cost nothing. So what a payment costs is counted from its order on and at
//! any moment once: two orders at one time, or a process that dies between any two steps, do not make room for a payment that
//! there is none for. Nothing is reserved beside the payments themselves, so nothing that is reserved can be lost, or stay.
//!
//! What counts is what leaves the node: amount and fees. Credit that moves around a cycle of friends comes back, so only
//! its fees count; clearing a ring of debts is free. Fees are known when a way is: one that costs more than is left is not taken.
//!
//! A payment counts in the period in which it ends, and while it is under way in every one. So what is paid in a period never exceeds the
//! budget. A period begins with the first order after the end of the one before, and is durable with it; a clock that jumps
//! back does not bring it about again.

use crate::machine::Batch;
use crate::records::{Payment, Progress};
use offst_crypto::PublicKey;
use offst_proto::budget::{Budget, BudgetReport, Budgets, Period};
use offst_proto::encoding::{Canonical, DecodeError, Decoder, Encoder};
use offst_proto::{Currency, PaymentId};
use std::collections::BTreeMap;

/// What an application has spent of one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spending {
    /// Which time of being bounded it belongs to: [`Budgets::since_ms`].
    pub since_ms: u64,
    /// How long it counts.
    pub period: Option<Period>,
    /// When the period is over, unix ms; `u64::MAX`: never.
    pub until_ms: u64,
    /// What was paid in it, fees included, credits.
    pub spent: u128,
}

/// What was spent by each application, in each currency.
pub type Spendings = BTreeMap<(PublicKey, Currency), Spending>;

impl Spending {
    /// What counts now: what is stored, or a new period. When the owner has changed the period, what was spent in the one before goes
    /// on counting in the one that runs now.
    fn running(stored: Option<&Spending>, since_ms: u64, budget: &Budget, now_ms: u64) -> Spending {
        let until_ms = budget.period.map_or(u64::MAX, |period| period.end_ms(now_ms));
        let fresh = Spending { since_ms, period: budget.period, until_ms, spent: 0 };
        match stored.filter(|stored| stored.since_ms == since_ms) {
            None => fresh,
            // `u64::MAX` is no moment.
            Some(stored) if stored.until_ms <= now_ms && stored.until_ms < u64::MAX => fresh,
            Some(stored) if stored.period != budget.period => Spending { spent: stored.spent, ..fresh },
            Some(stored) => *stored,
        }
    }
}

impl Canonical for Spending {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.u64(self.since_ms);
        encoder.option(&self.period);
        encoder.u64(self.until_ms);
        encoder.u128(self.spent);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Spending {
            since_ms: decoder.u64()?,
            period: decoder.option()?,
            until_ms: decoder.u64()?,
            spent: decoder.u128()?,
        })
    }
}

/// What a payment takes, or took, of its application's budget, credits.
fn cost(payment: &Payment) -> u128 {
    let amount = match payment.progress {
        Progress::Failed => return 0,
        // It comes back.
        _ if payment.circle.is_some() => 0,
        Progress::Searching | Progress::Committed => payment.total,
        // The seller may have taken less than it asked for.
        Progress::Paid => payment.underway(),
    };
    amount.saturating_add(payment.fees())
}

/// How the budget of an application in one currency stands, and what counts when something is spent of it.
fn standing<'a>(
    budget: &Budget,
    (since_ms, app): (u64, PublicKey),
    spendings: &Spendings,
    payments: impl Iterator<Item = &'a Payment>,
    now_ms: u64,
) -> (BudgetReport, Spending) {
    let stored = spendings.get(&(app, budget.currency.clone()));
    let running = Spending::running(stored, since_ms, budget, now_ms);
    let of_app = payments.filter(|payment| {
        payment.app == Some(app)
            && payment.currency == budget.currency
            && matches!(payment.progress, Progress::Searching | Progress::Committed)
    });
    let report = BudgetReport {
        budget: budget.clone(),
        spent: running.spent,
        under_way: of_app.fold(0, |sum, payment| sum.saturating_add(cost(payment))),
        until_ms: Some(running.until_ms).filter(|until_ms| *until_ms < u64::MAX),
    };
    (report, running)
}

/// How all budgets of an application stand. `payments`: those that have not ended are among them.
pub fn budget_reports<'a>(
    app: PublicKey,
    budgets: &Budgets,
    spendings: &Spendings,
    payments: impl Iterator<Item = &'a Payment> + Clone,
    now_ms: u64,
) -> Vec<BudgetReport> {
    let whose = (budgets.since_ms(), app);
    let reports = budgets.all().iter();
    reports.map(|budget| standing(budget, whose, spendings, payments.clone(), now_ms).0).collect()
}

/// What an application may spend of a currency.
enum Allowance {
    Unlimited,
    /// Its budgets are in other currencies, or the owner does not trust it.
    Nothing,
    Limited(BudgetReport, Spending),
}

impl Batch<'_> {
    fn allowance(&self, app: PublicKey, currency: &Currency) -> Allowance {
        let state = &self.state;
        let Some(budgets) = state.budgets.get(&app) else { return Allowance::Nothing };
        match budgets.of(currency) {
            None if budgets.are_unlimited() => Allowance::Unlimited,
            None => Allowance::Nothing,
            Some(budget) => {
                let whose = (budgets.since_ms(), app);
                let (report, running) =
                    standing(budget, whose, &state.spendings, state.payments.values(), self.now.unix_ms);
                Allowance::Limited(report, running)
            }
        }
    }

    /// Whether a payment may begin that an application orders. The period that this was found in begins with it.
    pub(crate) fn take_from_budget(&mut self, app: PublicKey, payment: &Payment) -> Result<(), String> {
        let Payment { currency, total, .. } = payment;
        match self.allowance(app, currency) {
            Allowance::Unlimited => Ok(()),
            Allowance::Nothing => Err(format!(
                "this app has no budget in {currency}: the owner gives it one with `stnode trust` and --budget"
            )),
            Allowance::Limited(report, _) if cost(payment) > report.left() => Err(format!(
                "this app may spend {report}, which is too little for a payment of {total}: the owner changes it with \
                 `stnode trust` and --budget"
            )),
            Allowance::Limited(_, running) => {
                self.put_spending((app, currency.clone()), running);
                Ok(())
            }
        }
    }

    /// The most that mediators may take of a payment now, for its application's sake, credits.
    pub(crate) fn budget_for_fees(&self, payment: &Payment) -> u128 {
        match payment.app.map(|app| self.allowance(app, &payment.currency)) {
            None | Some(Allowance::Unlimited) => u128::MAX,
            Some(Allowance::Nothing) => 0,
            Some(Allowance::Limited(report, _)) => report.left(),
        }
    }

    /// A payment is paid: what was under way is spent.
    pub(crate) fn spend(&mut self, id: PaymentId) {
        let payment = &self.state.payments[&id];
        let Some(app) = payment.app else { return };
        if let Allowance::Limited(_, running) = self.allowance(app, &payment.currency) {
            let spent = running.spent.saturating_add(cost(payment));
            self.put_spending((app, payment.currency.clone()), Spending { spent, ..running });
        }
    }

    fn put_spending(&mut self, key: (PublicKey, Currency), spending: Spending) {
        if self.state.spendings.get(&key) != Some(&spending) {
            self.state.spendings.insert(key.clone(), spending);
            self.changed.spendings.insert(key);
        }
    }

    /// How the budgets of an application stand; none: it has no limit.
    pub(crate) fn budgets_of(&self, app: PublicKey) -> Option<Vec<BudgetReport>> {
        let state = &self.state;
        let budgets = state.budgets.get(&app).filter(|budgets| !budgets.are_unlimited())?;
        Some(budget_reports(app, budgets, &state.spendings, state.payments.values(), self.now.unix_ms))
    }
}
