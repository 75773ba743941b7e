//! What nodes have published: the newest word about each edge, the signed updates that prove it, and digests of them by
//! which two servers find out what differs (protocol section 5). No IO: time is an argument.
//!
//! For each edge the newest update that names it wins, whatever the order in which updates arrive: servers that have seen
//! the same updates hold the same. An update is kept as it was signed for as long as it is the newest word about some
//! edge and has not expired, because neighbours believe signatures, not us. An edge that was taken back is kept in the
//! same way, or an older word that comes later would open it again.

use crate::Limits;
use crate::shares::Shares;
use offst_crypto::{Hash, PublicKey, sha256};
use offst_proto::index::{
    BUCKETS, Edge, Listing, NAMES_MAX, Update, UpdateName, UpdateOutcome, UpdateRefusal, bucket_of,
};
use offst_proto::{Currency, Unverified, Verified};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::Arc;

/// What a kept update costs beside its bytes: the entries that name it.
const UPDATE_OVERHEAD_BYTES: usize = 128;

/// A change of the graph of capacities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GraphChange {
    /// A node's newest word about an edge.
    Set {
        /// Who says it.
        node: PublicKey,
        /// What it says.
        edge: Edge,
        /// When it ends, unix ms.
        expires_ms: u64,
    },
    /// A node says nothing of this edge any more.
    Remove {
        /// Who said something.
        node: PublicKey,
        /// The edge's other end.
        friend: PublicKey,
        /// The edge's currency.
        currency: Currency,
    },
}

impl GraphChange {
    /// Whose word about which edge it changes.
    pub(crate) fn place(&self) -> (&PublicKey, &PublicKey, &Currency) {
        match self {
            GraphChange::Set { node, edge, .. } => (node, &edge.friend, &edge.currency),
            GraphChange::Remove { node, friend, currency } => (node, friend, currency),
        }
    }
}

/// What became of an update from a neighbour or a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merged {
    /// It is the newest word about some edge.
    News,
    /// It says nothing that is not known, or is known better.
    Old,
    /// It is above a quota.
    Refused(UpdateRefusal),
}

/// Who brings an update.
#[derive(Debug, Clone, Copy)]
enum Source {
    /// The node that signed it, from this address.
    Node(Option<IpAddr>),
    /// A neighbour, or a file.
    Elsewhere,
}

/// An update's place among those of its node: sequence number, then tag.
type Version = (u64, u64);

/// The newest word about every edge of every node.
#[derive(Debug)]
pub struct Book {
    limits: Limits,
    buckets: Vec<Bucket>,
    nodes: usize,
    edges: usize,
    update_bytes: usize,
    shares: Shares,
    changes: Vec<GraphChange>,
    dropped: Vec<UpdateName>,
    /// Where the next sweep goes on.
    swept: usize,
}

#[derive(Debug, Default)]
struct Bucket {
    nodes: BTreeMap<PublicKey, Node>,
    /// None when it has to be made anew.
    digest: Option<u64>,
}

/// What is known of one node.
#[derive(Debug, Default)]
struct Node {
    /// The largest sequence number.
    newest: u64,
    /// Nothing of this node that was signed so far can be replayed later than this: its expiry has passed then.
    kept_until_ms: u64,
    updates: BTreeMap<Version, Kept>,
    edges: BTreeMap<(PublicKey, Currency), Word>,
    update_bytes: usize,
    /// Whose share of the server it counts against: where the node itself has published from. None for nodes that only
    /// neighbours have told of; those count against the share of the address they had there.
    address: Option<IpAddr>,
}

#[derive(Debug)]
struct Kept {
    wire: Arc<[u8]>,
    expires_ms: u64,
    /// Edges about which it is the newest word; never 0.
    edges: usize,
}

/// The newest word about an edge.
#[derive(Debug, Clone, Copy)]
struct Word {
    version: Version,
    is_open: bool,
    /// When the word ends, unix ms.
    expires_ms: u64,
    /// When no earlier word about this edge can come back any more, unix ms: the latest expiry of all of them.
    guarded_until_ms: u64,
}

impl Book {
    /// Knows nothing.
    pub fn new(limits: Limits) -> Self {
        let shares = Shares::new(limits.nodes_per_address_max, limits.edges_per_address_max);
        Book {
            limits,
            buckets: std::iter::repeat_with(Bucket::default).take(BUCKETS).collect(),
            nodes: 0,
            edges: 0,
            update_bytes: 0,
            shares,
            changes: vec![],
            dropped: vec![],
            swept: 0,
        }
    }

