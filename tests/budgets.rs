//! An application that may spend only so much, with real programs: refused in a sentence, raced by itself, killed in between.

mod town;

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use town::{Said, Town};

/// `a` pays `b` by an application of its own beside the owner's.
fn town(budget: &str) -> Town {
    let town = Town::row(&["a", "b"], 10_000, "");
    town.run("stctrl", &["init", "--dir", "app1"]).expect();
    trust(&town, &["--budget", budget]);
    town.wait_until("the node has seen the new app", |town| shop(town, &["info", "budget"]).succeeded());
    town
}

fn trust(town: &Town, arguments: &[&str]) {
    let trust = ["trust", "--dir", "a", "--app", "app1/app1.ticket", "--permissions", "buyer"];
    town.run("stnode", &[&trust, arguments].concat()).expect();
}

fn shop_command(town: &Town, arguments: &[&str]) -> Command {
    town.command("stctrl", &[&["-I", "app1/app1.ident", "-T", "a/a.ticket"], arguments].concat())
}

fn shop(town: &Town, arguments: &[&str]) -> Said {
    Said::of(&mut shop_command(town, arguments))
}

fn send(amount: &str) -> [&str; 6] {
    ["funds", "send-funds", "--amount", amount, "--dest", "b"]
}

/// Spent, under way, left, as the app is told.
fn standing(town: &Town) -> [String; 3] {
    let document = shop(town, &["info", "budget", "--json"]).json();
    assert_eq!(document["limited"], true);
    ["spent", "under_way", "left"].map(|name| document["budgets"][0][name].as_str().unwrap().to_owned())
}

#[test]
fn what_is_above_the_budget_is_refused_and_a_death_forgets_nothing() {
    let mut town = town("100");
    shop(&town, &send("60")).expect();
    assert_eq!(standing(&town), ["60", "0", "40"]);
    let sentence = "this app may spend 100 credits in all; 40 are left, which is too little for a payment of 41";
    shop(&town, &send("41")).assert_refused(1, &[sentence, "--budget"]);
    let document = shop(&town, &[&send("41")[..], &["--json"]].concat());
    assert_eq!(document.code, 1);
    assert!(document.document()["error"].as_str().unwrap().contains(sentence), "{document:?}");
    let other = shop(&town, &[&send("1")[..], &["--currency", "hours"]].concat());
    other.assert_refused(1, &["this app has no budget in hours"]);
    let apps = |town: &Town| town.run("stnode", &["apps", "--dir", "a"]).expect();
    assert!(apps(&town).contains("may spend 100 credits in all; 40 are left"), "{}", apps(&town));
    // The owner's own app is not bounded by it.
    town.stctrl("a", &send("500")).expect();

    town.kill("a");
    assert!(apps(&town).contains("may spend 100 credits in all; 40 are left"), "{}", apps(&town));
    town.start("a");
    town.wait_online(&["a"]);
    assert_eq!(standing(&town), ["60", "0", "40"]);
    shop(&town, &send("41")).assert_refused(1, &[sentence]);
    shop(&town, &send("40")).expect();
    assert_eq!(shop(&town, &["info", "budget"]).expect(), "This app may spend 100 credits in all; 0 are left\n");
    assert_eq!(town.balance("a", "b"), -600);

    // More of it, while the node runs.
    trust(&town, &["--budget", "150/month"]);
    town.wait_until("the node has seen the new budget", |town| standing(town) == ["100", "0", "50"]);
    shop(&town, &send("51")).assert_refused(1, &["150 credits a month; 50 are left until ", " 00:00 UTC"]);
    let payments = shop(&town, &["funds", "payments", "--json"]).json();
    let apps_of_payments: BTreeSet<_> =
        payments.as_array().unwrap().iter().map(|payment| payment["app"].as_str().unwrap().to_owned()).collect();
    assert_eq!(apps_of_payments.len(), 2, "the owner's and this one: {payments}");
    assert_eq!(town.stop("a"), 0);
    assert!(apps(&town).contains("150 credits a month; 50 are left"), "{}", apps(&town));
    // Having looked has changed nothing.
    assert_eq!(town.run("stnode", &["check", "--dir", "a", "--json"]).json()["sealed"], true);
}

/// Ten orders over ten connections: those that are paid are within the budget.
#[test]
fn orders_at_one_time_do_not_pass_together() {
    let town = town("100/month");
    let order = |_| {
        let mut command = shop_command(&town, &send("30"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let orders: Vec<_> = (0..10).map(order).collect();
    let said: Vec<Said> = orders.into_iter().map(|child| child.wait_with_output().unwrap().into()).collect();
    let (paid, refused): (Vec<_>, Vec<_>) = said.iter().partition(|said| said.succeeded());
    assert_eq!(paid.len(), 3, "{said:?}");
    refused.iter().for_each(|said| said.assert_refused(1, &["100 credits a month; ", "a payment of 30"]));
    assert_eq!(standing(&town), ["90", "0", "10"]);
    assert_eq!(town.balance("a", "b"), -90);
}

/// A payment that waits for a node that is away holds its share, also over a death, and gives it back when it has failed.
#[test]
fn what_waits_is_held_and_what_fails_is_given_back() {
    let mut town = town("100");
    town.signal("b", "STOP");
    let waiting = shop_command(&town, &[&send("80")[..], &["--timeout", "60"]].concat());
    let waiting = { waiting }.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    town.wait_until("the payment is under way", |town| standing(town) == ["0", "80", "20"]);
    shop(&town, &send("21")).assert_refused(1, &["20 are left, and 80 are held for payments under way"]);
    town.kill("a");
    assert_ne!(waiting.wait_with_output().unwrap().status.code(), Some(0));
    town.start("a");
    // It was not committed: the node that starts gives it up.
    assert_eq!(standing(&town), ["0", "0", "100"]);
    town.signal("b", "CONT");
    town.wait_online(&["a", "b"]);
    shop(&town, &send("100")).expect();
    assert_eq!(town.balance("a", "b"), -100);
}
