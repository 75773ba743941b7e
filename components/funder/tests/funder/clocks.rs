//! Clocks that are ahead, or were: no account is locked by them, no application, and nothing is forgotten sooner.

use super::key_rotation::is_bound;
use super::key_rotation_requests::incoming;
use super::recovery::{end, is_recovering, lose_disk, put_back};
use offst_crypto::{Identity, PublicKey};
use offst_funder::{Command, Input, Progress, Reply};
use offst_ledger::{Direction, Stage};
use offst_proto::budget::Budgets;
use offst_proto::order::Purpose;
use offst_proto::report::InvoiceStatus;
use offst_simulator::{World, name};

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// To the year 2100.
const TO_2100_MS: u64 = 74 * 365 * DAY_MS;
/// Two hours, a month, the year 2100, and one with five digits.
const AHEAD_MS: [u64; 4] = [2 * HOUR_MS, 30 * DAY_MS, TO_2100_MS, 10_000 * 365 * DAY_MS];

/// The clocks of some nodes are ahead.
fn set_ahead(world: &mut World, nodes: &[usize], ms: u64) {
    for node in nodes {
        world.nodes[*node].clock_ahead_ms = ms;
    }
}

/// Some nodes start again, with right clocks.
fn put_right(world: &mut World, nodes: &[usize]) {
    for node in nodes {
        world.nodes[*node].clock_ahead_ms = 0;
        world.kill(*node);
        world.start(*node);
    }
    world.connect_all();
}

fn assert_paid(world: &mut World, buyer: usize, seller: usize) {
    let (id, _) = world.send(buyer, seller, 1);
    world.advance(30_000);
    assert_eq!(world.payment(buyer, id).progress, Progress::Paid, "{}", world.payment(buyer, id).reason);
}

/// Also when the friends' clocks are ahead, or only theirs.
#[test]
fn accounts_come_back_after_a_recovery_with_a_clock_ahead() {
    for ms in AHEAD_MS {
        for wrong in [&[1][..], &[0, 2], &[0, 1, 2]] {
            let mut world = World::row(3, 1000);
            assert_paid(&mut world, 0, 2);
            world.advance(60_000);
            set_ahead(&mut world, wrong, ms);
            lose_disk(&mut world, 1, &[0, 2]);
            end(&mut world);
            put_right(&mut world, wrong);
            end(&mut world);
            assert!(!is_recovering(&world, 1), "{ms} ms ahead at {wrong:?}");
            assert_paid(&mut world, 0, 2);
            // The disk is lost once more, with the right time.
            world.advance(60_000);
            lose_disk(&mut world, 1, &[0, 2]);
            end(&mut world);
            assert!(!is_recovering(&world, 1), "{ms} ms ahead at {wrong:?}, then not");
            assert_paid(&mut world, 0, 2);
            world.assert_quiet();
        }
    }
}

/// The way out by hand: both owners remove the other and begin anew, with what is left of the wrong time in their
/// tombstones.
#[test]
fn friends_begin_anew_after_a_recovery_with_a_clock_ahead() {
    for ms in AHEAD_MS {
        for (loser, other) in [(0, 1), (1, 0)] {
            let mut world = World::row(2, 1000);
            world.advance(60_000);
            set_ahead(&mut world, &[loser], ms);
            lose_disk(&mut world, loser, &[other]);
            end(&mut world);
            // The account of a friend that is still suspect leaves the time behind, too.
            put_right(&mut world, &[loser]);
            for (node, friend) in [(0, 1), (1, 0)] {
                let remove = Command::RemoveFriend { name: name(friend), force: true, forgive: true };
                assert_eq!(world.ask(node, remove), Reply::Done);
            }
            world.advance(60_000);
            world.befriend(0, 1, 1000, 1000);
            end(&mut world);
            assert_paid(&mut world, 0, 1);
        }
    }
}

/// A backup from the time when the clock was ahead names a friend that was removed since. It is older than the next
/// one, whatever their dates say, and nobody waits for that friend.
/// (R7.23.)
#[test]
fn a_peer_backup_is_no_newer_for_its_date() {
    let mut world = World::new(4, 11);
    for friend in [0, 2, 3] {
        world.befriend(1, friend, 1000, 1000);
    }
    world.connect_all();
    world.settle();
    set_ahead(&mut world, &[1], TO_2100_MS);
    world.send(1, 3, 10);
    world.send(1, 2, 10);
    world.advance(200_000);
    // 2 keeps the backup of that time only.
    world.kill(2);
    put_right(&mut world, &[1]);
    world.send(3, 1, 10);
    world.advance(10_000);
    let remove = Command::RemoveFriend { name: name(3), force: false, forgive: false };
    assert_eq!(world.ask(1, remove), Reply::Done);
    world.send(1, 0, 10);
    world.advance(200_000);
    world.kill(3);
    world.start(2);
    world.connect_all();
    world.advance(1_000);
    // What 0 has committed nobody knows any more. It is released when all have been asked who may know of it.
    world.send(0, 2, 5);
    while incoming(&world, 1, 0) == 0 || !is_bound(&world, 1, 2) {
        assert!(world.step());
    }
    lose_disk(&mut world, 1, &[0, 2]);
    end(&mut world);
    assert!(!is_recovering(&world, 1), "the newest backup names 0 and 2 alone");
    assert_eq!(incoming(&world, 1, 0), 0);
}

