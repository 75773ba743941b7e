//! A liar that shows less than there was to a friend that has lost its disk, and what must come of it.
//!
//! Other friends keep, sealed, how far each account had come ([`PeerBackup`]). Where such a head tells of more than the liar
//! shows, and is given back to the victim while it recovers, the account may never go on from what the liar shows unless its
//! owner says so, and the liar is named ([`StopReason::FriendWithholds`]). That is demanded after every transaction of the
//! victim's from then on, and once more at the end. It cannot be demanded
//!
//! * when no honest friend keeps a head that is newer than what the liar shows: a head tells only what both sides surely know,
//!   and a backup is made a while after an account has moved;
//! * when no such friend has given it back before the recovery ended: one that has gone away, or has not answered three times,
//!   is not waited for, once its own account is back;
//! * when the victim's process ends after it was told and before the account has come back: who tells of an account that is
//!   not remembered has to tell again, and may come later than the liar;
//! * when the friend that kept it has lost its own disk in the meantime, or the victim has lost its own once more;
//! * when the liar shows nothing at all: then the account waits for it, as for a friend that is slow, or is not even
//!   remembered;
//! * when the liar was found out on another account before it showed this one: its owner learns nothing more from it;
//! * when the liar says that it has lost its state too: then the account waits, for its friend or for people, and nobody is
//!   accused;
//! * when the victim's owner goes on with the liar all the same (`enable-friend`, `reset-friend`).

use super::disk::Disk;
use super::links::pair;
use super::observed::{Loss, WithheldState};
use super::{EventKind, InjectedFault, World, name};
use offst_funder::{AccountId, Command, FriendRecord, Funder};
use offst_ledger::{Account, AccountKey, Status, StopReason};
use offst_proto::Currency;
use offst_proto::peer_backup::{AccountHead, PeerBackup};

/// How long a liar that shows an older state keeps away from everybody else, ms.
const APART_MS: u64 = 25_000;

impl World {
    /// A friend's disk is lost, and a liar goes back to where it was once: for a while it speaks only with that friend, so that
    /// nobody shows it that more has happened.
    pub(crate) fn show_older_state(&mut self, liar: usize, victim: usize, friends: &[usize]) {
        let Some(copy) = self.nodes[liar].copy.as_deref().cloned() else { return };
        if !self.nodes[liar].is_up() || !self.knows_more(victim, liar, &copy) {
            return;
        }
        self.faults.add(InjectedFault::OlderState);
        let withheld_states = self.states_withheld_by(liar, victim, friends, &copy);
        self.tell(|| format!("node {liar} shows node {victim} an older state"));
        self.lose(victim, friends, Loss::Everything);
        self.change_disk(liar, copy, false);
        self.withheld_states.extend(withheld_states);
        for other in (0..self.nodes.len()).filter(|other| ![liar, victim].contains(other)) {
            if self.cut.insert(pair(liar, other)) {
                self.plan(APART_MS, super::scheduler::Plan::Rejoin(liar, other));
            }
        }
        self.start(liar);
        self.start(victim);
    }

    /// Whether a node has received more of a friend's log than this old copy of the friend's disk knows of.
    fn knows_more(&self, index: usize, friend: usize, copy: &Disk) -> bool {
        let accounts = self.nodes[index].funder.iter().flat_map(Funder::accounts);
        let with_friend = accounts.filter(|(key, _)| *key == self.key(friend));
        let mut newer = with_friend.filter_map(|(_, account)| {
            let epoch = account.epoch()?;
            let key = account.key();
            let rows = copy.account(&offst_funder::AccountId { friend: key.local, currency: key.currency.clone() })?;
            let name = AccountKey { local: key.remote, remote: key.local, currency: key.currency.clone() };
            let old = Account::restore(name, rows).expect("the disk can be read");
            let old = old.epoch()?;
            Some((epoch.number, epoch.theirs.seq) > (old.number, old.mine.seq))
        });
        newer.any(|is_newer| is_newer)
    }

    /// What this older copy of a liar's disk denies, and which honest friends keep for the victim what tells of more.
    fn states_withheld_by(&self, liar: usize, victim: usize, friends: &[usize], copy: &Disk) -> Vec<WithheldState> {
        let accounts = self.nodes[victim].accounts().filter(|(key, _)| *key == self.key(liar));
        let currencies: Vec<_> = accounts.map(|(_, account)| account.key().currency.clone()).collect();
        let tells_more = |keeper: usize, currency: &Currency, shown: (u64, u64, u64)| {
            let sealed = self.nodes[keeper].disk.backup_of(self.key(victim));
            let backup = sealed.and_then(|sealed| PeerBackup::unseal(self.signer(victim), sealed));
            let mut heads = backup.into_iter().flat_map(|backup| backup.heads);
            heads.any(|head| {
                let AccountHead { epoch, own_seq, other_seq, .. } = head;
                let is_newer = epoch > shown.0 || epoch == shown.0 && (own_seq > shown.1 || other_seq > shown.2);
                head.friend == self.key(liar) && head.currency == *currency && is_newer
            })
        };
        let withheld_states = currencies.into_iter().map(|currency| {
            let rows = copy.account(&AccountId { friend: self.key(victim), currency: currency.clone() });
            let shown = rows.map_or((0, 0, 0), |rows| {
                let key = AccountKey { local: self.key(liar), remote: self.key(victim), currency: currency.clone() };
                let old = Account::restore(key, rows).expect("the disk can be read");
                old.epoch().map_or((0, 0, 0), |epoch| (epoch.number, epoch.theirs.seq, epoch.mine.seq))
            });
            let honest = friends.iter().copied().filter(|keeper| !self.liars.contains(keeper));
            let keepers = honest.filter(|keeper| tells_more(*keeper, &currency, shown)).collect();
            WithheldState { victim, liar, currency, keepers, is_heard: false }
        });
        withheld_states.collect()
    }

