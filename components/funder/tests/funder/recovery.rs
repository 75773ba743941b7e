//! Disks that are lost, or put back from an old copy: every account comes back to the newest state that its friend can
//! prove, and every payment that was under way ends.

use offst_funder::{Command, Progress, RecoveryRecord, Reply, lost_friend};
use offst_ledger::Status;
use offst_proto::invoice::Invoice;
use offst_proto::order::{NewFriend, Purpose};
use offst_proto::report::InvoiceStatus;
use offst_proto::ticket::FriendTicket;
use offst_proto::{Currency, PaymentId, Verified};
use offst_rows::{Commit, RowChange};
use offst_simulator::{CRASHES, Disk, World, name};

/// The node's disk is gone; its owner knows the friends.
pub(crate) fn lose_disk(world: &mut World, index: usize, friends: &[usize]) {
    world.kill(index);
    let mut disk = Disk::default();
    for friend in friends {
        let ticket = FriendTicket { public_key: world.key(*friend), relays: vec![], address: None };
        let now_ms = world.now(index).unix_ms;
        disk.commit(&lost_friend(world.key(index), name(*friend), ticket, 1000.into(), now_ms)).unwrap();
    }
    disk.commit(&[RowChange::put(&(), &RecoveryRecord::new(world.now(index).unix_ms, true))]).unwrap();
    world.replace_disk(index, disk, true);
}

/// The node goes on with an old copy of its disk. `is_marked`: the owner says so.
pub(crate) fn put_back(world: &mut World, index: usize, mut copy: Disk, is_marked: bool) {
    if is_marked {
        let mark = RecoveryRecord::of_copy(copy.recovery().as_ref(), world.now(index).unix_ms);
        copy.commit(&[RowChange::put(&(), &mark)]).unwrap();
    }
    world.replace_disk(index, copy, is_marked);
}

/// An invoice is paid over one friend, its seller goes back to before that, and, while another friend is still away, to
/// a backup that it has made in the middle of the recovery.
#[test]
fn a_copy_from_the_middle_of_a_recovery_does_not_open_invoices_again_that_were_paid() {
    let mut world = World::row(3, 1000);
    // Nothing is left to be said on the account with the friend that will be away.
    world.advance(60_000);
    let invoice = world.invoice(1, 100);
    let before = world.nodes[1].disk.clone();
    let (first, _) = world.pay(0, &invoice);
    world.advance(1_000);
    assert_eq!(world.payment(0, first).progress, Progress::Paid);
    world.kill(2);
    put_back(&mut world, 1, before, true);
    end(&mut world);
    assert!(is_recovering(&world, 1) && world.is_consistent(1, 0), "only the friend that is away is waited for");
    let middle = world.nodes[1].disk.clone();
    put_back(&mut world, 1, middle, true);
    world.start(2);
    end(&mut world);
    assert!(!is_recovering(&world, 1));
    let record = world.nodes[1].disk.invoice(invoice.id).unwrap();
    assert_eq!(record.status, InvoiceStatus::Cancelled, "it was paid in what was lost");
    let (second, _) = world.pay(2, &invoice);
    world.advance(90_000);
    assert_eq!(world.payment(2, second).progress, Progress::Failed);
    assert_eq!(world.balance(1, 0), 100);
    world.assert_quiet();
}

/// The copy says that a friend is disabled, over whom an invoice was paid since. It is not waited for, and cannot be
/// asked.
#[test]
fn an_invoice_that_may_have_been_paid_over_a_disabled_friend_is_not_paid_again() {
    let mut world = World::row(3, 1000);
    world.advance(60_000);
    let invoice = world.invoice(1, 100);
    world.ask(1, Command::DisableFriend { name: name(2), force: true });
    let copy = world.nodes[1].disk.clone();
    world.ask(1, Command::EnableFriend(name(2)));
    end(&mut world);
    let (first, _) = world.pay(2, &invoice);
    world.advance(1_000);
    assert_eq!(world.payment(2, first).progress, Progress::Paid);
    put_back(&mut world, 1, copy, true);
    end(&mut world);
    assert!(!is_recovering(&world, 1), "a disabled friend is not waited for");
    let (second, _) = world.pay(0, &invoice);
    world.advance(90_000);
    assert_eq!(world.payment(0, second).progress, Progress::Failed);
    world.ask(1, Command::EnableFriend(name(2)));
    end(&mut world);
    assert_eq!((world.balance(1, 0), world.balance(1, 2)), (0, 100));
    world.assert_quiet();
}

