//! A whole database, offline: what its file and rows are, and whether what they say follows from what was signed.

use crate::checksum::{self, TABLES};
use crate::database::{Store, check_owner, open, schema_version};
use crate::error::StoreError;
use crate::history::read_forward;
use crate::load::{Bytes, value};
use crate::log_file::{self, Condition};
use crate::seal::{self, Comparison};
use crate::structure;
use offst_crypto::{Ed25519Verifier, PublicKey};
use offst_funder::{Funder, FunderImage, InvoiceRecord, LineKey, Part, Payment, Progress};
use offst_ledger::{AccountImage, AccountKey, Proven};
use offst_proto::invoice::Invoice;
use offst_proto::key_replacement::KeyReplacement;
use offst_proto::payment::{PartTerms, Response};
use offst_proto::report::InvoiceStatus;
use offst_proto::{RequestId, Unverified, Verified};
use rusqlite::{Connection, OpenFlags};
use std::collections::BTreeMap;
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

/// What an audit found of one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditedAccount {
    /// The friend.
    pub friend: PublicKey,
    /// The owner's name for the friend.
    pub name: String,
    /// The currency.
    pub currency: String,
    /// What the signatures prove (none: no epoch has begun), or what is wrong.
    pub finding: Result<Option<Proven>, String>,
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
        checksum::install(&connection)?;
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
        faults.extend(structure::faults(path, &connection));
        let rows = count(&connection).unwrap_or_default();
        note(&mut faults, "payments", audit_payments(&connection));
        note(&mut faults, "invoices", audit_invoices(&connection, node));
        note(&mut faults, "forwards", audit_forwards(&connection));
        let mut store = Store { connection, accounts: BTreeMap::new() };
        let accounts = match store.read() {
            Ok((image, lost)) => {
                faults.extend(audit_replacements(&image, node));
                let accounts = audit_accounts(&image, &lost, node);
                if accounts.iter().all(|account| account.finding.is_ok())
                    && let Err(error) = Funder::restore(node, image)
                {
                    faults.push(format!("the rows do not fit together: {error}"));
                }
                accounts
            }
            Err(error) => {
                faults.push(error.to_string());
                Vec::new()
            }
        };
        Ok(Audit { faults, notes, accounts, rows, is_sealed: false })
    }
}

fn note(faults: &mut Vec<String>, what: &str, outcome: Result<Vec<String>, StoreError>) {
    match outcome {
        Ok(found) => faults.extend(found),
        Err(error) => faults.push(format!("the {what} cannot be read: {error}")),
    }
}

fn count(connection: &Connection) -> Result<u64, StoreError> {
    let mut rows = 0;
    let version = schema_version(connection)?;
    for table in TABLES.iter().filter(|table| table.since <= version) {
        let sql = format!("SELECT count(*) FROM {}", table.name);
        rows += connection.query_row(&sql, [], |row| row.get::<_, i64>(0))?.unsigned_abs();
    }
    Ok(rows)
}

/// Receipts are signed by who was paid.
fn audit_payments(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let mut faults = Vec::new();
    let mut statement = connection.prepare("SELECT id, is_open, value FROM payment")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id: Bytes = row.get(0)?;
        let payment: Payment = value("a payment", &row.get::<_, Bytes>(2)?)?;
        let is_open = matches!(payment.progress, Progress::Searching | Progress::Committed);
        if id != payment.id.as_bytes() || row.get::<_, bool>(1)? != is_open {
            faults.push(format!("the payment {} does not stand where it belongs", payment.id));
        }
        if payment.progress == Progress::Paid && !is_proven(&payment) {
            faults.push(format!("the payment {} is paid, and no signature of its destination proves it", payment.id));
        }
    }
    Ok(faults)
}

