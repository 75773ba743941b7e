//! An economy of real processes: the best connected people of a network of trust, each a node, pay each other at random.
//!
//! Before each payment all nodes are asked how their lines stand, and a maximum flow over them says whether it is possible: what
//! the economy of the simulator does for thousands of people.

use crate::load::{Load, connect, public_key};
use crate::report::{Report, measure_while};
use crate::run_options::RunOptions;
use crate::shapes;
use crate::testnet::Testnet;
use offst_app::{App, AppError, Destination, Order, Purpose};
use offst_crypto::{PublicKey, SystemRandom};
use offst_proto::Amount;
use offst_proto::report::{AccountStatus, FriendReport, PaymentReport, PaymentStatus};
use offst_proto::{Currency, PaymentId};
use offst_simulator::economy::{Flow, Spread, TrustNetwork, amount, buyer_and_seller};
use offst_simulator::keys::Dice;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// What is known of the payments besides their time.
#[derive(Debug, Default)]
struct Trade {
    began: u64,
    possible: u64,
    paid_of_possible: u64,
    parts: Vec<u128>,
    fees: Vec<u128>,
}

/// All people and their lines.
struct People {
    apps: Vec<Rc<App>>,
    keys: Vec<PublicKey>,
    /// By person and friend: what the person sends the friend, in the flow.
    directions: BTreeMap<(usize, PublicKey), u32>,
    lines: RefCell<Flow>,
    dice: RefCell<Dice>,
    load: RefCell<Load>,
    trade: RefCell<Trade>,
    end: Instant,
}

/// Runs and reports it.
pub(crate) fn run(file: &Path, count: usize, run: &RunOptions) -> anyhow::Result<()> {
    let network = TrustNetwork::read(file)?.best_connected(count);
    anyhow::ensure!(network.names().len() > 1, "these people do not trust each other: take more of them");
    let (testnet, nodes) = shapes::people(&network)?;
    let names: Vec<&str> = nodes.iter().map(String::as_str).collect();
    let floor = crate::floor::measure(2)?;
    let time = Duration::from_secs(run.seconds.into());
    let mut trade = Trade::default();
    let report = measure_while(&testnet, &names, || {
        let (load, done) = pay(&testnet, &network, &names, usize::from(run.in_flight), time)?;
        trade = done;
        Ok(load)
    })?;
    if run.json {
        println!("{}", trade.json(&network, report.json(&floor)));
    } else {
        trade.print(&network, &report);
        report.print(&floor);
    }
    Ok(())
}