/// 0 has added 1 in a second currency, and the owner of 1 has not answered. The copy knows of it.
fn restored_with_an_offer() -> (World, Verified<Invoice>) {
    let mut world = World::row(2, 1000);
    let hours: Currency = "hours".parse().unwrap();
    let order = offer(&world, 1, &hours);
    assert_eq!(world.ask(0, order), Reply::Done);
    let invoice = world.invoice(0, 100);
    world.advance(60_000);
    let copy = world.nodes[0].disk.clone();
    put_back(&mut world, 0, copy, true);
    (world, invoice)
}

fn offer(world: &World, friend: usize, currency: &Currency) -> Command {
    let new = NewFriend {
        name: name(friend),
        ticket: FriendTicket { public_key: world.key(friend), relays: vec![], address: None },
        balance: 0,
        currency: currency.clone(),
        max_debt: 100.into(),
        open: true,
    };
    Command::AddFriend(Box::new(new))
}

/// Nobody can show anything of an account that one side alone has added: it is not waited for.
#[test]
fn an_account_that_the_friend_never_added_keeps_no_recovery_open() {
    let (mut world, invoice) = restored_with_an_offer();
    world.advance(10_000);
    assert!(is_recovering(&world, 0), "the friend is not here");
    end(&mut world);
    assert!(!is_recovering(&world, 0));
    let (payment, _) = world.pay(1, &invoice);
    world.advance(1_000);
    assert_eq!(world.payment(1, payment).progress, Progress::Paid, "nothing was lost, and it is still open");
    // The friend's owner adds it at last: also over this connection.
    let hours: Currency = "hours".parse().unwrap();
    let order = offer(&world, 0, &hours);
    assert_eq!(world.ask(1, order), Reply::Done);
    end(&mut world);
    assert!(!is_recovering(&world, 0));
    for (node, friend) in [(0, 1), (1, 0)] {
        assert!(world.nodes[node].account_in(world.key(friend), &hours).active().is_some());
    }
    world.assert_quiet();
}

/// The copy is from before the friend has answered: it shows what both have signed since, be it that it says nothing
/// for so long that it is not waited for any more. An invoice that was paid meanwhile stays paid.
#[test]
fn an_account_that_has_begun_since_the_copy_comes_back() {
    for is_silent in [false, true] {
        let mut world = World::new(2, 1);
        let hours: Currency = "hours".parse().unwrap();
        let order = offer(&world, 1, &hours);
        assert_eq!(world.ask(0, order), Reply::Done);
        let invoice = world.invoice_in(0, 7, &hours, None);
        world.advance(60_000);
        let copy = world.nodes[0].disk.clone();
        let order = offer(&world, 0, &hours);
        assert_eq!(world.ask(1, order), Reply::Done);
        end(&mut world);
        let (payment, _) = world.pay(1, &invoice);
        world.advance(1_000);
        assert_eq!(world.payment(1, payment).progress, Progress::Paid);
        world.nodes[1].is_stalled = is_silent;
        put_back(&mut world, 0, copy, true);
        end(&mut world);
        assert!(!is_recovering(&world, 0), "as far as is known there is nothing to show");
        world.nodes[1].is_stalled = false;
        end(&mut world);
        assert!(!is_recovering(&world, 0));
        assert_eq!(world.nodes[0].account_in(world.key(1), &hours).epoch().unwrap().balance(), 7);
        let (again, _) = world.pay(1, &invoice);
        world.advance(60_000);
        assert_eq!(world.payment(1, again).progress, Progress::Failed);
        world.assert_quiet();
    }
}

