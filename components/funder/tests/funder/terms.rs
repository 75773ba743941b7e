//! Terms that are *nearly* right: who accepts them sees the same balance, and loses nothing by the requests in them.

use super::key_rotation::{is_bound, refusal};
use super::recovery::{end, is_recovering, lose_disk};
use offst_crypto::{Nonce, Preimage, PublicKey, Signature};
use offst_funder::{Command, Forward, RecoveryRecord, Reply, lost_friend};
use offst_ledger::{Direction, Stage};
use offst_proto::Amount;
use offst_proto::friend::{EpochPosition, Resume};
use offst_proto::opening::{Continuing, Opening};
use offst_proto::payment::{CancelReason, NO_PROOF};
use offst_proto::statement::{Answer, Operation, Request};
use offst_proto::ticket::FriendTicket;
use offst_proto::{Currency, PaymentId, Rate, RequestId, Unverified, Verified};
use offst_rows::{Commit, RowChange};
use offst_simulator::keys::Dice;
use offst_simulator::{World, name};

const PREIMAGE: Preimage = Preimage::from_bytes([7; 32]);

fn request(id: RequestId, path: Vec<PublicKey>, amount: u128) -> Request {
    Request {
        id,
        payment_id: PaymentId::from_bytes([9; 16]),
        invoice_id: None,
        amount: Amount::capped(amount),
        total: Amount::capped(amount),
        fees_left: Amount::capped(path.len() as u128),
        patience_ms: 60_000,
        path,
        proof: NO_PROOF,
        clearing: false,
    }
}

fn say(world: &mut World, from: usize, operations: Vec<Operation>) {
    let statement = world.statement(from, 1, operations);
    world.state(from, 1, statement);
    world.advance(300);
}

/// `from` asks 1 to carry a request on.
fn ask(world: &mut World, from: usize, request: Request) {
    say(world, from, vec![Operation::Request(Box::new(request))]);
}

fn answer(world: &mut World, from: usize, id: RequestId) {
    let lock = PREIMAGE.lock();
    let answer = Answer { id, lock, nonce: Nonce::from_bytes([0; 16]), signature: Signature::from_bytes([0; 64]) };
    say(world, from, vec![Operation::Response(answer)]);
}

/// How a liar changes the terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Smaller,
    Larger,
    OtherLock,
    Missing,
}

const CHANGES: [Change; 4] = [Change::Smaller, Change::Larger, Change::OtherLock, Change::Missing];

/// Node 0 opens its account with 1 anew, in the balance that both know, and with `change` made to what it has
/// committed. The owner of 1 accepts.
fn open_anew(world: &mut World, id: RequestId, change: Change) -> Reply {
    let account = world.nodes[1].account(world.key(0));
    let epoch = account.epoch().unwrap();
    let pending = *account.pending(Direction::Incoming, id).unwrap();
    let lock = pending.stage.lock().unwrap();
    let like = Continuing { author_pays: true, id, held: pending.held, lock, terms: pending.terms };
    let continuing = match change {
        Change::Smaller => vec![Continuing { held: 1.into(), ..like }],
        Change::Larger => vec![Continuing { held: Amount::capped(like.held.credits() + 1), ..like }],
        Change::OtherLock => vec![Continuing { lock: Preimage::from_bytes([8; 32]).lock(), ..like }],
        Change::Missing => vec![],
    };
    let opening = Opening {
        author: world.key(0),
        other: world.key(1),
        currency: Currency::default(),
        epoch: epoch.number + 5,
        balance: -epoch.balance(),
        continuing,
        accepts: None,
    };
    let opening = Verified::sign(opening, world.signer(0));
    let opening = Some(Unverified::from_wire(opening.wire()).unwrap());
    world.resume(0, 1, Resume { currency: Currency::default(), opening, epoch: None, recovering: false });
    world.ask(1, world.reset(0))
}

