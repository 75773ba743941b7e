//! Friends: connections, what their accounts report, and where it goes.

use crate::accounts::Accounts;
use crate::accounts::record::{Friend, FriendRecord, Standing};
use crate::accounts::requests::clearable;
use crate::archive::{Allowance, Inquiry};
use crate::context::Context;
use crate::funder::Batch;
use crate::io::{ConnectionId, Output};
use crate::timers::Timer;
use offst_crypto::PublicKey;
use offst_ledger::{Account, AccountId, Direction, Event as AccountEvent, StopReason};
use offst_proto::Amount;
use offst_proto::friend::{Direct, FriendMessage, Resume};
use offst_proto::index::{Clearable, Edge};
use offst_proto::payment::CancelReason;
use offst_proto::report::Event;
use offst_proto::resolve::End;
use offst_proto::statement::Statement;
use offst_proto::{RequestId, Verified};
use std::collections::{BTreeMap, BTreeSet};

impl Friend {
    pub(crate) fn new(record: FriendRecord) -> Self {
        Friend {
            record,
            accounts: BTreeMap::new(),
            connection: None,
            connected_ms: 0,
            overdue: BTreeSet::new(),
            allowance: Allowance::default(),
            was_recalled: false,
            owes_backup: false,
        }
    }

    /// Whether new requests may use this friend.
    pub(crate) fn is_enabled(&self) -> bool {
        self.record.standing == Standing::Enabled
    }

    /// What index servers are told of one account. An account that nothing new may use has no capacity.
    /// `tells_clearable`: the owner has allowed clearing.
    pub(crate) fn edge(&self, account_id: &AccountId, tells_clearable: bool) -> Option<Edge> {
        let account = self.accounts.get(&account_id.currency)?;
        let usable = self.is_enabled() && account.is_resumed();
        let epoch = account.active().filter(|_| usable);
        Some(Edge {
            friend: account_id.friend,
            currency: account_id.currency.clone(),
            send_capacity: epoch.map_or(Amount::ZERO, |epoch| Amount::capped(epoch.send_capacity())),
            receive_capacity: epoch.map_or(Amount::ZERO, |epoch| Amount::capped(epoch.receive_capacity())),
            rate: self.record.rates.get(&account_id.currency).copied().unwrap_or_default(),
            clearable: epoch.filter(|_| tells_clearable).map_or(Clearable::None, clearable),
        })
    }
}

impl Accounts {
    /// A friend has said in its hello where it is called without a relay. The word is kept, since it may be the only
    /// way to the friend after a restart.
    fn said_where_it_is_called(&mut self, key: PublicKey, direct: Direct, context: &mut Context<'_>) {
        let address = match direct {
            Direct::Unsaid => return,
            Direct::Nowhere => None,
            Direct::At(address) => Some(address),
        };
        if self.friends.get(&key).is_none_or(|friend| friend.record.address == address) {
            return;
        }
        self.friends.get_mut(&key).expect("looked above").record.address = address;
        self.emit_contact(key, context);
    }

    pub(crate) fn is_current(&self, key: PublicKey, connection: ConnectionId) -> bool {
        let friend = self.friends.get(&key);
        friend.is_some_and(|friend| friend.connection == Some(connection))
    }

    /// After an account stopped, and what ended with it: our terms go out as they are now.
    pub(crate) fn show_terms(&mut self, account_id: &AccountId, connection: ConnectionId, context: &mut Context<'_>) {
        let Some(friend) = self.friends.draft(&account_id.friend) else { return };
        let Some(account) = friend.accounts.get_mut(&account_id.currency) else { return };
        account.repropose(&*context.environment.signer);
        context.outputs.push(Output::Send(account_id.friend, connection, account.resume_frame()));
    }

    pub(crate) fn friend_changed(&self, key: PublicKey, context: &mut Context<'_>) {
        if let Some(friend) = self.friends.get(&key) {
            let name = friend.record.name.clone();
            context.event(Event::FriendChanged { name });
        }
    }

    /// Whether the friend has been connected since `since_ms` (uptime) without a break.
    pub(crate) fn was_connected_since(&self, friend: PublicKey, since_ms: u64) -> bool {
        self.friends.get(&friend).is_some_and(|friend| friend.connection.is_some() && friend.connected_ms <= since_ms)
    }

