//! Statements: the signed batches of which each side's log of an account consists (protocol section 1).

use crate::amount::Amount;
use crate::encoding::{Canonical, DecodeError, Decoder, Encoder};
use crate::limits::{HOPS_MAX, OPERATIONS_MAX, PATIENCE_MS_MAX, STATEMENT_BYTES_MAX};
use crate::payment::{CancelReason, PartTerms};
use crate::{Currency, InvoiceId, PaymentId, RequestId, Signable};
use offst_crypto::{Hash, HashLock, Mac, Nonce, Preimage, PublicKey, Signature};

/// One signed batch of one side's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Who signs: the owner of the log.
    pub author: PublicKey,
    /// The friend at the account's other end.
    pub other: PublicKey,
    /// The account's currency.
    pub currency: Currency,
    /// The epoch that the Openings began.
    pub epoch: u64,
    /// 1 for the first statement of the epoch, then one more each.
    pub seq: u64,
    /// Hash of the author's previous statement; of the agreement when `seq` is 1.
    pub prev_hash: Hash,
    /// The newest statement of the other side that the author has accepted; 0 for none.
    pub ack_seq: u64,
    /// Its hash; that of the agreement when `ack_seq` is 0.
    pub ack_hash: Hash,
    /// What the author does, in this order.
    pub operations: Vec<Operation>,
    /// Running totals of the author's log, after these operations.
    pub totals: Totals,
    /// A checkpoint: the hash of all pending requests as the author sees them at (`seq`, `ack_seq`).
    pub pending_hash: Option<Hash>,
}

/// Running totals of one log in credits. They only grow, so nothing depends on how two logs interleave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Sum of all `Request`s of the author, and of the requests that the Opening let continue.
    pub requested: u128,
    /// Sum of all `Collect`s of the author.
    pub collected: u128,
    /// Sum of all `Cancel`s of the author.
    pub cancelled: u128,
}

/// One step in a log. The upstream authors `Request`, `Commit` and `Abort`; the downstream `Response`, `Collect` and
/// `Cancel`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Holds credits and asks the other side to carry them on.
    Request(Box<Request>),
    /// The destination is willing, and may collect under this lock.
    Response(Answer),
    /// The upstream will pay the node that shows the preimage; it cannot take this back.
    Commit {
        /// The request.
        id: RequestId,
    },
    /// The upstream gives up a request that it has not committed.
    Abort {
        /// The request.
        id: RequestId,
    },
    /// Takes the held credits for the preimage.
    Collect {
        /// The request.
        id: RequestId,
        /// What opens the lock.
        preimage: Preimage,
    },
    /// Releases the held credits.
    Cancel {
        /// The request.
        id: RequestId,
        /// Why.
        reason: CancelReason,
        /// The node whose account with the next one did not take the request, or the destination: a hint for the
        /// buyer's next route, signed by nobody but the friend who passed it on.
        hop: PublicKey,
    },
    /// What the author lets the other side owe, credits.
    SetLimit(Amount),
    /// Whether the author takes requests.
    SetOpen(bool),
}

/// A part of a payment in flight along a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Fresh for every attempt.
    pub id: RequestId,
    /// The payment it is a part of.
    pub payment_id: PaymentId,
    /// The invoice that is paid; none for a spontaneous payment.
    pub invoice_id: Option<InvoiceId>,
    /// What the destination gets from this part, credits.
    pub amount: Amount,
    /// What the destination gets from all parts, credits.
    pub total: Amount,
    /// What the mediators still ahead take, credits.
    pub fees_left: Amount,
    /// How long the author waits before it gives up, ms.
    pub patience_ms: u64,
    /// The nodes behind the friend that gets this request; empty at the destination.
    pub path: Vec<PublicKey>,
    /// Shows the seller that the buyer holds the invoice.
    pub proof: Mac,
    /// It goes around a debt cycle, in which each owes the node before it, back to the buyer. A mediator that allows clearing takes no
    /// fee where the request makes both of its accounts smaller; everybody else treats it as any other.
    pub clearing: bool,
}

