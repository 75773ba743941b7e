//! What a node and a relay say to each other (protocol section 4).

use crate::encoding::DecodeError;
use crate::frame;
use crate::wire::relay_capnp;
use capnp::message::Builder;
use offst_crypto::PublicKey;

/// Largest frame of the control stream and largest first frame of a substream, in bytes.
pub const RELAY_FRAME_BYTES_MAX: usize = 32 * 1024;
/// Most keys in one `watch` or `unwatch`.
pub const WATCH_KEYS_MAX: usize = 256;

/// A frame of the control stream, from the node to the relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeToRelay {
    /// The node asks for the presence of these nodes, at most [`WATCH_KEYS_MAX`].
    Watch(Vec<PublicKey>),
    /// The node no longer asks for the presence of these nodes, at most [`WATCH_KEYS_MAX`].
    Unwatch(Vec<PublicKey>),
    /// The node is alive.
    Keepalive,
}

/// A frame of the control stream, from the relay to the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayToNode {
    /// The node can be called from now on.
    Registered,
    /// A watched node is registered at this relay.
    Present(PublicKey),
    /// A watched node is not registered at this relay.
    Absent(PublicKey),
    /// Another connection with the same key took over; this one is closed next.
    Displaced,
    /// The relay is alive.
    Keepalive,
    /// The connection or the last request is above a limit.
    Refused(Refusal),
}

/// The frames of a substream before the friends' own bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubstreamMessage {
    /// From the caller to the relay: whom it calls.
    Connect(PublicKey),
    /// From the relay to the node that is called: who calls.
    Incoming(PublicKey),
    /// From the relay to the caller: the friend's own bytes follow.
    Accepted,
    /// From the relay to the caller: nothing follows.
    Refused(Refusal),
}

/// Why a relay refuses something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refusal {
    /// The node that is called is not registered.
    #[error("the node is not at this relay")]
    Absent,
    /// A node calls itself.
    #[error("a node cannot call itself")]
    Itself,
    /// The caller has too many substreams.
    #[error("this node has too many conversations open at the relay")]
    Substreams,
    /// The two nodes have too many substreams with each other.
    #[error("these two nodes have too many conversations with each other open at the relay")]
    Pair,
    /// The node that is called has too many substreams.
    #[error("the other node has too many conversations open at the relay")]
    TargetSubstreams,
    /// The node that is called did not take the substream in time, or is called too often.
    #[error("the other node did not answer the relay in time, or is called too often")]
    Busy,
    /// The relay has too many connections.
    #[error("the relay is full")]
    Connections,
    /// Too many connections come from this address.
    #[error("too many connections to the relay come from this address")]
    Address,
    /// The node watches too many others; the keys above the limit are not watched.
    #[error("this node watches too many others at the relay")]
    Watched,
    /// The relay could not read what the node sent.
    #[error("the relay did not understand the request")]
    Malformed,
}

impl From<Refusal> for relay_capnp::Refusal {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Absent => relay_capnp::Refusal::Absent,
            Refusal::Itself => relay_capnp::Refusal::Itself,
            Refusal::Substreams => relay_capnp::Refusal::Substreams,
            Refusal::Pair => relay_capnp::Refusal::Pair,
            Refusal::TargetSubstreams => relay_capnp::Refusal::TargetSubstreams,
            Refusal::Busy => relay_capnp::Refusal::Busy,
            Refusal::Connections => relay_capnp::Refusal::Connections,
            Refusal::Address => relay_capnp::Refusal::Address,
            Refusal::Watched => relay_capnp::Refusal::Watched,
            Refusal::Malformed => relay_capnp::Refusal::Malformed,
        }
    }
}

impl From<relay_capnp::Refusal> for Refusal {
    fn from(refusal: relay_capnp::Refusal) -> Self {
        match refusal {
            relay_capnp::Refusal::Absent => Refusal::Absent,
            relay_capnp::Refusal::Itself => Refusal::Itself,
            relay_capnp::Refusal::Substreams => Refusal::Substreams,
            relay_capnp::Refusal::Pair => Refusal::Pair,
            relay_capnp::Refusal::TargetSubstreams => Refusal::TargetSubstreams,
            relay_capnp::Refusal::Busy => Refusal::Busy,
            relay_capnp::Refusal::Connections => Refusal::Connections,
            relay_capnp::Refusal::Address => Refusal::Address,
            relay_capnp::Refusal::Watched => Refusal::Watched,
            relay_capnp::Refusal::Malformed => Refusal::Malformed,
        }
    }
}

