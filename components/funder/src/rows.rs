//! What a running node holds beside its accounts, as the rows that a restart would load: for checks from outside.

use crate::funder::Funder;
use offst_rows::{Row, Rows, Table};

impl Funder {
    /// All rows but those of the accounts, which [`Funder::accounts`] gives as they are. Payments that no row was written for yet
    /// are left out; a payment that looks for ways may hold parts that its row does not name, since they bind nobody.
    pub fn rows(&self) -> Rows {
        let state = &self.0;
        let mut rows = Rows::default();
        add(&mut rows, &state.accounts.friends);
        add(&mut rows, &state.accounts.tombstones);
        add(&mut rows, &state.accounts.replacements);
        add(&mut rows, &state.owner.relays);
        add(&mut rows, &state.owner.index_servers);
        add(&mut rows, &state.owner.settings);
        add(&mut rows, &state.forwarding.forwards);
        add(&mut rows, &state.forwarding.written_off);
        add(&mut rows, &state.receiving.arrivals);
        add(&mut rows, &state.receiving.invoices);
        add(&mut rows, &state.payments.payments);
        add(&mut rows, &state.payments.spendings);
        add(&mut rows, &state.recovery.mark);
        rows
    }
}

fn add<T: Row>(rows: &mut Rows, table: &Table<T>) {
    table.stored().for_each(|row| rows.apply(&row));
}
