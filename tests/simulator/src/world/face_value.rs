//! What honest nodes have at its face value, what liars owe them included, before their owners leave the liars. A
//! debtor may never pay, but that is all: nothing that a liar says makes a node forget what it is owed, or pay what
//! nobody pays it.

use super::World;
use super::conditions::owed_with_pending;
use super::worth::{LossOfWorth, Worth};
use crate::reference::signed;
use offst_crypto::PublicKey;
use offst_funder::{AccountId, Part};
use offst_proto::{Currency, RequestId};
use std::collections::BTreeMap;

impl World {
    /// A node is about to lose its disk: what it knows of its accounts with liars.
    pub(super) fn record_worth(&mut self, index: usize) {
        let liars = self.liars.iter().map(|liar| self.key(*liar)).collect::<Vec<PublicKey>>();
        let worths = self.nodes[index].look_at_accounts(|account| {
            let place = (index, account.key().remote, account.key().currency.clone());
            let most = account.epoch().map_or(0, owed_with_pending).max(0);
            (place, Worth::of(account), most)
        });
        for (place, worth, most) in worths.into_iter().filter(|((_, friend, _), ..)| liars.contains(friend)) {
            let debt = signed(self.debts.get(&place).copied().unwrap_or(0));
            // A second loss, before the first was made good: both may be denied.
            let pending = self.denied.entry(place).or_default();
            pending.at_stake += most + debt;
            pending.before.get_or_insert(worth);
        }
    }

    /// Where an account with a liar has come back, what the liar denies is known.
    pub(super) fn record_denied(&mut self, index: usize) {
        let open: Vec<_> = self
            .denied
            .iter()
            .filter(|((node, ..), _)| *node == index)
            .filter(|(_, denied)| denied.before.is_some())
            .map(|(place, _)| place.clone())
            .collect();
        for place in open {
            let (_, friend, currency) = &place;
            let account = self.nodes[index].find(*friend, currency);
            let account = account.filter(|account| account.active().is_some() && !account.is_recovering());
            let Some(after) = account.map(Worth::of) else { continue };
            let account_id = AccountId { friend: *friend, currency: currency.clone() };
            let times_collected = |id| self.nodes[index].signer_log.times_collected(&account_id.request(id));
            let denied = self.denied.get_mut(&place).expect("listed above");
            let before = denied.before.take().expect("looked above");
            denied.for_good.push(LossOfWorth::new(&before, &after, times_collected));
            denied.at_stake = 0;
        }
    }
}

impl World {
    /// # Panics
    /// When an honest node has less than what it was paid, what it paid, and what its owner was shown when they
    /// accepted terms.
    pub(crate) fn check_face_values(&self, honest: &[usize], currencies: &[Currency]) {
        if self.liars.is_empty() {
            return;
        }
        for index in honest.iter().copied().filter(|index| !self.careless.contains(index)) {
            let Some(_) = &self.nodes[index].funder else { continue };
            for currency in currencies {
                let is_paid = |id: RequestId, part: &Part| {
                    let first = self.index(part.path[0]);
                    let hop = AccountId { friend: self.key(index), currency: currency.clone() }.request(id);
                    self.replaced.contains(&index)
                        && (self.liars.contains(&first) || self.nodes[first].collected().contains(&hop))
                };
                let node = &self.nodes[index];
                // A friend that has disabled this node shows it nothing of what was lost.
                let mut of_currency = node.accounts().filter(|(_, account)| account.key().currency == *currency);
                if of_currency.any(|(_, account)| account.is_suspect()) {
                    continue;
                }
                let must = node.records(currency, is_paid) - self.misjudged_fees(index, currency);
                let must = must - self.undone(index, currency);
                let accounts = node.accounts().filter(|(_, account)| account.key().currency == *currency);
                let has: i128 = accounts
                    .map(|(_, account)| {
                        let claimed: u128 = account.claimed().map(|(_, amount)| amount).sum();
                        account.epoch().map_or(0, |epoch| epoch.balance()) + signed(claimed)
                    })
                    .sum();
                let accepted: i128 = self.liars.iter().map(|liar| self.given_up(index, *liar, currency)).sum();
                let denied = self.denied.iter().filter(|((node, _, of), _)| *node == index && of == currency);
                let denied = denied.map(|((_, friend, _), denied)| {
                    let account_id = AccountId { friend: *friend, currency: currency.clone() };
                    denied
                        .credits(|id| node.has_noted(id), |id| node.signer_log.times_collected(&account_id.request(id)))
                });
                let denied: i128 = denied.sum();
                assert!(
                    has >= must - accepted - denied,
                    "node {index} has {has} {currency}, what liars owe it included, and must have {must}: its owner was shown \
                     that this gives {accepted} up, and liars could deny {denied}"
                );
            }
        }
    }

    /// Fees that a node has noted without knowing any more what it had passed on, over what it really kept.
    pub(crate) fn misjudged_fees(&self, index: usize, currency: &Currency) -> i128 {
        if !self.replaced.contains(&index) {
            return 0;
        }
        let own = self.nodes[index].requests();
        let reports = self.nodes[index].disks().flat_map(|disk| &disk.forwarded);
        let reports = reports.filter(|report| report.currency == *currency);
        let reports: BTreeMap<_, _> = reports.map(|report| ((report.request_id, report.from), report)).collect();
        let misjudged = reports.into_iter().filter_map(|((id, from), report)| {
            let account_id = |friend| AccountId { friend, currency: currency.clone() };
            let came = *self.nodes[self.index(from?)].requests().get(&account_id(self.key(index)).request(id))?;
            let mut onward = own.iter().filter(|(hop, _)| hop.id == id && hop.account.currency == *currency);
            let (_, went) = onward.next()?;
            Some(signed(report.fee.credits()) - (signed(came) - signed(*went)))
        });
        misjudged.sum()
    }

    /// What a node had carried to a liar and collected, before it lost its disk and before the honest friend that it
    /// came from had stored that it was collected. When the liar shows a state from before it had collected it, nobody
    /// knows the preimage any more: the node owes the liar so much less, and is not paid by its friend.
    fn undone(&self, index: usize, currency: &Currency) -> i128 {
        let reports = self.nodes[index].past.iter().flat_map(|disk| &disk.forwarded);
        let reports = reports.filter(|report| report.currency == *currency);
        let reports: BTreeMap<_, _> = reports.map(|report| ((report.request_id, report.from), report)).collect();
        let account_id = AccountId { friend: self.key(index), currency: currency.clone() };
        let undone = reports.into_iter().filter(|((id, from), report)| {
            let Some(from) = from.map(|from| self.index(from)) else { return false };
            let to = self.index(report.to);
            let is_between = self.liars.contains(&to) && !self.liars.contains(&from);
            is_between
                && !self.nodes[from].has_paid(id)
                && !self.nodes[to].disk.collected.contains(&account_id.request(*id))
        });
        undone.map(|(_, report)| signed(report.amount.credits() + report.fee.credits())).sum()
    }
}
