//! Disks that are lost, or replaced by an older copy, while everything else goes on.
//!
//! What a loss may cost is known, and nothing else may be missing afterwards. Of one that its owner tells of, nothing:
//! every account goes on from the newest that friends prove. Of a copy that is put back in silence, what the node
//! itself gives up before the friend that knows better has shown it; nobody else pays for that. Where both ends of an
//! account have lost state, what neither of them remembers is gone: the account comes back to the newest that is left,
//! or its owners settle it, and each of them may lose what the other could ever owe it or was owed. Otherwise a loss is
//! tried where no friend has just lost state too.

use super::conditions::owed_with_pending;
use super::disk::Disk;
use super::links::pair;
use super::observed::Loss;
use super::{InjectedFault, Node, Payment, World, name};
use crate::faults::EventKind;
use crate::reference::signed;
use offst_crypto::PublicKey;
use offst_funder::{AccountId, Funder, RecoveryRecord, Relay, lost_friend};
use offst_ledger::{Account, AccountKey, Status};
use offst_proto::ticket::FriendTicket;
use offst_proto::{Currency, PaymentId, RequestId};
use offst_rows::{Commit, RowChange};
use std::collections::{BTreeMap, BTreeSet};

impl Node {
    /// All disks that it ever had, the present one last.
    pub(crate) fn disks(&self) -> impl Iterator<Item = &Disk> {
        self.past.iter().chain([&self.disk])
    }

    /// Looks at each account, as the node or, if it is down, its disk sees it.
    pub(super) fn look_at_accounts<T>(&self, look: impl Fn(&Account) -> T) -> Vec<T> {
        if let Some(funder) = &self.funder {
            return funder.accounts().map(|(_, account)| look(account)).collect();
        }
        let is_evidence = |account: &AccountId| self.disk.has_replaced(account.friend);
        let rows = self.disk.accounts().into_iter().filter(|account| !is_evidence(account));
        let accounts = rows.map(|account| {
            let image = self.disk.account(&account).expect("it is listed");
            let key = AccountKey { local: self.key, remote: account.friend, currency: account.currency };
            Account::restore(key, image).expect("the disk can be read")
        });
        accounts.map(|account| look(&account)).collect()
    }

    /// All requests that are pending.
    fn pending_ids(&self) -> BTreeSet<RequestId> {
        let of_account = |account: &Account| -> Vec<RequestId> {
            account.epoch().into_iter().flat_map(|epoch| epoch.pendings()).map(|(_, id, _)| id).collect()
        };
        self.look_at_accounts(of_account).into_iter().flatten().collect()
    }

    /// How many requests of friends' it has collected, by what it has signed.
    pub(crate) fn collect_count(&self) -> usize {
        self.signer_log.collect_count()
    }

    /// What a friend must owe it by its own records, on all disks it ever had: what it collected from the friend as a
    /// seller and as a mediator, less what the friend collected from it.
    pub(crate) fn records_with(&self, friend: PublicKey, currency: &Currency) -> i128 {
        let of_account = |account_id: &AccountId| account_id.friend == friend && account_id.currency == *currency;
        let sold: u128 = self.sold().iter().filter(|(hop, _)| of_account(&hop.account)).map(|(_, amount)| amount).sum();
        let reports = self.disks().flat_map(|disk| &disk.forwarded).filter(|report| report.currency == *currency);
        let reports: BTreeMap<_, _> = reports.map(|report| ((report.request_id, report.from), report)).collect();
        let came = reports
            .values()
            .filter(|report| report.from == Some(friend))
            .map(|report| report.amount.credits() + report.fee.credits());
        let went = reports.values().filter(|report| report.to == friend).map(|report| report.amount);
        let payments = self.disks().flat_map(Disk::payments).filter(|payment| payment.currency == *currency);
        let parts = payments.flat_map(|payment| payment.parts).filter(|(_, part)| part.path[0] == friend);
        let paid = parts.filter(|(_, part)| part.preimage.is_some());
        let paid: BTreeMap<_, u128> = paid.map(|(id, part)| (id, part.total())).collect();
        signed(sold + came.sum::<u128>()) - signed(went.sum::<u128>() + paid.into_values().sum::<u128>())
    }

