//! From the answers to the parts to the end of a payment (protocol section 2).
//!
//! When every part has its destination's answer and they cover the total, all are committed in one transaction. After
//! it only the destination's `Collect` or `Cancel` ends a part, and no timeout calls the payment failed.

use crate::accounts::Accounts;
use crate::command::{CommandId, Reply};
use crate::context::Context;
use crate::funder::Batch;
use crate::payments::Payments;
use crate::payments::reasons::{bounded, last_hop, refusing_hop};
use crate::payments::record::{Cycle, Payment, Progress, Promise};
use crate::payments::search::{Refusal, is_final};
use crate::timers::Timer;
use offst_crypto::{Preimage, PublicKey};
use offst_ledger::{Direction, RequestRef};
use offst_proto::Amount;
use offst_proto::index::Hop;
use offst_proto::payment::{CancelReason, Response};
use offst_proto::report::{ClearingReport, Event, PaymentReport, PaymentStatus};
use offst_proto::statement::Answer;
use offst_proto::{PaymentId, Verified};
use offst_rows::Row;

impl Payments {
    /// A destination's answer: when all parts have one and cover the total, all are committed at once.
    pub(crate) fn part_responded(
        &mut self,
        id: PaymentId,
        outgoing: &RequestRef,
        answer: Answer,
        accounts: &mut Accounts,
        context: &mut Context<'_>,
    ) {
        let Some(payment) = self.payments.draft(&id) else { return };
        let Some(amount) = payment.parts.get(&answer.id).map(|part| part.amount) else { return };
        let terms = payment.part_terms(answer.id, amount);
        let response = Response { terms, nonce: answer.nonce, lock: answer.lock };
        let is_signed = Verified::assemble(response, &answer.signature, &*context.environment.verifier).is_ok();
        if !is_signed {
            // Somebody on the path has put it there; the last mediator is the likeliest.
            let hop = last_hop(context.local, &payment.parts[&answer.id].path);
            self.drop_part(id, outgoing, accounts, context);
            let refusal = Refusal { hop, by: outgoing.account.friend, amount, reason: CancelReason::Aborted };
            self.record_refusal(id, refusal, accounts, context);
            return self.part_failed(id, None, accounts, context);
        }
        let promise = Promise { lock: answer.lock, nonce: answer.nonce, signature: answer.signature };
        payment.parts.get_mut(&answer.id).expect("looked above").promise = Some(promise);
        let payment = &self.payments[&id];
        let is_covered = payment.underway() == payment.total.credits();
        // What the same statement has ended already is not under way any more, although its event comes only now.
        let mut parts = payment.parts.iter();
        if is_covered
            && parts.all(|(request, part)| {
                part.promise.is_some() && accounts.outgoing_at(&Self::outgoing(payment, *request, part)).is_some()
            })
        {
            self.commit_payment(id, accounts, context);
        }
    }

    fn commit_payment(&mut self, id: PaymentId, accounts: &mut Accounts, context: &mut Context<'_>) {
        let payment = self.payments.get_mut(&id).expect("the caller has looked");
        let is_new = payment.progress != Progress::Committed;
        payment.progress = Progress::Committed;
        payment.reason.clear();
        if is_new {
            context.event(Event::PaymentChanged { payment_id: id, status: PaymentStatus::Pending });
        }
        let payment = &self.payments[&id];
        let parts: Vec<_> =
            payment.parts.iter().map(|(request, part)| Self::outgoing(payment, *request, part)).collect();
        for outgoing in parts {
            // A part that was committed before waits for the destination already.
            accounts.commit_outgoing(outgoing).ok();
        }
        context.timers.clear(&Timer::Retry(id));
    }

    /// The seller has taken a part.
    pub(crate) fn part_collected(
        &mut self,
        id: PaymentId,
        outgoing: &RequestRef,
        preimage: Preimage,
        accounts: &mut Accounts,
        context: &mut Context<'_>,
    ) {
        context.timers.clear(&Timer::Part(outgoing.clone()));
        let Some(payment) = self.payments.get_mut(&id) else { return };
        if let Some(part) = payment.parts.get_mut(&outgoing.id) {
            part.preimage = Some(preimage);
            for pair in [&[context.local], &part.path[..]].concat().windows(2) {
                let hop = Hop { from: pair[0], to: pair[1] };
                self.refusals.forget(&payment.currency, hop);
                self.silent_hops.forget(&payment.currency, hop);
            }
        }
        self.conclude(id, accounts, context);
    }

