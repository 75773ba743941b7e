//! The scenarios hold, the ledger does what they do, and rules that are broken on purpose are noticed.

use offst_model::rules::Rules;
use offst_model::scenarios::{Scenario, all};
use offst_model::search::Reduction;

fn scenario(name: &str) -> Scenario {
    all().into_iter().find(|scenario| scenario.name == name).unwrap_or_else(|| panic!("there is no scenario {name}"))
}

#[test]
fn the_scenarios_hold() {
    for scenario in all().into_iter().filter(|scenario| !scenario.is_long) {
        let report = scenario.search(Reduction::Reduced);
        assert!(report.is_good(), "{}: {:?}", scenario.name, report.failures);
        assert!(report.unique > 50, "{}: {report:?}", scenario.name);
    }
}

#[test]
fn the_ledger_follows_every_step() {
    for name in ["pay-one", "pay-one-crash", "stop", "liar"] {
        let replayed = scenario(name).replay(200).unwrap_or_else(|difference| panic!("{name}: {difference}"));
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
    (Rules::SentBeforeDurable, "pay-both-crash", "at rest the balance is what was paid"),
    (Rules::CrossedCommitIsAFault, "pay-one", "no honest end is accused"),
    (Rules::CrossedCommitIsAFault, "pay-both-limit", "no honest end is accused"),
    (Rules::CollectNeedsNoCommit, "liar", "only what a signed commit promised is collected"),
    (Rules::UnsignedCommitBinds, "pay-one", "no honest end is accused"),
    (Rules::LimitIsNotCheckedOnReceipt, "liar", "the liar owes no more than the limit it was given"),
    (Rules::LimitIsNotCheckedOnReceipt, "pay-both-limit", "no request passes a limit"),
    (Rules::LimitIsNotCheckedOnReceipt, "pay-twice-limit", "no request passes a limit"),
    (Rules::LimitIsNotCheckedOnReceipt, "chain-limit", "no request passes a limit"),
    (Rules::AbortReleases, "pay-one", "the totals match the pending requests"),
    (Rules::NewEpochForgetsCollects, "stop", "at rest the balance is what was paid"),
    (Rules::NothingIsResent, "pay-one-crash", "at rest nothing is pending, or people can settle it"),
    (Rules::NothingIsResent, "pay-twice-crash", "at rest nothing is pending, or people can settle it"),
    (Rules::NothingIsProved, "pay-both-stop", "at rest nothing is pending, or people can settle it"),
    (Rules::NothingIsResent, "chain-crash", "at rest nothing is pending and all agree on who was paid"),
    (Rules::CommitsBeforeItsUpstream, "chain", "the mediator never loses"),
    (Rules::CommitsBeforeItsUpstream, "chain-crash", "the mediator never loses"),
    (Rules::TimerEndsCommitted, "chain", "the mediator never loses"),
    (Rules::BuyerBelievesAnyLock, "mediator-lies", "the buyer pays only with the seller credited"),
    (Rules::StoppedAccountTakesNoClaims, "ends-lie-reset", "the mediator never loses"),
];

#[test]
fn broken_rules_are_noticed() {
    for (rules, name, property) in BROKEN {
        assert!(scenario(name).with_rules(*rules).fails(property), "{rules:?} in {name}");
    }
}
