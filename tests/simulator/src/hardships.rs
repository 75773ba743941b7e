//! What befalls owners besides: wrong clocks, friends who are away for weeks, dear mediators, and liars who offer
//! terms.

use crate::faults::{FaultKind, InjectedFault};
use crate::run::Run;
use crate::world::observed::Loss;
use crate::world::sources::Paths;
use crate::world::{World, name};
use offst_funder::Command;
use offst_ledger::Direction;
use offst_proto::Amount;
use offst_proto::budget::Budget;
use offst_proto::index::Query;
use offst_proto::{Currency, Rate, RequestId};

const DAY_MS: u64 = 24 * 3_600_000;
/// How long everybody sleeps at the end when budgets are looked at: until a month that no clock has shown before, but
/// for those that were decades ahead.
const ALL_PERIODS_MS: u64 = 500 * DAY_MS;
/// What owners pay in fees without being asked, for payments of any size, credits.
const FEES_UNASKED: u128 = 50;
/// How many statements fill a window that nobody acknowledges.
const WINDOW: usize = offst_proto::limits::UNACKNOWLEDGED_MAX;
/// How many steps somebody waits at most for a request to come so far.
const STEPS_MAX: usize = 60;
/// How long somebody stands still who acknowledges nothing, ms.
const STALL_MS: u64 = 30_000;

impl Run {
    /// What owners have decided before anything begins.
    pub(crate) fn provide(&mut self) {
        let world = &mut self.world;
        for node in 0..self.mix.nodes {
            if self.mix.has(FaultKind::Patience) {
                let patience_ms = [20_000, 60_000, 600_000, 3_600_000][world.dice.below(4)];
                if patience_ms > 20_000 {
                    world.faults.add(InjectedFault::Patient);
                }
                world.set_patience(node, patience_ms);
            }
            if self.mix.has(FaultKind::Budgets) && !world.liars.contains(&node) {
                let mut budgets: Vec<Budget> = Vec::new();
                for currency in &self.currencies {
                    let amount = [40, 120, 400, 5_000][world.dice.below(4)];
                    let period = ["", "/day", "/week", "/month"][world.dice.below(4)];
                    budgets.push(format!("{amount}:{currency}{period}").parse().expect("a budget"));
                }
                world.grant(node, budgets);
            }
        }
    }

    /// Where mediators ask for much, nobody pays more for a service than they meant: not more than the amount, or a few
    /// credits.
    ///
    /// # Panics
    /// When somebody does who has said nothing of fees.
    pub(crate) fn check_dear_fees(&self) {
        if !self.mix.has(FaultKind::Fees) {
            return;
        }
        for (buyer, order) in self.orders.iter().filter(|(_, order)| order.max_fee.is_none()) {
            let Some(payment) = self.world.nodes[*buyer].disk.payment(order.payment_id) else { continue };
            let (total, fees) = (payment.total, payment.fees());
            assert!(
                fees <= total.max(Amount::capped(FEES_UNASKED)).credits(),
                "node {buyer} pays {fees} in fees for {total}, and its owner has said nothing of fees"
            );
        }
    }

    /// All clocks are right now, and a long time goes by.
    pub(crate) fn check_purses(&mut self) {
        if !self.mix.has(FaultKind::Budgets) {
            return;
        }
        let honest = self.honest();
        honest.iter().for_each(|index| self.world.check_budgets(*index));
        // What wrong clocks have left counts until the next order, and not after its period.
        honest.iter().for_each(|index| self.world.order_too_much(*index));
        self.world.sleep(ALL_PERIODS_MS);
        honest.iter().for_each(|index| self.world.check_new_periods(*index));
    }

    /// A clock goes wrong, or is put right; sometimes the node starts again with it, or has just lost its disk.
    pub(crate) fn turn_clock(&mut self, node: usize) {
        if self.world.is_clock_wrong(node) && self.world.dice.chance(50) {
            self.world.right_clock(node);
        } else {
            self.world.turn_clock(node);
        }
        let friends = self.friends_of(node);
        let is_loss = self.mix.has(FaultKind::Disks) && self.world.dice.chance(50);
        if is_loss && !self.world.liars.contains(&node) && self.world.may_lose(node, &friends) {
            self.world.lose(node, &friends, Loss::Everything);
            self.world.advance(20_000);
            if self.world.dice.chance(50) {
                self.world.right_clock(node);
            }
        } else if self.world.dice.chance(40) {
            self.world.kill(node);
        }
    }

