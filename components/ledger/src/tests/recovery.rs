//! Disks that are lost or old: both ends come back to the same terms without a person, whatever was under way.

use super::random::{cases, finish, plays, take};
use super::*;
use crate::Head;
use crate::recovery::Trust;
use offst_proto::opening::{Continuing, Opening};
use offst_proto::statement::Operation;
use proptest::prelude::*;
use std::collections::btree_map::Entry;
use std::sync::Mutex;

/// What one end has signed, over all its disks: statements by epoch and seq, Openings by epoch.
type Notebook = Arc<Mutex<BTreeMap<(&'static str, u64, u64), Vec<u8>>>>;

/// Panics when two statements are signed for one place of a log, or two Openings for one epoch.
struct CarefulSigner {
    signer: Box<dyn Signer>,
    signed: Notebook,
}

impl Signer for CarefulSigner {
    fn public_key(&self) -> PublicKey {
        self.signer.public_key()
    }

    fn sign(&self, message: &[u8]) -> Signature {
        let wire = [message, &[0; Signature::LEN]].concat();
        let statement = Unverified::<Statement>::from_wire(&wire).map(|s| ("statement", s.peek().epoch, s.peek().seq));
        let place =
            statement.or_else(|_| Unverified::<Opening>::from_wire(&wire).map(|o| ("opening", o.peek().epoch, 0)));
        match self.signed.lock().unwrap().entry(place.expect("nothing else is signed")) {
            Entry::Vacant(entry) => drop(entry.insert(message.to_vec())),
            Entry::Occupied(entry) => assert!(entry.get() == message, "{:?} is signed twice", entry.key()),
        }
        self.signer.sign(message)
    }

    fn derive(&self, label: &str, context: &[u8]) -> [u8; 32] {
        self.signer.derive(label, context)
    }
}

fn careful() -> Pair {
    careful_with_notebooks().0
}

fn careful_with_notebooks() -> (Pair, [Notebook; 2]) {
    let notebooks = [Notebook::default(), Notebook::default()];
    let mut free = notebooks.iter().cloned();
    let signers = cheap_signers().map(|signer| {
        let signed = free.next().expect("one for each");
        Box::new(CarefulSigner { signer, signed }) as Box<dyn Signer>
    });
    let mut pair = strangers(signers, Box::new(CheapVerifier), [0, 0], [None, None]);
    pair.settle();
    // An old database has forgotten what it lowered.
    pair.ends.iter_mut().for_each(|end| end.has_tightened = true);
    (pair, notebooks)
}

/// The disk of one end is gone, and with it everything but the friend's name.
fn lose(pair: &mut Pair, end: usize) {
    pair.disconnect();
    pair.now_ms += 1000;
    let key = pair.ends[end].account.key().clone();
    pair.ends[end].rows = Rows::default();
    pair.ends[end].account = Account::lost(key, 1000, true, pair.now_ms);
    pair.ends[end].persist();
}

fn distrust(pair: &mut Pair, end: usize) {
    let now_ms = pair.now_ms;
    pair.account(end).distrust(now_ms);
    pair.ends[end].persist();
}

fn lost_after(play: random::Play, crashes: &[u8]) -> Pair {
    let mut pair = careful();
    for (step, end, index) in play {
        take(&mut pair, step, end.into(), index);
    }
    let known = pair.ends[1].account.epoch().unwrap().balance();
    let collected = pair.collected;
    lose(&mut pair, 0);
    for (number, crash) in crashes.iter().enumerate() {
        pair.connect();
        for _ in 0..*crash {
            pair.deliver(number % 2);
            pair.deliver(1 - number % 2);
        }
        pair.restart(usize::from(crash % 3 == 0));
    }
    pair.settle();
    assert!(pair.is_active(), "nobody has to decide: {:?} {:?}", pair.ends[0].account, pair.ends[1].account);
    assert_eq!(pair.balances(), [-known, known]);
    assert_eq!(pair.collected, collected);
    pair
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases().div_ceil(4), ..ProptestConfig::default() })]

    #[test]
    fn a_lost_disk_comes_back(play in plays(false, false), crashes in prop::collection::vec(0u8..6, 0..6)) {
        let mut pair = lost_after(play, &crashes);
        finish(&mut pair);
        prop_assert!(!pair.ends.iter().any(|end| end.stops.contains(&StopReason::FriendWithholds)));
    }

    #[test]
    fn an_old_disk_is_brought_up_to_date(
        before in plays(false, false),
        after in plays(false, false),
        is_marked in any::<bool>(),
        crashes in prop::collection::vec(0u8..6, 0..4),
    ) {
        let (mut pair, notebooks) = careful_with_notebooks();
        for (step, end, index) in before {
            take(&mut pair, step, end.into(), index);
        }
        let old = pair.ends[0].rows.clone();
        for (step, end, index) in after {
            take(&mut pair, step, end.into(), index);
        }
        let known = pair.ends[1].account.epoch().unwrap().balance();
        pair.now_ms += 1000;
        pair.roll_back(0, old);
        if is_marked {
            distrust(&mut pair, 0);
        } else {
            // Nobody can know of statements that have never arrived; so nobody is hurt by others in their place.
            let arrived = pair.ends[1].account.epoch().unwrap().theirs.seq;
            notebooks[0].lock().unwrap().retain(|(_, _, seq), _| *seq <= arrived);
        }
        for (number, crash) in crashes.iter().enumerate() {
            pair.connect();
            for _ in 0..*crash {
                pair.deliver(number % 2);
                pair.deliver(1 - number % 2);
            }
            pair.restart(usize::from(crash % 3 == 0));
        }
        pair.settle();
        prop_assert!(pair.is_active(), "nobody has to decide: {:?}", [&pair.ends[0].account, &pair.ends[1].account]);
        // What the old database had collected and never said is collected now; nothing else differs.
        prop_assert!(pair.balances()[1] <= known);
        finish(&mut pair);
    }

    #[test]
    fn two_old_disks_come_to_the_same(
        first in plays(false, false),
        second in plays(false, false),
        third in plays(false, false),
        older in any::<bool>(),
        crashes in prop::collection::vec(0u8..6, 0..4),
    ) {
        let mut pair = careful();
        let (older, newer) = (usize::from(older), usize::from(!older));
        for (step, end, index) in first {
            take(&mut pair, step, end.into(), index);
        }
        let old = pair.ends[older].rows.clone();
        for (step, end, index) in second {
            take(&mut pair, step, end.into(), index);
        }
        let less_old = pair.ends[newer].rows.clone();
        for (step, end, index) in third {
            take(&mut pair, step, end.into(), index);
        }
        pair.now_ms += 1000;
        pair.roll_back(older, old);
        pair.roll_back(newer, less_old);
        distrust(&mut pair, 0);
        distrust(&mut pair, 1);
        for (number, crash) in crashes.iter().enumerate() {
            pair.connect();
            for _ in 0..*crash {
                pair.deliver(number % 2);
                pair.deliver(1 - number % 2);
            }
            pair.restart(usize::from(crash % 3 == 0));
        }
        pair.settle();
        prop_assert!(pair.is_active(), "nobody has to decide: {:?}", [&pair.ends[0].account, &pair.ends[1].account]);
        finish(&mut pair);
    }
}

