//! Whether what the rows of a database say is true: whether it was signed, and whether it belongs together. Whatever
//! keeps the rows hands them over one by one, when it has looked at their checksums itself.

use crate::accounts::record::{FriendRecord, Replacement};
use crate::funder::{Funder, State};
use crate::journal::{ARCHIVED_KINDS, ForwardedPayment, ReceivedPayment};
use crate::payments::record::{Part, Payment, Progress};
use crate::receiving::record::InvoiceRecord;
use offst_crypto::{Ed25519Verifier, PublicKey};
use offst_ledger::{
    AccountId, AccountImage, AccountKey, Direction, PENDING_REQUESTS, Proven, RequestRef, pending_key, stored_accounts,
};
use offst_proto::invoice::Invoice;
use offst_proto::key_replacement::KeyReplacement;
use offst_proto::payment::Response;
use offst_proto::{RequestId, Unverified, Verified};
use offst_rows::{Keeping, Row, RowError, RowKey, Rows};
use std::collections::BTreeSet;

/// Most faults that are told one by one.
const FAULTS_MAX: usize = 1000;

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

/// What an audit of rows found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowFindings {
    /// What is wrong, a sentence each.
    pub faults: Vec<String>,
    /// What the owner should know although nothing is wrong, a sentence each.
    pub notes: Vec<String>,
    /// Every account that could be read.
    pub accounts: Vec<AuditedAccount>,
    /// The numbers of kinds that this version does not know, and may leave alone.
    pub unknown_kinds: BTreeSet<u16>,
}

/// An audit, while it is given rows.
#[derive(Debug)]
pub struct RowAudit {
    node: PublicKey,
    /// What a start reads.
    rows: Rows,
    findings: RowFindings,
    faults_left_out: usize,
    /// Requests of ours that are pending, although the history knows that they were collected (ties.rs).
    collected: BTreeSet<RequestRef>,
    /// Names of kinds whose rows hold fields that this version does not know.
    newer: BTreeSet<&'static str>,
}

impl RowAudit {
    /// Of the rows of `node`.
    pub fn new(node: PublicKey) -> Self {
        RowAudit {
            node,
            rows: Rows::default(),
            findings: RowFindings::default(),
            faults_left_out: 0,
            collected: BTreeSet::new(),
            newer: BTreeSet::new(),
        }
    }

    /// A row that is what was written, those of [`Keeping::State`] before all others: how and under which number its
    /// kind is kept, its key and its value, and whether it is kept as one that has ended.
    pub fn row(&mut self, keeping: Keeping, kind: u16, key: &[u8], value: &[u8], has_ended: bool) {
        const PAYMENTS: u16 = Payment::KIND.number;
        const INVOICES: u16 = InvoiceRecord::KIND.number;
        const FORWARDED: u16 = ForwardedPayment::KIND.number;
        const RECEIVED: u16 = ReceivedPayment::KIND.number;
        match kind {
            PAYMENTS => self.payment(key, value, has_ended),
            INVOICES => self.invoice(key, value, has_ended),
            FORWARDED => {
                if let Some((_, ForwardedPayment { report, .. })) = self.read::<ForwardedPayment>(key, value) {
                    self.collected(&AccountId::new(report.to, &report.currency).request(report.request_id));
                }
            }
            RECEIVED => drop(self.read::<ReceivedPayment>(key, value)),
            _ => {}
        }
        match keeping {
            Keeping::State | Keeping::Log => self.rows.insert(kind, key.to_vec(), value.to_vec()),
            Keeping::Listed if !has_ended => self.rows.insert(kind, key.to_vec(), value.to_vec()),
            Keeping::Listed | Keeping::Journal | Keeping::Shelf => {
                if ARCHIVED_KINDS.iter().all(|known| known.number != kind) {
                    self.findings.unknown_kinds.insert(kind);
                }
            }
        }
    }

    fn fault(&mut self, fault: String) {
        if self.findings.faults.len() < FAULTS_MAX {
            self.findings.faults.push(fault);
        } else {
            self.faults_left_out += 1;
        }
    }

    fn read<T: Row>(&mut self, key: &[u8], value: &[u8]) -> Option<(T::Key, T)> {
        let key = T::Key::from_bytes(key).map_err(RowError::damaged(T::KIND.name));
        match key.and_then(|key| T::from_bytes(&key, value).map(|(value, unknown)| (key, value, unknown))) {
            Ok((key, value, unknown)) => {
                if !unknown.is_empty() {
                    self.newer.insert(T::KIND.name);
                }
                Some((key, value))
            }
            Err(error) => {
                self.fault(error.to_string());
                None
            }
        }
    }

    /// Takes note of a request that was collected, if it is pending.
    fn collected(&mut self, outgoing: &RequestRef) {
        if self.rows.get(PENDING_REQUESTS, &pending_key(Direction::Outgoing, outgoing)).is_some() {
            self.collected.insert(outgoing.clone());
        }
    }

