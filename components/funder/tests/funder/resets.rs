//! Accepting a friend's terms costs no more than the two balances show.

use super::handover::incoming;
use super::succession::{indebted, is_bound, refusal};
use offst_funder::{Input, Reply};
use offst_proto::friend::Resume;
use offst_proto::opening::Opening;
use offst_proto::{Currency, Unverified, Verified};
use offst_simulator::World;

/// 2 has committed 30 to 1, which has carried them on, says that it has lost its disk, and shows nothing. Then 0 has collected
/// from 1, and 1 from 2 as soon as there is an epoch again.
fn collected_from_a_friend_that_has_lost_its_disk() -> World {
    let mut world = indebted();
    let invoice = world.invoice(0, 30);
    let (_, _) = world.pay(2, &invoice);
    while !is_bound(&world, 1, 0) {
        assert!(world.step());
    }
    world.nodes[0].is_frozen = true;
    world.disconnect(1, 2);
    world.settle();
    world.make_puppet(2);
    world.connect(1, 2);
    let connected = world.take_inputs(2, 1);
    assert!(connected.iter().any(|input| matches!(input, Input::Connected(..))));
    world.batch(1, connected);
    world.resume(2, 1, resume(None));
    assert!(world.nodes[1].account(world.key(2)).active().is_none());
    world.nodes[0].is_frozen = false;
    world.connect_all();
    world.advance(5000);
    assert_eq!(incoming(&world, 1, 2), 1);
    assert_eq!(world.nodes[1].account(world.key(0)).epoch().unwrap().pendings().count(), 0, "0 has collected");
    world
}

fn resume(opening: Option<Unverified<Opening>>) -> Resume {
    Resume { currency: Currency::default(), opening, epoch: None, recovering: true }
}

/// 2 shows terms with this balance, from the side of 1, and nothing that continues; the owner of 1 accepts them.
fn reset(world: &mut World, balance: i128) -> Reply {
    let mine = world.nodes[1].account(world.key(2)).negotiation().mine.clone().unwrap();
    let theirs = Opening {
        author: world.key(2),
        other: world.key(1),
        currency: Currency::default(),
        epoch: mine.epoch + 1,
        balance: -balance,
        continuing: vec![],
        accepts: None,
    };
    let theirs = Verified::sign(theirs, world.signer(2));
    world.resume(2, 1, resume(Some(Unverified::from_wire(theirs.wire()).unwrap())));
    world.ask(1, world.reset(2))
}

#[test]
fn terms_that_leave_out_what_was_collected_while_the_friend_was_lost_are_refused() {
    let mut world = collected_from_a_friend_that_has_lost_its_disk();
    let before = world.balance(1, 2);
    for less in [0, 1, 10_000] {
        let sentence = refusal(reset(&mut world, before - less));
        assert!(sentence.contains("leave them out"), "{sentence}");
        // The friend signs one Opening for an epoch, and the next one is for a higher one.
        world = collected_from_a_friend_that_has_lost_its_disk();
    }
    // Nothing is wrong with terms that pay for it.
    assert_eq!(reset(&mut world, before + 31), Reply::Done);
    assert_eq!(world.balance(1, 2), before + 31);
}
