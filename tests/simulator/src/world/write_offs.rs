//! What owners write off, as the disks of their nodes show it: which requests were released upstream, and what that may cost.

use super::{Fault, Node, World, name};
use crate::reference::signed;
use offst_funder::{Command, Funder, HopKey, LineKey, Reply, WriteOff};
use offst_ledger::Account;
use offst_proto::{Currency, RequestId};
use std::collections::BTreeSet;

impl Node {
    /// What a friend may still collect of what was written off, credits.
    pub(crate) fn at_risk(&self, line: &LineKey) -> u128 {
        let held = self.disk.image().written_off.into_iter().filter(|(outgoing, _)| outgoing.line == *line);
        held.map(|(_, write_off)| write_off.amount).sum()
    }

    /// Everything that was ever written off.
    fn write_offs(&self) -> impl Iterator<Item = (&HopKey, &WriteOff)> {
        self.disks().flat_map(|disk| &disk.written_off)
    }

    /// What its history says that it has lost to a friend that collected what was written off, credits.
    fn lost_to_write_offs(&self, currency: &Currency) -> i128 {
        let reports = self.disk.forwarded.iter().filter(|report| report.from.is_none() && report.currency == *currency);
        reports.map(|report| signed(report.amount)).sum()
    }
}

impl World {
    /// An owner writes off what a friend holds.
    ///
    /// # Panics
    /// When more is at risk afterwards than the owner has allowed.
    pub(crate) fn write_off(&mut self, node: usize, friend: usize, currency: &Currency, up_to: u128) {
        let line = LineKey { friend: self.key(friend), currency: currency.clone() };
        if !self.nodes[node].is_up() || self.nodes[node].writing.is_some() {
            return;
        }
        let before = self.nodes[node].at_risk(&line);
        let command = Command::WriteOff { name: name(friend), currency: currency.clone(), up_to };
        let id = self.command(node, command);
        let after = self.nodes[node].at_risk(&line);
        assert!(
            after <= before.max(up_to),
            "node {node} has {after} {currency} at risk with node {friend}, and its owner allowed {up_to}"
        );
        let Some(Reply::WrittenOff(report)) = self.reply(node, id) else { return };
        assert_eq!(report.at_risk.amount, after, "what node {node} tells of what is at risk with node {friend}");
        (0..report.released.count).for_each(|_| self.faults.add(Fault::WrittenOff));
        self.tell(|| format!("the owner of node {node} writes off up to {up_to} at node {friend}: {report:?}"));
    }

    /// Requests of others that a mediator has committed and that have not ended: the mediator, the friend that holds it, and in
    /// which currency.
    pub(crate) fn carried_and_bound(&self) -> Vec<(usize, usize, Currency)> {
        let mut found = BTreeSet::new();
        for (index, node) in self.nodes.iter().enumerate() {
            for (incoming, forward) in node.funder.iter().flat_map(|funder| Funder::rows(funder).forwards) {
                let currency = incoming.line.currency;
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

    /// Requests that were released although what went on may be collected, by who had made them: at the one who wrote off, and at
    /// everybody before him on the way.
    pub(crate) fn released(&self) -> BTreeSet<(usize, HopKey)> {
        let made: Vec<(usize, HopKey)> = self
            .nodes
            .iter()
            .enumerate()
            .flat_map(|(index, node)| node.requests().into_keys().map(move |hop| (index, hop)))
            .collect();
        let sold: Vec<BTreeSet<HopKey>> = self.nodes.iter().map(|node| node.sold().into_keys().collect()).collect();
        let mut released = BTreeSet::new();
        for (index, node) in self.nodes.iter().enumerate() {
            for (outgoing, write_off) in node.write_offs() {
                // Who is before whom, from the one who wrote off to the buyer.
                let mut reached = vec![(index, Some(write_off.from))];
                while let Some((to, from)) = reached.pop() {
                    for (maker, hop) in &made {
                        // A payment to its own buyer comes back to it under the same id: there it ends.
                        let end = LineKey { friend: self.key(*maker), currency: hop.line.currency.clone() }.hop(hop.id);
                        let is_one = !sold[to].contains(&end)
                            && hop.id == outgoing.id
                            && hop.line.friend == self.key(to)
                            && hop.line.currency == outgoing.line.currency
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
                let risked = node.write_offs().filter(|(outgoing, _)| outgoing.line.currency == *currency);
                let risked: i128 = risked.map(|(_, write_off)| signed(write_off.amount)).sum();
                let lost = node.lost_to_write_offs(currency);
                assert!(lost <= risked, "node {index} has lost {lost} {currency} to write-offs of {risked}");
            }
        }
    }
}
