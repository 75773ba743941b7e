//! A folder copied to two machines must not sign twice.

mod town;

use town::Town;

#[test]
fn a_displaced_node_stops_using_the_relay_and_says_so() {
    let mut town = Town::row(&["a", "b"], 100, "reconnect_max_ms = 500");

    // The copy has its own port for applications; everything else is the same.
    assert_eq!(town.stop("a"), 0);
    let copy = town.file("copy");
    std::fs::create_dir(&copy).unwrap();
    std::fs::create_dir(copy.join("trusted")).unwrap();
    for ending in ["ident", "db", "toml"] {
        std::fs::copy(town.file(&format!("a/a.{ending}")), copy.join(format!("copy.{ending}"))).unwrap();
    }
    std::fs::copy(town.file("a/trusted/a-app.toml"), copy.join("trusted/a-app.toml")).unwrap();
    let ticket = std::fs::read_to_string(town.file("a/a.ticket")).unwrap();
    let port = ticket.rsplit_once(':').unwrap().1.trim().trim_end_matches('"').to_owned();
    std::fs::write(copy.join("copy.ticket"), ticket.replace(&port, &town::free_port().to_string())).unwrap();
    town.adopt_node("copy");
    town.start("a");
    town.wait_online(&["a", "b"]);

    town.start("copy");
    town.wait_until("the first one was displaced", |town| {
        let relays = town.stctrl("a", &["info", "relays", "--json"]).json();
        relays.to_string().contains("displaced")
    });
    assert!(town.log("a").contains("folder was copied"), "{}", town.log("a"));
    // It does not go back: the copy stays connected to the friend, and the first one stays away.
    town.wait_until("the copy is the friend's friend", |town| town.friends("b")[0]["online"] == true);
    let relays = town.stctrl("a", &["info", "relays"]).expect();
    assert!(relays.contains("displaced"), "{relays}");
    town.wait_until("the first one has no friend any more", |town| town.friends("a")[0]["online"] == false);
}
