//! Writing off without asking: what is held is released by itself, within what the owner has allowed, until the friend
//! collects it.

use super::key_rotation::refusal;
use super::recovery::{end, is_recovering, put_back};
use super::write_offs::{held, hold_at_the_last, lost, overdue, wealth, write_off};
use offst_funder::{Command, FriendRecord, Progress, Reply, WriteOff};
use offst_proto::Amount;
use offst_proto::Currency;
use offst_proto::report::{Event, WriteOffReport};
use offst_simulator::{CRASHES, World, name};

fn allow(world: &mut World, node: usize, friend: usize, up_to: u128) {
    assert_eq!(
        world.ask(node, Command::SetAutoWriteOff(name(friend), Currency::default(), Amount::capped(up_to))),
        Reply::Done
    );
}

/// What is set, as the owner sees it and as the disk holds it.
fn allowed(world: &mut World, node: usize, friend: usize) -> Option<u128> {
    let Reply::Friends(friends) = world.ask(node, Command::Friends) else { panic!() };
    let shown = friends.iter().find(|one| one.name == name(friend)).unwrap().accounts[0].auto_write_off;
    let friends = world.nodes[node].disk.all::<FriendRecord>();
    let (_, record) = friends.into_iter().find(|(key, _)| *key == world.key(friend)).unwrap();
    assert_eq!(shown, record.auto_write_offs.get(&Currency::default()).copied());
    shown.map(Amount::credits)
}

fn progress(world: &World, ids: &[offst_proto::PaymentId]) -> Vec<Progress> {
    ids.iter().map(|id| world.payment(0, *id).progress).collect()
}

#[test]
fn what_becomes_overdue_is_released_by_itself_within_what_is_allowed() {
    let (mut world, ids) = hold_at_the_last(3, &[70, 30, 50], true);
    assert_eq!(allowed(&mut world, 1, 2), None, "it is off at first");
    allow(&mut world, 1, 2, 100);
    world.advance(55_000);
    assert_eq!(progress(&world, &ids), [Progress::Committed; 3], "nothing is overdue yet");
    world.advance(6_000);
    assert_eq!(progress(&world, &ids), [Progress::Committed, Progress::Failed, Progress::Failed]);
    // The owner is told as ever, and an order of their own counts for itself.
    assert_eq!(world.nodes[1].events.iter().filter(|event| matches!(event, Event::Overdue { .. })).count(), 3);
    let report = write_off(&mut world, 1, 2, 0);
    assert_eq!((report.waiting, report.at_risk), (held(1, 70), held(2, 80)));
    assert_eq!(write_off(&mut world, 1, 2, 150).released, held(1, 70));
    world.connect_all();
    world.advance(1000);
    assert_eq!((wealth(&world), lost(&world, 1).iter().sum::<u128>()), (vec![0, -150, 150], 150));
    world.assert_quiet();
}

/// The first that is collected ends it, with an event, durably; what was at risk by then is what it could cost.
/// (R8.3.)
#[test]
fn what_the_friend_collects_of_it_switches_it_off() {
    for by_itself in [true, false] {
        let (mut world, _) = hold_at_the_last(3, &[60, 40], true);
        allow(&mut world, 1, 2, if by_itself { 100 } else { 5 });
        world.advance(61_000);
        if !by_itself {
            assert_eq!(write_off(&mut world, 1, 2, 100).released, held(2, 100));
        }
        world.connect_all();
        world.advance(1000);
        assert_eq!(lost(&world, 1).iter().sum::<u128>(), 100);
        let ended = |event: &&Event| matches!(event, Event::AutoWriteOffEnded { .. });
        let events: Vec<_> = world.nodes[1].events.iter().filter(ended).cloned().collect();
        if by_itself {
            assert!(
                matches!(&events[..], [Event::AutoWriteOffEnded { name, .. }] if *name == offst_simulator::name(2))
            );
        } else {
            assert!(events.is_empty(), "that was the owner's own order");
        }
        let left = if by_itself { None } else { Some(5) };
        assert_eq!(allowed(&mut world, 1, 2), left);
        world.kill(1);
        world.start(1);
        world.connect_all();
        world.settle();
        assert_eq!(allowed(&mut world, 1, 2), left);
    }
}

/// What the friend releases costs nothing, and makes room for what had to wait.
#[test]
fn what_is_released_makes_room() {
    let (mut world, ids) = hold_at_the_last(3, &[70, 30], false);
    allow(&mut world, 1, 2, 70);
    world.advance(61_000);
    assert_eq!(progress(&world, &ids), [Progress::Committed, Progress::Failed]);
    world.connect_all();
    world.advance(100_000);
    assert_eq!((wealth(&world), lost(&world, 1)), (vec![0, 0, 0], vec![]));
    assert_eq!((progress(&world, &ids)[1], allowed(&mut world, 1, 2)), (Progress::Failed, Some(70)));
    world.assert_quiet();
}

