//! An example of each JSON document that `stctrl --json` prints, for docs/json.md.

use super::config::ResetDocument;
use super::invitation::{FriendDocument, InvitationDocument, OfferDocument};
use super::names::Names;
use super::output::{Done, PublicKeyDocument};
use super::seller::Ended;
use super::verify::{ReceiptDocument, TicketDocument};
use super::write_off::WriteOffDocument;
use offst_app::NewFriend;
use offst_crypto::{Identity, PublicKey};
use offst_ledger::Acknowledged;
use offst_proto::budget::{BudgetReport, BudgetsReport};
use offst_proto::friend_statement::FriendStatement;
use offst_proto::invitation::{Invitation, InvitationText};
use offst_proto::invoice::Invoice;
use offst_proto::key_replacement::{KeyReplacement, ReplacedAccount};
use offst_proto::receipt::Receipt;
use offst_proto::report::{
    AccountReport, AccountStatus, ClearingReport, Event, ForwardReport, FriendReport, Held, InvoiceReport,
    InvoiceStatus, KeyReplacementReport, OverdueReport, PaymentKind, PaymentReport, PaymentStatus, QuoteReport,
    ReceivedReport, ServerReport, ServerState, WriteOffReport,
};
use offst_proto::route::{PartPlan, Route};
use offst_proto::ticket::{FriendTicket, ServerTicket, Ticket};
use offst_proto::{Currency, InvoiceId, PaymentId, Rate, RequestId, Verified};
use serde::Serialize;
use serde_json::Value;

fn identity(seed: u8) -> Identity {
    Identity::from_seed([seed; 32])
}

fn key(seed: u8) -> PublicKey {
    identity(seed).public_key()
}

fn hours() -> Currency {
    "hours".parse().unwrap()
}

fn ticket(seed: u8, address: &str) -> ServerTicket {
    ServerTicket { public_key: key(seed), address: address.parse().unwrap() }
}

fn payment_id() -> PaymentId {
    PaymentId::from_bytes([0x11; 16])
}

fn invoice_id() -> InvoiceId {
    InvoiceId::from_bytes([0x22; 16])
}

fn request_id() -> RequestId {
    RequestId::from_bytes([0x33; 16])
}

fn friends() -> Vec<FriendReport> {
    let account = AccountReport {
        currency: Currency::default(),
        status: AccountStatus::Consistent,
        balance: -30,
        local_max_debt: 150.into(),
        remote_max_debt: 200.into(),
        local_pending_debt: 0,
        remote_pending_debt: 40,
        local_open: true,
        remote_open: true,
        rate: Rate { mul: 42_949_673, add: 1.into() },
        overdue: vec![OverdueReport { request_id: request_id(), amount: 40.into(), written_off: false }],
        auto_write_off: Some(100.into()),
    };
    let inconsistent = AccountStatus::Inconsistent {
        local_balance: 3,
        remote_balance: Some(5),
        reason: "the friend says that it has lost its database".into(),
    };
    let stopped = AccountReport {
        currency: hours(),
        status: inconsistent,
        overdue: vec![],
        auto_write_off: None,
        ..account.clone()
    };
    vec![FriendReport {
        name: "bob".into(),
        public_key: key(1),
        enabled: true,
        online: true,
        direct: false,
        relays: vec![ticket(2, "relay.example.org:8000")],
        address: None,
        accounts: vec![account, stopped],
    }]
}

fn servers() -> [ServerReport; 3] {
    let server = |name: &str, seed, state| ServerReport {
        name: name.into(),
        ticket: ticket(seed, &format!("{name}.example.org:8000")),
        state,
    };
    [
        server("relay0", 2, ServerState::Connected),
        server("relay1", 3, ServerState::Disconnected { reason: "nobody answers at relay1.example.org:8000".into() }),
        server("relay2", 4, ServerState::Displaced),
    ]
}

fn replacement() -> Verified<KeyReplacement> {
    let account = ReplacedAccount {
        currency: Currency::default(),
        balance: -30,
        epoch: Some(3),
        own_seq: 11,
        other_seq: 12,
        opening: offst_crypto::sha256(b"the opening"),
    };
    let replacement = KeyReplacement {
        author: key(9),
        lost: key(1),
        new_key: key(5),
        time_ms: 1_795_000_000_000,
        accounts: vec![account],
    };
    Verified::sign(replacement, &identity(9))
}

