//! Friends who hoard, flood and lie.

use super::street::{route, street};
use offst_crypto::{Mac, Nonce, Preimage, Signature};
use offst_funder::{Command, Progress, Reply};
use offst_ledger::{Direction, Stage, Status};
use offst_proto::Amount;
use offst_proto::friend::Resume;
use offst_proto::limits::{OPERATIONS_MAX, PENDING_MAX, UNACKNOWLEDGED_MAX};
use offst_proto::opening::{Continuing, Opening};
use offst_proto::payment::{CancelReason, NO_PROOF};
use offst_proto::report::InvoiceStatus;
use offst_proto::statement::{Answer, Operation, Request};
use offst_proto::{Currency, InvoiceId, PaymentId, RequestId, Unverified, Verified};
use offst_simulator::keys::Dice;
use offst_simulator::{Paths, World, name};

pub(crate) fn request(dice: &mut Dice, amount: u128, fees: u128) -> Request {
    Request {
        id: RequestId::random(dice),
        payment_id: PaymentId::random(dice),
        invoice_id: None,
        amount: Amount::capped(amount),
        total: Amount::capped(amount),
        fees_left: Amount::capped(fees),
        patience_ms: 20_000,
        path: vec![],
        proof: NO_PROOF,
        clearing: false,
    }
}

#[test]
fn asked_and_aborted_in_one_statement() {
    for is_forwarded in [false, true] {
        let mut world = World::row(3, 1000);
        world.make_puppet(0);
        let mut request = request(&mut Dice::new(1), 10, u128::from(is_forwarded));
        if is_forwarded {
            request.path = vec![world.key(2)];
        }
        let id = request.id;
        let statement = world.statement(0, 1, vec![Operation::Request(Box::new(request)), Operation::Abort { id }]);
        world.state(0, 1, statement);
        world.settle();
        assert_eq!((world.nodes[1].pendings(), world.nodes[1].disk.underway()), (0, 0));
        assert_eq!(world.nodes[1].account(world.key(0)).status(), Status::Consistent);
        assert_eq!(world.nodes[2].pendings(), 0);
    }
}

/// Up to the bound a friend's requests are taken, above it they are refused; neither is a fault.
#[test]
fn a_flood_of_requests_is_refused_above_the_bound() {
    let mut world = World::row(2, 1_000_000);
    world.make_puppet(0);
    let mut dice = Dice::new(1);
    for _ in 0..PENDING_MAX / OPERATIONS_MAX + 1 {
        let requests = (0..OPERATIONS_MAX).map(|_| Operation::Request(Box::new(request(&mut dice, 1, 0))));
        let statement = world.statement(0, 1, requests.collect());
        world.state(0, 1, statement);
    }
    assert_eq!(world.nodes[1].pendings(), PENDING_MAX);
    assert_eq!(world.nodes[1].account(world.key(0)).status(), Status::Consistent);
    world.advance(30_000);
    assert_eq!(world.nodes[1].pendings(), 0);
}

/// One who never acknowledges makes us keep what we have to say: that is a fault before it becomes much.
#[test]
fn who_never_acknowledges_is_not_listened_to_for_ever() {
    let mut world = World::row(2, 1_000_000);
    world.make_puppet(0);
    let mut dice = Dice::new(1);
    let acknowledged = world.statement(0, 1, vec![]);
    for _ in 0..UNACKNOWLEDGED_MAX + 1 {
        let requests = (0..OPERATIONS_MAX).map(|_| {
            let invoice_id = Some(InvoiceId::random(&mut dice));
            Operation::Request(Box::new(Request { invoice_id, ..request(&mut dice, 1, 0) }))
        });
        let mut statement = world.statement(0, 1, requests.collect());
        (statement.ack_seq, statement.ack_hash) = (acknowledged.ack_seq, acknowledged.ack_hash);
        world.state(0, 1, statement);
    }
    assert_ne!(world.nodes[1].account(world.key(0)).status(), Status::Consistent);
}

/// Buyers 0 and 1, mediator 2, seller 3 with an account of 1000.
fn two_buyers() -> World {
    let mut world = World::new(4, 1);
    for (a, b) in [(0, 2), (1, 2), (2, 3)] {
        world.befriend(a, b, 1000, 1000);
    }
    world.connect_all();
    world.settle();
    world
}