/// A destination's answer to a request, without what the request already said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The request.
    pub id: RequestId,
    /// What the preimage must hash to.
    pub lock: HashLock,
    /// Makes signatures differ.
    pub nonce: Nonce,
    /// The destination's signature over [`crate::payment::Response`].
    pub signature: Signature,
}

impl Request {
    /// Credits that this request holds on the account that carries it.
    ///
    /// # Panics
    /// It would hold more than [`Amount::MAX`]: such a request is not decoded, and an account does not send it.
    pub fn held(&self) -> Amount {
        self.checked_held().expect("a request is checked where it is made or decoded")
    }

    /// The same; none: it would hold more than [`Amount::MAX`].
    pub fn checked_held(&self) -> Option<Amount> {
        self.amount.checked_add(self.fees_left)
    }

    /// What the destination signs, for a request that `receiver` got.
    pub fn terms(&self, receiver: PublicKey, currency: &Currency) -> PartTerms {
        PartTerms {
            request_id: self.id,
            payment_id: self.payment_id,
            invoice_id: self.invoice_id,
            destination: self.path.last().copied().unwrap_or(receiver),
            currency: currency.clone(),
            amount: self.amount,
            total: self.total,
        }
    }
}

impl Operation {
    /// The request it speaks of.
    pub fn request_id(&self) -> Option<RequestId> {
        match self {
            Operation::Request(request) => Some(request.id),
            Operation::Response(answer) => Some(answer.id),
            Operation::Commit { id }
            | Operation::Abort { id }
            | Operation::Collect { id, .. }
            | Operation::Cancel { id, .. } => Some(*id),
            Operation::SetLimit(_) | Operation::SetOpen(_) => None,
        }
    }

    /// Whether it ends a request and releases what that froze.
    pub fn ends_request(&self) -> bool {
        matches!(self, Operation::Collect { .. } | Operation::Cancel { .. })
    }
}

impl Canonical for Totals {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.u128(self.requested);
        encoder.u128(self.collected);
        encoder.u128(self.cancelled);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Totals { requested: decoder.u128()?, collected: decoder.u128()?, cancelled: decoder.u128()? })
    }
}

impl Canonical for Request {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.value(&self.id);
        encoder.value(&self.payment_id);
        encoder.option(&self.invoice_id);
        encoder.value(&self.amount);
        encoder.value(&self.total);
        encoder.value(&self.fees_left);
        encoder.u64(self.patience_ms);
        encoder.list(&self.path);
        encoder.value(&self.proof);
        encoder.bool(self.clearing);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let request = Request {
            id: decoder.value()?,
            payment_id: decoder.value()?,
            invoice_id: decoder.option()?,
            amount: decoder.value()?,
            total: decoder.value()?,
            fees_left: decoder.value()?,
            patience_ms: decoder.u64()?,
            path: decoder.list(HOPS_MAX, "a path")?,
            proof: decoder.value()?,
            clearing: decoder.bool()?,
        };
        if request.checked_held().is_none() {
            return Err(DecodeError::too_large("an amount with its fees"));
        }
        if request.patience_ms > PATIENCE_MS_MAX {
            return Err(DecodeError::too_large("a patience"));
        }
        Ok(request)
    }
}

impl Canonical for Answer {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.value(&self.id);
        encoder.value(&self.lock);
        encoder.value(&self.nonce);
        encoder.value(&self.signature);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Answer {
            id: decoder.value()?,
            lock: decoder.value()?,
            nonce: decoder.value()?,
            signature: decoder.value()?,
        })
    }
}

