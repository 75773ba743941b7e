//! Jamming protection: how much of one friend's account another friend may hold.
//!
//! Two friends, in the direction of the payments that we carry between them, are a *pair*. A mediator cannot tell who
//! lets it wait: whether the friend itself does, or somebody further up or further down whom a stranger has chosen. So
//! what was held counts against the pair alone, and by its weight: which share of the account it was, and for how long.
//!
//! | what is held before the commit | counts |
//! |---|---|
//! | the whole account for `hold_ms` | 1 |
//! | 1 credit of 1000, or one of the 1024 places, for twice as long | 0.002 |
//!
//! Nothing counts before it was held for `hold_ms`; from then on it counts while it is held, and not only at its end;
//! and not at all where the `Commit` comes after all. The sum never passes 8, and 8 fade away within `strike_ms`. A sum
//! of 2 halves what may be held on the pair, 4 quarter it, 8 leave a sixteenth. So honest traffic, which holds little
//! and not for long, can neither bring it about nor be hurt by a stranger who holds single credits. A friend that was
//! not connected all the time has only failed.
//!
//! Besides, one friend never gets more than three quarters of the places for pending requests towards another. What is
//! held after the commit takes its amount and its place, and nothing else.

use crate::accounts::Accounts;
use crate::context::Context;
use crate::forwarding::Forwarding;
use offst_crypto::PublicKey;
use offst_ledger::RequestRef;
use offst_proto::Currency;
use offst_proto::limits::PENDING_MAX;
use offst_proto::payment::CancelReason;

/// Two friends, in the direction of the payments that we carry between them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ForwardPair {
    pub(crate) from: PublicKey,
    pub(crate) to: PublicKey,
    pub(crate) currency: Currency,
}

/// What is held on a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Load {
    pub(crate) count: usize,
    pub(crate) amount: u128,
}

/// What was held on a pair lately, in millionths of the whole account for `hold_ms`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Holds {
    weight: u64,
    /// When it was so much, uptime ms.
    time_ms: u64,
}

/// The whole account for `hold_ms`.
const WHOLE: u64 = 1_000_000;

impl Holds {
    /// More is not remembered.
    const MAX: u64 = 8 * WHOLE;

    /// What is left of it.
    fn at(self, now_ms: u64, remembered_ms: u64) -> u64 {
        let passed = u128::from(now_ms.saturating_sub(self.time_ms));
        let faded = passed * u128::from(Self::MAX) / u128::from(remembered_ms.max(1));
        self.weight.saturating_sub(u64::try_from(faded).unwrap_or(u64::MAX))
    }

    fn halvings(weight: u64) -> usize {
        usize::try_from(weight / (2 * WHOLE)).expect("it is at most 4")
    }
}

/// What holding `amount` credits of an account for `ms` weighs.
fn weight(amount: u128, capacity: u128, ms: u64, hold_ms: u64) -> u64 {
    let whole = u128::from(WHOLE);
    let place = whole / PENDING_MAX as u128;
    // An account may have become shorter than what is held on it.
    let share = (amount.min(capacity) * whole).checked_div(capacity).unwrap_or(whole).max(place);
    u64::try_from(share * u128::from(ms) / u128::from(hold_ms.max(1))).unwrap_or(u64::MAX)
}

impl Forwarding {
    /// What was held on a pair, as it counts now.
    fn held(&self, pair: &ForwardPair, context: &Context<'_>) -> u64 {
        let remembered_ms = context.environment.timing.strike_ms;
        self.holds.get(pair).map_or(0, |holds| holds.at(context.now.uptime_ms, remembered_ms))
    }

    /// Whether `amount` more may be held on the pair. `capacity`: all that could be sent to `pair.to`, held or not.
    pub(crate) fn check_share(
        &self,
        pair: &ForwardPair,
        amount: u128,
        capacity: u128,
        context: &Context<'_>,
    ) -> Result<(), CancelReason> {
        let halvings = Holds::halvings(self.held(pair, context));
        let load = self.carried.get(pair).copied().unwrap_or_default();
        if load.count >= (PENDING_MAX * 3 / 4) >> halvings {
            return Err(CancelReason::Busy);
        }
        if halvings > 0 && load.amount + amount > capacity >> halvings {
            return Err(CancelReason::Busy);
        }
        Ok(())
    }

    pub(crate) fn pair(incoming: &RequestRef, to: PublicKey) -> ForwardPair {
        ForwardPair { from: incoming.account.friend, to, currency: incoming.account.currency.clone() }
    }

