//! What goes over to a friend's new key has not ended: the new key may accept our Opening at any time, and collect.

use super::key_rotation::{add, committed_and_lost, indebted, is_bound, refusal, replace};
use super::recovery::{end, lose_disk, put_back};
use offst_funder::{Command, Progress, Reply};
use offst_ledger::Direction;
use offst_proto::PaymentId;
use offst_simulator::{World, name};

/// How many requests our first Opening to `friend` lets it collect.
fn offered(world: &World, node: usize, friend: usize) -> usize {
    let account = world.nodes[node].account(world.key(friend));
    assert!(account.epoch().is_none());
    account.negotiation().mine.as_ref().unwrap().continuing.len()
}

/// How many requests `friend` has pending at `node`.
pub(crate) fn incoming(world: &World, node: usize, friend: usize) -> usize {
    let account = world.nodes[node].account(world.key(friend));
    let epoch = account.epoch().unwrap();
    epoch.pendings().filter(|(direction, ..)| *direction == Direction::Incoming).count()
}

#[test]
fn a_new_epoch_upstream_does_not_release_what_is_offered_to_a_new_key() {
    let (mut world, _) = committed_and_lost();
    assert_eq!(replace(&mut world, 1, 2, 3), Reply::Done);
    assert_eq!((offered(&world, 1, 3), incoming(&world, 1, 0)), (1, 1));
    lose_disk(&mut world, 0, &[1]);
    end(&mut world);
    assert!(world.is_consistent(0, 1));
    assert_eq!((offered(&world, 1, 3), incoming(&world, 1, 0)), (1, 1));
    // As it always ends: the new key takes what is offered, and cannot collect it.
    add(&mut world, 3, 1, 100);
    assert_eq!(world.ask(3, world.reset(1)), Reply::Done);
    world.advance(5000);
    assert_eq!(incoming(&world, 1, 0), 0);
    assert_eq!(world.balance(1, 3), -100);
    world.assert_quiet();
}

/// Node 1 recovers something else, because its friend 4 is away; `buyer` has committed, and the key of its friend 2 is
/// replaced.
fn replaced_in_a_recovery(buyer: usize) -> (World, PaymentId) {
    let mut world = World::new(5, 11);
    for (a, b) in [(0, 1), (1, 2), (1, 4)] {
        world.befriend(a, b, 1000, 1000);
    }
    world.connect_all();
    world.settle();
    world.advance(2000);
    world.kill(4);
    // The owner puts a copy back, which happens to be the newest.
    world.kill(1);
    let copy = world.nodes[1].disk.clone();
    put_back(&mut world, 1, copy, true);
    end(&mut world);
    assert!(world.is_consistent(0, 1) && world.is_consistent(1, 2));
    assert!(world.nodes[1].disk.recovery().is_some(), "4 is waited for");
    let invoice = world.invoice(2, 70);
    let (id, _) = world.pay(buyer, &invoice);
    while world.payment(buyer, id).progress != Progress::Committed || !is_bound(&world, 1, 2) {
        assert!(world.step());
    }
    world.kill(2);
    world.advance(500);
    assert_eq!(replace(&mut world, 1, 2, 3), Reply::Done);
    assert_eq!(offered(&world, 1, 3), 1);
    // The new key adds node 1 with the balance alone, and would say that it knows nothing of the request.
    add(&mut world, 3, 1, 0);
    end(&mut world);
    (world, id)
}

#[test]
fn a_recovery_does_not_release_what_is_offered_to_a_new_key() {
    let (world, id) = replaced_in_a_recovery(0);
    assert_eq!((offered(&world, 1, 3), incoming(&world, 1, 0)), (1, 1));
    assert_eq!(world.payment(0, id).progress, Progress::Committed);
}

#[test]
fn a_recovery_does_not_call_a_payment_failed_that_is_offered_to_a_new_key() {
    let (mut world, id) = replaced_in_a_recovery(1);
    assert_eq!((offered(&world, 1, 3), world.payment(1, id).progress), (1, Progress::Committed));
    // Both owners agree on an account without it.
    assert_eq!(world.ask(1, world.reset(2)), Reply::Done);
    end(&mut world);
    assert_eq!(world.payment(1, id).progress, Progress::Failed);
}

