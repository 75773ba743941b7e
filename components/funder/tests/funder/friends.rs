//! Adding, disabling, removing and resetting friends.

use offst_crypto::Identity;
use offst_funder::{Command, Progress, Reply};
use offst_ledger::Status;
use offst_proto::limits::RELAYS_MAX;
use offst_proto::order::NewFriend;
use offst_proto::report::AccountStatus;
use offst_proto::ticket::{FriendTicket, ServerTicket};
use offst_proto::{Amount, Currency, PaymentId};
use offst_simulator::{World, name};

fn disable(friend: usize, force: bool) -> Command {
    Command::DisableFriend { name: name(friend), force }
}

fn remove(friend: usize, force: bool, forgive: bool) -> Command {
    Command::RemoveFriend { name: name(friend), force, forgive }
}

fn refusal(reply: Option<Reply>) -> String {
    match reply {
        Some(Reply::Refused(message)) => message,
        reply => panic!("not refused: {reply:?}"),
    }
}

/// 0 pays 2 through 1, and the seller has not answered yet.
fn half_done() -> (World, PaymentId) {
    let mut world = World::row(3, 1000);
    let invoice = world.invoice(2, 100);
    let (id, _) = world.pay(0, &invoice);
    world.settle_but(2);
    (world, id)
}

#[test]
fn a_friend_is_disabled_when_what_is_pending_has_ended() {
    let (mut world, id) = half_done();
    let first = world.command(1, disable(2, false));
    let second = world.command(1, disable(2, false));
    world.settle();
    assert_eq!((world.reply(1, first), world.reply(1, second)), (None, None));
    // Nothing new goes there, and nothing comes from there.
    let (other, _) = world.send(1, 2, 5);
    world.settle();
    world.advance(2_000);
    assert_eq!(world.payment(1, other).progress, Progress::Failed);
    world.nodes[2].is_stalled = false;
    let (other, _) = world.send(2, 1, 5);
    world.settle();
    world.advance(2_000);
    assert_eq!(world.payment(2, other).progress, Progress::Failed);
    world.advance(1000);
    assert_eq!(world.payment(0, id).progress, Progress::Paid);
    assert_eq!((world.reply(1, first), world.reply(1, second)), (Some(Reply::Done), Some(Reply::Done)));
    assert!(!world.is_connected(1, 2));
    assert_eq!(world.ask(1, disable(2, false)), Reply::Done);
    world.advance(1000);
    // Both sides have seen the same: enabled again they go on without anybody's help.
    assert_eq!(world.ask(1, Command::EnableFriend(name(2))), Reply::Done);
    world.connect_all();
    world.advance(1000);
    world.assert_quiet();
    let (id, _) = world.send(0, 2, 100);
    world.settle();
    assert_eq!(world.payment(0, id).progress, Progress::Paid);
    assert_eq!(world.balance(2, 1), 200);
}

/// The drain waits for the acknowledgement of the last Collect: otherwise the two sides would go on with different
/// balances.
#[test]
fn a_drain_waits_until_the_friend_knows_how_requests_ended() {
    let mut world = World::row(2, 1000);
    let (id, _) = world.send(0, 1, 10);
    while world.nodes[1].wealth() == 0 {
        assert!(world.step());
    }
    // Node 1 has just collected, node 0 knows nothing of it, and never will over this connection.
    world.disconnect(0, 1);
    let command = world.command(1, disable(0, false));
    world.advance(10_000);
    assert_eq!(world.reply(1, command), None);
    world.connect_all();
    world.advance(1000);
    assert_eq!(world.reply(1, command), Some(Reply::Done));
    assert_eq!(world.payment(0, id).progress, Progress::Paid);
    world.ask(1, Command::EnableFriend(name(0)));
    world.connect_all();
    world.advance(1000);
    world.assert_quiet();
}

