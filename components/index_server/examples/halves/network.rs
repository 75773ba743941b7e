//! Two index servers that each have seen one half of a network, over real sockets, and what it takes until they are equal.

use offst_crypto::{Ed25519Verifier, Identity, PublicKey};
use offst_index_server::{Counters, Federation, IndexServer, Limits};
use offst_proto::index::{
    Clearable, EDGES_MAX, Edge, FEDERATION_FRAME_BYTES_MAX, ServerToServer, UPDATES_BYTES_FULL, UPDATES_MAX, Update,
};
use offst_proto::ticket::ServerTicket;
use offst_proto::{Currency, Rate, Unverified, Verified};
use offst_secure_channel::{Authenticator, FrameReader, FrameWriter, SecureStream};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::io::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(300);
const FRIENDS: usize = 5;
/// Enough to tell what one takes, with a clock that counts hundredths of a second.
const SIGNATURES_TRIED: usize = 10_000;

/// What it took.
#[derive(Debug)]
pub(crate) struct Report {
    /// Nodes that each server knew in the end.
    pub(crate) nodes: u64,
    /// Edges that each server knew in the end.
    pub(crate) edges: u64,
    /// From trust to equality.
    pub(crate) seconds: f64,
    /// Time of a core that both servers together took until then; 0 where the system does not tell.
    pub(crate) cpu_seconds: f64,
    /// Time of a core that checking the signatures alone takes: one for each update, at the server that did not have it.
    pub(crate) signatures_cpu_seconds: f64,
    /// Bytes of frames in both directions until then.
    pub(crate) bytes: u64,
    /// Updates in both directions until then.
    pub(crate) updates: u64,
    /// Bytes of the updates that one of the two did not have.
    pub(crate) bytes_missing: u64,
    /// Bytes of frames in both directions of another link when one node had changed meanwhile.
    pub(crate) bytes_for_one_change: u64,
    /// Seconds until that change was known.
    pub(crate) seconds_for_one_change: f64,
}

fn identity(number: u64) -> Identity {
    let mut seed = [5; 32];
    seed[..8].copy_from_slice(&number.to_be_bytes());
    Identity::from_seed(seed)
}

/// What this process has used of all cores so far.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // User and system time in hundredths of a second, behind the name in brackets.
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = [11, 12].map(|field| fields.get(field).and_then(|ticks| ticks.parse().ok()).unwrap_or(0.0));
    (ticks[0] + ticks[1]) / 100.0
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// What it takes to check the signatures of all of these, by the time that some of them take.
fn signatures_cpu_seconds(wires: &[Vec<u8>]) -> f64 {
    let some = &wires[..wires.len().min(SIGNATURES_TRIED)];
    let before = cpu_seconds();
    for wire in some {
        let update = Unverified::<Update>::from_wire(wire).unwrap();
        assert!(update.verify(&Ed25519Verifier).is_ok());
    }
    (cpu_seconds() - before) * wires.len() as f64 / some.len() as f64
}

/// The updates of a network: each node is a friend of the next few.
fn updates(nodes: usize) -> Vec<Vec<u8>> {
    let identities: Vec<_> = (0..nodes as u64).map(identity).collect();
    let keys: Vec<_> = identities.iter().map(Identity::public_key).collect();
    let expires_ms = unix_ms() + 3_000_000;
    let sign = |(number, identity): (usize, &Identity)| {
        let friends = (1..=FRIENDS).flat_map(|step| [(number + step) % nodes, (number + nodes - step) % nodes]);
        let mut edges: Vec<_> = friends.map(|friend| edge(keys[friend])).collect();
        edges.sort();
        edges.dedup();
        assert!(edges.len() <= EDGES_MAX);
        signed(identity, 1, expires_ms, edges)
    };
    identities.iter().enumerate().map(sign).collect()
}

fn edge(friend: PublicKey) -> Edge {
    let (currency, rate) = (Currency::default(), Rate::default());
    Edge {
        friend,
        currency,
        send_capacity: 1000.into(),
        receive_capacity: 1000.into(),
        rate,
        clearable: Clearable::None,
    }
}

fn signed(identity: &Identity, sequence: u64, expires_ms: u64, edges: Vec<Edge>) -> Vec<u8> {
    let update = Update { node: identity.public_key(), sequence, expires_ms, edges };
    Verified::sign(update, identity).wire().to_vec()
}

struct Server {
    identity: Arc<Identity>,
    ticket: ServerTicket,
    counters: Arc<Counters>,
    trusted: watch::Sender<BTreeMap<PublicKey, ServerTicket>>,
    stop: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
}

impl Server {
    async fn start(number: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let federation = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let identity = Arc::new(identity(number));
        let address = federation.local_addr().unwrap().to_string().parse().unwrap();
        let ticket = ServerTicket { public_key: identity.public_key(), address };
        let (trusted, watched) = watch::channel(BTreeMap::new());
        let (counters, stop) = (Arc::new(Counters::default()), CancellationToken::new());
        let server = IndexServer {
            listener,
            identity: identity.clone(),
            limits: Limits::default(),
            counters: counters.clone(),
            federation: Some(Federation { listener: federation, trusted: watched }),
            file: None,
        };
        let task = tokio::spawn(server.serve(stop.clone()));
        Server { identity, ticket, counters, trusted, stop, task }
    }

    fn trust(&self, tickets: &[&ServerTicket]) {
        self.trusted.send_replace(tickets.iter().map(|ticket| (ticket.public_key, (*ticket).clone())).collect());
    }

