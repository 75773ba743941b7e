//! What a friend that lies shows as evidence: what was never agreed, what is over, and what is known. Other lies about a log are
//! in `evidence`.

use super::*;
use offst_proto::friend::{Evidence, EvidenceCheckpoint};
use offst_proto::statement::Totals;

fn wire_opening(o: &Verified<offst_proto::opening::Opening>) -> Unverified<offst_proto::opening::Opening> {
    Unverified::from_wire(o.wire()).unwrap()
}

fn stored(pair: &Pair, holder: usize, mine: bool) -> Vec<Verified<Statement>> {
    let rows = pair.ends[holder].rows.statements();
    rows.iter()
        .filter(|(of, _, _)| *of == mine)
        .map(|(_, _, wire)| Unverified::<Statement>::from_wire(wire).unwrap().trust_own_database())
        .collect()
}

/// End 1 signs another Opening with the same terms, and shows under it a statement of end 0's that end 0 knows well.
fn push_into_recovery(pair: &Pair, account: &mut Account) -> EvidenceOutcome {
    let liar = pair.ends[1].account.key().clone();
    let agreement = pair.ends[1].account.epoch().unwrap().agreement.clone();
    let terms = crate::Terms { balance: agreement.mine.balance, continuing: agreement.mine.continuing.clone() };
    let other = crate::negotiation::opening(
        liar.local,
        liar.remote,
        &liar.currency,
        agreement.mine.epoch,
        terms,
        Some(sha256(b"anything")),
    );
    let other = Verified::sign(other, &CheapSigner(liar.local));
    let evidence = Evidence {
        currency: liar.currency.clone(),
        openings: Some([wire_opening(&other), wire_opening(&agreement.theirs)]),
        checkpoint: None,
        statements: 1,
        newest_epoch: 0,
        recovering: false,
    };
    let signer = &*pair.ends[0].signer;
    let first = account.take_evidence(evidence, NOW_MS, signer, &CheapVerifier);
    assert!(!first.own_state_is_old);
    let known = stored(pair, 1, false).pop().unwrap();
    assert_eq!(known.author, pair.ends[0].account.key().local);
    account.take_evidence_statements(vec![known], NOW_MS, signer)
}

#[test]
fn what_a_node_knows_proves_nothing_under_another_opening_either() {
    let mut pair = Pair::new();
    pair.committed(15);
    pair.settle();
    let mut account = pair.ends[0].account.clone();
    let outcome = push_into_recovery(&pair, &mut account);
    assert!(!outcome.own_state_is_old, "the node knows this statement: nothing is old");
    assert!(!account.is_recovering());
}

/// End 1 writes a checkpoint of its own that no statement of end 0's has ever acknowledged, so many places behind its newest
/// statement.
fn forged(pair: &Pair, ahead: u64) -> (Evidence, Vec<Verified<Statement>>) {
    let liar = pair.ends[1].account.key().clone();
    let epoch = pair.ends[1].account.epoch().unwrap();
    let agreement = epoch.agreement.clone();
    let victims = stored(pair, 1, false).pop().unwrap();
    assert_eq!((victims.seq, victims.hash()), (epoch.theirs.seq, epoch.theirs.hash));
    let set = epoch.local_view.checkpoint(&liar, &epoch.agreed);
    let real = epoch.mine.totals;
    // All that was ever cancelled becomes collected.
    let totals = Totals { requested: real.requested, collected: real.collected + real.cancelled, cancelled: 0 };
    let statement = Statement {
        author: liar.local,
        other: liar.remote,
        currency: liar.currency.clone(),
        epoch: epoch.number,
        seq: epoch.mine.seq + ahead,
        prev_hash: epoch.mine.hash,
        ack_seq: victims.seq,
        ack_hash: victims.hash(),
        operations: vec![],
        totals,
        pending_hash: Some(sha256(&set)),
    };
    let statement = Verified::sign(statement, &CheapSigner(liar.local));
    let evidence = Evidence {
        currency: liar.currency.clone(),
        openings: Some([wire_opening(&agreement.mine), wire_opening(&agreement.theirs)]),
        checkpoint: Some(EvidenceCheckpoint { by_sender: true, set }),
        statements: 2,
        newest_epoch: epoch.number,
        recovering: false,
    };
    (evidence, vec![statement, victims])
}

