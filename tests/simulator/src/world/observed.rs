//! What the checkers remember from one batch to the next.

use offst_crypto::Hash;
use offst_proto::Currency;
use std::collections::BTreeSet;

/// How an owner goes on without the newest disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// With an older copy, and says so.
    Restored,
    /// With an older copy, and says nothing.
    Silent,
    /// With the identity and the friends' tickets.
    Everything,
}

/// What a liar denies, and who could tell.
#[derive(Debug, Clone)]
pub(super) struct WithheldState {
    pub(super) victim: usize,
    pub(super) liar: usize,
    pub(super) currency: Currency,
    /// Honest friends that keep a head which tells of more than the liar shows.
    pub(super) keepers: BTreeSet<usize>,
    /// One of them has said so to the victim, which recovers.
    pub(super) is_heard: bool,
}

/// An account after a batch, as one node sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct AccountRecord {
    pub(super) agreed: Hash,
    /// The limit that its owner has set, and the one that the friend has told.
    pub(super) limits: [u128; 2],
    /// What the friend owes and what the node owes, each with what is pending, credits.
    pub(super) debts: [i128; 2],
}
