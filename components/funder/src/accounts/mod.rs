//! The friends and the accounts with them: the only part that signs.
//!
//! | file | what it holds |
//! |---|---|
//! | `record` | what is stored of friends and of accounts that are over |
//! | `friends` | connections, and what the accounts report |
//! | `requests` | the requests on the accounts, and the room for more |
//! | `membership` | friends and accounts that come and go |
//! | `settings` | what the owner has told of friends |
//! | `suspect` | accounts whose view may be old |

mod friends;
mod membership;
pub(crate) mod record;
pub(crate) mod requests;
pub(crate) mod settings;
pub(crate) mod suspect;

use crate::accounts::record::{Friend, Replacement, Standing, Tombstone};
use crate::context::Context;
use crate::io::{ConnectionId, Output};
use offst_crypto::PublicKey;
use offst_ledger::{
    ACCOUNT_KINDS, Account, AccountId, AccountImage, AccountKey, Epoch, RequestRef, SignOutcome, stored_accounts,
};
use offst_proto::Amount;
use offst_proto::friend::statement_frame;
use offst_proto::index::{Clearable, Edge};
use offst_rows::{RowChange, RowError, Rows, Table};
use std::collections::{BTreeMap, BTreeSet};

/// The friends, and the accounts with them.
#[derive(Debug)]
pub(crate) struct Accounts {
    friends: Table<Friend>,
    /// Names are unique.
    names: BTreeMap<String, PublicKey>,
    /// The last epoch of accounts that were removed.
    tombstones: Table<Tombstone>,
    /// What we have agreed to when friends lost their keys, by the lost key.
    replacements: Table<Replacement>,
    /// Outgoing commits that are not signed yet.
    unsigned_commits: BTreeSet<RequestRef>,
    /// The edges as they were last given out.
    published: BTreeMap<AccountId, Edge>,
    /// Accounts that something happened to in this batch.
    touched: BTreeSet<AccountId>,
    /// Those that fall idle: their last statement acknowledges and carries a checkpoint.
    idle: BTreeSet<AccountId>,
    /// Those on which something has become overdue, or is looked at again.
    overdue: BTreeSet<AccountId>,
    /// Rows of accounts that are gone.
    account_rows: Vec<RowChange>,
}

impl Accounts {
    /// The accounts of a database. Those with keys that friends have lost are evidence, and no running node sees them.
    pub(crate) fn restore(local: PublicKey, rows: &mut Rows) -> Result<Self, RowError> {
        let mut friends: Table<Friend> = rows.take()?;
        let replacements: Table<Replacement> = rows.take()?;
        for account in stored_accounts(rows)? {
            if replacements.contains_key(&account.friend) {
                continue;
            }
            let friend =
                friends.draft(&account.friend).ok_or(RowError::Unfit("there is an account without its friend"))?;
            let key = AccountKey { local, remote: account.friend, currency: account.currency.clone() };
            let restored = Account::restore(key, AccountImage::of(&account, rows)?)?;
            friend.accounts.insert(account.currency, restored);
        }
        for kind in ACCOUNT_KINDS {
            rows.take_bytes(kind);
        }
        Ok(Accounts {
            names: friends.iter().map(|(key, friend)| (friend.record.name.clone(), *key)).collect(),
            friends,
            tombstones: rows.take()?,
            replacements,
            unsigned_commits: BTreeSet::new(),
            published: BTreeMap::new(),
            touched: BTreeSet::new(),
            idle: BTreeSet::new(),
            overdue: BTreeSet::new(),
            account_rows: Vec::new(),
        })
    }

    /// What the next transaction has to write. The batch is over.
    pub(crate) fn take_changes(&mut self, changes: &mut Vec<RowChange>) {
        self.friends.take_changes(changes);
        self.replacements.take_changes(changes);
        changes.append(&mut self.account_rows);
        for account_id in std::mem::take(&mut self.touched) {
            changes.extend(self.account_mut(&account_id).map(Account::take_changes).unwrap_or_default());
        }
        self.tombstones.take_changes(changes);
        self.idle.clear();
    }

    /// The friends, to look at.
    pub(crate) fn friends(&self) -> &Table<Friend> {
        &self.friends
    }

    /// A friend, to look at.
    pub(crate) fn friend(&self, key: &PublicKey) -> Option<&Friend> {
        self.friends.get(key)
    }

    /// The owner's name for a friend.
    ///
    /// # Panics
    /// When it is none.
    pub(crate) fn name_of(&self, key: &PublicKey) -> &str {
        &self.friends[key].record.name
    }

    /// Whether a friend is used.
    ///
    /// # Panics
    /// When it is none.
    pub(crate) fn standing_of(&self, key: &PublicKey) -> Standing {
        self.friends[key].record.standing
    }

    /// The friends that are connected, and how.
    pub(crate) fn connected(&self) -> impl Iterator<Item = (PublicKey, ConnectionId)> {
        self.friends.iter().filter_map(|(key, friend)| Some((*key, friend.connection?)))
    }

    /// The accounts with a friend.
    pub(crate) fn account_ids_of(&self, key: PublicKey) -> Vec<AccountId> {
        let accounts = self.friends.get(&key).into_iter().flat_map(|friend| friend.accounts.keys());
        accounts.map(|currency| AccountId::new(key, currency)).collect()
    }

