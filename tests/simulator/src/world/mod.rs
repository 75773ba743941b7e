//! A world in memory: nodes with real funders, FIFO links that break, disks that survive, and a clock that is turned by hand.
//!
//! Everything is decided by the test or by seeded dice, so every run can be repeated.

mod checks;
pub(crate) mod disk;
mod lies;
mod link;
mod notebook;
mod process;

use crate::faults::{Counts, Fault};
use crate::index;
use crate::keys::{Dice, FakeSigner, FakeVerifier, public_key};
use crate::trace::Trace;
use disk::Disk;
use notebook::{CarefulSigner, Notebook};
use offst_crypto::{Ed25519Verifier, Identity, PublicKey, Signer, Verifier};
use offst_funder::{Command, CommandId, ConnectionId, Environment, Funder, Input, Payment, Reply, Timing};
use offst_ledger::Account;
use offst_proto::invoice::Invoice;
use offst_proto::order::{Destination, NewFriend, Order, Purpose};
use offst_proto::report::{Event, PaymentReport};
use offst_proto::route::Way;
use offst_proto::ticket::FriendTicket;
use offst_proto::{Currency, PaymentId, Verified};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The unix time at which every world begins, ms.
const EPOCH_MS: u64 = 1_700_000_000_000;

/// Where in a batch a node dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The disk refuses the transaction.
    DiskFails,
    /// Nothing of the batch is durable.
    BeforeCommit,
    /// All of it is durable, and nobody has heard of it.
    BeforeOutputs,
    /// All of it is durable, and some have heard of it.
    BetweenOutputs,
}

/// All of them.
pub const CRASHES: [Crash; 4] = [Crash::DiskFails, Crash::BeforeCommit, Crash::BeforeOutputs, Crash::BetweenOutputs];

/// Who answers when a node looks for ways.
pub enum Paths {
    /// A search over the published edges.
    Search,
    /// These, one for each question; then none.
    Given(VecDeque<Vec<Way>>),
}

enum Packet {
    Opened(ConnectionId),
    Closed(ConnectionId),
    Frame(ConnectionId, Vec<u8>),
}

/// One node: a real funder, its disk, and what it has told its owner.
pub struct Node {
    /// Its public key.
    pub key: PublicKey,
    /// None: it is down, or a test speaks for it.
    pub funder: Option<Funder>,
    environment: Environment,
    notebook: Notebook,
    /// Survives the node.
    pub disk: Disk,
    inbox: VecDeque<Input>,
    booted: u64,
    /// It runs, but does nothing.
    pub is_frozen: bool,
    /// A test speaks for it.
    pub is_puppet: bool,
    /// The node wants a connection to these.
    contacts: BTreeSet<PublicKey>,
    /// The answers to its commands.
    pub replies: BTreeMap<CommandId, Reply>,
    /// What its applications were shown.
    pub events: Vec<Event>,
    /// Dies in the batch that many from now.
    pub crash: Option<(usize, Crash)>,
    /// How many batches it has run.
    pub batches: usize,
    /// Commands that were lost in a crash are never answered.
    pub commands_of_this_run: Vec<CommandId>,
}

impl Node {
    /// Whether it runs.
    pub fn is_up(&self) -> bool {
        self.funder.is_some()
    }

    /// Its account with a friend, in the default currency.
    pub fn account(&self, friend: PublicKey) -> &Account {
        self.account_in(friend, &Currency::default())
    }

    /// Its account with a friend.
    pub fn account_in(&self, friend: PublicKey, currency: &Currency) -> &Account {
        let accounts = self.funder.as_ref().expect("the node is up").accounts();
        accounts
            .filter(|(key, account)| *key == friend && account.key().currency == *currency)
            .map(|(_, account)| account)
            .next()
            .expect("they are friends")
    }

    /// What all friends owe, credits.
    pub fn wealth(&self) -> i128 {
        let accounts = self.funder.as_ref().expect("the node is up").accounts();
        accounts.map(|(_, account)| account.epoch().map_or(0, |epoch| epoch.balance())).sum()
    }

