//! Accepting a friend's terms costs no more than the two balances show.

use super::key_rotation::{indebted, is_bound, refusal};
use super::key_rotation_requests::incoming;
use offst_crypto::Preimage;
use offst_funder::{Command, Input, Progress, Reply};
use offst_ledger::Direction;
use offst_proto::friend::{FriendMessage, Resume};
use offst_proto::limits::RESOLVE_MAX;
use offst_proto::opening::Opening;
use offst_proto::payment::preimage_of;
use offst_proto::resolve::End;
use offst_proto::{Currency, Unverified, Verified};
use offst_simulator::{World, name};

/// 2 has committed 30 to 1, which has carried them on, says that it has lost its disk, and shows nothing. Then 0 has
/// collected from 1, and 1 from 2 as soon as there is an epoch again.
fn collected_from_a_friend_that_has_lost_its_disk() -> World {
    let mut world = indebted();
    let invoice = world.invoice(0, 30);
    let (_, _) = world.pay(2, &invoice);
    while !is_bound(&world, 1, 0) {
        assert!(world.step());
    }
    world.nodes[0].is_stalled = true;
    world.disconnect(1, 2);
    world.settle();
    world.make_puppet(2);
    world.connect(1, 2);
    let connected = world.take_inputs(2, 1);
    assert!(connected.iter().any(|input| matches!(input, Input::Connected(..))));
    world.batch(1, connected);
    world.resume(2, 1, resume(None));
    assert!(world.nodes[1].account(world.key(2)).active().is_none());
    world.nodes[0].is_stalled = false;
    world.connect_all();
    world.advance(5000);
    assert_eq!(incoming(&world, 1, 2), 1);
    assert_eq!(world.nodes[1].account(world.key(0)).epoch().unwrap().pendings().count(), 0, "0 has collected");
    world
}

fn resume(opening: Option<Unverified<Opening>>) -> Resume {
    Resume { currency: Currency::default(), opening, epoch: None, recovering: true }
}

/// 2 shows terms with this balance, from the side of 1, and nothing that continues; the owner of 1 accepts them.
fn reset(world: &mut World, balance: i128) -> Reply {
    let mine = world.nodes[1].account(world.key(2)).negotiation().mine.clone().unwrap();
    let theirs = Opening {
        author: world.key(2),
        other: world.key(1),
        currency: Currency::default(),
        epoch: mine.epoch + 1,
        balance: -balance,
        continuing: vec![],
        accepts: None,
    };
    let theirs = Verified::sign(theirs, world.signer(2));
    world.resume(2, 1, resume(Some(Unverified::from_wire(theirs.wire()).unwrap())));
    world.ask(1, world.reset(2))
}

#[test]
fn terms_that_leave_out_what_was_collected_while_the_friend_was_lost_are_refused() {
    let mut world = collected_from_a_friend_that_has_lost_its_disk();
    let before = world.balance(1, 2);
    for less in [0, 1, 10_000] {
        let message = refusal(reset(&mut world, before - less));
        assert!(message.contains("leave them out"), "{message}");
        // The friend signs one Opening for an epoch, and the next one is for a higher one.
        world = collected_from_a_friend_that_has_lost_its_disk();
    }
    // Nothing is wrong with terms that pay for it.
    assert_eq!(reset(&mut world, before + 31), Reply::Done);
    assert_eq!(world.balance(1, 2), before + 31);
}

/// 1 has committed 30 to 2 for a payment of 0. 2 says that it has collected them, and never showed the preimage.
/// (R1.28.)
#[test]
fn terms_that_take_a_payment_without_its_proof_are_refused_until_it_is_shown() {
    let mut world = indebted();
    let invoice = world.invoice(2, 30);
    let (payment, _) = world.pay(0, &invoice);
    while !is_bound(&world, 1, 2) {
        assert!(world.step());
    }
    world.disconnect(1, 2);
    world.settle();
    world.make_puppet(2);
    world.connect(1, 2);
    let connected = world.take_inputs(2, 1);
    let connection = connected.iter().find_map(|input| match input {
        Input::Connected(_, connection) => Some(*connection),
        _ => None,
    });
    world.batch(1, connected);
    let account = world.nodes[1].account(world.key(2));
    let before = account.epoch().unwrap().balance();
    let (_, id, pending) = account.epoch().unwrap().pendings().find(|(_, id, _)| account.is_bound(*id)).unwrap();
    let preimage = preimage_of(world.signer(2), &pending.terms);
    let answer = |world: &mut World, end| {
        let message = FriendMessage::Resolved(vec![(id, end)]);
        let key = world.key(2);
        world.batch(1, vec![Input::Message(key, connection.unwrap(), Box::new(message))]);
        world.settle();
    };
    answer(&mut world, End::Collected(preimage));
    assert_eq!(
        world.payment(0, payment).progress,
        Progress::Committed,
        "as long as the account works, its Collect can come"
    );
    let message = refusal(reset(&mut world, before - 30));
    assert!(message.contains("no proof") && message.contains("30 credits"), "{message}");
    for no_proof in [End::Unknown, End::Pending, End::Collected(Preimage::from_bytes([7; 32]))] {
        answer(&mut world, no_proof);
        let message = refusal(world.ask(1, world.reset(2)));
        assert!(message.contains("no proof"), "{message}");
    }
    answer(&mut world, End::Collected(preimage));
    assert_eq!(world.payment(0, payment).progress, Progress::Paid, "it is collected upstream at once");
    assert_eq!(world.ask(1, world.reset(2)), Reply::Done);
    assert_eq!((world.balance(1, 2), world.balance(1, 0)), (before - 30, 101 + 31));
}

