//! How requests that continue find each other again after a loss, also when friends use it against the node.

use super::key_rotation::{is_bound, refusal};
use super::key_rotation_requests::incoming;
use super::recovery::{end, is_recovering, lose_disk};
use offst_funder::{Command, Forward, InboundPart, Input, Progress, RecoveryRecord, Reply};
use offst_ledger::{Direction, Status, StopReason};
use offst_proto::Amount;
use offst_proto::friend::FriendMessage;
use offst_proto::payment::NO_PROOF;
use offst_proto::statement::{Operation, Request};
use offst_proto::{Currency, PaymentId, RequestId};
use offst_rows::{Commit, RowChange};
use offst_simulator::{World, name};

/// A request of 10 credits, one half of a payment to node 1, or to 2 by way of 1.
fn half(world: &World, id: u8, is_for_us: bool) -> Request {
    Request {
        id: RequestId::from_bytes([id; 16]),
        payment_id: PaymentId::from_bytes([9; 16]),
        invoice_id: None,
        amount: 10.into(),
        total: 20.into(),
        fees_left: Amount::capped(u128::from(!is_for_us)),
        patience_ms: 20_000,
        path: if is_for_us { vec![] } else { vec![world.key(2)] },
        proof: NO_PROOF,
        clearing: false,
    }
}

fn state(world: &mut World, operations: Vec<Operation>) {
    let statement = world.statement(0, 1, operations);
    world.state(0, 1, statement);
    world.settle();
}

/// An old copy knows two halves of a payment to the node. After it was made the buyer has given the second one up, and
/// used its id for a request that the node carries on. Both were committed when the account came back.
#[test]
fn a_part_whose_id_was_used_again_is_not_collected_as_what_it_was() {
    let mut world = World::row(3, 1000);
    world.make_puppet(0);
    let (first, second) = (half(&world, 1, true), half(&world, 2, true));
    let ids = [first.id, second.id];
    state(&mut world, vec![Operation::Request(Box::new(first)), Operation::Request(Box::new(second))]);
    let inbound_parts = world.nodes[1].disk.all::<InboundPart>();
    assert_eq!(inbound_parts.len(), 2);
    state(&mut world, vec![Operation::Abort { id: ids[1] }]);
    assert_eq!(world.nodes[1].pendings(), 1);
    let again = half(&world, 2, false);
    state(&mut world, vec![Operation::Request(Box::new(again))]);
    world.nodes[2].is_stalled = true;
    state(&mut world, ids.map(|id| Operation::Commit { id }).to_vec());
    assert!(is_bound(&world, 1, 2));
    let mut disk = world.nodes[1].disk.clone();
    let (hop, inbound_part) = inbound_parts.into_iter().find(|(hop, _)| hop.id == ids[1]).unwrap();
    let mark = RecoveryRecord { has_begun: true, ..RecoveryRecord::new(world.now(1).unix_ms, false) };
    disk.commit(&[RowChange::remove::<Forward>(&hop), RowChange::put(&hop, &inbound_part), RowChange::put(&(), &mark)])
        .unwrap();
    world.replace_disk(1, disk, true);
    end(&mut world);
    // The half that is for us is ours; the other waits for the friend it went to.
    let of_0 = |world: &World| -> Vec<RequestId> {
        let account = world.nodes[1].account(world.key(0));
        let pendings = account.epoch().unwrap().pendings();
        pendings.filter(|(direction, ..)| *direction == Direction::Incoming).map(|(_, id, _)| id).collect()
    };
    assert_eq!((world.nodes[1].disk.received.len(), of_0(&world)), (1, vec![ids[1]]));
    world.nodes[2].is_stalled = false;
    end(&mut world);
    // The destination waits for the other half for a while, and gives up.
    assert_eq!((of_0(&world), world.balance(1, 0), world.balance(1, 2)), (vec![], 10, 0));
}

/// 0 pays 2 over 1, which loses its disk when 2 has collected; its owner forgets to name 2, whom the backup that 3
/// keeps names.
fn a_friend_was_forgotten() -> World {
    let mut world = World::new(4, 11);
    for (a, b) in [(0, 1), (1, 2), (1, 3)] {
        world.befriend(a, b, 1000, 1000);
    }
    world.connect_all();
    world.settle();
    world.send(0, 2, 10);
    world.send(1, 3, 10);
    world.advance(200_000);
    let invoice = world.invoice(2, 70);
    let (id, _) = world.pay(0, &invoice);
    while world.payment(0, id).progress != Progress::Committed || !is_bound(&world, 1, 2) {
        assert!(world.step());
    }
    // 2 collects from it.
    world.settle_but(1);
    world.nodes[1].is_stalled = false;
    world.nodes[2].is_stalled = true;
    lose_disk(&mut world, 1, &[0, 3]);
    end(&mut world);
    assert!(world.is_consistent(0, 1) && world.is_consistent(1, 3));
    world
}

