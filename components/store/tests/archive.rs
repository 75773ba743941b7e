//! What is looked up for friends who have forgotten it: by request, only for the friend it came from, however long ago it was.

use offst_crypto::{Identity, Preimage, PublicKey};
use offst_funder::{Archive, ForwardedPayment, JournalKey, ReceivedPayment};
use offst_proto::Amount;
use offst_proto::report::{ForwardReport, ReceivedReport};
use offst_proto::{InvoiceId, PaymentId, RequestId};
use offst_rows::{Commit, RowChange};
use offst_store::{History, Store};
use std::collections::BTreeSet;

fn key(seed: u8) -> PublicKey {
    Identity::from_seed([seed; 32]).public_key()
}

fn id(byte: u8) -> RequestId {
    RequestId::from_bytes([byte; 16])
}

/// `from`: none if it had been written off.
fn carried(byte: u8, from: Option<u8>, time_ms: u64) -> RowChange {
    let (from, to) = (from.map(key), key(9));
    let currency = "hours".parse().unwrap();
    let report = ForwardReport { request_id: id(byte), from, to, currency, amount: 10.into(), fee: 1.into(), time_ms };
    let key = JournalKey { id: id(byte), payer: report.from };
    RowChange::put(&key, &ForwardedPayment { report, preimage: Preimage::from_bytes([byte; 32]) })
}

fn forwarded(byte: u8, from: u8, time_ms: u64) -> RowChange {
    carried(byte, Some(from), time_ms)
}

fn part(byte: u8, from: u8, time_ms: u64, invoice: Option<u8>) -> ReceivedReport {
    ReceivedReport {
        request_id: id(byte),
        from: key(from),
        payment_id: (byte != 0).then_some(PaymentId::from_bytes([byte; 16])),
        invoice_id: invoice.map(|byte| InvoiceId::from_bytes([byte; 16])),
        currency: "hours".parse().unwrap(),
        amount: Amount::capped(1 << 90),
        time_ms,
    }
}

fn note(report: ReceivedReport) -> RowChange {
    let preimage = Preimage::from_bytes([report.request_id.as_bytes()[0]; 32]);
    let key = JournalKey { id: report.request_id, payer: Some(report.from) };
    RowChange::put(&key, &ReceivedPayment { report, preimage })
}

fn received(byte: u8, from: u8, time_ms: u64) -> RowChange {
    note(part(byte, from, time_ms, Some(7)))
}

#[test]
fn preimages_are_found_for_the_friend_they_came_from() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.db");
    Store::create(&path, key(1)).unwrap();
    let mut store = Store::open(&path, key(1)).unwrap();
    let changes =
        [forwarded(1, 2, 100), received(2, 2, 100), forwarded(3, 3, 100), forwarded(4, 2, 200), received(5, 3, 200)];
    store.commit(&changes).unwrap();
    let history = History::open(&path).unwrap();
    let all: BTreeSet<_> = (1..=6).map(id).collect();
    let found = |from: Option<u8>| -> Vec<u8> {
        let found = history.preimages(from.map(key), &all).unwrap();
        assert!(found.iter().all(|(id, preimage)| preimage.as_bytes()[..16] == id.as_bytes()[..]));
        found.keys().map(|id| id.as_bytes()[0]).collect()
    };
    assert_eq!(found(Some(2)), [1, 2, 4]);
    assert_eq!(found(Some(3)), [3, 5]);
    assert_eq!(found(Some(4)), [0; 0]);
    assert_eq!(found(None), [1, 2, 3, 4, 5]);
    assert!(history.preimages(None, &BTreeSet::new()).unwrap().is_empty());
}

/// Nobody has paid for it: the friend it came from has its credits back, and would collect with the preimage what it does not owe.
#[test]
fn of_what_was_written_off_no_friend_is_told_the_preimage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.db");
    Store::create(&path, key(1)).unwrap();
    let mut store = Store::open(&path, key(1)).unwrap();
    store.commit(&[forwarded(1, 2, 100), carried(2, None, 100)]).unwrap();
    let history = History::open(&path).unwrap();
    let all = BTreeSet::from([id(1), id(2)]);
    let found = |from: Option<u8>| history.preimages(from.map(key), &all).unwrap().into_keys().collect::<Vec<_>>();
    assert_eq!(found(Some(2)), [id(1)]);
    assert_eq!(found(Some(9)), []);
    assert_eq!(found(None), [id(1), id(2)], "this node knows it");
    let forwards = history.forwards(None, 10).unwrap().items;
    assert_eq!(forwards.iter().map(|forward| forward.from).collect::<Vec<_>>(), [None, Some(key(2))]);
}

/// The clock of a node may have been far in the past, or ahead, for a while: nothing is forgotten for it.
#[test]
fn preimages_are_found_whatever_the_clock_has_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.db");
    Store::create(&path, key(1)).unwrap();
    let mut store = Store::open(&path, key(1)).unwrap();
    let changes =
        [forwarded(1, 2, 1_000), received(2, 2, 1_000), forwarded(3, 2, 5), received(4, 2, 4_102_444_800_000)];
    store.commit(&changes).unwrap();
    let history = History::open(&path).unwrap();
    let all: BTreeSet<_> = (1..=4).map(id).collect();
    let found = history.preimages(Some(key(2)), &all).unwrap();
    assert_eq!(found.into_keys().collect::<BTreeSet<_>>(), all);
}

/// "I do not know any more" is not "no": the friend that asks would release what was collected from us.
#[test]
fn a_long_history_is_read_to_its_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.db");
    Store::create(&path, key(1)).unwrap();
    let mut store = Store::open(&path, key(1)).unwrap();
    store.commit(&[forwarded(1, 2, 5), forwarded(3, 2, 5)]).unwrap();
    store.close().unwrap();
    // Rows that are passed over need no checksum of their own.
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "CREATE TEMP TABLE old AS WITH RECURSIVE many (n) AS (SELECT 3 UNION ALL SELECT n + 1 FROM many WHERE n < 20002)
             SELECT * FROM many, journal WHERE number = 2;
             UPDATE old SET number = n; ALTER TABLE old DROP COLUMN n; INSERT INTO journal SELECT * FROM old",
        )
        .unwrap();
    let history = History::open(&path).unwrap();
    let wanted = BTreeSet::from([id(1)]);
    assert_eq!(history.preimages(None, &wanted).unwrap().len(), 1);
    assert_eq!(history.preimages(None, &BTreeSet::from([id(2)])).unwrap().len(), 0);
}

#[test]
fn received_parts_are_listed_from_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.db");
    Store::create(&path, key(1)).unwrap();
    let mut store = Store::open(&path, key(1)).unwrap();
    let parts = [part(0, 2, 5, None), part(1, 2, 6, None), part(2, 3, 7, Some(8))];
    store.commit(&parts.each_ref().map(|part| note(part.clone()))).unwrap();
    let history = History::open(&path).unwrap();
    let first = history.received(None, 2).unwrap();
    assert_eq!(first.items, [parts[2].clone(), parts[1].clone()]);
    let second = history.received(first.next, 2).unwrap();
    assert_eq!((second.items, second.next), (vec![parts[0].clone()], None));
}
