//! Showing a friend what both have signed, and taking what a friend shows.
//!
//! Evidence is an epoch's Openings, the set at a checkpoint and the statements since ([`crate::replay`]). It is
//! believed as far as signatures go: each of our own binds us, and of the friend's nothing that we have seen may be
//! missing. A mere claim moves nothing: not what belongs to an account that was removed since, and not a checkpoint of
//! the friend's that we have never accepted, since its totals could say anything.

use crate::account::Account;
use crate::event::Event;
use crate::image::{CHECKPOINTS, STATEMENTS};
use crate::key::AccountId;
use crate::key::Side;
use crate::negotiation::{Agreement, Floor};
use crate::recovery::StateTrust;
use crate::replay::{Checkpoint, Replay};
use crate::resume::ResumeOutcome;
use crate::stop::StopReason;
use crate::transfer::{EvidenceRefused, Transfer};
use offst_crypto::{Signer, Verifier};
use offst_proto::friend::{Evidence, EvidenceCheckpoint, evidence_statement_frames};
use offst_proto::statement::{Operation, Statement};
use offst_proto::{Unverified, Verified};
use offst_rows::{RowKey, Rows};
use std::sync::Arc;

/// The rows of an account that evidence is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EvidenceRows {
    /// See [`crate::CHECKPOINTS`].
    pub checkpoint: Vec<u8>,
    /// The statements of both sides, each side's in the order of their seq.
    pub statements: Vec<Arc<[u8]>>,
}

impl EvidenceRows {
    /// Those of `account` among the rows of a node; an account that does not exist has none.
    pub fn of(account: &AccountId, rows: &Rows) -> EvidenceRows {
        let key = account.to_bytes();
        EvidenceRows {
            checkpoint: rows.get(CHECKPOINTS, &key).unwrap_or_default().to_vec(),
            statements: rows.with_prefix(STATEMENTS, &key).map(|(_, wire)| wire.into()).collect(),
        }
    }
}

/// What came of a friend's evidence, or of a part of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EvidenceOutcome {
    /// Our own position changed: send [`Account::resume_frame`].
    pub reply: bool,
    /// What it means for the node.
    pub events: Vec<Event>,
    /// The account stopped just now, or for another reason than before.
    pub stopped: Option<StopReason>,
    /// It holds a signature of ours that we do not know, on an account that we trusted: our database is old, and no
    /// account of this node can be trusted.
    pub own_state_is_old: bool,
    /// It was compared with what we hold: the account goes on with the next epoch as soon as the friend agrees.
    pub recovered: bool,
    /// It was not adopted.
    pub refused: Option<EvidenceRefused>,
}

impl Account {
    /// The friend has lost its state, or says so. Nothing more is signed in the epoch: our own disk may be an old copy
    /// without our knowing it, and nobody is left who could show us what we have signed at the next place of our log.
    /// What we have collected or cancelled and not signed is written when the next epoch begins.
    /// (R7.1.)
    pub(crate) fn show_evidence(&mut self, outcome: &mut ResumeOutcome, signer: &dyn Signer) {
        if self.recovery.link.has_shown {
            return;
        }
        self.recovery.link.has_shown = true;
        self.recovery.link.owes_evidence = true;
        outcome.show_evidence = true;
        if self.epoch.is_none() || self.recovery.trust != StateTrust::Current {
            return;
        }
        self.claim_what_waits();
        self.recovery.trust = StateTrust::PeerLostState;
        self.marks.head = true;
        self.stop_in(outcome, StopReason::FriendStateLost, signer);
        self.repropose(signer);
    }

    /// The frames of our evidence, made of the account's rows as the database holds them now. Asked for by
    /// [`ResumeOutcome::show_evidence`]; the outcome is that of evidence that has waited for it.
    pub fn evidence(
        &mut self,
        rows: EvidenceRows,
        now_ms: u64,
        signer: &dyn Signer,
    ) -> (Vec<Vec<u8>>, EvidenceOutcome) {
        self.recovery.link.owes_evidence = false;
        let frames = self.evidence_frames(rows);
        let mut outcome = EvidenceOutcome::default();
        self.weigh(&mut outcome, now_ms, signer);
        (frames, outcome)
    }

