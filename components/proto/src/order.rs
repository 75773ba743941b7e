//! What an application orders.

use crate::amount::Amount;
use crate::app::codec::codec;
use crate::app::field::{As, Field, Name};
use crate::app::message::{Message, MessageError};
use crate::encoding::DecodeError;
use crate::invoice::{EXPIRES_MS_MAX, Invoice};
use crate::limits::PATIENCE_MS_MAX;
use crate::ticket::FriendTicket;
use crate::wire::app_capnp as wire;
use crate::{Currency, PaymentId, Verified};
use offst_crypto::{Ed25519Verifier, PublicKey};

/// A payment to make.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// Chosen by the application ([`PaymentId::random`]) and kept until it knows how the payment ended: the same id pays once,
    /// however often it is ordered.
    pub payment_id: PaymentId,
    /// What is paid.
    pub purpose: Purpose,
    /// The most that mediators may take, credits; none: what the node pays by default ([`crate::fee_bound`]).
    pub max_fee: Option<Amount>,
    /// How long to look for a route, ms; at most an hour.
    pub timeout_ms: u64,
}

impl Message for Order {
    type Wire = wire::order::Owned;

    fn write(&self, mut builder: wire::order::Builder<'_>) {
        builder.set_payment_id(self.payment_id.to_wire());
        builder.set_max_fee(self.max_fee.to_wire());
        builder.set_timeout_ms(self.timeout_ms);
        self.purpose.write(builder.init_purpose());
    }

    fn read(reader: wire::order::Reader<'_>) -> Result<Self, MessageError> {
        Ok(Order {
            purpose: Purpose::read(reader.get_purpose())?,
            payment_id: Field::from_wire(reader.get_payment_id())?,
            max_fee: Field::from_wire(reader.get_max_fee())?,
            timeout_ms: reader.get_timeout_ms().min(PATIENCE_MS_MAX),
        })
    }
}

/// What a payment is for.
#[derive(Debug, Clone, PartialEq)]
pub enum Purpose {
    /// An invoice.
    Invoice(Verified<Invoice>),
    /// Credit that moves around a cycle of friends: it leaves by one friend and comes back by another.
    Rebalance {
        /// The friend by which it leaves, by the owner's name: it owes us less afterwards, or we owe it more.
        friend: String,
        /// The currency.
        currency: Currency,
        /// Credits that come back.
        amount: Amount,
    },
    /// A spontaneous payment, which pays no invoice.
    Spontaneous {
        /// Who gets it.
        destination: Destination,
        /// The currency.
        currency: Currency,
        /// Credits.
        amount: Amount,
    },
}

impl Message for Purpose {
    type Wire = wire::order::purpose::Owned;

    fn write(&self, mut builder: wire::order::purpose::Builder<'_>) {
        match self {
            Purpose::Invoice(invoice) => builder.set_invoice(invoice.to_text()),
            Purpose::Rebalance { friend, currency, amount } => {
                let mut rebalance = builder.init_rebalance();
                rebalance.set_friend(Name::write(friend));
                rebalance.set_currency(currency.to_wire());
                rebalance.set_amount(amount.to_wire());
            }
            Purpose::Spontaneous { destination, currency, amount } => {
                let mut spontaneous = builder.init_spontaneous();
                spontaneous.set_currency(currency.to_wire());
                spontaneous.set_amount(amount.to_wire());
                destination.write(spontaneous.init_destination());
            }
        }
    }

    fn read(reader: wire::order::purpose::Reader<'_>) -> Result<Self, MessageError> {
        let unknown =
            |_| MessageError::Argument("the node does not know this kind of payment: it may be too old".into());
        Ok(match reader.which().map_err(unknown)? {
            wire::order::purpose::Invoice(text) => {
                let invoice = Invoice::parse_file_or_text(&String::from_wire(text)?, &Ed25519Verifier);
                Purpose::Invoice(invoice.map_err(|error| MessageError::Argument(error.to_string()))?)
            }
            wire::order::purpose::Spontaneous(spontaneous) => {
                let spontaneous = spontaneous?;
                Purpose::Spontaneous {
                    destination: Destination::read(spontaneous.get_destination())?,
                    currency: Field::from_wire(spontaneous.get_currency())?,
                    amount: Field::from_wire(spontaneous.get_amount())?,
                }
            }
            wire::order::purpose::Rebalance(rebalance) => {
                let rebalance = rebalance?;
                Purpose::Rebalance {
                    friend: Name::read(rebalance.get_friend())?,
                    currency: Field::from_wire(rebalance.get_currency())?,
                    amount: Field::from_wire(rebalance.get_amount())?,
                }
            }
        })
    }
}

