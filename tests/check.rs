//! `stnode check` and `stnode backup` on the databases of real nodes that have paid each other.

mod town;

use std::path::Path;
use town::{Said, Town, amount};

fn stnode(town: &Town, arguments: &[&str]) -> Said {
    town.run("stnode", arguments)
}

/// b has been paid by a, and owes c nothing.
fn paid() -> Town {
    let mut town = Town::new(town::built);
    town.relay("relay0");
    for node in ["a", "b", "c"] {
        town.node(node, &["relay0"], &[], "");
    }
    town.befriend("a", "b", 100);
    town.befriend("b", "c", 100);
    town.wait_online(&["a", "b", "c"]);
    for sum in ["7", "5"] {
        town.stctrl("a", &["funds", "send-funds", "--amount", sum, "--dest", "b"]).expect();
    }
    town.invoice("b", 3, "open.invoice");
    town.wait_settled(&["a", "b", "c"]);
    town
}

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

#[test]
fn a_node_that_was_stopped_or_killed_is_sound_and_says_what_proves_its_balances() {
    let mut town = paid();
    stnode(&town, &["backup", "--dir", "b", "--output", "b.backup"]).expect();
    for input in [&[][..], &["--input", "b/../b/b.db"]] {
        let refused = stnode(&town, &[&["check", "--dir", "b"], input].concat());
        assert_eq!((refused.code, refused.err.contains("another server is running")), (1, true), "{refused:?}");
    }
    // What was paid last is proven once the friend has acknowledged it.
    town.wait_until("a has signed for what was paid", |town| {
        stnode(town, &["backup", "--dir", "b", "--output", "b.backup", "--force"]).expect();
        let text = stnode(town, &["check", "--dir", "b", "--input", "b.backup"]).expect();
        text.contains("proves the balance 12, with 0 frozen by us and 0 by a")
    });
    // A backup can be checked beside the running node.
    let text = stnode(&town, &["check", "--dir", "b", "--input", "b.backup"]).expect();
    assert!(text.contains("a (credit): balance 12\n"), "{text}");
    assert!(text.contains("a's signature on statement "), "{text}");
    assert!(text.contains("proves the balance 12, with 0 frozen by us and 0 by a"), "{text}");
    assert!(text.contains("c (credit): balance 0\n") && text.contains("sound: 2 accounts, "), "{text}");

    town.kill("b");
    let log = town.file("b/b.db-wal");
    let before = [bytes(&town.file("b/b.db")), bytes(&log)];
    assert!(!before[1].is_empty(), "what was committed last stands in the log");
    let document = stnode(&town, &["check", "--dir", "b", "--json"]).json();
    assert_eq!([bytes(&town.file("b/b.db")), bytes(&log)], before, "nothing is changed");
    assert_eq!((&document["sound"], &document["faults"]), (&true.into(), &serde_json::json!([])));
    let account = &document["accounts"].as_array().unwrap().iter().find(|account| account["friend"] == "a").unwrap();
    assert_eq!(amount(&account["proven"]["signed_by_friend"]["balance"]), 12);

    town.start("b");
    assert_eq!(town.stop("b"), 0);
    assert_eq!(town.stop("a"), 0);
    for (node, balance) in [("a", "-12"), ("b", "12")] {
        let document = stnode(&town, &["check", "--dir", node, "--json"]).json();
        assert_eq!(document["accounts"][0]["sound"], true, "{document}");
        let balances = document["accounts"].as_array().unwrap();
        assert!(balances.iter().any(|account| account["proven"]["balance"] == balance), "{document}");
    }
}

#[test]
fn damage_is_reported_with_exit_code_1() {
    let mut town = paid();
    assert_eq!(town.stop("b"), 0);
    let path = town.file("b/b.db");
    let sound = bytes(&path);
    // Rows that were deleted are still in the file, so every copy of a text is changed.
    let texts = |text: &'static [u8], behind: usize| -> Vec<usize> {
        let all = sound.windows(text.len()).enumerate().filter(|(_, window)| *window == text);
        all.map(|(place, _)| place + behind).collect()
    };
    for places in [vec![20], texts(b"offst/statement", 100), texts(b"offst/opening", 0), texts(b"CREATE TABLE", 0)] {
        let mut damaged = sound.clone();
        places.iter().for_each(|place| damaged[*place] ^= 0x10);
        assert!(damaged != sound);
        std::fs::write(&path, damaged).unwrap();
        let said = stnode(&town, &["check", "--dir", "b"]);
        assert_eq!(said.code, 1, "{places:?}: {said:?}");
        assert!(said.out.contains("NOT SOUND: ") && said.err.contains("b.db is not sound ("), "{said:?}");
        assert_eq!(said.err.lines().count(), 1);
        let said = stnode(&town, &["check", "--dir", "b", "--json"]);
        let document: serde_json::Value = serde_json::from_str(&said.out).unwrap();
        assert_eq!((said.code, &document["sound"]), (1, &false.into()));
        assert!(document["error"].as_str().unwrap().contains("is not sound"), "{document}");
    }
    std::fs::write(&path, &sound).unwrap();
    stnode(&town, &["check", "--dir", "b"]).expect();
    for (arguments, part) in [
        (["check", "--dir", "nowhere"].as_slice(), "there is no node in the folder nowhere"),
        (&["check", "--dir", "b", "--input", "nowhere"], "there is no database at nowhere"),
        (&["check", "--dir", "b", "--input", "a/a.db"], "the files of two nodes are mixed"),
        (&["check", "--dir", "b", "--input", "b/b.ticket"], "is not the database of an Offst node"),
    ] {
        let said = stnode(&town, arguments);
        assert!(said.code == 2 && said.err.contains(part), "{said:?}");
    }
}
