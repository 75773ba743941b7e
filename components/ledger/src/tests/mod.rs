//! Two ends of one account, their rows and the wire between them.

mod agreement;
mod alike;
mod evidence;
mod faults;
mod friend_statements;
mod liars;
mod random;
mod recovery;
mod steps;

use crate::{
    Account, AccountId, AccountImage, AccountKey, Agreement, Checkpoint, Contradiction, Direction, Event,
    EvidenceOutcome, EvidenceRefused, EvidenceRows, Fault, Floor, PENDING_REQUESTS, Pending, Replay, STATEMENTS,
    SignOutcome, StopReason,
};
use offst_crypto::{
    Ed25519Verifier, Identity, Mac, Preimage, PublicKey, Signature, Signer, Verifier, sha256, sha256_parts,
};
use offst_proto::Amount;
use offst_proto::friend::{FriendMessage, statement_frame};
use offst_proto::payment::CancelReason;
use offst_proto::statement::{Answer, Request, Statement};
use offst_proto::{PaymentId, RequestId, Unverified, Verified};
use offst_rows::{RowChange, Rows};
use std::collections::VecDeque;
use std::sync::Arc;

/// A signature that costs one hash: property tests sign thousands of statements.
struct CheapSigner(PublicKey);

fn cheap_signature(key: &PublicKey, message: &[u8]) -> Signature {
    let half = sha256_parts(&[b"cheap", key.as_bytes(), message]);
    Signature::from_slice(&[*half.as_bytes(), *half.as_bytes()].concat()).unwrap()
}

impl Signer for CheapSigner {
    fn public_key(&self) -> PublicKey {
        self.0
    }

    fn sign(&self, message: &[u8]) -> Signature {
        cheap_signature(&self.0, message)
    }

    fn derive(&self, label: &str, context: &[u8]) -> [u8; 32] {
        *sha256_parts(&[self.0.as_bytes(), label.as_bytes(), context]).as_bytes()
    }
}

struct CheapVerifier;

impl Verifier for CheapVerifier {
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
        cheap_signature(key, message) == *signature
    }
}

/// What a database would hold of an account.
#[derive(Debug, Clone)]
struct Stored {
    account: AccountId,
    rows: Rows,
}

impl Stored {
    fn of(key: &AccountKey) -> Stored {
        Stored { account: key.id(), rows: Rows::default() }
    }

    fn apply(&mut self, changes: Vec<RowChange>) {
        for change in changes {
            let is_there = self.rows.get(change.kind, &change.key).is_some();
            match change.value {
                Some(_) => assert!(change.kind != STATEMENTS || !is_there, "a seq is used once in an epoch"),
                None => assert!(change.kind == PENDING_REQUESTS || is_there, "only what is stored is removed"),
            }
            self.rows.apply(&change);
        }
    }

    fn statements(&self) -> Vec<(bool, u64, Arc<[u8]>)> {
        self.image().statements
    }

    fn verified_statements(&self) -> Vec<Verified<Statement>> {
        let read = |wire: &[u8]| Unverified::<Statement>::from_wire(wire).unwrap().trust_own_database();
        self.statements().iter().map(|(_, _, wire)| read(wire)).collect()
    }

    fn image(&self) -> AccountImage {
        AccountImage::of(&self.account, &self.rows).expect("our own rows")
    }
}

/// One side with its database.
struct End {
    account: Account,
    signer: Box<dyn Signer>,
    rows: Stored,
    events: Vec<Event>,
    stops: Vec<StopReason>,
    /// The limit was lowered or the account closed in this epoch: requests may have crossed that.
    has_tightened: bool,
    /// The friend has shown a signature that this end did not know.
    old_state_was_proven: bool,
    refused: Option<EvidenceRefused>,
    transactions: u64,
}

impl End {
    fn restored(&self) -> Account {
        Account::restore(self.account.key().clone(), self.rows.image()).expect("our own rows")
    }

    /// Ends a transaction: writes the rows, and checks that they hold everything.
    fn persist(&mut self) {
        self.rows.apply(self.account.take_changes());
        assert_eq!(self.account.take_changes(), [], "nothing is written twice");
        // Not always: it follows all statements that are kept.
        self.transactions += 1;
        if !self.transactions.is_multiple_of(4) {
            return;
        }
        let mut live = self.account.clone();
        live.disconnected();
        live.marks = Default::default();
        let mut restored = self.restored();
        restored.marks = Default::default();
        if let (Some(live), Some(restored)) = (&mut live.epoch, &mut restored.epoch) {
            // Counters only have to be unique among the rows.
            assert!(restored.queue_next <= live.queue_next);
            restored.queue_next = live.queue_next;
            restored.assert_sound();
        }
        assert_eq!(restored, live, "the rows hold the whole account");
    }
}

