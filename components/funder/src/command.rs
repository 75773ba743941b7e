//! What applications ask of a node, and what they get back.

use offst_crypto::PublicKey;
use offst_proto::Amount;
use offst_proto::budget::BudgetReport;
use offst_proto::invoice::Invoice;
use offst_proto::key_replacement::KeyReplacement;
use offst_proto::order::{NewFriend, Order};
use offst_proto::report::{
    ClearingReport, ContactReport, FriendReport, InvoiceStatus, PaymentReport, QuoteReport, ServerReport,
    WriteOffReport,
};
use offst_proto::ticket::{FriendTicket, ServerTicket};
use offst_proto::{Currency, InvoiceId, PaymentId, Rate, Verified};

/// Most commands that wait for one invoice, or for one payment: callers that have gone must not pile up.
pub(crate) const WAITERS_MAX: usize = 64;
/// What the oldest of too many waiting commands is told.
pub(crate) const TOO_MANY_WAIT: &str = "too many others wait for the same: ask again";

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
    /// Closes, drains and removes a friend. `force`: do not wait for pending requests. `forgive`: although the balance
    /// is not 0; otherwise the friend stays, disabled, when what is pending leaves one.
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
    SetFriendMaxDebt(String, Currency, Amount),
    /// What is taken for forwarding requests that come from a friend.
    SetFriendRate(String, Currency, Rate),
    /// Where a friend is reached.
    SetFriendContact(String, FriendTicket),
    /// Accepts a friend's terms.
    ResetFriend(String, Currency),
    /// A friend has lost its key: its accounts go on with that of the ticket.
    ReplaceFriendKey(String, FriendTicket),
    /// Gives those back their credits whose committed requests a friend has held for too long, although it may still
    /// collect them from us.
    WriteOff {
        /// The friend.
        name: String,
        /// The currency.
        currency: Currency,
        /// The most that the friend may then collect of all that was ever written off, credits.
        up_to: Amount,
    },
    /// Does the same without asking from now on, with what the friend holds for too long, until it collects something
    /// of it: friend, currency, the most that it may then collect of what was written off so, credits; 0: not any more.
    SetAutoWriteOff(String, Currency, Amount),
    /// Makes an invoice.
    CreateInvoice {
        /// Credits asked for.
        amount: Amount,
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
    /// Payments that have ended are in the history only: the caller looks there first.
    Pay(Box<Order>),
    /// The same for an application, which spends no more than its budget allows.
    PayFor(PublicKey, Box<Order>),
    /// What paying would cost now. Pays nothing.
    Quote(Box<Order>),
    /// Looks for a debt cycle. `perform`: clears it, even when the owner has not allowed that for good.
    Clear {
        /// The currency.
        currency: Currency,
        /// Clear what is found.
        perform: bool,
    },
    /// Clears debt cycles on its own from now on, and lets others clear them through this node; or not.
    SetAutoClear(bool),
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
    /// The keys that friends have lost, and what took their place.
    KeyReplacements,
    /// What an application may spend.
    Budgets(PublicKey),
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
    /// What paying would cost.
    Quote(Box<QuoteReport>),
    /// What came of looking for a debt cycle.
    Clearing(Box<ClearingReport>),
    /// What was written off, and what still waits.
    WrittenOff(WriteOffReport),
    /// No open payment or invoice has this id; history may know it.
    Unknown,
    /// All friends in the order of their names.
    Friends(Vec<FriendReport>),
    /// Relays or index servers in the order of their names; the node fills in how the connections stand.
    Servers(Vec<ServerReport>),
    /// How friends reach us.
    Contact(ContactReport),
    /// What this node has agreed to when friends lost their keys, oldest first.
    KeyReplacements(Vec<Verified<KeyReplacement>>),
    /// How the budgets of an application stand; none: it spends without a limit.
    Budgets(Option<Vec<BudgetReport>>),
}
