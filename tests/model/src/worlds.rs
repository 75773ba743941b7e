//! What is known of the steps of each world: whose they are, which are silent, and who goes alone (see [`crate::reduction`]).

use crate::chain::{BUYER, Chain, ChainAction, ChainState, MEDIATOR, SELLER};
use crate::distrust::{Distrust, DistrustState};
use crate::epoch::Epoch;
use crate::friends::{self, Friends, FriendsAction, FriendsState};
use crate::log::Side;
use crate::pair::{AccountPair, Command, Ending};
use crate::reduction::{Group, Reduced};
use crate::request::REQUESTS;
use crate::rules::Rules;
use crate::settled;

impl Reduced for Friends {
    fn nodes(&self) -> usize {
        2
    }

    fn actor(&self, (side, command): &FriendsAction) -> Option<usize> {
        (*command != Command::Connect).then_some(usize::from(*side))
    }

    fn is_silent(&self, state: &FriendsState, (side, command): &FriendsAction) -> bool {
        let account = state.pair.end(*side);
        let takes_back = matches!(command, Command::Abort(id) if account.has_unsigned_request(*id));
        account.active().is_some() && command.is_written_only() && !takes_back
    }

    fn groups(&self, state: &FriendsState) -> Vec<Group> {
        let story = &state.story;
        if story.crashes > 0 || story.stops > 0 || story.accepts > 0 {
            return Vec::new();
        }
        (0..2).filter(|side| state.pair.goes_alone(*side, self.in_flight)).map(|side| 1 << side).collect()
    }

    fn canonical(&self, mut state: FriendsState) -> FriendsState {
        if self.rules == Rules::SentBeforeDurable {
            return state;
        }
        state.pair.order_operations();
        if self.stops == 0 && self.accepts == 0 {
            state.pair.apply_acknowledgements();
        }
        state
    }

    fn is_at_rest(&self, state: &FriendsState) -> bool {
        friends::is_at_rest(self, state)
    }
}

/// The liar may say anything in every state, so nothing is left out.
impl Reduced for Distrust {
    fn nodes(&self) -> usize {
        1
    }

    fn actor(&self, _action: &Command) -> Option<usize> {
        Some(0)
    }

    fn is_at_rest(&self, _state: &DistrustState) -> bool {
        false
    }
}

impl Reduced for Chain {
    fn nodes(&self) -> usize {
        3
    }

    fn actor(&self, action: &ChainAction) -> Option<usize> {
        match action {
            ChainAction::Ask(_) | ChainAction::Commit(_) | ChainAction::GiveUp(_) => Some(BUYER),
            ChainAction::TimeOut(_) | ChainAction::Accept(_) | ChainAction::Lower(..) => Some(MEDIATOR),
            ChainAction::Respond(_) | ChainAction::Refuse(_) | ChainAction::Collect(_) => Some(SELLER),
            ChainAction::Sign(pair, side) | ChainAction::Deliver(pair, side) => Some(pair + usize::from(*side)),
            ChainAction::Crash(node) => Some(*node),
            ChainAction::Connect(_) | ChainAction::Lie(..) => None,
        }
    }

    fn is_silent(&self, state: &ChainState, action: &ChainAction) -> bool {
        let works = |pair: usize, side: Side| state.pairs[pair].end(side).active().is_some();
        // A node that signs at once does not wait.
        self.liars.is_empty()
            && self.in_flight > 0
            && match action {
                ChainAction::GiveUp(id) if state.pairs[0].end(0).has_unsigned_request(*id) => false,
                ChainAction::Ask(_) | ChainAction::Commit(_) | ChainAction::GiveUp(_) => works(0, 0),
                ChainAction::TimeOut(_) | ChainAction::Lower(..) => works(0, 1) && works(1, 0),
                ChainAction::Respond(_) | ChainAction::Refuse(_) | ChainAction::Collect(_) => works(1, 1),
                _ => false,
            }
    }

    fn groups(&self, state: &ChainState) -> Vec<Group> {
        if !self.liars.is_empty() {
            return Vec::new();
        }
        // A node that dies loses the connections to its neighbours.
        let touched = |mortal: &usize| [0b011, 0b111, 0b110][*mortal];
        let in_danger: Group =
            if state.crashes > 0 { self.mortals.iter().map(touched).fold(0, |all, group| all | group) } else { 0 };
        let alone = |pair: usize, side: Side| state.pairs[pair].goes_alone(side, self.in_flight.max(1));
        // Which node needs another one with it.
        let needs = [
            (BUYER, MEDIATOR, !alone(0, 0)),
            (MEDIATOR, BUYER, !alone(0, 1)),
            (MEDIATOR, SELLER, !alone(1, 0)),
            (SELLER, MEDIATOR, !alone(1, 1)),
        ];
        let mut groups: Vec<Group> = Vec::new();
        for first in [BUYER, SELLER, MEDIATOR] {
            let mut group: Group = 1 << first;
            for _ in 0..2 {
                for (node, other, is_needed) in needs {
                    if is_needed && group & (1 << node) != 0 {
                        group |= 1 << other;
                    }
                }
            }
            if group != 0b111 && group & in_danger == 0 && !groups.contains(&group) {
                groups.push(group);
            }
        }
        groups.sort_by_key(|group| group.count_ones());
        groups
    }

    fn watched(&self, state: &ChainState) -> u64 {
        if !self.liars.is_empty() {
            return 0;
        }
        let [above, below] = &state.pairs[..] else { return 0 };
        let paid = above.endings[0].map(|ending| ending == Some(Ending::Paid));
        let owed = below.end(1).epoch.as_ref().map_or(0, Epoch::balance);
        let bits = paid.into_iter().chain(below.taken[1]).fold(0, |bits, bit| 2 * bits + u64::from(bit));
        256 * bits + u64::from(owed.unsigned_abs())
    }

    fn twin(&self, state: &ChainState) -> Option<ChainState> {
        (self.payments == REQUESTS && self.liars.is_empty()).then(|| {
            let mut twin = state.clone();
            twin.pairs.iter_mut().for_each(AccountPair::exchange_requests);
            twin.begun.reverse();
            twin
        })
    }

    fn canonical(&self, mut state: ChainState) -> ChainState {
        if !self.liars.is_empty() || self.rules == Rules::SentBeforeDurable {
            return state;
        }
        for pair in &mut state.pairs {
            pair.order_operations();
            pair.apply_acknowledgements();
        }
        state
    }

    fn is_at_rest(&self, state: &ChainState) -> bool {
        self.liars.is_empty() && settled::is_at_rest(self, state)
    }
}
