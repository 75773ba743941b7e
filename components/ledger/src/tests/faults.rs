//! A friend that signs what it must not: each fault stops the account and changes nothing else.

use super::*;
use crate::{ACCOUNTS, NEGOTIATIONS};
use offst_proto::Amount;
use offst_proto::limits::{CHECKPOINT_WITHIN, PENDING_MAX, UNACKNOWLEDGED_MAX};
use offst_proto::statement::{Operation, Totals};
use offst_rows::{RowError, RowKey};

/// A statement of end 0 that continues its log rightly, for a liar to change.
fn next_statement(pair: &Pair, operations: Vec<Operation>) -> Statement {
    let account = &pair.ends[0].account;
    let epoch = account.epoch().unwrap();
    let key = account.key();
    let mut totals = epoch.signed_totals;
    for operation in &operations {
        let amount = match operation {
            Operation::Request(request) => request.held(),
            other => other
                .request_id()
                .and_then(|id| epoch.pending(Direction::Incoming, id))
                .map_or(Amount::ZERO, |pending| pending.held),
        };
        totals = crate::log::advance(&totals, operation, amount).unwrap();
    }
    Statement {
        author: key.local,
        other: key.remote,
        currency: key.currency.clone(),
        epoch: epoch.number,
        seq: epoch.mine.seq + 1,
        prev_hash: epoch.mine.hash,
        ack_seq: epoch.theirs.seq,
        ack_hash: epoch.theirs.hash,
        operations,
        totals,
        pending_hash: None,
    }
}

fn is_refused(pair: &mut Pair, statement: Statement, expected: Fault) {
    pair.faults_are_expected = true;
    let signed = Verified::sign(statement, &*pair.ends[0].signer);
    let before = pair.ends[1].account.epoch().unwrap().clone();
    let End { account, signer, .. } = &mut pair.ends[1];
    assert_eq!(account.receive(&signed, &**signer), Err(expected));
    assert_eq!(account.epoch().unwrap(), &before, "a fault leaves nothing behind");
    assert_eq!(account.stopped, Some(StopReason::Fault(expected)));
    assert!(!account.is_resumed());
    assert_eq!(account.sign(&**signer, true), SignOutcome::Nothing);
    pair.ends[1].persist();
    // The liar's account can still be settled by people.
    let frame = pair.ends[1].account.resume_frame();
    pair.send(1, frame);
    pair.settle();
    if !pair.is_active() {
        assert!(pair.accept(0));
        pair.settle();
    }
    assert!(pair.is_active());
}

fn refuses(expected: Fault, operations: Vec<Operation>, change: impl FnOnce(&mut Statement)) {
    let mut pair = Pair::new();
    let mut statement = next_statement(&pair, operations);
    change(&mut statement);
    is_refused(&mut pair, statement, expected);
}

// R1.1, R1.2.
#[test]
fn a_statement_has_to_continue_the_log() {
    refuses(Fault::NotContinuing, vec![], |s| s.seq += 1);
    refuses(Fault::NotContinuing, vec![], |s| s.seq = u64::MAX);
    refuses(Fault::NotContinuing, vec![], |s| s.prev_hash = sha256(b"other"));
    refuses(Fault::NotContinuing, vec![], |s| s.epoch += 1);
    refuses(Fault::NotContinuing, vec![], |s| s.currency = "euro".parse().unwrap());
    refuses(Fault::Equivocation, vec![], |s| s.seq -= 1);
}

// R1.7.
#[test]
fn a_log_that_forks_is_noticed_when_friends_meet_again() {
    let mut pair = Pair::new();
    pair.faults_are_expected = true;
    let fork = pair.ends[0].rows.clone();
    let seq = pair.ends[0].account.epoch().unwrap().mine.seq;
    pair.account(0).set_limit(7.into());
    pair.settle();
    assert!(pair.ends[1].account.epoch().unwrap().theirs.seq > seq);
    let theirs = pair.ends[1].account.epoch().unwrap().theirs;
    pair.roll_back(0, fork);
    // The liar signs on as far as the friend knows its log.
    while pair.ends[0].account.epoch().unwrap().mine.seq < theirs.seq {
        let End { account, signer, .. } = &mut pair.ends[0];
        account.resumed = true;
        account.set_limit(8.into());
        let SignOutcome::Signed(_) = account.sign(&**signer, true) else {
            account.set_limit(9.into());
            continue;
        };
    }
    pair.ends[0].persist();
    pair.disconnect();
    pair.settle();
    assert!(pair.ends[1].stops.contains(&StopReason::Fault(Fault::Equivocation)));
}

