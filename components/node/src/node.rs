//! Putting a node together, and taking it apart.

use crate::backend::NodeBackend;
use crate::core::{Core, Outside};
use crate::core_queue::core_queue;
use crate::counters::Counters;
use crate::error::NodeError;
use crate::fair_mutex::FairMutex;
use crate::messages::RelayStates;
use crate::network::Network;
use crate::settings::NodeSettings;
use offst_app_server::Grant;
use offst_crypto::{Identity, PublicKey};
use offst_index_client::IndexClient;
use offst_proto::ticket::Address;
use offst_secure_channel::Authenticator;
use offst_store::History;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
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
    /// Where friends connect without a relay, if they may.
    pub friends: Option<TcpListener>,
    /// The address at which friends are told to dial this node, if `friends` is there.
    pub friend_address: Option<Address>,
    /// What each application may do and spend.
    pub grants: watch::Receiver<BTreeMap<PublicKey, Grant>>,
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
        let Node { identity, database, apps, friends, friend_address, grants, settings, counters } = self;
        let node = identity.public_key();
        let stop = stop.child_token();
        let _stop_everything = stop.clone().drop_guard();
        let authenticator = Authenticator::new(&identity);
        let index = Arc::new(IndexClient::start(identity.clone(), settings.index));
        let (core_queue, core_receiver) = core_queue();
        let (network_commands, commands) = mpsc::unbounded_channel();
        let (events, _) = broadcast::channel(EVENTS_MAX);
        let relays = RelayStates::default();
        let outside = Outside {
            index: index.clone(),
            network: network_commands,
            events: events.clone(),
            grants: grants.clone(),
            counters: counters.clone(),
            runtime: tokio::runtime::Handle::current(),
            core: core_queue.clone(),
            batch_max: settings.batch_max,
            route_reuse_ms: settings.route_reuse_ms,
        };
        let core = Core::load(&database, identity.clone(), settings.timing, settings.fee_bounds.clone(), outside)?;
        let history = Arc::new(FairMutex::new(History::open(&database)?));
        let (ended, core_ended) = oneshot::channel();
        let core_stop = stop.clone();
        let thread = std::thread::Builder::new().name("core".into()).spawn(move || {
            // Whether it returns or panics, the node must not go on without it.
            let _stop_everything = core_stop.clone().drop_guard();
            let result = core.run(core_receiver, &core_stop);
            // Nobody receives it when the node is being dropped.
            drop(ended.send(result));
        })?;
        let (mut network, reports) = Network::new(
            authenticator.clone(),
            settings.clone(),
            counters,
            core_queue.clone(),
            relays.clone(),
            stop.clone(),
        );
        if let Some(listener) = friends {
            network.listen(listener, friend_address.clone())?;
        }
        let direct = network.direct_links();
        let network = spawn_part(&stop, network.run(commands, reports));
        let backend =
            Arc::new(NodeBackend { node, core: core_queue, history, events, relays, direct, index, friend_address });
        let serving = offst_app_server::serve(apps, authenticator, backend, grants, settings.apps, stop.clone());
        let apps = spawn_part(&stop, serving);
        ready();
        stop.cancelled().await;
        let core = core_ended.await.unwrap_or(Err(NodeError::Broken));
        let network = network.await.map_err(|_| NodeError::Failed("the network"));
        let apps = match apps.await {
            Ok(served) => served.map_err(NodeError::Start),
            Err(_) => Err(NodeError::Failed("the server for applications")),
        };
        drop(thread.join());
        core.and(network).and(apps)
    }
}

/// Runs a part of a node that ends only when `stop` is cancelled. Should it panic or fail, all is stopped: no part goes on
/// without the others. Which part has seen the stop first says nothing, so each is asked afterwards how it has ended.
fn spawn_part<T: Send + 'static>(
    stop: &CancellationToken,
    part: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    let stop_everything = stop.clone().drop_guard();
    tokio::spawn(async move {
        let _stop_everything = stop_everything;
        part.await
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_panics_stops_all_and_says_so() {
        let stop = CancellationToken::new();
        let part = spawn_part(&stop, async { panic!("a defect") });
        let ended: Result<(), _> = part.await;
        assert!(ended.is_err_and(|error| error.is_panic()));
        assert!(stop.is_cancelled());
    }

    #[tokio::test]
    async fn a_part_that_is_stopped_ends_well() {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let part = spawn_part(&stop, async move { stopped.cancelled().await });
        stop.cancel();
        assert!(part.await.is_ok());
    }
}
