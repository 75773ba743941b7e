//! One end of an account: its Openings, its epoch, stopping and reconnecting (protocol section 1).

use crate::epoch::{Epoch, Event, Fault};
use crate::log::{Agreed, Opening, OpeningName, Operation, Position, Resume, Side, Statement, Terms};
use crate::request::{Direction, Id, InvalidTransition, Lock, REQUESTS};
use crate::rules::Rules;
use std::cmp::Ordering;
use std::sync::Arc;

/// Why an account is not used until a new epoch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StopReason {
    /// The friend's log broke a rule.
    Fault(Fault),
    /// The friend proposes other terms.
    FriendReopened,
    /// The friend holds statements of ours that are not on our disk.
    OwnStateLost,
    /// The friend does not know its own newest statements.
    FriendStateLost,
    /// The owner stopped it.
    Owner,
}

/// So many epochs are left out when the friend has lost its state: those that both may have forgotten.
const FORGOTTEN_EPOCHS: u8 = 64;

/// One end of an account, as it is on the disk. Only `resumed` is not.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Account {
    /// Which end this is.
    pub side: Side,
    /// Which end has the smaller key.
    smaller_key: Side,
    /// Our newest Opening.
    pub mine: Opening,
    /// The friend's newest Opening.
    pub theirs: Option<Opening>,
    /// The one before it.
    pub mine_previous: Option<Opening>,
    theirs_previous: Option<Opening>,
    /// The epoch, also of a stopped account.
    pub epoch: Option<Epoch>,
    /// Why it is stopped.
    pub stopped: Option<StopReason>,
    /// What the owner lets the friend owe.
    pub limit: u8,
    /// The friend has shown on this connection that it is in our epoch.
    pub resumed: bool,
    /// The friend has lost its state, and was shown what both have signed: the epoch's terms stay as they are.
    pub has_shown: bool,
    /// How a request ended meanwhile: written in the next epoch.
    pub claims: [Option<Operation>; REQUESTS],
    /// On this connection: the friend claims to hold what we do not know, and is asked to show it.
    pub asks: bool,
    /// On this connection: the friend was shown what both have signed.
    shown_here: bool,
}

/// What came of a [`Resume`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResumeOutcome {
    /// Our own position changed: it is shown to the friend.
    pub reply: bool,
    /// What the friend lacks.
    pub resend: Vec<Arc<Statement>>,
    /// What it means for the node.
    pub events: Vec<Event>,
    /// The account stopped just now.
    pub stopped: bool,
}

enum NegotiationOutcome {
    Agreed(Agreed, Terms),
    Repeat(u8),
    Open,
}

impl Account {
    /// A new account that proposes `balance` for epoch 0. `smaller_key`: which end has it.
    pub fn open(side: Side, smaller_key: Side, balance: i8, limit: u8) -> Self {
        let terms = Terms { balance, continuing: Default::default() };
        let name = OpeningName { author: side, epoch: 0, variant: 0 };
        Account {
            side,
            smaller_key,
            mine: Opening { name, terms, accepts: None },
            theirs: None,
            mine_previous: None,
            theirs_previous: None,
            epoch: None,
            stopped: None,
            limit,
            resumed: false,
            has_shown: false,
            claims: [None; REQUESTS],
            asks: false,
            shown_here: false,
        }
    }

    /// Which end has the smaller key.
    pub fn smaller_key(&self) -> Side {
        self.smaller_key
    }

    /// All Openings that it knows.
    pub(crate) fn openings_mut(&mut self) -> impl Iterator<Item = &mut Opening> {
        let others = [&mut self.theirs, &mut self.mine_previous, &mut self.theirs_previous];
        std::iter::once(&mut self.mine).chain(others.into_iter().flatten())
    }

    /// The epoch, when requests can be made in it.
    pub fn active(&self) -> Option<&Epoch> {
        self.epoch.as_ref().filter(|_| self.stopped.is_none())
    }

    /// A request of ours waits, and the friend knows nothing of it.
    pub fn has_unsigned_request(&self, id: Id) -> bool {
        let asks = |operation: &Operation| matches!(operation, Operation::Request(asked, _) if *asked == id);
        self.epoch.as_ref().is_some_and(|epoch| epoch.queue.iter().any(|(operation, _)| asks(operation)))
    }

