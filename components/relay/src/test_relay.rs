//! A relay on a real socket and nodes at it, for tests.

use crate::{ClientConfig, Counters, Limits, RelayClient, RelayEvent, RelayStream, serve};
use offst_crypto::{Identity, PublicKey};
use offst_proto::ticket::ServerTicket;
use offst_secure_channel::{Authenticator, SecureStream};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub(crate) const LONG: Duration = Duration::from_secs(60);
pub(crate) const RELAY: u8 = 200;

pub(crate) fn identity(seed: u8) -> Identity {
    Identity::from_seed([seed; 32])
}

pub(crate) fn key(seed: u8) -> PublicKey {
    identity(seed).public_key()
}

pub(crate) fn authenticator(seed: u8) -> Authenticator {
    Authenticator::new(&identity(seed))
}

pub(crate) struct TestRelay {
    pub(crate) ticket: ServerTicket,
    pub(crate) counters: Arc<Counters>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) task: JoinHandle<io::Result<()>>,
}

impl TestRelay {
    pub(crate) async fn start(limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        let ticket = ServerTicket { public_key: key(RELAY), address };
        let counters = Arc::new(Counters::default());
        let shutdown = CancellationToken::new();
        let serving = serve(listener, Arc::new(identity(RELAY)), limits, counters.clone(), shutdown.clone());
        TestRelay { ticket, counters, shutdown, task: tokio::spawn(serving) }
    }

    pub(crate) async fn node_with(&self, seed: u8, config: ClientConfig) -> Node {
        let (client, events) = RelayClient::connect(&authenticator(seed), &self.ticket, config).await.unwrap();
        Node { client, events }
    }

    /// A node that the relay has registered.
    pub(crate) async fn node(&self, seed: u8) -> Node {
        let mut node = self.node_with(seed, ClientConfig::default()).await;
        assert!(matches!(node.next().await, RelayEvent::Registered));
        node
    }

    /// A node's connection without a multiplexer.
    pub(crate) async fn secure_tcp(&self, seed: u8) -> SecureStream<TcpStream> {
        authenticator(seed).connect_tcp(&self.ticket.address, key(RELAY), LONG).await.unwrap()
    }

    /// Waits until nothing is in flight in the relay and no substream is open.
    pub(crate) async fn until_empty(&self) {
        self.until(|counters| {
            counters.in_flight_bytes.load(Ordering::Relaxed) == 0 && counters.substreams.load(Ordering::Relaxed) == 0
        })
        .await;
    }

    /// Waits until so many connections have misbehaved.
    pub(crate) async fn until_misbehaved(&self, count: u64) {
        self.until(|counters| counters.misbehaved.load(Ordering::Relaxed) == count).await;
    }

    /// Waits until so many nodes are registered.
    pub(crate) async fn until_nodes(&self, count: u64) {
        self.until(|counters| counters.nodes.load(Ordering::Relaxed) == count).await;
    }

    /// Waits until so many connections have come.
    pub(crate) async fn until_accepted(&self, count: u64) {
        self.until(|counters| counters.handshakes.accepted.load(Ordering::Relaxed) == count).await;
    }

    async fn until(&self, is_so: impl Fn(&Counters) -> bool) {
        let counters = &self.counters;
        timeout(LONG, async {
            while !is_so(counters) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("it does not happen: {counters:?}"));
    }
}

pub(crate) struct Node {
    pub(crate) client: RelayClient,
    pub(crate) events: mpsc::Receiver<RelayEvent>,
}

impl Node {
    pub(crate) async fn next(&mut self) -> RelayEvent {
        timeout(LONG, self.events.recv()).await.expect("an event comes").expect("the connection lives")
    }

    pub(crate) async fn incoming(&mut self) -> (PublicKey, RelayStream) {
        match self.next().await {
            RelayEvent::Incoming { source, stream } => (source, stream),
            other => panic!("expected a stream, got {other:?}"),
        }
    }

    pub(crate) async fn closed(&mut self) -> String {
        match self.next().await {
            RelayEvent::Closed(reason) => reason,
            other => panic!("expected the end, got {other:?}"),
        }
    }

    pub(crate) async fn expect_present(&mut self, expected: PublicKey) {
        let event = self.next().await;
        assert!(matches!(event, RelayEvent::Present(key) if key == expected), "{event:?}");
    }

    pub(crate) async fn expect_absent(&mut self, expected: PublicKey) {
        let event = self.next().await;
        assert!(matches!(event, RelayEvent::Absent(key) if key == expected), "{event:?}");
    }
}
