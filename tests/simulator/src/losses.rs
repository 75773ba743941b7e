//! Owners lose disks, and settle what neither side of an account can show any more.

use crate::faults::{EventKind, FaultKind};
use crate::run::Run;
use crate::world::observed::Loss;
use crate::world::{Node, World, name};
use offst_funder::{Command, Reply};
use offst_ledger::{Status, StopReason};
use offst_proto::Amount;
use offst_proto::Currency;
use offst_proto::order::Purpose;
use offst_proto::report::InvoiceStatus;

/// Of a hundred losses so many hit both ends of an account.
const BOTH_PERCENT: usize = 30;
/// How long something that was bought may take before its seller's disk is lost, ms.
const SALE_MS: u64 = 3_000;
/// How many steps somebody waits at most for a node that collects.
const STEPS_MAX: usize = 120;

impl Run {
    /// An owner copies a disk, or goes on without the newest one; sometimes a friend's owner does so too.
    pub(crate) fn lose_disk(&mut self) {
        let count = self.world.nodes.len();
        for _ in 0..2 {
            let copied = self.world.dice.below(count);
            self.world.copy_disk(copied);
        }
        match self.world.dice.below(10) {
            0 | 1 => return self.lose_after_sale(),
            2 | 3 => return self.lose_after_collect(),
            4 | 5 => return self.lose_after_promise(),
            _ => {}
        }
        let (node, friend) = self.pick_busy();
        let losses = [self.draw_loss(), self.draw_loss()];
        // With a liar nobody could say whose fault it is that an account has come back to an older state.
        if !self.mix.has(FaultKind::Liars) && self.world.dice.chance(BOTH_PERCENT) {
            return self.lose_both(node, friend, losses);
        }
        let friends = self.friends_of(node);
        if !self.world.liars.contains(&node) && self.world.may_lose(node, &friends) {
            self.world.lose(node, &friends, losses[0]);
        }
    }

    /// A seller goes back to a copy of its disk on which an invoice is open that was paid since. It is ordered again later.
    fn lose_after_sale(&mut self) {
        let currency = self.pick_currency();
        let count = self.mix.nodes;
        let (buyer, seller) = (self.world.dice.below(count), self.world.dice.below(count));
        let friends = self.friends_of(seller);
        let is_free = |node: usize| self.world.nodes[node].is_up() && !self.world.liars.contains(&node);
        if buyer == seller || !is_free(buyer) || !is_free(seller) {
            return;
        }
        let amount = 1 + self.world.dice.below(30) as u128;
        let create = Command::CreateInvoice {
            amount: Amount::capped(amount),
            currency,
            description: String::new(),
            expiry_ms: None,
        };
        let id = self.world.command(seller, create);
        let Some(Reply::Invoice(invoice)) = self.world.reply(seller, id) else { return };
        self.world.copy_disk(seller);
        self.order(buyer, Purpose::Invoice(invoice.clone()));
        self.world.advance(SALE_MS);
        let record = self.world.nodes[seller].disk.invoice(invoice.id);
        let is_sold = record.is_some_and(|record| record.status == InvoiceStatus::Paid);
        if is_sold && self.world.may_lose(seller, &friends) {
            self.world.lose(seller, &friends, Loss::Restored);
            self.sold.push(invoice);
        }
    }

    /// Somebody orders what was sold already, when its seller has gone back to before that.
    pub(crate) fn order_sold(&mut self) {
        let count = self.mix.nodes;
        let buyer = self.world.dice.below(count);
        let Some(invoice) = self.world.dice.pick(&self.sold) else { return };
        if self.world.nodes[buyer].is_up() && self.world.key(buyer) != invoice.destination {
            self.world.faults.did(EventKind::OrderedSold);
            self.order(buyer, Purpose::Invoice(invoice));
        }
    }

    fn order(&mut self, buyer: usize, purpose: Purpose) {
        let order = self.world.order(purpose);
        self.orders.push((buyer, order.clone()));
        self.world.command(buyer, Command::Pay(Box::new(order)));
    }

    /// A node dies when it has just collected, before the friend that pays knows of it, and goes on with a copy of that very
    /// disk, or with nothing.
    fn lose_after_collect(&mut self) {
        self.pick_busy();
        let before: Vec<usize> = self.world.nodes.iter().map(Node::collect_count).collect();
        for _ in 0..STEPS_MAX {
            self.world.step();
            let has_collected = |node: &usize| self.world.nodes[*node].collect_count() > before[*node];
            let Some(node) = (0..self.mix.nodes).find(has_collected) else { continue };
            let friends = self.friends_of(node);
            if !self.world.liars.contains(&node) && self.world.may_lose(node, &friends) {
                self.world.copy_disk(node);
                let loss = if self.world.dice.chance(70) { Loss::Restored } else { Loss::Everything };
                self.world.faults.did(EventKind::LostAfterCollect);
                self.world.lose(node, &friends, loss);
            }
            return;
        }
    }

