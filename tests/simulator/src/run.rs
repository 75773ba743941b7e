//! A run: a world in which things happen by chance, and then a time in which everything is healed.
//!
//! Each action throws its own dice, so that leaving one out does not change what the others want to do.

use crate::faults::{EventKind, FaultKind, InjectedFault};
use crate::keys::Dice;
use crate::mix::Mix;
use crate::options::Options;
use crate::world::{CRASHES, World, name};
use offst_funder::{Command, Progress, Reply};
use offst_ledger::Status;
use offst_proto::Amount;
use offst_proto::index::Query;
use offst_proto::invoice::Invoice;
use offst_proto::limits::PATIENCE_MS_MAX;
use offst_proto::order::{Order, Purpose};
use offst_proto::report::PaymentStatus;
use offst_proto::{Currency, Rate, Verified};
use std::collections::BTreeSet;

/// How many times a hundred seconds pass at most until everything must have finished.
const HEALING_ROUNDS: usize = 6;
/// How often payments are made, and how many steps follow each time, until something that is waited for has come about.
const ROUNDS_MAX: usize = 4;
const STEPS_MAX: usize = 40;
/// How many payments are tried when all is healed.
const PROBES: usize = 4;
/// A route that could carry so much must carry a probe.
const PROBE_ROOM: u128 = 64;

/// One world and what its owners remember.
pub(crate) struct Run {
    pub(crate) mix: Mix,
    pub(crate) world: World,
    pub(crate) seed: u64,
    pub(crate) currencies: Vec<Currency>,
    /// What may go wrong, and what was left out of it: leaving something out does not make the rest happen more often.
    drawn: Vec<FaultKind>,
    pub(crate) friendships: Vec<(usize, usize)>,
    /// Accounts with keys that were lost.
    pub(crate) rotations: Vec<KeyRotation>,
    invoices: Vec<(usize, Verified<Invoice>)>,
    /// What sellers had sold before they went back to older disks.
    pub(crate) sold: Vec<Verified<Invoice>>,
    /// Everything that any owner has ordered, and at which node.
    pub(crate) orders: Vec<(usize, Order)>,
}

/// An account whose friend has a new key: the friend that keeps it, the lost node, and the one that replaces it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyRotation {
    pub(crate) friend: usize,
    pub(crate) lost: usize,
    pub(crate) replacement: usize,
    /// The owner of the new key remembers what was owed.
    pub(crate) remembers: bool,
}

/// The names of the first so many currencies.
fn currencies(count: usize) -> Vec<Currency> {
    let others = ["hours", "eggs"].map(|name| name.parse::<Currency>().expect("a name"));
    std::iter::once(Currency::default()).chain(others).take(count).collect()
}

impl Run {
    /// All nodes are up and connected, nothing is under way.
    pub(crate) fn begin(seed: u64, options: &Options) -> Self {
        let mut dice = Dice::new(seed);
        let mut drawn = Mix::draw(&mut dice);
        drawn.kinds.extend(&options.with);
        if drawn.has(FaultKind::Liars) {
            // As in a world that a seed has drawn.
            [FaultKind::Slander, FaultKind::Keys, FaultKind::WriteOffs].iter().for_each(|kind| {
                drawn.kinds.remove(kind);
            });
        }
        let kinds = drawn.kinds.iter().copied().collect();
        let mix = options.apply(drawn);
        let friendships = mix.friendships(&mut dice);
        let currencies = currencies(mix.currencies);
        let mut world = World::of_mix(&mix, seed);
        if options.tells {
            world.story = Some(vec![]);
        }
        if mix.has(FaultKind::Liars) {
            let count = if mix.nodes > 5 { 1 + dice.below(2) } else { 1 };
            world.liars = (0..count).map(|_| dice.below(mix.nodes)).collect();
        }
        for (a, b) in friendships.iter().copied() {
            for (number, currency) in currencies.iter().enumerate() {
                if number > 0 && dice.chance(30) {
                    continue;
                }
                for (from, to) in [(a, b), (b, a)] {
                    let limit = 400 + dice.below(4) as u128 * 800;
                    let reply = world.ask(from, world.friendship(to, currency, 0, limit));
                    assert_eq!(reply, Reply::Done);
                    if dice.chance(40) {
                        let rate =
                            Rate { mul: (dice.throw() >> 36) as u32, add: Amount::capped(dice.below(4) as u128) };
                        world.ask(from, Command::SetFriendRate(name(to), currency.clone(), rate));
                    }
                }
            }
        }
        for node in 0..mix.nodes {
            if dice.chance(50) {
                world.ask(node, Command::SetAutoClear(true));
            }
        }
        world.connect_all();
        world.advance(3_000);
        world.is_wild = true;
        world.reconnects = true;
        let mut run = Run {
            mix,
            world,
            seed,
            currencies,
            drawn: kinds,
            friendships,
            rotations: vec![],
            invoices: vec![],
            sold: vec![],
            orders: vec![],
        };
        run.provide();
        run
    }

