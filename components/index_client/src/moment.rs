//! Two clocks, read together.

/// One moment on both clocks, ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// A clock that nobody sets: for waiting.
    pub steady_ms: u64,
    /// Since 1970, as others see it: for sequence numbers and expiry.
    pub unix_ms: u64,
}