// R1.3.
#[test]
fn only_what_we_signed_can_be_acknowledged() {
    refuses(Fault::WrongAcknowledgement, vec![], |s| s.ack_seq += 1);
    refuses(Fault::WrongAcknowledgement, vec![], |s| s.ack_seq = 0);
    refuses(Fault::WrongAcknowledgement, vec![], |s| s.ack_hash = sha256(b"other"));
}

// R1.4.
#[test]
fn totals_are_the_sums_of_the_operations() {
    refuses(Fault::WrongTotals, vec![], |s| s.totals.collected += 1);
    refuses(Fault::WrongTotals, vec![], |s| s.totals.cancelled = u128::MAX);
    refuses(Fault::WrongTotals, vec![Operation::SetLimit(1.into())], |s| s.totals.requested = 5);
    refuses(Fault::WrongTotals, vec![], |s| s.totals = Totals { requested: 1, ..s.totals });
}

// R1.6, R1.8.
#[test]
fn steps_for_requests_that_are_not_pending_are_faults() {
    let id = RequestId::from_bytes([5; 16]);
    let hop = Identity::from_seed([9; 32]).public_key();
    for operation in [
        Operation::Response(answer_with(id)),
        Operation::Commit { id },
        Operation::Abort { id },
        Operation::Collect { id, preimage: preimage_of(id) },
        Operation::Cancel { id, reason: CancelReason::Busy, hop },
    ] {
        refuses(Fault::WrongStage, vec![operation], |_| ());
    }
    let request = Operation::Request(Box::new(request_with(id, 5)));
    refuses(Fault::WrongStage, vec![request.clone(), request.clone()], |_| ());
    refuses(Fault::WrongStage, vec![request.clone(), Operation::Commit { id }], |_| ());
    refuses(Fault::WrongStage, vec![request.clone(), Operation::Abort { id }, Operation::Abort { id }], |_| ());
}

// R1.14.
#[test]
fn an_upstream_cannot_abort_what_it_has_committed_nor_commit_twice() {
    for step in [|id| Operation::Abort { id }, |id| Operation::Commit { id }] {
        let mut pair = Pair::new();
        let id = pair.committed(5);
        let statement = next_statement(&pair, vec![step(id)]);
        is_refused(&mut pair, statement, Fault::WrongStage);
    }
}

#[test]
fn a_commit_after_the_cancel_was_acknowledged_is_a_fault() {
    let mut pair = Pair::new();
    let id = pair.request(0, 5).unwrap();
    pair.settle();
    pair.cancel(1, id).unwrap();
    pair.settle();
    let statement = next_statement(&pair, vec![Operation::Commit { id }]);
    is_refused(&mut pair, statement, Fault::WrongStage);
}

// R1.15.
#[test]
fn a_downstream_collects_only_what_was_committed_for_the_right_preimage() {
    for (commit, sign, preimage) in [(false, true, true), (true, false, true), (true, true, false)] {
        let mut pair = Pair::new();
        let id = pair.request(1, 5).unwrap();
        pair.settle();
        pair.respond(0, id).unwrap();
        pair.settle();
        if commit {
            pair.commit(1, id).unwrap();
            if sign {
                pair.settle();
            }
        }
        let preimage = if preimage { preimage_of(id) } else { Preimage::from_bytes([0; 32]) };
        let statement = next_statement(&pair, vec![Operation::Collect { id, preimage }]);
        pair.faults_are_expected = true;
        let signed = Verified::sign(statement, &*pair.ends[0].signer);
        let before = pair.ends[1].account.epoch().unwrap().balance();
        let End { account, signer, .. } = &mut pair.ends[1];
        assert_eq!(account.receive(&signed, &**signer), Err(Fault::WrongStage));
        assert_eq!(account.epoch().unwrap().balance(), before);
        account.epoch().unwrap().assert_sound();
        pair.ends[1].persist();
    }
}

#[test]
fn the_second_response_is_a_fault() {
    let mut pair = Pair::new();
    let id = pair.request(1, 5).unwrap();
    pair.settle();
    pair.respond(0, id).unwrap();
    pair.settle();
    let statement = next_statement(&pair, vec![Operation::Response(answer_with(id))]);
    is_refused(&mut pair, statement, Fault::WrongStage);
}

