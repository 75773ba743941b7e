//! What the nodes at one network address may hold together.
//!
//! A key costs nothing, so a bound on each node bounds nobody: whoever wants to fill a server makes more keys. Addresses
//! are what a stranger cannot make at will.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// Nodes and edges counted by the address that they were published from.
#[derive(Debug)]
pub(crate) struct Shares {
    nodes_max: usize,
    edges_max: usize,
    held: BTreeMap<IpAddr, Share>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Share {
    nodes: usize,
    edges: usize,
}

impl Shares {
    pub(crate) fn new(nodes_max: usize, edges_max: usize) -> Self {
        Shares { nodes_max, edges_max, held: BTreeMap::new() }
    }

    /// Whether an address may hold so much more.
    pub(crate) fn has_room(&self, address: IpAddr, nodes: usize, edges: usize) -> bool {
        let held = self.held.get(&address).copied().unwrap_or_default();
        held.nodes + nodes <= self.nodes_max && held.edges + edges <= self.edges_max
    }

    pub(crate) fn take(&mut self, address: IpAddr, nodes: usize, edges: usize) {
        let held = self.held.entry(address).or_default();
        held.nodes += nodes;
        held.edges += edges;
    }

    pub(crate) fn give_back(&mut self, address: IpAddr, nodes: usize, edges: usize) {
        let held = self.held.entry(address).or_default();
        held.nodes = held.nodes.saturating_sub(nodes);
        held.edges = held.edges.saturating_sub(edges);
        if *held == Share::default() {
            self.held.remove(&address);
        }
    }

    /// Addresses that hold something.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_is_free_again() {
        let [one, two] = ["10.0.0.1", "10.0.0.2"].map(|address| address.parse().unwrap());
        let mut shares = Shares::new(2, 10);
        shares.take(one, 1, 8);
        assert!(shares.has_room(one, 1, 2) && !shares.has_room(one, 0, 3) && !shares.has_room(one, 2, 0));
        assert!(shares.has_room(two, 2, 10));
        shares.give_back(one, 0, 5);
        assert!(shares.has_room(one, 0, 7));
        shares.give_back(one, 1, 3);
        assert_eq!(shares.len(), 0);
    }
}
