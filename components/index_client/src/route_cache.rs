//! Asks the index servers no more than needed: payments with the same query at the same time share one request, and an
//! answer is used again while it is fresh. A payment that was refused excludes the edge, which makes it another query.
//! A debt cycle that was found is about to be cleared, so such an answer is not used again.

use offst_crypto::PublicKey;
use offst_proto::index::{Exclusion, Query};
use offst_proto::route::Route;
use offst_proto::{Currency, PaymentId};
use std::collections::BTreeMap;

/// Answers that are kept at the same time.
const ANSWERS_MAX: usize = 1024;

/// The parts of a query that its answer depends on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueryKey {
    currency: Currency,
    destination: PublicKey,
    via: Option<PublicKey>,
    amount: u128,
    excluded: Vec<Exclusion>,
    clearing: bool,
}

impl QueryKey {
    fn of(query: &Query) -> Self {
        QueryKey {
            currency: query.currency.clone(),
            destination: query.destination,
            via: query.via,
            amount: query.amount.credits(),
            excluded: query.excluded_edges.clone(),
            clearing: query.clearing,
        }
    }
}

/// What the cache knows about a query.
#[derive(Debug, PartialEq, Eq)]
pub enum CachedRoutes {
    /// A fresh answer.
    Known(Vec<Route>),
    /// It has been asked; the answer will be given to this payment, too.
    Wait,
    /// Nothing: ask, and report with [`RouteCache::answered`].
    Ask(QueryKey),
}

/// Queries in progress and fresh answers.
#[derive(Debug, Default)]
pub struct RouteCache {
    pending: BTreeMap<QueryKey, Vec<PaymentId>>,
    fresh: BTreeMap<QueryKey, (u64, Vec<Route>)>,
    reuse_ms: u64,
}

impl RouteCache {
    /// `reuse_ms`: how long an answer is fresh.
    pub fn new(reuse_ms: u64) -> Self {
        RouteCache { reuse_ms, ..RouteCache::default() }
    }

    /// Looks up the routes for a payment. `now_ms` is any clock that does not go backwards.
    pub fn look_up(&mut self, payment: PaymentId, query: &Query, now_ms: u64) -> CachedRoutes {
        let key = QueryKey::of(query);
        if let Some((at, routes)) = self.fresh.get(&key)
            && now_ms.saturating_sub(*at) < self.reuse_ms
        {
            return CachedRoutes::Known(routes.clone());
        }
        let waiting = self.pending.entry(key.clone()).or_default();
        waiting.push(payment);
        if waiting.len() == 1 { CachedRoutes::Ask(key) } else { CachedRoutes::Wait }
    }

    /// The answer to a query. Gives the payments that wait for it. Only an answer that holds routes is used again.
    pub fn answered(&mut self, key: QueryKey, routes: &Result<Vec<Route>, String>, now_ms: u64) -> Vec<PaymentId> {
        let waiting = self.pending.remove(&key).unwrap_or_default();
        self.fresh.remove(&key);
        if let Ok(routes) = routes
            && !routes.is_empty()
            && key.excluded.is_empty()
            && !key.clearing
        {
            if self.fresh.len() >= ANSWERS_MAX {
                let reuse_ms = self.reuse_ms;
                self.fresh.retain(|_, (at, _)| now_ms.saturating_sub(*at) < reuse_ms);
            }
            if self.fresh.len() < ANSWERS_MAX {
                self.fresh.insert(key, (now_ms, routes.clone()));
            }
        }
        waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offst_crypto::Identity;
    use offst_proto::Amount;
    use offst_proto::index::Hop;
    use offst_proto::route::PartPlan;

    fn query(amount: u128) -> Query {
        let key = |seed| Identity::from_seed([seed; 32]).public_key();
        Query::new(Currency::default(), Amount::capped(amount), key(1), key(2))
    }

    fn payment(seed: u8) -> PaymentId {
        PaymentId::from_bytes([seed; 16])
    }

    fn routes() -> Result<Vec<Route>, String> {
        let path = vec![query(1).destination];
        Ok(vec![Route { parts: vec![PartPlan { path, amount: 5.into(), fees: 0.into() }] }])
    }

    #[test]
    fn the_same_query_is_asked_once_and_its_answer_used_while_it_is_fresh() {
        let mut cache = RouteCache::new(100);
        let CachedRoutes::Ask(key) = cache.look_up(payment(1), &query(5), 0) else { panic!() };
        assert_eq!(cache.look_up(payment(2), &query(5), 0), CachedRoutes::Wait);
        assert!(matches!(cache.look_up(payment(3), &query(6), 0), CachedRoutes::Ask(_)));
        let through = Query { via: Some(query(5).destination), ..query(5) };
        assert!(matches!(cache.look_up(payment(6), &through, 0), CachedRoutes::Ask(_)));
        assert_eq!(cache.answered(key, &routes(), 10), [payment(1), payment(2)]);
        assert_eq!(cache.look_up(payment(4), &query(5), 109), CachedRoutes::Known(routes().unwrap()));
        assert!(matches!(cache.look_up(payment(5), &query(5), 110), CachedRoutes::Ask(_)));
    }

    #[test]
    fn failures_debt_cycles_and_queries_with_exclusions_are_not_kept() {
        let mut cache = RouteCache::new(100);
        for answer in [Ok(vec![]), Err("no index server is connected".to_owned())] {
            let CachedRoutes::Ask(key) = cache.look_up(payment(1), &query(5), 0) else { panic!() };
            assert_eq!(cache.answered(key, &answer, 0), [payment(1)]);
        }
        let mut narrowed = query(5);
        let hop = Hop { from: narrowed.source, to: narrowed.destination };
        narrowed.excluded_edges = vec![Exclusion::whole(hop)];
        let CachedRoutes::Ask(key) = cache.look_up(payment(1), &narrowed, 0) else { panic!() };
        cache.answered(key, &routes(), 0);
        assert!(matches!(cache.look_up(payment(1), &narrowed, 1), CachedRoutes::Ask(_)));
        let cycle = Query { clearing: true, destination: query(5).source, ..query(5) };
        let CachedRoutes::Ask(key) = cache.look_up(payment(1), &cycle, 0) else { panic!() };
        cache.answered(key, &routes(), 0);
        assert!(matches!(cache.look_up(payment(1), &cycle, 1), CachedRoutes::Ask(_)));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut cache = RouteCache::new(100);
        for amount in 1..=2 * ANSWERS_MAX as u128 {
            let CachedRoutes::Ask(key) = cache.look_up(payment(1), &query(amount), 0) else { panic!() };
            cache.answered(key, &routes(), 0);
        }
        assert_eq!(cache.fresh.len(), ANSWERS_MAX);
    }
}
