use super::*;
use crate::amount::Amount;
use crate::app::{Message, MessageError, Refusal, config_call};
use crate::budget::{BudgetReport, BudgetsReport};
use crate::invoice::Invoice;
use crate::order::{ClearOrder, Destination, NewFriend, NewInvoice, Order, Purpose};
use crate::route::{PartPlan, Route};
use crate::test_values::key;
use crate::ticket::{FriendTicket, ServerTicket};
use crate::wire::app_capnp as wire;
use crate::{Currency, InvoiceId, PaymentId, Rate, RequestId, Verified};
use capnp::message::Builder;
use capnp::traits::{FromPointerBuilder, FromPointerReader, OwnedStruct};
use offst_crypto::{Identity, Secret};

fn server_ticket(seed: u8) -> ServerTicket {
    ServerTicket { public_key: key(seed), address: "relay.example.org:8000".parse().unwrap() }
}

fn account(currency: &str, status: AccountStatus) -> AccountReport {
    AccountReport {
        currency: currency.parse().unwrap(),
        status,
        balance: -(1 << 96),
        local_max_debt: Amount::MAX,
        remote_max_debt: 150.into(),
        local_pending_debt: 7,
        remote_pending_debt: 0,
        local_open: true,
        remote_open: false,
        rate: Rate { mul: 3, add: 1.into() },
        overdue: vec![OverdueReport {
            request_id: RequestId::from_bytes([9; 16]),
            amount: 7.into(),
            written_off: true,
        }],
        auto_write_off: Some(Amount::MAX),
    }
}

fn friend() -> FriendReport {
    let inconsistent = |remote_balance| AccountStatus::Inconsistent {
        local_balance: 5,
        remote_balance,
        reason: "the friend's disk was lost".into(),
    };
    FriendReport {
        name: "node1".into(),
        public_key: key(1),
        enabled: true,
        online: false,
        direct: true,
        relays: vec![server_ticket(2), server_ticket(3)],
        address: Some(server_ticket(4).address),
        accounts: vec![
            account("credit", AccountStatus::Consistent),
            account("eur", AccountStatus::Waiting),
            account("hours", inconsistent(Some(-5))),
            account("usd", inconsistent(None)),
        ],
    }
}

fn payment() -> PaymentReport {
    PaymentReport {
        app: Some(key(4)),
        payment_id: PaymentId::from_bytes([4; 16]),
        status: PaymentStatus::Pending,
        kind: PaymentKind::Payment,
        destination: key(5),
        invoice_id: Some(InvoiceId::from_bytes([6; 16])),
        currency: Currency::default(),
        amount: 120.into(),
        fees: 3,
        parts: 2,
        reason: "waiting for node1".into(),
        created_ms: 1,
        duration_ms: 2,
        receipt: Some("# An Offst receipt.".into()),
    }
}

