//! What a running node holds beside its accounts, in the form of the rows that a restart would load: for checks from outside.

use crate::machine::{Funder, FunderImage};
use crate::records::{Forward, Payment};

impl Funder {
    /// All rows but those of the accounts, which [`Funder::accounts`] gives as they are. Payments that no row was written for yet
    /// are left out; a payment that looks for ways may hold parts that its row does not name, since they bind nobody.
    pub fn rows(&self) -> FunderImage {
        let state = &self.0;
        // When a request came is a time of this process.
        let stored = |forward: &Forward| Forward {
            arrived_ms: 0,
            responded_ms: None,
            counted_ms: 0,
            weight: 0,
            ..forward.clone()
        };
        FunderImage {
            friends: state.friends.iter().map(|(key, friend)| (*key, friend.record.clone())).collect(),
            accounts: vec![],
            tombstones: state.tombstones.iter().map(|(line, epoch)| (line.clone(), *epoch)).collect(),
            replacements: state.replacements.values().cloned().collect(),
            relays: state.relays.clone().into_iter().collect(),
            index_servers: state.index_servers.clone().into_iter().collect(),
            forwards: state.forwards.iter().map(|(key, forward)| (key.clone(), stored(forward))).collect(),
            written_off: state.written_off.clone().into_iter().collect(),
            arrivals: state.arrivals.clone().into_iter().collect(),
            invoices: state.invoices.values().cloned().collect(),
            payments: state.payments.values().filter(|payment| Payment::is_stored(payment)).cloned().collect(),
            spendings: state.spendings.clone(),
            auto_clear: state.auto_clear,
            recovery: state.recovery.as_ref().map(|recovery| recovery.record.clone()),
        }
    }
}
