//! What must hold.

use super::conditions::owed_with_pending;
use super::disk::Disk;
use super::observed::AccountRecord;
use super::{Node, World};
use crate::reference::signed;
use offst_crypto::{PublicKey, Signature};
use offst_funder::{AccountId, Found, Funder, Input, Payment, Reply};
use offst_ledger::{Account, AccountKey, Direction, Epoch, Pending, Status};
use offst_proto::friend::FriendMessage;
use offst_proto::report::PaymentStatus;
use offst_proto::resolve::End;
use offst_proto::statement::{Operation, Statement};
use offst_proto::{RequestId, Signable, Unverified};
use std::collections::BTreeSet;

impl World {
    /// Whether both sides of an account say that they agree.
    pub fn is_consistent(&self, a: usize, b: usize) -> bool {
        let consistent = |a: usize, b: usize| self.nodes[a].account(self.key(b)).status() == Status::Consistent;
        consistent(a, b) && consistent(b, a)
    }

    /// What `b` owes `a`, credits.
    pub fn balance(&self, a: usize, b: usize) -> i128 {
        self.nodes[a].account(self.key(b)).epoch().expect("the account has begun").balance()
    }

    /// No friend owes more than its friend's owner ever allowed, what is pending included.
    pub(super) fn check_limits(&mut self, index: usize) {
        let Some(funder) = &self.nodes[index].funder else { return };
        for (friend, account) in funder.accounts() {
            let Some(epoch) = account.epoch() else { continue };
            let key = (index, friend, account.key().currency.clone());
            // What the owners agreed on when the account began, what continues included, is no debt that a request
            // made.
            let has_begun_just_now = (epoch.mine.seq, epoch.theirs.seq) == (0, 0);
            let agreed = if has_begun_just_now { owed_with_pending(epoch) } else { epoch.opening_balance };
            let agreed = u128::try_from(agreed).unwrap_or(0);
            // What is pending counts: a friend that has it committed may still collect it.
            let held = i128::try_from(epoch.local_pending()).expect("bounded");
            let debt = u128::try_from(held - epoch.balance()).unwrap_or(0);
            let most = self.debts.entry(key.clone()).or_default();
            *most = (*most).max(debt);
            let ceiling = self.ceilings.entry(key).or_default();
            *ceiling = (*ceiling).max(account.limit().credits()).max(agreed);
            let owed = owed_with_pending(epoch);
            let is_within = u128::try_from(owed).unwrap_or(0) <= *ceiling;
            assert!(is_within, "node {index} is owed {owed} and allowed {ceiling}");
        }
    }

    /// What a friend owes, what is pending included, grows by its requests alone: by one that is taken it never passes
    /// the limit that the node's owner has set, however lately. Nor does a node make a request that passes the limit
    /// that its friend last told.
    ///
    /// It cannot be demanded of a batch in which the state of an account is taken over from evidence, or begins anew.
    pub(super) fn check_account_records(&mut self, index: usize) {
        let node = &self.nodes[index];
        for (friend, account) in node.funder.iter().flat_map(Funder::accounts) {
            let key = (index, friend, account.key().currency.clone());
            let goes_on = account.active().is_some() && account.is_resumed() && !account.is_suspect();
            let Some(epoch) = account.epoch().filter(|_| goes_on) else {
                self.account_records.remove(&key);
                continue;
            };
            let held = i128::try_from(epoch.local_pending()).expect("bounded");
            let now = AccountRecord {
                agreed: epoch.agreed,
                limits: [account.limit().credits(), epoch.theirs.limit.credits()],
                debts: [owed_with_pending(epoch), held - epoch.balance()],
            };
            let heard = self.told_limits.get(&key).copied().unwrap_or(0);
            let Some(before) = self.account_records.insert(key, now).filter(|before| before.agreed == now.agreed)
            else {
                continue;
            };
            let most = |side: usize| {
                let limit = before.limits[side].max(now.limits[side]).max(if side == 1 { heard } else { 0 });
                before.debts[side].max(signed(limit))
            };
            let (owed, owes) = (most(0), most(1));
            let currency = &account.key().currency;
            assert!(
                now.debts[0] <= owed,
                "node {index} lets a friend owe {} {currency}, what is pending included, and its owner allows {owed}",
                now.debts[0]
            );
            assert!(
                now.debts[1] <= owes,
                "node {index} lets itself owe {} {currency}, what is pending included, and its friend allows {owes}",
                now.debts[1]
            );
        }
        self.forget_told_limits(index);
    }

