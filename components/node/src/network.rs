//! The task that decides about connections: the channeler in the middle, sockets around it.

use crate::allowance::Allowance;
use crate::calls::{Calls, Turn};
use crate::core::{FrameSink, Job};
use crate::counters::Counters;
use crate::direct::{Caller, Reach, is_private_host};
use crate::friend_link::{self, FRAMES_MAX, FriendLink, FriendStream, LinkContext};
use crate::jobs::{Jobs, Party};
use crate::relay_task;
use crate::settings::NodeSettings;
use futures::FutureExt;
use offst_channeler::{Action, Channeler, Contact, Link, Timing, Verdict};
use offst_crypto::{PublicKey, RandomExt, SystemRandom};
use offst_funder::Input;
use offst_proto::friend::{Direct, FriendMessage};
use offst_proto::report::ServerState;
use offst_proto::ticket::{Address, ServerTicket};
use offst_relay::{RelayClient, RelayStream};
use offst_secure_channel::{Accepted, Acceptor, Authenticator};
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
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
    Greeted(Greeted),
    /// A connection to a friend ended.
    LinkDown { friend: PublicKey, connection: u64, reason: String },
}

/// A connection whose hellos are exchanged, and how it came about.
pub(crate) struct Greeted {
    friend: PublicKey,
    dialled: bool,
    /// Without a relay.
    direct: bool,
    link: Box<FriendLink<FriendStream>>,
}

/// How the connections to relays stand, for `info relays`.
pub(crate) type RelayStates = Arc<Mutex<BTreeMap<PublicKey, ServerState>>>;

/// The connections without a relay that are up, by friend, for `info friends`.
pub(crate) type DirectLinks = Arc<Mutex<BTreeMap<PublicKey, u64>>>;

/// The task's state.
pub(crate) struct Network {
    channeler: Channeler,
    authenticator: Authenticator,
    settings: NodeSettings,
    counters: Arc<Counters>,
    jobs: Jobs,
    events: mpsc::Sender<NetworkEvent>,
    relays: BTreeMap<PublicKey, RelayHandle>,
    links: BTreeMap<u64, LinkHandle>,
    states: RelayStates,
    direct: DirectLinks,
    tasks: TaskTracker,
    stop: CancellationToken,
    started: Instant,
    /// Random for this run of the node.
    incarnation: u64,
    /// What is said to friends first, a frame.
    hello: Arc<[u8]>,
    /// Friends that call without a relay.
    acceptor: Option<Acceptor>,
    caller: Caller,
    next_link: u64,
    next_relay: u64,
    /// Calls that are being answered, by friend.
    incoming: BTreeMap<PublicKey, usize>,
    /// What each friend may send, and how often it may connect.
    shares: BTreeMap<PublicKey, Share>,
    /// Where friends are called.
    reach: Reach,
    /// Where friends are told to call.
    friend_address: Option<Address>,
    random: SystemRandom,
}

/// What one friend has of this node, however often it connects.
struct Share {
    allowance: Allowance,
    calls: Calls,
}

