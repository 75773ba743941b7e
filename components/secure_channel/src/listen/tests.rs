//! Bounds on strangers, over real sockets.

use super::*;
use offst_crypto::Identity;
use offst_proto::ticket::Address;
use tokio::io::AsyncReadExt;

const LONG: Duration = Duration::from_secs(60);

fn authenticator(seed: u8) -> Authenticator {
    Authenticator::new(&Identity::from_seed([seed; 32]))
}

async fn acceptor(limits: HandshakeLimits) -> (Acceptor, Address) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let acceptor = Acceptor::new(listener, authenticator(1), limits).unwrap();
    let address = acceptor.local_address().to_string().parse().unwrap();
    (acceptor, address)
}

#[test]
fn slots_are_bounded_in_total_and_per_address() {
    let limits = HandshakeLimits { handshakes_max: 3, handshakes_per_address_max: 2, handshake_timeout_ms: 1 };
    let [one, two] = ["10.0.0.1", "10.0.0.2"].map(|text| text.parse().unwrap());
    let mut slots = Slots::default();
    assert!(slots.take(one, &limits));
    assert!(slots.take(one, &limits));
    assert!(!slots.take(one, &limits));
    assert!(slots.take(two, &limits));
    assert!(!slots.take(two, &limits));
    slots.release(one);
    assert!(slots.take(two, &limits));
    slots.release(one);
    slots.release(two);
    slots.release(two);
    assert_eq!(slots.total, 0);
    assert!(slots.per_address.is_empty());
}

#[test]
fn one_party_is_one_group() {
    let group = |text: &str| address_group(text.parse().unwrap()).to_string();
    assert_eq!(group("10.0.0.1"), "10.0.0.1");
    assert_eq!(group("::ffff:10.0.0.1"), "10.0.0.1");
    assert_eq!(group("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
}

#[tokio::test]
async fn silent_strangers_do_not_hold_up_a_peer() {
    let limits = HandshakeLimits { handshakes_per_address_max: 8, ..HandshakeLimits::default() };
    let (mut acceptor, address) = acceptor(limits).await;
    let mut silent = Vec::new();
    for _ in 0..7 {
        silent.push(TcpStream::connect(address.as_str()).await.unwrap());
    }
    let caller = authenticator(2);
    let (stream, accepted) =
        tokio::join!(caller.connect_tcp(&address, authenticator(1).public_key(), LONG), acceptor.accept());
    assert_eq!(accepted.public_key, caller.public_key());
    assert_eq!(accepted.address, stream.unwrap().inner().local_addr().unwrap());
}

#[tokio::test]
async fn surplus_handshakes_are_closed_at_once() {
    let limits = HandshakeLimits { handshakes_per_address_max: 2, ..HandshakeLimits::default() };
    let (acceptor, address) = acceptor(limits).await;
    let mut silent = Vec::new();
    for _ in 0..2 {
        silent.push(TcpStream::connect(address.as_str()).await.unwrap());
    }
    let mut surplus = TcpStream::connect(address.as_str()).await.unwrap();
    assert_eq!(surplus.read(&mut [0; 1]).await.unwrap(), 0);
    assert_eq!(acceptor.counters().surplus.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_slow_handshake_ends_and_gives_its_slot_back() {
    let limits = HandshakeLimits { handshakes_max: 1, handshakes_per_address_max: 1, handshake_timeout_ms: 20 };
    let (mut acceptor, address) = acceptor(limits).await;
    let mut silent = TcpStream::connect(address.as_str()).await.unwrap();
    // The end of the stream is the event.
    let mut rest = Vec::new();
    let _ = silent.read_to_end(&mut rest).await;
    assert_eq!(acceptor.counters().failed.load(Ordering::Relaxed), 1);
    // The socket is closed a moment before the slot is free.
    let caller = authenticator(2);
    let expected = authenticator(1).public_key();
    let calling = async {
        loop {
            if let Ok(stream) = caller.connect_tcp(&address, expected, LONG).await {
                return stream;
            }
        }
    };
    let (_stream, accepted) = tokio::join!(calling, acceptor.accept());
    assert_eq!(accepted.public_key, caller.public_key());
}

#[tokio::test]
async fn dropping_the_acceptor_ends_everything() {
    let (acceptor, address) = acceptor(HandshakeLimits::default()).await;
    let mut silent = TcpStream::connect(address.as_str()).await.unwrap();
    drop(acceptor);
    let mut rest = Vec::new();
    let _ = silent.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
}
