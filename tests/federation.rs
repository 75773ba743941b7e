//! Index servers that trust each other, with the real programs: what nodes publish at one is found at the other.

mod testnet;

use testnet::Testnet;

/// Two index servers, and a - b - c - d, each friend at another index server than the next.
fn chain() -> Testnet {
    let mut testnet = Testnet::new(testnet::built);
    testnet.relay("relay0");
    for index in ["index0", "index1"] {
        testnet.index(index);
    }
    for (number, node) in ["a", "b", "c", "d"].into_iter().enumerate() {
        testnet.node(node, &["relay0"], &[["index0", "index1"][number % 2]], "");
    }
    for (one, other) in [("a", "b"), ("b", "c"), ("c", "d")] {
        testnet.befriend(one, other, 1000);
    }
    testnet.wait_online(&["a", "b", "c", "d"]);
    testnet
}

fn wait_linked(testnet: &Testnet) {
    for index in ["index0", "index1"] {
        testnet
            .wait_until("the index servers are linked", |testnet| testnet.counter(index, "neighbours_connected") == 1);
    }
}

#[test]
fn a_route_is_found_over_nodes_of_two_servers_that_come_and_go() {
    let mut testnet = chain();
    testnet.trust("index0", "index1");
    testnet.trust("index1", "index0");
    wait_linked(&testnet);
    for index in ["index0", "index1"] {
        testnet.wait_until("every server knows all six ends of friendships", |testnet| {
            testnet.counter(index, "edges") == 6
        });
    }
    // Asked at one server and at the other.
    for (buyer, seller) in [("a", "d"), ("d", "a")] {
        let paid =
            testnet.pay_when_routed(buyer, &testnet.invoice(seller, 10, &format!("{seller}.invoice")), "one.receipt");
        assert_eq!((&paid["status"], &paid["fees"]), (&"paid".into(), &"2".into()));
        std::fs::remove_file(testnet.file("one.receipt")).unwrap();
    }

    // What one server is told while the other one is down, the other one learns when it is up again.
    testnet.kill("index1");
    testnet.wait_until("the link has ended", |testnet| testnet.counter("index0", "neighbours_connected") == 0);
    testnet.node("e", &["relay0"], &["index0"], "");
    testnet.befriend("e", "a", 1000);
    testnet.wait_online(&["e"]);
    testnet.wait_until("the one that stayed knows e", |testnet| testnet.counter("index0", "edges") == 8);
    let paid = testnet.pay_when_routed("e", &testnet.invoice("d", 10, "down.invoice"), "down.receipt");
    assert_eq!(paid["status"], "paid", "the server that stayed still knows the way");
    testnet.start("index1");
    wait_linked(&testnet);
    testnet.wait_until("the one that was away knows e", |testnet| testnet.counter("index1", "edges") == 8);
    let paid = testnet.pay_when_routed("d", &testnet.invoice("e", 10, "up.invoice"), "up.receipt");
    assert_eq!(paid["status"], "paid");

    // One that stops in order keeps what it knows in its folder, also without any neighbour.
    assert_eq!(testnet.stop("index0"), 0);
    assert_eq!(testnet.stop("index1"), 0);
    assert!(testnet.file("index1/index1.updates").is_file());
    for node in ["a", "b", "c", "d", "e"] {
        testnet.kill(node);
    }
    testnet.start("index1");
    testnet.wait_until("it knows all ends again", |testnet| testnet.counter("index1", "edges") == 8);
}

#[test]
fn a_link_that_one_side_trusts_carries_nothing_and_is_logged() {
    let testnet = chain();
    testnet.trust("index0", "index1");
    testnet.wait_until("both say so", |testnet| {
        testnet.log("index0").contains("it does not trust this server: its operator has to put this server's ticket")
            && testnet.log("index1").contains("it is not trusted here; to federate with it put its server ticket")
    });
    testnet.wait_until("a and c have published", |testnet| testnet.counter("index0", "edges") == 3);
    testnet.wait_until("b and d have published", |testnet| testnet.counter("index1", "edges") == 3);
    for index in ["index0", "index1"] {
        for counter in ["neighbours_connected", "federation_bytes_sent", "federation_bytes_received"] {
            assert_eq!(testnet.counter(index, counter), 0, "{index}: {counter}");
        }
    }
    let invoice = testnet.invoice("d", 10, "one.invoice");
    let refused = testnet.stctrl("a", &["funds", "pay-invoice", "-i", &invoice, "-r", "one.receipt"]);
    assert_eq!(refused.code, 1, "{refused:?}");

    // Trusted while both run, it works; when the ticket is taken away, it ends.
    testnet.trust("index1", "index0");
    wait_linked(&testnet);
    assert_eq!(testnet.pay_when_routed("a", &invoice, "one.receipt")["status"], "paid");
    testnet.distrust("index0", "index1");
    for index in ["index0", "index1"] {
        testnet.wait_until("the link has ended", |testnet| testnet.counter(index, "neighbours_connected") == 0);
    }
    assert!(testnet.log("index0").contains("is no longer trusted: index1.server.ticket is gone"));
}