impl Canonical for Operation {
    fn encode(&self, encoder: &mut Encoder) {
        match self {
            Operation::Request(request) => {
                encoder.u8(0);
                encoder.value(&**request);
            }
            Operation::Response(answer) => {
                encoder.u8(1);
                encoder.value(answer);
            }
            Operation::Commit { id } => {
                encoder.u8(2);
                encoder.value(id);
            }
            Operation::Abort { id } => {
                encoder.u8(3);
                encoder.value(id);
            }
            Operation::Collect { id, preimage } => {
                encoder.u8(4);
                encoder.value(id);
                encoder.value(preimage);
            }
            Operation::Cancel { id, reason, hop } => {
                encoder.u8(5);
                encoder.value(id);
                encoder.value(reason);
                encoder.value(hop);
            }
            Operation::SetLimit(limit) => {
                encoder.u8(6);
                encoder.value(limit);
            }
            Operation::SetOpen(open) => {
                encoder.u8(7);
                encoder.bool(*open);
            }
        }
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(match decoder.u8()? {
            0 => Operation::Request(Box::new(decoder.value()?)),
            1 => Operation::Response(decoder.value()?),
            2 => Operation::Commit { id: decoder.value()? },
            3 => Operation::Abort { id: decoder.value()? },
            4 => Operation::Collect { id: decoder.value()?, preimage: decoder.value()? },
            5 => Operation::Cancel { id: decoder.value()?, reason: decoder.value()?, hop: decoder.value()? },
            6 => Operation::SetLimit(decoder.value()?),
            7 => Operation::SetOpen(decoder.bool()?),
            _ => return Err(DecodeError::invalid("an operation")),
        })
    }
}

impl Canonical for Statement {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.value(&self.author);
        encoder.value(&self.other);
        encoder.value(&self.currency);
        encoder.u64(self.epoch);
        encoder.u64(self.seq);
        encoder.value(&self.prev_hash);
        encoder.u64(self.ack_seq);
        encoder.value(&self.ack_hash);
        encoder.list(&self.operations);
        encoder.value(&self.totals);
        encoder.option(&self.pending_hash);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Statement {
            author: decoder.value()?,
            other: decoder.value()?,
            currency: decoder.value()?,
            epoch: decoder.u64()?,
            seq: decoder.u64()?,
            prev_hash: decoder.value()?,
            ack_seq: decoder.u64()?,
            ack_hash: decoder.value()?,
            operations: decoder.list(OPERATIONS_MAX, "a list of operations")?,
            totals: decoder.value()?,
            pending_hash: decoder.option()?,
        })
    }
}

impl Signable for Statement {
    const DOMAIN: &'static str = "offst/statement/1";
    const BYTES_MAX: usize = STATEMENT_BYTES_MAX;

