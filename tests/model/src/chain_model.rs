//! What happens in a [`Chain`]: how buyer, mediator and seller react, and which properties must hold.

use crate::account::Account;
use crate::chain::{BUYER, Chain, ChainAction, ChainState, FEE, MEDIATOR, PRICE, SELLER, is_uncommitted, pending};
use crate::epoch::{Epoch, Event};
use crate::friends::{is_seen_alike, is_sound};
use crate::liar::{greeting, lies, resumes};
use crate::log::Side;
use crate::pair::{AccountPair, Command, Ending, Frame, Noted, Outcome, small};
use crate::play::{ExecutedCommand, Notes, Play, Staged, noted_properties};
use crate::request::{Direction, Id, REQUESTS, Stage};
use crate::rules::Rules;
use crate::settled::{is_accusation, is_covered, is_credited, is_settled, may_mediator_accept, worth};
use stateright::{Model, Property};

impl Chain {
    /// What an account's news means for its node, in the same transaction.
    fn react(&self, play: &mut Play, pair: usize, side: Side, outcome: &Outcome) {
        let node = pair + usize::from(side);
        for event in &outcome.events {
            match (node, pair, *event) {
                (BUYER, _, Event::Responded(id)) => {
                    // Only the destination's own lock will do.
                    let lock = pending(play.end(0, 0), Direction::Outgoing, id);
                    if lock != Some(Stage::Responded(id)) && play.rules != Rules::BuyerBelievesAnyLock {
                        play.tell(0, 0, Command::Abort(id));
                    }
                }
                (SELLER, _, Event::Requested(id, is_refused)) => {
                    let epoch = play.end(1, 1).epoch.as_ref();
                    let amount =
                        epoch.and_then(|epoch| epoch.local_view.find(Direction::Incoming, id)).map(|p| p.amount);
                    if is_refused || amount != Some(PRICE) {
                        play.tell(1, 1, Command::Cancel(id));
                    }
                }
                (SELLER, _, Event::Aborted(id)) => {
                    play.tell(1, 1, Command::Cancel(id));
                }
                (MEDIATOR, 0, event) => from_upstream(play, event),
                (MEDIATOR, 1, event) => from_downstream(play, event),
                _ => {}
            }
        }
        let is_loose = |id: Id| is_uncommitted(play.end(pair, side), id);
        if outcome.stopped && node == MEDIATOR && (0..REQUESTS as Id).any(is_loose) {
            return self.end_uncommitted(play, pair, side);
        }
        for touched in 0..2 {
            if (touched..=touched + 1).contains(&node) {
                let has_stopped = touched == pair && outcome.stopped;
                play.show_terms(touched, Self::side(touched, node), has_stopped);
            }
        }
    }

    /// What no signed Commit binds on an account that stopped ends now, on the other account too.
    fn end_uncommitted(&self, play: &mut Play, pair: usize, side: Side) {
        for id in 0..REQUESTS as Id {
            if is_uncommitted(play.end(pair, side), id) {
                give_up(play, id);
            }
        }
        for touched in 0..2 {
            play.show_terms(touched, Self::side(touched, MEDIATOR), touched == pair);
        }
    }
}

impl Staged for Chain {
    fn fresh(&self) -> Vec<AccountPair> {
        let end = |pair: usize, side: Side| {
            self.is_honest(pair + usize::from(side))
                .then(|| Account::open(side, self.smaller_keys[pair], 0, self.limit))
        };
        [0, 1].map(|pair| AccountPair::new([end(pair, 0), end(pair, 1)])).into()
    }

