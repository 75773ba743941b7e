//! The machine: inputs are handled in batches, a batch becomes durable in one transaction, and only then its outputs exist.
//!
//! [`Funder`] -> [`Batch`] -> (`handle` each input) -> [`Effects`] -> [`Effects::commit`] -> the next [`Funder`] and its
//! outputs. The outputs are private inside [`Effects`], and a commit that fails gives back neither them nor the machine: nobody
//! can hold a state that is ahead of the disk.

use crate::budget::Spendings;
use crate::command::{CommandId, Reply};
use crate::io::{Environment, Input, Moment, Output};
use crate::journal::{ForwardedPayment, JournalKey, PEER_BACKUPS};
use crate::peer_backup::Backups;
use crate::quote::Question;
use crate::records::{
    Arrival, Forward, Friend, IndexServer, InvoiceRecord, Origin, Payment, Relay, Replacement, Settings, Tombstone,
};
use crate::recovery::Recovery;
use crate::refusals::Refusals;
use crate::seller::{Group, GroupKey};
use crate::silences::Silences;
use crate::timers::{Timer, Timers};
use crate::write_off::WriteOff;
use offst_crypto::{Preimage, PublicKey};
use offst_ledger::{
    ACCOUNT_KINDS, Account, AccountId, AccountImage, AccountKey, Epoch, RequestRef, SignOutcome, stored_accounts,
};
use offst_proto::budget::Budgets;
use offst_proto::friend::statement_frame;
use offst_proto::index::{Clearable, Edge};
use offst_proto::invoice::EXPIRES_MS_MAX;
use offst_proto::report::{Event, ForwardReport};
use offst_proto::{InvoiceId, PaymentId};
use offst_rows::{Commit, Row, RowChange, RowError, RowKey, Rows, Table};
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
    pub(crate) friends: Table<Friend>,
    /// Names are unique.
    pub(crate) names: BTreeMap<String, PublicKey>,
    /// The last epoch of accounts that were removed.
    pub(crate) tombstones: Table<Tombstone>,
    /// What we have agreed to when friends lost their keys, by the lost key.
    pub(crate) replacements: Table<Replacement>,
    pub(crate) relays: Table<Relay>,
    pub(crate) index_servers: Table<IndexServer>,
    /// Requests that we carry on, by their incoming side.
    pub(crate) forwards: Table<Forward>,
    /// Whose requests our outgoing requests are.
    pub(crate) origins: BTreeMap<RequestRef, Origin>,
    /// Our outgoing requests that were written off: they have no origin any more.
    pub(crate) written_off: Table<WriteOff>,
    /// Requests that end here, by their incoming side.
    pub(crate) arrivals: Table<Arrival>,
    /// The parts of each payment to us.
    pub(crate) groups: BTreeMap<GroupKey, Group>,
    /// Invoices that can be paid.
    pub(crate) invoices: Table<InvoiceRecord>,
    /// The last invoices that ended while this process ran, so that late buyers are told why.
    pub(crate) ended_invoices: BTreeMap<InvoiceId, InvoiceRecord>,
    pub(crate) ended_invoices_order: VecDeque<InvoiceId>,
    /// Payments of ours that have not ended, and those that ended in this batch.
    pub(crate) payments: Table<Payment>,
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
    pub(crate) unsigned_commits: BTreeSet<RequestRef>,
    pub(crate) timers: Timers,
    pub(crate) settings: Table<Settings>,
    /// Questions of the owner's and of our own that the index servers have not answered.
    pub(crate) questions: BTreeMap<PaymentId, Question>,
    /// What others have refused to carry for our payments lately.
    pub(crate) refusals: Refusals,
    /// The same for rings of debts, where more is a reason to refuse.
    pub(crate) clearing_refusals: Refusals,
    /// Where our payments got no answer.
    pub(crate) silences: Silences,
    /// This node recovers what it has lost.
    pub(crate) recovery: Table<Recovery>,
    /// What friends keep for us.
    pub(crate) backups: Backups,
    /// The edges as they were last given out.
    pub(crate) published: BTreeMap<AccountId, Edge>,
}

