//! What is known of our own backups while the process runs.

use offst_crypto::PublicKey;
use offst_ledger::AccountId;
use std::collections::{BTreeMap, BTreeSet};

/// What is known of our own backups while the process runs.
#[derive(Debug, Default)]
pub(crate) struct Backups {
    /// Accounts that have changed since the last backup.
    pub(super) changed: BTreeSet<AccountId>,
    /// In which backup an account was last new: the newest go first when not all fit.
    pub(super) newness: BTreeMap<AccountId, u64>,
    pub(super) count: u64,
    /// When the last one was sent, uptime ms.
    pub(super) sent_ms: Option<u64>,
    /// The friend that got the last one: the next gets the next one.
    pub(super) last_keeper: Option<PublicKey>,
    /// How many friends were asked since the start.
    pub(super) witnesses: usize,
}
