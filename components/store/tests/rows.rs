//! Rows of kinds that nobody knows but this test: what is written is what is loaded, and a row that is changed, gone,
//! doubled, or older than the rest is told by the name of its kind.

use offst_crypto::{Identity, PublicKey};
use offst_rows::{Commit, Kind, RowChange, Rows};
use offst_store::{Store, StoreError};
use rusqlite::Connection;
use std::path::{Path, PathBuf};

// Odd, so that a program that does not know them leaves them alone.
const NOTES: Kind = Kind::state(1001, "notes");
const LINES: Kind = Kind::log(1003, "lines");
const TASKS: Kind = Kind::listed(1005, "tasks");
const VISITS: Kind = Kind::journal(1007, "visits");
const PARCELS: Kind = Kind::shelf(1009, "parcels");
const KINDS: [Kind; 5] = [NOTES, LINES, TASKS, VISITS, PARCELS];

fn node() -> PublicKey {
    Identity::from_seed([1; 32]).public_key()
}

fn put(kind: Kind, key: u8, value: u8) -> RowChange {
    RowChange::bytes(kind, vec![key], Some(vec![value; 3]))
}

fn remove(kind: Kind, key: u8) -> RowChange {
    RowChange::bytes(kind, vec![key], None)
}

fn ended(change: RowChange) -> RowChange {
    RowChange { has_ended: true, ..change }
}

fn new_store(folder: &Path) -> (PathBuf, Store) {
    let path = folder.join("node.db");
    Store::create(&path, node()).unwrap();
    let store = Store::open(&path, node()).unwrap();
    (path, store)
}

/// What the disk of tests makes of the same changes.
fn expected(transactions: &[Vec<RowChange>]) -> Rows {
    let mut rows = Rows::default();
    transactions.iter().flatten().for_each(|change| rows.apply(change));
    rows
}

fn transactions() -> Vec<Vec<RowChange>> {
    let all = |key, value| KINDS.map(|kind| put(kind, key, value)).to_vec();
    vec![
        all(1, 1),
        all(2, 1),
        all(2, 2),
        all(3, 1),
        vec![remove(NOTES, 1), remove(LINES, 1), remove(PARCELS, 1), ended(put(TASKS, 1, 9))],
        // What is not there cannot go, and what comes and goes in one transaction was never there.
        vec![remove(NOTES, 77), remove(PARCELS, 77), put(NOTES, 9, 1), put(NOTES, 9, 2), remove(NOTES, 9)],
        vec![remove(LINES, 3), put(LINES, 3, 7), put(LINES, 2, 8), put(TASKS, 4, 1), ended(put(TASKS, 4, 2))],
    ]
}

#[test]
fn what_is_committed_is_what_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let (path, mut store) = new_store(folder.path());
    let transactions = transactions();
    for count in 1..=transactions.len() {
        store.commit(&transactions[count - 1]).unwrap();
        assert_eq!(store.load().unwrap(), expected(&transactions[..count]), "after {count}");
    }
    store.close().unwrap();
    assert_eq!(Store::open(&path, node()).unwrap().load().unwrap(), expected(&transactions));
    let audit = Store::audit(&path, node()).unwrap();
    assert!(audit.is_sound(), "{audit:?}");
    // Two notes, two lines, four tasks, four visits, two parcels.
    assert_eq!(audit.rows, 14);
}

#[test]
fn a_transaction_that_was_refused_counts_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let (path, mut store) = new_store(folder.path());
    let all = |key| KINDS.map(|kind| put(kind, key, 1)).to_vec();
    store.commit(&all(1)).unwrap();
    let disk = Connection::open(&path).unwrap();
    let full = "CREATE TRIGGER full BEFORE INSERT ON kind WHEN NEW.number = 1009 BEGIN SELECT RAISE(FAIL, 'full'); END";
    disk.execute_batch(full).unwrap();
    assert!(store.commit(&all(2)).is_err());
    disk.execute_batch("DROP TRIGGER full").unwrap();
    store.commit(&all(3)).unwrap();
    store.close().unwrap();
    drop(disk);
    assert_eq!(Store::open(&path, node()).unwrap().load().unwrap(), expected(&[all(1), all(3)]));
    let audit = Store::audit(&path, node()).unwrap();
    assert!(audit.is_sound(), "{audit:?}");
}

/// A database with something in each table, closed.
fn full(folder: &Path) -> (PathBuf, Vec<u8>) {
    let (path, mut store) = new_store(folder);
    transactions().iter().for_each(|changes| store.commit(changes).unwrap());
    store.close().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    (path, bytes)
}

fn table(kind: Kind) -> &'static str {
    match kind {
        NOTES => "state",
        LINES => "log",
        TASKS => "listed",
        VISITS => "journal",
        _ => "shelf",
    }
}

