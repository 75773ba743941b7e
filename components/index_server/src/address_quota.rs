//! How much each address and each neighbour may hold of a server, and which node is evicted when it is full.
//!
//! A key costs nothing, so a bound on each node bounds nobody: an attacker that wants to fill a server makes more keys. What
//! it cannot make at will are network addresses, and neighbours that the operator trusts. So everything counts against the
//! address from which a node has published, in each of its [networks], or against the neighbour that has passed it on.
//! Each of these groups has a bound of its own, and all together have one.
//!
//! Where a bound is reached nobody is refused because of what others hold: in the group that is fullest, measured by its own
//! bound, the node that holds most is evicted. Among equals it is the one from which nothing has come for longest, in the
//! order in which this server has received updates: clocks of nodes do not matter.

use offst_crypto::PublicKey;
use offst_secure_channel::{Network, networks};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Against whose quota counts what a node has published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Nobody's: where there are no addresses.
    Nowhere,
    /// The node itself has published from this address.
    Address(IpAddr),
    /// Only this neighbour has passed it on.
    Neighbour(PublicKey),
}

/// How much of everything is held, or may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Nodes, or connections of nodes.
    pub(crate) nodes: usize,
    pub(crate) edges: usize,
    /// Of signed updates.
    pub(crate) bytes: usize,
}

impl Counts {
    fn combined(self, other: Counts, combine: impl Fn(usize, usize) -> usize) -> Counts {
        Counts {
            nodes: combine(self.nodes, other.nodes),
            edges: combine(self.edges, other.edges),
            bytes: combine(self.bytes, other.bytes),
        }
    }

    fn plus(self, other: Counts) -> Counts {
        self.combined(other, |one, other| one.saturating_add(other))
    }

    fn minus(self, other: Counts) -> Counts {
        self.combined(other, |one, other| one.saturating_sub(other))
    }

    fn times(self, factor: usize) -> Counts {
        self.combined(self, |one, _| one.saturating_mul(factor))
    }

    /// Whether none of them is above `bound`.
    pub(crate) fn fits(self, bound: Counts) -> bool {
        self.nodes <= bound.nodes && self.edges <= bound.edges && self.bytes <= bound.bytes
    }

    /// How full `bound` is with them: 2^32 is full.
    fn fill(self, bound: Counts) -> u64 {
        let part = |held: usize, bound: usize| (held as u64).saturating_mul(1 << 32) / (bound.max(1) as u64);
        let edges = part(self.edges, bound.edges);
        part(self.nodes, bound.nodes).max(edges).max(part(self.bytes, bound.bytes))
    }
}

/// The most that may be held.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) all: Counts,
    /// Of one address; wider networks have [more](Network::shares).
    pub(crate) address: Counts,
    pub(crate) neighbour: Counts,
    /// Only to say which node holds most.
    pub(crate) node: Counts,
}

/// What has a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum QuotaGroup {
    All,
    /// All addresses together. They may hold everything; but when they hold more than half of it, they count as fuller than
    /// a neighbour that is within its bound. So an attacker with many addresses does not evict what neighbours have passed
    /// on; nor do neighbours evict what addresses hold, if that is less than half.
    Addresses,
    Network(Network),
    Neighbour(PublicKey),
}

/// A part of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Member {
    Group(QuotaGroup),
    Node(PublicKey),
}

/// The order of the members of a group; the last one is evicted first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    fill: u64,
    last_seen: Reverse<u64>,
    member: Member,
}

#[derive(Debug, Default)]
struct GroupUsage {
    held: Counts,
    /// When an update of one of its nodes came last.
    last_seen: u64,
    members: BTreeSet<Rank>,
}

/// What is held of one node, and against whose quota it counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holding {
    pub(crate) node: PublicKey,
    pub(crate) origin: Origin,
    pub(crate) counts: Counts,
    /// When an update of it came last: a counter that grows with each update of any node.
    pub(crate) last_seen: u64,
}

/// Which others a holding may evict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Priority {
    /// An update from a neighbour evicts only from fuller groups. So whatever two servers send each other, nothing is
    /// evicted and sent again without end.
    FromNeighbour,
    /// An update from the node itself evicts also from unrelated groups that are as full. Not so within the same address or
    /// network, where keys cost nothing: neighbours still hold what was evicted here, and an attacker that could make room
    /// with keys alone would fill this server's quota at all of them.
    FromNode,
    /// A node announces known edges again: room is always made.
    Renewal,
}

/// Whether there is room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    Free,
    /// There is once this node is evicted; then ask again.
    Evict(PublicKey),
    /// This group is full, and no member of it may be evicted for the holding.
    Full(QuotaGroup),
}

/// What is held, by group.
#[derive(Debug)]
pub(crate) struct AddressQuota {
    bounds: Bounds,
    groups: BTreeMap<QuotaGroup, GroupUsage>,
}

impl AddressQuota {
    pub(crate) fn new(bounds: Bounds) -> Self {
        AddressQuota { bounds, groups: BTreeMap::new() }
    }

    /// What is held altogether.
    pub(crate) fn total(&self) -> Counts {
        self.held(&QuotaGroup::All)
    }

    /// Whether a group of this origin is full.
    pub(crate) fn is_full(&self, origin: Origin) -> bool {
        groups_of(origin).iter().any(|group| {
            let (held, bound) = (self.held(group), self.bound(group));
            held.nodes >= bound.nodes || held.edges >= bound.edges || held.bytes >= bound.bytes
        })
    }

