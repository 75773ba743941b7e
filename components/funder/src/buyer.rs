//! Paying (protocol section 2).
//!
//! ```text
//! Searching --all parts responded, their sum is the total--> Committed --all parts collected--> Paid
//!     |                                                          |
//!     +--no way, no time, called off--> Failed <--all parts cancelled--+
//! ```
//!
//! The parts are committed in one transaction. Before it every part can be given up; after it only the destination's `Collect`
//! or `Cancel` ends one, and no timeout calls the payment failed.

use crate::command::{CommandId, Reply};
use crate::io::Output;
use crate::machine::{Batch, line};
use crate::mediator::cancel_reason;
use crate::records::{HopKey, Origin, Part, Payment, Progress, Promise, REASON_BYTES_MAX};
use crate::seller::{TOO_MANY_WAIT, WAITERS_MAX};
use crate::timers::Timer;
use offst_crypto::{Preimage, PublicKey};
use offst_ledger::Direction;
use offst_proto::index::{EXCLUDED_MAX, Hop, Query};
use offst_proto::limits::{AMOUNT_MAX, PARTS_MAX, PATIENCE_MS_MAX};
use offst_proto::order::{Destination, Order, Purpose};
use offst_proto::payment::{CancelReason, NO_PROOF, PartTerms, Response, proof};
use offst_proto::report::{Event, PaymentStatus};
use offst_proto::route::{PartPlan, Way};
use offst_proto::statement::{Answer, Request};
use offst_proto::{PaymentId, RequestId, Verified};
use std::collections::{BTreeMap, BTreeSet};

/// What is known of a payment only while this process runs.
#[derive(Debug, Default)]
pub(crate) struct Search {
    /// Commands that wait for the end.
    pub(crate) waiters: Vec<CommandId>,
    /// Edges that have refused this payment.
    excluded: BTreeSet<(PublicKey, PublicKey)>,
    /// An answer of the index servers is awaited.
    asking: bool,
    /// How many edges were excluded when the index servers were asked last.
    excluded_then: usize,
    /// How often no way was left although some had been tried.
    rounds: u32,
    /// The time to look for ways is over.
    is_over: bool,
}

/// How often ways are looked for again after all that were known have failed; the pauses between double.
const ROUNDS_MAX: u32 = 4;
/// The same for a payment that no way was ever found for.
const UNTRIED_ROUNDS_MAX: u32 = 2;
/// Most payments of ours that are under way at one time.
const PAYMENTS_MAX: usize = 10_000;

/// Reasons after which no other way can help.
fn is_final(reason: CancelReason) -> bool {
    matches!(
        reason,
        CancelReason::UnknownInvoice
            | CancelReason::InvoiceExpired
            | CancelReason::AlreadyPaid
            | CancelReason::BadProof
            | CancelReason::Amount
    )
}

