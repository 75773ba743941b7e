//! Nodes that are silent, gone or killed while a payment is under way.

use offst_crypto::{Nonce, Preimage};
use offst_funder::{Command, Input, Progress, Reply};
use offst_ledger::Direction;
use offst_proto::order::{Order, Purpose};
use offst_proto::payment::{CancelReason, Response};
use offst_proto::report::{AccountStatus, Event, InvoiceStatus, PaymentStatus};
use offst_proto::route::{PartPlan, Route};
use offst_proto::statement::{Answer, Operation};
use offst_proto::{Currency, PaymentId, Verified};
use offst_simulator::{CRASHES, Crash, Paths, World};

/// Steps until the payment is committed by its buyer, node 0.
fn until_committed(world: &mut World, id: PaymentId) {
    while world.payment(0, id).progress == Progress::Searching {
        assert!(world.step(), "the payment was committed");
    }
}

/// A node that falls silent before the commit: with the patience everything is released at all others, and when the
/// silent one comes back nothing is left there either.
#[test]
fn silence_before_the_commit_freezes_nothing_for_long() {
    for hops in 1..=4 {
        for silent in 0..=hops {
            for steps in 0..200 {
                let mut world = World::row(hops + 1, 1000);
                let invoice = world.invoice(hops, 100);
                // With no time for a second try.
                let mut order = world.order(Purpose::Invoice(invoice));
                order.timeout_ms = 10_000;
                let id = order.payment_id;
                let command = world.command(0, Command::Pay(Box::new(order)));
                let mut is_over = false;
                for _ in 0..steps {
                    is_over |= !world.step();
                }
                if is_over || world.payment(0, id).progress != Progress::Searching {
                    break;
                }
                world.settle_but(silent);
                if world.payment(0, id).progress != Progress::Searching {
                    break;
                }
                world.advance(30_000);
                for index in (0..=hops).filter(|index| *index != silent) {
                    // Aborted requests wait for the silent one's word, everything else is gone.
                    assert_eq!(world.nodes[index].disk.underway(), 0, "{hops} {silent} {steps} {index}");
                    let pendings = world.nodes[index].pendings();
                    let is_neighbour = index + 1 == silent || index == silent + 1;
                    assert!(pendings == 0 || is_neighbour, "{hops} {silent} {steps} {index}");
                }
                world.advance(60_000);
                world.nodes[silent].is_stalled = false;
                world.advance(10_000);
                let report = world.payment_reply(0, command).unwrap();
                assert_eq!(report.status, PaymentStatus::Failed, "{hops} {silent} {steps} {report:?}");
                world.assert_quiet();
                assert!(world.nodes.iter().all(|node| node.wealth() == 0));
            }
        }
    }
}

/// A node that falls silent after the commit: the payment is pending, never failed, and ends when the silent one comes
/// back.
/// (R1.16.)
#[test]
fn silence_after_the_commit_ends_when_it_ends() {
    for hops in 1..=3 {
        for silent in 0..=hops {
            for steps in 0..40 {
                let mut world = World::row(hops + 1, 1000);
                let invoice = world.invoice(hops, 100);
                let (id, command) = world.pay(0, &invoice);
                until_committed(&mut world, id);
                (0..steps).for_each(|_| {
                    world.step();
                });
                world.nodes[silent].is_stalled = true;
                world.advance(100_000);
                let report = world.payment_reply(0, command);
                if let Some(report) = report {
                    assert_ne!(report.status, PaymentStatus::Failed, "{hops} {silent} {steps}");
                }
                world.nodes[silent].is_stalled = false;
                world.advance(100_000);
                world.assert_quiet();
                let has_paid = world.payment(0, id).progress == Progress::Paid;
                assert_eq!(world.nodes[hops].wealth(), if has_paid { 100 } else { 0 });
            }
        }
    }
}