/// Writes, reads back, and reads the message with every bit flipped and at every length: nothing may panic.
fn round_trip<T: Message + PartialEq + std::fmt::Debug>(value: &T)
where
    for<'a> <T::Wire as OwnedStruct>::Builder<'a>: FromPointerBuilder<'a>,
    for<'a> <T::Wire as OwnedStruct>::Reader<'a>: FromPointerReader<'a>,
{
    let mut message = Builder::new_default();
    value.write(message.init_root::<<T::Wire as OwnedStruct>::Builder<'_>>());
    let bytes = capnp::serialize::write_message_to_words(&message);
    let read = |bytes: &[u8]| {
        let message = crate::frame::read(bytes)?;
        T::read(message.get_root::<<T::Wire as OwnedStruct>::Reader<'_>>()?)
    };
    assert_eq!(read(&bytes).as_ref(), Ok(value));
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let _ = read(&flipped);
    }
    for length in 0..bytes.len() {
        assert!(read(&bytes[..length]).is_err());
    }
}

#[test]
fn friends_and_servers_round_trip() {
    round_trip(&friend());
    for state in
        [ServerState::Connected, ServerState::Displaced, ServerState::Disconnected { reason: "no answer".into() }]
    {
        let server = ServerReport { name: "relay0".into(), ticket: server_ticket(1), state };
        round_trip(&server);
    }
    let contact = |address| ContactReport { public_key: key(1), relays: vec![server_ticket(2)], address };
    round_trip(&contact(None));
    round_trip(&contact(Some("[::1]:9000".parse().unwrap())));
}

#[test]
fn records_round_trip() {
    round_trip(&payment());
    let spontaneous =
        PaymentReport { invoice_id: None, receipt: None, app: None, status: PaymentStatus::Failed, ..payment() };
    round_trip(&spontaneous);
    for kind in [PaymentKind::Rebalance, PaymentKind::Clearing] {
        round_trip(&PaymentReport { kind, ..payment() });
    }
    for (status, expires_ms) in [
        (InvoiceStatus::Open, None),
        (InvoiceStatus::Paid, Some(1)),
        (InvoiceStatus::Cancelled, Some(2)),
        (InvoiceStatus::Expired, Some(3)),
    ] {
        let invoice = InvoiceReport {
            invoice_id: InvoiceId::from_bytes([6; 16]),
            status,
            currency: Currency::default(),
            amount: 120.into(),
            description: "Two loaves of bread".into(),
            created_ms: 7,
            expires_ms,
        };
        round_trip(&invoice);
    }
    for from in [None, Some(key(1))] {
        let forward = ForwardReport {
            request_id: RequestId::from_bytes([8; 16]),
            from,
            to: key(2),
            currency: "hours".parse().unwrap(),
            amount: 10.into(),
            fee: 1.into(),
            time_ms: 11,
        };
        round_trip(&forward);
    }
    for (payment_id, invoice_id) in
        [(None, None), (Some(PaymentId::from_bytes([4; 16])), Some(InvoiceId::from_bytes([5; 16])))]
    {
        let request_id = RequestId::from_bytes([8; 16]);
        let (currency, from) = ("hours".parse().unwrap(), key(1));
        let received =
            ReceivedReport { request_id, from, payment_id, invoice_id, currency, amount: 10.into(), time_ms: 11 };
        round_trip(&received);
    }
    for event in [
        Event::FriendChanged { name: "node1".into() },
        Event::PaymentChanged { payment_id: PaymentId::from_bytes([4; 16]), status: PaymentStatus::Paid },
        Event::InvoiceChanged { invoice_id: InvoiceId::from_bytes([5; 16]), status: InvoiceStatus::Paid },
        Event::Overdue { name: "node1".into(), request_id: RequestId::from_bytes([6; 16]), amount: 9.into() },
        Event::AutoWriteOffEnded { name: "node1".into(), currency: "hours".parse().unwrap(), amount: 9.into() },
    ] {
        round_trip(&event);
    }
}

#[test]
fn quotes_and_debt_cycles_round_trip() {
    let part = |amount| PartPlan { path: vec![key(2), key(3), key(1)], amount, fees: 2.into() };
    let route = Route { parts: vec![part(10.into()), part(20.into())] };
    let routes = vec![route.clone(), route];
    let quote =
        QuoteReport { currency: "hours".parse().unwrap(), amount: 30.into(), routes, max_fee_default: 7.into() };
    round_trip(&quote);
    for (cycle, payment) in [(None, None), (Some(part(5.into())), None), (Some(part(5.into())), Some(payment()))] {
        let report = ClearingReport { auto_clear: payment.is_some(), cycle, payment };
        round_trip(&report);
    }
}

#[test]
fn what_was_written_off_round_trips() {
    let held = |count| Held { count, amount: u128::from(count) << 97 };
    let report = WriteOffReport { released: held(1), waiting: held(0), own: held(2), at_risk: held(3) };
    round_trip(&report);
}

#[test]
fn snapshot() {
    let mut message = Builder::new_default();
    let event = Event::InvoiceChanged { invoice_id: InvoiceId::from_bytes([5; 16]), status: InvoiceStatus::Paid };
    event.write(message.init_root());
    let hex: String =
        capnp::serialize::write_message_to_words(&message).iter().map(|byte| format!("{byte:02x}")).collect();
    insta::assert_snapshot!(hex, @"00000000070000000000000001000100020000000000000000000000010001000100000000000000010000008200000005050505050505050505050505050505");
}

#[test]
fn budgets_round_trip() {
    let report =
        |text: &str, until_ms| BudgetReport { budget: text.parse().unwrap(), spent: u128::MAX, under_way: 7, until_ms };
    for report in [report("500/day", Some(86_400_000)), report("20:hours", None), report("0:hours/month", Some(1))] {
        round_trip(&report);
    }
}

#[test]
fn budgets_of_an_application_round_trip() {
    for budgets in [
        None,
        Some(vec![]),
        Some(vec![BudgetReport { budget: "5".parse().unwrap(), spent: 1, under_way: 2, until_ms: None }]),
    ] {
        round_trip(&BudgetsReport::from(budgets));
    }
}

fn invoice() -> Verified<Invoice> {
    let seller = Identity::from_seed([1; 32]);
    let invoice = Invoice {
        id: InvoiceId::from_bytes([2; 16]),
        destination: seller.public_key(),
        currency: Currency::default(),
        amount: 120.into(),
        description: "bread".into(),
        expires_ms: None,
        secret: Secret::from_bytes([3; 32]),
    };
    Verified::sign(invoice, &seller)
}

/// Writes and reads back. Every bit of an invoice's text is covered by its signature, whose check takes long.
fn comes_back<T: Message + PartialEq + std::fmt::Debug>(value: &T)
where
    for<'a> <T::Wire as OwnedStruct>::Builder<'a>: FromPointerBuilder<'a>,
    for<'a> <T::Wire as OwnedStruct>::Reader<'a>: FromPointerReader<'a>,
{
    let mut message = Builder::new_default();
    value.write(message.init_root::<<T::Wire as OwnedStruct>::Builder<'_>>());
    let reader = message.get_root_as_reader::<<T::Wire as OwnedStruct>::Reader<'_>>().unwrap();
    assert_eq!(T::read(reader).as_ref(), Ok(value));
}

#[test]
fn orders_round_trip() {
    let order =
        |purpose, max_fee| Order { payment_id: PaymentId::from_bytes([4; 16]), purpose, max_fee, timeout_ms: 60_000 };
    comes_back(&order(Purpose::Invoice(invoice()), Some(3.into())));
    let (currency, amount) = ("hours".parse::<Currency>().unwrap(), 20);
    for destination in [Destination::Key(key(1)), Destination::Friend("bob".into())] {
        let purpose = Purpose::Spontaneous { destination, currency: currency.clone(), amount: amount.into() };
        round_trip(&order(purpose, None));
    }
    round_trip(&order(
        Purpose::Rebalance { friend: "bob".into(), currency: currency.clone(), amount: amount.into() },
        Some(0.into()),
    ));
    round_trip(&ClearOrder { currency: currency.clone(), perform: true });
    for expiry_ms in [None, Some(1)] {
        round_trip(&NewInvoice {
            amount: amount.into(),
            currency: currency.clone(),
            description: "bread".into(),
            expiry_ms,
        });
    }
    let ticket = FriendTicket { public_key: key(1), relays: vec![server_ticket(2)], address: None };
    round_trip(&NewFriend { name: "bob".into(), ticket, balance: -5, currency, max_debt: 7.into(), open: true });
}

#[test]
fn an_order_that_cannot_be_meant_is_refused_in_words() {
    let order = |purpose| Order { payment_id: PaymentId::from_bytes([4; 16]), purpose, max_fee: None, timeout_ms: 1 };
    let mut message = Builder::new_default();
    order(Purpose::Invoice(invoice())).write(message.init_root());
    let mut builder = message.get_root::<wire::order::Builder<'_>>().unwrap();
    builder.reborrow().init_purpose().set_invoice("offst1abc");
    let read = Order::read(builder.into_reader());
    assert!(matches!(&read, Err(MessageError::Argument(message)) if message.contains("damaged")), "{read:?}");
    let mut message = Builder::new_default();
    let nameless = Purpose::Rebalance { friend: String::new(), currency: Currency::default(), amount: 1.into() };
    order(nameless).write(message.init_root());
    let read = Order::read(message.get_root_as_reader().unwrap());
    let expected = "a name has 1 to 64 bytes and no control characters";
    assert_eq!(read, Err(MessageError::Argument(expected.into())));
}

#[test]
fn answers_round_trip() {
    let refused = || Refusal::from("there is no friend of this name");
    round_trip(&Ok::<(), Refusal>(()));
    round_trip(&Err::<(), Refusal>(refused()));
    for payment in [Ok(Some(payment())), Ok(None), Err(refused())] {
        round_trip(&payment);
    }
    for status in [Ok(Some(InvoiceStatus::Paid)), Ok(None), Err(refused())] {
        round_trip(&status);
    }
    round_trip(&Err::<QuoteReport, Refusal>(refused()));
    round_trip(&Err::<ClearingReport, Refusal>(refused()));
    round_trip(&Ok::<WriteOffReport, Refusal>(WriteOffReport::default()));
    comes_back(&Ok::<Verified<Invoice>, Refusal>(invoice()));
    round_trip(&Err::<FriendStatementReport, Refusal>(refused()));
}

#[test]
fn commands_round_trip() {
    let (name, currency) = ("bob".to_owned(), "hours".parse::<Currency>().unwrap());
    let ticket = FriendTicket { public_key: key(1), relays: vec![server_ticket(2)], address: None };
    round_trip(&config_call::AddRelay { name: name.clone(), ticket: server_ticket(2) });
    round_trip(&config_call::RenameFriend { name: name.clone(), new_name: "alice".into() });
    round_trip(&config_call::SetFriendRate {
        name: name.clone(),
        currency: currency.clone(),
        rate: Rate { mul: 1, add: 2.into() },
    });
    round_trip(&config_call::ReplaceFriendKey { name: name.clone(), ticket });
    round_trip(&config_call::WriteOff { name: name.clone(), currency, up_to: 5.into() });
    round_trip(&config_call::DisableFriend { name, force: true });
    round_trip(&SignedReplacements { records: vec![vec![1, 2], vec![3]] });
    round_trip(&FriendStatementQuery { name: "bob".into(), currency: None });
}

#[test]
fn pages_and_their_queries_round_trip() {
    for (cursor, limit, read) in [(None, 1, 1), (Some(7), PAGE_MAX + 1, PAGE_MAX), (Some(0), 0, PAGE_MAX)] {
        let mut message = Builder::new_default();
        PaymentReport::write_query(PageQuery { cursor, limit }, message.init_root());
        let query = PaymentReport::read_query(message.get_root_as_reader().unwrap());
        assert_eq!(query, Ok(PageQuery { cursor, limit: read }));
        let page = Page { items: vec![payment(); 3], next: cursor };
        let mut message = Builder::new_default();
        PaymentReport::write_page(&page, message.init_root());
        assert_eq!(PaymentReport::read_page(message.get_root_as_reader().unwrap()), Ok(page));
    }
    let mut message = Builder::new_default();
    message.init_root::<wire::reports::payments_params::Builder<'_>>().set_cursor("x");
    assert!(PaymentReport::read_query(message.get_root_as_reader().unwrap()).is_err());
}
