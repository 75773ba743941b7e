//! Applications that may spend only so much.

use offst_crypto::{Identity, PublicKey};
use offst_funder::{Command, CommandId, Input, Progress, Reply};
use offst_proto::budget::{BudgetReport, Budgets};
use offst_proto::calendar::DAY_MS;
use offst_proto::order::Purpose;
use offst_proto::report::PaymentStatus;
use offst_proto::route::{PartPlan, Route};
use offst_proto::{Currency, PaymentId, Rate};
use offst_simulator::{CRASHES, Paths, World, name};
use std::collections::BTreeMap;

fn app(number: u8) -> PublicKey {
    Identity::from_seed([100 + number; 32]).public_key()
}

/// The owner's files say that these applications of node 0 may spend so much.
fn trust(world: &mut World, apps: &[(u8, u64, &[&str])]) {
    let budgets = apps.iter().map(|(number, since_ms, texts)| {
        let budgets = texts.iter().map(|text| text.parse().unwrap()).collect();
        (app(*number), Budgets::new(*since_ms, budgets).unwrap())
    });
    world.batch(0, vec![Input::Budgets(budgets.collect())]);
}

/// Node 0 with friends in a row, and one application with these budgets.
fn row(count: usize, texts: &[&str]) -> World {
    let mut world = World::row(count, 10_000);
    trust(&mut world, &[(1, 7, texts)]);
    world
}

/// The application orders a payment to `destination`.
fn order(world: &mut World, destination: usize, amount: u128) -> (PaymentId, CommandId) {
    order_as(world, 1, destination, amount)
}

fn order_as(world: &mut World, number: u8, destination: usize, amount: u128) -> (PaymentId, CommandId) {
    let invoice = world.invoice(destination, amount);
    let order = world.order(Purpose::Invoice(invoice));
    let id = order.payment_id;
    (id, world.command(0, Command::PayFor(app(number), Box::new(order))))
}

fn refusal(world: &World, command: CommandId) -> String {
    match world.reply(0, command) {
        Some(Reply::Refused(message)) => message,
        reply => panic!("not refused: {reply:?}"),
    }
}

fn status(world: &World, command: CommandId) -> PaymentStatus {
    world.payment_reply(0, command).expect("it has ended").status
}

fn reports(world: &mut World) -> Vec<BudgetReport> {
    match world.ask(0, Command::Budgets(app(1))) {
        Reply::Budgets(Some(reports)) => reports,
        reply => panic!("{reply:?}"),
    }
}

/// Spent, under way, left of the only budget.
fn standing(world: &mut World) -> (u128, u128, u128) {
    let reports = reports(world);
    let [report] = &reports[..] else { panic!("{reports:?}") };
    (report.spent, report.under_way, report.left())
}

fn restart(world: &mut World, texts: &[&str]) {
    world.kill(0);
    world.start(0);
    trust(world, &[(1, 7, texts)]);
}

