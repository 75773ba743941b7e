//! How an account is named.

use offst_crypto::PublicKey;
use offst_proto::Currency;

/// Names an account from our side.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccountKey {
    /// Us.
    pub local: PublicKey,
    /// The friend.
    pub remote: PublicKey,
    /// The currency.
    pub currency: Currency,
}
