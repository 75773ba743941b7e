//! What one search for a path asks: from where to where, for which amount, over which edges.

use super::cost::Cost;
use super::overlay::Overlay;
use crate::graph::{CurrencyGraph, Direction, PackedRate, unpack};
use offst_proto::Amount;

/// Prices of hops are so many parts of a credit.
pub(crate) const PRICE_UNIT: u128 = 64;

/// Asks for the cheapest path.
#[derive(Debug, Clone)]
pub(crate) struct PathQuery<'a> {
    pub(crate) graph: &'a CurrencyGraph,
    pub(crate) now_ms: u64,
    /// What is delivered to the destination, credits.
    pub(crate) amount: u128,
    pub(crate) source: u32,
    /// The source itself: a cycle.
    pub(crate) destination: u32,
    /// The nodes that may come first after the source.
    pub(crate) first: EndNodes,
    /// The nodes that may come last before the destination.
    pub(crate) last: EndNodes,
    /// Nodes that must not be passed.
    pub(crate) excluded: &'a [u32],
    pub(crate) overlay: &'a Overlay,
    /// Most hops of the path.
    pub(crate) hops: usize,
    /// Only paths with lower fees, or as low and fewer hops, are of interest.
    pub(crate) below: Option<(u128, usize)>,
    /// None for the cheapest path. Otherwise the fees are those of the bare amount, and each hop counts so many
    /// [`PRICE_UNIT`]ths of a credit beside its fee: then short paths are found.
    pub(crate) hop_price: Option<u128>,
}

/// Some friends of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndNodes {
    All,
    Only(u32),
    AllBut(u32),
    /// Those at whose position in the node's list of friends this bit has this value.
    Half {
        bit: u32,
        value: bool,
    },
}

/// A path and what it costs. The amount is the query's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path {
    /// The nodes after the source; the last is the destination.
    pub(crate) nodes: Vec<u32>,
    /// What all mediators take, credits.
    pub(crate) fees: u128,
}

impl PathQuery<'_> {
    /// What leaves a node that is `cost` away from the destination, credits.
    #[inline]
    pub(crate) fn leaving<K: Cost>(&self, cost: K) -> u128 {
        match self.hop_price {
            None => self.amount + cost.fees(),
            Some(_) => self.amount,
        }
    }

    /// What one hop for which a mediator takes `fee` adds. None when it does not fit into the cost.
    #[inline]
    pub(crate) fn hop_cost<K: Cost>(&self, fee: u128) -> Option<K> {
        match self.hop_price {
            None => K::new(fee, 1),
            Some(price) => K::new(fee * PRICE_UNIT + price, 1),
        }
    }

    pub(crate) fn is_cycle(&self) -> bool {
        self.source == self.destination
    }

    /// Whether the path may begin with `node`.
    pub(crate) fn may_be_first(&self, node: u32) -> bool {
        self.is_among(self.first, self.source, node)
    }

    /// Whether the path may end with `node` before the destination.
    pub(crate) fn may_be_last(&self, node: u32) -> bool {
        self.is_among(self.last, self.destination, node)
    }

    fn is_among(&self, friends: EndNodes, of: u32, node: u32) -> bool {
        match friends {
            EndNodes::All => true,
            EndNodes::Only(one) => node == one,
            EndNodes::AllBut(one) => node != one,
            EndNodes::Half { bit, value } => {
                let position =
                    self.graph.arcs(of).binary_search_by_key(&node, |arc| arc.friend()).unwrap_or_else(|p| p);
                (position >> bit & 1 == 1) == value
            }
        }
    }

    /// What a direction holds for this query, credits.
    /// (R5.8.)
    pub(crate) fn capacity(&self, from: u32, to: u32, direction: Direction) -> u128 {
        let capacity = unpack(direction.capacity);
        if self.overlay.touches(from) { self.overlay.left(from, to, capacity) } else { capacity }
    }

    /// What one hop holds and what the receiver takes when it forwards; none when it does not exist or has expired.
    pub(crate) fn hop(&self, from: u32, to: u32) -> Option<(u128, PackedRate)> {
        let direction = self.graph.arc(to, from)?.inward();
        let is_fresh = self.graph.all_fresh(to, self.now_ms) || self.graph.is_fresh(to, from, self.now_ms);
        is_fresh.then(|| (self.capacity(from, to, direction), self.graph.rates()[direction.rate as usize]))
    }

    /// What leaves the source for `amount` to arrive along `nodes`, and none when a hop does not hold its part. No hop
    /// may occur twice.
    pub(crate) fn total(&self, nodes: &[u32], amount: u128) -> Option<u128> {
        let mut carried = amount;
        for position in (0..nodes.len()).rev() {
            let from = if position == 0 { self.source } else { nodes[position - 1] };
            let (capacity, rate) = self.hop(from, nodes[position])?;
            if position + 1 < nodes.len() {
                carried += rate.fee(carried);
            }
            if carried > capacity.min(Amount::MAX.credits()) {
                return None;
            }
        }
        Some(carried)
    }
}
