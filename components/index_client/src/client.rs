//! The task that connects the decisions with the links to the servers, and the node's handle to it.

use crate::config::Config;
use crate::error::IndexError;
use crate::link::{Link, LinkEvent};
use crate::publisher::{Publication, Publisher, UpdateStatus};
use crate::queries::{Queries, QueryStep};
use crate::timestamps::Timestamps;
use offst_crypto::{Identity, PublicKey};
use offst_proto::Currency;
use offst_proto::index::{Answer, Edge, IndexToNode, NodeToIndex, Query};
use offst_proto::ticket::ServerTicket;
use offst_secure_channel::Authenticator;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Events of all links that wait for the task; then links wait.
const EVENTS_MAX: usize = 256;
/// Queries that wait for the task, whatever the configuration says.
const REQUESTS_MAX: usize = 4096;

/// The state of one index server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerStatus {
    /// Whether there is a connection.
    pub connected: bool,
    /// Whether the server has accepted the latest announcements of all edges.
    pub up_to_date: bool,
    /// What went wrong last, in one sentence, until it works again.
    pub problem: Option<String>,
}

type Statuses = BTreeMap<PublicKey, ServerStatus>;

/// A node's connections to its index servers. Dropping it closes them.
#[derive(Debug)]
pub struct IndexClient {
    pending: Arc<Pending>,
    queries: mpsc::Sender<QueryRequest>,
    statuses: watch::Receiver<Statuses>,
    _stop: DropGuard,
}

/// What the node has set and the task has not applied yet. Only the latest announcement of each edge is kept, so this is
/// bounded by the number of edges, and the node never waits.
#[derive(Debug)]
struct Pending {
    changes: Mutex<Changes>,
    notify: Notify,
    /// Changed under the lock of `changes` only, so that nobody reads "up to date" while changes are not applied yet.
    statuses: watch::Sender<Statuses>,
}

#[derive(Debug, Default)]
struct Changes {
    servers: Option<Vec<ServerTicket>>,
    edges: BTreeMap<(PublicKey, Currency), Edge>,
}

#[derive(Debug)]
struct QueryRequest {
    query: Query,
    reply: oneshot::Sender<Result<Answer, IndexError>>,
}

impl IndexClient {
    /// Starts without servers and edges. Must be called inside a tokio runtime.
    pub fn start(identity: Arc<Identity>, config: Config) -> Self {
        let (statuses, _) = watch::channel(Statuses::new());
        let pending = Arc::new(Pending { changes: Mutex::default(), notify: Notify::new(), statuses });
        let statuses = pending.statuses.subscribe();
        let (queries, requests) = mpsc::channel(config.queries_max.clamp(1, REQUESTS_MAX));
        let stop = CancellationToken::new();
        let (events, incoming) = mpsc::channel(EVENTS_MAX);
        let task = Task {
            authenticator: Authenticator::new(&identity),
            publisher: Publisher::new(identity.public_key(), config),
            identity,
            config,
            pending: pending.clone(),
            queries: Queries::new(config),
            replies: BTreeMap::new(),
            servers: BTreeMap::new(),
            next_number: 0,
            events,
            started: Instant::now(),
        };
        tokio::spawn(stop.clone().run_until_cancelled_owned(task.run(requests, incoming)));
        IndexClient { pending, queries, statuses, _stop: stop.drop_guard() }
    }

    /// These servers and no others: connects to new ones, disconnects from those that are not named.
    pub fn set_servers(&self, servers: Vec<ServerTicket>) {
        let mut changes = self.pending.changes();
        self.pending.statuses.send_modify(|statuses| {
            let keep = |server: &ServerTicket| {
                let known = statuses.get(&server.public_key).cloned();
                let unknown = ServerStatus { connected: false, up_to_date: false, problem: None };
                (server.public_key, ServerStatus { up_to_date: false, ..known.unwrap_or(unknown) })
            };
            *statuses = servers.iter().map(keep).collect();
        });
        changes.servers = Some(servers);
        self.pending.notify.notify_one();
    }

    /// The latest announcements of some edges; edges that are not named stay as they are, an edge with both capacities 0 is
    /// closed. Returns at once; they are published as soon as each server takes an update.
    pub fn set_edges(&self, edges: Vec<Edge>) {
        let mut changes = self.pending.changes();
        changes.edges.extend(edges.into_iter().map(|edge| ((edge.friend, edge.currency.clone()), edge)));
        self.pending.statuses.send_if_modified(|statuses| {
            let affected = statuses.values_mut().filter(|status| status.up_to_date);
            affected.map(|status| status.up_to_date = false).count() > 0
        });
        self.pending.notify.notify_one();
    }

