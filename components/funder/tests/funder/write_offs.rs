//! Writing off what a friend holds: the one who waited upstream is released, and the owner loses at most what they have
//! allowed.

use super::key_rotation::{add, is_bound, refusal, replace};
use super::key_rotation_requests::incoming;
use super::recovery::{end, is_recovering, lose_disk, put_back};
use offst_crypto::Preimage;
use offst_funder::{Command, Input, Progress, Reply};
use offst_ledger::Direction;
use offst_proto::Amount;
use offst_proto::friend::{FriendMessage, Resume};
use offst_proto::opening::Opening;
use offst_proto::payment::preimage_of;
use offst_proto::report::{Event, Held, WriteOffReport};
use offst_proto::resolve::End;
use offst_proto::{Currency, PaymentId, Unverified, Verified};
use offst_simulator::{CRASHES, World, name};

fn order(friend: usize, up_to: u128) -> Command {
    Command::WriteOff { name: name(friend), currency: Currency::default(), up_to: Amount::capped(up_to) }
}

/// The owner of `node` writes off what `friend` holds.
pub(crate) fn write_off(world: &mut World, node: usize, friend: usize, up_to: u128) -> WriteOffReport {
    match world.ask(node, order(friend, up_to)) {
        Reply::WrittenOff(report) => report,
        reply => panic!("not written off: {reply:?}"),
    }
}

pub(crate) fn held(count: u32, amount: u128) -> Held {
    Held { count, amount }
}

/// How many requests `friend` may still collect from `node`.
fn outgoing(world: &World, node: usize, friend: usize) -> usize {
    let account = world.nodes[node].account(world.key(friend));
    let pendings = account.epoch().into_iter().flat_map(|epoch| epoch.pendings());
    pendings.filter(|(direction, ..)| *direction == Direction::Outgoing).count()
}

pub(crate) fn wealth(world: &World) -> Vec<i128> {
    world.nodes.iter().map(|node| node.wealth()).collect()
}

/// What the history of a node says that it has lost.
pub(crate) fn lost(world: &World, node: usize) -> Vec<u128> {
    let forwarded = world.nodes[node].disk.forwarded.iter();
    forwarded.filter(|report| report.from.is_none()).map(|report| report.amount.credits()).collect()
}

/// A row of so many nodes: the first pays the last, and the one before the last has committed. `has_collected`: the
/// last one has collected, and nobody has heard of it; otherwise it has not heard of the commit.
pub(crate) fn hold_at_the_last(count: usize, amounts: &[u128], has_collected: bool) -> (World, Vec<PaymentId>) {
    let mut world = World::row(count, 1000);
    let (mediator, last) = (count - 2, count - 1);
    let ids: Vec<_> = amounts.iter().map(|amount| world.send(0, last, *amount).0).collect();
    while outgoing(&world, 0, 1) < amounts.len() {
        assert!(world.step());
    }
    // All answers wait for the buyer, which commits to all of them, and then all commits for the last one.
    world.settle_but(0);
    world.nodes[0].is_stalled = false;
    world.settle_but(last);
    let account = world.nodes[mediator].account(world.key(last));
    let pendings = account.epoch().into_iter().flat_map(|epoch| epoch.pendings());
    assert_eq!(pendings.filter(|(_, id, _)| account.is_bound(*id)).count(), amounts.len());
    if has_collected {
        world.nodes[last].is_stalled = false;
        world.settle_but(mediator);
        assert_eq!(world.nodes[last].wealth(), amounts.iter().sum::<u128>() as i128);
    }
    world.disconnect(mediator, last);
    world.nodes[mediator].is_stalled = false;
    world.nodes[last].is_stalled = false;
    (world, ids)
}

/// The same, until the last one is overdue.
pub(crate) fn overdue(count: usize, amounts: &[u128], has_collected: bool) -> (World, Vec<PaymentId>) {
    let (mut world, ids) = hold_at_the_last(count, amounts, has_collected);
    world.advance(61_000);
    (world, ids)
}