/// Two ends and what is in flight to each.
struct Pair {
    ends: [End; 2],
    /// Frames in flight to the end of the same index.
    wire: [VecDeque<Vec<u8>>; 2],
    connected: bool,
    verifier: Box<dyn Verifier>,
    next_id: u64,
    now_ms: u64,
    /// Collected by each end.
    collected: [u128; 2],
    faults_are_expected: bool,
    refusals_are_expected: bool,
    backup: [Option<Stored>; 2],
}

const NOW_MS: u64 = 1_700_000_000_000;

fn preimage_of(id: RequestId) -> Preimage {
    Preimage::from_bytes(*sha256(id.as_bytes()).as_bytes())
}

fn request_with(id: RequestId, amount: u128) -> Request {
    Request {
        id,
        payment_id: PaymentId::from_bytes([7; 16]),
        invoice_id: None,
        amount: Amount::capped(amount),
        total: Amount::capped(amount),
        fees_left: 0.into(),
        patience_ms: 1000,
        path: Vec::new(),
        proof: Mac::from_bytes([0; 32]),
        clearing: false,
    }
}

fn answer_with(id: RequestId) -> Answer {
    Answer {
        id,
        lock: preimage_of(id).lock(),
        nonce: offst_crypto::Nonce::from_bytes([1; offst_crypto::Nonce::LEN]),
        signature: Signature::from_bytes([2; 64]),
    }
}

/// Two ends of one account before they have met: `balances` and the last epochs of removed accounts as given.
fn strangers(
    signers: [Box<dyn Signer>; 2],
    verifier: Box<dyn Verifier>,
    balances: [i128; 2],
    ended: [Option<u64>; 2],
) -> Pair {
    let keys = [signers[0].public_key(), signers[1].public_key()];
    let mut index = 0;
    let ends = signers.map(|signer| {
        let key = AccountKey { local: keys[index], remote: keys[1 - index], currency: Default::default() };
        let floor = Floor { ended: ended[index], ..Floor::default() };
        let rows = Stored::of(&key);
        let account = Account::open(key, balances[index], 1000.into(), true, floor, &*signer);
        index += 1;
        let mut end = End {
            account,
            signer,
            rows,
            events: vec![],
            stops: vec![],
            has_tightened: false,
            old_state_was_proven: false,
            refused: None,
            transactions: 0,
        };
        end.persist();
        end
    });
    Pair {
        ends,
        wire: Default::default(),
        connected: false,
        verifier,
        next_id: 1,
        now_ms: NOW_MS,
        collected: [0; 2],
        faults_are_expected: false,
        refusals_are_expected: false,
        backup: [None, None],
    }
}

fn cheap_signers() -> [Box<dyn Signer>; 2] {
    let mut keys = [1, 2].map(|seed| Identity::from_seed([seed; 32]).public_key());
    keys.sort();
    keys.map(|key| Box::new(CheapSigner(key)) as Box<dyn Signer>)
}

impl Pair {
    /// Agreed on a balance of 0, connected, limits of 1000 known on both sides. End 0 has the smaller key.
    fn new() -> Pair {
        let mut pair = strangers(cheap_signers(), Box::new(CheapVerifier), [0, 0], [None, None]);
        pair.settle();
        pair
    }

    /// The same with real signatures.
    fn real() -> Pair {
        let signers = [3, 4].map(|seed| Box::new(Identity::from_seed([seed; 32])) as Box<dyn Signer>);
        let mut pair = strangers(signers, Box::new(Ed25519Verifier), [0, 0], [None, None]);
        pair.settle();
        pair
    }

    fn account(&mut self, end: usize) -> &mut Account {
        &mut self.ends[end].account
    }

    fn connect(&mut self) {
        if self.connected {
            return;
        }
        self.connected = true;
        for end in [0, 1] {
            let frame = self.ends[end].account.resume_frame();
            self.wire[1 - end].push_back(frame);
        }
    }

    fn disconnect(&mut self) {
        self.connected = false;
        for end in [0, 1] {
            self.wire[end].clear();
            self.ends[end].account.disconnected();
        }
    }

    fn restart(&mut self, end: usize) {
        self.disconnect();
        self.ends[end].account = self.ends[end].restored();
    }

    /// Puts an older state of the database back.
    fn roll_back(&mut self, end: usize, rows: Stored) {
        self.disconnect();
        self.ends[end].rows = rows;
        self.ends[end].account = self.ends[end].restored();
        self.ends[end].persist();
    }

    fn send(&mut self, from: usize, frame: Vec<u8>) {
        if self.connected {
            self.wire[1 - from].push_back(frame);
        }
    }

