//! What a run needs to know and do besides commands: which nodes stand still, which are gone, what is pending.

use super::disk::Disk;
use super::scheduler::Plan;
use super::{InjectedFault, Node, World};
use crate::reference::signed;
use offst_crypto::PublicKey;
use offst_funder::{AccountId, Funder, Part, Progress, RequestRef};
use offst_ledger::{Account, AccountKey, Direction, Epoch, Status};
use offst_proto::order::Order;
use offst_proto::report::{ForwardReport, InvoiceStatus};
use offst_proto::{Currency, RequestId};
use std::collections::{BTreeMap, BTreeSet};

/// What a friend owes, with what is pending of it and it can only pay or take back together with us, credits.
pub(super) fn owed_with_pending(epoch: &Epoch) -> i128 {
    epoch.balance() + i128::try_from(epoch.remote_pending()).expect("bounded")
}

/// What a friend owes; before an account has begun, what its owner says.
fn balance_of(account: &Account) -> i128 {
    let said = account.negotiation().mine.as_ref().map_or(0, |opening| opening.balance);
    account.epoch().map_or(said, |epoch| epoch.balance())
}

impl Node {
    /// How an account stands, if there is one.
    pub(crate) fn status(&self, friend: PublicKey, currency: &Currency) -> Option<Status> {
        self.find(friend, currency).map(Account::status)
    }

    pub(crate) fn find(&self, friend: PublicKey, currency: &Currency) -> Option<&Account> {
        let mut accounts = self.funder.iter().flat_map(Funder::accounts);
        accounts
            .find(|(key, account)| *key == friend && account.key().currency == *currency)
            .map(|(_, account)| account)
    }

    /// What all friends owe in a currency, credits.
    pub(crate) fn wealth_in(&self, currency: &Currency) -> i128 {
        let accounts = self.funder.iter().flat_map(Funder::accounts);
        let of_currency = accounts.filter(|(_, account)| account.key().currency == *currency);
        of_currency.map(|(_, account)| account.epoch().map_or(0, |epoch| epoch.balance())).sum()
    }

    /// Every request of a friend's that was collected.
    pub(crate) fn collected(&self) -> BTreeSet<RequestRef> {
        let mut collected = self.signer_log.collects();
        collected.extend(self.disks().flat_map(|disk| disk.collected.iter().cloned()));
        collected
    }

    /// Requests that ended at this node and that it has collected, by all disks it ever had.
    pub(crate) fn sold(&self) -> BTreeMap<RequestRef, u128> {
        let collected = self.collected();
        let arrived = self.disks().flat_map(|disk| &disk.arrived).filter(|(key, _)| collected.contains(key));
        arrived.map(|(key, inbound_part)| (key.clone(), inbound_part.amount.credits())).collect()
    }

    /// What the node must have in a currency by its own records, on all disks it ever had: what it collected as a
    /// seller, took as a mediator, and paid. `is_paid`: of a part that was promised, and that the node does not know to
    /// be paid.
    pub(crate) fn records(&self, currency: &Currency, is_paid: impl Fn(RequestId, &Part) -> bool) -> i128 {
        let sold = self.sold();
        let sold = sold.iter().filter(|(key, _)| key.account.currency == *currency).map(|(_, amount)| *amount);
        let reports = self.disks().flat_map(|disk| &disk.forwarded).filter(|report| report.currency == *currency);
        // What was collected after it had been written off was paid by nobody else.
        let change = |report: &ForwardReport| match report.from {
            Some(_) => signed(report.fee.credits()),
            None => -signed(report.amount.credits()),
        };
        let took: BTreeMap<_, i128> =
            reports.map(|report| ((report.request_id, report.from), change(report))).collect();
        let payments = self.disks().flat_map(Disk::payments).filter(|payment| payment.currency == *currency);
        let parts = payments.flat_map(|payment| payment.parts);
        let is_paid = |id, part: &Part| part.preimage.is_some() || part.promise.is_some() && is_paid(id, part);
        let paid = parts.filter(|(id, part)| is_paid(*id, part)).map(|(id, part)| (id, part.total()));
        let paid: BTreeMap<_, u128> = paid.collect();
        signed(sold.sum()) + took.into_values().sum::<i128>() - signed(paid.into_values().sum())
    }