    /// Does one thing, and lets some of what follows happen.
    pub(crate) fn act(&mut self, number: usize) {
        self.world.dice = Dice::new(self.seed.wrapping_mul(0x1_0001).wrapping_add(number as u64).rotate_left(17));
        if self.mix.has(FaultKind::Liars) && self.world.dice.chance(8) {
            self.go_wrong(FaultKind::Liars);
        }
        if self.mix.has(FaultKind::WriteOffs) && self.world.dice.chance(5) {
            self.go_wrong(FaultKind::WriteOffs);
        }
        if self.mix.has(FaultKind::Terms) && self.world.dice.chance(6) {
            self.offer_terms();
        }
        if self.mix.has(FaultKind::Terms) && self.world.dice.chance(10) {
            self.accept_some();
        }
        if self.mix.has(FaultKind::Budgets) && self.world.dice.chance(6) {
            let index = self.world.dice.below(self.mix.nodes);
            self.world.check_budgets(index);
        }
        if !self.world.torn.is_empty() && self.world.dice.chance(20) {
            self.settle_some();
        }
        if !self.rotations.is_empty() && self.world.dice.chance(30) {
            self.rotate_keys(true);
        }
        if !self.sold.is_empty() && self.world.dice.chance(15) {
            self.order_sold();
        }
        match self.world.dice.below(100) {
            0..58 => {
                for _ in 0..1 + self.world.dice.below(3) {
                    self.pay();
                }
            }
            58..60 => self.order_again(),
            60..63 => self.move_around(),
            _ => {
                let kind = self.drawn.get(self.world.dice.below(self.drawn.len().max(1))).copied();
                if let Some(kind) = kind.filter(|kind| self.mix.has(*kind)) {
                    self.world.tell(|| format!("action {number}: {kind}"));
                    self.go_wrong(kind);
                }
            }
        }
        for _ in 0..[0, 5, 20, 80][self.world.dice.below(4)] {
            self.world.step();
        }
        let ms = [0, 5, 60, 300, 1_000, 3_000, 15_000][self.world.dice.below(7)];
        if ms > 0 {
            self.world.advance(ms);
        }
        self.world.check_mirrors();
        self.world.record_found_out();
    }

    pub(crate) fn pick_currency(&mut self) -> Currency {
        self.currencies[self.world.dice.below(self.currencies.len())].clone()
    }

    /// A friendship, from one of its ends.
    fn pick_friendship(&mut self) -> (usize, usize) {
        let (a, b) = self.world.dice.pick(&self.friendships).expect("there are friendships");
        if self.world.dice.chance(50) { (a, b) } else { (b, a) }
    }

