//! Two honest friends: every interleaving of their payments, with a crash, a lowered limit and resets anywhere.

use crate::account::{Account, StopReason};
use crate::epoch::Event;
use crate::log::Side;
use crate::pair::{AccountPair, Command, Ending, Noted, small};
use crate::play::{ExecutedCommand, Notes, Play, Staged, noted_properties, steps};
use crate::request::{Direction, Id, PendingRequests, REQUESTS, Stage};
use crate::rules::Rules;
use stateright::{Model, Property};

/// How much may happen.
#[derive(Debug, Clone)]
pub struct Friends {
    /// Who pays, and how much; the number is the request's id.
    pub payments: Vec<(Side, u8)>,
    /// Which end has the smaller key.
    pub smaller_key: Side,
    /// What each end lets the other owe.
    pub limits: [u8; 2],
    /// The balances that the two propose before they have met.
    pub balances: [i8; 2],
    /// An end signs only while fewer frames than this of it are in flight.
    pub in_flight: usize,
    /// They have agreed and told each other their limits before the model begins.
    pub have_met: bool,
    /// An end may set its limit to this, once.
    pub lowered: Option<(Side, u8)>,
    /// How often a process may die.
    pub crashes: u8,
    /// How often an owner may stop the account.
    pub stops: u8,
    /// How often an owner may accept the other's terms.
    pub accepts: u8,
    /// The rules they follow.
    pub rules: Rules,
}

impl Default for Friends {
    fn default() -> Self {
        Friends {
            payments: vec![(0, 2), (1, 1)],
            smaller_key: 0,
            limits: [2, 2],
            balances: [0, 0],
            in_flight: usize::MAX,
            have_met: true,
            lowered: None,
            crashes: 0,
            stops: 0,
            accepts: 0,
            rules: Rules::Kept,
        }
    }
}

/// A state of [`Friends`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FriendsState {
    /// The account.
    pub pair: AccountPair,
    /// What has happened and may still happen.
    pub story: Story,
}

/// What has happened to two friends besides their account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Story {
    /// Which payments have begun.
    begun: [bool; REQUESTS],
    is_lowered: bool,
    /// How many may still come, as the two below.
    pub crashes: u8,
    /// Of owners.
    pub stops: u8,
    /// Of owners.
    pub accepts: u8,
    /// An honest end accused the other.
    accused: bool,
}

/// What happens next: a command to one end.
pub type FriendsAction = (Side, Command);

/// Whether an owner who is asked should accept: not when the terms let the friend collect what was never committed, nor
/// when they take credits for a payment that this end has no proof of: its node would call the payment cancelled. What
/// this end has collected counts as its own: where the terms let it continue it is collected again as the epoch begins.
/// `endings`: of this end's own requests; one that is paid and still pending is proved.
pub fn may_accept(account: &Account, endings: &[Option<Ending>; REQUESTS]) -> bool {
    let Some(theirs) = account.acceptable_terms() else { return false };
    let Some(epoch) = &account.epoch else { return true };
    let committed = epoch.local_view.committed();
    let is_kept = |direction, id| committed.find(direction, id) == theirs.continuing.find(direction, id);
    let is_proved = |id: Id| endings[usize::from(id)] == Some(Ending::Paid);
    let sum = |pendings: &PendingRequests, wanted: Direction, counts: &dyn Fn(Id) -> bool| -> i8 {
        let counted = pendings.list().filter(|(direction, id, _)| *direction == wanted && counts(*id));
        counted.map(|(.., pending)| small(pending.amount)).sum()
    };
    let collected_again = sum(&theirs.continuing, Direction::Incoming, &|id| account.has_collected(id));
    let claimed = sum(&committed, Direction::Incoming, &|id| account.has_collected(id));
    let left_out = |id: Id| !is_kept(Direction::Outgoing, id);
    let proved = sum(&committed, Direction::Outgoing, &|id| left_out(id) && is_proved(id));
    let costs_nothing = theirs.balance + collected_again + proved >= epoch.balance() + claimed;
    let unproved = sum(&committed, Direction::Outgoing, &|id| left_out(id) && !is_proved(id));
    theirs.continuing.list().all(|(direction, id, _)| direction == Direction::Incoming || is_kept(direction, id))
        && (unproved == 0 || costs_nothing)
}

