//! An index server without sockets, files, threads or a clock: which updates it takes from nodes, what it sends to neighbours,
//! and how two servers find out what differs (protocol section 5).
//!
//! An update that is new goes to every neighbour except the one it came from; one that is not new goes nowhere, so updates
//! do not circulate when servers trust each other in a cycle. What a link has missed is found by comparing digests:
//!
//! ```text
//! both            summary: one digest of everything, and the clock; when the link begins
//! smaller key     summary, from time to time
//! larger key      buckets: 4096 digests, if the summary differs
//! smaller key     list of what it holds, for each bucket that differs
//! larger key      the updates that are missing in the list, then wants: the names that it does not hold
//! smaller key     the updates that are wanted
//! ```
//!
//! What a neighbour still has to be sent is a set of names, not a queue of bytes: it cannot grow beyond what is known, and
//! an announcement that is superseded before a slow neighbour has read it is never sent.

use crate::address_quota::Origin;
use crate::edge_store::{EdgeStore, GraphChange, Merged};
use crate::limits::Limits;
use offst_crypto::PublicKey;
use offst_proto::Verified;
use offst_proto::index::{
    BUCKETS, Listing, NAMES_MAX, ServerToServer, UPDATES_BYTES_FULL, UPDATES_MAX, Update, UpdateName, UpdateOutcome,
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

/// One sweep looks at one part of so many of all buckets.
const SWEEP_PARTS: usize = 60;
/// Most names that wait to be asked for at one neighbour. What is missing beyond is found by comparing again.
const WANTS_MAX: usize = 131_072;

/// What an index server holds, and its links to neighbours.
#[derive(Debug)]
pub struct Replica {
    own: PublicKey,
    limits: Limits,
    store: EdgeStore,
    links: BTreeMap<PublicKey, Link>,
}

/// What a neighbour still has to be sent.
#[derive(Debug, Default)]
struct Link {
    summary_due: bool,
    buckets_due: bool,
    updates: BTreeSet<UpdateName>,
    /// Updates that the neighbour does not have, while it has newer ones of the same node that are wanted: mostly these
    /// supersede them, so they are sent only when one of the newer ones has arrived.
    held_back: BTreeSet<UpdateName>,
    wants: BTreeSet<UpdateName>,
    /// More is missing than fits into `wants`.
    wants_more: bool,
    lists: BTreeSet<u16>,
    /// The part of the first of `lists` that was sent already.
    listed: Option<UpdateName>,
    compare_at_ms: u64,
}

impl Link {
    fn is_idle(&self) -> bool {
        let is_empty = self.updates.is_empty() && self.wants.is_empty() && self.lists.is_empty();
        is_empty && !self.summary_due && !self.buckets_due && !self.wants_more
    }
}

/// What became of the updates of one frame from a neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Received {
    /// New ones.
    pub new: u64,
    /// Those that were not newer than what is known.
    pub old: u64,
    /// Those that were above a quota.
    pub over_quota: u64,
}

/// What a message from a neighbour means for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// Nothing.
    None,
    /// The neighbour's clock, unix ms.
    Clock(u64),
    /// The neighbour closes the connection.
    Refused(offst_proto::index::FederationRefusal),
}

impl Replica {
    /// The server with the key `own`, without any edges.
    pub fn new(own: PublicKey, limits: Limits) -> Self {
        Replica { own, limits, store: EdgeStore::new(limits), links: BTreeMap::new() }
    }

    /// The edges that are held.
    pub fn store(&self) -> &EdgeStore {
        &self.store
    }

    /// One digest of everything: equal at two servers that hold the same.
    pub fn digest(&mut self) -> u64 {
        self.store.digest()
    }

    /// What has changed in the graph since the last call, in order.
    pub fn take_changes(&mut self) -> Vec<GraphChange> {
        self.store.take_changes()
    }

    /// A node publishes over its own connection from `address` an update that [`admit`](crate::admit) let through.
    pub fn publish(&mut self, update: &Verified<Update>, address: IpAddr, now_ms: u64) -> UpdateOutcome {
        let outcome = self.store.publish(update, Some(address), now_ms);
        if matches!(outcome, UpdateOutcome::Accepted { .. }) {
            self.queue_for_others(UpdateName::of(update), None);
        }
        outcome
    }

