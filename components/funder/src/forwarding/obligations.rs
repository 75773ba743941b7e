//! What do we owe, and who owes us for it? (protocol section 1)
//!
//! A request that is carried on is two debts under one lock: the friend downstream may collect from us, and the friend
//! upstream pays us for it. Code that takes a friend's word which may change one of them compares it with the other here,
//! with amounts, over all that is bound, queued, written off or not tied together yet after a loss:
//!
//! | what comes from a friend | what is asked |
//! |---|---|
//! | a `Commit`, or an epoch that lets a request continue | [`Accounts::is_covered`](crate::accounts::Accounts::is_covered): is it what we carry on, to the credit? |
//! | terms that leave a request out, or change it | [`Batch::onward`]: may somebody collect it from us? |
//! | terms that let the friend collect from us | [`Batch::pays_for`]: have we promised it, and does anybody pay for it? |
//! | terms of an account of which we do not know how it stood | [`Batch::unpaid`]: which promises does nobody pay for yet? |

use crate::funder::Batch;
use offst_crypto::{HashLock, PublicKey};
use offst_ledger::{Account, AccountId, Direction, Pending, RequestRef, Stage};
use offst_proto::Amount;
use offst_proto::opening::Continuing;

/// Whether anybody may collect from us what a friend has committed to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Onward {
    /// Nobody: it ends here, was released, or waits for a `Commit` that is not signed and can be taken back.
    Nobody,
    /// The friend it went to: a signed `Commit` of ours binds us.
    Promised,
    /// It may have been promised in what this node has lost, and is not tied together again.
    Unknown,
}

