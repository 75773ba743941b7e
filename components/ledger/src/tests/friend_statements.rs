//! What a friend statement proves to others, and that a liar can only show less.

use super::*;
use crate::{Acknowledged, NoStatement, NothingProven, acknowledged, friend_statement};
use offst_proto::friend::EvidenceCheckpoint;
use offst_proto::friend_statement::AccountEvidence;
use offst_proto::opening::Opening;
use offst_proto::statement::Operation;
use proptest::prelude::*;

fn key_of(pair: &Pair, end: usize) -> PublicKey {
    pair.ends[end].account.key().local
}

/// What one end shows of the account, and what that proves.
fn made(pair: &Pair, end: usize) -> Result<(AccountEvidence, Acknowledged), NoStatement> {
    let image = pair.ends[end].rows.image();
    let accounts = vec![(Default::default(), image)];
    let made = friend_statement(key_of(pair, end), key_of(pair, 1 - end), accounts, &*pair.verifier)?;
    assert!(!made.is_shortened);
    let [evidence] = &made.statement.accounts[..] else { panic!("one account") };
    let [proves] = &made.proves[..] else { panic!("one account") };
    Ok((evidence.clone(), proves.clone()))
}

fn proves(pair: &Pair, end: usize, evidence: AccountEvidence) -> Result<Acknowledged, NothingProven> {
    acknowledged(key_of(pair, end), key_of(pair, 1 - end), evidence, &*pair.verifier)
}

/// Lets end `payer` pay, as far as the Collect, which is signed and not delivered.
fn collect_silently(pair: &mut Pair, payer: usize, amount: u128) {
    let payee = 1 - payer;
    let id = pair.request(payer, amount).unwrap();
    pair.settle();
    pair.respond(payee, id).unwrap();
    pair.settle();
    pair.commit(payer, id).unwrap();
    pair.settle();
    pair.collect(payee, id).unwrap();
    pair.sign(payee, false);
}

fn signed<T: offst_proto::Signable>(value: T) -> Unverified<T> {
    let author = value.author();
    Unverified::from_wire(Verified::sign(value, &CheapSigner(author)).wire()).unwrap()
}

// R1.21.
#[test]
fn it_proves_what_the_friend_has_acknowledged() {
    let mut pair = Pair::new();
    let (_, fresh) = made(&pair, 0).unwrap();
    assert_eq!((fresh.balance, fresh.friend_pending, fresh.node_pending), (0, 0, 0));
    // End 1 pays 40, and has committed 15 and asked for 7 more; end 0 has asked for 3.
    for amount in [40, 15, 7] {
        let id = pair.request(1, amount).unwrap();
        pair.settle();
        if amount != 7 {
            pair.respond(0, id).unwrap();
            pair.settle();
            pair.commit(1, id).unwrap();
            pair.settle();
        }
        if amount == 40 {
            pair.collect(0, id).unwrap();
            pair.settle();
        }
    }
    pair.request(0, 3).unwrap();
    pair.settle();
    let (_, theirs) = made(&pair, 0).unwrap();
    let expected = Acknowledged {
        currency: Default::default(),
        epoch: theirs.epoch,
        seq: pair.ends[1].account.epoch().unwrap().mine.seq,
        acknowledges: theirs.acknowledges,
        balance: 40,
        node_pending: 3,
        friend_pending: 22,
        committed: 15,
        collected: 0,
    };
    assert_eq!(theirs, expected);
    assert!(theirs.acknowledges > 0);
    // The other end's own statement says the same from its side.
    let (_, ours) = made(&pair, 1).unwrap();
    assert_eq!((ours.balance, ours.node_pending, ours.friend_pending, ours.committed), (-40, 22, 3, 0));
}

