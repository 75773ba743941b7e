//! A friend has lost its key and goes on under another one.

use offst_funder::{Command, Progress, Reply};
use offst_ledger::{Direction, Status};
use offst_proto::Amount;
use offst_proto::Currency;
use offst_proto::order::{NewFriend, Purpose};
use offst_proto::payment::CancelReason;
use offst_proto::route::{PartPlan, Route};
use offst_proto::statement::Operation;
use offst_proto::ticket::FriendTicket;
use offst_simulator::{Paths, World, name};

fn ticket(world: &World, node: usize) -> FriendTicket {
    FriendTicket { public_key: world.key(node), relays: vec![], address: None }
}

/// `node` agrees that its friend `lost` goes on as `new_key`.
pub(crate) fn replace(world: &mut World, node: usize, lost: usize, new_key: usize) -> Reply {
    let ticket = ticket(world, new_key);
    world.ask(node, Command::ReplaceFriendKey(name(lost), ticket))
}

pub(crate) fn refusal(reply: Reply) -> String {
    match reply {
        Reply::Refused(message) => message,
        reply => panic!("not refused: {reply:?}"),
    }
}

/// Whether a signed commit binds `node` to `friend`.
pub(crate) fn is_bound(world: &World, node: usize, friend: usize) -> bool {
    let account = world.nodes[node].account(world.key(friend));
    let mut pendings = account.epoch().into_iter().flat_map(|epoch| epoch.pendings());
    pendings.any(|(direction, id, _)| direction == Direction::Outgoing && account.is_bound(id))
}

/// The node `new_key` adds `friend` with this balance.
pub(crate) fn add(world: &mut World, new_key: usize, friend: usize, balance: i128) {
    let new = NewFriend {
        name: name(friend),
        ticket: ticket(world, friend),
        balance,
        currency: Currency::default(),
        max_debt: 1000.into(),
        open: true,
    };
    assert_eq!(world.ask(new_key, Command::AddFriend(Box::new(new))), Reply::Done);
    world.connect_all();
    world.advance(1000);
}

/// 0 - 1 - 2, where 2 is owed 100; 3 is the new key of 2.
pub(crate) fn indebted() -> World {
    let mut world = World::new(4, 11);
    world.befriend(0, 1, 1000, 1000);
    world.befriend(1, 2, 1000, 1000);
    world.connect_all();
    world.settle();
    let (id, _) = world.send(0, 2, 100);
    world.settle();
    world.advance(2000);
    assert_eq!(world.payment(0, id).progress, Progress::Paid);
    assert_eq!(world.balance(1, 2), -100);
    world
}

// R7.24.
#[test]
fn the_account_goes_on_with_the_new_key() {
    let mut world = indebted();
    world.kill(2);
    assert_eq!(replace(&mut world, 1, 2, 3), Reply::Done);
    add(&mut world, 3, 1, 100);
    assert!(world.is_consistent(1, 3));
    assert_eq!(world.balance(1, 3), -100);
    // The limits and the name are those that the owner has set for the friend.
    let (id, _) = world.send(0, 3, 50);
    world.settle();
    assert_eq!(world.payment(0, id).progress, Progress::Paid);
    assert_eq!(world.balance(3, 1), 150);
    let Reply::KeyReplacements(replacements) = world.ask(1, Command::KeyReplacements) else { panic!() };
    let [replacement] = &replacements[..] else { panic!("{replacements:?}") };
    assert_eq!((replacement.lost, replacement.new_key), (world.key(2), world.key(3)));
    assert_eq!(replacement.accounts.iter().map(|account| account.balance).collect::<Vec<_>>(), [-100]);
    let again = offst_proto::Unverified::<offst_proto::key_replacement::KeyReplacement>::from_wire(replacement.wire());
    assert!(again.unwrap().verify(world.verifier()).is_ok());
}

/// Anybody who finds the old disk cannot use it: the key is no friend's any more, and never again.
/// (R7.26.)
#[test]
fn the_lost_key_is_worth_nothing() {
    let mut world = indebted();
    assert_eq!(replace(&mut world, 1, 2, 3), Reply::Done);
    world.connect_all();
    world.advance(5000);
    assert!(!world.is_connected(1, 2));
    let new = NewFriend {
        name: "thief".into(),
        ticket: ticket(&world, 2),
        balance: 0,
        currency: Currency::default(),
        max_debt: 0.into(),
        open: false,
    };
    let message = refusal(world.ask(1, Command::AddFriend(Box::new(new))));
    assert!(message.contains("was lost"), "{message}");
    let message = refusal(replace(&mut world, 1, 0, 2));
    assert!(message.contains("was lost"), "{message}");
    // The same after a restart.
    world.kill(1);
    world.start(1);
    let message = refusal(replace(&mut world, 1, 0, 2));
    assert!(message.contains("was lost"), "{message}");
}

