//! Who holds how much of what all share, and who gives way when it is full.
//!
//! A key costs nothing, so a bound on each node bounds nobody: whoever wants to fill a server makes more keys. What a
//! stranger cannot make at will are network addresses, and neighbours whom the operator trusts. So everything counts
//! against the address that a node has published from, in each of its [networks], or against the neighbour that has
//! passed it on; each of these parties has a bound of its own, and all together have one.
//!
//! Where a bound is reached nobody is refused because of what others hold: the party gives way that is fullest, measured
//! by its own bound, and in it the node that holds most. Among equals it is the one that has said nothing for longest, by
//! the order in which this server has heard them: clocks of nodes have no say.

use crate::networks::{Network, networks};
use offst_crypto::PublicKey;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Whose share what a node has published counts against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Nobody's: in a world without addresses.
    Nowhere,
    /// The node itself has published from here.
    Address(IpAddr),
    /// Only this neighbour has told of it.
    Neighbour(PublicKey),
}

/// An amount of everything that is shared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// Nodes, or connections of nodes.
    pub(crate) nodes: usize,
    pub(crate) edges: usize,
    /// Of signed updates.
    pub(crate) bytes: usize,
}

impl Held {
    fn combined(self, other: Held, combine: impl Fn(usize, usize) -> usize) -> Held {
        Held {
            nodes: combine(self.nodes, other.nodes),
            edges: combine(self.edges, other.edges),
            bytes: combine(self.bytes, other.bytes),
        }
    }

    fn plus(self, other: Held) -> Held {
        self.combined(other, |one, other| one.saturating_add(other))
    }

    fn minus(self, other: Held) -> Held {
        self.combined(other, |one, other| one.saturating_sub(other))
    }

    fn times(self, factor: usize) -> Held {
        self.combined(self, |one, _| one.saturating_mul(factor))
    }

    /// Whether nothing of it is more than `bound`.
    pub(crate) fn fits(self, bound: Held) -> bool {
        self.nodes <= bound.nodes && self.edges <= bound.edges && self.bytes <= bound.bytes
    }

    /// How full `bound` is with it: 2^32 is full.
    fn fill(self, bound: Held) -> u64 {
        let part = |held: usize, bound: usize| (held as u64).saturating_mul(1 << 32) / (bound.max(1) as u64);
        let edges = part(self.edges, bound.edges);
        part(self.nodes, bound.nodes).max(edges).max(part(self.bytes, bound.bytes))
    }
}

/// What may be held at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) everybody: Held,
    /// Of one address; wider networks have [more](Network::factor).
    pub(crate) address: Held,
    pub(crate) neighbour: Held,
    /// Only to say which node holds most.
    pub(crate) node: Held,
}

/// Whoever has a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Party {
    Everybody,
    /// All addresses together. They may hold everything; but as soon as they hold more than half of it, they count as
    /// fuller than a neighbour that is within its bound. So whoever has many addresses pushes nobody out of what neighbours
    /// have told; nor do neighbours push out addresses that hold less than half.
    Addresses,
    Network(Network),
    Neighbour(PublicKey),
}

/// A part of a party's share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Member {
    Party(Party),
    Node(PublicKey),
}

/// Where a member stands among those of its party; the last one gives way first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    fill: u64,
    heard: Reverse<u64>,
    member: Member,
}

#[derive(Debug, Default)]
struct Share {
    held: Held,
    /// The last time that a node of it was heard.
    heard: u64,
    members: BTreeSet<Place>,
}

/// What one node holds, and for whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holding {
    pub(crate) node: PublicKey,
    pub(crate) origin: Origin,
    pub(crate) held: Held,
    /// When it was heard last: grows with every word of anybody.
    pub(crate) heard: u64,
}

/// How hard a holding may press others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// What a neighbour tells: only a fuller one gives way. So whatever two servers send each other, nothing is pushed out
    /// and told again without end.
    Heard,
    /// A node is here itself: others that come from quite elsewhere and are as full give way, too. Not so those of the same
    /// address or network, where keys cost nothing: what was pushed out here neighbours still hold, and whoever could make
    /// room with keys alone would fill his server's share at all of them.
    Present,
    /// A node says again what is known: somebody always gives way.
    Renewal,
}

/// Whether there is room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    Free,
    /// There is when this node is forgotten; then ask again.
    GivesWay(PublicKey),
    /// This party is full, and nobody in it holds more than whoever asks.
    Lacks(Party),
}

/// What nodes hold, by party.
#[derive(Debug)]
pub(crate) struct Shares {
    bounds: Bounds,
    shares: BTreeMap<Party, Share>,
}