    /// Takes an update from the node itself, which is connected from `address` (an [address
    /// group](offst_secure_channel::address_group); none where there are no addresses, and so no shares of them) and
    /// speaks in order: every update has to be newer than all before. All of its edges are taken, or none.
    pub fn publish(&mut self, update: &Verified<Update>, address: Option<IpAddr>, now_ms: u64) -> UpdateOutcome {
        if let Some(node) = self.node(&update.node)
            && update.sequence <= node.newest
        {
            return UpdateOutcome::Stale { newest: node.newest };
        }
        match self.merge_from(update, Source::Node(address)) {
            Merged::Refused(reason) => UpdateOutcome::Refused { reason, server_ms: now_ms },
            Merged::News | Merged::Old => UpdateOutcome::Accepted { newest: update.sequence },
        }
    }

    /// Takes what is new in an update from a neighbour or a file, which may come in any order and again.
    pub fn merge(&mut self, update: &Verified<Update>) -> Merged {
        self.merge_from(update, Source::Elsewhere)
    }

    /// Whether an update of this name says something new: only then its signature is worth a check.
    pub fn is_news(&self, name: &UpdateName, update: &Update) -> bool {
        let Some(node) = self.node(&update.node) else { return !update.edges.is_empty() };
        update.edges.iter().any(|edge| node.is_news(edge, version(name)))
    }

    /// Whether a neighbour's update is held, as it was signed.
    pub fn holds(&self, name: &UpdateName) -> bool {
        self.node(&name.node).is_some_and(|node| node.updates.contains_key(&version(name)))
    }

    /// The signed bytes of an update that is held and has not expired.
    pub fn wire(&self, name: &UpdateName, now_ms: u64) -> Option<&Arc<[u8]>> {
        let kept = self.node(&name.node)?.updates.get(&version(name))?;
        (kept.expires_ms > now_ms).then_some(&kept.wire)
    }

    /// Whether there is room for one more node.
    pub fn has_room(&self) -> bool {
        self.nodes < self.limits.nodes_max
    }

    /// The signed bytes of all updates that have not expired.
    pub fn all(&self, now_ms: u64) -> Vec<Arc<[u8]>> {
        let nodes = self.buckets.iter().flat_map(|bucket| bucket.nodes.values());
        let updates = nodes.flat_map(|node| node.updates.values());
        updates.filter(|kept| kept.expires_ms > now_ms).map(|kept| kept.wire.clone()).collect()
    }

    /// What has changed in the graph since the last call, in order.
    pub fn take_changes(&mut self) -> Vec<GraphChange> {
        std::mem::take(&mut self.changes)
    }

    /// The names of updates that are not held any more since the last call.
    pub(crate) fn take_dropped(&mut self) -> Vec<UpdateName> {
        std::mem::take(&mut self.dropped)
    }

    /// The digests of all buckets.
    pub fn digests(&mut self) -> Vec<u64> {
        self.buckets.iter_mut().map(Bucket::digest).collect()
    }

    /// One digest of everything.
    pub fn digest(&mut self) -> u64 {
        let bytes: Vec<u8> = self.digests().into_iter().flat_map(u64::to_be_bytes).collect();
        first_bytes(&sha256(&bytes))
    }

    /// What is held of a bucket behind `after`, as much as a message takes.
    pub fn listing(&self, bucket: u16, after: Option<UpdateName>, now_ms: u64) -> Listing {
        let start = after.map_or(Bound::Unbounded, |name| Bound::Included(name.node));
        let nodes = self.buckets.get(usize::from(bucket)).into_iter();
        let nodes = nodes.flat_map(|bucket| bucket.nodes.range((start, Bound::Unbounded)));
        let names = nodes.flat_map(|(node, known)| {
            let held = known.updates.iter().filter(|(_, kept)| kept.expires_ms > now_ms);
            held.map(|((sequence, tag), _)| UpdateName { node: *node, sequence: *sequence, tag: *tag })
        });
        let mut names: Vec<_> =
            names.filter(|name| after.is_none_or(|after| *name > after)).take(NAMES_MAX + 1).collect();
        let is_last = names.len() <= NAMES_MAX;
        names.truncate(NAMES_MAX);
        Listing { bucket, after, names, is_last }
    }

    /// Gives back the memory of what has expired, looking at `count` buckets; the next call goes on behind them. Searches
    /// never use an expired edge, swept or not.
    pub fn sweep(&mut self, now_ms: u64, count: usize) {
        for _ in 0..count.min(BUCKETS) {
            let bucket = &self.buckets[self.swept];
            let is_due = |node: &Node| node.next_end_ms() <= now_ms;
            let due: Vec<_> = bucket.nodes.iter().filter(|(_, node)| is_due(node)).map(|(key, _)| *key).collect();
            for key in due {
                self.change(key, |book, node| book.expire(key, node, now_ms));
            }
            self.swept = (self.swept + 1) % BUCKETS;
        }
    }

