//! What nodes have published: the latest announcement of each edge, the signed updates that prove it, and digests of them by
//! which two servers find out what differs (protocol section 5). No IO: time is an argument.
//!
//! For each edge the newest update that names it counts, whatever the order in which updates arrive: servers that have seen
//! the same updates hold the same. An update is kept as it was signed while it is the latest announcement of some edge and
//! has not expired, because neighbours believe signatures, not us. An edge that was withdrawn is kept in the same way;
//! otherwise an older announcement that comes later would open it again.
//!
//! Updates are kept whole, so a node could hold many of which one edge each still counts. When less than a quarter of the
//! bytes of a node is useful, the node is told to announce all its edges again, so that the old updates can be dropped. That
//! costs it at most a third of what it has sent since it did so before: the bytes have to grow to four times what is useful.

mod bucket;
mod changes;
mod node_record;

use crate::address_quota::{AddressQuota, Bounds, Counts, Holding, Origin, Priority, QuotaGroup, Room};
use crate::limits::Limits;
use bucket::{Bucket, first_bytes};
use changes::Changes;
pub use changes::GraphChange;
use node_record::{NodeEdit, NodeRecord, UpdateEffect, version};
use offst_crypto::{PublicKey, sha256};
use offst_proto::index::{BUCKETS, Edge, Listing, Update, UpdateName, UpdateOutcome, UpdateRefusal, bucket_of};
use offst_proto::{Unverified, Verified};
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

/// A node has to announce all its edges again when less than one part in so many of its bytes is useful.
const USEFUL_PART: usize = 4;
/// A node that holds so little need not, bytes.
const SMALL_NODE_BYTES: usize = 32 << 10;

/// What became of an update from a neighbour or a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merged {
    /// It is the latest announcement of some edge.
    New,
    /// For all its edges later announcements are known.
    Old,
    /// It is above a quota.
    Refused(UpdateRefusal),
}

/// Why a node has to announce all its edges again instead of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Republish {
    /// It would free many bytes.
    Worthwhile,
    /// With the update there would be more bytes than are kept of one node.
    Necessary,
}

/// The latest announcements of all edges of all nodes.
#[derive(Debug)]
pub struct EdgeStore {
    limits: Limits,
    buckets: Vec<Bucket>,
    quota: AddressQuota,
    /// How many updates were taken.
    taken: u64,
    /// Nodes that were forgotten to make room for others.
    evicted: u64,
    changes: Changes,
    /// Where the next sweep goes on.
    swept: usize,
}

impl EdgeStore {
    /// Holds nothing.
    pub fn new(limits: Limits) -> Self {
        let bounds = Bounds {
            all: Counts { nodes: limits.nodes_max, edges: limits.edges_max, bytes: limits.update_bytes_max },
            address: Counts {
                nodes: limits.nodes_per_address_max,
                edges: limits.edges_per_address_max,
                bytes: limits.update_bytes_per_address_max,
            },
            neighbour: Counts {
                nodes: limits.nodes_per_neighbour_max,
                edges: limits.edges_per_neighbour_max,
                bytes: limits.update_bytes_per_neighbour_max,
            },
            node: Counts {
                nodes: usize::MAX,
                edges: limits.edges_per_node_max,
                bytes: limits.update_bytes_per_node_max,
            },
        };
        EdgeStore {
            limits,
            buckets: std::iter::repeat_with(Bucket::default).take(BUCKETS).collect(),
            quota: AddressQuota::new(bounds),
            taken: 0,
            evicted: 0,
            changes: Changes::default(),
            swept: 0,
        }
    }

    /// Takes an update from the node itself, which is connected from `address` (an [address
    /// group](offst_secure_channel::address_group); none where there are no addresses, and so no quotas of them) and
    /// publishes in order: every update has to be newer than all before. All of its edges are taken, or none.
    /// (R5.2.)
    pub fn publish(&mut self, update: &Verified<Update>, address: Option<IpAddr>, now_ms: u64) -> UpdateOutcome {
        if let Some(node) = self.node(&update.node)
            && update.sequence <= node.newest
        {
            return UpdateOutcome::Stale { newest: node.newest };
        }
        if self.must_republish(update) {
            return UpdateOutcome::Refused { reason: UpdateRefusal::SayAll, server_ms: now_ms };
        }
        match self.merge_from(update, address.map_or(Origin::Nowhere, Origin::Address), true) {
            Merged::Refused(reason) => UpdateOutcome::Refused { reason, server_ms: now_ms },
            Merged::New | Merged::Old => UpdateOutcome::Accepted { newest: update.sequence },
        }
    }

    /// Takes what is new in an update from a neighbour or a file, which may come in any order and repeatedly. It counts
    /// against `origin` unless the node itself has published here.
    pub fn merge(&mut self, update: &Verified<Update>, origin: Origin) -> Merged {
        self.merge_from(update, origin, false)
    }

