//! A database in memory: the rows that a real one keeps, by the same keys and in the same bytes.

use crate::trace::Trace;
use offst_crypto::{Preimage, PublicKey};
use offst_funder::{
    AccountId, Archive, Forward, ForwardedPayment, InboundPart, InvoiceRecord, Payment, ReceivedPayment,
    RecoveryRecord, Replacement, RequestRef, WriteOff,
};
use offst_ledger::{
    ACCOUNTS, AccountImage, EvidenceRows, QUEUED_OPERATIONS, QueuedOperation, STATEMENTS, stored_accounts,
};
use offst_proto::encoding::Decoder;
use offst_proto::report::{ForwardReport, ReceivedReport};
use offst_proto::statement::Operation;
use offst_proto::{InvoiceId, PaymentId, RequestId};
use offst_rows::{Commit, Keeping, ReadChange, Row, RowChange, RowKey, Rows};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

/// All rows of one node.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    /// What a start reads.
    rows: Rows,
    invoices: BTreeMap<InvoiceId, InvoiceRecord>,
    payments: BTreeMap<PaymentId, Payment>,
    /// What the node has earned as a mediator.
    pub forwarded: Vec<ForwardReport>,
    /// What the node has been paid.
    pub received: Vec<ReceivedReport>,
    /// What it has collected: the request, the friend it came from and that has paid, when, and what opened the lock.
    preimages: Vec<(RequestId, Option<PublicKey>, Preimage)>,
    peer_backups: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Every request that ever ended here, also those that are over: for checks from outside.
    pub(crate) arrived: BTreeMap<RequestRef, InboundPart>,
    /// Every request that was ever written off, by its outgoing side.
    pub(crate) written_off: BTreeMap<RequestRef, WriteOff>,
    /// Accounts that were written since somebody looked, and in the last transaction.
    pub(super) touched: BTreeSet<AccountId>,
    pub(super) written: BTreeSet<AccountId>,
    /// Every request of a friend's that was collected, as far as it waited to be signed.
    pub(crate) collected: BTreeSet<RequestRef>,
    /// Accounts that went with their friends since somebody looked.
    pub(super) dropped: Vec<AccountId>,
    /// Payments that have ended since somebody looked.
    pub(super) ended: Vec<PaymentId>,
    /// How many transactions were written.
    pub transactions: usize,
    /// The next transaction is refused.
    pub(super) fails: bool,
    /// What was written, in order.
    pub(super) trace: Trace,
}

const READ: &str = "a row that was written can be read";

/// The disk has not written a transaction, nor any part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotWritten;

impl Commit for Disk {
    type Error = NotWritten;

    fn commit(&mut self, changes: &[RowChange]) -> Result<(), Self::Error> {
        if self.fails {
            return Err(NotWritten);
        }
        self.transactions += 1;
        self.written.clear();
        for change in changes {
            self.trace.bytes(change.kind.name, &change.key);
            self.trace.bytes("value", change.value.as_deref().unwrap_or_default());
            self.observe(change);
            self.rows.apply(change);
            if change.kind.keeping == Keeping::Shelf {
                match &change.value {
                    Some(value) => drop(self.peer_backups.insert(change.key.clone(), value.clone())),
                    None => drop(self.peer_backups.remove(&change.key)),
                }
            }
        }
        Ok(())
    }
}

/// A change of a row of this type.
fn of<T: Row>(change: &RowChange) -> Option<ReadChange<T>> {
    change.read().expect(READ)
}

/// The account and, behind it, whatever else stands in a row's key.
fn account_of(change: &RowChange) -> AccountId {
    AccountId::read(&mut Decoder::new(&change.key)).expect(READ)
}

impl Disk {
    /// Remembers what checks from outside ask for.
    fn observe(&mut self, change: &RowChange) {
        match change.kind {
            ACCOUNTS => {
                let account = account_of(change);
                if change.value.is_none() {
                    return self.dropped.push(account);
                }
                self.touched.insert(account.clone());
                self.written.insert(account);
            }
            QUEUED_OPERATIONS => {
                // What is signed is seen by the signer.
                let queued = change.value.as_ref().map(|value| QueuedOperation::from_row(value).expect(READ));
                if let Some(Operation::Collect { id, .. }) = queued.map(|queued| queued.operation) {
                    self.collected.insert(account_of(change).request(id));
                }
            }
            _ => {}
        }
        if let Some((lost, _)) = of::<Replacement>(change) {
            // The accounts of a key that was lost stay as evidence, and are over.
            self.dropped.extend(self.accounts().into_iter().filter(|account| account.friend == lost));
        }
        if let Some((key, Some(write_off))) = of::<WriteOff>(change) {
            self.written_off.insert(key, write_off);
        }
        if let Some((key, Some(inbound_part))) = of::<InboundPart>(change) {
            self.arrived.insert(key, inbound_part);
        }
        if let Some((id, Some(record))) = of::<InvoiceRecord>(change) {
            self.invoices.insert(id, record);
        }
        if let Some((id, Some(payment))) = of::<Payment>(change) {
            if payment.has_ended() {
                self.ended.push(id);
            }
            self.payments.insert(id, payment);
        }
        if let Some((_, Some(ForwardedPayment { report, preimage }))) = of(change) {
            self.preimages.push((report.request_id, report.from, preimage));
            self.forwarded.push(report);
        }
        if let Some((_, Some(ReceivedPayment { report, preimage }))) = of(change) {
            self.preimages.push((report.request_id, Some(report.from), preimage));
            self.received.push(report);
        }
    }
}

