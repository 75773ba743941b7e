//! The connection to a node.

use crate::error::{AppError, Permission};
use capnp::message::ReaderOptions;
use capnp_rpc::rpc_twoparty_capnp::Side;
use capnp_rpc::{RpcSystem, twoparty};
use futures::io::{BufReader, BufWriter};
use offst_crypto::{Identity, PublicKey};
use offst_proto::app::{APP_NESTING_MAX, Field};
use offst_proto::ticket::ServerTicket;
use offst_proto::wire::app_capnp as wire;
use offst_secure_channel::Authenticator;
use std::io;
use std::time::Duration;
use tokio::task::{AbortHandle, LocalSet};
use tokio::time::Instant;
use tokio_util::compat::TokioAsyncReadCompatExt;

/// How long [`connect`] tries.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// Largest answer that is taken, in words of 8 bytes: 256 MiB, far above the list of all friends of any node.
const ANSWER_WORDS_MAX: usize = 32 * 1024 * 1024;

/// A connection to a node. Dropping it closes the connection; payments that were ordered go on.
pub struct App {
    version: String,
    node: PublicKey,
    reports: wire::reports::Client,
    buyer: Option<wire::buyer::Client>,
    seller: Option<wire::seller::Client>,
    config: Option<wire::config::Client>,
    routes: Option<wire::routes::Client>,
    connection: AbortHandle,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("node", &self.node).field("version", &self.version).finish_non_exhaustive()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Runs a future on a runtime of its own, with the [`LocalSet`] that a connection needs.
///
/// # Errors
/// The system gives no resources for a runtime.
pub fn block_on<T>(future: impl Future<Output = T>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(LocalSet::new().block_on(&runtime, future))
}

/// Connects to the node that `ticket` names, as the application `identity`, within ten seconds.
///
/// # Errors
/// [`AppError::Connect`] when nobody or somebody else answers (then nothing was sent), [`AppError::NotTrusted`],
/// [`AppError::Timeout`].
///
/// # Panics
/// Outside of a [`LocalSet`]; see [`block_on`].
pub async fn connect(ticket: &ServerTicket, identity: &Identity) -> Result<App, AppError> {
    connect_within(ticket, identity, CONNECT_TIME).await
}

/// [`connect`] with another patience.
///
/// # Errors
/// As for [`connect`].
///
/// # Panics
/// As for [`connect`].
pub async fn connect_within(ticket: &ServerTicket, identity: &Identity, patience: Duration) -> Result<App, AppError> {
    let deadline = Instant::now() + patience;
    let authenticator = Authenticator::new(identity);
    let stream = authenticator.connect_tcp(&ticket.address, ticket.public_key, patience).await?;
    let (reader, writer) = futures::AsyncReadExt::split(stream.compat());
    let mut options = ReaderOptions::new();
    options.traversal_limit_in_words(Some(ANSWER_WORDS_MAX));
    options.nesting_limit(APP_NESTING_MAX);
    let network = twoparty::VatNetwork::new(BufReader::new(reader), BufWriter::new(writer), Side::Client, options);
    let mut system = RpcSystem::new(Box::new(network), None);
    let node: wire::node::Client = system.bootstrap(Side::Server);
    let connection = tokio::task::spawn_local(async move {
        // How the connection ended is told to every call that waits.
        let _ = system.await;
    })
    .abort_handle();
    let opened = tokio::time::timeout_at(deadline, node.open_request().send().promise).await;
    let result = match opened {
        Ok(Ok(response)) => App::new(&response, ticket.public_key, connection.clone()),
        Ok(Err(error)) => Err(AppError::of_first_call(error, identity.public_key())),
        Err(_) => Err(AppError::Timeout(patience)),
    };
    if result.is_err() {
        connection.abort();
    }
    result
}

impl App {
    fn new(
        response: &capnp::capability::Response<wire::node::open_results::Owned>,
        node: PublicKey,
        connection: AbortHandle,
    ) -> Result<Self, AppError> {
        let opened = response.get()?;
        // A capability that was not granted is null.
        Ok(App {
            version: String::from_wire(opened.get_version())?,
            node,
            reports: opened.get_reports()?,
            buyer: opened.has_buyer().then(|| opened.get_buyer()).transpose()?,
            seller: opened.has_seller().then(|| opened.get_seller()).transpose()?,
            config: opened.has_config().then(|| opened.get_config()).transpose()?,
            routes: opened.has_routes().then(|| opened.get_routes()).transpose()?,
            connection,
        })
    }

    /// The node's version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The node's key.
    pub fn node(&self) -> PublicKey {
        self.node
    }

    pub(crate) fn reports_client(&self) -> &wire::reports::Client {
        &self.reports
    }

    pub(crate) fn buyer_client(&self) -> Result<&wire::buyer::Client, AppError> {
        self.buyer.as_ref().ok_or(AppError::PermissionDenied(Permission::Buyer))
    }

    pub(crate) fn seller_client(&self) -> Result<&wire::seller::Client, AppError> {
        self.seller.as_ref().ok_or(AppError::PermissionDenied(Permission::Seller))
    }

    pub(crate) fn config_client(&self) -> Result<&wire::config::Client, AppError> {
        self.config.as_ref().ok_or(AppError::PermissionDenied(Permission::Config))
    }

    pub(crate) fn routes_client(&self) -> Result<&wire::routes::Client, AppError> {
        self.routes.as_ref().ok_or(AppError::PermissionDenied(Permission::Routes))
    }
}