/// The first one is away when the order comes: the release is signed and lost on the way, or waits to be signed.
fn send_away(world: &mut World, is_noticed: bool) {
    world.disconnect(0, 1);
    if is_noticed {
        world.settle();
    }
}

#[test]
fn who_waits_is_released_and_a_collect_later_is_our_own_loss() {
    let (mut world, ids) = overdue(3, &[100], true);
    assert_eq!((incoming(&world, 1, 0), world.payment(0, ids[0]).progress), (1, Progress::Committed));
    let report = write_off(&mut world, 1, 2, 100);
    assert_eq!(report.released, held(1, 100));
    assert_eq!((report.waiting, report.own, report.at_risk), (Held::default(), Held::default(), held(1, 100)));
    world.settle();
    // The buyer has its credits back, and may pay by another route.
    let payment = world.payment(0, ids[0]);
    assert_eq!((incoming(&world, 1, 0), payment.progress), (0, Progress::Failed));
    assert!(payment.reason.contains("held the payment for too long"), "{}", payment.reason);
    assert_eq!(world.nodes[0].wealth() + world.nodes[1].wealth(), 0);
    // What the friend holds stays as it is, and it is still overdue.
    assert_eq!(outgoing(&world, 1, 2), 1);
    let of_friend = |world: &mut World| {
        let Reply::Friends(friends) = world.ask(1, Command::Friends) else { panic!() };
        let friend = friends.iter().find(|friend| friend.name == name(2)).unwrap();
        friend.accounts[0]
            .overdue
            .iter()
            .map(|request| (request.amount.credits(), request.written_off))
            .collect::<Vec<_>>()
    };
    assert_eq!(of_friend(&mut world), [(100, true)]);
    // It comes back with the preimage.
    world.connect_all();
    world.advance(1000);
    assert_eq!(wealth(&world), [0, -100, 100]);
    assert_eq!((lost(&world, 1), of_friend(&mut world)), (vec![100], vec![]));
    world.assert_quiet();
    let (id, _) = world.send(0, 2, 10);
    world.settle();
    assert_eq!(world.payment(0, id).progress, Progress::Paid, "the friend is used again");
}

#[test]
fn what_the_friend_cancels_later_costs_nothing() {
    let (mut world, ids) = overdue(3, &[100], false);
    assert_eq!(write_off(&mut world, 1, 2, 100).released, held(1, 100));
    world.connect_all();
    world.advance(100_000);
    assert_eq!((wealth(&world), lost(&world, 1)), (vec![0, 0, 0], vec![]));
    assert_eq!(world.payment(0, ids[0]).progress, Progress::Failed);
    world.assert_quiet();
    assert_eq!(write_off(&mut world, 1, 2, 100).at_risk, Held::default());
}

// R8.2.
#[test]
fn as_many_are_released_as_the_amount_allows_and_twice_is_once() {
    let (mut world, ids) = overdue(3, &[70, 30, 50], true);
    let nothing = WriteOffReport { waiting: held(3, 150), ..WriteOffReport::default() };
    for up_to in [0, 29] {
        assert_eq!(write_off(&mut world, 1, 2, up_to), nothing);
    }
    let report = write_off(&mut world, 1, 2, 149);
    assert_eq!((report.released, report.waiting, report.at_risk), (held(2, 80), held(1, 70), held(2, 80)));
    world.settle();
    let ended = |world: &World| ids.iter().map(|id| world.payment(0, *id).progress).collect::<Vec<_>>();
    assert_eq!(ended(&world), [Progress::Committed, Progress::Failed, Progress::Failed]);
    // What was written off before counts: the same order again, or a smaller one, does nothing.
    for up_to in [149, 80, 0] {
        let report = write_off(&mut world, 1, 2, up_to);
        assert_eq!((report.released, report.waiting, report.at_risk), (held(0, 0), held(1, 70), held(2, 80)));
    }
    assert_eq!(write_off(&mut world, 1, 2, 150).released, held(1, 70));
    world.connect_all();
    world.advance(1000);
    assert_eq!((wealth(&world), lost(&world, 1).iter().sum::<u128>()), (vec![0, -150, 150], 150));
    world.assert_quiet();
}

