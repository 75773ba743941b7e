//! Index servers that trust each other, with the real programs: what nodes publish at one is found at the other.

mod town;

use town::Town;

/// Two index servers, and a - b - c - d, each friend at another index server than the next.
fn chain() -> Town {
    let mut town = Town::new(town::built);
    town.relay("relay0");
    for index in ["index0", "index1"] {
        town.index(index);
    }
    for (number, node) in ["a", "b", "c", "d"].into_iter().enumerate() {
        town.node(node, &["relay0"], &[["index0", "index1"][number % 2]], "");
    }
    for (one, other) in [("a", "b"), ("b", "c"), ("c", "d")] {
        town.befriend(one, other, 1000);
    }
    town.wait_online(&["a", "b", "c", "d"]);
    town
}

fn wait_linked(town: &Town) {
    for index in ["index0", "index1"] {
        town.wait_until("the index servers are linked", |town| town.counter(index, "neighbours_connected") == 1);
    }
}

#[test]
fn a_way_is_found_over_nodes_of_two_servers_that_come_and_go() {
    let mut town = chain();
    town.trust("index0", "index1");
    town.trust("index1", "index0");
    wait_linked(&town);
    for index in ["index0", "index1"] {
        town.wait_until("every server knows all six ends of friendships", |town| town.counter(index, "edges") == 6);
    }
    // Asked at one server and at the other.
    for (buyer, seller) in [("a", "d"), ("d", "a")] {
        let paid = town.pay_when_routed(buyer, &town.invoice(seller, 10, &format!("{seller}.invoice")), "one.receipt");
        assert_eq!((&paid["status"], &paid["fees"]), (&"paid".into(), &"2".into()));
        std::fs::remove_file(town.file("one.receipt")).unwrap();
    }

    // What one server is told while the other one is down, the other one learns when it is up again.
    town.kill("index1");
    town.wait_until("the link has ended", |town| town.counter("index0", "neighbours_connected") == 0);
    town.node("e", &["relay0"], &["index0"], "");
    town.befriend("e", "a", 1000);
    town.wait_online(&["e"]);
    town.wait_until("the one that stayed knows e", |town| town.counter("index0", "edges") == 8);
    let paid = town.pay_when_routed("e", &town.invoice("d", 10, "down.invoice"), "down.receipt");
    assert_eq!(paid["status"], "paid", "the server that stayed still knows the way");
    town.start("index1");
    wait_linked(&town);
    town.wait_until("the one that was away knows e", |town| town.counter("index1", "edges") == 8);
    let paid = town.pay_when_routed("d", &town.invoice("e", 10, "up.invoice"), "up.receipt");
    assert_eq!(paid["status"], "paid");

    // One that stops in order keeps what it knows in its folder, also without any neighbour.
    assert_eq!(town.stop("index0"), 0);
    assert_eq!(town.stop("index1"), 0);
    assert!(town.file("index1/index1.updates").is_file());
    for node in ["a", "b", "c", "d", "e"] {
        town.kill(node);
    }
    town.start("index1");
    town.wait_until("it knows all ends again", |town| town.counter("index1", "edges") == 8);
}

#[test]
fn a_link_that_one_side_trusts_carries_nothing_and_is_logged() {
    let town = chain();
    town.trust("index0", "index1");
    town.wait_until("both say so", |town| {
        town.log("index0").contains("it does not trust this server: its operator has to put this server's ticket")
            && town.log("index1").contains("it is not trusted here; to federate with it put its server ticket")
    });
    town.wait_until("a and c have published", |town| town.counter("index0", "edges") == 3);
    town.wait_until("b and d have published", |town| town.counter("index1", "edges") == 3);
    for index in ["index0", "index1"] {
        for counter in ["neighbours_connected", "federation_bytes_sent", "federation_bytes_received"] {
            assert_eq!(town.counter(index, counter), 0, "{index}: {counter}");
        }
    }
    let invoice = town.invoice("d", 10, "one.invoice");
    let refused = town.stctrl("a", &["funds", "pay-invoice", "-i", &invoice, "-r", "one.receipt"]);
    assert_eq!(refused.code, 1, "{refused:?}");

    // Trusted while both run, it works; when the ticket is taken away, it ends.
    town.trust("index1", "index0");
    wait_linked(&town);
    assert_eq!(town.pay_when_routed("a", &invoice, "one.receipt")["status"], "paid");
    town.distrust("index0", "index1");
    for index in ["index0", "index1"] {
        town.wait_until("the link has ended", |town| town.counter(index, "neighbours_connected") == 0);
    }
    assert!(town.log("index0").contains("is no longer trusted: index1.server.ticket is gone"));
}
