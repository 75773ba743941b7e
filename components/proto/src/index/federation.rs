//! The frames between two index servers that trust each other.

use super::update::{UPDATE_BYTES_MAX, Update};
use crate::encoding::DecodeError;
use crate::frame;
use crate::signed::{Unverified, Verified};
use crate::wire::federation_capnp as wire;
use capnp::message::Builder;
use offst_crypto::{Hash, PublicKey};

/// Nodes are divided into so many buckets, by the first 12 bits of their keys. One digest each is what two servers
/// compare: of a hundred thousand nodes some twenty-four are in a bucket, and all digests together have 32 kB.
pub const BUCKETS: usize = 4096;
/// Most names in one frame.
pub const NAMES_MAX: usize = 4096;
/// Most updates in one frame.
pub const UPDATES_MAX: usize = 1024;
/// A frame of updates takes no further one when it has so many bytes; it always takes one.
pub const UPDATES_BYTES_FULL: usize = 128 * 1024;
/// Largest frame on the link between two index servers, bytes.
pub const FEDERATION_FRAME_BYTES_MAX: usize = 512 * 1024;

/// Names one update. Ordered by node, then from the older to the newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UpdateName {
    /// Who signed it.
    pub node: PublicKey,
    /// Of the update.
    pub sequence: u64,
    /// The first 8 bytes of the hash of what is signed. A node that signs two updates with one sequence number is at
    /// fault; the larger tag wins, so that all servers hold the same.
    pub tag: u64,
}

impl UpdateName {
    /// The name of an update.
    pub fn of(update: &Verified<Update>) -> Self {
        UpdateName::new(update, update.hash())
    }

    /// The name that an update has if its signature is valid.
    pub fn claimed_by(update: &Unverified<Update>) -> Self {
        UpdateName::new(update.peek(), update.hash())
    }

    fn new(update: &Update, hash: Hash) -> Self {
        let mut tag = [0; 8];
        tag.copy_from_slice(&hash.as_bytes()[..8]);
        UpdateName { node: update.node, sequence: update.sequence, tag: u64::from_be_bytes(tag) }
    }

    /// The bucket of the node.
    pub fn bucket(&self) -> u16 {
        bucket_of(&self.node)
    }
}

/// The bucket of a node, below [`BUCKETS`].
pub fn bucket_of(node: &PublicKey) -> u16 {
    let bytes = node.as_bytes();
    u16::from_be_bytes([bytes[0], bytes[1]]) >> 4
}

/// The updates that a server holds of one bucket, between two names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Which bucket, below [`BUCKETS`].
    pub bucket: u16,
    /// Speaks of what comes behind this name; of everything from the start of the bucket without one.
    pub after: Option<UpdateName>,
    /// In strictly ascending order, behind `after`, of this bucket, at most [`NAMES_MAX`].
    pub names: Vec<UpdateName>,
    /// Speaks of everything up to the end of the bucket; otherwise of everything up to the last name.
    pub is_last: bool,
}

impl Listing {
    fn check(&self) -> Result<(), DecodeError> {
        let is_ascending = self.after.iter().chain(&self.names).is_sorted_by(|one, next| one < next);
        let is_of_bucket = self.after.iter().chain(&self.names).all(|name| name.bucket() == self.bucket);
        if !is_ascending || !is_of_bucket || usize::from(self.bucket) >= BUCKETS {
            return Err(DecodeError::invalid("a list of updates"));
        }
        Ok(())
    }
}

/// Why a server does not take a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FederationRefusal {
    /// The caller is not trusted there.
    #[error("it does not trust this server: its operator has to put this server's ticket into its folder trusted")]
    NotTrusted,
    /// Both servers called each other.
    #[error("the connection that it has opened itself at the same time stays")]
    Crossed,
}

/// What one frame from an index server to another one holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerToServer {
    /// The first and last frame from a server that does not take the connection.
    Refused(FederationRefusal),
    /// What the server knows, in one number. The first frame from a server that takes the connection.
    Summary {
        /// Of all digests of buckets.
        digest: u64,
        /// The server's clock, unix ms.
        clock_ms: u64,
    },
    /// The digests of all [`BUCKETS`].
    Buckets(Vec<u64>),
    /// What a bucket holds.
    List(Listing),
    /// Asks for updates, at most [`NAMES_MAX`].
    Wants(Vec<UpdateName>),
    /// Wire forms of signed [`Update`]s, at most [`UPDATES_MAX`].
    Updates(Vec<Vec<u8>>),
    /// Nothing to say, still there.
    Keepalive,
}

