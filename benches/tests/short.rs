//! The load program in its shortest form: it works and says what it promises. Nothing is judged by time.

use serde_json::Value;
use std::process::Command;

fn bench(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_offst-bench")).args(arguments).arg("--json").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn assert_measured(document: &Value) {
    assert_eq!(document["failed"], 0, "{document}");
    for field in ["payments", "payments_per_second", "fsyncs_per_payment", "wire_bytes_per_payment"] {
        assert!(document[field].as_f64().unwrap() > 0.0, "{field} in {document}");
    }
    for field in ["cpu_ms_per_payment", "servers_cpu_ms_per_payment", "disk_bytes_per_payment"] {
        assert!(document[field].as_f64().unwrap() >= 0.0, "{field} in {document}");
    }
    let latency = &document["latency_ms"];
    let percentiles = ["p50", "p95", "p99"].map(|name| latency[name].as_f64().unwrap());
    assert!(percentiles.is_sorted(), "{document}");
    assert!(document["floor_payments_per_second"].as_f64().unwrap() > 0.0, "{document}");
}

#[test]
fn a_second_of_load_in_each_shape() {
    for shape in [&["chain", "--hops", "2"][..], &["star", "--spokes", "3"], &["village", "--nodes", "5"]] {
        assert_measured(&bench(&[shape, &["--in-flight", "8", "--seconds", "1"]].concat()));
    }
}

#[test]
fn people_of_a_file_trade() {
    let folder = tempfile::tempdir().unwrap();
    let trust = folder.path().join("trust.csv");
    // The last one trusts nobody, and is not trusted.
    std::fs::write(&trust, "from,to,rating\na,b,10\nb,a,10\nb,c,8\nc,b,9\na,c,5\nd,c,-3\nc,d,-10\n").unwrap();
    let trust = trust.to_str().unwrap();
    let run = ["village", "--trust", trust, "--people", "3", "--in-flight", "2", "--seconds", "2"];
    let document = bench(&run);
    assert_eq!((&document["people"], &document["friendships"]), (&3.into(), &3.into()), "{document}");
    let count = |field: &str| document[field].as_u64().unwrap();
    assert!(count("paid_of_possible") > 0 && count("paid_of_possible") <= count("possible"), "{document}");
    assert!(count("possible") <= count("began") && count("payments") + count("failed") == count("began"), "{document}");
}

#[test]
fn more_and_more_payments_are_plotted() {
    let folder = tempfile::tempdir().unwrap();
    let plots = folder.path().to_str().unwrap();
    let runs = bench(&["sweep", "--in-flight", "1,4", "--seconds", "1", "--plots", plots]);
    assert_eq!(runs.as_array().unwrap().len(), 2);
    runs.as_array().unwrap().iter().for_each(assert_measured);
    for plot in ["throughput.svg", "latency.svg"] {
        let drawn = std::fs::read_to_string(folder.path().join(plot)).unwrap();
        assert!(drawn.starts_with("<svg") && drawn.contains("payments under way"), "{plot}");
    }
}

#[test]
fn what_friends_send_takes_the_time_it_should() {
    let runs = bench(&["distance", "--hops", "2", "--delay-ms", "5", "--seconds", "1"]);
    // No payment is faster than light: four trips over two friendships of 5 ms each.
    assert_eq!(runs[0]["four_trips_ms"], 40.0);
    assert!(runs[0]["p50_ms"].as_f64().unwrap() >= 40.0, "{runs}");
}

#[test]
fn an_idle_node_is_watched() {
    let idle = bench(&["idle", "--friends", "2", "--seconds", "1"]);
    assert_eq!(idle["friends_online"], 2);
    assert!(
        idle["resident_mib"].as_f64().unwrap() > 1.0 && idle["idle_cpu_percent"].as_f64().unwrap() >= 0.0,
        "{idle}"
    );
}

#[test]
fn a_mediator_grows() {
    let sizes = bench(&["growth", "--friends", "5", "--payments", "20", "--seconds", "1", "--idle-seconds", "1"]);
    let sizes = sizes.as_array().unwrap();
    assert_eq!(sizes.len(), 2);
    assert_eq!(sizes[1]["friends"], 5);
    assert!(sizes[1]["payments_in_history"].as_u64().unwrap() >= 20);
    sizes.iter().for_each(assert_measured);
}

#[test]
fn a_wrong_command_line_is_refused() {
    for arguments in [&["chain", "--hops", "0"][..], &["ring"], &["chain", "--in-flight", "9999999"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_offst-bench")).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}
