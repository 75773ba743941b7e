//! A world in memory: nodes with real funders, FIFO links that break, disks that survive, and a clock that is turned by hand.
//!
//! Everything is decided by the test or by seeded dice, so every run can be repeated.

mod checks;
pub(crate) mod disk;
pub(crate) mod keys;
mod lies;
pub(crate) mod routes;

use disk::Disk;
use keys::{Dice, FakeSigner, FakeVerifier, public_key};
use offst_crypto::{Ed25519Verifier, Identity, PublicKey, Signer, Verifier};
use offst_funder::{
    Command, CommandId, ConnectionId, Environment, Funder, Input, Moment, Output, Payment, Reply, Timing,
};
use offst_ledger::Account;
use offst_proto::friend::FriendMessage;
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
pub(crate) enum Crash {
    BeforeCommit,
    BeforeOutputs,
    BetweenOutputs,
}

pub(crate) const CRASHES: [Crash; 3] = [Crash::BeforeCommit, Crash::BeforeOutputs, Crash::BetweenOutputs];

/// Who answers when a node looks for ways.
pub(crate) enum Paths {
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

pub(crate) struct Node {
    pub(crate) key: PublicKey,
    /// None: it is down, or a test speaks for it.
    pub(crate) funder: Option<Funder>,
    environment: Environment,
    pub(crate) disk: Disk,
    inbox: VecDeque<Input>,
    booted: u64,
    /// It runs, but does nothing.
    pub(crate) is_frozen: bool,
    /// A test speaks for it.
    pub(crate) is_puppet: bool,
    /// The node wants a connection to these.
    contacts: BTreeSet<PublicKey>,
    pub(crate) replies: BTreeMap<CommandId, Reply>,
    pub(crate) events: Vec<Event>,
    /// Dies in the batch that many from now.
    pub(crate) crash: Option<(usize, Crash)>,
    pub(crate) batches: usize,
    /// Commands that were lost in a crash are never answered.
    pub(crate) commands_of_this_run: Vec<CommandId>,
}

impl Node {
    pub(crate) fn is_up(&self) -> bool {
        self.funder.is_some()
    }

    pub(crate) fn account(&self, friend: PublicKey) -> &Account {
        self.account_in(friend, &Currency::default())
    }

    pub(crate) fn account_in(&self, friend: PublicKey, currency: &Currency) -> &Account {
        let accounts = self.funder.as_ref().expect("the node is up").accounts();
        accounts
            .filter(|(key, account)| *key == friend && account.key().currency == *currency)
            .map(|(_, account)| account)
            .next()
            .expect("they are friends")
    }

    /// What all friends owe, credits.
    pub(crate) fn wealth(&self) -> i128 {
        let accounts = self.funder.as_ref().expect("the node is up").accounts();
        accounts.map(|(_, account)| account.epoch().map_or(0, |epoch| epoch.balance())).sum()
    }