// R8.1.
#[test]
fn nothing_is_released_before_its_time_and_what_is_released_is_of_others() {
    let (mut world, _) = hold_at_the_last(3, &[100], true);
    world.advance(58_000);
    assert_eq!(write_off(&mut world, 1, 2, 1000), WriteOffReport::default());
    world.advance(3_000);
    // The buyer's own payment waits at node 1, and is paid if the seller was.
    let report = write_off(&mut world, 0, 1, 1000);
    assert_eq!(report, WriteOffReport { own: held(1, 101), ..WriteOffReport::default() });
    world.connect_all();
    world.advance(1000);
    assert_eq!(wealth(&world), [-101, 1, 100]);
    for (command, part) in [
        (order(0, 10), "no friend named"),
        (
            Command::WriteOff { name: name(1), currency: "hours".parse().unwrap(), up_to: 1.into() },
            "no account in hours",
        ),
    ] {
        let message = refusal(world.ask(0, command));
        assert!(message.contains(part), "{message}");
    }
}

/// The one it came from is away: its release waits for it, over a restart too. After it the friend is overdue again.
#[test]
fn a_release_waits_for_a_friend_who_is_away() {
    let (mut world, ids) = overdue(3, &[100], true);
    send_away(&mut world, true);
    assert_eq!(write_off(&mut world, 1, 2, 100).released, held(1, 100));
    world.advance(1000);
    assert_eq!(world.payment(0, ids[0]).progress, Progress::Committed);
    world.kill(1);
    world.nodes[1].events.clear();
    world.start(1);
    world.advance(61_000);
    assert!(world.nodes[1].events.iter().any(|event| matches!(event, Event::Overdue { .. })));
    assert_eq!(write_off(&mut world, 1, 2, 100), WriteOffReport { at_risk: held(1, 100), ..WriteOffReport::default() });
    world.connect(0, 1);
    world.advance(1000);
    assert_eq!((world.payment(0, ids[0]).progress, incoming(&world, 1, 0)), (Progress::Failed, 0));
    world.connect_all();
    world.advance(1000);
    assert_eq!((wealth(&world), lost(&world, 1)), (vec![0, -100, 100], vec![100]));
    world.assert_quiet();
}

/// The mediator dies at any instruction of the order, and of the collect that follows. The owner, who has had no
/// answer, orders again.
/// (R8.4.)
#[test]
fn killed_at_any_instruction_it_is_written_off_once_or_not_at_all() {
    for has_collected in [false, true] {
        for crash in CRASHES {
            for at in 0..30 {
                let (mut world, _) = overdue(3, &[60, 40], has_collected);
                world.nodes[1].crash = Some((at, crash));
                world.command(1, order(2, 60));
                world.settle();
                world.connect(1, 2);
                world.settle();
                let has_died = !world.nodes[1].is_up();
                world.nodes[1].crash = None;
                world.start(1);
                world.disconnect(1, 2);
                world.advance(61_000);
                let report = write_off(&mut world, 1, 2, 60);
                assert!(report.at_risk.amount <= 60, "{report:?}");
                world.connect_all();
                world.advance(100_000);
                world.assert_quiet();
                let lost: u128 = lost(&world, 1).iter().sum();
                assert!(lost <= 60, "{lost}");
                let (lost, fees) = (lost as i128, world.nodes[1].disk.forwarded.iter().map(|report| report.fee));
                let fees = fees.sum::<u128>() as i128;
                let sold = if has_collected { 100 } else { 0 };
                assert_eq!(wealth(&world), [lost - sold - fees, fees - lost, sold], "{crash:?} {at} {has_collected}");
                if !has_died {
                    break;
                }
            }
        }
    }
}

