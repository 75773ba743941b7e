//! Openings: how an account starts, stops and starts again.

use super::*;
use crate::negotiation::Terms;
use crate::{NotAllowed, Status};
use Direction::{Incoming, Outgoing};

fn meet(balances: [i128; 2], floors: [Option<u64>; 2]) -> Pair {
    let mut pair = strangers(cheap_signers(), Box::new(CheapVerifier), balances, floors);
    pair.settle();
    pair
}

fn numbers(pair: &Pair) -> [u64; 2] {
    [0, 1].map(|end| pair.ends[end].account.epoch().unwrap().number)
}

fn theirs(pair: &Pair, end: usize) -> Option<i128> {
    match pair.ends[end].account.status() {
        Status::Inconsistent { theirs, .. } => theirs.map(|terms| terms.balance),
        _ => None,
    }
}

#[test]
fn openings_that_negate_each_other_agree() {
    let pair = meet([-25, 25], [None, None]);
    assert!(pair.is_active());
    assert_eq!((numbers(&pair), pair.balances()), ([0, 0], [-25, 25]));
    pair.check();
}

#[test]
fn before_the_friend_has_shown_terms_we_wait() {
    let mut pair = strangers(cheap_signers(), Box::new(CheapVerifier), [5, -5], [None, None]);
    assert_eq!(pair.ends[0].account.status(), Status::Waiting { mine: Terms { balance: 5, continuing: Vec::new() } });
    assert!(!pair.accept(0));
    assert_eq!(pair.request(0, 1), Err(NotAllowed::NotActive));
}

// R1.27.
#[test]
fn openings_that_differ_are_settled_by_either_side() {
    for who in [0, 1] {
        let mut pair = meet([10, 5], [None, None]);
        assert!(!pair.is_active());
        assert_eq!([theirs(&pair, 0), theirs(&pair, 1)], [Some(-5), Some(-10)]);
        assert!(pair.accept(who));
        pair.settle();
        assert!(pair.is_active());
        assert_eq!(pair.balances()[who], [-5, -10][who]);
        assert!(!pair.accept(who), "there is nothing to accept any more");
        pair.committed(3);
    }
}

// R1.26.
#[test]
fn when_two_acceptances_cross_that_of_the_smaller_key_stands() {
    for restart in [false, true] {
        let mut pair = meet([10, 5], [None, None]);
        pair.disconnect();
        assert!(pair.accept(0) && pair.accept(1));
        assert_eq!(pair.balances(), [-5, -10]);
        if restart {
            pair.restart(0);
            pair.restart(1);
        }
        pair.settle();
        assert!(pair.is_active());
        assert_eq!(pair.balances(), [-5, 5]);
        pair.committed(3);
        pair.check();
    }
}

#[test]
fn a_tombstone_lifts_the_friend_above_it() {
    for floors in [[Some(5), None], [None, Some(5)], [Some(3), Some(5)]] {
        let mut pair = meet([7, -7], floors);
        assert!(pair.is_active());
        assert_eq!(numbers(&pair), [6, 6]);
        pair.committed(3);
    }
}

#[test]
fn the_tombstone_covers_an_epoch_that_the_friends_acceptance_began() {
    let mut pair = meet([10, 5], [None, None]);
    pair.accept(1);
    pair.settle();
    assert_eq!(numbers(&pair), [1, 1]);
    assert_eq!(pair.ends[0].account.newest_epoch(), Some(1));
    pair.stop(0);
    assert_eq!(pair.ends[0].account.negotiation().mine.as_ref().unwrap().epoch, 2, "above the epoch that ended");
    pair.settle();
    assert!(pair.is_active(), "both see the same");
    assert_eq!(numbers(&pair), [2, 2]);
}

#[test]
fn a_stop_while_everything_is_settled_agrees_again_by_itself() {
    let mut pair = Pair::new();
    let continues = pair.committed(20);
    let open = pair.request(0, 30).unwrap();
    pair.settle();
    pair.take_events(0);
    pair.take_events(1);
    pair.stop(0);
    pair.settle();
    assert!(pair.is_active());
    assert_eq!(numbers(&pair), [1, 1]);
    assert_eq!(pair.ends[1].stops, [StopReason::FriendReopened]);
    assert_eq!(pair.take_events(0)[0], Event::EpochBegan { released: vec![open], dropped: vec![], recovered: false });
    assert_eq!(pair.take_events(1)[0], Event::EpochBegan { released: vec![], dropped: vec![open], recovered: false });
    assert!(pair.ends[0].account.is_bound(continues));
    pair.collect(1, continues).unwrap();
    pair.settle();
    pair.check();
    assert_eq!(pair.balances(), [-20, 20]);
}

