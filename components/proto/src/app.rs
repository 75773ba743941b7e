//! The values of the application interface (`capnp/app.capnp`) and their Rust types: what the client library and the node's
//! server both need. `write_*` fills a builder, `read_*` takes a reader apart and checks every field.

mod budget;
mod friend;
mod quote;
mod record;
mod write_off;

pub use budget::{read_budget, write_budget};
pub use friend::{
    read_contact, read_friend, read_friend_statement, read_server, write_contact, write_friend, write_friend_statement,
    write_server,
};
pub use quote::{read_clearing, read_quote, write_clearing, write_quote};
pub use record::{
    invoice_status_from_wire, invoice_status_to_wire, read_event, read_forward, read_invoice, read_payment,
    read_received, write_event, write_forward, write_invoice, write_payment, write_received,
};
pub use write_off::{read_write_off, write_write_off};

use crate::encoding::DecodeError;
use crate::limits::{AMOUNT_MAX, RELAYS_MAX};
use crate::ticket::{Address, FriendTicket, ServerTicket};
use crate::wire::app_capnp as wire;
use crate::{Currency, InvoiceId, PaymentId, Rate, RequestId};
use offst_crypto::PublicKey;

/// Most bytes of one message in either direction that is not a list of reports.
pub const APP_MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// How deep a message may nest.
pub const APP_NESTING_MAX: i32 = 16;

type Text<'a> = capnp::Result<capnp::text::Reader<'a>>;
type Data<'a> = capnp::Result<capnp::data::Reader<'a>>;

/// A text.
///
/// # Errors
/// It is not UTF-8.
pub fn read_text(text: Text<'_>) -> Result<String, DecodeError> {
    Ok(text?.to_str()?.to_owned())
}

/// A decimal number of credits, at most [`AMOUNT_MAX`]. An empty text is none.
///
/// # Errors
/// It is something else.
pub fn read_amount_option(text: Text<'_>) -> Result<Option<u128>, DecodeError> {
    let text = text?;
    if text.is_empty() {
        return Ok(None);
    }
    let digits = text.to_str()?;
    // A sign is no part of an amount, though Rust would take a "+".
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(DecodeError::invalid("an amount"));
    }
    let amount: u128 = digits.parse().map_err(|_| DecodeError::invalid("an amount"))?;
    if amount > AMOUNT_MAX { Err(DecodeError::too_large("an amount")) } else { Ok(Some(amount)) }
}

/// A decimal number of credits, at most [`AMOUNT_MAX`].
///
/// # Errors
/// It is something else.
pub fn read_amount(text: Text<'_>) -> Result<u128, DecodeError> {
    read_amount_option(text)?.ok_or(DecodeError::invalid("an amount"))
}

/// A decimal number of credits that the protocol does not bound, such as a sum of amounts.
fn read_total(text: Text<'_>) -> Result<u128, DecodeError> {
    text?.to_str()?.parse().map_err(|_| DecodeError::invalid("an amount"))
}

/// A decimal balance of any size.
fn read_any_balance(text: Text<'_>) -> Result<i128, DecodeError> {
    text?.to_str()?.parse().map_err(|_| DecodeError::invalid("a balance"))
}

/// A decimal balance, at most [`AMOUNT_MAX`] on either side.
///
/// # Errors
/// It is something else.
pub fn read_balance(text: Text<'_>) -> Result<i128, DecodeError> {
    let balance = read_any_balance(text)?;
    if balance.unsigned_abs() > AMOUNT_MAX { Err(DecodeError::too_large("a balance")) } else { Ok(balance) }
}

/// The name of a currency. An empty text is the default one.
///
/// # Errors
/// It is something else.
pub fn read_currency(text: Text<'_>) -> Result<Currency, DecodeError> {
    let text = text?;
    if text.is_empty() {
        return Ok(Currency::default());
    }
    text.to_str()?.parse().map_err(|_| DecodeError::invalid("a currency"))
}

