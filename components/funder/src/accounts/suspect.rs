//! Accounts whose view may be old.

use super::Accounts;
use crate::accounts::record::{Friend, Standing};
use crate::context::Context;
use offst_ledger::{Account, AccountId, Status};

/// After so many rounds without an answer a friend that is connected is not waited for any more.
pub(crate) const RECOVERY_ROUNDS_MAX: u32 = 3;

impl Accounts {
    /// A friend whose account in this currency has still to be shown by its node, besides that of `account_id`: what we
    /// owe it is not known. Accounts that wait for people are left out, since people decide about `account_id` too.
    pub(crate) fn awaited_beside(&self, account_id: &AccountId) -> Option<&str> {
        let is_for_people = |account: &Account| {
            use offst_ledger::StopReason::{BothStatesLost, FriendWithholds};
            matches!(account.status(), Status::Inconsistent { reason: Some(BothStatesLost | FriendWithholds), .. })
        };
        let mut awaited = self.awaited_accounts().filter(|(_, account)| {
            let key = account.key();
            key.currency == account_id.currency
                && key.remote != account_id.friend
                && account.is_suspect()
                && !is_for_people(account)
        });
        awaited.next().map(|(friend, _)| friend.record.name.as_str())
    }

    /// Whether an account waits for its friend's evidence: its own view says nothing about other accounts.
    pub(crate) fn is_distrusted(&self, account_id: &AccountId) -> bool {
        self.account(account_id).is_some_and(Account::is_recovering)
    }

    pub(crate) fn account_ids(&self) -> Vec<AccountId> {
        let friends = self.friends.iter();
        friends
            .flat_map(|(key, friend)| friend.accounts.keys().map(|currency| AccountId::new(*key, currency)))
            .collect()
    }

    /// Whether every account goes on from a new epoch. A disabled friend never comes, and is not waited for: its
    /// accounts stay suspect until it is enabled. What may still be under way over them keeps a recovery open all the
    /// same.
    pub(crate) fn all_accounts_are_back(&self) -> bool {
        self.awaited_accounts().next().is_none()
    }

    /// The accounts that have not gone on, but for those of disabled friends.
    /// (R7.14.)
    pub(crate) fn awaited_accounts(&self) -> impl Iterator<Item = (&Friend, &Account)> {
        let friends = self.friends.values().filter(|friend| friend.record.standing != Standing::Disabled);
        let accounts = friends.flat_map(|friend| friend.accounts.values().map(move |account| (friend, account)));
        accounts.filter(|(_, account)| account.is_recovering())
    }

    /// Whether a friend is here for long and has said nothing of an account that has not begun, as far as this node
    /// remembers: its owner has not added this node in that currency, so there is nothing to show. Should the friend
    /// speak of it after all, the account is recovered then.
    pub(crate) fn is_unanswered(&self, friend: &Friend, account: &Account, context: &Context<'_>) -> bool {
        let long_ms = u64::from(RECOVERY_ROUNDS_MAX) * context.environment.timing.recovery_ms;
        let is_here =
            friend.connection.is_some() && friend.connected_ms.saturating_add(long_ms) <= context.now.uptime_ms;
        is_here && account.is_unanswered()
    }
}
