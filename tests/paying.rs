//! Paying well, through the real programs: splits, prices, cycles and rings of debts.

mod town;

use serde_json::Value;
use std::process::Stdio;
use town::{Town, amount};

/// a and d with b and c between them; every account has a limit of 60.
fn diamond() -> Town {
    let mut town = Town::new(town::built);
    town.relay("relay0");
    for index in ["index0", "index1"] {
        town.index(index);
    }
    for (index, other) in [("index0", "index1"), ("index1", "index0")] {
        let ticket = town.file(other).join(format!("{other}.server.ticket"));
        std::fs::copy(ticket, town.file(index).join("trusted").join(format!("{other}.ticket"))).unwrap();
    }
    for node in ["a", "b", "c", "d"] {
        town.node(node, &["relay0"], &["index0", "index1"], "index_publish_interval_ms = 100\nroute_reuse_ms = 50");
    }
    for (one, other) in [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")] {
        town.befriend(one, other, 60);
    }
    town.wait_online(&["a", "b", "c", "d"]);
    town
}

/// A quote that succeeds; index servers may still be learning.
fn quote(town: &Town, arguments: &[&str], is_right: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    town.wait_until("the index servers know the way", |town| {
        let said = town.stctrl("a", &[&["funds", "quote", "--json"], arguments].concat());
        last = serde_json::from_str(&said.out).unwrap_or_default();
        said.code == 0 && is_right(&last)
    });
    last
}

fn wealth(town: &Town, node: &str) -> i128 {
    town.friends(node).iter().map(|friend| amount(&friend["currencies"][0]["balance"])).sum()
}

#[test]
fn an_invoice_that_no_line_carries_is_paid_in_two_parts_with_one_receipt() {
    let town = diamond();
    let invoice = town.invoice("d", 100, "large.invoice");
    let offer = quote(&town, &["-i", &invoice], |_| true);
    assert_eq!((&offer["amount"], &offer["fees"], &offer["parts"]), (&"100".into(), &"2".into(), &2.into()));
    let routes: Vec<_> = offer["ways"][0]["parts"].as_array().unwrap().iter().map(|part| &part["route"]).collect();
    let mut mediators: Vec<_> = routes.iter().map(|route| route[0]["name"].as_str().unwrap()).collect();
    mediators.sort_unstable();
    assert_eq!(mediators, ["b", "c"]);
    let text = town.stctrl("a", &["funds", "quote", "-i", &invoice]).expect();
    assert!(text.starts_with("Amount: 100 credit\nFees: 2\nRoute 1, fees 2, 2 parts:\n"), "{text}");
    let dear = town.stctrl("a", &["funds", "quote", "-i", &invoice, "--max-fee", "1"]);
    assert_eq!((dear.code, town.balance("a", "b")), (1, 0), "{dear:?}");

    let paid = town.pay_when_routed("a", &invoice, "large.receipt");
    assert_eq!((&paid["parts"], &paid["fees"]), (&2.into(), &"2".into()));
    let said = town.run("stctrl", &["verify", "receipt", "-i", &invoice, "-r", "large.receipt"]).expect();
    assert_eq!(said, "Receipt is valid!\n");
    town.wait_settled(&["a", "b", "c", "d"]);
    assert_eq!([wealth(&town, "a"), wealth(&town, "d")], [-102, 100]);
}

