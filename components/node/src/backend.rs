//! What applications see of the node.

use crate::core_queue::{CoreQueue, Source};
use crate::fair_mutex::FairMutex;
use crate::messages::{CoreEvent, DirectLinks, RelayStates};
use futures::future::BoxFuture;
use offst_app_server::{Backend, BackendGone, HistoryKind, HistoryPage, HistoryQuery};
use offst_crypto::PublicKey;
use offst_funder::{Command, Reply};
use offst_index_client::IndexClient;
use offst_proto::report::{
    Event, FriendStatementReport, InvoiceReport, Page, PaymentReport, ServerReport, ServerState,
};
use offst_proto::ticket::Address;
use offst_proto::{Currency, InvoiceId, PaymentId};
use offst_store::{History, MadeStatement, StoreError};
use std::sync::{Arc, PoisonError};
use std::time::SystemTime;
use tokio::sync::{broadcast, oneshot};

/// The node behind the application server.
pub(crate) struct NodeBackend {
    pub(crate) node: PublicKey,
    pub(crate) core: CoreQueue,
    /// Applications read it in turn.
    pub(crate) history: Arc<FairMutex<History>>,
    pub(crate) events: broadcast::Sender<Event>,
    pub(crate) relays: RelayStates,
    pub(crate) direct: DirectLinks,
    pub(crate) index: Arc<IndexClient>,
    /// Where friends dial this node without a relay.
    pub(crate) friend_address: Option<Address>,
}

fn unix_ms() -> u64 {
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(unix.as_millis()).unwrap_or(u64::MAX)
}

impl NodeBackend {
    /// Reads the history for an application, on a thread that may wait for the disk.
    fn read<T: Send + 'static>(
        &self,
        app: PublicKey,
        read: impl FnOnce(&History) -> Result<T, StoreError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, BackendGone>> {
        let history = self.history.clone();
        Box::pin(async move {
            // Threads are few: a request that waits must not occupy one.
            let history = history.lock(app).await;
            let result = tokio::task::spawn_blocking(move || read(&history));
            match result.await {
                Ok(Ok(value)) => Ok(value),
                Ok(Err(error)) => {
                    log::error!("the history cannot be read: {error}");
                    Err(BackendGone)
                }
                Err(_) => Err(BackendGone),
            }
        })
    }
}

impl Backend for NodeBackend {
    fn command(&self, app: PublicKey, command: Command) -> BoxFuture<'static, Result<Reply, BackendGone>> {
        let (core, direct, friend_address) = (self.core.clone(), self.direct.clone(), self.friend_address.clone());
        let kind = match command {
            Command::Relays => Servers::Relays(self.relays.clone()),
            Command::IndexServers => Servers::Index(self.index.clone()),
            _ => Servers::None,
        };
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let event = CoreEvent::Command(command, reply);
            core.send(Source::App(app), event, 0).await.map_err(|_| BackendGone)?;
            let mut reply = answer.await.map_err(|_| BackendGone)?;
            match &mut reply {
                Reply::Servers(servers) => kind.fill_in(servers),
                Reply::Friends(friends) => {
                    let links = direct.lock().unwrap_or_else(PoisonError::into_inner);
                    friends.iter_mut().for_each(|friend| friend.direct = links.contains_key(&friend.public_key));
                }
                Reply::Contact(contact) => contact.address = friend_address,
                _ => {}
            }
            Ok(reply)
        })
    }

    fn history(&self, app: PublicKey, query: HistoryQuery) -> BoxFuture<'static, Result<HistoryPage, BackendGone>> {
        let HistoryQuery { kind, cursor, limit } = query;
        self.read(app, move |history| {
            Ok(match kind {
                HistoryKind::Payments => {
                    let now = unix_ms();
                    HistoryPage::Payments(map(history.payments(cursor, limit)?, |payment| payment.report(now)))
                }
                HistoryKind::Forwards => HistoryPage::Forwards(history.forwards(cursor, limit)?),
                HistoryKind::Received => HistoryPage::Received(history.received(cursor, limit)?),
                HistoryKind::Invoices => {
                    HistoryPage::Invoices(map(history.invoices(cursor, limit)?, |invoice| invoice.report()))
                }
            })
        })
    }

    fn payment(
        &self,
        app: PublicKey,
        payment_id: PaymentId,
    ) -> BoxFuture<'static, Result<Option<PaymentReport>, BackendGone>> {
        let live = self.command(app, Command::PaymentStatus(payment_id));
        let stored =
            self.read(app, move |history| Ok(history.payment(payment_id)?.map(|payment| payment.report(unix_ms()))));
        Box::pin(async move {
            match live.await? {
                // While it is in progress, the machine knows more than the database.
                Reply::Payment(payment) => Ok(Some(*payment)),
                _ => stored.await,
            }
        })
    }

    fn invoice(
        &self,
        app: PublicKey,
        invoice_id: InvoiceId,
    ) -> BoxFuture<'static, Result<Option<InvoiceReport>, BackendGone>> {
        self.read(app, move |history| Ok(history.invoice(invoice_id)?.map(|invoice| invoice.report())))
    }

    fn friend_statement(
        &self,
        app: PublicKey,
        name: String,
        currency: Option<Currency>,
    ) -> BoxFuture<'static, Result<Result<FriendStatementReport, String>, BackendGone>> {
        let node = self.node;
        self.read(app, move |history| {
            let made = history.friend_statement(node, &name, currency.as_ref())?;
            Ok(made
                .map(|MadeStatement { statement, is_shortened, .. }| FriendStatementReport { statement, is_shortened }))
        })
    }

    fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }
}

fn map<T, U>(page: Page<T>, each: impl FnMut(T) -> U) -> Page<U> {
    Page { items: page.items.into_iter().map(each).collect(), next: page.next }
}

/// Where the states of the connections are known.
enum Servers {
    None,
    Relays(RelayStates),
    Index(Arc<IndexClient>),
}

impl Servers {
    fn fill_in(&self, servers: &mut [ServerReport]) {
        for server in servers {
            let key = server.ticket.public_key;
            let known = match self {
                Servers::None => None,
                Servers::Relays(states) => states.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned(),
                Servers::Index(client) => client.statuses().borrow().get(&key).map(|status| {
                    if status.connected {
                        ServerState::Connected
                    } else {
                        let reason = status.problem.clone().unwrap_or_else(|| "connecting".to_owned());
                        ServerState::Disconnected { reason }
                    }
                }),
            };
            if let Some(state) = known {
                server.state = state;
            }
        }
    }
}
