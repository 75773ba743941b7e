//! What will happen by itself when its time has come.

use super::{World, link};
use offst_funder::ConnectionId;
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
    Thaw(usize),
    /// A disk has written the transaction with this number.
    Written(usize, u64),
    /// A liar speaks again.
    Speak(usize),
    /// A thief looks whether anybody has committed to its lock.
    Steal(super::theft::Theft),
    /// Something about relays.
    Meet(super::meeting::Errand),
}

/// Plans in the order of their times.
#[derive(Default)]
pub(super) struct Agenda {
    plans: BTreeMap<(u64, u64), Plan>,
    count: u64,
}

impl Agenda {
    /// `at`: ms since the world began.
    pub(super) fn add(&mut self, at: u64, plan: Plan) {
        self.count += 1;
        self.plans.insert((at, self.count), plan);
    }

    /// When the next plan is due.
    pub(super) fn next(&self) -> Option<u64> {
        self.plans.first_key_value().map(|((at, _), _)| *at)
    }

    fn pop_due(&mut self, now: u64) -> Option<Plan> {
        if self.next()? > now {
            return None;
        }
        self.plans.pop_first().map(|(_, plan)| plan)
    }
}

impl World {
    /// In so many ms from now.
    pub(super) fn plan(&mut self, in_ms: u64, plan: Plan) {
        self.agenda.add(self.time + in_ms, plan);
    }

    /// Does what is due.
    pub(super) fn run_agenda(&mut self) {
        while let Some(plan) = self.agenda.pop_due(self.time) {
            match plan {
                Plan::Connect(a, b) => self.connect(a, b),
                Plan::Notice(a, b, connection) => {
                    if self.connections.get(&link::pair(a, b)) == Some(&connection) {
                        self.disconnect(a, b);
                    }
                }
                Plan::Late(from, to, connection, frame) => self.deliver_late(from, to, connection, frame),
                Plan::Release(from, to) => self.links.release(from, to),
                Plan::Rejoin(a, b) => {
                    self.cut.remove(&link::pair(a, b));
                    self.connect(a, b);
                }
                Plan::Start(index) => self.start(index),
                Plan::Return(index) => self.return_from_away(index),
                Plan::Thaw(index) => self.nodes[index].is_frozen = false,
                Plan::Written(index, number) => self.written(index, number),
                Plan::Speak(index) => self.nodes[index].is_silent = false,
                Plan::Steal(theft) => self.collect_stolen(&theft),
                Plan::Meet(errand) => self.run_errand(errand),
            }
        }
    }
}
