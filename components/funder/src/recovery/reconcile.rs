//! Requests that continue in the new epochs find each other again (protocol section 1).
//!
//! | a friend's committed request | what follows |
//! |---|---|
//! | its lock opens with a preimage of ours | it was for us: collected |
//! | the same id under the same lock goes on, committed, to another friend, and the amounts fit (obligations.rs) | it is carried on again |
//! | it was carried on to a friend we remember, and is not pending there | that friend is asked how it ended |
//! | it was written off, and is pending where it went | it is cancelled once more |
//! | nothing is known of it | our own history is read, and all other friends are asked |
//!
//! The preimage makes it collected, no matter who shows it. It is cancelled only when the friend it went to, or after
//! all accounts are back every other friend, knows nothing of it; and not while a friend's backup names an account that
//! nobody has shown. A lie costs what silence costs: a friend that collected a request from us and hides it has been
//! paid, and keeps from us what the one before us would have paid.
//!
//! Everything is worked out anew from the accounts each time, so nothing of this has to survive a crash.

use crate::archive::Inquiry;
use crate::forwarding::record::Forward;
use crate::funder::Batch;
use crate::io::Output;
use crate::payments::Payments;
use crate::payments::record::Progress;
use crate::timers::Timer;
use offst_crypto::{Preimage, PublicKey};
use offst_ledger::{AccountId, Pending, RequestRef};
use offst_proto::Amount;
use offst_proto::limits::RESOLVE_MAX;
use offst_proto::payment::{CancelReason, preimage_of};
use offst_proto::report::ForwardReport;
use offst_proto::resolve::{End, resolve_frame};
use offst_proto::{PaymentId, RequestId};
use std::collections::{BTreeMap, BTreeSet};

/// Of a committed payment whose part is gone.
const NOT_COLLECTED: &str = "the node had lost a part of its state, and the friend that a part went to has not collected it: ask \
                             the seller before you pay again";

/// What is to be asked of whom.
#[derive(Default)]
struct Wanted {
    of_friends: BTreeMap<PublicKey, BTreeSet<RequestId>>,
    of_ourselves: BTreeSet<RequestId>,
    /// Something waits for an account, or for an answer.
    is_open: bool,
}

impl Wanted {
    fn ask(&mut self, friend: PublicKey, id: RequestId) {
        self.of_friends.entry(friend).or_default().insert(id);
        self.is_open = true;
    }
}