    /// Whether its records, on all disks it ever had, tell of a request that it has made: as one that it forwarded and
    /// that was collected, or as a part of a payment of its own.
    pub(crate) fn has_noted(&self, id: &RequestId) -> bool {
        let mut payments = self.disks().flat_map(Disk::payments);
        self.disks().flat_map(|disk| &disk.forwarded).any(|report| report.request_id == *id)
            || payments.any(|payment| payment.parts.contains_key(id))
    }

    /// Whether its records, on all disks it ever had, tell that a request of its was collected.
    pub(crate) fn has_paid(&self, id: &RequestId) -> bool {
        let mut payments = self.disks().flat_map(Disk::payments);
        self.disks().flat_map(|disk| &disk.forwarded).any(|report| report.request_id == *id)
            || payments.any(|payment| payment.parts.get(id).is_some_and(|part| part.preimage.is_some()))
    }

    /// What a friend owes it; nothing if they are no friends any more.
    pub(crate) fn balance_with(&self, friend: PublicKey, currency: &Currency) -> i128 {
        self.find(friend, currency).and_then(Account::epoch).map_or(0, |epoch| epoch.balance())
    }

    /// All payments that it ever knew: as its newest disk has them.
    pub(crate) fn all_payments(&self) -> Vec<Payment> {
        let all = self.disks().flat_map(Disk::payments);
        all.map(|payment| (payment.id, payment)).collect::<BTreeMap<PaymentId, _>>().into_values().collect()
    }
}

impl World {
    /// An owner copies the disk.
    pub(crate) fn copy_disk(&mut self, index: usize) {
        self.nodes[index].copy = Some(Box::new(self.nodes[index].disk.clone()));
    }

    /// Whether there is a copy of a node's disk.
    pub(crate) fn has_copy(&self, index: usize) -> bool {
        self.nodes[index].copy.is_some()
    }

    /// Whether a loss can be made good: nobody next to the node has lost state and not got it back.
    pub(crate) fn may_lose(&mut self, index: usize, friends: &[usize]) -> bool {
        let back: Vec<usize> = self.lost.iter().copied().filter(|lost| self.has_recovered(*lost)).collect();
        for index in back {
            self.lost.remove(&index);
            self.faults.did(EventKind::Recovered);
        }
        !self.lost.contains(&index) && !friends.iter().any(|friend| self.lost.contains(friend))
    }

    /// Whether all accounts with honest friends go on, as both sides see them.
    fn has_recovered(&self, index: usize) -> bool {
        let node = &self.nodes[index];
        let goes_on = |account: &Account| account.status() == Status::Consistent && account.is_resumed();
        let others = self.nodes.iter().enumerate();
        let mut honest = others.filter(|(other, _)| *other != index && !self.liars.contains(other));
        node.funder.is_some()
            && !node.disk.is_recovering()
            && honest.all(|(_, friend)| {
                let Some(funder) = &friend.funder else { return false };
                let mut accounts = funder.accounts().filter(|(key, _)| *key == node.key);
                accounts.all(|(_, theirs)| {
                    let ours = node.find(friend.key, &theirs.key().currency);
                    goes_on(theirs) && ours.is_some_and(goes_on)
                })
            })
    }

