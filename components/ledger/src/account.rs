//! An account as a whole: its Openings, its epoch, and stopping.

use crate::author::{AbortOutcome, NotAllowed, SignOutcome};
use crate::changes::Marks;
use crate::epoch::Epoch;
use crate::event::Event;
use crate::fault::Fault;
use crate::key::AccountKey;
use crate::negotiation::{Agreement, Floor, Negotiation, NegotiationOutcome, Terms, opening};
use crate::pending::{Direction, Pending, Stage};
use crate::recovery::{AccountRecovery, Link, StateTrust};
use crate::stop::{Status, StopReason};
use offst_crypto::{Hash, Preimage, PublicKey, Signer};
use offst_proto::Amount;
use offst_proto::friend::{EpochPosition, resume_frame};
use offst_proto::payment::CancelReason;
use offst_proto::statement::{Answer, Operation, Request, Statement};
use offst_proto::{RequestId, Verified};
use std::cmp::Ordering;

/// So many epochs are left out when the friend has lost its state: those that both may have forgotten. Not more than a
/// friend takes at once.
/// (R7.7.)
const FORGOTTEN_EPOCHS: u64 = 64;

/// One account between two friends in one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub(crate) key: AccountKey,
    pub(crate) negotiation: Negotiation,
    pub(crate) epoch: Option<Epoch>,
    pub(crate) stopped: Option<StopReason>,
    /// What our owner lets the friend owe, credits, and whether we take its requests: written into each new epoch.
    pub(crate) wanted_limit: Amount,
    pub(crate) wanted_open: bool,
    /// The friend has shown on this connection that it is in our epoch. Not stored: no connection outlives the process.
    pub(crate) resumed: bool,
    pub(crate) recovery: AccountRecovery,
    pub(crate) marks: Marks,
}

impl Account {
    /// A new account whose first Opening proposes `balance`. `floor`: what was before.
    ///
    /// # Panics
    /// When the balance is out of its bound of 2^96 either way: the caller checks what a person has typed.
    pub fn open(key: AccountKey, balance: i128, limit: Amount, open: bool, floor: Floor, signer: &dyn Signer) -> Self {
        assert!(Amount::new(balance.unsigned_abs()).is_some(), "an opening balance is at most 2^96");
        let mut account = Account::unopened(key, limit, open, floor);
        account.propose(Terms { balance, continuing: Vec::new() }, 0, None, signer);
        account
    }

    fn unopened(key: AccountKey, wanted_limit: Amount, wanted_open: bool, floor: Floor) -> Self {
        Account {
            key,
            negotiation: Negotiation { floor, ..Negotiation::default() },
            epoch: None,
            stopped: None,
            wanted_limit,
            wanted_open,
            resumed: false,
            recovery: AccountRecovery::default(),
            marks: Marks::everything(),
        }
    }

    /// This account as it goes on with another key of the friend's: an account of its own, whose first Opening proposes
    /// what this one has come to, and what we have collected meanwhile. This one must have stopped, and nothing that
    /// the friend has committed and that has not ended here may be pending on it: we could not collect that any more.
    /// What *we* have committed continues, and binds us as before.
    ///
    /// # Panics
    /// When it has not stopped, or a request of the friend's is pending.
    pub fn continued_with(&self, new_key: PublicKey, floor: Floor, signer: &dyn Signer) -> Self {
        let terms = self.settled_terms();
        assert!(self.active().is_none(), "only an account that has stopped goes on with another key");
        assert!(
            terms.continuing.iter().all(|request| request.author_pays),
            "a committed request could not be collected"
        );
        let key = AccountKey { remote: new_key, ..self.key.clone() };
        let mut account = Account::unopened(key, self.wanted_limit, self.wanted_open, floor);
        account.propose(terms, 0, None, signer);
        account
    }

    /// Which account this is.
    pub fn key(&self) -> &AccountKey {
        &self.key
    }

    /// The epoch, also of a stopped account.
    pub fn epoch(&self) -> Option<&Epoch> {
        self.epoch.as_ref()
    }

    /// The epoch, when requests can be made in it.
    pub fn active(&self) -> Option<&Epoch> {
        self.epoch.as_ref().filter(|_| self.stopped.is_none())
    }

    /// Whether statements can be sent and received now.
    pub fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// What our owner lets the friend owe, credits.
    pub fn limit(&self) -> Amount {
        self.wanted_limit
    }

    /// Whether our owner takes the friend's requests.
    pub fn is_open(&self) -> bool {
        self.wanted_open
    }

