//! How far accounts have come, and which of two heads or backups tells of more.

use offst_ledger::{Account, Head};
use offst_proto::peer_backup::{AccountHead, PeerBackup};

/// How much this node remembers to have signed on an account: the epoch, and the newest statement in it.
pub(super) type Signed = (u64, u64);

/// See [`Signed`].
pub(super) fn signed(account: &Account) -> Signed {
    account.epoch().map_or((0, 0), |epoch| (epoch.number, epoch.mine.seq))
}

/// Whether `head` tells of more than `other`, for the same account.
pub(super) fn is_newer(head: &AccountHead, other: &AccountHead) -> bool {
    if head.epoch != other.epoch {
        return head.epoch > other.epoch;
    }
    let differs = head.own_seq == other.own_seq && head.own_hash != other.own_hash
        || head.other_seq == other.other_seq && head.other_hash != other.other_hash;
    head.own_seq > other.own_seq || head.other_seq > other.other_seq || differs
}

/// Whether one backup of ours was made after another. That is what the accounts say; the clock that dated them may have
/// been wrong, and decides only between two that say the same.
/// (R7.23.)
pub(super) fn is_later(one: &PeerBackup, other: &PeerBackup) -> bool {
    let is_ahead = |one: &PeerBackup, other: &PeerBackup| {
        one.heads.iter().any(|head| {
            let mut same =
                other.heads.iter().filter(|known| (known.friend, &known.currency) == (head.friend, &head.currency));
            same.any(|known| is_newer(head, known))
        })
    };
    match (is_ahead(one, other), is_ahead(other, one)) {
        (true, false) => true,
        (false, true) => false,
        _ => one.made_ms >= other.made_ms,
    }
}

/// What a head says that was kept elsewhere, for the account itself.
pub(super) fn expected(head: &AccountHead) -> Head {
    Head { epoch: head.epoch, own: (head.own_seq, head.own_hash), other: (head.other_seq, head.other_hash) }
}

/// Where an account stands as far as the friend surely knows too: one who has never got a statement is no liar.
pub(super) fn head(account: &Account) -> Option<AccountHead> {
    let head = account.newest_head()?;
    Some(AccountHead {
        friend: account.key().remote,
        currency: account.key().currency.clone(),
        epoch: head.epoch,
        own_seq: head.own.0,
        own_hash: head.own.1,
        other_seq: head.other.0,
        other_hash: head.other.1,
    })
}

/// Where an account stands as far as this node knows.
pub(super) fn position(account: &Account) -> Option<AccountHead> {
    let epoch = account.epoch()?;
    Some(AccountHead {
        friend: account.key().remote,
        currency: account.key().currency.clone(),
        epoch: epoch.number,
        own_seq: epoch.mine.seq,
        own_hash: epoch.mine.hash,
        other_seq: epoch.theirs.seq,
        other_hash: epoch.theirs.hash,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use offst_crypto::{Identity, sha256};

    fn head(epoch: u64, own: u64, other: u64) -> AccountHead {
        AccountHead {
            friend: Identity::from_seed([1; 32]).public_key(),
            currency: offst_proto::Currency::default(),
            epoch,
            own_seq: own,
            own_hash: sha256(&[1]),
            other_seq: other,
            other_hash: sha256(&[2]),
        }
    }

    #[test]
    fn a_head_is_newer_by_epoch_then_by_either_log() {
        let ours = head(5, 10, 20);
        assert!(!is_newer(&ours, &ours));
        assert!(is_newer(&head(6, 0, 0), &ours) && !is_newer(&head(4, 99, 99), &ours));
        assert!(is_newer(&head(5, 11, 0), &ours) && is_newer(&head(5, 0, 21), &ours));
        assert!(!is_newer(&head(5, 9, 19), &ours));
        let other = AccountHead { own_hash: sha256(b"other"), ..ours.clone() };
        assert!(is_newer(&other, &ours));
    }
}
