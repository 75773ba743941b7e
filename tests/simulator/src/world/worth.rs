//! What an account with a liar is worth to a node, before and after the node has lost its disk.

use crate::reference::signed;
use offst_ledger::{Account, Direction};
use offst_proto::RequestId;
use std::collections::BTreeMap;

/// What is committed on an account in one direction, credits.
fn committed(account: &Account, wanted: Direction) -> BTreeMap<RequestId, u128> {
    let pendings = account.epoch().into_iter().flat_map(|epoch| epoch.pendings());
    let pendings = pendings.filter(|(direction, _, pending)| *direction == wanted && pending.stage.is_committed());
    pendings.map(|(_, id, pending)| (id, pending.held.credits())).collect()
}

/// What an account comes to, credits.
#[derive(Debug, Clone)]
pub(super) struct Worth {
    pub(super) balance: i128,
    /// What the node may collect.
    pub(super) comes: BTreeMap<RequestId, u128>,
    /// What the friend may collect.
    pub(super) promised: BTreeMap<RequestId, u128>,
}

impl Worth {
    pub(super) fn of(account: &Account) -> Self {
        Worth {
            balance: account.epoch().map_or(0, |epoch| epoch.balance()),
            comes: committed(account, Direction::Incoming),
            promised: committed(account, Direction::Outgoing),
        }
    }
}

/// What is in one of two maps alone.
fn only_in(one: &BTreeMap<RequestId, u128>, other: &BTreeMap<RequestId, u128>) -> BTreeMap<RequestId, u128> {
    one.iter().filter(|(id, _)| !other.contains_key(id)).map(|(id, amount)| (*id, *amount)).collect()
}

/// What a liar denies of what a node has forgotten, credits.
#[derive(Debug, Clone, Default)]
pub(super) struct Denied {
    /// What the account was worth before the node lost its disk, as long as it has not come back.
    pub(super) before: Option<Worth>,
    /// What may be denied when it comes back.
    pub(super) at_stake: i128,
    /// What was denied each time it came back.
    pub(super) for_good: Vec<LossOfWorth>,
}

/// What an account is worth less since it came back.
#[derive(Debug, Clone)]
pub(super) struct LossOfWorth {
    /// What the friend owes less, what it had committed and does not know any more, and what it may collect besides.
    pub(super) credits: i128,
    /// What the friend could collect before, and cannot collect now. Where it has collected it meanwhile, the node has its part of
    /// that. Where it has left it out of what it shows, that brings the node nothing: the node that would have paid for it keeps it, too.
    pub(super) left_out: BTreeMap<RequestId, u128>,
    /// What the friend shows as committed to the node, and was not before, with how often the node had collected it by then. It is
    /// worth something if it is collected from there: it may have been given up long ago.
    pub(super) revived: BTreeMap<RequestId, (u128, usize)>,
}

impl LossOfWorth {
    pub(super) fn new(before: &Worth, after: &Worth, times_collected: impl Fn(RequestId) -> usize) -> Self {
        let gone: u128 = only_in(&before.comes, &after.comes).values().sum();
        let promised: u128 = only_in(&after.promised, &before.promised).values().sum();
        let revived = only_in(&after.comes, &before.comes).into_iter();
        LossOfWorth {
            credits: before.balance - after.balance + signed(gone + promised),
            left_out: only_in(&before.promised, &after.promised),
            revived: revived.map(|(id, amount)| (id, (amount, times_collected(id)))).collect(),
        }
    }
}

impl Denied {
    /// What is or may be denied, credits. `is_noted`: whether the node has noted that a request of its was collected, or paid itself.
    /// `times_collected`: how often it has collected a request of the friend's.
    pub(super) fn credits(
        &self,
        is_noted: impl Fn(&RequestId) -> bool,
        times_collected: impl Fn(RequestId) -> usize,
    ) -> i128 {
        let of_one = |loss: &LossOfWorth| {
            let collected = loss.left_out.iter().filter(|(id, _)| is_noted(id)).map(|(_, amount)| *amount);
            let again = loss.revived.iter().filter(|(id, (_, before))| times_collected(**id) > *before);
            let again = again.map(|(_, (amount, _))| *amount);
            (loss.credits - signed(collected.chain(again).sum())).max(0)
        };
        self.for_good.iter().map(of_one).sum::<i128>() + self.at_stake
    }
}
