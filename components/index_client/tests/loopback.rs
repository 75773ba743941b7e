//! Index clients and real index servers on loopback: sockets, TLS and both halves of the protocol.

#[path = "../../../tests/testnet/ports.rs"]
mod ports;

use offst_crypto::{Identity, PublicKey};
use offst_index_client::{Config, IndexClient, IndexError, ServerStatus};
use offst_index_server::{Counters, Limits, serve};
use offst_proto::Amount;
use offst_proto::index::{Answer, Edge, Exclusion, Hop, Query};
use offst_proto::ticket::ServerTicket;
use offst_proto::{Currency, Rate};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Nothing here takes so long; a test that hangs fails.
const PATIENCE: Duration = Duration::from_secs(60);

fn identity(seed: u8) -> Arc<Identity> {
    Arc::new(Identity::from_seed([seed; 32]))
}

fn key(seed: u8) -> PublicKey {
    identity(seed).public_key()
}

struct Server {
    ticket: ServerTicket,
    counters: Arc<Counters>,
    stop: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
}

impl Server {
    async fn start(seed: u8) -> Self {
        Server::start_at(seed, "127.0.0.1:0".parse().unwrap()).await
    }

    async fn start_at(seed: u8, address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        let ticket = ServerTicket { public_key: key(seed), address };
        let counters = Arc::new(Counters::default());
        let stop = CancellationToken::new();
        let limits = Limits { updates_per_second: 1000, ..Limits::default() };
        let task = tokio::spawn(serve(listener, identity(seed), limits, counters.clone(), stop.clone()));
        Server { ticket, counters, stop, task }
    }

    async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap();
    }
}

fn client(seed: u8) -> IndexClient {
    let config = Config {
        publish_interval_ms: 1,
        reconnect_min_ms: 10,
        reconnect_max_ms: 50,
        query_timeout_ms: 60_000,
        second_answer_ms: 60_000,
        ..Config::default()
    };
    IndexClient::start(identity(seed), config)
}

fn edge(friend: u8, send_capacity: u128, receive_capacity: u128) -> Edge {
    let (friend, currency, rate) =
        (key(friend), Currency::default(), Rate { mul: 0, add: Amount::capped(u128::from(friend)) });
    Edge {
        friend,
        currency,
        send_capacity: Amount::capped(send_capacity),
        receive_capacity: Amount::capped(receive_capacity),
        rate,
        clearable: offst_proto::index::Clearable::None,
    }
}

async fn until(client: &IndexClient, what: &str, condition: impl Fn(&ServerStatus) -> bool) {
    let mut statuses = client.statuses();
    let all = statuses.wait_for(|statuses| !statuses.is_empty() && statuses.values().all(&condition));
    tokio::time::timeout(PATIENCE, all).await.unwrap_or_else(|_| panic!("{what}")).unwrap();
}

async fn until_published(client: &IndexClient) {
    until(client, "the server knows everything", |status| status.up_to_date).await;
}

async fn ask(client: &IndexClient, query: Query) -> Result<Answer, IndexError> {
    tokio::time::timeout(PATIENCE, client.query(query)).await.unwrap()
}

fn query(amount: u128, source: u8, destination: u8) -> Query {
    Query::new(Currency::default(), Amount::capped(amount), key(source), key(destination))
}

/// The fees and the path of the first route.
async fn route(client: &IndexClient, query: Query) -> Option<(u128, Vec<PublicKey>)> {
    let answer = ask(client, query).await.unwrap();
    answer.routes.first().map(|route| (route.fees(), route.parts[0].path.clone()))
}

/// 1 - 2 - 3, and 1 - 4 - 3, which is dearer.
async fn village(server: &Server) -> Vec<IndexClient> {
    let clients: Vec<_> = (1..=4).map(client).collect();
    let friends: [&[u8]; 4] = [&[2, 4], &[1, 3], &[2, 4], &[1, 3]];
    for ((client, friends), dearer) in clients.iter().zip(friends).zip([0, 0, 0, 50]) {
        let mut edges: Vec<_> = friends.iter().map(|friend| edge(*friend, 100, 100)).collect();
        edges.iter_mut().for_each(|edge| edge.rate.add = Amount::capped(edge.rate.add.credits() + dearer));
        client.set_edges(edges);
        client.set_servers(vec![server.ticket.clone()]);
        until_published(client).await;
    }
    clients
}

