//! Two machines with real databases: what is committed is what is loaded, and damaged files are refused in a sentence.

mod machines;

use machines::{Machine, connect, pair, pay, rest};
use offst_crypto::{Ed25519Verifier, Identity};
use offst_funder::{
    Archive, Arrival, Change, Command, Commit, Forward, Input, LineKey, Output, RecoveryRecord, Reply, Spending,
    WriteOff,
};
use offst_proto::budget::{Budgets, Period};
use offst_proto::friend::FriendMessage;
use offst_proto::report::{InvoiceStatus, PaymentStatus};
use offst_proto::route::{PartPlan, Way};
use offst_proto::ticket::FriendTicket;
use offst_proto::{Currency, PaymentId, RequestId};
use offst_store::{History, Store, StoreError};

#[test]
fn what_is_committed_is_what_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let mut machines = pair(folder.path());
    for (id, amount) in [(1, 300), (2, 50)] {
        let replies = pay(&mut machines, id, amount);
        assert!(
            matches!(&replies[..], [Reply::Payment(report)] if report.status == PaymentStatus::Paid),
            "{replies:?}"
        );
        assert_eq!(machines[0].balances(), [-machines[1].balances()[0]]);
    }
    for side in [0, 1] {
        let before: Vec<_> = {
            let accounts = machines[side].funder.as_ref().unwrap().accounts();
            accounts.map(|(_, account)| account.clone()).collect()
        };
        machines[side].reload();
        for (account, (_, loaded)) in before.iter().zip(machines[side].funder.as_ref().unwrap().accounts()) {
            let (live, loaded_epoch) = (account.epoch().unwrap(), loaded.epoch().unwrap());
            assert_eq!((live.mine, live.theirs), (loaded_epoch.mine, loaded_epoch.theirs));
            assert_eq!(live.pendings().collect::<Vec<_>>(), loaded_epoch.pendings().collect::<Vec<_>>());
            assert_eq!(account.negotiation(), loaded.negotiation());
        }
        machines[side].handle(Input::Start);
    }
    connect(&mut machines, 2);
    pay(&mut machines, 3, 1);
    assert_eq!(machines[0].balances(), [-351]);
    assert_eq!(machines[1].balances(), [351]);

    let history = History::open(&machines[0].path).unwrap();
    let first = history.payments(None, 2).unwrap();
    let ids = |page: &offst_proto::report::Page<offst_funder::Payment>| -> Vec<u8> {
        page.items.iter().map(|payment| payment.id.as_bytes()[0]).collect()
    };
    assert_eq!(ids(&first), [3, 2]);
    let second = history.payments(first.next, 2).unwrap();
    assert_eq!((ids(&second), second.next), (vec![1], None));
    let payment = history.payment(PaymentId::from_bytes([1; 16])).unwrap().unwrap();
    payment.receipt().unwrap().verify(&Ed25519Verifier, None).unwrap();
}

/// An old copy of the file is put back: the friend shows what both have signed, from its own file.
#[test]
fn an_old_copy_of_the_file_is_brought_up_to_date_by_the_friend() {
    let folder = tempfile::tempdir().unwrap();
    let mut machines = pair(folder.path());
    pay(&mut machines, 1, 300);
    let copy = folder.path().join("copy");
    // A reader's copy of the whole database, as a backup makes it.
    rusqlite::Connection::open(&machines[0].path).unwrap().execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    for id in 2..5 {
        pay(&mut machines, id, 10);
        if id == 3 {
            // Both fall idle: their last statements carry checkpoints.
            rest(&mut machines);
        }
    }
    let line = LineKey { friend: machines[0].key, currency: Currency::default() };
    let rows = machines[1].store.evidence(&line).unwrap();
    assert!(!rows.checkpoint.is_empty() && rows.statements.len() >= 2);
    let mine = machines[1].funder.as_ref().unwrap().accounts().next().unwrap().1.clone();
    assert_eq!(mine.epoch().unwrap().balance(), 330);
    machines[0].path = copy;
    for side in [0, 1] {
        machines[side].reload();
        machines[side].handle(Input::Start);
    }
    assert_eq!(machines[0].balances(), [-300]);
    connect(&mut machines, 2);
    assert_eq!(machines[0].balances(), [-330]);
    assert_eq!(machines[1].balances(), [330]);
    // What was adopted is on the disk as well.
    machines[0].reload();
    machines[0].handle(Input::Start);
    connect(&mut machines, 3);
    pay(&mut machines, 9, 1);
    assert_eq!(machines[1].balances(), [331]);
    let none = LineKey { friend: machines[1].key, currency: Currency::default() };
    assert_eq!(machines[1].store.evidence(&none).unwrap(), offst_ledger::EvidenceRows::default());
}

