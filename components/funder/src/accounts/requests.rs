//! The requests on the accounts.

use super::Accounts;
use crate::context::Context;
use crate::forwarding::record::Forward;
use crate::timers::Timer;
use offst_crypto::PublicKey;
use offst_ledger::{AccountId, Direction, Epoch, NotAllowed, Pending, RequestRef};
use offst_proto::Amount;
use offst_proto::Rate;
use offst_proto::index::Clearable;
use offst_proto::payment::CancelReason;
use offst_proto::report::Event;
use std::collections::BTreeSet;

/// The reason that a buyer is told when our own account refuses a request.
pub(crate) fn cancel_reason(refusal: NotAllowed) -> CancelReason {
    match refusal {
        NotAllowed::NotActive => CancelReason::AccountStopped,
        NotAllowed::Closed => CancelReason::Closed,
        NotAllowed::NoCapacity { room } => CancelReason::no_capacity(room),
        NotAllowed::Busy => CancelReason::Busy,
        NotAllowed::Duplicate => CancelReason::Duplicate,
        NotAllowed::WrongStage => CancelReason::Aborted,
    }
}

/// By how much a payment makes the debt on an account smaller, whatever becomes of the requests that are pending on it.
pub(crate) fn clearable(epoch: &Epoch) -> Clearable {
    let balance = epoch.balance();
    let debt = balance.unsigned_abs();
    let (amount, room) = if balance > 0 {
        (debt.saturating_sub(epoch.local_pending()), epoch.send_capacity())
    } else {
        (debt.saturating_sub(epoch.remote_pending()), epoch.receive_capacity())
    };
    match Amount::capped(amount.min(room)) {
        Amount::ZERO => Clearable::None,
        amount if balance > 0 => Clearable::Send(amount),
        amount => Clearable::Receive(amount),
    }
}

impl Accounts {
    /// Releases what a friend has asked for. The request is over on this account.
    pub(crate) fn cancel_incoming(&mut self, incoming: &RequestRef, reason: CancelReason, hop: PublicKey) {
        if let Some(account) = self.touch(&incoming.account) {
            // It may have ended already, together with its epoch; then there is nothing left to release.
            let ended = account.cancel(incoming.id, reason, hop);
            log::trace!("cancel of {} towards the buyer: {ended:?}", incoming.id);
        }
    }

    /// All that could be sent to a friend if nothing were pending, credits, where new requests may use the account.
    pub(crate) fn account_room(&self, account_id: &AccountId) -> Result<u128, CancelReason> {
        let friend = self.friends.get(&account_id.friend).ok_or(CancelReason::UnknownFriend)?;
        let account = friend.accounts.get(&account_id.currency).ok_or(CancelReason::UnknownFriend)?;
        if !friend.is_enabled() {
            return Err(CancelReason::Closed);
        }
        if !account.is_resumed() {
            return Err(CancelReason::Offline);
        }
        account.active().map(|epoch| epoch.total_send_capacity()).ok_or(CancelReason::AccountStopped)
    }

    /// What could be sent to a friend now, credits; 0 when nothing new may use the account.
    pub(crate) fn send_room(&self, account_id: &AccountId) -> u128 {
        if self.account_room(account_id).is_err() {
            return 0;
        }
        self.active(account_id).map_or(0, |epoch| epoch.send_capacity())
    }

    pub(crate) fn abort_outgoing(&mut self, outgoing: &RequestRef) {
        if let Some(account) = self.touch(&outgoing.account) {
            // What the friend has ended already, or what binds us, stays as it is.
            let outcome = account.abort(outgoing.id);
            log::trace!("abort of {} towards the seller: {outcome:?}", outgoing.id);
        }
    }

    /// A committed request has waited too long: the owner is told. What is held takes its amount and its place, and
    /// closes nothing else: who holds it behind the friend was chosen by its sender.
    pub(crate) fn became_overdue(&mut self, outgoing: &RequestRef, context: &mut Context<'_>) {
        let Some(friend) = self.friends.get(&outgoing.account.friend) else { return };
        let pending = friend
            .accounts
            .get(&outgoing.account.currency)
            .and_then(|account| account.pending(Direction::Outgoing, outgoing.id));
        let Some(amount) = pending.map(|pending| pending.held) else {
            // It waits for the first epoch with a friend's new key.
            if self.is_bound(outgoing) {
                let deadline = context.now.uptime_ms + context.environment.timing.overdue_ms;
                context.timers.set(Timer::Overdue(outgoing.clone()), deadline);
            }
            return;
        };
        let friend = self.friends.draft(&outgoing.account.friend).expect("looked above");
        let is_new = friend.overdue.insert((outgoing.account.currency.clone(), outgoing.id));
        let name = friend.record.name.clone();
        self.overdue.insert(outgoing.account.clone());
        if !is_new {
            return;
        }
        log::warn!("\"{name}\" is overdue: it holds {amount} committed credits of request {}", outgoing.id);
        context.event(Event::Overdue { name, request_id: outgoing.id, amount });
    }

