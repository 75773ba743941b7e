//! The smallest world in which the same seed still fails.

use crate::faults::FaultKind;
use crate::keys::Dice;
use crate::mix::Mix;
use crate::options::Options;
use crate::seed::{Failure, run_with};
use std::collections::BTreeSet;

/// How many runs are made in search of a smaller one.
const TRIES_MAX: usize = 400;

struct Search {
    seed: u64,
    tries: usize,
    best: Options,
    failure: Failure,
}

impl Search {
    /// Keeps the smaller world, if it fails, too.
    fn accept(&mut self, smaller: Options) -> bool {
        if self.tries == 0 {
            return false;
        }
        self.tries -= 1;
        match run_with(self.seed, &smaller) {
            Ok(_) => false,
            Err(failure) => {
                (self.best, self.failure) = (smaller, failure);
                true
            }
        }
    }

    /// Fewer nodes, as long as that goes on failing.
    fn drop_nodes(&mut self, drawn: usize) {
        let nodes = self.best.nodes.unwrap_or(drawn);
        let _ = (3..nodes).any(|nodes| self.accept(Options { nodes: Some(nodes), ..self.best.clone() }));
    }

    fn drop_kinds(&mut self, drawn: &BTreeSet<FaultKind>) {
        for kind in drawn {
            let mut smaller = self.best.clone();
            if smaller.without.insert(*kind) {
                self.accept(smaller);
            }
        }
    }

    /// Leaves out halves, quarters and so on of the actions.
    fn drop_actions(&mut self, drawn: usize) {
        let mut size = drawn;
        while size > 0 && self.tries > 0 {
            let actions: Vec<usize> = match &self.best.actions {
                Some(actions) => actions.iter().copied().collect(),
                None => (0..drawn).collect(),
            };
            let mut from = 0;
            let mut left: BTreeSet<usize> = actions.iter().copied().collect();
            while from < actions.len() {
                let chunk = &actions[from..(from + size).min(actions.len())];
                let smaller: BTreeSet<_> = left.iter().copied().filter(|action| !chunk.contains(action)).collect();
                if self.accept(Options { actions: Some(smaller.clone()), ..self.best.clone() }) {
                    left = smaller;
                }
                from += size;
            }
            size /= 2;
        }
    }
}

/// The smallest world that was found in which this seed still fails, starting from `options`; none when it does not fail.
pub fn shrink(seed: u64, options: &Options) -> Option<(Options, Failure)> {
    let failure = run_with(seed, options).err()?;
    let mix = Mix::draw(&mut Dice::new(seed));
    let mut search = Search { seed, tries: TRIES_MAX, best: options.clone(), failure };
    search.drop_kinds(&mix.kinds);
    search.drop_nodes(mix.nodes);
    search.drop_actions(mix.actions);
    search.drop_kinds(&mix.kinds);
    search.drop_nodes(mix.nodes);
    let best = Options { tells: true, ..search.best };
    let failure = run_with(seed, &best).err()?;
    Some((Options { tells: options.tells, ..best }, failure))
}
