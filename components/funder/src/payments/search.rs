//! Paying until it is committed (protocol section 2): orders, routes, parts.
//!
//! ```text
//! Searching --all parts responded, their sum is the total--> Committed --all parts collected--> Paid
//!     |                                                          |
//!     +--no route, no time, called off-> Failed <--all parts cancelled--+
//! ```
//!
//! The parts are committed in one transaction. Before it every part can be given up; what comes after is in
//! `settle`.

use crate::accounts::Accounts;
use crate::accounts::requests::cancel_reason;
use crate::command::{CommandId, Reply, TOO_MANY_WAIT, WAITERS_MAX};
use crate::context::Context;
use crate::io::Output;
use crate::payments::Payments;
use crate::payments::reasons::{bounded, no_route};
use crate::payments::record::{Cycle, Part, Payment, Progress};
use crate::payments::search_state::{Avoids, Search};
use crate::payments::silent_hops::Pauses;
use crate::timers::Timer;
use offst_crypto::PublicKey;
use offst_ledger::{AccountId, RequestRef};
use offst_proto::Amount;
use offst_proto::index::{EXCLUDED_MAX, Exclusion, Hop, Query};
use offst_proto::limits::PATIENCE_MS_MAX;
use offst_proto::order::{Order, Purpose};
use offst_proto::payment::{CancelReason, NO_PROOF, proof};
use offst_proto::route::{PartPlan, Route};
use offst_proto::statement::Request;
use offst_proto::{PaymentId, RequestId};
use std::collections::{BTreeMap, BTreeSet};

/// How often routes are looked for again after all that were known have failed; the pauses between double.
const ROUNDS_MAX: u32 = 4;
/// The same for a payment that no route was ever found for.
const UNTRIED_ROUNDS_MAX: u32 = 2;
/// Most payments of ours that are under way at one time.
const PAYMENTS_MAX: usize = 10_000;

/// A hop has not carried a part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refusal {
    pub(crate) hop: Hop,
    /// The friend that the part went to, and that says so.
    pub(crate) by: PublicKey,
    /// Credits that the hop did not carry, fees included.
    pub(crate) amount: Amount,
    pub(crate) reason: CancelReason,
}

/// Reasons after which no other route can help.
pub(crate) fn is_final(reason: CancelReason) -> bool {
    matches!(
        reason,
        CancelReason::UnknownInvoice
            | CancelReason::InvoiceExpired
            | CancelReason::AlreadyPaid
            | CancelReason::BadProof
            | CancelReason::Amount
    )
}

/// Reasons that will keep the hop from carrying other payments too, for a while.
fn is_of_the_hop(reason: CancelReason) -> bool {
    matches!(
        reason,
        CancelReason::NoCapacity { .. }
            | CancelReason::Closed
            | CancelReason::Offline
            | CancelReason::Busy
            | CancelReason::UnknownFriend
            | CancelReason::Overdue
            | CancelReason::AccountStopped
    )
}

impl Payments {
    /// Starts a payment, or waits for the one that has this id, which counts once. `app`: whose budget it is paid from.
    pub(crate) fn pay(
        &mut self,
        command: CommandId,
        app: Option<PublicKey>,
        order: Order,
        accounts: &Accounts,
        context: &mut Context<'_>,
    ) {
        if self.payments.contains_key(&order.payment_id) {
            return self.wait_payment(command, order.payment_id, context);
        }
        let payment = self.payment(&order, accounts, context).and_then(|payment| match app {
            Some(app) => self.take_from_budget(app, &payment, context).map(|()| Payment { app: Some(app), ..payment }),
            None => Ok(payment),
        });
        match payment {
            Err(message) => context.reply(command, Reply::Refused(message)),
            Ok(payment) => {
                let id = payment.id;
                let deadline = context.now.uptime_ms.saturating_add(payment.timeout_ms);
                context.timers.set(Timer::Payment(id), deadline);
                if let Some((invoice, _)) = &payment.invoice {
                    self.paying.insert(*invoice, id);
                }
                self.payments.insert(id, payment);
                self.searches.insert(id, Search { waiters: vec![command], ..Search::default() });
                self.find_routes(id, context);
            }
        }
    }

