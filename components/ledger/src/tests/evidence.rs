//! What a friend shows of an account whose disk was lost, and how one is found out that leaves something out or writes
//! what the rules of a log forbid.

use super::*;
use crate::Head;
use crate::recovery::StateTrust;
use offst_proto::Amount;
use offst_proto::opening::Opening;
use offst_proto::statement::Operation;

/// A friend's frames as it would show them now, taken apart.
struct Shown {
    evidence: offst_proto::friend::Evidence,
    statements: Vec<Statement>,
}

fn shown_by(pair: &Pair, end: usize) -> Shown {
    let Stored { account, rows } = &pair.ends[end].rows;
    let stored = EvidenceRows::of(account, rows);
    let (frames, _) = pair.ends[end].account.clone().evidence(stored, NOW_MS, &*pair.ends[end].signer);
    let mut evidence = None;
    let mut statements = Vec::new();
    for frame in frames {
        match FriendMessage::from_frame(&frame).unwrap() {
            FriendMessage::Evidence(shown) => evidence = Some(*shown),
            FriendMessage::EvidenceStatements(list) => {
                statements.extend(list.into_iter().map(|s| s.trust_own_database().into_value()));
            }
            other => panic!("{other:?}"),
        }
    }
    Shown { evidence: evidence.unwrap(), statements }
}

/// What end 0 makes of evidence of end 1: whether it was adopted.
fn believes(
    pair: &Pair,
    account: &mut Account,
    shown: Shown,
) -> Result<(), (Option<EvidenceRefused>, Option<StopReason>)> {
    let before = account.epoch().cloned();
    let signer = &*pair.ends[0].signer;
    let mut evidence = shown.evidence;
    evidence.statements = u32::try_from(shown.statements.len()).unwrap();
    let mut outcomes = vec![account.take_evidence(evidence, NOW_MS, signer, &CheapVerifier)];
    for statement in shown.statements {
        // A liar can sign for itself, and only repeat what the other has signed.
        let author = statement.author;
        let signed = Verified::sign(statement, &CheapSigner(author));
        outcomes.push(account.take_evidence_statements(vec![signed], NOW_MS, signer));
    }
    if outcomes.iter().any(|outcome| outcome.recovered) {
        return Ok(());
    }
    assert_eq!(account.epoch(), before.as_ref(), "what is not adopted leaves nothing behind");
    let refused = outcomes.iter().find_map(|outcome| outcome.refused);
    Err((refused, outcomes.iter().find_map(|outcome| outcome.stopped)))
}

/// End 0 has signed commits, end 1 collects; 0 loses its disk.
fn before_the_lie() -> (Pair, Head) {
    let mut pair = Pair::new();
    let collected = pair.committed(15);
    pair.collect(1, collected).unwrap();
    pair.settle();
    for amount in [7, 8, 9] {
        let id = pair.request(0, amount).unwrap();
        pair.sign(0, false);
        pair.deliver(1);
        pair.respond(1, id).unwrap();
        pair.sign(1, false);
        pair.deliver(0);
    }
    // The friend owes this much to end 0 and would like to forget it.
    let theirs = pair.request(1, 40).unwrap();
    pair.sign(1, false);
    pair.deliver(0);
    pair.respond(0, theirs).unwrap();
    pair.sign(0, false);
    pair.deliver(1);
    pair.commit(1, theirs).unwrap();
    pair.sign(1, false);
    pair.deliver(0);
    pair.collect(0, theirs).unwrap();
    pair.sign(0, false);
    pair.deliver(1);
    pair.sign(1, true);
    pair.deliver(0);
    let head = pair.ends[0].account.newest_head().unwrap();
    (pair, head)
}

fn lost(pair: &Pair) -> Account {
    let mut account = Account::lost(pair.ends[0].account.key().clone(), 1000.into(), true, NOW_MS);
    account.take_changes();
    account
}

