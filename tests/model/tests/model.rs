//! The small scenarios hold, the ledger does what they do, and rules that are broken on purpose are noticed.

use offst_model::rules::Rules;
use offst_model::scenarios::{Scenario, all};

fn scenario(name: &str) -> Scenario {
    all().into_iter().find(|scenario| scenario.name == name).unwrap_or_else(|| panic!("there is no scenario {name}"))
}

#[test]
fn the_small_scenarios_hold_and_the_ledger_follows() {
    for name in ["pay-one", "pay-one-crash", "stop", "liar"] {
        let scenario = scenario(name);
        let report = scenario.explore(2);
        assert!(report.is_good(), "{name}: {:?}", report.failures);
        assert!(report.unique > 500, "{name}: {report:?}");
        let replayed = scenario.replay(200).unwrap_or_else(|difference| panic!("{name}: {difference}"));
        assert!(replayed.states == 200 && replayed.commands >= replayed.steps, "{name}: {replayed:?}");
    }
}

#[test]
fn the_ledger_follows_long_ways_through_every_scenario() {
    for scenario in all() {
        let walked = scenario.walk(20, 60).unwrap_or_else(|difference| panic!("{}: {difference}", scenario.name));
        assert!(walked.commands > 0, "{}", scenario.name);
    }
}

/// What is broken, where, and what does not hold there.
const BROKEN: &[(Rules, &str, &str)] = &[
    (Rules::SentBeforeDurable, "pay-one-crash", "at rest the balance is what was paid"),
    (Rules::CrossedCommitIsAFault, "pay-one", "no honest end is accused"),
    (Rules::CollectNeedsNoCommit, "liar", "only what a signed commit promised is collected"),
    (Rules::UnsignedCommitBinds, "pay-one", "no honest end is accused"),
    (Rules::LimitIsNotCheckedOnReceipt, "liar", "the liar owes no more than the limit it was given"),
    (Rules::AbortReleases, "pay-one", "what is frozen is what is pending"),
    (Rules::NewEpochForgetsCollects, "stop", "at rest the balance is what was paid"),
    (Rules::NothingIsResent, "pay-one-crash", "at rest nothing is pending, or people can settle it"),
    (Rules::CommitsBeforeItsUpstream, "chain", "the mediator never loses"),
    (Rules::TimerEndsCommitted, "chain", "the mediator never loses"),
    (Rules::BuyerBelievesAnyLock, "mediator-lies", "the buyer pays only with the seller credited"),
    (Rules::StoppedAccountTakesNoClaims, "ends-lie-reset", "the mediator never loses"),
];

#[test]
fn broken_rules_are_noticed() {
    for (rules, name, property) in BROKEN {
        let report = scenario(name).with_rules(*rules).explore(2);
        assert!(report.violates(property), "{rules:?} in {name}: {:?}", report.failures);
    }
}
