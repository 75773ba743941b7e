//! Networks: which addresses share a limit.

use std::net::{IpAddr, Ipv6Addr};

/// Addresses that share a limit, because one customer may have all of them: an IPv4 address, or an IPv6 network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network {
    first: IpAddr,
    bits: u8,
}

impl Network {
    /// How many times the limit of one address the whole network may have: a wide one belongs to many users, or to a large
    /// one.
    pub fn shares(self) -> usize {
        match self.bits {
            48 => 4,
            56 => 2,
            _ => 1,
        }
    }
}

/// What counts as one address: an IPv4 address, or the /64 of an IPv6 address, because one customer has a whole /64.
pub fn address_group(address: IpAddr) -> IpAddr {
    network(address, 64).first
}

/// The networks in which an address is counted, the smallest first: an IPv4 address alone; of an IPv6 address the /64, the
/// /56 and the /48, because many customers have 256 or 65,536 times a /64.
pub fn networks(address: IpAddr) -> impl DoubleEndedIterator<Item = Network> {
    let bits: &[u8] = if address.to_canonical().is_ipv4() { &[32] } else { &[64, 56, 48] };
    bits.iter().map(move |bits| network(address, *bits))
}

/// The largest of them.
pub fn widest_network(address: IpAddr) -> Network {
    network(address, 48)
}

/// `bits` counts for IPv6 only.
fn network(address: IpAddr, bits: u8) -> Network {
    match address.to_canonical() {
        IpAddr::V4(address) => Network { first: address.into(), bits: 32 },
        IpAddr::V6(address) => {
            let first = Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - bits)));
            Network { first: first.into(), bits }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(address: &str) -> Vec<Network> {
        networks(address.parse().unwrap()).collect()
    }

    #[test]
    fn neighbours_share_the_networks_that_both_are_in() {
        let shared = |one: &str, other: &str| of(one).iter().filter(|network| of(other).contains(network)).count();
        assert_eq!(shared("2001:db8:1:2:3::4", "2001:db8:1:2:5::6"), 3);
        assert_eq!(shared("2001:db8:1:2::", "2001:db8:1:3::"), 2);
        assert_eq!(shared("2001:db8:1:2::", "2001:db8:1:102::"), 1);
        assert_eq!(shared("2001:db8:1:2::", "2001:db8:2:2::"), 0);
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_eq!(shared("192.0.2.1", "192.0.2.2"), 0);
        assert_eq!(of("192.0.2.1").len(), 1);
        for address in ["192.0.2.1", "2001:db8:1:2::"] {
            assert_eq!(of(address).last(), Some(&widest_network(address.parse().unwrap())));
        }
    }

    #[test]
    fn a_wider_network_has_more_shares() {
        assert_eq!(of("2001:db8::1").iter().map(|network| network.shares()).collect::<Vec<_>>(), [1, 2, 4]);
        assert_eq!(of("192.0.2.1")[0].shares(), 1);
    }

    #[test]
    fn one_customer_is_one_group() {
        let group = |text: &str| address_group(text.parse().unwrap()).to_string();
        assert_eq!(group("10.0.0.1"), "10.0.0.1");
        assert_eq!(group("::ffff:10.0.0.1"), "10.0.0.1");
        assert_eq!(group("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }
}
