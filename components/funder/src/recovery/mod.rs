//! After this node, or a friend, has lost a part of its state.
//!
//! | file | what it holds |
//! |---|---|
//! | `state_loss` | the recovery of this node, from its beginning to its end |
//! | `reconcile` | its requests find each other again |
//! | `evidence` | what friends show each other when one has lost its state |
//! | `peer_backup` | what friends keep for each other |
//! | `resolve` | telling a friend how its requests ended |
//! | `proofs` | what a friend has collected on an account that stopped |

mod evidence;
pub(crate) mod peer_backup;
pub(crate) mod proofs;
pub(crate) mod reconcile;
mod resolve;
pub(crate) mod state_loss;

use crate::journal::PEER_BACKUPS;
use offst_crypto::PublicKey;
use offst_rows::{RowChange, RowError, RowKey, Rows, Table};
use peer_backup::Backups;
use std::collections::BTreeMap;

/// The recovery that goes on, if one does, and what friends keep for each other.
#[derive(Debug)]
pub(crate) struct Recovering {
    /// This node recovers what it has lost.
    pub(crate) mark: Table<state_loss::Recovery>,
    /// What friends keep for us.
    pub(crate) backups: Backups,
    /// Backups that friends gave us to keep in this batch; none: the friend is gone.
    pub(crate) peer_backups: BTreeMap<PublicKey, Option<Vec<u8>>>,
}

impl Recovering {
    pub(crate) fn restore(rows: &mut Rows) -> Result<Self, RowError> {
        Ok(Recovering { mark: rows.take()?, backups: Backups::default(), peer_backups: BTreeMap::new() })
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