    fn evidence_frames(&self, rows: EvidenceRows) -> Vec<Vec<u8>> {
        let known = self.negotiation.theirs.as_ref().map(|theirs| theirs.epoch);
        let mut evidence = Evidence {
            currency: self.key.currency.clone(),
            openings: None,
            checkpoint: None,
            statements: 0,
            newest_epoch: known.max(self.newest_epoch()).unwrap_or(0),
            recovering: self.recovery.trust == StateTrust::Suspect,
        };
        let Some(epoch) = &self.epoch else { return vec![evidence.frame()] };
        let agreement = (*epoch.agreement).clone();
        let opening = |wire: &Arc<[u8]>| Unverified::from_wire(wire).expect("it was read or signed here");
        evidence.openings = Some([opening(agreement.mine.wire()), opening(agreement.theirs.wire())]);
        let base = epoch.kept.checkpoint_of.map(|side| Checkpoint { author: self.key.of(side), set: &rows.checkpoint });
        let read = |wire: Arc<[u8]>| Some(Unverified::<Statement>::from_wire(&wire).ok()?.trust_own_database());
        let statements = rows.statements.into_iter().map(read).collect::<Option<Vec<_>>>();
        let ordered = statements.and_then(|all| Replay::begin(&self.key, agreement, base).in_order(all).ok());
        // The epoch ended before its rows were read: there is a newer one, and nothing to recover.
        let Some(ordered) = ordered else { return Vec::new() };
        let wires: Vec<_> = ordered.iter().map(|statement| statement.wire().clone()).collect();
        evidence.statements = u32::try_from(wires.len()).expect("a checkpoint is never that old");
        evidence.checkpoint = epoch
            .kept
            .checkpoint_of
            .map(|side| EvidenceCheckpoint { by_sender: side == Side::Local, set: rows.checkpoint });
        let mut frames = vec![evidence.frame()];
        frames.extend(evidence_statement_frames(&wires));
        frames
    }

    /// The friend begins to show what both have signed.
    pub fn take_evidence(
        &mut self,
        evidence: Evidence,
        now_ms: u64,
        signer: &dyn Signer,
        verifier: &dyn Verifier,
    ) -> EvidenceOutcome {
        let mut outcome = EvidenceOutcome::default();
        self.recovery.link.friend_recovers = evidence.recovering;
        self.recovery.link.transfer = None;
        let farthest = self.farthest_epoch();
        let newest = Some(evidence.newest_epoch).filter(|newest| *newest <= farthest);
        self.recovery.link.newest_shown = Some(newest.unwrap_or_default());
        let Some([theirs, mine]) = evidence.openings else {
            self.nothing_is_shown(&mut outcome, now_ms, signer);
            return outcome;
        };
        let agreement = self.verified_agreement(mine, theirs, farthest, verifier);
        let Some(agreement) = agreement else {
            outcome.refused = Some(EvidenceRefused::Openings);
            return outcome;
        };
        if self.negotiation.floor.has_ended(agreement.number) {
            // It has no epoch of this account to show.
            self.nothing_is_shown(&mut outcome, now_ms, signer);
            return outcome;
        }
        if agreement.mine.epoch >= self.next_epoch() {
            self.own_state_is_old(&mut outcome, now_ms);
        }
        let base = evidence.checkpoint.as_ref().map(|checkpoint| {
            let side = if checkpoint.by_sender { Side::Remote } else { Side::Local };
            Checkpoint { author: self.key.of(side), set: &checkpoint.set }
        });
        let replay = Replay::begin(&self.key, agreement, base);
        let set = evidence.checkpoint.map(|checkpoint| checkpoint.set);
        let transfer = Transfer::begin(replay, set, evidence.statements);
        self.recovery.link.transfer = Some(Box::new(transfer));
        self.weigh(&mut outcome, now_ms, signer);
        outcome
    }

