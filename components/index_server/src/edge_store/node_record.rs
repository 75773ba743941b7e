//! What is held of one node: its latest announcement of each edge, and the signed updates that prove them.

use super::changes::{Changes, GraphChange};
use crate::address_quota::{Counts, Holding, Origin};
use offst_crypto::PublicKey;
use offst_proto::index::{Edge, Update, UpdateName};
use offst_proto::{Currency, Verified};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a kept update costs beside its bytes: the entries that name it.
pub(super) const UPDATE_OVERHEAD_BYTES: usize = 128;

/// The order of the updates of one node: sequence number, then tag.
pub(super) type Version = (u64, u64);

// R5.14.
pub(super) fn version(name: &UpdateName) -> Version {
    (name.sequence, name.tag)
}

/// What is held of one node.
#[derive(Debug, Default)]
pub(super) struct NodeRecord {
    /// The largest sequence number.
    pub(super) newest: u64,
    /// When the last of the updates that the node has signed so far expires, unix ms. Until then they can be replayed.
    pub(super) kept_until_ms: u64,
    pub(super) updates: BTreeMap<Version, KeptUpdate>,
    pub(super) edges: BTreeMap<(PublicKey, Currency), Announcement>,
    pub(super) update_bytes: usize,
    /// Whose quota it counts against: the address from which the node itself has published last; if it never has, the
    /// neighbour that passed it on first.
    pub(super) origin: Option<Origin>,
    /// When something of it came last, by the counter of the store.
    pub(super) last_seen: u64,
    /// The node was told to announce all its edges again: announcements up to this sequence number that it does not repeat
    /// are withdrawn.
    pub(super) republish_below: Option<u64>,
}

/// An update as it was signed. It is kept while it holds the latest announcement of some edge.
#[derive(Debug)]
pub(super) struct KeptUpdate {
    pub(super) wire: Arc<[u8]>,
    pub(super) expires_ms: u64,
    /// Edges of which it is the latest announcement; never 0.
    pub(super) latest: usize,
    /// Edges that it names.
    pub(super) named: usize,
    /// Whether the file has it.
    pub(super) is_saved: bool,
}

impl KeptUpdate {
    pub(super) fn bytes(&self) -> usize {
        self.wire.len() + UPDATE_OVERHEAD_BYTES
    }

    /// The part of its bytes that is useful when it is the latest announcement of so many edges.
    fn useful_bytes(&self, latest: usize) -> usize {
        self.bytes() * latest / self.named.max(1)
    }
}

/// The latest announcement of an edge.
#[derive(Debug, Clone, Copy)]
pub(super) struct Announcement {
    pub(super) version: Version,
    /// False when it has expired or the edge was withdrawn.
    pub(super) is_open: bool,
    /// When it expires, unix ms.
    pub(super) expires_ms: u64,
    /// When no earlier announcement of this edge can be replayed any more, unix ms: the latest expiry of all of them.
    pub(super) guarded_until_ms: u64,
}

impl NodeRecord {
    pub(super) fn counts(&self) -> Counts {
        Counts { nodes: 1, edges: self.edges.len(), bytes: self.update_bytes }
    }

    pub(super) fn holding(&self, key: PublicKey) -> Option<Holding> {
        Some(Holding { node: key, origin: self.origin?, counts: self.counts(), last_seen: self.last_seen })
    }

    pub(super) fn announcement(&self, edge: &Edge) -> Option<&Announcement> {
        self.edges.get(&(edge.friend, edge.currency.clone()))
    }

    /// Whether an announcement of this version would be the latest one of the edge.
    /// (R5.1.)
    pub(super) fn is_later(&self, edge: &Edge, version: Version) -> bool {
        self.announcement(edge).is_none_or(|known| known.version < version)
    }

    /// When something of it expires next, unix ms.
    pub(super) fn next_expiry_ms(&self) -> u64 {
        let updates = self.updates.values().map(|kept| kept.expires_ms);
        let edges = self.edges.values().map(|announcement| announcement.guarded_until_ms);
        updates.chain(edges).min().unwrap_or(self.kept_until_ms)
    }

    /// Whether there is nothing left to remember.
    pub(super) fn is_forgotten(&self) -> bool {
        self.edges.is_empty() && self.kept_until_ms == 0
    }
}

/// What an update would change of what is held of its node.
pub(super) struct UpdateEffect<'a> {
    /// The edges of which it is the latest announcement.
    pub(super) latest: Vec<&'a Edge>,
    /// How many of them were not known.
    pub(super) added: usize,
    /// Of how many edges each kept update would no longer be the latest announcement.
    superseded: BTreeMap<Version, usize>,
    /// What would be held of the node then.
    pub(super) counts: Counts,
    /// The bytes of the update that would be kept.
    own_bytes: usize,
}

impl<'a> UpdateEffect<'a> {
    pub(super) fn of(known: Option<&NodeRecord>, update: &'a Verified<Update>) -> Self {
        let version = version(&UpdateName::of(update));
        let is_latest = |edge: &&Edge| known.is_none_or(|node| node.is_later(edge, version));
        let latest: Vec<&Edge> = update.edges.iter().filter(is_latest).collect();
        let mut superseded = BTreeMap::new();
        let mut added = 0;
        for edge in &latest {
            match known.and_then(|node| node.announcement(edge)) {
                Some(announcement) => *superseded.entry(announcement.version).or_default() += 1,
                None => added += 1,
            }
        }
        let mut counts = known.map_or(Counts { nodes: 1, ..Counts::default() }, NodeRecord::counts);
        counts.edges += added;
        let own_bytes = if latest.is_empty() { 0 } else { update.wire().len() + UPDATE_OVERHEAD_BYTES };
        counts.bytes += own_bytes;
        let kept = |version| known.and_then(|node| node.updates.get(version));
        let dropped =
            superseded.iter().filter_map(|(version, count)| kept(version).filter(|kept| kept.latest == *count));
        counts.bytes -= dropped.map(KeptUpdate::bytes).sum::<usize>();
        UpdateEffect { latest, added, superseded, counts, own_bytes }
    }

