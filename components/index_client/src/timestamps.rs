//! Two clocks, read together.

/// The same time on both clocks, ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamps {
    /// A monotonic clock: for waiting.
    pub steady_ms: u64,
    /// Since 1970, as others see it: for sequence numbers and expiry.
    pub unix_ms: u64,
}
