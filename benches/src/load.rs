//! The payments: spontaneous ones of one credit, from one application with several connections.

use crate::town::Town;
use offst_app::{App, Destination, Order, Purpose};
use offst_crypto::{Identity, PublicKey, SystemRandom};
use offst_proto::report::PaymentStatus;
use offst_proto::ticket::{ServerTicket, Ticket};
use offst_proto::{Currency, PaymentId};
use std::time::{Duration, Instant};

/// Payments that one connection carries at a time; the node refuses far more.
const PER_CONNECTION: usize = 64;

/// What came of it.
pub(crate) struct Load {
    /// Of the payments that were made, in growing order.
    pub(crate) latencies_ms: Vec<f64>,
    pub(crate) failed: usize,
    pub(crate) first_failure: Option<String>,
    pub(crate) seconds: f64,
}

/// Pays once: the index server may still be learning of the chain.
pub(crate) fn wait_for_route(town: &Town, buyer: &str, seller: &str) {
    town.wait_until("the index server knows the chain", |town| {
        town.stctrl(buyer, &["funds", "send-funds", "--amount", "1", "--dest", seller]).succeeded()
    });
}

/// Keeps `in_flight` payments under way for some time.
pub(crate) fn pay(town: &Town, buyer: &str, seller: &str, in_flight: usize, seconds: u64) -> anyhow::Result<Load> {
    let seller: PublicKey = seller.parse()?;
    let identity = std::fs::read_to_string(town.file(&format!("{buyer}-app/{buyer}-app.ident")))?;
    let ticket = Ticket::from_toml(&std::fs::read_to_string(town.file(&format!("{buyer}/{buyer}.ticket")))?)?;
    let ticket = ticket.into_node()?;
    offst_app::block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        let start = Instant::now();
        let end = start + Duration::from_secs(seconds);
        let mut left = in_flight;
        while left > 0 {
            let share = left.min(PER_CONNECTION);
            left -= share;
            let app = connect(&ticket, &identity).await?;
            for _ in 0..share {
                tasks.spawn_local(pay_until(app.clone(), seller, end));
            }
        }
        let mut load = Load { latencies_ms: Vec::new(), failed: 0, first_failure: None, seconds: 0.0 };
        while let Some(part) = tasks.join_next().await {
            let part = part?;
            load.latencies_ms.extend(part.latencies_ms);
            load.failed += part.failed;
            load.first_failure = load.first_failure.or(part.first_failure);
        }
        load.seconds = start.elapsed().as_secs_f64();
        load.latencies_ms.sort_unstable_by(f64::total_cmp);
        Ok(load)
    })?
}

async fn connect(ticket: &ServerTicket, identity: &str) -> anyhow::Result<std::rc::Rc<App>> {
    let identity = Identity::from_pem(identity, None)?;
    Ok(std::rc::Rc::new(offst_app::connect(ticket, &identity).await?))
}

async fn pay_until(app: std::rc::Rc<App>, seller: PublicKey, end: Instant) -> Load {
    let mut load = Load { latencies_ms: Vec::new(), failed: 0, first_failure: None, seconds: 0.0 };
    while Instant::now() < end {
        let order = Order {
            payment_id: PaymentId::random(&mut SystemRandom::new()),
            purpose: Purpose::Spontaneous {
                destination: Destination::Key(seller),
                currency: Currency::default(),
                amount: 1,
            },
            max_fee: None,
            timeout_ms: 60_000,
        };
        let start = Instant::now();
        let failure = match app.pay(&order).await {
            Ok(report) if report.status == PaymentStatus::Paid => {
                load.latencies_ms.push(start.elapsed().as_secs_f64() * 1000.0);
                continue;
            }
            Ok(report) => report.reason,
            Err(error) => error.to_string(),
        };
        load.failed += 1;
        load.first_failure.get_or_insert(failure);
    }
    load
}