/// Pays 100 in two parts, and kills c while credits are frozen. Says how the payment ended and what was moved from a and to d.
fn kill_a_mediator(stands_still: bool) -> (String, [i128; 2]) {
    let mut town = diamond();
    let invoice = town.invoice("d", 100, "large.invoice");
    quote(&town, &["-i", &invoice], |offer| offer["parts"] == 2);
    if stands_still {
        town.signal("c", "STOP");
    }
    let mut pays =
        town.control("a", &["funds", "pay-invoice", "-i", &invoice, "-r", "large.receipt", "--timeout", "10"]);
    let pays = pays.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    town.wait_until("the payment has begun", |town| {
        let pending = |friend| amount(&town.account("a", friend)["local_pending_debt"]);
        pending("b") > 0 || pending("c") > 0 || wealth(town, "a") != 0
    });
    town.kill("c");
    pays.wait_with_output().unwrap();
    town.start("c");
    town.wait_online(&["a", "b", "c", "d"]);
    town.wait_settled(&["a", "b", "c", "d"]);
    let payments = town.stctrl("a", &["funds", "payments", "--json"]).json();
    let status = payments[0]["status"].as_str().unwrap().to_owned();
    if status == "paid" {
        // Whoever waited may have been told that it is still under way: the receipt is there all the same.
        let id = payments[0]["payment_id"].as_str().unwrap();
        town.stctrl("a", &["funds", "status", id, "-r", "late.receipt"]).expect();
        town.run("stctrl", &["verify", "receipt", "-i", &invoice, "-r", "late.receipt"]).expect();
    }
    (status, [wealth(&town, "a"), wealth(&town, "d")])
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
    let mut town = diamond();
    let over = |name: &str| {
        let name = name.to_owned();
        move |offer: &Value| offer["ways"][0]["parts"][0]["route"][0]["name"] == name.as_str()
    };
    let key = town.stctrl("d", &["info", "public-key"]).expect().trim().to_owned();
    let gift = ["--amount", "10", "--dest", &key];
    let rate = |town: &Town, node: &str, add: &str| {
        town.stctrl(node, &["config", "set-friend-rate", "-n", "a", "--mul", "0", "--add", add]).expect();
    };
    rate(&town, "c", "5");
    quote(&town, &gift, over("b"));
    let paid = town.stctrl("a", &[&["funds", "send-funds", "--json"], &gift[..]].concat()).json();
    assert_eq!(paid["fees"], "1");
    rate(&town, "b", "9");
    let offer = quote(&town, &gift, over("c"));
    assert_eq!(offer["fees"], "5");
    let paid = town.stctrl("a", &[&["funds", "send-funds", "--json"], &gift[..]].concat()).json();
    assert_eq!(paid["fees"], "5");
    town.wait_settled(&["a", "b", "c", "d"]);
    assert_eq!([town.balance("a", "b"), town.balance("a", "c")], [-11, -15]);
    let refused = town.stctrl("a", &[&["funds", "send-funds", "--max-fee", "4"], &gift[..]].concat());
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("the cheapest way costs 5 in fees, more than --max-fee allows"), "{refused:?}");

    // Nor does anybody pay more than is usual who says nothing of fees.
    rate(&town, "b", "30");
    rate(&town, "c", "25");
    let offer = quote(&town, &gift, |offer: &Value| offer["fees"] == "25");
    assert_eq!(offer["max_fee_default"], "20");
    let bound = "the 20 that this node pays by default: allow it with --max-fee 25";
    let text = town.stctrl("a", &[&["funds", "quote"], &gift[..]].concat()).expect();
    assert!(text.contains(&format!("That is more than {bound}")), "{text}");
    let refused = town.stctrl("a", &[&["funds", "send-funds"], &gift[..]].concat());
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains(&format!("the cheapest way costs 25 in fees, more than {bound}")), "{refused:?}");
    rate(&town, "b", "9");
    rate(&town, "c", "5");
    quote(&town, &gift, over("c"));

    // To d there is only c left, and c is gone as well.
    town.stctrl("a", &["config", "disable-friend", "-n", "b"]).expect();
    town.kill("d");
    let gift = ["funds", "send-funds", "--amount", "10", "--dest", &key, "--timeout", "9"];
    let refused = town.stctrl("a", &gift);
    let knows = ["offline", "no answer", "no route"].iter().any(|word| refused.err.contains(word));
    assert!(refused.code == 1 && knows, "{refused:?}");
    assert_eq!(refused.err.lines().count(), 1);
}