    /// Nodes remembered.
    pub fn node_count(&self) -> usize {
        self.nodes
    }

    /// Edges held, with those that were taken back not long ago.
    pub fn edge_count(&self) -> usize {
        self.edges
    }

    /// Bytes of the signed updates that are kept.
    pub fn update_bytes(&self) -> usize {
        self.update_bytes
    }

    /// The largest sequence number of a node.
    pub fn newest(&self, node: &PublicKey) -> Option<u64> {
        self.node(node).map(|node| node.newest)
    }

    fn node(&self, key: &PublicKey) -> Option<&Node> {
        self.buckets[usize::from(bucket_of(key))].nodes.get(key)
    }

    fn merge_from(&mut self, update: &Verified<Update>, source: Source) -> Merged {
        let address = match source {
            Source::Node(address) => address,
            Source::Elsewhere => None,
        };
        let name = UpdateName::of(update);
        let version = version(&name);
        let known = self.node(&update.node);
        let is_news = |edge: &&Edge| known.is_none_or(|node| node.is_news(edge, version));
        let wins: Vec<&Edge> = update.edges.iter().filter(is_news).collect();
        // Only the node itself is believed that it lives without saying anything.
        if wins.is_empty() && matches!(source, Source::Elsewhere) {
            return Merged::Old;
        }
        let is_added = |edge: &&&Edge| known.is_none_or(|node| node.word(edge).is_none());
        let added = wins.iter().filter(is_added).count();
        let bytes = if wins.is_empty() { 0 } else { update.wire().len() + UPDATE_OVERHEAD_BYTES };
        if let Err(refusal) = self.check_room(known, address, added, bytes) {
            return Merged::Refused(refusal);
        }
        self.change(update.node, |book, node| {
            node.newest = node.newest.max(update.sequence);
            node.kept_until_ms = node.kept_until_ms.max(update.expires_ms);
            if address.is_some() {
                node.address = address;
            }
            for edge in &wins {
                let is_open = !edge.is_closed();
                let mut new =
                    Word { version, is_open, expires_ms: update.expires_ms, guarded_until_ms: update.expires_ms };
                let place = (edge.friend, edge.currency.clone());
                let old = node.edges.get(&place).copied();
                if let Some(old) = old {
                    new.guarded_until_ms = new.guarded_until_ms.max(old.guarded_until_ms);
                    book.release(update.node, node, old.version);
                }
                node.edges.insert(place, new);
                let (node, friend, currency) = (update.node, edge.friend, edge.currency.clone());
                if is_open {
                    book.changes.push(GraphChange::Set { node, edge: (*edge).clone(), expires_ms: update.expires_ms });
                } else if old.is_some_and(|old| old.is_open) {
                    book.changes.push(GraphChange::Remove { node, friend, currency });
                }
            }
            if !wins.is_empty() {
                node.update_bytes += bytes;
                let kept = Kept { wire: update.wire().clone(), expires_ms: update.expires_ms, edges: wins.len() };
                node.updates.insert(version, kept);
            }
        });
        if wins.is_empty() { Merged::Old } else { Merged::News }
    }

    /// Whether the limits allow so much more of a node.
    fn check_room(
        &self,
        known: Option<&Node>,
        address: Option<IpAddr>,
        added: usize,
        bytes: usize,
    ) -> Result<(), UpdateRefusal> {
        let limits = &self.limits;
        let held = known.map_or(0, |node| node.edges.len());
        // An update that opens and closes edges it has named before adds none: a node above a lowered quota can still
        // close edges.
        if added > 0 && held + added > limits.edges_per_node_max {
            return Err(UpdateRefusal::Quota);
        }
        if known.map_or(0, |node| node.update_bytes) + bytes > limits.update_bytes_per_node_max {
            return Err(UpdateRefusal::Quota);
        }
        let is_full = (known.is_none() && self.nodes >= limits.nodes_max)
            || (added > 0 && self.edges + added > limits.edges_max)
            || self.update_bytes + bytes > limits.update_bytes_max;
        if is_full {
            return Err(UpdateRefusal::Full);
        }
        let charged = known.and_then(|node| node.address);
        match address {
            // A node that moves takes its edges with it.
            Some(address) if charged != Some(address) => {
                if self.shares.has_room(address, 1, held + added) {
                    Ok(())
                } else {
                    Err(UpdateRefusal::AddressQuota)
                }
            }
            _ => match charged {
                Some(charged) if added > 0 && !self.shares.has_room(charged, 0, added) => {
                    Err(UpdateRefusal::AddressQuota)
                }
                _ => Ok(()),
            },
        }
    }

