//! What friends keep for each other when everything is well: to each node that loses its disk it is the only witness
//! against a friend who shows less than there was.

use super::{EventKind, World, name};
use offst_funder::Command;
use offst_ledger::Account;
use offst_proto::Amount;
use offst_proto::limits::PEER_BACKUP_BYTES_MAX;
use offst_proto::peer_backup::{AccountHead, HEADS_MAX, PeerBackup};

/// Two backups, each a minute after the one before, and what is said in between.
const BACKUPS_MS: u64 = 200_000;

/// Where an account stands as far as both sides surely know.
fn head(account: &Account) -> Option<AccountHead> {
    let head = account.newest_head()?;
    let (friend, currency) = (account.key().remote, account.key().currency.clone());
    let ((own_seq, own_hash), (other_seq, other_hash)) = (head.own, head.other);
    Some(AccountHead { friend, currency, epoch: head.epoch, own_seq, own_hash, other_seq, other_hash })
}

impl World {
    /// Something small happens on an account of each of these nodes, so that all of them have a backup to make, and
    /// then nothing for as long as that takes: each friend of theirs that is connected keeps one that tells of all
    /// their accounts.
    pub(crate) fn check_backups(&mut self, honest: &[usize]) {
        for index in honest.iter().copied() {
            let mut accounts = self.nodes[index].accounts().filter(|(friend, _)| honest.contains(&self.index(*friend)));
            let first =
                accounts.next().map(|(friend, account)| (friend, account.key().currency.clone(), account.limit()));
            drop(accounts);
            if let Some((friend, currency, limit)) = first {
                let friend = name(self.index(friend));
                self.command(index, Command::SetFriendMaxDebt(friend, currency, Amount::capped(limit.credits() + 1)));
            }
        }
        self.connect_all();
        self.advance(BACKUPS_MS);
        for index in honest.iter().copied() {
            let heads: Vec<_> = self.nodes[index].accounts().filter_map(|(_, account)| head(account)).collect();
            for keeper in honest.iter().copied() {
                let is_connected = self.is_connected(index, keeper);
                let agrees = |(friend, account): (_, &Account)| friend == self.key(keeper) && account.is_resumed();
                if is_connected && !heads.is_empty() && self.nodes[index].accounts().any(agrees) {
                    self.check_backup(index, keeper, &heads);
                    self.faults.did(EventKind::Kept);
                }
            }
        }
    }

    /// `heads`: what a node knows of its accounts, which have been at rest for a while.
    fn check_backup(&self, index: usize, keeper: usize, heads: &[AccountHead]) {
        let sealed = self.nodes[keeper].disk.backup_of(self.key(index));
        let sealed = sealed.unwrap_or_else(|| panic!("node {keeper} keeps no backup of its friend, node {index}"));
        assert!(sealed.len() <= PEER_BACKUP_BYTES_MAX, "node {keeper} keeps {} bytes of node {index}", sealed.len());
        let backup = PeerBackup::unseal(self.signer(index), sealed);
        let backup = backup.unwrap_or_else(|| panic!("what node {keeper} keeps is no backup of node {index}"));
        assert_eq!(
            backup.heads.len(),
            heads.len().min(HEADS_MAX),
            "accounts of node {index} that node {keeper} tells of"
        );
        for head in heads.iter().filter(|_| heads.len() <= HEADS_MAX) {
            assert!(
                backup.heads.contains(head),
                "node {keeper} keeps an old backup of node {index}: made at {}, it tells of {:?} instead of {head:?}",
                backup.made_ms,
                backup.heads.iter().find(|kept| (kept.friend, &kept.currency) == (head.friend, &head.currency))
            );
        }
    }
}
