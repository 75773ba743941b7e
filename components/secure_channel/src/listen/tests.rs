//! Bounds on handshakes, over real sockets.

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
    let limits = HandshakeLimits { handshakes_max: 4, handshakes_per_address_max: 2, handshake_timeout_ms: 1 };
    let [one, two, three, four] =
        ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"].map(|text| text.parse::<IpAddr>().unwrap());
    let mut slots = Slots::new();
    assert_eq!(slots.take(one, "a", &limits), (1, None));
    assert_eq!(slots.take(one, "b", &limits), (2, None));
    assert_eq!(slots.take(one, "c", &limits), (3, Some("a")), "its own oldest");
    assert_eq!(slots.take(two, "d", &limits), (4, None));
    assert_eq!(slots.take(three, "e", &limits), (5, None));
    assert_eq!(slots.take(four, "f", &limits), (6, Some("b")), "the oldest of the address that has most");
    assert_eq!(slots.take(two, "g", &limits), (7, Some("c")), "of equal addresses, the one that has waited longest");
    assert_eq!(slots.occupancy.total(), 4);
    assert_eq!(slots.release(3), None, "it has ended already");
    assert_eq!(slots.release(5), Some("e"));
    assert_eq!(slots.take(three, "h", &limits), (8, None));
    for number in [4, 7, 8, 6] {
        assert!(slots.release(number).is_some());
    }
    assert_eq!(slots.occupancy.total(), 0);
    assert!(slots.taken.is_empty());
}

#[tokio::test]
async fn silent_connections_do_not_keep_a_peer_out() {
    let limits = HandshakeLimits { handshakes_per_address_max: 8, ..HandshakeLimits::default() };
    let (mut acceptor, address) = acceptor(limits).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(address.as_str()).await.unwrap());
    }
    // The oldest made room for newer ones.
    assert_eq!(silent[0].read(&mut [0; 1]).await.unwrap(), 0);
    let dialler = authenticator(2);
    let (stream, accepted) =
        tokio::join!(dialler.connect_tcp(&address, authenticator(1).public_key(), LONG), acceptor.accept());
    assert_eq!(accepted.public_key, dialler.public_key());
    assert_eq!(accepted.address, stream.unwrap().inner().local_addr().unwrap());
    assert_eq!(acceptor.counters().surplus.load(Ordering::Relaxed), 13);
}

#[tokio::test]
async fn a_slow_handshake_ends_and_gives_its_slot_back() {
    let limits = HandshakeLimits { handshakes_max: 1, handshakes_per_address_max: 1, handshake_timeout_ms: 20 };
    let (acceptor, address) = acceptor(limits).await;
    for failed in 1..=3 {
        let mut silent = TcpStream::connect(address.as_str()).await.unwrap();
        // The end of the stream is the event.
        let mut rest = Vec::new();
        let _ = silent.read_to_end(&mut rest).await;
        assert_eq!(acceptor.counters().failed.load(Ordering::Relaxed), failed);
    }
    // None was ended for the next one.
    assert_eq!(acceptor.counters().surplus.load(Ordering::Relaxed), 0);
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
