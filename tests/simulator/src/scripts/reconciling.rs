//! After a loss requests find each other again by id, lock and amount. Ids are chosen by those who ask, so that two
//! requests under one id may be under way over one node.

use super::steps::step_until;
use crate::World;
use crate::world::observed::Loss;
use crate::world::sources::Paths;
use offst_crypto::{HashLock, Nonce};
use offst_ledger::Direction;
use offst_proto::Amount;
use offst_proto::payment::{PartTerms, Response};
use offst_proto::route::{PartPlan, Route};
use offst_proto::statement::{Answer, Operation};
use offst_proto::{Currency, PaymentId, RequestId, Verified};

/// The node in the middle, which loses its disk.
const MIDDLE: usize = 0;
/// Its friends: two buyers, and two that forward to a seller each.
const BUYERS: [usize; 2] = [1, 2];
const CARRIERS: [usize; 2] = [3, 4];
/// How long something takes to be settled by itself, ms.
const A_WHILE_MS: u64 = 120_000;
/// Long enough for an account to come back, ms.
const A_BLINK_MS: u64 = 300;
/// Less than a seller waits for the promise of a buyer's, ms.
const A_MOMENT_MS: u64 = 5_000;
/// What the two mediators of each payment take.
const FEES: u128 = 2;

fn seller_of(carrier: usize) -> usize {
    carrier + 2
}

/// Two that are known by nothing but their keys: the one with the smaller key first.
fn by_key(world: &World, mut pair: [usize; 2]) -> [usize; 2] {
    pair.sort_by_key(|node| world.key(*node));
    pair
}

fn testnet() -> World {
    let mut world = World::new(7, 1);
    for friend in BUYERS.into_iter().chain(CARRIERS) {
        world.befriend(MIDDLE, friend, 10_000, 10_000);
    }
    for carrier in CARRIERS {
        world.befriend(carrier, seller_of(carrier), 10_000, 10_000);
    }
    world.connect_all();
    world.advance(5_000);
    // Both buyers draw the same ids.
    world.draw_alike(&BUYERS, 77);
    world
}

/// A buyer pays the seller behind a carrier.
fn pay(world: &mut World, buyer: usize, carrier: usize, amount: u128) -> PaymentId {
    let path = [MIDDLE, carrier, seller_of(carrier)].map(|node| world.key(node)).to_vec();
    let parts = vec![PartPlan { path, amount: Amount::capped(amount), fees: Amount::capped(FEES) }];
    world.paths = Paths::Given([vec![Route { parts }]].into());
    world.send(buyer, seller_of(carrier), amount).0
}

/// What a carrier has asked its seller for: which request, and, once it is answered, under which lock.
fn asked(world: &World, carrier: usize) -> Option<(RequestId, Option<HashLock>)> {
    let epoch = world.nodes[carrier].account(world.key(seller_of(carrier))).epoch()?;
    let mut pendings = epoch.pendings().filter(|(direction, ..)| *direction == Direction::Outgoing);
    pendings.next().map(|(_, id, pending)| (id, pending.stage.lock()))
}

/// The seller has answered, receives nothing more, and everybody before it commits.
fn answer_and_stand_still(world: &mut World, carrier: usize) -> (RequestId, HashLock) {
    step_until(world, |world| asked(world, carrier).is_some_and(|(_, lock)| lock.is_some()));
    world.settle_but(seller_of(carrier));
    let (id, lock) = asked(world, carrier).expect("it was just there");
    assert!(is_bound(world, carrier, id), "node {MIDDLE} has promised to pay node {carrier}");
    (id, lock.expect("it was just there"))
}

fn is_bound(world: &World, carrier: usize, id: RequestId) -> bool {
    let account = world.nodes[MIDDLE].account(world.key(carrier));
    account.is_bound(id) && account.pending(Direction::Outgoing, id).is_some_and(|pending| pending.stage.is_committed())
}

/// `first`: friends that are back before the others, in this order.
fn lose_everything(world: &mut World, first: &[usize]) {
    let friends = [BUYERS, CARRIERS].concat();
    world.lose(MIDDLE, &friends, Loss::Everything);
    world.start(MIDDLE);
    for friend in first {
        world.connect(MIDDLE, *friend);
        world.advance(A_BLINK_MS);
    }
    world.connect_all();
    world.advance(A_MOMENT_MS);
    for friend in friends {
        assert!(world.is_consistent(MIDDLE, friend), "the account with node {friend} comes back");
    }
}

fn assert_nothing_lost(world: &World) {
    let wealth = world.nodes[MIDDLE].wealth();
    assert!(wealth >= 0, "the node in the middle has lost {}: requests were tied together that are two", -wealth);
}

/// Two payments under one id over one node, with different locks.
pub(super) fn by_lock() {
    for carriers in [[3, 4], [4, 3]] {
        let mut world = testnet();
        let mut locks = Vec::new();
        for (buyer, carrier) in BUYERS.into_iter().zip(carriers) {
            pay(&mut world, buyer, carrier, 100);
            locks.push(answer_and_stand_still(&mut world, carrier));
        }
        let [(first, lock), (second, other)] = locks[..] else { unreachable!("two payments") };
        assert!(first == second && lock != other, "one id, two locks");
        lose_everything(&mut world, &[]);
        for carrier in CARRIERS {
            world.nodes[seller_of(carrier)].is_stalled = false;
        }
        world.connect_all();
        world.advance(A_WHILE_MS);
        assert_nothing_lost(&world);
        assert_eq!(world.nodes[MIDDLE].wealth(), 2, "both payments came to their end");
    }
}

/// Two payments under one id and one lock: a liar has seen the lock of a large one, and makes a small one of its own.
pub(super) fn by_amount() {
    let mut world = testnet();
    let [thief, buyer] = by_key(&world, BUYERS);
    let [carrier, accomplice] = by_key(&world, CARRIERS);
    pay(&mut world, buyer, carrier, 1_000);
    let (id, lock) = answer_and_stand_still(&mut world, carrier);
    let seller = seller_of(accomplice);
    world.make_puppet(seller);
    let payment_id = pay(&mut world, thief, accomplice, 1);
    world.settle();
    assert_eq!(asked(&world, accomplice), Some((id, None)), "the same id");
    let terms = PartTerms {
        request_id: id,
        payment_id,
        invoice_id: None,
        destination: world.key(seller),
        currency: Currency::default(),
        amount: 1.into(),
        total: 1.into(),
    };
    let nonce = Nonce::from_bytes([0; 16]);
    let signature = Verified::sign(Response { terms, nonce, lock }, world.signer(seller)).signature();
    let answer = Answer { id, lock, nonce, signature };
    let statement = world.statement(seller, accomplice, vec![Operation::Response(answer)]);
    world.state(seller, accomplice, statement);
    world.settle();
    assert!(is_bound(&world, accomplice, id), "both are promised");
    lose_everything(&mut world, &[carrier, thief]);
    world.nodes[seller_of(carrier)].is_stalled = false;
    world.connect_all();
    world.advance(A_WHILE_MS);
    assert_nothing_lost(&world);
    assert_eq!(world.nodes[MIDDLE].wealth(), 1, "the large payment came to its end");
}
