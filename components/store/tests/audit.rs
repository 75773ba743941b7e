//! A real database with everything in it, and then one byte or one row of it that is not what it was.

mod machines;

use machines::{Machine, chain, order, pair, pay, replacement, rest, settle, settle_in, settle_while};
use offst_crypto::{Identity, Preimage, PublicKey, Secret};
use offst_funder::{
    AccountId, Command, Forward, ForwardedPayment, FriendRecord, Funder, InboundPart, Input, InvoiceRecord, JournalKey,
    Output, PEER_BACKUPS, Payment, Progress, ReceivedPayment, RecoveryRecord, Replacement, Settings, Spending,
    Tombstone, WriteOff,
};
use offst_ledger::{ACCOUNTS, CHECKPOINTS, Direction, NEGOTIATIONS, OPENINGS, PENDING_REQUESTS, Pending, RequestRef};
use offst_proto::Amount;
use offst_proto::budget::Period;
use offst_proto::invoice::Invoice;
use offst_proto::report::{ForwardReport, InvoiceStatus, ReceivedReport};
use offst_proto::route::{PartPlan, Route};
use offst_proto::ticket::ServerTicket;
use offst_proto::{Currency, InvoiceId, PaymentId, Rate, RequestId, Verified};
use offst_rows::{Commit, Keeping, Kind, Row, RowChange, RowKey};
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

