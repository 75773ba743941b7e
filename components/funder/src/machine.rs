//! The machine: inputs are handled in batches, a batch becomes durable in one transaction, and only then its outputs exist.
//!
//! [`Funder`] -> [`Batch`] -> (`handle` each input) -> [`Effects`] -> [`Effects::commit`] -> the next [`Funder`] and its
//! outputs. The outputs are private inside [`Effects`], and a commit that fails gives back neither them nor the machine: nobody
//! can hold a state that is ahead of the disk.

use crate::budget::{Spending, Spendings};
use crate::command::{CommandId, Reply};
use crate::io::{Environment, Input, Moment, Output};
use crate::peer_backup::Backups;
use crate::quote::Question;
use crate::records::{
    Arrival, Forward, Friend, FriendRecord, HopKey, InvoiceRecord, LineKey, Origin, Payment, Progress,
};
use crate::recovery::{Recovery, RecoveryRecord};
use crate::refusals::Refusals;
use crate::seller::{Group, GroupKey};
use crate::silences::Silences;
use crate::timers::{Timer, Timers};
use crate::write_off::WriteOff;
use offst_crypto::{Preimage, PublicKey};
use offst_ledger::{Account, AccountChange, AccountImage, Epoch, SignOutcome};
use offst_proto::budget::Budgets;
use offst_proto::friend::statement_frame;
use offst_proto::index::{Clearable, Edge};
use offst_proto::invoice::EXPIRES_MS_MAX;
use offst_proto::key_replacement::KeyReplacement;
use offst_proto::report::{Event, ForwardReport, InvoiceStatus, ReceivedReport};
use offst_proto::ticket::ServerTicket;
use offst_proto::{Currency, InvoiceId, PaymentId, Verified};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How many invoices that ended are remembered.
const ENDED_INVOICES_MAX: usize = 1000;

/// A whole node between two batches. Equal to what its database holds.
#[derive(Debug)]
pub struct Funder(pub(crate) State);

/// Everything a node knows.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) local: PublicKey,
    pub(crate) friends: BTreeMap<PublicKey, Friend>,
    /// Names are unique.
    pub(crate) names: BTreeMap<String, PublicKey>,
    /// The last epoch of accounts that were removed.
    pub(crate) tombstones: BTreeMap<LineKey, u64>,
    /// What we have agreed to when friends lost their keys, by the lost key.
    pub(crate) replacements: BTreeMap<PublicKey, Verified<KeyReplacement>>,
    pub(crate) relays: BTreeMap<String, ServerTicket>,
    pub(crate) index_servers: BTreeMap<String, ServerTicket>,
    /// Requests that we carry on, by their incoming side.
    pub(crate) forwards: BTreeMap<HopKey, Forward>,
    /// Whose requests our outgoing requests are.
    pub(crate) origins: BTreeMap<HopKey, Origin>,
    /// Our outgoing requests that were written off: they have no origin any more.
    pub(crate) written_off: BTreeMap<HopKey, WriteOff>,
    /// Requests that end here, by their incoming side.
    pub(crate) arrivals: BTreeMap<HopKey, Arrival>,
    /// The parts of each payment to us.
    pub(crate) groups: BTreeMap<GroupKey, Group>,
    /// Invoices that can be paid.
    pub(crate) invoices: BTreeMap<InvoiceId, InvoiceRecord>,
    /// The last invoices that ended while this process ran, so that late buyers are told why.
    pub(crate) ended_invoices: BTreeMap<InvoiceId, InvoiceRecord>,
    pub(crate) ended_invoices_order: VecDeque<InvoiceId>,
    /// Payments of ours that have not ended, and those that ended in this batch.
    pub(crate) payments: BTreeMap<PaymentId, Payment>,
    /// What the applications may spend. Not stored: the owner's files say it.
    pub(crate) budgets: BTreeMap<PublicKey, Budgets>,
    /// What they have spent of it.
    pub(crate) spendings: Spendings,
    /// Which of them pays an invoice.
    pub(crate) paying: BTreeMap<InvoiceId, PaymentId>,
    /// What is known of a payment only while this process runs.
    pub(crate) searches: BTreeMap<PaymentId, crate::buyer::Search>,
    /// What each pair of friends has frozen through us: from, to, currency.
    pub(crate) carried: BTreeMap<crate::guard::Lane, crate::guard::Load>,
    /// What was held on each of them lately. Not stored.
    pub(crate) holds: BTreeMap<crate::guard::Lane, crate::guard::Holds>,
    pub(crate) invoice_waiters: BTreeMap<InvoiceId, Vec<CommandId>>,
    pub(crate) drain_waiters: BTreeMap<PublicKey, Vec<CommandId>>,
    /// Outgoing commits that are not signed yet.
    pub(crate) unsigned_commits: BTreeSet<HopKey>,
    pub(crate) timers: Timers,
    /// Rings of debts are cleared without asking the owner.
    pub(crate) auto_clear: bool,
    /// Questions of the owner's and of our own that the index servers have not answered.
    pub(crate) questions: BTreeMap<PaymentId, Question>,
    /// What others have refused to carry for our payments lately.
    pub(crate) refusals: Refusals,
    /// The same for rings of debts, where more is a reason to refuse.
    pub(crate) clearing_refusals: Refusals,
    /// Where our payments got no answer.
    pub(crate) silences: Silences,
    /// This node recovers what it has lost.
    pub(crate) recovery: Option<Recovery>,
    /// What friends keep for us.
    pub(crate) backups: Backups,
    /// The edges as they were last given out.
    pub(crate) published: BTreeMap<LineKey, Edge>,
}