fn owner_accepts(pair: &AccountPair, side: Side) -> bool {
    may_accept(pair.end(side), &pair.endings[usize::from(side)])
}

/// What an end that sees terms which leave out what it has committed may be shown, when it asks: that its friend has
/// collected it. The friend's account has stopped, too, and nothing else tells of it.
fn proofs(pair: &AccountPair, side: Side) -> Vec<Command> {
    let (account, friend) = (pair.end(side), pair.end(1 - side));
    let (Some(theirs), Some(epoch), Some(other)) = (account.acceptable_terms(), &account.epoch, &friend.epoch) else {
        return Vec::new();
    };
    if !pair.connected || friend.active().is_some() {
        return Vec::new();
    }
    let is_unproved = |id: Id| pair.endings[usize::from(side)][usize::from(id)].is_none();
    let has_collected = |id: Id| pair.taken[usize::from(1 - side)][usize::from(id)];
    let committed = epoch.local_view.committed();
    let left_out = committed.list().filter(|(direction, id, _)| {
        *direction == Direction::Outgoing && theirs.continuing.find(*direction, *id).is_none()
    });
    left_out
        .filter(|(_, id, _)| {
            is_unproved(*id) && has_collected(*id) && other.local_view.find(Direction::Incoming, *id).is_none()
        })
        .map(|(_, id, _)| Command::Prove(id))
        .collect()
}

/// What no signed Commit binds on an account that stops is over.
fn give_up_uncommitted(play: &mut Play, side: Side) {
    let pendings: Vec<_> = play.end(0, side).epoch.iter().flat_map(|epoch| epoch.local_view.list()).collect();
    for (direction, id, pending) in pendings {
        let is_bound = play.end(0, side).epoch.as_ref().is_some_and(|epoch| epoch.is_bound(id));
        match direction {
            Direction::Outgoing if !is_bound => play.tell(0, side, Command::Abort(id)),
            Direction::Incoming if !pending.stage.is_committed() => play.tell(0, side, Command::Cancel(id)),
            Direction::Outgoing | Direction::Incoming => continue,
        };
    }
}

impl Friends {
    /// What must be done or said before the two are at rest: everything but what only may happen.
    fn due(&self, state: &FriendsState, actions: &mut Vec<FriendsAction>) {
        let pair = &state.pair;
        if !pair.connected {
            actions.push((0, Command::Connect));
        }
        for side in 0..2 {
            let account = pair.end(side);
            if !pair.wire[usize::from(side)].is_empty() {
                actions.push((side, Command::Deliver));
            }
            let has_words = account.active().is_some_and(|epoch| !epoch.queue.is_empty() || epoch.owes_acknowledgement);
            let has_route = pair.wire[usize::from(1 - side)].len() < self.in_flight;
            if account.resumed && has_words && has_route {
                actions.push((side, Command::Sign));
            }
            if self.rules != Rules::NothingIsProved {
                actions.extend(proofs(pair, side).into_iter().map(|proof| (side, proof)));
            }
            if let Some(epoch) = &account.epoch {
                for (direction, id, pending) in epoch.local_view.list() {
                    actions.extend(steps(account, direction, id, pending).into_iter().map(|step| (side, step)));
                }
            }
        }
    }
}

impl Staged for Friends {
    fn fresh(&self) -> Vec<AccountPair> {
        let end = |side: Side| {
            let index = usize::from(side);
            Account::open(side, self.smaller_key, self.balances[index], self.limits[index])
        };
        vec![AccountPair::new([Some(end(0)), Some(end(1))])]
    }

    fn beginning(&self) -> (FriendsState, Vec<ExecutedCommand>) {
        let mut play = Play::new(self.fresh(), self.rules);
        if self.have_met {
            play.meet(0);
        }
        let mut pair = play.pairs.remove(0);
        pair.renumber();
        let story = Story {
            begun: [false; REQUESTS],
            is_lowered: false,
            crashes: self.crashes,
            stops: self.stops,
            accepts: self.accepts,
            accused: false,
        };
        (FriendsState { pair, story }, play.executed)
    }

