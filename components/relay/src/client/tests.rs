//! Nodes and a relay on real sockets.

use super::*;
use crate::Limits;
use crate::test_relay::{LONG, Node, RELAY, TestRelay, authenticator, key};
use std::sync::atomic::Ordering;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// For a side that is spoken by hand.
fn mux_config(mode: yamux::Mode) -> MuxConfig {
    let limits = InFlightLimits { per_substream: 1 << 20, per_node: 1 << 20, total: 1 << 20 };
    let node = NodeInFlight::new(InFlight::new(limits, Arc::default()));
    let throttle = Throttle::new(ConnectionRate::alone(u64::MAX, 0), None, Instant::now());
    MuxConfig { mode, streams_max: 2, throttle, node }
}

/// A substream from `source` to the node `target`.
async fn open(source: &Node, target_node: &mut Node, target: u8) -> (RelayStream, RelayStream) {
    let (near, (_, far)) = tokio::join!(source.client.open(key(target)), target_node.incoming());
    (near.unwrap(), far)
}

async fn refused(source: &Node, target: u8) -> Refusal {
    match source.client.open(key(target)).await {
        Err(OpenError::Refused(refusal)) => refusal,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn friends_exchange_encrypted_bytes_over_a_relay() {
    let relay = TestRelay::start(Limits::default()).await;
    let (one, mut two) = (relay.node(1).await, relay.node(2).await);
    let dialler = async {
        let stream = one.client.open(key(2)).await.unwrap();
        let mut stream = authenticator(1).connect_over(stream, key(2), LONG).await.unwrap();
        let sent: Vec<u8> = (0..2_000_000u32).map(|index| index as u8).collect();
        let (mut reader, mut writer) = tokio::io::split(&mut stream);
        let mut received = Vec::new();
        let (written, read) = tokio::join!(
            async {
                writer.write_all(&sent).await?;
                writer.shutdown().await
            },
            reader.read_to_end(&mut received)
        );
        written.unwrap();
        read.unwrap();
        assert!(received == sent);
    };
    let accepting = async {
        let (source, stream) = two.incoming().await;
        assert_eq!(source, key(1));
        let (proved, mut stream) = authenticator(2).accept_over(stream, LONG).await.unwrap();
        assert_eq!(proved, key(1));
        // Echo until the dialler has ended its half.
        let mut buffer = vec![0; 10_000];
        loop {
            match stream.read(&mut buffer).await.unwrap() {
                0 => break stream.shutdown().await.unwrap(),
                count => stream.write_all(&buffer[..count]).await.unwrap(),
            }
        }
    };
    tokio::join!(dialler, accepting);
    assert!(relay.counters.bytes_forwarded.load(Ordering::Relaxed) > 4_000_000);
    relay.until_empty().await;
}

// R4.1.
#[tokio::test]
async fn a_relay_cannot_pass_itself_off_as_a_friend() {
    let relay = TestRelay::start(Limits::default()).await;
    let (one, mut three) = (relay.node(1).await, relay.node(3).await);
    let (near, far) = open(&one, &mut three, 3).await;
    let (dialler, accepting) = (authenticator(1), authenticator(3));
    let (near, _) = tokio::join!(dialler.connect_over(near, key(2), LONG), accepting.accept_over(far, LONG));
    assert!(near.is_err());
}

#[tokio::test]
async fn presence_is_told() {
    let relay = TestRelay::start(Limits::default()).await;
    let mut one = relay.node(1).await;
    one.client.watch(&[key(2), key(3)]).unwrap();
    one.expect_absent(key(2)).await;
    one.expect_absent(key(3)).await;
    let two = relay.node(2).await;
    one.expect_present(key(2)).await;
    drop(two.client);
    one.expect_absent(key(2)).await;
    one.client.unwatch(&[key(2)]).unwrap();
    // What is answered behind it says that the relay knows.
    one.client.watch(&[key(4)]).unwrap();
    one.expect_absent(key(4)).await;
    let _two = relay.node(2).await;
    let _three = relay.node(3).await;
    one.expect_present(key(3)).await;
}

/// A program that is killed closes its socket without a word; nobody waits for a timeout.
#[tokio::test]
async fn a_killed_node_is_absent_at_once() {
    let relay = TestRelay::start(Limits::default()).await;
    let mut one = relay.node(1).await;
    one.client.watch(&[key(2)]).unwrap();
    one.expect_absent(key(2)).await;
    // The relay's own end of the connection, seen from the killed program: a raw socket that is dropped.
    let stream = relay.secure_tcp(2).await;
    let (mut near, far) = tokio::io::duplex(1 << 16);
    let (_client, mut events) = RelayClient::start(far, ClientConfig::default());
    let mut stream = stream;
    let carrying = async { tokio::io::copy_bidirectional(&mut near, &mut stream).await };
    tokio::select! {
        _ = carrying => panic!("the connection ended"),
        () = one.expect_present(key(2)) => {}
    }
    drop(stream);
    one.expect_absent(key(2)).await;
    assert!(matches!(events.recv().await, Some(RelayEvent::Registered)));
}

#[tokio::test]
async fn a_second_registration_displaces_the_first() {
    let relay = TestRelay::start(Limits::default()).await;
    let mut watcher = relay.node(1).await;
    watcher.client.watch(&[key(2)]).unwrap();
    watcher.expect_absent(key(2)).await;
    let mut first = relay.node(2).await;
    watcher.expect_present(key(2)).await;
    let (mut to_first, _stream) = open(&watcher, &mut first, 2).await;
    let mut second = relay.node(2).await;
    assert!(matches!(first.next().await, RelayEvent::Displaced));
    first.closed().await;
    assert_eq!(relay.counters.displaced.load(Ordering::Relaxed), 1);
    // The conversation with the first ends, the next reaches the second, and the watcher was told nothing.
    let mut rest = Vec::new();
    let _ = timeout(LONG, to_first.read_to_end(&mut rest)).await.unwrap();
    open(&watcher, &mut second, 2).await;
    drop(second.client);
    watcher.expect_absent(key(2)).await;
}

/// What the relay sends and the end of the connection may come at once, while another thread looks for both: nothing of it is
/// lost, also when the node has just tried to send something.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_relay_sends_last_is_read() {
    for round in 0..2000 {
        let (near, far) = tokio::io::duplex(1 << 16);
        let (client, events) = RelayClient::start(near, ClientConfig::default());
        let mut node = Node { client, events };
        let (mux, mut inbound) = Mux::start(far, mux_config(yamux::Mode::Server));
        let control = timeout(LONG, inbound.recv()).await.unwrap().unwrap();
        let mut writer = FrameWriter::new(control.compat(), RELAY_FRAME_BYTES_MAX);
        if round % 2 == 0 {
            node.client.watch(&[key(2)]).unwrap();
        }
        writer.send(&RelayToNode::Displaced.to_frame()).await.unwrap();
        mux.close();
        if round % 4 < 2 {
            // The connection may be closed already.
            let _ = node.client.watch(&[key(3)]);
        }
        let event = node.next().await;
        assert!(matches!(event, RelayEvent::Displaced), "round {round}: {event:?}");
        node.closed().await;
    }
}

#[tokio::test]
async fn a_relay_that_stops_is_noticed_and_another_takes_its_place() {
    let relay = TestRelay::start(Limits::default()).await;
    let mut one = relay.node(1).await;
    let mut two = relay.node(2).await;
    let (mut near, _far) = open(&one, &mut two, 2).await;
    relay.shutdown.cancel();
    one.closed().await;
    assert_eq!(near.read(&mut [0; 1]).await.unwrap_or(0), 0);
    assert_eq!(one.client.open(key(2)).await.unwrap_err(), OpenError::Closed);
    relay.task.await.unwrap().unwrap();
    assert!(one.events.recv().await.is_none());

    // Nothing but the address and the key is needed to go on.
    TestRelay::start(Limits::default()).await.node(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_slows_only_its_own_substream() {
    let relay = TestRelay::start(Limits::default()).await;
    let (one, mut two, mut three) = (relay.node(1).await, relay.node(2).await, relay.node(3).await);
    let (mut to_slow, mut slow) = open(&one, &mut two, 2).await;
    let (mut to_other, mut other) = open(&two, &mut three, 3).await;
    let (mut to_fast, mut fast) = open(&one, &mut three, 3).await;
    // Fill the substream to the slow reader until nothing more goes in.
    let chunk = vec![1; 16 * 1024];
    let mut filled = 0;
    while let Ok(written) = timeout(Duration::from_millis(200), to_slow.write(&chunk)).await {
        filled += written.unwrap();
    }
    assert!(filled < 2 << 20, "{filled} bytes were taken for a node that does not read");
    // Both the sender and the slow reader itself go on with others.
    for (near, far) in [(&mut to_fast, &mut fast), (&mut to_other, &mut other)] {
        let sent = vec![2; 1 << 20];
        let mut received = vec![0; sent.len()];
        let (written, read) = tokio::join!(near.write_all(&sent), far.read_exact(&mut received));
        written.unwrap();
        read.unwrap();
        assert!(received == sent);
    }
    // And nothing of the slow one was lost.
    let mut received = vec![0; filled];
    timeout(LONG, slow.read_exact(&mut received)).await.unwrap().unwrap();
    drop((to_slow, slow, to_other, other, to_fast, fast));
    relay.until_empty().await;
}

#[tokio::test]
async fn each_half_of_a_substream_ends_by_itself_and_a_dropped_end_ends_both() {
    let relay = TestRelay::start(Limits::default()).await;
    let (one, mut two) = (relay.node(1).await, relay.node(2).await);
    let (mut near, mut far) = open(&one, &mut two, 2).await;
    near.write_all(b"question").await.unwrap();
    near.shutdown().await.unwrap();
    let mut received = Vec::new();
    far.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, b"question");
    far.write_all(b"answer").await.unwrap();
    far.shutdown().await.unwrap();
    received.clear();
    near.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, b"answer");

    let (near, mut far) = open(&one, &mut two, 2).await;
    drop(near);
    received.clear();
    let _ = timeout(LONG, far.read_to_end(&mut received)).await.unwrap();
    relay.until_empty().await;
}

/// Nodes that come, flood each other and vanish, on several threads: the relay holds nothing of theirs afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_vanish_in_the_middle_leave_nothing_behind() {
    let relay = TestRelay::start(Limits::default()).await;
    for round in 0..10 {
        let (one, mut two) = (relay.node(1).await, relay.node(2).await);
        let mut streams = vec![];
        for _ in 0..3 {
            let (mut near, far) = open(&one, &mut two, 2).await;
            let flood = async { while near.write_all(&[0; 5000]).await.is_ok() {} };
            let _ = timeout(Duration::from_millis(20), flood).await;
            streams.push((near, far));
        }
        match round % 3 {
            0 => drop(one),
            1 => drop(two),
            _ => streams.truncate(1),
        }
    }
    relay.until_empty().await;
}

