//! Against freezing attacks: how much of one friend's line another friend may freeze.
//!
//! Whoever lets others wait before the commit gets a strike; two strikes within the time they are remembered halve what may be
//! frozen on this friend's behalf, and so on. Hold time counts against the side whose move was awaited: from the request
//! to the response the downstream, from the response to the commit the upstream. A side that was not connected all the
//! time has only failed, and gets no strike.
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

/// Most strikes that are remembered for one friend.
const STRIKES_MAX: usize = 16;

/// The share of `whole` that a friend with so many strikes may use.
fn share(whole: u128, strikes: usize) -> u128 {
    whole >> (strikes / 2)
}

impl Batch<'_> {
    fn strikes(&self, friend: PublicKey) -> usize {
        let since = self.now.uptime_ms.saturating_sub(self.environment.timing.strike_ms);
        self.state.friends.get(&friend).map_or(0, |friend| friend.strikes.iter().filter(|time| **time >= since).count())
    }

    fn strike(&mut self, key: PublicKey, why: &str) {
        let now = self.now.uptime_ms;
        let since = now.saturating_sub(self.environment.timing.strike_ms);
        let Some(friend) = self.state.friends.get_mut(&key) else { return };
        friend.strikes.retain(|time| *time >= since);
        if friend.strikes.len() < STRIKES_MAX {
            friend.strikes.push(now);
        }
        log::info!("\"{}\" {why}; that makes {} of late", friend.record.name, friend.strikes.len());
    }

    /// Whether `amount` more may be frozen on the lane. `line`: all that could be sent to `lane.to`, frozen or not.
    pub(crate) fn check_share(&self, lane: &Lane, amount: u128, line: u128) -> Result<(), CancelReason> {
        let (upstream, downstream) = (self.strikes(lane.from), self.strikes(lane.to));
        let load = self.state.carried.get(lane).copied().unwrap_or_default();
        let places = PENDING_MAX * 3 / 4;
        if load.count >= places >> (upstream / 2) {
            return Err(CancelReason::Busy);
        }
        if upstream >= 2 && load.amount + amount > share(line, upstream) {
            return Err(CancelReason::Busy);
        }
        if downstream >= 2 {
            let towards: u128 = self
                .state
                .carried
                .iter()
                .filter(|(other, _)| other.to == lane.to && other.currency == lane.currency)
                .map(|(_, load)| load.amount)
                .sum();
            if towards + amount > share(line, downstream) {
                return Err(CancelReason::Busy);
            }
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

    /// An uncommitted request is over: who let it wait? `stage`: how far it had come towards the downstream.
    pub(crate) fn judge_hold(&mut self, incoming: &HopKey, forward: &Forward, stage: Option<Stage>) {
        let hold_ms = self.environment.timing.hold_ms.min(forward.patience_ms);
        let held_since = forward.responded_ms.unwrap_or(forward.arrived_ms);
        if self.now.uptime_ms.saturating_sub(held_since) < hold_ms {
            return;
        }
        let (from, to) = (incoming.line.friend, forward.to);
        match stage {
            Some(Stage::Requested) if self.was_connected_since(to, held_since) => {
                self.strike(to, "left a request without a response");
            }
            Some(Stage::Responded(_)) if self.was_connected_since(from, held_since) => {
                self.strike(from, "left a response without a commit");
            }
            _ => {}
        }
    }
}