    /// What each request holds that the node has signed, credits.
    pub(crate) fn requests(&self) -> BTreeMap<RequestRef, u128> {
        self.signer_log.requests()
    }

    /// What a friend owes as the node or, if it is down, its disk sees it.
    fn balance(&self, friend: PublicKey, currency: &Currency) -> Option<i128> {
        if let Some(account) = self.find(friend, currency) {
            return Some(balance_of(account));
        }
        if self.funder.is_some() {
            return None;
        }
        let image = self.disk.account(&AccountId::new(friend, currency))?;
        let key = AccountKey { local: self.key, remote: friend, currency: currency.clone() };
        Some(balance_of(&Account::restore(key, image).expect("the disk can be read")))
    }
}

impl World {
    /// The key of some node.
    pub(super) fn anybody(&mut self) -> PublicKey {
        let index = self.dice.below(self.nodes.len());
        self.key(index)
    }

    /// A process stands still for so long.
    pub(crate) fn stall(&mut self, index: usize, ms: u64) {
        if !self.nodes[index].is_stalled {
            self.nodes[index].is_stalled = true;
            self.faults.add(InjectedFault::Stalled);
            self.plan(ms, Plan::GoOn(index));
        }
    }

    /// Nothing goes wrong any more, and everybody is up.
    pub(crate) fn calm(&mut self) {
        self.wrong_answers = [0, 0];
        self.calm_relays();
        self.clear_air();
        for index in 0..self.nodes.len() {
            self.nodes[index].is_stalled = false;
            self.nodes[index].is_silent = false;
            self.nodes[index].is_away = false;
            if self.is_clock_wrong(index) {
                self.right_clock(index);
            }
            self.nodes[index].crash = None;
            self.nodes[index].slow_ms = 0;
        }
        for index in 0..self.nodes.len() {
            self.start(index);
        }
    }

    /// Counts invoices whose time was over before somebody had paid them.
    pub(crate) fn count_expired(&mut self) {
        let invoices = self.nodes.iter().flat_map(|node| node.disk.invoices());
        let expired = invoices.filter(|record| record.status == InvoiceStatus::Expired).count();
        (0..expired).for_each(|_| self.faults.add(InjectedFault::InvoiceExpired));
    }

    /// Whether anything is pending between two nodes.
    pub(crate) fn is_pending(&self, from: usize, to: usize) -> bool {
        let key = self.key(to);
        let accounts = self.nodes[from].funder.iter().flat_map(Funder::accounts);
        let mut accounts = accounts.filter(|(friend, _)| *friend == key);
        accounts.any(|(_, account)| account.epoch().is_some_and(|epoch| epoch.pendings().next().is_some()))
    }

    /// Whether two nodes pay each other over one account at the same time, as far as either of them knows. Also when
    /// one of them cannot be asked.
    pub(crate) fn is_pending_both_ways(&self, from: usize, to: usize) -> bool {
        let (Some(mine), Some(theirs)) = (&self.nodes[from].funder, &self.nodes[to].funder) else { return true };
        let pending = |funder: &Funder, friend: PublicKey, wanted: Direction| -> BTreeSet<Currency> {
            let accounts = funder.accounts().filter(|(key, _)| *key == friend);
            let count = |account: &Account| account.epoch().map_or(0, |epoch| epoch.pending_count(wanted));
            accounts
                .filter(|(_, account)| count(account) > 0)
                .map(|(_, account)| account.key().currency.clone())
                .collect()
        };
        let between = |ours: Direction, others: Direction| -> BTreeSet<Currency> {
            let seen_here = pending(mine, self.key(to), ours);
            seen_here.into_iter().chain(pending(theirs, self.key(from), others)).collect()
        };
        let there = between(Direction::Outgoing, Direction::Incoming);
        !there.is_disjoint(&between(Direction::Incoming, Direction::Outgoing))
    }

