//! A friend who has lost its key goes on under another one (`replace-friend-key`, protocol section 1).
//!
//! ```text
//! accounts with the lost key:  stopped -> uncommitted requests given up -> closed for ever; their rows stay as evidence
//! accounts with the new key:   first Opening = balance, and the requests that we have committed
//! ```
//!
//! All of it is one transaction, together with a record that we sign. The friend agrees by its own Opening; until then
//! nothing that we have committed is released, because the friend may accept our Opening at any time. What the *friend*
//! has committed and is still in flight could not be collected under the lost key any more: the owner has to wait for
//! it.

use crate::accounts::record::{FriendRecord, Replacement, Standing};
use crate::funder::Batch;
use crate::origin::Origin;
use crate::timers::Timer;
use offst_crypto::PublicKey;
use offst_ledger::{AccountId, Direction, StopReason};
use offst_proto::key_replacement::{KeyReplacement, ReplacedAccount};
use offst_proto::limits::RELAYS_MAX;
use offst_proto::payment::CancelReason;
use offst_proto::ticket::FriendTicket;
use offst_proto::{RequestId, Verified};

impl Batch<'_> {
    // R7.24.
    pub(crate) fn replace_friend_key(&mut self, name: &str, ticket: FriendTicket) -> Result<(), String> {
        let lost = self.state.accounts.friend_key(name)?;
        let new_key = ticket.public_key;
        self.check_new_key(name, lost, &ticket)?;
        let account_ids = self.state.accounts.account_ids_of(lost);
        for account_id in &account_ids {
            let account = self.state.accounts.account_mut(account_id).expect("listed above");
            account.stop(StopReason::Owner, &*self.context.environment.signer);
            self.account_stopped(account_id, StopReason::Owner);
        }
        let record = &self.state.accounts.friends()[&lost].record;
        let record = FriendRecord { relays: ticket.relays, address: ticket.address, ..record.clone() };
        self.state.accounts.insert_friend(new_key, record);
        let accounts = account_ids.iter().map(|account_id| self.carry_over(account_id, new_key)).collect();
        self.state.accounts.remove_friend(&lost);
        self.state.forwarding.hand_over_holds(lost, new_key);
        let is_loaded = self.state.forwarding.is_loaded_with(lost);
        assert!(!is_loaded, "what is held with the lost key counts against the bounds of the new key");
        self.context.timers.clear(&Timer::Gone(lost));
        self.state.recovery.drop_peer_backup(lost);
        self.refuse_drain_waiters(lost, &format!("the key of \"{name}\" was replaced in the meantime"));
        let replacement =
            KeyReplacement { author: self.context.local, lost, new_key, time_ms: self.context.now.unix_ms, accounts };
        log::warn!("\"{name}\" goes on under the key {new_key}; {lost} is never accepted again");
        let replacement = Verified::sign(replacement, &*self.context.environment.signer);
        self.state.accounts.record_replacement(lost, Replacement(replacement));
        self.state.accounts.emit_contact(lost, &mut self.context);
        self.state.accounts.emit_contact(new_key, &mut self.context);
        self.state.accounts.friend_changed(new_key, &mut self.context);
        Ok(())
    }

    // R7.25.
    fn check_new_key(&self, name: &str, lost: PublicKey, ticket: &FriendTicket) -> Result<(), String> {
        let new_key = ticket.public_key;
        if new_key == lost {
            return Err(format!(
                "the ticket has the key that \"{name}\" has already: `set-friend-relays` tells where it is reached"
            ));
        }
        if new_key == self.context.local {
            return Err("this is the node's own ticket: a friend is somebody else".into());
        }
        if let Some(other) = self.state.accounts.friend(&new_key) {
            return Err(format!("the ticket is that of another friend, \"{}\"", other.record.name));
        }
        self.state.accounts.check_not_replaced(&new_key)?;
        if ticket.relays.len() > RELAYS_MAX {
            return Err(format!("a friend has at most {RELAYS_MAX} relays"));
        }
        let friend = &self.state.accounts.friends()[&lost];
        if matches!(friend.record.standing, Standing::Disabling | Standing::Removing { .. }) {
            return Err(format!(
                "\"{name}\" is just being disabled or removed: wait until it is done, or give --force there"
            ));
        }
        for account in friend.accounts.values() {
            if account.is_recovering() {
                return Err(format!(
                    "this node recovers what it has lost, and only the lost key of \"{name}\" could show the account: remove \
                     \"{name}\" and add the new ticket, with the balance that both of you know"
                ));
            }
            let underway = account
                .epoch()
                .into_iter()
                .flat_map(|epoch| epoch.pendings())
                .filter(|(direction, id, pending)| {
                    // What has ended here since the friend lost its disk goes over as a part of the balance.
                    let is_open = pending.stage.is_committed() && !account.has_claimed(*id);
                    *direction == Direction::Incoming && is_open
                })
                .count();
            if underway > 0 {
                return Err(format!(
                    "{underway} payments that \"{name}\" has committed are still in flight to their sellers: try again \
                     when they have ended (see `info friends`: RPD is 0 then). Those that come back to \"{name}\" itself end \
                     when the friend before it has replaced its key; if each waits for the other, one of you removes \
                     \"{name}\" by force and adds the new ticket with the balance"
                ));
            }
        }
        Ok(())
    }

    /// Opens the account with the new key, and hands over what continues on it.
    fn carry_over(&mut self, from: &AccountId, new_key: PublicKey) -> ReplacedAccount {
        let to = AccountId::new(new_key, &from.currency);
        let floor = self.floor(&to);
        let account = self.state.accounts.continue_account(from, &to, floor, &*self.context.environment.signer);
        let new_account = self.state.accounts.account(&to).expect("it has just been opened");
        let mine = new_account.negotiation().mine.as_ref().expect("it opens with one");
        let (balance, opening) = (mine.balance, mine.hash());
        let continuing: Vec<_> = mine.continuing.iter().map(|request| request.id).collect();
        for id in continuing {
            self.hand_over(from, &to, id);
        }
        let epoch = account.epoch();
        ReplacedAccount {
            currency: from.currency.clone(),
            balance,
            epoch: epoch.map(|epoch| epoch.number),
            own_seq: epoch.map_or(0, |epoch| epoch.mine.seq),
            other_seq: epoch.map_or(0, |epoch| epoch.theirs.seq),
            opening,
        }
    }

    /// A request that we have committed goes on over the new key's account.
    fn hand_over(&mut self, from: &AccountId, to: &AccountId, id: RequestId) {
        let (old, new) = (from.request(id), to.request(id));
        self.state.forwarding.hand_over_write_off(&old, new.clone(), &mut self.context);
        let Some(origin) = self.state.take_origin(&old) else { return };
        match &origin {
            Origin::Forward(upstream) => {
                let incoming = old.at(*upstream);
                self.state.forwarding.rekey(&incoming, to.friend);
            }
            Origin::Payment(payment) => {
                self.state.payments.rekey(*payment, from.friend, &new);
            }
        }
        self.context.timers.clear(&Timer::Overdue(old));
        self.commit_was_signed(&new);
    }

    /// Requests of ours that bound us on an account, and that are not on it any more: terms were agreed on that leave
    /// them out, or the account is gone.
    pub(crate) fn release_left_out(&mut self, account_id: &AccountId) {
        let of_account: Vec<_> = self.state.outgoing_on(account_id).into_iter().collect();
        let local = self.context.local;
        for outgoing in of_account {
            if self.state.accounts.outgoing_at(&outgoing).is_none() {
                self.cancelled(&outgoing, CancelReason::AccountStopped, local);
            }
        }
        self.state.forwarding.drop_ended_write_offs(Some(account_id), &mut self.state.accounts, &mut self.context);
    }
}
