//! Being paid: invoices, and the requests that end here (protocol section 2).
//!
//! Parts of one payment form a part set. The destination collects when the committed parts of one set add up exactly to
//! what they say is paid, all in one transaction, and an invoice once for ever. When the time of the set ends before,
//! all its parts are cancelled.

use crate::accounts::Accounts;
use crate::command::{CommandId, Reply, TOO_MANY_WAIT, WAITERS_MAX};
use crate::context::Context;
use crate::funder::Batch;
use crate::journal::{JournalKey, ReceivedPayment};
use crate::receiving::Receiving;
use crate::receiving::part_sets::{PartSet, PartSetKey};
use crate::receiving::record::{InboundPart, InvoiceRecord};
use crate::timers::Timer;
use offst_crypto::{Mac, Nonce, Preimage, RandomExt, Secret};
use offst_ledger::{Pending, RequestRef};
use offst_proto::Amount;
use offst_proto::invoice::Invoice;
use offst_proto::limits::PARTS_MAX;
use offst_proto::payment::{CancelReason, NO_PROOF, PartTerms, Response, preimage, verify_proof};
use offst_proto::report::{Event, InvoiceStatus, ReceivedReport};
use offst_proto::statement::{Answer, Request};
use offst_proto::{Currency, InvoiceId, PaymentId, Verified};

/// Most invoices that are open at one time.
const INVOICES_MAX: usize = 100_000;
impl Receiving {
    /// An invoice that can be paid, or that has ended of late.
    fn any_invoice(&self, id: InvoiceId) -> Option<&InvoiceRecord> {
        self.invoices.get(&id).or_else(|| self.ended_invoices.get(&id))
    }

    /// Takes an invoice back, unless it was paid.
    pub(crate) fn cancel_invoice(
        &mut self,
        command: CommandId,
        id: InvoiceId,
        accounts: &mut Accounts,
        context: &mut Context<'_>,
    ) {
        match self.invoices.get(&id) {
            Some(record) if record.status == InvoiceStatus::Open => {
                self.close_invoice(id, InvoiceStatus::Cancelled, accounts, context);
                context.reply(command, Reply::Done);
            }
            Some(_) | None => context.reply(command, Reply::Unknown),
        }
    }

    /// Answers when the invoice is not open any more.
    pub(crate) fn wait_invoice(&mut self, command: CommandId, id: InvoiceId, context: &mut Context<'_>) {
        match self.any_invoice(id) {
            Some(record) if record.status == InvoiceStatus::Open => {
                let waiters = self.invoice_waiters.entry(id).or_default();
                waiters.push(command);
                if waiters.len() > WAITERS_MAX {
                    let oldest = waiters.remove(0);
                    context.reply(oldest, Reply::Refused(TOO_MANY_WAIT.into()));
                }
            }
            Some(record) => {
                let status = record.status;
                context.reply(command, Reply::InvoiceStatus(status));
            }
            None => context.reply(command, Reply::Unknown),
        }
    }

    pub(crate) fn invoice_expired(&mut self, id: InvoiceId, accounts: &mut Accounts, context: &mut Context<'_>) {
        if self.invoices.get(&id).is_some_and(|record| record.status == InvoiceStatus::Open) {
            self.close_invoice(id, InvoiceStatus::Expired, accounts, context);
        }
    }

    pub(crate) fn close_invoice(
        &mut self,
        id: InvoiceId,
        status: InvoiceStatus,
        accounts: &mut Accounts,
        context: &mut Context<'_>,
    ) {
        let record = self.invoices.get_mut(&id).expect("the caller has looked");
        record.status = status;
        context.timers.clear(&Timer::Invoice(id));
        let reason = match status {
            InvoiceStatus::Paid => CancelReason::AlreadyPaid,
            InvoiceStatus::Expired => CancelReason::InvoiceExpired,
            InvoiceStatus::Cancelled | InvoiceStatus::Open => CancelReason::UnknownInvoice,
        };
        let first = PartSetKey {
            invoice_id: Some(id),
            total: Amount::ZERO,
            payment_id: PaymentId::from_bytes([0; 16]),
            currency: record.invoice.currency.clone(),
        };
        let parts: Vec<_> = self
            .part_sets
            .range(first..)
            .take_while(|(key, _)| key.invoice_id == Some(id))
            .flat_map(|(_, part_set)| part_set.parts.iter().cloned())
            .collect();
        for incoming in parts {
            self.remove_inbound_part(&incoming, context);
            accounts.cancel_incoming(&incoming, reason, context.local);
        }
        for command in self.invoice_waiters.remove(&id).unwrap_or_default() {
            context.reply(command, Reply::InvoiceStatus(status));
        }
        context.event(Event::InvoiceChanged { invoice_id: id, status });
    }

