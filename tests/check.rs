//! `stnode check` and `stnode backup` on the databases of real nodes that have paid each other.

mod testnet;

use std::path::Path;
use testnet::{Said, Testnet, amount};

fn stnode(testnet: &Testnet, arguments: &[&str]) -> Said {
    testnet.run("stnode", arguments)
}

/// b has been paid by a, and owes c nothing.
fn paid() -> Testnet {
    let mut testnet = Testnet::new(testnet::built);
    testnet.relay("relay0");
    for node in ["a", "b", "c"] {
        testnet.node(node, &["relay0"], &[], "");
    }
    testnet.befriend("a", "b", 100);
    testnet.befriend("b", "c", 100);
    testnet.wait_online(&["a", "b", "c"]);
    for sum in ["7", "5"] {
        testnet.stctrl("a", &["funds", "send-funds", "--amount", sum, "--dest", "b"]).expect();
    }
    testnet.invoice("b", 3, "open.invoice");
    testnet.wait_settled(&["a", "b", "c"]);
    testnet
}

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

#[test]
fn a_node_that_was_stopped_or_killed_is_sound_and_says_what_proves_its_balances() {
    let mut testnet = paid();
    stnode(&testnet, &["backup", "--dir", "b", "--output", "b.backup"]).expect();
    for input in [&[][..], &["--input", "b/../b/b.db"]] {
        let refused = stnode(&testnet, &[&["check", "--dir", "b"], input].concat());
        assert_eq!((refused.code, refused.err.contains("another server is running")), (1, true), "{refused:?}");
    }
    // What was paid last is proven once the friend has acknowledged it.
    testnet.wait_until("a has signed for what was paid", |testnet| {
        stnode(testnet, &["backup", "--dir", "b", "--output", "b.backup", "--force"]).expect();
        let text = stnode(testnet, &["check", "--dir", "b", "--input", "b.backup"]).expect();
        text.contains("proves the balance 12, with 0 pending from us and 0 from a")
    });
    // A backup can be checked beside the running node.
    let text = stnode(&testnet, &["check", "--dir", "b", "--input", "b.backup"]).expect();
    assert!(text.contains("a (credit): balance 12\n"), "{text}");
    assert!(text.contains("a's signature on statement "), "{text}");
    assert!(text.contains("proves the balance 12, with 0 pending from us and 0 from a"), "{text}");
    assert!(text.contains("c (credit): balance 0\n") && text.contains("sound: 2 accounts, "), "{text}");

    testnet.kill("b");
    let log = testnet.file("b/b.db-wal");
    let before = [bytes(&testnet.file("b/b.db")), bytes(&log)];
    assert!(!before[1].is_empty(), "what was committed last stands in the log");
    let document = stnode(&testnet, &["check", "--dir", "b", "--json"]).json();
    assert_eq!([bytes(&testnet.file("b/b.db")), bytes(&log)], before, "nothing is changed");
    assert_eq!((&document["sound"], &document["faults"]), (&true.into(), &serde_json::json!([])));
    let account = &document["accounts"].as_array().unwrap().iter().find(|account| account["friend"] == "a").unwrap();
    assert_eq!(amount(&account["proven"]["signed_by_friend"]["balance"]), 12);

    testnet.start("b");
    assert_eq!(testnet.stop("b"), 0);
    assert_eq!(testnet.stop("a"), 0);
    for (node, balance) in [("a", "-12"), ("b", "12")] {
        let document = stnode(&testnet, &["check", "--dir", node, "--json"]).json();
        assert_eq!(document["accounts"][0]["sound"], true, "{document}");
        let balances = document["accounts"].as_array().unwrap();
        assert!(balances.iter().any(|account| account["proven"]["balance"] == balance), "{document}");
    }
}

#[test]
fn damage_is_reported_with_exit_code_1() {
    let mut testnet = paid();
    assert_eq!(testnet.stop("b"), 0);
    let path = testnet.file("b/b.db");
    let sound = bytes(&path);
    // What the file itself shows is found without the seal, as after a kill.
    std::fs::remove_file(testnet.file("b/b.db.seal")).unwrap();
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
        let said = stnode(&testnet, &["check", "--dir", "b"]);
        assert_eq!(said.code, 1, "{places:?}: {said:?}");
        assert!(said.out.contains("NOT SOUND: ") && said.err.contains("b.db is not sound ("), "{said:?}");
        assert_eq!(said.err.lines().count(), 1);
        let said = stnode(&testnet, &["check", "--dir", "b", "--json"]);
        let document: serde_json::Value = serde_json::from_str(&said.out).unwrap();
        assert_eq!((said.code, &document["sound"]), (1, &false.into()));
        assert!(document["error"].as_str().unwrap().contains("is not sound"), "{document}");
    }
    std::fs::write(&path, &sound).unwrap();
    stnode(&testnet, &["check", "--dir", "b"]).expect();
    for (arguments, part) in [
        (["check", "--dir", "nowhere"].as_slice(), "there is no node in the folder nowhere"),
        (&["check", "--dir", "b", "--input", "nowhere"], "there is no database at nowhere"),
        (&["check", "--dir", "b", "--input", "a/a.db"], "the files of two nodes are mixed"),
        (&["check", "--dir", "b", "--input", "b/b.ticket"], "is not the database of an Offst node"),
    ] {
        let said = stnode(&testnet, arguments);
        assert!(said.code == 2 && said.err.contains(part), "{said:?}");
    }
}

