//! Who did not answer a payment of ours in time, and how long nobody is asked there.
//!
//! A hop that refuses costs a moment; one that says nothing costs the whole patience, and every further payment as
//! much. So a hop that was silent is left out for a while (ten minutes), and twice as long each time that it is silent
//! again, up to a day; meanwhile it is asked only when there is no other route. That holds for our own friends as for
//! strangers. A payment over the hop ends it.

use crate::payments::refusals::crowding;
use offst_crypto::PublicKey;
use offst_proto::Currency;
use offst_proto::index::{Exclusion, Hop};
use std::collections::BTreeMap;

/// Most silences that are remembered.
const REMEMBERED_MAX: usize = 1024;

/// How long silent hops are left out, ms.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pauses {
    /// After the first silence.
    pub(crate) first_ms: u64,
    /// At most.
    pub(crate) most_ms: u64,
    /// What is told within this time after a silence is the same one: payments that were under way together.
    pub(crate) same_ms: u64,
}

/// Hops that were silent.
#[derive(Debug, Default)]
pub(crate) struct SilentHops(BTreeMap<(Currency, Hop), Silence>);

#[derive(Debug, Clone, Copy)]
struct Silence {
    /// The friend through which we know.
    by: PublicKey,
    /// The last pause, and when it began, uptime ms.
    pause_ms: u64,
    since_ms: u64,
}

impl Silence {
    fn until_ms(self) -> u64 {
        self.since_ms.saturating_add(self.pause_ms)
    }
}

impl SilentHops {
    /// `hop` has not answered, as `by` says.
    pub(crate) fn note(&mut self, currency: &Currency, hop: Hop, by: PublicKey, now_ms: u64, pauses: Pauses) {
        let key = (currency.clone(), hop);
        let pause_ms = match self.0.get(&key) {
            Some(known) if now_ms.saturating_sub(known.since_ms) < pauses.same_ms => return,
            Some(known) => known.pause_ms.saturating_mul(2).min(pauses.most_ms),
            None => pauses.first_ms.min(pauses.most_ms),
        };
        self.0.insert(key, Silence { by, pause_ms, since_ms: now_ms });
        if self.0.len() > REMEMBERED_MAX {
            let crowding = crowding(self.0.iter().map(|(key, silence)| (key, silence.by, silence.since_ms)));
            self.0.remove(&crowding);
        }
    }

    /// `hop` has carried something.
    pub(crate) fn forget(&mut self, currency: &Currency, hop: Hop) {
        if !self.0.is_empty() {
            self.0.remove(&(currency.clone(), hop));
        }
    }

    /// The hops that are left out now, those of `local` first: of these we know ourselves. What was not asked again for
    /// long is forgotten.
    pub(crate) fn exclusions(
        &mut self,
        currency: &Currency,
        local: PublicKey,
        now_ms: u64,
        pauses: Pauses,
    ) -> Vec<Exclusion> {
        self.0.retain(|_, silence| silence.until_ms().saturating_add(pauses.most_ms) > now_ms);
        let is_silent = |silence: &Silence| silence.until_ms() > now_ms;
        let mut silent: Vec<_> =
            self.0.iter().filter(|((of, _), silence)| of == currency && is_silent(silence)).collect();
        silent.sort_by_key(|((_, hop), silence)| (hop.from != local, std::cmp::Reverse(silence.since_ms)));
        silent.into_iter().map(|((_, hop), _)| Exclusion::whole(*hop)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offst_crypto::Identity;

    const PAUSES: Pauses = Pauses { first_ms: 600_000, most_ms: 86_400_000, same_ms: 20_000 };

    fn key(seed: u16) -> PublicKey {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&seed.to_be_bytes());
        Identity::from_seed(bytes).public_key()
    }

    fn hop(from: u16, to: u16) -> Hop {
        Hop { from: key(from), to: key(to) }
    }

    #[test]
    fn each_silence_is_followed_by_a_pause_twice_as_long() {
        let (mut silent_hops, credit) = (SilentHops::default(), Currency::default());
        let mut now = 1000;
        for pause in [
            600_000, 1_200_000, 2_400_000, 4_800_000, 9_600_000, 19_200_000, 38_400_000, 76_800_000, 86_400_000,
            86_400_000,
        ] {
            for later in [0, 19_999] {
                silent_hops.note(&credit, hop(1, 2), key(1), now + later, PAUSES);
            }
            assert_eq!(silent_hops.exclusions(&credit, key(0), now + pause - 1, PAUSES), [Exclusion::whole(hop(1, 2))]);
            assert!(silent_hops.exclusions(&credit, key(0), now + pause, PAUSES).is_empty(), "{pause}");
            now += pause;
        }
        assert!(silent_hops.exclusions(&"hours".parse().unwrap(), key(0), now - 1, PAUSES).is_empty());
        silent_hops.note(&credit, hop(1, 2), key(1), now, PAUSES);
        silent_hops.forget(&credit, hop(1, 2));
        assert!(silent_hops.exclusions(&credit, key(0), now, PAUSES).is_empty());
        silent_hops.note(&credit, hop(1, 2), key(1), now, PAUSES);
        assert!(silent_hops.exclusions(&credit, key(0), now + 600_000, PAUSES).is_empty(), "it begins anew");
        // Once in two days is no habit.
        silent_hops.exclusions(&credit, key(0), now + 2 * 86_400_000, PAUSES);
        assert!(silent_hops.0.is_empty());
    }

    /// A node that brings up one silence after the other crowds out only what it has brought up itself.
    #[test]
    fn everybody_has_a_share_of_the_memory() {
        let (mut silent_hops, credit) = (SilentHops::default(), Currency::default());
        silent_hops.note(&credit, hop(0, 1), key(1), 0, PAUSES);
        silent_hops.note(&credit, hop(2, 3), key(2), 1, PAUSES);
        for number in 0..2 * REMEMBERED_MAX as u16 {
            silent_hops.note(&credit, hop(9, 100 + number), key(9), 2 + u64::from(number), PAUSES);
        }
        let kept = silent_hops.exclusions(&credit, key(0), 5000, PAUSES);
        assert_eq!((kept.len(), kept[0]), (REMEMBERED_MAX, Exclusion::whole(hop(0, 1))));
        assert!(kept.contains(&Exclusion::whole(hop(2, 3))));
        assert_eq!(kept[1], Exclusion::whole(hop(9, 99 + 2 * REMEMBERED_MAX as u16)), "the newest of the others");
    }
}
