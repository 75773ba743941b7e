//! Each row of the crossing table, and what may be written when.

use super::*;
use crate::epoch::Queued;
use crate::{AbortOutcome, NotAllowed, Stage};
use Direction::{Incoming, Outgoing};
use offst_proto::Amount;
use offst_proto::limits::OPERATIONS_MAX;
use offst_proto::statement::Operation;

/// A request of end 0 that both see as responded to.
fn responded(pair: &mut Pair, amount: u128) -> RequestId {
    let id = pair.request(0, amount).unwrap();
    pair.settle();
    pair.respond(1, id).unwrap();
    pair.settle();
    id
}

fn ends_with_nothing(pair: &mut Pair) {
    pair.settle();
    pair.check();
    assert_eq!(pair.balances(), [0, 0]);
    assert!([0, 1].iter().all(|end| pair.ends[*end].account.epoch().unwrap().pendings().count() == 0));
}

#[test]
fn a_payment_moves_credits_with_real_signatures() {
    let mut pair = Pair::real();
    let id = pair.committed(70);
    assert!(pair.ends[0].account.is_bound(id));
    pair.collect(1, id).unwrap();
    pair.settle();
    pair.check();
    assert_eq!(pair.balances(), [-70, 70]);
    let events = pair.take_events(0);
    assert_eq!(events.last(), Some(&Event::Collected { id, preimage: preimage_of(id) }));
    assert_eq!(pair.ends[0].account.epoch().unwrap().send_capacity(), 930);
    assert_eq!(pair.ends[0].account.epoch().unwrap().receive_capacity(), 1070);
}

// R1.14.
#[test]
fn a_commit_and_a_cancel_that_cross_release_the_credits() {
    let mut pair = Pair::new();
    let id = responded(&mut pair, 10);
    pair.commit(0, id).unwrap();
    pair.cancel(1, id).unwrap();
    pair.sign(0, false);
    pair.sign(1, false);
    ends_with_nothing(&mut pair);
}

#[test]
fn an_abort_and_a_cancel_that_cross_release_the_credits() {
    let mut pair = Pair::new();
    let id = responded(&mut pair, 10);
    assert_eq!(pair.abort(0, id), Ok(AbortOutcome::Aborted));
    pair.cancel(1, id).unwrap();
    pair.sign(0, false);
    pair.sign(1, false);
    ends_with_nothing(&mut pair);
}

#[test]
fn a_response_and_an_abort_that_cross_leave_the_downstream_to_cancel() {
    let mut pair = Pair::new();
    let id = pair.request(0, 10).unwrap();
    pair.settle();
    pair.abort(0, id).unwrap();
    pair.respond(1, id).unwrap();
    pair.sign(0, false);
    pair.sign(1, false);
    pair.take_events(0);
    pair.settle();
    assert_eq!(pair.take_events(0), [], "the response is ignored");
    for (end, direction) in [(0, Outgoing), (1, Incoming)] {
        assert_eq!(pair.ends[end].account.pending(direction, id).unwrap().stage, Stage::Aborted);
    }
    assert_eq!(pair.account(0).commit(id), Err(NotAllowed::WrongStage));
    assert_eq!(pair.account(1).collect(id, preimage_of(id)), Err(NotAllowed::WrongStage));
    pair.cancel(1, id).unwrap();
    ends_with_nothing(&mut pair);
}

#[test]
fn a_commit_that_waits_is_not_signed_after_the_cancel_arrived() {
    for undo in [false, true] {
        let mut pair = Pair::new();
        let id = responded(&mut pair, 10);
        pair.cancel(1, id).unwrap();
        pair.sign(1, false);
        pair.commit(0, id).unwrap();
        if undo {
            pair.abort(0, id).unwrap();
        }
        pair.deliver(0);
        assert!(pair.ends[0].account.epoch().unwrap().queue.is_empty());
        ends_with_nothing(&mut pair);
    }
}

