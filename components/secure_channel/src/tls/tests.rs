//! Handshakes over real sockets, with honest peers and others.

use super::*;
use crate::certificate::tests::certificate_of_any_key;
use crate::connect::ConnectError;
use offst_crypto::PublicKeyError;
use offst_proto::ticket::Address;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const LONG: Duration = Duration::from_secs(60);

fn identity(seed: u8) -> Identity {
    Identity::from_seed([seed; 32])
}

fn authenticator(seed: u8) -> Authenticator {
    Authenticator::new(&identity(seed))
}

async fn listener() -> (TcpListener, Address) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string().parse().unwrap();
    (listener, address)
}

/// The two ends of a real connection.
async fn tcp_pair() -> (TcpStream, TcpStream) {
    let (listener, address) = listener().await;
    let (near, far) = tokio::join!(TcpStream::connect(address.as_str()), listener.accept());
    (near.unwrap(), far.unwrap().0)
}

/// Shows `certificate` to its peers although its private key is `seed`'s.
fn impostor(seed: u8, certificate: CertificateDer<'static>) -> Authenticator {
    let mut authenticator = authenticator(seed);
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity(seed).to_der().to_vec()));
    let key = provider().key_provider.load_private_key(key).unwrap();
    let resolver = Arc::new(SingleCertAndKey::from(CertifiedKey::new(vec![certificate], key)));
    let mut client = ClientConfig::clone(&authenticator.client);
    client.client_auth_cert_resolver = resolver.clone();
    let mut server = ServerConfig::clone(&authenticator.server);
    server.cert_resolver = resolver;
    authenticator.client = Arc::new(client);
    authenticator.server = Arc::new(server);
    authenticator
}

#[tokio::test]
async fn both_sides_learn_the_other_key_and_exchange_bytes() {
    let (listener, address) = listener().await;
    let (caller, called) = (authenticator(1), authenticator(2));
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        let (key, mut stream) = called.accept_over(stream, LONG).await.unwrap();
        assert_eq!(key, caller.public_key());
        let mut received = Vec::new();
        stream.read_to_end(&mut received).await.unwrap();
        stream.write_all(&received).await.unwrap();
        stream.shutdown().await.unwrap();
    };
    let client = async {
        let mut stream = caller.connect_tcp(&address, called.public_key(), LONG).await.unwrap();
        assert!(stream.inner().nodelay().unwrap());
        let sent = vec![5; 300_000];
        stream.write_all(&sent).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut received = Vec::new();
        stream.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, sent);
    };
    tokio::join!(server, client);
}

#[tokio::test]
async fn a_secure_stream_carries_another_one() {
    let (near, far) = tcp_pair().await;
    let (one, two, three, four) = (authenticator(1), authenticator(2), authenticator(3), authenticator(4));
    let (outer_near, outer_far) =
        tokio::join!(one.connect_over(near, two.public_key(), LONG), two.accept_over(far, LONG));
    let (inner_near, inner_far) = tokio::join!(
        three.connect_over(outer_near.unwrap(), four.public_key(), LONG),
        four.accept_over(outer_far.unwrap().1, LONG)
    );
    let (key, mut inner_far) = inner_far.unwrap();
    assert_eq!(key, three.public_key());
    let mut inner_near = inner_near.unwrap();
    inner_near.write_all(b"inside").await.unwrap();
    inner_near.flush().await.unwrap();
    let mut received = [0; 6];
    inner_far.read_exact(&mut received).await.unwrap();
    assert_eq!(&received, b"inside");
}

/// The stream is handed out only after the key was checked, so the caller has nothing to write to; and the side that
/// was dialled never gets a stream either.
/// (R3.2.)
#[tokio::test]
async fn another_key_than_the_ticket_says_is_refused() {
    let (listener, address) = listener().await;
    let (caller, called, expected) = (authenticator(1), authenticator(2), authenticator(3));
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        called.accept_over(stream, LONG).await.map(|_| ()).unwrap_err()
    };
    let (_, error) = tokio::join!(server, caller.connect_tcp(&address, expected.public_key(), LONG));
    let error = error.map(|_| ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the server at {address} has another key than its ticket says: {} instead of {}",
            called.public_key(),
            expected.public_key()
        )
    );
}

async fn refused_as_client(client: Authenticator) -> HandshakeError {
    let (near, far) = tcp_pair().await;
    let server = authenticator(2);
    let (_, accepted) =
        tokio::join!(client.connect_over(near, server.public_key(), LONG), server.accept_over(far, LONG));
    accepted.map(|_| ()).unwrap_err()
}