/// Friends, payments at every stage, invoices, servers, forwards, operations that wait: rows of every kind.
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
    machine.command(Command::SetFriendMaxDebt("friend0".into(), Currency::default(), 4000.into()));
    for amount in [5, 6] {
        let description = format!("tea for {amount}");
        machine.command(Command::CreateInvoice {
            amount: amount.into(),
            currency: Currency::default(),
            description,
            expiry_ms: None,
        });
    }
    let server = |seed| ServerTicket {
        public_key: Identity::from_seed([seed; 32]).public_key(),
        address: "h:1".parse().unwrap(),
    };
    machine.command(Command::AddRelay("relay0".into(), server(8)));
    machine.command(Command::AddIndex("index0".into(), server(9)));
    let account = AccountId { friend: other.key, currency: Currency::default() };
    let request = account.request(RequestId::from_bytes([5; 16]));
    let forward = Forward::new(server(8).public_key, 7.into(), 1.into(), 9, 0);
    let payment_id = PaymentId::from_bytes([6; 16]);
    let forwarded = ForwardReport {
        request_id: request.id,
        from: Some(other.key),
        to: server(8).public_key,
        currency: Currency::default(),
        amount: 7.into(),
        fee: 1.into(),
        time_ms: 3,
    };
    let lost = ForwardReport { from: None, to: other.key, fee: 0.into(), ..forwarded.clone() };
    let write_off = WriteOff {
        from: server(8).public_key,
        held: 7.into(),
        lock: Preimage::from_bytes([1; 32]).lock(),
        is_automatic: true,
    };
    let received = ReceivedReport {
        request_id: request.id,
        from: other.key,
        payment_id: Some(payment_id),
        invoice_id: None,
        currency: Currency::default(),
        amount: 7.into(),
        time_ms: 3,
    };
    let preimage = |byte| Preimage::from_bytes([byte; 32]);
    let collected = |report: ForwardReport, byte| {
        let key = JournalKey { id: report.request_id, payer: report.from };
        RowChange::put(&key, &ForwardedPayment { report, preimage: preimage(byte) })
    };
    let rows = [
        RowChange::put(&request, &forward),
        RowChange::put(&request, &write_off),
        RowChange::put(
            &request,
            &InboundPart { payment_id, invoice_id: None, amount: 7.into(), total: 7.into(), patience_ms: 9 },
        ),
        RowChange::put(&AccountId::new(server(9).public_key, &Currency::default()), &Tombstone { epoch: 12 }),
        RowChange::put(&server(9).public_key, &Replacement(replacement(1, server(9).public_key))),
        RowChange::put(&(), &Settings { auto_clear: true }),
        collected(forwarded, 1),
        collected(lost, 3),
        RowChange::put(
            &JournalKey { id: request.id, payer: Some(other.key) },
            &ReceivedPayment { report: received, preimage: preimage(2) },
        ),
        RowChange::put(
            &(server(8).public_key, Currency::default()),
            &Spending { since_ms: 1, period: Some(Period::Week), until_ms: 9, spent: 500, other: Some((5, 20)) },
        ),
        RowChange::bytes(PEER_BACKUPS, other.key.to_bytes(), Some(vec![7; 40])),
        // So nobody asks yet what belongs together.
        RowChange::put(&(), &RecoveryRecord::new(14, false)),
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

const TABLES: [&str; 7] = ["node", "kind", "state", "log", "listed", "journal", "shelf"];

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

/// What an audit says of a node that recovers what it has lost.
const RECOVERS: &str = "the node recovers what it has lost: which requests belong together is known when that is over";

/// Whether an audit says that something is wrong, or may be, in one way or the other.
fn is_reported(path: &Path, key: offst_crypto::PublicKey) -> bool {
    !audit(path, key).is_ok_and(|audit| audit.is_sound() && audit.notes.iter().all(|note| note == RECOVERS))
}

#[test]
fn a_sound_database_is_sound_and_proven() {
    let folder = tempfile::tempdir().unwrap();
    let (path, key, bytes) = full_file(folder.path());
    let found = audit(&path, key).unwrap();
    assert!(found.is_sound(), "{found:#?}");
    let proven = found.accounts[0].finding.clone().unwrap().unwrap();
    let store = Store::open(&path, key).unwrap();
    let funder = Funder::restore(key, store.load().unwrap()).unwrap();
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
            "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET name = CAST(name AS BLOB) WHERE name = 'journal'",
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
        "UPDATE state SET value = CAST(substr(value, 1, 60) || x'07' || substr(value, 62) AS BLOB) WHERE kind = 2",
        "UPDATE state SET value = CAST(replace(value, 'friend0', 'friend1') AS BLOB) WHERE kind = 16",
        "UPDATE state SET kind = 28 WHERE kind = 40",
        "UPDATE state SET key = CAST(key || x'00' AS BLOB) WHERE kind = 10",
        "UPDATE state SET key = zeroblob(32) WHERE kind = 20",
        "UPDATE state SET key = CAST('relay1' AS BLOB) WHERE kind = 22",
        "UPDATE state SET checksum = checksum + 1 WHERE kind = 40",
        "UPDATE listed SET has_ended = 1 - has_ended",
        "UPDATE listed SET number = number + 10",
        "UPDATE journal SET number = number + 10",
        "UPDATE journal SET value = zeroblob(60)",
        "UPDATE shelf SET value = zeroblob(60)",
        "UPDATE log SET value = zeroblob(60)",
        "UPDATE kind SET rows = rows + 1 WHERE number = 4",
        "UPDATE kind SET sum = sum + 1 WHERE number = 4",
        "UPDATE kind SET name = 'others' WHERE number = 4",
        "UPDATE kind SET kept_in = 'log' WHERE number = 4",
        "DELETE FROM kind",
        "DELETE FROM state",
        "DELETE FROM log",
        "DELETE FROM listed",
        "DELETE FROM journal",
        "DELETE FROM shelf",
        "DELETE FROM node",
        "INSERT INTO state SELECT kind, zeroblob(32), value, checksum FROM state WHERE kind = 16",
        "DROP INDEX listed_open",
        "CREATE TRIGGER t AFTER INSERT ON listed BEGIN DELETE FROM state; END",
        "ALTER TABLE state ADD COLUMN more INTEGER",
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

/// Somebody who knows how can compute checksums anew. Then the signatures are against them: whatever they make of an
/// account's rows, its balance and its pending credits are what was proven, or the audit says whose signature
/// contradicts.
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
    let rows = Store::open(&path, key).unwrap().load().unwrap();
    let account = offst_ledger::stored_accounts(&rows).unwrap().remove(0).to_bytes();
    let pendings: Vec<_> = rows.with_prefix(PENDING_REQUESTS, &account).collect();
    let mut dice = Seeded(7);
    let kinds = [ACCOUNTS, NEGOTIATIONS, OPENINGS, CHECKPOINTS];
    let mut unseen = 0;
    for run in 0..150 {
        let (request, pending) = pendings[dice.below(pendings.len())];
        let change = match run % 6 {
            part @ 0..4 => {
                let mut bytes = rows.get(kinds[part], &account).unwrap().to_vec();
                let place = dice.below(bytes.len());
                bytes[place] ^= 1 << dice.below(8);
                RowChange::bytes(kinds[part], account.clone(), Some(bytes))
            }
            4 => {
                // The lowest byte of the amount, behind a tag and a length.
                let mut bytes = pending.to_vec();
                bytes[2 + 15] ^= 1 << dice.below(8);
                RowChange::bytes(PENDING_REQUESTS, request.to_vec(), Some(bytes))
            }
            _ => RowChange::bytes(PENDING_REQUESTS, request.to_vec(), None),
        };
        std::fs::write(&path, &bytes).unwrap();
        let mut store = Store::open(&path, key).unwrap();
        store.commit(&[change]).unwrap();
        store.close().unwrap();
        if let Some(after) = proven(&path) {
            // What no signature covers: our own wishes, and what we know of the other side's window.
            assert_eq!(after, before, "run {run}");
            unseen += 1;
        }
    }
    assert!(unseen < 30, "{unseen} changes were taken");
}

/// A mediator may have given a part away that the seller did not wait for: the payment is paid, and there is no
/// receipt.
#[test]
fn a_payment_that_is_paid_without_a_receipt_is_sound() {
    let folder = tempfile::tempdir().unwrap();
    let mut machines = pair(folder.path());
    let outputs = order(&mut machines, 0, 1, 300);
    let routes = outputs.into_iter().find_map(|(_, output)| match output {
        Output::FindRoutes(payment, query) => {
            let part = PartPlan {
                path: vec![query.destination],
                amount: Amount::capped(query.amount.credits() / 2),
                fees: 0.into(),
            };
            Some(Input::Routes(payment, Ok(vec![Route { parts: vec![part.clone(), part] }])))
        }
        _ => None,
    });
    let outputs = machines[0].handle(routes.unwrap());
    settle(&mut machines, outputs.into_iter().map(|output| (0, output)).collect());
    let [Machine { key, path, mut store, .. }, _] = machines;
    let mut payment = History::open(&path).unwrap().payment(PaymentId::from_bytes([1; 16])).unwrap().unwrap();
    assert_eq!((payment.progress, payment.parts.len()), (Progress::Paid, 2));
    let mut finds = |payment: &Payment| {
        store.commit(&[RowChange::put(&payment.id, payment)]).unwrap();
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
        amount: 5.into(),
        description: "tea".into(),
        expires_ms: None,
        secret: Secret::from_bytes([number; 32]),
    };
    assert_eq!(Store::audit(&path, key).unwrap().faults, [""; 0]);
    let record = |invoice| InvoiceRecord { invoice, status: InvoiceStatus::Open, created_ms: 1 };
    let id = InvoiceId::from_bytes([9; 16]);
    store.commit(&[RowChange::put(&id, &record(Verified::sign(invoice(9), &other)))]).unwrap();
    let faults = Store::audit(&path, key).unwrap().faults;
    assert!(matches!(&faults[..], [fault] if fault.contains("does not bear our signature")), "{faults:?}");
}

/// The kinds that a database holds, and one row of each: how it is kept, its key, its value, and whether it has ended.
fn one_row_of_each_kind(path: &Path) -> Vec<(Kind, Vec<u8>, Vec<u8>, bool)> {
    let connection = Connection::open(path).unwrap();
    let mut statement = connection.prepare("SELECT number, name, kept_in FROM kind WHERE rows > 0").unwrap();
    let kinds = statement.query_map([], |row| {
        let keeping = match row.get::<_, String>(2)?.as_str() {
            "state" => Keeping::State,
            "log" => Keeping::Log,
            "listed" => Keeping::Listed,
            "journal" => Keeping::Journal,
            _ => Keeping::Shelf,
        };
        Ok((Kind { number: row.get(0)?, name: row.get::<_, String>(1)?.leak(), keeping }, row.get::<_, String>(2)?))
    });
    let row = |(kind, table): (Kind, String)| {
        let ended = if kind.keeping == Keeping::Listed { "has_ended" } else { "0" };
        let sql = format!("SELECT key, value, {ended} FROM {table} WHERE kind = ?1 ORDER BY key LIMIT 1");
        let row = connection.query_row(&sql, [kind.number], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        let (key, value, has_ended) = row.unwrap();
        (kind, key, value, has_ended)
    };
    kinds.unwrap().map(Result::unwrap).map(row).collect()
}

fn table(kind: Kind) -> &'static str {
    match kind.keeping {
        Keeping::State => "state",
        Keeping::Log => "log",
        Keeping::Listed => "listed",
        Keeping::Journal => "journal",
        Keeping::Shelf => "shelf",
    }
}

/// The node was killed, so that no seal tells of it; and every row that is left is what was written.
#[test]
fn a_row_of_any_kind_that_is_gone_is_reported_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let (path, key, bytes) = full_file(folder.path());
    let rows = one_row_of_each_kind(&path);
    let numbers: Vec<u16> = rows.iter().map(|(kind, ..)| kind.number).collect();
    assert_eq!(numbers, (2..=46).step_by(2).collect::<Vec<_>>(), "a row of every kind");
    for (kind, row, ..) in rows {
        std::fs::write(&path, &bytes).unwrap();
        assert!(!is_reported(&path, key), "sound before");
        let sql = format!("DELETE FROM {} WHERE kind = ?1 AND key = ?2", table(kind));
        let gone = Connection::open(&path).unwrap().execute(&sql, rusqlite::params![kind.number, row]).unwrap();
        assert!(gone > 0);
        let faults = audit(&path, key).unwrap().faults;
        assert!(
            faults.iter().any(|fault| fault.starts_with(&format!("rows of {} are missing", kind.name))),
            "{faults:?}"
        );
    }
}

