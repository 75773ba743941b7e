//! What must hold of buyer, mediator and seller, and when they are at rest.

use crate::account::{Account, StopReason};
use crate::chain::{Chain, ChainState, FEE, MEDIATOR, PRICE, is_bound};
use crate::epoch::Fault;
use crate::friends::may_accept;
use crate::log::Operation;
use crate::pair::{AccountPair, Ending, Outcome, small};
use crate::request::{Direction, Id, REQUESTS};

/// A Commit that the mediator has signed stands on one of its upstream's, for the same lock and more credits.
pub fn is_covered(model: &Chain, state: &ChainState) -> bool {
    if !model.is_honest(MEDIATOR) {
        return true;
    }
    let (above, below) = (state.pairs[0].end(1), state.pairs[1].end(0));
    (0..REQUESTS as Id).filter(|id| is_bound(below, *id)).all(|id| {
        let find = |account: &Account, direction| account.epoch.as_ref()?.local_view.find(direction, id);
        let (Some(incoming), Some(outgoing)) = (find(above, Direction::Incoming), find(below, Direction::Outgoing))
        else {
            return false;
        };
        incoming.stage == outgoing.stage && incoming.amount >= outgoing.amount + FEE
    })
}

/// What the mediator has of both accounts together: also what its upstream has committed, and what it holds the preimage for
/// until the next epoch begins.
pub fn worth(state: &ChainState) -> i8 {
    let balance = |account: &Account| account.epoch.as_ref().map_or(0, |epoch| epoch.balance());
    let upstream = state.pairs[0].end(1);
    let claims = upstream.claims.into_iter().flatten();
    let claimed = claims.filter_map(|claim| match claim {
        Operation::Collect(id, _) => upstream.epoch.as_ref()?.local_view.find(Direction::Incoming, id),
        _ => None,
    });
    balance(upstream) + balance(state.pairs[1].end(0)) + claimed.map(|pending| small(pending.amount)).sum::<i8>()
}

/// The seller's credits for this request are in its log, or in the log of the epoch before, whose sum the balance holds. A liar may
/// pay a request of the same id again.
pub fn is_credited(state: &ChainState, id: Id) -> bool {
    let seller = state.pairs[1].end(1);
    let count = state.pairs[1].taken[1].iter().filter(|taken| **taken).count();
    let owed = seller.epoch.as_ref().map_or(0, |epoch| epoch.balance());
    state.pairs[1].taken[1][usize::from(id)] && owed >= small(PRICE) * i8::try_from(count).expect("few payments")
}

/// What the owner of the mediator accepts, for which [`may_accept`] knows only the one account: it must not leave out what is
/// promised to the seller.
pub fn may_mediator_accept(state: &ChainState, pair: usize) -> bool {
    let account = state.pairs[pair].end(Chain::side(pair, MEDIATOR));
    let Some(terms) = account.acceptable_terms() else { return false };
    // Or is paid already, and claimed.
    let is_claimed = |id: Id| account.claims[usize::from(id)].is_some();
    let is_promised = |id: Id| pair == 0 && (is_bound(state.pairs[1].end(0), id) || is_claimed(id));
    let keeps = |id: Id| {
        let ours = account.epoch.as_ref().and_then(|epoch| epoch.local_view.committed().find(Direction::Incoming, id));
        ours == terms.continuing.find(Direction::Incoming, id)
    };
    // What its balance costs is the owner's own decision, so here it takes only what costs nothing.
    terms.balance >= account.current_terms().balance
        && may_accept(account, &state.pairs[pair].endings[usize::from(Chain::side(pair, MEDIATOR))])
        && (0..REQUESTS as Id).filter(|id| is_promised(*id)).all(keeps)
}

/// When nothing is left to do, no credits are pending, and the payments are paid by the buyer, earned by the mediator, taken
/// by the seller, each the same.
pub fn is_settled(model: &Chain, state: &ChainState) -> bool {
    if !is_at_rest(model, state) {
        return true;
    }
    let [above, below] = &state.pairs[..] else { return false };
    let nothing_pending = state
        .pairs
        .iter()
        .flat_map(|pair| &pair.ends)
        .flatten()
        .all(|end| end.active().is_some_and(|epoch| epoch.local_view.list().next().is_none()));
    let same = (0..REQUESTS).all(|id| {
        let is_paid = above.endings[0][id] == Some(Ending::Paid);
        is_paid == (below.endings[0][id] == Some(Ending::Paid))
            && is_paid == above.taken[1][id]
            && is_paid == below.taken[1][id]
    });
    let paid = above.taken[1].iter().filter(|taken| **taken).count();
    nothing_pending && same && worth(state) == small(FEE) * i8::try_from(paid).expect("few payments")
}

/// Nothing is left to do or to say.
pub fn is_at_rest(model: &Chain, state: &ChainState) -> bool {
    let mut due = Vec::new();
    state.pairs.iter().all(AccountPair::is_still) && {
        model.due(state, &mut due);
        due.is_empty()
    }
}

/// Whether this end says that its friend has broken a rule or lost its state.
pub fn is_accusation(account: &Account, outcome: &Outcome) -> bool {
    let lost = outcome.stopped
        && matches!(
            account.stopped,
            Some(StopReason::Fault(_) | StopReason::OwnStateLost | StopReason::FriendStateLost)
        );
    lost || outcome.fault.is_some_and(|fault: Fault| fault != Fault::TwoOpenings || outcome.stopped)
}
