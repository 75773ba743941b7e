//! Databases that are lost, or replaced by an old copy, in a town of real programs: every account comes back to the newest
//! balance, and a friend who shows less than another has kept is named.

mod town;

use offst_app::{App, Destination, Order, Purpose};
use offst_crypto::{Identity, PublicKey, RandomExt, SystemRandom};
use offst_funder::Archive;
use offst_proto::ticket::Ticket;
use offst_proto::{Currency, PaymentId};
use offst_store::History;
use std::rc::Rc;
use town::{Town, amount};

const NODES: [&str; 3] = ["a", "b", "c"];
const SETTINGS: &str =
    "peer_backup_ms = 200\nreconnect_max_ms = 500\nroute_retry_ms = 100\nindex_reconnect_max_ms = 500\n";
const LIMIT: u128 = 1_000_000;
/// Payments at one time.
const IN_FLIGHT: usize = 32;

/// `a` and `c` are friends of `b`.
fn chain() -> Town {
    let town = Town::row(&NODES, LIMIT, SETTINGS);
    pay(&town, "first");
    town
}

/// `a` pays 5 to `c`.
fn pay(town: &Town, name: &str) {
    let invoice = town.invoice("c", 5, &format!("{name}.invoice"));
    town.pay_when_routed("a", &invoice, &format!("{name}.receipt"));
    town.wait_settled(&NODES);
}

fn key_of(town: &Town, node: &str) -> PublicKey {
    let ticket = std::fs::read_to_string(town.file(&format!("{node}/{node}.ticket"))).unwrap();
    Ticket::from_toml(&ticket).unwrap().into_node().unwrap().public_key
}

async fn connect(town: &Town, node: &str) -> App {
    let read = |file: String| std::fs::read_to_string(town.file(&file)).unwrap();
    let identity = Identity::from_pem(&read(format!("{node}-app/{node}-app.ident")), None).unwrap();
    let ticket = Ticket::from_toml(&read(format!("{node}/{node}.ticket"))).unwrap().into_node().unwrap();
    offst_app::connect(&ticket, &identity).await.unwrap()
}

