//! How much friendships of others had left when they refused, for a while. What the index servers know is older than
//! the payments that fail; the one who pays next should not run into the same refusal.

use offst_crypto::PublicKey;
use offst_proto::Amount;
use offst_proto::Currency;
use offst_proto::index::{Exclusion, Hop};
use std::collections::BTreeMap;

/// Most refusals that are remembered.
const REMEMBERED_MAX: usize = 1024;

/// Of more than fit, which is forgotten: the oldest of those that came through the friend through whom most came. So
/// nobody crowds out what others have said. `entries`: what it is of, through whom it came, when.
///
/// # Panics
/// When there is none.
pub(crate) fn crowding<'a, K: Clone + 'a>(entries: impl Iterator<Item = (&'a K, PublicKey, u64)> + Clone) -> K {
    let mut counts: BTreeMap<PublicKey, usize> = BTreeMap::new();
    entries.clone().for_each(|(_, by, _)| *counts.entry(by).or_default() += 1);
    let (most, _) = counts.into_iter().max_by_key(|(_, count)| *count).expect("there are too many");
    let oldest = entries.filter(|(_, by, _)| *by == most).min_by_key(|(.., time_ms)| *time_ms);
    oldest.expect("it has the most").0.clone()
}

/// Refusals of the last minutes. What was carried since is forgotten.
#[derive(Debug, Default)]
pub(crate) struct Refusals(BTreeMap<(Currency, Hop), Refusal>);

#[derive(Debug, Clone, Copy)]
struct Refusal {
    /// The least that was left, credits; 0: it carries nothing at all.
    left: Amount,
    /// When it was refused last, uptime ms.
    time_ms: u64,
    /// The friend that has told us last.
    by: PublicKey,
}

impl Refusals {
    /// `hop` carries no more than `left`, as `by` says.
    pub(crate) fn note(&mut self, currency: &Currency, hop: Hop, left: Amount, by: PublicKey, now_ms: u64) {
        let key = (currency.clone(), hop);
        let left = self.0.get(&key).map_or(left, |known| known.left.min(left));
        self.0.insert(key, Refusal { left, time_ms: now_ms, by });
        if self.0.len() > REMEMBERED_MAX {
            let crowding = crowding(self.0.iter().map(|(key, refusal)| (key, refusal.by, refusal.time_ms)));
            self.0.remove(&crowding);
        }
    }

    /// `hop` has carried something.
    pub(crate) fn forget(&mut self, currency: &Currency, hop: Hop) {
        if !self.0.is_empty() {
            self.0.remove(&(currency.clone(), hop));
        }
    }

    /// The hops that need not be asked for the whole of `amount`: they had less left at `since_ms` (uptime) or later.
    /// The newest come first. What is older is forgotten.
    pub(crate) fn exclusions(&mut self, currency: &Currency, amount: Amount, since_ms: u64) -> Vec<Exclusion> {
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
            exclusions.into_iter().map(|exclusion| (exclusion.hop, exclusion.left.credits())).collect()
        };
        refusals.note(&credit, hop(1), 49.into(), hop(7).from, 100);
        refusals.note(&credit, hop(2), 0.into(), hop(7).from, 200);
        assert_eq!(hops(&mut refusals, &credit, 50.into(), 0), [(hop(2), 0), (hop(1), 49)]);
        assert_eq!(hops(&mut refusals, &credit, 49.into(), 0), [(hop(2), 0)]);
        assert_eq!(hops(&mut refusals, &"hours".parse().unwrap(), 50.into(), 0), []);
        refusals.note(&credit, hop(1), 80.into(), hop(7).from, 300);
        assert_eq!(
            hops(&mut refusals, &credit, 50.into(), 0),
            [(hop(1), 49), (hop(2), 0)],
            "the smaller amount counts"
        );
        refusals.forget(&credit, hop(1));
        assert_eq!(hops(&mut refusals, &credit, 50.into(), 200), [(hop(2), 0)]);
        assert_eq!(hops(&mut refusals, &credit, 50.into(), 201), []);
        assert_eq!(hops(&mut refusals, &credit, 50.into(), 0), [], "it is forgotten");
    }

    #[test]
    fn few_are_remembered() {
        let mut refusals = Refusals::default();
        for seed in 0..=REMEMBERED_MAX as u16 {
            refusals.note(&Currency::default(), hop(seed), 0.into(), hop(7).from, u64::from(seed));
        }
        let last = Exclusion::whole(hop(1));
        let exclusions = refusals.exclusions(&Currency::default(), 1.into(), 0);
        assert_eq!((exclusions.len(), exclusions.last()), (REMEMBERED_MAX, Some(&last)));
        // What came through another friend stays.
        refusals.note(&Currency::default(), hop(8000), 0.into(), hop(8).from, 0);
        for seed in 0..REMEMBERED_MAX as u16 {
            refusals.note(&Currency::default(), hop(3000 + seed), 0.into(), hop(7).from, 10_000);
        }
        let exclusions = refusals.exclusions(&Currency::default(), 1.into(), 0);
        assert_eq!((exclusions.len(), exclusions.last()), (REMEMBERED_MAX, Some(&Exclusion::whole(hop(8000)))));
    }
}
