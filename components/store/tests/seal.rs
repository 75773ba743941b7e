//! The seal beside a database that a node has left: what it says, and when it has to go.

mod machines;

use machines::{Machine, pair, pay};
use offst_crypto::PublicKey;
use offst_store::{Audit, History, Seal, Store};
use std::path::{Path, PathBuf};

/// The database of a node that has stopped, and its seal.
struct Stopped {
    path: PathBuf,
    key: PublicKey,
    bytes: Vec<u8>,
}

impl Stopped {
    fn new(folder: &Path) -> Stopped {
        let mut machines = pair(folder);
        for id in 1..4 {
            pay(&mut machines, id, 10);
        }
        let [Machine { key, path, store, .. }, _] = machines;
        store.close().unwrap();
        seal(&path);
        Stopped { bytes: std::fs::read(&path).unwrap(), path, key }
    }

    fn seal(&self) -> PathBuf {
        self.path.with_file_name("1.db.seal")
    }

    fn audit(&self) -> Audit {
        Store::audit(&self.path, self.key).unwrap()
    }

    /// Whether the audit tells of the seal in a fault that holds this.
    fn is_fault(&self, part: &str) -> bool {
        let audit = self.audit();
        !audit.is_sound() && !audit.is_sealed && audit.faults[0].contains(part)
    }
}

fn seal(path: &Path) {
    let seal = Seal::of(path).unwrap().unwrap();
    std::fs::write(seal.path(), seal.text()).unwrap();
}

const DIFFERS: &str = "the file is not what the node left when it stopped";

#[test]
fn every_byte_is_covered() {
    let folder = tempfile::tempdir().unwrap();
    let stopped = Stopped::new(folder.path());
    let audit = stopped.audit();
    assert!(audit.is_sound() && audit.is_sealed && audit.notes.is_empty(), "{audit:#?}");
    // Those that keep the file from being recognised, and some all over it.
    let mut places: Vec<usize> = (0..100).collect();
    places.extend((100..stopped.bytes.len()).step_by(997));
    for place in places {
        let mut damaged = stopped.bytes.clone();
        damaged[place] ^= 1 << (place % 8);
        std::fs::write(&stopped.path, damaged).unwrap();
        assert!(stopped.is_fault(DIFFERS), "byte {place}: {:#?}", stopped.audit());
    }
    let longer = [&stopped.bytes[..], &[0]].concat();
    for bytes in [&[][..], &stopped.bytes[1..], &stopped.bytes[..4096], &longer] {
        std::fs::write(&stopped.path, bytes).unwrap();
        assert!(stopped.is_fault(DIFFERS), "{} bytes", bytes.len());
    }
    std::fs::write(&stopped.path, &stopped.bytes).unwrap();
    assert!(stopped.audit().is_sealed);
}

#[test]
fn what_is_no_seal_is_a_fault_and_none_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let stopped = Stopped::new(folder.path());
    let text = std::fs::read_to_string(stopped.seal()).unwrap();
    for wrong in [&b""[..], b"\xff\xfe", b"bytes = 1\n", &[b'x'; 100_000], text.replace("bytes", "Bytes").as_bytes()] {
        std::fs::write(stopped.seal(), wrong).unwrap();
        assert!(stopped.is_fault(DIFFERS), "{:#?}", stopped.audit());
    }
    // Comments say nothing.
    std::fs::write(stopped.seal(), text.replace("# ", "# Translated: ")).unwrap();
    assert!(stopped.audit().is_sealed);
    std::fs::remove_file(stopped.seal()).unwrap();
    let audit = stopped.audit();
    assert!(audit.is_sound() && !audit.is_sealed && audit.notes.is_empty());
    std::fs::create_dir(stopped.seal()).unwrap();
    assert!(stopped.is_fault("1.db.seal cannot be read"));
    // A node that cannot remove it does not write.
    let error = Store::open(&stopped.path, stopped.key).unwrap_err().to_string();
    assert!(error.contains("1.db.seal cannot be removed, so nothing was written"), "{error}");
    assert!(std::fs::read(&stopped.path).unwrap() == stopped.bytes);
}

#[test]
fn it_stays_while_nobody_writes_and_is_gone_before_anybody_does() {
    let folder = tempfile::tempdir().unwrap();
    let stopped = Stopped::new(folder.path());
    Store::probe(&stopped.path, stopped.key).unwrap();
    History::open(&stopped.path).unwrap().payments(None, 10).unwrap();
    Store::copy(&stopped.path, stopped.key, &folder.path().join("copy.db")).unwrap();
    let other = offst_crypto::Identity::from_seed([77; 32]).public_key();
    Store::probe(&stopped.path, other).unwrap_err();
    assert!(stopped.audit().is_sealed && std::fs::read(&stopped.path).unwrap() == stopped.bytes);

    let store = Store::open(&stopped.path, stopped.key).unwrap();
    assert!(!stopped.seal().exists());
    drop(store);

    seal(&stopped.path);
    let aside = Store::put_in_place(&folder.path().join("copy.db"), &stopped.path).unwrap();
    assert!(aside.is_some() && !stopped.seal().exists(), "the copy is not what was sealed");
    assert!(stopped.audit().is_sound());
}

#[test]
fn a_database_with_something_in_its_log_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let mut machines = pair(folder.path());
    pay(&mut machines, 1, 10);
    let path = &machines[0].path;
    assert_eq!(Seal::of(path).unwrap(), None);
    std::fs::write(path.with_file_name("1.db.seal"), "of another time").unwrap();
    let audit = Store::audit(path, machines[0].key).unwrap();
    assert!(audit.is_sound() && !audit.is_sealed, "{audit:#?}");
    assert!(audit.notes.len() == 1 && audit.notes[0].contains("both a seal and a log that is not empty"), "{audit:#?}");
}

#[test]
fn a_link_leads_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let stopped = Stopped::new(folder.path());
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(&stopped.path, &link).unwrap();
    assert!(Store::audit(&link, stopped.key).unwrap().is_sealed);
    assert_eq!(Seal::of(&link).unwrap().unwrap().path(), stopped.seal().canonicalize().unwrap());
    drop(Store::open(&link, stopped.key).unwrap());
    assert!(!stopped.seal().exists());
}

#[test]
fn it_reads_like_this() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node0.db");
    std::fs::write(&path, "123456789").unwrap();
    let seal = Seal::of(&path).unwrap().unwrap();
    assert_eq!(seal.path().file_name().unwrap(), "node0.db.seal");
    let text = seal.text();
    let comment =
        "# What the whole database was when the node stopped. `stnode check` compares it; the next start removes it.";
    assert_eq!(text.lines().collect::<Vec<_>>(), [comment, "bytes = 9", "crc32 = \"cbf43926\""]);
}
