use super::*;
use crate::core_queue::{CoreReceiver, core_queue};
use crate::incoming::GREETINGS_MAX;
use crate::messages::RelayConnection;
use offst_crypto::Identity;
use offst_relay::{RelayClient, RelayEvent};
use std::collections::BTreeMap;

fn key(seed: u8) -> PublicKey {
    Identity::from_seed([seed; 32]).public_key()
}

/// Nobody listens there.
fn relay(port: u16) -> ServerTicket {
    ServerTicket { public_key: key(100), address: format!("127.0.0.1:{port}").parse().unwrap() }
}

fn network() -> (Network, mpsc::Receiver<NetworkEvent>, CoreReceiver) {
    let (core, receiver) = core_queue();
    let authenticator = Authenticator::new(&Identity::from_seed([1; 32]));
    let (network, reports) = Network::new(
        authenticator,
        NodeSettings::default(),
        Arc::default(),
        core,
        RelayStates::default(),
        CancellationToken::new(),
    );
    (network, reports, receiver)
}

/// A connection to a relay, over a pipe whose other end is silent.
fn client() -> (RelayClient, tokio::io::DuplexStream) {
    let (near, far) = tokio::io::duplex(1 << 16);
    (RelayClient::start(near, offst_relay::ClientConfig::default()).0, far)
}

#[tokio::test]
async fn what_an_older_connection_to_a_relay_reports_is_void() {
    let (mut network, _reports, _core) = network();
    network.handle_command(NetworkCommand::Relays(vec![relay(1)]));
    let old = RelayConnection { relay: key(100), number: 1 };
    // The relay has moved: the old connection is dropped and a new one begun.
    network.handle_command(NetworkCommand::Relays(vec![relay(2)]));
    let new = RelayConnection { number: 2, ..old };
    assert!(network.relays.is_current(new));
    let (stale, _far) = client();
    network.handle_event(NetworkEvent::RelayConnected(old, stale)).await;
    assert!(network.relays.client(key(100)).is_none());
    let closed = |connection, displaced| NetworkEvent::RelayClosed { connection, displaced, reason: "gone".into() };
    network.handle_event(closed(old, true)).await;
    network.handle_event(closed(old, false)).await;
    assert!(network.relays.is_current(new));
    assert_eq!(network.channeler.next_deadline(), None, "it connects no second time");
    let (fresh, _far) = client();
    network.handle_event(NetworkEvent::RelayConnected(new, fresh)).await;
    assert!(network.relays.client(key(100)).is_some());
    network.handle_event(closed(new, false)).await;
    assert!(network.relays.is_empty() && network.channeler.next_deadline().is_some());
}

#[tokio::test]
async fn a_panic_is_the_end_of_one_connection() {
    assert_eq!(catching_panics(async { Ok(1) }).await, Ok(1));
    let reason = catching_panics::<()>(async { panic!("a test") }).await.unwrap_err();
    assert!(reason.starts_with("a defect of this node"), "{reason}");
}

/// Dials over a real relay: the streams of the node that is dialled, those of the diallers, and what must live so that they do.
async fn dials(count: usize) -> (Vec<RelayStream>, Vec<RelayStream>, Vec<RelayClient>, CancellationToken) {
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
    let (dialled, mut events) = connect(1).await;
    let (mut near, mut far, mut clients) = (Vec::new(), Vec::new(), vec![dialled]);
    for seed in (10..).take(count) {
        let (dialler, _events) = connect(seed).await;
        // Not both at once: a dial that the relay refuses brings no event.
        far.push(dialler.open(key(1)).await.unwrap());
        let Some(RelayEvent::Incoming { stream, .. }) = events.recv().await else { panic!("nothing came") };
        near.push(stream);
        clients.push(dialler);
    }
    (near, far, clients, stop)
}

#[tokio::test]
async fn only_dials_of_friends_are_answered_and_a_few_at_a_time() {
    let (mut network, _reports, _core) = network();
    let friend = key(2);
    let contact = offst_funder::Contact { relays: vec![], address: None };
    network.handle_command(NetworkCommand::Contact(friend, Some(contact)));
    let (streams, _far, _clients, stop) = dials(GREETINGS_MAX + 2).await;
    for (number, stream) in streams.into_iter().enumerate() {
        if number == 0 {
            network.answer(key(3), stream);
            assert!(network.incoming.greetings().is_empty(), "a stranger");
        } else {
            network.answer(friend, stream);
        }
    }
    assert_eq!(*network.incoming.greetings(), BTreeMap::from([(friend, GREETINGS_MAX)]));
    for _ in 0..GREETINGS_MAX {
        network.handle_event(NetworkEvent::IncomingFailed(friend)).await;
    }
    assert!(network.incoming.greetings().is_empty());
    // One report too many is no reason to panic.
    network.handle_event(NetworkEvent::IncomingFailed(friend)).await;
    network.stop.cancel();
    stop.cancel();
}

