//! One world from a seed, from its beginning to the verdict.

use crate::faults::Counts;
use crate::mix::Mix;
use crate::options::Options;
use crate::run::Run;
use crate::world::Node;
use offst_crypto::Hash;
use offst_funder::Progress;
use std::panic::AssertUnwindSafe;

/// What came of a world in which every checker held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What the seed drew.
    pub mix: Mix,
    /// The hash over all inputs, commits and outputs, in order.
    pub digest: Hash,
    /// The same of what went over connections and to the index servers alone: bytes that no name in the code is part
    /// of.
    pub wire_digest: Hash,
    /// How many payments were paid.
    pub paid: u64,
    /// How many failed.
    pub failed: u64,
    /// What went wrong on the way, and what was tried.
    pub faults: Counts,
    /// What happened, when it was asked for.
    pub story: Vec<String>,
}

/// A checker that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which, in a sentence.
    pub reason: String,
    /// What happened before, when it was asked for.
    pub story: Vec<String>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.reason)
    }
}

/// Runs the world of a seed. The same seed gives the same run, in every process.
///
/// # Errors
/// A sentence that says which checker did not hold.
pub fn run(seed: u64) -> Result<Outcome, Failure> {
    run_with(seed, &Options::default())
}

/// Runs the same world with less in it.
///
/// # Errors
/// As [`run`].
pub fn run_with(seed: u64, options: &Options) -> Result<Outcome, Failure> {
    let mut run = None;
    let lived = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let run = run.insert(Run::begin(seed, options));
        for number in 0..run.mix.actions {
            if options.actions.as_ref().is_none_or(|actions| actions.contains(&number)) {
                run.act(number);
            }
        }
        run.heal();
        run.check();
        run.check_purses();
    }));
    match (lived, run) {
        (Ok(()), Some(run)) => Ok(outcome(run)),
        (result, run) => {
            let reason = result.err().map_or_else(|| SILENT.to_owned(), message);
            let story = run.and_then(|run| run.world.story).unwrap_or_default();
            Err(Failure { reason, story })
        }
    }
}

/// What a checker said.
pub(crate) fn message(panic: Box<dyn std::any::Any + Send>) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| SILENT.to_owned())
}

/// Of a panic that has no text.
const SILENT: &str = "the world ended without a word";

fn outcome(run: Run) -> Outcome {
    let payments = |wanted: Progress| {
        let all = run.world.nodes.iter().flat_map(Node::all_payments);
        all.filter(|payment| payment.progress == wanted).count() as u64
    };
    Outcome {
        paid: payments(Progress::Paid),
        failed: payments(Progress::Failed),
        mix: run.mix,
        digest: run.world.trace.digest(),
        wire_digest: run.world.wire.digest(),
        faults: run.world.faults,
        story: run.world.story.unwrap_or_default(),
    }
}