    fn beginning(&self) -> (ChainState, Vec<ExecutedCommand>) {
        let mut play = Play::new(self.fresh(), self.rules);
        for pair in 0..2 {
            let honest: Vec<Side> =
                [0u8, 1].into_iter().filter(|side| play.pairs[pair].ends[usize::from(*side)].is_some()).collect();
            match honest[..] {
                [one] => {
                    play.tell(pair, one, Command::Connect);
                    while let Some(frame) = greeting(play.end(pair, one), self.limit) {
                        play.tell(pair, one, Command::Receive(frame));
                        play.tell(pair, one, Command::Sign);
                    }
                }
                [_, _] => play.meet(pair),
                _ => {}
            }
            play.pairs[pair].renumber();
        }
        let state = ChainState {
            pairs: play.pairs,
            begun: [false; REQUESTS],
            is_lowered: false,
            crashes: self.crashes,
            accepts: self.accepts,
            statements: self.statements,
            resumes: self.resumes,
            accused: false,
            found_out: false,
        };
        (state, play.executed)
    }

    fn play(&self, state: &ChainState, action: &ChainAction) -> (ChainState, Vec<ExecutedCommand>) {
        let mut after = state.clone();
        let mut play = Play::new(std::mem::take(&mut after.pairs), self.rules);
        match action {
            ChainAction::Ask(id) => {
                after.begun[usize::from(*id)] = true;
                play.tell(0, 0, Command::Request(*id, PRICE + FEE));
            }
            ChainAction::Commit(id) => {
                play.tell(0, 0, Command::Commit(*id));
            }
            ChainAction::GiveUp(id) => {
                play.tell(0, 0, Command::Abort(*id));
            }
            ChainAction::TimeOut(id) => give_up(&mut play, *id),
            ChainAction::Respond(id) => {
                play.tell(1, 1, Command::Respond(*id, *id));
            }
            ChainAction::Refuse(id) => {
                play.tell(1, 1, Command::Cancel(*id));
                play.show_terms(1, 1, false);
            }
            ChainAction::Collect(id) => {
                play.tell(1, 1, Command::Collect(*id, *id));
                play.show_terms(1, 1, false);
            }
            ChainAction::Accept(pair) => {
                after.accepts -= 1;
                let side = Self::side(*pair, MEDIATOR);
                let outcome = play.tell(*pair, side, Command::Accept);
                play.tell(*pair, side, Command::Show);
                self.react(&mut play, *pair, side, &outcome);
            }
            ChainAction::Sign(pair, side) => {
                play.tell(*pair, *side, Command::Sign);
            }
            ChainAction::Deliver(pair, side) => {
                let outcome = play.tell(*pair, *side, Command::Deliver);
                let other = pair + 1 - usize::from(*side);
                after.accused |= self.is_honest(other) && is_accusation(play.end(*pair, *side), &outcome);
                self.react(&mut play, *pair, *side, &outcome);
            }
            ChainAction::Connect(pair) => {
                play.tell(*pair, 0, Command::Connect);
            }
            ChainAction::Lower(pair, limit) => {
                after.is_lowered = true;
                play.tell(*pair, Self::side(*pair, MEDIATOR), Command::SetLimit(*limit));
            }
            ChainAction::Crash(node) => {
                after.crashes -= 1;
                for pair in 0..2 {
                    if (pair..=pair + 1).contains(node) && state.pairs[pair].connected {
                        play.tell(pair, Self::side(pair, *node), Command::Crash);
                    }
                }
                if *node == BUYER {
                    // Whatever is found uncommitted at the start is given up.
                    for id in 0..REQUESTS as Id {
                        if matches!(
                            pending(play.end(0, 0), Direction::Outgoing, id),
                            Some(Stage::Requested | Stage::Responded(_))
                        ) {
                            play.tell(0, 0, Command::Abort(id));
                        }
                    }
                }
            }
            ChainAction::Lie(pair, frame) => {
                match frame {
                    Frame::Statement(_) => after.statements -= 1,
                    Frame::Resume(_) => after.resumes -= 1,
                }
                let side = u8::from(self.is_honest(pair + 1));
                let outcome = play.tell(*pair, side, Command::Receive(frame.clone()));
                after.found_out |= outcome.fault.is_some();
                self.react(&mut play, *pair, side, &outcome);
            }
        }
        if self.in_flight == 0 {
            for pair in 0..2 {
                for side in (0..2).filter(|side| self.is_honest(pair + usize::from(*side))) {
                    play.sign_what_waits(pair, side);
                }
            }
        }
        for pair in &mut play.pairs {
            pair.renumber();
        }
        after.pairs = play.pairs;
        (after, play.executed)
    }

