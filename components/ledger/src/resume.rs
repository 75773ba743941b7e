//! Two friends meet again: each says where it stands, and both find out whether they can go on, whether terms have
//! changed, or whether one of them has lost a part of its state.

use crate::account::Account;
use crate::epoch::Epoch;
use crate::event::Event;
use crate::fault::Fault;
use crate::negotiation::NegotiationOutcome;
use crate::recovery::StateTrust;
use crate::stop::StopReason;
use offst_crypto::{Signer, Verifier};
use offst_proto::friend::{EpochPosition, Resume};
use offst_proto::opening::Opening;
use offst_proto::{Unverified, Verified};
use std::sync::Arc;

/// How far a friend's Opening may be ahead of the newest one that is known. Recovered accounts take the time of their
/// node as their epoch, and no clock is compared with another one: this is more than any that shows a year with four
/// digits. A friend that jumps as far as it may again and again uses up the epochs of its own account, and of no other.
/// (R1.25.)
const EPOCHS_AHEAD: u64 = 1 << 48;
/// The last epoch that is taken from a friend. Counting on from it cannot overflow.
const EPOCH_MAX: u64 = 1 << 62;

/// What came of a friend's [`Resume`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResumeOutcome {
    /// Our own position changed: send [`Account::resume_frame`].
    pub reply: bool,
    /// Both sides are in the same epoch now: statements of ours that the friend does not have.
    pub resend: Vec<Arc<[u8]>>,
    /// What it means for the node.
    pub events: Vec<Event>,
    /// The account stopped just now.
    pub stopped: Option<StopReason>,
    /// The friend has to see what both have signed: read the account's rows once this is durable, and send what
    /// [`Account::evidence`] makes of them after [`Account::resume_frame`].
    pub show_evidence: bool,
}

impl Account {
    /// The friend says where it stands.
    ///
    /// When the outcome says so, [`Account::resume_frame`] is sent before anything else.
    /// (R1.36.)
    pub fn handle_resume(&mut self, resume: Resume, signer: &dyn Signer, verifier: &dyn Verifier) -> ResumeOutcome {
        let mut outcome = ResumeOutcome::default();
        let shown = |account: &Account| {
            let mine = account.negotiation.mine.as_ref().map(Verified::hash);
            (mine, account.active().map(|epoch| epoch.agreed), account.recovery.asks_for_evidence())
        };
        let shown_before = shown(self);
        let has_forgotten = !resume.recovering && self.shows_less(&resume);
        let farthest = self.farthest_epoch();
        self.recovery.link.friend_recovers = resume.recovering;
        let taken = match resume.opening {
            Some(opening) => self.take_opening(opening, farthest, verifier),
            None => Ok(false),
        };
        // Our old terms on the table may have begun an epoch for the friend before it learned that our state is
        // suspect. Then it has shown nothing yet, and is asked again.
        let is_answered_while_suspect = self.recovery.trust == StateTrust::Suspect
            && (taken == Ok(true)
                || !resume.recovering && resume.epoch.as_ref().is_some_and(|at| self.has_offered(at)));
        // While our own state is suspect, the friend's terms wait for its evidence.
        if self.recovery.trust != StateTrust::Suspect {
            let says = |position: &EpochPosition| !resume.recovering && self.is_said_to_be_in(position, farthest);
            let is_asked = resume.epoch.as_ref().is_some_and(says);
            match taken {
                // What we would sign now may have been signed already, and differently. First it is shown.
                Ok(true) if is_asked => {}
                Ok(true) => self.answer_opening(&mut outcome, signer),
                // It was left without an answer for that reason, and the friend is not in that epoch any more.
                Ok(false) if !is_asked && self.is_passed_by_theirs() => self.answer_opening(&mut outcome, signer),
                Ok(false) => {}
                Err(fault) => self.stop_in(&mut outcome, StopReason::Fault(fault), signer),
            }
            if !resume.recovering {
                self.compare_positions(resume.epoch.as_ref(), farthest, &mut outcome, signer);
            }
        }
        // What was shown may have been lost on the wire, and the friend may not know yet what it has lost.
        let has_begun = !outcome.events.is_empty();
        let is_old_itself = has_forgotten && self.recovery.trust == StateTrust::Suspect;
        if !has_begun && (resume.recovering || self.recovery.trust == StateTrust::PeerLostState || is_old_itself) {
            self.show_evidence(&mut outcome, signer);
        }
        outcome.reply = shown(self) != shown_before || is_answered_while_suspect;
        outcome
    }

