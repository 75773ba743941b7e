//! Timers as data: what is due when. Nothing here reads a clock.

use crate::receiving::part_sets::PartSetKey;
use offst_crypto::PublicKey;
use offst_ledger::{AccountId, RequestRef};
use offst_proto::{InvoiceId, PaymentId};
use std::collections::{BTreeMap, BTreeSet};

/// What a timer ends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// Our patience with a request we carry on, named by its incoming side.
    Forward(RequestRef),
    /// The patience of a part of ours, named by its outgoing side.
    Part(RequestRef),
    /// The time for all parts of a payment to us to be committed.
    PartSet(PartSetKey),
    /// A committed request that the downstream friend holds, named by its outgoing side.
    Overdue(RequestRef),
    /// The time for a payment of ours.
    Payment(PaymentId),
    /// Asking for routes again.
    Retry(PaymentId),
    /// A friend has been gone for too long.
    Gone(PublicKey),
    /// An account falls idle.
    Idle(AccountId),
    /// A peer backup is due.
    Backup,
    /// What is asked in a recovery is asked again.
    Recovery,
    /// An invoice's time.
    Invoice(InvoiceId),
    /// Looking for a debt cycle.
    Clear,
}

/// All timers that run.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BTreeSet<(u64, Timer)>,
    deadlines: BTreeMap<Timer, u64>,
}

impl Timers {
    /// Starts a timer, or starts it again. `deadline`: uptime ms.
    pub(crate) fn set(&mut self, timer: Timer, deadline: u64) {
        self.clear(&timer);
        self.due.insert((deadline, timer.clone()));
        self.deadlines.insert(timer, deadline);
    }

    /// Starts a timer that does not run yet.
    pub(crate) fn set_if_none(&mut self, timer: Timer, deadline: u64) {
        if !self.deadlines.contains_key(&timer) {
            self.set(timer, deadline);
        }
    }

    pub(crate) fn clear(&mut self, timer: &Timer) {
        if let Some((timer, deadline)) = self.deadlines.remove_entry(timer) {
            self.due.remove(&(deadline, timer));
        }
    }

    /// The next deadline, uptime ms.
    pub(crate) fn next(&self) -> Option<u64> {
        self.due.first().map(|(deadline, _)| *deadline)
    }

    /// Takes out a timer that is due.
    pub(crate) fn pop_due(&mut self, uptime_ms: u64) -> Option<Timer> {
        if self.next()? > uptime_ms {
            return None;
        }
        let (_, timer) = self.due.pop_first()?;
        self.deadlines.remove(&timer);
        Some(timer)
    }
}
