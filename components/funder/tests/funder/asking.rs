//! What a buyer asks index servers: quotes, and what others have refused lately.

use offst_funder::{Command, Input, Progress, Reply};
use offst_proto::Amount;
use offst_proto::Currency;
use offst_proto::index::Edge;
use offst_proto::order::{Destination, Purpose};
use offst_proto::report::QuoteReport;
use offst_simulator::{Paths, World, name};

/// 0 and 3, with 1 and 2 between them.
fn diamond(limit: u128) -> World {
    let mut world = World::new(4, 1);
    for mediator in [1, 2] {
        world.befriend(0, mediator, limit, limit);
        world.befriend(mediator, 3, limit, limit);
    }
    world.connect_all();
    world.settle();
    world
}

fn quote(world: &mut World, purpose: Purpose) -> Result<QuoteReport, String> {
    let order = world.order(purpose);
    let command = world.command(0, Command::Quote(Box::new(order)));
    world.settle();
    match world.reply(0, command) {
        Some(Reply::Quote(quote)) => Ok(*quote),
        Some(Reply::Refused(message)) => Err(message),
        reply => panic!("{reply:?}"),
    }
}

fn quote_spontaneous(world: &mut World, to: usize, amount: u128) -> Result<QuoteReport, String> {
    let destination = Destination::Key(world.key(to));
    quote(world, Purpose::Spontaneous { destination, currency: Currency::default(), amount: Amount::capped(amount) })
}

#[test]
fn a_quote_tells_routes_and_fees_and_pays_nothing() {
    let mut world = diamond(60);
    let invoice = world.invoice(3, 50);
    let found = quote(&mut world, Purpose::Invoice(invoice)).unwrap();
    assert_eq!((found.amount, found.routes[0].fees(), found.routes[0].parts.len()), (50.into(), 1, 1));
    assert_eq!(found.max_fee_default, 20);
    let split = quote_spontaneous(&mut world, 3, 100).unwrap();
    assert_eq!((split.routes[0].parts.len(), split.routes[0].fees()), (2, 2));
    let cycle = Purpose::Rebalance { friend: name(1), currency: Currency::default(), amount: 5.into() };
    let cycle = quote(&mut world, cycle).unwrap();
    assert_eq!((cycle.routes[0].fees(), cycle.routes[0].parts[0].path[0]), (3, world.key(1)));
    let refused = quote_spontaneous(&mut world, 3, 200).unwrap_err();
    assert!(refused.starts_with("no route with enough room"), "{refused}");
    let own = quote_spontaneous(&mut world, 0, 5).unwrap_err();
    assert!(own.contains("oneself"), "{own}");
    assert_eq!(world.nodes[0].disk.payments().count(), 0);
    world.assert_quiet();
}

/// A friend needs no index server, and what our own account has no room for is no route.
#[test]
fn a_quote_knows_the_own_lines() {
    let mut world = diamond(60);
    world.paths = Paths::Given([].into());
    let direct = quote_spontaneous(&mut world, 1, 60).unwrap();
    assert_eq!((direct.routes[0].fees(), direct.routes[0].parts[0].path.len()), (0, 1));
    assert!(quote_spontaneous(&mut world, 1, 61).is_err());
}

/// The index servers still believe what they were told before a mediator's account was closed.
fn with_stale_edges(world: &mut World, change: impl FnOnce(&mut World)) {
    let stale: Vec<Edge> = world.edges.values().cloned().collect();
    let keys: Vec<_> = world.edges.keys().cloned().collect();
    change(world);
    world.settle();
    world.edges = keys.into_iter().zip(stale).collect();
}

