//! A request's life on one account.
//!
//! ```text
//!             Response           Commit            Collect
//! Requested ------------> Responded ------> Committed ------> (gone, paid)
//!     |  \                 /   |                |
//!     |   \ Abort   Abort /    | Cancel         | Cancel
//!     |    v             v     v                v
//!     |    Aborted ----------> (gone, released) <
//!     +--- Cancel ------------>
//! ```
//!
//! `Request`, `Commit` and `Abort` are the upstream's; `Response`, `Collect` and `Cancel` the downstream's. Only the
//! downstream's `Collect` or `Cancel` ends a request, so exactly one operation releases a pending amount. Where two operations
//! cross, the table of the protocol decides: `Commit` or `Abort` for a request that the downstream has cancelled
//! is ignored; a `Response` to an aborted request is ignored.

use offst_crypto::{Hash, HashLock, Preimage};
use offst_proto::Amount;
use offst_proto::encoding::{Canonical, DecodeError, Decoder, Encoder};

/// Which side of a request we are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// We are upstream: we asked, and will pay.
    Outgoing,
    /// We are downstream: we were asked, and will be paid.
    Incoming,
}

/// How far a request has come on one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Sent down, nothing came back.
    Requested,
    /// The destination is willing.
    Responded(HashLock),
    /// The upstream has promised to pay for the preimage.
    Committed(HashLock),
    /// The upstream has given up; the downstream has still to cancel.
    Aborted,
}

/// A request that holds credits on one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// Credits held: the part's amount and the fees of the mediators ahead.
    pub held: Amount,
    /// Hash of the terms that the destination signs.
    pub terms: Hash,
    /// How far it has come.
    pub stage: Stage,
}

/// A change that the request's stage does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InvalidTransition;

impl Stage {
    /// The downstream's `Response`. `Ok(None)`: crossed with our `Abort`, ignored.
    pub(crate) fn respond(self, lock: HashLock) -> Result<Option<Stage>, InvalidTransition> {
        match self {
            Stage::Requested => Ok(Some(Stage::Responded(lock))),
            Stage::Aborted => Ok(None),
            Stage::Responded(_) | Stage::Committed(_) => Err(InvalidTransition),
        }
    }

    /// The upstream's `Commit`.
    pub(crate) fn commit(self) -> Result<Stage, InvalidTransition> {
        match self {
            Stage::Responded(lock) => Ok(Stage::Committed(lock)),
            Stage::Requested | Stage::Committed(_) | Stage::Aborted => Err(InvalidTransition),
        }
    }

    /// The upstream's `Abort`.
    pub(crate) fn abort(self) -> Result<Stage, InvalidTransition> {
        match self {
            Stage::Requested | Stage::Responded(_) => Ok(Stage::Aborted),
            Stage::Committed(_) | Stage::Aborted => Err(InvalidTransition),
        }
    }

    /// The downstream's `Collect`: only what was committed, only for the preimage.
    /// (R1.15.)
    pub(crate) fn collect(self, preimage: &Preimage) -> Result<(), InvalidTransition> {
        match self {
            Stage::Committed(lock) if preimage.lock() == lock => Ok(()),
            _ => Err(InvalidTransition),
        }
    }

    /// The lock, once the destination has responded.
    pub fn lock(&self) -> Option<HashLock> {
        match self {
            Stage::Responded(lock) | Stage::Committed(lock) => Some(*lock),
            Stage::Requested | Stage::Aborted => None,
        }
    }

    /// Whether the upstream has promised to pay.
    pub fn is_committed(&self) -> bool {
        matches!(self, Stage::Committed(_))
    }
}

impl Canonical for Pending {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.value(&self.held);
        encoder.value(&self.terms);
        match self.stage {
            Stage::Requested => encoder.u8(0),
            Stage::Responded(lock) => {
                encoder.u8(1);
                encoder.value(&lock);
            }
            Stage::Committed(lock) => {
                encoder.u8(2);
                encoder.value(&lock);
            }
            Stage::Aborted => encoder.u8(3),
        }
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Pending {
            held: decoder.value()?,
            terms: decoder.value()?,
            stage: match decoder.u8()? {
                0 => Stage::Requested,
                1 => Stage::Responded(decoder.value()?),
                2 => Stage::Committed(decoder.value()?),
                3 => Stage::Aborted,
                _ => return Err(DecodeError::invalid("the stage of a request")),
            },
        })
    }
}
