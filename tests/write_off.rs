//! A mediator's owner writes off what a friend holds, through the real programs: the seller stands still between the commit and
//! its collect, the buyer gets its credits back, and what the seller collects later is the owner's loss.

mod testnet;

use serde_json::Value;
use std::process::{Child, Stdio};
use std::time::Duration;
use testnet::{Testnet, amount};

const NODES: [&str; 3] = ["a", "b", "c"];
/// A seller that stands still for a while still takes what waits for it.
const SETTINGS: &str = "overdue_ms = 500\npatience_ms = 600000\npatience_max_ms = 600000\nreconnect_max_ms = 500\n";

fn start_payment(testnet: &Testnet, invoice: &str) -> Child {
    let arguments = ["funds", "pay-invoice", "-i", invoice, "--timeout", "2", "--json"];
    testnet.control("a", &arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn is_overdue(testnet: &Testnet) -> bool {
    !testnet.account("b", "c")["overdue"].as_array().unwrap().is_empty()
}

/// Until b has committed a payment of 40 to c, which stands still already and does not hear of it.
///
/// The seller answers only while the buyer stands still, so it never hears of a commit; how long the answer takes is found out.
fn hold(testnet: &Testnet) {
    testnet.wait_until("c is asked", |testnet| amount(&testnet.account("b", "c")["local_pending_debt"]) == 40);
    for doubled in 0..8 {
        testnet.signal("a", "STOP");
        testnet.signal("c", "CONT");
        std::thread::sleep(Duration::from_millis(100 << doubled));
        testnet.signal("c", "STOP");
        testnet.signal("a", "CONT");
        // The buyer commits as soon as it has the answer.
        for _ in 0..40 {
            if is_overdue(testnet) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    panic!("the buyer commits: {}", testnet.log("a"));
}

fn write_off(testnet: &Testnet, up_to: &str) -> Value {
    testnet.stctrl("b", &["config", "write-off", "-n", "c", "--up-to", up_to, "--json"]).json()
}

fn held(payments: u32, amount: &str) -> Value {
    serde_json::json!({ "payments": payments, "amount": amount })
}

#[test]
fn a_buyer_is_released_at_the_risk_of_the_mediators_owner() {
    let mut testnet = Testnet::row(&NODES, 1_000, SETTINGS);
    let first = testnet.invoice("c", 1, "first.invoice");
    testnet.pay_when_routed("a", &first, "first.receipt");
    testnet.wait_settled(&NODES);
    let invoice = testnet.invoice("c", 40, "held.invoice");
    testnet.signal("c", "STOP");
    let payment = start_payment(&testnet, &invoice);
    hold(&testnet);
    let said: Value = serde_json::from_slice(&payment.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(said["status"], "pending");

    testnet.stctrl("b", &["config", "write-off", "-n", "nobody", "--up-to", "1"]).assert_refused(1, &["nobody"]);
    let nothing = write_off(&testnet, "39");
    assert_eq!((&nothing["written_off"], &nothing["waiting"]), (&held(0, "0"), &held(1, "40")));
    let text = testnet.stctrl("b", &["config", "write-off", "-n", "c", "--up-to", "40"]).expect();
    assert!(text.starts_with("1 payment of 40 credit written off"), "{text}");
    assert!(text.contains("c may still collect"), "{text}");
    // The same order again adds nothing.
    let again = write_off(&testnet, "40");
    assert_eq!(
        (&again["written_off"], &again["waiting"], &again["at_risk"]),
        (&held(0, "0"), &held(0, "0"), &held(1, "40"))
    );
    let id = said["payment_id"].as_str().unwrap();
    testnet.wait_until("the buyer has its credits back", |testnet| {
        let status = testnet.stctrl("a", &["funds", "status", id, "--json"]).document();
        status["status"] == "failed" && testnet.account("a", "b")["local_pending_debt"] == "0"
    });
    assert_eq!(testnet.balance("a", "b"), -2, "what the first payment cost");

    // It outlives the process, and the database is sound.
    testnet.kill("b");
    let check = testnet.run("stnode", &["check", "--dir", "b"]);
    assert!(check.succeeded(), "{check:?}");
    testnet.start("b");
    testnet.wait_until("c is overdue again", is_overdue);
    let friends = testnet.stctrl("b", &["info", "friends"]).expect();
    assert!(friends.contains("WRITTEN OFF=40"), "{friends}");

    // The seller goes on, and takes what is its own.
    testnet.signal("c", "CONT");
    testnet.wait_until("c has collected", |testnet| testnet.balance("b", "c") == -41);
    testnet.wait_settled(&NODES);
    assert!(!is_overdue(&testnet));
    assert_eq!((testnet.balance("b", "a"), testnet.balance("c", "b")), (2, 41));
    let history = testnet.stctrl("b", &["funds", "history", "--json"]).json();
    let changes: Vec<_> = history
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["kind"].as_str().unwrap(), amount(&entry["change"])))
        .collect();
    assert_eq!(changes, [("written-off", -40), ("forward", 1)], "they add up to what b has");
    let forwards = testnet.stctrl("b", &["funds", "forwards", "--json"]).json();
    assert_eq!((&forwards[0]["from"], &forwards[0]["amount"]), (&Value::Null, &"40".into()));
    assert_eq!(write_off(&testnet, "40")["at_risk"], held(0, "0"));
    assert_eq!(testnet.stop("b"), 0);
    assert!(testnet.run("stnode", &["check", "--dir", "b"]).succeeded());
}

#[test]
fn what_is_overdue_is_written_off_by_itself_until_it_is_collected() {
    let mut testnet = Testnet::row(&NODES, 1_000, SETTINGS);
    let first = testnet.invoice("c", 1, "first.invoice");
    testnet.pay_when_routed("a", &first, "first.receipt");
    testnet.wait_settled(&NODES);
    let set = |testnet: &Testnet, up_to: &str| {
        testnet.stctrl("b", &["config", "set-auto-write-off", "-n", "c", "--up-to", up_to]).expect();
        testnet.account("b", "c")["auto_write_off"].clone()
    };
    testnet
        .stctrl("b", &["config", "set-auto-write-off", "-n", "nobody", "--up-to", "1"])
        .assert_refused(1, &["nobody"]);
    assert_eq!(testnet.account("b", "c")["auto_write_off"], Value::Null, "it is off at first");
    assert_eq!([set(&testnet, "9"), set(&testnet, "0"), set(&testnet, "40")], ["9".into(), Value::Null, "40".into()]);
    // The setting is on the disk.
    assert_eq!(testnet.stop("b"), 0);
    assert!(testnet.run("stnode", &["check", "--dir", "b"]).succeeded());
    testnet.start("b");
    testnet.wait_settled(&NODES);

    let invoice = testnet.invoice("c", 40, "held.invoice");
    testnet.wait_until("all are connected", |testnet| {
        let quote = testnet.stctrl("a", &["funds", "quote", "-i", &invoice, "--json"]);
        quote.succeeded()
    });
    testnet.signal("c", "STOP");
    let payment = start_payment(&testnet, &invoice);
    hold(&testnet);
    let said: Value = serde_json::from_slice(&payment.wait_with_output().unwrap().stdout).unwrap();
    let id = said["payment_id"].as_str().unwrap();
    testnet.wait_until("the buyer has its credits back, and nobody was asked", |testnet| {
        let status = testnet.stctrl("a", &["funds", "status", id, "--json"]).document();
        status["status"] == "failed" && testnet.account("a", "b")["local_pending_debt"] == "0"
    });
    assert_eq!(testnet.account("b", "c")["overdue"][0]["written_off"], true);
    assert!(testnet.log("b").contains("set-auto-write-off"), "{}", testnet.log("b"));

    testnet.signal("c", "CONT");
    testnet.wait_until("c has collected", |testnet| testnet.balance("b", "c") == -41);
    testnet.wait_settled(&NODES);
    assert_eq!(testnet.account("b", "c")["auto_write_off"], Value::Null, "it is over");
    assert!(testnet.log("b").contains("it is off now for \"c\""), "{}", testnet.log("b"));
    // The line is as open as before.
    let last = testnet.invoice("c", 2, "last.invoice");
    testnet.pay_when_routed("a", &last, "last.receipt");
    assert_eq!(testnet.stop("b"), 0);
    assert!(testnet.run("stnode", &["check", "--dir", "b"]).succeeded());
}