#[test]
fn invoices_stay_and_configuration_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut machine = Machine::new(folder.path(), 3);
    machine.handle(Input::Start);
    let server = offst_proto::ticket::ServerTicket {
        public_key: Identity::from_seed([9; 32]).public_key(),
        address: "127.0.0.1:1".parse().unwrap(),
    };
    machine.command(Command::AddRelay("r".into(), server.clone()));
    machine.command(Command::AddIndex("i".into(), server.clone()));
    let outputs = machine.command(Command::CreateInvoice {
        amount: 5,
        currency: Currency::default(),
        description: "tea".into(),
        expiry_ms: None,
    });
    let id = outputs
        .iter()
        .find_map(|output| match output {
            Output::Reply(_, Reply::Invoice(invoice)) => Some(invoice.id),
            _ => None,
        })
        .unwrap();
    machine.reload();
    let outputs = machine.handle(Input::Start);
    assert!(outputs.contains(&Output::Relays(vec![server.clone()])));
    assert!(outputs.contains(&Output::IndexServers(vec![server])));
    machine.command(Command::CancelInvoice(id));
    machine.command(Command::RemoveRelay("r".into()));
    machine.reload();
    assert!(machine.handle(Input::Start).contains(&Output::Relays(vec![])));
    let history = History::open(&machine.path).unwrap();
    assert_eq!(history.invoice(id).unwrap().unwrap().status, InvoiceStatus::Cancelled);
    assert_eq!(history.invoices(None, 10).unwrap().items.len(), 1);
}

#[test]
fn other_files_are_refused_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let key = Identity::from_seed([1; 32]).public_key();
    let path = folder.path().join("node.db");
    assert!(matches!(Store::open(&path, key), Err(StoreError::Missing(_))));
    Store::create(&path, key).unwrap();
    assert!(matches!(Store::create(&path, key), Err(StoreError::Exists(_))));
    let other = Identity::from_seed([2; 32]).public_key();
    assert!(matches!(Store::open(&path, other), Err(StoreError::OtherNode { .. })));
    let text = folder.path().join("text.db");
    std::fs::write(&text, "x".repeat(5000)).unwrap();
    assert!(matches!(Store::open(&text, key), Err(StoreError::Foreign(_))));
    let empty = folder.path().join("empty.db");
    std::fs::write(&empty, "").unwrap();
    assert!(matches!(Store::open(&empty, key), Err(StoreError::Foreign(_))));
    let folder = path.parent().unwrap();
    assert!(matches!(Store::open(folder, key), Err(StoreError::Foreign(_))));
    assert!(matches!(Store::audit(folder, key), Err(StoreError::Foreign(_))));
    // To call it damaged would make its owner put an old copy in its place.
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 1000).unwrap();
    let copy = folder.join("copy.db");
    let outcomes = [
        Store::open(&path, key).map(drop),
        Store::audit(&path, key).map(drop),
        Store::copy(&path, key, &copy),
        History::open(&path).map(drop),
    ];
    for outcome in outcomes {
        assert!(matches!(outcome, Err(StoreError::Newer(_))), "{outcome:?}");
    }
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 2).unwrap();
    for error in [Store::open(&text, key).unwrap_err(), Store::open(&path, other).unwrap_err()] {
        assert!(!error.to_string().contains('\n'));
    }
}

