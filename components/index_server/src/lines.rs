//! What strangers can make the server log, bounded: a disk that they fill is lost for everybody.

use crate::quota::TokenBucket;
use std::sync::{Mutex, PoisonError};

/// Lines a minute about what strangers do, and neighbours. Each has some hundred bytes.
const LINES_PER_MINUTE: u32 = 600;

/// How much may be logged of what peers do.
#[derive(Debug)]
pub(crate) struct Lines {
    state: Mutex<Left>,
}

#[derive(Debug)]
struct Left {
    bucket: TokenBucket,
    left_out: u64,
}

impl Lines {
    pub(crate) fn new() -> Self {
        let bucket = TokenBucket::new(LINES_PER_MINUTE / 60, LINES_PER_MINUTE / 2, 0);
        Lines { state: Mutex::new(Left { bucket, left_out: 0 }) }
    }

    /// Whether one more line may be written, and how many were left out since the last one. `now_ms` never runs backwards.
    pub(crate) fn take(&self, now_ms: u64) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.bucket.take(now_ms) {
            return Some(std::mem::take(&mut state.left_out));
        }
        state.left_out += 1;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_and_those_left_out_are_counted() {
        let lines = Lines::new();
        let mut left_out = 0;
        for (minute, allowed) in [(0, 300 + 599), (1, 600), (2, 600)] {
            let taken: Vec<_> = (0..60_000).filter_map(|ms| lines.take(minute * 60_000 + ms)).collect();
            assert_eq!(taken.len(), allowed, "minute {minute}");
            left_out += taken.iter().sum::<u64>();
        }
        left_out += lines.take(200_000).unwrap();
        assert_eq!(left_out, 3 * 60_000 - (300 + 599) - 600 - 600);
        assert_eq!(lines.take(200_000), Some(0));
    }
}
