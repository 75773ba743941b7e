//! Nodes that abuse the multiplexer, written by hand, and a relay on real sockets.

use crate::test_relay::{LONG, TestRelay, authenticator, key};
use crate::yamux_frames::STREAM_WORK_BYTES;
use crate::{Limits, RelayEvent};
use offst_proto::relay::{NodeToRelay, Refusal, RelayToNode, SubstreamMessage};
use offst_secure_channel::SecureStream;
use std::sync::atomic::Ordering;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

const DATA: u8 = 0;
const WINDOW: u8 = 1;
const PING: u8 = 2;
const SYN: u16 = 1;
const ACK: u16 = 2;
const FIN: u16 = 4;
const RST: u16 = 8;

fn header(kind: u8, flags: u16, stream: u32, length: u32) -> Vec<u8> {
    let mut bytes = vec![0, kind];
    bytes.extend_from_slice(&flags.to_be_bytes());
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes
}

/// One message on a stream.
fn message(flags: u16, stream: u32, frame: &[u8]) -> Vec<u8> {
    let mut bytes = header(DATA, flags, stream, frame.len() as u32 + 4);
    bytes.extend_from_slice(&(frame.len() as u32).to_be_bytes());
    bytes.extend_from_slice(frame);
    bytes
}

/// A node without a multiplexer.
struct Hostile(SecureStream<TcpStream>);

impl Hostile {
    /// Registered at the relay, which has said so.
    async fn register(relay: &TestRelay, seed: u8) -> Hostile {
        Hostile::over(relay.secure_tcp(seed).await).await
    }

    async fn over(mut stream: SecureStream<TcpStream>) -> Hostile {
        stream.write_all(&message(SYN, 1, &NodeToRelay::Keepalive.to_frame())).await.unwrap();
        let mut hostile = Hostile(stream);
        let registered = RelayToNode::Registered.to_frame();
        let mut heard = vec![];
        while !heard.windows(registered.len()).any(|part| part == registered) {
            let count = hostile.0.read_buf(&mut heard).await.unwrap();
            assert!(count > 0, "the relay says that the node is registered");
        }
        hostile
    }

    /// Sends without end, and reads, until the relay closes the connection.
    async fn flood_until_closed(self, bytes: &[u8]) {
        let (mut reader, mut writer) = tokio::io::split(self.0);
        let mut heard = vec![];
        let flood = async {
            while writer.write_all(bytes).await.is_ok() {}
            std::future::pending::<()>().await;
        };
        tokio::select! {
            _ = reader.read_to_end(&mut heard) => {}
            () = flood => {}
        }
    }
}

fn resets() -> Vec<u8> {
    (0..500)
        .flat_map(|index| [header(DATA, SYN, 3 + 2 * index, 0), header(DATA, RST, 3 + 2 * index, 0)])
        .flatten()
        .collect()
}

/// Rates that do not delay the test.
fn fast() -> Limits {
    Limits { bytes_per_second_per_node: 1 << 40, bytes_per_second_per_address: 1 << 40, ..Limits::default() }
}

// R4.13.
#[tokio::test]
async fn a_node_that_opens_and_resets_without_end_is_disconnected() {
    for kind in [DATA, WINDOW] {
        let relay = TestRelay::start(fast()).await;
        let bytes: Vec<u8> =
            resets().chunks(12).flat_map(|frame| [&frame[..1], &[kind], &frame[2..]].concat()).collect();
        let hostile = Hostile::register(&relay, 1).await;
        timeout(LONG, hostile.flood_until_closed(&bytes)).await.expect("the relay ends the connection");
        relay.until_misbehaved(1).await;
    }
}

/// It may reset so many at once, because so many substreams can end together.
#[tokio::test]
async fn as_many_substreams_as_can_be_open_may_be_reset_at_once() {
    let relay = TestRelay::start(fast()).await;
    let mut hostile = Hostile::register(&relay, 1).await;
    for _ in 0..2 {
        hostile.0.write_all(&resets()).await.unwrap();
    }
    // What is answered behind them says that the relay has read them.
    hostile.0.write_all(&message(0, 1, &NodeToRelay::Watch(vec![key(9)]).to_frame())).await.unwrap();
    let absent = RelayToNode::Absent(key(9)).to_frame();
    let mut heard = vec![];
    while !heard.windows(absent.len()).any(|part| part == absent) {
        assert!(timeout(LONG, hostile.0.read_buf(&mut heard)).await.unwrap().unwrap() > 0, "the connection lives");
    }
    assert_eq!(relay.counters.misbehaved.load(Ordering::Relaxed), 0);
}