    pub(crate) fn stop_in(&mut self, outcome: &mut ResumeOutcome, reason: StopReason, signer: &dyn Signer) {
        if self.active().is_some() {
            self.stop(reason, signer);
            outcome.stopped = Some(reason);
        }
    }

    /// Whether an epoch in which nobody has said anything yet begins with our newest Opening.
    fn has_offered(&self, at: &EpochPosition) -> bool {
        let is_new = at.own_seq == 0 && at.other_seq == 0;
        is_new && self.negotiation.mine.as_ref().is_some_and(|mine| mine.epoch == at.number)
    }

    /// Whether the friend says that we both are in an epoch that began with an Opening of ours, and that we do not
    /// know.
    fn is_said_to_be_in(&self, position: &EpochPosition, farthest: u64) -> bool {
        let number = position.number;
        let theirs = self.negotiation.theirs.as_ref();
        // Only when the friend's Opening accepts our terms an epoch begins without an Opening of ours for it.
        let is_acceptance = theirs.is_some_and(|theirs| theirs.epoch == number && theirs.accepts.is_some());
        number >= self.next_epoch() && number <= farthest && !is_acceptance
    }

    /// Whether the friend shows less than it has signed, as far as we know: its database is old, and it may not know
    /// that. Also a node whose own state is suspect holds signatures that tell it.
    fn shows_less(&self, resume: &Resume) -> bool {
        let known = self.negotiation.theirs.as_ref().map(|theirs| theirs.epoch);
        let shown = resume.opening.as_ref().map(|opening| opening.peek().epoch);
        let has_older_terms = shown.zip(known).is_some_and(|(shown, known)| shown < known);
        let is_behind = self.epoch.as_ref().zip(resume.epoch.as_ref()).is_some_and(|(epoch, position)| {
            let is_ours = (position.number, position.agreed) == (epoch.number, epoch.agreed);
            position.number < epoch.number && !epoch.is_untouched()
                || is_ours && resend_from(epoch, position) == Err(StopReason::FriendStateLost)
        });
        has_older_terms || is_behind
    }

    /// Whether our epoch goes on although the friend has proposed a newer one.
    fn is_passed_by_theirs(&self) -> bool {
        let theirs = self.negotiation.theirs.as_ref();
        self.active().is_some_and(|epoch| theirs.is_some_and(|theirs| theirs.epoch > epoch.number))
    }

    /// The friend claims to hold what we do not know. Our database is old, or the friend lies: it is asked to show it,
    /// and nothing is signed meanwhile.
    /// (R1.37.)
    fn ask(&mut self) {
        self.recovery.link.asks = true;
        self.resumed = false;
    }

    fn compare_positions(
        &mut self,
        position: Option<&EpochPosition>,
        farthest: u64,
        outcome: &mut ResumeOutcome,
        signer: &dyn Signer,
    ) {
        if position.is_some_and(|position| self.is_said_to_be_in(position, farthest)) {
            return self.ask();
        }
        let Some(epoch) = &self.epoch else {
            return;
        };
        let in_ours = position.filter(|position| (position.number, position.agreed) == (epoch.number, epoch.agreed));
        if self.stopped.is_some() {
            // A friend that is still in the epoch hears of the stop by our Opening. One that has fallen back in it
            // would take the terms for a mere opinion: it is shown what it has forgotten.
            if in_ours.is_some_and(|position| resend_from(epoch, position) == Err(StopReason::FriendStateLost)) {
                self.show_evidence(outcome, signer);
            }
            return;
        }
        if let Some(position) = in_ours {
            match resend_from(epoch, position) {
                Ok(resend) => {
                    outcome.resend = resend;
                    self.resumed = true;
                    self.recovery.link.asks = false;
                }
                Err(StopReason::OwnStateLost) => self.ask(),
                Err(StopReason::FriendStateLost) => self.show_evidence(outcome, signer),
                Err(reason) => self.stop_in(outcome, reason, signer),
            }
            return;
        }
        let theirs = self.negotiation.theirs.as_ref();
        let was_confirmed = !epoch.is_untouched();
        let has_reopened = theirs.is_some_and(|theirs| theirs.epoch > epoch.number);
        // Our epoch rests on the friend's acceptance, and the friend is in another one of the same number.
        let knows_not_its_own = theirs.is_some_and(|theirs| theirs.hash() == epoch.agreed)
            && position.is_some_and(|position| position.number == epoch.number);
        self.resumed = false;
        if was_confirmed && !has_reopened || knows_not_its_own {
            // It was in this epoch and does not know it any more.
            self.show_evidence(outcome, signer);
        }
    }

