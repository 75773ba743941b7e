//! What a running node holds beside its accounts, as the rows that a restart would load: for checks from outside.

use crate::funder::{Funder, State};
use offst_rows::{Row, RowChange, Rows, Table};

/// The rows of one kind, whichever.
trait AnyTable {
    fn stored_rows(&self) -> Box<dyn Iterator<Item = RowChange> + '_>;

    /// The name of the kind, when a newer version has written fields into its rows that this one does not know.
    fn newer(&self) -> Option<&'static str>;
}

impl<T: Row> AnyTable for Table<T> {
    fn stored_rows(&self) -> Box<dyn Iterator<Item = RowChange> + '_> {
        Box::new(self.stored())
    }

    fn newer(&self) -> Option<&'static str> {
        self.has_unknown_fields().then_some(T::KIND.name)
    }
}

impl State {
    fn tables(&self) -> Vec<&dyn AnyTable> {
        vec![
            self.accounts.friends(),
            self.accounts.tombstones(),
            self.accounts.replacements(),
            self.owner.relays(),
            self.owner.index_servers(),
            self.owner.settings(),
            self.forwarding.forwards(),
            self.forwarding.written_off(),
            self.receiving.inbound_parts(),
            self.receiving.invoices(),
            self.payments.all(),
            self.payments.spendings(),
            self.recovery.mark(),
        ]
    }

    /// The names of the kinds into whose rows a newer version has written fields that this one does not know.
    pub(crate) fn newer_kinds(&self) -> impl Iterator<Item = &'static str> {
        let accounts = self.accounts.friends().values().flat_map(|friend| friend.accounts.values());
        let of_accounts = accounts.flat_map(|account| account.newer_kinds()).map(|kind| kind.name);
        self.tables().into_iter().filter_map(AnyTable::newer).chain(of_accounts)
    }
}

impl Funder {
    /// All rows but those of the accounts, which [`Funder::accounts`] gives as they are. Payments that no row was
    /// written for yet are left out; a payment that looks for routes may hold parts that its row does not name, since
    /// they bind nobody.
    pub fn rows(&self) -> Rows {
        let mut rows = Rows::default();
        for row in self.0.tables().into_iter().flat_map(AnyTable::stored_rows) {
            rows.apply(&row);
        }
        rows
    }
}