/// Each of these makes yamux report a violation of its rules. It would go on reading, and log each further one.
#[tokio::test]
async fn a_connection_that_broke_the_rules_ends_when_yamux_reports_it() {
    let relay = TestRelay::start(fast()).await;
    let violations = [
        // Credit that overflows; a stream that exists; a number of the other side; a pong that nobody asked for.
        header(WINDOW, 0, 1, u32::MAX),
        header(DATA, SYN, 1, 0),
        header(DATA, SYN, 2, 0),
        header(WINDOW, SYN, 2, 0),
        header(PING, ACK, 0, 12345),
    ];
    for (count, violation) in (1..).zip(violations) {
        let mut hostile = Hostile::register(&relay, 1).await;
        // Credit overflows at the second.
        for _ in 0..2 {
            hostile.0.write_all(&violation).await.unwrap();
        }
        // The socket stays open: the relay's end is what is awaited.
        let mut heard = vec![];
        let _ = timeout(LONG, hostile.0.read_to_end(&mut heard)).await.expect("the relay ends the connection");
        relay.until_misbehaved(count).await;
    }
}

/// A node that ends its connection in order has broken nothing, nor has one that the relay ends.
#[tokio::test]
async fn an_orderly_end_is_no_fault() {
    let relay = TestRelay::start(fast()).await;
    let hostile = Hostile::register(&relay, 1).await;
    let second = Hostile::register(&relay, 1).await;
    let (mut first, mut second, mut heard) = (hostile.0, second.0, vec![]);
    let _ = timeout(LONG, first.read_to_end(&mut heard)).await.expect("the first is displaced");
    second.write_all(&header(3, 0, 0, 0)).await.unwrap();
    let _ = timeout(LONG, second.read_to_end(&mut heard)).await.expect("the second has said that it goes");
    relay.until_nodes(0).await;
    assert_eq!(relay.counters.misbehaved.load(Ordering::Relaxed), 0);
}

/// A slow machine only takes longer.
#[tokio::test]
async fn refused_substreams_count_for_the_rate() {
    let per_second = 64 * STREAM_WORK_BYTES;
    let relay = TestRelay::start(Limits { bytes_per_second_per_node: per_second, ..fast() }).await;
    let mut hostile = Hostile::register(&relay, 1).await;
    let start = tokio::time::Instant::now();
    // 64 substreams a second are allowed, and 64 at once. Each is refused, which costs as much again.
    let calls = 96;
    let call = SubstreamMessage::Connect(key(9)).to_frame();
    let bytes: Vec<u8> = (0..calls).flat_map(|index| message(SYN, 3 + 2 * index, &call)).collect();
    let (mut reader, mut writer) = tokio::io::split(&mut hostile.0);
    let mut heard = vec![];
    let (written, ()) = tokio::join!(writer.write_all(&bytes), async {
        while relay.counters.substreams_refused.load(Ordering::Relaxed) < u64::from(calls) {
            timeout(LONG, reader.read_buf(&mut heard)).await.unwrap().unwrap();
        }
    });
    written.unwrap();
    // If refusals did not count, half a second would be enough.
    assert!(start.elapsed().as_millis() >= 1_200, "{:?}", start.elapsed());
}

