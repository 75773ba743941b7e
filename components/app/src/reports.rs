//! Reading. Every application that the node trusts may.

use crate::buyer::read_payment;
use crate::connect::App;
use crate::error::AppError;
use offst_crypto::Ed25519Verifier;
use offst_proto::app::{Field, Message, MessageError, Refusal, read_list};
use offst_proto::budget::BudgetsReport;
use offst_proto::encoding::DecodeError;
use offst_proto::key_replacement::KeyReplacement;
use offst_proto::report::{
    ContactReport, Event, ForwardReport, FriendReport, FriendStatementQuery, FriendStatementReport, InvoiceReport,
    Listed, Page, PageQuery, PaymentReport, ReceivedReport, ServerReport, SignedReplacements,
};
use offst_proto::wire::app_capnp as wire;
use offst_proto::{Currency, PaymentId, Unverified, Verified};

/// What happened since the last time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// In order. Events that only newer versions know are left out.
    pub events: Vec<Event>,
    /// More happened than the node keeps for an application that does not ask: read the reports again.
    pub lost: bool,
}

/// Tells what happens at the node.
pub struct Subscription(wire::subscription::Client);

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Subscription")
    }
}

impl Subscription {
    /// Waits until something has happened. Do not drop the future before it ends: what the node has told by then is lost.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn next(&self) -> Result<News, AppError> {
        loop {
            let response = self.0.next_request().send().promise.await?;
            let answer = response.get()?;
            let events = answer.get_events()?.iter().filter_map(|event| Event::read_known(event).transpose());
            let news = News { events: events.collect::<Result<_, _>>()?, lost: answer.get_lost() };
            // The node answers now and then although nothing has happened.
            if news.lost || !news.events.is_empty() {
                return Ok(news);
            }
        }
    }
}

/// Asks for a page of a list of reports.
macro_rules! page {
    ($app:ident, $request:ident, $report:ident, $cursor:ident, $limit:ident) => {{
        let mut request = $app.reports_client().$request();
        $report::write_query(PageQuery { cursor: $cursor, limit: $limit }, request.get());
        let response = request.send().promise.await?;
        Ok($report::read_page(response.get()?)?)
    }};
}

impl App {
    /// All friends in the order of their names.
    ///
    /// # Errors
    /// The connection is lost, as for all of these.
    pub async fn friends(&self) -> Result<Vec<FriendReport>, AppError> {
        let response = self.reports_client().friends_request().send().promise.await?;
        Ok(read_list(response.get()?.get_friends()?)?)
    }

    /// The configured relays.
    ///
    /// # Errors
    /// See [`App::friends`].
    pub async fn relays(&self) -> Result<Vec<ServerReport>, AppError> {
        let response = self.reports_client().relays_request().send().promise.await?;
        Ok(read_list(response.get()?.get_servers()?)?)
    }

    /// The configured index servers.
    ///
    /// # Errors
    /// See [`App::friends`].
    pub async fn index_servers(&self) -> Result<Vec<ServerReport>, AppError> {
        let response = self.reports_client().index_servers_request().send().promise.await?;
        Ok(read_list(response.get()?.get_servers()?)?)
    }

    /// What the node's friends need to add it.
    ///
    /// # Errors
    /// See [`App::friends`].
    pub async fn contact(&self) -> Result<ContactReport, AppError> {
        let response = self.reports_client().contact_request().send().promise.await?;
        Ok(ContactReport::read(response.get()?.get_contact()?)?)
    }

    /// What the node has signed when friends lost their keys, oldest first.
    ///
    /// # Errors
    /// See [`App::friends`]; [`AppError`] also when a record does not bear the node's signature.
    pub async fn key_replacements(&self) -> Result<Vec<Verified<KeyReplacement>>, AppError> {
        let response = self.reports_client().key_replacements_request().send().promise.await?;
        let replacements = SignedReplacements::read(response.get()?)?.records.into_iter().map(|record| {
            let record = Unverified::<KeyReplacement>::from_wire(&record).map_err(MessageError::from)?;
            let is_ours = record.peek().author == self.node();
            let record = record.verify(&Ed25519Verifier).ok().filter(|_| is_ours);
            Ok(record.ok_or(MessageError::Decode(DecodeError::invalid("the signature of a key's replacement")))?)
        });
        replacements.collect()
    }

    /// What this application may spend, if it may pay.
    ///
    /// # Errors
    /// See [`App::friends`].
    pub async fn budgets(&self) -> Result<BudgetsReport, AppError> {
        let response = self.reports_client().budgets_request().send().promise.await?;
        Ok(BudgetsReport::read(response.get()?)?)
    }

    /// What proves to others how the accounts with a friend stand: all of them, or the one in `currency`. It is as the node gives
    /// it: check it to know what it proves.
    ///
    /// # Errors
    /// See [`App::friends`]; [`AppError::Refused`].
    pub async fn friend_statement(
        &self,
        name: &str,
        currency: Option<&Currency>,
    ) -> Result<FriendStatementReport, AppError> {
        let mut request = self.reports_client().friend_statement_request();
        FriendStatementQuery { name: name.to_owned(), currency: currency.cloned() }.write(request.get());
        let response = request.send().promise.await?;
        Ok(Result::<FriendStatementReport, Refusal>::read(response.get()?.get_result()?)??)
    }

    /// Payments of this node, in flight or ended, newest first, without receipts. `limit` is at most
    /// [`offst_proto::report::PAGE_MAX`]; `cursor` is [`Page::next`] of the page before.
    ///
    /// # Errors
    /// See [`App::friends`].
    pub async fn payments(&self, cursor: Option<u64>, limit: usize) -> Result<Page<PaymentReport>, AppError> {
        page!(self, payments_request, PaymentReport, cursor, limit)
    }

    /// What the node forwarded for others, newest first; see [`App::payments`].
    ///
    /// # Errors
    /// See [`App::friends`].
    pub async fn forwards(&self, cursor: Option<u64>, limit: usize) -> Result<Page<ForwardReport>, AppError> {
        page!(self, forwards_request, ForwardReport, cursor, limit)
    }

    /// Invoices of this node, open or not, newest first; see [`App::payments`].
    ///
    /// # Errors
    /// See [`App::friends`].
    pub async fn invoices(&self, cursor: Option<u64>, limit: usize) -> Result<Page<InvoiceReport>, AppError> {
        page!(self, invoices_request, InvoiceReport, cursor, limit)
    }

    /// Parts of payments to this node that it has collected, newest first; see [`App::payments`].
    ///
    /// # Errors
    /// See [`App::friends`].
    pub async fn received(&self, cursor: Option<u64>, limit: usize) -> Result<Page<ReceivedReport>, AppError> {
        page!(self, received_request, ReceivedReport, cursor, limit)
    }

    /// One payment with its receipt.
    ///
    /// # Errors
    /// [`AppError::Unknown`]; see [`App::friends`].
    pub async fn payment(&self, payment_id: PaymentId) -> Result<PaymentReport, AppError> {
        let mut request = self.reports_client().payment_request();
        request.get().set_payment_id(payment_id.to_wire());
        let response = request.send().promise.await?;
        read_payment(response.get()?.get_result()?)
    }

    /// Subscribe first, then read the reports: what happens after that is told by [`Subscription::next`].
    ///
    /// # Errors
    /// The application has too many subscriptions; see [`App::friends`].
    pub async fn subscribe(&self) -> Result<Subscription, AppError> {
        let response = self.reports_client().subscribe_request().send().promise.await?;
        Ok(Subscription(response.get()?.get_subscription()?))
    }
}
