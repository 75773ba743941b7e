//! Measures what a hostile client costs others: `cargo run --release -p offst-index-server --example hostile -- 4`.
//!
//! The server knows a large network. Honest nodes ask at a steady rate, in turns alone and beside a client at another
//! address that asks 1000 queries a second over many connections, each of which takes many times as long as an honest
//! one, sends garbage, frames that claim to be huge and the longest lists, and publishes 10,000 edges signed by fresh
//! keys. Server, honest nodes and attacker have threads of their own, but share this machine: the attacker's own work,
//! and whatever else runs here, counts against the server.

use offst_crypto::{Identity, PublicKey};
use offst_index_server::{Counters, Federation, IndexServer, Limits, Snapshot};
use offst_proto::Amount;
use offst_proto::index::{
    Clearable, EXCLUDED_MAX, Edge, Exclusion, FEDERATION_FRAME_BYTES_MAX, Hop, INDEX_FRAME_BYTES_MAX, IndexToNode,
    NodeToIndex, Query, ServerToServer, UPDATES_MAX, Update, UpdateOutcome,
};
use offst_proto::ticket::ServerTicket;
use offst_proto::{Currency, Rate, Verified};
use offst_secure_channel::{Authenticator, FrameReader, FrameWriter, SecureStream};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::io::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(30);
/// A prime number.
const NODES: u64 = 60_013;
const ROUTES: [(u64, u64); 5] = [(17_389, 1), (41_201, 5), (30_011, 77), (9_973, 4_001), (52_361, 20_011)];
const HONEST: u64 = 10;
const HONEST_PAUSE: Duration = Duration::from_millis(100);
const HOSTILE: u64 = 50;
/// 50 connections, each 20 times a second.
const HOSTILE_PAUSE: Duration = Duration::from_millis(50);
/// A line carries 1000.
const HOSTILE_AMOUNT: u128 = 7_900;
const ROUNDS: usize = 5;
const FRESH_KEYS: u64 = 1000;
const FRESH_PAUSE: Duration = Duration::from_millis(20);
const EDGES_OF_FRESH_KEY: u64 = 10;
const HONEST_ADDRESS: &str = "127.0.0.1:0";
const HOSTILE_ADDRESS: &str = "127.0.0.2:0";

fn identity(number: u64) -> Identity {
    let mut seed = [6; 32];
    seed[..8].copy_from_slice(&number.to_be_bytes());
    Identity::from_seed(seed)
}