    /// A friend is away for weeks; beside a recovery, if there are any.
    pub(crate) fn go_away(&mut self, node: usize) {
        let ms = (10 + self.world.dice.below(50) as u64) * DAY_MS;
        if self.mix.has(FaultKind::Disks) && self.world.dice.chance(60) {
            return self.go_away_in_recovery(ms);
        }
        self.pick_busy();
        self.world.leave(node, ms);
        self.world.advance(30_000);
        self.world.sleep(ms);
    }

    /// A friend goes away that has committed what was forwarded; the node that has forwarded it pays for it, and loses
    /// its disk.
    fn go_away_in_recovery(&mut self, ms: u64) {
        let Some((middle, _)) = self.pay_until(World::promises_onwards) else { return };
        let friends = self.friends_of(middle);
        let Some(debtor) = self.world.committed_to_carrier(middle) else { return };
        if self.world.liars.contains(&middle) || !self.world.may_lose(middle, &friends) {
            return;
        }
        self.world.leave(debtor, ms + DAY_MS);
        self.world.faults.add(InjectedFault::AwayInRecovery);
        self.world.advance(20_000);
        if !self.world.may_lose(middle, &friends) {
            return;
        }
        self.world.lose(middle, &friends, Loss::Everything);
        self.world.advance(30_000);
        self.world.sleep(ms + DAY_MS);
        self.world.advance(30_000);
    }

    /// A mediator asks for nearly all that its friends let each other owe, or for little again.
    pub(crate) fn raise_rate(&mut self, from: usize, to: usize, currency: &Currency) {
        if !self.world.nodes[from].is_up() {
            return;
        }
        let add = [2, 60, 300, 900][self.world.dice.below(4)];
        self.world.faults.add(InjectedFault::DearFee);
        let rate = Rate { mul: 0, add: add.into() };
        self.world.command(from, Command::SetFriendRate(name(to), currency.clone(), rate));
    }

    /// A liar offers terms in one of the moments that matter, and the victim's owner accepts what they can.
    pub(crate) fn offer_terms(&mut self) {
        let liars: Vec<usize> = self.world.liars.iter().copied().collect();
        let Some(liar) = self.world.dice.pick(&liars) else { return };
        let honest = |node: &usize| !self.world.liars.contains(node);
        let victims: Vec<usize> = self.friends_of(liar).into_iter().filter(honest).collect();
        let Some(victim) = self.world.dice.pick(&victims) else { return };
        let currency = self.pick_currency();
        match self.world.dice.below(10) {
            0..3 => {
                self.pick_busy();
                self.offer_and_accept(liar, victim, &currency);
            }
            3..7 => self.stall_and_offer(liar, victim, &currency, false),
            7 | 8 if self.mix.has(FaultKind::Disks) => self.stall_and_offer(liar, victim, &currency, true),
            9 if self.mix.has(FaultKind::Disks) => self.lose_to_forger(liar, victim, &currency),
            _ => self.offer_and_accept(liar, victim, &currency),
        }
    }

    fn offer_and_accept(&mut self, liar: usize, victim: usize, currency: &Currency) {
        self.world.offer_nearly_right(liar, victim, currency);
        for _ in 0..self.world.dice.below(6) {
            self.world.step();
        }
        self.world.accept_liars_terms(victim, liar, currency);
    }

    /// The victim's owner looks at the accounts, and accepts what they can.
    pub(crate) fn accept_some(&mut self) {
        let pairs = self.friendships.iter().flat_map(|(a, b)| [(*a, *b), (*b, *a)]);
        let is_one = |(from, to): &(usize, usize)| self.world.liars.contains(to) && !self.world.liars.contains(from);
        let pairs: Vec<_> = pairs.filter(is_one).collect();
        let Some((victim, liar)) = self.world.dice.pick(&pairs) else { return };
        let currency = self.pick_currency();
        self.world.accept_liars_terms(victim, liar, &currency);
    }

