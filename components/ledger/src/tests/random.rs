//! Random interleavings of everything that two honest ends can do.

use super::*;
use crate::{AbortOutcome, NotAllowed};
use offst_proto::Amount;
use proptest::prelude::*;

#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Request(u128),
    Respond,
    Commit,
    Abort,
    Collect,
    Cancel,
    SetLimit(u128),
    SetOpen(bool),
    Sign(bool),
    Deliver,
    DeliverAll,
    Disconnect,
    Connect,
    Restart,
    Stop,
    Repropose,
    Accept,
    /// Many statements with one operation each: fills the window.
    Burst(u8),
    /// Remembers the rows of one end, to be put back later.
    Backup,
    RollBack,
}

fn step(with_resets: bool, with_losses: bool) -> impl Strategy<Value = Step> {
    let ordinary = prop_oneof![
        12 => (1u128..300).prop_map(Step::Request),
        10 => Just(Step::Respond),
        8 => Just(Step::Commit),
        4 => Just(Step::Abort),
        5 => Just(Step::Collect),
        4 => Just(Step::Cancel),
        2 => (0u128..2000).prop_map(Step::SetLimit),
        2 => prop::bool::weighted(0.8).prop_map(Step::SetOpen),
        14 => any::<bool>().prop_map(Step::Sign),
        20 => Just(Step::Deliver),
        6 => Just(Step::DeliverAll),
        2 => Just(Step::Disconnect),
        6 => Just(Step::Connect),
        1 => Just(Step::Restart),
        1 => (1u8..100).prop_map(Step::Burst),
    ];
    let resets = prop_oneof![1 => Just(Step::Stop), 2 => Just(Step::Repropose), 3 => Just(Step::Accept)];
    let losses = prop_oneof![Just(Step::Backup), Just(Step::RollBack)];
    match (with_resets, with_losses) {
        (false, _) => ordinary.boxed(),
        (true, false) => prop_oneof![15 => ordinary, 1 => resets].boxed(),
        (true, true) => prop_oneof![30 => ordinary, 2 => resets, 1 => losses].boxed(),
    }
}

pub(super) type Play = Vec<(Step, bool, prop::sample::Index)>;

pub(super) fn plays(with_resets: bool, with_losses: bool) -> impl Strategy<Value = Play> {
    prop::collection::vec((step(with_resets, with_losses), any::<bool>(), any::<prop::sample::Index>()), 1..250)
}

fn pick(
    pair: &Pair,
    end: usize,
    direction: Direction,
    index: prop::sample::Index,
    wanted: fn(&Pending) -> bool,
) -> Option<RequestId> {
    let list: Vec<_> = pair.pendings(end, direction).into_iter().filter(|(_, p)| wanted(p)).map(|(id, _)| id).collect();
    if list.is_empty() { None } else { Some(*index.get(&list)) }
}

pub(super) fn take(pair: &mut Pair, step: Step, end: usize, index: prop::sample::Index) {
    use Direction::{Incoming, Outgoing};
    let is_active = pair.ends[end].account.active().is_some();
    match step {
        Step::Request(amount) => {
            let _ = pair.request(end, amount);
        }
        Step::Respond if is_active => {
            if let Some(id) = pick(pair, end, Incoming, index, |p| p.stage == crate::Stage::Requested) {
                pair.respond(end, id).unwrap();
            }
        }
        Step::Commit if is_active => {
            if let Some(id) = pick(pair, end, Outgoing, index, |p| matches!(p.stage, crate::Stage::Responded(_))) {
                pair.commit(end, id).unwrap();
            }
        }
        Step::Abort => {
            if let Some(id) = pick(pair, end, Outgoing, index, |p| p.stage != crate::Stage::Aborted) {
                let is_bound = pair.ends[end].account.is_bound(id);
                match pair.abort(end, id) {
                    Ok(AbortOutcome::Withdrawn) => {
                        assert_eq!(pair.ends[end].account.pending(Outgoing, id), None);
                    }
                    Ok(AbortOutcome::Aborted) => assert!(!is_bound),
                    Err(error) => assert!(is_bound && error == NotAllowed::WrongStage),
                }
            }
        }
        Step::Collect => {
            if let Some(id) = pick(pair, end, Incoming, index, |p| p.stage.is_committed()) {
                let has_fixed_terms = pair.ends[end].account.recovery.has_fixed_terms();
                assert!(pair.collect(end, id).is_ok() || has_fixed_terms, "it has an end already");
            }
        }
        Step::Cancel => {
            if let Some(id) = pick(pair, end, Incoming, index, |_| true) {
                let has_fixed_terms = pair.ends[end].account.recovery.has_fixed_terms();
                assert!(pair.cancel(end, id).is_ok() || has_fixed_terms, "it has an end already, or may not have one");
            }
        }
        Step::SetLimit(limit) => {
            pair.ends[end].has_tightened |= limit < pair.ends[end].account.limit().credits();
            pair.account(end).set_limit(Amount::capped(limit));
            pair.ends[end].persist();
        }
        Step::SetOpen(open) => {
            pair.ends[end].has_tightened |= !open;
            pair.account(end).set_open(open);
            pair.ends[end].persist();
        }
        Step::Sign(idle) => pair.sign(end, idle),
        Step::Deliver => {
            pair.deliver(end);
        }
        Step::DeliverAll => while pair.deliver(end) {},
        Step::Disconnect => pair.disconnect(),
        Step::Connect => pair.connect(),
        Step::Restart => pair.restart(end),
        Step::Stop => pair.stop(end),
        Step::Repropose => pair.repropose(end),
        Step::Accept => {
            pair.accept(end);
        }
        Step::Burst(count) => {
            for number in 0..u128::from(count) {
                if number % 2 == 0 {
                    pair.account(end).set_open(number % 4 == 0);
                    pair.ends[end].has_tightened = true;
                } else {
                    let _ = pair.request(end, number);
                }
                pair.ends[end].persist();
                pair.sign(end, false);
            }
        }
        Step::Backup => pair.backup[end] = Some(pair.ends[end].rows.clone()),
        Step::RollBack => {
            if let Some(rows) = pair.backup[end].clone() {
                pair.roll_back(end, rows);
            }
        }
        Step::Respond | Step::Commit => {}
    }
}

