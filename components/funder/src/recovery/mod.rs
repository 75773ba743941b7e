//! After this node, or a friend, has lost a part of its state.
//!
//! | file | what it holds |
//! |---|---|
//! | `progress` | how far a recovery has come: its mark, and what was asked and answered |
//! | `heads` | which head of an account, or which backup, tells of more |
//! | `own_backups` | which backups of ours are due |
//! | `state_loss` | the recovery of this node, from its beginning to its end |
//! | `reconcile` | its requests find each other again |
//! | `evidence` | what friends show each other when one has lost its state |
//! | `peer_backup` | what friends keep for each other |
//! | `resolve` | telling a friend how its requests ended |
//! | `proofs` | what a friend has collected on an account that stopped |

mod evidence;
mod heads;
mod own_backups;
mod peer_backup;
pub(crate) mod progress;
pub(crate) mod proofs;
mod reconcile;
mod resolve;
pub(crate) mod state_loss;

use crate::journal::PEER_BACKUPS;
use offst_crypto::PublicKey;
use offst_ledger::RequestRef;
use offst_rows::{RowChange, RowError, RowKey, Rows, Table};
use own_backups::Backups;
use progress::{Questions, Recovery, RecoveryRecord};
use std::collections::BTreeMap;

/// The recovery that goes on, if one does, and what friends keep for each other.
#[derive(Debug)]
pub(crate) struct Recovering {
    /// This node recovers what it has lost.
    mark: Table<Recovery>,
    /// What friends keep for us.
    backups: Backups,
    /// Backups that friends gave us to keep in this batch; none: the friend is gone.
    peer_backups: BTreeMap<PublicKey, Option<Vec<u8>>>,
}

impl Recovering {
    pub(crate) fn restore(rows: &mut Rows) -> Result<Self, RowError> {
        Ok(Recovering { mark: rows.take()?, backups: Backups::default(), peer_backups: BTreeMap::new() })
    }

    /// The mark, to look at.
    pub(crate) fn mark(&self) -> &Table<Recovery> {
        &self.mark
    }

    /// Whether this node recovers what it has lost.
    pub(crate) fn is_recovering(&self) -> bool {
        !self.mark.is_empty()
    }

    /// Something has changed that may tie requests together again.
    pub(crate) fn mark_dirty(&mut self) {
        if let Some(recovery) = self.current_mut() {
            recovery.is_dirty = true;
        }
    }

    /// Whether this request of a friend's continues, and it is not known yet how it goes on.
    pub(crate) fn is_unresolved(&self, incoming: &RequestRef) -> bool {
        self.current().is_some_and(|recovery| recovery.unresolved_inbound.contains(incoming))
    }

    /// All of these.
    pub(crate) fn unresolved(&self) -> impl Iterator<Item = &RequestRef> {
        self.current().into_iter().flat_map(|recovery| &recovery.unresolved_inbound)
    }

    /// Friends' requests that continue, and whose other halves are looked for; outside of a recovery nothing is.
    pub(crate) fn add_unresolved(&mut self, incoming: impl IntoIterator<Item = RequestRef>) {
        if let Some(recovery) = self.current_mut() {
            recovery.unresolved_inbound.extend(incoming);
        }
    }

    /// A friend's connection is new: what it was asked over the last one is asked again.
    pub(crate) fn ask_friend_again(&mut self, key: PublicKey) {
        if let Some(recovery) = self.current_mut() {
            recovery.questions.ask_friend_again(key);
            recovery.is_dirty = true;
        }
    }

    /// A friend is gone, and with it the backup that it gave us to keep.
    pub(crate) fn drop_peer_backup(&mut self, friend: PublicKey) {
        self.peer_backups.insert(friend, None);
    }

    fn current(&self) -> Option<&Recovery> {
        self.mark.get(&())
    }

    /// The recovery, to change what is not stored of it.
    fn current_mut(&mut self) -> Option<&mut Recovery> {
        self.mark.draft(&())
    }

    /// What is stored of the recovery, to change it.
    fn record_mut(&mut self) -> Option<&mut RecoveryRecord> {
        self.mark.get_mut(&()).map(|recovery| &mut recovery.record)
    }

    fn begin(&mut self, record: RecoveryRecord) {
        self.mark.insert((), Recovery::new(record));
    }

    fn end(&mut self) -> Option<Recovery> {
        self.mark.remove(&())
    }

    /// What is asked in the recovery that goes on.
    ///
    /// # Panics
    /// When none does.
    fn questions(&self) -> &Questions {
        &self.current().expect("only in a recovery").questions
    }

    /// What the next transaction has to write.
    pub(crate) fn take_changes(&mut self, changes: &mut Vec<RowChange>) {
        self.mark.take_changes(changes);
        let backups = std::mem::take(&mut self.peer_backups).into_iter();
        changes.extend(backups.map(|(friend, sealed)| {
            let sealed = sealed.filter(|sealed| !sealed.is_empty());
            RowChange::bytes(PEER_BACKUPS, friend.to_bytes(), sealed)
        }));
    }
}