/// Whether `to` has collected from `from` what `from` still counts as pending.
fn has_collected_unheard(world: &World, from: usize, to: usize) -> bool {
    let listed = |node: usize, friend: usize, wanted: Direction| -> Vec<_> {
        let epoch = world.nodes[node].account(world.key(friend)).epoch().unwrap();
        let committed =
            epoch.pendings().filter(|(direction, _, pending)| *direction == wanted && pending.stage.is_committed());
        committed.map(|(_, id, _)| id).collect()
    };
    let known = listed(to, from, Direction::Incoming);
    listed(from, to, Direction::Outgoing).iter().any(|id| !known.contains(id))
}

/// A payment from 0 to 3 and one back, over 1 and 2. After so many steps 1 and 2 lose each other; everything else goes
/// on. Then the owner of 1 stops the account, and they meet again. Whatever was collected unheard, one of the two
/// owners can settle it, and nobody loses anything. Returns which of the two had collected what the other did not hear
/// of.
fn crossing(steps: usize, first_to_reset: usize, away_ms: u64) -> [bool; 2] {
    let mut world = World::row(4, 1000);
    let (there, back) = (world.invoice(3, 100), world.invoice(0, 50));
    let (id, _) = world.pay(0, &there);
    let (id_back, _) = world.pay(3, &back);
    for _ in 0..steps {
        world.step();
    }
    world.disconnect(1, 2);
    world.settle();
    world.advance(away_ms);
    let unheard = [has_collected_unheard(&world, 2, 1), has_collected_unheard(&world, 1, 2)];
    assert_eq!(world.ask(1, Command::DisableFriend { name: name(2), force: true }), Reply::Done);
    assert_eq!(world.ask(1, Command::EnableFriend(name(2))), Reply::Done);
    world.connect_all();
    world.advance(5000);
    if !world.is_consistent(1, 2) {
        let (first, second) = (first_to_reset, 3 - first_to_reset);
        if world.ask(first, world.reset(second)) != Reply::Done {
            assert_eq!(world.ask(second, world.reset(first)), Reply::Done, "after {steps} steps: {unheard:?}");
        }
    }
    world.advance(120_000);
    assert!(world.is_consistent(1, 2), "after {steps} steps: {unheard:?}");
    world.assert_quiet();
    let paid = [(0, id, 3, 100), (3, id_back, 0, 50)].map(|(buyer, id, seller, amount)| {
        let payment = world.payment(buyer, id);
        let is_paid = payment.progress == Progress::Paid;
        assert!(is_paid || payment.progress == Progress::Failed, "after {steps} steps: {:?}", payment.progress);
        (buyer, seller, if is_paid { amount } else { 0 })
    });
    let mut wealth = [0i128; 4];
    for (buyer, seller, amount) in paid.into_iter().filter(|(.., amount)| *amount > 0) {
        wealth[buyer] -= amount + 2;
        wealth[seller] += amount;
        wealth[1] += 1;
        wealth[2] += 1;
    }
    let found: Vec<i128> = world.nodes.iter().map(|node| node.wealth()).collect();
    assert_eq!(found, wealth, "after {steps} steps: {unheard:?}");
    unheard
}

#[test]
fn a_stopped_account_can_be_settled_whatever_was_collected_on_it_unheard() {
    let mut seen = std::collections::BTreeMap::<[bool; 2], usize>::new();
    for steps in 0..140 {
        *seen.entry(crossing(steps, 1 + steps % 2, 1000)).or_default() += 1;
    }
    assert!(seen.len() == 4 && seen.values().all(|count| *count > 1), "{seen:?}");
}

/// More was collected unheard than one question can hold: what is left is asked for when a part was answered.
/// (R1.31.)
#[test]
fn proofs_are_asked_for_part_by_part() {
    let mut world = World::row(3, 1000);
    let payments: Vec<_> = (0..2 * RESOLVE_MAX + 1).map(|_| world.send(0, 2, 1).0).collect();
    // All requests, all responses and all commits; the collects stay under way.
    world.nodes[2].is_stalled = true;
    world.advance(1000);
    let routes = [(1, 2), (2, 1)].repeat(3).into_iter().chain([(1, 0), (0, 1)].repeat(3)).chain([(1, 2)]);
    for (from, to) in routes {
        let inputs = world.take_inputs(from, to);
        world.batch(to, inputs);
    }
    let committed = |world: &World| {
        let epoch = world.nodes[1].account(world.key(2)).epoch().unwrap();
        epoch.pendings().filter(|(.., pending)| pending.stage.is_committed()).count()
    };
    assert_eq!(world.nodes[2].wealth(), payments.len() as i128, "all of it is collected");
    world.disconnect(1, 2);
    world.nodes[2].is_stalled = false;
    world.settle();
    assert_eq!(committed(&world), payments.len(), "and none of it heard of");
    assert_eq!(world.ask(1, Command::DisableFriend { name: name(2), force: true }), Reply::Done);
    assert_eq!(world.ask(1, Command::EnableFriend(name(2))), Reply::Done);
    world.connect_all();
    world.advance(5000);
    assert!(!world.is_consistent(1, 2), "an owner has to accept the other's terms");
    for payment in payments {
        assert_eq!(world.payment(0, payment).progress, Progress::Paid);
    }
}

/// Of what was collected on a stopped account the proof is kept as long as it is needed.
#[test]
fn proofs_are_shown_after_years() {
    const YEAR_MS: u64 = 365 * 24 * 3_600_000;
    let unheard: Vec<_> = (0..60).map(|steps| crossing(steps, 1, 2 * YEAR_MS)).collect();
    assert!(unheard.contains(&[true, true]));
}
