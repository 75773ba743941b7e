//! What a node tells its owner: the answers of the application interface.

use crate::friend_statement::FriendStatement;
use crate::limits::AMOUNT_MAX;
use crate::route::{PartPlan, Way};
use crate::ticket::{Address, ServerTicket};
use crate::{Currency, InvoiceId, PaymentId, Rate, RequestId};
use offst_crypto::PublicKey;

/// One friend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FriendReport {
    /// The owner's name for the friend.
    pub name: String,
    /// The friend's key.
    pub public_key: PublicKey,
    /// Whether the owner uses this friend.
    pub enabled: bool,
    /// Whether a connection is up.
    pub online: bool,
    /// Whether that goes without a relay.
    pub direct: bool,
    /// The relays the friend listens at.
    pub relays: Vec<ServerTicket>,
    /// Where the friend is called without a relay.
    pub address: Option<Address>,
    /// One line for each currency, in the order of their names.
    pub lines: Vec<LineReport>,
}

/// What proves to others how the accounts with a friend stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FriendStatementReport {
    /// What the file holds.
    pub statement: FriendStatement,
    /// All that the friend has signed is more than a file holds: it ends with an earlier statement of the friend's.
    pub is_shortened: bool,
}

/// One account with a friend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineReport {
    /// The currency.
    pub currency: Currency,
    /// Whether both sides agree.
    pub status: LineStatus,
    /// What the friend owes us, credits.
    pub balance: i128,
    /// What the friend lets us owe, credits.
    pub local_max_debt: u128,
    /// What we let the friend owe, credits.
    pub remote_max_debt: u128,
    /// Credits that our requests have frozen.
    pub local_pending_debt: u128,
    /// Credits that the friend's requests have frozen.
    pub remote_pending_debt: u128,
    /// Whether we take the friend's requests.
    pub local_open: bool,
    /// Whether the friend takes ours.
    pub remote_open: bool,
    /// What we take for forwarding requests that come from this friend.
    pub rate: Rate,
    /// Requests that the friend has held for too long after they were committed.
    pub overdue: Vec<OverdueReport>,
    /// The most that the friend may still collect of what is written off without asking the owner, credits; none: nothing is.
    pub auto_write_off: Option<u128>,
}

/// A committed request that a friend neither collects nor cancels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverdueReport {
    /// The request.
    pub request_id: RequestId,
    /// Credits that it freezes.
    pub amount: u128,
    /// Whoever it came from has the credits back: we pay for it if the friend collects it.
    pub written_off: bool,
}

/// Committed requests that a friend holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// How many.
    pub count: u32,
    /// What the friend could collect from us for them, credits.
    pub amount: u128,
}

impl Held {
    /// One more of `amount` credits.
    pub fn add(&mut self, amount: u128) {
        self.count += 1;
        self.amount += amount;
    }
}

/// What came of writing off what a friend holds for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WriteOffReport {
    /// Released by this order: whoever they came from has the credits back.
    pub released: Held,
    /// Of others, held for too long, and not released.
    pub waiting: Held,
    /// Of our own, held for too long. They are never released by an order.
    pub own: Held,
    /// All that was ever released and that the friend may still collect.
    pub at_risk: Held,
}

/// Whether the two sides of an account agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineStatus {
    /// They do.
    Consistent,
    /// The friend has not shown its terms yet.
    Waiting,
    /// They do not: the owner settles it with `reset-friend`, or the friend does.
    Inconsistent {
        /// The balance we propose, from our side.
        local_balance: i128,
        /// The balance the friend proposes, turned to our side; none when it has not shown any.
        remote_balance: Option<i128>,
        /// What happened.
        reason: String,
    },
}

/// A relay or an index server that the owner has configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerReport {
    /// The owner's name for it.
    pub name: String,
    /// Its key and address.
    pub ticket: ServerTicket,
    /// How the connection stands, in a few words for people.
    pub state: ServerState,
}

/// How a connection to a relay or an index server stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerState {
    /// It is up.
    Connected,
    /// It is not up; why, as far as known.
    Disconnected {
        /// A sentence.
        reason: String,
    },
    /// Another node with our key has taken our place at this relay; we do not go there again.
    Displaced,
}

/// How far a payment has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PaymentStatus {
    /// The seller was paid.
    Paid,
    /// Nothing was moved, and nothing will be.
    Failed,
    /// Under way. After the commit it can take long when a mediator is away, but nobody must pay again.
    Pending,
}

/// What a payment is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PaymentKind {
    /// Somebody else is paid.
    Payment,
    /// Credit moves around a cycle, back to this node.
    Rebalance,
    /// The same around a ring in which everybody owes the next: all debts become smaller.
    Clearing,
}

