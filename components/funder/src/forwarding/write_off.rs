//! Writing off what a friend holds (`write-off`, protocol section 2).
//!
//! We have committed a request to a friend, the friend has gone, and the friend we carry it on for waits with its
//! credits held. No clock may release it, because the friend may come back with the preimage and collect. The owner
//! may: from then on a Collect costs *us*, and that is why they say how much.
//!
//! | | upstream, with the one it came from | downstream, with the friend that is gone |
//! |---|---|---|
//! | the order | `Cancel`: the credits are free, the buyer may pay by another route | nothing: what is held stays held |
//! | it collects later | | it is paid, and nobody pays us: the amount is lost, and stands in the history |
//! | it cancels later, or an epoch begins without the request | | the credits are free: nothing is lost |
//!
//! What is written off: requests of others that the friend has held, committed, for longer than the overdue time; the
//! smallest first, so that as many as possible are released. A payment of our own is not: nobody waits upstream of it,
//! and it is paid when it is collected, whatever we decide.
//!
//! The amount of an order bounds what the friend may still collect of all that was ever written off, in this currency:
//! never what one order adds. So the same order twice (an answer was lost, a process died) does no more than once. What
//! becomes overdue later waits for another order, or for the setting.
//!
//! **The setting** of an account (`set-auto-write-off`) does the same without asking, with what becomes overdue. Its
//! number bounds what the friend may still collect of all that was written off so; and the first that the friend
//! collects of it ends the setting, in the transaction that writes the loss. So a friend who is one with the senders
//! takes at most that number, once. In a recovery nothing is written off so.
//!
//! One transaction takes the forwarding out, puts a [`WriteOff`] in its place and writes the `Cancel`. So nothing is
//! left that could carry an end of the one request over to the other: neither a restart nor a recovery ties them
//! together again.

use crate::accounts::Accounts;
use crate::command::{CommandId, Reply};
use crate::context::Context;
use crate::forwarding::Forwarding;
use crate::forwarding::record::WriteOff;
use crate::funder::Batch;
use crate::origin::Origin;
use crate::timers::Timer;
use offst_crypto::{HashLock, Preimage, PublicKey};
use offst_ledger::{AccountId, Pending, RequestRef, Stage};
use offst_proto::Amount;
use offst_proto::Currency;
use offst_proto::payment::CancelReason;
use offst_proto::report::{ForwardReport, Held, WriteOffReport};

impl Forwarding {
    /// All that the friend may still collect of what was written off; or only of what was without asking.
    fn at_risk(&self, account_id: &AccountId, only_automatic: bool) -> Held {
        let mut held = Held::default();
        let all = self.written_off.range(account_id.requests()).map(|(_, write_off)| write_off);
        let counted = all.filter(|write_off| write_off.is_automatic || !only_automatic);
        counted.for_each(|write_off| held.add(write_off.held.credits()));
        held
    }

    /// Ends a request with the one it came from, and remembers that nobody pays for it any more. False: it has ended
    /// there.
    /// (R8.4.)
    fn release_upstream(
        &mut self,
        outgoing: &RequestRef,
        write_off: WriteOff,
        accounts: &mut Accounts,
        context: &mut Context<'_>,
    ) -> bool {
        let local = context.local;
        let incoming = outgoing.at(write_off.from);
        let account = accounts.touch(&incoming.account).expect("a forward's accounts exist");
        if account.cancel(incoming.id, CancelReason::Overdue, local).is_err() {
            return false;
        }
        self.remove_forward(&incoming, context).expect("its origin names it");
        self.record_write_off(outgoing.clone(), write_off);
        accounts.friend_changed(incoming.account.friend, context);
        true
    }

    fn record_write_off(&mut self, outgoing: RequestRef, write_off: WriteOff) {
        self.written_off.insert(outgoing, write_off);
    }

    /// The request has ended with the friend that it went to.
    pub(crate) fn forget_write_off(&mut self, outgoing: &RequestRef) -> Option<WriteOff> {
        self.written_off.remove(outgoing)
    }

