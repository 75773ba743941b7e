//! How often somebody may do something.

/// A bucket that fills with time; every use takes one token. No clock of its own.
#[derive(Debug, Clone)]
pub struct TokenBucket {
    per_second: u64,
    burst: u64,
    /// Thousandths of a token.
    level: u64,
    filled_ms: u64,
}

impl TokenBucket {
    /// A full bucket of `burst` tokens that gets `per_second` new ones each second. `now_ms` is any clock that does not
    /// run backwards.
    pub fn new(per_second: u32, burst: u32, now_ms: u64) -> Self {
        let burst = u64::from(burst) * 1000;
        TokenBucket { per_second: per_second.into(), burst, level: burst, filled_ms: now_ms }
    }

    /// Takes a token; false when there is none.
    pub fn take(&mut self, now_ms: u64) -> bool {
        let elapsed = now_ms.saturating_sub(self.filled_ms);
        self.filled_ms = self.filled_ms.max(now_ms);
        self.level = self.burst.min(self.level.saturating_add(elapsed.saturating_mul(self.per_second)));
        let taken = self.level >= 1000;
        if taken {
            self.level -= 1000;
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_and_refills() {
        let mut bucket = TokenBucket::new(2, 3, 0);
        assert_eq!((0..5).filter(|_| bucket.take(0)).count(), 3);
        assert!(!bucket.take(499));
        assert!(bucket.take(500));
        assert!(!bucket.take(501));
        assert_eq!((0..5).filter(|_| bucket.take(1_000_000)).count(), 3);
        assert!(!bucket.take(0), "a clock that runs backwards fills nothing");
        assert!(!TokenBucket::new(u32::MAX, 0, 0).take(u64::MAX));
    }
}
