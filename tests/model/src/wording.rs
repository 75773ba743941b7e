//! The small numbers of a model as the real things that the ledger takes: ids, locks, requests, terms.

use crate::epoch::{Event, Fault};
use crate::log::{Operation, Terms};
use crate::request::{Direction, Id, Lock, REQUESTS};
use offst_crypto::{Hash, Mac, Nonce, Preimage, PublicKey, Signature, Signer, Verifier, sha256, sha256_parts};
use offst_proto::opening::Continuing;
use offst_proto::payment::CancelReason;
use offst_proto::statement::{Answer, Operation as RealOperation, Request, Totals as RealTotals};
use offst_proto::{Currency, PaymentId, RequestId};

/// A signature that costs one hash.
#[derive(Debug, Clone, Copy)]
pub struct CheapSigner(pub PublicKey);

fn cheap_signature(key: &PublicKey, message: &[u8]) -> Signature {
    let half = sha256_parts(&[b"cheap", key.as_bytes(), message]);
    Signature::from_slice(&[*half.as_bytes(), *half.as_bytes()].concat()).expect("64 bytes")
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

/// Checks the signatures of [`CheapSigner`].
#[derive(Debug, Clone, Copy)]
pub struct CheapVerifier;

impl Verifier for CheapVerifier {
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
        cheap_signature(key, message) == *signature
    }
}

/// The id of a request.
pub fn real_id(id: Id) -> RequestId {
    RequestId::from_bytes([id + 1; 16])
}

/// The request of an id.
pub fn model_id(id: RequestId) -> Id {
    (0..REQUESTS as Id).find(|known| real_id(*known) == id).expect("an id of the model")
}

/// What opens a lock.
pub fn real_preimage(lock: Lock) -> Preimage {
    Preimage::from_bytes([lock + 1; 32])
}

/// Which lock a preimage opens.
pub fn model_preimage(preimage: &Preimage) -> Lock {
    (0..REQUESTS as Lock).find(|known| real_preimage(*known).lock() == preimage.lock()).expect("a lock of the model")
}

/// A request that holds this much.
pub fn real_request(id: Id, amount: u8) -> Request {
    Request {
        id: real_id(id),
        payment_id: PaymentId::from_bytes([7; 16]),
        invoice_id: None,
        amount: u32::from(amount).into(),
        total: u32::from(amount).into(),
        fees_left: 0.into(),
        patience_ms: 1000,
        path: Vec::new(),
        clearing: false,
        proof: Mac::from_bytes([0; 32]),
    }
}

/// The hash of what the destination signs, for a request that `receiver` gets.
pub fn real_terms(id: Id, amount: u8, receiver: PublicKey) -> Hash {
    real_request(id, amount).terms(receiver, &Currency::default()).hash()
}

/// An answer under this lock.
pub fn real_answer(id: Id, lock: Lock) -> Answer {
    Answer {
        id: real_id(id),
        lock: real_preimage(lock).lock(),
        nonce: Nonce::from_bytes([1; Nonce::LEN]),
        signature: Signature::from_bytes([2; 64]),
    }
}

/// An operation as a statement carries it. `hop`: who cancels.
pub fn real_operation(operation: Operation, hop: PublicKey) -> RealOperation {
    match operation {
        Operation::Request(id, amount) => RealOperation::Request(Box::new(real_request(id, amount))),
        Operation::Response(id, lock) => RealOperation::Response(real_answer(id, lock)),
        Operation::Commit(id) => RealOperation::Commit { id: real_id(id) },
        Operation::Abort(id) => RealOperation::Abort { id: real_id(id) },
        Operation::Collect(id, preimage) => {
            RealOperation::Collect { id: real_id(id), preimage: real_preimage(preimage) }
        }
        Operation::Cancel(id) => RealOperation::Cancel { id: real_id(id), reason: CancelReason::Aborted, hop },
        Operation::SetLimit(limit) => RealOperation::SetLimit(u32::from(limit).into()),
        Operation::SetOpen(open) => RealOperation::SetOpen(open),
    }
}

/// Totals as a statement carries them.
pub fn real_totals(totals: crate::log::Totals) -> RealTotals {
    RealTotals {
        requested: totals.requested.into(),
        collected: totals.collected.into(),
        cancelled: totals.cancelled.into(),
    }
}

/// The requests that an Opening lists. `author`, `other`: the keys of both ends.
pub fn real_continuing(terms: &Terms, author: PublicKey, other: PublicKey) -> Vec<Continuing> {
    let mut list: Vec<_> = terms
        .continuing
        .list()
        .map(|(direction, id, pending)| {
            let author_pays = direction == Direction::Outgoing;
            let receiver = if author_pays { other } else { author };
            let crate::request::Stage::Committed(lock) = pending.stage else {
                panic!("only committed requests continue");
            };
            Continuing {
                author_pays,
                id: real_id(id),
                held: u32::from(pending.amount).into(),
                lock: real_preimage(lock).lock(),
                terms: real_terms(id, pending.amount, receiver),
            }
        })
        .collect();
    list.sort_unstable();
    list
}

/// A hash that nothing has.
pub fn made_up(what: &str, number: u64) -> Hash {
    sha256(format!("{what} {number}").as_bytes())
}

/// The ledger's events, in the model's terms.
pub fn model_events(events: &[offst_ledger::Event]) -> Vec<Event> {
    use offst_ledger::Event as Real;
    let mut list = Vec::new();
    for event in events {
        match event {
            Real::Requested { request, refusal } => {
                list.push(Event::Requested(model_id(request.id), refusal.is_some()))
            }
            Real::Responded(answer) => list.push(Event::Responded(model_id(answer.id))),
            Real::Committed(id) => list.push(Event::Committed(model_id(*id))),
            Real::Aborted(id) => list.push(Event::Aborted(model_id(*id))),
            Real::Collected { id, preimage } => list.push(Event::Collected(model_id(*id), model_preimage(preimage))),
            Real::Cancelled { id, .. } => list.push(Event::Cancelled(model_id(*id))),
            Real::LimitChanged => {}
            Real::EpochBegan { released, dropped, .. } => {
                list.push(Event::Began);
                list.extend(released.iter().map(|id| Event::Released(model_id(*id))));
                list.extend(dropped.iter().map(|id| Event::Dropped(model_id(*id))));
            }
        }
    }
    list
}

/// A fault in the model's terms; the ledger's other faults need numbers that no model has.
pub fn model_fault(fault: offst_ledger::Fault) -> Option<Fault> {
    use offst_ledger::Fault as Real;
    Some(match fault {
        Real::Equivocation => Fault::Equivocation,
        Real::NotContinuing => Fault::NotContinuing,
        Real::WrongAcknowledgement => Fault::WrongAcknowledgement,
        Real::WrongStage => Fault::WrongStage,
        Real::WrongTotals => Fault::WrongTotals,
        Real::OtherPendings => Fault::OtherPendings,
        Real::TwoOpenings => Fault::TwoOpenings,
        Real::OutOfRange | Real::WindowPassed | Real::NoCheckpoint | Real::TooManyRequests => return None,
    })
}
