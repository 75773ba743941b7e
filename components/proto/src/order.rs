//! What an application orders.

use crate::invoice::Invoice;
use crate::limits::NAME_BYTES_MAX;
use crate::ticket::FriendTicket;
use crate::{Currency, PaymentId, Verified};
use offst_crypto::PublicKey;

/// Whether the owner can give this name to a friend, a relay or an index server.
///
/// # Errors
/// A sentence that says what a name is.
pub fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(format!("a name has 1 to {NAME_BYTES_MAX} bytes and no control characters"));
    }
    Ok(())
}

/// A payment to make.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// Chosen by the application ([`PaymentId::random`]) and kept until it knows how the payment ended: the same id pays once,
    /// however often it is ordered.
    pub payment_id: PaymentId,
    /// What is paid.
    pub purpose: Purpose,
    /// The most that mediators may take, credits; none: what the node pays by default ([`crate::fee_bound`]).
    pub max_fee: Option<u128>,
    /// How long to look for a way, ms; at most an hour.
    pub timeout_ms: u64,
}

/// What a payment is for.
#[derive(Debug, Clone, PartialEq)]
pub enum Purpose {
    /// An invoice.
    Invoice(Verified<Invoice>),
    /// Credit that moves around a cycle of friends: it leaves by one friend and comes back by another.
    Rebalance {
        /// By whom it leaves, by the owner's name: this friend owes us less afterwards, or we owe it more.
        friend: String,
        /// The currency.
        currency: Currency,
        /// Credits that come back.
        amount: u128,
    },
    /// A gift.
    Spontaneous {
        /// Who gets it.
        destination: Destination,
        /// The currency.
        currency: Currency,
        /// Credits.
        amount: u128,
    },
}

/// Who a gift goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A node.
    Key(PublicKey),
    /// A friend, by the owner's name.
    Friend(String),
}

/// An invoice to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewInvoice {
    /// Credits asked for.
    pub amount: u128,
    /// The currency.
    pub currency: Currency,
    /// What it is for, at most [`crate::limits::DESCRIPTION_BYTES_MAX`] bytes on one line.
    pub description: String,
    /// How long it can be paid, ms; none: until it is cancelled.
    pub expiry_ms: Option<u64>,
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
    pub max_debt: u128,
    /// Whether we take its requests from the start.
    pub open: bool,
}
