//! What an application may still spend (protocol section 6).
//!
//! ```text
//! spent (durable, by app and currency) + under way (of the payments that have not ended) + what is asked for <= budget
//! ```
//!
//! A payment is *under way* from its order, which is durable before anything is sent, until it has ended. Then it is
//! spent, in the transaction that writes its end, or, if it has failed, has cost nothing. So what a payment costs is
//! counted from its order on, and at any moment once: neither two orders at one time, nor a process that dies between
//! two steps, make room where there is none. Nothing is reserved beside the payments themselves, so nothing that is
//! reserved can be lost, or stay.
//!
//! What counts is what leaves the node: amount and fees. Credit that moves around a cycle of friends comes back, so
//! only its fees count; clearing a debt cycle is free. Fees are known when a route is: one that costs more than is left
//! is not taken.
//!
//! A payment counts in the period in which it ends, and in every one while it is under way. So what is paid in a period
//! never exceeds the budget. A period begins with the first order in it, and is durable with it.

use crate::context::Context;
use crate::payments::Payments;
use crate::payments::record::{Payment, Progress};
use crate::payments::spending::{Spending, Spendings};
use offst_crypto::PublicKey;
use offst_proto::budget::{Budget, BudgetReport, Budgets};
use offst_proto::{Currency, PaymentId};