    /// Signs what there is to say.
    fn sign(&mut self, end: usize, idle: bool) {
        loop {
            let End { account, signer, .. } = &mut self.ends[end];
            let SignOutcome::Signed(wire) = account.sign(&**signer, idle) else {
                break;
            };
            assert!(self.connected, "nothing is signed without a connection");
            self.ends[end].persist();
            self.send(end, statement_frame(&wire));
        }
        self.ends[end].persist();
    }

    fn deliver(&mut self, to: usize) -> bool {
        let Some(frame) = self.wire[to].pop_front() else {
            return false;
        };
        match FriendMessage::from_frame(&frame).expect("a frame of ours") {
            FriendMessage::Resume(resume) => {
                let End { account, signer, .. } = &mut self.ends[to];
                let outcome = account.handle_resume(*resume, &**signer, &*self.verifier);
                self.ends[to].stops.extend(outcome.stopped);
                self.handle_events(to, outcome.events);
                self.ends[to].persist();
                if outcome.reply {
                    let frame = self.ends[to].account.resume_frame();
                    self.send(to, frame);
                }
                for wire in outcome.resend {
                    self.send(to, statement_frame(&wire));
                }
                if outcome.show_evidence {
                    self.show_evidence(to);
                }
            }
            FriendMessage::Evidence(evidence) => {
                let End { account, signer, .. } = &mut self.ends[to];
                let outcome = account.take_evidence(*evidence, self.now_ms, &**signer, &*self.verifier);
                self.evidence_came(to, outcome);
            }
            FriendMessage::EvidenceStatements(statements) => {
                let verified = statements.into_iter().map(|s| s.verify(&*self.verifier).expect("signed")).collect();
                let End { account, signer, .. } = &mut self.ends[to];
                let outcome = account.take_evidence_statements(verified, self.now_ms, &**signer);
                self.evidence_came(to, outcome);
            }
            FriendMessage::Statement(statement) => {
                let statement = statement.verify(&*self.verifier).expect("signed by the other end");
                let _ = self.receive(to, &statement);
            }
            _ => unreachable!("the account sends nothing else"),
        }
        true
    }

    fn show_evidence(&mut self, end: usize) {
        let End { account, signer, rows, .. } = &mut self.ends[end];
        let stored = EvidenceRows::of(&rows.account, &rows.rows);
        let (frames, outcome) = account.evidence(stored, self.now_ms, &**signer);
        for frame in frames {
            self.send(end, frame);
        }
        self.evidence_came(end, outcome);
    }

    fn evidence_came(&mut self, to: usize, outcome: EvidenceOutcome) {
        assert!(self.refusals_are_expected || outcome.refused.is_none(), "{:?}", outcome.refused);
        self.ends[to].stops.extend(outcome.stopped);
        self.ends[to].old_state_was_proven |= outcome.own_state_is_old;
        self.ends[to].refused = outcome.refused.or(self.ends[to].refused);
        self.handle_events(to, outcome.events);
        self.ends[to].persist();
        if outcome.reply {
            let frame = self.ends[to].account.resume_frame();
            self.send(to, frame);
        }
    }

    fn receive(&mut self, to: usize, statement: &Verified<Statement>) -> Result<(), Fault> {
        let End { account, signer, .. } = &mut self.ends[to];
        if !account.expects(statement) {
            return Ok(());
        }
        let result = account.receive(statement, &**signer);
        match result {
            Ok(events) => {
                self.handle_events(to, events);
                self.ends[to].persist();
                Ok(())
            }
            Err(fault) => {
                assert!(self.faults_are_expected, "{fault:?} between honest ends: {statement:?}");
                self.ends[to].stops.push(StopReason::Fault(fault));
                self.ends[to].persist();
                let frame = self.ends[to].account.resume_frame();
                self.send(to, frame);
                Err(fault)
            }
        }
    }

    /// Does at once what every node must: cancel what the account cannot take.
    fn handle_events(&mut self, end: usize, events: Vec<Event>) {
        for event in &events {
            match event {
                Event::Requested { request, refusal: Some(reason) } => {
                    // Old databases also forget that an account was closed.
                    let may_have_crossed = self.ends[end].has_tightened || self.faults_are_expected;
                    assert!(may_have_crossed, "an honest friend is refused for {reason:?}");
                    self.cancel(end, request.id).unwrap();
                }
                Event::EpochBegan { .. } => self.ends[end].has_tightened = false,
                _ => {}
            }
        }
        if self.ends[end].stops.iter().any(|stop| matches!(stop, StopReason::Fault(_))) {
            assert!(self.faults_are_expected, "{:?}", self.ends[end].stops);
        }
        self.ends[end].events.extend(events);
    }

