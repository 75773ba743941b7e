//! An honest end and a liar: whatever the liar says, the honest end loses no more than the limit that it gave.

use crate::account::Account;
use crate::friends::is_sound;
use crate::liar::{Repertoire, greeting, lies, resumes};
use crate::log::Side;
use crate::pair::{AccountPair, Command, Ending, Frame, Noted, small};
use crate::play::{ExecutedCommand, Notes, Play, Staged, noted_properties, steps};
use crate::request::{Id, REQUESTS};
use crate::rules::Rules;
use stateright::{Model, Property};

/// How much may happen.
#[derive(Debug, Clone)]
pub struct Distrust {
    /// Which end is honest.
    pub honest: Side,
    /// What the honest end pays with the request of this number, if at all.
    pub pays: [Option<u8>; REQUESTS],
    /// What each end lets the other owe at the beginning.
    pub limits: [u8; 2],
    /// The honest end signs at once what it writes.
    pub signs_at_once: bool,
    /// How many statements the liar makes.
    pub statements: u8,
    /// How many Resumes it sends.
    pub resumes: u8,
    /// What it may say.
    pub repertoire: Repertoire,
    /// The rules that the honest end follows.
    pub rules: Rules,
}

/// A state of [`Distrust`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DistrustState {
    /// The account; one end has no state.
    pub pair: AccountPair,
    begun: [bool; REQUESTS],
    statements: u8,
    resumes: u8,
    /// A fault was found.
    has_faulted: bool,
}

impl Staged for Distrust {
    fn fresh(&self) -> Vec<AccountPair> {
        let mut ends = [None, None];
        ends[usize::from(self.honest)] = Some(Account::open(self.honest, 0, 0, self.limits[usize::from(self.honest)]));
        vec![AccountPair::new(ends)]
    }

    fn beginning(&self) -> (DistrustState, Vec<ExecutedCommand>) {
        let mut play = Play::new(self.fresh(), self.rules);
        play.tell(0, self.honest, Command::Connect);
        while let Some(frame) = greeting(play.end(0, self.honest), self.limits[1 - usize::from(self.honest)]) {
            play.tell(0, self.honest, Command::Receive(frame));
            play.tell(0, self.honest, Command::Sign);
        }
        let mut pair = play.pairs.remove(0);
        pair.renumber();
        let state = DistrustState {
            pair,
            begun: [false; REQUESTS],
            statements: self.statements,
            resumes: self.resumes,
            has_faulted: false,
        };
        (state, play.executed)
    }

    fn play(&self, state: &DistrustState, command: &Command) -> (DistrustState, Vec<ExecutedCommand>) {
        let mut play = Play::new(vec![state.pair.clone()], self.rules);
        let outcome = play.tell(0, self.honest, command.clone());
        play.refuse(0, self.honest, &outcome.events);
        play.show_terms(0, self.honest, outcome.stopped);
        if self.signs_at_once {
            play.sign_what_waits(0, self.honest);
        }
        let mut after = DistrustState { pair: play.pairs.swap_remove(0), ..*state };
        match command {
            Command::Request(id, _) => after.begun[usize::from(*id)] = true,
            Command::Receive(Frame::Statement(_)) => after.statements -= 1,
            Command::Receive(Frame::Resume(_)) => after.resumes -= 1,
            _ => {}
        }
        after.has_faulted |= outcome.fault.is_some();
        after.pair.renumber();
        (after, play.executed)
    }

    fn pairs<'a>(&self, state: &'a DistrustState) -> &'a [AccountPair] {
        std::slice::from_ref(&state.pair)
    }

    fn rules(&self) -> Rules {
        self.rules
    }
}

impl Notes for DistrustState {
    fn has(&self, happened: fn(&Noted) -> bool) -> bool {
        happened(&self.pair.noted)
    }
}

impl Model for Distrust {
    type State = DistrustState;
    type Action = Command;

    fn init_states(&self) -> Vec<DistrustState> {
        vec![self.beginning().0]
    }

    fn actions(&self, state: &DistrustState, actions: &mut Vec<Command>) {
        let account = state.pair.end(self.honest);
        // What is uncommitted on a stopped account is over; only claims are left.
        let is_left = |step: &Command| account.stopped.is_none() || matches!(step, Command::Collect(..));
        if let Some(epoch) = &account.epoch {
            for (direction, id, pending) in epoch.local_view.list() {
                actions.extend(steps(account, direction, id, pending).into_iter().filter(is_left));
            }
        }
        if let Some(epoch) = account.active() {
            let payments = self.pays.iter().enumerate().filter_map(|(id, amount)| Some((id, (*amount)?)));
            for (id, amount) in payments.filter(|(id, amount)| !state.begun[*id] && epoch.send_room() >= *amount) {
                actions.push(Command::Request(id as Id, amount));
            }
            if account.resumed && (!epoch.queue.is_empty() || epoch.owes_acknowledgement) {
                actions.push(Command::Sign);
            }
        }
        if state.statements > 0 {
            actions.extend(lies(account, &self.repertoire, |_| true).into_iter().map(Command::Receive));
        }
        if state.resumes > 0 {
            actions.extend(resumes(account).into_iter().map(Command::Receive));
        }
    }

    fn next_state(&self, state: &DistrustState, action: Command) -> Option<DistrustState> {
        Some(self.play(state, &action).0)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always("the totals match the pending requests", |_, state: &DistrustState| is_sound(&state.pair)),
            Property::always(
                "the liar owes no more than the limit it was given",
                |model: &Self, state: &DistrustState| {
                    let limit = small(state.pair.highest_limit[usize::from(model.honest)]);
                    let owed = |epoch: &crate::epoch::Epoch| epoch.balance();
                    state.pair.end(model.honest).epoch.as_ref().is_none_or(|epoch| owed(epoch) <= limit)
                },
            ),
            Property::always("the honest end pays only what it committed", |model: &Self, state: &DistrustState| {
                let endings = state.pair.endings[usize::from(model.honest)];
                let paid: u8 =
                    (0..REQUESTS).filter(|id| endings[*id] == Some(Ending::Paid)).filter_map(|id| model.pays[id]).sum();
                state.pair.end(model.honest).epoch.as_ref().is_none_or(|epoch| epoch.balance() >= -small(paid))
            }),
            Property::sometimes("a lie is found out", |_, state: &DistrustState| state.has_faulted),
            Property::sometimes("the liar is paid what was committed", |model: &Self, state: &DistrustState| {
                state.pair.endings[usize::from(model.honest)].contains(&Some(Ending::Paid))
            }),
            Property::sometimes("the honest end is paid", |model: &Self, state: &DistrustState| {
                state.pair.taken[usize::from(model.honest)].contains(&true)
            }),
        ];
        if self.resumes > 1 {
            properties.push(Property::sometimes("a new epoch begins", |model: &Self, state: &DistrustState| {
                state.pair.end(model.honest).active().is_some_and(|epoch| epoch.agreed.epoch() > 0)
            }));
        }
        properties.extend(noted_properties());
        properties
    }
}