/// The disk is put back, or lost, after the order or before it: what was released stays released, what the friend has
/// is its own.
/// (R8.7.)
#[test]
fn a_recovery_does_not_tie_together_again_what_was_written_off() {
    let both = [false, true];
    for (is_before, away, has_collected) in
        both.into_iter().flat_map(|a| [None, Some(false), Some(true)].map(|b| both.map(|c| (a, b, c)))).flatten()
    {
        let (mut world, ids) = overdue(3, &[100], has_collected);
        let before = world.nodes[1].disk.clone();
        if let Some(is_noticed) = away {
            send_away(&mut world, is_noticed);
        }
        assert_eq!(write_off(&mut world, 1, 2, 100).released, held(1, 100));
        world.settle();
        let after = world.nodes[1].disk.clone();
        put_back(&mut world, 1, if is_before { before } else { after }, true);
        end(&mut world);
        world.advance(100_000);
        let note = format!("{is_before} {away:?} {has_collected}");
        assert!(!is_recovering(&world, 1), "{note}");
        world.assert_quiet();
        // Where nobody remembers the order, and nobody has heard of it, there was none. Nor is anything lost where the
        // first one has not heard of it and the last one shows the preimage before it does.
        let is_signed = away != Some(true);
        let stands = is_signed && !(is_before && away.is_some());
        let expected = match (has_collected, stands) {
            (false, _) => [0, 0, 0],
            (true, false) => [-101, 1, 100],
            (true, true) => [0, -100, 100],
        };
        assert_eq!(wealth(&world), expected, "{note}");
        let is_paid = has_collected && !stands;
        let progress = world.payment(0, ids[0]).progress;
        assert_eq!(progress, if is_paid { Progress::Paid } else { Progress::Failed }, "{note}");
    }
}

/// The friend has collected since the copy, and the one that waited has not heard of the release: the copy's order is
/// over, and the preimage is worth its credits.
#[test]
fn what_was_collected_since_the_copy_is_paid_by_whoever_still_owes_it() {
    let (mut world, ids) = overdue(3, &[100], true);
    send_away(&mut world, true);
    write_off(&mut world, 1, 2, 100);
    let copy = world.nodes[1].disk.clone();
    world.connect(1, 2);
    world.advance(1000);
    assert_eq!((world.nodes[2].wealth(), world.balance(1, 2)), (100, -100));
    put_back(&mut world, 1, copy, true);
    end(&mut world);
    assert!(!is_recovering(&world, 1));
    world.assert_quiet();
    assert_eq!((wealth(&world), world.payment(0, ids[0]).progress), (vec![-101, 1, 100], Progress::Paid));
}

/// The friend still holds it when the disk is put back, and the one that waited has not heard of the release: the order
/// stands.
#[test]
fn what_still_waits_when_the_disk_is_put_back_is_released_once_more() {
    for is_noticed in [false, true] {
        // 2 holds what 1 has committed, because 3 is gone.
        let (mut world, ids) = overdue(4, &[100], true);
        send_away(&mut world, is_noticed);
        assert_eq!(write_off(&mut world, 1, 2, 101).released, held(1, 101));
        let copy = world.nodes[1].disk.clone();
        put_back(&mut world, 1, copy, true);
        world.connect(0, 1);
        world.connect(1, 2);
        world.advance(120_000);
        assert!(!is_recovering(&world, 1));
        assert_eq!((incoming(&world, 1, 0), outgoing(&world, 1, 2)), (0, 1));
        assert_eq!(world.payment(0, ids[0]).progress, Progress::Failed);
        let report = write_off(&mut world, 1, 2, 101);
        assert_eq!(report, WriteOffReport { at_risk: held(1, 101), ..WriteOffReport::default() });
        world.connect_all();
        world.advance(1000);
        assert_eq!((wealth(&world), lost(&world, 1)), (vec![0, -101, 1, 100], vec![101]));
        world.assert_quiet();
    }
}

#[test]
fn a_node_that_has_lost_everything_pays_what_it_had_written_off() {
    let (mut world, _) = overdue(3, &[100], true);
    write_off(&mut world, 1, 2, 100);
    world.settle();
    lose_disk(&mut world, 1, &[0, 2]);
    end(&mut world);
    assert!(!is_recovering(&world, 1));
    world.assert_quiet();
    assert_eq!(wealth(&world), [0, -100, 100]);
}

