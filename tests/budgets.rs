//! An application that may spend only so much, with real programs: refused in a message, raced by itself, killed in between.

mod testnet;

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use testnet::{Said, Testnet};

/// `a` pays `b` by an application of its own beside the owner's.
fn testnet(budget: &str) -> Testnet {
    let testnet = Testnet::row(&["a", "b"], 10_000, "");
    testnet.run("stctrl", &["init", "--dir", "app1"]).expect();
    trust(&testnet, &["--budget", budget]);
    testnet.wait_until("the node has seen the new app", |testnet| shop(testnet, &["info", "budget"]).succeeded());
    testnet
}

fn trust(testnet: &Testnet, arguments: &[&str]) {
    let trust = ["trust", "--dir", "a", "--app", "app1/app1.ticket", "--permissions", "buyer"];
    testnet.run("stnode", &[&trust, arguments].concat()).expect();
}

fn shop_command(testnet: &Testnet, arguments: &[&str]) -> Command {
    testnet.command("stctrl", &[&["-I", "app1/app1.ident", "-T", "a/a.ticket"], arguments].concat())
}

fn shop(testnet: &Testnet, arguments: &[&str]) -> Said {
    Said::of(&mut shop_command(testnet, arguments))
}

fn send(amount: &str) -> [&str; 6] {
    ["funds", "send-funds", "--amount", amount, "--dest", "b"]
}

/// Spent, under way, left, as the app is told.
fn standing(testnet: &Testnet) -> [String; 3] {
    let document = shop(testnet, &["info", "budget", "--json"]).json();
    assert_eq!(document["limited"], true);
    ["spent", "under_way", "left"].map(|name| document["budgets"][0][name].as_str().unwrap().to_owned())
}

#[test]
fn what_is_above_the_budget_is_refused_and_a_death_forgets_nothing() {
    let mut testnet = testnet("100");
    shop(&testnet, &send("60")).expect();
    assert_eq!(standing(&testnet), ["60", "0", "40"]);
    let message = "this app may spend 100 credits in all; 40 are left, which is too little for a payment of 41";
    shop(&testnet, &send("41")).assert_refused(1, &[message, "--budget"]);
    let document = shop(&testnet, &[&send("41")[..], &["--json"]].concat());
    assert_eq!(document.code, 1);
    assert!(document.document()["error"].as_str().unwrap().contains(message), "{document:?}");
    let other = shop(&testnet, &[&send("1")[..], &["--currency", "hours"]].concat());
    other.assert_refused(1, &["this app has no budget in hours"]);
    let apps = |testnet: &Testnet| testnet.run("stnode", &["apps", "--dir", "a"]).expect();
    assert!(apps(&testnet).contains("may spend 100 credits in all; 40 are left"), "{}", apps(&testnet));
    // The owner's own app is not bounded by it.
    testnet.stctrl("a", &send("500")).expect();

    testnet.kill("a");
    assert!(apps(&testnet).contains("may spend 100 credits in all; 40 are left"), "{}", apps(&testnet));
    testnet.start("a");
    testnet.wait_online(&["a"]);
    assert_eq!(standing(&testnet), ["60", "0", "40"]);
    shop(&testnet, &send("41")).assert_refused(1, &[message]);
    shop(&testnet, &send("40")).expect();
    assert_eq!(shop(&testnet, &["info", "budget"]).expect(), "This app may spend 100 credits in all; 0 are left\n");
    assert_eq!(testnet.balance("a", "b"), -600);

    // More of it, while the node runs.
    trust(&testnet, &["--budget", "150/month"]);
    testnet.wait_until("the node has seen the new budget", |testnet| standing(testnet) == ["100", "0", "50"]);
    shop(&testnet, &send("51")).assert_refused(1, &["150 credits a month; 50 are left until ", " 00:00 UTC"]);
    let payments = shop(&testnet, &["funds", "payments", "--json"]).json();
    let apps_of_payments: BTreeSet<_> =
        payments.as_array().unwrap().iter().map(|payment| payment["app"].as_str().unwrap().to_owned()).collect();
    assert_eq!(apps_of_payments.len(), 2, "the owner's and this one: {payments}");
    assert_eq!(testnet.stop("a"), 0);
    assert!(apps(&testnet).contains("150 credits a month; 50 are left"), "{}", apps(&testnet));
    // Having looked has changed nothing.
    assert_eq!(testnet.run("stnode", &["check", "--dir", "a", "--json"]).json()["sealed"], true);
}

/// Ten orders over ten connections: those that are paid are within the budget.
#[test]
fn orders_at_one_time_do_not_pass_together() {
    let testnet = testnet("100/month");
    let order = |_| {
        let mut command = shop_command(&testnet, &send("30"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let orders: Vec<_> = (0..10).map(order).collect();
    let said: Vec<Said> = orders.into_iter().map(|child| child.wait_with_output().unwrap().into()).collect();
    let (paid, refused): (Vec<_>, Vec<_>) = said.iter().partition(|said| said.succeeded());
    assert_eq!(paid.len(), 3, "{said:?}");
    refused.iter().for_each(|said| said.assert_refused(1, &["100 credits a month; ", "a payment of 30"]));
    assert_eq!(standing(&testnet), ["90", "0", "10"]);
    assert_eq!(testnet.balance("a", "b"), -90);
}

/// A payment that waits for a node that is away holds its share, also over a death, and gives it back when it has failed.
#[test]
fn what_waits_is_held_and_what_fails_is_given_back() {
    let mut testnet = testnet("100");
    testnet.signal("b", "STOP");
    let waiting = shop_command(&testnet, &[&send("80")[..], &["--timeout", "60"]].concat());
    let waiting = { waiting }.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    testnet.wait_until("the payment is under way", |testnet| standing(testnet) == ["0", "80", "20"]);
    shop(&testnet, &send("21")).assert_refused(1, &["20 are left, and 80 are held for payments under way"]);
    testnet.kill("a");
    assert_ne!(waiting.wait_with_output().unwrap().status.code(), Some(0));
    testnet.start("a");
    // It was not committed: the node that starts gives it up.
    assert_eq!(standing(&testnet), ["0", "0", "100"]);
    testnet.signal("b", "CONT");
    testnet.wait_online(&["a", "b"]);
    shop(&testnet, &send("100")).expect();
    assert_eq!(testnet.balance("a", "b"), -100);
}