/// 0 has committed 5,001 to 1 for 2. 0 and 2 are one thief, and 2 may let the `Commit` of 1 wait, by acknowledging
/// nothing.
fn committed(is_stalled: bool) -> (World, RequestId) {
    let mut world = World::row(3, 10_000);
    world.make_puppet(0);
    world.make_puppet(2);
    let mut dice = Dice::new(1);
    let id = RequestId::random(&mut dice);
    let to_2 = vec![world.key(2)];
    ask(&mut world, 0, request(id, to_2.clone(), 5000));
    answer(&mut world, 2, id);
    if is_stalled {
        for _ in 0..64 {
            ask(&mut world, 0, request(RequestId::random(&mut dice), to_2.clone(), 1));
        }
    } else {
        say(&mut world, 2, vec![]);
    }
    say(&mut world, 0, vec![Operation::Commit { id }]);
    let account = world.nodes[1].account(world.key(2));
    assert_eq!(account.is_bound(id), !is_stalled);
    assert!(account.outgoing(id).unwrap().stage.is_committed());
    (world, id)
}

// R1.29.
#[test]
fn terms_that_change_a_request_whose_commit_onwards_waits_cost_nothing() {
    for change in CHANGES {
        let (mut world, id) = committed(true);
        let before = world.nodes[1].wealth();
        assert_eq!(open_anew(&mut world, id, change), Reply::Done, "{change:?}: nothing binds 1 yet");
        // 2 acknowledges at last.
        say(&mut world, 2, vec![]);
        let account = world.nodes[1].account(world.key(2));
        assert!(!account.is_bound(id), "{change:?}: nobody would pay for it");
        assert_eq!(world.nodes[1].wealth(), before);
    }
}

// R1.28.
#[test]
fn terms_that_change_a_request_that_was_promised_onwards_are_refused() {
    for change in CHANGES {
        let (mut world, id) = committed(false);
        let before = world.nodes[1].wealth();
        let message = refusal(open_anew(&mut world, id, change));
        assert!(message.contains("still under way to other friends"), "{change:?}: {message}");
        say(&mut world, 2, vec![Operation::Collect { id, preimage: PREIMAGE }]);
        // It is collected from 0, too: that the terms of 0 leave it out shows in the balances now.
        assert_eq!((world.balance(1, 2), world.nodes[1].wealth()), (-5000, before + 1), "{change:?}");
    }
}

/// 1 has lost its disk, and waits for 2, to whom it has carried on what 0 has committed.
fn recovers_without_2() -> (World, RequestId) {
    let mut world = World::row(3, 10_000);
    world.advance(60_000);
    world.send(0, 2, 5000);
    while !is_bound(&world, 1, 2) {
        assert!(world.step());
    }
    // 2 has collected, and 1 has not heard of it.
    while world.balance(2, 1) == 0 {
        assert!(world.step());
    }
    world.kill(2);
    lose_disk(&mut world, 1, &[0, 2]);
    world.connect_all();
    world.advance(30_000);
    let account = world.nodes[1].account(world.key(0));
    assert!(account.active().is_some(), "0 has shown the account: {:?}", account.status());
    let pendings: Vec<_> = account.epoch().unwrap().pendings().map(|(_, id, pending)| (id, pending.stage)).collect();
    let [(id, Stage::Committed(_))] = pendings[..] else { panic!("{pendings:?}") };
    (world, id)
}

#[test]
fn terms_that_change_what_a_recovery_has_not_tied_together_are_refused() {
    for change in CHANGES {
        let (mut world, id) = recovers_without_2();
        world.make_puppet(0);
        let message = refusal(open_anew(&mut world, id, change));
        assert!(message.contains("recovers what it has lost"), "{change:?}: {message}");
        world.start(2);
        world.connect_all();
        world.advance(600_000);
        assert_eq!(world.balance(1, 2), -5000, "2 has collected");
        let account = world.nodes[1].account(world.key(0));
        assert_eq!(account.epoch().unwrap().balance(), 5001, "{change:?}: so has 1");
    }
}

