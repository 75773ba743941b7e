//! Both ends of an account, and the frames in flight between them. Every step of every model is a [`Command`] to one
//! end, so that the same commands can be given to the ledger (see [`crate::replay`]).

use crate::account::{Account, StopReason};
use crate::epoch::{Event, Fault};
use crate::log::{Agreed, Link, Operation, Resume, Side, Statement, Terms};
use crate::request::{Direction, Id, Lock, REQUESTS};
use crate::rules::Rules;
use std::sync::Arc;

/// What travels between friends, in order, until the connection is lost.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Frame {
    /// Where the sender stands.
    Resume(Resume),
    /// A statement of the sender's.
    Statement(Arc<Statement>),
}

/// What one end is told to do. Each is one durable transaction; what it makes leaves afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Ask.
    Request(Id, u8),
    /// Be willing.
    Respond(Id, Lock),
    /// Promise to pay.
    Commit(Id),
    /// Give up.
    Abort(Id),
    /// Take the credits.
    Collect(Id, Lock),
    /// Release the credits.
    Cancel(Id),
    /// Let the friend owe this much.
    SetLimit(u8),
    /// The owner stops the account.
    Stop,
    /// The owner accepts the friend's terms.
    Accept,
    /// The friend, asked how this request has ended that its terms leave out, shows the preimage with which it has
    /// collected it. The node takes it as paid; on the account nothing changes.
    Prove(Id),
    /// Propose the changed view of a stopped account.
    Repropose,
    /// Send a Resume.
    Show,
    /// Sign what waits.
    Sign,
    /// Take the next frame.
    Deliver,
    /// The process dies and starts again from its disk; the connection is gone for both.
    Crash,
    /// Both connect and say where they stand.
    Connect,
    /// A liar at the other end says this.
    Receive(Frame),
}

impl Command {
    /// Whether an account that works only writes it down, to be signed later.
    pub fn is_written_only(&self) -> bool {
        use Command::{Abort, Cancel, Collect, Commit, Request, Respond, SetLimit};
        matches!(self, Request(..) | Respond(..) | Commit(_) | Abort(_) | Collect(..) | Cancel(_) | SetLimit(_))
    }
}

/// What came of a [`Command`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// It was allowed, and did something.
    pub done: bool,
    /// What it means for the node.
    pub events: Vec<Event>,
    /// The account stopped just now.
    pub stopped: bool,
    /// The friend's statement broke a rule.
    pub fault: Option<Fault>,
}

/// Things that must never happen, noted when they do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Noted {
    /// A total became smaller.
    pub total_shrank: bool,
    /// A request was released twice at its upstream.
    pub released_twice: bool,
    /// Credits were taken without a signed Commit, or for another preimage than the lock's.
    pub taken_without_commit: bool,
    /// A request above the limit was written, or taken without refusing it.
    pub limit_passed: bool,
    /// An epoch began on other terms than this end's own, and its owner had not accepted them.
    pub foreign_terms: bool,
    /// Two statements of one number, or two Openings of one epoch, were signed.
    pub signed_twice: bool,
    /// A faulty statement changed more than that the account stopped.
    pub fault_changed_state: bool,
}

/// How a request ended at its upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// The downstream collected.
    Paid,
    /// The credits came back.
    Released,
}

/// An account with both its ends. An end that lies has no state: it knows everything, and may say anything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AccountPair {
    /// The honest ends.
    pub ends: [Option<Account>; 2],
    /// Frames in flight to the end of the same index.
    pub wire: [Vec<Frame>; 2],
    /// Both are connected.
    pub connected: bool,
    /// Only while [`Rules::SentBeforeDurable`]: what is on the disk instead of what the process has in mind.
    unsaved: [Option<Box<Account>>; 2],
    /// How each end's own requests ended.
    pub endings: [[Option<Ending>; REQUESTS]; 2],
    /// What each end has collected.
    pub taken: [[bool; REQUESTS]; 2],
    /// The most that each end ever let the other owe.
    pub highest_limit: [u8; 2],
    /// What went wrong.
    pub noted: Noted,
}

impl AccountPair {
    /// An account whose two ends have never connected. `None`: a liar.
    pub fn new(ends: [Option<Account>; 2]) -> Self {
        let limit = |end: &Option<Account>| end.as_ref().map_or(0, |account| account.limit);
        AccountPair {
            highest_limit: [limit(&ends[0]), limit(&ends[1])],
            ends,
            wire: Default::default(),
            connected: false,
            unsaved: Default::default(),
            endings: Default::default(),
            taken: Default::default(),
            noted: Noted::default(),
        }
    }

