//! Worlds by their seeds: the same ones in every run, and new ones with every commit.

use offst_simulator::faults::{Counts, Fault};
use offst_simulator::seed::{Outcome, live};
use std::process::Command;

/// Lives these worlds; all must come right.
fn live_all(seeds: impl Iterator<Item = u64>) -> Vec<Outcome> {
    let outcomes: Vec<_> = seeds.map(|seed| (seed, live(seed))).collect();
    let faults: Vec<_> = outcomes
        .iter()
        .filter_map(|(seed, outcome)| outcome.as_ref().err().map(|reason| format!("--seeds 1 --from {seed}: {reason}")))
        .collect();
    assert!(faults.is_empty(), "cargo run --release -p offst-simulator --\n{}", faults.join("\n"));
    outcomes.into_iter().filter_map(|(_, outcome)| outcome.ok()).collect()
}

#[test]
fn fixed_worlds_come_right() {
    let outcomes = live_all(0..FIXED);
    let mut faults = Counts::default();
    outcomes.iter().for_each(|outcome| faults.merge(&outcome.faults));
    for fault in Fault::ALL {
        assert!(faults.of(*fault) > 0, "no world tried: {}", fault.name());
    }
    let paid: u64 = outcomes.iter().map(|outcome| outcome.paid).sum();
    assert!(paid > FIXED, "only {paid} payments worked out");
}

/// How many worlds every run lives.
const FIXED: u64 = 200;
/// How many more a commit adds.
const OF_COMMIT: u64 = 60;

#[test]
fn worlds_of_this_commit_come_right() {
    let git = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let commit = git.ok().filter(|git| git.status.success()).and_then(|git| String::from_utf8(git.stdout).ok());
    let first = commit.and_then(|hash| u64::from_str_radix(hash.get(..12)?, 16).ok()).unwrap_or(0);
    live_all(first..first + OF_COMMIT);
}

#[test]
fn a_seed_is_the_same_world_again() {
    assert_eq!(live(42).expect("it comes right"), live(42).expect("it comes right"));
}
