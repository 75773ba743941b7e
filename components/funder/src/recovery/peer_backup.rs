//! Peer backups: friends keep for each other, sealed, how far their accounts had come (protocol section 1).
//!
//! They authorise nothing. After a disk was lost they expose a friend who shows less than the newest, and after every
//! start they tell a node whose disk is an old copy that it is one.
//!
//! What it costs: nothing on the way of a payment but a mark. While accounts change, one backup is made a minute, and
//! once more soon after the last change; each goes to some of the friends that are connected, in turn. While nothing
//! changes, nothing is sent.

use crate::archive::Inquiry;
use crate::funder::Batch;
use crate::io::{ConnectionId, Output};
use crate::recovery::heads::head;
use crate::timers::Timer;
use offst_crypto::PublicKey;
use offst_ledger::{Account, AccountId};
use offst_proto::peer_backup::{AccountHead, HEADS_MAX, PeerBackup};
use offst_proto::resolve::{backup_frame, recall_frame};

/// How many friends get one backup.
const KEEPERS: usize = 16;
/// How many friends are asked after a start whether they know more than the disk.
const WITNESSES: usize = 16;

impl Batch<'_> {
    /// An account has moved: a backup is due, but not more often than once a minute.
    pub(crate) fn backup_is_due(&mut self, account_id: AccountId) {
        self.state.recovery.backups.record_change(account_id);
        self.resend_backup();
    }

    /// Sends what has changed, when it is time.
    pub(crate) fn resend_backup(&mut self) {
        let timing = self.context.environment.timing;
        if let Some(earliest) = self.state.recovery.backups.due_from_ms(timing.backup_ms) {
            let deadline = earliest.max(self.context.now.uptime_ms + timing.backup_delay_ms);
            self.context.timers.set_if_none(Timer::Backup, deadline);
        }
    }

    /// Sends a backup to the next friends in turn.
    /// (R7.20.)
    pub(crate) fn send_backups(&mut self) {
        // The newest backup is the one that friends made before the loss: it must not be replaced now.
        if self.is_recovering() {
            return;
        }
        let keepers = self.next_keepers();
        if keepers.is_empty() {
            // The first friend that comes back gets it.
            return;
        }
        let now = self.context.now.uptime_ms;
        let backup = PeerBackup { made_ms: self.context.now.unix_ms, heads: self.newest_heads() };
        let sealed = backup.seal(&*self.context.environment.signer, &mut *self.context.environment.random);
        let frame = backup_frame(&sealed);
        self.state.recovery.backups.record_sent(keepers.last().map(|(key, _)| *key), now);
        for (key, connection) in keepers {
            self.context.outputs.push(Output::Send(key, connection, frame.clone()));
        }
    }

    /// Friends that can keep one: connected, and of one mind with us, so that they cannot be about to show that our
    /// disk is old.
    fn next_keepers(&self) -> Vec<(PublicKey, ConnectionId)> {
        let last = self.state.recovery.backups.last_keeper();
        let after = self.state.accounts.friends().iter().filter(|(key, _)| Some(**key) > last);
        let before = self.state.accounts.friends().iter().filter(|(key, _)| Some(**key) <= last);
        let is_keeper = |friend: &crate::accounts::record::Friend| {
            let is_resumed = friend.accounts.values().any(Account::is_resumed);
            friend.connection.filter(|_| is_resumed)
        };
        after.chain(before).filter_map(|(key, friend)| Some((*key, is_keeper(friend)?))).take(KEEPERS).collect()
    }

    /// The heads of all accounts; when they are too many, of those that have changed last.
    fn newest_heads(&mut self) -> Vec<AccountHead> {
        let backups = &mut self.state.recovery.backups;
        backups.begin_next(|account_id| self.state.accounts.account(account_id).is_some());
        let mut heads: Vec<(u64, AccountHead)> = Vec::new();
        for (key, friend) in self.state.accounts.friends() {
            for (currency, account) in &friend.accounts {
                let newness = backups.newness_of(&AccountId::new(*key, currency));
                heads.extend(head(account).map(|head| (newness, head)));
            }
        }
        heads.sort_by_key(|(newness, _)| std::cmp::Reverse(*newness));
        heads.truncate(HEADS_MAX);
        heads.into_iter().map(|(_, head)| head).collect()
    }

    /// A friend gives us its backup to keep.
    pub(crate) fn keep_backup(&mut self, key: PublicKey, sealed: Vec<u8>) {
        let now = self.context.now.uptime_ms;
        let friend = self.state.accounts.friend_mut(&key).expect("only friends are heard");
        if friend.allowance.take(now) {
            self.state.recovery.peer_backups.insert(key, Some(sealed));
        }
    }

    /// A friend wants its backup back.
    pub(crate) fn give_backup_back(&mut self, key: PublicKey, connection: ConnectionId) {
        self.state.accounts.look_up_for(key, connection, Inquiry::PeerBackup, &mut self.context);
    }

    /// After a start the first friends are asked for what they keep; after a loss, all.
    pub(crate) fn recall_backup(&mut self, key: PublicKey, connection: ConnectionId) {
        let is_recovering = self.is_recovering();
        let friend = self.state.accounts.friend_mut(&key).expect("it has just connected");
        let backups = &mut self.state.recovery.backups;
        let is_witness = !friend.was_recalled && backups.witnesses() < WITNESSES;
        if !is_recovering && !is_witness {
            return;
        }
        friend.was_recalled = true;
        friend.owes_backup = true;
        backups.record_witness();
        self.context.outputs.push(Output::Send(key, connection, recall_frame()));
    }

    /// A friend gives back what it has kept for us. Only once for each question: an old backup proves nothing more by
    /// being shown again, and weighing it is work.
    /// (R7.21.)
    pub(crate) fn recalled(&mut self, key: PublicKey, sealed: &[u8]) {
        let friend = self.state.accounts.friend_mut(&key).expect("only friends are heard");
        if !std::mem::take(&mut friend.owes_backup) {
            return;
        }
        self.was_recalled(key);
        if sealed.is_empty() {
            return;
        }
        let Some(backup) = PeerBackup::unseal(&*self.context.environment.signer, sealed) else {
            log::warn!("\"{}\" gave back a peer backup that this node has not made", self.state.accounts.name_of(&key));
            return;
        };
        for head in &backup.heads {
            self.compare_with_backup(key, head);
        }
        self.record_forgotten(&backup);
    }
}