/// A row of an older transaction is put back, with the checksum that it had.
#[test]
fn a_row_of_any_kind_that_is_older_than_the_rest_is_reported_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let (path, key, bytes) = full_file(folder.path());
    let older = folder.path().join("older.db");
    for (kind, row, value, has_ended) in one_row_of_each_kind(&path) {
        // What is only ever added has no older value.
        if kind.keeping == Keeping::Journal {
            continue;
        }
        std::fs::write(&path, &bytes).unwrap();
        let mut store = Store::open(&path, key).unwrap();
        let mut before = value.clone();
        before.push(1);
        let change =
            |value: &[u8]| RowChange { has_ended, ..RowChange::bytes(kind, row.clone(), Some(value.to_vec())) };
        store.commit(&[change(&before)]).unwrap();
        drop(std::fs::remove_file(&older));
        Store::copy(&path, key, &older).unwrap();
        store.commit(&[change(&value)]).unwrap();
        store.close().unwrap();
        assert!(!is_reported(&path, key), "sound before");
        let table = table(kind);
        let connection = Connection::open(&path).unwrap();
        connection.execute("ATTACH ?1 AS older", [older.to_str().unwrap()]).unwrap();
        let sql = format!("REPLACE INTO {table} SELECT * FROM older.{table} WHERE kind = ?1 AND key = ?2");
        connection.execute(&sql, rusqlite::params![kind.number, row]).unwrap();
        drop(connection);
        let faults = audit(&path, key).unwrap().faults;
        let said = format!("rows of {} are older than the rest", kind.name);
        assert!(faults.iter().any(|fault| fault.starts_with(&said)), "{faults:?}");
    }
}