/// A stop leaves a seal that covers every byte, also those that mean nothing; it is gone before anything is written.
#[test]
fn after_a_clean_stop_every_changed_byte_is_reported() {
    let mut testnet = paid();
    let [path, seal] = ["b/b.db", "b/b.db.seal"].map(|name| testnet.file(name));
    assert!(!seal.exists(), "nothing is sealed while the node runs");
    assert_eq!(testnet.stop("b"), 0);
    let is_sealed = |testnet: &Testnet, input: &[&str]| {
        stnode(testnet, &[&["check", "--dir", "b", "--json"], input].concat()).json()["sealed"] == true
    };
    let left = [bytes(&path), bytes(&seal)];
    assert!(is_sealed(&testnet, &[]));
    let text = stnode(&testnet, &["check", "--dir", "b"]).expect();
    assert!(text.ends_with(" rows; every byte is what the node left when it stopped\n"), "{text}");

    let mut dice = 11_u64;
    let mut below = |bound: usize| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((dice >> 33) % bound as u64) as usize
    };
    let unused: Vec<usize> = (0..left[0].len()).filter(|place| left[0][*place] == 0).collect();
    let mut places: Vec<usize> = (0..30).map(|_| below(left[0].len())).collect();
    places.extend((0..30).map(|_| unused[below(unused.len())]));
    // The name of the format, the schema's number and the mark by which a database of ours is known.
    places.extend([0, 63, 70]);
    for place in places {
        let mut damaged = left[0].clone();
        damaged[place] ^= 1 << below(8);
        std::fs::write(&path, damaged).unwrap();
        let said = stnode(&testnet, &["check", "--dir", "b"]);
        assert!(
            said.out.contains("NOT SOUND: the file is not what the node left when it stopped"),
            "{place}: {said:?}"
        );
        assert_eq!((said.code, said.err.lines().count()), (1, 1), "{place}: {said:?}");
        assert!(said.err.contains("b.db is not sound ("), "{place}: {said:?}");
    }
    std::fs::write(&path, &left[0]).unwrap();

    // What reads, or fails before it writes, leaves it alone.
    stnode(&testnet, &["backup", "--dir", "b", "--output", "b.backup"]).expect();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let said = stnode(&testnet, &["run", "--dir", "b", "--listen", &listen]);
    assert!(said.code == 1 && said.err.contains("cannot listen at"), "{said:?}");
    assert!(is_sealed(&testnet, &[]));
    assert!([bytes(&path), bytes(&seal)] == left, "nothing was changed");
    // A copy that is made by hand is as good without it, and better with it.
    std::fs::copy(&path, testnet.file("copy.db")).unwrap();
    assert!(!is_sealed(&testnet, &["--input", "copy.db"]) && !is_sealed(&testnet, &["--input", "b.backup"]));
    std::fs::copy(&seal, testnet.file("copy.db.seal")).unwrap();
    assert!(is_sealed(&testnet, &["--input", "copy.db"]));
    std::fs::copy(testnet.file("b.backup"), testnet.file("copy.db")).unwrap();
    let said = stnode(&testnet, &["check", "--dir", "b", "--input", "copy.db"]);
    assert!(said.code == 1 && said.out.contains("or the file was replaced by hand"), "{said:?}");

    testnet.start("b");
    assert!(!seal.exists());
    testnet.kill("b");
    assert!(!seal.exists() && !is_sealed(&testnet, &[]), "a killed node leaves none, and is sound");
    testnet.start("b");
    assert_eq!(testnet.stop("b"), 0);
    assert!(is_sealed(&testnet, &[]));
    stnode(&testnet, &["restore", "--dir", "b", "--input", "b.backup", "--force"]).expect();
    assert!(!seal.exists() && !is_sealed(&testnet, &[]), "what was put back is another file");
}
