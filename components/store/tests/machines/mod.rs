//! Two machines with real databases that talk to each other directly.

// Each user of this module needs another part of it.
#![allow(dead_code)]

use offst_crypto::{Ed25519Verifier, Identity, PublicKey, SystemRandom};
use offst_funder::{Command, Environment, Funder, Input, Moment, Output, Reply, Timing};
use offst_proto::Amount;
use offst_proto::fee_bound::FeeBounds;
use offst_proto::friend::FriendMessage;
use offst_proto::key_replacement::KeyReplacement;
use offst_proto::order::{Destination, NewFriend, Order, Purpose};
use offst_proto::route::{PartPlan, Route};
use offst_proto::ticket::FriendTicket;
use offst_proto::{Currency, PaymentId, Verified};
use offst_store::{History, Store};
use std::path::PathBuf;

pub(crate) struct Machine {
    pub(crate) key: PublicKey,
    pub(crate) path: PathBuf,
    pub(crate) store: Store,
    pub(crate) funder: Option<Funder>,
    environment: Environment,
    clock: u64,
    /// Who carries on what it pays.
    pub(crate) via: Vec<PublicKey>,
}

/// What a node signs when a friend has lost its key.
pub(crate) fn replacement(seed: u8, lost: PublicKey) -> Verified<KeyReplacement> {
    let identity = Identity::from_seed([seed; 32]);
    let new_key = Identity::from_seed([seed + 100; 32]).public_key();
    let replacement = KeyReplacement { author: identity.public_key(), lost, new_key, time_ms: 5, accounts: vec![] };
    Verified::sign(replacement, &identity)
}

impl Machine {
    pub(crate) fn new(folder: &std::path::Path, seed: u8) -> Self {
        let identity = Identity::from_seed([seed; 32]);
        let key = identity.public_key();
        let path = folder.join(format!("{seed}.db"));
        Store::create(&path, key).unwrap();
        let store = Store::open(&path, key).unwrap();
        let funder = Funder::restore(key, store.load().unwrap()).unwrap();
        let environment = Environment {
            signer: Box::new(identity),
            verifier: Box::new(Ed25519Verifier),
            random: Box::new(SystemRandom::new()),
            timing: Timing::default(),
            fee_bounds: FeeBounds::default(),
        };
        Machine { key, path, store, funder: Some(funder), environment, clock: 0, via: vec![] }
    }

    pub(crate) fn handle(&mut self, input: Input) -> Vec<Output> {
        self.handle_all(vec![input])
    }

    /// All of them in one transaction.
    pub(crate) fn handle_all(&mut self, inputs: Vec<Input>) -> Vec<Output> {
        self.clock += 1;
        let now = Moment { uptime_ms: self.clock, unix_ms: 1_000_000 + self.clock };
        let mut batch = self.funder.take().unwrap().batch(&mut self.environment, now);
        inputs.into_iter().for_each(|input| batch.handle(input));
        let (funder, outputs) = batch.finish().commit(&mut self.store).unwrap();
        self.funder = Some(funder);
        outputs
    }

    pub(crate) fn command(&mut self, command: Command) -> Vec<Output> {
        self.handle(Input::Command(1, command))
    }

    /// A payment to `destination`.
    pub(crate) fn order(&mut self, destination: PublicKey, id: u8, amount: u128) -> Vec<Output> {
        let order = Order {
            payment_id: PaymentId::from_bytes([id; 16]),
            purpose: Purpose::Spontaneous {
                destination: Destination::Key(destination),
                currency: Currency::default(),
                amount: Amount::capped(amount),
            },
            max_fee: None,
            timeout_ms: 10_000,
        };
        self.command(Command::Pay(Box::new(order)))
    }

    fn add_friend(&mut self, name: String, public_key: PublicKey) {
        let ticket = FriendTicket { public_key, relays: vec![], address: None };
        let currency = Currency::default();
        let new = NewFriend { name, ticket, balance: 0, currency, max_debt: 1000.into(), open: true };
        self.command(Command::AddFriend(Box::new(new)));
    }

    /// Loads the database again, as after a kill.
    pub(crate) fn reload(&mut self) {
        self.store = Store::open(&self.path, self.key).unwrap();
        self.funder = Some(Funder::restore(self.key, self.store.load().unwrap()).unwrap());
    }

    pub(crate) fn balances(&self) -> Vec<i128> {
        let accounts = self.funder.as_ref().unwrap().accounts();
        accounts.filter_map(|(_, account)| Some(account.epoch()?.balance())).collect()
    }
}

/// Carries frames between them until nobody has anything to say, and answers questions for routes.
pub(crate) fn settle(machines: &mut [Machine], outputs: Vec<(usize, Output)>) -> Vec<Reply> {
    settle_in(machines, outputs, usize::MAX)
}

/// The same, but loses everything after so many outputs.
pub(crate) fn settle_in(machines: &mut [Machine], outputs: Vec<(usize, Output)>, steps: usize) -> Vec<Reply> {
    let mut done = 0;
    settle_while(machines, outputs, |_| {
        done += 1;
        done <= steps
    })
}

