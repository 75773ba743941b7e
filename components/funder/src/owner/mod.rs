//! What the owner has set, orders and is told.
//!
//! | file | what it holds |
//! |---|---|
//! | `config` | the owner's commands |
//! | `reports` | what the owner is told |
//! | `reset` | accepting a friend's terms |
//! | `key_rotation` | a friend that has lost its key goes on under another one |
//! | `start` | resuming what the last run left |

mod config;
mod key_rotation;
pub(crate) mod record;
mod reports;
mod reset;
mod start;

use crate::command::CommandId;
use crate::owner::record::{IndexServer, Relay, Settings};
use offst_crypto::PublicKey;
use offst_rows::{RowChange, RowError, Rows, Table};
use std::collections::BTreeMap;

/// What the owner has set for the whole node.
#[derive(Debug)]
pub(crate) struct Owner {
    pub(crate) relays: Table<Relay>,
    pub(crate) index_servers: Table<IndexServer>,
    pub(crate) settings: Table<Settings>,
    /// Commands that wait until nothing is pending with a friend any more.
    pub(crate) drain_waiters: BTreeMap<PublicKey, Vec<CommandId>>,
}

impl Owner {
    pub(crate) fn restore(rows: &mut Rows) -> Result<Self, RowError> {
        Ok(Owner {
            relays: rows.take()?,
            index_servers: rows.take()?,
            settings: rows.take()?,
            drain_waiters: BTreeMap::new(),
        })
    }

    /// What the next transaction has to write.
    pub(crate) fn take_changes(&mut self, changes: &mut Vec<RowChange>) {
        self.relays.take_changes(changes);
        self.index_servers.take_changes(changes);
        self.settings.take_changes(changes);
    }

    /// Whether debt cycles are cleared without asking the owner.
    pub(crate) fn auto_clear(&self) -> bool {
        self.settings.get(&()).is_some_and(|settings| settings.auto_clear)
    }
}
