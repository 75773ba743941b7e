//! What several scripts do.

use crate::World;
use crate::keys::Dice;
use offst_crypto::PublicKey;
use offst_proto::Amount;
use offst_proto::payment::NO_PROOF;
use offst_proto::statement::Request;
use offst_proto::{PaymentId, RequestId};

/// A request for a spontaneous payment. `path`: where it goes from the node that receives it.
pub(super) fn request(dice: &mut Dice, path: Vec<PublicKey>, amount: u128, fees_left: u128) -> Request {
    Request {
        id: RequestId::random(dice),
        payment_id: PaymentId::random(dice),
        invoice_id: None,
        amount: Amount::capped(amount),
        total: Amount::capped(amount),
        fees_left: Amount::capped(fees_left),
        patience_ms: 20_000,
        path,
        proof: NO_PROOF,
        clearing: false,
    }
}

/// Lets the world go on until it is so.
///
/// # Panics
/// When it does not come about within some steps.
pub(super) fn step_until(world: &mut World, is_there: impl Fn(&World) -> bool) {
    for _ in 0..10_000 {
        if is_there(world) {
            return;
        }
        assert!(world.step(), "what is waited for does not come about");
    }
    panic!("what is waited for does not come about");
}