    /// Notes what friends ask for in a batch, and what limits they tell: of several, each holds for a moment.
    pub(super) fn record_statements(&mut self, index: usize, inputs: &[Input]) {
        for input in inputs {
            let Input::Statement(friend, _, statement) = input else { continue };
            self.rates.record_statement(index, statement);
            for operation in &statement.operations {
                if let Operation::SetLimit(limit) = operation {
                    let most = self.told_limits.entry((index, *friend, statement.currency.clone())).or_default();
                    *most = (*most).max(limit.credits());
                }
            }
        }
    }

    fn forget_told_limits(&mut self, index: usize) {
        self.told_limits.retain(|(node, ..), _| *node != index);
    }

    /// A process begins: what its accounts hold is what its disk says.
    pub(super) fn forget_account_records(&mut self, index: usize) {
        self.account_records.retain(|(node, ..), _| *node != index);
        self.forget_told_limits(index);
    }

    /// After an older disk was put back in silence, nothing that an honest friend has received is signed again with
    /// other content: such a friend shows what it has before anything is signed for it.
    pub(super) fn check_second_statements(&mut self, index: usize) {
        for (friend, currency, number, seq) in self.nodes[index].signer_log.signed_again() {
            let other = self.index(friend);
            if self.liars.contains(&other) || self.liars.contains(&index) {
                continue;
            }
            let Ok(currency) = currency.parse() else { continue };
            let known = self.nodes[other].find(self.nodes[index].key, &currency).and_then(Account::epoch);
            let has_it = known.is_some_and(|epoch| epoch.number == number && epoch.theirs.seq >= seq);
            assert!(!has_it, "node {index} signs its statement {seq} again, which node {other} has received");
        }
    }

    /// Where both sides of an account have seen each other's whole log, they see the same.
    pub(crate) fn check_mirrors(&self) {
        for (index, node) in self.nodes.iter().enumerate() {
            let Some(funder) = &node.funder else { continue };
            for (friend, account) in funder.accounts() {
                let other = self.index(friend);
                let Some(friend) = &self.nodes[other].funder else { continue };
                let mirror = friend
                    .accounts()
                    .find(|(key, mirror)| *key == node.key && mirror.key().currency == account.key().currency);
                let Some((mine, theirs)) = account.epoch().zip(mirror.and_then(|(_, mirror)| mirror.epoch())) else {
                    continue;
                };
                let is_level = mine.agreed == theirs.agreed
                    && (mine.mine.seq, mine.mine.hash) == (theirs.theirs.seq, theirs.theirs.hash)
                    && (mine.theirs.seq, mine.theirs.hash) == (theirs.mine.seq, theirs.mine.hash);
                // What one side has decided and not signed yet, only it knows.
                let has_said_all =
                    |account: &Account| account.is_resumed() && account.active().is_some() && !account.wants_to_sign();
                if is_level && has_said_all(account) && mirror.is_some_and(|(_, mirror)| has_said_all(mirror)) {
                    assert_eq!(mine.balance(), -theirs.balance(), "the balances of {index} and {other}");
                    assert_eq!(mine.local_pending(), theirs.remote_pending(), "what is pending of {index} at {other}");
                    let side = |epoch: &Epoch, wanted: Direction| -> Vec<(RequestId, Pending)> {
                        let pendings = epoch.pendings().filter(|(direction, ..)| *direction == wanted);
                        pendings.map(|(_, id, pending)| (id, *pending)).collect()
                    };
                    let (outgoing, incoming) = (side(mine, Direction::Outgoing), side(theirs, Direction::Incoming));
                    assert_eq!(outgoing, incoming, "the requests of {index} that are pending at {other}");
                }
            }
        }
    }

