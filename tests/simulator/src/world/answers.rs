//! What an index server answers, and whether it is true.

use super::{Fault, Paths, World};
use crate::index;
use offst_proto::index::Query;
use offst_proto::route::Way;

/// How often what is known now becomes what was known once, in questions.
const FORGET_EVERY: usize = 12;

impl World {
    /// The answer to a question for ways.
    pub(super) fn answer(&mut self, query: &Query) -> Result<Vec<Way>, String> {
        if let Paths::Given(ways) = &mut self.paths {
            return Ok(ways.pop_front().unwrap_or_default());
        }
        let [stale, wrong] = self.wrong_answers;
        if stale > 0 && self.questions.is_multiple_of(FORGET_EVERY) {
            self.old_edges = self.edges.clone();
        }
        if stale > 0 && self.dice.chance(stale) {
            self.faults.add(Fault::StaleAnswer);
            return Ok(index::search(&self.old_edges, query));
        }
        let mut ways = index::search(&self.edges, query);
        if wrong > 0 && self.dice.chance(wrong) {
            self.faults.add(Fault::FalseAnswer);
            return self.falsify(ways);
        }
        if self.split_percent > 0 && self.dice.chance(self.split_percent) {
            if let Some(split) = index::split(&self.edges, query, 2 + self.dice.below(3)) {
                ways.insert(0, split);
            }
        }
        Ok(ways)
    }

    /// Ways that lead nowhere, cost something else, or are none.
    fn falsify(&mut self, mut ways: Vec<Way>) -> Result<Vec<Way>, String> {
        let stranger = self.anybody();
        match self.dice.below(7) {
            0 => return Err("the index server is not in the mood".into()),
            1 => ways.clear(),
            kind => {
                for part in ways.iter_mut().flat_map(|way| &mut way.parts) {
                    match kind {
                        2 => part.fees += 1,
                        3 => part.fees = part.fees.saturating_sub(1),
                        4 => part.amount += 1,
                        5 => part.route.insert(0, stranger),
                        _ => part.route.reverse(),
                    }
                }
            }
        }
        Ok(ways)
    }
}
