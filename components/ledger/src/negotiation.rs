//! Openings: how two sides agree on the terms of an epoch.
//!
//! Each side has its newest Opening on the table. They agree when
//!
//! * both are for the same epoch and mirror each other, or
//! * one of them *accepts* the other: it names its hash and carries the negated balance in a higher epoch.
//!
//! When terms mirror each other but the epochs differ, the side with the lower epoch signs the same terms for the
//! higher one. When two acceptances cross, that of the smaller key stands. Everything else is a disagreement that
//! people settle.

use offst_crypto::{Hash, PublicKey, sha256_parts};
use offst_proto::Verified;
use offst_proto::opening::{Continuing, Opening};

/// What one side would have the account start with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Credits that the other side owes the one whose terms they are.
    pub balance: i128,
    /// Committed requests that continue.
    pub continuing: Vec<Continuing>,
}

/// Up to which epoch what was signed before is over, or forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Floor {
    /// The last epoch of an account with the same friend that its owner removed: signatures up to there prove nothing
    /// any more.
    pub ended: Option<u64>,
    /// The last epoch for which we may have signed an Opening that we have forgotten.
    pub lost_up_to: Option<u64>,
    /// The last epoch for which we may have signed an Opening before our state became suspect. One for a later epoch
    /// rests on what we held while it was suspect. None: it never was, or not since this is remembered, and then
    /// `lost_up_to` says it.
    pub relied_on: Option<u64>,
}

impl Floor {
    /// No Opening of ours is for this epoch or an earlier one.
    fn newest(self) -> Option<u64> {
        self.ended.max(self.lost_up_to)
    }

    /// Whether the epoch belongs to an account that was removed.
    pub(crate) fn has_ended(self, epoch: u64) -> bool {
        self.ended.is_some_and(|ended| epoch <= ended)
    }
}

/// Both sides' newest Openings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Negotiation {
    /// Our newest Opening.
    pub mine: Option<Verified<Opening>>,
    /// The friend's newest Opening.
    pub theirs: Option<Verified<Opening>>,
    /// The Openings before these: two acceptances cross when each names the other side's previous one.
    pub(crate) mine_previous: Option<Verified<Opening>>,
    pub(crate) theirs_previous: Option<Verified<Opening>>,
    /// What was before.
    pub(crate) floor: Floor,
}

/// Two Openings that agree: what an epoch rests on, and what proves how it began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreement {
    /// Our Opening.
    pub mine: Verified<Opening>,
    /// The friend's Opening.
    pub theirs: Verified<Opening>,
    /// The epoch.
    pub number: u64,
    /// The hash that both logs grow from.
    pub agreed: Hash,
}

impl Agreement {
    /// What the Openings of the two sides of an account agree on, if they do: both are for one epoch, or one accepts
    /// the other in a higher one. Whichever of them is ours has to be given as such.
    pub fn of(mine: Verified<Opening>, theirs: Verified<Opening>) -> Option<Agreement> {
        if !mine.mirrors(&theirs) {
            return None;
        }
        let (my_hash, their_hash) = (mine.hash(), theirs.hash());
        let (number, agreed) = if mine.accepts == Some(their_hash) && mine.epoch > theirs.epoch {
            (mine.epoch, my_hash)
        } else if theirs.accepts == Some(my_hash) && theirs.epoch > mine.epoch {
            (theirs.epoch, their_hash)
        } else if mine.epoch == theirs.epoch {
            let pair = if mine.author < theirs.author { [my_hash, their_hash] } else { [their_hash, my_hash] };
            (mine.epoch, sha256_parts(&[pair[0].as_bytes(), pair[1].as_bytes()]))
        } else {
            return None;
        };
        Some(Agreement { mine, theirs, number, agreed })
    }

    /// Both Openings.
    pub(crate) fn openings(&self) -> [&Verified<Opening>; 2] {
        [&self.mine, &self.theirs]
    }

    /// Our side of the terms.
    pub fn terms(&self) -> Terms {
        Terms { balance: self.mine.balance, continuing: self.mine.continuing.clone() }
    }
}

/// What the Openings on the table come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NegotiationOutcome {
    /// An Opening is missing, or the friend's turn has come.
    Wait,
    /// An epoch may begin.
    Agreed(Box<Agreement>),
    /// We should sign the terms of our Opening again, for this epoch.
    Repeat(u64),
    /// Only people can settle this.
    Disagreed,
}

impl Negotiation {
    /// All Openings that are kept.
    pub(crate) fn openings(&self) -> Vec<&Verified<Opening>> {
        [&self.mine, &self.theirs, &self.mine_previous, &self.theirs_previous].into_iter().flatten().collect()
    }

    /// The first epoch for which we may still sign an Opening.
    pub(crate) fn next_epoch(&self) -> u64 {
        let signed = self.mine.as_ref().map(|opening| opening.epoch);
        signed.max(self.floor.newest()).map_or(0, |epoch| epoch + 1)
    }

    /// Puts a new Opening of ours on the table.
    pub(crate) fn place_mine(&mut self, opening: Verified<Opening>) {
        // R1.24.
        assert!(opening.epoch >= self.next_epoch(), "at most one opening is signed for each epoch");
        self.mine_previous = self.mine.replace(opening);
    }

    /// Puts a new Opening of the friend's on the table.
    pub(crate) fn place_theirs(&mut self, opening: Verified<Opening>) {
        self.theirs_previous = self.theirs.replace(opening);
    }

    /// What the Openings on the table come to.
    /// (R1.26.)
    pub(crate) fn outcome(&self) -> NegotiationOutcome {
        let (Some(mine), Some(theirs)) = (&self.mine, &self.theirs) else {
            return NegotiationOutcome::Wait;
        };
        if let Some(crossed) = self.crossed_acceptance() {
            return NegotiationOutcome::Agreed(Box::new(crossed));
        }
        if !mine.mirrors(theirs) {
            return NegotiationOutcome::Disagreed;
        }
        if let Some(agreement) = Agreement::of(mine.clone(), theirs.clone()) {
            return NegotiationOutcome::Agreed(Box::new(agreement));
        }
        if mine.epoch < theirs.epoch { NegotiationOutcome::Repeat(theirs.epoch) } else { NegotiationOutcome::Wait }
    }

    /// Each side has accepted the Opening that the other had before: the acceptance of the smaller key stands.
    fn crossed_acceptance(&self) -> Option<Agreement> {
        let (mine, theirs) = (self.mine.as_ref()?, self.theirs.as_ref()?);
        let (mine_previous, theirs_previous) = (self.mine_previous.as_ref()?, self.theirs_previous.as_ref()?);
        let have_crossed = mine.epoch == theirs.epoch
            && mine.accepts == Some(theirs_previous.hash())
            && theirs.accepts == Some(mine_previous.hash());
        if !have_crossed {
            return None;
        }
        // What stands has to say what it accepts: `of` compares them.
        if mine.author < theirs.author {
            Agreement::of(mine.clone(), theirs_previous.clone())
        } else {
            Agreement::of(mine_previous.clone(), theirs.clone())
        }
    }
}

/// An Opening of `author`'s terms.
pub(crate) fn opening(
    author: PublicKey,
    other: PublicKey,
    currency: &offst_proto::Currency,
    epoch: u64,
    terms: Terms,
    accepts: Option<Hash>,
) -> Opening {
    Opening {
        author,
        other,
        currency: currency.clone(),
        epoch,
        balance: terms.balance,
        continuing: terms.continuing,
        accepts,
    }
}