    fn verified_agreement(
        &self,
        mine: Unverified<offst_proto::opening::Opening>,
        theirs: Unverified<offst_proto::opening::Opening>,
        farthest: u64,
        verifier: &dyn Verifier,
    ) -> Option<Agreement> {
        let shown = mine.peek();
        let is_ours = shown.author == self.key.local
            && shown.other == self.key.remote
            && shown.currency == self.key.currency
            && theirs.peek().author == self.key.remote;
        if !is_ours {
            return None;
        }
        // That they mirror each other says the rest.
        let agreement = Agreement::of(mine.verify(verifier).ok()?, theirs.verify(verifier).ok()?)?;
        (agreement.number <= farthest).then_some(agreement)
    }

    /// Statements that belong to the evidence, their signatures checked.
    pub fn take_evidence_statements(
        &mut self,
        statements: Vec<Verified<Statement>>,
        now_ms: u64,
        signer: &dyn Signer,
    ) -> EvidenceOutcome {
        let mut outcome = EvidenceOutcome::default();
        for statement in statements {
            let Some(mut transfer) = self.recovery.link.transfer.take() else { break };
            transfer.is_forked |= self.is_forked(&statement);
            // A signature of ours is one, whatever is wrong with the rest.
            if self.is_unknown(&statement) {
                self.own_state_is_old(&mut outcome, now_ms);
            }
            match transfer.take(statement) {
                Ok(()) => self.recovery.link.transfer = Some(transfer),
                Err(refused) => outcome.refused = Some(refused),
            }
        }
        self.weigh(&mut outcome, now_ms, signer);
        outcome
    }

    fn own_state_is_old(&mut self, outcome: &mut EvidenceOutcome, now_ms: u64) {
        if self.recovery.trust == StateTrust::Recovered {
            // It was compared with less, or our disk is a copy from before the friend showed this: it is compared
            // again.
            self.distrust(now_ms);
            outcome.reply = true;
        } else if !self.is_recovering() {
            self.distrust(now_ms);
            outcome.own_state_is_old = true;
            outcome.stopped = self.stopped;
            outcome.reply = true;
        }
    }

    /// Whether we have signed a statement of this account without knowing of it. Under which Openings the friend shows
    /// it says nothing: it can sign some that fit at any time. Our log of an epoch is one, whatever the epoch began
    /// with, for an epoch in which something was signed is never replaced under its own number.
    /// (R7.3.)
    fn is_unknown(&self, statement: &Verified<Statement>) -> bool {
        let is_of_us = statement.author == self.key.local
            && statement.other == self.key.remote
            && statement.currency == self.key.currency;
        if !is_of_us || self.negotiation.floor.has_ended(statement.epoch) {
            return false;
        }
        let Some(epoch) = &self.epoch else { return true };
        if statement.epoch < epoch.number {
            return false;
        }
        let is_same = statement.epoch == epoch.number;
        let known = epoch.unacknowledged.iter().map(|sent| (sent.seq, sent.hash));
        let known = known.chain([epoch.acknowledged, (epoch.mine.seq, epoch.mine.hash)]);
        let differs = |(seq, hash)| seq == statement.seq && hash != statement.hash();
        !is_same || statement.seq > epoch.mine.seq || known.into_iter().any(differs)
    }

    /// Whether another statement stands at this place in what we, or others for us, remember for certain.
    fn is_forked(&self, statement: &Verified<Statement>) -> bool {
        let side = usize::from(statement.author != self.key.local);
        let own = self
            .epoch
            .as_ref()
            .map(|epoch| (epoch.number, [epoch.acknowledged, (epoch.theirs.seq, epoch.theirs.hash)]));
        let remembered = self.recovery.at_least.map(|head| (head.epoch, [head.own, head.other]));
        own.into_iter().chain(remembered).any(|(number, positions)| {
            let (seq, hash) = positions[side];
            number == statement.epoch && seq == statement.seq && seq > 0 && hash != statement.hash()
        })
    }