impl Batch<'_> {
    /// Ties requests together again. Says whether nothing is open any more.
    pub(crate) fn reconcile(&mut self) -> bool {
        let mut wanted = Wanted::default();
        self.drop_ended_rows(&mut wanted);
        self.state.forwarding.drop_ended_write_offs(None, &mut self.state.accounts, &mut self.context);
        self.reconcile_incoming(&mut wanted);
        self.resolve_payments(&mut wanted);
        let is_settled = !wanted.is_open;
        self.ask(wanted);
        is_settled
    }

    /// Rows of requests that did not come back with their accounts.
    fn drop_ended_rows(&mut self, wanted: &mut Wanted) {
        let inbound_parts: Vec<_> = self.state.receiving.inbound_parts().keys().cloned().collect();
        for incoming in inbound_parts {
            if self.state.accounts.is_distrusted(&incoming.account) {
                wanted.is_open = true;
            } else if self
                .state
                .receiving
                .pending_inbound_part(&incoming, &self.state.accounts, &self.context)
                .is_none()
            {
                self.state.receiving.remove_inbound_part(&incoming, &mut self.context);
            }
        }
        let forwards: Vec<_> =
            self.state.forwarding.forwards().iter().map(|(key, forward)| (key.clone(), forward.clone())).collect();
        for (incoming, forward) in forwards {
            let outgoing = incoming.at(forward.to);
            if self.state.accounts.is_distrusted(&incoming.account)
                || self.state.accounts.is_distrusted(&outgoing.account)
            {
                wanted.is_open = true;
                continue;
            }
            let is_gone = self.state.accounts.outgoing_at(&outgoing).is_none();
            match self.state.accounts.incoming_at(&incoming).map(|pending| pending.stage.is_committed()) {
                None => self.forget_incoming(&incoming),
                // It was never committed to us, so nobody can collect it from us.
                Some(false) if is_gone => self.give_up_forward(&incoming, CancelReason::AccountStopped),
                Some(true) if is_gone => self.inherit(incoming),
                // What we remember is another request with this id, which has ended since. Both halves are weighed
                // anew.
                Some(true) if !self.state.accounts.is_covered(&incoming, &forward) => {
                    self.state.forwarding.remove_forward(&incoming, &mut self.context);
                    self.state.accounts.abort_outgoing(&outgoing);
                    self.inherit(incoming);
                }
                Some(_) => {}
            }
        }
    }

    /// A friend's request whose other half is looked for.
    fn inherit(&mut self, incoming: RequestRef) {
        self.state.recovery.current_mut().expect("only in a recovery").unresolved_inbound.insert(incoming);
    }

    fn reconcile_incoming(&mut self, wanted: &mut Wanted) {
        let unresolved_inbound = &self.state.recovery.current().expect("only in a recovery").unresolved_inbound;
        for incoming in unresolved_inbound.clone() {
            let is_done = match self.state.accounts.incoming_at(&incoming) {
                _ if self.state.accounts.is_distrusted(&incoming.account) => false,
                Some(pending) if pending.stage.is_committed() => self.reconcile_one(&incoming, pending, wanted),
                // It has ended, or it is no business of a recovery.
                Some(_) | None => true,
            };
            if is_done {
                let recovery = self.state.recovery.current_mut().expect("only in a recovery");
                recovery.unresolved_inbound.remove(&incoming);
                recovery.questions.unknown.remove(&incoming.id);
            } else {
                wanted.is_open = true;
            }
        }
    }

    /// Says whether it is known now how the request goes on.
    fn reconcile_one(&mut self, incoming: &RequestRef, pending: Pending, wanted: &mut Wanted) -> bool {
        let Some(lock) = pending.stage.lock() else { return true };
        let preimage = preimage_of(&*self.context.environment.signer, &pending.terms);
        if preimage.lock() == lock {
            return self.collect_our_own(incoming, pending.held, preimage);
        }
        if let Some(outgoing) = self.state.forwarding.written_off_from(incoming, lock) {
            return self.release_again(incoming, &outgoing);
        }
        let forward = self.state.forwarding.forwards().get(incoming).cloned();
        if let Some(forward) = forward {
            let (to, outgoing) = (forward.to, incoming.at(forward.to));
            match self.state.accounts.outgoing_at(&outgoing) {
                _ if self.state.accounts.is_distrusted(&outgoing.account) => return false,
                Some(_) if self.state.accounts.is_covered(incoming, &forward) => {
                    self.commit_was_signed(&outgoing);
                    return true;
                }
                Some(_) => return false,
                None if self.state.accounts.account(&outgoing.account).is_none() => {
                    self.forget_incoming(incoming);
                    return false;
                }
                None => return self.ask_downstream(incoming, to, wanted),
            }
        }
        if let Some(to) = self.other_half(incoming, lock) {
            self.carry_on_again(incoming, to, pending.held);
            return true;
        }
        self.ask_everybody(incoming, wanted)
    }

    /// A part of a payment to us: parts that we know are collected together, others one by one. Their buyer has
    /// committed all of them.
    fn collect_our_own(&mut self, incoming: &RequestRef, amount: Amount, preimage: Preimage) -> bool {
        let Some(inbound_part) = self.state.receiving.inbound_parts().get(incoming).cloned() else {
            let account = self.state.accounts.touch(&incoming.account).expect("the request is pending there");
            if account.collect(incoming.id, preimage).is_ok() {
                self.state.receiving.record_received(incoming, preimage, amount, None, &mut self.context);
            }
            return true;
        };
        let part_set = inbound_part.part_set_key(&incoming.account.currency);
        self.state.receiving.inbound_committed(incoming, &mut self.state.accounts, &mut self.context);
        if !self.state.receiving.inbound_parts().contains_key(incoming) {
            return true;
        }
        // Other parts may come back with their accounts, and then all are collected at once.
        if !self.state.accounts.all_accounts_are_back() {
            return false;
        }
        self.state.receiving.remove_inbound_part(incoming, &mut self.context);
        let account = self.state.accounts.touch(&incoming.account).expect("the request is pending there");
        if account.collect(incoming.id, preimage).is_ok() {
            self.state.receiving.record_received(
                incoming,
                preimage,
                amount,
                Some((part_set.payment_id, part_set.invoice_id)),
                &mut self.context,
            );
        }
        true
    }

    /// A request that was written off stays so: our `Cancel` was forgotten when this node became suspect, and the
    /// owner's order was not. Where the friend that it went to has ended it meanwhile, nothing is left of the order.
    fn release_again(&mut self, incoming: &RequestRef, outgoing: &RequestRef) -> bool {
        if self.state.accounts.is_distrusted(&outgoing.account) {
            return false;
        }
        self.state.accounts.cancel_incoming(incoming, CancelReason::Overdue, self.context.local);
        true
    }

    fn carry_on_again(&mut self, incoming: &RequestRef, to: PublicKey, amount: Amount) {
        let outgoing = incoming.at(to);
        let onward = self.state.accounts.outgoing_at(&outgoing).expect("it was just found");
        let now = self.context.now.uptime_ms;
        let patience_ms = self.context.environment.timing.patience_ms;
        let fee = amount.checked_sub(onward.held).expect("no other half is larger");
        let mut forward = Forward::new(to, onward.held, fee, patience_ms, now);
        forward.responded_ms = Some(now);
        self.state.forwarding.reclaim(incoming, forward);
        self.commit_was_signed(&outgoing);
    }

    /// The friend it went to is asked; when that knows nothing of it, it is cancelled.
    fn ask_downstream(&mut self, incoming: &RequestRef, to: PublicKey, wanted: &mut Wanted) -> bool {
        if self.look_up_own(incoming.id, wanted) {
            return false;
        }
        let questions = self.state.recovery.questions();
        if !questions.knows_nothing(to, incoming.id) {
            wanted.ask(to, incoming.id);
            return false;
        }
        self.forget_incoming(incoming);
        self.state.accounts.cancel_incoming(incoming, CancelReason::AccountStopped, self.context.local);
        true
    }

    /// All others are asked; when all accounts are back, nobody knows of it, and no backup names anybody else, it is
    /// cancelled.
    /// (R7.18.)
    fn ask_everybody(&mut self, incoming: &RequestRef, wanted: &mut Wanted) -> bool {
        if self.look_up_own(incoming.id, wanted) {
            return false;
        }
        let questions = self.state.recovery.questions();
        let others = self.state.accounts.friends().iter().filter(|(key, friend)| {
            **key != incoming.account.friend && friend.accounts.contains_key(&incoming.account.currency)
        });
        let mut knows_nobody = true;
        for (key, _) in others {
            if !questions.knows_nothing(*key, incoming.id) {
                wanted.ask(*key, incoming.id);
                knows_nobody = false;
            }
        }
        // Somebody whom the owner has not named again may have collected it already, or may do so later.
        if !knows_nobody || !self.state.accounts.all_accounts_are_back() || !self.knows_whom_to_ask() {
            return false;
        }
        log::warn!("no friend knows of the request {}, which continues: it is cancelled", incoming.id);
        self.state.accounts.cancel_incoming(incoming, CancelReason::AccountStopped, self.context.local);
        true
    }

    /// Our own history comes first. Says whether its answer is still awaited.
    fn look_up_own(&self, id: RequestId, wanted: &mut Wanted) -> bool {
        let questions = self.state.recovery.questions();
        if questions.looked_through.contains(&id) {
            return false;
        }
        wanted.of_ourselves.insert(id);
        wanted.is_open = true;
        true
    }

    /// Parts of our payments that are not pending any more: the friend they went to is asked.
    fn resolve_payments(&mut self, wanted: &mut Wanted) {
        let committed = self.state.payments.all().values().filter(|payment| payment.progress == Progress::Committed);
        let parts: Vec<(PaymentId, RequestRef)> = committed
            .flat_map(|payment| {
                let waiting = payment.parts.iter().filter(|(_, part)| part.preimage.is_none());
                waiting.map(|(id, part)| (payment.id, Payments::outgoing(payment, *id, part)))
            })
            .collect();
        for (payment, outgoing) in parts {
            if self.state.accounts.is_distrusted(&outgoing.account) {
                wanted.is_open = true;
                continue;
            }
            let is_pending = self.state.accounts.outgoing_at(&outgoing).is_some();
            let to = outgoing.account.friend;
            if is_pending || self.state.origin(&outgoing).is_none() {
                continue;
            }
            let questions = self.state.recovery.questions();
            let is_answered =
                questions.knows_nothing(to, outgoing.id) || self.state.accounts.account(&outgoing.account).is_none();
            if !is_answered {
                wanted.ask(to, outgoing.id);
                continue;
            }
            let local = self.context.local;
            self.cancelled(&outgoing, CancelReason::AccountStopped, local);
            self.state.payments.explain(payment, NOT_COLLECTED);
        }
    }

    /// Sends what is not under way yet.
    fn ask(&mut self, wanted: Wanted) {
        let recovery = self.state.recovery.current_mut().expect("only in a recovery");
        let questions = &mut recovery.questions;
        let new: BTreeSet<_> = wanted.of_ourselves.difference(&questions.looked_up).copied().collect();
        if !new.is_empty() {
            questions.looked_up.extend(&new);
            self.context.outputs.push(Output::LookUp(self.context.local, 0, Inquiry::Own { ids: new }));
        }
        for (key, ids) in wanted.of_friends {
            let connection = self.state.accounts.friend(&key).and_then(|friend| friend.connection);
            let Some(connection) = connection else { continue };
            // One question at a time: the next goes out with the answer.
            if questions.asked.get(&key).is_some_and(|asked| !asked.is_empty()) {
                continue;
            }
            let new = ids.into_iter().filter(|id| !questions.later.contains(&(key, *id)));
            let new: Vec<_> = new.take(RESOLVE_MAX).collect();
            if !new.is_empty() {
                self.context.outputs.push(Output::Send(key, connection, resolve_frame(&new)));
                questions.asked.insert(key, new.into_iter().collect());
            }
        }
    }

    /// A friend says how requests ended. What it says nothing of counts as pending, so that an empty answer is not the
    /// same question at once.
    pub(crate) fn resolved(&mut self, key: PublicKey, ends: &[(RequestId, End)]) {
        let Some(recovery) = self.state.recovery.current_mut() else { return };
        recovery.is_dirty = true;
        let asked = recovery.questions.asked.remove(&key).unwrap_or_default();
        for (id, end) in ends.iter().filter(|(id, _)| asked.contains(id)) {
            let is_collected = match end {
                End::Collected(preimage) => self.was_collected(key, *id, *preimage),
                End::Pending | End::Unknown => false,
            };
            let Some(recovery) = self.state.recovery.current_mut() else { return };
            match end {
                _ if is_collected => {}
                End::Pending => {
                    recovery.questions.later.insert((key, *id));
                }
                // A preimage that opens nothing is no answer but a lie.
                End::Unknown | End::Collected(_) => {
                    recovery.questions.unknown.entry(*id).or_default().insert(key);
                }
            }
        }
        let answered: BTreeSet<_> = ends.iter().map(|(id, _)| *id).collect();
        if let Some(recovery) = self.state.recovery.current_mut() {
            let left_out = asked.difference(&answered).map(|id| (key, *id));
            recovery.questions.later.extend(left_out);
        }
    }

    /// Our own history knows preimages.
    pub(crate) fn found_own(&mut self, ids: &BTreeSet<RequestId>, preimages: &BTreeMap<RequestId, Preimage>) {
        let local = self.context.local;
        for (id, preimage) in preimages {
            self.was_collected(local, *id, *preimage);
        }
        if let Some(recovery) = self.state.recovery.current_mut() {
            recovery.questions.looked_through.extend(ids);
            recovery.is_dirty = true;
        }
    }

    /// `by` has collected a request and shows the preimage. Says whether that opens anything.
    pub(crate) fn was_collected(&mut self, by: PublicKey, id: RequestId, preimage: Preimage) -> bool {
        let mut is_of_use = self.part_was_collected(by, id, preimage);
        let Some(recovery) = self.state.recovery.current() else { return is_of_use };
        let unresolved_inbound: Vec<_> =
            recovery.unresolved_inbound.iter().filter(|incoming| incoming.id == id).cloned().collect();
        for incoming in unresolved_inbound {
            let Some(pending) = self.state.accounts.incoming_at(&incoming) else { continue };
            let account = self.state.accounts.touch(&incoming.account).expect("the request is pending there");
            if account.collect(id, preimage).is_err() {
                continue;
            }
            is_of_use = true;
            // What we have noted ourselves is in the history already.
            let is_known = by == self.context.local;
            self.record_carried_on(&incoming, pending.held, (!is_known).then_some(by), preimage);
        }
        is_of_use
    }

    fn record_carried_on(&mut self, incoming: &RequestRef, amount: Amount, to: Option<PublicKey>, preimage: Preimage) {
        let forward = self.state.forwarding.forwards().get(incoming).cloned();
        self.forget_incoming(incoming);
        let Some(to) = to else { return };
        // What went on is not remembered any more: it was what our rate leaves.
        let rate = self.state.accounts.rate_of(&incoming.account);
        let onward = forward.map_or(rate.forwarded(amount).unwrap_or(amount), |forward| forward.held);
        let report = ForwardReport {
            request_id: incoming.id,
            from: Some(incoming.account.friend),
            to,
            currency: incoming.account.currency.clone(),
            amount: onward,
            fee: amount.saturating_sub(onward),
            time_ms: self.context.now.unix_ms,
        };
        self.context.record_forwarded(report, preimage);
    }

    /// A part of a payment of ours that was collected by the friend it went to.
    fn part_was_collected(&mut self, by: PublicKey, id: RequestId, preimage: Preimage) -> bool {
        let part = self.state.payments.all().values().find_map(|payment| {
            let part = payment.parts.get(&id).filter(|part| part.path[0] == by && part.preimage.is_none())?;
            let opens = part.promise.is_some_and(|promise| promise.lock == preimage.lock());
            opens.then(|| Payments::outgoing(payment, id, part))
        });
        let Some(outgoing) = part.filter(|outgoing| self.state.accounts.outgoing_at(outgoing).is_none()) else {
            return false;
        };
        self.collected(&outgoing, preimage);
        true
    }

    /// While an account waits for its evidence, no patience ends: what was committed may not be remembered.
    pub(crate) fn is_patient(&mut self, timer: Timer, account_ids: &[&AccountId]) -> bool {
        let waits =
            self.is_recovering() && account_ids.iter().any(|account_id| self.state.accounts.is_distrusted(account_id));
        if waits {
            let deadline = self.context.now.uptime_ms + self.context.environment.timing.recovery_ms;
            self.context.timers.set(timer, deadline);
        }
        waits
    }
}
