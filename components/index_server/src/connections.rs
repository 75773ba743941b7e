//! Who may be connected: decisions only.

use offst_crypto::PublicKey;
use offst_secure_channel::address_group;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The connections that are open. Each node has one; a newer one takes its place.
#[derive(Debug)]
pub(crate) struct Connections<H> {
    total_max: usize,
    per_address_max: usize,
    next_number: u64,
    open: BTreeMap<PublicKey, Open<H>>,
    per_address: BTreeMap<IpAddr, usize>,
}

#[derive(Debug)]
struct Open<H> {
    number: u64,
    group: IpAddr,
    handle: H,
}

/// There is no room for another connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Surplus {
    #[error("the server has as many connections as its limit allows")]
    Total,
    #[error("the address has as many connections as the limit allows")]
    Address,
}

impl<H> Connections<H> {
    pub(crate) fn new(total_max: usize, per_address_max: usize) -> Self {
        let (open, per_address) = (BTreeMap::new(), BTreeMap::new());
        Connections { total_max, per_address_max, next_number: 0, open, per_address }
    }

    /// A node has connected. Gives the connection's number and the handle of the one it displaces.
    pub(crate) fn open(&mut self, node: PublicKey, address: IpAddr, handle: H) -> Result<(u64, Option<H>), Surplus> {
        let group = address_group(address);
        let displaced_group = self.open.get(&node).map(|open| open.group);
        if displaced_group.is_none() && self.open.len() >= self.total_max {
            return Err(Surplus::Total);
        }
        let of_group = self.per_address.get(&group).copied().unwrap_or(0);
        if displaced_group != Some(group) && of_group >= self.per_address_max {
            return Err(Surplus::Address);
        }
        let displaced = self.remove(&node);
        let number = self.next_number;
        self.next_number += 1;
        *self.per_address.entry(group).or_default() += 1;
        self.open.insert(node, Open { number, group, handle });
        Ok((number, displaced))
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
        if let Some(count) = self.per_address.get_mut(&open.group) {
            *count -= 1;
            if *count == 0 {
                self.per_address.remove(&open.group);
            }
        }
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

    #[test]
    fn bounds_and_takeover() {
        let one: IpAddr = "10.0.0.1".parse().unwrap();
        let two: IpAddr = "10.0.0.2".parse().unwrap();
        let mut connections = Connections::new(3, 2);
        assert_eq!(connections.open(key(1), one, "a"), Ok((0, None)));
        assert_eq!(connections.open(key(2), one, "b"), Ok((1, None)));
        assert_eq!(connections.open(key(3), one, "c"), Err(Surplus::Address));
        assert_eq!(connections.open(key(2), one, "d"), Ok((2, Some("b"))), "a node may always come back");
        connections.close(&key(2), 1);
        assert_eq!(connections.len(), 2, "the displaced connection's end does not end the new one");
        assert_eq!(connections.open(key(3), two, "e"), Ok((3, None)));
        assert_eq!(connections.open(key(4), two, "f"), Err(Surplus::Total));
        assert_eq!(connections.open(key(1), two, "g"), Ok((4, Some("a"))));
        for (node, number) in [(1, 4), (2, 2), (3, 3)] {
            connections.close(&key(node), number);
        }
        assert!(connections.len() == 0 && connections.per_address.is_empty());
    }
}
