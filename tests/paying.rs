//! Paying well, through the real programs: splits, prices, cycles and debt cycles.

mod testnet;

use serde_json::Value;
use std::process::Stdio;
use testnet::{Testnet, amount};

/// a and d with b and c between them; every account has a limit of 60.
fn diamond() -> Testnet {
    let mut testnet = Testnet::new(testnet::built);
    testnet.relay("relay0");
    for index in ["index0", "index1"] {
        testnet.index(index);
    }
    for (index, other) in [("index0", "index1"), ("index1", "index0")] {
        let ticket = testnet.file(other).join(format!("{other}.server.ticket"));
        std::fs::copy(ticket, testnet.file(index).join("trusted").join(format!("{other}.ticket"))).unwrap();
    }
    for node in ["a", "b", "c", "d"] {
        testnet.node(node, &["relay0"], &["index0", "index1"], "index_publish_interval_ms = 100\nroute_reuse_ms = 50");
    }
    for (one, other) in [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")] {
        testnet.befriend(one, other, 60);
    }
    testnet.wait_online(&["a", "b", "c", "d"]);
    testnet
}

/// A quote that succeeds; index servers may still be learning.
fn quote(testnet: &Testnet, arguments: &[&str], is_right: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    testnet.wait_until("the index servers know the way", |testnet| {
        let said = testnet.stctrl("a", &[&["funds", "quote", "--json"], arguments].concat());
        last = serde_json::from_str(&said.out).unwrap_or_default();
        said.code == 0 && is_right(&last)
    });
    last
}

fn wealth(testnet: &Testnet, node: &str) -> i128 {
    testnet.friends(node).iter().map(|friend| amount(&friend["currencies"][0]["balance"])).sum()
}

#[test]
fn an_invoice_that_no_account_carries_is_paid_in_two_parts_with_one_receipt() {
    let testnet = diamond();
    let invoice = testnet.invoice("d", 100, "large.invoice");
    let offer = quote(&testnet, &["-i", &invoice], |_| true);
    assert_eq!((&offer["amount"], &offer["fees"], &offer["parts"]), (&"100".into(), &"2".into(), &2.into()));
    let routes: Vec<_> = offer["ways"][0]["parts"].as_array().unwrap().iter().map(|part| &part["route"]).collect();
    let mut mediators: Vec<_> = routes.iter().map(|path| path[0]["name"].as_str().unwrap()).collect();
    mediators.sort_unstable();
    assert_eq!(mediators, ["b", "c"]);
    let text = testnet.stctrl("a", &["funds", "quote", "-i", &invoice]).expect();
    assert!(text.starts_with("Amount: 100 credit\nFees: 2\nRoute 1, fees 2, 2 parts:\n"), "{text}");
    let dear = testnet.stctrl("a", &["funds", "quote", "-i", &invoice, "--max-fee", "1"]);
    assert_eq!((dear.code, testnet.balance("a", "b")), (1, 0), "{dear:?}");

    let paid = testnet.pay_when_routed("a", &invoice, "large.receipt");
    assert_eq!((&paid["parts"], &paid["fees"]), (&2.into(), &"2".into()));
    let said = testnet.run("stctrl", &["verify", "receipt", "-i", &invoice, "-r", "large.receipt"]).expect();
    assert_eq!(said, "Receipt is valid!\n");
    testnet.wait_settled(&["a", "b", "c", "d"]);
    assert_eq!([wealth(&testnet, "a"), wealth(&testnet, "d")], [-102, 100]);
}

/// Pays 100 in two parts, and kills c while credits are held. Says how the payment ended and what was moved from a and
/// to d.
fn kill_a_mediator(stands_still: bool) -> (String, [i128; 2]) {
    let mut testnet = diamond();
    let invoice = testnet.invoice("d", 100, "large.invoice");
    quote(&testnet, &["-i", &invoice], |offer| offer["parts"] == 2);
    if stands_still {
        testnet.signal("c", "STOP");
    }
    let mut pays =
        testnet.control("a", &["funds", "pay-invoice", "-i", &invoice, "-r", "large.receipt", "--timeout", "10"]);
    let pays = pays.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    testnet.wait_until("the payment has begun", |testnet| {
        let pending = |friend| amount(&testnet.account("a", friend)["local_pending_debt"]);
        pending("b") > 0 || pending("c") > 0 || wealth(testnet, "a") != 0
    });
    testnet.kill("c");
    pays.wait_with_output().unwrap();
    testnet.start("c");
    testnet.wait_online(&["a", "b", "c", "d"]);
    testnet.wait_settled(&["a", "b", "c", "d"]);
    let payments = testnet.stctrl("a", &["funds", "payments", "--json"]).json();
    let status = payments[0]["status"].as_str().unwrap().to_owned();
    if status == "paid" {
        // Those who waited may have been told that it is still under way: the receipt is there all the same.
        let id = payments[0]["payment_id"].as_str().unwrap();
        testnet.stctrl("a", &["funds", "status", id, "-r", "late.receipt"]).expect();
        testnet.run("stctrl", &["verify", "receipt", "-i", &invoice, "-r", "late.receipt"]).expect();
    }
    (status, [wealth(&testnet, "a"), wealth(&testnet, "d")])
}

