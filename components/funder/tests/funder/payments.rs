//! Paying when all goes well, and when somebody says no.

use offst_funder::{Command, CommandId, Progress, Reply};
use offst_ledger::Stage;
use offst_proto::Amount;
use offst_proto::invoice::Invoice;
use offst_proto::order::{Destination, Purpose};
use offst_proto::receipt::Receipt;
use offst_proto::report::{InvoiceStatus, PaymentStatus};
use offst_proto::route::{PartPlan, Route};
use offst_proto::{Currency, InvoiceId, PaymentId, Rate, Verified};
use offst_simulator::{Paths, World, name};

fn route(world: &World, parts: &[(&[usize], u128, u128)]) -> Route {
    let part = |(path, amount, fees): &(&[usize], u128, u128)| PartPlan {
        path: path.iter().map(|index| world.key(*index)).collect(),
        amount: Amount::capped(*amount),
        fees: Amount::capped(*fees),
    };
    Route { parts: parts.iter().map(part).collect() }
}

/// 0 and 4 with three mediators between them.
fn diamond(limit: u128) -> World {
    let mut world = World::new(5, 1);
    for mediator in 1..4 {
        world.befriend(0, mediator, limit, limit);
        world.befriend(mediator, 4, limit, limit);
    }
    world.connect_all();
    world.settle();
    world
}

#[test]
fn an_invoice_is_paid_over_any_number_of_hops_with_exact_fees() {
    for count in 2..=5 {
        let mut world = World::real(count, 7);
        for index in 1..count {
            world.befriend(index - 1, index, 1000, 1000);
        }
        world.connect_all();
        world.settle();
        let seller = count - 1;
        let invoice = world.invoice(seller, 500);
        let waits = world.command(seller, Command::WaitInvoice(invoice.id));
        let (id, command) = world.pay(0, &invoice);
        world.settle();
        let report = world.payment_reply(0, command).expect("the payment has ended");
        assert_eq!(report.status, PaymentStatus::Paid);
        assert_eq!((report.amount, report.fees), (500.into(), count as u128 - 2));
        let receipt = Receipt::from_toml(&report.receipt.unwrap()).unwrap();
        assert_eq!(receipt.verify(&offst_crypto::Ed25519Verifier, Some(&invoice)), Ok(()));
        assert_eq!(receipt.payment_id, id);
        assert_eq!(world.reply(seller, waits), Some(Reply::InvoiceStatus(InvoiceStatus::Paid)));
        for index in 1..count {
            // Every mediator keeps one credit.
            assert_eq!(world.balance(index, index - 1), (500 + seller - index) as i128);
        }
        world.advance(1000);
        world.assert_quiet();
        let mediators = 1..seller;
        assert!(mediators.into_iter().all(|index| world.nodes[index].disk.forwarded[0].fee == 1));
    }
}

/// 0 pays, and its owner bounds the fees by as much again.
fn pay_at_any_price(world: &mut World, invoice: &Verified<Invoice>) -> (PaymentId, CommandId) {
    let mut order = world.order(Purpose::Invoice(invoice.clone()));
    order.max_fee = Some(invoice.amount);
    (order.payment_id, world.command(0, Command::Pay(Box::new(order))))
}

/// The worked example of the protocol: shared with the index server's tests.
#[test]
fn fees_are_reckoned_from_the_end() {
    let mut world = World::row(4, 2000);
    world.ask(2, Command::SetFriendRate(name(1), Currency::default(), Rate { mul: 42_949_673, add: 5.into() }));
    world.ask(1, Command::SetFriendRate(name(0), Currency::default(), Rate { mul: 1 << 30, add: 0.into() }));
    let invoice = world.invoice(3, 1000);
    for fees in [267, 269] {
        world.paths = Paths::Given([vec![route(&world, &[(&[1, 2, 3], 1000, fees)])]].into());
        let (id, _) = pay_at_any_price(&mut world, &invoice);
        world.advance(60_000);
        assert_eq!(world.payment(0, id).reason, "the fees on the way have changed");
        world.assert_quiet();
    }
    world.paths = Paths::Given([vec![route(&world, &[(&[1, 2, 3], 1000, 268)])]].into());
    pay_at_any_price(&mut world, &invoice);
    world.settle();
    assert_eq!([world.balance(1, 0), world.balance(2, 1), world.balance(3, 2)], [1268, 1015, 1000]);
}