// R1.22.
#[test]
fn a_preimage_proves_a_debt_that_the_friend_does_not_acknowledge() {
    let mut pair = Pair::new();
    collect_silently(&mut pair, 1, 40);
    let (evidence, proven) = made(&pair, 0).unwrap();
    assert_eq!((proven.balance, proven.friend_pending, proven.committed, proven.collected), (0, 40, 40, 40));
    // Another preimage, which the node can sign, proves nothing.
    let forged = evidence.statements.iter().map(|statement| {
        let mut said = statement.peek().clone();
        for operation in &mut said.operations {
            if let Operation::Collect { preimage, .. } = operation {
                *preimage = Preimage::from_bytes([9; 32]);
            }
        }
        signed(said)
    });
    let forged = AccountEvidence { statements: forged.collect(), ..evidence };
    assert!(matches!(proves(&pair, 0, forged), Err(NothingProven::Contradiction(_))));
    // Once the friend has heard of it, it is a part of the balance.
    pair.settle();
    let (_, proven) = made(&pair, 0).unwrap();
    assert_eq!((proven.balance, proven.friend_pending, proven.collected), (40, 0, 0));
}

#[test]
fn an_opening_alone_proves_the_balance_that_it_names() {
    let mut pair = strangers(cheap_signers(), Box::new(CheapVerifier), [30, -30], [None, None]);
    assert_eq!(made(&pair, 0), Err(NoStatement::NothingSigned));
    // The Openings meet, and nothing more is signed.
    pair.connect();
    pair.deliver(0);
    let (evidence, proven) = made(&pair, 0).unwrap();
    assert_eq!((evidence.statements.len(), proven.seq, proven.balance), (0, 0, 30));
}

#[test]
fn nothing_can_be_changed_and_only_later_words_left_out() {
    let mut pair = Pair::new();
    for amount in [5, 6, 7] {
        collect_silently(&mut pair, 1, amount);
        pair.settle();
    }
    collect_silently(&mut pair, 1, 8);
    let (evidence, proven) = made(&pair, 0).unwrap();
    assert_eq!((proven.balance, proven.collected), (18, 8));
    for left_out in 0..evidence.statements.len() {
        let mut less = evidence.clone();
        less.statements.remove(left_out);
        if let Ok(less) = proves(&pair, 0, less) {
            let sum = |proven: &Acknowledged| proven.balance + i128::try_from(proven.collected).unwrap();
            assert!(less.seq <= proven.seq && sum(&less) <= sum(&proven), "{less:?}");
        }
        // Nobody can sign for the other.
        let mut other = evidence.clone();
        let mut wire = other.statements[left_out].wire().to_vec();
        *wire.last_mut().unwrap() ^= 1;
        other.statements[left_out] = Unverified::from_wire(&wire).unwrap();
        assert!(matches!(proves(&pair, 0, other), Err(NothingProven::Signature { .. })));
        // The node's own signatures prove nothing for it.
        let mut more = evidence.clone();
        let mut said = more.statements[left_out].peek().clone();
        if said.author == key_of(&pair, 0) {
            said.totals.collected += 100;
            more.statements[left_out] = signed(said);
            assert!(matches!(proves(&pair, 0, more), Err(NothingProven::Contradiction(_))));
        }
    }
    // Of another account: another currency, another friend, the sides exchanged, the node itself.
    let other = AccountEvidence { currency: "hours".parse().unwrap(), ..evidence.clone() };
    assert_eq!(proves(&pair, 0, other), Err(NothingProven::OtherAccount));
    let (node, friend) = (key_of(&pair, 0), key_of(&pair, 1));
    let stranger = Identity::from_seed([9; 32]).public_key();
    for (node, friend) in [(node, stranger), (stranger, friend), (friend, node), (node, node)] {
        let refused = acknowledged(node, friend, evidence.clone(), &CheapVerifier);
        assert_eq!(refused, Err(NothingProven::OtherAccount));
    }
}