#[test]
fn a_friend_who_holds_a_committed_request_is_overdue_until_it_lets_go() {
    let mut world = World::row(3, 1000);
    let invoice = world.invoice(2, 100);
    let (id, command) = world.pay(0, &invoice);
    // The seller collects, and is gone before anybody hears of it.
    while world.nodes[2].disk.invoice(invoice.id).unwrap().status == InvoiceStatus::Open {
        assert!(world.step());
    }
    world.disconnect(1, 2);
    world.advance(59_000);
    assert!(!world.nodes[0].events.iter().any(|event| matches!(event, Event::Overdue { .. })));
    world.advance(2_000);
    // Both the buyer and the mediator see it, each its own friend.
    for (node, friend, room) in [(0, 1, 899), (1, 2, 0)] {
        let (key, friend_key) = (world.key(node), world.key(friend));
        assert!(world.nodes[node].events.iter().any(|event| matches!(event, Event::Overdue { .. })));
        let edge = &world.edges[&(key, friend_key, Currency::default())];
        assert_eq!(edge.send_capacity, room, "node {friend} takes more as long as it is there");
        let Reply::Friends(friends) = world.ask(node, Command::Friends) else { panic!() };
        let report = friends.iter().find(|report| report.public_key == friend_key).unwrap();
        assert_eq!(report.accounts[0].overdue.len(), 1);
    }
    let report = world.payment_reply(0, command).unwrap();
    assert_eq!(report.status, PaymentStatus::Pending);
    assert!(report.reason.contains("nobody must pay again"), "{}", report.reason);
    // Anybody who asks again is told the same at once; calling it off is refused.
    let purpose = Purpose::Invoice(invoice);
    let order = Order { payment_id: id, purpose, max_fee: None, timeout_ms: 1000 };
    assert!(
        matches!(world.ask(0, Command::Pay(Box::new(order))), Reply::Payment(report) if report.reason.contains("again"))
    );
    world.connect_all();
    world.settle();
    assert_eq!(world.payment(0, id).status(), PaymentStatus::Paid);
    let (id, _) = world.send(0, 2, 10);
    world.settle();
    let payment = world.payment(0, id);
    assert_eq!(payment.progress, Progress::Paid, "the friends are used again: {}", payment.reason);
    world.advance(1000);
    world.assert_quiet();
}

#[test]
fn who_is_gone_before_the_commit_is_not_waited_for_long() {
    // The seller disappears while it has the request; the mediator knows, and says so soon.
    let mut world = World::row(3, 1000);
    let invoice = world.invoice(2, 100);
    let (id, command) = world.pay(0, &invoice);
    world.nodes[2].is_stalled = true;
    world.settle();
    world.disconnect(1, 2);
    world.advance(5_000);
    assert_eq!(world.payment(0, id).reason, "the seller is offline, node1 says");
    // A few rounds more, then it is over.
    world.advance(10_000);
    assert_eq!(world.payment_reply(0, command).unwrap().status, PaymentStatus::Failed);
    world.nodes[2].is_stalled = false;
    world.connect_all();
    world.advance(1_000);
    world.assert_quiet();
}

#[test]
fn a_commit_for_a_friend_who_is_gone_binds_nobody() {
    let mut world = World::row(2, 1000);
    let invoice = world.invoice(1, 100);
    let (id, _) = world.pay(0, &invoice);
    world.nodes[0].is_stalled = true;
    world.settle();
    world.nodes[0].is_stalled = false;
    // The answer is there, and the connection breaks in the same batch.
    let answer = world.take_inputs(1, 0);
    world.disconnect(0, 1);
    let closed = world.take_inputs(1, 0);
    world.batch(0, closed.into_iter().rev().chain(answer).collect());
    world.advance(20_000);
    assert_eq!(world.payment(0, id).progress, Progress::Failed);
    world.connect_all();
    world.advance(1_000);
    world.assert_quiet();
    assert_eq!(world.nodes[1].wealth(), 0);
}

