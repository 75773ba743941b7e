//! How soon a dial of one friend is answered. Each connection costs a handshake, and each side says again how every account
//! stands, so a friend that dials again and again is answered after a delay that grows. Only its latest dial counts: it
//! replaces one that is still delayed, and is answered when that one would have been.

use offst_secure_channel::Backoff;
use tokio_util::sync::CancellationToken;

/// The first delay, ms.
const DELAY_MIN_MS: u64 = 50;
/// The longest delay, ms. Shorter than the timeout of any dialler, so that the first dial of an honest one succeeds.
const DELAY_MAX_MS: u64 = 2_000;
/// A friend that has not dialled for so long is answered at once, ms.
const RESET_AFTER_MS: u64 = 10_000;

/// When the dials of one friend are answered.
#[derive(Debug, Default)]
pub(crate) struct AcceptDelay {
    backoff: Backoff,
    /// When the latest dial is answered; none: there was none.
    answer_at: Option<u64>,
    latest: CancellationToken,
}

/// When one dial is answered.
#[derive(Debug)]
pub(crate) struct Admission {
    /// After this delay, ms.
    pub(crate) delay_ms: u64,
    /// Cancelled when a later dial has replaced this one while it is delayed.
    pub(crate) replaced: CancellationToken,
}

impl AcceptDelay {
    /// The friend dials. `random` is any number.
    /// (R4.8.)
    pub(crate) fn dialled(&mut self, now_ms: u64, random: u64) -> Admission {
        let answer_at = match self.answer_at {
            None => now_ms,
            Some(delayed_until) if delayed_until > now_ms => delayed_until,
            Some(answered_at) if now_ms - answered_at >= RESET_AFTER_MS => {
                self.backoff.reset();
                now_ms
            }
            Some(answered_at) => {
                answered_at.saturating_add(self.backoff.fail(DELAY_MIN_MS, DELAY_MAX_MS, random)).max(now_ms)
            }
        };
        self.answer_at = Some(answer_at);
        self.latest.cancel();
        self.latest = CancellationToken::new();
        Admission { delay_ms: answer_at - now_ms, replaced: self.latest.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_for_a_friend_that_dials_again_and_again() {
        let mut delay = AcceptDelay::default();
        let mut now_ms = 5;
        let mut delays = Vec::new();
        for _ in 0..12 {
            let admission = delay.dialled(now_ms, 0);
            delays.push(admission.delay_ms);
            now_ms += admission.delay_ms;
        }
        assert_eq!(delays[..4], [0, 25, 50, 100]);
        assert_eq!(delays.last(), Some(&(DELAY_MAX_MS / 2)));
        assert!(delays.is_sorted());
        assert_eq!(delay.dialled(now_ms + RESET_AFTER_MS, 0).delay_ms, 0);
        assert_eq!(delay.dialled(now_ms + RESET_AFTER_MS, 0).delay_ms, 25, "the delays begin anew");
        // A dial after the delay is answered at once.
        assert_eq!(delay.dialled(now_ms + RESET_AFTER_MS + DELAY_MAX_MS, 0).delay_ms, 0);
    }

    #[test]
    fn a_later_dial_replaces_one_that_is_delayed_and_waits_no_longer() {
        let mut delay = AcceptDelay::default();
        let first = delay.dialled(0, 0);
        assert_eq!(first.delay_ms, 0);
        let second = delay.dialled(0, 0);
        let third = delay.dialled(10, 0);
        assert!(second.replaced.is_cancelled() && !third.replaced.is_cancelled());
        assert_eq!((second.delay_ms, third.delay_ms), (25, 15));
        let hurried = (11..25).map(|now_ms| now_ms + delay.dialled(now_ms, 0).delay_ms);
        assert!(hurried.into_iter().all(|answered_at| answered_at == 25));
    }
}