/// All rows of a node's database that a running node needs.
#[derive(Debug, Default)]
pub struct FunderImage {
    /// Friends.
    pub friends: Vec<(PublicKey, FriendRecord)>,
    /// Their accounts.
    pub accounts: Vec<(LineKey, AccountImage)>,
    /// The last epochs of removed accounts.
    pub tombstones: Vec<(LineKey, u64)>,
    /// What the node has agreed to when friends lost their keys.
    pub replacements: Vec<Verified<KeyReplacement>>,
    /// Relays by name.
    pub relays: Vec<(String, ServerTicket)>,
    /// Index servers by name.
    pub index_servers: Vec<(String, ServerTicket)>,
    /// Requests that are carried on.
    pub forwards: Vec<(HopKey, Forward)>,
    /// Requests that were written off, by their outgoing side.
    pub written_off: Vec<(HopKey, WriteOff)>,
    /// Requests that end here.
    pub arrivals: Vec<(HopKey, Arrival)>,
    /// Invoices that can be paid.
    pub invoices: Vec<InvoiceRecord>,
    /// Payments that have not ended.
    pub payments: Vec<Payment>,
    /// What applications have spent.
    pub spendings: Spendings,
    /// Whether rings of debts are cleared without asking the owner.
    pub auto_clear: bool,
    /// The node recovers what it has lost.
    pub recovery: Option<RecoveryRecord>,
}

/// One row that a transaction has to write. `None` deletes.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A friend.
    Friend(PublicKey, Option<FriendRecord>),
    /// Rows of an account.
    Account(LineKey, Vec<AccountChange>),
    /// An account goes with all its rows.
    DropAccount(LineKey),
    /// The last epoch of a removed account.
    Tombstone(LineKey, u64),
    /// A friend has lost its key. The rows of its accounts, which are dropped in the same transaction, stay as evidence where no
    /// running node sees them.
    KeyReplacement(Verified<KeyReplacement>),
    /// A relay.
    Relay(String, Option<ServerTicket>),
    /// An index server.
    IndexServer(String, Option<ServerTicket>),
    /// Whether rings of debts are cleared without asking the owner.
    AutoClear(bool),
    /// A request that is carried on.
    Forward(HopKey, Option<Forward>),
    /// A request that was written off, by its outgoing side.
    WriteOff(HopKey, Option<WriteOff>),
    /// A request that ends here.
    Arrival(HopKey, Option<Arrival>),
    /// An invoice; it stays for ever.
    Invoice(InvoiceRecord),
    /// A payment; it stays for ever.
    Payment(Payment),
    /// What an application has spent.
    Spending(PublicKey, Currency, Spending),
    /// A payment that was carried on for others, or written off, and collected, and what opened its lock; it stays for ever.
    Forwarded(ForwardReport, Preimage),
    /// A part of a payment to us that we collected, and what opened its lock; it stays for ever.
    Received(ReceivedReport, Preimage),
    /// The mark that this node recovers what it has lost.
    Recovery(Option<RecoveryRecord>),
    /// The sealed peer backup that we keep for a friend.
    PeerBackup(PublicKey, Option<Vec<u8>>),
}

