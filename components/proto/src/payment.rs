//! What buyer and destination agree on for one part of a payment: the terms, the invoice's proof, the signed response
//! and the preimage (protocol section 2).

use crate::amount::Amount;
use crate::encoding::{Canonical, DecodeError, Decoder, Encoder};
use crate::{Currency, InvoiceId, PaymentId, RequestId, Signable};
use offst_crypto::{Hash, HashLock, Mac, Nonce, Preimage, PublicKey, Secret, Signer, mac, sha256};

/// The proof in a request that pays no invoice.
pub const NO_PROOF: Mac = Mac::from_bytes([0; Mac::LEN]);

const PROOF_DOMAIN: &str = "offst/proof/1";
const PREIMAGE_LABEL: &str = "offst/preimage/1";

/// What one part of a payment is for. Buyer and destination know all of it; nothing in it changes from hop to hop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartTerms {
    /// The part.
    pub request_id: RequestId,
    /// The payment it belongs to.
    pub payment_id: PaymentId,
    /// The invoice that is paid. `None` for a spontaneous payment.
    pub invoice_id: Option<InvoiceId>,
    /// Who is paid.
    pub destination: PublicKey,
    /// In which currency.
    pub currency: Currency,
    /// What the destination receives by this part, credits.
    pub amount: Amount,
    /// What it receives by all parts of the payment, credits.
    pub total: Amount,
}

impl Canonical for PartTerms {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.value(&self.request_id);
        encoder.value(&self.payment_id);
        encoder.option(&self.invoice_id);
        encoder.value(&self.destination);
        encoder.value(&self.currency);
        encoder.value(&self.amount);
        encoder.value(&self.total);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(PartTerms {
            request_id: decoder.value()?,
            payment_id: decoder.value()?,
            invoice_id: decoder.option()?,
            destination: decoder.value()?,
            currency: decoder.value()?,
            amount: decoder.value()?,
            total: decoder.value()?,
        })
    }
}

impl PartTerms {
    /// What accounts remember of the terms: enough to derive the preimage again.
    pub fn hash(&self) -> Hash {
        sha256(&self.to_canonical_bytes())
    }
}

fn proof_message(terms: &PartTerms) -> Vec<u8> {
    let mut encoder = Encoder::new();
    encoder.text(PROOF_DOMAIN);
    encoder.value(terms);
    encoder.finish()
}

/// Shows the destination that the sender of a request holds the invoice itself and not only its id, which every
/// mediator reads. Bound to this one part of this one payment, so it cannot be taken over for another.
pub fn proof(invoice_secret: &Secret, terms: &PartTerms) -> Mac {
    mac(invoice_secret, &proof_message(terms))
}

/// Whether `shown` is the [`proof`] for these terms. Compares in constant time. A request without an invoice is checked
/// against [`NO_PROOF`] instead.
pub fn verify_proof(invoice_secret: &Secret, terms: &PartTerms, shown: &Mac) -> bool {
    shown.verify(invoice_secret, &proof_message(terms))
}

/// The preimage that collects the part of these terms, derived from the destination's identity: a seller who lost its
/// disk can still collect.
///
/// All the terms enter, not the request id alone. Preimages become public when they are collected, and ids are chosen
/// by the payer. If the id alone made the preimage, a stranger who saw one collected could send a request with the same
/// id for another payment, take the signed [`Response`] from it, and hold a complete receipt for something nobody paid.
pub fn preimage(signer: &dyn Signer, terms: &PartTerms) -> Preimage {
    preimage_of(signer, &terms.hash())
}

/// The same, of the hash of the terms alone: what is left of a part whose destination has lost its disk.
pub fn preimage_of(signer: &dyn Signer, terms: &Hash) -> Preimage {
    Preimage::from_bytes(signer.derive(PREIMAGE_LABEL, terms.as_bytes()))
}

/// The destination's signed promise: the one who holds this and the lock's preimage has paid this part. Between friends only
/// lock, nonce and signature travel; the buyer knows the terms and puts it together with [`crate::Verified::assemble`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// What the part is for.
    pub terms: PartTerms,
    /// Makes two responses to the same terms differ.
    pub nonce: Nonce,
    /// Opened by the preimage that the destination shows when it collects.
    pub lock: HashLock,
}

impl Canonical for Response {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.value(&self.terms);
        encoder.value(&self.nonce);
        encoder.value(&self.lock);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Response { terms: decoder.value()?, nonce: decoder.value()?, lock: decoder.value()? })
    }
}

