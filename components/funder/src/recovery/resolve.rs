//! Telling a friend how its requests ended, after it has lost a part of its state (protocol section 1).
//!
//! The answer is the truth as this node's own database has it: collected, with the preimage, only when it was collected from
//! the very friend that asks; pending while it is; and otherwise that nothing is known of it, which for a mediator upstream means
//! the same as cancelled. So that is said only after all of the history was read: a friend may have been away for months, and
//! clocks may have been wrong. Nothing here changes anything.

use crate::archive::{Found, Inquiry};
use crate::funder::Batch;
use crate::io::{ConnectionId, Output};
use offst_crypto::PublicKey;
use offst_ledger::{Account, Direction};
use offst_proto::RequestId;
use offst_proto::resolve::{End, recalled_frame, resolved_frame};
use std::collections::{BTreeMap, BTreeSet};

impl Batch<'_> {
    /// Looks something up for a friend, unless it asks too much. It asks again.
    pub(crate) fn look_up_for(&mut self, key: PublicKey, connection: ConnectionId, question: Inquiry) {
        if self.may_ask(key) {
            self.context.outputs.push(Output::LookUp(key, connection, question));
        }
    }

    fn may_ask(&mut self, key: PublicKey) -> bool {
        let now = self.context.now.uptime_ms;
        self.state.accounts.friends.draft(&key).is_some_and(|friend| friend.allowance.take(now))
    }

    /// A friend asks how requests ended.
    /// (R7.17.)
    pub(crate) fn asked_how_they_ended(&mut self, key: PublicKey, connection: ConnectionId, ids: Vec<RequestId>) {
        if !self.may_ask(key) {
            return;
        }
        let friend = &self.state.accounts.friends[&key];
        let is_pending = |id: &RequestId| {
            friend.accounts.values().any(|account| account.pending(Direction::Incoming, *id).is_some())
        };
        let pending: BTreeSet<_> = ids.iter().copied().filter(is_pending).collect();
        let mut unheard = BTreeMap::new();
        for account in friend.accounts.values().filter(|account| account.active().is_none()) {
            unheard.extend(account.collected_unheard());
        }
        unheard.retain(|id, _| ids.contains(id) && !pending.contains(id));
        // Whoever has lost state itself does not know what it has collected before the accounts with this friend are back. Then
        // what is not pending on them, and not in the history, is remembered by neither. Other accounts are not waited for: the
        // friend that asks may be the one that they wait for.
        let is_in_doubt = friend.accounts.values().any(Account::is_recovering);
        let otherwise = if is_in_doubt { End::Pending } else { End::Unknown };
        let question = Inquiry::Ends { ids, pending, unheard, otherwise };
        self.context.outputs.push(Output::LookUp(key, connection, question));
    }

    /// The database was read.
    pub(crate) fn found(&mut self, key: PublicKey, connection: ConnectionId, found: Found) {
        let is_current = self.is_current(key, connection);
        let frame = match found {
            Found::Own { ids, preimages } => return self.found_own(&ids, &preimages),
            Found::PeerBackup(sealed) => recalled_frame(&sealed.unwrap_or_default()),
            Found::Ends(ends) => resolved_frame(&ends),
            Found::Nothing => return,
        };
        if is_current {
            self.context.outputs.push(Output::Send(key, connection, frame));
        }
    }
}
