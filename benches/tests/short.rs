//! The load program in its shortest form: it works and says what it promises. Nothing is judged by time.

use std::process::Command;

#[test]
fn a_second_of_load() {
    let arguments = ["chain", "--hops", "2", "--in-flight", "8", "--seconds", "1", "--json"];
    let output = Command::new(env!("CARGO_BIN_EXE_offst-bench")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["failed"], 0, "{document}");
    for field in ["payments", "payments_per_second", "cpu_ms_per_payment", "fsyncs_per_payment"] {
        assert!(document[field].as_f64().unwrap() > 0.0, "{field} in {document}");
    }
    let latency = &document["latency_ms"];
    let percentiles = ["p50", "p95", "p99"].map(|name| latency[name].as_f64().unwrap());
    assert!(percentiles.is_sorted(), "{document}");
    assert!(document["floor_payments_per_second"].as_f64().unwrap() > 0.0, "{document}");
}

#[test]
fn a_wrong_command_line_is_refused() {
    for arguments in [&["chain", "--hops", "0"][..], &["ring"], &["chain", "--in-flight", "9999999"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_offst-bench")).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}
