//! The demonstration: a village on loopback, with real processes, sockets, encryption and databases.
//!
//! `cargo run --release --example village` starts two relays, two federated index servers and five nodes in a
//! temporary folder, makes friends, pays invoices over one, two and three hops, kills a mediator in the middle of a payment
//! and brings it back, splits a payment over two paths, clears a cycle of debts, and shows that all balances add up
//! to 0. `--serve` leaves the village running and prints commands to try.
//!
//! cargo does not build the four programs for an example, so this one starts itself again in the role of each program.

#[path = "../tests/testnet/mod.rs"]
mod testnet;

use std::process::{ExitCode, Stdio};
use testnet::{Said, Testnet, amount};

const PEOPLE: [&str; 5] = ["alice", "bob", "carol", "dave", "eve"];
/// Who keeps an account with whom; each lets the other owe 1000 credits.
const FRIENDS: [(&str, &str); 4] = [("alice", "bob"), ("bob", "carol"), ("carol", "dave"), ("dave", "eve")];
/// These become friends later.
const NEW_FRIENDS: (&str, &str) = ("eve", "bob");
/// Debtor and creditor, around the cycle that is cleared.
const CYCLE: [(&str, &str); 4] = [("bob", "carol"), ("carol", "dave"), ("dave", "eve"), ("eve", "bob")];
/// What every node of the village does otherwise than by default: it looks for debt cycles only when it is asked, so
/// that the one that is shown is still there.
const SETTINGS: &str = "clear_interval_ms = 3600000";
/// Longer lines of output are cut.
const LINE_LETTERS: usize = 100;

fn main() -> ExitCode {
    if let Some(code) = offst::command_line::run_role() {
        return code;
    }
    let serve = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--serve") => true,
        Some(_) => {
            eprintln!("village: the only argument is --serve, which leaves the village running");
            return ExitCode::from(2);
        }
    };
    let mut testnet = build();
    pay_over_one_two_and_three_hops(&testnet);
    kill_a_mediator(&mut testnet);
    split_a_payment(&testnet);
    clear_a_cycle(&testnet);
    show_balances(&testnet);
    if serve {
        leave_running(&testnet);
    }
    ExitCode::SUCCESS
}

fn heading(text: &str) {
    println!("\n== {text}");
}

/// Runs a command and shows it with what it prints.
fn show(testnet: &Testnet, person: &str, arguments: &[&str]) -> String {
    println!("{person}$ stctrl {}", arguments.join(" "));
    let out = testnet.stctrl(person, arguments).expect();
    print_cut(&out);
    out
}

/// The one-line text of an invoice fills half a screen, and nobody reads it here.
fn print_cut(out: &str) {
    for line in out.lines() {
        if line.chars().count() > LINE_LETTERS {
            println!(
                "{}... ({} letters)",
                line.chars().take(LINE_LETTERS / 2).collect::<String>(),
                line.chars().count()
            );
        } else {
            println!("{line}");
        }
    }
}

fn build() -> Testnet {
    heading("Two relays, two index servers that trust each other, and the nodes of five people");
    let mut testnet = Testnet::new(testnet::itself);
    for relay in ["relay0", "relay1"] {
        testnet.relay(relay);
    }
    for index in ["index0", "index1"] {
        testnet.index(index);
    }
    testnet.trust("index0", "index1");
    testnet.trust("index1", "index0");
    for (number, person) in PEOPLE.into_iter().enumerate() {
        // The first three meet at one relay and the others at the other; friends find each other all the same.
        let relay = if number < 3 { "relay0" } else { "relay1" };
        // What one publishes at one index server is found at the other.
        let index = ["index0", "index1"][number % 2];
        testnet.node(person, &[relay], &[index], SETTINGS);
        println!("{person}'s node runs, listens at {relay} and asks {index}");
    }
    heading("Friends: each lets the other owe up to 1000 credits");
    println!("alice --- bob --- carol --- dave --- eve");
    for (one, other) in FRIENDS {
        testnet.befriend(one, other, 1000);
    }
    testnet.wait_online(&PEOPLE);
    show(&testnet, "bob", &["info", "friends"]);
    println!(
        "(E+ enabled and online, C both agree; LR, RR takes requests: we, the friend; B what the friend owes us;\n \
         LMD, RMD the most that may be owed: by us, by the friend; LPD, RPD under way: from us, from the friend)"
    );
    testnet
}