    fn author(&self) -> PublicKey {
        self.author
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payment::NO_PROOF;
    use crate::test_values::{above_the_bound, amounts, hex, identity, key};
    use crate::{Unverified, Verified};
    use offst_crypto::{Ed25519Verifier, sha256};
    use proptest::prelude::*;

    fn request() -> Request {
        Request {
            id: RequestId::from_bytes([3; 16]),
            payment_id: PaymentId::from_bytes([4; 16]),
            invoice_id: Some(InvoiceId::from_bytes([5; 16])),
            amount: 100.into(),
            total: 300.into(),
            fees_left: 2.into(),
            patience_ms: 20_000,
            path: vec![key(1), key(2)],
            proof: Mac::from_bytes([6; 32]),
            clearing: true,
        }
    }

    fn answer() -> Answer {
        Answer {
            id: RequestId::from_bytes([3; 16]),
            lock: HashLock::from_bytes([7; 32]),
            nonce: Nonce::from_bytes([8; Nonce::LEN]),
            signature: Signature::from_bytes([9; 64]),
        }
    }

    fn statement(operations: Vec<Operation>) -> Statement {
        Statement {
            author: key(1),
            other: key(2),
            currency: Currency::default(),
            epoch: 1,
            seq: 2,
            prev_hash: sha256(b"previous"),
            ack_seq: 3,
            ack_hash: sha256(b"acknowledged"),
            operations,
            totals: Totals { requested: 4, collected: 5, cancelled: 6 },
            pending_hash: Some(sha256(b"pending")),
        }
    }

    #[test]
    fn statements_keep_their_bytes() {
        let signed = Verified::sign(statement(vec![Operation::SetOpen(true)]), &identity(1));
        insta::assert_snapshot!(hex(signed.wire()), @"000000116f666673742f73746174656d656e742f318a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b39400000006637265646974000000000000000100000000000000026da0633528deaa0144e7b058315f0b753ec0b945163a72bf96a0d18180f9de0d00000000000000033ef25c849197ef76226ed8bb9b8aa4dc0212702980f2eb38b1ab98ee0c9a96470000000107010000000000000000000000000000000400000000000000000000000000000005000000000000000000000000000000060162a2fed3d6e08c44835fce71f02210b1ddabfb066e39edf1e6c261988f824dd34a7664ca2f6a5cd05aab562e4acc1d9130db5e8a2acb8842cc52aed30dc9cc3e3ebf36f6c382f5b59dc86eb08c0bac9efa5b38f2bdbd61e7939010ec8f6eab0c");
        let read = Unverified::<Statement>::from_wire(signed.wire()).unwrap().verify(&Ed25519Verifier).unwrap();
        assert_eq!(read, signed);
    }

    #[test]
    fn operations_keep_their_bytes() {
        let id = RequestId::from_bytes([3; 16]);
        let preimage = Preimage::from_bytes([7; 32]);
        let bytes = |operation: Operation| hex(&operation.to_canonical_bytes());
        let spontaneous = Request { invoice_id: None, path: vec![], proof: NO_PROOF, ..request() };
        insta::assert_snapshot!(bytes(Operation::Request(Box::new(request()))), @"0003030303030303030303030303030303040404040404040404040404040404040105050505050505050505050505050505000000000000000000000000000000640000000000000000000000000000012c000000000000000000000000000000020000000000004e20000000028a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394060606060606060606060606060606060606060606060606060606060606060601");
        insta::assert_snapshot!(bytes(Operation::Request(Box::new(spontaneous))), @"00030303030303030303030303030303030404040404040404040404040404040400000000000000000000000000000000640000000000000000000000000000012c000000000000000000000000000000020000000000004e2000000000000000000000000000000000000000000000000000000000000000000000000001");
        insta::assert_snapshot!(bytes(Operation::Response(answer())), @"010303030303030303030303030303030307070707070707070707070707070707070707070707070707070707070707070808080808080808080808080808080809090909090909090909090909090909090909090909090909090909090909090909090909090909090909090909090909090909090909090909090909090909");
        insta::assert_snapshot!(bytes(Operation::Commit { id }), @"0203030303030303030303030303030303");
        insta::assert_snapshot!(bytes(Operation::Abort { id }), @"0303030303030303030303030303030303");
        insta::assert_snapshot!(bytes(Operation::Collect { id, preimage }), @"04030303030303030303030303030303030707070707070707070707070707070707070707070707070707070707070707");
        insta::assert_snapshot!(bytes(Operation::Cancel { id, reason: CancelReason::Busy, hop: key(2) }), @"0503030303030303030303030303030303088139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394");
        insta::assert_snapshot!(bytes(Operation::SetLimit(Amount::MAX)), @"0600000001000000000000000000000000");
        insta::assert_snapshot!(bytes(Operation::SetOpen(false)), @"0700");
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let operations =
            vec![Operation::Request(Box::new(request())), Operation::Response(answer()), Operation::SetLimit(7.into())];
        let signed = Verified::sign(statement(operations), &identity(1));
        for bit in 0..signed.wire().len() * 8 {
            let mut bytes = signed.wire().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let taken = Unverified::<Statement>::from_wire(&bytes).ok().and_then(|s| s.verify(&Ed25519Verifier).ok());
            assert_eq!(taken, None, "bit {bit}");
        }
        for len in 0..signed.wire().len() {
            assert!(Unverified::<Statement>::from_wire(&signed.wire()[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn numbers_out_of_their_bounds_are_refused() {
        let refused = |request: Request| {
            Operation::from_canonical_bytes(&Operation::Request(Box::new(request)).to_canonical_bytes()).is_err()
        };
        assert!(!refused(Request { amount: Amount::MAX, fees_left: 0.into(), ..request() }));
        assert!(refused(Request { amount: Amount::MAX, fees_left: 1.into(), ..request() }));
        assert!(refused(Request { fees_left: Amount::MAX, ..request() }));
        for request in [Request { amount: Amount::MAX, ..request() }, Request { total: Amount::MAX, ..request() }] {
            let bytes = above_the_bound(Operation::Request(Box::new(request)).to_canonical_bytes());
            assert_eq!(Operation::from_canonical_bytes(&bytes), Err(DecodeError::too_large("an amount")));
        }
        assert!(refused(Request { patience_ms: PATIENCE_MS_MAX + 1, ..request() }));
        assert!(!refused(Request { path: vec![key(1); HOPS_MAX], ..request() }));
        assert!(refused(Request { path: vec![key(1); HOPS_MAX + 1], ..request() }));
        let limit = above_the_bound(Operation::SetLimit(Amount::MAX).to_canonical_bytes());
        assert!(Operation::from_canonical_bytes(&limit).is_err());
        let many = statement(vec![Operation::SetOpen(true); OPERATIONS_MAX + 1]).to_canonical_bytes();
        assert!(Statement::from_canonical_bytes(&many).is_err());
    }

    fn any_operation() -> impl Strategy<Value = Operation> {
        let id = any::<[u8; 16]>().prop_map(RequestId::from_bytes);
        let requests = (id.clone(), 0..1u128 << 95, 0..1u128 << 95, prop::option::of(any::<[u8; 16]>()), 0..=HOPS_MAX)
            .prop_map(|(id, amount, fees_left, invoice, hops)| {
                let invoice_id = invoice.map(InvoiceId::from_bytes);
                let path = (0..hops).map(|hop| key(u8::try_from(hop).unwrap())).collect();
                Operation::Request(Box::new(Request {
                    id,
                    amount: Amount::capped(amount),
                    fees_left: Amount::capped(fees_left),
                    invoice_id,
                    path,
                    ..request()
                }))
            });
        prop_oneof![
            requests,
            id.clone().prop_map(|id| Operation::Response(Answer { id, ..answer() })),
            id.clone().prop_map(|id| Operation::Commit { id }),
            id.clone().prop_map(|id| Operation::Abort { id }),
            (id.clone(), any::<[u8; 32]>())
                .prop_map(|(id, bytes)| Operation::Collect { id, preimage: Preimage::from_bytes(bytes) }),
            (id.clone(), any::<u8>()).prop_map(|(id, code)| Operation::Cancel {
                id,
                reason: CancelReason::from_code(code),
                hop: key(2)
            }),
            (id, amounts()).prop_map(|(id, left)| Operation::Cancel {
                id,
                reason: CancelReason::NoCapacity { left },
                hop: key(2)
            }),
            amounts().prop_map(Operation::SetLimit),
            any::<bool>().prop_map(Operation::SetOpen),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn statements_come_back_as_they_went(
            operations in prop::collection::vec(any_operation(), 0..12),
            numbers in any::<[u64; 3]>(),
            totals in any::<[u128; 3]>(),
            has_checkpoint in any::<bool>(),
        ) {
            let statement = Statement {
                epoch: numbers[0],
                seq: numbers[1],
                ack_seq: numbers[2],
                totals: Totals { requested: totals[0], collected: totals[1], cancelled: totals[2] },
                pending_hash: has_checkpoint.then(|| sha256(b"pending")),
                ..statement(operations)
            };
            let signed = Verified::sign(statement, &identity(1));
            let read = Unverified::<Statement>::from_wire(signed.wire()).unwrap();
            prop_assert_eq!(read.peek(), &*signed);
            prop_assert_eq!(read.verify(&Ed25519Verifier).unwrap(), signed);
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = Statement::from_canonical_bytes(&bytes);
            let _ = Operation::from_canonical_bytes(&bytes);
            let _ = Unverified::<Statement>::from_wire(&bytes);
        }
    }
}
