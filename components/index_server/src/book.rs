//! What nodes have published: the newest word about each edge, the signed updates that prove it, and digests of them by
//! which two servers find out what differs (protocol section 5). No IO: time is an argument.
//!
//! For each edge the newest update that names it wins, whatever the order in which updates arrive: servers that have seen
//! the same updates hold the same. An update is kept as it was signed for as long as it is the newest word about some
//! edge and has not expired, because neighbours believe signatures, not us. An edge that was taken back is kept in the
//! same way, or an older word that comes later would open it again.
//!
//! Updates are kept whole, so a node could hold many of which one edge each still counts. A node of whose bytes less than a
//! quarter counts is told to say all its edges again, which lets the old updates go. That costs it at most a third of what
//! it has sent since it did so before: the bytes have to grow to four times of what counts.

use crate::Limits;
use crate::shares::{Bounds, Claim, Held, Holding, Origin, Party, Room, Shares};
use offst_crypto::{Hash, PublicKey, sha256};
use offst_proto::index::{
    BUCKETS, Edge, Listing, NAMES_MAX, Update, UpdateName, UpdateOutcome, UpdateRefusal, bucket_of,
};
use offst_proto::{Currency, Unverified, Verified};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::{Bound, Range};
use std::sync::Arc;

/// What a kept update costs beside its bytes: the entries that name it.
const UPDATE_OVERHEAD_BYTES: usize = 128;
/// A node has to say all its edges again when less than one part in so many of its bytes counts.
const COUNTING_PART: usize = 4;
/// A node that holds so little need not, bytes.
const SMALL_NODE_BYTES: usize = 32 << 10;

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

/// An update's place among those of its node: sequence number, then tag.
type Version = (u64, u64);

/// The newest word about every edge of every node.
#[derive(Debug)]
pub struct Book {
    limits: Limits,
    buckets: Vec<Bucket>,
    shares: Shares,
    /// Grows with every update that is taken.
    heard: u64,
    /// Nodes that were forgotten for others.
    gave_way: u64,
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
    /// Whose share of the server it counts against: where the node itself has published from last; the neighbour that has
    /// told of it first, if it never has.
    origin: Option<Origin>,
    /// When it was heard last, in the order of this server.
    heard: u64,
    /// It was told to say all its edges again: of words up to this sequence number those count no more that it does not
    /// say again.
    say_all_behind: Option<u64>,
}

#[derive(Debug)]
struct Kept {
    wire: Arc<[u8]>,
    expires_ms: u64,
    /// Edges about which it is the newest word; never 0.
    edges: usize,
    /// Edges that it names.
    named: usize,
    /// Whether the file has it.
    is_saved: bool,
}

impl Kept {
    fn bytes(&self) -> usize {
        self.wire.len() + UPDATE_OVERHEAD_BYTES
    }

    /// The part of its bytes that counts when so many of its edges do.
    fn counting(&self, edges: usize) -> usize {
        self.bytes() * edges / self.named.max(1)
    }
}