fn friends_of(index: usize, count: usize) -> Vec<usize> {
    (0..count).filter(|other| other.abs_diff(index) == 1).collect()
}

pub(crate) fn is_recovering(world: &World, index: usize) -> bool {
    world.nodes[index].disk.recovery().is_some()
}

/// Who pays in a row of three has paid, or nobody has; the mediator has its fee or nothing.
fn assert_all_or_nothing(world: &World, note: &str) -> bool {
    world.assert_quiet();
    let wealth: Vec<_> = world.nodes.iter().map(|node| node.wealth()).collect();
    let is_paid = wealth[2] != 0;
    assert_eq!(wealth, if is_paid { [-101, 1, 100] } else { [0, 0, 0] }, "{note}");
    is_paid
}

pub(crate) fn end(world: &mut World) {
    for _ in 0..3 {
        world.connect_all();
        world.advance(40_000);
    }
}

/// A payment under way along 0, 1, 2, after so many steps.
fn under_way(steps: usize) -> (World, PaymentId, bool) {
    let mut world = World::row(3, 1000);
    let invoice = world.invoice(2, 100);
    // With no time for a second try.
    let mut order = world.order(Purpose::Invoice(invoice));
    order.timeout_ms = 900;
    let id = order.payment_id;
    world.command(0, Command::Pay(Box::new(order)));
    let is_over = !(0..steps).all(|_| world.step());
    (world, id, is_over)
}

#[test]
fn a_disk_that_is_lost_at_any_moment_of_a_payment() {
    let mut ends = [0, 0];
    for victim in 0..3 {
        for steps in 0..200 {
            let (mut world, id, is_over) = under_way(steps);
            lose_disk(&mut world, victim, &friends_of(victim, 3));
            end(&mut world);
            let note = format!("victim {victim}, {steps} steps");
            assert!(!is_recovering(&world, victim), "{note}");
            let is_paid = assert_all_or_nothing(&world, &note);
            if victim != 0 {
                let expected = if is_paid { Progress::Paid } else { Progress::Failed };
                assert_eq!(world.payment(0, id).progress, expected, "{note}");
            }
            ends[usize::from(is_paid)] += 1;
            if is_over {
                break;
            }
        }
    }
    assert!(ends.iter().all(|count| *count > 5), "{ends:?}");
}

// R7.13.
#[test]
fn an_old_disk_at_any_moment_of_a_payment() {
    for victim in 0..3 {
        for is_marked in [false, true] {
            for steps in 0..200 {
                let (mut world, id, is_over) = under_way(steps);
                let copy = world.nodes[victim].disk.clone();
                // Some go on for a while, some to the end.
                let more = [1, 3, 7, 20, 200][steps % 5];
                for _ in 0..more {
                    world.step();
                }
                put_back(&mut world, victim, copy, is_marked);
                end(&mut world);
                let note = format!("victim {victim}, {steps} steps, marked {is_marked}");
                assert!(!is_recovering(&world, victim), "{note}");
                let is_paid = assert_all_or_nothing(&world, &note);
                let progress = world.payment(0, id).progress;
                // A buyer whose copy was made before the commit does not know how it went on.
                if victim != 0 || is_paid && progress != Progress::Failed {
                    assert_eq!(progress == Progress::Paid, is_paid, "{note}");
                }
                if is_over {
                    break;
                }
            }
        }
    }
}

