use super::*;
use offst_proto::index::Edge;
use offst_proto::{Currency, Rate, Verified};
use offst_secure_channel::KeepaliveConfig;
use tokio::task::JoinHandle;

/// Nothing here takes so long; a test that hangs fails.
const PATIENCE: Duration = Duration::from_secs(30);

fn identity(seed: u8) -> Identity {
    Identity::from_seed([seed; 32])
}

fn key(seed: u8) -> PublicKey {
    identity(seed).public_key()
}

struct Running {
    address: std::net::SocketAddr,
    counters: Arc<Counters>,
    stop: CancellationToken,
    task: JoinHandle<io::Result<()>>,
}

impl Running {
    async fn start(limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (counters, stop) = (Arc::new(Counters::default()), CancellationToken::new());
        let task = tokio::spawn(serve(listener, Arc::new(identity(100)), limits, counters.clone(), stop.clone()));
        Running { address, counters, stop, task }
    }

    async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap();
        assert_eq!(self.counters.snapshot().connections_open, 0);
    }

    async fn node(&self, seed: u8) -> Node {
        let address = self.address.to_string().parse().unwrap();
        let stream = Authenticator::new(&identity(seed)).connect_tcp(&address, key(100), PATIENCE).await.unwrap();
        let (reader, writer) = tokio::io::split(stream);
        Node {
            seed,
            reader: FrameReader::new(reader, INDEX_FRAME_BYTES_MAX),
            writer: FrameWriter::new(writer, INDEX_FRAME_BYTES_MAX),
        }
    }
}

/// A node that may misbehave.
struct Node {
    seed: u8,
    reader: FrameReader<ReadHalf<SecureStream<TcpStream>>>,
    writer: FrameWriter<WriteHalf<SecureStream<TcpStream>>>,
}

impl Node {
    async fn send(&mut self, message: NodeToIndex) {
        self.writer.send(&message.to_frame()).await.unwrap();
    }

    /// What the server says next; none when it has closed the connection.
    async fn hear(&mut self) -> Option<IndexToNode> {
        let frame = tokio::time::timeout(PATIENCE, self.reader.next()).await.expect("the server does something");
        frame.ok().flatten().map(|frame| IndexToNode::from_frame(&frame).unwrap())
    }

    fn update(&self, sequence: u64, expires_ms: u64) -> Verified<Update> {
        let edge = Edge {
            friend: key(99),
            currency: Currency::default(),
            send_capacity: 5,
            receive_capacity: 5,
            rate: Rate::default(),
            clearable: offst_proto::index::Clearable::None,
        };
        let update = Update { node: key(self.seed), sequence, expires_ms, edges: vec![edge] };
        Verified::sign(update, &identity(self.seed))
    }

    async fn publish(&mut self, wire: &[u8]) -> UpdateOutcome {
        self.send(NodeToIndex::Update(wire.to_vec())).await;
        match self.hear().await {
            Some(IndexToNode::UpdateResult(result)) => result.outcome,
            other => panic!("{other:?}"),
        }
    }

