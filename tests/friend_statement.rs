//! Proof of debt: what a node writes down of a friend's signatures, and what a third person reads in it.

mod testnet;

use std::os::unix::fs::PermissionsExt;
use testnet::{Said, Testnet};

/// What a person without a node makes of a file.
fn verify(testnet: &Testnet, file: &str) -> Said {
    testnet.run("stctrl", &["verify", "statement", file])
}

#[test]
fn a_friend_statement_proves_to_others_what_the_friend_owes() {
    let mut testnet = Testnet::row(&["a", "b"], 100, "");
    testnet.stctrl("a", &["funds", "send-funds", "--amount", "40", "--dest", "b"]).expect();
    testnet.wait_until("a has signed for what was paid", |testnet| {
        let written = testnet.stctrl("b", &["info", "friend-statement", "-n", "a", "-o", "a.statement", "--force"]);
        written.expect().contains("credit: the friend owes the node 40, by the friend's signature on statement ")
    });
    let [a, b] = ["a", "b"].map(|node| testnet.stctrl(node, &["info", "public-key"]).expect());
    assert_eq!(testnet.file("a.statement").metadata().unwrap().permissions().mode() & 0o777, 0o600);

    // Refused before the node is asked: there is no friend of this name.
    let again = testnet.stctrl("b", &["info", "friend-statement", "-n", "nobody", "-o", "a.statement"]);
    again.assert_refused(2, &["a.statement exists already: give --force to overwrite it"]);
    let nobody = testnet.stctrl("b", &["info", "friend-statement", "-n", "nobody", "-o", "new.statement"]);
    nobody.assert_refused(1, &["there is no friend named \"nobody\""]);
    let hours =
        testnet.stctrl("b", &["info", "friend-statement", "-n", "a", "--currency", "hours", "-o", "new.statement"]);
    hours.assert_refused(1, &["there is no account in hours with \"a\""]);
    assert!(!testnet.file("new.statement").exists());

    // The other side's statement says the same.
    let arguments = ["info", "friend-statement", "-n", "b", "-o", "b.statement", "--json"];
    let document = testnet.stctrl("a", &arguments).json();
    assert_eq!((&document["accounts"][0]["balance"], &document["shortened"]), (&"-40".into(), &false.into()));

    // Nobody has to run.
    for node in ["a", "b"] {
        testnet.kill(node);
    }
    let said = verify(&testnet, "a.statement").expect();
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines[0], "The statement is valid!", "{said}");
    assert_eq!((lines[1], lines[2]), (&*format!("node:   {}", b.trim()), &*format!("friend: {}", a.trim())), "{said}");
    assert!(lines[3].starts_with("credit: the friend owes the node 40, by the friend's signature on statement "));
    assert!(lines[4].starts_with("No time is signed"), "{said}");
    let document = testnet.run("stctrl", &["verify", "statement", "a.statement", "--json"]).json();
    assert_eq!((&document["valid"], &document["node"]), (&true.into(), &b.trim().into()));
    let account = &document["accounts"][0];
    assert_eq!((&account["currency"], &account["balance"]), (&"credit".into(), &"40".into()));
    assert_eq!((&account["friend_pending_debt"], &account["node_pending_debt"]), (&"0".into(), &"0".into()));

    // Of the other account, with the other's name on it, damaged, or no statement at all.
    let text = std::fs::read_to_string(testnet.file("a.statement")).unwrap();
    let put = |name: &str, content: &str| std::fs::write(testnet.file(name), content).unwrap();
    let ticket = testnet.run("stctrl", &["verify", "ticket", "relay0/relay0.ticket", "--json"]).json();
    let stranger = ticket["public_key"].as_str().unwrap();
    for (key, name) in [(a.trim(), "friend"), (b.trim(), "node")] {
        put("forged", &text.replace(&format!("{name} = \"{key}\""), &format!("{name} = \"{stranger}\"")));
        verify(&testnet, "forged").assert_refused(1, &["the statement is not valid: ", "belongs to another account"]);
    }
    // The last bytes of a line are its signature.
    let line = text.lines().find(|line| line.starts_with("friend_opening")).unwrap();
    let forged = format!("{}AAAA\"", &line[..line.len() - 5]);
    put("forged", &text.replace(line, &forged));
    verify(&testnet, "forged").assert_refused(1, &["the opening of epoch 0 does not bear the signature of ", a.trim()]);
    put("cut", &text[..text.len() / 2]);
    put("other", &std::fs::read_to_string(testnet.file("a/a.ticket")).unwrap());
    for file in ["cut", "other"] {
        verify(&testnet, file).assert_refused(2, &[file, "this is not a friend statement: "]);
    }
    verify(&testnet, "missing").assert_refused(2, &["missing cannot be read: there is no such file"]);
    put("large", &"#".repeat(1 << 20));
    verify(&testnet, "large").assert_refused(2, &["large is too large"]);
}