#[test]
fn a_drain_that_is_called_off_answers_whoever_waits() {
    let (mut world, id) = half_done();
    let disabling = world.command(1, disable(2, false));
    let removing = world.command(1, remove(2, false, true));
    assert!(refusal(world.reply(1, disabling)).contains("later command"));
    let currency: Currency = "hours".parse().unwrap();
    let command = world.friendship(2, &currency, 0, 5);
    let adding = world.command(1, command);
    assert!(refusal(world.reply(1, adding)).contains("wait until it is done"));
    assert_eq!(world.ask(1, Command::EnableFriend(name(2))), Reply::Done);
    assert!(refusal(world.reply(1, removing)).contains("enabled again"));
    world.nodes[2].is_stalled = false;
    world.advance(1000);
    assert_eq!(world.payment(0, id).progress, Progress::Paid);
    world.assert_quiet();
}

#[test]
fn disabled_by_force_what_is_not_committed_ends_at_once() {
    for victim in [0, 2] {
        let (mut world, id) = half_done();
        assert_eq!(world.ask(1, disable(victim, true)), Reply::Done);
        world.settle();
        assert_eq!(world.nodes[1].disk.underway(), 0);
        world.nodes[2].is_stalled = false;
        world.advance(20_000);
        assert_eq!(world.payment(0, id).progress, Progress::Failed);
        world.ask(1, Command::EnableFriend(name(victim)));
        world.connect_all();
        world.advance(20_000);
        world.assert_quiet();
        assert!(world.nodes.iter().all(|node| node.wealth() == 0));
    }
}

#[test]
fn a_friend_with_debts_is_removed_only_when_they_are_forgiven() {
    let mut world = World::row(2, 1000);
    world.send(0, 1, 10);
    world.advance(1000);
    assert!(refusal(Some(world.ask(0, remove(1, false, false)))).contains("--forgive"));
    assert_eq!(world.ask(0, remove(1, false, true)), Reply::Done);
    let Reply::Friends(friends) = world.ask(0, Command::Friends) else { panic!() };
    assert!(friends.is_empty());
    assert!(refusal(Some(world.ask(0, remove(1, false, true)))).contains("no friend named"));
    // After a restart it is still gone.
    world.kill(0);
    world.start(0);
    let Reply::Friends(friends) = world.ask(0, Command::Friends) else { panic!() };
    assert!(friends.is_empty());
}

/// A payment that is under way when the owner asks decides the balance, also when the process dies before it has ended.
/// (R1.35.)
#[test]
fn a_friend_whose_last_payment_leaves_a_balance_is_not_removed() {
    for dies in [false, true] {
        for forgive in [false, true] {
            let (mut world, id) = half_done();
            let removing = world.command(1, remove(2, false, forgive));
            world.settle();
            assert_eq!(world.reply(1, removing), None, "the balance is 0 yet");
            while world.nodes[1]
                .account(world.key(2))
                .epoch()
                .unwrap()
                .pendings()
                .all(|(.., p)| !p.stage.is_committed())
            {
                assert!(world.step() || std::mem::take(&mut world.nodes[2].is_stalled));
            }
            if dies {
                world.kill(1);
                world.start(1);
                world.connect_all();
            }
            world.advance(5000);
            assert_eq!(world.payment(0, id).progress, Progress::Paid);
            let Reply::Friends(friends) = world.ask(1, Command::Friends) else { panic!() };
            let is_kept = friends.iter().any(|friend| friend.name == name(2) && !friend.enabled);
            assert_eq!(is_kept, !forgive);
            match world.reply(1, removing) {
                None => assert!(dies),
                Some(reply) if forgive => assert_eq!(reply, Reply::Done),
                Some(reply) => {
                    let message = refusal(Some(reply));
                    assert!(message.contains("-100 in credit") && message.contains("enable-friend"), "{message}");
                }
            }
            if is_kept {
                assert!(refusal(Some(world.ask(1, remove(2, false, false)))).contains("-100 in credit"));
                assert_eq!(world.ask(1, Command::EnableFriend(name(2))), Reply::Done);
                world.connect_all();
                world.advance(1000);
                world.assert_quiet();
                assert_eq!(world.balance(1, 2), -100);
            }
        }
    }
}

