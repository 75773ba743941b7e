//! The payments: spontaneous ones of one credit, from applications with several connections to each buyer's node.

use crate::testnet::Testnet;
use offst_app::{App, Destination, Order, Purpose};
use offst_crypto::{Identity, PublicKey, SystemRandom};
use offst_proto::report::PaymentStatus;
use offst_proto::ticket::{ServerTicket, Ticket};
use offst_proto::{Currency, PaymentId};
use std::cell::{Cell, OnceCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Payments that one connection carries at a time; the node refuses far more.
const PER_CONNECTION: usize = 64;

/// Who pays whom, and how many payments of theirs are under way at a time.
#[derive(Debug, Clone)]
pub(crate) struct Stream {
    pub(crate) buyer: String,
    pub(crate) seller: PublicKey,
    pub(crate) in_flight: usize,
}

/// When paying ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    /// After so much time.
    Time(Duration),
    /// After so many payments.
    Count(u64),
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Load {
    /// Of the payments that were made, in growing order.
    pub(crate) latencies_ms: Vec<f64>,
    pub(crate) failed: usize,
    pub(crate) first_failure: Option<String>,
    pub(crate) seconds: f64,
}

/// The public key of a node.
pub(crate) fn public_key(testnet: &Testnet, node: &str) -> anyhow::Result<PublicKey> {
    Ok(testnet.stctrl(node, &["info", "public-key"]).expect().trim().parse()?)
}

/// Pays once: the index server may still be learning of the friends.
pub(crate) fn wait_for_route(testnet: &Testnet, buyer: &str, seller: PublicKey) {
    let seller = seller.to_string();
    testnet.wait_until("the index server knows the friends", |testnet| {
        testnet.stctrl(buyer, &["funds", "send-funds", "--amount", "1", "--dest", &seller]).succeeded()
    });
}

/// An application's connection to a node of the testnet, on the thread's own [`tokio::task::LocalSet`].
pub(crate) async fn connect(testnet: &Testnet, node: &str) -> anyhow::Result<Rc<App>> {
    let identity = std::fs::read_to_string(testnet.file(&format!("{node}-app/{node}-app.ident")))?;
    let ticket = Ticket::from_toml(&std::fs::read_to_string(testnet.file(&format!("{node}/{node}.ticket")))?)?;
    let ticket: ServerTicket = ticket.into_node()?;
    Ok(Rc::new(offst_app::connect(&ticket, &Identity::from_pem(&identity, None)?).await?))
}

/// Keeps the payments of all streams under way until the end.
pub(crate) fn pay(testnet: &Testnet, streams: &[Stream], until: Until) -> anyhow::Result<Load> {
    offst_app::block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        let mut shares = Vec::new();
        for stream in streams {
            let mut left = stream.in_flight;
            while left > 0 {
                let share = left.min(PER_CONNECTION);
                left -= share;
                shares.push((connect(testnet, &stream.buyer).await?, stream.seller, share));
            }
        }
        let start = Instant::now();
        let budget = Rc::new(match until {
            Until::Time(time) => Budget { time: Some(time), began: OnceCell::new(), left: Cell::new(u64::MAX) },
            Until::Count(count) => Budget { time: None, began: OnceCell::new(), left: Cell::new(count) },
        });
        for (app, seller, share) in shares {
            for _ in 0..share {
                tasks.spawn_local(pay_until(app.clone(), seller, budget.clone()));
            }
        }
        let mut load = Load::default();
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

/// How much is still to be paid.
struct Budget {
    time: Option<Duration>,
    /// When the first payment was: a machine that hardly gets to anything makes that one.
    began: OnceCell<Instant>,
    left: Cell<u64>,
}

impl Budget {
    fn take(&self) -> bool {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        let now = Instant::now();
        let began = *self.began.get_or_init(|| now);
        left > 0 && self.time.is_none_or(|time| now - began < time)
    }
}

async fn pay_until(app: Rc<App>, seller: PublicKey, budget: Rc<Budget>) -> Load {
    let mut load = Load::default();
    while budget.take() {
        let order = Order {
            payment_id: PaymentId::random(&mut SystemRandom::new()),
            purpose: Purpose::Spontaneous {
                destination: Destination::Key(seller),
                currency: Currency::default(),
                amount: 1.into(),
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
