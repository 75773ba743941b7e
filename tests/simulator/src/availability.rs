//! How many honest payments succeed while somebody works against them.
//!
//! Each world is run twice: once two of its people only watch, once they do what they can so that others cannot pay.
//! They are friends of honest people, one of them forwards without a fee, and both break no rule that anybody could
//! prove. The payments of the honest to each other are the same in both; for each of them there is a route over honest
//! people alone.

use crate::index;
use crate::keys::Dice;
use crate::seed::message;
use crate::world::{World, name};
use offst_crypto::{Preimage, RandomExt};
use offst_funder::{Command, Progress};
use offst_ledger::{Direction, Stage};
use offst_proto::Amount;
use offst_proto::index::Query;
use offst_proto::payment::NO_PROOF;
use offst_proto::statement::{Operation, Request};
use offst_proto::{Currency, PaymentId, Rate, RequestId};
use std::collections::BTreeMap;

/// Honest people in each world.
const HONEST: usize = 9;
/// Who asks for what only binds others, and who is asked.
const ASKER: usize = HONEST;
const SILENT: usize = HONEST + 1;
/// What friends let each other owe, credits.
const LIMIT: u128 = 1_000;
/// The largest honest payment, credits.
const AMOUNT_MAX: usize = 40;
/// How often the two do something, ms.
const TICK_MS: u64 = 500;
/// So long they work before anybody pays, ticks: longer than a promise takes to be overdue.
const HEAD_START: u64 = 180;
/// Between two payments, ticks.
const PAYS_EVERY: u64 = 3;
/// Payments in each world.
const PAYMENTS: u64 = 40;
/// How long each payment has, ms.
const TIMEOUT_MS: u64 = 30_000;
/// How long one waits who never commits, ms: less than what counts against it.
const UNCOMMITTED_MS: u64 = 9_000;

/// What is done against others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attack {
    /// Single credits are promised to an accomplice, who neither collects nor releases them.
    HoldPromised,
    /// The node that forwards without a fee takes requests, and says nothing more.
    Swallow,
    /// Requests for whole credit lines are answered, and never committed.
    NeverCommit,
    /// All places are filled with requests of one credit that wait for an hour.
    FillPlaces,
    /// Nothing is acknowledged any more.
    Stall,
}

impl Attack {
    /// All of them.
    pub const ALL: [Attack; 5] =
        [Attack::HoldPromised, Attack::Swallow, Attack::NeverCommit, Attack::FillPlaces, Attack::Stall];

    /// A name for people.
    pub fn name(self) -> &'static str {
        match self {
            Attack::HoldPromised => "promises held for ever",
            Attack::Swallow => "requests swallowed",
            Attack::NeverCommit => "answers never committed",
            Attack::FillPlaces => "places filled",
            Attack::Stall => "nothing acknowledged",
        }
    }

    /// Of a hundred payments that succeed when nobody works against them, so many succeed at least: less would mean
    /// that somebody can silence others.
    pub fn floor(self) -> u64 {
        match self {
            Attack::HoldPromised => 70,
            Attack::Swallow => 75,
            Attack::NeverCommit => 75,
            Attack::FillPlaces => 80,
            Attack::Stall => 80,
        }
    }

    /// The one that a seed draws.
    pub fn of_seed(seed: u64) -> Attack {
        Attack::ALL[(seed % Attack::ALL.len() as u64) as usize]
    }
}

/// Payments that were paid in their time, and all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    /// With the attack.
    pub paid: u64,
    /// Without it.
    pub paid_in_peace: u64,
    /// All that were ordered in each of the two.
    pub ordered: u64,
}

impl Share {
    /// Of a hundred payments that succeed in peace.
    pub fn percent(&self) -> u64 {
        self.paid * 100 / self.paid_in_peace.max(1)
    }

    /// Both together.
    pub fn add(&mut self, other: Share) {
        self.paid += other.paid;
        self.paid_in_peace += other.paid_in_peace;
        self.ordered += other.ordered;
    }
}

/// What came of an attack in the world of a seed.
///
/// # Errors
/// A sentence that says which checker did not hold.
pub fn measure(seed: u64, attack: Attack) -> Result<Share, String> {
    let measured = std::panic::catch_unwind(|| {
        let (peace, ordered) = Testnet::begin(seed).run(None);
        let (paid, _) = Testnet::begin(seed).run(Some(attack));
        Share { paid, paid_in_peace: peace, ordered }
    });
    measured.map_err(message)
}

