//! After a start: what the last run left is taken up, and whatever was not committed is given up.

use crate::funder::Batch;
use crate::payments::search::Search;
use crate::records::Progress;
use crate::timers::Timer;
use offst_ledger::{AccountId, Direction, RequestRef};
use offst_proto::payment::CancelReason;

/// Of a payment before the commit, in a database that was put back.
const NOT_KNOWN: &str = "the database was put back from a copy, and whether this payment was made after that is not known: ask \
                         the seller before you pay again";

impl Batch<'_> {
    /// Handles [`crate::Input::Start`].
    pub(crate) fn start(&mut self) {
        self.take_up_recovery();
        self.take_up_forwards();
        self.take_up_write_offs();
        self.take_up_payments();
        self.take_up_arrivals();
        self.take_up_invoices();
        self.give_up_orphans();
        self.plan_clearing();
        self.give_out_relays();
        self.give_out_index_servers();
        let friends: Vec<_> = self.state.accounts.friends.keys().copied().collect();
        for key in friends {
            self.give_out_contact(key);
            self.wait_for(key);
            let friend = &self.state.accounts.friends[&key];
            self.state.accounts.touched.extend(friend.accounts.keys().map(|currency| AccountId::new(key, currency)));
        }
    }

    /// Outgoing requests that a signed `Commit` binds wait for the friend; for the others a timer runs again.
    fn take_up_forwards(&mut self) {
        let now = self.context.now.uptime_ms;
        let forwards: Vec<_> =
            self.state.forwarding.forwards.iter().map(|(key, forward)| (key.clone(), forward.clone())).collect();
        for (incoming, forward) in forwards {
            let outgoing = incoming.at(forward.to);
            self.state.forwarding.carry_for(outgoing.clone(), incoming.account.friend);
            self.load_lane(Self::lane(&incoming, forward.to), forward.amount);
            let has_response = self.incoming_at(&incoming).is_some_and(|pending| pending.stage.lock().is_some());
            let stored = self.state.forwarding.forwards.draft(&incoming).expect("listed above");
            stored.arrived_ms = now;
            stored.responded_ms = has_response.then_some(now);
            if self.is_bound(&outgoing) {
                self.commit_was_signed(&outgoing);
                continue;
            }
            self.note_unsigned_commit(&outgoing);
            self.wait_for_commit(&incoming);
        }
    }

    fn note_unsigned_commit(&mut self, outgoing: &RequestRef) {
        let is_committed = self
            .account(&outgoing.account)
            .and_then(|account| account.pending(Direction::Outgoing, outgoing.id))
            .is_some_and(|pending| pending.stage.is_committed());
        if is_committed {
            self.state.accounts.unsigned_commits.insert(outgoing.clone());
        }
    }

    fn take_up_payments(&mut self) {
        let now = self.context.now.uptime_ms;
        let payments: Vec<_> = self.state.payments.payments.values().cloned().collect();
        for payment in payments {
            if payment.progress == Progress::Searching {
                let stored = self.state.payments.payments.get_mut(&payment.id).expect("listed above");
                stored.parts.clear();
                if !self.state.recovery.mark.is_empty() {
                    stored.reason = NOT_KNOWN.into();
                } else if stored.reason.is_empty() {
                    stored.reason = "the node was restarted before the payment was committed".into();
                }
                stored.progress = Progress::Failed;
                stored.ended_ms = Some(self.context.now.unix_ms);
                continue;
            }
            self.state.payments.searches.insert(payment.id, Search::taken_up(&payment));
            if self.is_recovering() {
                self.stop_searching(payment.id);
            }
            self.context.timers.set(Timer::Payment(payment.id), now.saturating_add(payment.timeout_ms));
            if let Some((invoice, _)) = &payment.invoice {
                self.state.payments.paying.insert(*invoice, payment.id);
            }
            for (request, part) in &payment.parts {
                if part.preimage.is_some() {
                    continue;
                }
                let outgoing = Self::outgoing(&payment, *request, part);
                self.state.payments.pay_by(outgoing.clone(), payment.id);
                if self.is_bound(&outgoing) {
                    self.commit_was_signed(&outgoing);
                } else {
                    self.note_unsigned_commit(&outgoing);
                    self.context.timers.set(Timer::Part(outgoing), now + self.context.environment.timing.patience_ms);
                }
            }
        }
    }

    fn take_up_arrivals(&mut self) {
        let arrivals: Vec<_> = self
            .state
            .receiving
            .arrivals
            .iter()
            .map(|(incoming, arrival)| (incoming.clone(), arrival.clone()))
            .collect();
        for (incoming, arrival) in arrivals {
            self.add_to_group(&incoming, &arrival);
        }
    }

    fn take_up_invoices(&mut self) {
        let Batch { state, context } = self;
        for record in state.receiving.invoices.values() {
            if let Some(expires_ms) = record.invoice.expires_ms {
                let left = expires_ms.saturating_sub(context.now.unix_ms);
                let deadline = context.now.uptime_ms.saturating_add(left);
                context.timers.set(Timer::Invoice(record.invoice.id), deadline);
            }
        }
    }

    /// Requests on the accounts that nothing above accounts for: parts of payments that were not committed.
    fn give_up_orphans(&mut self) {
        let mut orphans = Vec::new();
        let mut continuing = Vec::new();
        let is_recovering = self.is_recovering();
        for (key, friend) in &self.state.accounts.friends {
            for (currency, account) in &friend.accounts {
                let line = AccountId::new(*key, currency);
                if account.is_recovering() {
                    continue;
                }
                for (direction, id, pending) in account.epoch().into_iter().flat_map(|epoch| epoch.pendings()) {
                    let hop = line.request(id);
                    if is_recovering && direction == Direction::Incoming && pending.stage.is_committed() {
                        continuing.push(hop);
                        continue;
                    }
                    let is_known = match direction {
                        Direction::Outgoing => self.state.origin(&hop).is_some(),
                        // What is committed and unknown has come back with a lost state: it may be carried on.
                        Direction::Incoming => {
                            pending.stage.is_committed()
                                || self.state.forwarding.forwards.contains_key(&hop)
                                || self.state.receiving.arrivals.contains_key(&hop)
                        }
                    };
                    if !is_known {
                        orphans.push((direction, hop));
                    }
                }
            }
        }
        if let Some(recovery) = self.state.recovery.mark.draft(&()) {
            recovery.inherited.extend(continuing);
        }
        for (direction, hop) in orphans {
            match direction {
                Direction::Outgoing => self.abort_outgoing(&hop),
                Direction::Incoming => self.cancel_incoming(&hop, CancelReason::Aborted, self.context.local),
            }
        }
    }
}