/// Writes a batch's changes in one transaction.
pub trait Commit {
    /// Why it could not.
    type Error;

    /// Makes all changes durable, or none.
    ///
    /// # Errors
    /// The disk failed. The process must end: a restart loads what is durable.
    fn commit(&mut self, changes: &[Change]) -> Result<(), Self::Error>;
}

/// Keys of the rows that changed in a batch.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    pub(crate) friends: BTreeSet<PublicKey>,
    pub(crate) dropped_accounts: BTreeSet<LineKey>,
    /// What happened in this batch to accounts whose rows stay as evidence.
    pub(crate) last_rows: BTreeMap<LineKey, Vec<AccountChange>>,
    /// Accounts that never were in this database, and are over all the same.
    pub(crate) tombstones: BTreeSet<LineKey>,
    pub(crate) replacements: BTreeSet<PublicKey>,
    pub(crate) relays: BTreeSet<String>,
    pub(crate) index_servers: BTreeSet<String>,
    pub(crate) auto_clear: bool,
    pub(crate) forwards: BTreeSet<HopKey>,
    pub(crate) written_off: BTreeSet<HopKey>,
    pub(crate) arrivals: BTreeSet<HopKey>,
    pub(crate) invoices: BTreeSet<InvoiceId>,
    pub(crate) payments: BTreeSet<PaymentId>,
    pub(crate) spendings: BTreeSet<(PublicKey, Currency)>,
    pub(crate) forwarded: Vec<(ForwardReport, Preimage)>,
    pub(crate) received: Vec<(ReceivedReport, Preimage)>,
    /// Backups that friends gave us to keep; empty: the friend is gone.
    pub(crate) peer_backups: BTreeMap<PublicKey, Vec<u8>>,
    pub(crate) recovery: bool,
}

/// A machine in the middle of a batch.
pub struct Batch<'e> {
    pub(crate) state: State,
    pub(crate) environment: &'e mut Environment,
    pub(crate) now: Moment,
    pub(crate) outputs: Vec<Output>,
    /// Accounts that something happened to.
    pub(crate) touched: BTreeSet<LineKey>,
    /// Accounts that fall idle: their last statement acknowledges and carries a checkpoint.
    pub(crate) idle: BTreeSet<LineKey>,
    /// Accounts on which something has become overdue, or is looked at again.
    pub(crate) overdue: BTreeSet<LineKey>,
    pub(crate) changed: Changed,
}

/// A finished batch: what must become durable, and what may be seen afterwards.
pub struct Effects {
    state: State,
    changes: Vec<Change>,
    outputs: Vec<Output>,
}

impl Funder {
    /// A node as its database holds it. Handle [`Input::Start`] first.
    ///
    /// # Errors
    /// The rows are not what a funder wrote.
    pub fn restore(local: PublicKey, image: FunderImage) -> Result<Self, offst_proto::encoding::DecodeError> {
        let mut state = State {
            local,
            friends: BTreeMap::new(),
            names: BTreeMap::new(),
            tombstones: image.tombstones.into_iter().collect(),
            replacements: image.replacements.into_iter().map(|replacement| (replacement.lost, replacement)).collect(),
            relays: image.relays.into_iter().collect(),
            index_servers: image.index_servers.into_iter().collect(),
            forwards: image.forwards.into_iter().collect(),
            origins: BTreeMap::new(),
            written_off: image.written_off.into_iter().collect(),
            arrivals: image.arrivals.into_iter().collect(),
            groups: BTreeMap::new(),
            invoices: image.invoices.into_iter().map(|record| (record.invoice.id, record)).collect(),
            ended_invoices: BTreeMap::new(),
            ended_invoices_order: VecDeque::new(),
            payments: image.payments.into_iter().map(|payment| (payment.id, payment)).collect(),
            budgets: BTreeMap::new(),
            spendings: image.spendings,
            paying: BTreeMap::new(),
            searches: BTreeMap::new(),
            carried: BTreeMap::new(),
            holds: BTreeMap::new(),
            invoice_waiters: BTreeMap::new(),
            drain_waiters: BTreeMap::new(),
            unsigned_commits: BTreeSet::new(),
            timers: Timers::default(),
            auto_clear: image.auto_clear,
            questions: BTreeMap::new(),
            refusals: Refusals::default(),
            silences: Silences::default(),
            clearing_refusals: Refusals::default(),
            recovery: image.recovery.map(Recovery::new),
            backups: Backups::default(),
            published: BTreeMap::new(),
        };
        for (key, record) in image.friends {
            state.names.insert(record.name.clone(), key);
            state.friends.insert(key, Friend::new(record));
        }
        for (line, image) in image.accounts {
            let key = offst_ledger::AccountKey { local, remote: line.friend, currency: line.currency.clone() };
            let account = Account::restore(key, image)?;
            let friend = state
                .friends
                .get_mut(&line.friend)
                .ok_or(offst_proto::encoding::DecodeError::invalid("an account without a friend"))?;
            friend.accounts.insert(line.currency, account);
        }
        Ok(Funder(state))
    }

