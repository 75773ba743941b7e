//! The machine: inputs are handled in batches, a batch becomes durable in one transaction, and only then its outputs
//! exist.
//!
//! [`Funder`] -> [`Batch`] -> (`handle` each input) -> [`Effects`] -> [`Effects::commit`] -> the next [`Funder`] and
//! its outputs. The outputs are private inside [`Effects`], and a commit that fails gives back neither them nor the
//! machine: nobody can hold a state that is ahead of the disk.

use crate::accounts::Accounts;
use crate::context::Context;
use crate::forwarding::Forwarding;
use crate::io::{Environment, Input, Moment, Output};
use crate::origin::Origin;
use crate::owner::Owner;
use crate::payments::Payments;
use crate::receiving::Receiving;
use crate::recovery::Recovering;
use crate::timers::{Timer, Timers};
use offst_crypto::PublicKey;
use offst_ledger::{Account, AccountId, RequestRef};
use offst_proto::invoice::EXPIRES_MS_MAX;
use offst_rows::{Commit, RowChange, RowError, Rows};
use std::collections::BTreeSet;

/// A whole node between two batches. Equal to what its database holds.
#[derive(Debug)]
pub struct Funder(pub(crate) State);

/// Everything a node knows, by the parts that own it.
#[derive(Debug)]
pub(crate) struct State {
    local: PublicKey,
    pub(crate) accounts: Accounts,
    pub(crate) payments: Payments,
    pub(crate) receiving: Receiving,
    pub(crate) forwarding: Forwarding,
    pub(crate) recovery: Recovering,
    pub(crate) owner: Owner,
    timers: Timers,
}

/// A machine in the middle of a batch.
pub struct Batch<'e> {
    pub(crate) state: State,
    pub(crate) context: Context<'e>,
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
        let state = State::restore(local, &mut rows)?;
        rows.finish()?;
        Ok(Funder(state))
    }

    /// Starts a batch. `now` holds for all its inputs. A clock that is behind the year 9999 counts as if it was in it:
    /// recovered accounts take the time as their epoch, and friends follow only so far.
    pub fn batch<'e>(mut self, environment: &'e mut Environment, now: Moment) -> Batch<'e> {
        let now = Moment { unix_ms: now.unix_ms.min(EXPIRES_MS_MAX), ..now };
        let timers = std::mem::take(&mut self.0.timers);
        let auto_clear = self.0.owner.auto_clear();
        let (outputs, journal) = (Vec::new(), Vec::new());
        let context = Context { local: self.0.local, now, environment, auto_clear, outputs, journal, timers };
        Batch { state: self.0, context }
    }

    /// When [`Input::Tick`] is due, uptime ms.
    pub fn next_deadline(&self) -> Option<u64> {
        self.0.timers.next()
    }

    /// The accounts with their friends, for checks from outside.
    pub fn accounts(&self) -> impl Iterator<Item = (PublicKey, &Account)> {
        let friends = self.0.accounts.friends().iter();
        friends.flat_map(|(key, friend)| friend.accounts.values().map(move |account| (*key, account)))
    }
}

impl State {
    /// Takes out the rows that a running node needs. What it does not know is left.
    pub(crate) fn restore(local: PublicKey, rows: &mut Rows) -> Result<Self, RowError> {
        Ok(State {
            local,
            accounts: Accounts::restore(local, rows)?,
            payments: Payments::restore(rows)?,
            receiving: Receiving::restore(rows)?,
            forwarding: Forwarding::restore(rows)?,
            recovery: Recovering::restore(rows)?,
            owner: Owner::restore(rows)?,
            timers: Timers::default(),
        })
    }

    /// Whose request one of our outgoing requests is: each part is asked.
    pub(crate) fn origin(&self, outgoing: &RequestRef) -> Option<Origin> {
        let forward = self.forwarding.upstream_of(outgoing).map(Origin::Forward);
        forward.or_else(|| self.payments.payment_of(outgoing).map(Origin::Payment))
    }

