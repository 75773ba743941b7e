//! The nodes of one bucket, and what two servers compare of it: a digest, and a list of the updates that it holds.

use super::node_record::NodeRecord;
use offst_crypto::{Hash, PublicKey, sha256};
use offst_proto::index::{Listing, NAMES_MAX, UpdateName};
use std::collections::BTreeMap;
use std::ops::Bound;

/// The nodes whose keys belong to one bucket.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    nodes: BTreeMap<PublicKey, NodeRecord>,
    /// None when it has to be computed.
    digest: Option<u64>,
}

impl Bucket {
    pub(super) fn get(&self, key: &PublicKey) -> Option<&NodeRecord> {
        self.nodes.get(key)
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = (&PublicKey, &NodeRecord)> {
        self.nodes.iter()
    }

    /// For what the digest does not depend on.
    pub(super) fn nodes_mut(&mut self) -> impl Iterator<Item = &mut NodeRecord> {
        self.nodes.values_mut()
    }

    pub(super) fn take(&mut self, key: &PublicKey) -> Option<NodeRecord> {
        self.digest = None;
        self.nodes.remove(key)
    }

    pub(super) fn put(&mut self, key: PublicKey, node: NodeRecord) {
        self.digest = None;
        self.nodes.insert(key, node);
    }

    /// The digest of the names of all updates; 0 without any.
    pub(super) fn digest(&mut self) -> u64 {
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

    /// The names of the updates after `after`, as many as a message takes. `bucket` is the number of this bucket.
    pub(super) fn listing(&self, bucket: u16, after: Option<UpdateName>, now_ms: u64) -> Listing {
        let start = after.map_or(Bound::Unbounded, |name| Bound::Included(name.node));
        let names = self.nodes.range((start, Bound::Unbounded)).flat_map(|(node, known)| {
            let held = known.updates.iter().filter(|(_, kept)| kept.expires_ms > now_ms);
            held.map(|((sequence, tag), _)| UpdateName { node: *node, sequence: *sequence, tag: *tag })
        });
        let mut names: Vec<_> =
            names.filter(|name| after.is_none_or(|after| *name > after)).take(NAMES_MAX + 1).collect();
        let is_last = names.len() <= NAMES_MAX;
        names.truncate(NAMES_MAX);
        Listing { bucket, after, names, is_last }
    }
}

/// The first eight bytes of a hash as a number.
pub(super) fn first_bytes(hash: &Hash) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_be_bytes(bytes)
}
