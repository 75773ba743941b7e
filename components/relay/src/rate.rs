//! A rate limit: so many a second, of bytes or of anything else, and how long to wait for more.

/// Allows `per_second` a second, and as many at once unless said otherwise. More may be spent than is available; then it has
/// to fill up first.
#[derive(Debug, Clone)]
pub struct Rate {
    per_second: u64,
    at_once: u64,
    /// What is available now, times 1000; negative when more was spent.
    level: i128,
    at_ms: u64,
}

impl Rate {
    /// The amount of one second is available at first.
    pub fn new(per_second: u64, now_ms: u64) -> Self {
        Rate::with_burst(per_second, per_second, now_ms)
    }

    /// Allows `at_once` at once.
    pub(crate) fn with_burst(per_second: u64, at_once: u64, now_ms: u64) -> Self {
        let (per_second, at_once) = (per_second.max(1), at_once.max(1));
        Rate { per_second, at_once, level: i128::from(at_once) * 1000, at_ms: now_ms }
    }

    /// From now on `per_second` are allowed, and as many at once.
    pub(crate) fn change(&mut self, per_second: u64, now_ms: u64) {
        self.wait_ms(now_ms);
        self.per_second = per_second.max(1);
        self.at_once = self.per_second;
    }

    /// Whether nothing is missing from a full second or burst.
    pub(crate) fn is_full(&mut self, now_ms: u64) -> bool {
        self.wait_ms(now_ms);
        self.level >= i128::from(self.at_once) * 1000
    }

    /// Counts what was used.
    pub fn spend(&mut self, count: u64) {
        self.level -= i128::from(count) * 1000;
    }

    /// How many milliseconds to wait before more is used; 0: none.
    pub fn wait_ms(&mut self, now_ms: u64) -> u64 {
        let passed = now_ms.saturating_sub(self.at_ms);
        self.at_ms = self.at_ms.max(now_ms);
        let per_second = i128::from(self.per_second);
        let filled = self.level.saturating_add(i128::from(passed).saturating_mul(per_second));
        self.level = filled.min(i128::from(self.at_once) * 1000);
        if self.level > 0 {
            return 0;
        }
        u64::try_from(1 - self.level / per_second).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_bytes_at_once_and_then_by_the_clock() {
        let mut rate = Rate::new(1000, 0);
        assert_eq!(rate.wait_ms(0), 0);
        rate.spend(999);
        assert_eq!(rate.wait_ms(0), 0);
        rate.spend(501);
        assert_eq!(rate.wait_ms(0), 501);
        assert_eq!(rate.wait_ms(500), 1);
        assert_eq!(rate.wait_ms(501), 0);
    }

    #[test]
    fn idle_time_is_not_saved_up() {
        let mut rate = Rate::new(1000, 0);
        assert_eq!(rate.wait_ms(1_000_000), 0);
        rate.spend(2000);
        assert_eq!(rate.wait_ms(1_000_000), 1001);
    }

    #[test]
    fn a_burst_may_be_larger_and_a_rate_may_change() {
        let mut rate = Rate::with_burst(10, 100, 0);
        rate.spend(99);
        assert_eq!(rate.wait_ms(0), 0);
        rate.spend(1);
        assert!(rate.wait_ms(0) > 0 && !rate.is_full(9_999) && rate.is_full(10_000));
        rate.change(1000, 10_000);
        assert!(!rate.is_full(10_000) && rate.is_full(10_900));
        rate.change(1, 10_900);
        assert!(rate.is_full(10_900));
        rate.spend(1);
        assert_eq!(rate.wait_ms(10_900), 1);
    }

    #[test]
    fn extremes_do_not_overflow() {
        for per_second in [0, 1, u64::MAX] {
            let mut rate = Rate::new(per_second, 0);
            rate.spend(u64::MAX);
            rate.wait_ms(u64::MAX);
            rate.wait_ms(0);
        }
    }

    /// Waiting as told gives the rate, within one burst.
    #[test]
    fn the_rate_holds_over_time() {
        let mut rate = Rate::new(10_000, 0);
        let (mut now_ms, mut read) = (0, 0);
        while now_ms < 60_000 {
            match rate.wait_ms(now_ms) {
                0 => {
                    rate.spend(777);
                    read += 777;
                }
                wait_ms => now_ms += wait_ms,
            }
        }
        assert!((600_000..=620_000).contains(&read), "{read}");
    }
}