/// Of dials that come together the first is answered, then the latest; those in between are not.
#[tokio::test]
async fn a_friend_that_dials_again_and_again_is_answered_with_delays() {
    let (mut network, mut reports, _core) = network();
    let (answered, mut answers) = mpsc::unbounded_channel();
    for number in 1..=4 {
        let answered = answered.clone();
        network.spawn_answer(key(2), true, async move {
            answered.send(number).unwrap();
            Err("a test".into())
        });
    }
    for _ in 0..4 {
        let event = reports.recv().await.unwrap();
        assert!(matches!(event, NetworkEvent::IncomingFailed(_)));
        network.handle_event(event).await;
    }
    assert!(network.incoming.greetings().is_empty());
    assert_eq!([answers.recv().await, answers.recv().await], [Some(1), Some(4)]);
    assert!(answers.try_recv().is_err());
}

#[tokio::test]
async fn private_addresses_are_dialled_by_a_node_that_has_one() {
    let at = |text: &str| ServerTicket { public_key: key(100), address: text.parse().unwrap() };
    let (near, far) = (at("192.168.1.1:1"), at("relay.example.org:1"));
    for (relays, address, setting, reach) in [
        (vec![], None, None, Reach::Anywhere),
        (vec![near.clone()], None, None, Reach::Anywhere),
        (vec![near.clone(), far.clone()], None, None, Reach::Public),
        (vec![far.clone()], Some("10.0.0.7:9600"), None, Reach::Anywhere),
        (vec![near.clone()], Some("node.example.org:9600"), None, Reach::Public),
        (vec![far.clone()], None, Some(true), Reach::Anywhere),
        (vec![near.clone()], None, Some(false), Reach::Public),
    ] {
        let (mut network, _reports, _core) = network();
        network.settings.direct.dial_private = setting;
        network.friend_address = address.map(|address| address.parse().unwrap());
        network.handle_command(NetworkCommand::Relays(relays.clone()));
        assert_eq!(network.reach, reach, "{relays:?} {address:?} {setting:?}");
        network.stop.cancel();
    }
}

