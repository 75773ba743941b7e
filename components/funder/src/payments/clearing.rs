//! Debt cycles: when A owes B, B owes C and C owes A, a payment of A's to itself through C and B makes all three debts
//! smaller (protocol section 2).
//!
//! Everybody in the cycle gains, so a mediator that allows clearing takes no fee for it. It does so only when the
//! request makes *both* of its accounts smaller, whatever else that is pending on them comes to pass: the friend it comes from is
//! owed at least all that this friend has asked for, and the friend it goes to owes at least all that we have asked
//! for. So nothing is cleared twice when several in the cycle begin at once; some attempts are refused then, and tried
//! again at another time. Otherwise a request to clear is a request as any other.
//!
//! Nothing of an attempt is stored before it is committed, and attempts that fail leave no trace in the history.

use crate::accounts::Accounts;
use crate::command::{CommandId, Reply};
use crate::context::Context;
use crate::funder::Batch;
use crate::payments::Payments;
use crate::payments::reasons::last_hop;
use crate::payments::record::{Cycle, Payment, Progress};
use crate::payments::search_state::{Avoids, DebtCycle, Question, Search};
use crate::timers::Timer;
use offst_crypto::{PublicKey, RandomExt};
use offst_ledger::{AccountId, RequestRef};
use offst_proto::Amount;
use offst_proto::Currency;
use offst_proto::PaymentId;
use offst_proto::index::{Clearable, EXCLUDED_MAX, Exclusion, Query};
use offst_proto::payment::CancelReason;
use offst_proto::report::ClearingReport;
use offst_proto::route::{PartPlan, Route};
use offst_proto::statement::Request;
use std::collections::BTreeSet;

/// Through how many friends a cycle is looked for when index servers are not told what is owed.
const FRIENDS_ASKED_MAX: usize = 8;

impl Payments {
    /// A part of a payment to ourselves comes back: over the account that we have chosen, with what we expect. Others
    /// know the ids of our payments and could bring a part back over the account by which it left. Whatever else is
    /// said to be a cycle is none of ours: it would be carried for nothing to somebody who sells something.
    pub(crate) fn check_return(
        &self,
        incoming: &RequestRef,
        request: &Request,
        accounts: &Accounts,
        context: &Context<'_>,
    ) -> Result<(), CancelReason> {
        let payment = self.payments.get(&request.payment_id).filter(|payment| payment.cycle.is_some());
        let is_debt_cycle = payment.is_some_and(|payment| payment.cycle == Some(Cycle::Clearing));
        if request.clearing != is_debt_cycle {
            return Err(CancelReason::Loop);
        }
        let Some(payment) = payment else { return Ok(()) };
        let part = payment.parts.get(&request.id).ok_or(CancelReason::Loop)?;
        if last_hop(context.local, &part.path).from != incoming.account.friend
            || payment.currency != incoming.account.currency
            || request.invoice_id.is_some()
        {
            return Err(CancelReason::Loop);
        }
        if (request.amount, request.total) != (part.amount, payment.total) {
            return Err(CancelReason::Amount);
        }
        let is_clearing = payment.cycle == Some(Cycle::Clearing);
        if is_clearing && !accounts.lowers_our_debt(&incoming.account) {
            return Err(CancelReason::no_capacity(0));
        }
        Ok(())
    }

    /// Sets the time of the next look for debt cycles. The times are drawn, so that a cycle's members hardly ever begin
    /// together.
    pub(crate) fn plan_clearing(&self, context: &mut Context<'_>) {
        self.plan_clearing_after(context.environment.timing.clear_ms, context);
    }

    fn plan_clearing_after(&self, pause_ms: u64, context: &mut Context<'_>) {
        if !context.auto_clear {
            return context.timers.clear(&Timer::Clear);
        }
        let jitter = u64::from_be_bytes(context.environment.random.array()) % pause_ms.max(1);
        context.timers.set(Timer::Clear, context.now.uptime_ms.saturating_add(pause_ms.max(1)).saturating_add(jitter));
    }

