//! Putting a node together, and taking it apart.

use crate::backend::NodeBackend;
use crate::core::{Core, JOBS_MAX, Outside};
use crate::counters::Counters;
use crate::error::NodeError;
use crate::network::{Network, RelayStates};
use crate::settings::NodeSettings;
use offst_app_server::Permissions;
use offst_crypto::{Identity, PublicKey};
use offst_index_client::IndexClient;
use offst_secure_channel::Authenticator;
use offst_store::History;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// Events that wait for an application that watches. One that lags further behind takes a snapshot again.
const EVENTS_MAX: usize = 1024;

/// Everything a node needs to run.
pub struct Node {
    /// Who it is.
    pub identity: Arc<Identity>,
    /// Its database.
    pub database: PathBuf,
    /// Where applications connect.
    pub apps: TcpListener,
    /// What each application may do.
    pub permissions: watch::Receiver<BTreeMap<PublicKey, Permissions>>,
    /// Durations and bounds.
    pub settings: NodeSettings,
    /// Numbers for the operator.
    pub counters: Arc<Counters>,
}

impl Node {
    /// Runs until `stop` is cancelled. `ready` is called once applications can connect and the state is loaded.
    ///
    /// # Errors
    /// The database failed or is not this node's. Nothing that is not durable has left the node.
    pub async fn run(self, ready: impl FnOnce(), stop: CancellationToken) -> Result<(), NodeError> {
        let Node { identity, database, apps, permissions, settings, counters } = self;
        let stop = stop.child_token();
        let _stop_everything = stop.clone().drop_guard();
        let authenticator = Authenticator::new(&identity);
        let index = Arc::new(IndexClient::start(identity.clone(), settings.index));
        let (jobs, waiting_jobs) = mpsc::channel(JOBS_MAX);
        let (orders, waiting_orders) = mpsc::unbounded_channel();
        let (events, _) = broadcast::channel(EVENTS_MAX);
        let relays = RelayStates::default();
        let outside = Outside {
            index: index.clone(),
            network: orders,
            events: events.clone(),
            counters: counters.clone(),
            runtime: tokio::runtime::Handle::current(),
            jobs: jobs.downgrade(),
            batch_max: settings.batch_max,
            route_reuse_ms: settings.route_reuse_ms,
        };
        let core = Core::load(&database, identity.clone(), settings.timing, outside)?;
        let history = Arc::new(Mutex::new(History::open(&database)?));
        let (ended, mut core_ended) = oneshot::channel();
        let core_stop = stop.clone();
        let thread = std::thread::Builder::new().name("core".into()).spawn(move || {
            // Whether it returns or panics, the node must not go on without it.
            let _stop_everything = core_stop.clone().drop_guard();
            let result = core.run(waiting_jobs, &core_stop);
            // Nobody listens when the node is being dropped.
            drop(ended.send(result));
        })?;
        let (network, heard) =
            Network::new(authenticator.clone(), settings.clone(), counters, jobs.clone(), relays.clone(), stop.clone());
        let network = tokio::spawn(network.run(waiting_orders, heard));
        let backend = Arc::new(NodeBackend { jobs, history, events, relays, index });
        let serving = offst_app_server::serve(apps, authenticator, backend, permissions, settings.apps, stop.clone());
        let apps = tokio::spawn(serving);
        ready();
        let result = tokio::select! {
            result = &mut core_ended => Some(result),
            () = stop.cancelled() => None,
        };
        stop.cancel();
        let result = match result {
            Some(result) => result,
            None => core_ended.await,
        };
        // Both end because `stop` is cancelled; a panic of theirs has been logged.
        drop(network.await);
        drop(apps.await);
        drop(thread.join());
        result.unwrap_or(Err(NodeError::Broken))
    }
}
