//! One world from a seed, from its beginning to the verdict.

use crate::faults::Counts;
use crate::life::Life;
use crate::mix::Mix;
use crate::options::Options;
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
    /// The same of what went over connections and to the index servers alone: bytes that no name in the code is part of.
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

/// Lives the world of a seed. The same seed lives the same world, in every process.
///
/// # Errors
/// A sentence that says which checker did not hold.
pub fn live(seed: u64) -> Result<Outcome, Failure> {
    live_with(seed, &Options::default())
}

/// Lives the same world with less in it.
///
/// # Errors
/// As [`live`].
pub fn live_with(seed: u64, options: &Options) -> Result<Outcome, Failure> {
    let mut life = None;
    let lived = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let life = life.insert(Life::begin(seed, options));
        for number in 0..life.mix.actions {
            if options.actions.as_ref().is_none_or(|actions| actions.contains(&number)) {
                life.act(number);
            }
        }
        life.heal();
        life.check();
        life.check_purses();
    }));
    match (lived, life) {
        (Ok(()), Some(life)) => Ok(outcome(life)),
        (result, life) => {
            let reason = result.err().map_or_else(|| SILENT.to_owned(), sentence);
            let story = life.and_then(|life| life.world.story).unwrap_or_default();
            Err(Failure { reason, story })
        }
    }
}

/// What a checker said.
pub(crate) fn sentence(panic: Box<dyn std::any::Any + Send>) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| SILENT.to_owned())
}

/// Of a panic that has no text.
const SILENT: &str = "the world ended without a word";

fn outcome(life: Life) -> Outcome {
    let payments = |wanted: Progress| {
        let all = life.world.nodes.iter().flat_map(Node::all_payments);
        all.filter(|payment| payment.progress == wanted).count() as u64
    };
    Outcome {
        paid: payments(Progress::Paid),
        failed: payments(Progress::Failed),
        mix: life.mix,
        digest: life.world.trace.digest(),
        wire_digest: life.world.wire.digest(),
        faults: life.world.faults,
        story: life.world.story.unwrap_or_default(),
    }
}