    /// We have taken the credits of this request, and the friend has not acknowledged it: if it continues in the next
    /// epoch, we take them again.
    pub fn has_collected(&self, id: Id) -> bool {
        let is_collect = |operation: &Operation| matches!(operation, Operation::Collect(taken, _) if *taken == id);
        self.claims[usize::from(id)].as_ref().is_some_and(is_collect)
            || self.epoch.as_ref().is_some_and(|epoch| {
                let signed = epoch.unacknowledged.iter().flat_map(|statement| &statement.operations);
                signed.chain(epoch.queue.iter().map(|(operation, _)| operation)).any(is_collect)
            })
    }

    /// The first epoch that nobody can have seen us in.
    fn next_epoch(&self) -> u8 {
        let above = self.epoch.as_ref().map_or(0, |epoch| epoch.agreed.epoch() + 1);
        above.max(self.mine.name.epoch + 1)
    }

    /// The terms that we would sign now.
    pub fn current_terms(&self) -> Terms {
        let view = |epoch: &Epoch| Terms { balance: epoch.balance(), continuing: epoch.local_view.committed() };
        self.epoch.as_ref().map_or(self.mine.terms, view)
    }

    fn propose(&mut self, terms: Terms, at_least: u8, accepts: Option<OpeningName>) {
        let epoch = self.next_epoch().max(at_least);
        let name = OpeningName { author: self.side, epoch, variant: 0 };
        self.mine_previous = Some(std::mem::replace(&mut self.mine, Opening { name, terms, accepts }));
    }

    /// The friend's terms, when its owner could accept them (`reset-friend`): from our side.
    pub fn acceptable_terms(&self) -> Option<Terms> {
        if self.active().is_some() {
            return None;
        }
        let theirs = self.theirs?;
        // Terms of an epoch that has ended say nothing about the next one.
        let speaks_of_now = self.epoch.as_ref().is_none_or(|epoch| {
            let ours = epoch.agreed.epoch();
            theirs.name.epoch > ours || theirs.name.epoch == ours && epoch.is_untouched()
        });
        speaks_of_now.then(|| theirs.terms.mirrored())
    }

    /// The owner accepts the friend's terms.
    pub fn accept(&mut self, rules: Rules) -> Option<Vec<Event>> {
        let terms = self.acceptable_terms()?;
        let theirs = self.theirs.expect("it has terms");
        self.propose(terms, theirs.name.epoch + 1, Some(theirs.name));
        self.resumed = false;
        Some(self.settle(None, rules))
    }

    /// What the two newest Openings come to.
    fn outcome(&self) -> NegotiationOutcome {
        let (mine, Some(theirs)) = (self.mine, self.theirs) else {
            return NegotiationOutcome::Open;
        };
        if let Some(crossed) = self.crossed_acceptance() {
            return crossed;
        }
        if mine.terms != theirs.terms.mirrored() {
            return NegotiationOutcome::Open;
        }
        if mine.accepts == Some(theirs.name) && mine.name.epoch > theirs.name.epoch {
            return NegotiationOutcome::Agreed(Agreed::Accepted(mine.name), mine.terms);
        }
        if theirs.accepts == Some(mine.name) && theirs.name.epoch > mine.name.epoch {
            return NegotiationOutcome::Agreed(Agreed::Accepted(theirs.name), mine.terms);
        }
        match mine.name.epoch.cmp(&theirs.name.epoch) {
            Ordering::Equal => {
                let names = [mine.name, theirs.name];
                let [first, second] = if self.side == 0 { names } else { [theirs.name, mine.name] };
                NegotiationOutcome::Agreed(Agreed::Both(first, second), mine.terms)
            }
            Ordering::Less => NegotiationOutcome::Repeat(theirs.name.epoch),
            Ordering::Greater => NegotiationOutcome::Open,
        }
    }