// R1.20.
#[test]
fn honest_evidence_is_believed() {
    let (pair, head) = before_the_lie();
    let mut account = lost(&pair);
    account.expect_at_least(head);
    assert_eq!(believes(&pair, &mut account, shown_by(&pair, 1)), Ok(()));
    assert_eq!(account.epoch().unwrap().balance(), 25);
    let mut doubtful = pair.ends[0].account.clone();
    doubtful.distrust(NOW_MS);
    assert_eq!(believes(&pair, &mut doubtful, shown_by(&pair, 1)), Ok(()));
    assert_eq!(doubtful.epoch().unwrap().balance(), 25);
    assert!(doubtful.negotiation().mine.as_ref().unwrap().epoch >= NOW_MS);
}

// R7.4.
#[test]
fn evidence_that_leaves_something_out_is_found_out() {
    let (pair, head) = before_the_lie();
    let whole = shown_by(&pair, 1).statements.len();
    assert!(whole > 6);
    for kept in 0..whole {
        let cut = || {
            let mut shown = shown_by(&pair, 1);
            shown.statements.truncate(kept);
            shown
        };
        let mut account = lost(&pair);
        account.expect_at_least(head);
        let (_, stopped) = believes(&pair, &mut account, cut()).unwrap_err();
        let mut doubtful = pair.ends[0].account.clone();
        doubtful.distrust(NOW_MS);
        let (_, stopped_too) = believes(&pair, &mut doubtful, cut()).unwrap_err();
        // The first ones alone are not even evidence.
        if kept >= 2 {
            assert_eq!(stopped, Some(StopReason::FriendWithholds), "{kept}");
            assert_eq!(stopped_too, Some(StopReason::FriendWithholds), "{kept}");
        }
        // A single one in the middle is missing.
        let mut shown = shown_by(&pair, 1);
        shown.statements.remove(kept);
        let mut account = lost(&pair);
        account.expect_at_least(head);
        assert!(believes(&pair, &mut account, shown).is_err());
    }
    let nothing = || {
        let mut shown = shown_by(&pair, 1);
        (shown.evidence.openings, shown.evidence.checkpoint) = (None, None);
        shown.statements.clear();
        shown
    };
    let mut doubtful = pair.ends[0].account.clone();
    doubtful.distrust(NOW_MS);
    assert_eq!(believes(&pair, &mut doubtful, nothing()), Err((None, Some(StopReason::FriendWithholds))));
    assert!(believes(&pair, &mut lost(&pair), nothing()).is_err());
}

/// Evidence with one thing changed is refused by every node.
fn is_refused_with(change: impl Fn(&Pair, &mut Shown)) -> Option<EvidenceRefused> {
    let (pair, _) = before_the_lie();
    let shown = || {
        let mut shown = shown_by(&pair, 1);
        change(&pair, &mut shown);
        shown
    };
    let mut doubtful = pair.ends[0].account.clone();
    doubtful.distrust(NOW_MS);
    assert!(believes(&pair, &mut doubtful, shown()).is_err());
    believes(&pair, &mut lost(&pair), shown()).unwrap_err().0
}

fn breaks_a_rule(refused: Option<EvidenceRefused>, expected: Fault) {
    let Some(EvidenceRefused::Contradiction(Contradiction::Statement { fault, .. })) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(fault, expected);
}

/// The last statement of end 1, and how it is signed again.
fn last_of_liar<'s>(pair: &Pair, shown: &'s mut Shown) -> &'s mut Statement {
    let liar = pair.ends[1].account.key().local;
    shown.statements.iter_mut().rev().find(|s| s.author == liar).unwrap()
}