    /// The friend says that it has no epoch with us.
    /// (R7.15.)
    fn nothing_is_shown(&mut self, outcome: &mut EvidenceOutcome, now_ms: u64, signer: &dyn Signer) {
        if self.recovery.trust != StateTrust::Suspect {
            return;
        }
        let may_be_so = self.recovery.link.friend_recovers || self.epoch.is_none();
        // Of a lost account we know no terms. A friend that has opened it anew, with nothing at stake, is believed as
        // much as one that shows its very first Opening; anything else is for people to decide.
        let offers_nothing =
            self.negotiation.theirs.as_ref().is_some_and(|theirs| theirs.balance == 0 && theirs.continuing.is_empty());
        // After both have lost their state each owner decides.
        let is_for_people = self.stopped == Some(StopReason::BothStatesLost);
        let has_terms = self.negotiation.mine.is_some() || self.epoch.is_none() && offers_nothing && !is_for_people;
        if may_be_so && has_terms && self.holds_enough() {
            self.propose_recovered(outcome, now_ms, signer);
        } else if self.recovery.link.friend_recovers {
            self.stop_for(StopReason::BothStatesLost, outcome);
        } else if self.epoch.is_some() || self.recovery.at_least.is_some() {
            self.stop_for(StopReason::FriendWithholds, outcome);
        }
    }

    /// The account does not go on by itself: people settle it.
    fn stop_for(&mut self, reason: StopReason, outcome: &mut EvidenceOutcome) {
        if self.stopped != Some(reason) {
            self.stopped = Some(reason);
            self.marks.head = true;
            outcome.stopped = self.stopped;
        }
    }

    /// Once evidence is complete: compares it with what we hold, and adopts it unless it shows less.
    /// (R7.4.)
    fn weigh(&mut self, outcome: &mut EvidenceOutcome, now_ms: u64, signer: &dyn Signer) {
        let link = &mut self.recovery.link;
        // What we show must be what we held before: the friend may be weighing at the same time.
        if link.owes_evidence || link.transfer.as_ref().is_none_or(|transfer| transfer.left > 0) {
            return;
        }
        let Some(transfer) = link.transfer.take() else { return };
        if self.recovery.trust != StateTrust::Suspect {
            return;
        }
        let (number, reached) = (transfer.replay.agreement().number, transfer.replay.reached());
        // An Opening that we have signed since our state is suspect rests on what we held then, and so does an epoch
        // that the friend has begun with it: that it is newer than what others remember proves nothing. One above all
        // that we remember was signed by a newer disk, and so were statements of ours in that epoch.
        let offered = self.negotiation.mine.as_ref().map_or(0, |mine| mine.epoch);
        let Floor { relied_on, lost_up_to, .. } = self.negotiation.floor;
        let offers = relied_on.or(lost_up_to).map(|last| last.saturating_add(1)..=offered);
        let is_offer = |epoch| offers.is_some_and(|offers| offers.contains(&epoch));
        // R7.10.
        let rests_on_offer = reached[0] == 0 && is_offer(transfer.replay.agreement().mine.epoch);
        let is_as_told = |head: crate::recovery::Head| {
            if rests_on_offer { self.holds_enough() } else { head.is_within(number, reached) }
        };
        let is_enough = self.is_proven(&transfer.replay)
            && !transfer.is_forked
            && self.recovery.at_least.is_none_or(is_as_told)
            && self.epoch.as_ref().is_none_or(|epoch| {
                let is_same = number == epoch.number && transfer.replay.agreement().agreed == epoch.agreed;
                let is_later = is_same && reached[0] >= epoch.acknowledged.0 && reached[1] >= epoch.theirs.seq;
                // An epoch in which nothing was signed may be unknown to the friend.
                is_later || number > epoch.number || !is_same && epoch.is_untouched()
            });
        if is_enough {
            match self.adopt(*transfer) {
                Ok(()) => self.propose_recovered(outcome, now_ms, signer),
                Err(refused) => outcome.refused = Some(refused),
            }
        } else if self.recovery.link.friend_recovers && self.epoch.is_some() && self.holds_enough() {
            // It will learn the rest from us.
            self.propose_recovered(outcome, now_ms, signer);
        } else if self.recovery.link.friend_recovers && !transfer.is_forked {
            self.stop_for(StopReason::BothStatesLost, outcome);
        } else {
            self.stop_for(StopReason::FriendWithholds, outcome);
        }
    }

