//! The task that decides about connections: the channeler in the middle, sockets around it.

use crate::accept_delay::Admission;
use crate::core_queue::{CoreQueue, Source};
use crate::counters::Counters;
use crate::direct::{DirectDialler, Reach, is_private_host};
use crate::friend_link::{self, FRAMES_MAX, LinkContext};
use crate::friend_links::FriendLinks;
use crate::greeting::{FriendLink, FriendStream};
use crate::incoming::Incoming;
use crate::messages::{CoreEvent, DirectLinks, FrameSink, Greeted, NetworkCommand, NetworkEvent, RelayStates};
use crate::relay_task;
use crate::relays::Relays;
use crate::settings::NodeSettings;
use futures::FutureExt;
use offst_channeler::{Action, Channeler, DialTiming, Endpoints, Link, LinkDecision};
use offst_crypto::{PublicKey, RandomExt, SystemRandom};
use offst_funder::Input;
use offst_proto::friend::{Direct, FriendMessage};
use offst_proto::report::ServerState;
use offst_proto::ticket::{Address, ServerTicket};
use offst_relay::RelayStream;
use offst_secure_channel::{Accepted, Acceptor, Authenticator};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Handshake and hellos of a friend together.
const GREETING_TIMEOUT: Duration = Duration::from_secs(10);
/// Reports of connections that wait for the task; then the connections wait.
const EVENTS_MAX: usize = 256;

/// The task's state.
pub(crate) struct Network {
    channeler: Channeler,
    authenticator: Authenticator,
    settings: NodeSettings,
    counters: Arc<Counters>,
    core: CoreQueue,
    events: mpsc::Sender<NetworkEvent>,
    relays: Relays,
    links: FriendLinks,
    incoming: Incoming,
    tasks: TaskTracker,
    stop: CancellationToken,
    started: Instant,
    /// Random for this run of the node.
    incarnation: u64,
    /// The first frame to every friend.
    hello: Arc<[u8]>,
    /// Takes the dials of friends that need no relay.
    acceptor: Option<Acceptor>,
    dialler: DirectDialler,
    /// Which of friends' own addresses are dialled.
    reach: Reach,
    /// Where this node tells friends to dial it.
    friend_address: Option<Address>,
    random: SystemRandom,
}

impl Network {
    pub(crate) fn new(
        authenticator: Authenticator,
        settings: NodeSettings,
        counters: Arc<Counters>,
        core: CoreQueue,
        states: RelayStates,
        stop: CancellationToken,
    ) -> (Self, mpsc::Receiver<NetworkEvent>) {
        let (events, reports) = mpsc::channel(EVENTS_MAX);
        let mut random = SystemRandom::new();
        let timing = DialTiming {
            reconnect_max_ms: settings.reconnect_max_ms,
            direct_max_ms: settings.direct.retry_max_ms,
            ..DialTiming::default()
        };
        let incarnation = u64::from_be_bytes(random.array());
        let direct_timeout = Duration::from_millis(settings.direct.connect_timeout_ms);
        let mut network = Network {
            channeler: Channeler::new(authenticator.public_key(), timing),
            dialler: DirectDialler::new(authenticator.clone(), direct_timeout),
            authenticator,
            incoming: Incoming::new(settings.friend_limits),
            settings,
            links: FriendLinks::new(counters.clone()),
            counters,
            core,
            events,
            relays: Relays::new(states),
            tasks: TaskTracker::new(),
            stop,
            started: Instant::now(),
            incarnation,
            hello: FriendMessage::hello_frame(incarnation, &Direct::Nowhere).into(),
            acceptor: None,
            reach: Reach::Public,
            friend_address: None,
            random,
        };
        network.reach = network.reach_with(&[]);
        (network, reports)
    }

