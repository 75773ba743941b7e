//! A mediator's owner writes off what a friend holds, through the real programs: the seller stands still between the commit and
//! its collect, the buyer gets its credits back, and what the seller collects later is the owner's loss.

mod town;

use serde_json::Value;
use std::process::{Child, Stdio};
use std::time::Duration;
use town::{Town, amount};

const NODES: [&str; 3] = ["a", "b", "c"];
/// A seller that stands still for a while still takes what waits for it.
const SETTINGS: &str = "overdue_ms = 500\npatience_ms = 600000\npatience_max_ms = 600000\nreconnect_max_ms = 500\n";

fn start_payment(town: &Town, invoice: &str) -> Child {
    let arguments = ["funds", "pay-invoice", "-i", invoice, "--timeout", "2", "--json"];
    town.control("a", &arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn is_overdue(town: &Town) -> bool {
    !town.account("b", "c")["overdue"].as_array().unwrap().is_empty()
}

/// Until b has committed a payment of 40 to c, which stands still already and does not hear of it.
///
/// The seller answers only while the buyer stands still, so it never hears of a commit; how long the answer takes is found out.
fn hold(town: &Town) {
    town.wait_until("c is asked", |town| amount(&town.account("b", "c")["local_pending_debt"]) == 40);
    for doubled in 0..8 {
        town.signal("a", "STOP");
        town.signal("c", "CONT");
        std::thread::sleep(Duration::from_millis(100 << doubled));
        town.signal("c", "STOP");
        town.signal("a", "CONT");
        // The buyer commits as soon as it has the answer.
        for _ in 0..40 {
            if is_overdue(town) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    panic!("the buyer commits: {}", town.log("a"));
}

fn write_off(town: &Town, up_to: &str) -> Value {
    town.stctrl("b", &["config", "write-off", "-n", "c", "--up-to", up_to, "--json"]).json()
}

fn held(payments: u32, amount: &str) -> Value {
    serde_json::json!({ "payments": payments, "amount": amount })
}

#[test]
fn a_buyer_is_released_at_the_risk_of_the_mediators_owner() {
    let mut town = Town::row(&NODES, 1_000, SETTINGS);
    let first = town.invoice("c", 1, "first.invoice");
    town.pay_when_routed("a", &first, "first.receipt");
    town.wait_settled(&NODES);
    let invoice = town.invoice("c", 40, "held.invoice");
    town.signal("c", "STOP");
    let payment = start_payment(&town, &invoice);
    hold(&town);
    let said: Value = serde_json::from_slice(&payment.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(said["status"], "pending");

    town.stctrl("b", &["config", "write-off", "-n", "nobody", "--up-to", "1"]).assert_refused(1, &["nobody"]);
    let nothing = write_off(&town, "39");
    assert_eq!((&nothing["written_off"], &nothing["waiting"]), (&held(0, "0"), &held(1, "40")));
    let text = town.stctrl("b", &["config", "write-off", "-n", "c", "--up-to", "40"]).expect();
    assert!(text.starts_with("1 payment of 40 credit written off"), "{text}");
    assert!(text.contains("c may still collect"), "{text}");
    // The same order again adds nothing.
    let again = write_off(&town, "40");
    assert_eq!(
        (&again["written_off"], &again["waiting"], &again["at_risk"]),
        (&held(0, "0"), &held(0, "0"), &held(1, "40"))
    );
    let id = said["payment_id"].as_str().unwrap();
    town.wait_until("the buyer has its credits back", |town| {
        let status = town.stctrl("a", &["funds", "status", id, "--json"]).document();
        status["status"] == "failed" && town.account("a", "b")["local_pending_debt"] == "0"
    });
    assert_eq!(town.balance("a", "b"), -2, "what the first payment cost");

    // It outlives the process, and the database is sound.
    town.kill("b");
    let check = town.run("stnode", &["check", "--dir", "b"]);
    assert!(check.succeeded(), "{check:?}");
    town.start("b");
    town.wait_until("c is overdue again", is_overdue);
    let friends = town.stctrl("b", &["info", "friends"]).expect();
    assert!(friends.contains("WRITTEN OFF=40"), "{friends}");

    // The seller goes on, and takes what is its own.
    town.signal("c", "CONT");
    town.wait_until("c has collected", |town| town.balance("b", "c") == -41);
    town.wait_settled(&NODES);
    assert!(!is_overdue(&town));
    assert_eq!((town.balance("b", "a"), town.balance("c", "b")), (2, 41));
    let history = town.stctrl("b", &["funds", "history", "--json"]).json();
    let changes: Vec<_> = history
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["kind"].as_str().unwrap(), amount(&entry["change"])))
        .collect();
    assert_eq!(changes, [("written-off", -40), ("forward", 1)], "they add up to what b has");
    let forwards = town.stctrl("b", &["funds", "forwards", "--json"]).json();
    assert_eq!((&forwards[0]["from"], &forwards[0]["amount"]), (&Value::Null, &"40".into()));
    assert_eq!(write_off(&town, "40")["at_risk"], held(0, "0"));
    assert_eq!(town.stop("b"), 0);
    assert!(town.run("stnode", &["check", "--dir", "b"]).succeeded());
}

#[test]
fn what_is_overdue_is_written_off_by_itself_until_it_is_collected() {
    let mut town = Town::row(&NODES, 1_000, SETTINGS);
    let first = town.invoice("c", 1, "first.invoice");
    town.pay_when_routed("a", &first, "first.receipt");
    town.wait_settled(&NODES);
    let set = |town: &Town, up_to: &str| {
        town.stctrl("b", &["config", "set-auto-write-off", "-n", "c", "--up-to", up_to]).expect();
        town.account("b", "c")["auto_write_off"].clone()
    };
    town.stctrl("b", &["config", "set-auto-write-off", "-n", "nobody", "--up-to", "1"]).assert_refused(1, &["nobody"]);
    assert_eq!(town.account("b", "c")["auto_write_off"], Value::Null, "it is off at first");
    assert_eq!([set(&town, "9"), set(&town, "0"), set(&town, "40")], ["9".into(), Value::Null, "40".into()]);
    // The setting is on the disk.
    assert_eq!(town.stop("b"), 0);
    assert!(town.run("stnode", &["check", "--dir", "b"]).succeeded());
    town.start("b");
    town.wait_settled(&NODES);

    let invoice = town.invoice("c", 40, "held.invoice");
    town.wait_until("all are connected", |town| {
        let quote = town.stctrl("a", &["funds", "quote", "-i", &invoice, "--json"]);
        quote.succeeded()
    });
    town.signal("c", "STOP");
    let payment = start_payment(&town, &invoice);
    hold(&town);
    let said: Value = serde_json::from_slice(&payment.wait_with_output().unwrap().stdout).unwrap();
    let id = said["payment_id"].as_str().unwrap();
    town.wait_until("the buyer has its credits back, and nobody was asked", |town| {
        let status = town.stctrl("a", &["funds", "status", id, "--json"]).document();
        status["status"] == "failed" && town.account("a", "b")["local_pending_debt"] == "0"
    });
    assert_eq!(town.account("b", "c")["overdue"][0]["written_off"], true);
    assert!(town.log("b").contains("set-auto-write-off"), "{}", town.log("b"));

    town.signal("c", "CONT");
    town.wait_until("c has collected", |town| town.balance("b", "c") == -41);
    town.wait_settled(&NODES);
    assert_eq!(town.account("b", "c")["auto_write_off"], Value::Null, "it is over");
    assert!(town.log("b").contains("it is off now for \"c\""), "{}", town.log("b"));
    // The line is as open as before.
    let last = town.invoice("c", 2, "last.invoice");
    town.pay_when_routed("a", &last, "last.receipt");
    assert_eq!(town.stop("b"), 0);
    assert!(town.run("stnode", &["check", "--dir", "b"]).succeeded());
}
