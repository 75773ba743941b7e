//! Two friends in memory: two real funders that pay each other, with whatever disk the measurement needs.

use offst_crypto::{Ed25519Verifier, Identity, PublicKey, SystemRandom};
use offst_funder::{Command, Environment, Funder, Input, Moment, Output, Reply, Timing};
use offst_proto::Amount;
use offst_proto::fee_bound::FeeBounds;
use offst_proto::friend::FriendMessage;
use offst_proto::order::{Destination, NewFriend, Order, Purpose};
use offst_proto::report::PaymentStatus;
use offst_proto::route::{PartPlan, Route};
use offst_proto::ticket::FriendTicket;
use offst_proto::{Currency, PaymentId};
use offst_rows::{Commit, RowChange, Rows};
use std::sync::Arc;

/// A disk that keeps a list of what it was asked to write.
#[derive(Default)]
pub(crate) struct Recorder(pub(crate) Vec<Vec<RowChange>>);

impl Commit for Recorder {
    type Error = std::convert::Infallible;

    fn commit(&mut self, changes: &[RowChange]) -> Result<(), Self::Error> {
        self.0.push(changes.to_vec());
        Ok(())
    }
}

/// No disk: only the machines are measured.
pub(crate) struct Nowhere;

impl Commit for Nowhere {
    type Error = std::convert::Infallible;

    fn commit(&mut self, _: &[RowChange]) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// Two friends. The first pays the second.
pub(crate) struct Pair<C> {
    funders: [Option<Funder>; 2],
    environments: [Environment; 2],
    pub(crate) disks: [C; 2],
    /// Every statement that was sent, when they are kept.
    pub(crate) statements: Option<Vec<Arc<[u8]>>>,
    commands: u64,
    paid: usize,
}

/// The identity of one of the two.
pub(crate) fn identity(side: usize) -> Identity {
    Identity::from_seed([side as u8 + 1; 32])
}

fn key(side: usize) -> PublicKey {
    identity(side).public_key()
}

impl<C: Commit<Error: std::fmt::Debug>> Pair<C> {
    /// Friends who are connected, with endless lines.
    pub(crate) fn new(disks: [C; 2]) -> Self {
        let environment = |side| Environment {
            signer: Box::new(identity(side)),
            verifier: Box::new(Ed25519Verifier),
            random: Box::new(SystemRandom::new()),
            timing: Timing::default(),
            fee_bounds: FeeBounds::default(),
        };
        let funder = |side| Some(Funder::restore(key(side), Rows::default()).expect("nothing is stored"));
        let mut pair = Pair {
            funders: [funder(0), funder(1)],
            environments: [environment(0), environment(1)],
            disks,
            statements: None,
            commands: 0,
            paid: 0,
        };
        for side in [0, 1] {
            let friend = NewFriend {
                name: "friend".into(),
                ticket: FriendTicket { public_key: key(1 - side), relays: vec![], address: None },
                balance: 0,
                currency: Currency::default(),
                max_debt: Amount::capped(1 << 60),
                open: true,
            };
            pair.batch(side, vec![Input::Start, Input::Command(0, Command::AddFriend(Box::new(friend)))]);
        }
        let waiting = [0, 1].map(|side| pair.batch(side, vec![Input::Connected(key(1 - side), 1)]));
        pair.deliver(waiting);
        pair
    }

    fn batch(&mut self, side: usize, inputs: Vec<Input>) -> Vec<Vec<u8>> {
        let now = Moment { uptime_ms: 1, unix_ms: 1_700_000_000_000 };
        let funder = self.funders[side].take().expect("it is put back after each batch");
        let mut batch = funder.batch(&mut self.environments[side], now);
        inputs.into_iter().for_each(|input| batch.handle(input));
        let (funder, outputs) = batch.finish().commit(&mut self.disks[side]).expect("the disk works");
        self.funders[side] = Some(funder);
        let mut frames = Vec::new();
        let mut routes = Vec::new();
        for output in outputs {
            match output {
                Output::Send(_, _, frame) => frames.push(frame),
                Output::Reply(_, Reply::Payment(report)) => {
                    assert_eq!(report.status, PaymentStatus::Paid, "{}", report.reason);
                    self.paid += 1;
                }
                Output::FindRoutes(payment, query) => {
                    let part = PartPlan { path: vec![key(1)], amount: query.amount, fees: 0.into() };
                    routes.push(Input::Routes(payment, Ok(vec![Route { parts: vec![part] }])));
                }
                _ => {}
            }
        }
        if !routes.is_empty() {
            frames.extend(self.batch(side, routes));
        }
        frames
    }

    /// Carries frames, one batch a side and turn, until both are silent.
    fn deliver(&mut self, mut waiting: [Vec<Vec<u8>>; 2]) {
        let mut side = 0;
        while waiting.iter().any(|frames| !frames.is_empty()) {
            side = 1 - side;
            let frames = std::mem::take(&mut waiting[1 - side]);
            let friend = key(1 - side);
            let mut inputs = Vec::new();
            for frame in frames {
                match FriendMessage::from_frame(&frame).expect("friends speak well") {
                    FriendMessage::Resume(resume) => inputs.push(Input::Resume(friend, 1, resume)),
                    FriendMessage::Statement(statement) => {
                        let statement = statement.verify(&Ed25519Verifier).expect("friends sign well");
                        if let Some(statements) = &mut self.statements {
                            statements.push(statement.wire().clone());
                        }
                        inputs.push(Input::Statement(friend, 1, Box::new(statement)));
                    }
                    _ => {}
                }
            }
            if !inputs.is_empty() {
                waiting[side] = self.batch(side, inputs);
            }
        }
    }

    /// Makes `count` payments at once, from the order to the receipt.
    pub(crate) fn pay(&mut self, count: usize) {
        let orders = (0..count)
            .map(|_| {
                self.commands += 1;
                let order = Order {
                    payment_id: PaymentId::random(&mut SystemRandom::new()),
                    purpose: Purpose::Spontaneous {
                        destination: Destination::Key(key(1)),
                        currency: Currency::default(),
                        amount: 1.into(),
                    },
                    max_fee: None,
                    timeout_ms: 60_000,
                };
                Input::Command(self.commands, Command::Pay(Box::new(order)))
            })
            .collect();
        let before = self.paid;
        let frames = self.batch(0, orders);
        self.deliver([frames, Vec::new()]);
        assert_eq!(self.paid, before + count, "every payment is paid");
    }
}
