//! The one thread that owns the machine and the database.
//!
//! It takes one event, then the others that wait (bounded, each source in turn), handles all, commits once, and then
//! carries out what may be seen now. So load makes batches larger instead of queues longer. It waits for no peer: a
//! connection whose queue is full is closed, and what is lost is sent again after the next `Resume`.

use crate::core_queue::{CoreQueue, CoreReceiver, Source};
use crate::counters::Counters;
use crate::error::NodeError;
use crate::history_queries::HistoryQueries;
use crate::messages::{CoreEvent, FrameSink, NetworkCommand};
use offst_app_server::Grant;
use offst_crypto::{Ed25519Verifier, Identity, PublicKey, Signature, Signer, SystemRandom};
use offst_funder::{
    Command, CommandId, ConnectionId, Environment, Funder, Input, Moment, Output, Progress, Reply, Timing,
};
use offst_index_client::{CachedRoutes, IndexClient, RouteCache};
use offst_proto::PaymentId;
use offst_proto::fee_bound::FeeBounds;
use offst_proto::index::Query;
use offst_proto::report::Event;
use offst_store::{History, Store, StoreError};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// When so many commands wait for their replies, those whose caller is gone are forgotten.
const REPLIES_SWEEP: usize = 1024;

/// What the thread needs of the rest of the node.
pub(crate) struct Outside {
    pub(crate) index: Arc<IndexClient>,
    pub(crate) network: mpsc::UnboundedSender<NetworkCommand>,
    pub(crate) events: broadcast::Sender<Event>,
    /// What the applications may spend.
    pub(crate) grants: watch::Receiver<BTreeMap<PublicKey, Grant>>,
    pub(crate) counters: Arc<Counters>,
    /// For tasks that ask the index servers.
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) core: CoreQueue,
    pub(crate) batch_max: usize,
    /// How long an answer of the index servers is used again, ms.
    pub(crate) route_reuse_ms: u64,
}

/// The identity is shared with the connections.
struct SharedSigner(Arc<Identity>);

impl Signer for SharedSigner {
    fn public_key(&self) -> PublicKey {
        self.0.public_key()
    }

    fn sign(&self, message: &[u8]) -> Signature {
        self.0.sign(message)
    }

    fn derive(&self, label: &str, context: &[u8]) -> [u8; 32] {
        self.0.derive(label, context)
    }
}

/// The thread's state.
pub(crate) struct Core {
    funder: Funder,
    store: Store,
    history: History,
    history_queries: HistoryQueries,
    environment: Environment,
    outside: Outside,
    started: Instant,
    sinks: BTreeMap<PublicKey, (ConnectionId, FrameSink)>,
    replies: BTreeMap<CommandId, oneshot::Sender<Reply>>,
    next_command: CommandId,
    routes: RouteCache,
    /// Inputs that follow from outputs: the first of the next batch.
    later: Vec<Input>,
}

impl Core {
    /// Loads the node's state.
    pub(crate) fn load(
        database: &Path,
        identity: Arc<Identity>,
        timing: Timing,
        fee_bounds: FeeBounds,
        outside: Outside,
    ) -> Result<Self, NodeError> {
        let local = identity.public_key();
        let store = Store::open(database, local)?;
        let funder = Funder::restore(local, store.load()?).map_err(StoreError::Row)?;
        let environment = Environment {
            signer: Box::new(SharedSigner(identity)),
            verifier: Box::new(Ed25519Verifier),
            random: Box::new(SystemRandom::new()),
            timing,
            fee_bounds,
        };
        Ok(Core {
            routes: RouteCache::new(outside.route_reuse_ms),
            later: Vec::new(),
            funder,
            store,
            history: History::open(database)?,
            history_queries: HistoryQueries::new(History::open(database)?),
            environment,
            outside,
            started: Instant::now(),
            sinks: BTreeMap::new(),
            replies: BTreeMap::new(),
            next_command: 0,
        })
    }

    fn now(&self) -> Moment {
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let milliseconds = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Moment { uptime_ms: milliseconds(self.started.elapsed()), unix_ms: milliseconds(unix) }
    }