fn pay(
    testnet: &Testnet,
    network: &TrustNetwork,
    names: &[&str],
    in_flight: usize,
    time: Duration,
) -> anyhow::Result<(Load, Trade)> {
    let keys = names.iter().map(|name| public_key(testnet, name)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut directions = BTreeMap::new();
    for (number, friendship) in network.friendships().iter().enumerate() {
        let [one, other] = friendship.people;
        directions.insert((one, keys[other]), 2 * number as u32);
        directions.insert((other, keys[one]), 2 * number as u32 + 1);
    }
    offst_app::block_on(async {
        let mut apps = Vec::new();
        for name in names {
            apps.push(connect(testnet, name).await?);
        }
        let lines = Flow::new(names.len(), network.friendships().iter().map(|friendship| friendship.people));
        let start = Instant::now();
        let people = Rc::new(People {
            apps,
            keys,
            directions,
            lines: RefCell::new(lines),
            dice: RefCell::new(Dice::new(1)),
            load: RefCell::default(),
            trade: RefCell::default(),
            end: start + time,
        });
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..in_flight {
            tasks.spawn_local(People::live(people.clone()));
        }
        while let Some(task) = tasks.join_next().await {
            task??;
        }
        let mut load = people.load.take();
        load.seconds = start.elapsed().as_secs_f64();
        load.latencies_ms.sort_unstable_by(f64::total_cmp);
        Ok((load, people.trade.take()))
    })?
}

impl People {
    /// One payment after the other, and at least one.
    async fn live(self: Rc<Self>) -> Result<(), AppError> {
        loop {
            let ([buyer, seller], amount) = {
                let mut dice = self.dice.borrow_mut();
                (buyer_and_seller(&mut dice, self.apps.len()), amount(&mut dice))
            };
            self.look_at_lines().await?;
            let possible = self.lines.borrow_mut().carries(buyer, seller, amount);
            let order = Order {
                payment_id: PaymentId::random(&mut SystemRandom::new()),
                purpose: Purpose::Spontaneous {
                    destination: Destination::Key(self.keys[seller]),
                    currency: Currency::default(),
                    amount: Amount::capped(u128::from(amount)),
                },
                max_fee: None,
                timeout_ms: 60_000,
            };
            let start = Instant::now();
            let report = self.apps[buyer].pay(&order).await?;
            self.note(&report, possible, start.elapsed());
            if Instant::now() >= self.end {
                return Ok(());
            }
        }
    }

    /// Asks all nodes how their lines stand.
    async fn look_at_lines(&self) -> Result<(), AppError> {
        for (person, app) in self.apps.iter().enumerate() {
            let friends = app.friends().await?;
            let mut lines = self.lines.borrow_mut();
            for friend in friends {
                lines.set(self.directions[&(person, friend.public_key)], room(&friend));
            }
        }
        Ok(())
    }

    fn note(&self, report: &PaymentReport, possible: bool, took: Duration) {
        let (mut load, mut trade) = (self.load.borrow_mut(), self.trade.borrow_mut());
        trade.began += 1;
        trade.possible += u64::from(possible);
        if report.status == PaymentStatus::Paid {
            load.latencies_ms.push(took.as_secs_f64() * 1000.0);
            trade.paid_of_possible += u64::from(possible);
            trade.parts.push(report.parts.into());
            trade.fees.push(report.fees);
        } else {
            load.failed += 1;
            load.first_failure.get_or_insert_with(|| report.reason.clone());
        }
    }
}

/// What a node can send to a friend now, credits.
fn room(friend: &FriendReport) -> u64 {
    let line = friend.accounts.iter().find(|line| line.currency == Currency::default());
    let Some(line) = line.filter(|line| friend.online && line.remote_open && line.status == AccountStatus::Consistent)
    else {
        return 0;
    };
    let signed = |credits: u128| i128::try_from(credits).unwrap_or(i128::MAX);
    let room = signed(line.local_max_debt.credits())
        .saturating_add(line.balance)
        .saturating_sub(signed(line.local_pending_debt));
    u64::try_from(room.max(0)).unwrap_or(u64::MAX)
}

impl Trade {
    fn success_percent(&self) -> f64 {
        self.paid_of_possible as f64 * 100.0 / self.possible.max(1) as f64
    }

    fn json(&self, network: &TrustNetwork, mut document: serde_json::Value) -> serde_json::Value {
        let spread = |values: &[u128]| {
            let Spread { median, p99, .. } = Spread::of(values.iter().copied());
            serde_json::json!({ "median": median as u64, "p99": p99 as u64 })
        };
        document["people"] = network.names().len().into();
        document["friendships"] = network.friendships().len().into();
        document["began"] = self.began.into();
        document["possible"] = self.possible.into();
        document["paid_of_possible"] = self.paid_of_possible.into();
        document["success_percent"] = self.success_percent().into();
        document["parts"] = spread(&self.parts);
        document["fees"] = spread(&self.fees);
        document
    }

    fn print(&self, network: &TrustNetwork, report: &Report) {
        let [parts, fees] = [&self.parts, &self.fees].map(|values| Spread::of(values.iter().copied()));
        println!("{} people, {} friendships", network.names().len(), network.friendships().len());
        println!("{} payments began, {} were possible, {} were paid", self.began, self.possible, report.payments);
        println!("paid of the possible: {} ({:.2} %)", self.paid_of_possible, self.success_percent());
        println!("parts: median {}, p99 {}; fees: median {}, p99 {}", parts.median, parts.p99, fees.median, fees.p99);
    }
}