    /// A friend, to change what is not stored of it. What the owner has told has methods of its own: they write it.
    pub(crate) fn friend_mut(&mut self, key: &PublicKey) -> Option<&mut Friend> {
        self.friends.draft(key)
    }

    /// An account, to look at.
    pub(crate) fn account(&self, account_id: &AccountId) -> Option<&Account> {
        self.friends.get(&account_id.friend)?.accounts.get(&account_id.currency)
    }

    /// An account, to change. Most callers want [`Accounts::touch`], which marks it as touched.
    pub(crate) fn account_mut(&mut self, account_id: &AccountId) -> Option<&mut Account> {
        self.friends.draft(&account_id.friend)?.accounts.get_mut(&account_id.currency)
    }

    /// The account, marked as touched: it is signed, written and published at the end of the batch.
    pub(crate) fn touch(&mut self, account_id: &AccountId) -> Option<&mut Account> {
        let account = self.friends.draft(&account_id.friend)?.accounts.get_mut(&account_id.currency)?;
        self.touched.insert(account_id.clone());
        Some(account)
    }

    /// Something happened to an account: it is signed, written and published at the end of the batch.
    pub(crate) fn mark_touched(&mut self, account_id: AccountId) {
        self.touched.insert(account_id);
    }

    /// The same for all accounts with a friend.
    pub(crate) fn touch_friend(&mut self, key: PublicKey) {
        self.touched.extend(self.account_ids_of(key));
    }

    /// The same for all accounts.
    pub(crate) fn touch_all(&mut self) {
        self.touched.extend(self.account_ids());
    }

    /// The friends of the accounts to which something has happened in this batch, once for each account.
    pub(crate) fn touched_friends(&self) -> Vec<PublicKey> {
        self.touched.iter().map(|account_id| account_id.friend).collect()
    }

    /// An account falls idle: its next statement acknowledges and carries a checkpoint.
    pub(crate) fn fell_idle(&mut self, account_id: AccountId) {
        self.idle.insert(account_id.clone());
        self.touched.insert(account_id);
    }

    /// The epoch of an account that new requests may use.
    pub(crate) fn active(&self, account_id: &AccountId) -> Option<&Epoch> {
        self.account(account_id)?.active()
    }

    /// Whether a signed `Commit` of ours binds us to this outgoing request.
    pub(crate) fn is_bound(&self, outgoing: &RequestRef) -> bool {
        self.account(&outgoing.account).is_some_and(|account| account.is_bound(outgoing.id))
    }

    /// Signs what was written to the touched accounts and sends it. Says which accounts have moved.
    pub(crate) fn sign(&mut self, context: &mut Context<'_>) -> Vec<AccountId> {
        let mut moved = Vec::new();
        let signer = &*context.environment.signer;
        for account_id in &self.touched {
            let Some(friend) = self.friends.draft(&account_id.friend) else { continue };
            let connection = friend.connection;
            let Some(account) = friend.accounts.get_mut(&account_id.currency) else { continue };
            if account.repropose(signer)
                && let Some(connection) = connection
            {
                context.outputs.push(Output::Send(account_id.friend, connection, account.resume_frame()));
            }
            let Some(connection) = connection else { continue };
            let mut has_signed = false;
            while let SignOutcome::Signed(wire) = account.sign(signer, self.idle.contains(account_id)) {
                context.outputs.push(Output::Send(account_id.friend, connection, statement_frame(&wire)));
                has_signed = true;
            }
            if has_signed {
                moved.push(account_id.clone());
            }
            if account.is_unsettled() {
                let deadline = context.now.uptime_ms + context.environment.timing.idle_ms;
                context.timers.set_if_none(crate::timers::Timer::Idle(account_id.clone()), deadline);
            }
        }
        moved
    }

    /// The outgoing requests that a signature of this batch has bound.
    pub(crate) fn take_bound(&mut self) -> Vec<RequestRef> {
        let waiting = self.touched.iter().flat_map(|account_id| self.unsigned_commits.range(account_id.requests()));
        let bound: Vec<_> = waiting.filter(|key| self.is_bound(key)).cloned().collect();
        for key in &bound {
            self.unsigned_commits.remove(key);
        }
        bound
    }

    /// Gives out the edges of the touched accounts that have changed.
    pub(crate) fn publish(&mut self, context: &mut Context<'_>) {
        let mut edges = Vec::new();
        for account_id in &self.touched {
            match self.friends.get(&account_id.friend).and_then(|friend| friend.edge(account_id, context.auto_clear)) {
                Some(edge) => {
                    if self.published.get(account_id) != Some(&edge) {
                        self.published.insert(account_id.clone(), edge.clone());
                        edges.push(edge);
                    }
                }
                None => {
                    if let Some(edge) = self.published.remove(account_id) {
                        edges.push(Edge {
                            send_capacity: Amount::ZERO,
                            receive_capacity: Amount::ZERO,
                            clearable: Clearable::None,
                            ..edge
                        });
                    }
                }
            }
        }
        if !edges.is_empty() {
            context.outputs.push(Output::Edges(edges));
        }
    }
}
