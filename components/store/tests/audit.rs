//! A real database with everything in it, and then one byte or one row of it that is not what it was.

mod machines;

use machines::{Machine, order, pair, pay, replacement, rest, settle, settle_in};
use offst_crypto::{Identity, Preimage, Secret};
use offst_funder::{
    Arrival, Change, Command, Commit, Forward, Input, InvoiceRecord, LineKey, Output, Progress, RecoveryRecord,
    Spending, WriteOff,
};
use offst_ledger::{AccountChange, AccountImage};
use offst_proto::budget::Period;
use offst_proto::invoice::Invoice;
use offst_proto::report::{ForwardReport, InvoiceStatus, ReceivedReport};
use offst_proto::route::{PartPlan, Way};
use offst_proto::ticket::ServerTicket;
use offst_proto::{Currency, InvoiceId, PaymentId, RequestId, Verified};
use offst_store::{Audit, History, Store, StoreError};
use rusqlite::Connection;
use rusqlite::types::Value;
use std::path::{Path, PathBuf};

/// A small generator, so that a run can be repeated.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % bound as u64) as usize
    }
}

/// Friends, payments at every stage, invoices, servers, forwards, operations that wait: rows in every table.
fn full(folder: &Path) -> Machine {
    let mut machines = pair(folder);
    for (id, amount) in [(1, 300), (2, 50), (3, 7)] {
        pay(&mut machines, id, amount);
    }
    rest(&mut machines);
    pay(&mut machines, 4, 20);
    // What is lost on the way leaves payments of both sides requested, answered, committed.
    let mut outputs = Vec::new();
    for (buyer, id) in [(0, 5), (1, 6), (0, 7), (1, 8), (0, 9)] {
        outputs.extend(order(&mut machines, buyer, id, 10 + u128::from(id)));
    }
    settle_in(&mut machines, outputs, 28);
    for side in [0, 1] {
        let friend = machines[1 - side].key;
        machines[side].handle(Input::Disconnected(friend, 1));
    }
    let [mut machine, other] = machines;
    machine.command(Command::SetFriendMaxDebt("friend0".into(), Currency::default(), 4000));
    for amount in [5, 6] {
        let description = format!("tea for {amount}");
        machine.command(Command::CreateInvoice { amount, currency: Currency::default(), description, expiry_ms: None });
    }
    let server = |seed| ServerTicket {
        public_key: Identity::from_seed([seed; 32]).public_key(),
        address: "h:1".parse().unwrap(),
    };
    machine.command(Command::AddRelay("relay0".into(), server(8)));
    machine.command(Command::AddIndex("index0".into(), server(9)));
    let line = LineKey { friend: other.key, currency: Currency::default() };
    let hop = line.hop(RequestId::from_bytes([5; 16]));
    let forward = Forward {
        to: server(8).public_key,
        amount: 7,
        fee: 1,
        patience_ms: 9,
        arrived_ms: 0,
        responded_ms: None,
        counted_ms: 0,
        weight: 0,
    };
    let payment_id = PaymentId::from_bytes([6; 16]);
    let forwarded = ForwardReport {
        request_id: hop.id,
        from: Some(other.key),
        to: server(8).public_key,
        currency: Currency::default(),
        amount: 7,
        fee: 1,
        time_ms: 3,
    };
    let lost = ForwardReport { from: None, to: other.key, fee: 0, ..forwarded.clone() };
    let write_off = WriteOff {
        from: server(8).public_key,
        amount: 7,
        lock: Preimage::from_bytes([1; 32]).lock(),
        is_automatic: true,
    };
    let received = ReceivedReport {
        request_id: hop.id,
        from: other.key,
        payment_id: Some(payment_id),
        invoice_id: None,
        currency: Currency::default(),
        amount: 7,
        time_ms: 3,
    };
    let rows = [
        Change::Forward(hop.clone(), Some(forward)),
        Change::WriteOff(hop.clone(), Some(write_off)),
        Change::Arrival(hop, Some(Arrival { payment_id, invoice_id: None, amount: 7, total: 7, patience_ms: 9 })),
        Change::Tombstone(LineKey { friend: server(9).public_key, currency: Currency::default() }, 12),
        Change::KeyReplacement(replacement(1, server(9).public_key)),
        Change::Forwarded(forwarded, Preimage::from_bytes([1; 32])),
        Change::Forwarded(lost, Preimage::from_bytes([3; 32])),
        Change::Received(received, Preimage::from_bytes([2; 32])),
        Change::Spending(
            server(8).public_key,
            Currency::default(),
            Spending { since_ms: 1, period: Some(Period::Week), until_ms: 9, spent: 500, other: Some((5, 20)) },
        ),
        Change::PeerBackup(other.key, Some(vec![7; 40])),
        Change::Recovery(Some(RecoveryRecord::new(14, false))),
    ];
    machine.store.commit(&rows).unwrap();
    machine
}

