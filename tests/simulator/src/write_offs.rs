//! Owners write off what a friend holds that has gone after the commit, and the friend comes back.

use crate::run::Run;
use std::collections::BTreeSet;

/// How many steps somebody waits at most for a mediator that is bound.
const STEPS_MAX: usize = 60;

impl Run {
    /// A friend is gone when a mediator has committed to it, or when it has collected and nobody knows of it. Its owner writes
    /// off what it holds, more than once, and goes on.
    pub(crate) fn write_off(&mut self) {
        self.pick_busy();
        let mut held = Vec::new();
        for _ in 0..STEPS_MAX {
            held = self.world.carried_and_bound();
            if !held.is_empty() {
                break;
            }
            self.world.step();
        }
        let world = &mut self.world;
        let Some((mediator, friend, currency)) = world.dice.pick(&held) else { return };
        for _ in 0..world.dice.below(5) {
            world.step();
        }
        let ms = 61_000 + world.dice.below(30_000) as u64;
        if world.dice.chance(50) {
            world.stall(friend, ms);
        } else {
            let is_silent = world.dice.chance(30);
            world.part(&BTreeSet::from([friend]), ms, is_silent);
        }
        if world.dice.chance(40) {
            let up_to = [10, 60, 1_000][world.dice.below(3)];
            world.set_auto_write_off(mediator, friend, &currency, up_to);
        }
        if world.dice.chance(30) {
            world.kill(mediator);
            world.start(mediator);
        }
        let held = world.bound_at(mediator, friend, &currency);
        let started = world.started(mediator);
        world.advance(60_500);
        if started.is_some() && world.started(mediator) == started {
            world.check_overdue(mediator, friend, &currency, &held);
        }
        for _ in 0..2 {
            let up_to = [0, 10, 60, 1_000][self.world.dice.below(4)];
            self.world.write_off(mediator, friend, &currency, up_to);
            for _ in 0..self.world.dice.below(10) {
                self.world.step();
            }
        }
    }
}