impl Signable for Response {
    const DOMAIN: &'static str = "offst/response/1";
    const BYTES_MAX: usize = 320;

    fn author(&self) -> PublicKey {
        self.terms.destination
    }
}

const NO_CAPACITY: u8 = 1;

macro_rules! cancel_reasons {
    ($($(#[$meta:meta])* $name:ident = $code:literal, $message:literal;)*) => {
        /// Why a part of a payment was cancelled or aborted. On the wire one byte, and after the first one an amount. A
        /// code of a later version is content and no fault: it is kept as it came.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum CancelReason {
            /// The friend's limit leaves no room for the amount.
            NoCapacity {
                /// What it has room for, credits, fees included. A hint like the rest: index servers are
                /// told as much, a moment later.
                left: Amount,
            },
            $($(#[$meta])* $name,)*
            /// A code that this version does not know. [`CancelReason::from_code`] never puts a known one here.
            Other(u8),
        }

        impl CancelReason {
            /// Every reason that is a code and nothing else, and has a name.
            pub const NAMED: &'static [CancelReason] = &[$(CancelReason::$name),*];

            /// An account that has room for `left` credits has none for this request.
            pub fn no_capacity(left: u128) -> Self {
                CancelReason::NoCapacity { left: Amount::capped(left) }
            }

            /// The first byte on the wire.
            pub const fn code(self) -> u8 {
                match self {
                    CancelReason::NoCapacity { .. } => NO_CAPACITY,
                    $(CancelReason::$name => $code,)*
                    CancelReason::Other(code) => code,
                }
            }

            /// The reason that a byte on the wire means, when it needs nothing after it. Of a missing room nothing is
            /// known but that.
            pub const fn from_code(code: u8) -> Self {
                match code {
                    NO_CAPACITY => CancelReason::NoCapacity { left: Amount::ZERO },
                    $($code => CancelReason::$name,)*
                    other => CancelReason::Other(other),
                }
            }
        }

        impl std::fmt::Display for CancelReason {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    CancelReason::NoCapacity { .. } => {
                        f.write_str("a friendship on the way has too little room for this amount")
                    }
                    $(CancelReason::$name => f.write_str($message),)*
                    CancelReason::Other(code) => write!(f, "the payment was refused for a reason this version does not know (code {code})"),
                }
            }
        }
    };
}

cancel_reasons! {
    /// The account takes no requests.
    Closed = 2, "a friendship on the way is closed for payments";
    /// The next node is not connected.
    Offline = 3, "a node on the way is offline";
    /// The destination has no such invoice.
    UnknownInvoice = 4, "the seller does not know this invoice, or has cancelled it";
    /// The invoice's time is over.
    InvoiceExpired = 5, "the invoice has expired";
    /// The patience of the request ended.
    Timeout = 6, "there was no answer in time";
    /// The fees that were left do not fit the rates on the way.
    Fee = 7, "the fees on the way have changed";
    /// The node has too much to do.
    Busy = 8, "a node on the way is too busy";
    /// A bound of the protocol or of the node's settings is exceeded.
    Bound = 9, "a node on the way has too many payments pending";
    /// The buyer, or a node between, gave up.
    Aborted = 10, "the payment was called off before it was committed";
    /// A request with this id is pending already.
    Duplicate = 11, "a request with the same id is under way already";
    /// The next hop is the friend that the request came from.
    Loop = 12, "the route turns back to the node it came from";
    /// The next node is no friend of the one before it.
    UnknownFriend = 13, "the route leads over a friendship that does not exist";
    /// The next friend has not answered committed requests for too long.
    Overdue = 14, "somebody on the way held the payment for too long, and it was released";
    /// The proof does not belong to the invoice.
    BadProof = 15, "the request does not prove that its sender holds the invoice";
    /// Amount, total or currency are not what the destination asked for.
    Amount = 16, "amount or currency are not those of the invoice";
    /// The invoice was paid before.
    AlreadyPaid = 17, "the invoice is paid already";
    /// An account on the way ended or starts anew.
    AccountStopped = 18, "an account on the way was stopped or reset";
}

impl Canonical for CancelReason {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.u8(self.code());
        if let CancelReason::NoCapacity { left } = self {
            encoder.value(left);
        }
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(match decoder.u8()? {
            NO_CAPACITY => CancelReason::NoCapacity { left: decoder.value()? },
            code => CancelReason::from_code(code),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_values::{above_the_bound, amounts};
    use crate::{Unverified, Verified};
    use offst_crypto::{Ed25519Verifier, Identity, sha256};
    use proptest::prelude::*;

    fn seller() -> Identity {
        Identity::from_seed([1; 32])
    }

    fn terms() -> PartTerms {
        PartTerms {
            request_id: RequestId::from_bytes([2; 16]),
            payment_id: PaymentId::from_bytes([3; 16]),
            invoice_id: Some(InvoiceId::from_bytes([4; 16])),
            destination: seller().public_key(),
            currency: Currency::default(),
            amount: 40.into(),
            total: 100.into(),
        }
    }

    /// Terms that differ from `terms()` in exactly one field each.
    fn changed_terms() -> Vec<PartTerms> {
        vec![
            PartTerms { request_id: RequestId::from_bytes([9; 16]), ..terms() },
            PartTerms { payment_id: PaymentId::from_bytes([9; 16]), ..terms() },
            PartTerms { invoice_id: Some(InvoiceId::from_bytes([9; 16])), ..terms() },
            PartTerms { invoice_id: None, ..terms() },
            PartTerms { destination: Identity::from_seed([9; 32]).public_key(), ..terms() },
            PartTerms { currency: "hours".parse().unwrap(), ..terms() },
            PartTerms { amount: 41.into(), ..terms() },
            PartTerms { total: 101.into(), ..terms() },
        ]
    }

    fn response() -> Verified<Response> {
        let lock = preimage(&seller(), &terms()).lock();
        Verified::sign(Response { terms: terms(), nonce: Nonce::from_bytes([5; 16]), lock }, &seller())
    }

    /// The bytes that are signed, authenticated and derived from never change without a new version in their domain.
    #[test]
    fn snapshots() {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        insta::assert_snapshot!(hex(&terms().to_canonical_bytes()), @"020202020202020202020202020202020303030303030303030303030303030301040404040404040404040404040404048a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c000000066372656469740000000000000000000000000000002800000000000000000000000000000064");
        insta::assert_snapshot!(hex(proof(&Secret::from_bytes([6; 32]), &terms()).as_bytes()), @"6e7d7aa745c905f869854b0d960aaaacf1459bad2ca1e08319017b4551b396bc");
        insta::assert_snapshot!(hex(preimage(&seller(), &terms()).as_bytes()), @"17926c23c9416236dda5434b2caea58d554930f4169453e7442c08418ffde8bd");
        insta::assert_snapshot!(hex(response().wire()), @"000000106f666673742f726573706f6e73652f31020202020202020202020202020202020303030303030303030303030303030301040404040404040404040404040404048a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c000000066372656469740000000000000000000000000000002800000000000000000000000000000064050505050505050505050505050505050d2f7cfba843b36438c10b5f029118fc9e04a46237db8df57b3aeb6119de6b600bfdd8934180931242a78d3967b2c34d00bb4242ff6d94570dfb0306a8f68a1dec68fb7ef26284bcb37d4a61a5cd50be7a5b65d2372ced8d385af956f88d9507");
    }

    #[test]
    fn a_proof_fits_one_part_of_one_payment_of_one_invoice() {
        let secret = Secret::from_bytes([6; 32]);
        let shown = proof(&secret, &terms());
        assert!(verify_proof(&secret, &terms(), &shown));
        assert!(!verify_proof(&Secret::from_bytes([7; 32]), &terms(), &shown));
        assert!(!verify_proof(&secret, &terms(), &NO_PROOF));
        for changed in changed_terms() {
            assert!(!verify_proof(&secret, &changed, &shown), "{changed:?}");
        }
    }

    /// A stranger who saw the preimage of a collected part repeats the part's id in a payment of its own. The response
    /// it is given must have another lock, or it would hold a receipt for money it never paid.
    #[test]
    fn a_preimage_opens_no_other_payment_with_the_same_request_id() {
        let seen = preimage(&seller(), &terms());
        let mut locks = std::collections::BTreeSet::from([seen.lock()]);
        for changed in changed_terms() {
            assert!(locks.insert(preimage(&seller(), &changed).lock()), "{changed:?}");
        }
        assert_eq!(preimage(&seller(), &terms()), seen, "a seller without its disk derives the same again");
    }

    #[test]
    fn a_response_is_put_together_from_what_travels() {
        let signed = response();
        let verifier = Ed25519Verifier;
        let rebuilt = Response { terms: terms(), nonce: signed.nonce, lock: signed.lock };
        assert_eq!(Verified::assemble(rebuilt, &signed.signature(), &verifier).unwrap(), signed);
        for terms in changed_terms() {
            let rebuilt = Response { terms, nonce: signed.nonce, lock: signed.lock };
            assert!(Verified::assemble(rebuilt, &signed.signature(), &verifier).is_err());
        }
        let other_lock = HashLock::from_bytes(*sha256(b"other").as_bytes());
        for (nonce, lock) in [(Nonce::from_bytes([0; 16]), signed.lock), (signed.nonce, other_lock)] {
            let rebuilt = Response { terms: terms(), nonce, lock };
            assert!(Verified::assemble(rebuilt, &signed.signature(), &verifier).is_err());
        }
    }

    #[test]
    fn damaged_responses_are_refused() {
        let wire = response().wire().to_vec();
        assert!(Unverified::<Response>::from_wire(&wire).unwrap().verify(&Ed25519Verifier).is_ok());
        for len in 0..wire.len() {
            assert!(Unverified::<Response>::from_wire(&wire[..len]).is_err(), "{len} bytes");
        }
        for bit in 0..wire.len() * 8 {
            let mut bytes = wire.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let taken = Unverified::<Response>::from_wire(&bytes).ok().and_then(|r| r.verify(&Ed25519Verifier).ok());
            assert_eq!(taken, None, "bit {bit}");
        }
    }

    #[test]
    fn the_largest_response_fits() {
        let terms = PartTerms { currency: "a-currency-of-16".parse().unwrap(), ..terms() };
        let response = Response { terms, nonce: Nonce::from_bytes([5; 16]), lock: HashLock::from_bytes([0; 32]) };
        assert!(Verified::sign(response, &seller()).wire().len() <= Response::BYTES_MAX);
    }

    #[test]
    fn amounts_above_the_bound_do_not_decode() {
        for terms in [PartTerms { amount: Amount::MAX, ..terms() }, PartTerms { total: Amount::MAX, ..terms() }] {
            let read = PartTerms::from_canonical_bytes(&above_the_bound(terms.to_canonical_bytes()));
            assert_eq!(read, Err(DecodeError::too_large("an amount")));
        }
    }

    #[test]
    fn every_reason_has_one_code_and_one_sentence() {
        let mut sentences = std::collections::BTreeSet::new();
        for code in 0..=u8::MAX {
            let reason = CancelReason::from_code(code);
            assert_eq!(reason.code(), code);
            assert_eq!(CancelReason::from_canonical_bytes(&reason.to_canonical_bytes()), Ok(reason));
            let has_name = code == NO_CAPACITY || CancelReason::NAMED.contains(&reason);
            assert_eq!(matches!(reason, CancelReason::Other(_)), !has_name);
            assert!(sentences.insert(reason.to_string()), "{reason}");
        }
        assert_eq!(CancelReason::NAMED.len(), 17);
    }

    #[test]
    fn what_is_left_is_bounded() {
        let reason = CancelReason::no_capacity(u128::MAX);
        assert_eq!(CancelReason::from_canonical_bytes(&reason.to_canonical_bytes()), Ok(reason));
        let bytes = above_the_bound(reason.to_canonical_bytes());
        assert_eq!(CancelReason::from_canonical_bytes(&bytes), Err(DecodeError::too_large("an amount")));
        assert!(CancelReason::from_canonical_bytes(&bytes[..16]).is_err());
    }

    proptest! {
        #[test]
        fn terms_round_trip(
            ids: [[u8; 16]; 3],
            invoiced: bool,
            currency in "[a-z0-9-]{1,16}",
            amount in amounts(),
            total in amounts(),
        ) {
            let terms = PartTerms {
                request_id: RequestId::from_bytes(ids[0]),
                payment_id: PaymentId::from_bytes(ids[1]),
                invoice_id: invoiced.then(|| InvoiceId::from_bytes(ids[2])),
                destination: seller().public_key(),
                currency: currency.parse().unwrap(),
                amount,
                total,
            };
            prop_assert_eq!(PartTerms::from_canonical_bytes(&terms.to_canonical_bytes()), Ok(terms));
        }

        #[test]
        fn any_bytes_decode_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            if let Ok(terms) = PartTerms::from_canonical_bytes(&bytes) {
                prop_assert_eq!(terms.to_canonical_bytes(), bytes);
            }
        }
    }
}