/// 0 has committed and goes away, 2 collects from 1, and 1 loses its disk. Anybody who asks a month later is told how
/// it ended, also when the clock of the one who answers is far ahead.
#[test]
fn what_was_paid_for_a_friend_that_was_away_for_a_month_is_not_lost() {
    for ahead in [0, TO_2100_MS] {
        let mut world = World::row(3, 1000);
        let before = world.nodes[1].wealth();
        world.send(0, 2, 100);
        let is_committed = |world: &World| {
            let mut pendings = world.nodes[1].account(world.key(0)).epoch().unwrap().pendings();
            pendings.any(|(direction, _, pending)| {
                direction == Direction::Incoming && matches!(pending.stage, Stage::Committed(_))
            })
        };
        while !is_committed(&world) {
            assert!(world.step());
        }
        world.kill(0);
        while world.balance(1, 2) != -100 {
            assert!(world.step());
        }
        world.advance(60_000);
        lose_disk(&mut world, 1, &[0, 2]);
        world.connect_all();
        world.advance(31 * DAY_MS);
        set_ahead(&mut world, &[2], ahead);
        world.start(0);
        end(&mut world);
        assert_eq!(world.nodes[1].wealth(), before + 1, "{} and {}", world.balance(1, 0), world.balance(1, 2));
        assert!(!is_recovering(&world, 1));
    }
}

/// An invoice was made while the clock was ahead, and paid after the copy. The recovery begins with the right time.
#[test]
fn an_invoice_from_the_future_is_not_paid_again_after_a_loss() {
    let mut world = World::row(2, 1000);
    set_ahead(&mut world, &[1], TO_2100_MS);
    let invoice = world.invoice(1, 100);
    let copy = world.nodes[1].disk.clone();
    let (first, _) = world.pay(0, &invoice);
    world.advance(10_000);
    assert_eq!(world.payment(0, first).progress, Progress::Paid);
    world.nodes[1].clock_ahead_ms = 0;
    put_back(&mut world, 1, copy, true);
    end(&mut world);
    assert!(!is_recovering(&world, 1));
    assert_eq!(world.nodes[1].disk.invoice(invoice.id).unwrap().status, InvoiceStatus::Cancelled);
}

/// The recovery has begun with a clock ahead, and waits for a friend. What is asked for since, with the right time, is
/// no invoice from before the loss.
#[test]
fn an_invoice_from_after_a_recovery_of_the_future_can_be_paid() {
    let mut world = World::row(3, 1000);
    world.advance(60_000);
    let copy = world.nodes[1].disk.clone();
    world.send(1, 0, 5);
    world.advance(60_000);
    world.kill(2);
    world.nodes[1].clock_ahead_ms = TO_2100_MS;
    put_back(&mut world, 1, copy, true);
    end(&mut world);
    put_right(&mut world, &[1]);
    world.advance(10_000);
    assert!(is_recovering(&world, 1) && world.is_consistent(1, 0));
    let invoice = world.invoice(1, 100);
    let (id, _) = world.pay(0, &invoice);
    world.advance(10_000);
    assert_eq!(world.payment(0, id).progress, Progress::Paid, "{}", world.payment(0, id).reason);
    let invoice = world.invoice(1, 100);
    world.start(2);
    end(&mut world);
    assert!(!is_recovering(&world, 1));
    assert_eq!(world.nodes[1].disk.invoice(invoice.id).unwrap().status, InvoiceStatus::Open);
}

/// An application may spend 100 a day.
fn app(world: &mut World) -> PublicKey {
    let app = Identity::from_seed([101; 32]).public_key();
    let budgets = Budgets::new(7, vec!["100/day".parse().unwrap()]).unwrap();
    world.batch(0, vec![Input::Budgets([(app, budgets)].into())]);
    app
}

/// Whether it may spend `amount` now.
fn buys(world: &mut World, app: PublicKey, amount: u128) -> bool {
    let invoice = world.invoice(1, amount);
    let order = world.order(Purpose::Invoice(invoice));
    let command = world.command(0, Command::PayFor(app, Box::new(order)));
    world.settle();
    matches!(world.reply(0, command), Some(Reply::Payment(_)))
}

/// When the clock is right again the budget of the day is what it was, and on the next day there is a new one. Going
/// there again makes no room a second time.
#[test]
fn a_clock_that_was_ahead_for_a_second_does_not_stop_an_app_for_decades() {
    for ms in [2 * DAY_MS, 30 * DAY_MS, TO_2100_MS] {
        let mut world = World::row(2, 10_000);
        let app = app(&mut world);
        assert!(buys(&mut world, app, 60));
        set_ahead(&mut world, &[0], ms);
        assert!(buys(&mut world, app, 90));
        set_ahead(&mut world, &[0], 0);
        assert!(!buys(&mut world, app, 41) && buys(&mut world, app, 30), "60 of this day are spent");
        set_ahead(&mut world, &[0], ms);
        assert!(!buys(&mut world, app, 11), "90 of that day are spent");
        set_ahead(&mut world, &[0], 0);
        assert!(!buys(&mut world, app, 11), "90 of this day are spent");
        world.advance(DAY_MS);
        assert!(buys(&mut world, app, 100) && !buys(&mut world, app, 1), "the next day");
    }
}

/// A clock that shows two days of the far future, one after the other, costs an application no more than the rest of
/// the day.
#[test]
fn a_clock_that_was_ahead_twice_does_not_stop_an_app_for_decades() {
    let mut world = World::row(2, 10_000);
    let app = app(&mut world);
    for ms in [TO_2100_MS, TO_2100_MS + 2 * DAY_MS] {
        set_ahead(&mut world, &[0], ms);
        assert!(buys(&mut world, app, 90));
    }
    set_ahead(&mut world, &[0], 0);
    assert!(!buys(&mut world, app, 11), "what was spent there counts here");
    world.advance(DAY_MS);
    assert!(buys(&mut world, app, 100), "the next day");
}