    /// The friend has collected a request that we carried on for nobody any more. Says whether that was written off.
    pub(crate) fn write_off_collected(
        &mut self,
        outgoing: &RequestRef,
        preimage: Preimage,
        accounts: &mut Accounts,
        context: &mut Context<'_>,
    ) -> bool {
        let Some(write_off) = self.forget_write_off(outgoing) else { return false };
        let amount = write_off.held;
        log::warn!("{} was collected after it had been written off: {amount} credits are lost", outgoing.id);
        let report = ForwardReport {
            request_id: outgoing.id,
            from: None,
            to: outgoing.account.friend,
            currency: outgoing.account.currency.clone(),
            amount,
            fee: Amount::ZERO,
            time_ms: context.now.unix_ms,
        };
        context.record_forwarded(report, preimage);
        if write_off.is_automatic {
            accounts.end_auto_write_off(&outgoing.account, amount, context);
        }
        accounts.friend_changed(outgoing.account.friend, context);
        true
    }

    /// After a start: a friend that holds what was written off is overdue again in a while, as with every other
    /// request.
    pub(crate) fn resume_write_offs(&self, context: &mut Context<'_>) {
        let held: Vec<_> = self.written_off.keys().cloned().collect();
        for outgoing in held {
            self.await_end(outgoing, context);
        }
    }

    fn await_end(&self, outgoing: RequestRef, context: &mut Context<'_>) {
        let deadline = context.now.uptime_ms + context.environment.timing.overdue_ms;
        context.timers.set(Timer::Overdue(outgoing), deadline);
    }

    /// A friend goes on under another key, and so does what it may still collect.
    /// (R8.5.)
    pub(crate) fn hand_over_write_off(&mut self, old: &RequestRef, new: RequestRef, context: &mut Context<'_>) {
        let Some(write_off) = self.forget_write_off(old) else { return };
        context.timers.clear(&Timer::Overdue(old.clone()));
        self.record_write_off(new.clone(), write_off);
        self.await_end(new, context);
    }

    /// Drops what speaks of requests that are not on an account any more: terms were agreed on that leave them out, or
    /// the account is gone, or was found to have moved on. One that is suspect tells nothing yet. `of`: only this
    /// account.
    pub(crate) fn drop_ended_write_offs(
        &mut self,
        of: Option<&AccountId>,
        accounts: &mut Accounts,
        context: &mut Context<'_>,
    ) {
        let held = self.written_off.iter().filter(|(outgoing, write_off)| {
            let is_one = of.is_none_or(|account_id| outgoing.account == *account_id)
                && !accounts.is_distrusted(&outgoing.account);
            is_one && !accounts.outgoing_at(outgoing).is_some_and(|pending| write_off.is_of(&pending))
        });
        let ended: Vec<_> = held.map(|(outgoing, _)| outgoing.clone()).collect();
        for outgoing in ended {
            self.forget_write_off(&outgoing);
            // Another request under the same id is none of this one's business.
            if accounts.outgoing_at(&outgoing).is_none() {
                accounts.settle_overdue(&outgoing, context);
            }
        }
    }

    /// A friend's committed request that was written off, on the account by which it left: a recovery has brought it
    /// back because the friend had not heard of our `Cancel`.
    /// (R8.7.)
    pub(crate) fn written_off_from(&self, incoming: &RequestRef, lock: HashLock) -> Option<RequestRef> {
        let is_same = |outgoing: &RequestRef, write_off: &WriteOff| {
            (outgoing.id, &outgoing.account.currency) == (incoming.id, &incoming.account.currency)
                && (write_off.from, write_off.lock) == (incoming.account.friend, lock)
        };
        let mut all = self.written_off.iter();
        all.find(|(outgoing, write_off)| is_same(outgoing, write_off)).map(|(outgoing, _)| outgoing.clone())
    }
}

