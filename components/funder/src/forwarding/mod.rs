//! Requests that we carry on for others.
//!
//! | file | what it holds |
//! |---|---|
//! | `record` | what is stored of forwards and write-offs |
//! | `pair` | what is in flight, and was held, between two friends |
//! | `forward` | carrying requests on |
//! | `share` | how much one friend may hold towards another |
//! | `write_off` | releasing what a friend holds for too long, at the owner's risk |
//! | `obligations` | what we owe, and who owes us for it |

mod forward;
pub(crate) mod obligations;
mod pair;
pub(crate) mod record;
mod share;
mod write_off;

use crate::context::Context;
use crate::forwarding::record::{Forward, WriteOff};
use offst_crypto::PublicKey;
use offst_ledger::{AccountId, RequestRef};
use offst_rows::{RowChange, RowError, Rows, Table};
use pair::{ForwardPair, Holds, Load};
use std::collections::BTreeMap;

/// Requests that we carry on for others, and what was written off of them.
#[derive(Debug)]
pub(crate) struct Forwarding {
    /// Requests that we carry on, by their incoming side.
    forwards: Table<Forward>,
    /// Our outgoing requests that were written off: they have no origin any more.
    written_off: Table<WriteOff>,
    /// Whom we carry our outgoing requests on for.
    upstreams: BTreeMap<RequestRef, PublicKey>,
    /// What each pair of friends has reserved through us: from, to, currency.
    carried: BTreeMap<ForwardPair, Load>,
    /// What was held on each of them lately. Not stored.
    holds: BTreeMap<ForwardPair, Holds>,
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

    /// The requests that we carry on, to look at.
    pub(crate) fn forwards(&self) -> &Table<Forward> {
        &self.forwards
    }

    /// What was written off, to look at.
    pub(crate) fn written_off(&self) -> &Table<WriteOff> {
        &self.written_off
    }

    /// Whether anything is carried on from or to this friend.
    pub(crate) fn is_loaded_with(&self, friend: PublicKey) -> bool {
        self.carried.keys().any(|pair| [pair.from, pair.to].contains(&friend))
    }

    /// A request that the last run has carried on.
    pub(crate) fn resume(&mut self, incoming: &RequestRef, has_response: bool, context: &Context<'_>) {
        let forward = self.forwards.draft(incoming).expect("the caller has looked");
        forward.arrived_ms = context.now.uptime_ms;
        forward.responded_ms = has_response.then_some(context.now.uptime_ms);
        let (to, amount) = (forward.to, forward.held);
        self.carry_for(incoming.at(to), incoming.account.friend);
        self.add_load(Self::pair(incoming, to), amount.credits());
    }

    /// A request whose two halves have found each other again.
    pub(crate) fn reclaim(&mut self, incoming: &RequestRef, forward: Forward) {
        self.add_load(Self::pair(incoming, forward.to), forward.held.credits());
        self.carry_for(incoming.at(forward.to), incoming.account.friend);
        self.forwards.insert(incoming.clone(), forward);
    }

    /// A request goes on over the account with a friend's new key.
    pub(crate) fn rekey(&mut self, incoming: &RequestRef, to: PublicKey) {
        let forward = self.forwards.get_mut(incoming).expect("its origin names it");
        let (lost, amount) = (std::mem::replace(&mut forward.to, to), forward.held);
        self.remove_load(&Self::pair(incoming, lost), amount.credits());
        self.add_load(Self::pair(incoming, to), amount.credits());
        self.carry_for(incoming.at(to), incoming.account.friend);
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