fn much_was_cancelled() -> Pair {
    let mut pair = Pair::new();
    // The limit is 1000. Nothing was ever paid.
    for _ in 0..20 {
        let id = pair.request(0, 900).unwrap();
        pair.settle();
        pair.cancel(1, id).unwrap();
        pair.settle();
    }
    assert_eq!(pair.balances(), [0, 0]);
    pair
}

fn expect_refused(pair: &Pair, account: &mut Account) {
    let signer = &*pair.ends[0].signer;
    // In the place of one that end 0 has acknowledged, just behind it, and far away.
    for ahead in [0, 1, 1 << 63] {
        let (evidence, statements) = forged(pair, ahead);
        let mut outcomes = vec![account.take_evidence(evidence, NOW_MS, signer, &CheapVerifier)];
        outcomes.push(account.take_evidence_statements(statements, NOW_MS, signer));
        let restored = outcomes.iter().any(|outcome| outcome.recovered);
        let balance = account.epoch().map(|epoch| epoch.balance());
        assert!(!restored, "adopted {ahead} ahead: balance {balance:?}; {outcomes:?}");
    }
}

// R7.5.
#[test]
fn a_checkpoint_that_nobody_acknowledged_is_not_adopted_after_a_loss() {
    let pair = much_was_cancelled();
    let head = pair.ends[0].account.newest_head().unwrap();
    let mut account = Account::lost(pair.ends[0].account.key().clone(), 1000.into(), true, NOW_MS);
    expect_refused(&pair, &mut account);
    // Nor with a peer backup that knows everything.
    account.expect_at_least(head);
    expect_refused(&pair, &mut account);
}

#[test]
fn a_checkpoint_that_nobody_acknowledged_is_not_adopted_after_a_restore() {
    let pair = much_was_cancelled();
    // `stnode restore`: the copy is in fact the newest.
    let mut account = pair.ends[0].account.clone();
    account.distrust(NOW_MS);
    expect_refused(&pair, &mut account);
}

#[test]
fn a_checkpoint_that_nobody_acknowledged_is_not_adopted_by_a_whole_disk() {
    let pair = much_was_cancelled();
    let mut account = pair.ends[0].account.clone();
    let _ = push_into_recovery(&pair, &mut account);
    expect_refused(&pair, &mut account);
}

/// End 0 has removed its friend and added it again; the friend shows what was before.
fn shows_what_was_before(is_recovering: bool) {
    let mut pair = Pair::new();
    let id = pair.committed(15);
    pair.collect(1, id).unwrap();
    pair.settle();
    assert_eq!(pair.balances(), [-15, 15]);
    let floor = pair.ends[0].account.newest_epoch();
    let key = pair.ends[0].account.key().clone();
    // The two have settled the 15 otherwise, and begin anew.
    let mut account = Account::open(
        key.clone(),
        0,
        1000.into(),
        true,
        Floor { ended: floor, ..Floor::default() },
        &CheapSigner(key.local),
    );
    let epoch = pair.ends[1].account.epoch().unwrap();
    let agreement = epoch.agreement.clone();
    let set = pair.ends[1].rows.image().checkpoint;
    let evidence = Evidence {
        currency: key.currency.clone(),
        openings: Some([wire_opening(&agreement.mine), wire_opening(&agreement.theirs)]),
        checkpoint: epoch
            .kept
            .checkpoint_of
            .map(|side| EvidenceCheckpoint { by_sender: side == crate::key::Side::Local, set }),
        statements: u32::try_from(pair.ends[1].rows.statements().len()).unwrap(),
        newest_epoch: epoch.number,
        recovering: false,
    };
    let all = pair.ends[1].rows.verified_statements();
    let base = evidence
        .checkpoint
        .as_ref()
        .map(|c| Checkpoint { author: if c.by_sender { key.remote } else { key.local }, set: &c.set });
    let own = Agreement::of(agreement.theirs.clone(), agreement.mine.clone()).unwrap();
    let ordered = Replay::begin(&key, own, base).in_order(all).unwrap();
    let signer = &*pair.ends[0].signer;
    if is_recovering {
        // The node has lost something else.
        account.distrust(NOW_MS);
    }
    let mut is_old = false;
    for _ in 0..2 {
        let mut outcomes = vec![account.take_evidence(evidence.clone(), NOW_MS, signer, &CheapVerifier)];
        outcomes.push(account.take_evidence_statements(ordered.clone(), NOW_MS, signer));
        is_old |= outcomes.iter().any(|outcome| outcome.own_state_is_old);
    }
    let offered = account.negotiation().mine.as_ref().unwrap().balance;
    assert_eq!((is_old, offered), (false, 0), "the node knows that epoch {floor:?} is over");
}

