//! Against freezing attacks: how much of one friend's line another friend may freeze.
//!
//! Whoever lets others wait before the commit gets a strike; two strikes within the time they are remembered halve what may be
//! frozen, four quarter it, down to a sixteenth. Hold time counts against the side whose move was awaited: from the
//! response to the commit it is the upstream, and less is frozen on its behalf, wherever to. From the request to the response
//! it is the downstream, but who is silent behind it was chosen by the buyer: so only what the *same* upstream may freeze
//! there is less, and a buyer who pays a silent accomplice cannot close a friend's line to others.
//!
//! Requests that wait at the same time make one strike. A side that was not connected all the time has only failed, and gets
//! none.
//!
//! Besides, one friend never gets more than three quarters of the places for pending requests towards another.

use crate::machine::Batch;
use crate::records::{Forward, HopKey};
use offst_crypto::PublicKey;
use offst_ledger::Stage;
use offst_proto::Currency;
use offst_proto::limits::PENDING_MAX;
use offst_proto::payment::CancelReason;

/// Two friends, in the direction of the payments that we carry between them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lane {
    pub(crate) from: PublicKey,
    pub(crate) to: PublicKey,
    pub(crate) currency: Currency,
}

/// What is frozen on a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Load {
    pub(crate) count: usize,
    pub(crate) amount: u128,
}

/// When somebody let others wait, uptime ms.
#[derive(Debug, Default)]
pub(crate) struct Strikes(Vec<u64>);

impl Strikes {
    /// Most strikes that are remembered.
    const MAX: usize = 8;

    fn since(&self, since_ms: u64) -> usize {
        self.0.iter().filter(|time| **time >= since_ms).count()
    }

    /// Adds one for a wait that began at `held_since_ms`, unless another wait of that time was counted.
    fn add(&mut self, now_ms: u64, held_since_ms: u64, remembered_since_ms: u64) {
        self.0.retain(|time| *time >= remembered_since_ms);
        if self.0.len() < Self::MAX && self.0.last().is_none_or(|last| *last <= held_since_ms) {
            self.0.push(now_ms);
        }
    }
}

impl Batch<'_> {
    fn remembered_since(&self) -> u64 {
        self.now.uptime_ms.saturating_sub(self.environment.timing.strike_ms)
    }

    /// How often the room on a lane is halved.
    fn halvings(&self, lane: &Lane) -> usize {
        let since = self.remembered_since();
        let friend = |key: &PublicKey| self.state.friends.get(key);
        let upstream = friend(&lane.from).map_or(0, |friend| friend.strikes.since(since));
        let silences = friend(&lane.to).and_then(|friend| friend.silences.get(&lane.from));
        let downstream = silences.map_or(0, |strikes| strikes.since(since));
        (upstream.max(downstream) / 2).min(Strikes::MAX / 2)
    }

    /// Whether `amount` more may be frozen on the lane. `line`: all that could be sent to `lane.to`, frozen or not.
    pub(crate) fn check_share(&self, lane: &Lane, amount: u128, line: u128) -> Result<(), CancelReason> {
        let halvings = self.halvings(lane);
        let load = self.state.carried.get(lane).copied().unwrap_or_default();
        if load.count >= (PENDING_MAX * 3 / 4) >> halvings {
            return Err(CancelReason::Busy);
        }
        if halvings > 0 && load.amount + amount > line >> halvings {
            return Err(CancelReason::Busy);
        }
        Ok(())
    }

    pub(crate) fn lane(incoming: &HopKey, to: PublicKey) -> Lane {
        Lane { from: incoming.line.friend, to, currency: incoming.line.currency.clone() }
    }

    pub(crate) fn load_lane(&mut self, lane: Lane, amount: u128) {
        let load = self.state.carried.entry(lane).or_default();
        load.count += 1;
        load.amount += amount;
    }

    pub(crate) fn unload_lane(&mut self, lane: &Lane, amount: u128) {
        let load = self.state.carried.get_mut(lane).expect("what is unloaded was loaded");
        load.count -= 1;
        load.amount -= amount;
        if load.count == 0 {
            self.state.carried.remove(lane);
        }
    }

    /// An uncommitted request is over: who let it wait? `stage`: how far it had come on its incoming side.
    pub(crate) fn judge_hold(&mut self, incoming: &HopKey, forward: &Forward, stage: Option<Stage>) {
        let hold_ms = self.environment.timing.hold_ms.min(forward.patience_ms);
        let held_since = forward.responded_ms.unwrap_or(forward.arrived_ms);
        let now = self.now.uptime_ms;
        // A `Commit` that came is not signed downstream because that friend is away: nobody let it wait.
        if now.saturating_sub(held_since) < hold_ms || stage.is_some_and(|stage| stage.is_committed()) {
            return;
        }
        let (from, to) = (incoming.line.friend, forward.to);
        let since = self.remembered_since();
        let awaited = if forward.responded_ms.is_some() { from } else { to };
        if !self.was_connected_since(awaited, held_since) {
            return;
        }
        let Some(friend) = self.state.friends.get_mut(&awaited) else { return };
        let name = &friend.record.name;
        if forward.responded_ms.is_some() {
            log::info!("\"{name}\" left a response without a commit");
            friend.strikes.add(now, held_since, since);
        } else {
            log::info!("\"{name}\" left a request without a response");
            friend.silences.retain(|_, strikes| strikes.since(since) > 0);
            friend.silences.entry(from).or_default().add(now, held_since, since);
        }
    }
}
