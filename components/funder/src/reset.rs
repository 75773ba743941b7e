//! Accepting a friend's terms after the two sides of an account disagreed (`reset-friend`, protocol section 1).
//!
//! People see two balances and decide. What the terms say besides, about requests that are under way, is checked here: nobody
//! should lose money by a line that he was not shown. What this node has collected counts as its own, whether the friend has
//! heard of it, or lets it continue so that it is collected again; and what the friend has collected and proved counts as paid.

use crate::io::Output;
use crate::machine::{Batch, line};
use crate::proofs::is_like;
use crate::records::LineKey;
use offst_ledger::{Account, Direction, Stage, Status, StopReason, Terms};
use offst_proto::Currency;
use offst_proto::opening::Continuing;
use std::collections::BTreeMap;

impl Batch<'_> {
    pub(crate) fn reset_friend(&mut self, name: &str, currency: &Currency) -> Result<(), String> {
        let key = self.friend_key(name)?;
        let line = line(key, currency);
        let account = self.friend_account(name, currency)?;
        let (status, is_in_doubt) = (account.status(), account.is_in_doubt());
        // Where both have lost something, nothing better will come.
        let is_for_people = matches!(status, Status::Inconsistent { reason: Some(StopReason::BothStatesLost), .. });
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
            // Whoever has lost its own state cannot compare: it has to believe its friend. What evidence has brought back is as
            // good as any other state.
            Status::Inconsistent { mine, theirs: Some(theirs), reason }
                if !is_in_doubt
                    && !matches!(reason, Some(StopReason::FriendWithholds | StopReason::BothStatesLost)) =>
            {
                if let Err(refusal) = self.check_terms(name, &line, mine, theirs) {
                    self.ask_for_proofs(&line, None);
                    return Err(refusal);
                }
            }
            Status::Inconsistent { .. } | Status::Waiting { .. } => {}
        }
        let friend = self.state.friends.get_mut(&key).expect("names and friends agree");
        let account = friend.accounts.get_mut(currency).expect("looked above");
        let signer = &*self.environment.signer;
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
            Err(_) if account.offer_what_is_left(self.now.unix_ms, signer) => Vec::new(),
            Err(_) => return Err(format!("\"{name}\" has not shown its terms yet: try again when it is online")),
        };
        if let Some(connection) = friend.connection {
            let frame = account.resume_frame();
            self.outputs.push(Output::Send(key, connection, frame));
        }
        self.forget_shown(&line);
        self.account_events(&line, events);
        Ok(())
    }

    /// Whether a friend's terms would cost more than their balance says.
    fn check_terms(&self, name: &str, line: &LineKey, ours: &Terms, theirs: &Terms) -> Result<(), String> {
        let account = &self.state.friends[&line.friend].accounts[&line.currency];
        let mut payable = theirs.continuing.iter().filter(|continuing| continuing.author_pays);
        if !payable.all(|claim| is_promised(account, claim)) {
            return Err(format!(
                "\"{name}\" claims payments that this node has never committed, so its terms cannot be accepted: ask its \
                 owner, or remove the friend"
            ));
        }
        // Also of a friend's new key with which no epoch has begun: what our Opening offers it may have collected under the old
        // one.
        let claimed: BTreeMap<_, _> = account.claimed().collect();
        let (mut unproven, mut proven, mut left_out) = (0, 0, 0);
        for continuing in &ours.continuing {
            let id = continuing.id;
            if theirs.continuing.iter().any(|kept| is_like(kept, continuing)) {
                continue;
            }
            match direction_of(continuing) {
                // The friend may have collected it, and what proves the payment did not come.
                Direction::Outgoing if self.waits_for_proof(line, id) => unproven += continuing.amount.cast_signed(),
                // It has shown the proof, or nobody waits for it: the credits are the friend's.
                Direction::Outgoing => proven += continuing.amount.cast_signed(),
                // We have collected it since: that is in neither balance, and will be written when the epoch lists it.
                Direction::Incoming if claimed.contains_key(&id) => left_out += claimed[&id].cast_signed(),
                // We have promised it onwards, and would pay it out of our own pocket.
                Direction::Incoming if self.is_carried_on(line, id) => {
                    return Err(format!(
                        "payments that came from \"{name}\" are still under way to other friends, and its terms leave \
                         them out: try again when they have ended"
                    ));
                }
                Direction::Incoming => {}
            }
        }
        // What we have collected is ours, whether the friend has heard of it or collects it again from us.
        let worth_of_ours = ours.balance + claimed.values().sum::<u128>().cast_signed();
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

    /// Whether a signed `Commit` binds us to the downstream of a friend's request.
    fn is_carried_on(&self, from: &LineKey, id: offst_proto::RequestId) -> bool {
        let incoming = from.hop(id);
        self.state.forwards.get(&incoming).is_some_and(|forward| self.is_bound(&incoming.at(forward.to)))
    }
}

fn direction_of(ours: &Continuing) -> Direction {
    if ours.author_pays { Direction::Outgoing } else { Direction::Incoming }
}

/// Whether we have committed what the friend says it may still collect.
fn is_promised(account: &Account, claim: &Continuing) -> bool {
    account
        .outgoing(claim.id)
        .is_some_and(|pending| pending.amount == claim.amount && pending.stage == Stage::Committed(claim.lock))
}