    /// Dials the server as `source`, which it trusts.
    async fn dial(&self, source: &Identity) -> Peer {
        loop {
            let authenticator = Authenticator::new(source);
            let connect = authenticator.connect_tcp(&self.ticket.address, self.identity.public_key(), PATIENCE);
            let (reader, writer) = tokio::io::split(connect.await.unwrap());
            let mut peer = Peer {
                reader: FrameReader::new(reader, FEDERATION_FRAME_BYTES_MAX),
                writer: FrameWriter::new(writer, FEDERATION_FRAME_BYTES_MAX),
                digest: 0,
            };
            // The server may not have seen yet whom it trusts.
            let frame = peer.reader.next().await.unwrap().unwrap();
            if let ServerToServer::Summary { digest, .. } = ServerToServer::from_frame(&frame).unwrap() {
                return Peer { digest, ..peer };
            }
        }
    }

    /// Tells the server what a neighbour would, and comes back with the digest of what it knows then.
    async fn teach(&self, wires: &[Vec<u8>], edges: u64) -> u64 {
        let source = identity(u64::MAX);
        let nowhere = ServerTicket { public_key: source.public_key(), address: "127.0.0.1:1".parse().unwrap() };
        self.trust(&[&nowhere]);
        let mut peer = self.dial(&source).await;
        let mut frame = Vec::new();
        let mut bytes = 0;
        for wire in wires {
            bytes += wire.len();
            frame.push(wire.clone());
            if bytes >= UPDATES_BYTES_FULL || frame.len() == UPDATES_MAX {
                peer.writer.send(&ServerToServer::Updates(std::mem::take(&mut frame)).to_frame()).await.unwrap();
                bytes = 0;
            }
        }
        peer.writer.send(&ServerToServer::Updates(frame).to_frame()).await.unwrap();
        self.wait("it has learned", |counted| counted.edges == edges).await;
        drop(peer);
        self.wait("the teacher is gone", |counted| counted.neighbours_connected == 0).await;
        let digest = self.dial(&source).await.digest;
        self.trust(&[]);
        self.wait("the teacher is gone again", |counted| counted.neighbours_connected == 0).await;
        digest
    }

    async fn wait(&self, what: &str, is_so: impl Fn(offst_index_server::Snapshot) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self.counters.snapshot()) {
            assert!(Instant::now() < deadline, "waited too long until {what}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

struct Peer {
    reader: FrameReader<ReadHalf<SecureStream<TcpStream>>>,
    writer: FrameWriter<WriteHalf<SecureStream<TcpStream>>>,
    digest: u64,
}

/// Bytes and updates that both have sent.
fn sent(servers: &[Server; 2]) -> (u64, u64) {
    let counted = servers.each_ref().map(|server| server.counters.snapshot());
    let bytes = counted.iter().map(|counted| counted.federation_bytes_sent).sum();
    (bytes, counted.iter().map(|counted| counted.federation_sent).sum())
}

/// Has the side dial that need not wait for the other's dial. The other does not reach it: where dials cross because the machine
/// is slow, much is sent twice.
async fn link(servers: &[Server; 2]) {
    let [one, other] = servers;
    let (dialler, accepting) =
        if one.ticket.public_key < other.ticket.public_key { (one, other) } else { (other, one) };
    let nowhere = ServerTicket { address: "127.0.0.1:1".parse().unwrap(), ..dialler.ticket.clone() };
    accepting.trust(&[&nowhere]);
    dialler.trust(&[&accepting.ticket]);
}

/// Runs it with so many nodes.
///
/// # Panics
/// The servers do not become equal.
pub(crate) async fn run(nodes: usize) -> Report {
    let wires = updates(nodes);
    let signatures_cpu_seconds = signatures_cpu_seconds(&wires);
    let per_node = (2 * FRIENDS) as u64;
    let servers = [Server::start(u64::MAX - 1).await, Server::start(u64::MAX - 2).await];
    let (first, second) = wires.split_at(nodes / 2);
    servers[0].teach(first, first.len() as u64 * per_node).await;
    servers[1].teach(second, second.len() as u64 * per_node).await;

    let before = sent(&servers);
    let (started, cpu_before) = (Instant::now(), cpu_seconds());
    link(&servers).await;
    let edges = nodes as u64 * per_node;
    for server in &servers {
        server.wait("both know everything", |counted| counted.edges == edges).await;
    }
    let (seconds, cpu_seconds) = (started.elapsed().as_secs_f64(), cpu_seconds() - cpu_before);
    let after = sent(&servers);

    // Parted, one node changes at one of them, linked again.
    let part = async || {
        for server in &servers {
            server.trust(&[]);
        }
        for server in &servers {
            server.wait("the link has ended", |counted| counted.neighbours_connected == 0).await;
        }
    };
    part().await;
    let mut changed = vec![edge(identity(1).public_key()), edge(identity(u64::MAX).public_key())];
    changed.sort();
    let change = signed(&identity(0), 2, unix_ms() + 3_000_000, changed);
    let digest = servers[0].teach(&[change], edges + 1).await;
    let before_change = sent(&servers);
    let started_change = Instant::now();
    link(&servers).await;
    servers[1].wait("it knows the change", |counted| counted.edges == edges + 1).await;
    let seconds_for_one_change = started_change.elapsed().as_secs_f64();
    let after_change = sent(&servers);
    part().await;
    assert_eq!(servers[1].teach(&[], edges + 1).await, digest, "both know the same");
    let counted = servers[1].counters.snapshot();
    for Server { stop, task, .. } in servers {
        stop.cancel();
        task.await.unwrap().unwrap();
    }
    Report {
        nodes: counted.nodes,
        edges: counted.edges,
        seconds,
        cpu_seconds,
        signatures_cpu_seconds,
        bytes: after.0 - before.0,
        updates: after.1 - before.1,
        bytes_missing: wires.iter().map(|wire| wire.len() as u64).sum(),
        bytes_for_one_change: after_change.0 - before_change.0,
        seconds_for_one_change,
    }
}
