//! An account as a whole: its Openings, its epoch, reconnecting and stopping.

use crate::author::{AbortOutcome, NotAllowed, SignOutcome};
use crate::epoch::Epoch;
use crate::image::Marks;
use crate::negotiation::{Negotiation, Terms, Verdict, opening};
use crate::pending::{Direction, Pending};
use crate::receive::{Event, Fault};
use offst_crypto::{Hash, Preimage, PublicKey, Signer, Verifier};
use offst_proto::friend::{EpochPosition, Resume, resume_frame};
use offst_proto::opening::Opening;
use offst_proto::payment::CancelReason;
use offst_proto::statement::{Answer, Operation, Request, Statement};
use offst_proto::{Currency, RequestId, Unverified, Verified};
use std::sync::Arc;

/// How far an Opening may be ahead of the clock, ms: recovered accounts take the time as their epoch.
const EPOCH_AHEAD_MS: u64 = 3_600_000;

/// Names an account from our side.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccountKey {
    /// Us.
    pub local: PublicKey,
    /// The friend.
    pub remote: PublicKey,
    /// The currency.
    pub currency: Currency,
}

/// Why an account is not used any more until a new epoch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// The friend's log broke a rule.
    Fault(Fault),
    /// The friend wants other terms.
    FriendReopened,
    /// The friend holds statements of ours that we do not know: our database is old, or the friend lies.
    OwnStateLost,
    /// The friend does not know its own statements any more: its database is old.
    FriendStateLost,
    /// The owner removed or disabled the friend.
    Owner,
}

impl std::fmt::Display for StopReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StopReason::Fault(fault) => write!(f, "{fault}"),
            StopReason::FriendReopened => f.write_str("the friend proposes other terms"),
            StopReason::OwnStateLost => f.write_str(
                "the friend holds statements of ours that are not in our database: it is an old copy, or the friend lies",
            ),
            StopReason::FriendStateLost => {
                f.write_str("the friend does not know its own last statements any more: its database is an old copy")
            }
            StopReason::Owner => f.write_str("it was closed by its owner"),
        }
    }
}

/// What an account's owner has to know about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Both sides agree.
    Consistent,
    /// The friend has not shown its terms yet.
    Waiting {
        /// What we proposed.
        mine: Terms,
    },
    /// The sides do not agree. `reset-friend` accepts the friend's terms.
    Inconsistent {
        /// Our terms, from our side.
        mine: Terms,
        /// The friend's terms, turned to our side; none when it has not shown any since.
        theirs: Option<Terms>,
        /// What ended the last epoch.
        reason: Option<StopReason>,
    },
}

/// What came of a friend's [`Resume`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResumeOutcome {
    /// Our own position changed: send [`Account::resume_frame`].
    pub reply: bool,
    /// Both sides are in the same epoch now: statements of ours that the friend does not have.
    pub resend: Vec<Arc<[u8]>>,
    /// What it means for the node.
    pub events: Vec<Event>,
    /// The account stopped just now.
    pub stopped: Option<StopReason>,
}

/// One account between two friends in one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub(crate) key: AccountKey,
    pub(crate) negotiation: Negotiation,
    pub(crate) epoch: Option<Epoch>,
    pub(crate) stopped: Option<StopReason>,
    /// What our owner lets the friend owe, credits, and whether we take its requests: written into each new epoch.
    pub(crate) wanted_limit: u128,
    pub(crate) wanted_open: bool,
    /// The friend has shown on this connection that it is in our epoch. Not stored: no connection outlives the process.
    pub(crate) resumed: bool,
    pub(crate) marks: Marks,
}