/// In a recovery only what is known to hang together is released: the friend must have shown the account.
/// (R8.6.)
#[test]
fn nothing_is_written_off_on_a_suspect_account() {
    let (mut world, _) = overdue(3, &[100], true);
    let copy = world.nodes[1].disk.clone();
    put_back(&mut world, 1, copy, true);
    world.connect(0, 1);
    world.advance(200_000);
    let message = refusal(world.ask(1, order(2, 100)));
    assert!(message.contains("recovers"), "{message}");
    world.disconnect(0, 1);
    world.connect(1, 2);
    world.nodes[2].is_stalled = true;
    end(&mut world);
    assert_eq!(incoming(&world, 1, 0), 1);
}

/// 1 loses its disk after 2 has written off what came from it, and asks how it ended. It is not told the preimage: it
/// would be paid for what it does not owe any more.
#[test]
fn whoever_was_released_is_not_told_the_preimage() {
    let (mut world, _) = overdue(4, &[100], true);
    assert_eq!(write_off(&mut world, 2, 3, 100).released, held(1, 100));
    // 0 has not heard of it, so that 1 is asked for it when it comes back.
    world.disconnect(0, 1);
    world.settle();
    world.connect(2, 3);
    world.advance(1000);
    assert_eq!(lost(&world, 2), [100]);
    lose_disk(&mut world, 1, &[0, 2]);
    end(&mut world);
    assert!(!is_recovering(&world, 1));
    world.assert_quiet();
    assert_eq!(wealth(&world), [0, 0, -100, 100]);
}

/// The account with the one it came from stops before it has heard of the release, and goes on with terms in which the
/// request continues: it is released there.
#[test]
fn terms_that_continue_it_upstream_do_not_take_the_release_back() {
    for (is_reset_by, is_noticed) in [(0, false), (0, true), (1, false), (1, true)] {
        let (mut world, ids) = overdue(3, &[100], true);
        send_away(&mut world, is_noticed);
        write_off(&mut world, 1, 2, 100);
        assert_eq!(world.ask(0, Command::DisableFriend { name: name(1), force: true }), Reply::Done);
        assert_eq!(world.ask(0, Command::EnableFriend(name(1))), Reply::Done);
        world.connect(0, 1);
        world.advance(5000);
        if !world.is_consistent(0, 1) {
            let other = 1 - is_reset_by;
            assert_eq!(world.ask(is_reset_by, world.reset(other)), Reply::Done);
        }
        world.connect_all();
        world.advance(100_000);
        assert_eq!((wealth(&world), lost(&world, 1)), (vec![0, -100, 100], vec![100]));
        assert_eq!(world.payment(0, ids[0]).progress, Progress::Failed);
        world.assert_quiet();
    }
}

/// The account with the friend stops and goes on with a new epoch, in which the request continues, and is collected.
#[test]
fn it_is_collected_once_in_whatever_epoch() {
    for stopper in [1, 2] {
        let (mut world, _) = overdue(3, &[100], true);
        write_off(&mut world, 1, 2, 100);
        let other = 3 - stopper;
        assert_eq!(world.ask(stopper, Command::DisableFriend { name: name(other), force: true }), Reply::Done);
        assert_eq!(world.ask(stopper, Command::EnableFriend(name(other))), Reply::Done);
        world.connect_all();
        world.advance(5000);
        if !world.is_consistent(1, 2) {
            let reply = world.ask(1, world.reset(2));
            let reply = if reply == Reply::Done { reply } else { world.ask(2, world.reset(1)) };
            assert_eq!(reply, Reply::Done);
        }
        world.advance(100_000);
        assert_eq!((wealth(&world), lost(&world, 1)), (vec![0, -100, 100], vec![100]), "{stopper}");
        world.assert_quiet();
    }
}