    /// Answers when the payment has ended; at once when it has, or when its time is over.
    fn wait_payment(&mut self, command: CommandId, id: PaymentId, context: &mut Context<'_>) {
        let search = self.searches.entry(id).or_default();
        search.waiters.push(command);
        if search.waiters.len() > WAITERS_MAX {
            let oldest = search.waiters.remove(0);
            context.reply(oldest, Reply::Refused(TOO_MANY_WAIT.into()));
        }
        let is_over = self.searches[&id].is_over;
        if is_over || matches!(self.payments[&id].progress, Progress::Paid | Progress::Failed) {
            self.answer_waiters(id, context);
        }
    }

    /// The payment that an order means, not started.
    pub(crate) fn payment(&self, order: &Order, accounts: &Accounts, context: &Context<'_>) -> Result<Payment, String> {
        if self.payments.len() >= PAYMENTS_MAX {
            return Err(format!("{PAYMENTS_MAX} payments are under way already: wait until some have ended"));
        }
        let mut cycle = None;
        let (destination, invoice, currency, total) = match &order.purpose {
            Purpose::Invoice(invoice) => {
                if invoice.destination == context.local {
                    return Err("this invoice is this node's own: paying it would change nothing".into());
                }
                if invoice.is_expired(context.now.unix_ms) {
                    return Err("the invoice has expired: ask the seller for a new one".into());
                }
                if let Some(other) = self.paying.get(&invoice.id) {
                    return Err(format!("this invoice is being paid already: see `funds status {other}`"));
                }
                let secret = Some((invoice.id, invoice.secret.clone()));
                (invoice.destination, secret, invoice.currency.clone(), invoice.amount)
            }
            Purpose::Spontaneous { destination, currency, amount } => {
                (accounts.destination_key(destination, context)?, None, currency.clone(), *amount)
            }
            Purpose::Rebalance { friend, currency, amount } => {
                let key = accounts.friend_key(friend)?;
                if accounts.account(&AccountId::new(key, currency)).is_none() {
                    return Err(format!("there is no account in {currency} with \"{friend}\""));
                }
                cycle = Some(Cycle::Rebalance(key));
                (context.local, None, currency.clone(), *amount)
            }
        };
        if total.is_zero() {
            return Err("the amount must be at least 1".into());
        }
        Ok(Payment {
            id: order.payment_id,
            app: None,
            destination,
            cycle,
            invoice,
            currency,
            total,
            max_fee: order.max_fee,
            timeout_ms: order.timeout_ms,
            created_ms: context.now.unix_ms,
            ended_ms: None,
            progress: Progress::Searching,
            reason: String::new(),
            parts: BTreeMap::new(),
        })
    }

    /// Asks for routes for what no part carries yet.
    pub(crate) fn find_routes(&mut self, id: PaymentId, context: &mut Context<'_>) {
        let (Some(payment), Some(search)) = (self.payments.get(&id), self.searches.get_mut(&id)) else {
            return;
        };
        let missing = payment.missing();
        if missing.is_zero() || search.asking || search.is_over {
            return;
        }
        search.asking = true;
        search.has_learned = false;
        let mut query = self.route_query(&self.payments[&id], missing, context);
        let search = &self.searches[&id];
        query.excluded_edges.extend(search.excluded.iter().map(|(hop, left)| Exclusion { hop: *hop, left: *left }));
        let avoided_others = self.leave_out_others(&mut query, search.avoids, context);
        self.searches.get_mut(&id).expect("looked above").avoided_others = avoided_others;
        context.outputs.push(Output::FindRoutes(id, Box::new(query)));
    }