    /// The liar pays over the victim to a friend of its, and commits. The friend acknowledges nothing, so that the
    /// victim's own promise waits to be signed; or it receives the promise and is away, and the victim loses its disk
    /// (`loses`). Then the liar offers terms.
    fn stall_and_offer(&mut self, liar: usize, victim: usize, currency: &Currency, loses: bool) {
        let others = self.friends_of(victim).into_iter().filter(|friend| *friend != liar);
        let others: Vec<usize> = others.filter(|friend| self.world.is_connected(*friend, victim)).collect();
        let Some(friend) = self.world.dice.pick(&others) else { return };
        if !self.world.nodes[liar].is_up() || !self.world.is_connected(liar, victim) {
            return;
        }
        let amount = 20 + self.world.dice.below(200) as u128;
        let query = Query::new(currency.clone(), Amount::capped(amount), self.world.key(liar), self.world.key(friend));
        let routes = crate::index::search(&self.world.edges, &query);
        let path = [self.world.key(victim), self.world.key(friend)];
        let Some(route) = routes.into_iter().find(|route| route.parts.len() == 1 && route.parts[0].path == path) else {
            return;
        };
        let before = std::mem::replace(&mut self.world.paths, Paths::Given([vec![route]].into()));
        let spontaneous = self.world.spontaneous(friend, currency, amount);
        let mut order = self.world.order(spontaneous);
        order.max_fee = Some(1_000.into());
        self.orders.push((liar, order.clone()));
        self.world.command(liar, Command::Pay(Box::new(order)));
        let answered = |world: &World| world.answered(victim, friend, currency);
        let id = self.step_until(answered);
        self.world.paths = before;
        let Some(id) = id else { return };
        if !loses {
            self.world.count_lie(friend, victim, InjectedFault::HeldBack);
            self.world.stall(friend, STALL_MS);
            let limit = self.world.limit(victim, friend, currency);
            for number in 0..WINDOW as u128 {
                let command =
                    Command::SetFriendMaxDebt(name(friend), currency.clone(), Amount::capped(limit + 1 + number % 2));
                self.world.command(victim, command);
            }
        }
        let committed = |world: &World| world.is_committed(victim, liar, currency, id).then_some(id);
        if self.step_until(committed).is_none() {
            return;
        }
        if loses {
            let friends = self.friends_of(victim);
            for _ in 0..self.world.dice.below(8) {
                self.world.step();
            }
            if self.world.may_lose(victim, &friends) {
                self.world.leave(friend, 60_000);
                self.world.lose(victim, &friends, Loss::Everything);
                self.world.start(victim);
                self.world.connect(victim, liar);
                let ms = [50, 1_000, 12_000][self.world.dice.below(3)];
                self.world.advance(ms);
            }
        }
        self.offer_and_accept(liar, victim, currency);
        self.world.advance(STALL_MS + 1_000);
        self.world.accept_liars_terms(victim, liar, currency);
    }

    fn step_until(&mut self, is_there: impl Fn(&World) -> Option<RequestId>) -> Option<RequestId> {
        for _ in 0..STEPS_MAX {
            self.world.step();
            if let Some(id) = is_there(&self.world) {
                return Some(id);
            }
        }
        None
    }

    /// A victim loses its disk, and a liar shows it what was never signed.
    fn lose_to_forger(&mut self, liar: usize, victim: usize, currency: &Currency) {
        let friends = self.friends_of(victim);
        self.pick_busy();
        if !self.world.may_lose(victim, &friends) {
            return;
        }
        self.world.lose(victim, &friends, Loss::Everything);
        self.world.start(victim);
        self.world.connect(victim, liar);
        for _ in 0..self.world.dice.below(5) {
            self.world.step();
        }
        self.world.forge_evidence(liar, victim, currency);
        self.world.advance(2_000);
        self.offer_and_accept(liar, victim, currency);
    }
}

impl World {
    /// A request that a node has answered and that came from another: its id, as the node that has asked would see it.
    fn answered(&self, from: usize, to: usize, currency: &Currency) -> Option<RequestId> {
        let account = self.nodes[to].find(self.key(from), currency)?;
        let mut pendings = account.epoch()?.pendings();
        let found = pendings.find(|(direction, _, pending)| {
            *direction == Direction::Incoming && pending.stage.lock().is_some() && !pending.stage.is_committed()
        });
        found.map(|(_, id, _)| id)
    }

    fn is_committed(&self, at: usize, from: usize, currency: &Currency, id: RequestId) -> bool {
        let account = self.nodes[at].find(self.key(from), currency);
        let pending = account.and_then(|account| account.pending(Direction::Incoming, id));
        pending.is_some_and(|pending| pending.stage.is_committed())
    }

    /// A friend that has committed to a node what the node has promised onwards.
    fn committed_to_carrier(&self, middle: usize) -> Option<usize> {
        let node = &self.nodes[middle];
        let is_bound = |id: RequestId| node.accounts().any(|(_, account)| account.is_bound(id));
        let mut friends = node.accounts().filter(|(_, account)| {
            let pendings = account.epoch().into_iter().flat_map(|epoch| epoch.pendings());
            let mut incoming = pendings.filter(|(direction, ..)| *direction == Direction::Incoming);
            incoming.any(|(_, id, pending)| pending.stage.is_committed() && is_bound(id))
        });
        friends.next().map(|(friend, _)| self.index(friend))
    }
}