/// The friend owes 100 and offers the terms of long ago once more, in each form that fits our used up Opening.
#[test]
fn what_was_paid_is_never_forgotten_by_an_opening() {
    for form in 0..2 {
        let mut pair = Pair::new();
        let id = pair.committed(100);
        pair.collect(1, id).unwrap();
        pair.settle();
        assert_eq!(pair.balances(), [-100, 100]);
        let used = pair.ends[1].account.negotiation().mine.as_ref().unwrap().hash();
        let key = pair.ends[0].account.key().clone();
        let terms = Terms { balance: 0, continuing: vec![] };
        let accepts = (form == 1).then_some(used);
        let opening = crate::negotiation::opening(key.local, key.remote, &key.currency, 1, terms, accepts);
        let opening = Verified::sign(opening, &*pair.ends[0].signer);
        let frame = offst_proto::friend::resume_frame(&key.currency, Some(opening.wire()), None, false);
        pair.wire[1].push_back(frame);
        pair.deliver(1);
        assert_eq!(pair.balances()[1], 100);
        assert_eq!(pair.ends[1].stops, [StopReason::FriendReopened]);
        let Status::Inconsistent { mine, theirs, .. } = pair.ends[1].account.status() else { panic!("{form}") };
        assert_eq!((mine.balance, theirs.unwrap().balance), (100, 0));
    }
}

/// The smaller key keeps a crossing acceptance back until something was paid in the epoch that it had confirmed.
#[test]
fn an_acceptance_that_was_held_back_undoes_nothing() {
    let mut pair = meet([10, 5], [None, None]);
    let mut liar = Pair { ends: pair.ends, wire: Default::default(), ..meet([0, 0], [None, None]) };
    let hidden = {
        let End { account, signer, .. } = &liar.ends[0];
        let mut account = account.clone();
        account.accept_theirs(&**signer).unwrap();
        account.resume_frame()
    };
    liar.accept(1);
    liar.settle();
    assert_eq!(liar.balances(), [10, -10]);
    let id = liar.committed(4);
    liar.collect(1, id).unwrap();
    liar.settle();
    liar.wire[1].push_back(hidden);
    liar.deliver(1);
    assert_eq!(liar.balances()[1], -6);
    assert_eq!(numbers(&liar), [1, 1]);
    pair = liar;
    pair.disconnect();
    pair.settle();
}

/// The larger key pays. Its owner accepts terms that leave a committed request out, and the friend that had asked for it is released;
/// then the smaller key's acceptance crosses, of the terms in which it continues.
#[test]
fn an_acceptance_that_crosses_ours_binds_us_to_nothing_that_ours_has_released() {
    let mut pair = Pair::new();
    let id = pair.request(1, 20).unwrap();
    pair.settle();
    pair.respond(0, id).unwrap();
    pair.settle();
    pair.commit(1, id).unwrap();
    pair.sign(1, false);
    pair.disconnect();
    pair.stop(0);
    pair.stop(1);
    pair.settle();
    assert_eq!(pair.ends[1].account.negotiation().mine.as_ref().unwrap().continuing.len(), 1);
    assert_eq!(pair.ends[0].account.negotiation().mine.as_ref().unwrap().continuing.len(), 0);
    pair.disconnect();
    assert!(pair.accept(0) && pair.accept(1));
    assert_eq!(pair.pendings(1, Outgoing), [], "it is released");
    pair.settle();
    assert_eq!(pair.pendings(1, Outgoing), []);
    assert!(!pair.is_active());
    // One of the two owners has to give in.
    assert!(pair.accept(0));
    pair.settle();
    assert!(pair.is_active());
    assert_eq!((pair.balances(), pair.pendings(0, Incoming)), ([0, 0], vec![]));
    pair.committed(3);
    pair.check();
}

// R1.33.
#[test]
fn a_claim_on_a_stopped_account_enters_the_next_terms() {
    let mut pair = Pair::new();
    let id = pair.committed(20);
    pair.disconnect();
    pair.stop(1);
    pair.collect(1, id).unwrap();
    pair.repropose(1);
    pair.settle();
    assert_eq!([theirs(&pair, 0), theirs(&pair, 1)], [Some(-20), Some(0)]);
    pair.accept(0);
    pair.settle();
    assert!(pair.is_active());
    assert_eq!(pair.balances(), [-20, 20]);
    assert_eq!(pair.pendings(0, Outgoing), []);
}