    /// Works until `stop` is cancelled. Runs on a thread of its own.
    pub(crate) fn run(mut self, mut events: CoreReceiver, stop: &CancellationToken) -> Result<(), NodeError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let mut batch = vec![CoreEvent::Input(budgets(&mut self.outside.grants)), CoreEvent::Input(Input::Start)];
        loop {
            self = self.handle(&mut batch)?;
            batch.extend(self.later.drain(..).map(CoreEvent::Input));
            let deadline = self.funder.next_deadline();
            if batch.is_empty() {
                match runtime.block_on(self.wait(&mut events, deadline, stop)) {
                    Wakeup::Stop => return Ok(self.store.close()?),
                    Wakeup::Timer => batch.push(CoreEvent::Input(Input::Tick)),
                    Wakeup::Event(event) => batch.push(event),
                }
            }
            while batch.len() < self.outside.batch_max {
                match events.try_next() {
                    Some(event) => batch.push(event),
                    None => break,
                }
            }
        }
    }

    async fn wait(&self, events: &mut CoreReceiver, deadline_ms: Option<u64>, stop: &CancellationToken) -> Wakeup {
        let timer = async {
            match deadline_ms {
                Some(deadline) => {
                    let at = self.started + std::time::Duration::from_millis(deadline);
                    tokio::time::sleep_until(at.into()).await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => Wakeup::Stop,
            event = events.next() => Wakeup::Event(event),
            () = timer => Wakeup::Timer,
        }
    }

    fn handle(mut self, events: &mut Vec<CoreEvent>) -> Result<Self, NodeError> {
        let now = self.now();
        Counters::add(&self.outside.counters.inputs, events.len() as u64);
        let mut replies_from_history = Vec::new();
        let mut batch = self.funder.batch(&mut self.environment, now);
        // Before the commands of this batch: an application was let in by grants that are known here by now. When the
        // node stops, no change is reported any more.
        if self.outside.grants.has_changed().unwrap_or(false) {
            batch.handle(budgets(&mut self.outside.grants));
        }
        for event in events.drain(..) {
            match event {
                CoreEvent::Input(Input::Disconnected(friend, connection)) => {
                    if self.sinks.get(&friend).is_some_and(|(current, _)| *current == connection) {
                        self.sinks.remove(&friend);
                    }
                    batch.handle(Input::Disconnected(friend, connection));
                }
                CoreEvent::Input(Input::Found(friend, connection, found)) => {
                    self.history_queries.finished(friend);
                    batch.handle(Input::Found(friend, connection, found));
                }
                CoreEvent::Input(input) => batch.handle(input),
                CoreEvent::Routes(query, routes) => {
                    for payment in self.routes.answered(query, &routes, now.uptime_ms) {
                        batch.handle(Input::Routes(payment, routes.clone()));
                    }
                }
                CoreEvent::Connected(friend, connection, sink) => {
                    self.sinks.insert(friend, (connection, sink));
                    batch.handle(Input::Connected(friend, connection));
                }
                CoreEvent::Command(command, reply) => match ended_payment(&self.history, &command, now) {
                    Some(ended) => replies_from_history.push((reply, ended)),
                    None => {
                        self.next_command += 1;
                        self.replies.insert(self.next_command, reply);
                        batch.handle(Input::Command(self.next_command, command));
                    }
                },
            }
        }
        let (funder, outputs) = batch.finish().commit(&mut self.store)?;
        self.funder = funder;
        Counters::add(&self.outside.counters.commits, 1);
        for (caller, reply) in replies_from_history {
            // Fails when the caller is gone.
            drop(caller.send(reply));
        }
        for output in outputs {
            self.carry_out(output)?;
        }
        if self.replies.len() > REPLIES_SWEEP {
            self.replies.retain(|_, caller| !caller.is_closed());
        }
        Ok(self)
    }

    fn carry_out(&mut self, output: Output) -> Result<(), NodeError> {
        match output {
            Output::Send(friend, connection, frame) => self.send(friend, connection, frame),
            Output::ReadEvidence(account_id, connection) => {
                let rows = self.store.evidence(&account_id)?;
                self.later.push(Input::EvidenceRows(account_id, connection, rows));
            }
            Output::Reply(command, reply) => {
                if let Some(caller) = self.replies.remove(&command) {
                    drop(caller.send(reply));
                }
            }
            Output::FindRoutes(payment, query) => self.find_routes(payment, *query),
            Output::LookUp(friend, connection, inquiry) => {
                let Outside { runtime, core, .. } = &self.outside;
                self.history_queries.start(friend, connection, inquiry, runtime, core.clone());
            }
            Output::Edges(edges) => self.outside.index.set_edges(edges),
            Output::IndexServers(servers) => self.outside.index.set_servers(servers),
            Output::Contact(friend, contact) => self.command_network(NetworkCommand::Contact(friend, contact)),
            Output::Relays(relays) => self.command_network(NetworkCommand::Relays(relays)),
            Output::Event(event) => {
                // Nobody may be watching.
                drop(self.outside.events.send(event));
            }
        }
        Ok(())
    }

    fn find_routes(&mut self, payment: PaymentId, query: Query) {
        let now = self.now().uptime_ms;
        let key = match self.routes.look_up(payment, &query, now) {
            CachedRoutes::Known(routes) => return self.later.push(Input::Routes(payment, Ok(routes))),
            CachedRoutes::Wait => return,
            CachedRoutes::Ask(key) => key,
        };
        let (index, core) = (self.outside.index.clone(), self.outside.core.clone());
        self.outside.runtime.spawn(async move {
            let routes = index.query(query).await.map(|answer| answer.routes).map_err(|error| error.to_string());
            // A node that is stopping has no use for the answer.
            let _ = core.send(Source::Node, CoreEvent::Routes(key, routes), 0).await;
        });
    }

    fn command_network(&self, command: NetworkCommand) {
        // The network ends before this thread only when the node stops.
        drop(self.outside.network.send(command));
    }

    fn send(&mut self, friend: PublicKey, connection: ConnectionId, frame: Vec<u8>) {
        let Some((current, sink)) = self.sinks.get(&friend) else { return };
        if *current != connection {
            return;
        }
        if sink.frames.try_send(frame).is_err() {
            Counters::add(&self.outside.counters.slow_friends, 1);
            sink.close.cancel();
            self.sinks.remove(&friend);
        }
    }
}

/// What the owner allows the applications to spend now.
fn budgets(grants: &mut watch::Receiver<BTreeMap<PublicKey, Grant>>) -> Input {
    Input::Budgets(grants.borrow_and_update().iter().map(|(app, grant)| (*app, grant.budgets.clone())).collect())
}

enum Wakeup {
    Stop,
    Timer,
    Event(CoreEvent),
}

/// The answer to an order for a payment that has ended before: it is only in the history, and must not be paid again.
fn ended_payment(history: &History, command: &Command, now: Moment) -> Option<Reply> {
    let (Command::Pay(order) | Command::PayFor(_, order)) = command else { return None };
    match history.payment(order.payment_id) {
        Ok(Some(payment)) if matches!(payment.progress, Progress::Paid | Progress::Failed) => {
            Some(Reply::Payment(Box::new(payment.report(now.unix_ms))))
        }
        Ok(_) => None,
        Err(error) => Some(Reply::Refused(format!("the payment was not made: {error}"))),
    }
}

#[cfg(test)]
mod tests;