    fn play(&self, state: &FriendsState, action: &FriendsAction) -> (FriendsState, Vec<ExecutedCommand>) {
        let (side, command) = action;
        let side = *side;
        let mut story = state.story;
        let mut play = Play::new(vec![state.pair.clone()], self.rules);
        let outcome = play.tell(0, side, command.clone());
        match command {
            Command::Request(id, _) => story.begun[usize::from(*id)] = true,
            Command::SetLimit(_) => story.is_lowered = true,
            Command::Crash => story.crashes -= 1,
            Command::Stop => story.stops -= 1,
            Command::Accept => story.accepts -= 1,
            _ => {}
        }
        story.accused |= outcome.fault.is_some();
        story.accused |= matches!(
            play.end(0, side).stopped,
            Some(StopReason::Fault(_) | StopReason::OwnStateLost | StopReason::FriendStateLost)
        );
        play.refuse(0, side, &outcome.events);
        if outcome.stopped {
            give_up_uncommitted(&mut play, side);
        }
        if outcome.events.contains(&Event::Began) {
            // What continues without this end knowing why is cancelled.
            for event in &outcome.events {
                if let Event::Committed(id) = event {
                    play.tell(0, side, Command::Cancel(*id));
                }
            }
        }
        play.show_terms(0, side, outcome.stopped || *command == Command::Accept);
        let mut pair = play.pairs.swap_remove(0);
        pair.renumber();
        (FriendsState { pair, story }, play.executed)
    }

    fn pairs<'a>(&self, state: &'a FriendsState) -> &'a [AccountPair] {
        std::slice::from_ref(&state.pair)
    }

    fn rules(&self) -> Rules {
        self.rules
    }
}

/// The same account seen from both ends, where each has seen all of the other's log.
pub fn is_seen_alike(pair: &AccountPair) -> bool {
    let (Some(a), Some(b)) = (pair.end(0).active(), pair.end(1).active()) else { return true };
    let has_seen = a.theirs.newest == b.mine.newest && b.theirs.newest == a.mine.newest;
    if a.agreed != b.agreed || !has_seen || !a.queue.is_empty() || !b.queue.is_empty() {
        return true;
    }
    a.balance() == -b.balance()
        && a.local_pending() == b.remote_pending()
        && a.remote_pending() == b.local_pending()
        && a.local_view.mirrored() == b.local_view
}

/// Whether the totals match the pending requests.
pub fn is_sound(pair: &AccountPair) -> bool {
    pair.ends.iter().flatten().filter_map(|end| end.epoch.as_ref()).all(|epoch| {
        epoch.local_pending() == small(epoch.local_view.sum(Direction::Outgoing))
            && epoch.remote_pending() == small(epoch.local_view.sum(Direction::Incoming))
    })
}

fn nothing_is_stuck(model: &Friends, state: &FriendsState) -> bool {
    if !is_at_rest(model, state) {
        return true;
    }
    if !state.pair.is_consistent() {
        // People have to settle it: at least one of them can.
        return [0, 1].into_iter().any(|side| owner_accepts(&state.pair, side));
    }
    let ends = [state.pair.end(0), state.pair.end(1)];
    ends.iter().all(|end| end.active().is_some_and(|epoch| epoch.local_view.list().next().is_none()))
}

/// Where the two are at rest, the balance is the sum of what was paid, and both ends say the same about each payment.
fn what_was_paid_is_owed(model: &Friends, state: &FriendsState) -> bool {
    if !is_at_rest(model, state) || !state.pair.is_consistent() {
        return true;
    }
    let Some(epoch) = state.pair.end(0).active() else { return true };
    // An end that accepts the other's proposal has its balance.
    let had_one_opinion = model.balances[0] == -model.balances[1];
    let mut owed = if had_one_opinion { model.balances[0] } else { epoch.opening_balance };
    for (id, (payer, amount)) in model.payments.iter().enumerate() {
        let is_paid = state.pair.endings[usize::from(*payer)][id] == Some(Ending::Paid);
        if is_paid != state.pair.taken[1 - usize::from(*payer)][id] {
            return false;
        }
        if is_paid {
            owed += if *payer == 1 { small(*amount) } else { -small(*amount) };
        }
    }
    epoch.balance() == owed
}

impl Model for Friends {
    type State = FriendsState;
    type Action = FriendsAction;

    fn init_states(&self) -> Vec<FriendsState> {
        vec![self.beginning().0]
    }