#[test]
fn other_keys_are_not_taken_by_mistake() {
    let mut world = indebted();
    assert!(refusal(replace(&mut world, 1, 2, 2)).contains("already"));
    assert!(refusal(replace(&mut world, 1, 2, 1)).contains("own ticket"));
    assert!(refusal(replace(&mut world, 1, 2, 0)).contains("another friend"));
    assert!(refusal(replace(&mut world, 1, 3, 2)).contains("no friend"));
    assert!(world.is_consistent(1, 2));
}

/// Different opinions of the balance are settled by people, as always.
#[test]
fn a_new_key_that_remembers_another_balance_may_accept_ours() {
    let mut world = indebted();
    world.kill(2);
    assert_eq!(replace(&mut world, 1, 2, 3), Reply::Done);
    add(&mut world, 3, 1, 500);
    assert!(matches!(world.nodes[1].account(world.key(3)).status(), Status::Inconsistent { .. }));
    assert_eq!(world.ask(3, world.reset(1)), Reply::Done);
    world.advance(1000);
    assert!(world.is_consistent(1, 3));
    assert_eq!(world.balance(3, 1), 100);
}

/// 0 pays 2 over 1 and has committed; 2 dies before it collects.
pub(crate) fn committed_and_lost() -> (World, offst_proto::PaymentId) {
    let mut world = indebted();
    let invoice = world.invoice(2, 70);
    let (id, _) = world.pay(0, &invoice);
    while world.payment(0, id).progress != Progress::Committed || !is_bound(&world, 1, 2) {
        assert!(world.step());
    }
    world.kill(2);
    world.advance(500);
    (world, id)
}

#[test]
fn what_we_have_committed_binds_us_until_the_friend_has_agreed_without_it() {
    let (mut world, id) = committed_and_lost();
    assert_eq!(replace(&mut world, 1, 2, 3), Reply::Done);
    // No timer, no restart and no broken connection releases it: our Opening offers it.
    world.advance(200_000);
    world.kill(1);
    world.start(1);
    world.connect_all();
    world.advance(200_000);
    assert_eq!(world.payment(0, id).progress, Progress::Committed);
    // The new key has lost everything, and settles for the balance alone; both owners agree.
    add(&mut world, 3, 1, 100);
    assert!(matches!(world.nodes[1].account(world.key(3)).status(), Status::Inconsistent { .. }));
    let command = Command::ResetFriend(name(2), Currency::default());
    assert_eq!(world.ask(1, command), Reply::Done);
    world.advance(5000);
    assert_eq!(world.payment(0, id).progress, Progress::Failed);
    assert_eq!((world.balance(1, 3), world.balance(0, 1)), (-100, -101));
    world.advance(10_000);
    world.kill(2);
    world.assert_quiet();
}

#[test]
fn a_new_key_that_accepts_what_continues_and_cannot_collect_it_releases_it() {
    let (mut world, id) = committed_and_lost();
    assert_eq!(replace(&mut world, 1, 2, 3), Reply::Done);
    add(&mut world, 3, 1, 100);
    assert_eq!(world.ask(3, world.reset(1)), Reply::Done);
    world.advance(5000);
    assert!(world.is_consistent(1, 3));
    assert_eq!(world.payment(0, id).progress, Progress::Failed);
    assert_eq!(world.balance(1, 3), -100);
    world.assert_quiet();
}

/// What a friend has committed can be collected under its old key only: losing sight of it would cost us.
/// (R7.25.)
#[test]
fn what_the_friend_has_committed_is_waited_for() {
    let mut world = indebted();
    let invoice = world.invoice(0, 30);
    let (id, _) = world.pay(2, &invoice);
    while !is_bound(&world, 1, 0) {
        assert!(world.step());
    }
    let message = refusal(replace(&mut world, 1, 2, 3));
    assert!(message.contains("still in flight"), "{message}");
    world.settle();
    assert_eq!(world.payment(2, id).progress, Progress::Paid);
    let before = world.balance(1, 2);
    assert_eq!(replace(&mut world, 1, 2, 3), Reply::Done);
    add(&mut world, 3, 1, -before);
    assert_eq!(world.balance(1, 3), before);
}

