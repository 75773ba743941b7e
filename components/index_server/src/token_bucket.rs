//! How often a node or an address may do something.

use offst_secure_channel::{Network, networks};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A bucket that fills with time; every use takes one token. No clock of its own.
#[derive(Debug, Clone)]
pub struct TokenBucket {
    per_second: u64,
    burst: u64,
    /// Thousandths of a token.
    level: u64,
    filled_ms: u64,
}

impl TokenBucket {
    /// A full bucket of `burst` tokens that gets `per_second` new ones each second. `now_ms` is any clock that does not
    /// run backwards.
    pub fn new(per_second: u32, burst: u32, now_ms: u64) -> Self {
        let burst = u64::from(burst) * 1000;
        TokenBucket { per_second: per_second.into(), burst, level: burst, filled_ms: now_ms }
    }

    /// Whether it holds as much as it can.
    pub fn is_full(&mut self, now_ms: u64) -> bool {
        self.fill(now_ms);
        self.level == self.burst
    }

    fn fill(&mut self, now_ms: u64) {
        let elapsed = now_ms.saturating_sub(self.filled_ms);
        self.filled_ms = self.filled_ms.max(now_ms);
        self.level = self.burst.min(self.level.saturating_add(elapsed.saturating_mul(self.per_second)));
    }

    /// Whether there is a token to take.
    fn has_one(&mut self, now_ms: u64) -> bool {
        self.fill(now_ms);
        self.level >= 1000
    }

    /// Takes a token; false when there is none.
    pub fn take(&mut self, now_ms: u64) -> bool {
        let taken = self.has_one(now_ms);
        if taken {
            self.level -= 1000;
        }
        taken
    }
}

/// A bucket for each network that was active not long ago; so many connections, or quickly replaced ones, do not get more.
#[derive(Debug)]
pub(crate) struct AddressBuckets {
    per_second: u32,
    buckets: BTreeMap<Network, TokenBucket>,
}

impl AddressBuckets {
    /// Each address may do something `per_second` times a second, and twice as often at once; a wider network more often
    /// by its factor.
    pub(crate) fn new(per_second: u32) -> Self {
        AddressBuckets { per_second, buckets: BTreeMap::new() }
    }

    /// Takes a token of an address and of all its networks; false, and none is taken, when one of them has none.
    pub(crate) fn take(&mut self, address: IpAddr, now_ms: u64) -> bool {
        let may = networks(address).all(|network| self.bucket(network, now_ms).has_one(now_ms));
        if may {
            networks(address).for_each(|network| _ = self.bucket(network, now_ms).take(now_ms));
        }
        may
    }

    fn bucket(&mut self, network: Network, now_ms: u64) -> &mut TokenBucket {
        let factor = u32::try_from(network.shares()).unwrap_or(u32::MAX);
        let per_second = self.per_second.saturating_mul(factor);
        let full = || TokenBucket::new(per_second, per_second.saturating_mul(2), now_ms);
        self.buckets.entry(network).or_insert_with(full)
    }

    /// Forgets the addresses that have waited until their bucket was full.
    pub(crate) fn sweep(&mut self, now_ms: u64) {
        self.buckets.retain(|_, bucket| !bucket.is_full(now_ms));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_and_refills() {
        let mut bucket = TokenBucket::new(2, 3, 0);
        assert_eq!((0..5).filter(|_| bucket.take(0)).count(), 3);
        assert!(!bucket.take(499));
        assert!(bucket.take(500));
        assert!(!bucket.take(501));
        assert_eq!((0..5).filter(|_| bucket.take(1_000_000)).count(), 3);
        assert!(!bucket.take(0), "a clock that runs backwards fills nothing");
        assert!(!TokenBucket::new(u32::MAX, 0, 0).take(u64::MAX));
    }

    #[test]
    fn addresses_are_counted_separately_and_forgotten_when_they_are_idle() {
        let [one, two] = ["10.0.0.1", "10.0.0.2"].map(|address| address.parse().unwrap());
        let mut buckets = AddressBuckets::new(5);
        assert_eq!((0..20).filter(|_| buckets.take(one, 0)).count(), 10);
        assert!(buckets.take(two, 0));
        buckets.sweep(1000);
        assert_eq!(buckets.buckets.len(), 1, "the other one is not full yet");
        assert_eq!((0..20).filter(|_| buckets.take(one, 1000)).count(), 5);
        buckets.sweep(3000);
        assert!(buckets.buckets.is_empty());
    }

    #[test]
    fn many_networks_of_one_customer_share_what_its_widest_may() {
        let at = |network: u16| IpAddr::V6([0x2001, 0xdb8, 1, network, 0, 0, 0, 1].into());
        let mut buckets = AddressBuckets::new(5);
        assert_eq!((0..20).filter(|_| buckets.take(at(0), 0)).count(), 10);
        assert_eq!((1..200).filter(|network| buckets.take(at(*network), 0)).count(), 10, "the rest of the /56");
        assert_eq!((1..200).filter(|network| buckets.take(at(network << 8), 0)).count(), 20, "the rest of the /48");
        assert_eq!((0..20).filter(|_| buckets.take("10.0.0.1".parse().unwrap(), 0)).count(), 10);
        buckets.sweep(4000);
        assert!(buckets.buckets.is_empty());
    }
}
