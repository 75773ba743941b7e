//! Jamming protection: how much of one friend's account another friend may hold.
//!
//! Two friends, in the direction of the payments that we carry between them, are a *pair*. A mediator cannot tell who
//! lets it wait: whether the friend itself does, or somebody further up or further down whom a stranger has chosen. So
//! what was held counts against the pair alone, and by its weight: which share of the account it was, and for how long.
//!
//! | what is held before the commit | counts |
//! |---|---|
//! | the whole capacity for `hold_ms` | 1 |
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
use crate::forwarding::pair::{ForwardPair, Holds, weight};
use offst_crypto::PublicKey;
use offst_ledger::RequestRef;
use offst_proto::limits::PENDING_MAX;
use offst_proto::payment::CancelReason;

impl Forwarding {
    /// What was held on a pair, as it counts now.
    fn weight_on(&self, pair: &ForwardPair, context: &Context<'_>) -> u64 {
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
        let halvings = Holds::halvings(self.weight_on(pair, context));
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
        let weight = weight(forward.held.credits(), capacity, ms, context.environment.timing.hold_ms);
        let pair = Self::pair(incoming, to);
        let sum = self.weight_on(&pair, context).saturating_add(weight).min(Holds::MAX);
        let forward = self.forwards.draft(incoming).expect("looked above");
        forward.counted_ms = now;
        forward.weight = forward.weight.saturating_add(weight);
        log::debug!("{} has waited for {ms} ms more without a commit", incoming.id);
        let remembered_ms = context.environment.timing.strike_ms;
        self.holds.retain(|_, holds| holds.at(now, remembered_ms) > 0);
        self.holds.insert(pair, Holds { weight: sum, time_ms: now });
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
