//! What happens at a node, for applications that watch.

use super::history::InvoiceStatus;
use super::payment::PaymentStatus;
use crate::amount::Amount;
use crate::app::field::Field;
use crate::app::message::{Message, MessageError};
use crate::encoding::DecodeError;
use crate::wire::app_capnp as wire;
use crate::{Currency, InvoiceId, PaymentId, RequestId};
use serde::Serialize;

/// Something that happened; the reports say how things stand now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A friend's connection, account or balance changed.
    FriendChanged {
        /// The friend's name.
        name: String,
    },
    /// A payment of ours ended or was committed.
    PaymentChanged {
        /// The payment.
        payment_id: PaymentId,
        /// How far it has come.
        status: PaymentStatus,
    },
    /// An invoice was paid, cancelled or expired.
    InvoiceChanged {
        /// The invoice.
        invoice_id: InvoiceId,
        /// How it stands.
        status: InvoiceStatus,
    },
    /// A friend has held a committed request for too long.
    Overdue {
        /// The friend's name.
        name: String,
        /// The request.
        request_id: RequestId,
        /// Credits that are in flight in it.
        amount: Amount,
    },
    /// A friend has collected what was written off without asking the owner: nothing more is, on none of its accounts.
    #[serde(rename = "auto-write-off-ended")]
    AutoWriteOffEnded {
        /// The friend's name.
        name: String,
        /// The currency.
        currency: Currency,
        /// Credits that are lost.
        amount: Amount,
    },
}

impl Event {
    /// Reads an event; none when only newer versions know its kind.
    ///
    /// # Errors
    /// A field is not valid.
    pub fn read_known(reader: wire::event::Reader<'_>) -> Result<Option<Self>, MessageError> {
        let Ok(kind) = reader.which() else { return Ok(None) };
        Ok(Some(match kind {
            wire::event::FriendChanged(name) => Event::FriendChanged { name: Field::from_wire(name)? },
            wire::event::PaymentChanged(change) => {
                let change = change?;
                Event::PaymentChanged {
                    payment_id: Field::from_wire(change.get_payment_id())?,
                    status: Field::from_wire(change.get_status())?,
                }
            }
            wire::event::InvoiceChanged(change) => {
                let change = change?;
                Event::InvoiceChanged {
                    invoice_id: Field::from_wire(change.get_invoice_id())?,
                    status: Field::from_wire(change.get_status())?,
                }
            }
            wire::event::Overdue(overdue) => {
                let overdue = overdue?;
                Event::Overdue {
                    name: Field::from_wire(overdue.get_name())?,
                    request_id: Field::from_wire(overdue.get_request_id())?,
                    amount: Field::from_wire(overdue.get_amount())?,
                }
            }
            wire::event::AutoWriteOffEnded(ended) => {
                let ended = ended?;
                Event::AutoWriteOffEnded {
                    name: Field::from_wire(ended.get_name())?,
                    currency: Field::from_wire(ended.get_currency())?,
                    amount: Field::from_wire(ended.get_amount())?,
                }
            }
        }))
    }
}

impl Message for Event {
    type Wire = wire::event::Owned;

    fn write(&self, mut builder: wire::event::Builder<'_>) {
        match self {
            Event::FriendChanged { name } => builder.set_friend_changed(name.to_wire()),
            Event::PaymentChanged { payment_id, status } => {
                let mut change = builder.init_payment_changed();
                change.set_payment_id(payment_id.to_wire());
                change.set_status(status.to_wire());
            }
            Event::InvoiceChanged { invoice_id, status } => {
                let mut change = builder.init_invoice_changed();
                change.set_invoice_id(invoice_id.to_wire());
                change.set_status(status.to_wire());
            }
            Event::Overdue { name, request_id, amount } => {
                let mut overdue = builder.init_overdue();
                overdue.set_name(name.to_wire());
                overdue.set_request_id(request_id.to_wire());
                overdue.set_amount(amount.to_wire());
            }
            Event::AutoWriteOffEnded { name, currency, amount } => {
                let mut ended = builder.init_auto_write_off_ended();
                ended.set_name(name.to_wire());
                ended.set_currency(currency.to_wire());
                ended.set_amount(amount.to_wire());
            }
        }
    }

    fn read(reader: wire::event::Reader<'_>) -> Result<Self, MessageError> {
        Event::read_known(reader)?.ok_or(DecodeError::invalid("the kind of event").into())
    }
}