fn key(bytes: &[u8]) -> Result<PublicKey, DecodeError> {
    PublicKey::from_slice(bytes).map_err(|_| DecodeError::invalid("a public key"))
}

fn keys(list: capnp::data_list::Reader<'_>) -> Result<Vec<PublicKey>, DecodeError> {
    if list.len() as usize > WATCH_KEYS_MAX {
        return Err(DecodeError::too_large("the number of keys"));
    }
    list.iter().map(|bytes| key(bytes?)).collect()
}

fn set_keys(mut list: capnp::data_list::Builder<'_>, keys: &[PublicKey]) {
    for (index, key) in keys.iter().enumerate() {
        list.set(index as u32, key.as_bytes());
    }
}

fn check_length(bytes: &[u8]) -> Result<(), DecodeError> {
    if bytes.len() > RELAY_FRAME_BYTES_MAX { Err(DecodeError::too_large("the message")) } else { Ok(()) }
}

impl NodeToRelay {
    /// The bytes of one frame.
    ///
    /// # Panics
    /// More than [`WATCH_KEYS_MAX`] keys: a programming error.
    pub fn to_frame(&self) -> Vec<u8> {
        let mut message = Builder::new_default();
        let mut root = message.init_root::<relay_capnp::node_to_relay::Builder<'_>>();
        match self {
            NodeToRelay::Watch(keys) => {
                assert!(keys.len() <= WATCH_KEYS_MAX, "the caller cuts long lists");
                set_keys(root.init_watch(keys.len() as u32), keys);
            }
            NodeToRelay::Unwatch(keys) => {
                assert!(keys.len() <= WATCH_KEYS_MAX, "the caller cuts long lists");
                set_keys(root.init_unwatch(keys.len() as u32), keys);
            }
            NodeToRelay::Keepalive => root.set_keepalive(()),
        }
        frame::write(&message)
    }

    /// Reads the bytes of one frame.
    ///
    /// # Errors
    /// Not a message of this link, or above a bound.
    pub fn from_frame(bytes: &[u8]) -> Result<Self, DecodeError> {
        use relay_capnp::node_to_relay::Which;
        check_length(bytes)?;
        let message = frame::read(bytes)?;
        let root = message.get_root::<relay_capnp::node_to_relay::Reader<'_>>()?;
        Ok(match root.which()? {
            Which::Watch(list) => NodeToRelay::Watch(keys(list?)?),
            Which::Unwatch(list) => NodeToRelay::Unwatch(keys(list?)?),
            Which::Keepalive(()) => NodeToRelay::Keepalive,
        })
    }
}

impl RelayToNode {
    /// The bytes of one frame.
    pub fn to_frame(&self) -> Vec<u8> {
        let mut message = Builder::new_default();
        let mut root = message.init_root::<relay_capnp::relay_to_node::Builder<'_>>();
        match self {
            RelayToNode::Registered => root.set_registered(()),
            RelayToNode::Present(key) => root.set_present(key.as_bytes()),
            RelayToNode::Absent(key) => root.set_absent(key.as_bytes()),
            RelayToNode::Displaced => root.set_displaced(()),
            RelayToNode::Keepalive => root.set_keepalive(()),
            RelayToNode::Refused(refusal) => root.set_refused((*refusal).into()),
        }
        frame::write(&message)
    }

    /// Reads the bytes of one frame.
    ///
    /// # Errors
    /// Not a message of this link, or above a bound.
    pub fn from_frame(bytes: &[u8]) -> Result<Self, DecodeError> {
        use relay_capnp::relay_to_node::Which;
        check_length(bytes)?;
        let message = frame::read(bytes)?;
        let root = message.get_root::<relay_capnp::relay_to_node::Reader<'_>>()?;
        Ok(match root.which()? {
            Which::Registered(()) => RelayToNode::Registered,
            Which::Present(bytes) => RelayToNode::Present(key(bytes?)?),
            Which::Absent(bytes) => RelayToNode::Absent(key(bytes?)?),
            Which::Displaced(()) => RelayToNode::Displaced,
            Which::Keepalive(()) => RelayToNode::Keepalive,
            Which::Refused(refusal) => RelayToNode::Refused(refusal?.into()),
        })
    }
}

