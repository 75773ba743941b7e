//! Reading. Every application that the node trusts may.

use crate::connect::App;
use crate::error::AppError;
use offst_crypto::Ed25519Verifier;
use offst_proto::app::{
    read_budget, read_contact, read_event, read_forward, read_friend, read_friend_statement, read_invoice,
    read_payment, read_received, read_server, read_text,
};
use offst_proto::budget::BudgetReport;
use offst_proto::encoding::DecodeError;
use offst_proto::key_replacement::KeyReplacement;
use offst_proto::report::{
    ContactReport, Event, ForwardReport, FriendReport, FriendStatementReport, InvoiceReport, Page, PaymentReport,
    ReceivedReport, ServerReport,
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
            let events = answer.get_events()?.iter().filter_map(|event| read_event(event).transpose());
            let news = News { events: events.collect::<Result<_, _>>()?, lost: answer.get_lost() };
            // The node answers now and then although nothing has happened.
            if news.lost || !news.events.is_empty() {
                return Ok(news);
            }
        }
    }
}

/// A page of a history, from its entries and the cursor behind it.
fn page<T>(
    items: impl Iterator<Item = Result<T, DecodeError>>,
    next: capnp::Result<capnp::text::Reader<'_>>,
) -> Result<Page<T>, AppError> {
    let next = read_text(next)?;
    let next = match next.as_str() {
        "" => None,
        next => Some(next.parse().map_err(|_| DecodeError::invalid("a cursor"))?),
    };
    Ok(Page { items: items.collect::<Result<_, _>>()?, next })
}

/// Asks for a page: a method's request, its answer's list, and how an entry is read.
macro_rules! page {
    ($app:ident, $request:ident, $list:ident, $read:ident, $cursor:ident, $limit:ident) => {{
        let mut request = $app.reports_client().$request();
        if let Some(cursor) = $cursor {
            request.get().set_cursor(cursor.to_string());
        }
        request.get().set_limit(u32::try_from($limit).unwrap_or(u32::MAX));
        let response = request.send().promise.await?;
        let answer = response.get()?;
        page(answer.$list()?.iter().map($read), answer.get_next())
    }};
}

impl App {
    /// All friends in the order of their names.
    ///
    /// # Errors
    /// The connection is lost, as for all of these.
    pub async fn friends(&self) -> Result<Vec<FriendReport>, AppError> {
        let response = self.reports_client().friends_request().send().promise.await?;
        Ok(response.get()?.get_friends()?.iter().map(read_friend).collect::<Result<_, _>>()?)
    }

    /// The configured relays.
    ///
    /// # Errors
    /// See [`App::friends`].
    pub async fn relays(&self) -> Result<Vec<ServerReport>, AppError> {
        let response = self.reports_client().relays_request().send().promise.await?;
        Ok(response.get()?.get_servers()?.iter().map(read_server).collect::<Result<_, _>>()?)
    }

    /// The configured index servers.
    ///
    /// # Errors
    /// See [`App::friends`].
    pub async fn index_servers(&self) -> Result<Vec<ServerReport>, AppError> {
        let response = self.reports_client().index_servers_request().send().promise.await?;
        Ok(response.get()?.get_servers()?.iter().map(read_server).collect::<Result<_, _>>()?)
    }

    /// What the node's friends need to add it.
    ///
    /// # Errors
    /// See [`App::friends`].
    pub async fn contact(&self) -> Result<ContactReport, AppError> {
        let response = self.reports_client().contact_request().send().promise.await?;
        Ok(read_contact(response.get()?.get_contact()?)?)
    }

    /// What the node has signed when friends lost their keys, oldest first.
    ///
    /// # Errors
    /// See [`App::friends`]; [`AppError`] also when a record does not bear the node's signature.
    pub async fn key_replacements(&self) -> Result<Vec<Verified<KeyReplacement>>, AppError> {
        let response = self.reports_client().key_replacements_request().send().promise.await?;
        let mut replacements = Vec::new();
        for record in response.get()?.get_records()?.iter() {
            let record = Unverified::<KeyReplacement>::from_wire(record?)?;
            let is_ours = record.peek().author == self.node();
            let record = record.verify(&Ed25519Verifier).ok().filter(|_| is_ours);
            replacements.push(record.ok_or(DecodeError::invalid("the signature of a key's replacement"))?);
        }
        Ok(replacements)
    }

