//! What the two ends of an account see alike, and what each can show of the other.

use super::*;
use crate::{Agreement, Checkpoint, Replay};

impl Pair {
    /// Checks what both ends must see alike once each has seen all of the other's log.
    pub(super) fn check(&self) {
        for end in &self.ends {
            if let Some(epoch) = end.account.epoch() {
                epoch.assert_sound();
            }
        }
        if !self.is_active() {
            return;
        }
        let [a, b] = [0, 1].map(|end| self.ends[end].account.epoch().unwrap());
        let seen = |a: &crate::Epoch, b: &crate::Epoch| {
            (a.theirs.seq, a.theirs.hash) == (b.mine.seq, b.mine.hash) && b.queue.is_empty()
        };
        // Not always: it follows up to 64 statements of each side.
        if (a.mine.seq + b.mine.seq).is_multiple_of(4) {
            self.check_rebuilt(0);
            self.check_rebuilt(1);
        }
        if !seen(a, b) || !seen(b, a) {
            return;
        }
        assert_eq!(a.balance(), -b.balance());
        assert_eq!(a.local_pending(), b.remote_pending());
        assert_eq!(a.remote_pending(), b.local_pending());
        assert_eq!(a.mine.totals, b.theirs.totals);
        assert_eq!(a.theirs.totals, b.mine.totals);
        let hashes = [0, 1].map(|end| {
            let account = &self.ends[end].account;
            let epoch = account.epoch().unwrap();
            sha256(&epoch.local_view.checkpoint(account.key(), &epoch.agreed))
        });
        assert_eq!(hashes[0], hashes[1], "both see the same requests");
    }

    /// An end's epoch, from what the other end has stored of it.
    pub(super) fn rebuilt(&self, owner: usize) -> Result<crate::Epoch, Contradiction> {
        let (account, holder) = (&self.ends[owner].account, &self.ends[1 - owner]);
        let kept = holder.account.epoch().unwrap();
        let agreement = Agreement::of(kept.agreement.theirs.clone(), kept.agreement.mine.clone()).unwrap();
        let image = holder.rows.image();
        let checkpoint = Checkpoint { author: account.key().local, set: &image.checkpoint };
        let checkpoint = (kept.theirs.checkpoint > 0).then_some(checkpoint);
        let mut replay = Replay::begin(account.key(), agreement, checkpoint);
        replay.take_all(holder.rows.verified_statements())?;
        replay.finish()
    }

    /// What the other end has stored shows an owner's epoch as it is signed, when all of it has arrived.
    fn check_rebuilt(&self, owner: usize) {
        let rebuilt = self.rebuilt(owner).expect("what honest ends have signed does not contradict itself");
        let [own, kept] = [owner, 1 - owner].map(|end| self.ends[end].account.epoch().unwrap());
        let reached = |log: &crate::Log| (log.seq, log.hash);
        assert_eq!(reached(&rebuilt.mine), reached(&kept.theirs));
        assert_eq!(reached(&rebuilt.theirs), reached(&kept.mine));
        if reached(&kept.theirs) != reached(&own.mine) || reached(&kept.mine) != reached(&own.theirs) {
            return;
        }
        assert_eq!(rebuilt.mine.totals, own.signed_totals);
        assert_eq!(rebuilt.theirs.totals, own.theirs.totals);
        assert_eq!(rebuilt.local_view, own.signed_view());
        assert_eq!((rebuilt.acknowledged, rebuilt.acknowledging), (own.acknowledged, own.acknowledging));
        assert_eq!(rebuilt.owes_acknowledgement, own.owes_acknowledgement);
        assert_eq!((rebuilt.number, rebuilt.agreed), (own.number, own.agreed));
        assert_eq!(rebuilt.opening_balance, own.opening_balance);
        // Which of the owner's statements the holder had seen at the checkpoint is known when it acknowledges the checkpoint.
        if own.acknowledged.0 >= kept.theirs.checkpoint {
            assert_eq!(rebuilt.peer_view, own.peer_view);
            assert_eq!(rebuilt.unacknowledged, own.unacknowledged);
        }
        if own.queue.is_empty() {
            assert_eq!(rebuilt.balance(), own.balance());
            assert_eq!(rebuilt.local_view, own.local_view);
            assert_eq!(rebuilt.continuing(), own.continuing());
        }
    }
}
