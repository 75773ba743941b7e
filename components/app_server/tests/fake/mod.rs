//! A node that is not there: answers from memory, and remembers what it was asked.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use futures::FutureExt;
use futures::future::BoxFuture;
use offst_app_server::{
    Backend, BackendGone, Grant, HistoryKind, HistoryPage, HistoryQuery, Limits, Permissions, serve,
};
use offst_crypto::{Identity, PublicKey, Secret};
use offst_funder::{Command, Reply};
use offst_proto::Amount;
use offst_proto::budget::BudgetReport;
use offst_proto::friend_statement::{AccountEvidence, FriendStatement};
use offst_proto::invoice::Invoice;
use offst_proto::key_replacement::KeyReplacement;
use offst_proto::opening::Opening;
use offst_proto::report::{
    ClearingReport, ContactReport, Event, ForwardReport, FriendReport, FriendStatementReport, Held, InvoiceReport,
    InvoiceStatus, Page, PaymentReport, PaymentStatus, QuoteReport, ReceivedReport, ServerReport, ServerState,
    WriteOffReport,
};
use offst_proto::route::{PartPlan, Route};
use offst_proto::ticket::ServerTicket;
use offst_proto::{Currency, InvoiceId, PaymentId, RequestId, Unverified, Verified};
use offst_secure_channel::Authenticator;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

pub fn identity(seed: u8) -> Identity {
    Identity::from_seed([seed; 32])
}

/// The node's identity.
pub const NODE: u8 = 1;
/// An invoice that is open, at first.
pub const OPEN_INVOICE: u8 = 40;
/// A trusted application.
pub const APP: u8 = 2;

pub fn part() -> PartPlan {
    PartPlan { path: vec![identity(3).public_key(), identity(4).public_key()], amount: 100.into(), fees: 1.into() }
}

pub fn payment(number: u8, status: PaymentStatus) -> PaymentReport {
    PaymentReport {
        app: Some(identity(APP).public_key()),
        payment_id: PaymentId::from_bytes([number; 16]),
        status,
        kind: offst_proto::report::PaymentKind::Payment,
        destination: identity(9).public_key(),
        invoice_id: None,
        currency: Currency::default(),
        amount: 100.into(),
        fees: 3,
        parts: 1,
        reason: String::new(),
        created_ms: u64::from(number),
        duration_ms: 5,
        receipt: Some("# An Offst receipt.".into()),
    }
}

pub fn invoice_report(number: u8, status: InvoiceStatus) -> InvoiceReport {
    InvoiceReport {
        invoice_id: InvoiceId::from_bytes([number; 16]),
        status,
        currency: Currency::default(),
        amount: 10.into(),
        description: "Bread".into(),
        created_ms: u64::from(number),
        expires_ms: None,
    }
}

pub fn signed_invoice(amount: u128, description: &str) -> Verified<Invoice> {
    let seller = identity(NODE);
    let invoice = Invoice {
        id: InvoiceId::from_bytes([7; 16]),
        destination: seller.public_key(),
        currency: Currency::default(),
        amount: Amount::capped(amount),
        description: description.into(),
        expires_ms: None,
        secret: Secret::from_bytes([8; 32]),
    };
    Verified::sign(invoice, &seller)
}

pub fn server_report(state: ServerState) -> ServerReport {
    let ticket = ServerTicket { public_key: identity(5).public_key(), address: "127.0.0.1:8000".parse().unwrap() };
    ServerReport { name: "relay0".into(), ticket, state }
}

/// Answers like a node whose history holds the payments 1 to 9 and the invoices 1 to 3.
pub struct Fake {
    pub commands: Mutex<Vec<Command>>,
    pub friends: Vec<FriendReport>,
    pub open_invoice: Mutex<InvoiceStatus>,
    pub events: broadcast::Sender<Event>,
}

pub fn key_replacement() -> Verified<KeyReplacement> {
    let replacement = KeyReplacement {
        author: identity(NODE).public_key(),
        lost: identity(20).public_key(),
        new_key: identity(21).public_key(),
        time_ms: 1,
        accounts: vec![],
    };
    Verified::sign(replacement, &identity(NODE))
}