/// The lost node had sent one payment around a cycle and another the opposite way: each friend waits for the other.
/// When one of them gives its account up, everything ends, and nobody has lost anything.
#[test]
fn payments_around_opposite_ways_through_a_lost_key_end_when_one_friend_gives_it_up() {
    let mut world = World::new(4, 11);
    for (a, b) in [(0, 1), (1, 2), (0, 2)] {
        world.befriend(a, b, 1000, 1000);
    }
    world.connect_all();
    world.settle();
    world.advance(2000);
    let ids = [1, 2].map(|friend| {
        let purpose = Purpose::Rebalance { friend: name(friend), currency: Currency::default(), amount: 50.into() };
        let order = world.order(purpose);
        let id = order.payment_id;
        world.command(0, Command::Pay(Box::new(order)));
        id
    });
    while ids.iter().any(|id| world.payment(0, *id).progress != Progress::Committed) {
        assert!(world.step());
    }
    world.settle_but(0);
    assert!(is_bound(&world, 1, 0) && is_bound(&world, 2, 0), "each holds the last step of one payment");
    world.kill(0);
    world.advance(200_000);
    for friend in [1, 2] {
        assert!(refusal(replace(&mut world, friend, 0, 3)).contains("each waits for the other"));
    }
    assert_eq!(world.ask(1, Command::RemoveFriend { name: name(0), force: true, forgive: true }), Reply::Done);
    world.advance(5000);
    assert_eq!(replace(&mut world, 2, 0, 3), Reply::Done);
    add(&mut world, 3, 2, 0);
    assert_eq!(world.ask(3, world.reset(2)), Reply::Done);
    world.advance(5000);
    add(&mut world, 3, 1, 0);
    add(&mut world, 1, 3, 0);
    world.advance(5000);
    assert!(world.is_consistent(1, 3) && world.is_consistent(2, 3) && world.is_consistent(1, 2));
    assert_eq!((world.nodes[1].wealth(), world.nodes[2].wealth(), world.nodes[3].wealth()), (0, 0, 0));
    world.assert_quiet();
}

#[test]
fn what_was_agreed_outlives_the_process() {
    let mut world = indebted();
    assert_eq!(replace(&mut world, 1, 2, 3), Reply::Done);
    world.kill(1);
    world.start(1);
    add(&mut world, 3, 1, 100);
    assert_eq!(world.balance(3, 1), 100);
}

/// 0 pays `to` over 1, in one part.
fn ask_for(world: &mut World, to: usize, amount: u128) -> offst_proto::PaymentId {
    let path = vec![world.key(1), world.key(to)];
    world.paths = Paths::Given(
        [vec![Route { parts: vec![PartPlan { path, amount: Amount::capped(amount), fees: 1.into() }] }]].into(),
    );
    world.send(0, to, amount).0
}

/// The only part of a payment of 0.
fn committed(world: &World, id: offst_proto::PaymentId) -> offst_proto::RequestId {
    *world.payment(0, id).parts.keys().next().expect("it has a part")
}

fn held(world: &World, friend: usize) -> u128 {
    world.nodes[1].account(world.key(friend)).epoch().map_or(0, |epoch| epoch.local_pending())
}

/// How much one friend may hold at another is bounded; what is held when the other's key is replaced still counts.
#[test]
fn what_is_held_counts_against_the_same_bound_under_the_new_key() {
    let mut world = World::new(4, 11);
    world.befriend(0, 1, 10_000, 10_000);
    world.befriend(1, 2, 1000, 1000);
    world.connect_all();
    world.settle();
    // Twice 0 lets a response wait: from now on it may hold half of an account.
    for _ in 0..2 {
        let id = ask_for(&mut world, 2, 600);
        while held(&world, 2) == 0 {
            assert!(world.step());
        }
        world.settle_but(0);
        world.advance(30_000);
        world.nodes[0].is_stalled = false;
        world.command(0, Command::CancelPayment(id));
        world.advance(10_000);
    }
    assert_eq!(held(&world, 2), 0);
    let id = ask_for(&mut world, 2, 400);
    while world.payment(0, id).progress != Progress::Committed || !is_bound(&world, 1, 2) {
        assert!(world.step());
    }
    world.kill(2);
    world.settle();
    assert_eq!(held(&world, 2), 400);
    assert_eq!(replace(&mut world, 1, 2, 3), Reply::Done);
    add(&mut world, 3, 1, 0);
    assert_eq!(world.ask(3, world.reset(1)), Reply::Done);
    // 3 has accepted what continues, lets 1 owe it as much as 2 did, and says nothing else.
    world.make_puppet(3);
    world.settle();
    let limit = world.statement(3, 1, vec![Operation::SetLimit(1000.into()), Operation::SetOpen(true)]);
    world.state(3, 1, limit);
    world.settle();
    assert_eq!(held(&world, 3), 400);
    ask_for(&mut world, 3, 200);
    world.settle();
    assert_eq!(held(&world, 3), 400, "600 are more than half of 1000");
    let small = ask_for(&mut world, 3, 50);
    world.settle();
    assert_eq!(held(&world, 3), 450, "{}", world.payment(0, small).reason);
    // When it ends, what is held under the new key has ended.
    let cancel = Operation::Cancel { id: committed(&world, id), reason: CancelReason::Offline, hop: world.key(3) };
    let statement = world.statement(3, 1, vec![cancel]);
    world.state(3, 1, statement);
    world.settle();
    assert_eq!(held(&world, 3), 50);
}