#[test]
fn a_buyer_who_never_commits_freezes_less_and_less() {
    let mut world = two_buyers();
    let mut held = Vec::new();
    for _ in 0..12 {
        world.paths = route(&world, &[2, 3], 900);
        let (id, _) = world.send(0, 3, 900);
        // It goes silent when its request is out, and stays connected.
        while world.nodes[0].disk.payment(id).unwrap().progress == Progress::Searching && world.nodes[0].pendings() == 0
        {
            assert!(world.step());
        }
        world.settle_but(0);
        held.push(world.nodes[2].account(world.key(3)).epoch().unwrap().local_pending());
        world.advance(30_000);
        world.nodes[0].is_stalled = false;
        world.command(0, Command::CancelPayment(id));
        world.advance(30_000);
    }
    assert_eq!(held[..3], [900, 900, 0], "after two strikes half of the account is out of its reach");
    // Small payments still work for it, and everything works for the other.
    world.paths = Paths::Search;
    let (small, _) = world.send(0, 3, 50);
    let (large, _) = world.send(1, 3, 700);
    world.settle();
    assert_eq!(world.payment(0, small).progress, Progress::Paid);
    assert_eq!(world.payment(1, large).progress, Progress::Paid);
}

/// An attacker at both ends of honest mediators lets answers wait without a commit. What they may hold at each other
/// stays theirs: it holds single credits.
#[test]
fn responses_without_a_commit_are_no_strikes_of_honest_mediators() {
    let mut world = street();
    for _ in 0..8 {
        world.paths = route(&world, &[1, 2, 3, 4], 1);
        world.nodes[4].is_stalled = true;
        let (id, _) = world.send(0, 4, 1);
        world.settle();
        // The answer comes up to the attacker, who says nothing more.
        world.nodes[0].is_stalled = true;
        world.nodes[4].is_stalled = false;
        world.settle_but(0);
        world.advance(30_000);
        world.nodes[0].is_stalled = false;
        world.command(0, Command::CancelPayment(id));
        world.advance(1_000);
    }
    world.paths = route(&world, &[1, 2, 3, 6], 500);
    let (id, _) = world.send(5, 6, 500);
    world.advance(2_000);
    assert_eq!(world.payment(5, id).progress, Progress::Paid, "{}", world.payment(5, id).reason);
}

/// 0 pays its silent accomplice 3 and never commits, again and again: what of the account from 1 to 2 is held in each
/// attempt, credits, and in the mean over the time until the next one.
fn held_in_attempts(patience_ms: u64) -> Vec<(u128, u128)> {
    let mut world = World::new(4, 1);
    for (a, b, limit) in [(0, 1, 1000), (1, 2, 1000), (2, 3, 1_000_000)] {
        world.befriend(a, b, limit, limit);
    }
    world.connect_all();
    world.settle();
    world.make_puppet(0);
    world.nodes[3].is_stalled = true;
    let mut dice = Dice::new(1);
    let mut held = Vec::new();
    let pending = |world: &World| world.nodes[1].account(world.key(2)).epoch().unwrap().local_pending();
    for _ in 0..12 {
        for amount in [990, 490, 245, 122, 61] {
            let path = vec![world.key(2), world.key(3)];
            let request = Request { patience_ms, path, ..request(&mut dice, amount, 2) };
            let statement = world.statement(0, 1, vec![Operation::Request(Box::new(request))]);
            world.state(0, 1, statement);
            world.settle();
            if pending(&world) > 0 {
                break;
            }
        }
        let (most, mut sum) = (pending(&world), 0);
        for _ in 0..patience_ms / 1000 {
            sum += pending(&world);
            world.advance(1000);
        }
        held.push((most, sum / u128::from(patience_ms / 1000)));
    }
    held
}

/// A node that lets uncommitted requests wait holds less and less, and a long patience does not help.
#[test]
fn a_long_patience_does_not_freeze_a_line_for_hours() {
    let (short, long) = (held_in_attempts(20_000), held_in_attempts(3_600_000));
    let message = format!("held for 20 s each: {short:?}, for an hour each: {long:?}");
    assert!(short[11].0 <= 250 && long[11].0 <= short[11].0, "{message}");
    assert!(long.iter().all(|(_, mean)| *mean <= 20), "{message}");
}

/// What waits counts while it waits: as long as half of an account has waited for a while, nothing more is taken beside
/// it.
#[test]
fn what_waits_counts_before_it_ends() {
    let mut world = two_buyers();
    world.make_puppet(0);
    world.nodes[3].is_stalled = true;
    let mut dice = Dice::new(1);
    let mut ask = |world: &mut World| {
        let request = Request { patience_ms: 60_000, path: vec![world.key(3)], ..request(&mut dice, 99, 1) };
        let statement = world.statement(0, 2, vec![Operation::Request(Box::new(request))]);
        world.state(0, 2, statement);
        world.settle();
        world.nodes[2].account(world.key(3)).epoch().unwrap().local_pending()
    };
    for pieces in 1..=6 {
        assert_eq!(ask(&mut world), 99 * pieces);
    }
    world.advance(9_000);
    assert_eq!(ask(&mut world), 99 * 7, "nothing has waited for long");
    world.advance(36_000);
    assert_eq!(ask(&mut world), 99 * 7, "and none of it has ended");
    // The other buyer is not meant.
    world.paths = route(&world, &[2, 3], 200);
    world.send(1, 3, 200);
    world.settle();
    assert_eq!(world.nodes[2].account(world.key(3)).epoch().unwrap().local_pending(), 99 * 7 + 200);
}