#[cfg(unix)]
#[test]
fn only_the_owner_reads_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::new(folder.path(), 1);
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
    }
    drop(machine);
}

#[test]
fn a_closed_database_is_one_whole_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut machine = Machine::new(folder.path(), 1);
    // A reader must not keep the rest beside the file.
    let history = History::open(&machine.path).unwrap();
    machine.command(Command::CreateInvoice {
        amount: 5,
        currency: Currency::default(),
        description: "tea".into(),
        expiry_ms: None,
    });
    let Machine { key, path, store, .. } = machine;
    store.close().unwrap();
    let copy = folder.path().join("copy.db");
    std::fs::copy(&path, &copy).unwrap();
    assert_eq!(Store::open(&copy, key).unwrap().load().unwrap().invoices.len(), 1);
    drop(history);
}

/// Rows of requests on their way, friends, servers and tombstones: what is put is loaded, what is deleted is gone.
#[test]
fn every_kind_of_row_is_written_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let machines = pair(folder.path());
    let [mut machine, other] = machines;
    let line = LineKey { friend: other.key, currency: Currency::default() };
    let key = line.hop(RequestId::from_bytes([5; 16]));
    let forward = Forward {
        to: Identity::from_seed([8; 32]).public_key(),
        amount: 7,
        fee: 1,
        patience_ms: 9,
        arrived_ms: 0,
        responded_ms: None,
    };
    let arrival =
        Arrival { payment_id: PaymentId::from_bytes([6; 16]), invoice_id: None, amount: 7, total: 7, patience_ms: 9 };
    let server = offst_proto::ticket::ServerTicket {
        public_key: Identity::from_seed([9; 32]).public_key(),
        address: "127.0.0.1:1".parse().unwrap(),
    };
    let write_off =
        WriteOff { from: server.public_key, amount: 1 << 96, lock: offst_crypto::Preimage::from_bytes([1; 32]).lock() };
    let put = [
        Change::Forward(key.clone(), Some(forward.clone())),
        Change::WriteOff(key.clone(), Some(write_off.clone())),
        Change::Arrival(key.clone(), Some(arrival.clone())),
        Change::Relay("r".into(), Some(server.clone())),
        Change::IndexServer("i".into(), Some(server.clone())),
        Change::Tombstone(line.clone(), 12),
        Change::AutoClear(true),
        Change::PeerBackup(line.friend, Some(vec![1, 2])),
        Change::Recovery(Some(RecoveryRecord::new(13, true))),
    ];
    // Twice: the second time every row is there already.
    for _ in 0..2 {
        machine.store.commit(&put).unwrap();
        let image = machine.store.load().unwrap();
        assert_eq!(image.forwards, [(key.clone(), forward.clone())]);
        assert_eq!(image.written_off, [(key.clone(), write_off.clone())]);
        assert_eq!(image.arrivals, [(key.clone(), arrival.clone())]);
        assert_eq!(image.relays, [("r".to_owned(), server.clone())]);
        assert_eq!(image.index_servers, [("i".to_owned(), server.clone())]);
        assert_eq!(image.tombstones, [(line.clone(), 12)]);
        assert!(image.auto_clear);
        assert_eq!((image.friends.len(), image.accounts.len()), (1, 1));
        assert_eq!(image.recovery, Some(RecoveryRecord::new(13, true)));
        let history = History::open(&machine.path).unwrap();
        assert_eq!(history.peer_backup(line.friend).unwrap(), Some(vec![1, 2]));
    }
    // An account that goes in the batch in which its last requests end: the machine names the account first.
    let delete = [
        Change::DropAccount(line.clone()),
        Change::Forward(key.clone(), None),
        Change::WriteOff(key.clone(), None),
        Change::Arrival(key, None),
        Change::Relay("r".into(), None),
        Change::IndexServer("i".into(), None),
        Change::Friend(line.friend, None),
        Change::AutoClear(false),
        Change::PeerBackup(line.friend, None),
        Change::Recovery(None),
    ];
    machine.store.commit(&delete).unwrap();
    let image = machine.store.load().unwrap();
    assert_eq!((image.forwards.len(), image.written_off.len(), image.arrivals.len()), (0, 0, 0));
    assert_eq!((image.relays.len(), image.index_servers.len()), (0, 0));
    assert_eq!((image.friends.len(), image.accounts.len(), image.auto_clear), (0, 0, false));
    assert_eq!((image.friends.len(), image.accounts.len()), (0, 0));
    assert_eq!(image.recovery, None);
    assert_eq!(History::open(&machine.path).unwrap().peer_backup(line.friend).unwrap(), None);
    assert_eq!(image.tombstones, [(line, 12)]);
}

