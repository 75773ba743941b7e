//! How many members each network has, for example connections, and which one has to leave when there are too many: decisions
//! only.

use crate::network::{Network, networks};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The members of networks. Each has an address and a number; numbers grow, so the smallest of a network is its oldest member.
#[derive(Debug, Default)]
pub struct Occupancy {
    networks: BTreeMap<Network, BTreeSet<u64>>,
    total: usize,
}

impl Occupancy {
    /// The number of all members.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Adds a member. `number` was never used before.
    pub fn insert(&mut self, address: IpAddr, number: u64) {
        self.total += 1;
        for network in networks(address) {
            self.networks.entry(network).or_default().insert(number);
        }
    }

    /// Removes the member `number` from `address`. Nothing happens when it is not there.
    pub fn remove(&mut self, address: IpAddr, number: u64) {
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

    /// A network of `address` that has no room for one more member, when one address may have `per_address_max`.
    pub fn full(&self, address: IpAddr, per_address_max: usize) -> Option<Network> {
        networks(address).find(|network| self.size(*network) >= per_address_max.saturating_mul(network.shares()))
    }

    /// The network that has most members for its width; of equal ones, that of the oldest member.
    pub fn busiest(&self) -> Option<Network> {
        let rank = |(network, members): &(&Network, &BTreeSet<u64>)| {
            (density(**network, members.len()), Reverse(members.first().copied()))
        };
        self.networks.iter().max_by_key(rank).map(|(network, _)| *network)
    }

    /// The network that makes room for a new member from `address` when there are too many: the busiest one, unless one of the
    /// new member's own would then have as many for its width.
    pub fn busier_than(&self, address: IpAddr) -> Option<Network> {
        let own = networks(address).map(|network| density(network, self.size(network) + 1)).max();
        self.busiest().filter(|network| Some(density(*network, self.size(*network))) > own)
    }

    /// The oldest member of a network.
    pub fn oldest(&self, network: Network) -> Option<u64> {
        self.networks.get(&network)?.first().copied()
    }

    /// The newest member of a network.
    pub fn newest(&self, network: Network) -> Option<u64> {
        self.networks.get(&network)?.last().copied()
    }

    fn size(&self, network: Network) -> usize {
        self.networks.get(&network).map_or(0, BTreeSet::len)
    }
}

/// So many members in relation to the width of their network, in quarters of a member of one address.
fn density(network: Network, members: usize) -> usize {
    members.saturating_mul(4) / network.shares()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// One site with a /48 uses a /64 for each connection; three more members are at one address.
    fn occupancy_of_a_site(connections: u64) -> Occupancy {
        let mut occupancy = Occupancy::default();
        for number in 1..=3 {
            occupancy.insert(address("192.0.2.1"), number);
        }
        for number in 0..connections {
            occupancy.insert(address(&format!("2001:db8:0:{:x}::1", number * 0x80)), 10 + number);
        }
        occupancy
    }

    #[test]
    fn a_site_with_many_small_networks_counts_as_one() {
        let occupancy = occupancy_of_a_site(100);
        let busiest = occupancy.busiest().unwrap();
        assert_eq!(occupancy.newest(busiest), Some(109));
        assert_eq!(occupancy.oldest(busiest), Some(10));
        assert_eq!(occupancy.full(address("2001:db8:0:ffff::"), 25), Some(busiest));
        assert_eq!(occupancy.full(address("2001:db8:0:ffff::"), 26), None);
        assert_eq!(occupancy.full(address("2001:db8:1:ffff::"), 1), None);
        // With no more than its width allows it is not busier than the three of one address.
        assert_eq!(occupancy_of_a_site(6).newest(occupancy_of_a_site(6).busiest().unwrap()), Some(3));
    }

    #[test]
    fn only_a_busier_network_makes_room() {
        let occupancy = occupancy_of_a_site(0);
        assert!(occupancy.busier_than(address("192.0.2.2")).is_some());
        assert_eq!(occupancy.busier_than(address("192.0.2.1")), None, "its own is the busiest");
        let mut occupancy = Occupancy::default();
        occupancy.insert(address("192.0.2.1"), 1);
        occupancy.insert(address("192.0.2.2"), 2);
        assert_eq!(occupancy.busier_than(address("192.0.2.3")), None, "none has more than it would have");
        occupancy.insert(address("192.0.2.1"), 3);
        assert!(occupancy.busier_than(address("192.0.2.3")).is_some());
        assert_eq!(occupancy.busier_than(address("192.0.2.2")), None, "it would have as many");
    }

    #[test]
    fn nothing_is_left_of_members_that_are_gone() {
        let mut occupancy = occupancy_of_a_site(300);
        for number in 0..300 {
            for _ in 0..2 {
                occupancy.remove(address(&format!("2001:db8:0:{:x}::1", number * 0x80)), 10 + number);
            }
        }
        assert_eq!(occupancy.total(), 3);
        for number in 1..=3 {
            occupancy.remove(address("192.0.2.1"), number);
        }
        assert!(occupancy.total() == 0 && occupancy.networks.is_empty());
    }
}