/// A node's connections without the rest of it. `core` is what its core thread would receive.
struct Lone {
    key: PublicKey,
    commands: mpsc::UnboundedSender<NetworkCommand>,
    core: CoreReceiver,
    counters: Arc<Counters>,
    address: Option<Address>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Lone {
    async fn start(seed: u8, listens: bool) -> Self {
        let identity = Identity::from_seed([seed; 32]);
        let (core, receiver) = core_queue();
        let (sender, commands) = mpsc::unbounded_channel();
        let (counters, stop) = (Arc::new(Counters::default()), CancellationToken::new());
        let (mut network, reports) = Network::new(
            Authenticator::new(&identity),
            NodeSettings::default(),
            counters.clone(),
            core,
            RelayStates::default(),
            stop.clone(),
        );
        let mut address = None;
        if listens {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            address = Some(listener.local_addr().unwrap().to_string().parse().unwrap());
            network.listen(listener, address.clone()).unwrap();
        }
        let task = tokio::spawn(network.run(commands, reports));
        Lone { key: identity.public_key(), commands: sender, core: receiver, counters, address, stop, task }
    }

    fn wants(&self, friend: PublicKey, relays: Vec<ServerTicket>, address: Option<Address>) {
        let contact = offst_funder::Contact { relays, address };
        self.commands.send(NetworkCommand::Contact(friend, Some(contact))).ok().unwrap();
    }

    /// Waits for a connection to a friend, which lasts as long as the sink, and the address that the friend tells.
    async fn connected(&mut self) -> (FrameSink, Direct) {
        let (connection, sink) = loop {
            match self.core.next().await {
                CoreEvent::Connected(_, connection, sink) => break (connection, sink),
                CoreEvent::Input(Input::Disconnected(..)) => {}
                _ => panic!("something else"),
            }
        };
        match self.core.next().await {
            CoreEvent::Input(Input::Message(_, on, hello)) if on == connection => match *hello {
                FriendMessage::Hello { direct, .. } => (sink, direct),
                other => panic!("{other:?}"),
            },
            _ => panic!("something else"),
        }
    }

    fn counted(&self, name: &str) -> u64 {
        let entries = self.counters.entries();
        entries.iter().find(|(known, _)| *known == name).unwrap().1
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

async fn real_relay(stop: &CancellationToken) -> ServerTicket {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ticket = relay(listener.local_addr().unwrap().port());
    let identity = Arc::new(Identity::from_seed([100; 32]));
    let limits = offst_relay::Limits::default();
    tokio::spawn(offst_relay::serve(listener, identity, limits, Arc::default(), stop.clone()));
    ticket
}

/// An address where nobody listens, or somebody who never says a word.
async fn dead_end(silent: bool) -> (Address, Option<TcpListener>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string().parse().unwrap();
    (address, silent.then_some(listener))
}

#[tokio::test]
async fn friends_connect_without_a_relay_and_tell_their_addresses() {
    let (mut one, mut other) = (Lone::start(1, true).await, Lone::start(2, false).await);
    one.wants(other.key, vec![], None);
    other.wants(one.key, vec![], one.address.clone());
    let (of_one, of_other) = (one.connected().await, other.connected().await);
    assert_eq!((of_one.1, of_other.1), (Direct::Nowhere, Direct::At(one.address.clone().unwrap())));
    for node in [&one, &other] {
        assert!(node.counted("friends_direct") > 0);
        assert_eq!(node.counted("friends_direct"), node.counted("friends_online"));
    }
    for node in [one, other] {
        node.stop().await;
    }
}

#[tokio::test]
async fn a_dead_address_costs_little_time_and_the_relay_takes_over() {
    let stop = CancellationToken::new();
    let relay = real_relay(&stop).await;
    for silent in [false, true] {
        let (address, _open) = dead_end(silent).await;
        let (mut one, mut other) = (Lone::start(1, true).await, Lone::start(2, false).await);
        one.wants(other.key, vec![relay.clone()], None);
        other.wants(one.key, vec![relay.clone()], Some(address));
        for node in [&one, &other] {
            node.commands.send(NetworkCommand::Relays(vec![relay.clone()])).ok().unwrap();
        }
        let _links = [one.connected().await, other.connected().await];
        for node in [&one, &other] {
            assert!(node.counted("friends_online") > 0);
            assert_eq!(node.counted("friends_direct"), 0);
        }
        for node in [one, other] {
            node.stop().await;
        }
    }
    stop.cancel();
}

/// Both dial at once, again and again: the two always agree on one of both connections.
#[tokio::test]
async fn crossed_direct_dials_resolve_to_one() {
    for _ in 0..20 {
        let (mut one, mut other) = (Lone::start(1, true).await, Lone::start(2, true).await);
        one.wants(other.key, vec![], other.address.clone());
        other.wants(one.key, vec![], one.address.clone());
        // A frame that arrives shows that both have the same connection in use: one that was replaced carries none.
        let sinks = [one.connected().await.0, other.connected().await.0];
        let mut sinks = sinks.map(Some);
        let mut carried = [false, false];
        let recall = offst_proto::resolve::recall_frame();
        while carried != [true, true] {
            for sink in sinks.iter().flatten() {
                // A connection that is being replaced takes nothing.
                let _ = sink.frames.try_send(recall.clone());
            }
            let pause = tokio::time::sleep(Duration::from_millis(5));
            let (side, event) = tokio::select! {
                event = one.core.next() => (0, event),
                event = other.core.next() => (1, event),
                () = pause => continue,
            };
            match event {
                CoreEvent::Connected(_, _, sink) => sinks[side] = Some(sink),
                CoreEvent::Input(Input::Message(_, _, message)) if *message == FriendMessage::Recall => {
                    carried[side] = true
                }
                _ => {}
            }
        }
        for node in [one, other] {
            node.stop().await;
        }
    }
}

// R4.8.
#[tokio::test]
async fn a_stranger_is_rejected_and_a_friend_answered_a_few_times_at_once() {
    let node = Lone::start(1, true).await;
    let address = node.address.clone().unwrap();
    let dial = async |seed: u8| {
        let authenticator = Authenticator::new(&Identity::from_seed([seed; 32]));
        let stream = authenticator.connect_tcp(&address, key(1), GREETING_TIMEOUT).await.unwrap();
        offst_secure_channel::FrameReader::new(stream, 1 << 10)
    };
    node.wants(key(2), vec![], None);
    // The first thing a friend hears is a hello; so its being known is no matter of time.
    let mut answered = Vec::new();
    while answered.is_empty() {
        let mut friend = dial(2).await;
        if matches!(friend.next().await, Ok(Some(_))) {
            answered.push(friend);
        }
    }
    for _ in 1..GREETINGS_MAX {
        let mut friend = dial(2).await;
        assert!(matches!(friend.next().await, Ok(Some(_))), "says hello");
        answered.push(friend);
    }
    let before = node.counted("callers_refused");
    for seed in [2, 3] {
        assert!(!matches!(dial(seed).await.next().await, Ok(Some(_))), "hears nothing");
    }
    assert_eq!(node.counted("callers_refused"), before + 2);
    // Another friend is answered meanwhile.
    node.wants(key(4), vec![], None);
    while !matches!(dial(4).await.next().await, Ok(Some(_))) {}
    node.stop().await;
}