    fn actions(&self, state: &FriendsState, actions: &mut Vec<FriendsAction>) {
        self.due(state, actions);
        for (id, (payer, amount)) in self.payments.iter().enumerate() {
            let has_room = state.pair.end(*payer).active().is_some_and(|epoch| epoch.send_room() >= *amount);
            if !state.story.begun[id] && has_room {
                actions.push((*payer, Command::Request(id as Id, *amount)));
            }
        }
        if let Some((side, limit)) = self.lowered.filter(|_| !state.story.is_lowered) {
            actions.push((side, Command::SetLimit(limit)));
        }
        for side in 0..2 {
            let account = state.pair.end(side);
            if state.story.crashes > 0 && state.pair.connected {
                actions.push((side, Command::Crash));
            }
            if state.story.stops > 0 && account.active().is_some() {
                actions.push((side, Command::Stop));
            }
            if state.story.accepts > 0 && owner_accepts(&state.pair, side) {
                actions.push((side, Command::Accept));
            }
        }
    }

    fn next_state(&self, state: &FriendsState, action: FriendsAction) -> Option<FriendsState> {
        Some(self.play(state, &action).0)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(
                "both ends see the same when each has seen all: the sum is 0",
                |_, state: &FriendsState| is_seen_alike(&state.pair),
            ),
            Property::always("the totals match the pending requests", |_, state: &FriendsState| is_sound(&state.pair)),
            Property::always("nobody owes more than it was ever allowed", |model: &Friends, state: &FriendsState| {
                [0u8, 1].into_iter().all(|side| {
                    let allowed = small(state.pair.highest_limit[1 - usize::from(side)]);
                    let opening = model.balances[usize::from(side)].min(0);
                    let owes_at_most =
                        |epoch: &crate::epoch::Epoch| epoch.balance() - epoch.local_pending() >= opening - allowed;
                    state.pair.end(side).epoch.as_ref().is_none_or(owes_at_most)
                })
            }),
            Property::always("no honest end is accused", |_, state: &FriendsState| !state.story.accused),
            Property::always("at rest nothing is pending, or people can settle it", nothing_is_stuck),
            Property::always("at rest the balance is what was paid", what_was_paid_is_owed),
            Property::sometimes("every payment is paid", |model: &Friends, state: &FriendsState| {
                let is_paid = |(id, (payer, _)): (usize, &(Side, u8))| {
                    state.pair.endings[usize::from(*payer)][id] == Some(Ending::Paid)
                };
                model.payments.iter().enumerate().all(is_paid)
            }),
            Property::sometimes("a commit crosses a cancel", |model: &Friends, state: &FriendsState| {
                model.payments.iter().enumerate().any(|(id, (payer, _))| {
                    let epoch = |side| state.pair.end(side).active();
                    let (Some(payer), Some(payee)) = (epoch(*payer), epoch(1 - *payer)) else { return false };
                    payer.is_bound(id as Id) && payee.local_view.find(Direction::Incoming, id as Id).is_none()
                })
            }),
            Property::sometimes("a response crosses an abort", |_, state: &FriendsState| {
                let Some(payee) = state.pair.end(1).active() else { return false };
                let Some(payer) = state.pair.end(0).active() else { return false };
                payer.local_view.list().any(|(direction, id, pending)| {
                    let other = payee.local_view.find(direction.mirrored(), id).map(|pending| pending.stage);
                    pending.stage == Stage::Aborted && matches!(other, Some(Stage::Responded(_)))
                })
            }),
        ];
        if self.stops > 0 || self.balances[0] != -self.balances[1] {
            properties.push(Property::sometimes("they disagree", |_, state: &FriendsState| {
                state.pair.is_quiet() && !state.pair.is_consistent()
            }));
        }
        if self.accepts > 1 {
            properties.push(Property::sometimes("two acceptances cross", |_, state: &FriendsState| {
                let ends = [state.pair.end(0).mine, state.pair.end(1).mine];
                ends.iter().all(|opening| opening.accepts.is_some()) && ends[0].name.epoch == ends[1].name.epoch
            }));
        }
        properties.extend(noted_properties());
        properties
    }
}

impl Notes for FriendsState {
    fn has(&self, happened: fn(&Noted) -> bool) -> bool {
        happened(&self.pair.noted)
    }
}

/// Nothing is left to do or to say.
pub fn is_at_rest(model: &Friends, state: &FriendsState) -> bool {
    let mut due = Vec::new();
    state.pair.is_still() && {
        model.due(state, &mut due);
        due.is_empty()
    }
}