/// A buyer that commits late has held nothing.
#[test]
fn who_commits_in_the_end_has_held_nothing() {
    let mut world = two_buyers();
    for _ in 0..6 {
        world.paths = route(&world, &[2, 3], 900);
        world.nodes[3].is_stalled = true;
        let (id, _) = world.send(0, 3, 900);
        world.settle();
        world.advance(15_000);
        world.nodes[3].is_stalled = false;
        world.advance(1_000);
        assert_eq!(world.payment(0, id).progress, Progress::Paid, "{}", world.payment(0, id).reason);
        world.paths = route(&world, &[2, 0], 900);
        world.send(3, 0, 900);
        world.advance(1_000);
    }
}

/// The buyer and a silent destination behind an honest friend cannot close that friend's account with others.
#[test]
fn a_buyer_and_a_silent_destination_hurt_only_themselves() {
    // 0 and 1 buy over 2 and 3; 4 is the accomplice of 0, 5 is honest.
    let mut world = World::new(6, 1);
    for (a, b, limit) in [(0, 2, 1000), (1, 2, 1000), (2, 3, 1000), (3, 4, 100_000), (3, 5, 1000)] {
        world.befriend(a, b, limit, limit);
    }
    world.connect_all();
    world.settle();
    world.nodes[4].is_stalled = true;
    let mut held = Vec::new();
    for round in 0..20 {
        world.paths = route(&world, &[2, 3, 4], 900 - 40 * round);
        let (id, _) = world.send(0, 4, 900 - 40 * round);
        world.settle();
        held.push(world.nodes[2].account(world.key(3)).epoch().unwrap().local_pending());
        world.advance(30_000);
        world.command(0, Command::CancelPayment(id));
        world.settle();
    }
    assert!(held[0] > 900 && held[3..].iter().all(|amount| *amount < 500), "{held:?}");
    world.paths = route(&world, &[2, 3, 5], 800);
    let (id, _) = world.send(1, 5, 800);
    world.settle();
    assert_eq!(world.payment(1, id).progress, Progress::Paid, "{}", world.payment(1, id).reason);
}

/// A friend who fills all its places leaves places for others.
#[test]
fn one_friend_does_not_get_all_places_towards_another() {
    let mut world = World::new(4, 1);
    for (a, b) in [(0, 2), (1, 2), (2, 3)] {
        world.befriend(a, b, 1_000_000, 1_000_000);
    }
    world.connect_all();
    world.settle();
    world.make_puppet(0);
    world.nodes[3].is_stalled = true;
    let mut dice = Dice::new(1);
    for _ in 0..PENDING_MAX / OPERATIONS_MAX {
        let requests = (0..OPERATIONS_MAX).map(|_| {
            let path = vec![world.key(3)];
            Operation::Request(Box::new(Request { path, ..request(&mut dice, 1, 1) }))
        });
        let statement = world.statement(0, 2, requests.collect());
        world.state(0, 2, statement);
    }
    let towards =
        |world: &World| world.nodes[2].account(world.key(3)).epoch().unwrap().pending_count(Direction::Outgoing);
    assert_eq!(towards(&world), PENDING_MAX * 3 / 4);
    let (id, _) = world.send(1, 3, 10);
    world.settle();
    assert_eq!(towards(&world), PENDING_MAX * 3 / 4 + 1);
    world.nodes[3].is_stalled = false;
    world.advance(1000);
    assert_eq!(world.payment(1, id).progress, Progress::Paid);
}

/// Shows node 1 an Opening in the name of node 0.
fn show_opening(world: &mut World, epoch: u64, balance: i128, continuing: Vec<Continuing>) {
    let opening = Opening {
        author: world.key(0),
        other: world.key(1),
        currency: Currency::default(),
        epoch,
        balance,
        continuing,
        accepts: None,
    };
    let opening = Verified::sign(opening, &offst_simulator::keys::FakeSigner::new(1));
    let opening = Some(Unverified::from_wire(opening.wire()).unwrap());
    world.resume(0, 1, Resume { currency: Currency::default(), opening, epoch: None, recovering: false });
}