/// The thieves 4 and `decoy` have paid each other 1 credit over 1, with the id and the lock of the 5,000 that go from 0
/// to `seller`. After 1 has lost its forwards, or has an old one that says that they go to `decoy`, these 5,000 must
/// not be tied to that credit, whose end would release what 0 has committed.
/// (R7.16.)
#[test]
fn a_decoy_under_the_same_lock_releases_nothing() {
    for (seller, decoy, is_remembered) in [(2, 3, false), (3, 2, false), (2, 3, true), (3, 2, true)] {
        let mut world = World::new(5, 3);
        for (a, b) in [(0, 1), (1, 2), (1, 3), (1, 4)] {
            world.befriend(a, b, 10_000, 10_000);
        }
        world.connect_all();
        world.settle();
        let id = RequestId::from_bytes([5; 16]);
        for index in [0, 2, 3, 4] {
            world.make_puppet(index);
        }
        let halves = [(0, seller, 5000), (4, decoy, 1)];
        for (from, to, amount) in halves {
            let path = vec![world.key(to)];
            ask(&mut world, from, request(id, path, amount));
            answer(&mut world, to, id);
            say(&mut world, from, vec![Operation::Commit { id }]);
            say(&mut world, to, vec![]);
            assert!(world.nodes[1].account(world.key(to)).is_bound(id));
        }
        let mut disk = world.nodes[1].disk.clone();
        let mark = RecoveryRecord { has_begun: true, ..RecoveryRecord::new(world.now(1).unix_ms, false) };
        let forwards = disk.all::<Forward>().into_iter().map(|(hop, forward)| {
            let old = Forward { to: world.key(decoy), held: 1.into(), fee: 1.into(), ..forward };
            let is_of_0 = hop.account.friend == world.key(0);
            if is_of_0 && is_remembered { RowChange::put(&hop, &old) } else { RowChange::remove::<Forward>(&hop) }
        });
        let changes: Vec<_> = forwards.chain([RowChange::put(&(), &mark)]).collect();
        assert_eq!(changes.len(), 3);
        disk.commit(&changes).unwrap();
        world.replace_disk(1, disk, true);
        for index in [0, 2, 3, 4] {
            meet(&mut world, index);
        }
        assert!(!is_recovering(&world, 1), "everything is tied together");
        let cancel = Operation::Cancel { id, reason: CancelReason::Timeout, hop: world.key(decoy) };
        say(&mut world, decoy, vec![cancel]);
        say(&mut world, seller, vec![Operation::Collect { id, preimage: PREIMAGE }]);
        assert_eq!((world.balance(1, seller), world.balance(1, 0)), (-5000, 5001));
    }
}

/// A puppet connects to 1 again, in the epoch in which both are.
fn meet(world: &mut World, index: usize) {
    world.connect(1, index);
    let connected = world.take_inputs(index, 1);
    world.batch(1, connected);
    let epoch = world.nodes[1].account(world.key(index)).epoch().unwrap();
    let position = EpochPosition {
        agreed: epoch.agreed,
        number: epoch.number,
        own_seq: epoch.theirs.seq,
        own_hash: epoch.theirs.hash,
        other_seq: epoch.mine.seq,
        other_hash: epoch.mine.hash,
    };
    let currency = Currency::default();
    world.resume(index, 1, Resume { currency, opening: None, epoch: Some(position), recovering: false });
    world.advance(1_000);
}