#[test]
fn committed_requests_continue_after_a_lost_disk() {
    let mut pair = careful();
    let to_collect = pair.committed(15);
    let to_cancel = pair.committed(9);
    let open = pair.request(0, 4).unwrap();
    pair.settle();
    for end in [0, 1] {
        lose(&mut pair, end);
        pair.settle();
        assert!(pair.is_active());
        assert!(pair.ends[0].account.is_bound(to_collect) && pair.ends[0].account.is_bound(to_cancel));
        assert_eq!(pair.ends[0].account.pending(Direction::Outgoing, open), None);
    }
    pair.collect(1, to_collect).unwrap();
    pair.cancel(1, to_cancel).unwrap();
    pair.settle();
    assert_eq!(pair.balances(), [-15, 15]);
}

/// A `Collect` that was written while the other end had lost its disk enters the next epoch, not the terms.
#[test]
fn what_ends_during_recovery_is_written_in_the_next_epoch() {
    let mut pair = careful();
    let (first, second, third) = (pair.committed(15), pair.committed(9), pair.committed(5));
    pair.disconnect();
    // Not signed yet: it is among the last words.
    pair.collect(1, first).unwrap();
    lose(&mut pair, 0);
    pair.connect();
    pair.deliver(1);
    assert_eq!(pair.ends[1].account.recovery.trust, Trust::Shown);
    assert_eq!(pair.ends[1].account.epoch().unwrap().balance(), 15);
    pair.collect(1, second).unwrap();
    assert!(pair.cancel(1, second).is_err(), "the first end counts");
    pair.cancel(1, third).unwrap();
    pair.restart(1);
    assert_eq!(pair.ends[1].account.epoch().unwrap().balance(), 15);
    pair.settle();
    assert!(pair.is_active());
    assert_eq!(pair.balances(), [-24, 24]);
    assert_eq!(pair.pendings(0, Direction::Outgoing), []);
}