/// Only balances are shown to the owner who accepts a friend's terms: nothing else in them may cost them money.
#[test]
fn terms_that_hide_something_are_not_accepted() {
    let mut world = World::row(3, 1000);
    let invoice = world.invoice(2, 100);
    let (id, _) = world.pay(0, &invoice);
    while world.payment(0, id).progress == Progress::Searching {
        assert!(world.step());
    }
    world.settle_but(2);
    world.make_puppet(0);
    let refusal = |world: &mut World| match world.ask(1, world.reset(0)) {
        Reply::Refused(message) => message,
        reply => panic!("{reply:?}"),
    };
    assert!(refusal(&mut world).contains("is consistent"));
    let (_, request, pending) = {
        let account = world.nodes[1].account(world.key(0));
        account.epoch().unwrap().pendings().map(|(d, id, pending)| (d, id, *pending)).next().unwrap()
    };
    let lock = pending.stage.lock().unwrap();
    let honest = Continuing { author_pays: true, id: request, held: pending.held, lock, terms: pending.terms };
    let other_lock = Preimage::from_bytes([1; 32]).lock();
    for (index, (lie, message)) in [
        (vec![], "still under way"),
        (vec![Continuing { lock: other_lock, ..honest }], "still under way"),
        (vec![Continuing { held: 1.into(), ..honest }], "still under way"),
        (vec![Continuing { author_pays: false, ..honest }], "never committed"),
    ]
    .into_iter()
    .enumerate()
    {
        show_opening(&mut world, 10 + index as u64, -5, lie);
        let given = refusal(&mut world);
        assert!(given.contains(message), "{given}");
    }
    // The seller collects; what the mediator is owed for it is a claim that its owner sees before they decide.
    world.nodes[2].is_stalled = false;
    world.advance(100_000);
    assert_eq!(world.nodes[1].account(world.key(0)).epoch().unwrap().balance() + world.balance(1, 2), 1);
    show_opening(&mut world, 20, -101, vec![]);
    assert_eq!(world.nodes[1].account(world.key(0)).status(), Status::Consistent);
}

/// What a liar might say: steps for requests that exist and that do not, at any stage, several in one statement.
fn lies(
    world: &World,
    dice: &mut Dice,
    liar: usize,
    victim: usize,
    known: &mut Vec<(RequestId, Preimage)>,
) -> Vec<Operation> {
    let count = 1 + dice.below(4);
    let account = world.nodes[victim].account(world.key(liar));
    let mut pendings: Vec<_> = account.epoch().expect("begun").pendings().map(|(d, id, p)| (d, id, p.stage)).collect();
    for (_, id, _) in &pendings {
        if known.iter().all(|(known, _)| known != id) {
            known.push((*id, Preimage::from_bytes([known.len() as u8; 32])));
        }
    }
    let preimages = known.clone();
    let preimage_of = |id| preimages.iter().find(|(known, _)| *known == id).expect("listed").1;
    (0..count)
        .map(|_| {
            // Mostly a step that the stage allows.
            if !pendings.is_empty() && dice.chance(60) {
                let (direction, id, stage) = pendings.swap_remove(dice.below(pendings.len()));
                let cancel = Operation::Cancel { id, reason: CancelReason::Busy, hop: world.key(liar) };
                let (lock, nonce, signature) =
                    (preimage_of(id).lock(), Nonce::from_bytes([0; 16]), Signature::from_bytes([0; 64]));
                match (direction, stage) {
                    (Direction::Incoming, Stage::Responded(_)) if dice.chance(70) => return Operation::Commit { id },
                    (Direction::Incoming, Stage::Responded(_)) => return Operation::Abort { id },
                    (Direction::Outgoing, Stage::Requested) if dice.chance(80) => {
                        return Operation::Response(Answer { id, lock, nonce, signature });
                    }
                    (Direction::Outgoing, Stage::Committed(_)) if dice.chance(80) => {
                        return Operation::Collect { id, preimage: preimage_of(id) };
                    }
                    (Direction::Outgoing, _) if dice.chance(50) => return cancel,
                    _ => {}
                }
            }
            let (id, preimage) = match dice.pick(known).filter(|_| dice.chance(95)) {
                Some(known) => known,
                None => (RequestId::random(dice), Preimage::from_bytes([9; 32])),
            };
            match dice.below(10) {
                0..7 => {
                    let (amount, fees) = (dice.below(100) as u128, dice.below(3) as u128);
                    let mut request = request(dice, amount, fees);
                    request.patience_ms = [20_000, 500, 3_000, 20_000][dice.below(4)];
                    for _ in 0..dice.below(3) {
                        request.path.push(world.key(dice.below(world.nodes.len())));
                    }
                    if dice.chance(60) {
                        request.path = vec![world.key(2 - liar)];
                        request.fees_left = 1.into();
                    }
                    if dice.chance(1) {
                        request.id = id;
                    }
                    if dice.chance(20) {
                        request.proof = Mac::from_bytes([1; 32]);
                        request.invoice_id = Some(InvoiceId::random(dice));
                    }
                    known.push((request.id, Preimage::from_bytes([known.len() as u8; 32])));
                    Operation::Request(Box::new(request))
                }
                _ if dice.chance(90) => Operation::SetLimit(500.into()),
                7 => Operation::Response(Answer {
                    id,
                    lock: preimage.lock(),
                    nonce: Nonce::from_bytes([0; 16]),
                    signature: Signature::from_bytes([0; 64]),
                }),
                8 => match dice.below(3) {
                    0 => Operation::Commit { id },
                    1 => Operation::Abort { id },
                    _ => Operation::Collect { id, preimage },
                },
                _ => Operation::Cancel {
                    id,
                    reason: match dice.below(30) as u8 {
                        0 => CancelReason::NoCapacity { left: Amount::capped(dice.below(2000) as u128) },
                        code => CancelReason::from_code(code),
                    },
                    hop: world.key([liar, victim][dice.below(2)]),
                },
            }
        })
        .collect()
}