    /// A node has lost its disk: what it was told is forgotten, and what it keeps for others.
    pub(super) fn forget_withheld_states(&mut self, index: usize) {
        self.withheld_states.retain(|withheld_state| withheld_state.victim != index && withheld_state.liar != index);
        for withheld_state in &mut self.withheld_states {
            withheld_state.keepers.remove(&index);
        }
    }

    /// A process starts again: of an account that its disk does not have it has forgotten what it was told.
    pub(super) fn forget_told(&mut self, index: usize) {
        for place in 0..self.withheld_states.len() {
            let WithheldState { victim, liar, currency, .. } = &self.withheld_states[place];
            let account_id = AccountId { friend: self.key(*liar), currency: currency.clone() };
            let is_known = *victim != index || self.nodes[index].disk.account(&account_id).is_some();
            self.withheld_states[place].is_heard &= is_known;
        }
    }

    /// The owner of `index` may go on with a liar all the same.
    pub(super) fn record_decision(&mut self, index: usize, command: &Command) {
        if let Command::RemoveFriend { name, forgive: true, .. } = command {
            let friends = self.nodes[index].disk.all::<FriendRecord>().into_iter();
            let named = friends.filter(|(_, friend)| friend.name == *name).map(|(key, _)| (index, key));
            self.forgiven.extend(named);
        }
        let (Command::EnableFriend(friend) | Command::ResetFriend(friend, _)) = command else { return };
        self.withheld_states
            .retain(|withheld_state| withheld_state.victim != index || name(withheld_state.liar) != *friend);
    }

    /// `keeper` gives a node its backup back, in a batch that is on the disk now.
    pub(super) fn record_recalled(&mut self, index: usize, keeper: usize) {
        let recovers = self.nodes[index].disk.is_recovering() && self.nodes[index].funder.is_some();
        for withheld_state in
            self.withheld_states.iter_mut().filter(|withheld_state| withheld_state.victim == index && recovers)
        {
            withheld_state.is_heard |= withheld_state.keepers.contains(&keeper);
        }
    }

    /// What another friend has told is not forgotten: no account goes on from what a liar shows.
    pub(super) fn check_withheld_states(&self, index: usize) {
        for withheld_state in self
            .withheld_states
            .iter()
            .filter(|withheld_state| withheld_state.victim == index && withheld_state.is_heard)
        {
            let status = self.nodes[index].status(self.key(withheld_state.liar), &withheld_state.currency);
            assert_ne!(
                status,
                Some(Status::Consistent),
                "node {} shows node {index} less of their account in {} than others keep, and it goes on from that",
                withheld_state.liar,
                withheld_state.currency
            );
        }
    }

    /// All have been connected for a while: every liar that could be found out was, and is named.
    pub(crate) fn check_found_out(&mut self) {
        for index in 0..self.nodes.len() {
            self.check_withheld_states(index);
        }
        for WithheldState { victim, liar, currency, is_heard, .. } in self.withheld_states.clone() {
            let status = self.nodes[victim].status(self.key(liar), &currency);
            let reason = match &status {
                Some(Status::Inconsistent { reason, .. }) => *reason,
                _ => None,
            };
            if !is_heard {
                self.faults.did(EventKind::NotFoundOut);
                continue;
            }
            let is_silent = matches!(status, None | Some(Status::Waiting { .. }));
            let is_named = self.is_found_out(victim, liar) && reason == Some(StopReason::OwnStateLost);
            if is_silent || is_named || self.nodes[liar].disk.is_recovering() {
                continue;
            }
            assert!(
                matches!(reason, Some(StopReason::FriendWithholds | StopReason::BothStatesLost)),
                "node {liar} has shown node {victim} less of their account in {currency} than others keep, and is not named: \
                 {status:?}"
            );
        }
    }

    /// Whether a node says of an account with this friend that the friend withholds what it has signed.
    fn is_found_out(&self, index: usize, friend: usize) -> bool {
        let accounts = self.nodes[index].funder.iter().flat_map(Funder::accounts);
        let mut between = accounts.filter(|(key, _)| *key == self.key(friend));
        between.any(|(_, account)| {
            matches!(account.status(), Status::Inconsistent { reason: Some(StopReason::FriendWithholds), .. })
        })
    }

    /// Counts who was found out since somebody looked.
    pub(crate) fn record_found_out(&mut self) {
        let honest: Vec<_> = (0..self.nodes.len()).filter(|index| !self.liars.contains(index)).collect();
        let all = honest.iter().flat_map(|index| self.liars.iter().map(move |liar| (*index, *liar)));
        let found: Vec<_> = all.filter(|(index, liar)| self.is_found_out(*index, *liar)).collect();
        for pair in found {
            if self.found_out.insert(pair) {
                self.faults.did(EventKind::FoundOut);
            }
        }
    }
}
