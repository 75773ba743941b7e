//! How often one friend may connect. Each connection costs a handshake and says again how every account stands, so whoever
//! connects again and again is answered after a pause that grows. The newest call is the one that counts: it takes the place of
//! one that is still in its pause, and is answered when that would have been.

use offst_secure_channel::Backoff;
use tokio_util::sync::CancellationToken;

/// The first pause, ms.
const FIRST_MS: u64 = 50;
/// The longest pause, ms. Shorter than any caller's patience, so that an honest one is answered at its first call.
const LONGEST_MS: u64 = 2_000;
/// Whoever has not called for so long is answered at once, ms.
const CALM_MS: u64 = 10_000;

/// The calls of one friend.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    backoff: Backoff,
    /// When the newest call is answered; none: there was none.
    answer_at: Option<u64>,
    newest: CancellationToken,
}

/// When a call is answered.
#[derive(Debug)]
pub(crate) struct Turn {
    /// After this pause, ms.
    pub(crate) pause_ms: u64,
    /// Cancelled when a newer one has taken its place in the pause.
    pub(crate) replaced: CancellationToken,
}

impl Calls {
    /// The friend calls. `random` is any number.
    pub(crate) fn call(&mut self, now_ms: u64, random: u64) -> Turn {
        let answer_at = match self.answer_at {
            None => now_ms,
            Some(paused_until) if paused_until > now_ms => paused_until,
            Some(answered_at) if now_ms - answered_at >= CALM_MS => {
                self.backoff.reset();
                now_ms
            }
            Some(answered_at) => {
                answered_at.saturating_add(self.backoff.fail(FIRST_MS, LONGEST_MS, random)).max(now_ms)
            }
        };
        self.answer_at = Some(answer_at);
        self.newest.cancel();
        self.newest = CancellationToken::new();
        Turn { pause_ms: answer_at - now_ms, replaced: self.newest.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_for_one_that_calls_again_and_again() {
        let mut calls = Calls::default();
        let mut now_ms = 5;
        let mut pauses = Vec::new();
        for _ in 0..12 {
            let turn = calls.call(now_ms, 0);
            pauses.push(turn.pause_ms);
            now_ms += turn.pause_ms;
        }
        assert_eq!(pauses[..4], [0, 25, 50, 100]);
        assert_eq!(pauses.last(), Some(&(LONGEST_MS / 2)));
        assert!(pauses.is_sorted());
        assert_eq!(calls.call(now_ms + CALM_MS, 0).pause_ms, 0);
        assert_eq!(calls.call(now_ms + CALM_MS, 0).pause_ms, 25, "the pauses begin anew");
        // Whoever comes after the pause is answered at once.
        assert_eq!(calls.call(now_ms + CALM_MS + LONGEST_MS, 0).pause_ms, 0);
    }

    #[test]
    fn a_newer_call_takes_the_place_of_one_in_its_pause_and_waits_no_longer() {
        let mut calls = Calls::default();
        let first = calls.call(0, 0);
        assert_eq!(first.pause_ms, 0);
        let second = calls.call(0, 0);
        let third = calls.call(10, 0);
        assert!(second.replaced.is_cancelled() && !third.replaced.is_cancelled());
        assert_eq!((second.pause_ms, third.pause_ms), (25, 15));
        let hurried = (11..25).map(|now_ms| now_ms + calls.call(now_ms, 0).pause_ms);
        assert!(hurried.into_iter().all(|answered_at| answered_at == 25));
    }
}
