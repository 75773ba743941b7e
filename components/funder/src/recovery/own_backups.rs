//! Our own backups, as far as they are known while the process runs: when the next one is due, what is new in it, and
//! whose turn it is to keep it.

use offst_crypto::PublicKey;
use offst_ledger::AccountId;
use std::collections::{BTreeMap, BTreeSet};

/// What is known of our own backups while the process runs.
#[derive(Debug, Default)]
pub(crate) struct Backups {
    /// Accounts that have changed since the last backup.
    changed: BTreeSet<AccountId>,
    /// In which backup an account was last new: the newest go first when not all fit.
    newness: BTreeMap<AccountId, u64>,
    count: u64,
    /// When the last one was sent, uptime ms.
    sent_ms: Option<u64>,
    /// The friend that got the last one: the next gets the next one.
    last_keeper: Option<PublicKey>,
    /// How many friends were asked since the start.
    witnesses: usize,
}

impl Backups {
    /// An account has moved since the last backup.
    pub(super) fn record_change(&mut self, account_id: AccountId) {
        self.changed.insert(account_id);
    }

    /// From when on the next one may be sent, uptime ms; none: nothing has changed. `pause_ms`: between two.
    pub(super) fn due_from_ms(&self, pause_ms: u64) -> Option<u64> {
        (!self.changed.is_empty()).then(|| self.sent_ms.map_or(0, |sent_ms| sent_ms + pause_ms))
    }

    /// The next one is made. What has changed since the last one is new in it, and accounts that are gone are
    /// forgotten.
    pub(super) fn begin_next(&mut self, is_there: impl Fn(&AccountId) -> bool) {
        self.count += 1;
        for account_id in std::mem::take(&mut self.changed) {
            self.newness.insert(account_id, self.count);
        }
        self.newness.retain(|account_id, _| is_there(account_id));
    }

    /// In which backup an account was last new; 0: in none since the start.
    pub(super) fn newness_of(&self, account_id: &AccountId) -> u64 {
        self.newness.get(account_id).copied().unwrap_or(0)
    }

    /// The friend that got the last one.
    pub(super) fn last_keeper(&self) -> Option<PublicKey> {
        self.last_keeper
    }

    /// One was sent. `last_keeper`: the last of those that got it. `now_ms`: uptime.
    pub(super) fn record_sent(&mut self, last_keeper: Option<PublicKey>, now_ms: u64) {
        self.sent_ms = Some(now_ms);
        self.last_keeper = last_keeper;
    }

    /// How many friends were asked for theirs since the start.
    pub(super) fn witnesses(&self) -> usize {
        self.witnesses
    }

    /// One more was.
    pub(super) fn record_witness(&mut self) {
        self.witnesses += 1;
    }
}