#[test]
fn what_exceeds_a_limit_is_refused_and_can_be_sent_after_something_came_back() {
    let mut world = World::row(3, 1000);
    let (first, _) = world.send(0, 2, 600);
    world.settle();
    assert_eq!(world.payment(0, first).progress, Progress::Paid);
    let invoice = world.invoice(2, 500);
    let (id, command) = world.pay(0, &invoice);
    world.advance(10_000);
    let report = world.payment_reply(0, command).expect("refused at once");
    assert_eq!(report.status, PaymentStatus::Failed);
    assert_eq!(report.reason, "no route with enough room for this amount was found, or the destination is offline");
    assert_eq!((report.receipt, world.payment(0, id).receipt()), (None, None));
    assert_eq!((world.balance(1, 0), world.balance(2, 1)), (601, 600));
    // Even when the index server knows nothing of it.
    world.paths = Paths::Given([vec![route(&world, &[(&[1, 2], 500, 1)])]].into());
    let (id, _) = world.pay(0, &invoice);
    world.advance(60_000);
    assert_eq!(world.payment(0, id).reason, "your account with node1 has only 399 left");
    world.assert_quiet();
    world.paths = Paths::Search;
    let (back, _) = world.send(2, 0, 300);
    world.settle();
    assert_eq!(world.payment(2, back).progress, Progress::Paid);
    let (id, _) = world.pay(0, &invoice);
    world.settle();
    assert_eq!(world.payment(0, id).progress, Progress::Paid);
    assert_eq!((world.balance(1, 0), world.balance(2, 1)), (601 - 300 + 501, 600 - 301 + 500));
}

#[test]
fn the_owner_bounds_the_fee() {
    let mut world = World::row(3, 1000);
    let invoice = world.invoice(2, 500);
    for (max_fee, expected) in [(0, Progress::Failed), (1, Progress::Paid)] {
        let mut order = world.order(Purpose::Invoice(invoice.clone()));
        order.max_fee = Some(max_fee.into());
        let id = order.payment_id;
        world.command(0, Command::Pay(Box::new(order)));
        world.settle();
        assert_eq!(world.payment(0, id).progress, expected);
        if expected == Progress::Failed {
            assert_eq!(world.payment(0, id).reason, "the cheapest route costs 1 in fees, more than --max-fee allows");
        }
    }
}

/// The owner has said nothing of fees, and the only mediator takes more than the node pays by default.
#[test]
fn an_order_without_a_bound_of_fees_does_not_pay_a_hundred_times_its_amount() {
    let mut world = World::row(3, 1000);
    let take = |world: &mut World, add| {
        world.ask(1, Command::SetFriendRate(name(0), Currency::default(), Rate { mul: 0, add }));
        world.settle();
    };
    let invoice = world.invoice(2, 10);
    take(&mut world, 980.into());
    let (id, _) = world.pay(0, &invoice);
    world.advance(60_000);
    let message = "the cheapest route costs 980 in fees, more than the 20 that this node pays by default: allow it with --max-fee 980";
    let payment = world.payment(0, id);
    assert_eq!((payment.progress, payment.reason.as_str()), (Progress::Failed, message));
    world.assert_quiet();
    // What the sentence says is what it takes.
    for (max_fee, expected) in [(979, Progress::Failed), (980, Progress::Paid)] {
        let mut order = world.order(Purpose::Invoice(invoice.clone()));
        order.max_fee = Some(max_fee.into());
        let id = order.payment_id;
        world.command(0, Command::Pay(Box::new(order)));
        world.settle();
        assert_eq!(world.payment(0, id).progress, expected);
    }
}