struct Testnet {
    world: World,
    dice: Dice,
    /// Requests that the asker has made, and when, ms.
    asked: BTreeMap<RequestId, u64>,
}

impl Testnet {
    fn begin(seed: u64) -> Testnet {
        let mut dice = Dice::new(seed.rotate_left(29));
        let mut world = World::new(HONEST + 2, seed);
        world.liars = [ASKER, SILENT].into();
        let mut pairs = Vec::new();
        for node in 1..HONEST {
            let first = dice.below(node);
            pairs.extend((0..node).filter(|other| *other == first || dice.chance(25)).map(|other| (node, other)));
        }
        for two in [ASKER, SILENT] {
            let first = dice.below(HONEST);
            pairs.extend([0, 1, 4].map(|step| (two, (first + step) % HONEST)));
        }
        for (a, b) in pairs {
            world.befriend(a, b, LIMIT, LIMIT);
            if a == SILENT {
                world.ask(a, Command::SetFriendRate(name(b), Currency::default(), Rate { mul: 0, add: 0.into() }));
            }
        }
        world.connect_all();
        world.advance(5_000);
        world.reconnects = true;
        Testnet { world, dice, asked: BTreeMap::new() }
    }

    /// How many of the honest payments were paid, and how many there were.
    fn run(mut self, attack: Option<Attack>) -> (u64, u64) {
        if attack.is_some() {
            self.world.make_puppet(ASKER);
            self.world.make_puppet(SILENT);
        }
        let mut orders: Vec<(usize, PaymentId)> = Vec::new();
        // The same payments with and without an attack.
        let mut payers = self.dice.clone();
        for tick in 0..HEAD_START + PAYS_EVERY * PAYMENTS + TIMEOUT_MS / TICK_MS {
            if let Some(attack) = attack {
                self.work(attack, tick);
            }
            let since = tick.checked_sub(HEAD_START).filter(|since| *since < PAYS_EVERY * PAYMENTS);
            if since.is_some_and(|since| since.is_multiple_of(PAYS_EVERY)) {
                orders.extend(self.pay(&mut payers));
            }
            self.world.advance(TICK_MS);
        }
        let is_paid = |(buyer, id): &&(usize, PaymentId)| {
            self.world.nodes[*buyer].disk.payment(*id).is_some_and(|payment| payment.progress == Progress::Paid)
        };
        (orders.iter().filter(is_paid).count() as u64, orders.len() as u64)
    }

    /// An honest payment, if it could be made over honest people alone.
    fn pay(&mut self, payers: &mut Dice) -> Option<(usize, PaymentId)> {
        let (buyer, step, amount) = (payers.below(HONEST), 1 + payers.below(HONEST - 1), 1 + payers.below(AMOUNT_MAX));
        let seller = (buyer + step) % HONEST;
        let spontaneous = self.world.spontaneous(seller, &Currency::default(), amount as u128);
        let mut order = self.world.order(spontaneous);
        order.timeout_ms = TIMEOUT_MS;
        order.max_fee = Some(50.into());
        let id = order.payment_id;
        self.world.command(buyer, Command::Pay(Box::new(order)));
        Some((buyer, id))
    }

    fn work(&mut self, attack: Attack, tick: u64) {
        for two in [ASKER, SILENT] {
            for friend in 0..HONEST {
                self.world.connect(two, friend);
                if !self.world.hears(two, friend) {
                    continue;
                }
                if attack != Attack::Stall {
                    self.acknowledge(two, friend);
                }
                match (attack, two) {
                    (Attack::HoldPromised | Attack::NeverCommit, SILENT) => self.answer(friend),
                    (Attack::HoldPromised, _) => self.commit(friend),
                    (Attack::NeverCommit, _) => self.give_up(friend),
                    _ => {}
                }
            }
        }
        match attack {
            Attack::HoldPromised if tick.is_multiple_of(10) => self.ask_over_all(1, 30_000, 1),
            Attack::NeverCommit if tick.is_multiple_of(4) => {
                for amount in [LIMIT / 2, LIMIT / 4, LIMIT / 8, LIMIT / 16] {
                    self.ask_over_all(amount - 10, 30_000, 1);
                }
            }
            Attack::FillPlaces if tick.is_multiple_of(4) => self.ask_over_all(1, 3_600_000, 24),
            _ => {}
        }
    }