/// A mediator is killed between its friend's commit and its own. When its own is signed after the restart, it is bound:
/// no patience ends the request any more.
#[test]
fn a_commit_that_waits_over_a_restart_binds_when_it_is_signed() {
    let mut world = World::row(3, 1000);
    let invoice = world.invoice(2, 100);
    let (id, _) = world.pay(0, &invoice);
    while world.payment(0, id).progress == Progress::Searching {
        assert!(world.step());
    }
    // The mediator hears the commit when the seller is just away.
    let commit = world.take_inputs(0, 1);
    world.disconnect(1, 2);
    world.settle();
    world.batch(1, commit);
    let outgoing = |world: &World| {
        let account = world.nodes[1].account(world.key(2));
        account.epoch().unwrap().pendings().map(|(_, id, _)| account.is_bound(id)).next()
    };
    assert_eq!(outgoing(&world), Some(false));
    world.kill(1);
    world.start(1);
    world.connect(1, 2);
    while world.nodes[2].disk.invoice(invoice.id).unwrap().status == InvoiceStatus::Open {
        assert!(world.step());
    }
    assert_eq!(outgoing(&world), Some(true));
    world.disconnect(1, 2);
    world.advance(50_000);
    world.connect_all();
    world.advance(1_000);
    assert_eq!(world.payment(0, id).progress, Progress::Paid);
    world.assert_quiet();
    assert_eq!([0, 1, 2].map(|index: usize| world.nodes[index].wealth()), [-101, 1, 100]);
}

/// A buyer who was killed gives up at once what it had not committed, and holds nobody until the end of the patience.
#[test]
fn a_buyer_gives_up_after_a_restart() {
    let mut world = World::row(3, 1000);
    let invoice = world.invoice(2, 100);
    let (id, _) = world.pay(0, &invoice);
    world.settle_but(2);
    world.kill(0);
    world.start(0);
    world.nodes[2].is_stalled = false;
    world.connect_all();
    world.advance(1_000);
    assert_eq!(world.payment(0, id).reason, "the node was restarted before the payment was committed");
    world.assert_quiet();
}

/// Times at the end of their range neither overflow nor end anything early.
#[test]
fn a_payment_without_an_end() {
    let mut world = World::row(2, 1000);
    let invoice = world.invoice(1, 100);
    let mut order = world.order(Purpose::Invoice(invoice));
    order.timeout_ms = u64::MAX;
    let id = order.payment_id;
    world.command(0, Command::Pay(Box::new(order)));
    until_committed(&mut world, id);
    world.kill(0);
    world.start(0);
    world.connect_all();
    world.advance(1_000);
    assert_ne!(world.payment(0, id).status(), PaymentStatus::Pending);
    world.assert_quiet();
}

/// Every node dies in each of its batches: its disk fails, or it is killed before the commit, after it, or in the
/// middle of the outputs.
#[test]
fn killed_at_any_instruction_a_payment_is_made_once_or_not_at_all() {
    let mut outcomes = std::collections::BTreeSet::new();
    for hops in 1..=3 {
        for victim in 0..=hops {
            for crash in CRASHES {
                for at in 0..60 {
                    let mut world = World::row(hops + 1, 1000);
                    let invoice = world.invoice(hops, 100);
                    world.nodes[victim].crash = Some((at, crash));
                    let (id, _) = world.pay(0, &invoice);
                    world.settle();
                    let has_died = !world.nodes[victim].is_up();
                    world.advance(if at % 2 == 0 { 0 } else { 40_000 });
                    world.nodes[victim].crash = None;
                    world.start(victim);
                    world.connect_all();
                    world.advance(120_000);
                    world.assert_quiet();
                    let payment = world.nodes[0].disk.payment(id);
                    let has_paid = payment.as_ref().is_some_and(|payment| payment.progress == Progress::Paid);
                    let is_written = !matches!(crash, Crash::BeforeCommit | Crash::DiskFails);
                    assert_eq!(payment.is_some(), (victim, at) != (0, 0) || is_written);
                    assert_eq!(world.nodes[hops].wealth(), if has_paid { 100 } else { 0 });
                    if let Some(receipt) = payment.and_then(|payment| payment.receipt()) {
                        let verifier = offst_simulator::keys::FakeVerifier;
                        assert_eq!(receipt.verify(&verifier, Some(&invoice)), Ok(()));
                    }
                    outcomes.insert((victim == 0, has_paid));
                    if !has_died {
                        break;
                    }
                }
            }
        }
    }
    assert_eq!(outcomes.len(), 4, "some were paid, some not");
}

