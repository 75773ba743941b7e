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
    relays: Table<Relay>,
    index_servers: Table<IndexServer>,
    settings: Table<Settings>,
    /// Commands that wait until nothing is pending with a friend any more.
    drain_waiters: BTreeMap<PublicKey, Vec<CommandId>>,
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

    /// Our relays, to look at.
    pub(crate) fn relays(&self) -> &Table<Relay> {
        &self.relays
    }

    /// Our index servers, to look at.
    pub(crate) fn index_servers(&self) -> &Table<IndexServer> {
        &self.index_servers
    }

    /// What is set for the whole node, to look at.
    pub(crate) fn settings(&self) -> &Table<Settings> {
        &self.settings
    }

    /// A command waits until nothing is pending with a friend any more.
    fn await_drain(&mut self, key: PublicKey, command: CommandId) {
        self.drain_waiters.entry(key).or_default().push(command);
    }

    /// The commands that have waited for this friend.
    fn take_drain_waiters(&mut self, key: PublicKey) -> Vec<CommandId> {
        self.drain_waiters.remove(&key).unwrap_or_default()
    }

    /// Whether debt cycles are cleared without asking the owner from now on.
    pub(crate) fn set_auto_clear(&mut self, on: bool) {
        self.settings.insert((), Settings { auto_clear: on });
    }

    /// Whether debt cycles are cleared without asking the owner.
    pub(crate) fn auto_clear(&self) -> bool {
        self.settings.get(&()).is_some_and(|settings| settings.auto_clear)
    }
}
