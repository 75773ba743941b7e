//! Payments to ourselves: moving credit around a cycle, and clearing debt cycles.

use offst_funder::{Command, CommandId, Cycle, Progress, Reply};
use offst_ledger::Direction;
use offst_proto::Amount;
use offst_proto::index::Clearable;
use offst_proto::order::Purpose;
use offst_proto::payment::NO_PROOF;
use offst_proto::report::{ClearingReport, PaymentKind, PaymentReport, PaymentStatus};
use offst_proto::route::{PartPlan, Route};
use offst_proto::statement::{Operation, Request};
use offst_proto::{Currency, PaymentId, Rate, RequestId};
use offst_simulator::keys::Dice;
use offst_simulator::{CRASHES, Paths, World, name};

/// A cycle: each node is a friend of the next, and owes it `debts[node]`.
fn debt_cycle(debts: &[i128], limit: u128, auto_clear: &[usize]) -> World {
    let count = debts.len();
    let mut world = World::new(count, 5);
    for (debtor, debt) in debts.iter().enumerate() {
        let creditor = (debtor + 1) % count;
        for (node, friend, balance) in [(debtor, creditor, -debt), (creditor, debtor, *debt)] {
            let command = world.friendship(friend, &Currency::default(), balance, limit);
            assert_eq!(world.ask(node, command), Reply::Done);
        }
    }
    world.connect_all();
    world.settle();
    for node in auto_clear {
        assert_eq!(world.ask(*node, Command::SetAutoClear(true)), Reply::Done);
    }
    world.settle();
    world
}

/// What each node owes the next.
fn debts(world: &World) -> Vec<i128> {
    let count = world.nodes.len();
    (0..count).map(|node| world.balance((node + 1) % count, node)).collect()
}

fn rebalance(world: &mut World, friend: usize, amount: u128) -> (PaymentId, CommandId) {
    let order = world.order(Purpose::Rebalance {
        friend: name(friend),
        currency: Currency::default(),
        amount: Amount::capped(amount),
    });
    let id = order.payment_id;
    (id, world.command(0, Command::Pay(Box::new(order))))
}

fn clear(world: &mut World, node: usize, perform: bool) -> ClearingReport {
    let command = world.command(node, Command::Clear { currency: Currency::default(), perform });
    world.settle();
    match world.reply(node, command) {
        Some(Reply::Clearing(report)) => *report,
        reply => panic!("{reply:?}"),
    }
}

#[test]
fn credit_moves_around_a_cycle_by_the_friend_that_was_named() {
    let mut world = debt_cycle(&[0, 0, 0, 0], 100, &[]);
    let (id, command) = rebalance(&mut world, 3, 40);
    world.settle();
    let report: PaymentReport = world.payment_reply(0, command).unwrap();
    assert_eq!((report.status, report.kind), (PaymentStatus::Paid, PaymentKind::Rebalance));
    assert_eq!((report.amount, report.fees, report.destination), (40.into(), 3, world.key(0)));
    // It left by 3 and came back by 1; the three mediators have earned one credit.
    assert_eq!([world.balance(0, 3), world.balance(0, 1), world.nodes[0].wealth()], [-43, 40, -3]);
    let receipt = world.payment(0, id).receipt().unwrap();
    assert_eq!(receipt.verify(&offst_simulator::keys::FakeVerifier, None), Ok(()));
    world.advance(1000);
    world.assert_quiet();
    // In the other direction everything comes back, but the fees.
    rebalance(&mut world, 1, 40);
    world.settle();
    assert_eq!([world.balance(0, 3), world.balance(0, 1)], [-3, -3]);
}

#[test]
fn a_cycle_that_cannot_be_is_refused_with_a_message() {
    let mut world = debt_cycle(&[0, 0, 0], 100, &[]);
    for (friend, amount, message) in [(1, 0, "at least 1"), (7, 5, "no friend named")] {
        let (_, command) = rebalance(&mut world, friend, amount);
        assert!(matches!(world.reply(0, command), Some(Reply::Refused(text)) if text.contains(message)));
    }
    let (_, command) = rebalance(&mut world, 1, 101);
    world.advance(60_000);
    let report = world.payment_reply(0, command).unwrap();
    assert!(report.reason.contains("no cycle"), "{}", report.reason);
    // A route back over the same friend is none, nor one that begins with another.
    let direct = PartPlan { path: vec![world.key(1), world.key(0)], amount: 5.into(), fees: 0.into() };
    let other = PartPlan { path: vec![world.key(2), world.key(1), world.key(0)], amount: 5.into(), fees: 1.into() };
    world.paths = Paths::Given([[direct, other].map(|part| Route { parts: vec![part] }).to_vec()].into());
    let (_, command) = rebalance(&mut world, 1, 5);
    world.advance(60_000);
    assert_eq!(world.payment_reply(0, command).unwrap().status, PaymentStatus::Failed);
    world.assert_quiet();
}