/// What an old database would give up may have been promised onwards since; a preimage is one for ever.
#[test]
fn an_account_in_doubt_collects_and_cancels_nothing() {
    let mut pair = careful();
    let (collected, given_up, later, late) =
        (pair.committed(15), pair.committed(9), pair.committed(5), pair.committed(3));
    pair.disconnect();
    pair.collect(1, collected).unwrap();
    pair.cancel(1, given_up).unwrap();
    distrust(&mut pair, 1);
    assert_eq!(pair.ends[1].account.epoch().unwrap().balance(), 0);
    pair.collect(1, later).unwrap();
    assert!(pair.cancel(1, late).is_err());
    pair.restart(1);
    pair.settle();
    assert!(pair.is_active());
    assert_eq!(pair.balances(), [-20, 20]);
    let left: Vec<_> = pair.pendings(1, Direction::Incoming).into_iter().map(|(id, _)| id).collect();
    assert!(left.len() == 2 && left.contains(&given_up) && left.contains(&late));
    assert!(pair.ends[1].events.iter().any(|event| matches!(event, Event::EpochBegan { restored: true, .. })));
}

#[test]
fn an_account_in_doubt_signs_nothing_and_agrees_to_nothing() {
    let mut pair = careful();
    let id = pair.committed(15);
    pair.disconnect();
    distrust(&mut pair, 1);
    for _ in 0..2 {
        let End { account, signer, .. } = &mut pair.ends[1];
        assert!(account.is_recovering() && account.active().is_none());
        assert_eq!(account.sign(&**signer, true), SignOutcome::Nothing);
        assert!(!account.repropose(&**signer));
        // The friend's Opening says the same as what was last known, and is not taken for it.
        let key = account.key().clone();
        let terms = crate::Terms {
            balance: 0,
            continuing: account
                .epoch()
                .unwrap()
                .continuing()
                .iter()
                .map(|c| Continuing { author_pays: true, ..*c })
                .collect(),
        };
        let opening = crate::negotiation::opening(key.remote, key.local, &key.currency, 7, terms, None);
        let opening = Verified::sign(opening, &CheapSigner(key.remote));
        let frame = offst_proto::friend::resume_frame(&key.currency, Some(opening.wire()), None, false);
        pair.wire[1].push_back(frame);
        pair.deliver(1);
        assert!(pair.ends[1].account.active().is_none());
        pair.restart(1);
    }
    assert_eq!(pair.pendings(1, Direction::Incoming)[0].0, id);
}

#[test]
fn a_claim_to_hold_more_moves_nothing() {
    let mut pair = careful();
    pair.committed(15);
    let before = pair.ends[1].account.epoch().unwrap().clone();
    let position = offst_proto::friend::EpochPosition {
        agreed: before.agreed,
        number: before.number,
        own_seq: before.theirs.seq,
        own_hash: before.theirs.hash,
        other_seq: before.mine.seq + 5,
        other_hash: sha256(b"made up"),
    };
    let key = pair.ends[0].account.key().clone();
    let frame = offst_proto::friend::resume_frame(&key.currency, None, Some(&position), false);
    for _ in 0..3 {
        pair.wire[1].push_back(frame.clone());
        pair.deliver(1);
    }
    let account = &pair.ends[1].account;
    assert_eq!(account.epoch().unwrap(), &before);
    assert!(account.active().is_some() && !account.is_resumed() && !account.is_recovering());
    assert_eq!(pair.wire[0].len(), 1, "it is asked once");
    // The next connection finds everything as it was.
    pair.disconnect();
    pair.settle();
    assert!(pair.is_active());
    assert_eq!(pair.ends[1].stops, []);
}

/// A friend's frames as it would show them now, taken apart.
struct Shown {
    evidence: offst_proto::friend::Evidence,
    statements: Vec<Statement>,
}