/// 1 does not know any more what goes on to 2, and which fee it took; a third friend, whom it has lost, is still away.
/// Then 2 collects, and answers no question.
#[test]
fn what_is_collected_before_it_is_tied_together_is_paid_at_once() {
    let mut world = World::new(4, 3);
    world.befriend(0, 1, 10_000, 10_000);
    world.befriend(1, 2, 10_000, 10_000);
    world.connect_all();
    world.settle();
    world.make_puppet(0);
    world.make_puppet(2);
    let id = RequestId::from_bytes([5; 16]);
    let to_2 = vec![world.key(2)];
    ask(&mut world, 0, request(id, to_2, 5000));
    answer(&mut world, 2, id);
    say(&mut world, 0, vec![Operation::Commit { id }]);
    say(&mut world, 2, vec![]);
    world.ask(1, Command::SetFriendRate(name(0), Currency::default(), Rate { mul: 0, add: 7.into() }));
    let mut disk = world.nodes[1].disk.clone();
    let forwards = disk.all::<Forward>();
    let [(hop, _)] = &forwards[..] else { panic!("{forwards:?}") };
    let now_ms = world.now(1).unix_ms;
    let mark = RecoveryRecord { has_begun: true, ..RecoveryRecord::new(now_ms, false) };
    let away = FriendTicket { public_key: world.key(3), relays: vec![], address: None };
    let mut changes = lost_friend(world.key(1), name(3), away, 1000.into(), now_ms);
    changes.push(RowChange::remove::<Forward>(hop));
    changes.push(RowChange::put(&(), &mark));
    disk.commit(&changes).unwrap();
    world.replace_disk(1, disk, true);
    meet(&mut world, 0);
    meet(&mut world, 2);
    assert!(is_recovering(&world, 1));
    say(&mut world, 2, vec![Operation::Collect { id, preimage: PREIMAGE }]);
    assert_eq!((world.balance(1, 2), world.balance(1, 0)), (-5000, 5001));
}

/// 0 has committed 5,000 for 3, which stands still and does not collect them from 2, nor 2 from 1.
fn held_at_the_end() -> World {
    let mut world = World::row(4, 10_000);
    world.advance(60_000);
    world.send(0, 3, 5000);
    while !is_bound(&world, 2, 3) {
        assert!(world.step());
    }
    world.nodes[3].is_stalled = true;
    world.settle_but(3);
    world
}

/// 1 has lost its disk, and does not know for whom it carries on what 2 may collect. Then 2 says that it has collected,
/// without a proof that the payer would have to believe.
#[test]
fn terms_that_take_what_nobody_is_known_to_pay_for_are_refused() {
    let mut world = held_at_the_end();
    world.kill(0);
    lose_disk(&mut world, 1, &[0, 2]);
    end(&mut world);
    let account = world.nodes[1].account(world.key(2));
    let (epoch, balance) = (account.epoch().unwrap().number, account.epoch().unwrap().balance());
    let pendings: Vec<_> = account.epoch().unwrap().pendings().map(|(.., pending)| pending.held).collect();
    assert_eq!(pendings, [5001]);
    world.make_puppet(2);
    let opening = Opening {
        author: world.key(2),
        other: world.key(1),
        currency: Currency::default(),
        epoch: epoch + 5,
        balance: -balance + 5001,
        continuing: vec![],
        accepts: None,
    };
    let opening = Verified::sign(opening, world.signer(2));
    let opening = Some(Unverified::from_wire(opening.wire()).unwrap());
    world.resume(2, 1, Resume { currency: Currency::default(), opening, epoch: None, recovering: false });
    let message = refusal(world.ask(1, world.reset(2)));
    assert!(message.contains("no proof"), "{message}");
}

/// 0 and 1 have both lost their disks, as 0 says, and a balance of 0 is offered. Meanwhile 2 may collect from 1 what 0
/// had committed.
#[test]
fn terms_of_a_lost_account_wait_for_what_others_may_collect() {
    let mut world = held_at_the_end();
    world.kill(2);
    lose_disk(&mut world, 1, &[0, 2]);
    lose_disk(&mut world, 0, &[1]);
    end(&mut world);
    assert_eq!(world.ask(0, world.reset(1)), Reply::Done);
    end(&mut world);
    let message = refusal(world.ask(1, world.reset(0)));
    assert!(message.contains("what it owes \"node2\""), "{message}");
    world.start(2);
    end(&mut world);
    let message = refusal(world.ask(1, world.reset(0)));
    assert!(message.contains("has promised 5001 credits to other friends"), "{message}");
    world.nodes[3].is_stalled = false;
    end(&mut world);
    assert_eq!(world.nodes[1].pendings(), 0, "3 has given it up, for it came too late");
    assert_eq!(world.ask(1, world.reset(0)), Reply::Done);
}
