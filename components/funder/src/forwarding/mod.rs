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
pub(crate) mod record;
pub(crate) mod share;
pub(crate) mod write_off;

pub(crate) use forward::cancel_reason;

use crate::forwarding::record::Forward;
use offst_crypto::PublicKey;
use offst_ledger::{AccountId, RequestRef};
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
    /// Whom we carry our outgoing requests on for.
    upstreams: BTreeMap<RequestRef, PublicKey>,
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
            upstreams: BTreeMap::new(),
            carried: BTreeMap::new(),
            holds: BTreeMap::new(),
        })
    }

    /// The friend that one of our outgoing requests came from.
    pub(crate) fn upstream_of(&self, outgoing: &RequestRef) -> Option<PublicKey> {
        self.upstreams.get(outgoing).copied()
    }

    /// An outgoing request is carried on for this friend.
    pub(crate) fn carry_for(&mut self, outgoing: RequestRef, from: PublicKey) {
        self.upstreams.insert(outgoing, from);
    }

    /// The request is over, or goes on over another account.
    pub(crate) fn release_upstream_of(&mut self, outgoing: &RequestRef) -> Option<PublicKey> {
        self.upstreams.remove(outgoing)
    }

    /// Requests that we carry on over an account.
    pub(crate) fn outgoing_on(&self, account: &AccountId) -> impl Iterator<Item = &RequestRef> {
        self.upstreams.range(account.requests()).map(|(outgoing, _)| outgoing)
    }

    /// What the next transaction has to write.
    pub(crate) fn take_changes(&mut self, changes: &mut Vec<RowChange>) {
        self.forwards.take_changes(changes);
        self.written_off.take_changes(changes);
    }
}