/// The same check as on an account that has begun: the friend says that it has taken the payment under its old key.
#[test]
fn terms_of_a_new_key_that_count_what_it_is_offered_as_collected_are_refused() {
    for (claimed, is_refused) in [(170, true), (101, true), (100, false), (30, false)] {
        let (mut world, id) = committed_and_lost();
        assert_eq!(replace(&mut world, 1, 2, 3), Reply::Done);
        add(&mut world, 3, 1, claimed);
        let reply = world.ask(1, world.reset(2));
        if is_refused {
            assert!(refusal(reply).contains("no proof of yet"));
            assert_eq!((offered(&world, 1, 3), incoming(&world, 1, 0)), (1, 1));
        } else {
            assert_eq!(reply, Reply::Done);
            world.advance(5000);
            assert_eq!(world.payment(0, id).progress, Progress::Failed);
            assert_eq!(world.balance(1, 3), -claimed);
        }
    }
}

/// 2 has committed 30 to 1, which has carried them on. It comes back without its disk for a moment, and 0 collects when
/// it is gone. `is_collected`: otherwise 0 gives the payment back.
fn ended_while_lost(is_collected: bool) -> World {
    let mut world = indebted();
    let invoice = world.invoice(0, 30);
    world.pay(2, &invoice);
    while !is_bound(&world, 1, 0) {
        assert!(world.step());
    }
    lose_disk(&mut world, 2, &[1]);
    world.nodes[0].is_stalled = true;
    world.connect_all();
    while world.nodes[1].account(world.key(2)).active().is_some() {
        assert!(world.step());
    }
    world.kill(2);
    assert_eq!(incoming(&world, 1, 2), 1);
    if is_collected {
        world.nodes[0].is_stalled = false;
        world.connect_all();
        world.advance(5000);
        assert_eq!(world.nodes[1].account(world.key(0)).epoch().unwrap().pendings().count(), 0, "0 has collected");
    } else {
        let command = Command::RemoveFriend { name: name(0), force: true, forgive: true };
        assert_eq!(world.ask(1, command), Reply::Done);
    }
    world
}

/// The friend loses its disk first, and its key then: what ended meanwhile is a part of the balance, or is over.
#[test]
fn a_payment_that_ended_while_the_friend_was_lost_does_not_block_its_new_key() {
    for (is_collected, balance) in [(true, -69), (false, -100)] {
        let mut world = ended_while_lost(is_collected);
        assert_eq!(world.balance(1, 2), -100);
        assert_eq!(replace(&mut world, 1, 2, 3), Reply::Done);
        add(&mut world, 3, 1, -balance);
        assert!(world.is_consistent(1, 3));
        assert_eq!((world.balance(1, 3), world.nodes[1].pendings()), (balance, 0));
    }
}

#[test]
fn a_payment_that_ended_while_the_friend_was_lost_does_not_keep_it_from_being_disabled_or_removed() {
    for is_collected in [true, false] {
        for is_removed in [false, true] {
            let mut world = ended_while_lost(is_collected);
            let command = if is_removed {
                Command::RemoveFriend { name: name(2), force: false, forgive: true }
            } else {
                Command::DisableFriend { name: name(2), force: false }
            };
            assert_eq!(world.ask(1, command), Reply::Done);
        }
    }
}

/// The guard against giving a debt away by mistake.
#[test]
fn a_friend_whose_new_key_has_not_agreed_yet_is_not_removed_with_its_debt() {
    let mut world = indebted();
    assert_eq!(replace(&mut world, 1, 2, 3), Reply::Done);
    let remove = |forgive| Command::RemoveFriend { name: name(2), force: false, forgive };
    assert!(refusal(world.ask(1, remove(false))).contains("not 0"));
    assert_eq!(world.ask(1, remove(true)), Reply::Done);
}

/// Without force a friend is kept until what it was offered has ended.
#[test]
fn a_friend_that_is_offered_a_payment_is_not_removed_before_that_has_ended() {
    let (mut world, id) = committed_and_lost();
    assert_eq!(replace(&mut world, 1, 2, 3), Reply::Done);
    let command = world.command(1, Command::RemoveFriend { name: name(2), force: false, forgive: true });
    world.advance(10_000);
    assert_eq!((world.reply(1, command), offered(&world, 1, 3)), (None, 1));
    add(&mut world, 3, 1, 100);
    assert_eq!(world.ask(3, world.reset(1)), Reply::Done);
    world.advance(5000);
    assert_eq!(world.reply(1, command), Some(Reply::Done));
    assert_eq!(world.payment(0, id).progress, Progress::Failed);
}