    /// An honest end.
    ///
    /// # Panics
    /// When that end lies.
    pub fn end(&self, side: Side) -> &Account {
        self.ends[usize::from(side)].as_ref().expect("an honest end")
    }

    fn end_mut(&mut self, side: Side) -> &mut Account {
        self.ends[usize::from(side)].as_mut().expect("an honest end")
    }

    fn send(&mut self, from: Side, frame: Frame) {
        let to = usize::from(1 - from);
        if self.connected && self.ends[to].is_some() {
            self.wire[to].push(frame);
        }
    }

    fn show(&mut self, from: Side) {
        let frame = Frame::Resume(self.end(from).resume());
        self.send(from, frame);
    }

    /// Carries a command out.
    pub fn apply(&mut self, side: Side, command: &Command, rules: Rules) -> Outcome {
        let before = self.end(side).clone();
        let outcome = self.carry_out(side, command, rules);
        self.note(side, &before, command, &outcome);
        if rules == Rules::SentBeforeDurable {
            match command {
                Command::Sign => self.unsaved[usize::from(side)] = Some(Box::new(before)),
                _ => self.unsaved[usize::from(side)] = None,
            }
        }
        outcome
    }

    fn carry_out(&mut self, side: Side, command: &Command, rules: Rules) -> Outcome {
        let account = self.end_mut(side);
        let done = |done: bool| Outcome { done, ..Outcome::default() };
        match command {
            Command::Request(id, amount) => done(account.request(*id, *amount).is_ok()),
            Command::Respond(id, lock) => done(account.respond(*id, *lock).is_ok()),
            Command::Commit(id) => done(account.commit(*id).is_ok()),
            Command::Abort(id) => done(account.abort(*id, rules).is_ok()),
            Command::Collect(id, preimage) => done(account.collect(*id, *preimage, rules).is_ok()),
            Command::Cancel(id) => done(account.cancel(*id).is_ok()),
            Command::SetLimit(limit) => {
                account.set_limit(*limit);
                done(true)
            }
            Command::Stop => {
                let stopped = account.stop(StopReason::Owner);
                Outcome { done: stopped, stopped, ..Outcome::default() }
            }
            Command::Accept => match account.accept(rules) {
                Some(events) => Outcome { done: true, events, ..Outcome::default() },
                None => done(false),
            },
            Command::Prove(_) => done(true),
            Command::Repropose => done(account.repropose(rules)),
            Command::Show => {
                self.show(side);
                done(true)
            }
            Command::Sign => match account.sign() {
                Some(statement) => {
                    self.send(side, Frame::Statement(statement));
                    done(true)
                }
                None => done(false),
            },
            Command::Crash => {
                if let Some(disk) = self.unsaved[usize::from(side)].take() {
                    self.ends[usize::from(side)] = Some(*disk);
                }
                self.connected = false;
                self.wire = Default::default();
                for end in self.ends.iter_mut().flatten() {
                    end.disconnected();
                }
                done(true)
            }
            Command::Connect => {
                self.connected = true;
                for side in 0..2 {
                    if self.ends[usize::from(side)].is_some() {
                        self.show(side);
                    }
                }
                done(true)
            }
            Command::Deliver => {
                let frame = self.wire[usize::from(side)].remove(0);
                self.receive(side, frame, rules)
            }
            Command::Receive(frame) => self.receive(side, frame.clone(), rules),
        }
    }

    fn receive(&mut self, side: Side, frame: Frame, rules: Rules) -> Outcome {
        let account = self.end_mut(side);
        match frame {
            Frame::Resume(resume) => {
                let outcome = account.handle_resume(resume, rules);
                if outcome.reply && !outcome.stopped {
                    self.show(side);
                }
                for statement in outcome.resend {
                    self.send(side, Frame::Statement(statement));
                }
                Outcome { done: true, events: outcome.events, stopped: outcome.stopped, fault: None }
            }
            Frame::Statement(statement) => {
                if !account.expects(&statement) {
                    return Outcome::default();
                }
                match account.receive(&statement, rules) {
                    Ok(events) => Outcome { done: true, events, ..Outcome::default() },
                    Err(fault) => Outcome { done: true, stopped: true, fault: Some(fault), ..Outcome::default() },
                }
            }
        }
    }