/// What the node shows of its friend; nobody checks it here.
pub fn friend_statement(currency: Option<Currency>) -> FriendStatementReport {
    let opening = |author: u8, other: u8, balance| {
        let opening = Opening {
            author: identity(author).public_key(),
            other: identity(other).public_key(),
            currency: currency.clone().unwrap_or_default(),
            epoch: 0,
            balance,
            continuing: vec![],
            accepts: None,
        };
        Unverified::from_wire(Verified::sign(opening, &identity(author)).wire()).unwrap()
    };
    let evidence = AccountEvidence {
        currency: currency.clone().unwrap_or_default(),
        openings: [opening(NODE, 3, 5), opening(3, NODE, -5)],
        checkpoint: None,
        statements: vec![],
    };
    let (node, friend) = (identity(NODE).public_key(), identity(3).public_key());
    FriendStatementReport {
        statement: FriendStatement { node, friend, accounts: vec![evidence] },
        is_shortened: currency.is_some(),
    }
}

pub fn budgets() -> [BudgetReport; 2] {
    let report = |text: &str, spent, under_way, until_ms| BudgetReport {
        budget: text.parse().unwrap(),
        spent,
        under_way,
        until_ms,
    };
    // The owner has lowered the first one since.
    [report("500/day", 380, 200, Some(86_400_000)), report("20:hours", 0, u128::MAX, None)]
}

pub fn write_off_report(amount: u128) -> WriteOffReport {
    let held = Held { count: 2, amount };
    WriteOffReport { released: held, at_risk: held, ..WriteOffReport::default() }
}

impl Fake {
    pub fn new(friends: Vec<FriendReport>) -> Arc<Self> {
        Arc::new(Fake {
            commands: Mutex::default(),
            friends,
            open_invoice: Mutex::new(InvoiceStatus::Open),
            events: broadcast::channel(16).0,
        })
    }

    fn reply(&self, command: &Command) -> Reply {
        match command {
            Command::Friends => Reply::Friends(self.friends.clone()),
            Command::Relays => Reply::Servers(vec![server_report(ServerState::Connected)]),
            Command::IndexServers => {
                Reply::Servers(vec![server_report(ServerState::Disconnected { reason: "no answer".into() })])
            }
            Command::Contact => {
                Reply::Contact(ContactReport { public_key: identity(NODE).public_key(), relays: vec![], address: None })
            }
            Command::KeyReplacements => Reply::KeyReplacements(vec![key_replacement()]),
            Command::PayFor(_, order) => Reply::Payment(Box::new(PaymentReport {
                payment_id: order.payment_id,
                ..payment(1, PaymentStatus::Paid)
            })),
            Command::Budgets(app) => Reply::Budgets((*app == identity(APP).public_key()).then(|| budgets().to_vec())),
            Command::Quote(order) if order.max_fee == Some(0.into()) => Reply::Refused("there is no route".into()),
            Command::Quote(_) => Reply::Quote(Box::new(QuoteReport {
                currency: Currency::default(),
                amount: 100.into(),
                routes: vec![Route { parts: vec![part()] }],
                max_fee_default: 20.into(),
            })),
            Command::Clear { perform, .. } => Reply::Clearing(Box::new(ClearingReport {
                auto_clear: false,
                cycle: Some(part()),
                payment: perform.then(|| payment(1, PaymentStatus::Paid)),
            })),
            Command::CancelPayment(_) => Reply::Unknown,
            Command::CreateInvoice { amount, description, .. } => {
                Reply::Invoice(signed_invoice(amount.credits(), description))
            }
            Command::CancelInvoice(_) => Reply::Done,
            Command::ResetFriend(..) => Reply::Refused("there is nothing to reset".into()),
            Command::WriteOff { up_to: Amount::ZERO, .. } => Reply::Refused("there is no such friend".into()),
            Command::WriteOff { up_to, .. } => Reply::WrittenOff(write_off_report(up_to.credits())),
            Command::EnableFriend(name) if name == "panic" => panic!("a defect"),
            _ => Reply::Done,
        }
    }
}

