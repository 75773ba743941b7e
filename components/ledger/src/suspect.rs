//! An account whose own state may be old: how it stops, what waits for its next epoch, and what others remember of it.

use crate::account::Account;
use crate::changes::Marks;
use crate::epoch::Epoch;
use crate::key::AccountKey;
use crate::log::advance;
use crate::negotiation::{Floor, Negotiation, Terms};
use crate::pending::Direction;
use crate::recovery::{AccountRecovery, Head, StateTrust};
use crate::stop::StopReason;
use offst_crypto::{Preimage, PublicKey, Signer};
use offst_proto::Amount;
use offst_proto::RequestId;
use offst_proto::opening::Continuing;
use offst_proto::payment::CancelReason;
use offst_proto::statement::Operation;
use std::collections::{BTreeMap, BTreeSet};

impl Account {
    /// An account of which nothing is left but its name: the friend is asked to show what both have signed.
    /// `now_ms` (unix): which Openings were signed before is forgotten, so none is signed
    /// for an epoch below it.
    pub fn lost(key: AccountKey, limit: Amount, open: bool, now_ms: u64) -> Account {
        Account {
            key,
            negotiation: Negotiation {
                floor: Floor { ended: None, lost_up_to: now_ms.checked_sub(1), relied_on: now_ms.checked_sub(1) },
                ..Negotiation::default()
            },
            epoch: None,
            stopped: Some(StopReason::OwnStateLost),
            wanted_limit: limit,
            wanted_open: open,
            resumed: false,
            recovery: AccountRecovery { trust: StateTrust::Suspect, ..AccountRecovery::default() },
            marks: Marks::everything(),
        }
    }

    /// Our database may be old: the account stops, and nothing is signed in its epoch again, nor an Opening for an
    /// epoch below `now_ms` (unix). Whatever was not committed on it has to be given up by the caller as after every
    /// stop.
    ///
    /// That holds also for an account that was suspect before, or compared with the friend already: the database may be
    /// a copy from the middle of that recovery, and epochs may have begun and ended since.
    /// (R7.3.)
    pub fn distrust(&mut self, now_ms: u64) {
        let floor = &mut self.negotiation.floor;
        // R7.11.
        floor.lost_up_to = floor.lost_up_to.max(now_ms.checked_sub(1));
        if matches!(self.recovery.trust, StateTrust::Current | StateTrust::PeerLostState) {
            // What this database remembers was signed while it was relied on, also if a friend's wrong clock has put it
            // far ahead of ours.
            floor.relied_on = floor.lost_up_to.max(self.negotiation.mine.as_ref().map(|mine| mine.epoch));
        }
        self.marks.negotiation = true;
        if self.recovery.trust == StateTrust::Suspect {
            return;
        }
        self.recovery.trust = StateTrust::Suspect;
        self.stopped = Some(StopReason::OwnStateLost);
        self.resumed = false;
        // What was shown was called certain. The friend's state may be suspect, too: then it waits for what is shown as
        // suspect.
        self.recovery.link.has_shown = false;
        self.marks.head = true;
        let Some(epoch) = &mut self.epoch else { return };
        for id in epoch.take_back_commits() {
            self.marks.pendings.insert((Direction::Outgoing, id));
        }
        self.claim_what_waits();
        // A preimage stays one. But what an old database has given up may have been promised onwards since.
        self.recovery.claims.retain(|_, claim| matches!(claim, Operation::Collect { .. }));
    }

    /// Every `Collect` and `Cancel` that is not signed waits for the next epoch instead: the requests are pending
    /// again.
    /// (R7.2.)
    pub(crate) fn claim_what_waits(&mut self) {
        let Some(epoch) = &mut self.epoch else { return };
        for operation in epoch.take_back_releases() {
            let id = operation.request_id().expect("a collect or a cancel");
            self.marks.pendings.insert((Direction::Incoming, id));
            self.recovery.claims.insert(id, operation);
        }
        self.marks.head = true;
    }

    /// Whether our own state is suspect, or was and has not led to a new epoch yet.
    pub fn is_recovering(&self) -> bool {
        self.recovery.is_under_way()
    }

    /// Whether our own state may be old, and the friend has not shown on this connection all that it has: what both
    /// have signed may still decide how the account goes on.
    pub fn waits_for_evidence(&self) -> bool {
        let link = &self.recovery.link;
        self.recovery.asks_for_evidence() && (link.newest_shown.is_none() || link.transfer.is_some())
    }