#[tokio::test]
async fn substreams_that_cannot_be_opened_are_refused() {
    let relay = TestRelay::start(Limits { substreams_per_pair_max: 1, ..Limits::default() }).await;
    let (one, mut two) = (relay.node(1).await, relay.node(2).await);
    assert_eq!(refused(&one, 9).await, Refusal::Absent);
    assert_eq!(refused(&one, 1).await, Refusal::Itself);
    let streams = open(&one, &mut two, 2).await;
    assert_eq!(refused(&one, 2).await, Refusal::Pair);
    assert_eq!(refused(&two, 1).await, Refusal::Pair);
    drop(streams);
    relay.until_empty().await;
    open(&one, &mut two, 2).await;
    assert_eq!(relay.counters.substreams_refused.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn substreams_above_the_limit_are_refused() {
    let limits = Limits { substreams_per_node_max: 2, ..Limits::default() };
    let relay = TestRelay::start(limits).await;
    let (one, mut two, mut three) = (relay.node(1).await, relay.node(2).await, relay.node(3).await);
    let _first = open(&one, &mut two, 2).await;
    let _second = open(&one, &mut three, 3).await;
    assert_eq!(refused(&one, 2).await, Refusal::Substreams);
    // The limit is each node's own. Node 3 watches node 2, whose substreams may therefore fill all of it.
    three.client.watch(&[key(2)]).unwrap();
    three.expect_present(key(2)).await;
    open(&two, &mut three, 3).await;
}

#[tokio::test]
async fn the_third_connection_of_an_address_is_refused_in_words() {
    let relay = TestRelay::start(Limits { connections_per_address_max: 2, ..Limits::default() }).await;
    let (one, _two) = (relay.node(1).await, relay.node(2).await);
    let mut three = relay.node_with(3, ClientConfig::default()).await;
    assert!(matches!(three.next().await, RelayEvent::Refused(Refusal::Address)));
    assert_eq!(three.closed().await, "the relay refuses: too many connections to the relay come from this address");
    assert_eq!(relay.counters.connections_refused.load(Ordering::Relaxed), 1);
    drop(one.client);
    // The place is free once the relay has noticed.
    loop {
        let mut three = relay.node_with(3, ClientConfig::default()).await;
        if matches!(three.next().await, RelayEvent::Registered) {
            break;
        }
    }
}

#[tokio::test]
async fn watching_too_many_is_refused_and_harms_nobody() {
    let relay = TestRelay::start(Limits { watched_per_node_max: 1, ..Limits::default() }).await;
    let mut one = relay.node(1).await;
    one.client.watch(&[key(2), key(3)]).unwrap();
    one.expect_absent(key(2)).await;
    assert!(matches!(one.next().await, RelayEvent::Refused(Refusal::Watched)));
    let _two = relay.node(2).await;
    one.expect_present(key(2)).await;
}

/// Keepalives are answered by the program, not by the kernel: a node that hangs is removed, and one that answers is not.
/// On a machine that stands still for so long nobody seems to live: then it is tried again with more time.
#[tokio::test]
async fn a_silent_node_is_given_up() {
    let silent = KeepaliveConfig { keepalive_ms: u64::MAX, idle_timeout_ms: u64::MAX };
    for idle_timeout_ms in [500, 5_000, 30_000] {
        let keepalive = KeepaliveConfig { keepalive_ms: 20, idle_timeout_ms };
        let relay = TestRelay::start(Limits { keepalive, ..Limits::default() }).await;
        let mut one = relay.node_with(1, ClientConfig { keepalive, ..ClientConfig::default() }).await;
        let RelayEvent::Registered = one.next().await else { continue };
        let Ok(()) = one.client.watch(&[key(2)]) else { continue };
        let RelayEvent::Absent(_) = one.next().await else { continue };
        let _two = relay.node_with(2, ClientConfig { keepalive: silent, ..ClientConfig::default() }).await;
        let RelayEvent::Present(_) = one.next().await else { continue };
        let RelayEvent::Absent(_) = one.next().await else { continue };
        assert!(relay.counters.dead.load(Ordering::Relaxed) >= 1);
        // The node that keeps alive is still there.
        let Ok(()) = one.client.watch(&[key(3)]) else { continue };
        let RelayEvent::Absent(_) = one.next().await else { continue };
        return;
    }
    panic!("nobody is told of the silent node");
}

#[tokio::test]
async fn a_silent_relay_is_given_up() {
    let (near, _far) = tokio::io::duplex(1 << 16);
    let keepalive = KeepaliveConfig { keepalive_ms: 10, idle_timeout_ms: 30 };
    let (_client, mut events) = RelayClient::start(near, ClientConfig { keepalive, ..ClientConfig::default() });
    let event = timeout(LONG, events.recv()).await.unwrap();
    assert!(matches!(&event, Some(RelayEvent::Closed(reason)) if reason.contains("too long")), "{event:?}");
    assert!(events.recv().await.is_none());
}

#[tokio::test]
async fn a_node_that_opens_no_control_stream_is_given_up() {
    // The same bound holds for the handshake before, which takes its time on a slow machine.
    for handshake_timeout_ms in [100, 1_000, 10_000] {
        let mut limits = Limits::default();
        limits.handshake.handshake_timeout_ms = handshake_timeout_ms;
        let relay = TestRelay::start(limits).await;
        let connecting = authenticator(1).connect_tcp(&relay.ticket.address, key(RELAY), LONG).await;
        let Ok(mut stream) = connecting else { continue };
        let mut rest = Vec::new();
        let _ = timeout(LONG, stream.read_to_end(&mut rest)).await.unwrap();
        if relay.counters.handshakes.failed.load(Ordering::Relaxed) == 0 {
            assert_eq!(relay.counters.misbehaved.load(Ordering::Relaxed), 1);
            return;
        }
    }
    panic!("no handshake ends in time");
}

#[tokio::test]
async fn garbage_instead_of_the_multiplexer_ends_the_connection() {
    let relay = TestRelay::start(Limits::default()).await;
    for garbage in [vec![0xff; 1000], vec![0; 1000], b"\0\0\0\x01\0\0\0\x01\x7f\xff\xff\xff".to_vec()] {
        let mut stream = relay.secure_tcp(1).await;
        stream.write_all(&garbage).await.unwrap();
        // `shutdown` tells the relay that nothing follows where the garbage happens to be harmless.
        let _ = stream.shutdown().await;
        let mut rest = Vec::new();
        let _ = timeout(LONG, stream.read_to_end(&mut rest)).await.unwrap();
    }
    relay.node(2).await;
}

#[tokio::test]
async fn control_frames_that_are_no_messages_end_the_connection() {
    let relay = TestRelay::start(Limits::default()).await;
    for bytes in [&b"\xff\xff\xff\xff"[..], b"\0\0\0\x05hello"] {
        let (mux, _inbound) = Mux::start(relay.secure_tcp(1).await, mux_config(yamux::Mode::Client));
        let mut control = mux.open().await.unwrap().compat();
        control.write_all(bytes).await.unwrap();
        timeout(LONG, mux.closed()).await.unwrap();
    }
}

/// A flood of bytes that nobody reads closes the largest substreams and nothing else.
/// (R4.11.)
#[tokio::test]
async fn the_worst_substreams_go_when_the_relay_holds_too_much() {
    let limits = Limits { in_flight_bytes_max: 100_000, ..Limits::default() };
    let relay = TestRelay::start(limits).await;
    let (one, mut two, mut three) = (relay.node(1).await, relay.node(2).await, relay.node(3).await);
    let (mut quiet_near, mut quiet_far) = open(&one, &mut three, 3).await;
    quiet_near.write_all(b"x").await.unwrap();
    let (mut flooding, _unread) = open(&one, &mut two, 2).await;
    let chunk = vec![0; 16 * 1024];
    let flood = async { while flooding.write_all(&chunk).await.is_ok() {} };
    timeout(LONG, flood).await.expect("the flood is cut");
    assert!(relay.counters.substreams_cut.load(Ordering::Relaxed) >= 1);
    quiet_near.write_all(b"y").await.unwrap();
    let mut received = [0; 2];
    quiet_far.read_exact(&mut received).await.unwrap();
    assert_eq!(&received, b"xy");
}

// R4.10.
#[tokio::test]
async fn a_fast_sender_is_slowed_down() {
    let relay = TestRelay::start(Limits { bytes_per_second_per_node: 1 << 20, ..Limits::default() }).await;
    let (one, mut two) = (relay.node(1).await, relay.node(2).await);
    let (mut near, mut far) = open(&one, &mut two, 2).await;
    let start = tokio::time::Instant::now();
    let sent = vec![3; 1_800_000];
    let mut received = vec![0; sent.len()];
    let (written, read) = tokio::join!(near.write_all(&sent), far.read_exact(&mut received));
    written.unwrap();
    read.unwrap();
    // The first second's worth goes at once; a slow machine only takes longer.
    assert!(start.elapsed() >= Duration::from_millis(600), "{:?}", start.elapsed());
}

#[tokio::test]
async fn dropping_the_handle_closes_the_connection() {
    let relay = TestRelay::start(Limits::default()).await;
    let mut one = relay.node(1).await;
    let clone = one.client.clone();
    drop(one.client);
    clone.watch(&[key(2)]).unwrap();
    assert!(matches!(one.events.recv().await, Some(RelayEvent::Absent(_))));
    drop(clone);
    assert!(matches!(one.events.recv().await, Some(RelayEvent::Closed(_))));
    assert!(one.events.recv().await.is_none());
}
