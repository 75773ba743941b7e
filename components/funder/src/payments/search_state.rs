//! What is known only while this process runs: how far the search for a payment's route has come, and what else the
//! index servers are asked.

use crate::command::CommandId;
use crate::payments::record::{Cycle, Payment};
use offst_crypto::PublicKey;
use offst_proto::Amount;
use offst_proto::Currency;
use offst_proto::index::Hop;
use offst_proto::payment::CancelReason;
use offst_proto::route::PartPlan;
use std::collections::BTreeMap;

/// What is known of a payment only while this process runs.
#[derive(Debug, Default)]
pub(crate) struct Search {
    /// Commands that wait for the end.
    pub(super) waiters: Vec<CommandId>,
    /// The debt cycle that is cleared.
    pub(super) debt_cycle: Option<PartPlan>,
    /// Why it was refused last.
    pub(super) refusal: Option<CancelReason>,
    /// Hops that have refused this payment, and what each carries at most, credits.
    pub(super) excluded: BTreeMap<Hop, Amount>,
    /// Hops of which other payments have told were left out when the index servers were asked last.
    pub(super) avoided_others: bool,
    /// Which of them are left out.
    pub(super) avoids: Avoids,
    /// An answer of the index servers is awaited.
    pub(super) asking: bool,
    /// A hop has refused since the index servers were asked last.
    pub(super) has_learned: bool,
    /// How often no route was left although some had been tried.
    pub(super) rounds: u32,
    /// Ways are not looked for (any more).
    pub(super) is_over: bool,
}

/// Which of the hops are left out that did not carry other payments lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Avoids {
    /// Those that refused, and those that said nothing.
    #[default]
    All,
    /// There is no route without those that refused.
    Silent,
    /// Nor one without those that said nothing.
    Nothing,
}

impl Avoids {
    /// When there is no route without these.
    pub(crate) fn fewer(self) -> Self {
        match self {
            Avoids::All => Avoids::Silent,
            Avoids::Silent | Avoids::Nothing => Avoids::Nothing,
        }
    }
}

impl Search {
    /// For a payment that the last run has committed.
    pub(crate) fn taken_up(payment: &Payment) -> Self {
        Search { is_over: payment.cycle == Some(Cycle::Clearing), ..Search::default() }
    }

    /// For a debt cycle, which has one route only.
    pub(crate) fn of_debt_cycle(command: Option<CommandId>, debt_cycle: PartPlan) -> Self {
        Search {
            waiters: command.into_iter().collect(),
            debt_cycle: Some(debt_cycle),
            is_over: true,
            ..Search::default()
        }
    }
}

/// A question to the index servers that belongs to no payment.
#[derive(Debug)]
pub(crate) enum Question {
    /// What this payment would cost, without hops that did not carry others lately.
    Quote(CommandId, Box<Payment>, Avoids),
    /// Where a debt cycle is.
    DebtCycle(DebtCycle),
}

/// Looking for a cycle.
#[derive(Debug)]
pub(crate) struct DebtCycle {
    pub(super) currency: Currency,
    /// The owner waits for the answer; none when we look on our own.
    pub(super) command: Option<CommandId>,
    /// Clear what is found.
    pub(super) performs: bool,
    /// Friends to ask about after this.
    pub(super) friends: Vec<PublicKey>,
}