/// The node is buyer and seller at once; wherever it or another dies, its credits have moved around once or not at all.
#[test]
fn a_cycle_survives_every_death_of_every_node() {
    for crash in CRASHES {
        for node in 0..3 {
            for batch in 0.. {
                let mut world = debt_cycle(&[0, 0, 0], 100, &[]);
                world.nodes[node].crash = Some((batch, crash));
                let (id, _) = rebalance(&mut world, 2, 40);
                world.settle();
                let died = !world.nodes[node].is_up();
                world.nodes[node].crash = None;
                world.start(node);
                world.connect_all();
                world.advance(120_000);
                world.connect_all();
                world.advance(120_000);
                world.assert_quiet();
                let payment = world.nodes[0].disk.payment(id);
                let moved = (world.balance(0, 2), world.balance(0, 1));
                let progress = payment.map(|payment| payment.progress);
                let expected = if progress == Some(Progress::Paid) { (-42, 40) } else { (0, 0) };
                assert_eq!(moved, expected, "{crash:?} of {node} in batch {batch}: {progress:?}");
                if !died {
                    break;
                }
            }
        }
    }
}

/// The first mediator could bring a part back over the account by which it left, and keep all fees.
#[test]
fn a_part_comes_back_over_the_account_that_was_chosen() {
    let mut world = debt_cycle(&[0, 0, 0], 100, &[]);
    world.make_puppet(1);
    let (id, _) = rebalance(&mut world, 1, 40);
    world.settle();
    let account = world.nodes[0].account(world.key(1)).epoch().unwrap();
    let request_id = account.pendings().map(|(_, id, _)| id).next().unwrap();
    let request = Request {
        id: request_id,
        payment_id: id,
        invoice_id: None,
        amount: 40.into(),
        total: 40.into(),
        fees_left: 0.into(),
        patience_ms: 20_000,
        path: vec![],
        proof: NO_PROOF,
        clearing: false,
    };
    let statement = world.statement(1, 0, vec![Operation::Request(Box::new(request))]);
    world.state(1, 0, statement);
    assert_eq!(world.nodes[0].disk.underway(), 0, "it was not taken");
    let account = world.nodes[0].account(world.key(1)).epoch().unwrap();
    assert!(account.pendings().all(|(direction, ..)| direction == Direction::Outgoing));
    world.advance(120_000);
    assert_eq!(world.payment(0, id).progress, Progress::Failed);
    assert_eq!(world.nodes[0].wealth(), 0);
}

#[test]
fn a_debt_cycle_is_cleared_without_fees() {
    let mut world = debt_cycle(&[50, 40, 60, 70], 100, &[1, 2, 3]);
    for node in 1..4 {
        let rate = Rate { mul: 0, add: 9.into() };
        world.ask(node, Command::SetFriendRate(name((node + 3) % 4), Currency::default(), rate));
    }
    // Only looking changes nothing.
    let report = clear(&mut world, 0, false);
    let part = report.cycle.clone().unwrap();
    let path = [3, 2, 1, 0].map(|index| world.key(index)).to_vec();
    assert_eq!((report.auto_clear, report.payment, part.path, part.amount), (false, None, path, 40.into()));
    assert_eq!(debts(&world), [50, 40, 60, 70]);
    let report = clear(&mut world, 0, true);
    let payment = report.payment.unwrap();
    assert_eq!((payment.status, payment.kind), (PaymentStatus::Paid, PaymentKind::Clearing));
    assert_eq!((payment.amount, payment.fees), (40.into(), 0));
    assert_eq!(debts(&world), [10, 0, 20, 30]);
    assert_eq!(world.payment(0, payment.payment_id).cycle, Some(Cycle::Clearing));
    assert_eq!(clear(&mut world, 0, true).cycle, None, "nothing is left to clear");
    world.advance(100);
    assert_eq!(debts(&world), [10, 0, 20, 30]);
}