#[test]
fn a_mediator_that_dies_before_the_commit_leaves_nothing_moved() {
    assert_eq!(kill_a_mediator(true), ("failed".into(), [0, 0]));
}

#[test]
fn a_mediator_that_dies_at_any_time_leaves_a_split_payment_whole_or_undone() {
    let (status, moved) = kill_a_mediator(false);
    let expected = if status == "paid" { [-102, 100] } else { [0, 0] };
    assert_eq!(moved, expected, "{status}");
}

#[test]
fn the_cheaper_mediator_is_paid_and_every_failure_says_who() {
    let mut testnet = diamond();
    // What index servers know of one account may be older than what they know of another.
    let over = |name: &str, fees: &str| {
        let (name, fees) = (name.to_owned(), fees.to_owned());
        move |offer: &Value| {
            offer["ways"][0]["parts"][0]["route"][0]["name"] == name.as_str() && offer["fees"] == fees.as_str()
        }
    };
    let key = testnet.stctrl("d", &["info", "public-key"]).expect().trim().to_owned();
    let spontaneous = ["--amount", "10", "--dest", &key];
    let rate = |testnet: &Testnet, node: &str, add: &str| {
        testnet.stctrl(node, &["config", "set-friend-rate", "-n", "a", "--mul", "0", "--add", add]).expect();
    };
    rate(&testnet, "c", "5");
    quote(&testnet, &spontaneous, over("b", "1"));
    let paid = testnet.stctrl("a", &[&["funds", "send-funds", "--json"], &spontaneous[..]].concat()).json();
    assert_eq!(paid["fees"], "1");
    rate(&testnet, "b", "9");
    quote(&testnet, &spontaneous, over("c", "5"));
    let paid = testnet.stctrl("a", &[&["funds", "send-funds", "--json"], &spontaneous[..]].concat()).json();
    assert_eq!(paid["fees"], "5");
    testnet.wait_settled(&["a", "b", "c", "d"]);
    assert_eq!([testnet.balance("a", "b"), testnet.balance("a", "c")], [-11, -15]);
    let refused = testnet.stctrl("a", &[&["funds", "send-funds", "--max-fee", "4"], &spontaneous[..]].concat());
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("the cheapest route costs 5 in fees, more than --max-fee allows"), "{refused:?}");

    // Nor does anybody pay more than is usual who says nothing of fees.
    rate(&testnet, "b", "30");
    rate(&testnet, "c", "25");
    let offer = quote(&testnet, &spontaneous, |offer: &Value| offer["fees"] == "25");
    assert_eq!(offer["max_fee_default"], "20");
    let bound = "the 20 that this node pays by default: allow it with --max-fee 25";
    let text = testnet.stctrl("a", &[&["funds", "quote"], &spontaneous[..]].concat()).expect();
    assert!(text.contains(&format!("That is more than {bound}")), "{text}");
    let refused = testnet.stctrl("a", &[&["funds", "send-funds"], &spontaneous[..]].concat());
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains(&format!("the cheapest route costs 25 in fees, more than {bound}")), "{refused:?}");
    rate(&testnet, "b", "9");
    rate(&testnet, "c", "5");
    quote(&testnet, &spontaneous, over("c", "5"));

    // To d there is only c left, and c is gone as well.
    testnet.stctrl("a", &["config", "disable-friend", "-n", "b"]).expect();
    testnet.kill("d");
    let spontaneous = ["funds", "send-funds", "--amount", "10", "--dest", &key, "--timeout", "9"];
    let refused = testnet.stctrl("a", &spontaneous);
    let knows = ["offline", "no answer", "no route"].iter().any(|word| refused.err.contains(word));
    assert!(refused.code == 1 && knows, "{refused:?}");
    assert_eq!(refused.err.lines().count(), 1);
}