/// By default 10 % of the amount are paid, and 20 credits of a small one: of spontaneous payments and of credit that
/// goes around a cycle, too.
#[test]
fn what_a_node_pays_by_default_grows_with_the_amount() {
    let mut world = World::new(4, 1);
    for (a, b) in [(0, 1), (1, 2), (2, 0), (2, 3)] {
        world.befriend(a, b, 10_000, 10_000);
    }
    world.connect_all();
    world.settle();
    let around = |amount| Purpose::Rebalance { friend: name(1), currency: Currency::default(), amount };
    let key = world.key(3);
    let spontaneous = |amount| {
        let destination = Destination::Key(key);
        Purpose::Spontaneous { destination, currency: Currency::default(), amount }
    };
    for (purpose, fee, is_paid) in [
        (around(100.into()), 20, true),
        (around(100.into()), 21, false),
        (around(500.into()), 50, true),
        (around(500.into()), 51, false),
        (spontaneous(7.into()), 20, true),
        (spontaneous(7.into()), 21, false),
        (spontaneous(1000.into()), 100, true),
        (spontaneous(1000.into()), 101, false),
    ] {
        // What both mediators take together; a spontaneous payment passes one of them.
        let (first, second) = if matches!(purpose, Purpose::Rebalance { .. }) { (fee - 1, 1) } else { (0, fee) };
        for (node, friend, add) in [(1, 0, first), (2, 1, second), (2, 0, second)] {
            world.ask(
                node,
                Command::SetFriendRate(name(friend), Currency::default(), Rate { mul: 0, add: Amount::capped(add) }),
            );
        }
        world.settle();
        let order = world.order(purpose.clone());
        let id = order.payment_id;
        world.command(0, Command::Pay(Box::new(order)));
        world.advance(60_000);
        let payment = world.payment(0, id);
        assert_eq!(payment.progress == Progress::Paid, is_paid, "{purpose:?} {fee}: {}", payment.reason);
        assert!(!is_paid || payment.fees() == fee, "{purpose:?} {fee}: {}", payment.fees());
    }
}

/// The bound is that of the whole payment, in whatever parts it goes.
#[test]
fn the_parts_of_a_payment_share_what_it_may_cost() {
    let mut world = diamond(300);
    for mediator in 1..=3 {
        world.ask(mediator, Command::SetFriendRate(name(0), Currency::default(), Rate { mul: 0, add: 30.into() }));
    }
    world.settle();
    let (id, _) = world.send(0, 4, 700);
    world.advance(60_000);
    let message = "the cheapest route costs 90 in fees, more than the 70 that this node pays by default: allow it with --max-fee 90";
    assert_eq!((world.payment(0, id).progress, world.payment(0, id).reason.as_str()), (Progress::Failed, message));
    world.assert_quiet();
}

#[test]
fn a_payment_is_split_and_all_parts_are_committed_at_once() {
    let mut world = diamond(300);
    let invoice = world.invoice(4, 700);
    world.nodes[3].is_stalled = true;
    let (id, command) = world.pay(0, &invoice);
    world.settle();
    // Two parts have their answers; nothing is committed before the third has one.
    assert_eq!(world.payment(0, id).progress, Progress::Searching);
    let key = world.key(0);
    for mediator in [1, 2] {
        let account = world.nodes[mediator].account(key);
        assert!(account.epoch().unwrap().pendings().all(|(_, _, pending)| !pending.stage.is_committed()));
    }
    world.nodes[3].is_stalled = false;
    world.settle();
    let report = world.payment_reply(0, command).unwrap();
    assert_eq!((report.status, report.parts, report.fees), (PaymentStatus::Paid, 3, 3));
    let receipt = world.payment(0, id).receipt().unwrap();
    assert_eq!(receipt.verify(&offst_simulator::keys::FakeVerifier, Some(&invoice)), Ok(()));
    assert_eq!(world.nodes[4].wealth(), 700);
    world.assert_quiet();
}