async fn refused_as_server(server: Authenticator, expected: PublicKey) -> HandshakeError {
    let (near, far) = tcp_pair().await;
    let client = authenticator(1);
    let (connected, _) = tokio::join!(client.connect_over(near, expected, LONG), server.accept_over(far, LONG));
    connected.map(|_| ()).unwrap_err()
}

#[tokio::test]
async fn keys_of_small_order_are_refused_on_both_sides() {
    let cheat = || impostor(9, certificate_of_any_key(&[0; 32]));
    let small_order = CertificateError::Key(PublicKeyError::SmallOrder);
    for error in [refused_as_client(cheat()).await, refused_as_server(cheat(), identity(2).public_key()).await] {
        assert!(matches!(&error, HandshakeError::Certificate(reason) if *reason == small_order), "{error}");
    }
}

#[tokio::test]
async fn keys_of_another_algorithm_are_refused_on_both_sides() {
    let mut bytes = certificate(&identity(9)).to_vec();
    // The last byte of the algorithm inside the key: X25519.
    let at = bytes.windows(5).position(|window| window == [0x30, 0x2a, 0x30, 0x05, 0x06]).unwrap() + 8;
    bytes[at] = 0x6e;
    let cheat = || impostor(9, bytes.clone().into());
    for error in [refused_as_client(cheat()).await, refused_as_server(cheat(), identity(2).public_key()).await] {
        assert!(matches!(error, HandshakeError::Certificate(CertificateError::OtherAlgorithm)), "{error}");
    }
}

/// A certificate is public; without its private key it is worth nothing.
#[tokio::test]
async fn a_copied_certificate_is_refused_on_both_sides() {
    let cheat = || impostor(9, certificate(&identity(3)));
    for error in [refused_as_client(cheat()).await, refused_as_server(cheat(), identity(3).public_key()).await] {
        assert!(matches!(error, HandshakeError::Failed(_)), "{error}");
        assert!(error.to_string().contains("BadSignature"), "{error}");
    }
}

// R3.1.
#[tokio::test]
async fn another_version_is_refused() {
    for versions in [vec![], vec![b"offst/2".to_vec()]] {
        let mut newer = authenticator(9);
        let mut client = ClientConfig::clone(&newer.client);
        client.alpn_protocols = versions;
        newer.client = Arc::new(client);
        let error = refused_as_client(newer).await;
        assert!(matches!(error, HandshakeError::OtherProtocol), "{error}");
    }
}

#[tokio::test]
async fn garbage_is_refused() {
    let (mut near, far) = tcp_pair().await;
    near.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let error = authenticator(2).accept_over(far, LONG).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, HandshakeError::Failed(_)), "{error}");

    let (mut near, far) = tcp_pair().await;
    near.write_all(&[0xff; 4096]).await.unwrap();
    let error = authenticator(2).connect_over(far, identity(1).public_key(), LONG).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, HandshakeError::Failed(_)), "{error}");
}

#[tokio::test]
async fn a_silent_peer_is_given_up() {
    let (near, far) = tcp_pair().await;
    let short = Duration::from_millis(20);
    let error = authenticator(2).accept_over(far, short).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, HandshakeError::Timeout(_)));
    assert_eq!(error.to_string(), "the secure handshake did not end within 20 ms");
    drop(near);

    let (_listener, address) = listener().await;
    let error = authenticator(1).connect_tcp(&address, identity(2).public_key(), short).await.map(|_| ()).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot connect to {address}: no answer within 20 ms"));
}

#[tokio::test]
async fn an_address_where_nobody_listens_is_named() {
    // Reserved, so that no other program listens there.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap().to_string().parse().unwrap();
    let error = authenticator(1).connect_tcp(&address, identity(2).public_key(), LONG).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable { .. }));
    assert!(error.to_string().starts_with(&format!("cannot connect to {address}: ")), "{error}");
}

#[tokio::test]
async fn a_cut_connection_is_not_taken_for_an_end() {
    let (near, far) = tcp_pair().await;
    let (one, two) = (authenticator(1), authenticator(2));
    let (near, far) = tokio::join!(one.connect_over(near, two.public_key(), LONG), two.accept_over(far, LONG));
    drop(near.unwrap());
    let error = far.unwrap().1.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}