    /// Compares one end before and after a command.
    fn note(&mut self, side: Side, before: &Account, command: &Command, outcome: &Outcome) {
        let index = usize::from(side);
        let AccountPair { ends, noted, endings, taken, highest_limit, .. } = self;
        let after = ends[index].as_ref().expect("an honest end");
        highest_limit[index] = highest_limit[index].max(after.limit);
        if after.mine != before.mine && *command != Command::Crash {
            noted.signed_twice |= after.mine.name.epoch <= before.mine.name.epoch;
        }
        if let (Some(old), Some(new)) = (&before.epoch, &after.epoch) {
            if old.agreed == new.agreed && *command != Command::Crash {
                noted.total_shrank |= !new.mine.totals.has_grown_from(old.mine.totals);
                noted.total_shrank |= !new.theirs.totals.has_grown_from(old.theirs.totals);
                noted.signed_twice |= new.mine.newest.seq < old.mine.newest.seq;
            }
            if old.agreed != new.agreed && *command != Command::Accept {
                // Either our own view, or what our owner has accepted before and the friend now confirms.
                let begun = (new.opening_balance, new.mine.totals.requested, new.theirs.totals.requested);
                let says = |terms: Terms| {
                    let sum = |direction| terms.continuing.sum(direction);
                    (terms.balance, sum(Direction::Outgoing), sum(Direction::Incoming))
                };
                // When two acceptances cross, that of the smaller key stands: the terms that the other had proposed
                // before. What waited to be committed and was never signed is no part of our view when the account
                // stops.
                let mut unbound = before.clone();
                unbound.epoch.iter_mut().for_each(|epoch| epoch.take_commits_back());
                let signed = [
                    Some(before.current_terms()),
                    Some(unbound.current_terms()),
                    Some(before.mine.terms),
                    before.mine_previous.map(|opening| opening.terms),
                ];
                noted.foreign_terms |= !signed.into_iter().flatten().any(|terms| begun == says(terms));
            }
            if outcome.fault.is_some() {
                let mut stopped = old.clone();
                stopped.take_commits_back();
                noted.fault_changed_state |= stopped != *new;
            }
        }
        match command {
            Command::Request(id, _) if outcome.done => {
                endings[index][usize::from(*id)] = None;
                let epoch = after.epoch.as_ref().expect("it was requested in one");
                noted.limit_passed |= epoch.balance() - epoch.local_pending() + small(epoch.theirs.limit) < 0;
            }
            Command::Abort(id) if outcome.done => {
                let is_gone =
                    after.epoch.as_ref().is_none_or(|e| e.local_view.find(Direction::Outgoing, *id).is_none());
                if is_gone {
                    noted.released_twice |= endings[index][usize::from(*id)].replace(Ending::Released).is_some();
                }
            }
            Command::Collect(id, _) if outcome.done => taken[index][usize::from(*id)] = true,
            Command::Prove(id) => {
                noted.released_twice |= endings[index][usize::from(*id)].replace(Ending::Paid).is_some();
            }
            _ => {}
        }
        for event in &outcome.events {
            match event {
                // It was proved before: nobody waits for it any more.
                Event::Collected(id, _) | Event::Released(id)
                    if endings[index][usize::from(*id)] == Some(Ending::Paid)
                        && before.epoch.as_ref().is_some_and(|epoch| epoch.is_bound(*id)) => {}
                Event::Collected(id, _) | Event::Cancelled(id) | Event::Released(id) => {
                    let is_paid = matches!(event, Event::Collected(..));
                    let ending = if is_paid { Ending::Paid } else { Ending::Released };
                    noted.released_twice |= endings[index][usize::from(*id)].replace(ending).is_some();
                    noted.taken_without_commit |=
                        is_paid && !before.epoch.as_ref().is_some_and(|epoch| epoch.is_bound(*id));
                }
                Event::Requested(id, false) => {
                    let (Some(epoch), Some(old)) = (&after.epoch, &before.epoch) else { continue };
                    let refused_too: u8 = outcome
                        .events
                        .iter()
                        .filter_map(|event| match event {
                            Event::Requested(other, true) if other != id => {
                                epoch.local_view.find(Direction::Incoming, *other).map(|pending| pending.amount)
                            }
                            _ => None,
                        })
                        .sum();
                    noted.limit_passed |=
                        epoch.balance() + epoch.remote_pending() - small(refused_too) > small(old.mine.limit);
                }
                _ => {}
            }
        }
    }