#[test]
fn a_refused_part_is_replaced_while_the_others_wait() {
    let mut world = diamond(300);
    let invoice = world.invoice(4, 500);
    // The second mediator has closed its friendship with the seller, and nobody knows yet.
    world.ask(4, Command::SetFriendOpen(name(2), Currency::default(), false));
    world.settle();
    let first = route(&world, &[(&[1, 4], 250, 1), (&[2, 4], 250, 1)]);
    let second = route(&world, &[(&[3, 4], 250, 1)]);
    world.paths = Paths::Given([vec![first], vec![], vec![second]].into());
    let (id, _) = world.pay(0, &invoice);
    world.settle();
    assert_eq!((world.payment(0, id).progress, world.questions), (Progress::Searching, 2));
    world.advance(1000);
    assert_eq!(world.payment(0, id).progress, Progress::Paid);
    assert_eq!(world.questions, 3);
    assert_eq!(world.nodes[4].wealth(), 500);
    world.advance(1000);
    world.assert_quiet();
}

/// Answers for a part of the total commit nothing, also when the part that is missing has been refused before.
#[test]
fn less_than_the_total_is_never_committed() {
    let mut world = diamond(300);
    let invoice = world.invoice(4, 500);
    world.ask(4, Command::SetFriendOpen(name(2), Currency::default(), false));
    world.settle();
    world.nodes[1].is_stalled = true;
    world.paths = Paths::Given([vec![route(&world, &[(&[1, 4], 250, 1), (&[2, 4], 250, 1)])]].into());
    let (id, _) = world.pay(0, &invoice);
    world.settle();
    assert_eq!(world.payment(0, id).parts.len(), 1, "one was refused");
    world.nodes[1].is_stalled = false;
    world.settle();
    let account = world.nodes[0].account(world.key(1));
    let stages: Vec<_> = account.epoch().unwrap().pendings().map(|(.., pending)| pending.stage).collect();
    assert!(matches!(stages[..], [Stage::Responded(_)]), "{stages:?}");
    world.advance(100_000);
    assert_eq!(world.payment(0, id).progress, Progress::Failed);
    world.assert_quiet();
}

#[test]
fn a_part_that_is_released_after_the_commit_is_replaced() {
    let mut world = diamond(300);
    let invoice = world.invoice(4, 500);
    let first = route(&world, &[(&[1, 4], 250, 1), (&[2, 4], 250, 1)]);
    let second = route(&world, &[(&[3, 4], 250, 1)]);
    world.paths = Paths::Given([vec![first], vec![second]].into());
    let (id, _) = world.pay(0, &invoice);
    while world.nodes[0].pendings() < 2 {
        assert!(world.step());
    }
    world.settle_but(0);
    // The second mediator loses the seller before the commit reaches it.
    world.disconnect(2, 4);
    world.settle();
    world.nodes[0].is_stalled = false;
    world.settle();
    assert_eq!(world.payment(0, id).progress, Progress::Committed);
    world.advance(10_000);
    assert_eq!(world.payment(0, id).progress, Progress::Paid);
    assert_eq!(world.nodes[2].disk.forwarded.len(), 0);
    let receipt = world.payment(0, id).receipt().unwrap();
    assert_eq!(receipt.verify(&offst_simulator::keys::FakeVerifier, Some(&invoice)), Ok(()));
    world.connect_all();
    world.advance(1000);
    world.assert_quiet();
    assert_eq!(world.nodes[4].wealth(), 500);
}

#[test]
fn money_can_be_sent_without_an_invoice() {
    let mut world = World::row(3, 1000);
    let (id, _) = world.send(0, 2, 10);
    world.settle();
    let receipt = world.payment(0, id).receipt().unwrap();
    assert_eq!(receipt.verify(&offst_simulator::keys::FakeVerifier, None), Ok(()));
    let destination = Destination::Friend(name(1));
    let order = world.order(Purpose::Spontaneous { destination, currency: Currency::default(), amount: 10.into() });
    let command = world.command(0, Command::Pay(Box::new(order)));
    world.settle();
    assert_eq!(world.payment_reply(0, command).unwrap().status, PaymentStatus::Paid);
    assert_eq!(world.balance(1, 0), 21);
}

