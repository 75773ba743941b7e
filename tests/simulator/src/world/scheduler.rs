//! What will happen by itself when its time has come.

use super::relays::RelayEvent;
use offst_crypto::Preimage;
use offst_funder::ConnectionId;
use offst_proto::{Currency, RequestId};
use std::collections::BTreeMap;

/// Something that was planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Plan {
    /// Two nodes try to connect.
    Connect(usize, usize),
    /// Somebody notices that a connection is dead.
    Notice(usize, usize, u64),
    /// What waits on a link arrives.
    Release(usize, usize),
    /// Something arrives although its connection is gone.
    Late(usize, usize, ConnectionId, Vec<u8>),
    /// Two nodes reach each other again.
    Rejoin(usize, usize),
    /// A process starts.
    Start(usize),
    /// Somebody who was away is back.
    Return(usize),
    /// A process goes on.
    GoOn(usize),
    /// A disk has written the transaction with this number.
    Written(usize, u64),
    /// A liar speaks again.
    Speak(usize),
    /// A liar looks whether anybody has committed to its lock.
    Steal(ForgedResponse),
    /// Something about relays.
    Meet(RelayEvent),
}

/// An answer in the name of a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ForgedResponse {
    pub(super) liar: usize,
    pub(super) victim: usize,
    pub(super) currency: Currency,
    pub(super) id: RequestId,
    pub(super) preimage: Preimage,
}

/// Plans in the order of their times.
#[derive(Default)]
pub(super) struct Scheduler {
    plans: BTreeMap<(u64, u64), Plan>,
    count: u64,
}

impl Scheduler {
    /// `at`: ms since the world began.
    pub(super) fn add(&mut self, at: u64, plan: Plan) {
        self.count += 1;
        self.plans.insert((at, self.count), plan);
    }

    /// When the next plan is due.
    pub(super) fn next(&self) -> Option<u64> {
        self.plans.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the next plan if it is due.
    pub(super) fn pop_due(&mut self, now: u64) -> Option<Plan> {
        if self.next()? > now {
            return None;
        }
        self.plans.pop_first().map(|(_, plan)| plan)
    }
}
