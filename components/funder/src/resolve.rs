//! Telling a friend how its requests ended, after it has lost a part of its state (protocol section 1).
//!
//! The answer is the truth as this node's own database has it: collected, with the preimage, only when it was collected from
//! the very friend that asks; pending while it is; and otherwise that nothing is known of it, which for a mediator upstream
//! means the same as cancelled. Nothing here changes anything.

use crate::archive::{Found, Inquiry};
use crate::io::{ConnectionId, Output};
use crate::machine::Batch;
use offst_crypto::PublicKey;
use offst_ledger::{Account, Direction};
use offst_proto::RequestId;
use offst_proto::resolve::{End, recalled_frame, resolved_frame};

/// How long friends answer for requests that they have collected, ms: 30 days.
pub(crate) const ANSWERED_MS: u64 = 30 * 24 * 3_600_000;

impl Batch<'_> {
    /// Looks something up for a friend, unless it asks too much. It asks again.
    pub(crate) fn look_up_for(&mut self, key: PublicKey, connection: ConnectionId, question: Inquiry) {
        let now = self.now.uptime_ms;
        let Some(friend) = self.state.friends.get_mut(&key) else { return };
        if !friend.allowance.take(now) {
            return;
        }
        self.outputs.push(Output::LookUp(key, connection, question));
    }

    /// A friend asks how requests ended.
    pub(crate) fn asked_how_they_ended(&mut self, key: PublicKey, connection: ConnectionId, ids: Vec<RequestId>) {
        let Some(friend) = self.state.friends.get(&key) else { return };
        let is_pending = |id: &RequestId| {
            friend.accounts.values().any(|account| account.pending(Direction::Incoming, *id).is_some())
        };
        let pending = ids.iter().copied().filter(is_pending).collect();
        let since_ms = self.now.unix_ms.saturating_sub(ANSWERED_MS);
        // Whoever has lost state itself does not know what it has collected before the accounts with this friend are back. Then
        // what is not pending on them, and not in the history, is remembered by neither. Other accounts are not waited for: the
        // friend that asks may be the one that they wait for.
        let is_in_doubt = friend.accounts.values().any(Account::is_recovering);
        let otherwise = if is_in_doubt { End::Pending } else { End::Unknown };
        self.look_up_for(key, connection, Inquiry::Ends { ids, pending, otherwise, since_ms });
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
            self.outputs.push(Output::Send(key, connection, frame));
        }
    }
}