/// Changes the file with an SQL editor.
fn edit(path: &Path, bytes: &[u8], sql: &str) {
    std::fs::write(path, bytes).unwrap();
    let changed = Connection::open(path).unwrap().execute_batch(sql);
    changed.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// What an audit and a start say. A start does not read all of some tables.
fn finds(path: &Path, kind: Kind) -> Vec<String> {
    let faults = Store::audit(path, node()).unwrap().faults;
    let copied = Store::copy(path, node(), &path.with_extension("copy"));
    assert!(matches!(copied, Err(StoreError::Unsound(_))), "{copied:?}");
    let loaded = Store::open(path, node()).unwrap().load();
    if [NOTES, LINES].contains(&kind) {
        let Err(StoreError::Unsound(found)) = loaded else { panic!("{loaded:?}") };
        assert_eq!(found, faults);
    }
    faults
}

#[test]
fn a_row_that_is_gone_doubled_or_older_is_told_by_its_kind() {
    let folder = tempfile::tempdir().unwrap();
    let (path, bytes) = full(folder.path());
    for kind in KINDS {
        let (table, name, number) = (table(kind), kind.name, kind.number);
        let last = format!("kind = {number} AND key = (SELECT max(key) FROM {table} WHERE kind = {number})");
        edit(&path, &bytes, &format!("DELETE FROM {table} WHERE {last}"));
        let [fault] = &finds(&path, kind)[..] else { panic!("one finding") };
        assert!(fault.starts_with(&format!("rows of {name} are missing (1 of ")), "{fault}");
        edit(&path, &bytes, &format!("DELETE FROM {table} WHERE kind = {number}"));
        let [fault] = &finds(&path, kind)[..] else { panic!("one finding") };
        assert!(fault.starts_with(&format!("rows of {name} are missing (")), "{fault}");
        let columns = if ["listed", "journal"].contains(&table) { "number + 100" } else { "1" };
        let copied = match table {
            "listed" => format!("kind, {columns}, x'55', has_ended, value, checksum"),
            "journal" => format!("kind, {columns}, key, value, checksum"),
            _ => "kind, x'55', value, checksum".to_owned(),
        };
        edit(&path, &bytes, &format!("INSERT INTO {table} SELECT {copied} FROM {table} WHERE {last}"));
        let [fault] = &finds(&path, kind)[..] else { panic!("one finding") };
        assert_eq!(*fault, format!("rows of {name} are not what was written (1)"));
        edit(&path, &bytes, &format!("DELETE FROM kind WHERE number = {number}"));
        let [fault] = &finds(&path, kind)[..] else { panic!("one finding") };
        assert!(fault.contains(&format!("never written are in the table {table}")), "{fault}");
        edit(&path, &bytes, &format!("UPDATE kind SET rows = rows + 1 WHERE number = {number}"));
        assert!(finds(&path, kind).iter().any(|fault| fault.contains("not what was written")));
    }
}

/// Whole rows, with the checksums that they had: only the sum tells that they are not the newest.
#[test]
fn a_row_that_was_put_back_is_older_than_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let (path, mut store) = new_store(folder.path());
    store.commit(&KINDS.map(|kind| put(kind, 1, 1))).unwrap();
    let older = folder.path().join("older.db");
    Store::copy(&path, node(), &older).unwrap();
    store.commit(&KINDS.map(|kind| put(kind, 1, 2))).unwrap();
    store.close().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    for kind in [NOTES, LINES, TASKS, PARCELS] {
        let (table, name, number) = (table(kind), kind.name, kind.number);
        let attach = format!("ATTACH '{}' AS older", older.display());
        edit(
            &path,
            &bytes,
            &format!("{attach}; REPLACE INTO {table} SELECT * FROM older.{table} WHERE kind = {number}"),
        );
        let faults = finds(&path, kind);
        assert_eq!(faults, [format!("rows of {name} are older than the rest, or others than were written")]);
        // One that puts back the count with it has put back an older kind; the other kinds are not.
        edit(&path, &bytes, &format!("{attach}; REPLACE INTO kind SELECT * FROM older.kind WHERE number = {number}"));
        assert_eq!(finds(&path, kind).len(), 1);
    }
    // A row that stands twice, each time as it was written.
    edit(&path, &bytes, &format!("ATTACH '{}' AS older; DELETE FROM journal WHERE number = 2", older.display()));
    assert_eq!(finds(&path, VISITS), ["rows of visits are missing (1 of 2)"]);
}

#[test]
fn a_start_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (path, bytes) = full(folder.path());
    edit(&path, &bytes, "DELETE FROM state");
    let error = Store::open(&path, node()).unwrap().load().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the database is damaged: rows of notes are missing (2 of 2): `stnode restore` puts a copy back, `stnode recover` asks \
         the friends"
    );
    edit(&path, &bytes, "PRAGMA application_id = 1330008916");
    let error = Store::open(&path, node()).unwrap_err();
    assert!(matches!(error, StoreError::Unreleased(_)), "{error}");
    assert!(error.to_string().contains("before its first release") && error.to_string().contains("stnode recover"));
}