impl Archive for Disk {
    type Error = Infallible;

    fn peer_backup(&self, friend: PublicKey) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.backup_of(friend).map(<[u8]>::to_vec))
    }

    fn preimages(
        &self,
        from: Option<PublicKey>,
        ids: &BTreeSet<RequestId>,
    ) -> Result<BTreeMap<RequestId, Preimage>, Infallible> {
        let is_wanted = |(id, friend, _): &&(RequestId, Option<PublicKey>, Preimage)| {
            ids.contains(id) && from.is_none_or(|from| Some(from) == *friend)
        };
        Ok(self.preimages.iter().filter(is_wanted).map(|(id, _, preimage)| (*id, *preimage)).collect())
    }
}

impl Disk {
    /// What a node that starts is given.
    pub fn rows(&self) -> Rows {
        self.rows.clone()
    }

    /// The rows of a type that a start reads.
    pub fn all<T: Row>(&self) -> Vec<(T::Key, T)> {
        self.rows.read().expect(READ)
    }

    /// The accounts of friends, and with keys that friends have lost.
    pub fn accounts(&self) -> Vec<AccountId> {
        stored_accounts(&self.rows).expect(READ)
    }

    /// The mark of a recovery.
    pub fn recovery(&self) -> Option<RecoveryRecord> {
        self.all().pop().map(|((), record)| record)
    }

    /// All invoices, also those that ended.
    pub fn invoices(&self) -> impl Iterator<Item = InvoiceRecord> {
        self.invoices.values().cloned()
    }

    /// All payments, also those that ended.
    pub fn payments(&self) -> impl Iterator<Item = Payment> {
        self.payments.values().cloned()
    }

    /// A payment, also one that ended.
    pub fn payment(&self, id: PaymentId) -> Option<Payment> {
        self.payments.get(&id).cloned()
    }

    /// An invoice, also one that ended.
    pub fn invoice(&self, id: InvoiceId) -> Option<InvoiceRecord> {
        self.invoices.get(&id).cloned()
    }

    /// Our statements for a friend that it has not acknowledged, as bytes.
    pub(super) fn own_statements(&self, friend: PublicKey) -> impl Iterator<Item = &[u8]> {
        let accounts = self.accounts().into_iter().filter(move |account| account.friend == friend);
        accounts.flat_map(|account| {
            let key = account.to_bytes();
            let mut rows: Vec<_> = self.rows.with_prefix(STATEMENTS, &key).collect();
            rows.retain(|(row, _)| row[key.len()] == 1);
            rows.into_iter().rev().map(|(_, wire)| wire)
        })
    }

    /// The rows of one account.
    pub fn account(&self, account: &AccountId) -> Option<AccountImage> {
        let is_there = self.rows.get(ACCOUNTS, &account.to_bytes()).is_some();
        is_there.then(|| AccountImage::of(account, &self.rows).expect(READ))
    }

    /// Requests that are carried on, end here or were written off, and which of these.
    pub(super) fn rows_underway(&self) -> impl Iterator<Item = (RequestRef, &'static str)> {
        let forwards = self.all::<Forward>().into_iter().map(|(key, _)| (key, "the forwarding"));
        let inbound_parts = self.all::<InboundPart>().into_iter().map(|(key, _)| (key, "the inbound part"));
        let write_offs = self.all::<WriteOff>().into_iter().map(|(key, _)| (key, "the write-off"));
        forwards.chain(inbound_parts).chain(write_offs)
    }

    /// Whether the node recovers what it has lost.
    pub(crate) fn is_recovering(&self) -> bool {
        self.rows.of(RecoveryRecord::KIND).next().is_some()
    }

    /// The rows that prove where an account stands.
    pub(super) fn evidence(&self, account: &AccountId) -> EvidenceRows {
        EvidenceRows::of(account, &self.rows)
    }

    /// The sealed backup that is kept for a friend.
    pub(super) fn backup_of(&self, friend: PublicKey) -> Option<&[u8]> {
        self.peer_backups.get(&friend.to_bytes()).map(Vec::as_slice)
    }

    /// Whether its owner has agreed that this lost key has a new key.
    pub(super) fn has_replaced(&self, lost: PublicKey) -> bool {
        self.rows.get(Replacement::KIND, &lost.to_bytes()).is_some()
    }

    /// Requests that are carried on, end here or were written off.
    pub fn underway(&self) -> usize {
        self.rows_underway().count()
    }
}