    /// Adds what is held of a node, of which nothing was held before.
    pub(crate) fn add(&mut self, holding: &Holding) {
        self.change(holding, true);
    }

    /// Removes what was held of a node.
    pub(crate) fn remove(&mut self, holding: &Holding) {
        self.change(holding, false);
    }

    /// Whether there is room for a node of which nothing is held so far.
    pub(crate) fn room(&self, wanted: &Holding, priority: Priority) -> Room {
        let groups = groups_of(wanted.origin);
        let is_too_much = |group: &QuotaGroup| !self.held(group).plus(wanted.counts).fits(self.bound(group));
        let Some(depth) = groups.iter().rposition(is_too_much) else { return Room::Free };
        let found = self.victim(&groups[depth..], wanted, priority);
        let found = found.or_else(|| match priority {
            Priority::Renewal => self.fullest_node(Member::Group(groups[depth])),
            Priority::FromNode | Priority::FromNeighbour => None,
        });
        found.map_or(Room::Full(groups[depth]), Room::Evict)
    }

    /// The node that is evicted from the first of these groups, from wide to narrow, for what is wanted in the last one.
    /// (R5.6.)
    fn victim(&self, groups: &[QuotaGroup], wanted: &Holding, priority: Priority) -> Option<PublicKey> {
        for (group, next) in groups.iter().zip(&groups[1..]) {
            let own = self.fill(next, self.held(next).plus(wanted.counts));
            let members = self.groups.get(group)?.members.iter().rev();
            let fullest = members.copied().find(|rank| rank.member != Member::Group(*next));
            let may_equals = priority == Priority::Renewal || (priority == Priority::FromNode && is_wide(group));
            let is_evicted = |rank: &Rank| rank.fill > own || (rank.fill == own && may_equals);
            if let Some(rank) = fullest.filter(is_evicted) {
                return self.fullest_node(rank.member);
            }
        }
        let fullest = self.groups.get(groups.last()?)?.members.last()?;
        let is_evicted = fullest.fill > wanted.counts.fill(self.bounds.node) || priority == Priority::Renewal;
        if is_evicted { self.fullest_node(fullest.member) } else { None }
    }

    fn fullest_node(&self, mut member: Member) -> Option<PublicKey> {
        loop {
            match member {
                Member::Node(node) => return Some(node),
                Member::Group(group) => member = self.groups.get(&group)?.members.last()?.member,
            }
        }
    }

    pub(crate) fn held(&self, group: &QuotaGroup) -> Counts {
        self.groups.get(group).map(|usage| usage.held).unwrap_or_default()
    }

    fn bound(&self, group: &QuotaGroup) -> Counts {
        match group {
            QuotaGroup::All | QuotaGroup::Addresses => self.bounds.all,
            QuotaGroup::Network(network) => self.bounds.address.times(network.shares()),
            QuotaGroup::Neighbour(_) => self.bounds.neighbour,
        }
    }

    /// How full a group counts that holds so much.
    fn fill(&self, group: &QuotaGroup, held: Counts) -> u64 {
        let fill = held.fill(self.bound(group));
        if *group == QuotaGroup::Addresses { fill.saturating_mul(2) } else { fill }
    }

    /// Adds or removes a holding in all groups that it counts against, and updates the rank of each in the wider one.
    fn change(&mut self, holding: &Holding, is_added: bool) {
        let Holding { node, origin, counts, last_seen } = *holding;
        let rank =
            Rank { fill: counts.fill(self.bounds.node), last_seen: Reverse(last_seen), member: Member::Node(node) };
        let (mut before, mut after) = if is_added { (None, Some(rank)) } else { (Some(rank), None) };
        for group in groups_of(origin).into_iter().rev() {
            let mut usage = self.groups.remove(&group).unwrap_or_default();
            let rank = |usage: &GroupUsage| {
                let (fill, last_seen) = (self.fill(&group, usage.held), Reverse(usage.last_seen));
                (!usage.members.is_empty()).then_some(Rank { fill, last_seen, member: Member::Group(group) })
            };
            let own_before = rank(&usage);
            if let Some(before) = before {
                usage.members.remove(&before);
            }
            usage.members.extend(after);
            if is_added {
                usage.held = usage.held.plus(counts);
                usage.last_seen = usage.last_seen.max(last_seen);
            } else {
                usage.held = usage.held.minus(counts);
            }
            (before, after) = (own_before, rank(&usage));
            if !usage.members.is_empty() {
                self.groups.insert(group, usage);
            }
        }
    }

    /// Groups in which something is held.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.groups.len()
    }
}

/// Whether its members have nothing to do with each other.
fn is_wide(group: &QuotaGroup) -> bool {
    matches!(group, QuotaGroup::All | QuotaGroup::Addresses)
}

/// The groups that something counts against, from all to the narrowest.
fn groups_of(origin: Origin) -> Vec<QuotaGroup> {
    let mut groups = vec![QuotaGroup::All];
    match origin {
        Origin::Nowhere => {}
        Origin::Address(address) => {
            groups.push(QuotaGroup::Addresses);
            groups.extend(networks(address).rev().map(QuotaGroup::Network));
        }
        Origin::Neighbour(neighbour) => groups.push(QuotaGroup::Neighbour(neighbour)),
    }
    groups
}

#[cfg(test)]
mod tests;