    /// A node that a friend's request is on the way to, the friend, the currency, and a limit that this request passes
    /// by one credit.
    pub(crate) fn asked_meanwhile(&mut self) -> Option<(usize, usize, Currency, u128)> {
        let mut asked = Vec::new();
        for (to, friend) in self.nodes.iter().enumerate().filter(|(to, _)| !self.liars.contains(to)) {
            for (key, account) in friend.accounts() {
                let from = self.index(key);
                let currency = account.key().currency.clone();
                let seen = self.nodes[from].find(friend.key, &currency).and_then(Account::active);
                let (Some(theirs), Some(seen)) = (account.active(), seen) else { continue };
                let debt = i128::try_from(theirs.local_pending()).expect("bounded") - theirs.balance();
                if theirs.agreed == seen.agreed && debt > owed_with_pending(seen) && debt > 0 {
                    asked.push((from, to, currency, debt.unsigned_abs() - 1));
                }
            }
        }
        self.dice.pick(&asked)
    }

    /// What `from` lets `to` owe.
    pub(crate) fn limit(&self, from: usize, to: usize, currency: &Currency) -> u128 {
        self.nodes[from].find(self.key(to), currency).map_or(0, |account| account.limit().credits())
    }

    /// One of these orders that is still under way.
    pub(crate) fn orders_of(&mut self, orders: &[(usize, Order)]) -> Option<(usize, Order)> {
        let recent = &orders[orders.len().saturating_sub(8)..];
        let is_open = |(node, order): &&(usize, Order)| {
            let stored = self.nodes[*node].disk.payment(order.payment_id);
            stored.is_some_and(|payment| matches!(payment.progress, Progress::Searching | Progress::Committed))
        };
        let open: Vec<_> = recent.iter().filter(is_open).cloned().collect();
        self.dice.pick(&open)
    }

    /// An account is gone with its friend. What its owner remembers is what the other side remembers: nothing was
    /// pending.
    ///
    /// # Panics
    /// When there was a balance that nobody has forgiven.
    pub(super) fn dropped(&mut self, index: usize, friend: PublicKey, currency: &Currency) {
        let (other, key) = (self.index(friend), self.key(index));
        if self.is_retired(other) {
            return;
        }
        let theirs = self.nodes[other].balance(key, currency);
        let theirs = theirs.or_else(|| self.gone.get(&(other, index, currency.clone())).copied()).unwrap_or(0);
        let is_replaced = self.nodes[index].disk.has_replaced(friend);
        // A row that a test has taken out is not gone for the node.
        let is_forgiven = is_replaced || self.knows(index, other) || self.forgiven.contains(&(index, friend));
        assert!(is_forgiven || theirs == 0, "node {index} removes node {other}, and {theirs} {currency} with it");
        self.gone.insert((index, other, currency.clone()), -theirs);
    }

    /// Makes friends again with one that was removed, on the balance that was left.
    pub(crate) fn befriend_again(&mut self, from: usize, to: usize, currencies: &[Currency]) {
        for currency in currencies {
            let place = (from, to, currency.clone());
            let Some(balance) = self.gone.get(&place).copied() else { continue };
            if !self.nodes[from].is_up() || self.nodes[from].writing.is_some() {
                continue;
            }
            let limit = 500 + self.dice.below(2_000) as u128;
            let id = self.command(from, self.friendship(to, currency, balance, limit));
            let reply = self.reply(from, id);
            if self.nodes[from].find(self.key(to), currency).is_some() {
                self.gone.remove(&place);
            } else if reply.is_some() {
                panic!("node {from} cannot be a friend of node {to} again: {reply:?}");
            }
        }
    }

    /// Liars are gone for good.
    pub(crate) fn retire_liars(&mut self) {
        self.liars_are_gone = true;
        for liar in self.liars.clone() {
            self.kill(liar);
        }
    }

    /// The most that a node ever owed this friend, credits.
    pub(crate) fn debt(&self, index: usize, friend: usize, currency: &Currency) -> u128 {
        self.debts.get(&(index, self.key(friend), currency.clone())).copied().unwrap_or(0)
    }

    /// What this friend could deny when the node had lost state, over all its losses, credits.
    pub(crate) fn stake_of(&self, index: usize, friend: usize, currency: &Currency) -> u128 {
        self.stakes.get(&(index, self.key(friend), currency.clone())).copied().unwrap_or(0)
    }

    /// The most that a node ever let this friend owe, credits.
    pub(crate) fn ceiling(&self, index: usize, friend: usize, currency: &Currency) -> u128 {
        self.ceilings.get(&(index, self.key(friend), currency.clone())).copied().unwrap_or(0)
    }
}
