//! A database in memory: rows as bytes, written as a real one writes them.

use crate::trace::Trace;
use offst_crypto::{Preimage, PublicKey};
use offst_funder::{
    Archive, Arrival, Change, Commit, Forward, FriendRecord, FunderImage, HopKey, InvoiceRecord, LineKey, Payment,
    Progress, Spendings, WriteOff,
};
use offst_ledger::{AccountChange, AccountImage, Direction, EvidenceRows, Pending, QueuedOperation};
use offst_proto::encoding::{Canonical, Decoder};
use offst_proto::key_replacement::KeyReplacement;
use offst_proto::report::{ForwardReport, InvoiceStatus, ReceivedReport};
use offst_proto::statement::Operation;
use offst_proto::ticket::ServerTicket;
use offst_proto::{InvoiceId, PaymentId, RequestId, Verified};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

#[derive(Debug, Clone, Default)]
struct AccountRows {
    head: Vec<u8>,
    negotiation: Vec<u8>,
    openings: Vec<u8>,
    checkpoint: Vec<u8>,
    pendings: BTreeMap<(Direction, RequestId), Vec<u8>>,
    queue: BTreeMap<u64, Vec<u8>>,
    statements: BTreeMap<(bool, u64), Arc<[u8]>>,
}

/// All rows of one node.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    friends: BTreeMap<PublicKey, Vec<u8>>,
    accounts: BTreeMap<LineKey, AccountRows>,
    tombstones: BTreeMap<LineKey, u64>,
    replacements: Vec<Verified<KeyReplacement>>,
    relays: BTreeMap<String, ServerTicket>,
    index_servers: BTreeMap<String, ServerTicket>,
    forwards: BTreeMap<HopKey, Vec<u8>>,
    write_offs: BTreeMap<HopKey, Vec<u8>>,
    arrivals: BTreeMap<HopKey, Vec<u8>>,
    invoices: BTreeMap<InvoiceId, Vec<u8>>,
    open_invoices: BTreeSet<InvoiceId>,
    payments: BTreeMap<PaymentId, Vec<u8>>,
    open_payments: BTreeSet<PaymentId>,
    spendings: Spendings,
    auto_clear: bool,
    /// What the node has earned as a mediator.
    pub forwarded: Vec<ForwardReport>,
    /// What the node has been paid.
    pub received: Vec<ReceivedReport>,
    /// What it has collected: the request, the friend it came from and that has paid, when, and what opened the lock.
    preimages: Vec<(RequestId, Option<PublicKey>, Preimage)>,
    peer_backups: BTreeMap<PublicKey, Vec<u8>>,
    recovery: Option<Vec<u8>>,
    /// Every request that ever ended here, also those that are over: for checks from outside.
    pub(crate) arrived: BTreeMap<HopKey, Arrival>,
    /// Every request that was ever written off, by its outgoing side.
    pub(crate) written_off: BTreeMap<HopKey, WriteOff>,
    /// Accounts that were written since somebody looked, and in the last transaction.
    pub(super) touched: BTreeSet<LineKey>,
    pub(super) written: BTreeSet<LineKey>,
    /// Every request of a friend's that was collected, as far as it waited to be signed.
    pub(crate) collected: BTreeSet<HopKey>,
    /// Accounts that went with their friends since somebody looked.
    pub(super) dropped: Vec<LineKey>,
    /// Payments that have ended since somebody looked.
    pub(super) ended: Vec<PaymentId>,
    /// How many transactions were written.
    pub transactions: usize,
    /// The next transaction is refused.
    pub(super) fails: bool,
    /// What was written, in order.
    pub(super) trace: Trace,
}

fn read<T: Canonical>(bytes: &[u8]) -> T {
    let mut decoder = Decoder::new(bytes);
    let value = decoder.value().expect("a row that was written can be read");
    decoder.finish().expect("a row holds nothing else");
    value
}

