//! Two machines with real databases: what is committed is what is loaded, and damaged files are refused in a sentence.

mod machines;

use machines::{Machine, connect, pair, pay, rest};
use offst_crypto::{Ed25519Verifier, Identity};
use offst_funder::{
    AccountId, Command, FriendRecord, Funder, Input, InvoiceRecord, Output, Replacement, Reply, Spending, Tombstone,
};
use offst_ledger::stored_accounts;
use offst_proto::budget::{Budgets, Period};
use offst_proto::friend::FriendMessage;
use offst_proto::report::{InvoiceStatus, PaymentStatus};
use offst_proto::route::{PartPlan, Route};
use offst_proto::ticket::FriendTicket;
use offst_proto::{Currency, PaymentId};
use offst_rows::{Commit, RowChange};
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
    let line = AccountId { friend: machines[0].key, currency: Currency::default() };
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
    let none = AccountId { friend: machines[1].key, currency: Currency::default() };
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
        amount: 5.into(),
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
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 1).unwrap();
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
        amount: 5.into(),
        currency: Currency::default(),
        description: "tea".into(),
        expiry_ms: None,
    });
    let Machine { key, path, store, .. } = machine;
    store.close().unwrap();
    let copy = folder.path().join("copy.db");
    std::fs::copy(&path, &copy).unwrap();
    assert_eq!(Store::open(&copy, key).unwrap().load().unwrap().read::<InvoiceRecord>().unwrap().len(), 1);
    drop(history);
}

/// The rows of a friend whose key was lost stay as evidence, and only an audit sees them.
#[test]
fn accounts_with_a_lost_key_are_kept_as_evidence() {
    let folder = tempfile::tempdir().unwrap();
    let mut machines = pair(folder.path());
    machines::pay(&mut machines, 1, 30);
    machines::rest(&mut machines);
    let [mut machine, other] = machines;
    let line = AccountId { friend: other.key, currency: Currency::default() };
    let replacement = machines::replacement(1, other.key);
    // What a funder writes when a friend has lost its key: the rows of the accounts stay.
    let changes = [
        RowChange::remove::<FriendRecord>(&other.key),
        RowChange::put(&other.key, &Replacement(replacement)),
        RowChange::put(&line, &Tombstone { epoch: 12 }),
    ];
    machine.store.commit(&changes).unwrap();
    let rows = machine.store.load().unwrap();
    assert_eq!(stored_accounts(&rows).unwrap(), [line]);
    assert_eq!(Funder::restore(machine.key, rows).unwrap().accounts().count(), 0);
    let (path, key) = (machine.path, machine.key);
    machine.store.close().unwrap();
    let audit = Store::audit(&path, key).unwrap();
    assert!(audit.is_sound(), "{audit:?}");
    let [account] = &audit.accounts[..] else { panic!("{audit:?}") };
    assert_eq!((account.friend, account.finding.as_ref().unwrap().as_ref().unwrap().balance), (other.key, -30));
    // Another node's signature proves nothing.
    let mut store = Store::open(&path, key).unwrap();
    store.commit(&[RowChange::put(&other.key, &Replacement(machines::replacement(2, other.key)))]).unwrap();
    store.close().unwrap();
    let audit = Store::audit(&path, key).unwrap();
    assert!(audit.faults.iter().any(|fault| fault.contains("our signature")), "{audit:?}");
}

/// The new key with this seed takes the place of "friend0".
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
    let routes = outputs.into_iter().find_map(|(_, output)| match output {
        Output::FindRoutes(payment, query) => {
            let part = PartPlan { path: vec![query.destination], amount: query.amount, fees: 0.into() };
            Some(Input::Routes(payment, Ok(vec![Route { parts: vec![part] }])))
        }
        _ => None,
    });
    let outputs = machines[1].handle(routes.unwrap());
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
    let replacements = machine.store.load().unwrap().read::<Replacement>().unwrap();
    let record = &replacements[0].1.0.accounts[0];
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
    let rows = machine.store.load().unwrap();
    assert_eq!(rows.read::<Replacement>().unwrap().len(), 2);
    assert_eq!(Funder::restore(machine.key, rows).unwrap().accounts().count(), 1);
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
    let rows = machine.store.load().unwrap();
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
        assert_eq!(Store::open(path, machine.key).unwrap().load().unwrap(), rows);
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
    assert!(error.to_string().starts_with("the database is damaged: rows of friends are not what was written (1): "));
    assert!(matches!(Store::copy(&path, key, &copy), Err(StoreError::Unsound(faults)) if faults.len() == 1));
    assert!(!copy.exists());
}

/// Beside the writer, as far as it is durable.
#[test]
fn what_an_application_has_spent_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let Machine { path, mut store, .. } = Machine::new(folder.path(), 1);
    let app = Identity::from_seed([9; 32]).public_key();
    let budgets = Budgets::new(7, vec!["500/day".parse().unwrap()]).unwrap();
    let standing = || History::open(&path).unwrap().budgets(app, &budgets, 86_400_000).unwrap();
    assert_eq!(standing()[0].left(), 500);
    let spending =
        Spending { since_ms: 7, period: Some(Period::Day), until_ms: 2 * 86_400_000, spent: 380, other: None };
    let key = (app, Currency::default());
    for spent in [1, 380] {
        store.commit(&[RowChange::put(&key, &Spending { spent, ..spending })]).unwrap();
    }
    assert_eq!(store.load().unwrap().read::<Spending>().unwrap(), [(key, spending)]);
    assert_eq!((standing()[0].spent, standing()[0].left()), (380, 120));
}