    /// Each side has accepted the Opening that the other had before: the acceptance of the smaller key stands.
    fn crossed_acceptance(&self) -> Option<NegotiationOutcome> {
        let (mine, theirs) = (self.mine, self.theirs?);
        let (mine_previous, theirs_previous) = (self.mine_previous?, self.theirs_previous?);
        let have_crossed = mine.name.epoch == theirs.name.epoch
            && mine.accepts == Some(theirs_previous.name)
            && theirs.accepts == Some(mine_previous.name);
        let (stands, accepted) =
            if self.side == self.smaller_key { (mine, theirs_previous) } else { (theirs, mine_previous) };
        let is_whole = stands.terms == accepted.terms.mirrored() && stands.name.epoch > accepted.name.epoch;
        let terms = if self.side == self.smaller_key { mine.terms } else { mine_previous.terms };
        (have_crossed && is_whole).then_some(NegotiationOutcome::Agreed(Agreed::Accepted(stands.name), terms))
    }

    /// Begins an epoch that both sides agree on; signs our terms again when the friend says the same for a higher
    /// epoch. `confirmed`: the epoch that the friend is in.
    fn settle(&mut self, confirmed: Option<Agreed>, rules: Rules) -> Vec<Event> {
        loop {
            if !self.offer_stands() {
                return Vec::new();
            }
            match self.outcome() {
                NegotiationOutcome::Repeat(number) => self.propose(self.mine.terms, number, None),
                NegotiationOutcome::Agreed(agreed, terms) => {
                    let is_ours = agreed == Agreed::Accepted(self.mine.name);
                    if rules == Rules::AcceptanceWaits && is_ours && confirmed != Some(agreed) {
                        return Vec::new();
                    }
                    let begins = self.epoch.as_ref().is_none_or(|epoch| {
                        let ours = epoch.agreed.epoch();
                        // Two acceptances crossed: only while nothing was signed can one take the other's place.
                        // And only as long as it binds us to no request that ours has left out: it is released
                        // upstream.
                        let mut bound = terms.continuing.list().filter(|(route, ..)| *route == Direction::Outgoing);
                        let revives = bound.any(|(route, id, _)| epoch.local_view.find(route, id).is_none());
                        let is_safe = !revives || rules == Rules::CrossedAcceptanceRevives;
                        agreed.epoch() > ours
                            || agreed.epoch() == ours && epoch.agreed != agreed && epoch.is_untouched() && is_safe
                    });
                    return if begins { self.begin(agreed, terms, rules) } else { Vec::new() };
                }
                NegotiationOutcome::Open => return Vec::new(),
            }
        }
    }

    /// Whether our newest Opening may still begin an epoch. The one that began ours is used up.
    fn offer_stands(&self) -> bool {
        self.epoch.as_ref().is_none_or(|epoch| {
            self.mine.name.epoch > epoch.agreed.epoch()
                || epoch.is_untouched()
                || self.current_terms() == self.mine.terms
        })
    }

    fn begin(&mut self, agreed: Agreed, terms: Terms, rules: Rules) -> Vec<Event> {
        let mut epoch = Epoch::begin(agreed, terms.balance, terms.continuing);
        epoch.set_limit(self.limit);
        epoch.set_open(true);
        let old = self.epoch.take();
        self.stopped = None;
        self.resumed = false;
        self.has_shown = false;
        let claims = std::mem::take(&mut self.claims);
        let mut events = vec![Event::Began];
        if let Some(old) = &old {
            // What we released and the friend had not seen when the terms were agreed is released again.
            let signed = old.unacknowledged.iter().flat_map(|statement| statement.operations.iter().copied());
            let waiting = old.queue.iter().map(|(operation, _)| *operation);
            let released = signed.chain(waiting).chain(claims.into_iter().flatten());
            for operation in released.filter(|_| rules != Rules::NewEpochForgetsCollects) {
                let _ = match operation {
                    Operation::Collect(id, preimage) => epoch.collect(id, preimage),
                    Operation::Cancel(id) => epoch.cancel(id),
                    _ => Ok(()),
                };
            }
            for (direction, id, _) in old.local_view.list() {
                if epoch.local_view.find(direction, id).is_none() {
                    events.push(match direction {
                        Direction::Outgoing => Event::Released(id),
                        Direction::Incoming => Event::Dropped(id),
                    });
                }
            }
        }
        let was_committed = |id: Id| {
            let pending = old.as_ref().and_then(|old| old.local_view.find(Direction::Incoming, id));
            pending.is_some_and(|pending| pending.stage.is_committed())
        };
        for (direction, id, _) in epoch.local_view.list() {
            if direction == Direction::Incoming && !was_committed(id) {
                events.push(Event::Committed(id));
            }
        }
        self.epoch = Some(epoch);
        events
    }