fn put<K: Ord, T: Canonical>(rows: &mut BTreeMap<K, Vec<u8>>, key: K, value: Option<&T>) {
    match value {
        Some(value) => {
            rows.insert(key, value.to_canonical_bytes());
        }
        None => {
            rows.remove(&key);
        }
    }
}

fn keep<K: Ord>(keys: &mut BTreeSet<K>, key: K, is_kept: bool) {
    if is_kept {
        keys.insert(key);
    } else {
        keys.remove(&key);
    }
}

impl AccountRows {
    fn apply(&mut self, change: &AccountChange) {
        match change {
            AccountChange::Head(head) => self.head = head.clone(),
            AccountChange::Negotiation(negotiation) => self.negotiation = negotiation.clone(),
            AccountChange::Openings(openings) => self.openings = openings.clone(),
            AccountChange::Checkpoint(set) => self.checkpoint = set.clone(),
            AccountChange::Pending(direction, id, pending) => {
                put(&mut self.pendings, (*direction, *id), pending.as_ref());
            }
            AccountChange::Queued(counter, queued) => put(&mut self.queue, *counter, queued.as_ref()),
            AccountChange::Statement(mine, seq, wire) => {
                self.statements.insert((*mine, *seq), wire.clone());
            }
            AccountChange::DropStatements(mine, below) => {
                self.statements.retain(|(side, seq), _| side != mine || seq >= below);
            }
            AccountChange::Clear => {
                self.pendings.clear();
                self.queue.clear();
                self.statements.clear();
                self.openings.clear();
                self.checkpoint.clear();
            }
        }
    }

    fn image(&self) -> AccountImage {
        AccountImage {
            head: self.head.clone(),
            negotiation: self.negotiation.clone(),
            openings: self.openings.clone(),
            checkpoint: self.checkpoint.clone(),
            pendings: self.pendings.iter().map(|((d, id), row)| (*d, *id, read::<Pending>(row))).collect(),
            queue: self.queue.iter().map(|(counter, row)| (*counter, read::<QueuedOperation>(row))).collect(),
            statements: self.statements.values().cloned().collect(),
        }
    }
}

/// Rows that are bytes are taken in as bytes: as a text they would be several times as long.
fn note(trace: &mut Trace, change: &Change) {
    let (line, rows) = match change {
        Change::Account(line, rows) => (line, rows),
        Change::Forward(key, _) => return trace.bytes("forward", key.id.as_bytes()),
        Change::Arrival(key, _) => return trace.bytes("arrival", key.id.as_bytes()),
        Change::Invoice(record) => return trace.bytes("invoice", record.invoice.wire()),
        Change::Payment(payment) => return trace.bytes("payment", payment.id.as_bytes()),
        change => return trace.note(change),
    };
    trace.bytes("line", line.friend.as_bytes());
    trace.bytes("line", line.currency.as_str().as_bytes());
    for row in rows {
        match row {
            AccountChange::Head(bytes) => trace.bytes("head", bytes),
            AccountChange::Negotiation(bytes) => trace.bytes("negotiation", bytes),
            AccountChange::Openings(bytes) => trace.bytes("openings", bytes),
            AccountChange::Checkpoint(bytes) => trace.bytes("checkpoint", bytes),
            AccountChange::Statement(mine, seq, wire) => {
                trace.number(seq << 1 | u64::from(*mine));
                trace.bytes("statement", wire);
            }
            AccountChange::Pending(_, id, _) => trace.bytes("pending", id.as_bytes()),
            AccountChange::Queued(counter, _) => trace.number(*counter),
            row => trace.note(row),
        }
    }
}

/// The request that a row of ours collects before it is signed. What is signed is seen by the signer.
fn waits_to_collect(row: &AccountChange) -> Option<RequestId> {
    let AccountChange::Queued(_, Some(queued)) = row else { return None };
    match &queued.operation {
        Operation::Collect { id, .. } => Some(*id),
        _ => None,
    }
}

/// The disk has not written a transaction, nor any part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotWritten;

