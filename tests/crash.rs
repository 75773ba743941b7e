//! Programs killed at any moment: every payment ends as paid or failed, both ends of each account agree, nothing stays pending.

mod testnet;

use std::process::{Child, Stdio};
use testnet::{Testnet, amount};

const NODES: [&str; 3] = ["a", "b", "c"];
const SETTINGS: &str = "patience_ms = 3000\npatience_step_ms = 200\nreconnect_max_ms = 500\nroute_retry_ms = 100\nindex_reconnect_max_ms = 500\n";

fn chain() -> Testnet {
    let testnet = Testnet::row(&NODES, 1_000_000, SETTINGS);
    let invoice = testnet.invoice("c", 1, "first.invoice");
    testnet.pay_when_routed("a", &invoice, "first.receipt");
    testnet
}

/// So many payments come through between the kills.
const PAID_MIN: usize = 10;

/// A small generator, so that a run can be repeated from its seed.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn seed() -> u64 {
    let seed = std::env::var("OFFST_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs());
    println!("OFFST_SEED={seed} repeats this run");
    seed
}

/// Starts paying an invoice and does not wait for it.
fn start_payment(testnet: &Testnet, invoice: &str, receipt: &str) -> Child {
    let arguments = ["funds", "pay-invoice", "-i", invoice, "-r", receipt, "--timeout", "20", "--json"];
    testnet.control("a", &arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The number of payments that the buyer knows to be paid, their amounts, and their fees; none may be pending.
fn totals(testnet: &Testnet) -> (i128, i128) {
    let page = testnet.stctrl("a", &["funds", "payments", "--json"]).json();
    let payments = page.as_array().unwrap();
    let paid: Vec<_> = payments.iter().filter(|payment| payment["status"] == "paid").collect();
    assert!(payments.iter().all(|payment| payment["status"] != "pending"), "{page}");
    (paid.iter().map(|p| amount(&p["amount"])).sum(), paid.iter().map(|p| amount(&p["fees"])).sum())
}

fn check_agreement(testnet: &Testnet) {
    testnet.wait_online(&NODES);
    testnet.wait_until("every payment of a has ended", |testnet| {
        let page = testnet.stctrl("a", &["funds", "payments", "--json"]).json();
        page.as_array().unwrap().iter().all(|payment| payment["status"] != "pending")
    });
    testnet.wait_settled(&NODES);
    let (amounts, fees) = totals(testnet);
    let balance = |node, friend| testnet.balance(node, friend);
    assert_eq!(balance("a", "b"), -balance("b", "a"));
    assert_eq!(balance("b", "c"), -balance("c", "b"));
    assert_eq!(balance("a", "b"), -(amounts + fees), "the buyer paid what its payments say");
    assert_eq!(balance("c", "b"), amounts, "the seller got it");
    assert_eq!(balance("b", "a") + balance("b", "c"), fees, "the mediator earned its fees");
}

/// Each victim is killed four times, at a seeded number of payments that have ended, while others are under way; and again where
/// hardly any payment has come through by then, as on a slow machine.
#[test]
fn killed_at_any_moment_nothing_is_lost() {
    let mut testnet = chain();
    let mut random = Seeded(seed());
    let mut victims: Vec<&str> = ["a", "b", "c", "relay0", "index0"].repeat(4);
    for index in (1..victims.len()).rev() {
        victims.swap(index, random.below(index as u64 + 1) as usize);
    }
    let mut running: Vec<(Child, String)> = Vec::new();
    let (mut number, mut paid) = (0, 0);
    for (round, victim) in victims.iter().cycle().enumerate() {
        if round >= victims.len() && paid >= PAID_MIN {
            break;
        }
        assert!(round < 10 * victims.len(), "{paid} of {number} payments were made");
        let ended_before_the_kill = random.below(3);
        let mut ended = 0;
        while ended <= ended_before_the_kill {
            while running.len() < 3 {
                number += 1;
                let invoice = format!("{number}.invoice");
                let amount = (1 + random.below(50)).to_string();
                let made = testnet.stctrl("c", &["seller", "create-invoice", "-a", &amount, "-o", &invoice]);
                assert_eq!(made.code, 0, "{made:?}");
                let receipt = format!("{number}.receipt");
                running.push((start_payment(&testnet, &invoice, &receipt), receipt));
            }
            let (payment, receipt) = running.remove(0);
            paid += usize::from(finish(&testnet, payment, &receipt));
            ended += 1;
        }
        testnet.kill(victim);
        testnet.start(victim);
    }
    for (payment, receipt) in running {
        finish(&testnet, payment, &receipt);
    }
    check_agreement(&testnet);
    // Payments were really made between the kills.
    let page = testnet.stctrl("a", &["funds", "payments", "--json"]).json();
    let paid = page.as_array().unwrap().iter().filter(|payment| payment["status"] == "paid").count();
    assert!(paid >= PAID_MIN, "{page}");
    // The testnet still works.
    let invoice = testnet.invoice("c", 5, "last.invoice");
    testnet.pay_when_routed("a", &invoice, "last.receipt");
    check_agreement(&testnet);
}

/// A payment that says it is paid has a receipt; one that does not, has none. Gives whether it is.
fn finish(testnet: &Testnet, payment: Child, receipt: &str) -> bool {
    let output = payment.wait_with_output().unwrap();
    let is_paid = output.status.code() == Some(0);
    assert_eq!(testnet.file(receipt).exists(), is_paid, "{}", String::from_utf8_lossy(&output.stdout));
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}", String::from_utf8_lossy(&output.stderr));
    is_paid
}

/// The exact middle: the seller stands still until the mediator has promised to pay, the mediator is killed and comes back,
/// the seller goes on.
#[test]
fn a_mediator_killed_in_the_middle_comes_back_with_nothing_lost() {
    let mut testnet = chain();
    let invoice = testnet.invoice("c", 40, "middle.invoice");
    testnet.signal("c", "STOP");
    let payment = start_payment(&testnet, &invoice, "middle.receipt");
    testnet.wait_until("the mediator shows a pending debt", |testnet| {
        amount(&testnet.account("b", "c")["local_pending_debt"]) == 40
    });
    testnet.kill("b");
    testnet.start("b");
    testnet.signal("c", "CONT");
    let output = payment.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() || said.contains("failed"), "{said}");
    check_agreement(&testnet);
}
