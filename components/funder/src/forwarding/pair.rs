//! Two friends between whom we carry payments on: what is in flight between them, and what was held lately.

use offst_crypto::PublicKey;
use offst_proto::Currency;
use offst_proto::limits::PENDING_MAX;

/// Two friends, in the direction of the payments that we carry between them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ForwardPair {
    pub(crate) from: PublicKey,
    pub(crate) to: PublicKey,
    pub(crate) currency: Currency,
}

/// What is held on a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Load {
    pub(crate) count: usize,
    pub(crate) amount: u128,
}

/// What was held on a pair lately, in millionths of the whole capacity for `hold_ms`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Holds {
    pub(super) weight: u64,
    /// When it was so much, uptime ms.
    pub(super) time_ms: u64,
}

/// The whole capacity for `hold_ms`.
const WHOLE: u64 = 1_000_000;

impl Holds {
    /// More is not remembered.
    pub(super) const MAX: u64 = 8 * WHOLE;

    /// What is left of it.
    pub(super) fn at(self, now_ms: u64, remembered_ms: u64) -> u64 {
        let passed = u128::from(now_ms.saturating_sub(self.time_ms));
        let faded = passed * u128::from(Self::MAX) / u128::from(remembered_ms.max(1));
        self.weight.saturating_sub(u64::try_from(faded).unwrap_or(u64::MAX))
    }

    pub(super) fn halvings(weight: u64) -> usize {
        usize::try_from(weight / (2 * WHOLE)).expect("it is at most 4")
    }
}

/// What holding `amount` credits of `capacity` for `ms` weighs.
pub(super) fn weight(amount: u128, capacity: u128, ms: u64, hold_ms: u64) -> u64 {
    let whole = u128::from(WHOLE);
    let place = whole / PENDING_MAX as u128;
    // The capacity may have become less than what is held.
    let share = (amount.min(capacity) * whole).checked_div(capacity).unwrap_or(whole).max(place);
    u64::try_from(share * u128::from(ms) / u128::from(hold_ms.max(1))).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_weighs_its_share_and_its_time() {
        let weighs = |amount, capacity, ms| weight(amount, capacity, ms, 10_000);
        assert_eq!(
            [weighs(1000, 1000, 10_000), weighs(500, 1000, 10_000), weighs(500, 1000, 20_000)],
            [WHOLE, WHOLE / 2, WHOLE]
        );
        assert_eq!(weighs(1, 1 << 97, 10_000), WHOLE / PENDING_MAX as u64, "a place is a share too");
        assert_eq!([weighs(1 << 97, 1 << 97, 10_000), weighs(7, 5, 10_000), weighs(7, 0, 10_000)], [WHOLE; 3]);
    }

    #[test]
    fn it_fades() {
        let holds = Holds { weight: Holds::MAX, time_ms: 1000 };
        assert_eq!(
            [1000, 1000 + 1_800_000, 1000 + 3_600_000].map(|now| holds.at(now, 3_600_000)),
            [8 * WHOLE, 4 * WHOLE, 0]
        );
        assert_eq!([0, 2 * WHOLE - 1, 2 * WHOLE, Holds::MAX].map(Holds::halvings), [0, 0, 1, 4]);
    }
}