impl ServerToServer {
    /// The bytes of the frame.
    pub fn to_frame(&self) -> Vec<u8> {
        let mut message = Builder::new_default();
        let mut root = message.init_root::<wire::server_to_server::Builder<'_>>();
        match self {
            ServerToServer::Refused(reason) => root.set_refused(match reason {
                FederationRefusal::NotTrusted => wire::Refusal::NotTrusted,
                FederationRefusal::Crossed => wire::Refusal::Crossed,
            }),
            ServerToServer::Summary { digest, clock_ms } => {
                let mut summary = root.init_summary();
                summary.set_digest(*digest);
                summary.set_clock_ms(*clock_ms);
            }
            ServerToServer::Buckets(digests) => {
                let mut list = root.init_buckets(count(digests));
                for (position, digest) in (0..).zip(digests) {
                    list.set(position, *digest);
                }
            }
            ServerToServer::List(listing) => {
                let mut builder = root.init_list();
                builder.set_bucket(listing.bucket);
                builder.set_is_last(listing.is_last);
                let after = listing.after.as_slice();
                write_names(after, builder.reborrow().init_after(count(after)));
                write_names(&listing.names, builder.init_names(count(&listing.names)));
            }
            ServerToServer::Wants(names) => write_names(names, root.init_wants(count(names))),
            ServerToServer::Updates(updates) => {
                let mut list = root.init_updates(count(updates));
                for (position, update) in (0..).zip(updates) {
                    list.set(position, update);
                }
            }
            ServerToServer::Keepalive => root.set_keepalive(()),
        }
        frame::write(&message)
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// The frame is not such a message, or a bound is exceeded.
    pub fn from_frame(bytes: &[u8]) -> Result<Self, DecodeError> {
        let message = frame::read(bytes)?;
        let root = message.get_root::<wire::server_to_server::Reader<'_>>()?;
        Ok(match root.which()? {
            wire::server_to_server::Refused(reason) => ServerToServer::Refused(match reason? {
                wire::Refusal::NotTrusted => FederationRefusal::NotTrusted,
                wire::Refusal::Crossed => FederationRefusal::Crossed,
            }),
            wire::server_to_server::Summary(summary) => {
                let summary = summary?;
                ServerToServer::Summary { digest: summary.get_digest(), clock_ms: summary.get_clock_ms() }
            }
            wire::server_to_server::Buckets(digests) => {
                let digests = digests?;
                if digests.len() as usize != BUCKETS {
                    return Err(DecodeError::invalid("the number of buckets"));
                }
                ServerToServer::Buckets(digests.iter().collect())
            }
            wire::server_to_server::List(listing) => {
                let listing = listing?;
                let listing = Listing {
                    bucket: listing.get_bucket(),
                    after: read_names(listing.get_after()?, 1)?.pop(),
                    names: read_names(listing.get_names()?, NAMES_MAX)?,
                    is_last: listing.get_is_last(),
                };
                listing.check()?;
                ServerToServer::List(listing)
            }
            wire::server_to_server::Wants(names) => ServerToServer::Wants(read_names(names?, NAMES_MAX)?),
            wire::server_to_server::Updates(updates) => {
                let updates = updates?;
                if updates.len() as usize > UPDATES_MAX {
                    return Err(DecodeError::too_large("the number of updates"));
                }
                let read = |update: Result<&[u8], capnp::Error>| {
                    let update = update?;
                    if update.len() > UPDATE_BYTES_MAX {
                        return Err(DecodeError::too_large("an update"));
                    }
                    Ok(update.to_vec())
                };
                ServerToServer::Updates(updates.iter().map(read).collect::<Result<_, DecodeError>>()?)
            }
            wire::server_to_server::Keepalive(()) => ServerToServer::Keepalive,
        })
    }
}

/// The number of elements as the schema's lists want it; every list here is bounded far below.
fn count<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).expect("every list is bounded far below 2^32")
}

type Names<'a> = capnp::struct_list::Reader<'a, wire::name::Owned>;

fn write_names(names: &[UpdateName], mut list: capnp::struct_list::Builder<'_, wire::name::Owned>) {
    for (position, name) in (0..).zip(names) {
        let mut builder = list.reborrow().get(position);
        builder.set_node(name.node.as_bytes());
        builder.set_sequence(name.sequence);
        builder.set_tag(name.tag);
    }
}

