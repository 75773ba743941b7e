//! What paying would cost: the same question to the index servers as for a payment, and nothing is paid.

use crate::accounts::Accounts;
use crate::command::{CommandId, Reply};
use crate::context::Context;
use crate::io::Output;
use crate::payments::Payments;
use crate::payments::clearing::Ring;
use crate::payments::record::{Circle, Payment};
use crate::payments::search::Avoids;
use offst_ledger::AccountId;
use offst_proto::PaymentId;
use offst_proto::index::Query;
use offst_proto::limits::PARTS_MAX;
use offst_proto::order::Order;
use offst_proto::report::QuoteReport;
use offst_proto::route::Way;
use std::collections::BTreeMap;

/// Most questions that wait for the index servers.
const QUESTIONS_MAX: usize = 256;

/// A question to the index servers that belongs to no payment.
#[derive(Debug)]
pub(crate) enum Question {
    /// What this payment would cost, without hops that did not carry others lately.
    Quote(CommandId, Box<Payment>, Avoids),
    /// Where a ring of debts is.
    Ring(Ring),
}

/// Why there is no way, when the index servers only say that there is none.
pub(crate) fn no_route(payment: &Payment) -> &'static str {
    match payment.circle {
        None => "no route with enough room for this amount was found, or the destination is offline",
        Some(Circle::Rebalance(_)) => {
            "no cycle with enough room for this amount was found that leaves by this friend and comes back by another"
        }
        Some(Circle::Clearing) => "the ring has no room any more",
    }
}
impl Payments {
    /// Answers what an order would cost, when the index servers have spoken.
    pub(crate) fn quote(&mut self, command: CommandId, order: &Order, accounts: &Accounts, context: &mut Context<'_>) {
        match self.payment(order, accounts, context) {
            Err(sentence) => context.reply(command, Reply::Refused(sentence)),
            Ok(payment) => self.quote_without(command, Box::new(payment), Avoids::default(), context),
        }
    }

    /// Asks as the payment would. What is left out is asked for when there is no way without it.
    fn quote_without(&mut self, command: CommandId, payment: Box<Payment>, avoids: Avoids, context: &mut Context<'_>) {
        let mut query = self.way_query(&payment, payment.total, context);
        let avoids = if self.leave_out_others(&mut query, avoids, context) { avoids } else { Avoids::Nothing };
        if !self.put_question(query, Question::Quote(command, payment, avoids), context) {
            let sentence = "too many questions wait for the index servers: ask again in a moment";
            context.reply(command, Reply::Refused(sentence.into()));
        }
    }

    /// Asks the index servers, unless too many questions wait already.
    pub(crate) fn put_question(&mut self, query: Query, question: Question, context: &mut Context<'_>) -> bool {
        if self.questions.len() >= QUESTIONS_MAX {
            return false;
        }
        let id = PaymentId::random(&mut *context.environment.random);
        self.questions.insert(id, question);
        context.outputs.push(Output::FindWays(id, Box::new(query)));
        true
    }

    /// The index servers have answered a question.
    pub(crate) fn answered(
        &mut self,
        question: Question,
        ways: Result<Vec<Way>, String>,
        accounts: &mut Accounts,
        context: &mut Context<'_>,
    ) {
        match question {
            Question::Ring(ring) => self.found_ring(ring, ways, accounts, context),
            Question::Quote(command, payment, avoids) => match self.quoted(&payment, ways, accounts, context) {
                Reply::Refused(_) if avoids != Avoids::Nothing => {
                    self.quote_without(command, payment, avoids.fewer(), context)
                }
                reply => context.reply(command, reply),
            },
        }
    }

    fn quoted(
        &self,
        payment: &Payment,
        ways: Result<Vec<Way>, String>,
        accounts: &Accounts,
        context: &Context<'_>,
    ) -> Reply {
        let direct = self.direct_way(payment, payment.total, accounts);
        let (mut found, problem) = match ways {
            Ok(ways) => (ways, None),
            Err(sentence) => (vec![], Some(sentence)),
        };
        found.retain(|way| {
            self.is_way_for(payment, way, payment.total, context) && self.can_leave(payment, way, accounts)
        });
        if found.is_empty() {
            found.extend(direct);
        }
        match (found.is_empty(), problem) {
            (true, Some(sentence)) => Reply::Refused(sentence),
            (true, None) => Reply::Refused(no_route(payment).into()),
            (false, _) => Reply::Quote(Box::new(QuoteReport {
                currency: payment.currency.clone(),
                amount: payment.total,
                ways: found,
                max_fee_default: self.fees_by_default(payment, context),
            })),
        }
    }

    /// Whether a way is one for `missing` credits of this payment. Index servers only propose.
    pub(crate) fn is_way_for(&self, payment: &Payment, way: &Way, missing: u128, context: &Context<'_>) -> bool {
        let local = context.local;
        way.check().is_ok()
            && way.amount() == missing
            && way.parts.len() <= PARTS_MAX - payment.parts.len()
            && way.parts.iter().all(|part| {
                let Some((last, mediators)) = part.route.split_last() else { return false };
                let is_circle_right = match payment.circle {
                    None => true,
                    // It comes back over another account than it left by.
                    Some(Circle::Clearing) => mediators.len() > 1,
                    Some(Circle::Rebalance(friend)) => mediators.len() > 1 && mediators[0] == friend,
                };
                part.amount > 0 && *last == payment.destination && !mediators.contains(&local) && is_circle_right
            })
    }

    /// Whether our own lines have room for the parts of a way.
    fn can_leave(&self, payment: &Payment, way: &Way, accounts: &Accounts) -> bool {
        let mut leaving = BTreeMap::new();
        for part in &way.parts {
            let sum: &mut u128 = leaving.entry(part.route[0]).or_default();
            *sum = sum.saturating_add(part.total());
        }
        leaving.into_iter().all(|(friend, sum)| sum <= accounts.send_room(&AccountId::new(friend, &payment.currency)))
    }
}