/// The rows of a friend whose key was lost stay as evidence, and only an audit sees them.
#[test]
fn accounts_with_a_lost_key_are_kept_as_evidence() {
    let folder = tempfile::tempdir().unwrap();
    let mut machines = pair(folder.path());
    machines::pay(&mut machines, 1, 30);
    machines::rest(&mut machines);
    let [mut machine, other] = machines;
    let line = LineKey { friend: other.key, currency: Currency::default() };
    let forward = Forward { to: other.key, amount: 7, fee: 1, patience_ms: 9, arrived_ms: 0, responded_ms: None };
    let replacement = machines::replacement(1, other.key);
    let changes = [
        Change::Forward(line.hop(RequestId::from_bytes([5; 16])), Some(forward)),
        Change::Friend(other.key, None),
        Change::KeyReplacement(replacement.clone()),
        Change::DropAccount(line.clone()),
        Change::Tombstone(line, 12),
    ];
    machine.store.commit(&changes).unwrap();
    let image = machine.store.load().unwrap();
    assert_eq!((image.accounts.len(), image.forwards.len(), image.friends.len()), (0, 0, 0));
    assert_eq!(image.replacements, [replacement]);
    let (path, key) = (machine.path, machine.key);
    machine.store.close().unwrap();
    let audit = Store::audit(&path, key).unwrap();
    assert!(audit.is_sound(), "{audit:?}");
    let [account] = &audit.accounts[..] else { panic!("{audit:?}") };
    assert_eq!((account.friend, account.finding.as_ref().unwrap().as_ref().unwrap().balance), (other.key, -30));
    // Another node's signature proves nothing.
    let mut store = Store::open(&path, key).unwrap();
    store.commit(&[Change::KeyReplacement(machines::replacement(2, other.key))]).unwrap();
    store.close().unwrap();
    let audit = Store::audit(&path, key).unwrap();
    assert!(audit.faults.iter().any(|fault| fault.contains("our signature")), "{audit:?}");
}

/// The successor with this seed takes the place of "friend0".
fn replace_key(seed: u8) -> Input {
    let public_key = Identity::from_seed([seed; 32]).public_key();
    let ticket = FriendTicket { public_key, relays: vec![], address: None };
    Input::Command(1, Command::ReplaceFriendKey("friend0".into(), ticket))
}