    /// Nothing is pending anywhere, and both sides of every account agree. Only among nodes that are up.
    pub fn assert_quiet(&self) {
        for (index, node) in self.nodes.iter().enumerate() {
            let Some(funder) = &node.funder else { continue };
            for (friend, account) in funder.accounts() {
                let other = self.index(friend);
                let pending = account.epoch().and_then(|epoch| epoch.pendings().next());
                assert_eq!(pending, None, "node {index} with {other}, {:?}", account.status());
            }
            assert_eq!(node.disk.underway(), 0, "rows are left at node {index}");
            assert_eq!(node.disk.all::<Payment>().len(), 0, "payments are open at node {index}");
            for (friend, account) in funder.accounts() {
                let other = self.index(friend);
                assert_eq!(account.status(), Status::Consistent, "the account of {index} with {other}");
                let Some(funder) = &self.nodes[other].funder else { continue };
                let mirror = funder
                    .accounts()
                    .find(|(key, mirror)| *key == node.key && mirror.key().currency == account.key().currency)
                    .map(|(_, mirror)| mirror.epoch().expect("a consistent account").balance());
                assert_eq!(mirror, Some(-account.epoch().expect("consistent").balance()), "{index} and {other}");
            }
        }
    }
}

/// A statement that is sent is on the disk, byte for byte, or the friend has acknowledged it.
pub(super) fn check_durable(node: &Node, friend: PublicKey, frame: &[u8]) {
    // The bytes of a statement stand in the frame as they are on the disk, and begin with what they are.
    let contains = |part: &[u8]| frame.windows(part.len()).any(|window| window == part);
    if !contains(Statement::DOMAIN.as_bytes()) {
        return;
    }
    let is_stored = node.disk.own_statements(friend).any(|wire| frame.len() >= wire.len() && contains(wire));
    if is_stored {
        return;
    }
    let statements = match FriendMessage::from_frame(frame) {
        Ok(FriendMessage::Statement(statement)) => vec![*statement],
        // What both have signed, for a friend that has lost it. It was read before the batch that sends it, which may
        // have learned of more.
        Ok(FriendMessage::EvidenceStatements(statements)) => {
            let is_new = |statement: &Unverified<Statement>| {
                let wire = statement.wire();
                !node.signer_log.knows(statement.peek(), &wire[..wire.len() - Signature::LEN])
            };
            statements.into_iter().filter(is_new).collect()
        }
        message => panic!("a statement stands in {message:?}"),
    };
    for statement in statements.iter().filter(|statement| statement.peek().author == node.key) {
        let is_stored = node.disk.own_statements(friend).any(|wire| wire == &**statement.wire());
        // One that was stored before, and whose epoch has ended in the very batch that sent it once more.
        let statement = statement.peek();
        // Or whose friend was removed in it, when nothing was pending any more.
        let account = node.find(friend, &statement.currency);
        let has_ended =
            account.is_none_or(|account| account.epoch().is_some_and(|epoch| epoch.number > statement.epoch));
        assert!(is_stored || has_ended, "a statement is sent that is not on the disk: {statement:?}");
    }
}

/// What is told to applications is on the disk.
pub(super) fn check_reply(node: &Node, reply: &Reply) {
    match reply {
        Reply::Invoice(invoice) => {
            let stored = node.disk.invoice(invoice.id).map(|record| record.invoice);
            assert_eq!(stored.as_ref(), Some(invoice), "an invoice is given out that is not on the disk");
        }
        Reply::Payment(report) => {
            let stored = node.disk.payment(report.payment_id).map(|payment| payment.status());
            // One that is told to be under way may have ended later in the same batch.
            let is_under_way = report.status == PaymentStatus::Pending && stored.is_some();
            assert!(is_under_way || stored == Some(report.status), "{report:?}, and the disk holds {stored:?}");
        }
        _ => {}
    }
}

/// A node that may have forgotten how a request ended does not say that it knows nothing of it: that would count as an
/// end. `asked_while_suspect`: it was so when the question came.
pub(super) fn check_said_while_suspect(node: &Node, friend: PublicKey, asked_while_suspect: bool, found: &Found) {
    let Found::Ends(ends) = found else { return };
    let is_suspect = asked_while_suspect && node.is_suspect_with(friend);
    let denied = ends.iter().find(|(_, end)| is_suspect && *end == End::Unknown);
    assert_eq!(denied, None, "a node whose state is suspect says that it knows nothing of a request");
}

