//! What `cargo bench -p offst-index-server` measures, in small: it works and prints what it promises. No time is judged.

#[path = "../benches/index/clock.rs"]
mod clock;
#[path = "../benches/index/measure.rs"]
mod measure;
#[path = "../benches/index/networks.rs"]
mod networks;
#[path = "../benches/index/whole.rs"]
mod whole;

use networks::Kind;
use serde_json::Value;

fn number(report: &Value, path: &str) -> f64 {
    report.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path} is a number in {report}"))
}

fn assert_measured(kind: Kind) {
    let extent = whole::Extent { queries: 20, rounds: 1, seconds: 0.05, only_updates: false };
    let report = whole::network(kind, "small", 1000, &extent);
    assert!(number(&report, "/friendships") > 4_900.0);
    // The bound holds for a network of any size.
    assert!(number(&report, "/loading/search_bytes_per_friendship") <= 64.0, "{report}");
    let searches = report["searches"].as_array().unwrap();
    assert_eq!(searches.len(), measure::LOADS.len());
    // For an amount that nearly every friendship holds there is a route, and no search of a network as small as this is cut.
    for search in searches.iter().filter(|search| search["queries"].as_str().unwrap().ends_with(", 100 credits")) {
        assert_eq!((number(search, "/answered"), number(search, "/cut")), (1.0, 0.0), "{search}");
        assert!(number(search, "/median_ms") <= number(search, "/p99_ms"));
    }
    for path in [
        "/dijkstra/ratio",
        "/updates/alone_per_second",
        "/updates/queries_without_updates/queries_per_second",
        "/updates/queries_with_updates_without_pause/updates_per_second",
    ] {
        assert!(number(&report, path) > 0.0, "{path} in {report}");
    }
}

#[test]
fn a_scale_free_network_is_measured() {
    assert_measured(Kind::ScaleFree);
}

#[test]
fn a_small_world_is_measured() {
    assert_measured(Kind::SmallWorld);
}

#[test]
fn signed_updates_are_measured() {
    let report = measure::signed(50);
    assert!(number(&report, "/signed_updates_per_second") > 0.0);
    // Ten edges a node, each of them a key and more.
    assert!(number(&report, "/signed_bytes_per_friendship") > 64.0);
}