    /// Leaves out of a question what did not carry other payments lately. Says whether there is anything.
    pub(crate) fn leave_out_others(&mut self, query: &mut Query, avoids: Avoids, context: &Context<'_>) -> bool {
        let (local, now) = (context.local, context.now.uptime_ms);
        let pauses = self.pauses(context);
        let mut others = match avoids {
            Avoids::Nothing => return false,
            Avoids::All | Avoids::Silent => self.silent_hops.exclusions(&query.currency, local, now, pauses),
        };
        if avoids == Avoids::All {
            let since = now.saturating_sub(context.environment.timing.refusal_ms);
            let silent: BTreeSet<Hop> = others.iter().map(|other| other.hop).collect();
            let refused = self.refusals.exclusions(&query.currency, query.amount, since);
            others.extend(refused.into_iter().filter(|other| !silent.contains(&other.hop)));
        }
        let known: BTreeSet<Hop> = query.excluded_edges.iter().map(|known| known.hop).collect();
        others.retain(|other| !known.contains(&other.hop));
        others.truncate(EXCLUDED_MAX - query.excluded_edges.len());
        let is_any = !others.is_empty();
        query.excluded_edges.extend(others);
        is_any
    }

    fn pauses(&self, context: &Context<'_>) -> Pauses {
        let timing = context.environment.timing;
        Pauses { first_ms: timing.silence_ms, most_ms: timing.silence_max_ms, same_ms: timing.patience_ms }
    }

    /// The question for routes that bring `missing` credits.
    pub(crate) fn route_query(&self, payment: &Payment, missing: Amount, context: &Context<'_>) -> Query {
        let mut query = Query::new(payment.currency.clone(), missing, context.local, payment.destination);
        if let Some(Cycle::Rebalance(friend)) = payment.cycle {
            query.via = Some(friend);
        }
        query
    }

    /// The index servers have answered.
    pub(crate) fn found_routes(
        &mut self,
        id: PaymentId,
        routes: Result<Vec<Route>, String>,
        accounts: &mut Accounts,
        context: &mut Context<'_>,
    ) {
        if let Some(question) = self.questions.remove(&id) {
            return self.answered(question, routes, accounts, context);
        }
        let (Some(payment), Some(search)) = (self.payments.get(&id), self.searches.get_mut(&id)) else {
            return;
        };
        if !search.asking {
            return;
        }
        search.asking = false;
        let missing = payment.missing();
        if search.is_over || missing.is_zero() {
            return;
        }
        let routes = match routes {
            Ok(routes) if !routes.is_empty() => Ok(routes),
            // To a friend the route is known without index servers.
            nothing => {
                self.unrefused_direct_route(id, missing, accounts, context).map_or(nothing, |route| Ok(vec![route]))
            }
        };
        let payment = &self.payments[&id];
        let committed = payment.fees();
        let default = self.fees_by_default(payment, context);
        let (bound, is_default) = payment.max_fee.map_or((default, true), |max_fee| (max_fee, false));
        let max_fee = bound.credits().saturating_sub(committed);
        let budget = self.budget_for_fees(payment, context);
        let fits = |route: &Route| self.is_route_for(payment, route, missing, context);
        let (cheap, dear): (Vec<Route>, Vec<Route>) = match routes {
            Ok(routes) => routes.into_iter().filter(fits).partition(|route| route.fees() <= max_fee.min(budget)),
            Err(message) => return self.end_without_route(id, message, context),
        };
        for route in cheap {
            if self.start_route(id, route, accounts, context) {
                return;
            }
        }
        let message = match dear.iter().map(Route::fees).min() {
            Some(fees) => {
                // Waiting does not make it cheaper, but a hop that was avoided may.
                self.searches.entry(id).or_default().rounds = ROUNDS_MAX;
                let fees = fees.saturating_add(committed);
                let bound = match (fees > bound.credits(), is_default) {
                    (true, true) => {
                        format!("the {bound} that this node pays by default: allow it with --max-fee {fees}")
                    }
                    (true, false) => "--max-fee allows".into(),
                    (false, _) => "the budget of this app has left".into(),
                };
                format!("the cheapest route costs {fees} in fees, more than {bound}")
            }
            None => no_route(&self.payments[&id]).to_owned(),
        };
        self.end_without_route(id, message, context);
    }

    /// The most that mediators may take of a payment whose order does not say how much, credits.
    pub(crate) fn fees_by_default(&self, payment: &Payment, context: &Context<'_>) -> Amount {
        context.environment.fee_bounds.of(&payment.currency, payment.total)
    }