    /// Puts an inbound part into its set and starts the set's time with its first part.
    pub(crate) fn add_to_part_set(
        &mut self,
        incoming: &RequestRef,
        inbound_part: &InboundPart,
        context: &mut Context<'_>,
    ) {
        let key = inbound_part.part_set_key(&incoming.account.currency);
        self.part_sets.entry(key.clone()).or_default().parts.insert(incoming.clone());
        context.timers.set_if_none(Timer::PartSet(key), context.now.uptime_ms + inbound_part.patience_ms);
    }

    pub(crate) fn remove_inbound_part(
        &mut self,
        incoming: &RequestRef,
        context: &mut Context<'_>,
    ) -> Option<InboundPart> {
        let inbound_part = self.inbound_parts.remove(incoming)?;
        let key = inbound_part.part_set_key(&incoming.account.currency);
        let part_set = self.part_sets.get_mut(&key).expect("every inbound part is in its set");
        part_set.parts.remove(incoming);
        if part_set.parts.is_empty() {
            self.part_sets.remove(&key);
            context.timers.clear(&Timer::PartSet(key));
        }
        Some(inbound_part)
    }

    /// A part was committed: when all are, they are collected together.
    pub(crate) fn inbound_committed(
        &mut self,
        incoming: &RequestRef,
        accounts: &mut Accounts,
        context: &mut Context<'_>,
    ) {
        let key = self.inbound_parts[incoming].part_set_key(&incoming.account.currency);
        let parts: Vec<RequestRef> = self.part_sets[&key].parts.iter().cloned().collect();
        let committed: Vec<&RequestRef> =
            parts.iter().filter(|part| self.is_committed_to_us(part, accounts, context)).collect();
        let sum: u128 = committed.iter().map(|part| self.inbound_parts[*part].amount).sum();
        match sum.cmp(&key.total.credits()) {
            std::cmp::Ordering::Less => {}
            std::cmp::Ordering::Equal => {
                let committed: Vec<RequestRef> = committed.into_iter().cloned().collect();
                self.collect_part_set(&key, &committed, accounts, context);
            }
            // One part too many: it is not needed, and without it the sum may still come out right.
            std::cmp::Ordering::Greater => {
                self.remove_inbound_part(incoming, context);
                accounts.cancel_incoming(incoming, CancelReason::Amount, context.local);
            }
        }
    }

    /// What opens the lock that we answered with.
    pub(crate) fn inbound_preimage(
        &self,
        incoming: &RequestRef,
        inbound_part: &InboundPart,
        context: &Context<'_>,
    ) -> Preimage {
        preimage(&*context.environment.signer, &inbound_part.terms(incoming, context.local))
    }

    /// A request that ends here, as its account has it: under the lock that we have answered with. Buyers choose the
    /// ids, so an account that came back from its friend may have another request in this place.
    pub(crate) fn pending_inbound_part(
        &self,
        incoming: &RequestRef,
        accounts: &Accounts,
        context: &Context<'_>,
    ) -> Option<Pending> {
        let inbound_part = self.inbound_parts.get(incoming)?;
        let pending = accounts.incoming_at(incoming)?;
        let lock = self.inbound_preimage(incoming, inbound_part, context).lock();
        (pending.held == inbound_part.amount && pending.stage.lock() == Some(lock)).then_some(pending)
    }

    fn is_committed_to_us(&self, incoming: &RequestRef, accounts: &Accounts, context: &Context<'_>) -> bool {
        self.pending_inbound_part(incoming, accounts, context).is_some_and(|pending| pending.stage.is_committed())
    }