    /// Receipts are signed by the node that was paid.
    fn payment(&mut self, key: &[u8], value: &[u8], has_ended: bool) {
        let Some((id, payment)) = self.read::<Payment>(key, value) else { return };
        if payment.has_ended() != has_ended {
            self.fault(format!("the payment {id} does not stand where it belongs"));
        }
        for (id, part) in payment.parts.iter().filter(|(_, part)| part.preimage.is_some()) {
            self.collected(&AccountId::new(part.path[0], &payment.currency).request(*id));
        }
        if payment.progress == Progress::Paid && !is_proven(&payment) {
            self.fault(format!("the payment {id} is paid, and no signature of its destination proves it"));
        }
    }

    /// Invoices are signed by ourselves.
    fn invoice(&mut self, key: &[u8], value: &[u8], has_ended: bool) {
        let Some((id, record)) = self.read::<InvoiceRecord>(key, value) else { return };
        if record.has_ended() != has_ended {
            self.fault(format!("the invoice {id} does not stand where it belongs"));
        }
        let again = Unverified::<Invoice>::from_wire(record.invoice.wire());
        let is_ours = record.invoice.destination == self.node
            && again.is_ok_and(|invoice| invoice.verify(&Ed25519Verifier).is_ok());
        if !is_ours {
            self.fault(format!("the invoice {id} does not bear our signature"));
        }
    }

    /// What was found, when all rows were handed over.
    pub fn finish(mut self) -> RowFindings {
        let rows = std::mem::take(&mut self.rows);
        if let Err(error) = self.accounts(&rows) {
            self.fault(error.to_string());
        }
        if self.findings.accounts.iter().all(|account| account.finding.is_ok()) {
            match self.belongs_together(rows) {
                Ok(()) => {}
                Err(error @ (RowError::UnknownKind(_) | RowError::UnknownField { .. })) => {
                    self.fault(error.to_string())
                }
                Err(error) => self.fault(format!("the rows do not fit together: {error}")),
            }
        }
        let RowAudit { mut findings, faults_left_out, newer, .. } = self;
        if faults_left_out > 0 {
            findings.faults.push(format!("{faults_left_out} more are left out"));
        }
        let notes = newer.into_iter().map(|name| {
            format!(
                "a newer version of Offst has written fields into rows of {name} that this one does not know: they stay"
            )
        });
        findings.notes.extend(notes);
        findings
    }

    /// Each account, also those with keys that friends have lost; and what we have agreed to about these.
    fn accounts(&mut self, rows: &Rows) -> Result<(), RowError> {
        let friends = rows.read::<FriendRecord>()?;
        let replacements = rows.read::<Replacement>()?;
        for (lost, Replacement(replacement)) in &replacements {
            let again = Unverified::<KeyReplacement>::from_wire(replacement.wire());
            let is_signed = again.is_ok_and(|again| again.verify(&Ed25519Verifier).is_ok());
            if replacement.author != self.node || replacement.lost != *lost || !is_signed {
                self.fault(format!("the replacement of the key {lost} does not bear our signature"));
            }
        }
        let known = |friend: &PublicKey| {
            let known = friends.iter().find(|(key, _)| key == friend);
            known.map(|(_, record)| record.name.clone())
        };
        let name_of = |friend: &PublicKey| {
            let replacement = replacements.iter().find(|(lost, _)| lost == friend);
            let lost_name = || Some(format!("{} (lost key)", known(&replacement?.1.0.new_key)?));
            known(friend).or_else(lost_name).unwrap_or_else(|| friend.to_string())
        };
        for account in stored_accounts(rows)? {
            let finding = audited(self.node, &account, rows);
            let (name, currency) = (name_of(&account.friend), account.currency.to_string());
            self.findings.accounts.push(AuditedAccount { friend: account.friend, name, currency, finding });
        }
        Ok(())
    }

    fn belongs_together(&mut self, mut rows: Rows) -> Result<(), RowError> {
        let state = State::restore(self.node, &mut rows)?;
        self.newer.extend(state.newer_kinds());
        self.findings.unknown_kinds.extend(rows.iter().map(|(kind, ..)| kind));
        let even = self.findings.unknown_kinds.iter().find(|kind| *kind % 2 == 0);
        if let Some(kind) = even {
            return Err(RowError::UnknownKind(*kind));
        }
        let funder = Funder(state);
        if funder.is_recovering() {
            let note = "the node recovers what it has lost: which requests belong together is known when that is over";
            self.findings.notes.push(note.into());
        }
        funder.loose_ends(&self.collected).into_iter().for_each(|end| self.fault(end));
        Ok(())
    }
}

fn audited(node: PublicKey, account: &AccountId, rows: &Rows) -> Result<Option<Proven>, String> {
    let key = AccountKey { local: node, remote: account.friend, currency: account.currency.clone() };
    let image = AccountImage::of(account, rows).map_err(|error| error.to_string())?;
    offst_ledger::audit(&key, &image, &Ed25519Verifier).map_err(|error| error.to_string())
}

/// Whether its destination has signed for all of a payment that is paid: by a receipt or, when a part was released on
/// the way that it did not wait for, for each of the others. The owner was told then that there is no receipt.
fn is_proven(payment: &Payment) -> bool {
    if payment.underway() >= payment.total.credits() {
        return has_receipt(payment);
    }
    let is_collected = |(id, part): (&RequestId, &Part)| {
        let (Some(promise), Some(preimage)) = (part.promise, part.preimage) else { return false };
        let terms = payment.part_terms(*id, part.amount);
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