    /// The route over the destination itself, when it is a friend whose account has room.
    pub(crate) fn direct_route(&self, payment: &Payment, amount: Amount, accounts: &Accounts) -> Option<Route> {
        let account_id = AccountId::new(payment.destination, &payment.currency);
        accounts.account_room(&account_id).ok().filter(|room| *room >= amount.credits())?;
        Some(Route { parts: vec![PartPlan { path: vec![payment.destination], amount, fees: Amount::ZERO }] })
    }

    /// The same for a payment that this friend has not refused.
    fn unrefused_direct_route(
        &self,
        id: PaymentId,
        amount: Amount,
        accounts: &Accounts,
        context: &Context<'_>,
    ) -> Option<Route> {
        let payment = self.payments.get(&id)?;
        let hop = Hop { from: context.local, to: payment.destination };
        let has_refused = self.searches[&id].excluded.contains_key(&hop);
        self.direct_route(payment, amount, accounts).filter(|_| !has_refused)
    }

    /// There is no route now. When nothing was ever tried, the index servers may just be learning what friends have
    /// published, so they are asked a little later. After refusals more rounds follow: what refused may have been busy
    /// or away. Parts that wait for the rest of the amount have their own patience, which bounds how often this is
    /// tried for them.
    fn end_without_route(&mut self, id: PaymentId, message: String, context: &mut Context<'_>) {
        let retry_ms = context.environment.timing.retry_ms;
        let (Some(payment), Some(search)) = (self.payments.draft(&id), self.searches.get_mut(&id)) else {
            return;
        };
        if payment.reason.is_empty() {
            payment.reason = bounded(message);
        }
        if search.avoided_others {
            // They may carry this one.
            search.avoids = search.avoids.fewer();
            return self.find_routes(id, context);
        }
        let rounds_max = if search.excluded.is_empty() { UNTRIED_ROUNDS_MAX } else { ROUNDS_MAX };
        let is_hopeless = search.rounds >= rounds_max;
        if payment.parts.is_empty() && is_hopeless {
            return self.end_payment(id, Progress::Failed, context);
        }
        let pause = retry_ms << search.rounds;
        if !search.has_learned && search.rounds % 2 == 1 {
            // The servers knew all refusals and found nothing else, also when they had had time to learn what our own
            // accounts have left without the parts that were refused: the same edges get another chance.
            search.excluded.clear();
        }
        search.rounds = (search.rounds + 1).min(ROUNDS_MAX);
        context.timers.set(Timer::Retry(id), context.now.uptime_ms + pause);
    }

    /// Sends a request for each part of a route. Says whether all went out; otherwise none is left.
    pub(crate) fn start_route(
        &mut self,
        id: PaymentId,
        route: Route,
        accounts: &mut Accounts,
        context: &mut Context<'_>,
    ) -> bool {
        let mut started = Vec::new();
        for plan in route.parts {
            let leaving = Amount::capped(plan.total());
            match self.start_part(id, plan, accounts, context) {
                Ok(outgoing) => started.push(outgoing),
                Err((first, reason)) => {
                    let local = context.local;
                    let hop = Hop { from: local, to: first };
                    let refusal = Refusal { hop, by: first, amount: leaving, reason };
                    self.record_refusal(id, refusal, accounts, context);
                    for outgoing in started {
                        self.drop_part(id, &outgoing, accounts, context);
                    }
                    return false;
                }
            }
        }
        true
    }