#[test]
fn it_is_set_later_changed_and_switched_off() {
    let (mut world, ids) = overdue(3, &[70, 30], true);
    // What waits already is released at once.
    allow(&mut world, 1, 2, 30);
    world.settle();
    assert_eq!(progress(&world, &ids), [Progress::Committed, Progress::Failed]);
    // Twice is once.
    allow(&mut world, 1, 2, 30);
    allow(&mut world, 1, 2, 99);
    world.advance(200_000);
    assert_eq!(progress(&world, &ids), [Progress::Committed, Progress::Failed]);
    allow(&mut world, 1, 2, 0);
    assert_eq!(allowed(&mut world, 1, 2), None);
    world.advance(200_000);
    assert_eq!(progress(&world, &ids), [Progress::Committed, Progress::Failed]);
    allow(&mut world, 1, 2, 100);
    world.settle();
    assert_eq!(progress(&world, &ids), [Progress::Failed; 2]);
    for (name, currency, up_to, part) in [
        ("nobody".to_owned(), Currency::default(), 1, "no friend named"),
        (name(2), "hours".parse().unwrap(), 1, "no account in hours"),
    ] {
        let message = refusal(world.ask(1, Command::SetAutoWriteOff(name, currency, up_to.into())));
        assert!(message.contains(part), "{message}");
    }
}

/// The process dies at any instruction from when it becomes overdue until the friend has collected.
#[test]
fn killed_at_any_instruction_no_more_is_lost_than_was_allowed() {
    for has_collected in [false, true] {
        for crash in CRASHES {
            for at in 0..20 {
                let (mut world, _) = hold_at_the_last(3, &[60, 40], has_collected);
                allow(&mut world, 1, 2, 60);
                world.nodes[1].crash = Some((at, crash));
                world.advance(61_000);
                world.connect_all();
                world.settle();
                let has_died = !world.nodes[1].is_up();
                world.nodes[1].crash = None;
                world.start(1);
                world.disconnect(1, 2);
                world.connect_all();
                world.advance(200_000);
                world.assert_quiet();
                let lost: u128 = lost(&world, 1).iter().sum();
                assert!(lost == 0 || lost == 40, "{lost}");
                assert_eq!(allowed(&mut world, 1, 2), if lost > 0 { None } else { Some(60) });
                let fees: u128 = world.nodes[1].disk.forwarded.iter().map(|report| report.fee).sum();
                let (lost, fees, sold) = (lost as i128, fees as i128, if has_collected { 100 } else { 0 });
                assert_eq!(wealth(&world), [lost - sold - fees, fees - lost, sold], "{crash:?} {at} {has_collected}");
                if !has_died {
                    break;
                }
            }
        }
    }
}

/// After a restart it becomes overdue again, and is written off then.
#[test]
fn a_restart_forgets_neither_the_setting_nor_what_is_overdue() {
    let (mut world, ids) = hold_at_the_last(3, &[70, 30], true);
    allow(&mut world, 1, 2, 100);
    world.advance(30_000);
    world.kill(1);
    world.nodes[1].events.clear();
    world.start(1);
    world.connect(0, 1);
    world.advance(59_000);
    assert_eq!(progress(&world, &ids), [Progress::Committed; 2]);
    world.advance(2_000);
    assert_eq!(progress(&world, &ids), [Progress::Failed; 2]);
    assert!(world.nodes[1].events.iter().any(|event| matches!(event, Event::Overdue { .. })));
    world.kill(1);
    world.start(1);
    world.connect_all();
    world.advance(1_000);
    assert_eq!((lost(&world, 1).iter().sum::<u128>(), allowed(&mut world, 1, 2)), (100, None));
}

/// In a recovery nothing is written off by itself; when everything is known again, it is.
#[test]
fn nothing_is_written_off_by_itself_while_the_node_recovers() {
    let (mut world, _) = hold_at_the_last(4, &[100], true);
    allow(&mut world, 1, 2, 101);
    let copy = world.nodes[1].disk.clone();
    world.disconnect(1, 2);
    put_back(&mut world, 1, copy, true);
    world.connect(0, 1);
    world.advance(200_000);
    assert!(is_recovering(&world, 1));
    assert_eq!(world.nodes[1].disk.all::<WriteOff>(), []);
    world.disconnect(2, 3);
    world.connect(1, 2);
    world.advance(150_000);
    assert!(!is_recovering(&world, 1));
    let report = write_off(&mut world, 1, 2, 0);
    assert_eq!(report, WriteOffReport { at_risk: held(1, 101), ..WriteOffReport::default() });
    end(&mut world);
    assert_eq!((lost(&world, 1), allowed(&mut world, 1, 2)), (vec![101], None));
}
