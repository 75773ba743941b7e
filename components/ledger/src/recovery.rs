//! How far our own state of an account can be relied on, and what its recovery has to remember.
//!
//! ```text
//!            the friend lost its state             the next epoch begins
//!  Current ----------------------------> PeerLostState -----------------> Current
//!    |                                        |
//!    | our state may be old                   | our state may be old
//!    +---------------> Suspect <--------------+
//!                        |  ^
//!   evidence was adopted |  | others, or the friend, show more,
//!    or what we hold is  |  | or an old copy of the disk is
//!      no older than it  v  | put back
//!                      Recovered -----> Current, with the next epoch
//! ```
//!
//! In all states but `Current` nothing more is signed in the epoch, and its terms stay as they are, so that both sides come to the
//! same: what we collect meanwhile, or had collected and not signed, is a *claim*, written as soon as the next epoch begins; so is
//! what we cancel, unless our own state is suspect. A `Suspect` account agrees to nothing. The state is durable: a crash in the
//! middle changes nothing.

use crate::transfer::Transfer;
use offst_crypto::{Hash, Preimage};
use offst_proto::RequestId;
use offst_proto::statement::Operation;
use std::collections::BTreeMap;

/// How far our own state of an account can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum StateTrust {
    /// It is what we have signed and taken last.
    #[default]
    Current,
    /// Ours was shown to the friend, which has lost its own.
    PeerLostState,
    /// It may be old. Nothing is agreed to before the friend has shown what it holds.
    Suspect,
    /// It was suspect, and was compared with what the friend holds since.
    Recovered,
}

/// What is known of an account for certain: the friend has signed or acknowledged all of it. Friends keep such heads for each
/// other, so that a friend that shows less is found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The epoch.
    pub epoch: u64,
    /// Our newest statement that the friend has acknowledged, and its hash.
    pub own: (u64, Hash),
    /// The friend's newest statement that we have, and its hash.
    pub other: (u64, Hash),
}

impl Head {
    /// Whether an epoch with logs up to `reached` (ours, the friend's) holds no less than this.
    pub(crate) fn is_within(&self, epoch: u64, reached: [u64; 2]) -> bool {
        epoch > self.epoch || epoch == self.epoch && reached[0] >= self.own.0 && reached[1] >= self.other.0
    }
}

/// What recovery has to remember of an account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct AccountRecovery {
    pub(crate) trust: StateTrust,
    /// Each request's `Collect` or `Cancel` that waits for the next epoch.
    pub(crate) claims: BTreeMap<RequestId, Operation>,
    /// What the friend must be able to show, as others remember it.
    pub(crate) at_least: Option<Head>,
    /// Not stored: no connection outlives the process.
    pub(crate) link: Link,
}

impl AccountRecovery {
    /// Whether our own state may be old, or was found to be and has not led to a new epoch yet.
    pub(crate) fn is_under_way(&self) -> bool {
        matches!(self.trust, StateTrust::Suspect | StateTrust::Recovered)
    }

    /// Whether the epoch's terms stay as they are: what ends a request now is a claim.
    pub(crate) fn has_fixed_terms(&self) -> bool {
        self.trust != StateTrust::Current
    }

    /// Whether we ask the friend to show what both have signed.
    pub(crate) fn asks_for_evidence(&self) -> bool {
        match self.trust {
            StateTrust::Current | StateTrust::PeerLostState => self.link.asks,
            StateTrust::Suspect => true,
            StateTrust::Recovered => false,
        }
    }

    /// Requests that we have collected and not signed, and the preimages.
    pub(crate) fn collected(&self) -> impl Iterator<Item = (RequestId, Preimage)> {
        self.claims.values().filter_map(|claim| match claim {
            Operation::Collect { id, preimage } => Some((*id, *preimage)),
            _ => None,
        })
    }
}

/// What recovery knows of the present connection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Link {
    /// The friend claims to hold statements of ours that we do not know. We ask, and believe nothing yet.
    pub(crate) asks: bool,
    /// The friend does not trust its own state.
    pub(crate) friend_recovers: bool,
    /// Our evidence is being made or was sent: once on each connection.
    pub(crate) has_shown: bool,
    /// The rows for it have not been read yet.
    pub(crate) owes_evidence: bool,
    /// The friend's evidence as far as it has come.
    pub(crate) transfer: Option<Box<Transfer>>,
    /// The newest epoch that the friend says it knows; none: it has not begun to show anything.
    pub(crate) newest_shown: Option<u64>,
}

impl AccountRecovery {
    /// Whether a restart would otherwise go on with an account of which nothing was lost.
    pub(crate) fn is_to_be_stored(&self) -> bool {
        self.trust != StateTrust::Current || !self.claims.is_empty() || self.at_least.is_some()
    }
}

impl Link {
    /// The first epoch that the friend cannot know yet, as far as it has said.
    pub(crate) fn above_shown(&self) -> u64 {
        self.newest_shown.unwrap_or(0).saturating_add(1)
    }
}
