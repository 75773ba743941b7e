//! One step of a model: a choice, and everything that follows from it in the same transaction.

use crate::account::Account;
use crate::epoch::Event;
use crate::line::{Command, Line, Noted, Outcome};
use crate::log::Side;
use crate::request::{Direction, Pending};
use crate::rules::Rules;
use stateright::{Model, Property};

/// A command to an end of a line, as it was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// Which line.
    pub line: usize,
    /// Which end of it.
    pub side: Side,
    /// What it was told.
    pub command: Command,
    /// What came of it.
    pub outcome: Outcome,
}

/// Lines under way from one state to the next, and the moves so far.
#[derive(Debug)]
pub struct Play {
    /// The lines.
    pub lines: Vec<Line>,
    /// What is done to them.
    pub moves: Vec<Move>,
    /// The rules they follow.
    pub rules: Rules,
}

impl Play {
    /// Begins a step.
    pub fn new(lines: Vec<Line>, rules: Rules) -> Self {
        Play { lines, moves: Vec::new(), rules }
    }

    /// Carries one command out.
    pub fn tell(&mut self, line: usize, side: Side, command: Command) -> Outcome {
        let outcome = self.lines[line].apply(side, &command, self.rules);
        self.moves.push(Move { line, side, command, outcome: outcome.clone() });
        outcome
    }

    /// Two honest ends connect, and talk until they have nothing more to say.
    pub fn meet(&mut self, line: usize) {
        self.tell(line, 0, Command::Connect);
        while !self.lines[line].is_quiet() {
            for side in 0..2 {
                while !self.lines[line].wire[usize::from(side)].is_empty() {
                    self.tell(line, side, Command::Deliver);
                }
            }
            for side in 0..2 {
                self.tell(line, side, Command::Sign);
            }
        }
    }

    /// Signs everything that waits at one end, as a node without load does.
    pub fn sign_what_waits(&mut self, line: usize, side: Side) {
        let account = self.end(line, side);
        if account.resumed && account.active().is_some_and(|epoch| !epoch.queue.is_empty()) {
            self.tell(line, side, Command::Sign);
        }
    }

    /// An end of a line.
    pub fn end(&self, line: usize, side: Side) -> &Account {
        self.lines[line].end(side)
    }

    /// After everything else on an account that is stopped: its terms go out as they are now.
    pub fn show_terms(&mut self, line: usize, side: Side, has_stopped: bool) {
        let is_new = self.end(line, side).stopped.is_some() && self.tell(line, side, Command::Repropose).done;
        if is_new || has_stopped {
            self.tell(line, side, Command::Show);
        }
    }

    /// Cancels what the line has no room for.
    pub fn refuse(&mut self, line: usize, side: Side, events: &[Event]) {
        for event in events {
            if let Event::Requested(id, true) = event {
                self.tell(line, side, Command::Cancel(*id));
            }
        }
    }
}

/// The steps of one request that an end may take now, whatever moves it to: everything that its stage allows.
pub fn steps(account: &Account, direction: Direction, id: u8, pending: Pending) -> Vec<Command> {
    use crate::request::Stage;
    let is_active = account.stopped.is_none();
    let is_bound = account.epoch.as_ref().is_some_and(|epoch| epoch.is_bound(id));
    let mut steps = Vec::new();
    match direction {
        Direction::Outgoing => {
            if matches!(pending.stage, Stage::Responded(_)) && is_active {
                steps.push(Command::Commit(id));
            }
            if pending.stage != Stage::Aborted && !is_bound {
                steps.push(Command::Abort(id));
            }
        }
        Direction::Incoming => {
            if pending.stage == Stage::Requested && is_active {
                steps.push(Command::Respond(id, id));
            }
            if let Stage::Committed(lock) = pending.stage {
                steps.push(Command::Collect(id, lock));
            }
            steps.push(Command::Cancel(id));
        }
    }
    steps
}

/// A model whose steps are commands to lines, which the ledger can follow.
pub trait Staged: Model {
    /// The lines before anybody has met.
    fn fresh(&self) -> Vec<Line>;
    /// The state in which the model begins, and the moves that lead there.
    fn beginning(&self) -> (Self::State, Vec<Move>);
    /// One step, with its moves.
    fn play(&self, state: &Self::State, action: &Self::Action) -> (Self::State, Vec<Move>);
    /// The lines of a state.
    fn lines<'a>(&self, state: &'a Self::State) -> &'a [Line];
    /// The rules that honest ends follow.
    fn rules(&self) -> Rules;
}

/// A state whose lines note what must never happen.
pub trait Notes {
    /// Whether one of the lines has noted this.
    fn has(&self, happened: fn(&Noted) -> bool) -> bool;
}

/// Each thing that must never happen, as a property.
pub fn noted_properties<M: Model<State: Notes>>() -> Vec<Property<M>> {
    vec![
        Property::always("totals only grow", |_, state: &M::State| !state.has(|noted| noted.total_shrank)),
        Property::always("a request is released once", |_, state: &M::State| !state.has(|noted| noted.released_twice)),
        Property::always("only what a signed commit promised is collected", |_, state: &M::State| {
            !state.has(|noted| noted.taken_without_commit)
        }),
        Property::always("no request passes a limit", |_, state: &M::State| !state.has(|noted| noted.limit_passed)),
        Property::always("an epoch begins on terms that this end has signed", |_, state: &M::State| {
            !state.has(|noted| noted.foreign_terms)
        }),
        Property::always("no number is signed twice", |_, state: &M::State| !state.has(|noted| noted.signed_twice)),
        Property::always("a fault only stops the account", |_, state: &M::State| {
            !state.has(|noted| noted.fault_changed_state)
        }),
    ]
}