#[test]
fn a_claim_is_written_again_when_the_terms_let_the_request_continue() {
    for cancel in [false, true] {
        let mut pair = Pair::new();
        let id = pair.committed(20);
        pair.disconnect();
        pair.stop(1);
        if cancel {
            pair.cancel(1, id).unwrap();
        } else {
            pair.collect(1, id).unwrap();
        }
        // Not proposed again: the old terms with the request in it are agreed on.
        pair.settle();
        assert!(pair.is_active());
        pair.check();
        assert_eq!(pair.balances(), if cancel { [0, 0] } else { [-20, 20] });
        assert_eq!(pair.pendings(0, Outgoing), []);
    }
}

// R1.30.
#[test]
fn a_collect_on_its_way_is_written_again_when_its_author_accepts_the_friends_terms() {
    let mut pair = Pair::new();
    let id = pair.committed(20);
    pair.collect(1, id).unwrap();
    pair.sign(1, false);
    pair.disconnect();
    pair.stop(0);
    pair.settle();
    assert!(!pair.is_active(), "one sees the credits collected, the other does not");
    pair.accept(1);
    pair.settle();
    assert!(pair.is_active());
    pair.check();
    assert_eq!(pair.balances(), [-20, 20]);
    assert_eq!(pair.pendings(0, Outgoing), []);
}

#[test]
fn an_unsigned_commit_does_not_continue() {
    let mut pair = Pair::new();
    let id = pair.request(0, 20).unwrap();
    pair.settle();
    pair.respond(1, id).unwrap();
    pair.settle();
    pair.commit(0, id).unwrap();
    pair.stop(0);
    assert!(!pair.ends[0].account.pending(Outgoing, id).unwrap().stage.is_committed());
    pair.settle();
    assert!(pair.is_active());
    assert_eq!(pair.pendings(0, Outgoing), []);
    assert_eq!(pair.pendings(1, Incoming), []);
}

#[test]
fn a_commit_on_its_way_is_settled_by_people() {
    for who in [0, 1] {
        let mut pair = Pair::new();
        let id = pair.request(0, 20).unwrap();
        pair.settle();
        pair.respond(1, id).unwrap();
        pair.settle();
        pair.commit(0, id).unwrap();
        pair.sign(0, false);
        pair.disconnect();
        pair.stop(1);
        pair.settle();
        assert!(!pair.is_active());
        pair.take_events(0);
        pair.take_events(1);
        pair.accept(who);
        pair.settle();
        assert!(pair.is_active());
        if who == 0 {
            // The downstream never saw the commit, and says so in what it signed.
            assert_eq!(
                pair.take_events(0),
                [
                    Event::EpochBegan { released: vec![id], dropped: vec![], recovered: false },
                    Event::LimitChanged,
                    Event::LimitChanged
                ]
            );
        } else {
            // The downstream learns of the commit from the terms.
            assert_eq!(pair.take_events(1)[1], Event::Committed(id));
            pair.collect(1, id).unwrap();
            pair.settle();
            assert_eq!(pair.balances(), [-20, 20]);
        }
    }
}

#[test]
fn an_old_database_is_noticed_on_both_sides() {
    for within_the_epoch in [true, false] {
        let mut pair = Pair::new();
        let old = pair.ends[0].rows.clone();
        if !within_the_epoch {
            pair.stop(0);
            pair.settle();
            assert_eq!(numbers(&pair), [1, 1]);
        }
        let id = pair.committed(40);
        pair.collect(1, id).unwrap();
        pair.settle();
        let signed = pair.ends[0].account.newest_epoch();
        pair.ends.iter_mut().for_each(|end| end.stops.clear());
        pair.roll_back(0, old);
        pair.settle();
        assert_eq!(pair.ends[0].stops.last(), Some(&StopReason::OwnStateLost));
        assert!(pair.ends[0].old_state_was_proven);
        assert_eq!(pair.ends[1].stops, [StopReason::FriendStateLost]);
        assert!(pair.ends[0].account.negotiation().mine.as_ref().map(|mine| mine.epoch) > signed);
        // Nobody has to decide anything.
        assert!(pair.is_active());
        assert_eq!(pair.balances(), [-40, 40]);
        pair.committed(3);
    }
}

/// Both acceptances crossed, and the end whose acceptance stands forgets it: each would wait in the other's epoch.
#[test]
fn an_acceptance_that_its_author_has_lost_is_noticed() {
    let mut pair = meet([10, 5], [None, None]);
    let old = pair.ends[0].rows.clone();
    pair.disconnect();
    assert!(pair.accept(0) && pair.accept(1));
    pair.connect();
    pair.deliver(1);
    pair.roll_back(0, old);
    pair.settle();
    assert_eq!(pair.ends[0].stops, [StopReason::FriendStateLost]);
    // What remains is the acceptance of the other, whose terms both have signed, above all that may be forgotten.
    assert!(pair.is_active());
    assert_eq!((numbers(&pair), pair.balances()), ([66, 66], [10, -10]));
    pair.committed(3);
    pair.check();
}