    /// The newest epoch that we have signed an Opening for or have been in: what a removed friend leaves behind.
    pub fn newest_epoch(&self) -> Option<u64> {
        self.next_epoch().checked_sub(1)
    }

    /// The first epoch that nobody can have seen us in. The friend's acceptance begins an epoch above our own newest
    /// Opening.
    pub(crate) fn next_epoch(&self) -> u64 {
        let above = self.epoch.as_ref().map_or(0, |epoch| epoch.number + 1);
        self.negotiation.next_epoch().max(above)
    }

    /// Our newest Opening and the friend's.
    pub fn negotiation(&self) -> &Negotiation {
        &self.negotiation
    }

    /// What its owner has to know.
    pub fn status(&self) -> Status {
        if self.active().is_some() {
            return Status::Consistent;
        }
        let mine = self.last_known_terms();
        let theirs = self.negotiation.theirs.as_ref().filter(|theirs| {
            // Terms of an epoch that has ended say nothing about the next one.
            self.epoch
                .as_ref()
                .is_none_or(|epoch| theirs.epoch > epoch.number || theirs.epoch == epoch.number && epoch.is_untouched())
        });
        let is_for_people = matches!(self.stopped, Some(StopReason::BothStatesLost | StopReason::FriendWithholds));
        if theirs.is_none() && self.epoch.is_none() && !is_for_people {
            return Status::Waiting { mine };
        }
        let theirs = theirs.map(|o| Terms { balance: -o.balance, continuing: o.mirrored_continuing() });
        Status::Inconsistent { mine, theirs, reason: self.stopped }
    }

    pub(crate) fn propose(&mut self, terms: Terms, at_least: u64, accepts: Option<Hash>, signer: &dyn Signer) {
        let number = self.next_epoch().max(at_least);
        let AccountKey { local, remote, currency } = &self.key;
        let opening = opening(*local, *remote, currency, number, terms, accepts);
        self.negotiation.place_mine(Verified::sign(opening, signer));
        self.marks.negotiation = true;
    }

    /// Accepts the friend's terms (`reset-friend`): signs its balance negated in a higher epoch that names its Opening.
    ///
    /// # Errors
    /// [`NotAllowed::WrongStage`] when the friend has not shown terms that could be accepted.
    /// (R1.27.)
    pub fn accept_theirs(&mut self, signer: &dyn Signer) -> Result<Vec<Event>, NotAllowed> {
        let Status::Inconsistent { theirs: Some(terms), .. } = self.status() else {
            return Err(NotAllowed::WrongStage);
        };
        let theirs = self.negotiation.theirs.as_ref().expect("the status shows them");
        let (accepts, at_least) = (theirs.hash(), (theirs.epoch + 1).max(self.recovery.link.above_shown()));
        if self.recovery.trust == StateTrust::Suspect {
            // People may decide what no evidence shows.
            self.recovery.trust = StateTrust::Recovered;
        }
        self.propose(terms, at_least, Some(accepts), signer);
        self.resumed = false;
        Ok(self.settle(signer))
    }

    /// Adopts an epoch that both sides agree on, and signs our Opening again when the friend's says the same for a
    /// higher one.
    pub(crate) fn settle(&mut self, signer: &dyn Signer) -> Vec<Event> {
        loop {
            if self.recovery.trust == StateTrust::Suspect || !self.offer_stands() {
                return Vec::new();
            }
            match self.negotiation.outcome() {
                NegotiationOutcome::Repeat(number) => {
                    let mine = self.negotiation.mine.as_ref().expect("the verdict compared it");
                    let terms = Terms { balance: mine.balance, continuing: mine.continuing.clone() };
                    self.propose(terms, number, None, signer);
                }
                NegotiationOutcome::Agreed(agreement) => {
                    let begins = self.epoch.as_ref().is_none_or(|epoch| match epoch.number.cmp(&agreement.number) {
                        Ordering::Less => true,
                        // Two acceptances crossed. Where statements were signed the friend had confirmed ours: what has
                        // happened since cannot be undone by an Opening that it held back. Nor what our owner's
                        // acceptance has released upstream: then the friend has opened the account anew, and people
                        // settle it.
                        Ordering::Equal => {
                            let is_other = epoch.agreed != agreement.agreed && epoch.is_untouched();
                            is_other && !epoch.has_released(&agreement.mine.continuing)
                        }
                        Ordering::Greater => false,
                    });
                    return if begins { self.begin(*agreement) } else { Vec::new() };
                }
                NegotiationOutcome::Wait | NegotiationOutcome::Disagreed => return Vec::new(),
            }
        }
    }

