//! Which servers to ask for routes, and what to make of their answers. No IO: time is an argument.
//!
//! A query goes to two servers. When one fails, the next one is asked. Routes that do not fit the query are dropped: an
//! index server is not trusted, it only proposes. A server that was late, refused to answer or proposed what does not
//! fit is asked after the others, and no query waits for it once there is an answer; its first good answer in time
//! clears that.

use crate::config::Config;
use crate::error::IndexError;
use offst_crypto::PublicKey;
use offst_proto::index::{Answer, Exclusion, Hop, Query, ROUTES_MAX};
use offst_proto::route::{PartPlan, Route};
use std::collections::{BTreeMap, BTreeSet};

/// Servers asked at the same time.
const ASKED: usize = 2;

/// The queries in progress.
#[derive(Debug)]
pub(crate) struct Queries {
    config: Config,
    next_id: u64,
    /// Connected servers with the failures since their last good answer.
    servers: BTreeMap<PublicKey, u32>,
    pending: BTreeMap<u64, Pending>,
    /// Queries that were answered without these servers, and until when (steady ms) their answers are in time.
    late: BTreeMap<u64, (BTreeSet<PublicKey>, u64)>,
}

#[derive(Debug)]
struct Pending {
    /// As the caller asked it, with the caller's id.
    query: Query,
    asked: BTreeSet<PublicKey>,
    waiting: BTreeSet<PublicKey>,
    answers: Vec<Answer>,
    /// When the caller gets the answers that there are, steady ms.
    deadline_ms: u64,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum QueryStep {
    /// Send this query to this server.
    Ask(PublicKey, Query),
    /// The query with this number has ended.
    Done(u64, Result<Answer, IndexError>),
}

impl Queries {
    pub(crate) fn new(config: Config) -> Self {
        Queries { config, next_id: 1, servers: BTreeMap::new(), pending: BTreeMap::new(), late: BTreeMap::new() }
    }

    pub(crate) fn connected(&mut self, server: PublicKey) {
        self.servers.insert(server, 0);
    }

    pub(crate) fn disconnected(&mut self, server: &PublicKey) -> Vec<QueryStep> {
        self.servers.remove(server);
        let ids = self.pending.iter().filter(|(_, pending)| pending.waiting.contains(server)).map(|(id, _)| *id);
        let ids: Vec<_> = ids.collect();
        ids.into_iter().flat_map(|id| self.failed(server, id)).collect()
    }

    /// Begins a query: its number and what to send.
    pub(crate) fn ask(&mut self, query: Query, now_ms: u64) -> Result<(u64, Vec<QueryStep>), IndexError> {
        query.check().map_err(|_| IndexError::NotValid)?;
        if self.servers.is_empty() {
            return Err(IndexError::NotConnected);
        }
        if self.pending.len() >= self.config.queries_max {
            return Err(IndexError::TooMany);
        }
        let id = self.next_id;
        self.next_id += 1;
        let mut pending = Pending {
            query,
            asked: BTreeSet::new(),
            waiting: BTreeSet::new(),
            answers: vec![],
            deadline_ms: now_ms.saturating_add(self.config.query_timeout_ms),
        };
        let steps = (0..ASKED).filter_map(|_| ask_next(&self.servers, id, &mut pending)).collect();
        self.pending.insert(id, pending);
        Ok((id, steps))
    }

    /// A server answered. Late and unasked answers do nothing.
    /// (R5.16.)
    pub(crate) fn answer(&mut self, server: &PublicKey, answer: Answer, now_ms: u64) -> Vec<QueryStep> {
        let id = answer.id;
        let Some(pending) = self.pending.get_mut(&id) else {
            self.late_answer(server, id);
            return vec![];
        };
        if !pending.waiting.remove(server) {
            return vec![];
        }
        let Answer { routes, cut, .. } = answer;
        let count = routes.len();
        let routes: Vec<_> = routes.into_iter().filter(|route| fits(route, &pending.query)).collect();
        if let Some(failures) = self.servers.get_mut(server) {
            *failures = if routes.len() == count { 0 } else { failures.saturating_add(1) };
        }
        if !routes.is_empty() {
            pending.deadline_ms = pending.deadline_ms.min(now_ms.saturating_add(self.config.second_answer_ms));
        }
        pending.answers.push(Answer { id: pending.query.id, routes, cut });
        self.finish_unless_waiting(id)
    }

