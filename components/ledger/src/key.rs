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

impl AccountKey {
    /// The key of one of the two sides.
    pub(crate) fn of(&self, side: Side) -> PublicKey {
        match side {
            Side::Local => self.local,
            Side::Remote => self.remote,
        }
    }

    /// Which of the two sides has this key.
    pub(crate) fn side_of(&self, key: PublicKey) -> Option<Side> {
        Side::BOTH.into_iter().find(|side| self.of(*side) == key)
    }
}

/// Whose log something stands in, seen from the account's owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Local,
    Remote,
}

impl Side {
    pub(crate) const BOTH: [Side; 2] = [Side::Local, Side::Remote];

    pub(crate) fn other(self) -> Side {
        match self {
            Side::Local => Side::Remote,
            Side::Remote => Side::Local,
        }
    }
}
