//! What every account must hold in the end, whatever nodes have forgotten: worked out from what sellers have decided
//! and what was asked for on the way to them.
//!
//! A seller that has collected is paid, and so is everybody on the way. No disk is needed for that: a preimage that was
//! shown cannot be taken back, and one that was not is derived again.

use crate::reference::signed;
use crate::world::World;
use offst_proto::{Currency, RequestId};
use std::collections::{BTreeMap, BTreeSet};

/// What each node is owed by each friend, in each currency.
pub(crate) struct ExpectedState {
    balances: BTreeMap<(usize, usize, Currency), i128>,
    /// Requests that their destinations have collected.
    pub(crate) delivered: BTreeSet<RequestId>,
    /// Requests that had not ended when both ends of an account on their path forgot them: each account beside may hold
    /// them or not, and a node between two such accounts holds both or neither.
    pub(crate) uncertain: BTreeSet<RequestId>,
}

/// By how many credits less, and more, something may differ from what it must be.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Room {
    pub(crate) below: i128,
    pub(crate) above: i128,
}

impl Room {
    fn widen(&mut self, below: i128, above: i128) {
        self.below += below;
        self.above += above;
    }
}

impl ExpectedState {
    /// Of a world in which nobody lies, and which began with nothing.
    pub(crate) fn of(world: &World) -> Self {
        let delivered: BTreeSet<_> =
            world.nodes.iter().flat_map(|node| node.sold().into_keys()).map(|key| key.id).collect();
        let mut balances: BTreeMap<_, i128> = BTreeMap::new();
        let released = world.released();
        for (maker, node) in world.nodes.iter().enumerate() {
            let index = world.person(maker);
            for (hop, held) in node.requests() {
                if delivered.contains(&hop.id) && !released.contains(&(maker, hop.clone())) {
                    let (to, currency) = (world.person(world.index(hop.account.friend)), hop.account.currency);
                    *balances.entry((index, to, currency.clone())).or_default() -= signed(held);
                    *balances.entry((to, index, currency)).or_default() += signed(held);
                }
            }
        }
        ExpectedState { balances, delivered, uncertain: world.uncertain() }
    }

    /// By how much one account may differ: not at all, unless requests on it are uncertain, or both its ends have
    /// forgotten.
    pub(crate) fn room_of_account(&self, world: &World, node: usize, friend: usize, currency: &Currency) -> Room {
        let mut room = Room::default();
        if world.torn.contains_key(&(node.min(friend), node.max(friend))) {
            // Whatever it comes back to was, or could have been, once.
            let most = signed(world.ceiling(node, friend, currency) + world.debt(node, friend, currency));
            room.widen(most, most);
        }
        let made = |by: usize, to: usize| -> i128 {
            let makers = world.nodes.iter().enumerate().filter(|(maker, _)| world.person(*maker) == by);
            let requests = makers.flat_map(|(_, node)| node.requests());
            let uncertain =
                requests.filter(|(hop, _)| hop.account.currency == *currency && self.uncertain.contains(&hop.id));
            let between = uncertain.filter(|(hop, _)| world.person(world.index(hop.account.friend)) == to);
            between.map(|(_, held)| signed(held)).sum()
        };
        let (out, back) = (made(node, friend), made(friend, node));
        room.widen(out.max(back), out.max(back));
        room
    }

    /// By how much what a node has in all may differ. Who has forgotten nothing together with a friend loses nothing:
    /// at most it does not earn the fee of a request that did not come to its end behind it, or keeps what it would
    /// have paid.
    pub(crate) fn room(&self, world: &World, node: usize, currency: &Currency) -> Room {
        let mut room = Room::default();
        let torn = world.torn.keys().filter(|(a, b)| [a, b].contains(&&node));
        let friends: Vec<_> = torn.map(|(a, b)| if *a == node { *b } else { *a }).collect();
        for friend in &friends {
            let most = signed(world.ceiling(node, *friend, currency) + world.debt(node, *friend, currency));
            room.widen(most, most);
        }
        let is_replacement = world.replacements.values().any(|replacement| *replacement == node);
        let mut by_request: BTreeMap<RequestId, [i128; 2]> = BTreeMap::new();
        for (maker, other) in world.nodes.iter().enumerate() {
            for (hop, held) in other.requests() {
                let place = if world.person(maker) == node {
                    0
                } else if world.person(world.index(hop.account.friend)) == node {
                    1
                } else {
                    continue;
                };
                if hop.account.currency == *currency && self.uncertain.contains(&hop.id) {
                    by_request.entry(hop.id).or_default()[place] += signed(held);
                }
            }
        }
        for [out, back] in by_request.into_values() {
            let is_between = out > 0 && back > 0;
            let fee = if is_between { (back - out).max(0) } else { 0 };
            // What came in over an account that is not torn may be missing where it went on over one that is; and the
            // node that has lost its key cannot collect under it.
            room.widen(if friends.is_empty() && !is_replacement { fee } else { back }, out);
        }
        room
    }

    /// What a friend owes a node.
    pub(crate) fn balance(&self, node: usize, friend: usize, currency: &Currency) -> i128 {
        self.balances.get(&(node, friend, currency.clone())).copied().unwrap_or(0)
    }

    /// What all friends owe a node.
    pub(crate) fn wealth(&self, node: usize, currency: &Currency) -> i128 {
        let own = self.balances.iter().filter(|((owner, _, of), _)| *owner == node && of == currency);
        own.map(|(_, balance)| balance).sum()
    }
}