    fn start_part(
        &mut self,
        id: PaymentId,
        plan: PartPlan,
        accounts: &mut Accounts,
        context: &mut Context<'_>,
    ) -> Result<RequestRef, (PublicKey, CancelReason)> {
        let payment = self.payments.get(&id).expect("the caller has looked");
        let (first, rest) = plan.path.split_first().expect("a checked plan has a path");
        let refused = |reason| (*first, reason);
        let terms = payment.part_terms(RequestId::random(&mut *context.environment.random), plan.amount);
        let hops = u64::try_from(plan.path.len()).expect("a path is short");
        let timing = context.environment.timing;
        let patience_ms = (timing.patience_ms + hops * timing.patience_step_ms).min(PATIENCE_MS_MAX);
        let request = Request {
            id: terms.request_id,
            payment_id: id,
            invoice_id: terms.invoice_id,
            amount: plan.amount,
            total: payment.total,
            fees_left: plan.fees,
            patience_ms,
            path: rest.to_vec(),
            proof: payment.invoice.as_ref().map_or(NO_PROOF, |(_, secret)| proof(secret, &terms)),
            clearing: payment.cycle == Some(Cycle::Clearing),
        };
        let outgoing = AccountId::new(*first, &terms.currency).request(terms.request_id);
        accounts.account_room(&outgoing.account).map_err(refused)?;
        if request.clearing {
            let clearable = accounts.clearable(&outgoing.account).send();
            if clearable < request.held() {
                return Err(refused(CancelReason::no_capacity(clearable.credits())));
            }
        }
        let account = accounts.touch(&outgoing.account).expect("its room was measured");
        account.request(request, terms.hash()).map_err(|refusal| refused(cancel_reason(refusal)))?;
        let part = Part { path: plan.path, amount: plan.amount, fees: plan.fees, promise: None, preimage: None };
        self.payments.draft(&id).expect("looked above").parts.insert(outgoing.id, part);
        self.pay_by(outgoing.clone(), id);
        context.timers.set(Timer::Part(outgoing.clone()), context.now.uptime_ms + patience_ms);
        Ok(outgoing)
    }

    /// Gives up a part that does not bind us.
    pub(crate) fn drop_part(
        &mut self,
        id: PaymentId,
        outgoing: &RequestRef,
        accounts: &mut Accounts,
        context: &mut Context<'_>,
    ) {
        accounts.abort_outgoing(outgoing);
        self.release_payment_of(outgoing);
        accounts.forget_unsigned_commit(outgoing);
        context.timers.clear(&Timer::Part(outgoing.clone()));
        if let Some(payment) = self.payments.draft(&id) {
            payment.parts.remove(&outgoing.id);
        }
    }

    /// A hop did not carry a part of this payment: it is told to the owner, and avoided.
    pub(crate) fn record_refusal(
        &mut self,
        id: PaymentId,
        refusal: Refusal,
        accounts: &Accounts,
        context: &Context<'_>,
    ) {
        let Refusal { hop, by, amount, reason } = refusal;
        let Some(payment) = self.payments.get(&id) else { return };
        let message = bounded(self.refusal_message(payment, hop, amount, reason, accounts, context));
        let currency = payment.currency.clone();
        let is_clearing = payment.cycle == Some(Cycle::Clearing);
        let left = match reason {
            // A node that says that it has room for what it refuses is not believed.
            CancelReason::NoCapacity { left } => left.min(amount.saturating_sub(1.into())),
            // The debts of a cycle change with every attempt of its members; a smaller one may fit.
            _ if is_clearing => amount.saturating_sub(1.into()),
            _ => Amount::ZERO,
        };
        let now = context.now.uptime_ms;
        if reason == CancelReason::Timeout {
            let pauses = self.pauses(context);
            self.silent_hops.note(&currency, hop, by, now, pauses);
        } else if hop.from == context.local {
            // What our own accounts carry is known at any time.
        } else if is_clearing {
            self.clearing_refusals.note(&currency, hop, left, by, now);
        } else if is_of_the_hop(reason) {
            self.refusals.note(&currency, hop, left, by, now);
        }
        self.payments.draft(&id).expect("looked above").reason = message;
        if let Some(search) = self.searches.get_mut(&id) {
            search.refusal = Some(reason);
            search.has_learned = true;
            if let Some(known) = search.excluded.get_mut(&hop) {
                // It was asked for no more than it had left, and refuses again: that could go on for long.
                *known = Amount::ZERO;
            } else if search.excluded.len() < EXCLUDED_MAX {
                search.excluded.insert(hop, left);
            }
        }
    }

    /// The outgoing side of a part.
    pub(crate) fn outgoing(payment: &Payment, request: RequestId, part: &Part) -> RequestRef {
        AccountId::new(part.path[0], &payment.currency).request(request)
    }
}
