//! Terms of liars that are nearly right, and owners who accept them whenever their nodes let them. What such an
//! acceptance may cost stands in the two balances that the owner was shown; whatever else the terms say about requests
//! under way must cost nothing.

use super::{EventKind, InjectedFault, World, name};
use crate::reference::signed;
use offst_crypto::{Hash, Preimage, RandomExt};
use offst_funder::{Command, Reply};
use offst_ledger::{Account, Direction, Stage, Status};
use offst_proto::Amount;
use offst_proto::friend::{Evidence, FriendMessage, Resume};
use offst_proto::opening::{Continuing, Opening};
use offst_proto::statement::Statement;
use offst_proto::{Currency, RequestId, Unverified, Verified};

/// What is committed on an account, as the friend would let it continue.
fn committed(account: &Account) -> Vec<Continuing> {
    let pendings = account.epoch().into_iter().flat_map(|epoch| epoch.pendings());
    let continuing = pendings.filter_map(|(direction, id, pending)| {
        let Stage::Committed(lock) = pending.stage else { return None };
        let author_pays = direction == Direction::Incoming;
        Some(Continuing { author_pays, id, held: pending.held, lock, terms: pending.terms })
    });
    continuing.collect()
}

impl World {
    /// A liar opens an account anew, on terms that are what it comes to, or nearly.
    pub(crate) fn offer_nearly_right(&mut self, liar: usize, victim: usize, currency: &Currency) {
        let is_heard = self.is_connected(liar, victim) && self.nodes[victim].is_free();
        let Some(account) = self.nodes[victim].find(self.key(liar), currency).filter(|_| is_heard) else { return };
        let (balance, number) = account.epoch().map_or((0, 0), |epoch| (epoch.balance(), epoch.number));
        let shown = account.negotiation().theirs.as_ref().map_or(0, |theirs| theirs.epoch);
        let mut continuing = committed(account);
        let elsewhere: Vec<Continuing> =
            self.nodes[victim].accounts().flat_map(|(_, other)| committed(other)).collect();
        self.count_lie(liar, victim, InjectedFault::NearlyRight);
        let balance = match self.dice.below(10) {
            0 => -balance + 1 + self.dice.below(50) as i128,
            1 => -balance - 1 - self.dice.below(50) as i128,
            _ => -balance,
        };
        self.falsify_terms(&mut continuing, &elsewhere);
        let opening = Opening {
            author: self.key(liar),
            other: self.key(victim),
            currency: currency.clone(),
            epoch: number.max(shown).saturating_add(1 + self.dice.below(5) as u64),
            balance,
            continuing,
            accepts: None,
        };
        let wire = Verified::sign(opening, self.signer(liar)).wire().clone();
        // Such terms may be none at all: then nobody can sign them either.
        let Ok(opening) = Unverified::from_wire(&wire) else { return };
        let recovering = self.dice.chance(15);
        self.resume(
            liar,
            victim,
            Resume { currency: currency.clone(), opening: Some(opening), epoch: None, recovering },
        );
    }

    /// Changes one thing in what continues, or nothing. `elsewhere`: what continues on other accounts.
    fn falsify_terms(&mut self, continuing: &mut Vec<Continuing>, elsewhere: &[Continuing]) {
        let place = self.dice.below(continuing.len().max(1));
        let moved = self.dice.pick(elsewhere);
        let kind = self.dice.below(10);
        if let Some(one) = continuing.get_mut(place) {
            match kind {
                0 | 1 => one.held = Amount::capped(1 + self.dice.below(one.held.credits() as usize) as u128),
                2 => one.held = Amount::capped(one.held.credits() + 1 + self.dice.below(100) as u128),
                3 => one.lock = Preimage::from_bytes(self.dice.array()).lock(),
                4 => one.author_pays = !one.author_pays,
                5 => one.terms = Hash::from_bytes(self.dice.array()),
                6 | 7 => drop(continuing.remove(place)),
                _ => {}
            }
        }
        match (kind, moved) {
            (8, Some(moved)) => continuing.push(moved),
            (9, Some(moved)) => continuing.push(Continuing { id: RequestId::random(&mut self.dice), ..moved }),
            _ => {}
        }
        // As terms have to stand.
        continuing.sort_by_key(|one| (one.author_pays, one.id));
        continuing.dedup_by_key(|one| one.id);
    }