    /// No frame is in flight.
    pub fn is_still(&self) -> bool {
        self.wire.iter().all(Vec::is_empty)
    }

    /// Both ends have shown each other everything, and nothing waits.
    pub fn is_quiet(&self) -> bool {
        let has_said_all = |account: &Account| {
            account.active().is_none_or(|epoch| epoch.queue.is_empty() && !epoch.owes_acknowledgement)
        };
        self.connected && self.wire.iter().all(Vec::is_empty) && self.ends.iter().flatten().all(has_said_all)
    }

    /// Whether nothing that the other end may do can add to what this one can do now: a frame waits for it, and its way
    /// is free, or it has nothing to say.
    pub fn goes_alone(&self, side: Side, in_flight: usize) -> bool {
        let has_words =
            self.end(side).active().is_some_and(|epoch| !epoch.queue.is_empty() || epoch.owes_acknowledgement);
        let has_route = self.wire[usize::from(1 - side)].len() < in_flight;
        self.connected && !self.wire[usize::from(side)].is_empty() && (has_route || !has_words)
    }

    /// Both ends are in the same epoch.
    pub fn is_consistent(&self) -> bool {
        let agreed = |side| self.end(side).active().map(|epoch| epoch.agreed);
        agreed(0).is_some() && agreed(0) == agreed(1)
    }

    /// Numbers statements anew from 1. Nothing but "none yet" depends on how many there were, so states that differ
    /// only in numbers that nobody will compare any more become one.
    pub fn renumber(&mut self) {
        let [first, second] = [0, 1].map(|side: usize| Some(self.ends[side].as_ref()?.epoch.as_ref()?.agreed));
        for agreed in [first, second.filter(|_| second != first)].into_iter().flatten() {
            for author in 0..2 {
                let shift = self.shift(agreed, author, 0).max(1) - 1;
                if shift > 0 && shift < u8::MAX - 1 {
                    self.shift(agreed, author, shift);
                }
            }
        }
    }

    /// Lowers every number of a statement of `author` in this epoch, and says which is the lowest then.
    fn shift(&mut self, agreed: Agreed, author: Side, by: u8) -> u8 {
        let mut lowest = u8::MAX;
        let mut lower = |link: &mut Link| {
            link.seq -= by;
            lowest = lowest.min(link.seq);
        };
        let mut in_statement = |statement: &mut Arc<Statement>, is_authors: bool| {
            let mut links = (statement.link, statement.previous, statement.acknowledged);
            if is_authors {
                lower(&mut links.0);
                lower(&mut links.1);
            } else {
                lower(&mut links.2);
            }
            // Where nothing changes the statement stays shared.
            if by > 0 {
                let statement = Arc::make_mut(statement);
                (statement.link, statement.previous, statement.acknowledged) = links;
            }
        };
        for side in 0..2u8 {
            let index = usize::from(side);
            let epoch = self.ends[index].as_mut().and_then(|end| end.epoch.as_mut());
            if let Some(epoch) = epoch.filter(|epoch| epoch.agreed == agreed) {
                for statement in &mut epoch.unacknowledged {
                    in_statement(statement, side == author);
                }
            }
            for frame in &mut self.wire[index] {
                if let Frame::Statement(statement) = frame
                    && statement.agreed == agreed
                {
                    // What goes to one end comes from the other.
                    in_statement(statement, side != author);
                }
            }
        }
        for side in 0..2u8 {
            let index = usize::from(side);
            let epoch = self.ends[index].as_mut().and_then(|end| end.epoch.as_mut());
            if let Some(epoch) = epoch.filter(|epoch| epoch.agreed == agreed) {
                if side == author {
                    lower(&mut epoch.mine.newest);
                    lower(&mut epoch.acknowledged);
                } else {
                    lower(&mut epoch.theirs.newest);
                }
            }
            for frame in &mut self.wire[index] {
                if let Frame::Resume(Resume { position: Some(position), .. }) = frame
                    && position.agreed == agreed
                {
                    lower(if side != author { &mut position.own } else { &mut position.other });
                }
            }
        }
        lowest
    }
}

/// Amounts are small in a model.
pub fn small(amount: u8) -> i8 {
    amount.try_into().expect("small numbers")
}

/// Whether these frames holds an operation of this kind.
pub fn holds(frames: &[Frame], wanted: impl Fn(&Operation) -> bool) -> bool {
    frames.iter().any(|frame| matches!(frame, Frame::Statement(statement) if statement.operations.iter().any(&wanted)))
}
