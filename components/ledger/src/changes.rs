//! What has changed on an account since the last transaction, and what the database holds of it.

use crate::epoch::Epoch;
use crate::event::Event;
use crate::pending::Direction;
use crate::receive::Accepted;
use offst_proto::statement::Statement;
use offst_proto::{RequestId, Verified};
use offst_rows::{Kind, UnknownFields};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

/// What has changed since the last transaction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Marks {
    pub(crate) head: bool,
    pub(crate) negotiation: bool,
    /// Requests that have changed, or of an epoch that is over.
    pub(crate) pendings: BTreeSet<(Direction, RequestId)>,
    /// Another epoch has begun: all rows of the one before go or are written anew.
    pub(crate) is_new_epoch: bool,
    pub(crate) statements: Vec<(bool, u64, Arc<[u8]>)>,
    /// The set at a checkpoint of the friend's that arrived.
    pub(crate) checkpoint: Option<Vec<u8>>,
    pub(crate) stored: Stored,
}

/// What the database holds of an account, as far as it is needed to take it out again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Stored {
    /// Counters of the operations that wait to be signed.
    pub(crate) queue: BTreeSet<u64>,
    /// The seqs of the statements: ours, the friend's.
    pub(crate) statements: [Range<u64>; 2],
    pub(crate) openings: bool,
    pub(crate) checkpoint: bool,
    /// What a newer version has written into rows. Nearly always empty.
    pub(crate) unknown: BTreeMap<(Kind, Vec<u8>), UnknownFields>,
}

impl Marks {
    /// Of an account that is not in the database yet.
    pub(crate) fn everything() -> Self {
        Marks { head: true, negotiation: true, is_new_epoch: true, ..Marks::default() }
    }

    /// Another epoch takes the place of this one.
    pub(crate) fn epoch_ends(&mut self, old: Option<&Epoch>) {
        let marks = std::mem::take(self);
        *self = Marks { pendings: marks.pendings, stored: marks.stored, ..Marks::everything() };
        let pendings = old.into_iter().flat_map(|epoch| epoch.local_view.iter());
        self.pendings.extend(pendings.map(|(key, _)| key));
    }

    pub(crate) fn received(&mut self, statement: &Verified<Statement>, accepted: &Accepted) {
        self.head = true;
        self.statements.push((false, statement.seq, statement.wire().clone()));
        if accepted.checkpoint.is_some() {
            self.checkpoint.clone_from(&accepted.checkpoint);
        }
        for event in &accepted.events {
            match event {
                Event::Requested { request, .. } => {
                    self.pendings.insert((Direction::Incoming, request.id));
                }
                Event::Committed(id) | Event::Aborted(id) => {
                    self.pendings.insert((Direction::Incoming, *id));
                }
                Event::Responded(answer) => {
                    self.pendings.insert((Direction::Outgoing, answer.id));
                }
                Event::Collected { id, .. } | Event::Cancelled { id, .. } => {
                    self.pendings.insert((Direction::Outgoing, *id));
                }
                Event::LimitChanged | Event::EpochBegan { .. } => {}
            }
        }
    }

    pub(crate) fn signed(&mut self, seq: u64, wire: Arc<[u8]>) {
        self.head = true;
        self.statements.push((true, seq, wire));
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.head && !self.negotiation && self.pendings.is_empty() && !self.is_new_epoch
    }
}