// R6.4.
#[test]
fn amount_and_fees_count_and_no_more_than_the_budget_is_spent() {
    let mut world = row(3, &["500"]);
    let (_, command) = order(&mut world, 2, 300);
    world.settle();
    assert_eq!(status(&world, command), PaymentStatus::Paid);
    assert_eq!(standing(&mut world), (301, 0, 199));
    let (id, command) = order(&mut world, 2, 200);
    assert_eq!(
        refusal(&world, command),
        "this app may spend 500 credits in all; 199 are left, which is too little for a payment of 200: the owner changes it \
         with `stnode trust` and --budget"
    );
    assert_eq!(world.nodes[0].disk.payment(id), None);
    // There is room for the amount, and none for the fee.
    let (_, command) = order(&mut world, 2, 199);
    world.advance(60_000);
    let report = world.payment_reply(0, command).unwrap();
    assert_eq!(report.status, PaymentStatus::Failed);
    assert_eq!(report.reason, "the cheapest route costs 1 in fees, more than the budget of this app has left");
    assert_eq!(standing(&mut world), (301, 0, 199));
    let (_, command) = order(&mut world, 2, 198);
    world.settle();
    assert_eq!(status(&world, command), PaymentStatus::Paid);
    assert_eq!(standing(&mut world), (500, 0, 0));
    // A restart changes nothing.
    restart(&mut world, &["500"]);
    assert_eq!(standing(&mut world), (500, 0, 0));
    assert!(refusal_of_next(&mut world).contains("; 0 are left, "));
    // The owner raises it, or takes it away altogether.
    trust(&mut world, &[(1, 7, &["502"])]);
    assert_eq!(standing(&mut world), (500, 0, 2));
    trust(&mut world, &[(1, 0, &[])]);
    assert_eq!(world.ask(0, Command::Budgets(app(1))), Reply::Budgets(None));
    world.connect_all();
    world.settle();
    let (_, command) = order(&mut world, 2, 1000);
    world.settle();
    assert_eq!(status(&world, command), PaymentStatus::Paid);
    // An app that is bounded anew begins anew.
    trust(&mut world, &[(1, 8, &["100"])]);
    assert_eq!(standing(&mut world), (0, 0, 100));
}

fn refusal_of_next(world: &mut World) -> String {
    let (_, command) = order(world, 1, 1);
    refusal(world, command)
}

#[test]
fn what_is_under_way_counts_until_it_fails() {
    let mut world = row(3, &["500"]);
    world.nodes[2].is_stalled = true;
    let (first, command) = order(&mut world, 2, 300);
    let (_, second) = order(&mut world, 2, 300);
    assert!(refusal(&world, second).contains("200 are left, and 300 are held for payments under way"), "at once");
    world.settle();
    assert_eq!(standing(&mut world), (0, 301, 199));
    assert_eq!(world.ask(0, Command::CancelPayment(first)), Reply::Done);
    assert_eq!(status(&world, command), PaymentStatus::Failed);
    assert_eq!(standing(&mut world), (0, 0, 500));
    world.nodes[2].is_stalled = false;
    // The same order three times, and the order of somebody else's payment, count once.
    let invoice = world.invoice(2, 300);
    let order = world.order(Purpose::Invoice(invoice));
    trust(&mut world, &[(2, 7, &["400"])]);
    let commands = [1, 1, 1, 2].map(|number| world.command(0, Command::PayFor(app(number), Box::new(order.clone()))));
    world.settle();
    assert!(commands.iter().all(|command| status(&world, *command) == PaymentStatus::Paid));
    assert_eq!(standing(&mut world), (301, 0, 199));
    let (_, other) = order_as(&mut world, 2, 2, 399);
    world.settle();
    assert_eq!(status(&world, other), PaymentStatus::Paid, "the other app has all of its budget");
}

#[test]
fn a_dear_route_is_left_for_one_that_the_budget_allows() {
    let mut world = World::new(4, 1);
    for mediator in [1, 2] {
        world.befriend(0, mediator, 1000, 1000);
        world.befriend(mediator, 3, 1000, 1000);
    }
    world.connect_all();
    world.settle();
    world.ask(1, Command::SetFriendRate(name(0), Currency::default(), Rate { mul: 0, add: 60.into() }));
    trust(&mut world, &[(1, 7, &["150"])]);
    let route = |world: &World, mediator: usize, fees| Route {
        parts: vec![PartPlan { path: vec![world.key(mediator), world.key(3)], amount: 100.into(), fees }],
    };
    world.paths = Paths::Given([vec![route(&world, 1, 60.into()), route(&world, 2, 1.into())]].into());
    let (id, command) = order(&mut world, 3, 100);
    world.settle();
    assert_eq!((status(&world, command), world.payment(0, id).fees()), (PaymentStatus::Paid, 1));
    assert_eq!(standing(&mut world), (101, 0, 49));
}