    /// A part was refused or released on the way.
    pub(crate) fn part_cancelled(
        &mut self,
        id: PaymentId,
        outgoing: &RequestRef,
        reason: CancelReason,
        hop: PublicKey,
        accounts: &mut Accounts,
        context: &mut Context<'_>,
    ) {
        let local = context.local;
        if self.payments.get(&id).is_none_or(|payment| !payment.parts.contains_key(&outgoing.id)) {
            return;
        }
        let payment = self.payments.get_mut(&id).expect("looked above");
        let part = payment.parts.remove(&outgoing.id).expect("looked above");
        // A part that was answered has waited for our commit, so nobody on its path is to blame.
        if part.promise.is_none() || reason != CancelReason::Timeout {
            let hop = refusing_hop(local, &part.path, hop, reason);
            let refusal = Refusal { hop, by: outgoing.account.friend, amount: Amount::capped(part.total()), reason };
            self.record_refusal(id, refusal, accounts, context);
        }
        self.part_failed(id, Some(reason), accounts, context);
    }

    /// A part is gone: it is replaced, or the payment ends.
    fn part_failed(
        &mut self,
        id: PaymentId,
        reason: Option<CancelReason>,
        accounts: &mut Accounts,
        context: &mut Context<'_>,
    ) {
        let Some(payment) = self.payments.get(&id) else { return };
        let is_over = self.searches.get(&id).is_none_or(|search| search.is_over);
        match payment.progress {
            Progress::Searching if reason.is_some_and(is_final) || is_over => self.fail_payment(id, accounts, context),
            Progress::Searching => self.find_routes(id, context),
            Progress::Committed => self.conclude(id, accounts, context),
            Progress::Paid | Progress::Failed => {}
        }
    }

    /// Whether a committed payment has ended; if a part was released, it is replaced.
    fn conclude(&mut self, id: PaymentId, accounts: &mut Accounts, context: &mut Context<'_>) {
        let Some(payment) = self.payments.get(&id) else { return };
        if payment.parts.values().any(|part| part.preimage.is_some()) {
            return self.conclude_collected(id, accounts, context);
        }
        let is_over = self.searches.get(&id).is_none_or(|search| search.is_over);
        let is_hopeless = is_over || self.last_reason_is_final(id);
        if !payment.parts.is_empty() {
            // The destination still waits for the whole amount.
            if !is_hopeless {
                self.find_routes(id, context);
            }
        } else if is_hopeless {
            self.end_payment(id, Progress::Failed, context);
        } else {
            // Every part was released: nothing was moved, so looking for another route is as safe as at the start.
            self.payments.draft(&id).expect("looked above").progress = Progress::Searching;
            self.find_routes(id, context);
        }
    }

    /// The destination collects all that it needs at once: what was to replace a released part is not needed any more.
    /// One that was released nevertheless was given away by a mediator: the seller is paid.
    fn conclude_collected(&mut self, id: PaymentId, accounts: &mut Accounts, context: &mut Context<'_>) {
        let payment = &self.payments[&id];
        let waiting = payment.parts.iter().filter(|(_, part)| part.preimage.is_none());
        let waiting: Vec<_> = waiting.map(|(request, part)| Self::outgoing(payment, *request, part)).collect();
        let mut awaited = 0;
        for outgoing in waiting {
            let pending =
                accounts.touch(&outgoing.account).and_then(|account| account.pending(Direction::Outgoing, outgoing.id));
            // One that is not pending any more was ended by the same statement, whose events are still being handled.
            if pending.is_none_or(|pending| pending.stage.is_committed()) {
                awaited += 1;
            } else {
                self.drop_part(id, &outgoing, accounts, context);
            }
        }
        if awaited == 0 {
            self.end_payment(id, Progress::Paid, context);
        }
    }

    fn last_reason_is_final(&self, id: PaymentId) -> bool {
        self.searches.get(&id).and_then(|search| search.refusal).is_some_and(is_final)
    }

    /// Gives up every part and ends the payment. Only for one that is not committed.
    pub(crate) fn fail_payment(&mut self, id: PaymentId, accounts: &mut Accounts, context: &mut Context<'_>) {
        let payment = &self.payments[&id];
        assert_eq!(payment.progress, Progress::Searching, "a committed payment is never called failed");
        let parts: Vec<_> =
            payment.parts.iter().map(|(request, part)| Self::outgoing(payment, *request, part)).collect();
        for outgoing in parts {
            self.drop_part(id, &outgoing, accounts, context);
        }
        self.end_payment(id, Progress::Failed, context);
    }

    pub(crate) fn end_payment(&mut self, id: PaymentId, progress: Progress, context: &mut Context<'_>) {
        let payment = self.payments.get_mut(&id).expect("the caller has looked");
        let is_stored = payment.is_stored();
        payment.progress = progress;
        payment.ended_ms = Some(context.now.unix_ms);
        if progress == Progress::Paid {
            payment.reason.clear();
            if payment.underway() != payment.total.credits() {
                payment.reason =
                    "there is no receipt: a part was released on the way that the seller must have collected, \
                                  or the seller took less than it asked for"
                        .into();
            }
            self.spend(id, context);
        }
        let payment = &self.payments[&id];
        if let Some((invoice, _)) = &payment.invoice {
            self.paying.remove(invoice);
        }
        context.timers.clear(&Timer::Payment(id));
        context.timers.clear(&Timer::Retry(id));
        if payment.cycle == Some(Cycle::Clearing) {
            self.clearing_ended(progress, context);
        }
        self.answer_waiters(id, context);
        if !is_stored {
            self.payments.forget(&id);
            self.searches.remove(&id);
        }
    }

