//! The cost of a path: fees, then hops, in one number that compares fast.

use std::fmt::Debug;

/// Bits of the hops. A label with 64 hops or more counts them as a credit of fees; no path of that length is allowed.
const HOPS_BITS: u32 = 6;

/// Fees and hops of a piece of a path. Of two with the same fees the one with fewer hops is less.
pub(crate) trait Cost: Copy + Ord + Debug + Default {
    /// More than every cost.
    const UNKNOWN: Self;

    /// None when it does not fit.
    fn new(fees: u128, hops: u32) -> Option<Self>;

    /// Credits.
    fn fees(self) -> u128;

    /// [`Cost::UNKNOWN`] when it does not fit.
    fn plus(self, other: Self) -> Self;
}

impl Cost for u64 {
    const UNKNOWN: Self = u64::MAX;

    #[inline]
    fn new(fees: u128, hops: u32) -> Option<Self> {
        (fees >> (63 - HOPS_BITS) == 0).then_some((fees as u64) << HOPS_BITS | u64::from(hops))
    }

    #[inline]
    fn fees(self) -> u128 {
        u128::from(self >> HOPS_BITS)
    }

    #[inline]
    fn plus(self, other: Self) -> Self {
        self.saturating_add(other)
    }
}

impl Cost for u128 {
    const UNKNOWN: Self = u128::MAX;

    #[inline]
    fn new(fees: u128, hops: u32) -> Option<Self> {
        (fees >> (127 - HOPS_BITS) == 0).then_some(fees << HOPS_BITS | u128::from(hops))
    }

    #[inline]
    fn fees(self) -> u128 {
        self >> HOPS_BITS
    }

    #[inline]
    fn plus(self, other: Self) -> Self {
        self.saturating_add(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fees_first_then_hops() {
        let cost = |fees, hops| u64::new(fees, hops).unwrap();
        assert!(cost(1, 0) > cost(0, 32) && cost(1, 2) > cost(1, 1));
        assert_eq!((cost(7, 32).fees(), cost(3, 1).plus(cost(4, 1))), (7, cost(7, 2)));
        assert_eq!(u64::new(1 << 57, 1), None);
        assert_eq!(u128::new(1 << 97, 1).map(Cost::fees), Some(1 << 97));
    }
}