/// What came from a lost key in the very transaction that replaces it is evidence, too.
#[test]
fn the_evidence_of_a_lost_key_goes_as_far_as_the_record_says() {
    let folder = tempfile::tempdir().unwrap();
    let mut machines = pair(folder.path());
    pay(&mut machines, 1, 30);
    let outputs = machines::order(&mut machines, 1, 2, 50);
    let ways = outputs.into_iter().find_map(|(_, output)| match output {
        Output::FindWays(payment, query) => {
            let part = PartPlan { route: vec![query.destination], amount: query.amount, fees: 0 };
            Some(Input::Ways(payment, Ok(vec![Way { parts: vec![part] }])))
        }
        _ => None,
    });
    let outputs = machines[1].handle(ways.unwrap());
    let lost = machines[1].key;
    let statement = outputs.into_iter().find_map(|output| match output {
        Output::Send(_, connection, frame) => match FriendMessage::from_frame(&frame).unwrap() {
            FriendMessage::Statement(statement) => {
                let statement = statement.verify(&Ed25519Verifier).unwrap();
                Some(Input::Statement(lost, connection, Box::new(statement)))
            }
            _ => None,
        },
        _ => None,
    });
    let [mut machine, _] = machines;
    machine.handle_all(vec![statement.unwrap(), replace_key(7)]);
    let image = machine.store.load().unwrap();
    let record = &image.replacements[0].accounts[0];
    let (path, key) = (machine.path, machine.key);
    machine.store.close().unwrap();
    let audit = Store::audit(&path, key).unwrap();
    assert!(audit.is_sound(), "{audit:?}");
    let account = audit.accounts.iter().find(|account| account.friend == lost).unwrap();
    let proven = account.finding.clone().unwrap().unwrap();
    assert_eq!((proven.own_seq, proven.friend.unwrap().seq), (record.own_seq, record.other_seq));
}

#[test]
fn two_replacements_in_one_transaction_leave_a_sound_database() {
    let folder = tempfile::tempdir().unwrap();
    let mut machines = pair(folder.path());
    pay(&mut machines, 1, 30);
    let [mut machine, _] = machines;
    machine.handle_all(vec![replace_key(7), replace_key(8)]);
    let image = machine.store.load().unwrap();
    assert_eq!((image.replacements.len(), image.accounts.len()), (2, 1));
    let (path, key) = (machine.path, machine.key);
    machine.store.close().unwrap();
    let audit = Store::audit(&path, key).unwrap();
    assert!(audit.is_sound(), "{audit:?}");
}

/// A copy is the database as of one moment, whole, and nobody else's; what stands at its place is kept.
#[test]
fn a_copy_beside_a_running_node_takes_the_place_of_its_database() {
    let folder = tempfile::tempdir().unwrap();
    let mut machines = pair(folder.path());
    pay(&mut machines, 1, 300);
    let [mut machine, other] = machines;
    let copy = folder.path().join("copy.db");
    // The machine's own connection is open, and what is newest stands in the file beside the database.
    assert!(folder.path().join("1.db-wal").metadata().unwrap().len() > 0);
    assert!(matches!(Store::copy(&machine.path, other.key, &copy), Err(StoreError::OtherNode { .. })));
    assert!(!copy.exists());
    Store::copy(&machine.path, machine.key, &copy).unwrap();
    assert!(matches!(Store::copy(&machine.path, machine.key, &copy), Err(StoreError::Exists(_))));
    #[cfg(unix)]
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&copy.metadata().unwrap().permissions()) & 0o777, 0o600);
    assert!(!folder.path().join("copy.db-wal").exists());
    let image = machine.store.load().unwrap();
    machine.command(Command::CancelInvoice(offst_proto::InvoiceId::from_bytes([1; 16])));

    // A node that was killed leaves its log beside the database.
    let place = folder.path().join("place.db");
    for ending in ["", "-wal"] {
        std::fs::copy(folder.path().join(format!("1.db{ending}")), folder.path().join(format!("place.db{ending}")))
            .unwrap();
    }
    // An attempt that ended early has left a second name of some log.
    std::fs::write(folder.path().join("place.db.replaced-wal"), "older").unwrap();
    let aside = Store::put_in_place(&copy, &place).unwrap().unwrap();
    assert_eq!(aside, folder.path().join("place.db.replaced"));
    for (name, exists) in [("place.db-wal", false), ("place.db.replaced-wal", true), ("copy.db", false)] {
        assert_eq!(folder.path().join(name).exists(), exists, "{name}");
    }
    for path in [&place, &aside] {
        let mut store = Store::open(path, machine.key).unwrap();
        assert_eq!(store.load().unwrap().accounts, image.accounts);
    }
    // A log whose database has gone is no part of the next one.
    std::fs::rename(&place, &copy).unwrap();
    std::fs::write(folder.path().join("place.db-wal"), "old").unwrap();
    let aside = Store::put_in_place(&copy, &place).unwrap();
    assert_eq!(aside, Some(folder.path().join("place.db.replaced-2")));
    assert!(!folder.path().join("place.db-wal").exists());
}

