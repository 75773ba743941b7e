//! Whose request one of our outgoing requests is.
use offst_crypto::PublicKey;
use offst_proto::PaymentId;

/// Whose request one of our outgoing requests is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It came from this friend.
    Forward(PublicKey),
    /// It is a part of a payment of ours.
    Payment(PaymentId),
}
