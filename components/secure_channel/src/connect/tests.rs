//! Names with several addresses, over real sockets: the addresses are lent as a lookup would give them.

use super::*;
use offst_crypto::Identity;
use tokio::net::TcpListener;

const LONG: Duration = Duration::from_secs(60);

fn authenticator(seed: u8) -> Authenticator {
    Authenticator::new(&Identity::from_seed([seed; 32]))
}

fn key(seed: u8) -> PublicKey {
    Identity::from_seed([seed; 32]).public_key()
}

fn name() -> Address {
    "relay.test:9500".parse().unwrap()
}

/// A server with the key of `seed`, which shows it to every peer.
async fn server(seed: u8) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut open = Vec::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            open.push(authenticator(seed).accept_over(stream, LONG).await);
        }
    });
    address
}

/// Accepts connections and never sends anything.
async fn mute() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn connect(found: &[SocketAddr], timeout: Duration) -> Result<SocketAddr, ConnectError> {
    let connected = authenticator(1).connect_to(&name(), found.iter().copied(), key(2), timeout).await;
    connected.map(|stream| stream.inner().peer_addr().unwrap())
}

#[tokio::test]
async fn another_key_at_one_address_does_not_hide_the_server_at_another() {
    let (other, right) = (server(3).await, server(2).await);
    assert_eq!(connect(&[other, right], LONG).await.unwrap(), right);
    let (_listener, mute) = mute().await;
    assert_eq!(connect(&[mute, right], Duration::from_secs(2)).await.unwrap(), right);
}

#[tokio::test]
async fn a_failure_names_what_was_tried() {
    let (other, another) = (server(3).await, server(4).await);
    let failure = connect(&[other, another], LONG).await.unwrap_err();
    assert_eq!(
        failure.to_string(),
        format!(
            "cannot connect to relay.test:9500: tried {other} (has the key {} instead of {}), {another} (has the key {} instead \
             of {})",
            key(3),
            key(2),
            key(4),
            key(2)
        )
    );
    let failure = connect(&[other], LONG).await.unwrap_err();
    assert!(matches!(failure, ConnectError::OtherKey { .. }), "{failure}");
    let (_listener, mute) = mute().await;
    let failure = connect(&[mute], Duration::from_millis(50)).await.unwrap_err();
    assert_eq!(
        failure.to_string(),
        format!("cannot connect to relay.test:9500: tried {mute} (no secure connection in time)")
    );
    let failure = connect(&[], LONG).await.unwrap_err();
    assert_eq!(
        failure.to_string(),
        "cannot connect to relay.test:9500: the name cannot be looked up: it has no address"
    );
}

/// The name that every machine has for itself leads to both families, and a server may listen in either one alone.
#[tokio::test]
async fn localhost_is_reached_in_either_family() {
    for place in ["127.0.0.1:0", "[::1]:0"] {
        let listener = TcpListener::bind(place).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let address: Address = format!("localhost:{port}").parse().unwrap();
        let addresses = [format!("[::1]:{port}"), format!("127.0.0.1:{port}")].map(|place| place.parse().unwrap());
        let (caller, called) = (authenticator(1), authenticator(2));
        let server = async {
            let (stream, _) = listener.accept().await.unwrap();
            called.accept_over(stream, LONG).await.unwrap().0
        };
        let calling = caller.connect_to(&address, addresses, key(2), LONG);
        let (heard, connected) = tokio::join!(server, calling);
        assert_eq!(heard, key(1));
        assert!(connected.is_ok(), "{place}");
    }
}