/// A public key.
///
/// # Errors
/// It is something else.
pub fn read_key(bytes: Data<'_>) -> Result<PublicKey, DecodeError> {
    PublicKey::from_slice(bytes?).map_err(|_| DecodeError::invalid("a public key"))
}

/// A payment's id.
///
/// # Errors
/// It has not 16 bytes.
pub fn read_payment_id(bytes: Data<'_>) -> Result<PaymentId, DecodeError> {
    PaymentId::from_slice(bytes?).ok_or(DecodeError::invalid("a payment's id"))
}

/// An invoice's id.
///
/// # Errors
/// It has not 16 bytes.
pub fn read_invoice_id(bytes: Data<'_>) -> Result<InvoiceId, DecodeError> {
    InvoiceId::from_slice(bytes?).ok_or(DecodeError::invalid("an invoice's id"))
}

fn read_request_id(bytes: Data<'_>) -> Result<RequestId, DecodeError> {
    RequestId::from_slice(bytes?).ok_or(DecodeError::invalid("a request's id"))
}

/// Fills in a rate.
pub fn write_rate(rate: &Rate, mut builder: wire::rate::Builder<'_>) {
    builder.set_mul(rate.mul);
    builder.set_add(rate.add.to_string());
}

/// Reads a rate.
///
/// # Errors
/// A field is not valid.
pub fn read_rate(reader: wire::rate::Reader<'_>) -> Result<Rate, DecodeError> {
    Ok(Rate { mul: reader.get_mul(), add: read_amount(reader.get_add())? })
}

/// Fills in a server's ticket.
pub fn write_server_ticket(ticket: &ServerTicket, mut builder: wire::server_ticket::Builder<'_>) {
    builder.set_public_key(ticket.public_key.as_bytes());
    builder.set_address(ticket.address.as_str());
}

/// Reads a server's ticket.
///
/// # Errors
/// A field is not valid.
pub fn read_server_ticket(reader: wire::server_ticket::Reader<'_>) -> Result<ServerTicket, DecodeError> {
    Ok(ServerTicket { public_key: read_key(reader.get_public_key())?, address: read_address(reader.get_address())? })
}

fn read_address(text: Text<'_>) -> Result<Address, DecodeError> {
    text?.to_str()?.parse().map_err(|_| DecodeError::invalid("an address"))
}

fn write_relays(relays: &[ServerTicket], mut list: capnp::struct_list::Builder<'_, wire::server_ticket::Owned>) {
    for (position, relay) in (0..).zip(relays) {
        write_server_ticket(relay, list.reborrow().get(position));
    }
}

fn read_relays(
    list: capnp::struct_list::Reader<'_, wire::server_ticket::Owned>,
) -> Result<Vec<ServerTicket>, DecodeError> {
    if list.len() as usize > RELAYS_MAX {
        return Err(DecodeError::too_large("the number of relays"));
    }
    list.iter().map(read_server_ticket).collect()
}

/// Fills in a friend's ticket.
pub fn write_friend_ticket(ticket: &FriendTicket, mut builder: wire::friend_ticket::Builder<'_>) {
    builder.set_public_key(ticket.public_key.as_bytes());
    write_relays(&ticket.relays, builder.reborrow().init_relays(length(&ticket.relays)));
    if let Some(address) = &ticket.address {
        builder.set_address(address.as_str());
    }
}

/// Reads a friend's ticket.
///
/// # Errors
/// A field is not valid, or it names too many relays.
pub fn read_friend_ticket(reader: wire::friend_ticket::Reader<'_>) -> Result<FriendTicket, DecodeError> {
    Ok(FriendTicket {
        public_key: read_key(reader.get_public_key())?,
        relays: read_relays(reader.get_relays()?)?,
        address: read_optional_address(reader.get_address())?,
    })
}

/// Empty: none.
fn read_optional_address(text: Text<'_>) -> Result<Option<Address>, DecodeError> {
    if text.clone()?.is_empty() { Ok(None) } else { read_address(text).map(Some) }
}

/// A list's length as the wire counts it.
fn length<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).expect("a node's lists are far below 2^32 entries")
}

#[cfg(test)]
mod tests;
