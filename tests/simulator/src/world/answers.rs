//! What nodes publish and what index servers answer, and whether it is true. In some worlds a real [`Index`] is asked
//! first.

use super::sources::Paths;
use super::{EPOCH_MS, InjectedFault, World};
use crate::index;
use offst_index_server::admit;
use offst_proto::Amount;
use offst_proto::index::{Edge, Query, TIME_TO_LIVE_MS_MAX, Update};
use offst_proto::route::Route;
use offst_proto::{Unverified, Verified};

/// How often what is known now becomes what was known once, in questions.
const FORGET_EVERY: usize = 12;

impl World {
    /// A node publishes edges.
    pub(super) fn publish(&mut self, index: usize, mut edges: Vec<Edge>) {
        let node = self.key(index);
        if self.liars.contains(&index) && self.dice.chance(30) {
            // It promises what it does not have.
            edges
                .iter_mut()
                .for_each(|edge| edge.send_capacity = Amount::capped(edge.send_capacity.credits() * 3 + 100));
        }
        for edge in &edges {
            self.edges.insert((node, edge.friend, edge.currency.clone()), edge.clone());
        }
        let now = EPOCH_MS + self.time;
        let Some(server) = &mut self.server else { return };
        server.sequence += 1;
        edges.sort();
        let update = Update { node, sequence: server.sequence, expires_ms: now + TIME_TO_LIVE_MS_MAX, edges };
        let wire = Verified::sign(update, &*self.signers[index]).wire().clone();
        let update = Unverified::from_wire(&wire).expect("it was just signed");
        let update = admit(update, &node, &*self.verifier, now).expect("a node's own update");
        server.index.apply(&update, now);
    }

    /// Edges of accounts that no disk holds any more run out.
    pub(crate) fn expire_edges(&mut self) {
        let is_gone = |node: usize, edge: &Edge| {
            self.nodes[node].is_up() && self.nodes[node].find(edge.friend, &edge.currency).is_none()
        };
        let published = self.edges.iter().map(|((key, ..), edge)| (self.index(*key), edge));
        let gone: Vec<_> = published.filter(|(node, edge)| is_gone(*node, edge)).map(|(n, e)| (n, e.clone())).collect();
        for (node, edge) in gone {
            self.publish(node, vec![Edge { send_capacity: 0.into(), receive_capacity: 0.into(), ..edge }]);
        }
    }

    /// The routes that the real index server knows, or else those that are found here, which may be split.
    fn search(&self, query: &Query) -> Vec<Route> {
        let server = self.server.as_ref();
        let known = server.map(|server| server.index.answer(query, EPOCH_MS + self.time).routes);
        known.filter(|routes| !routes.is_empty()).unwrap_or_else(|| index::search(&self.edges, query))
    }

    /// The answer to a question for routes.
    pub(super) fn answer(&mut self, query: &Query) -> Result<Vec<Route>, String> {
        if let Paths::Given(routes) = &mut self.paths {
            return Ok(routes.pop_front().unwrap_or_default());
        }
        let [stale, wrong] = self.wrong_answers;
        if stale > 0 && self.questions.is_multiple_of(FORGET_EVERY) {
            self.old_edges = self.edges.clone();
        }
        if stale > 0 && self.dice.chance(stale) {
            let once = index::search(&self.old_edges, query);
            if once != self.search(query) {
                self.faults.add(InjectedFault::StaleAnswer);
            }
            return Ok(once);
        }
        let mut routes = self.search(query);
        if wrong > 0 && self.dice.chance(wrong) {
            let answer = self.falsify(routes.clone());
            if answer.as_ref() != Ok(&routes) {
                self.faults.add(InjectedFault::FalseAnswer);
            }
            return answer;
        }
        if self.split_percent > 0
            && self.dice.chance(self.split_percent)
            && let Some(split) = index::split(&self.edges, query, 2 + self.dice.below(3))
        {
            routes.insert(0, split);
        }
        Ok(routes)
    }

    /// Ways that lead nowhere, cost something else, or are none.
    fn falsify(&mut self, mut routes: Vec<Route>) -> Result<Vec<Route>, String> {
        let stranger = self.anybody();
        match self.dice.below(7) {
            0 => return Err("the index server is not in the mood".into()),
            1 => routes.clear(),
            kind => {
                for part in routes.iter_mut().flat_map(|route| &mut route.parts) {
                    match kind {
                        2 => part.fees = Amount::capped(part.fees.credits() + 1),
                        3 => part.fees = part.fees.saturating_sub(1.into()),
                        4 => part.amount = Amount::capped(part.amount.credits() + 1),
                        5 => part.path.insert(0, stranger),
                        _ => part.path.reverse(),
                    }
                }
            }
        }
        Ok(routes)
    }
}
