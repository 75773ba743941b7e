//! A friend has lost its key and goes on under another one (protocol section 1): what a node has agreed to, signed by
//! it.
//!
//! The signature says who let the account go on, from where, and with which terms. The friend's word is its own Opening
//! for the new account: it is signed with the new key and mirrors these terms.

use crate::amount::decode_balance;
use crate::encoding::{Canonical, DecodeError, Decoder, Encoder};
use crate::limits::CURRENCIES_MAX;
use crate::{Currency, Signable};
use offst_crypto::{Hash, PublicKey};

/// A node's consent that the accounts with one key go on with another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyReplacement {
    /// Who consents and signs.
    pub author: PublicKey,
    /// The key that was lost. Nothing is signed on its accounts any more.
    pub lost: PublicKey,
    /// The key that takes its place.
    pub new_key: PublicKey,
    /// When, unix ms.
    pub time_ms: u64,
    /// Every account that goes on, in the order of the currencies.
    pub accounts: Vec<ReplacedAccount>,
}

/// Where an account with a lost key ended, and with which terms it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplacedAccount {
    /// Its currency.
    pub currency: Currency,
    /// The balance that goes on, credits: positive = the friend owes the author.
    pub balance: i128,
    /// The epoch in which the account with the lost key ended; none: none had begun.
    pub epoch: Option<u64>,
    /// How many statements the author, and the friend, had signed in it.
    pub own_seq: u64,
    /// See `own_seq`.
    pub other_seq: u64,
    /// The author's first Opening for the account with the new key.
    pub opening: Hash,
}

impl Canonical for ReplacedAccount {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.value(&self.currency);
        encoder.i128(self.balance);
        encoder.bool(self.epoch.is_some());
        encoder.u64(self.epoch.unwrap_or_default());
        encoder.u64(self.own_seq);
        encoder.u64(self.other_seq);
        encoder.value(&self.opening);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let (currency, balance) = (decoder.value()?, decode_balance(decoder)?);
        let has_begun = decoder.bool()?;
        let epoch = decoder.u64()?;
        if !has_begun && epoch != 0 {
            return Err(DecodeError::invalid("an epoch that has not begun"));
        }
        Ok(ReplacedAccount {
            currency,
            balance,
            epoch: has_begun.then_some(epoch),
            own_seq: decoder.u64()?,
            other_seq: decoder.u64()?,
            opening: decoder.value()?,
        })
    }
}

impl Canonical for KeyReplacement {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.value(&self.author);
        encoder.value(&self.lost);
        encoder.value(&self.new_key);
        encoder.u64(self.time_ms);
        encoder.list(&self.accounts);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let replacement = KeyReplacement {
            author: decoder.value()?,
            lost: decoder.value()?,
            new_key: decoder.value()?,
            time_ms: decoder.u64()?,
            accounts: decoder.list::<ReplacedAccount>(CURRENCIES_MAX, "replaced accounts")?,
        };
        if !replacement.accounts.windows(2).all(|pair| pair[0].currency < pair[1].currency) {
            return Err(DecodeError::invalid("the order of replaced accounts"));
        }
        Ok(replacement)
    }
}

impl Signable for KeyReplacement {
    const DOMAIN: &'static str = "offst/key-replacement/1";
    const BYTES_MAX: usize = 16 * 1024;

    fn author(&self) -> PublicKey {
        self.author
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_values::identity;
    use crate::{Unverified, Verified};
    use offst_crypto::{Ed25519Verifier, sha256};
    use proptest::prelude::*;

    fn account(currency: &str, epoch: Option<u64>) -> ReplacedAccount {
        ReplacedAccount {
            currency: currency.parse().unwrap(),
            balance: -40,
            epoch,
            own_seq: 7,
            other_seq: 9,
            opening: sha256(b"opening"),
        }
    }

    fn replacement() -> KeyReplacement {
        KeyReplacement {
            author: identity(1).public_key(),
            lost: identity(2).public_key(),
            new_key: identity(3).public_key(),
            time_ms: 1_700_000_000_000,
            accounts: vec![account("credit", Some(3)), account("hours", None)],
        }
    }

    #[test]
    fn replacements_keep_their_bytes() {
        let signed = Verified::sign(replacement(), &identity(1));
        let hex: String = signed.wire().iter().map(|byte| format!("{byte:02x}")).collect();
        insta::assert_snapshot!(hex, @"000000176f666673742f6b65792d7265706c6163656d656e742f318a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394ed4928c628d1c2c6eae90338905995612959273a5c63f93636c14614ac8737d10000018bcfe568000000000200000006637265646974ffffffffffffffffffffffffffffffd8010000000000000003000000000000000700000000000000092b3fdf05c4dda454998927370bf2cf20b0c17bcf1e3d3f294a550e341033ed6100000005686f757273ffffffffffffffffffffffffffffffd8000000000000000000000000000000000700000000000000092b3fdf05c4dda454998927370bf2cf20b0c17bcf1e3d3f294a550e341033ed61606d6f64609ea5d6229ab175970203e51d80ebfaa87bacb943644a75713c6f8610abd0a8a6afd36df6d3b274313d17a92b2566908914bd4ce4544dbfd6320b07");
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let signed = Verified::sign(replacement(), &identity(1));
        for bit in 0..signed.wire().len() * 8 {
            let mut bytes = signed.wire().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let taken = Unverified::<KeyReplacement>::from_wire(&bytes);
            assert!(taken.ok().and_then(|taken| taken.verify(&Ed25519Verifier).ok()).is_none(), "bit {bit}");
        }
        for len in 0..signed.wire().len() {
            assert!(Unverified::<KeyReplacement>::from_wire(&signed.wire()[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn only_one_order_and_only_balances_in_range_are_taken() {
        let refused =
            |value: KeyReplacement| KeyReplacement::from_canonical_bytes(&value.to_canonical_bytes()).is_err();
        assert!(!refused(replacement()));
        assert!(refused(KeyReplacement {
            accounts: vec![account("hours", None), account("credit", None)],
            ..replacement()
        }));
        let large = ReplacedAccount { balance: (1 << 96) + 1, ..account("credit", None) };
        assert!(refused(KeyReplacement { accounts: vec![large], ..replacement() }));
    }

    #[test]
    fn the_largest_one_fits() {
        let longest = |number: usize| ReplacedAccount {
            currency: format!("{number:0>width$}", width = crate::limits::CURRENCY_BYTES_MAX).parse().unwrap(),
            ..account("credit", Some(1))
        };
        let full = KeyReplacement { accounts: (0..CURRENCIES_MAX).map(longest).collect(), ..replacement() };
        let wire = Verified::sign(full, &identity(1)).wire().clone();
        assert!(Unverified::<KeyReplacement>::from_wire(&wire).is_ok(), "{} bytes", wire.len());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = KeyReplacement::from_canonical_bytes(&bytes);
            let _ = Unverified::<KeyReplacement>::from_wire(&bytes);
        }
    }
}
