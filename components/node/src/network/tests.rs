use super::*;
use crate::jobs::WaitingJobs;
use offst_crypto::Identity;
use offst_relay::RelayEvent;

fn key(seed: u8) -> PublicKey {
    Identity::from_seed([seed; 32]).public_key()
}

/// Nobody listens there.
fn relay(port: u16) -> ServerTicket {
    ServerTicket { public_key: key(100), address: format!("127.0.0.1:{port}").parse().unwrap() }
}

fn network() -> (Network, mpsc::Receiver<NetworkEvent>, WaitingJobs) {
    let (jobs, waiting) = crate::jobs::queue();
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

/// Of calls that come together the first is answered, then the newest: those in between are not, and nobody waits for ever.
#[tokio::test]
async fn whoever_connects_again_and_again_is_answered_in_pauses() {
    let (mut network, mut heard, _jobs) = network();
    let (answered, mut answers) = mpsc::unbounded_channel();
    for number in 1..=4 {
        let answered = answered.clone();
        network.spawn_answer(key(2), true, async move {
            answered.send(number).unwrap();
            Err("a test".into())
        });
    }
    for _ in 0..4 {
        let event = heard.recv().await.unwrap();
        assert!(matches!(event, NetworkEvent::IncomingFailed(_)));
        network.event(event).await;
    }
    assert!(network.incoming.is_empty());
    assert_eq!([answers.recv().await, answers.recv().await], [Some(1), Some(4)]);
    assert!(answers.try_recv().is_err());
}

#[tokio::test]
async fn private_addresses_are_called_by_who_has_one() {
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
        let (mut network, _heard, _jobs) = network();
        network.settings.direct.dial_private = setting;
        network.friend_address = address.map(|address| address.parse().unwrap());
        network.order(NetworkOrder::Relays(relays.clone()));
        assert_eq!(network.reach, reach, "{relays:?} {address:?} {setting:?}");
        network.stop.cancel();
    }
}

/// A node's connections without the rest of it. What its machine would hear is `jobs`.
struct Lone {
    key: PublicKey,
    orders: mpsc::UnboundedSender<NetworkOrder>,
    jobs: WaitingJobs,
    counters: Arc<Counters>,
    address: Option<Address>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Lone {
    async fn start(seed: u8, listens: bool) -> Self {
        let identity = Identity::from_seed([seed; 32]);
        let (jobs, waiting) = crate::jobs::queue();
        let (orders, ordered) = mpsc::unbounded_channel();
        let (counters, stop) = (Arc::new(Counters::default()), CancellationToken::new());
        let (mut network, heard) = Network::new(
            Authenticator::new(&identity),
            NodeSettings::default(),
            counters.clone(),
            jobs,
            RelayStates::default(),
            stop.clone(),
        );
        let mut address = None;
        if listens {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            address = Some(listener.local_addr().unwrap().to_string().parse().unwrap());
            network.listen(listener, address.clone()).unwrap();
        }
        let task = tokio::spawn(network.run(ordered, heard));
        Lone { key: identity.public_key(), orders, jobs: waiting, counters, address, stop, task }
    }

    fn wants(&self, friend: PublicKey, relays: Vec<ServerTicket>, address: Option<Address>) {
        let contact = offst_funder::Contact { relays, address };
        self.orders.send(NetworkOrder::Contact(friend, Some(contact))).ok().unwrap();
    }

    /// Waits for a connection to a friend, which lasts as long as the sink, and where the friend says it is called.
    async fn connected(&mut self) -> (FrameSink, Direct) {
        let (connection, sink) = loop {
            match self.jobs.next().await {
                Job::Connected(_, connection, sink) => break (connection, sink),
                Job::Input(Input::Disconnected(..)) => {}
                _ => panic!("something else"),
            }
        };
        match self.jobs.next().await {
            Job::Input(Input::Message(_, on, hello)) if on == connection => match *hello {
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
async fn friends_connect_without_a_relay_and_say_where_they_are_called() {
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
async fn a_dead_address_costs_a_moment_and_the_relay_takes_over() {
    let stop = CancellationToken::new();
    let relay = real_relay(&stop).await;
    for silent in [false, true] {
        let (address, _open) = dead_end(silent).await;
        let (mut one, mut other) = (Lone::start(1, true).await, Lone::start(2, false).await);
        one.wants(other.key, vec![relay.clone()], None);
        other.wants(one.key, vec![relay.clone()], Some(address));
        for node in [&one, &other] {
            node.orders.send(NetworkOrder::Relays(vec![relay.clone()])).ok().unwrap();
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
            let (side, job) = tokio::select! {
                job = one.jobs.next() => (0, job),
                job = other.jobs.next() => (1, job),
                () = pause => continue,
            };
            match job {
                Job::Connected(_, _, sink) => sinks[side] = Some(sink),
                Job::Input(Input::Message(_, _, message)) if *message == FriendMessage::Recall => carried[side] = true,
                _ => {}
            }
        }
        for node in [one, other] {
            node.stop().await;
        }
    }
}

#[tokio::test]
async fn a_stranger_is_hung_up_on_and_a_friend_answered_a_few_times_at_once() {
    let node = Lone::start(1, true).await;
    let address = node.address.clone().unwrap();
    let call = async |seed: u8| {
        let authenticator = Authenticator::new(&Identity::from_seed([seed; 32]));
        let stream = authenticator.connect_tcp(&address, key(1), GREETING_TIMEOUT).await.unwrap();
        offst_secure_channel::FrameReader::new(stream, 1 << 10)
    };
    node.wants(key(2), vec![], None);
    // The first thing a friend hears is a hello; so its being known is no matter of time.
    let mut answered = Vec::new();
    while answered.is_empty() {
        let mut friend = call(2).await;
        if matches!(friend.next().await, Ok(Some(_))) {
            answered.push(friend);
        }
    }
    for _ in 1..INCOMING_MAX {
        let mut friend = call(2).await;
        assert!(matches!(friend.next().await, Ok(Some(_))), "says hello");
        answered.push(friend);
    }
    let before = node.counted("callers_refused");
    for seed in [2, 3] {
        assert!(!matches!(call(seed).await.next().await, Ok(Some(_))), "hears nothing");
    }
    assert_eq!(node.counted("callers_refused"), before + 2);
    // Another friend is answered meanwhile.
    node.wants(key(4), vec![], None);
    while !matches!(call(4).await.next().await, Ok(Some(_))) {}
    node.stop().await;
}
