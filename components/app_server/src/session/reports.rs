//! Reading.

use super::subscription::Subscription;
use super::{Context, gone, read_name, unexpected, wrong_argument};
use crate::backend::{HistoryKind, HistoryPage, HistoryQuery};
use capnp::Error;
use capnp::capability::Rc;
use offst_funder::{Command, Reply};
use offst_proto::app::{
    read_currency, read_payment_id, write_budget, write_contact, write_forward, write_friend, write_friend_statement,
    write_invoice, write_payment, write_received, write_server,
};
use offst_proto::report::{PAGE_MAX, PaymentReport, ServerReport};
use offst_proto::wire::app_capnp::{self as wire, reports};

pub(super) struct Reports {
    pub(super) context: Rc<Context>,
}

/// What a page begins at.
fn read_query(
    kind: HistoryKind,
    cursor: capnp::Result<capnp::text::Reader<'_>>,
    limit: u32,
) -> Result<HistoryQuery, Error> {
    let cursor = cursor?.to_str()?;
    let cursor = if cursor.is_empty() {
        None
    } else {
        Some(cursor.parse().map_err(|_| wrong_argument("the cursor is not one that the page before gave"))?)
    };
    let limit = if limit == 0 { PAGE_MAX } else { PAGE_MAX.min(limit as usize) };
    Ok(HistoryQuery { kind, cursor, limit })
}

fn write_cursor(next: Option<u64>) -> String {
    next.map(|next| next.to_string()).unwrap_or_default()
}

/// A list's length as the wire counts it.
fn length<T>(list: &[T]) -> Result<u32, Error> {
    u32::try_from(list.len()).map_err(|_| Error::failed("the list is too long".into()))
}

impl Reports {
    async fn servers(&self, command: Command) -> Result<Vec<ServerReport>, Error> {
        match self.context.command(command).await? {
            Reply::Servers(servers) => Ok(servers),
            reply => Err(unexpected(&reply)),
        }
    }

    async fn history(&self, query: HistoryQuery) -> Result<HistoryPage, Error> {
        self.context.backend.history(self.context.app, query).await.map_err(gone)
    }
}

fn write_servers(servers: &[ServerReport], mut list: capnp::struct_list::Builder<'_, wire::server::Owned>) {
    for (position, server) in (0..).zip(servers) {
        write_server(server, list.reborrow().get(position));
    }
}

/// An answer of another kind is a defect of the backend.
fn other_kind() -> Error {
    Error::failed("the node gave a page of another history".into())
}

impl reports::Server for Reports {
    async fn friends(
        self: Rc<Self>,
        _: reports::FriendsParams,
        mut results: reports::FriendsResults,
    ) -> Result<(), Error> {
        let _turn = self.context.long_answer().await;
        let friends = match self.context.command(Command::Friends).await? {
            Reply::Friends(friends) => friends,
            reply => return Err(unexpected(&reply)),
        };
        let mut list = results.get().init_friends(length(&friends)?);
        for (position, friend) in (0..).zip(&friends) {
            write_friend(friend, list.reborrow().get(position));
        }
        Ok(())
    }

    async fn relays(
        self: Rc<Self>,
        _: reports::RelaysParams,
        mut results: reports::RelaysResults,
    ) -> Result<(), Error> {
        let _turn = self.context.long_answer().await;
        let servers = self.servers(Command::Relays).await?;
        write_servers(&servers, results.get().init_servers(length(&servers)?));
        Ok(())
    }

    async fn index_servers(
        self: Rc<Self>,
        _: reports::IndexServersParams,
        mut results: reports::IndexServersResults,
    ) -> Result<(), Error> {
        let _turn = self.context.long_answer().await;
        let servers = self.servers(Command::IndexServers).await?;
        write_servers(&servers, results.get().init_servers(length(&servers)?));
        Ok(())
    }

    async fn contact(
        self: Rc<Self>,
        _: reports::ContactParams,
        mut results: reports::ContactResults,
    ) -> Result<(), Error> {
        match self.context.command(Command::Contact).await? {
            Reply::Contact(contact) => write_contact(&contact, results.get().init_contact()),
            reply => return Err(unexpected(&reply)),
        }
        Ok(())
    }

    async fn friend_statement(
        self: Rc<Self>,
        params: reports::FriendStatementParams,
        mut results: reports::FriendStatementResults,
    ) -> Result<(), Error> {
        let _turn = self.context.long_answer().await;
        let params = params.get()?;
        let currency = params.get_currency()?;
        let currency =
            if currency.is_empty() { None } else { Some(read_currency(Ok(currency)).map_err(wrong_argument)?) };
        let made = match read_name(params.get_name()) {
            Ok(name) => self.context.backend.friend_statement(self.context.app, name, currency).await.map_err(gone)?,
            Err(sentence) => Err(sentence),
        };
        let mut result = results.get().init_result();
        match made {
            Ok(report) => write_friend_statement(&report, result.init_statement()),
            Err(sentence) => result.set_refused(sentence.as_str()),
        }
        Ok(())
    }