/// What index servers say may be old: b's line to d, of 60, is full but for 12.
#[test]
fn a_line_that_is_fuller_than_the_index_servers_know_says_what_it_has_left() {
    let town = diamond();
    let small = town.invoice("d", 55, "small.invoice");
    quote(&town, &["-i", &small], |offer| offer["ways"].as_array().is_some_and(|ways| ways.len() == 2));
    for node in ["b", "d"] {
        for index in ["index0", "index1"] {
            town.stctrl(node, &["config", "remove-index", "-n", index]).expect();
        }
    }
    town.stctrl("b", &["funds", "send-funds", "--amount", "48", "--dest", "d"]).expect();
    let large = town.invoice("d", 100, "large.invoice");
    let refused = town.stctrl("a", &["funds", "pay-invoice", "-i", &large, "-r", "large.receipt", "--timeout", "5"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("b's line to the seller has only 12 left"), "{refused:?}");
    // c's line holds 60, and so needs some of the 12.
    town.pay_when_routed("a", &town.invoice("d", 70, "middle.invoice"), "middle.receipt");
    town.wait_settled(&["a", "b", "c", "d"]);
    assert_eq!(wealth(&town, "d"), 48 + 70);
}

#[test]
fn credit_moves_around_a_cycle() {
    let town = diamond();
    town.wait_until("a cycle is found", |town| {
        let said = town.stctrl("a", &["funds", "rebalance", "-n", "b", "--amount", "20", "--max-fee", "3"]);
        said.code == 0
    });
    town.wait_settled(&["a", "b", "c", "d"]);
    assert_eq!([town.balance("a", "b"), town.balance("a", "c")], [-23, 20]);
    let refused = town.stctrl("a", &["funds", "rebalance", "-n", "b", "--amount", "20", "--max-fee", "2"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    let history = town.stctrl("a", &["funds", "history", "--json"]).json();
    assert_eq!((&history[0]["kind"], &history[0]["change"]), (&"rebalance".into(), &"-3".into()));
    let stranger = town.stctrl("a", &["funds", "rebalance", "-n", "nobody", "--amount", "20"]);
    assert!(stranger.err.contains("there is no friend named \"nobody\""), "{stranger:?}");
}

/// Three who owe each other in a ring, as after an evening in a pub.
fn ring(settings: &str) -> Town {
    let town = Town::row(&["a", "b", "c"], 100, settings);
    town.befriend("c", "a", 100);
    town.wait_online(&["a", "b", "c"]);
    for (debtor, creditor) in [("a", "b"), ("b", "c"), ("c", "a")] {
        // Over their own line: an index server that knows only of the longer way yet must not add a fee to a debt.
        let arguments = ["funds", "send-funds", "--amount", "50", "--dest", creditor, "--max-fee", "0"];
        town.wait_until("the line is known", |town| town.stctrl(debtor, &arguments).succeeded());
    }
    town.wait_settled(&["a", "b", "c"]);
    town
}

fn debts(town: &Town) -> [i128; 3] {
    [("b", "a"), ("c", "b"), ("a", "c")].map(|(creditor, debtor)| town.balance(creditor, debtor))
}

#[test]
fn a_ring_of_debts_is_cleared_when_it_is_asked_for() {
    let town = ring("index_publish_interval_ms = 100\nclear_interval_ms = 3600000");
    let alone = town.stctrl("a", &["funds", "clear", "--json"]).json();
    assert_eq!((&alone["auto_clear"], &alone["found"]), (&false.into(), &Value::Null));
    for node in ["b", "c"] {
        town.stctrl(node, &["config", "set-auto-clear", "on"]).expect();
    }
    town.wait_until("the ring is found", |town| {
        let found = town.stctrl("a", &["funds", "clear", "--json"]).json();
        found["found"]["amount"] == "50"
    });
    let said = town.stctrl("a", &["funds", "clear"]).expect();
    assert!(said.starts_with("50 can be cleared around you -> c -> b -> you\n"), "{said}");
    assert_eq!(debts(&town), [50, 50, 50], "only looking changes nothing");
    let said = town.stctrl("a", &["funds", "clear", "--perform"]).expect();
    assert_eq!(said, "Cleared 50 around you -> c -> b -> you\n");
    town.wait_settled(&["a", "b", "c"]);
    assert_eq!(debts(&town), [0, 0, 0]);
}

#[test]
fn a_ring_of_debts_vanishes_on_its_own_when_all_allow_it() {
    let mut town = ring("index_publish_interval_ms = 100\nclear_interval_ms = 500");
    for node in ["a", "b", "c"] {
        town.stctrl(node, &["config", "set-auto-clear", "on"]).expect();
    }
    // What was allowed stays allowed.
    town.stop("b");
    town.start("b");
    town.wait_until("the debts are gone", |town| debts(town) == [0, 0, 0]);
    town.wait_settled(&["a", "b", "c"]);
    let payments = ["a", "b", "c"].map(|node| town.stctrl(node, &["funds", "payments", "--json"]).json());
    let clearings = payments.iter().flat_map(|list| list.as_array().unwrap().clone());
    let clearings: Vec<_> = clearings.filter(|payment| payment["kind"] == "clearing").collect();
    assert_eq!(clearings.iter().map(|payment| amount(&payment["amount"])).sum::<i128>(), 50);
    assert!(clearings.iter().all(|payment| payment["fees"] == "0" && payment["status"] == "paid"), "{clearings:?}");
}
