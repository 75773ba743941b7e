//! What the tests of many modules need.

use crate::amount::Amount;
use crate::encoding::Canonical;
use offst_crypto::{Identity, PublicKey};
use proptest::prelude::*;

/// Bytes as a snapshot shows them.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One of 256 identities.
pub(crate) fn identity(seed: u8) -> Identity {
    Identity::from_seed([seed; 32])
}

/// Its key.
pub(crate) fn key(seed: u8) -> PublicKey {
    identity(seed).public_key()
}

/// Any amount.
pub(crate) fn amounts() -> impl Strategy<Value = Amount> {
    (0..=Amount::MAX.credits()).prop_map(Amount::capped)
}

/// The bytes, with one credit more where they hold the largest amount for the first time.
pub(crate) fn above_the_bound(mut bytes: Vec<u8>) -> Vec<u8> {
    let most = Amount::MAX.to_canonical_bytes();
    let at = bytes.windows(most.len()).position(|window| window == most).expect("they hold the largest amount");
    bytes[at + most.len() - 1] = 1;
    bytes
}