#[test]
fn a_damaged_row_is_neither_loaded_nor_copied() {
    let folder = tempfile::tempdir().unwrap();
    let mut machines = pair(folder.path());
    pay(&mut machines, 1, 300);
    let [machine, _] = machines;
    let Machine { key, path, store, .. } = machine;
    store.close().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let copy = folder.path().join("copy.db");
    // The friend's name is in no signature.
    let place = bytes.windows(7).position(|window| window == b"friend0").unwrap();
    let mut damaged = bytes.clone();
    damaged[place] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    let error = Store::open(&path, key).unwrap().load().unwrap_err();
    assert_eq!(error.to_string(), "the database is damaged: rows of the table friend are not what was written (1)");
    assert!(matches!(Store::copy(&path, key, &copy), Err(StoreError::Unsound(faults)) if faults.len() == 1));
    assert!(!copy.exists());
}

/// What an earlier version has written is read, checked and copied as it is, and brought to this version when a node opens it.
#[test]
fn a_database_of_the_version_before_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut machines = pair(folder.path());
    pay(&mut machines, 1, 300);
    let [machine, _] = machines;
    let Machine { key, path, store, .. } = machine;
    store.close().unwrap();
    let earlier = rusqlite::Connection::open(&path).unwrap();
    earlier
        .execute_batch(
            "DROP TABLE spending; DROP TABLE write_off; PRAGMA user_version = 1; PRAGMA wal_checkpoint(TRUNCATE)",
        )
        .unwrap();
    drop(earlier);
    let (copy, app) = (folder.path().join("copy.db"), Identity::from_seed([9; 32]).public_key());
    Store::copy(&path, key, &copy).unwrap();
    for path in [&path, &copy] {
        let audit = Store::audit(path, key).unwrap();
        assert!(audit.is_sound(), "{audit:?}");
    }
    let budgets = Budgets::new(7, vec!["500/day".parse().unwrap()]).unwrap();
    let standing = |path| History::open(path).unwrap().budgets(app, &budgets, 86_400_000).unwrap();
    assert_eq!(standing(&copy)[0].left(), 500);
    let mut store = Store::open(&path, key).unwrap();
    assert!(store.load().unwrap().spendings.is_empty());
    let spending =
        Spending { since_ms: 7, period: Some(Period::Day), until_ms: 2 * 86_400_000, spent: 380, other: None };
    for spent in [1, 380] {
        store.commit(&[Change::Spending(app, Currency::default(), Spending { spent, ..spending })]).unwrap();
    }
    assert_eq!(store.load().unwrap().spendings, [((app, Currency::default()), spending)].into());
    assert_eq!((standing(&path)[0].spent, standing(&path)[0].left()), (380, 120));
    store.close().unwrap();
    let audit = Store::audit(&path, key).unwrap();
    assert!(audit.is_sound(), "{audit:?}");
    // The copy is older than the program, and no more than that.
    let made = rusqlite::Connection::open(&copy).unwrap();
    made.pragma_update(None, "user_version", 2).unwrap();
    drop(made);
    let faults = Store::audit(&copy, key).unwrap().faults;
    assert!(faults.iter().any(|fault| fault.contains("not those that this version makes")), "{faults:?}");
}