    /// Takes an update from a file that this server wrote itself, which says against whose quota it counts.
    pub fn restore(&mut self, update: &Verified<Update>, origin: Origin) -> Merged {
        self.store.merge(update, origin)
    }

    /// What has to be written to the file of one bucket: [`EdgeStore::to_save`].
    pub fn to_save(&mut self, bucket: u16, is_all: bool, now_ms: u64) -> Vec<(Origin, Arc<[u8]>)> {
        self.store.to_save(bucket, is_all, now_ms)
    }

    /// Computes the digests of those of some buckets that have changed, so that [`Replica::digest`] has less to do at once.
    pub fn refresh_digests(&mut self, buckets: Range<usize>) {
        self.store.refresh_digests(buckets);
    }

    /// A link to a neighbour begins. Both servers trust each other.
    pub fn link_up(&mut self, neighbour: PublicKey, now_ms: u64) {
        let compare_at_ms = now_ms.saturating_add(self.limits.compare_ms);
        self.links.insert(neighbour, Link { summary_due: true, compare_at_ms, ..Link::default() });
    }

    /// The link to a neighbour ends.
    pub fn link_down(&mut self, neighbour: &PublicKey) {
        self.links.remove(neighbour);
    }

    /// The neighbours that there is something to send to: [`Replica::next_message`].
    pub fn links_to_serve(&self) -> Vec<PublicKey> {
        self.links.iter().filter(|(_, link)| !link.is_idle()).map(|(key, _)| *key).collect()
    }

    /// Whether an update from a neighbour holds a later announcement: only then its signature is worth a check. In any case
    /// the neighbour has it.
    pub fn wants(&mut self, neighbour: &PublicKey, name: &UpdateName, update: &Update) -> bool {
        if let Some(link) = self.links.get_mut(neighbour) {
            link.updates.remove(name);
            link.wants.remove(name);
        }
        self.store.is_new(name, update)
    }

    /// Updates that came from a neighbour, which the checks of [`admit_from_neighbour`](crate::admit_from_neighbour) let
    /// through.
    pub fn receive_updates(&mut self, neighbour: &PublicKey, updates: &[Verified<Update>]) -> Received {
        let mut received = Received::default();
        let mut released = Vec::new();
        for update in updates {
            let name = UpdateName::of(update);
            if let Some(link) = self.links.get_mut(neighbour) {
                link.updates.remove(&name);
                link.wants.remove(&name);
                let first = UpdateName { sequence: 0, tag: 0, ..name };
                let last = UpdateName { sequence: u64::MAX, tag: u64::MAX, ..name };
                released.extend(link.held_back.range(first..=last));
            }
            match self.store.merge(update, Origin::Neighbour(*neighbour)) {
                Merged::New => {
                    received.new += 1;
                    self.queue_for_others(name, Some(neighbour));
                }
                Merged::Old => received.old += 1,
                Merged::Refused(_) => received.over_quota += 1,
            }
        }
        if let Some(link) = self.links.get_mut(neighbour) {
            for name in released {
                // Those that were dropped by now need not be sent.
                if link.held_back.remove(&name) && self.store.holds(&name) {
                    link.updates.insert(name);
                }
            }
        }
        received
    }

    /// A message from a neighbour other than [`ServerToServer::Updates`], whose signatures are checked first.
    pub fn receive(&mut self, neighbour: &PublicKey, message: ServerToServer, now_ms: u64) -> Notice {
        let Some(link) = self.links.get_mut(neighbour) else { return Notice::None };
        match message {
            ServerToServer::Refused(reason) => return Notice::Refused(reason),
            ServerToServer::Summary { digest, clock_ms } => {
                // One side compares, or both would send everything twice.
                if self.own > *neighbour && digest != self.store.digest() {
                    link.buckets_due = true;
                }
                return Notice::Clock(clock_ms);
            }
            ServerToServer::Buckets(digests) => {
                let own = self.store.digests();
                let differs =
                    |(bucket, digest): (u16, &u64)| (own.get(usize::from(bucket)) != Some(digest)).then_some(bucket);
                link.lists = (0..).zip(digests.iter().take(BUCKETS)).filter_map(differs).collect();
                link.listed = None;
            }
            ServerToServer::List(listing) => self.receive_list(neighbour, &listing, now_ms),
            ServerToServer::Wants(names) => {
                link.updates.extend(names.into_iter().filter(|name| self.store.holds(name)));
            }
            ServerToServer::Updates(_) | ServerToServer::Keepalive => {}
        }
        Notice::None
    }