#[test]
fn orders_that_make_no_sense_are_refused_with_a_sentence() {
    let mut world = World::row(2, 1000);
    let own = world.invoice(0, 5);
    let expired = world.invoice_in(1, 5, &Currency::default(), Some(100));
    world.advance(200);
    let spontaneous = |destination, amount| Purpose::Spontaneous { destination, currency: Currency::default(), amount };
    let stranger = Destination::Friend("nobody".into());
    for (purpose, message) in [
        (Purpose::Invoice(own), "own"),
        (Purpose::Invoice(expired), "expired"),
        (spontaneous(stranger, 5.into()), "no friend named \"nobody\""),
        (spontaneous(Destination::Key(world.key(0)), 5.into()), "oneself"),
        (spontaneous(Destination::Key(world.key(1)), 0.into()), "at least 1"),
    ] {
        let order = world.order(purpose);
        match world.ask(0, Command::Pay(Box::new(order))) {
            Reply::Refused(text) => assert!(text.contains(message), "{text}"),
            reply => panic!("{reply:?}"),
        }
    }
    assert_eq!(world.nodes[0].disk.payments().count(), 0);
}

#[test]
fn one_payment_id_pays_once() {
    let mut world = World::row(3, 1000);
    let invoice = world.invoice(2, 100);
    let order = world.order(Purpose::Invoice(invoice.clone()));
    let first = world.command(0, Command::Pay(Box::new(order.clone())));
    let second = world.command(0, Command::Pay(Box::new(order)));
    let other = world.pay(0, &invoice).1;
    assert!(matches!(world.reply(0, other), Some(Reply::Refused(text)) if text.contains("being paid already")));
    world.settle();
    assert_eq!(world.payment_reply(0, first).unwrap().status, PaymentStatus::Paid);
    assert_eq!(world.reply(0, first), world.reply(0, second));
    assert_eq!(world.balance(1, 0), 101);
}

#[test]
fn two_buyers_of_one_invoice() {
    // 0 and 1 buy from 3 through 2; both commit, one is collected.
    let mut world = World::new(4, 3);
    for (a, b) in [(0, 2), (1, 2), (2, 3)] {
        world.befriend(a, b, 1000, 1000);
    }
    world.connect_all();
    world.settle();
    let invoice = world.invoice(3, 100);
    let payments = [(0, world.pay(0, &invoice).0), (1, world.pay(1, &invoice).0)];
    world.settle();
    let progress = payments.map(|(buyer, id)| world.payment(buyer, id).progress);
    assert!(progress.contains(&Progress::Paid) && progress.contains(&Progress::Failed), "{progress:?}");
    let (loser, id) = payments[progress.iter().position(|progress| *progress == Progress::Failed).unwrap()];
    assert_eq!(world.payment(loser, id).reason, "the invoice is paid already");
    assert_eq!((world.nodes[3].wealth(), world.nodes[loser].wealth()), (100, 0));
    world.advance(1000);
    world.assert_quiet();
    // And later.
    let (id, _) = world.pay(loser, &invoice);
    world.settle();
    assert_eq!(world.payment(loser, id).reason, "the invoice is paid already");
}

fn forged(invoice: &Verified<Invoice>, change: impl FnOnce(&mut Invoice)) -> Verified<Invoice> {
    let mut forged = invoice.clone().into_value();
    change(&mut forged);
    Verified::sign(forged, &offst_simulator::keys::FakeSigner::new(3))
}

#[test]
fn whoever_does_not_hold_the_invoice_cannot_pay_or_probe_it() {
    let mut world = World::row(3, 1000);
    let invoice = world.invoice(2, 100);
    let other_secret = forged(&invoice, |invoice| invoice.secret = offst_crypto::Secret::from_bytes([7; 32]));
    let other_amount = forged(&invoice, |invoice| invoice.amount = 99.into());
    let other_id = forged(&invoice, |invoice| invoice.id = InvoiceId::from_bytes([7; 16]));
    for (invoice, reason) in [
        (other_secret, "the request does not prove that its sender holds the invoice"),
        (other_amount, "amount or currency are not those of the invoice"),
        (other_id, "the seller does not know this invoice, or has cancelled it"),
    ] {
        let (id, _) = world.pay(0, &invoice);
        world.settle();
        let payment = world.payment(0, id);
        assert_eq!((payment.progress, payment.reason.as_str()), (Progress::Failed, reason));
    }
    world.advance(1000);
    world.assert_quiet();
    world.pay(0, &invoice);
    world.settle();
    assert_eq!(world.nodes[2].wealth(), 100);
}

