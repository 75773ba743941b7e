//! What every account must hold in the end, whoever has forgotten what: worked out from what sellers have decided and what was
//! asked for on the way to them.
//!
//! A seller that has collected is paid, and so is everybody on the way. No disk is needed for that: a preimage that was shown
//! cannot be taken back, and one that was not is derived again.

use crate::reference::signed;
use crate::world::World;
use offst_proto::{Currency, RequestId};
use std::collections::{BTreeMap, BTreeSet};

/// What each node is owed by each friend, in each currency.
pub(crate) struct Truth {
    balances: BTreeMap<(usize, usize, Currency), i128>,
    /// Requests that their destinations have collected.
    pub(crate) delivered: BTreeSet<RequestId>,
}

impl Truth {
    /// Of a world in which nobody lies, and which began with nothing.
    pub(crate) fn of(world: &World) -> Self {
        let delivered: BTreeSet<_> =
            world.nodes.iter().flat_map(|node| node.sold().into_keys()).map(|key| key.id).collect();
        let mut balances: BTreeMap<_, i128> = BTreeMap::new();
        for (index, node) in world.nodes.iter().enumerate() {
            for (hop, frozen) in node.requests() {
                if delivered.contains(&hop.id) {
                    let (to, currency) = (world.index(hop.line.friend), hop.line.currency);
                    *balances.entry((index, to, currency.clone())).or_default() -= signed(frozen);
                    *balances.entry((to, index, currency)).or_default() += signed(frozen);
                }
            }
        }
        Truth { balances, delivered }
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
