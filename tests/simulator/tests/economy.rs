//! A short economy of a few dozen people. That no credit comes or goes, no line is above its limit and nothing stays
//! held is asserted at the end of every run.

use offst_simulator::economy::{Options, Outcome, TrustNetwork, simulate};
use std::process::Command;

/// Made up; people of whom some trust each other much, and some do not at all.
const TRUST: &str = include_str!("trust.csv");

fn network() -> TrustNetwork {
    TrustNetwork::parse(TRUST).expect("a file of ratings")
}

fn options() -> Options {
    Options { minutes: 6, payments_per_hour: 3_600, ..Options::default() }
}

fn run(options: Options) -> Outcome {
    simulate(&network(), options, &mut |_| {})
}

#[test]
fn nearly_all_possible_payments_are_paid_and_a_seed_says_all() {
    let outcome = run(options());
    assert!(outcome.possible() > 200, "{} payments were possible", outcome.possible());
    assert!(outcome.success_percent() >= 95.0, "{:.2} %: {:?}", outcome.success_percent(), outcome.failures());
    assert!(outcome.success_of_findable_percent() >= 98.0, "{:.2} %", outcome.success_of_findable_percent());
    assert!(outcome.most_underway > 1, "payments cross each other");
    assert!(outcome.spread(|deal| deal.parts.into()).largest > 1, "some payments are split");
    assert_eq!(run(options()).digest, outcome.digest);
    assert_ne!(run(Options { seed: 2, ..options() }).digest, outcome.digest);
}

#[test]
fn debts_become_smaller_where_cycles_are_cleared_and_credit_goes_around() {
    let plain = run(options());
    let helped = run(Options { clearing: true, clear_ms: 20_000, rebalancing: true, look_ms: 60_000, ..options() });
    assert!(helped.success_percent() >= 95.0, "{:.2} %: {:?}", helped.success_percent(), helped.failures());
    assert!(helped.clearings > 0 && helped.rebalancings > 0, "{} {}", helped.clearings, helped.rebalancings);
    let debts = |outcome: &Outcome| outcome.samples.last().expect("a run is sampled").debts;
    assert!(debts(&helped) < debts(&plain), "{} and {}", debts(&helped), debts(&plain));
    assert_eq!((plain.clearings, plain.rebalancings), (0, 0));
}

#[test]
fn the_program_tells_and_draws() {
    let folder = tempfile::tempdir().unwrap();
    let trust = folder.path().join("trust.csv");
    std::fs::write(&trust, TRUST).unwrap();
    let plots = folder.path().join("plots");
    let program = |arguments: &[&str]| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_economy"));
        program.arg("--trust").arg(&trust).args(arguments).output().expect("the program runs")
    };
    let short = ["--hours", "0.1", "--payments-per-hour", "500", "--compare", "--look-seconds", "60"];
    let output = program(&[&short[..], &["--json", "--plots", plots.to_str().unwrap()]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let runs: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let runs = runs.as_array().unwrap();
    assert_eq!(runs.len(), 4);
    for run in runs {
        assert_eq!(run["people"], network().names().len());
        assert!(run["success_percent"].as_f64().unwrap() > 90.0, "{run}");
    }
    assert_eq!(std::fs::read_dir(&plots).unwrap().count(), 5);
    // One of the twelve has no friends among them.
    let output = program(&["--hours", "0.1", "--payments-per-hour", "500", "--people", "12", "--clearing", "on"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("11 people") && text.contains("paid of the possible") && text.contains("digest"), "{text}");
    std::fs::write(&trust, "a,b,much").unwrap();
    let output = program(&[]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), text.contains("line 1 of the ratings")), (Some(2), true), "{text}");
}
