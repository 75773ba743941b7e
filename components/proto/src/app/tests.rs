use super::*;
use crate::budget::BudgetReport;
use crate::report::*;
use crate::route::{PartPlan, Way};
use crate::test_values::key;
use capnp::message::Builder;

fn server_ticket(seed: u8) -> ServerTicket {
    ServerTicket { public_key: key(seed), address: "relay.example.org:8000".parse().unwrap() }
}

fn line(currency: &str, status: LineStatus) -> LineReport {
    LineReport {
        currency: currency.parse().unwrap(),
        status,
        balance: -(1 << 96),
        local_max_debt: 1 << 96,
        remote_max_debt: 150,
        local_pending_debt: 7,
        remote_pending_debt: 0,
        local_open: true,
        remote_open: false,
        rate: Rate { mul: 3, add: 1 },
        overdue: vec![OverdueReport { request_id: RequestId::from_bytes([9; 16]), amount: 7, written_off: true }],
        auto_write_off: Some(1 << 96),
    }
}

fn friend() -> FriendReport {
    let inconsistent = |remote_balance| LineStatus::Inconsistent {
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
        lines: vec![
            line("credit", LineStatus::Consistent),
            line("eur", LineStatus::Waiting),
            line("hours", inconsistent(Some(-5))),
            line("usd", inconsistent(None)),
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
        amount: 120,
        fees: 3,
        parts: 2,
        reason: "waiting for node1".into(),
        created_ms: 1,
        duration_ms: 2,
        receipt: Some("# An Offst receipt.".into()),
    }
}

/// Writes, reads back, and reads the message with every bit flipped and at every length: nothing may panic.
macro_rules! round_trip {
    ($value:expr, $wire:ident, $write:ident, $read:ident) => {{
        let value = $value;
        let mut message = Builder::new_default();
        $write(&value, message.init_root::<wire::$wire::Builder<'_>>());
        let bytes = capnp::serialize::write_message_to_words(&message);
        let read = |bytes: &[u8]| {
            let message = crate::frame::read(bytes)?;
            $read(message.get_root::<wire::$wire::Reader<'_>>()?)
        };
        assert_eq!(read(&bytes), Ok(value));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let _ = read(&flipped);
        }
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length]).is_err());
        }
    }};
}

#[test]
fn friends_and_servers_round_trip() {
    round_trip!(friend(), friend, write_friend, read_friend);
    for state in
        [ServerState::Connected, ServerState::Displaced, ServerState::Disconnected { reason: "no answer".into() }]
    {
        let server = ServerReport { name: "relay0".into(), ticket: server_ticket(1), state };
        round_trip!(server, server, write_server, read_server);
    }
    let contact = |address| ContactReport { public_key: key(1), relays: vec![server_ticket(2)], address };
    round_trip!(contact(None), friend_ticket, write_contact, read_contact);
    round_trip!(contact(Some("[::1]:9000".parse().unwrap())), friend_ticket, write_contact, read_contact);
}

#[test]
fn records_round_trip() {
    round_trip!(payment(), payment, write_payment, read_payment);
    let spontaneous =
        PaymentReport { invoice_id: None, receipt: None, app: None, status: PaymentStatus::Failed, ..payment() };
    round_trip!(spontaneous, payment, write_payment, read_payment);
    for kind in [PaymentKind::Rebalance, PaymentKind::Clearing] {
        round_trip!(PaymentReport { kind, ..payment() }, payment, write_payment, read_payment);
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
            amount: 120,
            description: "Two loaves of bread".into(),
            created_ms: 7,
            expires_ms,
        };
        round_trip!(invoice, invoice, write_invoice, read_invoice);
    }
    for from in [None, Some(key(1))] {
        let forward = ForwardReport {
            request_id: RequestId::from_bytes([8; 16]),
            from,
            to: key(2),
            currency: "hours".parse().unwrap(),
            amount: 10,
            fee: 1,
            time_ms: 11,
        };
        round_trip!(forward, forward, write_forward, read_forward);
    }
    for (payment_id, invoice_id) in
        [(None, None), (Some(PaymentId::from_bytes([4; 16])), Some(InvoiceId::from_bytes([5; 16])))]
    {
        let request_id = RequestId::from_bytes([8; 16]);
        let (currency, from) = ("hours".parse().unwrap(), key(1));
        let received = ReceivedReport { request_id, from, payment_id, invoice_id, currency, amount: 10, time_ms: 11 };
        round_trip!(received, received, write_received, read_received);
    }
    for event in [
        Event::FriendChanged { name: "node1".into() },
        Event::PaymentChanged { payment_id: PaymentId::from_bytes([4; 16]), status: PaymentStatus::Paid },
        Event::InvoiceChanged { invoice_id: InvoiceId::from_bytes([5; 16]), status: InvoiceStatus::Paid },
        Event::Overdue { name: "node1".into(), request_id: RequestId::from_bytes([6; 16]), amount: 9 },
        Event::AutoWriteOffEnded { name: "node1".into(), currency: "hours".parse().unwrap(), amount: 9 },
    ] {
        round_trip!(event, event, write_event, read_known_event);
    }
}

