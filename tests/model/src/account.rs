//! One end of an account: its Openings, its epoch, stopping and reconnecting (protocol section 1).

use crate::epoch::{Epoch, Event, Fault};
use crate::log::{Agreed, Opening, OpeningName, Operation, Position, Resume, Side, Statement, Terms};
use crate::request::{Direction, Id, Lock, Misstep};
use crate::rules::Rules;
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
    theirs_previous: Option<OpeningName>,
    /// The epoch, also of a stopped account.
    pub epoch: Option<Epoch>,
    /// Why it is stopped.
    pub stopped: Option<StopReason>,
    /// What the owner lets the friend owe.
    pub limit: u8,
    /// The friend has shown on this connection that it is in our epoch.
    pub resumed: bool,
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

enum Verdict {
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
        }
    }

    /// Which end has the smaller key.
    pub fn smaller_key(&self) -> Side {
        self.smaller_key
    }

    /// The epoch, when requests can be made in it.
    pub fn active(&self) -> Option<&Epoch> {
        self.epoch.as_ref().filter(|_| self.stopped.is_none())
    }

    /// The first epoch that nobody can have seen us in.
    fn next_epoch(&self) -> u8 {
        let above = self.epoch.as_ref().map_or(0, |epoch| epoch.agreed.epoch() + 1);
        above.max(self.mine.name.epoch + 1)
    }

    /// The terms that we would sign now.
    pub fn current_terms(&self) -> Terms {
        let view = |epoch: &Epoch| Terms { balance: epoch.balance(), continuing: epoch.pendings.committed() };
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
    fn verdict(&self) -> Verdict {
        let (mine, Some(theirs)) = (self.mine, self.theirs) else {
            return Verdict::Open;
        };
        let do_mirror = mine.terms == theirs.terms.mirrored();
        let i_accept = Verdict::Agreed(Agreed::Accepted(mine.name), mine.terms);
        let they_accept = Verdict::Agreed(Agreed::Accepted(theirs.name), theirs.terms.mirrored());
        if mine.accepts == Some(theirs.name) && do_mirror {
            return i_accept;
        }
        let is_higher = theirs.name.epoch > mine.name.epoch;
        if theirs.accepts == Some(mine.name) && is_higher && do_mirror {
            return they_accept;
        }
        let is_same = theirs.name.epoch == mine.name.epoch;
        let have_crossed = is_same
            && mine.accepts.is_some()
            && theirs.accepts.is_some()
            && mine.accepts == self.theirs_previous
            && theirs.accepts == self.mine_previous.map(|previous| previous.name);
        if have_crossed {
            return if self.side == self.smaller_key { i_accept } else { they_accept };
        }
        if !do_mirror {
            Verdict::Open
        } else if is_same {
            let (first, second) =
                if self.side == 0 { (mine.name, theirs.name) } else { (theirs.name, mine.name) };
            Verdict::Agreed(Agreed::Both(first, second), mine.terms)
        } else if is_higher {
            Verdict::Repeat(theirs.name.epoch)
        } else {
            Verdict::Open
        }
    }

    /// Begins an epoch that both sides agree on; signs our terms again when the friend says the same for a higher epoch.
    /// `confirmed`: the epoch that the friend is in.
    fn settle(&mut self, confirmed: Option<Agreed>, rules: Rules) -> Vec<Event> {
        loop {
            if !self.offer_stands() {
                return Vec::new();
            }
            match self.verdict() {
                Verdict::Repeat(number) => self.propose(self.mine.terms, number, None),
                Verdict::Agreed(agreed, terms) => {
                    let is_ours = agreed == Agreed::Accepted(self.mine.name);
                    if rules == Rules::AcceptanceWaits && is_ours && confirmed != Some(agreed) {
                        return Vec::new();
                    }
                    let begins = self.epoch.as_ref().is_none_or(|epoch| {
                        let ours = epoch.agreed.epoch();
                        // Two acceptances crossed: only while nothing was signed can one take the other's place.
                        agreed.epoch() > ours || agreed.epoch() == ours && epoch.agreed != agreed && epoch.is_untouched()
                    });
                    return if begins { self.begin(agreed, terms, rules) } else { Vec::new() };
                }
                Verdict::Open => return Vec::new(),
            }
        }
    }

    /// Whether our newest Opening may still begin an epoch. The one that began ours is used up.
    fn offer_stands(&self) -> bool {
        self.epoch.as_ref().is_none_or(|epoch| {
            self.mine.name.epoch > epoch.agreed.epoch() || epoch.is_untouched() || self.current_terms() == self.mine.terms
        })
    }

    fn begin(&mut self, agreed: Agreed, terms: Terms, rules: Rules) -> Vec<Event> {
        let mut epoch = Epoch::begin(agreed, terms.balance, terms.continuing);
        epoch.set_limit(self.limit);
        epoch.set_open(true);
        let old = self.epoch.take();
        self.stopped = None;
        self.resumed = false;
        let mut events = vec![Event::Began];
        if let Some(old) = &old {
            // What we released and the friend had not seen when the terms were agreed is released again.
            let signed = old.unacknowledged.iter().flat_map(|statement| statement.operations.iter().copied());
            let waiting = old.queue.iter().map(|(operation, _)| *operation);
            for operation in signed.chain(waiting).filter(|_| rules != Rules::NewEpochForgetsCollects) {
                let _ = match operation {
                    Operation::Collect(id, preimage) => epoch.collect(id, preimage),
                    Operation::Cancel(id) => epoch.cancel(id),
                    _ => Ok(()),
                };
            }
            for (direction, id, _) in old.pendings.list() {
                if epoch.pendings.find(direction, id).is_none() {
                    events.push(match direction {
                        Direction::Outgoing => Event::Released(id),
                        Direction::Incoming => Event::Dropped(id),
                    });
                }
            }
        }
        let was_committed = |id: Id| {
            let pending = old.as_ref().and_then(|old| old.pendings.find(Direction::Incoming, id));
            pending.is_some_and(|pending| pending.stage.is_committed())
        };
        for (direction, id, _) in epoch.pendings.list() {
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
        self.propose(terms, self.theirs.map_or(0, |theirs| theirs.name.epoch), None);
        true
    }

    /// Where we stand.
    pub fn resume(&self) -> Resume {
        let position = |epoch: &Epoch| Position { agreed: epoch.agreed, own: epoch.mine.newest, other: epoch.theirs.newest };
        Resume { opening: self.mine, position: self.active().map(position) }
    }

    /// The friend says where it stands.
    pub fn handle_resume(&mut self, resume: Resume, rules: Rules) -> ResumeOutcome {
        let mut outcome = ResumeOutcome::default();
        let shown = |account: &Account| (account.mine.name, account.active().map(|epoch| epoch.agreed));
        let before = shown(self);
        let taken = self.take_opening(resume.opening);
        if let Some(newest) = self.forgotten_epoch(resume.position) {
            // Our disk is old, or the friend lies: nothing is signed again for an epoch that we may have signed for.
            outcome.stopped = self.stop(StopReason::OwnStateLost);
            if self.stopped.is_some_and(|reason| reason != StopReason::OwnStateLost) {
                self.stopped = Some(StopReason::OwnStateLost);
                outcome.stopped = true;
            }
            self.propose(self.current_terms(), newest + 1, None);
            self.resumed = false;
        } else {
            match taken {
                Ok(true) => self.answer_opening(&mut outcome, rules),
                Ok(false) => {}
                Err(fault) => outcome.stopped |= self.stop(StopReason::Fault(fault)),
            }
            if rules == Rules::AcceptanceWaits && self.active().is_none() {
                outcome.events.extend(self.settle(resume.position.map(|position| position.agreed), rules));
            }
            self.compare_positions(resume.position, &mut outcome, rules);
        }
        outcome.reply = shown(self) != before;
        outcome
    }

    fn take_opening(&mut self, opening: Opening) -> Result<bool, Fault> {
        match self.theirs {
            Some(known) if opening.name.epoch < known.name.epoch => Ok(false),
            Some(known) if opening.name.epoch == known.name.epoch => {
                if opening.name == known.name { Ok(false) } else { Err(Fault::TwoOpenings) }
            }
            _ => {
                self.theirs_previous = self.theirs.replace(opening).map(|previous| previous.name);
                Ok(true)
            }
        }
    }

    /// An epoch in which the friend says we both are, that began with an Opening of ours, and that we do not know.
    fn forgotten_epoch(&self, position: Option<Position>) -> Option<u8> {
        let number = position?.agreed.epoch();
        let is_acceptance =
            self.theirs.is_some_and(|theirs| theirs.name.epoch == number && theirs.accepts.is_some());
        let is_forgotten = number >= self.next_epoch() && !is_acceptance;
        is_forgotten.then(|| self.theirs.map_or(number, |theirs| theirs.name.epoch.max(number)))
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
        let is_ours = matches!(self.verdict(), Verdict::Agreed(agreed, _) if agreed == epoch.agreed);
        if theirs < ours || theirs == ours && (is_ours || !epoch.is_untouched()) {
            return;
        }
        outcome.stopped |= self.stop(StopReason::FriendReopened);
        self.repropose(rules);
        outcome.events = self.settle(None, rules);
    }

    fn compare_positions(&mut self, position: Option<Position>, outcome: &mut ResumeOutcome, rules: Rules) {
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
                }
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
            outcome.stopped |= self.stop(StopReason::FriendStateLost);
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

    fn live(&mut self) -> Result<&mut Epoch, Misstep> {
        self.epoch.as_mut().filter(|_| self.stopped.is_none()).ok_or(Misstep)
    }

    /// We ask.
    ///
    /// # Errors
    /// [`Misstep`], as for all that follow.
    pub fn request(&mut self, id: Id, amount: u8) -> Result<(), Misstep> {
        self.live()?.request(id, amount)
    }

    /// We are willing.
    ///
    /// # Errors
    /// [`Misstep`].
    pub fn respond(&mut self, id: Id, lock: Lock) -> Result<(), Misstep> {
        self.live()?.respond(id, lock)
    }

    /// We promise to pay.
    ///
    /// # Errors
    /// [`Misstep`].
    pub fn commit(&mut self, id: Id) -> Result<(), Misstep> {
        self.live()?.commit(id)
    }

    /// We give up, also on a stopped account.
    ///
    /// # Errors
    /// [`Misstep`].
    pub fn abort(&mut self, id: Id, rules: Rules) -> Result<(), Misstep> {
        self.epoch.as_mut().ok_or(Misstep)?.abort(id, rules)
    }

    /// We take the credits. On a stopped account this is a claim that the next Opening shows.
    ///
    /// # Errors
    /// [`Misstep`].
    pub fn collect(&mut self, id: Id, preimage: Lock, rules: Rules) -> Result<(), Misstep> {
        if self.stopped.is_some() && rules == Rules::StoppedAccountTakesNoClaims {
            return Err(Misstep);
        }
        self.epoch.as_mut().ok_or(Misstep)?.collect(id, preimage)
    }

    /// We release the credits, also on a stopped account.
    ///
    /// # Errors
    /// [`Misstep`].
    pub fn cancel(&mut self, id: Id) -> Result<(), Misstep> {
        self.epoch.as_mut().ok_or(Misstep)?.cancel(id)
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
