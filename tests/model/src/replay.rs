//! Every transition of a model, and long random ways through it, on the real ledger.

use crate::mirror::{Mirror, Mismatch};
use crate::play::Staged;
use std::collections::{HashSet, VecDeque};
use std::fmt::Debug;
use std::hash::Hash;

/// What was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Replayed {
    /// Different states of the model.
    pub states: usize,
    /// Steps between them, each carried out on the ledger.
    pub steps: usize,
    /// Commands to ledger accounts, each followed by a comparison.
    pub commands: usize,
}

/// Where model and ledger part, and how to come there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What differs.
    pub what: String,
    /// The steps from the beginning.
    pub path: Vec<String>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}, after", self.what)?;
        self.path.iter().try_for_each(|step| writeln!(f, "    {step}"))
    }
}

fn difference<A: Debug>(mismatch: Mismatch, path: &[A]) -> Difference {
    Difference { what: mismatch.what, path: path.iter().map(|action| format!("{action:?}")).collect() }
}

fn begin<M: Staged>(model: &M) -> Result<(M::State, Mirror, usize), Mismatch> {
    let (state, executed) = model.beginning();
    let fresh = model.fresh();
    let mut mirror = Mirror::new(&fresh);
    mirror.follow(&fresh, &executed, model.rules())?;
    Ok((state, mirror, executed.len()))
}

/// Walks breadth first through at most `states_max` states and carries every step between them out on the ledger, each from
/// the shortest way to its state.
///
/// # Errors
/// The first difference.
pub fn replay_all<M: Staged<State: Clone + Eq + Hash, Action: Clone + Debug>>(
    model: &M,
    states_max: usize,
) -> Result<Replayed, Difference> {
    let (state, mirror, commands) = begin(model).map_err(|mismatch| difference::<M::Action>(mismatch, &[]))?;
    let mut replayed = Replayed { states: 1, steps: 0, commands };
    let mut known = HashSet::from([state.clone()]);
    let mut waiting = VecDeque::from([(state, mirror, Vec::new())]);
    let mut actions = Vec::new();
    while let Some((state, mirror, path)) = waiting.pop_front() {
        model.actions(&state, &mut actions);
        for action in actions.drain(..) {
            let (after, executed) = model.play(&state, &action);
            let mut path: Vec<M::Action> = path.clone();
            path.push(action);
            let mut mirror = mirror.clone();
            mirror
                .follow(model.pairs(&state), &executed, model.rules())
                .map_err(|mismatch| difference(mismatch, &path))?;
            replayed.steps += 1;
            replayed.commands += executed.len();
            if known.len() < states_max && known.insert(after.clone()) {
                waiting.push_back((after, mirror, path));
            }
        }
    }
    replayed.states = known.len();
    Ok(replayed)
}

/// Walks at random from the beginning, `walks` times and at most `steps_max` steps each.
///
/// # Errors
/// The first difference.
pub fn replay_walks<M: Staged<Action: Clone + Debug>>(
    model: &M,
    walks: u64,
    steps_max: usize,
) -> Result<Replayed, Difference> {
    let mut replayed = Replayed::default();
    let mut actions = Vec::new();
    for walk in 0..walks {
        let mut dice = Dice(walk.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let (mut state, mut mirror, commands) =
            begin(model).map_err(|mismatch| difference::<M::Action>(mismatch, &[]))?;
        replayed.commands += commands;
        let mut path = Vec::new();
        for _ in 0..steps_max {
            model.actions(&state, &mut actions);
            if actions.is_empty() {
                break;
            }
            let action = actions.swap_remove(dice.below(actions.len()));
            actions.clear();
            let (after, executed) = model.play(&state, &action);
            path.push(action);
            mirror
                .follow(model.pairs(&state), &executed, model.rules())
                .map_err(|mismatch| difference(mismatch, &path))?;
            replayed.steps += 1;
            replayed.commands += executed.len();
            state = after;
        }
    }
    Ok(replayed)
}

/// Xorshift: the same walks on every machine.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).expect("less than a usize")
    }
}
