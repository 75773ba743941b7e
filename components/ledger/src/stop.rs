//! Why an account stops, and what its owner has to know about it.

use crate::fault::Fault;
use crate::negotiation::Terms;

/// Why an account is not used any more until a new epoch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// The friend's log broke a rule.
    Fault(Fault),
    /// The friend wants other terms.
    FriendReopened,
    /// The friend holds statements of ours that we do not know: our database is old, or the friend lies.
    OwnStateLost,
    /// The friend does not know its own statements any more: its database is old.
    FriendStateLost,
    /// We have lost our own state, and the friend shows less than it has signed or acknowledged.
    FriendWithholds,
    /// Both sides have lost a part of their state, and what is left does not show where the account stood.
    BothStatesLost,
    /// The owner removed or disabled the friend.
    Owner,
}

impl std::fmt::Display for StopReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StopReason::Fault(fault) => write!(f, "{fault}"),
            StopReason::FriendReopened => f.write_str("the friend proposes other terms"),
            StopReason::OwnStateLost => f.write_str(
                "our database is an old copy, or was lost: the friend is asked to show what both sides have signed",
            ),
            StopReason::FriendStateLost => {
                f.write_str("the friend does not know its own last statements any more: its database is an old copy")
            }
            StopReason::FriendWithholds => {
                f.write_str("the friend does not show everything that it has signed or acknowledged before")
            }
            StopReason::BothStatesLost => f.write_str(
                "both sides have lost a part of their state, and nobody can show where the account stood: agree with the \
                 friend's owner on the balance. `reset-friend` goes on from what is left, which is 0 if nothing is; for any \
                 other balance remove the friend on one side and add it again with `--balance`",
            ),
            StopReason::Owner => f.write_str("it was closed by its owner"),
        }
    }
}

/// What an account's owner has to know about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Both sides agree.
    Consistent,
    /// The friend has not shown its terms yet.
    Waiting {
        /// What we proposed.
        mine: Terms,
    },
    /// The sides do not agree. `reset-friend` accepts the friend's terms.
    Inconsistent {
        /// Our terms, from our side.
        mine: Terms,
        /// The friend's terms, turned to our side; none when it has not shown any since.
        theirs: Option<Terms>,
        /// What ended the last epoch.
        reason: Option<StopReason>,
    },
}
