//! What applications spend, counted beside the node: never more than their budgets, and nothing is forgotten.

use super::purse::{Count, Purse};
use super::{EventKind, World};
use offst_crypto::Identity;
use offst_funder::{Command, Input, Payment, Progress, Reply};
use offst_proto::Amount;
use offst_proto::PaymentId;
use offst_proto::budget::{Budget, Budgets};
use offst_proto::order::{Destination, Order, Purpose};
use std::collections::BTreeMap;

/// When the period of a budget ends that holds this moment, unix ms.
fn period_end(budget: &Budget, unix_ms: u64) -> u64 {
    budget.period.map_or(u64::MAX, |period| period.end_ms(unix_ms))
}

/// What a payment that was paid takes of its budget: what came around a cycle of friends comes back.
fn cost(payment: &Payment) -> u128 {
    payment.fees() + if payment.cycle.is_some() { 0 } else { payment.underway() }
}

impl World {
    /// A node's owner lets an application spend so much.
    pub(crate) fn grant(&mut self, index: usize, budgets: Vec<Budget>) {
        let app = Identity::from_seed([100 + index as u8; 32]).public_key();
        let budgets = Budgets::new(7, budgets).expect("each currency once");
        self.nodes[index].purse = Some(Purse { app, budgets, counts: BTreeMap::new() });
        let input = self.grants(index).expect("it was just granted");
        self.batch(index, vec![input]);
    }

    /// What a node is told of its applications when it starts.
    pub(super) fn grants(&self, index: usize) -> Option<Input> {
        let purse = self.nodes[index].purse.as_ref()?;
        Some(Input::Budgets([(purse.app, purse.budgets.clone())].into()))
    }

    /// The command for an order of the node's application; none: it has none.
    pub(crate) fn order_by_app(&self, index: usize, order: &Order) -> Option<Command> {
        let purse = self.nodes[index].purse.as_ref()?;
        Some(Command::PayFor(purse.app, Box::new(order.clone())))
    }

    /// A batch of a node runs now: another period may have begun by its clock.
    pub(super) fn record_period(&mut self, index: usize) {
        if self.nodes[index].purse.is_none() {
            return;
        }
        let unix_ms = self.now(index).unix_ms;
        let Some(Purse { budgets, counts, .. }) = &mut self.nodes[index].purse else { return };
        for budget in budgets.all() {
            let period_end = period_end(budget, unix_ms);
            let count = counts.entry(budget.currency.clone()).or_insert(Count { period_end, spent: 0 });
            if count.period_end != period_end {
                *count = Count { period_end, spent: 0 };
            }
        }
    }

    /// These payments have ended in the transaction that was just written.
    ///
    /// # Panics
    /// When more was spent than the owner allows.
    pub(super) fn count_spent(&mut self, index: usize, ended: &[PaymentId]) {
        let is_forgetful = self.forgets_spending(index);
        for id in ended {
            let node = &mut self.nodes[index];
            let Some(payment) = node.disk.payment(*id).filter(|payment| payment.progress == Progress::Paid) else {
                continue;
            };
            let Some(Purse { app, budgets, counts }) = &mut node.purse else { return };
            if payment.app != Some(*app) {
                continue;
            }
            self.faults.did(EventKind::AppPaid);
            let budget = budgets.of(&payment.currency).expect("it pays in no currency without a budget");
            let count = counts.get_mut(&payment.currency).expect("a period runs");
            count.spent += cost(&payment);
            assert!(
                count.spent <= budget.amount.credits() || is_forgetful,
                "an application of node {index} has spent {} in one period, and may spend {budget}",
                count.spent
            );
        }
    }

    /// A node that has lost a disk has lost what was on it.
    fn forgets_spending(&self, index: usize) -> bool {
        self.replaced.contains(&index) || self.careless.contains(&index)
    }

    /// What a node says of its application's budgets, if it is asked now.
    fn ask_budgets(&mut self, index: usize) -> Vec<offst_proto::budget::BudgetReport> {
        let Some(app) = self.nodes[index].purse.as_ref().map(|purse| purse.app) else { return vec![] };
        if !self.nodes[index].is_up() || self.nodes[index].writing.is_some() {
            return vec![];
        }
        let id = self.command(index, Command::Budgets(app));
        match self.reply(index, id) {
            Some(Reply::Budgets(reports)) => reports.unwrap_or_default(),
            _ => vec![],
        }
    }

    /// # Panics
    /// When a node tells its owner of less than its application has spent.
    pub(crate) fn check_budgets(&mut self, index: usize) {
        let reports = self.ask_budgets(index);
        if self.forgets_spending(index) {
            return;
        }
        let Some(purse) = &self.nodes[index].purse else { return };
        for report in reports {
            let spent = purse.counts.get(&report.budget.currency).map_or(0, |count| count.spent);
            assert!(
                report.spent >= spent,
                "an application of node {index} has spent {spent} of {}, and the node remembers {}",
                report.budget,
                report.spent
            );
        }
    }

    /// A node's application asks for more than it may ever spend, of every currency.
    ///
    /// # Panics
    /// When it is not refused.
    pub(crate) fn order_too_much(&mut self, index: usize) {
        if !self.nodes[index].is_up() || self.nodes[index].writing.is_some() {
            return;
        }
        let Some(budgets) = self.nodes[index].purse.as_ref().map(|purse| purse.budgets.all().to_vec()) else { return };
        let destination = Destination::Key(self.key((index + 1) % self.nodes.len()));
        for Budget { currency, amount, .. } in budgets {
            let destination = destination.clone();
            let order = self.order(Purpose::Spontaneous {
                destination,
                currency,
                amount: Amount::capped(amount.credits() + 1),
            });
            let command = self.order_by_app(index, &order).expect("it has a purse");
            let id = self.command(index, command);
            let reply = self.reply(index, id);
            assert!(matches!(reply, Some(Reply::Refused(_))), "node {index} lets its application spend {reply:?}");
        }
    }

    /// Every clock has been right for longer than any period: each application may spend its whole budget again.
    ///
    /// # Panics
    /// When one may not.
    pub(crate) fn check_new_periods(&mut self, index: usize) {
        for report in self.ask_budgets(index) {
            let is_over = report.budget.period.is_some();
            assert!(
                !is_over || (report.spent, report.under_way) == (0, 0),
                "the clock of node {index} is right, and in a new period its application has spent {} of {} already",
                report.spent,
                report.budget
            );
        }
    }
}