    fn collect_part_set(
        &mut self,
        key: &PartSetKey,
        committed: &[RequestRef],
        accounts: &mut Accounts,
        context: &mut Context<'_>,
    ) {
        for incoming in committed {
            let inbound_part = self.remove_inbound_part(incoming, context).expect("the set names it");
            let preimage = self.inbound_preimage(incoming, &inbound_part, context);
            let account = accounts.touch(&incoming.account).expect("an inbound part's account exists");
            account.collect(incoming.id, preimage).expect("it is committed under the lock of this preimage");
            self.record_received(
                incoming,
                preimage,
                inbound_part.amount,
                Some((inbound_part.payment_id, inbound_part.invoice_id)),
                context,
            );
        }
        // Parts that were responded to but are not needed any more.
        let surplus: Vec<_> =
            self.part_sets.get(key).map(|part_set| part_set.parts.iter().cloned().collect()).unwrap_or_default();
        for incoming in surplus {
            self.remove_inbound_part(&incoming, context);
            accounts.cancel_incoming(&incoming, CancelReason::AlreadyPaid, context.local);
        }
        if let Some(id) = key.invoice_id {
            self.close_invoice(id, InvoiceStatus::Paid, accounts, context);
        }
    }

    /// A part was collected: it is kept for the history, and for the friend, should that forget it. `of`: its payment
    /// and invoice, where they are known.
    pub(crate) fn record_received(
        &self,
        incoming: &RequestRef,
        preimage: Preimage,
        amount: Amount,
        of: Option<(PaymentId, Option<InvoiceId>)>,
        context: &mut Context<'_>,
    ) {
        let report = ReceivedReport {
            request_id: incoming.id,
            from: incoming.account.friend,
            payment_id: of.map(|(payment_id, _)| payment_id),
            invoice_id: of.and_then(|(_, invoice_id)| invoice_id),
            currency: incoming.account.currency.clone(),
            amount,
            time_ms: context.now.unix_ms,
        };
        context.note(
            &JournalKey { id: report.request_id, payer: Some(report.from) },
            &ReceivedPayment { report, preimage },
        );
    }

    pub(crate) fn resume_inbound_parts(&mut self, context: &mut Context<'_>) {
        let inbound_parts: Vec<_> = self
            .inbound_parts
            .iter()
            .map(|(incoming, inbound_part)| (incoming.clone(), inbound_part.clone()))
            .collect();
        for (incoming, inbound_part) in inbound_parts {
            self.add_to_part_set(&incoming, &inbound_part, context);
        }
    }

    pub(crate) fn resume_invoices(&self, context: &mut Context<'_>) {
        for record in self.invoices.values() {
            if let Some(expires_ms) = record.invoice.expires_ms {
                let left = expires_ms.saturating_sub(context.now.unix_ms);
                let deadline = context.now.uptime_ms.saturating_add(left);
                context.timers.set(Timer::Invoice(record.invoice.id), deadline);
            }
        }
    }
}