#[test]
fn a_copy_that_is_many_payments_old() {
    for is_marked in [false, true] {
        for victim in 0..3 {
            let mut world = World::row(3, 1_000_000);
            let copy = world.nodes[victim].disk.clone();
            for round in 0..70 {
                let (id, _) = if round % 3 == 0 { world.send(2, 0, 3) } else { world.send(0, 2, 5) };
                world.settle();
                let buyer = if round % 3 == 0 { 2 } else { 0 };
                assert_eq!(world.payment(buyer, id).progress, Progress::Paid);
            }
            let before: Vec<_> = world.nodes.iter().map(|node| node.wealth()).collect();
            put_back(&mut world, victim, copy, is_marked);
            end(&mut world);
            assert!(!is_recovering(&world, victim));
            world.assert_quiet();
            let after: Vec<_> = world.nodes.iter().map(|node| node.wealth()).collect();
            assert_eq!(before, after);
            let (id, _) = world.send(0, 2, 5);
            world.advance(5_000);
            assert_eq!(world.payment(0, id).progress, Progress::Paid);
        }
    }
}

/// Killed in every batch of its recovery, in every way a process can die.
#[test]
fn a_recovery_that_is_killed_goes_on() {
    for victim in 0..3 {
        for steps in [4, 7, 9] {
            for at in 0..20 {
                let (mut world, _, _) = under_way(steps);
                lose_disk(&mut world, victim, &friends_of(victim, 3));
                world.nodes[victim].crash = Some((at, CRASHES[at % CRASHES.len()]));
                world.connect_all();
                world.settle();
                world.nodes[victim].crash = None;
                world.start(victim);
                end(&mut world);
                let note = format!("victim {victim}, {steps} steps, batch {at}");
                assert!(!is_recovering(&world, victim), "{note}");
                assert_all_or_nothing(&world, &note);
            }
        }
    }
}

/// The friend had disabled the node before its disk was lost, so that none of their accounts is in an epoch.
#[test]
fn accounts_in_all_currencies_come_back_also_when_the_friend_had_stopped_them() {
    let mut world = World::row(2, 1000);
    let eggs = "eggs".parse().unwrap();
    for (node, friend, balance) in [(0, 1, 7), (1, 0, -7)] {
        assert_eq!(world.ask(node, world.friendship(friend, &eggs, balance, 500)), Reply::Done);
    }
    world.advance(1_000);
    assert_eq!(world.ask(0, Command::DisableFriend { name: name(1), force: false }), Reply::Done);
    world.advance(1_000);
    lose_disk(&mut world, 1, &[0]);
    assert_eq!(world.ask(0, Command::EnableFriend(name(1))), Reply::Done);
    end(&mut world);
    assert!(!is_recovering(&world, 1));
    world.assert_quiet();
    let account = world.nodes[1].account_in(world.key(0), &eggs);
    assert_eq!((account.status(), account.epoch().unwrap().balance()), (Status::Consistent, -7));
}

/// The copy was made when the node had stopped the account and its friend did not know yet: the friend agrees to the
/// terms that lie on the table, before it hears that they are not relied on any more.
#[test]
fn an_old_disk_with_terms_that_the_friend_has_not_seen() {
    let mut world = World::row(2, 1000);
    world.send(0, 1, 100);
    world.settle();
    world.disconnect(0, 1);
    assert_eq!(world.ask(1, Command::DisableFriend { name: name(0), force: true }), Reply::Done);
    assert_eq!(world.ask(1, Command::EnableFriend(name(0))), Reply::Done);
    let copy = world.nodes[1].disk.clone();
    put_back(&mut world, 1, copy, true);
    world.connect(0, 1);
    world.advance(5_000);
    assert!(!is_recovering(&world, 1));
    world.assert_quiet();
    assert_eq!(world.balance(1, 0), 100);
}