    /// The highest epoch that is taken from the friend.
    pub(crate) fn farthest_epoch(&self) -> u64 {
        let known = self.negotiation.theirs.as_ref().map(|theirs| theirs.epoch);
        let newest = known.max(self.newest_epoch()).unwrap_or(0);
        newest.saturating_add(EPOCHS_AHEAD).min(EPOCH_MAX)
    }

    /// Verifies an Opening of the friend's and puts it on the table. `Ok(false)`: known, or not to be taken.
    fn take_opening(
        &mut self,
        opening: Unverified<Opening>,
        farthest: u64,
        verifier: &dyn Verifier,
    ) -> Result<bool, Fault> {
        let shown = opening.peek();
        let is_for_us =
            shown.author == self.key.remote && shown.other == self.key.local && shown.currency == self.key.currency;
        let known = self.negotiation.theirs.as_ref().map(|theirs| theirs.epoch);
        if !is_for_us || shown.epoch > farthest || known.is_some_and(|known| shown.epoch < known) {
            return Ok(false);
        }
        let Ok(opening) = opening.verify(verifier) else {
            return Ok(false);
        };
        if known == Some(opening.epoch) {
            let same = self.negotiation.theirs.as_ref().is_some_and(|theirs| theirs.hash() == opening.hash());
            return if same { Ok(false) } else { Err(Fault::TwoOpenings) };
        }
        self.negotiation.place_theirs(opening);
        self.marks.negotiation = true;
        Ok(true)
    }

    /// The friend has put a new Opening on the table. One that is not what we are in already ends our epoch.
    fn answer_opening(&mut self, outcome: &mut ResumeOutcome, signer: &dyn Signer) {
        outcome.events = self.settle(signer);
        if !outcome.events.is_empty() {
            return;
        }
        let theirs = self.negotiation.theirs.as_ref().expect("it was just placed").epoch;
        let Some(epoch) = &self.epoch else {
            return;
        };
        let is_ours = matches!(self.negotiation.outcome(), NegotiationOutcome::Agreed(agreement) if agreement.agreed == epoch.agreed);
        if theirs < epoch.number || theirs == epoch.number && (is_ours || !epoch.is_untouched()) {
            return;
        }
        self.stop_in(outcome, StopReason::FriendReopened, signer);
        self.repropose(signer);
        // What stopped may begin again at once, on terms that both see alike; the events tell what was left out.
        outcome.events = self.settle(signer);
    }
}

/// Compares a friend's position with ours: what it lacks, or why the account cannot go on.
fn resend_from(epoch: &Epoch, position: &EpochPosition) -> Result<Vec<Arc<[u8]>>, StopReason> {
    if position.other_seq > epoch.mine.seq {
        return Err(StopReason::OwnStateLost);
    }
    if position.own_seq < epoch.theirs.seq {
        return Err(StopReason::FriendStateLost);
    }
    if position.own_seq == epoch.theirs.seq && position.own_hash != epoch.theirs.hash {
        return Err(StopReason::Fault(Fault::Equivocation));
    }
    let known = if position.other_seq == epoch.acknowledged.0 {
        Some(epoch.acknowledged.1)
    } else {
        epoch.unacknowledged.iter().find(|sent| sent.seq == position.other_seq).map(|sent| sent.hash)
    };
    match known {
        Some(hash) if hash == position.other_hash => {}
        Some(_) => return Err(StopReason::OwnStateLost),
        // Less than it has acknowledged before.
        None => return Err(StopReason::FriendStateLost),
    }
    let later = epoch.unacknowledged.iter().filter(|sent| sent.seq > position.other_seq);
    Ok(later.map(|sent| sent.wire.clone()).collect())
}