impl Batch<'_> {
    /// The owner gives up what they would get for requests that a friend holds. `up_to`: the most that they may lose by
    /// it, credits.
    pub(crate) fn write_off(&mut self, command: CommandId, name: &str, currency: &Currency, up_to: Amount) {
        let reply = match self.release_overdue(name, currency, up_to) {
            Ok(report) => Reply::WrittenOff(report),
            Err(message) => Reply::Refused(message),
        };
        self.context.reply(command, reply);
    }

    // R8.6.
    fn release_overdue(&mut self, name: &str, currency: &Currency, up_to: Amount) -> Result<WriteOffReport, String> {
        let key = self.state.accounts.friend_key(name)?;
        self.state.accounts.friend_account(name, currency)?;
        let account_id = AccountId::new(key, currency);
        if self.state.accounts.is_distrusted(&account_id) {
            return Err(format!(
                "this node recovers what it has lost, and what \"{name}\" holds is not known before it has shown it: try again \
                 then, or give the account up with `remove-friend --force --forgive`"
            ));
        }
        let report = self.release_smallest(&account_id, up_to, false);
        if report.released.count > 0 {
            let Held { count, amount } = report.released;
            log::warn!(
                "{count} payments of {amount} in {currency} that \"{name}\" holds were written off: those they came from have \
                 the credits back, and \"{name}\" may still collect them from this node"
            );
        }
        Ok(report)
    }

    /// Releases what the friend has held for too long, the smallest first, as long as the friend may collect no more
    /// than `up_to` afterwards: of all that was ever written off, or, `is_automatic`, of what was without asking.
    /// (R8.2.)
    fn release_smallest(&mut self, account_id: &AccountId, up_to: Amount, is_automatic: bool) -> WriteOffReport {
        let mut report = WriteOffReport {
            at_risk: self.state.forwarding.at_risk(account_id, is_automatic),
            ..WriteOffReport::default()
        };
        let mut releasable = Vec::new();
        for outgoing in self.state.accounts.overdue_at(account_id) {
            let Some(pending) = self.state.accounts.outgoing_at(&outgoing) else { continue };
            match self.state.origin(&outgoing) {
                Some(Origin::Forward(from)) => match self.what_to_release(&outgoing, &pending, from) {
                    Some(write_off) => releasable.push((pending.held, outgoing, write_off)),
                    None => report.waiting.add(pending.held.credits()),
                },
                Some(Origin::Payment(_)) => report.own.add(pending.held.credits()),
                // It was written off before.
                None => {}
            }
        }
        releasable.sort_by(|(one, first, _), (other, second, _)| (one, first).cmp(&(other, second)));
        for (held, outgoing, write_off) in releasable {
            let fits = report.at_risk.amount + held.credits() <= up_to.credits();
            if fits
                && self.state.forwarding.release_upstream(
                    &outgoing,
                    WriteOff { is_automatic, ..write_off },
                    &mut self.state.accounts,
                    &mut self.context,
                )
            {
                report.released.add(held.credits());
                report.at_risk.add(held.credits());
            } else {
                report.waiting.add(held.credits());
            }
        }
        if report.released.count > 0 {
            self.state.accounts.friend_changed(account_id.friend, &mut self.context);
        }
        report
    }

    /// At the end of a batch, when all is known that has become overdue in it: it is written off where the owner has
    /// allowed that.
    pub(crate) fn write_off_by_itself(&mut self) {
        for account_id in self.state.accounts.take_overdue() {
            self.write_off_by_itself_at(&account_id);
        }
    }

    /// What has to wait is looked at again in a while: something else may have ended by then, or a recovery.
    fn write_off_by_itself_at(&mut self, account_id: &AccountId) {
        let Some(up_to) = self.state.accounts.auto_write_off(account_id) else { return };
        let waiting = if self.is_recovering() {
            true
        } else {
            let report = self.release_smallest(account_id, up_to, true);
            if report.released.count > 0 {
                let name = self.state.accounts.name_of(&account_id.friend);
                let Held { count, amount } = report.released;
                log::warn!(
                    "{count} payments of {amount} in {} that \"{name}\" holds were written off by set-auto-write-off: \"{name}\" \
                     may still collect them from this node",
                    account_id.currency
                );
            }
            report.waiting.count > 0
        };
        if waiting {
            let waits = |outgoing: &RequestRef| self.state.forwarding.upstream_of(outgoing).is_some();
            let held: Vec<_> = self.state.accounts.overdue_at(account_id).into_iter().filter(waits).collect();
            let deadline = self.context.now.uptime_ms + self.context.environment.timing.overdue_ms;
            for outgoing in held {
                self.context.timers.set_if_none(Timer::Overdue(outgoing), deadline);
            }
        }
    }

    /// What would be remembered of a request whose upstream is released. None: that cannot be told now, because the
    /// account it came over is suspect, or it has not found its other side again.
    /// (R8.1.)
    fn what_to_release(&self, outgoing: &RequestRef, pending: &Pending, from: PublicKey) -> Option<WriteOff> {
        let incoming = outgoing.at(from);
        let is_unresolved_inbound = self.state.recovery.is_unresolved(&incoming);
        if self.state.accounts.is_distrusted(&incoming.account) || is_unresolved_inbound {
            return None;
        }
        let lock = pending.stage.lock()?;
        let is_committed = self.state.accounts.incoming_at(&incoming)?.stage == Stage::Committed(lock);
        is_committed.then_some(WriteOff { from, held: pending.held, lock, is_automatic: false })
    }
}