    /// An answer to a query that did not wait for this server. It came in time nevertheless.
    fn late_answer(&mut self, server: &PublicKey, id: u64) {
        let Some((servers, _)) = self.late.get_mut(&id) else { return };
        let was_awaited = servers.remove(server);
        if servers.is_empty() {
            self.late.remove(&id);
        }
        if let Some(failures) = self.servers.get_mut(server).filter(|_| was_awaited) {
            *failures = 0;
        }
    }

    /// A server does not want to answer the query with this number.
    pub(crate) fn failed(&mut self, server: &PublicKey, id: u64) -> Vec<QueryStep> {
        let Some(pending) = self.pending.get_mut(&id) else { return vec![] };
        if !pending.waiting.remove(server) {
            return vec![];
        }
        if let Some(failures) = self.servers.get_mut(server) {
            *failures = failures.saturating_add(1);
        }
        match ask_next(&self.servers, id, pending) {
            Some(step) => vec![step],
            None => self.finish_unless_waiting(id),
        }
    }

    /// Ends the queries whose deadline has passed.
    pub(crate) fn poll(&mut self, now_ms: u64) -> Vec<QueryStep> {
        let due = self.pending.iter().filter(|(_, pending)| pending.deadline_ms <= now_ms).map(|(id, _)| *id);
        let due: Vec<_> = due.collect();
        let late = self.late.iter().filter(|(_, (_, until_ms))| *until_ms <= now_ms).map(|(id, _)| *id);
        let late: Vec<_> = late.collect();
        late.into_iter().for_each(|id| self.end_late(id));
        due.into_iter()
            .filter_map(|id| {
                let step = self.finish(id, IndexError::TimedOut);
                self.end_late(id);
                step
            })
            .collect()
    }

    /// The steady time at which [`Queries::poll`] has something to do.
    pub(crate) fn next_wake_ms(&self) -> Option<u64> {
        let late = self.late.values().map(|(_, until_ms)| *until_ms);
        self.pending.values().map(|pending| pending.deadline_ms).chain(late).min()
    }

    /// Ends a query when no server that is worth waiting for is still to answer.
    fn finish_unless_waiting(&mut self, id: u64) -> Vec<QueryStep> {
        let Some(pending) = self.pending.get(&id) else { return vec![] };
        let has_routes = pending.answers.iter().any(|answer| !answer.routes.is_empty());
        let is_quick = |server: &PublicKey| self.servers.get(server) == Some(&0);
        if pending.waiting.iter().any(|server| !has_routes || is_quick(server)) {
            return vec![];
        }
        self.finish(id, IndexError::NoAnswer).into_iter().collect()
    }

    /// Ends a query with the answers there are, or with `error` when there are none. Servers that have not answered are
    /// remembered for a while.
    fn finish(&mut self, id: u64, error: IndexError) -> Option<QueryStep> {
        let pending = self.pending.remove(&id)?;
        if !pending.waiting.is_empty() {
            if self.late.len() >= self.config.queries_max
                && let Some(oldest) = self.late.keys().next().copied()
            {
                self.end_late(oldest);
            }
            self.late.insert(id, (pending.waiting, pending.deadline_ms));
        }
        let result = if pending.answers.is_empty() { Err(error) } else { Ok(best(pending.query.id, pending.answers)) };
        Some(QueryStep::Done(id, result))
    }