    /// Somebody pays somebody.
    fn pay(&mut self) {
        let currency = self.pick_currency();
        let world = &mut self.world;
        let count = self.mix.nodes;
        let (buyer, seller) = (world.dice.below(count), world.dice.below(count));
        let (buyer, seller) = (world.person(buyer), world.person(seller));
        let amount = 1 + world.dice.below_one_of([30, 30, 30, 120, 700]) as u128;
        let (kind, short, cheap) = (world.dice.below(100), world.dice.chance(4), world.dice.chance(6));
        let expiry_ms =
            (self.mix.has(FaultKind::Cancels) && world.dice.chance(6)).then(|| world.dice.below(20_000) as u64);
        let limit = world.dice.below(10) as u128;
        if !world.nodes[buyer].is_up() {
            return;
        }
        let purpose = match kind {
            0..25 if buyer != seller => world.spontaneous(seller, &currency, amount),
            25..30 => match world.dice.pick(&self.invoices) {
                Some((_, invoice)) => Purpose::Invoice(invoice),
                None => return,
            },
            _ if buyer == seller => return,
            _ => {
                let description = String::new();
                let command =
                    Command::CreateInvoice { amount: Amount::capped(amount), currency, description, expiry_ms };
                let id = world.command(seller, command);
                let Some(Reply::Invoice(invoice)) = world.reply(seller, id) else { return };
                self.invoices.push((seller, invoice.clone()));
                if kind >= 97 {
                    return;
                }
                Purpose::Invoice(invoice)
            }
        };
        let mut order = world.order(purpose);
        if short {
            order.timeout_ms = 1 + world.dice.below(3_000) as u64;
        }
        order.max_fee = cheap.then_some(Amount::capped(limit));
        self.orders.push((buyer, order.clone()));
        let by_app = if self.mix.has(FaultKind::Budgets) && world.dice.chance(50) {
            world.order_by_app(buyer, &order)
        } else {
            None
        };
        let is_bounded = by_app.is_some();
        let id = world.command(buyer, by_app.unwrap_or_else(|| Command::Pay(Box::new(order))));
        if is_bounded && matches!(world.reply(buyer, id), Some(Reply::Refused(_))) {
            world.faults.did(EventKind::OverBudget);
        }
    }

    /// An owner moves credit around a cycle of friends, or clears a debt cycle.
    fn move_around(&mut self) {
        let currency = self.pick_currency();
        let (node, friend) = self.pick_friendship();
        let world = &mut self.world;
        let (is_clearing, amount) = (world.dice.chance(30), 1 + world.dice.below(60) as u128);
        if !world.nodes[node].is_up() {
            return;
        }
        if is_clearing {
            world.command(node, Command::Clear { currency, perform: true });
            return;
        }
        let order = world.order(Purpose::Rebalance { friend: name(friend), currency, amount: Amount::capped(amount) });
        self.orders.push((node, order.clone()));
        world.command(node, Command::Pay(Box::new(order)));
    }

    /// An application that does not know what became of its order asks again: history first, then the node.
    fn order_again(&mut self) {
        let world = &mut self.world;
        let Some((buyer, order)) = world.dice.pick(&self.orders) else { return };
        let ended = |progress| matches!(progress, Progress::Paid | Progress::Failed);
        let stored = world.nodes[buyer].disk.payment(order.payment_id);
        if world.nodes[buyer].is_up() && !stored.is_some_and(|payment| ended(payment.progress)) {
            world.faults.did(EventKind::Repeated);
            world.command(buyer, Command::Pay(Box::new(order)));
        }
    }

