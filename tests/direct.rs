//! Friends that connect without a relay: real programs, and a doorway before one of them that can be shut.

mod testnet;

use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use testnet::{Testnet, amount, built, free_port, scrape};

/// Carries connections from one port to another until it is shut.
struct Doorway {
    port: u16,
    is_shut: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
    thread: Option<JoinHandle<()>>,
}

impl Doorway {
    fn open(port: u16, to: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let (is_shut, open) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (shut, opened) = (is_shut.clone(), open.clone());
        let thread = std::thread::spawn(move || {
            for caller in listener.incoming() {
                if shut.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(caller) = caller else { continue };
                let Ok(called) = TcpStream::connect(("127.0.0.1", to)) else { continue };
                let clone = |stream: &TcpStream| stream.try_clone().unwrap();
                opened.lock().unwrap().extend([clone(&caller), clone(&called)]);
                for (mut from, mut to) in [(clone(&caller), clone(&called)), (called, caller)] {
                    std::thread::spawn(move || {
                        // However it ends, both ends hear of it.
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Doorway { port, is_shut, open, thread: Some(thread) }
    }

    /// Breaks every connection, and takes no more.
    fn shut(mut self) {
        self.is_shut.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        self.thread.take().unwrap().join().unwrap();
        for stream in self.open.lock().unwrap().drain(..) {
            // One that has ended is shut already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn local(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// Friends of a node that are connected with it without a relay now.
fn direct_friends(testnet: &Testnet, node: &str) -> u64 {
    let answer = scrape(("127.0.0.1", testnet.metrics_port(node)));
    let value = answer.lines().find_map(|line| line.strip_prefix("offst_node_friends_direct "));
    value.unwrap_or_else(|| panic!("no such counter in {answer}")).parse().unwrap()
}

#[track_caller]
fn wait_direct(testnet: &Testnet, node: &str, friends: u64) {
    testnet.wait_until(&format!("{friends} friends of {node} are connected directly"), |testnet| {
        direct_friends(testnet, node) == friends
    });
}

#[test]
fn two_friends_pay_each_other_without_any_relay() {
    let mut testnet = Testnet::new(built);
    testnet.index("index0");
    for node in ["a", "b"] {
        testnet.init_node(node, &[], &["index0"], "");
    }
    let address = local(free_port());
    testnet.start_with("a", &["--friend-address", &address]);
    testnet.start("b");
    testnet.befriend("a", "b", 1_000);
    let ticket = std::fs::read_to_string(testnet.file("a.friend")).unwrap();
    assert!(ticket.contains(&format!("address = \"{address}\"")), "{ticket}");
    testnet.wait_online(&["a", "b"]);
    wait_direct(&testnet, "a", 1);
    wait_direct(&testnet, "b", 1);
    let [of_a, of_b] = ["a", "b"].map(|node| testnet.friends(node).remove(0));
    assert_eq!((&of_a["direct"], &of_a["address"]), (&true.into(), &serde_json::Value::Null));
    assert_eq!((&of_b["direct"], &of_b["address"]), (&true.into(), &address.as_str().into()));
    let of_a = testnet.invoice("a", 70, "of-a.toml");
    testnet.pay_when_routed("b", &of_a, "of-a.receipt");
    let of_b = testnet.invoice("b", 20, "of-b.toml");
    testnet.pay_when_routed("a", &of_b, "of-b.receipt");
    testnet.wait_settled(&["a", "b"]);
    assert_eq!((testnet.balance("a", "b"), testnet.balance("b", "a")), (50, -50));
    // Either may go and come back. The one that is called comes back at the same address.
    testnet.kill("b");
    testnet.start("b");
    testnet.wait_online(&["a", "b"]);
    assert_eq!(testnet.stop("a"), 0);
    testnet.start_with("a", &["--friend-address", &address]);
    testnet.wait_online(&["a", "b"]);
    let of_a = testnet.invoice("a", 5, "more.toml");
    testnet.pay_when_routed("b", &of_a, "more.receipt");
}

/// An owner who tells the address by hand: the node itself says nothing of it, and takes nothing back.
#[test]
fn an_address_may_be_written_into_a_ticket_by_hand() {
    let mut testnet = Testnet::new(built);
    testnet.init_node("a", &[], &[], "");
    testnet.init_node("b", &[], &[], "");
    let address = local(free_port());
    testnet.start_with("a", &["--listen-friends", &address]);
    testnet.start("b");
    testnet.stctrl("a", &["info", "export-ticket", "-o", "a.friend"]).expect();
    let ticket = std::fs::read_to_string(testnet.file("a.friend")).unwrap();
    assert!(!ticket.contains("address"), "{ticket}");
    std::fs::write(testnet.file("a.friend"), format!("{ticket}address = \"{address}\"\n")).unwrap();
    testnet.befriend("a", "b", 10);
    testnet.wait_online(&["a", "b"]);
    testnet.kill("b");
    testnet.start("b");
    testnet.wait_online(&["a", "b"]);
    wait_direct(&testnet, "b", 1);
}

/// The way to an address breaks while a payment is under way, then the relay breaks: whatever carries it, nothing is
/// lost.
#[test]
fn the_relay_takes_over_when_an_address_dies_and_the_address_when_the_relay_dies() {
    let mut testnet = Testnet::new(built);
    testnet.relay("relay0");
    testnet.index("index0");
    // However slow this machine is, the payment waits.
    let patient = "patience_ms = 600000\noffline_ms = 600000";
    for node in ["a", "b", "c"] {
        testnet.init_node(node, &["relay0"], &["index0"], patient);
    }
    let (outside, inside) = (free_port(), free_port());
    let doorway = Doorway::open(outside, inside);
    testnet.start("a");
    testnet.start_with("b", &["--friend-address", &local(outside), "--listen-friends", &local(inside)]);
    testnet.start("c");
    testnet.befriend("a", "b", 1_000);
    testnet.befriend("b", "c", 1_000);
    testnet.wait_online(&["a", "b", "c"]);
    wait_direct(&testnet, "a", 1);
    let first = testnet.invoice("c", 100, "first.toml");
    testnet.pay_when_routed("a", &first, "first.receipt");

    // The seller does not move while the connection between buyer and mediator breaks.
    let second = testnet.invoice("c", 200, "second.toml");
    testnet.signal("c", "STOP");
    let pay = ["funds", "pay-invoice", "-i", &second, "-r", "second.receipt", "--json"];
    let paying = testnet.control("a", &pay).stdout(std::process::Stdio::piped()).spawn().unwrap();
    testnet.wait_until("the mediator holds the payment", |testnet| {
        amount(&testnet.account("b", "c")["local_pending_debt"]) >= 200
    });
    doorway.shut();
    wait_direct(&testnet, "a", 0);
    testnet.wait_online(&["a"]);
    testnet.signal("c", "CONT");
    let said = testnet::Said::from(paying.wait_with_output().unwrap());
    assert_eq!(said.json()["status"], "paid");
    testnet.wait_settled(&["a", "b", "c"]);
    assert_eq!(testnet.balance("c", "b"), 300);
    assert_eq!(testnet.balance("a", "b"), -302);
    assert_eq!(testnet.balance("b", "a") + testnet.balance("b", "c"), 2);

    // The connection is open again, and the relay goes.
    let _doorway = Doorway::open(outside, inside);
    testnet.kill("relay0");
    wait_direct(&testnet, "a", 1);
    testnet.wait_online(&["a"]);
    let third = testnet.invoice("b", 7, "third.toml");
    testnet.pay_when_routed("a", &third, "third.receipt");
    assert_eq!(testnet.balance("a", "b"), -309);
}

/// A node that has moved tells its friends over the relay; one that is not to be called without it any more says that,
/// too.
#[test]
fn a_new_address_is_told_to_friends() {
    let mut testnet = Testnet::new(built);
    testnet.relay("relay0");
    testnet.index("index0");
    for node in ["a", "b"] {
        testnet.init_node(node, &["relay0"], &["index0"], "");
    }
    let (old, new) = (local(free_port()), local(free_port()));
    testnet.start("a");
    testnet.start_with("b", &["--friend-address", &old]);
    testnet.befriend("a", "b", 10_000);
    testnet.wait_online(&["a", "b"]);
    wait_direct(&testnet, "a", 1);
    assert_eq!(testnet.stop("b"), 0);
    testnet.start_with("b", &["--friend-address", &new]);
    // The old address is dead: over the relay, the new one is heard. Then the connection there takes the place of that
    // over the relay while payments go on.
    let mut payments = 0;
    while payments == 0 || direct_friends(&testnet, "a") == 0 {
        payments += 1;
        let invoice = testnet.invoice("b", 1, &format!("{payments}.toml"));
        testnet.pay_when_routed("a", &invoice, &format!("{payments}.receipt"));
    }
    testnet.wait_settled(&["a", "b"]);
    assert_eq!((testnet.balance("a", "b"), testnet.balance("b", "a")), (-payments, payments));
    assert_eq!(testnet.stop("b"), 0);
    testnet.start("b");
    testnet.wait_online(&["a", "b"]);
    // Nothing is left of it: nobody is called in vain any more.
    testnet.wait_until("a knows no address of b", |testnet| testnet.friends("a")[0]["address"].is_null());
    testnet.kill("a");
    testnet.start("a");
    testnet.wait_online(&["a", "b"]);
    assert!(!testnet.log("a").contains("panicked"));
    let answer = scrape(("127.0.0.1", testnet.metrics_port("a")));
    assert!(answer.contains("\noffst_node_direct_calls_failed 0\n"), "{answer}");
}