    /// Takes dials of friends without a relay, from before the first command on. `address`: where, as it is told to friends;
    /// none: the owner tells them, and what their tickets say stays.
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
        self.links.direct()
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
        mut commands: mpsc::UnboundedReceiver<NetworkCommand>,
        mut reports: mpsc::Receiver<NetworkEvent>,
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
                Some(command) = commands.recv() => self.handle_command(command),
                Some(event) = reports.recv() => self.handle_event(event).await,
                Some(accepted) = next_accepted(&mut acceptor) => self.answer_direct(accepted),
                () = timer => {
                    let actions = self.channeler.tick(self.now());
                    self.run_actions(actions);
                }
            }
        }
        drop(acceptor);
        self.relays.close_all();
        self.links.close_all();
        // The tasks' last reports have nowhere to go.
        drop(reports);
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn handle_command(&mut self, command: NetworkCommand) {
        let now = self.now();
        let actions = match command {
            NetworkCommand::Contact(friend, contact) => {
                if contact.is_none() {
                    self.incoming.forget(&friend);
                }
                let endpoints = contact.map(|contact| Endpoints { relays: contact.relays, address: contact.address });
                self.channeler.set_endpoints(friend, endpoints, now)
            }
            NetworkCommand::Relays(relays) => {
                self.reach = self.reach_with(&relays);
                self.channeler.set_relays(relays, now)
            }
        };
        self.run_actions(actions);
    }

    /// Which addresses of friends are dialled while the node has these relays.
    fn reach_with(&self, relays: &[ServerTicket]) -> Reach {
        let is_private = match &self.friend_address {
            Some(address) => is_private_host(address),
            None => relays.iter().all(|relay| is_private_host(&relay.address)),
        };
        match self.settings.direct.dial_private.unwrap_or(is_private) {
            true => Reach::Anywhere,
            false => Reach::Public,
        }
    }

    async fn handle_event(&mut self, event: NetworkEvent) {
        let now = self.now();
        match event {
            NetworkEvent::RelayConnected(connection, client) => {
                if self.relays.registered(connection, client) {
                    let actions = self.channeler.relay_connected(connection.relay);
                    self.run_actions(actions);
                }
            }
            NetworkEvent::RelayClosed { connection, displaced, reason } => {
                if self.relays.is_current(connection) {
                    self.relay_closed(connection.relay, displaced, reason);
                }
            }
            NetworkEvent::Presence(connection, friend, present) => {
                if self.relays.is_current(connection) {
                    let actions = self.channeler.presence(connection.relay, friend, present, now);
                    self.run_actions(actions);
                }
            }
            NetworkEvent::Incoming(source, stream) => self.answer(source, stream),
            NetworkEvent::DialFailed(friend, reason) => {
                log::debug!("{friend} was not reached: {reason}");
                let random = self.any_number();
                let actions = self.channeler.dial_failed(friend, now, random);
                self.run_actions(actions);
            }
            NetworkEvent::IncomingFailed(friend) => self.incoming.end(friend),
            NetworkEvent::Greeted(greeted) => {
                if !greeted.dialled {
                    self.incoming.end(greeted.friend);
                }
                self.greeted(greeted);
            }
            NetworkEvent::LinkDown { friend, connection, reason } => {
                log::info!(peer:% = friend; "the connection to {friend} ended: {reason}");
                let random = self.any_number();
                self.links.ended(connection, friend);
                self.channeler.link_down(friend, connection, now, random);
            }
        }
    }

    fn relay_closed(&mut self, relay: PublicKey, displaced: bool, reason: String) {
        let (now, random) = (self.now(), self.any_number());
        self.channeler.relay_closed(relay, displaced, now, random);
        if displaced {
            log::error!(
                peer:% = relay;
                "another node with this node's key has taken its place at the relay {relay}: a folder was copied, and two \
                 copies must not run. This node does not use the relay any more until it is restarted"
            );
            self.relays.ended(relay, ServerState::Displaced);
        } else {
            log::info!(peer:% = relay; "the relay {relay} is not connected: {reason}");
            self.relays.ended(relay, ServerState::Disconnected { reason });
        }
    }

    fn run_actions(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::ConnectRelay(ticket) => self.connect_relay(ticket),
                Action::DropRelay(relay) => self.relays.remove(relay),
                Action::Watch(relay, friends) => {
                    if let Some(client) = self.relays.client(relay) {
                        // When the relay is gone its end is reported too.
                        let _ = client.watch(&friends);
                    }
                }
                Action::Unwatch(relay, friends) => {
                    if let Some(client) = self.relays.client(relay) {
                        let _ = client.unwatch(&friends);
                    }
                }
                Action::Dial(friend, relay) => self.dial(friend, relay),
                Action::DialDirect(friend, address) => self.dial_direct(friend, address),
                Action::Close(connection) => self.links.close(connection),
            }
        }
    }

    fn connect_relay(&mut self, ticket: ServerTicket) {
        let close = self.stop.child_token();
        let connection = self.relays.begin(ticket.public_key, close.clone());
        let (authenticator, events) = (self.authenticator.clone(), self.events.clone());
        self.tasks.spawn(relay_task::run(authenticator, connection, ticket, self.settings.relay, events, close));
    }

    fn dial(&mut self, friend: PublicKey, relay: PublicKey) {
        let client = self.relays.client(relay);
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
        let (dialler, counters, hello) = (self.dialler.clone(), self.counters.clone(), self.hello.clone());
        let reach = self.reach;
        self.spawn_dial(friend, true, async move {
            let dialled = dialler.dial(friend, &address, reach, &hello).await;
            dialled.inspect_err(|_| Counters::add(&counters.direct_calls_failed, 1))
        });
    }

    fn spawn_dial(
        &self,
        friend: PublicKey,
        direct: bool,
        dial: impl Future<Output = Result<FriendLink<FriendStream>, String>> + Send + 'static,
    ) {
        let events = self.events.clone();
        self.spawn_until_stop(async move {
            let event = match catching_panics(dial).await {
                Ok(link) => NetworkEvent::Greeted(Greeted { friend, dialled: true, direct, link: Box::new(link) }),
                Err(reason) => NetworkEvent::DialFailed(friend, reason),
            };
            drop(events.send(event).await);
        });
    }

    /// A peer has dialled this node without a relay, and has proved its key.
    /// (R4.8.)
    fn answer_direct(&mut self, Accepted { public_key, address, stream }: Accepted) {
        if !self.is_answered(public_key) {
            Counters::add(&self.counters.callers_refused, 1);
            log::debug!("a connection of {public_key} from {address} is rejected");
            return;
        }
        let hello = self.hello.clone();
        self.spawn_answer(public_key, true, async move {
            let stream: FriendStream = Box::new(stream);
            FriendLink::greet(stream, &hello, GREETING_TIMEOUT).await
        });
    }

    /// A peer has dialled this node over a relay, which says that it is `source`.
    /// (R4.1.)
    fn answer(&mut self, source: PublicKey, stream: RelayStream) {
        if !self.is_answered(source) {
            log::debug!("a connection of {source} over a relay is rejected");
            return;
        }
        let (authenticator, hello) = (self.authenticator.clone(), self.hello.clone());
        self.spawn_answer(source, false, async move {
            let (friend, stream) =
                authenticator.accept_over(stream, GREETING_TIMEOUT).await.map_err(|error| error.to_string())?;
            if friend != source {
                return Err("the key is another one than the relay said".to_owned());
            }
            let stream: FriendStream = Box::new(stream);
            FriendLink::greet(stream, &hello, GREETING_TIMEOUT).await
        });
    }

    /// Whether a dial is answered: a stranger is not worth a handshake, and no friend may use up the slots of another.
    fn is_answered(&self, source: PublicKey) -> bool {
        self.channeler.is_wanted(&source) && self.incoming.has_room(&source)
    }

    fn spawn_answer(
        &mut self,
        friend: PublicKey,
        direct: bool,
        answer: impl Future<Output = Result<FriendLink<FriendStream>, String>> + Send + 'static,
    ) {
        let (now, random) = (self.now(), self.any_number());
        let Admission { delay_ms, replaced } = self.incoming.begin(friend, now, random);
        let answer = async move {
            let delay = tokio::time::sleep(Duration::from_millis(delay_ms));
            if delay_ms > 0 && replaced.run_until_cancelled(delay).await.is_none() {
                return Err("it has dialled again".to_owned());
            }
            answer.await
        };
        let events = self.events.clone();
        self.spawn_until_stop(async move {
            let event = match catching_panics(answer).await {
                Ok(link) => NetworkEvent::Greeted(Greeted { friend, dialled: false, direct, link: Box::new(link) }),
                Err(reason) => {
                    log::debug!("a dial of {friend} failed: {reason}");
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
        let connection = self.links.new_id();
        let described = Link { id: connection, dialled, direct, incarnation: link.incarnation };
        let replaces = match self.channeler.link_up(friend, described, self.now()) {
            LinkDecision::Reject => {
                log::debug!("a connection to {friend} is not needed");
                return;
            }
            LinkDecision::Use { replaces } => replaces,
        };
        if let Some(old) = replaces {
            self.links.close(old);
        }
        log::info!(peer:% = friend; "connected to {friend} {}", if direct { "directly" } else { "over a relay" });
        let close = self.stop.child_token();
        self.links.open(connection, friend, direct, close.clone());
        let (frames, outgoing) = mpsc::channel(FRAMES_MAX);
        let sink = FrameSink { frames, close: close.clone() };
        let hello = FriendMessage::Hello { incarnation: link.incarnation, direct: link.direct.clone() };
        let hello = CoreEvent::Input(Input::Message(friend, connection, Box::new(hello)));
        for event in [CoreEvent::Connected(friend, connection, sink), hello] {
            // Connections are bounded: waiting for a slot would let this friend hold up the others.
            if self.core.send_now(Source::Friend(friend), event).is_err() {
                return;
            }
        }
        let context = LinkContext {
            friend,
            connection,
            core: self.core.clone(),
            rate_limit: self.incoming.rate_limit(friend),
            counters: self.counters.clone(),
            keepalive: if direct { self.settings.direct.keepalive } else { self.settings.friend_keepalive },
            close,
        };
        let events = self.events.clone();
        self.tasks.spawn(async move {
            let run = async { Ok(friend_link::run(*link, &context, outgoing).await) };
            let reason = catching_panics(run).await.unwrap_or_else(|reason| reason);
            // A node that is stopping forgets its connections.
            let gone = CoreEvent::Input(Input::Disconnected(friend, connection));
            let _ = context.core.send(Source::Friend(friend), gone, 0).await;
            drop(events.send(NetworkEvent::LinkDown { friend, connection, reason }).await);
        });
    }
}

/// The next dial without a relay; none when this node takes none.
async fn next_accepted(acceptor: &mut Option<Acceptor>) -> Option<Accepted> {
    match acceptor {
        Some(acceptor) => Some(acceptor.accept().await),
        None => None,
    }
}

/// A panic in what one friend makes this node do ends that connection, and its end is reported as any other: otherwise the
/// friend would count as connected, or as being dialled, until the node is restarted.
async fn catching_panics<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let caught = AssertUnwindSafe(work).catch_unwind().await;
    caught.unwrap_or_else(|_| Err("a defect of this node, which the log tells".to_owned()))
}

#[cfg(test)]
mod tests;