/// Whether its destination has signed for all of a payment that is paid: by a receipt or, when a part was released on the way that
/// it did not wait for, for each of the others. The owner was told then that there is no receipt.
fn is_proven(payment: &Payment) -> bool {
    if payment.underway() >= payment.total {
        return has_receipt(payment);
    }
    let is_collected = |(id, part): (&RequestId, &Part)| {
        let (Some(promise), Some(preimage)) = (part.promise, part.preimage) else { return false };
        let terms = PartTerms {
            request_id: *id,
            payment_id: payment.id,
            invoice_id: payment.invoice.as_ref().map(|(id, _)| *id),
            destination: payment.destination,
            currency: payment.currency.clone(),
            amount: part.amount,
            total: payment.total,
        };
        let response = Response { terms, nonce: promise.nonce, lock: promise.lock };
        preimage.lock() == promise.lock && Verified::assemble(response, &promise.signature, &Ed25519Verifier).is_ok()
    };
    !payment.parts.is_empty() && payment.parts.iter().all(is_collected)
}

fn has_receipt(payment: &Payment) -> bool {
    // What a receipt is compared with; the rest of the invoice is the seller's.
    let invoice = payment.invoice.as_ref().map(|(id, secret)| Invoice {
        id: *id,
        destination: payment.destination,
        currency: payment.currency.clone(),
        amount: payment.total,
        description: String::new(),
        expires_ms: None,
        secret: secret.clone(),
    });
    payment.receipt().is_some_and(|receipt| receipt.verify(&Ed25519Verifier, invoice.as_ref()).is_ok())
}

/// Invoices are signed by ourselves.
fn audit_invoices(connection: &Connection, node: PublicKey) -> Result<Vec<String>, StoreError> {
    let mut faults = Vec::new();
    let mut statement = connection.prepare("SELECT id, is_open, value FROM invoice")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id: Bytes = row.get(0)?;
        let record: InvoiceRecord = value("an invoice", &row.get::<_, Bytes>(2)?)?;
        let invoice = &record.invoice;
        if id != invoice.id.as_bytes() || row.get::<_, bool>(1)? != (record.status == InvoiceStatus::Open) {
            faults.push(format!("the invoice {} does not stand where it belongs", invoice.id));
        }
        let again = Unverified::<Invoice>::from_wire(invoice.wire()).map_err(StoreError::damaged("an invoice"))?;
        if invoice.destination != node || again.verify(&Ed25519Verifier).is_err() {
            faults.push(format!("the invoice {} does not bear our signature", invoice.id));
        }
    }
    Ok(faults)
}

fn audit_forwards(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT 1, number, request, from_friend, to_friend, currency, amount, fee, time_ms FROM forwarded";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        read_forward(row)?;
    }
    Ok(Vec::new())
}

/// What was agreed to when friends lost their keys is signed by ourselves.
fn audit_replacements(image: &FunderImage, node: PublicKey) -> Vec<String> {
    let is_ours = |wire: &[u8]| {
        let signed = Unverified::<KeyReplacement>::from_wire(wire).ok();
        signed.is_some_and(|signed| signed.peek().author == node && signed.verify(&Ed25519Verifier).is_ok())
    };
    let foreign = image.replacements.iter().filter(|replacement| !is_ours(replacement.wire()));
    foreign
        .map(|replacement| format!("the replacement of the key {} does not bear our signature", replacement.lost))
        .collect()
}

/// `lost`: the accounts with keys that friends have lost.
fn audit_accounts(image: &FunderImage, lost: &[(LineKey, AccountImage)], node: PublicKey) -> Vec<AuditedAccount> {
    let known = |friend: &PublicKey| {
        let known = image.friends.iter().find(|(key, _)| key == friend);
        known.map(|(_, record)| record.name.clone())
    };
    let name_of = |friend: &PublicKey| {
        let replacement = image.replacements.iter().find(|replacement| replacement.lost == *friend);
        let lost_name = || Some(format!("{} (lost key)", known(&replacement?.successor)?));
        known(friend).or_else(lost_name).unwrap_or_else(|| friend.to_string())
    };
    let audited = |(LineKey { friend, currency }, rows): &(LineKey, _)| {
        let key = AccountKey { local: node, remote: *friend, currency: currency.clone() };
        AuditedAccount {
            friend: *friend,
            name: name_of(friend),
            currency: currency.to_string(),
            finding: offst_ledger::audit(&key, rows, &Ed25519Verifier).map_err(|error| error.to_string()),
        }
    };
    image.accounts.iter().chain(lost).map(audited).collect()
}