    fn go_wrong(&mut self, kind: FaultKind) {
        let (from, to) = self.pick_friendship();
        let currency = self.pick_currency();
        let world = &mut self.world;
        let count = world.nodes.len();
        let node = world.dice.below(count);
        let ms = 20 + world.dice.below_one_of([300, 3_000, 30_000]) as u64;
        match kind {
            FaultKind::Delays => {
                for _ in 0..3 {
                    let (a, b) = world.dice.pick(&self.friendships).expect("there are friendships");
                    world.delay(a, b, ms);
                }
            }
            FaultKind::Resets => world.disconnect(from, to),
            FaultKind::HalfOpen => world.deafen(from, to),
            FaultKind::Partitions => {
                let apart: BTreeSet<usize> = (0..count).filter(|_| world.dice.chance(40)).collect();
                let is_silent = world.dice.chance(30);
                if !apart.is_empty() && apart.len() < count {
                    world.part(&apart, ms, is_silent);
                }
            }
            FaultKind::WriteOffs => self.write_off(),
            FaultKind::Clocks => self.turn_clock(node),
            FaultKind::Absences => self.go_away(node),
            FaultKind::Fees => self.raise_rate(from, to, &currency),
            FaultKind::Terms => self.offer_terms(),
            // These are what owners have decided before.
            FaultKind::Patience | FaultKind::Budgets => {}
            FaultKind::SlowDisks => {
                for index in [node, to] {
                    world.nodes[index].slow_ms = 1 + world.dice.below_one_of([50, 1_500]) as u64;
                }
            }
            FaultKind::Crashes => {
                for index in [node, to] {
                    let crash = CRASHES[world.dice.below(CRASHES.len())];
                    if world.nodes[index].is_up() {
                        world.nodes[index].crash = Some((world.dice.below(8), crash));
                    }
                }
            }
            FaultKind::Kills => world.kill(node),
            FaultKind::Disks => self.lose_disk(),
            FaultKind::Keys => self.lose_key(),
            FaultKind::Stalls => world.stall(node, ms),
            FaultKind::Settings => {
                let (from, to) = self.pick_busy();
                self.change(from, to, &currency);
            }
            FaultKind::Removals => {
                let (from, to) = self.pick_busy();
                self.give_up(from, to, false);
            }
            FaultKind::Cancels => self.take_back(),
            FaultKind::Index => {
                let share = 10 + world.dice.below(40);
                world.wrong_answers = [share, share / 3];
            }
            FaultKind::Relays => {
                let number = world.dice.below(self.mix.relays.max(1));
                let ms = world.dice.chance(30).then_some(ms);
                world.trouble_relay(node, number, ms);
            }
            FaultKind::Slander => {
                let (force, waits) = (world.dice.chance(50), world.dice.chance(50));
                let (from, to) = if waits { self.pick_promise() } else { self.pick_busy() };
                // Where each side has collected what the other does not know of, neither can accept the other's terms:
                // people have to settle it otherwise, so it is not tried here.
                if self.world.is_pending_both_ways(from, to) {
                    return;
                }
                if force {
                    self.give_up(from, to, true);
                } else if self.world.hears(from, to) {
                    self.world.slander(from, to);
                }
            }
            FaultKind::Liars => {
                let liars = world.liars.clone();
                if world.dice.chance(60) {
                    self.pick_busy();
                }
                for liar in liars {
                    let ends = self.friendships.iter().flat_map(|(a, b)| [(*a, *b), (*b, *a)]);
                    let mut friends: Vec<usize> = ends.filter(|(a, _)| *a == liar).map(|(_, b)| b).collect();
                    let is_bold = self.world.dice.chance(50);
                    let of_these = |is_one: &dyn Fn(usize) -> bool| -> Vec<usize> {
                        friends.iter().copied().filter(|friend| is_bold && is_one(*friend)).collect()
                    };
                    let committed = of_these(&|friend| !self.world.committed_by(liar, friend).is_empty());
                    let promising = of_these(&|friend| !self.world.committed_to(liar, friend).is_empty());
                    let waiting = of_these(&|friend| !self.world.unanswered(liar, friend).is_empty());
                    if let Some(friend) = self.world.dice.pick(&committed) {
                        self.world.take_back_committed(liar, friend);
                        continue;
                    }
                    if let Some(friend) = self.world.dice.pick(&promising) {
                        self.world.collect_unopened(liar, friend);
                        continue;
                    }
                    if let Some(friend) = self.world.dice.pick(&waiting) {
                        self.world.steal(liar, friend);
                        continue;
                    }
                    let busy: Vec<usize> =
                        friends.iter().copied().filter(|friend| self.world.is_pending(*friend, liar)).collect();
                    if !busy.is_empty() {
                        friends = busy;
                    }
                    let Some(friend) = self.world.dice.pick(&friends) else { continue };
                    if self.mix.has(FaultKind::Disks) && self.world.dice.chance(50) {
                        self.deny(liar, friend);
                    } else {
                        self.world.lie(liar, friend, &currency);
                    }
                }
            }
        }
    }

