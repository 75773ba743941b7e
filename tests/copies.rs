//! A folder copied to two machines must not sign twice.

mod testnet;

use testnet::Testnet;

#[test]
fn a_displaced_node_stops_using_the_relay_and_says_so() {
    let mut testnet = Testnet::row(&["a", "b"], 100, "reconnect_max_ms = 500");

    // The copy has its own port for applications; everything else is the same.
    assert_eq!(testnet.stop("a"), 0);
    let copy = testnet.file("copy");
    std::fs::create_dir(&copy).unwrap();
    std::fs::create_dir(copy.join("trusted")).unwrap();
    for ending in ["ident", "db", "toml"] {
        std::fs::copy(testnet.file(&format!("a/a.{ending}")), copy.join(format!("copy.{ending}"))).unwrap();
    }
    std::fs::copy(testnet.file("a/trusted/a-app.toml"), copy.join("trusted/a-app.toml")).unwrap();
    let ticket = std::fs::read_to_string(testnet.file("a/a.ticket")).unwrap();
    let port = ticket.rsplit_once(':').unwrap().1.trim().trim_end_matches('"').to_owned();
    std::fs::write(copy.join("copy.ticket"), ticket.replace(&port, &testnet::free_port().to_string())).unwrap();
    testnet.adopt_node("copy");
    testnet.start("a");
    testnet.wait_online(&["a", "b"]);

    testnet.start("copy");
    testnet.wait_until("the first one was displaced", |testnet| {
        let relays = testnet.stctrl("a", &["info", "relays", "--json"]).json();
        relays.to_string().contains("displaced")
    });
    assert!(testnet.log("a").contains("folder was copied"), "{}", testnet.log("a"));
    // It does not go back: the copy stays connected to the friend, and the first one stays away.
    testnet.wait_until("the copy is the friend's friend", |testnet| testnet.friends("b")[0]["online"] == true);
    let relays = testnet.stctrl("a", &["info", "relays"]).expect();
    assert!(relays.contains("displaced"), "{relays}");
    testnet.wait_until("the first one has no friend any more", |testnet| testnet.friends("a")[0]["online"] == false);
}
