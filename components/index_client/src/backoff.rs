//! How long to wait before dialling again.

use offst_crypto::{Random, RandomExt};

/// Exponential backoff with jitter.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    min_ms: u64,
    max_ms: u64,
    next_ms: u64,
}

impl Backoff {
    /// Starts at `min_ms`, doubles up to `max_ms`.
    pub(crate) fn new(min_ms: u64, max_ms: u64) -> Self {
        Backoff { min_ms, max_ms, next_ms: min_ms.min(max_ms) }
    }

    /// The next wait in ms: between half and all of the current step, so that nodes that lost a server together do not
    /// come back together.
    pub(crate) fn next_wait(&mut self, random: &mut dyn Random) -> u64 {
        let step = self.next_ms;
        self.next_ms = step.saturating_mul(2).min(self.max_ms);
        let half = step / 2;
        half + u64::from_be_bytes(random.array()) % (step - half + 1)
    }

    /// After a success.
    pub(crate) fn reset(&mut self) {
        self.next_ms = self.min_ms.min(self.max_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offst_crypto::SystemRandom;

    #[test]
    fn doubles_to_the_bound_and_starts_anew() {
        let mut random = SystemRandom::new();
        let mut backoff = Backoff::new(200, 30_000);
        for step in [200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000] {
            let wait = backoff.next_wait(&mut random);
            assert!((step / 2..=step).contains(&wait), "{wait} of {step}");
        }
        backoff.reset();
        assert!(backoff.next_wait(&mut random) <= 200);
    }
}
