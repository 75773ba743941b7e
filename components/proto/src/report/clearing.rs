//! Debt cycles.

use super::payment::PaymentReport;
use crate::app::codec::codec;
use crate::route::PartPlan;

/// What came of looking for a debt cycle, in which each node owes the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClearingReport {
    /// Whether the node clears debt cycles without being asked, and lets others clear theirs through it.
    pub auto_clear: bool,
    /// The cycle as one part that comes back to this node; none: none was found.
    pub cycle: Option<PartPlan>,
    /// How clearing it went; none: the cycle is only shown.
    pub payment: Option<PaymentReport>,
}

codec! {
    ClearingReport as clearing {
        fields {
            auto_clear: get_auto_clear, set_auto_clear;
        }
        options {
            cycle: has_cycle, get_cycle, init_cycle;
            payment: has_payment, get_payment, init_payment;
        }
    }
}
