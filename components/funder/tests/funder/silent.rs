//! Who says nothing: it is remembered, left out, and asked again.

use offst_funder::{Command, Progress};
use offst_proto::{Currency, Rate};
use offst_simulator::{World, name};

/// 0 buys from 3, over 1, which takes nothing, or over 2.
fn cheap_and_dear() -> World {
    let mut world = World::new(4, 1);
    for (a, b) in [(0, 1), (0, 2), (1, 3), (2, 3)] {
        world.befriend(a, b, 1000, 1000);
    }
    world.ask(1, Command::SetFriendRate(name(0), Currency::default(), Rate { mul: 0, add: 0.into() }));
    world.connect_all();
    world.settle();
    world
}

/// How long a payment of 0 to `to` takes, ms.
fn takes(world: &mut World, to: usize) -> u64 {
    let (id, _) = world.send(0, to, 10);
    let begun = world.time;
    for _ in 0..600 {
        world.advance(100);
        if world.payment(0, id).progress == Progress::Paid {
            return world.time - begun;
        }
    }
    panic!("{}", world.payment(0, id).reason);
}

/// The friend with the cheapest route takes requests and says nothing. It costs one payment its patience, and then
/// nobody, for ten minutes; when it is still silent then, for twice as long.
#[test]
fn a_silent_friend_costs_one_payment_its_patience() {
    let mut world = cheap_and_dear();
    assert!(takes(&mut world, 3) <= 1_000);
    assert_eq!(world.balance(1, 0), 10, "it was the cheapest route");
    world.nodes[1].is_stalled = true;
    let mut slow = Vec::new();
    let begun = world.time;
    while world.time < begun + 35 * 60_000 {
        let at = world.time - begun;
        let took = takes(&mut world, 3);
        assert!(took <= 23_000, "{took} ms");
        if took > 1_000 {
            slow.push(at / 60_000);
        }
        world.advance(60_000);
    }
    assert!(matches!(slow[..], [0, 10..=11, 30..=32]), "minutes in which somebody had to wait: {slow:?}");
    // It is asked again, and carries: that it was silent is over.
    world.nodes[1].is_stalled = false;
    world.advance(41 * 60_000);
    let before = world.balance(1, 0);
    for _ in 0..3 {
        assert!(takes(&mut world, 3) <= 1_000);
    }
    assert_eq!(world.balance(1, 0), before + 30);
    world.nodes[1].is_stalled = true;
    assert!(takes(&mut world, 3) > 20_000 && takes(&mut world, 3) <= 1_000);
    world.advance(11 * 60_000);
    assert!(takes(&mut world, 3) > 20_000, "ten minutes again");
}

/// A restart forgets it; other currencies and other friends know nothing of it; and where there is no other route it is
/// asked.
#[test]
fn a_silent_friend_is_asked_where_there_is_no_other_route() {
    let mut world = cheap_and_dear();
    world.nodes[1].is_stalled = true;
    assert!(takes(&mut world, 3) > 20_000);
    world.nodes[1].is_stalled = false;
    world.advance(1_000);
    // To the silent friend itself there is a longer path.
    assert!(takes(&mut world, 1) <= 1_000);
    assert_eq!(world.balance(1, 0), 0, "it came by the other side");
    world.disconnect(2, 3);
    world.settle();
    assert!(takes(&mut world, 3) <= 1_000);
    assert_eq!(world.balance(1, 0), 10);
}

/// Payments that are under way together learn of one silence once.
#[test]
fn payments_at_the_same_time_make_one_silence() {
    let mut world = cheap_and_dear();
    world.nodes[1].is_stalled = true;
    for _ in 0..5 {
        world.send(0, 3, 10);
        world.advance(1_000);
    }
    world.advance(10 * 60_000 + 30_000);
    assert!(takes(&mut world, 3) > 20_000, "after ten minutes it is asked again");
}

/// Somebody behind an honest friend is silent: the buyer leaves out that one, and not the honest friend before it.
#[test]
fn a_dead_path_behind_an_honest_friend_is_blamed_on_its_end() {
    // 0 - 1 - 2 - 3 - 5, where 3 is silent; 1 - 4 - 5 is dearer. 6 sells beside 2.
    let mut world = World::new(7, 1);
    for (a, b) in [(0, 1), (1, 2), (2, 3), (3, 5), (1, 4), (4, 5), (2, 6)] {
        world.befriend(a, b, 1000, 1000);
    }
    world.ask(4, Command::SetFriendRate(name(1), Currency::default(), Rate { mul: 0, add: 9.into() }));
    world.connect_all();
    world.settle();
    world.nodes[3].is_stalled = true;
    let took = takes(&mut world, 5);
    assert!((20_000..25_000).contains(&took), "{took}");
    assert_eq!(world.balance(4, 1), 19, "by the other path");
    assert!(takes(&mut world, 5) <= 1_000, "the silent one is left out");
    // Both that told of it are used as before.
    assert!(takes(&mut world, 6) <= 1_000);
    assert!(world.balance(2, 1) > 0);
}

/// A quote leaves out who was silent, as the payment will.
#[test]
fn a_quote_knows_of_the_silence() {
    let mut world = cheap_and_dear();
    world.nodes[1].is_stalled = true;
    takes(&mut world, 3);
    let order = world.order(world.spontaneous_to(3, 10));
    let ask = |world: &mut World| {
        let command = world.command(0, Command::Quote(Box::new(order.clone())));
        world.settle_but(1);
        match world.reply(0, command) {
            Some(offst_funder::Reply::Quote(quote)) => quote.routes[0].parts[0].path[0],
            reply => panic!("{reply:?}"),
        }
    };
    assert_eq!(ask(&mut world), world.key(2));
    world.disconnect(2, 3);
    world.settle_but(1);
    assert_eq!(ask(&mut world), world.key(1), "there is no other route");
}

/// Anybody who waits at a mediator waits a minute at most, whatever patience the buyer names.
#[test]
fn a_buyers_patience_ends_at_the_mediator() {
    let mut world = World::row(4, 1000);
    world.make_puppet(0);
    world.nodes[3].is_stalled = true;
    let request = offst_proto::statement::Request {
        patience_ms: 3_600_000,
        path: vec![world.key(2), world.key(3)],
        ..super::hostile::request(&mut offst_simulator::keys::Dice::new(1), 10, 2)
    };
    let statement = world.statement(0, 1, vec![offst_proto::statement::Operation::Request(Box::new(request))]);
    world.state(0, 1, statement);
    world.advance(58_000);
    assert_eq!(world.nodes[1].pendings(), 2);
    world.advance(3_000);
    assert_eq!(world.nodes[1].pendings(), 0);
}