/// What index servers say may be old: b's line to d, of 60, is full but for 12.
#[test]
fn an_account_that_is_fuller_than_the_index_servers_know_says_what_it_has_left() {
    let testnet = diamond();
    let small = testnet.invoice("d", 55, "small.invoice");
    quote(&testnet, &["-i", &small], |offer| offer["ways"].as_array().is_some_and(|routes| routes.len() == 2));
    for node in ["b", "d"] {
        for index in ["index0", "index1"] {
            testnet.stctrl(node, &["config", "remove-index", "-n", index]).expect();
        }
    }
    testnet.stctrl("b", &["funds", "send-funds", "--amount", "48", "--dest", "d"]).expect();
    let large = testnet.invoice("d", 100, "large.invoice");
    let refused = testnet.stctrl("a", &["funds", "pay-invoice", "-i", &large, "-r", "large.receipt", "--timeout", "5"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("b's account with the seller has only 12 left"), "{refused:?}");
    // c's line holds 60, and so needs some of the 12.
    testnet.pay_when_routed("a", &testnet.invoice("d", 70, "middle.invoice"), "middle.receipt");
    testnet.wait_settled(&["a", "b", "c", "d"]);
    assert_eq!(wealth(&testnet, "d"), 48 + 70);
}

#[test]
fn credit_moves_around_a_cycle() {
    let testnet = diamond();
    testnet.wait_until("a cycle is found", |testnet| {
        let said = testnet.stctrl("a", &["funds", "rebalance", "-n", "b", "--amount", "20", "--max-fee", "3"]);
        said.code == 0
    });
    testnet.wait_settled(&["a", "b", "c", "d"]);
    assert_eq!([testnet.balance("a", "b"), testnet.balance("a", "c")], [-23, 20]);
    let refused = testnet.stctrl("a", &["funds", "rebalance", "-n", "b", "--amount", "20", "--max-fee", "2"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    let history = testnet.stctrl("a", &["funds", "history", "--json"]).json();
    assert_eq!((&history[0]["kind"], &history[0]["change"]), (&"rebalance".into(), &"-3".into()));
    let stranger = testnet.stctrl("a", &["funds", "rebalance", "-n", "nobody", "--amount", "20"]);
    assert!(stranger.err.contains("there is no friend named \"nobody\""), "{stranger:?}");
}

/// Three who owe each other in a cycle, as after an evening in a pub.
fn debt_cycle(settings: &str) -> Testnet {
    let testnet = Testnet::row(&["a", "b", "c"], 100, settings);
    testnet.befriend("c", "a", 100);
    testnet.wait_online(&["a", "b", "c"]);
    for (debtor, creditor) in [("a", "b"), ("b", "c"), ("c", "a")] {
        // Over their own account: an index server that knows only of the longer route yet must not add a fee to a debt.
        let arguments = ["funds", "send-funds", "--amount", "50", "--dest", creditor, "--max-fee", "0"];
        testnet.wait_until("the line is known", |testnet| testnet.stctrl(debtor, &arguments).succeeded());
    }
    testnet.wait_settled(&["a", "b", "c"]);
    testnet
}

fn debts(testnet: &Testnet) -> [i128; 3] {
    [("b", "a"), ("c", "b"), ("a", "c")].map(|(creditor, debtor)| testnet.balance(creditor, debtor))
}

#[test]
fn a_debt_cycle_is_cleared_when_it_is_asked_for() {
    let testnet = debt_cycle("index_publish_interval_ms = 100\nclear_interval_ms = 3600000");
    let alone = testnet.stctrl("a", &["funds", "clear", "--json"]).json();
    assert_eq!((&alone["auto_clear"], &alone["found"]), (&false.into(), &Value::Null));
    for node in ["b", "c"] {
        testnet.stctrl(node, &["config", "set-auto-clear", "on"]).expect();
    }
    testnet.wait_until("the cycle is found", |testnet| {
        let found = testnet.stctrl("a", &["funds", "clear", "--json"]).json();
        found["found"]["amount"] == "50"
    });
    let said = testnet.stctrl("a", &["funds", "clear"]).expect();
    assert!(said.starts_with("50 can be cleared around you -> c -> b -> you\n"), "{said}");
    assert_eq!(debts(&testnet), [50, 50, 50], "only looking changes nothing");
    let said = testnet.stctrl("a", &["funds", "clear", "--perform"]).expect();
    assert_eq!(said, "Cleared 50 around you -> c -> b -> you\n");
    testnet.wait_settled(&["a", "b", "c"]);
    assert_eq!(debts(&testnet), [0, 0, 0]);
}

#[test]
fn a_debt_cycle_vanishes_on_its_own_when_all_allow_it() {
    let mut testnet = debt_cycle("index_publish_interval_ms = 100\nclear_interval_ms = 500");
    for node in ["a", "b", "c"] {
        testnet.stctrl(node, &["config", "set-auto-clear", "on"]).expect();
    }
    // What was allowed stays allowed.
    testnet.stop("b");
    testnet.start("b");
    testnet.wait_until("the debts are gone", |testnet| debts(testnet) == [0, 0, 0]);
    testnet.wait_settled(&["a", "b", "c"]);
    let payments = ["a", "b", "c"].map(|node| testnet.stctrl(node, &["funds", "payments", "--json"]).json());
    let clearings = payments.iter().flat_map(|list| list.as_array().unwrap().clone());
    let clearings: Vec<_> = clearings.filter(|payment| payment["kind"] == "clearing").collect();
    assert_eq!(clearings.iter().map(|payment| amount(&payment["amount"])).sum::<i128>(), 50);
    assert!(clearings.iter().all(|payment| payment["fees"] == "0" && payment["status"] == "paid"), "{clearings:?}");
}