    /// Whether our newest Opening may still begin an epoch. One that has begun ours already is used up: its terms leave
    /// out whatever was paid since. When they are our view by chance, nothing is lost by them.
    fn offer_stands(&self) -> bool {
        let (Some(epoch), Some(mine)) = (&self.epoch, &self.negotiation.mine) else {
            return true;
        };
        mine.epoch > epoch.number
            || epoch.is_untouched()
            || epoch.balance() == mine.balance && epoch.continuing() == mine.continuing
    }

    fn begin(&mut self, agreement: Agreement) -> Vec<Event> {
        let mut epoch = Epoch::begin(agreement);
        let old = self.epoch.take();
        self.stopped = None;
        self.resumed = false;
        self.marks.epoch_ends(old.as_ref());
        epoch.set_limit(self.wanted_limit);
        epoch.set_open(self.wanted_open);
        if let Some(old) = &old {
            epoch.release_again(old);
        }
        let recovery = std::mem::take(&mut self.recovery);
        let recovered = matches!(recovery.trust, StateTrust::Suspect | StateTrust::Recovered);
        for claim in recovery.claims.into_values() {
            epoch.release(claim);
        }
        epoch.assert_sound();
        let left_out = |wanted: Direction| -> Vec<RequestId> {
            old.iter()
                .flat_map(Epoch::pendings)
                .filter(|(direction, id, _)| *direction == wanted && epoch.pending(wanted, *id).is_none())
                .map(|(_, id, _)| id)
                .collect()
        };
        let (released, dropped) = (left_out(Direction::Outgoing), left_out(Direction::Incoming));
        let mut events = vec![Event::EpochBegan { released, dropped, recovered }];
        // A `Commit` that was in flight when the last epoch ended and that both sides let stand.
        let was_committed = |id: RequestId| {
            let pending = old.as_ref().and_then(|old| old.pending(Direction::Incoming, id));
            pending.is_some_and(|pending| pending.stage.is_committed())
        };
        for (direction, id, _) in epoch.pendings() {
            if direction == Direction::Incoming && !recovered && !was_committed(id) {
                events.push(Event::Committed(id));
            }
        }
        self.epoch = Some(epoch);
        events
    }

    /// Stops the account: nothing is signed in its epoch any more, and an Opening with our view proposes the next one.
    pub fn stop(&mut self, reason: StopReason, signer: &dyn Signer) {
        self.resumed = false;
        if self.epoch.is_none() || self.stopped.is_some() {
            return;
        }
        self.stopped = Some(reason);
        self.marks.head = true;
        // A `Commit` that was never signed binds nobody, and now never will.
        for id in self.epoch.as_mut().map_or_else(Vec::new, Epoch::take_back_commits) {
            self.marks.pendings.insert((Direction::Outgoing, id));
        }
        self.repropose(signer);
    }

    /// Signs a new Opening when a stopped account's view has changed, for example because a claim was added to it.
    /// (R1.33.)
    pub fn repropose(&mut self, signer: &dyn Signer) -> bool {
        let (Some(epoch), Some(_)) = (&self.epoch, self.stopped) else {
            return false;
        };
        if self.recovery.trust == StateTrust::Suspect {
            return false;
        }
        let terms = self.last_known_terms();
        let mine = self.negotiation.mine.as_ref().expect("an account starts with an opening of ours");
        let is_current =
            mine.epoch > epoch.number && mine.balance == terms.balance && mine.continuing == terms.continuing;
        if is_current {
            return false;
        }
        let theirs = self.negotiation.theirs.as_ref().map_or(0, |theirs| theirs.epoch);
        // Who has lost its state may have forgotten its newest Openings, and we ours, if our disk is an old copy and
        // nobody has said so: neither must sign another one for the same epoch.
        let at_least = match self.recovery.trust {
            StateTrust::PeerLostState => theirs.max(self.next_epoch()).saturating_add(FORGOTTEN_EPOCHS),
            _ => theirs,
        };
        self.propose(terms, at_least, None, signer);
        true
    }

    /// The connection is gone: nothing is signed until the next [`offst_proto::friend::Resume`].
    pub fn disconnected(&mut self) {
        self.resumed = false;
        self.recovery.link = Link::default();
    }

