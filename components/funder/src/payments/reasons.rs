//! Why a payment did not go on, as a sentence that its owner understands: nodes by the names that they have given them.

use crate::accounts::Accounts;
use crate::context::Context;
use crate::payments::Payments;
use crate::payments::record::{Cycle, Payment, REASON_BYTES_MAX};
use offst_crypto::PublicKey;
use offst_proto::Amount;
use offst_proto::index::Hop;
use offst_proto::payment::CancelReason;

/// Why our own account to a friend did not carry `amount`.
fn own_refusal_message(name: &str, amount: Amount, reason: CancelReason) -> String {
    match reason {
        CancelReason::NoCapacity { left } => no_room("your", name, left, amount),
        CancelReason::Closed => format!("{name} takes no payments from you now"),
        CancelReason::Offline => format!("{name} is offline"),
        CancelReason::Timeout => format!("{name} did not answer in time"),
        CancelReason::UnknownFriend => "the route begins with a node that is no friend of yours".into(),
        CancelReason::Overdue => format!("{name} held the payment for too long, and it was released"),
        CancelReason::AccountStopped => format!("your account with {name} was stopped or reset"),
        reason => reason.to_string(),
    }
}

fn no_room(whose: &str, to: &str, left: Amount, amount: Amount) -> String {
    // Who says that it has room for what it refuses is not to be quoted.
    if left < amount {
        format!("{whose} account with {to} has only {left} left")
    } else {
        format!("{whose} account with {to} had no room for {amount}")
    }
}

/// The last hop of a path.
pub(crate) fn last_hop(local: PublicKey, path: &[PublicKey]) -> Hop {
    let to = path[path.len() - 1];
    let from = if path.len() >= 2 { path[path.len() - 2] } else { local };
    Hop { from, to }
}

/// The hop that `node` would not use. A node that is not on the path is somebody's invention: then the first hop is
/// avoided, because the friend there passed it on.
pub(crate) fn refusing_hop(local: PublicKey, path: &[PublicKey], node: PublicKey, reason: CancelReason) -> Hop {
    let first = Hop { from: local, to: path[0] };
    // A path around a cycle ends at this node too: what came back is refused for other reasons than what did not
    // leave.
    let came_back = matches!(
        reason,
        CancelReason::Loop | CancelReason::NoCapacity { .. } | CancelReason::Fee | CancelReason::Amount
    );
    if node == local && !came_back {
        return first;
    }
    match path.iter().position(|other| *other == node) {
        Some(index) if index + 1 < path.len() => Hop { from: node, to: path[index + 1] },
        Some(_) => last_hop(local, path),
        None => first,
    }
}

/// Cuts a sentence to what is stored.
pub(crate) fn bounded(mut text: String) -> String {
    let mut end = text.len().min(REASON_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

/// Why there is no route, when the index servers only say that there is none.
pub(crate) fn no_route(payment: &Payment) -> &'static str {
    match payment.cycle {
        None => "no route with enough room for this amount was found, or the destination is offline",
        Some(Cycle::Rebalance(_)) => {
            "no cycle with enough room for this amount was found that leaves by this friend and comes back by another"
        }
        Some(Cycle::Clearing) => "the debt cycle has no room any more",
    }
}

impl Payments {
    /// Why `hop` did not carry `amount`.
    pub(crate) fn refusal_message(
        &self,
        payment: &Payment,
        hop: Hop,
        amount: Amount,
        reason: CancelReason,
        accounts: &Accounts,
        context: &Context<'_>,
    ) -> String {
        let to = accounts.node_name(payment, &hop.to);
        if hop.from == context.local {
            return own_refusal_message(&to, amount, reason);
        }
        let from = accounts.node_name(payment, &hop.from);
        match reason {
            CancelReason::NoCapacity { left } => no_room(&format!("{from}'s"), &to, left, amount),
            CancelReason::Closed => format!("{from}'s account with {to} is closed for payments"),
            CancelReason::Offline => format!("{to} is offline, {from} says"),
            CancelReason::Timeout => format!("{from} got no answer from {to} in time"),
            CancelReason::Busy => format!("{from} is too busy to carry on more to {to}"),
            CancelReason::UnknownFriend => format!("{from} is no friend of {to}"),
            CancelReason::Overdue => format!("{to} held the payment for too long, and {from} has released it"),
            CancelReason::AccountStopped => format!("the account between {from} and {to} was stopped or reset"),
            reason => reason.to_string(),
        }
    }

    /// What a committed payment waits for.
    pub(crate) fn waiting_message(&self, payment: &Payment, accounts: &Accounts) -> String {
        let waiting = payment.parts.values().filter(|part| part.preimage.is_none());
        let mut names: Vec<_> = waiting.map(|part| accounts.node_name(payment, &part.path[0])).collect();
        names.sort();
        names.dedup();
        let names = if names.is_empty() { "a friend on the path".into() } else { names.join(", ") };
        format!("no answer has come back through {names} yet; nothing is lost and nobody must pay again")
    }
}