    /// How many requests are pending on all accounts.
    pub fn pendings(&self) -> usize {
        let accounts = self.funder.as_ref().expect("the node is up").accounts();
        accounts.map(|(_, account)| account.epoch().map_or(0, |epoch| epoch.pendings().count())).sum()
    }
}

/// All nodes, what is under way between them, and the time.
pub struct World {
    /// Milliseconds since the world began.
    pub time: u64,
    /// The nodes; each is known by its place here.
    pub nodes: Vec<Node>,
    links: BTreeMap<(usize, usize), VecDeque<Packet>>,
    connections: BTreeMap<(usize, usize), ConnectionId>,
    counter: u64,
    /// Decides everything that happens by chance.
    pub dice: Dice,
    /// What the nodes have published.
    pub edges: index::Edges,
    /// Who answers questions for ways.
    pub paths: Paths,
    /// How often a node asked for ways.
    pub questions: usize,
    verifier: Box<dyn Verifier>,
    /// The most that each node ever let a friend owe, credits.
    ceilings: BTreeMap<(usize, PublicKey, Currency), u128>,
    /// What went wrong so far.
    pub faults: Counts,
    /// What happened so far.
    pub trace: Trace,
    /// Deliver packets in random order and batches.
    pub is_wild: bool,
}

/// What a node signs and checks with.
type Keys = (Box<dyn Signer>, Box<dyn Verifier>);