/// The closed file of a full database.
fn full_file(folder: &Path) -> (PathBuf, offst_crypto::PublicKey, Vec<u8>) {
    let Machine { key, path, store, .. } = full(folder);
    store.close().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    (path, key, bytes)
}

const TABLES: [&str; 23] = [
    "node",
    "friend",
    "account",
    "head",
    "openings",
    "checkpoint",
    "pending",
    "queued",
    "statement",
    "tombstone",
    "key_replacement",
    "relay",
    "index_server",
    "forward",
    "write_off",
    "arrival",
    "invoice",
    "payment",
    "forwarded",
    "received",
    "peer_backup",
    "recovery",
    "spending",
];

/// Everything that a reader of the database could see of it.
fn content(path: &Path) -> Vec<Vec<Value>> {
    let connection = Connection::open(path).unwrap();
    let rows = |sql: &str| -> Vec<Vec<Value>> {
        let mut statement = connection.prepare(sql).unwrap();
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| (0..columns).map(|column| row.get(column)).collect());
        rows.unwrap().map(Result::unwrap).collect()
    };
    let mut content = rows("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY rowid");
    content.extend(rows("PRAGMA application_id"));
    content.extend(rows("PRAGMA user_version"));
    for table in rows("SELECT name FROM sqlite_schema WHERE type = 'table'") {
        let Value::Text(table) = &table[0] else { unreachable!() };
        content.extend(rows(&format!("SELECT '{table}', * FROM {table}")));
    }
    content
}

fn audit(path: &Path, key: offst_crypto::PublicKey) -> Result<Audit, StoreError> {
    Store::audit(path, key)
}

/// Whether an audit says that something is wrong, or may be, in one way or the other.
fn is_reported(path: &Path, key: offst_crypto::PublicKey) -> bool {
    !audit(path, key).is_ok_and(|audit| audit.is_sound() && audit.notes.is_empty())
}

#[test]
fn a_sound_database_is_sound_and_proven() {
    let folder = tempfile::tempdir().unwrap();
    let (path, key, bytes) = full_file(folder.path());
    let found = audit(&path, key).unwrap();
    assert!(found.is_sound(), "{found:#?}");
    let proven = found.accounts[0].finding.clone().unwrap().unwrap();
    let mut store = Store::open(&path, key).unwrap();
    let funder = offst_funder::Funder::restore(key, store.load().unwrap()).unwrap();
    let (_, account) = funder.accounts().next().unwrap();
    let epoch = account.epoch().unwrap();
    assert_eq!(proven.balance, epoch.balance());
    assert_eq!((proven.local_pending, proven.remote_pending), (epoch.local_pending(), epoch.remote_pending()));
    assert!(proven.local_pending > 0 && proven.remote_pending > 0, "{proven:?}");
    assert!(proven.unsigned > 0 && proven.friend.is_some() && proven.checkpoint.is_some(), "{proven:?}");
    drop(store);
    assert!(std::fs::read(&path).unwrap() == bytes, "an audit changes nothing");
    let other = Identity::from_seed([2; 32]).public_key();
    assert!(matches!(audit(&path, other), Err(StoreError::OtherNode { .. })));
}

#[test]
fn a_name_in_the_schema_that_is_no_text_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let (path, key, _) = full_file(folder.path());
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET name = CAST(name AS BLOB) WHERE name = 'forward'",
        )
        .unwrap();
    drop(connection);
    assert!(is_reported(&path, key));
}

/// Each flipped byte is reported, or nobody who reads the database could see it.
#[test]
fn a_flipped_byte_is_reported_or_means_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (path, key, bytes) = full_file(folder.path());
    let before = content(&path);
    assert!(TABLES.iter().all(|table| before.iter().any(|row| row[0] == Value::Text((*table).into()))));
    let mut dice = Seeded(5);
    let mut unseen = 0;
    let used: Vec<usize> = (0..bytes.len()).filter(|place| bytes[*place] != 0).collect();
    let mut places: Vec<usize> = (0..240).map(|_| used[dice.below(used.len())]).collect();
    places.extend((0..60).map(|_| dice.below(bytes.len())).chain(0..28).chain(40..72));
    for place in &places {
        let mut damaged = bytes.clone();
        damaged[*place] ^= 1 << dice.below(8);
        std::fs::write(&path, &damaged).unwrap();
        if !is_reported(&path, key) {
            assert!(content(&path) == before, "a change of byte {place} was not reported");
            unseen += 1;
        }
    }
    assert!(unseen < places.len() / 2, "{unseen} of {} flipped bytes were not seen", places.len());
}