/// Nobody works for nothing who has not allowed it, and index servers know nothing of it.
#[test]
fn who_does_not_allow_clearing_is_not_part_of_it() {
    let mut world = debt_cycle(&[50, 50, 50], 100, &[0, 1]);
    assert!(world.edges.iter().all(|((node, ..), edge)| *node != world.key(2) || edge.clearable == Clearable::None));
    assert_eq!(clear(&mut world, 0, true).cycle, None);
    // An index server that says something else finds nobody who believes it.
    let path = [2, 1, 0].map(|index| world.key(index)).to_vec();
    let route = Route { parts: vec![PartPlan { path, amount: 50.into(), fees: 0.into() }] };
    world.paths = Paths::Given([vec![route]].into());
    let report = clear(&mut world, 0, true);
    let payment = report.payment.unwrap();
    assert_eq!((payment.status, payment.reason.as_str()), (PaymentStatus::Failed, "the fees on the way have changed"));
    assert_eq!(debts(&world), [50, 50, 50]);
    assert_eq!(world.nodes[0].disk.payments().count(), 0, "attempts leave no trace");
    world.paths = Paths::Search;
    world.ask(2, Command::SetAutoClear(true));
    world.ask(0, Command::SetAutoClear(false));
    world.settle();
    assert!(world.edges.iter().all(|((node, ..), edge)| *node != world.key(0) || edge.clearable == Clearable::None));
    world.advance(1000);
    world.assert_quiet();
}

#[test]
fn debts_vanish_on_their_own_within_a_minute() {
    for count in 3..=6 {
        let mut world = debt_cycle(&vec![50; count], 100, &(0..count).collect::<Vec<_>>());
        world.advance(60_000);
        assert_eq!(debts(&world), vec![0; count], "a cycle of {count}");
        // The owners see it, and only what was cleared.
        let cleared: Vec<_> = world.nodes.iter().flat_map(|node| node.disk.payments()).collect();
        assert_eq!(cleared.iter().map(|payment| payment.total).sum::<u128>(), 50);
        assert!(cleared.iter().all(|payment| payment.fees() == 0 && payment.progress == Progress::Paid));
        assert!(world.nodes.iter().all(|node| node.wealth() == 0 && node.disk.forwarded.iter().all(|f| f.fee == 0)));
        let questions = world.questions;
        world.advance(60_000);
        assert_eq!(world.questions, questions, "nobody asks who has no debts");
        world.assert_quiet();
    }
}

#[test]
fn what_was_set_survives_a_restart() {
    let mut world = debt_cycle(&[50, 50, 50], 100, &[0, 1, 2]);
    for node in 0..3 {
        world.kill(node);
    }
    (0..3).for_each(|node| world.start(node));
    world.connect_all();
    world.advance(60_000);
    assert_eq!(debts(&world), [0, 0, 0]);
    world.ask(1, Command::SetAutoClear(false));
    world.kill(1);
    world.start(1);
    assert!(!clear(&mut world, 1, false).auto_clear);
}

/// All begin at the same moment: nothing is cleared twice, and later attempts succeed.
#[test]
fn attempts_that_cross_never_clear_more_than_is_owed() {
    for wild in 0..30 {
        let mut world = debt_cycle(&[50, 60, 50, 70], 100, &[0, 1, 2, 3]);
        world.is_wild = true;
        for _ in 0..wild {
            world.dice.throw();
        }
        let clears = Command::Clear { currency: Currency::default(), perform: true };
        for node in 0..4 {
            world.command(node, clears.clone());
        }
        world.settle();
        let left = debts(&world);
        assert!(left == [50, 60, 50, 70] || left == [0, 10, 0, 20], "{left:?}");
        world.advance(60_000);
        assert_eq!(debts(&world), [0, 10, 0, 20]);
        assert!(world.nodes.iter().flat_map(|node| node.disk.forwarded.iter()).all(|forward| forward.fee == 0));
        world.assert_quiet();
    }
}

/// The debt may be gone when the request comes: then it is an ordinary request, and the fee is missing.
#[test]
fn a_mediator_waives_only_what_makes_both_debts_smaller() {
    // 0 owes 1, 1 owes 2, 2 owes 0. What an index server proposes is cut to the node's own debts, and what lies further
    // on only the mediators know.
    for (debts_of_cycle, cleared) in [([50, 50, 50], Some(50)), ([50, 50, 20], Some(20)), ([50, 20, 50], None)] {
        let mut world = debt_cycle(&debts_of_cycle, 1000, &[1, 2]);
        let path = [2, 1, 0].map(|index| world.key(index)).to_vec();
        world.paths =
            Paths::Given([vec![Route { parts: vec![PartPlan { path, amount: 51.into(), fees: 0.into() }] }]].into());
        let payment = clear(&mut world, 0, true).payment.unwrap();
        match cleared {
            Some(amount) => assert_eq!((payment.status, payment.amount), (PaymentStatus::Paid, Amount::from(amount))),
            None => assert_eq!(payment.status, PaymentStatus::Failed),
        }
        let expected = debts_of_cycle.map(|debt| debt - cleared.unwrap_or(0) as i128);
        assert_eq!(debts(&world), expected);
        world.advance(1000);
        world.assert_quiet();
    }
}