impl Shares {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Shares { bounds, shares: BTreeMap::new() }
    }

    /// What all hold together.
    pub(crate) fn total(&self) -> Held {
        self.held(&Party::Everybody)
    }

    /// Whether a party of this origin, or everybody together, holds as much as it may.
    pub(crate) fn is_full(&self, origin: Origin) -> bool {
        path(origin).iter().any(|party| {
            let (held, bound) = (self.held(party), self.bound(party));
            held.nodes >= bound.nodes || held.edges >= bound.edges || held.bytes >= bound.bytes
        })
    }

    /// A node, which held nothing before, holds this.
    pub(crate) fn take(&mut self, holding: &Holding) {
        self.change(holding, true);
    }

    /// A node holds nothing any more; this it held before.
    pub(crate) fn give_back(&mut self, holding: &Holding) {
        self.change(holding, false);
    }

    /// Whether a node, which holds nothing so far, may hold this.
    pub(crate) fn room(&self, wanted: &Holding, claim: Claim) -> Room {
        let path = path(wanted.origin);
        let is_too_much = |party: &Party| !self.held(party).plus(wanted.held).fits(self.bound(party));
        let Some(depth) = path.iter().rposition(is_too_much) else { return Room::Free };
        let found = self.gives_way(&path[depth..], wanted, claim);
        let found = found.or_else(|| match claim {
            Claim::Renewal => self.fullest_node(Member::Party(path[depth])),
            Claim::Present | Claim::Heard => None,
        });
        found.map_or(Room::Lacks(path[depth]), Room::GivesWay)
    }

    /// Who gives way in the first party of a path to the one who asks.
    fn gives_way(&self, path: &[Party], wanted: &Holding, claim: Claim) -> Option<PublicKey> {
        for (party, next) in path.iter().zip(&path[1..]) {
            let own = self.fill(next, self.held(next).plus(wanted.held));
            let members = self.shares.get(party)?.members.iter().rev();
            let fullest = members.copied().find(|place| place.member != Member::Party(*next));
            let may_equals = claim == Claim::Renewal || (claim == Claim::Present && is_wide(party));
            let gives_way = |place: &Place| place.fill > own || (place.fill == own && may_equals);
            if let Some(place) = fullest.filter(gives_way) {
                return self.fullest_node(place.member);
            }
        }
        let fullest = self.shares.get(path.last()?)?.members.last()?;
        let gives_way = fullest.fill > wanted.held.fill(self.bounds.node) || claim == Claim::Renewal;
        if gives_way { self.fullest_node(fullest.member) } else { None }
    }

    fn fullest_node(&self, mut member: Member) -> Option<PublicKey> {
        loop {
            match member {
                Member::Node(node) => return Some(node),
                Member::Party(party) => member = self.shares.get(&party)?.members.last()?.member,
            }
        }
    }

    pub(crate) fn held(&self, party: &Party) -> Held {
        self.shares.get(party).map(|share| share.held).unwrap_or_default()
    }

    fn bound(&self, party: &Party) -> Held {
        match party {
            Party::Everybody | Party::Addresses => self.bounds.everybody,
            Party::Network(network) => self.bounds.address.times(network.factor()),
            Party::Neighbour(_) => self.bounds.neighbour,
        }
    }

    /// How full a party counts that holds this.
    fn fill(&self, party: &Party, held: Held) -> u64 {
        let fill = held.fill(self.bound(party));
        if *party == Party::Addresses { fill.saturating_mul(2) } else { fill }
    }

    /// Takes or gives back in all parties that a holding counts against, and puts each in its place in the wider one.
    fn change(&mut self, holding: &Holding, is_taken: bool) {
        let Holding { node, origin, held, heard } = *holding;
        let place = Place { fill: held.fill(self.bounds.node), heard: Reverse(heard), member: Member::Node(node) };
        let (mut before, mut after) = if is_taken { (None, Some(place)) } else { (Some(place), None) };
        for party in path(origin).into_iter().rev() {
            let mut share = self.shares.remove(&party).unwrap_or_default();
            let place = |share: &Share| {
                let (fill, heard) = (self.fill(&party, share.held), Reverse(share.heard));
                (!share.members.is_empty()).then_some(Place { fill, heard, member: Member::Party(party) })
            };
            let own_before = place(&share);
            if let Some(before) = before {
                share.members.remove(&before);
            }
            share.members.extend(after);
            if is_taken {
                share.held = share.held.plus(held);
                share.heard = share.heard.max(heard);
            } else {
                share.held = share.held.minus(held);
            }
            (before, after) = (own_before, place(&share));
            if !share.members.is_empty() {
                self.shares.insert(party, share);
            }
        }
    }

    /// Parties that hold something.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.shares.len()
    }
}

/// Whether those in it have nothing to do with each other.
fn is_wide(party: &Party) -> bool {
    matches!(party, Party::Everybody | Party::Addresses)
}

/// The parties that something counts against, from all to the narrowest.
fn path(origin: Origin) -> Vec<Party> {
    let mut path = vec![Party::Everybody];
    match origin {
        Origin::Nowhere => {}
        Origin::Address(address) => {
            path.push(Party::Addresses);
            path.extend(networks(address).into_iter().map(Party::Network));
        }
        Origin::Neighbour(neighbour) => path.push(Party::Neighbour(neighbour)),
    }
    path
}

#[cfg(test)]
mod tests;