// R1.18.
#[test]
fn a_checkpoint_shows_the_requests_that_we_see() {
    refuses(Fault::OtherPendings, vec![], |s| s.pending_hash = Some(sha256(b"other")));
}

/// Also when the author has not seen all of our log: it speaks of what it has seen.
#[test]
fn a_checkpoint_that_crosses_with_statements_of_ours_is_compared_too() {
    for is_forged in [false, true] {
        let mut pair = Pair::new();
        let theirs = pair.request(1, 5).unwrap();
        pair.settle();
        pair.cancel(1, theirs).unwrap_err();
        pair.request(1, 7).unwrap();
        pair.sign(1, false);
        pair.wire[0].clear();
        let ours = pair.request(0, 9).unwrap();
        pair.respond(0, theirs).unwrap();
        let mut statement = {
            let End { account, signer, .. } = &mut pair.ends[0];
            let SignOutcome::Signed(wire) = account.sign(&**signer, true) else { unreachable!() };
            Unverified::<Statement>::from_wire(&wire).unwrap().trust_own_database().into_value()
        };
        assert!(statement.pending_hash.is_some() && statement.ack_seq < pair.ends[1].account.epoch().unwrap().mine.seq);
        if is_forged {
            let mut view = pair.ends[0].account.epoch().unwrap().local_view.clone();
            let key = (Direction::Outgoing, ours);
            let pending = *view.get(key).unwrap();
            view.set(key, Some(Pending { held: Amount::capped(pending.held.credits() + 1), ..pending }));
            let account = &pair.ends[0].account;
            statement.pending_hash = Some(sha256(&view.checkpoint(account.key(), &account.epoch().unwrap().agreed)));
        }
        let signed = Verified::sign(statement, &*pair.ends[0].signer);
        pair.faults_are_expected = is_forged;
        let expected = if is_forged { Err(Fault::OtherPendings) } else { Ok(()) };
        assert_eq!(pair.receive(1, &signed), expected);
    }
}

// R1.11.
#[test]
fn twice_as_many_requests_as_are_taken_are_a_fault() {
    let mut pair = Pair::new();
    pair.ends[1].has_tightened = true;
    let mut number = 0u128;
    loop {
        let requests = (0..200).map(|_| {
            number += 1;
            Operation::Request(Box::new(request_with(RequestId::from_bytes(number.to_be_bytes()), 1)))
        });
        let statement = next_statement(&pair, requests.collect());
        let view = pair.ends[1].account.epoch().unwrap().peer_view.count(Direction::Incoming);
        let signed = Verified::sign(statement.clone(), &*pair.ends[0].signer);
        let epoch = pair.ends[1].account.epoch.as_mut().unwrap();
        let key = pair.ends[1].account.key.clone();
        let result = epoch.receive(&key, &signed);
        if view + 200 > 2 * PENDING_MAX {
            assert_eq!(result.map(|_| ()), Err(Fault::TooManyRequests));
            break;
        }
        result.unwrap();
        let mine = &mut pair.ends[0].account.epoch.as_mut().unwrap();
        (mine.mine.seq, mine.mine.hash) = (statement.seq, signed.hash());
        mine.signed_totals = statement.totals;
    }
}

// R1.13.
#[test]
fn totals_that_near_the_end_of_their_range_are_a_fault() {
    let mut pair = Pair::new();
    let most = 1u128 << 96;
    pair.ends[1].account.epoch.as_mut().unwrap().theirs.totals.requested = u128::MAX / 4 - 1;
    let id = RequestId::from_bytes([5; 16]);
    let mut statement = next_statement(&pair, vec![Operation::Request(Box::new(request_with(id, most)))]);
    statement.totals.requested = u128::MAX;
    let signed = Verified::sign(statement, &*pair.ends[0].signer);
    let End { account, .. } = &mut pair.ends[1];
    let key = account.key().clone();
    assert_eq!(account.epoch.as_mut().unwrap().receive(&key, &signed), Err(Fault::OutOfRange));
}

