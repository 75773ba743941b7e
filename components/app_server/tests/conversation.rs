//! The client library and the server with real sockets and TLS.

mod fake;

use fake::{APP, Fake, OPEN_INVOICE, Running, identity, invoice_report, part, payment, signed_invoice, start};
use offst_app::{App, AppError, Destination, NewFriend, NewInvoice, Order, Purpose, connect, connect_within};
use offst_app_server::{Limits, Permissions};
use offst_funder::Command;
use offst_proto::Amount;
use offst_proto::report::{
    AccountReport, AccountStatus, Event, FriendReport, InvoiceStatus, PaymentStatus, ServerState,
};
use offst_proto::ticket::FriendTicket;
use offst_proto::{Currency, InvoiceId, PaymentId, Rate};
use offst_secure_channel::ConnectError;
use std::time::Duration;
use tokio::task::LocalSet;

fn friend() -> FriendReport {
    FriendReport {
        name: "node1".into(),
        public_key: identity(3).public_key(),
        enabled: true,
        online: true,
        direct: false,
        relays: vec![],
        address: None,
        accounts: vec![AccountReport {
            currency: Currency::default(),
            status: AccountStatus::Consistent,
            balance: 100,
            local_max_debt: 150.into(),
            remote_max_debt: 200.into(),
            local_pending_debt: 0,
            remote_pending_debt: 0,
            local_open: true,
            remote_open: true,
            rate: Rate::default(),
            overdue: vec![],
            auto_write_off: None,
        }],
    }
}

fn order(purpose: Purpose) -> Order {
    Order { payment_id: PaymentId::from_bytes([50; 16]), purpose, max_fee: Some(5.into()), timeout_ms: u64::MAX }
}

async fn with_node<T>(granted: &str, limits: Limits, test: impl AsyncFnOnce(Running) -> T) -> T {
    let test = async { test(start(Fake::new(vec![friend()]), granted, limits).await).await };
    LocalSet::new().run_until(async { tokio::time::timeout(Duration::from_secs(60), test).await.unwrap() }).await
}

async fn app(running: &Running) -> App {
    connect(&running.ticket, &identity(APP)).await.unwrap()
}

#[tokio::test]
async fn reports() {
    with_node("", Limits::default(), async |running| {
        let app = app(&running).await;
        assert_eq!((app.version(), app.node()), (env!("CARGO_PKG_VERSION"), running.ticket.public_key));
        assert_eq!(app.friends().await.unwrap(), [friend()]);
        assert_eq!(app.relays().await.unwrap(), [fake::server_report(ServerState::Connected)]);
        let index = app.index_servers().await.unwrap();
        assert_eq!(index, [fake::server_report(ServerState::Disconnected { reason: "no answer".into() })]);
        assert_eq!(app.contact().await.unwrap().public_key, running.ticket.public_key);
        assert_eq!(app.key_replacements().await.unwrap(), [fake::key_replacement()]);
        for currency in [None, Some("hours".parse().unwrap())] {
            let statement = app.friend_statement("alice", currency.as_ref()).await.unwrap();
            assert_eq!(statement, fake::friend_statement(currency));
        }
        for name in ["bob", ""] {
            assert!(matches!(app.friend_statement(name, None).await, Err(AppError::Refused(_))));
        }
        assert_eq!(app.payment(PaymentId::from_bytes([4; 16])).await.unwrap(), payment(4, PaymentStatus::Paid));
        let unknown = app.payment(PaymentId::from_bytes([99; 16])).await.unwrap_err();
        assert_eq!(unknown.to_string(), "the node knows no payment of this id");
    })
    .await;
}