/// Nor under Openings of the new account, which the friend can sign at any time.
#[test]
fn a_statement_of_a_removed_account_proves_nothing_about_the_next() {
    let mut pair = Pair::new();
    let id = pair.committed(15);
    pair.collect(1, id).unwrap();
    pair.settle();
    let ended = pair.ends[0].account.newest_epoch();
    let key = pair.ends[0].account.key().clone();
    let mut account =
        Account::open(key.clone(), 0, 1000.into(), true, Floor { ended, ..Floor::default() }, &CheapSigner(key.local));
    let mine = account.negotiation().mine.clone().unwrap();
    let terms = crate::Terms { balance: 0, continuing: Vec::new() };
    let theirs = crate::negotiation::opening(key.remote, key.local, &key.currency, mine.epoch, terms, None);
    let theirs = Verified::sign(theirs, &CheapSigner(key.remote));
    let evidence = Evidence {
        currency: key.currency.clone(),
        openings: Some([wire_opening(&theirs), wire_opening(&mine)]),
        checkpoint: None,
        statements: 1,
        newest_epoch: mine.epoch,
        recovering: false,
    };
    let signer = &*pair.ends[0].signer;
    assert_eq!(account.take_evidence(evidence, NOW_MS, signer, &CheapVerifier).refused, None);
    let old = stored(&pair, 1, false).pop().unwrap();
    let outcome = account.take_evidence_statements(vec![old], NOW_MS, signer);
    assert!(!outcome.own_state_is_old && !account.is_recovering(), "{outcome:?}");
}

#[test]
fn what_was_before_a_removed_friend_was_added_again_proves_nothing() {
    shows_what_was_before(false);
}

#[test]
fn what_was_before_a_removed_friend_was_added_again_is_not_adopted_in_a_recovery() {
    shows_what_was_before(true);
}

/// A request that an old database has cancelled is over; the friend has used its id again since, in an epoch that the database
/// does not know, and this node has promised it onwards.
/// (R7.9.)
#[test]
fn what_an_old_database_has_given_up_is_not_given_up_in_a_later_epoch() {
    let mut pair = Pair::new();
    let id = pair.committed(15);
    pair.cancel(1, id).unwrap();
    pair.sign(1, false);
    let copy = pair.ends[1].rows.clone();
    pair.settle();
    let request = request_with(id, 40);
    let key = pair.ends[0].account.key().clone();
    let terms = request.terms(key.remote, &key.currency).hash();
    pair.account(0).request(request, terms).unwrap();
    pair.ends[0].persist();
    pair.settle();
    pair.respond(1, id).unwrap();
    pair.settle();
    pair.commit(0, id).unwrap();
    pair.settle();
    pair.stop(0);
    pair.settle();
    assert!(pair.is_active());
    assert_eq!(pair.pendings(1, Direction::Incoming).len(), 1);
    pair.roll_back(1, copy);
    let now_ms = pair.now_ms;
    pair.account(1).distrust(now_ms);
    pair.ends[1].persist();
    pair.settle();
    assert!(pair.is_active());
    assert_eq!(pair.pendings(1, Direction::Incoming).len(), 1, "40 are promised onwards, and not paid by anybody");
}