/// `from` sends 1 credit to `to` so many times, many at a time.
fn send_many(town: &Town, from: &str, to: &str, count: usize) {
    let destination = key_of(town, to);
    offst_app::block_on(async {
        let app = Rc::new(connect(town, from).await);
        let workers: Vec<_> = (0..IN_FLIGHT)
            .map(|worker| {
                let app = app.clone();
                tokio::task::spawn_local(async move {
                    let mut random = SystemRandom::new();
                    for _ in (worker..count).step_by(IN_FLIGHT) {
                        let purpose = Purpose::Spontaneous {
                            destination: Destination::Key(destination),
                            currency: Currency::default(),
                            amount: 1,
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
    town.wait_settled(&NODES);
}

/// What everybody owes to everybody, as each side says it.
fn sides(town: &Town) -> [[i128; 2]; 2] {
    [("b", "a"), ("b", "c")].map(|(one, other)| [town.balance(one, other), -town.balance(other, one)])
}

/// What everybody owes to everybody: both sides of each account agree.
fn balances(town: &Town) -> [i128; 2] {
    sides(town).map(|[mine, theirs]| {
        assert_eq!(mine, theirs);
        mine
    })
}

/// Waits until all accounts go on with nothing lost, and checks that it can be paid again.
fn comes_back(town: &Town, before: [i128; 2], name: &str) {
    // An old copy knows that it is one only when its friends have said so, a moment after they are online.
    town.wait_until(&format!("{name} knows {before:?}"), |town| {
        sides(town) == before.map(|balance| [balance, balance])
    });
    town.wait_online(&NODES);
    town.wait_settled(&NODES);
    assert_eq!(balances(town), before, "after {name}");
    pay(town, name);
    assert_eq!(balances(town), [before[0] + 6, before[1] - 5]);
}

fn remove_database(town: &Town, node: &str) {
    for ending in ["db", "db-wal", "db-shm"] {
        // Not all of them exist.
        drop(std::fs::remove_file(town.file(&format!("{node}/{node}.{ending}"))));
    }
}

fn recover(town: &Town, node: &str, friends: &[&str]) {
    let friends: Vec<_> = friends.iter().map(|friend| format!("{friend}.friend")).collect();
    let mut arguments = vec!["recover", "--dir", node, "--relay", "relay0/relay0.ticket", "--max-debt", "1000000"];
    arguments.extend(["--index", "index0/index0.client.ticket"]);
    friends.iter().for_each(|friend| arguments.extend(["--friend", friend]));
    town.run("stnode", &arguments).expect();
}

#[test]
fn lost_databases_come_back_from_the_friends() {
    let mut town = chain();
    send_many(&town, "a", "c", 100);
    let mut before = balances(&town);
    for (node, friends) in [("a", &["b"][..]), ("b", &["a", "c"]), ("c", &["b"])] {
        town.kill(node);
        remove_database(&town, node);
        // Without a database the node does not start, and says what there is.
        let said = town.run("stnode", &["run", "--dir", node]);
        assert!(said.code == 2 && said.err.contains("stnode recover"), "{said:?}");
        recover(&town, node, friends);
        let again = town.run("stnode", &["recover", "--dir", node, "--friend", "b.friend"]);
        assert!(again.code == 2 && again.err.contains("--force"), "{again:?}");
        town.start(node);
        comes_back(&town, before, &format!("lost-{node}"));
        before = balances(&town);
    }
}

#[test]
fn copies_that_are_a_thousand_payments_old_catch_up() {
    let mut town = chain();
    for node in NODES {
        town.run("stnode", &["backup", "--dir", node, "--output", &format!("{node}.copy")]).expect();
    }
    send_many(&town, "a", "c", 1_000);
    let mut before = balances(&town);
    // By the command, which tells the node.
    for node in ["a", "c"] {
        town.stop(node);
        let copy = format!("{node}.copy");
        let said = town.run("stnode", &["restore", "--dir", node, "--input", &copy]);
        assert!(said.code == 2 && said.err.contains("--force"), "{said:?}");
        town.run("stnode", &["restore", "--dir", node, "--input", &copy, "--force"]).expect();
        town.start(node);
        comes_back(&town, before, &format!("restored-{node}"));
        before = balances(&town);
    }
    // By hand, and the node finds out by itself.
    town.kill("b");
    remove_database(&town, "b");
    std::fs::copy(town.file("b.copy"), town.file("b/b.db")).unwrap();
    town.start("b");
    comes_back(&town, before, "copied-b");
    assert!(town.log("b").contains("this node's database is an old copy"), "{}", town.log("b"));
}

/// `b` loses its database, and `a` comes back with a copy from before it owed anything. What `c` keeps for `b` tells.
#[test]
fn a_friend_who_shows_less_than_a_peer_backup_knows_is_named() {
    let mut town = chain();
    town.run("stnode", &["backup", "--dir", "a", "--output", "a.copy"]).expect();
    let b = key_of(&town, "b");
    let kept = |town: &Town| History::open(&town.file("c/c.db")).unwrap().peer_backup(b).unwrap();
    town.wait_until("c keeps a backup for b", |town| kept(town).is_some());
    // The next one may have been made before: only the one behind that knows what was paid meanwhile.
    for _ in 0..2 {
        let known = kept(&town);
        send_many(&town, "a", "b", 25);
        town.wait_until("c keeps a newer backup for b", |town| kept(town) != known);
    }
    town.kill("b");
    town.kill("a");
    remove_database(&town, "a");
    std::fs::copy(town.file("a.copy"), town.file("a/a.db")).unwrap();
    remove_database(&town, "b");
    recover(&town, "b", &["a", "c"]);
    town.start("b");
    town.wait_until("the account with c is back", |town| town.account("b", "c")["status"] == "consistent");
    town.start("a");
    town.wait_until("a is found out", |town| {
        let account = town.account("b", "a");
        account["terms"]["reason"].as_str().is_some_and(|reason| reason.contains("does not show everything"))
    });
    assert!(town.log("b").contains("\"a\""), "{}", town.log("b"));
    // Nothing that it has shown is adopted, and the others are not concerned.
    assert_eq!(amount(&town.account("b", "c")["balance"]), -5);
}

/// `c` has lost its identity file, and goes on as `d`: `b` agrees, and nothing is lost. Whoever finds the old disk has nothing.
#[test]
fn a_lost_key_is_replaced_by_that_of_a_new_node() {
    let mut town = chain();
    send_many(&town, "a", "c", 40);
    let owed = town.balance("c", "b");
    town.kill("c");
    town.node("d", &["relay0"], &["index0"], SETTINGS);
    town.stctrl("d", &["info", "export-ticket", "-o", "d.friend"]).expect();
    let wrong = town.stctrl("b", &["config", "replace-friend-key", "-n", "c", "-f", "a.friend"]);
    assert!(wrong.code == 1 && wrong.err.contains("another friend"), "{wrong:?}");
    town.stctrl("b", &["config", "replace-friend-key", "-n", "c", "-f", "d.friend"]).expect();
    let owed_text = owed.to_string();
    let add = ["config", "add-friend", "-n", "b", "-f", "b.friend", "--balance", &owed_text, "--max-debt", "1000000"];
    town.stctrl("d", &[&add[..], &["--open"]].concat()).expect();
    town.wait_online(&["a", "b", "d"]);
    town.wait_until("both agree", |town| town.account("b", "c")["status"] == "consistent");
    assert_eq!(town.balance("d", "b"), owed);
    let invoice = town.invoice("d", 5, "new.invoice");
    town.pay_when_routed("a", &invoice, "new.receipt");
    town.wait_settled(&["a", "b", "d"]);
    assert_eq!((town.balance("d", "b"), town.balance("b", "c")), (owed + 5, -owed - 5));

    let lost = key_of(&town, "c").to_string();
    let keys = town.stctrl("b", &["info", "replaced-keys", "--json"]).json();
    assert_eq!(
        (&keys[0]["lost_key"], &keys[0]["public_key"]),
        (&lost.clone().into(), &key_of(&town, "d").to_string().into())
    );
    assert!(town.stctrl("b", &["info", "replaced-keys"]).expect().contains(&lost));
    town.start("c");
    let thief = town.stctrl("b", &["config", "add-friend", "-n", "thief", "-f", "c.friend", "--balance", "0"]);
    assert!(thief.code == 1 && thief.err.contains("was lost"), "{thief:?}");
    assert_eq!(town.stop("b"), 0);
    let text = town.run("stnode", &["check", "--dir", "b"]).expect();
    assert!(text.contains("c (lost key) (credit): balance") && text.contains("sound: 3 accounts"), "{text}");
}