/// The second owner adds a currency over a connection that is there already: the one that has to decide sees both
/// terms.
#[test]
fn owners_who_add_different_balances_while_they_are_connected_see_both() {
    let mut world = World::row(2, 1000);
    let hours: Currency = "hours".parse().unwrap();
    for (node, balance) in [(0, 7), (1, 0)] {
        assert_eq!(world.ask(node, world.friendship(1 - node, &hours, balance, 5)), Reply::Done);
        world.settle();
    }
    for (node, balances) in [(0, (7, 0)), (1, (0, -7))] {
        let status = world.nodes[node].account_in(world.key(1 - node), &hours).status();
        let Status::Inconsistent { mine, theirs: Some(theirs), .. } = status else { panic!("{status:?}") };
        assert_eq!((mine.balance, theirs.balance), balances);
    }
    assert_eq!(world.ask(1, Command::ResetFriend(name(0), hours.clone())), Reply::Done);
    world.settle();
    assert_eq!(world.nodes[0].account_in(world.key(1), &hours).status(), Status::Consistent);
}

/// A removed friend leaves the number of its last epoch behind: the account begins above it, and the old one cannot be
/// replayed.
#[test]
fn a_removed_friend_can_be_added_again() {
    let mut world = World::row(2, 1000);
    world.send(0, 1, 10);
    world.advance(1000);
    assert_eq!(world.ask(0, remove(1, false, true)), Reply::Done);
    let command = world.friendship(1, &Currency::default(), 0, 1000);
    assert_eq!(world.ask(0, command), Reply::Done);
    world.connect_all();
    world.advance(1000);
    // The other side still has the old balance: people settle it.
    let status = world.nodes[1].account(world.key(0)).status();
    assert!(
        matches!(&status, Status::Inconsistent { mine, theirs: Some(theirs), .. }
        if mine.balance == 10 && theirs.balance == 0),
        "{status:?}"
    );
    let Reply::Friends(friends) = world.ask(1, Command::Friends) else { panic!() };
    assert!(matches!(
        friends[0].accounts[0].status,
        AccountStatus::Inconsistent { local_balance: 10, remote_balance: Some(0), .. }
    ));
    assert_eq!(world.ask(1, world.reset(0)), Reply::Done);
    world.advance(1000);
    world.assert_quiet();
    assert_eq!(world.balance(0, 1), 0);
    let (id, _) = world.send(1, 0, 10);
    world.settle();
    assert_eq!(world.payment(1, id).progress, Progress::Paid);
    assert!(refusal(Some(world.ask(1, world.reset(0)))).contains("nothing to reset"));
}

/// Removed by force while a committed request is pending: the upstream is released.
#[test]
fn a_friend_removed_by_force_releases_the_upstream() {
    let mut world = World::row(3, 1000);
    let invoice = world.invoice(2, 100);
    let (id, _) = world.pay(0, &invoice);
    while world.nodes[1].account(world.key(2)).epoch().unwrap().pendings().all(|(.., p)| !p.stage.is_committed()) {
        assert!(world.step());
    }
    world.settle_but(2);
    let waits = world.command(1, remove(2, false, false));
    assert_eq!(world.reply(1, waits), None);
    assert_eq!(world.ask(1, remove(2, true, false)), Reply::Done);
    assert_eq!(world.reply(1, waits), Some(Reply::Done));
    world.settle();
    assert_eq!((world.nodes[1].pendings(), world.nodes[1].disk.underway()), (0, 0));
    let payment = world.payment(0, id);
    assert_eq!(
        (payment.progress, payment.reason.as_str()),
        (Progress::Searching, "the account between node1 and the seller was stopped or reset")
    );
    world.advance(60_000);
    assert_eq!(world.payment(0, id).progress, Progress::Failed);
    assert_eq!((world.nodes[0].wealth(), world.nodes[1].wealth()), (0, 0));
}

/// A committed request continues after a reset, and is collected in the new epoch.
/// (R1.34.)
#[test]
fn a_committed_request_survives_a_reset() {
    let mut world = World::row(3, 1000);
    let invoice = world.invoice(2, 100);
    let (id, _) = world.pay(0, &invoice);
    // The seller collects; its friend hears nothing of it before the account stops at both ends.
    while world.nodes[2].wealth() == 0 {
        assert!(world.step());
    }
    world.disconnect(1, 2);
    world.settle();
    world.connect_all();
    while !world.nodes[1].account(world.key(2)).is_resumed() {
        assert!(world.step());
    }
    world.slander(2, 1);
    world.advance(1000);
    if !world.is_consistent(1, 2) {
        // The seller has shown the proof, so its terms take nothing that nobody pays for.
        assert_eq!(world.payment(0, id).progress, Progress::Paid);
        assert_eq!(world.ask(1, world.reset(2)), Reply::Done);
    }
    world.advance(1000);
    assert_eq!(world.payment(0, id).progress, Progress::Paid);
    world.assert_quiet();
    assert_eq!(world.nodes[2].wealth(), 100);
}