/// What an update would change of what is held of its node.
struct Effect<'a> {
    /// The edges about which it is the newest word.
    wins: Vec<&'a Edge>,
    /// How many of them were not known.
    added: usize,
    /// How many edges fewer count of each update that is kept.
    released: BTreeMap<Version, usize>,
    /// What would be held of the node then.
    held: Held,
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
        let bounds = Bounds {
            everybody: Held { nodes: limits.nodes_max, edges: limits.edges_max, bytes: limits.update_bytes_max },
            address: Held {
                nodes: limits.nodes_per_address_max,
                edges: limits.edges_per_address_max,
                bytes: limits.update_bytes_per_address_max,
            },
            neighbour: Held {
                nodes: limits.nodes_per_neighbour_max,
                edges: limits.edges_per_neighbour_max,
                bytes: limits.update_bytes_per_neighbour_max,
            },
            node: Held { nodes: usize::MAX, edges: limits.edges_per_node_max, bytes: limits.update_bytes_per_node_max },
        };
        Book {
            limits,
            buckets: std::iter::repeat_with(Bucket::default).take(BUCKETS).collect(),
            shares: Shares::new(bounds),
            heard: 0,
            gave_way: 0,
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
        if self.wants_all_said_again(update) {
            return UpdateOutcome::Refused { reason: UpdateRefusal::SayAll, server_ms: now_ms };
        }
        match self.merge_from(update, address.map_or(Origin::Nowhere, Origin::Address), true) {
            Merged::Refused(reason) => UpdateOutcome::Refused { reason, server_ms: now_ms },
            Merged::News | Merged::Old => UpdateOutcome::Accepted { newest: update.sequence },
        }
    }

    /// Takes what is new in an update from a neighbour or a file, which may come in any order and again. It counts against
    /// `origin` unless the node itself has published here.
    pub fn merge(&mut self, update: &Verified<Update>, origin: Origin) -> Merged {
        self.merge_from(update, origin, false)
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

    /// Whether there may be room for one more node that a neighbour tells of.
    pub fn has_room(&self, neighbour: &PublicKey) -> bool {
        !self.shares.is_full(Origin::Neighbour(*neighbour))
    }

    /// The signed bytes of the updates of a bucket that have not expired, and whose share they count against: all of them,
    /// or those that no call before has given. The caller writes them to a file.
    pub fn to_save(&mut self, bucket: u16, is_all: bool, now_ms: u64) -> Vec<(Origin, Arc<[u8]>)> {
        let mut updates = Vec::new();
        for node in self.buckets.get_mut(usize::from(bucket)).into_iter().flat_map(|bucket| bucket.nodes.values_mut()) {
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

    /// Makes the digests of some buckets anew that have changed.
    pub(crate) fn refresh_digests(&mut self, buckets: Range<usize>) {
        self.buckets.get_mut(buckets).into_iter().flatten().for_each(|bucket| _ = bucket.digest());
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
        self.shares.total().nodes
    }

    /// Edges held, with those that were taken back not long ago.
    pub fn edge_count(&self) -> usize {
        self.shares.total().edges
    }

    /// Bytes of the signed updates that are kept.
    pub fn update_bytes(&self) -> usize {
        self.shares.total().bytes
    }

    /// Nodes that were forgotten so far because others had too little.
    pub fn gave_way(&self) -> u64 {
        self.gave_way
    }

    /// The largest sequence number of a node.
    pub fn newest(&self, node: &PublicKey) -> Option<u64> {
        self.node(node).map(|node| node.newest)
    }

    fn node(&self, key: &PublicKey) -> Option<&Node> {
        self.buckets[usize::from(bucket_of(key))].nodes.get(key)
    }

    /// Whether a node has to say all its edges again instead of this update, which is newer than all before. It is told so
    /// when too little of what would be kept counts. From then on updates are taken that say again what is older; the first
    /// one that does not shows that the node has said all, and what it has not named then it does not know any more.
    fn wants_all_said_again(&mut self, update: &Verified<Update>) -> bool {
        let Some(node) = self.node(&update.node) else { return false };
        let (newest, behind) = (node.newest, node.say_all_behind);
        let Some(is_above_bound) = self.is_spent(node, update) else {
            if behind.is_some() {
                self.change(update.node, |_, node| node.say_all_behind = None);
            }
            return false;
        };
        if let Some(behind) = behind {
            let is_older = |edge: &&Edge| node.word(edge).is_some_and(|word| word.version.0 <= behind);
            let says_again = update.edges.iter().filter(is_older).count() * 2 >= update.edges.len();
            if says_again && !is_above_bound {
                return false;
            }
            self.change(update.node, |book, node| book.give_up_words(update.node, node, behind));
            if self.node(&update.node).is_none_or(|node| self.is_spent(node, update).is_none()) {
                return false;
            }
        }
        self.change(update.node, |_, node| node.say_all_behind = Some(newest));
        true
    }

    /// Whether saying all edges again instead of this update lets much go; and whether it must, because the bytes would be
    /// above what is kept of a node.
    fn is_spent(&self, node: &Node, update: &Verified<Update>) -> Option<bool> {
        let effect = self.effect(Some(node), update);
        let bytes = effect.held.bytes;
        let counting = node.updates.iter().map(|(version, kept)| {
            kept.counting(kept.edges - effect.released.get(version).copied().unwrap_or_default())
        });
        let own = if effect.wins.is_empty() { 0 } else { update.wire().len() + UPDATE_OVERHEAD_BYTES };
        let counting = counting.sum::<usize>() + own;
        let is_above_bound = bytes > self.limits.update_bytes_per_node_max;
        let is_spent = bytes > SMALL_NODE_BYTES && counting.saturating_mul(COUNTING_PART) < bytes;
        (is_spent || (is_above_bound && counting < bytes)).then_some(is_above_bound)
    }

    fn effect<'a>(&self, known: Option<&Node>, update: &'a Verified<Update>) -> Effect<'a> {
        let version = version(&UpdateName::of(update));
        let is_news = |edge: &&Edge| known.is_none_or(|node| node.is_news(edge, version));
        let wins: Vec<&Edge> = update.edges.iter().filter(is_news).collect();
        let mut released = BTreeMap::new();
        let mut added = 0;
        for edge in &wins {
            match known.and_then(|node| node.word(edge)) {
                Some(word) => *released.entry(word.version).or_default() += 1,
                None => added += 1,
            }
        }
        let mut held = known.map_or(Held { nodes: 1, ..Held::default() }, Node::held);
        held.edges += added;
        if !wins.is_empty() {
            held.bytes += update.wire().len() + UPDATE_OVERHEAD_BYTES;
        }
        let kept = |version| known.and_then(|node| node.updates.get(version));
        let replaced = released.iter().filter_map(|(version, edges)| kept(version).filter(|kept| kept.edges == *edges));
        held.bytes -= replaced.map(Kept::bytes).sum::<usize>();
        Effect { wins, added, released, held }
    }

    fn merge_from(&mut self, update: &Verified<Update>, origin: Origin, is_own_word: bool) -> Merged {
        let known = self.node(&update.node);
        let effect = self.effect(known, update);
        // Only the node itself is believed that it lives without saying anything.
        if effect.wins.is_empty() && !is_own_word {
            return Merged::Old;
        }
        // A node that was here itself stays where it was.
        let origin = match known.and_then(|node| node.origin) {
            Some(charged) if !is_own_word => charged,
            _ => origin,
        };
        if let Err(refusal) = self.make_room(update.node, &effect, origin, is_own_word) {
            return Merged::Refused(refusal);
        }
        let Effect { wins, .. } = effect;
        let version = version(&UpdateName::of(update));
        self.heard += 1;
        self.change(update.node, |book, node| {
            node.newest = node.newest.max(update.sequence);
            node.kept_until_ms = node.kept_until_ms.max(update.expires_ms);
            node.origin = Some(origin);
            node.heard = book.heard;
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
                let (edges, named) = (wins.len(), update.edges.len());
                let wire = update.wire().clone();
                let kept = Kept { wire, expires_ms: update.expires_ms, edges, named, is_saved: false };
                node.update_bytes += kept.bytes();
                node.updates.insert(version, kept);
            }
        });
        if wins.is_empty() { Merged::Old } else { Merged::News }
    }

    /// Whether the limits allow what a node would hold then. Others that hold more give way.
    fn make_room(
        &mut self,
        key: PublicKey,
        effect: &Effect<'_>,
        origin: Origin,
        is_own_word: bool,
    ) -> Result<(), UpdateRefusal> {
        let limits = &self.limits;
        let old = self.node(&key).and_then(|node| node.holding(key));
        let before = old.map_or(Held::default(), |old| old.held);
        // An update that opens and closes edges it has named before adds none: a node above a lowered quota can still
        // close edges.
        let is_above_edges = effect.added > 0 && effect.held.edges > limits.edges_per_node_max;
        let is_above_bytes = effect.held.bytes > before.bytes.max(limits.update_bytes_per_node_max);
        if is_above_edges || is_above_bytes {
            return Err(UpdateRefusal::Quota);
        }
        let stays = old.is_some_and(|old| old.origin == origin);
        if stays && effect.held.fits(before) {
            return Ok(());
        }
        let claim = match (stays && effect.added == 0, is_own_word) {
            (true, _) => Claim::Renewal,
            (false, true) => Claim::Present,
            (false, false) => Claim::Heard,
        };
        let wanted = Holding { node: key, origin, held: effect.held, heard: self.heard };
        // What it holds already it gives back first.
        if let Some(old) = &old {
            self.shares.give_back(old);
        }
        let result = loop {
            match self.shares.room(&wanted, claim) {
                Room::Free => break Ok(()),
                Room::GivesWay(node) => {
                    self.gave_way += 1;
                    self.forget(node);
                }
                Room::Lacks(Party::Network(_)) => break Err(UpdateRefusal::AddressQuota),
                Room::Lacks(_) => break Err(UpdateRefusal::Full),
            }
        };
        if let Some(old) = &old {
            self.shares.take(old);
        }
        result
    }

    /// Forgets everything about a node, also its numbers: what it says next is news.
    fn forget(&mut self, key: PublicKey) {
        self.change(key, |book, node| {
            for version in node.updates.keys().copied().collect::<Vec<_>>() {
                book.drop_update(key, node, version);
            }
            for ((friend, currency), word) in std::mem::take(&mut node.edges) {
                if word.is_open {
                    book.changes.push(GraphChange::Remove { node: key, friend, currency });
                }
            }
            node.kept_until_ms = 0;
        });
    }

    /// The words up to a sequence number count no more, as if the node had taken these edges back then.
    fn give_up_words(&mut self, key: PublicKey, node: &mut Node, sequence: u64) {
        let mut released = Vec::new();
        for ((friend, currency), word) in &mut node.edges {
            if word.version.0 <= sequence {
                released.push(word.version);
                word.version = (sequence, u64::MAX);
                if std::mem::take(&mut word.is_open) {
                    self.changes.push(GraphChange::Remove { node: key, friend: *friend, currency: currency.clone() });
                }
            }
        }
        for version in released {
            self.release(key, node, version);
        }
    }

    /// Changes what is known of a node; whatever is counted of it is counted anew.
    fn change(&mut self, key: PublicKey, change: impl FnOnce(&mut Self, &mut Node)) {
        let place = usize::from(bucket_of(&key));
        let old = self.buckets[place].nodes.remove(&key);
        let old_holding = old.as_ref().and_then(|old| old.holding(key));
        let mut node = old.unwrap_or_default();
        change(self, &mut node);
        if let Some(holding) = old_holding {
            self.shares.give_back(&holding);
        }
        let is_forgotten = node.edges.is_empty() && node.kept_until_ms == 0;
        let bucket = &mut self.buckets[place];
        bucket.digest = None;
        if !is_forgotten {
            if let Some(holding) = node.holding(key) {
                self.shares.take(&holding);
            }
            bucket.nodes.insert(key, node);
        }
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
            node.update_bytes -= kept.bytes();
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
    fn held(&self) -> Held {
        Held { nodes: 1, edges: self.edges.len(), bytes: self.update_bytes }
    }

    fn holding(&self, key: PublicKey) -> Option<Holding> {
        Some(Holding { node: key, origin: self.origin?, held: self.held(), heard: self.heard })
    }

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