    fn pairs<'a>(&self, state: &'a ChainState) -> &'a [AccountPair] {
        &state.pairs
    }

    fn rules(&self) -> Rules {
        self.rules
    }
}

/// The mediator ends a request that no signed Commit binds: Abort downstream, Cancel upstream.
fn give_up(play: &mut Play, id: Id) {
    play.tell(1, 0, Command::Abort(id));
    play.tell(0, 1, Command::Cancel(id));
}

fn from_upstream(play: &mut Play, event: Event) {
    match event {
        Event::Requested(id, is_refused) => {
            let amount = play.end(0, 1).epoch.as_ref().and_then(|epoch| epoch.local_view.find(Direction::Incoming, id));
            let onward = amount.map_or(0, |pending| pending.amount).saturating_sub(FEE);
            let is_forwarded = !is_refused
                && onward > 0
                && play.end(1, 0).resumed
                && play.tell(1, 0, Command::Request(id, onward)).done;
            if !is_forwarded {
                play.tell(0, 1, Command::Cancel(id));
            }
        }
        Event::Committed(id) => {
            let is_bound_already = play.rules == Rules::CommitsBeforeItsUpstream
                && pending(play.end(1, 0), Direction::Outgoing, id).is_some_and(Stage::is_committed);
            if !is_bound_already && !play.tell(1, 0, Command::Commit(id)).done {
                give_up(play, id);
            }
        }
        Event::Aborted(id) => give_up(play, id),
        Event::Dropped(id) => {
            play.tell(1, 0, Command::Abort(id));
        }
        Event::Began => {
            // What continues without our knowing it under this lock is cancelled.
            for id in 0..REQUESTS as Id {
                let lock = |stage: Option<Stage>| match stage {
                    Some(Stage::Responded(lock) | Stage::Committed(lock)) => Some(lock),
                    _ => None,
                };
                let incoming = pending(play.end(0, 1), Direction::Incoming, id);
                let outgoing = pending(play.end(1, 0), Direction::Outgoing, id);
                if incoming.is_some() && lock(incoming) != lock(outgoing) {
                    give_up(play, id);
                }
            }
        }
        Event::Responded(_) | Event::Collected(..) | Event::Cancelled(_) | Event::Released(_) => {}
    }
}

fn from_downstream(play: &mut Play, event: Event) {
    match event {
        Event::Responded(id) => {
            if let Some(Stage::Responded(lock)) = pending(play.end(1, 0), Direction::Outgoing, id) {
                play.tell(0, 1, Command::Respond(id, lock));
                if play.rules == Rules::CommitsBeforeItsUpstream {
                    play.tell(1, 0, Command::Commit(id));
                }
            }
        }
        Event::Collected(id, preimage) => {
            if !play.tell(0, 1, Command::Collect(id, preimage)).done {
                play.tell(0, 1, Command::Cancel(id));
            }
        }
        Event::Cancelled(id) | Event::Released(id) => {
            play.tell(0, 1, Command::Cancel(id));
        }
        // The mediator takes no requests from the seller.
        Event::Requested(id, _) => {
            play.tell(1, 0, Command::Cancel(id));
        }
        Event::Committed(_) | Event::Aborted(_) | Event::Dropped(_) | Event::Began => {}
    }
}

impl Notes for ChainState {
    fn has(&self, happened: fn(&Noted) -> bool) -> bool {
        self.pairs.iter().any(|pair| happened(&pair.noted))
    }
}

impl Model for Chain {
    type State = ChainState;
    type Action = ChainAction;

    fn init_states(&self) -> Vec<ChainState> {
        vec![self.beginning().0]
    }

