//! Running servers and nodes that may misbehave, for tests.

use crate::{Counters, Federation, IndexServer, Limits};
use offst_crypto::{Identity, PublicKey};
use offst_proto::Amount;
use offst_proto::index::{
    Answer, Clearable, Edge, INDEX_FRAME_BYTES_MAX, IndexToNode, NodeToIndex, Query, Update, UpdateOutcome,
    UpdateRefusal,
};
use offst_proto::ticket::ServerTicket;
use offst_proto::{Currency, Rate, Verified};
use offst_secure_channel::{Authenticator, FrameReader, FrameWriter, SecureStream};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Nothing here takes so long; a test that hangs fails.
pub(crate) const LONG: Duration = Duration::from_secs(60);

pub(crate) fn identity(seed: u8) -> Identity {
    Identity::from_seed([seed; 32])
}

pub(crate) fn key(seed: u8) -> PublicKey {
    identity(seed).public_key()
}

/// An hour is the most.
pub(crate) fn soon() -> u64 {
    crate::state::unix_ms() + 600_000
}

pub(crate) fn edge(friend: u8, capacity: u128) -> Edge {
    Edge {
        friend: key(friend),
        currency: Currency::default(),
        send_capacity: Amount::capped(capacity),
        receive_capacity: Amount::capped(capacity),
        rate: Rate::default(),
        clearable: Clearable::None,
    }
}

pub(crate) fn signed(node: u8, sequence: u64, expires_ms: u64, mut edges: Vec<Edge>) -> Verified<Update> {
    edges.sort();
    Verified::sign(Update { node: key(node), sequence, expires_ms, edges }, &identity(node))
}

pub(crate) struct Running {
    pub(crate) seed: u8,
    pub(crate) address: SocketAddr,
    pub(crate) federation_address: SocketAddr,
    pub(crate) counters: Arc<Counters>,
    trusted: watch::Sender<BTreeMap<PublicKey, ServerTicket>>,
    stop: CancellationToken,
    task: JoinHandle<io::Result<()>>,
}

impl Running {
    pub(crate) async fn start(limits: Limits) -> Self {
        Running::start_as(100, limits, None).await
    }

    pub(crate) async fn start_as(seed: u8, limits: Limits, file: Option<PathBuf>) -> Self {
        let federation = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Running::start_at(seed, limits, file, federation).await
    }

    /// As `seed`, with the listening socket of a stopped one.
    pub(crate) async fn start_at(seed: u8, limits: Limits, file: Option<PathBuf>, federation: TcpListener) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, federation_address) = (listener.local_addr().unwrap(), federation.local_addr().unwrap());
        let (counters, stop) = (Arc::new(Counters::default()), CancellationToken::new());
        let (trusted, watched) = watch::channel(BTreeMap::new());
        let federation = Some(Federation { listener: federation, trusted: watched });
        let identity = Arc::new(identity(seed));
        let server = IndexServer { listener, identity, limits, counters: counters.clone(), federation, file };
        let task = tokio::spawn(server.serve(stop.clone()));
        Running { seed, address, federation_address, counters, trusted, stop, task }
    }

    pub(crate) fn ticket(&self) -> ServerTicket {
        ServerTicket { public_key: key(self.seed), address: self.federation_address.to_string().parse().unwrap() }
    }

    pub(crate) fn trust(&self, other: &ServerTicket) {
        self.trusted.send_modify(|trusted| drop(trusted.insert(other.public_key, other.clone())));
    }

    pub(crate) fn distrust(&self, other: &ServerTicket) {
        self.trusted.send_modify(|trusted| drop(trusted.remove(&other.public_key)));
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(LONG, self.task).await.unwrap().unwrap().unwrap();
        let counted = self.counters.snapshot();
        assert_eq!((counted.connections_open, counted.neighbours_connected), (0, 0));
    }

    pub(crate) async fn node(&self, seed: u8) -> Node {
        self.node_at(seed, "127.0.0.1").await
    }

    /// A node that dials from one of the machine's own addresses, 127.x.y.z.
    pub(crate) async fn node_at(&self, seed: u8, own_address: &str) -> Node {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(format!("{own_address}:0").parse().unwrap()).unwrap();
        let stream = socket.connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let stream = Authenticator::new(&identity(seed)).connect_over(stream, key(self.seed), LONG).await.unwrap();
        let (reader, writer) = tokio::io::split(stream);
        Node {
            seed,
            reader: FrameReader::new(reader, INDEX_FRAME_BYTES_MAX),
            writer: FrameWriter::new(writer, INDEX_FRAME_BYTES_MAX),
        }
    }
}

/// Polls a condition until it is true: counters cannot be awaited.
#[track_caller]
pub(crate) fn wait_until(what: &str, is_so: impl Fn() -> bool) -> impl Future<Output = ()> {
    let what = format!("waited too long until {what}");
    async move {
        let wait = async {
            while !is_so() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LONG, wait).await.expect(&what);
    }
}

/// A node that may misbehave.
pub(crate) struct Node {
    pub(crate) seed: u8,
    pub(crate) reader: FrameReader<ReadHalf<SecureStream<TcpStream>>>,
    pub(crate) writer: FrameWriter<WriteHalf<SecureStream<TcpStream>>>,
}

impl Node {
    pub(crate) async fn send(&mut self, message: NodeToIndex) {
        self.writer.send(&message.to_frame()).await.unwrap();
    }

    /// The next message of the server; none when it has closed the connection.
    pub(crate) async fn receive(&mut self) -> Option<IndexToNode> {
        let frame = tokio::time::timeout(LONG, self.reader.next()).await.expect("the server does something");
        frame.ok().flatten().map(|frame| IndexToNode::from_frame(&frame).unwrap())
    }

    pub(crate) fn update(&self, sequence: u64, expires_ms: u64) -> Verified<Update> {
        signed(self.seed, sequence, expires_ms, vec![edge(99, 5)])
    }

    pub(crate) async fn publish(&mut self, wire: &[u8]) -> UpdateOutcome {
        self.send(NodeToIndex::Update(wire.to_vec())).await;
        match self.receive().await {
            Some(IndexToNode::UpdateResult(result)) => result.outcome,
            other => panic!("{other:?}"),
        }
    }

    /// Publishes edges to friends.
    pub(crate) async fn befriend(&mut self, sequence: u64, friends: &[u8]) {
        let edges = friends.iter().map(|friend| edge(*friend, 100)).collect();
        let outcome = self.publish(signed(self.seed, sequence, soon(), edges).wire()).await;
        assert_eq!(outcome, UpdateOutcome::Accepted { newest: sequence });
    }

    pub(crate) async fn refusal(&mut self, wire: &[u8]) -> UpdateRefusal {
        match self.publish(wire).await {
            UpdateOutcome::Refused { reason, .. } => reason,
            other => panic!("{other:?}"),
        }
    }

    /// Asks for routes between two nodes.
    pub(crate) async fn ask(&mut self, source: u8, destination: u8) -> Option<Answer> {
        let query = Query::new(Currency::default(), 10.into(), key(source), key(destination));
        self.send(NodeToIndex::Query(query)).await;
        match self.receive().await {
            Some(IndexToNode::Answer(answer)) => Some(answer),
            Some(IndexToNode::Busy(_)) => None,
            other => panic!("{other:?}"),
        }
    }
}