/// The invoices of a copy may have been paid after it was made: they cannot be paid again.
/// (R7.19.)
#[test]
fn an_invoice_is_paid_once_also_by_an_old_disk() {
    let mut world = World::row(2, 1000);
    let (paid, open) = (world.invoice(1, 100), world.invoice(1, 50));
    let copy = world.nodes[1].disk.clone();
    let (id, _) = world.pay(0, &paid);
    world.settle();
    assert_eq!(world.payment(0, id).progress, Progress::Paid);
    put_back(&mut world, 1, copy, false);
    end(&mut world);
    for invoice in [paid, open] {
        let (id, _) = world.pay(0, &invoice);
        world.advance(100_000);
        assert_eq!(world.payment(0, id).progress, Progress::Failed);
    }
    assert_eq!(world.nodes[1].wealth(), 100);
    // A copy in which nothing is missing cancels nothing.
    let open = world.invoice(1, 50);
    let copy = world.nodes[1].disk.clone();
    put_back(&mut world, 1, copy, true);
    end(&mut world);
    let (id, _) = world.pay(0, &open);
    world.advance(5_000);
    assert_eq!(world.payment(0, id).progress, Progress::Paid);
}

/// The friend had removed the node and added it anew when the disk was lost: it has no epoch to show, and nothing is at
/// stake.
#[test]
fn a_friend_that_has_opened_the_account_anew_has_nothing_to_show() {
    let mut world = World::row(2, 1000);
    world.disconnect(0, 1);
    assert_eq!(world.ask(0, Command::RemoveFriend { name: name(1), force: true, forgive: true }), Reply::Done);
    assert_eq!(world.ask(0, world.friendship(1, &offst_proto::Currency::default(), 0, 1000)), Reply::Done);
    lose_disk(&mut world, 1, &[0]);
    end(&mut world);
    assert!(!is_recovering(&world, 1));
    world.assert_quiet();
    assert!(world.is_consistent(0, 1));
}

/// What both have signed decides, not what the friend would like: nothing is accepted before it has been shown.
/// (R7.8.)
#[test]
fn terms_of_a_friend_are_not_accepted_before_it_has_shown_what_both_have_signed() {
    for is_old in [false, true] {
        let mut world = World::row(2, 1000);
        let copy = world.nodes[1].disk.clone();
        world.send(0, 1, 100);
        world.settle();
        world.advance(1_000);
        if is_old {
            put_back(&mut world, 1, copy, true);
        } else {
            lose_disk(&mut world, 1, &[0]);
        }
        let refused = |world: &mut World| match world.ask(1, world.reset(0)) {
            Reply::Refused(message) => assert!(message.contains("has not shown yet"), "{message}"),
            reply => panic!("{reply:?}"),
        };
        refused(&mut world);
        world.connect_all();
        let has_terms = |world: &World| {
            let status = world.nodes[1].account(world.key(0)).status();
            matches!(status, Status::Inconsistent { theirs: Some(_), .. })
        };
        while !has_terms(&world) {
            assert!(world.step());
        }
        refused(&mut world);
        // Nor what it said over a connection that is gone.
        world.disconnect(0, 1);
        world.settle();
        refused(&mut world);
        end(&mut world);
        assert!(!is_recovering(&world, 1));
        world.assert_quiet();
        assert_eq!(world.balance(1, 0), 100);
    }
}

/// A balance that no signature of the node's proves is for people to decide.
/// (R7.15.)
#[test]
fn a_friend_that_shows_nothing_and_claims_something_is_not_believed() {
    let mut world = World::row(2, 1000);
    world.disconnect(0, 1);
    assert_eq!(world.ask(0, Command::RemoveFriend { name: name(1), force: true, forgive: true }), Reply::Done);
    assert_eq!(world.ask(0, world.friendship(1, &offst_proto::Currency::default(), 700, 1000)), Reply::Done);
    lose_disk(&mut world, 1, &[0]);
    end(&mut world);
    assert!(is_recovering(&world, 1));
    assert!(!world.is_consistent(0, 1));
    assert_eq!(world.ask(1, world.reset(0)), Reply::Done);
    world.advance(10_000);
    assert!(!is_recovering(&world, 1));
    assert_eq!(world.balance(0, 1), 700);
}