impl Account {
    /// A new account whose first Opening proposes `balance`. `epoch_floor`: the last epoch of an account with the same friend
    /// that was removed.
    pub fn open(
        key: AccountKey,
        balance: i128,
        limit: u128,
        open: bool,
        epoch_floor: Option<u64>,
        signer: &dyn Signer,
    ) -> Self {
        let mut account = Account {
            key,
            negotiation: Negotiation { epoch_floor, ..Negotiation::default() },
            epoch: None,
            stopped: None,
            wanted_limit: limit,
            wanted_open: open,
            resumed: false,
            marks: Marks::everything(),
        };
        account.propose(Terms { balance, continuing: Vec::new() }, 0, None, signer);
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
    pub fn limit(&self) -> u128 {
        self.wanted_limit
    }

    /// Whether our owner takes the friend's requests.
    pub fn is_open(&self) -> bool {
        self.wanted_open
    }

    /// The newest epoch that we have signed an Opening for.
    pub fn newest_epoch(&self) -> Option<u64> {
        self.negotiation.next_epoch().checked_sub(1)
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
        let mine = self.current_terms();
        let theirs = self.negotiation.theirs.as_ref().filter(|theirs| {
            // Terms of an epoch that has ended say nothing about the next one.
            self.epoch.as_ref().is_none_or(|epoch| theirs.epoch > epoch.number)
        });
        if theirs.is_none() && self.epoch.is_none() {
            return Status::Waiting { mine };
        }
        let theirs = theirs.map(|o| Terms { balance: -o.balance, continuing: o.mirrored_continuing() });
        Status::Inconsistent { mine, theirs, reason: self.stopped }
    }

    /// The terms we would sign now.
    fn current_terms(&self) -> Terms {
        match (&self.epoch, &self.negotiation.mine) {
            (Some(epoch), _) => Terms { balance: epoch.balance(), continuing: epoch.continuing() },
            (None, Some(mine)) => Terms { balance: mine.balance, continuing: mine.continuing.clone() },
            (None, None) => unreachable!("an account starts with an opening of ours"),
        }
    }

    fn propose(&mut self, terms: Terms, at_least: u64, accepts: Option<Hash>, signer: &dyn Signer) {
        let number = self.negotiation.next_epoch().max(at_least);
        let AccountKey { local, remote, currency } = &self.key;
        let opening = opening(*local, *remote, currency, number, terms, accepts);
        self.negotiation.place_mine(Verified::sign(opening, signer));
        self.marks.negotiation = true;
    }

    /// Accepts the friend's terms (`reset-friend`): signs its balance negated in a higher epoch that names its Opening.
    ///
    /// # Errors
    /// [`NotAllowed::WrongStage`] when the friend has not shown terms that could be accepted.
    pub fn accept_theirs(&mut self, signer: &dyn Signer) -> Result<Vec<Event>, NotAllowed> {
        let Status::Inconsistent { theirs: Some(terms), .. } = self.status() else {
            return Err(NotAllowed::WrongStage);
        };
        let theirs = self.negotiation.theirs.as_ref().expect("the status shows them");
        let (accepts, at_least) = (theirs.hash(), theirs.epoch + 1);
        self.propose(terms, at_least, Some(accepts), signer);
        self.resumed = false;
        let (_, events) = self.settle(signer);
        Ok(events)
    }

    /// Brings our own Opening up to date and adopts an epoch that both sides agree on. Says whether our position changed.
    fn settle(&mut self, signer: &dyn Signer) -> (bool, Vec<Event>) {
        let mut changed = false;
        loop {
            match self.negotiation.verdict() {
                Verdict::Repeat(number) => {
                    let mine = self.negotiation.mine.as_ref().expect("the verdict compared it");
                    let terms = Terms { balance: mine.balance, continuing: mine.continuing.clone() };
                    self.propose(terms, number, None, signer);
                    changed = true;
                }
                Verdict::Agreed(number, agreed, terms) => {
                    let is_ours = |epoch: &Epoch| epoch.number > number || epoch.agreed == agreed;
                    if self.epoch.as_ref().is_some_and(is_ours) {
                        return (changed, Vec::new());
                    }
                    return (true, vec![self.begin(number, agreed, &terms)]);
                }
                Verdict::Wait | Verdict::Disagreed => return (changed, Vec::new()),
            }
        }
    }

    fn begin(&mut self, number: u64, agreed: Hash, terms: &Terms) -> Event {
        let epoch = Epoch::begin(number, agreed, terms.balance, &terms.continuing);
        let old = self.epoch.replace(epoch);
        self.stopped = None;
        self.resumed = false;
        self.marks = Marks::everything();
        let epoch = self.epoch.as_mut().expect("just begun");
        epoch.set_limit(self.wanted_limit);
        epoch.set_open(self.wanted_open);
        epoch.assert_sound();
        let left_out = |wanted: Direction| -> Vec<RequestId> {
            old.iter()
                .flat_map(Epoch::pendings)
                .filter(|(direction, id, _)| *direction == wanted && epoch.pending(wanted, *id).is_none())
                .map(|(_, id, _)| id)
                .collect()
        };
        Event::EpochBegan { released: left_out(Direction::Outgoing), dropped: left_out(Direction::Incoming) }
    }

    /// Stops the account: nothing is signed in its epoch any more, and an Opening with our view proposes the next one.
    pub fn stop(&mut self, reason: StopReason, signer: &dyn Signer) {
        self.resumed = false;
        if self.epoch.is_none() || self.stopped.is_some() {
            return;
        }
        self.stopped = Some(reason);
        self.marks.head = true;
        self.repropose(signer);
    }

    /// Signs a new Opening when a stopped account's view has changed, for example because a claim was added to it.
    pub fn repropose(&mut self, signer: &dyn Signer) -> bool {
        let (Some(epoch), Some(_)) = (&self.epoch, self.stopped) else {
            return false;
        };
        let terms = self.current_terms();
        let mine = self.negotiation.mine.as_ref().expect("an account starts with an opening of ours");
        let is_current =
            mine.epoch > epoch.number && mine.balance == terms.balance && mine.continuing == terms.continuing;
        if is_current {
            return false;
        }
        let theirs = self.negotiation.theirs.as_ref().map_or(0, |theirs| theirs.epoch);
        self.propose(terms, theirs, None, signer);
        true
    }

    /// The connection is gone: nothing is signed until the next [`Resume`].
    pub fn disconnected(&mut self) {
        self.resumed = false;
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
        let opening = self.negotiation.mine.as_ref().map(Verified::wire);
        resume_frame(&self.key.currency, opening, position.as_ref())
    }

    /// The friend says where it stands. `now_ms` (unix) bounds how far its Openings may jump ahead.
    pub fn handle_resume(
        &mut self,
        resume: Resume,
        now_ms: u64,
        signer: &dyn Signer,
        verifier: &dyn Verifier,
    ) -> ResumeOutcome {
        let mut outcome = ResumeOutcome::default();
        if let Some(opening) = resume.opening {
            match self.take_opening(opening, now_ms, verifier) {
                Ok(true) => {
                    let (changed, events) = self.settle(signer);
                    outcome.reply |= changed;
                    outcome.events = events;
                    outcome.reply |= self.answer_higher_epoch(&mut outcome, signer);
                }
                Ok(false) => {}
                Err(fault) => return self.stopped_by(StopReason::Fault(fault), signer, outcome),
            }
        }
        let (Some(position), Some(epoch)) = (resume.epoch, self.active()) else {
            return outcome;
        };
        if position.agreed != epoch.agreed || position.number != epoch.number {
            return outcome;
        }
        match resend_from(epoch, &position) {
            Ok(resend) => {
                outcome.resend = resend;
                self.resumed = true;
            }
            Err(reason) => return self.stopped_by(reason, signer, outcome),
        }
        outcome
    }

    fn stopped_by(&mut self, reason: StopReason, signer: &dyn Signer, mut outcome: ResumeOutcome) -> ResumeOutcome {
        self.stop(reason, signer);
        outcome.reply = true;
        outcome.stopped = Some(reason);
        outcome
    }

    /// Verifies an Opening of the friend's and puts it on the table. `Ok(false)`: known, or not to be taken.
    fn take_opening(
        &mut self,
        opening: Unverified<Opening>,
        now_ms: u64,
        verifier: &dyn Verifier,
    ) -> Result<bool, Fault> {
        let seen = opening.peek();
        let is_for_us =
            seen.author == self.key.remote && seen.other == self.key.local && seen.currency == self.key.currency;
        let known = self.negotiation.theirs.as_ref().map(|theirs| theirs.epoch);
        let newest = known.max(self.newest_epoch()).unwrap_or(0);
        let is_too_far = seen.epoch > newest.saturating_add(1024).max(now_ms.saturating_add(EPOCH_AHEAD_MS));
        if !is_for_us || is_too_far || known.is_some_and(|known| seen.epoch < known) {
            return Ok(false);
        }
        let Ok(opening) = opening.verify(verifier) else {
            return Ok(false);
        };
        if known == Some(opening.epoch) {
            let same = self.negotiation.theirs.as_ref().is_some_and(|theirs| theirs.hash() == opening.hash());
            return if same { Ok(false) } else { Err(Fault::TwoOpenings) };
        }
        self.negotiation.place_theirs(opening);
        self.marks.negotiation = true;
        Ok(true)
    }

    /// An Opening above our epoch ends it, unless both have agreed on the new one already. Says whether we signed an answer.
    fn answer_higher_epoch(&mut self, outcome: &mut ResumeOutcome, signer: &dyn Signer) -> bool {
        let theirs = self.negotiation.theirs.as_ref().map(|theirs| theirs.epoch);
        let ours = self.epoch.as_ref().map(|epoch| epoch.number);
        if theirs <= ours {
            return false;
        }
        if self.active().is_some() {
            self.stop(StopReason::FriendReopened, signer);
            outcome.stopped = Some(StopReason::FriendReopened);
        } else {
            self.repropose(signer);
        }
        let (_, events) = self.settle(signer);
        if !events.is_empty() {
            // What stopped has begun again on terms that both see alike; the events tell what was left out.
            outcome.events.extend(events);
        }
        true
    }

    /// Whether a statement continues the friend's log now. Statements that arrive before the friend has resumed, or again,
    /// are no fault.
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
            Ok(events) => {
                marks.received(statement, &events);
                Ok(events)
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
        request: Option<(Direction, RequestId)>,
        step: impl FnOnce(&mut Epoch) -> Result<T, NotAllowed>,
    ) -> Result<T, NotAllowed> {
        let is_stopped = self.stopped.is_some();
        let epoch = self.epoch.as_mut().filter(|_| also_when_stopped || !is_stopped).ok_or(NotAllowed::NotActive)?;
        let done = step(epoch)?;
        self.marks.head = true;
        if let Some(key) = request {
            self.marks.pendings.insert(key);
        }
        Ok(done)
    }

    /// Freezes credits and asks the friend to carry them on.
    ///
    /// # Errors
    /// [`NotAllowed`], as for all that follow.
    pub fn request(&mut self, request: Request, terms: Hash) -> Result<(), NotAllowed> {
        let key = (Direction::Outgoing, request.id);
        self.author(false, Some(key), |epoch| epoch.request(request, terms))
    }

    /// Passes the destination's answer to the friend that asked.
    ///
    /// # Errors
    /// [`NotAllowed`].
    pub fn respond(&mut self, answer: Answer) -> Result<(), NotAllowed> {
        self.author(false, Some((Direction::Incoming, answer.id)), |epoch| epoch.respond(answer))
    }

    /// Promises the friend to pay for the preimage.
    ///
    /// # Errors
    /// [`NotAllowed`].
    pub fn commit(&mut self, id: RequestId) -> Result<(), NotAllowed> {
        self.author(false, Some((Direction::Outgoing, id)), |epoch| epoch.commit(id))
    }

    /// Gives up a request that no signed `Commit` binds.
    ///
    /// # Errors
    /// [`NotAllowed`].
    pub fn abort(&mut self, id: RequestId) -> Result<AbortOutcome, NotAllowed> {
        self.author(true, Some((Direction::Outgoing, id)), |epoch| epoch.abort(id))
    }

    /// Takes the frozen credits for the preimage. On a stopped account this is a claim that the next Opening shows.
    ///
    /// # Errors
    /// [`NotAllowed`].
    pub fn collect(&mut self, id: RequestId, preimage: Preimage) -> Result<(), NotAllowed> {
        self.author(true, Some((Direction::Incoming, id)), |epoch| epoch.collect(id, preimage))
    }

    /// Releases credits that the friend's request has frozen.
    ///
    /// # Errors
    /// [`NotAllowed`].
    pub fn cancel(&mut self, id: RequestId, reason: CancelReason, hop: PublicKey) -> Result<(), NotAllowed> {
        self.author(true, Some((Direction::Incoming, id)), |epoch| epoch.cancel(id, reason, hop))
    }

    /// Sets what the friend may owe, credits.
    pub fn set_limit(&mut self, limit: u128) {
        self.wanted_limit = limit;
        self.marks.head = true;
        let written = self.author(false, None, |epoch| {
            epoch.set_limit(limit);
            Ok(())
        });
        // Without an active epoch the next one starts with it.
        drop(written);
    }

    /// Sets whether we take the friend's requests.
    pub fn set_open(&mut self, open: bool) {
        self.wanted_open = open;
        self.marks.head = true;
        let written = self.author(false, None, |epoch| {
            epoch.set_open(open);
            Ok(())
        });
        drop(written);
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

    /// Whether a `Commit` of ours for this request is signed, so that it cannot be taken back.
    pub fn is_bound(&self, id: RequestId) -> bool {
        self.epoch.as_ref().is_some_and(|epoch| {
            epoch.pending(Direction::Outgoing, id).is_some_and(|pending| pending.stage.is_committed())
                && !epoch.commit_is_unsigned(id)
        })
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

    /// Signs the next statement, if there is anything to say. Ask until it says so. `idle`: this is the last one for a while,
    /// so it acknowledges and carries a checkpoint.
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

/// Compares a friend's position with ours: what it lacks, or why the account cannot go on.
fn resend_from(epoch: &Epoch, position: &EpochPosition) -> Result<Vec<Arc<[u8]>>, StopReason> {
    if position.other_seq > epoch.mine.seq {
        return Err(StopReason::OwnStateLost);
    }
    if position.own_seq < epoch.theirs.seq {
        return Err(StopReason::FriendStateLost);
    }
    if position.own_seq == epoch.theirs.seq && position.own_hash != epoch.theirs.hash {
        return Err(StopReason::Fault(Fault::Equivocation));
    }
    let known = if position.other_seq == epoch.acknowledged.0 {
        Some(epoch.acknowledged.1)
    } else {
        epoch.unacknowledged.iter().find(|sent| sent.seq == position.other_seq).map(|sent| sent.hash)
    };
    match known {
        Some(hash) if hash == position.other_hash => {}
        Some(_) => return Err(StopReason::OwnStateLost),
        // Less than it has acknowledged before.
        None => return Err(StopReason::FriendStateLost),
    }
    let later = epoch.unacknowledged.iter().filter(|sent| sent.seq > position.other_seq);
    Ok(later.map(|sent| sent.wire.clone()).collect())
}