// R1.17.
#[test]
fn an_unsigned_commit_can_become_an_abort_and_a_signed_one_cannot() {
    let mut pair = Pair::new();
    let id = responded(&mut pair, 10);
    pair.commit(0, id).unwrap();
    assert!(!pair.ends[0].account.is_bound(id));
    pair.restart(0);
    assert_eq!(pair.abort(0, id), Ok(AbortOutcome::Aborted));
    pair.settle();
    assert_eq!(pair.ends[1].account.pending(Incoming, id).unwrap().stage, Stage::Aborted);
    pair.cancel(1, id).unwrap();
    ends_with_nothing(&mut pair);

    let id = responded(&mut pair, 10);
    pair.commit(0, id).unwrap();
    pair.sign(0, false);
    pair.restart(0);
    assert!(pair.ends[0].account.is_bound(id));
    assert_eq!(pair.abort(0, id), Err(NotAllowed::WrongStage));
}

#[test]
fn a_request_that_was_never_signed_is_withdrawn() {
    let mut pair = Pair::new();
    pair.disconnect();
    let id = pair.request(0, 1000).unwrap();
    assert_eq!(pair.account(0).request(request_with(id, 1), pair_terms()), Err(NotAllowed::Duplicate));
    assert_eq!(pair.request(0, 1), Err(NotAllowed::NoCapacity { room: 0 }));
    pair.restart(0);
    assert_eq!(pair.abort(0, id), Ok(AbortOutcome::Withdrawn));
    assert_eq!(pair.ends[0].account.epoch().unwrap().send_capacity(), 1000);
    assert!(pair.ends[0].rows.image().queue.is_empty() && pair.ends[0].rows.image().pendings.is_empty());
    ends_with_nothing(&mut pair);
}

fn pair_terms() -> offst_crypto::Hash {
    sha256(b"terms")
}

// R1.12.
#[test]
fn a_lowered_limit_and_a_closed_account_refuse_what_has_crossed() {
    for close in [false, true] {
        let mut pair = Pair::new();
        pair.request(0, 600).unwrap();
        if close {
            pair.account(1).set_open(false);
        } else {
            pair.account(1).set_limit(500.into());
        }
        pair.ends[1].has_tightened = true;
        pair.ends[1].persist();
        pair.sign(0, false);
        pair.sign(1, false);
        ends_with_nothing(&mut pair);
        let expected = if close { CancelReason::Closed } else { CancelReason::NoCapacity { left: 500.into() } };
        assert!(
            pair.take_events(1)
                .iter()
                .any(|event| matches!(event, Event::Requested { refusal: Some(reason), .. } if *reason == expected))
        );
        assert!(pair.request(0, 600).is_err());
    }
}

#[test]
fn full_windows_on_both_sides_still_drain() {
    let mut pair = Pair::new();
    for end in [0, 1] {
        for number in 0..100_u32 {
            pair.account(end).set_limit((1000 + number).into());
            pair.ends[end].persist();
            pair.sign(end, false);
        }
        let End { account, signer, .. } = &mut pair.ends[end];
        assert_eq!(account.sign(&**signer, true), SignOutcome::WindowFull);
        let waiting = account.epoch().unwrap().unacknowledged.iter().filter(|sent| sent.has_operations);
        assert_eq!(waiting.count(), 64);
    }
    pair.restart(0);
    pair.settle();
    pair.check();
    for end in [0, 1] {
        assert!(pair.ends[end].account.epoch().unwrap().queue.is_empty());
        assert_eq!(pair.ends[end].account.epoch().unwrap().theirs.limit, 1099);
    }
}

