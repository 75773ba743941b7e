//! What people do for their credit lines. Now and then somebody looks at all of them, and when one is much fuller than
//! the middle and another much emptier, asks what it would cost to move credit around a cycle, away from the fullest.
//! When it comes back where it is wanted, and costs little, it is done: what `funds quote` and `funds rebalance` do.

use super::market::{Awaited, Market};
use offst_funder::{Command, Reply};
use offst_proto::Amount;
use offst_proto::order::{Order, Purpose};
use offst_proto::report::PaymentStatus;
use offst_proto::route::Route;
use offst_proto::{Currency, PaymentId};

/// Less is not worth moving, credits.
const AMOUNT_MIN: u128 = 10;
/// Two friends at least take a credit each; beyond that one credit in twenty is paid.
const FEE_MIN: u128 = 2;
const FEE_SHARE: u128 = 20;

impl Market {
    /// Somebody looks at their credit lines.
    pub(super) fn look(&mut self, place: usize) {
        let person = &self.people[place];
        if person.is_rebalancing {
            return;
        }
        let mut fullest = None;
        let mut room = 0;
        for (key, account) in person.funder().accounts() {
            let Some(epoch) = account.active() else { continue };
            let (out, back) = (epoch.send_capacity(), epoch.receive_capacity());
            // What could go out above the middle, and what is missing there.
            let above = out.saturating_sub(back) / 2;
            room = room.max(back.saturating_sub(out) / 2);
            fullest = fullest.max(Some((above, person.friends[&key].place)));
        }
        let Some((above, friend)) = fullest else { return };
        let amount = above.min(room);
        if amount < AMOUNT_MIN {
            return;
        }
        let order = Order {
            payment_id: PaymentId::random(&mut self.owners),
            purpose: Purpose::Rebalance {
                friend: super::market::name(friend),
                currency: Currency::default(),
                amount: Amount::capped(amount),
            },
            max_fee: Some(Amount::capped(FEE_MIN + amount / FEE_SHARE)),
            timeout_ms: super::market::PATIENCE_MS,
        };
        self.people[place].is_rebalancing = true;
        self.command(place, Command::Quote(Box::new(order.clone())), Awaited::Quote(Box::new(order)));
    }

    /// What it would cost is known.
    pub(super) fn quoted(&mut self, place: usize, order: Order, reply: &Reply) {
        let max_fee = order.max_fee.unwrap_or_default();
        let is_good = match reply {
            Reply::Quote(quote) => quote
                .routes
                .first()
                .is_some_and(|route| route.fees() <= max_fee.credits() && self.comes_back_well(place, route)),
            _ => false,
        };
        if is_good {
            self.command(place, Command::Pay(Box::new(order)), Awaited::Rebalance);
        } else {
            self.people[place].is_rebalancing = false;
        }
    }

    /// Whether all parts come back over accounts on which that makes both directions more alike.
    fn comes_back_well(&self, place: usize, route: &Route) -> bool {
        let person = &self.people[place];
        route.parts.iter().all(|part| {
            let Some(last) = part.path.len().checked_sub(2).map(|index| part.path[index]) else { return false };
            let mut accounts = person.funder().accounts().filter(|(key, _)| *key == last);
            let epoch = accounts.next().and_then(|(_, account)| account.active());
            epoch.is_some_and(|epoch| epoch.send_capacity() + part.amount.credits() <= epoch.receive_capacity())
        })
    }

    /// Credit has gone around, or not.
    pub(super) fn rebalanced(&mut self, place: usize, reply: &Reply) {
        self.people[place].is_rebalancing = false;
        if let Reply::Payment(report) = reply
            && report.status == PaymentStatus::Paid
        {
            self.outcome.rebalancings += 1;
            self.outcome.rebalanced += report.amount.credits();
        }
    }
}
