//! The demonstration: a village on loopback, with real processes, sockets, encryption and databases.
//!
//! `cargo run --release --example village` starts two relays, two federated index servers and five nodes in a
//! temporary folder, makes friends, pays invoices over one, two and three hops, kills a mediator in the middle of a payment
//! and brings it back, and shows that all balances add up to 0. `--serve` leaves the village running and prints commands
//! to try.
//!
//! cargo does not build the four programs for an example, so this one starts itself again in the role of each program.

#[path = "../tests/town/mod.rs"]
mod town;

use std::process::{ExitCode, Stdio};
use town::{Town, amount};

const PEOPLE: [&str; 5] = ["alice", "bob", "carol", "dave", "eve"];
/// Who keeps an account with whom; each lets the other owe 1000 credits.
const FRIENDS: [(&str, &str); 4] = [("alice", "bob"), ("bob", "carol"), ("carol", "dave"), ("dave", "eve")];

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
    print!("{out}");
    out
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
        town.node(person, &[relay], &[index], "");
        println!("{person}'s node runs, listens at {relay} and asks {index}");
    }
    heading("Friends: each lets the other owe up to 1000 credits");
    for (one, other) in FRIENDS {
        town.befriend(one, other, 1000);
        println!("{one} - {other}");
    }
    town.wait_online(&PEOPLE);
    show(&town, "bob", &["info", "friends"]);
    town
}

fn pay_over_one_two_and_three_hops(town: &Town) {
    for (hops, (buyer, seller, price)) in
        [("alice", "bob", 100), ("alice", "carol", 200), ("alice", "dave", 300)].into_iter().enumerate()
    {
        heading(&format!("{buyer} pays {seller} {price} credits over {} hop(s)", hops + 1));
        let invoice = format!("{seller}.invoice");
        let receipt = format!("{seller}.receipt");
        let price_text = price.to_string();
        let create = ["seller", "create-invoice", "-a", &price_text, "--description", "bread", "-o", &invoice];
        show(town, seller, &create);
        println!("{buyer}$ stctrl funds pay-invoice -i {invoice} -r {receipt}");
        let paid = town.pay_when_routed(buyer, &invoice, &receipt);
        println!("Payment successful!\nFees: {}\n({} ms)", amount(&paid["fees"]), paid["duration_ms"]);
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
    println!("bob's node was started again");
    let output = payment.wait_with_output().expect("the payment was started here");
    print!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the payment arrived");
    verify(town, "middle.invoice", "middle.receipt");
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
    for (one, other) in FRIENDS {
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
    ] {
        println!("{program} role stctrl -I {person}-app/{person}-app.ident -T {person}/{person}.ticket {command}");
    }
    let mut line = String::new();
    // Whether it is Enter or the end of the input, the village ends.
    let _ = std::io::stdin().read_line(&mut line);
}
