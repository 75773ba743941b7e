//! What is still waiting, by name: a run that does not come to an end says what it is stuck on.

use super::World;
use offst_ledger::{Direction, Status};
use std::fmt::Write;

/// How many of them are enough to see what is wrong.
const LINES_MAX: usize = 40;

impl World {
    /// Everything that has not finished among honest nodes: one line each, with node, account, request, stage and payment.
    pub(crate) fn stuck(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (index, node) in self.nodes.iter().enumerate().filter(|(index, _)| self.is_waited_for(*index)) {
            let Some(funder) = &node.funder else {
                lines.push(format!("node {index} is down"));
                continue;
            };
            if node.disk.is_recovering() {
                lines.push(format!("node {index} still recovers what it has lost"));
            }
            for (friend, account) in funder.accounts() {
                let other = self.index(friend);
                if self.liars.contains(&other) {
                    continue;
                }
                let currency = &account.key().currency;
                if account.status() != Status::Consistent {
                    lines.push(format!("node {index}, account with {other} in {currency}: {:?}", account.status()));
                }
                for (direction, id, pending) in account.epoch().into_iter().flat_map(|epoch| epoch.pendings()) {
                    let side = if direction == Direction::Outgoing { "to" } else { "from" };
                    let payment = self.payment_of(id);
                    lines.push(format!(
                        "node {index}, account with {other} in {currency}: request {id} {side} {other} of {} credits is \
                         {:?}, {payment}",
                        pending.held, pending.stage
                    ));
                }
            }
            for (_, payment) in node.disk.all::<offst_funder::Payment>() {
                lines.push(format!("node {index} is still paying {}: {:?}", payment.id, payment.progress));
            }
            for (key, what) in node.disk.rows_underway() {
                let other = self.index(key.account.friend);
                lines.push(format!("node {index} keeps {what} of request {} from node {other}", key.id));
            }
        }
        lines
    }

    /// Liars, and keys that were lost, finish nothing.
    fn is_waited_for(&self, index: usize) -> bool {
        !self.liars.contains(&index) && !self.is_retired(index)
    }

    /// The payment that a request belongs to, as its buyer has stored it.
    fn payment_of(&self, id: offst_proto::RequestId) -> String {
        for (index, node) in self.nodes.iter().enumerate() {
            for payment in node.disk.payments() {
                if payment.parts.contains_key(&id) {
                    return format!("part of payment {} of node {index}, {:?}", payment.id, payment.progress);
                }
            }
        }
        "of a payment that has ended or was never stored".into()
    }

    /// # Panics
    /// When anything has not finished, with what it is.
    pub(crate) fn assert_finished(&self) {
        let lines = self.stuck();
        if !lines.is_empty() {
            let mut text = format!("{} things are stuck:", lines.len());
            for line in lines.iter().take(LINES_MAX) {
                write!(text, "\n  {line}").expect("a text can be written");
            }
            panic!("{text}");
        }
    }
}