/// The node writes everything itself that the friend need not have signed: Openings that take up an old offer of the
/// friend's, and checkpoints.
/// (R1.23.)
#[test]
fn what_the_node_alone_has_signed_proves_nothing() {
    let pair = strangers(cheap_signers(), Box::new(CheapVerifier), [-30, 30], [None, None]);
    let offer = pair.ends[0].account.negotiation().mine.clone().unwrap();
    let (node, friend) = (key_of(&pair, 1), key_of(&pair, 0));
    let accepting = Opening {
        author: node,
        other: friend,
        balance: 30,
        epoch: 7,
        accepts: Some(offer.hash()),
        ..offer.clone().into_value()
    };
    let offered = Unverified::from_wire(offer.wire()).unwrap();
    let evidence = AccountEvidence {
        currency: Default::default(),
        openings: [signed(accepting.clone()), offered.clone()],
        checkpoint: None,
        statements: vec![],
    };
    assert_eq!(acknowledged(node, friend, evidence, &CheapVerifier), Err(NothingProven::NeverAccepted));
    // Terms that the friend has never offered.
    let generous = Opening { balance: 31, ..accepting };
    let evidence = AccountEvidence {
        currency: Default::default(),
        openings: [signed(generous), offered],
        checkpoint: None,
        statements: vec![],
    };
    assert_eq!(acknowledged(node, friend, evidence, &CheapVerifier), Err(NothingProven::Openings));

    let mut pair = Pair::new();
    collect_silently(&mut pair, 1, 5);
    pair.settle();
    let (whole, _) = made(&pair, 0).unwrap();
    let newest = whole.statements.iter().rfind(|statement| statement.peek().author == key_of(&pair, 1)).unwrap();
    let agreement = {
        let [mine, theirs] = whole.openings.clone().map(Unverified::trust_own_database);
        Agreement::of(mine, theirs).unwrap()
    };
    // A checkpoint of the node's behind all that the friend has signed, with sums of the node's choice.
    let key = pair.ends[0].account.key().clone();
    let set = crate::view::View::default().checkpoint(&key, &agreement.agreed);
    let checkpoint = Statement {
        author: key.local,
        other: key.remote,
        seq: 99,
        ack_seq: newest.peek().seq,
        ack_hash: newest.hash(),
        operations: vec![],
        totals: offst_proto::statement::Totals { collected: 1000, ..Default::default() },
        pending_hash: Some(sha256(&set)),
        ..newest.peek().clone()
    };
    for seq in [99, newest.peek().ack_seq] {
        let evidence = AccountEvidence {
            checkpoint: Some(EvidenceCheckpoint { by_sender: true, set: set.clone() }),
            statements: vec![signed(Statement { seq, ..checkpoint.clone() }), newest.clone()],
            ..whole.clone()
        };
        let refused = proves(&pair, 0, evidence).unwrap_err();
        assert!(matches!(refused, NothingProven::NeverAccepted | NothingProven::Contradiction(_)), "{refused:?}");
    }
}

/// Under load each statement is large: what does not fit is cut where the friend's checkpoint lies.
#[test]
fn a_statement_that_is_too_large_ends_earlier() {
    let mut pair = Pair::new();
    collect_silently(&mut pair, 1, 5);
    pair.settle();
    let before = made(&pair, 0).unwrap().1;
    let path: Vec<_> = (0..32).map(|seed| Identity::from_seed([seed; 32]).public_key()).collect();
    for _ in 0..6 {
        for number in 0..90u64 {
            pair.next_id += 1;
            let id =
                RequestId::from_bytes(*sha256(&(1000 + pair.next_id).to_be_bytes()).as_bytes().first_chunk().unwrap());
            let request = Request { path: path.clone(), ..request_with(id, u128::from(number % 2)) };
            let terms = request.terms(key_of(&pair, 0), &Default::default()).hash();
            pair.account(1).request(request, terms).unwrap();
        }
        pair.sign(1, false);
        while pair.deliver(0) {}
        pair.sign(0, false);
    }
    let image = pair.ends[0].rows.image();
    let accounts = vec![(Default::default(), image)];
    let made = friend_statement(key_of(&pair, 0), key_of(&pair, 1), accounts, &CheapVerifier).unwrap();
    assert!(made.is_shortened);
    assert!(made.proves[0].seq <= before.seq, "{:?} {before:?}", made.proves);
    assert_eq!((made.proves[0].balance, made.proves[0].friend_pending), (5, 0));
}

