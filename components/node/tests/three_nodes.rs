//! Three nodes in a chain, a relay and an index server in one process, over real sockets, TLS and databases: a payment through
//! the application interface, and a restart.

use offst_app::{App, Destination, NewFriend, NewInvoice, Order, Purpose};
use offst_crypto::{Ed25519Verifier, Identity, PublicKey};
use offst_node::{Counters, Node, NodeSettings, Permissions};
use offst_proto::invoice::Invoice;
use offst_proto::receipt::Receipt;
use offst_proto::report::{AccountStatus, PaymentReport, PaymentStatus};
use offst_proto::ticket::{FriendTicket, ServerTicket};
use offst_proto::{Currency, PaymentId, Verified};
use offst_store::Store;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

struct Running {
    identity: Arc<Identity>,
    app: App,
    stop: CancellationToken,
    task: JoinHandle<Result<(), offst_node::NodeError>>,
}

async fn listener() -> (TcpListener, offst_proto::ticket::Address) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string().parse().unwrap();
    (listener, address)
}

impl Running {
    async fn start(folder: &Path, seed: u8) -> Self {
        let identity = Arc::new(Identity::from_seed([seed; 32]));
        let app_identity = Identity::from_seed([200; 32]);
        let database = folder.join(format!("{seed}.db"));
        if !database.exists() {
            Store::create(&database, identity.public_key()).unwrap();
        }
        let (apps, address) = listener().await;
        let trusted = BTreeMap::from([(app_identity.public_key(), Permissions::ALL.into())]);
        let node = Node {
            identity: identity.clone(),
            database,
            apps,
            friends: None,
            friend_address: None,
            grants: tokio::sync::watch::channel(trusted).1,
            settings: NodeSettings::default(),
            counters: Arc::new(Counters::default()),
        };
        let stop = CancellationToken::new();
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(node.run(move || ready.send(()).unwrap(), stop.clone()));
        is_ready.await.unwrap();
        let ticket = ServerTicket { public_key: identity.public_key(), address };
        let app = offst_app::connect(&ticket, &app_identity).await.unwrap();
        Running { identity, app, stop, task }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }

    fn key(&self) -> PublicKey {
        self.identity.public_key()
    }

    /// Waits, event by event, until all friends are online, agree and take requests.
    async fn wait_online(&self) {
        let subscription = self.app.subscribe().await.unwrap();
        loop {
            let friends = self.app.friends().await.unwrap();
            let is_up = friends.iter().all(|friend| {
                friend.online
                    && friend.accounts.iter().all(|line| line.status == AccountStatus::Consistent && line.remote_open)
            });
            if is_up {
                return;
            }
            subscription.next().await.unwrap();
        }
    }

    async fn balances(&self) -> Vec<i128> {
        let friends = self.app.friends().await.unwrap();
        friends.iter().map(|friend| friend.accounts[0].balance).collect()
    }

    /// Pays, and tries again while the index server is still learning of the friends.
    async fn pay(&self, invoice: &Verified<Invoice>) -> PaymentReport {
        for _ in 0..600 {
            let order = Order {
                payment_id: PaymentId::random(&mut offst_crypto::SystemRandom::new()),
                purpose: Purpose::Invoice(invoice.clone()),
                max_fee: None,
                timeout_ms: 20_000,
            };
            match self.app.pay(&order).await {
                Ok(report) if report.status == PaymentStatus::Paid => return report,
                Ok(report) => assert_eq!(report.status, PaymentStatus::Failed, "{report:?}"),
                Err(error) => panic!("{error}"),
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("the payment never found a route");
    }
}

async fn befriend(one: &Running, other: &Running, relay: &ServerTicket) {
    for (node, friend) in [(one, other), (other, one)] {
        let new = NewFriend {
            name: friend.key().to_string(),
            ticket: FriendTicket { public_key: friend.key(), relays: vec![relay.clone()], address: None },
            balance: 0,
            currency: Currency::default(),
            max_debt: 100.into(),
            open: true,
        };
        node.app.add_friend(&new).await.unwrap();
    }
}

#[test]
fn a_payment_over_two_hops_and_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    offst_app::block_on(async {
        let stop = CancellationToken::new();
        let (relay_listener, relay_address) = listener().await;
        let relay_identity = Arc::new(Identity::from_seed([101; 32]));
        let relay = ServerTicket { public_key: relay_identity.public_key(), address: relay_address };
        let limits = offst_relay::Limits::default();
        tokio::spawn(offst_relay::serve(relay_listener, relay_identity, limits, Arc::default(), stop.clone()));
        let (index_listener, index_address) = listener().await;
        let index_identity = Arc::new(Identity::from_seed([102; 32]));
        let index = ServerTicket { public_key: index_identity.public_key(), address: index_address };
        let limits = offst_index_server::Limits::default();
        tokio::spawn(offst_index_server::serve(index_listener, index_identity, limits, Arc::default(), stop.clone()));

        let mut nodes = Vec::new();
        for seed in [1, 2, 3] {
            let node = Running::start(folder.path(), seed).await;
            node.app.add_relay("relay", &relay).await.unwrap();
            node.app.add_index_server("index", &index).await.unwrap();
            nodes.push(node);
        }
        befriend(&nodes[0], &nodes[1], &relay).await;
        befriend(&nodes[1], &nodes[2], &relay).await;
        for node in &nodes {
            node.wait_online().await;
        }
        let invoice =
            |amount| NewInvoice { amount, currency: Currency::default(), description: "bread".into(), expiry_ms: None };
        let bill = nodes[2].app.create_invoice(&invoice(60.into())).await.unwrap();
        let report = nodes[0].pay(&bill).await;
        assert_eq!((report.amount, report.fees, report.parts), (60.into(), 1, 1));
        let receipt = Receipt::from_toml(report.receipt.as_deref().unwrap()).unwrap();
        receipt.verify(&Ed25519Verifier, Some(&bill)).unwrap();
        assert_eq!(nodes[0].balances().await, [-61]);
        assert_eq!(nodes[2].balances().await, [60]);

        // An order with the id of a payment that has ended is no new one, whatever it is for: also after a restart.
        nodes.remove(0).stop().await;
        nodes.insert(0, Running::start(folder.path(), 1).await);
        for node in &nodes {
            node.wait_online().await;
        }
        let purpose = Purpose::Spontaneous {
            destination: Destination::Key(nodes[1].key()),
            currency: Currency::default(),
            amount: 3.into(),
        };
        let again = Order { payment_id: report.payment_id, purpose, max_fee: None, timeout_ms: 20_000 };
        let told = nodes[0].app.pay(&again).await.unwrap();
        assert_eq!((told.payment_id, told.amount, told.receipt), (report.payment_id, 60.into(), report.receipt));
        assert_eq!(nodes[0].balances().await, [-61]);

        // The mediator comes back with what it had.
        nodes.remove(1).stop().await;
        nodes.insert(1, Running::start(folder.path(), 2).await);
        for node in &nodes {
            node.wait_online().await;
        }
        let mut of_mediator = nodes[1].balances().await;
        of_mediator.sort_unstable();
        assert_eq!(of_mediator, [-60, 61]);
        let bill = nodes[2].app.create_invoice(&invoice(5.into())).await.unwrap();
        nodes[0].pay(&bill).await;
        assert_eq!(nodes[0].balances().await, [-67]);
        for node in nodes {
            node.stop().await;
        }
        stop.cancel();
    })
    .unwrap();
}
