//! What must hold.

use super::World;
use super::disk::Disk;
use offst_crypto::PublicKey;
use offst_funder::Funder;
use offst_ledger::{Direction, Status};

impl World {
    pub(crate) fn is_consistent(&self, a: usize, b: usize) -> bool {
        let consistent = |a: usize, b: usize| self.nodes[a].account(self.key(b)).status() == Status::Consistent;
        consistent(a, b) && consistent(b, a)
    }

    pub(crate) fn balance(&self, a: usize, b: usize) -> i128 {
        self.nodes[a].account(self.key(b)).epoch().expect("the account has begun").balance()
    }

    /// Nothing is pending anywhere, and both sides of every account agree. Only among nodes that are up.
    pub(crate) fn assert_quiet(&self) {
        for (index, node) in self.nodes.iter().enumerate() {
            let Some(funder) = &node.funder else { continue };
            for (friend, account) in funder.accounts() {
                let other = self.index(friend);
                let pending = account.epoch().and_then(|epoch| epoch.pendings().next());
                assert_eq!(pending, None, "node {index} with {other}, {:?}", account.status());
            }
            assert_eq!(node.disk.underway(), 0, "rows are left at node {index}");
            assert_eq!(node.disk.image().payments.len(), 0, "payments are open at node {index}");
            for (friend, account) in funder.accounts() {
                let other = self.index(friend);
                assert_eq!(account.status(), Status::Consistent, "the account of {index} with {other}");
                let Some(funder) = &self.nodes[other].funder else { continue };
                let mirror = funder
                    .accounts()
                    .find(|(key, mirror)| *key == node.key && mirror.key().currency == account.key().currency)
                    .map(|(_, mirror)| mirror.epoch().expect("a consistent account").balance());
                assert_eq!(mirror, Some(-account.epoch().expect("consistent").balance()), "{index} and {other}");
            }
        }
    }
}

/// What the disk gives back is what the machine holds.
pub(super) fn check_restored(funder: &Funder, key: PublicKey, disk: &Disk) {
    let restored = Funder::restore(key, disk.image()).expect("the disk can be read");
    let (mut live, mut stored) = (funder.accounts(), restored.accounts());
    loop {
        let (live, stored) = match (live.next(), stored.next()) {
            (None, None) => return,
            (Some((_, live)), Some((_, stored))) => (live, stored),
            _ => panic!("the disk holds other accounts"),
        };
        assert_eq!(live.key(), stored.key());
        assert_eq!(live.status(), stored.status());
        assert_eq!(live.negotiation(), stored.negotiation());
        assert_eq!((live.limit(), live.is_open()), (stored.limit(), stored.is_open()));
        assert_eq!(live.unsigned_requests(), stored.unsigned_requests());
        let (Some(live_epoch), Some(stored_epoch)) = (live.epoch(), stored.epoch()) else {
            assert_eq!(live.epoch(), stored.epoch());
            continue;
        };
        assert_eq!(live_epoch.balance(), stored_epoch.balance());
        assert_eq!((live_epoch.number, live_epoch.agreed), (stored_epoch.number, stored_epoch.agreed));
        assert_eq!((live_epoch.mine, live_epoch.theirs), (stored_epoch.mine, stored_epoch.theirs));
        assert!(live_epoch.pendings().eq(stored_epoch.pendings()), "the same requests are pending");
        for (direction, id, _) in live_epoch.pendings() {
            if direction == Direction::Outgoing {
                assert_eq!(live.is_bound(id), stored.is_bound(id));
            }
        }
    }
}
