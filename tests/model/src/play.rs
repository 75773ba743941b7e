//! One step of a model: a choice, and everything that follows from it in the same transaction.

use crate::account::Account;
use crate::epoch::Event;
use crate::log::Side;
use crate::pair::{AccountPair, Command, Noted, Outcome};
use crate::request::{Direction, Pending};
use crate::rules::Rules;
use stateright::{Model, Property};

/// A command to one end of an account, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutedCommand {
    /// Which account.
    pub pair: usize,
    /// Which end of it.
    pub side: Side,
    /// What it was told.
    pub command: Command,
    /// What came of it.
    pub outcome: Outcome,
}

/// Accounts between one state and the next, and the commands carried out so far.
#[derive(Debug)]
pub struct Play {
    /// The pairs.
    pub pairs: Vec<AccountPair>,
    /// The commands to them, in order.
    pub executed: Vec<ExecutedCommand>,
    /// The rules they follow.
    pub rules: Rules,
}

impl Play {
    /// Begins a step.
    pub fn new(pairs: Vec<AccountPair>, rules: Rules) -> Self {
        Play { pairs, executed: Vec::new(), rules }
    }

    /// Carries one command out.
    pub fn tell(&mut self, pair: usize, side: Side, command: Command) -> Outcome {
        let outcome = self.pairs[pair].apply(side, &command, self.rules);
        self.executed.push(ExecutedCommand { pair, side, command, outcome: outcome.clone() });
        outcome
    }

    /// Two honest ends connect, and talk until they have nothing more to say.
    pub fn meet(&mut self, pair: usize) {
        self.tell(pair, 0, Command::Connect);
        while !self.pairs[pair].is_quiet() {
            for side in 0..2 {
                while !self.pairs[pair].wire[usize::from(side)].is_empty() {
                    self.tell(pair, side, Command::Deliver);
                }
            }
            for side in 0..2 {
                self.tell(pair, side, Command::Sign);
            }
        }
    }

    /// Signs everything that waits at one end, as a node without load does.
    pub fn sign_what_waits(&mut self, pair: usize, side: Side) {
        let account = self.end(pair, side);
        if account.resumed && account.active().is_some_and(|epoch| !epoch.queue.is_empty()) {
            self.tell(pair, side, Command::Sign);
        }
    }

    /// An end of a pair.
    pub fn end(&self, pair: usize, side: Side) -> &Account {
        self.pairs[pair].end(side)
    }

    /// After everything else on an account that is stopped: its terms go out as they are now.
    pub fn show_terms(&mut self, pair: usize, side: Side, has_stopped: bool) {
        let is_new = self.end(pair, side).stopped.is_some() && self.tell(pair, side, Command::Repropose).done;
        if is_new || has_stopped {
            self.tell(pair, side, Command::Show);
        }
    }

    /// Cancels what the account has no room for.
    pub fn refuse(&mut self, pair: usize, side: Side, events: &[Event]) {
        for event in events {
            if let Event::Requested(id, true) = event {
                self.tell(pair, side, Command::Cancel(*id));
            }
        }
    }
}

/// The steps of one request that an end may take now for any reason: everything that its stage allows.
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

/// A model whose steps are commands to accounts, which the ledger can follow.
pub trait Staged: Model {
    /// The accounts before anybody has connected.
    fn fresh(&self) -> Vec<AccountPair>;
    /// The state in which the model begins, and the commands that lead there.
    fn beginning(&self) -> (Self::State, Vec<ExecutedCommand>);
    /// One step, with its commands.
    fn play(&self, state: &Self::State, action: &Self::Action) -> (Self::State, Vec<ExecutedCommand>);
    /// The accounts of a state.
    fn pairs<'a>(&self, state: &'a Self::State) -> &'a [AccountPair];
    /// The rules that honest ends follow.
    fn rules(&self) -> Rules;
}

/// A state that notes what must never happen.
pub trait Notes {
    /// Whether one of the accounts has noted this.
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
