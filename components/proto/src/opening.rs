//! Openings: the signed terms with which an account starts, and starts again after a disagreement (protocol section 1).

use crate::amount::{Amount, decode_balance};
use crate::encoding::{Canonical, DecodeError, Decoder, Encoder};
use crate::limits::PENDING_MAX;
use crate::{Currency, RequestId, Signable};
use offst_crypto::{Hash, HashLock, PublicKey};

/// One side's terms for a new epoch. A side signs at most one for each epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// Who signs.
    pub author: PublicKey,
    /// The friend at the account's other end.
    pub other: PublicKey,
    /// The account's currency.
    pub currency: Currency,
    /// The epoch these terms are for.
    pub epoch: u64,
    /// The balance from the author's side, credits: positive = the other side owes the author.
    pub balance: i128,
    /// Committed requests that continue, in the order of (`author_pays`, id).
    pub continuing: Vec<Continuing>,
    /// When the author accepts the other side's terms: the hash of the Opening it accepts.
    pub accepts: Option<Hash>,
}

/// A committed request that an Opening carries over into the new epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Continuing {
    /// Whether the Opening's author is the upstream.
    pub author_pays: bool,
    /// The request.
    pub id: RequestId,
    /// Credits held.
    pub held: Amount,
    /// What the preimage must hash to.
    pub lock: HashLock,
    /// Hash of the terms that the destination signed; a seller without a disk derives its preimage from it.
    pub terms: Hash,
}

impl Opening {
    /// Whether the other side's terms say the same as these, seen from the other end.
    pub fn mirrors(&self, other: &Opening) -> bool {
        self.author == other.other
            && self.other == other.author
            && self.currency == other.currency
            && self.balance == -other.balance
            && self.continuing == other.mirrored_continuing()
    }

    /// The continuing requests as the other side would list them.
    pub fn mirrored_continuing(&self) -> Vec<Continuing> {
        let mut list: Vec<_> =
            self.continuing.iter().map(|c| Continuing { author_pays: !c.author_pays, ..*c }).collect();
        list.sort_unstable();
        list
    }
}

impl Canonical for Continuing {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.bool(self.author_pays);
        encoder.value(&self.id);
        encoder.value(&self.held);
        encoder.value(&self.lock);
        encoder.value(&self.terms);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Continuing {
            author_pays: decoder.bool()?,
            id: decoder.value()?,
            held: decoder.value()?,
            lock: decoder.value()?,
            terms: decoder.value()?,
        })
    }
}

impl Canonical for Opening {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.value(&self.author);
        encoder.value(&self.other);
        encoder.value(&self.currency);
        encoder.u64(self.epoch);
        encoder.i128(self.balance);
        encoder.list(&self.continuing);
        encoder.option(&self.accepts);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let opening = Opening {
            author: decoder.value()?,
            other: decoder.value()?,
            currency: decoder.value()?,
            epoch: decoder.u64()?,
            balance: decode_balance(decoder)?,
            continuing: decoder.list(2 * PENDING_MAX, "a list of continuing requests")?,
            accepts: decoder.option()?,
        };
        let is_sorted =
            opening.continuing.windows(2).all(|w| (w[0].author_pays, w[0].id) < (w[1].author_pays, w[1].id));
        if !is_sorted {
            return Err(DecodeError::invalid("the order of continuing requests"));
        }
        Ok(opening)
    }
}

impl Signable for Opening {
    const DOMAIN: &'static str = "offst/opening/1";
    const BYTES_MAX: usize = 512 * 1024;