    /// Whether our terms are all there is of the account, as far as we know: it has not begun, nobody remembers that it
    /// had, and the friend has said nothing of it on this connection, nor shown terms on an earlier one.
    pub fn is_unanswered(&self) -> bool {
        let (terms, link) = (&self.negotiation, &self.recovery.link);
        let is_offered = self.epoch.is_none() && terms.mine.is_some() && terms.theirs.is_none();
        let has_spoken = link.friend_recovers || link.newest_shown.is_some() || link.transfer.is_some();
        is_offered && self.recovery.at_least.is_none() && !has_spoken
    }

    /// Whether our own view of the account is not to be relied on: it may be old, and no evidence has decided.
    pub fn is_suspect(&self) -> bool {
        self.recovery.trust == StateTrust::Suspect
    }

    /// What a [`Head`] kept elsewhere should say of this account. None before both sides have signed something.
    pub fn newest_head(&self) -> Option<Head> {
        let epoch = self.epoch.as_ref().filter(|_| !self.is_recovering())?;
        let head = Head { epoch: epoch.number, own: epoch.acknowledged, other: (epoch.theirs.seq, epoch.theirs.hash) };
        (head.own.0 > 0 || head.other.0 > 0).then_some(head)
    }

    /// What others remember of the account: evidence that shows less is not adopted. The newest such head counts. Says
    /// whether the account, when it is compared with the friend already, holds as much; otherwise it is suspect again.
    pub fn expect_at_least(&mut self, head: Head) -> bool {
        if !self.is_recovering() {
            return true;
        }
        let rank = |head: &Head| (head.epoch, head.other.0, head.own.0);
        if self.recovery.at_least.is_none_or(|known| rank(&known) < rank(&head)) {
            self.recovery.at_least = Some(head);
            self.marks.head = true;
        }
        // Where both sides have lost their state, people have decided without it.
        let is_decided = self.stopped == Some(StopReason::BothStatesLost);
        if self.recovery.trust == StateTrust::Recovered && !is_decided && !self.holds_enough() {
            self.recovery.trust = StateTrust::Suspect;
            self.stopped = Some(StopReason::FriendWithholds);
            self.marks.head = true;
            return false;
        }
        true
    }

    /// People have decided (`reset-friend`) to go on from what is left, after both sides have lost a part of their
    /// state and the friend has put no terms on the table: ours are what we have last known, a balance of 0 if that is
    /// nothing. The friend's owner decides too. False: that is not how the account stands.
    /// (R7.12.)
    pub fn offer_what_is_left(&mut self, now_ms: u64, signer: &dyn Signer) -> bool {
        if self.recovery.trust != StateTrust::Suspect || self.stopped != Some(StopReason::BothStatesLost) {
            return false;
        }
        self.recovery.trust = StateTrust::Recovered;
        self.marks.head = true;
        let at_least = now_ms.max(self.recovery.link.above_shown());
        self.propose(self.last_known_terms(), at_least, None, signer);
        true
    }

    /// Whether what we hold shows all that others remember.
    pub(crate) fn holds_enough(&self) -> bool {
        self.recovery.at_least.is_none_or(|head| {
            let epoch = self.epoch.as_ref();
            epoch.is_some_and(|epoch| head.is_within(epoch.number, [epoch.mine.seq, epoch.theirs.seq]))
        })
    }

    /// Remembers the end of a request of the friend's for the next epoch. False: it is not pending, not at the stage
    /// for that, or has an end already.
    /// (R7.9.)
    pub(crate) fn claim(&mut self, operation: Operation) -> bool {
        let Some(id) = operation.request_id() else { return false };
        let Some(pending) = self.pending(Direction::Incoming, id).copied() else { return false };
        let is_allowed = match &operation {
            Operation::Collect { preimage, .. } => pending.stage.collect(preimage).is_ok(),
            // Who does not know its own state cannot give anything up.
            _ => !self.is_recovering(),
        };
        // Another request may have had this id in an epoch that an old database does not know the end of.
        let fits = |known: &Operation| match known {
            Operation::Collect { preimage, .. } => pending.stage.collect(preimage).is_ok(),
            _ => true,
        };
        if !is_allowed || self.recovery.claims.get(&id).is_some_and(fits) {
            return false;
        }
        // What is not committed does not continue.
        if pending.stage.is_committed() {
            self.recovery.claims.insert(id, operation);
            self.marks.head = true;
        }
        true
    }