    /// Nothing is signed in this epoch any more, and our view is proposed for the next one.
    pub fn stop(&mut self, reason: StopReason) -> bool {
        self.resumed = false;
        if self.active().is_none() {
            return false;
        }
        self.stopped = Some(reason);
        self.epoch.as_mut().expect("it is active").take_commits_back();
        self.repropose(Rules::Kept);
        true
    }

    /// Signs a new Opening when the view of a stopped account has changed.
    pub fn repropose(&mut self, rules: Rules) -> bool {
        let (Some(epoch), Some(_)) = (&self.epoch, self.stopped) else {
            return false;
        };
        let waits = self.mine.accepts.is_some() && self.mine.accepts == self.theirs.map(|theirs| theirs.name);
        if rules == Rules::AcceptanceWaits && waits && self.mine.name.epoch > epoch.agreed.epoch() {
            return false;
        }
        let terms = self.current_terms();
        if self.mine.name.epoch > epoch.agreed.epoch() && self.mine.terms == terms {
            return false;
        }
        let theirs = self.theirs.map_or(0, |theirs| theirs.name.epoch);
        // Either may have forgotten its newest Openings, and must not sign another one for the same epoch.
        let at_least = if self.has_shown { theirs.max(self.next_epoch()) + FORGOTTEN_EPOCHS } else { theirs };
        self.propose(terms, at_least, None);
        true
    }

    /// Where we stand.
    pub fn resume(&self) -> Resume {
        let position =
            |epoch: &Epoch| Position { agreed: epoch.agreed, own: epoch.mine.newest, other: epoch.theirs.newest };
        Resume { opening: self.mine, position: self.active().map(position), recovering: self.asks }
    }

    /// The connection is gone.
    pub fn disconnected(&mut self) {
        self.resumed = false;
        self.asks = false;
        self.shown_here = false;
    }

    /// The friend says where it stands.
    pub fn handle_resume(&mut self, resume: Resume, rules: Rules) -> ResumeOutcome {
        let mut outcome = ResumeOutcome::default();
        let shown = |account: &Account| (account.mine.name, account.active().map(|epoch| epoch.agreed), account.asks);
        let before = shown(self);
        match self.take_opening(resume.opening) {
            Ok(true) => self.answer_opening(&mut outcome, rules),
            Ok(false) => {}
            Err(fault) => outcome.stopped |= self.stop(StopReason::Fault(fault)),
        }
        if rules == Rules::AcceptanceWaits && self.active().is_none() {
            outcome.events.extend(self.settle(resume.position.map(|position| position.agreed), rules));
        }
        if !resume.recovering {
            self.compare_positions(resume.position, &mut outcome, rules);
        }
        if outcome.events.is_empty() && (resume.recovering || self.has_shown) {
            self.show_evidence(&mut outcome);
        }
        outcome.reply = shown(self) != before;
        outcome
    }

    /// The friend has lost its state, or says so: it is shown what both have signed, and nothing more is signed in this
    /// epoch. What we have collected or cancelled and not signed is written in the next one.
    fn show_evidence(&mut self, outcome: &mut ResumeOutcome) {
        if std::mem::replace(&mut self.shown_here, true) || self.has_shown {
            return;
        }
        let Some(epoch) = &mut self.epoch else { return };
        for operation in epoch.take_releases_back() {
            if let Operation::Collect(id, _) | Operation::Cancel(id) = operation {
                self.claims[usize::from(id)] = Some(operation);
            }
        }
        self.has_shown = true;
        outcome.stopped |= self.stop(StopReason::FriendStateLost);
        self.repropose(Rules::Kept);
    }

    fn take_opening(&mut self, opening: Opening) -> Result<bool, Fault> {
        match self.theirs {
            Some(known) if opening.name.epoch < known.name.epoch => Ok(false),
            Some(known) if opening.name.epoch == known.name.epoch => {
                if opening.name == known.name {
                    Ok(false)
                } else {
                    Err(Fault::TwoOpenings)
                }
            }
            _ => {
                self.theirs_previous = self.theirs.replace(opening);
                Ok(true)
            }
        }
    }