impl Batch<'_> {
    /// Starts a payment, or waits for the one that has this id.
    pub(crate) fn pay(&mut self, command: CommandId, order: Order) {
        if self.state.payments.contains_key(&order.payment_id) {
            return self.wait_payment(command, order.payment_id);
        }
        match self.payment(&order) {
            Err(sentence) => self.reply(command, Reply::Refused(sentence)),
            Ok(payment) => {
                let id = payment.id;
                let deadline = self.now.uptime_ms.saturating_add(payment.timeout_ms);
                self.state.timers.set(Timer::Payment(id), deadline);
                if let Some((invoice, _)) = &payment.invoice {
                    self.state.paying.insert(*invoice, id);
                }
                self.state.payments.insert(id, payment);
                self.changed.payments.insert(id);
                self.state.searches.insert(id, Search { waiters: vec![command], ..Search::default() });
                self.find_ways(id);
            }
        }
    }

    /// Answers when the payment has ended; at once when it has, or when its time is over.
    fn wait_payment(&mut self, command: CommandId, id: PaymentId) {
        let search = self.state.searches.entry(id).or_default();
        search.waiters.push(command);
        if search.waiters.len() > WAITERS_MAX {
            let oldest = search.waiters.remove(0);
            self.reply(oldest, Reply::Refused(TOO_MANY_WAIT.into()));
        }
        let is_over = self.state.searches[&id].is_over;
        if is_over || matches!(self.state.payments[&id].progress, Progress::Paid | Progress::Failed) {
            self.answer_waiters(id);
        }
    }

    fn payment(&self, order: &Order) -> Result<Payment, String> {
        if self.state.payments.len() >= PAYMENTS_MAX {
            return Err(format!("{PAYMENTS_MAX} payments are under way already: wait until some have ended"));
        }
        let (destination, invoice, currency, total) = match &order.purpose {
            Purpose::Invoice(invoice) => {
                if invoice.destination == self.state.local {
                    return Err("this invoice is this node's own: paying it would change nothing".into());
                }
                if invoice.is_expired(self.now.unix_ms) {
                    return Err("the invoice has expired: ask the seller for a new one".into());
                }
                if let Some(other) = self.state.paying.get(&invoice.id) {
                    return Err(format!("this invoice is being paid already: see `funds status {other}`"));
                }
                let secret = Some((invoice.id, invoice.secret.clone()));
                (invoice.destination, secret, invoice.currency.clone(), invoice.amount)
            }
            Purpose::Spontaneous { destination, currency, amount } => {
                let key =
                    match destination {
                        Destination::Key(key) => *key,
                        Destination::Friend(name) => *self.state.names.get(name).ok_or_else(|| {
                            format!("there is no friend named \"{name}\", and it is not a public key")
                        })?,
                    };
                if key == self.state.local {
                    return Err("this is the node's own key: sending to oneself would change nothing".into());
                }
                (key, None, currency.clone(), *amount)
            }
        };
        if total == 0 || total > AMOUNT_MAX {
            return Err("the amount must be at least 1 and at most 2^96".into());
        }
        Ok(Payment {
            id: order.payment_id,
            destination,
            invoice,
            currency,
            total,
            max_fee: order.max_fee,
            timeout_ms: order.timeout_ms,
            created_ms: self.now.unix_ms,
            ended_ms: None,
            progress: Progress::Searching,
            reason: String::new(),
            parts: BTreeMap::new(),
        })
    }

    /// Asks for ways for what no part carries yet.
    pub(crate) fn find_ways(&mut self, id: PaymentId) {
        let (Some(payment), Some(search)) = (self.state.payments.get(&id), self.state.searches.get_mut(&id)) else {
            return;
        };
        let missing = payment.total.saturating_sub(payment.underway());
        if missing == 0 || search.asking || search.is_over {
            return;
        }
        search.asking = true;
        search.excluded_then = search.excluded.len();
        let mut query = Query::new(payment.currency.clone(), missing, self.state.local, payment.destination);
        query.excluded_edges =
            search.excluded.iter().take(EXCLUDED_MAX).map(|(from, to)| Hop { from: *from, to: *to }).collect();
        self.outputs.push(Output::FindWays(id, Box::new(query)));
    }

    /// The index servers have answered.
    pub(crate) fn found_ways(&mut self, id: PaymentId, ways: Result<Vec<Way>, String>) {
        let (Some(payment), Some(search)) = (self.state.payments.get(&id), self.state.searches.get_mut(&id)) else {
            return;
        };
        if !search.asking {
            return;
        }
        search.asking = false;
        let missing = payment.total.saturating_sub(payment.underway());
        if search.is_over || missing == 0 {
            return;
        }
        let ways = match ways {
            Ok(ways) if !ways.is_empty() => Ok(ways),
            // To a friend the way is known without index servers.
            nothing => self.direct_way(id, missing).map_or(nothing, |way| Ok(vec![way])),
        };
        let payment = &self.state.payments[&id];
        let budget = payment.max_fee.unwrap_or(AMOUNT_MAX).saturating_sub(payment.fees());
        let places = PARTS_MAX - payment.parts.len();
        let destination = payment.destination;
        let fits = |way: &Way| {
            way.check().is_ok()
                && way.amount() == missing
                && way.parts.len() <= places
                && way.parts.iter().all(|part| part.amount > 0 && part.route.last() == Some(&destination))
        };
        let (cheap, dear): (Vec<Way>, Vec<Way>) = match ways {
            Ok(ways) => ways.into_iter().filter(fits).partition(|way| way.fees() <= budget),
            Err(sentence) => return self.no_way(id, sentence),
        };
        for way in cheap {
            if self.start_way(id, way) {
                return;
            }
        }
        let sentence = match dear.iter().map(Way::fees).min() {
            Some(fees) => {
                // Waiting does not make it cheaper.
                self.state.searches.entry(id).or_default().rounds = ROUNDS_MAX;
                format!("the cheapest way costs {fees} in fees, more than --max-fee allows")
            }
            None => "no route with enough room for this amount was found, or the destination is offline".to_owned(),
        };
        self.no_way(id, sentence);
    }

    /// The way over the destination itself, when it is a friend who has not refused this payment and whose line has room.
    fn direct_way(&self, id: PaymentId, amount: u128) -> Option<Way> {
        let payment = self.state.payments.get(&id)?;
        let edge = (self.state.local, payment.destination);
        let is_excluded = self.state.searches.get(&id)?.excluded.contains(&edge);
        let line = line(payment.destination, &payment.currency);
        self.line_room(&line).ok().filter(|room| !is_excluded && *room >= amount)?;
        Some(Way { parts: vec![PartPlan { route: vec![payment.destination], amount, fees: 0 }] })
    }

    /// There is no way now. When nothing was ever tried, the index servers may just be learning what friends have published, so
    /// they are asked a little later. After refusals more rounds follow: what refused may have been busy or away. Parts
    /// that wait for the rest of the amount have their own patience, which bounds how often this is tried for them.
    fn no_way(&mut self, id: PaymentId, sentence: String) {
        let retry_ms = self.environment.timing.retry_ms;
        let (Some(payment), Some(search)) = (self.state.payments.get_mut(&id), self.state.searches.get_mut(&id)) else {
            return;
        };
        if payment.reason.is_empty() {
            payment.reason = bounded(sentence);
        }
        let rounds_max = if search.excluded.is_empty() { UNTRIED_ROUNDS_MAX } else { ROUNDS_MAX };
        let is_hopeless = search.rounds >= rounds_max;
        if payment.parts.is_empty() && is_hopeless {
            return self.end_payment(id, Progress::Failed);
        }
        let pause = retry_ms << search.rounds;
        search.rounds = (search.rounds + 1).min(ROUNDS_MAX);
        if search.excluded.len() == search.excluded_then {
            // The servers knew all refusals and found nothing else: the same edges get another chance.
            search.excluded.clear();
        }
        self.state.timers.set(Timer::Retry(id), self.now.uptime_ms + pause);
    }

    /// Sends a request for each part of a way. Says whether all went out; otherwise none is left.
    fn start_way(&mut self, id: PaymentId, way: Way) -> bool {
        let mut started = Vec::new();
        for plan in way.parts {
            match self.start_part(id, plan) {
                Ok(outgoing) => started.push(outgoing),
                Err((first, reason)) => {
                    let local = self.state.local;
                    self.note_refusal(id, (local, first), reason);
                    for outgoing in started {
                        self.drop_part(id, &outgoing);
                    }
                    return false;
                }
            }
        }
        true
    }

    fn start_part(&mut self, id: PaymentId, plan: PartPlan) -> Result<HopKey, (PublicKey, CancelReason)> {
        let payment = self.state.payments.get(&id).expect("the caller has looked");
        let (first, rest) = plan.route.split_first().expect("a checked plan has a route");
        let refused = |reason| (*first, reason);
        let terms = PartTerms {
            request_id: RequestId::random(&mut *self.environment.random),
            payment_id: id,
            invoice_id: payment.invoice.as_ref().map(|(id, _)| *id),
            destination: payment.destination,
            currency: payment.currency.clone(),
            amount: plan.amount,
            total: payment.total,
        };
        let hops = u64::try_from(plan.route.len()).expect("a route is short");
        let timing = self.environment.timing;
        let patience_ms = (timing.patience_ms + hops * timing.patience_step_ms).min(PATIENCE_MS_MAX);
        let request = Request {
            id: terms.request_id,
            payment_id: id,
            invoice_id: terms.invoice_id,
            amount: plan.amount,
            total: payment.total,
            fees_left: plan.fees,
            patience_ms,
            route: rest.to_vec(),
            proof: payment.invoice.as_ref().map_or(NO_PROOF, |(_, secret)| proof(secret, &terms)),
        };
        let outgoing = line(*first, &terms.currency).hop(terms.request_id);
        self.line_room(&outgoing.line).map_err(refused)?;
        let account = self.account(&outgoing.line).expect("its room was measured");
        account.request(request, terms.hash()).map_err(|refusal| refused(cancel_reason(refusal)))?;
        let part = Part { route: plan.route, amount: plan.amount, fees: plan.fees, promise: None, preimage: None };
        self.state.payments.get_mut(&id).expect("looked above").parts.insert(outgoing.id, part);
        self.state.origins.insert(outgoing.clone(), Origin::Payment(id));
        self.state.timers.set(Timer::Part(outgoing.clone()), self.now.uptime_ms + patience_ms);
        Ok(outgoing)
    }

    /// Gives up a part that does not bind us.
    fn drop_part(&mut self, id: PaymentId, outgoing: &HopKey) {
        self.abort_outgoing(outgoing);
        self.state.origins.remove(outgoing);
        self.state.unsigned_commits.remove(outgoing);
        self.state.timers.clear(&Timer::Part(outgoing.clone()));
        if let Some(payment) = self.state.payments.get_mut(&id) {
            payment.parts.remove(&outgoing.id);
        }
    }

    fn note_refusal(&mut self, id: PaymentId, edge: (PublicKey, PublicKey), reason: CancelReason) {
        if let Some(payment) = self.state.payments.get_mut(&id) {
            payment.reason = bounded(reason.to_string());
        }
        if let Some(search) = self.state.searches.get_mut(&id)
            && search.excluded.len() < EXCLUDED_MAX
        {
            search.excluded.insert(edge);
        }
    }

    /// The outgoing side of a part.
    fn outgoing(payment: &Payment, request: RequestId, part: &Part) -> HopKey {
        line(part.route[0], &payment.currency).hop(request)
    }

    /// A destination's answer: when all parts have one and cover the total, all are committed at once.
    pub(crate) fn part_responded(&mut self, id: PaymentId, outgoing: &HopKey, answer: Answer) {
        let Some(payment) = self.state.payments.get_mut(&id) else { return };
        let Some(part) = payment.parts.get_mut(&answer.id) else { return };
        let terms = PartTerms {
            request_id: answer.id,
            payment_id: id,
            invoice_id: payment.invoice.as_ref().map(|(id, _)| *id),
            destination: payment.destination,
            currency: payment.currency.clone(),
            amount: part.amount,
            total: payment.total,
        };
        let response = Response { terms, nonce: answer.nonce, lock: answer.lock };
        if Verified::assemble(response, &answer.signature, &*self.environment.verifier).is_err() {
            // Somebody on the way has put it there; the last mediator is the likeliest.
            let edge = last_edge(self.state.local, &part.route);
            self.drop_part(id, outgoing);
            self.note_refusal(id, edge, CancelReason::Aborted);
            return self.part_failed(id, None);
        }
        part.promise = Some(Promise { lock: answer.lock, nonce: answer.nonce, signature: answer.signature });
        let is_covered = payment.underway() == payment.total;
        if is_covered && payment.parts.values().all(|part| part.promise.is_some()) {
            self.commit_payment(id);
        }
    }

    fn commit_payment(&mut self, id: PaymentId) {
        let payment = self.state.payments.get_mut(&id).expect("the caller has looked");
        let is_new = payment.progress != Progress::Committed;
        payment.progress = Progress::Committed;
        payment.reason.clear();
        if is_new {
            self.event(Event::PaymentChanged { payment_id: id, status: PaymentStatus::Pending });
        }
        self.changed.payments.insert(id);
        let payment = &self.state.payments[&id];
        let parts: Vec<_> =
            payment.parts.iter().map(|(request, part)| Self::outgoing(payment, *request, part)).collect();
        for outgoing in parts {
            // A part that was committed before waits for the destination already.
            let account = self.account(&outgoing.line).expect("a part's account exists");
            if account.commit(outgoing.id).is_ok() {
                self.state.unsigned_commits.insert(outgoing);
            }
        }
        self.state.timers.clear(&Timer::Retry(id));
    }

    /// The seller has taken a part.
    pub(crate) fn part_collected(&mut self, id: PaymentId, outgoing: &HopKey, preimage: Preimage) {
        self.state.timers.clear(&Timer::Part(outgoing.clone()));
        let Some(payment) = self.state.payments.get_mut(&id) else { return };
        if let Some(part) = payment.parts.get_mut(&outgoing.id) {
            part.preimage = Some(preimage);
        }
        self.changed.payments.insert(id);
        self.conclude(id);
    }

    /// A part was refused or released on the way.
    pub(crate) fn part_cancelled(&mut self, id: PaymentId, outgoing: &HopKey, reason: CancelReason, hop: PublicKey) {
        let local = self.state.local;
        let Some(payment) = self.state.payments.get_mut(&id) else { return };
        let Some(part) = payment.parts.remove(&outgoing.id) else { return };
        self.changed.payments.insert(id);
        let edge = refusing_edge(local, &part.route, hop);
        self.note_refusal(id, edge, reason);
        self.part_failed(id, Some(reason));
    }

    /// A part is gone: it is replaced, or the payment ends.
    fn part_failed(&mut self, id: PaymentId, reason: Option<CancelReason>) {
        let Some(payment) = self.state.payments.get(&id) else { return };
        let is_over = self.state.searches.get(&id).is_none_or(|search| search.is_over);
        match payment.progress {
            Progress::Searching if reason.is_some_and(is_final) || is_over => self.fail_payment(id),
            Progress::Searching => self.find_ways(id),
            Progress::Committed => self.conclude(id),
            Progress::Paid | Progress::Failed => {}
        }
    }

    /// Whether a committed payment has ended; if a part was released, it is replaced.
    fn conclude(&mut self, id: PaymentId) {
        let Some(payment) = self.state.payments.get(&id) else { return };
        if payment.parts.values().any(|part| part.preimage.is_some()) {
            return self.conclude_collected(id);
        }
        let is_over = self.state.searches.get(&id).is_none_or(|search| search.is_over);
        let is_hopeless = is_over || self.last_reason_is_final(id);
        if !payment.parts.is_empty() {
            // The destination still waits for the whole amount.
            if !is_hopeless {
                self.find_ways(id);
            }
        } else if is_hopeless {
            self.end_payment(id, Progress::Failed);
        } else {
            // Every part was released: nothing was moved, so looking for another way is as safe as at the start.
            self.state.payments.get_mut(&id).expect("looked above").progress = Progress::Searching;
            self.find_ways(id);
        }
    }

    /// The destination collects all that it needs at once: what was to replace a released part is not needed any more. One
    /// that was released nevertheless was given away by a mediator: the seller is paid.
    fn conclude_collected(&mut self, id: PaymentId) {
        let payment = &self.state.payments[&id];
        let waiting = payment.parts.iter().filter(|(_, part)| part.preimage.is_none());
        let waiting: Vec<_> = waiting.map(|(request, part)| Self::outgoing(payment, *request, part)).collect();
        let mut awaited = 0;
        for outgoing in waiting {
            let pending =
                self.account(&outgoing.line).and_then(|account| account.pending(Direction::Outgoing, outgoing.id));
            // One that is not pending any more was ended by the same statement, whose events are still being handled.
            if pending.is_none_or(|pending| pending.stage.is_committed()) {
                awaited += 1;
            } else {
                self.drop_part(id, &outgoing);
            }
        }
        if awaited == 0 {
            self.end_payment(id, Progress::Paid);
        }
    }

    fn last_reason_is_final(&self, id: PaymentId) -> bool {
        let finals = CancelReason::NAMED.iter().filter(|reason| is_final(**reason));
        let reason = &self.state.payments[&id].reason;
        finals.into_iter().any(|known| known.to_string() == *reason)
    }

    /// Gives up every part and ends the payment. Only for one that is not committed.
    pub(crate) fn fail_payment(&mut self, id: PaymentId) {
        let payment = &self.state.payments[&id];
        assert_eq!(payment.progress, Progress::Searching, "a committed payment is never called failed");
        let parts: Vec<_> =
            payment.parts.iter().map(|(request, part)| Self::outgoing(payment, *request, part)).collect();
        for outgoing in parts {
            self.drop_part(id, &outgoing);
        }
        self.end_payment(id, Progress::Failed);
    }

    fn end_payment(&mut self, id: PaymentId, progress: Progress) {
        let payment = self.state.payments.get_mut(&id).expect("the caller has looked");
        payment.progress = progress;
        payment.ended_ms = Some(self.now.unix_ms);
        if progress == Progress::Paid {
            payment.reason.clear();
            if payment.underway() != payment.total {
                payment.reason =
                    "there is no receipt: a part was released on the way that the seller must have collected, \
                                  or the seller took less than it asked for"
                        .into();
            }
        }
        if let Some((invoice, _)) = &payment.invoice {
            self.state.paying.remove(invoice);
        }
        self.changed.payments.insert(id);
        self.state.timers.clear(&Timer::Payment(id));
        self.state.timers.clear(&Timer::Retry(id));
        self.answer_waiters(id);
    }

    fn answer_waiters(&mut self, id: PaymentId) {
        let report = self.payment_report(&self.state.payments[&id]);
        let status = report.status;
        let waiters = self.state.searches.get_mut(&id).map(|search| std::mem::take(&mut search.waiters));
        for command in waiters.unwrap_or_default() {
            self.reply(command, Reply::Payment(Box::new(report.clone())));
        }
        self.event(Event::PaymentChanged { payment_id: id, status });
    }

    /// The patience with a part ends: if it is not committed by now, nobody on the way waits for it any more.
    pub(crate) fn part_timed_out(&mut self, outgoing: &HopKey) {
        let Some(Origin::Payment(id)) = self.state.origins.get(outgoing).cloned() else { return };
        if self.is_bound(outgoing) || self.is_patient(Timer::Part(outgoing.clone()), &[&outgoing.line]) {
            return;
        }
        let local = self.state.local;
        self.abort_outgoing(outgoing);
        self.cancelled(outgoing, CancelReason::Timeout, local);
        log::debug!("a part of payment {id} got no answer in time");
    }

    /// No other way is looked for any more.
    pub(crate) fn stop_searching(&mut self, id: PaymentId) {
        self.state.searches.entry(id).or_default().is_over = true;
    }

    /// The time to look for ways is over: what is not committed fails, what is committed is still under way.
    pub(crate) fn payment_timed_out(&mut self, id: PaymentId) {
        let Some(payment) = self.state.payments.get_mut(&id) else { return };
        self.state.searches.entry(id).or_default().is_over = true;
        match payment.progress {
            Progress::Searching => {
                if payment.reason.is_empty() {
                    payment.reason = bounded(CancelReason::Timeout.to_string());
                }
                self.fail_payment(id);
            }
            Progress::Committed => {
                payment.reason = bounded(
                    "a friend on the way has not answered yet; nothing is lost and nobody must pay again".into(),
                );
                self.answer_waiters(id);
            }
            Progress::Paid | Progress::Failed => {}
        }
    }

    /// Calls a payment off, when it is not committed.
    pub(crate) fn cancel_payment(&mut self, command: CommandId, id: PaymentId) {
        match self.state.payments.get_mut(&id).map(|payment| (payment.progress, payment)) {
            Some((Progress::Searching, payment)) => {
                payment.reason = "it was called off".into();
                self.fail_payment(id);
                self.reply(command, Reply::Done);
            }
            Some((Progress::Committed, _)) => {
                let sentence =
                    "the payment is committed and cannot be called off: it ends when the seller collects or cancels";
                self.reply(command, Reply::Refused(sentence.into()));
            }
            Some(_) | None => self.reply(command, Reply::Unknown),
        }
    }
}

/// The edge into the destination.
fn last_edge(local: PublicKey, route: &[PublicKey]) -> (PublicKey, PublicKey) {
    let to = route[route.len() - 1];
    let from = if route.len() >= 2 { route[route.len() - 2] } else { local };
    (from, to)
}

/// The edge that `hop` would not use. A hop that is not on the route is somebody's invention: then the first edge is avoided,
/// because the friend there passed it on.
fn refusing_edge(local: PublicKey, route: &[PublicKey], hop: PublicKey) -> (PublicKey, PublicKey) {
    if hop == local {
        return (local, route[0]);
    }
    match route.iter().position(|node| *node == hop) {
        Some(index) if index + 1 < route.len() => (hop, route[index + 1]),
        Some(_) => last_edge(local, route),
        None => (local, route[0]),
    }
}

fn bounded(mut text: String) -> String {
    let mut end = text.len().min(REASON_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}