/// What a payment takes, or took, of its application's budget, credits.
/// (R6.5.)
fn cost(payment: &Payment) -> u128 {
    let amount = match payment.progress {
        Progress::Failed => return 0,
        // It comes back.
        _ if payment.cycle.is_some() => 0,
        Progress::Searching | Progress::Committed => payment.total.credits(),
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

impl Payments {
    fn allowance(&self, app: PublicKey, currency: &Currency, context: &Context<'_>) -> Allowance {
        let Some(budgets) = self.budgets.get(&app) else { return Allowance::Nothing };
        match budgets.of(currency) {
            None if budgets.are_unlimited() => Allowance::Unlimited,
            None => Allowance::Nothing,
            Some(budget) => {
                let whose = (budgets.since_ms(), app);
                let (report, running) =
                    standing(budget, whose, &self.spendings, self.payments.values(), context.now.unix_ms);
                Allowance::Limited(report, running)
            }
        }
    }

    /// Whether a payment may begin that an application orders. The period that this was found in begins with it.
    /// (R6.4.)
    pub(crate) fn take_from_budget(
        &mut self,
        app: PublicKey,
        payment: &Payment,
        context: &Context<'_>,
    ) -> Result<(), String> {
        let Payment { currency, total, .. } = payment;
        match self.allowance(app, currency, context) {
            Allowance::Unlimited => Ok(()),
            Allowance::Nothing => Err(format!(
                "this app has no budget in {currency}: the owner gives it one with `stnode trust` and --budget"
            )),
            Allowance::Limited(report, running) => {
                // Also when it is refused: what counts in this period for a wrong clock's sake does not count in the
                // next one.
                self.put_spending((app, currency.clone()), running);
                if cost(payment) > report.left() {
                    return Err(format!(
                        "this app may spend {report}, which is too little for a payment of {total}: the owner changes it with \
                         `stnode trust` and --budget"
                    ));
                }
                Ok(())
            }
        }
    }

    /// The most that mediators may take of a payment now, for its application's sake, credits.
    pub(crate) fn budget_for_fees(&self, payment: &Payment, context: &Context<'_>) -> u128 {
        match payment.app.map(|app| self.allowance(app, &payment.currency, context)) {
            None | Some(Allowance::Unlimited) => u128::MAX,
            Some(Allowance::Nothing) => 0,
            Some(Allowance::Limited(report, _)) => report.left(),
        }
    }

    /// A payment is paid: what was under way is spent.
    /// (R6.6.)
    pub(crate) fn spend(&mut self, id: PaymentId, context: &Context<'_>) {
        let payment = &self.payments[&id];
        let Some(app) = payment.app else { return };
        if let Allowance::Limited(_, running) = self.allowance(app, &payment.currency, context) {
            let spent = running.spent.saturating_add(cost(payment));
            self.put_spending((app, payment.currency.clone()), Spending { spent, ..running });
        }
    }

    fn put_spending(&mut self, key: (PublicKey, Currency), spending: Spending) {
        if self.spendings.get(&key) != Some(&spending) {
            self.spendings.insert(key, spending);
        }
    }

    /// How the budgets of an application stand; none: it has no limit.
    pub(crate) fn budgets_of(&self, app: PublicKey, context: &Context<'_>) -> Option<Vec<BudgetReport>> {
        let budgets = self.budgets.get(&app).filter(|budgets| !budgets.are_unlimited())?;
        Some(budget_reports(app, budgets, &self.spendings, self.payments.values(), context.now.unix_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payments::record::Cycle;
    use offst_crypto::Identity;
    use offst_proto::Amount;
    use offst_proto::budget::Period;
    use offst_proto::calendar::DAY_MS;
    use offst_rows::{Row, UnknownFields};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn key(seed: u8) -> PublicKey {
        Identity::from_seed([seed; 32]).public_key()
    }

    fn budget(text: &str) -> Budget {
        text.parse().unwrap()
    }

    fn payment(id: u8, app: Option<u8>, total: u128, progress: Progress) -> Payment {
        Payment {
            id: PaymentId::from_bytes([id; 16]),
            app: app.map(key),
            destination: key(9),
            cycle: None,
            invoice: None,
            currency: Currency::default(),
            total: Amount::capped(total),
            max_fee: None,
            timeout_ms: 60_000,
            created_ms: 1,
            ended_ms: None,
            progress,
            reason: String::new(),
            parts: BTreeMap::new(),
        }
    }

    /// The value and its row, which comes back as it was written.
    fn comes_back<T: Row + PartialEq + std::fmt::Debug>(key: &T::Key, value: &T) {
        let (read, unknown) = T::from_bytes(key, &value.to_bytes(&UnknownFields::none())).unwrap();
        assert_eq!(&read, value);
        assert!(unknown.is_empty());
    }

    #[test]
    fn rows_come_back_with_what_may_be_missing_and_without() {
        for app in [None, Some(1)] {
            let payment = payment(1, app, 5, Progress::Paid);
            comes_back(&payment.id.clone(), &payment);
        }
        let one = Spending { since_ms: 7, period: Some(Period::Week), until_ms: DAY_MS, spent: 380, other: None };
        for spending in [one, Spending { other: Some((9, 10)), ..one }, Spending { period: None, ..one }] {
            comes_back(&(key(1), Currency::default()), &spending);
        }
    }

    #[test]
    fn what_is_under_way_is_that_of_the_app_in_the_currency() {
        let hours = Payment { currency: "hours".parse().unwrap(), ..payment(5, Some(1), 1000, Progress::Committed) };
        let cycle = Payment { cycle: Some(Cycle::Clearing), ..payment(6, Some(1), 1000, Progress::Committed) };
        let payments = [
            payment(1, Some(1), 1, Progress::Searching),
            payment(2, Some(1), 20, Progress::Committed),
            payment(3, Some(1), 1000, Progress::Failed),
            payment(4, Some(1), 1000, Progress::Paid),
            hours,
            cycle,
            payment(7, Some(2), 1000, Progress::Committed),
            payment(8, None, 1000, Progress::Committed),
        ];
        let budgets = Budgets::new(7, vec![budget("100")]).unwrap();
        let reports = budget_reports(key(1), &budgets, &Spendings::default(), payments.iter(), 5);
        assert_eq!((reports[0].under_way, reports[0].left(), reports[0].until_ms), (21, 79, None));
    }

    /// The rules alone: an application that orders whatever it may, at any clock.
    #[derive(Debug, Clone)]
    enum Step {
        Order(u128),
        /// The payment with this number, of those under way, is paid or fails.
        End(usize, bool),
        /// The clock shows this.
        Clock(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0..120_u128).prop_map(Step::Order),
            3 => (any::<usize>(), any::<bool>()).prop_map(|(number, is_paid)| Step::End(number, is_paid)),
            2 => (0..40 * DAY_MS).prop_map(Step::Clock),
        ];
        prop::collection::vec(step, 1..80)
    }

    proptest! {
        #[test]
        fn what_is_paid_in_a_period_is_within_the_budget(steps in steps(), period in 0..4_usize) {
            let period = [None, Some(Period::Day), Some(Period::Week), Some(Period::Month)][period];
            let budget = Budget { currency: Currency::default(), amount: 200.into(), period };
            let whose = (7, key(1));
            let place = (key(1), Currency::default());
            let (mut stored, mut payments, mut now_ms) = (Spendings::default(), Vec::new(), 0);
            // By the end of the period in which it was paid: one that is over never comes again.
            let mut paid: BTreeMap<u64, u128> = BTreeMap::new();
            let mut newest_ms = 0;
            let end_ms = |unix_ms| period.map(|period| period.end_ms(unix_ms));
            for step in steps {
                let (report, running) = standing(&budget, whose, &stored, payments.iter(), now_ms);
                prop_assert!(report.spent + report.under_way <= budget.amount.credits());
                match step {
                    Step::Order(amount) if amount <= report.left() => {
                        stored.insert(place.clone(), running);
                        payments.push(payment(1, Some(1), amount, Progress::Searching));
                    }
                    Step::End(number, is_paid) if !payments.is_empty() => {
                        let payment = payments.swap_remove(number % payments.len());
                        if is_paid {
                            let spent = running.spent + cost(&payment);
                            stored.insert(place.clone(), Spending { spent, ..running });
                            let sum = paid.entry(running.until_ms).or_default();
                            *sum += payment.total.credits();
                            prop_assert!(*sum <= budget.amount.credits());
                        }
                    }
                    Step::Order(_) | Step::End(..) => {}
                    // What is under way is not carried between periods that have both run.
                    Step::Clock(unix_ms) if payments.is_empty() || end_ms(unix_ms) > end_ms(newest_ms) => {
                        now_ms = unix_ms;
                        newest_ms = newest_ms.max(unix_ms);
                    }
                    Step::Clock(_) => {}
                }
            }
        }

        #[test]
        fn a_change_of_the_period_forgets_nothing(spent: u128, from in 0..4_usize, to in 0..4_usize, now_ms in 0..40 * DAY_MS) {
            let texts = ["200", "200/day", "200/week", "200/month"];
            let before = Spending { spent, ..Spending::running(None, 7, &budget(texts[from]), now_ms) };
            let after = Spending::running(Some(&before), 7, &budget(texts[to]), now_ms);
            prop_assert_eq!(after, Spending { spent, ..Spending::running(None, 7, &budget(texts[to]), now_ms) });
            prop_assert_eq!(Spending::running(Some(&before), 8, &budget(texts[to]), now_ms).spent, 0);
        }
    }
}