#[tokio::test]
async fn two_nodes_publish_and_a_query_gives_the_route() {
    let server = Server::start(100).await;
    let clients = village(&server).await;
    assert_eq!(clients[0].connected().into_iter().collect::<Vec<_>>(), [server.ticket.public_key]);
    let query = Query { id: 42, ..query(10, 1, 3) };
    let answer = ask(&clients[0], query.clone()).await.unwrap();
    assert_eq!((answer.id, answer.cut), (42, false));
    // Node 2 takes 1 credit for requests from 1.
    assert_eq!(route(&clients[0], query.clone()).await, Some((1, vec![key(2), key(3)])));
    // Anybody may ask about anybody.
    assert_eq!(route(&clients[3], query.clone()).await, Some((1, vec![key(2), key(3)])));
    // With the fees 100 does not fit on one route, and 200 not on both.
    let split = ask(&clients[0], Query { amount: 100.into(), ..query.clone() }).await.unwrap();
    assert_eq!(split.routes.iter().map(|route| (route.parts.len(), route.fees())).collect::<Vec<_>>(), [(2, 52)]);
    assert_eq!(route(&clients[0], Query { amount: 200.into(), ..query }).await, None);
    server.stop().await;
}

#[tokio::test]
async fn excluded_edges_and_nodes_and_named_friends_are_respected() {
    let server = Server::start(101).await;
    let clients = village(&server).await;
    let dearer = Some((51, vec![key(4), key(3)]));
    let without = |from, to| {
        let hop = Hop { from: key(from), to: key(to) };
        Query { excluded_edges: vec![Exclusion::whole(hop)], ..query(10, 1, 3) }
    };
    assert_eq!(route(&clients[0], without(2, 3)).await, dearer);
    assert_eq!(route(&clients[0], without(3, 2)).await, Some((1, vec![key(2), key(3)])), "edges have a direction");
    let without = Query { excluded_nodes: vec![key(2)], ..query(10, 1, 3) };
    assert_eq!(route(&clients[0], without).await, dearer);
    let without = Query { excluded_nodes: vec![key(2), key(4)], ..query(10, 1, 3) };
    assert_eq!(route(&clients[0], without).await, None);
    let around = Query { via: Some(key(4)), ..query(10, 1, 1) };
    let (fees, path) = route(&clients[0], around).await.unwrap();
    assert_eq!((fees, path), (51 + 4 + 3, vec![key(4), key(3), key(2), key(1)]));
    server.stop().await;
}

#[tokio::test]
async fn an_edge_of_one_side_is_not_used_and_changes_are_published() {
    let server = Server::start(102).await;
    let (one, two) = (client(1), client(2));
    for client in [&one, &two] {
        client.set_servers(vec![server.ticket.clone()]);
    }
    one.set_edges(vec![edge(2, 50, 50)]);
    until_published(&one).await;
    until_published(&two).await;
    assert_eq!(route(&one, query(10, 1, 2)).await, None);
    two.set_edges(vec![edge(1, 9, 20)]);
    until_published(&two).await;
    assert_eq!(route(&one, query(20, 1, 2)).await, Some((0, vec![key(2)])));
    assert_eq!(route(&one, query(21, 1, 2)).await, None);
    assert_eq!(route(&one, query(9, 2, 1)).await, Some((0, vec![key(1)])));
    two.set_edges(vec![edge(1, 0, 0)]);
    until_published(&two).await;
    assert_eq!(route(&one, query(1, 1, 2)).await, None);
    assert_eq!(server.counters.snapshot().updates_stale, 0);
    server.stop().await;
}

#[tokio::test]
async fn everything_is_published_again_after_a_server_restarts() {
    // Nobody else listens there while it is away.
    let address = SocketAddr::from(([127, 0, 0, 1], ports::free_port()));
    let server = Server::start_at(103, address).await;
    let clients = village(&server).await;
    server.stop().await;
    for client in &clients {
        until(client, "the server is gone", |status| !status.connected && status.problem.is_some()).await;
    }
    assert_eq!(ask(&clients[0], query(10, 1, 3)).await, Err(IndexError::NotConnected));
    clients[1].set_edges(vec![edge(1, 200, 200)]);
    let server = Server::start_at(103, address).await;
    for client in &clients {
        until_published(client).await;
    }
    assert_eq!(route(&clients[0], query(10, 1, 3)).await, Some((1, vec![key(2), key(3)])));
    assert_eq!(server.counters.snapshot().nodes, 4);
    server.stop().await;
}