#[test]
fn quotes_and_rings_round_trip() {
    let part = |amount| PartPlan { route: vec![key(2), key(3), key(1)], amount, fees: 2 };
    let way = Way { parts: vec![part(10), part(20)] };
    let ways = vec![way.clone(), way];
    let quote = QuoteReport { currency: "hours".parse().unwrap(), amount: 30, ways, max_fee_default: 7 };
    round_trip!(quote, quote, write_quote, read_quote);
    for (ring, payment) in [(None, None), (Some(part(5)), None), (Some(part(5)), Some(payment()))] {
        let report = ClearingReport { auto_clear: payment.is_some(), ring, payment };
        round_trip!(report, clearing, write_clearing, read_clearing);
    }
}

#[test]
fn what_was_written_off_round_trips() {
    let held = |count| Held { count, amount: u128::from(count) << 97 };
    let report = WriteOffReport { released: held(1), waiting: held(0), own: held(2), at_risk: held(3) };
    round_trip!(report, write_off, write_write_off, read_write_off);
}

fn read_known_event(reader: wire::event::Reader<'_>) -> Result<Event, DecodeError> {
    read_event(reader)?.ok_or(DecodeError::invalid("the kind of event"))
}

#[test]
fn numbers_have_bounds() {
    let text = |text: &'static str| Ok(capnp::text::Reader::from(text));
    assert_eq!(read_amount(text("79228162514264337593543950336")), Ok(AMOUNT_MAX));
    for wrong in ["", "-1", "+1", " 1", "1.5", "0x1", "79228162514264337593543950337", &"9".repeat(60).leak()[..]] {
        assert!(read_amount(text(wrong)).is_err(), "{wrong}");
    }
    assert_eq!(read_amount_option(text("")), Ok(None));
    assert_eq!(read_balance(text("-79228162514264337593543950336")), Ok(-(1 << 96)));
    assert!(read_balance(text("-79228162514264337593543950337")).is_err());
    assert_eq!(read_currency(text("")), Ok(Currency::default()));
    assert!(read_currency(text("Euro")).is_err());
}

#[test]
fn snapshot() {
    let mut message = Builder::new_default();
    let event = Event::InvoiceChanged { invoice_id: InvoiceId::from_bytes([5; 16]), status: InvoiceStatus::Paid };
    write_event(&event, message.init_root());
    let hex: String =
        capnp::serialize::write_message_to_words(&message).iter().map(|byte| format!("{byte:02x}")).collect();
    insta::assert_snapshot!(hex, @"00000000070000000000000001000100020000000000000000000000010001000100000000000000010000008200000005050505050505050505050505050505");
}

#[test]
fn budgets_round_trip() {
    let report =
        |text: &str, until_ms| BudgetReport { budget: text.parse().unwrap(), spent: u128::MAX, under_way: 7, until_ms };
    for report in [report("500/day", Some(86_400_000)), report("20:hours", None), report("0:hours/month", Some(1))] {
        round_trip!(report, budget, write_budget, read_budget);
    }
}