    pub(crate) fn add_load(&mut self, pair: ForwardPair, amount: u128) {
        let load = self.carried.entry(pair).or_default();
        load.count += 1;
        load.amount += amount;
    }

    pub(crate) fn remove_load(&mut self, pair: &ForwardPair, amount: u128) {
        let load = self.carried.get_mut(pair).expect("what is unloaded was loaded");
        load.count -= 1;
        load.amount -= amount;
        if load.count == 0 {
            self.carried.remove(pair);
        }
    }

    /// A friend goes on under another key, and what was held on its pairs still counts.
    pub(crate) fn hand_over_holds(&mut self, lost: PublicKey, new_key: PublicKey) {
        let rotated = |key: PublicKey| if key == lost { new_key } else { key };
        let holds = std::mem::take(&mut self.holds);
        let pairs = holds.into_iter().map(|(pair, holds)| {
            let pair = ForwardPair { from: rotated(pair.from), to: rotated(pair.to), ..pair };
            (pair, holds)
        });
        self.holds = pairs.collect();
    }

    /// Counts for how long a request has waited that no `Commit` binds, as far as that was not counted yet.
    pub(crate) fn count_hold(&mut self, incoming: &RequestRef, accounts: &Accounts, context: &Context<'_>) {
        let Some(forward) = self.forwards.get(incoming) else { return };
        let (hold_ms, now) = (context.environment.timing.hold_ms.min(forward.patience_ms), context.now.uptime_ms);
        let (to, since) = (forward.to, forward.responded_ms.unwrap_or(forward.arrived_ms));
        // A `Commit` that came is not signed downstream because that friend is away: nobody let it wait.
        let is_committed = accounts.incoming_at(incoming).is_some_and(|pending| pending.stage.is_committed());
        if now.saturating_sub(since) < hold_ms || is_committed || accounts.is_bound(&incoming.at(to)) {
            return;
        }
        let awaited = if forward.responded_ms.is_some() { incoming.account.friend } else { to };
        if !accounts.was_connected_since(awaited, since) {
            return;
        }
        let ms = now.saturating_sub(since.max(forward.counted_ms));
        let capacity = accounts.active(&incoming.at(to).account).map_or(0, |epoch| epoch.total_send_capacity());
        let weight = weight(forward.amount, capacity, ms, context.environment.timing.hold_ms);
        let pair = Self::pair(incoming, to);
        let held = self.held(&pair, context).saturating_add(weight).min(Holds::MAX);
        let forward = self.forwards.draft(incoming).expect("looked above");
        forward.counted_ms = now;
        forward.weight = forward.weight.saturating_add(weight);
        log::debug!("{} has waited for {ms} ms more without a commit", incoming.id);
        let remembered_ms = context.environment.timing.strike_ms;
        self.holds.retain(|_, holds| holds.at(now, remembered_ms) > 0);
        self.holds.insert(pair, Holds { weight: held, time_ms: now });
    }

    /// The `Commit` has come after all: its hold was none.
    pub(crate) fn forgive_hold(&mut self, incoming: &RequestRef) {
        let Some(forward) = self.forwards.draft(incoming) else { return };
        let weight = std::mem::take(&mut forward.weight);
        let pair = Self::pair(incoming, forward.to);
        if let Some(holds) = self.holds.get_mut(&pair) {
            holds.weight = holds.weight.saturating_sub(weight);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_weighs_its_share_and_its_time() {
        let weighs = |amount, capacity, ms| weight(amount, capacity, ms, 10_000);
        assert_eq!(
            [weighs(1000, 1000, 10_000), weighs(500, 1000, 10_000), weighs(500, 1000, 20_000)],
            [WHOLE, WHOLE / 2, WHOLE]
        );
        assert_eq!(weighs(1, 1 << 97, 10_000), WHOLE / PENDING_MAX as u64, "a place is a share too");
        assert_eq!([weighs(1 << 97, 1 << 97, 10_000), weighs(7, 5, 10_000), weighs(7, 0, 10_000)], [WHOLE; 3]);
    }

    #[test]
    fn it_fades() {
        let holds = Holds { weight: Holds::MAX, time_ms: 1000 };
        assert_eq!(
            [1000, 1000 + 1_800_000, 1000 + 3_600_000].map(|now| holds.at(now, 3_600_000)),
            [8 * WHOLE, 4 * WHOLE, 0]
        );
        assert_eq!([0, 2 * WHOLE - 1, 2 * WHOLE, Holds::MAX].map(Holds::halvings), [0, 0, 1, 4]);
    }
}