#[tokio::test]
async fn a_restarted_node_publishes_above_its_old_sequence() {
    let server = Server::start(104).await;
    let mut clients = village(&server).await;
    // It would come back and publish what it knows.
    drop(clients.remove(1));
    let again = client(2);
    again.set_edges(vec![edge(1, 7, 7), edge(3, 7, 7)]);
    again.set_servers(vec![server.ticket.clone()]);
    until_published(&again).await;
    assert_eq!(route(&clients[1], query(7, 2, 3)).await, Some((0, vec![key(3)])));
    assert_eq!(route(&clients[0], query(8, 1, 3)).await, Some((51, vec![key(4), key(3)])));
    server.stop().await;
}

#[tokio::test]
async fn two_servers_are_asked_and_one_is_enough() {
    let (first, second) = (Server::start(105).await, Server::start(106).await);
    let clients = village(&first).await;
    let both = vec![first.ticket.clone(), second.ticket.clone()];
    clients[0].set_servers(both);
    until_published(&clients[0]).await;
    assert_eq!(clients[0].connected().len(), 2);
    // The second one knows node 1 only and finds nothing.
    assert_eq!(route(&clients[0], query(10, 1, 3)).await, Some((1, vec![key(2), key(3)])));
    assert_eq!((first.counters.snapshot().queries, second.counters.snapshot().queries), (1, 1));
    second.stop().await;
    let mut statuses = clients[0].statuses();
    let one_left = statuses.wait_for(|statuses| statuses.values().filter(|status| status.connected).count() == 1);
    tokio::time::timeout(PATIENCE, one_left).await.unwrap().unwrap();
    assert_eq!(route(&clients[0], query(10, 1, 3)).await, Some((1, vec![key(2), key(3)])));
    clients[0].set_servers(vec![]);
    let mut statuses = clients[0].statuses();
    tokio::time::timeout(PATIENCE, statuses.wait_for(|statuses| statuses.is_empty())).await.unwrap().unwrap();
    assert_eq!(ask(&clients[0], query(10, 1, 3)).await, Err(IndexError::NotConnected));
    first.stop().await;
}

#[tokio::test]
async fn a_server_with_another_key_is_refused_and_the_status_says_so() {
    let server = Server::start(107).await;
    let client = client(1);
    client.set_servers(vec![ServerTicket { public_key: key(108), address: server.ticket.address.clone() }]);
    let names_the_key = |status: &ServerStatus| {
        !status.connected && status.problem.as_ref().is_some_and(|problem| problem.contains("another key"))
    };
    until(&client, "the wrong key is noticed", names_the_key).await;
    assert_eq!(ask(&client, query(10, 1, 3)).await, Err(IndexError::NotConnected));
    server.stop().await;
}

/// A node sends large updates, each with one edge that the next one does not name, so fewer and fewer bytes are useful.
/// The server has all edges announced again, and in the end holds every edge and no longer what is useless.
#[tokio::test]
async fn a_node_with_few_useful_bytes_announces_all_its_edges_again() {
    const FRIENDS: u8 = 200;
    let server = Server::start(100).await;
    let client = client(1);
    client.set_servers(vec![server.ticket.clone()]);
    let up_to_date = |status: &ServerStatus| status.up_to_date && status.problem.is_none();
    client.set_edges((2..FRIENDS).map(|friend| edge(friend, 1, 1)).collect());
    until(&client, "all is said", up_to_date).await;
    let once = server.counters.snapshot().update_bytes;
    for round in 1..40u8 {
        client.set_edges((1 + round..FRIENDS).map(|friend| edge(friend, 1 + u128::from(round), 1)).collect());
        until(&client, "it is said", up_to_date).await;
    }
    let counted = server.counters.snapshot();
    assert!(counted.updates_say_all > 0 && counted.updates_say_all < 20, "{counted:?}");
    assert_eq!((counted.edges, counted.updates_over_quota), (u64::from(FRIENDS) - 2, 0));
    assert!(counted.update_bytes < 6 * once, "{} after {once}", counted.update_bytes);
    server.stop().await;
}