#[test]
fn a_liar_cannot_write_into_the_epoch_what_its_rules_forbid() {
    let append = |operations: fn(&Pair) -> Vec<Operation>, amount: u128| {
        move |pair: &Pair, shown: &mut Shown| {
            let last = last_of_liar(pair, shown).clone();
            let prev_hash = Verified::sign(last.clone(), &CheapSigner(last.author)).hash();
            let mut next = Statement { seq: last.seq + 1, prev_hash, operations: operations(pair), ..last };
            next.pending_hash = None;
            next.totals.collected += amount;
            shown.statements.push(next);
        }
    };
    // Of a request that was never committed.
    let collect = append(
        move |pair| {
            let id = pair.pendings(1, Direction::Incoming)[0].0;
            vec![Operation::Collect { id, preimage: preimage_of(id) }]
        },
        7,
    );
    breaks_a_rule(is_refused_with(collect), Fault::WrongStage);
    // More than the operations say.
    breaks_a_rule(is_refused_with(append(|_| vec![], 100)), Fault::WrongTotals);
    // An acknowledgement of what was never signed.
    let refused = is_refused_with(|pair, shown| {
        append(|_| vec![], 0)(pair, shown);
        shown.statements.last_mut().unwrap().ack_seq += 1;
    });
    breaks_a_rule(refused, Fault::WrongAcknowledgement);
    // Another checkpoint.
    let refused = is_refused_with(|pair, shown| last_of_liar(pair, shown).pending_hash = Some(sha256(b"other")));
    breaks_a_rule(refused, Fault::OtherPendings);
    // A statement of the victim's that it never signed, which the verifier would not let pass anyway.
    let refused = is_refused_with(|pair, shown| {
        let victim = pair.ends[0].account.key().local;
        let last = shown.statements.iter().rev().find(|s| s.author == victim).unwrap().clone();
        let stranger = Identity::from_seed([9; 32]).public_key();
        shown.statements.push(Statement { author: stranger, seq: last.seq + 1, ..last });
    });
    assert_eq!(refused, Some(EvidenceRefused::Contradiction(Contradiction::OtherAccount)));
}

#[test]
fn a_liar_cannot_change_the_set_or_the_openings() {
    let refused = is_refused_with(|pair, shown| {
        let account = &pair.ends[0].account;
        let mut view = account.epoch().unwrap().local_view.clone();
        let (id, pending) = pair.pendings(0, Direction::Outgoing)[0];
        view.set(
            (Direction::Outgoing, id),
            Some(Pending { held: Amount::capped(pending.held.credits() + 1), ..pending }),
        );
        let agreed = account.epoch().unwrap().agreed;
        shown.evidence.checkpoint.as_mut().unwrap().set = view.checkpoint(account.key(), &agreed);
    });
    assert!(matches!(refused, Some(EvidenceRefused::Contradiction(Contradiction::Checkpoint { .. }))), "{refused:?}");
    // Openings of the same epoch with another balance: end 0's is signed by nobody.
    let other = |pair: &Pair, author: usize, balance: i128, epoch: u64, accepts: Option<offst_crypto::Hash>| {
        let key = pair.ends[author].account.key();
        let terms = crate::Terms { balance, continuing: vec![] };
        let opening = crate::negotiation::opening(key.local, key.remote, &key.currency, epoch, terms, accepts);
        let signed = Verified::sign(opening, &CheapSigner(key.local));
        (Unverified::from_wire(signed.wire()).unwrap(), signed.hash())
    };
    let refused = is_refused_with(|pair, shown| {
        let liars = other(pair, 1, 1000, 0, None).0;
        shown.evidence.openings.as_mut().unwrap()[0] = liars;
    });
    assert_eq!(refused, Some(EvidenceRefused::Openings), "they do not agree");
    let refused = is_refused_with(|pair, shown| {
        let forged = other(pair, 0, -1000, 0, None).0;
        let mut wire = forged.wire().to_vec();
        *wire.last_mut().unwrap() ^= 1;
        let openings = [other(pair, 1, 1000, 0, None).0, Unverified::from_wire(&wire).unwrap()];
        shown.evidence.openings = Some(openings);
    });
    assert_eq!(refused, Some(EvidenceRefused::Openings), "a signature is missing");
    // Another Opening of the liar's for the same epoch, which says the same: no statement of the epoch grows from it.
    let refused = is_refused_with(|pair, shown| {
        let liars = other(pair, 1, 0, 0, Some(sha256(b"whatever"))).0;
        shown.evidence.openings.as_mut().unwrap()[0] = liars;
    });
    assert!(matches!(refused, Some(EvidenceRefused::Contradiction(_))), "{refused:?}");
    // An Opening of end 0 that was used up long ago, accepted anew: end 0 was never in that epoch.
    for epoch in [1, 5, NOW_MS] {
        let refused = is_refused_with(|pair, shown| {
            let [_, used] = shown.evidence.openings.clone().unwrap();
            let hash = used.clone().trust_own_database().hash();
            shown.evidence.openings = Some([other(pair, 1, 0, epoch, Some(hash)).0, used]);
            shown.evidence.checkpoint = None;
            shown.statements.clear();
        });
        assert_eq!(refused, Some(EvidenceRefused::Unproven));
    }
    let refused = is_refused_with(|pair, shown| {
        let [_, used] = shown.evidence.openings.clone().unwrap();
        let hash = used.clone().trust_own_database().hash();
        shown.evidence.openings = Some([other(pair, 1, 0, u64::MAX, Some(hash)).0, used]);
        shown.statements.clear();
        shown.evidence.checkpoint = None;
    });
    assert_eq!(refused, Some(EvidenceRefused::Openings), "far in the future");
}

