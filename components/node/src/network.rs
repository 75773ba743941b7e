//! The task that decides about connections: the channeler in the middle, sockets around it.

use crate::core::{FrameSink, Job};
use crate::counters::Counters;
use crate::friend_link::{self, FRAMES_MAX, FriendLink, LinkContext};
use crate::relay_task;
use crate::settings::NodeSettings;
use futures::FutureExt;
use offst_channeler::{Action, Channeler, Contact, Link, Timing, Verdict};
use offst_crypto::{PublicKey, RandomExt, SystemRandom};
use offst_funder::Input;
use offst_proto::report::ServerState;
use offst_proto::ticket::ServerTicket;
use offst_relay::{RelayClient, RelayStream};
use offst_secure_channel::{Authenticator, SecureStream};
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Handshake and hellos of a friend together.
const GREETING_TIMEOUT: Duration = Duration::from_secs(10);
/// Calls of one friend that are being answered at the same time.
const INCOMING_MAX: usize = 4;

/// What the core wants of the network.
pub(crate) enum NetworkOrder {
    /// Where a friend is reached; none: it is not wanted any more.
    Contact(PublicKey, Option<offst_funder::Contact>),
    /// The relays to listen at.
    Relays(Vec<ServerTicket>),
}

/// One connection to a relay: a later one to the same relay has a larger number. What an older one still reports is void.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RelayConnection {
    pub(crate) relay: PublicKey,
    pub(crate) number: u64,
}

/// What happens on the network.
pub(crate) enum NetworkEvent {
    /// We are registered at a relay.
    RelayConnected(RelayConnection, RelayClient),
    /// A connection to a relay ended or did not come about.
    RelayClosed { connection: RelayConnection, displaced: bool, reason: String },
    /// A relay says whether a friend is there.
    Presence(RelayConnection, PublicKey, bool),
    /// Somebody calls through a relay.
    Incoming(PublicKey, RelayStream),
    /// A call of ours did not come to a connection.
    DialFailed(PublicKey, String),
    /// A call of a friend did not come to a connection.
    IncomingFailed(PublicKey),
    /// Hellos are exchanged with a friend.
    Greeted { friend: PublicKey, dialled: bool, link: Box<FriendLink<SecureStream<RelayStream>>> },
    /// A connection to a friend ended.
    LinkDown { friend: PublicKey, connection: u64, reason: String },
}

/// How the connections to relays stand, for `info relays`.
pub(crate) type RelayStates = Arc<Mutex<BTreeMap<PublicKey, ServerState>>>;

/// The task's state.
pub(crate) struct Network {
    channeler: Channeler,
    authenticator: Authenticator,
    settings: NodeSettings,
    counters: Arc<Counters>,
    jobs: mpsc::Sender<Job>,
    events: mpsc::Sender<NetworkEvent>,
    relays: BTreeMap<PublicKey, RelayHandle>,
    links: BTreeMap<u64, CancellationToken>,
    states: RelayStates,
    tasks: TaskTracker,
    stop: CancellationToken,
    started: Instant,
    incarnation: u64,
    next_link: u64,
    next_relay: u64,
    /// Calls that are being answered, by friend.
    incoming: BTreeMap<PublicKey, usize>,
    random: SystemRandom,
}

struct RelayHandle {
    number: u64,
    close: CancellationToken,
    client: Option<RelayClient>,
}