/// Debt cycles in a testnet of random debts, begun by everybody at any time, while processes die and connections break:
/// nobody becomes richer or poorer, and no debt grows or changes sides.
#[test]
fn clearing_only_ever_makes_debts_smaller() {
    let mut cleared = 0;
    for seed in 0..40 {
        let count = 6;
        let mut world = World::new(count, seed);
        let mut debts = Vec::new();
        for one in 0..count {
            for other in 0..one {
                if world.dice.chance(60) {
                    let balance = world.dice.below(200) as i128 - 100;
                    for (node, friend, balance) in [(one, other, balance), (other, one, -balance)] {
                        let command = world.friendship(friend, &Currency::default(), balance, 150);
                        assert_eq!(world.ask(node, command), Reply::Done);
                    }
                    debts.push((one, other, balance));
                }
            }
        }
        world.connect_all();
        world.settle();
        let wealth: Vec<_> = world.nodes.iter().map(|node| node.wealth()).collect();
        for node in 0..count {
            world.ask(node, Command::SetAutoClear(true));
        }
        world.is_wild = true;
        for _ in 0..40 {
            let node = world.dice.below(count);
            match world.dice.below(8) {
                0 => world.kill(node),
                1 => {
                    let other = (node + 1 + world.dice.below(count - 1)) % count;
                    world.disconnect(node, other);
                }
                2 => {
                    let crash = CRASHES[world.dice.below(CRASHES.len())];
                    world.nodes[node].crash = Some((world.dice.below(4), crash));
                }
                3 | 4 => {
                    let ms = world.dice.below(9_000) as u64;
                    world.advance(ms);
                }
                _ => {
                    world.command(node, Command::Clear { currency: Currency::default(), perform: true });
                }
            }
            for _ in 0..world.dice.below(30) {
                world.step();
            }
            (0..count).for_each(|node| world.start(node));
            world.connect_all();
        }
        for node in &mut world.nodes {
            node.crash = None;
        }
        (0..count).for_each(|node| world.start(node));
        world.connect_all();
        world.advance(200_000);
        world.assert_quiet();
        for (node, before) in world.nodes.iter().zip(wealth) {
            assert_eq!(node.wealth(), before, "seed {seed}");
        }
        for (one, other, before) in debts {
            let after = world.balance(one, other);
            let is_smaller = if before >= 0 { (0..=before).contains(&after) } else { (before..=0).contains(&after) };
            assert!(is_smaller, "seed {seed}: {one} was owed {before} by {other}, and {after} now");
            cleared += before.abs() - after.abs();
        }
    }
    assert!(cleared > 0, "something was cleared");
}

/// 1 owes 2, and 0 owes 1. 2 buys something from 0 over 1, says that it is a cycle, and would pay nothing for being
/// carried.
#[test]
fn a_purchase_that_is_said_to_be_a_debt_cycle_ends_at_its_seller() {
    let mut world = debt_cycle(&[100, 100, 0], 1000, &[1]);
    let [buyer, mediator, seller] = [2, 1, 0];
    world.ask(mediator, Command::SetFriendRate(name(buyer), Currency::default(), Rate { mul: 0, add: 50.into() }));
    world.settle();
    let before = (world.balance(mediator, buyer), world.balance(mediator, seller));
    world.make_puppet(buyer);
    for clearing in [true, false] {
        let mut dice = Dice::new(3);
        let purchase = Request {
            id: RequestId::random(&mut dice),
            payment_id: PaymentId::random(&mut dice),
            invoice_id: None,
            amount: 80.into(),
            total: 80.into(),
            fees_left: if clearing { 0.into() } else { 50.into() },
            patience_ms: 20_000,
            path: vec![world.key(seller)],
            proof: NO_PROOF,
            clearing,
        };
        let id = purchase.id;
        let statement = world.statement(buyer, mediator, vec![Operation::Request(Box::new(purchase))]);
        world.state(buyer, mediator, statement);
        world.settle();
        let is_pending = world.nodes[mediator].account(world.key(buyer)).pending(Direction::Incoming, id).is_some();
        assert_eq!(is_pending, !clearing, "only one that pays for being carried is answered");
    }
    assert_eq!((world.balance(mediator, buyer), world.balance(mediator, seller)), before);
}