fn payment() -> PaymentReport {
    PaymentReport {
        payment_id: payment_id(),
        status: PaymentStatus::Paid,
        kind: PaymentKind::Payment,
        destination: key(6),
        invoice_id: Some(invoice_id()),
        currency: Currency::default(),
        amount: 120.into(),
        fees: 3,
        parts: 2,
        reason: String::new(),
        created_ms: 1_795_000_000_000,
        duration_ms: 70,
        receipt: Some("not in the document".into()),
        app: Some(key(8)),
    }
}

fn forwards() -> [ForwardReport; 2] {
    let forward = ForwardReport {
        request_id: request_id(),
        from: Some(key(1)),
        to: key(6),
        currency: Currency::default(),
        amount: 100.into(),
        fee: 1.into(),
        time_ms: 1_795_000_000_000,
    };
    [forward.clone(), ForwardReport { from: None, fee: 0.into(), ..forward }]
}

fn received(invoice_id: Option<InvoiceId>, payment_id: Option<PaymentId>) -> ReceivedReport {
    ReceivedReport {
        request_id: request_id(),
        from: key(1),
        payment_id,
        invoice_id,
        currency: Currency::default(),
        amount: 60.into(),
        time_ms: 1_795_000_000_000,
    }
}

fn invoice() -> InvoiceReport {
    InvoiceReport {
        invoice_id: invoice_id(),
        status: InvoiceStatus::Open,
        currency: Currency::default(),
        amount: 120.into(),
        description: "Two loaves of bread".into(),
        created_ms: 1_795_000_000_000,
        expires_ms: None,
    }
}

fn budgets() -> Vec<BudgetReport> {
    let day = BudgetReport {
        budget: "500/day".parse().unwrap(),
        spent: 380,
        under_way: 20,
        until_ms: Some(1_795_046_400_000),
    };
    vec![day, BudgetReport { budget: "20:hours".parse().unwrap(), spent: 0, under_way: 0, until_ms: None }]
}

fn names() -> Names {
    Names::from([(key(1), "bob".to_owned()), (key(9), "you".to_owned())])
}

fn part(amount: u32, fees: u32, path: &[u8]) -> PartPlan {
    PartPlan { path: path.iter().map(|seed| key(*seed)).collect(), amount: amount.into(), fees: fees.into() }
}

fn quote() -> QuoteReport {
    let routes = vec![Route { parts: vec![part(120, 1, &[1, 6])] }];
    QuoteReport { currency: Currency::default(), amount: 120.into(), routes, max_fee_default: 20.into() }
}

fn clearing() -> [ClearingReport; 2] {
    let cycle = Some(part(30, 0, &[1, 6, 9]));
    let paid = PaymentReport {
        kind: PaymentKind::Clearing,
        destination: key(9),
        invoice_id: None,
        amount: 30.into(),
        fees: 0,
        parts: 1,
        ..payment()
    };
    [
        ClearingReport { auto_clear: false, cycle: cycle.clone(), payment: Some(paid) },
        ClearingReport { auto_clear: false, cycle, payment: None },
    ]
}

fn write_off() -> WriteOffReport {
    let held = |count, amount| Held { count, amount };
    WriteOffReport { released: held(2, 80), waiting: held(1, 70), own: held(1, 5), at_risk: held(3, 90) }
}

fn acknowledged() -> Acknowledged {
    Acknowledged {
        currency: Currency::default(),
        epoch: 3,
        seq: 12,
        acknowledges: 9,
        balance: 351,
        node_pending: 3,
        friend_pending: 22,
        committed: 15,
        collected: 8,
    }
}

fn events() -> Vec<Event> {
    vec![
        Event::FriendChanged { name: "bob".into() },
        Event::PaymentChanged { payment_id: payment_id(), status: PaymentStatus::Pending },
        Event::InvoiceChanged { invoice_id: invoice_id(), status: InvoiceStatus::Paid },
        Event::Overdue { name: "bob".into(), request_id: request_id(), amount: 40.into() },
        Event::AutoWriteOffEnded { name: "bob".into(), currency: Currency::default(), amount: 40.into() },
    ]
}