    /// How many requests are pending on all accounts.
    pub(crate) fn pendings(&self) -> usize {
        let accounts = self.funder.as_ref().expect("the node is up").accounts();
        accounts.map(|(_, account)| account.epoch().map_or(0, |epoch| epoch.pendings().count())).sum()
    }
}

pub(crate) struct World {
    pub(crate) time: u64,
    pub(crate) nodes: Vec<Node>,
    links: BTreeMap<(usize, usize), VecDeque<Packet>>,
    connections: BTreeMap<(usize, usize), ConnectionId>,
    counter: u64,
    pub(crate) dice: Dice,
    pub(crate) edges: routes::Edges,
    pub(crate) paths: Paths,
    pub(crate) questions: usize,
    verifier: Box<dyn Verifier>,
    /// Deliver packets in random order and batches.
    pub(crate) is_wild: bool,
}

/// What a node signs and checks with.
type Keys = (Box<dyn Signer>, Box<dyn Verifier>);

fn pair(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

impl World {
    /// `count` nodes without friends, with quick keys.
    pub(crate) fn new(count: usize, seed: u64) -> Self {
        Self::with_keys(count, seed, |seed| (Box::new(FakeSigner::new(seed)), Box::new(FakeVerifier)))
    }

    /// The same with real signatures.
    pub(crate) fn real(count: usize, seed: u64) -> Self {
        Self::with_keys(count, seed, |seed| (Box::new(Identity::from_seed([seed; 32])), Box::new(Ed25519Verifier)))
    }

    fn with_keys(count: usize, seed: u64, keys: fn(u8) -> Keys) -> Self {
        let mut dice = Dice::new(seed);
        let nodes = (0..count)
            .map(|index| {
                let seed = index as u8 + 1;
                let (signer, verifier) = keys(seed);
                let random = Box::new(Dice::new(dice.next()));
                Node {
                    key: public_key(seed),
                    funder: Some(Funder::restore(public_key(seed), Disk::default().image()).expect("an empty disk")),
                    environment: Environment { signer, verifier, random, timing: Timing::default() },
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
            is_wild: false,
        };
        for index in 0..count {
            world.batch(index, vec![Input::Start]);
        }
        world
    }

    /// Nodes in a row, each friend of the next; both directions have room for `limit`.
    pub(crate) fn row(count: usize, limit: u128) -> Self {
        let mut world = World::new(count, 1);
        for index in 1..count {
            world.befriend(index - 1, index, limit, limit);
        }
        world.connect_all();
        world.settle();
        world
    }

    pub(crate) fn key(&self, index: usize) -> PublicKey {
        self.nodes[index].key
    }

    pub(crate) fn index(&self, key: PublicKey) -> usize {
        self.nodes.iter().position(|node| node.key == key).expect("a node of this world")
    }

    /// Makes two nodes friends with balance 0. The limits are what each lets the other owe.
    pub(crate) fn befriend(&mut self, a: usize, b: usize, limit_a: u128, limit_b: u128) {
        for (node, friend, limit) in [(a, b, limit_a), (b, a, limit_b)] {
            let reply = self.ask(node, self.friendship(friend, &Currency::default(), 0, limit));
            assert_eq!(reply, Reply::Done);
        }
    }

    pub(crate) fn friendship(&self, friend: usize, currency: &Currency, balance: i128, max_debt: u128) -> Command {
        Command::AddFriend(Box::new(NewFriend {
            name: name(friend),
            ticket: FriendTicket { public_key: self.key(friend), relays: vec![], address: None },
            balance,
            currency: currency.clone(),
            max_debt,
            open: true,
        }))
    }

    // ---- connections

    /// Connects two nodes that want it.
    pub(crate) fn connect(&mut self, a: usize, b: usize) {
        let want = |from: usize, to: usize| {
            let node = &self.nodes[from];
            node.is_puppet || (node.is_up() && node.contacts.contains(&self.nodes[to].key))
        };
        if self.connections.contains_key(&pair(a, b)) || !want(a, b) || !want(b, a) {
            return;
        }
        self.counter += 1;
        self.connections.insert(pair(a, b), self.counter);
        for (from, to) in [(a, b), (b, a)] {
            self.links.entry((from, to)).or_default().push_back(Packet::Opened(self.counter));
        }
    }

    pub(crate) fn connect_all(&mut self) {
        for a in 0..self.nodes.len() {
            for b in 0..a {
                self.connect(a, b);
            }
        }
    }

    /// Breaks a connection; some of what was under way still arrives.
    pub(crate) fn disconnect(&mut self, a: usize, b: usize) {
        let Some(connection) = self.connections.remove(&pair(a, b)) else { return };
        for (from, to) in [(a, b), (b, a)] {
            let link = self.links.entry((from, to)).or_default();
            let kept = if self.is_wild { self.dice.below(link.len() + 1) } else { 0 };
            link.truncate(kept);
            link.push_back(Packet::Closed(connection));
        }
    }

    pub(crate) fn is_connected(&self, a: usize, b: usize) -> bool {
        self.connections.contains_key(&pair(a, b))
    }

    fn down(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.funder = None;
        node.inbox.clear();
        node.crash = None;
        node.contacts.clear();
        node.commands_of_this_run.clear();
        for other in 0..self.nodes.len() {
            if other == index {
                continue;
            }
            self.disconnect(index, other);
            self.links.remove(&(other, index));
        }
    }

    /// The process ends.
    pub(crate) fn kill(&mut self, index: usize) {
        self.down(index);
    }

    /// The process starts again from its disk.
    pub(crate) fn start(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        if node.funder.is_some() || node.is_puppet {
            return;
        }
        node.funder = Some(Funder::restore(node.key, node.disk.image()).expect("the disk can be read"));
        node.booted = self.time;
        self.batch(index, vec![Input::Start]);
    }

    // ---- commands

    pub(crate) fn command(&mut self, index: usize, command: Command) -> CommandId {
        self.counter += 1;
        let id = self.counter;
        if self.nodes[index].is_up() {
            self.nodes[index].commands_of_this_run.push(id);
        }
        self.batch(index, vec![Input::Command(id, command)]);
        id
    }

    /// A command that is answered at once.
    pub(crate) fn ask(&mut self, index: usize, command: Command) -> Reply {
        let text = format!("{command:?}");
        let id = self.command(index, command);
        self.reply(index, id).unwrap_or_else(|| panic!("no answer to {text}"))
    }

    pub(crate) fn reply(&self, index: usize, id: CommandId) -> Option<Reply> {
        self.nodes[index].replies.get(&id).cloned()
    }

    pub(crate) fn invoice(&mut self, seller: usize, amount: u128) -> Verified<Invoice> {
        self.invoice_in(seller, amount, &Currency::default(), None)
    }

    pub(crate) fn invoice_in(
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

    pub(crate) fn fresh_payment_id(&mut self) -> PaymentId {
        PaymentId::random(&mut self.dice)
    }

    pub(crate) fn order(&mut self, purpose: Purpose) -> Order {
        Order { payment_id: self.fresh_payment_id(), purpose, max_fee: None, timeout_ms: 60_000 }
    }

    pub(crate) fn pay(&mut self, buyer: usize, invoice: &Verified<Invoice>) -> (PaymentId, CommandId) {
        let order = self.order(Purpose::Invoice(invoice.clone()));
        let id = order.payment_id;
        (id, self.command(buyer, Command::Pay(Box::new(order))))
    }

    pub(crate) fn send(&mut self, buyer: usize, destination: usize, amount: u128) -> (PaymentId, CommandId) {
        let destination = Destination::Key(self.key(destination));
        let order = self.order(Purpose::Spontaneous { destination, currency: Currency::default(), amount });
        let id = order.payment_id;
        (id, self.command(buyer, Command::Pay(Box::new(order))))
    }

    pub(crate) fn payment_reply(&self, index: usize, id: CommandId) -> Option<PaymentReport> {
        self.reply(index, id).map(|reply| match reply {
            Reply::Payment(report) => *report,
            reply => panic!("not about a payment: {reply:?}"),
        })
    }

    pub(crate) fn payment(&self, index: usize, id: PaymentId) -> Payment {
        self.nodes[index].disk.payment(id).expect("the payment is stored")
    }

    // ---- time and delivery

    pub(crate) fn now(&self, index: usize) -> Moment {
        Moment { uptime_ms: self.time - self.nodes[index].booted, unix_ms: EPOCH_MS + self.time }
    }

    /// Runs one batch of a node.
    pub(crate) fn batch(&mut self, index: usize, inputs: Vec<Input>) {
        let now = self.now(index);
        let node = &mut self.nodes[index];
        let Some(funder) = node.funder.take() else { return };
        node.batches += 1;
        let crash = match &mut node.crash {
            Some((0, crash)) => Some(*crash),
            Some((left, _)) => {
                *left -= 1;
                None
            }
            None => None,
        };
        let mut batch = funder.batch(&mut node.environment, now);
        inputs.into_iter().for_each(|input| batch.handle(input));
        let effects = batch.finish();
        if crash == Some(Crash::BeforeCommit) {
            return self.down(index);
        }
        let (funder, mut outputs) = effects.commit(&mut node.disk).expect("this disk does not fail");
        if let Some(deadline) = funder.next_deadline() {
            assert!(deadline > now.uptime_ms, "a timer that is due has been left");
        }
        if node.disk.transactions.is_multiple_of(16) || crash.is_some() {
            checks::check_restored(&funder, node.key, &node.disk);
        }
        node.funder = Some(funder);
        match crash {
            Some(Crash::BeforeOutputs) => outputs.clear(),
            Some(Crash::BetweenOutputs) => outputs.truncate(outputs.len() / 2),
            Some(Crash::BeforeCommit) | None => {}
        }
        for output in outputs {
            self.output(index, output);
        }
        if crash.is_some() {
            self.down(index);
        }
    }

    fn output(&mut self, index: usize, output: Output) {
        match output {
            Output::Send(key, connection, frame) => {
                let to = self.index(key);
                if self.connections.get(&pair(index, to)) == Some(&connection) {
                    self.links.entry((index, to)).or_default().push_back(Packet::Frame(connection, frame));
                }
            }
            Output::Reply(id, reply) => {
                let second = self.nodes[index].replies.insert(id, reply);
                assert_eq!(second, None, "a command is answered once");
            }
            Output::FindWays(id, query) => {
                self.questions += 1;
                let ways = match &mut self.paths {
                    Paths::Search => routes::search(&self.edges, &query),
                    Paths::Given(ways) => ways.pop_front().unwrap_or_default(),
                };
                self.nodes[index].inbox.push_back(Input::Ways(id, Ok(ways)));
            }
            Output::Edges(edges) => {
                for edge in edges {
                    self.edges.insert((self.nodes[index].key, edge.friend, edge.currency.clone()), edge);
                }
            }
            Output::Contact(key, contact) => {
                if contact.is_some() {
                    self.nodes[index].contacts.insert(key);
                } else {
                    self.nodes[index].contacts.remove(&key);
                    let other = self.index(key);
                    self.disconnect(index, other);
                }
            }
            Output::Event(event) => self.nodes[index].events.push(event),
            Output::Relays(_) | Output::IndexServers(_) => {}
        }
    }

    fn input(&self, from: usize, packet: Packet) -> Input {
        let key = self.nodes[from].key;
        match packet {
            Packet::Opened(connection) => Input::Connected(key, connection),
            Packet::Closed(connection) => Input::Disconnected(key, connection),
            Packet::Frame(connection, frame) => match FriendMessage::from_frame(&frame).expect("a node's own frame") {
                FriendMessage::Resume(resume) => Input::Resume(key, connection, resume),
                FriendMessage::Statement(statement) => {
                    let statement = statement.verify(&*self.verifier).expect("a node's own signature");
                    Input::Statement(key, connection, Box::new(statement))
                }
                message => panic!("a funder does not send {message:?}"),
            },
        }
    }

    fn due(&self, index: usize) -> bool {
        let node = &self.nodes[index];
        !node.is_frozen
            && node
                .funder
                .as_ref()
                .and_then(Funder::next_deadline)
                .is_some_and(|deadline| deadline <= self.now(index).uptime_ms)
    }

    /// Hands one packet, answer or tick to some node. Says whether there was any.
    pub(crate) fn step(&mut self) -> bool {
        let mut ready: Vec<(usize, usize)> = self
            .links
            .iter()
            .filter(|((_, to), link)| !link.is_empty() && !self.nodes[*to].is_frozen)
            .map(|(ends, _)| *ends)
            .collect();
        let waiting = |index: &usize| {
            let node = &self.nodes[*index];
            !node.is_frozen && node.is_up() && (!node.inbox.is_empty() || self.due(*index))
        };
        ready.extend((0..self.nodes.len()).filter(waiting).map(|index| (index, index)));
        if ready.is_empty() {
            return false;
        }
        self.counter += 1;
        let chosen = if self.is_wild { self.dice.below(ready.len()) } else { self.counter as usize % ready.len() };
        let (from, to) = ready[chosen];
        if from == to {
            let mut inputs: Vec<Input> = self.nodes[to].inbox.pop_front().into_iter().collect();
            inputs.push(Input::Tick);
            self.batch(to, inputs);
            return true;
        }
        let size = if self.is_wild { 1 + self.dice.below(4) } else { 1 };
        let mut inputs = Vec::new();
        for _ in 0..size {
            let Some(packet) = self.links.get_mut(&(from, to)).and_then(VecDeque::pop_front) else { break };
            if self.nodes[to].is_puppet {
                continue;
            }
            inputs.push(self.input(from, packet));
        }
        self.batch(to, inputs);
        true
    }

    /// Until nothing is under way and no timer is due.
    pub(crate) fn settle(&mut self) {
        for _ in 0..200_000 {
            if !self.step() {
                return;
            }
        }
        panic!("the world does not come to rest");
    }

    /// Lets time pass; every timer runs at its time.
    pub(crate) fn advance(&mut self, ms: u64) {
        let end = self.time + ms;
        self.settle();
        loop {
            let next = (0..self.nodes.len())
                .filter(|index| !self.nodes[*index].is_frozen)
                .filter_map(|index| {
                    Some(self.nodes[index].funder.as_ref()?.next_deadline()? + self.nodes[index].booted)
                })
                .min();
            match next.filter(|next| *next <= end) {
                Some(next) => {
                    self.time = self.time.max(next);
                    self.settle();
                }
                None => break,
            }
        }
        self.time = end;
        self.settle();
    }

    /// Like [`World::settle`], but one node does nothing from now on.
    pub(crate) fn settle_but(&mut self, frozen: usize) {
        self.nodes[frozen].is_frozen = true;
        self.settle();
    }

    /// Takes out what is under way on a link.
    pub(crate) fn take_inputs(&mut self, from: usize, to: usize) -> Vec<Input> {
        let packets: Vec<_> = self.links.entry((from, to)).or_default().drain(..).collect();
        packets.into_iter().map(|packet| self.input(from, packet)).collect()
    }

    pub(crate) fn reset(&self, friend: usize) -> Command {
        Command::ResetFriend(name(friend), Currency::default())
    }
}

/// The owner's name for a node.
pub(crate) fn name(index: usize) -> String {
    format!("node{index}")
}
