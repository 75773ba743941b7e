//! The certificate of a key: X.509 is only the envelope in which TLS carries an Ed25519 public key.
//!
//! A certificate here names nobody and never expires; the key inside is compared with the key that a ticket names. It is
//! put together from the key alone, so that there is nothing to store and the same key always has the same certificate.

use offst_crypto::{Identity, PublicKey, PublicKeyError, Signer};
use rustls::pki_types::CertificateDer;

/// AlgorithmIdentifier of Ed25519 (RFC 8410): 1.3.101.112 without parameters.
const ED25519: [u8; 7] = [0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70];
/// A Name with the common name "offst": some stacks refuse an empty one.
const NAME: [u8; 18] = *b"\x30\x10\x31\x0e\x30\x0c\x06\x03\x55\x04\x03\x0c\x05offst";
/// From 1970 to the end of 9999, which RFC 5280 defines as "no expiry".
const VALIDITY: [u8; 34] = *b"\x30\x20\x17\x0d700101000000Z\x18\x0f99991231235959Z";
/// `[0] { INTEGER 2 }`: version 3.
const VERSION: [u8; 5] = [0xa0, 0x03, 0x02, 0x01, 0x02];
/// Serial number 1.
const SERIAL: [u8; 3] = [0x02, 0x01, 0x01];
/// What comes before the 32 bytes of the key in a SubjectPublicKeyInfo: the algorithm and the head of the BIT STRING.
const KEY_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Why a certificate does not name a key that we accept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not one X.509 certificate.
    #[error("the other side's certificate cannot be read")]
    Format,
    /// The certificate holds a key of another algorithm.
    #[error("the other side's certificate does not hold an Ed25519 key")]
    OtherAlgorithm,
    /// The key is one that anybody can sign for.
    #[error("the other side's certificate is refused: {0}")]
    Key(#[from] PublicKeyError),
}

/// The DER certificate of `identity`.
pub(crate) fn certificate(identity: &Identity) -> CertificateDer<'static> {
    let body = sequence(&[
        &VERSION,
        &SERIAL,
        &ED25519,
        &NAME,
        &VALIDITY,
        &NAME,
        &KEY_PREFIX,
        identity.public_key().as_bytes(),
    ]);
    let signature = identity.sign(&body);
    // BIT STRING of 64 bytes, no unused bits.
    sequence(&[&body, &ED25519, &[0x03, 0x41, 0x00], signature.as_bytes()]).into()
}

/// The key that a peer's certificate holds. The certificate's own signature means nothing: the TLS handshake proves that
/// the peer has the private key.
///
/// # Errors
/// The certificate does not hold an Ed25519 key of large order.
/// (R3.2.)
pub(crate) fn certified_key(certificate: &CertificateDer<'_>) -> Result<PublicKey, CertificateError> {
    let parsed = webpki::EndEntityCert::try_from(certificate).map_err(|_| CertificateError::Format)?;
    let info = parsed.subject_public_key_info();
    let key = info.strip_prefix(&KEY_PREFIX).ok_or(CertificateError::OtherAlgorithm)?;
    Ok(PublicKey::from_slice(key)?)
}

/// A DER SEQUENCE of `parts`, which have under 256 bytes together.
fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut bytes = Vec::with_capacity(length + 4);
    bytes.push(0x30);
    match u8::try_from(length).expect("a certificate has under 256 bytes") {
        short @ 0..=0x7f => bytes.push(short),
        long => bytes.extend_from_slice(&[0x81, long]),
    }
    for part in parts {
        bytes.extend_from_slice(part);
    }
    bytes
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A certificate that holds `key` whatever it is, signed by nobody.
    pub(crate) fn certificate_of_any_key(key: &[u8; 32]) -> CertificateDer<'static> {
        let mut bytes = certificate(&Identity::from_seed([1; 32])).to_vec();
        let at = bytes.windows(KEY_PREFIX.len()).position(|window| window == KEY_PREFIX).unwrap() + KEY_PREFIX.len();
        bytes[at..at + 32].copy_from_slice(key);
        bytes.into()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn bytes_of_a_certificate() {
        let identity = Identity::from_seed([1; 32]);
        let first = certificate(&identity);
        assert_eq!(first, certificate(&identity));
        assert_eq!(certified_key(&first), Ok(identity.public_key()));
        insta::assert_snapshot!(hex(&first), @"3081ce308181a003020102020101300506032b65703010310e300c06035504030c056f666673743020170d3730303130313030303030305a180f39393939313233313233353935395a3010310e300c06035504030c056f66667374302a300506032b65700321008a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c300506032b65700341004a97ee8f34255e5bcc96f6c0b0cd714d18a692ca242116abd68b8bf3a6d8285b2c1678e735d56de8a0e51949be0e14bcb32f1a2975983c2de2499bb5517d6303");
    }

    #[test]
    fn small_order_keys_are_refused() {
        for key in [[0; 32], {
            let mut one = [0; 32];
            one[0] = 1;
            one
        }] {
            assert_eq!(
                certified_key(&certificate_of_any_key(&key)),
                Err(CertificateError::Key(PublicKeyError::SmallOrder))
            );
        }
    }

    #[test]
    fn other_algorithms_are_refused() {
        // X25519 is 1.3.101.110: the same lengths, another last byte.
        let bytes = certificate(&Identity::from_seed([1; 32])).to_vec();
        let at = bytes.windows(KEY_PREFIX.len()).position(|window| window == KEY_PREFIX).unwrap();
        let mut other = bytes.clone();
        other[at + 8] = 0x6e;
        assert_eq!(certified_key(&other.into()), Err(CertificateError::OtherAlgorithm));
    }

    #[test]
    fn truncated_and_flipped_certificates_do_not_panic() {
        let bytes = certificate(&Identity::from_seed([1; 32])).to_vec();
        for length in 0..bytes.len() {
            assert_eq!(certified_key(&bytes[..length].to_vec().into()), Err(CertificateError::Format));
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let _ = certified_key(&flipped.into());
        }
    }
}