/// A request that is committed on the account with a friend.
fn committed(machine: &Machine, friend: PublicKey, wanted: Direction) -> Option<(RequestRef, Pending)> {
    let mut accounts = machine.funder.as_ref().unwrap().accounts();
    let (_, account) = accounts.find(|(key, _)| *key == friend)?;
    let mut pendings = account.epoch()?.pendings();
    let found = pendings.find(|(route, _, pending)| *route == wanted && pending.stage.is_committed());
    found.map(|(_, id, pending)| (account.key().id().request(id), *pending))
}

/// Rows that are whole, and counted: only what they say does not belong together.
#[test]
fn each_committed_request_belongs_to_something() {
    let folder = tempfile::tempdir().unwrap();
    let mut machines = chain(folder.path());
    let keys = machines.each_ref().map(|machine| machine.key);
    let outputs = machines[0].order(keys[2], 5, 20).into_iter().map(|output| (0, output)).collect();
    settle_while(&mut machines, outputs, |machines| {
        committed(&machines[1], keys[0], Direction::Incoming).is_none()
            || committed(&machines[1], keys[2], Direction::Outgoing).is_none()
    });
    let [mut buyer, mut mediator, seller] = machines;
    // A payment of ours.
    assert_eq!(finds(&mut buyer, &[]), [""; 0]);
    let (_, payment) = buyer.store.load().unwrap().read::<Payment>().unwrap().remove(0);
    let ended = Payment { progress: Progress::Failed, ..payment.clone() };
    let faults = finds(&mut buyer, &[RowChange::put(&payment.id, &ended)]);
    let [fault] = &faults[..] else { panic!("{faults:?}") };
    assert!(fault.contains("no forward, no payment and no write-off") && fault.contains("\"node1\""), "{fault}");
    assert_eq!(finds(&mut buyer, &[RowChange::put(&payment.id, &payment)]), [""; 0]);
    // What is carried on. The friend that it came from has committed it, and the friend that it went to may collect it.
    assert_eq!(finds(&mut mediator, &[]), [""; 0]);
    let (incoming, from) = committed(&mediator, keys[0], Direction::Incoming).unwrap();
    let (outgoing, to) = committed(&mediator, keys[2], Direction::Outgoing).unwrap();
    let (_, forward) = mediator.store.load().unwrap().read::<Forward>().unwrap().remove(0);
    let faults = finds(&mut mediator, &[RowChange::remove::<Forward>(&incoming)]);
    assert!(
        matches!(&faults[..], [one, other] if one.contains("\"node0\"") != other.contains("\"node0\"")),
        "{faults:?}"
    );
    assert!(faults.iter().any(|fault| fault.contains("no forward and no payment to us")), "{faults:?}");
    // The owner might have written it off, and it might end here.
    let write_off = WriteOff { from: keys[0], held: to.held, lock: to.stage.lock().unwrap(), is_automatic: false };
    let inbound_part =
        InboundPart { payment_id: payment.id, invoice_id: None, amount: from.held, total: from.held, patience_ms: 9 };
    let instead = [RowChange::put(&outgoing, &write_off), RowChange::put(&incoming, &inbound_part)];
    assert_eq!(finds(&mut mediator, &instead), [""; 0]);
    // Rows of no request, and of another amount.
    let back = [
        RowChange::remove::<WriteOff>(&outgoing),
        RowChange::remove::<InboundPart>(&incoming),
        RowChange::put(&incoming, &forward),
    ];
    assert_eq!(finds(&mut mediator, &back), [""; 0]);
    let nobody = |request: &RequestRef| request.account.request(RequestId::from_bytes([77; 16]));
    let (no_incoming, no_outgoing) = (nobody(&incoming), nobody(&outgoing));
    for (put, undo, words) in [
        (RowChange::put(&no_incoming, &forward), RowChange::remove::<Forward>(&no_incoming), "the forward"),
        (
            RowChange::put(&no_incoming, &inbound_part),
            RowChange::remove::<InboundPart>(&no_incoming),
            "the inbound part",
        ),
        (RowChange::put(&no_outgoing, &write_off), RowChange::remove::<WriteOff>(&no_outgoing), "the write-off"),
        (
            RowChange::put(&incoming, &Forward { fee: 70.into(), ..forward.clone() }),
            RowChange::put(&incoming, &forward),
            "is not of the amount",
        ),
    ] {
        let faults = finds(&mut mediator, &[put]);
        assert!(matches!(&faults[..], [fault] if fault.contains(words)), "{faults:?}");
        assert_eq!(finds(&mut mediator, &[undo]), [""; 0]);
    }
    // While the node recovers, it finds out what belongs together.
    let recovers = [RowChange::put(&(), &RecoveryRecord::new(14, false)), RowChange::remove::<Forward>(&incoming)];
    assert_eq!(finds(&mut mediator, &recovers), [""; 0]);
    drop(seller);
}

