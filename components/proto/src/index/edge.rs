//! What a node says of its account with one friend.

use crate::amount::Amount;
use crate::currency::Currency;
use crate::encoding::{Canonical, DecodeError, Decoder, Encoder};
use crate::rate::Rate;
use offst_crypto::PublicKey;

/// What a node says of its account with one friend.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// The friend.
    pub friend: PublicKey,
    /// The account's currency.
    pub currency: Currency,
    /// What the node can send to the friend, credits.
    pub send_capacity: Amount,
    /// What the node can receive from the friend, credits.
    pub receive_capacity: Amount,
    /// What the node takes for requests that come *from* this friend.
    pub rate: Rate,
    /// What the node lets others clear on this account.
    pub clearable: Clearable,
}

/// What a node that allows clearing says of one account: by how much a payment in one direction makes the debt smaller. It
/// tells who owes, and up to a bound how much, so a node says it only when its owner has allowed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Clearable {
    /// Nothing, or nothing that is told.
    #[default]
    None,
    /// The friend owes: so many credits may be sent to it without a fee.
    Send(Amount),
    /// The node owes: so many credits may come from the friend without a fee.
    Receive(Amount),
}

impl Clearable {
    /// Credits that may be sent.
    pub fn send(self) -> Amount {
        if let Clearable::Send(amount) = self { amount } else { Amount::ZERO }
    }

    /// Credits that may be received.
    pub fn receive(self) -> Amount {
        if let Clearable::Receive(amount) = self { amount } else { Amount::ZERO }
    }
}

impl Canonical for Clearable {
    fn encode(&self, encoder: &mut Encoder) {
        match self {
            Clearable::None => encoder.u8(0),
            Clearable::Send(amount) => {
                encoder.u8(1);
                encoder.value(amount);
            }
            Clearable::Receive(amount) => {
                encoder.u8(2);
                encoder.value(amount);
            }
        }
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(match decoder.u8()? {
            0 => Clearable::None,
            1 => Clearable::Send(decoder.value()?),
            2 => Clearable::Receive(decoder.value()?),
            _ => return Err(DecodeError::invalid("what is clearable")),
        })
    }
}

impl Edge {
    /// Whether nothing can pass in either direction: how a node takes an edge back.
    pub fn is_closed(&self) -> bool {
        self.send_capacity == 0 && self.receive_capacity == 0
    }
}

impl Canonical for Edge {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.value(&self.friend);
        encoder.value(&self.currency);
        encoder.value(&self.send_capacity);
        encoder.value(&self.receive_capacity);
        encoder.value(&self.rate);
        encoder.value(&self.clearable);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Edge {
            friend: decoder.value()?,
            currency: decoder.value()?,
            send_capacity: decoder.value()?,
            receive_capacity: decoder.value()?,
            rate: decoder.value()?,
            clearable: decoder.value()?,
        })
    }
}
