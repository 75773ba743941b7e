//! Worlds by their seeds: the same ones in every run, and new ones with every commit.

use offst_simulator::faults::{Counts, EventKind, InjectedFault};
use offst_simulator::seed::{Failure, Outcome, run};
use std::process::Command;

/// How many seeds every test run takes.
const FIXED: u64 = 64;
/// How many more a commit adds.
const OF_COMMIT: u64 = 16;

/// What needs more worlds than these.
const RARE: [InjectedFault; 3] = [InjectedFault::AwayInRecovery, InjectedFault::Stalled, InjectedFault::ForgedEvidence];

/// Runs these seeds, on all cores; all must pass.
fn run_all(first: u64, count: u64) -> Vec<Outcome> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let lived: Vec<(u64, Result<Outcome, Failure>)> = std::thread::scope(|scope| {
        let work =
            |thread| move || (first + thread..first + count).step_by(threads as usize).map(|seed| (seed, run(seed)));
        let threads: Vec<_> =
            (0..threads).map(|thread| scope.spawn(move || work(thread)().collect::<Vec<_>>())).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("failures are caught")).collect()
    });
    let failed = lived.iter().filter_map(|(seed, lived)| Some((seed, lived.as_ref().err()?)));
    let failed: Vec<_> = failed.map(|(seed, failure)| format!("--seeds 1 --from {seed}: {failure}")).collect();
    assert!(failed.is_empty(), "cargo run --release -p offst-simulator --\n{}", failed.join("\n"));
    lived.into_iter().filter_map(|(_, lived)| lived.ok()).collect()
}

#[test]
fn fixed_worlds_pass() {
    let outcomes = run_all(0, FIXED);
    let mut counts = Counts::default();
    outcomes.iter().for_each(|outcome| counts.merge(&outcome.faults));
    for fault in InjectedFault::ALL.iter().filter(|fault| !RARE.contains(fault)) {
        assert!(counts.of(*fault) > 0, "no world tried: {}", fault.name());
    }
    for event in [
        EventKind::Split,
        EventKind::Mediated,
        EventKind::Spontaneous,
        EventKind::OtherCurrency,
        EventKind::Repeated,
        EventKind::Restarted,
    ] {
        assert!(counts.of_event(event) > 0, "no world tried: {}", event.name());
    }
    let paid: u64 = outcomes.iter().map(|outcome| outcome.paid).sum();
    let failed: u64 = outcomes.iter().map(|outcome| outcome.failed).sum();
    assert!(paid > failed && paid > 50 * FIXED, "{paid} payments were paid, {failed} failed");
}

#[test]
fn worlds_of_this_commit_pass() {
    let git = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let commit = git.ok().filter(|git| git.status.success()).and_then(|git| String::from_utf8(git.stdout).ok());
    let first = commit.and_then(|hash| u64::from_str_radix(hash.get(..12)?, 16).ok()).unwrap_or(0);
    run_all(first, OF_COMMIT);
}

#[test]
fn a_seed_is_the_same_world_again() {
    assert_eq!(run(42).expect("it passes"), run(42).expect("it passes"));
}
