//! The clock of the machine. A node that recovers what it has lost numbers its new epochs by the time, so that they are above all
//! that it may have signed and forgotten; with a clock that starts at 1970 after each boot they would not be. No clock moves money,
//! but one that is obviously wrong is a reason not to begin.

use crate::outcome::Failure;
use std::time::SystemTime;

/// 2024-01-01 00:00 UTC, unix ms. No clock that is right is before it.
const EARLIEST_MS: u64 = 1_704_067_200_000;

/// The time, unix ms.
///
/// # Errors
/// It cannot be right.
pub(super) fn now_ms() -> Result<u64, Failure> {
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    plausible(u64::try_from(unix.as_millis()).unwrap_or(u64::MAX)).map_err(Failure::failed)
}

// R7.11.
fn plausible(unix_ms: u64) -> Result<u64, String> {
    if unix_ms >= EARLIEST_MS {
        return Ok(unix_ms);
    }
    Err("the clock of this machine says a time before 2024: set it and try again, because a node whose clock is wrong could \
         sign twice what it has forgotten, and lets invoices expire at the wrong time"
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    // R7.11.
    #[test]
    fn a_clock_that_was_never_set_is_named() {
        for early in [0, 86_400_000, EARLIEST_MS - 1] {
            assert!(plausible(early).unwrap_err().contains("before 2024"));
        }
        for right in [EARLIEST_MS, EARLIEST_MS + 1, u64::MAX] {
            assert_eq!(plausible(right), Ok(right));
        }
        assert!(now_ms().is_ok());
    }
}
