//! After a start: what the last run left is taken up, and whatever was not committed is given up.

use crate::funder::Batch;
use crate::payments::Payments;
use crate::payments::record::Progress;
use crate::timers::Timer;
use offst_ledger::{AccountId, Direction};
use offst_proto::payment::CancelReason;

/// Of a payment before the commit, in a database that was put back.
const NOT_KNOWN: &str = "the database was put back from a copy, and whether this payment was made after that is not known: ask \
                         the seller before you pay again";

impl Batch<'_> {
    /// Handles [`crate::Input::Start`].
    pub(crate) fn start(&mut self) {
        self.resume_recovery();
        self.resume_forwards();
        self.state.forwarding.resume_write_offs(&mut self.context);
        self.resume_payments();
        self.state.receiving.resume_inbound_parts(&mut self.context);
        self.state.receiving.resume_invoices(&mut self.context);
        self.give_up_orphans();
        self.state.payments.plan_clearing(&mut self.context);
        self.emit_relays();
        self.emit_index_servers();
        let friends: Vec<_> = self.state.accounts.friends().keys().copied().collect();
        for key in friends {
            self.state.accounts.emit_contact(key, &mut self.context);
            self.state.accounts.wait_for(key, &mut self.context);
            self.state.accounts.touch_friend(key);
        }
    }

    /// Outgoing requests that a signed `Commit` binds wait for the friend; for the others a timer runs again.
    fn resume_forwards(&mut self) {
        let forwards: Vec<_> =
            self.state.forwarding.forwards().iter().map(|(key, forward)| (key.clone(), forward.clone())).collect();
        for (incoming, forward) in forwards {
            let outgoing = incoming.at(forward.to);
            let has_response =
                self.state.accounts.incoming_at(&incoming).is_some_and(|pending| pending.stage.lock().is_some());
            self.state.forwarding.resume(&incoming, has_response, &self.context);
            if self.state.accounts.is_bound(&outgoing) {
                self.commit_was_signed(&outgoing);
                continue;
            }
            self.state.accounts.record_unsigned_commit(&outgoing);
            self.state.forwarding.wait_for_commit(&incoming, &mut self.context);
        }
    }

    fn resume_payments(&mut self) {
        let now = self.context.now.uptime_ms;
        let payments: Vec<_> = self.state.payments.all().values().cloned().collect();
        for payment in payments {
            if payment.progress == Progress::Searching {
                let reason = match &*payment.reason {
                    _ if self.is_recovering() => NOT_KNOWN,
                    "" => "the node was restarted before the payment was committed",
                    known => known,
                };
                self.state.payments.fail_at_start(payment.id, reason, &self.context);
                continue;
            }
            self.state.payments.resume(&payment, &mut self.context);
            if self.is_recovering() {
                self.state.payments.stop_searching(payment.id);
            }
            for (request, part) in &payment.parts {
                if part.preimage.is_some() {
                    continue;
                }
                let outgoing = Payments::outgoing(&payment, *request, part);
                self.state.payments.pay_by(outgoing.clone(), payment.id);
                if self.state.accounts.is_bound(&outgoing) {
                    self.commit_was_signed(&outgoing);
                } else {
                    self.state.accounts.record_unsigned_commit(&outgoing);
                    self.context.timers.set(Timer::Part(outgoing), now + self.context.environment.timing.patience_ms);
                }
            }
        }
    }

    /// Requests on the accounts that nothing above accounts for: parts of payments that were not committed.
    fn give_up_orphans(&mut self) {
        let mut orphans = Vec::new();
        let mut continuing = Vec::new();
        let is_recovering = self.is_recovering();
        for (key, friend) in self.state.accounts.friends() {
            for (currency, account) in &friend.accounts {
                let account_id = AccountId::new(*key, currency);
                if account.is_recovering() {
                    continue;
                }
                for (direction, id, pending) in account.epoch().into_iter().flat_map(|epoch| epoch.pendings()) {
                    let hop = account_id.request(id);
                    if is_recovering && direction == Direction::Incoming && pending.stage.is_committed() {
                        continuing.push(hop);
                        continue;
                    }
                    let is_known = match direction {
                        Direction::Outgoing => self.state.origin(&hop).is_some(),
                        // What is committed and unknown has come back with a lost state: it may be carried on.
                        Direction::Incoming => {
                            pending.stage.is_committed()
                                || self.state.forwarding.forwards().contains_key(&hop)
                                || self.state.receiving.inbound_parts().contains_key(&hop)
                        }
                    };
                    if !is_known {
                        orphans.push((direction, hop));
                    }
                }
            }
        }
        self.state.recovery.add_unresolved(continuing);
        for (direction, hop) in orphans {
            match direction {
                Direction::Outgoing => self.state.accounts.abort_outgoing(&hop),
                Direction::Incoming => {
                    self.state.accounts.cancel_incoming(&hop, CancelReason::Aborted, self.context.local)
                }
            }
        }
    }
}
