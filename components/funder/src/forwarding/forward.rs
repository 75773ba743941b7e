//! Carrying other people's requests on (protocol section 2).
//!
//! | from upstream | what we do | from downstream | what we do |
//! |---|---|---|---|
//! | `Request` | `Request` downstream, or `Cancel` | `Response` | `Response` upstream |
//! | `Commit` | `Commit` downstream | `Collect` | `Collect` upstream |
//! | `Abort` | `Abort` downstream, `Cancel` upstream | `Cancel` | `Cancel` upstream |
//!
//! One timer runs for each request from when it comes in until its `Commit` downstream is signed. When it ends: `Abort`
//! downstream, `Cancel` upstream. The same follows a few seconds after the downstream's connection has gone. So nothing
//! stays held that is not committed, and no clock moves money.

use crate::accounts::Accounts;
use crate::accounts::requests::cancel_reason;
use crate::context::Context;
use crate::forwarding::Forwarding;
use crate::forwarding::record::Forward;
use crate::funder::Batch;
use crate::origin::Origin;
use crate::timers::Timer;
use offst_crypto::{Preimage, PublicKey};
use offst_ledger::{AccountId, RequestRef, Stage};
use offst_proto::Amount;
use offst_proto::Rate;
use offst_proto::limits::HOPS_MAX;
use offst_proto::payment::CancelReason;
use offst_proto::report::ForwardReport;
use offst_proto::statement::{Answer, Request};

impl Forwarding {
    fn forward(
        &mut self,
        incoming: &RequestRef,
        mut request: Request,
        next: PublicKey,
        accounts: &mut Accounts,
        context: &mut Context<'_>,
    ) -> Result<(), CancelReason> {
        let from = &incoming.account;
        if request.amount == 0 || request.path.len() >= HOPS_MAX {
            return Err(CancelReason::Bound);
        }
        if next == from.friend {
            return Err(CancelReason::Loop);
        }
        let patience_ms = request
            .patience_ms
            .checked_sub(context.environment.timing.patience_step_ms)
            .filter(|patience| *patience > 0)
            .ok_or(CancelReason::Timeout)?
            .min(context.environment.timing.patience_max_ms);
        let outgoing = incoming.at(next);
        let asked = request.held();
        let is_waived = request.clearing && accounts.is_waived(from, &outgoing.account, asked, context);
        let rate = if is_waived { Rate { mul: 0, add: Amount::ZERO } } else { accounts.rate_of(from) };
        let held = rate.forwarded(asked).ok_or(CancelReason::Fee)?;
        let fees_left = held.checked_sub(request.amount).ok_or(CancelReason::Fee)?;
        let room = accounts.account_room(&outgoing.account)?;
        let pair = Self::pair(incoming, next);
        self.check_share(&pair, held.credits(), room, context)?;
        let terms = request.terms(context.local, &from.currency).hash();
        request.path.remove(0);
        (request.fees_left, request.patience_ms) = (fees_left, patience_ms);
        let account = accounts.touch(&outgoing.account).expect("its room was measured");
        account.request(request, terms).map_err(cancel_reason)?;
        self.add_load(pair, held.credits());
        self.carry_for(outgoing, from.friend);
        let forward = Forward::new(next, held, asked.saturating_sub(held), patience_ms, context.now.uptime_ms);
        self.forwards.insert(incoming.clone(), forward);
        self.wait_for_commit(incoming, context);
        Ok(())
    }

    /// Looks at a request that we carry on when its wait begins to count, again and again while it lasts, and when its
    /// patience ends.
    pub(crate) fn wait_for_commit(&self, incoming: &RequestRef, context: &mut Context<'_>) {
        let Some(forward) = self.forwards.get(incoming) else { return };
        let look_ms = context.now.uptime_ms.saturating_add(context.environment.timing.hold_ms);
        let deadline = look_ms.min(forward.arrived_ms + forward.patience_ms);
        context.timers.set(Timer::Forward(incoming.clone()), deadline);
    }

    pub(crate) fn remove_forward(&mut self, incoming: &RequestRef, context: &mut Context<'_>) -> Option<Forward> {
        let forward = self.forwards.remove(incoming)?;
        context.timers.clear(&Timer::Forward(incoming.clone()));
        self.remove_load(&Self::pair(incoming, forward.to), forward.held.credits());
        self.release_upstream_of(&incoming.at(forward.to));
        Some(forward)
    }
}