    // R5.15.
    fn receive_list(&mut self, neighbour: &PublicKey, listing: &Listing, now_ms: u64) {
        let Some(link) = self.links.get_mut(neighbour) else { return };
        let theirs: BTreeSet<_> = listing.names.iter().copied().collect();
        let end = if listing.is_last { None } else { listing.names.last() };
        let mut after = listing.after;
        loop {
            let own = self.store.listing(listing.bucket, after, now_ms);
            let inside = own.names.iter().take_while(|name| end.is_none_or(|end| *name <= end));
            for name in inside.filter(|name| !theirs.contains(name)) {
                let newer = theirs.range(name..).next().filter(|newer| newer.node == name.node);
                match newer.filter(|newer| !self.store.holds(newer)) {
                    Some(_) => link.held_back.insert(*name),
                    None => link.updates.insert(*name),
                };
            }
            after = own.names.last().copied();
            if own.is_last || after.zip(end).is_some_and(|(after, end)| after >= *end) {
                break;
            }
        }
        for name in theirs {
            let is_missing =
                !self.store.holds(&name) && (self.store.has_room(neighbour) || self.store.newest(&name.node).is_some());
            if is_missing && link.wants.len() < WANTS_MAX {
                link.wants.insert(name);
            } else if is_missing {
                link.wants_more = true;
            }
        }
    }

    /// The next message to a neighbour, as soon as its connection takes one.
    pub fn next_message(&mut self, neighbour: &PublicKey, now_ms: u64) -> Option<ServerToServer> {
        let link = self.links.get_mut(neighbour)?;
        if std::mem::take(&mut link.summary_due) {
            return Some(ServerToServer::Summary { digest: self.store.digest(), clock_ms: now_ms });
        }
        if std::mem::take(&mut link.buckets_due) {
            return Some(ServerToServer::Buckets(self.store.digests()));
        }
        // Updates go before wants: a wanted update that one of these supersedes is not sent.
        let mut updates = Vec::new();
        let mut bytes = 0;
        while bytes < UPDATES_BYTES_FULL && updates.len() < UPDATES_MAX {
            let Some(name) = link.updates.pop_first() else { break };
            if let Some(wire) = self.store.wire(&name, now_ms) {
                bytes += wire.len();
                updates.push(wire.to_vec());
            }
        }
        if !updates.is_empty() {
            return Some(ServerToServer::Updates(updates));
        }
        let mut wants = Vec::new();
        while wants.len() < NAMES_MAX {
            let Some(name) = link.wants.pop_first() else { break };
            if !self.store.holds(&name) {
                wants.push(name);
            }
        }
        if !wants.is_empty() {
            return Some(ServerToServer::Wants(wants));
        }
        if std::mem::take(&mut link.wants_more) {
            return Some(ServerToServer::Buckets(self.store.digests()));
        }
        let bucket = *link.lists.first()?;
        let listing = self.store.listing(bucket, link.listed, now_ms);
        link.listed = listing.names.last().copied();
        if listing.is_last {
            link.lists.remove(&bucket);
            link.listed = None;
        }
        Some(ServerToServer::List(listing))
    }

    /// Time passes: frees the memory of what has expired, and compares with neighbours again.
    pub fn tick(&mut self, now_ms: u64) {
        self.store.sweep(now_ms, BUCKETS / SWEEP_PARTS + 1);
        self.forget_dropped();
        for (neighbour, link) in &mut self.links {
            if self.own < *neighbour && link.compare_at_ms <= now_ms && link.lists.is_empty() {
                link.summary_due = true;
                link.compare_at_ms = now_ms.saturating_add(self.limits.compare_ms);
            }
        }
    }

    // R5.12.
    fn queue_for_others(&mut self, name: UpdateName, source: Option<&PublicKey>) {
        self.forget_dropped();
        if !self.store.holds(&name) {
            return;
        }
        for (neighbour, link) in &mut self.links {
            if Some(neighbour) != source {
                link.updates.insert(name);
            }
        }
    }

    fn forget_dropped(&mut self) {
        for name in self.store.take_dropped() {
            for link in self.links.values_mut() {
                link.updates.remove(&name);
                link.held_back.remove(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests;