/// Whatever two friends of a node say, together or alone: the node goes on, and its honest friends are left with
/// nothing.
#[test]
fn liars_on_both_sides() {
    let mut taken = 0;
    for seed in 0..400 {
        let mut world = World::new(4, seed);
        for friend in [0, 2, 3] {
            world.befriend(1, friend, 500, 500);
        }
        world.connect_all();
        world.settle();
        world.make_puppet(0);
        world.make_puppet(2);
        let mut dice = Dice::new(seed);
        let mut known = Vec::new();
        for _ in 0..40 {
            let (liar, victim) = ([0, 2][dice.below(2)], 1);
            if dice.chance(10) {
                let amount = 1 + dice.below(100) as u128;
                let destination = [0, 2, 3][dice.below(3)];
                world.send(1, destination, amount);
            }
            if dice.chance(10) {
                let invoice = world.invoice(1, 50);
                world.pay(3, &invoice);
            }
            if dice.chance(5) {
                world.advance([100, 10_000][dice.below(2)]);
            }
            if dice.chance(3) {
                world.kill(1);
                world.start(1);
                world.connect_all();
            }
            if dice.chance(2) {
                world.command(1, Command::DisableFriend { name: name(liar), force: dice.chance(50) });
            }
            world.settle();
            let operations = lies(&world, &mut dice, liar, victim, &mut known);
            if world.is_connected(liar, victim) {
                let statement = world.statement(liar, victim, operations);
                world.state(liar, victim, statement);
            }
        }
        let collected = |liar: usize| world.nodes[1].account(world.key(liar)).epoch().unwrap().theirs.totals.collected;
        taken += collected(0) + collected(2);
        world.advance(200_000);
        let [honest, node] = [&world.nodes[3], &world.nodes[1]];
        assert_eq!(honest.account(node.key).status(), Status::Consistent);
        for (_, _, pending) in honest.account(node.key).epoch().unwrap().pendings() {
            assert!(pending.stage.is_committed(), "seed {seed}: {pending:?}");
        }
        // In its own books it has lost nothing by them: each credit that one took was taken from the other, with the
        // fee.
        let earned: u128 = node.disk.forwarded.iter().map(|forwarded| forwarded.fee).sum();
        let sold = node.disk.invoices().filter(|record| record.status == InvoiceStatus::Paid);
        let sold: u128 = sold.map(|record| record.invoice.amount).sum();
        let bought = node.disk.payments().filter(|payment| payment.progress == Progress::Paid);
        let bought: u128 = bought.map(|payment| payment.total.credits() + payment.fees()).sum();
        let given = node.wealth() - (earned + sold) as i128 + bought as i128;
        assert!(given >= 0, "seed {seed}: {given}");
        for friend in [0, 2] {
            let account = node.account(world.key(friend));
            for (direction, id, pending) in account.epoch().into_iter().flat_map(|epoch| epoch.pendings()) {
                let is_theirs_to_end = direction == Direction::Outgoing;
                assert!(is_theirs_to_end || pending.stage.is_committed(), "seed {seed}: {id} {pending:?}");
            }
        }
    }
    assert!(taken > 1000, "the liars got some payments through");
}
