//! Keys that are lost: who comes after them, and what nobody may do with the old one any more.

use super::{EventKind, InjectedFault, World, name};
use offst_crypto::PublicKey;
use offst_funder::{AccountId, Command, Input, Output, Reply};
use offst_ledger::{Account, AccountKey, Direction};
use offst_proto::friend::FriendMessage;
use offst_proto::order::NewFriend;
use offst_proto::statement::{Operation, Statement};
use offst_proto::ticket::FriendTicket;
use offst_proto::{Currency, RequestId, Verified};
use std::collections::BTreeSet;

/// Requests that signed commits bind its owner to.
fn bound(account: &Account) -> Vec<RequestId> {
    let pendings = account.epoch().into_iter().flat_map(|epoch| epoch.pendings());
    let outgoing = pendings.filter(|(direction, ..)| *direction == Direction::Outgoing).map(|(_, id, _)| id);
    outgoing.filter(|id| account.is_bound(*id)).collect()
}

impl World {
    /// Accounts over which a signed commit goes whose request has not ended there: who has promised to pay, and whom.
    pub(crate) fn promises(&self) -> Vec<(usize, usize)> {
        let mut promises = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let bound = node.accounts().filter(|(_, account)| !bound(account).is_empty());
            promises.extend(bound.map(|(friend, _)| (index, self.index(friend))));
        }
        promises
    }

    /// Those of them that forward what somebody else has asked for.
    pub(crate) fn promises_onwards(&self) -> Vec<(usize, usize)> {
        let is_asked = |index: usize, id: RequestId| {
            self.nodes[index].accounts().any(|(_, account)| account.pending(Direction::Incoming, id).is_some())
        };
        let mut promises = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let carries = |account: &Account| bound(account).into_iter().any(|id| is_asked(index, id));
            let onwards = node.accounts().filter(|(_, account)| carries(account));
            promises.extend(onwards.map(|(friend, _)| (index, self.index(friend))));
        }
        promises
    }

    /// Who the owner of a node is now: the node with its newest key, or itself.
    pub(crate) fn person(&self, index: usize) -> usize {
        self.replacements.get(&index).map_or(index, |replacement| self.person(*replacement))
    }

    /// Whether the key of a node was lost.
    pub(crate) fn is_retired(&self, index: usize) -> bool {
        self.replacements.contains_key(&index)
    }

    /// Requests of which every account beside a place where both ends have forgotten, or where a key was lost, may hold
    /// the one end or the other.
    pub(crate) fn uncertain(&self) -> BTreeSet<RequestId> {
        self.torn.values().flatten().chain(&self.rotated_requests).copied().collect()
    }

    /// A node's folder is gone, with the identity in it. `replacement`: the node that its owner has from then on.
    pub(crate) fn lose_key(&mut self, lost: usize, replacement: usize) {
        self.faults.add(InjectedFault::LostKey);
        self.tell(|| format!("the key of node {lost} is lost; its owner goes on as node {replacement}"));
        self.kill(lost);
        self.replacements.insert(lost, replacement);
    }

    /// How others reach a node.
    pub(crate) fn ticket(&self, index: usize) -> FriendTicket {
        FriendTicket { public_key: self.key(index), relays: self.relays_of(index), address: None }
    }

    fn accounts_with(&self, index: usize, friend: PublicKey) -> Vec<Account> {
        let accounts = self.nodes[index].accounts().filter(|(key, _)| *key == friend);
        accounts.map(|(_, account)| account.clone()).collect()
    }

    /// The owner of `friend` agrees that a lost key has a new key. Whatever binds it binds it as before. Says whether
    /// it is done; otherwise the friend is down or waits for payments of the lost node's that are in flight.
    ///
    /// # Panics
    /// When anything that was committed to the lost key is not offered to the new key.
    pub(crate) fn replace_key(&mut self, friend: usize, lost: usize, replacement: usize) -> bool {
        let before = self.accounts_with(friend, self.key(lost));
        // Afterwards an account that has not begun says nothing of them.
        let unsettled = self.unsettled_between([friend, lost]);
        self.rotated_requests.extend(unsettled);
        let id = self.command(friend, Command::ReplaceFriendKey(name(lost), self.ticket(replacement)));
        let (lost_key, new_key) = (self.key(lost), self.key(replacement));
        let has_replaced = self.nodes[friend].disk.has_replaced(lost_key);
        assert!(has_replaced || self.reply(friend, id) != Some(Reply::Done), "what was agreed to is on the disk");
        if !self.record_replaced(friend, lost) {
            if let Some(Reply::Refused(message)) = self.reply(friend, id) {
                self.tell(|| format!("node {friend} refuses to replace the key of node {lost}: {message}"));
            }
            return false;
        }
        if before.iter().any(|account| !bound(account).is_empty()) {
            self.faults.did(EventKind::KeyRotatedBound);
        }
        let after = self.accounts_with(friend, new_key);
        for old in before.iter().filter(|_| self.nodes[friend].funder.is_some()) {
            let currency = &old.key().currency;
            let new = after.iter().find(|account| account.key().currency == *currency);
            let offered = new.and_then(|account| account.negotiation().mine.as_ref()).expect("an account is offered");
            for id in bound(old) {
                let pending = old.pending(Direction::Outgoing, id).expect("what binds is pending");
                let continuing = offered.continuing.iter().find(|continuing| continuing.id == id);
                let is_kept =
                    continuing.is_some_and(|continuing| continuing.author_pays && continuing.held == pending.held);
                assert!(
                    is_kept,
                    "node {friend} has promised request {id} to node {lost} and does not offer it to {replacement}"
                );
            }
        }
        true
    }

    /// Whether it is on the disk that `friend` has agreed to the new key of a lost key; from then on nobody says
    /// anything to the lost one. What it leaves behind on the account may end in either way.
    pub(crate) fn record_replaced(&mut self, friend: usize, lost: usize) -> bool {
        let key = self.key(lost);
        if !self.nodes[friend].disk.has_replaced(key) {
            return false;
        }
        if self.replaced_keys.insert((friend, key)) {
            let unsettled = self.unsettled_between([friend, lost]);
            self.rotated_requests.extend(unsettled);
        }
        true
    }

    /// Whether a node, which is up, has a friend of this key.
    pub(crate) fn knows(&self, index: usize, friend: usize) -> bool {
        let key = self.key(friend);
        self.nodes[index].accounts().any(|(known, _)| known == key)
    }

    /// What a friend offers to the one that comes after a lost key: each currency, and the balance from the new key's
    /// side.
    pub(crate) fn offered_to(&self, friend: usize, replacement: usize) -> Vec<(Currency, i128)> {
        let accounts = self.accounts_with(friend, self.key(replacement));
        let offered = accounts.iter().filter_map(|account| {
            Some((account.key().currency.clone(), -account.negotiation().mine.as_ref()?.balance))
        });
        offered.collect()
    }

    /// Somebody has found a lost key, and speaks with it to a friend that has replaced it: a valid next statement,
    /// valid terms. Nothing comes of it, and no owner can be talked into it.
    pub(crate) fn haunt(&mut self, lost: usize, friend: usize, currency: &Currency) {
        if !self.replaced_keys.contains(&(friend, self.key(lost))) || !self.nodes[friend].is_free() {
            return;
        }
        if self.nodes[friend].funder.is_none() {
            return;
        }
        self.faults.add(InjectedFault::OldKey);
        self.tell(|| format!("somebody speaks with the lost key of node {lost} to node {friend}"));
        let (author, other) = (self.key(lost), self.key(friend));
        self.counter += 1;
        let connection = self.counter;
        let known = self.nodes[lost].disk.account(&AccountId { friend: other, currency: currency.clone() });
        let known = known.map(|rows| {
            let key = AccountKey { local: author, remote: other, currency: currency.clone() };
            Account::restore(key, rows).expect("the disk can be read")
        });
        let mut inputs = vec![Input::Connected(author, connection)];
        if let Some(epoch) = known.as_ref().and_then(Account::epoch) {
            let frame = known.as_ref().expect("looked above").resume_frame();
            if let Ok(FriendMessage::Resume(resume)) = FriendMessage::from_frame(&frame) {
                inputs.push(Input::Resume(author, connection, resume));
            }
            let statement = Statement {
                author,
                other,
                currency: currency.clone(),
                epoch: epoch.number,
                seq: epoch.mine.seq + 1,
                prev_hash: epoch.mine.hash,
                ack_seq: epoch.theirs.seq,
                ack_hash: epoch.theirs.hash,
                operations: vec![Operation::SetLimit(7.into())],
                totals: epoch.mine.totals,
                pending_hash: None,
            };
            let statement = Verified::sign(statement, self.signer(lost));
            inputs.push(Input::Statement(author, connection, Box::new(statement)));
        }
        self.batch(friend, inputs);
        let new = NewFriend {
            name: format!("old {lost}"),
            ticket: self.ticket(lost),
            balance: 0,
            currency: currency.clone(),
            max_debt: 100.into(),
            open: true,
        };
        let id = self.command(friend, Command::AddFriend(Box::new(new)));
        let reply = self.reply(friend, id);
        assert!(
            !matches!(reply, Some(Reply::Done)),
            "node {friend} takes the lost key of node {lost} as a friend's again"
        );
        self.check_lost_keys(friend);
    }

    /// A key that was replaced is no friend's any more.
    pub(super) fn check_lost_keys(&self, index: usize) {
        for (key, _) in self.nodes[index].accounts() {
            let is_lost = self.replaced_keys.contains(&(index, key));
            assert!(!is_lost, "node {index} has an account with the lost key of node {}", self.index(key));
        }
    }

    /// Nothing is said to a key that was replaced.
    pub(super) fn check_not_lost(&self, index: usize, output: &Output) {
        let to = match output {
            Output::Send(key, ..) | Output::Contact(key, Some(_)) | Output::LookUp(key, ..) => key,
            _ => return,
        };
        assert!(
            !self.replaced_keys.contains(&(index, *to)),
            "node {index} speaks to the lost key of node {}",
            self.index(*to)
        );
    }
}
