//! What mediators take, against what their owners have set.

use super::World;
use offst_crypto::PublicKey;
use offst_funder::Command;
use offst_proto::statement::{Operation, Statement};
use offst_proto::{Currency, Rate, RequestId};
use std::collections::{BTreeMap, BTreeSet};

/// A request that a node was asked to carry on, as it heard it: who asked, what that freezes, and whether it clears a ring of debts.
#[derive(Debug, Clone, Copy)]
struct Asked {
    from: PublicKey,
    frozen: u128,
    clears: bool,
}

/// What owners have decided about fees, and what their nodes were asked to carry.
#[derive(Debug, Default)]
pub(super) struct Rates {
    /// All rates that an owner ever set for requests of a friend, by the friend's name: an older disk has an older one.
    set: BTreeMap<(usize, String, Currency), Vec<Rate>>,
    /// Owners that have ever allowed rings to be cleared.
    clearing: BTreeSet<usize>,
    asked: BTreeMap<(usize, RequestId, Currency), Vec<Asked>>,
}

impl Rates {
    /// An owner decides something.
    pub(super) fn note_command(&mut self, index: usize, command: &Command) {
        match command {
            Command::SetFriendRate(name, currency, rate) => {
                self.set.entry((index, name.clone(), currency.clone())).or_default().push(*rate);
            }
            Command::SetAutoClear(true) => {
                self.clearing.insert(index);
            }
            // The friend's successor is asked for what the friend was.
            Command::RenameFriend(from, to) => {
                let of_friend = self.set.iter().filter(|((node, name, _), _)| *node == index && name == from);
                let moved: Vec<_> =
                    of_friend.map(|((.., currency), rates)| (currency.clone(), rates.clone())).collect();
                for (currency, rates) in moved {
                    self.set.entry((index, to.clone(), currency)).or_default().extend(rates);
                }
            }
            _ => {}
        }
    }

    /// A friend asks a node for something.
    pub(super) fn hear(&mut self, index: usize, statement: &Statement) {
        for operation in &statement.operations {
            if let Operation::Request(request) = operation
                && !request.route.is_empty()
            {
                let asked = Asked { from: statement.author, frozen: request.frozen(), clears: request.clearing };
                let place = (index, request.id, statement.currency.clone());
                self.asked.entry(place).or_default().push(asked);
            }
        }
    }
}

impl World {
    /// Whatever a node has carried on, it kept exactly the fee by a rate that its owner had set for the friend that asked, or the
    /// default one; of a ring of debts it may have taken none, when its owner ever allowed that.
    ///
    /// # Panics
    /// When a node took something else.
    pub(crate) fn check_rates(&self, index: usize) {
        for (hop, went) in self.nodes[index].requests() {
            let currency = &hop.account.currency;
            let Some(asked) = self.rates.asked.get(&(index, hop.id, currency.clone())) else { continue };
            let is_right = asked.iter().any(|asked| {
                let name = super::name(self.index(asked.from));
                let set = self.rates.set.get(&(index, name, currency.clone())).into_iter().flatten().copied();
                let is_by_rate = |rate: Rate| rate.forwarded(asked.frozen) == Some(went);
                let is_waived = asked.clears && self.rates.clearing.contains(&index) && asked.frozen == went;
                is_waived || set.chain([Rate::default()]).any(is_by_rate)
            });
            assert!(
                is_right,
                "node {index} passes {went} {currency} of request {} on, which is by none of its rates: {asked:?}",
                hop.id
            );
        }
    }

    /// What honest nodes have published of each other is what their accounts can carry now: nothing is under way.
    ///
    /// # Panics
    /// When a line has room that nobody hears of, or the other way round.
    pub(crate) fn check_published(&self, honest: &[usize]) {
        for index in honest.iter().copied() {
            for (friend, account) in self.nodes[index].accounts().filter(|(_, account)| account.is_resumed()) {
                let Some(epoch) = account.active() else { continue };
                let edge = self.edges.get(&(self.key(index), friend, account.key().currency.clone()));
                let said = edge.map(|edge| (edge.send_capacity, edge.receive_capacity));
                assert_eq!(
                    said,
                    Some((epoch.send_capacity(), epoch.receive_capacity())),
                    "what node {index} publishes of its account with node {} in {}",
                    self.index(friend),
                    account.key().currency
                );
            }
        }
    }
}
