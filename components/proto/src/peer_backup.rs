//! What friends keep for each other: how far the accounts of a node had come, sealed so that only the node can read it.
//!
//! A peer backup authorises nothing. It exposes a friend who shows less than the node once signed, and it tells a node
//! that its own disk is old (protocol section 1).

use crate::Currency;
use crate::encoding::{Canonical, DecodeError, Decoder, Encoder};
use crate::limits::{CURRENCY_BYTES_MAX, PEER_BACKUP_BYTES_MAX};
use offst_crypto::{Hash, PublicKey, Random, SEAL_BYTES, Signer, seal, unseal};

/// The version of the bytes inside, and the label of their key.
const LABEL: &str = "offst/peer-backup/1";

/// Most bytes of one head.
const HEAD_BYTES_MAX: usize = PublicKey::LEN + 4 + CURRENCY_BYTES_MAX + 8 + 2 * (8 + Hash::LEN);

/// Most heads of one backup: as many as always fit into [`PEER_BACKUP_BYTES_MAX`].
pub const HEADS_MAX: usize = (PEER_BACKUP_BYTES_MAX - SEAL_BYTES - 64) / HEAD_BYTES_MAX;

/// How far one account had come, as both sides knew: the friend has acknowledged the one, and has sent the other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccountHead {
    /// The friend on the other side.
    pub friend: PublicKey,
    /// The currency.
    pub currency: Currency,
    /// The epoch.
    pub epoch: u64,
    /// Our newest statement that the friend had acknowledged; 0: none yet.
    pub own_seq: u64,
    /// Its hash; before the first, that of the agreement.
    pub own_hash: Hash,
    /// The friend's newest statement; 0: none yet.
    pub other_seq: u64,
    /// Its hash; before the first, that of the agreement.
    pub other_hash: Hash,
}

/// The heads of a node's accounts at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerBackup {
    /// When it was made, unix ms.
    pub made_ms: u64,
    /// At most [`HEADS_MAX`].
    pub heads: Vec<AccountHead>,
}

impl Canonical for AccountHead {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.value(&self.friend);
        encoder.value(&self.currency);
        encoder.u64(self.epoch);
        encoder.u64(self.own_seq);
        encoder.value(&self.own_hash);
        encoder.u64(self.other_seq);
        encoder.value(&self.other_hash);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(AccountHead {
            friend: decoder.value()?,
            currency: decoder.value()?,
            epoch: decoder.u64()?,
            own_seq: decoder.u64()?,
            own_hash: decoder.value()?,
            other_seq: decoder.u64()?,
            other_hash: decoder.value()?,
        })
    }
}

impl Canonical for PeerBackup {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.text(LABEL);
        encoder.u64(self.made_ms);
        encoder.list(&self.heads);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        if decoder.text(LABEL.len(), "a version")? != LABEL {
            return Err(DecodeError::OtherKind { expected: "peer backup" });
        }
        Ok(PeerBackup { made_ms: decoder.u64()?, heads: decoder.list(HEADS_MAX, "heads")? })
    }
}

impl PeerBackup {
    /// The bytes that a friend keeps: at most [`PEER_BACKUP_BYTES_MAX`].
    ///
    /// # Panics
    /// There are more than [`HEADS_MAX`] heads: its maker chooses.
    pub fn seal(&self, signer: &dyn Signer, random: &mut dyn Random) -> Vec<u8> {
        assert!(self.heads.len() <= HEADS_MAX, "a peer backup has at most {HEADS_MAX} heads");
        let sealed = seal(signer, LABEL, random, &self.to_canonical_bytes());
        assert!(sealed.len() <= PEER_BACKUP_BYTES_MAX, "the heads always fit");
        sealed
    }

    /// What a friend has kept for us. `None`: we have not made these bytes.
    pub fn unseal(signer: &dyn Signer, sealed: &[u8]) -> Option<Self> {
        if sealed.len() > PEER_BACKUP_BYTES_MAX {
            return None;
        }
        PeerBackup::from_canonical_bytes(&unseal(signer, LABEL, sealed)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_values::hex;
    use offst_crypto::{Identity, SystemRandom, sha256};

    fn head(number: u64) -> AccountHead {
        AccountHead {
            friend: Identity::from_seed([2; 32]).public_key(),
            currency: "abcdefghijklmnop".parse().unwrap(),
            epoch: number,
            own_seq: 7,
            own_hash: sha256(b"own"),
            other_seq: 8,
            other_hash: sha256(b"other"),
        }
    }

    #[test]
    fn the_bytes_inside_are_fixed() {
        let backup = PeerBackup { made_ms: 5, heads: vec![AccountHead { currency: Currency::default(), ..head(3) }] };
        insta::assert_snapshot!(hex(&backup.to_canonical_bytes()), @"000000136f666673742f706565722d6261636b75702f310000000000000005000000018139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b39400000006637265646974000000000000000300000000000000075b3975651c3cab92d044c096dc30a1c2d9525497457472de48c51ecb363d1f4a0000000000000008d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa");
    }

    #[test]
    fn the_largest_backup_fits_and_comes_back() {
        let identity = Identity::from_seed([1; 32]);
        let backup = PeerBackup { made_ms: 5, heads: (0..HEADS_MAX as u64).map(head).collect() };
        let sealed = backup.seal(&identity, &mut SystemRandom::new());
        assert!(sealed.len() > PEER_BACKUP_BYTES_MAX - 2 * HEAD_BYTES_MAX, "{} bytes", sealed.len());
        assert_eq!(PeerBackup::unseal(&identity, &sealed), Some(backup));
    }

    #[test]
    fn what_others_made_is_refused() {
        let identity = Identity::from_seed([1; 32]);
        let backup = PeerBackup { made_ms: 5, heads: vec![head(3)] };
        let sealed = backup.seal(&identity, &mut SystemRandom::new());
        assert_eq!(PeerBackup::unseal(&Identity::from_seed([2; 32]), &sealed), None);
        for length in 0..sealed.len() {
            assert_eq!(PeerBackup::unseal(&identity, &sealed[..length]), None);
        }
        // Sealed by us, but not a backup.
        let other = seal(&identity, LABEL, &mut SystemRandom::new(), b"something else");
        assert_eq!(PeerBackup::unseal(&identity, &other), None);
        assert_eq!(PeerBackup::unseal(&identity, &vec![0; PEER_BACKUP_BYTES_MAX + 1]), None);
    }
}