    fn author(&self) -> PublicKey {
        self.author
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_values::amounts;
    use crate::test_values::{hex, identity};
    use crate::{Unverified, Verified};
    use offst_crypto::{Ed25519Verifier, sha256};
    use proptest::prelude::*;

    fn continuing(author_pays: bool, id: u8) -> Continuing {
        Continuing {
            author_pays,
            id: RequestId::from_bytes([id; 16]),
            held: 7.into(),
            lock: HashLock::from_bytes([8; 32]),
            terms: sha256(b"terms"),
        }
    }

    fn opening() -> Opening {
        Opening {
            author: identity(1).public_key(),
            other: identity(2).public_key(),
            currency: Currency::default(),
            epoch: 3,
            balance: -5,
            continuing: vec![continuing(false, 2), continuing(true, 1)],
            accepts: Some(sha256(b"accepted")),
        }
    }

    #[test]
    fn openings_keep_their_bytes() {
        let signed = Verified::sign(opening(), &identity(1));
        insta::assert_snapshot!(hex(signed.wire()), @"0000000f6f666673742f6f70656e696e672f318a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394000000066372656469740000000000000003fffffffffffffffffffffffffffffffb00000002000202020202020202020202020202020200000000000000000000000000000007080808080808080808080808080808080808080808080808080808080808080851d2361f4faea3bc8f9facdbc7d99abb555596a2e51f7b25fd3b41c93587e616010101010101010101010101010101010100000000000000000000000000000007080808080808080808080808080808080808080808080808080808080808080851d2361f4faea3bc8f9facdbc7d99abb555596a2e51f7b25fd3b41c93587e61601070c160a6299c5438070b1aa737b14fc2992ed49579c14264884886a5876f971dffc80a23f372b097caf7de57fc87da23c9e22d22bbce07ceadf8b659d0cd477605ecfab388e8a558f13c0d58e2b032d4ba2ea437f42eb193fc03de4613bfb09");
        let first = Opening { continuing: vec![], accepts: None, ..opening() };
        insta::assert_snapshot!(hex(&first.to_canonical_bytes()), @"8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394000000066372656469740000000000000003fffffffffffffffffffffffffffffffb0000000000");
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let signed = Verified::sign(opening(), &identity(1));
        for bit in 0..signed.wire().len() * 8 {
            let mut bytes = signed.wire().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let taken = Unverified::<Opening>::from_wire(&bytes).ok().and_then(|o| o.verify(&Ed25519Verifier).ok());
            assert_eq!(taken, None, "bit {bit}");
        }
        for len in 0..signed.wire().len() {
            assert!(Unverified::<Opening>::from_wire(&signed.wire()[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn the_other_end_sees_the_mirror() {
        let mine = opening();
        let theirs = Opening {
            author: mine.other,
            other: mine.author,
            balance: 5,
            continuing: vec![continuing(false, 1), continuing(true, 2)],
            ..mine.clone()
        };
        assert!(mine.mirrors(&theirs) && theirs.mirrors(&mine));
        assert!(!mine.mirrors(&mine));
        assert!(!mine.mirrors(&Opening { balance: 4, ..theirs.clone() }));
        assert!(!mine.mirrors(&Opening { currency: "euro".parse().unwrap(), ..theirs.clone() }));
        assert!(!mine.mirrors(&Opening { continuing: vec![continuing(false, 1)], ..theirs }));
    }

    #[test]
    fn only_one_order_and_only_balances_in_range_are_taken() {
        let refused = |opening: Opening| Opening::from_canonical_bytes(&opening.to_canonical_bytes()).is_err();
        assert!(!refused(opening()));
        assert!(refused(Opening { continuing: vec![continuing(true, 1), continuing(false, 2)], ..opening() }));
        assert!(refused(Opening { continuing: vec![continuing(true, 1), continuing(true, 1)], ..opening() }));
        assert!(refused(Opening { balance: i128::MIN, ..opening() }));
        assert!(refused(Opening { balance: -(1 << 96) - 1, ..opening() }));
        assert!(!refused(Opening { balance: -(1 << 96), ..opening() }));
        let most = 2 * PENDING_MAX;
        let many = |count: usize| -> Vec<_> {
            let id = |number: usize| RequestId::from_bytes((number as u128).to_be_bytes());
            (0..count).map(|number| Continuing { id: id(number), ..continuing(true, 0) }).collect()
        };
        let full = Opening { continuing: many(most), ..opening() };
        assert!(Verified::sign(full.clone(), &identity(1)).wire().len() <= Opening::BYTES_MAX);
        assert!(!refused(full));
        assert!(refused(Opening { continuing: many(most + 1), ..opening() }));
    }

    proptest! {
        #[test]
        fn openings_come_back_as_they_went(
            balance in -(1i128 << 96)..=1i128 << 96,
            epoch in any::<u64>(),
            requests in prop::collection::btree_map(any::<(bool, [u8; 16])>(), amounts(), 0..20),
            accepts in prop::option::of(any::<[u8; 32]>()),
        ) {
            let continuing = requests.into_iter().map(|((author_pays, id), amount)| Continuing {
                author_pays,
                id: RequestId::from_bytes(id),
                held: amount,
                ..continuing(author_pays, 0)
            });
            let accepts = accepts.map(Hash::from_bytes);
            let opening = Opening { balance, epoch, continuing: continuing.collect(), accepts, ..opening() };
            prop_assert_eq!(&Opening::from_canonical_bytes(&opening.to_canonical_bytes()).unwrap(), &opening);
            let twice = Opening { continuing: opening.mirrored_continuing(), ..opening.clone() };
            prop_assert_eq!(twice.mirrored_continuing(), opening.continuing);
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = Opening::from_canonical_bytes(&bytes);
            let _ = Unverified::<Opening>::from_wire(&bytes);
        }
    }
}
