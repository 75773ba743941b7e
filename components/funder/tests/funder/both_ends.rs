//! Both ends of an account have lost something: what is left comes back, or their owners settle it.

use super::recovery::{end, is_recovering, lose_disk, put_back};
use offst_funder::{Command, Progress, Reply};
use offst_ledger::{Status, StopReason};
use offst_simulator::{World, name};

/// What each end of an account has to say to its owner when neither can show where it stood.
fn is_for_people(world: &World, index: usize, friend: usize) -> bool {
    let status = world.nodes[index].account(world.key(friend)).status();
    matches!(status, Status::Inconsistent { reason: Some(StopReason::BothStatesLost), .. })
}

/// Neither end has anything left: nothing is agreed on before their owners say so, and nothing is signed twice.
/// (R7.12.)
#[test]
fn both_ends_that_have_lost_everything_say_so_and_their_owners_settle_it() {
    for balance in [None, Some(500)] {
        let mut world = World::row(3, 1000);
        world.send(0, 1, 500);
        world.send(1, 2, 20);
        world.advance(1_000);
        lose_disk(&mut world, 0, &[1]);
        lose_disk(&mut world, 1, &[0, 2]);
        end(&mut world);
        assert!(is_for_people(&world, 0, 1) && is_for_people(&world, 1, 0));
        // What the third friend knows is back.
        assert_eq!((world.is_consistent(1, 2), world.balance(1, 2)), (true, -20));
        match balance {
            None => {
                assert_eq!(world.ask(0, world.reset(1)), Reply::Done);
                // Nobody has to believe that nothing was owed.
                world.disconnect(0, 1);
                end(&mut world);
                assert!(!world.is_consistent(0, 1));
                assert_eq!(world.ask(1, world.reset(0)), Reply::Done);
            }
            Some(balance) => {
                let remove = Command::RemoveFriend { name: name(1), force: true, forgive: true };
                assert_eq!(world.ask(0, remove), Reply::Done);
                let add = world.friendship(1, &offst_proto::Currency::default(), -balance, 1000);
                assert_eq!(world.ask(0, add), Reply::Done);
                world.connect_all();
                world.advance(5_000);
                assert!(!world.is_consistent(0, 1));
                assert_eq!(world.ask(1, world.reset(0)), Reply::Done);
            }
        }
        end(&mut world);
        assert!(!is_recovering(&world, 0) && !is_recovering(&world, 1));
        world.assert_quiet();
        assert_eq!(world.balance(1, 0), balance.unwrap_or(0));
    }
}

/// Each of two friends that have both lost their disks has been promised something that it does not know to have passed on to
/// the other: they ask each other, and neither waits for the other's recovery to end.
/// (R7.17.)
#[test]
fn two_friends_that_have_both_lost_state_do_not_wait_for_each_other() {
    let mut world = World::row(4, 1000);
    let (ahead, back) = (world.send(0, 3, 30).0, world.send(3, 0, 40).0);
    let is_bound = |world: &World, buyer: usize, id, mediator: usize| {
        let account = world.nodes[mediator].account(world.key(buyer));
        let mut pendings = account.epoch().into_iter().flat_map(|epoch| epoch.pendings());
        world.payment(buyer, id).progress == Progress::Committed && pendings.any(|(.., p)| p.stage.is_committed())
    };
    while !is_bound(&world, 0, ahead, 1) || !is_bound(&world, 3, back, 2) {
        assert!(world.step());
    }
    lose_disk(&mut world, 1, &[0, 2]);
    lose_disk(&mut world, 2, &[1, 3]);
    end(&mut world);
    assert_eq!((world.ask(1, world.reset(2)), world.ask(2, world.reset(1))), (Reply::Done, Reply::Done));
    end(&mut world);
    assert!(!is_recovering(&world, 1) && !is_recovering(&world, 2));
    world.assert_quiet();
    assert_eq!((world.balance(0, 1), world.balance(3, 2)), (0, 0));
}

/// The copy was made in the middle of a recovery, when an account was back already: what is found out to be missing on it since
/// is no friend's fault.
#[test]
fn an_old_copy_of_a_recovery_accuses_nobody() {
    let mut world = World::row(3, 1000);
    world.send(0, 1, 100);
    world.send(1, 2, 10);
    world.advance(100_000);
    world.kill(2);
    lose_disk(&mut world, 1, &[0, 2]);
    world.connect(0, 1);
    world.advance(5_000);
    assert!(is_recovering(&world, 1) && world.is_consistent(0, 1));
    let copy = world.nodes[1].disk.clone();
    world.start(2);
    end(&mut world);
    assert!(!is_recovering(&world, 1));
    world.send(0, 1, 300);
    world.advance(200_000);
    assert_eq!(world.balance(1, 0), 400);
    put_back(&mut world, 1, copy, false);
    // The friend that has kept a backup is heard first.
    world.connect(1, 2);
    world.advance(5_000);
    end(&mut world);
    assert!(!is_recovering(&world, 1), "{:?}", world.nodes[1].account(world.key(0)).status());
    world.assert_quiet();
    assert_eq!((world.balance(1, 0), world.balance(1, 2)), (400, -10));
}

