//! Owners lose their keys, and their friends continue the accounts with new ones.

use crate::faults::{EventKind, FaultKind};
use crate::run::{KeyRotation, Run};
use crate::world::{CRASHES, name};
use offst_funder::{Command, Reply};
use offst_ledger::Status;

impl Run {
    /// Where requests that a lost friend had committed never end, its key cannot be replaced: two payments that the lost node had
    /// sent around opposite ways wait for each other. The owner removes the lost friend, and those that lose by that settle it
    /// elsewhere.
    ///
    /// # Panics
    /// When a key was replaced, and the account with the new one is not settled.
    pub(crate) fn give_up_lost_keys(&mut self) {
        for KeyRotation { friend, lost, replacement, .. } in std::mem::take(&mut self.rotations) {
            assert!(
                !self.world.record_replaced(friend, lost),
                "node {friend} has replaced the key of node {lost}, and its account with node {replacement} is not settled"
            );
            self.world.careless.extend([friend, lost, replacement]);
            self.world.faults.did(EventKind::GivenUpLostKey);
            let name = name(lost);
            self.world.command(friend, Command::RemoveFriend { name, force: true, forgive: true });
        }
        self.world.advance(100_000);
    }

    /// A key is lost while payments are under way, or one that was lost turns up again.
    pub(crate) fn lose_key(&mut self) {
        self.rotate_keys(true);
        let lost: Vec<usize> = self.world.replacements.keys().copied().collect();
        if !self.rotations.is_empty() || lost.len() >= self.mix.spares() || self.world.dice.chance(20) {
            return self.speak_with_a_lost_key();
        }
        let node = self.pick_promised_to();
        let replacement = self.mix.nodes + lost.len();
        if !self.world.nodes[replacement].is_up() {
            return;
        }
        self.world.lose_key(node, replacement);
        for friend in self.friends_of(node) {
            let remembers = self.world.dice.chance(50);
            self.rotations.push(KeyRotation { friend, lost: node, replacement, remembers });
        }
        for pair in &mut self.friendships {
            let goes_on = |end: usize| if end == node { replacement } else { end };
            *pair = (goes_on(pair.0), goes_on(pair.1));
        }
    }

    /// Somebody whom a friend has just promised to pay, if there is anybody.
    fn pick_promised_to(&mut self) -> usize {
        let (count, onwards) = (self.mix.nodes, self.world.dice.chance(60));
        let promised = self.pay_until(|world| {
            let promises = if onwards { world.promises_onwards() } else { world.promises() };
            let to = promises.into_iter().map(|(_, to)| to);
            to.filter(|to| *to < count && !world.is_retired(*to)).collect()
        });
        promised.unwrap_or_else(|| self.pick_busy().0)
    }

    fn speak_with_a_lost_key(&mut self) {
        let lost: Vec<usize> = self.world.replacements.keys().copied().collect();
        let Some(lost) = self.world.dice.pick(&lost) else { return };
        let currency = self.pick_currency();
        for friend in self.friends_of(self.world.person(lost)) {
            self.world.haunt(lost, friend, &currency);
        }
    }

    /// Friends that can agree to a new key, and successors that can take the account up, do so.
    /// `may_die`: in the middle of it, as in the rest of a run.
    pub(crate) fn rotate_keys(&mut self, may_die: bool) {
        for rotation in std::mem::take(&mut self.rotations) {
            if !self.rotate_key(rotation, may_die && self.mix.has(FaultKind::Crashes)) {
                self.rotations.push(rotation);
            }
        }
    }

    /// Says whether all accounts go on under the new key, as both sides see them.
    fn rotate_key(&mut self, rotation: KeyRotation, may_die: bool) -> bool {
        let KeyRotation { friend, lost, replacement, remembers } = rotation;
        if may_die {
            for index in [friend, replacement] {
                if self.world.nodes[index].is_up() && self.world.dice.chance(15) {
                    let crash = CRASHES[self.world.dice.below(CRASHES.len())];
                    self.world.nodes[index].crash = Some((self.world.dice.below(3), crash));
                }
            }
        }
        let has_agreed = self.world.record_replaced(friend, lost);
        if !has_agreed && (!self.world.nodes[friend].is_up() || !self.world.replace_key(friend, lost, replacement)) {
            return false;
        }
        self.world.command(friend, Command::RenameFriend(name(lost), name(replacement)));
        let mut is_done = self.world.knows(friend, replacement);
        for (currency, balance) in self.world.offered_to(friend, replacement) {
            let (owner, key) = (self.world.key(replacement), self.world.key(friend));
            let status = self.world.nodes[replacement].status(key, &currency);
            let theirs = self.world.nodes[friend].status(owner, &currency);
            match (status, theirs) {
                (Some(Status::Consistent), Some(Status::Consistent)) => continue,
                (None, _) => {
                    let balance = if remembers { balance } else { 0 };
                    self.world.command(replacement, self.world.friendship(friend, &currency, balance, 2_000));
                }
                // A node that has lost everything believes what it is shown; where requests are left that it could never collect, its
                // friend may agree without them as well.
                (Some(Status::Inconsistent { theirs: Some(_), .. }), Some(Status::Inconsistent { .. })) => {
                    let by_friend = remembers && self.world.dice.chance(50);
                    let (from, to) = if by_friend { (friend, replacement) } else { (replacement, friend) };
                    let id = self.world.command(from, Command::ResetFriend(name(to), currency.clone()));
                    if self.world.reply(from, id) == Some(Reply::Done) {
                        self.world.faults.did(EventKind::Reset);
                    }
                }
                _ => {}
            }
            is_done = false;
        }
        if is_done {
            self.world.faults.did(EventKind::KeyRotated);
        }
        is_done
    }
}
