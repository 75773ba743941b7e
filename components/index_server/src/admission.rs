//! Which updates are accepted at all: the checks that need no state, so that signatures are checked outside of any lock.

use offst_crypto::{PublicKey, Verifier};
use offst_proto::index::{TIME_TO_LIVE_MS_MAX, Update, UpdateRefusal};
use offst_proto::{Unverified, Verified};

/// Checks author, expiry and signature of an update that came from the node `peer`. The cheap checks come first.
///
/// # Errors
/// [`UpdateRefusal`]; nothing is remembered of a refused update.
/// (R5.3.)
pub fn admit(
    update: Unverified<Update>,
    peer: &PublicKey,
    verifier: &dyn Verifier,
    now_ms: u64,
) -> Result<Verified<Update>, UpdateRefusal> {
    if update.peek().node != *peer {
        return Err(UpdateRefusal::OtherNode);
    }
    admit_from_neighbour(update, verifier, now_ms)
}

/// Checks expiry and signature of an update that another index server has passed on: its author is anybody.
///
/// # Errors
/// As for [`admit`].
/// (R5.13.)
pub fn admit_from_neighbour(
    update: Unverified<Update>,
    verifier: &dyn Verifier,
    now_ms: u64,
) -> Result<Verified<Update>, UpdateRefusal> {
    let expires_ms = update.peek().expires_ms;
    if expires_ms <= now_ms {
        return Err(UpdateRefusal::Expired);
    }
    if expires_ms - now_ms > TIME_TO_LIVE_MS_MAX {
        return Err(UpdateRefusal::TooFarAhead);
    }
    update.verify(verifier).map_err(|_| UpdateRefusal::Signature)
}

#[cfg(test)]
mod tests {
    use super::*;
    use offst_crypto::{Ed25519Verifier, Identity};

    const NOW: u64 = 1_700_000_000_000;

    fn admitted(expires_ms: u64, peer: u8, damaged: bool) -> Result<u64, UpdateRefusal> {
        let identity = Identity::from_seed([1; 32]);
        let update = Update { node: identity.public_key(), sequence: 1, expires_ms, edges: vec![] };
        let mut wire = Verified::sign(update, &identity).wire().to_vec();
        if damaged {
            *wire.last_mut().unwrap() ^= 1;
        }
        let peer = Identity::from_seed([peer; 32]).public_key();
        admit(Unverified::from_wire(&wire).unwrap(), &peer, &Ed25519Verifier, NOW).map(|update| update.sequence)
    }

    // R5.3.
    #[test]
    fn forged_expired_and_unrelated_updates_are_refused() {
        assert_eq!(admitted(NOW + 1, 1, false), Ok(1));
        assert_eq!(admitted(NOW + TIME_TO_LIVE_MS_MAX, 1, false), Ok(1));
        assert_eq!(admitted(NOW, 1, false), Err(UpdateRefusal::Expired));
        assert_eq!(admitted(0, 1, false), Err(UpdateRefusal::Expired));
        assert_eq!(admitted(NOW + TIME_TO_LIVE_MS_MAX + 1, 1, false), Err(UpdateRefusal::TooFarAhead));
        assert_eq!(admitted(u64::MAX, 1, false), Err(UpdateRefusal::TooFarAhead));
        assert_eq!(admitted(NOW + 1, 2, false), Err(UpdateRefusal::OtherNode));
        assert_eq!(admitted(NOW + 1, 1, true), Err(UpdateRefusal::Signature));
    }
}