impl Network {
    pub(crate) fn new(
        authenticator: Authenticator,
        settings: NodeSettings,
        counters: Arc<Counters>,
        jobs: mpsc::Sender<Job>,
        states: RelayStates,
        stop: CancellationToken,
    ) -> (Self, mpsc::Receiver<NetworkEvent>) {
        let (events, heard) = mpsc::channel(256);
        let mut random = SystemRandom::new();
        let timing = Timing { reconnect_max_ms: settings.reconnect_max_ms, ..Timing::default() };
        let network = Network {
            channeler: Channeler::new(authenticator.public_key(), timing),
            authenticator,
            settings,
            counters,
            jobs,
            events,
            relays: BTreeMap::new(),
            links: BTreeMap::new(),
            states,
            tasks: TaskTracker::new(),
            stop,
            started: Instant::now(),
            incarnation: u64::from_be_bytes(random.array()),
            next_link: 0,
            next_relay: 0,
            incoming: BTreeMap::new(),
            random,
        };
        (network, heard)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn any_number(&mut self) -> u64 {
        u64::from_be_bytes(self.random.array())
    }

    /// Works until the node stops, then closes every connection.
    pub(crate) async fn run(
        mut self,
        mut orders: mpsc::UnboundedReceiver<NetworkOrder>,
        mut heard: mpsc::Receiver<NetworkEvent>,
    ) {
        let stop = self.stop.clone();
        loop {
            let deadline = self.channeler.next_deadline();
            let timer = async {
                match deadline {
                    Some(at) => {
                        tokio::time::sleep_until((self.started + Duration::from_millis(at)).into()).await;
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                Some(order) = orders.recv() => self.order(order),
                Some(event) = heard.recv() => self.event(event).await,
                () = timer => {
                    let actions = self.channeler.tick(self.now());
                    self.act(actions);
                }
            }
        }
        for relay in self.relays.values() {
            relay.close.cancel();
        }
        for close in self.links.values() {
            close.cancel();
        }
        // The tasks' last reports have nowhere to go.
        drop(heard);
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn order(&mut self, order: NetworkOrder) {
        let now = self.now();
        let actions = match order {
            NetworkOrder::Contact(friend, contact) => {
                let contact = contact.map(|contact| Contact { relays: contact.relays });
                self.channeler.set_contact(friend, contact, now)
            }
            NetworkOrder::Relays(relays) => self.channeler.set_relays(relays, now),
        };
        self.act(actions);
    }

    async fn event(&mut self, event: NetworkEvent) {
        let now = self.now();
        match event {
            NetworkEvent::RelayConnected(connection, client) => {
                let key = connection.relay;
                if let Some(handle) = self.relays.get_mut(&key).filter(|handle| handle.number == connection.number) {
                    handle.client = Some(client);
                    self.set_state(key, ServerState::Connected);
                    let actions = self.channeler.relay_connected(key);
                    self.act(actions);
                }
            }
            NetworkEvent::RelayClosed { connection, displaced, reason } => {
                if self.is_current(connection) {
                    self.relay_closed(connection.relay, displaced, reason);
                }
            }
            NetworkEvent::Presence(connection, friend, present) => {
                if self.is_current(connection) {
                    let actions = self.channeler.presence(connection.relay, friend, present, now);
                    self.act(actions);
                }
            }
            NetworkEvent::Incoming(source, stream) => self.answer(source, stream),
            NetworkEvent::DialFailed(friend, reason) => {
                log::debug!("{friend} was not reached: {reason}");
                let random = self.any_number();
                self.channeler.dial_failed(friend, now, random);
            }
            NetworkEvent::IncomingFailed(friend) => self.answered(friend),
            NetworkEvent::Greeted { friend, dialled, link } => {
                if !dialled {
                    self.answered(friend);
                }
                self.greeted(friend, dialled, *link).await;
            }
            NetworkEvent::LinkDown { friend, connection, reason } => {
                log::info!("the connection to {friend} ended: {reason}");
                self.links.remove(&connection);
                let random = self.any_number();
                self.channeler.link_down(friend, connection, now, random);
                self.counters.friends_online.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    fn is_current(&self, connection: RelayConnection) -> bool {
        self.relays.get(&connection.relay).is_some_and(|handle| handle.number == connection.number)
    }

    /// A call of a friend is no longer being answered.
    fn answered(&mut self, friend: PublicKey) {
        if let Some(calls) = self.incoming.get_mut(&friend) {
            *calls -= 1;
            if *calls == 0 {
                self.incoming.remove(&friend);
            }
        }
    }

    fn set_state(&self, relay: PublicKey, state: ServerState) {
        // A map of plain values is sound even if a thread panicked while it held the lock.
        self.states.lock().unwrap_or_else(PoisonError::into_inner).insert(relay, state);
    }

    fn relay_closed(&mut self, relay: PublicKey, displaced: bool, reason: String) {
        self.relays.remove(&relay);
        let (now, random) = (self.now(), self.any_number());
        self.channeler.relay_closed(relay, displaced, now, random);
        if displaced {
            log::error!(
                "another node with this node's key has taken its place at the relay {relay}: a folder was copied, and two \
                 copies must not run. This node does not use the relay any more until it is restarted"
            );
            self.set_state(relay, ServerState::Displaced);
        } else {
            log::info!("the relay {relay} is not connected: {reason}");
            self.set_state(relay, ServerState::Disconnected { reason });
        }
    }

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::ConnectRelay(ticket) => self.connect_relay(ticket),
                Action::DropRelay(key) => {
                    if let Some(handle) = self.relays.remove(&key) {
                        handle.close.cancel();
                    }
                    self.states.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
                }
                Action::Watch(relay, friends) => {
                    if let Some(client) = self.client(relay) {
                        // When the relay is gone its end is reported too.
                        let _ = client.watch(&friends);
                    }
                }
                Action::Unwatch(relay, friends) => {
                    if let Some(client) = self.client(relay) {
                        let _ = client.unwatch(&friends);
                    }
                }
                Action::Dial(friend, relay) => self.dial(friend, relay),
                Action::Close(connection) => {
                    if let Some(close) = self.links.get(&connection) {
                        close.cancel();
                    }
                }
            }
        }
    }

    fn client(&self, relay: PublicKey) -> Option<RelayClient> {
        self.relays.get(&relay)?.client.clone()
    }

    fn connect_relay(&mut self, ticket: ServerTicket) {
        let close = self.stop.child_token();
        self.next_relay += 1;
        let connection = RelayConnection { relay: ticket.public_key, number: self.next_relay };
        let handle = RelayHandle { number: connection.number, close: close.clone(), client: None };
        if let Some(old) = self.relays.insert(ticket.public_key, handle) {
            old.close.cancel();
        }
        let (authenticator, events) = (self.authenticator.clone(), self.events.clone());
        self.tasks.spawn(relay_task::run(authenticator, connection, ticket, self.settings.relay, events, close));
    }

    fn dial(&mut self, friend: PublicKey, relay: PublicKey) {
        let client = self.client(relay);
        let (authenticator, events, incarnation) = (self.authenticator.clone(), self.events.clone(), self.incarnation);
        self.spawn_until_stop(async move {
            let greeted = async {
                let client = client.ok_or("the relay is not connected")?;
                let stream = client.open(friend).await.map_err(|error| error.to_string())?;
                let stream = authenticator
                    .connect_over(stream, friend, GREETING_TIMEOUT)
                    .await
                    .map_err(|error| error.to_string())?;
                FriendLink::greet(stream, incarnation, GREETING_TIMEOUT).await
            };
            let event = match guarded(greeted).await {
                Ok(link) => NetworkEvent::Greeted { friend, dialled: true, link: Box::new(link) },
                Err(reason) => NetworkEvent::DialFailed(friend, reason),
            };
            drop(events.send(event).await);
        });
    }

    fn answer(&mut self, source: PublicKey, stream: RelayStream) {
        // A stranger is not worth a handshake, and a friend cannot take the place of another.
        if !self.channeler.is_wanted(&source) || self.incoming.get(&source).is_some_and(|calls| *calls >= INCOMING_MAX)
        {
            log::debug!("a call from {source} is not answered");
            return;
        }
        *self.incoming.entry(source).or_default() += 1;
        let (authenticator, events, incarnation) = (self.authenticator.clone(), self.events.clone(), self.incarnation);
        self.spawn_until_stop(async move {
            let greeted = async {
                let (friend, stream) =
                    authenticator.accept_over(stream, GREETING_TIMEOUT).await.map_err(|error| error.to_string())?;
                if friend != source {
                    return Err("the caller is not who the relay said".to_owned());
                }
                Ok((friend, FriendLink::greet(stream, incarnation, GREETING_TIMEOUT).await?))
            };
            let event = match guarded(greeted).await {
                Ok((friend, link)) => NetworkEvent::Greeted { friend, dialled: false, link: Box::new(link) },
                Err(reason) => {
                    log::debug!("a call from {source} came to nothing: {reason}");
                    NetworkEvent::IncomingFailed(source)
                }
            };
            drop(events.send(event).await);
        });
    }

    fn spawn_until_stop(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = work => {}
            }
        });
    }

    async fn greeted(&mut self, friend: PublicKey, dialled: bool, link: FriendLink<SecureStream<RelayStream>>) {
        self.next_link += 1;
        let connection = self.next_link;
        let described = Link { id: connection, dialled, incarnation: link.incarnation };
        let replaces = match self.channeler.link_up(friend, described, self.now()) {
            Verdict::Refuse => {
                log::debug!("a connection to {friend} is not needed");
                return;
            }
            Verdict::Use { replaces } => replaces,
        };
        if let Some(close) = replaces.and_then(|old| self.links.get(&old)) {
            close.cancel();
        }
        log::info!("connected to {friend}");
        self.counters.friends_online.fetch_add(1, Ordering::Relaxed);
        let close = self.stop.child_token();
        self.links.insert(connection, close.clone());
        let (frames, waiting) = mpsc::channel(FRAMES_MAX);
        let sink = FrameSink { frames, close: close.clone() };
        if self.jobs.send(Job::Connected(friend, connection, sink)).await.is_err() {
            return;
        }
        let context = LinkContext {
            friend,
            connection,
            jobs: self.jobs.clone(),
            counters: self.counters.clone(),
            keepalive: self.settings.friend_keepalive,
            close,
        };
        let events = self.events.clone();
        self.tasks.spawn(async move {
            let run = async { Ok(friend_link::run(link, &context, waiting).await) };
            let reason = guarded(run).await.unwrap_or_else(|reason| reason);
            drop(context.jobs.send(Job::Input(Input::Disconnected(friend, connection))).await);
            drop(events.send(NetworkEvent::LinkDown { friend, connection, reason }).await);
        });
    }
}

/// A panic in what one friend makes us do ends that connection, and its end is reported as any other: otherwise the friend would
/// count as connected, or as being called, until the node is restarted.
async fn guarded<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let caught = AssertUnwindSafe(work).catch_unwind().await;
    caught.unwrap_or_else(|_| Err("a defect of this node, which the log tells".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use offst_crypto::Identity;
    use offst_relay::RelayEvent;

    fn key(seed: u8) -> PublicKey {
        Identity::from_seed([seed; 32]).public_key()
    }

    /// Nobody listens there.
    fn relay(port: u16) -> ServerTicket {
        ServerTicket { public_key: key(100), address: format!("127.0.0.1:{port}").parse().unwrap() }
    }

    fn network() -> (Network, mpsc::Receiver<NetworkEvent>, mpsc::Receiver<Job>) {
        let (jobs, waiting) = mpsc::channel(16);
        let authenticator = Authenticator::new(&Identity::from_seed([1; 32]));
        let (network, heard) = Network::new(
            authenticator,
            NodeSettings::default(),
            Arc::default(),
            jobs,
            RelayStates::default(),
            CancellationToken::new(),
        );
        (network, heard, waiting)
    }

    /// A connection to a relay, over a pipe whose other end is silent.
    fn client() -> (RelayClient, tokio::io::DuplexStream) {
        let (near, far) = tokio::io::duplex(1 << 16);
        (RelayClient::start(near, offst_relay::ClientConfig::default()).0, far)
    }

    #[tokio::test]
    async fn what_an_older_connection_to_a_relay_reports_is_void() {
        let (mut network, _heard, _jobs) = network();
        network.order(NetworkOrder::Relays(vec![relay(1)]));
        let old = RelayConnection { relay: key(100), number: 1 };
        // The relay has moved: the old connection is dropped and a new one begun.
        network.order(NetworkOrder::Relays(vec![relay(2)]));
        let new = RelayConnection { number: 2, ..old };
        assert!(network.is_current(new));
        let (stale, _far) = client();
        network.event(NetworkEvent::RelayConnected(old, stale)).await;
        assert!(network.client(key(100)).is_none());
        let closed = |connection, displaced| NetworkEvent::RelayClosed { connection, displaced, reason: "gone".into() };
        network.event(closed(old, true)).await;
        network.event(closed(old, false)).await;
        assert!(network.is_current(new));
        assert_eq!(network.channeler.next_deadline(), None, "it connects no second time");
        let (fresh, _far) = client();
        network.event(NetworkEvent::RelayConnected(new, fresh)).await;
        assert!(network.client(key(100)).is_some());
        network.event(closed(new, false)).await;
        assert!(network.relays.is_empty() && network.channeler.next_deadline().is_some());
    }

    #[tokio::test]
    async fn a_panic_is_the_end_of_one_connection() {
        assert_eq!(guarded(async { Ok(1) }).await, Ok(1));
        let reason = guarded::<()>(async { panic!("a test") }).await.unwrap_err();
        assert!(reason.starts_with("a defect of this node"), "{reason}");
    }

    /// Calls through a real relay: what the called node hears, and what must live so that the calls do.
    async fn calls(count: usize) -> (Vec<RelayStream>, Vec<RelayStream>, Vec<RelayClient>, CancellationToken) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ticket = relay(listener.local_addr().unwrap().port());
        let stop = CancellationToken::new();
        let identity = Arc::new(Identity::from_seed([100; 32]));
        let limits = offst_relay::Limits::default();
        tokio::spawn(offst_relay::serve(listener, identity, limits, Arc::default(), stop.clone()));
        let connect = async |seed| {
            let authenticator = Authenticator::new(&Identity::from_seed([seed; 32]));
            let config = offst_relay::ClientConfig::default();
            let (client, mut events) = RelayClient::connect(&authenticator, &ticket, config).await.unwrap();
            assert!(matches!(events.recv().await, Some(RelayEvent::Registered)));
            (client, events)
        };
        let (called, mut events) = connect(1).await;
        let (mut near, mut far, mut clients) = (Vec::new(), Vec::new(), vec![called]);
        for seed in (10..).take(count) {
            let (caller, _events) = connect(seed).await;
            // Not both at once: a call that is refused brings no event.
            far.push(caller.open(key(1)).await.unwrap());
            let Some(RelayEvent::Incoming { stream, .. }) = events.recv().await else { panic!("no call") };
            near.push(stream);
            clients.push(caller);
        }
        (near, far, clients, stop)
    }

    #[tokio::test]
    async fn calls_are_answered_for_friends_alone_and_a_few_at_a_time() {
        let (mut network, _heard, _jobs) = network();
        let friend = key(2);
        let contact = offst_funder::Contact { relays: vec![], address: None };
        network.order(NetworkOrder::Contact(friend, Some(contact)));
        let (calls, _far, _clients, stop) = calls(INCOMING_MAX + 2).await;
        for (number, stream) in calls.into_iter().enumerate() {
            if number == 0 {
                network.answer(key(3), stream);
                assert!(network.incoming.is_empty(), "a stranger");
            } else {
                network.answer(friend, stream);
            }
        }
        assert_eq!(network.incoming, BTreeMap::from([(friend, INCOMING_MAX)]));
        for _ in 0..INCOMING_MAX {
            network.event(NetworkEvent::IncomingFailed(friend)).await;
        }
        assert!(network.incoming.is_empty());
        // One report too many is no reason to panic.
        network.event(NetworkEvent::IncomingFailed(friend)).await;
        network.stop.cancel();
        stop.cancel();
    }
}