    /// The frame that tells the friend where we stand.
    pub fn resume_frame(&self) -> Vec<u8> {
        let position = self.active().map(|epoch| EpochPosition {
            agreed: epoch.agreed,
            number: epoch.number,
            own_seq: epoch.mine.seq,
            own_hash: epoch.mine.hash,
            other_seq: epoch.theirs.seq,
            other_hash: epoch.theirs.hash,
        });
        // A node that does not trust its own state proposes nothing: an Opening that is used up would be taken for a
        // proposal.
        let is_proposed = self.recovery.trust != StateTrust::Suspect || self.offer_stands();
        let opening = self.negotiation.mine.as_ref().filter(|_| is_proposed).map(Verified::wire);
        resume_frame(&self.key.currency, opening, position.as_ref(), self.recovery.asks_for_evidence())
    }

    /// Whether a statement continues the friend's log now. Statements that arrive before the friend has resumed, or
    /// again, are no fault.
    /// (R10.2.)
    pub fn expects(&self, statement: &Statement) -> bool {
        let is_ours = statement.author == self.key.remote
            && statement.other == self.key.local
            && statement.currency == self.key.currency;
        self.resumed
            && is_ours
            && self.active().is_some_and(|epoch| statement.epoch == epoch.number && statement.seq > epoch.theirs.seq)
    }

    /// Applies the next statement of the friend's log.
    ///
    /// # Errors
    /// A [`Fault`]: nothing has changed but that the account is stopped.
    pub fn receive(&mut self, statement: &Verified<Statement>, signer: &dyn Signer) -> Result<Vec<Event>, Fault> {
        let Account { key, epoch, marks, .. } = self;
        let epoch = epoch.as_mut().filter(|_| self.stopped.is_none()).ok_or(Fault::NotContinuing)?;
        let result = epoch.receive(key, statement);
        match result {
            Ok(accepted) => {
                marks.received(statement, &accepted);
                Ok(accepted.events)
            }
            Err(fault) => {
                self.stop(StopReason::Fault(fault), signer);
                Err(fault)
            }
        }
    }

    fn author<T>(
        &mut self,
        also_when_stopped: bool,
        request: (Direction, RequestId),
        step: impl FnOnce(&mut Epoch) -> Result<T, NotAllowed>,
    ) -> Result<T, NotAllowed> {
        let is_stopped = self.stopped.is_some();
        let epoch = self.epoch.as_mut().filter(|_| also_when_stopped || !is_stopped).ok_or(NotAllowed::NotActive)?;
        let done = step(epoch)?;
        self.marks.head = true;
        self.marks.pendings.insert(request);
        Ok(done)
    }

    /// Reserves credits and asks the friend to forward them.
    ///
    /// # Errors
    /// [`NotAllowed`], as for all that follow.
    pub fn request(&mut self, request: Request, terms: Hash) -> Result<(), NotAllowed> {
        let key = (Direction::Outgoing, request.id);
        self.author(false, key, |epoch| epoch.request(request, terms))
    }

    /// Passes the destination's answer to the friend that asked.
    ///
    /// # Errors
    /// [`NotAllowed`].
    pub fn respond(&mut self, answer: Answer) -> Result<(), NotAllowed> {
        self.author(false, (Direction::Incoming, answer.id), |epoch| epoch.respond(answer))
    }

    /// Promises the friend to pay for the preimage.
    ///
    /// # Errors
    /// [`NotAllowed`].
    pub fn commit(&mut self, id: RequestId) -> Result<(), NotAllowed> {
        self.author(false, (Direction::Outgoing, id), |epoch| epoch.commit(id))
    }

    /// Gives up a request that no signed `Commit` binds.
    ///
    /// # Errors
    /// [`NotAllowed`].
    pub fn abort(&mut self, id: RequestId) -> Result<AbortOutcome, NotAllowed> {
        self.author(true, (Direction::Outgoing, id), |epoch| epoch.abort(id))
    }

    /// Takes the pending credits for the preimage. On a stopped account this is a claim that the next Opening shows.
    ///
    /// # Errors
    /// [`NotAllowed`].
    pub fn collect(&mut self, id: RequestId, preimage: Preimage) -> Result<(), NotAllowed> {
        if self.recovery.has_fixed_terms() {
            return if self.claim_collect(id, preimage) { Ok(()) } else { Err(NotAllowed::WrongStage) };
        }
        self.author(true, (Direction::Incoming, id), |epoch| epoch.collect(id, preimage))
    }