    pub(crate) fn answer_waiters(&mut self, id: PaymentId, context: &mut Context<'_>) {
        let payment = &self.payments[&id];
        let report = self.payment_report(payment, context);
        let status = report.status;
        let (is_clearing, is_stored) = (payment.cycle == Some(Cycle::Clearing), payment.is_stored());
        let search = self.searches.get_mut(&id);
        let (waiters, debt_cycle) =
            search.map(|search| (std::mem::take(&mut search.waiters), search.debt_cycle.clone())).unwrap_or_default();
        let reply = if is_clearing {
            let auto_clear = context.auto_clear;
            Reply::Clearing(Box::new(ClearingReport { auto_clear, cycle: debt_cycle, payment: Some(report) }))
        } else {
            Reply::Payment(Box::new(report))
        };
        for command in waiters {
            context.reply(command, reply.clone());
        }
        if is_stored {
            context.event(Event::PaymentChanged { payment_id: id, status });
        }
    }

    /// No other route is looked for any more.
    pub(crate) fn stop_searching(&mut self, id: PaymentId) {
        self.searches.entry(id).or_default().is_over = true;
    }

    /// The time to look for routes is over: what is not committed fails, what is committed is still under way.
    pub(crate) fn payment_timed_out(&mut self, id: PaymentId, accounts: &mut Accounts, context: &mut Context<'_>) {
        let Some(payment) = self.payments.draft(&id) else { return };
        self.searches.entry(id).or_default().is_over = true;
        match payment.progress {
            Progress::Searching => {
                if payment.reason.is_empty() {
                    payment.reason = bounded(CancelReason::Timeout.to_string());
                }
                self.fail_payment(id, accounts, context);
            }
            Progress::Committed => {
                let message = bounded(self.waiting_message(&self.payments[&id], accounts));
                self.payments.draft(&id).expect("looked above").reason = message;
                self.answer_waiters(id, context);
            }
            Progress::Paid | Progress::Failed => {}
        }
    }

    /// Calls a payment off, when it is not committed.
    pub(crate) fn cancel_payment(
        &mut self,
        command: CommandId,
        id: PaymentId,
        accounts: &mut Accounts,
        context: &mut Context<'_>,
    ) {
        match self.payments.draft(&id).map(|payment| (payment.progress, payment)) {
            Some((Progress::Searching, payment)) => {
                payment.reason = "it was called off".into();
                self.fail_payment(id, accounts, context);
                context.reply(command, Reply::Done);
            }
            Some((Progress::Committed, _)) => {
                let message =
                    "the payment is committed and cannot be called off: it ends when the seller collects or cancels";
                context.reply(command, Reply::Refused(message.into()));
            }
            Some(_) | None => context.reply(command, Reply::Unknown),
        }
    }

    /// Payments of ours before the commit end here, and for the others no other route is looked for: whether a part was
    /// collected is not known for certain any more.
    pub(crate) fn give_up_searching(&mut self, accounts: &mut Accounts, context: &mut Context<'_>) {
        let payments: Vec<_> = self.payments.values().map(|payment| (payment.id, payment.progress)).collect();
        for (id, progress) in payments {
            match progress {
                Progress::Searching => {
                    let payment = self.payments.draft(&id).expect("listed above");
                    payment.reason = "the node found out that its database is an old copy".into();
                    self.fail_payment(id, accounts, context);
                }
                Progress::Committed => self.stop_searching(id),
                Progress::Paid | Progress::Failed => {}
            }
        }
    }

    pub(crate) fn payment_report(&self, payment: &Payment, context: &Context<'_>) -> PaymentReport {
        payment.report(context.now.unix_ms)
    }
}

impl Batch<'_> {
    /// The patience with a part ends: if it is not committed by now, nobody on the path waits for it any more.
    pub(crate) fn part_timed_out(&mut self, outgoing: &RequestRef) {
        let Some(id) = self.state.payments.payment_of(outgoing) else { return };
        if self.state.accounts.is_bound(outgoing)
            || self.is_patient(Timer::Part(outgoing.clone()), &[&outgoing.account])
        {
            return;
        }
        let local = self.context.local;
        self.state.accounts.abort_outgoing(outgoing);
        self.cancelled(outgoing, CancelReason::Timeout, local);
        log::debug!("a part of payment {id} got no answer in time");
    }
}
