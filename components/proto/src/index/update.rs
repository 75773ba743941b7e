//! What a node publishes at its index servers, and what became of it.

use super::edge::Edge;
use crate::encoding::{Canonical, DecodeError, Decoder, Encoder};
use crate::signed::Signable;
use offst_crypto::PublicKey;

/// Most edges in one update.
pub const EDGES_MAX: usize = 1024;
/// Most bytes of one update with its signature.
pub const UPDATE_BYTES_MAX: usize = 128 * 1024;
/// An update may expire at most this long after it arrives, milliseconds.
pub const TIME_TO_LIVE_MS_MAX: u64 = 3_600_000;

/// Edges of one node that changed, or are said again before they expire. The last update wins for each edge; edges that
/// are not named stay as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The node that publishes and signs.
    pub node: PublicKey,
    /// max(last + 1, unix time in ms): grows with every update of the node.
    pub sequence: u64,
    /// When these edges end unless they are said again, unix ms.
    pub expires_ms: u64,
    /// At most [`EDGES_MAX`], in strictly ascending order of friend and currency, none to the node itself.
    pub edges: Vec<Edge>,
}

impl Canonical for Update {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.value(&self.node);
        encoder.u64(self.sequence);
        encoder.u64(self.expires_ms);
        encoder.list(&self.edges);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let update = Update {
            node: decoder.value()?,
            sequence: decoder.u64()?,
            expires_ms: decoder.u64()?,
            edges: decoder.list(EDGES_MAX, "the number of edges")?,
        };
        let ascending = update
            .edges
            .windows(2)
            .all(|pair| (pair[0].friend, &pair[0].currency) < (pair[1].friend, &pair[1].currency));
        if !ascending {
            return Err(DecodeError::invalid("the order of the edges"));
        }
        if update.edges.iter().any(|edge| edge.friend == update.node) {
            return Err(DecodeError::invalid("an edge of a node to itself"));
        }
        Ok(update)
    }
}

impl Signable for Update {
    const DOMAIN: &'static str = "offst/index-update/1";
    const BYTES_MAX: usize = UPDATE_BYTES_MAX;

    fn author(&self) -> PublicKey {
        self.node
    }
}

/// Answers an [`Update`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpdateResult {
    /// Of the update that this answers.
    pub sequence: u64,
    /// What became of it.
    pub outcome: UpdateOutcome,
}

/// What became of an [`Update`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateOutcome {
    /// The server knows it.
    Accepted {
        /// The newest sequence number of the node.
        newest: u64,
    },
    /// The server knows a newer one; publish again with a higher number.
    Stale {
        /// The newest sequence number of the node.
        newest: u64,
    },
    /// The server does not take it.
    Refused {
        /// Why.
        reason: UpdateRefusal,
        /// The server's clock, unix ms.
        server_ms: u64,
    },
}

/// Why an index server does not take an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum UpdateRefusal {
    /// Forged or damaged.
    #[error("the update's signature is not valid")]
    Signature,
    /// Nodes publish for themselves only.
    #[error("the update speaks of another node than the one connected")]
    OtherNode,
    /// The absolute expiry has passed.
    #[error("the update has expired already: compare this machine's clock with the index server's")]
    Expired,
    /// The absolute expiry is more than [`TIME_TO_LIVE_MS_MAX`] away.
    #[error("the update expires more than an hour ahead: compare this machine's clock with the index server's")]
    TooFarAhead,
    /// More edges than the server takes from one node.
    #[error("the node publishes more edges than the index server takes from one node")]
    Quota,
    /// The server has no room for more edges.
    #[error("the index server is full")]
    Full,
    /// More updates a second than the server takes from one node.
    #[error("the node publishes more often than the index server takes")]
    TooOften,
    /// All nodes that publish from the same network address are together above what the server takes from one.
    #[error("the nodes at this node's network address publish more than the index server takes from one address")]
    AddressQuota,
    /// Less than a quarter of the bytes that the server keeps of the node still counts. The node says all its edges again
    /// at once, also those that it has taken back; nothing is wrong.
    #[error("the index server wants all of the node's edges said again")]
    SayAll,
}

