//! Requests that we carry on for others.
//!
//! | file | what it holds |
//! |---|---|
//! | `forward` | carrying requests on |
//! | `share` | how much one friend may reserve towards another |
//! | `write_off` | releasing what a friend holds for too long, at the owner's risk |
//! | `obligations` | what we owe, and who owes us for it |

mod forward;
pub(crate) mod obligations;
pub(crate) mod share;
pub(crate) mod write_off;

pub(crate) use forward::cancel_reason;

use crate::records::Forward;
use offst_rows::{RowChange, RowError, Rows, Table};
use share::{Holds, Lane, Load};
use std::collections::BTreeMap;
use write_off::WriteOff;

/// Requests that we carry on for others, and what was written off of them.
#[derive(Debug)]
pub(crate) struct Forwarding {
    /// Requests that we carry on, by their incoming side.
    pub(crate) forwards: Table<Forward>,
    /// Our outgoing requests that were written off: they have no origin any more.
    pub(crate) written_off: Table<WriteOff>,
    /// What each pair of friends has reserved through us: from, to, currency.
    pub(crate) carried: BTreeMap<Lane, Load>,
    /// What was held on each of them lately. Not stored.
    pub(crate) holds: BTreeMap<Lane, Holds>,
}

impl Forwarding {
    pub(crate) fn restore(rows: &mut Rows) -> Result<Self, RowError> {
        Ok(Forwarding {
            forwards: rows.take()?,
            written_off: rows.take()?,
            carried: BTreeMap::new(),
            holds: BTreeMap::new(),
        })
    }

    /// What the next transaction has to write.
    pub(crate) fn take_changes(&mut self, changes: &mut Vec<RowChange>) {
        self.forwards.take_changes(changes);
        self.written_off.take_changes(changes);
    }
}
