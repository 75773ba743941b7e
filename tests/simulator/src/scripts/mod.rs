//! Scripted worlds: what hardly ever comes about by chance, step by step. Each says what must hold, as the checkers of a drawn
//! world do.

mod clearing;
mod fork;
mod relinking;
mod selling;

use crate::World;
use crate::keys::Dice;
use offst_crypto::PublicKey;
use offst_proto::payment::NO_PROOF;
use offst_proto::statement::Request;
use offst_proto::{PaymentId, RequestId};

/// A scripted world.
#[derive(Debug, Clone, Copy)]
pub struct Script {
    /// How it is called.
    pub name: &'static str,
    act: fn(),
}

/// All of them.
pub const SCRIPTS: &[Script] = &[
    Script { name: "another-currency", act: selling::another_currency },
    Script { name: "many-parts", act: selling::many_parts },
    Script { name: "sent-back", act: selling::sent_back },
    Script { name: "overdue-again", act: selling::overdue_again },
    Script { name: "clearing-pending", act: clearing::what_is_pending_counts },
    Script { name: "clearing-home", act: clearing::a_ring_comes_home_where_something_is_owed },
    Script { name: "relinked-by-lock", act: relinking::by_lock },
    Script { name: "relinked-by-amount", act: relinking::by_amount },
    Script { name: "own-fork", act: fork::a_fork_of_our_own },
];

impl Script {
    /// Lives it.
    ///
    /// # Errors
    /// A sentence that says what did not hold.
    pub fn live(&self) -> Result<(), String> {
        std::panic::catch_unwind(self.act).map_err(crate::seed::sentence)
    }
}

/// A request for a gift. `route`: where it goes from whoever hears it.
fn request(dice: &mut Dice, route: Vec<PublicKey>, amount: u128, fees_left: u128) -> Request {
    Request {
        id: RequestId::random(dice),
        payment_id: PaymentId::random(dice),
        invoice_id: None,
        amount,
        total: amount,
        fees_left,
        patience_ms: 20_000,
        route,
        proof: NO_PROOF,
        clearing: false,
    }
}

/// # Panics
/// When it does not come about within some steps.
fn step_until(world: &mut World, is_there: impl Fn(&World) -> bool) {
    for _ in 0..10_000 {
        if is_there(world) {
            return;
        }
        assert!(world.step(), "what is waited for does not come about");
    }
    panic!("what is waited for does not come about");
}