fn pair(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

impl World {
    /// `count` nodes without friends, with quick keys.
    pub fn new(count: usize, seed: u64) -> Self {
        Self::with_keys(count, seed, |seed| (Box::new(FakeSigner::new(seed)), Box::new(FakeVerifier)))
    }

    /// The same with real signatures.
    pub fn real(count: usize, seed: u64) -> Self {
        Self::with_keys(count, seed, |seed| (Box::new(Identity::from_seed([seed; 32])), Box::new(Ed25519Verifier)))
    }

    fn with_keys(count: usize, seed: u64, keys: fn(u8) -> Keys) -> Self {
        let mut dice = Dice::new(seed);
        let nodes = (0..count)
            .map(|index| {
                let seed = index as u8 + 1;
                let (signer, verifier) = keys(seed);
                let notebook = Notebook::default();
                let signer = Box::new(CarefulSigner { signer, notebook: notebook.clone() });
                let random = Box::new(Dice::new(dice.throw()));
                Node {
                    key: public_key(seed),
                    funder: Some(Funder::restore(public_key(seed), Disk::default().image()).expect("an empty disk")),
                    environment: Environment { signer, verifier, random, timing: Timing::default() },
                    notebook,
                    disk: Disk::default(),
                    inbox: VecDeque::new(),
                    booted: 0,
                    is_frozen: false,
                    is_puppet: false,
                    contacts: BTreeSet::new(),
                    replies: BTreeMap::new(),
                    events: Vec::new(),
                    crash: None,
                    batches: 0,
                    commands_of_this_run: Vec::new(),
                }
            })
            .collect();
        let mut world = World {
            time: 0,
            nodes,
            links: BTreeMap::new(),
            connections: BTreeMap::new(),
            counter: 0,
            dice,
            edges: BTreeMap::new(),
            paths: Paths::Search,
            questions: 0,
            verifier: keys(1).1,
            ceilings: BTreeMap::new(),
            faults: Counts::default(),
            trace: Trace::default(),
            is_wild: false,
        };
        for index in 0..count {
            world.batch(index, vec![Input::Start]);
        }
        world
    }

    /// Nodes in a row, each friend of the next; both directions have room for `limit`.
    pub fn row(count: usize, limit: u128) -> Self {
        let mut world = World::new(count, 1);
        for index in 1..count {
            world.befriend(index - 1, index, limit, limit);
        }
        world.connect_all();
        world.settle();
        world
    }

    /// A node's public key.
    pub fn key(&self, index: usize) -> PublicKey {
        self.nodes[index].key
    }

    /// The node that has this key.
    pub fn index(&self, key: PublicKey) -> usize {
        self.nodes.iter().position(|node| node.key == key).expect("a node of this world")
    }

    /// Makes two nodes friends with balance 0. The limits are what each lets the other owe.
    pub fn befriend(&mut self, a: usize, b: usize, limit_a: u128, limit_b: u128) {
        for (node, friend, limit) in [(a, b, limit_a), (b, a, limit_b)] {
            let reply = self.ask(node, self.friendship(friend, &Currency::default(), 0, limit));
            assert_eq!(reply, Reply::Done);
        }
    }

    /// The command that makes `friend` a friend. `max_debt`: what it may owe, credits.
    pub fn friendship(&self, friend: usize, currency: &Currency, balance: i128, max_debt: u128) -> Command {
        Command::AddFriend(Box::new(NewFriend {
            name: name(friend),
            ticket: FriendTicket { public_key: self.key(friend), relays: vec![], address: None },
            balance,
            currency: currency.clone(),
            max_debt,
            open: true,
        }))
    }

    // ---- commands

    /// Gives a node a command; its reply, if any yet, is kept.
    pub fn command(&mut self, index: usize, command: Command) -> CommandId {
        self.counter += 1;
        let id = self.counter;
        if self.nodes[index].is_up() {
            self.nodes[index].commands_of_this_run.push(id);
        }
        self.batch(index, vec![Input::Command(id, command)]);
        id
    }

    /// A command that is answered at once.
    pub fn ask(&mut self, index: usize, command: Command) -> Reply {
        let text = format!("{command:?}");
        let id = self.command(index, command);
        self.reply(index, id).unwrap_or_else(|| panic!("no answer to {text}"))
    }

    /// The answer to a command.
    pub fn reply(&self, index: usize, id: CommandId) -> Option<Reply> {
        self.nodes[index].replies.get(&id).cloned()
    }

    /// An invoice that is payable for ever.
    pub fn invoice(&mut self, seller: usize, amount: u128) -> Verified<Invoice> {
        self.invoice_in(seller, amount, &Currency::default(), None)
    }

    /// An invoice. `expiry_ms`: how long it can be paid.
    pub fn invoice_in(
        &mut self,
        seller: usize,
        amount: u128,
        currency: &Currency,
        expiry_ms: Option<u64>,
    ) -> Verified<Invoice> {
        let command =
            Command::CreateInvoice { amount, currency: currency.clone(), description: "tea".into(), expiry_ms };
        match self.ask(seller, command) {
            Reply::Invoice(invoice) => invoice,
            reply => panic!("no invoice: {reply:?}"),
        }
    }

    /// An id that no payment has.
    pub fn fresh_payment_id(&mut self) -> PaymentId {
        PaymentId::random(&mut self.dice)
    }

    /// An order with a fresh id and a minute of time.
    pub fn order(&mut self, purpose: Purpose) -> Order {
        Order { payment_id: self.fresh_payment_id(), purpose, max_fee: None, timeout_ms: 60_000 }
    }

    /// Pays an invoice.
    pub fn pay(&mut self, buyer: usize, invoice: &Verified<Invoice>) -> (PaymentId, CommandId) {
        let order = self.order(Purpose::Invoice(invoice.clone()));
        let id = order.payment_id;
        (id, self.command(buyer, Command::Pay(Box::new(order))))
    }

    /// Pays without an invoice.
    pub fn send(&mut self, buyer: usize, destination: usize, amount: u128) -> (PaymentId, CommandId) {
        let destination = Destination::Key(self.key(destination));
        let order = self.order(Purpose::Spontaneous { destination, currency: Currency::default(), amount });
        let id = order.payment_id;
        (id, self.command(buyer, Command::Pay(Box::new(order))))
    }

    /// The answer to a command that pays.
    pub fn payment_reply(&self, index: usize, id: CommandId) -> Option<PaymentReport> {
        self.reply(index, id).map(|reply| match reply {
            Reply::Payment(report) => *report,
            reply => panic!("not about a payment: {reply:?}"),
        })
    }

    /// A payment as its buyer has stored it.
    pub fn payment(&self, index: usize, id: PaymentId) -> Payment {
        self.nodes[index].disk.payment(id).expect("the payment is stored")
    }

    /// The command that accepts a friend's terms.
    pub fn reset(&self, friend: usize) -> Command {
        Command::ResetFriend(name(friend), Currency::default())
    }
}

/// The owner's name for a node.
pub fn name(index: usize) -> String {
    format!("node{index}")
}