/// The key of a node of the network.
fn key(number: u64) -> PublicKey {
    static KEYS: LazyLock<Vec<PublicKey>> =
        LazyLock::new(|| (0..NODES).map(|number| identity(number).public_key()).collect());
    KEYS[number as usize]
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
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

/// A network without neighbourhoods: each node is linked with those that its number leads to by a few random
/// permutations, and with those that it is led to from.
fn friends(number: u64) -> impl Iterator<Item = u64> {
    static FRIENDS: LazyLock<Vec<BTreeSet<u64>>> = LazyLock::new(|| {
        let mut friends = vec![BTreeSet::new(); NODES as usize];
        for number in 0..NODES {
            for (factor, summand) in ROUTES {
                let friend = (number * factor + summand) % NODES;
                if friend != number {
                    friends[number as usize].insert(friend);
                    friends[friend as usize].insert(number);
                }
            }
        }
        friends
    });
    FRIENDS[number as usize].iter().copied()
}

fn query(id: u64) -> Query {
    // Steps over the whole network, different for each id.
    let (source, destination) = (id * 7919 % NODES, id * 104_729 % NODES);
    Query { id, ..Query::new(Currency::default(), 10.into(), key(source), key((destination + 1) % NODES)) }
}

#[derive(Clone)]
struct Place {
    server: PublicKey,
    address: SocketAddr,
}

struct Node {
    reader: FrameReader<ReadHalf<SecureStream<TcpStream>>>,
    writer: FrameWriter<WriteHalf<SecureStream<TcpStream>>>,
}

impl Node {
    async fn connect(place: &Place, own_address: &str, number: u64) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(own_address.parse().unwrap()).unwrap();
        let stream = socket.connect(place.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let authenticator = Authenticator::new(&identity(number));
        let stream = authenticator.connect_over(stream, place.server, PATIENCE).await.unwrap();
        let (reader, writer) = tokio::io::split(stream);
        // The attacker may send frames that are too large.
        Node { reader: FrameReader::new(reader, INDEX_FRAME_BYTES_MAX), writer: FrameWriter::new(writer, usize::MAX) }
    }

    async fn receive(&mut self) -> Option<IndexToNode> {
        let frame = tokio::time::timeout(PATIENCE, self.reader.next()).await.expect("the server answers");
        frame.ok().flatten().map(|frame| IndexToNode::from_frame(&frame).unwrap())
    }

    /// Whether it was answered with more than "busy".
    async fn ask(&mut self, query: Query) -> bool {
        self.writer.send(&NodeToIndex::Query(query).to_frame()).await.unwrap();
        matches!(self.receive().await, Some(IndexToNode::Answer(_)))
    }

    async fn publish(&mut self, number: u64, friends: impl IntoIterator<Item = PublicKey>) -> bool {
        self.writer.send(&NodeToIndex::Update(signed(number, friends)).to_frame()).await.unwrap();
        let accepted = |outcome| matches!(outcome, UpdateOutcome::Accepted { .. });
        matches!(self.receive().await, Some(IndexToNode::UpdateResult(result)) if accepted(result.outcome))
    }
}

/// What a node publishes.
fn signed(number: u64, friends: impl IntoIterator<Item = PublicKey>) -> Vec<u8> {
    let mut edges: Vec<_> = friends.into_iter().map(edge).collect();
    edges.sort();
    let identity = identity(number);
    let update = Update { node: identity.public_key(), sequence: unix_ms(), expires_ms: unix_ms() + 3_000_000, edges };
    Verified::sign(update, &identity).wire().to_vec()
}

/// Tells the server of the whole network, as a neighbour that has learned of it before.
async fn teach(server: PublicKey, address: SocketAddr, neighbour: &Identity, counters: &Counters) {
    let socket = TcpStream::connect(address).await.unwrap();
    let stream = Authenticator::new(neighbour).connect_over(socket, server, PATIENCE).await.unwrap();
    let (mut reader, writer) = tokio::io::split(stream);
    let mut writer = FrameWriter::new(writer, FEDERATION_FRAME_BYTES_MAX);
    // The server's answer does not matter here.
    let hearing = tokio::spawn(async move {
        while tokio::io::copy(&mut reader, &mut tokio::io::sink()).await.is_ok_and(|bytes| bytes > 0) {}
    });
    let numbers: Vec<_> = (0..NODES).collect();
    for numbers in numbers.chunks(UPDATES_MAX.min(64)) {
        let wires = numbers.iter().map(|number| signed(*number, friends(*number).map(key))).collect();
        writer.send(&ServerToServer::Updates(wires).to_frame()).await.unwrap();
    }
    while counters.snapshot().nodes < NODES {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    hearing.abort();
}

/// How long each answer took, in ms, and how often the server answered "busy".
#[derive(Default)]
struct Answers {
    times: Vec<f64>,
    busy: usize,
}

impl Answers {
    fn add(&mut self, more: Answers) {
        self.times.extend(more.times);
        self.times.sort_by(f64::total_cmp);
        self.busy += more.busy;
    }

    fn percentile(&self, percent: usize) -> f64 {
        let position = (self.times.len() * percent / 100).min(self.times.len().saturating_sub(1));
        self.times.get(position).copied().unwrap_or(f64::NAN)
    }

    fn show(&self, what: &str) {
        let [half, most] = [50, 99].map(|percent| self.percentile(percent));
        println!("{what}: {} answers, p50 {half:.1} ms, p99 {most:.1} ms, {} times busy", self.times.len(), self.busy);
    }
}

/// Honest nodes ask for `seconds`.
async fn honest(place: &Place, seconds: u64) -> Answers {
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut tasks = Vec::new();
    for number in 0..HONEST {
        let place = place.clone();
        tasks.push(tokio::spawn(async move {
            let mut node = Node::connect(&place, HONEST_ADDRESS, number).await;
            let mut timer = tokio::time::interval(HONEST_PAUSE);
            let mut answers = Answers::default();
            for id in (number * 1_000_000).. {
                timer.tick().await;
                if Instant::now() >= end {
                    break;
                }
                let started = Instant::now();
                if node.ask(query(id)).await {
                    answers.times.push(started.elapsed().as_secs_f64() * 1000.0);
                } else {
                    answers.busy += 1;
                }
            }
            answers
        }));
    }
    let mut answers = Answers::default();
    for task in tasks {
        answers.add(task.await.unwrap());
    }
    answers
}

/// The attacker's tasks, which end when `stop` is cancelled. So many fresh keys have been used.
fn attack(
    threads: &Runtime,
    place: &Place,
    fresh_keys: &Arc<AtomicU64>,
    stop: &CancellationToken,
) -> Vec<JoinHandle<Option<()>>> {
    let mut tasks = Vec::new();
    for number in 0..HOSTILE {
        let place = place.clone();
        let queries = async move {
            let mut node = Node::connect(&place, HOSTILE_ADDRESS, NODES + number).await;
            let mut timer = tokio::time::interval(HOSTILE_PAUSE);
            for id in number * 1_000_000.. {
                timer.tick().await;
                let excluded_edges = vec![Exclusion::whole(Hop { from: key(1), to: key(2) }); EXCLUDED_MAX];
                let excluded_nodes = vec![key(0); EXCLUDED_MAX];
                // No path carries so much, and hardly as many paths as a route may have: a long search.
                let amount = HOSTILE_AMOUNT;
                node.ask(Query { amount: Amount::capped(amount), excluded_edges, excluded_nodes, ..query(id) }).await;
            }
        };
        tasks.push(threads.spawn(stop.clone().run_until_cancelled_owned(queries)));
    }
    let garbage_place = place.clone();
    let garbage = async move {
        for number in 0.. {
            let mut node = Node::connect(&garbage_place, HOSTILE_ADDRESS, NODES + HOSTILE).await;
            let frame = match number % 3 {
                0 => vec![0xa5; 1000],
                1 => NodeToIndex::Update(vec![1; 90]).to_frame(),
                _ => vec![0; INDEX_FRAME_BYTES_MAX + 1],
            };
            let _ = node.writer.send(&frame).await;
            assert!(node.receive().await.is_none(), "garbage ends the connection");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tasks.push(threads.spawn(stop.clone().run_until_cancelled_owned(garbage)));
    let (fresh_place, fresh_keys) = (place.clone(), fresh_keys.clone());
    let fresh = async move {
        loop {
            let number = fresh_keys.fetch_add(1, Ordering::Relaxed);
            if number >= FRESH_KEYS {
                return;
            }
            let number = 1_000_000 + number;
            let mut node = Node::connect(&fresh_place, HOSTILE_ADDRESS, number).await;
            node.publish(number, (0..EDGES_OF_FRESH_KEY).map(key)).await;
            tokio::time::sleep(FRESH_PAUSE).await;
        }
    };
    tasks.push(threads.spawn(stop.clone().run_until_cancelled_owned(fresh)));
    tasks
}

/// Memory of this process, MB: the server and everybody who talks to it.
fn resident_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}

async fn measure(seconds: u64, server_threads: &Runtime, hostile_threads: &Runtime) {
    let (listener, federation) =
        (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let (server, neighbour) = (Arc::new(identity(u64::MAX)), identity(u64::MAX - 1));
    let place = Place { server: server.public_key(), address: listener.local_addr().unwrap() };
    let federation_address = federation.local_addr().unwrap();
    let (counters, stop) = (Arc::new(Counters::default()), CancellationToken::new());
    let nowhere = ServerTicket { public_key: neighbour.public_key(), address: "127.0.0.1:1".parse().unwrap() };
    let (_trusted, trusted) = watch::channel(BTreeMap::from([(nowhere.public_key, nowhere)]));
    let [listener, federation] = [listener, federation].map(|listener| listener.into_std().unwrap());
    let task = server_threads.spawn({
        let (counters, stop) = (counters.clone(), stop.clone());
        async move {
            // A socket belongs to the runtime that it was made in.
            let listener = TcpListener::from_std(listener)?;
            let federation = Some(Federation { listener: TcpListener::from_std(federation)?, trusted });
            let limits = Limits::default();
            IndexServer { listener, identity: server, limits, counters, federation, file: None }.serve(stop).await
        }
    });
    teach(place.server, federation_address, &neighbour, &counters).await;
    let (mut alone, mut beside) = (Answers::default(), Answers::default());
    let fresh = Arc::new(AtomicU64::new(0));
    // In turns, because what else runs on this machine changes.
    for _ in 0..ROUNDS {
        alone.add(honest(&place, seconds).await);
        let attacked = stop.child_token();
        let attackers = attack(hostile_threads, &place, &fresh, &attacked);
        beside.add(honest(&place, seconds).await);
        attacked.cancel();
        // Before the server stops, which would be an error for them.
        for attacker in attackers {
            attacker.await.unwrap();
        }
    }
    alone.show("alone");
    beside.show("beside the attack");
    println!("{} MB in use", resident_mb());
    println!("p99 ratio: {:.2}", beside.percentile(99) / alone.percentile(99));
    let Snapshot { queries, queries_cut, queries_busy, queries_overload, garbage, edges, updates_over_quota, .. } =
        counters.snapshot();
    println!(
        "searched {queries}, {queries_cut} of them cut at the bound of work, refused {queries_busy} for coming too often and {queries_overload} for too much to do; \
         {garbage} connections ended for garbage; {edges} edges held, {updates_over_quota} updates above a quota"
    );
    stop.cancel();
    task.await.unwrap().unwrap();
}

fn main() {
    let seconds = std::env::args().nth(1).map_or(Ok(4), |seconds| seconds.parse());
    let Some(seconds) = seconds.ok().filter(|seconds| (1..=600).contains(seconds)) else {
        eprintln!("hostile: the argument is a number of seconds for each of ten phases, from 1 to 600");
        std::process::exit(2);
    };
    let threads = |count| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(count).enable_all().build().expect("threads")
    };
    let (server, honest, hostile) = (threads(2), threads(1), threads(1));
    honest.block_on(measure(seconds, &server, &hostile));
}
