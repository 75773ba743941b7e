//! What friends keep for each other, sealed: it finds out who shows less, and which disk is old.

use super::recovery::{end, is_recovering, lose_disk, put_back};
use offst_funder::{Archive, Command, Input, Progress, Reply};
use offst_ledger::{Status, StopReason};
use offst_proto::friend::FriendMessage;
use offst_proto::order::Purpose;
use offst_proto::report::InvoiceStatus;
use offst_simulator::{World, name};

/// 0 - 1 - 2; what 0 owes to 1 is known to the backup that 2 keeps for 1. Then 0 shows less.
fn liar() -> World {
    let mut world = World::row(3, 1000);
    let early = world.nodes[0].disk.clone();
    world.send(0, 1, 500);
    world.advance(100_000);
    assert_eq!(world.balance(1, 0), 500);
    world.kill(1);
    world.replace_disk(0, early, false);
    lose_disk(&mut world, 1, &[0, 2]);
    world
}

fn is_exposed(world: &World) -> bool {
    let status = world.nodes[1].account(world.key(0)).status();
    matches!(status, Status::Inconsistent { reason: Some(StopReason::FriendWithholds), .. })
}

// R7.22.
#[test]
fn a_friend_who_shows_less_than_another_has_kept_is_found_out() {
    let mut world = liar();
    world.connect(1, 2);
    world.advance(5_000);
    world.connect(0, 1);
    world.advance(60_000);
    assert!(is_exposed(&world));
    // The honest friend's account goes on.
    assert!(world.is_consistent(1, 2));
    // The owner may take what there is.
    assert_eq!(world.ask(1, world.reset(0)), Reply::Done);
    end(&mut world);
    assert!(world.is_consistent(0, 1) && !is_recovering(&world, 1));
    assert_eq!(world.balance(1, 0), 0);
}

/// The account is one that the node has forgotten with its disk: the friend's word of it comes before the liar's.
#[test]
fn a_friend_who_shows_less_of_a_forgotten_account_is_found_out() {
    let mut world = World::row(3, 1000);
    let eggs: offst_proto::Currency = "eggs".parse().unwrap();
    for (node, friend) in [(0, 1), (1, 0)] {
        assert_eq!(world.ask(node, world.friendship(friend, &eggs, 0, 500)), Reply::Done);
    }
    world.advance(100_000);
    let early = world.nodes[0].disk.clone();
    let order = world.order(Purpose::Spontaneous {
        destination: offst_proto::order::Destination::Key(world.key(1)),
        currency: eggs.clone(),
        amount: 300.into(),
    });
    world.command(0, Command::Pay(Box::new(order)));
    world.advance(100_000);
    assert_eq!(world.nodes[1].account_in(world.key(0), &eggs).epoch().unwrap().balance(), 300);
    world.kill(1);
    world.replace_disk(0, early, false);
    lose_disk(&mut world, 1, &[0, 2]);
    world.connect(1, 2);
    world.advance(5_000);
    world.connect(0, 1);
    world.advance(60_000);
    let status = world.nodes[1].account_in(world.key(0), &eggs).status();
    let is_named = matches!(status, Status::Inconsistent { reason: Some(StopReason::FriendWithholds), .. });
    assert!(is_named, "{status:?}");
}

#[test]
fn a_liar_who_comes_first_is_found_out_later() {
    let mut world = liar();
    world.connect(0, 1);
    world.advance(5_000);
    assert!(!is_exposed(&world));
    world.connect(1, 2);
    world.advance(60_000);
    assert!(is_exposed(&world), "{:?}", world.nodes[1].account(world.key(0)).status());
    assert!(world.is_consistent(1, 2));
}

/// The friend on whose account nothing has happened knows all the same that the disk is old.
#[test]
fn an_old_disk_is_found_out_by_a_backup() {
    let mut world = World::row(3, 1000);
    world.send(1, 2, 10);
    world.advance(100_000);
    let copy = world.nodes[1].disk.clone();
    world.send(0, 1, 500);
    world.advance(100_000);
    put_back(&mut world, 1, copy, false);
    world.connect(1, 2);
    world.advance(1_000);
    assert!(is_recovering(&world, 1));
    end(&mut world);
    assert!(!is_recovering(&world, 1));
    world.assert_quiet();
    assert_eq!((world.balance(1, 0), world.balance(1, 2)), (500, -10));
}