    /// Everything that a friend has said is acknowledged.
    fn acknowledge(&mut self, two: usize, friend: usize) {
        let account = self.world.nodes[friend].account(self.world.key(two));
        if account.active().is_some() && account.is_resumed() {
            let statement = self.world.statement(two, friend, vec![]);
            self.world.state(two, friend, statement);
        }
    }

    fn pendings(&self, two: usize, friend: usize, wanted: Direction) -> Vec<(RequestId, Stage)> {
        let account = self.world.nodes[friend].account(self.world.key(two));
        let pendings = account.active().into_iter().flat_map(|epoch| epoch.pendings());
        let wanted = pendings.filter(|(direction, ..)| *direction == wanted);
        wanted.map(|(_, id, pending)| (id, pending.stage)).collect()
    }

    fn say(&mut self, two: usize, friend: usize, operations: Vec<Operation>) {
        if !operations.is_empty() && self.world.hears(two, friend) {
            let statement = self.world.statement(two, friend, operations);
            self.world.state(two, friend, statement);
        }
    }

    /// Whatever the asker has asked for is answered.
    fn answer(&mut self, friend: usize) {
        let waiting = self.pendings(SILENT, friend, Direction::Outgoing).into_iter();
        let waiting: Vec<RequestId> = waiting
            .filter(|(id, stage)| *stage == Stage::Requested && self.asked.contains_key(id))
            .map(|(id, _)| id)
            .collect();
        let answers = waiting.into_iter().map(|id| {
            let lock = Preimage::from_bytes(self.dice.array()).lock();
            Operation::Response(self.world.answer_with(id, lock))
        });
        let answers = answers.collect();
        self.say(SILENT, friend, answers);
    }

    fn commit(&mut self, friend: usize) {
        let answered = self.pendings(ASKER, friend, Direction::Incoming).into_iter();
        let commits = answered.filter(|(_, stage)| matches!(stage, Stage::Responded(_)));
        let commits = commits.map(|(id, _)| Operation::Commit { id }).collect();
        self.say(ASKER, friend, commits);
    }

    fn give_up(&mut self, friend: usize) {
        let now = self.world.time;
        let pending = self.pendings(ASKER, friend, Direction::Incoming).into_iter();
        let old = pending.filter(|(id, stage)| {
            let asked_ms = self.asked.get(id).copied().unwrap_or(0);
            *stage != Stage::Aborted && asked_ms + UNCOMMITTED_MS <= now
        });
        let aborts = old.map(|(id, _)| Operation::Abort { id }).collect();
        self.say(ASKER, friend, aborts);
    }

    /// Requests of the asker's to its accomplice, over several routes.
    fn ask_over_all(&mut self, amount: u128, patience_ms: u64, count: usize) {
        let keys = [ASKER, SILENT].map(|two| self.world.key(two));
        // The two do not publish any more: what their friends publish of them tells the routes.
        let query = Query::new(Currency::default(), Amount::capped(amount), keys[0], keys[1]);
        for route in index::search(&self.world.edges, &query) {
            let [part] = &route.parts[..] else { continue };
            let friend = self.world.index(part.path[0]);
            if !self.world.hears(ASKER, friend) {
                continue;
            }
            let requests = (0..count).map(|_| Request {
                id: RequestId::random(&mut self.dice),
                payment_id: PaymentId::random(&mut self.dice),
                invoice_id: None,
                amount: Amount::capped(amount),
                total: Amount::capped(amount),
                fees_left: part.fees,
                patience_ms,
                path: part.path[1..].to_vec(),
                proof: NO_PROOF,
                clearing: false,
            });
            let requests: Vec<Request> = requests.collect();
            self.asked.extend(requests.iter().map(|request| (request.id, self.world.time)));
            let operations = requests.into_iter().map(|request| Operation::Request(Box::new(request))).collect();
            self.say(ASKER, friend, operations);
        }
    }
}
