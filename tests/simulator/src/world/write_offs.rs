//! What owners write off, as the disks of their nodes show it: which requests were released upstream, and what that may
//! cost.

use super::{InjectedFault, Node, World, name};
use crate::reference::signed;
use offst_funder::{AccountId, Command, Forward, FriendRecord, Funder, Reply, RequestRef, WriteOff};
use offst_ledger::Account;
use offst_proto::Amount;
use offst_proto::{Currency, RequestId};
use std::collections::{BTreeMap, BTreeSet};

impl Node {
    /// What a friend may still collect of what was written off, credits.
    pub(crate) fn at_risk(&self, account_id: &AccountId) -> u128 {
        let held = self.disk.all::<WriteOff>().into_iter().filter(|(outgoing, _)| outgoing.account == *account_id);
        held.map(|(_, write_off)| write_off.held).sum()
    }

    /// Everything that was ever written off.
    fn write_offs(&self) -> impl Iterator<Item = (&RequestRef, &WriteOff)> {
        self.disks().flat_map(|disk| &disk.written_off)
    }

    /// What its history says that it has lost to a friend that collected what was written off, credits.
    fn lost_to_write_offs(&self, currency: &Currency) -> i128 {
        let reports = self.disk.forwarded.iter().filter(|report| report.from.is_none() && report.currency == *currency);
        reports.map(|report| signed(report.amount.credits())).sum()
    }
}

fn forwards(funder: &Funder) -> Vec<(RequestRef, Forward)> {
    funder.rows().read().expect("what a machine holds can be read")
}

impl World {
    /// An owner writes off what a friend holds.
    ///
    /// # Panics
    /// When more is at risk afterwards than the owner has allowed.
    pub(crate) fn write_off(&mut self, node: usize, friend: usize, currency: &Currency, up_to: u128) {
        let account_id = AccountId { friend: self.key(friend), currency: currency.clone() };
        if !self.nodes[node].is_up() || self.nodes[node].writing.is_some() {
            return;
        }
        let before = self.nodes[node].at_risk(&account_id);
        let command =
            Command::WriteOff { name: name(friend), currency: currency.clone(), up_to: Amount::capped(up_to) };
        let id = self.command(node, command);
        let after = self.nodes[node].at_risk(&account_id);
        assert!(
            after <= before.max(up_to),
            "node {node} has {after} {currency} at risk with node {friend}, and its owner allowed {up_to}"
        );
        let Some(Reply::WrittenOff(report)) = self.reply(node, id) else { return };
        assert_eq!(report.at_risk.amount, after, "what node {node} tells of what is at risk with node {friend}");
        (0..report.released.count).for_each(|_| self.faults.add(InjectedFault::WrittenOff));
        self.tell(|| format!("the owner of node {node} writes off up to {up_to} at node {friend}: {report:?}"));
    }

    /// An owner allows that up to so much is written off without asking.
    pub(crate) fn set_auto_write_off(&mut self, node: usize, friend: usize, currency: &Currency, up_to: u128) {
        if !self.nodes[node].is_up() || self.nodes[node].writing.is_some() {
            return;
        }
        let account_id = AccountId { friend: self.key(friend), currency: currency.clone() };
        // A process that dies in this batch may have written it.
        let allowed = self.allowed.entry((node, account_id)).or_default();
        *allowed = up_to.max(*allowed);
        self.command(node, Command::SetAutoWriteOff(name(friend), currency.clone(), Amount::capped(up_to)));
        self.tell(|| format!("the owner of node {node} lets up to {up_to} be written off at node {friend} by itself"));
    }

    /// When the process of a node began that runs and knows all that it ever knew. None: there is none.
    pub(crate) fn started(&self, node: usize) -> Option<u64> {
        let runs = self.nodes[node].is_up() && !self.lost.contains(&node);
        runs.then_some(self.nodes[node].booted)
    }

    /// What `node` has committed to `friend` for others, and has not ended.
    pub(crate) fn bound_at(&self, node: usize, friend: usize, currency: &Currency) -> BTreeSet<RequestId> {
        let account: Option<&Account> = self.nodes[node].find(self.key(friend), currency);
        let pendings = account.into_iter().flat_map(|account| account.epoch()).flat_map(|epoch| epoch.pendings());
        let ids = pendings.map(|(_, id, _)| id);
        ids.filter(|id| account.is_some_and(|account| account.is_bound(*id))).collect()
    }

    /// The owner is told of what has been held for too long.
    ///
    /// # Panics
    /// When something is missing. `held`: what was bound an overdue time ago, while the node has run.
    pub(crate) fn check_overdue(
        &mut self,
        node: usize,
        friend: usize,
        currency: &Currency,
        held: &BTreeSet<RequestId>,
    ) {
        if !self.nodes[node].is_up() || self.nodes[node].writing.is_some() {
            return;
        }
        let still: Vec<_> = self.bound_at(node, friend, currency).intersection(held).copied().collect();
        let id = self.command(node, Command::Friends);
        let Some(Reply::Friends(friends)) = self.reply(node, id) else { return };
        let accounts = friends.iter().filter(|one| one.public_key == self.key(friend)).flat_map(|one| &one.accounts);
        let told: BTreeSet<_> = accounts
            .filter(|account| account.currency == *currency)
            .flat_map(|account| account.overdue.iter().map(|request| request.request_id))
            .collect();
        for request in still {
            assert!(told.contains(&request), "node {friend} holds {request}, and the owner of node {node} is not told");
        }
    }