    /// Asks up to two servers and gives the routes of both, cheapest first. That there is no route is an answer, too.
    ///
    /// # Errors
    /// See [`IndexError`].
    pub async fn query(&self, query: Query) -> Result<Answer, IndexError> {
        let (reply, result) = oneshot::channel();
        self.queries.try_send(QueryRequest { query, reply }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => IndexError::TooMany,
            mpsc::error::TrySendError::Closed(_) => IndexError::Stopped,
        })?;
        result.await.unwrap_or(Err(IndexError::Stopped))
    }

    /// The servers that are connected.
    pub fn connected(&self) -> BTreeSet<PublicKey> {
        let statuses = self.statuses.borrow();
        statuses.iter().filter(|(_, status)| status.connected).map(|(server, _)| *server).collect()
    }

    /// The states of all servers that were set, now and whenever they change.
    pub fn statuses(&self) -> watch::Receiver<BTreeMap<PublicKey, ServerStatus>> {
        self.statuses.clone()
    }
}

impl Pending {
    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Task {
    identity: Arc<Identity>,
    authenticator: Authenticator,
    config: Config,
    pending: Arc<Pending>,
    publisher: Publisher,
    queries: Queries,
    replies: BTreeMap<u64, oneshot::Sender<Result<Answer, IndexError>>>,
    servers: BTreeMap<PublicKey, Server>,
    next_number: u64,
    /// For later links.
    events: mpsc::Sender<(PublicKey, u64, LinkEvent)>,
    started: Instant,
}

/// One server that the node has set.
struct Server {
    ticket: ServerTicket,
    /// Tells the events of this link from those of one that is being stopped.
    number: u64,
    connection: Option<Connection>,
    problem: Option<String>,
    _stop: DropGuard,
}

struct Connection {
    outbox: mpsc::Sender<NodeToIndex>,
    _close: DropGuard,
}

impl Task {
    async fn run(
        mut self,
        mut requests: mpsc::Receiver<QueryRequest>,
        mut events: mpsc::Receiver<(PublicKey, u64, LinkEvent)>,
    ) {
        loop {
            self.apply_changes();
            self.publish();
            let steps = self.queries.poll(self.now().steady_ms);
            self.run_steps(steps);
            self.update_statuses();
            let wake_ms = self.publisher.next_wake_ms().into_iter().chain(self.queries.next_wake_ms()).min();
            let sleep_ms = wake_ms.map(|wake_ms| wake_ms.saturating_sub(self.now().steady_ms));
            let pending = self.pending.clone();
            tokio::select! {
                () = pending.notify.notified() => {}
                Some(request) = requests.recv() => {
                    // A server that the node has removed before the query is not asked.
                    self.apply_changes();
                    self.ask(request);
                }
                Some((server, number, event)) = events.recv() => self.handle_event(server, number, event),
                () = tokio::time::sleep(Duration::from_millis(sleep_ms.unwrap_or(0))), if sleep_ms.is_some() => {}
            }
        }
    }

    fn now(&self) -> Timestamps {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamps { steady_ms: ms(self.started.elapsed()), unix_ms: ms(since_1970) }
    }

    fn apply_changes(&mut self) {
        let Changes { servers, edges } = std::mem::take(&mut *self.pending.changes());
        if let Some(servers) = servers {
            self.set_servers(servers);
        }
        let now = self.now();
        for edge in edges.into_values() {
            self.publisher.set_edge(edge, now);
        }
    }

    fn set_servers(&mut self, tickets: Vec<ServerTicket>) {
        let tickets: BTreeMap<_, _> = tickets.into_iter().map(|ticket| (ticket.public_key, ticket)).collect();
        let unwanted = self.servers.iter().filter(|(key, server)| tickets.get(key) != Some(&server.ticket));
        let unwanted: Vec<_> = unwanted.map(|(key, _)| *key).collect();
        for key in unwanted {
            self.disconnect(&key, None);
            self.servers.remove(&key);
        }
        for (key, ticket) in tickets {
            if self.servers.contains_key(&key) {
                continue;
            }
            let number = self.next_number;
            self.next_number += 1;
            let events = self.events.clone();
            let notify = move |event| {
                let events = events.clone();
                // Fails only while everything stops.
                async move { _ = events.send((key, number, event)).await }
            };
            let (authenticator, config) = (self.authenticator.clone(), self.config);
            let link = Link { authenticator, ticket: ticket.clone(), config, notify };
            let stop = CancellationToken::new();
            tokio::spawn(stop.clone().run_until_cancelled_owned(link.run()));
            let server = Server { ticket, number, connection: None, problem: None, _stop: stop.drop_guard() };
            self.servers.insert(key, server);
        }
    }