/// Whatever happened: people settle it, and then nothing is left.
pub(super) fn finish(pair: &mut Pair) {
    pair.settle();
    for round in 0.. {
        if pair.is_active() {
            break;
        }
        assert!(round < 6, "two people cannot settle it: {:?} {:?}", pair.ends[0].account, pair.ends[1].account);
        if !pair.accept(round % 2) {
            pair.accept(1 - round % 2);
        }
        pair.settle();
    }
    for _ in 0..3 {
        pair.check();
        for end in [0, 1] {
            for (id, _) in pair.pendings(end, Direction::Outgoing) {
                let _ = pair.abort(end, id);
            }
            for (id, pending) in pair.pendings(end, Direction::Incoming) {
                if pending.stage.is_committed() && id.as_bytes()[0] % 2 == 0 {
                    pair.collect(end, id).unwrap();
                } else {
                    pair.cancel(end, id).unwrap();
                }
            }
        }
        pair.settle();
    }
    pair.check();
    for end in &pair.ends {
        let epoch = end.account.epoch().unwrap();
        assert_eq!(epoch.pendings().count(), 0, "nothing is left pending");
        assert!(epoch.queue.is_empty());
        assert_eq!((epoch.local_pending(), epoch.remote_pending()), (0, 0));
        assert!(!end.account.is_unsettled(), "the last statement is a checkpoint");
        assert!(end.account.is_resumed());
        assert!(end.rows.statements().len() < 400, "statements that nobody needs are dropped");
    }
    assert_eq!(pair.balances()[0], -pair.balances()[1]);
}

/// Few by default, because every step builds the account again from its rows.
pub(super) fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|count| count.parse().ok()).unwrap_or(64)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn two_honest_ends_never_accuse_each_other(play in plays(false, false)) {
        let mut pair = Pair::new();
        for (step, end, index) in play {
            take(&mut pair, step, end.into(), index);
            pair.check();
        }
        finish(&mut pair);
        let earned = pair.collected.map(|sum| i128::try_from(sum).unwrap());
        prop_assert_eq!(pair.balances()[0], earned[0] - earned[1]);
        prop_assert!(pair.ends.iter().all(|end| end.stops.is_empty()));
    }

    #[test]
    fn two_honest_ends_find_together_after_stops(play in plays(true, false)) {
        let mut pair = Pair::new();
        for (step, end, index) in play {
            take(&mut pair, step, end.into(), index);
            pair.check();
        }
        finish(&mut pair);
        let is_fault = |stop: &StopReason| !matches!(stop, StopReason::Owner | StopReason::FriendReopened);
        prop_assert!(!pair.ends.iter().any(|end| end.stops.iter().any(is_fault)), "{:?}", [&pair.ends[0].stops, &pair.ends[1].stops]);
    }

    #[test]
    fn people_can_settle_what_old_databases_have_caused(play in plays(true, true)) {
        let mut pair = Pair::new();
        pair.faults_are_expected = true;
        for (step, end, index) in play {
            take(&mut pair, step, end.into(), index);
        }
        finish(&mut pair);
    }
}
