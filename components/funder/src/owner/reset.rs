//! Accepting a friend's terms after the two sides of an account disagreed (`reset-friend`, protocol section 1).
//!
//! People see two balances and decide. What the terms say besides, about requests that are under way, is checked here:
//! nobody should lose money by a term that they were not shown. What this node has collected counts as its own,
//! whether the friend has heard of it, or lets it continue so that it is collected again; and what the friend has
//! collected and proved counts as paid.

use crate::forwarding::obligations::Onward;
use crate::funder::Batch;
use crate::io::Output;
use crate::recovery::proofs::is_like;
use offst_ledger::{AccountId, Status, StopReason, Terms};
use offst_proto::Currency;
use offst_proto::opening::Continuing;
use std::collections::{BTreeMap, BTreeSet};

impl Batch<'_> {
    pub(crate) fn reset_friend(&mut self, name: &str, currency: &Currency) -> Result<(), String> {
        let key = self.state.accounts.friend_key(name)?;
        let account_id = AccountId::new(key, currency);
        let account = self.state.accounts.friend_account(name, currency)?;
        let (status, is_suspect) = (account.status(), account.is_suspect());
        // Where both have lost something, nothing better will come.
        let is_for_people = matches!(status, Status::Inconsistent { reason: Some(StopReason::BothStatesLost), .. });
        // R7.8.
        if account.waits_for_evidence() && status != Status::Consistent && !is_for_people {
            return Err(format!(
                "this node's own state of the account with \"{name}\" may be old, and \"{name}\" has not shown yet what both \
                 have signed, which is believed without a decision: wait until it is online, or give the account up with \
                 `remove-friend --force --forgive`"
            ));
        }
        match &status {
            Status::Consistent => {
                return Err(format!("the account with \"{name}\" is consistent: there is nothing to reset"));
            }
            Status::Inconsistent { mine, theirs: Some(theirs), reason } => {
                // A node that has lost its own state cannot compare balances: it has to believe its friend. What
                // evidence has brought back is as good as any other state. What other friends may collect, or pay, is
                // known in any case.
                let is_lost =
                    is_suspect || matches!(reason, Some(StopReason::FriendWithholds | StopReason::BothStatesLost));
                let terms = (mine, theirs);
                let check = self.check_requests(name, &account_id, terms, is_lost);
                if let Err(refusal) =
                    check.and_then(|()| if is_lost { Ok(()) } else { self.check_worth(name, &account_id, terms) })
                {
                    self.ask_for_proofs(&account_id, None);
                    return Err(refusal);
                }
            }
            Status::Inconsistent { .. } | Status::Waiting { .. } => {}
        }
        let friend = self.state.accounts.friend_mut(&key).expect("names and friends agree");
        let account = friend.accounts.get_mut(currency).expect("looked above");
        let signer = &*self.context.environment.signer;
        let events = match account.accept_theirs(signer) {
            Ok(events) => {
                if let Status::Inconsistent { mine, theirs: Some(theirs), .. } = status {
                    let (before, after) = (mine.balance, theirs.balance);
                    log::warn!(
                        "the terms of \"{name}\" were accepted: the balance in {currency} was {before} and is {after}"
                    );
                }
                events
            }
            // Neither side can show anything: what is left here is offered to the friend.
            Err(_) if account.offer_what_is_left(self.context.now.unix_ms, signer) => Vec::new(),
            Err(_) => return Err(format!("\"{name}\" has not shown its terms yet: try again when it is online")),
        };
        if let Some(connection) = friend.connection {
            let frame = account.resume_frame();
            self.context.outputs.push(Output::Send(key, connection, frame));
        }
        self.forget_shown(&account_id);
        self.account_events(&account_id, events);
        Ok(())
    }

    /// Whether a friend's terms leave us with debts that nobody pays us for. `is_lost`: how the account stood is not
    /// known for certain.
    /// (R1.28.)
    fn check_requests(
        &self,
        name: &str,
        account_id: &AccountId,
        terms: (&Terms, &Terms),
        is_lost: bool,
    ) -> Result<(), String> {
        let (ours, theirs) = terms;
        let account = self.state.accounts.account(account_id).expect("the caller has looked");
        let mut payable = theirs.continuing.iter().filter(|continuing| continuing.author_pays);
        if !payable.all(|claim| self.pays_for(account_id, account, claim)) {
            return Err(format!(
                "\"{name}\" claims payments that this node has never committed, so its terms cannot be accepted: ask its \
                 owner, or remove the friend"
            ));
        }
        let keeps = |ours: &Continuing| theirs.continuing.iter().any(|kept| is_like(kept, ours));
        let mut changed = ours.continuing.iter().filter(|ours| !ours.author_pays && !keeps(ours));
        // What we have collected is weighed with the balances.
        let claimed: BTreeSet<_> = account.claimed().map(|(id, _)| id).collect();
        let found = changed.find_map(|request| match self.onward(&account_id.request(request.id)) {
            _ if claimed.contains(&request.id) => None,
            Onward::Nobody => None,
            onward => Some(onward),
        });
        match found {
            Some(Onward::Promised) => {
                return Err(format!(
                    "payments that came from \"{name}\" are still under way to other friends, and its terms leave them out or \
                     change them: try again when they have ended"
                ));
            }
            Some(_) => {
                return Err(format!(
                    "this node recovers what it has lost, and may have promised payments that came from \"{name}\" to other \
                     friends, while the terms of \"{name}\" leave them out or change them: try again when the other friends \
                     have been online"
                ));
            }
            None if !is_lost => return Ok(()),
            None => {}
        }
        if !self.knows_whom_to_ask() {
            return Err(
                "this node recovers what it has lost, and has not heard yet of all to whom it may owe something: try again in a \
                 minute, and add those with `add-friend` whom its log names"
                    .into(),
            );
        }
        if let Some(other) = self.state.accounts.awaited_beside(account_id) {
            return Err(format!(
                "this node recovers what it has lost, and what it owes \"{other}\" for \"{name}\" is not known yet: try again \
                 when \"{other}\" has been online, or remove it"
            ));
        }
        let unpaid = self.unpaid(account_id).into_iter().filter(|(outgoing, pending)| {
            let pays = |request: &Continuing| {
                let is_same =
                    (request.author_pays, request.id, Some(request.lock)) == (false, outgoing.id, pending.stage.lock());
                is_same && request.held >= pending.held
            };
            !theirs.continuing.iter().any(pays)
        });
        let amount: u128 = unpaid.map(|(_, pending)| pending.held).sum();
        if amount > 0 {
            return Err(format!(
                "this node has promised {amount} credits to other friends, and does not know any more for whom: it may be \
                 \"{name}\", whose terms leave these payments out. Try again when they have ended"
            ));
        }
        Ok(())
    }

    /// Whether a friend's terms would cost more than their balance says.
    /// (R1.28.)
    fn check_worth(&self, name: &str, account_id: &AccountId, terms: (&Terms, &Terms)) -> Result<(), String> {
        let (ours, theirs) = terms;
        let account = self.state.accounts.account(account_id).expect("the caller has looked");
        // Also of a friend's new key with which no epoch has begun: what our Opening offers it may have collected under
        // the old one.
        let claimed: BTreeMap<_, _> = account.claimed().collect();
        let (mut unproven, mut proven, mut left_out) = (0, 0, 0);
        for continuing in &ours.continuing {
            if theirs.continuing.iter().any(|kept| is_like(kept, continuing)) {
                continue;
            }
            if continuing.author_pays {
                if self.waits_for_proof(account_id, continuing.id) {
                    // The friend may have collected it, and what proves the payment did not come.
                    unproven += continuing.held.signed();
                } else {
                    // It has shown the proof, or nobody waits for it: the credits are the friend's.
                    proven += continuing.held.signed();
                }
            } else if let Some(held) = claimed.get(&continuing.id) {
                // We have collected it since: that is in neither balance, and will be written when the epoch lists it.
                left_out += held.signed();
            }
        }
        // What we have collected is ours, whether the friend has heard of it or collects it again from us.
        let worth_of_ours = ours.balance + claimed.values().copied().sum::<u128>().cast_signed();
        let worth_of_theirs = theirs.balance + account.collects_again(theirs).cast_signed() + proven;
        let difference = worth_of_ours - worth_of_theirs;
        if unproven > 0 && difference > 0 {
            return Err(format!(
                "\"{name}\" has taken payments that this node has no proof of yet, and its terms are {difference} credits \
                 less than this node's: it was asked for the proof, so try again in a moment; or the owner of \"{name}\" \
                 should accept this node's terms instead, which keep these payments"
            ));
        }
        if left_out > 0 && difference > 0 {
            return Err(format!(
                "payments of {left_out} credits that came from \"{name}\" were collected since its node lost its state, and \
                 its terms leave them out and are {difference} credits less than this node's: the owner of \"{name}\" should \
                 accept this node's terms instead, which keep them"
            ));
        }
        Ok(())
    }
}
