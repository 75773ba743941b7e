use super::*;
use std::net::Ipv4Addr;
use tokio::net::{TcpListener, TcpSocket};

const LONG: Duration = Duration::from_secs(60);

/// An address where somebody listens.
async fn open(place: &str) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(place).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// An address where nobody listens, reserved so that no other program does.
fn closed(place: &str) -> (TcpSocket, SocketAddr) {
    let place: SocketAddr = place.parse().unwrap();
    let socket = if place.is_ipv6() { TcpSocket::new_v6() } else { TcpSocket::new_v4() }.unwrap();
    socket.bind(place).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// An address that swallows what is sent to it: nobody accepts, and the system's queue is full.
async fn silent() -> (TcpListener, Vec<TcpStream>, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    // Whether the queue is full is seen by a connection that is not established, and by nothing else.
    while let Ok(stream) = tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
        queued.push(stream.unwrap());
    }
    (listener, queued, address)
}

async fn connect(addresses: &[SocketAddr], timeout: Duration) -> (Option<SocketAddr>, Vec<Attempt>) {
    let mut failed = Vec::new();
    let connected = first_to_connect(addresses, Instant::now() + timeout, &mut failed).await;
    let place = connected.map(|(place, stream)| {
        assert_eq!(stream.peer_addr().unwrap(), place);
        place
    });
    (place, failed)
}

#[tokio::test]
async fn a_closed_address_is_followed_by_the_next_at_once() {
    for (closed_at, open_at) in [("[::1]:0", "127.0.0.1:0"), ("127.0.0.1:0", "[::1]:0")] {
        let ((_held, closed), (_listener, open)) = (closed(closed_at), open(open_at).await);
        let (place, failed) = connect(&[closed, open], LONG).await;
        assert_eq!(place, Some(open));
        assert_eq!(Tried(&failed).to_string(), format!("{closed} (connection refused)"));
    }
}

#[tokio::test]
async fn a_silent_address_delays_no_other() {
    let (_held, _queued, silent) = silent().await;
    let (_listener, open) = open("127.0.0.1:0").await;
    // Without a head start for the second address the silent one would take all of the time.
    let (place, failed) = connect(&[silent, open], Duration::from_secs(600)).await;
    assert_eq!(place, Some(open));
    assert!(failed.is_empty());
}

#[tokio::test]
async fn the_first_address_is_preferred() {
    let ((_one, first), (_other, second)) = (open("127.0.0.1:0").await, open("127.0.0.1:0").await);
    assert_eq!(connect(&[first, second], LONG).await.0, Some(first));
}

#[tokio::test]
async fn all_that_was_tried_is_named() {
    let (_held, _queued, silent) = silent().await;
    let (_one, first) = closed("127.0.0.1:0");
    let (_other, second) = closed("[::1]:0");
    let (place, failed) = connect(&[first, second], LONG).await;
    assert_eq!(place, None);
    assert_eq!(Tried(&failed).to_string(), format!("{first} (connection refused), {second} (connection refused)"));
    let (place, failed) = connect(&[silent, first], Duration::from_millis(600)).await;
    assert_eq!(place, None);
    assert_eq!(failed.last().unwrap().address, silent);
    assert!(Tried(&failed).to_string().ends_with(&format!("{silent} (timed out)")));
    assert_eq!(connect(&[], LONG).await.0, None);
}

#[test]
fn families_take_turns_and_the_most_is_sixteen() {
    let v4 = |last: u8| SocketAddr::from((Ipv4Addr::new(10, 0, 0, last), 7));
    let v6 = |last: u16| SocketAddr::from(([0xfd00, 0, 0, 0, 0, 0, 0, last], 7));
    assert_eq!(in_turn([v4(1), v4(2), v4(1), v6(1)]), [v6(1), v4(1), v4(2)]);
    assert_eq!(in_turn([v6(1), v6(2), v6(3), v4(1)]), [v6(1), v4(1), v6(2), v6(3)]);
    assert_eq!(in_turn([v4(2), v4(1)]), [v4(2), v4(1)]);
    assert!(in_turn([]).is_empty());
    let many = (0..200).map(v4).chain((0..20).map(v6));
    let order = in_turn(many);
    assert_eq!(order.len(), ADDRESSES_MAX);
    assert_eq!(order[..4], [v6(0), v4(0), v6(1), v4(1)]);
}
