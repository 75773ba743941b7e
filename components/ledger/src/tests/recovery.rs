//! Disks that are lost or old: both ends come back to the same terms without a person, whatever was under way.

use super::random::{cases, finish, plays, take};
use super::*;
use crate::recovery::StateTrust;
use offst_proto::opening::{Continuing, Opening};
use proptest::prelude::*;
use std::collections::BTreeMap;
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
pub(super) fn lose(pair: &mut Pair, end: usize) {
    pair.disconnect();
    pair.now_ms += 1000;
    let key = pair.ends[end].account.key().clone();
    pair.ends[end].rows.rows = Rows::default();
    pair.ends[end].account = Account::lost(key, 1000.into(), true, pair.now_ms);
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

    // R7.1.
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
    fn an_old_disk_that_nobody_calls_old_never_contradicts_itself(
        before in plays(false, false),
        after in plays(false, false),
        crashes in prop::collection::vec(0u8..6, 0..4),
    ) {
        let mut pair = careful();
        for (step, end, index) in before {
            take(&mut pair, step, end.into(), index);
        }
        let copy = pair.ends[1].rows.clone();
        let known = pair.ends[1].account.epoch().unwrap().balance();
        for (step, end, index) in after {
            take(&mut pair, step, end.into(), index);
        }
        pair.roll_back(1, copy);
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
        prop_assert!(pair.is_active(), "nobody has to decide: {:?}", [&pair.ends[0].account, &pair.ends[1].account]);
        prop_assert_eq!(pair.balances(), [-known, known]);
        finish(&mut pair);
    }

    // R7.6.
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
/// (R7.2.)
#[test]
fn what_ends_during_recovery_is_written_in_the_next_epoch() {
    let mut pair = careful();
    let (first, second, third) = (pair.committed(15), pair.committed(9), pair.committed(5));
    pair.disconnect();
    // Not signed yet, and never signed in this epoch.
    pair.collect(1, first).unwrap();
    let signed = pair.ends[1].account.epoch().unwrap().mine.seq;
    lose(&mut pair, 0);
    pair.connect();
    pair.deliver(1);
    assert_eq!(pair.ends[1].account.recovery.trust, StateTrust::PeerLostState);
    pair.collect(1, second).unwrap();
    assert!(pair.cancel(1, second).is_err(), "the first end counts");
    assert!(pair.cancel(1, first).is_err(), "the first end counts");
    pair.cancel(1, third).unwrap();
    pair.restart(1);
    let account = &pair.ends[1].account;
    assert_eq!((account.epoch().unwrap().balance(), account.epoch().unwrap().mine.seq), (0, signed));
    assert_eq!(account.settled_terms().balance, 24);
    pair.settle();
    assert!(pair.is_active());
    assert_eq!(pair.balances(), [-24, 24]);
    assert_eq!(pair.pendings(0, Direction::Outgoing), []);
}

/// Nobody has said that the disk of end 1 is old, and end 0, which could show it, has lost its own. What end 1 has
/// collected and not signed may stand in a statement that it has forgotten.
#[test]
fn an_old_disk_put_back_in_silence_signs_nothing_for_a_friend_without_one() {
    let mut pair = careful();
    let (first, second, third) = (pair.committed(15), pair.committed(9), pair.committed(5));
    pair.disconnect();
    pair.collect(1, first).unwrap();
    pair.cancel(1, third).unwrap();
    let copy = pair.ends[1].rows.clone();
    pair.collect(1, second).unwrap();
    pair.settle();
    pair.roll_back(1, copy);
    lose(&mut pair, 0);
    pair.settle();
    assert!(pair.is_active());
    assert_eq!(pair.balances(), [-15, 15], "what the copy had collected is collected in the next epoch");
    let left: Vec<_> = pair.pendings(0, Direction::Outgoing).into_iter().map(|(id, _)| id).collect();
    assert_eq!(left, [second], "and what it had cancelled is cancelled");
}

/// The same of Openings: the epochs that have begun since the copy was made are forgotten, too.
/// (R7.7.)
#[test]
fn an_old_disk_put_back_in_silence_signs_no_second_opening_for_a_friend_without_one() {
    let mut pair = careful();
    let id = pair.committed(15);
    let copy = pair.ends[1].rows.clone();
    pair.collect(1, id).unwrap();
    pair.settle();
    pair.stop(1);
    pair.settle();
    assert_eq!((pair.is_active(), pair.ends[1].account.epoch().unwrap().number), (true, 1));
    pair.roll_back(1, copy);
    lose(&mut pair, 0);
    pair.settle();
    assert!(pair.is_active());
    pair.collect(1, id).unwrap();
    pair.settle();
    assert_eq!(pair.balances(), [-15, 15]);
}

/// An account that has shown what it holds may be an old copy all the same, and hear of it later.
#[test]
fn what_was_given_up_for_a_friend_without_a_disk_is_not_given_up_while_suspect() {
    let mut pair = careful();
    let (collected, given_up, later) = (pair.committed(15), pair.committed(9), pair.committed(5));
    pair.disconnect();
    pair.collect(1, collected).unwrap();
    pair.cancel(1, given_up).unwrap();
    lose(&mut pair, 0);
    pair.connect();
    pair.deliver(1);
    pair.cancel(1, later).unwrap();
    distrust(&mut pair, 1);
    let account = &pair.ends[1].account;
    assert!(account.has_claimed(collected) && !account.has_claimed(given_up) && !account.has_claimed(later));
    pair.restart(1);
    pair.settle();
    assert!(pair.is_active());
    assert_eq!(pair.balances(), [-15, 15]);
    assert_eq!(pair.pendings(0, Direction::Outgoing).len(), 2);
}

/// What an old database would give up may have been promised onwards since; a preimage is one for ever.
#[test]
fn a_suspect_account_collects_and_cancels_nothing() {
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
    assert!(pair.ends[1].events.iter().any(|event| matches!(event, Event::EpochBegan { recovered: true, .. })));
}

/// Both disks are lost, and people have decided; before they meet again one finds its disk to be old, for whatever
/// reason. The other begins the epoch that was offered, and has to be asked once more for what both have signed: that
/// epoch.
#[test]
fn doubt_that_comes_after_people_have_decided_ends_on_the_same_connection() {
    let mut pair = careful();
    lose(&mut pair, 0);
    lose(&mut pair, 1);
    pair.settle();
    let now_ms = pair.now_ms;
    let End { account, signer, .. } = &mut pair.ends[1];
    assert!(account.offer_what_is_left(now_ms, &**signer));
    let frame = account.resume_frame();
    pair.ends[1].persist();
    pair.send(1, frame);
    pair.settle();
    pair.disconnect();
    assert!(pair.accept(0));
    pair.now_ms += 1000;
    distrust(&mut pair, 0);
    pair.settle();
    assert!(pair.is_active(), "{:?} {:?}", pair.ends[0].account, pair.ends[1].account);
    assert_eq!(pair.balances(), [0, 0]);
}

// R7.3.
#[test]
fn a_suspect_account_signs_nothing_and_agrees_to_nothing() {
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

// R1.37.
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

/// Nobody has said that the disk of end 0 is old. The epoch that end 1 shows began with an Opening of end 0's, which it
/// has forgotten: it asks before it signs another one.
/// (R1.24.)
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

/// Both disks are old, and nobody has said so: end 1 has asked for an epoch that it had forgotten, and then end 0 has
/// forgotten it, too. The terms that waited for an answer are answered.
#[test]
fn an_opening_that_waited_for_evidence_is_answered_when_its_epoch_is_forgotten() {
    let mut pair = Pair::new();
    let active = pair.ends[1].rows.clone();
    pair.stop(0);
    let stopped = pair.ends[0].rows.clone();
    pair.settle();
    assert!(pair.is_active());
    pair.roll_back(1, active);
    pair.connect();
    pair.deliver(1);
    assert!(pair.ends[1].account.recovery.asks_for_evidence());
    pair.roll_back(0, stopped);
    pair.settle();
    assert!(pair.is_active());
}