impl Commit for Disk {
    type Error = NotWritten;

    fn commit(&mut self, changes: &[Change]) -> Result<(), Self::Error> {
        if self.fails {
            return Err(NotWritten);
        }
        self.transactions += 1;
        self.written.clear();
        changes.iter().for_each(|change| note(&mut self.trace, change));
        for change in changes {
            match change {
                Change::Friend(key, record) => put(&mut self.friends, *key, record.as_ref()),
                Change::Account(line, rows) => {
                    self.collected.extend(rows.iter().filter_map(waits_to_collect).map(|id| line.hop(id)));
                    self.touched.insert(line.clone());
                    self.written.insert(line.clone());
                    let account = self.accounts.entry(line.clone()).or_default();
                    rows.iter().for_each(|row| account.apply(row));
                }
                Change::DropAccount(line) => {
                    self.dropped.push(line.clone());
                    self.accounts.remove(line);
                }
                Change::Tombstone(line, epoch) => {
                    self.tombstones.insert(line.clone(), *epoch);
                }
                Change::KeyReplacement(replacement) => self.replacements.push(replacement.clone()),
                Change::Relay(name, ticket) => match ticket {
                    Some(ticket) => drop(self.relays.insert(name.clone(), ticket.clone())),
                    None => drop(self.relays.remove(name)),
                },
                Change::IndexServer(name, ticket) => match ticket {
                    Some(ticket) => drop(self.index_servers.insert(name.clone(), ticket.clone())),
                    None => drop(self.index_servers.remove(name)),
                },
                Change::AutoClear(on) => self.auto_clear = *on,
                Change::Forward(key, forward) => put(&mut self.forwards, key.clone(), forward.as_ref()),
                Change::WriteOff(key, write_off) => {
                    self.written_off.extend(write_off.iter().map(|write_off| (key.clone(), write_off.clone())));
                    put(&mut self.write_offs, key.clone(), write_off.as_ref());
                }
                Change::Arrival(key, arrival) => {
                    if let Some(arrival) = arrival {
                        self.arrived.insert(key.clone(), arrival.clone());
                    }
                    put(&mut self.arrivals, key.clone(), arrival.as_ref());
                }
                Change::Invoice(record) => {
                    let is_open = record.status == InvoiceStatus::Open;
                    keep(&mut self.open_invoices, record.invoice.id, is_open);
                    put(&mut self.invoices, record.invoice.id, Some(record));
                }
                Change::Payment(payment) => {
                    let is_open = matches!(payment.progress, Progress::Searching | Progress::Committed);
                    keep(&mut self.open_payments, payment.id, is_open);
                    if !is_open {
                        self.ended.push(payment.id);
                    }
                    put(&mut self.payments, payment.id, Some(payment));
                }
                Change::Spending(app, currency, spending) => {
                    self.spendings.insert((*app, currency.clone()), *spending);
                }
                Change::Forwarded(report, preimage) => {
                    self.preimages.push((report.request_id, report.from, *preimage));
                    self.forwarded.push(report.clone());
                }
                Change::Received(report, preimage) => {
                    self.preimages.push((report.request_id, Some(report.from), *preimage));
                    self.received.push(report.clone());
                }
                Change::Recovery(record) => self.recovery = record.as_ref().map(Canonical::to_canonical_bytes),
                Change::PeerBackup(key, sealed) => match sealed {
                    Some(sealed) => drop(self.peer_backups.insert(*key, sealed.clone())),
                    None => drop(self.peer_backups.remove(key)),
                },
            }
        }
        Ok(())
    }
}

impl Archive for Disk {
    type Error = Infallible;

