//! How fast a connection may be read, and all connections of one address together: decisions only.
//!
//! A rate for each connection alone would not bound anybody, because one operator has as many connections as an address may
//! have. A rate for each address alone would let one of many nodes behind it stop the others. So a connection is read while
//! its address has not used up its rate, and in any case as fast as its equal share of the address's rate allows.

use crate::rate::Rate;
use offst_secure_channel::{Network, networks};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many networks are remembered before unused ones are removed.
const SWEEP_MIN: usize = 64;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What all connections of a network share.
#[derive(Debug)]
struct Shared {
    per_second: u64,
    rate: Rate,
    connections: u64,
}

#[derive(Debug)]
struct Remembered {
    networks: BTreeMap<Network, Arc<Mutex<Shared>>>,
    sweep_at: usize,
}

/// The rates of all addresses.
#[derive(Debug)]
pub(crate) struct AddressRates {
    per_connection: u64,
    per_address: u64,
    remembered: Mutex<Remembered>,
}

impl AddressRates {
    /// Bytes a second.
    pub(crate) fn new(per_connection: u64, per_address: u64) -> Self {
        let remembered = Mutex::new(Remembered { networks: BTreeMap::new(), sweep_at: SWEEP_MIN });
        AddressRates { per_connection, per_address, remembered }
    }

    /// One more connection from `address`.
    pub(crate) fn connection(&self, address: IpAddr, now_ms: u64) -> ConnectionRate {
        let mut remembered = locked(&self.remembered);
        if remembered.networks.len() >= remembered.sweep_at {
            // A network that has used up its rate does not get more by connecting again.
            remembered.networks.retain(|_, shared| {
                let mut shared = locked(shared);
                shared.connections > 0 || !shared.rate.is_full(now_ms)
            });
            remembered.sweep_at = (remembered.networks.len() * 2).max(SWEEP_MIN);
        }
        let shared = |network: Network| {
            let per_second = self.per_address.saturating_mul(network.shares() as u64);
            let new = || Shared { per_second, rate: Rate::new(per_second, now_ms), connections: 0 };
            let shared = remembered.networks.entry(network).or_insert_with(|| Arc::new(Mutex::new(new()))).clone();
            locked(&shared).connections += 1;
            shared
        };
        let networks = networks(address).map(shared).collect();
        let mut share = Rate::new(1, now_ms);
        // Empty, or each new connection would start with something to use.
        share.spend(1);
        ConnectionRate { own: Rate::new(self.per_connection, now_ms), share, networks }
    }
}

/// The rate of one connection.
#[derive(Debug)]
pub(crate) struct ConnectionRate {
    own: Rate,
    /// Its equal share of what its networks may use.
    share: Rate,
    networks: Vec<Arc<Mutex<Shared>>>,
}

impl ConnectionRate {
    /// For a connection that shares its rate with no other.
    pub(crate) fn alone(per_second: u64, now_ms: u64) -> Self {
        ConnectionRate { own: Rate::new(per_second, now_ms), share: Rate::new(per_second, now_ms), networks: vec![] }
    }

    /// Bytes were read.
    pub(crate) fn spend(&mut self, count: u64) {
        self.own.spend(count);
        self.share.spend(count);
        for shared in &self.networks {
            locked(shared).rate.spend(count);
        }
    }

    /// How many milliseconds to wait before more is read; 0: none.
    pub(crate) fn wait_ms(&mut self, now_ms: u64) -> u64 {
        let (mut of_networks, mut share) = (0, u64::MAX);
        for shared in &self.networks {
            let mut shared = locked(shared);
            of_networks = of_networks.max(shared.rate.wait_ms(now_ms));
            share = share.min(shared.per_second / shared.connections.max(1));
        }
        self.share.change(share, now_ms);
        let shared = of_networks.min(self.share.wait_ms(now_ms));
        self.own.wait_ms(now_ms).max(shared)
    }
}

impl Drop for ConnectionRate {
    fn drop(&mut self) {
        for shared in &self.networks {
            locked(shared).connections -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Reads `step` at a time whenever it may, and gives what each connection has read by `end_ms`.
    fn read(connections: &mut [(ConnectionRate, u64)], end_ms: u64) -> Vec<u64> {
        let mut totals = vec![0; connections.len()];
        for now_ms in 0..end_ms {
            for (total, (rate, step)) in totals.iter_mut().zip(connections.iter_mut()) {
                // As much in a millisecond as it may, or as it wants.
                let most = if *step == 1 { 1 } else { u64::MAX };
                let mut times = 0;
                while times < most && rate.wait_ms(now_ms) == 0 {
                    rate.spend(*step);
                    *total += *step;
                    times += 1;
                }
            }
        }
        totals
    }

    #[test]
    fn connections_of_one_address_have_no_more_together() {
        let all = AddressRates::new(1_000, 4_000);
        let of = |count: u8, text: fn(u8) -> String| {
            (0..count).map(|index| (all.connection(address(&text(index)), 0), 100)).collect::<Vec<_>>()
        };
        let seconds = 20;
        let sum = |mut connections: Vec<_>| read(&mut connections, seconds * 1000).iter().sum::<u64>();
        let one = sum(of(1, |_| "192.0.2.1".into()));
        assert!((seconds * 1_000..(seconds + 2) * 1_000).contains(&one), "{one}");
        // At most twice: the rate of the address, and the equal shares.
        let many = sum(of(20, |_| "192.0.2.2".into()));
        assert!((seconds * 4_000..(seconds + 2) * 8_000).contains(&many), "{many}");
        let apart = sum(of(20, |index| format!("192.0.3.{index}")));
        assert!(apart >= seconds * 20_000, "{apart}");
        // A site with a /64 for each connection has what its width allows.
        let site = sum(of(100, |index| format!("2001:db8:0:{index}00::1")));
        assert!(site < (seconds + 2) * 32_000, "{site}");
    }

    #[test]
    fn a_connection_that_floods_does_not_stop_another_of_its_address() {
        let all = AddressRates::new(1_000_000, 10_000);
        let mut connections: Vec<_> = (0..4).map(|_| (all.connection(address("192.0.2.1"), 0), 1_000)).collect();
        connections.push((all.connection(address("192.0.2.1"), 0), 1));
        let totals = read(&mut connections, 10_000);
        // One a millisecond is less than its equal share, which is empty in the very first one.
        assert_eq!(totals[4], 9_999);
    }

    #[test]
    fn connecting_again_gives_nothing_and_nothing_is_left_behind() {
        let all = AddressRates::new(1_000, 1_000);
        let mut first = all.connection(address("192.0.2.1"), 0);
        first.spend(5_000);
        drop(first);
        for index in 0..200u8 {
            drop(all.connection(address(&format!("192.0.3.{index}")), 0));
        }
        let mut second = all.connection(address("192.0.2.1"), 0);
        assert!(second.wait_ms(0) > 0);
        assert_eq!(second.wait_ms(1), 0, "its equal share fills from now on");
        second.spend(500);
        assert_eq!(second.wait_ms(1), 500);
        drop(second);
        for index in 0..=255u8 {
            drop(all.connection(address(&format!("192.0.4.{index}")), 100_000));
        }
        assert!(locked(&all.remembered).networks.len() <= SWEEP_MIN, "networks whose rate is full are forgotten");
    }
}
