//! A world in memory: nodes with real funders, FIFO links that break, disks that survive, and a clock that is turned by
//! hand.
//!
//! Everything is decided by the test or by seeded dice, so every run can be repeated.

mod answers;
mod backups;
mod budgets;
mod checks;
mod clocks;
mod compare;
mod conditions;
mod connections;
mod dialing;
pub(crate) mod disk;
mod face_value;
mod fee_checks;
mod fees;
mod forged_responses;
mod invalid_messages;
mod key_rotation;
mod liar;
mod lies;
mod links;
mod loss;
pub(crate) mod observed;
mod process;
mod purse;
mod relays;
mod scheduler;
mod signer_log;
pub(crate) mod sources;
mod stuck;
mod terms;
mod withheld_state;
mod worth;
mod write_offs;

use crate::faults::{Counts, EventKind, FaultKind, InjectedFault};
use crate::index;
use crate::keys::{Dice, FakeSigner, FakeVerifier, public_key};
use crate::mix::Mix;
use crate::trace::Trace;
use disk::Disk;
use fees::Rates;
use links::{Links, pair};
use observed::{AccountRecord, WithheldState};
use offst_crypto::{Ed25519Verifier, Identity, PublicKey, Signer, Verifier};
use offst_funder::{
    AccountId, Command, CommandId, ConnectionId, Effects, Environment, Funder, Input, Payment, Reply, RequestRef,
    Timing,
};
use offst_ledger::Account;
use offst_proto::Amount;
use offst_proto::fee_bound::FeeBounds;
use offst_proto::invoice::Invoice;
use offst_proto::order::{Destination, NewFriend, Order, Purpose};
use offst_proto::report::{Event, PaymentReport};
use offst_proto::ticket::{FriendTicket, ServerTicket};
use offst_proto::{Currency, PaymentId, RequestId, Verified};
use purse::Purse;
use relays::RelayNetwork;
use scheduler::{Plan, Scheduler};
use signer_log::{CarefulSigner, SignerLog};
use sources::{Paths, Server};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use worth::Denied;

/// The unix time at which every world begins, ms.
const EPOCH_MS: u64 = 1_700_000_000_000;

/// Where in a batch a node dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The disk refuses the transaction.
    DiskFails,
    /// Nothing of the batch is durable.
    BeforeCommit,
    /// All of it is durable, and nobody knows of it who should.
    BeforeOutputs,
    /// All of it is durable, and of at least two frames some were sent and others not.
    BetweenOutputs,
}

/// All of them.
pub const CRASHES: [Crash; 4] = [Crash::DiskFails, Crash::BeforeCommit, Crash::BeforeOutputs, Crash::BetweenOutputs];

/// One node: a real funder, its disk, and what it has told its owner.
pub struct Node {
    /// Its public key.
    pub key: PublicKey,
    /// None: it is down, or a test speaks for it.
    pub funder: Option<Funder>,
    environment: Environment,
    signer_log: SignerLog,
    /// Survives the node.
    pub disk: Disk,
    /// Disks that it does not have any more: for checks from outside.
    past: Vec<Disk>,
    /// A copy of its disk that its owner has made.
    copy: Option<Box<Disk>>,
    inbox: VecDeque<Input>,
    booted: u64,
    /// What its clock shows beyond the time that it is, ms.
    pub clock_ahead_ms: u64,
    /// What its clock lacks, ms: it shows no time before 1970.
    pub(crate) clock_behind_ms: u64,
    /// The latest time that its clock has shown to it, unix ms.
    pub(super) latest_ms: u64,
    /// It is switched off.
    is_away: bool,
    /// Its application, if it has one.
    purse: Option<Purse>,
    /// It runs, but does nothing.
    pub is_stalled: bool,
    /// The next transaction takes so many ms.
    pub(crate) slow_ms: u64,
    /// A transaction that is being written, and its number.
    writing: Option<(u64, Effects)>,
    /// The connection over which each friend speaks, as far as this process knows.
    connected_over: BTreeMap<PublicKey, ConnectionId>,
    /// Friends that have asked how requests ended while the accounts with them were suspect.
    asked_while_suspect: BTreeSet<PublicKey>,
    /// What it sends vanishes: it is a liar.
    is_silent: bool,
    /// What it sent last, to whom and over which connection: a liar says it again.
    said: VecDeque<(usize, Vec<u8>)>,
    /// A test speaks for it.
    pub is_puppet: bool,
    /// The node wants a connection to these.
    contacts: BTreeSet<PublicKey>,
    /// The answers to its commands.
    pub replies: BTreeMap<CommandId, Reply>,
    /// What its applications were shown.
    pub events: Vec<Event>,
    /// Dies in the batch that many from now, or in the next one in which it can die so.
    pub crash: Option<(usize, Crash)>,
    /// How many batches it has run.
    pub batches: usize,
    /// Commands that were lost in a crash are never answered.
    pub commands_of_this_run: Vec<CommandId>,
}

