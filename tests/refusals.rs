//! What goes wrong around a running node, each with one readable sentence and the right exit code.

mod testnet;

use testnet::Testnet;

fn lonely_node() -> Testnet {
    let mut testnet = Testnet::new(testnet::built);
    testnet.relay("relay0");
    testnet.node("a", &["relay0"], &[], "");
    testnet
}

#[test]
fn an_app_without_the_permission_is_told_which_one() {
    let testnet = lonely_node();
    testnet.run("stctrl", &["init", "--dir", "app1"]).expect();
    let untrusted = ["-I", "app1/app1.ident", "-T", "a/a.ticket", "info", "friends"];
    testnet.run("stctrl", &untrusted).assert_refused(1, &["stnode trust"]);
    let trust = ["trust", "--dir", "a", "--app", "app1/app1.ticket", "--permissions", "seller"];
    testnet.run("stnode", &trust).expect();
    testnet.wait_until("the running node has seen it", |testnet| testnet.run("stctrl", &untrusted).code == 0);

    let with_app1 = |arguments: &[&str]| {
        let all = [&["-I", "app1/app1.ident", "-T", "a/a.ticket"], arguments].concat();
        testnet.run("stctrl", &all)
    };
    with_app1(&["seller", "create-invoice", "-a", "5", "-o", "five.invoice"]).expect();
    let denied = with_app1(&["funds", "pay-invoice", "-i", "five.invoice", "-r", "five.receipt"]);
    denied.assert_refused(1, &["permission denied: buyer"]);
    with_app1(&["config", "remove-relay", "-n", "relay0"]).assert_refused(1, &["permission denied: config"]);
    let json = with_app1(&["funds", "pay-invoice", "-i", "five.invoice", "--json"]);
    assert_eq!(json.code, 1);
    let document: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert!(document["error"].as_str().unwrap().contains("permission denied: buyer"), "{document}");
}

#[test]
fn a_ticket_with_another_key_is_refused_before_anything_is_sent() {
    let mut testnet = lonely_node();
    testnet.init_node("other", &["relay0"], &[], "");
    // The other node's key at this node's address.
    let address = std::fs::read_to_string(testnet.file("a/a.ticket")).unwrap();
    let address = address.lines().find(|line| line.starts_with("address")).unwrap().to_owned();
    let other = std::fs::read_to_string(testnet.file("other/other.ticket")).unwrap();
    let forged: String = other
        .lines()
        .map(|line| if line.starts_with("address") { format!("{address}\n") } else { format!("{line}\n") })
        .collect();
    std::fs::write(testnet.file("forged.ticket"), forged).unwrap();
    let said = testnet.run("stctrl", &["-I", "a-app/a-app.ident", "-T", "forged.ticket", "info", "friends"]);
    said.assert_refused(1, &["key"]);
}

#[test]
fn wrong_files_and_servers_that_are_down() {
    let mut testnet = lonely_node();
    std::fs::write(testnet.file("broken.ticket"), "kind = \"node\"\npublic_key = \"???").unwrap();
    let with_ticket =
        |ticket: &str| testnet.run("stctrl", &["-I", "a-app/a-app.ident", "-T", ticket, "info", "friends"]);
    with_ticket("broken.ticket").assert_refused(2, &["broken.ticket"]);
    with_ticket("nowhere.ticket").assert_refused(2, &["nowhere.ticket"]);
    with_ticket("relay0/relay0.ticket").assert_refused(2, &["relay"]);
    std::fs::write(testnet.file("broken.ident"), "-----BEGIN PRIVATE KEY-----\nAAAA\n").unwrap();
    let said = testnet.run("stctrl", &["-I", "broken.ident", "-T", "a/a.ticket", "info", "friends"]);
    said.assert_refused(2, &["broken.ident"]);
    std::fs::write(testnet.file("broken.invoice"), "offst1abc").unwrap();
    testnet.stctrl("a", &["funds", "pay-invoice", "-i", "broken.invoice"]).assert_refused(2, &["damaged"]);
    testnet.stctrl("a", &["config", "add-relay", "-n", "r", "-r", "a/a.ticket"]).assert_refused(2, &["relay"]);

    let ticket = std::fs::read_to_string(testnet.file("a/a.ticket")).unwrap();
    let unknown_host: String = ticket
        .lines()
        .map(|line| {
            if line.starts_with("address") {
                "address = \"no.such.host.invalid:1\"\n".into()
            } else {
                format!("{line}\n")
            }
        })
        .collect();
    std::fs::write(testnet.file("unknown-host.ticket"), unknown_host).unwrap();
    with_ticket("unknown-host.ticket").assert_refused(1, &["no.such.host.invalid:1"]);
    assert_eq!(testnet.stop("a"), 0);
    testnet.stctrl("a", &["info", "friends"]).assert_refused(1, &["cannot connect"]);
}

#[test]
fn balances_that_do_not_negate_are_shown_on_both_sides_and_settled() {
    let mut testnet = lonely_node();
    testnet.node("b", &["relay0"], &[], "");
    for (node, friend, balance) in [("a", "b", "10"), ("b", "a", "-7")] {
        let ticket = format!("{friend}.friend");
        testnet.stctrl(friend, &["info", "export-ticket", "-o", &ticket]).expect();
        let add = ["config", "add-friend", "-n", friend, "-f", &ticket, "--balance", balance, "--max-debt", "100"];
        testnet.stctrl(node, &add).expect();
    }
    for (node, friend) in [("a", "b"), ("b", "a")] {
        testnet.wait_until("both have seen the disagreement", |testnet| {
            testnet.account(node, friend)["status"] == "inconsistent"
        });
    }
    let table = testnet.stctrl("a", &["info", "friends"]).expect();
    assert!(table.contains("| I") && table.contains("10") && table.contains('7'), "{table}");
    // a accepts what b says.
    let accepted = testnet.stctrl("a", &["config", "reset-friend", "-n", "b"]).expect();
    assert!(accepted.contains("was 10 and is 7"), "{accepted}");
    for (node, friend, balance) in [("a", "b", 7), ("b", "a", -7)] {
        testnet
            .wait_until("the account is consistent", |testnet| testnet.account(node, friend)["status"] == "consistent");
        assert_eq!(testnet.balance(node, friend), balance);
    }
    testnet.stctrl("a", &["config", "reset-friend", "-n", "b"]).assert_refused(1, &["nothing to reset"]);
    testnet.stctrl("a", &["config", "remove-friend", "-n", "b"]).assert_refused(1, &["--forgive"]);
    testnet.stctrl("a", &["config", "open-friend", "-n", "zoe"]).assert_refused(1, &["zoe"]);
}

#[test]
fn an_output_file_that_exists_is_refused_before_anything_is_paid() {
    let mut testnet = lonely_node();
    testnet.node("b", &["relay0"], &[], "");
    std::fs::write(testnet.file("here.receipt"), "precious").unwrap();
    testnet.stctrl("b", &["seller", "create-invoice", "-a", "5", "-o", "five.invoice"]).expect();
    let said = testnet.stctrl("a", &["funds", "pay-invoice", "-i", "five.invoice", "-r", "here.receipt"]);
    said.assert_refused(2, &["here.receipt"]);
    assert_eq!(std::fs::read_to_string(testnet.file("here.receipt")).unwrap(), "precious");
    let payments = testnet.stctrl("a", &["funds", "payments", "--json"]).json();
    assert_eq!(payments, serde_json::json!([]));
}