/// The same, but loses everything as soon as `goes_on` says so.
pub(crate) fn settle_while(
    machines: &mut [Machine],
    mut outputs: Vec<(usize, Output)>,
    mut goes_on: impl FnMut(&[Machine]) -> bool,
) -> Vec<Reply> {
    let mut replies = Vec::new();
    while !outputs.is_empty() && goes_on(machines) {
        let (from, output) = outputs.remove(0);
        let more = match output {
            Output::Send(friend, connection, frame) => {
                let author = machines[from].key;
                let to = machines.iter().position(|machine| machine.key == friend).unwrap();
                let input = match FriendMessage::from_frame(&frame).unwrap() {
                    FriendMessage::Resume(resume) => Input::Resume(author, connection, resume),
                    FriendMessage::Statement(statement) => {
                        Input::Statement(author, connection, Box::new(statement.verify(&Ed25519Verifier).unwrap()))
                    }
                    FriendMessage::Evidence(evidence) => Input::Evidence(author, connection, evidence),
                    FriendMessage::EvidenceStatements(statements) => {
                        let verified = statements.into_iter().map(|statement| statement.verify(&Ed25519Verifier));
                        Input::EvidenceStatements(author, connection, verified.collect::<Result<_, _>>().unwrap())
                    }
                    message => Input::Message(author, connection, Box::new(message)),
                };
                (to, machines[to].handle(input))
            }
            Output::ReadEvidence(line, connection) => {
                let rows = machines[from].store.evidence(&line).unwrap();
                (from, machines[from].handle(Input::EvidenceRows(line, connection, rows)))
            }
            Output::LookUp(friend, connection, inquiry) => {
                let found = inquiry.look_up(friend, &History::open(&machines[from].path).unwrap()).unwrap();
                (from, machines[from].handle(Input::Found(friend, connection, found)))
            }
            Output::FindRoutes(payment, query) => {
                let via = &machines[from].via;
                // Each takes a single credit.
                let (path, fees) = ([&via[..], &[query.destination]].concat(), via.len() as u128);
                let part = PartPlan { path, amount: query.amount, fees: Amount::capped(fees) };
                (from, machines[from].handle(Input::Routes(payment, Ok(vec![Route { parts: vec![part] }]))))
            }
            Output::Reply(_, reply) => {
                replies.push(reply);
                continue;
            }
            _ => continue,
        };
        outputs.extend(more.1.into_iter().map(|output| (more.0, output)));
    }
    replies
}

pub(crate) fn connect(machines: &mut [Machine; 2], connection: u64) {
    let mut outputs = Vec::new();
    for side in [0, 1] {
        let friend = machines[1 - side].key;
        let more = machines[side].handle(Input::Connected(friend, connection));
        outputs.extend(more.into_iter().map(|output| (side, output)));
    }
    settle(machines, outputs);
}

pub(crate) fn pair(folder: &std::path::Path) -> [Machine; 2] {
    let mut machines = [Machine::new(folder, 1), Machine::new(folder, 2)];
    for side in [0, 1] {
        let friend = machines[1 - side].key;
        machines[side].handle(Input::Start);
        machines[side].add_friend(format!("friend{side}"), friend);
    }
    connect(&mut machines, 1);
    machines
}

/// Three in a row, connected: the first pays the third by way of the second.
pub(crate) fn chain(folder: &std::path::Path) -> [Machine; 3] {
    let mut machines = [1, 2, 3].map(|seed| Machine::new(folder, seed));
    for machine in &mut machines {
        machine.handle(Input::Start);
    }
    let pairs = [[0, 1], [1, 0], [1, 2], [2, 1]];
    for [one, other] in pairs {
        let friend = machines[other].key;
        machines[one].add_friend(format!("node{other}"), friend);
    }
    let mut outputs = Vec::new();
    for [one, other] in pairs {
        let friend = machines[other].key;
        outputs.extend(machines[one].handle(Input::Connected(friend, 1)).into_iter().map(|output| (one, output)));
    }
    settle(&mut machines, outputs);
    machines[0].via = vec![machines[1].key];
    machines
}

pub(crate) fn pay(machines: &mut [Machine; 2], id: u8, amount: u128) -> Vec<Reply> {
    let outputs = order(machines, 0, id, amount);
    settle(machines, outputs)
}

/// One of the two orders a payment to the other; nothing is carried yet.
pub(crate) fn order(machines: &mut [Machine; 2], buyer: usize, id: u8, amount: u128) -> Vec<(usize, Output)> {
    let destination = machines[1 - buyer].key;
    let outputs = machines[buyer].order(destination, id, amount);
    outputs.into_iter().map(|output| (buyer, output)).collect()
}

/// Both are quiet for a second: they acknowledge, and show each other what is pending.
pub(crate) fn rest(machines: &mut [Machine; 2]) {
    let mut outputs = Vec::new();
    for side in [0, 1] {
        machines[side].clock += 1000;
        let more = machines[side].handle(Input::Tick);
        outputs.extend(more.into_iter().map(|output| (side, output)));
    }
    settle(machines, outputs);
}