    /// Whether an update of this name holds a later announcement of some edge: only then its signature is worth a check.
    pub fn is_new(&self, name: &UpdateName, update: &Update) -> bool {
        let Some(node) = self.node(&update.node) else { return !update.edges.is_empty() };
        update.edges.iter().any(|edge| node.is_later(edge, version(name)))
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

    /// Whether there may be room for one more node that a neighbour passes on.
    pub fn has_room(&self, neighbour: &PublicKey) -> bool {
        !self.quota.is_full(Origin::Neighbour(*neighbour))
    }

    /// The signed bytes of the updates of a bucket that have not expired, and whose quota they count against: all of them,
    /// or those that no call before has given. The caller writes them to a file.
    pub fn to_save(&mut self, bucket: u16, is_all: bool, now_ms: u64) -> Vec<(Origin, Arc<[u8]>)> {
        let mut updates = Vec::new();
        for node in self.buckets.get_mut(usize::from(bucket)).into_iter().flat_map(Bucket::nodes_mut) {
            let origin = node.origin.unwrap_or(Origin::Nowhere);
            for kept in node.updates.values_mut() {
                if kept.expires_ms > now_ms && (is_all || !kept.is_saved) {
                    updates.push((origin, kept.wire.clone()));
                }
                kept.is_saved = true;
            }
        }
        updates
    }

    /// What has changed in the graph since the last call, in order.
    pub fn take_changes(&mut self) -> Vec<GraphChange> {
        std::mem::take(&mut self.changes.graph)
    }

    /// The names of updates that were dropped since the last call.
    pub(crate) fn take_dropped(&mut self) -> Vec<UpdateName> {
        std::mem::take(&mut self.changes.dropped)
    }

    /// The digests of all buckets.
    pub fn digests(&mut self) -> Vec<u64> {
        self.buckets.iter_mut().map(Bucket::digest).collect()
    }

    /// Computes the digests of those of some buckets that have changed.
    pub(crate) fn refresh_digests(&mut self, buckets: Range<usize>) {
        self.buckets.get_mut(buckets).into_iter().flatten().for_each(|bucket| _ = bucket.digest());
    }

    /// One digest of everything.
    pub fn digest(&mut self) -> u64 {
        let bytes: Vec<u8> = self.digests().into_iter().flat_map(u64::to_be_bytes).collect();
        first_bytes(&sha256(&bytes))
    }

    /// What is held of a bucket after `after`, as much as a message takes.
    pub fn listing(&self, bucket: u16, after: Option<UpdateName>, now_ms: u64) -> Listing {
        match self.buckets.get(usize::from(bucket)) {
            Some(held) => held.listing(bucket, after, now_ms),
            None => Listing { bucket, after, names: Vec::new(), is_last: true },
        }
    }

    /// Frees the memory of what has expired in `count` buckets; the next call goes on with the ones after them. Searches
    /// never use an expired edge, swept or not.
    pub fn sweep(&mut self, now_ms: u64, count: usize) {
        for _ in 0..count.min(BUCKETS) {
            let bucket = &self.buckets[self.swept];
            let is_due = |node: &NodeRecord| node.next_expiry_ms() <= now_ms;
            let due: Vec<_> = bucket.nodes().filter(|(_, node)| is_due(node)).map(|(key, _)| *key).collect();
            for key in due {
                self.edit(key, |edit| edit.expire(now_ms));
            }
            self.swept = (self.swept + 1) % BUCKETS;
        }
    }

    /// Nodes of which something is held.
    pub fn node_count(&self) -> usize {
        self.quota.total().nodes
    }

    /// Edges held, with those that were withdrawn not long ago.
    pub fn edge_count(&self) -> usize {
        self.quota.total().edges
    }

    /// Bytes of the signed updates that are kept.
    pub fn update_bytes(&self) -> usize {
        self.quota.total().bytes
    }

    /// Nodes that were forgotten so far to make room for others that hold less.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// The largest sequence number of a node.
    pub fn newest(&self, node: &PublicKey) -> Option<u64> {
        self.node(node).map(|node| node.newest)
    }

    fn node(&self, key: &PublicKey) -> Option<&NodeRecord> {
        self.buckets[usize::from(bucket_of(key))].get(key)
    }

    /// Whether a node has to announce all its edges again instead of this update, which is newer than all before. It is told
    /// so when too little of what would be kept is useful. From then on updates are taken that repeat older announcements.
    /// The first update that does not shows that the node has repeated all; what it has not repeated until then it does not
    /// know any more.
    /// (R5.4.)
    fn must_republish(&mut self, update: &Verified<Update>) -> bool {
        let Some(node) = self.node(&update.node) else { return false };
        let (newest, below) = (node.newest, node.republish_below);
        let Some(reason) = self.republish_reason(node, update) else {
            if below.is_some() {
                self.edit(update.node, |edit| edit.node.republish_below = None);
            }
            return false;
        };
        if let Some(below) = below {
            let is_older = |edge: &&Edge| node.announcement(edge).is_some_and(|known| known.version.0 <= below);
            let repeats = update.edges.iter().filter(is_older).count() * 2 >= update.edges.len();
            if repeats && reason != Republish::Necessary {
                return false;
            }
            self.edit(update.node, |edit| edit.withdraw_up_to(below));
            if self.node(&update.node).is_none_or(|node| self.republish_reason(node, update).is_none()) {
                return false;
            }
        }
        self.edit(update.node, |edit| edit.node.republish_below = Some(newest));
        true
    }

    fn republish_reason(&self, node: &NodeRecord, update: &Verified<Update>) -> Option<Republish> {
        let effect = UpdateEffect::of(Some(node), update);
        let (bytes, useful) = (effect.counts.bytes, effect.useful_bytes(node));
        let is_worthwhile = bytes > SMALL_NODE_BYTES && useful.saturating_mul(USEFUL_PART) < bytes;
        if bytes > self.limits.update_bytes_per_node_max && useful < bytes {
            return Some(Republish::Necessary);
        }
        is_worthwhile.then_some(Republish::Worthwhile)
    }

    fn merge_from(&mut self, update: &Verified<Update>, origin: Origin, is_from_node: bool) -> Merged {
        let known = self.node(&update.node);
        let effect = UpdateEffect::of(known, update);
        // An update without a later announcement only shows that the node is alive, which only the node itself can prove.
        if effect.latest.is_empty() && !is_from_node {
            return Merged::Old;
        }
        // A node that has published here itself keeps its address.
        let origin = match known.and_then(|node| node.origin) {
            Some(charged) if !is_from_node => charged,
            _ => origin,
        };
        if let Err(refusal) = self.make_room(update.node, &effect, origin, is_from_node) {
            return Merged::Refused(refusal);
        }
        self.taken += 1;
        let taken = self.taken;
        self.edit(update.node, |edit| {
            edit.node.origin = Some(origin);
            edit.node.last_seen = taken;
            edit.announce(update, &effect.latest);
        });
        if effect.latest.is_empty() { Merged::Old } else { Merged::New }
    }

    /// Whether the limits allow what would be held of a node then. Others that hold more are evicted.
    /// (R5.5.)
    fn make_room(
        &mut self,
        key: PublicKey,
        effect: &UpdateEffect<'_>,
        origin: Origin,
        is_from_node: bool,
    ) -> Result<(), UpdateRefusal> {
        let limits = &self.limits;
        let old = self.node(&key).and_then(|node| node.holding(key));
        let before = old.map_or(Counts::default(), |old| old.counts);
        // An update that opens and closes edges it has named before adds none: a node above a lowered quota can still
        // close edges.
        let is_above_edges = effect.added > 0 && effect.counts.edges > limits.edges_per_node_max;
        let is_above_bytes = effect.counts.bytes > before.bytes.max(limits.update_bytes_per_node_max);
        if is_above_edges || is_above_bytes {
            return Err(UpdateRefusal::Quota);
        }
        let stays = old.is_some_and(|old| old.origin == origin);
        if stays && effect.counts.fits(before) {
            return Ok(());
        }
        let priority = match (stays && effect.added == 0, is_from_node) {
            (true, _) => Priority::Renewal,
            (false, true) => Priority::FromNode,
            (false, false) => Priority::FromNeighbour,
        };
        let wanted = Holding { node: key, origin, counts: effect.counts, last_seen: self.taken };
        // What it holds already does not count beside what it will hold.
        if let Some(old) = &old {
            self.quota.remove(old);
        }
        let result = loop {
            match self.quota.room(&wanted, priority) {
                Room::Free => break Ok(()),
                Room::Evict(node) => {
                    self.evicted += 1;
                    self.edit(node, |edit| edit.forget());
                }
                Room::Full(QuotaGroup::Network(_)) => break Err(UpdateRefusal::AddressQuota),
                Room::Full(_) => break Err(UpdateRefusal::Full),
            }
        };
        if let Some(old) = &old {
            self.quota.add(old);
        }
        result
    }

    /// Changes what is held of a node, and what is counted of it.
    fn edit(&mut self, key: PublicKey, edit: impl FnOnce(&mut NodeEdit<'_>)) {
        let bucket = &mut self.buckets[usize::from(bucket_of(&key))];
        let old = bucket.take(&key);
        let old_holding = old.as_ref().and_then(|old| old.holding(key));
        let mut node = old.unwrap_or_default();
        edit(&mut NodeEdit { key, node: &mut node, changes: &mut self.changes });
        if let Some(holding) = old_holding {
            self.quota.remove(&holding);
        }
        if !node.is_forgotten() {
            if let Some(holding) = node.holding(key) {
                self.quota.add(&holding);
            }
            bucket.put(key, node);
        }
    }
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
