//! How an account is named.

use offst_crypto::PublicKey;
use offst_proto::encoding::{Canonical, DecodeError, Decoder, Encoder};
use offst_proto::{Currency, RequestId};
use offst_rows::RowKey;
use std::ops::RangeInclusive;

/// Names an account among those of a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccountId {
    /// The friend.
    pub friend: PublicKey,
    /// The currency.
    pub currency: Currency,
}

/// Names a request on one account. A payment that is carried on has one on each account of its path, all with the same id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestRef {
    /// The account.
    pub account: AccountId,
    /// The request.
    pub id: RequestId,
}

impl AccountId {
    /// The account with `friend` in `currency`.
    pub fn new(friend: PublicKey, currency: &Currency) -> Self {
        AccountId { friend, currency: currency.clone() }
    }

    /// A request on this account.
    pub fn request(&self, id: RequestId) -> RequestRef {
        RequestRef { account: self.clone(), id }
    }

    /// All requests on this account that a map may hold.
    pub fn requests(&self) -> RangeInclusive<RequestRef> {
        self.request(RequestId::from_bytes([0; 16]))..=self.request(RequestId::from_bytes([0xff; 16]))
    }
}

impl RequestRef {
    /// The same request on the account with another friend: it keeps its id and its currency from hop to hop.
    pub fn at(&self, friend: PublicKey) -> RequestRef {
        RequestRef { account: AccountId { friend, currency: self.account.currency.clone() }, id: self.id }
    }
}

/// The friend, then the currency: what follows in the key of a row of this account stands behind it.
impl RowKey for AccountId {
    fn write(&self, encoder: &mut Encoder) {
        encoder.value(&self.friend);
        encoder.value(&self.currency);
    }

    fn read(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(AccountId { friend: decoder.value()?, currency: decoder.value()? })
    }
}

impl RowKey for RequestRef {
    fn write(&self, encoder: &mut Encoder) {
        self.account.write(encoder);
        self.id.encode(encoder);
    }

    fn read(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(RequestRef { account: AccountId::read(decoder)?, id: decoder.value()? })
    }
}

/// Names an account from our side, as what is signed on it names it.
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
    /// Its name among the accounts of the node.
    pub fn id(&self) -> AccountId {
        AccountId { friend: self.remote, currency: self.currency.clone() }
    }

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