    /// The same, of a request that is over.
    pub(crate) fn take_origin(&mut self, outgoing: &RequestRef) -> Option<Origin> {
        let forward = self.forwarding.release_upstream_of(outgoing).map(Origin::Forward);
        forward.or_else(|| self.payments.release_payment_of(outgoing).map(Origin::Payment))
    }

    /// Our outgoing requests on an account.
    pub(crate) fn outgoing_on(&self, account: &AccountId) -> BTreeSet<RequestRef> {
        self.forwarding.outgoing_on(account).chain(self.payments.outgoing_on(account)).cloned().collect()
    }

    /// What the transaction of this batch has to write.
    fn take_changes(&mut self, journal: Vec<RowChange>) -> Vec<RowChange> {
        let mut changes = Vec::new();
        self.accounts.take_changes(&mut changes);
        self.owner.take_changes(&mut changes);
        self.forwarding.take_changes(&mut changes);
        self.receiving.take_changes(&mut changes);
        self.payments.take_changes(&mut changes);
        changes.extend(journal);
        self.recovery.take_changes(&mut changes);
        changes
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
            Input::EvidenceRows(account_id, connection, rows) => self.show_evidence(&account_id, connection, rows),
            Input::Message(friend, connection, message) => self.handle_message(friend, connection, *message),
            Input::Found(friend, connection, found) => self.found(friend, connection, found),
            Input::Budgets(budgets) => self.state.payments.set_budgets(budgets),
            Input::Command(id, command) => self.command(id, command),
            Input::Routes(payment, routes) => {
                self.state.payments.found_routes(payment, routes, &mut self.state.accounts, &mut self.context)
            }
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
        self.state.accounts.publish(&mut self.context);
        let Batch { mut state, context } = self;
        let changes = state.take_changes(context.journal);
        state.timers = context.timers;
        Effects { state, changes, outputs: context.outputs }
    }

    fn run_timers(&mut self) {
        while let Some(timer) = self.context.timers.pop_due(self.context.now.uptime_ms) {
            self.timer(timer);
        }
    }

    fn timer(&mut self, timer: Timer) {
        match timer {
            Timer::Forward(key) => self.forward_timed_out(&key),
            Timer::Part(key) => self.part_timed_out(&key),
            Timer::PartSet(key) => self.part_set_timed_out(&key),
            Timer::Overdue(key) => self.state.accounts.became_overdue(&key, &mut self.context),
            Timer::Payment(id) => {
                self.state.payments.payment_timed_out(id, &mut self.state.accounts, &mut self.context)
            }
            Timer::Retry(id) => self.state.payments.find_routes(id, &mut self.context),
            Timer::Invoice(id) => self.state.receiving.invoice_expired(id, &mut self.state.accounts, &mut self.context),
            Timer::Clear => self.state.payments.clear_on_our_own(&self.state.accounts, &mut self.context),
            Timer::Gone(friend) => self.friend_is_gone(friend),
            Timer::Backup => self.send_backups(),
            Timer::Recovery => self.ask_again(),
            Timer::Idle(account_id) => self.state.accounts.fell_idle(account_id),
        }
    }

    /// Signs what was written to the touched accounts and sends it.
    fn sign_touched(&mut self) {
        for account_id in self.state.accounts.sign(&mut self.context) {
            self.backup_is_due(account_id);
        }
        for key in self.state.accounts.take_bound() {
            self.commit_was_signed(&key);
        }
    }

    /// The committed request cannot be given up any more: the patience ends, the overdue time begins.
    /// (R1.16.)
    pub(crate) fn commit_was_signed(&mut self, outgoing: &RequestRef) {
        match self.state.origin(outgoing) {
            Some(Origin::Forward(from)) => {
                let incoming = outgoing.at(from);
                self.context.timers.clear(&Timer::Forward(incoming));
            }
            Some(Origin::Payment(_)) => self.context.timers.clear(&Timer::Part(outgoing.clone())),
            None => return,
        }
        let deadline = self.context.now.uptime_ms + self.context.environment.timing.overdue_ms;
        self.context.timers.set(Timer::Overdue(outgoing.clone()), deadline);
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