#[test]
fn a_node_that_lost_everything_gets_its_balance_back() {
    let mut pair = Pair::new();
    let id = pair.committed(40);
    pair.collect(1, id).unwrap();
    let continues = pair.committed(15);
    for _ in 0..3 {
        pair.stop(0);
        pair.settle();
    }
    let fresh = strangers(cheap_signers(), Box::new(CheapVerifier), [0, 0], [None, None]);
    let [end, _] = fresh.ends;
    pair.disconnect();
    pair.ends[0] = end;
    pair.settle();
    assert!(pair.ends[0].old_state_was_proven);
    assert!(pair.is_active());
    assert_eq!(pair.balances(), [-40, 40]);
    assert!(pair.ends[0].account.is_bound(continues));
    pair.collect(1, continues).unwrap();
    pair.settle();
    pair.check();
    assert_eq!(pair.balances(), [-55, 55]);
}

// R1.7.
#[test]
fn two_openings_of_one_epoch_stop_the_account_once() {
    let mut pair = Pair::new();
    let key = pair.ends[0].account.key().clone();
    let terms = Terms { balance: 3, continuing: vec![] };
    let opening = crate::negotiation::opening(key.local, key.remote, &key.currency, 0, terms, None);
    let opening = Verified::sign(opening, &*pair.ends[0].signer);
    let frame = offst_proto::friend::resume_frame(&key.currency, Some(opening.wire()), None, false);
    pair.faults_are_expected = true;
    pair.wire[1].extend([frame.clone(), frame]);
    pair.deliver(1);
    pair.deliver(1);
    assert_eq!(pair.ends[1].stops, [StopReason::Fault(Fault::TwoOpenings)]);
}

// R1.25.
#[test]
fn openings_of_others_and_from_the_far_future_are_ignored() {
    let mut pair = Pair::new();
    let key = pair.ends[0].account.key().clone();
    let stranger = Identity::from_seed([9; 32]).public_key();
    let before = pair.ends[1].account.clone();
    for (author, currency, epoch) in [
        (key.local, "credit", (1 << 48) + 1),
        (key.local, "credit", u64::MAX),
        (key.local, "euro", 1),
        (stranger, "credit", 1),
    ] {
        let terms = Terms { balance: 3, continuing: vec![] };
        let opening = crate::negotiation::opening(author, key.remote, &currency.parse().unwrap(), epoch, terms, None);
        let opening = Verified::sign(opening, &CheapSigner(author));
        let position = offst_proto::friend::EpochPosition {
            agreed: sha256(b"x"),
            number: u64::MAX,
            own_seq: u64::MAX,
            own_hash: sha256(b"x"),
            other_seq: u64::MAX,
            other_hash: sha256(b"x"),
        };
        for position in [None, Some(&position)] {
            let frame = offst_proto::friend::resume_frame(&key.currency, Some(opening.wire()), position, false);
            let mut copy = before.clone();
            let FriendMessage::Resume(resume) = FriendMessage::from_frame(&frame).unwrap() else { unreachable!() };
            copy.handle_resume(*resume, &*pair.ends[1].signer, &CheapVerifier);
            assert_eq!(copy.negotiation.theirs, before.negotiation.theirs);
            assert_eq!(copy.epoch().unwrap().balance(), 0);
        }
    }
    pair.settle();
}

/// A friend may use up the epochs of its own account: then nothing more is taken from it, and nothing overflows.
#[test]
fn a_friend_that_jumps_ahead_for_ever_comes_to_an_end() {
    let mut pair = Pair::new();
    let key = pair.ends[0].account.key().clone();
    let account = &mut pair.ends[1].account;
    let mut number = 0;
    let mut jumps = 0;
    loop {
        number += 1 << 48;
        let terms = Terms { balance: jumps, continuing: vec![] };
        let opening = crate::negotiation::opening(key.local, key.remote, &key.currency, number, terms, None);
        let opening = Verified::sign(opening, &CheapSigner(key.local));
        let opening = Some(offst_proto::Unverified::from_wire(opening.wire()).unwrap());
        let resume =
            offst_proto::friend::Resume { currency: key.currency.clone(), opening, epoch: None, recovering: false };
        account.handle_resume(resume, &*pair.ends[1].signer, &CheapVerifier);
        if account.negotiation.theirs.as_ref().is_none_or(|theirs| theirs.epoch != number) {
            break;
        }
        jumps += 1;
    }
    assert_eq!(jumps, 1 << 14, "up to epoch 2^62");
    assert!(account.accept_theirs(&*pair.ends[1].signer).is_ok(), "its terms are as good as any other's");
    account.distrust(NOW_MS);
    assert!(account.newest_epoch().is_some());
}