/// The same for the log that a killed node leaves beside its database.
#[test]
fn a_flipped_byte_in_the_log_is_reported_or_means_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let machine = full(folder.path());
    let copy = folder.path().join("copy.db");
    let log = folder.path().join("copy.db-wal");
    let [bytes, log_bytes] = ["1.db", "1.db-wal"].map(|name| std::fs::read(folder.path().join(name)).unwrap());
    assert!(log_bytes.len() > 10_000);
    let put = |log_bytes: &[u8]| {
        drop(std::fs::remove_file(folder.path().join("copy.db-shm")));
        std::fs::write(&copy, &bytes).unwrap();
        std::fs::write(&log, log_bytes).unwrap();
    };
    put(&log_bytes);
    let found = audit(&copy, machine.key).unwrap();
    assert!(found.is_sound(), "{found:#?}");
    assert!(std::fs::read(&log).unwrap() == log_bytes && std::fs::read(&copy).unwrap() == bytes);
    put(&log_bytes);
    let before = content(&copy);
    let mut dice = Seeded(6);
    // The header, the first frame's and the last frame's headers, and anywhere.
    let last = log_bytes.len() - 4096 - 24;
    let places: Vec<usize> =
        (0..56).chain(last..last + 24).chain((0..150).map(|_| dice.below(log_bytes.len()))).collect();
    for place in places {
        let mut damaged = log_bytes.clone();
        damaged[place] ^= 1 << dice.below(8);
        put(&damaged);
        if !is_reported(&copy, machine.key) {
            put(&damaged);
            assert!(content(&copy) == before, "a change of byte {place} was not reported");
        }
    }
}

/// What a hand changes with an SQL editor.
#[test]
fn an_edited_row_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let (path, key, bytes) = full_file(folder.path());
    for sql in [
        "UPDATE head SET value = CAST(substr(value, 1, 60) || x'07' || substr(value, 62) AS BLOB)",
        "UPDATE friend SET record = CAST(replace(record, 'friend0', 'friend1') AS BLOB)",
        "UPDATE pending SET direction = 1 - direction",
        "UPDATE pending SET value = CAST(x'0000000000000000000000000000000b' || substr(value, 17) AS BLOB)",
        "UPDATE tombstone SET epoch = epoch + 1",
        "UPDATE key_replacement SET lost = zeroblob(32)",
        "UPDATE relay SET name = 'relay1'",
        "UPDATE relay SET address = 'evil:1'",
        "UPDATE payment SET is_open = 1 - is_open",
        "UPDATE invoice SET number = number + 10",
        "UPDATE forwarded SET number = number + 10",
        "UPDATE forwarded SET fee = x'00000000000000000000000000000000'",
        "UPDATE statement SET seq = seq + 1 WHERE seq = (SELECT max(seq) FROM statement WHERE mine = 1) AND mine = 1",
        "DELETE FROM statement WHERE mine = 0",
        "DELETE FROM statement WHERE seq = (SELECT max(seq) FROM statement WHERE mine = 1) AND mine = 1",
        "DELETE FROM pending",
        "DELETE FROM openings",
        "DELETE FROM checkpoint",
        "DELETE FROM head",
        "DELETE FROM account",
        "DELETE FROM friend",
        "DELETE FROM node",
        "INSERT INTO friend SELECT zeroblob(32), record, checksum FROM friend",
        "DROP INDEX payment_open",
        "CREATE TRIGGER t AFTER INSERT ON payment BEGIN DELETE FROM pending; END",
        "ALTER TABLE friend ADD COLUMN more INTEGER",
        "PRAGMA user_version = 0",
        "PRAGMA application_id = 1",
    ] {
        std::fs::write(&path, &bytes).unwrap();
        let before = content(&path);
        Connection::open(&path).unwrap().execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert!(content(&path) != before, "{sql} changes something");
        assert!(is_reported(&path, key), "{sql}");
    }
}