/// A friend that signs two statements for one place is found out by what the other remembers.
#[test]
fn a_fork_of_the_friends_log_is_found_out() {
    let (pair, head) = before_the_lie();
    let shown = || {
        let mut shown = shown_by(&pair, 1);
        last_of_liar(&pair, &mut shown).ack_seq -= 1;
        let statement = last_of_liar(&pair, &mut shown).clone();
        let hash = shown
            .statements
            .iter()
            .find(|s| s.author != statement.author && s.seq == statement.ack_seq)
            .map(|s| Verified::sign(s.clone(), &CheapSigner(s.author)).hash())
            .unwrap();
        let last = last_of_liar(&pair, &mut shown);
        (last.ack_hash, last.pending_hash) = (hash, None);
        shown
    };
    let mut account = lost(&pair);
    assert_eq!(believes(&pair, &mut account, shown()), Ok(()), "it is a log that could be");
    let mut account = lost(&pair);
    account.expect_at_least(head);
    assert_eq!(believes(&pair, &mut account, shown()), Err((None, Some(StopReason::FriendWithholds))));
    let mut doubtful = pair.ends[0].account.clone();
    doubtful.distrust(NOW_MS);
    assert_eq!(believes(&pair, &mut doubtful, shown()), Err((None, Some(StopReason::FriendWithholds))));
}

/// One signature is enough, whatever else is wrong with what comes with it.
/// (R7.3.)
#[test]
fn a_signature_that_a_node_does_not_know_proves_that_its_database_is_old() {
    let mut pair = Pair::new();
    let old = pair.ends[0].restored();
    pair.committed(15);
    let shown = shown_by(&pair, 1);
    let mut account = old;
    account.take_evidence(shown.evidence, NOW_MS, &*pair.ends[0].signer, &CheapVerifier);
    let victim = pair.ends[0].account.key().local;
    let newest = shown.statements.into_iter().rfind(|s| s.author == victim).unwrap();
    let newest = Verified::sign(newest, &CheapSigner(victim));
    let outcome = account.take_evidence_statements(vec![newest], NOW_MS, &*pair.ends[0].signer);
    assert!(outcome.own_state_is_old && !outcome.recovered);
    assert_eq!(outcome.stopped, Some(StopReason::OwnStateLost));
    assert!(account.is_recovering());
    // What the node knows proves nothing.
    let shown = shown_by(&pair, 1);
    let mut account = pair.ends[0].account.clone();
    let mut known = account.take_evidence(shown.evidence, NOW_MS, &*pair.ends[0].signer, &CheapVerifier);
    for statement in shown.statements {
        let author = statement.author;
        let signed = vec![Verified::sign(statement, &CheapSigner(author))];
        known = account.take_evidence_statements(signed, NOW_MS, &*pair.ends[0].signer);
        assert!(!known.own_state_is_old);
    }
    assert_eq!((known.stopped, account.is_recovering()), (None, false));
}

