//! What a search need not visit, and why nothing is hidden by that.
//!
//! A world is made of nodes (the two friends; buyer, mediator, seller). A node's steps read and change its own accounts, take
//! the first frame that is in flight to it, and add frames behind those that it has sent. So steps of two nodes can be
//! exchanged, and neither makes the other possible or impossible, but for two things: a frame that arrives where none was makes
//! [`Deliver`](crate::pair::Command::Deliver) possible, and a frame that is taken gives way to a next
//! [`Sign`](crate::pair::Command::Sign). Only a crash and a new connection touch two nodes at once. Three reductions rest on
//! this; all are made by [`crate::search`], and `tests/reduction.rs` holds each against the whole model.
//!
//! **Silent steps wait.** To ask, answer, commit, give up, collect, cancel or set a limit on an account that works changes
//! nothing but that account and what waits to be signed there ([`Reduced::is_silent`]). No other node sees it, and a crash of
//! another or a new connection neither reads nor loses it, so such a step can be moved behind everything that others do,
//! until its own node does something that tells it apart: signs, or takes a frame whose effect depends on it, or dies.
//! Therefore silent steps are taken only directly before a step of the same node with which they cannot be exchanged;
//! whether they can is not claimed but tried, each time. Properties are checked between silent steps, too. A state left out
//! differs from one that is visited by silent steps alone, and no property sees that: each speaks of one end (which is
//! visited as it is), of something noted for good, of states in which nothing waits to be signed, or of states at rest, in
//! which no step is due. The one property that compares two ends otherwise, that nobody owes more than it was ever allowed,
//! looks at the highest limit, and no scenario raises one. To take back what was asked and not signed leaves nothing to
//! be signed, so it is not silent.
//!
//! **A node goes alone.** When nothing that other nodes may do before it can make a new step of a node possible (frames wait for
//! it on each of its pairs, and its way is free, or it has nothing to say), then all that others do can be exchanged with
//! its next step, and only its steps are followed ([`Reduced::groups`]; an account that lacks one of both adds its other end to
//! the group). This is a persistent set. It keeps every state in which no frames are in flight: the group's first step
//! cannot be missing on the way to such a state. Properties of both ends of a pair are about these. A property of nodes
//! that share no pair is watched by [`Reduced::watched`]: a group whose steps change it does not go alone. Nobody goes
//! alone whom the death of another may still touch, nor while a choice of which there is only one for several nodes
//! (stopping, accepting) is left. Where the search comes back to a state on its path, the others have their turn, too, so that
//! none is put off for ever.
//!
//! **States that nobody can tell apart are one** ([`Reduced::canonical`], see [`crate::canonical`]). Of two states that differ in
//! nothing but which of two equal payments has which number, one is visited ([`Reduced::twin`]).

use crate::play::Staged;
use std::fmt::Debug;
use std::hash::Hash;

/// Which nodes: one bit for each.
pub type Group = u8;

/// A world that can be searched, with what is known of its steps.
pub trait Reduced: Staged<State: Clone + Eq + Hash + Debug, Action: Clone + PartialEq + Debug> {
    /// How many nodes there are.
    fn nodes(&self) -> usize;

    /// Whose step this is. `None`: it touches several nodes.
    fn actor(&self, action: &Self::Action) -> Option<usize>;

    /// Whether the step changes nothing but accounts of its node that work, and what waits to be signed there.
    fn is_silent(&self, _state: &Self::State, _action: &Self::Action) -> bool {
        false
    }

    /// Groups of nodes whose steps no step of another node can add to, smallest first, and never all of them.
    fn groups(&self, _state: &Self::State) -> Vec<Group> {
        Vec::new()
    }

    /// What properties see that are about nodes without a common pair.
    fn watched(&self, _state: &Self::State) -> u64 {
        0
    }

    /// One of the states that cannot be told apart from this one.
    fn canonical(&self, state: Self::State) -> Self::State {
        state
    }

    /// The state in which two requests have changed places, where nothing tells them apart but their numbers.
    fn twin(&self, _state: &Self::State) -> Option<Self::State> {
        None
    }

    /// Nothing must be done or said any more.
    fn is_at_rest(&self, state: &Self::State) -> bool;
}
