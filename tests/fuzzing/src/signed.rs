//! What is signed or sealed, as bytes.

use offst_crypto::{Ed25519Verifier, Identity, Signature};
use offst_proto::encoding::Canonical;
use offst_proto::index::Update;
use offst_proto::invoice::Invoice;
use offst_proto::opening::Opening;
use offst_proto::peer_backup::PeerBackup;
use offst_proto::statement::Statement;
use offst_proto::{Signable, Unverified};

/// A value has one encoding only, and only its author's signature makes it believed.
fn again<T: Signable + Clone + PartialEq + std::fmt::Debug>(bytes: &[u8]) -> bool {
    let Ok(value) = Unverified::<T>::from_wire(bytes) else { return false };
    let body = value.peek().to_canonical_bytes();
    assert!(bytes[..bytes.len() - Signature::LEN].ends_with(&body), "one value has one encoding");
    assert_eq!(T::from_canonical_bytes(&body).as_ref(), Ok(value.peek()));
    let verified = value.verify(&Ed25519Verifier);
    if let Ok(verified) = &verified {
        assert_eq!(&verified.wire()[..], bytes);
    }
    true
}

/// A statement.
pub(crate) fn statement(bytes: &[u8]) -> bool {
    again::<Statement>(bytes)
}

/// An Opening.
pub(crate) fn opening(bytes: &[u8]) -> bool {
    let is_valid = again::<Opening>(bytes);
    if let Ok(opening) = Unverified::<Opening>::from_wire(bytes) {
        let mirrored = opening.peek().mirrored_continuing();
        assert_eq!(mirrored.len(), opening.peek().continuing.len());
    }
    is_valid
}

/// An invoice.
pub(crate) fn invoice(bytes: &[u8]) -> bool {
    again::<Invoice>(bytes)
}

/// What a node publishes at index servers.
pub(crate) fn update(bytes: &[u8]) -> bool {
    again::<Update>(bytes)
}

/// What a friend gives back that it should have kept: as it lies there, and what is inside.
pub(crate) fn peer_backup(bytes: &[u8]) -> bool {
    let owner = Identity::from_seed([1; 32]);
    let inside = PeerBackup::from_canonical_bytes(bytes);
    if let Ok(backup) = &inside {
        assert_eq!(backup.to_canonical_bytes(), bytes);
    }
    PeerBackup::unseal(&owner, bytes).is_some() || inside.is_ok()
}