/// A machine in the middle of a batch.
pub struct Batch<'e> {
    pub(crate) state: State,
    pub(crate) environment: &'e mut Environment,
    pub(crate) now: Moment,
    pub(crate) outputs: Vec<Output>,
    /// Accounts that something happened to.
    pub(crate) touched: BTreeSet<AccountId>,
    /// Accounts that fall idle: their last statement acknowledges and carries a checkpoint.
    pub(crate) idle: BTreeSet<AccountId>,
    /// Accounts on which something has become overdue, or is looked at again.
    pub(crate) overdue: BTreeSet<AccountId>,
    /// Rows of accounts that are gone.
    pub(crate) account_rows: Vec<RowChange>,
    /// What is only ever added.
    pub(crate) journal: Vec<RowChange>,
    /// Backups that friends gave us to keep; none: the friend is gone.
    pub(crate) peer_backups: BTreeMap<PublicKey, Option<Vec<u8>>>,
}

/// A finished batch: what must become durable, and what may be seen afterwards.
pub struct Effects {
    state: State,
    changes: Vec<RowChange>,
    outputs: Vec<Output>,
}

impl Funder {
    /// A node as its database holds it. Handle [`Input::Start`] first.
    ///
    /// # Errors
    /// The rows are not what a funder wrote.
    pub fn restore(local: PublicKey, mut rows: Rows) -> Result<Self, RowError> {
        let mut friends: Table<Friend> = rows.take()?;
        let replacements: Table<Replacement> = rows.take()?;
        restore_accounts(local, &rows, &mut friends, &replacements)?;
        for kind in ACCOUNT_KINDS {
            rows.take_bytes(kind);
        }
        let state = State {
            local,
            names: friends.iter().map(|(key, friend)| (friend.record.name.clone(), *key)).collect(),
            friends,
            tombstones: rows.take()?,
            replacements,
            relays: rows.take()?,
            index_servers: rows.take()?,
            forwards: rows.take()?,
            origins: BTreeMap::new(),
            written_off: rows.take()?,
            arrivals: rows.take()?,
            groups: BTreeMap::new(),
            invoices: rows.take()?,
            ended_invoices: BTreeMap::new(),
            ended_invoices_order: VecDeque::new(),
            payments: rows.take()?,
            budgets: BTreeMap::new(),
            spendings: rows.take()?,
            paying: BTreeMap::new(),
            searches: BTreeMap::new(),
            carried: BTreeMap::new(),
            holds: BTreeMap::new(),
            invoice_waiters: BTreeMap::new(),
            drain_waiters: BTreeMap::new(),
            unsigned_commits: BTreeSet::new(),
            timers: Timers::default(),
            settings: rows.take()?,
            questions: BTreeMap::new(),
            refusals: Refusals::default(),
            silences: Silences::default(),
            clearing_refusals: Refusals::default(),
            recovery: rows.take()?,
            backups: Backups::default(),
            published: BTreeMap::new(),
        };
        rows.finish()?;
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
            account_rows: Vec::new(),
            journal: Vec::new(),
            peer_backups: BTreeMap::new(),
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

/// The accounts of friends. Those with keys that friends have lost are evidence, and no running node sees them.
fn restore_accounts(
    local: PublicKey,
    rows: &Rows,
    friends: &mut Table<Friend>,
    replacements: &Table<Replacement>,
) -> Result<(), RowError> {
    for account in stored_accounts(rows)? {
        if replacements.contains_key(&account.friend) {
            continue;
        }
        let friend = friends.draft(&account.friend).ok_or(RowError::Unfit("there is an account without its friend"))?;
        let key = AccountKey { local, remote: account.friend, currency: account.currency.clone() };
        let restored = Account::restore(key, AccountImage::of(&account, rows)?)?;
        friend.accounts.insert(account.currency, restored);
    }
    Ok(())
}

impl State {
    /// Whether rings of debts are cleared without asking the owner.
    pub(crate) fn auto_clear(&self) -> bool {
        self.settings.get(&()).is_some_and(|settings| settings.auto_clear)
    }

    /// An account, to look at.
    pub(crate) fn account(&self, line: &AccountId) -> Option<&Account> {
        self.friends.get(&line.friend)?.accounts.get(&line.currency)
    }

    /// An account, to change. Most callers want [`Batch::account`], which marks it as touched.
    pub(crate) fn account_mut(&mut self, line: &AccountId) -> Option<&mut Account> {
        self.friends.draft(&line.friend)?.accounts.get_mut(&line.currency)
    }

    /// An invoice has ended: it is kept only so that late buyers are told why, and only the last ones are.
    fn remember_ended(&mut self, id: InvoiceId) {
        let Some(record) = self.invoices.forget(&id) else { return };
        self.ended_invoices.insert(id, record);
        self.ended_invoices_order.push_back(id);
        if self.ended_invoices_order.len() > ENDED_INVOICES_MAX
            && let Some(oldest) = self.ended_invoices_order.pop_front()
        {
            self.ended_invoices.remove(&oldest);
        }
    }

    /// The epoch of an account that new requests may use.
    pub(crate) fn active(&self, line: &AccountId) -> Option<&Epoch> {
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
    pub(crate) fn account(&mut self, line: &AccountId) -> Option<&mut Account> {
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
            let Some(friend) = state.friends.draft(&line.friend) else { continue };
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
        let of_line = |line: &AccountId| self.state.unsigned_commits.range(line.requests());
        let waiting: Vec<_> = self.touched.iter().flat_map(of_line).cloned().collect();
        for key in waiting {
            if self.is_bound(&key) {
                self.state.unsigned_commits.remove(&key);
                self.commit_was_signed(&key);
            }
        }
    }

    /// Whether a signed `Commit` of ours binds us to this outgoing request.
    pub(crate) fn is_bound(&self, outgoing: &RequestRef) -> bool {
        self.state.account(&outgoing.account).is_some_and(|account| account.is_bound(outgoing.id))
    }

    /// The committed request cannot be given up any more: the patience ends, the overdue time begins.
    pub(crate) fn commit_was_signed(&mut self, outgoing: &RequestRef) {
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
            let edge =
                self.state.friends.get(&line.friend).and_then(|friend| friend.edge(line, self.state.auto_clear()));
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

    /// A row that is only ever added.
    pub(crate) fn note<T: Row>(&mut self, key: &T::Key, value: &T) {
        self.journal.push(RowChange::put(key, value));
    }

    /// A payment that was carried on, or written off, was collected.
    pub(crate) fn note_forwarded(&mut self, report: ForwardReport, preimage: Preimage) {
        let key = JournalKey { id: report.request_id, payer: report.from };
        self.note(&key, &ForwardedPayment { report, preimage });
    }

    fn take_changes(&mut self) -> Vec<RowChange> {
        let mut changes = Vec::new();
        let state = &mut self.state;
        state.friends.take_changes(&mut changes);
        state.replacements.take_changes(&mut changes);
        changes.append(&mut self.account_rows);
        for line in &self.touched {
            changes.extend(state.account_mut(line).map(Account::take_changes).unwrap_or_default());
        }
        state.tombstones.take_changes(&mut changes);
        state.relays.take_changes(&mut changes);
        state.index_servers.take_changes(&mut changes);
        state.settings.take_changes(&mut changes);
        state.forwards.take_changes(&mut changes);
        state.written_off.take_changes(&mut changes);
        state.arrivals.take_changes(&mut changes);
        let ended = |id: &&InvoiceId| state.invoices.get(*id).is_some_and(Row::has_ended);
        let ended: Vec<_> = state.invoices.changed().filter(ended).copied().collect();
        state.invoices.take_changes(&mut changes);
        ended.into_iter().for_each(|id| state.remember_ended(id));
        let ended = |id: &&PaymentId| state.payments.get(*id).is_some_and(Row::has_ended);
        let ended: Vec<_> = state.payments.changed().filter(ended).copied().collect();
        state.payments.take_changes(&mut changes);
        for id in ended {
            state.payments.forget(&id);
            state.searches.remove(&id);
        }
        state.spendings.take_changes(&mut changes);
        changes.append(&mut self.journal);
        state.recovery.take_changes(&mut changes);
        let backups = std::mem::take(&mut self.peer_backups).into_iter();
        changes.extend(backups.map(|(friend, sealed)| {
            let sealed = sealed.filter(|sealed| !sealed.is_empty());
            RowChange::bytes(PEER_BACKUPS, friend.to_bytes(), sealed)
        }));
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