    /// Whether we have ever accepted what the evidence begins with. Openings need both signatures, and a checkpoint of
    /// ours could only be signed after all that came before. Of a checkpoint of the friend's we have to have
    /// acknowledged it, or something behind it in the same log: in the evidence itself, or as far as we, or others for
    /// us, remember. What was remembered is compared with each statement that is shown, see [`Account::is_forked`].
    /// (R7.5.)
    fn is_proven(&self, replay: &Replay) -> bool {
        let agreement = replay.agreement();
        replay.unacknowledged_checkpoint().is_none_or(|seq| {
            let remembers_own =
                self.epoch.as_ref().is_some_and(|epoch| epoch.agreed == agreement.agreed && epoch.theirs.seq >= seq);
            let remembers_other =
                self.recovery.at_least.is_some_and(|head| head.epoch == agreement.number && head.other.0 >= seq);
            remembers_own || remembers_other
        })
    }

    /// What the friend has shown takes the place of what we held.
    /// (R7.6.)
    fn adopt(&mut self, mut transfer: Transfer) -> Result<(), EvidenceRefused> {
        let agreement = transfer.replay.agreement();
        let own = self.epoch.as_ref();
        let is_same = own.is_some_and(|own| own.agreed == agreement.agreed);
        let reached = transfer.replay.reached();
        // A friend can accept an Opening of ours that was used up long ago; what nobody has signed in its epoch proves
        // nothing.
        if agreement.mine.epoch != agreement.number && reached[0] == 0 && !is_same {
            return Err(EvidenceRefused::Unproven);
        }
        let mut claims = Vec::new();
        if let Some(own) = own {
            if is_same && self.recovery.link.friend_recovers {
                // Neither knows all: the friend takes these from us, as we take its own from it.
                for sent in own.unacknowledged.iter().filter(|sent| sent.seq > reached[0]) {
                    let statement = Unverified::from_wire(&sent.wire).expect("we signed it").trust_own_database();
                    transfer.left += 1;
                    transfer.take(statement)?;
                }
            } else if is_same {
                // They never arrived, and are written again.
                claims = own.unacknowledged_releases(reached[0]);
            } else {
                // The same. But in an epoch that we have forgotten, what we had given up may be another request with
                // the same id, which we have promised onwards. A preimage fits or does not.
                claims = own.unacknowledged_releases(0);
                claims.retain(|operation| matches!(operation, Operation::Collect { .. }));
            }
        }
        let Transfer { replay, set, taken, .. } = transfer;
        let shown = replay.finish()?;
        self.marks.epoch_ends(self.epoch.as_ref());
        self.epoch = Some(shown);
        self.marks.checkpoint = set;
        let mine = |statement: &Statement| statement.author == self.key.local;
        self.marks.statements = taken.iter().map(|s| (mine(s), s.seq, s.wire().clone())).collect();
        for operation in claims {
            let id = operation.request_id().expect("a collect or a cancel");
            self.recovery.claims.entry(id).or_insert(operation);
        }
        Ok(())
    }

    /// Proposes what we hold now for the next epoch; the friend's terms say the same.
    /// (R7.7.)
    fn propose_recovered(&mut self, outcome: &mut EvidenceOutcome, now_ms: u64, signer: &dyn Signer) {
        self.recovery.trust = StateTrust::Recovered;
        self.stopped = Some(StopReason::OwnStateLost);
        self.marks.head = true;
        let theirs = self.negotiation.theirs.as_ref().map_or(0, |theirs| theirs.epoch);
        let at_least = now_ms.max(theirs).max(self.recovery.link.above_shown());
        let terms = self.last_known_terms();
        self.propose(terms, at_least, None, signer);
        outcome.recovered = true;
        outcome.reply = true;
        outcome.events = self.settle(signer);
    }
}