    /// What was written off without asking stays within what the owner has allowed, and ends when a friend collects of
    /// it.
    ///
    /// # Panics
    /// When more is at risk, or it goes on.
    pub(super) fn check_auto_write_offs(&mut self, index: usize) {
        if self.allowed.keys().all(|(node, _)| *node != index) {
            return;
        }
        let write_offs = self.nodes[index].disk.all::<WriteOff>();
        let mut at_risk = BTreeMap::<AccountId, u128>::new();
        for (outgoing, write_off) in write_offs.into_iter().filter(|(_, write_off)| write_off.is_automatic) {
            *at_risk.entry(outgoing.account).or_default() += write_off.held.credits();
        }
        for (account_id, amount) in at_risk {
            let allowed = self.allowed.get(&(index, account_id)).copied().unwrap_or_default();
            assert!(amount <= allowed, "node {index} has {amount} at risk without asking, and {allowed} were allowed");
        }
        let disk = &self.nodes[index].disk;
        let losses: Vec<_> = disk
            .forwarded
            .iter()
            .filter(|report| report.from.is_none())
            .map(|report| AccountId { friend: report.to, currency: report.currency.clone() }.request(report.request_id))
            .filter(|outgoing| disk.written_off.get(outgoing).is_some_and(|write_off| write_off.is_automatic))
            .collect();
        for outgoing in losses {
            if !self.collected_anyway.insert((index, outgoing.clone())) {
                continue;
            }
            let friends = self.nodes[index].disk.all::<FriendRecord>();
            let record = friends.iter().find(|(key, _)| *key == outgoing.account.friend);
            let is_off = record.is_none_or(|(_, record)| record.auto_write_offs.is_empty());
            assert!(is_off, "node {index} has lost by {}, and goes on writing off without asking", outgoing.id);
        }
    }

    /// Requests of others that a mediator has committed and that have not ended: the mediator, the friend that holds
    /// it, and in which currency.
    pub(crate) fn carried_and_bound(&self) -> Vec<(usize, usize, Currency)> {
        let mut found = BTreeSet::new();
        for (index, node) in self.nodes.iter().enumerate() {
            for (incoming, forward) in node.funder.iter().flat_map(forwards) {
                let currency = incoming.account.currency;
                let account: Option<&Account> = node.find(forward.to, &currency);
                if account.is_some_and(|account| account.is_bound(incoming.id)) {
                    found.insert((index, self.index(forward.to), currency));
                }
            }
        }
        found.into_iter().collect()
    }

    /// Every request that any owner has ever written off.
    pub(crate) fn written_off(&self) -> BTreeSet<RequestId> {
        self.nodes.iter().flat_map(Node::write_offs).map(|(outgoing, _)| outgoing.id).collect()
    }

    /// Requests that were released although what went on may be collected, by who had made them: at the one who wrote
    /// off, and at everybody before them on the path.
    pub(crate) fn released(&self) -> BTreeSet<(usize, RequestRef)> {
        let made: Vec<(usize, RequestRef)> = self
            .nodes
            .iter()
            .enumerate()
            .flat_map(|(index, node)| node.requests().into_keys().map(move |hop| (index, hop)))
            .collect();
        let sold: Vec<BTreeSet<RequestRef>> = self.nodes.iter().map(|node| node.sold().into_keys().collect()).collect();
        let mut released = BTreeSet::new();
        for (index, node) in self.nodes.iter().enumerate() {
            for (outgoing, write_off) in node.write_offs() {
                // Who is before whom, from the one who wrote off to the buyer.
                let mut reached = vec![(index, Some(write_off.from))];
                while let Some((to, from)) = reached.pop() {
                    for (maker, hop) in &made {
                        // A payment to its own buyer comes back to it under the same id: there it ends.
                        let end = AccountId { friend: self.key(*maker), currency: hop.account.currency.clone() }
                            .request(hop.id);
                        let is_one = !sold[to].contains(&end)
                            && hop.id == outgoing.id
                            && hop.account.friend == self.key(to)
                            && hop.account.currency == outgoing.account.currency
                            && from.is_none_or(|from| self.key(*maker) == from);
                        if is_one && released.insert((*maker, hop.clone())) {
                            reached.push((*maker, None));
                        }
                    }
                }
            }
        }
        released
    }

    /// What every node has in each of these currencies is what its own history says, losses by write-offs included.
    ///
    /// # Panics
    /// When a history does not add up.
    pub(crate) fn check_histories(&self, honest: &[usize], currencies: &[Currency]) {
        for index in honest {
            let node = &self.nodes[*index];
            for currency in currencies {
                let (has, says) = (node.wealth_in(currency), node.records(currency, |_, _| false));
                assert_eq!(has, says, "what node {index} has in {currency}, and what its history says");
                let risked = node.write_offs().filter(|(outgoing, _)| outgoing.account.currency == *currency);
                let risked: i128 = risked.map(|(_, write_off)| signed(write_off.held.credits())).sum();
                let lost = node.lost_to_write_offs(currency);
                assert!(lost <= risked, "node {index} has lost {lost} {currency} to write-offs of {risked}");
            }
        }
    }
}
