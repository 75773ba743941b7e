//! One world from a seed, from its beginning to the verdict.

use crate::faults::Counts;
use crate::keys::Dice;
use crate::life::Life;
use crate::mix::Mix;
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
    /// How many payments were paid.
    pub paid: u64,
    /// How many failed.
    pub failed: u64,
    /// What went wrong on the way.
    pub faults: Counts,
}

/// Lives the world of a seed. The same seed lives the same world, in every process.
///
/// # Errors
/// A sentence that says which checker did not hold.
pub fn live(seed: u64) -> Result<Outcome, String> {
    live_at_most(seed, usize::MAX)
}

/// Lives the same world, but heals it after at most `actions` things were done.
///
/// # Errors
/// As [`live`].
pub fn live_at_most(seed: u64, actions: usize) -> Result<Outcome, String> {
    std::panic::catch_unwind(AssertUnwindSafe(|| run(seed, actions))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        text.unwrap_or_else(|| "the world ended without a word".to_owned())
    })
}

/// The fewest actions with which the world of a seed still does not come right, and what did not hold then.
pub fn shortest(seed: u64) -> Option<(usize, String)> {
    let all = live(seed).is_err().then(|| Mix::draw(&mut Dice::new(seed)).actions)?;
    (0..=all).find_map(|actions| live_at_most(seed, actions).err().map(|reason| (actions, reason)))
}

fn run(seed: u64, actions: usize) -> Outcome {
    let mut life = Life::begin(seed);
    for _ in 0..life.mix.actions.min(actions) {
        life.act();
    }
    life.heal();
    life.check();
    let payments = |wanted: Progress| {
        let all = life.world.nodes.iter().flat_map(|node| node.disk.payments());
        all.filter(|payment| payment.progress == wanted).count() as u64
    };
    Outcome {
        paid: payments(Progress::Paid),
        failed: payments(Progress::Failed),
        mix: life.mix,
        digest: life.world.trace.digest(),
        faults: life.world.faults,
    }
}