    /// Starts a batch. `now` holds for all its inputs. A clock that is behind the year 9999 counts as if it was in it: recovered
    /// accounts take the time as their epoch, and friends follow only so far.
    pub fn batch<'e>(self, environment: &'e mut Environment, now: Moment) -> Batch<'e> {
        let now = Moment { unix_ms: now.unix_ms.min(EXPIRES_MS_MAX), ..now };
        Batch {
            state: self.0,
            environment,
            now,
            outputs: Vec::new(),
            touched: BTreeSet::new(),
            idle: BTreeSet::new(),
            overdue: BTreeSet::new(),
            changed: Changed::default(),
        }
    }

    /// When [`Input::Tick`] is due, uptime ms.
    pub fn next_deadline(&self) -> Option<u64> {
        self.0.timers.next()
    }

    /// The accounts with their friends, for checks from outside.
    pub fn accounts(&self) -> impl Iterator<Item = (PublicKey, &Account)> {
        self.0.friends.iter().flat_map(|(key, friend)| friend.accounts.values().map(move |account| (*key, account)))
    }
}

impl State {
    /// An account, to look at.
    pub(crate) fn account(&self, line: &LineKey) -> Option<&Account> {
        self.friends.get(&line.friend)?.accounts.get(&line.currency)
    }

    /// An account, to change. Most callers want [`Batch::account`], which marks it as touched.
    pub(crate) fn account_mut(&mut self, line: &LineKey) -> Option<&mut Account> {
        self.friends.get_mut(&line.friend)?.accounts.get_mut(&line.currency)
    }

    /// An invoice has ended: it is kept only so that late buyers are told why, and only the last ones are.
    fn remember_ended(&mut self, record: InvoiceRecord) {
        let id = record.invoice.id;
        self.invoices.remove(&id);
        self.ended_invoices.insert(id, record);
        self.ended_invoices_order.push_back(id);
        if self.ended_invoices_order.len() > ENDED_INVOICES_MAX
            && let Some(oldest) = self.ended_invoices_order.pop_front()
        {
            self.ended_invoices.remove(&oldest);
        }
    }

    /// The epoch of an account that new requests may use.
    pub(crate) fn active(&self, line: &LineKey) -> Option<&Epoch> {
        self.account(line)?.active()
    }
}

