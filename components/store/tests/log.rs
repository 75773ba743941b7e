//! The log that a process or a machine leaves when it dies: what looks like such a death is no fault, and what cannot come from one
//! is found before a node goes on without what it has committed.

mod machines;

use machines::{Machine, pair, pay};
use offst_crypto::PublicKey;
use offst_funder::Funder;
use offst_store::{Store, StoreError};
use std::path::{Path, PathBuf};

const HEADER: usize = 32;
const FRAME: usize = 24 + 4096;

/// A database whose log holds several payments.
struct Left {
    key: PublicKey,
    database: Vec<u8>,
    log: Vec<u8>,
    path: PathBuf,
}

impl Left {
    fn by_a_node(folder: &Path) -> Left {
        let mut machines = pair(folder);
        for id in 1..4 {
            pay(&mut machines, id, 10);
        }
        let [Machine { key, path, .. }, _] = &machines;
        let [database, log] = ["1.db", "1.db-wal"].map(|name| std::fs::read(folder.join(name)).unwrap());
        assert_eq!((log.len() - HEADER) % FRAME, 0, "{}", path.display());
        Left { key: *key, database, log, path: folder.join("left.db") }
    }

    fn frames(&self) -> usize {
        (self.log.len() - HEADER) / FRAME
    }

    /// The places behind the last frame of each transaction.
    fn ends(&self) -> Vec<usize> {
        let is_end = |frame: &usize| self.log[HEADER + frame * FRAME + 4..][..4] != [0; 4];
        (0..self.frames()).filter(is_end).map(|frame| HEADER + (frame + 1) * FRAME).collect()
    }

    fn put(&self, log: &[u8]) {
        drop(std::fs::remove_file(self.path.with_file_name("left.db-shm")));
        std::fs::write(&self.path, &self.database).unwrap();
        std::fs::write(self.path.with_file_name("left.db-wal"), log).unwrap();
    }

    /// Whether an audit has a remark on this log, which is no fault, and a node starts with it.
    fn is_remarked(&self, log: &[u8]) -> bool {
        self.put(log);
        let found = Store::audit(&self.path, self.key).unwrap();
        assert!(found.is_sound(), "{found:?}");
        Store::open(&self.path, self.key).unwrap().load().unwrap();
        !found.notes.is_empty()
    }

    fn is_refused(&self, log: &[u8]) -> bool {
        self.put(log);
        let is_damaged = !Store::audit(&self.path, self.key).unwrap().is_sound();
        let opened = Store::open(&self.path, self.key);
        assert_eq!(is_damaged, matches!(opened, Err(StoreError::DamagedLog)), "{opened:?}");
        is_damaged
    }
}

#[test]
fn a_node_that_died_while_it_wrote_the_log_is_sound() {
    let folder = tempfile::tempdir().unwrap();
    let left = Left::by_a_node(folder.path());
    let ends = left.ends();
    let [.., before, end] = ends[..] else { panic!("{ends:?}") };
    assert_eq!(end, left.log.len());
    assert!(end - before > FRAME, "one transaction has several pages");
    assert!(!left.is_remarked(&left.log) && !left.is_remarked(&left.log[..before]) && !left.is_remarked(&[]));
    for cut in (before + FRAME..end).step_by(FRAME).flat_map(|frame| [frame, frame + 24, frame + 2000]) {
        assert!(left.is_remarked(&left.log[..cut]), "{cut}");
        // Over an older log, which is still there behind what was written.
        let mut over = left.log.clone();
        over[cut..].iter_mut().for_each(|byte| *byte ^= 0x5a);
        assert!(left.is_remarked(&over), "{cut}");
    }
}

/// The disk has taken some pages of the newest transaction, in whatever order, when the power goes.
#[test]
fn a_machine_that_died_while_it_wrote_the_log_is_sound() {
    let folder = tempfile::tempdir().unwrap();
    let left = Left::by_a_node(folder.path());
    let ends = left.ends();
    let [.., before, end] = ends[..] else { panic!("{ends:?}") };
    for missing in (before..end).step_by(FRAME) {
        for part in [missing..missing + FRAME, missing..missing + 24, missing + 1000..missing + 1500] {
            let mut log = left.log.clone();
            log[part].iter_mut().for_each(|byte| *byte ^= 0x5a);
            assert!(left.is_remarked(&log), "{missing}");
        }
    }
}

#[test]
fn a_log_that_no_death_leaves_is_refused_and_its_rest_can_be_restored() {
    let folder = tempfile::tempdir().unwrap();
    let left = Left::by_a_node(folder.path());
    let ends = left.ends();
    let [.., third, _, _] = ends[..] else { panic!("{ends:?}") };
    for frame in (HEADER..third).step_by(FRAME) {
        for place in [frame + 20, frame + 24 + 1000] {
            let mut log = left.log.clone();
            log[place] ^= 4;
            assert!(left.is_refused(&log), "{place}");
        }
    }
    assert!(!left.is_refused(&left.log));
    let mut log = left.log.clone();
    log[third - 100] ^= 4;
    left.put(&log);
    // Through a link, too: SQLite keeps the log beside the file.
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(&left.path, &link).unwrap();
    assert!(matches!(Store::open(&link, left.key), Err(StoreError::DamagedLog)));
    let copy = folder.path().join("copy.db");
    Store::copy(&left.path, left.key, &copy).unwrap();
    let rows = Store::open(&copy, left.key).unwrap().load().unwrap();
    assert_eq!(Funder::restore(left.key, rows).unwrap().accounts().count(), 1);
}