    /// The owner of a node accepts a liar's terms, if the node allows it. What the owner was shown is noted.
    pub(crate) fn accept_liars_terms(&mut self, victim: usize, liar: usize, currency: &Currency) {
        if !self.nodes[victim].is_up() || self.nodes[victim].writing.is_some() {
            return;
        }
        let Some(account) = self.nodes[victim].find(self.key(liar), currency) else { return };
        let Status::Inconsistent { mine, theirs: Some(theirs), .. } = account.status() else { return };
        let claimed: u128 = account.claimed().map(|(_, amount)| amount).sum();
        let is_known = !account.is_suspect();
        let shown = (mine.balance + signed(claimed) - theirs.balance).max(0);
        let id = self.command(victim, Command::ResetFriend(name(liar), currency.clone()));
        if self.reply(victim, id) == Some(Reply::Done) {
            self.faults.did(EventKind::LiarsTerms);
            self.tell(|| {
                format!("the owner of node {victim} accepts what node {liar} offers, {shown} less of {currency}")
            });
            if is_known {
                *self.accepted.entry((victim, self.key(liar), currency.clone())).or_default() += shown;
            }
        } else {
            self.faults.did(EventKind::TermsRefused);
        }
    }

    /// What the owner of a node has given up by accepting a liar's terms: so much less was the owner shown, credits.
    pub(crate) fn given_up(&self, index: usize, liar: usize, currency: &Currency) -> i128 {
        self.accepted.get(&(index, self.key(liar), currency.clone())).copied().unwrap_or(0)
    }

    /// A liar shows a node that recovers something else than what was signed.
    pub(crate) fn forge_evidence(&mut self, liar: usize, victim: usize, currency: &Currency) {
        let is_heard = self.is_connected(liar, victim) && self.nodes[victim].is_free();
        let key = self.key(victim);
        let Some(mut account) = self.nodes[liar].find(key, currency).filter(|_| is_heard).cloned() else { return };
        if self.nodes[victim].find(self.key(liar), currency).is_none_or(|account| !account.is_recovering()) {
            return;
        }
        let account_id = offst_funder::AccountId { friend: key, currency: currency.clone() };
        let rows = self.nodes[liar].disk.evidence(&account_id);
        let now_ms = self.now(liar).unix_ms;
        let (frames, _) = account.evidence(rows, now_ms, self.signer(liar));
        let mut first: Option<Box<Evidence>> = None;
        let mut statements = Vec::new();
        for frame in frames {
            match FriendMessage::from_frame(&frame).expect("a node's own frame") {
                FriendMessage::Evidence(evidence) => first = Some(evidence),
                FriendMessage::EvidenceStatements(more) => statements.extend(more),
                _ => {}
            }
        }
        let Some(mut evidence) = first else { return };
        self.count_lie(liar, victim, InjectedFault::ForgedEvidence);
        self.falsify_evidence(liar, &mut evidence, &mut statements);
        evidence.statements = statements.len() as u32;
        let connection = self.connections[&super::links::pair(liar, victim)];
        let author = self.key(liar);
        let verified = statements.into_iter().filter_map(|statement| statement.verify(&*self.verifier).ok());
        let verified: Vec<Verified<Statement>> = verified.collect();
        self.batch(victim, vec![offst_funder::Input::Evidence(author, connection, evidence)]);
        self.batch(victim, vec![offst_funder::Input::EvidenceStatements(author, connection, verified)]);
    }

    fn falsify_evidence(&mut self, liar: usize, evidence: &mut Evidence, statements: &mut Vec<Unverified<Statement>>) {
        let own: Vec<usize> =
            (0..statements.len()).filter(|place| statements[*place].peek().author == self.key(liar)).collect();
        match (self.dice.below(7), self.dice.pick(&own)) {
            // The end is missing.
            (0 | 1, _) if !statements.is_empty() => statements.truncate(self.dice.below(statements.len())),
            // It has signed something else since.
            (2 | 3, Some(place)) => {
                let mut statement = statements[place].peek().clone();
                match self.dice.below(3) {
                    0 => statement.totals.collected += 100,
                    1 => statement.totals.requested += 100,
                    _ => statement.operations.clear(),
                }
                let wire = Verified::sign(statement, self.signer(liar)).wire().clone();
                if let Ok(statement) = Unverified::from_wire(&wire) {
                    statements[place] = statement;
                }
            }
            (4, _) => evidence.checkpoint = None,
            (5, _) => {
                if let Some([mine, _]) = &mut evidence.openings {
                    let opening = Opening { balance: mine.peek().balance + 100, ..mine.peek().clone() };
                    let wire = Verified::sign(opening, self.signer(liar)).wire().clone();
                    *mine = Unverified::from_wire(&wire).expect("it was just signed");
                }
            }
            (6, _) => evidence.openings = None,
            _ => statements.reverse(),
        }
    }
}