impl Node {
    /// Whether it runs.
    pub fn is_up(&self) -> bool {
        self.funder.is_some() || self.writing.is_some()
    }

    /// Whether it takes in what arrives.
    fn is_free(&self) -> bool {
        !self.is_stalled && self.writing.is_none()
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

    /// Whether there is an account with this friend that has begun.
    pub(crate) fn has_epoch(&self, friend: PublicKey, currency: &Currency) -> bool {
        let accounts = self.funder.iter().flat_map(Funder::accounts);
        let mut accounts = accounts.filter(|(key, account)| *key == friend && account.key().currency == *currency);
        accounts.any(|(_, account)| account.epoch().is_some())
    }

    /// Its accounts, and with whom. None when it is down.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = (PublicKey, &Account)> {
        self.funder.iter().flat_map(Funder::accounts)
    }

    /// Whether what it knows of its accounts with a friend may be old.
    fn is_suspect_with(&self, friend: PublicKey) -> bool {
        self.accounts().any(|(key, account)| key == friend && account.is_recovering())
    }

    /// What all friends owe, credits of all currencies.
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
    links: Links,
    connections: BTreeMap<(usize, usize), ConnectionId>,
    /// Pairs of nodes that do not reach each other.
    cut: BTreeSet<(usize, usize)>,
    scheduler: Scheduler,
    relay_network: RelayNetwork,
    server: Option<Server>,
    /// Friends whose connection broke connect again by themselves.
    pub(crate) reconnects: bool,
    /// What was left on accounts whose friend was removed: node, friend, currency.
    gone: BTreeMap<(usize, usize, Currency), i128>,
    /// Friends that their owners would remove with any balance.
    forgiven: BTreeSet<(usize, PublicKey)>,
    /// The most that owners ever allowed to be written off without asking, credits.
    allowed: BTreeMap<(usize, AccountId), u128>,
    /// What was collected after it had been written off so.
    collected_anyway: BTreeSet<(usize, RequestRef)>,
    liars_are_gone: bool,
    /// Nodes that have lost state and have not got everything back yet.
    lost: BTreeSet<usize>,
    /// Nodes whose disk was replaced and that were told: they lose nothing.
    pub(crate) replaced: BTreeSet<usize>,
    /// Accounts of which both ends have lost state, by their ends, and the requests that had not ended everywhere then.
    pub(crate) torn: BTreeMap<(usize, usize), BTreeSet<RequestId>>,
    /// Nodes whose key was lost, and the nodes that their owners have now.
    pub(crate) replacements: BTreeMap<usize, usize>,
    /// Who has agreed that which lost key was replaced.
    replaced_keys: BTreeSet<(usize, PublicKey)>,
    /// Requests that were on accounts when their keys were rotated, and had not ended everywhere.
    rotated_requests: BTreeSet<RequestId>,
    /// Nodes whose disk was once replaced in silence.
    pub(crate) careless: BTreeSet<usize>,
    /// Who found out which liar.
    found_out: BTreeSet<(usize, usize)>,
    /// What liars deny that have gone back to an older state.
    withheld_states: Vec<WithheldState>,
    /// Nodes that lie.
    pub(crate) liars: BTreeSet<usize>,
    /// How many answers of a hundred are stale, and how many are false.
    pub(crate) wrong_answers: [usize; 2],
    /// How many answers of a hundred are splits although one route would do.
    pub(crate) split_percent: usize,
    /// The edges as they once were.
    old_edges: index::Edges,
    compare_every: usize,
    counter: u64,
    /// Scratch space of [`World::step`].
    ready: Vec<(usize, usize)>,
    /// Decides everything that happens by chance.
    pub dice: Dice,
    /// What the nodes have published.
    pub edges: index::Edges,
    /// Who answers questions for routes.
    pub paths: Paths,
    /// How often a node asked for routes.
    pub questions: usize,
    verifier: Box<dyn Verifier>,
    /// What each node signs with, outside of its signer log.
    signers: Vec<Box<dyn Signer>>,
    /// The most that each node ever let a friend owe, credits.
    ceilings: BTreeMap<(usize, PublicKey, Currency), u128>,
    /// The most that each node ever owed a friend, what was pending included, credits.
    debts: BTreeMap<(usize, PublicKey, Currency), u128>,
    /// How each account stood after a node's last batch, as long as it goes on.
    account_records: BTreeMap<(usize, PublicKey, Currency), AccountRecord>,
    /// The highest limit that a friend has told a node in the batch that runs, credits.
    told_limits: BTreeMap<(usize, PublicKey, Currency), u128>,
    rates: Rates,
    /// What liars among a node's friends may deny of what it has forgotten, over all its losses, credits.
    stakes: BTreeMap<(usize, PublicKey, Currency), u128>,
    /// What owners have given up with their eyes open, by accepting a liar's terms, credits.
    accepted: BTreeMap<(usize, PublicKey, Currency), i128>,
    /// What liars deny after a node's loss.
    denied: BTreeMap<(usize, PublicKey, Currency), Denied>,
    /// What went wrong so far.
    pub faults: Counts,
    /// What happened so far.
    pub trace: Trace,
    /// The same of bytes alone that went over connections and to the index servers: renaming a type does not change it.
    pub wire: Trace,
    /// What happened so far, for people, if somebody wants to read it.
    pub(crate) story: Option<Vec<String>>,
    /// Deliver packets in random order and batches.
    pub is_wild: bool,
}