#[tokio::test]
async fn pages_keep_their_limit_and_repeat_nothing() {
    with_node("", Limits::default(), async |running| {
        let app = app(&running).await;
        let (mut numbers, mut cursor) = (vec![], None);
        loop {
            let page = app.payments(cursor, 4).await.unwrap();
            assert!(page.items.len() <= 4 && page.items.iter().all(|payment| payment.receipt.is_none()));
            numbers.extend(page.items.iter().map(|payment| (payment.payment_id.as_bytes()[0], payment.status)));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        let expected: Vec<_> = (1..=9).rev().map(|number| (number, PaymentStatus::Paid)).collect();
        assert_eq!(numbers, expected);
        let invoices = app.invoices(None, 1000).await.unwrap();
        assert_eq!(invoices.items[0], invoice_report(9, InvoiceStatus::Paid));
        assert_eq!((invoices.items.len(), invoices.next), (9, None));
        assert_eq!(app.forwards(Some(2), 1).await.unwrap().next, Some(1));
    })
    .await;
}

#[tokio::test]
async fn paying() {
    with_node("buyer", Limits::default(), async |running| {
        let app = app(&running).await;
        let invoice = signed_invoice(100, "Bread");
        let paid = app.pay(&order(Purpose::Invoice(invoice.clone()))).await.unwrap();
        assert_eq!((paid.status, paid.payment_id), (PaymentStatus::Paid, PaymentId::from_bytes([50; 16])));
        assert!(paid.receipt.is_some());
        let spontaneous = |destination| {
            order(Purpose::Spontaneous { destination, currency: "hours".parse().unwrap(), amount: 7.into() })
        };
        app.pay(&spontaneous(Destination::Key(identity(3).public_key()))).await.unwrap();
        app.pay(&spontaneous(Destination::Friend("node1".into()))).await.unwrap();
        let refused = app.pay(&spontaneous(Destination::Friend("a\u{1b}[2J".into()))).await.unwrap_err();
        assert!(refused.to_string().starts_with("a name has 1 to 64 bytes"), "{refused}");
        {
            let commands = running.fake.commands.lock().unwrap();
            let [Command::PayFor(app, first), Command::PayFor(_, second), Command::PayFor(_, third)] = &commands[..]
            else {
                panic!("{commands:?}");
            };
            // The server says whose budget it is: nothing that an app sends does.
            assert_eq!(*app, identity(APP).public_key());
            assert_eq!(first.purpose, offst_proto::order::Purpose::Invoice(invoice));
            assert_eq!((first.max_fee, first.timeout_ms), (Some(5.into()), 3_600_000));
            let spontaneous = |destination| offst_proto::order::Purpose::Spontaneous {
                destination,
                currency: "hours".parse().unwrap(),
                amount: 7.into(),
            };
            assert_eq!(second.purpose, spontaneous(offst_proto::order::Destination::Key(identity(3).public_key())));
            assert_eq!(third.purpose, spontaneous(offst_proto::order::Destination::Friend("node1".into())));
        }
        running.fake.commands.lock().unwrap().clear();
        let cycle = Purpose::Rebalance { friend: "node1".into(), currency: "hours".parse().unwrap(), amount: 7.into() };
        let quote = app.quote(&order(cycle.clone())).await.unwrap();
        assert_eq!((quote.amount, &quote.routes[0].parts[0]), (100.into(), &part()));
        let refused = app.quote(&Order { max_fee: Some(0.into()), ..order(cycle.clone()) }).await.unwrap_err();
        assert_eq!(refused.to_string(), "there is no route");
        for perform in [false, true] {
            let report = app.clear(&Currency::default(), perform).await.unwrap();
            assert_eq!((report.cycle, report.payment.is_some()), (Some(part()), perform));
        }
        {
            let commands = running.fake.commands.lock().unwrap();
            let [Command::Quote(asked), _, _, Command::Clear { perform: true, .. }] = &commands[..] else {
                panic!("{commands:?}");
            };
            assert_eq!(asked.purpose, cycle);
        }
        let ended = app.cancel_payment(PaymentId::from_bytes([4; 16])).await.unwrap();
        assert_eq!(ended.status, PaymentStatus::Paid, "too late to cancel");
    })
    .await;
}

#[tokio::test]
async fn selling() {
    with_node("seller", Limits::default(), async |running| {
        let app = app(&running).await;
        let new = NewInvoice {
            amount: 100.into(),
            currency: Currency::default(),
            description: "Two loaves".into(),
            expiry_ms: Some(5000),
        };
        assert_eq!(app.create_invoice(&new).await.unwrap(), signed_invoice(100, "Two loaves"));
        let expected = Command::CreateInvoice {
            amount: 100.into(),
            currency: Currency::default(),
            description: "Two loaves".into(),
            expiry_ms: Some(5000),
        };
        assert_eq!(running.fake.commands.lock().unwrap()[..], [expected]);
        let refused = app.create_invoice(&NewInvoice { expiry_ms: Some(u64::MAX), ..new }).await.unwrap_err();
        assert_eq!(refused.to_string(), "an invoice's expiry is above its bound");
        let id = |number| InvoiceId::from_bytes([number; 16]);
        assert_eq!(app.cancel_invoice(id(1)).await.unwrap(), InvoiceStatus::Cancelled);
        assert_eq!(app.wait_invoice(id(2)).await.unwrap(), InvoiceStatus::Paid, "from the history");
        assert!(matches!(app.wait_invoice(id(99)).await, Err(AppError::Unknown("invoice"))));
    })
    .await;
}

#[tokio::test]
async fn waiting_for_the_money() {
    // Every wait ends at once, so the library must ask again.
    with_node("seller", Limits { wait_ms: 1, ..Limits::default() }, async |running| {
        let app = app(&running).await;
        let invoice_id = InvoiceId::from_bytes([OPEN_INVOICE; 16]);
        let paying = async {
            app.friends().await.unwrap();
            *running.fake.open_invoice.lock().unwrap() = InvoiceStatus::Paid;
        };
        assert_eq!(futures::future::join(app.wait_invoice(invoice_id), paying).await.0.unwrap(), InvoiceStatus::Paid);
    })
    .await;
    // Only the event ends the wait.
    with_node("seller", Limits::default(), async |running| {
        let app = app(&running).await;
        let invoice_id = InvoiceId::from_bytes([OPEN_INVOICE; 16]);
        let paying = async {
            app.friends().await.unwrap();
            *running.fake.open_invoice.lock().unwrap() = InvoiceStatus::Cancelled;
            running.fake.events.send(Event::InvoiceChanged { invoice_id, status: InvoiceStatus::Cancelled }).unwrap();
        };
        let (status, ()) = futures::future::join(app.wait_invoice(invoice_id), paying).await;
        assert_eq!(status.unwrap(), InvoiceStatus::Cancelled);
    })
    .await;
}

#[tokio::test]
async fn configuring() {
    with_node("config", Limits::default(), async |running| {
        let app = app(&running).await;
        let server = fake::server_report(ServerState::Connected).ticket;
        let ticket = FriendTicket { public_key: identity(3).public_key(), relays: vec![server.clone()], address: None };
        let new = NewFriend {
            name: "node1".into(),
            ticket: ticket.clone(),
            balance: -100,
            currency: Currency::default(),
            max_debt: 200.into(),
            open: true,
        };
        let credit = Currency::default();
        let rate = Rate { mul: 5, add: 6.into() };
        app.add_relay("relay0", &server).await.unwrap();
        app.remove_relay("relay0").await.unwrap();
        app.add_index_server("index0", &server).await.unwrap();
        app.remove_index_server("index0").await.unwrap();
        app.add_friend(&new).await.unwrap();
        app.remove_friend("node1", true, false).await.unwrap();
        app.rename_friend("node1", "node2").await.unwrap();
        app.enable_friend("node1").await.unwrap();
        app.disable_friend("node1", true).await.unwrap();
        app.set_friend_open("node1", &credit, true).await.unwrap();
        app.set_friend_max_debt("node1", &credit, Amount::MAX).await.unwrap();
        app.set_friend_rate("node1", &credit, &rate).await.unwrap();
        app.set_friend_contact("node1", &ticket).await.unwrap();
        app.set_auto_clear(true).await.unwrap();
        app.replace_friend_key("node1", &ticket).await.unwrap();
        app.set_auto_write_off("node1", &credit, Amount::MAX).await.unwrap();
        assert_eq!(app.write_off("node1", &credit, Amount::MAX).await.unwrap(), fake::write_off_report(1 << 96));
        let refused = app.write_off("node1", &credit, 0.into()).await.unwrap_err();
        assert_eq!(refused.to_string(), "there is no such friend");
        let refused = app.reset_friend("node1", &credit).await.unwrap_err();
        assert_eq!(refused.to_string(), "there is nothing to reset");
        let name = || "node1".to_owned();
        let expected = [
            Command::AddRelay("relay0".into(), server.clone()),
            Command::RemoveRelay("relay0".into()),
            Command::AddIndex("index0".into(), server),
            Command::RemoveIndex("index0".into()),
            Command::AddFriend(Box::new(offst_proto::order::NewFriend {
                name: name(),
                ticket: ticket.clone(),
                balance: -100,
                currency: credit.clone(),
                max_debt: 200.into(),
                open: true,
            })),
            Command::RemoveFriend { name: name(), force: true, forgive: false },
            Command::RenameFriend(name(), "node2".into()),
            Command::EnableFriend(name()),
            Command::DisableFriend { name: name(), force: true },
            Command::SetFriendOpen(name(), credit.clone(), true),
            Command::SetFriendMaxDebt(name(), credit.clone(), Amount::MAX),
            Command::SetFriendRate(name(), credit.clone(), rate),
            Command::SetFriendContact(name(), ticket.clone()),
            Command::SetAutoClear(true),
            Command::ReplaceFriendKey(name(), ticket),
            Command::SetAutoWriteOff(name(), credit.clone(), Amount::MAX),
            Command::WriteOff { name: name(), currency: credit.clone(), up_to: Amount::MAX },
            Command::WriteOff { name: name(), currency: credit.clone(), up_to: 0.into() },
            Command::ResetFriend(name(), credit),
        ];
        assert_eq!(running.fake.commands.lock().unwrap()[..], expected);
    })
    .await;
}

#[tokio::test]
async fn events() {
    with_node("", Limits { subscriptions_max: 2, ..Limits::default() }, async |running| {
        let app = app(&running).await;
        let subscription = app.subscribe().await.unwrap();
        let event = |number: u32| Event::FriendChanged { name: number.to_string() };
        running.fake.events.send(event(1)).unwrap();
        let news = subscription.next().await.unwrap();
        assert_eq!((news.events, news.lost), (vec![event(1)], false));
        // More than the channel holds.
        for number in 0..100 {
            running.fake.events.send(event(number)).unwrap();
        }
        assert!(subscription.next().await.unwrap().lost);
        let news = subscription.next().await.unwrap();
        assert_eq!(news.events.last(), Some(&event(99)));
        let _second = app.subscribe().await.unwrap();
        let refused = app.subscribe().await.unwrap_err();
        assert!(refused.to_string().contains("too many subscriptions"), "{refused}");
        drop(subscription);
        app.subscribe().await.unwrap();
    })
    .await;
}

// R6.1.
#[tokio::test]
async fn what_was_not_granted_is_denied() {
    with_node("buyer", Limits::default(), async |running| {
        let app = app(&running).await;
        assert_eq!(app.enable_friend("node1").await.unwrap_err().to_string(), "permission denied: config");
        let denied = app.wait_invoice(InvoiceId::from_bytes([1; 16])).await.unwrap_err();
        assert_eq!(denied.to_string(), "permission denied: seller");
        assert!(running.fake.commands.lock().unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn who_may_ask_for_routes_may_not_pay() {
    let cycle =
        || order(Purpose::Rebalance { friend: "node1".into(), currency: Currency::default(), amount: 7.into() });
    with_node("routes", Limits::default(), async |running| {
        let app = app(&running).await;
        assert_eq!(app.quote(&cycle()).await.unwrap().amount, 100);
        assert_eq!(app.pay(&cycle()).await.unwrap_err().to_string(), "permission denied: buyer");
        let refused = app.quote(&Order { max_fee: Some(0.into()), ..cycle() }).await.unwrap_err();
        assert_eq!(refused.to_string(), "there is no route");
    })
    .await;
    with_node("seller,config", Limits::default(), async |running| {
        let app = app(&running).await;
        assert_eq!(app.quote(&cycle()).await.unwrap_err().to_string(), "permission denied: routes");
        assert!(running.fake.commands.lock().unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn strangers_are_told_so() {
    with_node("buyer", Limits::default(), async |running| {
        let refused = connect(&running.ticket, &identity(77)).await.unwrap_err();
        assert!(matches!(refused, AppError::NotTrusted { .. }), "{refused}");
        assert!(refused.to_string().starts_with("this app is not trusted by the node: run `stnode trust "));
        // Another node at the address: nothing is sent.
        let other =
            offst_proto::ticket::ServerTicket { public_key: identity(66).public_key(), ..running.ticket.clone() };
        let refused = connect(&other, &identity(APP)).await.unwrap_err();
        assert!(matches!(refused, AppError::Connect(ConnectError::OtherKey { .. })), "{refused}");
        // Nobody at the address, which is held so that nobody else comes there.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap().to_string().parse().unwrap();
        let nobody = offst_proto::ticket::ServerTicket { address, ..running.ticket.clone() };
        let refused = connect(&nobody, &identity(APP)).await.unwrap_err();
        assert!(refused.to_string().starts_with("cannot connect to 127.0.0.1:"), "{refused}");
    })
    .await;
}

#[tokio::test]
async fn a_node_that_never_answers_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string().parse().unwrap();
    let ticket = offst_proto::ticket::ServerTicket { public_key: identity(1).public_key(), address };
    let connecting = async { connect_within(&ticket, &identity(APP), Duration::from_millis(50)).await };
    let refused = LocalSet::new().run_until(connecting).await.unwrap_err();
    assert!(refused.to_string().ends_with("no answer within 50 ms"), "{refused}");
}

// R6.2.
#[tokio::test]
async fn a_permission_that_is_taken_away_closes_the_connection() {
    with_node("buyer,seller", Limits::default(), async |running| {
        let app = app(&running).await;
        let grant = |granted: &str| {
            let granted: Permissions = granted.parse().unwrap();
            running.grants.send_modify(|all| {
                all.insert(identity(APP).public_key(), granted.into());
            });
        };
        let waiting = app.wait_invoice(InvoiceId::from_bytes([OPEN_INVOICE; 16]));
        grant("buyer,seller,config");
        app.friends().await.unwrap();
        grant("buyer,config");
        let lost = waiting.await.unwrap_err();
        assert!(matches!(lost, AppError::Disconnected(_)), "{lost}");
        let again = connect(&running.ticket, &identity(APP)).await.unwrap();
        again.enable_friend("node1").await.unwrap();
        running.grants.send_replace(Default::default());
        assert!(again.wait_invoice(InvoiceId::from_bytes([OPEN_INVOICE; 16])).await.is_err());
        let refused = connect(&running.ticket, &identity(APP)).await.unwrap_err();
        assert!(matches!(refused, AppError::NotTrusted { .. }), "{refused}");
    })
    .await;
}

#[tokio::test]
async fn calls_that_wait_keep_nobody_out() {
    with_node("seller", Limits { calls_max: 8, waits_max: 5, ..Limits::default() }, async |running| {
        let app = app(&running).await;
        let never = InvoiceId::from_bytes([OPEN_INVOICE; 16]);
        let waiting = futures::future::join_all((0..5).map(|_| app.wait_invoice(never)));
        let surplus = async {
            let error = app.wait_invoice(never).await.unwrap_err();
            assert!(error.to_string().contains("too many calls of this app wait"), "{error}");
            app.friends().await.unwrap();
        };
        futures::future::select(std::pin::pin!(waiting), std::pin::pin!(surplus)).await;
    })
    .await;
}

#[tokio::test]
async fn an_app_that_reads_may_ask_a_lot_at_once() {
    with_node("", Limits { calls_max: 8, unsent_bytes_max: 5000, ..Limits::default() }, async |running| {
        let app = app(&running).await;
        let answers = futures::future::join_all((0..2000).map(|_| app.friends())).await;
        assert!(answers.into_iter().all(|friends| friends.unwrap() == [friend()]));
    })
    .await;
}

#[tokio::test]
async fn calls_can_be_given_up() {
    // Far more than may be unanswered or unfinished at a time.
    let limits = Limits { calls_max: 8, waits_max: 5, wait_ms: 1, unfinished_calls_max: 8, ..Limits::default() };
    with_node("seller", limits, async |running| {
        let app = app(&running).await;
        for _ in 0..200 {
            let waiting = app.wait_invoice(InvoiceId::from_bytes([OPEN_INVOICE; 16]));
            let other = app.friends();
            futures::future::select(std::pin::pin!(waiting), std::pin::pin!(other)).await;
        }
        app.friends().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn the_newest_connections_of_an_app_stay() {
    with_node("", Limits { connections_per_app_max: 2, ..Limits::default() }, async |running| {
        let first = app(&running).await;
        let news = first.subscribe().await.unwrap();
        let second = app(&running).await;
        let third = app(&running).await;
        assert!(matches!(news.next().await, Err(AppError::Disconnected(_))));
        second.friends().await.unwrap();
        third.friends().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_defect_in_one_connection_ends_that_one_only() {
    with_node("config", Limits::default(), async |running| {
        let victim = app(&running).await;
        let other = app(&running).await;
        assert!(victim.enable_friend("panic").await.is_err());
        other.friends().await.unwrap();
        app(&running).await.friends().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_stopping_node_closes_its_connections() {
    with_node("seller", Limits::default(), async |running| {
        let app = app(&running).await;
        let waiting = app.wait_invoice(InvoiceId::from_bytes([OPEN_INVOICE; 16]));
        running.stop.cancel();
        assert!(waiting.await.is_err());
        running.ended.await.unwrap().unwrap();
    })
    .await;
}

/// Every app may ask what it may spend, also one that may not pay.
#[tokio::test]
async fn budgets_are_told() {
    with_node("", Limits::default(), async |running| {
        let app = app(&running).await;
        assert_eq!(app.budgets().await.unwrap(), Some(fake::budgets().to_vec()).into());
    })
    .await;
}