    /// The servers that have still not answered count as failed.
    fn end_late(&mut self, id: u64) {
        for server in self.late.remove(&id).map(|(servers, _)| servers).unwrap_or_default() {
            if let Some(failures) = self.servers.get_mut(&server) {
                *failures = failures.saturating_add(1);
            }
        }
    }
}

/// Asks the server with the fewest failures that was not asked yet; among equals another one comes first for each
/// query.
fn ask_next(servers: &BTreeMap<PublicKey, u32>, id: u64, pending: &mut Pending) -> Option<QueryStep> {
    let first = id % servers.len().max(1) as u64;
    let comes_later = (0..).map(|position| position < first);
    let candidates = servers.iter().zip(comes_later).filter(|((server, _), _)| !pending.asked.contains(server));
    let ((server, _), _) =
        candidates.min_by_key(|((server, failures), comes_later)| (*failures, *comes_later, *server))?;
    pending.asked.insert(*server);
    pending.waiting.insert(*server);
    Some(QueryStep::Ask(*server, Query { id, ..pending.query.clone() }))
}

/// The routes of all answers together, cheapest first, then those with fewer parts and hops.
fn best(id: u64, answers: Vec<Answer>) -> Answer {
    let cut = answers.iter().any(|answer| answer.cut);
    let mut routes: Vec<Route> = answers.into_iter().flat_map(|answer| answer.routes).collect();
    let hops = |route: &Route| route.parts.iter().map(|part| part.path.len()).sum::<usize>();
    routes.sort_by_cached_key(|route| (route.fees(), route.parts.len(), hops(route), route.clone()));
    routes.dedup();
    routes.truncate(ROUTES_MAX);
    Answer { id, routes, cut }
}

/// Whether a route is what was asked for.
fn fits(route: &Route, query: &Query) -> bool {
    let is_whole = if query.clearing {
        // A debt cycle is cleared without fees, and only as far as its smallest debt allows.
        route.parts.len() == 1 && route.amount() <= query.amount.credits() && route.fees() == 0
    } else {
        route.amount() == query.amount.credits()
    };
    route.check().is_ok() && is_whole && route.parts.iter().all(|part| part_fits(part, query))
}

fn part_fits(part: &PartPlan, query: &Query) -> bool {
    let (Some(first), Some((last, mediators))) = (part.path.first(), part.path.split_last()) else { return false };
    let is_cycle = query.source == query.destination;
    let from = std::iter::once(&query.source).chain(&part.path);
    let mut hops = from.zip(&part.path).map(|(from, to)| Hop { from: *from, to: *to });
    // What the fees downstream come to is not known here.
    let is_excluded = |exclusion: &Exclusion, hop: Hop| exclusion.hop == hop && part.amount > exclusion.left;
    *last == query.destination
        && part.amount > 0
        // A payment to a friend passes no mediator.
        && (part.path.len() > 1 || part.fees == 0)
        && query.via.is_none_or(|via| *first == via)
        && !mediators.contains(&query.source)
        && (!is_cycle || mediators.len() > 1)
        && !mediators.iter().any(|mediator| query.excluded_nodes.contains(mediator))
        && !hops.any(|hop| query.excluded_edges.iter().any(|exclusion| is_excluded(exclusion, hop)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use offst_crypto::Identity;
    use offst_proto::Amount;
    use offst_proto::Currency;

    fn key(seed: u8) -> PublicKey {
        Identity::from_seed([seed; 32]).public_key()
    }

    fn query() -> Query {
        Query { id: 77, ..Query::new(Currency::default(), 10.into(), key(1), key(2)) }
    }

    fn route(fees: u128, path: &[u8]) -> Route {
        let path = path.iter().map(|seed| key(*seed)).collect();
        Route { parts: vec![PartPlan { path, amount: 10.into(), fees: Amount::capped(fees) }] }
    }

    fn answer(id: u64, routes: Vec<Route>) -> Answer {
        Answer { id, routes, cut: false }
    }

    /// Queries with the servers 101, 102 ...
    fn queries(servers: u8) -> Queries {
        let mut queries = Queries::new(Config::default());
        (101..=100 + servers).for_each(|server| queries.connected(key(server)));
        queries
    }

    fn ask(queries: &mut Queries) -> (u64, Vec<PublicKey>) {
        let (id, steps) = queries.ask(query(), 0).unwrap();
        let asked = steps.into_iter().map(|step| match step {
            QueryStep::Ask(server, query) if query.id == id => server,
            other => panic!("{other:?}"),
        });
        (id, asked.collect())
    }

    fn done(steps: Vec<QueryStep>) -> Result<Answer, IndexError> {
        match <[_; 1]>::try_from(steps) {
            Ok([QueryStep::Done(_, result)]) => result,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn two_servers_are_asked_and_the_cheapest_route_comes_first() {
        let mut queries = queries(3);
        let (id, asked) = ask(&mut queries);
        assert_eq!(asked.len(), 2);
        let dear = route(5, &[3, 2]);
        let cheap = route(2, &[4, 2]);
        assert_eq!(queries.answer(&asked[0], answer(id, vec![dear.clone()]), 10), []);
        assert_eq!(queries.answer(&asked[0], answer(id, vec![cheap.clone()]), 10), [], "one answer each");
        let second = answer(id, vec![cheap.clone(), dear.clone()]);
        let result = done(queries.answer(&asked[1], second, 20));
        assert_eq!(result, Ok(answer(77, vec![cheap, dear])));
        assert_eq!(queries.next_wake_ms(), None);
    }

    #[test]
    fn a_slow_second_server_is_not_waited_for() {
        let mut queries = queries(2);
        let (id, asked) = ask(&mut queries);
        assert_eq!(queries.next_wake_ms(), Some(5000));
        queries.answer(&asked[0], answer(id, vec![route(5, &[3, 2])]), 10);
        assert_eq!(queries.next_wake_ms(), Some(310));
        assert_eq!(queries.poll(309), []);
        assert_eq!(done(queries.poll(310)), Ok(answer(77, vec![route(5, &[3, 2])])));
        assert_eq!(queries.answer(&asked[1], answer(id, vec![]), 400), [], "too late");
    }

    // R5.16.
    #[test]
    fn a_server_that_was_late_is_waited_for_again_after_an_answer_in_time() {
        let mut queries = queries(2);
        let (id, asked) = ask(&mut queries);
        let (quick, slow) = (asked[0], asked[1]);
        queries.answer(&quick, answer(id, vec![route(5, &[3, 2])]), 10);
        assert_eq!(done(queries.poll(310)), Ok(answer(77, vec![route(5, &[3, 2])])));
        // It is asked, but the query does not wait for it.
        let (id, asked) = ask(&mut queries);
        assert!(asked.contains(&slow));
        assert_eq!(done(queries.answer(&quick, answer(id, vec![route(5, &[3, 2])]), 20)).unwrap().routes.len(), 1);
        assert_eq!(queries.answer(&slow, answer(id, vec![route(1, &[3, 2])]), 21), []);
        // That was quick enough.
        let (id, _) = ask(&mut queries);
        assert_eq!(queries.answer(&quick, answer(id, vec![route(5, &[3, 2])]), 30), []);
        let best = done(queries.answer(&slow, answer(id, vec![route(1, &[3, 2])]), 31)).unwrap();
        assert_eq!(best.routes[0], route(1, &[3, 2]));
        assert_eq!(queries.next_wake_ms(), None, "nothing stays behind");
    }

    #[test]
    fn answers_that_never_come_are_forgotten() {
        let mut queries = queries(2);
        for round in 0..2 * Config::default().queries_max as u64 {
            let (id, asked) = ask(&mut queries);
            let quick = asked.iter().min().unwrap();
            queries.answer(quick, answer(id, vec![route(5, &[3, 2])]), 10 + round);
            queries.poll(10_000);
        }
        queries.poll(20_000);
        assert_eq!((queries.pending.len(), queries.late.len()), (0, 0));
    }

    #[test]
    fn that_there_is_no_route_is_believed_only_when_all_have_answered() {
        let mut queries = queries(2);
        let (id, asked) = ask(&mut queries);
        queries.answer(&asked[0], answer(id, vec![]), 10);
        assert_eq!(queries.poll(4999), []);
        assert_eq!(done(queries.poll(5000)), Ok(answer(77, vec![])));
    }

    #[test]
    fn another_server_is_asked_when_one_fails() {
        let mut queries = queries(3);
        let (id, asked) = ask(&mut queries);
        let steps = queries.failed(&asked[0], id);
        let Some(QueryStep::Ask(third, _)) = steps.first() else { panic!("{steps:?}") };
        assert!(!asked.contains(third));
        assert_eq!(queries.disconnected(third), []);
        assert_eq!(done(queries.disconnected(&asked[1])), Err(IndexError::NoAnswer));
        // The one that failed is asked last.
        queries.connected(*third);
        queries.connected(asked[1]);
        for _ in 0..3 {
            assert!(!ask(&mut queries).1.contains(&asked[0]));
        }
    }

    #[test]
    fn errors() {
        assert_eq!(queries(0).ask(query(), 0).unwrap_err(), IndexError::NotConnected);
        assert_eq!(queries(1).ask(Query { amount: 0.into(), ..query() }, 0).unwrap_err(), IndexError::NotValid);
        let mut queries = queries(1);
        for _ in 0..Config::default().queries_max {
            ask(&mut queries);
        }
        assert_eq!(queries.ask(query(), 0).unwrap_err(), IndexError::TooMany);
        let steps = queries.poll(5000);
        assert_eq!(steps.len(), Config::default().queries_max);
        assert!(steps.iter().all(|step| matches!(step, QueryStep::Done(_, Err(IndexError::TimedOut)))));
        assert!(queries.ask(query(), 0).is_ok());
    }

    #[test]
    fn routes_that_do_not_fit_are_dropped() {
        let query = Query {
            via: Some(key(3)),
            excluded_nodes: vec![key(5)],
            excluded_edges: vec![Exclusion::whole(Hop { from: key(3), to: key(6) })],
            ..query()
        };
        for (good, path) in [
            (true, &[3, 2][..]),
            (true, &[3, 4, 2]),
            (false, &[4, 2]),
            (false, &[3, 5, 2]),
            (false, &[3, 6, 2]),
            (false, &[3, 4]),
            (false, &[3, 1, 2]),
            (false, &[3, 4, 4, 2]),
            (false, &[]),
        ] {
            assert_eq!(fits(&route(1, path), &query), good, "{path:?}");
        }
        assert!(!fits(&route(1, &[3, 2]), &Query { amount: 11.into(), ..query.clone() }));
        let cycle = Query { destination: key(1), via: None, ..query };
        assert!(fits(&route(1, &[3, 4, 1]), &cycle));
        assert!(!fits(&route(1, &[3, 1]), &cycle), "back over the same friend");

        let clearing = Query { clearing: true, ..cycle.clone() };
        let smaller =
            |fees| Route { parts: vec![PartPlan { amount: 7.into(), ..route(fees, &[3, 4, 1]).parts[0].clone() }] };
        assert!(fits(&smaller(0), &clearing) && !fits(&smaller(1), &clearing) && !fits(&smaller(0), &cycle));
        assert!(!fits(&smaller(0), &Query { amount: 6.into(), ..clearing }));

        let mut queries = queries(1);
        let (id, asked) = ask(&mut queries);
        let bad = answer(id, vec![route(0, &[9]), route(3, &[2]), route(3, &[4, 2])]);
        assert_eq!(done(queries.answer(&asked[0], bad, 1)), Ok(answer(77, vec![route(3, &[4, 2])])));
    }
}
