//! What the server needs of the node behind it.

use futures::future::BoxFuture;
use offst_crypto::PublicKey;
use offst_funder::{Command, Reply};
use offst_proto::report::{
    Event, ForwardReport, FriendStatementReport, InvoiceReport, Page, PaymentReport, ReceivedReport,
};
use offst_proto::{Currency, InvoiceId, PaymentId};
use tokio::sync::broadcast;

/// The node as its applications see it. The one that asks is named, so that the node can let applications take turns: what one asks
/// for delays no other. Futures may be dropped before they end: the command is carried out all the same.
pub trait Backend: Send + Sync + 'static {
    /// Carries out a command. The reply comes when everything that the command changed is durable.
    ///
    /// In [`Reply::Servers`] the node has filled in how the connections stand.
    fn command(&self, app: PublicKey, command: Command) -> BoxFuture<'static, Result<Reply, BackendGone>>;

    /// One page of what is open and what has ended, newest first. The kind of page is the kind that was asked for.
    fn history(&self, app: PublicKey, query: HistoryQuery) -> BoxFuture<'static, Result<HistoryPage, BackendGone>>;

    /// One payment with its receipt, open or ended.
    fn payment(
        &self,
        app: PublicKey,
        payment_id: PaymentId,
    ) -> BoxFuture<'static, Result<Option<PaymentReport>, BackendGone>>;

    /// One invoice, open or ended.
    fn invoice(
        &self,
        app: PublicKey,
        invoice_id: InvoiceId,
    ) -> BoxFuture<'static, Result<Option<InvoiceReport>, BackendGone>>;

    /// What proves to others how the accounts with the friend of this name stand: all, or the one in `currency`. The error
    /// is a message for people.
    fn friend_statement(
        &self,
        app: PublicKey,
        name: String,
        currency: Option<Currency>,
    ) -> BoxFuture<'static, Result<Result<FriendStatementReport, String>, BackendGone>>;

    /// What happens from now on. The channel keeps a bounded number of events for a receiver that does not read.
    fn events(&self) -> broadcast::Receiver<Event>;
}

/// The node is stopping: the command may or may not have been carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the node is stopping: ask again when it runs")]
pub struct BackendGone;

/// Which history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryKind {
    /// Payments of this node.
    Payments,
    /// What it forwarded for others.
    Forwards,
    /// Its invoices.
    Invoices,
    /// What it was paid, part by part.
    Received,
}

/// Asks for a page of history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Which one.
    pub kind: HistoryKind,
    /// [`Page::next`] of the page before; none for the first one.
    pub cursor: Option<u64>,
    /// Most entries, 1 to [`offst_proto::report::PAGE_MAX`].
    pub limit: usize,
}

/// A page of history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HistoryPage {
    /// Of [`HistoryKind::Payments`].
    Payments(Page<PaymentReport>),
    /// Of [`HistoryKind::Forwards`].
    Forwards(Page<ForwardReport>),
    /// Of [`HistoryKind::Invoices`].
    Invoices(Page<InvoiceReport>),
    /// Of [`HistoryKind::Received`].
    Received(Page<ReceivedReport>),
}
