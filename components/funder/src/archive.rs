//! What is looked up in the database beside everything else: nothing of it is needed to pay, so it is not kept in
//! memory, and who reads it takes its time on another thread.

use offst_crypto::{Preimage, PublicKey};
use offst_proto::RequestId;
use offst_proto::resolve::End;
use std::collections::{BTreeMap, BTreeSet};

/// A node's database, as far as it is read while the node runs.
pub trait Archive {
    /// Why it could not be read.
    type Error;

    /// The sealed peer backup that is kept for a friend.
    ///
    /// # Errors
    /// The disk failed, as for all of these.
    fn peer_backup(&self, friend: PublicKey) -> Result<Option<Vec<u8>>, Self::Error>;

    /// The preimages of those of these requests that were collected, however long ago: carried on or received. `from`:
    /// only those that came from this friend.
    ///
    /// # Errors
    /// See the trait's error.
    fn preimages(
        &self,
        from: Option<PublicKey>,
        ids: &BTreeSet<RequestId>,
    ) -> Result<BTreeMap<RequestId, Preimage>, Self::Error>;
}

/// Something to look up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inquiry {
    /// The backup that we keep for this friend.
    PeerBackup,
    /// How requests of this friend's ended.
    Ends {
        /// The requests, in the order of the question.
        ids: Vec<RequestId>,
        /// Those of them that were pending when the question came. They are asked for before the database is read, so
        /// that none can slip through between.
        pending: BTreeSet<RequestId>,
        /// Preimages of those of them that were collected on an account that has stopped: they are known without the
        /// database.
        unheard: BTreeMap<RequestId, Preimage>,
        /// What is said of the others that were not collected.
        otherwise: End,
    },
    /// Preimages that we know ourselves, no matter who the requests came from.
    Own {
        /// The requests.
        ids: BTreeSet<RequestId>,
    },
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The backup, if there is one.
    PeerBackup(Option<Vec<u8>>),
    /// How the requests ended.
    Ends(Vec<(RequestId, End)>),
    /// The preimages that we know.
    Own {
        /// The requests that were looked up.
        ids: BTreeSet<RequestId>,
        /// Those of them that were collected.
        preimages: BTreeMap<RequestId, Preimage>,
    },
    /// The database could not be read.
    Nothing,
}

impl Inquiry {
    /// Reads the answer.
    ///
    /// # Errors
    /// The disk failed.
    pub fn look_up<A: Archive>(self, friend: PublicKey, archive: &A) -> Result<Found, A::Error> {
        Ok(match self {
            Inquiry::PeerBackup => Found::PeerBackup(archive.peer_backup(friend)?),
            Inquiry::Ends { ids, pending, unheard, otherwise } => {
                let is_open = |id: &RequestId| !pending.contains(id) && !unheard.contains_key(id);
                let wanted = ids.iter().copied().filter(is_open).collect();
                let mut collected = archive.preimages(Some(friend), &wanted)?;
                collected.extend(unheard);
                let end = |id: &RequestId| match collected.get(id) {
                    Some(preimage) => End::Collected(*preimage),
                    None if pending.contains(id) => End::Pending,
                    None => otherwise,
                };
                Found::Ends(ids.iter().map(|id| (*id, end(id))).collect())
            }
            Inquiry::Own { ids } => {
                let preimages = archive.preimages(None, &ids)?;
                Found::Own { ids, preimages }
            }
        })
    }
}

/// Bounds how often one friend may have the database read, or written for itself alone: some at once, then one every
/// few seconds.
#[derive(Debug, Default)]
pub(crate) struct Allowance {
    /// How much is used up.
    used: u32,
    /// Since when that is counted, uptime ms.
    since_ms: u64,
}

impl Allowance {
    const AT_ONCE: u32 = 16;
    const EVERY_MS: u64 = 5_000;

    /// Takes one, if one is left.
    pub(crate) fn take(&mut self, now_ms: u64) -> bool {
        let regained = now_ms.saturating_sub(self.since_ms) / Self::EVERY_MS;
        self.used = self.used.saturating_sub(u32::try_from(regained).unwrap_or(u32::MAX));
        self.since_ms = if self.used == 0 { now_ms } else { self.since_ms + regained * Self::EVERY_MS };
        if self.used >= Self::AT_ONCE {
            return false;
        }
        self.used += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_is_used_up_and_comes_back() {
        let mut allowance = Allowance::default();
        assert!((0..Allowance::AT_ONCE).all(|_| allowance.take(1_000)));
        assert!(!allowance.take(1_000) && !allowance.take(5_999));
        assert!(allowance.take(6_000) && !allowance.take(6_000));
        assert!(allowance.take(16_500) && allowance.take(16_500) && !allowance.take(16_500));
        assert!((0..Allowance::AT_ONCE).all(|_| allowance.take(10_000_000)));
        assert!(!allowance.take(10_000_000));
    }
}