    fn actions(&self, state: &ChainState, actions: &mut Vec<ChainAction>) {
        self.due(state, actions);
        if self.is_honest(BUYER) {
            let room = state.pairs[0].end(0).active().map_or(0, Epoch::send_room);
            let ids = (0..self.payments).filter(|id| !state.begun[*id] && room >= PRICE + FEE);
            actions.extend(ids.map(|id| ChainAction::Ask(id as Id)));
        }
        let is_open = |pair: usize| state.pairs[pair].end(Self::side(pair, MEDIATOR)).active().is_some();
        if let Some((pair, limit)) = self.lowered.filter(|(pair, _)| !state.is_lowered && is_open(*pair)) {
            actions.push(ChainAction::Lower(pair, limit));
        }
        if state.crashes > 0 {
            let mortals = self.mortals.iter().copied().filter(|node| self.is_honest(*node));
            actions.extend(mortals.map(ChainAction::Crash));
        }
        for pair in 0..2 {
            let nodes = [pair, pair + 1];
            if state.accepts > 0 && self.is_honest(MEDIATOR) && may_mediator_accept(state, pair) {
                actions.push(ChainAction::Accept(pair));
            }
            let Some(side) = (0..2).find(|side| self.is_honest(nodes[*side]) && !self.is_honest(nodes[1 - *side]))
            else {
                continue;
            };
            let honest = state.pairs[pair].end(side as Side);
            if state.statements > 0 {
                let said = lies(honest, &self.repertoire, |id| self.knows(state, id));
                actions.extend(said.into_iter().map(|frame| ChainAction::Lie(pair, frame)));
            }
            if state.resumes > 0 {
                actions.extend(resumes(honest).into_iter().map(|frame| ChainAction::Lie(pair, frame)));
            }
        }
    }

    fn next_state(&self, state: &ChainState, action: ChainAction) -> Option<ChainState> {
        Some(self.play(state, &action).0)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always("the totals match the pending requests", |_, state: &ChainState| {
                state.pairs.iter().all(is_sound)
            }),
            Property::always("both ends see the same when each has seen all: the sum is 0", |_, state: &ChainState| {
                state.pairs.iter().filter(|pair| pair.ends.iter().all(Option::is_some)).all(is_seen_alike)
            }),
            Property::always("no honest friend is accused", |_, state: &ChainState| !state.accused),
            Property::always("a signed commit downstream stands on one upstream", is_covered),
            Property::always("the mediator never loses", |model: &Self, state: &ChainState| {
                !model.is_honest(MEDIATOR) || worth(state) >= 0
            }),
            Property::always("no friend owes more than the limit it was given", |_, state: &ChainState| {
                state.pairs.iter().all(|pair| {
                    let ends = pair.ends.iter().zip(pair.highest_limit);
                    let epochs = ends.filter_map(|(end, limit)| Some((end.as_ref()?.epoch.as_ref()?, limit)));
                    epochs.into_iter().all(|(epoch, limit)| epoch.balance() <= small(limit))
                })
            }),
        ];
        if self.is_honest(BUYER) && self.is_honest(SELLER) {
            properties.push(Property::always(
                "the buyer pays only with the seller credited",
                |_, state: &ChainState| {
                    let is_paid = |id: &usize| state.pairs[0].endings[0][*id] == Some(Ending::Paid);
                    (0..REQUESTS).filter(is_paid).all(|id| is_credited(state, id as Id))
                },
            ));
            properties.push(Property::sometimes("the seller is paid", |_, state: &ChainState| {
                state.pairs[1].taken[1].contains(&true)
            }));
            properties.push(Property::sometimes("the buyer has paid", |model: &Self, state: &ChainState| {
                (0..model.payments).all(|id| state.pairs[0].endings[0][id] == Some(Ending::Paid))
            }));
        }
        if self.liars.is_empty() {
            properties.push(Property::always("at rest nothing is pending and all agree on who was paid", is_settled));
        } else {
            properties.push(Property::sometimes("a liar is found out", |_, state: &ChainState| state.found_out));
        }
        if self.is_honest(MEDIATOR) {
            properties.push(Property::sometimes("the mediator earns its fee", |_, state: &ChainState| {
                worth(state) >= small(FEE)
            }));
        }
        properties.extend(noted_properties());
        properties
    }
}