fn pay_over_one_two_and_three_hops(testnet: &Testnet) {
    for (hops, (buyer, seller, price)) in
        [("alice", "bob", 100), ("alice", "carol", 200), ("alice", "dave", 300)].into_iter().enumerate()
    {
        let distance = ["a friend", "a friend of a friend", "two friends between them"][hops];
        heading(&format!("{buyer} pays {seller} {price} credits over {} hop(s): {distance}", hops + 1));
        let invoice = format!("{seller}.invoice");
        let receipt = format!("{seller}.receipt");
        let price_text = price.to_string();
        let create = ["seller", "create-invoice", "-a", &price_text, "--description", "bread", "-o", &invoice];
        show(testnet, seller, &create);
        println!("{buyer}$ stctrl funds pay-invoice -i {invoice} -r {receipt}");
        let paid = testnet.pay_when_routed(buyer, &invoice, &receipt);
        println!("Payment successful!\nFees: {} (after {} ms)", amount(&paid["fees"]), paid["duration_ms"]);
        assert_eq!(amount(&paid["fees"]), hops as i128, "one credit for each mediator");
        verify(testnet, &invoice, &receipt);
    }
}

fn verify(testnet: &Testnet, invoice: &str, receipt: &str) {
    println!("$ stctrl verify receipt -i {invoice} -r {receipt}");
    let said = testnet.run("stctrl", &["verify", "receipt", "-i", invoice, "-r", receipt]).expect();
    print!("{said}");
    assert_eq!(said, "Receipt is valid!\n");
}

