//! A whole database, offline: what its file and rows are, and whether what they say follows from what was signed.

use crate::checksum::StoredRow;
use crate::database::{Store, check_owner, open};
use crate::error::StoreError;
use crate::kinds::Kinds;
use crate::log_file::{self, Condition};
use crate::seal::{self, Comparison};
use crate::structure;
use offst_crypto::PublicKey;
use offst_funder::{AuditedAccount, RowAudit};
use rusqlite::OpenFlags;
use std::path::Path;

const TORN_LOG: &str = "the newest transaction in the log beside the database (its name ends in -wal) is incomplete: that is \
    how a log looks when the node or the machine died while it was written. Nothing that was sent rests on it, and the next \
    start leaves it out";

const OPEN_SEAL: &str = "beside the database are both a seal and a log that is not empty (their names end in .seal and -wal): \
    something has written since the node stopped, or the files are of different times. The seal was not compared";

/// What an audit found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audit {
    /// What is wrong with the database, a sentence each.
    pub faults: Vec<String>,
    /// What the owner should know although nothing is wrong, a sentence each.
    pub notes: Vec<String>,
    /// Every account that could be read.
    pub accounts: Vec<AuditedAccount>,
    /// How many rows all tables have.
    pub rows: u64,
    /// Whether a seal says that every byte is what the node left when it stopped ([`crate::Seal`]).
    pub is_sealed: bool,
}

impl Audit {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty() && self.accounts.iter().all(|account| account.finding.is_ok())
    }
}

impl Store {
    /// Audits the database of `node`, which nobody may be using. Nothing is changed.
    ///
    /// # Errors
    /// The database is missing, not one of Offst's, or another node's. Whatever is wrong inside it is a finding, and so are
    /// these when its seal says that it was another file.
    pub fn audit(path: &Path, node: PublicKey) -> Result<Audit, StoreError> {
        let compared = seal::compare(path);
        let audited = Store::audit_content(path, node);
        match compared {
            Comparison::Absent => audited,
            Comparison::Same => audited.map(|audit| Audit { is_sealed: true, ..audit }),
            Comparison::Open => audited.map(|mut audit| {
                audit.notes.push(OPEN_SEAL.to_owned());
                audit
            }),
            Comparison::Different(fault) => {
                let mut audit = match audited {
                    Err(error @ (StoreError::Missing(_) | StoreError::Unopened(_))) => return Err(error),
                    Err(error) => Audit { faults: vec![error.to_string()], ..Audit::default() },
                    Ok(audit) => audit,
                };
                audit.faults.insert(0, fault);
                Ok(audit)
            }
        }
    }

    /// Whatever the database itself shows.
    fn audit_content(path: &Path, node: PublicKey) -> Result<Audit, StoreError> {
        // Before SQLite opens the file: it would drop what it cannot read.
        let log = log_file::condition(path);
        let connection = open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let (mut faults, mut notes) = (Vec::new(), Vec::new());
        match log {
            Ok(Condition::Whole) => {}
            Ok(Condition::Torn) => notes.push(TORN_LOG.to_owned()),
            Ok(Condition::Damaged) => faults.push(StoreError::DamagedLog.to_string()),
            Err(error) => faults.push(format!("the log beside the database cannot be read: {error}")),
        }
        match check_owner(&connection, node) {
            Err(error @ StoreError::OtherNode { .. }) => return Err(error),
            Err(error) => faults.push(format!("the database does not name its owner: {error}")),
            Ok(()) => {}
        }
        let mut rows = RowAudit::new(node);
        let hand_over = |row: StoredRow<'_>| rows.row(row.keeping, row.kind, row.key, row.value, row.has_ended);
        let (found, count) = structure::faults(path, &connection, hand_over);
        let said = rows.finish();
        faults.extend(found.into_iter().chain(said.faults));
        notes.extend(said.notes);
        let kinds = Kinds::read(&connection).unwrap_or_default();
        notes.extend(said.unknown_kinds.iter().map(|number| {
            format!("rows of {} are unknown to this version of Offst, and stay as they are", kinds.name(*number))
        }));
        Ok(Audit { faults, notes, accounts: said.accounts, rows: count, is_sealed: false })
    }
}