/// Who a spontaneous payment goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A node.
    Key(PublicKey),
    /// A friend, by the owner's name.
    Friend(String),
}

impl Message for Destination {
    type Wire = wire::spontaneous_payment::destination::Owned;

    fn write(&self, mut builder: wire::spontaneous_payment::destination::Builder<'_>) {
        match self {
            Destination::Key(public_key) => builder.set_public_key(public_key.to_wire()),
            Destination::Friend(name) => builder.set_friend(Name::write(name)),
        }
    }

    fn read(reader: wire::spontaneous_payment::destination::Reader<'_>) -> Result<Self, MessageError> {
        let unknown =
            |_| MessageError::Argument("the node does not know this kind of destination: it may be too old".into());
        Ok(match reader.which().map_err(unknown)? {
            wire::spontaneous_payment::destination::PublicKey(key) => Destination::Key(Field::from_wire(key)?),
            wire::spontaneous_payment::destination::Friend(name) => Destination::Friend(Name::read(name)?),
        })
    }
}

/// Looks for a debt cycle, in which each node owes the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClearOrder {
    /// The currency.
    pub currency: Currency,
    /// Clears it, although `set-auto-clear` is off.
    pub perform: bool,
}

codec! {
    ClearOrder as buyer::clear_params {
        fields {
            currency: get_currency, set_currency;
            perform: get_perform, set_perform;
        }
    }
}

/// An invoice to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewInvoice {
    /// Credits asked for.
    pub amount: Amount,
    /// The currency.
    pub currency: Currency,
    /// What it is for, at most [`crate::limits::DESCRIPTION_BYTES_MAX`] bytes on one line.
    pub description: String,
    /// How long it can be paid, ms; none: until it is cancelled.
    pub expiry_ms: Option<u64>,
}

impl Message for NewInvoice {
    type Wire = wire::seller::create_invoice_params::Owned;

    fn write(&self, mut builder: wire::seller::create_invoice_params::Builder<'_>) {
        builder.set_amount(self.amount.to_wire());
        builder.set_currency(self.currency.to_wire());
        builder.set_description(self.description.to_wire());
        builder.set_expiry_ms(self.expiry_ms.to_wire());
    }

    fn read(reader: wire::seller::create_invoice_params::Reader<'_>) -> Result<Self, MessageError> {
        let expiry_ms = Option::<u64>::from_wire(reader.get_expiry_ms())?;
        if expiry_ms.is_some_and(|expiry_ms| expiry_ms > EXPIRES_MS_MAX) {
            return Err(DecodeError::too_large("an invoice's expiry").into());
        }
        Ok(NewInvoice {
            amount: Field::from_wire(reader.get_amount())?,
            currency: Field::from_wire(reader.get_currency())?,
            description: Field::from_wire(reader.get_description())?,
            expiry_ms,
        })
    }
}

/// A friend to add. Both ends must add each other, with opposite balances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFriend {
    /// The owner's name for the friend.
    pub name: String,
    /// Key and relays.
    pub ticket: FriendTicket,
    /// What the friend owes us at the start, credits.
    pub balance: i128,
    /// The currency.
    pub currency: Currency,
    /// What the friend may owe us, credits.
    pub max_debt: Amount,
    /// Whether we accept its requests from the start.
    pub open: bool,
}

codec! {
    NewFriend as new_friend {
        fields {
            name as Name: get_name, set_name;
            balance: get_balance, set_balance;
            currency: get_currency, set_currency;
            max_debt: get_max_debt, set_max_debt;
            open: get_open, set_open;
        }
        structs { ticket: get_ticket, init_ticket; }
    }
}
