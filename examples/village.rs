//! The demonstration: a village on loopback, with real processes, sockets, encryption and databases.
//!
//! `cargo run --release --example village` starts two relays, two federated index servers and five nodes in a
//! temporary folder, makes friends, pays invoices over one, two and three hops, kills a mediator in the middle of a payment
//! and brings it back, splits a payment over two routes, clears a ring of debts, and shows that all balances add up
//! to 0. `--serve` leaves the village running and prints commands to try.
//!
//! cargo does not build the four programs for an example, so this one starts itself again in the role of each program.

#[path = "../tests/town/mod.rs"]
mod town;

use std::process::{ExitCode, Stdio};
use town::{Said, Town, amount};

const PEOPLE: [&str; 5] = ["alice", "bob", "carol", "dave", "eve"];
/// Who keeps an account with whom; each lets the other owe 1000 credits.
const FRIENDS: [(&str, &str); 4] = [("alice", "bob"), ("bob", "carol"), ("carol", "dave"), ("dave", "eve")];
/// These become friends later.
const NEW_FRIENDS: (&str, &str) = ("eve", "bob");
/// Debtor and creditor, around the ring that is cleared.
const RING: [(&str, &str); 4] = [("bob", "carol"), ("carol", "dave"), ("dave", "eve"), ("eve", "bob")];
/// What every node of the village does otherwise than by default: it looks for rings of debts only when it is asked, so
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
    let mut town = build();
    pay_over_one_two_and_three_hops(&town);
    kill_a_mediator(&mut town);
    split_a_payment(&town);
    clear_a_ring(&town);
    show_balances(&town);
    if serve {
        leave_running(&town);
    }
    ExitCode::SUCCESS
}

fn heading(text: &str) {
    println!("\n== {text}");
}