fn shown_by(pair: &Pair, end: usize) -> Shown {
    let rows = &pair.ends[end].rows;
    let stored =
        EvidenceRows { checkpoint: rows.checkpoint.clone(), statements: rows.statements.values().cloned().collect() };
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
    if outcomes.iter().any(|outcome| outcome.restored) {
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
    let mut account = Account::lost(pair.ends[0].account.key().clone(), 1000, true, NOW_MS);
    account.take_changes();
    account
}

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

/// The database of a node that was recovering, put back later: what it had compared by then says nothing of what came after.
#[test]
fn a_copy_from_the_middle_of_a_recovery_is_in_doubt_again() {
    let (pair, _) = before_the_lie();
    let mut account = pair.ends[0].account.clone();
    account.distrust(NOW_MS);
    let mut doubtful = account.clone();
    doubtful.distrust(NOW_MS + 10_000);
    assert!(doubtful.next_epoch() >= NOW_MS + 10_000);
    assert_eq!(believes(&pair, &mut account, shown_by(&pair, 1)), Ok(()));
    assert_eq!(account.recovery.trust, Trust::Restored);
    account.distrust(NOW_MS + 10_000);
    assert_eq!((account.recovery.trust, account.stopped), (Trust::Doubtful, Some(StopReason::OwnStateLost)));
    assert!(account.next_epoch() >= NOW_MS + 10_000);
}

/// The same copy, after an epoch that came of that recovery has had its payments.
#[test]
fn a_copy_from_the_middle_of_a_recovery_catches_up() {
    for steps in 0..8 {
        let mut pair = careful();
        let pay = |pair: &mut Pair, amount| {
            let id = pair.committed(amount);
            pair.collect(1, id).unwrap();
            pair.settle();
        };
        pay(&mut pair, 10);
        distrust(&mut pair, 0);
        pair.disconnect();
        pair.connect();
        for _ in 0..steps {
            let _ = pair.deliver(1) | pair.deliver(0);
        }
        let copy = pair.ends[0].rows.clone();
        pair.now_ms += 1_000;
        pair.settle();
        pay(&mut pair, 5);
        let before = pair.ends[1].account.epoch().unwrap().balance();
        assert_eq!(before, 15);
        pair.now_ms += 1_000;
        pair.roll_back(0, copy);
        distrust(&mut pair, 0);
        pair.settle();
        assert_eq!(pair.ends[0].account.recovery.trust, Trust::Sound, "{steps}");
        assert_eq!(pair.ends[1].account.epoch().unwrap().balance(), before, "{steps}");
        assert_eq!(pair.ends[0].account.epoch().unwrap().balance(), -before, "{steps}");
    }
}

/// Evidence with one thing changed is refused, whoever it is shown to.
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
        let mut view = account.epoch().unwrap().pendings.clone();
        let (id, pending) = pair.pendings(0, Direction::Outgoing)[0];
        view.set((Direction::Outgoing, id), Some(Pending { amount: pending.amount + 1, ..pending }));
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

/// Whoever signs two statements for one place is found out by what the other remembers.
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
    assert!(outcome.own_state_is_old && !outcome.restored);
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

#[test]
fn a_head_that_comes_late_puts_a_restored_account_in_doubt_again() {
    let (pair, head) = before_the_lie();
    let mut account = lost(&pair);
    let mut shown = shown_by(&pair, 1);
    shown.statements.truncate(3);
    assert_eq!(believes(&pair, &mut account, shown), Ok(()));
    assert!(!account.expect_at_least(head));
    assert_eq!(account.stopped, Some(StopReason::FriendWithholds));
    // The doubt outlives the process, also when the head itself is known already.
    let mut accepted = account.clone();
    accepted.recovery.trust = Trust::Restored;
    accepted.take_changes();
    assert!(!accepted.expect_at_least(head));
    assert!(!accepted.take_changes().is_empty());
    // Then the friend shows the rest.
    assert_eq!(believes(&pair, &mut account, shown_by(&pair, 1)), Ok(()));
    assert_eq!(account.epoch().unwrap().balance(), 25);
}

/// Nobody has said that the disk of end 0 is old. The epoch that end 1 shows began with an Opening of end 0's, which it has
/// forgotten: it asks before it signs another one.
#[test]
fn an_old_disk_signs_no_second_opening_for_an_epoch() {
    let mut pair = careful();
    let id = pair.committed(15);
    let copy = pair.ends[0].rows.clone();
    pair.collect(1, id).unwrap();
    pair.settle();
    pair.stop(0);
    pair.settle();
    assert!(pair.is_active());
    assert_eq!((pair.ends[0].account.epoch().unwrap().number, pair.balances()), (1, [-15, 15]));
    pair.roll_back(0, copy);
    pair.settle();
    assert!(pair.is_active());
    assert_eq!(pair.balances(), [-15, 15]);
}