    pub(crate) fn friends_of(&self, node: usize) -> Vec<usize> {
        let ends = self.friendships.iter().flat_map(|(a, b)| [(*a, *b), (*b, *a)]);
        ends.filter(|(a, _)| *a == node).map(|(_, b)| b).collect()
    }

    /// A friendship over which payments are just under way, if there is any.
    pub(crate) fn pick_busy(&mut self) -> (usize, usize) {
        for _ in 0..3 {
            self.pay();
        }
        for _ in 0..25 {
            self.world.step();
        }
        let friendships = self.friendships.iter().flat_map(|(a, b)| [(*a, *b), (*b, *a)]);
        let busy: Vec<_> = friendships.filter(|(from, to)| self.world.is_pending(*from, *to)).collect();
        self.world.dice.pick(&busy).unwrap_or_else(|| self.pick_friendship())
    }

    /// The same, when one of the two has promised to pay the other, and the other has not collected yet.
    fn pick_promise(&mut self) -> (usize, usize) {
        let promise = self.pay_until(World::promises);
        let (from, to) = promise.unwrap_or_else(|| self.pick_busy());
        if self.world.dice.chance(50) { (from, to) } else { (to, from) }
    }

    /// Payments are made until one of these is there. Which one of them, if there is any in the end.
    pub(crate) fn pay_until<T: Clone>(&mut self, wanted: impl Fn(&World) -> Vec<T>) -> Option<T> {
        for _ in 0..ROUNDS_MAX {
            for _ in 0..3 {
                self.pay();
            }
            for _ in 0..STEPS_MAX {
                self.world.step();
                let found = wanted(&self.world);
                if !found.is_empty() {
                    return self.world.dice.pick(&found);
                }
            }
        }
        None
    }

    fn take_back(&mut self) {
        let world = &mut self.world;
        // What is still under way is of most interest.
        let order = world.orders_of(&self.orders).filter(|_| world.dice.chance(50));
        let (node, command, fault) = match order {
            Some((node, order)) => (node, Command::CancelPayment(order.payment_id), InjectedFault::PaymentCancelled),
            None => match world.dice.pick(&self.invoices[self.invoices.len().saturating_sub(5)..]) {
                Some((node, invoice)) => (node, Command::CancelInvoice(invoice.id), InjectedFault::InvoiceCancelled),
                None => return,
            },
        };
        if world.nodes[node].is_up() {
            world.faults.add(fault);
            world.command(node, command);
        }
    }

    fn change(&mut self, from: usize, to: usize, currency: &Currency) {
        let world = &mut self.world;
        let (name, currency) = (name(to), currency.clone());
        let is_pending = world.is_pending(from, to);
        let limit = world.limit(from, to, &currency);
        let (command, fault) = match world.dice.below(12) {
            0..4 => {
                let new = world.dice.below(300) as u128;
                if let Some((from, to, currency, new)) = world.asked_meanwhile().filter(|_| world.dice.chance(50)) {
                    world.faults.add(InjectedFault::LimitLowered);
                    world.command(
                        from,
                        Command::SetFriendMaxDebt(crate::world::name(to), currency, Amount::capped(new)),
                    );
                    return;
                }
                let fault =
                    if new < limit && is_pending { InjectedFault::LimitLowered } else { InjectedFault::Changed };
                (Command::SetFriendMaxDebt(name, currency, Amount::capped(new)), fault)
            }
            4..8 => {
                let new = 500 + world.dice.below(3_000) as u128;
                (Command::SetFriendMaxDebt(name, currency, Amount::capped(new)), InjectedFault::Changed)
            }
            8..9 => (Command::SetFriendOpen(name, currency, false), InjectedFault::Changed),
            9..11 => (Command::SetFriendOpen(name, currency, true), InjectedFault::Changed),
            _ => {
                let rate = Rate { mul: 0, add: Amount::capped(world.dice.below(3) as u128) };
                (Command::SetFriendRate(name, currency, rate), InjectedFault::Changed)
            }
        };
        if world.nodes[from].is_up() {
            world.faults.add(fault);
            world.command(from, command);
        }
    }