    /// A friend is away: what it has of ours, and what no `Commit` binds, waits for it only for a while.
    pub(crate) fn wait_for(&self, key: PublicKey, context: &mut Context<'_>) {
        let deadline = context.now.uptime_ms + context.environment.timing.offline_ms;
        context.timers.set(Timer::Gone(key), deadline);
    }

    fn may_ask(&mut self, key: PublicKey, context: &Context<'_>) -> bool {
        let now = context.now.uptime_ms;
        self.friends.draft(&key).is_some_and(|friend| friend.allowance.take(now))
    }

    /// Looks something up for a friend, unless it asks too much. It asks again.
    pub(crate) fn look_up_for(
        &mut self,
        key: PublicKey,
        connection: ConnectionId,
        question: Inquiry,
        context: &mut Context<'_>,
    ) {
        if self.may_ask(key, context) {
            context.outputs.push(Output::LookUp(key, connection, question));
        }
    }

    /// A friend asks how requests ended.
    /// (R7.17.)
    pub(crate) fn asked_how_they_ended(
        &mut self,
        key: PublicKey,
        connection: ConnectionId,
        ids: Vec<RequestId>,
        context: &mut Context<'_>,
    ) {
        if !self.may_ask(key, context) {
            return;
        }
        let friend = &self.friends[&key];
        let is_pending = |id: &RequestId| {
            friend.accounts.values().any(|account| account.pending(Direction::Incoming, *id).is_some())
        };
        let pending: BTreeSet<_> = ids.iter().copied().filter(is_pending).collect();
        let mut unheard = BTreeMap::new();
        for account in friend.accounts.values().filter(|account| account.active().is_none()) {
            unheard.extend(account.collected_unheard());
        }
        unheard.retain(|id, _| ids.contains(id) && !pending.contains(id));
        // A node that has lost state itself does not know what it has collected before the accounts with this friend
        // are back. Then what is not pending on them, and not in the history, is remembered by neither. Other accounts
        // are not waited for: the friend that asks may be the one that they wait for.
        let is_suspect = friend.accounts.values().any(Account::is_recovering);
        let otherwise = if is_suspect { End::Pending } else { End::Unknown };
        let question = Inquiry::Ends { ids, pending, unheard, otherwise };
        context.outputs.push(Output::LookUp(key, connection, question));
    }
}

