//! Sealing bytes for nobody but oneself: what friends keep for a node and must neither read nor change.
//!
//! ```text
//! sealed = salt (16 random bytes) | AES-256-GCM ciphertext | tag (16 bytes)
//! key    = derive(label, salt), nonce = 0
//! ```
//!
//! Every salt makes a key of its own, so one nonce is enough, and no counter has to survive a lost disk.

use crate::{Random, Signer};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

const SALT_BYTES: usize = 16;
const TAG_BYTES: usize = 16;

/// How many bytes sealing adds.
pub const SEAL_BYTES: usize = SALT_BYTES + TAG_BYTES;

/// The key of one salt. The label enters as additional data too, so that no two uses can be mixed up.
fn key(signer: &dyn Signer, label: &str, salt: &[u8]) -> LessSafeKey {
    let bytes = Zeroizing::new(signer.derive(label, salt));
    let key = UnboundKey::new(&AES_256_GCM, &*bytes).expect("a key of AES-256 has 32 bytes");
    LessSafeKey::new(key)
}

fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

/// Encrypts `bytes` so that only the holder of this private key can read them, and only under the same `label`.
///
/// ```
/// use offst_crypto::{Identity, SystemRandom, seal, unseal};
///
/// let identity = Identity::from_seed([1; 32]);
/// let sealed = seal(&identity, "example", &mut SystemRandom::new(), b"for me alone");
/// assert_eq!(unseal(&identity, "example", &sealed), Some(b"for me alone".to_vec()));
/// assert_eq!(unseal(&Identity::from_seed([2; 32]), "example", &sealed), None);
/// ```
pub fn seal(signer: &dyn Signer, label: &str, random: &mut dyn Random, bytes: &[u8]) -> Vec<u8> {
    let mut salt = [0; SALT_BYTES];
    random.fill(&mut salt);
    let mut sealed = Vec::with_capacity(bytes.len() + SEAL_BYTES);
    sealed.extend_from_slice(&salt);
    sealed.extend_from_slice(bytes);
    let tag = key(signer, label, &salt)
        .seal_in_place_separate_tag(nonce(), Aad::from(label.as_bytes()), &mut sealed[SALT_BYTES..])
        .expect("AES-GCM takes far more bytes than memory holds of these");
    sealed.extend_from_slice(tag.as_ref());
    sealed
}

/// Opens what [`seal`] made. `None`: somebody else made it, or it was changed.
pub fn unseal(signer: &dyn Signer, label: &str, sealed: &[u8]) -> Option<Vec<u8>> {
    let (salt, rest) = sealed.split_at_checked(SALT_BYTES)?;
    let mut bytes = rest.to_vec();
    let length = key(signer, label, salt).open_in_place(nonce(), Aad::from(label.as_bytes()), &mut bytes).ok()?.len();
    bytes.truncate(length);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Identity;

    /// Counts upwards.
    struct Counter(u8);

    impl Random for Counter {
        fn fill(&mut self, bytes: &mut [u8]) {
            for byte in bytes {
                *byte = self.0;
                self.0 = self.0.wrapping_add(1);
            }
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn sealed_bytes_keep_their_form() {
        let identity = Identity::from_seed([1; 32]);
        let sealed = seal(&identity, "offst/test/1", &mut Counter(0), b"heads");
        assert_eq!(hex(&sealed), "000102030405060708090a0b0c0d0e0fb308b86c51d13839bd1820e61b9b62e8140a9d8ef8");
        assert_eq!(unseal(&identity, "offst/test/1", &sealed).unwrap(), b"heads");
    }

    #[test]
    fn only_the_same_key_and_label_open_them() {
        let (one, two) = (Identity::from_seed([1; 32]), Identity::from_seed([2; 32]));
        let sealed = seal(&one, "a", &mut Counter(9), b"heads");
        assert_eq!(sealed.len(), 5 + SEAL_BYTES);
        assert_eq!(unseal(&two, "a", &sealed), None);
        assert_eq!(unseal(&one, "b", &sealed), None);
        assert_ne!(seal(&one, "a", &mut Counter(10), b"heads"), sealed);
    }

    #[test]
    fn changed_and_cut_bytes_are_refused() {
        let identity = Identity::from_seed([1; 32]);
        let sealed = seal(&identity, "a", &mut Counter(9), b"heads");
        for length in 0..sealed.len() {
            assert_eq!(unseal(&identity, "a", &sealed[..length]), None, "{length} bytes");
        }
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(unseal(&identity, "a", &flipped), None, "bit {bit}");
        }
        let empty = seal(&identity, "a", &mut Counter(0), b"");
        assert_eq!(unseal(&identity, "a", &empty).unwrap(), b"");
    }
}