    /// The owner has allowed clearing: one cycle in each currency.
    pub(crate) fn clear_on_our_own(&mut self, accounts: &Accounts, context: &mut Context<'_>) {
        self.plan_clearing(context);
        let currencies: BTreeSet<Currency> =
            accounts.friends().values().flat_map(|friend| friend.accounts.keys().cloned()).collect();
        for currency in currencies {
            let is_at_it = self.payments.values().any(|payment| {
                payment.cycle == Some(Cycle::Clearing)
                    && payment.currency == currency
                    && matches!(payment.progress, Progress::Searching | Progress::Committed)
            });
            if !is_at_it {
                self.ask_for_debt_cycle(
                    DebtCycle { currency, command: None, performs: true, friends: vec![] },
                    None,
                    accounts,
                    context,
                );
            }
        }
    }

    /// Looks for a cycle because the owner wants it.
    pub(crate) fn clear(
        &mut self,
        command: CommandId,
        currency: Currency,
        perform: bool,
        accounts: &Accounts,
        context: &mut Context<'_>,
    ) {
        let performs = perform || context.auto_clear;
        let mut friends = vec![];
        if !context.auto_clear {
            // Index servers know nothing of our debts, so we name the friends who owe us: largest debt last.
            let keys = accounts.friends().keys().copied();
            let debts = keys.map(|key| (accounts.clearable(&AccountId::new(key, &currency)).send(), key));
            let mut debts: Vec<_> = debts.filter(|(amount, _)| *amount > 0).collect();
            debts.sort_unstable();
            let kept = debts.len().saturating_sub(FRIENDS_ASKED_MAX);
            friends.extend(debts.into_iter().skip(kept).map(|(_, key)| key));
        }
        let via = friends.pop();
        self.ask_for_debt_cycle(
            DebtCycle { currency, command: Some(command), performs, friends },
            via,
            accounts,
            context,
        );
    }

    fn ask_for_debt_cycle(
        &mut self,
        debt_cycle: DebtCycle,
        via: Option<PublicKey>,
        accounts: &Accounts,
        context: &mut Context<'_>,
    ) {
        let keys = accounts.friends().keys();
        let clearables: Vec<_> =
            keys.map(|key| accounts.clearable(&AccountId::new(*key, &debt_cycle.currency))).collect();
        let most = |side: fn(Clearable) -> Amount| {
            clearables.iter().map(|clearable| side(*clearable)).max().unwrap_or_default()
        };
        let amount = most(Clearable::send).min(most(Clearable::receive));
        if amount.is_zero() {
            return self.no_debt_cycle(&debt_cycle, context);
        }
        let local = context.local;
        let mut query = Query::new(debt_cycle.currency.clone(), amount, local, local);
        query.clearing = true;
        query.via = via;
        // On our own we avoid what has refused lately every other time: it may have been busy with the same cycle.
        let [avoids] = context.environment.random.array();
        if debt_cycle.command.is_none() {
            // A node that says nothing holds what we are owed, attempt after attempt.
            self.leave_out_others(&mut query, Avoids::Silent, context);
            if avoids % 2 == 0 {
                let since = context.now.uptime_ms.saturating_sub(context.environment.timing.refusal_ms);
                let refused = self.clearing_refusals.exclusions(&debt_cycle.currency, amount, since);
                let is_new = |other: &Exclusion| query.excluded_edges.iter().all(|known| known.hop != other.hop);
                let refused: Vec<_> = refused.into_iter().filter(is_new).collect();
                query.excluded_edges.extend(refused);
                query.excluded_edges.truncate(EXCLUDED_MAX);
            }
        }
        let command = debt_cycle.command;
        if !self.put_question(query, Question::DebtCycle(debt_cycle), context)
            && let Some(command) = command
        {
            let message = "too many questions wait for the index servers: ask again in a moment";
            context.reply(command, Reply::Refused(message.into()));
        }
    }

