//! Which nodes may be connected: decisions only.

use crate::address_quota::{AddressQuota, Bounds, Counts, Holding, Origin, Priority, Room};
use offst_crypto::PublicKey;
use offst_secure_channel::address_group;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A connection counts as one node.
const ONE: Counts = Counts { nodes: 1, edges: 0, bytes: 0 };

/// The connections that are open. Each node has one; a newer one replaces it. When there are too many altogether, the
/// newest one of the network that has most, measured by what it may have, is evicted.
#[derive(Debug)]
pub(crate) struct Connections<H> {
    next_number: u64,
    open: BTreeMap<PublicKey, Open<H>>,
    quota: AddressQuota,
}

#[derive(Debug)]
struct Open<H> {
    number: u64,
    group: IpAddr,
    handle: H,
}

impl<H> Open<H> {
    fn holding(&self, node: PublicKey) -> Holding {
        // The newest one counts as the one that was seen longest ago.
        Holding { node, origin: Origin::Address(self.group), counts: ONE, last_seen: u64::MAX - self.number }
    }
}

/// A connection that has begun.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Opened<H> {
    pub(crate) number: u64,
    /// The handle of an older one of the same node, which has to end.
    pub(crate) displaced: Option<H>,
    /// The handle of one of another node, which has to end, too.
    pub(crate) evicted: Option<H>,
}

/// The address, or a wider network of it, has as many connections as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its address or network has as many connections as the limits allow")]
pub(crate) struct Surplus;

impl<H> Connections<H> {
    pub(crate) fn new(total_max: usize, per_address_max: usize) -> Self {
        let bound = |nodes| Counts { nodes, edges: usize::MAX, bytes: usize::MAX };
        let (none, each) = (bound(0), bound(usize::MAX));
        let bounds =
            Bounds { all: bound(total_max.max(1)), address: bound(per_address_max), neighbour: none, node: each };
        Connections { next_number: 0, open: BTreeMap::new(), quota: AddressQuota::new(bounds) }
    }

    /// A node has connected.
    ///
    /// # Errors
    /// There is no room for another connection from there.
    /// (R5.7.)
    pub(crate) fn open(&mut self, node: PublicKey, address: IpAddr, handle: H) -> Result<Opened<H>, Surplus> {
        let open = Open { number: self.next_number, group: address_group(address), handle };
        let holding = open.holding(node);
        let old = self.open.get(&node).map(|open| open.holding(node));
        if let Some(old) = &old {
            self.quota.remove(old);
        }
        let room = self.quota.room(&holding, Priority::FromNode);
        if let Some(old) = &old {
            self.quota.add(old);
        }
        let evicted = match room {
            Room::Free => None,
            Room::Evict(other) => self.remove(&other),
            Room::Full(_) => return Err(Surplus),
        };
        let displaced = self.remove(&node);
        self.next_number += 1;
        self.quota.add(&holding);
        let number = open.number;
        self.open.insert(node, open);
        Ok(Opened { number, displaced, evicted })
    }

    /// The connection `number` of a node has ended. Does nothing when it was displaced before.
    pub(crate) fn close(&mut self, node: &PublicKey, number: u64) {
        if self.open.get(node).is_some_and(|open| open.number == number) {
            self.remove(node);
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    fn remove(&mut self, node: &PublicKey) -> Option<H> {
        let open = self.open.remove(node)?;
        self.quota.remove(&open.holding(*node));
        Some(open.handle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offst_crypto::Identity;

    fn key(seed: u8) -> PublicKey {
        Identity::from_seed([seed; 32]).public_key()
    }

    fn opened<H>(number: u64, displaced: Option<H>, evicted: Option<H>) -> Result<Opened<H>, Surplus> {
        Ok(Opened { number, displaced, evicted })
    }

    #[test]
    fn bounds_and_takeover() {
        let one: IpAddr = "10.0.0.1".parse().unwrap();
        let two: IpAddr = "10.0.0.2".parse().unwrap();
        let mut connections = Connections::new(4, 2);
        assert_eq!(connections.open(key(1), one, "a"), opened(0, None, None));
        assert_eq!(connections.open(key(2), one, "b"), opened(1, None, None));
        assert_eq!(connections.open(key(3), one, "c"), Err(Surplus));
        assert_eq!(connections.open(key(2), one, "d"), opened(2, Some("b"), None), "a node may always connect again");
        connections.close(&key(2), 1);
        assert_eq!(connections.len(), 2, "the displaced connection's end does not end the new one");
        assert_eq!(connections.open(key(1), two, "g"), opened(3, Some("a"), None), "and from elsewhere");
        for (node, number) in [(1, 3), (2, 2)] {
            connections.close(&key(node), number);
        }
        assert_eq!((connections.len(), connections.quota.len()), (0, 0));
    }

    /// Three addresses fill the server; every node from elsewhere gets a connection, and keeps it.
    /// (R5.7.)
    #[test]
    fn a_full_server_has_room_for_nodes_from_elsewhere() {
        let address = |last| IpAddr::from([10, 0, 0, last]);
        let mut connections = Connections::new(12, 4);
        for seed in 0..12 {
            assert!(connections.open(key(seed), address(seed % 3), seed).is_ok_and(|opened| opened.evicted.is_none()));
        }
        for seed in 100..109 {
            let opened = connections.open(key(seed), address(seed), seed).unwrap();
            // The newest one of the address that has most: those that were there first stay for longest.
            assert!(opened.evicted.is_some_and(|gone| (3..12).contains(&gone)), "{opened:?}");
        }
        assert_eq!(connections.len(), 12);
        assert!((0..3).all(|seed| connections.open.contains_key(&key(seed))), "each address keeps its first one");
    }

    #[test]
    fn many_networks_of_one_customer_count_as_one() {
        let at = |network: u16| IpAddr::V6([0x2001, 0xdb8, 1, network, 0, 0, 0, 1].into());
        let mut connections = Connections::new(1000, 3);
        let mut open = 0;
        for seed in 0..=255u8 {
            open += usize::from(connections.open(key(seed), at(u16::from(seed) << 8), seed).is_ok());
        }
        assert_eq!(open, 12, "four times as many as one address");
        let mut connections = Connections::new(1000, 3);
        let open = (0..=255u8).filter(|seed| connections.open(key(*seed), at((*seed).into()), *seed).is_ok()).count();
        assert_eq!(open, 6, "in a /56 twice as many");
    }
}