/// The friend had disabled the node, whose owner then puts an old copy back and says nothing: the stopped account still
/// shows what the copy does not know.
#[test]
fn an_old_disk_is_found_out_by_a_friend_that_had_stopped_the_account() {
    let mut world = World::row(2, 1000);
    let copy = world.nodes[1].disk.clone();
    world.send(0, 1, 100);
    world.settle();
    world.advance(1_000);
    assert_eq!(world.ask(0, Command::DisableFriend { name: name(1), force: false }), Reply::Done);
    world.advance(1_000);
    world.kill(1);
    put_back(&mut world, 1, copy, false);
    assert_eq!(world.ask(0, Command::EnableFriend(name(1))), Reply::Done);
    end(&mut world);
    assert!(!is_recovering(&world, 1));
    world.assert_quiet();
    assert_eq!(world.balance(1, 0), 100);
}

/// A friend that is disabled never comes, so nobody waits for it.
/// (R7.14.)
#[test]
fn a_disabled_friend_does_not_keep_a_recovery_open() {
    let mut world = World::row(3, 1000);
    world.send(0, 2, 10);
    world.settle();
    world.advance(5_000);
    let old = world.invoice(1, 5);
    assert_eq!(world.ask(1, Command::DisableFriend { name: name(2), force: true }), Reply::Done);
    world.kill(1);
    let copy = world.nodes[1].disk.clone();
    put_back(&mut world, 1, copy, true);
    end(&mut world);
    assert!(world.is_consistent(0, 1) && !is_recovering(&world, 1));
    // It may have been paid over that friend.
    assert_eq!(world.nodes[1].disk.invoice(old.id).unwrap().status, InvoiceStatus::Cancelled);
    let invoice = world.invoice(1, 5);
    let (id, _) = world.pay(0, &invoice);
    world.advance(60_000);
    assert_eq!(world.payment(0, id).progress, Progress::Paid, "{}", world.payment(0, id).reason);
    // It comes back as any other account when it is enabled, also after a restart.
    world.kill(1);
    world.start(1);
    assert_eq!(world.ask(1, Command::EnableFriend(name(2))), Reply::Done);
    assert!(is_recovering(&world, 1));
    end(&mut world);
    assert!(!is_recovering(&world, 1));
    world.assert_quiet();
    assert_eq!(world.balance(1, 2), -10);
    let (id, _) = world.send(0, 2, 10);
    world.advance(5_000);
    assert_eq!(world.payment(0, id).progress, Progress::Paid);
}

/// 0 has committed a payment to 2 over 1, which loses its disk, and disables 2 or 0 before that has shown anything.
/// Nothing is released before it is known how it ended.
#[test]
fn what_may_be_under_way_over_a_disabled_friend_waits_until_it_is_enabled() {
    for disabled in [0, 2] {
        let mut world = World::row(3, 1000);
        let invoice = world.invoice(2, 70);
        let (id, _) = world.pay(0, &invoice);
        while world.nodes[1].account(world.key(2)).epoch().unwrap().pendings().all(|(.., p)| !p.stage.is_committed()) {
            assert!(world.step());
        }
        world.settle_but(1);
        world.nodes[1].is_stalled = false;
        lose_disk(&mut world, 1, &[0, 2]);
        assert_eq!(world.ask(1, Command::DisableFriend { name: name(disabled), force: true }), Reply::Done);
        end(&mut world);
        assert_eq!(world.payment(0, id).progress, Progress::Committed);
        assert_eq!(world.ask(1, Command::EnableFriend(name(disabled))), Reply::Done);
        end(&mut world);
        assert_eq!(world.payment(0, id).progress, Progress::Paid, "{disabled}");
        assert!(!is_recovering(&world, 1));
        let wealth: Vec<_> = world.nodes.iter().map(|node| node.wealth()).collect();
        assert_eq!(wealth, [-71, 1, 70]);
    }
}
