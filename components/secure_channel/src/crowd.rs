//! Who is there from which network, and who has to go when there are too many: decisions only.

use crate::network::{Network, networks};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Members, each with an address and a number of its own that grows, so that the first of a network is its oldest.
#[derive(Debug, Default)]
pub struct Crowd {
    networks: BTreeMap<Network, BTreeSet<u64>>,
    total: usize,
}

impl Crowd {
    /// How many there are.
    pub fn total(&self) -> usize {
        self.total
    }

    /// One more. `number` was never used before.
    pub fn enter(&mut self, address: IpAddr, number: u64) {
        self.total += 1;
        for network in networks(address) {
            self.networks.entry(network).or_default().insert(number);
        }
    }

    /// The member that came from `address` as `number` is gone. Nothing happens when it was gone before.
    pub fn leave(&mut self, address: IpAddr, number: u64) {
        let mut was_there = false;
        for network in networks(address) {
            if let Some(members) = self.networks.get_mut(&network) {
                was_there |= members.remove(&number);
                if members.is_empty() {
                    self.networks.remove(&network);
                }
            }
        }
        self.total -= usize::from(was_there);
    }

    /// A network of `address` that has no room for one more, when one address may have `per_address_max`.
    pub fn full(&self, address: IpAddr, per_address_max: usize) -> Option<Network> {
        networks(address).find(|network| self.size(*network) >= per_address_max.saturating_mul(network.shares()))
    }

    /// The network that has most for its width; of equal ones, that of the oldest member.
    pub fn busiest(&self) -> Option<Network> {
        let rank = |(network, members): &(&Network, &BTreeSet<u64>)| {
            (load(**network, members.len()), Reverse(members.first().copied()))
        };
        self.networks.iter().max_by_key(rank).map(|(network, _)| *network)
    }

    /// Where a newcomer from `address` can have a place when all are taken: the busiest network, unless one of the
    /// newcomer's own would then have as much for its width.
    pub fn busier_than(&self, address: IpAddr) -> Option<Network> {
        let own = networks(address).map(|network| load(network, self.size(network) + 1)).max();
        self.busiest().filter(|network| Some(load(*network, self.size(*network))) > own)
    }

    /// The member of a network that came first.
    pub fn oldest(&self, network: Network) -> Option<u64> {
        self.networks.get(&network)?.first().copied()
    }

    /// The member of a network that came last.
    pub fn newest(&self, network: Network) -> Option<u64> {
        self.networks.get(&network)?.last().copied()
    }

    fn size(&self, network: Network) -> usize {
        self.networks.get(&network).map_or(0, BTreeSet::len)
    }
}

/// What so many members are for the width of their network, in quarters of a member of one address.
fn load(network: Network, members: usize) -> usize {
    members.saturating_mul(4) / network.shares()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Somebody with a /48 gives each connection a /64 of its own; somebody else has three at one address.
    fn crowd_of_a_site(connections: u64) -> Crowd {
        let mut crowd = Crowd::default();
        for number in 1..=3 {
            crowd.enter(address("192.0.2.1"), number);
        }
        for number in 0..connections {
            crowd.enter(address(&format!("2001:db8:0:{:x}::1", number * 0x80)), 10 + number);
        }
        crowd
    }

    #[test]
    fn a_site_with_many_small_networks_is_one_party() {
        let crowd = crowd_of_a_site(100);
        let busiest = crowd.busiest().unwrap();
        assert_eq!(crowd.newest(busiest), Some(109));
        assert_eq!(crowd.oldest(busiest), Some(10));
        assert_eq!(crowd.full(address("2001:db8:0:ffff::"), 25), Some(busiest));
        assert_eq!(crowd.full(address("2001:db8:0:ffff::"), 26), None);
        assert_eq!(crowd.full(address("2001:db8:1:ffff::"), 1), None);
        // With no more than its width allows it is not busier than the three of one address.
        assert_eq!(crowd_of_a_site(6).newest(crowd_of_a_site(6).busiest().unwrap()), Some(3));
    }

    #[test]
    fn only_a_busier_network_gives_a_place_up() {
        let crowd = crowd_of_a_site(0);
        assert!(crowd.busier_than(address("192.0.2.2")).is_some());
        assert_eq!(crowd.busier_than(address("192.0.2.1")), None, "its own is the busiest");
        let mut crowd = Crowd::default();
        crowd.enter(address("192.0.2.1"), 1);
        crowd.enter(address("192.0.2.2"), 2);
        assert_eq!(crowd.busier_than(address("192.0.2.3")), None, "nobody has more than it would have");
        crowd.enter(address("192.0.2.1"), 3);
        assert!(crowd.busier_than(address("192.0.2.3")).is_some());
        assert_eq!(crowd.busier_than(address("192.0.2.2")), None, "it would have as many");
    }

    #[test]
    fn nothing_is_left_of_those_who_have_gone() {
        let mut crowd = crowd_of_a_site(300);
        for number in 0..300 {
            for _ in 0..2 {
                crowd.leave(address(&format!("2001:db8:0:{:x}::1", number * 0x80)), 10 + number);
            }
        }
        assert_eq!(crowd.total(), 3);
        for number in 1..=3 {
            crowd.leave(address("192.0.2.1"), number);
        }
        assert!(crowd.total() == 0 && crowd.networks.is_empty());
    }
}