/// The friend has an older copy, and says so: it knows of an account that was lost here.
#[test]
fn an_account_that_only_an_older_copy_of_the_friends_knows_comes_back() {
    let mut world = World::row(2, 1000);
    let eggs = "eggs".parse().unwrap();
    for (node, friend, balance) in [(0, 1, 7), (1, 0, -7)] {
        assert_eq!(world.ask(node, world.friendship(friend, &eggs, balance, 500)), Reply::Done);
    }
    world.advance(1_000);
    let copy = world.nodes[0].disk.clone();
    lose_disk(&mut world, 1, &[0]);
    put_back(&mut world, 0, copy, true);
    end(&mut world);
    assert!(!is_recovering(&world, 0) && !is_recovering(&world, 1));
    world.assert_quiet();
    assert_eq!(world.nodes[1].account_in(world.key(0), &eggs).epoch().unwrap().balance(), -7);
}

/// What is left at one end is older than what a third friend's backup tells: nobody can show the newest.
#[test]
fn an_older_copy_and_a_lost_disk_are_settled_by_their_owners() {
    for first in [0, 1] {
        let mut world = World::row(3, 1000);
        world.send(0, 1, 100);
        world.advance(100_000);
        let copy = world.nodes[0].disk.clone();
        world.send(0, 1, 400);
        world.advance(100_000);
        world.kill(0);
        lose_disk(&mut world, 1, &[0, 2]);
        world.connect_all();
        world.advance(5_000);
        put_back(&mut world, 0, copy, true);
        end(&mut world);
        assert!(is_for_people(&world, 1, 0), "{:?}", world.nodes[1].account(world.key(0)).status());
        assert!(!world.is_consistent(0, 1) && world.is_consistent(1, 2));
        for node in [first, 1 - first] {
            // The owner of 0 has nothing to accept: what is left has been offered to the other already.
            if !world.is_consistent(0, 1) {
                let is_done = world.ask(node, world.reset(1 - node)) == Reply::Done;
                assert_eq!(is_done, node == 1);
                world.advance(5_000);
            }
        }
        end(&mut world);
        world.assert_quiet();
        assert!(!is_recovering(&world, 0) && !is_recovering(&world, 1));
        assert_eq!(world.balance(1, 0), -world.balance(0, 1));
        assert!([0, 100].contains(&world.balance(1, 0)), "{}", world.balance(1, 0));
    }
}

/// One end recovers from a copy; at the other an older one was put back in silence, whose owner knows of nothing. What the first
/// holds tells the second that it is old.
#[test]
fn a_silent_old_disk_is_found_out_by_a_friend_that_recovers_itself() {
    for is_stopped in [false, true] {
        for first in [0, 1] {
            let mut world = World::row(2, 1000);
            let (id, _) = world.send(0, 1, 100);
            world.settle();
            world.advance(1_000);
            assert_eq!(world.payment(0, id).progress, Progress::Paid);
            if is_stopped {
                assert_eq!(world.ask(1, Command::DisableFriend { name: name(0), force: true }), Reply::Done);
                assert_eq!(world.ask(1, Command::EnableFriend(name(0))), Reply::Done);
            }
            let older = world.nodes[1].disk.clone();
            // Another epoch begins, and something happens in it.
            lose_disk(&mut world, 0, &[1]);
            end(&mut world);
            assert!(world.is_consistent(0, 1));
            world.send(0, 1, 200);
            world.settle();
            world.advance(1_000);
            let newer = world.nodes[0].disk.clone();
            world.disconnect(0, 1);
            for node in [first, 1 - first] {
                let (copy, is_marked) = if node == 0 { (newer.clone(), true) } else { (older.clone(), false) };
                put_back(&mut world, node, copy, is_marked);
            }
            world.connect_all();
            world.advance(10_000);
            let status = |node: usize| world.nodes[node].account(world.key(1 - node)).status();
            assert!(world.is_consistent(0, 1), "{is_stopped}, {first}: {:?}, {:?}", status(0), status(1));
            end(&mut world);
            assert!(!is_recovering(&world, 0) && !is_recovering(&world, 1));
            world.assert_quiet();
            assert_eq!((world.balance(1, 0), world.balance(0, 1)), (300, -300));
        }
    }
}
