//! Growing, jittered pauses between attempts.

/// How long to wait before the next attempt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause after one more failure, ms: doubling from `first_ms` to `max_ms`, then between half and all of it.
    /// `random` is any number.
    pub(crate) fn fail(&mut self, first_ms: u64, max_ms: u64, random: u64) -> u64 {
        let full = first_ms.saturating_mul(1 << self.failures.min(20)).min(max_ms).max(2);
        self.failures = self.failures.saturating_add(1);
        full / 2 + random % (full / 2)
    }

    /// An attempt succeeded.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_maximum_and_are_jittered() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..12).map(|i| backoff.fail(200, 30_000, i * 7919)).collect();
        assert!((100..200).contains(&pauses[0]));
        assert!(pauses.iter().all(|pause| *pause < 30_000));
        assert!(pauses[11] >= 15_000);
        assert_ne!(backoff.fail(200, 30_000, 1), backoff.fail(200, 30_000, 2));
        backoff.reset();
        assert!(backoff.fail(200, 30_000, 5) < 200);
        assert!(Backoff { failures: u32::MAX }.fail(u64::MAX, u64::MAX, u64::MAX) > 0);
    }
}
