//! What a friend has collected on an account that stopped before its Collect came (protocol section 1).
//!
//! Nothing is signed on a stopped account, so its upstream never hears of a Collect that was under way or was written
//! since: it sees terms that leave a payment out and say that the friend was paid. Then it asks how that payment ended
//! (`resolve`). A preimage that opens the lock proves that it was paid, no matter who shows it and why. With it the
//! node collects upstream, or notes its own payment as paid, at once and whatever becomes of the account. On the
//! account the request stays pending until the next epoch, and nobody waits for it any more.

use crate::funder::Batch;
use crate::io::{ConnectionId, Output};
use offst_crypto::PublicKey;
use offst_ledger::{AccountId, Stage, Status};
use offst_proto::RequestId;
use offst_proto::limits::RESOLVE_MAX;
use offst_proto::opening::Continuing;
use offst_proto::resolve::{End, resolve_frame};

impl Batch<'_> {
    /// Asks how the payments ended that the friend's terms leave out. `after`: only those with larger ids, when a part
    /// of them was answered.
    /// (R1.31.)
    pub(crate) fn ask_for_proofs(&mut self, account_id: &AccountId, after: Option<RequestId>) {
        // Who recovers asks in its own way.
        if self.is_recovering() {
            return;
        }
        let Some(friend) = self.state.accounts.friend(&account_id.friend) else { return };
        let (Some(connection), Some(account)) = (friend.connection, friend.accounts.get(&account_id.currency)) else {
            return;
        };
        let Status::Inconsistent { mine, theirs: Some(theirs), .. } = account.status() else { return };
        let mut left_out: Vec<_> = mine
            .continuing
            .iter()
            .filter(|ours| ours.author_pays && !theirs.continuing.iter().any(|kept| is_like(kept, ours)))
            .filter(|ours| self.waits_for_proof(account_id, ours.id))
            .map(|ours| ours.id)
            .filter(|id| after.is_none_or(|after| *id > after))
            .collect();
        left_out.sort_unstable();
        left_out.truncate(RESOLVE_MAX);
        if !left_out.is_empty() {
            self.context.outputs.push(Output::Send(account_id.friend, connection, resolve_frame(&left_out)));
        }
    }

    /// Whether somebody waits to hear how this request of ours has ended: the friend that it came from, a payment of
    /// our own, or the owner who has written it off. While this node recovers, the friend that it came from may not be
    /// known yet.
    pub(crate) fn waits_for_proof(&self, account_id: &AccountId, id: RequestId) -> bool {
        self.is_recovering() || !self.is_unpaid(&account_id.request(id))
    }

    /// A friend says how requests ended. What it has collected on an account that stopped is paid.
    pub(crate) fn handle_proofs(&mut self, key: PublicKey, connection: ConnectionId, ends: &[(RequestId, End)]) {
        if self.is_recovering() || !self.state.accounts.is_current(key, connection) {
            return;
        }
        let Some(friend) = self.state.accounts.friend(&key) else { return };
        let stopped = friend.accounts.iter().filter(|(_, account)| account.active().is_none());
        let account_ids: Vec<_> = stopped.map(|(currency, _)| AccountId::new(key, currency)).collect();
        for account_id in &account_ids {
            for (id, end) in ends {
                let End::Collected(preimage) = end else { continue };
                let promised = self.state.accounts.outgoing_at(&account_id.request(*id)).map(|pending| pending.stage);
                if promised == Some(Stage::Committed(preimage.lock())) && self.waits_for_proof(account_id, *id) {
                    self.collected(&account_id.request(*id), *preimage);
                }
            }
        }
        // There may be more than one question can hold.
        let last = ends.iter().map(|(id, _)| *id).max().filter(|_| ends.len() >= RESOLVE_MAX);
        if last.is_some() {
            for account_id in &account_ids {
                self.ask_for_proofs(account_id, last);
            }
        }
    }
}

/// Whether two sides speak of the same request.
pub(crate) fn is_like(one: &Continuing, other: &Continuing) -> bool {
    (one.author_pays, one.id, one.held, one.lock) == (other.author_pays, other.id, other.held, other.lock)
}