/// What paying would cost now. Nothing is paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuoteReport {
    /// The currency.
    pub currency: Currency,
    /// What the destination would get, credits.
    pub amount: u128,
    /// Ways to pay, cheapest first, at least one.
    pub ways: Vec<Way>,
    /// The most fees that an order without a bound of its own pays, credits. The ways may cost more.
    pub max_fee_default: u128,
}

/// What came of looking for a ring of debts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClearingReport {
    /// Whether the node clears rings on its own, and lets others clear theirs through it.
    pub auto_clear: bool,
    /// The ring as one part that comes back to this node; none was found.
    pub ring: Option<PartPlan>,
    /// How clearing it went; none when it was only looked for.
    pub payment: Option<PaymentReport>,
}

/// A payment that this node makes or made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentReport {
    /// The payment.
    pub payment_id: PaymentId,
    /// How far it has come.
    pub status: PaymentStatus,
    /// What it is for.
    pub kind: PaymentKind,
    /// Who is paid.
    pub destination: PublicKey,
    /// For which invoice.
    pub invoice_id: Option<InvoiceId>,
    /// The currency.
    pub currency: Currency,
    /// What the destination gets, credits.
    pub amount: u128,
    /// What the mediators get, credits.
    pub fees: u128,
    /// How many parts carry it.
    pub parts: u32,
    /// Why it failed, or what it waits for; empty when it was paid.
    pub reason: String,
    /// When it was ordered, unix ms.
    pub created_ms: u64,
    /// How long it took, ms; for one that is pending: until now.
    pub duration_ms: u64,
    /// The receipt's file, for a payment that was paid.
    pub receipt: Option<String>,
    /// The application that has ordered it; none: the node itself, or not known.
    pub app: Option<PublicKey>,
}

/// An invoice of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvoiceReport {
    /// The invoice.
    pub invoice_id: InvoiceId,
    /// How it stands.
    pub status: InvoiceStatus,
    /// The currency.
    pub currency: Currency,
    /// What it asks for, credits.
    pub amount: u128,
    /// What it is for.
    pub description: String,
    /// When it was made, unix ms.
    pub created_ms: u64,
    /// When it stops being payable, unix ms.
    pub expires_ms: Option<u64>,
}

/// How an invoice stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum InvoiceStatus {
    /// It can be paid.
    Open,
    /// It was paid.
    Paid,
    /// Its owner took it back.
    Cancelled,
    /// Its time is over.
    Expired,
}

/// A payment that this node carried on for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardReport {
    /// The request.
    pub request_id: RequestId,
    /// The friend it came from, and who has paid for it. None: it had been written off when it was collected, so nobody has paid,
    /// and the amount is lost.
    pub from: Option<PublicKey>,
    /// The friend it went to.
    pub to: PublicKey,
    /// The currency.
    pub currency: Currency,
    /// What was sent on, credits.
    pub amount: u128,
    /// What we earned, credits.
    pub fee: u128,
    /// When it was collected, unix ms.
    pub time_ms: u64,
}

/// A part of a payment to this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedReport {
    /// The request.
    pub request_id: RequestId,
    /// The friend it came from.
    pub from: PublicKey,
    /// The payment; not known when it was collected after the node had lost its database.
    pub payment_id: Option<PaymentId>,
    /// The invoice that it paid; none for a gift.
    pub invoice_id: Option<InvoiceId>,
    /// The currency.
    pub currency: Currency,
    /// What we got, credits.
    pub amount: u128,
    /// When it was collected, unix ms.
    pub time_ms: u64,
}

/// How friends reach this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactReport {
    /// The node's key.
    pub public_key: PublicKey,
    /// Its relays.
    pub relays: Vec<ServerTicket>,
    /// Where it can be called without a relay.
    pub address: Option<Address>,
}

/// Something that happened, for applications that watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A friend's connection, line or balance changed.
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
        /// Credits that it freezes.
        amount: u128,
    },
    /// A friend has collected what was written off without asking the owner: nothing more is, on none of its accounts.
    AutoWriteOffEnded {
        /// The friend's name.
        name: String,
        /// The currency.
        currency: Currency,
        /// Credits that are lost.
        amount: u128,
    },
}

/// One page of a history, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// Give this to get the next page; none on the last one.
    pub next: Option<u64>,
}

/// Most entries of one page.
pub const PAGE_MAX: usize = 200;

/// Parses an amount of credits that a person wrote.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn parse_amount(text: &str) -> Result<u128, String> {
    let too_large = || "the amount is above the largest one possible, 2^96".to_owned();
    let amount: u128 = text.parse().map_err(|error: std::num::ParseIntError| match error.kind() {
        std::num::IntErrorKind::PosOverflow => too_large(),
        _ => format!("\"{}\" is not a whole number of credits, 0 or more", text.chars().take(50).collect::<String>()),
    })?;
    if amount > AMOUNT_MAX { Err(too_large()) } else { Ok(amount) }
}
