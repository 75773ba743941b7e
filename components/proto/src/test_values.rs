//! What the tests of many modules need.

use offst_crypto::{Identity, PublicKey};

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