/// What the disk gives back of the accounts that were written since somebody looked is what the machine holds.
pub(super) fn check_touched(funder: &Funder, key: PublicKey, disk: &Disk) {
    check_accounts(funder, key, disk, |account_id, _| disk.touched.contains(account_id));
}

/// The same for those that were just written and have stopped: what waits for the next epoch of one does not wait for
/// long.
pub(super) fn check_stopped(funder: &Funder, key: PublicKey, disk: &Disk) {
    check_accounts(funder, key, disk, |account_id, account| {
        account.active().is_none() && disk.written.contains(account_id)
    });
}

fn check_accounts(funder: &Funder, key: PublicKey, disk: &Disk, is_wanted: impl Fn(&AccountId, &Account) -> bool) {
    for (friend, account) in funder.accounts() {
        let account_id = AccountId { friend, currency: account.key().currency.clone() };
        if is_wanted(&account_id, account) {
            let rows =
                disk.account(&account_id).unwrap_or_else(|| panic!("the disk has no account {:?}", account.key()));
            let name = AccountKey { local: key, remote: friend, currency: account_id.currency };
            assert_same(account, &Account::restore(name, rows).expect("the disk can be read"));
        }
    }
}

/// Each committed request belongs to something, as `stnode check` demands.
pub(super) fn check_ties(funder: &Funder, disk: &Disk) {
    if funder.loose_ends(&BTreeSet::new()).is_empty() {
        return;
    }
    let mut collected = BTreeSet::new();
    for payment in disk.payments() {
        let parts = payment.parts.iter().filter(|(_, part)| part.preimage.is_some());
        collected.extend(parts.map(|(id, part)| AccountId::new(part.path[0], &payment.currency).request(*id)));
    }
    let forwarded = disk.forwarded.iter();
    collected.extend(forwarded.map(|report| AccountId::new(report.to, &report.currency).request(report.request_id)));
    assert_eq!(funder.loose_ends(&collected), [""; 0]);
}

/// What the disk gives back is what the machine holds.
pub(super) fn check_restored(funder: &Funder, key: PublicKey, disk: &Disk) {
    let restored = Funder::restore(key, disk.rows()).expect("the disk can be read");
    super::compare::check_rows(funder, &restored);
    let (mut live, mut stored) = (funder.accounts(), restored.accounts());
    loop {
        let (live, stored) = match (live.next(), stored.next()) {
            (None, None) => return,
            (Some((_, live)), Some((_, stored))) => (live, stored),
            _ => panic!("the disk holds other accounts"),
        };
        assert_same(live, stored);
    }
}

fn assert_same(live: &Account, stored: &Account) {
    let what = "what the machine holds and what the disk gives back";
    assert_eq!(live.key(), stored.key(), "{what}");
    assert_eq!(live.status(), stored.status(), "{what}");
    assert_eq!(live.negotiation(), stored.negotiation(), "{what}");
    assert_eq!((live.limit(), live.is_open()), (stored.limit(), stored.is_open()), "{what}");
    assert_eq!(live.unsigned_requests(), stored.unsigned_requests(), "{what}");
    let (Some(live_epoch), Some(stored_epoch)) = (live.epoch(), stored.epoch()) else {
        assert!(live.is_same_as(stored), "{what}: {live:?} and {stored:?}");
        return;
    };
    assert_eq!(live_epoch.balance(), stored_epoch.balance(), "{what}");
    assert_eq!((live_epoch.number, live_epoch.agreed), (stored_epoch.number, stored_epoch.agreed), "{what}");
    assert_eq!((live_epoch.mine, live_epoch.theirs), (stored_epoch.mine, stored_epoch.theirs), "{what}");
    assert!(live_epoch.pendings().eq(stored_epoch.pendings()), "{what}: pending requests");
    for (direction, id, _) in live_epoch.pendings() {
        if direction == Direction::Outgoing {
            assert_eq!(live.is_bound(id), stored.is_bound(id), "{what}");
        }
    }
    // And whatever else: what waits to be signed, claims, how far the account is trusted, what others remember of it.
    assert!(live.is_same_as(stored), "{what}: {live:?} and {stored:?}");
}