impl Batch<'_> {
    pub(crate) fn connected(&mut self, key: PublicKey, connection: ConnectionId) {
        let now = self.context.now.uptime_ms;
        let Some(friend) = self.state.accounts.friends.draft(&key) else { return };
        if friend.record.standing == Standing::Disabled || friend.connection > Some(connection) {
            return;
        }
        friend.connection = Some(connection);
        friend.connected_ms = now;
        friend.owes_backup = false;
        self.context.timers.clear(&Timer::Gone(key));
        for (currency, account) in &mut friend.accounts {
            account.disconnected();
            self.context.outputs.push(Output::Send(key, connection, account.resume_frame()));
            self.state.accounts.touched.insert(AccountId::new(key, currency));
        }
        let name = friend.record.name.clone();
        self.context.event(Event::FriendChanged { name });
        self.recall_backup(key, connection);
        self.state.recovery.ask_friend_again(key);
    }

    /// A friend speaks of lost state, or has said hello.
    pub(crate) fn handle_message(&mut self, key: PublicKey, connection: ConnectionId, message: FriendMessage) {
        if !self.state.accounts.is_current(key, connection) {
            return;
        }
        match message {
            FriendMessage::Backup(sealed) => self.keep_backup(key, sealed),
            FriendMessage::Recall => self.give_backup_back(key, connection),
            FriendMessage::Recalled(sealed) => self.recalled(key, &sealed),
            FriendMessage::Resolve(ids) => {
                self.state.accounts.asked_how_they_ended(key, connection, ids, &mut self.context)
            }
            FriendMessage::Resolved(ends) => {
                self.handle_proofs(key, connection, &ends);
                self.resolved(key, &ends);
            }
            FriendMessage::Hello { direct, .. } => {
                self.state.accounts.said_where_it_is_called(key, direct, &mut self.context)
            }
            FriendMessage::Resume(_)
            | FriendMessage::Statement(_)
            | FriendMessage::Evidence(_)
            | FriendMessage::EvidenceStatements(_)
            | FriendMessage::Keepalive => {}
        }
    }

    pub(crate) fn disconnected(&mut self, key: PublicKey, connection: ConnectionId) {
        let Some(friend) = self.state.accounts.friends.draft(&key) else { return };
        if friend.connection != Some(connection) {
            return;
        }
        friend.connection = None;
        let name = friend.record.name.clone();
        let mut unsent = Vec::new();
        for (currency, account) in &mut friend.accounts {
            account.disconnected();
            let account_id = AccountId::new(key, currency);
            self.state.accounts.touched.insert(account_id.clone());
            // An account that may be old says nothing about others.
            if account.is_recovering() {
                continue;
            }
            unsent.extend(account.unsigned_requests().into_iter().map(|id| account_id.request(id)));
        }
        // The friend never saw these, so they need not wait for it.
        for outgoing in unsent {
            self.give_up_outgoing(&outgoing, CancelReason::Offline);
        }
        self.state.accounts.wait_for(key, &mut self.context);
        self.context.event(Event::FriendChanged { name });
    }

    pub(crate) fn friend_is_gone(&mut self, key: PublicKey) {
        let Some(friend) = self.state.accounts.friends.get(&key) else { return };
        let mut waiting = Vec::new();
        let known = friend.accounts.iter().filter(|(_, account)| !account.is_recovering());
        for (currency, account) in known {
            let outgoing = uncommitted(account).into_iter().filter(|(direction, _)| *direction == Direction::Outgoing);
            waiting.extend(outgoing.map(|(_, id)| AccountId::new(key, currency).request(id)));
        }
        for outgoing in waiting {
            self.give_up_outgoing(&outgoing, CancelReason::Offline);
        }
    }

    pub(crate) fn resumed(&mut self, key: PublicKey, connection: ConnectionId, resume: Resume) {
        if !self.state.accounts.is_current(key, connection) {
            return;
        }
        self.remember_account(key, &resume);
        let account_id = AccountId::new(key, &resume.currency);
        let Some(account) = self.state.accounts.account_mut(&account_id) else { return };
        let environment = &*self.context.environment;
        let shown = |account: &Account| account.negotiation().theirs.as_ref().map(Verified::hash);
        let before = shown(account);
        let outcome = account.handle_resume(resume, &*environment.signer, &*environment.verifier);
        // The friend's owner may have added us over this connection: it knew no account when it heard our terms.
        let is_added = account.epoch().is_none() && shown(account) != before;
        if (outcome.reply || is_added) && outcome.stopped.is_none() {
            self.context.outputs.push(Output::Send(key, connection, account.resume_frame()));
        }
        for wire in outcome.resend {
            let frame = offst_proto::friend::statement_frame(&wire);
            self.context.outputs.push(Output::Send(key, connection, frame));
        }
        self.state.accounts.touched.insert(account_id.clone());
        if let Some(reason) = outcome.stopped {
            self.account_stopped(&account_id, reason);
            self.state.accounts.show_terms(&account_id, connection, &mut self.context);
        }
        if outcome.show_evidence {
            self.context.outputs.push(Output::ReadEvidence(account_id.clone(), connection));
        }
        self.account_events(&account_id, outcome.events);
        self.ask_for_proofs(&account_id, None);
        self.state.accounts.friend_changed(key, &mut self.context);
        self.resend_backup();
    }

    pub(crate) fn received(&mut self, key: PublicKey, connection: ConnectionId, statement: &Verified<Statement>) {
        if !self.state.accounts.is_current(key, connection) {
            return;
        }
        let account_id = AccountId::new(key, &statement.currency);
        let Some(account) = self.state.accounts.account_mut(&account_id) else { return };
        if !account.expects(statement) {
            return;
        }
        let result = account.receive(statement, &*self.context.environment.signer);
        self.state.accounts.touched.insert(account_id.clone());
        match result {
            Ok(events) => self.account_events(&account_id, events),
            Err(fault) => {
                self.account_stopped(&account_id, StopReason::Fault(fault));
                self.state.accounts.show_terms(&account_id, connection, &mut self.context);
            }
        }
    }

    pub(crate) fn account_events(&mut self, account_id: &AccountId, events: Vec<AccountEvent>) {
        for event in events {
            match event {
                AccountEvent::Requested { request, refusal } => self.requested(account_id, *request, refusal),
                AccountEvent::Responded(answer) => self.responded(&account_id.request(answer.id), answer),
                AccountEvent::Committed(id) => self.committed(&account_id.request(id)),
                AccountEvent::Aborted(id) => self.aborted(&account_id.request(id)),
                AccountEvent::Collected { id, preimage } => self.collected(&account_id.request(id), preimage),
                AccountEvent::Cancelled { id, reason, hop } => self.cancelled(&account_id.request(id), reason, hop),
                AccountEvent::LimitChanged => self.state.accounts.friend_changed(account_id.friend, &mut self.context),
                AccountEvent::EpochBegan { released, dropped, .. } => self.epoch_began(account_id, &released, &dropped),
            }
        }
    }

    /// A new epoch: what it left out is over, what continues without our knowing why is cancelled. While this node
    /// recovers what it has lost, it may be ours, or carried on, and waits: see reconcile.rs.
    /// (R1.34.)
    pub(crate) fn epoch_began(&mut self, account_id: &AccountId, released: &[RequestId], dropped: &[RequestId]) {
        for id in released {
            let local = self.context.local;
            self.cancelled(&account_id.request(*id), CancelReason::AccountStopped, local);
        }
        for id in dropped {
            self.forget_incoming(&account_id.request(*id));
        }
        let is_recovering = self.is_recovering();
        if !is_recovering {
            self.release_left_out(account_id);
        }
        let Some(account) = self.state.accounts.touch(account_id) else { return };
        let incoming: Vec<_> = account
            .epoch()
            .into_iter()
            .flat_map(|epoch| epoch.pendings())
            .filter(|(direction, ..)| *direction == Direction::Incoming)
            .map(|(_, id, _)| account_id.request(id))
            .collect();
        self.state.recovery.add_unresolved(incoming.iter().cloned());
        self.state.recovery.mark_dirty();
        for key in incoming {
            if !is_recovering && !self.is_collectable(&key) {
                self.forget_incoming(&key);
                self.state.accounts.cancel_incoming(&key, CancelReason::AccountStopped, self.context.local);
            }
        }
        self.state.accounts.friend_changed(account_id.friend, &mut self.context);
    }

    /// An account stopped: what is not committed on it ends now, in this transaction, on the other accounts too.
    /// (R1.32.)
    pub(crate) fn account_stopped(&mut self, account_id: &AccountId, reason: StopReason) {
        let name = self
            .state
            .accounts
            .friends
            .get(&account_id.friend)
            .map(|friend| friend.record.name.clone())
            .unwrap_or_default();
        log::warn!("the account with \"{name}\" in {} stopped: {reason}", account_id.currency);
        let Some(account) = self.state.accounts.touch(account_id) else { return };
        // One that may be old says nothing about others.
        let uncommitted = if account.is_recovering() { Vec::new() } else { uncommitted(account) };
        for (direction, id) in uncommitted {
            let key = account_id.request(id);
            match direction {
                Direction::Outgoing => self.give_up_outgoing(&key, CancelReason::AccountStopped),
                Direction::Incoming => {
                    self.forget_incoming(&key);
                    self.state.accounts.cancel_incoming(&key, CancelReason::AccountStopped, self.context.local);
                }
            }
        }
        self.state.accounts.friend_changed(account_id.friend, &mut self.context);
    }
}

/// Requests that no signed `Commit` binds.
fn uncommitted(account: &Account) -> Vec<(Direction, RequestId)> {
    account
        .epoch()
        .into_iter()
        .flat_map(|epoch| epoch.pendings())
        .filter(|(direction, id, pending)| match direction {
            Direction::Outgoing => !account.is_bound(*id),
            Direction::Incoming => !pending.stage.is_committed(),
        })
        .map(|(direction, id, _)| (direction, id))
        .collect()
}
