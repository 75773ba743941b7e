//! A friend's evidence as far as it has come.

use crate::replay::{Contradiction, Replay};
use offst_proto::Verified;
use offst_proto::statement::Statement;

/// Most bytes of statements that are held until evidence is complete. Honest evidence is a small part of it.
const EVIDENCE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Why a friend's evidence is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceRefused {
    /// The Openings are not of this account, not signed, or do not agree.
    #[error("it shows no openings that both sides have signed and that agree")]
    Openings,
    /// More than was announced, or more than is held.
    #[error("it is larger than it may be")]
    TooLarge,
    /// Signatures contradict each other.
    #[error("{0}")]
    Contradiction(#[from] Contradiction),
    /// The epoch is the friend's work alone: no signature of ours belongs to it.
    #[error("nothing in it shows that this node has ever been in that epoch")]
    Unproven,
}

/// Evidence as far as it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transfer {
    pub(crate) replay: Replay,
    /// The bytes of the checkpoint that it begins with.
    pub(crate) set: Option<Vec<u8>>,
    pub(crate) taken: Vec<Verified<Statement>>,
    bytes: usize,
    /// How many statements are still to come.
    pub(crate) left: u32,
    /// The friend has signed something else than what we, or others for us, remember.
    pub(crate) is_forked: bool,
}

impl Transfer {
    /// Evidence of which nothing but its beginning has come.
    pub(crate) fn begin(replay: Replay, set: Option<Vec<u8>>, left: u32) -> Transfer {
        Transfer { replay, set, taken: Vec::new(), bytes: 0, left, is_forked: false }
    }

    /// Takes the next statement, within the bounds of number and size.
    pub(crate) fn take(&mut self, statement: Verified<Statement>) -> Result<(), EvidenceRefused> {
        self.bytes += statement.wire().len();
        self.left = self.left.checked_sub(1).ok_or(EvidenceRefused::TooLarge)?;
        if self.bytes > EVIDENCE_BYTES_MAX {
            return Err(EvidenceRefused::TooLarge);
        }
        self.replay.take(&statement)?;
        self.taken.push(statement);
        Ok(())
    }
}