struct LinkHandle {
    close: CancellationToken,
    direct: bool,
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
        jobs: Jobs,
        states: RelayStates,
        stop: CancellationToken,
    ) -> (Self, mpsc::Receiver<NetworkEvent>) {
        let (events, heard) = mpsc::channel(256);
        let mut random = SystemRandom::new();
        let timing = Timing {
            reconnect_max_ms: settings.reconnect_max_ms,
            direct_max_ms: settings.direct.retry_max_ms,
            ..Timing::default()
        };
        let incarnation = u64::from_be_bytes(random.array());
        let direct_timeout = Duration::from_millis(settings.direct.connect_timeout_ms);
        let mut network = Network {
            channeler: Channeler::new(authenticator.public_key(), timing),
            caller: Caller::new(authenticator.clone(), direct_timeout),
            authenticator,
            settings,
            counters,
            jobs,
            events,
            relays: BTreeMap::new(),
            links: BTreeMap::new(),
            states,
            direct: DirectLinks::default(),
            tasks: TaskTracker::new(),
            stop,
            started: Instant::now(),
            incarnation,
            hello: FriendMessage::hello_frame(incarnation, &Direct::Nowhere).into(),
            acceptor: None,
            next_link: 0,
            next_relay: 0,
            incoming: BTreeMap::new(),
            shares: BTreeMap::new(),
            reach: Reach::Public,
            friend_address: None,
            random,
        };
        network.reach = network.reach_with(&[]);
        (network, heard)
    }

    /// Has friends call without a relay, from before the first order on. `address`: where, as it is told to them; none: the owner tells them, and what their
    /// tickets say stays.
    pub(crate) fn listen(&mut self, listener: TcpListener, address: Option<Address>) -> std::io::Result<()> {
        self.acceptor = Some(Acceptor::new(listener, self.authenticator.clone(), self.settings.direct.handshakes)?);
        self.friend_address.clone_from(&address);
        self.reach = self.reach_with(&[]);
        let direct = address.map_or(Direct::Unsaid, Direct::At);
        self.hello = FriendMessage::hello_frame(self.incarnation, &direct).into();
        self.channeler.listen_for_friends();
        Ok(())
    }

    /// The connections without a relay, as they come and go.
    pub(crate) fn direct_links(&self) -> DirectLinks {
        self.direct.clone()
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
        let mut acceptor = self.acceptor.take();
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
                Some(accepted) = next_caller(&mut acceptor) => self.answer_direct(accepted),
                () = timer => {
                    let actions = self.channeler.tick(self.now());
                    self.act(actions);
                }
            }
        }
        drop(acceptor);
        for relay in self.relays.values() {
            relay.close.cancel();
        }
        for link in self.links.values() {
            link.close.cancel();
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
                let contact = contact.map(|contact| Contact { relays: contact.relays, address: contact.address });
                if contact.is_none() {
                    self.shares.remove(&friend);
                }
                self.channeler.set_contact(friend, contact, now)
            }
            NetworkOrder::Relays(relays) => {
                self.reach = self.reach_with(&relays);
                self.channeler.set_relays(relays, now)
            }
        };
        self.act(actions);
    }

    /// Where friends are called while the node has these relays.
    fn reach_with(&self, relays: &[ServerTicket]) -> Reach {
        let is_at_home = match &self.friend_address {
            Some(address) => is_private_host(address),
            None => relays.iter().all(|relay| is_private_host(&relay.address)),
        };
        match self.settings.direct.dial_private.unwrap_or(is_at_home) {
            true => Reach::Anywhere,
            false => Reach::Public,
        }
    }

    fn share(&mut self, friend: PublicKey) -> &mut Share {
        let limits = self.settings.friend_limits;
        let share = || Share { allowance: Allowance::new(limits), calls: Calls::default() };
        self.shares.entry(friend).or_insert_with(share)
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
                let actions = self.channeler.dial_failed(friend, now, random);
                self.act(actions);
            }
            NetworkEvent::IncomingFailed(friend) => self.answered(friend),
            NetworkEvent::Greeted(greeted) => {
                if !greeted.dialled {
                    self.answered(greeted.friend);
                }
                self.greeted(greeted);
            }
            NetworkEvent::LinkDown { friend, connection, reason } => {
                log::info!(peer:% = friend; "the connection to {friend} ended: {reason}");
                if self.links.remove(&connection).is_some_and(|link| link.direct) {
                    self.counters.friends_direct.fetch_sub(1, Ordering::Relaxed);
                    let mut links = self.direct.lock().unwrap_or_else(PoisonError::into_inner);
                    // Another one may have taken its place.
                    if links.get(&friend) == Some(&connection) {
                        links.remove(&friend);
                    }
                }
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
                peer:% = relay;
                "another node with this node's key has taken its place at the relay {relay}: a folder was copied, and two \
                 copies must not run. This node does not use the relay any more until it is restarted"
            );
            self.set_state(relay, ServerState::Displaced);
        } else {
            log::info!(peer:% = relay; "the relay {relay} is not connected: {reason}");
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
                Action::DialDirect(friend, address) => self.dial_direct(friend, address),
                Action::Close(connection) => {
                    if let Some(link) = self.links.get(&connection) {
                        link.close.cancel();
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
        let (authenticator, hello) = (self.authenticator.clone(), self.hello.clone());
        self.spawn_dial(friend, false, async move {
            let client = client.ok_or("the relay is not connected")?;
            let stream = client.open(friend).await.map_err(|error| error.to_string())?;
            let stream = authenticator.connect_over(stream, friend, GREETING_TIMEOUT).await;
            let stream: FriendStream = Box::new(stream.map_err(|error| error.to_string())?);
            FriendLink::greet(stream, &hello, GREETING_TIMEOUT).await
        });
    }

    fn dial_direct(&mut self, friend: PublicKey, address: Address) {
        let (caller, counters, hello) = (self.caller.clone(), self.counters.clone(), self.hello.clone());
        let reach = self.reach;
        self.spawn_dial(friend, true, async move {
            let called = caller.call(friend, &address, reach, &hello).await;
            called.inspect_err(|_| Counters::add(&counters.direct_calls_failed, 1))
        });
    }

    fn spawn_dial(
        &self,
        friend: PublicKey,
        direct: bool,
        call: impl Future<Output = Result<FriendLink<FriendStream>, String>> + Send + 'static,
    ) {
        let events = self.events.clone();
        self.spawn_until_stop(async move {
            let event = match guarded(call).await {
                Ok(link) => NetworkEvent::Greeted(Greeted { friend, dialled: true, direct, link: Box::new(link) }),
                Err(reason) => NetworkEvent::DialFailed(friend, reason),
            };
            drop(events.send(event).await);
        });
    }

    /// Somebody has called without a relay, and has proved a key.
    fn answer_direct(&mut self, Accepted { public_key, address, stream }: Accepted) {
        if !self.takes_call(public_key) {
            Counters::add(&self.counters.callers_refused, 1);
            log::debug!("a call from {public_key} at {address} is not answered");
            return;
        }
        let hello = self.hello.clone();
        self.spawn_answer(public_key, true, async move {
            let stream: FriendStream = Box::new(stream);
            FriendLink::greet(stream, &hello, GREETING_TIMEOUT).await
        });
    }

    fn answer(&mut self, source: PublicKey, stream: RelayStream) {
        if !self.takes_call(source) {
            log::debug!("a call from {source} is not answered");
            return;
        }
        let (authenticator, hello) = (self.authenticator.clone(), self.hello.clone());
        self.spawn_answer(source, false, async move {
            let (friend, stream) =
                authenticator.accept_over(stream, GREETING_TIMEOUT).await.map_err(|error| error.to_string())?;
            if friend != source {
                return Err("the caller is not who the relay said".to_owned());
            }
            let stream: FriendStream = Box::new(stream);
            FriendLink::greet(stream, &hello, GREETING_TIMEOUT).await
        });
    }

    /// Whether a call is answered: a stranger is not worth a handshake, and a friend cannot take the place of another.
    fn takes_call(&self, source: PublicKey) -> bool {
        let calls = self.incoming.get(&source).copied().unwrap_or_default();
        self.channeler.is_wanted(&source) && calls < INCOMING_MAX
    }

    fn spawn_answer(
        &mut self,
        friend: PublicKey,
        direct: bool,
        answer: impl Future<Output = Result<FriendLink<FriendStream>, String>> + Send + 'static,
    ) {
        *self.incoming.entry(friend).or_default() += 1;
        let (now, random) = (self.now(), self.any_number());
        let Turn { pause_ms, replaced } = self.share(friend).calls.call(now, random);
        let answer = async move {
            let pause = tokio::time::sleep(Duration::from_millis(pause_ms));
            if pause_ms > 0 && replaced.run_until_cancelled(pause).await.is_none() {
                return Err("it has called again".to_owned());
            }
            answer.await
        };
        let events = self.events.clone();
        self.spawn_until_stop(async move {
            let event = match guarded(answer).await {
                Ok(link) => NetworkEvent::Greeted(Greeted { friend, dialled: false, direct, link: Box::new(link) }),
                Err(reason) => {
                    log::debug!("a call from {friend} came to nothing: {reason}");
                    NetworkEvent::IncomingFailed(friend)
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

    fn greeted(&mut self, Greeted { friend, dialled, direct, link }: Greeted) {
        self.next_link += 1;
        let connection = self.next_link;
        let described = Link { id: connection, dialled, direct, incarnation: link.incarnation };
        let replaces = match self.channeler.link_up(friend, described, self.now()) {
            Verdict::Refuse => {
                log::debug!("a connection to {friend} is not needed");
                return;
            }
            Verdict::Use { replaces } => replaces,
        };
        if let Some(old) = replaces.and_then(|old| self.links.get(&old)) {
            old.close.cancel();
        }
        log::info!(peer:% = friend; "connected to {friend} {}", if direct { "directly" } else { "over a relay" });
        self.counters.friends_online.fetch_add(1, Ordering::Relaxed);
        if direct {
            self.counters.friends_direct.fetch_add(1, Ordering::Relaxed);
            self.direct.lock().unwrap_or_else(PoisonError::into_inner).insert(friend, connection);
        } else {
            self.direct.lock().unwrap_or_else(PoisonError::into_inner).remove(&friend);
        }
        let close = self.stop.child_token();
        self.links.insert(connection, LinkHandle { close: close.clone(), direct });
        let (frames, waiting) = mpsc::channel(FRAMES_MAX);
        let sink = FrameSink { frames, close: close.clone() };
        let hello = FriendMessage::Hello { incarnation: link.incarnation, direct: link.direct.clone() };
        let hello = Job::Input(Input::Message(friend, connection, Box::new(hello)));
        for job in [Job::Connected(friend, connection, sink), hello] {
            // Connections are bounded: waiting for a place would let this friend hold up the others.
            if self.jobs.bring_now(Party::Friend(friend), job).is_err() {
                return;
            }
        }
        let allowance = self.share(friend).allowance.clone();
        let context = LinkContext {
            friend,
            connection,
            jobs: self.jobs.clone(),
            allowance,
            counters: self.counters.clone(),
            keepalive: if direct { self.settings.direct.keepalive } else { self.settings.friend_keepalive },
            close,
        };
        let events = self.events.clone();
        self.tasks.spawn(async move {
            let run = async { Ok(friend_link::run(*link, &context, waiting).await) };
            let reason = guarded(run).await.unwrap_or_else(|reason| reason);
            // A node that is stopping forgets its connections.
            let gone = Job::Input(Input::Disconnected(friend, connection));
            let _ = context.jobs.bring(Party::Friend(friend), gone, 0).await;
            drop(events.send(NetworkEvent::LinkDown { friend, connection, reason }).await);
        });
    }
}

/// The next caller without a relay; none when this node takes none.
async fn next_caller(acceptor: &mut Option<Acceptor>) -> Option<Accepted> {
    match acceptor {
        Some(acceptor) => Some(acceptor.accept().await),
        None => None,
    }
}

/// A panic in what one friend makes us do ends that connection, and its end is reported as any other: otherwise the friend would
/// count as connected, or as being called, until the node is restarted.
async fn guarded<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let caught = AssertUnwindSafe(work).catch_unwind().await;
    caught.unwrap_or_else(|_| Err("a defect of this node, which the log tells".to_owned()))
}

#[cfg(test)]
mod tests;