    /// Changes what is known of a node; whatever is counted of it is counted anew.
    fn change(&mut self, key: PublicKey, change: impl FnOnce(&mut Self, &mut Node)) {
        let place = usize::from(bucket_of(&key));
        let old = self.buckets[place].nodes.remove(&key);
        let (nodes, edges, bytes, address) =
            old.as_ref().map_or((0, 0, 0, None), |old| (1, old.edges.len(), old.update_bytes, old.address));
        let mut node = old.unwrap_or_default();
        change(self, &mut node);
        self.nodes -= nodes;
        self.edges -= edges;
        self.update_bytes -= bytes;
        if let Some(address) = address {
            self.shares.give_back(address, nodes, edges);
        }
        let is_forgotten = node.edges.is_empty() && node.kept_until_ms == 0;
        if !is_forgotten {
            self.nodes += 1;
            self.edges += node.edges.len();
            self.update_bytes += node.update_bytes;
            if let Some(address) = node.address {
                self.shares.take(address, 1, node.edges.len());
            }
        }
        let bucket = &mut self.buckets[place];
        if !is_forgotten {
            bucket.nodes.insert(key, node);
        }
        bucket.digest = None;
    }

    /// One edge fewer speaks for keeping an update.
    fn release(&mut self, key: PublicKey, node: &mut Node, version: Version) {
        // An update that has expired went before its edges.
        let Some(kept) = node.updates.get_mut(&version) else { return };
        kept.edges -= 1;
        if kept.edges == 0 {
            self.drop_update(key, node, version);
        }
    }

    fn drop_update(&mut self, key: PublicKey, node: &mut Node, version: Version) {
        if let Some(kept) = node.updates.remove(&version) {
            node.update_bytes -= kept.wire.len() + UPDATE_OVERHEAD_BYTES;
            self.dropped.push(UpdateName { node: key, sequence: version.0, tag: version.1 });
        }
    }

    fn expire(&mut self, key: PublicKey, node: &mut Node, now_ms: u64) {
        let ended: Vec<_> =
            node.updates.iter().filter(|(_, kept)| kept.expires_ms <= now_ms).map(|(version, _)| *version).collect();
        for version in ended {
            self.drop_update(key, node, version);
        }
        node.edges.retain(|(friend, currency), word| {
            if word.is_open && word.expires_ms <= now_ms {
                word.is_open = false;
                self.changes.push(GraphChange::Remove { node: key, friend: *friend, currency: currency.clone() });
            }
            word.guarded_until_ms > now_ms
        });
        if node.kept_until_ms <= now_ms {
            node.kept_until_ms = 0;
        }
    }
}

impl Bucket {
    fn digest(&mut self) -> u64 {
        if self.nodes.is_empty() {
            return 0;
        }
        *self.digest.get_or_insert_with(|| {
            let mut bytes = Vec::new();
            for (node, known) in &self.nodes {
                for (sequence, tag) in known.updates.keys() {
                    bytes.extend_from_slice(node.as_bytes());
                    bytes.extend_from_slice(&sequence.to_be_bytes());
                    bytes.extend_from_slice(&tag.to_be_bytes());
                }
            }
            if bytes.is_empty() { 0 } else { first_bytes(&sha256(&bytes)) }
        })
    }
}

impl Node {
    fn word(&self, edge: &Edge) -> Option<&Word> {
        self.edges.get(&(edge.friend, edge.currency.clone()))
    }

    fn is_news(&self, edge: &Edge, version: Version) -> bool {
        self.word(edge).is_none_or(|word| word.version < version)
    }

    /// When something of it ends, unix ms.
    fn next_end_ms(&self) -> u64 {
        let updates = self.updates.values().map(|kept| kept.expires_ms);
        let words = self.edges.values().map(|word| word.guarded_until_ms);
        updates.chain(words).min().unwrap_or(self.kept_until_ms)
    }
}

fn version(name: &UpdateName) -> Version {
    (name.sequence, name.tag)
}

fn first_bytes(hash: &Hash) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_be_bytes(bytes)
}

/// An update from a file of our own, which holds only what was verified before.
///
/// # Errors
/// These bytes are no update.
pub(crate) fn update_from_own_file(wire: &[u8]) -> Result<Verified<Update>, offst_proto::encoding::DecodeError> {
    Ok(Unverified::<Update>::from_wire(wire)?.trust_own_database())
}

#[cfg(test)]
mod tests;