    fn ask(&mut self, request: QueryRequest) {
        match self.queries.ask(request.query, self.now().steady_ms) {
            Ok((id, steps)) => {
                self.replies.insert(id, request.reply);
                self.run_steps(steps);
            }
            // Fails when nobody waits for the answer any more.
            Err(error) => _ = request.reply.send(Err(error)),
        }
    }

    fn handle_event(&mut self, key: PublicKey, number: u64, event: LinkEvent) {
        let now = self.now();
        let Some(server) = self.servers.get_mut(&key).filter(|server| server.number == number) else { return };
        match event {
            LinkEvent::Connected { outbox, close } => {
                server.connection = Some(Connection { outbox, _close: close.drop_guard() });
                server.problem = None;
                self.publisher.connected(key, now);
                self.queries.connected(key);
            }
            LinkEvent::Ended(reason) => self.disconnect(&key, Some(reason)),
            // Messages of a connection that was given up are ignored.
            LinkEvent::Message(_) if server.connection.is_none() => {}
            LinkEvent::Message(IndexToNode::UpdateResult(result)) => {
                server.problem = match self.publisher.result(&key, result, now) {
                    UpdateStatus::Accepted => None,
                    UpdateStatus::Unrelated => return,
                    UpdateStatus::Refused(refusal) => Some(format!("the index server refuses: {refusal}")),
                    UpdateStatus::ClockDiffers { server_ms } => Some(clock_problem(server_ms, now.unix_ms)),
                };
                if let Some(problem) = &server.problem {
                    log::warn!(peer:% = server.ticket.address; "index server {}: {problem}", server.ticket.address);
                }
            }
            LinkEvent::Message(IndexToNode::Answer(answer)) => {
                let steps = self.queries.answer(&key, answer, now.steady_ms);
                self.run_steps(steps);
            }
            LinkEvent::Message(IndexToNode::Busy(id)) => {
                let steps = self.queries.failed(&key, id);
                self.run_steps(steps);
            }
            LinkEvent::Message(IndexToNode::Keepalive) => {}
        }
    }

    fn publish(&mut self) {
        for publication in self.publisher.poll(self.now(), &*self.identity) {
            match publication {
                Publication::Update(server, update) => {
                    self.send(&server, NodeToIndex::Update(update.wire().to_vec()));
                }
                Publication::Silent(server) => {
                    self.disconnect(&server, Some("the index server does not answer updates".into()));
                }
            }
        }
    }

    fn run_steps(&mut self, steps: Vec<QueryStep>) {
        for step in steps {
            match step {
                QueryStep::Ask(server, query) => self.send(&server, NodeToIndex::Query(query)),
                QueryStep::Done(id, result) => {
                    if let Some(reply) = self.replies.remove(&id) {
                        // Fails when nobody waits for the answer any more.
                        let _ = reply.send(result);
                    }
                }
            }
        }
    }

    /// Never waits: a server that does not take what it is sent is disconnected.
    fn send(&mut self, server: &PublicKey, message: NodeToIndex) {
        let connection = self.servers.get(server).and_then(|server| server.connection.as_ref());
        if connection.is_none_or(|connection| connection.outbox.try_send(message).is_err()) {
            self.disconnect(server, Some("the index server does not read what it is sent".into()));
        }
    }

    /// Ends the connection, if there is one. The link dials again.
    fn disconnect(&mut self, key: &PublicKey, problem: Option<String>) {
        let Some(server) = self.servers.get_mut(key) else { return };
        server.problem = problem;
        if server.connection.take().is_some() {
            self.publisher.disconnected(key);
            let steps = self.queries.disconnected(key);
            self.run_steps(steps);
        }
    }

    fn update_statuses(&self) {
        let changes = self.pending.changes();
        if changes.servers.is_some() {
            return;
        }
        let statuses = self.servers.iter().map(|(key, server)| {
            let connected = server.connection.is_some();
            let up_to_date = connected && changes.edges.is_empty() && self.publisher.is_up_to_date(key);
            (*key, ServerStatus { connected, up_to_date, problem: server.problem.clone() })
        });
        let statuses: Statuses = statuses.collect();
        self.pending.statuses.send_if_modified(|known| {
            let is_new = *known != statuses;
            *known = statuses;
            is_new
        });
    }
}

fn clock_problem(server_ms: u64, own_ms: u64) -> String {
    let seconds = server_ms.abs_diff(own_ms) / 1000;
    let side = if own_ms < server_ms { "behind" } else { "ahead of" };
    format!("this machine's clock is {seconds} s {side} the index server's, so its updates are refused: set the clock")
}