    /// What this application may spend, if it may pay: none, or a list of budgets outside of which it may spend nothing.
    ///
    /// # Errors
    /// See [`App::friends`].
    pub async fn budgets(&self) -> Result<Option<Vec<BudgetReport>>, AppError> {
        let response = self.reports_client().budgets_request().send().promise.await?;
        let answer = response.get()?;
        let budgets = answer.get_budgets()?.iter().map(read_budget).collect::<Result<_, _>>()?;
        Ok(answer.get_limited().then_some(budgets))
    }

    /// What proves to others how the accounts with a friend stand: all of them, or the one in `currency`. It is as the node gives
    /// it: whoever wants to know what it proves checks it.
    ///
    /// # Errors
    /// See [`App::friends`]; [`AppError::Refused`].
    pub async fn friend_statement(
        &self,
        name: &str,
        currency: Option<&Currency>,
    ) -> Result<FriendStatementReport, AppError> {
        let mut request = self.reports_client().friend_statement_request();
        request.get().set_name(name);
        request.get().set_currency(currency.map_or("", Currency::as_str));
        let response = request.send().promise.await?;
        match response.get()?.get_result()?.which()? {
            wire::friend_statement_result::Statement(statement) => Ok(read_friend_statement(statement?)?),
            wire::friend_statement_result::Refused(sentence) => Err(AppError::Refused(read_text(sentence)?)),
        }
    }

    /// Payments of this node, under way or ended, newest first, without receipts. `limit` is at most
    /// [`offst_proto::report::PAGE_MAX`]; `cursor` is [`Page::next`] of the page before.
    ///
    /// # Errors
    /// See [`App::friends`].
    pub async fn payments(&self, cursor: Option<u64>, limit: usize) -> Result<Page<PaymentReport>, AppError> {
        page!(self, payments_request, get_payments, read_payment, cursor, limit)
    }

    /// What the node carried on for others, newest first; see [`App::payments`].
    ///
    /// # Errors
    /// See [`App::friends`].
    pub async fn forwards(&self, cursor: Option<u64>, limit: usize) -> Result<Page<ForwardReport>, AppError> {
        page!(self, forwards_request, get_forwards, read_forward, cursor, limit)
    }

    /// Invoices of this node, open or not, newest first; see [`App::payments`].
    ///
    /// # Errors
    /// See [`App::friends`].
    pub async fn invoices(&self, cursor: Option<u64>, limit: usize) -> Result<Page<InvoiceReport>, AppError> {
        page!(self, invoices_request, get_invoices, read_invoice, cursor, limit)
    }

    /// Parts of payments to this node that it has collected, newest first; see [`App::payments`].
    ///
    /// # Errors
    /// See [`App::friends`].
    pub async fn received(&self, cursor: Option<u64>, limit: usize) -> Result<Page<ReceivedReport>, AppError> {
        page!(self, received_request, get_received, read_received, cursor, limit)
    }

    /// One payment with its receipt.
    ///
    /// # Errors
    /// [`AppError::Unknown`]; see [`App::friends`].
    pub async fn payment(&self, payment_id: PaymentId) -> Result<PaymentReport, AppError> {
        let mut request = self.reports_client().payment_request();
        request.get().set_payment_id(payment_id.as_bytes());
        let response = request.send().promise.await?;
        read_payment_result(response.get()?.get_result()?)
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

/// The payment, or why there is none.
pub(crate) fn read_payment_result(result: wire::payment_result::Reader<'_>) -> Result<PaymentReport, AppError> {
    match result.which()? {
        wire::payment_result::Payment(payment) => Ok(read_payment(payment?)?),
        wire::payment_result::Unknown(()) => Err(AppError::Unknown("payment")),
        wire::payment_result::Refused(sentence) => Err(AppError::Refused(read_text(sentence)?)),
    }
}
