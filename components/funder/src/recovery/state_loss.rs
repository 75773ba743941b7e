//! After this node has lost a part of its state (protocol section 1).
//!
//! Losing state is a property of the node, not of an account: what was forgotten on one account may have bound another.
//! So all accounts are distrusted in one transaction, nothing is signed in their epochs again, and each goes on with a
//! new epoch that rests on what its friend can prove.
//!
//! ```text
//! restored or new database, proof by a friend, or our own peer backup
//!     -> all accounts distrusted -> each friend shows evidence -> new epochs with the committed requests
//!     -> these requests find each other again (reconcile.rs) -> the mark goes
//! ```
//!
//! The mark lies in the database: a process that dies in the middle goes on where it was.

use crate::accounts::record::{FriendRecord, Standing};
use crate::accounts::suspect::RECOVERY_ROUNDS_MAX;
use crate::funder::Batch;
use crate::io::Output;
use crate::recovery::heads::{Signed, expected, is_later, is_newer, position, signed};
use crate::recovery::progress::RecoveryRecord;
use crate::timers::Timer;
use offst_crypto::{Hash, PublicKey};
use offst_ledger::{Account, AccountId, AccountKey, EvidenceOutcome, Floor, StopReason};
use offst_proto::Amount;
use offst_proto::Currency;
use offst_proto::friend::Resume;
use offst_proto::invoice::EXPIRES_MS_MAX;
use offst_proto::limits::CURRENCIES_MAX;
use offst_proto::peer_backup::{AccountHead, HEADS_MAX, PeerBackup};
use offst_proto::report::InvoiceStatus;
use offst_proto::ticket::FriendTicket;
use offst_rows::RowChange;
use std::collections::BTreeMap;

/// The rows of a friend of which a node knows nothing any more but who it is: it is asked for everything else.
/// `max_debt`: what it may owe from now on, credits. `now_ms`: unix.
pub fn lost_friend(
    local: PublicKey,
    name: String,
    ticket: FriendTicket,
    max_debt: Amount,
    now_ms: u64,
) -> Vec<RowChange> {
    let now_ms = now_ms.min(EXPIRES_MS_MAX);
    let currency = Currency::default();
    let mut account = Account::lost(AccountKey { local, remote: ticket.public_key, currency }, max_debt, true, now_ms);
    let record = FriendRecord {
        auto_write_offs: BTreeMap::new(),
        name,
        relays: ticket.relays,
        address: ticket.address,
        standing: Standing::Enabled,
        rates: BTreeMap::new(),
    };
    let mut rows = vec![RowChange::put(&ticket.public_key, &record)];
    rows.extend(account.take_changes());
    rows
}