    /// Whether the friend says that we both are in an epoch that began with an Opening of ours, and that we do not
    /// know.
    fn is_said_to_be_in(&self, position: Position) -> bool {
        let number = position.agreed.epoch();
        let is_acceptance = self.theirs.is_some_and(|theirs| theirs.name.epoch == number && theirs.accepts.is_some());
        number >= self.next_epoch() && !is_acceptance
    }

    /// The friend is asked to show what it claims to hold, and nothing is signed meanwhile.
    fn ask(&mut self) {
        self.asks = true;
        self.resumed = false;
    }

    /// A new Opening is on the table. One that is not what we are in already ends our epoch.
    fn answer_opening(&mut self, outcome: &mut ResumeOutcome, rules: Rules) {
        outcome.events = self.settle(None, rules);
        if !outcome.events.is_empty() {
            return;
        }
        let theirs = self.theirs.expect("it was just placed").name.epoch;
        let Some(epoch) = &self.epoch else {
            return;
        };
        let ours = epoch.agreed.epoch();
        let is_ours = matches!(self.outcome(), NegotiationOutcome::Agreed(agreed, _) if agreed == epoch.agreed);
        if theirs < ours || theirs == ours && (is_ours || !epoch.is_untouched()) {
            return;
        }
        outcome.stopped |= self.stop(StopReason::FriendReopened);
        self.repropose(rules);
        outcome.events = self.settle(None, rules);
    }

    fn compare_positions(&mut self, position: Option<Position>, outcome: &mut ResumeOutcome, rules: Rules) {
        if position.is_some_and(|position| self.is_said_to_be_in(position)) {
            return self.ask();
        }
        let Some(epoch) = self.active() else {
            return;
        };
        if let Some(position) = position
            && position.agreed == epoch.agreed
        {
            match lacking(epoch, position) {
                Ok(resend) => {
                    outcome.resend = if rules == Rules::NothingIsResent { Vec::new() } else { resend };
                    self.resumed = true;
                    self.asks = false;
                }
                Err(StopReason::OwnStateLost) => self.ask(),
                Err(StopReason::FriendStateLost) => self.show_evidence(outcome),
                Err(reason) => outcome.stopped |= self.stop(reason),
            }
            return;
        }
        let ours = epoch.agreed.epoch();
        let has_reopened = self.theirs.is_some_and(|theirs| theirs.name.epoch > ours);
        let rests_on_their_acceptance = self.theirs.is_some_and(|theirs| epoch.agreed == Agreed::Accepted(theirs.name));
        let knows_not_its_own =
            rests_on_their_acceptance && position.is_some_and(|position| position.agreed.epoch() == ours);
        let was_confirmed = !epoch.is_untouched();
        self.resumed = false;
        if was_confirmed && !has_reopened || knows_not_its_own {
            self.show_evidence(outcome);
        }
    }

    /// Whether a statement continues the friend's log now; anything else is left aside without blame.
    pub fn expects(&self, statement: &Statement) -> bool {
        self.resumed
            && self.active().is_some_and(|epoch| {
                statement.agreed.epoch() == epoch.agreed.epoch() && statement.link.seq > epoch.theirs.newest.seq
            })
    }

    /// Takes the next statement of the friend's log; a fault stops the account.
    ///
    /// # Errors
    /// The fault.
    pub fn receive(&mut self, statement: &Statement, rules: Rules) -> Result<Vec<Event>, Fault> {
        let epoch = self.active().ok_or(Fault::NotContinuing)?;
        match epoch.receive(statement, rules) {
            Ok((after, events)) => {
                self.epoch = Some(after);
                Ok(events)
            }
            Err(fault) => {
                self.stop(StopReason::Fault(fault));
                Err(fault)
            }
        }
    }

    /// Signs what there is to say on a live connection.
    pub fn sign(&mut self) -> Option<Arc<Statement>> {
        if !self.resumed || self.stopped.is_some() { None } else { self.epoch.as_mut()?.sign() }
    }