#[test]
fn commands_are_answered_with_reasons() {
    let mut world = World::new(3, 1);
    let ticket = |world: &World, index| FriendTicket { public_key: world.key(index), relays: vec![], address: None };
    let new = |world: &World, index, called: &str| NewFriend {
        name: called.into(),
        ticket: ticket(world, index),
        balance: 0,
        currency: Currency::default(),
        max_debt: 10.into(),
        open: true,
    };
    let add = |new| Command::AddFriend(Box::new(new));
    assert_eq!(world.ask(0, add(new(&world, 1, "bob"))), Reply::Done);
    let bob = || "bob".to_owned();
    for (command, message) in [
        (add(new(&world, 0, "me")), "own ticket"),
        (add(new(&world, 1, "bob")), "already"),
        (add(new(&world, 1, "rob")), "named \"bob\" already"),
        (add(new(&world, 2, "bob")), "another friend"),
        (add(new(&world, 2, "")), "1 to 64 bytes"),
        (add(new(&world, 2, &"x".repeat(65))), "1 to 64 bytes"),
        (add(new(&world, 2, "a\u{7}")), "control"),
        (add(NewFriend { balance: i128::MIN, ..new(&world, 2, "dave") }), "2^96"),
        (Command::RenameFriend("eve".into(), "x".into()), "no friend named \"eve\""),
        (Command::RenameFriend(bob(), bob()), "already"),
        (Command::EnableFriend("eve".into()), "no friend named"),
        (Command::SetFriendOpen(bob(), "hours".parse().unwrap(), true), "no account in hours"),
        (Command::SetFriendContact(bob(), ticket(&world, 2)), "another key"),
        (Command::ResetFriend(bob(), Currency::default()), "has not shown its terms"),
        (Command::RemoveRelay("r".into()), "no relay named"),
        (Command::RemoveIndex("i".into()), "no index server named"),
    ] {
        let message_given = refusal(Some(world.ask(0, command)));
        assert!(message_given.contains(message), "{message_given}");
    }
    assert_eq!(world.ask(0, Command::RenameFriend(bob(), "Robert".into())), Reply::Done);
    assert_eq!(world.ask(0, Command::EnableFriend("Robert".into())), Reply::Done);
}

#[test]
fn a_node_with_many_relays_names_as_many_as_a_ticket_holds() {
    let mut world = World::new(1, 1);
    for number in 0..=RELAYS_MAX {
        let public_key = Identity::from_seed([100 + number as u8; 32]).public_key();
        let ticket = ServerTicket { public_key, address: "127.0.0.1:1".parse().unwrap() };
        assert_eq!(world.ask(0, Command::AddRelay(format!("more{number}"), ticket)), Reply::Done);
    }
    let Reply::Contact(contact) = world.ask(0, Command::Contact) else { panic!("another reply") };
    assert_eq!(contact.relays.len(), RELAYS_MAX);
}

/// An announcement holds an amount. What a debt and the largest limit come to together is announced as the largest one.
#[test]
fn more_room_than_an_amount_is_announced_as_the_largest_amount() {
    let mut world = World::new(2, 1);
    for (node, friend, balance) in [(0, 1, 100), (1, 0, -100)] {
        let command = world.friendship(friend, &Currency::default(), balance, Amount::MAX.credits());
        assert_eq!(world.ask(node, command), Reply::Done);
    }
    world.connect_all();
    world.settle();
    let announced = |from: usize, to: usize| {
        let edge = &world.edges[&(world.key(from), world.key(to), Currency::default())];
        (edge.send_capacity, edge.receive_capacity)
    };
    let less = Amount::new(Amount::MAX.credits() - 100).unwrap();
    assert_eq!((announced(0, 1), announced(1, 0)), ((Amount::MAX, less), (less, Amount::MAX)));
}
