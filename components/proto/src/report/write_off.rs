//! What was written off of what a friend holds.

use crate::app::codec::codec;
use serde::Serialize;

/// Committed requests that a friend holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Held {
    /// How many.
    #[serde(rename = "payments")]
    pub count: u32,
    /// What the friend could collect from us for them, credits.
    #[serde(serialize_with = "crate::json::text")]
    pub amount: u128,
}

impl Held {
    /// One more of `amount` credits.
    pub fn add(&mut self, amount: u128) {
        self.count += 1;
        self.amount += amount;
    }
}

codec! {
    Held as held {
        fields {
            count: get_count, set_count;
            amount: get_amount, set_amount;
        }
    }
}

/// What came of writing off what a friend holds for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct WriteOffReport {
    /// Released by this order: those who sent them have the credits back.
    #[serde(rename = "written_off")]
    pub released: Held,
    /// Of others, held for too long, and not released.
    pub waiting: Held,
    /// Of our own, held for too long. They are never released by an order.
    pub own: Held,
    /// All that was ever released and that the friend may still collect.
    pub at_risk: Held,
}

codec! {
    WriteOffReport as write_off {
        structs {
            released: get_released, init_released;
            waiting: get_waiting, init_waiting;
            own: get_own, init_own;
            at_risk: get_at_risk, init_at_risk;
        }
    }
}