// R1.10.
#[test]
fn a_friend_that_never_acknowledges_is_stopped_by_its_window() {
    let mut pair = Pair::new();
    pair.faults_are_expected = true;
    let (ack_seq, ack_hash) = {
        let epoch = pair.ends[0].account.epoch().unwrap();
        (epoch.theirs.seq, epoch.theirs.hash)
    };
    let mut statement = next_statement(&pair, vec![Operation::SetLimit(1.into())]);
    for number in 0.. {
        let signed = Verified::sign(statement.clone(), &*pair.ends[0].signer);
        let result = pair.receive(1, &signed);
        if number == UNACKNOWLEDGED_MAX {
            assert_eq!(result, Err(Fault::WindowPassed));
            break;
        }
        assert_eq!(result, Ok(()));
        pair.sign(1, true);
        statement.seq += 1;
        statement.prev_hash = signed.hash();
        (statement.ack_seq, statement.ack_hash) = (ack_seq, ack_hash);
    }
    assert!(pair.ends[1].account.epoch().unwrap().unacknowledged.len() <= UNACKNOWLEDGED_MAX);
}

// R1.19.
#[test]
fn a_friend_without_checkpoints_is_in_fault() {
    let mut pair = Pair::new();
    pair.faults_are_expected = true;
    let since = pair.ends[1].account.epoch().unwrap().theirs.checkpoint;
    let mut statement = next_statement(&pair, vec![]);
    while statement.seq - since < CHECKPOINT_WITHIN {
        let signed = Verified::sign(statement.clone(), &*pair.ends[0].signer);
        assert_eq!(pair.receive(1, &signed), Ok(()));
        statement.seq += 1;
        statement.prev_hash = signed.hash();
    }
    assert!(pair.ends[1].rows.statements().len() < 1100);
    let signed = Verified::sign(statement, &*pair.ends[0].signer);
    assert_eq!(pair.receive(1, &signed), Err(Fault::NoCheckpoint));
}

// R1.9.
#[test]
fn content_is_no_fault() {
    let mut pair = Pair::new();
    pair.ends[1].has_tightened = true;
    let id = RequestId::from_bytes([5; 16]);
    // Far above the limit.
    let request = Operation::Request(Box::new(request_with(id, 1 << 96)));
    let signed = Verified::sign(next_statement(&pair, vec![request]), &*pair.ends[0].signer);
    assert_eq!(pair.receive(1, &signed), Ok(()));
    assert!(pair.ends[1].account.active().is_some());
    assert_eq!(pair.pendings(1, Direction::Incoming), []);
}

// R1.5.
#[test]
fn rows_that_were_damaged_are_an_error() {
    let mut pair = Pair::new();
    let id = pair.committed(5);
    pair.commit(0, id).unwrap_err();
    let image = pair.ends[0].rows.image();
    let key = pair.ends[0].account.key().clone();
    let mut without = image.clone();
    without.pendings.clear();
    assert!(Account::restore(key.clone(), without).is_err());
    for bit in 0..image.head.len() * 8 {
        let mut damaged = image.clone();
        damaged.head[bit / 8] ^= 1 << (bit % 8);
        let _ = Account::restore(key.clone(), damaged);
    }
    for len in 0..image.head.len() {
        let mut damaged = image.clone();
        damaged.head.truncate(len);
        assert!(Account::restore(key.clone(), damaged).is_err());
    }
}

/// A later version has written a field into a row that this one does not know.
#[test]
fn an_unknown_odd_field_survives_and_an_even_one_is_refused() {
    let mut pair = Pair::new();
    let id = pair.committed(5);
    let stored = &pair.ends[0].rows;
    let key = pair.ends[0].account.key().clone();
    let pending = |rows: &Rows| rows.of(PENDING_REQUESTS).map(|(key, _)| key.to_vec()).next().unwrap();
    let account = stored.account.to_bytes();
    let rows = [(ACCOUNTS, account.clone()), (NEGOTIATIONS, account), (PENDING_REQUESTS, pending(&stored.rows))];
    for (kind, row) in rows {
        for (tag, is_taken) in [(251, true), (250, false)] {
            let mut newer = stored.clone();
            let value = [newer.rows.get(kind, &row).unwrap(), &[tag, 2, 7, 7]].concat();
            newer.rows.insert(kind.number, row.clone(), value);
            let image = AccountImage::of(&newer.account, &newer.rows);
            let restored = image.and_then(|image| Account::restore(key.clone(), image));
            if !is_taken {
                let refused = restored.unwrap_err();
                assert_eq!(refused, RowError::UnknownField { kind: kind.name, tag });
                continue;
            }
            let mut restored = restored.unwrap();
            // Each of the rows is written again.
            restored.distrust(NOW_MS);
            restored.marks.pendings.insert((Direction::Outgoing, id));
            newer.apply(restored.take_changes());
            assert!(newer.rows.get(kind, &row).unwrap().ends_with(&[251, 2, 7, 7]), "{kind:?}");
        }
    }
}
