//! What the checkers remember of an application.

use offst_crypto::PublicKey;
use offst_proto::Currency;
use offst_proto::budget::Budgets;
use std::collections::BTreeMap;

/// What an application has spent of one currency since the clock of its node shows the period that it shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Count {
    /// When the period ends, unix ms.
    pub(super) period_end: u64,
    /// Credits.
    pub(super) spent: u128,
}

/// A node's application and what it may spend.
#[derive(Debug, Clone)]
pub(super) struct Purse {
    pub(super) app: PublicKey,
    pub(super) budgets: Budgets,
    pub(super) counts: BTreeMap<Currency, Count>,
}