fn new_invoice() -> Verified<Invoice> {
    let invoice = Invoice {
        id: invoice_id(),
        destination: key(9),
        currency: Currency::default(),
        amount: 120.into(),
        description: "Two loaves of bread".into(),
        expires_ms: Some(1_795_086_400_000),
        secret: offst_crypto::Secret::from_bytes([7; 32]),
    };
    Verified::sign(invoice, &identity(9))
}

fn friend_ticket() -> FriendTicket {
    FriendTicket { public_key: key(1), relays: vec![ticket(2, "relay.example.org:8000")], address: None }
}

fn invitation() -> Invitation {
    Invitation::new(friend_ticket(), Currency::default(), 100, 50.into(), &identity(8))
}

fn invitation_document() -> InvitationDocument {
    InvitationDocument { text: "offst...".into(), currency: Currency::default(), balance: 100, max_debt: 50.into() }
}

fn added_friend() -> FriendDocument {
    let friend = NewFriend {
        name: "bob".into(),
        ticket: friend_ticket(),
        balance: -100,
        currency: Currency::default(),
        max_debt: 20.into(),
        open: true,
    };
    FriendDocument::new(&friend, 50.into(), Some("offst...".into()))
}

fn receipt() -> Receipt {
    Receipt {
        payment_id: payment_id(),
        invoice_id: Some(invoice_id()),
        destination: key(6),
        currency: Currency::default(),
        total: 120.into(),
        parts: vec![],
    }
}

fn document(value: &(impl Serialize + ?Sized)) -> Value {
    serde_json::to_value(value).expect("a document is JSON")
}

/// The documents in the order of the page: its headings, and what stands below them.
pub(crate) fn examples() -> Vec<(&'static str, Value)> {
    let friends = friends();
    let (cleared, found) = clearing().into();
    let invoice_line = (invoice_id(), "Two loaves of bread".to_owned());
    let statement = FriendStatement { node: key(9), friend: key(1), accounts: vec![] };
    let statement = super::statement::document(&statement, &[acknowledged()], Some(false));
    let mut history = vec![super::history::of_payment(&payment())];
    history.extend(super::history::of_received(
        &[
            received(Some(invoice_id()), Some(payment_id())),
            received(None, Some(PaymentId::from_bytes([0x44; 16]))),
            received(None, None),
        ],
        &[invoice_line].into(),
    ));
    history.extend(forwards().iter().map(super::history::of_forward));
    let replacements = [&replacement()].map(KeyReplacementReport::from);
    let write_off = WriteOffDocument { name: "bob", currency: &Currency::default(), report: write_off() };
    vec![
        ("Friends", document(&friends)),
        ("Relays and index servers", document(&servers())),
        ("Balances", document(&super::info::balances(&friends))),
        ("Budgets", document(&BudgetsReport::from(Some(budgets())))),
        ("Replaced keys", document(&replacements)),
        ("Friend statement", document(&statement)),
        ("Events", document(&events())),
        ("Payments", document(&payment())),
        ("Quote", document(&super::quote::document(&quote(), &names()))),
        ("Debt cycles", document(&super::cycles::document(&[cleared], &found, &names()))),
        ("Forwards", document(&forwards())),
        ("History", document(&history)),
        ("Invoices", document(&invoice())),
        ("New invoice", document(&super::seller::document(&new_invoice()))),
        ("Write-off", document(&write_off)),
        ("Waiting for an invoice", document(&Ended { invoice_id: invoice_id(), status: InvoiceStatus::Paid })),
        ("Invitation", document(&invitation_document())),
        ("Added friend", document(&added_friend())),
        ("Accepted terms", document(&ResetDocument::new(3, Some(5)))),
        ("Checked invitation", document(&OfferDocument::from(&InvitationText::Invitation(invitation())))),
        ("Checked receipt", document(&ReceiptDocument::from(&receipt()))),
        ("Checked ticket", document(&TicketDocument::from(&Ticket::Friend(friend_ticket())))),
        ("Public key", document(&PublicKeyDocument { public_key: key(9) })),
        ("Done", document(&Done::default())),
    ]
}
