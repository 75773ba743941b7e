//! The networks that an address belongs to, each of which is counted on its own.
//!
//! A stranger cannot make IPv4 addresses at will, so each is one party. Of IPv6 a customer is given a /64 at least, mostly
//! a /56, often a /48: who counts only /64s gives one customer 65,536 shares. So all three are counted, and a wider network
//! may hold more than one narrower one in it, but not as much as all of them together.

use offst_secure_channel::address_group;
use std::net::{IpAddr, Ipv6Addr};

/// A wide network's bound is so many times that of one address.
const WIDTHS: [(u8, usize); 3] = [(48, 4), (56, 2), (64, 1)];

/// What counts as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Its bounds are those of one address so many times.
    pub(crate) fn factor(&self) -> usize {
        WIDTHS
            .iter()
            .find(|(prefix, _)| self.address.is_ipv6() && *prefix == self.prefix)
            .map_or(1, |(_, factor)| *factor)
    }
}

/// The networks of an address, from the widest to the narrowest: one for IPv4; /48, /56 and /64 for IPv6.
pub(crate) fn networks(address: IpAddr) -> Vec<Network> {
    match address_group(address) {
        IpAddr::V4(address) => vec![Network { address: address.into(), prefix: 32 }],
        IpAddr::V6(address) => {
            let network = |(prefix, _)| {
                let bits = address.to_bits() & (u128::MAX << (128 - u32::from(prefix)));
                Network { address: Ipv6Addr::from_bits(bits).into(), prefix }
            };
            WIDTHS.into_iter().map(network).collect()
        }
    }
}

/// The widest network of an address.
pub(crate) fn widest(address: IpAddr) -> Network {
    networks(address)[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(address: &str) -> Vec<(String, u8, usize)> {
        let networks = networks(address.parse().unwrap()).into_iter();
        networks.map(|network| (network.address.to_string(), network.prefix, network.factor())).collect()
    }

    #[test]
    fn an_address_of_ipv6_belongs_to_three_networks_and_one_of_ipv4_to_one() {
        let expected = [("2001:db8:1::", 48, 4), ("2001:db8:1:200::", 56, 2), ("2001:db8:1:203::", 64, 1)];
        let expected = expected.map(|(address, prefix, factor)| (address.to_owned(), prefix, factor));
        assert_eq!(of("2001:db8:1:203:4:5:6:7"), expected);
        assert_eq!(of("10.1.2.3"), [("10.1.2.3".to_owned(), 32, 1)]);
        assert_eq!(of("::ffff:10.1.2.3"), of("10.1.2.3"), "as a socket for both families sees it");
        assert_eq!(widest("2001:db8:1:203::9".parse().unwrap()), widest("2001:db8:1:ff00::".parse().unwrap()));
    }
}