// R7.20.
#[test]
fn backups_cost_nothing_while_nothing_happens() {
    let mut world = World::row(3, 1000);
    world.send(0, 2, 10);
    world.advance(200_000);
    let before: Vec<_> = world.nodes.iter().map(|node| node.batches).collect();
    world.advance(3_600_000);
    let after: Vec<_> = world.nodes.iter().map(|node| node.batches).collect();
    assert_eq!(before, after);
}

/// 0, 2 and 3 are friends of 1, and 2 keeps a backup of 1 that names all of them. Then 1 loses its disk, 3 does not come back,
/// and the recovery ends without it. `is_named`: the owner had named 3 again. Says what 2 still keeps.
fn given_up(is_named: bool) -> World {
    let mut world = World::new(4, 11);
    for (a, b) in [(0, 1), (1, 2), (1, 3)] {
        world.befriend(a, b, 1000, 1000);
    }
    world.connect_all();
    world.settle();
    let (paid, _) = world.send(1, 3, 10);
    world.settle();
    assert_eq!(world.payment(1, paid).progress, Progress::Paid);
    world.advance(200_000);
    let kept = |world: &World| world.nodes[2].disk.peer_backup(world.key(1)).unwrap();
    let before = kept(&world);
    assert!(before.is_some());
    world.kill(3);
    lose_disk(&mut world, 1, if is_named { &[0, 2, 3] } else { &[0, 2] });
    world.connect_all();
    if is_named {
        world.advance(5_000);
        let command = Command::RemoveFriend { name: name(3), force: true, forgive: true };
        assert_eq!(world.ask(1, command), Reply::Done);
    }
    while is_recovering(&world, 1) {
        if !world.step() {
            world.advance(100);
        }
    }
    // 2 is away before it gets a newer backup.
    world.kill(2);
    assert_eq!(kept(&world), before);
    world.advance(100_000);
    world
}

#[test]
fn an_account_that_was_given_up_in_a_recovery_does_not_start_another_one() {
    for is_named in [true, false] {
        let mut world = given_up(is_named);
        let invoice = world.invoice(1, 5);
        world.advance(100_000);
        world.start(2);
        world.kill(1);
        world.start(1);
        world.connect_all();
        world.advance(10_000);
        let status = world.nodes[1].disk.invoice(invoice.id).unwrap().status;
        assert_eq!(status, InvoiceStatus::Open, "nothing is old but the backup ({is_named})");
    }
}

/// Showing an old backup again costs a node nothing: it is looked at only when it was asked for.
/// (R7.21.)
#[test]
fn a_backup_that_nobody_has_asked_for_is_not_looked_at() {
    let mut world = World::row(3, 1000);
    world.send(1, 2, 10);
    world.advance(200_000);
    let sealed = world.nodes[0].disk.peer_backup(world.key(1)).unwrap().unwrap();
    // The node goes on with a disk that this backup knows more than, and has asked 0 already.
    world.make_puppet(0);
    let fresh = World::row(3, 1000).nodes[1].disk.clone();
    world.disconnect(0, 1);
    world.disconnect(1, 2);
    world.settle();
    put_back(&mut world, 1, fresh, false);
    world.connect(0, 1);
    let inputs = world.take_inputs(0, 1);
    let connection = inputs.iter().find_map(|input| match input {
        Input::Connected(_, connection) => Some(*connection),
        _ => None,
    });
    let (key, connection) = (world.key(0), connection.unwrap());
    let answer = |sealed: &[u8]| Input::Message(key, connection, Box::new(FriendMessage::Recalled(sealed.to_vec())));
    world.batch(1, inputs);
    world.batch(1, vec![answer(&[])]);
    world.batch(1, vec![answer(&sealed)]);
    assert!(!is_recovering(&world, 1));
}
