//! Databases that are lost, or replaced by an old copy, in a testnet of real programs: every account comes back to the newest
//! balance, and a friend who shows less than another has kept is named.

mod testnet;

use offst_app::{App, Destination, Order, Purpose};
use offst_crypto::{Identity, PublicKey, RandomExt, SystemRandom};
use offst_funder::Archive;
use offst_proto::ticket::Ticket;
use offst_proto::{Currency, PaymentId};
use offst_store::History;
use std::rc::Rc;
use testnet::{Testnet, amount};

const NODES: [&str; 3] = ["a", "b", "c"];
const SETTINGS: &str =
    "peer_backup_ms = 200\nreconnect_max_ms = 500\nroute_retry_ms = 100\nindex_reconnect_max_ms = 500\n";
const LIMIT: u128 = 1_000_000;
/// Payments at one time.
const IN_FLIGHT: usize = 32;

/// `a` and `c` are friends of `b`.
fn chain() -> Testnet {
    let testnet = Testnet::row(&NODES, LIMIT, SETTINGS);
    pay(&testnet, "first");
    testnet
}

/// `a` pays 5 to `c`.
fn pay(testnet: &Testnet, name: &str) {
    let invoice = testnet.invoice("c", 5, &format!("{name}.invoice"));
    testnet.pay_when_routed("a", &invoice, &format!("{name}.receipt"));
    testnet.wait_settled(&NODES);
}

fn key_of(testnet: &Testnet, node: &str) -> PublicKey {
    let ticket = std::fs::read_to_string(testnet.file(&format!("{node}/{node}.ticket"))).unwrap();
    Ticket::from_toml(&ticket).unwrap().into_node().unwrap().public_key
}

async fn connect(testnet: &Testnet, node: &str) -> App {
    let read = |file: String| std::fs::read_to_string(testnet.file(&file)).unwrap();
    let identity = Identity::from_pem(&read(format!("{node}-app/{node}-app.ident")), None).unwrap();
    let ticket = Ticket::from_toml(&read(format!("{node}/{node}.ticket"))).unwrap().into_node().unwrap();
    offst_app::connect(&ticket, &identity).await.unwrap()
}