impl SubstreamMessage {
    /// The bytes of one frame.
    pub fn to_frame(&self) -> Vec<u8> {
        let mut message = Builder::new_default();
        let mut root = message.init_root::<relay_capnp::substream_message::Builder<'_>>();
        match self {
            SubstreamMessage::Connect(key) => root.set_connect(key.as_bytes()),
            SubstreamMessage::Incoming(key) => root.set_incoming(key.as_bytes()),
            SubstreamMessage::Accepted => root.set_accepted(()),
            SubstreamMessage::Refused(refusal) => root.set_refused((*refusal).into()),
        }
        frame::write(&message)
    }

    /// Reads the bytes of one frame.
    ///
    /// # Errors
    /// Not a message of this link, or above a bound.
    pub fn from_frame(bytes: &[u8]) -> Result<Self, DecodeError> {
        use relay_capnp::substream_message::Which;
        check_length(bytes)?;
        let message = frame::read(bytes)?;
        let root = message.get_root::<relay_capnp::substream_message::Reader<'_>>()?;
        Ok(match root.which()? {
            Which::Connect(bytes) => SubstreamMessage::Connect(key(bytes?)?),
            Which::Incoming(bytes) => SubstreamMessage::Incoming(key(bytes?)?),
            Which::Accepted(()) => SubstreamMessage::Accepted,
            Which::Refused(refusal) => SubstreamMessage::Refused(refusal?.into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_values::{hex, key};
    use proptest::prelude::*;

    const REFUSALS: [Refusal; 10] = [
        Refusal::Absent,
        Refusal::Itself,
        Refusal::Substreams,
        Refusal::Pair,
        Refusal::TargetSubstreams,
        Refusal::Busy,
        Refusal::Connections,
        Refusal::Address,
        Refusal::Watched,
        Refusal::Malformed,
    ];

    fn from_node() -> Vec<NodeToRelay> {
        let many = (0..WATCH_KEYS_MAX).map(|index| key(index as u8)).collect();
        vec![
            NodeToRelay::Watch(vec![]),
            NodeToRelay::Watch(many),
            NodeToRelay::Unwatch(vec![key(1), key(2)]),
            NodeToRelay::Keepalive,
        ]
    }

    fn from_relay() -> Vec<RelayToNode> {
        let mut messages = vec![
            RelayToNode::Registered,
            RelayToNode::Present(key(1)),
            RelayToNode::Absent(key(2)),
            RelayToNode::Displaced,
            RelayToNode::Keepalive,
        ];
        messages.extend(REFUSALS.map(RelayToNode::Refused));
        messages
    }

    fn on_substream() -> Vec<SubstreamMessage> {
        let mut messages =
            vec![SubstreamMessage::Connect(key(1)), SubstreamMessage::Incoming(key(2)), SubstreamMessage::Accepted];
        messages.extend(REFUSALS.map(SubstreamMessage::Refused));
        messages
    }

    #[test]
    fn round_trips_fit_a_frame() {
        for message in from_node() {
            let frame = message.to_frame();
            assert!(frame.len() <= RELAY_FRAME_BYTES_MAX);
            assert_eq!(NodeToRelay::from_frame(&frame), Ok(message));
        }
        for message in from_relay() {
            assert_eq!(RelayToNode::from_frame(&message.to_frame()), Ok(message));
        }
        for message in on_substream() {
            assert_eq!(SubstreamMessage::from_frame(&message.to_frame()), Ok(message));
        }
    }

    #[test]
    fn bytes_on_the_wire() {
        insta::assert_snapshot!(hex(&NodeToRelay::Watch(vec![key(1)]).to_frame()), @"000000000800000000000000010001000000000000000000010000000e00000001000000020100008a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c");
        insta::assert_snapshot!(hex(&NodeToRelay::Unwatch(vec![key(1)]).to_frame()), @"000000000800000000000000010001000100000000000000010000000e00000001000000020100008a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c");
        insta::assert_snapshot!(hex(&NodeToRelay::Keepalive.to_frame()), @"0000000003000000000000000100010002000000000000000000000000000000");
        insta::assert_snapshot!(hex(&RelayToNode::Registered.to_frame()), @"0000000003000000000000000100010000000000000000000000000000000000");
        insta::assert_snapshot!(hex(&RelayToNode::Present(key(1)).to_frame()), @"00000000070000000000000001000100010000000000000001000000020100008a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c");
        insta::assert_snapshot!(hex(&RelayToNode::Absent(key(1)).to_frame()), @"00000000070000000000000001000100020000000000000001000000020100008a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c");
        insta::assert_snapshot!(hex(&RelayToNode::Displaced.to_frame()), @"0000000003000000000000000100010003000000000000000000000000000000");
        insta::assert_snapshot!(hex(&RelayToNode::Keepalive.to_frame()), @"0000000003000000000000000100010004000000000000000000000000000000");
        insta::assert_snapshot!(hex(&RelayToNode::Refused(Refusal::Address).to_frame()), @"0000000003000000000000000100010005000700000000000000000000000000");
        insta::assert_snapshot!(hex(&SubstreamMessage::Connect(key(1)).to_frame()), @"00000000070000000000000001000100000000000000000001000000020100008a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c");
        insta::assert_snapshot!(hex(&SubstreamMessage::Incoming(key(1)).to_frame()), @"00000000070000000000000001000100010000000000000001000000020100008a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c");
        insta::assert_snapshot!(hex(&SubstreamMessage::Accepted.to_frame()), @"0000000003000000000000000100010002000000000000000000000000000000");
        insta::assert_snapshot!(hex(&SubstreamMessage::Refused(Refusal::Absent).to_frame()), @"0000000003000000000000000100010003000000000000000000000000000000");
    }

    #[test]
    fn truncated_and_flipped_frames_do_not_panic() {
        let mut frames: Vec<Vec<u8>> = from_node().iter().skip(2).map(NodeToRelay::to_frame).collect();
        frames.extend(from_relay().iter().map(RelayToNode::to_frame));
        frames.extend(on_substream().iter().map(SubstreamMessage::to_frame));
        for frame in frames {
            for length in 0..frame.len() {
                assert!(NodeToRelay::from_frame(&frame[..length]).is_err());
                assert!(RelayToNode::from_frame(&frame[..length]).is_err());
                assert!(SubstreamMessage::from_frame(&frame[..length]).is_err());
            }
            for bit in 0..frame.len() * 8 {
                let mut flipped = frame.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let _ = NodeToRelay::from_frame(&flipped);
                let _ = RelayToNode::from_frame(&flipped);
                let _ = SubstreamMessage::from_frame(&flipped);
            }
        }
    }

    #[test]
    fn bounds_are_checked() {
        let mut message = Builder::new_default();
        let root = message.init_root::<relay_capnp::node_to_relay::Builder<'_>>();
        let many = vec![key(1); WATCH_KEYS_MAX + 1];
        set_keys(root.init_watch(many.len() as u32), &many);
        assert_eq!(NodeToRelay::from_frame(&frame::write(&message)), Err(DecodeError::too_large("the number of keys")));
        assert_eq!(
            NodeToRelay::from_frame(&vec![0; RELAY_FRAME_BYTES_MAX + 1]),
            Err(DecodeError::too_large("the message"))
        );
    }

    #[test]
    fn keys_of_small_order_are_refused() {
        let mut message = Builder::new_default();
        message.init_root::<relay_capnp::substream_message::Builder<'_>>().set_connect(&[0; 32]);
        assert_eq!(SubstreamMessage::from_frame(&frame::write(&message)), Err(DecodeError::invalid("a public key")));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = NodeToRelay::from_frame(&bytes);
            let _ = RelayToNode::from_frame(&bytes);
            let _ = SubstreamMessage::from_frame(&bytes);
        }
    }
}
