//! How much friendships of others had left when they refused, for a while. What the index servers know is older than the
//! payments that fail; whoever pays next should not run into the same refusal.

use offst_proto::Currency;
use offst_proto::index::{Exclusion, Hop};
use std::collections::BTreeMap;

/// Most refusals that are remembered; then the oldest is forgotten.
const REMEMBERED_MAX: usize = 1024;

/// Refusals of the last minutes. What was carried since is forgotten.
#[derive(Debug, Default)]
pub(crate) struct Refusals(BTreeMap<(Currency, Hop), Refusal>);

#[derive(Debug, Clone, Copy)]
struct Refusal {
    /// The least that was left, credits; 0: it carries nothing at all.
    left: u128,
    /// When it was refused last, uptime ms.
    time_ms: u64,
}

impl Refusals {
    /// `hop` carries no more than `left`.
    pub(crate) fn note(&mut self, currency: &Currency, hop: Hop, left: u128, now_ms: u64) {
        let refusal = self.0.entry((currency.clone(), hop)).or_insert(Refusal { left, time_ms: now_ms });
        *refusal = Refusal { left: refusal.left.min(left), time_ms: now_ms };
        if self.0.len() > REMEMBERED_MAX
            && let Some(oldest) = self.0.iter().min_by_key(|(_, refusal)| refusal.time_ms).map(|(key, _)| key.clone())
        {
            self.0.remove(&oldest);
        }
    }

    /// `hop` has carried something.
    pub(crate) fn forget(&mut self, currency: &Currency, hop: Hop) {
        if !self.0.is_empty() {
            self.0.remove(&(currency.clone(), hop));
        }
    }

    /// The hops that need not be asked for the whole of `amount`: they had less left at `since_ms` (uptime) or later. The newest
    /// come first. What is older is forgotten.
    pub(crate) fn exclusions(&mut self, currency: &Currency, amount: u128, since_ms: u64) -> Vec<Exclusion> {
        self.0.retain(|_, refusal| refusal.time_ms >= since_ms);
        let mut refusals: Vec<_> =
            self.0.iter().filter(|((of, _), refusal)| of == currency && refusal.left < amount).collect();
        refusals.sort_by_key(|(_, refusal)| std::cmp::Reverse(refusal.time_ms));
        refusals.into_iter().map(|((_, hop), refusal)| Exclusion { hop: *hop, left: refusal.left }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offst_crypto::Identity;

    fn hop(seed: u16) -> Hop {
        let key = |seed: u16| {
            let mut bytes = [0; 32];
            bytes[..2].copy_from_slice(&seed.to_be_bytes());
            Identity::from_seed(bytes).public_key()
        };
        Hop { from: key(seed), to: key(9999) }
    }

    #[test]
    fn what_was_refused_is_avoided_for_a_while_and_for_as_much() {
        let mut refusals = Refusals::default();
        let credit = Currency::default();
        let hops = |refusals: &mut Refusals, currency: &Currency, amount, since| -> Vec<(Hop, u128)> {
            let exclusions = refusals.exclusions(currency, amount, since);
            exclusions.into_iter().map(|exclusion| (exclusion.hop, exclusion.left)).collect()
        };
        refusals.note(&credit, hop(1), 49, 100);
        refusals.note(&credit, hop(2), 0, 200);
        assert_eq!(hops(&mut refusals, &credit, 50, 0), [(hop(2), 0), (hop(1), 49)]);
        assert_eq!(hops(&mut refusals, &credit, 49, 0), [(hop(2), 0)]);
        assert_eq!(hops(&mut refusals, &"hours".parse().unwrap(), 50, 0), []);
        refusals.note(&credit, hop(1), 80, 300);
        assert_eq!(hops(&mut refusals, &credit, 50, 0), [(hop(1), 49), (hop(2), 0)], "the smaller amount counts");
        refusals.forget(&credit, hop(1));
        assert_eq!(hops(&mut refusals, &credit, 50, 200), [(hop(2), 0)]);
        assert_eq!(hops(&mut refusals, &credit, 50, 201), []);
        assert_eq!(hops(&mut refusals, &credit, 50, 0), [], "it is forgotten");
    }

    #[test]
    fn few_are_remembered() {
        let mut refusals = Refusals::default();
        for seed in 0..=REMEMBERED_MAX as u16 {
            refusals.note(&Currency::default(), hop(seed), 0, u64::from(seed));
        }
        let last = Exclusion::whole(hop(1));
        let exclusions = refusals.exclusions(&Currency::default(), 1, 0);
        assert_eq!((exclusions.len(), exclusions.last()), (REMEMBERED_MAX, Some(&last)));
    }
}
