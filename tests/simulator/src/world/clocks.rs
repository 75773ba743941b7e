//! Clocks that are wrong, and time that goes by while everybody sleeps.

use super::scheduler::Plan;
use super::{EPOCH_MS, InjectedFault, World};

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// To the year 2100 and some.
const DECADES_MS: u64 = 77 * 365 * DAY_MS;

impl World {
    /// The clock of a node shows some other time from now on: hours, days or decades ahead or behind, or what a machine shows whose
    /// battery is empty.
    pub(crate) fn turn_clock(&mut self, index: usize) {
        let (hours, days) = (1 + self.dice.below(23) as u64, 1 + self.dice.below(400) as u64);
        let (ahead, behind) = match self.dice.below(6) {
            0 => (hours * HOUR_MS, 0),
            1 => (days * DAY_MS, 0),
            2 => (DECADES_MS, 0),
            3 => (0, hours * HOUR_MS),
            4 => (0, days * DAY_MS),
            _ => (0, EPOCH_MS),
        };
        self.set_clock(index, ahead, behind);
    }

    /// `ahead`, `behind`: by so many ms.
    fn set_clock(&mut self, index: usize, ahead: u64, behind: u64) {
        let node = &mut self.nodes[index];
        let was_right = (node.clock_ahead_ms, node.clock_behind_ms) == (0, 0);
        let is_right = (ahead, behind) == (0, 0);
        (node.clock_ahead_ms, node.clock_behind_ms) = (ahead, behind);
        match (was_right, is_right) {
            (true, true) => {}
            (_, true) => self.faults.add(InjectedFault::ClockRight),
            _ => self.faults.add(InjectedFault::ClockWrong),
        }
        self.tell(|| format!("the clock of node {index} is {ahead} ms ahead and {behind} ms behind"));
    }

    /// The clock of a node shows the time.
    pub(crate) fn right_clock(&mut self, index: usize) {
        self.set_clock(index, 0, 0);
    }

    /// Whether it shows another time.
    pub(crate) fn is_clock_wrong(&self, index: usize) -> bool {
        let node = &self.nodes[index];
        (node.clock_ahead_ms, node.clock_behind_ms) != (0, 0)
    }

    /// Time goes by in which nobody does anything: all machines sleep. What was due in it happens afterwards.
    pub(crate) fn sleep(&mut self, ms: u64) {
        self.settle();
        self.time += ms;
        self.settle();
    }

    /// A node is switched off, and nobody switches it on for so long.
    pub(crate) fn leave(&mut self, index: usize, ms: u64) {
        self.kill(index);
        self.nodes[index].is_away = true;
        self.faults.add(InjectedFault::Away);
        self.tell(|| format!("node {index} is away for {ms} ms"));
        self.plan(ms, Plan::Return(index));
    }

    /// A node that was away is back.
    pub(super) fn return_from_away(&mut self, index: usize) {
        self.nodes[index].is_away = false;
        self.start(index);
    }
}