/// Runs a command and shows it with what it prints.
fn show(town: &Town, person: &str, arguments: &[&str]) -> String {
    println!("{person}$ stctrl {}", arguments.join(" "));
    let out = town.stctrl(person, arguments).expect();
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

fn build() -> Town {
    heading("Two relays, two index servers that trust each other, and the nodes of five people");
    let mut town = Town::new(town::itself);
    for relay in ["relay0", "relay1"] {
        town.relay(relay);
    }
    for index in ["index0", "index1"] {
        town.index(index);
    }
    town.trust("index0", "index1");
    town.trust("index1", "index0");
    for (number, person) in PEOPLE.into_iter().enumerate() {
        // The first three meet at one relay and the others at the other; friends find each other all the same.
        let relay = if number < 3 { "relay0" } else { "relay1" };
        // What one publishes at one index server is found at the other.
        let index = ["index0", "index1"][number % 2];
        town.node(person, &[relay], &[index], SETTINGS);
        println!("{person}'s node runs, listens at {relay} and asks {index}");
    }
    heading("Friends: each lets the other owe up to 1000 credits");
    println!("alice --- bob --- carol --- dave --- eve");
    for (one, other) in FRIENDS {
        town.befriend(one, other, 1000);
    }
    town.wait_online(&PEOPLE);
    show(&town, "bob", &["info", "friends"]);
    println!(
        "(E+ enabled and online, C both agree; LR, RR takes requests: we, the friend; B what the friend owes us;\n \
         LMD, RMD the most that may be owed: by us, by the friend; LPD, RPD under way: from us, from the friend)"
    );
    town
}

fn pay_over_one_two_and_three_hops(town: &Town) {
    for (hops, (buyer, seller, price)) in
        [("alice", "bob", 100), ("alice", "carol", 200), ("alice", "dave", 300)].into_iter().enumerate()
    {
        let distance = ["a friend", "a friend of a friend", "two friends between them"][hops];
        heading(&format!("{buyer} pays {seller} {price} credits over {} hop(s): {distance}", hops + 1));
        let invoice = format!("{seller}.invoice");
        let receipt = format!("{seller}.receipt");
        let price_text = price.to_string();
        let create = ["seller", "create-invoice", "-a", &price_text, "--description", "bread", "-o", &invoice];
        show(town, seller, &create);
        println!("{buyer}$ stctrl funds pay-invoice -i {invoice} -r {receipt}");
        let paid = town.pay_when_routed(buyer, &invoice, &receipt);
        println!("Payment successful!\nFees: {} (after {} ms)", amount(&paid["fees"]), paid["duration_ms"]);
        assert_eq!(amount(&paid["fees"]), hops as i128, "one credit for each mediator");
        verify(town, &invoice, &receipt);
    }
}

fn verify(town: &Town, invoice: &str, receipt: &str) {
    println!("$ stctrl verify receipt -i {invoice} -r {receipt}");
    let said = town.run("stctrl", &["verify", "receipt", "-i", invoice, "-r", receipt]).expect();
    print!("{said}");
    assert_eq!(said, "Receipt is valid!\n");
}

fn kill_a_mediator(town: &mut Town) {
    heading("alice pays carol 50 credits, and bob's node is killed in the middle of it");
    show(town, "carol", &["seller", "create-invoice", "-a", "50", "-o", "middle.invoice"]);
    // carol's node stands still, so that the payment stays where it is.
    town.signal("carol", "STOP");
    let arguments = ["funds", "pay-invoice", "-i", "middle.invoice", "-r", "middle.receipt"];
    println!("alice$ stctrl {} &", arguments.join(" "));
    let payment = town
        .control("alice", &arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this program can start itself");
    town.wait_until("bob has promised to pay carol", |town| {
        amount(&town.account("bob", "carol")["local_pending_debt"]) == 50
    });
    show(town, "bob", &["info", "friends"]);
    println!("$ kill -9 bob");
    town.kill("bob");
    town.start("bob");
    town.signal("carol", "CONT");
    println!("bob$ stnode run --dir bob &");
    let output = payment.wait_with_output().expect("the payment was started here");
    print!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the payment arrived");
    verify(town, "middle.invoice", "middle.receipt");
    town.wait_online(&PEOPLE);
    town.wait_settled(&PEOPLE);
}

fn split_a_payment(town: &Town) {
    let (one, other) = NEW_FRIENDS;
    heading(&format!("{one} and {other} become friends, so two routes lead from bob to dave"));
    println!("alice --- bob --- carol --- dave\n            \\              /\n             '--- eve ---'");
    town.befriend(one, other, 1000);
    town.wait_online(&PEOPLE);
    heading("bob pays dave 1200 credits: more than any line carries, so it goes in two parts");
    show(town, "dave", &["seller", "create-invoice", "-a", "1200", "--description", "roof", "-o", "roof.invoice"]);
    let quote = ["funds", "quote", "-i", "roof.invoice"];
    town.wait_until("the index servers know both routes", |town| {
        let said = town.stctrl("bob", &[&quote[..], &["--json"]].concat());
        said.succeeded() && said.json()["parts"] == 2
    });
    show(town, "bob", &quote);
    println!("bob$ stctrl funds pay-invoice -i roof.invoice -r roof.receipt");
    let paid = town.pay_when_routed("bob", "roof.invoice", "roof.receipt");
    println!("Payment successful!\nFees: {} ({} parts, one receipt)", amount(&paid["fees"]), paid["parts"]);
    assert_eq!((&paid["parts"], amount(&paid["fees"])), (&2.into(), 2), "one credit for the mediator of each part");
    verify(town, "roof.invoice", "roof.receipt");
    town.wait_settled(&PEOPLE);
}

fn clear_a_ring(town: &Town) {
    heading("dave buys from eve and eve from bob, until everybody around the ring owes the next");
    for (debtor, creditor, debt) in [("dave", "eve", 200), ("eve", "bob", 150)] {
        let owed = -town.balance(creditor, debtor);
        let price = (owed + debt).to_string();
        println!("{creditor} owes {debtor} {owed}; when {debtor} pays {price}, {debtor} owes {creditor} {debt}");
        // Over their own line: while an index server does not know what it carries now, a longer way would cost a fee.
        let send = ["funds", "send-funds", "--amount", &price, "--dest", creditor, "--max-fee", "0"];
        println!("{debtor}$ stctrl {}", send.join(" "));
        town.wait_until("the line is known", |town| {
            let said = town.stctrl(debtor, &send);
            print_cut(&said.out);
            said.succeeded()
        });
        town.wait_settled(&[debtor, creditor]);
        assert_eq!(town.balance(creditor, debtor), debt);
    }
    show_ring(town);
    heading("A ring of debts clears: nobody needs credits for it, and nobody is richer or poorer afterwards");
    for (person, _) in RING.into_iter().filter(|(person, _)| *person != "bob") {
        show(town, person, &["config", "set-auto-clear", "on"]);
    }
    // Bob has not allowed it for good, so he is only told.
    let found = |said: Said| said.succeeded() && said.json()["found"]["amount"] == "150";
    town.wait_until("the ring is found", |town| found(town.stctrl("bob", &["funds", "clear", "--json"])));
    let before = RING.map(|(debtor, creditor)| town.balance(creditor, debtor));
    show(town, "bob", &["funds", "clear", "--perform"]);
    town.wait_settled(&PEOPLE);
    show_ring(town);
    let after = RING.map(|(debtor, creditor)| town.balance(creditor, debtor));
    assert_eq!(after, before.map(|debt| debt - 150), "all debts are smaller by the smallest, which is gone");
}

fn show_ring(town: &Town) {
    for (debtor, creditor) in RING {
        println!("{debtor:6} owes {creditor:6} {:>5}", town.balance(creditor, debtor));
    }
}

fn show_balances(town: &Town) {
    heading("All balances");
    town.wait_online(&PEOPLE);
    town.wait_settled(&PEOPLE);
    let mut sum = 0;
    for person in PEOPLE {
        let balance: i128 = town.friends(person).iter().map(|friend| amount(&friend["currencies"][0]["balance"])).sum();
        println!("{person:6} {balance:>6}");
        sum += balance;
    }
    println!("sum    {sum:>6}");
    assert_eq!(sum, 0, "every credit that somebody has, somebody else owes");
    for (one, other) in FRIENDS.into_iter().chain([NEW_FRIENDS]) {
        assert_eq!(town.balance(one, other), -town.balance(other, one), "{one} and {other} agree");
    }
    println!("\nEvery payment arrived once, and all balances add up to 0.");
}

fn leave_running(town: &Town) {
    heading("The village runs until you press Enter. Try, in another terminal:");
    println!("cd {}", town.root().display());
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