fn kill_a_mediator(testnet: &mut Testnet) {
    heading("alice pays carol 50 credits, and bob's node is killed in the middle of it");
    show(testnet, "carol", &["seller", "create-invoice", "-a", "50", "-o", "middle.invoice"]);
    // carol's node stands still, so that the payment stays where it is.
    testnet.signal("carol", "STOP");
    let arguments = ["funds", "pay-invoice", "-i", "middle.invoice", "-r", "middle.receipt"];
    println!("alice$ stctrl {} &", arguments.join(" "));
    let payment = testnet
        .control("alice", &arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this program can start itself");
    testnet.wait_until("bob has promised to pay carol", |testnet| {
        amount(&testnet.account("bob", "carol")["local_pending_debt"]) == 50
    });
    show(testnet, "bob", &["info", "friends"]);
    println!("$ kill -9 bob");
    testnet.kill("bob");
    testnet.start("bob");
    testnet.signal("carol", "CONT");
    println!("bob$ stnode run --dir bob &");
    let output = payment.wait_with_output().expect("the payment was started here");
    print!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the payment arrived");
    verify(testnet, "middle.invoice", "middle.receipt");
    testnet.wait_online(&PEOPLE);
    testnet.wait_settled(&PEOPLE);
}

fn split_a_payment(testnet: &Testnet) {
    let (one, other) = NEW_FRIENDS;
    heading(&format!("{one} and {other} become friends, so two routes lead from bob to dave"));
    println!("alice --- bob --- carol --- dave\n            \\              /\n             '--- eve ---'");
    testnet.befriend(one, other, 1000);
    testnet.wait_online(&PEOPLE);
    heading("bob pays dave 1200 credits: more than any account carries, so it goes in two parts");
    show(testnet, "dave", &["seller", "create-invoice", "-a", "1200", "--description", "roof", "-o", "roof.invoice"]);
    let quote = ["funds", "quote", "-i", "roof.invoice"];
    testnet.wait_until("the index servers know both routes", |testnet| {
        let said = testnet.stctrl("bob", &[&quote[..], &["--json"]].concat());
        said.succeeded() && said.json()["parts"] == 2
    });
    show(testnet, "bob", &quote);
    println!("bob$ stctrl funds pay-invoice -i roof.invoice -r roof.receipt");
    let paid = testnet.pay_when_routed("bob", "roof.invoice", "roof.receipt");
    println!("Payment successful!\nFees: {} ({} parts, one receipt)", amount(&paid["fees"]), paid["parts"]);
    assert_eq!((&paid["parts"], amount(&paid["fees"])), (&2.into(), 2), "one credit for the mediator of each part");
    verify(testnet, "roof.invoice", "roof.receipt");
    testnet.wait_settled(&PEOPLE);
}

fn clear_a_cycle(testnet: &Testnet) {
    heading("dave buys from eve and eve from bob, until everybody around the cycle owes the next");
    for (debtor, creditor, debt) in [("dave", "eve", 200), ("eve", "bob", 150)] {
        let owed = -testnet.balance(creditor, debtor);
        let price = (owed + debt).to_string();
        println!("{creditor} owes {debtor} {owed}; when {debtor} pays {price}, {debtor} owes {creditor} {debt}");
        // Over their own account: while an index server does not know what it carries now, a longer route would cost a fee.
        let send = ["funds", "send-funds", "--amount", &price, "--dest", creditor, "--max-fee", "0"];
        println!("{debtor}$ stctrl {}", send.join(" "));
        testnet.wait_until("the account is known", |testnet| {
            let said = testnet.stctrl(debtor, &send);
            print_cut(&said.out);
            said.succeeded()
        });
        testnet.wait_settled(&[debtor, creditor]);
        assert_eq!(testnet.balance(creditor, debtor), debt);
    }
    show_cycle(testnet);
    heading("A cycle of debts clears: nobody needs credits for it, and nobody is richer or poorer afterwards");
    for (person, _) in CYCLE.into_iter().filter(|(person, _)| *person != "bob") {
        show(testnet, person, &["config", "set-auto-clear", "on"]);
    }
    // Bob has not allowed it for good, so the node only says so.
    let found = |said: Said| said.succeeded() && said.json()["found"]["amount"] == "150";
    testnet.wait_until("the cycle is found", |testnet| found(testnet.stctrl("bob", &["funds", "clear", "--json"])));
    let before = CYCLE.map(|(debtor, creditor)| testnet.balance(creditor, debtor));
    show(testnet, "bob", &["funds", "clear", "--perform"]);
    testnet.wait_settled(&PEOPLE);
    show_cycle(testnet);
    let after = CYCLE.map(|(debtor, creditor)| testnet.balance(creditor, debtor));
    assert_eq!(after, before.map(|debt| debt - 150), "all debts are smaller by the smallest, which is gone");
}

fn show_cycle(testnet: &Testnet) {
    for (debtor, creditor) in CYCLE {
        println!("{debtor:6} owes {creditor:6} {:>5}", testnet.balance(creditor, debtor));
    }
}

fn show_balances(testnet: &Testnet) {
    heading("All balances");
    testnet.wait_online(&PEOPLE);
    testnet.wait_settled(&PEOPLE);
    let mut sum = 0;
    for person in PEOPLE {
        let balance: i128 =
            testnet.friends(person).iter().map(|friend| amount(&friend["currencies"][0]["balance"])).sum();
        println!("{person:6} {balance:>6}");
        sum += balance;
    }
    println!("sum    {sum:>6}");
    assert_eq!(sum, 0, "every credit that somebody has, somebody else owes");
    for (one, other) in FRIENDS.into_iter().chain([NEW_FRIENDS]) {
        assert_eq!(testnet.balance(one, other), -testnet.balance(other, one), "{one} and {other} agree");
    }
    println!("\nEvery payment arrived once, and all balances add up to 0.");
}

fn leave_running(testnet: &Testnet) {
    heading("The village runs until you press Enter. Try, in another terminal:");
    println!("cd {}", testnet.root().display());
    let program = std::env::current_exe().expect("the system knows which program runs");
    let program = program.display();
    for (person, command) in [
        ("alice", "info friends"),
        ("eve", "seller create-invoice -a 70 -o eve.invoice"),
        ("alice", "funds pay-invoice -i eve.invoice -r eve.receipt"),
        ("bob", "funds forwards"),
        ("bob", "funds history"),
    ] {
        println!("{program} role stctrl -I {person}-app/{person}-app.ident -T {person}/{person}.ticket {command}");
    }
    let mut line = String::new();
    // Whether it is Enter or the end of the input, the village ends.
    let _ = std::io::stdin().read_line(&mut line);
}