/// Terms that leave it out and take its credits are refused until the friend has shown that it was paid.
#[test]
fn a_friend_that_takes_it_by_new_terms_shows_the_proof() {
    for proves in [false, true] {
        let (mut world, _) = overdue(3, &[100], true);
        write_off(&mut world, 1, 2, 100);
        world.make_puppet(2);
        world.connect(1, 2);
        let connected = world.take_inputs(2, 1);
        let connection = connected.iter().find_map(|input| match input {
            Input::Connected(_, connection) => Some(*connection),
            _ => None,
        });
        world.batch(1, connected);
        let account = world.nodes[1].account(world.key(2));
        let (_, id, pending) = account.epoch().unwrap().pendings().find(|(_, id, _)| account.is_bound(*id)).unwrap();
        let preimage = preimage_of(world.signer(2), &pending.terms);
        let mine = account.negotiation().mine.clone().unwrap();
        let theirs = Opening {
            author: world.key(2),
            other: world.key(1),
            currency: Currency::default(),
            epoch: mine.epoch + 1,
            balance: 100,
            continuing: vec![],
            accepts: None,
        };
        let theirs = Unverified::from_wire(Verified::sign(theirs, world.signer(2)).wire()).unwrap();
        let currency = Currency::default();
        world.resume(2, 1, Resume { currency, opening: Some(theirs), epoch: None, recovering: false });
        let message = refusal(world.ask(1, world.reset(2)));
        assert!(message.contains("no proof"), "{message}");
        let preimage = if proves { preimage } else { Preimage::from_bytes([7; 32]) };
        let message = FriendMessage::Resolved(vec![(id, End::Collected(preimage))]);
        let key = world.key(2);
        world.batch(1, vec![Input::Message(key, connection.unwrap(), Box::new(message))]);
        let reply = world.ask(1, world.reset(2));
        if proves {
            assert_eq!((reply, world.balance(1, 2), lost(&world, 1)), (Reply::Done, -100, vec![100]));
            assert_eq!(world.nodes[1].disk.underway(), 0);
        } else {
            assert!(refusal(reply).contains("no proof"));
            assert_eq!((lost(&world, 1), world.nodes[1].disk.underway()), (vec![], 1));
        }
    }
}

/// The friend goes on under another key: what it may still collect goes over, and comes back when the new key cannot.
/// (R8.5.)
#[test]
fn it_goes_over_to_a_friends_new_key() {
    let mut world = World::new(4, 11);
    world.befriend(0, 1, 1000, 1000);
    world.befriend(1, 2, 1000, 1000);
    world.connect_all();
    world.settle();
    world.send(0, 2, 70);
    while !is_bound(&world, 1, 2) {
        assert!(world.step());
    }
    world.kill(2);
    world.advance(61_000);
    assert_eq!(write_off(&mut world, 1, 2, 70).released, held(1, 70));
    assert_eq!(replace(&mut world, 1, 2, 3), Reply::Done);
    world.kill(1);
    world.start(1);
    world.connect_all();
    world.advance(1000);
    let report = write_off(&mut world, 1, 2, 70);
    assert_eq!(report, WriteOffReport { at_risk: held(1, 70), ..WriteOffReport::default() });
    add(&mut world, 3, 1, 0);
    assert_eq!(world.ask(3, world.reset(1)), Reply::Done);
    world.advance(5000);
    assert_eq!(write_off(&mut world, 1, 2, 70), WriteOffReport::default());
    assert_eq!((world.nodes[1].wealth(), world.nodes[1].disk.underway()), (0, 0));
}

#[test]
fn it_goes_with_a_friend_that_is_removed() {
    let (mut world, _) = overdue(3, &[100], true);
    write_off(&mut world, 1, 2, 100);
    let command = Command::RemoveFriend { name: name(2), force: true, forgive: true };
    assert_eq!(world.ask(1, command), Reply::Done);
    world.settle();
    assert_eq!(world.nodes[1].disk.underway(), 0);
    world.kill(1);
    world.start(1);
    world.connect_all();
    world.advance(1000);
    assert_eq!((world.nodes[1].wealth(), lost(&world, 1)), (0, vec![]));
}