    pub(crate) fn settle_overdue(&mut self, outgoing: &RequestRef, context: &mut Context<'_>) {
        context.timers.clear(&Timer::Overdue(outgoing.clone()));
        if let Some(friend) = self.friends.draft(&outgoing.account.friend) {
            friend.overdue.remove(&(outgoing.account.currency.clone(), outgoing.id));
        }
    }

    /// What is taken for carrying on what comes over this account.
    pub(crate) fn rate_of(&self, account_id: &AccountId) -> Rate {
        let friend = self.friends.get(&account_id.friend);
        friend.and_then(|friend| friend.record.rates.get(&account_id.currency)).copied().unwrap_or_default()
    }

    /// Committed requests of ours that the friend has held for too long.
    pub(crate) fn overdue_at(&self, account_id: &AccountId) -> Vec<RequestRef> {
        let friend = self.friends.get(&account_id.friend);
        let overdue = friend.into_iter().flat_map(|friend| &friend.overdue);
        let here =
            overdue.filter(|(currency, _)| *currency == account_id.currency).map(|(_, id)| account_id.request(*id));
        here.filter(|outgoing| self.is_bound(outgoing)).collect()
    }

    pub(crate) fn record_unsigned_commit(&mut self, outgoing: &RequestRef) {
        let is_committed = self
            .account(&outgoing.account)
            .and_then(|account| account.pending(Direction::Outgoing, outgoing.id))
            .is_some_and(|pending| pending.stage.is_committed());
        if is_committed {
            self.unsigned_commits.insert(outgoing.clone());
        }
    }

    /// Promises a request of ours to the friend that it went to. The next signature binds us.
    ///
    /// # Panics
    /// When there is no such account.
    pub(crate) fn commit_outgoing(&mut self, outgoing: RequestRef) -> Result<(), NotAllowed> {
        self.touch(&outgoing.account).expect("a request's account exists").commit(outgoing.id)?;
        self.unsigned_commits.insert(outgoing);
        Ok(())
    }

    /// A request of ours has ended: nobody waits for the signature of its `Commit` any more.
    pub(crate) fn forget_unsigned_commit(&mut self, outgoing: &RequestRef) {
        self.unsigned_commits.remove(outgoing);
    }

    /// The accounts on which something has become overdue, or is looked at again.
    pub(crate) fn take_overdue(&mut self) -> BTreeSet<AccountId> {
        std::mem::take(&mut self.overdue)
    }

    /// What may be cleared on one of our accounts now.
    pub(crate) fn clearable(&self, account_id: &AccountId) -> Clearable {
        match self.account_room(account_id) {
            Ok(_) => self.active(account_id).map_or(Clearable::None, clearable),
            Err(_) => Clearable::None,
        }
    }

    /// Whether what a friend has asked for, this request among it, makes what we owe it smaller.
    pub(crate) fn lowers_our_debt(&self, incoming: &AccountId) -> bool {
        self.active(incoming).is_some_and(|epoch| {
            let owed = if epoch.balance() < 0 { epoch.balance().unsigned_abs() } else { 0 };
            epoch.remote_pending() <= owed
        })
    }

    pub(crate) fn incoming_at(&self, hop: &RequestRef) -> Option<Pending> {
        self.account(&hop.account)?.pending(Direction::Incoming, hop.id).copied()
    }

    /// A request of ours that has not ended: pending, or offered to a friend's new key.
    pub(crate) fn outgoing_at(&self, hop: &RequestRef) -> Option<Pending> {
        self.account(&hop.account)?.outgoing(hop.id)
    }

    /// Whether we carry a request to clear without a fee.
    pub(crate) fn is_waived(
        &self,
        incoming: &AccountId,
        outgoing: &AccountId,
        amount: Amount,
        context: &Context<'_>,
    ) -> bool {
        context.auto_clear && self.lowers_our_debt(incoming) && self.clearable(outgoing).send() >= amount
    }

    /// Whether a committed request is the one that we carry on: the same amount, and on both sides the same lock. Then
    /// what we would pay is paid to us.
    /// (R1.29.)
    pub(crate) fn is_covered(&self, incoming: &RequestRef, forward: &Forward) -> bool {
        let (Some(from), Some(to)) = (self.incoming_at(incoming), self.outgoing_at(&incoming.at(forward.to))) else {
            return false;
        };
        let is_same_lock = from.stage.lock().is_some() && from.stage.lock() == to.stage.lock();
        is_same_lock && to.held == forward.held && forward.held.checked_add(forward.fee) == Some(from.held)
    }
}