#[test]
fn a_currency_without_a_budget_and_an_app_that_nobody_trusts_spend_nothing() {
    let mut world = row(2, &["5:hours/day"]);
    assert_eq!(
        refusal_of_next(&mut world),
        "this app has no budget in credit: the owner gives it one with `stnode trust` and --budget"
    );
    let (_, command) = order_as(&mut world, 2, 1, 1);
    assert!(refusal(&world, command).starts_with("this app has no budget in credit"));
    // The node itself, and apps without a limit, are not bounded by others' budgets.
    let (_, command) = world.send(0, 1, 500);
    trust(&mut world, &[(3, 0, &[])]);
    let (_, unlimited) = order_as(&mut world, 3, 1, 5000);
    world.settle();
    assert_eq!([command, unlimited].map(|command| status(&world, command)), [PaymentStatus::Paid; 2]);
    assert_eq!(standing(&mut world), (0, 0, 5));
}

// R6.5.
#[test]
fn credit_that_moves_around_a_cycle_costs_its_fees() {
    let mut world = World::new(3, 1);
    for (a, b) in [(0, 1), (1, 2), (2, 0)] {
        world.befriend(a, b, 1000, 1000);
    }
    world.connect_all();
    world.settle();
    trust(&mut world, &[(1, 7, &["5"])]);
    let purpose = Purpose::Rebalance { friend: name(1), currency: Currency::default(), amount: 400.into() };
    for spent in [2, 4] {
        let order = world.order(purpose.clone());
        let command = world.command(0, Command::PayFor(app(1), Box::new(order)));
        world.settle();
        assert_eq!(status(&world, command), PaymentStatus::Paid);
        assert_eq!(standing(&mut world), (spent, 0, 5 - spent));
    }
    let order = world.order(purpose);
    let command = world.command(0, Command::PayFor(app(1), Box::new(order)));
    world.advance(60_000);
    assert_eq!(status(&world, command), PaymentStatus::Failed);
}

/// Committed when the process dies and the destination is away: it may be paid at any time.
#[test]
fn a_committed_payment_counts_over_a_restart_and_is_spent_once() {
    let mut world = row(3, &["500/day"]);
    let (id, _) = order(&mut world, 2, 300);
    while world.nodes[0].disk.payment(id).is_none_or(|payment| payment.progress != Progress::Committed) {
        assert!(world.step());
    }
    world.kill(2);
    world.settle();
    restart(&mut world, &["500/day"]);
    assert_eq!(standing(&mut world), (0, 301, 199));
    assert!(refusal_of(&mut world, 200).contains("and 301 are held for payments under way"));
    // Also on the next day, and when the owner trusts the app no longer and then again.
    world.nodes[0].clock_ahead_ms = DAY_MS;
    trust(&mut world, &[(1, 8, &["400/day"])]);
    assert_eq!(standing(&mut world), (0, 301, 99));
    world.start(2);
    world.connect_all();
    world.advance(1000);
    assert_eq!(world.payment(0, id).progress, Progress::Paid);
    assert_eq!(standing(&mut world), (301, 0, 99));
    assert_eq!(world.nodes[0].disk.payment(id).unwrap().app, Some(app(1)));
}

fn refusal_of(world: &mut World, amount: u128) -> String {
    let (_, command) = order(world, 1, amount);
    refusal(world, command)
}