    async fn refusal(&mut self, wire: &[u8]) -> UpdateRefusal {
        match self.publish(wire).await {
            UpdateOutcome::Refused { reason, .. } => reason,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn updates_that_are_not_taken_are_answered_and_counted() {
    let server = Running::start(Limits { updates_per_second: 3, ..Limits::default() }).await;
    let (mut one, two) = (server.node(1).await, server.node(2).await);
    let soon = unix_ms() + 600_000;
    let update = one.update(7, soon);
    assert_eq!(one.publish(update.wire()).await, UpdateOutcome::Accepted { newest: 7 });
    assert_eq!(one.publish(update.wire()).await, UpdateOutcome::Stale { newest: 7 });
    let mut forged = one.update(8, soon).wire().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(one.refusal(&forged).await, UpdateRefusal::Signature);
    assert_eq!(one.refusal(two.update(1, soon).wire()).await, UpdateRefusal::OtherNode);
    assert_eq!(one.refusal(one.update(9, 1).wire()).await, UpdateRefusal::Expired);
    assert_eq!(one.refusal(one.update(9, soon + 3_600_000).wire()).await, UpdateRefusal::TooFarAhead);
    let mut refusals = 0;
    // The bucket holds six and refills: in the end one is refused for coming too often.
    while one.refusal(&forged).await != UpdateRefusal::TooOften {
        refusals += 1;
    }
    let counted = server.counters.snapshot();
    assert_eq!((counted.updates_accepted, counted.updates_stale), (1, 1));
    assert_eq!((counted.updates_forged, counted.updates_expired), (2 + refusals, 2));
    assert_eq!((counted.updates_over_quota, counted.nodes, counted.edges), (1, 1, 1));
    server.stop().await;
}

#[tokio::test]
async fn garbage_closes_only_the_connection_it_came_by() {
    let server = Running::start(Limits::default()).await;
    let mut good = server.node(1).await;
    let query = Query { id: 5, ..Query::new(Currency::default(), 10, key(1), key(2)) };
    for garbage in [vec![], vec![0; 100], vec![0xff; 1000], NodeToIndex::Update(vec![1; 90]).to_frame()] {
        let mut bad = server.node(3).await;
        bad.writer.send(&garbage).await.unwrap();
        assert_eq!(bad.hear().await, None);
        good.send(NodeToIndex::Query(query.clone())).await;
        assert_eq!(good.hear().await, Some(IndexToNode::Answer(Answer { id: 5, ways: vec![], cut: false })));
    }
    // A frame above the bound: the length alone ends it.
    let mut bad = server.node(3).await;
    bad.writer = FrameWriter::new(bad.writer.into_inner(), usize::MAX);
    let _ = bad.writer.send(&vec![0; INDEX_FRAME_BYTES_MAX + 1]).await;
    assert_eq!(bad.hear().await, None);
    good.send(NodeToIndex::Query(query)).await;
    assert!(good.hear().await.is_some());
    assert_eq!(server.counters.snapshot().garbage, 5);
    server.stop().await;
}

#[tokio::test]
async fn a_node_that_asks_too_often_is_told_and_others_are_not_slowed() {
    let server = Running::start(Limits { queries_per_second: 1, ..Limits::default() }).await;
    let (mut greedy, mut other) = (server.node(1).await, server.node(2).await);
    let query = |id| NodeToIndex::Query(Query { id, ..Query::new(Currency::default(), 10, key(1), key(2)) });
    let mut id = 0;
    loop {
        greedy.send(query(id)).await;
        match greedy.hear().await {
            Some(IndexToNode::Busy(busy)) if busy == id => break,
            Some(IndexToNode::Answer(answer)) if answer.id == id => id += 1,
            unexpected => panic!("{unexpected:?}"),
        }
    }
    assert!(id >= 2);
    other.send(query(0)).await;
    assert!(matches!(other.hear().await, Some(IndexToNode::Answer(_))));
    assert_eq!(server.counters.snapshot().queries_busy, 1);
    server.stop().await;
}

#[tokio::test]
async fn a_second_connection_takes_over_and_surplus_is_closed() {
    let server = Running::start(Limits { connections: 1, ..Limits::default() }).await;
    let mut first = server.node(1).await;
    first.send(NodeToIndex::Update(first.update(1, unix_ms() + 1000).wire().to_vec())).await;
    assert!(first.hear().await.is_some());
    let mut surplus = server.node(2).await;
    assert_eq!(surplus.hear().await, None);
    let mut second = server.node(1).await;
    assert_eq!(first.hear().await, None);
    let outcome = second.publish(second.update(2, unix_ms() + 1000).wire()).await;
    assert_eq!(outcome, UpdateOutcome::Accepted { newest: 2 });
    server.stop().await;
}

#[tokio::test]
async fn silence_is_answered_with_keepalives_and_then_ended() {
    let keepalive = KeepaliveConfig { keepalive_ms: 20, idle_timeout_ms: 1000 };
    let server = Running::start(Limits { keepalive, ..Limits::default() }).await;
    let mut silent = server.node(1).await;
    assert_eq!(silent.hear().await, Some(IndexToNode::Keepalive));
    while let Some(message) = silent.hear().await {
        assert_eq!(message, IndexToNode::Keepalive);
    }
    assert_eq!(server.counters.snapshot().garbage, 0);
    server.stop().await;
}