    /// Releases credits that the friend's request holds.
    ///
    /// # Errors
    /// [`NotAllowed`].
    pub fn cancel(&mut self, id: RequestId, reason: CancelReason, hop: PublicKey) -> Result<(), NotAllowed> {
        if self.recovery.has_fixed_terms() {
            return if self.claim_cancel(id, reason, hop) { Ok(()) } else { Err(NotAllowed::WrongStage) };
        }
        self.author(true, (Direction::Incoming, id), |epoch| epoch.cancel(id, reason, hop))
    }

    /// Sets what the friend may owe, credits.
    pub fn set_limit(&mut self, limit: Amount) {
        self.wanted_limit = limit;
        self.marks.head = true;
        // Without an active epoch the next one starts with it.
        if self.stopped.is_none()
            && let Some(epoch) = &mut self.epoch
        {
            epoch.set_limit(limit);
        }
    }

    /// Sets whether we take the friend's requests.
    pub fn set_open(&mut self, open: bool) {
        self.wanted_open = open;
        self.marks.head = true;
        if self.stopped.is_none()
            && let Some(epoch) = &mut self.epoch
        {
            epoch.set_open(open);
        }
    }

    /// Requests of ours that were never signed, so that the friend does not know of them.
    pub fn unsigned_requests(&self) -> Vec<RequestId> {
        let queued = self.epoch.iter().flat_map(|epoch| epoch.queue.values());
        queued
            .filter_map(|queued| match &queued.operation {
                Operation::Request(request) => Some(request.id),
                _ => None,
            })
            .collect()
    }

    /// Whether the friend has acknowledged how every request of its ended here. Until then it may count one as pending
    /// that we have collected or cancelled, and an account that stopped now would start anew with two opinions.
    pub fn ends_are_known(&self) -> bool {
        self.epoch.as_ref().is_none_or(|epoch| {
            !epoch.queue.values().any(|queued| queued.operation.ends_request())
                && !epoch.unacknowledged.iter().any(|sent| sent.has_operations)
        })
    }

    /// Whether a `Commit` of ours for this request is signed, so that it cannot be taken back. Before the first epoch
    /// our Opening takes its place: the friend may accept it at any time.
    pub fn is_bound(&self, id: RequestId) -> bool {
        self.outgoing(id).is_some_and(|pending| pending.stage.is_committed())
            && !self.epoch.as_ref().is_some_and(|epoch| epoch.commit_is_unsigned(id))
    }

    /// What the friend may still collect from us, or release: a request of ours that is pending. Before the first epoch
    /// that is what our Opening offers: a request that went over to a friend's new key has not ended, and nobody who
    /// waits for it is released before an epoch has begun without it.
    pub fn outgoing(&self, id: RequestId) -> Option<Pending> {
        if let Some(epoch) = &self.epoch {
            return epoch.pending(Direction::Outgoing, id).copied();
        }
        let mut offered = self.negotiation.mine.iter().flat_map(|mine| &mine.continuing);
        let request = offered.find(|request| request.author_pays && request.id == id)?;
        Some(Pending { held: request.held, terms: request.terms, stage: Stage::Committed(request.lock) })
    }

    /// The request's state on this account.
    pub fn pending(&self, direction: Direction, id: RequestId) -> Option<&Pending> {
        self.epoch.as_ref()?.pending(direction, id)
    }

    /// Whether operations wait to be signed, or a last statement should settle the account before it falls idle.
    pub fn wants_to_sign(&self) -> bool {
        self.resumed && self.active().is_some_and(|epoch| !epoch.queue.is_empty() || epoch.owes_acknowledgement)
    }

    /// Whether a last statement should settle the account before it falls idle.
    pub fn is_unsettled(&self) -> bool {
        self.resumed && self.active().is_some_and(Epoch::is_unsettled)
    }

    /// Signs the next statement, if there is anything to say. Ask until it says so. `idle`: this is the last one for a
    /// while, so it acknowledges and carries a checkpoint.
    pub fn sign(&mut self, signer: &dyn Signer, idle: bool) -> SignOutcome {
        if !self.resumed || self.stopped.is_some() {
            return SignOutcome::Nothing;
        }
        let Account { key, epoch, marks, .. } = self;
        let Some(epoch) = epoch else {
            return SignOutcome::Nothing;
        };
        let outcome = epoch.sign(key, signer, idle);
        if let SignOutcome::Signed(wire) = &outcome {
            marks.signed(epoch.mine.seq, wire.clone());
        }
        outcome
    }
}