    /// A node goes on without its newest disk. `friends`: whose tickets its owner has.
    pub(crate) fn lose(&mut self, index: usize, friends: &[usize], loss: Loss) {
        let Some(copy) = self.nodes[index].copy.as_deref().cloned().or((loss == Loss::Everything).then(Disk::default))
        else {
            return;
        };
        let accounts = self.nodes[index].funder.iter().flat_map(Funder::accounts);
        if accounts.filter_map(|(_, account)| account.epoch()).any(|epoch| epoch.pendings().next().is_some()) {
            self.faults.add(InjectedFault::LostUnderWay);
        }
        let now_ms = self.now(index).unix_ms;
        let disk = match loss {
            Loss::Restored => {
                self.faults.add(InjectedFault::RestoredDisk);
                let mut disk = copy;
                let mark = RecoveryRecord::of_copy(disk.recovery().as_ref(), now_ms);
                disk.commit(&[RowChange::put(&(), &mark)]).expect("it writes");
                disk
            }
            Loss::Silent => {
                self.faults.add(InjectedFault::OldDisk);
                self.careless.insert(index);
                copy
            }
            Loss::Everything => {
                self.faults.add(InjectedFault::LostDisk);
                self.nodes[index].copy = None;
                self.empty_disk(index, friends)
            }
        };
        self.tell(|| format!("node {index} goes on without its newest disk: {loss:?}"));
        self.stake(index);
        self.record_worth(index);
        self.forget_withheld_states(index);
        self.lost.insert(index);
        self.replaced.insert(index);
        self.change_disk(index, disk, loss != Loss::Silent);
    }

    /// A node forgets what it knows of its accounts. A liar may then show one as it was when the node owed the most,
    /// and begin to borrow again from there: every loss puts at stake what is owed in that moment.
    fn stake(&mut self, index: usize) {
        let owed = self.nodes[index].look_at_accounts(|account| {
            let owed = account.epoch().map_or(0, owed_with_pending);
            (account.key().remote, account.key().currency.clone(), u128::try_from(owed).unwrap_or(0))
        });
        for (friend, currency, owed) in owed {
            let key = (index, friend, currency);
            let most_owed_to_it = self.debts.get(&key).copied().unwrap_or(0);
            *self.stakes.entry(key).or_default() += owed + most_owed_to_it;
        }
    }

    /// Both ends of an account go on without their newest disks: what neither of them, nor anybody else, remembers is
    /// gone.
    ///
    /// It is counted once both have really lost something: an owner without a copy loses nothing.
    pub(crate) fn lose_both(&mut self, ends: [usize; 2], friends: &[Vec<usize>; 2], losses: [Loss; 2]) {
        let may = |end: usize, loss| loss == Loss::Everything || self.has_copy(end);
        if !may(ends[0], losses[0]) || !may(ends[1], losses[1]) {
            return;
        }
        self.faults.add(InjectedFault::BothEnds);
        let between = self.unsettled_between(ends);
        let (a, b) = pair(ends[0], ends[1]);
        self.torn.entry((a, b)).or_default().extend(between);
        for (number, end) in ends.into_iter().enumerate() {
            self.lose(end, &friends[number], losses[number]);
        }
    }

    /// Requests that were made between these two and have not ended everywhere: on the accounts around them they may
    /// end in either way when what they came to is forgotten here.
    pub(super) fn unsettled_between(&self, [a, b]: [usize; 2]) -> BTreeSet<RequestId> {
        let made = |by: usize, to: usize| {
            let requests = self.nodes[by].requests().into_keys();
            requests.filter(move |hop| hop.account.friend == self.key(to)).map(|hop| hop.id)
        };
        let pending: BTreeSet<_> = self.nodes.iter().flat_map(Node::pending_ids).collect();
        made(a, b).chain(made(b, a)).filter(|id| pending.contains(id)).collect()
    }

    /// What `stnode recover` makes.
    fn empty_disk(&self, index: usize, friends: &[usize]) -> Disk {
        let mut disk = Disk::default();
        let relays = self.relays_of(index).into_iter().enumerate();
        let mut changes: Vec<_> =
            relays.map(|(number, ticket)| RowChange::put(&format!("relay{number}"), &Relay(ticket))).collect();
        for friend in friends {
            let relays = self.relays_of(*friend);
            let ticket = FriendTicket { public_key: self.key(*friend), relays, address: None };
            changes.extend(lost_friend(self.key(index), name(*friend), ticket, 1_000.into(), self.now(index).unix_ms));
        }
        changes.push(RowChange::put(&(), &RecoveryRecord::new(self.now(index).unix_ms, true)));
        disk.commit(&changes).expect("it writes");
        disk
    }
}
