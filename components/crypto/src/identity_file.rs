//! Identity files: PKCS#8 PEM, which openssl, Python and Node read, optionally encrypted with a passphrase.

use crate::{Identity, Random, RandomExt};
use pkcs8::der::Decode;
use pkcs8::{
    AlgorithmIdentifierRef, EncryptedPrivateKeyInfo, LineEnding, ObjectIdentifier, PrivateKeyInfo, SecretDocument,
};
use zeroize::Zeroizing;

/// id-Ed25519 (RFC 8410).
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const PLAIN: &str = "PRIVATE KEY";
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";
/// A PEM of one key has under 500 bytes; anything far larger is another file.
const FILE_BYTES_MAX: usize = 8 * 1024;

/// scrypt: N = 2^14, r = 8, p = 10 (16 MiB of memory).
const SCRYPT: (u8, u32, u32) = (14, 8, 10);

/// Why an identity file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityFileError {
    /// Not PKCS#8 PEM of an Ed25519 key.
    #[error("this is not an identity file (PKCS#8 PEM of an Ed25519 key)")]
    Format,
    /// The file is encrypted and no passphrase was given.
    #[error("this identity file is encrypted: give its passphrase")]
    PassphraseNeeded,
    /// Decryption failed.
    #[error("the passphrase is wrong, or the identity file is damaged")]
    WrongPassphrase,
}

impl Identity {
    /// The text of an unencrypted identity file.
    pub fn to_pem(&self) -> Zeroizing<String> {
        self.document().to_pem(PLAIN, LineEnding::LF).expect("a key of 48 bytes fits a PEM file")
    }

    /// The text of an identity file that opens with `passphrase` only. Takes about 0.3 s on purpose.
    pub fn to_encrypted_pem(&self, passphrase: &str, random: &mut dyn Random) -> Zeroizing<String> {
        let salt: [u8; 16] = random.array();
        let iv: [u8; 16] = random.array();
        let (log_n, r, p) = SCRYPT;
        let scrypt = pkcs8::pkcs5::scrypt::Params::new(log_n, r, p, 32).expect("the scrypt parameters are valid");
        let parameters = pkcs8::pkcs5::pbes2::Parameters::scrypt_aes256cbc(scrypt, &salt, &iv)
            .expect("the encryption parameters are valid");
        let document = self.document();
        let key = PrivateKeyInfo::try_from(document.as_bytes()).expect("our own document parses");
        key.encrypt_with_params(parameters, passphrase)
            .expect("48 bytes can be encrypted")
            .to_pem(ENCRYPTED, LineEnding::LF)
            .expect("an encrypted key fits a PEM file")
    }

    /// Whether the text of an identity file is of the encrypted kind.
    pub fn pem_is_encrypted(text: &str) -> bool {
        text.contains(ENCRYPTED)
    }

    /// Reads what [`Identity::to_pem`], [`Identity::to_encrypted_pem`] or `openssl genpkey -algorithm ed25519` wrote.
    ///
    /// # Errors
    /// See [`IdentityFileError`].
    pub fn from_pem(text: &str, passphrase: Option<&str>) -> Result<Self, IdentityFileError> {
        if text.len() > FILE_BYTES_MAX {
            return Err(IdentityFileError::Format);
        }
        let (label, document) = SecretDocument::from_pem(text).map_err(|_| IdentityFileError::Format)?;
        match label {
            PLAIN => Identity::from_document(&document),
            ENCRYPTED => {
                let passphrase = passphrase.ok_or(IdentityFileError::PassphraseNeeded)?;
                let encrypted =
                    EncryptedPrivateKeyInfo::try_from(document.as_bytes()).map_err(|_| IdentityFileError::Format)?;
                let document = encrypted.decrypt(passphrase).map_err(|_| IdentityFileError::WrongPassphrase)?;
                Identity::from_document(&document).map_err(|_| IdentityFileError::WrongPassphrase)
            }
            _ => Err(IdentityFileError::Format),
        }
    }

    fn from_document(document: &SecretDocument) -> Result<Self, IdentityFileError> {
        let key = PrivateKeyInfo::try_from(document.as_bytes()).map_err(|_| IdentityFileError::Format)?;
        if key.algorithm.oid != ED25519 || key.algorithm.parameters.is_some() {
            return Err(IdentityFileError::Format);
        }
        // RFC 8410: the private key is an OCTET STRING inside the OCTET STRING.
        let inner =
            pkcs8::der::asn1::OctetStringRef::from_der(key.private_key).map_err(|_| IdentityFileError::Format)?;
        let seed: [u8; 32] = inner.as_bytes().try_into().map_err(|_| IdentityFileError::Format)?;
        let identity = Identity::from_seed(seed);
        if let Some(public_key) = key.public_key
            && public_key != identity.public_key().as_bytes()
        {
            return Err(IdentityFileError::Format);
        }
        Ok(identity)
    }

    fn document(&self) -> SecretDocument {
        let mut inner = Zeroizing::new([0; 34]);
        inner[0] = 0x04;
        inner[1] = 32;
        inner[2..].copy_from_slice(self.seed());
        let algorithm = AlgorithmIdentifierRef { oid: ED25519, parameters: None };
        SecretDocument::try_from(PrivateKeyInfo::new(algorithm, &*inner)).expect("a key of 34 bytes is encoded")
    }

    /// The PKCS#8 DER of the key, as TLS stacks want it.
    pub fn to_der(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.document().as_bytes().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemRandom;

    #[test]
    fn plain_round_trip() {
        let identity = Identity::from_seed([5; 32]);
        let pem = identity.to_pem();
        assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n"));
        let read = Identity::from_pem(&pem, None).unwrap();
        assert_eq!(read.public_key(), identity.public_key());
    }

    #[test]
    fn encrypted_round_trip() {
        let identity = Identity::from_seed([6; 32]);
        let pem = identity.to_encrypted_pem("correct horse", &mut SystemRandom::new());
        assert!(Identity::pem_is_encrypted(&pem));
        assert_eq!(Identity::from_pem(&pem, None).unwrap_err(), IdentityFileError::PassphraseNeeded);
        assert_eq!(Identity::from_pem(&pem, Some("wrong")).unwrap_err(), IdentityFileError::WrongPassphrase);
        let read = Identity::from_pem(&pem, Some("correct horse")).unwrap();
        assert_eq!(read.public_key(), identity.public_key());
    }

    /// Made by `openssl genpkey -algorithm ed25519`, public key by `openssl pkey -pubout`.
    #[test]
    fn openssl_file() {
        let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
        let identity = Identity::from_pem(pem, None).unwrap();
        assert_eq!(identity.public_key().to_string(), "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
    }

    #[test]
    fn broken_files_are_refused_in_a_sentence() {
        let pem = Identity::from_seed([7; 32]).to_pem();
        for broken in ["", "hello", &pem[..pem.len() / 2], &pem.replace('M', "N"), &"x".repeat(100_000)] {
            assert_eq!(Identity::from_pem(broken, None).unwrap_err(), IdentityFileError::Format);
        }
    }
}