    async fn key_replacements(
        self: Rc<Self>,
        _: reports::KeyReplacementsParams,
        mut results: reports::KeyReplacementsResults,
    ) -> Result<(), Error> {
        let _turn = self.context.long_answer().await;
        let replacements = match self.context.command(Command::KeyReplacements).await? {
            Reply::KeyReplacements(replacements) => replacements,
            reply => return Err(unexpected(&reply)),
        };
        let mut list = results.get().init_records(length(&replacements)?);
        for (position, replacement) in (0..).zip(&replacements) {
            list.set(position, replacement.wire());
        }
        Ok(())
    }

    async fn budgets(
        self: Rc<Self>,
        _: reports::BudgetsParams,
        mut results: reports::BudgetsResults,
    ) -> Result<(), Error> {
        let budgets = match self.context.command(Command::Budgets(self.context.app)).await? {
            Reply::Budgets(budgets) => budgets,
            reply => return Err(unexpected(&reply)),
        };
        results.get().set_limited(budgets.is_some());
        let budgets = budgets.unwrap_or_default();
        let mut list = results.get().init_budgets(length(&budgets)?);
        for (position, budget) in (0..).zip(&budgets) {
            write_budget(budget, list.reborrow().get(position));
        }
        Ok(())
    }

    async fn payments(
        self: Rc<Self>,
        params: reports::PaymentsParams,
        mut results: reports::PaymentsResults,
    ) -> Result<(), Error> {
        let _turn = self.context.long_answer().await;
        let query = read_query(HistoryKind::Payments, params.get()?.get_cursor(), params.get()?.get_limit())?;
        let HistoryPage::Payments(page) = self.history(query).await? else { return Err(other_kind()) };
        let mut answer = results.get();
        answer.set_next(write_cursor(page.next));
        let mut list = answer.init_payments(length(&page.items)?);
        for (position, payment) in (0..).zip(page.items) {
            write_payment(&PaymentReport { receipt: None, ..payment }, list.reborrow().get(position));
        }
        Ok(())
    }

    async fn forwards(
        self: Rc<Self>,
        params: reports::ForwardsParams,
        mut results: reports::ForwardsResults,
    ) -> Result<(), Error> {
        let _turn = self.context.long_answer().await;
        let query = read_query(HistoryKind::Forwards, params.get()?.get_cursor(), params.get()?.get_limit())?;
        let HistoryPage::Forwards(page) = self.history(query).await? else { return Err(other_kind()) };
        let mut answer = results.get();
        answer.set_next(write_cursor(page.next));
        let mut list = answer.init_forwards(length(&page.items)?);
        for (position, forward) in (0..).zip(&page.items) {
            write_forward(forward, list.reborrow().get(position));
        }
        Ok(())
    }

    async fn invoices(
        self: Rc<Self>,
        params: reports::InvoicesParams,
        mut results: reports::InvoicesResults,
    ) -> Result<(), Error> {
        let _turn = self.context.long_answer().await;
        let query = read_query(HistoryKind::Invoices, params.get()?.get_cursor(), params.get()?.get_limit())?;
        let HistoryPage::Invoices(page) = self.history(query).await? else { return Err(other_kind()) };
        let mut answer = results.get();
        answer.set_next(write_cursor(page.next));
        let mut list = answer.init_invoices(length(&page.items)?);
        for (position, invoice) in (0..).zip(&page.items) {
            write_invoice(invoice, list.reborrow().get(position));
        }
        Ok(())
    }

    async fn received(
        self: Rc<Self>,
        params: reports::ReceivedParams,
        mut results: reports::ReceivedResults,
    ) -> Result<(), Error> {
        let _turn = self.context.long_answer().await;
        let query = read_query(HistoryKind::Received, params.get()?.get_cursor(), params.get()?.get_limit())?;
        let HistoryPage::Received(page) = self.history(query).await? else { return Err(other_kind()) };
        let mut answer = results.get();
        answer.set_next(write_cursor(page.next));
        let mut list = answer.init_received(length(&page.items)?);
        for (position, received) in (0..).zip(&page.items) {
            write_received(received, list.reborrow().get(position));
        }
        Ok(())
    }

    async fn payment(
        self: Rc<Self>,
        params: reports::PaymentParams,
        mut results: reports::PaymentResults,
    ) -> Result<(), Error> {
        let _turn = self.context.long_answer().await;
        let payment_id = read_payment_id(params.get()?.get_payment_id()).map_err(wrong_argument)?;
        let payment = self.context.backend.payment(self.context.app, payment_id).await.map_err(gone)?;
        let mut answer = results.get().init_result();
        match payment {
            Some(payment) => write_payment(&payment, answer.init_payment()),
            None => answer.set_unknown(()),
        }
        Ok(())
    }

    async fn subscribe(
        self: Rc<Self>,
        _: reports::SubscribeParams,
        mut results: reports::SubscribeResults,
    ) -> Result<(), Error> {
        let subscription = capnp_rpc::new_client(Subscription::new(self.context.clone())?);
        results.get().set_subscription(subscription);
        Ok(())
    }
}
