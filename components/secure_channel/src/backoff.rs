//! How long to wait before a server is dialled again. Decisions only.

/// Growing, jittered pauses between attempts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause after one more failure, ms: doubling from `first_ms` to `longest_ms`, then between half and all of it, so that
    /// nodes that lost a server together do not come back together. `random` is any number.
    pub fn fail(&mut self, first_ms: u64, longest_ms: u64, random: u64) -> u64 {
        let full = first_ms.saturating_mul(1 << self.failures.min(20)).min(longest_ms).max(2);
        self.failures = self.failures.saturating_add(1);
        full / 2 + random % (full / 2)
    }

    /// An attempt succeeded: the next pause is the first again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_are_jittered() {
        let mut backoff = Backoff::default();
        for (full, random) in [200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000].into_iter().zip(7919..)
        {
            let pause = backoff.fail(200, 30_000, random * random);
            assert!((full / 2..full).contains(&pause), "{pause} of {full}");
        }
        assert_ne!(backoff.fail(200, 30_000, 1), backoff.fail(200, 30_000, 2));
        backoff.reset();
        assert!(backoff.fail(200, 30_000, 5) < 200);
        assert!(Backoff { failures: u32::MAX }.fail(u64::MAX, u64::MAX, u64::MAX) > 0);
    }
}
