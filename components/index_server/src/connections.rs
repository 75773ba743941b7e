//! Who may be connected: decisions only.

use crate::shares::{Bounds, Claim, Held, Holding, Origin, Room, Shares};
use offst_crypto::PublicKey;
use offst_secure_channel::address_group;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A connection counts as one node.
const ONE: Held = Held { nodes: 1, edges: 0, bytes: 0 };

/// The connections that are open. Each node has one; a newer one takes its place. When there are too many altogether the
/// newest one goes of the network that has most, measured by what one may have.
#[derive(Debug)]
pub(crate) struct Connections<H> {
    next_number: u64,
    open: BTreeMap<PublicKey, Open<H>>,
    shares: Shares,
}

#[derive(Debug)]
struct Open<H> {
    number: u64,
    group: IpAddr,
    handle: H,
}

impl<H> Open<H> {
    fn holding(&self, node: PublicKey) -> Holding {
        // The newest one counts as the one that was heard longest ago.
        Holding { node, origin: Origin::Address(self.group), held: ONE, heard: u64::MAX - self.number }
    }
}

/// A connection that has begun.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Opened<H> {
    pub(crate) number: u64,
    /// Of the same node; has to end.
    pub(crate) displaced: Option<H>,
    /// Of another one; has to end, too.
    pub(crate) gave_way: Option<H>,
}

/// The address, or a wider network of it, has as many connections as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its address or network has as many connections as the limits allow")]
pub(crate) struct Surplus;

impl<H> Connections<H> {
    pub(crate) fn new(total_max: usize, per_address_max: usize) -> Self {
        let bound = |nodes| Held { nodes, edges: usize::MAX, bytes: usize::MAX };
        let (none, each) = (bound(0), bound(usize::MAX));
        let bounds =
            Bounds { everybody: bound(total_max.max(1)), address: bound(per_address_max), neighbour: none, node: each };
        Connections { next_number: 0, open: BTreeMap::new(), shares: Shares::new(bounds) }
    }

    /// A node has connected.
    ///
    /// # Errors
    /// There is no room for another connection from there.
    pub(crate) fn open(&mut self, node: PublicKey, address: IpAddr, handle: H) -> Result<Opened<H>, Surplus> {
        let open = Open { number: self.next_number, group: address_group(address), handle };
        let holding = open.holding(node);
        let old = self.open.get(&node).map(|open| open.holding(node));
        if let Some(old) = &old {
            self.shares.give_back(old);
        }
        let room = self.shares.room(&holding, Claim::Present);
        if let Some(old) = &old {
            self.shares.take(old);
        }
        let gave_way = match room {
            Room::Free => None,
            Room::GivesWay(other) => self.remove(&other),
            Room::Lacks(_) => return Err(Surplus),
        };
        let displaced = self.remove(&node);
        self.next_number += 1;
        self.shares.take(&holding);
        let number = open.number;
        self.open.insert(node, open);
        Ok(Opened { number, displaced, gave_way })
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
        self.shares.give_back(&open.holding(*node));
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

    fn opened<H>(number: u64, displaced: Option<H>, gave_way: Option<H>) -> Result<Opened<H>, Surplus> {
        Ok(Opened { number, displaced, gave_way })
    }

    #[test]
    fn bounds_and_takeover() {
        let one: IpAddr = "10.0.0.1".parse().unwrap();
        let two: IpAddr = "10.0.0.2".parse().unwrap();
        let mut connections = Connections::new(4, 2);
        assert_eq!(connections.open(key(1), one, "a"), opened(0, None, None));
        assert_eq!(connections.open(key(2), one, "b"), opened(1, None, None));
        assert_eq!(connections.open(key(3), one, "c"), Err(Surplus));
        assert_eq!(connections.open(key(2), one, "d"), opened(2, Some("b"), None), "a node may always come back");
        connections.close(&key(2), 1);
        assert_eq!(connections.len(), 2, "the displaced connection's end does not end the new one");
        assert_eq!(connections.open(key(1), two, "g"), opened(3, Some("a"), None), "and from elsewhere");
        for (node, number) in [(1, 3), (2, 2)] {
            connections.close(&key(node), number);
        }
        assert_eq!((connections.len(), connections.shares.len()), (0, 0));
    }

    /// Three addresses fill the server; everybody else gets a connection, and keeps it.
    #[test]
    fn a_full_server_has_room_for_whoever_comes_from_elsewhere() {
        let address = |last| IpAddr::from([10, 0, 0, last]);
        let mut connections = Connections::new(12, 4);
        for seed in 0..12 {
            assert!(connections.open(key(seed), address(seed % 3), seed).is_ok_and(|opened| opened.gave_way.is_none()));
        }
        for seed in 100..109 {
            let opened = connections.open(key(seed), address(seed), seed).unwrap();
            // The newest one of the address that has most: those that were there first stay for longest.
            assert!(opened.gave_way.is_some_and(|gone| gone >= 3 && gone < 12), "{opened:?}");
        }
        assert_eq!(connections.len(), 12);
        assert!((0..3).all(|seed| connections.open.contains_key(&key(seed))), "each address keeps its first one");
        // One more of an address that has some is one of the largest itself.
        let own = connections.open(key(50), address(0), 50);
        assert!(own.is_ok_and(|opened| opened.gave_way == Some(0)) || connections.len() == 12);
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