// R6.7.
#[test]
fn a_budget_is_there_anew_with_the_next_period_and_not_with_a_clock_that_jumps_back() {
    let mut world = row(2, &["500/day"]);
    let buy = |world: &mut World, amount| {
        let (_, command) = order(world, 1, amount);
        world.settle();
        assert_eq!(status(world, command), PaymentStatus::Paid);
    };
    buy(&mut world, 500);
    world.nodes[0].clock_ahead_ms = 10 * DAY_MS;
    buy(&mut world, 500);
    let until_ms = reports(&mut world)[0].until_ms.unwrap();
    assert_eq!(until_ms % DAY_MS, 0);
    let message = refusal_of(&mut world, 1);
    assert!(message.contains("500 credits a day; 0 are left until ") && message.contains(" 00:00 UTC"), "{message}");
    for ahead_days in [0, 10, 0, 10] {
        world.nodes[0].clock_ahead_ms = ahead_days * DAY_MS;
        refusal_of(&mut world, 1);
    }
    world.nodes[0].clock_ahead_ms = 11 * DAY_MS;
    assert_eq!(standing(&mut world), (0, 0, 500));
    buy(&mut world, 400);
    // Back and forth again: no day comes a second time, nor one before both that are remembered.
    for (ahead_days, expected) in [(10, (500, 0, 0)), (9, (500, 0, 0)), (0, (500, 0, 0)), (11, (400, 0, 100))] {
        world.nodes[0].clock_ahead_ms = ahead_days * DAY_MS;
        assert_eq!(standing(&mut world), expected, "{ahead_days} days ahead");
    }
    // Another period, or none, does not forget what was spent in the one that runs.
    for texts in ["500/month", "500", "500/day"] {
        trust(&mut world, &[(1, 7, &[texts])]);
        assert_eq!(standing(&mut world), (400, 0, 100), "{texts}");
    }
    trust(&mut world, &[(1, 7, &["500"])]);
    buy(&mut world, 50);
    world.nodes[0].clock_ahead_ms = 500 * DAY_MS;
    assert_eq!(standing(&mut world), (450, 0, 50));
    trust(&mut world, &[(1, 7, &["500/week"])]);
    assert_eq!(standing(&mut world), (450, 0, 50));
    world.nodes[0].clock_ahead_ms = 507 * DAY_MS;
    assert_eq!(standing(&mut world), (450, 0, 50), "the week begins with an order");
    buy(&mut world, 10);
    world.nodes[0].clock_ahead_ms = 514 * DAY_MS;
    assert_eq!(standing(&mut world), (0, 0, 500));
}

/// Wherever the buyer dies, what has left it is what was spent, and never more than the budget.
/// (R6.6.)
#[test]
fn no_death_loses_what_was_spent() {
    for crash in CRASHES {
        for batch in 0.. {
            let mut world = row(3, &["500"]);
            world.nodes[0].crash = Some((batch, crash));
            for amount in [200, 250, 100] {
                order(&mut world, 2, amount);
            }
            world.settle();
            let died = !world.nodes[0].is_up();
            world.nodes[0].crash = None;
            restart(&mut world, &["500"]);
            world.connect_all();
            world.advance(1000);
            let (spent, under_way, _) = standing(&mut world);
            assert!(spent + under_way <= 500, "{crash:?} in batch {batch}: {spent} and {under_way}");
            // Again, with other ids.
            for amount in [200, 250, 100] {
                order(&mut world, 2, amount);
            }
            world.advance(120_000);
            let (spent, under_way, left) = standing(&mut world);
            let context = format!("{crash:?} in batch {batch}: {spent} spent, {under_way} under way");
            assert_eq!((world.nodes[0].wealth(), under_way), (-i128::try_from(spent).unwrap(), 0), "{context}");
            assert!(spent <= 500 && left < 201, "{context}");
            world.assert_quiet();
            if !died {
                break;
            }
        }
    }
}

#[test]
fn what_the_app_may_do_is_asked_at_every_order() {
    let mut world = row(3, &["500"]);
    world.nodes[2].is_stalled = true;
    let (_, command) = order(&mut world, 2, 300);
    world.settle();
    // The owner lowers it below what is under way.
    trust(&mut world, &[(1, 7, &["100"])]);
    assert_eq!(standing(&mut world), (0, 301, 0));
    assert!(refusal_of(&mut world, 1).contains("100 credits in all; 0 are left, and 301 are held"));
    world.nodes[2].is_stalled = false;
    world.settle();
    assert_eq!(status(&world, command), PaymentStatus::Paid);
    assert_eq!(standing(&mut world), (301, 0, 0));
    let none: BTreeMap<_, _> = BTreeMap::new();
    world.batch(0, vec![Input::Budgets(none)]);
    assert!(refusal_of(&mut world, 1).contains("0 are left"), "what is missing keeps what it had");
}
