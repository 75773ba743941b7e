//! What applications ask of a node, and what they get back.

use offst_crypto::PublicKey;
use offst_proto::invoice::Invoice;
use offst_proto::report::{ContactReport, FriendReport, InvoiceReport, InvoiceStatus, PaymentReport, ServerReport};
use offst_proto::ticket::{FriendTicket, ServerTicket};
use offst_proto::{Currency, InvoiceId, PaymentId, Rate, Verified};

/// Names a command, so that its reply finds the caller.
pub type CommandId = u64;

/// What an application asks for. Names are the owner's names for friends and servers.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Listen at one more relay.
    AddRelay(String, ServerTicket),
    /// Listen there no more.
    RemoveRelay(String),
    /// Use one more index server.
    AddIndex(String, ServerTicket),
    /// Use it no more.
    RemoveIndex(String),
    /// Opens an account with a new friend, or one in a further currency with a known one.
    AddFriend(Box<NewFriend>),
    /// Closes, drains and removes a friend. `force`: do not wait for pending requests. `forgive`: although the balance is not 0.
    RemoveFriend {
        /// The friend.
        name: String,
        /// Do not wait for pending requests.
        force: bool,
        /// Although the balance is not 0.
        forgive: bool,
    },
    /// Gives a friend another name: from, to.
    RenameFriend(String, String),
    /// Uses a friend again.
    EnableFriend(String),
    /// Closes, drains and stops using a friend.
    DisableFriend {
        /// The friend.
        name: String,
        /// Do not wait for pending requests.
        force: bool,
    },
    /// Takes a friend's requests, or not.
    SetFriendOpen(String, Currency, bool),
    /// What a friend may owe, credits.
    SetFriendMaxDebt(String, Currency, u128),
    /// What is taken for forwarding requests that come from a friend.
    SetFriendRate(String, Currency, Rate),
    /// Where a friend is reached.
    SetFriendContact(String, FriendTicket),
    /// Accepts a friend's terms.
    ResetFriend(String, Currency),
    /// Makes an invoice.
    CreateInvoice {
        /// Credits asked for.
        amount: u128,
        /// The currency.
        currency: Currency,
        /// What it is for.
        description: String,
        /// How long it is payable, ms; none: until it is cancelled.
        expiry_ms: Option<u64>,
    },
    /// Takes an invoice back.
    CancelInvoice(InvoiceId),
    /// Answers when the invoice is paid, cancelled or expired.
    WaitInvoice(InvoiceId),
    /// Pays. Answers when the payment has ended or its time is over; asking again under the same id pays once.
    Pay(Box<Order>),
    /// Gives a payment up that is not committed.
    CancelPayment(PaymentId),
    /// How a payment stands that has not ended.
    PaymentStatus(PaymentId),
    /// All friends.
    Friends,
    /// The configured relays.
    Relays,
    /// The configured index servers.
    IndexServers,
    /// How friends reach us.
    Contact,
    /// The payments that have not ended.
    OpenPayments,
    /// The invoices that can be paid.
    OpenInvoices,
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

/// A payment to make.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// Chosen by the application: the same id pays once, however often it is asked for.
    pub payment_id: PaymentId,
    /// What is paid.
    pub purpose: Purpose,
    /// The most that mediators may take, credits; none: whatever the cheapest way costs.
    pub max_fee: Option<u128>,
    /// How long to look for a way, ms.
    pub timeout_ms: u64,
}

/// What a payment is for.
#[derive(Debug, Clone, PartialEq)]
pub enum Purpose {
    /// An invoice.
    Invoice(Verified<Invoice>),
    /// A gift to a public key or to a friend.
    Spontaneous {
        /// Who gets it.
        destination: Destination,
        /// The currency.
        currency: Currency,
        /// Credits.
        amount: u128,
    },
}

/// Who a spontaneous payment goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A node.
    Key(PublicKey),
    /// A friend, by the owner's name.
    Friend(String),
}

/// What came of a command. Visible only after everything the command changed is durable.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// Done.
    Done,
    /// Not done: a sentence that says why and what to do.
    Refused(String),
    /// The new invoice.
    Invoice(Verified<Invoice>),
    /// How an invoice stands.
    InvoiceStatus(InvoiceStatus),
    /// How a payment stands.
    Payment(Box<PaymentReport>),
    /// No open payment or invoice has this id; history may know it.
    Unknown,
    /// All friends in the order of their names.
    Friends(Vec<FriendReport>),
    /// Relays or index servers in the order of their names; the node fills in how the connections stand.
    Servers(Vec<ServerReport>),
    /// How friends reach us.
    Contact(ContactReport),
    /// Payments that have not ended.
    Payments(Vec<PaymentReport>),
    /// Invoices that can be paid.
    Invoices(Vec<InvoiceReport>),
}