    /// Delivers and signs until nothing moves any more.
    fn settle(&mut self) {
        self.connect();
        for _ in 0..10_000 {
            let moved = [0, 1].map(|end| self.deliver(end));
            if moved == [false, false] {
                self.sign(0, true);
                self.sign(1, true);
                if self.wire.iter().all(VecDeque::is_empty) {
                    return;
                }
            }
        }
        panic!("the two ends never stop talking");
    }

    /// An id out of a few, so that ids return after their requests have ended.
    fn fresh_id(&mut self) -> RequestId {
        self.next_id += 1;
        RequestId::from_bytes(*sha256(&(self.next_id % 48).to_be_bytes()).as_bytes().first_chunk().unwrap())
    }

    fn request(&mut self, end: usize, amount: u128) -> Result<RequestId, crate::NotAllowed> {
        let id = self.fresh_id();
        let request = request_with(id, amount);
        let key = self.ends[end].account.key().clone();
        let terms = request.terms(key.remote, &key.currency).hash();
        self.account(end).request(request, terms)?;
        self.ends[end].persist();
        let epoch = self.ends[end].account.epoch().unwrap();
        assert!(
            epoch.balance() - i128::try_from(epoch.local_pending()).unwrap() + epoch.theirs.limit.signed() >= 0,
            "a limit is passed"
        );
        Ok(id)
    }

    fn respond(&mut self, end: usize, id: RequestId) -> Result<(), crate::NotAllowed> {
        self.account(end).respond(answer_with(id))?;
        self.ends[end].persist();
        Ok(())
    }

    fn commit(&mut self, end: usize, id: RequestId) -> Result<(), crate::NotAllowed> {
        self.account(end).commit(id)?;
        self.ends[end].persist();
        Ok(())
    }

    fn abort(&mut self, end: usize, id: RequestId) -> Result<crate::AbortOutcome, crate::NotAllowed> {
        let outcome = self.account(end).abort(id)?;
        self.ends[end].persist();
        Ok(outcome)
    }

    fn collect(&mut self, end: usize, id: RequestId) -> Result<(), crate::NotAllowed> {
        let amount =
            self.ends[end].account.pending(Direction::Incoming, id).map_or(0, |pending| pending.held.credits());
        self.account(end).collect(id, preimage_of(id))?;
        self.collected[end] += amount;
        self.ends[end].persist();
        Ok(())
    }

    fn cancel(&mut self, end: usize, id: RequestId) -> Result<(), crate::NotAllowed> {
        let hop = self.ends[end].account.key().local;
        self.account(end).cancel(id, CancelReason::Aborted, hop)?;
        self.ends[end].persist();
        Ok(())
    }

    fn stop(&mut self, end: usize) {
        let End { account, signer, .. } = &mut self.ends[end];
        account.stop(StopReason::Owner, &**signer);
        self.ends[end].persist();
        let frame = self.ends[end].account.resume_frame();
        self.send(end, frame);
    }

    fn repropose(&mut self, end: usize) {
        let End { account, signer, .. } = &mut self.ends[end];
        if account.repropose(&**signer) {
            self.ends[end].persist();
            let frame = self.ends[end].account.resume_frame();
            self.send(end, frame);
        }
    }

    fn accept(&mut self, end: usize) -> bool {
        let End { account, signer, .. } = &mut self.ends[end];
        let Ok(events) = account.accept_theirs(&**signer) else {
            return false;
        };
        self.handle_events(end, events);
        self.ends[end].persist();
        let frame = self.ends[end].account.resume_frame();
        self.send(end, frame);
        true
    }

    fn is_active(&self) -> bool {
        self.ends.iter().all(|end| end.account.active().is_some())
            && self.ends[0].account.epoch().unwrap().agreed == self.ends[1].account.epoch().unwrap().agreed
    }

    fn balances(&self) -> [i128; 2] {
        [0, 1].map(|end| self.ends[end].account.epoch().expect("an epoch").balance())
    }

    fn pendings(&self, end: usize, wanted: Direction) -> Vec<(RequestId, Pending)> {
        self.ends[end].account.epoch().map_or_else(Vec::new, |epoch| {
            epoch.pendings().filter(|(direction, _, _)| *direction == wanted).map(|(_, id, p)| (id, *p)).collect()
        })
    }

    fn take_events(&mut self, end: usize) -> Vec<Event> {
        std::mem::take(&mut self.ends[end].events)
    }

    /// A request of end 0 that both see as committed.
    fn committed(&mut self, amount: u128) -> RequestId {
        let id = self.request(0, amount).unwrap();
        self.settle();
        self.respond(1, id).unwrap();
        self.settle();
        self.commit(0, id).unwrap();
        self.settle();
        id
    }
}
