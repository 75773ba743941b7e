//! The program as it is called.

use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_offst-simulator")).args(arguments).output().expect("the program runs")
}

/// The line that shows the digest, of a run that must pass.
fn digest(from: &str) -> String {
    let output = run(&["--seeds", "1", "--from", from]);
    let text = String::from_utf8(output.stdout).expect("the program prints text");
    assert!(output.status.success(), "{text}");
    let line = text.lines().find(|line| line.starts_with("trace digest"));
    line.unwrap_or_else(|| panic!("no digest in {text}")).to_owned()
}

#[test]
fn a_seed_has_the_same_digest_in_every_process() {
    assert_eq!(digest("7"), digest("7"));
    let here = offst_simulator::seed::run(7).expect("it passes").digest;
    assert_eq!(digest("7"), format!("trace digest of seed 7: {here}"));
    assert_ne!(digest("8").rsplit_once(' '), digest("7").rsplit_once(' '));
}

#[test]
fn a_run_says_what_happened_in_it() {
    let output = run(&["--seeds", "3", "--from", "20"]);
    let text = String::from_utf8(output.stdout).expect("the program prints text");
    assert!(output.status.success(), "{text}");
    assert!(text.contains("3 runs") && text.contains("every check passed"), "{text}");
    for fault in offst_simulator::faults::InjectedFault::ALL {
        assert!(text.contains(fault.name()), "{} is counted in {text}", fault.name());
    }
}

#[test]
fn what_is_no_number_is_refused() {
    let output = run(&["--seeds", "many"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--seeds"));
}