/// The friend agrees quickly to what rests on too little: an epoch that we have offered ourselves proves nothing.
/// (R7.10.)
#[test]
fn an_offer_that_rested_on_too_little_is_no_evidence() {
    let (pair, head) = before_the_lie();
    let mut account = lost(&pair);
    let mut shown = shown_by(&pair, 1);
    shown.statements.truncate(3);
    assert_eq!(believes(&pair, &mut account, shown), Ok(()));
    let mine = account.negotiation().mine.clone().unwrap();
    assert!(!account.expect_at_least(head));
    let mirrored = Opening { author: mine.other, other: mine.author, balance: -mine.balance, ..(*mine).clone() };
    assert!(mirrored.continuing.is_empty());
    let theirs = Verified::sign(mirrored, &CheapSigner(mine.other));
    let mut shown = shown_by(&pair, 1);
    shown.statements.clear();
    let opening = |opening: &Verified<Opening>| Unverified::from_wire(opening.wire()).unwrap();
    (shown.evidence.openings, shown.evidence.checkpoint) = (Some([opening(&theirs), opening(&mine)]), None);
    shown.evidence.newest_epoch = mine.epoch;
    let (refused, stopped) = believes(&pair, &mut account, shown).unwrap_err();
    assert_eq!((refused, stopped, account.stopped), (None, None, Some(StopReason::FriendWithholds)));
    assert_eq!(account.recovery.trust, StateTrust::Suspect);
    assert_eq!(believes(&pair, &mut account, shown_by(&pair, 1)), Ok(()));
    assert_eq!(account.epoch().unwrap().balance(), 25);
}

/// A clock that was wrong, ours or a friend's, has put an epoch ahead of what the clock shows now. What we had signed
/// for it before our database became suspect is no offer: what the friend shows of that epoch is all that others
/// remember, and is believed.
#[test]
fn what_was_agreed_on_while_a_clock_was_ahead_is_no_offer() {
    const YEAR_MS: u64 = 365 * 24 * 60 * 60 * 1000;
    let mut pair = Pair::new();
    pair.now_ms = NOW_MS + YEAR_MS;
    let offering = pair.ends[0].account.clone();
    pair.disconnect();
    pair.ends[0].account.distrust(NOW_MS + YEAR_MS);
    pair.settle();
    let (begun, agreed) = (pair.ends[0].account.clone(), pair.ends[0].account.epoch().unwrap().number);
    assert!(agreed >= NOW_MS + YEAR_MS);
    let collected = pair.committed(15);
    pair.collect(1, collected).unwrap();
    pair.settle();
    let head = pair.ends[0].account.newest_head().unwrap();
    // Copies from the middle of the epoch, and from when it was offered.
    let mut offering = offering;
    offering.negotiation.mine = begun.negotiation().mine.clone();
    for copy in [begun, offering] {
        let mut account = copy.clone();
        account.distrust(NOW_MS);
        account.expect_at_least(head);
        let mut less = shown_by(&pair, 1);
        less.statements.truncate(less.statements.len() - 2);
        let mut cheated = account.clone();
        assert_eq!(believes(&pair, &mut cheated, less), Err((None, Some(StopReason::FriendWithholds))));
        assert_eq!(believes(&pair, &mut account, shown_by(&pair, 1)), Ok(()));
        assert_eq!(account.epoch().unwrap().balance(), -15);
        assert!(account.next_epoch() > agreed);
    }
}

/// The same, when the friend proves meanwhile that it had shown too little, before others can tell.
#[test]
fn an_offer_that_rested_on_too_little_stays_one_when_the_doubt_comes_back() {
    for clock_went_on_ms in [0, 1, 10_000] {
        let (pair, head) = before_the_lie();
        let mut account = lost(&pair);
        let mut shown = shown_by(&pair, 1);
        shown.statements.truncate(3);
        assert_eq!(believes(&pair, &mut account, shown), Ok(()));
        let mine = account.negotiation().mine.clone().unwrap();
        account.distrust(mine.epoch + clock_went_on_ms);
        account.expect_at_least(head);
        let mirrored = Opening { author: mine.other, other: mine.author, balance: -mine.balance, ..(*mine).clone() };
        let theirs = Verified::sign(mirrored, &CheapSigner(mine.other));
        let mut shown = shown_by(&pair, 1);
        shown.statements.clear();
        let opening = |opening: &Verified<Opening>| Unverified::from_wire(opening.wire()).unwrap();
        (shown.evidence.openings, shown.evidence.checkpoint) = (Some([opening(&theirs), opening(&mine)]), None);
        shown.evidence.newest_epoch = mine.epoch;
        let refused = believes(&pair, &mut account, shown);
        assert_eq!(refused, Err((None, Some(StopReason::FriendWithholds))), "{clock_went_on_ms}");
        assert_eq!(believes(&pair, &mut account, shown_by(&pair, 1)), Ok(()));
    }
}

