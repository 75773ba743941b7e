//! Telling a friend how its requests ended, after it has lost a part of its state (protocol section 1).
//!
//! The answer is the truth as this node's own database has it: collected, with the preimage, only when it was collected from
//! the very friend that asks; pending while it is; and otherwise that nothing is known of it, which for a mediator upstream means
//! the same as cancelled. So that is said only after all of the history was read: a friend may have been away for months, and
//! clocks may have been wrong. Nothing here changes anything.

use crate::archive::Found;
use crate::funder::Batch;
use crate::io::{ConnectionId, Output};
use offst_crypto::PublicKey;
use offst_proto::resolve::{recalled_frame, resolved_frame};

impl Batch<'_> {
    /// The database was read.
    pub(crate) fn found(&mut self, key: PublicKey, connection: ConnectionId, found: Found) {
        let is_current = self.state.accounts.is_current(key, connection);
        let frame = match found {
            Found::Own { ids, preimages } => return self.found_own(&ids, &preimages),
            Found::PeerBackup(sealed) => recalled_frame(&sealed.unwrap_or_default()),
            Found::Ends(ends) => resolved_frame(&ends),
            Found::Nothing => return,
        };
        if is_current {
            self.context.outputs.push(Output::Send(key, connection, frame));
        }
    }
}
