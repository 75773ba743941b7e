use super::*;
use crate::Limits;
use crate::test_servers::{LONG, Running, edge, identity, key, signed, soon, wait_until};
use offst_proto::index::{Listing, UpdateOutcome, bucket_of};

#[path = "../../../../tests/testnet/ports.rs"]
mod ports;

fn befriend(one: &Running, other: &Running) {
    one.trust(&other.ticket());
    other.trust(&one.ticket());
}

async fn wait_linked(servers: &[&Running], links: u64) {
    for server in servers {
        wait_until("servers are linked", || server.counters.snapshot().neighbours_connected == links).await;
    }
}

async fn wait_edges(server: &Running, edges: u64) {
    wait_until("the updates are there", || server.counters.snapshot().edges == edges).await;
}

#[tokio::test]
async fn a_route_is_found_over_nodes_that_publish_at_different_servers() {
    let servers = [
        Running::start_as(101, Limits::default(), None).await,
        Running::start_as(102, Limits::default(), None).await,
        Running::start_as(103, Limits::default(), None).await,
    ];
    befriend(&servers[0], &servers[1]);
    befriend(&servers[1], &servers[2]);
    befriend(&servers[2], &servers[0]);
    wait_linked(&servers.each_ref(), 2).await;
    // What is published while two servers compare what they know may be sent once more.
    let summary = ServerToServer::Summary { digest: 0, clock_ms: 0 }.to_frame().len() as u64;
    for server in &servers {
        let received = || server.counters.snapshot().federation_bytes_received;
        wait_until("all have compared", || received() >= 2 * summary).await;
    }
    let (mut one, mut two, mut three) = (servers[0].node(1).await, servers[1].node(2).await, servers[2].node(3).await);
    one.befriend(1, &[2]).await;
    two.befriend(1, &[1, 3]).await;
    three.befriend(1, &[2]).await;
    for (server, node) in servers.iter().zip([&mut one, &mut two, &mut three]) {
        wait_edges(server, 4).await;
        while node.ask(1, 3).await.is_none_or(|answer| answer.routes.is_empty()) {}
    }
    let sent: u64 = servers.iter().map(|server| server.counters.snapshot().federation_sent).sum();
    assert!(sent <= 3 * 4, "each of three updates to two servers, and from each of these at most once more: {sent}");
    // Withdrawn at one, gone at all.
    let closed = signed(2, 2, soon(), vec![edge(1, 0)]);
    assert_eq!(two.publish(closed.wire()).await, UpdateOutcome::Accepted { newest: 2 });
    for node in [&mut one, &mut three] {
        while node.ask(1, 3).await.is_none_or(|answer| !answer.routes.is_empty()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    for server in servers {
        server.stop().await;
    }
}

// R5.11.
#[tokio::test]
async fn trust_of_one_side_carries_nothing_until_the_other_trusts_too() {
    let (one, other) =
        (Running::start_as(101, Limits::default(), None).await, Running::start_as(102, Limits::default(), None).await);
    let mut node = one.node(1).await;
    node.befriend(1, &[2]).await;
    one.trust(&other.ticket());
    wait_until("the other one has refused", || other.counters.snapshot().federation_untrusted > 0).await;
    let counted = [one.counters.snapshot(), other.counters.snapshot()];
    assert!(counted.iter().all(|counted| counted.neighbours_connected == 0));
    assert_eq!((counted[0].federation_bytes_sent, counted[1].federation_bytes_received), (0, 0));
    // Nobody restarts anything.
    other.trust(&one.ticket());
    wait_linked(&[&one, &other], 1).await;
    wait_edges(&other, 1).await;
    other.distrust(&one.ticket());
    wait_linked(&[&one, &other], 0).await;
    node.befriend(2, &[3]).await;
    let refused = other.counters.snapshot().federation_untrusted;
    wait_until("it is refused again", || other.counters.snapshot().federation_untrusted > refused).await;
    assert_eq!(other.counters.snapshot().edges, 1);
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn what_a_server_missed_while_it_was_down_comes_with_the_link() {
    // One that nobody else is given meanwhile.
    let place = ("127.0.0.1", ports::free_port());
    let start = async || {
        let federation = TcpListener::bind(place).await.unwrap();
        Running::start_at(102, Limits::default(), None, federation).await
    };
    let (one, other) = (Running::start_as(101, Limits::default(), None).await, start().await);
    befriend(&one, &other);
    wait_linked(&[&one, &other], 1).await;
    let mut node = one.node(1).await;
    node.befriend(1, &[2]).await;
    wait_edges(&other, 1).await;
    let ticket = other.ticket();
    other.stop().await;
    wait_linked(&[&one], 0).await;
    node.befriend(2, &[3]).await;
    let other = start().await;
    assert_eq!(other.ticket(), ticket);
    other.trust(&one.ticket());
    wait_edges(&other, 2).await;
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn a_server_alone_knows_again_what_it_knew() {
    let folder = tempfile::tempdir().unwrap();
    let file = Some(folder.path().join("index0.updates"));
    let server = Running::start_as(101, Limits::default(), file.clone()).await;
    let (mut one, mut two) = (server.node(1).await, server.node(2).await);
    one.befriend(5, &[2]).await;
    two.befriend(1, &[1]).await;
    server.stop().await;
    let server = Running::start_as(101, Limits::default(), file).await;
    wait_edges(&server, 2).await;
    let mut three = server.node(3).await;
    while three.ask(1, 2).await.is_none_or(|answer| answer.routes.is_empty()) {}
    let mut one = server.node(1).await;
    let replayed = signed(1, 5, soon(), vec![edge(2, 7)]);
    assert_eq!(one.publish(replayed.wire()).await, UpdateOutcome::Stale { newest: 5 }, "numbers are remembered too");
    server.stop().await;
}

/// Speaks as a server that is trusted.
struct Peer {
    reader: Reader,
    writer: Writer,
}

impl Peer {
    async fn dial(server: &Running, seed: u8) -> Self {
        let place = server.federation_address.to_string().parse().unwrap();
        let authenticator = Authenticator::new(&identity(seed));
        let (reader, writer) = frames(authenticator.connect_tcp(&place, key(server.seed), LONG).await.unwrap());
        Peer { reader, writer }
    }

    async fn send(&mut self, message: ServerToServer) {
        self.writer.send(&message.to_frame()).await.unwrap();
    }

    async fn receive(&mut self) -> Option<ServerToServer> {
        let frame = tokio::time::timeout(LONG, self.reader.next()).await.expect("the server sends something");
        frame.ok().flatten().map(|frame| ServerToServer::from_frame(&frame).unwrap())
    }
}

// R5.13.
#[tokio::test]
async fn what_a_neighbour_passes_on_is_checked_and_counted() {
    let server = Running::start_as(101, Limits { edges_per_node_max: 2, ..Limits::default() }, None).await;
    // Nobody listens at the address; the server's dials fail.
    let nowhere = ServerTicket { public_key: key(200), address: "127.0.0.1:1".parse().unwrap() };
    server.trust(&nowhere);
    let mut peer = loop {
        let mut peer = Peer::dial(&server, 200).await;
        if matches!(peer.receive().await, Some(ServerToServer::Summary { .. })) {
            break peer;
        }
    };
    let good = signed(1, 5, soon(), vec![edge(2, 5)]);
    let mut forged = signed(2, 5, soon(), vec![edge(1, 5)]).wire().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let past = signed(3, 5, 1, vec![edge(1, 5)]);
    let future = signed(3, 6, soon() + 3_600_000, vec![edge(1, 5)]);
    let many = signed(4, 1, soon(), vec![edge(1, 5), edge(2, 5), edge(3, 5)]);
    let wires = [good.wire(), good.wire(), past.wire(), future.wire(), many.wire()].map(|wire| wire.to_vec());
    peer.send(ServerToServer::Updates(wires.into_iter().chain([forged]).collect())).await;
    peer.send(ServerToServer::Updates(vec![good.wire().to_vec()])).await;
    wait_until("the last frame was taken", || server.counters.snapshot().federation_old == 2).await;
    let counted = server.counters.snapshot();
    assert_eq!((counted.federation_news, counted.federation_forged), (1, 1));
    assert_eq!((counted.federation_expired, counted.federation_over_quota), (2, 1));
    assert_eq!((counted.edges, counted.federation_garbage), (1, 0));
    // What it has told is not told to it.
    let after = None;
    let names = vec![UpdateName::of(&good)];
    peer.send(ServerToServer::List(Listing { bucket: bucket_of(&key(1)), after, names, is_last: true })).await;
    peer.send(ServerToServer::Wants(vec![UpdateName::of(&good)])).await;
    assert_eq!(peer.receive().await, Some(ServerToServer::Updates(vec![good.wire().to_vec()])), "but when it asks");
    peer.writer.send(b"this is no message").await.unwrap();
    while peer.receive().await.is_some() {}
    assert_eq!(server.counters.snapshot().federation_garbage, 1);
    // A link is taken again by the same neighbour, and only by it.
    let mut again = Peer::dial(&server, 200).await;
    assert!(matches!(again.receive().await, Some(ServerToServer::Summary { .. })));
    let mut untrusted = Peer::dial(&server, 201).await;
    assert_eq!(untrusted.receive().await, Some(ServerToServer::Refused(FederationRefusal::NotTrusted)));
    assert_eq!(untrusted.receive().await, None);
    server.stop().await;
}