/// A page of the numbers 9 down to 1.
fn page<T>(query: HistoryQuery, entry: impl Fn(u8) -> T) -> Page<T> {
    let first = query.cursor.unwrap_or(9);
    let items: Vec<_> = (1..=first).rev().take(query.limit).map(|number| entry(number as u8)).collect();
    let next = first.saturating_sub(items.len() as u64);
    Page { items, next: (next > 0).then_some(next) }
}

impl Backend for Fake {
    fn command(&self, _: PublicKey, command: Command) -> BoxFuture<'static, Result<Reply, BackendGone>> {
        let reply = self.reply(&command);
        self.commands.lock().unwrap().push(command);
        std::future::ready(Ok(reply)).boxed()
    }

    fn history(&self, _: PublicKey, query: HistoryQuery) -> BoxFuture<'static, Result<HistoryPage, BackendGone>> {
        let forward = |number| ForwardReport {
            request_id: RequestId::from_bytes([number; 16]),
            from: Some(identity(3).public_key()),
            to: identity(4).public_key(),
            currency: Currency::default(),
            amount: 10.into(),
            fee: 1.into(),
            time_ms: 1,
        };
        let received = |number| ReceivedReport {
            request_id: RequestId::from_bytes([number; 16]),
            from: identity(3).public_key(),
            payment_id: None,
            invoice_id: None,
            currency: Currency::default(),
            amount: 10.into(),
            time_ms: 1,
        };
        let page = match query.kind {
            HistoryKind::Payments => HistoryPage::Payments(page(query, |number| payment(number, PaymentStatus::Paid))),
            HistoryKind::Forwards => HistoryPage::Forwards(page(query, forward)),
            HistoryKind::Received => HistoryPage::Received(page(query, received)),
            HistoryKind::Invoices => {
                HistoryPage::Invoices(page(query, |number| invoice_report(number, InvoiceStatus::Paid)))
            }
        };
        std::future::ready(Ok(page)).boxed()
    }

    fn payment(
        &self,
        _: PublicKey,
        payment_id: PaymentId,
    ) -> BoxFuture<'static, Result<Option<PaymentReport>, BackendGone>> {
        let found = (1..=9).find(|number| payment_id == PaymentId::from_bytes([*number; 16]));
        std::future::ready(Ok(found.map(|number| payment(number, PaymentStatus::Paid)))).boxed()
    }

    fn invoice(
        &self,
        _: PublicKey,
        invoice_id: InvoiceId,
    ) -> BoxFuture<'static, Result<Option<InvoiceReport>, BackendGone>> {
        let status = match invoice_id.as_bytes()[0] {
            1..=3 => Some(InvoiceStatus::Paid),
            OPEN_INVOICE => Some(*self.open_invoice.lock().unwrap()),
            _ => None,
        };
        std::future::ready(Ok(status.map(|status| invoice_report(invoice_id.as_bytes()[0], status)))).boxed()
    }

    fn friend_statement(
        &self,
        _: PublicKey,
        name: String,
        currency: Option<Currency>,
    ) -> BoxFuture<'static, Result<Result<FriendStatementReport, String>, BackendGone>> {
        let made = if name == "alice" { Ok(friend_statement(currency)) } else { Err("there is no friend".to_owned()) };
        std::future::ready(Ok(made)).boxed()
    }

    fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }
}

/// A server with a [`Fake`] behind it.
pub struct Running {
    pub fake: Arc<Fake>,
    pub ticket: ServerTicket,
    pub grants: watch::Sender<BTreeMap<PublicKey, Grant>>,
    pub stop: CancellationToken,
    pub ended: tokio::task::JoinHandle<std::io::Result<()>>,
    _guard: DropGuard,
}

pub async fn start(fake: Arc<Fake>, granted: &str, limits: Limits) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string().parse().unwrap();
    let ticket = ServerTicket { public_key: identity(NODE).public_key(), address };
    let granted: Permissions = granted.parse().unwrap();
    let (grants, receiver) = watch::channel(BTreeMap::from([(identity(APP).public_key(), granted.into())]));
    let stop = CancellationToken::new();
    let authenticator = Authenticator::new(&identity(NODE));
    let ended = tokio::spawn(serve(listener, authenticator, fake.clone(), receiver, limits, stop.clone()));
    Running { fake, ticket, grants, stop: stop.clone(), ended, _guard: stop.drop_guard() }
}