    /// How many of the bytes that would be held of `node` would be useful.
    pub(super) fn useful_bytes(&self, node: &NodeRecord) -> usize {
        let kept = node.updates.iter().map(|(version, kept)| {
            kept.useful_bytes(kept.latest - self.superseded.get(version).copied().unwrap_or_default())
        });
        kept.sum::<usize>() + self.own_bytes
    }
}

/// Changes what is held of one node.
pub(super) struct NodeEdit<'a> {
    pub(super) key: PublicKey,
    pub(super) node: &'a mut NodeRecord,
    pub(super) changes: &'a mut Changes,
}

impl NodeEdit<'_> {
    /// Takes an update that is the latest announcement of some edges, or of none.
    pub(super) fn announce(&mut self, update: &Verified<Update>, latest: &[&Edge]) {
        let version = version(&UpdateName::of(update));
        let expires_ms = update.expires_ms;
        self.node.newest = self.node.newest.max(update.sequence);
        self.node.kept_until_ms = self.node.kept_until_ms.max(expires_ms);
        for edge in latest {
            let is_open = !edge.is_closed();
            let mut new = Announcement { version, is_open, expires_ms, guarded_until_ms: expires_ms };
            let name = (edge.friend, edge.currency.clone());
            let old = self.node.edges.get(&name).copied();
            if let Some(old) = old {
                new.guarded_until_ms = new.guarded_until_ms.max(old.guarded_until_ms);
                self.supersede(old.version);
            }
            self.node.edges.insert(name, new);
            if is_open {
                let node = self.key;
                self.changes.graph.push(GraphChange::Set { node, edge: (*edge).clone(), expires_ms });
            } else if old.is_some_and(|old| old.is_open) {
                self.remove_from_graph(edge.friend, edge.currency.clone());
            }
        }
        if !latest.is_empty() {
            let (latest, named) = (latest.len(), update.edges.len());
            let kept = KeptUpdate { wire: update.wire().clone(), expires_ms, latest, named, is_saved: false };
            self.node.update_bytes += kept.bytes();
            self.node.updates.insert(version, kept);
        }
    }

    /// Withdraws the announcements up to a sequence number, as if the node had closed these edges then.
    pub(super) fn withdraw_up_to(&mut self, sequence: u64) {
        let mut superseded = Vec::new();
        let mut closed = Vec::new();
        for ((friend, currency), announcement) in &mut self.node.edges {
            if announcement.version.0 <= sequence {
                superseded.push(announcement.version);
                announcement.version = (sequence, u64::MAX);
                if std::mem::take(&mut announcement.is_open) {
                    closed.push((*friend, currency.clone()));
                }
            }
        }
        closed.into_iter().for_each(|(friend, currency)| self.remove_from_graph(friend, currency));
        superseded.into_iter().for_each(|version| self.supersede(version));
    }

    /// Forgets everything, also the sequence numbers: whatever the node announces next is new.
    pub(super) fn forget(&mut self) {
        for version in self.node.updates.keys().copied().collect::<Vec<_>>() {
            self.drop_update(version);
        }
        for ((friend, currency), announcement) in std::mem::take(&mut self.node.edges) {
            if announcement.is_open {
                self.remove_from_graph(friend, currency);
            }
        }
        self.node.kept_until_ms = 0;
    }

    /// Removes what has expired.
    pub(super) fn expire(&mut self, now_ms: u64) {
        let expired = self.node.updates.iter().filter(|(_, kept)| kept.expires_ms <= now_ms);
        for version in expired.map(|(version, _)| *version).collect::<Vec<_>>() {
            self.drop_update(version);
        }
        let (key, changes) = (self.key, &mut self.changes.graph);
        self.node.edges.retain(|(friend, currency), announcement| {
            if announcement.is_open && announcement.expires_ms <= now_ms {
                announcement.is_open = false;
                changes.push(GraphChange::Remove { node: key, friend: *friend, currency: currency.clone() });
            }
            announcement.guarded_until_ms > now_ms
        });
        if self.node.kept_until_ms <= now_ms {
            self.node.kept_until_ms = 0;
        }
    }

    /// An update is the latest announcement of one edge fewer.
    fn supersede(&mut self, version: Version) {
        // An update that has expired was dropped before its edges.
        let Some(kept) = self.node.updates.get_mut(&version) else { return };
        kept.latest -= 1;
        if kept.latest == 0 {
            self.drop_update(version);
        }
    }

    fn drop_update(&mut self, version: Version) {
        if let Some(kept) = self.node.updates.remove(&version) {
            self.node.update_bytes -= kept.bytes();
            self.changes.dropped.push(UpdateName { node: self.key, sequence: version.0, tag: version.1 });
        }
    }

    fn remove_from_graph(&mut self, friend: PublicKey, currency: Currency) {
        self.changes.graph.push(GraphChange::Remove { node: self.key, friend, currency });
    }
}