/// A friend statement of either end says what an audit of its rows says of the friend's newest statement. Says whose
/// there is.
fn assert_as_audited(pair: &Pair) -> [bool; 2] {
    [0, 1].map(|end| {
        let image = pair.ends[end].rows.image();
        let audited = crate::audit(pair.ends[end].account.key(), &image, &CheapVerifier);
        let audited = audited.unwrap_or_else(|error| panic!("a sound account: {error}: {:?}", pair.ends[end].account));
        let made = friend_statement(
            key_of(pair, end),
            key_of(pair, 1 - end),
            vec![(Default::default(), image)],
            &CheapVerifier,
        );
        let proven = match made {
            Ok(made) => made.proves[0].clone(),
            Err(NoStatement::NothingSigned) => {
                assert!(audited.is_none());
                return false;
            }
            // The friend may not have acknowledged our checkpoint that all rests on, nor said anything since we
            // accepted its terms.
            Err(NoStatement::Unproven { error: NothingProven::NeverAccepted, .. }) => {
                let epoch = pair.ends[end].account.epoch().unwrap();
                let is_ours = epoch.kept.checkpoint_of == Some(crate::key::Side::Local);
                let was_accepted = epoch.agreement.theirs.epoch < epoch.number && epoch.theirs.seq == 0;
                assert!(is_ours || was_accepted, "{epoch:?}");
                return false;
            }
            Err(error) => panic!("{error}"),
        };
        let audited = audited.unwrap();
        match audited.friend {
            Some(proof) => {
                assert_eq!((proven.seq, proven.acknowledges), (proof.seq, proof.acknowledges));
                assert_eq!(proven.balance, proof.balance);
                assert_eq!((proven.node_pending, proven.friend_pending), (proof.local_pending, proof.remote_pending));
            }
            None => assert_eq!((proven.seq, proven.balance), (0, audited.opening_balance)),
        }
        assert!(proven.collected <= proven.committed && proven.committed <= proven.friend_pending, "{proven:?}");
        true
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: random::cases().div_ceil(4), ..ProptestConfig::default() })]

    #[test]
    fn it_says_what_an_audit_says(play in random::plays(true, false)) {
        let mut pair = Pair::new();
        for (step, end, index) in play {
            random::take(&mut pair, step, end.into(), index);
            assert_as_audited(&pair);
        }
        random::finish(&mut pair);
        prop_assert_eq!(assert_as_audited(&pair), [true, true]);
        for end in [0, 1] {
            let (_, proven) = made(&pair, end).unwrap();
            let epoch = pair.ends[end].account.epoch().unwrap();
            prop_assert_eq!((proven.balance, proven.epoch), (epoch.balance(), epoch.number));
        }
    }

    #[test]
    fn it_says_so_too_while_a_lost_disk_comes_back(
        play in random::plays(false, false),
        crashes in prop::collection::vec(0u8..6, 0..6),
    ) {
        let mut pair = Pair::new();
        for (step, end, index) in play {
            random::take(&mut pair, step, end.into(), index);
        }
        pair.now_ms += 1000;
        recovery::lose(&mut pair, 0);
        for (number, crash) in crashes.iter().enumerate() {
            pair.connect();
            for _ in 0..*crash {
                pair.deliver(number % 2);
                pair.deliver(1 - number % 2);
                assert_as_audited(&pair);
            }
            pair.restart(usize::from(crash % 3 == 0));
        }
        random::finish(&mut pair);
        prop_assert_eq!(assert_as_audited(&pair), [true, true]);
    }
}

#[test]
fn bits_that_flip_are_noticed() {
    let mut pair = Pair::real();
    collect_silently(&mut pair, 1, 5);
    pair.settle();
    let (evidence, proven) = made(&pair, 0).unwrap();
    assert_eq!(proven.balance, 5);
    for place in 0..evidence.statements.len() {
        let wire = evidence.statements[place].wire().to_vec();
        for bit in (0..wire.len() * 8).step_by(37) {
            let mut flipped = wire.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let Ok(statement) = Unverified::from_wire(&flipped) else { continue };
            let mut other = evidence.clone();
            other.statements[place] = statement;
            assert!(proves(&pair, 0, other).is_err(), "statement {place}, bit {bit}");
        }
    }
    let set = evidence.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.set.len());
    assert!(set > 0);
    for bit in 0..set * 8 {
        let mut other = evidence.clone();
        other.checkpoint.as_mut().unwrap().set[bit / 8] ^= 1 << (bit % 8);
        assert!(proves(&pair, 0, other).is_err(), "set, bit {bit}");
    }
}
