//! A world in which things happen by chance, and then a time in which everything is healed.

use crate::faults::Fault;
use crate::keys::Dice;
use crate::mix::Mix;
use crate::world::{CRASHES, World, name};
use offst_funder::{Command, Reply};
use offst_proto::invoice::Invoice;
use offst_proto::order::Purpose;
use offst_proto::{Currency, PaymentId, Rate, Verified};

/// One world and what its owners remember.
pub(crate) struct Life {
    pub(crate) mix: Mix,
    pub(crate) world: World,
    friendships: Vec<(usize, usize)>,
    invoices: Vec<(usize, Verified<Invoice>)>,
    payments: Vec<(usize, PaymentId)>,
}

impl Life {
    /// All nodes are up and connected, nothing is under way.
    pub(crate) fn begin(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let mix = Mix::draw(&mut dice);
        let friendships = mix.friendships(&mut dice);
        let mut world = World::new(mix.nodes, seed);
        for (a, b) in friendships.iter().copied() {
            let limits = [dice.below(4) * 300 + 100, dice.below(4) * 300 + 100];
            world.befriend(a, b, limits[0] as u128, limits[1] as u128);
            for (from, to) in [(a, b), (b, a)] {
                if dice.chance(40) {
                    let rate = Rate { mul: (dice.throw() >> 34) as u32, add: dice.below(4) as u128 };
                    world.ask(from, Command::SetFriendRate(name(to), Currency::default(), rate));
                }
            }
        }
        world.connect_all();
        world.settle();
        world.is_wild = true;
        Life { mix, world, friendships, invoices: vec![], payments: vec![] }
    }

    /// Does one thing, and lets some of what follows happen.
    pub(crate) fn act(&mut self) {
        let count = self.world.nodes.len();
        let node = self.world.dice.below(count);
        let friendship = self.world.dice.pick(&self.friendships).expect("there are friendships");
        let (from, to) = if self.world.dice.chance(50) { friendship } else { (friendship.1, friendship.0) };
        if self.mix.lies && self.world.hears(from, to) && self.world.dice.chance(5) {
            self.world.slander(from, to);
        }
        match self.world.dice.below(100) {
            0..14 => self.make_invoice(node),
            14..32 => self.pay_invoice(node),
            32..38 => self.send(node),
            38..48 if self.mix.cancels => self.take_back(),
            48..53 if self.mix.breaks => self.world.disconnect(from, to),
            53..55 => self.world.connect(from, to),
            55..70 => self.world.connect_all(),
            70..72 if self.mix.kills => self.world.kill(node),
            72..76 if self.mix.crashes && self.world.nodes[node].is_up() => {
                let crash = CRASHES[self.world.dice.below(CRASHES.len())];
                self.world.nodes[node].crash = Some((self.world.dice.below(6), crash));
            }
            76..86 => (0..count).for_each(|index| self.world.start(index)),
            86..96 if self.mix.changes => self.change(from, to),
            96..98 if self.mix.freezes => {
                let node = &mut self.world.nodes[node];
                node.is_frozen = !node.is_frozen;
                if node.is_frozen {
                    self.world.faults.add(Fault::Frozen);
                }
            }
            _ => {
                let ms = [10, 10, 300, 3_000, 25_000, 70_000][self.world.dice.below(6)];
                self.world.advance(ms);
            }
        }
        let steps = [0, 3, 12, 60][self.world.dice.below(4)];
        for _ in 0..steps {
            self.world.step();
        }
        self.world.check_mirrors();
    }

    fn make_invoice(&mut self, node: usize) {
        let world = &mut self.world;
        if !world.nodes[node].is_up() {
            return;
        }
        let command = Command::CreateInvoice {
            amount: 1 + world.dice.below(900) as u128,
            currency: Currency::default(),
            description: String::new(),
            expiry_ms: world.dice.chance(20).then(|| world.dice.below(30_000) as u64),
        };
        let id = world.command(node, command);
        if let Some(Reply::Invoice(invoice)) = world.reply(node, id) {
            self.invoices.push((node, invoice));
        }
    }

    fn pay_invoice(&mut self, node: usize) {
        let world = &mut self.world;
        if let Some((_, invoice)) = world.dice.pick(&self.invoices)
            && world.nodes[node].is_up()
        {
            let mut order = world.order(Purpose::Invoice(invoice));
            order.timeout_ms = 1 + world.dice.below(60_000) as u64;
            order.max_fee = world.dice.chance(10).then(|| world.dice.below(10) as u128);
            self.payments.push((node, order.payment_id));
            world.command(node, Command::Pay(Box::new(order)));
        }
    }

    fn send(&mut self, node: usize) {
        let world = &mut self.world;
        let destination = world.dice.below(world.nodes.len());
        if destination != node && world.nodes[node].is_up() {
            let amount = 1 + world.dice.below(300) as u128;
            self.payments.push((node, world.send(node, destination, amount).0));
        }
    }

    fn take_back(&mut self) {
        let world = &mut self.world;
        let payment = world.dice.pick(&self.payments).filter(|_| world.dice.chance(60));
        let command = match payment {
            Some((node, id)) => Some((node, Command::CancelPayment(id))),
            None => world.dice.pick(&self.invoices).map(|(node, invoice)| (node, Command::CancelInvoice(invoice.id))),
        };
        if let Some((node, command)) = command.filter(|(node, _)| world.nodes[*node].is_up()) {
            world.faults.add(Fault::TakenBack);
            world.command(node, command);
        }
    }

    fn change(&mut self, from: usize, to: usize) {
        let world = &mut self.world;
        let (name, currency) = (name(to), Currency::default());
        let command = match world.dice.below(10) {
            0..3 => Command::SetFriendMaxDebt(name, currency, world.dice.below(1500) as u128),
            3..5 => Command::SetFriendOpen(name, currency, world.dice.chance(60)),
            5..6 => Command::SetFriendRate(name, currency, Rate { mul: 0, add: world.dice.below(3) as u128 }),
            6..8 => Command::DisableFriend { name, force: self.mix.lies && world.dice.chance(50) },
            _ => Command::EnableFriend(name),
        };
        if world.nodes[from].is_up() {
            let is_forced = matches!(command, Command::DisableFriend { force: true, .. });
            world.faults.add(if is_forced { Fault::Forced } else { Fault::Changed });
        }
        world.command(from, command);
    }

    /// Everybody is up, open and connected for as long as anything needs, and owners settle what has stopped.
    pub(crate) fn heal(&mut self) {
        let world = &mut self.world;
        for node in &mut world.nodes {
            node.is_frozen = false;
            node.crash = None;
        }
        for index in 0..world.nodes.len() {
            world.start(index);
        }
        for (a, b) in self.friendships.clone() {
            for (from, to) in [(a, b), (b, a)] {
                world.command(from, Command::EnableFriend(name(to)));
                world.command(from, Command::SetFriendOpen(name(to), Currency::default(), true));
            }
        }
        for _ in 0..3 {
            world.connect_all();
            world.advance(100_000);
            for (a, b) in self.friendships.clone() {
                // Where the two disagree, one can accept the other's terms without loss.
                for (from, to) in [(a, b), (b, a)] {
                    if self.mix.lies && !world.is_consistent(a, b) {
                        world.command(from, world.reset(to));
                        world.settle();
                    }
                }
            }
        }
    }
}
