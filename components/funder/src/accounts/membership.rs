//! Friends and accounts that come and go, and what stays of those that have gone.

use super::Accounts;
use crate::accounts::record::{Friend, FriendRecord, Replacement, Standing, Tombstone};
use offst_crypto::{PublicKey, Signer};
use offst_ledger::{Account, AccountId, Floor};
use offst_rows::Table;

impl Accounts {
    /// A friend, or a new one, as `make` says what the owner has told of it.
    pub(crate) fn friend_or_new(&mut self, key: PublicKey, make: impl FnOnce() -> FriendRecord) -> &mut Friend {
        let Accounts { friends, names, .. } = self;
        friends.entry(key, || {
            let record = make();
            names.insert(record.name.clone(), key);
            Friend::new(record)
        })
    }

    /// A new friend, which takes over its name where another one has that.
    pub(crate) fn insert_friend(&mut self, key: PublicKey, record: FriendRecord) {
        self.names.insert(record.name.clone(), key);
        self.friends.insert(key, Friend::new(record));
    }

    /// A friend is gone, with its name, unless that is its new key's by now.
    pub(crate) fn remove_friend(&mut self, key: &PublicKey) {
        let Some(friend) = self.friends.remove(key) else { return };
        if self.names.get(&friend.record.name) == Some(key) {
            self.names.remove(&friend.record.name);
        }
    }

    /// No connection to a friend is made any more, and the one that there is counts no more.
    pub(crate) fn disable(&mut self, key: &PublicKey) {
        let friend = self.friends.get_mut(key).expect("the caller has looked");
        friend.record.standing = Standing::Disabled;
        friend.connection = None;
        for account in friend.accounts.values_mut() {
            account.disconnected();
        }
    }

    /// Takes an account out, leaving its tombstone. `now_ms`: unix.
    pub(crate) fn remove_account(&mut self, account_id: &AccountId, now_ms: u64) -> Account {
        let mut account = self.take_account(account_id);
        // How far an account had come that was lost, its owner does not know: whatever was signed on it until now is
        // over.
        let epoch = if account.is_recovering() { Some(now_ms) } else { None };
        if let Some(epoch) = epoch.max(account.newest_epoch()) {
            self.bury(account_id.clone(), epoch);
        }
        self.account_rows.extend(account.remove_rows());
        account
    }

    /// Ends an account, and opens the one with the friend's new key that goes on from it. Gives back the old one.
    pub(crate) fn continue_account(
        &mut self,
        from: &AccountId,
        to: &AccountId,
        floor: Floor,
        signer: &dyn Signer,
    ) -> Account {
        let mut account = self.take_account(from);
        let new_account = account.continued_with(to.friend, floor, signer);
        if let Some(epoch) = account.newest_epoch() {
            self.bury(from.clone(), epoch);
        }
        // Its rows stay as evidence, and the newest that the lost key has signed may have come in this very batch.
        self.account_rows.extend(account.take_changes());
        let rotated = self.friends.draft(&to.friend).expect("the caller has made it");
        rotated.accounts.insert(from.currency.clone(), new_account);
        self.touched.extend([from.clone(), to.clone()]);
        account
    }

    fn take_account(&mut self, account_id: &AccountId) -> Account {
        let friend = self.friends.draft(&account_id.friend).expect("the caller has looked");
        friend.accounts.remove(&account_id.currency).expect("the caller has looked")
    }

    /// Nothing is signed on an account in this epoch or one before it again.
    pub(crate) fn bury(&mut self, account_id: AccountId, epoch: u64) {
        self.tombstones.insert(account_id, Tombstone { epoch });
    }

    /// What stays of accounts that were removed, to look at.
    pub(crate) fn tombstones(&self) -> &Table<Tombstone> {
        &self.tombstones
    }

    /// The last epoch of an account that was removed.
    pub(crate) fn removed_epoch(&self, account_id: &AccountId) -> Option<u64> {
        self.tombstones.get(account_id).map(|removed| removed.epoch)
    }

    /// Whether an account was removed in this epoch or a later one.
    pub(crate) fn was_removed_since(&self, account_id: &AccountId, epoch: u64) -> bool {
        self.removed_epoch(account_id).is_some_and(|removed| removed >= epoch)
    }

    /// What we have agreed to when friends lost their keys, to look at.
    pub(crate) fn replacements(&self) -> &Table<Replacement> {
        &self.replacements
    }

    /// A friend has lost this key: it is never accepted again.
    pub(crate) fn record_replacement(&mut self, lost: PublicKey, replacement: Replacement) {
        self.replacements.insert(lost, replacement);
    }
}