/// What a node signs and checks with.
type Keys = (Box<dyn Signer>, Box<dyn Verifier>);

impl World {
    /// `count` nodes without friends, with quick keys.
    pub fn new(count: usize, seed: u64) -> Self {
        Self::with_keys(count, seed, |seed| (Box::new(FakeSigner::new(seed)), Box::new(FakeVerifier)))
    }

    /// The same with real signatures.
    pub fn real(count: usize, seed: u64) -> Self {
        Self::with_keys(count, seed, |seed| (Box::new(Identity::from_seed([seed; 32])), Box::new(Ed25519Verifier)))
    }

    /// The nodes of a mix, without friends.
    pub(crate) fn of_mix(mix: &Mix, seed: u64) -> Self {
        let count = mix.nodes + mix.spares();
        let mut world = if mix.real_keys { Self::real(count, seed) } else { Self::new(count, seed) };
        world.compare_every = mix.compare_every;
        world.server = mix.real_index.then(Server::new);
        let has = |kind| if mix.has(kind) { 1 } else { 0 };
        world.wrong_answers = [10 * has(FaultKind::Index), 5 * has(FaultKind::Index)];
        world.split_percent = 15;
        if mix.relays > 0 {
            world.relay_network = RelayNetwork::new(mix.relays, count, 20 * has(FaultKind::Relays));
            for index in 0..count {
                world.relays_started(index);
                for (number, ticket) in world.relay_network.tickets(index).into_iter().enumerate() {
                    world.ask(index, Command::AddRelay(format!("relay{number}"), ticket));
                }
            }
        }
        world
    }

