//! Three whole nodes in a row, driven by bytes: each says what is done next. At the end everybody is healed, and where
//! nobody lied the accounts must agree and nothing may be left pending.

use offst_crypto::{Hash, HashLock, Nonce, Preimage, Signature};
use offst_funder::{Command, Reply};
use offst_ledger::AccountKey;
use offst_proto::Amount;
use offst_proto::friend::{EpochPosition, Resume};
use offst_proto::payment::CancelReason;
use offst_proto::statement::{Answer, Operation, Request, Statement};
use offst_proto::{Currency, PaymentId, RequestId, Unverified};
use offst_simulator::keys::{Dice, FakeVerifier};
use offst_simulator::{CRASHES, World, name};

const NODES: usize = 3;
/// What friends let each other owe, credits.
const LIMIT: u128 = 1000;
/// What is done in one run at most.
const DEEDS_MAX: usize = 200;
const DURATIONS_MS: [u64; 7] = [10, 300, 1_000, 5_000, 25_000, 70_000, 300_000];

/// The bytes that decide; zeros when there are no more.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        [self.byte(); N]
    }
}

struct Play<'a> {
    world: World,
    choices: Choices<'a>,
    payments: Vec<(usize, PaymentId)>,
    has_lied: bool,
    steps: usize,
}

/// Plays what the bytes say.
pub(crate) fn node(bytes: &[u8]) -> bool {
    let mut world = World::row(NODES, LIMIT);
    world.is_wild = true;
    world.dice = Dice::new(bytes.len() as u64);
    let mut play = Play { world, choices: Choices(bytes), payments: vec![], has_lied: false, steps: 0 };
    for _ in 0..DEEDS_MAX {
        if play.choices.0.is_empty() {
            break;
        }
        play.step();
        play.steps += 1;
        if play.steps.is_multiple_of(8) {
            play.audit();
        }
    }
    play.audit();
    play.heal();
    true
}