impl Batch<'_> {
    /// Whether this node recovers what it has lost.
    pub(crate) fn is_recovering(&self) -> bool {
        self.state.recovery.is_recovering()
    }

    /// The first input after a start has come: a mark that was put into the database takes effect, or a recovery goes
    /// on.
    pub(crate) fn resume_recovery(&mut self) {
        let Some(recovery) = self.state.recovery.current_mut() else { return };
        if recovery.record.has_begun {
            self.context
                .timers
                .set(Timer::Recovery, self.context.now.uptime_ms + self.context.environment.timing.recovery_ms);
            return;
        }
        log::warn!("the database was put back or is new: every account goes on from what its friend can prove");
        self.distrust_all(true);
    }

    /// Something was really lost before the recovery began.
    fn something_was_lost(&mut self) {
        if self.state.recovery.current().is_some_and(|recovery| !recovery.record.is_old)
            && let Some(record) = self.state.recovery.record_mut()
        {
            record.is_old = true;
        }
    }

    /// This node's disk is old, as an account shows that was not suspect: that is certain. A recovery begins, also when
    /// the disk is a copy that was made in the middle of another one, where accounts were back that have moved since.
    fn own_state_is_old(&mut self, why: &str) {
        log::error!("this node's database is an old copy: {why}; all accounts are recovered from their friends");
        self.state.recovery.begin(RecoveryRecord::new(self.context.now.unix_ms, true));
        self.distrust_all(false);
    }

    /// All accounts in one transaction. `has_started`: the process has just begun, and what was compared before on
    /// accounts that wait for their next epoch is as old as the disk; otherwise their friends have shown it to this
    /// process.
    /// (R7.13.)
    fn distrust_all(&mut self, has_started: bool) {
        self.date_recovery();
        let recovery = self.state.recovery.current_mut().expect("the caller has set the mark");
        recovery.record.has_begun = true;
        self.context
            .timers
            .set(Timer::Recovery, self.context.now.uptime_ms + self.context.environment.timing.recovery_ms);
        self.state.payments.give_up_searching(&mut self.state.accounts, &mut self.context);
        for account_id in self.state.accounts.account_ids() {
            let friend = self.state.accounts.friend_mut(&account_id.friend).expect("listed above");
            let connection = friend.connection;
            let account = friend.accounts.get_mut(&account_id.currency).expect("listed above");
            if has_started || !account.is_recovering() {
                account.distrust(self.context.now.unix_ms);
            }
            if let Some(connection) = connection {
                self.context.outputs.push(Output::Send(account_id.friend, connection, account.resume_frame()));
            }
            self.state.accounts.mark_touched(account_id);
        }
        let friends: Vec<_> = self.state.accounts.connected().collect();
        for (key, connection) in friends {
            self.recall_backup(key, connection);
        }
    }

    /// A recovery begins: whatever invoice is open by now may have been paid in what was lost.
    fn date_recovery(&mut self) {
        let newest = self.state.receiving.invoices().values().map(|invoice| invoice.created_ms).max().unwrap_or(0);
        let record = self.state.recovery.record_mut().expect("the caller has set the mark");
        record.started_ms = record.started_ms.max(newest);
    }

    /// Up to which epoch an account that this node does not know is over, or forgotten: it may have been removed, and,
    /// as long as nobody has shown what was lost, an Opening may have been signed for any epoch of the past.
    pub(crate) fn floor(&self, account_id: &AccountId) -> Floor {
        let lost_up_to = if self.is_recovering() { self.context.now.unix_ms.checked_sub(1) } else { None };
        Floor { ended: self.state.accounts.removed_epoch(account_id), lost_up_to, relied_on: None }
    }

    /// People have decided how an account goes on: what its friend had shown before counts no more.
    pub(crate) fn forget_shown(&mut self, account_id: &AccountId) {
        let Some(record) = self.state.recovery.record_mut() else { return };
        record.shown.retain(|known| (known.friend, &known.currency) != (account_id.friend, &account_id.currency));
        self.state.recovery.mark_dirty();
    }

    /// A friend speaks of an account that this node does not know. After a loss it may have been forgotten: the friend
    /// is in an epoch, or was in one that has stopped, and proposes the next, or has lost a part of its state too.
    /// (R7.15.)
    pub(crate) fn remember_account(&mut self, key: PublicKey, resume: &Resume) {
        let account_id = AccountId::new(key, &resume.currency);
        let proposes_next = resume.opening.as_ref().is_some_and(|opening| opening.peek().epoch > 0);
        let has_begun = resume.epoch.is_some() || proposes_next || resume.recovering;
        if !self.is_recovering() || !has_begun || self.state.accounts.removed_epoch(&account_id).is_some() {
            return;
        }
        let account = self
            .account_from_backups(&account_id, Amount::ZERO, true)
            .unwrap_or_else(|| self.lost_account(&account_id, Amount::ZERO, true));
        let Some(friend) = self.state.accounts.friend_mut(&key) else { return };
        if friend.accounts.contains_key(&account_id.currency) || friend.accounts.len() >= CURRENCIES_MAX {
            return;
        }
        friend.accounts.insert(account_id.currency.clone(), account);
        log::warn!(
            "\"{}\" shows an account in {} that this node has forgotten",
            friend.record.name,
            account_id.currency
        );
        if let Some(connection) = friend.connection {
            let frame = friend.accounts[&account_id.currency].resume_frame();
            self.context.outputs.push(Output::Send(key, connection, frame));
        }
        self.state.accounts.mark_touched(account_id);
    }

    /// What came of a friend's evidence. `before`: what this node remembered to have signed.
    pub(crate) fn evidence_came(&mut self, account_id: &AccountId, before: Signed, outcome: EvidenceOutcome) {
        let Some(friend) = self.state.accounts.friend(&account_id.friend) else { return };
        let (name, connection) = (friend.record.name.clone(), friend.connection);
        let account = &friend.accounts[&account_id.currency];
        let (reply, remembered) = (account.resume_frame(), signed(account));
        let shown = position(account);
        self.state.accounts.mark_touched(account_id.clone());
        if let Some(refused) = outcome.refused {
            log::warn!("what \"{name}\" shows of the account in {} is of no use: {refused}", account_id.currency);
        }
        if outcome.own_state_is_old {
            self.own_state_is_old(&format!("\"{name}\" holds what it has signed and does not know"));
        } else if let Some(reason) = outcome.stopped {
            log::error!("the account with \"{name}\" in {} does not go on: {reason}", account_id.currency);
        }
        if outcome.reply
            && let Some(connection) = connection
        {
            self.context.outputs.push(Output::Send(account_id.friend, connection, reply));
        }
        if outcome.recovered {
            if remembered > before {
                self.something_was_lost();
            }
            // Who has shown nothing at all is exposed by any head.
            self.record_shown(shown.unwrap_or_else(|| AccountHead {
                friend: account_id.friend,
                currency: account_id.currency.clone(),
                epoch: 0,
                own_seq: 0,
                own_hash: Hash::from_bytes([0; 32]),
                other_seq: 0,
                other_hash: Hash::from_bytes([0; 32]),
            }));
        }
        self.account_events(account_id, outcome.events);
        self.state.recovery.mark_dirty();
        self.state.accounts.friend_changed(account_id.friend, &mut self.context);
    }

    /// What a friend has shown is adopted: a new epoch rests on it, and whatever tells of more exposes the friend.
    fn record_shown(&mut self, head: AccountHead) {
        let Some(record) = self.state.recovery.record_mut() else { return };
        let shown = &mut record.shown;
        shown.retain(|known| (known.friend, &known.currency) != (head.friend, &head.currency));
        shown.push(head);
    }

    /// One head of a backup of ours that `keeper` has kept: does it tell of more than this node, or its friend, knows?
    /// (R7.22.)
    pub(crate) fn compare_with_backup(&mut self, keeper: PublicKey, head: &AccountHead) {
        let at = AccountId::new(head.friend, &head.currency);
        let account = self.state.accounts.account(&at);
        match account.map(|account| (account.is_recovering(), position(account), account.newest_epoch())) {
            None => {
                let was_removed = self.state.accounts.was_removed_since(&at, head.epoch);
                if !was_removed {
                    if self.is_recovering() {
                        self.something_was_lost();
                    } else {
                        self.own_state_is_old("a peer backup knows an account that it does not");
                    }
                }
                return;
            }
            Some((false, Some(ours), _)) if ours.epoch == head.epoch && is_newer(head, &ours) => {
                self.own_state_is_old("a peer backup knows of statements that it does not");
            }
            Some((false, _, newest)) if newest.is_none_or(|newest| newest < head.epoch) => {
                self.own_state_is_old("a peer backup knows of an epoch that it does not");
            }
            Some(_) => {}
        }
        if self.state.accounts.is_distrusted(&at) {
            let account = self.state.accounts.touch(&at).expect("looked above");
            if !account.expect_at_least(expected(head)) {
                let name = self.state.accounts.name_of(&at.friend);
                log::error!("\"{name}\" shows less of the account in {} than a peer backup tells", at.currency);
                self.state.accounts.friend_changed(at.friend, &mut self.context);
            }
            return;
        }
        let recovery = self.state.recovery.current();
        let shown = recovery.and_then(|recovery| {
            recovery.record.shown.iter().find(|shown| (shown.friend, &shown.currency) == (at.friend, &at.currency))
        });
        if shown.is_some_and(|shown| is_newer(head, shown)) {
            self.expose(&at, keeper);
        }
    }

    /// Accounts that a backup knows and this node does not. The newest backup counts, and what others add when that was
    /// full.
    pub(crate) fn record_forgotten(&mut self, backup: &PeerBackup) {
        let Some(recovery) = self.state.recovery.current_mut() else { return };
        let accounts = &self.state.accounts;
        let is_unknown =
            |at: &AccountId, epoch: u64| accounts.account(at).is_none() && !accounts.was_removed_since(at, epoch);
        let heads = backup.heads.iter().map(|head| (AccountId::new(head.friend, &head.currency), head));
        let mut unknown_peers = Vec::new();
        for (at, head) in heads.filter(|(at, head)| is_unknown(at, head.epoch)) {
            let known = recovery.lost_accounts.entry(at.clone()).or_insert_with(|| head.clone());
            if is_newer(head, known) {
                *known = head.clone();
            }
            if accounts.friend(&at.friend).is_none() {
                unknown_peers.push(at);
            }
        }
        if recovery.newest_backup.as_ref().is_some_and(|newest| !is_later(backup, newest)) {
            return;
        }
        recovery.newest_backup = Some(backup.clone());
        if backup.heads.len() < HEADS_MAX {
            recovery.unknown_peers.clear();
        }
        for at in unknown_peers {
            if recovery.unknown_peers.insert(at.clone()) {
                log::warn!(
                    "a peer backup knows of an account in {} with {}, who is no friend of this node: add it \
                     with `add-friend`, and its node shows what both have signed; payments that may have gone to it wait",
                    at.currency,
                    at.friend
                );
            }
        }
    }

    /// An account that this node does not know.
    fn lost_account(&self, at: &AccountId, max_debt: Amount, open: bool) -> Account {
        let name = AccountKey { local: self.context.local, remote: at.friend, currency: at.currency.clone() };
        Account::lost(name, max_debt, open, self.context.now.unix_ms)
    }

    /// The same, if a backup knows it: its friend must show no less.
    pub(crate) fn account_from_backups(&self, at: &AccountId, max_debt: Amount, open: bool) -> Option<Account> {
        let head = self.state.recovery.current()?.lost_accounts.get(at)?;
        if self.state.accounts.was_removed_since(at, head.epoch) {
            return None;
        }
        let mut account = self.lost_account(at, max_debt, open);
        account.expect_at_least(expected(head));
        Some(account)
    }

    /// Whether everybody who may know of a request that went on was asked for it, as far as friends' backups tell.
    pub(crate) fn knows_whom_to_ask(&self) -> bool {
        let Some(recovery) = self.state.recovery.current() else { return true };
        let accounts = &self.state.accounts;
        let is_here = |at: &AccountId| accounts.account(at).is_some() || accounts.removed_epoch(at).is_some();
        self.has_heard_all() && recovery.unknown_peers.iter().all(is_here)
    }

    /// Whether every friend that is connected has given back our backup, or left the question without an answer for
    /// long.
    fn has_heard_all(&self) -> bool {
        let Some(recovery) = self.state.recovery.current() else { return true };
        let mut friends = self.state.accounts.connected();
        recovery.rounds >= RECOVERY_ROUNDS_MAX || friends.all(|(key, _)| recovery.recalled.contains(&key))
    }

    /// A friend had shown less than there was: its account stops, and the friend is not called any more until its owner
    /// has decided. Left alone both sides would agree at once, on the lie.
    fn expose(&mut self, at: &AccountId, keeper: PublicKey) {
        let name = |key: &PublicKey| self.state.accounts.friend(key).map(|friend| friend.record.name.clone());
        let (liar, keeper) = (name(&at.friend).unwrap_or_default(), name(&keeper).unwrap_or_default());
        log::error!(
            "\"{liar}\" has shown less of the account in {} than the peer backup tells that \"{keeper}\" kept: it is disabled; \
             speak with its owner, then enable it again to go on from what it has shown, or remove it",
            at.currency
        );
        let signer = &*self.context.environment.signer;
        let Some(friend) = self.state.accounts.friend_mut(&at.friend) else { return };
        let Some(account) = friend.accounts.get_mut(&at.currency) else { return };
        account.stop(StopReason::FriendWithholds, signer);
        self.forget_shown(at);
        self.account_stopped(at, StopReason::FriendWithholds);
        self.disable_at_once(at.friend);
    }

    /// A friend has said what it keeps for us, as it was asked to.
    pub(crate) fn was_recalled(&mut self, key: PublicKey) {
        if let Some(recovery) = self.state.recovery.current_mut() {
            recovery.recalled.insert(key);
            recovery.is_dirty = true;
        }
    }

    /// Time has passed: a friend that has not answered is asked again.
    pub(crate) fn ask_again(&mut self) {
        let Some(recovery) = self.state.recovery.current_mut() else { return };
        recovery.rounds = recovery.rounds.saturating_add(1);
        recovery.questions.ask_again();
        recovery.is_dirty = true;
        let recalled = recovery.recalled.clone();
        let silent: Vec<_> = self.state.accounts.connected().filter(|(key, _)| !recalled.contains(key)).collect();
        for (key, connection) in silent {
            self.recall_backup(key, connection);
        }
        self.context
            .timers
            .set(Timer::Recovery, self.context.now.uptime_ms + self.context.environment.timing.recovery_ms);
    }

    /// A friend is enabled, or shows a suspect account, that a recovery has not waited for: what continues there has
    /// still to find its other side, and open invoices may have been paid over it. All other accounts are as they were.
    pub(crate) fn recover_left_out(&mut self, key: PublicKey) {
        let is_left = self.state.accounts.friends()[&key].accounts.values().any(Account::is_recovering);
        if is_left && !self.is_recovering() {
            let record = RecoveryRecord { has_begun: true, ..RecoveryRecord::new(self.context.now.unix_ms, false) };
            self.state.recovery.begin(record);
            self.date_recovery();
            self.context
                .timers
                .set(Timer::Recovery, self.context.now.uptime_ms + self.context.environment.timing.recovery_ms);
        }
    }

    /// The end of a batch: requests find each other again, and a recovery ends when nothing is open any more.
    pub(crate) fn go_on_recovering(&mut self) {
        let Some(recovery) = self.state.recovery.current_mut() else { return };
        if !std::mem::take(&mut recovery.is_dirty) {
            return;
        }
        let is_settled = self.reconcile();
        let are_back = || {
            self.state
                .accounts
                .awaited_accounts()
                .all(|(friend, account)| self.state.accounts.is_unanswered(friend, account, &self.context))
        };
        if is_settled && self.has_heard_all() && are_back() {
            self.end_recovery();
        }
    }

    fn end_recovery(&mut self) {
        let recovery = self.state.recovery.end().expect("the caller has looked");
        self.context.timers.clear(&Timer::Recovery);
        log::warn!("every account goes on, and how all requests ended is known: the recovery is over");
        // Nobody has waited for a disabled friend, over whom they may have been paid.
        let mut disabled =
            self.state.accounts.friends().values().filter(|friend| friend.record.standing == Standing::Disabled);
        if recovery.record.is_old || disabled.any(|friend| friend.accounts.values().any(Account::is_recovering)) {
            // What the lost part knew of them is lost: an invoice is paid once, for ever.
            let invoices = self.state.receiving.invoices().values();
            let old = invoices.filter(|invoice| invoice.created_ms <= recovery.record.started_ms);
            let old: Vec<_> = old.map(|record| record.invoice.id).collect();
            if !old.is_empty() {
                log::warn!("{} open invoices are cancelled, because they may have been paid after the copy", old.len());
            }
            for id in old {
                self.state.receiving.close_invoice(
                    id,
                    InvoiceStatus::Cancelled,
                    &mut self.state.accounts,
                    &mut self.context,
                );
            }
        }
        // The node goes on without them: a backup that still names them starts no other recovery.
        let friends = self.state.accounts.friends();
        let is_over = |account_id: &AccountId| {
            let friend = friends.get(&account_id.friend);
            friend.is_none_or(|friend| {
                friend.record.standing != Standing::Disabled && !friend.accounts.contains_key(&account_id.currency)
            })
        };
        let over: Vec<_> = recovery.lost_accounts.into_iter().filter(|(account_id, _)| is_over(account_id)).collect();
        for (account_id, head) in over {
            let removed = self.state.accounts.removed_epoch(&account_id).unwrap_or(0);
            let epoch = removed.max(head.epoch).max(self.context.now.unix_ms);
            self.state.accounts.bury(account_id, epoch);
        }
        for account_id in self.state.accounts.account_ids() {
            self.backup_is_due(account_id);
        }
    }

    /// When an invoice that is made now was made: after the beginning of a recovery that runs, whatever the clock has
    /// shown then.
    pub(crate) fn invoice_time(&self) -> u64 {
        let started_ms = self.state.recovery.current().map(|recovery| recovery.record.started_ms);
        started_ms
            .map_or(self.context.now.unix_ms, |started_ms| self.context.now.unix_ms.max(started_ms.saturating_add(1)))
    }

    /// Whether an invoice may have been paid in what was lost.
    /// (R7.19.)
    pub(crate) fn may_be_paid_already(&self, created_ms: u64) -> bool {
        self.state.recovery.current().is_some_and(|recovery| created_ms <= recovery.record.started_ms)
    }
}
