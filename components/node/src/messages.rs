//! What the core thread, the network task and the tasks of single connections tell each other.

use crate::greeting::{FriendLink, FriendStream};
use offst_crypto::PublicKey;
use offst_funder::{Command, ConnectionId, Input, Reply};
use offst_index_client::QueryKey;
use offst_proto::report::ServerState;
use offst_proto::route::Route;
use offst_proto::ticket::ServerTicket;
use offst_relay::{RelayClient, RelayStream};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// What the core thread handles.
pub(crate) enum CoreEvent {
    /// An input from a friend's connection or from the index servers.
    Input(Input),
    /// The index servers have answered a query.
    Routes(QueryKey, Result<Vec<Route>, String>),
    /// A friend's connection is up; frames for it go here.
    Connected(PublicKey, ConnectionId, FrameSink),
    /// A command of an application.
    Command(Command, oneshot::Sender<Reply>),
}

/// Where the frames of one connection go.
pub(crate) struct FrameSink {
    pub(crate) frames: mpsc::Sender<Vec<u8>>,
    /// Closes the connection.
    pub(crate) close: CancellationToken,
}

/// What the core thread wants of the network task.
pub(crate) enum NetworkCommand {
    /// Where a friend is reached; none: connections to it are not wanted any more.
    Contact(PublicKey, Option<offst_funder::Contact>),
    /// The relays to listen at.
    Relays(Vec<ServerTicket>),
}

/// One connection to a relay. A later one to the same relay has a larger number, and what an older one still reports is
/// ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RelayConnection {
    pub(crate) relay: PublicKey,
    pub(crate) number: u64,
}

/// What the tasks of connections report to the network task.
pub(crate) enum NetworkEvent {
    /// This node is registered at a relay.
    RelayConnected(RelayConnection, RelayClient),
    /// A connection to a relay ended or did not come about.
    RelayClosed { connection: RelayConnection, displaced: bool, reason: String },
    /// A relay says whether a friend is there.
    Presence(RelayConnection, PublicKey, bool),
    /// The node with this key, as the relay says, has opened a stream to this node.
    Incoming(PublicKey, RelayStream),
    /// A dial of this node failed.
    DialFailed(PublicKey, String),
    /// A dial of a friend failed.
    IncomingFailed(PublicKey),
    /// Hellos are exchanged with a friend.
    Greeted(Greeted),
    /// A connection to a friend ended.
    LinkDown { friend: PublicKey, connection: ConnectionId, reason: String },
}

/// A connection whose hellos are exchanged, and how it came about.
pub(crate) struct Greeted {
    pub(crate) friend: PublicKey,
    /// Whether this node has dialled.
    pub(crate) dialled: bool,
    /// Without a relay.
    pub(crate) direct: bool,
    pub(crate) link: Box<FriendLink<FriendStream>>,
}

/// The states of the connections to relays, for `info relays`.
pub(crate) type RelayStates = Arc<Mutex<BTreeMap<PublicKey, ServerState>>>;

/// The connections without a relay that are up, by friend, for `info friends`.
pub(crate) type DirectLinks = Arc<Mutex<BTreeMap<PublicKey, ConnectionId>>>;
