//! Asking the index servers no more than needed: payments that ask the same at the same time share one question, and an answer is
//! used again while it is fresh. A payment that was refused excludes the edge, which makes it another question. A ring of debts
//! that was found is about to be cleared, so such an answer is not used again.

use offst_crypto::PublicKey;
use offst_proto::index::{Exclusion, Query};
use offst_proto::route::Way;
use offst_proto::{Currency, PaymentId};
use std::collections::BTreeMap;

/// Answers that are kept at the same time.
const KNOWN_MAX: usize = 1024;

/// What makes two queries the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question {
    currency: Currency,
    destination: PublicKey,
    via: Option<PublicKey>,
    amount: u128,
    excluded: Vec<Exclusion>,
    clearing: bool,
}

impl Question {
    fn of(query: &Query) -> Self {
        Question {
            currency: query.currency.clone(),
            destination: query.destination,
            via: query.via,
            amount: query.amount,
            excluded: query.excluded_edges.clone(),
            clearing: query.clearing,
        }
    }
}

/// What a payment that asks for ways has to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Use these.
    Known(Vec<Way>),
    /// The answer is on its way.
    Wait,
    /// Ask, and report with [`Routes::answered`].
    Ask(Question),
}

/// Questions under way and fresh answers.
#[derive(Debug, Default)]
pub struct Routes {
    asked: BTreeMap<Question, Vec<PaymentId>>,
    known: BTreeMap<Question, (u64, Vec<Way>)>,
    reuse_ms: u64,
}

impl Routes {
    /// `reuse_ms`: how long an answer is fresh.
    pub fn new(reuse_ms: u64) -> Self {
        Routes { reuse_ms, ..Routes::default() }
    }

    /// A payment asks.
    pub fn look_up(&mut self, payment: PaymentId, query: &Query, now_ms: u64) -> Lookup {
        let question = Question::of(query);
        if let Some((at, ways)) = self.known.get(&question)
            && now_ms.saturating_sub(*at) < self.reuse_ms
        {
            return Lookup::Known(ways.clone());
        }
        let waiting = self.asked.entry(question.clone()).or_default();
        waiting.push(payment);
        if waiting.len() == 1 { Lookup::Ask(question) } else { Lookup::Wait }
    }

    /// The answer to a question: the payments that wait for it. Only an answer that holds ways is used again.
    pub fn answered(&mut self, question: Question, ways: &Result<Vec<Way>, String>, now_ms: u64) -> Vec<PaymentId> {
        let waiting = self.asked.remove(&question).unwrap_or_default();
        self.known.remove(&question);
        if let Ok(ways) = ways
            && !ways.is_empty()
            && question.excluded.is_empty()
            && !question.clearing
        {
            if self.known.len() >= KNOWN_MAX {
                let reuse_ms = self.reuse_ms;
                self.known.retain(|_, (at, _)| now_ms.saturating_sub(*at) < reuse_ms);
            }
            if self.known.len() < KNOWN_MAX {
                self.known.insert(question, (now_ms, ways.clone()));
            }
        }
        waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offst_crypto::Identity;
    use offst_proto::index::Hop;
    use offst_proto::route::PartPlan;

    fn query(amount: u128) -> Query {
        let key = |seed| Identity::from_seed([seed; 32]).public_key();
        Query::new(Currency::default(), amount, key(1), key(2))
    }

    fn payment(seed: u8) -> PaymentId {
        PaymentId::from_bytes([seed; 16])
    }

    fn ways() -> Result<Vec<Way>, String> {
        let route = vec![query(1).destination];
        Ok(vec![Way { parts: vec![PartPlan { route, amount: 5, fees: 0 }] }])
    }

    #[test]
    fn the_same_question_is_asked_once_and_its_answer_used_while_it_is_fresh() {
        let mut routes = Routes::new(100);
        let Lookup::Ask(question) = routes.look_up(payment(1), &query(5), 0) else { panic!() };
        assert_eq!(routes.look_up(payment(2), &query(5), 0), Lookup::Wait);
        assert!(matches!(routes.look_up(payment(3), &query(6), 0), Lookup::Ask(_)));
        let through = Query { via: Some(query(5).destination), ..query(5) };
        assert!(matches!(routes.look_up(payment(6), &through, 0), Lookup::Ask(_)));
        assert_eq!(routes.answered(question, &ways(), 10), [payment(1), payment(2)]);
        assert_eq!(routes.look_up(payment(4), &query(5), 109), Lookup::Known(ways().unwrap()));
        assert!(matches!(routes.look_up(payment(5), &query(5), 110), Lookup::Ask(_)));
    }

    #[test]
    fn failures_rings_and_questions_with_exclusions_are_not_kept() {
        let mut routes = Routes::new(100);
        for answer in [Ok(vec![]), Err("no index server is connected".to_owned())] {
            let Lookup::Ask(question) = routes.look_up(payment(1), &query(5), 0) else { panic!() };
            assert_eq!(routes.answered(question, &answer, 0), [payment(1)]);
        }
        let mut narrowed = query(5);
        let hop = Hop { from: narrowed.source, to: narrowed.destination };
        narrowed.excluded_edges = vec![Exclusion::whole(hop)];
        let Lookup::Ask(question) = routes.look_up(payment(1), &narrowed, 0) else { panic!() };
        routes.answered(question, &ways(), 0);
        assert!(matches!(routes.look_up(payment(1), &narrowed, 1), Lookup::Ask(_)));
        let ring = Query { clearing: true, destination: query(5).source, ..query(5) };
        let Lookup::Ask(question) = routes.look_up(payment(1), &ring, 0) else { panic!() };
        routes.answered(question, &ways(), 0);
        assert!(matches!(routes.look_up(payment(1), &ring, 1), Lookup::Ask(_)));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut routes = Routes::new(100);
        for amount in 1..=2 * KNOWN_MAX as u128 {
            let Lookup::Ask(question) = routes.look_up(payment(1), &query(amount), 0) else { panic!() };
            routes.answered(question, &ways(), 0);
        }
        assert_eq!(routes.known.len(), KNOWN_MAX);
    }
}
