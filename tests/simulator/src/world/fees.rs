//! What owners have decided about fees, and what their nodes were asked to forward.

use offst_crypto::PublicKey;
use offst_funder::Command;
use offst_proto::statement::{Operation, Statement};
use offst_proto::{Currency, Rate, RequestId};
use std::collections::{BTreeMap, BTreeSet};

/// A request that a node was asked to forward: who asked, how many credits it holds, and whether it clears a debt
/// cycle.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) from: PublicKey,
    pub(super) held: u128,
    pub(super) clears: bool,
}

/// What owners have decided about fees, and what their nodes were asked to forward.
#[derive(Debug, Default)]
pub(super) struct Rates {
    /// All rates that an owner ever set for requests of a friend, by the friend's name: an older disk has an older one.
    pub(super) set: BTreeMap<(usize, String, Currency), Vec<Rate>>,
    /// Owners that have ever allowed debt cycles to be cleared.
    pub(super) clearing: BTreeSet<usize>,
    pub(super) asked: BTreeMap<(usize, RequestId, Currency), Vec<Asked>>,
}

impl Rates {
    /// An owner decides something.
    pub(super) fn record_command(&mut self, index: usize, command: &Command) {
        match command {
            Command::SetFriendRate(name, currency, rate) => {
                self.set.entry((index, name.clone(), currency.clone())).or_default().push(*rate);
            }
            Command::SetAutoClear(true) => {
                self.clearing.insert(index);
            }
            // The friend's new key is asked for what the friend was.
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
    pub(super) fn record_statement(&mut self, index: usize, statement: &Statement) {
        for operation in &statement.operations {
            if let Operation::Request(request) = operation
                && !request.path.is_empty()
            {
                let asked = Asked { from: statement.author, held: request.held().credits(), clears: request.clearing };
                let place = (index, request.id, statement.currency.clone());
                self.asked.entry(place).or_default().push(asked);
            }
        }
    }
}