    fn peer_backup(&self, friend: PublicKey) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.peer_backups.get(&friend).cloned())
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
    pub fn image(&self) -> FunderImage {
        FunderImage {
            friends: self.friends.iter().map(|(key, row)| (*key, read::<FriendRecord>(row))).collect(),
            accounts: self.accounts.iter().map(|(line, rows)| (line.clone(), rows.image())).collect(),
            tombstones: self.tombstones.iter().map(|(line, epoch)| (line.clone(), *epoch)).collect(),
            replacements: self.replacements.clone(),
            relays: self.relays.clone().into_iter().collect(),
            index_servers: self.index_servers.clone().into_iter().collect(),
            forwards: self.forwards.iter().map(|(key, row)| (key.clone(), read::<Forward>(row))).collect(),
            written_off: self.write_offs.iter().map(|(key, row)| (key.clone(), read::<WriteOff>(row))).collect(),
            arrivals: self.arrivals.iter().map(|(key, row)| (key.clone(), read::<Arrival>(row))).collect(),
            invoices: self.open_invoices.iter().map(|id| read(&self.invoices[id])).collect(),
            payments: self.open_payments.iter().map(|id| read(&self.payments[id])).collect(),
            spendings: self.spendings.clone(),
            auto_clear: self.auto_clear,
            recovery: self.recovery.as_deref().map(read),
        }
    }

    /// All invoices, also those that ended.
    pub fn invoices(&self) -> impl Iterator<Item = InvoiceRecord> {
        self.invoices.values().map(|row| read(row))
    }

    /// All payments, also those that ended.
    pub fn payments(&self) -> impl Iterator<Item = Payment> {
        self.payments.values().map(|row| read(row))
    }

    /// A payment, also one that ended.
    pub fn payment(&self, id: PaymentId) -> Option<Payment> {
        self.payments.get(&id).map(|row| read(row))
    }

    /// An invoice, also one that ended.
    pub fn invoice(&self, id: InvoiceId) -> Option<InvoiceRecord> {
        self.invoices.get(&id).map(|row| read(row))
    }

    /// Our statements for a friend that it has not acknowledged, as bytes.
    pub(super) fn own_statements(&self, friend: PublicKey) -> impl Iterator<Item = &[u8]> {
        let accounts = self.accounts.iter().filter(move |(line, _)| line.friend == friend);
        let statements = accounts.flat_map(|(_, rows)| rows.statements.iter().rev());
        statements.filter(|((mine, _), _)| *mine).map(|(_, wire)| &**wire)
    }

    /// The rows of one account.
    pub(super) fn account(&self, line: &LineKey) -> Option<AccountImage> {
        self.accounts.get(line).map(AccountRows::image)
    }

    /// Requests that are carried on, end here or were written off, and which of these.
    pub(super) fn rows_underway(&self) -> impl Iterator<Item = (&HopKey, &'static str)> {
        let forwards = self.forwards.keys().map(|key| (key, "the forwarding"));
        let write_offs = self.write_offs.keys().map(|key| (key, "the write-off"));
        forwards.chain(self.arrivals.keys().map(|key| (key, "the arrival"))).chain(write_offs)
    }

    /// Whether the node recovers what it has lost.
    pub(crate) fn is_recovering(&self) -> bool {
        self.recovery.is_some()
    }

    /// The rows that prove where an account stands.
    pub(super) fn evidence(&self, line: &LineKey) -> EvidenceRows {
        let rows = self.accounts.get(line);
        rows.map_or_else(EvidenceRows::default, |rows| EvidenceRows {
            checkpoint: rows.checkpoint.clone(),
            statements: rows.statements.values().cloned().collect(),
        })
    }

    /// The sealed backup that is kept for a friend.
    pub(super) fn backup_of(&self, friend: PublicKey) -> Option<&[u8]> {
        self.peer_backups.get(&friend).map(Vec::as_slice)
    }

    /// Whether its owner has agreed that this lost key has a successor.
    pub(super) fn has_replaced(&self, lost: PublicKey) -> bool {
        self.replacements.iter().any(|replacement| replacement.lost == lost)
    }

    /// Requests that are carried on, end here or were written off.
    pub fn underway(&self) -> usize {
        self.rows_underway().count()
    }
}