    /// A node in the middle loses its disk when it has promised onwards what was promised to it, or goes back to a copy from before.
    fn lose_after_promise(&mut self) {
        let Some((node, _)) = self.pay_until(World::promises_onwards) else { return };
        let friends = self.friends_of(node);
        if !self.world.liars.contains(&node) && self.world.may_lose(node, &friends) {
            let loss = if self.world.dice.chance(50) { Loss::Everything } else { self.draw_loss() };
            if loss == Loss::Everything || self.world.has_copy(node) {
                self.world.faults.did(EventKind::LostAfterPromise);
            }
            self.world.lose(node, &friends, loss);
        }
    }

    fn draw_loss(&mut self) -> Loss {
        match self.world.dice.below(3) {
            0 => Loss::Everything,
            _ if self.mix.silent_copies => Loss::Silent,
            _ => Loss::Restored,
        }
    }

    fn lose_both(&mut self, a: usize, b: usize, losses: [Loss; 2]) {
        let others = |of: usize, but: usize| self.friends_of(of).into_iter().filter(|friend| *friend != but).collect();
        let (around_a, around_b): (Vec<_>, Vec<_>) = (others(a, b), others(b, a));
        if !self.world.may_lose(a, &around_a) || !self.world.may_lose(b, &around_b) {
            return;
        }
        let friends = [self.friends_of(a), self.friends_of(b)];
        self.world.lose_both([a, b], &friends, losses);
    }

    /// A liar denies what has happened to a friend that has just lost everything.
    pub(crate) fn deny(&mut self, liar: usize, victim: usize) {
        let friends = self.friends_of(victim);
        if !self.world.has_copy(liar) {
            self.world.copy_disk(liar);
        } else if !self.world.liars.contains(&victim) && self.world.may_lose(victim, &friends) {
            self.world.show_older_state(liar, victim, &friends);
        }
    }

    /// Owners of accounts whose both ends have lost something look at them, and one accepts what the other shows wherever the
    /// account says that it waits for people. It may not wait in silence.
    ///
    /// # Panics
    /// When an account of two nodes that have been together for a while goes on neither by itself nor by its owners.
    pub(crate) fn settle_what_both_lost(&mut self) {
        let torn: Vec<_> = self.world.torn.keys().copied().collect();
        for (a, b) in torn {
            for currency in self.currencies.clone() {
                // A friend that was taken for a liar was disabled.
                for (from, to) in [(a, b), (b, a)] {
                    self.world.command(from, Command::EnableFriend(name(to)));
                }
                self.world.settle();
                let is_level = |from: usize, to: usize| {
                    let status = self.world.nodes[from].status(self.world.key(to), &currency);
                    status.is_none_or(|status| status == Status::Consistent)
                };
                if is_level(a, b) && is_level(b, a) || !self.world.is_connected(a, b) {
                    continue;
                }
                let has_settled = self.accept(a, b, &currency) || self.accept(b, a, &currency);
                let status = |from: usize, to: usize| self.world.nodes[from].status(self.world.key(to), &currency);
                assert!(
                    has_settled,
                    "both ends of the account of {a} and {b} in {currency} have lost something, and nobody is asked to settle \
                     it: {:?}, {:?}",
                    status(a, b),
                    status(b, a)
                );
                self.world.faults.did(EventKind::SettledByPeople);
            }
        }
    }

    /// While other things go on: an account that says that it waits for people is settled by one of them.
    pub(crate) fn settle_some(&mut self) {
        let torn: Vec<_> = self.world.torn.keys().copied().collect();
        let Some((a, b)) = self.world.dice.pick(&torn) else { return };
        let (from, to) = if self.world.dice.chance(50) { (a, b) } else { (b, a) };
        for currency in self.currencies.clone() {
            let status = self.world.nodes[from].status(self.world.key(to), &currency);
            let reason = match status {
                Some(Status::Inconsistent { reason, .. }) => reason,
                _ => continue,
            };
            if matches!(reason, Some(StopReason::BothStatesLost | StopReason::FriendWithholds)) {
                self.accept(from, to, &currency);
            }
        }
    }

    /// The owner of `from` accepts what `to` shows. Says whether that was possible.
    fn accept(&mut self, from: usize, to: usize, currency: &Currency) -> bool {
        let id = self.world.command(from, Command::ResetFriend(name(to), currency.clone()));
        let is_done = self.world.reply(from, id) == Some(Reply::Done);
        if is_done {
            self.world.faults.did(EventKind::Reset);
            self.world.tell(|| format!("the owner of node {from} accepts what node {to} shows of {currency}"));
        }
        self.world.settle();
        is_done
    }
}