#[test]
fn up_to_where_our_state_was_relied_on_survives() {
    let (pair, _) = before_the_lie();
    let mut account = pair.ends[0].account.clone();
    account.take_changes();
    account.distrust(NOW_MS);
    let mut rows = pair.ends[0].rows.clone();
    rows.apply(account.take_changes());
    let restored = |rows: &Stored| Account::restore(account.key().clone(), rows.image()).unwrap();
    assert_eq!(restored(&rows).negotiation(), account.negotiation());
    assert_eq!(account.negotiation().floor.relied_on, Some(NOW_MS - 1));
}

/// A copy of the disk was made when an account had been compared already, and is put back later.
#[test]
fn an_old_copy_of_a_comparison_is_suspect_again() {
    let (mut pair, _) = before_the_lie();
    let mut account = lost(&pair);
    assert_eq!(believes(&pair, &mut account, shown_by(&pair, 1)), Ok(()));
    let before = account.negotiation().mine.as_ref().unwrap().epoch;
    let mut told = account.clone();
    told.distrust(before + 7);
    assert_eq!(told.recovery.trust, StateTrust::Suspect);
    assert!(!told.take_changes().is_empty());
    // Nobody says so: what the node has signed since, and the friend shows, does.
    pair.committed(15);
    assert!(believes(&pair, &mut account, shown_by(&pair, 1)).is_ok());
    assert_eq!(account.epoch().unwrap().balance(), pair.ends[0].account.epoch().unwrap().balance());
    // For an epoch that may have been forgotten no Opening is signed.
    assert_eq!(believes(&pair, &mut told, shown_by(&pair, 1)), Ok(()));
    assert!(told.negotiation().mine.as_ref().unwrap().epoch >= before + 7);
}

/// The database of a node that was recovering, put back later: what it had compared by then says nothing of what came
/// after.
#[test]
fn a_copy_from_the_middle_of_a_recovery_is_suspect_again() {
    let (pair, _) = before_the_lie();
    let mut account = pair.ends[0].account.clone();
    account.distrust(NOW_MS);
    let mut doubtful = account.clone();
    doubtful.distrust(NOW_MS + 10_000);
    assert!(doubtful.next_epoch() >= NOW_MS + 10_000);
    assert_eq!(believes(&pair, &mut account, shown_by(&pair, 1)), Ok(()));
    assert_eq!(account.recovery.trust, StateTrust::Recovered);
    account.distrust(NOW_MS + 10_000);
    assert_eq!((account.recovery.trust, account.stopped), (StateTrust::Suspect, Some(StopReason::OwnStateLost)));
    assert!(account.next_epoch() >= NOW_MS + 10_000);
}

#[test]
fn a_head_that_comes_late_makes_a_recovered_account_suspect_again() {
    let (pair, head) = before_the_lie();
    let mut account = lost(&pair);
    let mut shown = shown_by(&pair, 1);
    shown.statements.truncate(3);
    assert_eq!(believes(&pair, &mut account, shown), Ok(()));
    assert!(!account.expect_at_least(head));
    assert_eq!(account.stopped, Some(StopReason::FriendWithholds));
    // The doubt outlives the process, also when the head itself is known already.
    let mut accepted = account.clone();
    accepted.recovery.trust = StateTrust::Recovered;
    accepted.take_changes();
    assert!(!accepted.expect_at_least(head));
    assert!(!accepted.take_changes().is_empty());
    // Then the friend shows the rest.
    assert_eq!(believes(&pair, &mut account, shown_by(&pair, 1)), Ok(()));
    assert_eq!(account.epoch().unwrap().balance(), 25);
}