/// What an audit says after rows were written.
fn finds(machine: &mut Machine, changes: &[RowChange]) -> Vec<String> {
    machine.store.commit(changes).unwrap();
    machine.store.load().unwrap();
    audit(&machine.path, machine.key).unwrap().faults
}

/// Written by a version that is not there yet: a field of a friend, and a kind of row.
#[test]
fn what_a_newer_version_has_written_stays_or_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let [mut machine, other] = pair(folder.path());
    const MOODS: Kind = Kind::state(2001, "moods");
    let stored = |path: &Path, kind: Kind, key: &[u8]| -> Vec<u8> {
        let sql = "SELECT value FROM state WHERE kind = ?1 AND key = ?2";
        Connection::open(path).unwrap().query_row(sql, rusqlite::params![kind.number, key], |row| row.get(0)).unwrap()
    };
    let key = other.key.to_bytes();
    let known = stored(&machine.path, FriendRecord::KIND, &key);
    // A field with the tag 201, of two bytes.
    let newer = [&known[..], &[201, 2, 5, 6]].concat();
    machine
        .store
        .commit(&[
            RowChange::bytes(FriendRecord::KIND, key.clone(), Some(newer)),
            RowChange::bytes(MOODS, vec![1], Some(vec![3, 1, 7])),
        ])
        .unwrap();
    machine.reload();
    machine.handle(Input::Start);
    let rate =
        machine.command(Command::SetFriendRate("friend0".into(), Currency::default(), Rate { mul: 7, add: 3.into() }));
    assert!(!rate.is_empty());
    machine.reload();
    let after = stored(&machine.path, FriendRecord::KIND, &key);
    assert!(after != known && after.ends_with(&[201, 2, 5, 6]), "{after:?}");
    assert_eq!(stored(&machine.path, MOODS, &[1]), [3, 1, 7]);
    let found = audit(&machine.path, machine.key).unwrap();
    assert!(found.is_sound(), "{found:?}");
    let says = |words: &str| found.notes.iter().any(|note| note.contains(words));
    assert!(says("rows of friends") && says("rows of moods"), "{found:?}");
    // What must not be ignored.
    let refused = [
        RowChange::bytes(FriendRecord::KIND, key.clone(), Some([&known[..], &[202, 0]].concat())),
        RowChange::bytes(Kind::state(2002, "laws"), vec![1], Some(vec![])),
        RowChange::bytes(Kind::journal(2004, "deeds"), vec![1], Some(vec![])),
    ];
    let undo = [
        RowChange::bytes(FriendRecord::KIND, key, Some(known)),
        RowChange::bytes(Kind::state(2002, "laws"), vec![1], None),
    ];
    for change in refused {
        machine.store.commit(&[change]).unwrap();
        let loaded = machine.store.load();
        let error = match loaded {
            Ok(rows) => Funder::restore(machine.key, rows).unwrap_err().to_string(),
            Err(error) => error.to_string(),
        };
        assert!(error.contains("use the version that has written the database"), "{error}");
        let faults = audit(&machine.path, machine.key).unwrap().faults;
        assert!(faults.iter().any(|fault| fault.contains("use the version")), "{faults:?}");
        machine.store.commit(&undo).unwrap();
    }
}
