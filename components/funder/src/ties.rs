//! Every committed request belongs to something: what a friend may collect from us is a forward, a part of a payment of
//! ours, or was written off; what we may collect from a friend is a forward, or ends here. And what is remembered of a
//! request is of one that is there. For checks from outside: where an older row was put back, or one was taken out, one
//! of these ties is cut.
//!
//! Four things may cut them, and then nothing is said. A recovery ties them together again (recovery/reconcile.rs). On
//! an account that has stopped nothing moves: what was collected or released since waits for its next epoch. And what
//! continues from an earlier epoch may be all that is left of a payment: its node had lost a part of its state, or the
//! history knows that it was collected. And an owner who removes a friend by force gives up what came over its
//! accounts, and may go on owing for it.

use crate::funder::Funder;
use crate::payments::record::{Part, Payment};
use offst_ledger::{AccountId, Direction, Pending, RequestRef};
use offst_proto::RequestId;
use std::collections::BTreeSet;

impl Funder {
    /// Whether this node recovers what it has lost: then nobody can say yet what belongs together.
    pub fn is_recovering(&self) -> bool {
        self.0.recovery.is_recovering()
    }

    /// What does not belong together, a sentence each. `collected`: those of our requests that the history knows to be
    /// collected.
    pub fn loose_ends(&self, collected: &BTreeSet<RequestRef>) -> Vec<String> {
        if self.is_recovering() {
            return Vec::new();
        }
        let mut found = self.untied_requests(collected);
        for (incoming, forward) in self.0.forwarding.forwards().iter() {
            let outgoing = incoming.at(forward.to);
            let (from, to) =
                (self.pending(incoming, Direction::Incoming), self.pending(&outgoing, Direction::Outgoing));
            if from == Found::Nothing || to == Found::Nothing {
                found.push(format!("the forward {} belongs to no pending request", self.shown(incoming)));
            } else if !from.is_of(forward.held.credits() + forward.fee.credits()) || !to.is_of(forward.held.credits()) {
                found.push(format!("the forward {} is not of the amount that is pending", self.shown(incoming)));
            }
        }
        for (incoming, part) in self.0.receiving.inbound_parts().iter() {
            let pending = self.pending(incoming, Direction::Incoming);
            if !pending.is_of(part.amount.credits()) {
                found.push(format!("the inbound part {} belongs to no pending request", self.shown(incoming)));
            }
        }
        for (outgoing, write_off) in self.0.forwarding.written_off().iter() {
            let pending = self.pending(outgoing, Direction::Outgoing);
            if !pending.is_of(write_off.held.credits()) {
                found.push(format!("the write-off {} belongs to no pending request", self.shown(outgoing)));
            }
        }
        found
    }

    /// Committed requests of which nothing is remembered.
    fn untied_requests(&self, collected: &BTreeSet<RequestRef>) -> Vec<String> {
        let state = &self.0;
        let forwards = state.forwarding.forwards().iter().map(|(incoming, forward)| incoming.at(forward.to));
        let parts = state.payments.all().values().flat_map(outgoing_requests);
        let paid_by: BTreeSet<RequestRef> =
            forwards.chain(parts).chain(state.forwarding.written_off().keys().cloned()).collect();
        let mut found = Vec::new();
        for (_, account) in self.accounts().filter(|(_, account)| account.active().is_some()) {
            for (direction, id, pending) in account.epoch().into_iter().flat_map(|epoch| epoch.pendings()) {
                let request = RequestRef { account: account.key().id(), id };
                let is_tied = match direction {
                    _ if !pending.stage.is_committed() => true,
                    _ if account.epoch().is_some_and(|epoch| epoch.continues(id)) => true,
                    Direction::Outgoing => {
                        paid_by.contains(&request)
                            || collected.contains(&request)
                            || self.has_removed_an_account(&request.account)
                    }
                    Direction::Incoming => {
                        state.forwarding.forwards().contains_key(&request)
                            || state.receiving.inbound_parts().contains_key(&request)
                    }
                };
                if is_tied {
                    continue;
                }
                let (amount, shown) = (pending.held, self.shown(&request));
                found.push(match direction {
                    Direction::Outgoing => format!(
                        "{amount} credits are committed in the request {shown}, which belongs to no forward, no payment and no \
                         write-off"
                    ),
                    Direction::Incoming => format!(
                        "{amount} credits are committed in the request {shown}, which belongs to no forward and no payment to us"
                    ),
                });
            }
        }
        found
    }

    /// Whether another account in this currency was removed: the owner may have given up what came over it, also what
    /// we go on owing for it.
    fn has_removed_an_account(&self, beside: &AccountId) -> bool {
        let removed = self.0.accounts.tombstones().keys();
        removed.into_iter().any(|account| account != beside && account.currency == beside.currency)
    }

    fn pending(&self, request: &RequestRef, direction: Direction) -> Found {
        match self.0.accounts.account(&request.account) {
            Some(account) if account.active().is_none() => Found::Stopped,
            account => match account.and_then(|account| account.pending(direction, request.id)) {
                Some(pending) => Found::Pending(*pending),
                None => Found::Nothing,
            },
        }
    }

    /// A request, for people.
    fn shown(&self, request: &RequestRef) -> String {
        let friend = self.0.accounts.friend(&request.account.friend);
        let name = friend.map_or_else(|| request.account.friend.to_string(), |friend| friend.record.name.clone());
        format!("{} on the account with \"{name}\" in {}", request.id, request.account.currency)
    }
}

/// The requests of ours that the parts of a payment are.
fn outgoing_requests(payment: &Payment) -> impl Iterator<Item = RequestRef> {
    let request = |(id, part): (&RequestId, &Part)| AccountId::new(part.path[0], &payment.currency).request(*id);
    payment.parts.iter().map(request)
}

/// A request where it should be pending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Pending(Pending),
    Nothing,
    /// The account has stopped, and what it holds is older than what is known.
    Stopped,
}

impl Found {
    fn is_of(&self, amount: u128) -> bool {
        match self {
            Found::Pending(pending) => pending.held == amount,
            Found::Nothing => false,
            Found::Stopped => true,
        }
    }
}