impl Play<'_> {
    fn step(&mut self) {
        let kind = self.choices.byte() % 16;
        let node = self.choices.below(NODES);
        let is_up = self.world.nodes[node].is_up();
        let friend = if node == 1 { 2 * self.choices.below(2) } else { 1 };
        match kind {
            0..=3 => {
                for _ in 0..self.choices.byte() {
                    self.world.step();
                }
            }
            4 if is_up => {
                let destination = (node + 1 + self.choices.below(NODES - 1)) % NODES;
                let amount = 1 + u128::from(self.choices.byte()) * 5;
                self.payments.push((node, self.world.send(node, destination, amount).0));
            }
            5 if is_up => self.invoice_and_pay(node),
            6 => {
                let count = self.payments.len().max(1);
                if let Some((buyer, id)) = self.payments.get(self.choices.below(count)).copied()
                    && self.world.nodes[buyer].is_up()
                {
                    self.world.command(buyer, Command::CancelPayment(id));
                }
            }
            7 => self.world.kill(node),
            8 => {
                (0..NODES).for_each(|index| self.world.start(index));
                self.world.connect_all();
            }
            9 if is_up => {
                let crash = CRASHES[self.choices.below(CRASHES.len())];
                self.world.nodes[node].crash = Some((self.choices.below(6), crash));
            }
            10 => self.world.disconnect(node, friend),
            11 => self.world.advance(DURATIONS_MS[self.choices.below(DURATIONS_MS.len())]),
            12 if is_up => self.settings(node, friend),
            13 | 14 if self.world.hears(friend, node) => self.lie_in_a_statement(friend, node),
            15 if self.world.hears(friend, node) => self.lie_about_the_position(friend, node),
            _ => {}
        }
    }

    /// Whatever has happened, what lies on the disks follows from what was signed.
    fn audit(&self) {
        for node in &self.world.nodes {
            for id in node.disk.accounts() {
                let image = node.disk.account(&id).expect("it is listed");
                let key = AccountKey { local: node.key, remote: id.friend, currency: id.currency };
                if let Err(reason) = offst_ledger::audit(&key, &image, &FakeVerifier) {
                    panic!("the account is not sound: {reason}");
                }
            }
        }
    }

    fn invoice_and_pay(&mut self, seller: usize) {
        let buyer = (seller + 1 + self.choices.below(NODES - 1)) % NODES;
        let command = Command::CreateInvoice {
            amount: Amount::capped(1 + u128::from(self.choices.byte()) * 5),
            currency: Currency::default(),
            description: String::new(),
            expiry_ms: None,
        };
        let id = self.world.command(seller, command);
        if let Some(Reply::Invoice(invoice)) = self.world.reply(seller, id)
            && self.world.nodes[buyer].is_up()
        {
            self.payments.push((buyer, self.world.pay(buyer, &invoice).0));
        }
    }

    fn settings(&mut self, node: usize, friend: usize) {
        let (name, currency) = (name(friend), Currency::default());
        let command = match self.choices.below(4) {
            0 => Command::SetFriendMaxDebt(name, currency, Amount::capped(u128::from(self.choices.byte()) * 8)),
            1 => Command::SetFriendOpen(name, currency, self.choices.below(2) == 1),
            2 => Command::DisableFriend { name, force: false },
            _ => Command::EnableFriend(name),
        };
        self.world.command(node, command);
    }

    /// A request that is pending on the account, or none that is.
    fn request_id(&mut self, from: usize, to: usize) -> RequestId {
        let account = self.world.nodes[to].account(self.world.key(from));
        let known: Vec<_> =
            account.epoch().into_iter().flat_map(|epoch| epoch.pendings()).map(|(_, id, _)| id).collect();
        match known.len() {
            0 => RequestId::from_bytes(self.choices.bytes()),
            count => known[self.choices.below(count)],
        }
    }

    fn operation(&mut self, from: usize, to: usize) -> Operation {
        let id = self.request_id(from, to);
        match self.choices.below(8) {
            0 => Operation::Request(Box::new(Request {
                id: RequestId::from_bytes(self.choices.bytes()),
                payment_id: PaymentId::from_bytes(self.choices.bytes()),
                invoice_id: None,
                amount: Amount::capped(u128::from(self.choices.byte()) * 8),
                total: Amount::capped(u128::from(self.choices.byte()) * 8),
                fees_left: Amount::capped(u128::from(self.choices.byte() % 4)),
                patience_ms: u64::from(self.choices.byte()) * 100,
                path: (0..self.choices.below(3)).map(|_| self.world.key(self.choices.below(NODES))).collect(),
                clearing: self.choices.byte() < 16,
                proof: offst_crypto::Mac::from_bytes(self.choices.bytes()),
            })),
            1 => Operation::Response(Answer {
                id,
                lock: HashLock::from_bytes(self.choices.bytes()),
                nonce: Nonce::from_bytes(self.choices.bytes()),
                signature: Signature::from_bytes(self.choices.bytes()),
            }),
            2 => Operation::Commit { id },
            3 => Operation::Abort { id },
            4 => Operation::Collect { id, preimage: Preimage::from_bytes(self.choices.bytes()) },
            5 => {
                Operation::Cancel { id, reason: CancelReason::NoCapacity { left: 3.into() }, hop: self.world.key(from) }
            }
            6 => Operation::SetLimit(Amount::capped(u128::from(self.choices.byte()) << self.choices.below(97))),
            _ => Operation::SetOpen(self.choices.below(2) == 1),
        }
    }

    /// A statement in a friend's name, which knows nothing of it.
    fn lie_in_a_statement(&mut self, from: usize, to: usize) {
        let operations = (0..self.choices.below(4)).map(|_| self.operation(from, to)).collect();
        let mut statement: Statement = self.world.statement(from, to, operations);
        match self.choices.below(10) {
            0 => statement.totals.requested = statement.totals.requested.wrapping_add(self.choices.byte().into()),
            1 => statement.totals.collected = u128::MAX >> self.choices.below(128),
            2 => statement.seq = statement.seq.wrapping_add(self.choices.byte().into()),
            3 => statement.ack_seq = statement.ack_seq.wrapping_sub(self.choices.byte().into()),
            4 => statement.ack_hash = Hash::from_bytes(self.choices.bytes()),
            5 => statement.pending_hash = Some(Hash::from_bytes(self.choices.bytes())),
            6 => statement.epoch = statement.epoch.wrapping_add(self.choices.byte().into()),
            _ => {}
        }
        self.has_lied = true;
        self.world.state(from, to, statement);
    }

    /// Where the account stands, in a friend's name.
    fn lie_about_the_position(&mut self, from: usize, to: usize) {
        let account = self.world.nodes[to].account(self.world.key(from));
        let opening = account.negotiation().theirs.as_ref();
        let opening = opening.map(|opening| Unverified::from_wire(opening.wire()).expect("a stored opening"));
        let Some(epoch) = account.epoch() else { return };
        let mut position = EpochPosition {
            agreed: epoch.agreed,
            number: epoch.number,
            own_seq: epoch.theirs.seq,
            own_hash: epoch.theirs.hash,
            other_seq: epoch.mine.seq,
            other_hash: epoch.mine.hash,
        };
        match self.choices.below(8) {
            0 => position.own_seq = position.own_seq.wrapping_add(self.choices.byte().into()),
            1 => position.own_seq = position.own_seq.wrapping_sub(self.choices.byte().into()),
            2 => position.other_seq = position.other_seq.wrapping_add(self.choices.byte().into()),
            3 => position.other_seq = position.other_seq.wrapping_sub(self.choices.byte().into()),
            4 => position.other_hash = Hash::from_bytes(self.choices.bytes()),
            5 => position.number = position.number.wrapping_add(self.choices.byte().into()),
            6 => position.agreed = Hash::from_bytes(self.choices.bytes()),
            _ => {}
        }
        let opening = opening.filter(|_| self.choices.below(2) == 1);
        let epoch = (self.choices.below(4) > 0).then_some(position);
        let recovering = self.choices.below(4) == 1;
        self.has_lied = true;
        self.world.resume(from, to, Resume { currency: Currency::default(), opening, epoch, recovering });
    }

    fn heal(mut self) {
        for node in &mut self.world.nodes {
            node.crash = None;
        }
        for _ in 0..3 {
            for index in 0..NODES {
                self.world.start(index);
            }
            for (a, b) in [(0, 1), (1, 0), (1, 2), (2, 1)] {
                self.world.command(a, Command::EnableFriend(name(b)));
                self.world.command(a, Command::SetFriendOpen(name(b), Currency::default(), true));
            }
            self.world.connect_all();
            self.world.advance(100_000);
        }
        self.audit();
        if self.has_lied {
            return;
        }
        for (a, b) in [(0, 1), (1, 2)] {
            assert!(self.world.is_consistent(a, b), "the accounts of {a} and {b} agree");
            assert_eq!(self.world.balance(a, b), -self.world.balance(b, a));
        }
        self.world.assert_quiet();
    }
}