    /// Requests of the friend's that we have collected since the terms are fixed, and their credits: the epoch's terms
    /// and balance do not show it yet.
    pub fn claimed(&self) -> impl Iterator<Item = (RequestId, Amount)> {
        let collected = self.recovery.collected().map(|(id, _)| id);
        collected.filter_map(|id| Some((id, self.pending(Direction::Incoming, id)?.held)))
    }

    /// Credits that we have collected already and that these terms, seen from our side, let continue all the same: they
    /// are collected again as soon as such an epoch begins.
    pub fn collects_again(&self, terms: &Terms) -> u128 {
        let unheard = self.collected_unheard();
        let opens = |request: &&Continuing| {
            unheard.get(&request.id).is_some_and(|preimage| !request.author_pays && preimage.lock() == request.lock)
        };
        terms.continuing.iter().filter(opens).map(|request| request.held).sum()
    }

    /// Requests of the friend's that we have collected, and the preimages, as long as it has not acknowledged it.
    pub fn collected_unheard(&self) -> BTreeMap<RequestId, Preimage> {
        let unheard = self.epoch.iter().flat_map(Epoch::unheard_releases).chain(self.recovery.claims.values().cloned());
        let collected = unheard.filter_map(|operation| match operation {
            Operation::Collect { id, preimage } => Some((id, preimage)),
            _ => None,
        });
        collected.collect()
    }

    /// Whether a request of the friend's has ended here, and waits only for the next epoch to say so.
    pub fn has_claimed(&self, id: RequestId) -> bool {
        self.recovery.claims.contains_key(&id)
    }

    /// What the account comes to when all that waits for the next epoch is said: what we have collected is ours, and
    /// nothing of it continues. Another epoch need not come, because a lost key never signs again.
    pub fn settled_terms(&self) -> Terms {
        let mut terms = self.last_known_terms();
        for (_, held) in self.claimed() {
            terms.balance += held.signed();
        }
        terms.continuing.retain(|request| request.author_pays || !self.has_claimed(request.id));
        terms
    }

    pub(crate) fn claim_collect(&mut self, id: RequestId, preimage: Preimage) -> bool {
        self.claim(Operation::Collect { id, preimage })
    }

    pub(crate) fn claim_cancel(&mut self, id: RequestId, reason: CancelReason, hop: PublicKey) -> bool {
        self.claim(Operation::Cancel { id, reason, hop })
    }

    /// What we have last known. For a lost account that is nothing.
    pub(crate) fn last_known_terms(&self) -> Terms {
        match (&self.epoch, &self.negotiation.mine) {
            (Some(epoch), _) => Terms { balance: epoch.balance(), continuing: epoch.continuing() },
            (None, Some(mine)) => Terms { balance: mine.balance, continuing: mine.continuing.clone() },
            (None, None) => Terms { balance: 0, continuing: Vec::new() },
        }
    }
}

impl Epoch {
    /// Takes every `Collect` and `Cancel` back that is not signed: the requests are pending again, as the friend knows
    /// them. So a `Response` that waits before one of them goes, too.
    fn take_back_releases(&mut self) -> Vec<Operation> {
        let releases = self.queue.values().map(|queued| &queued.operation).filter(|operation| operation.ends_request());
        let released: BTreeSet<RequestId> = releases.filter_map(Operation::request_id).collect();
        if released.is_empty() {
            return Vec::new();
        }
        let signed = self.signed_view();
        let (taken, left) =
            std::mem::take(&mut self.queue).into_iter().partition::<BTreeMap<_, _>, _>(|(_, queued)| {
                match &queued.operation {
                    Operation::Response(answer) => released.contains(&answer.id),
                    operation => operation.ends_request(),
                }
            });
        self.queue = left;
        let waiting = self.queue.values();
        self.mine.totals = waiting.fold(self.signed_totals, |totals, queued| {
            advance(&totals, &queued.operation, queued.moved).expect("they were less than before")
        });
        let mut operations = Vec::new();
        for queued in taken.into_values().filter(|queued| queued.operation.ends_request()) {
            let id = queued.operation.request_id().expect("a collect or a cancel");
            let key = (Direction::Incoming, id);
            self.local_view.set(key, signed.get(key).copied());
            operations.push(queued.operation);
        }
        operations
    }
}