/// Whoever knows how can compute checksums anew. Then the signatures are against him: whatever he makes of an account's rows, its
/// balance and frozen credits are what was proven, or the audit says whose signature contradicts.
#[test]
fn changed_rows_with_right_checksums_prove_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (path, key, bytes) = full_file(folder.path());
    let proven = |path: &Path| {
        let found = audit(path, key).unwrap();
        assert!(found.faults.iter().all(|fault| !fault.contains("not what was written")), "{found:?}");
        found.is_sound().then(|| found.accounts[0].finding.clone().unwrap().unwrap())
    };
    let before = proven(&path).unwrap();
    let image = Store::open(&path, key).unwrap().load().unwrap();
    let (line, rows) = image.accounts[0].clone();
    let mut dice = Seeded(7);
    let parts: [fn(&mut AccountImage) -> &mut Vec<u8>; 4] = [
        |image| &mut image.head,
        |image| &mut image.negotiation,
        |image| &mut image.openings,
        |image| &mut image.checkpoint,
    ];
    let mut unseen = 0;
    for run in 0..150 {
        let mut changed = rows.clone();
        let change = match run % 6 {
            part @ 0..4 => {
                let bytes = parts[part](&mut changed);
                let place = dice.below(bytes.len());
                bytes[place] ^= 1 << dice.below(8);
                let bytes = bytes.clone();
                match part {
                    0 => AccountChange::Head(bytes),
                    1 => AccountChange::Negotiation(bytes),
                    2 => AccountChange::Openings(bytes),
                    _ => AccountChange::Checkpoint(bytes),
                }
            }
            4 => {
                let (direction, id, mut pending) = changed.pendings[dice.below(changed.pendings.len())];
                pending.amount ^= 1 << dice.below(8);
                AccountChange::Pending(direction, id, Some(pending))
            }
            _ => {
                let (direction, id, _) = changed.pendings[dice.below(changed.pendings.len())];
                AccountChange::Pending(direction, id, None)
            }
        };
        std::fs::write(&path, &bytes).unwrap();
        let mut store = Store::open(&path, key).unwrap();
        store.load().unwrap();
        store.commit(&[Change::Account(line.clone(), vec![change])]).unwrap();
        store.close().unwrap();
        if let Some(after) = proven(&path) {
            // What no signature covers: our own wishes, and what we know of the other side's window.
            assert_eq!(after, before, "run {run}");
            unseen += 1;
        }
    }
    assert!(unseen < 30, "{unseen} changes were taken");
}

/// A mediator may have given a part away that the seller did not wait for: the payment is paid, and there is no receipt.
#[test]
fn a_payment_that_is_paid_without_a_receipt_is_sound() {
    let folder = tempfile::tempdir().unwrap();
    let mut machines = pair(folder.path());
    let outputs = order(&mut machines, 0, 1, 300);
    let ways = outputs.into_iter().find_map(|(_, output)| match output {
        Output::FindWays(payment, query) => {
            let part = PartPlan { route: vec![query.destination], amount: query.amount / 2, fees: 0 };
            Some(Input::Ways(payment, Ok(vec![Way { parts: vec![part.clone(), part] }])))
        }
        _ => None,
    });
    let outputs = machines[0].handle(ways.unwrap());
    settle(&mut machines, outputs.into_iter().map(|output| (0, output)).collect());
    let [Machine { key, path, mut store, .. }, _] = machines;
    let mut payment = History::open(&path).unwrap().payment(PaymentId::from_bytes([1; 16])).unwrap().unwrap();
    assert_eq!((payment.progress, payment.parts.len()), (Progress::Paid, 2));
    let mut finds = |payment: &offst_funder::Payment| {
        store.commit(&[Change::Payment(payment.clone())]).unwrap();
        Store::audit(&path, key).unwrap().faults
    };
    assert_eq!(finds(&payment), [""; 0]);
    let (released, _) = payment.parts.pop_first().unwrap();
    assert_eq!(finds(&payment), [""; 0]);
    // What is left has to be collected, and signed for.
    let id = *payment.parts.keys().next().unwrap();
    let mut foreign = payment.clone();
    foreign.parts = [(released, payment.parts[&id].clone())].into();
    assert_eq!(finds(&foreign).len(), 1);
    let mut open = payment.clone();
    open.parts.get_mut(&id).unwrap().preimage = None;
    assert_eq!(finds(&open).len(), 1);
    payment.parts.clear();
    assert_eq!(finds(&payment).len(), 1);
}

/// Somebody else's invoice, with somebody else's valid signature, is none that this node could be paid by.
#[test]
fn an_invoice_of_somebody_else_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let Machine { key, path, mut store, .. } = full(folder.path());
    let other = Identity::from_seed([77; 32]);
    let invoice = |number: u8| Invoice {
        id: InvoiceId::from_bytes([number; 16]),
        destination: other.public_key(),
        currency: Currency::default(),
        amount: 5,
        description: "tea".into(),
        expires_ms: None,
        secret: Secret::from_bytes([number; 32]),
    };
    assert_eq!(Store::audit(&path, key).unwrap().faults, [""; 0]);
    let record = |invoice| InvoiceRecord { invoice, status: InvoiceStatus::Open, created_ms: 1 };
    store.commit(&[Change::Invoice(record(Verified::sign(invoice(9), &other)))]).unwrap();
    let faults = Store::audit(&path, key).unwrap().faults;
    assert!(matches!(&faults[..], [fault] if fault.contains("does not bear our signature")), "{faults:?}");
}
