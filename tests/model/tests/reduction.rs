//! What the reduced search leaves out makes no difference: it says the same as the whole one where that comes to its
//! end, and what [`offst_model::reduction`] rests on is tried in every state.

use offst_model::fingerprint::Names;
use offst_model::reduction::Reduced;
use offst_model::rules::Rules;
use offst_model::scenarios::{Scenario, World, all};
use offst_model::search::Reduction;
use std::collections::HashSet;

fn scenario(name: &str) -> Scenario {
    all().into_iter().find(|scenario| scenario.name == name).unwrap_or_else(|| panic!("there is no scenario {name}"))
}

/// The scenarios in which something is left out and whose every state can be visited in a test.
const SMALL: &[&str] = &["pay-one", "pay-one-crash", "stop", "resets-cross", "resets-cross-other-key", "meet", "chain"];

#[test]
fn both_searches_come_to_the_same() {
    let small = SMALL.iter().map(|name| scenario(name));
    // These two are larger, and small enough while one statement of each end is in flight.
    let larger = ["pay-both", "chain-limit"].map(|name| scenario(name).with_in_flight(1));
    for scenario in small.chain(larger) {
        let name = scenario.name;
        let whole = scenario.search(Reduction::Whole);
        let reduced = scenario.search(Reduction::Reduced);
        assert!(reduced.unique < whole.unique, "{name}");
        assert_eq!(whole.at_rest, reduced.at_rest, "{name}");
        assert_eq!(whole.holding, reduced.holding, "{name}");
        assert_eq!(whole.failures, [], "{name}");
    }
}

/// Every rule that can be broken without a liar.
const RULES: &[Rules] = &[
    Rules::SentBeforeDurable,
    Rules::CrossedCommitIsAFault,
    Rules::UnsignedCommitBinds,
    Rules::LimitIsNotCheckedOnReceipt,
    Rules::AbortReleases,
    Rules::NewEpochForgetsCollects,
    Rules::NothingIsResent,
    Rules::CommitsBeforeItsUpstream,
    Rules::TimerEndsCommitted,
];

/// With a broken rule, too: what fails in the whole world fails in what is left of it.
#[test]
fn both_searches_see_the_same_fail() {
    for (name, rules) in
        ["pay-one-crash", "stop", "chain"].into_iter().flat_map(|name| RULES.iter().map(move |rules| (name, *rules)))
    {
        let scenario = scenario(name).with_rules(rules);
        let failed = |reduction| {
            let failures = scenario.search(reduction).failures;
            failures.into_iter().map(|(property, _)| property).collect::<Vec<_>>()
        };
        assert_eq!(failed(Reduction::Whole), failed(Reduction::Reduced), "{rules:?} in {name}");
    }
}

#[test]
fn another_program_counts_the_same_states() {
    for name in ["pay-one", "pay-one-crash", "stop", "liar", "ends-lie"] {
        let scenario = scenario(name);
        let (own, other) = (scenario.search(Reduction::Whole), scenario.explore(1));
        assert_eq!((own.states, own.unique), (other.states, other.unique), "{name}");
        assert_eq!(own.holding, other.holding, "{name}");
    }
}

/// In every state of a world: a silent step of one node and any step of another can be exchanged, as well as the steps
/// of a group that goes alone and those of the others; and a state does what the one does that stands for it. Says how
/// many exchanges were tried.
fn try_all<M: Reduced>(model: &M, states_max: usize) -> usize {
    let possible = |state: &M::State| {
        let mut actions = Vec::new();
        model.actions(state, &mut actions);
        actions
    };
    let after = |state: &M::State, action: &M::Action| model.next_state(state, action.clone()).expect("it is possible");
    let mut names = Names::default();
    let mut known = HashSet::new();
    let mut waiting = model.init_states();
    let mut exchanged = 0;
    while let Some(state) = waiting.pop() {
        if known.len() >= states_max || !known.insert(names.name(&state)) {
            continue;
        }
        let actions = possible(&state);
        // A state and the one that stands for it.
        let canonical = model.canonical(state.clone());
        assert_eq!(actions, possible(&canonical), "{state:?}\n{canonical:?}");
        for property in model.properties() {
            let (one, other) = ((property.condition)(model, &state), (property.condition)(model, &canonical));
            assert_eq!(one, other, "{}: {state:?}\n{canonical:?}", property.name);
        }
        for action in &actions {
            let next = after(&state, action);
            let one = model.canonical(next.clone());
            let other = model.canonical(after(&canonical, action));
            assert!(one == other, "{action:?} in {state:?}\n\n{canonical:?}\n\n{one:?}\n\n{other:?}");
            waiting.push(next);
        }
        // A state and its twin.
        if let Some(twin) = model.twin(&state) {
            let mut routes = |state: &M::State| {
                let all = possible(state).into_iter().map(|action| {
                    let after = after(state, &action);
                    let twin = model.twin(&after).expect("all have one");
                    [after, twin].map(|state| names.name(&model.canonical(state))).into_iter().min()
                });
                let mut all: Vec<_> = all.collect();
                all.sort();
                all
            };
            assert_eq!(routes(&state), routes(&twin), "{state:?}");
            for property in model.properties() {
                let (one, other) = ((property.condition)(model, &state), (property.condition)(model, &twin));
                assert_eq!(one, other, "{}: {state:?}", property.name);
            }
        }
        // Exchanges.
        let groups = model.groups(&state);
        for first in &actions {
            let Some(node) = model.actor(first) else { continue };
            for second in actions.iter().filter(|second| model.actor(second) != Some(node)) {
                let is_other = |group: &u8| {
                    group & (1 << node) != 0 && model.actor(second).is_none_or(|other| group & (1 << other) == 0)
                };
                if !model.is_silent(&state, first) && !groups.iter().any(is_other) {
                    continue;
                }
                let (one, other) = (after(&state, first), after(&state, second));
                assert!(possible(&one).contains(second) && possible(&other).contains(first), "{first:?} {second:?}");
                let (one, other) = (after(&one, second), after(&other, first));
                let (one, other) = (model.canonical(one), model.canonical(other));
                assert!(one == other, "{first:?} and {second:?} in {state:?}");
                exchanged += 1;
            }
        }
        // Nothing that others do adds to what a group can do.
        for group in groups {
            let own = |action: &&M::Action| model.actor(action).is_some_and(|node| group & (1 << node) != 0);
            let now: Vec<_> = actions.iter().filter(own).collect();
            for other in actions.iter().filter(|action| !own(action)) {
                let after = after(&state, other);
                let then = possible(&after);
                assert_eq!(now, then.iter().filter(own).collect::<Vec<_>>(), "{other:?} in {state:?}");
                assert!(model.groups(&after).contains(&group), "{other:?} in {state:?}");
            }
        }
    }
    exchanged
}

#[test]
fn what_is_exchanged_and_what_is_one_state_can_be_tried() {
    for (name, states) in [
        ("pay-one", usize::MAX),
        ("pay-one-crash", usize::MAX),
        ("stop", usize::MAX),
        ("pay-both", 20_000),
        ("pay-both-crash", 20_000),
        ("pay-both-limit", 20_000),
        ("pay-twice-limit", 20_000),
        ("meet", 20_000),
        ("chain", usize::MAX),
        ("chain-crash", 20_000),
        ("chain-two", 20_000),
    ] {
        let exchanged = match scenario(name).world {
            World::Friends(model) => try_all(&model, states),
            World::Chain(model) => try_all(&model, states),
            World::Distrust(_) => unreachable!("nothing is left out there"),
        };
        assert!(exchanged > 100, "{name}: {exchanged}");
    }
}