    /// An owner disables or removes a friend, or takes it back.
    fn give_up(&mut self, from: usize, to: usize, force: bool) {
        let world = &mut self.world;
        if !world.nodes[from].is_up() {
            return;
        }
        let is_pending = world.is_pending(from, to);
        // With a liar, or where accounts have stopped, a removal would take money away: that is the owners' affair.
        let is_safe = ![FaultKind::Slander, FaultKind::Liars, FaultKind::Disks].iter().any(|kind| self.mix.has(*kind));
        match world.dice.below(if force { 2 } else { 5 }) {
            0 => {
                let fault = if force { InjectedFault::Forced } else { InjectedFault::Disabled };
                if force || is_pending {
                    world.faults.add(fault);
                }
                world.command(from, Command::DisableFriend { name: name(to), force });
            }
            1..3 if is_safe => {
                if is_pending {
                    world.faults.add(InjectedFault::Removed);
                }
                let forgive = world.dice.chance(50);
                world.command(from, Command::RemoveFriend { name: name(to), force: false, forgive });
            }
            _ => {
                for (a, b) in self.friendships.clone() {
                    for (from, to) in [(a, b), (b, a)] {
                        self.world.befriend_again(from, to, &self.currencies);
                        self.world.command(from, Command::EnableFriend(name(to)));
                    }
                }
            }
        }
    }

    /// Friendships of honest nodes, from both ends.
    fn honest_ends(&self) -> Vec<(usize, usize)> {
        let is_honest = |node: usize| !self.world.liars.contains(&node);
        let honest = self.friendships.iter().filter(|(a, b)| is_honest(*a) && is_honest(*b));
        honest.flat_map(|(a, b)| [(*a, *b), (*b, *a)]).collect()
    }

    /// Everybody is up, open and connected for as long as anything needs, and owners settle what has stopped.
    ///
    /// # Panics
    /// When something does not finish: it is named.
    pub(crate) fn heal(&mut self) {
        self.world.dice = Dice::new(self.seed ^ 0x4ea1);
        self.world.tell(|| "everything is healed".into());
        self.world.calm();
        self.world.advance(40_000);
        self.world.record_found_out();
        self.world.check_found_out();
        if self.mix.has(FaultKind::Patience) {
            self.world.advance(PATIENCE_MS_MAX);
        }
        self.check_dear_fees();
        self.world.check_face_values(&self.honest(), &self.currencies);
        self.leave_liars();
        let ends = self.honest_ends();
        for (from, to) in ends.iter().copied() {
            self.world.befriend_again(from, to, &self.currencies);
            self.open_again(from, to);
            self.world.command(from, Command::EnableFriend(name(to)));
            for currency in &self.currencies {
                self.world.command(from, Command::SetFriendOpen(name(to), currency.clone(), true));
            }
        }
        for _ in 0..HEALING_ROUNDS {
            self.world.connect_all();
            self.world.advance(100_000);
            for (from, to) in ends.iter().copied() {
                // A drain may have ended only now.
                self.world.befriend_again(from, to, &self.currencies);
                // An owner that puts an old disk back in silence may have to settle what it has forgotten.
                if self.mix.has(FaultKind::Slander) || !self.world.careless.is_empty() {
                    self.settle_account(from, to);
                }
            }
            self.settle_what_both_lost();
            self.rotate_keys(false);
            if self.world.stuck().is_empty() && self.rotations.is_empty() {
                break;
            }
        }
        if !self.rotations.is_empty() {
            self.give_up_lost_keys();
            for (from, to) in ends {
                self.settle_account(from, to);
            }
            self.world.advance(100_000);
        }
        self.world.assert_finished();
        self.world.expire_edges();
        self.world.check_published(&self.honest());
        self.probe();
        self.world.assert_finished();
        self.world.check_backups(&self.honest());
        self.world.assert_finished();
        self.world.count_expired();
    }