impl Batch<'_> {
    /// Handles one input. What is due comes first: a machine that was asleep must not commit what is over by now.
    pub fn handle(&mut self, input: Input) {
        self.run_timers();
        match input {
            Input::Start => self.start(),
            Input::Connected(friend, connection) => self.connected(friend, connection),
            Input::Disconnected(friend, connection) => self.disconnected(friend, connection),
            Input::Resume(friend, connection, resume) => self.resumed(friend, connection, *resume),
            Input::Statement(friend, connection, statement) => self.received(friend, connection, &statement),
            Input::Evidence(friend, connection, evidence) => self.evidence_begins(friend, connection, *evidence),
            Input::EvidenceStatements(friend, connection, statements) => {
                self.evidence_continues(friend, connection, statements);
            }
            Input::EvidenceRows(line, connection, rows) => self.show_evidence(&line, connection, rows),
            Input::Message(friend, connection, message) => self.heard(friend, connection, *message),
            Input::Found(friend, connection, found) => self.found(friend, connection, found),
            Input::Budgets(budgets) => self.state.budgets.extend(budgets),
            Input::Command(id, command) => self.command(id, command),
            Input::Ways(payment, ways) => self.found_ways(payment, ways),
            Input::Tick => {}
        }
    }

    /// Ends the batch: timers that are due, one signature for each account, the rows to write.
    pub fn finish(mut self) -> Effects {
        self.run_timers();
        self.write_off_by_itself();
        self.end_drains();
        self.go_on_recovering();
        self.sign_touched();
        self.publish_touched();
        let changes = self.take_changes();
        Effects { state: self.state, changes, outputs: self.outputs }
    }

    fn run_timers(&mut self) {
        while let Some(timer) = self.state.timers.pop_due(self.now.uptime_ms) {
            self.timer(timer);
        }
    }

    fn timer(&mut self, timer: Timer) {
        match timer {
            Timer::Forward(key) => self.forward_timed_out(&key),
            Timer::Part(key) => self.part_timed_out(&key),
            Timer::Group(key) => self.group_timed_out(&key),
            Timer::Overdue(key) => self.became_overdue(&key),
            Timer::Payment(id) => self.payment_timed_out(id),
            Timer::Retry(id) => self.find_ways(id),
            Timer::Invoice(id) => self.invoice_expired(id),
            Timer::Clear => self.clear_on_our_own(),
            Timer::Gone(friend) => self.friend_is_gone(friend),
            Timer::Backup => self.send_backups(),
            Timer::Recovery => self.ask_again(),
            Timer::Idle(line) => {
                self.idle.insert(line.clone());
                self.touched.insert(line);
            }
        }
    }

    pub(crate) fn reply(&mut self, command: CommandId, reply: Reply) {
        self.outputs.push(Output::Reply(command, reply));
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.outputs.push(Output::Event(event));
    }

    /// The account, marked as touched.
    pub(crate) fn account(&mut self, line: &LineKey) -> Option<&mut Account> {
        let account = self.state.account_mut(line)?;
        self.touched.insert(line.clone());
        Some(account)
    }

    /// Signs what was written to the touched accounts and sends it.
    fn sign_touched(&mut self) {
        let Batch { state, environment, now, outputs, touched, idle, .. } = self;
        let mut moved = Vec::new();
        let signer = &*environment.signer;
        for line in touched.iter() {
            let Some(friend) = state.friends.get_mut(&line.friend) else { continue };
            let connection = friend.connection;
            let Some(account) = friend.accounts.get_mut(&line.currency) else { continue };
            if account.repropose(signer)
                && let Some(connection) = connection
            {
                outputs.push(Output::Send(line.friend, connection, account.resume_frame()));
            }
            let Some(connection) = connection else { continue };
            let mut has_signed = false;
            while let SignOutcome::Signed(wire) = account.sign(signer, idle.contains(line)) {
                outputs.push(Output::Send(line.friend, connection, statement_frame(&wire)));
                has_signed = true;
            }
            if has_signed {
                moved.push(line.clone());
            }
            if account.is_unsettled() {
                state.timers.set_if_none(Timer::Idle(line.clone()), now.uptime_ms + environment.timing.idle_ms);
            }
        }
        for line in moved {
            self.backup_is_due(line);
        }
        let of_line = |line: &LineKey| self.state.unsigned_commits.range(line.hops());
        let waiting: Vec<_> = self.touched.iter().flat_map(of_line).cloned().collect();
        for key in waiting {
            if self.is_bound(&key) {
                self.state.unsigned_commits.remove(&key);
                self.commit_was_signed(&key);
            }
        }
    }

    /// Whether a signed `Commit` of ours binds us to this outgoing request.
    pub(crate) fn is_bound(&self, outgoing: &HopKey) -> bool {
        self.state.account(&outgoing.line).is_some_and(|account| account.is_bound(outgoing.id))
    }

    /// The committed request cannot be given up any more: the patience ends, the overdue time begins.
    pub(crate) fn commit_was_signed(&mut self, outgoing: &HopKey) {
        match self.state.origins.get(outgoing) {
            Some(Origin::Forward(from)) => {
                let incoming = outgoing.at(*from);
                self.state.timers.clear(&Timer::Forward(incoming));
            }
            Some(Origin::Payment(_)) => self.state.timers.clear(&Timer::Part(outgoing.clone())),
            None => return,
        }
        let deadline = self.now.uptime_ms + self.environment.timing.overdue_ms;
        self.state.timers.set(Timer::Overdue(outgoing.clone()), deadline);
    }

    fn publish_touched(&mut self) {
        let mut edges = Vec::new();
        for line in &self.touched {
            let edge = self.state.friends.get(&line.friend).and_then(|friend| friend.edge(line, self.state.auto_clear));
            match edge {
                Some(edge) => {
                    if self.state.published.get(line) != Some(&edge) {
                        self.state.published.insert(line.clone(), edge.clone());
                        edges.push(edge);
                    }
                }
                None => {
                    if let Some(edge) = self.state.published.remove(line) {
                        edges.push(Edge { send_capacity: 0, receive_capacity: 0, clearable: Clearable::None, ..edge });
                    }
                }
            }
        }
        if !edges.is_empty() {
            self.outputs.push(Output::Edges(edges));
        }
    }

    fn take_changes(&mut self) -> Vec<Change> {
        let mut changed = std::mem::take(&mut self.changed);
        let state = &mut self.state;
        let mut changes = Vec::new();
        for key in changed.friends {
            changes.push(Change::Friend(key, state.friends.get(&key).map(|friend| friend.record.clone())));
        }
        // Before the accounts that go with it.
        for lost in changed.replacements {
            changes.push(Change::KeyReplacement(state.replacements[&lost].clone()));
        }
        for line in changed.dropped_accounts {
            if let Some(rows) = changed.last_rows.remove(&line) {
                changes.push(Change::Account(line.clone(), rows));
            }
            changes.push(Change::DropAccount(line.clone()));
            if let Some(epoch) = state.tombstones.get(&line) {
                changes.push(Change::Tombstone(line, *epoch));
            }
        }
        for line in changed.tombstones {
            let epoch = state.tombstones[&line];
            changes.push(Change::Tombstone(line, epoch));
        }
        for line in &self.touched {
            let rows = state.account_mut(line).map(Account::take_changes).unwrap_or_default();
            if !rows.is_empty() {
                changes.push(Change::Account(line.clone(), rows));
            }
        }
        for name in changed.relays {
            let ticket = state.relays.get(&name).cloned();
            changes.push(Change::Relay(name, ticket));
        }
        for name in changed.index_servers {
            let ticket = state.index_servers.get(&name).cloned();
            changes.push(Change::IndexServer(name, ticket));
        }
        if changed.auto_clear {
            changes.push(Change::AutoClear(state.auto_clear));
        }
        for key in changed.forwards {
            let forward = state.forwards.get(&key).cloned();
            changes.push(Change::Forward(key, forward));
        }
        for key in changed.written_off {
            let write_off = state.written_off.get(&key).cloned();
            changes.push(Change::WriteOff(key, write_off));
        }
        for key in changed.arrivals {
            let arrival = state.arrivals.get(&key).cloned();
            changes.push(Change::Arrival(key, arrival));
        }
        for id in changed.invoices {
            let record = state.invoices.get(&id).expect("an invoice leaves memory here only").clone();
            if record.status != InvoiceStatus::Open {
                state.remember_ended(record.clone());
            }
            changes.push(Change::Invoice(record));
        }
        for id in changed.payments {
            let payment = state.payments.get(&id).expect("a payment leaves memory here only").clone();
            if matches!(payment.progress, Progress::Paid | Progress::Failed) {
                state.payments.remove(&id);
                state.searches.remove(&id);
            }
            changes.push(Change::Payment(payment));
        }
        for (app, currency) in changed.spendings {
            let spending = state.spendings[&(app, currency.clone())];
            changes.push(Change::Spending(app, currency, spending));
        }
        changes.extend(changed.forwarded.into_iter().map(|(report, preimage)| Change::Forwarded(report, preimage)));
        changes.extend(changed.received.into_iter().map(|(report, preimage)| Change::Received(report, preimage)));
        if changed.recovery {
            changes.push(Change::Recovery(state.recovery.as_ref().map(|recovery| recovery.record.clone())));
        }
        for (key, sealed) in changed.peer_backups {
            changes.push(Change::PeerBackup(key, Some(sealed).filter(|sealed| !sealed.is_empty())));
        }
        changes
    }
}

impl Effects {
    /// Makes the batch durable, and only then gives out what it brought about.
    ///
    /// # Errors
    /// The store failed. Machine and outputs are gone with the error; the process must end.
    pub fn commit<S: Commit>(self, store: &mut S) -> Result<(Funder, Vec<Output>), S::Error> {
        if !self.changes.is_empty() {
            store.commit(&self.changes)?;
        }
        Ok((Funder(self.state), self.outputs))
    }
}

/// A line's currency is part of its key; this keeps call sites short.
pub(crate) fn line(friend: PublicKey, currency: &Currency) -> LineKey {
    LineKey { friend, currency: currency.clone() }
}
