//! Reading.

use super::context::{Context, gone, unexpected, wrong_argument};
use super::subscription::Subscription;
use crate::backend::{HistoryKind, HistoryPage, HistoryQuery};
use capnp::Error;
use capnp::capability::Rc;
use offst_funder::{Command, Reply};
use offst_proto::PaymentId;
use offst_proto::app::{Field, Message, MessageError, Refusal, length, write_list};
use offst_proto::budget::BudgetsReport;
use offst_proto::report::{
    ForwardReport, FriendStatementQuery, FriendStatementReport, InvoiceReport, Listed, PageQuery, PaymentReport,
    ReceivedReport, ServerReport, SignedReplacements,
};
use offst_proto::wire::app_capnp::reports;

pub(super) struct Reports {
    pub(super) context: Rc<Context>,
}

impl Reports {
    async fn servers(&self, command: Command) -> Result<Vec<ServerReport>, Error> {
        match self.context.command(command).await? {
            Reply::Servers(servers) => Ok(servers),
            reply => Err(unexpected(&reply)),
        }
    }

    async fn history(&self, kind: HistoryKind, PageQuery { cursor, limit }: PageQuery) -> Result<HistoryPage, Error> {
        let query = HistoryQuery { kind, cursor, limit };
        self.context.backend.history(self.context.app, query).await.map_err(gone)
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
        write_list(&friends, results.get().init_friends(length(&friends)));
        Ok(())
    }

    async fn relays(
        self: Rc<Self>,
        _: reports::RelaysParams,
        mut results: reports::RelaysResults,
    ) -> Result<(), Error> {
        let _turn = self.context.long_answer().await;
        let servers = self.servers(Command::Relays).await?;
        write_list(&servers, results.get().init_servers(length(&servers)));
        Ok(())
    }

    async fn index_servers(
        self: Rc<Self>,
        _: reports::IndexServersParams,
        mut results: reports::IndexServersResults,
    ) -> Result<(), Error> {
        let _turn = self.context.long_answer().await;
        let servers = self.servers(Command::IndexServers).await?;
        write_list(&servers, results.get().init_servers(length(&servers)));
        Ok(())
    }

    async fn contact(
        self: Rc<Self>,
        _: reports::ContactParams,
        mut results: reports::ContactResults,
    ) -> Result<(), Error> {
        match self.context.command(Command::Contact).await? {
            Reply::Contact(contact) => contact.write(results.get().init_contact()),
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
        let made: Result<FriendStatementReport, Refusal> = match FriendStatementQuery::read(params.get()?) {
            Ok(FriendStatementQuery { name, currency }) => {
                let made =
                    self.context.backend.friend_statement(self.context.app, name, currency).await.map_err(gone)?;
                made.map_err(Refusal::from)
            }
            Err(MessageError::Argument(message)) => Err(message.into()),
            Err(error) => return Err(wrong_argument(error)),
        };
        made.write(results.get().init_result());
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
        let records = replacements.iter().map(|replacement| replacement.wire().to_vec()).collect();
        SignedReplacements { records }.write(results.get());
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
        BudgetsReport::from(budgets).write(results.get());
        Ok(())
    }

    async fn payments(
        self: Rc<Self>,
        params: reports::PaymentsParams,
        mut results: reports::PaymentsResults,
    ) -> Result<(), Error> {
        let _turn = self.context.long_answer().await;
        let query = PaymentReport::read_query(params.get()?).map_err(wrong_argument)?;
        let HistoryPage::Payments(mut page) = self.history(HistoryKind::Payments, query).await? else {
            return Err(other_kind());
        };
        page.items.iter_mut().for_each(|payment| payment.receipt = None);
        PaymentReport::write_page(&page, results.get());
        Ok(())
    }

    async fn forwards(
        self: Rc<Self>,
        params: reports::ForwardsParams,
        mut results: reports::ForwardsResults,
    ) -> Result<(), Error> {
        let _turn = self.context.long_answer().await;
        let query = ForwardReport::read_query(params.get()?).map_err(wrong_argument)?;
        let HistoryPage::Forwards(page) = self.history(HistoryKind::Forwards, query).await? else {
            return Err(other_kind());
        };
        ForwardReport::write_page(&page, results.get());
        Ok(())
    }

    async fn invoices(
        self: Rc<Self>,
        params: reports::InvoicesParams,
        mut results: reports::InvoicesResults,
    ) -> Result<(), Error> {
        let _turn = self.context.long_answer().await;
        let query = InvoiceReport::read_query(params.get()?).map_err(wrong_argument)?;
        let HistoryPage::Invoices(page) = self.history(HistoryKind::Invoices, query).await? else {
            return Err(other_kind());
        };
        InvoiceReport::write_page(&page, results.get());
        Ok(())
    }

    async fn received(
        self: Rc<Self>,
        params: reports::ReceivedParams,
        mut results: reports::ReceivedResults,
    ) -> Result<(), Error> {
        let _turn = self.context.long_answer().await;
        let query = ReceivedReport::read_query(params.get()?).map_err(wrong_argument)?;
        let HistoryPage::Received(page) = self.history(HistoryKind::Received, query).await? else {
            return Err(other_kind());
        };
        ReceivedReport::write_page(&page, results.get());
        Ok(())
    }

    async fn payment(
        self: Rc<Self>,
        params: reports::PaymentParams,
        mut results: reports::PaymentResults,
    ) -> Result<(), Error> {
        let _turn = self.context.long_answer().await;
        let payment_id = PaymentId::from_wire(params.get()?.get_payment_id()).map_err(wrong_argument)?;
        let payment = self.context.backend.payment(self.context.app, payment_id).await.map_err(gone)?;
        Ok::<_, Refusal>(payment).write(results.get().init_result());
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