#[test]
fn a_limit_that_changes_often_while_the_friend_is_away_is_one_operation() {
    let mut pair = Pair::new();
    pair.disconnect();
    for limit in 0..500 {
        pair.account(0).set_limit(limit.into());
        pair.account(0).set_open(limit % 2 == 0);
        pair.ends[0].persist();
    }
    assert_eq!(pair.ends[0].rows.image().queue.len(), 2);
    pair.account(0).set_limit(Amount::MAX);
    pair.ends[0].persist();
    assert_eq!(pair.ends[0].account.limit(), 1 << 96);
    pair.settle();
    assert_eq!(pair.ends[1].account.epoch().unwrap().theirs.limit, 1 << 96);
    assert!(!pair.ends[1].account.epoch().unwrap().theirs.open);
}

// R1.36, R10.2.
#[test]
fn what_arrives_twice_is_taken_once() {
    let mut pair = Pair::new();
    let id = pair.request(0, 10).unwrap();
    pair.sign(0, false);
    let frames: Vec<_> = pair.wire[1].iter().cloned().collect();
    pair.wire[1].extend(frames);
    pair.settle();
    pair.check();
    assert_eq!(pair.ends[1].account.epoch().unwrap().remote_pending(), 10);
    // A resume that comes again in the middle of a connection makes the other side send again what is in flight.
    pair.respond(1, id).unwrap();
    pair.sign(1, false);
    let resume = pair.ends[0].account.resume_frame();
    pair.send(0, resume);
    pair.settle();
    pair.check();
}

#[test]
fn statements_are_dropped_once_nobody_needs_them() {
    let mut pair = Pair::new();
    for _ in 0..300 {
        let id = pair.committed(1);
        pair.collect(1, id).unwrap();
    }
    pair.settle();
    assert_eq!(pair.balances(), [-300, 300]);
    assert!(pair.ends.iter().all(|end| end.rows.statements().len() < 10));
}

// R1.18.
#[test]
fn checkpoints_come_at_least_every_64_statements_without_a_pause() {
    let mut pair = Pair::new();
    let mut since = 0;
    for number in 0..500 {
        pair.account(0).set_limit(number.into());
        pair.ends[0].has_tightened = true;
        pair.ends[0].persist();
        pair.sign(0, false);
        let epoch = pair.ends[0].account.epoch().unwrap();
        since = since.max(epoch.mine.seq - epoch.mine.checkpoint);
        while pair.deliver(1) {}
        if number % 20 == 0 {
            pair.sign(1, true);
            while pair.deliver(0) {}
        }
    }
    assert_eq!(since, 63);
}

/// Operations always wait behind what is signed, and the hash speaks of what is signed.
#[test]
fn checkpoints_come_although_the_queue_is_never_empty() {
    let mut pair = Pair::new();
    let waiting = pair.request(0, 7).unwrap();
    let before = pair.ends[0].account.epoch().unwrap().mine.seq;
    for round in 0..200 {
        let End { account, signer, .. } = &mut pair.ends[0];
        let epoch = account.epoch.as_mut().unwrap();
        while epoch.queue.len() <= OPERATIONS_MAX {
            let operation = Operation::SetLimit(Amount::capped(2000 + u128::from(epoch.queue_next)));
            epoch.queue.insert(epoch.queue_next, Queued { operation, moved: 0.into() });
            epoch.queue_next += 1;
        }
        let SignOutcome::Signed(wire) = account.sign(&**signer, false) else { panic!("the window has room") };
        let epoch = account.epoch().unwrap();
        assert!(!epoch.queue.is_empty() && epoch.mine.seq - epoch.mine.checkpoint < 64);
        pair.ends[0].persist();
        pair.send(0, statement_frame(&wire));
        pair.deliver(1);
        if round % 30 == 0 {
            let _ = pair.respond(1, waiting);
            pair.sign(1, true);
            pair.deliver(0);
        }
    }
    let epoch = pair.ends[1].account.epoch().unwrap();
    assert_eq!(epoch.theirs.seq, before + 200);
    assert!(epoch.theirs.checkpoint > before + 136);
    pair.check();
}
