//! Debt cycles: nothing is cleared that is not owed when all that is pending has ended.

use super::steps::request;
use crate::World;
use crate::keys::Dice;
use crate::world::name;
use offst_funder::{Command, Reply};
use offst_ledger::Direction;
use offst_proto::statement::{Operation, Request};
use offst_proto::{Currency, Rate, RequestId};

/// Nodes in a cycle; each owes the next so much.
fn debt_cycle(debts: &[i128]) -> World {
    let mut world = World::new(debts.len(), 5);
    for (debtor, debt) in debts.iter().enumerate() {
        let creditor = (debtor + 1) % debts.len();
        for (node, friend, balance) in [(debtor, creditor, -debt), (creditor, debtor, *debt)] {
            let command = world.friendship(friend, &Currency::default(), balance, 1000);
            assert_eq!(world.ask(node, command), Reply::Done);
        }
    }
    world.connect_all();
    world.settle();
    world
}

fn is_pending(world: &World, at: usize, from: usize, id: RequestId) -> bool {
    world.nodes[at].account(world.key(from)).pending(Direction::Incoming, id).is_some()
}

/// 1 owes 2 and is owed by 0 in a cycle of three; its debtor's account has a request under way that may make the debt
/// smaller first. Nobody gets 1's services for nothing then.
pub(super) fn what_is_pending_counts() {
    // 0 pays through 2 and 1: 2 owes 0, 1 owes 2, 0 owes 1.
    let mut world = debt_cycle(&[100, 100, 100]);
    assert_eq!(world.ask(1, Command::SetAutoClear(true)), Reply::Done);
    world.ask(1, Command::SetFriendRate(name(2), Currency::default(), Rate { mul: 0, add: 50.into() }));
    world.settle();
    world.make_puppet(0);
    // 1 has a payment of 60 under way to 0, which says nothing.
    world.send(1, 0, 60);
    world.settle();
    let held = |world: &World| world.nodes[1].account(world.key(0)).epoch().expect("it has begun").local_pending();
    assert_eq!(held(&world), 60, "a payment is under way");
    world.make_puppet(2);
    let clear = Request { clearing: true, ..request(&mut Dice::new(3), vec![world.key(0)], 80, 0) };
    let id = clear.id;
    let statement = world.statement(2, 1, vec![Operation::Request(Box::new(clear))]);
    world.state(2, 1, statement);
    assert!(!is_pending(&world, 1, 2, id), "80 of 100 are cleared for nothing although 60 of them are being paid");
}

/// 0 clears a debt cycle; before its request comes back, the friend over which it comes has asked for so much that 0
/// may owe it nothing any more.
pub(super) fn a_debt_cycle_returns_where_something_is_owed() {
    let mut world = debt_cycle(&[50, 50, 50]);
    for node in [0, 1, 2] {
        assert_eq!(world.ask(node, Command::SetAutoClear(true)), Reply::Done);
    }
    world.settle();
    world.make_puppet(1);
    world.command(0, Command::Clear { currency: Currency::default(), perform: true });
    world.settle();
    let asked = world.nodes[2].account(world.key(1)).epoch().expect("it has begun").pendings().next();
    let (_, id, _) = asked.expect("the request has come to node 2 and goes on to node 1");
    let onward = world.request_of(2, 1, id).expect("node 2 has asked for it");
    // A spontaneous payment to 0 of its friend's, which that friend may still commit.
    let spontaneous = request(&mut Dice::new(1), vec![], 30, 0);
    let home = Request { path: vec![], patience_ms: onward.patience_ms - 1_000, ..onward };
    for request in [spontaneous, home] {
        let statement = world.statement(1, 0, vec![Operation::Request(Box::new(request))]);
        world.state(1, 0, statement);
    }
    assert!(!is_pending(&world, 0, 1, id), "50 come home as cleared where only 20 may be owed");
}