    /// An account that had not begun yet when one of its ends lost its disk is written down nowhere else: its owner
    /// adds it once more.
    fn open_again(&mut self, from: usize, to: usize) {
        for currency in self.currencies.clone() {
            let world = &self.world;
            let is_known = world.nodes[from].status(world.key(to), &currency).is_some();
            let awaited = match world.nodes[to].status(world.key(from), &currency) {
                Some(Status::Waiting { mine }) => mine.balance,
                _ => continue,
            };
            if !is_known && world.replaced.contains(&from) {
                self.world.command(from, world.friendship(to, &currency, -awaited, 1_000));
            }
        }
    }

    /// Where two sides disagree, one can accept the other's terms without loss.
    fn settle_account(&mut self, from: usize, to: usize) {
        for currency in self.currencies.clone() {
            let key = self.world.key(to);
            let status = self.world.nodes[from].status(key, &currency);
            if status.is_some_and(|status| status != Status::Consistent) {
                let id = self.world.command(from, Command::ResetFriend(name(to), currency));
                if self.world.reply(from, id) == Some(Reply::Done) {
                    self.world.faults.did(EventKind::Reset);
                }
                self.world.settle();
            }
        }
    }

    /// Owners give up friends that lie. What is owed then is lost.
    fn leave_liars(&mut self) {
        for (a, b) in self.friendships.clone() {
            for (from, to) in [(a, b), (b, a)] {
                if self.world.liars.contains(&to) && !self.world.liars.contains(&from) {
                    let name = name(to);
                    let reply = self.world.ask(from, Command::RemoveFriend { name, force: true, forgive: true });
                    assert_eq!(reply, Reply::Done);
                }
            }
        }
        self.world.retire_liars();
    }

    /// In a healed world with nothing in flight, every node that has a path can pay.
    fn probe(&mut self) {
        for _ in 0..PROBES {
            let world = &mut self.world;
            let count = world.nodes.len();
            let (buyer, seller) = (world.dice.below(count), world.dice.below(count));
            let currency = self.currencies[world.dice.below(self.currencies.len())].clone();
            if buyer == seller || world.liars.contains(&buyer) || world.liars.contains(&seller) {
                continue;
            }
            let query = Query::new(currency.clone(), Amount::capped(PROBE_ROOM), world.key(buyer), world.key(seller));
            let routes = crate::index::search(&world.edges, &query);
            if !routes.iter().any(|route| route.parts.len() == 1) {
                continue;
            }
            let reply = world.ask(
                seller,
                Command::CreateInvoice { amount: 2.into(), currency, description: String::new(), expiry_ms: None },
            );
            let Reply::Invoice(invoice) = reply else { panic!("node {seller} makes no invoice: {reply:?}") };
            // Whatever it costs.
            let order = Order { max_fee: Some(Amount::MAX), ..world.order(Purpose::Invoice(invoice)) };
            let id = order.payment_id;
            self.orders.push((buyer, order.clone()));
            let command = world.command(buyer, Command::Pay(Box::new(order)));
            world.advance(90_000);
            let report = world.payment_reply(buyer, command);
            let is_paid = report.as_ref().is_some_and(|report| report.status == PaymentStatus::Paid);
            let reason = report.map(|report| report.reason).unwrap_or_default();
            assert!(
                is_paid,
                "in a healed world node {buyer} cannot pay node {seller} although there is a route: payment {id}, {reason}"
            );
        }
    }
}
