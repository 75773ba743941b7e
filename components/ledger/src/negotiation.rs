//! Openings: how two sides agree on the terms of an epoch.
//!
//! Each side has its newest Opening on the table. They agree when
//!
//! * both are for the same epoch and mirror each other, or
//! * one of them *accepts* the other: it names its hash and carries the negated balance in a higher epoch.
//!
//! When terms mirror each other but the epochs differ, the side with the lower epoch signs the same terms for the higher one.
//! When two acceptances cross, that of the smaller key stands. Everything else is a disagreement that people settle.

use offst_crypto::{Hash, PublicKey, sha256_parts};
use offst_proto::Verified;
use offst_proto::opening::{Continuing, Opening};

/// What one side would have the account start with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Credits that the other side owes, from the side of whoever the terms belong to.
    pub balance: i128,
    /// Committed requests that continue.
    pub continuing: Vec<Continuing>,
}

/// Both sides' newest Openings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Negotiation {
    /// Our newest Opening.
    pub mine: Option<Verified<Opening>>,
    /// The friend's newest Opening.
    pub theirs: Option<Verified<Opening>>,
    /// Hashes of the Openings before these: two acceptances cross when each names the other side's previous one.
    pub(crate) mine_previous: Option<Hash>,
    pub(crate) theirs_previous: Option<Hash>,
    /// No Opening of ours is for this epoch or an earlier one: what a removed friend leaves behind.
    pub(crate) epoch_floor: Option<u64>,
}

/// What the Openings on the table come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// An Opening is missing, or the friend's turn has come.
    Wait,
    /// The epoch's number, the hash its logs grow from, and our side of the terms.
    Agreed(u64, Hash, Terms),
    /// We should sign the terms of our Opening again, for this epoch.
    Repeat(u64),
    /// Only people can settle this.
    Disagreed,
}

impl Negotiation {
    /// The first epoch for which we may still sign an Opening.
    pub(crate) fn next_epoch(&self) -> u64 {
        let signed = self.mine.as_ref().map(|opening| opening.epoch);
        signed.max(self.epoch_floor).map_or(0, |epoch| epoch + 1)
    }

    /// Puts a new Opening of ours on the table.
    pub(crate) fn place_mine(&mut self, opening: Verified<Opening>) {
        assert!(opening.epoch >= self.next_epoch(), "at most one opening is signed for each epoch");
        self.mine_previous = self.mine.replace(opening).map(|previous| previous.hash());
    }

    /// Puts a new Opening of the friend's on the table.
    pub(crate) fn place_theirs(&mut self, opening: Verified<Opening>) {
        self.theirs_previous = self.theirs.replace(opening).map(|previous| previous.hash());
    }

    /// What the Openings on the table come to.
    pub(crate) fn verdict(&self) -> Verdict {
        let (Some(mine), Some(theirs)) = (&self.mine, &self.theirs) else {
            return Verdict::Wait;
        };
        let my_terms = Terms { balance: mine.balance, continuing: mine.continuing.clone() };
        let their_terms = Terms { balance: -theirs.balance, continuing: theirs.mirrored_continuing() };
        let (my_hash, their_hash) = (mine.hash(), theirs.hash());
        let i_accept = Verdict::Agreed(mine.epoch, my_hash, my_terms.clone());
        let they_accept = Verdict::Agreed(theirs.epoch, their_hash, their_terms);
        if mine.accepts == Some(their_hash) && mine.mirrors(theirs) {
            return i_accept;
        }
        if theirs.accepts == Some(my_hash) && theirs.epoch > mine.epoch && mine.mirrors(theirs) {
            return they_accept;
        }
        let have_crossed = mine.epoch == theirs.epoch
            && mine.accepts.is_some()
            && theirs.accepts.is_some()
            && mine.accepts == self.theirs_previous
            && theirs.accepts == self.mine_previous;
        if have_crossed {
            return if mine.author < theirs.author { i_accept } else { they_accept };
        }
        if !mine.mirrors(theirs) {
            return Verdict::Disagreed;
        }
        match mine.epoch.cmp(&theirs.epoch) {
            std::cmp::Ordering::Equal => {
                let agreed = if mine.author < theirs.author { [my_hash, their_hash] } else { [their_hash, my_hash] };
                let agreed = sha256_parts(&[agreed[0].as_bytes(), agreed[1].as_bytes()]);
                Verdict::Agreed(mine.epoch, agreed, my_terms)
            }
            std::cmp::Ordering::Less => Verdict::Repeat(theirs.epoch),
            std::cmp::Ordering::Greater => Verdict::Wait,
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
