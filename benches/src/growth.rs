//! What a node costs as things grow: friends, and payments in its history.

use crate::floor::Floor;
use crate::load::{Until, connect};
use crate::processes::{Usage, resident_mib};
use crate::report::{Report, measure};
use crate::shapes::{self, Shape};
use crate::testnet::Testnet;
use offst_app::NewFriend;
use offst_crypto::Identity;
use offst_proto::Currency;
use offst_proto::ticket::{FriendTicket, Ticket};
use std::time::{Duration, Instant};

/// Payments under way while the rate is measured.
const IN_FLIGHT: usize = 256;
/// Commands to the node that are under way while friends are added.
const ADDING: usize = 32;

/// The mediator of a chain of three at one size.
struct Size {
    friends: usize,
    payments: u64,
    report: Report,
    start_ms: f64,
    resident_mib: f64,
    idle_cpu_percent: f64,
    database_mib: f64,
}

/// How far to grow, and how long to look.
pub(crate) struct Growth {
    /// Friends, one step each.
    pub(crate) friends: Vec<usize>,
    /// Payments in the history, one step each.
    pub(crate) payments: Vec<u64>,
    /// How long to pay at each step.
    pub(crate) paying: Duration,
    /// How long the idle node is watched at each step.
    pub(crate) idle: Duration,
}

/// Grows the mediator of a chain step by step, and prints a line for each step.
pub(crate) fn run(growth: &Growth, floor: &Floor, json: bool) -> anyhow::Result<()> {
    let mut shape = shapes::chain(2, IN_FLIGHT)?;
    let mut sizes = Vec::new();
    let mut known = 2;
    let mut paid = 0;
    for wanted in &growth.friends {
        add_friends(&shape.testnet, &shape.nodes[1], known, *wanted)?;
        known = known.max(*wanted);
        sizes.push(measure_size(&mut shape, growth, known, &mut paid)?);
    }
    for wanted in &growth.payments {
        let missing = wanted.saturating_sub(paid);
        if missing > 0 {
            let names = shape.names();
            paid += measure(&shape.testnet, &names, &shape.streams, Until::Count(missing))?.payments as u64;
        }
        sizes.push(measure_size(&mut shape, growth, known, &mut paid)?);
    }
    if json {
        let sizes: Vec<_> = sizes.iter().map(|size| size.json(floor)).collect();
        println!("{}", serde_json::Value::from(sizes));
        return Ok(());
    }
    println!(" friends   payments  payments/s  p50 ms  start ms  resident MiB  idle CPU %  database MiB");
    for size in &sizes {
        println!(
            "{:>8} {:>10} {:>11.0} {:>7.1} {:>9.0} {:>13.1} {:>11.2} {:>13.1}",
            size.friends,
            size.payments,
            size.report.payments_per_second(),
            size.report.latency_ms[0],
            size.start_ms,
            size.resident_mib,
            size.idle_cpu_percent,
            size.database_mib
        );
    }
    println!("{floor}");
    Ok(())
}

impl Size {
    fn json(&self, floor: &Floor) -> serde_json::Value {
        let mut value = self.report.json(floor);
        value["friends"] = self.friends.into();
        value["payments_in_history"] = self.payments.into();
        value["start_ms"] = self.start_ms.into();
        value["resident_mib"] = self.resident_mib.into();
        value["idle_cpu_percent"] = self.idle_cpu_percent.into();
        value["database_mib"] = self.database_mib.into();
        value
    }
}

/// Starts the mediator again, watches it do nothing, then pays through it.
fn measure_size(shape: &mut Shape, growth: &Growth, friends: usize, paid: &mut u64) -> anyhow::Result<Size> {
    let mediator = shape.nodes[1].clone();
    anyhow::ensure!(shape.testnet.stop(&mediator) == 0, "the mediator did not stop cleanly");
    let start = Instant::now();
    shape.testnet.start(&mediator);
    let start_ms = start.elapsed().as_secs_f64() * 1000.0;
    let names = shape.names();
    shape.testnet.wait_online(&[names[0], names[2]]);
    for stream in &shape.streams {
        crate::load::wait_for_route(&shape.testnet, &stream.buyer, stream.seller);
    }
    let before = Usage::cpu_ms(&shape.testnet, &[&mediator])?;
    std::thread::sleep(growth.idle);
    let idle_cpu_percent = (Usage::cpu_ms(&shape.testnet, &[&mediator])? - before) / growth.idle.as_secs_f64() / 10.0;
    let resident_mib = resident_mib(&shape.testnet, &mediator)?;
    let payments = *paid;
    let report = measure(&shape.testnet, &names, &shape.streams, Until::Time(growth.paying))?;
    *paid += report.payments as u64;
    let database_mib =
        std::fs::metadata(shape.testnet.file(&format!("{mediator}/{mediator}.db")))?.len() as f64 / 1048576.0;
    Ok(Size { friends, payments, report, start_ms, resident_mib, idle_cpu_percent, database_mib })
}

/// Friends that are never online, at the testnet's relay.
fn add_friends(testnet: &Testnet, node: &str, known: usize, wanted: usize) -> anyhow::Result<()> {
    let relay = Ticket::from_toml(&std::fs::read_to_string(testnet.file("relay0/relay0.ticket"))?)?.into_relay()?;
    offst_app::block_on(async {
        let app = connect(testnet, node).await?;
        let mut tasks = tokio::task::JoinSet::new();
        for number in known..wanted {
            if tasks.len() >= ADDING
                && let Some(added) = tasks.join_next().await
            {
                added??;
            }
            let mut seed = [0xaa; 32];
            seed[..8].copy_from_slice(&number.to_be_bytes());
            let ticket = FriendTicket {
                public_key: Identity::from_seed(seed).public_key(),
                relays: vec![relay.clone()],
                address: None,
            };
            let friend = NewFriend {
                name: format!("friend{number}"),
                ticket,
                balance: 0,
                currency: Currency::default(),
                max_debt: 1000.into(),
                open: true,
            };
            let app = app.clone();
            tasks.spawn_local(async move { app.add_friend(&friend).await });
        }
        while let Some(added) = tasks.join_next().await {
            added??;
        }
        anyhow::Ok(())
    })?
}
