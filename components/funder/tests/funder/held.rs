//! What is held after the commit takes its amount and its place, and closes nothing.

use super::street::{route, street};
use offst_funder::{Command, Progress, Reply};
use offst_ledger::Direction;
use offst_proto::Amount;
use offst_proto::Currency;
use offst_proto::report::Event;
use offst_simulator::{Paths, World, name};

/// Whether `node` has committed something to `friend`.
fn has_committed(world: &World, node: usize, friend: usize) -> bool {
    let epoch = world.nodes[node].account(world.key(friend)).epoch().unwrap();
    let mut pendings = epoch.pendings();
    pendings.any(|(direction, _, pending)| direction == Direction::Outgoing && pending.stage.is_committed())
}

/// `from` pays `amount` over a route, whose last node takes the commit and does not collect.
fn hold(world: &mut World, from: usize, path: &[usize], amount: u128) {
    let [.., before, last] = *path else { panic!("a route with a mediator") };
    world.paths = route(world, path, amount);
    let mut order = world.order(world.spontaneous_to(last, amount));
    order.max_fee = Some(Amount::capped(path.len() as u128));
    world.command(from, Command::Pay(Box::new(order)));
    while !has_committed(world, before, last) {
        assert!(world.step());
    }
    world.nodes[last].is_stalled = true;
}

/// Somebody pays over a route, and it works at once.
fn pays(world: &mut World, from: usize, path: &[usize], amount: u128) {
    world.paths = route(world, path, amount);
    let to = *path.last().unwrap();
    let mut order = world.order(world.spontaneous_to(to, amount));
    order.max_fee = Some(Amount::capped(path.len() as u128));
    let id = order.payment_id;
    world.command(from, Command::Pay(Box::new(order)));
    world.advance(5_000);
    let payment = world.payment(from, id);
    assert_eq!(payment.progress, Progress::Paid, "{from} over {path:?}: {}", payment.reason);
}

fn sends(world: &World, node: usize, friend: usize) -> u128 {
    (world.edges[&(world.key(node), world.key(friend), Currency::default())].send_capacity).credits()
}

/// Who holds it was chosen by the sender: the mediators' accounts stay open for everybody, and index servers are told
/// what room is left. The owners are told all the same.
#[test]
fn one_credit_held_at_the_end_closes_no_line() {
    let mut world = street();
    hold(&mut world, 0, &[1, 2, 3, 4], 1);
    world.advance(61_000);
    for (node, friend, held) in [(1, 2, 3), (2, 3, 2), (3, 4, 1)] {
        assert_eq!(sends(&world, node, friend), 1000 - held, "{node} tells what it can send to {friend}");
        assert!(world.nodes[node].events.iter().any(|event| matches!(event, Event::Overdue { .. })));
    }
    pays(&mut world, 5, &[1, 2, 3, 6], 500);
    // Not even the pair is closed between which it is held, nor the account with the friend that holds it.
    pays(&mut world, 0, &[1, 2, 3, 6], 300);
    world.nodes[4].is_stalled = false;
    world.advance(5_000);
    pays(&mut world, 5, &[1, 2, 3, 4], 100);
}

/// The amount that is held stays held, and no more.
#[test]
fn what_is_held_takes_its_amount() {
    let mut world = street();
    hold(&mut world, 0, &[1, 2, 3, 4], 600);
    world.advance(61_000);
    world.paths = route(&world, &[1, 2, 3, 6], 500);
    let (id, _) = world.send(5, 6, 500);
    world.advance(90_000);
    assert_eq!(world.payment(5, id).progress, Progress::Failed);
    pays(&mut world, 5, &[1, 2, 3, 6], 390);
}

#[test]
fn who_writes_off_what_is_held_may_use_the_line_again() {
    let mut world = street();
    hold(&mut world, 0, &[1, 2, 3, 4], 1);
    world.advance(61_000);
    for (node, friend) in [(1, 2), (2, 3)] {
        let order = Command::WriteOff { name: name(friend), currency: Currency::default(), up_to: 10.into() };
        let reply = world.ask(node, order);
        assert!(matches!(&reply, Reply::WrittenOff(report) if report.released.count == 1), "{reply:?}");
    }
    world.settle();
    pays(&mut world, 5, &[1, 2, 3, 6], 10);
}

/// The longest route there is, and a silent seller at its end.
#[test]
fn a_chain_of_hops_is_open_to_all_others_while_its_end_holds_a_credit() {
    const LAST: usize = 32;
    let mut world = World::row(LAST + 1, 1000);
    let path: Vec<usize> = (1..=LAST).collect();
    hold(&mut world, 0, &path, 1);
    world.advance(120_000);
    for node in 0..LAST - 1 {
        assert!(sends(&world, node, node + 1) >= 900, "{node}");
        pays(&mut world, node, &[node + 1], 1);
        pays(&mut world, node + 1, &[node], 1);
    }
    pays(&mut world, 0, &path[..LAST - 1], 100);
    world.paths = Paths::Search;
    for node in 0..LAST - 2 {
        let (id, _) = world.send(node, node + 2, 5);
        world.settle();
        assert_eq!(world.payment(node, id).progress, Progress::Paid);
    }
}