impl Batch<'_> {
    /// Makes an invoice.
    pub(crate) fn create_invoice(
        &mut self,
        command: CommandId,
        amount: Amount,
        currency: Currency,
        description: String,
        expiry_ms: Option<u64>,
    ) {
        if self.state.receiving.invoices.len() >= INVOICES_MAX {
            let message = format!("{INVOICES_MAX} invoices are open, no more fit: cancel some, or let them expire");
            return self.context.reply(command, Reply::Refused(message));
        }
        let random = &mut *self.context.environment.random;
        let invoice = Invoice {
            id: InvoiceId::random(random),
            destination: self.context.local,
            currency,
            amount,
            description,
            expires_ms: expiry_ms.map(|expiry| self.context.now.unix_ms.saturating_add(expiry)),
            secret: Secret::from_bytes(random.array()),
        };
        if let Err(error) = invoice.check_fields() {
            return self.context.reply(command, Reply::Refused(format!("the invoice was not made: {error}")));
        }
        let invoice = Verified::sign(invoice, &*self.context.environment.signer);
        if let Some(expiry) = expiry_ms {
            self.context.timers.set(Timer::Invoice(invoice.id), self.context.now.uptime_ms.saturating_add(expiry));
        }
        let created_ms = self.invoice_time();
        let record = InvoiceRecord { invoice: invoice.clone(), status: InvoiceStatus::Open, created_ms };
        self.state.receiving.invoices.insert(invoice.id, record);
        self.context.reply(command, Reply::Invoice(invoice));
    }

    /// Whether a part may pay what it says it pays: an invoice of ours that can still be paid, or none.
    fn check_purpose(&self, terms: &PartTerms, proof: &Mac) -> Result<(), CancelReason> {
        let Some(id) = terms.invoice_id else {
            return if *proof == NO_PROOF { Ok(()) } else { Err(CancelReason::BadProof) };
        };
        let InvoiceRecord { invoice, status, created_ms } =
            self.state.receiving.any_invoice(id).ok_or(CancelReason::UnknownInvoice)?;
        // First: one who only knows the id does not learn how the invoice stands.
        if !verify_proof(&invoice.secret, terms, proof) {
            return Err(CancelReason::BadProof);
        }
        match status {
            InvoiceStatus::Paid => return Err(CancelReason::AlreadyPaid),
            InvoiceStatus::Cancelled => return Err(CancelReason::UnknownInvoice),
            InvoiceStatus::Expired => return Err(CancelReason::InvoiceExpired),
            InvoiceStatus::Open if invoice.is_expired(self.context.now.unix_ms) => {
                return Err(CancelReason::InvoiceExpired);
            }
            InvoiceStatus::Open if self.may_be_paid_already(*created_ms) => return Err(CancelReason::Busy),
            InvoiceStatus::Open => {}
        }
        if invoice.amount != terms.total || invoice.currency != terms.currency {
            return Err(CancelReason::Amount);
        }
        Ok(())
    }

    /// A request ends here: we answer with a lock, or refuse.
    pub(crate) fn arrived(&mut self, incoming: &RequestRef, request: &Request) -> Result<(), CancelReason> {
        let currency = &incoming.account.currency;
        let terms = request.terms(self.context.local, currency);
        if request.fees_left != 0 {
            return Err(CancelReason::Fee);
        }
        if request.amount == 0 || request.amount > request.total {
            return Err(CancelReason::Amount);
        }
        self.check_purpose(&terms, &request.proof)?;
        self.state.payments.check_return(incoming, request, &self.state.accounts, &self.context)?;
        let patience_ms = request
            .patience_ms
            .checked_sub(self.context.environment.timing.patience_step_ms)
            .filter(|patience| *patience > 0)
            .ok_or(CancelReason::Timeout)?;
        let inbound_part = InboundPart {
            payment_id: request.payment_id,
            invoice_id: request.invoice_id,
            amount: request.amount,
            total: request.total,
            patience_ms,
        };
        let part_set = inbound_part.part_set_key(currency);
        let is_full = |set: &PartSet| set.parts.len() >= 2 * PARTS_MAX;
        if self.state.receiving.part_sets.get(&part_set).is_some_and(is_full) {
            return Err(CancelReason::Busy);
        }
        let signer = &*self.context.environment.signer;
        let lock = preimage(signer, &terms).lock();
        let nonce = Nonce::from_bytes(self.context.environment.random.array());
        let response = Verified::sign(Response { terms, nonce, lock }, &*self.context.environment.signer);
        let answer = Answer { id: request.id, lock, nonce, signature: response.signature() };
        let account = self.state.accounts.touch(&incoming.account).expect("the request came over this account");
        account.respond(answer).expect("the request has just come");
        self.state.receiving.add_to_part_set(incoming, &inbound_part, &mut self.context);
        self.state.receiving.inbound_parts.insert(incoming.clone(), inbound_part);
        Ok(())
    }

    pub(crate) fn part_set_timed_out(&mut self, key: &PartSetKey) {
        let parts: Vec<_> = self
            .state
            .receiving
            .part_sets
            .get(key)
            .map(|part_set| part_set.parts.iter().cloned().collect())
            .unwrap_or_default();
        let account_ids: Vec<_> = parts.iter().map(|incoming| &incoming.account).collect();
        if self.is_patient(Timer::PartSet(key.clone()), &account_ids) {
            return;
        }
        for incoming in parts {
            self.state.receiving.remove_inbound_part(&incoming, &mut self.context);
            self.state.accounts.cancel_incoming(&incoming, CancelReason::Timeout, self.context.local);
        }
    }
}