impl Batch<'_> {
    /// Who may collect from us what came from a friend.
    pub(crate) fn onward(&self, incoming: &RequestRef) -> Onward {
        let is_unresolved_inbound = self.state.recovery.is_unresolved(incoming);
        match self.state.forwarding.forwards.get(incoming) {
            Some(forward) if self.state.accounts.is_distrusted(&incoming.at(forward.to).account) => Onward::Unknown,
            Some(forward) if self.state.accounts.is_bound(&incoming.at(forward.to)) => Onward::Promised,
            Some(_) | None if is_unresolved_inbound => Onward::Unknown,
            Some(_) | None => Onward::Nobody,
        }
    }

    /// Whether terms may let a friend collect `claim` from us: we have committed just that. Of an account of which we
    /// have lost how it stood, also what another friend is ready to pay us for.
    pub(crate) fn pays_for(&self, account_id: &AccountId, account: &Account, claim: &Continuing) -> bool {
        let is_promised = account
            .outgoing(claim.id)
            .is_some_and(|pending| pending.held == claim.held && pending.stage == Stage::Committed(claim.lock));
        is_promised || account.is_suspect() && self.is_paid_by_another(account_id, claim)
    }

    /// Whether another friend has committed to us what this one would collect, and nobody else can.
    fn is_paid_by_another(&self, account_id: &AccountId, claim: &Continuing) -> bool {
        self.state.recovery.unresolved().any(|incoming| {
            let is_other =
                incoming.account.friend != account_id.friend && incoming.account.currency == account_id.currency;
            is_other
                && incoming.id == claim.id
                && !self.state.forwarding.forwards.contains_key(incoming)
                && self
                    .state
                    .accounts
                    .incoming_at(incoming)
                    .is_some_and(|pending| pending.stage == Stage::Committed(claim.lock) && pending.held >= claim.held)
        })
    }

    /// What other friends than that of `account_id` may collect from us in its currency, and nobody is known to pay us
    /// for. Only while this node recovers: otherwise everything has its origin, or was written off.
    pub(crate) fn unpaid(&self, account_id: &AccountId) -> Vec<(RequestRef, Pending)> {
        if !self.is_recovering() {
            return Vec::new();
        }
        let others = self.state.accounts.friends().iter().filter(|(key, _)| **key != account_id.friend);
        let accounts = others.filter_map(|(key, friend)| Some((key, friend.accounts.get(&account_id.currency)?)));
        let pendings = accounts.flat_map(|(key, account)| {
            let pendings = account.epoch().into_iter().flat_map(|epoch| epoch.pendings());
            let ours = pendings.filter(|(direction, id, _)| *direction == Direction::Outgoing && account.is_bound(*id));
            ours.map(|(_, id, pending)| (AccountId::new(*key, &account_id.currency).request(id), *pending))
        });
        pendings.filter(|(outgoing, _)| self.is_unpaid(outgoing)).collect()
    }

    /// Whether nobody is known to pay for a request of ours: neither a friend, nor we ourselves, nor the owner who has
    /// written it off.
    pub(crate) fn is_unpaid(&self, outgoing: &RequestRef) -> bool {
        self.state.origin(outgoing).is_none() && !self.state.forwarding.written_off.contains_key(outgoing)
    }

    /// To whom a request goes on that continues after a loss: the other half has the same id and lock. Anybody who
    /// chose the ids may have made several such halves, and would gain if a large debt of ours was tied to what a small
    /// one of a friend's pays for. So all are weighed against each other, the largest first, when all accounts are
    /// back; before that only two halves are tied that have no rivals and between which lies just our fee.
    /// (R7.16.)
    pub(crate) fn other_half(&self, incoming: &RequestRef, lock: HashLock) -> Option<PublicKey> {
        let untied = self.untied(incoming, lock);
        let mut unpaid: Vec<_> = self.halves_without_payer(incoming, lock);
        if !self.state.accounts.all_accounts_are_back() {
            let [(held, _)] = untied[..] else { return None };
            let [(onward, to)] = unpaid[..] else { return None };
            let is_our_fee = self.state.accounts.rate_of(&incoming.account).forwarded(held) == Some(onward);
            return (is_our_fee && to != incoming.account.friend).then_some(to);
        }
        for (held, other) in untied {
            let fits = |(onward, to): &(Amount, PublicKey)| *onward <= held && *to != other.account.friend;
            let place = unpaid.iter().position(fits);
            let half = place.map(|place| unpaid.remove(place).1);
            if other == *incoming {
                return half;
            }
        }
        None
    }

    /// Friends' committed requests with this id and lock that nobody is known to collect from us: the largest first.
    fn untied(&self, incoming: &RequestRef, lock: HashLock) -> Vec<(Amount, RequestRef)> {
        let same = self.state.recovery.unresolved().filter(|other| {
            (other.id, &other.account.currency) == (incoming.id, &incoming.account.currency)
                && !self.state.accounts.is_distrusted(&other.account)
                && !self.state.forwarding.forwards.contains_key(*other)
        });
        let committed = same.filter_map(|other| {
            let pending = self.state.accounts.incoming_at(other)?;
            (pending.stage == Stage::Committed(lock)).then(|| (pending.held, other.clone()))
        });
        let mut untied: Vec<_> = committed.collect();
        untied.sort_by(|(one, first), (other, second)| other.cmp(one).then_with(|| first.cmp(second)));
        untied
    }

    /// What friends may collect from us with this id and lock, and nobody is known to pay for: the largest first.
    fn halves_without_payer(&self, incoming: &RequestRef, lock: HashLock) -> Vec<(Amount, PublicKey)> {
        let outgoing = self.state.accounts.friends().keys().map(|key| incoming.at(*key));
        let known = outgoing
            .filter(|outgoing| !self.state.accounts.is_distrusted(&outgoing.account) && self.is_unpaid(outgoing));
        let committed = known.filter_map(|outgoing| {
            let pending = self.state.accounts.outgoing_at(&outgoing)?;
            let is_same = pending.stage == Stage::Committed(lock);
            is_same.then_some((pending.held, outgoing.account.friend))
        });
        let mut halves: Vec<_> = committed.collect();
        halves.sort_by(|one, other| other.cmp(one));
        halves
    }
}
