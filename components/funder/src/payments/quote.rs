//! What paying would cost: the same question to the index servers as for a payment, and nothing is paid.

use crate::accounts::Accounts;
use crate::command::{CommandId, Reply};
use crate::context::Context;
use crate::io::Output;
use crate::payments::Payments;
use crate::payments::reasons::no_route;
use crate::payments::record::{Cycle, Payment};
use crate::payments::search_state::{Avoids, Question};
use offst_ledger::AccountId;
use offst_proto::Amount;
use offst_proto::PaymentId;
use offst_proto::index::Query;
use offst_proto::limits::PARTS_MAX;
use offst_proto::order::Order;
use offst_proto::report::QuoteReport;
use offst_proto::route::Route;
use std::collections::BTreeMap;

/// Most questions that wait for the index servers.
const QUESTIONS_MAX: usize = 256;

impl Payments {
    /// Answers what an order would cost, when the index servers have spoken.
    pub(crate) fn quote(&mut self, command: CommandId, order: &Order, accounts: &Accounts, context: &mut Context<'_>) {
        match self.payment(order, accounts, context) {
            Err(message) => context.reply(command, Reply::Refused(message)),
            Ok(payment) => self.quote_without(command, Box::new(payment), Avoids::default(), context),
        }
    }

    /// Asks as the payment would. What is left out is asked for when there is no route without it.
    fn quote_without(&mut self, command: CommandId, payment: Box<Payment>, avoids: Avoids, context: &mut Context<'_>) {
        let mut query = self.route_query(&payment, payment.total, context);
        let avoids = if self.leave_out_others(&mut query, avoids, context) { avoids } else { Avoids::Nothing };
        if !self.put_question(query, Question::Quote(command, payment, avoids), context) {
            let message = "too many questions wait for the index servers: ask again in a moment";
            context.reply(command, Reply::Refused(message.into()));
        }
    }

    /// Asks the index servers, unless too many questions wait already.
    pub(crate) fn put_question(&mut self, query: Query, question: Question, context: &mut Context<'_>) -> bool {
        if self.questions.len() >= QUESTIONS_MAX {
            return false;
        }
        let id = PaymentId::random(&mut *context.environment.random);
        self.questions.insert(id, question);
        context.outputs.push(Output::FindRoutes(id, Box::new(query)));
        true
    }

    /// The index servers have answered a question.
    pub(crate) fn answered(
        &mut self,
        question: Question,
        routes: Result<Vec<Route>, String>,
        accounts: &mut Accounts,
        context: &mut Context<'_>,
    ) {
        match question {
            Question::DebtCycle(debt_cycle) => self.found_debt_cycle(debt_cycle, routes, accounts, context),
            Question::Quote(command, payment, avoids) => match self.quoted(&payment, routes, accounts, context) {
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
        routes: Result<Vec<Route>, String>,
        accounts: &Accounts,
        context: &Context<'_>,
    ) -> Reply {
        let direct = self.direct_route(payment, payment.total, accounts);
        let (mut found, problem) = match routes {
            Ok(routes) => (routes, None),
            Err(message) => (vec![], Some(message)),
        };
        found.retain(|route| {
            self.is_route_for(payment, route, payment.total, context) && self.can_leave(payment, route, accounts)
        });
        if found.is_empty() {
            found.extend(direct);
        }
        match (found.is_empty(), problem) {
            (true, Some(message)) => Reply::Refused(message),
            (true, None) => Reply::Refused(no_route(payment).into()),
            (false, _) => Reply::Quote(Box::new(QuoteReport {
                currency: payment.currency.clone(),
                amount: payment.total,
                routes: found,
                max_fee_default: self.fees_by_default(payment, context),
            })),
        }
    }

    /// Whether a route is one for `missing` credits of this payment. Index servers only propose.
    pub(crate) fn is_route_for(
        &self,
        payment: &Payment,
        route: &Route,
        missing: Amount,
        context: &Context<'_>,
    ) -> bool {
        let local = context.local;
        route.check().is_ok()
            && route.amount() == missing.credits()
            && route.parts.len() <= PARTS_MAX - payment.parts.len()
            && route.parts.iter().all(|part| {
                let Some((last, mediators)) = part.path.split_last() else { return false };
                let is_cycle_right = match payment.cycle {
                    None => true,
                    // It comes back over another account than it left by.
                    Some(Cycle::Clearing) => mediators.len() > 1,
                    Some(Cycle::Rebalance(friend)) => mediators.len() > 1 && mediators[0] == friend,
                };
                part.amount > 0 && *last == payment.destination && !mediators.contains(&local) && is_cycle_right
            })
    }

    /// Whether our own accounts have room for the parts of a route.
    fn can_leave(&self, payment: &Payment, route: &Route, accounts: &Accounts) -> bool {
        let mut leaving = BTreeMap::new();
        for part in &route.parts {
            let sum: &mut u128 = leaving.entry(part.path[0]).or_default();
            *sum = sum.saturating_add(part.total());
        }
        leaving.into_iter().all(|(friend, sum)| sum <= accounts.send_room(&AccountId::new(friend, &payment.currency)))
    }
}