fn read_names(list: Names<'_>, max: usize) -> Result<Vec<UpdateName>, DecodeError> {
    if list.len() as usize > max {
        return Err(DecodeError::too_large("the number of names"));
    }
    let read = |name: wire::name::Reader<'_>| {
        let node = PublicKey::from_slice(name.get_node()?).map_err(|_| DecodeError::invalid("a public key"))?;
        Ok(UpdateName { node, sequence: name.get_sequence(), tag: name.get_tag() })
    };
    list.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_values::{hex, key};
    use proptest::prelude::*;

    fn name(seed: u8, sequence: u64) -> UpdateName {
        UpdateName { node: key(seed), sequence, tag: 9 }
    }

    fn listing() -> Listing {
        let names = vec![name(1, 7), name(1, 8)];
        Listing { bucket: names[0].bucket(), after: Some(name(1, 3)), names, is_last: true }
    }

    fn messages() -> Vec<ServerToServer> {
        vec![
            ServerToServer::Refused(FederationRefusal::NotTrusted),
            ServerToServer::Refused(FederationRefusal::Crossed),
            ServerToServer::Summary { digest: 5, clock_ms: 1 << 40 },
            ServerToServer::Buckets((0..BUCKETS as u64).collect()),
            ServerToServer::List(listing()),
            ServerToServer::List(Listing { after: None, names: vec![], ..listing() }),
            ServerToServer::Wants(vec![name(2, 1), name(1, 1)]),
            ServerToServer::Updates(vec![vec![1, 2, 3], vec![]]),
            ServerToServer::Keepalive,
        ]
    }

    #[test]
    fn round_trips() {
        for message in messages() {
            let frame = message.to_frame();
            assert!(frame.len() <= FEDERATION_FRAME_BYTES_MAX);
            assert_eq!(ServerToServer::from_frame(&frame), Ok(message));
        }
    }

    #[test]
    fn bytes_are_fixed() {
        let frame = |message: ServerToServer| hex(&message.to_frame());
        insta::assert_snapshot!(frame(ServerToServer::Refused(FederationRefusal::Crossed)), @"0000000003000000000000000100010001000000000000000000000000000000");
        insta::assert_snapshot!(frame(ServerToServer::Summary { digest: 5, clock_ms: 1 << 40 }), @"000000000500000000000000010001000000010000000000000000000200000005000000000000000000000000010000");
        insta::assert_snapshot!(frame(ServerToServer::List(listing())), @"000000001d000000000000000100010000000300000000000000000001000200a808010000000000050000001f000000210000003700000004000000020001000300000000000000090000000000000001000000020100008a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c0800000002000100070000000000000009000000000000000d000000020100000800000000000000090000000000000011000000020100008a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c");
        insta::assert_snapshot!(frame(ServerToServer::Wants(vec![name(2, 1)])), @"000000000b00000000000000010001000000040000000000010000001f00000004000000020001000100000000000000090000000000000001000000020100008139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394");
        insta::assert_snapshot!(frame(ServerToServer::Updates(vec![vec![1, 2, 3]])), @"000000000500000000000000010001000000050000000000010000000e000000010000001a0000000102030000000000");
    }

    #[test]
    fn bounds() {
        let read = |message: ServerToServer| ServerToServer::from_frame(&message.to_frame()).unwrap_err().to_string();
        assert_eq!(read(ServerToServer::Buckets(vec![0; BUCKETS - 1])), "the number of buckets is not valid");
        let wrong = "a list of updates is not valid";
        assert_eq!(read(ServerToServer::List(Listing { bucket: 1, ..listing() })), wrong);
        assert_eq!(read(ServerToServer::List(Listing { after: Some(name(1, 7)), ..listing() })), wrong);
        assert_eq!(read(ServerToServer::List(Listing { after: Some(name(2, 1)), ..listing() })), wrong);
        let none = Listing { bucket: BUCKETS as u16, after: None, names: vec![], is_last: true };
        assert_eq!(read(ServerToServer::List(none)), wrong);
        let many = vec![name(1, 1); NAMES_MAX + 1];
        assert_eq!(read(ServerToServer::Wants(many)), "the number of names is above its bound");
        let many = vec![vec![]; UPDATES_MAX + 1];
        assert_eq!(read(ServerToServer::Updates(many)), "the number of updates is above its bound");
        let large = vec![vec![0; UPDATE_BYTES_MAX + 1]];
        assert_eq!(read(ServerToServer::Updates(large)), "an update is above its bound");
    }

    #[test]
    fn the_largest_messages_fit_a_frame() {
        let names: Vec<_> = (0..NAMES_MAX as u64).map(|sequence| name(1, sequence + 10)).collect();
        for message in [
            ServerToServer::Wants(names.clone()),
            ServerToServer::List(Listing { names, ..listing() }),
            ServerToServer::Updates(vec![vec![7; UPDATES_BYTES_FULL - 1], vec![7; UPDATE_BYTES_MAX]]),
            ServerToServer::Updates(vec![vec![7; UPDATES_BYTES_FULL / UPDATES_MAX]; UPDATES_MAX]),
        ] {
            let frame = message.to_frame();
            assert!(frame.len() <= FEDERATION_FRAME_BYTES_MAX, "{}", frame.len());
            assert_eq!(ServerToServer::from_frame(&frame), Ok(message));
        }
    }

    #[test]
    fn cut_and_flipped_frames_never_panic() {
        for message in messages() {
            let frame = message.to_frame();
            for position in (0..frame.len()).take(600) {
                let _ = ServerToServer::from_frame(&frame[..position]);
                for bit in 0..8 {
                    let mut flipped = frame.clone();
                    flipped[position] ^= 1 << bit;
                    let _ = ServerToServer::from_frame(&flipped);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = ServerToServer::from_frame(&bytes);
        }
    }
}