/// `from` sends 1 credit to `to` so many times, many at a time.
fn send_many(testnet: &Testnet, from: &str, to: &str, count: usize) {
    let destination = key_of(testnet, to);
    offst_app::block_on(async {
        let app = Rc::new(connect(testnet, from).await);
        let workers: Vec<_> = (0..IN_FLIGHT)
            .map(|worker| {
                let app = app.clone();
                tokio::task::spawn_local(async move {
                    let mut random = SystemRandom::new();
                    for _ in (worker..count).step_by(IN_FLIGHT) {
                        let purpose = Purpose::Spontaneous {
                            destination: Destination::Key(destination),
                            currency: Currency::default(),
                            amount: 1.into(),
                        };
                        let payment_id = PaymentId::from_bytes(random.array());
                        let order = Order { payment_id, purpose, max_fee: None, timeout_ms: 60_000 };
                        let report = app.pay(&order).await.unwrap();
                        assert!(report.receipt.is_some(), "{}", report.reason);
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.await.unwrap();
        }
    })
    .unwrap();
    testnet.wait_settled(&NODES);
}

/// What everybody owes to everybody, as each side says it.
fn sides(testnet: &Testnet) -> [[i128; 2]; 2] {
    [("b", "a"), ("b", "c")].map(|(one, other)| [testnet.balance(one, other), -testnet.balance(other, one)])
}

/// What everybody owes to everybody: both sides of each account agree.
fn balances(testnet: &Testnet) -> [i128; 2] {
    sides(testnet).map(|[mine, theirs]| {
        assert_eq!(mine, theirs);
        mine
    })
}

/// Waits until all accounts go on with nothing lost, and checks that it can be paid again.
fn comes_back(testnet: &Testnet, before: [i128; 2], name: &str) {
    // An old copy knows that it is one only when its friends have said so, a moment after they are online.
    testnet.wait_until(&format!("{name} knows {before:?}"), |testnet| {
        sides(testnet) == before.map(|balance| [balance, balance])
    });
    testnet.wait_online(&NODES);
    testnet.wait_settled(&NODES);
    assert_eq!(balances(testnet), before, "after {name}");
    pay(testnet, name);
    assert_eq!(balances(testnet), [before[0] + 6, before[1] - 5]);
}

fn remove_database(testnet: &Testnet, node: &str) {
    for ending in ["db", "db-wal", "db-shm"] {
        // Not all of them exist.
        drop(std::fs::remove_file(testnet.file(&format!("{node}/{node}.{ending}"))));
    }
}

fn recover(testnet: &Testnet, node: &str, friends: &[&str]) {
    let friends: Vec<_> = friends.iter().map(|friend| format!("{friend}.friend")).collect();
    let mut arguments = vec!["recover", "--dir", node, "--relay", "relay0/relay0.ticket", "--max-debt", "1000000"];
    arguments.extend(["--index", "index0/index0.client.ticket"]);
    friends.iter().for_each(|friend| arguments.extend(["--friend", friend]));
    testnet.run("stnode", &arguments).expect();
}

#[test]
fn lost_databases_come_back_from_the_friends() {
    let mut testnet = chain();
    send_many(&testnet, "a", "c", 100);
    let mut before = balances(&testnet);
    for (node, friends) in [("a", &["b"][..]), ("b", &["a", "c"]), ("c", &["b"])] {
        testnet.kill(node);
        remove_database(&testnet, node);
        // Without a database the node does not start, and says what there is.
        let said = testnet.run("stnode", &["run", "--dir", node]);
        assert!(said.code == 2 && said.err.contains("stnode recover"), "{said:?}");
        recover(&testnet, node, friends);
        let again = testnet.run("stnode", &["recover", "--dir", node, "--friend", "b.friend"]);
        assert!(again.code == 2 && again.err.contains("--force"), "{again:?}");
        testnet.start(node);
        comes_back(&testnet, before, &format!("lost-{node}"));
        before = balances(&testnet);
    }
}

#[test]
fn copies_that_are_a_thousand_payments_old_catch_up() {
    let mut testnet = chain();
    for node in NODES {
        testnet.run("stnode", &["backup", "--dir", node, "--output", &format!("{node}.copy")]).expect();
    }
    send_many(&testnet, "a", "c", 1_000);
    let mut before = balances(&testnet);
    // By the command, which tells the node.
    for node in ["a", "c"] {
        testnet.stop(node);
        let copy = format!("{node}.copy");
        let said = testnet.run("stnode", &["restore", "--dir", node, "--input", &copy]);
        assert!(said.code == 2 && said.err.contains("--force"), "{said:?}");
        testnet.run("stnode", &["restore", "--dir", node, "--input", &copy, "--force"]).expect();
        testnet.start(node);
        comes_back(&testnet, before, &format!("restored-{node}"));
        before = balances(&testnet);
    }
    // By hand, and the node finds out by itself.
    testnet.kill("b");
    remove_database(&testnet, "b");
    std::fs::copy(testnet.file("b.copy"), testnet.file("b/b.db")).unwrap();
    testnet.start("b");
    comes_back(&testnet, before, "copied-b");
    assert!(testnet.log("b").contains("this node's database is an old copy"), "{}", testnet.log("b"));
}

/// `b` loses its database, and `a` comes back with a copy from before it owed anything. What `c` keeps for `b` tells.
#[test]
fn a_friend_who_shows_less_than_a_peer_backup_knows_is_named() {
    let mut testnet = chain();
    testnet.run("stnode", &["backup", "--dir", "a", "--output", "a.copy"]).expect();
    let b = key_of(&testnet, "b");
    let kept = |testnet: &Testnet| History::open(&testnet.file("c/c.db")).unwrap().peer_backup(b).unwrap();
    testnet.wait_until("c keeps a backup for b", |testnet| kept(testnet).is_some());
    // The next one may have been made before: only the one behind that knows what was paid meanwhile.
    for _ in 0..2 {
        let known = kept(&testnet);
        send_many(&testnet, "a", "b", 25);
        testnet.wait_until("c keeps a newer backup for b", |testnet| kept(testnet) != known);
    }
    testnet.kill("b");
    testnet.kill("a");
    remove_database(&testnet, "a");
    std::fs::copy(testnet.file("a.copy"), testnet.file("a/a.db")).unwrap();
    remove_database(&testnet, "b");
    recover(&testnet, "b", &["a", "c"]);
    testnet.start("b");
    testnet.wait_until("the account with c is back", |testnet| testnet.account("b", "c")["status"] == "consistent");
    testnet.start("a");
    testnet.wait_until("a is found out", |testnet| {
        let account = testnet.account("b", "a");
        account["terms"]["reason"].as_str().is_some_and(|reason| reason.contains("does not show everything"))
    });
    assert!(testnet.log("b").contains("\"a\""), "{}", testnet.log("b"));
    // Nothing that it has shown is adopted, and the others are not concerned.
    assert_eq!(amount(&testnet.account("b", "c")["balance"]), -5);
}

/// `c` has lost its identity file, and goes on as `d`: `b` agrees, and nothing is lost. The old disk is worth nothing to anybody.
#[test]
fn a_lost_key_is_replaced_by_that_of_a_new_node() {
    let mut testnet = chain();
    send_many(&testnet, "a", "c", 40);
    let owed = testnet.balance("c", "b");
    testnet.kill("c");
    testnet.node("d", &["relay0"], &["index0"], SETTINGS);
    testnet.stctrl("d", &["info", "export-ticket", "-o", "d.friend"]).expect();
    let wrong = testnet.stctrl("b", &["config", "replace-friend-key", "-n", "c", "-f", "a.friend"]);
    assert!(wrong.code == 1 && wrong.err.contains("another friend"), "{wrong:?}");
    testnet.stctrl("b", &["config", "replace-friend-key", "-n", "c", "-f", "d.friend"]).expect();
    let owed_text = owed.to_string();
    let add = ["config", "add-friend", "-n", "b", "-f", "b.friend", "--balance", &owed_text, "--max-debt", "1000000"];
    testnet.stctrl("d", &[&add[..], &["--open"]].concat()).expect();
    testnet.wait_online(&["a", "b", "d"]);
    testnet.wait_until("both agree", |testnet| testnet.account("b", "c")["status"] == "consistent");
    assert_eq!(testnet.balance("d", "b"), owed);
    let invoice = testnet.invoice("d", 5, "new.invoice");
    testnet.pay_when_routed("a", &invoice, "new.receipt");
    testnet.wait_settled(&["a", "b", "d"]);
    assert_eq!((testnet.balance("d", "b"), testnet.balance("b", "c")), (owed + 5, -owed - 5));

    let lost = key_of(&testnet, "c").to_string();
    let keys = testnet.stctrl("b", &["info", "replaced-keys", "--json"]).json();
    assert_eq!(
        (&keys[0]["lost_key"], &keys[0]["public_key"]),
        (&lost.clone().into(), &key_of(&testnet, "d").to_string().into())
    );
    assert!(testnet.stctrl("b", &["info", "replaced-keys"]).expect().contains(&lost));
    testnet.start("c");
    let thief = testnet.stctrl("b", &["config", "add-friend", "-n", "thief", "-f", "c.friend", "--balance", "0"]);
    assert!(thief.code == 1 && thief.err.contains("was lost"), "{thief:?}");
    assert_eq!(testnet.stop("b"), 0);
    let text = testnet.run("stnode", &["check", "--dir", "b"]).expect();
    assert!(text.contains("c (lost key) (credit): balance") && text.contains("sound: 3 accounts"), "{text}");
}
