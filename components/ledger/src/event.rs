//! What an accepted statement of the friend's means for the node.

use offst_crypto::{Preimage, PublicKey};
use offst_proto::RequestId;
use offst_proto::payment::CancelReason;
use offst_proto::statement::{Answer, Request};

/// What an accepted statement of the friend's means for the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The friend asks us to forward a request, or to receive it. `refusal`: it must be cancelled for this reason.
    Requested {
        /// What is asked.
        request: Box<Request>,
        /// Why this account cannot take it.
        refusal: Option<CancelReason>,
    },
    /// The destination answered a request of ours.
    Responded(Answer),
    /// The friend promises to pay for a preimage.
    Committed(RequestId),
    /// The friend gave a request up; it has still to be cancelled.
    Aborted(RequestId),
    /// The friend took the pending credits.
    Collected {
        /// The request.
        id: RequestId,
        /// What opened the lock.
        preimage: Preimage,
    },
    /// The friend released the pending credits.
    Cancelled {
        /// The request.
        id: RequestId,
        /// Why.
        reason: CancelReason,
        /// Which node refused, as far as the friend says.
        hop: PublicKey,
    },
    /// The friend's limit for us or its openness changed.
    LimitChanged,
    /// An epoch began.
    EpochBegan {
        /// Requests of ours that it left out: their credits are free again.
        released: Vec<RequestId>,
        /// Requests of the friend's that it left out: they will not be paid.
        dropped: Vec<RequestId>,
        /// Our own state was suspect before: requests that continue and that nobody here knows may well be ours, or forwarded.
        recovered: bool,
    },
}