/// A friend's log breaks a rule while requests are pending. What is not committed ends on all accounts, what is
/// committed is carried into the next epoch.
/// (R1.32.)
#[test]
fn an_account_stops_at_each_stage_of_a_payment() {
    let mut runs = 0;
    for (liar, victim) in [(0, 1), (1, 0), (2, 1), (1, 2)] {
        for steps in 0..60 {
            let mut world = World::row(4, 1000);
            let invoice = world.invoice(3, 100);
            let (id, _) = world.pay(0, &invoice);
            let is_over = (0..steps).any(|_| !world.step());
            world.slander(liar, victim);
            world.advance(30_000);
            let is_inconsistent = (1..4).any(|index| !world.is_consistent(index - 1, index));
            if is_inconsistent {
                // The two sides stopped with different views: the upstream's owner accepts the other's.
                let (first, second) = (liar.min(victim), liar.max(victim));
                if world.ask(first, world.reset(second)) != Reply::Done {
                    // It would lose the proof of what it has paid.
                    let reply = world.ask(second, world.reset(first));
                    assert_eq!(reply, Reply::Done, "{liar} {victim} {steps}");
                }
                world.settle();
                let Reply::Friends(friends) = world.ask(first, Command::Friends) else { panic!() };
                assert!(friends.iter().all(|friend| friend.accounts[0].status == AccountStatus::Consistent));
            }
            world.advance(120_000);
            world.assert_quiet();
            let payment = world.payment(0, id);
            assert_eq!(payment.progress, Progress::Paid, "{liar} {victim} {steps}: {}", payment.reason);
            let wealth: Vec<i128> = world.nodes.iter().map(|node| node.wealth()).collect();
            assert_eq!(wealth, [-102, 1, 1, 100], "{liar} {victim} {steps}");
            runs += 1;
            if is_over {
                break;
            }
        }
    }
    assert!(runs > 40, "{runs}");
}

/// A seller that answers two parts, and gives one of them back in the same breath, is not promised the other.
#[test]
fn nothing_is_committed_when_a_part_ends_in_the_statement_that_answers_the_last_one() {
    for answered_before in [false, true] {
        let mut world = World::row(2, 1000);
        world.make_puppet(1);
        let part = PartPlan { path: vec![world.key(1)], amount: 10.into(), fees: 0.into() };
        world.paths = Paths::Given([vec![Route { parts: vec![part.clone(), part] }]].into());
        let (payment, _) = world.send(0, 1, 20);
        let mut requests = Vec::new();
        while requests.len() < 2 {
            for input in world.take_inputs(0, 1) {
                let Input::Statement(_, _, statement) = input else { continue };
                requests.extend(statement.operations.iter().filter_map(|operation| match operation {
                    Operation::Request(request) => Some(request.clone()),
                    _ => None,
                }));
            }
            assert!(requests.len() == 2 || world.step());
        }
        let answer = |world: &World, part: usize| {
            let terms = requests[part].terms(world.key(1), &Currency::default());
            let lock = Preimage::from_bytes([7; 32]).lock();
            let response = Response { terms, nonce: Nonce::from_bytes([part as u8; 16]), lock };
            let (nonce, response) = (response.nonce, Verified::sign(response, world.signer(1)));
            Operation::Response(Answer { id: requests[part].id, lock, nonce, signature: response.signature() })
        };
        let cancel = Operation::Cancel { id: requests[1].id, reason: CancelReason::Busy, hop: world.key(1) };
        let mut operations = vec![answer(&world, 1), answer(&world, 0), cancel];
        if answered_before {
            let first = world.statement(1, 0, vec![operations.remove(0)]);
            world.state(1, 0, first);
        }
        let statement = world.statement(1, 0, operations);
        world.state(1, 0, statement);
        let account = world.nodes[0].account(world.key(1));
        let stage = account.pending(Direction::Outgoing, requests[0].id).map(|pending| pending.stage);
        assert!(!stage.is_some_and(|stage| stage.is_committed()), "{stage:?}");
        world.advance(60_000);
        assert_eq!(world.payment(0, payment).progress, Progress::Failed);
    }
}