    fn with_keys(count: usize, seed: u64, keys: fn(u8) -> Keys) -> Self {
        let mut dice = Dice::new(seed);
        let nodes = (0..count)
            .map(|index| {
                let seed = index as u8 + 1;
                let (signer, verifier) = keys(seed);
                let signer_log = SignerLog::default();
                let signer = Box::new(CarefulSigner { signer, signer_log: signer_log.clone() });
                let random = Box::new(Dice::new(dice.throw()));
                Node {
                    key: public_key(seed),
                    funder: Some(Funder::restore(public_key(seed), Disk::default().rows()).expect("an empty disk")),
                    environment: Environment {
                        signer,
                        verifier,
                        random,
                        timing: Timing::default(),
                        fee_bounds: FeeBounds::default(),
                    },
                    signer_log,
                    disk: Disk::default(),
                    past: Vec::new(),
                    copy: None,
                    inbox: VecDeque::new(),
                    clock_ahead_ms: 0,
                    clock_behind_ms: 0,
                    latest_ms: 0,
                    is_away: false,
                    purse: None,
                    booted: 0,
                    is_stalled: false,
                    slow_ms: 0,
                    writing: None,
                    connected_over: BTreeMap::new(),
                    asked_while_suspect: BTreeSet::new(),
                    is_silent: false,
                    said: VecDeque::new(),
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
            links: Links::new(count),
            connections: BTreeMap::new(),
            cut: BTreeSet::new(),
            scheduler: Scheduler::default(),
            relay_network: RelayNetwork::default(),
            server: None,
            reconnects: false,
            gone: BTreeMap::new(),
            forgiven: BTreeSet::new(),
            allowed: BTreeMap::new(),
            collected_anyway: BTreeSet::new(),
            liars_are_gone: false,
            lost: BTreeSet::new(),
            replaced: BTreeSet::new(),
            torn: BTreeMap::new(),
            replacements: BTreeMap::new(),
            replaced_keys: BTreeSet::new(),
            rotated_requests: BTreeSet::new(),
            careless: BTreeSet::new(),
            found_out: BTreeSet::new(),
            withheld_states: Vec::new(),
            liars: BTreeSet::new(),
            wrong_answers: [0, 0],
            split_percent: 0,
            old_edges: BTreeMap::new(),
            compare_every: 16,
            counter: 0,
            ready: Vec::new(),
            dice,
            edges: BTreeMap::new(),
            paths: Paths::Search,
            questions: 0,
            verifier: keys(1).1,
            signers: (0..count).map(|index| keys(index as u8 + 1).0).collect(),
            ceilings: BTreeMap::new(),
            debts: BTreeMap::new(),
            account_records: BTreeMap::new(),
            told_limits: BTreeMap::new(),
            rates: Rates::default(),
            stakes: BTreeMap::new(),
            accepted: BTreeMap::new(),
            denied: BTreeMap::new(),
            faults: Counts::default(),
            trace: Trace::default(),
            wire: Trace::default(),
            story: None,
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

    /// How long the requests of a node's own payments wait, besides a step for each hop, ms.
    pub(crate) fn set_patience(&mut self, index: usize, patience_ms: u64) {
        self.nodes[index].environment.timing.patience_ms = patience_ms;
    }

    /// From now on these nodes draw the same numbers.
    pub(crate) fn draw_alike(&mut self, nodes: &[usize], seed: u64) {
        for index in nodes {
            self.nodes[*index].environment.random = Box::new(Dice::new(seed));
        }
    }

    /// A node's public key.
    pub fn key(&self, index: usize) -> PublicKey {
        self.nodes[index].key
    }

    /// The node that has this key.
    pub fn index(&self, key: PublicKey) -> usize {
        self.nodes.iter().position(|node| node.key == key).expect("a node of this world")
    }

    /// What checks signatures in this world.
    pub fn verifier(&self) -> &dyn Verifier {
        &*self.verifier
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
            ticket: FriendTicket { public_key: self.key(friend), relays: self.relays_of(friend), address: None },
            balance,
            currency: currency.clone(),
            max_debt: Amount::capped(max_debt),
            open: true,
        }))
    }

    fn relays_of(&self, index: usize) -> Vec<ServerTicket> {
        if self.relay_network.is_used() { self.relay_network.tickets(index) } else { vec![] }
    }

    // ---- time

    /// In so many ms from now.
    fn plan(&mut self, in_ms: u64, plan: Plan) {
        self.scheduler.add(self.time + in_ms, plan);
    }

    /// Does what is due.
    fn run_scheduled(&mut self) {
        while let Some(plan) = self.scheduler.pop_due(self.time) {
            match plan {
                Plan::Connect(a, b) => self.connect(a, b),
                Plan::Notice(a, b, connection) => {
                    if self.connections.get(&pair(a, b)) == Some(&connection) {
                        self.disconnect(a, b);
                    }
                }
                Plan::Late(from, to, connection, frame) => self.deliver_late(from, to, connection, frame),
                Plan::Release(from, to) => self.links.release(from, to),
                Plan::Rejoin(a, b) => {
                    self.cut.remove(&pair(a, b));
                    self.connect(a, b);
                }
                Plan::Start(index) => self.start(index),
                Plan::Return(index) => self.return_from_away(index),
                Plan::GoOn(index) => self.nodes[index].is_stalled = false,
                Plan::Written(index, number) => self.written(index, number),
                Plan::Speak(index) => self.nodes[index].is_silent = false,
                Plan::Steal(forged_responses) => self.collect_stolen(&forged_responses),
                Plan::Meet(event) => self.run_relay_event(event),
            }
        }
    }

    // ---- commands

    /// Gives a node a command; its reply, if any yet, is kept.
    pub fn command(&mut self, index: usize, command: Command) -> CommandId {
        self.counter += 1;
        let id = self.counter;
        self.record_decision(index, &command);
        self.rates.record_command(index, &command);
        if self.nodes[index].is_up() {
            self.nodes[index].commands_of_this_run.push(id);
        }
        if self.nodes[index].writing.is_some() {
            self.nodes[index].inbox.push_back(Input::Command(id, command));
        } else {
            self.batch(index, vec![Input::Command(id, command)]);
        }
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
        let command = Command::CreateInvoice {
            amount: Amount::capped(amount),
            currency: currency.clone(),
            description: "tea".into(),
            expiry_ms,
        };
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

    /// What a payment without an invoice is for.
    pub(crate) fn spontaneous(&self, destination: usize, currency: &Currency, amount: u128) -> Purpose {
        let destination = Destination::Key(self.key(destination));
        Purpose::Spontaneous { destination, currency: currency.clone(), amount: Amount::capped(amount) }
    }

    /// The same in the default currency.
    pub fn spontaneous_to(&self, destination: usize, amount: u128) -> Purpose {
        self.spontaneous(destination, &Currency::default(), amount)
    }

    /// Pays without an invoice.
    pub fn send(&mut self, buyer: usize, destination: usize, amount: u128) -> (PaymentId, CommandId) {
        let order = self.order(self.spontaneous(destination, &Currency::default(), amount));
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