impl Batch<'_> {
    /// A friend asks us to carry a request on, or to receive it.
    pub(crate) fn requested(&mut self, from: &AccountId, request: Request, refusal: Option<CancelReason>) {
        let incoming = from.request(request.id);
        if self.state.accounts.incoming_at(&incoming).is_none_or(|pending| pending.stage != Stage::Requested) {
            // It was given up in the very statement that made it; the `Abort` is answered when its turn comes.
            return;
        }
        if self.state.accounts.friend(&from.friend).is_none_or(|friend| !friend.is_enabled()) {
            return self.state.accounts.cancel_incoming(&incoming, CancelReason::Closed, from.friend);
        }
        if let Some(reason) = refusal {
            // It is the friend's account with us that does not carry it.
            return self.state.accounts.cancel_incoming(&incoming, reason, from.friend);
        }
        let taken = match request.path.first().copied() {
            None => self.arrived(&incoming, &request),
            Some(next) => {
                self.state.forwarding.forward(&incoming, request, next, &mut self.state.accounts, &mut self.context)
            }
        };
        if let Err(reason) = taken {
            self.state.accounts.cancel_incoming(&incoming, reason, self.context.local);
        }
    }

    /// A destination's answer comes up.
    pub(crate) fn responded(&mut self, outgoing: &RequestRef, answer: Answer) {
        match self.state.origin(outgoing) {
            Some(Origin::Payment(id)) => {
                self.state.payments.part_responded(id, outgoing, answer, &mut self.state.accounts, &mut self.context)
            }
            Some(Origin::Forward(from)) => {
                let incoming = outgoing.at(from);
                let now = self.context.now.uptime_ms;
                if let Some(forward) = self.state.forwarding.forwards.draft(&incoming) {
                    forward.responded_ms = Some(now);
                }
                let account = self.state.accounts.touch(&incoming.account).expect("a forward's accounts exist");
                if account.respond(answer).is_err() {
                    // The account has stopped in this very batch; what is uncommitted on it is given up there.
                    log::debug!("a response for {} came too late", answer.id);
                }
            }
            None => {}
        }
    }

    /// The upstream promises to pay.
    pub(crate) fn committed(&mut self, incoming: &RequestRef) {
        if self.state.recovery.is_unresolved(incoming) {
            // It continues from an epoch of which a part was lost: see reconcile.rs.
            return;
        }
        if self.state.receiving.inbound_parts().contains_key(incoming) {
            return self.state.receiving.inbound_committed(incoming, &mut self.state.accounts, &mut self.context);
        }
        let Some(forward) = self.state.forwarding.forwards.get(incoming) else {
            return self.state.accounts.cancel_incoming(incoming, CancelReason::Aborted, self.context.local);
        };
        if !self.state.accounts.is_covered(incoming, forward) {
            // Nobody would pay us what we would promise here.
            return self.give_up_forward(incoming, CancelReason::Amount);
        }
        let outgoing = incoming.at(forward.to);
        match self.state.accounts.commit_outgoing(outgoing) {
            Ok(()) => self.state.forwarding.forgive_hold(incoming),
            // The downstream account has stopped: we are not bound, so the upstream gets its credits back.
            Err(_) => self.give_up_forward(incoming, CancelReason::AccountStopped),
        }
    }

    /// The upstream gave up what it had not committed.
    pub(crate) fn aborted(&mut self, incoming: &RequestRef) {
        self.state.forwarding.count_hold(incoming, &self.state.accounts, &self.context);
        self.forget_incoming(incoming);
        self.state.accounts.cancel_incoming(incoming, CancelReason::Aborted, self.context.local);
    }

    /// The downstream took its credits: ours come from upstream for the same preimage.
    pub(crate) fn collected(&mut self, outgoing: &RequestRef, preimage: Preimage) {
        self.state.accounts.settle_overdue(outgoing, &mut self.context);
        match self.state.take_origin(outgoing) {
            Some(Origin::Payment(id)) => {
                self.state.payments.part_collected(id, outgoing, preimage, &mut self.state.accounts, &mut self.context)
            }
            Some(Origin::Forward(from)) => {
                let incoming = outgoing.at(from);
                let forward =
                    self.state.forwarding.remove_forward(&incoming, &mut self.context).expect("its origin names it");
                let account = self.state.accounts.touch(&incoming.account).expect("a forward's accounts exist");
                if account.collect(incoming.id, preimage).is_err() {
                    // We commit only what the upstream has committed, under the same lock; but an owner may have
                    // accepted a friend's terms that say otherwise.
                    log::error!(
                        "{} was collected under other terms than its buyer's: these credits are lost",
                        incoming.id
                    );
                    return self.state.accounts.cancel_incoming(&incoming, CancelReason::Aborted, self.context.local);
                }
                let report = ForwardReport {
                    request_id: incoming.id,
                    from: Some(from),
                    to: forward.to,
                    currency: incoming.account.currency.clone(),
                    amount: forward.held,
                    fee: forward.fee,
                    time_ms: self.context.now.unix_ms,
                };
                self.context.record_forwarded(report, preimage);
            }
            None if self.state.forwarding.write_off_collected(
                outgoing,
                preimage,
                &mut self.state.accounts,
                &mut self.context,
            ) => {}
            // It was not tied together yet: the one that has committed it under this lock pays.
            None if self.was_collected(outgoing.account.friend, outgoing.id, preimage) => {}
            None => log::warn!(
                "a friend collected {}, which has ended here already: it was paid, or the account was opened anew without it and \
                 these credits are lost",
                outgoing.id
            ),
        }
    }

    /// The downstream released its credits: so do we.
    pub(crate) fn cancelled(&mut self, outgoing: &RequestRef, reason: CancelReason, hop: PublicKey) {
        self.state.accounts.settle_overdue(outgoing, &mut self.context);
        self.state.accounts.forget_unsigned_commit(outgoing);
        match self.state.origin(outgoing) {
            Some(Origin::Payment(id)) => {
                self.state.payments.release_payment_of(outgoing);
                self.context.timers.clear(&Timer::Part(outgoing.clone()));
                self.state.payments.part_cancelled(
                    id,
                    outgoing,
                    reason,
                    hop,
                    &mut self.state.accounts,
                    &mut self.context,
                );
            }
            Some(Origin::Forward(from)) => {
                let incoming = outgoing.at(from);
                self.state.forwarding.count_hold(&incoming, &self.state.accounts, &self.context);
                self.state.forwarding.remove_forward(&incoming, &mut self.context);
                self.state.accounts.cancel_incoming(&incoming, reason, hop);
            }
            // We had given it up or written it off before; this is the friend's last word on it.
            None => drop(self.state.forwarding.forget_write_off(outgoing)),
        }
    }

    pub(crate) fn forward_timed_out(&mut self, incoming: &RequestRef) {
        let Some(forward) = self.state.forwarding.forwards.get(incoming) else { return };
        if self.context.now.uptime_ms < forward.arrived_ms + forward.patience_ms {
            self.state.forwarding.count_hold(incoming, &self.state.accounts, &self.context);
            return self.state.forwarding.wait_for_commit(incoming, &mut self.context);
        }
        let outgoing = incoming.at(forward.to);
        if self.is_patient(Timer::Forward(incoming.clone()), &[&incoming.account, &outgoing.account]) {
            return;
        }
        self.state.forwarding.count_hold(incoming, &self.state.accounts, &self.context);
        self.give_up_forward(incoming, CancelReason::Timeout);
    }

    /// Whether a committed request of a friend's is one that we know, under the lock and for the amount that we know.
    pub(crate) fn is_collectable(&self, incoming: &RequestRef) -> bool {
        if self.state.receiving.inbound_parts().contains_key(incoming) {
            return self.state.receiving.pending_inbound_part(incoming, &self.state.accounts, &self.context).is_some();
        }
        self.state
            .forwarding
            .forwards
            .get(incoming)
            .is_some_and(|forward| self.state.accounts.is_covered(incoming, forward))
    }

    /// Ends a request that no signed `Commit` binds, on both sides.
    pub(crate) fn give_up_forward(&mut self, incoming: &RequestRef, reason: CancelReason) {
        self.forget_incoming(incoming);
        self.state.accounts.cancel_incoming(incoming, reason, self.context.local);
    }

    /// The incoming side is over or will never be paid: the outgoing side is aborted if it still can be.
    pub(crate) fn forget_incoming(&mut self, incoming: &RequestRef) {
        self.state.receiving.remove_inbound_part(incoming, &mut self.context);
        let Some(forward) = self.state.forwarding.remove_forward(incoming, &mut self.context) else { return };
        let outgoing = incoming.at(forward.to);
        self.state.accounts.forget_unsigned_commit(&outgoing);
        self.state.accounts.abort_outgoing(&outgoing);
    }

    /// Ends one of our outgoing requests that no signed `Commit` binds, and tells the one it came from.
    pub(crate) fn give_up_outgoing(&mut self, outgoing: &RequestRef, reason: CancelReason) {
        self.state.accounts.abort_outgoing(outgoing);
        let local = self.context.local;
        self.cancelled(outgoing, reason, local);
    }
}
