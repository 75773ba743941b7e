//! Payments through the four real programs.

// Its `main` is not called here.
#[allow(dead_code)]
#[path = "../examples/shop.rs"]
mod shop;
mod testnet;

use testnet::Testnet;

/// a - b - c, each account with a limit of 100.
fn chain() -> Testnet {
    Testnet::row(&["a", "b", "c"], 100, "")
}

#[test]
fn a_pays_c_through_b_and_the_limit_holds() {
    let testnet = chain();
    let paid = testnet.pay_when_routed("a", &testnet.invoice("c", 60, "one.invoice"), "one.receipt");
    assert_eq!(paid["status"], "paid");
    assert_eq!((&paid["amount"], &paid["fees"]), (&"60".into(), &"1".into()));
    let said = testnet.run("stctrl", &["verify", "receipt", "-i", "one.invoice", "-r", "one.receipt"]).expect();
    assert_eq!(said, "Receipt is valid!\n");
    testnet.wait_settled(&["a", "b", "c"]);
    let balances =
        || [("a", "b"), ("b", "a"), ("b", "c"), ("c", "b")].map(|(node, friend)| testnet.balance(node, friend));
    assert_eq!(balances(), [-61, 61, -60, 60]);

    // 60 more do not fit into a line of 100.
    let invoice = testnet.invoice("c", 60, "two.invoice");
    let refused = testnet.stctrl("a", &["funds", "pay-invoice", "-i", &invoice, "-r", "two.receipt"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert_eq!(refused.err.lines().count(), 1, "{refused:?}");
    // The index server may know it already, or the mediator says it.
    assert!(["route", "room", "left"].iter().any(|word| refused.err.contains(word)), "{refused:?}");
    assert!(!testnet.file("two.receipt").exists());
    testnet.wait_settled(&["a", "b", "c"]);
    assert_eq!(balances(), [-61, 61, -60, 60]);

    // c pays a back.
    let paid = testnet.pay_when_routed("c", &testnet.invoice("a", 60, "back.invoice"), "back.receipt");
    assert_eq!(paid["fees"], "1");
    testnet.wait_settled(&["a", "b", "c"]);
    assert_eq!(balances(), [-1, 1, 1, -1]);
    let table = testnet.stctrl("a", &["info", "friends"]).expect();
    assert_eq!(
        table,
        "| st | name | balance       |\n\
         | E+ | b    | C: LR=+, RR=+ |\n\
         |    |      | B  =-1        |\n\
         |    |      | LMD=100       |\n\
         |    |      | RMD=100       |\n\
         |    |      | LPD=0         |\n\
         |    |      | RPD=0         |\n"
    );
}

/// The example program for shops: an application of its own beside `stctrl`.
#[test]
fn the_shop_example_sells() {
    let testnet = Testnet::row(&["a", "b"], 100, "");
    let [identity, ticket] = ["b-app/b-app.ident", "b/b.ticket"].map(|file| testnet.file(file).display().to_string());
    let (lines, said) = std::sync::mpsc::channel();
    let till = std::thread::spawn(move || {
        let say = move |line| lines.send(line).unwrap();
        shop::sell(&identity, &ticket, "7", "a cup of tea".into(), say).map_err(|error| error.to_string())
    });
    testnet.pay_when_routed("a", &said.recv().unwrap(), "tea.receipt");
    assert_eq!(till.join().unwrap(), Ok(offst_proto::report::InvoiceStatus::Paid));
    assert_eq!(said.recv().unwrap(), "paid, thank you");
    assert_eq!(testnet.balance("b", "a"), 7);
}

/// The route to a friend needs no index server.
#[test]
fn a_friend_is_paid_without_an_index_server() {
    let mut testnet = Testnet::new(testnet::built);
    testnet.relay("relay0");
    for node in ["a", "b"] {
        testnet.node(node, &["relay0"], &[], "");
    }
    testnet.befriend("a", "b", 100);
    testnet.wait_online(&["a", "b"]);
    let said =
        testnet.stctrl("a", &["funds", "send-funds", "--amount", "7", "--dest", "b", "-r", "spontaneous.receipt"]);
    assert_eq!(said.expect(), "Payment successful!\nFees: 0\n");
    let said = testnet.run("stctrl", &["verify", "receipt", "-r", "spontaneous.receipt"]);
    assert_eq!(said.expect(), "Receipt is valid!\n");
    assert_eq!(testnet.balance("b", "a"), 7);
    let refused = testnet.stctrl("a", &["funds", "send-funds", "--amount", "94", "--dest", "b"]);
    assert_eq!((refused.code, testnet.balance("b", "a")), (1, 7), "{refused:?}");
}