// R7.18.
#[test]
fn a_request_is_not_released_while_a_backup_names_a_friend_that_nobody_has_asked() {
    let mut world = a_friend_was_forgotten();
    assert!(is_recovering(&world, 1));
    assert_eq!(incoming(&world, 1, 0), 1, "2 has collected it");
    // The process forgets what the backup has said, and asks again.
    world.kill(1);
    world.start(1);
    end(&mut world);
    assert!(is_recovering(&world, 1));
    assert_eq!(incoming(&world, 1, 0), 1, "2 has collected it");
    // The owner remembers.
    let add = |world: &World, balance| world.friendship(2, &Currency::default(), balance, 1000);
    assert!(refusal(world.ask(1, add(&world, -10))).contains("balance of 0"));
    assert_eq!(world.ask(1, add(&world, 0)), Reply::Done);
    world.nodes[2].is_stalled = false;
    end(&mut world);
    assert!(!is_recovering(&world, 1));
    assert_eq!((world.balance(1, 0), world.balance(1, 2)), (82, -80));
    world.assert_quiet();
}

/// What the backup tells of the friend that was forgotten counts when it comes back.
#[test]
fn a_friend_that_was_forgotten_shows_no_less_than_the_backup_tells() {
    let mut world = a_friend_was_forgotten();
    let fresh = World::new(4, 11).nodes[2].disk.clone();
    world.replace_disk(2, fresh, true);
    assert_eq!(world.ask(2, world.friendship(1, &Currency::default(), 0, 1000)), Reply::Done);
    assert_eq!(world.ask(1, world.friendship(2, &Currency::default(), 0, 1000)), Reply::Done);
    world.nodes[2].is_stalled = false;
    end(&mut world);
    let status = world.nodes[1].account(world.key(2)).status();
    assert!(matches!(status, Status::Inconsistent { reason: Some(StopReason::FriendWithholds), .. }), "{status:?}");
    assert!(is_recovering(&world, 1) && incoming(&world, 1, 0) == 1);
}

/// Whom a backup names may be gone for ever: the owner says so by adding and removing it.
#[test]
fn a_friend_that_a_backup_names_and_its_owner_gives_up_is_not_waited_for() {
    let mut world = a_friend_was_forgotten();
    assert_eq!(world.ask(1, world.friendship(2, &Currency::default(), 0, 1000)), Reply::Done);
    let command = Command::RemoveFriend { name: name(2), force: true, forgive: true };
    assert_eq!(world.ask(1, command), Reply::Done);
    world.kill(2);
    end(&mut world);
    assert!(!is_recovering(&world, 1));
    assert_eq!(incoming(&world, 1, 0), 0);
}

/// The questions that 1 asks 2, each with its connection.
fn questions(world: &mut World) -> Vec<(u64, Vec<RequestId>)> {
    let inputs = world.take_inputs(1, 2).into_iter();
    let questions = inputs.filter_map(|input| match input {
        Input::Message(_, connection, message) => match *message {
            FriendMessage::Resolve(ids) => Some((connection, ids)),
            _ => None,
        },
        _ => None,
    });
    questions.collect()
}

/// A friend that leaves a question out of its answer is asked again only after a while: two nodes never keep each other
/// busy.
#[test]
fn who_answers_nothing_is_not_asked_again_at_once() {
    let mut world = World::row(3, 1000);
    let invoice = world.invoice(2, 70);
    world.pay(0, &invoice);
    while !is_bound(&world, 1, 2) {
        assert!(world.step());
    }
    // 2 collects from 1, which loses its disk.
    world.settle_but(1);
    world.nodes[1].is_stalled = false;
    lose_disk(&mut world, 1, &[0, 2]);
    world.connect_all();
    while !(world.is_consistent(0, 1) && world.is_consistent(1, 2)) {
        assert!(world.step());
    }
    world.make_puppet(2);
    let mut asked = questions(&mut world);
    while asked.is_empty() {
        assert!(world.step());
        asked = questions(&mut world);
    }
    let [(connection, ids)] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(ids.len(), 1);
    let answer = FriendMessage::Resolved(vec![]);
    world.batch(1, vec![Input::Message(world.key(2), *connection, Box::new(answer))]);
    assert_eq!(questions(&mut world), []);
    assert_eq!(incoming(&world, 1, 0), 1);
}
