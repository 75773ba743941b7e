//! The question of one search: which route, for what, over what may be used.

use super::cost::Cost;
use super::overlay::Overlay;
use crate::graph::{Direction, Layer, PackedRate, unpack};
use offst_proto::limits::AMOUNT_MAX;

/// Prices of hops are so many parts of a credit.
pub(crate) const PRICE_UNIT: u128 = 64;

/// Asks for the cheapest route.
#[derive(Debug, Clone)]
pub(crate) struct Task<'a> {
    pub(crate) layer: &'a Layer,
    pub(crate) now_ms: u64,
    /// What the destination must get, credits.
    pub(crate) amount: u128,
    pub(crate) source: u32,
    /// The source itself: a cycle.
    pub(crate) destination: u32,
    /// The nodes that may come first after the source.
    pub(crate) first: Friends,
    /// The nodes that may come last before the destination.
    pub(crate) last: Friends,
    /// Nodes that must not be passed.
    pub(crate) excluded: &'a [u32],
    pub(crate) overlay: &'a Overlay,
    /// Most hops of the route.
    pub(crate) hops: usize,
    /// Only routes with lower fees, or as low and fewer hops, are of interest.
    pub(crate) below: Option<(u128, usize)>,
    /// None for the cheapest route. Otherwise the fees are those of the bare amount, and each hop counts so many
    /// [`PRICE_UNIT`]ths of a credit beside its fee: then short routes are found.
    pub(crate) hop_price: Option<u128>,
}

/// Some friends of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Friends {
    All,
    Only(u32),
    AllBut(u32),
    /// Those at whose place in the node's list of friends this bit has this value.
    Half {
        bit: u32,
        value: bool,
    },
}

/// A route and what it costs. The amount is the task's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    /// The nodes after the source; the last is the destination.
    pub(crate) nodes: Vec<u32>,
    /// What all mediators take, credits.
    pub(crate) fees: u128,
}

/// What is left of the work that one query may cause.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    /// Arcs that may still be looked at.
    pub(crate) left: usize,
    /// A search ended before it was done.
    pub(crate) cut: bool,
}

impl Budget {
    pub(crate) fn new(work: usize) -> Self {
        Budget { left: work, cut: false }
    }

    /// Takes `work` for looking at so many arcs. False when there is not enough; then nothing is left.
    pub(crate) fn take(&mut self, work: usize) -> bool {
        match self.left.checked_sub(work) {
            Some(left) => self.left = left,
            None => {
                (self.left, self.cut) = (0, true);
                return false;
            }
        }
        true
    }

    /// Nothing more can be looked for.
    pub(crate) fn is_used_up(&self) -> bool {
        self.left == 0
    }

    /// At most `work` of what is left, for a search that must not take more. It ends with [`Budget::give_back`].
    pub(crate) fn share(&mut self, work: usize) -> Budget {
        let share = self.left.min(work);
        self.left -= share;
        Budget { left: share, cut: false }
    }

    /// What a share has left, and whether it was enough.
    pub(crate) fn give_back(&mut self, share: Budget) {
        self.left += share.left;
        self.cut |= share.cut;
    }
}

impl Task<'_> {
    /// What leaves a node that is `cost` away from the destination, credits.
    #[inline]
    pub(crate) fn leaving<K: Cost>(&self, cost: K) -> u128 {
        match self.hop_price {
            None => self.amount + cost.fees(),
            Some(_) => self.amount,
        }
    }

    /// What one hop for which a mediator takes `fee` adds. None when there is no place for it.
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

    /// Whether the route may begin with `node`.
    pub(crate) fn may_be_first(&self, node: u32) -> bool {
        self.is_among(self.first, self.source, node)
    }

    /// Whether the route may end with `node` before the destination.
    pub(crate) fn may_be_last(&self, node: u32) -> bool {
        self.is_among(self.last, self.destination, node)
    }

    fn is_among(&self, friends: Friends, of: u32, node: u32) -> bool {
        match friends {
            Friends::All => true,
            Friends::Only(one) => node == one,
            Friends::AllBut(one) => node != one,
            Friends::Half { bit, value } => {
                let place = self.layer.arcs(of).binary_search_by_key(&node, |arc| arc.friend()).unwrap_or_else(|p| p);
                (place >> bit & 1 == 1) == value
            }
        }
    }

    /// What a direction holds for this task, credits.
    pub(crate) fn capacity(&self, from: u32, to: u32, direction: Direction) -> u128 {
        let capacity = unpack(direction.capacity);
        if self.overlay.touches(from) { self.overlay.left(from, to, capacity) } else { capacity }
    }

    /// What one hop holds and what the receiver takes when it forwards; none when it does not exist or has expired.
    pub(crate) fn hop(&self, from: u32, to: u32) -> Option<(u128, PackedRate)> {
        let direction = self.layer.arc(to, from)?.inward();
        let is_fresh = self.layer.all_fresh(to, self.now_ms) || self.layer.is_fresh(to, from, self.now_ms);
        is_fresh.then(|| (self.capacity(from, to, direction), self.layer.rates()[direction.rate as usize]))
    }

    /// What leaves the source for `amount` to arrive along `nodes`, and none when a hop does not hold its part. All hops
    /// are taken to exist once only.
    pub(crate) fn total(&self, nodes: &[u32], amount: u128) -> Option<u128> {
        let mut carried = amount;
        for position in (0..nodes.len()).rev() {
            let from = if position == 0 { self.source } else { nodes[position - 1] };
            let (capacity, rate) = self.hop(from, nodes[position])?;
            if position + 1 < nodes.len() {
                carried += rate.fee(carried);
            }
            if carried > capacity.min(AMOUNT_MAX) {
                return None;
            }
        }
        Some(carried)
    }
}