#[test]
fn what_refused_one_payment_is_avoided_by_the_next_for_a_while() {
    let mut world = diamond(100);
    with_stale_edges(&mut world, |world| {
        world.ask(3, Command::SetFriendOpen(name(1), Currency::default(), false));
    });
    let mut tried = 0;
    for round in 0..4 {
        let before = world.nodes[1].disk.transactions;
        let (id, _) = world.send(0, 3, 5);
        world.settle();
        assert_eq!(world.payment(0, id).progress, Progress::Paid);
        tried += usize::from(world.nodes[1].disk.transactions > before);
        assert!(tried <= 1, "round {round} ran into a refusal that was known");
    }
    assert_eq!(tried, 1, "the closed path was the first choice");
    // After a while it gets another chance.
    world.advance(61_000);
    let before = world.nodes[1].disk.transactions;
    world.send(0, 3, 5);
    world.settle();
    assert!(world.nodes[1].disk.transactions > before);
    world.advance(1000);
    world.assert_quiet();
}

/// What was refused lately may work now: when there is no other route it is tried.
#[test]
fn what_is_avoided_is_tried_when_there_is_no_other_route() {
    let mut world = World::row(3, 100);
    with_stale_edges(&mut world, |world| {
        world.ask(2, Command::SetFriendOpen(name(1), Currency::default(), false));
    });
    let (id, command) = world.send(0, 2, 5);
    world.advance(20_000);
    let reason = world.payment_reply(0, command).unwrap().reason;
    assert_eq!(reason, "node1's account with the destination is closed for payments");
    assert_eq!(world.payment(0, id).progress, Progress::Failed);
    world.ask(2, Command::SetFriendOpen(name(1), Currency::default(), true));
    world.settle();
    let (id, _) = world.send(0, 2, 5);
    world.settle();
    assert_eq!(world.payment(0, id).progress, Progress::Paid);
}

/// 1 and 3 have used 60 of their account, which the index servers have not heard of.
fn with_a_fuller_line() -> World {
    let mut world = diamond(100);
    with_stale_edges(&mut world, |world| {
        let (id, _) = world.send(1, 3, 60);
        world.settle();
        assert_eq!(world.payment(1, id).progress, Progress::Paid);
    });
    world
}

/// An account that refuses says what it has left, and a part that fits goes over it.
#[test]
fn what_a_line_that_refused_has_left_is_used() {
    let mut world = with_a_fuller_line();
    let (id, _) = world.send(0, 3, 120);
    // The servers learn that our own account is free again when they are asked for the second time.
    world.advance(1000);
    let payment = world.payment(0, id);
    assert_eq!(payment.progress, Progress::Paid, "{}", payment.reason);
    let over_1 = payment.parts.values().filter(|part| part.path[0] == world.key(1));
    assert!((1..=40u128).contains(&over_1.map(|part| part.amount).sum()), "{payment:?}");
    world.assert_quiet();
}

#[test]
fn a_smaller_amount_does_not_avoid_what_was_too_large() {
    let mut world = with_a_fuller_line();
    world.send(0, 3, 50);
    world.settle();
    let goes_over_1 = |world: &mut World, amount| {
        let (id, _) = world.send(0, 3, amount);
        world.settle();
        world.payment(0, id).parts.values().any(|part| part.path[0] == world.key(1))
    };
    assert!(!goes_over_1(&mut world, 45), "it had 40 left");
    assert!(goes_over_1(&mut world, 30), "30 may fit");
}

#[test]
fn the_owner_is_told_how_much_a_line_of_others_has_left() {
    let mut world = with_a_fuller_line();
    let (_, command) = world.send(0, 3, 150);
    world.advance(20_000);
    let report = world.payment_reply(0, command).unwrap();
    assert_eq!(report.reason, "node1's account with the destination has only 40 left");
    world.assert_quiet();
}

/// Answers to nobody's question do nothing.
#[test]
fn an_answer_that_nobody_waits_for_is_ignored() {
    let mut world = diamond(100);
    let id = world.fresh_payment_id();
    world.batch(0, vec![Input::Routes(id, Ok(vec![])), Input::Routes(id, Err("why".into()))]);
    world.assert_quiet();
}