/// Unwatched nodes open substreams to a node as fast as they can: a few of them get through, and its friend does nevertheless.
#[tokio::test]
async fn unwatched_nodes_cannot_open_substreams_as_fast_as_they_like() {
    let strangers = 4;
    let relay = TestRelay::start(Limits { calls_per_second_from_strangers: strangers, ..fast() }).await;
    let mut called = relay.node(1).await;
    called.client.watch(&[key(2)]).unwrap();
    called.expect_absent(key(2)).await;
    let friend = relay.node(2).await;
    called.expect_present(key(2)).await;
    let mut hostile = Hostile::register(&relay, 3).await;
    let start = tokio::time::Instant::now();
    let call = SubstreamMessage::Connect(key(1)).to_frame();
    for index in 0..400 {
        let stream = 3 + 2 * index;
        hostile.0.write_all(&message(SYN | FIN, stream, &call)).await.unwrap();
        hostile.0.write_all(&header(DATA, RST, stream, 0)).await.unwrap();
    }
    let near = timeout(LONG, friend.client.open(key(1))).await.unwrap().unwrap();
    let mut from_strangers = 0;
    loop {
        match called.next().await {
            RelayEvent::Incoming { source, .. } if source == key(2) => break,
            RelayEvent::Incoming { source, .. } => {
                assert_eq!(source, key(3));
                from_strangers += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    let most = strangers * (2 + start.elapsed().as_secs());
    assert!(from_strangers <= most, "{from_strangers} calls of strangers, of {most}");
    drop(near);
}

/// 1,000 frames at once are work for several polls; another connection is served in between. The test awaits only that the
/// flood is read at all after a poll has ended, because nothing else would wake the task.
#[tokio::test]
async fn a_flood_is_read_to_its_end_in_several_polls() {
    let relay = TestRelay::start(fast()).await;
    let mut hostile = Hostile::register(&relay, 1).await;
    let mut bytes = header(DATA, 0, 1, 0).repeat(50_000);
    bytes.extend(message(0, 1, &NodeToRelay::Watch(vec![key(9)]).to_frame()));
    hostile.0.write_all(&bytes).await.unwrap();
    let absent = RelayToNode::Absent(key(9)).to_frame();
    let mut heard = vec![];
    while !heard.windows(absent.len()).any(|part| part == absent) {
        assert!(timeout(LONG, hostile.0.read_buf(&mut heard)).await.unwrap().unwrap() > 0, "the connection lives");
    }
}

/// A node at another address than all others of a test.
async fn newcomer(relay: &TestRelay, seed: u8) -> Hostile {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let stream = socket.connect(relay.ticket.address.as_str().parse().unwrap()).await.unwrap();
    Hostile::over(authenticator(seed).connect_over(stream, relay.ticket.public_key, LONG).await.unwrap()).await
}

// R4.14.
#[tokio::test]
async fn a_full_relay_makes_room_for_another_address() {
    let relay = TestRelay::start(Limits { connections_max: 2, ..Limits::default() }).await;
    let (mut first, mut second) = (relay.node(1).await, relay.node(2).await);
    let _newcomer = newcomer(&relay, 3).await;
    assert!(matches!(second.next().await, RelayEvent::Refused(Refusal::Connections)));
    assert_eq!(second.closed().await, "the relay refuses: the relay is full");
    assert_eq!(relay.counters.connections_evicted.load(Ordering::Relaxed), 1);
    assert_eq!(relay.counters.displaced.load(Ordering::Relaxed), 0);
    first.client.watch(&[key(2), key(3)]).unwrap();
    first.expect_absent(key(2)).await;
    first.expect_present(key(3)).await;
}

/// A connection that has not even opened its control stream, and one that gives no credit for what it has asked for, so that
/// it cannot be told: both are closed, and nothing but their eviction closes them here.
#[tokio::test]
async fn a_connection_that_does_not_read_is_evicted_nevertheless() {
    let mut limits = Limits { connections_max: 2, ..fast() };
    limits.handshake.handshake_timeout_ms = 1 << 40;
    let relay = TestRelay::start(limits).await;
    let _other = relay.node(9).await;
    let mut silent = relay.secure_tcp(1).await;
    relay.until_accepted(2).await;
    let first_newcomer = newcomer(&relay, 2).await;
    let _ = timeout(LONG, silent.read_to_end(&mut vec![])).await.expect("it is closed");
    drop(first_newcomer);
    relay.until_nodes(1).await;

    let mut deaf = Hostile::register(&relay, 3).await;
    let keys: Vec<_> = (0..100).map(key).collect();
    let watch = message(0, 1, &NodeToRelay::Watch(keys.clone()).to_frame());
    // Each batch of answers is awaited, until no credit is left for a whole one; that and the next stay in the relay.
    let batch = keys.len() * (RelayToNode::Absent(key(0)).to_frame().len() + 4);
    for _ in 0..yamux::DEFAULT_CREDIT as usize / batch - 1 {
        deaf.0.write_all(&watch).await.unwrap();
        let mut rest = batch;
        while rest > 0 {
            let count = timeout(LONG, deaf.0.read(&mut [0; 4096])).await.unwrap().unwrap();
            assert!(count > 0, "the connection lives");
            rest = rest.saturating_sub(count);
        }
    }
    for _ in 0..4 {
        deaf.0.write_all(&watch).await.unwrap();
    }
    let _newcomer = newcomer(&relay, 4).await;
    let _ = timeout(LONG, deaf.0.read_to_end(&mut vec![])).await.expect("it is closed");
    assert_eq!(relay.counters.connections_evicted.load(Ordering::Relaxed), 2);
}