impl UpdateRefusal {
    /// Whether one of the two clocks is wrong.
    pub fn is_clock(self) -> bool {
        matches!(self, UpdateRefusal::Expired | UpdateRefusal::TooFarAhead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amount::Amount;
    use crate::index::Clearable;
    use crate::rate::Rate;
    use crate::signed::{Unverified, Verified};
    use crate::test_values::{above_the_bound, identity};
    use offst_crypto::{Ed25519Verifier, Identity};

    fn edge(seed: u8, currency: &str) -> Edge {
        Edge {
            friend: identity(seed).public_key(),
            currency: currency.parse().unwrap(),
            send_capacity: 100.into(),
            receive_capacity: Amount::capped(1 << 70),
            rate: Rate { mul: 7, add: 1.into() },
            clearable: Clearable::Receive(Amount::capped(1 << 60)),
        }
    }

    fn update() -> Update {
        let mut edges = vec![edge(2, "credit"), edge(2, "hours"), edge(3, "credit")];
        edges.sort();
        Update { node: identity(1).public_key(), sequence: 5, expires_ms: 1_700_000_000_000, edges }
    }

    fn read(value: &Update) -> Result<Update, DecodeError> {
        Update::from_canonical_bytes(&value.to_canonical_bytes())
    }

    #[test]
    fn signed_bytes_are_fixed() {
        let update = Update { edges: vec![edge(2, "credit")], ..update() };
        let signed = Verified::sign(update, &identity(1));
        let hex: String = signed.wire().iter().map(|byte| format!("{byte:02x}")).collect();
        insta::assert_snapshot!(hex, @"000000146f666673742f696e6465782d7570646174652f318a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c00000000000000050000018bcfe56800000000018139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b39400000006637265646974000000000000000000000000000000640000000000000040000000000000000000000007000000000000000000000000000000010200000000000000001000000000000000783b4c8ddf60a62467bdaf391c492ba4fb33b793c5d3ff0c2186bac8085659884d9faf26b4631fbf3d90502c8da79ff3631189fb75090d295d4f5716ab97bb09");
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let signed = Verified::sign(update(), &identity(1));
        let wire = signed.wire();
        assert_eq!(Unverified::from_wire(wire).unwrap().verify(&Ed25519Verifier).unwrap(), signed);
        for position in 0..wire.len() {
            let mut bytes = wire.to_vec();
            bytes[position] ^= 1 << (position % 8);
            let taken = Unverified::<Update>::from_wire(&bytes).ok().and_then(|u| u.verify(&Ed25519Verifier).ok());
            assert_eq!(taken, None, "byte {position}");
            assert!(Unverified::<Update>::from_wire(&wire[..position]).is_err());
        }
    }

    #[test]
    fn the_largest_update_fits_its_bound() {
        let mut edges: Vec<_> = (0..EDGES_MAX)
            .map(|number| {
                let mut seed = [0; 32];
                seed[..8].copy_from_slice(&(number as u64 + 100).to_be_bytes());
                Edge { friend: Identity::from_seed(seed).public_key(), ..edge(2, "abcdefghijklmnop") }
            })
            .collect();
        edges.sort();
        let mut largest = Update { edges, ..update() };
        let signed = Verified::sign(largest.clone(), &identity(1));
        assert!(Unverified::<Update>::from_wire(signed.wire()).is_ok());
        largest.edges.push(edge(2, "zz"));
        assert_eq!(read(&largest), Err(DecodeError::too_large("the number of edges")));
    }

    #[test]
    fn edges_are_ascending_and_lead_elsewhere() {
        assert_eq!(read(&update()), Ok(update()));
        let mut twice = update();
        twice.edges[1] = twice.edges[0].clone();
        assert_eq!(read(&twice), Err(DecodeError::invalid("the order of the edges")));
        let own = Update { edges: vec![edge(1, "credit")], ..update() };
        assert_eq!(read(&own), Err(DecodeError::invalid("an edge of a node to itself")));
        let large = Update { edges: vec![Edge { send_capacity: Amount::MAX, ..edge(2, "a") }], ..update() };
        let bytes = above_the_bound(large.to_canonical_bytes());
        assert_eq!(Update::from_canonical_bytes(&bytes), Err(DecodeError::too_large("an amount")));
    }
}