    fn live(&mut self) -> Result<&mut Epoch, InvalidTransition> {
        self.epoch.as_mut().filter(|_| self.stopped.is_none()).ok_or(InvalidTransition)
    }

    /// We ask.
    ///
    /// # Errors
    /// [`InvalidTransition`], as for all that follow.
    pub fn request(&mut self, id: Id, amount: u8) -> Result<(), InvalidTransition> {
        self.live()?.request(id, amount)
    }

    /// We are willing.
    ///
    /// # Errors
    /// [`InvalidTransition`].
    pub fn respond(&mut self, id: Id, lock: Lock) -> Result<(), InvalidTransition> {
        self.live()?.respond(id, lock)
    }

    /// We promise to pay.
    ///
    /// # Errors
    /// [`InvalidTransition`].
    pub fn commit(&mut self, id: Id) -> Result<(), InvalidTransition> {
        self.live()?.commit(id)
    }

    /// We give up, also on a stopped account.
    ///
    /// # Errors
    /// [`InvalidTransition`].
    pub fn abort(&mut self, id: Id, rules: Rules) -> Result<(), InvalidTransition> {
        self.epoch.as_mut().ok_or(InvalidTransition)?.abort(id, rules)
    }

    /// We take the credits. On a stopped account this is a claim that the next Opening shows.
    ///
    /// # Errors
    /// [`InvalidTransition`].
    pub fn collect(&mut self, id: Id, preimage: Lock, rules: Rules) -> Result<(), InvalidTransition> {
        if self.stopped.is_some() && rules == Rules::StoppedAccountTakesNoClaims {
            return Err(InvalidTransition);
        }
        if self.has_shown {
            return self.claim(id, Operation::Collect(id, preimage));
        }
        self.epoch.as_mut().ok_or(InvalidTransition)?.collect(id, preimage)
    }

    /// We release the credits, also on a stopped account.
    ///
    /// # Errors
    /// [`InvalidTransition`].
    pub fn cancel(&mut self, id: Id) -> Result<(), InvalidTransition> {
        if self.has_shown {
            return self.claim(id, Operation::Cancel(id));
        }
        self.epoch.as_mut().ok_or(InvalidTransition)?.cancel(id)
    }

    /// Remembers how a request of the friend's ended, for the next epoch. What is not committed does not continue.
    fn claim(&mut self, id: Id, operation: Operation) -> Result<(), InvalidTransition> {
        let pending = self
            .epoch
            .as_ref()
            .and_then(|epoch| epoch.local_view.find(Direction::Incoming, id))
            .ok_or(InvalidTransition)?;
        if let Operation::Collect(_, preimage) = operation {
            pending.stage.collect(preimage)?;
        }
        let claim = &mut self.claims[usize::from(id)];
        if claim.is_some() {
            return Err(InvalidTransition);
        }
        *claim = pending.stage.is_committed().then_some(operation);
        Ok(())
    }

    /// Sets what the friend may owe.
    pub fn set_limit(&mut self, limit: u8) {
        self.limit = limit;
        if let Ok(epoch) = self.live() {
            epoch.set_limit(limit);
        }
    }
}

/// What the friend lacks, or why the account cannot go on.
fn lacking(epoch: &Epoch, position: Position) -> Result<Vec<Arc<Statement>>, StopReason> {
    if position.other.seq > epoch.mine.newest.seq {
        return Err(StopReason::OwnStateLost);
    }
    if position.own.seq < epoch.theirs.newest.seq {
        return Err(StopReason::FriendStateLost);
    }
    if position.own.seq == epoch.theirs.newest.seq && position.own != epoch.theirs.newest {
        return Err(StopReason::Fault(Fault::Equivocation));
    }
    let kept = |seq: u8| seq == epoch.acknowledged.seq || epoch.unacknowledged.iter().any(|sent| sent.link.seq == seq);
    if !kept(position.other.seq) {
        // Less than it has acknowledged before.
        return Err(StopReason::FriendStateLost);
    }
    if position.other.is_fork {
        return Err(StopReason::OwnStateLost);
    }
    Ok(epoch.unacknowledged.iter().filter(|sent| sent.link.seq > position.other.seq).cloned().collect())
}
