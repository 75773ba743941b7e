//! The memory of a search.

use super::{bounded_hops, cheapest};

/// Memory of a search, used again by the next. It grows with the work of a search, not with the graph. Each thread that
/// searches has its own.
#[derive(Debug, Default)]
pub struct Scratch {
    /// For costs of 64 bits.
    pub(super) narrow: cheapest::Memory<u64>,
    /// For costs of 128 bits.
    pub(super) wide: cheapest::Memory<u128>,
    pub(super) bounded: bounded_hops::Memory,
}