    /// The index servers have answered. What they propose is cut to what we know of our own accounts.
    pub(crate) fn found_debt_cycle(
        &mut self,
        mut debt_cycle: DebtCycle,
        routes: Result<Vec<Route>, String>,
        accounts: &mut Accounts,
        context: &mut Context<'_>,
    ) {
        let routes = match (routes, debt_cycle.command) {
            (Ok(routes), _) => routes,
            (Err(message), Some(command)) => return context.reply(command, Reply::Refused(message)),
            (Err(_), None) => return,
        };
        let fitting = routes
            .into_iter()
            .filter_map(|route| self.debt_cycle_part(&debt_cycle.currency, route, accounts, context))
            .next();
        match (fitting, debt_cycle.friends.pop()) {
            (Some(part), _) if debt_cycle.performs => self.clear_debt_cycle(&debt_cycle, part, accounts, context),
            (Some(part), _) => self.report_debt_cycle(&debt_cycle, Some(part), context),
            (None, Some(via)) => self.ask_for_debt_cycle(debt_cycle, Some(via), accounts, context),
            (None, None) => self.no_debt_cycle(&debt_cycle, context),
        }
    }

    fn debt_cycle_part(
        &mut self,
        currency: &Currency,
        route: Route,
        accounts: &Accounts,
        context: &Context<'_>,
    ) -> Option<PartPlan> {
        let [part] = <[PartPlan; 1]>::try_from(route.parts).ok()?;
        let (local, now) = (context.local, context.now.uptime_ms);
        let is_well_formed = part.check().is_ok() && part.path.len() > 2 && part.path.last() == Some(&local);
        if !is_well_formed || part.fees > 0 {
            return None;
        }
        let last = last_hop(local, &part.path);
        let leaving = accounts.clearable(&AccountId::new(part.path[0], currency)).send();
        let coming = accounts.clearable(&AccountId::new(last.from, currency)).receive();
        if coming == 0 {
            // Somebody says that we owe it something.
            self.clearing_refusals.note(currency, last, Amount::ZERO, last.from, now);
        }
        let amount = part.amount.min(leaving).min(coming);
        (amount > 0).then_some(PartPlan { amount, ..part })
    }

    fn no_debt_cycle(&self, debt_cycle: &DebtCycle, context: &mut Context<'_>) {
        self.report_debt_cycle(debt_cycle, None, context);
    }

    fn report_debt_cycle(&self, debt_cycle: &DebtCycle, part: Option<PartPlan>, context: &mut Context<'_>) {
        if let Some(command) = debt_cycle.command {
            let report = ClearingReport { auto_clear: context.auto_clear, cycle: part, payment: None };
            context.reply(command, Reply::Clearing(Box::new(report)));
        }
    }

    fn clear_debt_cycle(
        &mut self,
        debt_cycle: &DebtCycle,
        part: PartPlan,
        accounts: &mut Accounts,
        context: &mut Context<'_>,
    ) {
        let id = PaymentId::random(&mut *context.environment.random);
        let payment = Payment {
            id,
            app: None,
            destination: context.local,
            cycle: Some(Cycle::Clearing),
            invoice: None,
            currency: debt_cycle.currency.clone(),
            total: part.amount,
            max_fee: Some(Amount::ZERO),
            timeout_ms: context.environment.timing.patience_ms,
            created_ms: context.now.unix_ms,
            ended_ms: None,
            progress: Progress::Searching,
            reason: String::new(),
            parts: std::collections::BTreeMap::new(),
        };
        context.timers.set(Timer::Payment(id), context.now.uptime_ms.saturating_add(payment.timeout_ms));
        self.payments.insert_draft(id, payment);
        self.searches.insert(id, Search::of_debt_cycle(debt_cycle.command, part.clone()));
        if !self.start_route(id, Route { parts: vec![part] }, accounts, context) {
            self.fail_payment(id, accounts, context);
        }
    }

    /// A clearing has ended. One that worked may not have been the last one.
    pub(crate) fn clearing_ended(&self, progress: Progress, context: &mut Context<'_>) {
        if progress == Progress::Paid && context.auto_clear {
            self.plan_clearing_after(context.environment.timing.clear_ms / 10, context);
        }
    }
}

impl Batch<'_> {
    /// Whether debt cycles are cleared without asking the owner, and what index servers are told.
    pub(crate) fn set_auto_clear(&mut self, on: bool) {
        self.state.owner.set_auto_clear(on);
        self.context.auto_clear = on;
        self.state.accounts.touch_all();
        self.state.payments.plan_clearing(&mut self.context);
    }
}
