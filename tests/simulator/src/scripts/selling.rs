//! Requests that a node must refuse, and promises that it must not forget.

use super::steps::{request, step_until};
use crate::World;
use crate::keys::Dice;
use crate::world::name;
use offst_funder::Reply;
use offst_ledger::Direction;
use offst_proto::Currency;
use offst_proto::PaymentId;
use offst_proto::limits::PARTS_MAX;
use offst_proto::payment::proof;
use offst_proto::report::Event;
use offst_proto::statement::{Operation, Request};

/// How long a promise waits before it is overdue, and some more, ms.
const OVERDUE_MS: u64 = 75_000;

/// Hands over one request of a puppet's. Says whether it is pending afterwards.
fn is_taken(world: &mut World, from: usize, to: usize, request: Request) -> bool {
    let id = request.id;
    let statement = world.statement(from, to, vec![Operation::Request(Box::new(request))]);
    world.state(from, to, statement);
    world.nodes[to].account(world.key(from)).pending(Direction::Incoming, id).is_some()
}

/// An invoice in a dear currency cannot be paid with as many credits of a cheap one.
pub(super) fn another_currency() {
    let mut world = World::row(2, 1000);
    let gold: Currency = "gold".parse().expect("a name");
    for (node, friend) in [(0, 1), (1, 0)] {
        let command = world.friendship(friend, &gold, 0, 1000);
        assert_eq!(world.ask(node, command), Reply::Done);
    }
    world.connect_all();
    world.advance(1_000);
    let invoice = world.invoice_in(1, 100, &gold, None);
    world.make_puppet(0);
    let mut cheap = Request { invoice_id: Some(invoice.id), ..request(&mut Dice::new(4), vec![], 100, 0) };
    let terms = cheap.terms(world.key(1), &Currency::default());
    cheap.proof = proof(&invoice.secret, &terms);
    assert!(!is_taken(&mut world, 0, 1, cheap), "an invoice in another currency is paid with credits");
}

/// Somebody sends part after part of one payment, and commits none: a seller keeps a bounded number of them.
pub(super) fn many_parts() {
    let mut world = World::row(2, 10_000);
    world.make_puppet(0);
    let mut dice = Dice::new(1);
    let payment_id = PaymentId::random(&mut dice);
    let taken = (0..3 * PARTS_MAX).filter(|_| {
        let part = Request { payment_id, total: 1_000.into(), ..request(&mut dice, vec![], 1, 0) };
        is_taken(&mut world, 0, 1, part)
    });
    let taken = taken.count();
    assert!((PARTS_MAX..=2 * PARTS_MAX).contains(&taken), "a seller keeps {taken} parts of one payment");
}

/// A friend asks for what leads directly back to it.
pub(super) fn sent_back() {
    let mut world = World::row(2, 1000);
    world.make_puppet(0);
    let back = request(&mut Dice::new(1), vec![world.key(0)], 10, 5);
    assert!(!is_taken(&mut world, 0, 1, back), "a request is carried back to where it came from");
}

/// A friend is gone after the commit, and the mediator starts again: its owner is told all the same.
pub(super) fn overdue_again() {
    let mut world = World::row(3, 1000);
    world.send(0, 2, 100);
    step_until(&mut world, |world| world.promises_onwards().contains(&(1, 2)));
    world.settle_but(2);
    world.kill(1);
    world.nodes[1].events.clear();
    world.start(1);
    world.connect_all();
    world.advance(OVERDUE_MS);
    let friend = name(2);
    let is_told = |event: &Event| matches!(event, Event::Overdue { name, .. } if *name == friend);
    assert!(world.nodes[1].events.iter().any(is_told), "a promise of the last run is never overdue");
    world.nodes[2].is_stalled = false;
    world.advance(OVERDUE_MS);
    world.assert_quiet();
}