/// An invoice that ends while a part of its payment waits at the seller, committed or not, releases it.
#[test]
fn an_invoice_ends_while_it_is_being_paid() {
    for is_committed in [false, true] {
        for expires in [false, true] {
            let mut world = diamond(300);
            let invoice = world.invoice_in(4, 500, &Currency::default(), expires.then_some(10_000));
            world.nodes[2].is_stalled = !is_committed;
            let routes = route(&world, &[(&[1, 4], 250, 1), (&[2, 4], 250, 1)]);
            world.paths = Paths::Given([vec![routes]].into());
            let (id, _) = world.pay(0, &invoice);
            if is_committed {
                while world.payment(0, id).progress == Progress::Searching {
                    assert!(world.step());
                }
                world.nodes[2].is_stalled = true;
            }
            world.settle();
            assert!(world.nodes[4].disk.underway() > 0);
            if expires {
                world.advance(10_000);
            } else {
                assert_eq!(world.ask(4, Command::CancelInvoice(invoice.id)), Reply::Done);
                world.settle();
            }
            assert_eq!(world.nodes[4].disk.underway(), 0);
            world.nodes[2].is_stalled = false;
            world.settle();
            let payment = world.payment(0, id);
            let reason = if expires {
                "the invoice has expired"
            } else {
                "the seller does not know this invoice, or has cancelled it"
            };
            assert_eq!((payment.progress, payment.reason.as_str()), (Progress::Failed, reason));
            world.advance(1000);
            world.assert_quiet();
            assert!(world.nodes.iter().all(|node| node.wealth() == 0));
        }
    }
}

#[test]
fn several_currencies_are_kept_apart() {
    let hours: Currency = "hours".parse().unwrap();
    let mut world = World::row(3, 1000);
    for (from, to) in [(0, 1), (1, 0), (1, 2), (2, 1)] {
        let command = world.friendship(to, &hours, 0, 50);
        assert_eq!(world.ask(from, command), Reply::Done);
    }
    world.settle();
    let invoice = world.invoice_in(2, 40, &hours, None);
    let (id, _) = world.pay(0, &invoice);
    world.settle();
    assert_eq!(world.payment(0, id).progress, Progress::Paid);
    let (id, _) = world.send(0, 2, 400);
    world.settle();
    assert_eq!(world.payment(0, id).progress, Progress::Paid);
    let key = world.key(1);
    assert_eq!(world.nodes[0].account_in(key, &hours).epoch().unwrap().balance(), -41);
    assert_eq!(world.balance(0, 1), -401);
    world.advance(1000);
    world.assert_quiet();
}

#[test]
fn a_payment_is_called_off_before_the_commit_and_not_after() {
    let mut world = World::row(3, 1000);
    let invoice = world.invoice(2, 100);
    world.nodes[2].is_stalled = true;
    let (id, command) = world.pay(0, &invoice);
    world.settle();
    assert_eq!(world.ask(0, Command::CancelPayment(id)), Reply::Done);
    assert_eq!(world.payment_reply(0, command).unwrap().reason, "it was called off");
    assert_eq!(world.ask(0, Command::CancelPayment(id)), Reply::Unknown);
    world.nodes[2].is_stalled = false;
    world.advance(1000);
    world.assert_quiet();
    let (id, command) = world.pay(0, &invoice);
    while world.payment(0, id).progress == Progress::Searching {
        assert!(world.step());
    }
    assert!(matches!(world.ask(0, Command::CancelPayment(id)), Reply::Refused(text) if text.contains("committed")));
    world.settle();
    assert_eq!(world.payment_reply(0, command).unwrap().status, PaymentStatus::Paid);
}
